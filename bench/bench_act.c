/*
 * Governed actions, one after another over one connection: a plan, its apply, the receipt. What an agent waits for, in µs.
 * Usage: bench_act SOCKET TOKEN-FILE CAPABILITY OPERATION COUNT. Prints "name value" lines; the token's talent may make these calls.
 */
#include "messages.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER = 65536 };

struct client {
    int fd;
    const char *token, *capability;
    struct ifab_buf request;
    char answer[ANSWER];
};

static int dial(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    bench_must(strlen(path) < sizeof un.sun_path, "the socket's path is too long", NULL);
    memcpy(un.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bench_must(fd >= 0 && connect(fd, (const struct sockaddr *)&un, sizeof un) == 0, path, NULL);
    return fd;
}

static void read_token(const char *path, char *ret, size_t size)
{
    FILE *file = fopen(path, "re");
    bench_must(file != NULL && fgets(ret, (int)size, file) != NULL, path, NULL);
    (void)fclose(file);
    ret[strcspn(ret, "\n")] = '\0';
}

/* The whole answer; its body. */
static const char *ask(struct client *c, const char *act, const char *body, const char *status)
{
    size_t filled = 0, want = 0;
    ifab_buf_clear(&c->request);
    ifab_buf_format(&c->request, "POST /v1/capabilities/%s/%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n", c->capability, act,
                    c->token);
    ifab_buf_format(&c->request, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
    bench_must(ifab_buf_status(&c->request) == IFAB_OK && write(c->fd, c->request.data, c->request.size) == (ssize_t)c->request.size, "write", NULL);
    while (want == 0 || filled < want) {
        ssize_t n = read(c->fd, c->answer + filled, sizeof c->answer - 1 - filled);
        bench_must(n > 0, "the connection was closed", NULL);
        filled += (size_t)n;
        c->answer[filled] = '\0';
        char *end = strstr(c->answer, "\r\n\r\n"), *length = strcasestr(c->answer, "content-length:");
        if (want > 0 || end == NULL)
            continue;
        bench_must(length != NULL && length < end, "an answer without length", NULL);
        want = (size_t)(end + 4 - c->answer) + strtoul(length + 15, NULL, 10);
        bench_must(want < sizeof c->answer, "an answer too long", NULL);
    }
    bench_must(strncmp(c->answer + sizeof "HTTP/1.1 " - 1, status, 3) == 0, c->answer, NULL);
    return strstr(c->answer, "\r\n\r\n") + 4;
}

static void act(struct client *c, const char *operation, unsigned n, double took[3])
{
    char body[300], hash[72];
    double from = bench_wall();
    (void)snprintf(body, sizeof body, "{\"operation\":\"%s\",\"params\":{\"number\":%u},\"why\":\"bench\"}", operation, n);
    const char *answer = ask(c, "plan", body, "201"), *at = strstr(answer, "\"plan_hash\":\"");
    bench_must(at != NULL, answer, NULL);
    memcpy(hash, at + 13, 71);
    hash[71] = '\0';
    double middle = bench_wall();
    (void)snprintf(body, sizeof body, "{\"plan_hash\":\"%s\"}", hash);
    (void)ask(c, "apply", body, "200");
    double end = bench_wall();
    took[0] = middle - from;
    took[1] = end - middle;
    took[2] = end - from;
}

int main(int argc, char **argv)
{
    static struct client c;
    static const char *const names[3] = {"plan", "apply", "whole"};
    char token[100];
    size_t count = argc == 6 ? strtoul(argv[5], NULL, 10) : 0;
    double *took[3], one[3];
    bench_must(count > 0, "usage: see the head of bench_act.c", NULL);
    for (size_t i = 0; i < 3; i++)
        bench_must((took[i] = calloc(count, sizeof *took[i])) != NULL, "memory", NULL);
    read_token(argv[2], token, sizeof token);
    c.fd = dial(argv[1]);
    c.token = token;
    c.capability = argv[3];
    ifab_buf_init(&c.request, 8192);
    double cpu = bench_cpu();
    for (size_t n = 0; n < count; n++) {
        act(&c, argv[4], (unsigned)n, one);
        for (size_t i = 0; i < 3; i++)
            took[i][n] = one[i];
    }
    cpu = bench_cpu() - cpu;
    for (size_t i = 0; i < 3; i++)
        printf("%s_p50_us %.2f\n%s_p99_us %.2f\n", names[i], bench_quantile(took[i], count, .5) * 1e6, names[i],
               bench_quantile(took[i], count, .99) * 1e6);
    printf("client_cpu_us %.2f\n", cpu * 1e6 / (double)count);
    return 0;
}

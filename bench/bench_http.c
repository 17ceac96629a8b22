/*
 * CPU of the server per 1 KB POST answered with 300 bytes, 64 connections: server in this thread, client in another process, one request
 * at a time on each connection. Prints a line for unix and for TCP. Bar: 4.5 µs in the HTTP layer (DESIGN section 4).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "http/server.h"

#define CONNECTIONS 64
#define BODY 1024
#define ANSWER 300

static struct ifab_http_server *server;
static uint64_t answered;
static char answer_body[ANSWER];

static void on_request(void *user, struct ifab_http_request *request)
{
    (void)user;
    if (request->body->size != BODY)
        abort();
    answered++;
    if (!ifab_http_reply(server, request->id, 200, "application/json", (struct ifab_view){NULL, 0}, ifab_view_of(answer_body, ANSWER)))
        abort();
}

static double cpu_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static int dial(const char *path, uint16_t port)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memcpy(un.sun_path, path, strlen(path));
    int fd = socket(port == 0 ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0
        || (port == 0 ? connect(fd, (const struct sockaddr *)&un, sizeof un) : connect(fd, (const struct sockaddr *)&in, sizeof in)) != 0)
        abort();
    return fd;
}

/* The load: as many requests in all as asked for. An answer here is always one segment. */
static void client(const char *path, uint16_t port, uint64_t requests)
{
    static char request[2048], answer[4096];
    static const char head[] =
        "POST /v1/messages HTTP/1.1\r\nHost: localhost:8474\r\nContent-Type: application/json\r\nAuthorization: Bearer "
        "0123456789abcdefghijklmnopqrstuvwxyz\r\nAccept: */*\r\nUser-Agent: bench/1\r\nContent-Length: 1024\r\n\r\n";
    size_t size = sizeof head - 1 + BODY;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    memcpy(request, head, sizeof head - 1);
    memset(request + sizeof head - 1, 'x', BODY);
    uint64_t sent = 0, got = 0;
    for (int i = 0; i < CONNECTIONS; i++) {
        struct epoll_event event = {.events = EPOLLIN};
        event.data.fd = dial(path, port);
        epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
        if (write(event.data.fd, request, size) != (ssize_t)size)
            abort();
        sent++;
    }
    while (got < requests) {
        struct epoll_event events[CONNECTIONS];
        int n = epoll_wait(epoll, events, CONNECTIONS, -1);
        for (int i = 0; i < n; i++) {
            if (read(events[i].data.fd, answer, sizeof answer) <= ANSWER)
                abort();
            got++;
            if (sent < requests && write(events[i].data.fd, request, size) != (ssize_t)size)
                abort();
            sent += sent < requests ? 1 : 0;
        }
    }
}

static void measure(const char *name, const char *path, uint16_t port, uint64_t requests)
{
    uv_loop_t *loop = uv_default_loop();
    struct timespec begin, end;
    pid_t child = fork();
    if (child == 0) {
        client(path, port, requests);
        _exit(0);
    }
    answered = 0;
    double before = cpu_us();
    clock_gettime(CLOCK_MONOTONIC, &begin);
    while (answered < requests)
        uv_run(loop, UV_RUN_ONCE);
    clock_gettime(CLOCK_MONOTONIC, &end);
    double us = cpu_us() - before, wall = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
    waitpid(child, NULL, 0);
    while (ifab_http_connections(server) > 0)
        uv_run(loop, UV_RUN_ONCE);
    printf("%s: %.2f us of CPU a request, %.0f requests/s\n", name, us / (double)requests, (double)requests / wall);
}

int main(int argc, char **argv)
{
    uint64_t requests = argc > 1 ? strtoull(argv[1], NULL, 10) : 200000;
    char dir[] = "/tmp/ifab-bench-XXXXXX", path[64];
    struct ifab_http_limits limits;
    struct ifab_error err = {0};
    const struct ifab_http_handlers handlers = {.on_request = on_request};
    uint16_t port = 0;
    memset(answer_body, 'j', sizeof answer_body);
    ifab_http_limits_default(&limits);
    if (mkdtemp(dir) == NULL)
        return 1;
    snprintf(path, sizeof path, "%s/s", dir);
    if (ifab_http_server_new(uv_default_loop(), &limits, &handlers, &server, &err) != IFAB_OK
        || ifab_http_listen_unix(server, path, &err) != IFAB_OK || ifab_http_listen_tcp(server, "127.0.0.1:0", &port, &err) != IFAB_OK) {
        printf("%s\n", err.text);
        return 1;
    }
    for (int round = 0; round < 2; round++) {
        measure("http unix", path, 0, requests);
        measure("http tcp", path, port, requests);
    }
    ifab_http_server_free(server);
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    rmdir(dir);
    return 0;
}

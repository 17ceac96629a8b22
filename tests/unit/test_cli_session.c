/* What ifctl makes of refusals against a peer that says exactly what a row says: followers that end or wait, tokens that are read anew. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli.h"

#define HEAD(status, type) "HTTP/1.1 " status "\r\nContent-Type: " type "\r\nConnection: close\r\n\r\n"
#define FABRIC             HEAD("200 OK", "application/json") "{\"origin\":\"a.example\"}"
#define OTHER              HEAD("200 OK", "application/json") "{\"origin\":\"b.example\"}"
#define STREAM             HEAD("200 OK", "text/event-stream")
#define ROW(n)             "id: " n "\nevent: message\ndata: {\"n\":" n "}\n\n"
#define EXPIRED            "event: expired\ndata: {}\n\n"
#define LAGGED             "event: lagged\ndata: {}\n\n"
#define NO_TOKEN           HEAD("401 Unauthorized", "application/json") "{\"error\":{\"code\":\"IF_ERR_002\",\"message\":\"gone\",\"retryable\":false}}"
#define BUSY               HEAD("503 Service Unavailable", "application/json") "{\"error\":{\"code\":\"IF_ERR_500\",\"message\":\"stops\",\"retryable\":true}}"
#define GATEWAY            HEAD("502 Bad Gateway", "text/html") "<p>away"
#define NOT_FOUND          HEAD("404 Not Found", "text/html") "<p>nothing"

static char directory[] = "/tmp/ifab-session-XXXXXX", token_file[80];
static struct cli cli;

static struct peer { /* a connection gets the next answer, and behind the last one what stops whoever goes on */
    const char *answers[8];
    size_t asked;
    int listener;
    char seen[8][4096];
    pthread_t thread;
} peer;

static void *serve(void *user)
{
    (void)user;
    for (int fd; (fd = accept(peer.listener, NULL, NULL)) >= 0; peer.asked++) {
        size_t i = peer.asked < IFAB_COUNT(peer.answers) ? peer.asked : IFAB_COUNT(peer.answers) - 1, used = 0;
        const char *answer = peer.answers[i] != NULL ? peer.answers[i] : peer.asked % 2 == 0 ? OTHER : NOT_FOUND;
        char *to = peer.seen[i];
        for (ssize_t n; used < sizeof peer.seen[0] - 1 && strstr(to, "\r\n\r\n") == NULL; used += (size_t)n)
            if ((n = recv(fd, to + used, sizeof peer.seen[0] - 1 - used, 0)) <= 0)
                break;
        (void)!send(fd, answer, strlen(answer), MSG_NOSIGNAL);
        close(fd);
    }
    return NULL;
}

static void write_token(const char *text, mode_t mode)
{
    FILE *file = fopen(token_file, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(token_file, mode), 0);
}

static void begin(const char *const *answers)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    memset(&peer, 0, sizeof peer);
    for (size_t i = 0; answers[i] != NULL; i++)
        peer.answers[i] = answers[i];
    memset(&cli, 0, sizeof cli);
    cli.command = &cli_commands[0];
    cli.format = CLI_NDJSON;
    cli.quiet = true;
    cli.timeout_usec = 30 * IFAB_SECOND;
    snprintf(un.sun_path, sizeof un.sun_path, "%s/socket", directory);
    snprintf(cli.endpoint, sizeof cli.endpoint, "unix:%s", un.sun_path);
    peer.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(peer.listener, (struct sockaddr *)&un, sizeof un), 0);
    assert_int_equal(listen(peer.listener, 8), 0);
    assert_int_equal(pthread_create(&peer.thread, NULL, serve, NULL), 0);
}

/* How often it was asked. */
static size_t end(void)
{
    shutdown(peer.listener, SHUT_RDWR);
    pthread_join(peer.thread, NULL);
    close(peer.listener);
    unlink(cli.endpoint + 5);
    ifab_client_close(cli.client);
    cli.client = NULL;
    return peer.asked;
}

/* Runs it with stdout and stderr in files; what they say comes out. */
static int follow(char said[2][4096])
{
    int saved[2] = {dup(1), dup(2)};
    FILE *files[2] = {tmpfile(), tmpfile()};
    fflush(NULL);
    for (int i = 0; i < 2; i++)
        assert_true(dup2(fileno(files[i]), i + 1) == i + 1);
    int code = cli_follow(&cli, "/v1/inbox", "0", "N:n");
    fflush(NULL);
    for (int i = 0; i < 2; i++) {
        dup2(saved[i], i + 1);
        close(saved[i]);
        rewind(files[i]);
        said[i][fread(said[i], 1, 4095, files[i])] = '\0';
        fclose(files[i]);
    }
    return code;
}

static void a_follower_waits_for_what_passes_and_ends_with_what_does_not(void **state)
{
    (void)state;
    static const struct {
        const char *answers[8];
        int code;
        const char *out, *err;
    } cases[] = {
        {{FABRIC, STREAM ROW("1") EXPIRED, NO_TOKEN}, 10, "{\"n\":1}\n", "IF_ERR_002"},
        {{FABRIC, STREAM EXPIRED, FABRIC, NO_TOKEN}, 10, "", "IF_ERR_002"}, /* it ends between two requests */
        {{FABRIC, STREAM ROW("1"), BUSY, GATEWAY, FABRIC, STREAM ROW("2") EXPIRED, NO_TOKEN}, 10, "{\"n\":1}\n{\"n\":2}\n", "IF_ERR_002"},
        {{FABRIC, STREAM ROW("1"), BUSY, NO_TOKEN}, 10, "{\"n\":1}\n", "IF_ERR_002"}, /* as after a restore */
        {{FABRIC, STREAM ROW("1") LAGGED, FABRIC, STREAM ROW("2"), OTHER}, EXIT_SYSTEM, "{\"n\":1}\n{\"n\":2}\n", "b.example"},
        {{FABRIC, STREAM ROW("1"), NOT_FOUND}, EXIT_SYSTEM, "{\"n\":1}\n", "404"},
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        char said[2][4096];
        size_t count = 0;
        while (cases[i].answers[count] != NULL)
            count++;
        begin(cases[i].answers);
        int code = follow(said);
        size_t asked = end();
        if (code != cases[i].code || asked != count || strcmp(said[0], cases[i].out) != 0 || strstr(said[1], cases[i].err) == NULL)
            fail_msg("case %zu: %d after %zu of %zu, \"%s\", \"%s\"", i, code, asked, count, said[0], said[1]);
    }
}

static void a_refused_token_is_read_anew_once(void **state)
{
    (void)state;
    static const char *const answers[] = {FABRIC, NO_TOKEN, FABRIC, NO_TOKEN, NO_TOKEN, NO_TOKEN, NULL};
    struct ifab_response response;
    const struct cli_call call = {.method = "GET", .target = "/v1/fabric", .silent = true};
    begin(answers);
    snprintf(cli.token_file, sizeof cli.token_file, "%s", token_file);
    write_token("ift_first\n", 0600);
    assert_int_equal(cli_call(&cli, &call, &response), 0);
    write_token("ift_second\n", 0600);
    assert_int_equal(cli_call(&cli, &call, &response), 0);  /* refused, and asked again */
    assert_int_equal(cli_call(&cli, &call, &response), 10); /* the same one stands there: not asked again */
    write_token("ift_third\n", 0600);
    assert_int_equal(cli_call(&cli, &call, &response), 10); /* asked again once */
    assert_int_equal(end(), 6);
    static const char *const shown[] = {"ift_first", "ift_first", "ift_second", "ift_second", "ift_second", "ift_third"};
    for (size_t i = 0; i < IFAB_COUNT(shown); i++)
        assert_non_null(strstr(peer.seen[i], shown[i]));
}

static void a_token_that_others_may_read_is_not_shown(void **state)
{
    (void)state;
    static const char *const answers[] = {FABRIC, NULL};
    static const mode_t wrong[] = {0640, 0604, 0620, 0602, 0644};
    int saved = dup(2);
    begin(answers);
    snprintf(cli.token_file, sizeof cli.token_file, "%s", token_file);
    for (size_t i = 0; i < IFAB_COUNT(wrong); i++) {
        write_token("ift_first\n", wrong[i]);
        assert_non_null(freopen("/dev/null", "w", stderr));
        int code = cli_open_client(&cli, false);
        fflush(stderr);
        dup2(saved, 2);
        assert_int_equal(code, 10);
        assert_null(cli.client);
    }
    close(saved);
    assert_int_equal(chmod(token_file, 0400), 0);
    assert_int_equal(cli_origin(&cli), 0);
    assert_int_equal(end(), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_follower_waits_for_what_passes_and_ends_with_what_does_not),
        cmocka_unit_test(a_refused_token_is_read_anew_once),
        cmocka_unit_test(a_token_that_others_may_read_is_not_shown),
    };
    unsetenv("IFAB_TOKEN_FILE");
    if (mkdtemp(directory) == NULL)
        return 1;
    snprintf(token_file, sizeof token_file, "%s/token", directory);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(token_file);
    rmdir(directory);
    return failed;
}

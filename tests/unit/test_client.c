/* The HTTP client against a peer that says exactly what a row of the table says. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/answer.h"

#include <infrafabric/infrafabric.h>

static char directory[] = "/tmp/ifab-client-XXXXXX";

struct peer { /* answers connection after connection, each with the next text; NULL: closes at once */
    const char *answers[4];
    bool keep_open;    /* all answers on one connection */
    bool stay_silent;  /* after the last one: neither answers nor closes until told */
    int listener, stop[2];
    char path[108], endpoint[120], seen[4][4096];
    pthread_t thread;
};

static void read_request(int fd, char *to, size_t size)
{
    size_t used = 0;
    while (used + 1 < size) {
        ssize_t n = recv(fd, to + used, size - 1 - used, 0);
        if (n <= 0)
            break;
        used += (size_t)n;
        to[used] = '\0';
        const char *end = strstr(to, "\r\n\r\n"), *length = strstr(to, "Content-Length: ");
        if (end != NULL && used >= (size_t)(end + 4 - to) + (length == NULL ? 0 : strtoul(length + 16, NULL, 10)))
            break;
    }
}

static void *serve(void *user)
{
    struct peer *peer = user;
    int fd = -1;
    for (size_t i = 0; i < 4 && peer->answers[i] != NULL; i++) {
        if (fd < 0)
            fd = accept(peer->listener, NULL, NULL);
        if (fd < 0)
            return NULL;
        read_request(fd, peer->seen[i], sizeof peer->seen[i]);
        size_t size = strlen(peer->answers[i]);
        if (size > 0 && send(fd, peer->answers[i], size, MSG_NOSIGNAL) < 0)
            break;
        if (!peer->keep_open && !peer->stay_silent) {
            close(fd);
            fd = -1;
        }
    }
    if (peer->stay_silent) {
        char byte;
        (void)!read(peer->stop[0], &byte, 1);
    }
    if (fd >= 0)
        close(fd);
    return NULL;
}

static void start(struct peer *peer, const char *name)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(peer->path, sizeof peer->path, "%s/%s", directory, name);
    snprintf(peer->endpoint, sizeof peer->endpoint, "unix:%s", peer->path);
    memcpy(un.sun_path, peer->path, strlen(peer->path) + 1);
    peer->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(peer->listener, (struct sockaddr *)&un, sizeof un), 0);
    assert_int_equal(listen(peer->listener, 4), 0);
    assert_int_equal(pipe(peer->stop), 0);
    assert_int_equal(pthread_create(&peer->thread, NULL, serve, peer), 0);
}

static void stop(struct peer *peer)
{
    assert_int_equal(write(peer->stop[1], "x", 1), 1);
    shutdown(peer->listener, SHUT_RDWR);
    pthread_join(peer->thread, NULL);
    close(peer->listener);
    close(peer->stop[0]);
    close(peer->stop[1]);
    unlink(peer->path);
}

static struct ifab_client *open_client(const char *endpoint, int64_t timeout_usec)
{
    struct ifab_client *client = NULL;
    struct ifab_error err = {0};
    const struct ifab_client_options options = {.version = IFAB_CLIENT_VERSION, .endpoint = endpoint, .timeout_usec = timeout_usec};
    if (ifab_client_open(&options, &client, &err) != IFAB_OK)
        fail_msg("%s", err.text);
    return client;
}

static const struct ifab_request get = {.version = IFAB_CLIENT_VERSION, .method = "GET", .target = "/v1/fabric"};

static void answers_of_any_status_come_back_whole(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        ifab_status result;
        int status;
        const char *body;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", IFAB_OK, 200, "{}"},
        {"HTTP/1.1 403 Forbidden\r\nContent-Length: 1\r\n\r\n1", IFAB_OK, 403, "1"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", IFAB_OK, 200, "abc"},
        {"HTTP/1.1 204 No Content\r\n\r\n", IFAB_OK, 204, ""},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", IFAB_OK, 200, "x"},
        {"HTTP/1.0 200 OK\r\n\r\nuntil the end", IFAB_OK, 200, "until the end"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", IFAB_AGAIN, 0, NULL},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", IFAB_CORRUPT, 0, NULL},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", IFAB_CORRUPT, 0, NULL},
        {"SSH-2.0-OpenSSH\r\n", IFAB_CORRUPT, 0, NULL},
        {"", IFAB_AGAIN, 0, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct peer peer = {.answers = {cases[i].answer}};
        struct ifab_response response = {0};
        struct ifab_error err = {0};
        start(&peer, "s");
        struct ifab_client *client = open_client(peer.endpoint, IFAB_OK);
        ifab_status status = ifab_client_call(client, &get, &response, &err);
        if (status != cases[i].result)
            fail_msg("case %zu: %d %s", i, status, err.text);
        if (status == IFAB_OK) {
            assert_int_equal(response.status, cases[i].status);
            assert_int_equal(response.body.size, strlen(cases[i].body));
            assert_true(response.body.size == 0 || memcmp(response.body.data, cases[i].body, response.body.size) == 0);
        }
        ifab_client_close(client);
        stop(&peer);
    }
}

static void a_request_says_what_it_was_told(void **state)
{
    (void)state;
    struct peer peer = {.answers = {"HTTP/1.1 200 OK\r\nIdempotent-Replayed: true\r\nContent-Length: 2\r\n\r\n{}"}};
    struct ifab_response response = {0};
    struct ifab_error err = {0};
    start(&peer, "s");
    struct ifab_client *client = NULL;
    const struct ifab_client_options options = {.version = IFAB_CLIENT_VERSION, .endpoint = peer.endpoint, .token = "tok"};
    assert_int_equal(ifab_client_open(&options, &client, &err), IFAB_OK);
    const struct ifab_request request = {.version = IFAB_CLIENT_VERSION, .method = "POST", .target = "/v1/messages?proof=1",
                                         .body = {(const uint8_t *)"{\"a\":1}", 7}, .idempotency_key = "msg-1", .admin = "abc",
                                         .traceparent = "00-1-2-01", .ref = "repo:/x"};
    assert_int_equal(ifab_client_call(client, &request, &response, &err), IFAB_OK);
    assert_true(response.idempotent_replayed);
    ifab_client_close(client);
    stop(&peer);
    assert_string_equal(peer.seen[0],
                        "POST /v1/messages?proof=1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer tok\r\nIdempotency-Key: msg-1\r\n"
                        "IF-Admin: abc\r\ntraceparent: 00-1-2-01\r\nIF-Ref: repo:/x\r\nContent-Type: application/json\r\n"
                        "Content-Length: 7\r\n\r\n{\"a\":1}");
}

static void values_cannot_smuggle_a_header(void **state)
{
    (void)state;
    struct ifab_client *client = open_client("unix:/nowhere", 0);
    const char *bad[] = {"a\r\nX: y", "a\nb", "a\x7f", "caf\xc3\xa9", "tab\there"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct ifab_response response;
        struct ifab_request request = get;
        request.idempotency_key = bad[i];
        assert_int_equal(ifab_client_call(client, &request, &response, NULL), IFAB_INVALID);
        request.idempotency_key = NULL;
        request.target = "/a b";
        assert_int_equal(ifab_client_call(client, &request, &response, NULL), IFAB_INVALID);
    }
    ifab_client_close(client);
}

static void a_kept_connection_that_ended_is_replaced(void **state)
{
    (void)state;
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    struct peer peer = {.answers = {answer, answer, answer}};
    struct ifab_response response = {0};
    start(&peer, "s");
    struct ifab_client *client = open_client(peer.endpoint, 0);
    for (int i = 0; i < 3; i++) { /* the peer closes after each, without saying so */
        assert_int_equal(ifab_client_call(client, &get, &response, NULL), IFAB_OK);
        usleep(20000);
    }
    ifab_client_close(client);
    stop(&peer);
}

static void one_connection_serves_many_requests(void **state)
{
    (void)state;
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    struct peer peer = {.answers = {answer, answer, answer, answer}, .keep_open = true};
    struct ifab_response response = {0};
    start(&peer, "s");
    struct ifab_client *client = open_client(peer.endpoint, 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(ifab_client_call(client, &get, &response, NULL), IFAB_OK);
    ifab_client_close(client);
    stop(&peer);
    assert_true(peer.seen[3][0] == 'G');
}

static void a_lost_answer_to_a_change_is_outcome_unknown(void **state)
{
    (void)state;
    static const char *const cut[] = {"", "HTTP/1.1 20", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
                                      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"};
    for (size_t i = 0; i < sizeof cut / sizeof cut[0]; i++) {
        struct peer peer = {.answers = {cut[i]}};
        struct ifab_response response = {0};
        struct ifab_error err = {0};
        start(&peer, "s");
        struct ifab_client *client = open_client(peer.endpoint, 0);
        struct ifab_request post = get;
        post.method = "POST";
        assert_int_equal(ifab_client_call(client, &post, &response, &err), IFAB_IO);
        assert_non_null(strstr(err.text, "outcome unknown"));
        ifab_client_close(client);
        stop(&peer);
    }
}

static void silence_ends_with_the_timeout(void **state)
{
    (void)state;
    struct peer peer = {.answers = {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"}, .stay_silent = true};
    struct ifab_response response = {0};
    start(&peer, "s");
    struct ifab_client *client = open_client(peer.endpoint, 50000);
    assert_int_equal(ifab_client_call(client, &get, &response, NULL), IFAB_AGAIN);
    ifab_client_close(client);
    stop(&peer);
}

/* A descriptor ends the wait long before its time; with the answer there as well, the answer counts. */
static void a_wait_ends_when_it_is_told_to(void **state)
{
    (void)state;
    struct peer peer = {.answers = {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"}, .stay_silent = true};
    struct peer quick = {.answers = {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"}};
    struct ifab_response response = {0};
    struct ifab_request post = get;
    int ends[2];
    post.method = "POST";
    assert_int_equal(pipe(ends), 0);
    start(&peer, "e");
    start(&quick, "q");
    struct ifab_client *client = open_client(peer.endpoint, (int64_t)3600 * 1000000), *other = open_client(quick.endpoint, 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    ifab_client_set_stop(client, ends[0]);
    assert_int_equal(ifab_client_call(client, &get, &response, NULL), IFAB_AGAIN);
    assert_int_equal(ifab_client_call(client, &post, &response, NULL), IFAB_IO); /* a change: outcome unknown */
    ifab_client_set_stop(other, ends[0]);
    ifab_client_set_stop(other, -1);
    assert_int_equal(ifab_client_call(other, &get, &response, NULL), IFAB_OK);
    ifab_client_close(client);
    ifab_client_close(other);
    close(ends[0]);
    close(ends[1]);
    stop(&peer);
    stop(&quick);
}

static void says_who_does_not_answer(void **state)
{
    (void)state;
    struct ifab_response response;
    struct ifab_error err = {0};
    struct ifab_client *client = open_client("unix:/tmp/ifab-no-such-socket", 0);
    assert_int_equal(ifab_client_call(client, &get, &response, &err), IFAB_NOT_FOUND);
    ifab_client_close(client);
    static const struct {
        const char *endpoint;
        ifab_status status;
    } cases[] = {
        {"unix:", IFAB_INVALID},           {"http://10.0.0.1:80", IFAB_UNSUPPORTED}, {"ftp://127.0.0.1:80", IFAB_UNSUPPORTED},
        {"https://127.0.0.1", IFAB_INVALID}, {"https://a b:80", IFAB_INVALID},       {"https://user@host:80", IFAB_INVALID},
        {"https://::1:80", IFAB_INVALID},
        {"http://127.0.0.1", IFAB_INVALID}, {"http://127.0.0.1:0", IFAB_INVALID},     {"http://127.0.0.1:65536", IFAB_INVALID},
        {"http://example.org:80", IFAB_UNSUPPORTED}, {"", IFAB_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct ifab_client_options options = {.version = IFAB_CLIENT_VERSION, .endpoint = cases[i].endpoint};
        assert_int_equal(ifab_client_open(&options, &client, NULL), cases[i].status);
    }
    char path[160] = "unix:/";
    for (size_t n = 107; n <= 108; n++) { /* the system's limit, and one more */
        memset(path + 6, 'a', n - 1);
        path[5 + n] = '\0';
        memset(&err, 0, sizeof err);
        const struct ifab_client_options options = {.version = IFAB_CLIENT_VERSION, .endpoint = path};
        assert_int_equal(ifab_client_open(&options, &client, &err), n == 107 ? IFAB_OK : IFAB_TOO_LARGE);
        if (n == 107)
            ifab_client_close(client);
        else
            assert_string_equal(err.text, "Socket path has 108 bytes, the system allows 107: set run.dir.");
    }
}

static ifab_status collect(void *user, struct ifab_view line)
{
    char *to = user;
    size_t used = strlen(to);
    memcpy(to + used, line.data, line.size);
    to[used + line.size] = '|';
    to[used + line.size + 1] = '\0';
    return ifab_view_is(line, "stop") ? IFAB_CONFLICT : IFAB_OK;
}

static void a_stream_is_handed_on_line_by_line(void **state)
{
    (void)state;
    static const struct {
        const char *answer, *lines;
        ifab_status status;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nid: 1\r\n6\r\n\r\ndata\r\n2\r\n\n\n\r\n0\r\n\r\n", "id: 1|data||",
         IFAB_AGAIN},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nstop\nmore\n\r\n", "stop|", IFAB_CONFLICT},
        {"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nno\nno", "", IFAB_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct peer peer = {.answers = {cases[i].answer}};
        struct ifab_response response = {0};
        char lines[256] = "";
        start(&peer, "s");
        struct ifab_client *client = open_client(peer.endpoint, 0);
        assert_int_equal(ifab_client_stream(client, &get, collect, lines, 0, &response, NULL), cases[i].status);
        assert_string_equal(lines, cases[i].lines);
        if (cases[i].status == IFAB_OK)
            assert_int_equal(response.status, 404);
        ifab_client_close(client);
        stop(&peer);
    }
}

static void reads_a_refusal_and_bounds_it(void **state)
{
    (void)state;
    static const char text[] =
        "{\"error\":{\"code\":\"IF_ERR_104\",\"name\":\"OUT_OF_ORDER\",\"message\":\"seq 41 is not above 57\",\"hint\":\"h\","
        "\"retryable\":false,\"last_seq\":57,\"offset\":3,\"field\":\"seq\"}}";
    struct ifab_response response = {.status = 409, .body = {(const uint8_t *)text, sizeof text - 1}, .retry_after_ms = -1};
    struct ifab_answer_error error;
    ifab_answer_error_read(&response, &error);
    assert_int_equal(error.code, 104);
    assert_string_equal(error.message, "seq 41 is not above 57");
    assert_string_equal(error.field, "seq");
    assert_true(error.has_last_seq && error.last_seq == 57 && error.offset == 3 && error.exit_code == 11 && !error.retryable);
    for (size_t n = 0; n < sizeof text - 1; n++) { /* truncated at each byte: no code, never a crash */
        response.body.size = n;
        ifab_answer_error_read(&response, &error);
        assert_int_equal(error.code, 0);
        assert_int_equal(error.exit_code, 20);
    }
}

static void too_large_a_body_is_refused_not_kept(void **state)
{
    (void)state;
    struct ifab_answer answer = {0};
    static uint8_t chunk[1 << 20];
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n";
    ifab_answer__begin(&answer, NULL, NULL);
    assert_int_equal(ifab_answer__feed(&answer, ifab_view_str(head), false, NULL), IFAB_OK);
    ifab_status status = IFAB_OK;
    size_t fed = 0;
    for (; fed < 40 && status == IFAB_OK; fed++)
        status = ifab_answer__feed(&answer, ifab_view_of(chunk, sizeof chunk), false, NULL);
    assert_int_equal(status, IFAB_TOO_LARGE);
    assert_int_equal(fed, 33);
    assert_true(answer.body.size <= IFAB_CLIENT_RESPONSE_MAX);
    ifab_answer__fini(&answer);
}

static void installed_types_are_the_rooms_own(void **state)
{
    (void)state;
    assert_string_equal(ifab_library_version(), IFAB_LIBRARY_VERSION);
    assert_int_equal(sizeof(struct ifab_error), 4 + 4 + 4 + 320);
    assert_int_equal(IFAB_NOMEM, -12);
    assert_int_equal(IFAB_IO, -9);
    assert_string_equal(ifab_status_describe(IFAB_OK), "success");
}

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) == NULL;
}

static int drop_directory(void **state)
{
    (void)state;
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_of_any_status_come_back_whole),
        cmocka_unit_test(a_request_says_what_it_was_told),
        cmocka_unit_test(values_cannot_smuggle_a_header),
        cmocka_unit_test(a_kept_connection_that_ended_is_replaced),
        cmocka_unit_test(one_connection_serves_many_requests),
        cmocka_unit_test(a_lost_answer_to_a_change_is_outcome_unknown),
        cmocka_unit_test(silence_ends_with_the_timeout),
        cmocka_unit_test(a_wait_ends_when_it_is_told_to),
        cmocka_unit_test(says_who_does_not_answer),
        cmocka_unit_test(a_stream_is_handed_on_line_by_line),
        cmocka_unit_test(reads_a_refusal_and_bounds_it),
        cmocka_unit_test(too_large_a_body_is_refused_not_kept),
        cmocka_unit_test(installed_types_are_the_rooms_own),
    };
    return cmocka_run_group_tests(tests, make_directory, drop_directory);
}

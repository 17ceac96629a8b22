/* The server on real sockets, one thread: the test turns the loop and reads its clients in between. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "http/server.h"

#define CLIENTS 8
#define ASKS 512
#define H "Host: localhost\r\n"

struct client {
    int fd; /* 0: unused */
    struct ifab_buf in;
    bool ended, reset; /* the server closed; it did so under bytes that we still wanted to send or it to read */
};

static struct world {
    uv_loop_t loop;
    struct ifab_http_limits limits;
    struct ifab_http_server *server;
    struct client clients[CLIENTS];
    char dir[64], path[96];
    uint16_t port;
    bool unix_only, freed;
    ifab_http_id asks[ASKS], gone[ASKS]; /* held requests, in order of arrival */
    char ask_path[ASKS][32];
    size_t ask_count, gone_count, done_count, error_count;
    bool in_call; /* a call of ours runs: no callback may */
    struct ifab_http_peer peer;
} w;

static void on_request(void *user, struct ifab_http_request *request)
{
    assert_ptr_equal(user, &w);
    assert_false(w.in_call);
    assert_true(request->id != 0);
    w.peer = *request->peer;
    if (ifab_view_is(request->path, "/echo") || ifab_view_is(request->path, "/small")) {
        bool answered =
            ifab_http_reply(w.server, request->id, 200, "text/plain", (struct ifab_view){NULL, 0}, ifab_buf_as_view(request->body));
        assert_true(answered || ifab_mem_failed());
        assert_false(ifab_http_reply(w.server, request->id, 200, NULL, (struct ifab_view){NULL, 0}, (struct ifab_view){NULL, 0}));
        return;
    }
    assert_true(w.ask_count < ASKS);
    snprintf(w.ask_path[w.ask_count], sizeof w.ask_path[0], IFAB_FMT, IFAB_ARG(request->target));
    w.asks[w.ask_count++] = request->id;
}

static size_t on_head(void *user, const struct ifab_http_request *request)
{
    assert_ptr_equal(user, &w);
    assert_false(w.in_call);
    return ifab_view_is(request->path, "/small") ? 10 : w.limits.body_bytes;
}

static void on_gone(void *user, ifab_http_id id)
{
    assert_ptr_equal(user, &w);
    assert_false(w.in_call);
    assert_true(w.gone_count < ASKS);
    w.gone[w.gone_count++] = id;
}

static void error_body(void *user, int status, const char *why, struct ifab_buf *body)
{
    assert_ptr_equal(user, &w);
    assert_true(strlen(why) > 0);
    w.error_count++;
    ifab_buf_format(body, "{\"status\":%d}", status);
}

static bool by_line(void *user, const struct ifab_http_request *request)
{
    assert_ptr_equal(user, &w);
    return ifab_view_is(ifab_http_header(request, "content-type"), "application/x-ndjson");
}

static void on_done(void *user)
{
    assert_ptr_equal(user, &w);
    assert_false(w.in_call);
    w.done_count++;
}

static void begin(bool on_unix)
{
    const struct ifab_http_handlers handlers = {on_request, on_head, on_gone, error_body, &w, by_line};
    struct ifab_error err = {0};
    assert_int_equal(ifab_http_server_new(&w.loop, &w.limits, &handlers, &w.server, &err), IFAB_OK);
    w.unix_only = on_unix;
    if (on_unix)
        assert_int_equal(ifab_http_listen_unix(w.server, w.path, &err), IFAB_OK);
    else
        assert_int_equal(ifab_http_listen_tcp(w.server, "127.0.0.1:0", &w.port, &err), IFAB_OK);
}

static int setup(void **state)
{
    (void)state;
    memset(&w, 0, sizeof w);
    assert_int_equal(uv_loop_init(&w.loop), 0);
    ifab_http_limits_default(&w.limits);
    snprintf(w.dir, sizeof w.dir, "/tmp/ifab-http-XXXXXX");
    assert_non_null(mkdtemp(w.dir));
    snprintf(w.path, sizeof w.path, "%s/s", w.dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < CLIENTS; i++) {
        if (w.clients[i].fd > 0)
            close(w.clients[i].fd);
        ifab_buf_fini(&w.clients[i].in);
    }
    if (!w.freed)
        ifab_http_server_free(w.server);
    uv_run(&w.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w.loop), 0); /* no handle left open */
    unlink(w.path);
    rmdir(w.dir);
    return 0;
}

static int dial(void)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(w.port)};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memcpy(un.sun_path, w.path, strlen(w.path));
    int fd = socket(w.unix_only ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd > 0);
    int failed = w.unix_only ? connect(fd, (const struct sockaddr *)&un, sizeof un) : connect(fd, (const struct sockaddr *)&in, sizeof in);
    assert_int_equal(failed, 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static struct client *join(size_t i)
{
    struct client *c = &w.clients[i];
    c->fd = dial();
    c->ended = c->reset = false;
    ifab_buf_init(&c->in, 64 << 20);
    return c;
}

static void turn(bool reads)
{
    static char bytes[65536];
    uv_run(&w.loop, UV_RUN_NOWAIT);
    for (size_t i = 0; i < CLIENTS && reads; i++) {
        struct client *c = &w.clients[i];
        ssize_t n = 0;
        while (c->fd > 0 && !c->ended && (n = recv(c->fd, bytes, sizeof bytes, 0)) > 0)
            ifab_buf_put(&c->in, bytes, (size_t)n);
        if (c->fd > 0 && !c->ended && (n == 0 || (errno != EAGAIN && errno != EINTR))) {
            c->ended = true;
            c->reset = c->reset || n < 0;
        }
    }
}

/* Turn until the condition holds; a test that waits a minute has failed. */
#define UNTIL(condition)                                                                 \
    do {                                                                                 \
        time_t end_ = time(NULL) + 60;                                                   \
        while (turn(true), !(condition)) {                                               \
            if (time(NULL) > end_)                                                       \
                fail_msg("line %d: never: %s", __LINE__, #condition);                    \
            usleep(200);                                                                 \
        }                                                                                \
    } while (0)

static void turns(int n)
{
    while (n-- > 0)
        turn(true);
}

static void send_view(struct client *c, struct ifab_view bytes)
{
    while (bytes.size > 0) {
        ssize_t n = send(c->fd, bytes.data, bytes.size, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            turn(true);
            continue;
        }
        c->reset = n < 0;
        if (c->reset)
            return;
        bytes = ifab_view_of(bytes.data + n, bytes.size - (size_t)n);
    }
}
static void say(struct client *c, const char *text)
{
    send_view(c, ifab_view_str(text));
}

/* Answers so far as text: "200:body|404:|"; a chunked body is joined, "…" marks one that is not whole. "100|" has no body. */
static const char *heard_as(struct client *c, bool head_only)
{
    static char out[1 << 16];
    size_t size = 0, at = 0;
    out[0] = '\0';
    ifab_buf_reserve(&c->in, 1);
    if (c->in.size > 0)
        c->in.data[c->in.size] = '\0';
    while (at < c->in.size) {
        const char *head = (const char *)c->in.data + at, *end = memmem(head, c->in.size - at, "\r\n\r\n", 4);
        if (end == NULL)
            break;
        int status = (int)strtol(head + 9, NULL, 10);
        size += (size_t)snprintf(out + size, sizeof out - size, "%d%s", status, status == 100 ? "" : ":");
        size_t head_size = (size_t)(end - head);
        const char *length = memmem(head, head_size, "Content-Length: ", 16), *chunked = memmem(head, head_size, "chunked", 7);
        at += head_size + 4;
        size_t body = length == NULL || head_only ? 0 : (size_t)strtoul(length + 16, NULL, 10);
        if (chunked != NULL && !head_only) {
            size_t chunk = 1;
            while (chunk > 0) {
                const char *line = (const char *)c->in.data + at, *eol = at < c->in.size ? memmem(line, c->in.size - at, "\r\n", 2) : NULL;
                chunk = eol == NULL ? 0 : (size_t)strtoul(line, NULL, 16);
                if (eol == NULL || at + (size_t)(eol - line) + 4 + chunk > c->in.size) {
                    size += (size_t)snprintf(out + size, sizeof out - size, "…");
                    return out;
                }
                size += (size_t)snprintf(out + size, sizeof out - size, "%.*s", (int)(chunk < 64 ? chunk : 64), eol + 2);
                at += (size_t)(eol - line) + 4 + chunk;
            }
        }
        if (at + body > c->in.size) {
            size += (size_t)snprintf(out + size, sizeof out - size, "…");
            return out;
        }
        size += (size_t)snprintf(out + size, sizeof out - size, "%.*s|", (int)(body < 64 ? body : 64), (const char *)c->in.data + at);
        at += body;
    }
    assert_true(size < sizeof out);
    return out;
}
static const char *heard(struct client *c)
{
    return heard_as(c, false);
}
static bool heard_is(struct client *c, const char *wanted)
{
    return strcmp(heard(c), wanted) == 0;
}

static bool reply(size_t i, const char *body)
{
    w.in_call = true;
    bool ok = ifab_http_reply(w.server, w.asks[i], 200, "text/plain", (struct ifab_view){NULL, 0}, ifab_view_str(body));
    w.in_call = false;
    return ok;
}

static void answers_a_request_and_keeps_the_connection(void **state)
{
    (void)state;
    begin(false);
    struct client *c = join(0);
    say(c, "POST /echo HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello");
    UNTIL(heard_is(c, "200:hello|"));
    assert_non_null(strstr((const char *)c->in.data, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nDate: "));
    assert_null(strstr((const char *)c->in.data, "Connection"));
    say(c, "GET /echo HTTP/1.1\r\n" H "\r\n");
    UNTIL(heard_is(c, "200:hello|200:|"));
    assert_false(c->ended);
    assert_int_equal(ifab_http_connections(w.server), 1);
    assert_false(w.peer.unix_socket);
    assert_memory_equal(w.peer.address, "127.0.0.1:", 10);
}

static void tells_who_is_behind_a_unix_socket(void **state)
{
    struct stat st;
    (void)state;
    begin(true);
    struct client *c = join(0);
    say(c, "GET /echo HTTP/1.1\r\n" H "\r\n");
    UNTIL(heard_is(c, "200:|"));
    assert_true(w.peer.unix_socket);
    assert_int_equal(w.peer.uid, getuid());
    assert_int_equal(w.peer.pid, getpid());
    assert_string_equal(w.peer.address, "unix");
    assert_int_equal(stat(w.path, &st), 0);
    assert_int_equal(st.st_mode & 0177, 0); /* nobody else connects */
}

static void answers_in_order_when_answered_out_of_order(void **state)
{
    (void)state;
    begin(false);
    struct client *c = join(0);
    say(c, "GET /0 HTTP/1.1\r\n" H "\r\nGET /1 HTTP/1.1\r\n" H "\r\nGET /2 HTTP/1.1\r\n" H "\r\nPOST /echo HTTP/1.1\r\n" H
           "Content-Length: 1\r\n\r\ne");
    UNTIL(w.ask_count == 3);
    assert_string_equal(w.ask_path[2], "/2");
    assert_true(reply(2, "two"));
    turns(5);
    assert_int_equal(c->in.size, 0); /* nothing may overtake */
    assert_true(reply(0, "zero"));
    assert_false(reply(0, "again"));
    UNTIL(heard_is(c, "200:zero|"));
    assert_true(reply(1, "one"));
    UNTIL(heard_is(c, "200:zero|200:one|200:two|200:e|"));
    assert_int_equal(w.gone_count, 0);
}

static void reads_requests_split_at_every_byte(void **state)
{
    static const char text[] = "POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabcPOST /echo HTTP/1.1\r\n" H
                               "Transfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n";
    (void)state;
    begin(true);
    for (size_t split = 1; split < sizeof text - 1; split++) {
        struct client *c = join(0);
        send_view(c, ifab_view_of(text, split));
        turns(2);
        send_view(c, ifab_view_of(text + split, sizeof text - 1 - split));
        UNTIL(heard_is(c, "200:abc|200:de|"));
        close(c->fd);
        c->fd = 0;
        ifab_buf_fini(&c->in);
    }
    UNTIL(ifab_http_connections(w.server) == 0);
}

static void answers_malformed_requests_itself_and_closes(void **state)
{
    static const struct {
        const char *raw;
        int status;
    } rows[] = {
        {"POST /echo HTTP/1.1\r\n" H "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", 400},
        {"POST /echo HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400},
        {"GET /echo HTTP/1.1\nHost: a\n\n", 400},
        {"GET /echo HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n", 400},
        {"GET /echo HTTP/1.1\r\n" H " X: a\r\n\r\n", 400},
        {"GET /echo HTTP/1.1\r\n\r\n", 400},
        {"GET /echo HTTP/1.1\r\n" H H "\r\n", 400},
        {"GET /echo HTTP/2.0\r\n" H "\r\n", 505},
        {"GET /echo HTTP/1.1\r\n" H "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", 501},
        {"CONNECT localhost:1 HTTP/1.1\r\n" H "\r\n", 405},
        {"POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\n\r\n", 501},
        {"POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\n" H "Expect: more\r\nContent-Length: 1\r\n\r\n", 417},
        {"POST /small HTTP/1.1\r\n" H "Content-Length: 11\r\n\r\n", 413},
        {"POST /small HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n", 413},
    };
    char wanted[96];
    (void)state;
    begin(false);
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        struct client *c = join(0);
        say(c, "POST /echo HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nok");
        say(c, rows[i].raw);
        say(c, "GET /hold HTTP/1.1\r\n" H "\r\n"); /* would be a smuggled request */
        snprintf(wanted, sizeof wanted, "200:ok|%d:{\"status\":%d}|", rows[i].status, rows[i].status);
        UNTIL(c->ended);
        if (!heard_is(c, wanted))
            fail_msg("row %zu: %s, not %s", i, heard(c), wanted);
        assert_non_null(strstr((const char *)c->in.data, "Connection: close\r\n"));
        assert_int_equal(w.ask_count, 0); /* nothing is read after an error */
        assert_false(c->reset);
        close(c->fd);
        c->fd = 0;
        ifab_buf_fini(&c->in);
    }
    say(join(0), "GET /echo HTTP/1.1\r\n" H "\r\n\rX");
    UNTIL(w.clients[0].ended);
    assert_true(heard_is(&w.clients[0], "200:|400:{\"status\":400}|"));
}

static void refuses_a_head_above_its_limit(void **state)
{
    (void)state;
    w.limits.head_bytes = 256;
    begin(false);
    struct client *c = join(0);
    say(c, "GET /echo HTTP/1.1\r\n" H "X: ");
    for (int i = 0; i < 300 && !c->ended; i++)
        say(c, "x");
    UNTIL(c->ended);
    assert_true(heard_is(c, "431:{\"status\":431}|"));
}

static void gives_the_client_time_to_read_why_its_body_was_refused(void **state)
{
    static char body[600000];
    (void)state;
    begin(false);
    struct client *c = join(0);
    say(c, "POST /small HTTP/1.1\r\n" H "Content-Length: 600000\r\n\r\n");
    send_view(c, ifab_view_of(body, sizeof body)); /* all of it, although nobody wants it */
    UNTIL(heard_is(c, "413:{\"status\":413}|"));
    UNTIL(c->ended);
    assert_false(c->reset);
}

static void times_out_a_slow_head_and_a_slow_body(void **state)
{
    (void)state;
    w.limits.head_ms = 60;
    w.limits.body_ms = 60;
    begin(false);
    struct client *slow_head = join(0), *slow_body = join(1), *slow_drip = join(2);
    say(slow_head, "GET /echo HT");
    say(slow_body, "POST /echo HTTP/1.1\r\n" H "Content-Length: 10\r\n\r\nabc");
    say(slow_drip, "GET /echo HTTP/1.1\r\n" H "X: ");
    for (int i = 0; i < 2500 && !slow_drip->ended; i++) { /* a byte a while buys no time */
        say(slow_drip, "x");
        usleep(2000);
        turn(true);
    }
    assert_true(slow_drip->ended);
    UNTIL(slow_head->ended && slow_body->ended && slow_drip->ended);
    assert_true(heard_is(slow_head, "408:{\"status\":408}|"));
    assert_true(heard_is(slow_body, "408:{\"status\":408}|"));
    assert_true(heard_is(slow_drip, "408:{\"status\":408}|"));
    UNTIL(ifab_http_connections(w.server) == 0);
}

/* Each line has its deadline, not the body; a byte a while within a line buys no time, nor do line ends without end. INV-12 */
static void each_line_of_a_body_has_its_deadline(void **state)
{
    (void)state;
    w.limits.body_ms = 50;
    w.limits.line_ms = 4000;
    w.limits.lines_ms = 60000;
    begin(false);
    struct client *c = join(0);
    say(c, "POST /echo HTTP/1.1\r\n" H "Content-Type: application/x-ndjson\r\nContent-Length: 60\r\n\r\n");
    for (int i = 0; i < 60; i++) {
        say(c, i % 2 == 0 ? "x" : "\n");
        usleep(3000);
        turn(true);
    }
    UNTIL(strncmp(heard(c), "200:", 4) == 0);
}

static void slow_line_and_lines_without_end_time_out(void **state)
{
    (void)state;
    w.limits.body_ms = 60000;
    w.limits.line_ms = 60;
    w.limits.lines_ms = 300;
    begin(false);
    struct client *line = join(0), *lines = join(1);
    for (size_t i = 0; i < 2; i++)
        say(&w.clients[i], "POST /echo HTTP/1.1\r\n" H "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 4000 && !(line->ended && lines->ended); i++) {
        if (!line->ended)
            say(line, "1\r\nx\r\n");
        if (!lines->ended)
            say(lines, "1\r\n\n\r\n");
        usleep(2000);
        turn(true);
    }
    assert_true(line->ended && lines->ended);
    assert_true(heard_is(line, "408:{\"status\":408}|") || line->reset);
    assert_true(heard_is(lines, "408:{\"status\":408}|") || lines->reset);
}

static void closes_idle_connections_silently_but_waits_for_the_user(void **state)
{
    (void)state;
    w.limits.idle_ms = 400; /* longer than one that has asked is not scheduled */
    begin(false);
    struct client *idle = join(0), *asked = join(1), *fresh = join(2);
    say(idle, "GET /echo HTTP/1.1\r\n" H "\r\n");
    say(asked, "GET /hold HTTP/1.1\r\n" H "\r\n");
    UNTIL(idle->ended && fresh->ended);
    assert_true(heard_is(idle, "200:|"));
    assert_int_equal(fresh->in.size, 0);
    usleep(500000);
    turns(5);
    assert_false(asked->ended); /* its answer is ours to give */
    assert_true(reply(0, "late"));
    UNTIL(heard_is(asked, "200:late|"));
    UNTIL(asked->ended);
}

static void stops_reading_at_the_pipelining_limit_and_goes_on_after_answers(void **state)
{
    (void)state;
    begin(false);
    struct client *c = join(0);
    for (int i = 0; i < 200; i++)
        say(c, "GET /hold HTTP/1.1\r\n" H "\r\n");
    UNTIL(w.ask_count == 64);
    turns(20);
    assert_int_equal(w.ask_count, 64);
    for (size_t i = 0; i < 200; i++) {
        UNTIL(w.ask_count > i);
        assert_true(w.ask_count <= i + 64);
        assert_true(reply(i, "x"));
    }
    UNTIL(c->in.size > 0 && strlen(heard(c)) == 200 * strlen("200:x|"));
}

/* One that is slowed has that many read and no more; others on other connections go on; when it may again, it goes on by itself. */
static void slowed_connection_is_read_no_further_than_it_may(void **state)
{
    (void)state;
    begin(false);
    struct client *c = join(0), *other = join(1);
    for (int i = 0; i < 20; i++)
        say(c, "GET /hold HTTP/1.1\r\n" H "\r\n");
    UNTIL(w.ask_count == 20);
    ifab_http_slow(w.server, w.asks[0], 2);
    for (int i = 0; i < 30; i++)
        say(c, "GET /hold HTTP/1.1\r\n" H "\r\n");
    turns(20);
    assert_int_equal(w.ask_count, 20);
    for (size_t i = 0; i < 18; i++)
        assert_true(reply(i, "x"));
    turns(20);
    assert_int_equal(w.ask_count, 20); /* two are not answered */
    say(other, "GET /echo HTTP/1.1\r\n" H "\r\n");
    UNTIL(heard_is(other, "200:|"));
    assert_true(reply(18, "x"));
    UNTIL(w.ask_count == 21);
    turns(20);
    assert_int_equal(w.ask_count, 21);
    ifab_http_slow(w.server, w.asks[0], 0); /* answered long ago: nothing happens */
    ifab_http_slow(w.server, 0, 0);
    turns(20);
    assert_int_equal(w.ask_count, 21);
    ifab_http_slow(w.server, w.asks[20], 1000); /* never more than the limit of all */
    for (int i = 0; i < 80; i++)
        say(c, "GET /hold HTTP/1.1\r\n" H "\r\n");
    UNTIL(w.ask_count == 19 + 64);
    turns(20);
    assert_int_equal(w.ask_count, 19 + 64);
    for (size_t i = 19; i < 130; i++) {
        UNTIL(w.ask_count > i);
        assert_true(reply(i, "x"));
    }
    UNTIL(c->in.size > 0 && strlen(heard(c)) == 130 * strlen("200:x|"));
}

static void writes_several_answers_of_one_turn_at_once(void **state)
{
    char bytes[4096];
    (void)state;
    begin(true);
    struct client *c = join(0);
    for (int i = 0; i < 3; i++)
        say(c, "GET /hold HTTP/1.1\r\n" H "\r\n");
    UNTIL(w.ask_count == 3);
    for (size_t i = 0; i < 3; i++)
        assert_true(reply(i, "x"));
    ssize_t n = recv(c->fd, bytes, sizeof bytes, MSG_PEEK);
    assert_true(n < 0); /* the call itself writes nothing */
    turn(false);
    n = recv(c->fd, bytes, sizeof bytes - 1, MSG_PEEK);
    assert_true(n > 0);
    bytes[n] = '\0';
    int count = 0;
    for (const char *at = bytes; (at = strstr(at, "200 OK")) != NULL; at++)
        count++;
    assert_int_equal(count, 3);
}

static void turns_connections_above_the_cap_away(void **state)
{
    (void)state;
    w.limits.connections = 2;
    w.limits.tcp_connections = 2;
    begin(false);
    struct client *a = join(0), *b = join(1);
    UNTIL(ifab_http_connections(w.server) == 2);
    struct client *c = join(2);
    UNTIL(c->ended);
    assert_true(heard_is(c, "503:{\"status\":503}|"));
    say(a, "GET /echo HTTP/1.1\r\n" H "\r\n");
    UNTIL(heard_is(a, "200:|"));
    close(b->fd);
    b->fd = 0;
    UNTIL(ifab_http_connections(w.server) == 1);
    struct client *d = join(3);
    say(d, "GET /echo HTTP/1.1\r\n" H "\r\n");
    UNTIL(heard_is(d, "200:|"));
}

/* The operator's socket is not to be locked out by a flood of addresses, nor all addresses by one of them. INV-12 */
static void tcp_and_unix_connections_have_caps_of_their_own(void **state)
{
    struct ifab_error err = {0};
    (void)state;
    w.limits.connections = 2;
    w.limits.tcp_connections = 3;
    begin(false);
    assert_int_equal(ifab_http_listen_unix(w.server, w.path, &err), IFAB_OK);
    for (size_t i = 0; i < 3; i++)
        (void)join(i);
    UNTIL(ifab_http_connections(w.server) == 3);
    struct client *c = join(3);
    UNTIL(c->ended);
    assert_true(heard_is(c, "503:{\"status\":503}|"));
    w.unix_only = true;
    struct client *d = join(4), *e = join(5);
    say(d, "GET /echo HTTP/1.1\r\n" H "\r\n");
    say(e, "GET /echo HTTP/1.1\r\n" H "\r\n");
    UNTIL(heard_is(d, "200:|") && heard_is(e, "200:|"));
    struct client *f = join(6);
    UNTIL(f->ended);
    assert_true(heard_is(f, "503:{\"status\":503}|"));
}

/* Bodies that never end are bounded together. INV-12 */
static void unfinished_bodies_are_bounded_together(void **state)
{
    static uint8_t bytes[100 * 1024];
    (void)state;
    w.limits.bodies_bytes = 250 * 1024;
    begin(false);
    for (size_t i = 0; i < 4; i++) {
        struct client *c = join(i);
        say(c, "POST /echo HTTP/1.1\r\n" H "Content-Length: 110000\r\n\r\n");
        memset(bytes, 'x', sizeof bytes);
        send_view(c, ifab_view_of(bytes, sizeof bytes));
        turns(20);
    }
    UNTIL(w.clients[2].ended && w.clients[3].ended);
    assert_true(heard_is(&w.clients[3], "503:{\"status\":503}|") || w.clients[3].reset);
    assert_false(w.clients[0].ended || w.clients[1].ended);
    struct client *small = join(4);
    say(small, "POST /echo HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nh");
    turns(5);
    say(small, "i");
    UNTIL(heard_is(small, "200:hi|"));
    send_view(&w.clients[0], ifab_view_of(bytes, 110000 - sizeof bytes)); /* what was let in may end, and makes room */
    UNTIL(strncmp(heard(&w.clients[0]), "200:", 4) == 0);
    struct client *next = join(5);
    say(next, "POST /echo HTTP/1.1\r\n" H "Content-Length: 100000\r\n\r\n");
    send_view(next, ifab_view_of(bytes, 100000));
    UNTIL(strncmp(heard(next), "200:", 4) == 0);
}

/* Answers that nobody reads are bounded together: who holds most of them goes, whoever reads is served. INV-12 */
static void unread_answers_are_bounded_together(void **state)
{
    static uint8_t bytes[300 * 1024];
    const struct ifab_view none = {NULL, 0}, body = {bytes, sizeof bytes};
    (void)state;
    memset(bytes, 'x', sizeof bytes);
    w.limits.answers_bytes = 2048 * 1024;
    begin(true);
    for (size_t behind = 0; behind < 2; behind++) { /* the peer does not read; or its first request is not answered */
        struct client *greedy = join(2 * behind), *other = join(2 * behind + 1);
        size_t first = w.ask_count, answered = 0;
        for (size_t i = 0; i < 12; i++)
            say(greedy, "GET /much HTTP/1.1\r\n" H "\r\n");
        while (w.ask_count < first + 12)
            turn(false);
        for (size_t i = behind; i < 12; i++) {
            answered += ifab_http_reply(w.server, w.asks[first + i], 200, "text/plain", none, body);
            turn(false);
        }
        assert_in_range(answered, 6, 11 - behind);
        say(other, "GET /little HTTP/1.1\r\n" H "\r\n");
        while (w.ask_count < first + 13)
            turn(false);
        assert_true(ifab_http_reply(w.server, w.asks[first + 12], 200, "text/plain", none, IFAB_VIEW("served")));
        UNTIL(heard_is(other, "200:served|"));
        UNTIL(greedy->ended || greedy->reset);
    }
}

static void one_address_leaves_room_for_others(void **state)
{
    (void)state;
    w.limits.tcp_connections = 4;
    w.limits.address_connections = 2;
    begin(false);
    struct client *a = join(0);
    (void)join(1);
    UNTIL(ifab_http_connections(w.server) == 2);
    struct client *c = join(2);
    UNTIL(c->ended);
    assert_true(heard_is(c, "503:{\"status\":503}|"));
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons(w.port)};
    from.sin_addr.s_addr = htonl(0x7F000002); /* 127.0.0.2 */
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct client *d = &w.clients[3];
    d->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ifab_buf_init(&d->in, 64 << 20);
    assert_int_equal(bind(d->fd, (const struct sockaddr *)&from, sizeof from), 0);
    assert_int_equal(connect(d->fd, (const struct sockaddr *)&to, sizeof to), 0);
    fcntl(d->fd, F_SETFL, O_NONBLOCK);
    say(d, "GET /echo HTTP/1.1\r\n" H "\r\n");
    UNTIL(heard_is(d, "200:|"));
    close(a->fd);
    a->fd = 0;
    UNTIL(ifab_http_connections(w.server) == 2);
    struct client *e = join(4);
    say(e, "GET /echo HTTP/1.1\r\n" H "\r\n");
    UNTIL(heard_is(e, "200:|"));
}

static void sends_no_body_for_head(void **state)
{
    (void)state;
    begin(false);
    struct client *c = join(0);
    say(c, "HEAD /hold HTTP/1.1\r\n" H "\r\n");
    UNTIL(w.ask_count == 1);
    assert_true(reply(0, "hello"));
    UNTIL(c->in.size > 0);
    assert_string_equal(heard_as(c, true), "200:|");
    assert_non_null(strstr((const char *)c->in.data, "Content-Length: 5\r\n"));
    assert_null(strstr((const char *)c->in.data, "hello"));
}

static void continues_when_asked_in_its_turn(void **state)
{
    (void)state;
    begin(false);
    struct client *c = join(0);
    say(c, "GET /hold HTTP/1.1\r\n" H "\r\nPOST /echo HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    UNTIL(w.ask_count == 1);
    turns(10);
    assert_int_equal(c->in.size, 0);
    assert_true(reply(0, "first"));
    UNTIL(heard_is(c, "200:first|100|"));
    say(c, "hello");
    UNTIL(heard_is(c, "200:first|100|200:hello|"));
    say(c, "POST /echo HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello"); /* not asked any more */
    UNTIL(heard_is(c, "200:first|100|200:hello|200:hello|"));
    say(c, "POST /small HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 50\r\n\r\n");
    UNTIL(c->ended);
    assert_true(heard_is(c, "200:first|100|200:hello|200:hello|413:{\"status\":413}|"));
}

static void closes_after_http_1_0_and_connection_close(void **state)
{
    (void)state;
    begin(false);
    struct client *c = join(0), *d = join(1), *e = join(2);
    say(c, "GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /hold HTTP/1.0\r\n\r\n");
    say(d, "GET /echo HTTP/1.1\r\n" H "Connection: close\r\n\r\nGET /hold HTTP/1.1\r\n" H "\r\n");
    say(e, "GET /hold HTTP/1.1\r\n" H "\r\nGET /hold HTTP/1.1\r\n" H "\r\n");
    UNTIL(c->ended && d->ended && w.ask_count == 2);
    assert_true(heard_is(c, "200:|"));
    assert_true(heard_is(d, "200:|"));
    assert_true(ifab_http_reply_close(w.server, w.asks[0], 403, NULL, (struct ifab_view){NULL, 0}, IFAB_VIEW("no")));
    UNTIL(e->ended);
    assert_true(heard_is(e, "403:no|"));
    close(e->fd);
    e->fd = 0;
    UNTIL(w.gone_count == 1); /* the second one of it */
    assert_true(w.gone[0] == w.asks[1]);
}

static void aborts_without_an_answer_after_the_earlier_ones(void **state)
{
    (void)state;
    begin(true);
    struct client *c = join(0);
    for (int i = 0; i < 3; i++)
        say(c, "GET /hold HTTP/1.1\r\n" H "\r\n");
    UNTIL(w.ask_count == 3);
    w.in_call = true;
    ifab_http_abort(w.server, w.asks[1]);
    w.in_call = false;
    turns(10);
    assert_false(c->ended);
    assert_true(reply(0, "first"));
    UNTIL(c->ended);
    assert_true(heard_is(c, "200:first|"));
    UNTIL(w.gone_count == 1);
    assert_true(w.gone[0] == w.asks[2]); /* of the aborted one the user knows */
    assert_false(reply(1, "late"));
}

static void tells_when_the_client_of_an_unanswered_request_has_gone(void **state)
{
    (void)state;
    begin(true);
    struct client *c = join(0), *half = join(1);
    say(c, "GET /hold HTTP/1.1\r\n" H "\r\n");
    UNTIL(w.ask_count == 1);
    say(half, "GET /hold HTTP/1.1\r\n" H "\r\n");
    UNTIL(w.ask_count == 2);
    close(c->fd);
    c->fd = 0;
    shutdown(half->fd, SHUT_WR); /* this one still listens */
    UNTIL(w.gone_count == 1);
    assert_true(w.gone[0] == w.asks[0]);
    assert_false(reply(0, "x"));
    assert_true(reply(1, "y"));
    UNTIL(half->ended);
    assert_true(heard_is(half, "200:y|"));
    assert_int_equal(w.gone_count, 1);
}

static void streams_in_chunks_until_the_end(void **state)
{
    (void)state;
    begin(false);
    struct client *c = join(0), *old = join(1);
    say(c, "GET /hold HTTP/1.1\r\n" H "\r\nGET /hold HTTP/1.1\r\n" H "\r\nPOST /echo HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nz");
    UNTIL(w.ask_count == 2);
    assert_true(ifab_http_stream(w.server, w.asks[1], 200, "text/event-stream")); /* not its turn yet */
    assert_int_equal(ifab_http_stream_write(w.server, w.asks[1], IFAB_VIEW("early "), false), IFAB_OK);
    assert_int_equal(ifab_http_stream_write(w.server, w.asks[0], IFAB_VIEW("x"), false), IFAB_NOT_FOUND); /* no stream */
    assert_true(reply(0, "a"));
    UNTIL(heard_is(c, "200:a|200:early …"));
    assert_int_equal(ifab_http_stream_write(w.server, w.asks[1], (struct ifab_view){NULL, 0}, false), IFAB_OK); /* not an end */
    assert_int_equal(ifab_http_stream_write(w.server, w.asks[1], IFAB_VIEW("later"), false), IFAB_OK);
    UNTIL(heard_is(c, "200:a|200:early later…"));
    ifab_http_stream_end(w.server, w.asks[1]);
    UNTIL(heard_is(c, "200:a|200:early later|200:z|"));
    assert_int_equal(ifab_http_stream_write(w.server, w.asks[1], IFAB_VIEW("x"), false), IFAB_NOT_FOUND);
    say(old, "GET /hold HTTP/1.0\r\n\r\n");
    UNTIL(w.ask_count == 3);
    assert_true(ifab_http_stream(w.server, w.asks[2], 200, "text/event-stream"));
    assert_int_equal(ifab_http_stream_write(w.server, w.asks[2], IFAB_VIEW("plain"), false), IFAB_OK);
    ifab_http_stream_end(w.server, w.asks[2]);
    UNTIL(old->ended);
    assert_memory_equal(old->in.data + old->in.size - 9, "\r\n\r\nplain", 9);
}

static void says_full_when_a_stream_is_not_read(void **state)
{
    static uint8_t block[4096];
    size_t written = 0;
    ifab_status status = IFAB_OK;
    (void)state;
    w.limits.write_bytes = 65536;
    w.limits.idle_ms = 400;
    begin(true);
    struct client *c = join(0);
    say(c, "GET /hold HTTP/1.1\r\n" H "\r\n");
    UNTIL(w.ask_count == 1);
    memset(block, 'e', sizeof block);
    assert_true(ifab_http_stream(w.server, w.asks[0], 200, "text/event-stream"));
    while (status == IFAB_OK && written < ((size_t)64 << 20)) {
        status = ifab_http_stream_write(w.server, w.asks[0], ifab_view_of(block, sizeof block), false);
        written += status == IFAB_OK ? sizeof block : 0;
        turn(false); /* nobody reads */
    }
    assert_int_equal(status, IFAB_FULL);
    assert_true(written >= 65536);
    assert_int_equal(ifab_http_stream_write(w.server, w.asks[0], IFAB_VIEW("event: lagged\n\n"), true), IFAB_OK);
    ifab_http_stream_end(w.server, w.asks[0]);
    UNTIL(c->in.size > written);
    UNTIL(memmem(c->in.data, c->in.size, "event: lagged\n\n\r\n0\r\n\r\n", 22) != NULL);
    UNTIL(ifab_http_connections(w.server) == 0);
}

static void gives_up_a_peer_that_takes_nothing(void **state)
{
    static uint8_t block[32768];
    (void)state;
    w.limits.idle_ms = 400;
    w.limits.write_bytes = 1 << 20;
    begin(true);
    struct client *c = join(0);
    say(c, "GET /hold HTTP/1.1\r\n" H "\r\n");
    UNTIL(w.ask_count == 1);
    assert_true(ifab_http_stream(w.server, w.asks[0], 200, "text/event-stream"));
    while (ifab_http_stream_write(w.server, w.asks[0], ifab_view_of(block, sizeof block), false) == IFAB_OK)
        turn(false);
    for (int i = 0; i < 5000 && w.gone_count == 0; i++) {
        turn(false);
        usleep(1000);
    }
    assert_int_equal(w.gone_count, 1);
    assert_int_equal(ifab_http_stream_write(w.server, w.asks[0], IFAB_VIEW("x"), true), IFAB_NOT_FOUND);
}

static void tells_when_the_reader_of_a_stream_leaves(void **state)
{
    (void)state;
    begin(false);
    struct client *c = join(0), *closing = join(1);
    say(c, "GET /hold HTTP/1.1\r\n" H "\r\n");
    UNTIL(w.ask_count == 1);
    say(closing, "GET /hold HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
    UNTIL(w.ask_count == 2);
    for (size_t i = 0; i < 2; i++)
        assert_true(ifab_http_stream(w.server, w.asks[i], 200, "text/event-stream"));
    UNTIL(c->in.size > 0 && closing->in.size > 0);
    for (size_t i = 0; i < 2; i++) {
        close(w.clients[i].fd);
        w.clients[i].fd = 0;
    }
    UNTIL(w.gone_count == 2);
    assert_int_equal(ifab_http_connections(w.server), 0);
}

static void sends_large_answers_whole(void **state)
{
    size_t size = (size_t)8 << 20;
    uint8_t *body = malloc(size);
    (void)state;
    assert_non_null(body);
    for (size_t i = 0; i < size; i++)
        body[i] = (uint8_t)('a' + i % 23);
    begin(true);
    struct client *c = join(0);
    say(c, "GET /hold HTTP/1.1\r\n" H "\r\nPOST /echo HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nz");
    UNTIL(w.ask_count == 1);
    assert_true(ifab_http_reply(w.server, w.asks[0], 200, NULL, IFAB_VIEW("X-A: b\r\n"), ifab_view_of(body, size)));
    UNTIL(c->in.size > size + 100);
    turns(10);
    const uint8_t *at = memmem(c->in.data, c->in.size, "\r\n\r\n", 4);
    assert_non_null(at);
    assert_memory_equal(at + 4, body, size);
    assert_memory_equal(c->in.data + c->in.size - 5, "\r\n\r\nz", 5);
    free(body);
}

static void never_sends_a_header_that_could_begin_a_second_answer(void **state)
{
    static const char *const headers[] = {
        "X: a\r\n\r\nHTTP/1.1 200 OK\r\n", "X: a", "X: a\n", "X: a\r\r\n", "X a\r\n", ": a\r\n", " X: a\r\n", "X: \x01\r\n"};
    (void)state;
    begin(true);
    struct client *c = join(0);
    for (size_t i = 0; i < IFAB_COUNT(headers); i++) {
        say(c, "GET /hold HTTP/1.1\r\n" H "\r\n");
        UNTIL(w.ask_count == i + 1);
        assert_true(ifab_http_reply(w.server, w.asks[i], 200, NULL, ifab_view_str(headers[i]), IFAB_VIEW("x")));
    }
    UNTIL(strlen(heard(c)) == IFAB_COUNT(headers) * strlen("500:{\"status\":500}|"));
    assert_null(strstr(heard(c), "200"));
}

static void stop_closes_idle_ones_at_once_and_others_after_their_answer(void **state)
{
    struct stat st;
    (void)state;
    begin(true);
    struct client *idle = join(0), *asked = join(1), *half = join(2);
    say(idle, "GET /echo HTTP/1.1\r\n" H "\r\n");
    say(asked, "GET /hold HTTP/1.1\r\n" H "\r\nGET /hold HTTP/1.1\r\n" H "\r\n");
    say(half, "GET /hold HT");
    UNTIL(w.ask_count == 2 && heard_is(idle, "200:|"));
    w.in_call = true;
    ifab_http_server_stop(w.server, on_done, &w);
    w.in_call = false;
    UNTIL(idle->ended && half->ended);
    assert_int_equal(half->in.size, 0);
    assert_int_equal(stat(w.path, &st), -1); /* no new ones */
    assert_false(asked->ended);
    assert_int_equal(w.done_count, 0);
    say(asked, "GET /hold HTTP/1.1\r\n" H "\r\n"); /* too late */
    turns(10);
    assert_int_equal(w.ask_count, 2);
    assert_true(reply(1, "two"));
    assert_true(reply(0, "one"));
    UNTIL(asked->ended);
    assert_true(heard_is(asked, "200:one|200:two|"));
    close(asked->fd);
    asked->fd = 0;
    UNTIL(w.done_count == 1);
    assert_int_equal(w.gone_count, 0);
    ifab_http_server_free(w.server);
    w.freed = true;
}

static void stop_without_connections_still_says_done_later(void **state)
{
    (void)state;
    begin(false);
    w.in_call = true;
    ifab_http_server_stop(w.server, on_done, &w);
    w.in_call = false;
    assert_int_equal(w.done_count, 0);
    UNTIL(w.done_count == 1);
}

static void kill_closes_everything_at_once(void **state)
{
    (void)state;
    begin(true);
    struct client *asked = join(0), *streaming = join(1);
    say(asked, "GET /hold HTTP/1.1\r\n" H "\r\n");
    UNTIL(w.ask_count == 1);
    say(streaming, "GET /hold HTTP/1.1\r\n" H "\r\n");
    UNTIL(w.ask_count == 2);
    assert_true(ifab_http_stream(w.server, w.asks[1], 200, NULL));
    ifab_http_server_stop(w.server, on_done, &w);
    turns(5);
    assert_int_equal(w.done_count, 0);
    w.in_call = true;
    ifab_http_server_kill(w.server);
    w.in_call = false;
    assert_false(reply(0, "late")); /* known to be lost: not told again */
    UNTIL(w.done_count == 1 && asked->ended && streaming->ended);
    assert_int_equal(w.gone_count, 1);
    assert_true(w.gone[0] == w.asks[1]);
}

static void listens_where_it_may_and_nowhere_else(void **state)
{
    static const struct {
        const char *address;
        ifab_status status;
    } rows[] = {
        {"127.0.0.1:0", IFAB_OK},
        {"127.8.9.1:0", IFAB_OK},
        {"0.0.0.0:0", IFAB_UNSUPPORTED},
        {"192.0.2.1:80", IFAB_UNSUPPORTED},
        {"[::]:0", IFAB_UNSUPPORTED},
        {"[::ffff:127.0.0.1]:0", IFAB_UNSUPPORTED},
        {"localhost:0", IFAB_INVALID},
        {"127.0.0.1", IFAB_INVALID},
        {"127.0.0.1:", IFAB_INVALID},
        {"127.0.0.1:65536", IFAB_INVALID},
        {"127.0.0.1:8x", IFAB_INVALID},
        {"127.1:0", IFAB_INVALID},
        {"[::1]", IFAB_INVALID},
        {"::1:0", IFAB_INVALID},
        {"", IFAB_INVALID},
        {"2130706433:0", IFAB_INVALID},
    };
    char text[32];
    (void)state;
    begin(false);
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        struct ifab_error err = {0};
        uint16_t port = 0;
        ifab_status got = ifab_http_listen_tcp(w.server, rows[i].address, &port, &err);
        if (got != rows[i].status || (got == IFAB_OK) != (port != 0))
            fail_msg("%s: %s %s", rows[i].address, ifab_status_name(got), err.text);
        if (got == IFAB_UNSUPPORTED)
            assert_string_equal(err.text, "A non-loopback address needs TLS: set http.certificate and http.key.");
    }
    struct ifab_error err = {0};
    snprintf(text, sizeof text, "127.0.0.1:%u", w.port);
    assert_int_equal(ifab_http_listen_tcp(w.server, text, NULL, &err), IFAB_CONFLICT);
}

static void replaces_a_dead_socket_and_respects_a_live_one(void **state)
{
    struct ifab_error err = {0};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char path[160];
    (void)state;
    begin(false);
    memcpy(un.sun_path, w.path, strlen(w.path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&un, sizeof un), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(ifab_http_listen_unix(w.server, w.path, &err), IFAB_CONFLICT); /* alive */
    close(fd);
    assert_int_equal(ifab_http_listen_unix(w.server, w.path, &err), IFAB_OK); /* dead */
    w.unix_only = true;
    struct client *c = join(0);
    say(c, "GET /echo HTTP/1.1\r\n" H "\r\n");
    UNTIL(heard_is(c, "200:|"));
    snprintf(path, sizeof path, "%s/f", w.dir);
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    close(fd);
    assert_int_equal(ifab_http_listen_unix(w.server, path, &err), IFAB_CONFLICT); /* a file is never removed */
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s/none/s", w.dir);
    assert_int_equal(ifab_http_listen_unix(w.server, path, &err), IFAB_IO);
    memset(path, 'x', 131);
    path[131] = '\0';
    err = (struct ifab_error){0};
    assert_int_equal(ifab_http_listen_unix(w.server, path, &err), IFAB_INVALID);
    assert_string_equal(err.text, "Socket path has 131 bytes, the system allows 107: set run.dir.");
}

static void abort_asks(void)
{
    for (; w.ask_count > 0; w.ask_count--)
        ifab_http_abort(w.server, w.asks[w.ask_count - 1]);
}

static void survives_any_failing_allocation(void **state)
{
    (void)state;
    begin(true);
    for (uint64_t n = 1; n < 60; n++) {
        struct client *c = join(0);
        ifab_mem_fail_at(n);
        say(c, "GET /echo HTTP/1.1\r\n" H "\r\nPOST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n");
        for (int i = 0; i < 4; i++)
            uv_run(&w.loop, UV_RUN_NOWAIT);
        say(c, "GET /hold HTTP/1.1\r\n" H "\r\n");
        for (int i = 0; i < 4; i++)
            uv_run(&w.loop, UV_RUN_NOWAIT);
        bool failed = ifab_mem_failed();
        ifab_mem_fail_at(0);
        UNTIL((abort_asks(), c->ended)); /* also the connection that had to wait for memory to be accepted */
        close(c->fd);
        c->fd = 0;
        ifab_buf_fini(&c->in);
        UNTIL(ifab_http_connections(w.server) == 0);
        if (!failed) {
            assert_true(n > 4);
            return;
        }
    }
    fail();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(answers_a_request_and_keeps_the_connection),
        TEST(tells_who_is_behind_a_unix_socket),
        TEST(answers_in_order_when_answered_out_of_order),
        TEST(reads_requests_split_at_every_byte),
        TEST(answers_malformed_requests_itself_and_closes),
        TEST(refuses_a_head_above_its_limit),
        TEST(gives_the_client_time_to_read_why_its_body_was_refused),
        TEST(times_out_a_slow_head_and_a_slow_body),
        TEST(closes_idle_connections_silently_but_waits_for_the_user),
        TEST(stops_reading_at_the_pipelining_limit_and_goes_on_after_answers),
        TEST(slowed_connection_is_read_no_further_than_it_may),
        TEST(writes_several_answers_of_one_turn_at_once),
        TEST(turns_connections_above_the_cap_away),
        TEST(tcp_and_unix_connections_have_caps_of_their_own),
        TEST(unread_answers_are_bounded_together),
        TEST(one_address_leaves_room_for_others),
        TEST(unfinished_bodies_are_bounded_together),
        TEST(each_line_of_a_body_has_its_deadline),
        TEST(slow_line_and_lines_without_end_time_out),
        TEST(sends_no_body_for_head),
        TEST(continues_when_asked_in_its_turn),
        TEST(closes_after_http_1_0_and_connection_close),
        TEST(aborts_without_an_answer_after_the_earlier_ones),
        TEST(tells_when_the_client_of_an_unanswered_request_has_gone),
        TEST(streams_in_chunks_until_the_end),
        TEST(says_full_when_a_stream_is_not_read),
        TEST(gives_up_a_peer_that_takes_nothing),
        TEST(tells_when_the_reader_of_a_stream_leaves),
        TEST(sends_large_answers_whole),
        TEST(never_sends_a_header_that_could_begin_a_second_answer),
        TEST(stop_closes_idle_ones_at_once_and_others_after_their_answer),
        TEST(stop_without_connections_still_says_done_later),
        TEST(kill_closes_everything_at_once),
        TEST(listens_where_it_may_and_nowhere_else),
        TEST(replaces_a_dead_socket_and_respects_a_live_one),
        TEST(survives_any_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * The curl back-end under attack, against peers on loopback: who it connects to, what it sends, what it takes. A refusal here is worth something
 * only because the peer says that nothing came. INV-08, INV-09
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <assert.h>
#include <curl/curl.h>
#include <dlfcn.h>

#include "../conformance/conformance_egress.c"

#include <sys/stat.h>

static struct egress_backend *const b = &egress_backends[1];
static peer_handler *handler;
static bool handled(struct peer *peer, int fd, struct ifab_view request, void *user) { return handler(peer, fd, request, user); }

/* curl with a handler of our own and names that resolve as the test says. */
static void open_attack(peer_handler *with, const char *const *resolve, const char *ca_file)
{
    struct ifab_egress_settings settings = {.version = IFAB_EGRESS_ABI, .wake = wake, .user = &b->wake_fd, .resolve = resolve, .ca_file = ca_file};
    handler = with;
    b->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_int_equal(ifab_egress_curl_open(&settings, &b->egress, NULL), IFAB_OK);
    b->inner = b->egress;
}
static void begin_peer(void)
{
    peer_begin(&b->peer, handled, NULL);
    b->port = b->peer.port;
}
static void open_both(peer_handler *with)
{
    begin_peer();
    open_attack(with, NULL, NULL);
}
static void close_both(void)
{
    ifab_egress_close(b->egress);
    peer_end(&b->peer);
    (void)close(b->wake_fd);
}
static struct ifab_egress_request named(const char *scheme, const char *host, unsigned port, const char *path)
{
    struct ifab_egress_request r = usual(b, "GET", "/v1/x");
    (void)snprintf(origin_text, sizeof origin_text, "%s://%s:%u", scheme, host, port);
    (void)snprintf(url_text, sizeof url_text, "%s%s", origin_text, path);
    r.url = ifab_view_str(url_text);
    assert_int_equal(ifab_origin_read(ifab_view_str(origin_text), &row.origin, NULL), IFAB_OK);
    return r;
}
static bool hello(struct peer *peer, int fd, struct ifab_view request, void *user)
{
    (void)peer;
    (void)request;
    (void)user;
    peer_answer(fd, 200, "Set-Cookie: taste=sweet; Path=/\r\n", IFAB_VIEW("hello"));
    return true;
}
static bool text_has(struct ifab_view text, const char *what) { return memmem(text.data, text.size, what, strlen(what)) != NULL; }

/* Names that resolve to what is not public: refused, whatever the form, and nothing arrives. */
static void names_do_not_lead_inside(void **state)
{
    static const struct {
        const char *addresses;
        enum ifab_egress_failure failure;
    } rows[] = {
        {"127.0.0.1", IFAB_EGRESS_ADDRESS},
        {"[::1]", IFAB_EGRESS_ADDRESS},
        {"[::ffff:127.0.0.1]", IFAB_EGRESS_ADDRESS},
        {"10.0.0.1", IFAB_EGRESS_ADDRESS},
        {"192.168.1.1", IFAB_EGRESS_ADDRESS},
        {"100.64.0.1", IFAB_EGRESS_ADDRESS},
        {"[fe80::1]", IFAB_EGRESS_ADDRESS},
        {"[fd00::1]", IFAB_EGRESS_ADDRESS},
        {"[64:ff9b::7f00:1]", IFAB_EGRESS_ADDRESS},
        {"[64:ff9b:1::7f00:1]", IFAB_EGRESS_ADDRESS},
        {"[2002:7f00:1::]", IFAB_EGRESS_ADDRESS},
        {"[::7f00:1]", IFAB_EGRESS_ADDRESS},
        {"[2001:0:7f00:1::f5ff:fffe]", IFAB_EGRESS_ADDRESS},
        {"127.0.0.1,10.0.0.1", IFAB_EGRESS_ADDRESS},
        {"169.254.169.254", IFAB_EGRESS_FORBIDDEN_ADDRESS},
        {"[::ffff:169.254.169.254]", IFAB_EGRESS_FORBIDDEN_ADDRESS},
        {"[fd00:ec2::254]", IFAB_EGRESS_FORBIDDEN_ADDRESS},
        {"[64:ff9b::a9fe:a9fe]", IFAB_EGRESS_FORBIDDEN_ADDRESS},
        {"0.0.0.0", IFAB_EGRESS_FORBIDDEN_ADDRESS},
        {"[::]", IFAB_EGRESS_FORBIDDEN_ADDRESS},
        {"255.255.255.255", IFAB_EGRESS_FORBIDDEN_ADDRESS},
        {"224.0.0.1", IFAB_EGRESS_FORBIDDEN_ADDRESS},
        {"100.100.100.200", IFAB_EGRESS_FORBIDDEN_ADDRESS},
    };
    (void)state;
    begin_peer();
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        char entry[200];
        const char *const resolve[] = {entry, NULL};
        (void)snprintf(entry, sizeof entry, "api.example:%u:%s", b->port, rows[i].addresses);
        open_attack(hello, resolve, NULL);
        struct ifab_egress_request r = named("http", "api.example", b->port, "/v1/x");
        r.exception_count = 0;
        r.idempotent = true;
        r.attempts = 3; /* a refusal is not tried again */
        struct ifab_egress_event *event = asked(b, &r);
        if (event->kind != IFAB_EGRESS_FAILED || event->problem.failure != rows[i].failure || event->maybe_sent || event->attempts != 1)
            fail_msg("%s: kind %d: %s", rows[i].addresses, event->kind, event->problem.text);
        ifab_egress_event_free(event);
        ifab_egress_close(b->egress);
        (void)close(b->wake_fd);
    }
    open_attack(hello, NULL, NULL);
    struct ifab_egress_request r = named("http", "localhost", b->port, "/v1/x"); /* by the system's resolver */
    r.exception_count = 0;
    failed(b, &r, IFAB_EGRESS_ADDRESS);
    assert_int_equal(atomic_load(&b->peer.connections), 0);
    close_both();
}
static void the_operators_exception_lets_a_name_in(void **state)
{
    char entry[100];
    const char *const resolve[] = {entry, NULL};
    (void)state;
    begin_peer();
    (void)snprintf(entry, sizeof entry, "api.example:%u:127.0.0.1", b->port);
    open_attack(hello, resolve, NULL);
    struct ifab_egress_request r = named("http", "api.example", b->port, "/v1/x");
    struct ifab_egress_event *event = asked(b, &r);
    assert_int_equal(event->status, 200);
    assert_string_equal(event->address, "127.0.0.1");
    ifab_egress_event_free(event);
    char host[60];
    (void)snprintf(host, sizeof host, "\r\nHost: api.example:%u\r\n", b->port);
    assert_true(peer_saw(&b->peer, host));
    /* but not to our own listeners, of whatever address of this machine */
    struct ifab_egress_listener listener = {.port = b->port};
    r.listeners = &listener;
    r.listener_count = 1;
    failed(b, &r, IFAB_EGRESS_OWN_LISTENER);
    assert_int_equal(atomic_load(&b->peer.requests), 1);
    close_both();
}
/* Of several addresses one that may not be reached spoils all: an answer that mixes them is no honest one. */
static void a_mixed_answer_is_refused(void **state)
{
    char entry[100];
    const char *const resolve[] = {entry, NULL};
    (void)state;
    begin_peer();
    (void)snprintf(entry, sizeof entry, "api.example:%u:10.9.9.9,127.0.0.1", b->port);
    open_attack(hello, resolve, NULL);
    struct ifab_egress_request r = named("http", "api.example", b->port, "/v1/x");
    failed(b, &r, IFAB_EGRESS_ADDRESS);
    assert_int_equal(atomic_load(&b->peer.requests), 0);
    close_both();
}
/* A connection from a time when it was permitted is judged again by today's configuration. */
static void used_connections_are_judged_again(void **state)
{
    (void)state;
    char entry[100];
    const char *const resolve[] = {entry, NULL};
    begin_peer();
    (void)snprintf(entry, sizeof entry, "api.example:%u:127.0.0.1", b->port);
    open_attack(hello, resolve, NULL);
    struct ifab_egress_request r = named("http", "api.example", b->port, "/v1/x");
    r.idempotent = true;
    answered(b, &r, 200, "hello");
    answered(b, &r, 200, "hello");
    assert_int_equal(atomic_load(&b->peer.connections), 1);
    r.exception_count = 0;
    failed(b, &r, IFAB_EGRESS_ADDRESS);
    assert_int_equal(atomic_load(&b->peer.requests), 2);
    close_both();
}
static void connections_are_shared_within_one_tenant_origin_and_credential(void **state)
{
    (void)state;
    open_both(hello);
    struct ifab_egress_request r = usual(b, "GET", "/v1/x");
    char record[100];
    (void)snprintf(record, sizeof record, "%s", origin_text);
    struct lender l = {CANARY, record, 0, 0};
    struct ifab_egress_credential c = credential_of(&l, IFAB_CREDENTIAL_BEARER, "", record);
    r.idempotent = true;
#define CONNECTIONS(n)                                            \
    do {                                                          \
        answered(b, &r, 200, "hello");                            \
        assert_int_equal(atomic_load(&b->peer.connections), (n)); \
    } while (0)
    CONNECTIONS(1);
    CONNECTIONS(1);
    r.tenant = IFAB_VIEW("another");
    CONNECTIONS(2);
    CONNECTIONS(2);
    r.credential = &c;
    CONNECTIONS(3);
    CONNECTIONS(3);
    c.id = IFAB_VIEW("test/2"); /* the next version of the secret */
    CONNECTIONS(4);
    c.as = IFAB_CREDENTIAL_HEADER;
    c.field = IFAB_VIEW("X-Key");
    CONNECTIONS(5);
    r.idempotent = false; /* on its own: libcurl could send it twice over a used one */
    CONNECTIONS(6);
    close_both();
}

static void no_proxy_no_netrc_no_cookies(void **state)
{
    static struct peer proxy;
    char value[60], home[] = "/tmp/ifab-egress-XXXXXX", path[100];
    static const char *const names[] = {"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
    (void)state;
    peer_begin(&proxy, handled, NULL);
    (void)snprintf(value, sizeof value, "http://127.0.0.1:%u", proxy.port);
    for (size_t i = 0; i < IFAB_COUNT(names); i++)
        assert_int_equal(setenv(names[i], value, 1), 0);
    (void)unsetenv("no_proxy");
    assert_non_null(mkdtemp(home));
    (void)snprintf(path, sizeof path, "%s/.netrc", home);
    FILE *netrc = fopen(path, "w");
    assert_non_null(netrc);
    (void)fprintf(netrc, "default login netrcuser password netrcpass\n");
    (void)fclose(netrc);
    assert_int_equal(setenv("HOME", home, 1), 0);
    open_both(hello);
    struct ifab_egress_request r = usual(b, "GET", "/v1/x");
    r.idempotent = true;
    for (int i = 0; i < 3; i++)
        answered(b, &r, 200, "hello");
    assert_int_equal(atomic_load(&proxy.connections), 0);
    assert_false(peer_saw(&b->peer, "Authorization"));
    assert_false(peer_saw(&b->peer, "Cookie"));
    assert_false(peer_saw(&b->peer, "Proxy"));
    assert_true(peer_saw(&b->peer, "Accept-Encoding: identity\r\n"));
    close_both();
    peer_end(&proxy);
    for (size_t i = 0; i < IFAB_COUNT(names); i++)
        (void)unsetenv(names[i]);
    (void)unlink(path);
    (void)rmdir(home);
}

static bool redirecting(struct peer *peer, int fd, struct ifab_view request, void *user)
{
    static const char *const targets[] = {"/v1/secret",         "//evil.example/",        "http://169.254.169.254/latest/meta-data/",
                                          "file:///etc/passwd", "gopher://127.0.0.1:25/", "https://u:p@evil.example/"};
    static const int statuses[] = {301, 302, 303, 307, 308, 300};
    char head[200];
    (void)peer;
    (void)user;
    const uint8_t *q = memmem(request.data, request.size, "n=", 2);
    size_t n = q == NULL ? 0 : (size_t)(q[2] - '0');
    (void)snprintf(head, sizeof head, "Location: %s\r\n", targets[n]);
    peer_answer(fd, statuses[n], head, IFAB_VIEW("moved"));
    return true;
}
static void redirects_are_answers(void **state)
{
    (void)state;
    open_both(redirecting);
    for (int n = 0; n < 6; n++) {
        char path[20];
        (void)snprintf(path, sizeof path, "/v1/x?n=%d", n);
        struct ifab_egress_request r = usual(b, "GET", path);
        struct ifab_egress_event *event = asked(b, &r);
        assert_int_equal(event->status / 100, 3);
        assert_string_equal(test_text(event->headers[0].name), "location");
        ifab_egress_event_free(event);
        assert_int_equal(atomic_load(&b->peer.requests), n + 1);
    }
    assert_false(peer_saw(&b->peer, "/v1/secret"));
    close_both();
}

/* What a hostile server says instead of an answer. The path's last character is the row. */
static bool hostile(struct peer *peer, int fd, struct ifab_view request, void *user)
{
    static const char fold[] = "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 0\r\n\r\n";
    char block[8192];
    (void)user;
    memset(block, 'x', sizeof block);
    const uint8_t *q = memmem(request.data, request.size, "/v1/", 4);
    switch (q == NULL ? 0 : q[4]) {
    case 'a': /* a body without an end */
        peer_text(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (int i = 0; i < 4096 && !atomic_load(&peer->stopping); i++) {
            peer_text(fd, "2000\r\n");
            peer_write(fd, block, sizeof block);
            peer_text(fd, "\r\n");
        }
        return false;
    case 'b': /* a byte now and then */
        peer_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        for (int i = 0; i < 200 && !atomic_load(&peer->stopping); i++) {
            peer_text(fd, "x");
            (void)usleep(20000);
        }
        return false;
    case 'c': /* a field of 128 KiB */
        peer_text(fd, "HTTP/1.1 200 OK\r\nX-Long: ");
        for (int i = 0; i < 16; i++)
            peer_write(fd, block, sizeof block);
        peer_text(fd, "\r\nContent-Length: 0\r\n\r\n");
        return false;
    case 'd': /* fields without an end */
        peer_text(fd, "HTTP/1.1 200 OK\r\n");
        for (int i = 0; i < 100000 && !atomic_load(&peer->stopping); i++)
            peer_text(fd, "A: b\r\n");
        return false;
    case 'e': /* interim answers without an end */
        for (int i = 0; i < 100000 && !atomic_load(&peer->stopping); i++)
            peer_text(fd, "HTTP/1.1 100 Continue\r\n\r\n");
        return false;
    case 'f': /* says it is large */
        peer_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\nx");
        return false;
    case 'g': /* bombs: 1 KiB of gzip would be 1 MiB */
        peer_text(fd, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08");
        return true;
    case 'h':
        peer_text(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\n\x1f\x8b\x08\r\n0\r\n\r\n");
        return true;
    case 'i': /* HTTP/0.9 */
        peer_text(fd, "just text");
        return false;
    case 'j':
        peer_text(fd, fold);
        return true;
    case 'k': /* a NUL */
        peer_write(fd, "HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n", 47);
        return true;
    case 'l': /* cut short */
        peer_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort");
        return false;
    case 'm': /* another protocol */
        peer_text(fd, "220 mail.example ESMTP\r\n");
        return false;
    case 'n': /* switches without being asked */
        peer_text(fd, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nPRI * HTTP/2.0\r\n\r\n");
        return false;
    case 'o': /* says nothing */
        (void)recv(fd, block, 1, 0);
        return false;
    case 'p': /* trailers without an end */
        peer_text(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
        for (int i = 0; i < 100000 && !atomic_load(&peer->stopping); i++)
            peer_text(fd, "T: b\r\n");
        return false;
    default:
        peer_answer(fd, 200, NULL, IFAB_VIEW("default"));
        return true;
    }
}
static void hostile_answers_are_errors(void **state)
{
    static const struct {
        char what;
        enum ifab_egress_failure failure;
    } rows[] = {
        {'a', IFAB_EGRESS_RESPONSE_TOO_LARGE}, {'b', IFAB_EGRESS_DEADLINE},           {'c', IFAB_EGRESS_RESPONSE}, {'d', IFAB_EGRESS_RESPONSE},
        {'e', IFAB_EGRESS_RESPONSE},           {'f', IFAB_EGRESS_RESPONSE_TOO_LARGE}, {'g', IFAB_EGRESS_RESPONSE}, {'h', IFAB_EGRESS_RESPONSE},
        {'i', IFAB_EGRESS_RESPONSE},           {'j', IFAB_EGRESS_RESPONSE},           {'k', IFAB_EGRESS_RESPONSE}, {'l', IFAB_EGRESS_TRANSPORT},
        {'m', IFAB_EGRESS_RESPONSE},           {'n', IFAB_EGRESS_RESPONSE},           {'o', IFAB_EGRESS_DEADLINE}, {'p', IFAB_EGRESS_RESPONSE}};
    (void)state;
    open_both(hostile);
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        char path[20];
        (void)snprintf(path, sizeof path, "/v1/%c", rows[i].what);
        struct ifab_egress_request r = usual(b, "GET", path);
        if (rows[i].failure == IFAB_EGRESS_DEADLINE)
            r.timeout = IFAB_SECOND / 2;
        struct ifab_egress_event *event = asked(b, &r);
        if (event->kind != IFAB_EGRESS_FAILED || event->problem.failure != rows[i].failure || event->body.size != 0)
            fail_msg("%c: kind %d status %d: %s", rows[i].what, event->kind, event->status, event->problem.text);
        assert_true(event->maybe_sent);
        ifab_egress_event_free(event);
        struct ifab_egress_request after = usual(b, "GET", "/v1/z"); /* and the next one is served */
        answered(b, &after, 200, "default");
    }
    close_both();
}

/* libcurl as it is when its timer came a moment before its time and was not set again: from when this says so, time does not reach it. */
static atomic_bool timeless;
CURLMcode curl_multi_socket_action(CURLM *multi, curl_socket_t fd, int mask, int *running)
{
    CURLMcode (*real)(CURLM *, curl_socket_t, int, int *);
    void *found = dlsym(RTLD_NEXT, "curl_multi_socket_action");
    if (fd == CURL_SOCKET_TIMEOUT && atomic_load(&timeless))
        return CURLM_OK;
    assert(found != NULL);
    memcpy(&real, &found, sizeof real);
    return real(multi, fd, mask, running);
}

static bool silence(struct peer *peer, int fd, struct ifab_view request, void *user)
{
    char block;
    (void)peer;
    (void)request;
    (void)user;
    atomic_store(&timeless, true);
    (void)recv(fd, &block, 1, 0);
    return false;
}

static void a_deadline_needs_no_timer_of_libcurl(void **state)
{
    (void)state;
    open_both(silence);
    struct ifab_egress_request r = usual(b, "GET", "/v1/x");
    r.timeout = IFAB_SECOND / 2;
    struct ifab_egress_event *event = asked(b, &r);
    assert_int_equal(event->kind, IFAB_EGRESS_FAILED);
    assert_int_equal(event->problem.failure, IFAB_EGRESS_DEADLINE);
    ifab_egress_event_free(event);
    atomic_store(&timeless, false);
    close_both();
}

/* Sends back the whole head of the request in the form that the path names. */
static bool echo(struct peer *peer, int fd, struct ifab_view request, void *user)
{
    struct ifab_buf text = IFAB_BUF_INIT(1 << 20), head = IFAB_BUF_INIT(1 << 20);
    const uint8_t *q = memmem(request.data, request.size, "/v1/", 4);
    char form = q == NULL ? 'a' : (char)q[4];
    (void)peer;
    (void)user;
    for (size_t i = 0; i < request.size; i++) {
        uint8_t c = form == 'r' ? request.data[request.size - 1 - i] : request.data[i];
        if (form == 'h' || form == 'H')
            ifab_buf_format(&text, form == 'h' ? "%02x" : "%02X", c);
        else if (form == 'u')
            ifab_buf_format(&text, "%%%02X", c);
        else if (form == 'p')
            ifab_buf_format(&text, i % 2 ? "%%%02x" : "%c", c);
        else if (form == 'j')
            ifab_buf_format(&text, "\\u%04x", c);
        else
            ifab_buf_put(&text, &c, 1);
    }
    if (form >= '0' && form <= '2') { /* base64 at each alignment */
        struct ifab_buf plain = IFAB_BUF_INIT(1 << 20);
        ifab_buf_format(&plain, "%.*s", form - '0', "xx");
        ifab_buf_view(&plain, request);
        ifab_buf_clear(&text);
        (form == '1' ? ifab_buf_base64url : ifab_buf_base64)(&text, plain.data, plain.size);
        ifab_buf_fini(&plain);
    }
    if (form == 'f' || form == 's') { /* in a field, shown or not */
        const uint8_t *at = memmem(request.data, request.size, CANARY, sizeof CANARY - 1);
        ifab_buf_format(&head, "%s: %.40s\r\n", form == 'f' ? "ETag" : "Server", at == NULL ? "none" : (const char *)at);
        for (size_t i = 0; i + 2 < head.size; i++)
            head.data[i] = head.data[i] == '\r' || head.data[i] == '\n' ? ' ' : head.data[i];
        while (head.size > 3 && head.data[head.size - 3] == ' ')
            head.data[head.size - 3] = '.';
        ifab_buf_char(&head, '\0');
        ifab_buf_clear(&text);
    }
    if (form == 'c') { /* a chunk a byte */
        peer_text(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (size_t i = 0; i < text.size; i++) {
            peer_text(fd, "1\r\n");
            peer_write(fd, text.data + i, 1);
            peer_text(fd, "\r\n");
        }
        peer_text(fd, "0\r\n\r\n");
    } else {
        peer_answer(fd, form == 'e' ? 500 : 200, head.size > 0 ? (const char *)head.data : NULL, ifab_buf_as_view(&text));
    }
    ifab_buf_fini(&text);
    ifab_buf_fini(&head);
    return true;
}
static void no_form_of_the_canary_comes_back(void **state)
{
    static const char forms[] = "arhHupj012fsce";
    uint64_t runs = test_env_u64("IFAB_RUNS", 20);
    (void)state;
    open_both(echo);
    for (uint64_t run = 0; run < runs; run++) {
        for (size_t i = 0; i < sizeof forms - 1; i++) {
            static const enum ifab_credential_as ways[] = {IFAB_CREDENTIAL_BEARER, IFAB_CREDENTIAL_HEADER, IFAB_CREDENTIAL_QUERY,
                                                           IFAB_CREDENTIAL_BASIC};
            size_t way = (run + i) % IFAB_COUNT(ways);
            char path[20], record[100];
            (void)snprintf(path, sizeof path, "/v1/%c", forms[i]);
            struct ifab_egress_request r = usual(b, "GET", path);
            (void)snprintf(record, sizeof record, "%s", origin_text);
            struct lender l = {ways[way] == IFAB_CREDENTIAL_BASIC ? "user:" CANARY : CANARY, record, 0, 0};
            struct ifab_egress_credential c = credential_of(&l, ways[way],
                                                            ways[way] == IFAB_CREDENTIAL_HEADER  ? "X-Key"
                                                            : ways[way] == IFAB_CREDENTIAL_QUERY ? "key"
                                                                                                 : "",
                                                            record);
            if (ways[way] == IFAB_CREDENTIAL_BASIC && (forms[i] == 'f' || forms[i] == 's'))
                continue; /* there the canary does not stand raw in the request */
            r.credential = &c;
            r.idempotent = true;
            struct ifab_egress_event *event = asked(b, &r);
            if (event->kind != IFAB_EGRESS_FAILED || event->problem.failure != IFAB_EGRESS_LEAK || !event->problem.alarm)
                fail_msg("form %c as %s: kind %d: %s", forms[i], ifab_credential_as_name(ways[way]), event->kind, event->problem.text);
            assert_int_equal(event->body.size + event->header_count, 0);
            assert_null(strstr(event->problem.text, "canary"));
            ifab_egress_event_free(event);
        }
    }
    struct ifab_egress_request r = usual(b, "GET", "/v1/a"); /* the control: without a secret the echo does come through */
    struct ifab_egress_event *event = asked(b, &r);
    assert_true(event->kind == IFAB_EGRESS_ANSWER && text_has(event->body, "GET /v1/a"));
    ifab_egress_event_free(event);
    close_both();
}

/* Keeps the connection for the first request, ends it without a word at the second. */
static bool dies_at_the_second(struct peer *peer, int fd, struct ifab_view request, void *user)
{
    (void)request;
    (void)user;
    if (atomic_load(&peer->requests) % 2 == 0)
        return false;
    peer_answer(fd, 200, NULL, IFAB_VIEW("one"));
    return true;
}
static void what_may_not_be_repeated_is_sent_once(void **state)
{
    (void)state;
    open_both(dies_at_the_second);
    struct ifab_egress_request r = usual(b, "POST", "/v1/x");
    r.body = IFAB_VIEW("pay 100");
    answered(b, &r, 200, "one");
    struct ifab_egress_event *event = asked(b, &r);
    assert_int_equal(event->problem.failure, IFAB_EGRESS_TRANSPORT);
    assert_true(event->maybe_sent);
    ifab_egress_event_free(event);
    assert_int_equal(atomic_load(&b->peer.requests), 2);
    close_both();
}
static void what_was_never_sent_says_so(void **state)
{
    (void)state;
    open_both(hello);
    struct ifab_egress_request r = usual(b, "POST", "/v1/x");
    peer_end(&b->peer); /* nobody listens there now */
    struct ifab_egress_event *event = asked(b, &r);
    assert_int_equal(event->problem.failure, IFAB_EGRESS_TRANSPORT);
    assert_int_equal(event->problem.code, IFAB_CODE_PROVIDER_UNAVAILABLE);
    assert_false(event->maybe_sent);
    ifab_egress_event_free(event);
    begin_peer();
    close_both();
}
static void cancelling_ends_a_slow_one(void **state)
{
    (void)state;
    open_both(hostile);
    struct ifab_egress_request r = usual(b, "GET", "/v1/o"), other;
    uint64_t id = submitted(b, &r);
    other = usual(b, "GET", "/v1/z");
    uint64_t second = submitted(b, &other); /* is not held up by it */
    struct ifab_egress_event *event = next_event(b);
    assert_int_equal(event->id, second);
    ifab_egress_event_free(event);
    ifab_egress_cancel(b->egress, id);
    event = next_event(b);
    assert_int_equal(event->id, id);
    assert_int_equal(event->problem.failure, IFAB_EGRESS_CANCELLED);
    ifab_egress_event_free(event);
    close_both();
}
static void one_tenant_does_not_take_all_places(void **state)
{
    struct ifab_egress_problem problem;
    uint64_t id;
    (void)state;
    open_both(hostile);
    struct ifab_egress_request r = usual(b, "GET", "/v1/o"), other;
    for (int i = 0; i < 16; i++)
        (void)submitted(b, &r);
    assert_int_equal(ifab_egress_submit(b->egress, &r, &id, &problem), IFAB_AGAIN);
    other = usual(b, "GET", "/v1/z");
    other.tenant = IFAB_VIEW("another");
    struct ifab_egress_event *event = asked(b, &other);
    assert_int_equal(event->status, 200);
    ifab_egress_event_free(event);
    close_both();
}
static void keys_of_connections_are_not_written_down(void **state)
{
    struct ifab_egress_settings settings = {.version = IFAB_EGRESS_ABI};
    struct ifab_egress *egress = NULL;
    (void)state;
    assert_int_equal(setenv("SSLKEYLOGFILE", "/tmp/ifab-never-written", 1), 0);
    assert_int_equal(ifab_egress_curl_open(&settings, &egress, NULL), IFAB_INVALID);
    (void)unsetenv("SSLKEYLOGFILE");
    settings.ca_file = "/nonexistent/ca.pem";
    assert_int_equal(ifab_egress_curl_open(&settings, &egress, NULL), IFAB_NOT_FOUND);
    settings.ca_file = NULL;
    settings.version = 0;
    assert_int_equal(ifab_egress_curl_open(&settings, &egress, NULL), IFAB_INVALID);
    assert_null(egress);
}
static void every_method_arrives_as_it_is(void **state)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    static uint8_t large[300000];
    (void)state;
    open_both(hello);
    for (size_t i = 0; i < IFAB_COUNT(methods); i++) {
        char line[40];
        struct ifab_egress_request r = usual(b, methods[i], "/v1/x");
        struct ifab_egress_event *event = asked(b, &r);
        assert_int_equal(event->status, 200);
        assert_int_equal(event->body.size, i == 1 ? 0 : 5);
        ifab_egress_event_free(event);
        (void)snprintf(line, sizeof line, "%s /v1/x HTTP/1.1\r\n", methods[i]);
        assert_true(peer_saw(&b->peer, line));
    }
    struct ifab_egress_request r = usual(b, "PUT", "/v1/large");
    memset(large, 'L', sizeof large);
    r.body = ifab_view_of(large, sizeof large);
    answered(b, &r, 200, "hello");
    assert_true(peer_saw(&b->peer, "Content-Length: 300000\r\n"));
    assert_false(peer_saw(&b->peer, "Expect"));
    assert_false(peer_saw(&b->peer, "Content-Type"));
    close_both();
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(names_do_not_lead_inside),
    cmocka_unit_test(the_operators_exception_lets_a_name_in),
    cmocka_unit_test(a_mixed_answer_is_refused),
    cmocka_unit_test(used_connections_are_judged_again),
    cmocka_unit_test(connections_are_shared_within_one_tenant_origin_and_credential),
    cmocka_unit_test(no_proxy_no_netrc_no_cookies),
    cmocka_unit_test(redirects_are_answers),
    cmocka_unit_test(hostile_answers_are_errors),
    cmocka_unit_test(a_deadline_needs_no_timer_of_libcurl),
    cmocka_unit_test(no_form_of_the_canary_comes_back),
    cmocka_unit_test(what_may_not_be_repeated_is_sent_once),
    cmocka_unit_test(what_was_never_sent_says_so),
    cmocka_unit_test(cancelling_ends_a_slow_one),
    cmocka_unit_test(one_tenant_does_not_take_all_places),
    cmocka_unit_test(keys_of_connections_are_not_written_down),
    cmocka_unit_test(every_method_arrives_as_it_is),
};
TEST_MAIN(tests)

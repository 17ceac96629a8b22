/*
 * One suite over every egress back-end: memory, curl against a peer on loopback, and either behind the fault wrapper without a fault planned. The
 * same script answers all of them. Included by its test program. INV-08, INV-09
 */
#include "egress/egress.h"
#include "support.h"

#include "http_peer.h"

#include <poll.h>
#include <sys/eventfd.h>

#define CAPABILITY "if://capability/test.peer"
#define CANARY     "canary-7d1f0c9b4e"

struct egress_backend {
    const char *name;
    bool curl, fault;
    struct ifab_egress *egress, *inner;
    struct ifab_egress_fault plan;
    struct peer peer;
    const struct ifab_egress_scripted *script;
    size_t count;
    atomic_size_t at;
    int wake_fd;
    uint16_t port;
};
static struct egress_backend *now_on; /* the one under test */

static void wake(void *user)
{
    uint64_t one = 1;
    assert(write(*(int *)user, &one, sizeof one) == (ssize_t)sizeof one);
}
static bool scripted(struct peer *peer, int fd, struct ifab_view request, void *user)
{
    struct egress_backend *b = user;
    (void)peer;
    (void)request;
    size_t at = atomic_fetch_add(&b->at, 1);
    if (at >= b->count || b->script[at].status == 0)
        return false;
    char head[4096];
    (void)snprintf(head, sizeof head, "%s", b->script[at].head == NULL ? "" : b->script[at].head);
    if (b->script[at].retry_after > 0)
        (void)snprintf(head + strlen(head), sizeof head - strlen(head), "Retry-After: %d\r\n", (int)(b->script[at].retry_after / IFAB_SECOND));
    peer_answer(fd, b->script[at].status, head, b->script[at].body);
    return true;
}
static void open_egress(struct egress_backend *b, const struct ifab_egress_scripted *script, size_t count, uint32_t requests_max)
{
    struct ifab_egress_settings settings = {.version = IFAB_EGRESS_ABI, .wake = wake, .user = &b->wake_fd, .requests_max = requests_max};
    b->script = script;
    b->count = count;
    atomic_store(&b->at, 0);
    b->plan = (struct ifab_egress_fault){.calls = 0};
    b->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(b->wake_fd >= 0);
    b->port = 9;
    if (b->curl) {
        peer_begin(&b->peer, scripted, b);
        b->port = b->peer.port;
        assert_int_equal(ifab_egress_curl_open(&settings, &b->inner, NULL), IFAB_OK);
    } else {
        assert_int_equal(ifab_egress_memory_open(&settings, script, count, &b->inner, NULL), IFAB_OK);
    }
    b->egress = b->inner;
    if (b->fault)
        assert_int_equal(ifab_egress_fault_open(b->inner, &b->plan, &b->egress, NULL), IFAB_OK);
    now_on = b;
}
static void close_egress(struct egress_backend *b)
{
    ifab_egress_close(b->egress);
    if (b->curl)
        peer_end(&b->peer);
    (void)close(b->wake_fd);
}
static struct ifab_egress_event *next_event(struct egress_backend *b)
{
    for (int i = 0; i < 300; i++) {
        if (!b->curl)
            ifab_egress_memory_run(b->inner);
        struct ifab_egress_event *event = ifab_egress_take(b->egress);
        if (event != NULL)
            return event;
        struct pollfd p = {.fd = b->wake_fd, .events = POLLIN};
        uint64_t count;
        (void)poll(&p, 1, 100);
        (void)!read(b->wake_fd, &count, sizeof count);
    }
    fail_msg("%s: no event came", b->name);
    return NULL;
}

/* A request that passes; tests change one thing. The storage is static: one at a time. */
static struct ifab_egress_row row;
static struct ifab_egress_exception exception;
static char url_text[600], origin_text[100];
static struct ifab_egress_request usual(struct egress_backend *b, const char *method, const char *path)
{
    (void)snprintf(origin_text, sizeof origin_text, "http://127.0.0.1:%u", b->port);
    (void)snprintf(url_text, sizeof url_text, "%s%s", origin_text, path);
    row = (struct ifab_egress_row){.path = IFAB_VIEW("/v1/**"), .methods = 0x7f};
    assert_int_equal(ifab_origin_read(ifab_view_str(origin_text), &row.origin, NULL), IFAB_OK);
    exception = (struct ifab_egress_exception){IFAB_VIEW(CAPABILITY), {.bits = 0}, b->port};
    assert_int_equal(ifab_cidr_parse(IFAB_VIEW("127.0.0.1/32"), &exception.net, NULL), IFAB_OK);
    struct ifab_egress_request r = {.version = IFAB_EGRESS_ABI,
                                    .call = 1,
                                    .tag = b,
                                    .tenant = IFAB_VIEW("Demo.A/digest"),
                                    .capability = IFAB_VIEW(CAPABILITY),
                                    .method = ifab_view_str(method),
                                    .url = ifab_view_str(url_text),
                                    .rows = &row,
                                    .row_count = 1,
                                    .timeout = 20 * IFAB_SECOND,
                                    .response_max = 65536,
                                    .attempts = 1,
                                    .wall = 1767323045 * IFAB_SECOND,
                                    .exceptions = &exception,
                                    .exception_count = 1};
    return r;
}
static uint64_t submitted(struct egress_backend *b, const struct ifab_egress_request *r)
{
    uint64_t id = 0;
    struct ifab_egress_problem problem;
    ifab_status status = ifab_egress_submit(b->egress, r, &id, &problem);
    if (status != IFAB_OK)
        fail_msg("%s: %s: %s", b->name, ifab_status_name(status), problem.text);
    assert_true(id > 0);
    return id;
}
static void refused(struct egress_backend *b, const struct ifab_egress_request *r, enum ifab_egress_failure failure)
{
    uint64_t id = 77;
    struct ifab_egress_problem problem;
    ifab_status status = ifab_egress_submit(b->egress, r, &id, &problem);
    if (status == IFAB_OK || problem.failure != failure)
        fail_msg("%s: %s: %s, not %s", b->name, ifab_status_name(status), problem.text, ifab_egress_failure_text(failure));
    assert_int_equal(id, 77);
    assert_int_equal(ifab_egress_in_flight(b->egress), 0);
    assert_null(strstr(problem.text, CANARY));
}
static struct ifab_egress_event *asked(struct egress_backend *b, const struct ifab_egress_request *r)
{
    uint64_t id = submitted(b, r);
    struct ifab_egress_event *event = next_event(b);
    assert_int_equal(event->id, id);
    assert_ptr_equal(event->tag, b);
    return event;
}
static void answered(struct egress_backend *b, const struct ifab_egress_request *r, int status, const char *body)
{
    struct ifab_egress_event *event = asked(b, r);
    if (event->kind != IFAB_EGRESS_ANSWER || event->status != status)
        fail_msg("%s: kind %d status %d: %s", b->name, event->kind, event->status, event->problem.text);
    assert_string_equal(test_text(event->body), body);
    ifab_egress_event_free(event);
}
static void failed(struct egress_backend *b, const struct ifab_egress_request *r, enum ifab_egress_failure failure)
{
    struct ifab_egress_event *event = asked(b, r);
    if (event->kind != IFAB_EGRESS_FAILED || event->problem.failure != failure)
        fail_msg("%s: kind %d status %d: %s", b->name, event->kind, event->status, event->problem.text);
    assert_int_equal(event->body.size, 0);
    assert_int_equal(event->header_count, 0);
    assert_null(strstr(event->problem.text, CANARY));
    ifab_egress_event_free(event);
}
/* The n-th request as it went out, whatever the back-end writes between its parts. */
static bool sent_has(struct egress_backend *b, size_t n, const char *text)
{
    if (b->curl)
        return peer_saw(&b->peer, text);
    struct ifab_view sent = ifab_egress_memory_sent(b->inner, n);
    return sent.size > 0 && memmem(sent.data, sent.size, text, strlen(text)) != NULL;
}

static void answers_with_shown_headers_and_body(struct egress_backend *b)
{
    static const struct ifab_egress_scripted script[] = {{.status = 200,
                                                          .head = "Content-Type: text/plain\r\nSet-Cookie: a=b\r\nX-Other: 1\r\nETag: \"x\"\r\n",
                                                          .body = {(const uint8_t *)"hello", 5}},
                                                         {.status = 404, .body = {(const uint8_t *)"no", 2}},
                                                         {.status = 204}};
    struct ifab_egress_header headers[] = {{IFAB_VIEW("X-Mine"), IFAB_VIEW("yes")}, {IFAB_VIEW("Content-Type"), IFAB_VIEW("application/json")}};
    open_egress(b, script, 3, 0);
    struct ifab_egress_request r = usual(b, "POST", "/v1/items?a=b%20c");
    r.headers = headers;
    r.header_count = 2;
    r.body = IFAB_VIEW("{\"x\":1}");
    struct ifab_egress_event *event = asked(b, &r);
    assert_int_equal(event->kind, IFAB_EGRESS_ANSWER);
    assert_int_equal(event->status, 200);
    assert_string_equal(test_text(event->body), "hello");
    assert_int_equal(event->attempts, 1);
    for (size_t i = 0; i < event->header_count; i++)
        assert_true(ifab_egress_header_is_shown(event->headers[i].name));
    assert_string_equal(test_text(event->headers[0].name), "content-type");
    assert_string_equal(test_text(event->headers[0].value), "text/plain");
    assert_string_equal(test_text(event->headers[1].name), "etag");
    ifab_egress_event_free(event);
    assert_true(sent_has(b, 0, "X-Mine: yes"));
    assert_true(sent_has(b, 0, "Content-Type: application/json"));
    assert_true(sent_has(b, 0, "/v1/items?a=b%20c"));
    assert_true(sent_has(b, 0, "{\"x\":1}"));
    r = usual(b, "GET", "/v1/nothing");
    answered(b, &r, 404, "no");
    r = usual(b, "DELETE", "/v1/x");
    answered(b, &r, 204, "");
    r = usual(b, "GET", "/v1/none-left");
    failed(b, &r, IFAB_EGRESS_TRANSPORT);
    assert_int_equal(ifab_egress_in_flight(b->egress), 0);
    close_egress(b);
}

static void refuses_before_anything_is_sent(struct egress_backend *b)
{
    struct ifab_egress_header bad = {IFAB_VIEW("Host"), IFAB_VIEW("evil")}, injected = {IFAB_VIEW("X-A"), IFAB_VIEW("a\r\nHost: evil")};
    struct ifab_address address;
    open_egress(b, NULL, 0, 0);
    struct ifab_egress_request r = usual(b, "GET", "/v2/items");
    refused(b, &r, IFAB_EGRESS_ROW);
    r = usual(b, "GET", "/v1/../admin");
    refused(b, &r, IFAB_EGRESS_URL);
    r = usual(b, "GET", "/v1/%2e%2e/admin?" CANARY);
    refused(b, &r, IFAB_EGRESS_URL);
    r = usual(b, "get", "/v1/x");
    refused(b, &r, IFAB_EGRESS_REQUEST);
    r = usual(b, "GET", "/v1/x");
    r.body = IFAB_VIEW("x");
    refused(b, &r, IFAB_EGRESS_REQUEST);
    r = usual(b, "GET", "/v1/x");
    r.headers = &bad;
    r.header_count = 1;
    refused(b, &r, IFAB_EGRESS_REQUEST);
    r.headers = &injected;
    refused(b, &r, IFAB_EGRESS_REQUEST);
    r = usual(b, "GET", "/v1/x");
    r.idempotency_key = IFAB_VIEW("a\r\nb");
    refused(b, &r, IFAB_EGRESS_REQUEST);
    r = usual(b, "GET", "/v1/x");
    r.row_count = 0;
    refused(b, &r, IFAB_EGRESS_ROW);
    r = usual(b, "GET", "/v1/x");
    r.dry_run = true;
    refused(b, &r, IFAB_EGRESS_DRY_RUN);
    r = usual(b, "GET", "/v1/x");
    r.exception_count = 0; /* loopback without the operator's word */
    refused(b, &r, IFAB_EGRESS_ADDRESS);
    r = usual(b, "GET", "/v1/x");
    r.capability = IFAB_VIEW("if://capability/other");
    refused(b, &r, IFAB_EGRESS_ADDRESS);
    assert_true(ifab_address_parse(IFAB_VIEW("127.0.0.1"), &address));
    struct ifab_egress_listener listener = {address, b->port};
    r = usual(b, "GET", "/v1/x");
    r.listeners = &listener;
    r.listener_count = 1;
    refused(b, &r, IFAB_EGRESS_OWN_LISTENER);
    r = usual(b, "GET", "/v1/x");
    (void)snprintf(url_text, sizeof url_text, "http://169.254.169.254/v1/latest");
    r.url = ifab_view_str(url_text);
    assert_int_equal(ifab_origin_read(IFAB_VIEW("http://169.254.169.254"), &row.origin, NULL), IFAB_OK);
    assert_int_equal(ifab_cidr_parse(IFAB_VIEW("0.0.0.0/0"), &exception.net, NULL), IFAB_OK);
    exception.port = 80;
    refused(b, &r, IFAB_EGRESS_FORBIDDEN_ADDRESS);
    if (b->curl)
        assert_int_equal(atomic_load(&b->peer.connections), 0);
    else
        assert_int_equal(ifab_egress_memory_sent(b->inner, 0).size, 0);
    close_egress(b);
}
static void refuses_members_outside_of_their_bounds(struct egress_backend *b)
{
    open_egress(b, NULL, 0, 0);
#define OUT_OF_BOUNDS(change)                                    \
    do {                                                         \
        struct ifab_egress_request r = usual(b, "GET", "/v1/x"); \
        change;                                                  \
        refused(b, &r, IFAB_EGRESS_REQUEST);                     \
    } while (0)
    OUT_OF_BOUNDS(r.version = 0);
    OUT_OF_BOUNDS(r.tenant.size = 0);
    OUT_OF_BOUNDS(r.capability.size = 0);
    OUT_OF_BOUNDS(r.timeout = 0);
    OUT_OF_BOUNDS(r.timeout = IFAB_EGRESS_TIMEOUT_MAX + 1);
    OUT_OF_BOUNDS(r.response_max = IFAB_EGRESS_RESPONSE_MAX + 1);
    OUT_OF_BOUNDS(r.attempts = 0);
    OUT_OF_BOUNDS(r.attempts = IFAB_EGRESS_ATTEMPTS_MAX + 1);
    OUT_OF_BOUNDS(r.backoff_count = IFAB_EGRESS_BACKOFF_MAX + 1);
    OUT_OF_BOUNDS(r.row_count = IFAB_EGRESS_ROWS_MAX + 1);
    OUT_OF_BOUNDS(r.exception_count = IFAB_EGRESS_EXCEPTIONS_MAX + 1);
    OUT_OF_BOUNDS(r.listener_count = IFAB_EGRESS_LISTENERS_MAX + 1);
    close_egress(b);
}
static void in_a_dry_run_rows_marked_read_pass(struct egress_backend *b)
{
    static const struct ifab_egress_scripted script[] = {{.status = 200, .body = {(const uint8_t *)"r", 1}}};
    open_egress(b, script, 1, 0);
    struct ifab_egress_request r = usual(b, "GET", "/v1/x");
    struct ifab_egress_row rows[2] = {row, row};
    rows[0].methods = 1U << IFAB_EGRESS_METHOD_POST;
    rows[1].read = true;
    r.rows = rows;
    r.row_count = 2;
    r.dry_run = true;
    answered(b, &r, 200, "r");
    r.method = IFAB_VIEW("POST"); /* the second row reads, the first one fits */
    refused(b, &r, IFAB_EGRESS_DRY_RUN);
    rows[0].path = IFAB_VIEW("/v1/x");
    rows[0].methods = rows[1].methods;
    r.method = IFAB_VIEW("GET");
    refused(b, &r, IFAB_EGRESS_DRY_RUN);
    close_egress(b);
}
static void only_rows_of_the_operations_effect_pass(struct egress_backend *b)
{
    static const struct ifab_egress_scripted script[] = {{.status = 200, .body = {(const uint8_t *)"r", 1}}};
    open_egress(b, script, 1, 0);
    struct ifab_egress_request r = usual(b, "GET", "/v1/x");
    struct ifab_egress_row rows[2] = {row, row};
    rows[0].beyond = true;
    rows[1].methods = 1U << IFAB_EGRESS_METHOD_GET;
    r.rows = rows;
    r.row_count = 2;
    refused(b, &r, IFAB_EGRESS_EFFECT); /* the first row that fits decides: no later one lets it pass */
    rows[0].methods = 1U << IFAB_EGRESS_METHOD_POST;
    answered(b, &r, 200, "r");
    r.method = IFAB_VIEW("POST");
    refused(b, &r, IFAB_EGRESS_EFFECT);
    r.dry_run = true;
    rows[0].read = true; /* marked read, and yet beyond: as nothing ever should be */
    refused(b, &r, IFAB_EGRESS_EFFECT);
    close_egress(b);
}
static void bounds_the_answer(struct egress_backend *b)
{
    static uint8_t large[1001];
    const struct ifab_egress_scripted script[] = {{.status = 200, .body = {large, 1000}},
                                                  {.status = 200, .body = {large, 1001}},
                                                  {.status = 200, .head = "Content-Encoding: gzip\r\n"},
                                                  {.status = 200, .head = "X-A: a\x01\r\n"},
                                                  {.status = 200, .head = "X A: a\r\n"}};
    memset(large, 'x', sizeof large);
    open_egress(b, script, 5, 0);
    struct ifab_egress_request r = usual(b, "GET", "/v1/x");
    r.response_max = 1000;
    struct ifab_egress_event *event = asked(b, &r);
    assert_int_equal(event->body.size, 1000);
    ifab_egress_event_free(event);
    failed(b, &r, IFAB_EGRESS_RESPONSE_TOO_LARGE);
    failed(b, &r, IFAB_EGRESS_RESPONSE);
    failed(b, &r, IFAB_EGRESS_RESPONSE);
    failed(b, &r, IFAB_EGRESS_RESPONSE);
    close_egress(b);
}
static void bounds_what_is_in_flight(struct egress_backend *b)
{
    struct ifab_egress_problem problem;
    uint64_t id;
    open_egress(b, NULL, 0, 8); /* two of a tenant */
    struct ifab_egress_request r = usual(b, "GET", "/v1/x");
    struct ifab_egress_scripted hang = {.status = 0};
    (void)hang;
    uint64_t first = submitted(b, &r), second = submitted(b, &r);
    if (!b->curl) { /* nothing runs until it is told to */
        assert_int_equal(ifab_egress_submit(b->egress, &r, &id, &problem), IFAB_AGAIN);
        r.tenant = IFAB_VIEW("Demo.B/digest"); /* another one is not held up */
        (void)submitted(b, &r);
        ifab_egress_event_free(next_event(b));
    }
    assert_true(second > first);
    while (ifab_egress_in_flight(b->egress) > 0)
        ifab_egress_event_free(next_event(b));
    close_egress(b);
}
static void makes_again_what_may_be_repeated(struct egress_backend *b)
{
    static const struct ifab_egress_scripted script[] = {{.status = 503},
                                                         {.status = 0},
                                                         {.status = 200, .body = {(const uint8_t *)"third", 5}},
                                                         {.status = 503, .body = {(const uint8_t *)"x", 1}},
                                                         {.status = 0},
                                                         {.status = 429, .retry_after = 30 * IFAB_SECOND},
                                                         {.status = 404},
                                                         {.status = 500},
                                                         {.status = 200, .body = {(const uint8_t *)"key", 3}}};
    open_egress(b, script, 9, 0);
    struct ifab_egress_request r = usual(b, "GET", "/v1/x");
    r.attempts = 3;
    r.backoff[0] = 0;
    r.backoff_count = 1;
    r.idempotent = true;
    struct ifab_egress_event *event = asked(b, &r);
    assert_int_equal(event->status, 200);
    assert_int_equal(event->attempts, 3);
    ifab_egress_event_free(event);
    r.idempotent = false; /* the same, not idempotent: once each */
    r.method = IFAB_VIEW("POST");
    answered(b, &r, 503, "x");
    failed(b, &r, IFAB_EGRESS_TRANSPORT);
    r.idempotent = true;
    r.timeout = 5 * IFAB_SECOND; /* it asks for more time than there is */
    answered(b, &r, 429, "");
    answered(b, &r, 404, "");
    r.idempotent = false;
    r.idempotency_key = IFAB_VIEW("key-1");
    event = asked(b, &r);
    assert_int_equal(event->status, 200);
    assert_int_equal(event->attempts, 2);
    ifab_egress_event_free(event);
    assert_true(sent_has(b, 8, "Idempotency-Key: key-1"));
    close_egress(b);
}

/* A lender as the vault is one. */
struct lender {
    const char *secret, *origin; /* of the record */
    unsigned asked, lent;
};
static ifab_status lend_one(void *user, struct ifab_view origin, ifab_egress_use_fn *use, void *use_user)
{
    struct lender *l = user;
    l->asked++;
    if (l->secret == NULL)
        return IFAB_NOT_FOUND;
    if (!ifab_view_is(origin, l->origin))
        return IFAB_DENIED;
    l->lent++;
    return use(use_user, ifab_view_str(l->secret));
}
static struct ifab_egress_credential credential_of(struct lender *l, enum ifab_credential_as as, const char *field, const char *origin)
{
    return (struct ifab_egress_credential){as, ifab_view_str(field), ifab_view_str(origin), IFAB_VIEW("test/1"), lend_one, l};
}
static void injects_a_secret_where_all_three_agree(struct egress_backend *b)
{
    static const struct ifab_egress_scripted script[] = {{.status = 200}, {.status = 200}};
    open_egress(b, script, 2, 0);
    struct ifab_egress_request r = usual(b, "GET", "/v1/x");
    char record[100];
    (void)snprintf(record, sizeof record, "%s", origin_text);
    struct lender l = {CANARY, record, 0, 0};
    struct ifab_egress_credential c = credential_of(&l, IFAB_CREDENTIAL_BEARER, "", record);
    r.credential = &c;
    answered(b, &r, 200, "");
    assert_true(sent_has(b, 0, "Authorization: Bearer " CANARY));
    c = credential_of(&l, IFAB_CREDENTIAL_QUERY, "api_key", record);
    answered(b, &r, 200, "");
    assert_true(sent_has(b, 1, "/v1/x?api_key=" CANARY));
    assert_int_equal(l.lent, 2);
    /* the manifest's origin differs: nobody is asked */
    static const char *const others[] = {"https://127.0.0.1", "http://127.0.0.2:9", "http://127.0.0.1:1", "http://localhost:9", "127.0.0.1", ""};
    for (size_t i = 0; i < IFAB_COUNT(others); i++) {
        c = credential_of(&l, IFAB_CREDENTIAL_BEARER, "", others[i]);
        refused(b, &r, IFAB_EGRESS_CREDENTIAL_ORIGIN);
    }
    assert_int_equal(l.asked, 2);
    /* the record's differs */
    c = credential_of(&l, IFAB_CREDENTIAL_BEARER, "", record);
    l.origin = "https://api.example";
    refused(b, &r, IFAB_EGRESS_CREDENTIAL_ORIGIN);
    l.secret = NULL;
    refused(b, &r, IFAB_EGRESS_CREDENTIAL);
    l = (struct lender){CANARY "\n", record, 0, 0}; /* a line break at its end */
    refused(b, &r, IFAB_EGRESS_CREDENTIAL);
    l = (struct lender){CANARY, record, 0, 0};
    r.redirected = true;
    refused(b, &r, IFAB_EGRESS_REDIRECTED);
    r.redirected = false;
    struct ifab_egress_header same = {IFAB_VIEW("x-key"), IFAB_VIEW("mine")};
    c = credential_of(&l, IFAB_CREDENTIAL_HEADER, "X-Key", record);
    r.headers = &same;
    r.header_count = 1;
    refused(b, &r, IFAB_EGRESS_REQUEST);
    same.name = IFAB_VIEW("X_Key"); /* CGI reads both as one */
    refused(b, &r, IFAB_EGRESS_REQUEST);
    r = usual(b, "GET", "/v1/x?api%5Fkey=mine");
    r.credential = &c;
    c = credential_of(&l, IFAB_CREDENTIAL_QUERY, "api_key", record);
    refused(b, &r, IFAB_EGRESS_REQUEST);
    assert_int_equal(l.lent, 0);
    close_egress(b);
}
static void no_secret_follows_a_redirect(struct egress_backend *b)
{
    char location[200];
    struct ifab_egress_scripted script[] = {{.status = 302, .head = location}, {.status = 200}, {.status = 200}, {.status = 200}};
    open_egress(b, script, 4, 0);
    struct ifab_egress_request r = usual(b, "GET", "/v1/start");
    char record[100];
    (void)snprintf(record, sizeof record, "%s", origin_text);
    (void)snprintf(location, sizeof location, "Location: %s/v1/target?x=1\r\n", record);
    struct lender l = {CANARY, record, 0, 0};
    struct ifab_egress_credential c = credential_of(&l, IFAB_CREDENTIAL_BEARER, "", record);
    r.credential = &c;
    answered(b, &r, 302, ""); /* an answer like others: nothing is followed */
    r = usual(b, "GET", "/v1/target?x=2");
    r.credential = &c;
    refused(b, &r, IFAB_EGRESS_REDIRECTED);
    r.credential = NULL;
    answered(b, &r, 200, "");
    r.credential = &c;
    r.call = 2; /* another call that was not led there */
    answered(b, &r, 200, "");
    r = usual(b, "GET", "/v1/elsewhere");
    r.credential = &c;
    answered(b, &r, 200, "");
    assert_int_equal(l.lent, 3);
    close_egress(b);
}
/* What no guest may spell, a server may, and knows as the same place. */
static void no_secret_follows_a_redirect_spelt_otherwise(struct egress_backend *b)
{
    static const char *const ends[] = {"/v1/target#x", "/v1/%74arget", "/v1/x/../%74arget", "/v1/target?a=%", "/v1/{target}"};
    char location[200], record[100];
    struct ifab_egress_scripted script[1 + IFAB_COUNT(ends) * 2];
    for (size_t i = 0; i < IFAB_COUNT(script); i++)
        script[i] = i % 2 == 0 && i < IFAB_COUNT(ends) * 2 ? (struct ifab_egress_scripted){.status = 302, .head = location} : (struct ifab_egress_scripted){.status = 200};
    open_egress(b, script, IFAB_COUNT(script), 0);
    struct ifab_egress_request r = usual(b, "GET", "/v1/start");
    (void)snprintf(record, sizeof record, "%s", origin_text);
    struct lender l = {CANARY, record, 0, 0};
    struct ifab_egress_credential c = credential_of(&l, IFAB_CREDENTIAL_BEARER, "", record);
    for (size_t i = 0; i < IFAB_COUNT(ends); i++) {
        r = usual(b, "GET", "/v1/start");
        (void)snprintf(location, sizeof location, "Location: %s%s\r\n", record, ends[i]);
        r.call = 10 + i;
        r.credential = &c;
        answered(b, &r, 302, "");
        r = usual(b, "GET", "/v1/target");
        r.call = 10 + i;
        r.credential = &c;
        refused(b, &r, IFAB_EGRESS_REDIRECTED);
        r.credential = NULL;
        answered(b, &r, 200, "");
    }
    r = usual(b, "GET", "/v1/target");
    r.call = 2; /* another call that was led nowhere */
    r.credential = &c;
    answered(b, &r, 200, "");
    assert_int_equal(l.lent, IFAB_COUNT(ends) + 1);
    close_egress(b);
}
static void withholds_answers_that_hold_a_secret(struct egress_backend *b)
{
    static const struct ifab_egress_scripted script[] = {
        {.status = 200, .body = {(const uint8_t *)"you said " CANARY, 9 + sizeof CANARY - 1}},
        {.status = 200, .head = "X-Echo: " CANARY "\r\n"},
        {.status = 200, .head = "Content-Type: Y2FuYXJ5LTdkMWYwYzliNGU=\r\n"},
        {.status = 500, .body = {(const uint8_t *)"63616e6172792d37643166306339623465", 34}},
        {.status = 200, .body = {(const uint8_t *)"another live value: second-secret!", 34}},
        {.status = 200, .body = {(const uint8_t *)"nothing", 7}},
    };
    struct ifab_leak_set *live = NULL;
    open_egress(b, script, 6, 0);
    struct ifab_egress_request r = usual(b, "GET", "/v1/x");
    char record[100];
    (void)snprintf(record, sizeof record, "%s", origin_text);
    struct lender l = {CANARY, record, 0, 0};
    struct ifab_egress_credential c = credential_of(&l, IFAB_CREDENTIAL_BEARER, "", record);
    assert_int_equal(ifab_leak_set_new(&live), IFAB_OK);
    assert_int_equal(ifab_leak_set_add(live, IFAB_VIEW("second-secret!")), IFAB_OK);
    assert_int_equal(ifab_leak_set_seal(live), IFAB_OK);
    assert_int_equal(ifab_egress_set_live(b->egress, live), IFAB_OK);
    r.credential = &c;
    for (int i = 0; i < 4; i++) {
        struct ifab_egress_event *event = asked(b, &r);
        assert_int_equal(event->problem.failure, IFAB_EGRESS_LEAK);
        assert_true(event->problem.alarm);
        assert_int_equal(event->problem.code, IFAB_CODE_SANDBOX_VIOLATION);
        assert_int_equal(event->body.size + event->header_count, 0);
        assert_null(strstr(event->problem.text, CANARY));
        ifab_egress_event_free(event);
    }
    r.credential = NULL; /* values of others are looked for as well */
    failed(b, &r, IFAB_EGRESS_LEAK);
    ifab_egress_set_blind(b->egress); /* no complete set: nothing is sent, whatever set there was */
    refused(b, &r, IFAB_EGRESS_UNSEARCHED);
    assert_int_equal(ifab_egress_set_live(b->egress, NULL), IFAB_OK);
    answered(b, &r, 200, "nothing");
    close_egress(b);
}
static void what_is_cancelled_ends_once(struct egress_backend *b)
{
    open_egress(b, NULL, 0, 0);
    struct ifab_egress_request r = usual(b, "GET", "/v1/x");
    uint64_t id = submitted(b, &r);
    ifab_egress_cancel(b->egress, id);
    ifab_egress_cancel(b->egress, id);
    ifab_egress_cancel(b->egress, 999);
    struct ifab_egress_event *event = next_event(b);
    assert_int_equal(event->id, id);
    assert_int_equal(event->kind, IFAB_EGRESS_FAILED);
    assert_true(event->problem.failure == IFAB_EGRESS_CANCELLED || event->problem.failure == IFAB_EGRESS_TRANSPORT);
    ifab_egress_event_free(event);
    assert_int_equal(ifab_egress_in_flight(b->egress), 0);
    assert_null(ifab_egress_take(b->egress));
    assert_int_equal(ifab_egress_send(b->egress, id, false, IFAB_VIEW("x")), IFAB_NOT_FOUND);
    close_egress(b);
}
static void closing_ends_what_runs(struct egress_backend *b)
{
    open_egress(b, NULL, 0, 0);
    struct ifab_egress_request r = usual(b, "GET", "/v1/x");
    for (int i = 0; i < 5; i++)
        (void)submitted(b, &r);
    close_egress(b);
    ifab_egress_close(NULL);
}
static void submit_without_memory_leaves_nothing(struct egress_backend *b)
{
    static const struct ifab_egress_scripted script[] = {{.status = 200}};
    open_egress(b, script, 1, 0);
    struct ifab_egress_request r = usual(b, "GET", "/v1/x");
    char record[100];
    (void)snprintf(record, sizeof record, "%s", origin_text);
    struct lender l = {CANARY, record, 0, 0};
    struct ifab_egress_credential c = credential_of(&l, IFAB_CREDENTIAL_BEARER, "", record);
    r.credential = &c;
    uint64_t id = 0;
    for (uint64_t n = 1;; n++) {
        struct ifab_egress_problem problem;
        ifab_mem_fail_at(n);
        ifab_status status = ifab_egress_submit(b->egress, &r, &id, &problem);
        bool missed = !ifab_mem_failed();
        ifab_mem_fail_at(0);
        if (missed) {
            assert_int_equal(status, IFAB_OK);
            break;
        }
        assert_int_equal(status, IFAB_NOMEM);
        assert_int_equal(ifab_egress_in_flight(b->egress), 0);
    }
    struct ifab_egress_event *event = next_event(b);
    assert_int_equal(event->id, id);
    assert_int_equal(event->status, 200);
    ifab_egress_event_free(event);
    close_egress(b);
}

static struct egress_backend egress_backends[] = {{.name = "memory"},
                                                  {.name = "curl", .curl = true},
                                                  {.name = "fault over memory", .fault = true},
                                                  {.name = "fault over curl", .curl = true, .fault = true}};
#define ON_ALL(fn)                                               \
    __attribute__((unused)) static void all_##fn(void **state)   \
    {                                                            \
        (void)state;                                             \
        for (size_t i = 0; i < IFAB_COUNT(egress_backends); i++) \
            fn(&egress_backends[i]);                             \
    }
ON_ALL(answers_with_shown_headers_and_body)
ON_ALL(refuses_before_anything_is_sent)
ON_ALL(refuses_members_outside_of_their_bounds)
ON_ALL(in_a_dry_run_rows_marked_read_pass)
ON_ALL(only_rows_of_the_operations_effect_pass)
ON_ALL(bounds_the_answer)
ON_ALL(bounds_what_is_in_flight)
ON_ALL(makes_again_what_may_be_repeated)
ON_ALL(injects_a_secret_where_all_three_agree)
ON_ALL(no_secret_follows_a_redirect)
ON_ALL(no_secret_follows_a_redirect_spelt_otherwise)
ON_ALL(withholds_answers_that_hold_a_secret)
ON_ALL(what_is_cancelled_ends_once)
ON_ALL(closing_ends_what_runs)
ON_ALL(submit_without_memory_leaves_nothing)
#define EGRESS_CONFORMANCE                                                                                                       \
    cmocka_unit_test(all_answers_with_shown_headers_and_body), cmocka_unit_test(all_refuses_before_anything_is_sent),            \
        cmocka_unit_test(all_refuses_members_outside_of_their_bounds), cmocka_unit_test(all_in_a_dry_run_rows_marked_read_pass), \
        cmocka_unit_test(all_only_rows_of_the_operations_effect_pass), cmocka_unit_test(all_bounds_the_answer), cmocka_unit_test(all_bounds_what_is_in_flight),                                 \
        cmocka_unit_test(all_makes_again_what_may_be_repeated), cmocka_unit_test(all_injects_a_secret_where_all_three_agree),    \
        cmocka_unit_test(all_no_secret_follows_a_redirect), cmocka_unit_test(all_no_secret_follows_a_redirect_spelt_otherwise), cmocka_unit_test(all_withholds_answers_that_hold_a_secret),          \
        cmocka_unit_test(all_what_is_cancelled_ends_once), cmocka_unit_test(all_closing_ends_what_runs),                         \
        cmocka_unit_test(all_submit_without_memory_leaves_nothing)

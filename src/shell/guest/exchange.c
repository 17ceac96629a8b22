/*
 * The import `http`: a request as JSON, judged by egress, with a secret only where the log says that it may go there; its answer as JSON. A secret
 * that was rotated meanwhile is picked up once, on 401. A URL of ws or wss opens a WebSocket; what names one is socket.c's.
 */
#include "guest_internal.h"

#include "base/encode.h"
#include "crypto/crypto.h"
#include "governor/breaker.h"
#include "json/schema.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define ATTEMPTS     3
#define BURST_LEAST  10 /* requests that may go at once, whatever the manifest says: a call is rarely one of them alone */
#define LEAST_TIME   (10 * 1000) /* µs: less is not worth a connection */
#define TIMER_EARLY  (2 * 1000) /* µs: libcurl counts whole milliseconds, and its timer may come that much before its time */

static const char too_many[] = "too many exchanges are under way";
static const struct ifab_schema_field request_fields[] = {
    {.name = "body", .kind = IFAB_SCHEMA_STRING, .min = 0, .max = HTTP_REQUEST_MAX},
    {.name = "body_b64", .kind = IFAB_SCHEMA_STRING, .min = 0, .max = HTTP_REQUEST_MAX},
    {.name = "headers", .kind = IFAB_SCHEMA_OPEN},
    {.name = "method", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 16},
    {.name = "secret", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = 64},
    {.name = "url", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = IFAB_URL_MAX},
};
static const struct ifab_schema request_schema = {"request", request_fields, IFAB_COUNT(request_fields)};

struct question *ifab_guest__question(struct ifab_guests *self, uint64_t host_call)
{
    for (size_t i = 0; i < QUESTIONS_MAX; i++)
        if (self->questions[i].host_call == host_call)
            return &self->questions[i];
    return NULL;
}

void ifab_guest__question_end(struct question *q)
{
    if (q->host_call == 0)
        return;
    ifab_arena_fini(&q->arena);
    memset(q, 0, sizeof *q);
}

void ifab_guest__http_error(struct ifab_guests *self, uint64_t host_call, enum ifab_code code, const char *text)
{
    struct ifab_buf b = IFAB_BUF_INIT(4096);
    ifab_buf_format(&b, "{\"error\":{\"code\":\"IF_ERR_%03d\",\"message\":", (int)code);
    ifab_json_put_cstr(&b, text);
    ifab_buf_str(&b, "}}");
    (void)ifab_chassis_host_result(self->chassis, host_call, ifab_buf_status(&b) == IFAB_OK ? IFAB_HOST_OK : IFAB_HOST_UNAVAILABLE,
                                   ifab_buf_status(&b) == IFAB_OK ? ifab_buf_as_view(&b) : IFAB_VIEW(""));
    ifab_buf_fini(&b);
}

/* own: what it is where it is the fabric's own */
static void refuse(struct ifab_guests *self, struct question *q, enum ifab_code code, enum ifab_call_end own, const char *text)
{
    if (q->kind == QUESTION_OPEN)
        ifab_guest__socket_drop(q);
    if (code == IFAB_CODE_DEADLINE_EXCEEDED && (ifab_usec)(uv_hrtime() / 1000) + TIMER_EARLY >= q->running->until) {
        /* It lasted as long as its call may, so the call ends as the pool is about to end it: not one way or the other by whose timer was first. */
        (void)ifab_chassis_host_result(self->chassis, q->host_call, IFAB_HOST_DEADLINE, IFAB_VIEW(""));
        ifab_guest__question_end(q);
        return;
    }
    q->running->failed = q->running->failed || code == IFAB_CODE_PROVIDER_UNAVAILABLE || code == IFAB_CODE_DEADLINE_EXCEEDED;
    ifab_guest__note(q->running, own, text);
    ifab_guest__http_error(self, q->host_call, code, text);
    ifab_guest__question_end(q);
}

/* otherwise: the code of a problem that has none */
static void refuse_problem(struct ifab_guests *self, struct question *q, const struct ifab_egress_problem *problem, enum ifab_code otherwise)
{
    enum ifab_code code = problem->code != IFAB_CODE_NONE ? problem->code : otherwise;
    refuse(self, q, code, ifab_guest__own(code, problem->failure), problem->text[0] != '\0' ? problem->text : ifab_egress_failure_text(problem->failure));
}

void ifab_guest__refuse(struct ifab_guests *self, struct question *q, enum ifab_code code, const char *text)
{
    refuse(self, q, code, ifab_guest__own(code, IFAB_EGRESS_NONE), text);
}

void ifab_guest__problem(struct ifab_guests *self, struct question *q, const struct ifab_egress_problem *problem)
{
    refuse_problem(self, q, problem, IFAB_CODE_PROVIDER_UNAVAILABLE);
}

static bool take_headers(struct question *q, const struct ifab_json *headers)
{
    if (headers == NULL)
        return true;
    if (headers->type != IFAB_JSON_OBJECT || headers->u.object.count > IFAB_EGRESS_HEADERS_MAX)
        return false;
    q->headers = ifab_arena_calloc(&q->arena, headers->u.object.count + 1, sizeof *q->headers);
    for (size_t i = 0; q->headers != NULL && i < headers->u.object.count; i++) {
        struct ifab_egress_header *h = &q->headers[q->header_count++];
        h->name = headers->u.object.members[i].name;
        if (!ifab_json_string(&headers->u.object.members[i].value, &h->value))
            return false;
    }
    return q->headers != NULL;
}

static bool take_body(struct question *q, const struct ifab_json *tree)
{
    struct ifab_view text = {NULL, 0};
    if (ifab_json_get(tree, "body") != NULL && ifab_json_get(tree, "body_b64") != NULL)
        return false;
    if (ifab_json_string(ifab_json_get(tree, "body"), &q->body))
        return true;
    if (!ifab_json_string(ifab_json_get(tree, "body_b64"), &text))
        return true;
    uint8_t *bytes = ifab_arena_alloc(&q->arena, text.size + 1);
    size_t size = 0;
    if (bytes == NULL || ifab_base64_decode(text, bytes, text.size, &size) != IFAB_OK)
        return false;
    q->body = ifab_view_of(bytes, size);
    return true;
}

/* Everything is copied: the frame goes when the handler returns. NULL: no JSON. */
static const struct ifab_json *take_tree(struct question *q, struct ifab_view json)
{
    struct ifab_view bytes;
    const struct ifab_json *tree;
    bool good = json.size <= HTTP_REQUEST_MAX && ifab_arena_copy(&q->arena, json, &bytes) == IFAB_OK && ifab_json_read(bytes, NULL, &q->arena, &tree, NULL) == IFAB_OK;
    return good ? tree : NULL;
}

static bool take_request(struct question *q, const struct ifab_json *tree)
{
    struct ifab_refusal refusal = {.offset = -1};
    if (ifab_schema_check(&request_schema, tree, IFAB_CODE_INVALID_PARAMS, &refusal) != IFAB_CODE_NONE)
        return false;
    (void)ifab_json_string(ifab_json_get(tree, "method"), &q->method);
    (void)ifab_json_string(ifab_json_get(tree, "url"), &q->url);
    (void)ifab_json_string(ifab_json_get(tree, "secret"), &q->secret);
    return take_headers(q, ifab_json_get(tree, "headers")) && take_body(q, tree);
}

static bool goes_to(const struct ifab_secret_use *use, struct ifab_view url)
{
    struct ifab_url to;
    struct ifab_origin_parts origin;
    return ifab_url_parse(url, &to, NULL) == IFAB_OK && ifab_origin_read(use->origin_text, &origin, NULL) == IFAB_OK && ifab_origin_same(&origin, &to.origin);
}

/*
 * One name may be meant for several origins, and to go with requests as well as to answer a challenge: each has a row of its own. Where none is that of
 * the URL, the first: egress refuses it by its origin.
 */
static const struct ifab_secret_use *use_of(const struct running *r, struct ifab_view name, struct ifab_view url, bool challenge)
{
    const struct ifab_secret_use *first = NULL;
    for (size_t i = 0; i < r->spec->manifest.secret_count; i++) {
        const struct ifab_secret_use *use = &r->spec->manifest.secrets[i];
        if (!ifab_view_equal(use->name, name) || ifab_secret_is_challenge(use->as, use->field) != challenge)
            continue;
        if (goes_to(use, url))
            return use;
        first = first != NULL ? first : use;
    }
    return first;
}

/* limits.rps counts calls where they come in, and requests here: over all calls of this capability by this talent. */
static bool within_rate(struct ifab_guests *self, const struct running *r)
{
    const struct ifab_capability_limits *limits = &r->spec->manifest.limits;
    uint32_t rate = limits->rps > 0 ? limits->rps : 1, burst = limits->burst > BURST_LEAST ? limits->burst : BURST_LEAST;
    struct ifab_tokens left;
    if (self->rates == NULL && ifab_token_table_new(4, &self->rates) != IFAB_OK)
        return false;
    return ifab_token_table_take(self->rates, r->talent_number, r->spec->manifest.id, rate, burst, (ifab_usec)(uv_hrtime() / 1000), &left, NULL) == IFAB_CODE_NONE &&
           ifab_token_table_put(self->rates, r->talent_number, r->spec->manifest.id, rate, burst, &left) == IFAB_OK;
}

void ifab_guest__ask(struct ifab_guests *self, struct question *q, bool challenge)
{
    const struct running *r = q->running;
    char text[IFAB_GUEST_TEXT_MAX];
    q->use = use_of(r, q->secret, q->url, challenge);
    if (q->use == NULL) {
        ifab_guest__unnamed(q->secret, challenge ? " for challenges" : " for requests", text);
        refuse(self, q, IFAB_CODE_SECRET_NOT_FOUND, IFAB_CALL_UNNAMED_SECRET, text);
    } else if (self->options.ask == NULL) {
        ifab_guest__refuse(self, q, IFAB_CODE_SECRET_NOT_FOUND, ifab_code_info(IFAB_CODE_SECRET_NOT_FOUND)->text);
    } else {
        self->options.ask(self->options.user, q->serial, r->task, r->user, q->secret, q->use->origin_text);
    }
}

/* One request; a URL of ws or wss opens a WebSocket. */
static void exchange(struct ifab_guests *self, struct question *q, const struct ifab_json *tree)
{
    if (tree == NULL || !take_request(q, tree)) {
        ifab_guest__refuse(self, q, IFAB_CODE_INVALID_PARAMS, "not a request: {\"method\",\"url\",\"headers\"?,\"body\"? or \"body_b64\"?,\"secret\"?}");
        return;
    }
    if (!within_rate(self, q->running))
        ifab_guest__refuse(self, q, IFAB_CODE_RATE_LIMIT_EXCEEDED, "more requests than the manifest's limits.rps and limits.burst allow");
    else if (ifab_guest__is_socket(q->url) && !ifab_guest__socket_begin(q))
        ifab_guest__refuse(self, q, IFAB_CODE_RATE_LIMIT_EXCEEDED, "a call has no more WebSockets than this");
    else if (q->secret.size == 0)
        ifab_guest__send(self, q);
    else
        ifab_guest__ask(self, q, false);
}

void ifab_guest__http(struct ifab_guests *self, struct running *r, const struct ifab_chassis_host_call *host_call)
{
    struct question *q = ifab_guest__question(self, 0);
    if (q == NULL) {
        ifab_guest__note(r, IFAB_CALL_BUSY, too_many);
        ifab_guest__http_error(self, host_call->id, IFAB_CODE_QUEUE_FULL, too_many); /* not what is noted: after a failure that is another word */
        return;
    }
    *q = (struct question){.host_call = host_call->id, .running = r, .serial = ++self->serial};
    r->until = (ifab_usec)(uv_hrtime() / 1000) + host_call->left;
    ifab_arena_init(&q->arena, 4 * HTTP_REQUEST_MAX);
    ifab_guest__live_again(self);
    const struct ifab_json *tree = take_tree(q, host_call->args->a);
    if (tree != NULL && ifab_json_get(tree, "socket") != NULL)
        ifab_guest__socket_call(self, q, tree);
    else
        exchange(self, q, tree);
}

void ifab_guest_secret(struct ifab_guests *self, uint64_t serial, enum ifab_code code)
{
    bool granted = code == IFAB_CODE_NONE;
    for (size_t i = 0; i < QUESTIONS_MAX; i++) {
        struct question *q = &self->questions[i];
        if (q->host_call == 0 || q->serial != serial || self->closing)
            continue;
        if (granted && q->kind == QUESTION_ANSWER)
            ifab_guest__socket_answer(self, q);
        else if (granted)
            ifab_guest__send(self, q);
        else
            ifab_guest__refuse(self, q, code, code == IFAB_CODE_PERMISSION_DENIED ? "this secret is not lent here" : ifab_code_info(code)->text);
        return;
    }
}

/* What no honest guest or provider does: the whole call ends as a violation, whatever the guest makes of it. */
void ifab_guest__alarm(struct running *r, const struct ifab_egress_problem *problem)
{
    if (problem->alarm && r->alarm.size == 0 &&
        ifab_arena_copy(&r->arena, ifab_view_str(problem->text[0] != '\0' ? problem->text : ifab_egress_failure_text(problem->failure)), &r->alarm) != IFAB_OK)
        r->alarm = IFAB_VIEW("an exchange that is not let through");
}

static ifab_status lend(void *user, struct ifab_view origin, ifab_egress_use_fn *use, void *use_user)
{
    struct lending *l = user;
    return l->self->options.lend == NULL ? IFAB_NOT_FOUND : l->self->options.lend(l->self->options.user, l->name, origin, use, use_user);
}

/*
 * plan "-" place: each exchange of an apply has its own, and the same one when it, or the whole call, is made again. Else a provider that keeps
 * answers by their key would give the first exchange's answer to the second. What is only looked at has none.
 */
static struct ifab_view key_of(struct question *q)
{
    const struct running *r = q->running;
    int size = r->plan_id.size == 0 ? 0 : snprintf(q->key, sizeof q->key, IFAB_FMT "-%u", IFAB_ARG(r->plan_id), r->exchanges + !q->again);
    return ifab_view_of((const uint8_t *)q->key, size > 0 && (size_t)size < sizeof q->key ? (size_t)size : 0);
}

void ifab_guest__credential(struct ifab_guests *self, struct question *q, struct lending *lending, struct ifab_egress_credential *ret_credential)
{
    *lending = (struct lending){.self = self, .name = q->secret};
    q->version = self->options.secret(self->options.user, q->secret);
    snprintf(lending->id, sizeof lending->id, IFAB_FMT "/%u", IFAB_ARG(q->secret), q->version);
    *ret_credential = (struct ifab_egress_credential){.as = ifab_egress_credential_as_of(q->use->as), .field = q->use->field, .origin = q->use->origin_text,
                                                     .id = ifab_view_str(lending->id), .lend = lend, .user = lending};
}

static void fill(struct ifab_guests *self, struct question *q, struct ifab_egress_request *request)
{
    const struct running *r = q->running;
    const struct ifab_capability_limits *limits = &r->spec->manifest.limits;
    ifab_usec left = r->until - (ifab_usec)(uv_hrtime() / 1000);
    size_t response_max = (size_t)limits->response_kib * 1024;
    if (q->kind == QUESTION_OPEN && response_max > HTTP_ANSWER_MAX)
        response_max = HTTP_ANSWER_MAX; /* a message that a guest cannot be given need not wait for it */
    bool repeatable = r->idempotent && q->kind == QUESTION_HTTP;
    *request = (struct ifab_egress_request){
        .version = IFAB_EGRESS_ABI, .call = r->call, .tag = q->kind == QUESTION_OPEN ? NULL : q, .tenant = r->tenant, .capability = r->spec->manifest.id, .method = q->method, .url = q->url,
        .headers = q->headers, .header_count = q->header_count, .body = q->body, .rows = r->rows, .row_count = r->row_count,
        .dry_run = r->task != IFAB_GUEST_APPLY, .timeout = left > LEAST_TIME ? left : LEAST_TIME,
        .response_max = response_max, .idempotent = repeatable, .attempts = repeatable ? ATTEMPTS : 1,
        .wall = self->options.wall(self->options.user), .exceptions = self->exceptions, .exception_count = self->options.exception_count,
        .listeners = self->listeners, .listener_count = self->options.listener_count};
    if (repeatable && r->task == IFAB_GUEST_APPLY)
        request->idempotency_key = key_of(q);
    for (size_t i = 0; i < limits->backoff_count && i < IFAB_EGRESS_BACKOFF_MAX; i++)
        request->backoff[request->backoff_count++] = limits->backoff[i];
    if (getrandom(request->random, sizeof request->random, 0) != (ssize_t)sizeof request->random)
        request->attempts = 1; /* without jitter nothing is repeated */
}

void ifab_guest__send(struct ifab_guests *self, struct question *q)
{
    struct ifab_egress_request request;
    struct ifab_egress_credential credential;
    struct ifab_egress_problem problem = {.failure = IFAB_EGRESS_SYSTEM};
    struct lending lending;
    fill(self, q, &request);
    if (q->use != NULL) {
        ifab_guest__credential(self, q, &lending, &credential);
        request.credential = &credential;
    }
    ifab_status status = ifab_egress_submit(self->egress, &request, &q->egress, &problem);
    if (status == IFAB_OK) {
        q->running->reached++;
        q->running->exchanges += !q->again;
        if (q->kind == QUESTION_OPEN)
            ifab_guest__socket_submitted(q);
        return;
    }
    ifab_guest__alarm(q->running, &problem);
    if (status == IFAB_AGAIN)
        ifab_guest__refuse(self, q, IFAB_CODE_QUEUE_FULL, too_many);
    else
        refuse_problem(self, q, &problem, IFAB_CODE_SYSTEM_ERROR);
}

/* {"body" or "body_b64","headers","status"} */
static void put_answer(const struct ifab_egress_event *e, struct ifab_buf *b)
{
    bool text = ifab_utf8_valid(e->body) && (e->body.size == 0 || memchr(e->body.data, '\0', e->body.size) == NULL);
    ifab_buf_str(b, text ? "{\"body\":" : "{\"body_b64\":\"");
    if (text) {
        ifab_json_put_string(b, e->body);
    } else {
        ifab_buf_base64(b, e->body.data, e->body.size);
        ifab_buf_char(b, '"');
    }
    ifab_buf_str(b, ",\"headers\":{");
    for (size_t i = 0; i < e->header_count; i++) {
        ifab_buf_str(b, i > 0 ? "," : "");
        ifab_json_put_string(b, e->headers[i].name);
        ifab_buf_char(b, ':');
        ifab_json_put_string(b, ifab_utf8_valid(e->headers[i].value) ? e->headers[i].value : IFAB_VIEW(""));
    }
    ifab_buf_format(b, "},\"status\":%d}", e->status);
}

static void answered(struct ifab_guests *self, struct question *q, const struct ifab_egress_event *e)
{
    bool newer = e->status == 401 && q->use != NULL && !q->again && self->options.secret(self->options.user, q->secret) > q->version;
    if (newer) { /* rotated meanwhile: once more, with what the log says now */
        q->again = true;
        q->egress = 0;
        self->options.ask(self->options.user, q->serial, q->running->task, q->running->user, q->secret, q->use->origin_text);
        return;
    }
    struct ifab_buf b = IFAB_BUF_INIT(HTTP_ANSWER_MAX);
    ifab_guest__came(q->running);
    q->running->failed = ifab_retry_is_failure(e->status); /* its own word that it failed is as good as none */
    put_answer(e, &b);
    if (ifab_buf_status(&b) == IFAB_OK)
        (void)ifab_chassis_host_result(self->chassis, q->host_call, IFAB_HOST_OK, ifab_buf_as_view(&b));
    else
        ifab_guest__http_error(self, q->host_call, IFAB_CODE_TOO_LARGE, "the answer is larger than a guest may be given");
    ifab_wipe(b.data, b.size);
    ifab_buf_fini(&b);
    ifab_guest__question_end(q);
}

void ifab_guest__egress_events(struct ifab_guests *self)
{
    struct ifab_egress_event *e;
    while (self->egress != NULL && (e = ifab_egress_take(self->egress)) != NULL) {
        struct question *q = e->tag;
        if (q == NULL) {
            ifab_guest__socket_event(self, e);
            continue;
        }
        bool ours = q->host_call != 0 && q->egress == e->id; /* who asked may have gone, and its place be another's */
        if (ours && e->kind == IFAB_EGRESS_ANSWER)
            answered(self, q, e);
        else if (ours && e->kind == IFAB_EGRESS_FAILED) {
            ifab_guest__alarm(q->running, &e->problem);
            ifab_guest__problem(self, q, &e->problem);
        }
        ifab_egress_event_free(e);
    }
}

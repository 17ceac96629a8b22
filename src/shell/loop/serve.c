/*
 * Requests in, answers out: may they come here at all (Host, Origin, content type), which route, who asks and which role (who.c). SURFACE section 8.
 * Handlers see only what passed.
 */
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "node.h"

#define REQUEST_ARENA ((size_t)1 << 20)
#define KEPT_BYTES ((size_t)256 << 20)
#define SMALL_BODY ((size_t)64 << 10)
#define CERTIFICATE_WARNING ((int64_t)14 * 86400)
#define QUERY_MAX 8
#define QUERY_VALUE_MAX 512

static struct ifab_view copy(struct request *r, struct ifab_view from)
{
    struct ifab_view to = {NULL, 0};
    (void)ifab_arena_copy(&r->arena, from, &to); /* a header lost to memory reads as absent: the request is refused later, never widened */
    return to;
}

struct request *request_keep(struct node *node, struct ifab_http_request *raw, const struct route *route)
{
    struct request *r = ifab_calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    ifab_arena_init(&r->arena, REQUEST_ARENA);
    r->http = raw->id;
    r->route = route;
    r->peer = *raw->peer;
    r->path = copy(r, raw->path);
    r->query = copy(r, raw->query);
    r->idempotency = copy(r, ifab_http_header(raw, "idempotency-key"));
    r->admin = copy(r, ifab_http_header(raw, "if-admin"));
    r->accept = copy(r, ifab_http_header(raw, "accept"));
    r->last_event = copy(r, ifab_http_header(raw, "last-event-id"));
    r->method = raw->method == IFAB_HTTP_POST ? "POST" : raw->method == IFAB_HTTP_DELETE ? "DELETE" : "GET";
    r->arrived = clock_now(&node->clock, NULL).run;
    r->body = *raw->body;
    memset(raw->body, 0, sizeof *raw->body);
    r->raw = raw;
    return r;
}

void request_free(struct request *r)
{
    if (r == NULL)
        return;
    charge_drop(r->charge);
    if (r->kept != NULL)
        *r->kept -= r->kept_bytes;
    ifab_buf_fini(&r->body);
    ifab_arena_fini(&r->arena);
    ifab_free(r);
}

static bool unhex(uint8_t c, unsigned *ret)
{
    if (c >= '0' && c <= '9')
        *ret = c - '0';
    else if ((c | 32) >= 'a' && (c | 32) <= 'f')
        *ret = (unsigned)((c | 32) - 'a') + 10;
    else
        return false;
    return true;
}

static bool listed(const char *names, struct ifab_view name)
{
    while (names != NULL && *names != '\0') {
        size_t length = strcspn(names, " ");
        if (length == name.size && memcmp(names, name.data, length) == 0)
            return true;
        names += length + (names[length] == ' ');
    }
    return false;
}

/* What a parameter must be before any handler reads it: known to the route, there once, well encoded, without control characters. NULL: good. */
static const char *query_wrong(const struct route *route, struct ifab_view query, struct ifab_view *ret_name)
{
    struct ifab_view seen[QUERY_MAX];
    size_t count = 0;
    while (query.size > 0) {
        const uint8_t *amp = memchr(query.data, '&', query.size);
        struct ifab_view pair = {query.data, amp != NULL ? (size_t)(amp - query.data) : query.size};
        query = amp != NULL ? ifab_view_of(amp + 1, query.size - pair.size - 1) : ifab_view_of(NULL, 0);
        const uint8_t *equal = pair.size > 0 ? memchr(pair.data, '=', pair.size) : NULL;
        size_t length = equal != NULL ? (size_t)(equal - pair.data) : pair.size;
        *ret_name = ifab_view_of(pair.data, length);
        if (equal == NULL || !listed(route->query, *ret_name))
            return "no such parameter here";
        for (size_t i = 0; i < count; i++)
            if (ifab_view_equal(seen[i], *ret_name))
                return "given twice";
        if (count == QUERY_MAX || pair.size - length > QUERY_VALUE_MAX)
            return "too long";
        seen[count++] = *ret_name;
        for (size_t i = length + 1; i < pair.size; i++) {
            unsigned high = 0, low = 0;
            unsigned c = pair.data[i];
            if (c == '%') {
                if (pair.size - i < 3 || !unhex(pair.data[i + 1], &high) || !unhex(pair.data[i + 2], &low))
                    return "% needs two hexadecimal digits";
                c = high << 4 | low;
                i += 2;
            }
            if (c < 0x20 || c == 0x7F)
                return "control characters";
        }
    }
    return NULL;
}

/* true: answered with 208. */
static bool refuse_query(struct node *node, struct ifab_http_request *raw, const struct route *route)
{
    struct ifab_refusal refusal = {.offset = -1, .retry_after_ms = -1};
    struct ifab_buf body = IFAB_BUF_INIT(4096);
    struct ifab_view name = {NULL, 0};
    char field[65];
    const char *why = query_wrong(route, raw->query, &name);
    if (why == NULL)
        return false;
    snprintf(field, sizeof field, IFAB_FMT, (int)(name.size < sizeof field ? name.size : sizeof field - 1), (const char *)name.data);
    for (char *at = field; *at != '\0'; at++)
        if (*at < 0x21 || *at > 0x7E)
            *at = '?';
    ifab_refuse(&refusal, IFAB_CODE_INVALID_PARAMS, field, "%s: %s", field, why);
    ifab_metrics_add(&node->metrics, IFAB_METRIC_REFUSALS, ifab_metrics_code(refusal.code), 1);
    refusal_json(&refusal, NULL, &body);
    (void)ifab_http_reply(node->http, raw->id, 400, "application/json", IFAB_VIEW(""), ifab_buf_as_view(&body));
    ifab_buf_fini(&body);
    return true;
}

bool request_query(const struct request *r, const char *name, struct ifab_buf *value)
{
    struct ifab_view rest = r->query;
    size_t length = strlen(name);
    bool found = false;
    ifab_buf_clear(value);
    while (rest.size > 0) {
        const uint8_t *amp = memchr(rest.data, '&', rest.size);
        size_t size = amp != NULL ? (size_t)(amp - rest.data) : rest.size;
        struct ifab_view pair = {rest.data, size};
        rest = amp != NULL ? ifab_view_of(amp + 1, rest.size - size - 1) : ifab_view_of(NULL, 0);
        if (pair.size < length + 1 || memcmp(pair.data, name, length) != 0 || pair.data[length] != '=')
            continue;
        if (found)
            return false; /* twice: neither is believed */
        found = true;
        for (size_t i = length + 1; i < pair.size; i++) {
            unsigned high, low;
            uint8_t c = pair.data[i];
            if (c == '%') {
                if (i + 2 >= pair.size + 0 && i + 2 > pair.size - 1)
                    return false;
                if (!unhex(pair.data[i + 1], &high) || !unhex(pair.data[i + 2], &low))
                    return false;
                c = (uint8_t)(high << 4 | low);
                i += 2;
            } else if (c == '+') {
                c = ' ';
            }
            if (c < 0x20 || c == 0x7F)
                return false;
            ifab_buf_put(value, &c, 1);
        }
    }
    return found && ifab_buf_status(value) == IFAB_OK;
}

bool request_query_u64(struct node *node, struct request *r, const char *name, uint64_t least, uint64_t most, uint64_t fallback, uint64_t *ret_value)
{
    struct ifab_buf text = IFAB_BUF_INIT(64);
    bool good = true;
    *ret_value = fallback;
    if (request_query(r, name, &text) || text.size > 0) {
        uint64_t value = 0;
        good = text.size > 0 && text.size <= 19;
        for (size_t i = 0; good && i < text.size; i++) {
            good = text.data[i] >= '0' && text.data[i] <= '9';
            value = value * 10 + (uint64_t)(text.data[i] - '0');
        }
        good = good && value >= least && value <= most;
        *ret_value = value;
    }
    ifab_buf_fini(&text);
    if (!good) {
        struct ifab_refusal refusal = {.offset = -1, .retry_after_ms = -1};
        ifab_refuse(&refusal, IFAB_CODE_INVALID_PARAMS, name, "%s must be an integer from %llu to %llu", name, (unsigned long long)least,
                    (unsigned long long)most);
        reply_error(node, r, &refusal);
    }
    return good;
}

/* ---- answers ---- */

void refusal_json(const struct ifab_refusal *refusal, const uint8_t trace16[16], struct ifab_buf *b)
{
    static const uint8_t zero[16];
    const struct ifab_code_info *info = ifab_code_info(refusal->code);
    ifab_buf_format(b, "{\"error\":{\"code\":\"IF_ERR_%03d\"", (int)info->code);
    if (refusal->field[0] != '\0') {
        ifab_buf_str(b, ",\"field\":");
        ifab_json_put_cstr(b, refusal->field);
    }
    if (refusal->has_first)
        ifab_buf_format(b, ",\"first\":{\"decision\":\"%s\",\"entry\":%llu}", ifab_decision_name((enum ifab_decision)refusal->first_decision),
                        (unsigned long long)refusal->first_index);
    ifab_buf_str(b, ",\"hint\":");
    ifab_json_put_cstr(b, refusal->hint != NULL ? refusal->hint : info->hint);
    if (refusal->has_last_seq)
        ifab_buf_format(b, ",\"last_seq\":%llu", (unsigned long long)refusal->last_seq);
    ifab_buf_str(b, ",\"message\":");
    ifab_json_put_cstr(b, refusal->message[0] != '\0' ? refusal->message : info->text);
    ifab_buf_format(b, ",\"name\":\"%s\"", info->name);
    if (refusal->offset >= 0)
        ifab_buf_format(b, ",\"offset\":%lld", (long long)refusal->offset);
    ifab_buf_format(b, ",\"retryable\":%s", info->retryable ? "true" : "false");
    if (info->retryable && refusal->retry_after_ms != IFAB_RETRY_UNKNOWN)
        ifab_buf_format(b, ",\"retry_after_ms\":%lld", (long long)(refusal->retry_after_ms >= 0 ? refusal->retry_after_ms : 1000));
    if (trace16 != NULL && memcmp(trace16, zero, 16) != 0) {
        char trace[37];
        ifab_uuid_format(trace16, trace);
        ifab_buf_format(b, ",\"trace\":\"%s\"", trace);
    }
    ifab_buf_str(b, "}}");
}

static void put_answer(struct node *node, ifab_http_id http, int status, const char *type, struct ifab_view headers, struct ifab_view body)
{
    (void)ifab_http_reply(node->http, http, status, type, headers, body);
}

void reply_text(struct node *node, struct request *r, int status, const char *type, struct ifab_view body)
{
    put_answer(node, r->http, status, type, IFAB_VIEW("Cache-Control: no-store\r\n"), body);
    request_free(r);
}

void reply_json(struct node *node, struct request *r, int status, struct ifab_view body) { reply_text(node, r, status, "application/json", body); }

static void send_refusal(struct node *node, ifab_http_id http, const struct ifab_refusal *refusal, const uint8_t trace16[16])
{
    const struct ifab_code_info *info = ifab_code_info(refusal->code);
    struct ifab_buf body = IFAB_BUF_INIT(8192), headers = IFAB_BUF_INIT(256);
    refusal_json(refusal, trace16, &body);
    if (info->retryable && refusal->retry_after_ms != IFAB_RETRY_UNKNOWN) {
        int64_t ms = refusal->retry_after_ms >= 0 ? refusal->retry_after_ms : 1000;
        ifab_buf_format(&headers, "Retry-After: %lld\r\n", (long long)((ms + 999) / 1000));
    }
    if (info->http == 401)
        ifab_buf_str(&headers, "WWW-Authenticate: Bearer\r\n");
    put_answer(node, http, info->http, "application/json", ifab_buf_as_view(&headers), ifab_buf_as_view(&body));
    ifab_buf_fini(&body);
    ifab_buf_fini(&headers);
}

void reply_error(struct node *node, struct request *r, const struct ifab_refusal *refusal)
{
    ifab_metrics_add(&node->metrics, IFAB_METRIC_REFUSALS, ifab_metrics_code(refusal->code), 1);
    send_refusal(node, r->http, refusal, NULL);
    request_free(r);
}

void reply_code(struct node *node, struct request *r, enum ifab_code code, const char *field, const char *message)
{
    struct ifab_refusal refusal = {.offset = -1, .retry_after_ms = -1};
    ifab_refuse(&refusal, code, field, "%s", message);
    reply_error(node, r, &refusal);
}

void reply_out_of_memory(struct node *node, struct request *r) { reply_code(node, r, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory"); }

int decision_status(enum ifab_decision decision)
{
    return decision == IFAB_DECISION_SHARE ? 200 : decision == IFAB_DECISION_DENY ? 403 : 202;
}

/* One line of an NDJSON answer; the body is complete when the last line is. */
static void reply_line(struct node *node, struct ticket *t)
{
    struct group *group = t->group;
    struct ifab_buf *b = &group->answers;
    if (t->reply.code != IFAB_CODE_NONE) {
        refusal_json(&t->reply.refusal, t->reply.trace16, b);
    } else {
        ifab_buf_str(b, "{\"receipt\":");
        ifab_buf_view(b, t->reply.body);
        ifab_buf_char(b, '}');
    }
    ifab_buf_char(b, '\n');
    group->overdrawn |= t->overdrawn;
    if (++group->answered < group->lines)
        return;
    if (ifab_buf_status(b) == IFAB_OK && group->overdrawn)
        (void)ifab_http_reply_close(node->http, group->request->http, 200, "application/x-ndjson", IFAB_VIEW(""), ifab_buf_as_view(b));
    else if (ifab_buf_status(b) == IFAB_OK)
        put_answer(node, group->request->http, 200, "application/x-ndjson", IFAB_VIEW(""), ifab_buf_as_view(b));
    else
        ifab_http_abort(node->http, group->request->http); /* outcome unknown to the caller: it asks again with its keys */
    request_free(group->request);
    ifab_buf_fini(b);
    ifab_map_fini(&group->refused);
    ifab_free(group);
}

void reply_ticket(struct node *node, struct ticket *t)
{
    struct ifab_reply *reply = &t->reply;
    struct request *r = t->request;
    if (t->group != NULL) {
        reply_line(node, t);
        return;
    }
    if (r == NULL)
        return;
    if (reply->first) { /* the same id again with its key: the first receipt, when the bytes are the same */
        struct ifab_view digest = ifab_view_of(t->admitted->envelope.message_digest32, 32), kept = {NULL, 0};
        if (ifab_arena_copy(&r->arena, digest, &kept) == IFAB_OK)
            receipt_from_entry(node, r, reply->first_index, kept, true);
        else
            reply_code(node, r, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
        return;
    }
    if (reply->code != IFAB_CODE_NONE) {
        if (t->overdrawn) {
            struct ifab_buf body = IFAB_BUF_INIT(4096);
            refusal_json(&reply->refusal, NULL, &body);
            (void)ifab_http_reply_close(node->http, r->http, 429, "application/json", IFAB_VIEW("Retry-After: 1\r\n"), ifab_buf_as_view(&body));
            ifab_buf_fini(&body);
        } else {
            send_refusal(node, r->http, &reply->refusal, reply->trace16);
        }
        request_free(r);
        return;
    }
    int status = reply->is_decision ? decision_status(reply->decision) : reply->http == 0 ? 200 : reply->http;
    if (reply->is_decision && r->proof) {
        uint64_t index = reply->first_index;
        receipt_with_proof(node, r, reply->body, index, status, false);
        return;
    }
    put_answer(node, r->http, status, t->content_type != NULL ? t->content_type : "application/json",
         reply->replayed ? IFAB_VIEW("Idempotent-Replayed: true\r\n") : IFAB_VIEW(""), reply->body);
    request_free(r);
}

/* ---- who may come in ---- */

static bool host_allowed(const struct node *node, struct ifab_view host)
{
    const uint8_t *colon = host.size > 0 ? memrchr(host.data, ':', host.size) : NULL;
    const uint8_t *bracket = host.size > 0 ? memrchr(host.data, ']', host.size) : NULL;
    if (colon != NULL && (bracket == NULL || colon > bracket))
        host.size = (size_t)(colon - host.data);
    for (size_t i = 0; i < node->config.http_host_count; i++)
        if (ifab_view_equal_nocase(host, ifab_view_str(node->config.http_hosts[i])))
            return true;
    return false;
}

static bool origin_allowed(const struct ifab_http_request *raw)
{
    struct ifab_view origin = ifab_http_header(raw, "origin"), site = ifab_http_header(raw, "sec-fetch-site");
    struct ifab_view scheme = raw->peer->tls ? IFAB_VIEW("https://") : IFAB_VIEW("http://");
    if (site.size > 0 && !ifab_view_is(site, "same-origin") && !ifab_view_is(site, "none"))
        return false;
    if (origin.size == 0)
        return true;
    return ifab_view_starts(origin, scheme) &&
           ifab_view_equal_nocase(ifab_view_of(origin.data + scheme.size, origin.size - scheme.size), raw->host);
}

static void answer_raw_hint(struct node *node, struct ifab_http_request *raw, enum ifab_code code, int status, const char *message, const char *hint)
{
    struct ifab_refusal refusal = {.offset = -1, .retry_after_ms = -1};
    struct ifab_buf body = IFAB_BUF_INIT(4096), headers = IFAB_BUF_INIT(256);
    ifab_refuse(&refusal, code, NULL, "%s", message);
    refusal.hint = hint; /* NULL: the code's */
    ifab_metrics_add(&node->metrics, IFAB_METRIC_REFUSALS, ifab_metrics_code(code), 1);
    refusal_json(&refusal, NULL, &body);
    if (status == 401)
        ifab_buf_str(&headers, "WWW-Authenticate: Bearer\r\n");
    if (status == 405) {
        ifab_buf_str(&headers, "Allow: ");
        struct ifab_buf methods = IFAB_BUF_INIT(128);
        routes_allowed(raw->path, &methods);
        ifab_buf_view(&headers, ifab_buf_as_view(&methods));
        ifab_buf_str(&headers, "\r\n");
        ifab_buf_fini(&methods);
    }
    bool last = status == 429 || (status == 401 && raw->peer->has_key); /* too many failures; a certificate is its connection's for good */
    if (ifab_code_info(code)->retryable)
        ifab_buf_str(&headers, "Retry-After: 1\r\n");
    if (last) {
        (void)ifab_http_reply_close(node->http, raw->id, status, "application/json", ifab_buf_as_view(&headers), ifab_buf_as_view(&body));
    } else {
        put_answer(node, raw->id, status, "application/json", ifab_buf_as_view(&headers), ifab_buf_as_view(&body));
    }
    ifab_buf_fini(&body);
    ifab_buf_fini(&headers);
}

static void answer_raw(struct node *node, struct ifab_http_request *raw, enum ifab_code code, int status, const char *message)
{
    answer_raw_hint(node, raw, code, status, message, NULL);
}

static bool json_content(const struct ifab_http_request *raw, const struct route *route)
{
    struct ifab_view type = ifab_http_header(raw, "content-type");
    const uint8_t *semicolon = type.size > 0 ? memchr(type.data, ';', type.size) : NULL;
    if (semicolon != NULL)
        type.size = (size_t)(semicolon - type.data);
    while (type.size > 0 && type.data[type.size - 1] == ' ')
        type.size--;
    if (ifab_view_equal_nocase(type, IFAB_VIEW("application/json")))
        return true;
    return (route->flags & ROUTE_NDJSON) != 0 && ifab_view_equal_nocase(type, IFAB_VIEW("application/x-ndjson"));
}

/* Bodies that wait are bounded in bytes as well; the second half is for small ones. */
static bool bytes_room(const struct node *node, size_t size)
{
    size_t most = size > SMALL_BODY ? KEPT_BYTES / 2 : KEPT_BYTES;
    return node->kept_bytes <= most && size <= most - node->kept_bytes;
}

static void on_request(void *user, struct ifab_http_request *raw)
{
    struct node *node = user;
    struct ifab_view params[PARAM_MAX];
    struct who who;
    bool known = false, tcp = !raw->peer->unix_socket;
    char text[WHO_TEXT];
    if (tcp && !host_allowed(node, raw->host)) {
        answer_raw_hint(node, raw, IFAB_CODE_PERMISSION_DENIED, 421, "this Host is not served here; see http.hosts",
                        "Ask by a name that http.hosts lists, or add this one to http.hosts in ifd.yaml and restart ifd.");
        return;
    }
    if (tcp && !origin_allowed(raw)) {
        answer_raw_hint(node, raw, IFAB_CODE_PERMISSION_DENIED, 403, "requests from other sites are refused",
                        "A page of another site asked for this in a browser. Ask from a page of this address, or with a program that sends no Origin.");
        return;
    }
    enum ifab_http_method method = raw->method == IFAB_HTTP_HEAD ? IFAB_HTTP_GET : raw->method;
    const struct route *route = route_find(method, raw->path, params, &known);
    if (route == NULL) {
        answer_raw(node, raw, known ? IFAB_CODE_INVALID_PARAMS : IFAB_CODE_NOT_FOUND, known ? 405 : 404,
                   known ? "not this method here" : "no such route");
        return;
    }
    enum ifab_code code = who_is(node, raw, &who, text);
    if (code == IFAB_CODE_NONE)
        code = who_may(&who, route, raw, text);
    if (code != IFAB_CODE_NONE) {
        answer_raw(node, raw, code, ifab_code_info(code)->http, text);
        return;
    }
    if (tcp && (route->flags & ROUTE_CHANGES) != 0 && !json_content(raw, route)) {
        answer_raw(node, raw, IFAB_CODE_INVALID_PARAMS, 415, "Content-Type must be application/json");
        return;
    }
    if (route->handle != NULL && refuse_query(node, raw, route))
        return;
    if (route->handle == NULL) {
        answer_raw(node, raw, IFAB_CODE_NOT_SUPPORTED, 501, "this part comes with a later version");
        return;
    }
    if ((route->flags & ROUTE_CHANGES) != 0 && (node->stopping || !pipeline_room_single(node, raw->peer) || !bytes_room(node, raw->body->size))) {
        answer_raw(node, raw, IFAB_CODE_QUEUE_FULL, 503, node->stopping ? "the daemon is stopping" : "too much waits to be decided");
        return;
    }
    struct request *r = request_keep(node, raw, route);
    if (r == NULL) {
        answer_raw(node, raw, IFAB_CODE_SYSTEM_ERROR, 500, "out of memory");
        return;
    }
    if ((route->flags & ROUTE_CHANGES) != 0) {
        r->kept = &node->kept_bytes;
        r->kept_bytes = r->body.size;
        node->kept_bytes += r->kept_bytes;
    }
    r->charge = (route->flags & ROUTE_CHANGES) != 0 ? charge_hold(&node->charges, raw->peer, clock_boot()) : NULL;
    if ((route->flags & ROUTE_CHANGES) != 0 && r->charge == NULL) {
        reply_code(node, r, IFAB_CODE_QUEUE_FULL, NULL, "too many callers at once");
        return;
    }
    r->principal = who.principal;
    r->has_token = who.has_token;
    r->has_key = who.has_key;
    r->ends = who.ends;
    memcpy(r->token16, who.token16, 16);
    memcpy(r->key32, who.key32, 32);
    r->head_only = raw->method == IFAB_HTTP_HEAD;
    for (size_t i = 0; i < PARAM_MAX; i++)
        r->params[i] = copy(r, params[i]);
    const char *field, *why;
    if ((route->flags & ROUTE_CHANGES) != 0 && !context_take(r, &field, &why)) {
        reply_code(node, r, IFAB_CODE_INVALID_PARAMS, field, why);
        return;
    }
    route->handle(node, r);
}

static size_t on_head(void *user, const struct ifab_http_request *raw)
{
    struct ifab_view params[PARAM_MAX];
    bool known;
    (void)user;
    const struct route *route = route_find(raw->method, raw->path, params, &known);
    if (route == NULL)
        return 65536;
    struct ifab_view type = ifab_http_header(raw, "content-type");
    bool ndjson = (route->flags & ROUTE_NDJSON) != 0 && ifab_view_starts(type, IFAB_VIEW("application/x-ndjson"));
    return ndjson ? (size_t)16 << 20 : route->body_max;
}

static bool by_line(void *user, const struct ifab_http_request *raw)
{
    (void)user;
    return ifab_view_starts(ifab_http_header(raw, "content-type"), IFAB_VIEW("application/x-ndjson"));
}

static void on_gone(void *user, ifab_http_id id) { wait_gone(user, id); }

static void error_body(void *user, int status, const char *why, struct ifab_buf *body)
{
    struct ifab_refusal refusal = {.offset = -1, .retry_after_ms = -1};
    enum ifab_code code = status == 413 || status == 431  ? IFAB_CODE_TOO_LARGE
                          : status == 408                 ? IFAB_CODE_DEADLINE_EXCEEDED
                          : status == 503 || status == 429 ? IFAB_CODE_QUEUE_FULL
                          : status == 501 || status == 505 ? IFAB_CODE_NOT_SUPPORTED
                                                           : IFAB_CODE_INVALID_PARAMS;
    (void)user;
    ifab_refuse(&refusal, code, NULL, "%s", why);
    refusal_json(&refusal, NULL, body);
}

#define DESCRIPTORS_OURS 256 /* database, tiles, backups */

/* Connections must not take the descriptors that the store needs, nor one kind of them those of the other. */
static ifab_status descriptors(struct ifab_http_limits *limits, struct ifab_error *err)
{
    struct rlimit most;
    rlim_t wanted = ifab_http_slots(limits) + DESCRIPTORS_OURS;
    if (getrlimit(RLIMIT_NOFILE, &most) != 0)
        return ifab_fail(err, IFAB_IO, "RLIMIT_NOFILE cannot be read");
    if (most.rlim_cur < wanted && most.rlim_cur < most.rlim_max) {
        most.rlim_cur = most.rlim_max < wanted ? most.rlim_max : wanted;
        (void)setrlimit(RLIMIT_NOFILE, &most); /* less is served where it is not allowed */
        (void)getrlimit(RLIMIT_NOFILE, &most);
    }
    if (most.rlim_cur >= wanted)
        return IFAB_OK;
    if (most.rlim_cur < DESCRIPTORS_OURS + 64)
        return ifab_fail(err, IFAB_UNSUPPORTED, "%llu open files are allowed (ulimit -n), at least %d are needed", (unsigned long long)most.rlim_cur,
                         DESCRIPTORS_OURS + 64);
    size_t left = (size_t)(most.rlim_cur - DESCRIPTORS_OURS), asked = ifab_http_slots(limits);
    limits->connections = limits->connections * left / asked;
    limits->tcp_connections = left - limits->connections;
    limits->address_connections = (limits->tcp_connections + 1) / 2;
    IFAB_LOG(IFAB_LOG_WARN, "fewer connections: the limit of open files (ulimit -n) is low", IFAB_F_NUM("files", most.rlim_cur));
    return IFAB_OK;
}

void serve_limits(const struct ifab_config *config, struct ifab_http_limits *ret_limits)
{
    ifab_http_limits_default(ret_limits);
    ret_limits->connections = (size_t)config->socket_connections;
    ret_limits->tcp_connections = (size_t)config->connections;
    ret_limits->address_connections = (ret_limits->tcp_connections + 1) / 2;
}

ifab_status serve_tls(const struct ifab_config *config, struct ifab_tls_context **ret_context, struct ifab_error *err)
{
    const struct ifab_tls_server_settings settings = {config->http_certificate, config->http_key};
    *ret_context = NULL;
    return config->http_certificate[0] == '\0' ? IFAB_OK : ifab_tls_server_context(&settings, ret_context, err);
}

void serve_use_tls(struct node *node, struct ifab_tls_context *context)
{
    if (node->http != NULL)
        ifab_http_set_tls(node->http, context);
    ifab_tls_context_free(node->tls); /* connections keep what they need of it */
    node->tls = context;
    if (context != NULL && ifab_tls_context_expires(context) - clock_real() / IFAB_SECOND < CERTIFICATE_WARNING)
        IFAB_LOG(IFAB_LOG_WARN, "http: the certificate ends within two weeks, or has ended", IFAB_F_TEXT("file", node->config.http_certificate));
}

ifab_status serve_start(struct node *node, struct ifab_error *err)
{
    struct ifab_http_limits limits;
    struct ifab_http_handlers handlers = {.on_request = on_request, .on_head = on_head, .on_gone = on_gone, .error_body = error_body, .by_line = by_line,
                                         .user = node};
    char path[1100];
    serve_limits(&node->config, &limits);
    IFAB_TRY(descriptors(&limits, err));
    IFAB_TRY(ifab_http_server_new(&node->loop, &limits, &handlers, &node->http, err));
    struct ifab_tls_context *tls;
    IFAB_TRY(serve_tls(&node->config, &tls, err));
    serve_use_tls(node, tls);
    snprintf(path, sizeof path, "%s/ifd.sock", node->config.run_dir);
    IFAB_TRY(ifab_http_listen_unix(node->http, path, err));
    if (node->config.uid_count > 0 && chmod(path, 0666) != 0) /* others may knock: their uid decides (access.uids) */
        return ifab_fail(err, IFAB_DENIED, "%s: cannot be opened to access.uids", path);
    if (node->config.http_listen[0] != '\0')
        IFAB_TRY(ifab_http_listen_tcp(node->http, node->config.http_listen, &node->http_port, err));
    return IFAB_OK;
}

/* Talents: lists and acts. A body is checked by its schema, the act's signature by the verifiers, authority in the step. */
#include <string.h>

#include "base/encode.h"
#include "json/schema.h"
#include "node.h"
#include "redact/redact.h"

static bool check_mode(struct ifab_view text, const char **ret_why)
{
    *ret_why = "strict or window";
    return ifab_view_is(text, "strict") || ifab_view_is(text, "window");
}

static bool check_use(struct ifab_view text, const char **ret_why)
{
    *ret_why = "sign or tls";
    return ifab_view_is(text, "sign") || ifab_view_is(text, "tls");
}

#define FIELD_WHY {.name = "why", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = 1024, .check = ifab_schema_printable}
static const struct ifab_schema_field add_fields[] = {
    {.name = "name", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = IFAB_NAME_MAX, .check = ifab_schema_name},
    {.name = "owner", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = IFAB_NAME_MAX, .check = ifab_schema_name},
    {.name = "role", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = IFAB_NAME_MAX, .check = ifab_schema_name},
    {.name = "pubkey", .kind = IFAB_SCHEMA_STRING, .min = 43, .max = 43, .check = ifab_schema_key32},
    {.name = "mode", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = 16, .check = check_mode},
    FIELD_WHY,
};
static const struct ifab_schema_field grant_fields[] = {
    {.name = "scope", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 128, .check = ifab_schema_printable},
    {.name = "expires_at", .kind = IFAB_SCHEMA_STRING, .min = 20, .max = 24, .check = ifab_schema_time},
    FIELD_WHY,
};
static const struct ifab_schema_field key_fields[] = {
    {.name = "pubkey", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 43, .max = 43, .check = ifab_schema_key32},
    {.name = "use", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = 16, .check = check_use},
    {.name = "overlap_s", .kind = IFAB_SCHEMA_INTEGER, .min = 0, .max = 30 * 86400},
    FIELD_WHY,
};
static const struct ifab_schema_field tls_key_fields[] = {
    {.name = "use", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 16, .check = check_use},
    {.name = "spki", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 71, .max = 71, .check = ifab_schema_sha256},
    {.name = "expires_at", .kind = IFAB_SCHEMA_STRING, .min = 20, .max = 24, .check = ifab_schema_time},
    {.name = "overlap_s", .kind = IFAB_SCHEMA_INTEGER, .min = 0, .max = 30 * 86400},
    FIELD_WHY,
};
static const struct ifab_schema_field revoke_fields[] = {
    {.name = "key_id", .kind = IFAB_SCHEMA_STRING, .min = 18, .max = 18, .check = ifab_schema_key_id},
    {.name = "spki", .kind = IFAB_SCHEMA_STRING, .min = 71, .max = 71, .check = ifab_schema_sha256},
    {.name = "scope", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = 128, .check = ifab_schema_printable},
    {.name = "talent", .kind = IFAB_SCHEMA_BOOL},
    FIELD_WHY,
};
static const struct ifab_schema schemas[] = {
    [IFAB_ACT_ADD] = {"talent", add_fields, IFAB_COUNT(add_fields)},
    [IFAB_ACT_GRANT] = {"grant", grant_fields, IFAB_COUNT(grant_fields)},
    [IFAB_ACT_REVOKE] = {"revoke", revoke_fields, IFAB_COUNT(revoke_fields)},
    [IFAB_ACT_ROTATE] = {"key", key_fields, IFAB_COUNT(key_fields)},
    [IFAB_ACT_TLS_KEY] = {"TLS key", tls_key_fields, IFAB_COUNT(tls_key_fields)},
};

/* Configured names map onto the built-in roles, resolved when the talent is added. */
enum ifab_role role_named(const struct node *node, struct ifab_view name)
{
    enum ifab_role role = ifab_role_parse(name);
    for (size_t i = 0; i < node->config.role_count && role == IFAB_ROLE_NONE; i++)
        if (ifab_view_is(name, node->config.role_names[i]))
            role = ifab_role_parse(ifab_view_str(node->config.role_targets[i]));
    return role;
}

static bool key_of(const struct node *node, struct request *r, struct ifab_talent_request *request, const struct ifab_json *body)
{
    struct ifab_view text = ifab_json_text(body, "pubkey"), id = ifab_json_text(body, "key_id"), spki = ifab_json_text(body, "spki");
    uint8_t *key = ifab_arena_alloc(&r->arena, 32), *digest = ifab_arena_alloc(&r->arena, 32);
    size_t size;
    if (key == NULL || digest == NULL)
        return false;
    if (spki.size > 0) {
        if (ifab_hex_decode(ifab_view_of(spki.data + 7, spki.size - 7), digest, 32) != IFAB_OK)
            return false;
        request->spki32 = digest;
    }
    if (text.size > 0) {
        if (ifab_base64url_decode(text, key, 32, &size) != IFAB_OK || size != 32)
            return false;
        request->pubkey32 = key;
    } else if (id.size > 0) {
        const struct ifab_talent *talent = ifab_talents_find(ifab_fabric_talents(node->fabric), request->name);
        memset(key, 0, 32); /* an id that none of its keys has: answered 404 by the step */
        for (size_t i = 0; talent != NULL && i < talent->key_count; i++) {
            char key_id[19];
            ifab_key_id(talent->keys[i].pubkey32, key_id);
            if (ifab_view_is(id, key_id))
                memcpy(key, talent->keys[i].pubkey32, 32);
        }
        request->pubkey32 = key;
    }
    return true;
}

/* The body says which use; what is malformed is told by the schema of a key that signs. */
static enum ifab_talent_act use_of(struct request *r)
{
    struct ifab_json_limits limits = {.max_size = 256 * 1024};
    const struct ifab_json *body = NULL;
    struct ifab_error err = {0};
    if (ifab_json_read(ifab_buf_as_view(&r->body), &limits, &r->arena, &body, &err) == IFAB_OK && ifab_view_is(ifab_json_text(body, "use"), "tls"))
        return IFAB_ACT_TLS_KEY;
    return IFAB_ACT_ROTATE;
}

/* What idempotent requests are remembered by. */
void set_idempotency(struct ticket *t, struct request *r)
{
    uint8_t digest[32];
    struct ifab_buf text = IFAB_BUF_INIT(4096);
    if (r->idempotency.size == 0)
        return;
    ifab_buf_format(&text, "%s\n%s ", r->principal.actor, r->method);
    ifab_buf_view(&text, r->path);
    ifab_buf_char(&text, '\n');
    ifab_buf_view(&text, r->idempotency);
    ifab_sha256(ifab_buf_as_view(&text), digest);
    memcpy(t->command.request16, digest, 16);
    ifab_sha256(ifab_buf_as_view(&r->body), t->command.body32);
    t->command.idempotency = r->idempotency;
    ifab_buf_fini(&text);
}

void queue_act(struct node *node, struct request *r, struct ticket *t)
{
    set_idempotency(t, r);
    t->command.why = context_redacted(&t->arena, t->command.why);
    t->bytes = ifab_buf_as_view(&r->body);
    t->verify = r->admin.size > 0 ? VERIFY_ACT : VERIFY_NONE;
    ticket_queue(node, t);
}

/* Names stand in records and entries as they are, for good: one that looks like a secret does not come in. */
static enum ifab_code check_names(const struct ifab_json *body, struct ifab_refusal *refusal)
{
    static const char *const names[] = {"name", "owner", "scope", "directory"};
    for (size_t i = 0; i < IFAB_COUNT(names); i++)
        if (ifab_redact_hits_text(ifab_json_text(body, names[i])))
            return ifab_refuse(refusal, IFAB_CODE_INVALID_PARAMS, names[i], "looks like a secret, and names stand in the log");
    return IFAB_CODE_NONE;
}

/* The body of an act, checked; NULL: answered. */
const struct ifab_json *act_body(struct node *node, struct request *r, const struct ifab_schema *schema)
{
    struct ifab_json_limits limits = {.max_size = 256 * 1024};
    struct ifab_error err = {0};
    struct ifab_refusal refusal = {.offset = -1, .retry_after_ms = -1};
    const struct ifab_json *body;
    if (ifab_json_read(ifab_buf_as_view(&r->body), &limits, &r->arena, &body, &err) != IFAB_OK) {
        ifab_refuse(&refusal, IFAB_CODE_INVALID_PARAMS, NULL, "%s", err.text);
        refusal.offset = err.offset;
        reply_error(node, r, &refusal);
        return NULL;
    }
    if (ifab_schema_check(schema, body, IFAB_CODE_INVALID_PARAMS, &refusal) != IFAB_CODE_NONE || check_names(body, &refusal) != IFAB_CODE_NONE) {
        reply_error(node, r, &refusal);
        return NULL;
    }
    return body;
}

static void queue_talent(struct node *node, struct request *r, enum ifab_talent_act act)
{
    const struct ifab_json *body = act_body(node, r, &schemas[act]);
    if (body == NULL)
        return;
    struct ifab_talent_request request = {.expires_at = IFAB_NEVER};
    int64_t seconds = 0;
    request.name = act == IFAB_ACT_ADD ? ifab_json_text(body, "name") : r->params[0];
    request.owner = ifab_json_text(body, "owner");
    request.scope = ifab_json_text(body, "scope");
    request.mode = ifab_view_is(ifab_json_text(body, "mode"), "window") ? IFAB_ORDER_WINDOW : IFAB_ORDER_STRICT;
    request.role_name = ifab_json_text(body, "role").size > 0 ? ifab_json_text(body, "role") : IFAB_VIEW("agent");
    request.role = role_named(node, request.role_name);
    if (ifab_json_get(body, "expires_at") != NULL)
        (void)ifab_time_parse(ifab_json_text(body, "expires_at"), &request.expires_at);
    if (ifab_json_integer(ifab_json_get(body, "overlap_s"), &seconds))
        request.overlap = seconds * IFAB_SECOND;
    else if (act == IFAB_ACT_TLS_KEY)
        request.overlap = IFAB_NEVER; /* one for each machine: they live side by side */
    const struct ifab_json *whole = ifab_json_get(body, "talent");
    if (act == IFAB_ACT_REVOKE && whole != NULL && whole->type == IFAB_JSON_TRUE)
        act = IFAB_ACT_REMOVE;
    if (act == IFAB_ACT_ADD && request.role == IFAB_ROLE_NONE) {
        reply_code(node, r, IFAB_CODE_INVALID_PARAMS, "role", "no such role; built in are admin, operator, agent, auditor, readonly");
        return;
    }
    struct ticket *t = ticket_new(node, r);
    if (t == NULL || !key_of(node, r, &request, body)) {
        if (t != NULL)
            ticket_free(node, t);
        reply_code(node, r, IFAB_CODE_INVALID_PARAMS, "pubkey", "not the base64url of 32 bytes");
        return;
    }
    t->command.type = IFAB_COMMAND_TALENT;
    t->command.u.talent.act = act;
    t->command.u.talent.request = request;
    t->command.why = ifab_json_text(body, "why");
    queue_act(node, r, t);
}

void handle_talent_add(struct node *node, struct request *r) { queue_talent(node, r, IFAB_ACT_ADD); }
void handle_talent_grant(struct node *node, struct request *r) { queue_talent(node, r, IFAB_ACT_GRANT); }
void handle_talent_keys(struct node *node, struct request *r) { queue_talent(node, r, use_of(r)); }
void handle_talent_revoke(struct node *node, struct request *r) { queue_talent(node, r, IFAB_ACT_REVOKE); }

/* ---- reads, at their turn in the order of steps ---- */

static void answer(struct ticket *t, struct ifab_buf *b)
{
    if (ifab_buf_status(b) != IFAB_OK || ifab_arena_copy(&t->arena, ifab_buf_as_view(b), &t->reply.body) != IFAB_OK)
        t->reply.code = ifab_refuse(&t->reply.refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
    ifab_buf_fini(b);
}

static void step_talents(struct node *node, struct ticket *t)
{
    const struct ifab_talents *talents = ifab_fabric_talents(node->fabric);
    struct ifab_buf b = IFAB_BUF_INIT((size_t)3 << 20), text = IFAB_BUF_INIT(32);
    uint64_t after = 0, limit = 50, shown = 0;
    if (request_query(t->request, "cursor", &text))
        for (size_t i = 0; i < text.size && text.data[i] >= '0' && text.data[i] <= '9'; i++)
            after = after * 10 + (uint64_t)(text.data[i] - '0');
    if (request_query(t->request, "limit", &text)) {
        limit = 0;
        for (size_t i = 0; i < text.size && text.data[i] >= '0' && text.data[i] <= '9'; i++)
            limit = limit * 10 + (uint64_t)(text.data[i] - '0');
    }
    ifab_buf_fini(&text);
    ifab_buf_str(&b, "{\"items\":[");
    uint32_t count = ifab_talents_count(talents);
    uint64_t i = after + 1;
    for (; i <= count && shown < limit && b.size < (size_t)2 << 20; i++) {
        const struct ifab_talent *talent = ifab_talents_at(talents, (uint32_t)i);
        if (talent == NULL)
            continue;
        if (shown++ > 0)
            ifab_buf_char(&b, ',');
        ifab_buf_view(&b, talent->record);
    }
    if (i <= count)
        ifab_buf_format(&b, "],\"next\":\"%llu\"}", (unsigned long long)(i - 1));
    else
        ifab_buf_str(&b, "],\"next\":null}");
    answer(t, &b);
}

static void step_talent(struct node *node, struct ticket *t)
{
    const struct ifab_talent *talent = ifab_talents_find(ifab_fabric_talents(node->fabric), t->request->params[0]);
    if (talent == NULL || ifab_arena_copy(&t->arena, talent->record, &t->reply.body) != IFAB_OK)
        t->reply.code = ifab_refuse(&t->reply.refusal, IFAB_CODE_TALENT_NOT_FOUND, NULL, "no talent of this name");
}

static void step_sequences(struct node *node, struct ticket *t)
{
    const struct ifab_talent *talent = ifab_talents_find(ifab_fabric_talents(node->fabric), t->request->params[0]);
    const struct ifab_sequences *sequences = ifab_fabric_sequences(node->fabric);
    struct ifab_buf b = IFAB_BUF_INIT(65536);
    uint64_t cursor = 0;
    bool some = false;
    if (talent == NULL || (t->request->principal.role == IFAB_ROLE_AGENT && t->request->principal.talent != talent->number)) {
        t->reply.code = ifab_refuse(&t->reply.refusal, IFAB_CODE_TALENT_NOT_FOUND, NULL, "no talent of this name");
        return;
    }
    ifab_buf_str(&b, "{\"items\":[");
    for (const struct ifab_sequence *s; (s = ifab_sequences_next(sequences, talent->number, &cursor)) != NULL; some = true) {
        ifab_buf_format(&b, "%s{\"epoch\":%u,\"last_seq\":%llu,\"sender\":\"if://agent/" IFAB_FMT, some ? "," : "", s->epoch,
                        (unsigned long long)s->last_seq, IFAB_ARG(talent->name));
        if (s->instance_size > 0)
            ifab_buf_format(&b, "/%.*s", (int)s->instance_size, s->instance);
        ifab_buf_str(&b, "\"}");
    }
    ifab_buf_str(&b, "],\"next\":null}");
    answer(t, &b);
}

static void queue_read(struct node *node, struct request *r, ticket_step_fn *step)
{
    struct ticket *t = ticket_new(node, r);
    if (t == NULL) {
        reply_code(node, r, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
        return;
    }
    t->step = step;
    ticket_queue(node, t);
}

void handle_talents(struct node *node, struct request *r)
{
    uint64_t number; /* checked before it waits for its turn */
    if (request_query_u64(node, r, "limit", 1, 1000, 50, &number) && request_query_u64(node, r, "cursor", 0, UINT32_MAX, 0, &number))
        queue_read(node, r, step_talents);
}
void handle_talent(struct node *node, struct request *r) { queue_read(node, r, step_talent); }
void handle_sequences(struct node *node, struct request *r) { queue_read(node, r, step_sequences); }

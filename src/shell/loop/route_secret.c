/*
 * Secrets over HTTP: names and times go out, values come in sealed and never go out. POST /v1/secrets/{}/check walks the whole way of an access,
 * entry first, up to the bytes, and tells nothing of them.
 */
#include <string.h>

#include "base/encode.h"
#include "node.h"
#include "redact/redact.h"
#include "vault.h"
#include "json/schema.h"

#define LIST_BYTES ((size_t)2 << 20)

static bool check_origin(struct ifab_view text, const char **ret_why) { return ifab_origin_valid(text, ret_why); }

#define FIELD_WHY                                                                                        \
    {                                                                                                    \
        .name = "why", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = 1024, .check = ifab_schema_printable \
    }
#define FIELD_SEALED                                                                                                    \
    {                                                                                                                   \
        .name = "sealed", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = (VAULT_SEALED_MAX * 4 + 2) / 3 \
    }
#define FIELD_TO                                                                                                     \
    {                                                                                                                \
        .name = "to", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 43, .max = 43, .check = ifab_schema_key32 \
    }
#define FIELD_ORIGINS(required_)                                                                                                         \
    {                                                                                                                                    \
        .name = "origins", .kind = IFAB_SCHEMA_LIST, .required = (required_), .min = 1, .max = IFAB_SECRET_ORIGINS, .item = &origin_item \
    }
static const struct ifab_schema_field origin_item = {.kind = IFAB_SCHEMA_STRING, .min = 1, .max = IFAB_ORIGIN_MAX, .check = check_origin};
static const struct ifab_schema_field set_fields[] = {
    {.name = "name", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = IFAB_NAME_MAX, .check = ifab_schema_name},
    FIELD_ORIGINS(true),
    FIELD_SEALED,
    FIELD_TO,
    FIELD_WHY,
};
static const struct ifab_schema_field rotate_fields[] = {FIELD_ORIGINS(false), FIELD_SEALED, FIELD_TO, FIELD_WHY};
static const struct ifab_schema_field revoke_fields[] = {FIELD_WHY};
static const struct ifab_schema_field check_fields[] = {
    {.name = "origin", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = IFAB_ORIGIN_MAX, .check = check_origin},
    FIELD_WHY,
};
static const struct ifab_schema schemas[] = {
    [IFAB_SECRET_SET] = {"secret", set_fields, IFAB_COUNT(set_fields)},
    [IFAB_SECRET_ROTATE] = {"secret", rotate_fields, IFAB_COUNT(rotate_fields)},
    [IFAB_SECRET_REVOKE] = {"request", revoke_fields, IFAB_COUNT(revoke_fields)},
};
static const struct ifab_schema check_schema = {"request", check_fields, IFAB_COUNT(check_fields)};

static struct ifab_view text_of(const struct ifab_json *object, const char *name)
{
    struct ifab_view text = {NULL, 0};
    (void)ifab_json_string(ifab_json_get(object, name), &text);
    return text;
}

/* Over the network a value goes within TLS alone, though it is sealed: the key that it is sealed to comes the same way. */
static bool is_private(struct node *node, struct request *r)
{
    if (r->peer.unix_socket || r->peer.tls)
        return true;
    reply_code(node, r, IFAB_CODE_PERMISSION_DENIED, NULL, "secrets go over the Unix socket, or over TLS (http.certificate, http.key)");
    return false;
}

static bool is_name(struct node *node, struct request *r, struct ifab_view name)
{
    if (!ifab_name_valid(name)) {
        reply_code(node, r, IFAB_CODE_SECRET_NOT_FOUND, "name", "a name is [A-Za-z0-9][A-Za-z0-9._-]{0,63} without \"..\"");
        return false;
    }
    if (ifab_redact_hits_text(name)) {
        reply_code(node, r, IFAB_CODE_INVALID_PARAMS, "name", "looks like a secret, and names stand in the log");
        return false;
    }
    return true;
}

static const struct ifab_view *read_origins(struct request *r, const struct ifab_json *body, size_t *ret_count)
{
    const struct ifab_json *list = ifab_json_get(body, "origins");
    *ret_count = list == NULL ? 0 : list->u.array.count;
    struct ifab_view *origins = ifab_arena_calloc(&r->arena, IFAB_SECRET_ORIGINS, sizeof *origins);
    for (size_t i = 0; origins != NULL && i < *ret_count; i++)
        (void)ifab_json_string(&list->u.array.items[i], &origins[i]);
    return origins;
}

/* *ret_ask NULL: answered. */
static bool read_sealed(struct node *node, struct request *r, const struct ifab_json *body, struct vault_ask **ret_ask)
{
    struct vault_ask *ask = ifab_arena_calloc(&r->arena, 1, sizeof *ask);
    uint8_t *bytes = ifab_arena_alloc(&r->arena, VAULT_SEALED_MAX);
    struct ifab_view sealed = text_of(body, "sealed");
    size_t size = 0;
    if (ask == NULL || bytes == NULL) {
        reply_code(node, r, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
        return false;
    }
    if (ifab_base64url_decode(sealed, bytes, VAULT_SEALED_MAX, &size) != IFAB_OK || size <= IFAB_BOX_OVERHEAD) {
        reply_code(node, r, IFAB_CODE_INVALID_PARAMS, "sealed",
                   ifab_looks_base64_standard(sealed) ? "base64url without padding, not the standard alphabet" : "base64url of a sealed box");
        return false;
    }
    ask->sealed = ifab_view_of(bytes, size);
    (void)ifab_base64url_decode(text_of(body, "to"), ask->to32, 32, &size); /* the schema has looked */
    *ret_ask = ask;
    return true;
}

static void handle_change(struct node *node, struct request *r, enum ifab_secret_act act)
{
    struct vault_ask *ask = NULL;
    size_t count = 0;
    if (!is_private(node, r))
        return;
    const struct ifab_json *body = act_body(node, r, &schemas[act]);
    if (body == NULL)
        return;
    struct ifab_view name = act == IFAB_SECRET_SET ? text_of(body, "name") : r->params[0];
    if (!is_name(node, r, name) || (act != IFAB_SECRET_REVOKE && !read_sealed(node, r, body, &ask)))
        return;
    const struct ifab_view *origins = read_origins(r, body, &count);
    struct ticket *t = origins == NULL ? NULL : ticket_new(node, r);
    if (t == NULL) {
        reply_code(node, r, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
        return;
    }
    t->command.type = IFAB_COMMAND_SECRET;
    t->command.why = text_of(body, "why");
    t->command.u.secret.request = (struct ifab_secret_request){.act = act, .name = name, .origins = origins, .origin_count = count};
    t->user = ask;
    queue_act(node, r, t);
}

void handle_secret_set(struct node *node, struct request *r) { handle_change(node, r, IFAB_SECRET_SET); }
void handle_secret_rotate(struct node *node, struct request *r) { handle_change(node, r, IFAB_SECRET_ROTATE); }
void handle_secret_revoke(struct node *node, struct request *r) { handle_change(node, r, IFAB_SECRET_REVOKE); }

/* ---- an access that tells nothing ---- */

static ifab_status is_there(void *user, struct ifab_view value)
{
    (void)user;
    return value.size >= IFAB_VAULT_VALUE_MIN ? IFAB_OK : IFAB_CORRUPT;
}

/* The entry is durable: now the value, as far as to hold it in the hand. */
static void checked(struct node *node, struct ticket *t)
{
    struct ifab_vault_handle handle;
    struct ifab_error err = {0};
    if (t->code == IFAB_CODE_NONE && t->reply.code == IFAB_CODE_NONE && !t->reply.replayed) {
        ifab_status status = ifab_vault_find(node->vault, t->command.u.secret_get.name, &handle);
        if (status == IFAB_OK)
            status = ifab_vault_use(node->vault, handle, t->command.u.secret_get.origin, is_there, NULL, &err);
        if (status != IFAB_OK) /* rotated or revoked since the step: as an access would find it */
            t->reply.code = ifab_refuse(&t->reply.refusal, status == IFAB_DENIED ? IFAB_CODE_PERMISSION_DENIED : IFAB_CODE_SECRET_NOT_FOUND, "name",
                                        "%s", err.text[0] != '\0' ? err.text : "this secret was revoked just now");
    }
    reply_ticket(node, t);
}

void handle_secret_check(struct node *node, struct request *r)
{
    const struct ifab_json *body = act_body(node, r, &check_schema);
    if (body == NULL || !is_name(node, r, r->params[0]))
        return;
    struct ticket *t = ticket_new(node, r);
    if (t == NULL) {
        reply_code(node, r, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
        return;
    }
    t->command.type = IFAB_COMMAND_SECRET_GET;
    t->command.why = text_of(body, "why");
    t->command.u.secret_get.name = r->params[0];
    t->command.u.secret_get.origin = text_of(body, "origin");
    t->done = checked;
    queue_act(node, r, t);
}

/* ---- what is known of them ---- */

static void answer(struct ticket *t, struct ifab_buf *b)
{
    if (ifab_buf_status(b) != IFAB_OK || ifab_arena_copy(&t->arena, ifab_buf_as_view(b), &t->reply.body) != IFAB_OK)
        t->reply.code = ifab_refuse(&t->reply.refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
    ifab_buf_fini(b);
}

static void step_secrets(struct node *node, struct ticket *t)
{
    const struct ifab_secrets *secrets = ifab_fabric_secrets(node->fabric);
    const uint64_t *page = t->user;
    struct ifab_buf b = IFAB_BUF_INIT(LIST_BYTES + 65536);
    uint64_t shown = 0, last = page[0];
    const struct ifab_secret *s = ifab_secrets_next(secrets, page[0]);
    ifab_buf_str(&b, "{\"items\":[");
    for (; s != NULL && shown < page[1] && b.size < LIST_BYTES; s = ifab_secrets_next(secrets, s->number)) {
        ifab_buf_str(&b, shown++ > 0 ? "," : "");
        ifab_buf_view(&b, s->record);
        last = s->number;
    }
    if (s != NULL)
        ifab_buf_format(&b, "],\"next\":\"%llu\"}", (unsigned long long)last);
    else
        ifab_buf_str(&b, "],\"next\":null}");
    answer(t, &b);
}

void handle_secrets(struct node *node, struct request *r)
{
    uint64_t limit, cursor;
    if (!request_query_u64(node, r, "limit", 1, 1000, 50, &limit) || !request_query_u64(node, r, "cursor", 0, (uint64_t)1 << 52, 0, &cursor))
        return;
    struct ticket *t = ticket_new(node, r);
    uint64_t *page = t == NULL ? NULL : ifab_arena_alloc(&t->arena, 2 * sizeof *page);
    if (page == NULL) {
        if (t != NULL)
            ticket_free(node, t);
        reply_code(node, r, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
        return;
    }
    page[0] = cursor;
    page[1] = limit;
    t->user = page;
    t->step = step_secrets;
    ticket_queue(node, t);
}

static void step_vault(struct node *node, struct ticket *t)
{
    const struct ifab_secrets *secrets = ifab_fabric_secrets(node->fabric);
    const struct ifab_secret_mark *mark = ifab_secrets_mark(secrets);
    struct ifab_buf b = IFAB_BUF_INIT(4096);
    ifab_buf_format(&b, "{\"backend\":\"%s\",\"counter\":%llu,\"digest\":", ifab_vault_backend_name(node->vault), (unsigned long long)mark->counter);
    if (mark->counter == 0) {
        ifab_buf_str(&b, "null");
    } else {
        ifab_buf_str(&b, "\"sha256:");
        ifab_buf_hex(&b, mark->digest32, 32);
        ifab_buf_char(&b, '"');
    }
    ifab_buf_format(&b, ",\"key\":\"%s\",\"live\":%zu,\"revoked\":%zu,\"seal_key\":\"", node->vault_passphrase ? "passphrase" : "file",
                    ifab_secrets_live(secrets), ifab_secrets_count(secrets) - ifab_secrets_live(secrets));
    ifab_buf_base64url(&b, node->seal_public32, 32);
    ifab_buf_str(&b, "\"}");
    answer(t, &b);
}

void handle_vault(struct node *node, struct request *r)
{
    struct ticket *t = ticket_new(node, r);
    if (t == NULL) {
        reply_code(node, r, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
        return;
    }
    t->step = step_vault;
    ticket_queue(node, t);
}

/*
 * Tokens, invites, enrolment. Secrets are drawn here, their digests go into the command; the secret joins the answer after the commit and
 * is wiped. It never enters the fabric, an entry, a log or the memory of idempotent requests.
 */
#include <string.h>

#include "node.h"
#include "json/schema.h"

#define TOKEN_TTL  3600
#define INVITE_TTL 3600
#define FIELD_WHY                                                                                        \
    {                                                                                                    \
        .name = "why", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = 1024, .check = ifab_schema_printable \
    }
#define FIELD_NAME(name_, required_)                                                                                                    \
    {                                                                                                                                   \
        .name = (name_), .kind = IFAB_SCHEMA_STRING, .required = (required_), .min = 1, .max = IFAB_NAME_MAX, .check = ifab_schema_name \
    }

static const struct ifab_schema_field token_fields[] = {
    FIELD_NAME("talent", true),
    FIELD_NAME("role", false),
    {.name = "ttl_s", .kind = IFAB_SCHEMA_INTEGER, .min = 60, .max = 86400},
    FIELD_NAME("name", false),
    FIELD_WHY,
};
static const struct ifab_schema_field invite_fields[] = {
    FIELD_NAME("name", true),
    FIELD_NAME("role", false),
    FIELD_NAME("owner", false),
    {.name = "ttl_s", .kind = IFAB_SCHEMA_INTEGER, .min = 1, .max = 3600},
    FIELD_WHY,
};
static const struct ifab_schema_field revoke_fields[] = {FIELD_WHY};
static const struct ifab_schema token_schema = {"token", token_fields, IFAB_COUNT(token_fields)};
static const struct ifab_schema invite_schema = {"invite", invite_fields, IFAB_COUNT(invite_fields)};
static const struct ifab_schema revoke_schema = {"revoke", revoke_fields, IFAB_COUNT(revoke_fields)};

struct secret {       /* in the ticket's arena; wiped when it has been told */
    const char *name; /* of the member of the answer */
    char text[56];
    uint8_t hash32[32], id16[16];
};

/* Committed: the answer of the step with the secret as its last member. */
static void tell(struct node *node, struct ticket *t)
{
    struct secret *secret = t->user;
    struct ifab_view body = t->reply.body;
    struct ifab_buf told = IFAB_BUF_INIT(16384);
    if (t->reply.code == IFAB_CODE_NONE && !t->reply.replayed && body.size > 2 && ifab_buf_reserve(&told, body.size + 128) == IFAB_OK) {
        ifab_buf_put(&told, body.data, body.size - 1);
        ifab_buf_format(&told, ",\"%s\":\"", secret->name);
        ifab_buf_str(&told, secret->text);
        ifab_buf_str(&told, "\"}");
        t->reply.body = ifab_buf_as_view(&told);
    }
    reply_ticket(node, t);
    ifab_wipe(secret, sizeof *secret);
    if (told.data != NULL)
        ifab_wipe(told.data, told.capacity);
    ifab_buf_fini(&told);
}

static struct ticket *new_secret(struct node *node, struct request *r, const char *name, struct secret **ret_secret)
{
    struct ticket *t = ticket_new(node, r);
    struct secret *secret = t == NULL ? NULL : ifab_arena_calloc(&t->arena, 1, sizeof *secret);
    if (secret == NULL) {
        if (t != NULL)
            ticket_free(node, t);
        reply_out_of_memory(node, r);
        return NULL;
    }
    secret->name = name;
    mint(clock_now(&node->clock, NULL), secret->id16);
    t->user = secret;
    t->done = tell;
    t->command.u.access.request.hash32 = secret->hash32;
    t->command.u.access.request.id16 = secret->id16;
    *ret_secret = secret;
    return t;
}

static bool role_given(struct node *node, struct request *r, const struct ifab_json *body, enum ifab_role *ret_role)
{
    struct ifab_view text = ifab_json_text(body, "role");
    *ret_role = text.size == 0 ? IFAB_ROLE_NONE : role_named(node, text);
    if (text.size > 0 && *ret_role == IFAB_ROLE_NONE)
        reply_code(node, r, IFAB_CODE_INVALID_PARAMS, "role", "no such role; built in are admin, operator, agent, auditor, readonly");
    return text.size == 0 || *ret_role != IFAB_ROLE_NONE;
}

static ifab_usec ttl_of(const struct ifab_json *body, int64_t seconds)
{
    (void)ifab_json_integer(ifab_json_get(body, "ttl_s"), &seconds);
    return seconds * IFAB_SECOND;
}

void handle_token_create(struct node *node, struct request *r)
{
    const struct ifab_json *body = act_body(node, r, &token_schema);
    enum ifab_role role;
    struct secret *secret;
    struct ticket *t;
    if (body == NULL || !role_given(node, r, body, &role) || (t = new_secret(node, r, "secret", &secret)) == NULL)
        return;
    uint8_t bytes[32];
    struct ifab_buf text = IFAB_BUF_INIT(sizeof secret->text);
    ifab_random(bytes, sizeof bytes);
    ifab_buf_str(&text, "ift_");
    ifab_buf_base64url(&text, bytes, sizeof bytes);
    if (ifab_buf_status(&text) == IFAB_OK)
        memcpy(secret->text, text.data, text.size);
    ifab_wipe(bytes, sizeof bytes);
    if (text.data != NULL)
        ifab_wipe(text.data, text.capacity);
    bool good = ifab_buf_status(&text) == IFAB_OK;
    ifab_buf_fini(&text);
    if (!good) {
        ticket_free(node, t);
        reply_out_of_memory(node, r);
        return;
    }
    ifab_sha256(ifab_view_str(secret->text), secret->hash32);
    t->command.type = IFAB_COMMAND_TOKEN;
    struct ifab_access_request *request = &t->command.u.access.request;
    request->talent = ifab_json_text(body, "talent");
    request->label = ifab_json_text(body, "name");
    request->role = role;
    request->ttl = ttl_of(body, TOKEN_TTL);
    t->command.why = ifab_json_text(body, "why");
    queue_act(node, r, t);
}

void handle_token_revoke(struct node *node, struct request *r)
{
    const struct ifab_json *body = act_body(node, r, &revoke_schema);
    struct ticket *t = body == NULL ? NULL : ticket_new(node, r);
    if (t == NULL) {
        if (body != NULL)
            reply_out_of_memory(node, r);
        return;
    }
    t->command.type = IFAB_COMMAND_TOKEN;
    t->command.u.access.revoke = r->params[0];
    t->command.why = ifab_json_text(body, "why");
    queue_act(node, r, t);
}

void handle_invite(struct node *node, struct request *r)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    const struct ifab_json *body = act_body(node, r, &invite_schema);
    enum ifab_role role;
    struct secret *secret;
    struct ticket *t;
    uint8_t bytes[20];
    if (body == NULL || !role_given(node, r, body, &role) || (t = new_secret(node, r, "code", &secret)) == NULL)
        return;
    ifab_random(bytes, sizeof bytes);
    char *at = secret->text;
    for (size_t i = 0; i < 32; i++) { /* five bits each, highest first, hyphens between groups of four */
        size_t bit = i * 5;
        unsigned two = (unsigned)bytes[bit / 8] << 8 | (bit / 8 + 1 < sizeof bytes ? bytes[bit / 8 + 1] : 0U);
        if (i > 0 && i % 4 == 0)
            *at++ = '-';
        *at++ = alphabet[two >> (11 - bit % 8) & 31];
    }
    ifab_wipe(bytes, sizeof bytes);
    ifab_sha256(ifab_view_str(secret->text), secret->hash32);
    t->command.type = IFAB_COMMAND_INVITE;
    struct ifab_access_request *request = &t->command.u.access.request;
    request->talent = ifab_json_text(body, "name");
    request->owner = ifab_json_text(body, "owner");
    request->role_name = role == IFAB_ROLE_NONE ? IFAB_VIEW("agent") : ifab_json_text(body, "role");
    request->role = role == IFAB_ROLE_NONE ? IFAB_ROLE_AGENT : role;
    request->ttl = ttl_of(body, INVITE_TTL);
    t->command.why = ifab_json_text(body, "why");
    queue_act(node, r, t);
}

/* A wrong code is a guess: charged as a failed signature is. */
static void enrolled(struct node *node, struct ticket *t)
{
    if (t->code == IFAB_CODE_NONE && t->reply.code == IFAB_CODE_PERMISSION_DENIED && t->request->charge != NULL)
        charge_take(t->request->charge);
    reply_ticket(node, t);
}

void handle_enroll(struct node *node, struct request *r)
{
    struct ticket *t = ticket_new(node, r);
    if (t == NULL) {
        reply_out_of_memory(node, r);
        return;
    }
    const char *colon = r->peer.unix_socket ? NULL : strrchr(r->peer.address, ':');
    t->command.u.enroll.source = r->peer.unix_socket ? ifab_view_str(r->principal.actor) : ifab_view_str(r->peer.address);
    if (colon != NULL)
        t->command.u.enroll.source.size = (size_t)(colon - r->peer.address);
    set_idempotency(t, r);
    t->bytes = ifab_buf_as_view(&r->body);
    t->verify = VERIFY_ENROLL;
    t->done = enrolled;
    ticket_queue(node, t);
}

/* Those that have not ended; of a caller of role agent its own. */
static void step_tokens(struct node *node, struct ticket *t)
{
    const struct ifab_accesses *accesses = ifab_fabric_accesses(node->fabric);
    const struct ifab_principal *principal = &t->request->principal;
    const struct ifab_talent *own = ifab_talents_at(ifab_fabric_talents(node->fabric), principal->talent);
    const uint64_t *page = t->user;
    ifab_usec wall = clock_now(&node->clock, NULL).wall;
    struct ifab_buf b = IFAB_BUF_INIT((size_t)2 << 20);
    uint64_t shown = 0, last = page[0];
    bool more = false;
    ifab_buf_str(&b, "{\"items\":[");
    for (const struct ifab_access_item *i = ifab_accesses_next(accesses, page[0]); i != NULL; i = ifab_accesses_next(accesses, i->number)) {
        if (i->kind != IFAB_ACCESS_TOKEN || i->expires <= wall ||
            (principal->role == IFAB_ROLE_AGENT && (own == NULL || !ifab_view_equal(own->name, i->talent))))
            continue;
        more = shown == page[1];
        if (more)
            break;
        ifab_buf_str(&b, shown++ > 0 ? "," : "");
        ifab_buf_view(&b, i->record);
        last = i->number;
    }
    if (more)
        ifab_buf_format(&b, "],\"next\":\"%llu\"}", (unsigned long long)last);
    else
        ifab_buf_str(&b, "],\"next\":null}");
    if (ifab_buf_status(&b) != IFAB_OK || ifab_arena_copy(&t->arena, ifab_buf_as_view(&b), &t->reply.body) != IFAB_OK)
        t->reply.code = ifab_refuse(&t->reply.refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
    ifab_buf_fini(&b);
}

void handle_tokens(struct node *node, struct request *r)
{
    uint64_t limit, cursor;
    if (!request_query_u64(node, r, "limit", 1, 1000, 50, &limit) ||
        !request_query_u64(node, r, "cursor", 0, (uint64_t)1 << 52, 0, &cursor))
        return;
    struct ticket *t = ticket_new(node, r);
    uint64_t *page = t == NULL ? NULL : ifab_arena_alloc(&t->arena, 2 * sizeof *page);
    if (page == NULL) {
        if (t != NULL)
            ticket_free(node, t);
        reply_out_of_memory(node, r);
        return;
    }
    page[0] = cursor;
    page[1] = limit;
    t->user = page;
    t->step = step_tokens;
    ticket_queue(node, t);
}

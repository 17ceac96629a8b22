/*
 * A draft becomes a signed envelope. Whatever comes out has passed the daemon's own reader, so a mistake is told here with its field
 * and never costs a sequence number.
 */
#include "internal.h"

#include <stdio.h>

#include "base/id.h"
#include "connect/envelope.h"

static void put_id(struct ifab_members *m, const char *name, const char *prefix, int64_t wall)
{
    uint8_t random10[10], uuid16[16];
    char text[48], uuid[37];
    ifab_random(random10, sizeof random10);
    ifab_uuid7_make(wall, random10, uuid16);
    ifab_uuid_format(uuid16, uuid);
    snprintf(text, sizeof text, "%s%s", prefix, uuid);
    ifab_members__text(m, name, text);
}

static void put_receivers(struct ifab_members *m, const struct ifab_draft *draft)
{
    ifab_members__name(m, "receiver");
    if (draft->receiver_count > 1)
        ifab_buf_char(m->buf, '[');
    for (size_t i = 0; i < draft->receiver_count; i++) {
        char uri[IFAB_NAME_MAX + 16];
        const char *to = draft->receivers[i];
        if (ifab_name_valid(ifab_view_str(to))) {
            snprintf(uri, sizeof uri, "if://agent/%s", to);
            to = uri;
        }
        if (i > 0)
            ifab_buf_char(m->buf, ',');
        ifab_json_put_cstr(m->buf, to);
    }
    if (draft->receiver_count > 1)
        ifab_buf_char(m->buf, ']');
}

static void put_evidence(struct ifab_members *m, const struct ifab_draft *draft)
{
    ifab_members__name(m, "evidence");
    ifab_buf_char(m->buf, '[');
    for (size_t i = 0; i < draft->evidence_count; i++) {
        const struct ifab_draft_evidence *e = &draft->evidence[i];
        struct ifab_members item = {m->buf, false};
        ifab_buf_str(m->buf, i > 0 ? ",{" : "{");
        ifab_members__text(&item, "type", e->type);
        ifab_members__text(&item, "url", e->url);
        ifab_members__text(&item, "hash", e->hash);
        ifab_members__text(&item, "retrieved_at", e->retrieved_at);
        ifab_buf_char(m->buf, '}');
    }
    ifab_buf_char(m->buf, ']');
}

static void put_content(struct ifab_members *m, const struct ifab_draft *draft)
{
    struct ifab_members c = {m->buf, false};
    ifab_members__name(m, "content");
    ifab_buf_char(m->buf, '{');
    ifab_members__text(&c, "claim_id", draft->claim_id);
    ifab_members__text(&c, "claim", draft->claim);
    if (draft->scope.size > 0) {
        ifab_members__name(&c, "scope");
        ifab_buf_view(m->buf, draft->scope);
    }
    if (draft->data.size > 0) {
        ifab_members__name(&c, "data");
        ifab_buf_view(m->buf, draft->data);
    }
    if (draft->evidence_count > 0)
        put_evidence(&c, draft);
    if (draft->has_confidence && draft->confidence >= 0 && draft->confidence <= 1) {
        ifab_members__name(&c, "confidence");
        ifab_buf_str(m->buf, "{\"normalized\":");
        ifab_json_put_number(m->buf, draft->confidence);
        ifab_buf_str(m->buf, ",\"raw\":");
        ifab_json_put_number(m->buf, draft->confidence);
        ifab_buf_char(m->buf, '}');
    }
    if (draft->hazard_count > 0) {
        ifab_members__name(&c, "hazards");
        for (size_t i = 0; i < draft->hazard_count; i++) {
            ifab_buf_char(m->buf, i == 0 ? '[' : ',');
            ifab_json_put_cstr(m->buf, draft->hazards[i]);
        }
        ifab_buf_char(m->buf, ']');
    }
    ifab_buf_char(m->buf, '}');
}

/* The sender's digest of the topic's seed citations: here the evidence's URLs and hashes in their order. Opaque to everybody else. */
static void put_topic(struct ifab_members *m, const struct ifab_draft *draft)
{
    struct ifab_sha256 sha;
    uint8_t digest32[32];
    if (draft->topic_hash != NULL) {
        ifab_members__text(m, "topic_hash", draft->topic_hash);
        return;
    }
    ifab_sha256_begin(&sha);
    for (size_t i = 0; i < draft->evidence_count; i++) {
        const struct ifab_draft_evidence *e = &draft->evidence[i];
        ifab_sha256_add(&sha, ifab_view_str(e->url));
        ifab_sha256_add(&sha, IFAB_VIEW("\n"));
        ifab_sha256_add(&sha, ifab_view_str(e->hash));
        ifab_sha256_add(&sha, IFAB_VIEW("\n"));
    }
    ifab_sha256_end(&sha, digest32);
    ifab_members__name(m, "topic_hash");
    ifab_buf_str(m->buf, "\"sha256:");
    ifab_buf_hex(m->buf, digest32, 32);
    ifab_buf_char(m->buf, '"');
}

static bool absent(const struct ifab_json *given, const char *name)
{
    return given == NULL || ifab_json_get(given, name) == NULL;
}

/* Everything given does not say. given: NULL or an object. */
static void put_missing(struct ifab_members *m, const struct ifab_draft *draft, const struct ifab_json *given)
{
    int64_t wall = draft->issued_at != 0 ? draft->issued_at : ifab_wall_usec();
    uint64_t seq = draft->last_seq + 1 > (uint64_t)wall ? draft->last_seq + 1 : (uint64_t)wall;
    if (absent(given, "v"))
        ifab_members__text(m, "v", "2.1");
    if (absent(given, "id"))
        put_id(m, "id", "msg-", wall);
    if (absent(given, "performative"))
        ifab_members__text(m, "performative", draft->performative == NULL ? "inform" : draft->performative);
    if (absent(given, "conversation_id")) {
        if (draft->conversation_id != NULL)
            ifab_members__text(m, "conversation_id", draft->conversation_id);
        else
            put_id(m, "conversation_id", "conv-", wall);
    }
    if (absent(given, "topic_hash"))
        put_topic(m, draft);
    if (absent(given, "sender"))
        ifab_members__text(m, "sender", draft->sender);
    if (absent(given, "receiver") && draft->receiver_count > 0)
        put_receivers(m, draft);
    if (absent(given, "issued_at"))
        ifab_members__time(m, "issued_at", wall);
    if (absent(given, "ttl_s")) {
        ifab_members__name(m, "ttl_s");
        ifab_buf_u64(m->buf, draft->ttl_s == 0 ? 60 : draft->ttl_s);
    }
    if (absent(given, "seq")) {
        ifab_members__name(m, "seq");
        ifab_buf_u64(m->buf, seq);
    }
    if (absent(given, "nonce"))
        ifab_members__nonce(m);
    if (absent(given, "trace"))
        ifab_members__text(m, "trace", draft->trace);
    if (absent(given, "content"))
        put_content(m, draft);
}

/* Read back what was made (or given): facts out, or the daemon's own words about the field. */
static ifab_status facts(struct ifab_text *bytes, struct ifab_message *ret_message, struct ifab_error *err)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    ifab_arena_init(&arena, 8 << 20);
    struct ifab_envelope *envelope = ifab_arena_calloc(&arena, 1, sizeof *envelope); /* 8 KiB: not on the stack */
    struct ifab_refusal refusal = {0};
    struct ifab_view view = ifab_view_of(bytes->data, bytes->size);
    if (envelope == NULL)
        return ifab_fail(err, IFAB_NOMEM, "envelope");
    enum ifab_code code = ifab_envelope_read(view, 0, &arena, envelope, &refusal);
    if (code == IFAB_CODE_NONE)
        code = ifab_envelope_verify(envelope, envelope->pubkey32, &refusal);
    if (code != IFAB_CODE_NONE)
        return ifab_fail(err, code == IFAB_CODE_TOO_LARGE ? IFAB_TOO_LARGE : IFAB_INVALID, "IF_ERR_%03d: %s%s%s", (int)code, refusal.field,
                         refusal.field[0] == '\0' ? "" : ": ", refusal.message);
    struct ifab_message m = {.bytes = *bytes, .seq = envelope->seq};
    if (envelope->id.size >= sizeof m.id)
        return ifab_fail(err, IFAB_INTERNAL, "id of a message");
    memcpy(m.id, envelope->id.data, envelope->id.size);
    memcpy(m.digest32, envelope->message_digest32, 32);
    memcpy(m.pubkey32, envelope->pubkey32, 32);
    *bytes = (struct ifab_text){NULL, 0};
    *ret_message = m;
    return IFAB_OK;
}

static ifab_status make(const struct ifab_draft *draft, const struct ifab_json *given, const struct ifab_identity *identity,
                        struct ifab_message *ret_message, struct ifab_error *err)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf raw = IFAB_BUF_INIT(1 << 20);
    struct ifab_members m = {&raw, false};
    if (draft->version != IFAB_DRAFT_VERSION)
        return ifab_fail(err, IFAB_UNSUPPORTED, "version of the draft");
    if (draft->has_confidence && !(draft->confidence >= 0 && draft->confidence <= 1))
        return ifab_fail(err, IFAB_INVALID, "confidence: expected a number from 0 to 1");
    if (draft->receiver_count > IFAB_RECEIVER_MAX || draft->evidence_count > IFAB_EVIDENCE_MAX || draft->hazard_count > IFAB_HAZARD_MAX)
        return ifab_fail(err, IFAB_INVALID, "at most %d receivers, %d evidence, %d hazards", IFAB_RECEIVER_MAX, IFAB_EVIDENCE_MAX,
                         IFAB_HAZARD_MAX);
    ifab_buf_char(&raw, '{');
    for (size_t i = 0; given != NULL && i < given->u.object.count; i++) {
        const struct ifab_json_member *member = &given->u.object.members[i];
        if (m.any)
            ifab_buf_char(&raw, ',');
        m.any = true;
        ifab_json_put_string(&raw, member->name);
        ifab_buf_char(&raw, ':');
        ifab_json_write(&raw, &member->value);
    }
    put_missing(&m, draft, given);
    ifab_members__signature(&m, identity, true);
    ifab_buf_char(&raw, '}');
    if (ifab_buf_status(&raw) != IFAB_OK)
        return ifab_fail(err, ifab_buf_status(&raw), "envelope");
    struct ifab_text text = {NULL, 0};
    IFAB_TRY(ifab_sign__object(ifab_buf_as_view(&raw), IFAB_ENVELOPE_DOMAIN, identity, &text, err));
    ifab_status status = facts(&text, ret_message, err);
    ifab_text_free(&text);
    return status;
}

void ifab_message_free(struct ifab_message *self)
{
    if (self != NULL)
        ifab_text_free(&self->bytes);
}

ifab_status ifab_message_build(const struct ifab_draft *draft, const struct ifab_identity *identity, struct ifab_message *ret_message,
                               struct ifab_error *err)
{
    return make(draft, NULL, identity, ret_message, err);
}

ifab_status ifab_message_complete(struct ifab_view json, const struct ifab_draft *defaults, const struct ifab_identity *identity,
                                  struct ifab_message *ret_message, struct ifab_error *err)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    ifab_arena_init(&arena, 8 << 20);
    const struct ifab_json *tree;
    const struct ifab_json_limits limits = {.all_numbers_safe = true};
    IFAB_TRY(ifab_json_read(json, &limits, &arena, &tree, err));
    if (tree->type != IFAB_JSON_OBJECT)
        return ifab_fail(err, IFAB_INVALID, "a draft is a JSON object");
    if (ifab_json_get(tree, "signature") != NULL)
        return ifab_fail(err, IFAB_CONFLICT, "signed already: send it as it is");
    return make(defaults, tree, identity, ret_message, err);
}

ifab_status ifab_message_read(struct ifab_view json, struct ifab_message *ret_message, struct ifab_error *err)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf copy = IFAB_BUF_INIT(2 << 20);
    struct ifab_text text;
    ifab_buf_view(&copy, json);
    IFAB_TRY(ifab_text__take(&copy, &text, err));
    ifab_status status = facts(&text, ret_message, err);
    ifab_text_free(&text);
    return status;
}

ifab_status ifab_message_signed_bytes(struct ifab_view json, struct ifab_text *ret_bytes, struct ifab_error *err)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    ifab_arena_init(&arena, 8 << 20);
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf bytes = IFAB_BUF_INIT(2 << 20);
    const struct ifab_json *tree;
    const struct ifab_json_limits limits = {.all_numbers_safe = true};
    IFAB_TRY(ifab_json_read(json, &limits, &arena, &tree, err));
    if (tree->type != IFAB_JSON_OBJECT)
        return ifab_fail(err, IFAB_INVALID, "a message is a JSON object");
    ifab_buf_str(&bytes, IFAB_ENVELOPE_DOMAIN);
    ifab_json_write_without(&bytes, tree, "signature", "sig");
    return ifab_text__take(&bytes, ret_bytes, err);
}

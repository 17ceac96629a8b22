/*
 * Reads an envelope: bytes → strict JSON → schema → facts, signed bytes and digest.
 * 1. Nothing of a refused input is kept: the result is zeroed again.
 * 2. After the schema has passed, the readers below take presence, type and length for granted. They decode each text once and refuse
 *    what does not decode.
 * 3. Everything borrowed points into the input or the arena.
 */
#include "base/encode.h"
#include "base/mem.h"
#include "crypto/crypto.h"
#include "envelope_internal.h"

#define NONCE_MIN 12

/* Sorted as members are: names are ASCII, so UTF-16 order is byte order. */
enum top_name { TOP_CONTENT, TOP_CONVERSATION, TOP_ID, TOP_ISSUED_AT, TOP_NONCE, TOP_PERFORMATIVE, TOP_RECEIVER, TOP_SENDER, TOP_SEQ,
                TOP_SIGNATURE, TOP_TOPIC, TOP_TRACE, TOP_TTL, TOP_COUNT };
static const char *const top_names[TOP_COUNT] = {"content",  "conversation_id", "id",  "issued_at", "nonce",      "performative",
                                                 "receiver", "sender",          "seq", "signature", "topic_hash", "trace",
                                                 "ttl_s"};
enum content_name { CONTENT_CLAIM, CONTENT_CLAIM_ID, CONTENT_CONFIDENCE, CONTENT_EVIDENCE, CONTENT_HAZARDS, CONTENT_SCOPE, CONTENT_COUNT };
static const char *const content_names[CONTENT_COUNT] = {"claim", "claim_id", "confidence", "evidence", "hazards", "scope"};

/* One pass over the sorted members: ret[i] is the member called names[i] or NULL. */
static void pick(const struct ifab_json *object, const char *const *names, size_t count, const struct ifab_json **ret)
{
    size_t m = 0;
    for (size_t i = 0; i < count; i++) {
        struct ifab_view name = ifab_view_str(names[i]);
        ret[i] = NULL;
        while (m < object->u.object.count && ifab_view_compare(object->u.object.members[m].name, name) < 0)
            m++;
        if (m < object->u.object.count && ifab_view_equal(object->u.object.members[m].name, name))
            ret[i] = &object->u.object.members[m++].value;
    }
}

static struct ifab_view text_of(const struct ifab_json *value)
{
    return value == NULL ? (struct ifab_view){NULL, 0} : value->u.string;
}

static enum ifab_code refuse_at(struct ifab_refusal *ret_refusal, enum ifab_code code, const char *field, int64_t offset, const char *text)
{
    (void)ifab_refuse(ret_refusal, code, field, "%s", text);
    if (ret_refusal != NULL)
        ret_refusal->offset = offset;
    return code;
}

/* What should have stood there: a check of json/schema.h says it, or the text does. Only refusals come here. */
static enum ifab_code refuse_text(struct ifab_refusal *ret_refusal, const struct ifab_json *value, const char *field,
                                  ifab_schema_check_fn *check, const char *expected)
{
    if (check != NULL)
        (void)check(value->u.string, &expected);
    (void)ifab_refuse(ret_refusal, IFAB_CODE_INVALID_ENVELOPE, field, "%s must be %s", field, expected);
    if (ret_refusal != NULL)
        ret_refusal->offset = value->offset;
    return IFAB_CODE_INVALID_ENVELOPE;
}

static enum ifab_code read_names(struct ifab_envelope *e, const struct ifab_json *const *top, struct ifab_refusal *ret_refusal)
{
    e->id = text_of(top[TOP_ID]);
    e->conversation_id = text_of(top[TOP_CONVERSATION]);
    e->topic_hash = text_of(top[TOP_TOPIC]);
    e->sender = text_of(top[TOP_SENDER]);
    if (ifab_id_parse(e->id, "msg-", e->id16) != IFAB_OK)
        return refuse_text(ret_refusal, top[TOP_ID], "id", NULL, "msg- and a UUIDv7 in lower case");
    if (!ifab_performative__parse(text_of(top[TOP_PERFORMATIVE]), &e->performative))
        return refuse_text(ret_refusal, top[TOP_PERFORMATIVE], "performative", NULL,
                           "one such as inform, request or propose, in lower case");
    if (ifab_id_parse(e->conversation_id, "conv-", e->conversation16) != IFAB_OK)
        return refuse_text(ret_refusal, top[TOP_CONVERSATION], "conversation_id", NULL, "conv- and a UUIDv7 in lower case");
    if (!ifab_view_starts(e->topic_hash, IFAB_VIEW("sha256:")) ||
        ifab_hex_decode(ifab_view_of(e->topic_hash.data + 7, e->topic_hash.size - 7), e->topic32, sizeof e->topic32) != IFAB_OK)
        return refuse_text(ret_refusal, top[TOP_TOPIC], "topic_hash", ifab_schema_sha256, "");
    if (ifab_sender_parse(e->sender, &e->sender_name, &e->sender_instance) != IFAB_OK)
        return refuse_text(ret_refusal, top[TOP_SENDER], "sender", NULL, "if://agent/NAME or if://agent/NAME/INSTANCE");
    return IFAB_CODE_NONE;
}

static enum ifab_code read_numbers(struct ifab_envelope *e, const struct ifab_json *const *top, struct ifab_refusal *ret_refusal)
{
    static const uint8_t zero16[16] = {0};
    int64_t ttl_s = 0, seq = 0;
    e->issued_at_text = text_of(top[TOP_ISSUED_AT]);
    e->nonce_text = text_of(top[TOP_NONCE]);
    if (ifab_time_parse(e->issued_at_text, &e->issued_at) != IFAB_OK)
        return refuse_text(ret_refusal, top[TOP_ISSUED_AT], "issued_at", ifab_schema_time, "");
    if (!ifab_json_integer(top[TOP_TTL], &ttl_s) || !ifab_json_integer(top[TOP_SEQ], &seq) || ttl_s < 1 || seq < 1)
        return refuse_at(ret_refusal, IFAB_CODE_INVALID_ENVELOPE, "seq", -1, "ttl_s and seq must be integers"); /* the rows say so too */
    e->ttl_s = (uint32_t)ttl_s;
    e->seq = (uint64_t)seq;
    if (ifab_base64url_decode(e->nonce_text, e->nonce, sizeof e->nonce, &e->nonce_size) != IFAB_OK || e->nonce_size < NONCE_MIN)
        return refuse_text(ret_refusal, top[TOP_NONCE], "nonce", ifab_schema_nonce, "");
    e->has_trace = top[TOP_TRACE] != NULL;
    if (e->has_trace && (ifab_uuid_parse(text_of(top[TOP_TRACE]), e->trace16) != IFAB_OK || memcmp(e->trace16, zero16, 16) == 0))
        return refuse_text(ret_refusal, top[TOP_TRACE], "trace", ifab_schema_trace, "");
    return IFAB_CODE_NONE;
}

static enum ifab_code read_signature(struct ifab_envelope *e, const struct ifab_json *signature, struct ifab_refusal *ret_refusal)
{
    static const char *const names[] = {"key_id", "pubkey", "sig"};
    const struct ifab_json *part[3];
    size_t size = 0;
    pick(signature, names, 3, part);
    e->key_id = text_of(part[0]);
    if (ifab_base64url_decode(text_of(part[1]), e->pubkey32, sizeof e->pubkey32, &size) != IFAB_OK || size != sizeof e->pubkey32)
        return refuse_text(ret_refusal, part[1], "signature.pubkey", ifab_schema_key32, "");
    if (ifab_base64url_decode(text_of(part[2]), e->sig64, sizeof e->sig64, &size) != IFAB_OK || size != sizeof e->sig64)
        return refuse_text(ret_refusal, part[2], "signature.sig", ifab_schema_sig64, "");
    return IFAB_CODE_NONE;
}

static enum ifab_code read_receivers(struct ifab_envelope *e, const struct ifab_json *receiver, struct ifab_refusal *ret_refusal)
{
    if (receiver == NULL)
        return IFAB_CODE_NONE;
    const struct ifab_json *items = receiver->type == IFAB_JSON_ARRAY ? receiver->u.array.items : receiver;
    size_t count = receiver->type == IFAB_JSON_ARRAY ? receiver->u.array.count : 1;
    for (size_t i = 0; i < count && i < IFAB_RECEIVER_MAX; i++) {
        if (!ifab_receiver__parse(items[i].u.string, &e->receivers[i]))
            return refuse_text(ret_refusal, &items[i], "receiver", NULL, "if://agent/NAME, if://topic/PATH or if://fabric/ORIGIN");
        for (size_t j = 0; j < i; j++) { /* at most 64 × 63 / 2 comparisons */
            if (ifab_view_equal(e->receivers[j].uri, e->receivers[i].uri))
                return refuse_text(ret_refusal, &items[i], "receiver", NULL, "a list that names each one once");
        }
        e->receiver_count = i + 1;
    }
    return IFAB_CODE_NONE;
}

static void read_evidence(struct ifab_envelope *e, const struct ifab_json *evidence)
{
    static const char *const names[] = {"hash", "type", "url"};
    for (size_t i = 0; i < evidence->u.array.count && i < IFAB_EVIDENCE_MAX; i++) {
        const struct ifab_json *part[3];
        pick(&evidence->u.array.items[i], names, 3, part);
        e->evidence[i] = (struct ifab_evidence){.type = text_of(part[1]), .url = text_of(part[2]), .hash = text_of(part[0])};
        e->evidence_count = i + 1;
    }
}

static const struct ifab_json *read_content(struct ifab_envelope *e, const struct ifab_json *content)
{
    static const char *const names[] = {"normalized", "raw"};
    const struct ifab_json *part[CONTENT_COUNT], *number[2];
    pick(content, content_names, CONTENT_COUNT, part);
    e->has_claim = part[CONTENT_CLAIM] != NULL;
    e->claim = text_of(part[CONTENT_CLAIM]);
    e->has_claim_id = part[CONTENT_CLAIM_ID] != NULL;
    e->claim_id = text_of(part[CONTENT_CLAIM_ID]);
    if (part[CONTENT_CONFIDENCE] != NULL) {
        pick(part[CONTENT_CONFIDENCE], names, 2, number);
        e->has_confidence = number[0] != NULL;
        e->confidence = number[0] == NULL ? 0.0 : number[0]->u.number.value;
        e->has_confidence_raw = number[1] != NULL;
        e->confidence_raw = number[1] == NULL ? 0.0 : number[1]->u.number.value;
    }
    if (part[CONTENT_EVIDENCE] != NULL)
        read_evidence(e, part[CONTENT_EVIDENCE]);
    if (part[CONTENT_HAZARDS] != NULL) {
        const struct ifab_json *hazards = part[CONTENT_HAZARDS];
        for (size_t i = 0; i < hazards->u.array.count && i < IFAB_HAZARD_MAX; i++)
            e->hazards[e->hazard_count++] = hazards->u.array.items[i].u.string;
    }
    return part[CONTENT_SCOPE];
}

/* Writes both digests' inputs into the same piece of the arena: first the scope, then, over it, what is signed. */
static ifab_status write_signed_into(struct ifab_envelope *e, const struct ifab_json *scope, struct ifab_arena *arena, size_t capacity)
{
    uint8_t *room = ifab_arena_alloc(arena, capacity);
    if (room == NULL)
        return IFAB_NOMEM;
    struct ifab_buf buf = {.data = room, .capacity = capacity, .limit = capacity}; /* full is TOO_LARGE: it never grows, is never freed */
    if (scope != NULL) {
        ifab_json_write(&buf, scope);
        IFAB_TRY(ifab_buf_status(&buf));
        ifab_sha256(ifab_buf_as_view(&buf), e->scope_digest32);
        ifab_buf_clear(&buf);
    }
    ifab_buf_view(&buf, IFAB_VIEW(IFAB_ENVELOPE_DOMAIN));
    ifab_json_write_without(&buf, e->tree, "signature", "sig");
    IFAB_TRY(ifab_buf_status(&buf));
    e->signed_bytes = ifab_buf_as_view(&buf);
    ifab_sha256(e->signed_bytes, e->message_digest32);
    return IFAB_OK;
}

/*
 * Are the bytes just what is signed, with "sig" where it belongs? It stands last in its object, {"algorithm", …, "pubkey", "sig"}: where the text
 * has the brace that closes it, the bytes have a comma, so the first place where the two differ is the one.
 */
static bool is_canonical(struct ifab_view bytes, struct ifab_view text)
{
    const struct ifab_view begin = IFAB_VIEW(",\"sig\":\"");
    const size_t size = begin.size + 86 + 1;
    size_t at = 0, high = text.size;
    if (bytes.size != text.size + size)
        return false;
    while (at < high) { /* so far they agree */
        size_t half = at + (high - at + 1) / 2;
        if (memcmp(bytes.data + at, text.data + at, half - at) == 0)
            at = half;
        else
            high = half - 1;
    }
    return at < text.size && memcmp(bytes.data + at, begin.data, begin.size) == 0 && bytes.data[at + size - 1] == '"' &&
           memcmp(bytes.data + at + size, text.data + at, text.size - at) == 0;
}

/*
 * RFC 8785 never writes a string longer than it stood in the input; only numbers grow, 1e15 (with its comma 5 bytes) into 17 at
 * worst. So the size of the input nearly always does, and eight times that always, whatever a writer asks for ahead of need.
 */
static ifab_status write_signed(struct ifab_envelope *e, const struct ifab_json *scope, struct ifab_arena *arena)
{
    size_t domain = sizeof IFAB_ENVELOPE_DOMAIN - 1;
    e->has_scope = scope != NULL;
    ifab_status status = write_signed_into(e, scope, arena, e->bytes.size + domain + 64);
    if (status == IFAB_TOO_LARGE)
        status = write_signed_into(e, scope, arena, 8 * e->bytes.size + domain + 64);
    if (status == IFAB_OK)
        e->canonical = is_canonical(e->bytes, ifab_view_of(e->signed_bytes.data + domain, e->signed_bytes.size - domain));
    return status;
}

static enum ifab_code read_tree(struct ifab_envelope *e, struct ifab_arena *arena, struct ifab_refusal *ret_refusal)
{
    const struct ifab_json *v = ifab_json_get(e->tree, "v");
    struct ifab_view version;
    /* before the rows: another version may have other fields, and its sender should hear of the version */
    if (v != NULL && ifab_json_string(v, &version) && !ifab_view_is(version, "2.1"))
        return refuse_at(ret_refusal, IFAB_CODE_UNSUPPORTED_VERSION, "v", v->offset, "this fabric speaks version 2.1");
    enum ifab_code code = ifab_schema_check(&ifab_envelope__schema, e->tree, IFAB_CODE_INVALID_ENVELOPE, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;

    const struct ifab_json *top[TOP_COUNT];
    pick(e->tree, top_names, TOP_COUNT, top);
    if ((code = read_names(e, top, ret_refusal)) != IFAB_CODE_NONE || (code = read_numbers(e, top, ret_refusal)) != IFAB_CODE_NONE ||
        (code = read_receivers(e, top[TOP_RECEIVER], ret_refusal)) != IFAB_CODE_NONE ||
        (code = read_signature(e, top[TOP_SIGNATURE], ret_refusal)) != IFAB_CODE_NONE)
        return code;
    const struct ifab_json *scope = read_content(e, top[TOP_CONTENT]);
    if (write_signed(e, scope, arena) != IFAB_OK)
        return ifab_refuse(ret_refusal, IFAB_CODE_SYSTEM_ERROR, "", "out of memory");
    return IFAB_CODE_NONE;
}

enum ifab_code ifab_envelope_read(struct ifab_view bytes, size_t max_size, struct ifab_arena *arena, struct ifab_envelope *ret_envelope,
                                  struct ifab_refusal *ret_refusal)
{
    size_t limit = max_size == 0 ? IFAB_ENVELOPE_MAX : max_size;
    struct ifab_error err = {.status = IFAB_OK};
    memset(ret_envelope, 0, sizeof *ret_envelope);
    if (bytes.size > limit)
        return ifab_refuse(ret_refusal, IFAB_CODE_TOO_LARGE, "", "%zu bytes; the limit is %zu", bytes.size, limit);
    const struct ifab_json_limits limits = {.max_size = limit, .all_numbers_safe = true};
    ifab_status status = ifab_json_read(bytes, &limits, arena, &ret_envelope->tree, &err);
    if (status != IFAB_OK) {
        memset(ret_envelope, 0, sizeof *ret_envelope);
        if (status == IFAB_NOMEM)
            return ifab_refuse(ret_refusal, IFAB_CODE_SYSTEM_ERROR, "", "out of memory");
        enum ifab_code refused = status == IFAB_TOO_LARGE ? IFAB_CODE_TOO_LARGE : IFAB_CODE_INVALID_ENVELOPE;
        return refuse_at(ret_refusal, refused, "", err.offset, err.text);
    }
    ret_envelope->bytes = bytes;
    enum ifab_code code = read_tree(ret_envelope, arena, ret_refusal);
    if (code != IFAB_CODE_NONE)
        memset(ret_envelope, 0, sizeof *ret_envelope);
    return code;
}

bool ifab_envelope_is_claim(const struct ifab_envelope *envelope)
{
    static const bool by_performative[] = {
#define IFAB_P_(name, text, claim) [IFAB_PERFORMATIVE_##name] = (claim) != 0,
        IFAB_PERFORMATIVE_MAP(IFAB_P_)
#undef IFAB_P_
    };
    if (envelope->has_claim || envelope->has_claim_id || envelope->evidence_count > 0)
        return true;
    return (unsigned)envelope->performative >= IFAB_COUNT(by_performative) || by_performative[envelope->performative];
}

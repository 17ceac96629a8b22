/*
 * The rows of envelope v2.1 (SURFACE section 2). One row a field: what is not in a row is refused, apart from what stands inside
 * `scope` and `data`. What is decoded anyway (ids, URIs, base64url, times) has no check here: the reader decodes it once and refuses
 * what does not decode. Checking it here too costs 0.4 µs of 3.6.
 */
#include "envelope_internal.h"

static const char *const performative_names[] = {
#define IFAB_P_(name, text, claim) [IFAB_PERFORMATIVE_##name] = (text),
    IFAB_PERFORMATIVE_MAP(IFAB_P_)
#undef IFAB_P_
};

const char *ifab_performative_name(enum ifab_performative p)
{
    return (unsigned)p < IFAB_PERFORMATIVE_COUNT ? performative_names[p] : "unknown";
}

bool ifab_performative__parse(struct ifab_view text, enum ifab_performative *ret_performative)
{
    for (unsigned i = 0; i < IFAB_PERFORMATIVE_COUNT; i++) {
        if (ifab_view_is(text, performative_names[i])) {
            *ret_performative = (enum ifab_performative)i;
            return true;
        }
    }
    return false;
}

bool ifab_receiver__parse(struct ifab_view text, struct ifab_receiver *ret_receiver)
{
    struct ifab_receiver out = {.uri = text};
    if (ifab_view_starts(text, IFAB_VIEW("if://agent/"))) {
        struct ifab_view instance;
        if (ifab_sender_parse(text, &out.name, &instance) != IFAB_OK)
            return false;
        out.kind = IFAB_RECEIVER_AGENT;
    } else {
        struct ifab_uri uri;
        if (ifab_uri_parse(text, &uri, NULL) != IFAB_OK || uri.path.data + uri.path.size != text.data + text.size)
            return false; /* malformed, or a version or fragment follows */
        if (ifab_view_is(uri.type, "topic"))
            out.kind = IFAB_RECEIVER_TOPIC;
        else if (ifab_view_is(uri.type, "fabric"))
            out.kind = IFAB_RECEIVER_FABRIC;
        else
            return false;
        out.name = uri.path;
    }
    *ret_receiver = out;
    return true;
}

#define SCHEMA(what_, rows) {.what = (what_), .fields = (rows), .count = sizeof(rows) / sizeof((rows)[0])}

static const struct ifab_schema_field evidence_fields[] = {
    {.name = "type", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 64, .check = ifab_schema_printable},
    {.name = "url", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = 2048, .check = ifab_schema_printable},
    {.name = "hash", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = 128, .check = ifab_schema_sha256},
    {.name = "retrieved_at", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = 64, .check = ifab_schema_time},
};
static const struct ifab_schema evidence_schema = SCHEMA("evidence", evidence_fields);
static const struct ifab_schema_field evidence_item = {.kind = IFAB_SCHEMA_OBJECT, .sub = &evidence_schema};

static const struct ifab_schema_field word_item = {.kind = IFAB_SCHEMA_STRING, .min = 1, .max = 64};
static const struct ifab_schema_field note_item = {.kind = IFAB_SCHEMA_STRING, .min = 1, .max = 256};

static const struct ifab_schema_field diversity_fields[] = {
    {.name = "domain_unique", .kind = IFAB_SCHEMA_BOOL},
    {.name = "type_mix", .kind = IFAB_SCHEMA_LIST, .min = 0, .max = 32, .item = &word_item},
};
static const struct ifab_schema diversity_schema = SCHEMA("source_diversity", diversity_fields);

static const struct ifab_schema_field confidence_fields[] = {
    {.name = "raw", .kind = IFAB_SCHEMA_NUMBER, .num_min = 0.0, .num_max = 1.0},
    {.name = "normalized", .kind = IFAB_SCHEMA_NUMBER, .num_min = 0.0, .num_max = 1.0},
    {.name = "basis", .kind = IFAB_SCHEMA_LIST, .min = 0, .max = 32, .item = &note_item},
};
static const struct ifab_schema confidence_schema = SCHEMA("confidence", confidence_fields);

static const struct ifab_schema_field content_fields[] = {
    {.name = "claim_id", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = 128, .check = ifab_schema_printable},
    {.name = "claim", .kind = IFAB_SCHEMA_STRING, .min = 0, .max = 8192},
    {.name = "scope", .kind = IFAB_SCHEMA_OPEN},
    {.name = "evidence", .kind = IFAB_SCHEMA_LIST, .min = 0, .max = IFAB_EVIDENCE_MAX, .item = &evidence_item},
    {.name = "source_diversity", .kind = IFAB_SCHEMA_OBJECT, .sub = &diversity_schema},
    {.name = "confidence", .kind = IFAB_SCHEMA_OBJECT, .sub = &confidence_schema},
    {.name = "hazards", .kind = IFAB_SCHEMA_LIST, .min = 0, .max = IFAB_HAZARD_MAX, .item = &word_item},
    {.name = "data", .kind = IFAB_SCHEMA_OPEN},
};
static const struct ifab_schema content_schema = SCHEMA("content", content_fields);

/* Lengths are wider than what passes where the reader names the reason better, e.g. base64url with padding. */
static const struct ifab_schema_field signature_fields[] = {
    {.name = "algorithm", .kind = IFAB_SCHEMA_CONST, .required = true, .text = "ed25519"},
    {.name = "key_id", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = 64, .check = ifab_schema_key_id},
    {.name = "pubkey", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 96},
    {.name = "sig", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 192},
};
static const struct ifab_schema signature_schema = SCHEMA("signature", signature_fields);

static const struct ifab_schema_field receiver_item = {.kind = IFAB_SCHEMA_STRING, .min = 1, .max = 512};

static const struct ifab_schema_field envelope_fields[] = {
    {.name = "v", .kind = IFAB_SCHEMA_CONST, .text = "2.1"}, /* another string is 110, seen before the rows are */
    {.name = "id", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 64},
    {.name = "performative", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 64},
    {.name = "conversation_id", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 64},
    {.name = "topic_hash", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 128},
    {.name = "sender", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 512},
    {.name = "receiver", .kind = IFAB_SCHEMA_STRING_OR_LIST, .min = 1, .max = IFAB_RECEIVER_MAX, .item = &receiver_item},
    {.name = "issued_at", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 64},
    {.name = "ttl_s", .kind = IFAB_SCHEMA_INTEGER, .required = true, .min = 1, .max = 3600},
    {.name = "seq", .kind = IFAB_SCHEMA_INTEGER, .required = true, .min = 1, .max = 9007199254740991},
    {.name = "nonce", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 192},
    {.name = "trace", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = 64},
    {.name = "content", .kind = IFAB_SCHEMA_OBJECT, .required = true, .sub = &content_schema},
    {.name = "signature", .kind = IFAB_SCHEMA_OBJECT, .required = true, .sub = &signature_schema},
};
const struct ifab_schema ifab_envelope__schema = SCHEMA("envelope", envelope_fields);

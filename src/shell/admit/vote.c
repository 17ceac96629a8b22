/* A signed vote: schema, voter known, key, signature over "IF-VOTE-v1\n" + canonical form without signature.sig. */
#include <string.h>

#include "admit_internal.h"
#include "base/encode.h"
#include "crypto/crypto.h"
#include "json/schema.h"

#define VOTE_MAX 16384

static const struct ifab_schema_field signature_fields[] = {
    {.name = "algorithm", .kind = IFAB_SCHEMA_CONST, .required = true, .text = "ed25519"},
    {.name = "key_id", .kind = IFAB_SCHEMA_STRING, .min = 18, .max = 18, .check = ifab_schema_key_id},
    {.name = "pubkey", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 43, .max = 43, .check = ifab_schema_key32},
    {.name = "sig", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 86, .max = 86, .check = ifab_schema_sig64},
};
const struct ifab_schema ifab_admit__signature_schema = {"signature", signature_fields, 4};

static bool check_verdict(struct ifab_view text, const char **ret_why)
{
    *ret_why = "approve, refuse or scope-ok";
    return ifab_view_is(text, "approve") || ifab_view_is(text, "refuse") || ifab_view_is(text, "scope-ok");
}

static const struct ifab_schema_field vote_fields[] = {
    {.name = "v", .kind = IFAB_SCHEMA_INTEGER, .required = true, .min = 1, .max = 1},
    {.name = "log", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 300, .check = ifab_schema_printable},
    {.name = "decision", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 40, .max = 40, .check = ifab_schema_printable},
    {.name = "message_digest", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 71, .max = 71, .check = ifab_schema_sha256},
    {.name = "policy_digest", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 71, .max = 71, .check = ifab_schema_sha256},
    {.name = "verdict", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 16, .check = check_verdict},
    {.name = "voter", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 200, .check = ifab_schema_uri},
    {.name = "why", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 1024, .check = ifab_schema_printable},
    {.name = "issued_at", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 20, .max = 24, .check = ifab_schema_time},
    {.name = "expires_at", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 20, .max = 24, .check = ifab_schema_time},
    {.name = "nonce", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 16, .max = 86, .check = ifab_schema_nonce},
    {.name = "signature", .kind = IFAB_SCHEMA_OBJECT, .required = true, .sub = &ifab_admit__signature_schema},
};
static const struct ifab_schema vote_schema = {"vote", vote_fields, sizeof vote_fields / sizeof vote_fields[0]};

enum ifab_code ifab_admit__signature(const struct ifab_json *object, const char *domain, const uint8_t registered32[32], struct ifab_arena *arena,
                                     uint8_t ret_digest32[32], struct ifab_refusal *ret_refusal)
{
    const struct ifab_json *signature = ifab_json_get(object, "signature");
    struct ifab_view key_id = ifab_json_text(signature, "key_id");
    uint8_t sig[64];
    size_t size;
    char expected[19];
    struct ifab_buf bytes = IFAB_BUF_INIT(2 * VOTE_MAX);
    (void)arena;
    ifab_key_id(registered32, expected);
    if (key_id.size > 0 && !ifab_view_is(key_id, expected))
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_SIGNATURE, "signature.key_id", "not the id of this key");
    if (ifab_base64url_decode(ifab_json_text(signature, "sig"), sig, 64, &size) != IFAB_OK || size != 64)
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_SIGNATURE, "signature.sig", "not 64 bytes");
    ifab_buf_str(&bytes, domain);
    ifab_json_write_without(&bytes, object, "signature", "sig");
    bool memory = ifab_buf_status(&bytes) != IFAB_NOMEM;
    bool good = ifab_buf_status(&bytes) == IFAB_OK && ifab_ed25519_verify(registered32, ifab_buf_as_view(&bytes), sig);
    if (good)
        ifab_sha256(ifab_buf_as_view(&bytes), ret_digest32);
    ifab_buf_fini(&bytes);
    if (!memory)
        return ifab_refuse(ret_refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
    return good ? IFAB_CODE_NONE : ifab_refuse(ret_refusal, IFAB_CODE_INVALID_SIGNATURE, "signature.sig", "the signature does not verify");
}

static void digest_of(struct ifab_view text, uint8_t ret32[32])
{
    struct ifab_view hex = {text.data + 7, text.size - 7}; /* the schema saw "sha256:" and 64 hex */
    (void)ifab_hex_decode(hex, ret32, 32);
}

enum ifab_code ifab_admit_vote(struct ifab_view bytes, struct ifab_view path_id, const struct ifab_keyring *keyring, ifab_usec wall,
                               struct ifab_arena *arena, struct ifab_command *ret_command, struct ifab_refusal *ret_refusal)
{
    struct ifab_json_limits limits = {.max_size = VOTE_MAX, .all_numbers_safe = true};
    struct ifab_error err = {0};
    const struct ifab_json *vote;
    struct ifab_view name, instance;
    uint8_t digest[32];
    size_t size;
    ifab_status status = ifab_json_read(bytes, &limits, arena, &vote, &err);
    if (status == IFAB_NOMEM)
        return ifab_refuse(ret_refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
    if (status != IFAB_OK) {
        enum ifab_code code = ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, NULL, "%s", err.text);
        ret_refusal->offset = err.offset;
        return code;
    }
    enum ifab_code code = ifab_schema_check(&vote_schema, vote, IFAB_CODE_INVALID_PARAMS, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    if (ifab_sender_parse(ifab_json_text(vote, "voter"), &name, &instance) != IFAB_OK || instance.size > 0)
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "voter", "expected if://agent/NAME");
    if (!ifab_view_equal(ifab_json_text(vote, "decision"), path_id) ||
        ifab_id_parse(path_id, "msg-", ret_command->u.vote.decision_id16) != IFAB_OK)
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "decision", "not the decision of the path");
    const struct ifab_keyring_entry *entry = ifab_keyring_find(keyring, name);
    if (entry == NULL)
        return ifab_refuse(ret_refusal, IFAB_CODE_UNKNOWN_SENDER, "voter", "no talent " IFAB_FMT " is enrolled here", IFAB_ARG(name));
    if (ifab_base64url_decode(ifab_json_text(ifab_json_get(vote, "signature"), "pubkey"), ret_command->u.vote.pubkey32, 32, &size) != IFAB_OK || size != 32)
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "signature.pubkey", "not 32 bytes");
    code = ifab_admit__key(entry, ret_command->u.vote.pubkey32, wall, ret_refusal);
    if (code == IFAB_CODE_NONE)
        code = ifab_admit__signature(vote, "IF-VOTE-v1\n", ret_command->u.vote.pubkey32, arena, digest, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    struct ifab_view verdict = ifab_json_text(vote, "verdict");
    ret_command->type = IFAB_COMMAND_VOTE;
    ret_command->u.vote.talent = entry->number;
    ret_command->u.vote.key_version = entry->version;
    memcpy(ret_command->u.vote.digest16, digest, 16);
    digest_of(ifab_json_text(vote, "message_digest"), ret_command->u.vote.message_digest32);
    digest_of(ifab_json_text(vote, "policy_digest"), ret_command->u.vote.policy_digest32);
    ret_command->u.vote.id_text = path_id;
    ret_command->u.vote.log = ifab_json_text(vote, "log");
    ret_command->u.vote.why = ifab_json_text(vote, "why");
    ret_command->u.vote.verdict = ifab_view_is(verdict, "approve") ? IFAB_VOTE_APPROVE
                                  : ifab_view_is(verdict, "refuse") ? IFAB_VOTE_REFUSE
                                                                    : IFAB_VOTE_SCOPE_OK;
    (void)ifab_time_parse(ifab_json_text(vote, "issued_at"), &ret_command->u.vote.issued_at);
    (void)ifab_time_parse(ifab_json_text(vote, "expires_at"), &ret_command->u.vote.expires_at);
    (void)ifab_base64url_decode(ifab_json_text(vote, "nonce"), ret_command->u.vote.nonce, 64, &ret_command->u.vote.nonce_size);
    return IFAB_CODE_NONE;
}

/*
 * An enrolment by invite: the new key signs the code, itself and this fabric's origin, so that a proof is good for one code, one key and
 * one log. Whether the code is good is not asked here: who sends a bad proof learns nothing about it.
 */
#include <string.h>

#include "admit_internal.h"
#include "base/encode.h"
#include "crypto/crypto.h"
#include "json/schema.h"

#define ENROLL_MAX 4096

/* Eight groups of four of the RFC 4648 base32 alphabet: 160 bits. ifctl forgives how it is typed; here there is one spelling. */
bool ifab_admit_code_valid(struct ifab_view text)
{
    if (text.size != IFAB_INVITE_CODE_SIZE)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        bool good = i % 5 == 4 ? c == '-' : (c >= 'A' && c <= 'Z') || (c >= '2' && c <= '7');
        if (!good)
            return false;
    }
    return true;
}

static bool check_code(struct ifab_view text, const char **ret_why)
{
    *ret_why = "eight groups of four of A-Z and 2-7, hyphens between";
    return ifab_admit_code_valid(text);
}

static const struct ifab_schema_field enroll_fields[] = {
    {.name = "code", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 64, .check = check_code},
    {.name = "pubkey", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 43, .max = 43, .check = ifab_schema_key32},
    {.name = "proof", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 86, .max = 86, .check = ifab_schema_sig64},
};
static const struct ifab_schema enroll_schema = {"enrolment", enroll_fields, sizeof enroll_fields / sizeof enroll_fields[0]};

/* "IF-ENROLL-v1\n" + canonical {code, log, pubkey, v: 1} */
static enum ifab_code check_proof(const struct ifab_json *body, struct ifab_view origin, const uint8_t pubkey32[32],
                                  struct ifab_refusal *ret_refusal)
{
    struct ifab_buf bytes = IFAB_BUF_INIT(8192);
    uint8_t sig[64];
    size_t size;
    ifab_buf_str(&bytes, "IF-ENROLL-v1\n{\"code\":");
    ifab_json_put_string(&bytes, ifab_json_text(body, "code"));
    ifab_buf_str(&bytes, ",\"log\":");
    ifab_json_put_string(&bytes, origin);
    ifab_buf_str(&bytes, ",\"pubkey\":");
    ifab_json_put_string(&bytes, ifab_json_text(body, "pubkey"));
    ifab_buf_str(&bytes, ",\"v\":1}");
    bool memory = ifab_buf_status(&bytes) != IFAB_NOMEM;
    bool good = ifab_buf_status(&bytes) == IFAB_OK && ifab_base64url_decode(ifab_json_text(body, "proof"), sig, 64, &size) == IFAB_OK &&
                size == 64 && ifab_ed25519_verify(pubkey32, ifab_buf_as_view(&bytes), sig);
    ifab_buf_fini(&bytes);
    if (!memory)
        return ifab_refuse(ret_refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
    return good ? IFAB_CODE_NONE
                : ifab_refuse(ret_refusal, IFAB_CODE_INVALID_SIGNATURE, "proof", "not this key's signature over this code, key and log");
}

enum ifab_code ifab_admit_enroll(struct ifab_view bytes, struct ifab_view origin, struct ifab_arena *arena,
                                 struct ifab_command *ret_command, struct ifab_refusal *ret_refusal)
{
    struct ifab_json_limits limits = {.max_size = ENROLL_MAX, .all_numbers_safe = true};
    struct ifab_error err = {0};
    const struct ifab_json *body;
    size_t size;
    ifab_status status = ifab_json_read(bytes, &limits, arena, &body, &err);
    if (status == IFAB_NOMEM)
        return ifab_refuse(ret_refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
    if (status != IFAB_OK) {
        enum ifab_code code = ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, NULL, "%s", err.text);
        ret_refusal->offset = err.offset;
        return code;
    }
    enum ifab_code code = ifab_schema_check(&enroll_schema, body, IFAB_CODE_INVALID_PARAMS, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    if (ifab_base64url_decode(ifab_json_text(body, "pubkey"), ret_command->u.enroll.pubkey32, 32, &size) != IFAB_OK || size != 32)
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "pubkey", "not 32 bytes");
    code = check_proof(body, origin, ret_command->u.enroll.pubkey32, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    ret_command->type = IFAB_COMMAND_ENROLL;
    ifab_sha256(ifab_json_text(body, "code"), ret_command->u.enroll.code_hash32);
    return IFAB_CODE_NONE;
}

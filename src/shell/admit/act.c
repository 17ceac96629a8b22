/* A signed admin act in the header IF-Admin: bound to route and body by digest, to this fabric by log. SURFACE section 3. */
#include <string.h>

#include "admit_internal.h"
#include "base/encode.h"
#include "crypto/crypto.h"
#include "json/schema.h"

#define ACT_MAX 8192

static const struct ifab_schema_field act_fields[] = {
    {.name = "v", .kind = IFAB_SCHEMA_INTEGER, .required = true, .min = 1, .max = 1},
    {.name = "log", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 300, .check = ifab_schema_printable},
    {.name = "route", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 512, .check = ifab_schema_printable},
    {.name = "body_digest", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 71, .max = 71, .check = ifab_schema_sha256},
    {.name = "why", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 1024, .check = ifab_schema_printable},
    {.name = "issued_at", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 20, .max = 24, .check = ifab_schema_time},
    {.name = "nonce", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 16, .max = 86, .check = ifab_schema_nonce},
    {.name = "signature", .kind = IFAB_SCHEMA_OBJECT, .required = true, .sub = &ifab_admit__signature_schema},
};
static const struct ifab_schema act_schema = {"admin act", act_fields, sizeof act_fields / sizeof act_fields[0]};

static enum ifab_code bad(struct ifab_refusal *ret_refusal, const char *why)
{
    return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_PARAMS, "IF-Admin", "%s", why);
}

enum ifab_code ifab_admit_act(struct ifab_view header, struct ifab_view route, struct ifab_view body, struct ifab_view origin,
                              const struct ifab_keyring *keyring, ifab_usec wall, struct ifab_arena *arena, struct ifab_admin_act *ret_act,
                              struct ifab_refusal *ret_refusal)
{
    struct ifab_json_limits limits = {.max_size = ACT_MAX, .all_numbers_safe = true};
    struct ifab_error err = {0};
    const struct ifab_json *act;
    uint8_t *decoded = ifab_arena_alloc(arena, ACT_MAX), digest[32];
    size_t size;
    if (decoded == NULL)
        return ifab_refuse(ret_refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
    if (ifab_base64url_decode(header, decoded, ACT_MAX, &size) != IFAB_OK)
        return bad(ret_refusal, "not base64url");
    ifab_status status = ifab_json_read(ifab_view_of(decoded, size), &limits, arena, &act, &err);
    if (status == IFAB_NOMEM)
        return ifab_refuse(ret_refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
    if (status != IFAB_OK)
        return bad(ret_refusal, err.text);
    enum ifab_code code = ifab_schema_check(&act_schema, act, IFAB_CODE_INVALID_PARAMS, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    if (!ifab_view_equal(ifab_json_text(act, "log"), origin))
        return ifab_refuse(ret_refusal, IFAB_CODE_WRONG_AUDIENCE, "IF-Admin", "the admin act is for another log");
    if (!ifab_view_equal(ifab_json_text(act, "route"), route))
        return bad(ret_refusal, "the admin act is for another route");
    struct ifab_view claimed = ifab_json_text(act, "body_digest");
    uint8_t expected[32], given[32];
    ifab_sha256(body, expected);
    if (ifab_hex_decode(ifab_view_of(claimed.data + 7, claimed.size - 7), given, 32) != IFAB_OK || memcmp(expected, given, 32) != 0)
        return bad(ret_refusal, "the admin act is for another body");
    memset(ret_act, 0, sizeof *ret_act);
    if (ifab_base64url_decode(ifab_json_text(ifab_json_get(act, "signature"), "pubkey"), ret_act->pubkey32, 32, &size) != IFAB_OK || size != 32)
        return bad(ret_refusal, "signature.pubkey is not 32 bytes");
    /* The signer is found by its key: a key has one holder. */
    const struct ifab_keyring_entry *entry = ifab_keyring_find_key(keyring, ret_act->pubkey32);
    if (entry == NULL)
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_SIGNATURE, "IF-Admin", "the key of the admin act is registered for nobody");
    code = ifab_admit__key(entry, ret_act->pubkey32, wall, ret_refusal);
    if (code == IFAB_CODE_NONE)
        code = ifab_admit__signature(act, "IF-ADMIN-v1\n", ret_act->pubkey32, arena, digest, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    struct ifab_view why = ifab_json_text(act, "why");
    memcpy(ret_act->why, why.data, why.size);
    memcpy(ret_act->digest16, digest, 16);
    ret_act->talent = entry->number;
    ret_act->key_version = entry->version;
    (void)ifab_time_parse(ifab_json_text(act, "issued_at"), &ret_act->issued_at);
    (void)ifab_base64url_decode(ifab_json_text(act, "nonce"), ret_act->nonce, 64, &ret_act->nonce_size);
    struct ifab_buf text = IFAB_BUF_INIT(2 * ACT_MAX);
    ifab_json_write(&text, act);
    status = ifab_buf_status(&text) == IFAB_OK ? ifab_arena_copy(arena, ifab_buf_as_view(&text), &ret_act->text) : IFAB_NOMEM;
    ifab_buf_fini(&text);
    if (status != IFAB_OK)
        return ifab_refuse(ret_refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
    ret_act->present = true;
    return IFAB_CODE_NONE;
}

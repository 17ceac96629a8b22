/* Canonical form, digest and signature of a manifest. SURFACE section 5; INV-02; FL-CAP-1, FL-CAP-10. */
#include "base/encode.h"
#include "capability_internal.h"
#include "crypto/crypto.h"

#include <stdio.h>

static enum ifab_code bad_text(const struct ifab_json *text, struct ifab_refusal *ret_refusal)
{
    ifab_refuse(ret_refusal, IFAB_CODE_INVALID_MANIFEST, "signature", "signature must be an object, or ed25519:KEY:SIG");
    if (ret_refusal != NULL) {
        ret_refusal->offset = text->offset;
        ret_refusal->hint = "KEY is 43, SIG 86 characters of base64url; ifctl capability sign writes the object.";
    }
    return IFAB_CODE_INVALID_MANIFEST;
}

static struct ifab_json string_node(struct ifab_view text, uint32_t offset)
{
    return (struct ifab_json){.type = IFAB_JSON_STRING, .offset = offset, .u.string = text};
}

enum ifab_code ifab_manifest__signature_object(const struct ifab_json *tree, struct ifab_arena *arena, const struct ifab_json **ret_tree,
                                               struct ifab_refusal *ret_refusal)
{
    const struct ifab_json *text = ifab_json_get(tree, "signature");
    struct ifab_view prefix = IFAB_VIEW("ed25519:");
    *ret_tree = tree;
    if (text == NULL || text->type != IFAB_JSON_STRING)
        return IFAB_CODE_NONE;
    struct ifab_view all = text->u.string;
    if (all.size != prefix.size + 43 + 1 + 86 || !ifab_view_starts(all, prefix) || all.data[prefix.size + 43] != ':')
        return bad_text(text, ret_refusal);
    struct ifab_json *copy = ifab_arena_alloc(arena, sizeof *copy);
    struct ifab_json_member *members = ifab_arena_calloc(arena, tree->u.object.count, sizeof *members);
    struct ifab_json_member *parts = ifab_arena_calloc(arena, 3, sizeof *parts);
    if (copy == NULL || members == NULL || parts == NULL)
        return ifab_capability__nomem(ret_refusal);
    parts[0] = (struct ifab_json_member){IFAB_VIEW("algorithm"), text->offset, string_node(IFAB_VIEW("ed25519"), text->offset)};
    parts[1] = (struct ifab_json_member){IFAB_VIEW("pubkey"), text->offset, string_node(ifab_view_of(all.data + prefix.size, 43), text->offset)};
    parts[2] = (struct ifab_json_member){IFAB_VIEW("sig"), text->offset, string_node(ifab_view_of(all.data + prefix.size + 44, 86), text->offset)};
    *copy = *tree;
    memcpy(members, tree->u.object.members, tree->u.object.count * sizeof *members);
    copy->u.object.members = members;
    for (size_t i = 0; i < copy->u.object.count; i++)
        if (ifab_view_is(members[i].name, "signature"))
            members[i].value = (struct ifab_json){.type = IFAB_JSON_OBJECT, .offset = text->offset, .u.object = {parts, 3}};
    *ret_tree = copy;
    return IFAB_CODE_NONE;
}

/* buf into the arena; buf is freed. */
static enum ifab_code keep(struct ifab_buf *buf, struct ifab_arena *arena, struct ifab_view *ret_bytes, struct ifab_refusal *ret_refusal)
{
    enum ifab_code code = IFAB_CODE_NONE;
    ifab_status status = ifab_buf_status(buf);
    if (status == IFAB_TOO_LARGE)
        code = ifab_refuse(ret_refusal, IFAB_CODE_INVALID_MANIFEST, "", "manifest has more than %d bytes in canonical form", IFAB_MANIFEST_MAX);
    else if (status != IFAB_OK || ifab_arena_copy(arena, ifab_buf_as_view(buf), ret_bytes) != IFAB_OK)
        code = ifab_capability__nomem(ret_refusal);
    ifab_buf_fini(buf);
    return code;
}

static enum ifab_code read_signature(const struct ifab_json *signature, struct ifab_manifest *manifest, struct ifab_refusal *ret_refusal)
{
    size_t size = 0;
    char key_id[19];
    struct ifab_view said = ifab_capability__string(signature, "key_id");
    if (ifab_base64url_decode(ifab_capability__string(signature, "pubkey"), manifest->pubkey32, 32, &size) != IFAB_OK || size != 32 ||
        ifab_base64url_decode(ifab_capability__string(signature, "sig"), manifest->sig64, 64, &size) != IFAB_OK || size != 64)
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_MANIFEST, "signature", "signature is not of 32 and 64 bytes");
    ifab_key_id(manifest->pubkey32, key_id);
    if (said.size > 0 && !ifab_view_is(said, key_id))
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_MANIFEST, "signature.key_id", "signature.key_id is not that of its pubkey");
    manifest->has_signature = true;
    return IFAB_CODE_NONE;
}

enum ifab_code ifab_manifest__seal(struct ifab_arena *arena, struct ifab_manifest *manifest, struct ifab_refusal *ret_refusal)
{
    const struct ifab_json *signature = ifab_json_get(manifest->tree, "signature");
    struct ifab_buf whole = IFAB_BUF_INIT(IFAB_MANIFEST_MAX), part = IFAB_BUF_INIT(IFAB_MANIFEST_MAX + sizeof IFAB_MANIFEST_DOMAIN);
    enum ifab_code code = signature == NULL ? IFAB_CODE_NONE : read_signature(signature, manifest, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    ifab_json_write(&whole, manifest->tree);
    ifab_buf_str(&part, IFAB_MANIFEST_DOMAIN);
    ifab_json_write_without(&part, manifest->tree, "signature", "sig");
    code = keep(&whole, arena, &manifest->canonical, ret_refusal);
    if (code == IFAB_CODE_NONE)
        code = keep(&part, arena, &manifest->signed_bytes, ret_refusal);
    else
        ifab_buf_fini(&part);
    if (code == IFAB_CODE_NONE)
        ifab_sha256(manifest->signed_bytes, manifest->digest32);
    return code;
}

enum ifab_code ifab_manifest_verify(const struct ifab_manifest *manifest, const uint8_t registered32[32], struct ifab_refusal *ret_refusal)
{
    if (!manifest->has_signature)
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_SIGNATURE, "signature", "manifest is not signed");
    if (!ifab_equal_ct(manifest->pubkey32, registered32, 32))
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_SIGNATURE, "signature.pubkey", "not the key that is registered for this publisher");
    if (!ifab_ed25519_verify(registered32, manifest->signed_bytes, manifest->sig64))
        return ifab_refuse(ret_refusal, IFAB_CODE_INVALID_SIGNATURE, "signature.sig", "the signature is not over this manifest");
    return IFAB_CODE_NONE;
}

/* The members in order, with `signature` of this key and sig (size 0: without it). Names are in canonical order already. */
static void put_signed(struct ifab_buf *buf, const struct ifab_manifest *manifest, const uint8_t pubkey32[32], const uint8_t *sig64)
{
    const struct ifab_json *tree = manifest->tree;
    bool put = false;
    ifab_buf_char(buf, '{');
    for (size_t i = 0; i <= tree->u.object.count; i++) {
        const struct ifab_json_member *member = i < tree->u.object.count ? &tree->u.object.members[i] : NULL;
        if (!put && (member == NULL || ifab_view_compare(member->name, IFAB_VIEW("signature")) >= 0)) {
            char key_id[19];
            ifab_key_id(pubkey32, key_id);
            ifab_buf_str(buf, i == 0 ? "\"signature\":{\"algorithm\":\"ed25519\",\"key_id\":\""
                                     : ",\"signature\":{\"algorithm\":\"ed25519\",\"key_id\":\"");
            ifab_buf_str(buf, key_id);
            ifab_buf_str(buf, "\",\"pubkey\":\"");
            ifab_buf_base64url(buf, pubkey32, 32);
            ifab_buf_str(buf, sig64 == NULL ? "\"}" : "\",\"sig\":\"");
            if (sig64 != NULL)
                ifab_buf_base64url(buf, sig64, 64);
            ifab_buf_str(buf, sig64 == NULL ? "" : "\"}");
            put = true;
        }
        if (member == NULL || ifab_view_is(member->name, "signature"))
            continue;
        if (i > 0 || put)
            ifab_buf_char(buf, ',');
        ifab_json_put_string(buf, member->name);
        ifab_buf_char(buf, ':');
        ifab_json_write(buf, &member->value);
    }
    ifab_buf_char(buf, '}');
}

ifab_status ifab_manifest_sign(const struct ifab_manifest *manifest, const uint8_t pubkey32[32], ifab_manifest_sign_fn *sign, void *user,
                               struct ifab_buf *ret_json, struct ifab_error *err)
{
    struct ifab_buf bytes = IFAB_BUF_INIT(IFAB_MANIFEST_MAX + sizeof IFAB_MANIFEST_DOMAIN), whole = IFAB_BUF_INIT(IFAB_MANIFEST_MAX);
    uint8_t sig64[64];
    ifab_buf_str(&bytes, IFAB_MANIFEST_DOMAIN);
    put_signed(&bytes, manifest, pubkey32, NULL);
    ifab_status status = ifab_buf_status(&bytes);
    if (status == IFAB_OK) {
        sign(user, ifab_buf_as_view(&bytes), sig64);
        put_signed(&whole, manifest, pubkey32, sig64);
        status = ifab_buf_status(&whole);
    }
    if (status == IFAB_OK)
        ifab_buf_view(ret_json, ifab_buf_as_view(&whole));
    ifab_buf_fini(&bytes);
    ifab_buf_fini(&whole);
    if (status != IFAB_OK)
        return ifab_fail(err, status, "manifest: the signed form is above %d bytes, or there is no memory", IFAB_MANIFEST_MAX);
    return ifab_buf_status(ret_json);
}

/*
 * A new key of the log, handed over by the old one: a C2SP signed note over
 *   IF-LOG-KEY-v1 / <origin> / <size> / <base64 root> / <old verifier key> / <new verifier key>
 * with a signature of each. Size and root are the tree that the old key answers for: a handover cannot be carried into another history, and
 * the first line is no origin, so that it can never be read as a checkpoint.
 */
#include "witness/witness.h"

#include <string.h>

#include "base/encode.h"
#include "json/json.h"

#define DOMAIN   "IF-LOG-KEY-v1"
#define LINES    6
#define TEXT_MAX 2048

static bool is_signature_line(struct ifab_view line, struct ifab_view origin)
{
    const struct ifab_view dash = IFAB_VIEW("\xe2\x80\x94 ");
    return ifab_view_starts(line, dash) && line.size > dash.size + origin.size + 1 && memcmp(line.data + dash.size, origin.data, origin.size) == 0;
}

static bool next_line(struct ifab_view *text, struct ifab_view *ret_line)
{
    const uint8_t *end = text->size > 0 ? memchr(text->data, '\n', text->size) : NULL;
    if (end == NULL)
        return false;
    *ret_line = ifab_view_of(text->data, (size_t)(end - text->data));
    text->size -= ret_line->size + 1;
    text->data = end + 1;
    return true;
}

/* Text, empty line and one signature are in note; of the second only its line is added. */
static ifab_status add_signature(struct ifab_view text, struct ifab_view origin, const struct ifab_signer *key, struct ifab_buf *note)
{
    struct ifab_buf other = IFAB_BUF_INIT(2 * TEXT_MAX);
    ifab_status status = ifab_note_sign(text, origin, key, &other);
    if (status == IFAB_OK)
        ifab_buf_put(note, other.data + text.size + 1, other.size - text.size - 1);
    ifab_buf_fini(&other);
    return status == IFAB_OK ? ifab_buf_status(note) : status;
}

ifab_status ifab_rotation_write(struct ifab_view origin, uint64_t size, const uint8_t root32[32], const struct ifab_signer *from,
                                const struct ifab_signer *to, struct ifab_buf *note)
{
    const struct ifab_checkpoint tree = {.origin = origin, .size = size};
    struct ifab_buf text = IFAB_BUF_INIT(TEXT_MAX);
    uint8_t from32[32], to32[32];
    struct ifab_checkpoint body = tree;
    memcpy(body.root32, root32, 32);
    ifab_signer_public(from, from32);
    ifab_signer_public(to, to32);
    ifab_buf_str(&text, DOMAIN "\n");
    ifab_status status = memcmp(from32, to32, 32) != 0 ? ifab_checkpoint_write(&body, &text) : IFAB_INVALID;
    if (status == IFAB_OK)
        status = ifab_note_vkey_write(origin, from32, &text);
    ifab_buf_char(&text, '\n');
    if (status == IFAB_OK)
        status = ifab_note_vkey_write(origin, to32, &text);
    ifab_buf_char(&text, '\n');
    if (status == IFAB_OK)
        status = ifab_buf_status(&text);
    if (status == IFAB_OK)
        status = ifab_note_sign(ifab_buf_as_view(&text), origin, from, note);
    if (status == IFAB_OK)
        status = add_signature(ifab_buf_as_view(&text), origin, to, note);
    ifab_buf_fini(&text);
    return status;
}

ifab_status ifab_rotation_read(struct ifab_view note, struct ifab_rotation *ret_rotation, struct ifab_error *err)
{
    struct ifab_rotation read = {0};
    struct ifab_view rest = note, lines[LINES], line, from_name, to_name;
    struct ifab_checkpoint tree;
    for (size_t i = 0; i < LINES; i++)
        if (!next_line(&rest, &lines[i]))
            return ifab_fail(err, IFAB_INVALID, "log key: fewer than %d lines", LINES);
    const uint8_t *body = lines[1].data;
    if (!ifab_view_is(lines[0], DOMAIN) || ifab_checkpoint_read(ifab_view_of(body, (size_t)(lines[4].data - body)), &tree, NULL) != IFAB_OK)
        return ifab_fail(err, IFAB_INVALID, "log key: no handover of a log's key");
    if (ifab_note_vkey_read(lines[4], &from_name, read.from32, NULL) != IFAB_OK || ifab_note_vkey_read(lines[5], &to_name, read.to32, NULL) != IFAB_OK ||
        !ifab_view_equal(from_name, tree.origin) || !ifab_view_equal(to_name, tree.origin) || memcmp(read.from32, read.to32, 32) == 0)
        return ifab_fail(err, IFAB_INVALID, "log key: lines 5 and 6 are not two keys of this log");
    if (!next_line(&rest, &line) || line.size != 0)
        return ifab_fail(err, IFAB_INVALID, "log key: no empty line behind the keys");
    for (size_t i = 0; i < 2; i++)
        if (!next_line(&rest, &line) || !is_signature_line(line, tree.origin))
            return ifab_fail(err, IFAB_INVALID, "log key: not two signatures");
    if (rest.size != 0)
        return ifab_fail(err, IFAB_INVALID, "log key: more than two signatures");
    read.origin = tree.origin;
    read.size = tree.size;
    memcpy(read.root32, tree.root32, 32);
    *ret_rotation = read;
    return IFAB_OK;
}

ifab_status ifab_rotation_verify(struct ifab_view note, struct ifab_rotation *ret_rotation, struct ifab_error *err)
{
    struct ifab_rotation read;
    struct ifab_view text;
    IFAB_TRY(ifab_rotation_read(note, &read, err));
    if (ifab_note_verify(note, read.origin, read.from32, &text, NULL) != IFAB_OK)
        return ifab_fail(err, IFAB_DENIED, "log key: not signed by the old key");
    if (ifab_note_verify(note, read.origin, read.to32, &text, NULL) != IFAB_OK)
        return ifab_fail(err, IFAB_DENIED, "log key: not signed by the new key");
    *ret_rotation = read;
    return IFAB_OK;
}

/* {"to": verifier key}: nothing else is asked for, so that nothing else can have been meant. */
static ifab_status check_request(struct ifab_view request, const struct ifab_rotation *rotation, struct ifab_error *err)
{
    struct ifab_buf expected = IFAB_BUF_INIT(TEXT_MAX), vkey = IFAB_BUF_INIT(TEXT_MAX);
    ifab_status status = ifab_note_vkey_write(rotation->origin, rotation->to32, &vkey);
    ifab_buf_str(&expected, "{\"to\":");
    ifab_json_put_string(&expected, ifab_buf_as_view(&vkey));
    ifab_buf_char(&expected, '}');
    if (status == IFAB_OK)
        status = ifab_buf_status(&expected);
    if (status == IFAB_OK && !ifab_view_equal(ifab_buf_as_view(&expected), request))
        status = ifab_fail(err, IFAB_DENIED, "log key: the admin did not ask for this new key");
    ifab_buf_fini(&expected);
    ifab_buf_fini(&vkey);
    return status;
}

/* SURFACE section 3: over route, body and log, by the key that it names. */
static ifab_status check_act(const struct ifab_json *act, struct ifab_view request, struct ifab_view origin, uint8_t ret_admin32[32],
                             struct ifab_error *err)
{
    const struct ifab_json *signature = ifab_json_get(act, "signature");
    const struct ifab_view prefix = IFAB_VIEW("sha256:"), digest = ifab_json_text(act, "body_digest");
    uint8_t said32[32], is32[32], sig64[64];
    size_t key_size = 0, sig_size = 0;
    ifab_sha256(request, is32);
    if (!ifab_view_is(ifab_json_text(act, "route"), IFAB_ROTATION_ROUTE) || !ifab_view_equal(ifab_json_text(act, "log"), origin))
        return ifab_fail(err, IFAB_DENIED, "log key: the admin's act is about something else, or for another log");
    if (!ifab_view_starts(digest, prefix) || ifab_hex_decode(ifab_view_of(digest.data + prefix.size, digest.size - prefix.size), said32, 32) != IFAB_OK ||
        memcmp(said32, is32, 32) != 0)
        return ifab_fail(err, IFAB_DENIED, "log key: the admin's act is for another request");
    if (ifab_base64url_decode(ifab_json_text(signature, "pubkey"), ret_admin32, 32, &key_size) != IFAB_OK || key_size != 32 ||
        ifab_base64url_decode(ifab_json_text(signature, "sig"), sig64, 64, &sig_size) != IFAB_OK || sig_size != 64)
        return ifab_fail(err, IFAB_INVALID, "log key: the admin's act has no signature");
    struct ifab_buf bytes = IFAB_BUF_INIT(65536);
    ifab_buf_str(&bytes, "IF-ADMIN-v1\n");
    ifab_json_write_without(&bytes, act, "signature", "sig");
    ifab_status status = ifab_buf_status(&bytes);
    if (status == IFAB_OK && !ifab_ed25519_verify(ret_admin32, ifab_buf_as_view(&bytes), sig64))
        status = ifab_fail(err, IFAB_DENIED, "log key: the signature of the admin's act is wrong");
    ifab_buf_fini(&bytes);
    return status;
}

ifab_status ifab_rotation_payload_verify(const struct ifab_json *payload, struct ifab_rotation *ret_rotation, uint8_t ret_admin32[32],
                                         struct ifab_error *err)
{
    struct ifab_rotation read;
    const struct ifab_view request = ifab_json_text(payload, "request");
    uint8_t admin32[32];
    IFAB_TRY(ifab_rotation_verify(ifab_json_text(payload, "note"), &read, err));
    IFAB_TRY(check_request(request, &read, err));
    IFAB_TRY(check_act(ifab_json_get(payload, "act"), request, read.origin, admin32, err));
    memcpy(ret_admin32, admin32, 32);
    *ret_rotation = read;
    return IFAB_OK;
}

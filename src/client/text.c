/* Owned texts, statuses, and the small writer that every signed object is laid out with. */
#include "internal.h"

#define DOTS "......................................................................................" /* 86: base64url of 64 bytes */

void ifab_text_free(struct ifab_text *self)
{
    if (self == NULL || self->data == NULL)
        return;
    ifab_wipe(self->data, self->size);
    ifab_free(self->data);
    *self = (struct ifab_text){NULL, 0};
}

const char *ifab_status_describe(ifab_status status)
{
    return ifab_status_text(status);
}

ifab_status ifab_text__take(struct ifab_buf *buf, struct ifab_text *ret_text, struct ifab_error *err)
{
    size_t size = buf->size;
    ifab_buf_char(buf, '\0');
    if (ifab_buf_status(buf) != IFAB_OK)
        return ifab_fail(err, ifab_buf_status(buf), "%s", ifab_status_text(ifab_buf_status(buf)));
    *ret_text = (struct ifab_text){(char *)buf->data, size};
    *buf = (struct ifab_buf)IFAB_BUF_INIT(buf->limit);
    return IFAB_OK;
}

void ifab_members__name(struct ifab_members *m, const char *name)
{
    if (m->any)
        ifab_buf_char(m->buf, ',');
    m->any = true;
    ifab_json_put_cstr(m->buf, name);
    ifab_buf_char(m->buf, ':');
}

void ifab_members__text(struct ifab_members *m, const char *name, const char *text)
{
    if (text == NULL)
        return;
    ifab_members__name(m, name);
    ifab_json_put_cstr(m->buf, text);
}

void ifab_members__time(struct ifab_members *m, const char *name, ifab_usec wall)
{
    char text[25];
    ifab_time_format(wall, text);
    ifab_members__text(m, name, text);
}

void ifab_members__nonce(struct ifab_members *m)
{
    uint8_t nonce16[16];
    ifab_random(nonce16, sizeof nonce16);
    ifab_members__name(m, "nonce");
    ifab_buf_char(m->buf, '"');
    ifab_buf_base64url(m->buf, nonce16, sizeof nonce16);
    ifab_buf_char(m->buf, '"');
}

void ifab_members__signature(struct ifab_members *m, const struct ifab_identity *identity, bool with_key_id)
{
    uint8_t key32[32];
    char id[19];
    ifab_identity_public(identity, key32);
    ifab_key_id(key32, id);
    ifab_members__name(m, "signature");
    ifab_buf_str(m->buf, "{\"algorithm\":\"ed25519\",");
    if (with_key_id)
        ifab_buf_format(m->buf, "\"key_id\":\"%s\",", id);
    ifab_buf_str(m->buf, "\"pubkey\":\"");
    ifab_buf_base64url(m->buf, key32, 32);
    ifab_buf_str(m->buf, "\",\"sig\":\"" DOTS "\"}");
}

/* Signs into the dots of a canonical text: its length does not change, so it stays canonical. */
static ifab_status sign_in_place(struct ifab_buf *whole, struct ifab_view signed_bytes, const struct ifab_identity *identity)
{
    static const char mark[] = "\"sig\":\"" DOTS "\"";
    uint8_t sig64[64];
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf text = IFAB_BUF_INIT(128);
    ifab_signer_sign(ifab_identity__signer(identity), signed_bytes, sig64);
    ifab_buf_base64url(&text, sig64, sizeof sig64);
    IFAB_TRY(ifab_buf_status(&text));
    /* From the end: inside a text the quotes would be escaped, and no object a caller writes sorts behind "signature". */
    for (size_t at = whole->size - sizeof mark + 1; at > 0; at--) {
        if (memcmp(whole->data + at, mark, sizeof mark - 1) != 0)
            continue;
        memcpy(whole->data + at + 7, text.data, text.size);
        return IFAB_OK;
    }
    return IFAB_INTERNAL;
}

ifab_status ifab_sign__object(struct ifab_view raw, const char *domain, const struct ifab_identity *identity, struct ifab_text *ret_text,
                              struct ifab_error *err)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    ifab_arena_init(&arena, 8 << 20);
    const struct ifab_json *tree;
    const struct ifab_json_limits limits = {.all_numbers_safe = true};
    IFAB_TRY(ifab_json_read(raw, &limits, &arena, &tree, err));
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf signed_bytes = IFAB_BUF_INIT(2 << 20);
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf whole = IFAB_BUF_INIT(2 << 20);
    ifab_buf_str(&signed_bytes, domain);
    ifab_json_write_without(&signed_bytes, tree, "signature", "sig");
    ifab_json_write(&whole, tree);
    if (ifab_buf_status(&signed_bytes) != IFAB_OK || ifab_buf_status(&whole) != IFAB_OK)
        return ifab_fail(err, IFAB_NOMEM, "signed object");
    ifab_status status = whole.size < sizeof DOTS ? IFAB_INTERNAL : sign_in_place(&whole, ifab_buf_as_view(&signed_bytes), identity);
    if (status != IFAB_OK)
        return ifab_fail(err, status, "signing");
    return ifab_text__take(&whole, ret_text, err);
}

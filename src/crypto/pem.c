/*
 * PEM, RFC 7468 in its strict form: one block, nothing but white space around it, no headers, canonical base64. Lines may be of any length.
 */
#include "crypto_internal.h"

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct ifab_view ifab_crypto__trim(struct ifab_view text)
{
    while (text.size > 0 && is_blank(text.data[0])) {
        text.data++;
        text.size--;
    }
    while (text.size > 0 && is_blank(text.data[text.size - 1]))
        text.size--;
    return text;
}

void ifab_pem__write(struct ifab_buf *pem, const char *label, const uint8_t *der, size_t size)
{
    ifab_buf_str(pem, "-----BEGIN ");
    ifab_buf_str(pem, label);
    ifab_buf_str(pem, "-----\n");
    for (size_t at = 0; at < size; at += 48) { /* 64 characters a line: RFC 7468 section 2 */
        ifab_buf_base64(pem, der + at, size - at < 48 ? size - at : 48);
        ifab_buf_char(pem, '\n');
    }
    ifab_buf_str(pem, "-----END ");
    ifab_buf_str(pem, label);
    ifab_buf_str(pem, "-----\n");
}

/* Takes "<begin or end><label>-----" off the front of *text. */
static bool take_line(struct ifab_view *text, const char *word, const char *label)
{
    const char *const parts[] = {word, label, "-----"};

    for (size_t i = 0; i < IFAB_COUNT(parts); i++) {
        struct ifab_view part = ifab_view_str(parts[i]);
        if (!ifab_view_starts(*text, part))
            return false;
        text->data += part.size;
        text->size -= part.size;
    }
    return true;
}

bool ifab_pem__is(struct ifab_view text, const char *label)
{
    text = ifab_crypto__trim(text);
    return take_line(&text, "-----BEGIN ", label);
}

bool ifab_pem__read(struct ifab_view text, const char *label, uint8_t ret_der[IFAB_PEM__DER_MAX], size_t *ret_size)
{
    uint8_t base64[IFAB_PEM__DER_MAX / 3 * 4 + 4];
    size_t size = 0;
    bool good = false;

    text = ifab_crypto__trim(text);
    if (text.size > IFAB_CRYPTO__TEXT_MAX || !take_line(&text, "-----BEGIN ", label))
        return false;
    for (; text.size > 0 && text.data[0] != '-'; text.data++, text.size--) {
        if (is_blank(text.data[0]))
            continue;
        if (size == sizeof base64)
            break;
        base64[size++] = text.data[0];
    }
    if (take_line(&text, "-----END ", label) && text.size == 0)
        good = ifab_base64_decode(ifab_view_of(base64, size), ret_der, IFAB_PEM__DER_MAX, ret_size) == IFAB_OK;
    ifab_wipe(base64, sizeof base64);
    return good;
}

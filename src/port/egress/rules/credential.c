/* Secrets into header fields and query parameters. Every byte of a secret stands in the caller's storage or is wiped here. */
#include "egress/credential.h"

#include "base/mem.h"
#include "credential_internal.h"
#include "crypto/crypto.h"
#include "egress/leak.h"

#define ROW(name_, text) [IFAB_CREDENTIAL_##name_] = text,
static const char *const names[] = {"none", IFAB_CREDENTIAL_MAP(ROW)};
#undef ROW
const char *ifab_credential_as_name(enum ifab_credential_as as) { return names[(size_t)as < IFAB_COUNT(names) ? as : 0]; }
bool ifab_credential_as_parse(struct ifab_view text, enum ifab_credential_as *ret_as)
{
    for (size_t i = 1; i < IFAB_COUNT(names); i++) {
        if (ifab_view_is(text, names[i])) {
            *ret_as = (enum ifab_credential_as)i;
            return true;
        }
    }
    return false;
}

static bool word_valid(struct ifab_view text)
{
    if (text.size == 0 || text.size > 64)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i], low = c | 0x20;
        if (!(low >= 'a' && low <= 'z') && !(c >= '0' && c <= '9') && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}
bool ifab_credential__scope(struct ifab_view field, struct ifab_view *ret_region, struct ifab_view *ret_service)
{
    size_t slash = 0;
    while (slash < field.size && field.data[slash] != '/')
        slash++;
    *ret_region = ifab_view_of(field.data, slash);
    *ret_service = slash < field.size ? ifab_view_of(field.data + slash + 1, field.size - slash - 1) : (struct ifab_view){NULL, 0};
    return word_valid(*ret_region) && word_valid(*ret_service);
}
bool ifab_credential_field_valid(enum ifab_credential_as as, struct ifab_view field)
{
    struct ifab_view region, service;
    switch (as) {
    case IFAB_CREDENTIAL_HEADER:
    case IFAB_CREDENTIAL_HMAC:
        return ifab_egress_header_name_valid(field) && field.size <= 64 &&
               (!ifab_egress_header_is_ours(field) || ifab_view_equal_nocase(field, IFAB_VIEW("authorization")) ||
                ifab_view_equal_nocase(field, IFAB_VIEW("x-vault-token")));
    case IFAB_CREDENTIAL_QUERY:
        return word_valid(field);
    case IFAB_CREDENTIAL_SIGV4:
        return ifab_credential__scope(field, &region, &service);
    case IFAB_CREDENTIAL_BEARER:
    case IFAB_CREDENTIAL_BASIC:
        return field.size == 0;
    case IFAB_CREDENTIAL_NONE:
        break;
    }
    return false;
}

struct ifab_view ifab_credential__since(const struct ifab_buf *buf, size_t begin) { return ifab_view_of(buf->data + begin, buf->size - begin); }

void ifab_credential__header(struct ifab_injection *to, struct ifab_view name, struct ifab_view value)
{
    to->headers[to->header_count++] = (struct ifab_egress_header){name, value};
}
void ifab_credential__percent(struct ifab_buf *buf, struct ifab_view bytes, bool keep_slash)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < bytes.size; i++) {
        uint8_t c = bytes.data[i], low = c | 0x20;
        if ((low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~' || (keep_slash && c == '/')) {
            ifab_buf_char(buf, (char)c);
        } else {
            ifab_buf_char(buf, '%');
            ifab_buf_char(buf, digits[c >> 4]);
            ifab_buf_char(buf, digits[c & 15]);
        }
    }
}
/* A copy inside storage: views of the injection must not point into what is only lent. */
static struct ifab_view kept(struct ifab_buf *storage, struct ifab_view bytes)
{
    size_t begin = storage->size;
    ifab_buf_view(storage, bytes);
    return ifab_credential__since(storage, begin);
}

static ifab_status inject_basic(struct ifab_view secret, struct ifab_buf *storage, struct ifab_injection *to, struct ifab_error *err)
{
    const uint8_t *colon = memchr(secret.data, ':', secret.size);
    size_t begin = storage->size;
    if (colon == NULL)
        return ifab_fail(err, IFAB_INVALID, "credential: basic needs USER:PASSWORD");
    ifab_buf_str(storage, "Basic ");
    ifab_buf_base64(storage, secret.data, secret.size);
    ifab_credential__header(to, IFAB_VIEW("Authorization"), ifab_credential__since(storage, begin));
    struct ifab_view all = kept(storage, secret), sent = to->headers[to->header_count - 1].value;
    to->values[to->value_count++] = ifab_view_of(sent.data + 6, sent.size - 6); /* as it is sent: it may come back encoded once more */
    size_t user = (size_t)(colon - secret.data) + 1;
    to->values[to->value_count++] = all;
    if (all.size - user >= IFAB_LEAK_VALUE_MIN)
        to->values[to->value_count++] = ifab_view_of(all.data + user, all.size - user);
    return IFAB_OK;
}
static void inject_hmac(struct ifab_view field, struct ifab_view secret, const struct ifab_signable *request, struct ifab_buf *storage,
                        struct ifab_injection *to)
{
    uint8_t mac32[32], digest32[32];
    struct ifab_buf text = IFAB_BUF_INIT(IFAB_URL_MAX + 1024);
    ifab_sha256(request->body, digest32);
    ifab_buf_str(&text, ifab_egress_method_name(request->method));
    ifab_buf_char(&text, '\n');
    ifab_origin_write_host(&request->url->origin, &text);
    ifab_buf_char(&text, '\n');
    ifab_buf_view(&text, request->url->path);
    if (request->url->has_query) {
        ifab_buf_char(&text, '?');
        ifab_buf_view(&text, request->url->query);
    }
    ifab_buf_char(&text, '\n');
    ifab_buf_i64(&text, request->wall / IFAB_SECOND);
    ifab_buf_char(&text, '\n');
    ifab_buf_hex(&text, digest32, sizeof digest32);
    ifab_hmac_sha256(secret, ifab_buf_as_view(&text), mac32);
    if (ifab_buf_status(&text) != IFAB_OK)
        storage->failed = ifab_buf_status(&text); /* never a MAC over half a text */
    ifab_buf_fini(&text);
    size_t begin = storage->size;
    ifab_buf_hex(storage, mac32, sizeof mac32);
    ifab_credential__header(to, field, ifab_credential__since(storage, begin));
    begin = storage->size;
    ifab_buf_view(storage, field);
    ifab_buf_str(storage, "-Timestamp");
    struct ifab_view name = ifab_credential__since(storage, begin);
    begin = storage->size;
    ifab_buf_i64(storage, request->wall / IFAB_SECOND);
    ifab_credential__header(to, name, ifab_credential__since(storage, begin));
    to->values[to->value_count++] = kept(storage, secret);
}
static void inject_text(enum ifab_credential_as as, struct ifab_view field, struct ifab_view secret, struct ifab_buf *storage,
                        struct ifab_injection *to)
{
    size_t begin = storage->size;
    if (as == IFAB_CREDENTIAL_QUERY) {
        ifab_buf_view(storage, field);
        ifab_buf_char(storage, '=');
        ifab_credential__percent(storage, secret, false);
        to->query = ifab_credential__since(storage, begin);
    } else {
        if (as == IFAB_CREDENTIAL_BEARER)
            ifab_buf_str(storage, "Bearer ");
        ifab_buf_view(storage, secret);
        ifab_credential__header(to, as == IFAB_CREDENTIAL_BEARER ? IFAB_VIEW("Authorization") : field, ifab_credential__since(storage, begin));
    }
    to->values[to->value_count++] = kept(storage, secret);
}

ifab_status ifab_credential_inject(enum ifab_credential_as as, struct ifab_view field, struct ifab_view secret, const struct ifab_signable *request,
                                   struct ifab_buf *storage, struct ifab_injection *ret_injection, struct ifab_error *err)
{
    struct ifab_injection to = {.header_count = 0};
    if (ifab_credential_is_challenge(as, field))
        return ifab_fail(err, IFAB_INVALID, "credential: the secret answers a challenge and goes into no request");
    if (!ifab_credential_field_valid(as, field))
        return ifab_fail(err, IFAB_INVALID, "credential: as %s: the field is not as it must be", ifab_credential_as_name(as));
    if (secret.size < IFAB_LEAK_VALUE_MIN || secret.size > IFAB_CREDENTIAL_SECRET_MAX)
        return ifab_fail(err, IFAB_INVALID, "credential: a secret has %d to %d bytes", IFAB_LEAK_VALUE_MIN, IFAB_CREDENTIAL_SECRET_MAX);
    bool as_it_is = as == IFAB_CREDENTIAL_HEADER || as == IFAB_CREDENTIAL_BEARER;
    if (as_it_is && (!ifab_egress_header_value_valid(secret) || (as == IFAB_CREDENTIAL_BEARER && memchr(secret.data, ' ', secret.size) != NULL)))
        return ifab_fail(err, IFAB_INVALID, "credential: the secret holds a byte that no header can carry (a line break at its end?)");
    /* once, so that no view of the injection ever moves */
    IFAB_TRY(ifab_buf_reserve(storage, IFAB_CREDENTIAL_STORAGE - 1024));
    switch (as) {
    case IFAB_CREDENTIAL_HEADER:
    case IFAB_CREDENTIAL_BEARER:
    case IFAB_CREDENTIAL_QUERY:
        inject_text(as, field, secret, storage, &to);
        break;
    case IFAB_CREDENTIAL_BASIC:
        IFAB_TRY(inject_basic(secret, storage, &to, err));
        break;
    case IFAB_CREDENTIAL_HMAC:
        inject_hmac(field, secret, request, storage, &to);
        break;
    case IFAB_CREDENTIAL_SIGV4:
        IFAB_TRY(ifab_credential__sigv4(field, secret, request, storage, &to, err));
        break;
    case IFAB_CREDENTIAL_NONE:
        break;
    }
    if (ifab_buf_status(storage) != IFAB_OK)
        return ifab_fail(err, ifab_buf_status(storage), "credential");
    *ret_injection = to;
    return IFAB_OK;
}

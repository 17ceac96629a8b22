/*
 * AWS Signature Version 4 ("Authenticating Requests", Amazon S3 API reference; "Create a signed AWS API request", IAM user guide).
 * S3 wants x-amz-content-sha256 and its path encoded once; other services their path encoded twice.
 */
#include "base/mem.h"
#include "credential_internal.h"
#include "crypto/crypto.h"

#include <stdlib.h>

#define PARAMETERS_MAX 256
#define SIGNED_MAX     (IFAB_EGRESS_HEADERS_MAX + 5)

struct parameter {
    struct ifab_view name, value; /* encoded */
};

static int hex_value(uint8_t c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; }
/* Appends text with its %HH decoded; the escapes have been checked. */
static void decode(struct ifab_view text, struct ifab_buf *to)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c == '%' && i + 2 < text.size) {
            c = (uint8_t)(hex_value(text.data[i + 1]) * 16 + hex_value(text.data[i + 2]));
            i += 2;
        }
        ifab_buf_put(to, &c, 1);
    }
}
static void encode_again(struct ifab_view text, bool keep_slash, struct ifab_buf *to)
{
    struct ifab_buf plain = IFAB_BUF_INIT(IFAB_URL_MAX);
    decode(text, &plain);
    ifab_credential__percent(to, ifab_buf_as_view(&plain), keep_slash);
    if (ifab_buf_status(&plain) != IFAB_OK)
        to->failed = ifab_buf_status(&plain);
    ifab_buf_fini(&plain);
}
static void canonical_path(struct ifab_view path, bool twice, struct ifab_buf *to)
{
    struct ifab_buf once = IFAB_BUF_INIT((size_t)4 * IFAB_URL_MAX);
    encode_again(path, true, twice ? &once : to);
    if (twice) {
        ifab_credential__percent(to, ifab_buf_as_view(&once), true);
        if (ifab_buf_status(&once) != IFAB_OK)
            to->failed = ifab_buf_status(&once);
    }
    ifab_buf_fini(&once);
}

static int by_name_and_value(const void *a, const void *b)
{
    const struct parameter *x = a, *y = b;
    int order = ifab_view_compare(x->name, y->name);
    return order != 0 ? order : ifab_view_compare(x->value, y->value);
}
/* Each name and value encoded anew, in order of what that gives. */
static void canonical_query(struct ifab_view query, struct ifab_buf *to)
{
    struct parameter parameters[PARAMETERS_MAX];
    struct ifab_buf text = IFAB_BUF_INIT((size_t)4 * IFAB_URL_MAX);
    size_t count = 0, begin = 0;
    if (ifab_buf_reserve(&text, (size_t)3 * IFAB_URL_MAX) != IFAB_OK) /* once: views into it stay */
        to->failed = IFAB_NOMEM;
    for (size_t i = 0; i <= query.size && to->failed == IFAB_OK; i++) {
        if (i < query.size && query.data[i] != '&')
            continue;
        struct ifab_view part = ifab_view_of(query.data + begin, i - begin);
        begin = i + 1;
        if (part.size == 0)
            continue;
        if (count == PARAMETERS_MAX) {
            to->failed = IFAB_TOO_LARGE;
            break;
        }
        size_t equal = 0, at = text.size;
        while (equal < part.size && part.data[equal] != '=')
            equal++;
        encode_again(ifab_view_of(part.data, equal), false, &text);
        parameters[count].name = ifab_credential__since(&text, at);
        at = text.size;
        if (equal < part.size)
            encode_again(ifab_view_of(part.data + equal + 1, part.size - equal - 1), false, &text);
        parameters[count++].value = ifab_credential__since(&text, at);
    }
    qsort(parameters, count, sizeof parameters[0], by_name_and_value);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            ifab_buf_char(to, '&');
        ifab_buf_view(to, parameters[i].name);
        ifab_buf_char(to, '=');
        ifab_buf_view(to, parameters[i].value);
    }
    if (ifab_buf_status(&text) != IFAB_OK)
        to->failed = ifab_buf_status(&text);
    ifab_buf_fini(&text);
}

static void lower(struct ifab_view name, struct ifab_buf *to)
{
    for (size_t i = 0; i < name.size; i++)
        ifab_buf_char(to, (char)(name.data[i] >= 'A' && name.data[i] <= 'Z' ? name.data[i] | 0x20 : name.data[i]));
}
static void trimmed(struct ifab_view value, struct ifab_buf *to) /* runs of spaces become one; ends have none */
{
    for (size_t i = 0; i < value.size; i++) {
        bool space = value.data[i] == ' ' || value.data[i] == '\t';
        if (!space)
            ifab_buf_char(to, (char)value.data[i]);
        else if (i > 0 && value.data[i - 1] != ' ' && value.data[i - 1] != '\t')
            ifab_buf_char(to, ' ');
    }
}
static void signed_names(const struct ifab_egress_header *sorted, size_t count, struct ifab_buf *to)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            ifab_buf_char(to, ';');
        lower(sorted[i].name, to);
    }
}
void ifab_sigv4_canonical(const struct ifab_signable *request, const struct ifab_egress_header *sorted, size_t count, bool encode_path_again,
                          struct ifab_view payload_hash, struct ifab_buf *text)
{
    ifab_buf_str(text, ifab_egress_method_name(request->method));
    ifab_buf_char(text, '\n');
    canonical_path(request->url->path, encode_path_again, text);
    ifab_buf_char(text, '\n');
    canonical_query(request->url->query, text);
    ifab_buf_char(text, '\n');
    for (size_t i = 0; i < count; i++) {
        lower(sorted[i].name, text);
        ifab_buf_char(text, ':');
        trimmed(sorted[i].value, text);
        ifab_buf_char(text, '\n');
    }
    ifab_buf_char(text, '\n');
    signed_names(sorted, count, text);
    ifab_buf_char(text, '\n');
    ifab_buf_view(text, payload_hash);
}

/* In order of the lower-cased names. */
static int compare_names(struct ifab_view a, struct ifab_view b)
{
    for (size_t i = 0; i < a.size && i < b.size; i++) {
        int x = a.data[i] >= 'A' && a.data[i] <= 'Z' ? a.data[i] | 0x20 : a.data[i];
        int y = b.data[i] >= 'A' && b.data[i] <= 'Z' ? b.data[i] | 0x20 : b.data[i];
        if (x != y)
            return x - y;
    }
    return a.size < b.size ? -1 : a.size > b.size;
}
static int by_header_name(const void *a, const void *b)
{
    return compare_names(((const struct ifab_egress_header *)a)->name, ((const struct ifab_egress_header *)b)->name);
}

struct pieces {
    struct ifab_view id, key, session, region, service;
    char time[17]; /* 20130524T000000Z */
};
static ifab_status cut(struct ifab_view field, struct ifab_view secret, ifab_usec wall, struct pieces *ret, struct ifab_error *err)
{
    struct pieces p = {.session = {NULL, 0}};
    size_t first = 0, second;
    char text[25];
    (void)ifab_credential__scope(field, &p.region, &p.service);
    while (first < secret.size && secret.data[first] != ':')
        first++;
    for (second = first + 1; second < secret.size && secret.data[second] != ':'; second++)
        ;
    p.id = ifab_view_of(secret.data, first);
    if (first < secret.size)
        p.key = ifab_view_of(secret.data + first + 1, second - first - 1);
    if (second < secret.size)
        p.session = ifab_view_of(secret.data + second + 1, secret.size - second - 1);
    if (p.id.size == 0 || p.id.size > 128 || p.key.size < 16 || p.key.size > 128 || !ifab_egress_header_name_valid(p.id) ||
        !ifab_egress_header_value_valid(p.session) || (second < secret.size && p.session.size < 16))
        return ifab_fail(err, IFAB_INVALID, "credential: sigv4 needs ID:KEY or ID:KEY:SESSION");
    ifab_time_format(wall, text); /* 2013-05-24T00:00:00.000Z */
    static const uint8_t take[] = {0, 1, 2, 3, 5, 6, 8, 9, 10, 11, 12, 14, 15, 17, 18, 23};
    for (size_t i = 0; i < sizeof take; i++)
        p.time[i] = text[take[i]];
    *ret = p;
    return IFAB_OK;
}
/* HMAC(HMAC(HMAC(HMAC("AWS4" key, date), region), service), "aws4_request") */
static void signing_key(const struct pieces *p, uint8_t ret_key32[32])
{
    uint8_t first[4 + 128] = {'A', 'W', 'S', '4'};
    memcpy(first + 4, p->key.data, p->key.size);
    ifab_hmac_sha256(ifab_view_of(first, 4 + p->key.size), ifab_view_of(p->time, 8), ret_key32);
    ifab_wipe(first, sizeof first);
    const struct ifab_view steps[] = {p->region, p->service, IFAB_VIEW("aws4_request")};
    for (size_t i = 0; i < IFAB_COUNT(steps); i++) {
        uint8_t next32[32];
        ifab_hmac_sha256(ifab_view_of(ret_key32, 32), steps[i], next32);
        memcpy(ret_key32, next32, 32);
        ifab_wipe(next32, sizeof next32);
    }
}
static void scope_write(const struct pieces *p, struct ifab_buf *to)
{
    ifab_buf_put(to, p->time, 8);
    ifab_buf_char(to, '/');
    ifab_buf_view(to, p->region);
    ifab_buf_char(to, '/');
    ifab_buf_view(to, p->service);
    ifab_buf_str(to, "/aws4_request");
}
static ifab_status sign(const struct pieces *p, struct ifab_view canonical, uint8_t ret_mac32[32])
{
    uint8_t digest32[32], key32[32];
    struct ifab_buf text = IFAB_BUF_INIT(1024);
    ifab_sha256(canonical, digest32);
    ifab_buf_str(&text, "AWS4-HMAC-SHA256\n");
    ifab_buf_str(&text, p->time);
    ifab_buf_char(&text, '\n');
    scope_write(p, &text);
    ifab_buf_char(&text, '\n');
    ifab_buf_hex(&text, digest32, sizeof digest32);
    signing_key(p, key32);
    ifab_hmac_sha256(ifab_view_of(key32, 32), ifab_buf_as_view(&text), ret_mac32);
    ifab_status status = ifab_buf_status(&text); /* never a signature of half a text */
    ifab_buf_fini(&text);
    ifab_wipe(key32, sizeof key32);
    return status;
}

static struct ifab_view stored(struct ifab_buf *storage, struct ifab_view bytes)
{
    size_t begin = storage->size;
    ifab_buf_view(storage, bytes);
    return ifab_credential__since(storage, begin);
}
ifab_status ifab_credential__sigv4(struct ifab_view field, struct ifab_view secret, const struct ifab_signable *request, struct ifab_buf *storage,
                                   struct ifab_injection *to, struct ifab_error *err)
{
    struct pieces p;
    struct ifab_egress_header all[SIGNED_MAX];
    uint8_t digest32[32], mac32[32];
    size_t count = 0, begin = storage->size;
    IFAB_TRY(cut(field, secret, request->wall, &p, err));
    if (request->header_count > IFAB_EGRESS_HEADERS_MAX)
        return ifab_fail(err, IFAB_TOO_LARGE, "credential: too many header fields to sign");
    if (request->url->query.size > 0 && memchr(request->url->query.data, '+', request->url->query.size) != NULL)
        return ifab_fail(err, IFAB_INVALID, "credential: sigv4: write %%20 or %%2B in the query, a bare + is read in two ways");
    bool s3 = ifab_view_is(p.service, "s3");
    ifab_origin_write_host(&request->url->origin, storage);
    all[count++] = (struct ifab_egress_header){IFAB_VIEW("host"), ifab_credential__since(storage, begin)};
    ifab_credential__header(to, IFAB_VIEW("X-Amz-Date"), stored(storage, ifab_view_str(p.time)));
    begin = storage->size;
    ifab_sha256(request->body, digest32);
    ifab_buf_hex(storage, digest32, sizeof digest32);
    struct ifab_view payload = ifab_credential__since(storage, begin);
    if (s3)
        ifab_credential__header(to, IFAB_VIEW("X-Amz-Content-Sha256"), payload);
    if (p.session.size > 0)
        ifab_credential__header(to, IFAB_VIEW("X-Amz-Security-Token"), stored(storage, p.session));
    for (size_t i = 0; i < to->header_count; i++)
        all[count++] = to->headers[i];
    for (size_t i = 0; i < request->header_count; i++)
        all[count++] = request->headers[i];
    qsort(all, count, sizeof all[0], by_header_name);

    struct ifab_buf canonical = IFAB_BUF_INIT((size_t)16 * IFAB_URL_MAX);
    ifab_sigv4_canonical(request, all, count, !s3, payload, &canonical);
    ifab_status status = ifab_buf_status(&canonical);
    if (status == IFAB_OK)
        status = sign(&p, ifab_buf_as_view(&canonical), mac32);
    ifab_wipe(canonical.data, canonical.size); /* the session stands in it */
    ifab_buf_fini(&canonical);
    if (status != IFAB_OK)
        return ifab_fail(err, status, "credential: sigv4");

    begin = storage->size;
    ifab_buf_str(storage, "AWS4-HMAC-SHA256 Credential=");
    ifab_buf_view(storage, p.id);
    ifab_buf_char(storage, '/');
    scope_write(&p, storage);
    ifab_buf_str(storage, ", SignedHeaders=");
    signed_names(all, count, storage);
    ifab_buf_str(storage, ", Signature=");
    ifab_buf_hex(storage, mac32, sizeof mac32);
    ifab_credential__header(to, IFAB_VIEW("Authorization"), ifab_credential__since(storage, begin));
    to->values[to->value_count++] = stored(storage, p.key);
    if (p.session.size > 0)
        to->values[to->value_count++] = stored(storage, p.session);
    return IFAB_OK;
}

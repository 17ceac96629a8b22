/* What policy asks of a message, derived before the step: hazards as bits, secrets, sources as digests of registrable domains (public suffix list). */
#include <libpsl.h>
#include <string.h>

#include "admit_internal.h"
#include "crypto/crypto.h"
#include "redact/redact.h"

static const psl_ctx_t *suffixes;

ifab_status ifab_admit_init(struct ifab_error *err)
{
    suffixes = psl_builtin();
    if (suffixes == NULL)
        return ifab_fail(err, IFAB_INTERNAL, "libpsl was built without its list");
    return IFAB_OK;
}

void ifab_admit_fini(void) { suffixes = NULL; }

/* host of scheme://[user@]host[:port][/?#…]; brackets of IPv6 kept. */
static struct ifab_view host_of(struct ifab_view url)
{
    static const struct ifab_view none = {NULL, 0};
    const uint8_t *sep = url.size >= 3 ? memmem(url.data, url.size, "://", 3) : NULL;
    if (sep == NULL)
        return none;
    struct ifab_view rest = ifab_view_of(sep + 3, (size_t)(url.data + url.size - (sep + 3)));
    for (size_t i = 0; i < rest.size; i++)
        if (strchr("/?#\\", rest.data[i]) != NULL)
            rest.size = i;
    const uint8_t *at = rest.size > 0 ? memrchr(rest.data, '@', rest.size) : NULL;
    if (at != NULL)
        rest = ifab_view_of(at + 1, (size_t)(rest.data + rest.size - (at + 1)));
    const uint8_t *bracket = rest.size > 0 && rest.data[0] == '[' ? memchr(rest.data, ']', rest.size) : NULL;
    const uint8_t *colon = rest.size > 0 ? memrchr(rest.data, ':', rest.size) : NULL;
    if (bracket != NULL)
        rest.size = (size_t)(bracket - rest.data) + 1;
    else if (colon != NULL)
        rest.size = (size_t)(colon - rest.data);
    while (rest.size > 0 && rest.data[rest.size - 1] == '.')
        rest.size--;
    return rest;
}

struct ifab_view ifab_admit_domain(struct ifab_view url, struct ifab_arena *arena)
{
    struct ifab_view host = host_of(url);
    if (host.size == 0 || host.size > 253)
        return (struct ifab_view){NULL, 0};
    char *text = ifab_arena_alloc(arena, host.size + 1);
    if (text == NULL)
        return (struct ifab_view){NULL, 0};
    for (size_t i = 0; i < host.size; i++)
        text[i] = (char)(host.data[i] >= 'A' && host.data[i] <= 'Z' ? host.data[i] + 32 : host.data[i]);
    text[host.size] = '\0';
    const char *domain = suffixes == NULL || strspn(text, "0123456789.") == host.size ? NULL : psl_registrable_domain(suffixes, text);
    return ifab_view_str(domain != NULL ? domain : text);
}

static void digest16(const uint8_t key16[16], char kind, struct ifab_view bytes, struct ifab_arena *arena, uint8_t ret16[16])
{
    uint8_t *joined = ifab_arena_alloc(arena, bytes.size + 1);
    memset(ret16, 0, 16);
    if (joined == NULL)
        return;
    joined[0] = (uint8_t)kind;
    memcpy(joined + 1, bytes.data, bytes.size);
    ifab_tag16(key16, ifab_view_of(joined, bytes.size + 1), ret16);
}

void ifab_admit_facts(const struct ifab_envelope *envelope, const uint8_t tag_key16[16], struct ifab_arena *arena, struct ifab_guard_facts *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->is_claim = ifab_envelope_is_claim(envelope);
    ret->has_scope = envelope->has_scope;
    ret->has_confidence = envelope->has_confidence;
    ret->confidence = envelope->confidence;
    ret->has_claim_id = envelope->has_claim_id;
    ret->second_source_kind = envelope->performative == IFAB_PERFORMATIVE_INFORM || envelope->performative == IFAB_PERFORMATIVE_AGREE;
    for (size_t i = 0; i < envelope->hazard_count; i++)
        ret->hazards |= ifab_hazard_parse(envelope->hazards[i]);
    if (envelope->has_claim_id)
        digest16(tag_key16, 'c', envelope->claim_id, arena, ret->claim_key16);
    memcpy(ret->scope_digest32, envelope->scope_digest32, 32);
    for (size_t i = 0; i < envelope->evidence_count; i++) {
        const struct ifab_evidence *item = &envelope->evidence[i];
        struct ifab_view domain = ifab_admit_domain(item->url, arena);
        if (domain.size > 0)
            digest16(tag_key16, 'd', domain, arena, ret->domains[ret->domain_count++]);
        else if (item->url.size > 0) /* no host: the whole text is the source */
            digest16(tag_key16, 'd', item->url, arena, ret->domains[ret->domain_count++]);
        if (item->hash.size > 0)
            digest16(tag_key16, 'h', item->hash, arena, ret->hashes[ret->hash_count++]);
    }
    const struct ifab_json *content = ifab_json_get(envelope->tree, "content");
    ret->secret_found = content == NULL || ifab_redact_hits_json(content);
}

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

/* false: out of memory. An address, with or without brackets, is its own domain; so is a name that has no registrable one. */
static bool domain_of(struct ifab_view url, struct ifab_arena *arena, struct ifab_view *ret_domain)
{
    struct ifab_view host = host_of(url);
    *ret_domain = (struct ifab_view){NULL, 0};
    if (host.size == 0 || host.size > 253)
        return true;
    char *text = ifab_arena_alloc(arena, host.size + 1);
    if (text == NULL)
        return false;
    for (size_t i = 0; i < host.size; i++)
        text[i] = (char)(host.data[i] >= 'A' && host.data[i] <= 'Z' ? host.data[i] + 32 : host.data[i]);
    text[host.size] = '\0';
    bool address = text[0] == '[' || strspn(text, "0123456789.") == host.size;
    const char *domain = suffixes == NULL || address ? NULL : psl_registrable_domain(suffixes, text);
    *ret_domain = ifab_view_str(domain != NULL ? domain : text);
    return true;
}

struct ifab_view ifab_admit_domain(struct ifab_view url, struct ifab_arena *arena)
{
    struct ifab_view domain;
    (void)domain_of(url, arena, &domain);
    return domain;
}

static bool digest16(const uint8_t key16[16], char kind, struct ifab_view bytes, struct ifab_arena *arena, uint8_t ret16[16])
{
    uint8_t *joined = ifab_arena_alloc(arena, bytes.size + 1);
    if (joined == NULL)
        return false;
    joined[0] = (uint8_t)kind;
    memcpy(joined + 1, bytes.data, bytes.size);
    ifab_tag16(key16, ifab_view_of(joined, bytes.size + 1), ret16);
    return true;
}

/* Where an evidence item comes from: the domain of its URL, or the whole text of one without a host; and its hash. */
static bool add_sources(struct ifab_evidence *item, const uint8_t tag_key16[16], struct ifab_arena *arena, struct ifab_guard_facts *facts)
{
    struct ifab_view domain;
    if (!domain_of(item->url, arena, &domain))
        return false;
    item->domain = domain;
    if (domain.size == 0)
        domain = item->url;
    if (domain.size > 0 && !digest16(tag_key16, 'd', domain, arena, facts->domains[facts->domain_count++]))
        return false;
    return item->hash.size == 0 || digest16(tag_key16, 'h', item->hash, arena, facts->hashes[facts->hash_count++]);
}

bool ifab_admit_facts(struct ifab_envelope *envelope, const uint8_t tag_key16[16], struct ifab_arena *arena, struct ifab_guard_facts *ret)
{
    bool good = true;
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
        good = digest16(tag_key16, 'c', envelope->claim_id, arena, ret->claim_key16);
    memcpy(ret->scope_digest32, envelope->scope_digest32, 32);
    for (size_t i = 0; i < envelope->evidence_count && good; i++)
        good = add_sources(&envelope->evidence[i], tag_key16, arena, ret);
    const struct ifab_json *content = ifab_json_get(envelope->tree, "content");
    ret->secret_found = !good || content == NULL || ifab_redact_hits_json(content);
    return good;
}

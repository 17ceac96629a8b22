/* A plan as bytes: its record, and what its hash covers. */
#include "base/encode.h"
#include "base/id.h"
#include "capability/plan.h"
#include "crypto/crypto.h"
#include "json/json.h"

#include <string.h>

#define PLAN_FORMAT 1
#define MONEY_MAX ((uint64_t)9007199254740991)

const char *ifab_plan_state_name(enum ifab_plan_state state)
{
#define IFAB_C_(name, text) text,
    static const char *const names[] = {IFAB_PLAN_STATE_MAP(IFAB_C_)};
#undef IFAB_C_
    return (size_t)state < IFAB_PLAN_STATE_COUNT ? names[state] : "unknown";
}

size_t ifab_plan_pack(const struct ifab_plan *p, uint8_t bytes[IFAB_PLAN_PACKED_MAX])
{
    uint8_t *at = bytes;
    ifab_put_u8(&at, PLAN_FORMAT);
    ifab_put_u8(&at, (uint8_t)p->state);
    ifab_put_u8(&at, (uint8_t)((p->approved ? 1 : 0) | (p->idempotent ? 2 : 0)));
    ifab_put_u8(&at, p->effect);
    ifab_put_u32(&at, p->talent);
    ifab_put_u32(&at, p->votes);
    ifab_put_bytes(&at, p->id16, 16);
    ifab_put_bytes(&at, p->hash32, 32);
    ifab_put_bytes(&at, p->manifest32, 32);
    ifab_put_bytes(&at, p->policy32, 32);
    ifab_put_bytes(&at, p->trace16, 16);
    ifab_put_bytes(&at, p->message32, 32);
    ifab_put_bytes(&at, p->message16, 16);
    const uint64_t numbers[] = {(uint64_t)p->created, (uint64_t)p->expires, p->index, p->intent, (uint64_t)p->started, p->reservation,
                                p->usd_micro, p->tokens, p->calls};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        ifab_put_u64(&at, numbers[i]);
    ifab_put_u8(&at, (uint8_t)p->capability.size);
    ifab_put_bytes(&at, p->capability.data, p->capability.size);
    ifab_put_u8(&at, (uint8_t)p->operation.size);
    ifab_put_bytes(&at, p->operation.data, p->operation.size);
    ifab_put_u32(&at, (uint32_t)p->params.size);
    ifab_put_bytes(&at, p->params.data, p->params.size);
    return (size_t)(at - bytes);
}

static void get_into(struct ifab_reader *r, uint8_t *to, size_t size)
{
    struct ifab_view v = ifab_get_bytes(r, size);
    if (!r->bad)
        memcpy(to, v.data, size);
}

static bool plausible(const struct ifab_plan *p, unsigned flags)
{
    return p->state < IFAB_PLAN_STATE_COUNT && flags <= 3 && p->talent > 0 && p->created >= 0 && p->expires >= p->created && p->usd_micro <= MONEY_MAX &&
           p->tokens <= MONEY_MAX && p->calls <= MONEY_MAX && p->capability.size > 0 && p->operation.size > 0 && p->operation.size <= IFAB_NAME_MAX &&
           p->params.size > 0 && p->params.size <= IFAB_PLAN_PARAMS_MAX;
}

bool ifab_plan_unpack(struct ifab_view bytes, uint64_t number, struct ifab_plan *p)
{
    struct ifab_reader r = {bytes.data, bytes.data + bytes.size, false};
    *p = (struct ifab_plan){.number = number};
    unsigned format = ifab_get_u8(&r), state = ifab_get_u8(&r), flags = ifab_get_u8(&r);
    p->state = (enum ifab_plan_state)state;
    p->approved = (flags & 1) != 0;
    p->idempotent = (flags & 2) != 0;
    p->effect = ifab_get_u8(&r);
    p->talent = ifab_get_u32(&r);
    p->votes = ifab_get_u32(&r);
    get_into(&r, p->id16, 16);
    get_into(&r, p->hash32, 32);
    get_into(&r, p->manifest32, 32);
    get_into(&r, p->policy32, 32);
    get_into(&r, p->trace16, 16);
    get_into(&r, p->message32, 32);
    get_into(&r, p->message16, 16);
    p->created = (ifab_usec)ifab_get_u64(&r);
    p->expires = (ifab_usec)ifab_get_u64(&r);
    p->index = ifab_get_u64(&r);
    p->intent = ifab_get_u64(&r);
    p->started = (ifab_usec)ifab_get_u64(&r);
    p->reservation = ifab_get_u64(&r);
    p->usd_micro = ifab_get_u64(&r);
    p->tokens = ifab_get_u64(&r);
    p->calls = ifab_get_u64(&r);
    p->capability = ifab_get_bytes(&r, ifab_get_u8(&r));
    p->operation = ifab_get_bytes(&r, ifab_get_u8(&r));
    p->params = ifab_get_bytes(&r, ifab_get_u32(&r));
    return !r.bad && r.at == r.end && format == PLAN_FORMAT && number > 0 && plausible(p, flags);
}

static void put_digest(struct ifab_buf *b, const uint8_t digest32[32])
{
    ifab_buf_str(b, "\"sha256:");
    ifab_buf_hex(b, digest32, 32);
    ifab_buf_char(b, '"');
}

/* Members in the order of RFC 8785; every text is written by the one canonical writer. */
ifab_status ifab_plan_hash(const struct ifab_plan *p, const struct ifab_plan_facts *facts, struct ifab_buf *b, uint8_t ret_hash32[32])
{
    static const char word[] = "IF-PLAN-v1\n";
    char id[37];
    size_t start = b->size;
    ifab_uuid_format(p->id16, id);
    ifab_buf_str(b, "{\"capability\":");
    ifab_json_put_string(b, p->capability);
    ifab_buf_format(b, ",\"cost\":{\"calls\":%llu,\"tokens\":%llu,\"usd_micro\":%llu},\"expires_at\":\"", (unsigned long long)p->calls,
                    (unsigned long long)p->tokens, (unsigned long long)p->usd_micro);
    ifab_buf_time(b, p->expires);
    ifab_buf_str(b, "\",\"log\":");
    ifab_json_put_string(b, facts->log);
    ifab_buf_str(b, ",\"manifest\":");
    put_digest(b, p->manifest32);
    ifab_buf_str(b, ",\"operation\":");
    ifab_json_put_string(b, p->operation);
    ifab_buf_str(b, ",\"params\":");
    ifab_buf_view(b, p->params);
    ifab_buf_format(b, ",\"plan_id\":\"plan-%s\",\"policy_digest\":", id);
    put_digest(b, p->policy32);
    ifab_buf_str(b, ",\"scopes\":[");
    for (size_t i = 0; i < facts->scope_count; i++) {
        ifab_buf_str(b, i > 0 ? "," : "");
        ifab_json_put_string(b, facts->scopes[i]);
    }
    ifab_buf_str(b, "],\"talent\":");
    ifab_json_put_string(b, facts->talent);
    ifab_buf_str(b, ",\"v\":1}");
    IFAB_TRY(ifab_buf_status(b));
    ifab_sha256_2(ifab_view_str(word), ifab_view_of(b->data + start, b->size - start), ret_hash32);
    return IFAB_OK;
}

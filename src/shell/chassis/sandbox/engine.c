/* What all engines share: counters of the running call, the phases of imports, texts, the first look at a module's bytes. */
#include "sandbox/engine.h"

void ifab_engine_run(struct ifab_engine *self, const struct ifab_engine_call *call, uint8_t *output, struct ifab_frame_result *ret)
{
    self->ticks = 0;
    self->stop = 0;
    self->deadline_ticks = (sig_atomic_t)((call->frame.deadline_ms + IFAB_ENGINE_TICK_MS - 1) / IFAB_ENGINE_TICK_MS);
    *ret = (struct ifab_frame_result){.trap = IFAB_TRAP_NONE};
    self->ops->call(self, call, output, ret);
    if (ret->fuel_used > call->frame.fuel || ret->trap == IFAB_TRAP_FUEL || ret->trap == IFAB_TRAP_DEADLINE)
        ret->fuel_used = call->frame.fuel;
}

void ifab_engine_tick(struct ifab_engine *self)
{
    self->ticks++; /* signal handlers of one thread alone write it; deadlines fit (IFAB_FRAME_DEADLINE_MAX) */
    self->ops->interrupt(self);
}

void ifab_engine_stop(struct ifab_engine *self)
{
    self->stop = 1;
    self->ops->interrupt(self);
}

static bool allowed(enum ifab_export export_, enum ifab_import import)
{
#define ROW(name, number, plan) [number] = (plan) != 0,
    static const bool in_plan[] = {IFAB_IMPORT_MAP(ROW)};
#undef ROW
    return import < IFAB_IMPORT_COUNT && (export_ == IFAB_EXPORT_APPLY || in_plan[import]);
}

/* The daemon is trusted, but a reply of another length than promised would be taken for bytes of the guest's. */
static bool length_fits(const struct ifab_frame_host_call *ask, size_t size)
{
    switch (ask->import) {
    case IFAB_IMPORT_log:
    case IFAB_IMPORT_kv_put:
        return size == 0;
    case IFAB_IMPORT_now:
        return size == 8;
    case IFAB_IMPORT_random:
        return size == ask->number;
    case IFAB_IMPORT_http:
    case IFAB_IMPORT_secret_ref:
    case IFAB_IMPORT_kv_get:
    case IFAB_IMPORT_COUNT:
        break;
    }
    return true;
}

enum ifab_trap ifab_engine_ask(const struct ifab_engine *self, const struct ifab_engine_call *call, const struct ifab_frame_host_call *ask,
                               uint32_t *count, struct ifab_frame_host_result *ret)
{
    if (*count < UINT32_MAX)
        ++*count;
    if (!allowed(call->frame.export_, ask->import) || *count > call->frame.host_calls_max)
        return IFAB_TRAP_HOST_DENIED;
    if (ifab_engine_due(self))
        return IFAB_TRAP_DEADLINE;
    *ret = (struct ifab_frame_host_result){.status = IFAB_HOST_REFUSED};
    ifab_status status = call->host(call->user, ask, ret);
    if (status != IFAB_OK)
        *ret = (struct ifab_frame_host_result){.status = status == IFAB_TOO_LARGE ? IFAB_HOST_TOO_LARGE : IFAB_HOST_REFUSED};
    if (ret->status == IFAB_HOST_DENIED || (ret->status == IFAB_HOST_OK && !length_fits(ask, ret->bytes.size)))
        return IFAB_TRAP_HOST_DENIED;
    return ret->status == IFAB_HOST_DEADLINE || ifab_engine_due(self) ? IFAB_TRAP_DEADLINE : IFAB_TRAP_NONE;
}

ifab_status ifab_engine_fail(struct ifab_engine_failure *to, enum ifab_load_error error, const char *text, size_t size)
{
    size_t kept = 0;
    to->error = error;
    for (size_t i = 0; i < size && kept < IFAB_FRAME_TEXT_MAX && text[i] != '\n' && text[i] != '\0'; i++)
        to->text[kept++] = text[i] >= 0x20 && text[i] <= 0x7e ? text[i] : '?';
    to->text[kept] = '\0';
    return IFAB_INVALID;
}

void ifab_engine_trap(struct ifab_frame_result *ret, enum ifab_trap trap, uint8_t *output, const char *text)
{
    size_t size = strnlen(text, IFAB_FRAME_TEXT_MAX);
    memcpy(output, text, size);
    ret->trap = trap;
    ret->output = ifab_view_of(output, size);
}

/* Unsigned LEB128 of at most 32 bits. */
static bool leb(struct ifab_reader *r, uint32_t *ret)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
        uint8_t byte = ifab_get_u8(r);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *ret = (uint32_t)value;
            return !r->bad && value <= UINT32_MAX;
        }
    }
    return false;
}

ifab_status ifab_engine_scan(struct ifab_view wasm, struct ifab_engine_failure *ret_failure)
{
#define FAIL(error, text) ifab_engine_fail(ret_failure, error, text, sizeof(text) - 1)
    enum { SECTION_START = 8 };
    static const uint8_t head[8] = {0, 'a', 's', 'm', 1, 0, 0, 0};
    if (!ifab_view_starts(wasm, ifab_view_of(head, sizeof head)))
        return FAIL(IFAB_LOAD_ERROR_MALFORMED, "not a WebAssembly 1 module");
    struct ifab_reader r = {wasm.data + sizeof head, wasm.data + wasm.size, false};
    while (r.at < r.end) {
        uint8_t id = ifab_get_u8(&r);
        uint32_t size = 0;
        if (!leb(&r, &size))
            return FAIL(IFAB_LOAD_ERROR_MALFORMED, "a section without a length");
        ifab_get_bytes(&r, size);
        if (r.bad)
            return FAIL(IFAB_LOAD_ERROR_MALFORMED, "a section longer than the module");
        if (id == SECTION_START)
            return FAIL(IFAB_LOAD_ERROR_START, "the module has a start function");
    }
    return IFAB_OK;
#undef FAIL
}

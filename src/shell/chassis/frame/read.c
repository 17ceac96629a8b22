/*
 * Frames, read. Invariants: 1. a head is judged before a byte of its payload is waited for; 2. a payload is taken whole or refused: what the
 * header does not describe does not exist; 3. nothing is copied.
 */
#include "frame/frame.h"

struct form {
    enum ifab_frame_from from;
    bool call, large;
};

static bool form_of(uint8_t type, struct form *ret)
{
#define FORM(name, number, daemon, call, large, text)                                                                \
    case number:                                                                                                     \
        *ret = (struct form){(daemon) ? IFAB_FRAME_FROM_DAEMON : IFAB_FRAME_FROM_WORKER, (call) != 0, (large) != 0}; \
        return true;
    switch (type) {
        IFAB_FRAME_MAP(FORM)
    default:
        return false;
    }
#undef FORM
}

static bool zeros(struct ifab_reader *r, unsigned count)
{
    uint8_t any = 0;
    while (count-- > 0)
        any |= ifab_get_u8(r);
    return any == 0;
}

static struct ifab_reader over(struct ifab_view bytes) { return (struct ifab_reader){bytes.data, bytes.data + bytes.size, false}; }

static struct ifab_view rest(struct ifab_reader *r) { return ifab_get_bytes(r, (size_t)(r->end - r->at)); }

static bool whole(const struct ifab_reader *r) { return !r->bad && r->at == r->end; }

ifab_status ifab_frame_read(enum ifab_frame_from from, struct ifab_view bytes, struct ifab_frame *ret, size_t *ret_size)
{
    if (bytes.size < IFAB_FRAME_HEAD) {
        *ret_size = IFAB_FRAME_HEAD;
        return IFAB_AGAIN;
    }
    struct ifab_reader r = over(bytes);
    size_t size = ifab_get_u32(&r);
    uint8_t type = ifab_get_u8(&r);
    struct form form;
    if (!zeros(&r, 3) || !form_of(type, &form) || form.from != from)
        return IFAB_INVALID;
    uint32_t call = ifab_get_u32(&r);
    if ((call != 0) != form.call)
        return IFAB_INVALID;
    if (size > (form.large ? IFAB_FRAME_LARGE_MAX : IFAB_FRAME_SMALL_MAX))
        return IFAB_TOO_LARGE;
    *ret_size = IFAB_FRAME_HEAD + size;
    if (bytes.size < *ret_size)
        return IFAB_AGAIN;
    *ret = (struct ifab_frame){(enum ifab_frame_type)type, call, ifab_get_bytes(&r, size)};
    return IFAB_OK;
}

ifab_status ifab_frame_load_read(const struct ifab_frame *frame, struct ifab_frame_load *ret)
{
    struct ifab_reader r = over(frame->payload);
    uint8_t kind = ifab_get_u8(&r);
    if (!zeros(&r, 3) || kind > IFAB_MODULE_ARTIFACT)
        return IFAB_INVALID;
    ret->kind = (enum ifab_module_kind)kind;
    ret->memory_pages = ifab_get_u32(&r);
    ret->table_elements = ifab_get_u32(&r);
    ret->slots = ifab_get_u32(&r);
    ret->imports = ifab_get_u32(&r);
    ret->cpu_seconds = ifab_get_u32(&r);
    if (r.bad)
        return IFAB_INVALID;
    ret->bytes = rest(&r);
    return ifab_frame_load_valid(ret) ? IFAB_OK : IFAB_INVALID;
}

ifab_status ifab_frame_call_read(const struct ifab_frame *frame, struct ifab_frame_call *ret)
{
    struct ifab_reader r = over(frame->payload);
    uint8_t export_ = ifab_get_u8(&r);
    if (!zeros(&r, 3) || export_ >= IFAB_EXPORT_COUNT)
        return IFAB_INVALID;
    ret->export_ = (enum ifab_export)export_;
    ret->deadline_ms = ifab_get_u32(&r);
    ret->output_max = ifab_get_u32(&r);
    ret->host_calls_max = ifab_get_u32(&r);
    ret->fuel = ifab_get_u64(&r);
    if (r.bad)
        return IFAB_INVALID;
    ret->input = rest(&r);
    return ifab_frame_call_valid(ret) ? IFAB_OK : IFAB_INVALID;
}

ifab_status ifab_frame_host_call_read(const struct ifab_frame *frame, struct ifab_frame_host_call *ret)
{
    struct ifab_reader r = over(frame->payload);
    uint8_t import = ifab_get_u8(&r);
    if (!zeros(&r, 3) || import >= IFAB_IMPORT_COUNT)
        return IFAB_INVALID;
    ret->import = (enum ifab_import)import;
    ret->number = ifab_get_u32(&r);
    ret->a = ifab_get_bytes(&r, ifab_get_u32(&r));
    ret->b = ifab_get_bytes(&r, ifab_get_u32(&r));
    return whole(&r) && ifab_frame_host_call_valid(ret) ? IFAB_OK : IFAB_INVALID;
}

ifab_status ifab_frame_host_result_read(const struct ifab_frame *frame, struct ifab_frame_host_result *ret)
{
    struct ifab_reader r = over(frame->payload);
    uint8_t status = ifab_get_u8(&r);
    if (!zeros(&r, 3) || r.bad || status >= IFAB_HOST_COUNT)
        return IFAB_INVALID;
    ret->status = (enum ifab_host_status)status;
    ret->bytes = rest(&r);
    return ifab_frame_host_result_valid(ret) ? IFAB_OK : IFAB_INVALID;
}

ifab_status ifab_frame_ready_read(const struct ifab_frame *frame, struct ifab_frame_ready *ret)
{
    struct ifab_reader r = over(frame->payload);
    ret->walls = ifab_get_u32(&r);
    uint8_t role = ifab_get_u8(&r);
    if (!zeros(&r, 3) || role > IFAB_SANDBOX_PREPARE)
        return IFAB_INVALID;
    ret->role = (enum ifab_sandbox_role)role;
    ret->engine = ifab_get_bytes(&r, ifab_get_u8(&r));
    ret->version = ifab_get_bytes(&r, ifab_get_u8(&r));
    ret->config = ifab_get_bytes(&r, ifab_get_u32(&r));
    return whole(&r) && ifab_frame_ready_valid(ret) ? IFAB_OK : IFAB_INVALID;
}

ifab_status ifab_frame_loaded_read(const struct ifab_frame *frame, struct ifab_frame_loaded *ret)
{
    struct ifab_reader r = over(frame->payload);
    ret->memory_pages = ifab_get_u32(&r);
    ret->imports = ifab_get_u32(&r);
    return whole(&r) && ifab_frame_loaded_valid(ret) ? IFAB_OK : IFAB_INVALID;
}

ifab_status ifab_frame_load_failed_read(const struct ifab_frame *frame, struct ifab_frame_load_failed *ret)
{
    struct ifab_reader r = over(frame->payload);
    uint8_t error = ifab_get_u8(&r);
    if (!zeros(&r, 3) || r.bad)
        return IFAB_INVALID;
    ret->error = (enum ifab_load_error)error;
    ret->text = rest(&r);
    return ifab_frame_load_failed_valid(ret) ? IFAB_OK : IFAB_INVALID;
}

ifab_status ifab_frame_result_read(const struct ifab_frame *frame, struct ifab_frame_result *ret)
{
    struct ifab_reader r = over(frame->payload);
    uint8_t trap = ifab_get_u8(&r);
    if (!zeros(&r, 3) || trap >= IFAB_TRAP_COUNT)
        return IFAB_INVALID;
    ret->trap = (enum ifab_trap)trap;
    ret->host_calls = ifab_get_u32(&r);
    ret->fuel_used = ifab_get_u64(&r);
    if (r.bad)
        return IFAB_INVALID;
    ret->output = rest(&r);
    return ifab_frame_result_valid(ret) ? IFAB_OK : IFAB_INVALID;
}

/* Frames, written. A frame goes into the buffer whole or not at all. */
#include "frame/frame.h"

#define PARTS 4
/* One frame of so many parts, in order. */
static ifab_status put_parts(struct ifab_buf *to, enum ifab_frame_type type, uint32_t call, const struct ifab_view parts[PARTS])
{
    bool large = type == IFAB_FRAME_LOAD || type == IFAB_FRAME_COMPILE || type == IFAB_FRAME_ARTIFACT;
    size_t size = 0, most = large ? IFAB_FRAME_LARGE_MAX : IFAB_FRAME_SMALL_MAX;
    for (unsigned i = 0; i < PARTS; i++) {
        if (parts[i].size > most - size)
            return IFAB_TOO_LARGE;
        size += parts[i].size;
    }
    uint8_t head[IFAB_FRAME_HEAD] = {0}, *at = head;
    ifab_put_u32(&at, (uint32_t)size);
    ifab_put_u8(&at, (uint8_t)type);
    at += 3;
    ifab_put_u32(&at, call);
    IFAB_TRY(ifab_buf_reserve(to, sizeof head + size));
    ifab_buf_put(to, head, sizeof head);
    for (unsigned i = 0; i < PARTS; i++)
        ifab_buf_view(to, parts[i]);
    return ifab_buf_status(to);
}

static ifab_status put(struct ifab_buf *to, enum ifab_frame_type type, uint32_t call, struct ifab_view fixed, struct ifab_view rest)
{
    const struct ifab_view parts[PARTS] = {fixed, rest};
    return put_parts(to, type, call, parts);
}

/* A first byte and three zeros. */
static void put_kind(uint8_t **at, unsigned kind) { ifab_put_u32(at, kind & 0xff); }

static struct ifab_view until(const uint8_t *start, const uint8_t *at) { return ifab_view_of(start, (size_t)(at - start)); }

ifab_status ifab_frame_load_write(struct ifab_buf *to, const struct ifab_frame_load *load)
{
    uint8_t fixed[24], *at = fixed;
    if (!ifab_frame_load_valid(load))
        return IFAB_INVALID;
    put_kind(&at, load->kind);
    ifab_put_u32(&at, load->memory_pages);
    ifab_put_u32(&at, load->table_elements);
    ifab_put_u32(&at, load->slots);
    ifab_put_u32(&at, load->imports);
    ifab_put_u32(&at, load->cpu_seconds);
    return put(to, IFAB_FRAME_LOAD, 0, until(fixed, at), load->bytes);
}

ifab_status ifab_frame_bytes_write(struct ifab_buf *to, enum ifab_frame_type type, struct ifab_view bytes)
{
    bool bye = type == IFAB_FRAME_BYE;
    if ((!bye && type != IFAB_FRAME_COMPILE && type != IFAB_FRAME_ARTIFACT) || bye != (bytes.size == 0))
        return IFAB_INVALID;
    return put(to, type, 0, (struct ifab_view){NULL, 0}, bytes);
}

ifab_status ifab_frame_call_write(struct ifab_buf *to, uint32_t call, const struct ifab_frame_call *body)
{
    uint8_t fixed[24], *at = fixed;
    if (call == 0 || !ifab_frame_call_valid(body))
        return IFAB_INVALID;
    put_kind(&at, body->export_);
    ifab_put_u32(&at, body->deadline_ms);
    ifab_put_u32(&at, body->output_max);
    ifab_put_u32(&at, body->host_calls_max);
    ifab_put_u64(&at, body->fuel);
    return put(to, IFAB_FRAME_CALL, call, until(fixed, at), body->input);
}

ifab_status ifab_frame_host_call_write(struct ifab_buf *to, uint32_t call, const struct ifab_frame_host_call *body)
{
    if (call == 0 || !ifab_frame_host_call_valid(body))
        return IFAB_INVALID;
    uint8_t fixed[12], *at = fixed, size_b[4], *at_b = size_b;
    put_kind(&at, body->import);
    ifab_put_u32(&at, body->number);
    ifab_put_u32(&at, (uint32_t)body->a.size); /* cut only where the whole is refused below */
    ifab_put_u32(&at_b, (uint32_t)body->b.size);
    const struct ifab_view parts[PARTS] = {until(fixed, at), body->a, until(size_b, at_b), body->b};
    return put_parts(to, IFAB_FRAME_HOST_CALL, call, parts);
}

ifab_status ifab_frame_host_result_write(struct ifab_buf *to, uint32_t call, const struct ifab_frame_host_result *body)
{
    uint8_t fixed[4], *at = fixed;
    if (call == 0 || !ifab_frame_host_result_valid(body))
        return IFAB_INVALID;
    put_kind(&at, body->status);
    return put(to, IFAB_FRAME_HOST_RESULT, call, until(fixed, at), body->bytes);
}

ifab_status ifab_frame_ready_write(struct ifab_buf *to, const struct ifab_frame_ready *body)
{
    uint8_t fixed[8 + 2 * (1 + IFAB_FRAME_NAME_MAX) + 4], *at = fixed;
    if (!ifab_frame_ready_valid(body))
        return IFAB_INVALID;
    ifab_put_u32(&at, body->walls);
    put_kind(&at, body->role);
    ifab_put_u8(&at, (uint8_t)body->engine.size);
    ifab_put_bytes(&at, body->engine.data, body->engine.size);
    ifab_put_u8(&at, (uint8_t)body->version.size);
    ifab_put_bytes(&at, body->version.data, body->version.size);
    ifab_put_u32(&at, (uint32_t)body->config.size);
    return put(to, IFAB_FRAME_READY, 0, until(fixed, at), body->config);
}

ifab_status ifab_frame_loaded_write(struct ifab_buf *to, const struct ifab_frame_loaded *body)
{
    uint8_t fixed[8], *at = fixed;
    if (!ifab_frame_loaded_valid(body))
        return IFAB_INVALID;
    ifab_put_u32(&at, body->memory_pages);
    ifab_put_u32(&at, body->imports);
    return put(to, IFAB_FRAME_LOADED, 0, until(fixed, at), (struct ifab_view){NULL, 0});
}

ifab_status ifab_frame_load_failed_write(struct ifab_buf *to, const struct ifab_frame_load_failed *body)
{
    uint8_t fixed[4], *at = fixed;
    if (!ifab_frame_load_failed_valid(body))
        return IFAB_INVALID;
    put_kind(&at, body->error);
    return put(to, IFAB_FRAME_LOAD_FAILED, 0, until(fixed, at), body->text);
}

ifab_status ifab_frame_result_write(struct ifab_buf *to, uint32_t call, const struct ifab_frame_result *body)
{
    uint8_t fixed[16], *at = fixed;
    if (call == 0 || !ifab_frame_result_valid(body))
        return IFAB_INVALID;
    put_kind(&at, body->trap);
    ifab_put_u32(&at, body->host_calls);
    ifab_put_u64(&at, body->fuel_used);
    return put(to, IFAB_FRAME_RESULT, call, until(fixed, at), body->output);
}

/*
 * Any bytes as what arrived from either side (first byte: whose): frame after frame is taken off the front; each payload that reads is written
 * again and gives the same bytes.
 */
#include "frame/frame.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool fact)
{
    if (!fact)
        abort();
}

static bool rewrite(const struct ifab_frame *f, struct ifab_buf *to)
{
    union {
        struct ifab_frame_load load;
        struct ifab_frame_call call;
        struct ifab_frame_host_call host_call;
        struct ifab_frame_host_result host_result;
        struct ifab_frame_ready ready;
        struct ifab_frame_loaded loaded;
        struct ifab_frame_load_failed load_failed;
        struct ifab_frame_result result;
    } u;
    switch (f->type) {
    case IFAB_FRAME_LOAD:
        return ifab_frame_load_read(f, &u.load) == IFAB_OK && ifab_frame_load_write(to, &u.load) == IFAB_OK;
    case IFAB_FRAME_COMPILE:
    case IFAB_FRAME_ARTIFACT:
    case IFAB_FRAME_BYE:
        return ifab_frame_bytes_write(to, f->type, f->payload) == IFAB_OK;
    case IFAB_FRAME_CALL:
        return ifab_frame_call_read(f, &u.call) == IFAB_OK && ifab_frame_call_write(to, f->call, &u.call) == IFAB_OK;
    case IFAB_FRAME_HOST_CALL:
        return ifab_frame_host_call_read(f, &u.host_call) == IFAB_OK && ifab_frame_host_call_write(to, f->call, &u.host_call) == IFAB_OK;
    case IFAB_FRAME_HOST_RESULT:
        return ifab_frame_host_result_read(f, &u.host_result) == IFAB_OK && ifab_frame_host_result_write(to, f->call, &u.host_result) == IFAB_OK;
    case IFAB_FRAME_READY:
        return ifab_frame_ready_read(f, &u.ready) == IFAB_OK && ifab_frame_ready_write(to, &u.ready) == IFAB_OK;
    case IFAB_FRAME_LOADED:
        return ifab_frame_loaded_read(f, &u.loaded) == IFAB_OK && ifab_frame_loaded_write(to, &u.loaded) == IFAB_OK;
    case IFAB_FRAME_LOAD_FAILED:
        return ifab_frame_load_failed_read(f, &u.load_failed) == IFAB_OK && ifab_frame_load_failed_write(to, &u.load_failed) == IFAB_OK;
    case IFAB_FRAME_RESULT:
        return ifab_frame_result_read(f, &u.result) == IFAB_OK && ifab_frame_result_write(to, f->call, &u.result) == IFAB_OK;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    enum ifab_frame_from from = (data[0] & 1) == 0 ? IFAB_FRAME_FROM_WORKER : IFAB_FRAME_FROM_DAEMON;
    struct ifab_view left = {data + 1, size - 1};
    for (;;) {
        struct ifab_frame frame;
        size_t took = 0;
        ifab_status status = ifab_frame_read(from, left, &frame, &took);
        require(status == IFAB_OK || status == IFAB_AGAIN || status == IFAB_INVALID || status == IFAB_TOO_LARGE);
        if (status == IFAB_AGAIN)
            require(took > left.size && took <= IFAB_FRAME_HEAD + IFAB_FRAME_LARGE_MAX);
        if (status != IFAB_OK)
            return 0;
        require(took == IFAB_FRAME_HEAD + frame.payload.size && took <= left.size);
        struct ifab_buf again = IFAB_BUF_INIT(IFAB_FRAME_HEAD + IFAB_FRAME_LARGE_MAX);
        if (rewrite(&frame, &again))
            require(ifab_view_equal(ifab_buf_as_view(&again), ifab_view_of(left.data, took)));
        ifab_buf_fini(&again);
        left = (struct ifab_view){left.data + took, left.size - took};
    }
}

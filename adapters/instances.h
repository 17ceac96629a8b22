#ifndef ADAPTERS_INSTANCES_H
#define ADAPTERS_INSTANCES_H
/*
 * The operations add, list and remove that several adapters have: names that a capability keeps for a talent until the daemon ends. Where the
 * capability may go, its manifest alone says. The manifest imports kv_get and kv_put.
 */
#include "infrafabric_guest.h"

static void instances_book(const struct ifg_call *call, struct ifg_answer *answer)
{
    struct ifg_host_error error;
    struct ifg_view known, name = ifg_json_text_of(call->params, "name", IFG_VIEW("")), value;
    struct ifg_writer list = {.depth = 0};
    bool add = ifg_is(call->operation, "add"), listing = ifg_is(call->operation, "list"), found = false;
    if (!ifg_kv_get(IFG_VIEW("instances"), &known, &error)) {
        ifg_fail_host(answer, &error);
        return;
    }
    ifg_begin_array(&list);
    struct ifg_view none;
    for (size_t at = 0; known.data != NULL && ifg_json_next(known, &at, &none, &value);) {
        struct ifg_view text = {NULL, 0};
        if (!ifg_json_string(value, &text))
            continue;
        bool same = !listing && ifg_equal(text, name);
        found = found || same;
        if (!same || add)
            ifg_text(&list, text);
    }
    if (add && !found)
        ifg_text(&list, name);
    ifg_end_array(&list);
    if (!listing && !add && !found) {
        ifg_fail(answer, IFG_CALLER, "no instance of this name was noted");
        return;
    }
    if (!listing && !ifg_kv_put(IFG_VIEW("instances"), ifg_buf_view(&list.out), &error)) {
        ifg_fail_host(answer, &error);
        return;
    }
    ifg_begin_object(&answer->result);
    ifg_name(&answer->result, "instances");
    ifg_raw(&answer->result, ifg_buf_view(&list.out));
    ifg_end_object(&answer->result);
}
#endif

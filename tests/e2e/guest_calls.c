/* The capability of tests_calls.py: one operation for each way in which a call can go. No import but log and kv. */
#include "infrafabric_guest.h"

void guest_plan(const struct ifg_call *call, struct ifg_answer *answer)
{
    if (ifg_is(call->operation, "refuse")) {
        ifg_fail(answer, IFG_CALLER, "this scene is not there");
        return;
    }
    ifg_summary(answer, ifg_is(call->operation, "lock")
                            ? IFG_VIEW("opens\033[2J \342\200\256rood by password=hunter2-of-the-door")
                            : IFG_VIEW("what the test asks for"));
    if (ifg_is(call->operation, "dear"))
        answer->cost_usd_micro = ifg_json_i64_of(call->params, "usd_micro", 0);
}

void guest_apply(const struct ifg_call *call, struct ifg_answer *answer)
{
    struct ifg_view text = ifg_json_text_of(call->params, "scene", IFG_VIEW("-"));
    struct ifg_host_error error;
    if (ifg_is(call->operation, "fail")) {
        ifg_fail(answer, IFG_PROVIDER, "the mixer is off");
        return;
    }
    if (ifg_is(call->operation, "spin"))
        for (volatile unsigned long i = 0;; i++)
            continue;
    if (ifg_is(call->operation, "trap"))
        __builtin_trap();
    if (ifg_is(call->operation, "take") && !ifg_kv_put(IFG_VIEW("scene"), text, &error)) {
        ifg_fail_host(answer, &error);
        return;
    }
    ifg_log(IFG_INFO, text);
    ifg_begin_object(&answer->result);
    ifg_name(&answer->result, "operation");
    ifg_text(&answer->result, call->operation);
    ifg_name(&answer->result, "params");
    ifg_raw(&answer->result, call->params);
    ifg_end_object(&answer->result);
}

void guest_health(const struct ifg_call *call, struct ifg_answer *answer)
{
    (void)call;
    ifg_begin_object(&answer->result);
    ifg_name(&answer->result, "status");
    ifg_str(&answer->result, "ok");
    ifg_end_object(&answer->result);
}

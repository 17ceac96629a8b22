/* The guest of the governed action: `note` answers at once, `keep` makes one host call first. */
#include "infrafabric_guest.h"

void guest_plan(const struct ifg_call *call, struct ifg_answer *answer)
{
    ifg_summary(answer, ifg_is(call->operation, "keep") ? IFG_VIEW("keep a number") : IFG_VIEW("note a number"));
}

void guest_apply(const struct ifg_call *call, struct ifg_answer *answer)
{
    struct ifg_host_error error;
    if (ifg_is(call->operation, "keep") && !ifg_kv_put(IFG_VIEW("number"), IFG_VIEW("kept"), &error)) {
        ifg_fail_host(answer, &error);
        return;
    }
    ifg_begin_object(&answer->result);
    ifg_name(&answer->result, "number");
    ifg_i64(&answer->result, ifg_json_i64_of(call->params, "number", 0));
    ifg_end_object(&answer->result);
}

void guest_health(const struct ifg_call *call, struct ifg_answer *answer)
{
    (void)call;
    ifg_begin_object(&answer->result);
    ifg_end_object(&answer->result);
}

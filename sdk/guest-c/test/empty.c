/* Uses nothing: imports nothing. apply answers without a value, which is an error of the provider. */
#include "infrafabric_guest.h"

void guest_plan(const struct ifg_call *call, struct ifg_answer *answer)
{
    (void)call;
    ifg_summary(answer, IFG_VIEW("nothing"));
}
void guest_apply(const struct ifg_call *call, struct ifg_answer *answer)
{
    (void)call;
    (void)answer;
}
void guest_health(const struct ifg_call *call, struct ifg_answer *answer)
{
    (void)call;
    ifg_null(&answer->result);
}

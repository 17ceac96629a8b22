/* apply goes deeper than any stack; health reads a pointer beyond memory. Both must trap. */
#include "infrafabric_guest.h"

static int64_t depth(volatile char *above, int64_t left)
{
    volatile char here[512];
    here[left % 512] = above == NULL ? 0 : above[0];
    return left == 0 ? here[0] : depth(here, left - 1) + here[left % 512];
}

void guest_plan(const struct ifg_call *call, struct ifg_answer *answer)
{
    (void)call;
    ifg_free((char *)ifg_alloc(32) + 16); /* no block of the allocator */
    ifg_summary(answer, IFG_VIEW("not reached"));
}

void guest_apply(const struct ifg_call *call, struct ifg_answer *answer)
{
    (void)call;
    ifg_i64(&answer->result, depth(NULL, ifg_json_i64_of(call->params, "depth", 1000000)));
}

void guest_health(const struct ifg_call *call, struct ifg_answer *answer)
{
    (void)call;
    char *memory = ifg_alloc((size_t)8 << 20);
    for (int i = 0; i < 3; i++)
        memory = ifg_alloc((size_t)8 << 20); /* past 16 MiB */
    ifg_i64(&answer->result, memory[0]);
}

/*
 * The set of live secrets, which no answer from outside may hold. Where no complete one can be made nothing is sent, and it is tried again: an answer
 * that is not searched is worse than none.
 */
#include "guest_internal.h"

#include "log/log.h"

#define LIVE_AGAIN (10 * IFAB_SECOND) /* until another try: it costs as much as the one that failed */

_Static_assert(IFAB_GUEST_LIVE_MAX == IFAB_LEAK_VALUES_MAX, "as it is told");

struct taking {
    struct ifab_leak_set *set;
    ifab_status status;
};

static bool take_live(void *user, struct ifab_view value)
{
    struct taking *t = user;
    if (t->status == IFAB_OK)
        t->status = ifab_leak_set_add(t->set, value);
    return t->status == IFAB_OK;
}

ifab_status ifab_guests_set_live(struct ifab_guests *self, ifab_guest_live_fn *each, void *user)
{
    struct taking t = {NULL, IFAB_OK};
    self->each_live = each;
    self->each_live_user = user;
    t.status = ifab_leak_set_new(&t.set);
    if (t.status == IFAB_OK)
        each(user, take_live, &t);
    if (t.status == IFAB_OK)
        t.status = ifab_leak_set_seal(t.set);
    if (t.status == IFAB_OK)
        t.status = ifab_egress_set_live(self->egress, t.set);
    if (t.status != IFAB_OK) {
        ifab_leak_set_free(t.set);
        ifab_egress_set_blind(self->egress);
        self->live_again = (ifab_usec)(uv_hrtime() / 1000) + LIVE_AGAIN;
        if (!self->blind)
            IFAB_LOG(IFAB_LOG_ERROR, "guests: nothing is sent, answers cannot be searched for every live secret",
                     IFAB_F_TEXT("error", ifab_status_name(t.status)));
    }
    self->blind = t.status != IFAB_OK;
    return t.status;
}
void ifab_guest__live_again(struct ifab_guests *self)
{
    if (self->blind && (ifab_usec)(uv_hrtime() / 1000) >= self->live_again)
        (void)ifab_guests_set_live(self, self->each_live, self->each_live_user);
}

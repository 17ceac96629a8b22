#ifndef SUPPORT_FAKE_POOL_H
#define SUPPORT_FAKE_POOL_H
/*
 * The sandbox pool for tests of one call of a guest: one host call at a time, each answered once and as the pool would take it. Header only; stands in
 * place of the pool, so a test with it links none. What was answered is in said and status_of_last; until then said is "" and answered is false.
 */
#include "../../src/shell/guest/guest_internal.h"

#include <stdio.h>

static char said[4096]; /* what the guest was told last, as far as it fits */
static enum ifab_host_status status_of_last;
static bool answered;
static uint64_t last_call;

ifab_status ifab_chassis_host_result(struct ifab_chassis *self, uint64_t host_call, enum ifab_host_status status, struct ifab_view bytes)
{
    (void)self;
    assert_int_equal(host_call, last_call);
    assert_false(answered); /* once */
    assert_true(status == IFAB_HOST_OK || bytes.size == 0);
    answered = true;
    status_of_last = status;
    snprintf(said, sizeof said, IFAB_FMT, IFAB_ARG(bytes));
    return IFAB_OK;
}

/* The guest of this call asks; said: what it is told at once. */
static inline const char *pool_asks_for(struct running *r, struct ifab_frame_host_call args, ifab_usec left)
{
    const struct ifab_chassis_host_call host_call = {.id = ++last_call, .call = r->call, .user = r, .args = &args, .left = left};
    said[0] = '\0';
    answered = false;
    ifab_guest__host_call(r->guests, &host_call);
    return said;
}
/* A request, with time enough. */
static inline const char *pool_asks(struct running *r, const char *json)
{
    return pool_asks_for(r, (struct ifab_frame_host_call){.import = IFAB_IMPORT_http, .a = ifab_view_str(json)}, 5 * IFAB_SECOND);
}

static inline ifab_usec pool_wall(void *user) /* of the options */
{
    (void)user;
    return 1000;
}
#endif

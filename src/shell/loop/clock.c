/*
 * Wall and run time. run is CLOCK_BOOTTIME plus a stored offset; over a restart it advances by the wall time passed, at least 0. A jump of the wall clock
 * of more than 60 s against BOOTTIME is not believed: the old course goes on until a person accepts it (DESIGN section 4, Time).
 */
#include "node.h"

#include <time.h>

#define JUMP (60 * IFAB_SECOND)

static ifab_usec read_clock(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (ifab_usec)ts.tv_sec * IFAB_SECOND + ts.tv_nsec / 1000;
}

ifab_usec clock_real(void) { return read_clock(CLOCK_REALTIME); }
ifab_usec clock_boot(void) { return read_clock(CLOCK_BOOTTIME); }

void clock_start(struct clock *self, ifab_usec real, ifab_usec boot, ifab_usec stored_wall, ifab_usec stored_run, bool stored_doubt)
{
    ifab_usec passed = real > stored_wall ? real - stored_wall : 0;
    *self = (struct clock){.run_offset = stored_run + passed - boot, .wall_offset = real - boot};
    /* A clock far behind what was written already is a jump as well: time goes on from what was written. */
    if (stored_wall - real > JUMP || (stored_doubt && real - stored_wall > JUMP)) {
        self->doubt = true;
        self->wall_offset = stored_wall - boot;
    }
}

struct ifab_now clock_step(struct clock *self, ifab_usec real, ifab_usec boot, bool *ret_jumped)
{
    ifab_usec expected = boot + self->wall_offset, off = real - expected;
    bool jump = off > JUMP || off < -JUMP;
    self->untold = jump && (self->untold || !self->doubt);
    if (ret_jumped != NULL) {
        *ret_jumped = self->untold;
        self->untold = false;
    }
    self->doubt = jump; /* a clock that comes back within its bound is believed again by itself */
    if (!self->doubt)
        self->wall_offset = real - boot; /* small steps are followed: a slewed or corrected clock */
    return (struct ifab_now){.wall = self->doubt ? expected : real, .run = boot + self->run_offset};
}

struct ifab_now clock_now(struct clock *self, bool *ret_jumped) { return clock_step(self, clock_real(), clock_boot(), ret_jumped); }

void clock_accept(struct clock *self, ifab_usec real, ifab_usec boot)
{
    self->doubt = false;
    self->wall_offset = real - boot;
}

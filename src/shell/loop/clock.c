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

void clock_start(struct clock *self, ifab_usec stored_wall, ifab_usec stored_run, bool doubt)
{
    ifab_usec wall = clock_real(), boot = clock_boot();
    ifab_usec passed = wall > stored_wall ? wall - stored_wall : 0;
    *self = (struct clock){0};
    self->run_offset = stored_run + passed - boot;
    self->wall_offset = wall - boot;
    self->last_wall = wall;
    /* A clock behind what was written already is a jump as well: time goes on from what was written. */
    if (stored_wall - wall > JUMP) {
        self->doubt = true;
        self->wall_offset = stored_wall - boot;
        self->last_wall = stored_wall;
    } else if (doubt) {
        self->doubt = false; /* a restart reads the clock anew: it was within its bound */
    }
}

struct ifab_now clock_now(struct clock *self, bool *ret_jumped)
{
    ifab_usec boot = clock_boot(), real = clock_real();
    ifab_usec expected = boot + self->wall_offset;
    ifab_usec off = real - expected;
    if (ret_jumped != NULL)
        *ret_jumped = false;
    if (!self->doubt && (off > JUMP || off < -JUMP)) {
        self->doubt = true;
        if (ret_jumped != NULL)
            *ret_jumped = true;
    }
    if (!self->doubt)
        self->wall_offset = real - boot; /* small steps are followed: a slewed or corrected clock */
    else if (off <= JUMP && off >= -JUMP)
        self->doubt = false; /* it came back by itself */
    ifab_usec wall = self->doubt ? expected : real;
    return (struct ifab_now){.wall = wall, .run = boot + self->run_offset};
}

void clock_accept(struct clock *self)
{
    self->doubt = false;
    self->wall_offset = clock_real() - clock_boot();
}

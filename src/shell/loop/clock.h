#ifndef LOOP_CLOCK_H
#define LOOP_CLOCK_H
/*
 * clock.c: wall and run time from CLOCK_REALTIME and CLOCK_BOOTTIME; there is no other clock. Stepping is pure: readings come in. Threads: the loop.
 */
#include "base/time.h"

struct clock {
    ifab_usec run_offset;  /* run = boottime + run_offset */
    ifab_usec wall_offset; /* believed wall = boottime + wall_offset, while in doubt */
    bool doubt;            /* a jump of more than 60 s stands unaccepted */
    bool untold;           /* and who noticed it was not one that tells of it */
};
ifab_usec clock_real(void); /* CLOCK_REALTIME, µs */
ifab_usec clock_boot(void); /* CLOCK_BOOTTIME, µs */
/* Over a restart run advances by the wall time passed, at least 0. A wall more than 60 s behind what was stored begins in doubt; so
 * does one that is more than 60 s off a course that was in doubt already: a restart accepts nothing. */
void clock_start(struct clock *self, ifab_usec real, ifab_usec boot, ifab_usec stored_wall, ifab_usec stored_run, bool stored_doubt);
/* *ret_jumped: a new jump was noticed since it was last asked for, and still stands; the old course goes on. NULL: who comes next and asks is told. */
struct ifab_now clock_step(struct clock *self, ifab_usec real, ifab_usec boot, bool *ret_jumped);
struct ifab_now clock_now(struct clock *self, bool *ret_jumped); /* clock_step() with both clocks read */
void clock_accept(struct clock *self, ifab_usec real, ifab_usec boot);
#endif

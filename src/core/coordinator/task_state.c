/* What a task may be, and what may become of it: one table. See coordinator.h. */
#include "coordinator/coordinator.h"

static const struct {
    const char *name;
    bool owned, open;
} states[] = {
#define ROW(name, text, owned, open) [IFAB_TASK_##name] = {text, owned, open},
    IFAB_TASK_STATE_MAP(ROW)
#undef ROW
};
_Static_assert(sizeof states / sizeof *states == IFAB_TASK_STATE_COUNT, "a row for each state");

#define Q IFAB_TASK_QUEUED
#define C IFAB_TASK_CLAIMED
#define R IFAB_TASK_RUNNING
#define B IFAB_TASK_BLOCKED
#define D IFAB_TASK_DEAD
#define X IFAB_TASK_CANCELLED
#define O IFAB_TASK_DONE
/* event -> who does it: whoever holds the task, and nobody else; and the state it leads to, from each. What is not named here cannot happen. */
static const struct {
    bool by_holder;
    uint8_t next[IFAB_TASK_STATE_COUNT];
} events[IFAB_TASK_EVENT_COUNT] = {
    [IFAB_TASK_CLAIM] = {false, {[Q] = C}},
    [IFAB_TASK_GIVE_BACK] = {true, {[C] = Q}},
    [IFAB_TASK_RENEW] = {true, {[C] = C, [R] = R, [B] = B}},
    [IFAB_TASK_PROGRESS] = {true, {[C] = R, [R] = R}},
    [IFAB_TASK_COMPLETE] = {true, {[C] = O, [R] = O}},
    [IFAB_TASK_FAIL] = {true, {[C] = Q, [R] = Q, [B] = Q}},
    [IFAB_TASK_SHUTDOWN] = {true, {[C] = Q, [R] = Q, [B] = Q}},
    [IFAB_TASK_POISON] = {true, {[C] = D, [R] = D, [B] = D}},
    [IFAB_TASK_EXPIRE] = {false, {[C] = Q, [R] = Q, [B] = Q}},
    [IFAB_TASK_EXHAUST] = {false, {[C] = D, [R] = D, [B] = D}},
    [IFAB_TASK_LATE] = {false, {[Q] = D, [C] = D, [R] = D, [B] = D}},
    [IFAB_TASK_ORPHAN] = {false, {[Q] = D}},
    [IFAB_TASK_SHED] = {false, {[Q] = D}},
    [IFAB_TASK_BLOCK] = {true, {[C] = B, [R] = B}},
    [IFAB_TASK_UNBLOCK] = {true, {[B] = R}},
    [IFAB_TASK_YIELD] = {false, {[B] = Q}},
    [IFAB_TASK_CANCEL] = {false, {[Q] = X, [C] = X, [R] = X, [B] = X, [D] = X}},
    [IFAB_TASK_REPLAY] = {false, {[D] = Q}},
};
#undef Q
#undef C
#undef R
#undef B
#undef D
#undef X
#undef O

const char *ifab_task_state_name(enum ifab_task_state state)
{
    return state > IFAB_TASK_NONE && state < IFAB_TASK_STATE_COUNT ? states[state].name : "?";
}

enum ifab_task_state ifab_task_state_parse(struct ifab_view name)
{
    for (int i = IFAB_TASK_NONE + 1; i < IFAB_TASK_STATE_COUNT; i++)
        if (ifab_view_is(name, states[i].name))
            return (enum ifab_task_state)i;
    return IFAB_TASK_NONE;
}

bool ifab_task_owned(enum ifab_task_state state) { return state < IFAB_TASK_STATE_COUNT && states[state].owned; }
bool ifab_task_open(enum ifab_task_state state) { return state < IFAB_TASK_STATE_COUNT && states[state].open; }

enum ifab_task_state ifab_task_next(enum ifab_task_state state, enum ifab_task_event event)
{
    if (state >= IFAB_TASK_STATE_COUNT || event >= IFAB_TASK_EVENT_COUNT)
        return IFAB_TASK_NONE;
    return (enum ifab_task_state)events[event].next[state];
}

bool ifab_task_by_holder(enum ifab_task_event event) { return event < IFAB_TASK_EVENT_COUNT && events[event].by_holder; }

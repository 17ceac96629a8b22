/* The table of what can stand in the log, as rows. */
#include "witness/witness.h"

#include "base/mem.h"

static const struct ifab_event_info events[] = {
#define ROW(name, type, component, operation, severity) [IFAB_EVENT_##name] = {type, component, operation, severity},
    IFAB_EVENT_MAP(ROW)
#undef ROW
};
_Static_assert(IFAB_COUNT(events) == IFAB_EVENT_COUNT, "one row an event");

const struct ifab_event_info *ifab_event_info(enum ifab_event event)
{
    return (size_t)event < IFAB_COUNT(events) ? &events[event] : NULL;
}

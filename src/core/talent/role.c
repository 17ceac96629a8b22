/* The built-in roles (SURFACE section 9). Configured names map onto them before they come here. */
#include "talent/talent.h"

#include "base/mem.h"

static const char *const names[] = {
    [IFAB_ROLE_NONE] = "none",         [IFAB_ROLE_AGENT] = "agent",       [IFAB_ROLE_READONLY] = "readonly",
    [IFAB_ROLE_AUDITOR] = "auditor",   [IFAB_ROLE_OPERATOR] = "operator", [IFAB_ROLE_ADMIN] = "admin",
};

const char *ifab_role_name(enum ifab_role role)
{
    return (size_t)role < IFAB_COUNT(names) ? names[role] : names[IFAB_ROLE_NONE];
}

enum ifab_role ifab_role_parse(struct ifab_view name)
{
    for (size_t i = IFAB_ROLE_AGENT; i < IFAB_COUNT(names); i++)
        if (ifab_view_is(name, names[i]))
            return (enum ifab_role)i;
    return IFAB_ROLE_NONE;
}

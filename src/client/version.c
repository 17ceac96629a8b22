/* The version of the library, and the check that the installed types are the rooms' own. */
#include "internal.h"

#include <infrafabric/infrafabric.h>

const char *ifab_library_version(void)
{
    return IFAB_LIBRARY_VERSION;
}

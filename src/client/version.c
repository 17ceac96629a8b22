/* The version of the library. */
#include "internal.h"

#include <infrafabric/infrafabric.h>

const char *ifab_library_version(void)
{
    return IFAB_LIBRARY_VERSION;
}

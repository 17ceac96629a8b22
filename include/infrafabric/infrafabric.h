#ifndef INFRAFABRIC_H
#define INFRAFABRIC_H
/*
 * libinfrafabric: build, sign, verify, call. It does not contain the fabric. Includes every header of it.
 * The interface grows by addition; structs that callers fill in begin with their version.
 */
#include <infrafabric/client.h>
#include <infrafabric/envelope.h>
#include <infrafabric/status.h>
#include <infrafabric/verify.h>

#ifdef __cplusplus
extern "C" {
#endif
#define IFAB_LIBRARY_VERSION "0.1.0"
/* Version of the library that runs, "0.1.0". */
IFAB_API const char *ifab_library_version(void);
#ifdef __cplusplus
}
#endif
#endif

#ifndef GUEST_INTERNAL_H
#define GUEST_INTERNAL_H
/* Between the SDK's own files. platform_wasm.c gives the platform in a guest; tests give one of their own. */
#include "infrafabric_guest.h"

/* memory.c: what a compiler expects of every C */
void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *text);

/* Where the heap may begin, and its end as it is now; both move only up. */
uintptr_t ifg_platform_heap_begin(void);
uintptr_t ifg_platform_heap_end(void);
bool ifg_platform_grow(size_t bytes); /* makes the end at least `bytes` higher; false: no more */
_Noreturn void ifg_platform_trap(void);

/* The imports of module "if" as they are: docs/formats/guest-abi.md. Packed: pointer << 32 | length of memory that if_alloc gave; or below zero. */
#ifdef __wasm__
#define IFG_IMPORT(name) __attribute__((import_module("if"), import_name(#name)))
#else
#define IFG_IMPORT(name)
#endif
IFG_IMPORT(log) void ifg_host_log(uint32_t level, const char *text, uint32_t length);
IFG_IMPORT(http) int64_t ifg_host_http(const char *request, uint32_t length);
IFG_IMPORT(secret_ref) int64_t ifg_host_secret_ref(const char *name, uint32_t length);
IFG_IMPORT(kv_get) int64_t ifg_host_kv_get(const char *key, uint32_t length);
IFG_IMPORT(kv_put) int32_t ifg_host_kv_put(const char *key, uint32_t key_length, const char *value, uint32_t value_length);
IFG_IMPORT(now) int64_t ifg_host_now(void);
IFG_IMPORT(random) int32_t ifg_host_random(void *to, uint32_t length);
struct ifg_view ifg_platform_unpack(int64_t packed);

void *ifg__heap_take(size_t size); /* NULL: no room */
void ifg__heap_give(void *memory); /* traps on what is not a block in use */

/* One call, bytes in, bytes out; the exports do no more than this. `mode` 'p', 'a' or 'h'. */
struct ifg_view ifg__run(char mode, struct ifg_view input);

size_t ifg__utf8_size(const char *at, const char *end); /* of the code point at `at`: 1..4, 0 where it is malformed */
#endif

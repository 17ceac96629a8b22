/* The platform in a guest: linear memory and exports. Imports are declared where they are called (guest_internal.h). */
#include "guest_internal.h"

#define PAGE ((size_t)65536)

extern unsigned char __heap_base; /* of wasm-ld: where data and stack end */

uintptr_t ifg_platform_heap_begin(void) { return (uintptr_t)&__heap_base; }
uintptr_t ifg_platform_heap_end(void) { return (uintptr_t)__builtin_wasm_memory_size(0) * PAGE; }
bool ifg_platform_grow(size_t bytes)
{
    size_t pages = bytes / PAGE + (bytes % PAGE != 0);
    return __builtin_wasm_memory_grow(0, pages) != (size_t)-1;
}
_Noreturn void ifg_platform_trap(void) { __builtin_trap(); }

struct ifg_view ifg_platform_unpack(int64_t packed)
{
    return (struct ifg_view){(const char *)(uintptr_t)((uint64_t)packed >> 32), (size_t)(uint32_t)packed};
}
static uint64_t pack(struct ifg_view bytes) { return (uint64_t)(uintptr_t)bytes.data << 32 | (uint32_t)bytes.size; }

#define EXPORT(name, ...)                            \
    __attribute__((export_name(#name))) __VA_ARGS__; \
    __VA_ARGS__
EXPORT(if_alloc, void *ifg_export_alloc(uint32_t size)) { return ifg__heap_take(size); }
EXPORT(if_free, void ifg_export_free(void *pointer, uint32_t size))
{
    (void)size; /* a block knows its own */
    ifg_free(pointer);
}
EXPORT(if_plan, uint64_t ifg_export_plan(const char *pointer, uint32_t length)) { return pack(ifg__run('p', (struct ifg_view){pointer, length})); }
EXPORT(if_apply, uint64_t ifg_export_apply(const char *pointer, uint32_t length)) { return pack(ifg__run('a', (struct ifg_view){pointer, length})); }
EXPORT(if_health, uint64_t ifg_export_health(const char *pointer, uint32_t length))
{
    return pack(ifg__run('h', (struct ifg_view){pointer, length}));
}

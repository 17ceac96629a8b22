/* Allocation with a switch that makes the n-th call fail. The counter is per thread: a test sweeps its own calls only. */
#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

/* initial-exec: two words, read at every allocation; no call into the dynamic linker. */
static _Thread_local uint64_t fail_after __attribute__((tls_model("initial-exec"))); /* 0 = off, 1 = the next one */
static _Thread_local bool has_failed __attribute__((tls_model("initial-exec")));

static bool must_fail(void)
{
    if (__builtin_expect(fail_after == 0, 1))
        return false;
    fail_after--;
    if (fail_after > 0)
        return false;
    has_failed = true;
    return true;
}

void *ifab_malloc(size_t size)
{
    assert(size > 0);
    return must_fail() ? NULL : malloc(size);
}

void *ifab_calloc(size_t count, size_t size)
{
    assert(count > 0 && size > 0);
    return must_fail() ? NULL : calloc(count, size); /* calloc refuses a product that overflows */
}

void *ifab_realloc(void *old, size_t size)
{
    assert(size > 0);
    return must_fail() ? NULL : realloc(old, size);
}

void ifab_free(void *old)
{
    free(old);
}

void ifab_mem_fail_at(uint64_t n)
{
    fail_after = n;
    has_failed = false;
}

bool ifab_mem_failed(void)
{
    return has_failed;
}

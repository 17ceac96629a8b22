#ifndef BASE_MEM_H
#define BASE_MEM_H
/* Allocation and scope-bound cleanup. Every allocation of the project goes through here, so that a test can make each one fail. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As malloc and its kin; NULL when out of memory or when a test says so. size 0 is an error of ours (assert). */
void *ifab_malloc(size_t size);
void *ifab_calloc(size_t count, size_t size);
void *ifab_realloc(void *old, size_t size);
void ifab_free(void *old); /* accepts NULL */

/* Test hook: the n-th allocation from now on (1 = the next) fails once; 0 switches it off. Threads: per thread. */
void ifab_mem_fail_at(uint64_t n);
/* Test hook: true when the armed failure has happened since ifab_mem_fail_at(). */
bool ifab_mem_failed(void);

#define IFAB_CLEANUP(fn) __attribute__((cleanup(fn)))
#define IFAB_TAKE(ptr)                   \
    __extension__({                      \
        __typeof__(ptr) taken_ = (ptr);  \
        (ptr) = NULL;                    \
        taken_;                          \
    })

#define IFAB_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#endif

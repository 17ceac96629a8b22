#ifndef HOST_PLATFORM_H
#define HOST_PLATFORM_H
/* The SDK without WebAssembly: memory of the C library, so that sanitizers see every block; imports answered by the test. */
#include "guest_internal.h"

/* What an import is asked and answers. a and b are borrowed; answer is copied when the number is 0, else the number is the answer. */
struct ifg_test_ask {
    const char *import;
    uint32_t number; /* log: level; random: size */
    struct ifg_view a, b;
    struct ifg_view answer;
    int64_t result;
};
typedef void ifg_test_host_fn(struct ifg_test_ask *ask);
extern ifg_test_host_fn *ifg_test_host; /* NULL: everything is refused */
void ifg_test_reset(void);              /* ends a call: its memory goes */
/* What ifg__run gives, with NUL behind it; input is copied into memory that ends where the input does. */
struct ifg_view ifg_test_run(char mode, const char *input, size_t size);
#endif

/* What the kernel says of the processor, where there is no CPUID. */
#include "internal.h"

#include <sys/auxv.h>

void ifab_wasmtime__cpu(struct ifab_buf *to) { ifab_buf_format(to, "cpu %lx %lx\n", getauxval(AT_HWCAP), getauxval(AT_HWCAP2)); }

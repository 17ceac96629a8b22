/* The words of CPUID in which the instruction sets stand that the compiler may use. */
#include "internal.h"

#include <cpuid.h>

void ifab_wasmtime__cpu(struct ifab_buf *to)
{
    unsigned a = 0, b = 0, c = 0, d = 0, words[4] = {0};
    if (__get_cpuid(1, &a, &b, &c, &d) != 0)
        words[0] = c;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) != 0) {
        words[1] = b;
        words[2] = c;
    }
    if (__get_cpuid(0x80000001, &a, &b, &c, &d) != 0)
        words[3] = c;
    ifab_buf_format(to, "cpu x86_64 %08x %08x %08x %08x\n", words[0], words[1], words[2], words[3]);
}

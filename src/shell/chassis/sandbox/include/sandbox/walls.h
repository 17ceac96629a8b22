#ifndef SANDBOX_WALLS_H
#define SANDBOX_WALLS_H
/*
 * The walls around a sandbox process, in the order of docs/formats/sandbox.md; the last one, the list of system calls, cannot be undone.
 * Afterwards the process may: read fd 0, write fd 1, mprotect to NONE or READ|WRITE, madvise DONTNEED, rt_sigreturn, exit_group.
 * The prepare role, which must allocate and publish code while it compiles, may also: mmap and munmap and mremap without PROT_EXEC, brk,
 * mprotect to READ|EXEC (never together with WRITE), madvise, futex, getrandom, sigaltstack, sched_getaffinity.
 */
#include "base/status.h"
#include "frame/frame.h"

struct ifab_walls {
    enum ifab_sandbox_role role;
    uint32_t cpu_seconds; /* RLIMIT_CPU from the process's start */
    uint32_t slots;       /* instances at once: 4.1 GiB of address space each */
};

/**
 * Raise all walls around this process.
 *
 * @param ret_walls bits of enum ifab_wall that took effect, read back from the kernel where it can be
 * @return IFAB_OK the mandatory ones stand (IFAB_WALL_MANDATORY); IFAB_IO one of them does not: end the process
 * Threads: call it while the process has one thread; everything above fd 1 is closed.
 * Source: Linux prctl(2), landlock(7), seccomp(2).
 */
IFAB_MUST_CHECK ifab_status ifab_walls_raise(const struct ifab_walls *self, uint32_t *ret_walls, struct ifab_error *err);
#endif

/*
 * The walls, in order: each is raised by one function and says whether it took effect. What must not fail is judged at the end, so that the
 * bitmap is whole; the list of system calls comes last, since after it nothing can be asked any more.
 */
#include "sandbox/walls.h"

#include "base/mem.h"

#include <errno.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GIB             (UINT64_C(1) << 30)
#define MIB             (UINT64_C(1) << 20)
#define SLOT_ADDRESSES  (4 * GIB + 256 * MIB) /* 4 GiB of memory, its guards, tables, the instance */
#define OTHER_ADDRESSES (1 * GIB)             /* program, stack, heap, one artifact */
#define EXECUTE_DATA    (96 * MIB)            /* heap and stack; each slot adds its memory and tables */
#define SLOT_DATA       (20 * MIB)
#define PREPARE_DATA    (2 * GIB)

/* --- Landlock: every right the running kernel knows, and no rule that gives one back --- */
/* Kernel headers may be older than the kernel: the attribute as of ABI 6, and what each ABI added. */
struct ruleset {
    uint64_t fs, net, scoped;
};

static bool raise_landlock(void)
{
    static const struct {
        uint64_t fs, net, scoped;
        size_t size;
    } by_abi[] = {
        {0, 0, 0, 0},
        {(1 << 13) - 1, 0, 0, 8},
        {(1 << 14) - 1, 0, 0, 8},  /* REFER */
        {(1 << 15) - 1, 0, 0, 8},  /* TRUNCATE */
        {(1 << 15) - 1, 3, 0, 16}, /* bind and connect TCP */
        {(1 << 16) - 1, 3, 0, 16}, /* IOCTL_DEV */
        {(1 << 16) - 1, 3, 3, 24}, /* abstract Unix sockets, signals */
    };
    long abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1)
        return false;
    size_t row = abi < (long)IFAB_COUNT(by_abi) ? (size_t)abi : IFAB_COUNT(by_abi) - 1;
    struct ruleset all = {by_abi[row].fs, by_abi[row].net, by_abi[row].scoped};
    long fd = syscall(SYS_landlock_create_ruleset, &all, by_abi[row].size, 0U);
    if (fd < 0)
        return false;
    bool done = syscall(SYS_landlock_restrict_self, (int)fd, 0U) == 0;
    close((int)fd);
    return done;
}

/* --- limits --- */
static bool limit(__rlimit_resource_t what, uint64_t soft, uint64_t hard)
{
    struct rlimit set = {soft, hard}, old, now;
    if (getrlimit(what, &old) != 0)
        return false;
    if (set.rlim_max > old.rlim_max) /* whoever started us may have been stricter */
        set.rlim_max = old.rlim_max;
    if (set.rlim_cur > set.rlim_max)
        set.rlim_cur = set.rlim_max;
    return setrlimit(what, &set) == 0 && getrlimit(what, &now) == 0 && now.rlim_cur <= soft && now.rlim_max <= hard;
}

static bool raise_rlimits(const struct ifab_walls *self)
{
    bool prepare = self->role == IFAB_SANDBOX_PREPARE;
    uint64_t slots = self->slots, data = prepare ? PREPARE_DATA : EXECUTE_DATA + slots * SLOT_DATA;
    uint64_t addresses = OTHER_ADDRESSES + slots * SLOT_ADDRESSES + (prepare ? PREPARE_DATA : 0);
    bool done = limit(RLIMIT_CORE, 0, 0);
    done = limit(RLIMIT_FSIZE, 0, 0) && done;
    done = limit(RLIMIT_NPROC, 0, 0) && done;
    done = limit(RLIMIT_NOFILE, 0, 0) && done;
    done = limit(RLIMIT_DATA, data, data) && done;
    done = limit(RLIMIT_AS, addresses, addresses) && done;
    return limit(RLIMIT_CPU, self->cpu_seconds, (uint64_t)self->cpu_seconds + 1) && done;
}

static bool raise_namespaces(void)
{
    return unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | CLONE_NEWNS) == 0;
}

/* --- system calls --- */
struct rule {
    int call;
    unsigned count; /* of comparisons, all of which must hold */
    struct scmp_arg_cmp arg;
};
#define ANY(name)                                   \
    {                                               \
        SCMP_SYS(name), 0, { 0, SCMP_CMP_EQ, 0, 0 } \
    }
#define WHEN(name, number, value)                            \
    {                                                        \
        SCMP_SYS(name), 1, { number, SCMP_CMP_EQ, value, 0 } \
    }
#define WITHOUT(name, number, bits)                                \
    {                                                              \
        SCMP_SYS(name), 1, { number, SCMP_CMP_MASKED_EQ, bits, 0 } \
    }

static const struct rule execute_rules[] = {
    WHEN(read, 0, 0),  WHEN(write, 0, 1), WHEN(mprotect, 2, PROT_NONE), WHEN(mprotect, 2, PROT_READ | PROT_WRITE), WHEN(madvise, 2, MADV_DONTNEED),
    ANY(rt_sigreturn), ANY(exit_group),
};
static const struct rule prepare_rules[] = {
    WHEN(read, 0, 0),
    WHEN(write, 0, 1),
    WITHOUT(mmap, 2, PROT_EXEC),
    ANY(munmap),
    ANY(mremap),
    ANY(brk),
    WHEN(mprotect, 2, PROT_NONE),
    WHEN(mprotect, 2, PROT_READ),
    WHEN(mprotect, 2, PROT_READ | PROT_WRITE),
    WHEN(mprotect, 2, PROT_READ | PROT_EXEC),
    ANY(madvise),
    ANY(futex),
    ANY(getrandom),
    ANY(sigaltstack),
    ANY(sched_getaffinity),
    ANY(rt_sigreturn),
    ANY(exit_group),
};

static bool raise_seccomp(enum ifab_sandbox_role role)
{
    const struct rule *rules = role == IFAB_SANDBOX_PREPARE ? prepare_rules : execute_rules;
    size_t count = role == IFAB_SANDBOX_PREPARE ? IFAB_COUNT(prepare_rules) : IFAB_COUNT(execute_rules);
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    bool good = filter != NULL && seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) == 0;
    for (size_t i = 0; good && i < count; i++)
        good = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, rules[i].call, rules[i].count, &rules[i].arg) == 0;
    good = good && seccomp_load(filter) == 0;
    if (filter != NULL)
        seccomp_release(filter);
    return good;
}

static uint32_t bit(bool stands, enum ifab_wall wall) { return stands ? (uint32_t)wall : 0; }

/* What the kernel says of itself, after everything that might have reset it. */
static uint32_t read_back(void)
{
    int signal_number = 0;
    uint32_t walls = bit(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1, IFAB_WALL_NO_NEW_PRIVS);
    walls |= bit(prctl(PR_GET_PDEATHSIG, &signal_number) == 0 && signal_number == SIGKILL, IFAB_WALL_PDEATHSIG);
    return walls | bit(prctl(PR_GET_DUMPABLE) == 0, IFAB_WALL_NOT_DUMPABLE);
}

ifab_status ifab_walls_raise(const struct ifab_walls *self, uint32_t *ret_walls, struct ifab_error *err)
{
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_DUMPABLE, 0);
    uint32_t walls = bit(raise_landlock(), IFAB_WALL_LANDLOCK);
    walls |= bit(raise_rlimits(self), IFAB_WALL_RLIMITS);
    walls |= bit(raise_namespaces(), IFAB_WALL_NAMESPACES);
    walls |= bit(syscall(SYS_close_range, 2U, ~0U, 0U) == 0, IFAB_WALL_DESCRIPTORS);
    walls |= read_back();
    walls |= bit(raise_seccomp(self->role), IFAB_WALL_SECCOMP);
    *ret_walls = walls;
    if ((walls & IFAB_WALL_MANDATORY) == IFAB_WALL_MANDATORY)
        return IFAB_OK;
    char text[IFAB_WALL_TEXT];
    ifab_wall_text(IFAB_WALL_MANDATORY & ~walls, text);
    return ifab_fail(err, IFAB_IO, "these walls do not stand: %s", text);
}

/*
 * if-sandbox where the kernel refuses some of the walls: the walls' own source, with those of its calls refused whose wall the first argument names
 * (bits of enum ifab_wall, decimal). So the escape suite sees each wall stop what comes to it once the walls before it are gone. Built with the
 * tests, never installed. Started by root it becomes nobody first: root is asked for no permission, and may have any number of processes.
 */
#include "sandbox/worker.h"

#include <grp.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOBODY 65534

static unsigned long refused;

static bool refuses(enum ifab_wall wall) { return (refused & (unsigned long)wall) != 0; }

static bool refuses_prctl(int option, ...)
{
    return (option == PR_SET_NO_NEW_PRIVS && refuses(IFAB_WALL_NO_NEW_PRIVS)) || (option == PR_SET_PDEATHSIG && refuses(IFAB_WALL_PDEATHSIG)) ||
           (option == PR_SET_DUMPABLE && refuses(IFAB_WALL_NOT_DUMPABLE));
}

static bool refuses_call(long number)
{
    return (number == SYS_landlock_create_ruleset && refuses(IFAB_WALL_LANDLOCK)) || (number == SYS_close_range && refuses(IFAB_WALL_DESCRIPTORS));
}

static void become_nobody(void)
{
    if (geteuid() != 0)
        return;
    if (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 || setresuid(NOBODY, NOBODY, NOBODY) != 0 || prctl(PR_SET_DUMPABLE, 1) != 0)
        abort();
}

#define seccomp_load(filter) (refuses(IFAB_WALL_SECCOMP) ? -1 : seccomp_load(filter))
#define setrlimit(what, set) (refuses(IFAB_WALL_RLIMITS) ? -1 : setrlimit(what, set))
#define unshare(what)        (refuses(IFAB_WALL_NAMESPACES) ? -1 : unshare(what))
#define prctl(...)           (refuses_prctl(__VA_ARGS__, 0) ? -1 : prctl(__VA_ARGS__))
#define syscall(number, ...) (refuses_call(number) ? -1L : syscall(number, __VA_ARGS__))
#include "../../shell/chassis/sandbox/walls.c"

/* What does not stand is told in READY, which no policy accepts; the worker goes on. */
static ifab_status some_walls(const struct ifab_walls *self, uint32_t *ret_walls, struct ifab_error *err)
{
    ifab_status status = ifab_walls_raise(self, ret_walls, err);
    return status == IFAB_IO ? IFAB_OK : status;
}

int main(int argc, char **argv)
{
    static const struct ifab_worker_program program = {IFAB_SANDBOX_EXECUTE, &ifab_engine_wasmtime, some_walls};
    refused = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
    become_nobody();
    ifab_worker_main(&program);
}

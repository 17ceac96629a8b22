/*
 * A process with nothing of ours but one socket. Not uv_spawn: that gives no pidfd, and a pid alone may be somebody else's by the time it is used.
 * posix_spawn shares memory until exec, so its cost does not grow with the daemon's.
 */
#include "pool_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define NICE_MOST 19 /* where the system has no SCHED_IDLE for us */

static ifab_status cannot(struct ifab_error *err, int cause, const char *what)
{
    ifab_status status = cause == ENOMEM ? IFAB_NOMEM : cause == EAGAIN || cause == EMFILE || cause == ENFILE ? IFAB_AGAIN : IFAB_IO;
    return ifab_fail(err, status, "sandbox: cannot %s: %s", what, strerror(cause));
}

/* fd 0 and 1 the socket, fd 2 /dev/null, nothing above; no signal blocked or ignored; its own group; no environment. */
static int start(const char *path, int theirs, pid_t *ret_pid)
{
    const char *slash = strrchr(path, '/');
    char name[64];
    char *const argv[] = {name, NULL}, *const envp[] = {NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int failed;
    (void)snprintf(name, sizeof name, "%s", slash == NULL ? path : slash + 1);
    if ((failed = posix_spawn_file_actions_init(&actions)) != 0)
        return failed;
    if ((failed = posix_spawnattr_init(&attributes)) != 0) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return failed;
    }
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    if ((failed = posix_spawn_file_actions_adddup2(&actions, theirs, 0)) == 0 &&
        (failed = posix_spawn_file_actions_adddup2(&actions, theirs, 1)) == 0 &&
        (failed = posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)) == 0 &&
        (failed = posix_spawn_file_actions_addclosefrom_np(&actions, 3)) == 0 &&
        (failed = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF)) == 0 &&
        (failed = posix_spawnattr_setpgroup(&attributes, 0)) == 0 && (failed = posix_spawnattr_setsigmask(&attributes, &none)) == 0 &&
        (failed = posix_spawnattr_setsigdefault(&attributes, &all)) == 0)
        failed = posix_spawn(ret_pid, path, &actions, &attributes, argv, envp);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    return failed;
}

ifab_status ifab_chassis__spawn(const char *path, struct chassis_process *ret, struct ifab_error *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return cannot(err, errno, "make a socket");
    struct chassis_process self = {.pid = 0, .pidfd = -1, .fd = ends[0]};
    int failed = start(path, ends[1], &self.pid);
    (void)close(ends[1]);
    if (failed != 0) {
        (void)close(self.fd);
        return cannot(err, failed, "start its program");
    }
    self.pidfd = pidfd_open(self.pid, 0); /* nobody but us reaps it, so its pid is still its own */
    if (self.pidfd < 0) {
        int cause = errno;
        (void)kill(self.pid, SIGKILL);
        while (waitpid(self.pid, NULL, 0) < 0 && errno == EINTR)
            ;
        (void)close(self.fd);
        return cannot(err, cause, "hold its process");
    }
    (void)fcntl(self.pidfd, F_SETFD, FD_CLOEXEC);
    *ret = self;
    return IFAB_OK;
}

void ifab_chassis__signal(const struct chassis_process *self, int signal_number)
{
    (void)pidfd_send_signal(self->pidfd, signal_number, NULL, 0); /* ESRCH: it is gone already */
}

uint64_t ifab_chassis__cpu(const struct chassis_process *self)
{
    clockid_t clock;
    struct timespec used;
    if (clock_getcpuclockid(self->pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
        return 0;
    return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}

/*
 * SCHED_IDLE: who wakes up has the CPU at once, and of a busy one it gets what nobody else of our control group wants; measured, a nice value alone left others
 * waiting for milliseconds. By its pid, which is still its own as long as it is not reaped. Where the system does not let us, it stays as it is.
 */
bool ifab_chassis__step_back(const struct chassis_process *self)
{
    const struct sched_param none = {.sched_priority = 0};
    return sched_setscheduler(self->pid, SCHED_IDLE, &none) == 0 || setpriority(PRIO_PROCESS, (id_t)self->pid, NICE_MOST) == 0;
}

bool ifab_chassis__reap(const struct chassis_process *self)
{
    siginfo_t info = {.si_pid = 0};
    int got = waitid(P_PIDFD, (id_t)self->pidfd, &info, WEXITED | WNOHANG);
    return got == 0 ? info.si_pid != 0 : errno == ECHILD;
}

void ifab_chassis__wait(const struct chassis_process *self)
{
    siginfo_t info;
    while (waitid(P_PIDFD, (id_t)self->pidfd, &info, WEXITED) != 0 && errno == EINTR)
        ;
}

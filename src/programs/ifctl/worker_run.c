/*
 * One command, from its start to its end: in a process group of its own, with the environment and the descriptors it is given and no others.
 *
 *     RUNNING ──timeout, too much output, told to end──> TERM sent ──WORKER_GRACE, or told again──> KILL sent
 *        │                                                  │                                          │
 *        └──claim lost: KILL at once                        └───────────── it has ended ───────────────┘
 *
 * 1. The group is ended as a whole, also when the command itself has ended and left others behind; only then it is waited for, so that its
 *    number cannot be another's by then.
 * 2. What a process that left the group still holds open is not waited for.
 * 3. The first cause is the one that is told.
 */
#include "task.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct run {
    const struct worker_job *job;
    struct worker_result *result;
    pid_t pid;
    int in, out;           /* our ends; -1: closed */
    struct ifab_view left; /* of the input */
    bool ending, over;
    int64_t timeout_at, tick_at, kill_at;
};

int64_t worker_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * IFAB_SECOND + t.tv_nsec / 1000;
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* ---- the child ---- */

/* Whatever this process was started with, and whatever it has opened, ends here. */
static bool close_the_rest(void)
{
#ifdef CLOSE_RANGE_CLOEXEC
    if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
        return true;
#endif
    long most = sysconf(_SC_OPEN_MAX);
    if (most < 0 || most > 1 << 20)
        return false;
    for (int fd = 3; fd < most; fd++)
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    return true;
}

static _Noreturn void become(const struct worker_job *job, int in, int out, int failed, pid_t parent)
{
    sigset_t none;
    int error = 0;
    for (int n = 1; n < NSIG; n++) { /* also those that are ignored: the command begins with what is usual */
        if (n != SIGKILL && n != SIGSTOP)
            (void)signal(n, SIG_DFL);
    }
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (setpgid(0, 0) != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 || !close_the_rest())
        error = errno;
    if (error == 0 && getppid() == parent) { /* else the signal would never come */
        execve(job->path, job->argv, job->envp);
        error = errno;
    }
    (void)!write(failed, &error, sizeof error);
    _exit(127);
}

static bool unblock(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

/* 0, or an errno. Comes back when the command runs, or will not. */
static int start(struct run *r)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1}, failed[2] = {-1, -1}, error = 0;
    pid_t parent = getpid();
    fflush(NULL);
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0 || pipe2(failed, O_CLOEXEC) != 0 || !unblock(in[1]) || !unblock(out[0]))
        error = errno;
    if (error == 0 && (r->pid = fork()) < 0)
        error = errno;
    if (error == 0 && r->pid == 0)
        become(r->job, in[0], out[1], failed[1], parent);
    close_end(&in[0]);
    close_end(&out[1]);
    close_end(&failed[1]);
    if (error == 0) {
        (void)setpgid(r->pid, r->pid); /* as the child does: whoever is first */
        ssize_t n;
        while ((n = read(failed[0], &error, sizeof error)) < 0 && errno == EINTR) {
        }
        if (n != (ssize_t)sizeof error)
            error = 0;
        else
            (void)waitpid(r->pid, NULL, 0);
    }
    close_end(&failed[0]);
    r->in = in[1];
    r->out = out[0];
    return error;
}

/* ---- pipes ---- */

static void give_input(struct run *r)
{
    while (r->in >= 0 && r->left.size > 0) {
        ssize_t n = write(r->in, r->left.data, r->left.size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) /* it does not want to know */
            r->left.size = 0;
        else
            r->left = ifab_view_of(r->left.data + n, r->left.size - (size_t)n);
    }
    close_end(&r->in);
}

static void end_it(struct run *r, enum worker_end why, bool at_once);

static void take_output(struct run *r)
{
    uint8_t chunk[16384];
    struct ifab_buf *to = &r->result->out;
    for (int i = 0; r->out >= 0 && i < 64; i++) { /* bounded: others have their turn, and a writer that never stops does not keep us */
        ssize_t n = read(r->out, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0)
            close_end(&r->out);
        else if (to->size + (size_t)n <= WORKER_OUTPUT_MAX)
            ifab_buf_put(to, chunk, (size_t)n);
        else
            end_it(r, WORKER_OUTPUT, false);
    }
}

/* ---- its end ---- */

static void end_it(struct run *r, enum worker_end why, bool at_once)
{
    if (!r->ending)
        r->result->end = why;
    if (r->ending && !at_once)
        return;
    (void)kill(-r->pid, at_once ? SIGKILL : SIGTERM);
    r->ending = true;
    r->kill_at = at_once ? INT64_MAX : worker_clock() + WORKER_GRACE;
}

/* Has it ended? Then the rest of its group ends too, and what it said is taken. */
static void look(struct run *r)
{
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != r->pid)
        return;
    take_output(r);
    (void)kill(-r->pid, SIGKILL); /* its number is still its own */
    while (waitpid(r->pid, &r->result->status, 0) < 0 && errno == EINTR) {
    }
    r->over = true;
}

static bool took_signal(int fd)
{
    struct signalfd_siginfo info;
    return read(fd, &info, sizeof info) == (ssize_t)sizeof info;
}

static void on_time(struct run *r)
{
    int64_t now = worker_clock(), next = IFAB_SECOND;
    if (now >= r->timeout_at) {
        end_it(r, WORKER_TIMEOUT, false);
        r->timeout_at = INT64_MAX;
    }
    if (now >= r->kill_at)
        end_it(r, r->result->end, true);
    if (now < r->tick_at)
        return;
    if (r->job->tick(r->job->user, &next)) {
        r->tick_at = worker_clock() + next;
    } else {
        r->tick_at = INT64_MAX;
        end_it(r, WORKER_LOST, true);
        r->result->end = WORKER_LOST; /* whatever else was the matter: there is nobody to tell */
    }
}

static int until_next(const struct run *r)
{
    int64_t at = r->timeout_at < r->tick_at ? r->timeout_at : r->tick_at;
    at = r->kill_at < at ? r->kill_at : at;
    int64_t ms = at == INT64_MAX ? 60000 : (at - worker_clock() + 999) / 1000;
    return ms < 0 ? 0 : ms > 60000 ? 60000 : (int)ms;
}

static void one_turn(struct run *r)
{
    struct pollfd p[] = {{.fd = r->in, .events = POLLOUT},
                         {.fd = r->out, .events = POLLIN},
                         {.fd = r->job->child_fd, .events = POLLIN},
                         {.fd = r->job->stop_fd, .events = POLLIN}};
    if (poll(p, IFAB_COUNT(p), until_next(r)) > 0) {
        if (p[0].revents != 0)
            give_input(r);
        if (p[1].revents != 0)
            take_output(r);
        if (p[2].revents != 0 && took_signal(r->job->child_fd))
            look(r);
        if (p[3].revents != 0 && took_signal(r->job->stop_fd))
            end_it(r, WORKER_STOPPED, r->ending);
    }
    if (!r->over)
        on_time(r);
}

void worker_run(const struct worker_job *job, struct worker_result *ret)
{
    int64_t now = worker_clock();
    struct run r = {.job = job, .result = ret, .in = -1, .out = -1, .left = job->input, .kill_at = INT64_MAX};
    *ret = (struct worker_result){.end = WORKER_EXITED};
    ifab_buf_init(&ret->out, WORKER_OUTPUT_MAX);
    r.timeout_at = now + job->timeout_usec;
    r.tick_at = now + job->first_tick;
    ret->error = start(&r);
    if (ret->error != 0)
        ret->end = WORKER_NOT_STARTED;
    while (ret->error == 0 && !r.over)
        one_turn(&r);
    if (ret->error == 0 && ifab_buf_status(&ret->out) != IFAB_OK) {
        ret->end = WORKER_NOT_STARTED; /* what it said could not be kept */
        ret->error = ENOMEM;
    }
    close_end(&r.in);
    close_end(&r.out);
    while (waitpid(-1, NULL, WNOHANG) > 0) { /* whose parents we became, as the first process of a container */
    }
}

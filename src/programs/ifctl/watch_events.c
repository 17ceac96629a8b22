/*
 * The log's events as a descriptor that poll(2) understands: a child reads the stream of the daemon with a connection of its own and writes
 * one byte whenever a decision may have changed. What changed is asked for by the parent, so nothing is lost when bytes are, and a stream
 * that breaks or lags begins anew. The child dies with its parent.
 */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SILENCE (45 * IFAB_SECOND) /* as follow.c */
#define PAUSE_MS 500

static void ring(int fd)
{
    (void)!write(fd, "", 1); /* not blocking: a full pipe rings already */
}

static ifab_status on_line(void *user, struct ifab_view line)
{
    static const char *const names[] = {"event: IF.connect.hold", "event: IF.connect.escalate", "event: IF.guard.", "event: lagged"};
    for (size_t i = 0; i < IFAB_COUNT(names); i++)
        if (line.size >= strlen(names[i]) && memcmp(line.data, names[i], strlen(names[i])) == 0)
            ring(*(const int *)user);
    return IFAB_OK;
}

static _Noreturn void listen_on(struct cli *cli, int fd, pid_t parent)
{
    const struct ifab_request request = {.version = IFAB_CLIENT_VERSION, .method = "GET", .target = "/v1/events"};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    cli->client = NULL; /* the parent's connection is the parent's */
    bool refused = cli_open_client(cli, true) != 0;
    while (getppid() == parent && !refused) {
        struct ifab_response response = {0};
        struct ifab_error err = {0};
        ifab_status status = ifab_client_stream(cli->client, &request, on_line, &fd, SILENCE, &response, &err);
        refused = status == IFAB_OK && (response.status == 401 || response.status == 403); /* may not read the log: the parent looks by the clock */
        ring(fd);
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
    }
    _exit(0);
}

void watch_events_start(struct cli *cli, struct watch_events *ret)
{
    int ends[2];
    *ret = (struct watch_events){.fd = -1, .pid = -1};
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return;
    fflush(NULL);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        close(ends[0]);
        listen_on(cli, ends[1], parent);
    }
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return;
    }
    *ret = (struct watch_events){.fd = ends[0], .pid = pid};
}

void watch_events_drain(struct watch_events *self)
{
    char bytes[512];
    ssize_t n = -1;
    while (self->fd >= 0 && (n = read(self->fd, bytes, sizeof bytes)) > 0)
        ;
    if (self->fd >= 0 && n == 0) { /* it has ended: by the clock from now on */
        close(self->fd);
        self->fd = -1;
    }
}

void watch_events_stop(struct watch_events *self)
{
    if (self->fd >= 0)
        close(self->fd);
    if (self->pid > 0) {
        kill(self->pid, SIGKILL);
        while (waitpid(self->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    *self = (struct watch_events){.fd = -1, .pid = -1};
}

#ifndef SUPPORT_SANDBOX_H
#define SUPPORT_SANDBOX_H
/*
 * A sandbox process as its daemon sees it: started with one socket pair, spoken to in frames, waited for. Header only; aborts the test program
 * where the test itself is broken. IFAB_SANDBOX names the folder of the programs.
 */
#include "frame/frame.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* A bound for hangs, in ms; nothing is measured by it. */
#define SANDBOX_PATIENCE_MS ((int)test_env_u64("IFAB_PATIENCE_MS", 60000))

struct sandbox {
    pid_t pid; /* 0: ended and waited for */
    int fd;
    int status; /* as waitpid says it, once ended */
    bool ended;
    struct ifab_buf in, out;
    size_t taken; /* bytes of `in` that the last frame took */
};

static inline _Noreturn void sandbox_abort(const char *what)
{
    fprintf(stderr, "sandbox: %s: %s\n", what, strerror(errno));
    abort();
}

/* Our end of a socket pair; the other one is for sandbox_spawn. */
static inline int sandbox_pair(struct sandbox *self)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        sandbox_abort("socketpair");
    *self = (struct sandbox){.fd = ends[0]};
    ifab_buf_init(&self->in, IFAB_FRAME_HEAD + IFAB_FRAME_LARGE_MAX + 65536);
    ifab_buf_init(&self->out, IFAB_FRAME_HEAD + IFAB_FRAME_LARGE_MAX);
    return ends[1];
}

#define SANDBOX_LAST_FD 1023
/* argument: its first, or NULL. extra: a descriptor the process inherits besides 0, 1 and 2, as 3 and as SANDBOX_LAST_FD, or -1. */
static inline void sandbox_spawn(struct sandbox *self, int other, const char *program, const char *argument, int extra)
{
    const char *folder = getenv("IFAB_SANDBOX");
    char path[512], first[32];
    char *const argv[] = {path, argument == NULL ? NULL : first, NULL}, *const envp[] = {NULL};
    if (folder == NULL)
        sandbox_abort("IFAB_SANDBOX is not set");
    snprintf(path, sizeof path, "%s/%s", folder, program);
    snprintf(first, sizeof first, "%s", argument == NULL ? "" : argument);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, other, 0);
    posix_spawn_file_actions_adddup2(&actions, other, 1);
    if (extra >= 0) {
        posix_spawn_file_actions_adddup2(&actions, extra, SANDBOX_LAST_FD);
        posix_spawn_file_actions_adddup2(&actions, extra, 3);
    }
    if (posix_spawn(&self->pid, path, &actions, NULL, argv, envp) != 0)
        sandbox_abort(path);
    posix_spawn_file_actions_destroy(&actions);
}
static inline void sandbox_start_as(struct sandbox *self, const char *program, const char *argument, int extra)
{
    int other = sandbox_pair(self);
    sandbox_spawn(self, other, program, argument, extra);
    close(other);
}
static inline void sandbox_start_with(struct sandbox *self, const char *program, int extra) { sandbox_start_as(self, program, NULL, extra); }
static inline void sandbox_start(struct sandbox *self, const char *program) { sandbox_start_with(self, program, -1); }

/* Bytes as they are; what the process does not take any more (it has ended) is not an error here. */
static inline void sandbox_send_bytes(struct sandbox *self, const void *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = send(self->fd, (const uint8_t *)bytes + done, size - done, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        done += (size_t)n;
    }
}
static inline void sandbox_send(struct sandbox *self, ifab_status written)
{
    if (written != IFAB_OK)
        sandbox_abort("a frame that cannot be written");
    sandbox_send_bytes(self, self->out.data, self->out.size);
    ifab_buf_clear(&self->out);
}

/* Until something can be read, or the other side is closed. */
static inline bool sandbox_wait(struct sandbox *self)
{
    if (poll(&(struct pollfd){self->fd, POLLIN, 0}, 1, SANDBOX_PATIENCE_MS) <= 0)
        sandbox_abort("a process that does not answer");
    return true;
}

/* The next frame; false: the process closed its end, or what it wrote is none. */
static inline bool sandbox_receive(struct sandbox *self, struct ifab_frame *ret)
{
    memmove(self->in.data, self->in.data + self->taken, self->in.size - self->taken);
    self->in.size -= self->taken;
    self->taken = 0;
    for (;;) {
        ifab_status status = ifab_frame_read(IFAB_FRAME_FROM_WORKER, ifab_buf_as_view(&self->in), ret, &self->taken);
        if (status == IFAB_OK)
            return true;
        if (status != IFAB_AGAIN) {
            self->taken = 0;
            return false;
        }
        self->taken = 0;
        sandbox_wait(self);
        static uint8_t chunk[65536];
        ssize_t n = read(self->fd, chunk, sizeof chunk);
        if (n <= 0)
            return false;
        ifab_buf_put(&self->in, chunk, (size_t)n);
        if (ifab_buf_status(&self->in) != IFAB_OK)
            sandbox_abort("out of memory");
    }
}

/* Waits for the end and returns the wait status; closes the socket first unless the process is to end by itself. */
static inline int sandbox_end(struct sandbox *self)
{
    close(self->fd);
    while (waitpid(self->pid, &self->status, 0) < 0)
        if (errno != EINTR)
            sandbox_abort("waitpid");
    ifab_buf_fini(&self->in);
    ifab_buf_fini(&self->out);
    self->pid = 0;
    return self->status;
}
static inline int sandbox_kill(struct sandbox *self)
{
    kill(self->pid, SIGKILL);
    return sandbox_end(self);
}

/* A guest that the build made: IFAB_GUESTS names the folder. */
static inline struct ifab_buf sandbox_guest(const char *name)
{
    char path[512];
    if (getenv("IFAB_GUESTS") == NULL)
        sandbox_abort("IFAB_GUESTS is not set");
    snprintf(path, sizeof path, "%s/%s", getenv("IFAB_GUESTS"), name);
    return test_read_file(path);
}

static const struct ifab_frame_load sandbox_limits = {
    .kind = IFAB_MODULE_ARTIFACT, .memory_pages = 32, .table_elements = 1000, .slots = 1, .imports = IFAB_IMPORT_ALL, .cpu_seconds = 60};

/* LOAD and what comes back: true after LOADED and READY; false after LOAD_FAILED, which stands in *ret_failed (its text in text), or an end. */
static inline bool sandbox_load(struct sandbox *self, const struct ifab_frame_load *load, uint32_t *ret_walls, struct ifab_frame_load_failed *ret_failed,
                                char text[IFAB_FRAME_TEXT_MAX + 1])
{
    struct ifab_frame frame;
    struct ifab_frame_loaded loaded;
    struct ifab_frame_ready ready;
    *ret_failed = (struct ifab_frame_load_failed){0};
    sandbox_send(self, ifab_frame_load_write(&self->out, load));
    if (!sandbox_receive(self, &frame))
        return false;
    if (frame.type == IFAB_FRAME_LOAD_FAILED && ifab_frame_load_failed_read(&frame, ret_failed) == IFAB_OK) {
        memcpy(text, ret_failed->text.data, ret_failed->text.size);
        text[ret_failed->text.size] = '\0';
        return false;
    }
    if (frame.type != IFAB_FRAME_LOADED || ifab_frame_loaded_read(&frame, &loaded) != IFAB_OK || !sandbox_receive(self, &frame) ||
        frame.type != IFAB_FRAME_READY || ifab_frame_ready_read(&frame, &ready) != IFAB_OK)
        return false;
    *ret_walls = ready.walls;
    return true;
}

/* A module through the prepare program: true with the artifact, false with the failure. */
static inline bool sandbox_prepare(const char *program, struct ifab_view wasm, struct ifab_buf *ret_artifact, struct ifab_frame_load_failed *ret_failed,
                                   char text[IFAB_FRAME_TEXT_MAX + 1])
{
    struct sandbox s;
    struct ifab_frame frame;
    struct ifab_frame_ready ready;
    *ret_failed = (struct ifab_frame_load_failed){0};
    text[0] = '\0';
    sandbox_start(&s, program);
    if (!sandbox_receive(&s, &frame) || frame.type != IFAB_FRAME_READY || ifab_frame_ready_read(&frame, &ready) != IFAB_OK)
        sandbox_abort("prepare is not ready");
    sandbox_send(&s, ifab_frame_bytes_write(&s.out, IFAB_FRAME_COMPILE, wasm));
    bool good = sandbox_receive(&s, &frame);
    if (good && frame.type == IFAB_FRAME_LOAD_FAILED && ifab_frame_load_failed_read(&frame, ret_failed) == IFAB_OK) {
        memcpy(text, ret_failed->text.data, ret_failed->text.size);
        text[ret_failed->text.size] = '\0';
    }
    good = good && frame.type == IFAB_FRAME_ARTIFACT;
    if (good)
        ifab_buf_view(ret_artifact, frame.payload);
    int status = sandbox_end(&s);
    if (!good && ret_failed->error == 0)
        snprintf(text, IFAB_FRAME_TEXT_MAX, "ended with %s %d", WIFSIGNALED(status) ? "signal" : "code", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return good;
}

static const struct ifab_frame_call sandbox_call = {
    .export_ = IFAB_EXPORT_APPLY, .deadline_ms = 20000, .output_max = 65536, .host_calls_max = 1000, .fuel = UINT64_C(50000000)};

/* The daemon of the tests: log, kv_put: nothing; kv_get: "value of KEY", of "none": NOT_FOUND, of "big": 1 MB; http: the request back; random: bytes 0, 1, 2…;
 * now: 1,700,000,000 s; secret_ref "revoked": DENIED, "late": DEADLINE, else the name. */
static inline void sandbox_answer(const struct ifab_frame_host_call *call, struct ifab_buf *bytes, enum ifab_host_status *ret_status)
{
    *ret_status = IFAB_HOST_OK;
    ifab_buf_clear(bytes);
    switch (call->import) {
    case IFAB_IMPORT_log:
    case IFAB_IMPORT_kv_put:
    case IFAB_IMPORT_COUNT:
        break;
    case IFAB_IMPORT_http:
        ifab_buf_view(bytes, call->a);
        break;
    case IFAB_IMPORT_secret_ref:
        *ret_status = ifab_view_is(call->a, "revoked") ? IFAB_HOST_DENIED : ifab_view_is(call->a, "late") ? IFAB_HOST_DEADLINE : IFAB_HOST_OK;
        if (*ret_status == IFAB_HOST_OK)
            ifab_buf_view(bytes, call->a);
        break;
    case IFAB_IMPORT_kv_get:
        if (ifab_view_is(call->a, "none")) {
            *ret_status = IFAB_HOST_NOT_FOUND;
        } else if (ifab_view_is(call->a, "big")) {
            while (bytes->size < 1000000)
                ifab_buf_put(bytes, "0123456789", 10);
        } else {
            ifab_buf_str(bytes, "value of ");
            ifab_buf_view(bytes, call->a);
        }
        break;
    case IFAB_IMPORT_now:
        ifab_buf_put(bytes, "\0\x40\x16\x82\x24\x0a\x06\0", 8);
        break;
    case IFAB_IMPORT_random:
        for (uint32_t i = 0; i < call->number; i++)
            ifab_buf_char(bytes, (char)i);
        break;
    }
}

/* One call to its RESULT; host calls are answered by sandbox_answer. false: the process ended instead. ret->output borrows from self->in. */
static inline bool sandbox_run(struct sandbox *self, uint32_t id, const struct ifab_frame_call *call, struct ifab_frame_result *ret)
{
    struct ifab_frame frame;
    struct ifab_frame_host_call asked;
    struct ifab_buf bytes = IFAB_BUF_INIT(IFAB_FRAME_SMALL_MAX);
    bool good = true;
    sandbox_send(self, ifab_frame_call_write(&self->out, id, call));
    while ((good = sandbox_receive(self, &frame) && frame.call == id) && frame.type == IFAB_FRAME_HOST_CALL) {
        enum ifab_host_status status;
        if (ifab_frame_host_call_read(&frame, &asked) != IFAB_OK)
            break;
        sandbox_answer(&asked, &bytes, &status);
        sandbox_send(self, ifab_frame_host_result_write(&self->out, id, &(struct ifab_frame_host_result){status, ifab_buf_as_view(&bytes)}));
    }
    ifab_buf_fini(&bytes);
    return good && frame.type == IFAB_FRAME_RESULT && ifab_frame_result_read(&frame, ret) == IFAB_OK;
}
#endif

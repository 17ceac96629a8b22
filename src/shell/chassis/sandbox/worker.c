/*
 * The life of a sandbox process. 1. Everything a call needs is allocated before the walls stand: two buffers of one frame each, and room left in
 * the heap, which cannot grow afterwards. 2. One frame is read at a time, whole; its head is judged before its payload is read. 3. Every
 * way out is _exit with a code of enum ifab_worker_exit, or a signal.
 */
#include "sandbox/worker.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#define IN        0
#define OUT       1
#define HEAP_ROOM (4U * 1024 * 1024) /* kept free in the heap: the engine allocates less than this within one call */

struct worker {
    const struct ifab_worker_program *program;
    struct ifab_engine *engine;
    uint8_t *in, *output; /* one small frame each way; output is the guest's, before it is framed */
    struct ifab_buf out;
    uint32_t call; /* id of the running one */
    uint32_t walls;
};

static struct ifab_engine *ticking; /* for the signal handlers */

static _Noreturn void end(enum ifab_worker_exit code) { _exit((int)code); }

/* --- bytes --- */
static void send_all(struct worker *self, ifab_status written)
{
    if (written != IFAB_OK)
        end(IFAB_WORKER_BROKEN);
    for (size_t done = 0; done < self->out.size;) {
        ssize_t n = write(OUT, self->out.data + done, self->out.size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            end(IFAB_WORKER_PROTOCOL);
        done += (size_t)n;
    }
    ifab_buf_clear(&self->out);
}

/* Bytes until `to` holds `size`; at the end of file between two frames the worker ends as by BYE. */
static void read_exactly(uint8_t *to, size_t size, bool between)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = read(IN, to + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            end(n == 0 && between && done == 0 ? IFAB_WORKER_BYE : IFAB_WORKER_PROTOCOL);
        done += (size_t)n;
    }
}

/* The next frame into self->in, or, for a large one, into a mapping of its own that the caller gives back. */
static struct ifab_frame receive(struct worker *self, bool large, uint8_t **ret_mapping, size_t *ret_size)
{
    uint8_t head[IFAB_FRAME_HEAD], *at = self->in;
    struct ifab_frame frame;
    size_t size = 0;
    read_exactly(head, sizeof head, true);
    ifab_status status = ifab_frame_read(IFAB_FRAME_FROM_DAEMON, ifab_view_of(head, sizeof head), &frame, &size);
    if ((status != IFAB_OK && status != IFAB_AGAIN) || (!large && size > IFAB_FRAME_HEAD + IFAB_FRAME_SMALL_MAX))
        end(IFAB_WORKER_PROTOCOL);
    if (large) {
        at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED)
            end(IFAB_WORKER_BROKEN);
        *ret_mapping = at;
        *ret_size = size;
    }
    memcpy(at, head, sizeof head);
    read_exactly(at + sizeof head, size - sizeof head, false);
    if (ifab_frame_read(IFAB_FRAME_FROM_DAEMON, ifab_view_of(at, size), &frame, &size) != IFAB_OK)
        end(IFAB_WORKER_PROTOCOL);
    return frame;
}

/* --- signals --- */
static void on_signal(int number)
{
    if (number == SIGPROF)
        ifab_engine_tick(ticking);
    else
        ifab_engine_stop(ticking);
}

static void arm(struct worker *self)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    const struct itimerval tick = {{0, IFAB_ENGINE_TICK_MS * 1000}, {0, IFAB_ENGINE_TICK_MS * 1000}};
    ticking = self->engine;
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGPROF, &action, NULL) != 0 || sigaction(SIGALRM, &action, NULL) != 0 || setitimer(ITIMER_PROF, &tick, NULL) != 0)
        end(IFAB_WORKER_BROKEN);
    signal(SIGPIPE, SIG_IGN); /* a daemon that is gone shows as EPIPE */
}

/* --- before the walls --- */
/* malloc that never maps or gives back: afterwards it lives from what the heap has. */
static void settle_malloc(void)
{
    if (mallopt(M_MMAP_MAX, 0) != 1 || mallopt(M_TRIM_THRESHOLD, -1) != 1 || mallopt(M_TOP_PAD, HEAP_ROOM) != 1 || mallopt(M_ARENA_MAX, 1) != 1)
        end(IFAB_WORKER_BROKEN);
}

static void allocate(struct worker *self)
{
    self->in = malloc(IFAB_FRAME_HEAD + IFAB_FRAME_SMALL_MAX);
    self->output = malloc(IFAB_FRAME_SMALL_MAX);
    ifab_buf_init(&self->out, IFAB_FRAME_HEAD + (self->program->role == IFAB_SANDBOX_PREPARE ? IFAB_FRAME_LARGE_MAX : IFAB_FRAME_SMALL_MAX));
    if (self->in == NULL || self->output == NULL || ifab_buf_reserve(&self->out, IFAB_FRAME_HEAD + IFAB_FRAME_SMALL_MAX) != IFAB_OK)
        end(IFAB_WORKER_BROKEN);
}

static void leave_room(void)
{
    void *room = malloc(HEAP_ROOM);
    if (room == NULL)
        end(IFAB_WORKER_BROKEN);
    free(room); /* stays with the heap: M_TRIM_THRESHOLD */
}

static _Noreturn void refuse(struct worker *self, const struct ifab_engine_failure *failure)
{
    const struct ifab_frame_load_failed body = {failure->error, ifab_view_str(failure->text)};
    send_all(self, ifab_frame_load_failed_write(&self->out, &body));
    end(IFAB_WORKER_REFUSED);
}

static void raise_walls(struct worker *self, uint32_t cpu_seconds, uint32_t slots)
{
    const struct ifab_walls walls = {self->program->role, cpu_seconds, slots};
    if (self->program->walls(&walls, &self->walls, NULL) != IFAB_OK)
        end(IFAB_WORKER_BROKEN);
}

static void say_ready(struct worker *self, const struct ifab_buf *config)
{
    const struct ifab_engine_ops *engine = self->program->engine;
    const struct ifab_frame_ready body = {self->walls, self->program->role, ifab_view_str(engine->name), ifab_view_str(engine->version),
                                          ifab_buf_as_view(config)};
    send_all(self, ifab_frame_ready_write(&self->out, &body));
}

/* --- execute --- */
static ifab_status ask_daemon(void *user, const struct ifab_frame_host_call *call, struct ifab_frame_host_result *ret)
{
    struct worker *self = user;
    ifab_status status = ifab_frame_host_call_write(&self->out, self->call, call);
    if (status != IFAB_OK) {
        ifab_buf_clear(&self->out);
        return status; /* too large, or not what the import takes */
    }
    send_all(self, IFAB_OK);
    struct ifab_frame frame = receive(self, false, NULL, NULL);
    if (frame.type != IFAB_FRAME_HOST_RESULT || frame.call != self->call || ifab_frame_host_result_read(&frame, ret) != IFAB_OK)
        end(IFAB_WORKER_PROTOCOL);
    return IFAB_OK;
}

static void serve_call(struct worker *self, const struct ifab_frame *frame)
{
    struct ifab_engine_call call = {.host = ask_daemon, .user = self};
    struct ifab_frame_result result;
    if (frame->type != IFAB_FRAME_CALL || ifab_frame_call_read(frame, &call.frame) != IFAB_OK)
        end(IFAB_WORKER_PROTOCOL);
    self->call = frame->call;
    ifab_engine_run(self->engine, &call, self->output, &result);
    send_all(self, ifab_frame_result_write(&self->out, self->call, &result));
}

static void load(struct worker *self, struct ifab_frame_load *ret, struct ifab_frame_loaded *ret_loaded)
{
    struct ifab_engine_failure failure = {IFAB_LOAD_ERROR_INTERNAL, "the engine does not open"};
    uint8_t *mapping = NULL;
    size_t size = 0;
    struct ifab_frame frame = receive(self, true, &mapping, &size);
    if (frame.type == IFAB_FRAME_BYE)
        end(IFAB_WORKER_BYE);
    if (frame.type != IFAB_FRAME_LOAD || ifab_frame_load_read(&frame, ret) != IFAB_OK)
        end(IFAB_WORKER_PROTOCOL);
    if (self->program->engine->open(ret->slots, &self->engine, NULL) != IFAB_OK ||
        self->engine->ops->load(self->engine, ret, ret_loaded, &failure) != IFAB_OK || self->engine->ops->warm(self->engine, NULL) != IFAB_OK)
        refuse(self, &failure);
    munmap(mapping, size);
    ret->bytes = (struct ifab_view){NULL, 0};
}

static _Noreturn void execute(struct worker *self, const struct ifab_buf *config)
{
    struct ifab_engine_failure failure;
    struct ifab_frame_load limits;
    struct ifab_frame_loaded loaded;
    load(self, &limits, &loaded);
    arm(self);
    leave_room();
    raise_walls(self, limits.cpu_seconds, limits.slots);
    if (self->engine->ops->probe(self->engine, &failure) != IFAB_OK)
        refuse(self, &failure);
    send_all(self, ifab_frame_loaded_write(&self->out, &loaded));
    say_ready(self, config);
    for (;;) {
        struct ifab_frame frame = receive(self, false, NULL, NULL);
        if (frame.type == IFAB_FRAME_BYE)
            end(IFAB_WORKER_BYE);
        serve_call(self, &frame);
    }
}

/* --- prepare --- */
static _Noreturn void prepare(struct worker *self, const struct ifab_buf *config)
{
    struct ifab_engine_failure failure = {IFAB_LOAD_ERROR_INTERNAL, "no memory"};
    struct ifab_buf artifact = IFAB_BUF_INIT(IFAB_FRAME_LARGE_MAX);
    uint8_t *mapping = NULL;
    size_t size = 0;
    if (self->program->engine->open(1, &self->engine, NULL) != IFAB_OK)
        end(IFAB_WORKER_BROKEN);
    raise_walls(self, IFAB_FRAME_PREPARE_CPU, 1);
    say_ready(self, config);
    struct ifab_frame frame = receive(self, true, &mapping, &size);
    if (frame.type == IFAB_FRAME_BYE)
        end(IFAB_WORKER_BYE);
    if (frame.type != IFAB_FRAME_COMPILE || frame.payload.size == 0)
        end(IFAB_WORKER_PROTOCOL);
    if (self->engine->ops->compile(self->engine, frame.payload, &artifact, &failure) != IFAB_OK)
        refuse(self, &failure);
    ifab_status written = ifab_frame_bytes_write(&self->out, IFAB_FRAME_ARTIFACT, ifab_buf_as_view(&artifact));
    if (written == IFAB_TOO_LARGE) {
        ifab_engine_fail(&failure, IFAB_LOAD_ERROR_LIMIT, "the artifact is too large", 25);
        refuse(self, &failure);
    }
    send_all(self, written);
    end(IFAB_WORKER_BYE);
}

_Noreturn void ifab_worker_main(const struct ifab_worker_program *program)
{
    static struct worker self;
    static struct ifab_buf config = IFAB_BUF_INIT(IFAB_FRAME_CONFIG_MAX);
    self.program = program;
    if (program->role == IFAB_SANDBOX_EXECUTE)
        settle_malloc();
    allocate(&self);
    program->engine->config(&config);
    if (ifab_buf_status(&config) != IFAB_OK)
        end(IFAB_WORKER_BROKEN);
    if (program->role == IFAB_SANDBOX_EXECUTE)
        execute(&self, &config);
    prepare(&self, &config);
}

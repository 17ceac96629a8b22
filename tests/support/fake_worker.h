#ifndef SUPPORT_FAKE_WORKER_H
#define SUPPORT_FAKE_WORKER_H
/*
 * A sandbox process without a sandbox, which does what the bytes it is given say, wrong things above all. Header only: a test program calls
 * fake_worker_main() first in main(); it serves, and does not return, when the program was started under the name if-fake-….
 *   if-fake-prepare[-HOW]  HOW: weak silent junk exit role other. Compiles the module "ARTIFACT" to the artifact "ARTIFACT";
 *                          modules that begin with ? do otherwise: ?hang ?refuse ?internal ?die ?junk ?half ?big ?twice ?late
 *   if-fake-execute        artifacts: "run", and !weak !silent !die !import !internal !engine !greedy !noloaded !twice !other !role !junk !call
 *                          call inputs: see fake_calls below
 */
#include "frame/frame.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define FAKE_CONFIG "fuel on\nepoch on\n"
#define FAKE_WALLS  (IFAB_WALL_MANDATORY | IFAB_WALL_LANDLOCK)

static struct ifab_buf fake_in = IFAB_BUF_INIT((size_t)128 << 20);
static size_t fake_taken;
static volatile sig_atomic_t fake_alarmed;

static inline _Noreturn void fake_exit(int code) { _exit(code); }
static inline _Noreturn void fake_sleep(void)
{
    for (;;)
        (void)poll(NULL, 0, 1000);
}
static inline void fake_send(const void *bytes, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t put = write(1, (const char *)bytes + at, size - at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            fake_exit(4);
        at += (size_t)put;
    }
}
static inline void fake_flush(struct ifab_buf *out)
{
    fake_send(out->data, out->size);
    ifab_buf_fini(out);
}
#define FAKE_SEND(write_call)                                   \
    do {                                                        \
        struct ifab_buf out = IFAB_BUF_INIT((size_t)128 << 20); \
        if ((write_call) != IFAB_OK)                            \
            fake_exit(5);                                       \
        fake_flush(&out);                                       \
    } while (0)

/* The next frame; the one before is dropped. End of file ends the process. */
static inline struct ifab_frame fake_read(void)
{
    struct ifab_frame frame;
    size_t size = 0;
    if (fake_taken > 0)
        memmove(fake_in.data, fake_in.data + fake_taken, fake_in.size - fake_taken);
    fake_in.size -= fake_taken;
    fake_taken = 0;
    for (;;) {
        ifab_status status = ifab_frame_read(IFAB_FRAME_FROM_DAEMON, ifab_buf_as_view(&fake_in), &frame, &size);
        if (status == IFAB_OK)
            break;
        if (status != IFAB_AGAIN || ifab_buf_reserve(&fake_in, 65536) != IFAB_OK)
            fake_exit(6);
        ssize_t got = read(0, fake_in.data + fake_in.size, 65536);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            fake_exit(0);
        fake_in.size += (size_t)got;
    }
    fake_taken = size;
    return frame;
}

static inline void fake_ready(enum ifab_sandbox_role role, uint32_t walls, const char *version)
{
    const struct ifab_frame_ready ready = {walls, role, IFAB_VIEW("fake"), ifab_view_str(version), IFAB_VIEW(FAKE_CONFIG)};
    FAKE_SEND(ifab_frame_ready_write(&out, &ready));
}
static inline void fake_junk(void)
{
    static const char junk[] = "Segmentation fault (core dumped)\n";
    fake_send(junk, sizeof junk - 1);
    fake_sleep();
}
static inline void fake_load_failed(enum ifab_load_error error, const char *text)
{
    const struct ifab_frame_load_failed failed = {error, ifab_view_str(text)};
    FAKE_SEND(ifab_frame_load_failed_write(&out, &failed));
    fake_exit(1);
}
/* A head that claims so many bytes of payload. */
static inline void fake_head(enum ifab_frame_type type, uint32_t size, uint32_t call)
{
    uint8_t head[IFAB_FRAME_HEAD] = {0}, *at = head;
    ifab_put_u32(&at, size);
    ifab_put_u32(&at, type);
    ifab_put_u32(&at, call);
    fake_send(head, sizeof head);
}

static inline _Noreturn void fake_prepare(const char *how)
{
    if (strcmp(how, "-silent") == 0)
        fake_sleep();
    if (strcmp(how, "-junk") == 0)
        fake_junk();
    if (strcmp(how, "-exit") == 0)
        fake_exit(3);
    fake_ready(strcmp(how, "-role") == 0 ? IFAB_SANDBOX_EXECUTE : IFAB_SANDBOX_PREPARE,
               strcmp(how, "-weak") == 0 ? IFAB_WALL_MANDATORY & ~IFAB_WALL_SECCOMP : FAKE_WALLS, strcmp(how, "-other") == 0 ? "2" : "1");
    struct ifab_frame frame = fake_read();
    if (frame.type != IFAB_FRAME_COMPILE)
        fake_exit(frame.type == IFAB_FRAME_BYE ? 0 : 6);
    if (ifab_view_is(frame.payload, "?hang"))
        fake_sleep();
    if (ifab_view_is(frame.payload, "?die"))
        fake_exit(3);
    if (ifab_view_is(frame.payload, "?junk"))
        fake_junk();
    if (ifab_view_is(frame.payload, "?refuse"))
        fake_load_failed(IFAB_LOAD_ERROR_EXPORT, "if_apply");
    if (ifab_view_is(frame.payload, "?internal"))
        fake_load_failed(IFAB_LOAD_ERROR_INTERNAL, "no memory");
    if (ifab_view_is(frame.payload, "?half")) {
        fake_head(IFAB_FRAME_ARTIFACT, 1000, 0);
        fake_exit(0);
    }
    if (ifab_view_is(frame.payload, "?big")) {
        fake_head(IFAB_FRAME_ARTIFACT, 60U << 20, 0);
        fake_sleep();
    }
    if (ifab_view_is(frame.payload, "?late"))
        (void)poll(NULL, 0, 200);
    struct ifab_view artifact = frame.payload.data[0] == '?' ? IFAB_VIEW("run") : frame.payload;
    FAKE_SEND(ifab_frame_bytes_write(&out, IFAB_FRAME_ARTIFACT, artifact));
    if (ifab_view_is(frame.payload, "?twice"))
        FAKE_SEND(ifab_frame_bytes_write(&out, IFAB_FRAME_ARTIFACT, artifact));
    fake_exit(0);
}

/* ---- execute ---- */

static inline void fake_loaded(uint32_t imports)
{
    const struct ifab_frame_loaded loaded = {1, imports};
    FAKE_SEND(ifab_frame_loaded_write(&out, &loaded));
}
static inline void fake_result(uint32_t call, enum ifab_trap trap, uint64_t fuel, uint32_t host_calls, struct ifab_view output)
{
    const struct ifab_frame_result result = {trap, host_calls, fuel, output};
    FAKE_SEND(ifab_frame_result_write(&out, call, &result));
}
static inline void fake_ask(uint32_t call, enum ifab_import import, const char *a)
{
    const struct ifab_frame_host_call ask = {import, import == IFAB_IMPORT_random ? 8 : 0, ifab_view_str(a), {NULL, 0}};
    FAKE_SEND(ifab_frame_host_call_write(&out, call, &ask));
}
static inline struct ifab_frame_host_result fake_answer(void)
{
    struct ifab_frame frame = fake_read();
    struct ifab_frame_host_result result;
    if (frame.type != IFAB_FRAME_HOST_RESULT || ifab_frame_host_result_read(&frame, &result) != IFAB_OK)
        fake_exit(frame.type == IFAB_FRAME_BYE ? 0 : 6);
    return result;
}

/* What a process finds at its start: descriptors, environment, group, blocked and ignored signals, arguments. */
static inline void fake_describe(char *to, size_t size)
{
    extern char **environ;
    char line[256];
    size_t fds = 0, variables = 0;
    DIR *dir = opendir("/proc/self/fd");
    for (const struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;)
        fds += e->d_name[0] != '.' && atoi(e->d_name) != dirfd(dir); /* NOLINT */
    while (environ != NULL && environ[variables] != NULL)
        variables++;
    int at = snprintf(to, size, "fds %zu env %zu group %d", fds, variables, getpgrp() == getpid());
    FILE *status = fopen("/proc/self/status", "re");
    while (status != NULL && fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, "SigBlk:", 7) == 0 || strncmp(line, "SigIgn:", 7) == 0) {
            unsigned long long mask = strtoull(line + 7, NULL, 16) & ~0x180000000ULL; /* 32 and 33 are libc's */
            at += snprintf(to + at, size - (size_t)at, " %.6s %llx", line, mask);
        }
    }
}

static inline void fake_host_loop(const struct ifab_frame *frame, const char *what, bool stubborn)
{
    uint32_t call = frame->call, count = 0;
    enum ifab_host_status status = IFAB_HOST_OK;
    while (stubborn || status < IFAB_HOST_DENIED) {
        fake_ask(call, IFAB_IMPORT_http, what);
        status = fake_answer().status;
        count++;
    }
    fake_result(call, status == IFAB_HOST_DEADLINE ? IFAB_TRAP_DEADLINE : IFAB_TRAP_HOST_DENIED, 1, count, IFAB_VIEW("stopped"));
}

/* "host TEXT": one http with TEXT; answers with its status, a colon, its bytes. */
static inline void fake_host(const struct ifab_frame *frame, const char *what)
{
    char text[4096];
    fake_ask(frame->call, IFAB_IMPORT_http, what);
    uint32_t call = frame->call;
    struct ifab_frame_host_result result = fake_answer();
    int size = snprintf(text, sizeof text, "%u:%.*s", result.status, (int)result.bytes.size, (const char *)result.bytes.data);
    if (result.status == IFAB_HOST_DEADLINE)
        fake_result(call, IFAB_TRAP_DEADLINE, 1, 1, IFAB_VIEW("while the daemon worked"));
    else
        fake_result(call, IFAB_TRAP_NONE, 3, 1, ifab_view_of(text, (size_t)size));
}

static inline void fake_wrong(const struct ifab_frame *frame, const struct ifab_frame_call *call, const char *word)
{
    uint32_t id = frame->call;
    for (int i = 0; i < 1000 && strcmp(word, "flood") == 0; i++) /* asks and asks, and reads no answer */
        fake_ask(id, IFAB_IMPORT_http, "flood");
    if (strcmp(word, "garbage") == 0)
        fake_junk();
    else if (strcmp(word, "oversize") == 0)
        fake_head(IFAB_FRAME_RESULT, IFAB_FRAME_SMALL_MAX + 1, id);
    else if (strcmp(word, "half") == 0)
        fake_head(IFAB_FRAME_RESULT, 100, id);
    else if (strcmp(word, "halfexit") == 0)
        fake_head(IFAB_FRAME_RESULT, 100, id), fake_exit(0);
    else if (strcmp(word, "exit") == 0)
        fake_exit(0);
    else if (strcmp(word, "crash") == 0)
        (void)raise(SIGKILL);
    else if (strcmp(word, "othercall") == 0)
        fake_result(id + 1, IFAB_TRAP_NONE, 1, 0, IFAB_VIEW("x"));
    else if (strcmp(word, "ungranted") == 0)
        fake_ask(id, IFAB_IMPORT_random, "");
    else if (strcmp(word, "malformed") == 0)
        fake_head(IFAB_FRAME_HOST_CALL, 0, id);
    else if (strcmp(word, "fuel") == 0)
        fake_result(id, IFAB_TRAP_NONE, call->fuel + 1, 0, IFAB_VIEW("x"));
    else if (strcmp(word, "uncounted") == 0)
        fake_ask(id, IFAB_IMPORT_http, "x"), (void)fake_answer(), fake_result(id, IFAB_TRAP_NONE, 1, 0, IFAB_VIEW("x"));
    else if (strcmp(word, "impatient") == 0)
        fake_ask(id, IFAB_IMPORT_http, "hold"), fake_result(id, IFAB_TRAP_NONE, 1, 1, IFAB_VIEW("x"));
    else if (strcmp(word, "loaded") == 0)
        fake_loaded(0);
    else if (strcmp(word, "long") == 0) {
        static uint8_t bytes[8192];
        fake_result(id, IFAB_TRAP_NONE, 1, 0, ifab_view_of(bytes, sizeof bytes));
    } else
        fake_exit(7);
    fake_sleep();
}

static inline void fake_guest(uint32_t id, const char *input)
{
    char answer[4200];
    const char *trap = strstr(input, "\"params\":{\"trap\":\""), *error = strstr(input, "\"params\":{\"error\":");
    snprintf(answer, sizeof answer, "{\"result\":%s}", input);
    if (error != NULL) /* an answer of its own: the params are the whole of it */
        snprintf(answer, sizeof answer, "%.*s", (int)(strlen(error) - strlen("\"params\":") - 1), error + strlen("\"params\":"));
    if (trap != NULL)
        fake_result(id, IFAB_TRAP_UNREACHABLE, 1, 0, ifab_view_of(trap + 18, strcspn(trap + 18, "\"")));
    else
        fake_result(id, IFAB_TRAP_NONE, 1, 0, ifab_view_str(answer));
}

static inline void fake_alarm(int number)
{
    (void)number;
    fake_alarmed = 1;
}

/* fake_calls: "echo TEXT" "pid" "start" "trap N" "host TEXT" "hosts TEXT" (for ever) "stubborn TEXT" (for ever, whatever is said) "spin"
 * "compute" (until it has stepped back) "alarm" (until SIGALRM) "after" (one result more) "dribble" (a result in pieces) "nothing"; "wrong WORD": see
 * fake_wrong(). JSON, as guests get it: answers with it as the result, or traps with the text of its params where they are one, or
 * answers with its params where they are an error. */
static inline void fake_call(const struct ifab_frame *frame)
{
    struct ifab_frame_call call;
    char text[4096], word[32] = "", rest[4000] = "";
    uint32_t id = frame->call;
    if (ifab_frame_call_read(frame, &call) != IFAB_OK)
        fake_exit(6);
    snprintf(text, sizeof text, "%.*s", (int)(call.input.size < sizeof text ? call.input.size : sizeof text - 1), (const char *)call.input.data);
    (void)sscanf(text, "%31s %3999[^\n]", word, rest);
    if (text[0] == '{') {
        fake_guest(id, text);
    } else if (strcmp(word, "echo") == 0) {
        fake_result(id, IFAB_TRAP_NONE, strlen(rest), 0, ifab_view_str(rest));
    } else if (strcmp(word, "pid") == 0) {
        snprintf(text, sizeof text, "%d", (int)getpid());
        fake_result(id, IFAB_TRAP_NONE, 1, 0, ifab_view_str(text));
    } else if (strcmp(word, "start") == 0) {
        fake_describe(text, sizeof text);
        fake_result(id, IFAB_TRAP_NONE, 1, 0, ifab_view_str(text));
    } else if (strcmp(word, "trap") == 0) {
        fake_result(id, (enum ifab_trap)atoi(rest), 5, 0, IFAB_VIEW("because")); /* NOLINT */
    } else if (strcmp(word, "host") == 0) {
        fake_host(frame, rest);
    } else if (strcmp(word, "hosts") == 0 || strcmp(word, "stubborn") == 0) {
        fake_host_loop(frame, rest, word[0] == 's');
    } else if (strcmp(word, "spin") == 0) {
        fake_sleep();
    } else if (strcmp(word, "compute") == 0) {
        while (sched_getscheduler(0) != SCHED_IDLE || clock() < CLOCKS_PER_SEC / 20) /* also where all of the tests run so */
            ;
        snprintf(text, sizeof text, "policy %d", sched_getscheduler(0));
        fake_result(id, IFAB_TRAP_NONE, 1, 0, ifab_view_str(text));
    } else if (strcmp(word, "alarm") == 0) {
        while (!fake_alarmed)
            (void)poll(NULL, 0, 10);
        fake_alarmed = 0;
        fake_result(id, IFAB_TRAP_DEADLINE, 0, 0, IFAB_VIEW("told"));
    } else if (strcmp(word, "after") == 0) {
        fake_result(id, IFAB_TRAP_NONE, 1, 0, IFAB_VIEW("first"));
        fake_result(id, IFAB_TRAP_NONE, 1, 0, IFAB_VIEW("second"));
    } else if (strcmp(word, "dribble") == 0) {
        struct ifab_buf out = IFAB_BUF_INIT(4096);
        const struct ifab_frame_result result = {IFAB_TRAP_NONE, 0, 1, IFAB_VIEW("in pieces")};
        if (ifab_frame_result_write(&out, id, &result) != IFAB_OK)
            fake_exit(5);
        for (size_t i = 0; i < out.size; i++) {
            fake_send(out.data + i, 1);
            (void)poll(NULL, 0, 1);
        }
        ifab_buf_fini(&out);
    } else if (strcmp(word, "nothing") == 0) {
        fake_result(id, IFAB_TRAP_NONE, 0, 0, IFAB_VIEW(""));
    } else {
        fake_wrong(frame, &call, rest);
    }
}

static inline _Noreturn void fake_execute(void)
{
    struct ifab_frame frame = fake_read();
    struct ifab_frame_load load;
    uint32_t walls = FAKE_WALLS;
    if (ifab_frame_load_read(&frame, &load) != IFAB_OK || load.kind != IFAB_MODULE_ARTIFACT)
        fake_exit(6);
#define IS(word) ifab_view_is(load.bytes, word)
    if (IS("!silent"))
        fake_sleep();
    if (IS("!die"))
        fake_exit(3);
    if (IS("!junk"))
        fake_junk();
    if (IS("!call"))
        fake_result(1, IFAB_TRAP_NONE, 1, 0, IFAB_VIEW("x"));
    if (IS("!import"))
        fake_load_failed(IFAB_LOAD_ERROR_IMPORT, "env.system");
    if (IS("!internal"))
        fake_load_failed(IFAB_LOAD_ERROR_INTERNAL, "no memory");
    if (IS("!engine"))
        fake_load_failed(IFAB_LOAD_ERROR_ENGINE, "another");
    if (IS("!weak"))
        walls &= ~(uint32_t)IFAB_WALL_LANDLOCK;
    if (!IS("!noloaded"))
        fake_loaded(IS("!greedy") ? IFAB_IMPORT_ALL : 0);
    if (IS("!twice"))
        fake_loaded(0);
    fake_ready(IS("!role") ? IFAB_SANDBOX_PREPARE : IFAB_SANDBOX_EXECUTE, walls, IS("!other") ? "2" : "1");
#undef IS
    for (;;) {
        frame = fake_read();
        if (frame.type == IFAB_FRAME_BYE)
            fake_exit(0);
        if (frame.type != IFAB_FRAME_CALL)
            fake_exit(6);
        fake_call(&frame);
    }
}

static inline void fake_worker_main(const char *argv0)
{
    const char *slash = strrchr(argv0, '/'), *name = slash == NULL ? argv0 : slash + 1;
    const struct sigaction action = {.sa_handler = fake_alarm};
    if (strncmp(name, "if-fake-", 8) != 0)
        return;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)sigaction(SIGALRM, &action, NULL);
    if (strncmp(name, "if-fake-prepare", 15) == 0)
        fake_prepare(name + 15);
    fake_execute();
}
#endif

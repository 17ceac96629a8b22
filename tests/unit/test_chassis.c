/*
 * The pool against workers that do as they are told, wrong things above all (fake_worker.h): what each costs is its own call. No time is
 * measured; what is waited for is bounded by PATIENCE. INV-07, INV-08, INV-15
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto/crypto.h"
#include "fake_worker.h"
#include "pool/artifact.h"
#include "pool/pool.h"
#include "support.h"

#include <errno.h>
#include <malloc.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE (4 * (uint32_t)test_env_u64("IFAB_PATIENCE_MS", 30000)) /* ms; a bound for hangs, over many calls */
#define CALLS    1400

struct outcome {
    bool done;
    enum ifab_code code;
    enum ifab_trap trap;
    bool began;
    uint32_t host_calls;
    uint64_t fuel;
    char output[256], text[300];
    size_t output_size;
};

static struct world {
    uv_loop_t loop;
    uv_timer_t patience;
    struct ifab_chassis_options options;
    struct ifab_chassis *pool;
    struct ifab_chassis_module *module;
    struct ifab_chassis_request request;
    struct outcome outcomes[CALLS];
    size_t count, ended;
    uint64_t held[64], gone[64]; /* host calls not answered; nobody waits any more */
    size_t held_count, gone_count, host_count;
    enum ifab_export last_export;
    bool in_call, closed;
    char dir[64], cache[96], execute[96], prepare[128], self[512];
} w;

/* ---- the kernel's two ways of stepping back; refused: so many of them, the better one first ---- */
static int refused;
int sched_setscheduler(pid_t pid, int policy, const struct sched_param *param)
{
    errno = EPERM;
    return refused >= 1 ? -1 : (int)syscall(SYS_sched_setscheduler, pid, policy, param);
}
int setpriority(__priority_which_t which, id_t who, int value)
{
    errno = EPERM;
    return refused >= 2 ? -1 : (int)syscall(SYS_setpriority, which, who, value);
}

/* ---- host calls: "hold…" is kept, the rest is answered at once with its own text ---- */
static void on_host_call(void *user, const struct ifab_chassis_host_call *ask)
{
    assert_ptr_equal(user, &w);
    assert_false(w.in_call);
    assert_int_equal(ask->args->import, IFAB_IMPORT_http);
    assert_true(ask->left >= 0);
    w.host_count++;
    w.last_export = ask->export_;
    if (ifab_view_starts(ask->args->a, IFAB_VIEW("hold"))) {
        assert_true(w.held_count < IFAB_COUNT(w.held));
        w.held[w.held_count++] = ask->id;
    } else if (ifab_view_is(ask->args->a, "flood")) {
        static const uint8_t value[65536];
        (void)ifab_chassis_host_result(w.pool, ask->id, IFAB_HOST_OK, ifab_view_of(value, sizeof value));
    } else if (ifab_view_starts(ask->args->a, IFAB_VIEW("refuse"))) {
        assert_int_equal(ifab_chassis_host_result(w.pool, ask->id, IFAB_HOST_REFUSED, (struct ifab_view){NULL, 0}), IFAB_OK);
    } else {
        assert_int_equal(ifab_chassis_host_result(w.pool, ask->id, IFAB_HOST_OK, ask->args->a), IFAB_OK);
        assert_int_equal(ifab_chassis_host_result(w.pool, ask->id, IFAB_HOST_OK, ask->args->a), IFAB_NOT_FOUND); /* once */
    }
}

static void on_host_gone(void *user, uint64_t id)
{
    assert_ptr_equal(user, &w);
    assert_false(w.in_call);
    assert_true(w.gone_count < IFAB_COUNT(w.gone));
    w.gone[w.gone_count++] = id;
}

static void on_done(void *user, uint64_t call, const struct ifab_chassis_result *result)
{
    struct outcome *o = user;
    assert_false(w.in_call);
    assert_false(o->done);
    assert_true(call > 0);
    o->done = true;
    o->code = result->code;
    o->trap = result->trap;
    o->began = result->began;
    o->fuel = result->fuel_used;
    o->host_calls = result->host_calls;
    o->output_size = result->output.size;
    snprintf(o->output, sizeof o->output, IFAB_FMT, IFAB_ARG(result->output));
    snprintf(o->text, sizeof o->text, "%s", result->text);
    w.ended++;
    uv_stop(&w.loop); /* else it would wait for the next event before anybody looks */
}

/* ---- the world ---- */
static void on_patience(uv_timer_t *timer)
{
    (void)timer;
    fprintf(stderr, "nothing came\n");
    abort();
}

static void turn_until(const size_t *count, size_t wanted)
{
    uv_timer_start(&w.patience, on_patience, PATIENCE, 0);
    while (*count < wanted)
        uv_run(&w.loop, UV_RUN_ONCE);
    uv_timer_stop(&w.patience);
}

static void set_module(const char *bytes)
{
    uint8_t digest[32];
    struct ifab_error err = {.text = ""};
    ifab_chassis_module_unref(w.module);
    ifab_sha256(ifab_view_str(bytes), digest);
    assert_int_equal(ifab_chassis_module_new(ifab_view_str(bytes), digest, &w.module, &err), IFAB_OK);
    w.request.module = w.module;
}

static void open_pool(void)
{
    const struct ifab_chassis_handlers handlers = {on_host_call, on_host_gone, &w};
    struct ifab_error err = {.text = ""};
    w.closed = false;
    if (ifab_chassis_new(&w.loop, &w.options, &handlers, &w.pool, &err) != IFAB_OK)
        fail_msg("%s", err.text);
}

static void on_closed(void *user)
{
    *(bool *)user = true;
    uv_stop(&w.loop);
}

static void close_pool(void)
{
    if (w.pool == NULL)
        return;
    w.in_call = true;
    ifab_chassis_close(w.pool, on_closed, &w.closed);
    w.in_call = false;
    uv_timer_start(&w.patience, on_patience, PATIENCE, 0);
    while (!w.closed)
        uv_run(&w.loop, UV_RUN_ONCE);
    uv_timer_stop(&w.patience);
    w.pool = NULL;
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child, no zombie */
    assert_int_equal(errno, ECHILD);
}

static void program(const char *name, char *ret_path, size_t size)
{
    snprintf(ret_path, size, "%s/%s", w.dir, name);
    if (access(ret_path, F_OK) != 0)
        assert_int_equal(symlink(w.self, ret_path), 0);
}

static int setup(void **state)
{
    (void)state;
    memset(&w, 0, sizeof w);
    refused = 0;
    ssize_t size = readlink("/proc/self/exe", w.self, sizeof w.self - 1);
    assert_true(size > 0);
    snprintf(w.dir, sizeof w.dir, "/tmp/ifab-chassis-XXXXXX");
    assert_non_null(mkdtemp(w.dir));
    program("if-fake-execute", w.execute, sizeof w.execute);
    program("if-fake-prepare", w.prepare, sizeof w.prepare);
    snprintf(w.cache, sizeof w.cache, "%s/cache", w.dir);
    assert_int_equal(uv_loop_init(&w.loop), 0);
    uv_timer_init(&w.loop, &w.patience);
    ifab_chassis_options_default(&w.options);
    w.options.execute_path = w.execute;
    w.options.prepare_path = w.prepare;
    w.options.walls = FAKE_WALLS;
    w.options.load_ms = w.options.prepare_ms = w.options.wait_ms = PATIENCE;
    w.options.rest_ms = 0;
    w.request = (struct ifab_chassis_request){
        .tenant = {.talent = 1, .manifest32 = {1}},
        .imports = 1U << IFAB_IMPORT_http | 1U << IFAB_IMPORT_log,
        .memory_pages = 16,
        .export_ = IFAB_EXPORT_APPLY,
        .deadline_ms = 60000,
        .fuel = 1000,
        .output_max = 4096,
        .host_calls_max = 1000,
    };
    set_module("run");
    return 0;
}

static int teardown(void **state)
{
    char command[128];
    (void)state;
    close_pool();
    ifab_chassis_module_unref(w.module);
    uv_close((uv_handle_t *)&w.patience, NULL);
    uv_run(&w.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w.loop), 0);
    snprintf(command, sizeof command, "rm -rf %s", w.dir);
    assert_int_equal(system(command), 0);
    return 0;
}

/* ---- calls ---- */
static ifab_status begin(const char *input, uint64_t *ret_id)
{
    assert_true(w.count < CALLS);
    uint64_t id = 0;
    w.request.input = ifab_view_str(input);
    w.in_call = true;
    ifab_status status = ifab_chassis_call(w.pool, &w.request, on_done, &w.outcomes[w.count], &id);
    w.in_call = false;
    if (status == IFAB_OK)
        w.count++;
    if (ret_id != NULL)
        *ret_id = id;
    return status;
}

static const struct outcome *run(const char *input)
{
    assert_int_equal(begin(input, NULL), IFAB_OK);
    turn_until(&w.ended, w.count);
    return &w.outcomes[w.count - 1];
}

static struct ifab_chassis_stats stats(void)
{
    struct ifab_chassis_stats s;
    ifab_chassis_stats(w.pool, &s);
    return s;
}

/* Until the processes that were killed are reaped. */
static void turn_until_workers(uint32_t wanted)
{
    uv_timer_start(&w.patience, on_patience, PATIENCE, 0);
    while (stats().workers != wanted)
        uv_run(&w.loop, UV_RUN_ONCE);
    uv_timer_stop(&w.patience);
}

#define assert_outcome(o_, code_, trap_)                                                               \
    do {                                                                                               \
        const struct outcome *got_ = (o_);                                                             \
        if (got_->code != (code_) || got_->trap != (trap_))                                            \
            fail_msg("code %d, trap %s: %s", (int)got_->code, ifab_trap_name(got_->trap), got_->text); \
        assert_true((got_->code == IFAB_CODE_NONE) == (got_->text[0] == '\0'));                        \
    } while (0)
#define assert_echo(text_)                                  \
    do {                                                    \
        const struct outcome *o_ = run("echo " text_);      \
        assert_outcome(o_, IFAB_CODE_NONE, IFAB_TRAP_NONE); \
        assert_string_equal(o_->output, text_);             \
    } while (0)

static void a_call_runs_and_its_worker_stays_warm(void **state)
{
    (void)state;
    char first[256], engine[2 * IFAB_FRAME_NAME_MAX + 2];
    uint32_t walls = 0;
    open_pool();
    assert_false(ifab_chassis_engine(w.pool, engine, &walls));
    assert_echo("hello");
    assert_int_equal(w.outcomes[0].fuel, 5);
    assert_true(w.outcomes[0].began);
    snprintf(first, sizeof first, "%s", run("pid")->output);
    assert_string_equal(run("pid")->output, first);
    assert_int_equal(run("nothing")->output_size, 0);
    assert_string_equal(run("dribble")->output, "in pieces");
    assert_string_equal(run("pid")->output, first);
    assert_true(ifab_chassis_engine(w.pool, engine, &walls));
    assert_string_equal(engine, "fake 1");
    assert_int_equal(walls, FAKE_WALLS);
    turn_until_workers(1);                /* compilers are gone */
    assert_int_equal(stats().started, 3); /* one to tell the engine, one to compile, one to run */
    assert_int_equal(stats().compiled, 1);
    assert_int_equal(stats().calls, 6);
}

static void a_worker_starts_with_nothing(void **state)
{
    (void)state;
    int leak = open("/etc/passwd", 0); /* not close-on-exec on purpose */
    sigset_t all, before;
    assert_true(leak >= 0);
    setenv("SECRET", "x", 1);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    signal(SIGUSR1, SIG_IGN);
    open_pool();
    const struct outcome *o = run("start");
    sigprocmask(SIG_SETMASK, &before, NULL);
    signal(SIGUSR1, SIG_DFL);
    unsetenv("SECRET");
    close(leak);
    assert_string_equal(o->output, "fds 3 env 0 group 1 SigBlk 0 SigIgn 0");
}

static void whatever_a_worker_does_wrong_ends_its_call_and_itself(void **state)
{
    (void)state;
    static const char *const words[] = {"wrong garbage",   "wrong oversize",  "wrong halfexit",  "wrong exit", "wrong crash",
                                        "wrong othercall", "wrong ungranted", "wrong malformed", "wrong fuel", "wrong uncounted",
                                        "wrong long",      "wrong impatient", "wrong loaded"};
    open_pool();
    for (size_t i = 0; i < IFAB_COUNT(words); i++) {
        uint64_t started = stats().started;
        const struct outcome *o = run(words[i]);
        if (o->code != IFAB_CODE_SANDBOX_VIOLATION || o->trap != IFAB_TRAP_KILLED || o->fuel != 1000 || !o->began || o->output_size != 0)
            fail_msg("%s: code %d, trap %d, fuel %d", words[i], (int)o->code, (int)o->trap, (int)o->fuel);
        assert_echo("the next one");
        assert_true(stats().started > started);
    }
    assert_int_equal(run("after")->code, IFAB_CODE_NONE); /* its result came first: it counts */
    enum ifab_code next = run("echo x")->code;            /* of the same tenant: it may meet the second result */
    assert_true(next == IFAB_CODE_NONE || next == IFAB_CODE_SANDBOX_VIOLATION);
    assert_echo("another worker");
    assert_true(stats().wrong_frames >= 9);
    turn_until_workers(1);
}

static void a_trap_is_told_and_the_worker_recycled(void **state)
{
    (void)state;
    open_pool();
    for (int trap = IFAB_TRAP_FUEL; trap < IFAB_TRAP_KILLED; trap++) {
        char input[32], first[256];
        snprintf(first, sizeof first, "%s", run("pid")->output);
        snprintf(input, sizeof input, "trap %d", trap);
        const struct outcome *o = run(input);
        bool time = trap == IFAB_TRAP_FUEL || trap == IFAB_TRAP_DEADLINE;
        assert_outcome(o, trap == IFAB_TRAP_DEADLINE ? IFAB_CODE_DEADLINE_EXCEEDED : IFAB_CODE_SANDBOX_VIOLATION, (enum ifab_trap)trap);
        assert_int_equal(o->fuel, time ? 1000 : 5); /* after FUEL and DEADLINE the whole grant is billed, whatever the worker says */
        assert_non_null(strstr(o->text, "because"));
        assert_string_not_equal(run("pid")->output, first);
    }
    assert_int_equal(stats().traps, 7);
}

static void a_module_that_does_not_load_is_told_why(void **state)
{
    (void)state;
    static const struct {
        const char *module;
        enum ifab_code code;
        const char *text;
    } cases[] = {
        {"!import", IFAB_CODE_INVALID_MANIFEST, "import: env.system"},
        {"!internal", IFAB_CODE_SYSTEM_ERROR, "internal: no memory"},
        {"!weak", IFAB_CODE_SANDBOX_VIOLATION, "landlock"},
        {"!die", IFAB_CODE_SANDBOX_VIOLATION, "ended by itself"},
        {"!greedy", IFAB_CODE_SANDBOX_VIOLATION, "not granted"},
        {"!noloaded", IFAB_CODE_SANDBOX_VIOLATION, "out of turn"},
        {"!twice", IFAB_CODE_SANDBOX_VIOLATION, "in place of READY"},
        {"!role", IFAB_CODE_SANDBOX_VIOLATION, "in place of READY"},
        {"!junk", IFAB_CODE_SANDBOX_VIOLATION, "no frame"},
        {"!call", IFAB_CODE_SANDBOX_VIOLATION, "out of turn"},
        {"!engine", IFAB_CODE_SYSTEM_ERROR, "engine"},
        {"!other", IFAB_CODE_SYSTEM_ERROR, "another engine"},
    };
    open_pool();
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        set_module(cases[i].module);
        const struct outcome *o = run("echo x");
        if (o->code != cases[i].code || strstr(o->text, cases[i].text) == NULL || o->began || o->fuel != 0)
            fail_msg("%s: code %d: %s", cases[i].module, (int)o->code, o->text);
    }
    assert_int_equal(stats().refused_walls, 1);
    set_module("run");
    assert_echo("still here");
}

static void a_module_that_does_not_compile_is_told_why(void **state)
{
    (void)state;
    static const struct {
        const char *module;
        enum ifab_code code;
        const char *text;
    } cases[] = {
        {"?refuse", IFAB_CODE_INVALID_MANIFEST, "export: if_apply"},
        {"?half", IFAB_CODE_SANDBOX_VIOLATION, "ended by itself"},
        {"?big", IFAB_CODE_SANDBOX_VIOLATION, "no frame"},
    };
    open_pool();
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        set_module(cases[i].module);
        const struct outcome *o = run("echo x");
        if (o->code != cases[i].code || strstr(o->text, cases[i].text) == NULL || o->began)
            fail_msg("%s: code %d: %s", cases[i].module, (int)o->code, o->text);
    }
    set_module("?refuse"); /* refused for good: no compiler is started again */
    uint64_t started = stats().started;
    assert_int_equal(run("echo x")->code, IFAB_CODE_INVALID_MANIFEST);
    assert_int_equal(run("echo x")->code, IFAB_CODE_INVALID_MANIFEST);
    assert_int_equal(stats().started, started + 1);
    set_module("?twice"); /* its artifact came; what came after it is nobody's */
    assert_echo("taken");
    close_pool();
    w.options.artifact_bytes = 8;
    open_pool();
    set_module("nine byte");
    const struct outcome *large = run("echo x");
    assert_int_equal(large->code, IFAB_CODE_SANDBOX_VIOLATION);
    assert_non_null(strstr(large->text, "no frame it may send")); /* judged by its head */
    close_pool();
    w.options.artifact_bytes = IFAB_CHASSIS_ARTIFACT_MAX;
    w.options.prepare_ms = 300;
    open_pool();
    set_module("?hang"); /* loses three compilers, then it is given up */
    for (int i = 0; i < 6; i++) {
        const struct outcome *o = run("echo x");
        assert_int_equal(o->code, IFAB_CODE_DEADLINE_EXCEEDED);
        assert_non_null(strstr(o->text, "longer"));
    }
    assert_int_equal(stats().started, 1 + 3);
}

static void modules_are_compiled_in_the_order_in_which_they_are_wanted(void **state)
{
    (void)state;
    struct ifab_chassis_options defaults;
    ifab_chassis_options_default(&defaults);
    assert_true(defaults.prepare_ms < defaults.wait_ms); /* who waits for a module outlasts its compiler */
    w.options.preparers = 1;
    open_pool();
    for (int i = 0; i < 4; i++) { /* each ends its call when its turn comes */
        set_module("?refuse");
        w.request.tenant.talent = 10 + (uint64_t)i;
        assert_int_equal(begin("echo x", NULL), IFAB_OK);
    }
    for (size_t i = 0; i < 4; i++) {
        turn_until(&w.ended, i + 1);
        assert_true(w.outcomes[i].done);
    }
}

static void a_compiler_that_is_none_fails_calls_and_nothing_else(void **state)
{
    (void)state;
    static const struct {
        const char *how, *text;
    } cases[] = {{"weak", "seccomp"}, {"junk", "no frame"}, {"exit", "ended by itself"}, {"role", "in place of READY"}, {"silent", "longer"}};
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        char name[64], path[128];
        snprintf(name, sizeof name, "if-fake-prepare-%s", cases[i].how);
        program(name, path, sizeof path);
        w.options.prepare_path = path;
        w.options.load_ms = strcmp(cases[i].how, "silent") == 0 ? 300 : PATIENCE;
        open_pool();
        const struct outcome *o = run("echo x");
        if (o->code == IFAB_CODE_NONE || strstr(o->text, cases[i].text) == NULL || o->began)
            fail_msg("%s: code %d: %s", cases[i].how, (int)o->code, o->text);
        close_pool();
    }
}

static void a_worker_that_never_gets_ready_is_killed(void **state)
{
    (void)state;
    open_pool();
    assert_echo("the engine is known");
    close_pool();
    w.options.load_ms = 500;
    open_pool();
    set_module("!silent");
    const struct outcome *o = run("echo x");
    assert_int_equal(o->code, IFAB_CODE_SYSTEM_ERROR);
    assert_false(o->began);
}

static void host_calls_are_answered_at_once_or_later(void **state)
{
    (void)state;
    static uint8_t large[IFAB_FRAME_SMALL_MAX];
    open_pool();
    assert_string_equal(run("host hello")->output, "0:hello");
    assert_string_equal(run("host refuse")->output, "1:");
    assert_int_equal(w.outcomes[0].host_calls, 1);
    assert_int_equal(begin("host hold", NULL), IFAB_OK);
    turn_until(&w.held_count, 1);
    assert_int_equal(ifab_chassis_host_result(w.pool, w.held[0], IFAB_HOST_REFUSED, IFAB_VIEW("bytes")), IFAB_INVALID);
    assert_int_equal(ifab_chassis_host_result(w.pool, 0, IFAB_HOST_OK, IFAB_VIEW("x")), IFAB_NOT_FOUND);
    assert_int_equal(ifab_chassis_host_result(w.pool, w.held[0] + 1, IFAB_HOST_OK, IFAB_VIEW("x")), IFAB_NOT_FOUND);
    w.in_call = true;
    assert_int_equal(ifab_chassis_host_result(w.pool, w.held[0], IFAB_HOST_OK, IFAB_VIEW("later")), IFAB_OK);
    w.in_call = false;
    turn_until(&w.ended, w.count);
    assert_string_equal(w.outcomes[2].output, "0:later");
    assert_int_equal(begin("host hold", NULL), IFAB_OK);
    turn_until(&w.held_count, 2);
    assert_int_equal(ifab_chassis_host_result(w.pool, w.held[1], IFAB_HOST_OK, ifab_view_of(large, sizeof large)), IFAB_TOO_LARGE);
    turn_until(&w.ended, w.count);
    assert_string_equal(w.outcomes[3].output, "3:"); /* the guest was told TOO_LARGE */
    assert_int_equal(w.gone_count, 0);
    assert_int_equal(stats().host_calls, 4);
}

static void imports_are_judged_here_too(void **state)
{
    (void)state;
    open_pool();
    w.request.export_ = IFAB_EXPORT_PLAN; /* granted, but not in plan */
    assert_outcome(run("host hello"), IFAB_CODE_SANDBOX_VIOLATION, IFAB_TRAP_KILLED);
    w.request.export_ = IFAB_EXPORT_HEALTH;
    assert_outcome(run("host hello"), IFAB_CODE_SANDBOX_VIOLATION, IFAB_TRAP_KILLED);
    w.request.export_ = IFAB_EXPORT_APPLY;
    assert_outcome(run("host hello"), IFAB_CODE_NONE, IFAB_TRAP_NONE);
    assert_int_equal(w.last_export, IFAB_EXPORT_APPLY);
    w.request.imports = 1U << IFAB_IMPORT_log; /* not granted */
    assert_outcome(run("host hello"), IFAB_CODE_SANDBOX_VIOLATION, IFAB_TRAP_KILLED);
    assert_int_equal(w.host_count, 1);
    w.request.imports = 1U << IFAB_IMPORT_http;
    w.request.host_calls_max = 100;
    assert_outcome(run("hosts x"), IFAB_CODE_SANDBOX_VIOLATION, IFAB_TRAP_KILLED); /* the worker did not keep to the bound */
    assert_int_equal(w.host_count, 101);
}

/* Answers that are not read are not kept: what is held for a worker is one answer, whatever it asks. */
static void a_worker_that_reads_nothing_is_ended(void **state)
{
    (void)state;
    static const uint8_t large[IFAB_FRAME_SMALL_MAX - 4];
    open_pool();
    assert_outcome(run("wrong flood"), IFAB_CODE_SANDBOX_VIOLATION, IFAB_TRAP_KILLED);
    assert_non_null(strstr(w.outcomes[0].text, "before it took"));
    assert_true(w.host_count < 500); /* what the system buffers, and one more */
    assert_int_equal(begin("host hold", NULL), IFAB_OK);
    turn_until(&w.held_count, 1);
    assert_int_equal(ifab_chassis_host_result(w.pool, w.held[0], IFAB_HOST_OK, ifab_view_of(large, sizeof large)), IFAB_OK); /* it fits */
    turn_until(&w.ended, w.count);
    assert_outcome(&w.outcomes[1], IFAB_CODE_NONE, IFAB_TRAP_NONE);
}

static void the_deadline_stops_everything(void **state)
{
    (void)state;
    w.options.margin_ms = 500;
    open_pool();
    assert_echo("warm");
    w.request.deadline_ms = 1000;
    w.request.fuel = 77;
    assert_outcome(run("alarm"), IFAB_CODE_DEADLINE_EXCEEDED, IFAB_TRAP_DEADLINE); /* SIGALRM, then its own answer */
    assert_int_equal(w.outcomes[1].fuel, 77);
    assert_outcome(run("spin"), IFAB_CODE_DEADLINE_EXCEEDED, IFAB_TRAP_KILLED);
    assert_int_equal(w.outcomes[2].fuel, 77);
    assert_outcome(run("wrong half"), IFAB_CODE_DEADLINE_EXCEEDED, IFAB_TRAP_KILLED);  /* the rest of a frame never comes */
    assert_outcome(run("host hold"), IFAB_CODE_DEADLINE_EXCEEDED, IFAB_TRAP_DEADLINE); /* while the daemon worked for it */
    assert_int_equal(w.gone_count, 1);
    assert_int_equal(w.gone[0], w.held[0]);
    assert_int_equal(ifab_chassis_host_result(w.pool, w.held[0], IFAB_HOST_OK, IFAB_VIEW("late")), IFAB_NOT_FOUND);
    w.request.host_calls_max = UINT32_MAX;
    assert_outcome(run("hosts x"), IFAB_CODE_DEADLINE_EXCEEDED, IFAB_TRAP_DEADLINE); /* endless host calls, each answered */
    assert_outcome(run("stubborn x"), IFAB_CODE_DEADLINE_EXCEEDED, IFAB_TRAP_KILLED);
    assert_int_equal(stats().deadline_kills, 3);
    w.request.deadline_ms = 1;
    (void)run("spin");
    w.request.deadline_ms = 60000;
    assert_echo("alive");
}

/* INV-08: who computes for long has what the others leave of the CPUs; who waits is not meant. */
static void a_call_that_computes_steps_back(void **state)
{
    (void)state;
    open_pool();
    w.request.deadline_ms = 1000;
    assert_outcome(run("host hold"), IFAB_CODE_DEADLINE_EXCEEDED, IFAB_TRAP_DEADLINE);
    assert_int_equal(stats().stepped_back, 0);
    w.request.deadline_ms = 60000;
    assert_outcome(run("compute"), IFAB_CODE_NONE, IFAB_TRAP_NONE);
    char want[32];
    snprintf(want, sizeof want, "policy %d", SCHED_IDLE);
    assert_string_equal(w.outcomes[1].output, want);
    assert_int_equal(stats().stepped_back, 1);
}

static void guests_end_workers(int count)
{
    char trap[16];
    (void)snprintf(trap, sizeof trap, "trap %d", IFAB_TRAP_FUEL);
    for (int i = 0; i < count; i++)
        assert_outcome(run(trap), IFAB_CODE_SANDBOX_VIOLATION, IFAB_TRAP_FUEL);
}

/* INV-08: a new worker costs milliseconds of the CPU. Who makes each end before its time waits for the next; nobody else does, and no call of its is lost. */
static void workers_of_who_ends_them_rest(void **state)
{
    (void)state;
    w.options.rest_ms = 10000;
    open_pool();
    guests_end_workers(3);
    uint64_t started = stats().started;
    assert_int_equal(stats().stepped_back, 0);
    assert_int_equal(begin("echo later", NULL), IFAB_OK);
    assert_int_equal(stats().started, started);
    w.request.tenant.talent = 2;
    assert_int_equal(begin("echo others", NULL), IFAB_OK);
    turn_until(&w.ended, 4);
    assert_outcome(&w.outcomes[4], IFAB_CODE_NONE, IFAB_TRAP_NONE);
    assert_int_equal(stats().started, started + 1);
    assert_false(w.outcomes[3].done);
    close_pool(); /* with somebody remembered */
    assert_outcome(&w.outcomes[3], IFAB_CODE_QUEUE_FULL, IFAB_TRAP_NONE);
}

static void who_waits_for_a_rest_is_woken(void **state)
{
    (void)state;
    w.options.rest_ms = 500;
    w.options.wait_ms = 15000; /* what else would wake it */
    open_pool();
    guests_end_workers(3);
    assert_echo("rested");
}

static void workers_that_rested_start_stepped_back(void **state)
{
    (void)state;
    w.options.rest_ms = 10; /* remembered for two seconds: three workers start within that, however slow it is */
    open_pool();
    guests_end_workers(3);
    assert_int_equal(stats().stepped_back, 0);
    assert_echo("stepped back");
    assert_int_equal(stats().stepped_back, 1);
    assert_echo("the same worker");
    assert_int_equal(stats().stepped_back, 1);
    (void)poll(NULL, 0, 2300); /* it is forgotten: 200 times as long as one rest */
    guests_end_workers(1);
    assert_echo("as anybody");
    assert_int_equal(stats().stepped_back, 1);
}

/* Counted is who stepped back in one way or the other, not who was asked to. */
static void who_may_not_step_back_is_not_counted(void **state)
{
    (void)state;
    w.options.rest_ms = 50; /* long remembered */
    open_pool();
    refused = 2;
    guests_end_workers(3);
    assert_echo("as before");
    refused = 0;
    assert_echo("the same worker");
    assert_int_equal(stats().stepped_back, 0);
    guests_end_workers(1);
    refused = 1;
    assert_echo("nicer");
    assert_int_equal(stats().stepped_back, 1);
}

/* An end that came from outside, or of a process that did not get ready, is not the guest's. */
static void who_is_ended_from_outside_does_not_rest(void **state)
{
    (void)state;
    w.options.rest_ms = 10000;
    w.options.wait_ms = 5000;
    open_pool();
    for (size_t i = 0; i < 4; i++) {
        uint64_t call;
        assert_int_equal(begin("host hold", &call), IFAB_OK);
        turn_until(&w.held_count, i + 1);
        assert_true(ifab_chassis_cancel(w.pool, call, IFAB_CODE_KEY_REVOKED, "revoked"));
        turn_until(&w.ended, w.count);
    }
    static const char *const ours[] = {"!internal", "!die"}; /* its own end while it gets ready, and the engine's */
    for (size_t i = 0; i < 8; i++) {
        set_module(ours[i % 2]);
        assert_false(run("never")->began);
    }
    set_module("run");
    assert_echo("at once");
    assert_int_equal(stats().stepped_back, 0);
}

/* What computed for long once does not leave its short calls behind for good: the next one, a while later, has a process of its own class again. */
static void who_stepped_back_ends_when_idle(void **state)
{
    (void)state;
    w.options.rest_ms = 10;
    w.options.idle_ms = 3600000;
    open_pool();
    guests_end_workers(3);
    assert_echo("stepped back");
    assert_int_equal(stats().stepped_back, 1);
    turn_until_workers(0);
}

static void nobody_rests_where_none_is_wanted(void **state)
{
    (void)state;
    w.options.rest_ms = 0;
    open_pool();
    guests_end_workers(12);
    assert_echo("at once");
    assert_int_equal(stats().stepped_back, 0);
}

static void queues_are_bounded(void **state)
{
    (void)state;
    w.options.workers = 2;
    w.options.workers_per_tenant = 1;
    w.options.waiting = 3;
    w.options.waiting_per_tenant = 2;
    open_pool();
    assert_echo("warm");
    assert_int_equal(begin("host hold", NULL), IFAB_OK);
    turn_until(&w.held_count, 1);
    assert_int_equal(begin("echo 1", NULL), IFAB_OK);
    assert_int_equal(begin("echo 2", NULL), IFAB_OK);
    assert_int_equal(begin("echo 3", NULL), IFAB_FULL); /* this tenant's share */
    w.request.tenant.talent = 2;
    assert_int_equal(begin("host hold", NULL), IFAB_OK);
    turn_until(&w.held_count, 2); /* another tenant is not held up */
    assert_int_equal(begin("echo 4", NULL), IFAB_OK);
    assert_int_equal(begin("echo 5", NULL), IFAB_FULL); /* all places */
    assert_int_equal(stats().waiting, 3);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(ifab_chassis_host_result(w.pool, w.held[i], IFAB_HOST_OK, IFAB_VIEW("go")), IFAB_OK);
    turn_until(&w.ended, w.count);
    for (size_t i = 0; i < w.count; i++)
        assert_outcome(&w.outcomes[i], IFAB_CODE_NONE, IFAB_TRAP_NONE);
}

static void a_call_does_not_wait_for_ever(void **state)
{
    (void)state;
    w.options.workers = w.options.workers_per_tenant = 1;
    open_pool();
    assert_echo("warm");
    close_pool();
    set_module("run");
    w.options.wait_ms = 1500;
    open_pool();
    while (run("echo warm")->code == IFAB_CODE_QUEUE_FULL)
        ; /* a slow machine */
    assert_int_equal(begin("host hold", NULL), IFAB_OK);
    turn_until(&w.held_count, 1);
    assert_int_equal(begin("echo x", NULL), IFAB_OK);
    turn_until(&w.ended, w.count - 1);
    assert_int_equal(w.outcomes[w.count - 1].code, IFAB_CODE_QUEUE_FULL);
    assert_false(w.outcomes[w.count - 1].began);
}

static void workers_end_by_use_by_idleness_and_to_make_room(void **state)
{
    (void)state;
    char first[256];
    w.options.calls_per_worker = 3;
    w.options.workers = 2;
    open_pool();
    snprintf(first, sizeof first, "%s", run("pid")->output);
    assert_string_equal(run("pid")->output, first);
    assert_string_equal(run("pid")->output, first);
    assert_string_not_equal(run("pid")->output, first); /* three calls */
    close_pool();
    w.options.calls_per_worker = 1000;
    open_pool();
    char pids[3][256];
    for (uint64_t t = 0; t < 3; t++) {
        w.request.tenant.talent = 10 + t % 2;
        snprintf(pids[t], sizeof pids[t], "%s", run("pid")->output);
    }
    assert_string_equal(pids[0], pids[2]);
    w.request.tenant.talent = 12; /* no room: talent 11's is idle longest */
    (void)run("pid");
    w.request.tenant.talent = 10;
    assert_string_equal(run("pid")->output, pids[0]);
    w.request.tenant.talent = 11;
    assert_string_not_equal(run("pid")->output, pids[1]);
    close_pool();
    w.options.idle_ms = 100;
    open_pool();
    assert_echo("then nothing");
    turn_until_workers(0);
}

static void tenants_share_nothing(void **state)
{
    (void)state;
    char first[256];
    open_pool();
    snprintf(first, sizeof first, "%s", run("pid")->output);
    w.request.tenant.talent = 2;
    assert_string_not_equal(run("pid")->output, first);
    w.request.tenant.talent = 1;
    w.request.tenant.manifest32[31] = 1;
    assert_string_not_equal(run("pid")->output, first);
    w.request.tenant.manifest32[31] = 0;
    assert_string_equal(run("pid")->output, first);
    w.request.memory_pages = 17; /* loaded under other limits */
    assert_string_not_equal(run("pid")->output, first);
}

static void a_revocation_ends_everything_of_a_manifest_at_once(void **state)
{
    (void)state;
    w.options.workers_per_tenant = 1;
    open_pool();
    assert_echo("warm");
    assert_int_equal(begin("host hold", NULL), IFAB_OK); /* 1: running, a host call open */
    turn_until(&w.held_count, 1);
    assert_int_equal(begin("echo waits", NULL), IFAB_OK); /* 2: waiting */
    w.request.tenant.talent = 2;
    assert_int_equal(begin("echo loads", NULL), IFAB_OK); /* 3: its worker loads */
    w.request.tenant.manifest32[0] = 2;
    assert_int_equal(begin("host hold", NULL), IFAB_OK); /* 4: of another manifest */
    turn_until(&w.held_count, 2);
    uint8_t manifest[32] = {1};
    w.in_call = true;
    size_t ended = ifab_chassis_revoke(w.pool, manifest);
    w.in_call = false;
    assert_true(ended >= 2 && ended <= 3); /* 3 may have ended before */
    assert_int_equal(ifab_chassis_host_result(w.pool, w.held[0], IFAB_HOST_OK, IFAB_VIEW("late")), IFAB_NOT_FOUND);
    turn_until(&w.ended, w.count - 1);
    assert_outcome(&w.outcomes[1], IFAB_CODE_CAPABILITY_NOT_ALLOWED, IFAB_TRAP_KILLED);
    assert_true(w.outcomes[1].began);
    assert_int_equal(w.outcomes[1].fuel, 1000);
    assert_outcome(&w.outcomes[2], IFAB_CODE_CAPABILITY_NOT_ALLOWED, IFAB_TRAP_KILLED);
    assert_false(w.outcomes[2].began);
    assert_int_equal(w.outcomes[2].fuel, 0);
    assert_int_equal(w.gone_count, 1);
    assert_int_equal(w.gone[0], w.held[0]);
    turn_until_workers(1); /* idle ones of it are gone as well */
    assert_int_equal(ifab_chassis_host_result(w.pool, w.held[1], IFAB_HOST_OK, IFAB_VIEW("go")), IFAB_OK);
    turn_until(&w.ended, w.count);
    assert_outcome(&w.outcomes[4], IFAB_CODE_NONE, IFAB_TRAP_NONE);
    assert_int_equal(ifab_chassis_revoke_talent(w.pool, 2), 0);
    turn_until_workers(0);
}

static void a_call_can_be_ended_from_outside(void **state)
{
    (void)state;
    uint64_t running = 0, waiting = 0;
    w.options.workers = w.options.workers_per_tenant = 1;
    open_pool();
    assert_echo("warm");
    assert_int_equal(begin("spin", &running), IFAB_OK);
    assert_int_equal(begin("echo x", &waiting), IFAB_OK);
    w.in_call = true;
    assert_true(ifab_chassis_cancel(w.pool, waiting, IFAB_CODE_KEY_REVOKED, "revoked"));
    assert_false(ifab_chassis_cancel(w.pool, waiting, IFAB_CODE_KEY_REVOKED, "revoked"));
    assert_true(ifab_chassis_cancel(w.pool, running, IFAB_CODE_KEY_REVOKED, "revoked"));
    assert_false(ifab_chassis_cancel(w.pool, 999, IFAB_CODE_KEY_REVOKED, "revoked"));
    w.in_call = false;
    turn_until(&w.ended, w.count);
    assert_outcome(&w.outcomes[1], IFAB_CODE_KEY_REVOKED, IFAB_TRAP_KILLED);
    assert_outcome(&w.outcomes[2], IFAB_CODE_KEY_REVOKED, IFAB_TRAP_KILLED);
    assert_echo("the next");
}

static void closing_ends_all_calls_and_reaps_all_workers(void **state)
{
    (void)state;
    w.options.workers = 4;
    w.options.workers_per_tenant = 2;
    open_pool();
    assert_echo("warm");
    assert_int_equal(begin("host hold", NULL), IFAB_OK);
    turn_until(&w.held_count, 1);
    for (uint64_t t = 0; t < 6; t++) {
        w.request.tenant.talent = t;
        assert_int_equal(begin("spin", NULL), IFAB_OK);
    }
    set_module("?late");
    assert_int_equal(begin("echo x", NULL), IFAB_OK); /* waits for its compiler */
    uv_run(&w.loop, UV_RUN_NOWAIT);
    close_pool();
    assert_int_equal(w.ended, w.count);
    for (size_t i = 1; i < w.count; i++)
        assert_int_equal(w.outcomes[i].code, w.outcomes[i].began ? IFAB_CODE_SYSTEM_ERROR : IFAB_CODE_QUEUE_FULL);
    assert_int_equal(w.gone_count, 1);
    open_pool(); /* and one that has hardly begun */
    close_pool();
}

static void artifacts_are_compiled_once_and_changed_ones_never_used(void **state)
{
    (void)state;
    char command[256];
    w.options.cache_path = w.cache;
    open_pool();
    assert_echo("compiled");
    close_pool();
    open_pool();
    set_module("run"); /* new bytes in memory: what the other pool compiled is not remembered in it */
    assert_echo("read");
    assert_int_equal(stats().cache_hits, 1);
    assert_int_equal(stats().compiled, 0);
    close_pool();
    snprintf(command, sizeof command, "for f in %s/*.artifact; do printf X | dd of=$f bs=1 seek=33 conv=notrunc 2>/dev/null; done", w.cache);
    assert_int_equal(system(command), 0);
    open_pool();
    set_module("run");
    assert_echo("compiled anew");
    assert_int_equal(stats().cache_bad, 1);
    assert_int_equal(stats().compiled, 1);
    close_pool();
    char path[128];
    program("if-fake-prepare-other", path, sizeof path);
    w.options.prepare_path = path; /* another version: other key, and the execute program does not fit */
    open_pool();
    set_module("run");
    assert_int_equal(run("echo x")->code, IFAB_CODE_SYSTEM_ERROR);
    assert_int_equal(stats().cache_hits, 0);
}

static void what_cannot_work_is_refused_at_once(void **state)
{
    (void)state;
    const struct ifab_chassis_handlers handlers = {on_host_call, on_host_gone, &w};
    struct ifab_error err = {.text = ""};
    struct ifab_chassis_options good = w.options;
    struct ifab_chassis_module *module = NULL;
    uint8_t digest[32] = {0};
#define REFUSED(status_, ...)                                                                 \
    do {                                                                                      \
        struct ifab_chassis_options o = good;                                                 \
        __VA_ARGS__;                                                                          \
        assert_int_equal(ifab_chassis_new(&w.loop, &o, &handlers, &w.pool, &err), (status_)); \
        assert_null(w.pool);                                                                  \
    } while (0)
    REFUSED(IFAB_UNSUPPORTED, o.execute_path = "/nonexistent/if-sandbox");
    REFUSED(IFAB_UNSUPPORTED, o.prepare_path = w.dir);
    for (mode_t mode = 0722; mode != 0; mode = mode == 0722 ? 0702 : mode == 0702 ? 0720 : 0) {
        char writable[96];
        snprintf(writable, sizeof writable, "%s/writable", w.dir);
        int fd = open(writable, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
        assert_int_equal(fchmod(fd, mode), 0);
        close(fd);
        REFUSED(IFAB_UNSUPPORTED, o.execute_path = writable); /* by others, or by a group */
    }
    REFUSED(IFAB_INVALID, o.execute_path = "if-sandbox"); /* never by PATH */
    REFUSED(IFAB_INVALID, o.walls = 0);
    REFUSED(IFAB_INVALID, o.workers = 0);
    REFUSED(IFAB_INVALID, o.workers_per_tenant = o.workers + 1);
    REFUSED(IFAB_INVALID, o.waiting = 100000);
    REFUSED(IFAB_IO, o.cache_path = "/nonexistent/cache");
    assert_int_equal(ifab_chassis_module_new(IFAB_VIEW("run"), digest, &module, &err), IFAB_DENIED);
    assert_int_equal(ifab_chassis_module_new(IFAB_VIEW(""), digest, &module, &err), IFAB_INVALID);
    assert_null(module);
    open_pool();
    struct ifab_chassis_request ok = w.request;
#define INVALID(...)                                      \
    do {                                                  \
        w.request = ok;                                   \
        __VA_ARGS__;                                      \
        assert_int_equal(begin("x", NULL), IFAB_INVALID); \
    } while (0)
    INVALID(w.request.module = NULL);
    INVALID(w.request.deadline_ms = 0);
    INVALID(w.request.fuel = 0);
    INVALID(w.request.memory_pages = 0);
    INVALID(w.request.memory_pages = 257);
    INVALID(w.request.imports = 1U << 7);
    INVALID(w.request.output_max = UINT32_MAX);
    w.request = ok;
    char path[64];
    assert_int_equal(ifab_chassis_program_path("no-such-program", path, sizeof path), IFAB_NOT_FOUND);
}

/* A daemon of its own with busy, idle and compiling workers; it is killed, and they are gone. */
static void no_worker_outlives_a_killed_daemon(void **state)
{
    (void)state;
    int ends[2];
    char pids[3][16] = {"", "", ""};
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t daemon = fork();
    if (daemon == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* where the test itself fails */
        close(ends[0]);
        w.options.workers_per_tenant = 1;
        assert_int_equal(uv_loop_fork(&w.loop), 0);
        open_pool();
        for (uint64_t t = 0; t < 3; t++) {
            w.request.tenant.talent = t;
            snprintf(pids[t], sizeof pids[t], "%.15s", run("pid")->output);
        }
        assert_int_equal(begin("spin", NULL), IFAB_OK);
        w.request.tenant.talent = 1;
        assert_int_equal(begin("host hold", NULL), IFAB_OK);
        turn_until(&w.held_count, 1);
        if (write(ends[1], pids, sizeof pids) != sizeof pids)
            _exit(1);
        for (;;)
            uv_run(&w.loop, UV_RUN_DEFAULT);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], pids, sizeof pids), sizeof pids);
    close(ends[0]);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(kill(atoi(pids[i]), 0), 0); /* NOLINT: they live */
    assert_int_equal(kill(daemon, SIGKILL), 0);
    assert_int_equal(waitpid(daemon, NULL, 0), daemon);
    for (size_t i = 0; i < 3; i++) {
        char path[64], line[256] = "";
        int waited = 0;
        snprintf(path, sizeof path, "/proc/%.15s/stat", pids[i]);
        for (;; waited++) { /* gone, or a zombie that nobody reaps here */
            FILE *file = fopen(path, "re");
            if (file == NULL)
                break;
            const char *got = fgets(line, sizeof line, file);
            fclose(file);
            if (got == NULL || strstr(line, ") Z") != NULL)
                break;
            assert_true((uint32_t)waited < PATIENCE / 10);
            usleep(10000);
        }
    }
}

static void a_hundred_tenants_are_served_beside_a_noisy_one(void **state)
{
    (void)state;
    w.options.workers = 8;
    w.options.workers_per_tenant = 2;
    w.options.waiting_per_tenant = 16;
    open_pool();
    assert_echo("warm");
    size_t full = 0, noisy = 0;
    w.request.tenant.talent = 1000;
    w.request.deadline_ms = 200;
    for (int i = 0; i < 200; i++) { /* more than it may have waiting; each until its deadline */
        ifab_status status = begin("spin", NULL);
        full += status == IFAB_FULL;
        noisy += status == IFAB_OK;
    }
    assert_true(full > 0 && noisy >= 16);
    w.request.deadline_ms = 60000;
    size_t first = w.count;
    for (uint64_t t = 1; t <= 99; t++) {
        char input[32];
        w.request.tenant.talent = t;
        snprintf(input, sizeof input, "echo %d", (int)t);
        assert_int_equal(begin(input, NULL), IFAB_OK);
    }
    turn_until(&w.ended, w.count);
    for (size_t i = 0; i < 99; i++) {
        char expected[32];
        snprintf(expected, sizeof expected, "%d", (int)i + 1);
        assert_outcome(&w.outcomes[first + i], IFAB_CODE_NONE, IFAB_TRAP_NONE);
        assert_string_equal(w.outcomes[first + i].output, expected);
    }
    for (size_t i = 1; i < first; i++)
        assert_true(w.outcomes[i].code == IFAB_CODE_DEADLINE_EXCEEDED);
}

static size_t descriptors(void)
{
    size_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

static void a_thousand_calls_leave_nothing_behind(void **state)
{
    (void)state;
    size_t fds = 0, bytes = 0;
    w.options.calls_per_worker = 100; /* so that workers come and go too */
    open_pool();
    for (int i = 0; i < 1200; i++) {
        const struct outcome *o = i % 3 == 0 ? run("host hello") : i % 50 == 1 ? run("trap 5") : run("echo hello");
        assert_true(o->code == IFAB_CODE_NONE || o->trap == IFAB_TRAP_OOB);
        if (i == 199 || i == 1199) {
            turn_until_workers(stats().idle); /* those that end are reaped */
            if (i == 1199) {
                assert_int_equal(descriptors(), fds);
                assert_true(mallinfo2().uordblks <= bytes + 4096); /* nothing a call: less than 5 bytes each */
            }
            fds = descriptors();
            bytes = mallinfo2().uordblks;
        }
    }
}

static void survive_no_memory(void)
{
    uint64_t id = 0;
    size_t count = w.count;
    assert_true(w.count < CALLS);
    w.outcomes[count] = (struct outcome){0};
    w.request.input = IFAB_VIEW("host hello");
    ifab_status status = ifab_chassis_call(w.pool, &w.request, on_done, &w.outcomes[count], &id);
    assert_true(status == IFAB_OK || status == IFAB_NOMEM);
    if (status == IFAB_OK) {
        w.count++;
        turn_until(&w.ended, w.count);
        assert_true(w.outcomes[count].code == IFAB_CODE_NONE || ifab_mem_failed());
    }
    uint8_t manifest[32] = {1};
    (void)ifab_chassis_revoke(w.pool, manifest); /* the next one loads anew */
}

static void no_memory_costs_a_call_at_most(void **state)
{
    (void)state;
    open_pool();
    assert_echo("warm");
    TEST_SWEEP_ALLOCATIONS(survive_no_memory());
    assert_echo("well");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
static const struct CMUnitTest tests[] = {
    TEST(a_call_runs_and_its_worker_stays_warm),
    TEST(a_worker_starts_with_nothing),
    TEST(whatever_a_worker_does_wrong_ends_its_call_and_itself),
    TEST(a_trap_is_told_and_the_worker_recycled),
    TEST(a_module_that_does_not_load_is_told_why),
    TEST(a_module_that_does_not_compile_is_told_why),
    TEST(modules_are_compiled_in_the_order_in_which_they_are_wanted),
    TEST(a_compiler_that_is_none_fails_calls_and_nothing_else),
    TEST(a_worker_that_never_gets_ready_is_killed),
    TEST(host_calls_are_answered_at_once_or_later),
    TEST(imports_are_judged_here_too),
    TEST(a_worker_that_reads_nothing_is_ended),
    TEST(the_deadline_stops_everything),
    TEST(a_call_that_computes_steps_back), TEST(workers_of_who_ends_them_rest), TEST(who_waits_for_a_rest_is_woken), TEST(workers_that_rested_start_stepped_back), TEST(who_may_not_step_back_is_not_counted), TEST(who_is_ended_from_outside_does_not_rest), TEST(who_stepped_back_ends_when_idle), TEST(nobody_rests_where_none_is_wanted),
    TEST(queues_are_bounded),
    TEST(a_call_does_not_wait_for_ever),
    TEST(workers_end_by_use_by_idleness_and_to_make_room),
    TEST(tenants_share_nothing),
    TEST(a_revocation_ends_everything_of_a_manifest_at_once),
    TEST(a_call_can_be_ended_from_outside),
    TEST(closing_ends_all_calls_and_reaps_all_workers),
    TEST(artifacts_are_compiled_once_and_changed_ones_never_used),
    TEST(what_cannot_work_is_refused_at_once),
    TEST(no_worker_outlives_a_killed_daemon),
    TEST(a_hundred_tenants_are_served_beside_a_noisy_one),
    TEST(a_thousand_calls_leave_nothing_behind),
    TEST(no_memory_costs_a_call_at_most),
};

int main(int argc, char **argv)
{
    struct ifab_error err = {.text = ""};
    if (argc > 0)
        fake_worker_main(argv[0]);
    if (ifab_crypto_init(&err) != IFAB_OK)
        return 1;
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (getenv("IFAB_TEST") != NULL)
        cmocka_set_test_filter(getenv("IFAB_TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}

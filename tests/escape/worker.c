/* The sandbox process itself, with the null engine: order of frames, walls, three stops, and what a hostile or broken other side does to it. INV-08 INV-15 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sandbox.h"

#include <inttypes.h>
#include <linux/capability.h>
#include <sys/stat.h>

#define NULL_MODULE                                                                                                                        \
    "null 1\nimport if.log\nimport if.http\nimport if.secret_ref\nimport if.kv_get\nimport if.kv_put\nimport if.now\nimport if.random\n"

/* Gives the walls of READY. */
static uint32_t start_loaded(struct sandbox *s)
{
    struct ifab_frame_load load = sandbox_limits;
    struct ifab_frame_load_failed failed;
    char text[IFAB_FRAME_TEXT_MAX + 1] = "";
    uint32_t walls = 0;
    load.bytes = IFAB_VIEW(NULL_MODULE);
    sandbox_start(s, "if-sandbox-null");
    if (!sandbox_load(s, &load, &walls, &failed, text))
        fail_msg("not loaded: %s", text);
    assert_int_equal(walls & IFAB_WALL_MANDATORY, IFAB_WALL_MANDATORY);
    return walls;
}

static struct ifab_frame_result run(struct sandbox *s, const char *input)
{
    struct ifab_frame_call call = sandbox_call;
    struct ifab_frame_result result = {0};
    call.input = ifab_view_str(input);
    if (!sandbox_run(s, 7, &call, &result))
        fail_msg("%s: the process ended", input);
    return result;
}

static void say_bye(struct sandbox *s)
{
    sandbox_send(s, ifab_frame_bytes_write(&s->out, IFAB_FRAME_BYE, (struct ifab_view){NULL, 0}));
    int status = sandbox_end(s);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void a_life_from_load_to_bye(void **state)
{
    (void)state;
    struct sandbox s;
    start_loaded(&s);
    struct ifab_frame_result result = run(&s, "echo hello");
    assert_int_equal(result.trap, IFAB_TRAP_NONE);
    assert_true(ifab_view_is(result.output, "hello"));
    result = run(&s, "get key");
    assert_true(ifab_view_is(result.output, "value of key") && result.host_calls == 1);
    result = run(&s, "loop");
    assert_int_equal(result.trap, IFAB_TRAP_FUEL);
    assert_int_equal(result.fuel_used, sandbox_call.fuel);
    result = run(&s, "echo again");
    assert_true(ifab_view_is(result.output, "again"));
    say_bye(&s);
}

static void the_end_of_the_daemon_is_the_end_of_the_worker(void **state)
{
    (void)state;
    struct sandbox s;
    start_loaded(&s);
    int status = sandbox_end(&s);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Reads the line `name` of /proc/PID/status; -1 when it cannot be read. */
static long long status_of(pid_t pid, const char *name)
{
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    long long value = -1;
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            value = strtoll(line + strlen(name) + 1, NULL, 10);
    if (file != NULL)
        fclose(file);
    return value;
}

/* The soft limit `name` of /proc/PID/limits, UINT64_MAX when there is none; both limits must be equal, or one apart (CPU). */
static uint64_t limit_of(pid_t pid, const char *name)
{
    char path[64], line[256];
    uint64_t soft = UINT64_MAX, hard = UINT64_MAX;
    snprintf(path, sizeof path, "/proc/%d/limits", (int)pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0 && sscanf(line + strlen(name), "%" SCNu64 " %" SCNu64, &soft, &hard) != 2)
            soft = hard = UINT64_MAX;
    fclose(file);
    assert_true(hard - soft <= 1);
    return soft;
}

static void limits_are_small(pid_t pid)
{
    static const struct {
        const char *name;
        uint64_t least, most;
    } limits[] = {
        {"Max core file size", 0, 0},
        {"Max file size", 0, 0},
        {"Max processes", 0, 0},
        {"Max open files", 0, 0},
        {"Max cpu time", 1, 60},                                     /* what LOAD says */
        {"Max data size", 32 << 16, 128 << 20},                      /* the memory granted, with room for the engine */
        {"Max address space", UINT64_C(4) << 30, UINT64_C(6) << 30}, /* one slot: 4 GiB and its guards */
    };
    for (size_t i = 0; i < IFAB_COUNT(limits); i++) {
        uint64_t is = limit_of(pid, limits[i].name);
        if (is < limits[i].least || is > limits[i].most)
            fail_msg("%s: %llu", limits[i].name, (unsigned long long)is);
    }
}

/* Of a process that is not dumpable, /proc shows nobody but root what it does: its files there are root's, whoever runs it. */
static void is_not_dumpable(pid_t pid)
{
    char path[64];
    struct stat about;
    int status = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_uid, 0);
    pid_t other = fork();
    if (other == 0) { /* root without its capabilities, or the same user */
        struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
        struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
        if (syscall(SYS_capset, &head, none) != 0)
            _exit(255);
        _exit(open(path, O_RDONLY | O_CLOEXEC) >= 0 ? 0 : errno);
    }
    assert_int_equal(waitpid(other, &status, 0), other);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == EACCES);
}

/* Each namespace that READY's bit stands for is another one than ours, and the others are ours. */
static void namespaces_are_its_own(pid_t pid, bool stand)
{
    static const struct {
        const char *name;
        bool own;
    } namespaces[] = {{"user", true}, {"net", true}, {"mnt", true}, {"ipc", true}, {"uts", true}, {"cgroup", true}, {"pid", false}};
    for (size_t i = 0; i < IFAB_COUNT(namespaces); i++) {
        char path[64], own[64] = "", its[64] = "";
        snprintf(path, sizeof path, "/proc/self/ns/%s", namespaces[i].name);
        assert_true(readlink(path, own, sizeof own - 1) > 0);
        snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, namespaces[i].name);
        if (readlink(path, its, sizeof its - 1) <= 0) { /* not dumpable: only root may look */
            assert_int_not_equal(geteuid(), 0);
            print_message("# namespaces: SKIP, only root sees those of a process that is not dumpable\n");
            return;
        }
        if ((strcmp(own, its) != 0) != (stand && namespaces[i].own))
            fail_msg("namespace %s: ours %s, its %s", namespaces[i].name, own, its);
    }
}

/* What READY says is what the kernel says from outside. */
static void the_walls_stand_as_the_kernel_sees_them(void **state)
{
    (void)state;
    struct sandbox s;
    char path[64];
    uint32_t walls = start_loaded(&s);
    assert_int_equal(status_of(s.pid, "NoNewPrivs:"), 1);
    assert_int_equal(status_of(s.pid, "Seccomp:"), 2);
    assert_int_equal(status_of(s.pid, "Threads:"), 1);
    for (int fd = 2; fd < 16; fd++) {
        snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)s.pid, fd);
        assert_int_equal(access(path, F_OK), -1);
    }
    limits_are_small(s.pid);
    is_not_dumpable(s.pid);
    namespaces_are_its_own(s.pid, (walls & IFAB_WALL_NAMESPACES) != 0);
    say_bye(&s);
}

static void descriptors_left_open_are_closed(void **state)
{
    (void)state;
    struct sandbox s;
    struct ifab_frame_load load = sandbox_limits;
    struct ifab_frame_load_failed failed;
    char text[IFAB_FRAME_TEXT_MAX + 1], path[64];
    uint32_t walls = 0;
    int extra = open("/etc/hostname", O_RDONLY | O_CLOEXEC);
    load.bytes = IFAB_VIEW("null 1\n");
    sandbox_start_with(&s, "if-sandbox-null", extra);
    snprintf(path, sizeof path, "/proc/%d/fd/3", (int)s.pid);
    assert_true(sandbox_load(&s, &load, &walls, &failed, text));
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(walls & IFAB_WALL_DESCRIPTORS, IFAB_WALL_DESCRIPTORS);
    close(extra);
    say_bye(&s);
}

/* --- three stops --- */
static void cpu_time_ends_a_call_that_burns_no_fuel(void **state)
{
    (void)state;
    struct sandbox s;
    start_loaded(&s);
    struct ifab_frame_call call = sandbox_call;
    struct ifab_frame_result result = {0};
    call.input = IFAB_VIEW("spin");
    call.deadline_ms = 30;
    assert_true(sandbox_run(&s, 8, &call, &result));
    assert_int_equal(result.trap, IFAB_TRAP_DEADLINE);
    assert_int_equal(result.fuel_used, call.fuel); /* what is not known is billed whole */
    assert_true(ifab_view_is(run(&s, "echo on").output, "on"));
    say_bye(&s);
}

static void a_signal_ends_the_call_in_hand_and_no_other(void **state)
{
    (void)state;
    struct sandbox s;
    start_loaded(&s);
    struct ifab_frame_call call = sandbox_call;
    struct ifab_frame frame;
    struct ifab_frame_result result;
    kill(s.pid, SIGALRM); /* outside a call it does nothing */
    assert_true(ifab_view_is(run(&s, "echo on").output, "on"));
    call.input = IFAB_VIEW("spin");
    call.deadline_ms = IFAB_FRAME_DEADLINE_MAX;
    sandbox_send(&s, ifab_frame_call_write(&s.out, 9, &call));
    do /* until the frame has surely been taken: a signal before that is one outside a call */
        kill(s.pid, SIGALRM);
    while (poll(&(struct pollfd){s.fd, POLLIN, 0}, 1, 5) == 0);
    assert_true(sandbox_receive(&s, &frame) && frame.call == 9 && ifab_frame_result_read(&frame, &result) == IFAB_OK);
    assert_int_equal(result.trap, IFAB_TRAP_DEADLINE);
    assert_true(ifab_view_is(run(&s, "echo on").output, "on"));
    say_bye(&s);
}

static void sigkill_ends_what_is_deaf(void **state)
{
    (void)state;
    struct sandbox s;
    start_loaded(&s);
    struct ifab_frame_call call = sandbox_call;
    call.input = IFAB_VIEW("hang");
    sandbox_send(&s, ifab_frame_call_write(&s.out, 9, &call));
    assert_int_equal(poll(&(struct pollfd){s.fd, POLLIN, 0}, 1, 50), 0);
    kill(s.pid, SIGALRM);
    assert_int_equal(poll(&(struct pollfd){s.fd, POLLIN, 0}, 1, 50), 0);
    int status = sandbox_kill(&s);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void rlimit_cpu_stands_behind_them(void **state)
{
    (void)state;
    struct sandbox s;
    struct ifab_frame_load load = sandbox_limits;
    struct ifab_frame_load_failed failed;
    struct ifab_frame_call call = sandbox_call;
    char text[IFAB_FRAME_TEXT_MAX + 1];
    uint32_t walls = 0;
    load.bytes = IFAB_VIEW("null 1\n");
    load.cpu_seconds = 1;
    sandbox_start(&s, "if-sandbox-null");
    assert_true(sandbox_load(&s, &load, &walls, &failed, text));
    call.input = IFAB_VIEW("hang");
    sandbox_send(&s, ifab_frame_call_write(&s.out, 9, &call));
    assert_int_equal(poll(&(struct pollfd){s.fd, POLLIN, 0}, 1, SANDBOX_PATIENCE_MS), 1);
    int status = sandbox_end(&s);
    assert_true(WIFSIGNALED(status) && (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL));
}

/* --- a process that misbehaves looks like one --- */
static void what_misbehaves_ends(void **state)
{
    (void)state;
    static const struct {
        const char *input;
        int signal_number, code;
    } cases[] = {{"crash", SIGSYS, 0}, {"exit", 0, 0}};
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct sandbox s;
        struct ifab_frame_call call = sandbox_call;
        struct ifab_frame_result result;
        start_loaded(&s);
        call.input = ifab_view_str(cases[i].input);
        assert_false(sandbox_run(&s, 3, &call, &result));
        int status = sandbox_end(&s);
        if (cases[i].signal_number != 0)
            assert_true(WIFSIGNALED(status) && WTERMSIG(status) == cases[i].signal_number);
        else
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) == cases[i].code);
    }
    struct sandbox s;
    struct ifab_frame_call call = sandbox_call;
    struct ifab_frame_result result;
    start_loaded(&s);
    call.input = IFAB_VIEW("garbage");
    assert_false(sandbox_run(&s, 3, &call, &result));
    sandbox_kill(&s);
}

/* --- frames out of turn --- */
static void frames_out_of_turn_end_the_worker(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint8_t type;
        uint32_t call, size;
    } cases[] = {
        {"LOAD again", IFAB_FRAME_LOAD, 0, 30},        {"COMPILE", IFAB_FRAME_COMPILE, 0, 4},
        {"HOST_RESULT", IFAB_FRAME_HOST_RESULT, 1, 4}, {"READY", IFAB_FRAME_READY, 0, 4},
        {"CALL of nothing", IFAB_FRAME_CALL, 1, 0},    {"CALL without id", IFAB_FRAME_CALL, 0, 24},
        {"no type", 200, 0, 0},                        {"CALL too large", IFAB_FRAME_CALL, 1, IFAB_FRAME_SMALL_MAX + 1},
        {"LOAD larger than what is kept for frames", IFAB_FRAME_LOAD, 0, 2 * IFAB_FRAME_SMALL_MAX}, {"LOAD too large", IFAB_FRAME_LOAD, 0, IFAB_FRAME_LARGE_MAX + 1}, {"BYE with a payload", IFAB_FRAME_BYE, 0, IFAB_FRAME_SMALL_MAX + 1},
    };
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct sandbox s;
        uint8_t head[IFAB_FRAME_HEAD + 64] = {0}, *at = head;
        start_loaded(&s);
        ifab_put_u32(&at, cases[i].size);
        ifab_put_u8(&at, cases[i].type);
        at += 3;
        ifab_put_u32(&at, cases[i].call);
        sandbox_send_bytes(&s, head, IFAB_FRAME_HEAD + (cases[i].size < 64 ? cases[i].size : 0));
        assert_int_equal(poll(&(struct pollfd){s.fd, POLLIN, 0}, 1, SANDBOX_PATIENCE_MS), 1); /* nothing more is waited for */
        int status = sandbox_end(&s);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 2)
            fail_msg("%s: status %x", cases[i].name, (unsigned)status);
    }
}

static void a_frame_that_breaks_off_ends_the_worker(void **state)
{
    (void)state;
    struct sandbox s;
    struct ifab_frame_call call = sandbox_call;
    start_loaded(&s);
    call.input = IFAB_VIEW("echo this will not come whole");
    assert_int_equal(ifab_frame_call_write(&s.out, 1, &call), IFAB_OK);
    sandbox_send_bytes(&s, s.out.data, s.out.size - 5);
    int status = sandbox_end(&s);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 2);
}

static void an_answer_to_another_call_ends_the_worker(void **state)
{
    (void)state;
    struct sandbox s;
    struct ifab_frame frame;
    struct ifab_frame_call call = sandbox_call;
    start_loaded(&s);
    call.input = IFAB_VIEW("get key");
    sandbox_send(&s, ifab_frame_call_write(&s.out, 5, &call));
    assert_true(sandbox_receive(&s, &frame) && frame.type == IFAB_FRAME_HOST_CALL && frame.call == 5);
    sandbox_send(&s, ifab_frame_host_result_write(&s.out, 6, &(struct ifab_frame_host_result){IFAB_HOST_OK, IFAB_VIEW("x")}));
    assert_false(sandbox_receive(&s, &frame));
    int status = sandbox_end(&s);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 2);
}

static void an_answer_of_another_length_ends_the_call(void **state)
{
    (void)state;
    struct sandbox s;
    struct ifab_frame frame;
    struct ifab_frame_result result;
    struct ifab_frame_call call = sandbox_call;
    start_loaded(&s);
    call.input = IFAB_VIEW("random 16");
    sandbox_send(&s, ifab_frame_call_write(&s.out, 5, &call));
    assert_true(sandbox_receive(&s, &frame) && frame.type == IFAB_FRAME_HOST_CALL);
    sandbox_send(&s, ifab_frame_host_result_write(&s.out, 5, &(struct ifab_frame_host_result){IFAB_HOST_OK, IFAB_VIEW("only 9 B.")}));
    assert_true(sandbox_receive(&s, &frame) && ifab_frame_result_read(&frame, &result) == IFAB_OK);
    assert_int_equal(result.trap, IFAB_TRAP_HOST_DENIED);
    say_bye(&s);
}

/* Random and mutated frames at every point of the life: the process ends or answers in frames; this one, its parent, is unharmed. */
static void fuzzed_frames_harm_nobody(void **state)
{
    (void)state;
    uint64_t seed = test_env_u64("IFAB_SEED", 20261121), rounds = test_env_u64("IFAB_FRAMES", 400);
    struct test_random random = {seed};
    print_message("# seed %llu, %llu rounds\n", (unsigned long long)seed, (unsigned long long)rounds);
    unsigned ended = 0, survived = 0;
    for (uint64_t round = 0; round < rounds; round++) {
        struct sandbox s;
        struct ifab_frame frame;
        uint8_t bytes[256];
        bool loaded = test_random_below(&random, 2) == 0;
        struct ifab_frame_call call = sandbox_call;
        struct ifab_frame_load load = sandbox_limits;
        if (loaded)
            start_loaded(&s);
        else
            sandbox_start(&s, "if-sandbox-null");
        load.bytes = IFAB_VIEW(NULL_MODULE);
        call.input = IFAB_VIEW("get key");
        if ((loaded ? ifab_frame_call_write(&s.out, 1, &call) : ifab_frame_load_write(&s.out, &load)) != IFAB_OK)
            fail();
        size_t size = s.out.size < sizeof bytes ? s.out.size : sizeof bytes;
        memcpy(bytes, s.out.data, size);
        for (uint64_t flips = 1 + test_random_below(&random, 4); flips > 0; flips--)
            bytes[test_random_below(&random, size)] ^= (uint8_t)(1U << test_random_below(&random, 8));
        if (test_random_below(&random, 8) == 0)
            test_random_bytes(&random, bytes, size);
        sandbox_send_bytes(&s, bytes, size);
        shutdown(s.fd, SHUT_WR); /* whatever it waits for will not come */
        while (sandbox_receive(&s, &frame))
            survived++;
        int status = sandbox_end(&s);
        if (!WIFEXITED(status) || WEXITSTATUS(status) > 3)
            fail_msg("round %llu: status %x", (unsigned long long)round, (unsigned)status);
        ended++;
    }
    assert_true(ended == rounds && survived > 0);
}

static void prepare_compiles_one_module_and_ends(void **state)
{
    (void)state;
    struct ifab_buf artifact = IFAB_BUF_INIT(1 << 20);
    struct ifab_frame_load_failed failed;
    char text[IFAB_FRAME_TEXT_MAX + 1];
    assert_true(sandbox_prepare("if-sandbox-null-prepare", IFAB_VIEW("null 1\nimport if.log\n"), &artifact, &failed, text));
    assert_true(artifact.size > 0);
    ifab_buf_fini(&artifact);
    assert_false(sandbox_prepare("if-sandbox-null-prepare", IFAB_VIEW("null 1\nimport env.system\n"), &artifact, &failed, text));
    assert_int_equal(failed.error, IFAB_LOAD_ERROR_IMPORT);
    assert_string_equal(text, "env.system");
    assert_false(sandbox_prepare("if-sandbox-null-prepare", IFAB_VIEW("x"), &artifact, &failed, text));
    assert_int_equal(failed.error, IFAB_LOAD_ERROR_MALFORMED);
    struct sandbox s;
    struct ifab_frame frame;
    sandbox_start(&s, "if-sandbox-null-prepare");
    assert_true(sandbox_receive(&s, &frame) && frame.type == IFAB_FRAME_READY);
    say_bye(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_life_from_load_to_bye),
        cmocka_unit_test(the_end_of_the_daemon_is_the_end_of_the_worker),
        cmocka_unit_test(the_walls_stand_as_the_kernel_sees_them),
        cmocka_unit_test(descriptors_left_open_are_closed),
        cmocka_unit_test(cpu_time_ends_a_call_that_burns_no_fuel),
        cmocka_unit_test(a_signal_ends_the_call_in_hand_and_no_other),
        cmocka_unit_test(sigkill_ends_what_is_deaf),
        cmocka_unit_test(rlimit_cpu_stands_behind_them),
        cmocka_unit_test(what_misbehaves_ends),
        cmocka_unit_test(frames_out_of_turn_end_the_worker),
        cmocka_unit_test(a_frame_that_breaks_off_ends_the_worker),
        cmocka_unit_test(an_answer_to_another_call_ends_the_worker),
        cmocka_unit_test(an_answer_of_another_length_ends_the_call),
        cmocka_unit_test(fuzzed_frames_harm_nobody),
        cmocka_unit_test(prepare_compiles_one_module_and_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

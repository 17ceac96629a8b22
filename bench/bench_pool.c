/*
 * Calls of capabilities through the daemon's own pool, on real sandbox processes behind their walls, in this process and without the daemon around
 * it.
 *
 *   bench_pool FOLDER GUEST calls           warm, cold and with one host call: µs from the request to its callback; calls a second; this process's
 * CPU bench_pool FOLDER GUEST tenants KIND MS 100 tenants, 500 calls a second in turn; KIND: none, or what one more tenant does meanwhile as often as
 *                                           it is let: loop, bomb (grows its memory), flood (host calls). Times count from when a call was due
 *
 * FOLDER: of if-sandbox; GUEST: tests/guest.wasm, whose input is a word.
 */
#include "messages.h"

#include "crypto/crypto.h"
#include "pool/pool.h"
#include "support.h"

#include <errno.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TENANTS = 100, RATE = 500, NOISY_AT_ONCE = 4, CALLS = 20000, FEW_WORKERS = 64, COLD = 100, MOST = 65536 };

struct slot { /* a call that may be under way */
    double began;
    uint32_t tenant;
    bool busy, counted;
};
static struct world {
    uv_loop_t loop;
    struct ifab_chassis *pool;
    struct ifab_chassis_module *module;
    struct slot slots[MOST];
    double took[MOST];
    size_t next_slot, took_count, done, wrong, turned_away;
    uint32_t turn;     /* tenants in turn */
    size_t left;       /* calls still to begin, each when another ended */
    const char *noise; /* NULL: the noisy tenant rests */
    size_t noisy_done;
    bool closed;
    double due;
} w;

static void on_host_call(void *user, const struct ifab_chassis_host_call *ask)
{
    (void)user;
    (void)ifab_chassis_host_result(w.pool, ask->id, IFAB_HOST_OK, (struct ifab_view){NULL, 0});
}
static void on_host_gone(void *user, uint64_t id)
{
    (void)user;
    (void)id;
}

static void open_pool(const char *folder, uint32_t workers, uint32_t calls_per_worker)
{
    struct ifab_chassis_options options;
    const struct ifab_chassis_handlers handlers = {on_host_call, on_host_gone, NULL};
    struct ifab_error err = {.text = ""};
    char execute[1100], prepare[1100];
    ifab_chassis_options_default(&options);
    (void)snprintf(execute, sizeof execute, "%s/if-sandbox", folder);
    (void)snprintf(prepare, sizeof prepare, "%s/if-sandbox-prepare", folder);
    options.execute_path = execute;
    options.prepare_path = prepare;
    if (workers > 0)
        options.workers = workers;
    if (calls_per_worker > 0)
        options.calls_per_worker = calls_per_worker;
    bench_must(ifab_chassis_new(&w.loop, &options, &handlers, &w.pool, &err) == IFAB_OK, "pool", &err);
}

static void on_closed(void *user)
{
    (void)user;
    w.closed = true;
}
static void close_pool(void)
{
    w.closed = false;
    ifab_chassis_close(w.pool, on_closed, NULL);
    while (!w.closed)
        uv_run(&w.loop, UV_RUN_ONCE);
}

static struct ifab_chassis_request request_of(uint32_t tenant, const char *input)
{
    struct ifab_chassis_request request = {.tenant = {.talent = tenant},
                                           .module = w.module,
                                           .imports = IFAB_IMPORT_ALL,
                                           .memory_pages = 256,
                                           .export_ = IFAB_EXPORT_APPLY,
                                           .input = ifab_view_str(input),
                                           .deadline_ms = 10000,
                                           .fuel = 100000000,
                                           .output_max = 4096,
                                           .host_calls_max = 1000};
    return request; /* limits as a manifest has them that says nothing */
}

/* ---- one after another ---- */

static void on_one(void *user, uint64_t call, const struct ifab_chassis_result *result)
{
    (void)user;
    (void)call;
    w.wrong += result->code != IFAB_CODE_NONE;
    w.done++;
    uv_stop(&w.loop);
}

static double one(uint32_t tenant, const char *input)
{
    struct ifab_chassis_request request = request_of(tenant, input);
    uint64_t call;
    size_t before = w.done;
    double from = bench_wall();
    bench_must(ifab_chassis_call(w.pool, &request, on_one, NULL, &call) == IFAB_OK, "a call was not taken", NULL);
    while (w.done == before)
        uv_run(&w.loop, UV_RUN_ONCE);
    bench_must(w.wrong == 0, "a call failed", NULL);
    return bench_wall() - from;
}

static void row_of(const char *name, const char *input, size_t count, bool cold)
{
    (void)one(0, input);
    double cpu = bench_cpu();
    for (size_t i = 0; i < count; i++)
        w.took[i] = one(cold ? (uint32_t)(i + 1) : 0, input);
    cpu = bench_cpu() - cpu;
    printf("%s_us %.2f\n", name, bench_quantile(w.took, count, .5) * 1e6);
    printf("%s_p99_us %.2f\n%s_cpu_us %.2f\n", name, bench_quantile(w.took, count, .99) * 1e6, name, cpu * 1e6 / (double)count);
}

/* ---- what two processes cost that do nothing but answer each other ---- */

static void echo_until_closed(int fd)
{
    char bytes[256];
    for (ssize_t n; (n = read(fd, bytes, sizeof bytes)) > 0;)
        if (write(fd, bytes, (size_t)n) != n)
            break;
    _exit(0);
}

static void exchange(const char *name, size_t count)
{
    int ends[2], status;
    char bytes[64] = "";
    bench_must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "socketpair", NULL);
    pid_t pid = fork();
    bench_must(pid >= 0, "fork", NULL);
    if (pid == 0) {
        (void)close(ends[0]);
        echo_until_closed(ends[1]);
    }
    (void)close(ends[1]);
    for (size_t i = 0; i < count; i++) {
        double from = bench_wall();
        bench_must(write(ends[0], bytes, sizeof bytes) == sizeof bytes && read(ends[0], bytes, sizeof bytes) > 0, "exchange", NULL);
        w.took[i] = bench_wall() - from;
    }
    (void)close(ends[0]);
    bench_must(waitpid(pid, &status, 0) == pid, "waitpid", NULL);
    printf("%s_us %.2f\n", name, bench_quantile(w.took, count, .5) * 1e6);
}

/* Of this process and all that it starts: no core sleeps between question and answer, which on a virtual machine costs more than a call. */
static void on_one_core(void (*measure)(const char *folder), const char *folder)
{
    cpu_set_t all, one;
    CPU_ZERO(&one);
    CPU_SET((unsigned)sched_getcpu(), &one);
    bench_must(sched_getaffinity(0, sizeof all, &all) == 0 && sched_setaffinity(0, sizeof one, &one) == 0, "affinity", NULL);
    measure(folder);
    bench_must(sched_setaffinity(0, sizeof all, &all) == 0, "affinity", NULL);
}

static void warm_on_one_core(const char *folder)
{
    open_pool(folder, 0, 0);
    row_of("one_core_warm", "echo hello", CALLS, false);
    close_pool();
    exchange("one_core_exchange", CALLS);
}

/* ---- as many as there is room for ---- */

static void begin_next(struct slot *slot);
static void on_many(void *user, uint64_t call, const struct ifab_chassis_result *result)
{
    struct slot *slot = user;
    (void)call;
    w.wrong += result->code != IFAB_CODE_NONE;
    w.done++;
    if (w.left > 0)
        begin_next(slot);
    else
        uv_stop(&w.loop);
}
static void begin_next(struct slot *slot)
{
    struct ifab_chassis_request request = request_of(slot->tenant, "echo hello");
    uint64_t call;
    w.left--;
    bench_must(ifab_chassis_call(w.pool, &request, on_many, slot, &call) == IFAB_OK, "a call was not taken", NULL);
}

/* tenants, each with `each` calls under way at any time. */
static void throughput(const char *name, const char *folder, uint32_t workers, uint32_t tenants, uint32_t each, size_t count)
{
    uint32_t slots = tenants * each;
    open_pool(folder, workers, 0);
    (void)one(0, "echo hello");
    for (size_t round = 0; round < 2; round++) { /* the first one warms */
        size_t calls = round == 0 ? 2 * slots : count;
        w.done = 0;
        w.left = calls;
        double from = bench_wall(), cpu = bench_cpu();
        for (uint32_t i = 0; i < slots && w.left > 0; i++) {
            w.slots[i].tenant = i % tenants;
            begin_next(&w.slots[i]);
        }
        while (w.done < calls)
            uv_run(&w.loop, UV_RUN_ONCE);
        double took = bench_wall() - from;
        if (round == 1)
            printf("%s_rate %.0f\n%s_cpu_us %.2f\n", name, (double)calls / took, name, (bench_cpu() - cpu) * 1e6 / (double)calls);
    }
    bench_must(w.wrong == 0, "a call failed", NULL);
    close_pool();
}

static void calls(const char *folder)
{
    open_pool(folder, 0, 0);
    row_of("pool_warm", "echo hello", CALLS, false);
    exchange("exchange", CALLS);
    row_of("pool_host", "get key", CALLS, false);
    row_of("pool_cold", "echo hello", COLD, true);
    close_pool();
    on_one_core(warm_on_one_core, folder);
    throughput("one_tenant", folder, 0, 1, 4, CALLS);
    throughput("hundred_tenants", folder, TENANTS, TENANTS, 1, CALLS);
    throughput("hundred_few", folder, FEW_WORKERS, TENANTS, 1, 1000);
}

/* ---- a noisy one among a hundred ---- */

static void on_due(void *user, uint64_t call, const struct ifab_chassis_result *result)
{
    struct slot *slot = user;
    (void)call;
    w.wrong += result->code != IFAB_CODE_NONE;
    w.done++;
    if (slot->counted && w.took_count < MOST)
        w.took[w.took_count++] = bench_wall() - slot->began;
    slot->busy = false;
}

static void begin_due(double due, bool counted)
{
    struct slot *slot = &w.slots[w.next_slot++ % MOST];
    struct ifab_chassis_request request = request_of(1 + w.turn++ % TENANTS, "echo hello");
    uint64_t call;
    bench_must(!slot->busy, "too many are under way", NULL);
    *slot = (struct slot){.began = due, .busy = true, .counted = counted};
    ifab_status status = ifab_chassis_call(w.pool, &request, on_due, slot, &call);
    slot->busy = status == IFAB_OK;
    w.turned_away += status != IFAB_OK;
}

static void begin_noise(void);
static void on_noise(void *user, uint64_t call, const struct ifab_chassis_result *result)
{
    (void)user;
    (void)call;
    (void)result;
    w.noisy_done++;
    begin_noise();
}
static void begin_noise(void)
{
    struct ifab_chassis_request request = request_of(TENANTS + 1, w.noise == NULL ? "" : w.noise);
    uint64_t call;
    if (w.noise != NULL)
        bench_must(ifab_chassis_call(w.pool, &request, on_noise, NULL, &call) == IFAB_OK, "a noisy call was not taken", NULL);
}

static void on_timer(uv_poll_t *poll, int status, int events)
{
    uint64_t times = 0;
    (void)status;
    (void)events;
    if (read(*(int *)poll->data, &times, sizeof times) != sizeof times)
        return;
    for (; times > 0; times--, w.due += 1.0 / RATE)
        begin_due(w.due, true);
}

static void tenants(const char *folder, const char *kind, double seconds)
{
    struct itimerspec every = {{0, 1000000000 / RATE}, {0, 1000000000 / RATE}};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    uv_poll_t poll;
    open_pool(folder, TENANTS + 2, 0);
    for (uint32_t i = 1; i <= TENANTS; i++)
        (void)one(i, "echo hello");
    if (strcmp(kind, "none") != 0) {
        w.noise = kind;
        for (unsigned i = 0; i < NOISY_AT_ONCE; i++)
            begin_noise();
        for (double until = bench_wall() + .5; bench_wall() < until;)
            uv_run(&w.loop, UV_RUN_ONCE);
    }
    bench_must(fd >= 0 && uv_poll_init(&w.loop, &poll, fd) == 0, "timer", NULL);
    poll.data = &fd;
    w.done = 0;
    double from = bench_wall(), cpu = bench_cpu();
    w.due = from + 1.0 / RATE;
    bench_must(timerfd_settime(fd, 0, &every, NULL) == 0 && uv_poll_start(&poll, UV_READABLE, on_timer) == 0, "timer", NULL);
    while (bench_wall() < from + seconds)
        uv_run(&w.loop, UV_RUN_ONCE);
    cpu = bench_cpu() - cpu;
    uv_close((uv_handle_t *)&poll, NULL);
    w.noise = NULL;
    for (double until = bench_wall() + 5; w.done + w.turned_away < w.next_slot && bench_wall() < until;)
        uv_run(&w.loop, UV_RUN_ONCE);
    bench_must(w.took_count > 0, "nothing was measured", NULL);
    printf("calls %zu\nfailed %zu\nturned_away %zu\nnoisy_calls %zu\n", w.took_count, w.wrong, w.turned_away, w.noisy_done);
    printf("p50_us %.2f\n", bench_quantile(w.took, w.took_count, .5) * 1e6);
    printf("p95_us %.2f\np99_us %.2f\n", bench_quantile(w.took, w.took_count, .95) * 1e6, bench_quantile(w.took, w.took_count, .99) * 1e6);
    printf("cpu_us %.2f\n", cpu * 1e6 / (double)w.took_count);
    close_pool();
}

int main(int argc, char **argv)
{
    struct ifab_error err = {.text = ""};
    uint8_t digest[32];
    bool hundred = argc == 6 && strcmp(argv[3], "tenants") == 0;
    bench_must(hundred || (argc == 4 && strcmp(argv[3], "calls") == 0), "usage: see the head of bench_pool.c", NULL);
    bench_must(ifab_crypto_init(NULL) == IFAB_OK && uv_loop_init(&w.loop) == 0, "loop", NULL);
    struct ifab_buf wasm = test_read_file(argv[2]);
    ifab_sha256(ifab_buf_as_view(&wasm), digest);
    bench_must(ifab_chassis_module_new(ifab_buf_as_view(&wasm), digest, &w.module, &err) == IFAB_OK, "module", &err);
    char *folder = realpath(argv[1], NULL);
    bench_must(folder != NULL, argv[1], NULL);
    if (hundred)
        tenants(folder, argv[4], strtod(argv[5], NULL) / 1e3);
    else
        calls(folder);
    ifab_chassis_module_unref(w.module);
    ifab_buf_fini(&wasm);
    free(folder);
    return 0;
}

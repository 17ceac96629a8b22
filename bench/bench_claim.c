/*
 * Durable claims without sockets: one task after another is claimed and completed through the daemon's own pipeline, each until its answer could
 * leave. Usage: bench_claim NEW-DIRECTORY COUNT. Prints "name value" lines, µs of wall time; the WAL is as long as it gets before the clock starts.
 */
#include "tasks.h"

#include <unistd.h>

enum { WARM_BYTES = 40 << 20 };

struct answer {
    char id[IFAB_NAME_MAX + 1];
    struct ifab_fence fence;
    int http;
};
static struct answer last;

static void on_done(struct node *node, struct ticket *t)
{
    const struct ifab_task *task = ifab_task_at(ifab_fabric_coordinator(node->fabric), t->reply.task);
    bench_must(t->reply.code == IFAB_CODE_NONE, t->reply.refusal.message, NULL);
    last.http = t->reply.http;
    last.fence = t->reply.fence;
    if (task != NULL)
        memcpy(last.id, task->id, sizeof last.id);
}

static void claim(struct node *node)
{
    struct ticket *t = bench_ticket(node, IFAB_COMMAND_TASK_CLAIM);
    t->done = on_done;
    t->command.u.claim.swarm = IFAB_VIEW("bench");
    last.fence.n = 0;
    ticket_queue(node, t);
    bench_settle(node);
    bench_must(last.fence.n != 0, "nothing was claimed", NULL);
}

static void complete(struct node *node)
{
    struct ticket *t = bench_ticket(node, IFAB_COMMAND_TASK_ACT);
    t->done = on_done;
    t->command.u.task_act.id = ifab_view_str(last.id);
    t->command.u.task_act.event = IFAB_TASK_COMPLETE;
    t->command.u.task_act.fence = last.fence;
    t->command.u.task_act.percent = -1;
    ticket_queue(node, t);
    bench_settle(node);
}

int main(int argc, char **argv)
{
    size_t count = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    double *claims = calloc(count + 1, sizeof *claims), *completes = calloc(count + 1, sizeof *completes);
    bench_must(count > 0 && claims != NULL && completes != NULL, "usage: bench_claim NEW-DIRECTORY COUNT", NULL);
    struct node *node = bench_fabric(argv[1]);
    bench_swarm(node);
    for (uint64_t wrote = 0, before = 0, now; wrote < WARM_BYTES; before = now) { /* until the WAL is one that is written over, not one that grows */
        bench_tasks(node, BENCH_TOGETHER);
        now = ifab_store_wal_bytes(node->store);
        wrote += now > before ? now - before : now;
    }
    bench_tasks(node, count);
    double cpu = bench_clock(CLOCK_PROCESS_CPUTIME_ID);
    for (size_t i = 0; i < count; i++) {
        double from = bench_wall();
        claim(node);
        double middle = bench_wall();
        complete(node);
        claims[i] = middle - from;
        completes[i] = bench_wall() - middle;
    }
    cpu = bench_clock(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("claim_p50_us %.2f\nclaim_p99_us %.2f\n", bench_quantile(claims, count, .5) * 1e6, bench_quantile(claims, count, .99) * 1e6);
    printf("complete_p50_us %.2f\ncomplete_p99_us %.2f\n", bench_quantile(completes, count, .5) * 1e6, bench_quantile(completes, count, .99) * 1e6);
    printf("cpu_us %.2f\n", cpu * 1e6 / (double)(2 * count));
    fflush(stdout);
    _exit(0); /* the directory goes with the run */
}

#ifndef BENCH_TASKS_H
#define BENCH_TASKS_H
/* Tasks in a fabric of this process: one swarm, and a queue of its. */
#include "fabric.h"

#define BENCH_TOGETHER 256 /* made in one commit */

static inline void bench_taken(struct node *node, struct ticket *t)
{
    (void)node;
    bench_must(t->reply.code == IFAB_CODE_NONE, t->reply.refusal.message, NULL);
}

static inline struct ticket *bench_ticket(struct node *node, enum ifab_command_type type)
{
    struct ticket *t = ticket_new(node, NULL);
    bench_must(t != NULL, "memory", NULL);
    t->command.type = type;
    t->command.principal = &node->self;
    t->command.why = IFAB_VIEW("bench");
    t->done = bench_taken;
    return t;
}

static inline void bench_swarm(struct node *node)
{
    struct ifab_view skill = IFAB_VIEW("any");
    struct ticket *t = bench_ticket(node, IFAB_COMMAND_SWARM);
    t->command.u.swarm.request = (struct ifab_swarm_request){.id = IFAB_VIEW("bench"), .skills = &skill, .skill_count = 1, .queue_limit = 100000};
    ticket_queue(node, t);
    bench_settle(node);
}

static inline void bench_tasks(struct node *node, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct ticket *t = bench_ticket(node, IFAB_COMMAND_TASK_CREATE);
        t->command.u.task.type = IFAB_VIEW("bench");
        t->command.u.task.swarm = IFAB_VIEW("bench");
        t->command.u.task.priority = 2;
        t->command.u.task.deadline = IFAB_NEVER;
        for (size_t u = 0; u < IFAB_COUNT_OF_UNITS; u++)
            t->command.u.task.budget[u] = -1;
        ticket_queue(node, t);
        if (i % BENCH_TOGETHER == BENCH_TOGETHER - 1 || i + 1 == count)
            bench_settle(node);
    }
}
#endif

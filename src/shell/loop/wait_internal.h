#ifndef LOOP_WAIT_INTERNAL_H
#define LOOP_WAIT_INTERNAL_H
/* What wait.c and wait_task.c share: one who waits, on the loop's thread. */
#include "node.h"

enum waiter_kind { WAIT_INBOX, WAIT_DECISION, STREAM_INBOX, STREAM_EVENTS, WAIT_TASK };
struct waiter {
    struct waiter *next, *previous;    /* of its kind */
    struct waiter *same, *same_before; /* of its inbox */
    struct waiter *due_next;
    struct request *request;
    enum waiter_kind kind;
    uint64_t after;        /* next index to look at */
    uint64_t limit;
    uint64_t access_version; /* at which it was looked at whether its caller may stay */
    ifab_usec deadline;    /* run; polls: answer then; streams: next heartbeat */
    bool busy, due, again, gone, begun; /* due: in line for a reader; busy: a job, or its claim's ticket, has it */
    char name[IFAB_NAME_MAX + 1];      /* inbox: the talent */
    uint8_t id16[16];                  /* decision */
    void *claim;                       /* task: what it asks for; in the request's arena */
    char component[64], type[64];
    uint8_t trace16[16];
    bool has_trace;
};

struct waiter *waiter_new(struct node *node, struct request *r, enum waiter_kind kind, uint64_t wait_ms, const char *name); /* NULL: answered */
void waiter_drop(struct node *node, struct waiter *w);                              /* and its request */
bool waiter_may_stay(const struct node *node, struct waiter *w, ifab_usec wall);          /* false: its caller's token or talent has ended */
void waiter_expired(struct node *node, struct waiter *w);                           /* answered so, and dropped */
void waiter_answer_nothing(struct node *node, struct waiter *w);                    /* wait_task.c: its time is over */
#endif

#ifndef LOOP_WAITER_H
#define LOOP_WAITER_H
/* One long poll or event stream, for wait.c, wait_task.c and audience.c. Threads: the loop; while it is busy a reader reads it. */
#include "node.h"

enum waiter_kind { WAIT_INBOX, WAIT_DECISION, WAIT_TASK, WAIT_ROOM, STREAM_INBOX, STREAM_EVENTS }; /* streams last: they are looked at less often */
struct waiter {
    struct waiter *next, *previous;    /* of its kind */
    struct waiter *same, *same_before; /* of its inbox; of events: with its filter */
    struct waiter *due_next;
    struct request *request;
    ifab_http_id http;                 /* of it, also once it is answered */
    enum waiter_kind kind;
    uint64_t after;        /* next index to look at */
    uint64_t limit;
    uint64_t access_version; /* at which it was looked at whether its caller may stay */
    ifab_usec deadline;    /* run; polls: answer then; streams: next heartbeat */
    bool busy, due, again, gone, begun; /* due: in line for a reader */
    bool own;                          /* events: an agent's, who sees what is its own */
    bool current;                      /* events: it has seen all it may want; after is not kept up */
    struct audience *audience;         /* events: those with its filter */
    char name[IFAB_NAME_MAX + 1];      /* inbox: the talent */
    uint8_t id16[16];                  /* decision */
    void *claim;                       /* task, room: what it asks for; in the request's arena. Busy: its ticket has it */
    char component[64], type[64];
    uint8_t trace16[16];
    bool has_trace;
};

#define PAGE 64
#define STREAM_PAGE_BYTES ((size_t)128 << 10) /* half of what may wait on a stream: whoever resumes gets on */
struct waiter_part { /* of an agent's page: an entry about a task, which may be another's */
    size_t from, size;        /* in the job's out */
    struct ifab_view subject; /* the task's id; in the job's arena */
    uint64_t index;           /* of the entry */
};
struct waiter_page { /* of a job: what it found */
    struct waiter *waiter;
    uint64_t next;
    size_t items;
    bool more;
    struct waiter_part *parts;
    size_t part_count;
};

/* wait_events.c */
void events_page(struct node *node, struct ifab_store *store, struct job *job); /* on a reader's thread */
void events_keep_own(const struct node *node, const struct waiter *w, struct job *job, const struct waiter_page *page);
bool events_room(struct node *node, struct request *r);                          /* false: answered */
bool event_filters(struct node *node, struct request *r, struct waiter *filter); /* false: answered */

struct waiter *waiter_new(struct node *node, struct request *r, enum waiter_kind kind, uint64_t wait_ms, const char *name); /* NULL: answered */
void waiter_drop(struct node *node, struct waiter *w);                              /* and its request */
bool waiter_may_stay(const struct node *node, struct waiter *w, ifab_usec wall);    /* false: its caller's token, key or talent has ended */
void waiter_expired(struct node *node, struct waiter *w);                           /* answered so, and dropped */
void waiter_answer_nothing(struct node *node, struct waiter *w);                    /* wait_task.c: its time is over */
void wait_wake(struct node *node, struct waiter *w); /* there may be something for it: as soon as a reader has time */

/* audience.c */
void audience_join(struct node *node, struct waiter *w);
void audience_leave(struct waiter *w);
void audience_wake(struct node *node, const struct batch *batch);
#endif

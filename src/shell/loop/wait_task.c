/* Claims that wait for a task, and tasks that wait for room in their queue. */
#include "waiter.h"

void waiter_answer_nothing(struct node *node, struct waiter *w)
{
    struct request *r = w->request;
    w->request = NULL;
    waiter_drop(node, w);
    reply_text(node, r, 204, "application/json", IFAB_VIEW(""));
}

/*
 * Requests that wait for room keep their bodies: so many in all, of one caller, and bytes. Beyond that a full queue refuses at once.
 */
#define ROOM_WAITERS 256
#define ROOM_WAITERS_EACH 16
#define ROOM_BYTES ((size_t)4 << 20)

static bool may_wait_for_room(const struct node *node, const struct request *r)
{
    size_t all = 0, mine = 0, bytes = r->kept_bytes;
    for (const struct waiter *w = node->waiters[WAIT_ROOM]; w != NULL; w = w->next) {
        const struct ifab_principal *p = &w->request->principal;
        all++;
        mine += p->kind == r->principal.kind && p->talent == r->principal.talent && p->uid == r->principal.uid;
        bytes += w->request->kept_bytes;
    }
    return all < ROOM_WAITERS && mine < ROOM_WAITERS_EACH && bytes <= ROOM_BYTES;
}

bool wait_task_again(struct node *node, struct request *r, enum wait_for what, ifab_usec until, void *claim, struct waiter **waiter)
{
    struct waiter *w = *waiter;
    ifab_usec run = clock_now(&node->clock, NULL).run;
    if (w == NULL) {
        if (until <= run || node->stopping || (what == WAIT_FOR_ROOM && !may_wait_for_room(node, r)))
            return false;
        w = waiter_new(node, r, what == WAIT_FOR_ROOM ? WAIT_ROOM : WAIT_TASK, 0, "");
        if (w != NULL) {
            w->deadline = until;
            w->claim = claim;
            *waiter = w;
        }
        return true; /* without a waiter it has been answered */
    }
    w->busy = false;
    if (w->gone) {
        waiter_drop(node, w);
        wait_tasks(node); /* the task, or the room, that it was told of is another's */
        return true;
    }
    return w->deadline > run && !node->stopping;
}

void wait_task_end(struct node *node, struct waiter *w)
{
    w->request = NULL;
    waiter_drop(node, w);
}

static struct waiter *longest(struct waiter *w)
{
    while (w != NULL && w->next != NULL)
        w = w->next;
    return w;
}

/*
 * So many of those who wait for work ask again as there is work for, each task offered to one, whoever waits longest first. Who takes a task changes it,
 * and who is refused says so (claimed): then the others are looked at again.
 */
static void wake_claims(struct node *node, ifab_usec wall)
{
    struct ifab_u64map given = {0};
    struct waiter *longer;
    for (struct waiter *w = longest(node->waiters[WAIT_TASK]); w != NULL; w = longer) {
        longer = w->previous;
        if (w->busy)
            continue;
        if (!waiter_may_stay(node, w, wall)) {
            waiter_expired(node, w);
            continue;
        }
        if (task_claim_ready(node, w->claim, &given))
            w->busy = task_claim_again(node, w->request, w->claim);
    }
    ifab_u64map_fini(&given);
}

/* So many of those who wait at a full queue as have room in it now, those under way counted; whoever waits longest first. */
static void wake_creates(struct node *node, ifab_usec wall)
{
    struct ifab_u64map asking = {0}; /* swarm -> how many */
    struct waiter *longer;
    for (struct waiter *w = longest(node->waiters[WAIT_ROOM]); w != NULL; w = longer) {
        struct ifab_swarm_number queue = task_create_queue(w->claim);
        uint64_t count = 0;
        longer = w->previous;
        (void)ifab_u64map_get(&asking, queue.n, &count);
        if (!w->busy && !waiter_may_stay(node, w, wall)) {
            waiter_expired(node, w);
            continue;
        }
        if (!w->busy && ifab_swarm_room(ifab_fabric_coordinator(node->fabric), queue) > count)
            w->busy = task_create_again(node, w->request, w->claim, false);
        if (w->busy)
            (void)ifab_u64map_put(&asking, queue.n, count + 1); /* without memory one too many asks, and waits on */
    }
    ifab_u64map_fini(&asking);
}

/* Tasks have changed. */
void wait_tasks(struct node *node)
{
    ifab_usec wall = clock_now(&node->clock, NULL).wall;
    wake_claims(node, wall);
    wake_creates(node, wall);
}

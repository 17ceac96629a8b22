/* Claims that wait for a task. */
#include "waiter.h"

void waiter_answer_nothing(struct node *node, struct waiter *w)
{
    struct request *r = w->request;
    w->request = NULL;
    waiter_drop(node, w);
    reply_text(node, r, 204, "application/json", IFAB_VIEW(""));
}

bool wait_task_again(struct node *node, struct request *r, ifab_usec until, void *claim, struct waiter **waiter)
{
    struct waiter *w = *waiter;
    ifab_usec run = clock_now(&node->clock, NULL).run;
    if (w == NULL) {
        if (until <= run || node->stopping)
            return false;
        w = waiter_new(node, r, WAIT_TASK, 0, "");
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
        return true;
    }
    return w->deadline > run && !node->stopping;
}

void wait_task_end(struct node *node, struct waiter *w)
{
    w->request = NULL;
    waiter_drop(node, w);
}

/* Tasks have changed: so many of those who wait ask again as there is work for, whoever waits longest first. */
void wait_tasks(struct node *node)
{
    struct waiter *w = node->waiters[WAIT_TASK], *longer;
    ifab_usec wall = clock_now(&node->clock, NULL).wall;
    size_t woken = 0;
    while (w != NULL && w->next != NULL)
        w = w->next;
    for (; w != NULL; w = longer) {
        longer = w->previous;
        if (w->busy)
            continue;
        if (!waiter_may_stay(node, w, wall)) {
            waiter_expired(node, w);
            continue;
        }
        if (task_claim_ready(node, w->claim, woken + 1) <= woken)
            continue;
        w->busy = task_claim_again(node, w->request, w->claim);
        woken += w->busy;
    }
}

/* The open decisions by deadline: a binary heap of nodes that know their place. Order: (deadline_run, number), so it is total. */
#include "table.h"

static bool before(const struct decision_node *a, const struct decision_node *b)
{
    if (a->decision.deadline_run != b->decision.deadline_run)
        return a->decision.deadline_run < b->decision.deadline_run;
    return a->decision.number < b->decision.number;
}

static void place(struct decision_node **heap, size_t at, struct decision_node *node)
{
    heap[at] = node;
    node->heap_at = at;
}

static void sift_up(struct decision_node **heap, size_t at, struct decision_node *node)
{
    while (at > 0 && before(node, heap[(at - 1) / 2])) {
        place(heap, at, heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place(heap, at, node);
}

static void sift_down(struct decision_node **heap, size_t count, size_t at, struct decision_node *node)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count)
            break;
        if (child + 1 < count && before(heap[child + 1], heap[child]))
            child++;
        if (!before(heap[child], node))
            break;
        place(heap, at, heap[child]);
        at = child;
    }
    place(heap, at, node);
}

void ifab_guard__heap_insert(struct decision_node **heap, size_t count, struct decision_node *node)
{
    sift_up(heap, count, node);
}

void ifab_guard__heap_remove(struct decision_node **heap, size_t count, struct decision_node *node)
{
    size_t at = node->heap_at;
    struct decision_node *last = heap[count - 1];
    if (last == node)
        return;
    if (at > 0 && before(last, heap[(at - 1) / 2]))
        sift_up(heap, at, last);
    else
        sift_down(heap, count - 1, at, last);
}

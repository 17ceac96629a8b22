/*
 * Who listens to which events. A batch that was committed is compared with each filter once, not with each stream: those who have seen all and want
 * nothing of it cost nothing, however many they are.
 */
#include <string.h>

#include "waiter.h"

void audience_leave(struct waiter *w)
{
    if (w->audience == NULL)
        return;
    if (w->same != NULL)
        w->same->same_before = w->same_before;
    if (w->same_before != NULL)
        w->same_before->same = w->same;
    else
        w->audience->first = w->same;
}

static bool same_filter(const struct waiter *a, const struct waiter *b)
{
    return strcmp(a->component, b->component) == 0 && strcmp(a->type, b->type) == 0 && a->has_trace == b->has_trace &&
           memcmp(a->trace16, b->trace16, 16) == 0;
}

/* To those with its filter; the last audience is of all whose filters have no room, and wants everything. */
void audience_join(struct node *node, struct waiter *w)
{
    struct audience *found = &node->audiences[AUDIENCES - 1];
    for (size_t i = AUDIENCES - 1; i-- > 0;) {
        struct audience *a = &node->audiences[i];
        if (a->first == NULL ? found == &node->audiences[AUDIENCES - 1] : same_filter(a->first, w))
            found = a;
        if (a->first != NULL && found == a)
            break;
    }
    if (found->first == NULL)
        found->wanted = node->committed_size; /* nobody has looked after it before */
    w->audience = found;
    w->same = found->first;
    if (w->same != NULL)
        w->same->same_before = w;
    found->first = w;
}

static bool says(struct ifab_view entry, const char *member, const char *value)
{
    char text[128];
    int size = snprintf(text, sizeof text, "\"%s\":\"%s\"", member, value);
    return value[0] == '\0' || memmem(entry.data, entry.size, text, (size_t)size) != NULL;
}

/* Entries are canonical, so what wanted() would find stands in their bytes. true may be wrong, false is not. */
static bool may_want(const struct waiter *w, const struct batch *batch)
{
    char trace[37] = "";
    if (w->has_trace)
        ifab_uuid_format(w->trace16, trace);
    for (size_t i = 0; i < batch->entry_count; i++) {
        struct ifab_view entry = batch->entries[i].entry;
        if (says(entry, "component", w->component) && says(entry, "type", w->type) && says(entry, "trace", trace))
            return true;
    }
    return false;
}

/* Streams of events: a batch is compared with each filter once; those who have seen all and want nothing of it cost nothing. */
void audience_wake(struct node *node, const struct batch *batch)
{
    for (size_t i = 0; i < AUDIENCES && batch->entry_count > 0; i++) {
        struct audience *a = &node->audiences[i];
        if (a->first == NULL || (i < AUDIENCES - 1 && !may_want(a->first, batch)))
            continue;
        a->wanted = batch->head.size;
        for (struct waiter *w = a->first; w != NULL; w = w->same) {
            if (!w->current)
                continue; /* it looks again by itself */
            w->current = false;
            w->after = batch->head.size - batch->entry_count;
            wait_wake(node, w);
        }
    }
}

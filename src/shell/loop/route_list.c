/* Pages of lists, made from memory at their turn in the order of steps. */
#include <string.h>

#include "node.h"

#define LIST_BYTES ((size_t)2 << 20)

void reply_body(struct ticket *t, struct ifab_buf *buf)
{
    if (ifab_buf_status(buf) != IFAB_OK || ifab_arena_copy(&t->arena, ifab_buf_as_view(buf), &t->reply.body) != IFAB_OK)
        t->reply.code = ifab_refuse(&t->reply.refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
    ifab_buf_fini(buf);
}

void list_queue(struct node *node, struct request *r, ticket_step_fn *step, const void *filter, size_t filter_size)
{
    uint64_t limit, cursor;
    struct ifab_view kept = {NULL, 0};
    if (!request_query_u64(node, r, "limit", 1, 1000, 50, &limit) || !request_query_u64(node, r, "cursor", 0, (uint64_t)1 << 52, 0, &cursor))
        return;
    struct ticket *t = ticket_new(node, r);
    struct list *list = t == NULL ? NULL : ifab_arena_calloc(&t->arena, 1, sizeof *list);
    if (list == NULL || ifab_arena_copy(&t->arena, ifab_view_of(filter, filter_size), &kept) != IFAB_OK) {
        if (t != NULL)
            ticket_free(node, t);
        reply_out_of_memory(node, r);
        return;
    }
    list->after = cursor;
    list->limit = limit;
    list->filter = kept.data;
    t->user = list;
    t->step = step;
    ticket_queue(node, t);
}

struct list *list_begin(struct ticket *t, struct ifab_buf *ahead)
{
    struct list *list = t->user;
    ifab_buf_init(&list->buf, LIST_BYTES * 2);
    ifab_buf_char(&list->buf, '{');
    if (ahead != NULL) {
        list->failed = ifab_buf_status(ahead) != IFAB_OK;
        ifab_buf_view(&list->buf, ifab_buf_as_view(ahead));
        ifab_buf_fini(ahead);
    }
    ifab_buf_str(&list->buf, "\"items\":[");
    list->last = list->after;
    return list;
}

bool list_next(struct list *list)
{
    list->more = list->shown == list->limit || list->buf.size > LIST_BYTES;
    if (!list->more && list->shown++ > 0)
        ifab_buf_char(&list->buf, ',');
    return !list->more;
}

void list_end(struct ticket *t, struct list *list)
{
    struct ifab_buf *b = &list->buf;
    if (list->more)
        ifab_buf_format(b, "],\"next\":\"%llu\"}", (unsigned long long)list->last);
    else
        ifab_buf_str(b, "],\"next\":null}");
    reply_body(t, b);
    if (list->failed)
        t->reply.code = ifab_refuse(&t->reply.refusal, IFAB_CODE_SYSTEM_ERROR, NULL, "out of memory");
}

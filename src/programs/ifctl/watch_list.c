/*
 * What waits for a person, as GET /v1/decisions lists it: every page, at most WATCH_MAX. An item is known by the index of its entry; its id
 * is the sender's own, so two senders may use the same one.
 */
#include "cli.h"

#include <stdlib.h>

#include "base/map.h"

#define PAGE "1000"
#define PAGES_MAX 16 /* a daemon that never ends its list is not followed for ever */

static bool take_text(const struct ifab_json *tree, const char *name, char *to, size_t size)
{
    struct ifab_view text;
    return ifab_json_string(ifab_json_get(tree, name), &text) && memchr(text.data, 0, text.size) == NULL &&
           cli_path(to, size, IFAB_FMT, IFAB_ARG(text));
}

static bool read_item(const struct ifab_json *tree, struct watch_item *ret)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf whole = IFAB_BUF_INIT(65536);
    *ret = (struct watch_item){.index = -1};
    ifab_json_write(&whole, tree);
    ret->print = ifab_hash64(ifab_buf_as_view(&whole), 0);
    (void)ifab_json_integer(ifab_json_get(tree, "votes_given"), &ret->votes_given);
    (void)ifab_json_integer(ifab_json_get(tree, "votes_needed"), &ret->votes_needed);
    return ifab_buf_status(&whole) == IFAB_OK && ifab_json_integer(ifab_json_get(ifab_json_get(tree, "entry"), "index"), &ret->index) &&
           take_text(tree, "id", ret->id, sizeof ret->id) && take_text(tree, "message_digest", ret->digest, sizeof ret->digest) &&
           take_text(tree, "topic_hash", ret->topic, sizeof ret->topic) && take_text(tree, "sender", ret->sender, sizeof ret->sender) &&
           take_text(tree, "decision", ret->decision, sizeof ret->decision) && take_text(tree, "expires_at", ret->until, sizeof ret->until) &&
           take_text(tree, "admitted_at", ret->since, sizeof ret->since);
}

/* One page onto the list. *ret_next: where the next begins; size 0: there is none. */
static int load_page(struct cli *cli, struct watch_list *list, char cursor[40], struct ifab_arena *arena)
{
    char target[128];
    const struct ifab_json *tree;
    cli_path(target, sizeof target, "/v1/decisions?limit=" PAGE "%s%s", cursor[0] == '\0' ? "" : "&cursor=", cursor);
    int code = cli_get_quietly(cli, target, arena, &tree);
    if (code != 0)
        return code;
    const struct ifab_json *items = ifab_json_get(tree, "items");
    size_t count = items != NULL && items->type == IFAB_JSON_ARRAY ? items->u.array.count : 0;
    if (count > WATCH_MAX - list->count)
        count = WATCH_MAX - list->count;
    struct watch_item *grown = count == 0 ? list->items : ifab_realloc(list->items, (list->count + count) * sizeof *grown);
    if (count > 0 && grown == NULL)
        return EXIT_SYSTEM;
    list->items = grown;
    for (size_t i = 0; i < count; i++)
        if (read_item(&items->u.array.items[i], &list->items[list->count]))
            list->count++;
    if (!take_text(tree, "next", cursor, 40) || strspn(cursor, "0123456789") != strlen(cursor))
        cursor[0] = '\0';
    return 0;
}

static int by_index(const void *a, const void *b)
{
    const struct watch_item *x = a, *y = b;
    return x->index < y->index ? -1 : x->index > y->index;
}

static int by_topic(const void *a, const void *b)
{
    const struct watch_item *x = *(const struct watch_item *const *)a, *y = *(const struct watch_item *const *)b;
    if (x->topic_count != y->topic_count)
        return x->topic_count > y->topic_count ? -1 : 1;
    int topics = strcmp(x->topic, y->topic);
    return topics != 0 ? topics : by_index(x, y);
}

void watch_list_by_topic(const struct watch_list *list, const struct watch_item **order)
{
    for (size_t i = 0; i < list->count; i++)
        order[i] = &list->items[i];
    if (list->count > 1)
        qsort(order, list->count, sizeof *order, by_topic);
}

/* Counts are 0 before: the order by topic is what they are counted in. */
static int count_topics(struct watch_list *list)
{
    const struct watch_item **order = ifab_malloc((list->count + 1) * sizeof(const struct watch_item *));
    if (order == NULL)
        return EXIT_SYSTEM;
    watch_list_by_topic(list, order);
    for (size_t from = 0, to; from < list->count; from = to) {
        for (to = from + 1; to < list->count && strcmp(order[from]->topic, order[to]->topic) == 0;)
            to++;
        for (size_t i = from; i < to; i++)
            list->items[order[i] - list->items].topic_count = to - from;
    }
    ifab_free(order);
    return 0;
}

int watch_list_refused(struct cli *cli)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    const struct ifab_json *tree;
    ifab_arena_init(&arena, 64 << 20);
    bool there;
    int code = cli_check_log(cli, false, &there);
    if (code != 0)
        return code;
    code = cli_get_json(cli, "/v1/decisions?limit=1", &arena, &tree);
    return code == 0 ? cli_stop(cli, EXIT_SYSTEM, NULL, "the list of decisions cannot be read") : code;
}

int watch_list_load(struct cli *cli, struct watch_list *ret_list)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    struct watch_list list = {.items = NULL};
    char cursor[40] = "";
    int code = 0;
    ifab_arena_init(&arena, (size_t)256 << 20);
    for (int page = 0; code == 0 && page < PAGES_MAX && (page == 0 || cursor[0] != '\0'); page++) {
        ifab_arena_reset(&arena);
        code = load_page(cli, &list, cursor, &arena);
    }
    if (code != 0 && cli->passes)
        code = EXIT_NO_ANSWER;
    if (code == 0 && list.count > 1)
        qsort(list.items, list.count, sizeof *list.items, by_index);
    if (code == 0)
        code = count_topics(&list);
    if (code != 0)
        watch_list_free(&list);
    else
        *ret_list = list;
    return code;
}

void watch_list_free(struct watch_list *self)
{
    ifab_free(self->items);
    *self = (struct watch_list){.items = NULL};
}

int watch_get(struct cli *cli, const struct watch_item *item, struct ifab_arena *arena, const struct ifab_json **ret_tree, bool *ret_same)
{
    struct ifab_buf target;
    struct ifab_view digest;
    int code = cli_decision_target(cli, item->id, "", &target);
    if (code == 0)
        code = cli_get_quietly(cli, (const char *)target.data, arena, ret_tree);
    ifab_buf_fini(&target);
    *ret_same = code == 0 && ifab_json_string(ifab_json_get(*ret_tree, "message_digest"), &digest) && ifab_view_is(digest, item->digest);
    return code;
}

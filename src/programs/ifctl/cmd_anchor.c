/* anchor create|list|verify, clock accept. */
#include "cli.h"
#include "head.h"

#include "base/id.h"
#include "crypto/crypto.h"

static int post_why(struct cli *cli, const char *target, enum cli_act act)
{
    struct cli_body body;
    cli_body_begin(&body);
    cli_body_text(&body, "why", cli->why);
    return cli_post(cli, target, &body, act, NULL);
}

int cmd_anchor_create(struct cli *cli)
{
    return post_why(cli, "/v1/anchors", ACT_IF_NEEDED);
}

int cmd_clock_accept(struct cli *cli)
{
    return post_why(cli, "/v1/clock/accept", ACT_ALWAYS);
}

int cmd_anchor_list(struct cli *cli)
{
    return cli_get_print(cli, "/v1/anchors", "SIZE:size|STORE:store");
}

#define CHANGES_MAX 256
struct keys { /* earlier keys of the log: trees of up to sizes[i] entries are signed by before32[i] */
    size_t count;
    uint64_t sizes[CHANGES_MAX];
    uint8_t before32[CHANGES_MAX][32];
};

/* One behind the other, the last to the key in use: as the log's own entries prove it. */
static int take_keys(struct cli *cli, const struct cli_head *head, struct ifab_arena *arena, struct keys *ret_keys)
{
    const struct ifab_json *tree;
    struct ifab_rotation rotation = {0};
    uint8_t admin32[32], last32[32];
    int code = cli_get_json(cli, "/v1/witness/entries?type=log_key&limit=256", arena, &tree);
    if (code != 0)
        return code;
    const struct ifab_json *items = ifab_json_get(tree, "items");
    size_t count = items != NULL && items->type == IFAB_JSON_ARRAY ? items->u.array.count : 0;
    for (size_t i = 0; i < count && i < CHANGES_MAX; i++) {
        struct ifab_error *err = cli_clean_err(cli);
        if (ifab_rotation_payload_verify(ifab_json_get(&items->u.array.items[i], "payload"), &rotation, admin32, err) != IFAB_OK ||
            !ifab_view_equal(rotation.origin, head->body.origin) || (i > 0 && memcmp(last32, rotation.from32, 32) != 0))
            return cli_refuse(cli, IFAB_CODE_LOG_CORRUPT, "a change of the log's key cannot be proven: %s", err->text);
        memcpy(last32, rotation.to32, 32);
        memcpy(ret_keys->before32[i], rotation.from32, 32);
        ret_keys->sizes[i] = rotation.size;
    }
    if (count > 0 && memcmp(last32, head->key32, 32) != 0)
        return cli_refuse(cli, IFAB_CODE_LOG_CORRUPT, "the key in use is not the one that the log was handed over to");
    ret_keys->count = count < CHANGES_MAX ? count : CHANGES_MAX;
    return 0;
}

/* Signed by the key that answers for its size, of the same origin, and a beginning of the log as it is now. */
static const char *check_anchor(struct cli *cli, const struct ifab_json *item, const struct cli_head *head, const struct keys *keys, struct ifab_arena *arena)
{
    struct ifab_view note, text;
    struct ifab_checkpoint old;
    const struct ifab_json *proof;
    uint8_t path[64][32];
    size_t count = 0;
    char target[128];
    int64_t named = 0;
    const uint8_t *key32 = head->key32;
    (void)ifab_json_integer(ifab_json_get(item, "size"), &named);
    for (size_t i = keys->count; i > 0 && (uint64_t)named <= keys->sizes[i - 1]; i--)
        key32 = keys->before32[i - 1];
    if (!ifab_json_string(ifab_json_get(item, "checkpoint"), &note) ||
        ifab_note_verify(note, head->name, key32, &text, NULL) != IFAB_OK || ifab_checkpoint_read(text, &old, NULL) != IFAB_OK)
        return "not signed by the key that the log had then";
    if (named < 0 || old.size != (uint64_t)named)
        return "of another size than it is listed with";
    if (!ifab_view_equal(old.origin, head->body.origin))
        return "of another log";
    if (old.size > head->body.size)
        return "ahead of the log: entries are missing";
    if (old.size == head->body.size)
        return memcmp(old.root32, head->body.root32, 32) == 0 ? NULL : "another root for the same size";
    if (old.size == 0)
        return NULL;
    cli_path(target, sizeof target, "/v1/witness/consistency?old=%llu&new=%llu", (unsigned long long)old.size,
             (unsigned long long)head->body.size);
    if (cli_get_json(cli, target, arena, &proof) != 0 || !cli_proof_path(proof, path, &count))
        return "no proof was given";
    bool good = ifab_proof_consistency_verify(old.size, head->body.size, old.root32, head->body.root32, (const uint8_t(*)[32])path, count);
    return good ? NULL : "the log does not continue it";
}

int cmd_anchor_verify(struct cli *cli)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf text = IFAB_BUF_INIT(8 << 20);
    const struct ifab_json *tree;
    struct cli_head head;
    struct keys keys = {0};
    size_t bad = 0;
    ifab_arena_init(&arena, (size_t)512 << 20);
    int code = cli_get_json(cli, "/v1/anchors", &arena, &tree); /* before the head: none is newer than it */
    if (code == 0)
        code = cli_checkpoint(cli, &arena, &head);
    if (code == 0)
        code = take_keys(cli, &head, &arena, &keys);
    if (code != 0)
        return code;
    const struct ifab_json *items = ifab_json_get(tree, "items");
    size_t count = items != NULL && items->type == IFAB_JSON_ARRAY ? items->u.array.count : 0;
    ifab_buf_str(&text, "{\"items\":[");
    for (size_t i = 0; i < count; i++) {
        const char *why = check_anchor(cli, &items->u.array.items[i], &head, &keys, &arena);
        int64_t size = 0;
        struct ifab_view store = {NULL, 0};
        (void)ifab_json_integer(ifab_json_get(&items->u.array.items[i], "size"), &size);
        (void)ifab_json_string(ifab_json_get(&items->u.array.items[i], "store"), &store);
        bad += why != NULL;
        ifab_buf_format(&text, "%s{\"size\":%lld,\"state\":", i > 0 ? "," : "", (long long)size);
        ifab_json_put_cstr(&text, why == NULL ? "good" : why);
        ifab_buf_str(&text, ",\"store\":");
        ifab_json_put_string(&text, store);
        ifab_buf_char(&text, '}');
    }
    ifab_buf_str(&text, "],\"next\":null}");
    if (ifab_buf_status(&text) != IFAB_OK)
        return cli_fail(cli, ifab_buf_status(&text));
    code = cli_print(cli, ifab_buf_as_view(&text), "SIZE:size|STATE:state|STORE:store");
    int64_t anchored = 0, directories = 0, newest = 0;
    (void)ifab_json_integer(ifab_json_get(tree, "anchored_size"), &anchored);
    (void)ifab_json_integer(ifab_json_get(tree, "directories"), &directories);
    for (size_t i = 0; i < count; i++) {
        int64_t size = 0;
        (void)ifab_json_integer(ifab_json_get(&items->u.array.items[i], "size"), &size);
        newest = size > newest ? size : newest;
    }
    if (bad == 0 && newest < anchored) {
        code = cli_refuse(cli, IFAB_CODE_LOG_CORRUPT, "anchors are gone: this log was anchored at %lld entries, the newest one found has %lld",
                          (long long)anchored, (long long)newest);
        cli_say(cli, "look for them in anchor.directories: is each of them mounted?");
        return code;
    }
    if (count == 0)
        cli_say(cli, directories > 0 ? "there is no anchor yet: ifctl anchor create --why …"
                                     : "there is no anchor: set anchor.directories in ifd.yaml and restart ifd");
    return bad > 0 ? cli_refuse(cli, IFAB_CODE_LOG_CORRUPT, "%zu of %zu anchors do not fit this log", bad, count) : code;
}

/* receipt save: the bundle that convinces a stranger, or with --receipt the receipt alone. */
#include "cli.h"
#include "base/id.h"

#include <stdlib.h>

#define PAGE 1000

struct bundle {
    struct cli *cli;
    struct ifab_arena arena; /* what outlives the client's buffer */
    struct ifab_view checkpoint, envelope;
    const struct ifab_json *proof; /* of the decision */
    struct ifab_view sender;       /* name */
    int64_t index, size, enrolled;
};

/* GET, the answer parsed and copied. */
static int get(struct bundle *b, const char *target, const struct ifab_json **ret_tree) { return cli_get_json(b->cli, target, &b->arena, ret_tree); }

static int get_receipt(struct bundle *b, const char *target)
{
    const struct ifab_json *tree;
    int code = get(b, target, &tree);
    if (code != 0)
        return code;
    b->proof = ifab_json_get(tree, "proof");
    if (!ifab_json_string(ifab_json_get(tree, "checkpoint"), &b->checkpoint) || !ifab_json_integer(ifab_json_get(b->proof, "index"), &b->index) ||
        !ifab_json_integer(ifab_json_get(b->proof, "size"), &b->size))
        return cli_refuse(b->cli, IFAB_CODE_SYSTEM_ERROR, "the receipt holds no checkpoint and proof");
    return 0;
}

/* The exact bytes, and who sent them. */
static int get_envelope(struct bundle *b)
{
    char target[96];
    struct ifab_response response;
    struct ifab_view uri, name, instance;
    const struct ifab_json *tree;
    cli_path(target, sizeof target, "/v1/witness/messages/%lld", (long long)b->index);
    const struct cli_call call = {.method = "GET", .target = target, .silent = true};
    int code = cli_call(b->cli, &call, &response);
    if (code != 0 && response.status == 404)
        return cli_stop(b->cli, 12, "--receipt saves the receipt without it", "the message's bytes were erased or never kept");
    if (code != 0)
        return cli_refused(b->cli, &response);
    if (ifab_arena_copy(&b->arena, response.body, &b->envelope) != IFAB_OK)
        return cli_fail(b->cli, IFAB_NOMEM);
    if (ifab_json_read(b->envelope, NULL, &b->arena, &tree, NULL) != IFAB_OK || !ifab_json_string(ifab_json_get(tree, "sender"), &uri) ||
        ifab_sender_parse(uri, &name, &instance) != IFAB_OK)
        return cli_refuse(b->cli, IFAB_CODE_LOG_CORRUPT, "the stored message is no envelope");
    b->sender = name;
    return 0;
}

/* The newest record of the sender before the decision, among the entries of one component. */
static int search(struct bundle *b, const char *component)
{
    struct ifab_view next = IFAB_VIEW("");
    for (bool more = true; more;) {
        IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf target = IFAB_BUF_INIT(4096);
        const struct ifab_json *tree;
        char cursor[1024], page[16];
        if (!cli_path(cursor, sizeof cursor, IFAB_FMT, IFAB_ARG(next)))
            return cli_fail(b->cli, IFAB_TOO_LARGE);
        cli_path(page, sizeof page, "%d", PAGE);
        ifab_buf_str(&target, "/v1/witness/entries");
        cli_put_query(&target, "component", component);
        cli_put_query(&target, "limit", page);
        cli_put_query(&target, "cursor", next.size > 0 ? cursor : NULL);
        ifab_buf_char(&target, '\0');
        if (ifab_buf_status(&target) != IFAB_OK)
            return cli_fail(b->cli, IFAB_NOMEM);
        int code = get(b, (const char *)target.data, &tree);
        if (code != 0)
            return code;
        const struct ifab_json *items = ifab_json_get(tree, "items");
        for (size_t i = 0; items != NULL && items->type == IFAB_JSON_ARRAY && i < items->u.array.count; i++) {
            const struct ifab_json *entry = &items->u.array.items[i], *record = ifab_json_get(ifab_json_get(entry, "payload"), "record");
            struct ifab_view name;
            int64_t index;
            if (ifab_json_integer(ifab_json_get(entry, "index"), &index) && index < b->index && index > b->enrolled &&
                ifab_json_string(ifab_json_get(record, "name"), &name) && ifab_view_equal(name, b->sender))
                b->enrolled = index;
        }
        more = ifab_json_string(ifab_json_get(tree, "next"), &next);
    }
    return 0;
}

/* The route's proof has no entry in it: its bytes are the canonical form of what GET …/entries/{index} gives. */
static int put_enrolment(struct bundle *b, struct ifab_buf *out)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf bytes = IFAB_BUF_INIT((size_t)1 << 20);
    char target[128];
    const struct ifab_json *proof, *entry;
    cli_path(target, sizeof target, "/v1/witness/proof?index=%lld&size=%lld", (long long)b->enrolled, (long long)b->size);
    int code = get(b, target, &proof);
    cli_path(target, sizeof target, "/v1/witness/entries/%lld", (long long)b->enrolled);
    if (code == 0)
        code = get(b, target, &entry);
    if (code != 0)
        return code;
    ifab_json_write(&bytes, entry);
    ifab_buf_str(out, ",\"enrolment\":{\"entry\":");
    ifab_json_put_string(out, ifab_buf_as_view(&bytes));
    static const char *const members[] = {"index", "leaf", "path", "size"};
    for (size_t i = 0; i < IFAB_COUNT(members); i++) {
        const struct ifab_json *value = ifab_json_get(proof, members[i]);
        if (value == NULL)
            return cli_refuse(b->cli, IFAB_CODE_SYSTEM_ERROR, "the answer to GET %s is no proof", target);
        ifab_buf_format(out, ",\"%s\":", members[i]);
        ifab_json_write(out, value);
    }
    ifab_buf_char(out, '}');
    return ifab_buf_status(&bytes) == IFAB_OK ? 0 : cli_fail(b->cli, IFAB_NOMEM);
}

static int write_bundle(struct bundle *b, const char *path)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf out = IFAB_BUF_INIT((size_t)8 << 20);
    ifab_buf_str(&out, "{\"checkpoint\":");
    ifab_json_put_string(&out, b->checkpoint);
    ifab_buf_str(&out, ",\"decision\":");
    ifab_json_write(&out, b->proof);
    int code = put_enrolment(b, &out);
    if (code != 0)
        return code;
    ifab_buf_str(&out, ",\"envelope\":");
    ifab_json_put_string(&out, b->envelope);
    ifab_buf_str(&out, ",\"v\":1}\n");
    return ifab_buf_status(&out) == IFAB_OK ? cli_write_file(b->cli, path, ifab_buf_as_view(&out), 0644, false) : cli_fail(b->cli, IFAB_NOMEM);
}

static int save_bundle(struct cli *cli, const char *target, const char *path)
{
    struct bundle b = {.cli = cli, .enrolled = -1};
    ifab_arena_init(&b.arena, (size_t)512 << 20);
    int code = get_receipt(&b, target);
    if (code == 0)
        code = get_envelope(&b);
    if (code == 0)
        code = search(&b, "IF.talent");
    if (code == 0 && b.enrolled < 0)
        code = search(&b, "IF.fabric"); /* the first talents stand in the entry of the fabric's beginning */
    if (code == 0 && b.enrolled < 0)
        code = cli_refuse(cli, IFAB_CODE_LOG_CORRUPT, "no entry enrols the sender before the decision");
    if (code == 0)
        code = write_bundle(&b, path);
    ifab_arena_fini(&b.arena);
    return code;
}

static int save_receipt(struct cli *cli, const char *target, const char *path)
{
    struct ifab_response response;
    const struct cli_call call = {.method = "GET", .target = target};
    int code = cli_call(cli, &call, &response);
    return code == 0 ? cli_write_file(cli, path, response.body, 0644, false) : code;
}

int cmd_receipt_save(struct cli *cli)
{
    struct ifab_buf target = IFAB_BUF_INIT(4096);
    uint8_t id16[16];
    char path[1200];
    const char *id = cli->words[0], *out = cli_get(cli, "out");
    bool alone = cli_get(cli, "receipt") != NULL;
    if (ifab_id_parse(ifab_view_str(id), "msg-", id16) != IFAB_OK)
        return cli_usage(cli, "ID is the id of a message, msg- and a UUIDv7, not \"%s\"", id);
    if (!cli_path(path, sizeof path, "%s%s", out == NULL ? id : out, out != NULL ? "" : alone ? ".receipt.json" : ".ifproof") || path[0] == '\0')
        return cli_usage(cli, "--out is a file name of at most %zu bytes", sizeof path - 1);
    int code = cli_may_make(cli, path); /* said before the daemon is asked */
    if (code != 0)
        return code;
    ifab_buf_str(&target, "/v1/messages");
    cli_put_segment(&target, id);
    cli_put_query(&target, "sender", cli_get(cli, "sender"));
    cli_put_query(&target, "proof", "1");
    ifab_buf_char(&target, '\0');
    if (ifab_buf_status(&target) != IFAB_OK)
        code = cli_usage(cli, "--sender is too long");
    else
        code = alone ? save_receipt(cli, (const char *)target.data, path) : save_bundle(cli, (const char *)target.data, path);
    if (code == 0)
        cli_say(cli, "%s. Verify it: if-verify %s --vkey VKEY", path, path);
    ifab_buf_fini(&target);
    return code;
}

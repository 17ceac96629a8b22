/* witness query|show|trace|checkpoint|vkey|prove|tail|erase|rotate-key. */
#include "cli.h"

#include <stdlib.h>

#include "base/encode.h"
#include "base/id.h"
#include "crypto/crypto.h"
#include "head.h"

#define ENTRY_COLUMNS \
    "INDEX:index|TIME:time|SEVERITY:severity|COMPONENT:component|OPERATION:operation|ACTOR:actor|SUBJECT:subject|WHY:why|TRACE:trace"

static bool is_index(const char *text)
{
    size_t size = strlen(text);
    return size > 0 && size < 17 && strspn(text, "0123456789") == size;
}

/* The list of entries with the filters that were given. */
static int print_entries(struct cli *cli, bool all)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf target = IFAB_BUF_INIT(8192);
    static const char *const filters[] = {"component", "type", "from", "to"};
    ifab_buf_str(&target, "/v1/witness/entries");
    cli_put_query(&target, "trace", cli->trace[0] == '\0' ? NULL : cli->trace);
    for (size_t i = 0; i < IFAB_COUNT(filters); i++)
        cli_put_query(&target, filters[i], cli_get(cli, filters[i]));
    return cli_get_pages(cli, &target, all, ENTRY_COLUMNS);
}

/* A time, a date (its midnight, UTC), or how long ago: 1h. What was given becomes the time. */
int cli_past_time_option(struct cli *cli, const char *name, char ret_text[25])
{
    const char *text = cli_get(cli, name);
    char whole[40];
    int64_t wall, ago;
    if (text == NULL)
        return 0;
    if (text[0] != '\0' && strspn(text, "0123456789") == strlen(text)) /* an index, as of witness tail, or seconds? */
        return cli_usage(cli, "--%s %s: how long ago is written with its unit, e.g. %ss; an index is what witness tail takes", name, text, text);
    if (cli_duration(text, &ago))
        wall = ifab_wall_usec() - ago;
    else if (ifab_time_parse(ifab_view_str(text), &wall) != IFAB_OK &&
             (strlen(text) != 10 || !cli_path(whole, sizeof whole, "%sT00:00:00Z", text) || ifab_time_parse(ifab_view_str(whole), &wall) != IFAB_OK))
        return cli_usage(cli, "--%s is a time (YYYY-MM-DDThh:mm:ssZ), a date (YYYY-MM-DD) or how long ago (1h), not \"%s\"", name, text);
    ifab_time_format(wall, ret_text);
    for (size_t i = 0; i < cli->given_count; i++)
        if (ifab_view_is(ifab_view_of(cli->given[i].name, cli->given[i].name_size), name))
            cli->given[i].value = ret_text;
    return 0;
}

int cmd_witness_query(struct cli *cli)
{
    static const char *const times[] = {"from", "to"};
    char settled[2][25];
    for (size_t i = 0; i < IFAB_COUNT(times); i++) {
        int code = cli_past_time_option(cli, times[i], settled[i]);
        if (code != 0)
            return code;
    }
    return print_entries(cli, cli_get(cli, "all") != NULL);
}

int cmd_witness_trace(struct cli *cli)
{
    uint8_t bytes16[16];
    if (cli->word_count > 0) {
        struct ifab_view word = ifab_view_str(cli->words[0]);
        if (ifab_uuid_parse(word, bytes16) != IFAB_OK && ifab_hex_decode(word, bytes16, 16) != IFAB_OK)
            return cli_usage(cli, "a trace token is a UUID in lower case, not \"%s\"", cli->words[0]);
        ifab_uuid_format(bytes16, cli->trace);
    }
    if (cli->trace[0] == '\0')
        return cli_usage(cli, "say which: a token, or --trace-token");
    return print_entries(cli, true);
}

int cmd_witness_show(struct cli *cli)
{
    char target[128];
    if (!is_index(cli->words[0]))
        return cli_usage(cli, "INDEX is a number, not \"%s\"", cli->words[0]);
    cli_path(target, sizeof target, "/v1/witness/entries/%s", cli->words[0]);
    return cli_get_print(cli, target, ENTRY_COLUMNS);
}

int cmd_witness_checkpoint(struct cli *cli)
{
    struct ifab_response response;
    const struct cli_call call = {.method = "GET", .target = "/log/main/checkpoint"};
    int code = cli_call(cli, &call, &response);
    if (code == 0)
        fwrite(response.body.data, 1, response.body.size, stdout); /* exact: it is signed text */
    return code;
}

int cmd_witness_vkey(struct cli *cli)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    const struct ifab_json *tree;
    struct ifab_view vkey;
    ifab_arena_init(&arena, 4 << 20);
    int code = cli_get_json(cli, "/v1/fabric", &arena, &tree);
    if (code != 0)
        return code;
    if (!ifab_json_string(ifab_json_get(tree, "vkey"), &vkey))
        return cli_refuse(cli, IFAB_CODE_SYSTEM_ERROR, "GET /v1/fabric names no vkey");
    cli_put_text(stdout, vkey);
    fputc('\n', stdout);
    return 0;
}

int cli_checkpoint(struct cli *cli, struct ifab_arena *arena, struct cli_head *ret_head)
{
    struct ifab_response response;
    struct ifab_view text;
    const struct ifab_json *tree;
    const struct cli_call call = {.method = "GET", .target = "/log/main/checkpoint"};
    int code = cli_call(cli, &call, &response);
    if (code != 0)
        return code;
    if (ifab_arena_copy(arena, response.body, &ret_head->note) != IFAB_OK)
        return cli_fail(cli, IFAB_NOMEM);
    if ((code = cli_get_json(cli, "/v1/fabric", arena, &tree)) != 0)
        return code;
    struct ifab_error *err = cli_clean_err(cli);
    if (!ifab_json_string(ifab_json_get(tree, "vkey"), &ret_head->vkey) ||
        ifab_note_vkey_read(ret_head->vkey, &ret_head->name, ret_head->key32, err) != IFAB_OK ||
        ifab_note_verify(ret_head->note, ret_head->name, ret_head->key32, &text, err) != IFAB_OK ||
        ifab_checkpoint_read(text, &ret_head->body, err) != IFAB_OK)
        return cli_refuse(cli, IFAB_CODE_LOG_CORRUPT, "the checkpoint is not signed by the fabric's key: %s", cli->err.text);
    return 0;
}

bool cli_proof_path(const struct ifab_json *proof, uint8_t path[][32], size_t *ret_count)
{
    const struct ifab_json *items = ifab_json_get(proof, "path");
    struct ifab_view hex;
    if (items == NULL || items->type != IFAB_JSON_ARRAY || items->u.array.count > 64)
        return false;
    for (size_t i = 0; i < items->u.array.count; i++)
        if (!ifab_json_string(&items->u.array.items[i], &hex) || ifab_hex_decode(hex, path[i], 32) != IFAB_OK)
            return false;
    *ret_count = items->u.array.count;
    return true;
}

/* The leaf of the entry as it is shown, so that the proof is about these very bytes. */
static int leaf_of_entry(struct cli *cli, const char *index, struct ifab_arena *arena, uint8_t ret_leaf32[32])
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf canonical = IFAB_BUF_INIT(1 << 20);
    const struct ifab_json *tree;
    char target[128];
    cli_path(target, sizeof target, "/v1/witness/entries/%s", index);
    int code = cli_get_json(cli, target, arena, &tree);
    if (code != 0)
        return code;
    const struct ifab_json *entry = ifab_json_get(tree, "entry");
    ifab_json_write(&canonical, entry != NULL && entry->type == IFAB_JSON_OBJECT ? entry : tree);
    if (ifab_buf_status(&canonical) != IFAB_OK)
        return cli_fail(cli, ifab_buf_status(&canonical));
    ifab_leaf_hash(ifab_buf_as_view(&canonical), ret_leaf32);
    return 0;
}

static int print_proof(struct cli *cli, const struct ifab_json *proof, struct ifab_view note)
{
    struct cli_body body;
    struct ifab_buf part = IFAB_BUF_INIT(1 << 20);
    ifab_json_write(&part, proof);
    ifab_buf_char(&part, '\0');
    struct ifab_buf text = IFAB_BUF_INIT(1 << 20);
    ifab_json_put_string(&text, note);
    ifab_buf_char(&text, '\0');
    cli_body_begin(&body);
    if (ifab_buf_status(&part) == IFAB_OK && ifab_buf_status(&text) == IFAB_OK) {
        cli_body_raw(&body, "proof", (const char *)part.data);
        cli_body_raw(&body, "checkpoint", (const char *)text.data);
    }
    cli_body_raw(&body, "verified", "true");
    cli_body_end(&body);
    int code = cli_print(cli, ifab_buf_as_view(&body.buf), "INDEX:proof.index|SIZE:proof.size|VERIFIED:verified");
    ifab_buf_fini(&part);
    ifab_buf_fini(&text);
    ifab_buf_fini(&body.buf);
    return code;
}

int cmd_witness_prove(struct cli *cli)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    struct cli_head head;
    const struct ifab_json *proof;
    uint8_t path[64][32], leaf32[32];
    size_t count = 0;
    char target[160];
    if (!is_index(cli->words[0]))
        return cli_usage(cli, "INDEX is a number, not \"%s\"", cli->words[0]);
    ifab_arena_init(&arena, 64 << 20);
    uint64_t index = strtoull(cli->words[0], NULL, 10);
    int code = cli_checkpoint(cli, &arena, &head);
    if (code != 0)
        return code;
    cli_path(target, sizeof target, "/v1/witness/proof?index=%llu&size=%llu", (unsigned long long)index,
             (unsigned long long)head.body.size);
    if ((code = cli_get_json(cli, target, &arena, &proof)) != 0 || (code = leaf_of_entry(cli, cli->words[0], &arena, leaf32)) != 0)
        return code;
    if (!cli_proof_path(proof, path, &count))
        return cli_refuse(cli, IFAB_CODE_SYSTEM_ERROR, "the answer is no proof");
    if (!ifab_proof_inclusion_verify(index, head.body.size, leaf32, (const uint8_t(*)[32])path, count, head.body.root32))
        return cli_refuse(cli, IFAB_CODE_LOG_CORRUPT, "entry %llu does not stand in the log that the checkpoint signs",
                          (unsigned long long)index);
    return print_proof(cli, proof, head.note);
}

/* The index behind which to begin: --from is printed too; without it only what comes from now on. */
/* A stream goes on behind an entry, and before the first there is none. An agent does not see it. */
static int show_first(struct cli *cli)
{
    const struct cli_call call = {.method = "GET", .target = "/v1/witness/entries/0", .silent = true};
    struct ifab_response response = {0};
    int code = cli_call(cli, &call, &response);
    if (code == 0)
        code = cli_print(cli, response.body, ENTRY_COLUMNS);
    else if (response.status == 404)
        return 0;
    else
        return cli_get_print(cli, "/v1/witness/entries/0", ENTRY_COLUMNS); /* why, aloud */
    cli->goes_on = true;
    return code;
}

static int tail_start(struct cli *cli, char ret_after[32], size_t size)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    const char *from = cli_get(cli, "from");
    const struct ifab_json *tree;
    int64_t entries;
    if (from != NULL && !is_index(from))
        return cli_usage(cli, "--from is an index here, not \"%s\"", from);
    ifab_arena_init(&arena, 4 << 20);
    int code = cli_get_json(cli, "/v1/fabric", &arena, &tree);
    if (code != 0)
        return code;
    if (!ifab_json_integer(ifab_json_get(tree, "size"), &entries) || entries < 1)
        return cli_refuse(cli, IFAB_CODE_SYSTEM_ERROR, "GET /v1/fabric names no size");
    int64_t first = from == NULL ? entries : (int64_t)strtoull(from, NULL, 10);
    if (first > entries)
        return cli_usage(cli, "--from %s: the log has %lld entries", from, (long long)entries);
    if (first == 0) {
        code = show_first(cli);
        first = 1;
    }
    cli_path(ret_after, size, "%lld", (long long)first - 1);
    return code;
}

int cmd_witness_tail(struct cli *cli)
{
    char after[32];
    if (cli_get(cli, "output") == NULL || cli->format == CLI_JSON)
        cli->format = CLI_NDJSON;
    cli->rows = true;
    int code = tail_start(cli, after, sizeof after);
    return code == 0 ? cli_follow(cli, "/v1/events", after, ENTRY_COLUMNS) : code;
}

int cmd_witness_erase(struct cli *cli)
{
    struct cli_body body;
    const char *sender = cli_get(cli, "sender");
    bool entry = is_index(cli->words[0]);
    if (sender == NULL && !entry)
        return cli_usage(cli, "say whose: --sender if://agent/NAME");
    if (sender != NULL && entry)
        return cli_usage(cli, "an entry is named by its index alone");
    cli_body_begin(&body);
    if (entry)
        cli_body_raw(&body, "entry", cli->words[0]);
    else
        cli_body_text(&body, "id", cli->words[0]);
    cli_body_text(&body, "sender", sender);
    cli_body_text(&body, "why", cli->why);
    return cli_post(cli, "/v1/witness/erase", &body, ACT_ALWAYS, NULL);
}

/* The daemon makes the key where it stays; which one it is, the admin signs. */
int cmd_witness_rotate_key(struct cli *cli)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    struct cli_body body;
    struct ifab_response response;
    struct ifab_view to, from;
    const struct ifab_json *tree;
    char key[512], old[512];
    const struct cli_call ask = {.method = "POST", .target = "/v1/log-keys", .body = IFAB_VIEW("{}")};
    ifab_arena_init(&arena, (size_t)1 << 20);
    int code = cli_call(cli, &ask, &response);
    if (code != 0)
        return code;
    if (ifab_json_read(response.body, NULL, &arena, &tree, NULL) != IFAB_OK || !ifab_json_string(ifab_json_get(tree, "to"), &to) ||
        !ifab_json_string(ifab_json_get(tree, "from"), &from) || !cli_path(key, sizeof key, IFAB_FMT, IFAB_ARG(to)) ||
        !cli_path(old, sizeof old, IFAB_FMT, IFAB_ARG(from)))
        return cli_refuse(cli, IFAB_CODE_SYSTEM_ERROR, "POST /v1/log-keys names no new key");
    cli_body_begin(&body);
    cli_body_text(&body, "to", key);
    code = cli_post(cli, "/v1/log-keys/rotate", &body, ACT_ALWAYS, "TO:to|FROM:from|INDEX:entry.index");
    if (code != 0)
        return code;
    cli_say(cli, "Give the new key to all who verify; who has the old one follows it: if-verify EXPORT --vkey OLD --follow-rotation");
    cli_say(cli, "Keep keys/log.key anew: a backup from now on is restored with it, an older one with keys/log.key.before-N.");
    cli_say(cli, "If the old key may be known to others, anchor now: ifctl anchor create --why …");
    return 0;
}

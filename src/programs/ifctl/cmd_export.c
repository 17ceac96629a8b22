/*
 * witness export: checkpoint, tile/…, tile/entries/…, messages/<index>.json, keys/vkey, erased.json, as the offline verifier and any tile
 * client read them. Everything is fetched for the size of one checkpoint, so the copy is of one moment while the log goes on.
 */
#include "cli.h"
#include "head.h"

#include <stdlib.h>

struct export {
    struct cli *cli;
    const char *out;
    uint64_t size, messages, erased_count;
    uint64_t *erased; /* indexes, as erase entries name them */
    size_t erased_room;
};

/* GET target into file out/name. *ret_missing: 404 is no failure. */
static int fetch(struct export *x, const char *target, bool *ret_missing, struct ifab_view *ret_body)
{
    struct ifab_response response;
    const struct cli_call call = {.method = "GET", .target = target, .silent = ret_missing != NULL};
    int code = cli_call(x->cli, &call, &response);
    if (ret_missing != NULL)
        *ret_missing = code != 0 && response.status == 404;
    if (code != 0 && ret_missing != NULL && response.status != 404)
        return response.status >= 400 ? cli_refused(x->cli, &response) : code;
    if (code == 0)
        *ret_body = response.body;
    return code != 0 && ret_missing != NULL && *ret_missing ? 0 : code;
}

static int save(struct export *x, const char *name, struct ifab_view bytes)
{
    char path[1400];
    if (!cli_path(path, sizeof path, "%s/%s", x->out, name))
        return cli_usage(x->cli, "--out is too long");
    char *slash = strrchr(path, '/');
    *slash = '\0';
    int code = cli_make_directory(x->cli, path, 0755, true);
    *slash = '/';
    return code == 0 ? cli_write_file(x->cli, path, bytes, 0644, false) : code;
}

/* First `width` entries of a bundle. */
static struct ifab_view cut_bundle(struct ifab_view bundle, unsigned width)
{
    struct ifab_view rest = bundle, entry;
    for (unsigned i = 0; i < width; i++)
        if (!ifab_bundle_next(&rest, &entry))
            return (struct ifab_view){NULL, 0};
    return ifab_view_of(bundle.data, bundle.size - rest.size);
}

/* One tile of the width this size needs. A partial one may have grown full meanwhile: then its beginning is taken. */
static int take_tile(struct export *x, const struct ifab_tile *tile, struct ifab_view *ret_bytes)
{
    char name[64], target[128];
    bool missing;
    struct ifab_tile full = *tile;
    ifab_tile_format(tile, name);
    cli_path(target, sizeof target, "/log/main/%s", name);
    if (tile->width == 256)
        return fetch(x, target, NULL, ret_bytes);
    int code = fetch(x, target, &missing, ret_bytes);
    if (code != 0 || !missing)
        return code;
    full.width = 256;
    ifab_tile_format(&full, name);
    cli_path(target, sizeof target, "/log/main/%s", name);
    if ((code = fetch(x, target, NULL, ret_bytes)) != 0)
        return code;
    if (tile->entries)
        *ret_bytes = cut_bundle(*ret_bytes, tile->width);
    else
        ret_bytes->size = ret_bytes->size < (size_t)tile->width * 32 ? 0 : (size_t)tile->width * 32;
    return ret_bytes->size > 0 ? 0 : cli_refuse(x->cli, IFAB_CODE_LOG_CORRUPT, "%s is too short", name);
}

static int note_erased(struct export *x, const struct ifab_json *entry)
{
    const struct ifab_json *payload = ifab_json_get(entry, "payload");
    int64_t index = -1;
    if (!ifab_json_integer(ifab_json_get(payload, "index"), &index))
        (void)ifab_json_integer(ifab_json_get(payload, "entry"), &index);
    if (index < 0)
        return 0;
    if (x->erased_count == x->erased_room) {
        size_t room = x->erased_room == 0 ? 64 : x->erased_room * 2;
        uint64_t *more = ifab_realloc(x->erased, room * sizeof *more);
        if (more == NULL)
            return cli_fail(x->cli, IFAB_NOMEM);
        x->erased = more;
        x->erased_room = room;
    }
    x->erased[x->erased_count++] = (uint64_t)index;
    return 0;
}

/* What lies beside an entry: the message's bytes, or the note that they are gone; a rule set. */
static int take_message(struct export *x, uint64_t index, struct ifab_view entry)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    const struct ifab_json *tree;
    struct ifab_view type = {NULL, 0}, operation = {NULL, 0}, bytes;
    char name[96];
    bool missing;
    ifab_arena_init(&arena, 8 << 20);
    if (ifab_json_read(entry, NULL, &arena, &tree, NULL) != IFAB_OK)
        return cli_refuse(x->cli, IFAB_CODE_LOG_CORRUPT, "entry %llu is not JSON", (unsigned long long)index);
    (void)ifab_json_string(ifab_json_get(tree, "type"), &type);
    (void)ifab_json_string(ifab_json_get(tree, "operation"), &operation);
    if (ifab_view_is(type, "witness") && ifab_view_is(operation, "erase"))
        return note_erased(x, tree);
    bool rules = ifab_view_is(type, "rules");
    if (!rules && !ifab_view_is(type, "message"))
        return 0;
    cli_path(name, sizeof name, "/v1/witness/messages/%llu", (unsigned long long)index);
    int code = fetch(x, name, &missing, &bytes);
    if (code != 0 || missing)
        return code;
    cli_path(name, sizeof name, rules ? "rules/%llu.json" : "messages/%llu.json", (unsigned long long)index);
    x->messages += !rules;
    return save(x, name, bytes);
}

/* Bundles first: each is copied, because fetching messages uses the client's buffer again. */
static int take_entries(struct export *x)
{
    for (uint64_t first = 0; first < x->size; first += 256) {
        const struct ifab_tile tile = {
            .entries = true, .number = first / 256, .width = x->size - first < 256 ? (unsigned)(x->size - first) : 256};
        IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf copy = IFAB_BUF_INIT(IFAB_CLIENT_RESPONSE_MAX);
        struct ifab_view bytes, entry;
        char name[64];
        int code = take_tile(x, &tile, &bytes);
        if (code != 0)
            return code;
        ifab_buf_view(&copy, bytes);
        ifab_tile_format(&tile, name);
        if (ifab_buf_status(&copy) != IFAB_OK)
            return cli_fail(x->cli, IFAB_NOMEM);
        if ((code = save(x, name, ifab_buf_as_view(&copy))) != 0)
            return code;
        struct ifab_view rest = ifab_buf_as_view(&copy);
        for (uint64_t i = 0; i < tile.width; i++) {
            if (!ifab_bundle_next(&rest, &entry))
                return cli_refuse(x->cli, IFAB_CODE_LOG_CORRUPT, "%s is too short", name);
            if ((code = take_message(x, first + i, entry)) != 0)
                return code;
        }
        if (first % 65536 == 0 && first > 0)
            cli_say(x->cli, "%llu of %llu entries", (unsigned long long)first, (unsigned long long)x->size);
    }
    return 0;
}

static int take_hashes(struct export *x)
{
    for (unsigned level = 0; level < 8 && (x->size >> (8 * level)) > 0; level++) {
        uint64_t nodes = x->size >> (8 * level);
        for (uint64_t n = 0; n * 256 < nodes; n++) {
            const struct ifab_tile tile = {.level = level, .number = n, .width = nodes - n * 256 < 256 ? (unsigned)(nodes - n * 256) : 256};
            struct ifab_view bytes;
            char name[64];
            int code = take_tile(x, &tile, &bytes);
            ifab_tile_format(&tile, name);
            if (code != 0 || (code = save(x, name, bytes)) != 0)
                return code;
        }
    }
    return 0;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static int save_erased(struct export *x)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf text = IFAB_BUF_INIT(64 << 20);
    if (x->erased_count > 1)
        qsort(x->erased, x->erased_count, sizeof x->erased[0], by_number);
    ifab_buf_char(&text, '[');
    for (size_t i = 0; i < x->erased_count; i++) {
        if (i > 0 && x->erased[i] == x->erased[i - 1])
            continue;
        if (i > 0)
            ifab_buf_char(&text, ',');
        ifab_buf_u64(&text, x->erased[i]);
    }
    ifab_buf_char(&text, ']');
    return ifab_buf_status(&text) == IFAB_OK ? save(x, "erased.json", ifab_buf_as_view(&text)) : cli_fail(x->cli, IFAB_NOMEM);
}

int cmd_witness_export(struct cli *cli)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    struct cli_head head;
    struct export x = {.cli = cli, .out = cli_get(cli, "out")};
    char line[600];
    ifab_arena_init(&arena, 8 << 20);
    if (x.out == NULL || *x.out == '\0')
        return cli_usage(cli, "say where: --out DIR");
    int code = cli_checkpoint(cli, &arena, &head);
    if (code == 0)
        code = cli_make_directory(cli, x.out, 0755, false); /* a new one: old files must not look like part of it */
    if (code != 0)
        return code;
    x.size = head.body.size;
    cli_path(line, sizeof line, IFAB_FMT "\n", IFAB_ARG(head.vkey));
    if ((code = save(&x, "keys/vkey", ifab_view_str(line))) == 0 && (code = take_entries(&x)) == 0 && (code = take_hashes(&x)) == 0 &&
        (code = save_erased(&x)) == 0)
        code = save(&x, "checkpoint", head.note); /* last: without it the directory is not an export */
    ifab_free(x.erased);
    if (code == 0)
        cli_say(cli, "%llu entries, %llu messages in %s. Verify it: if-verify %s --vkey VKEY (a copy kept elsewhere)",
                (unsigned long long)x.size, (unsigned long long)x.messages, x.out, x.out);
    return code;
}

/*
 * What the entries say. Each is parsed once, written again and compared, so that its bytes are the only ones that mean this; then its
 * index, chain, time and log. Order of the checks: the first that fails is reported.
 */
#include "verify_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/encode.h"

#define ENTRY_ARENA ((size_t)32 << 20) /* a parsed entry of 64 KiB, or a message of 1 MiB beside it */

ifab_status ifab_verify__entries_init(struct verify_entries *self, int dir_fd, struct ifab_verify_report *report, struct ifab_error *err)
{
    uint64_t seed;

    *self = (struct verify_entries){.dir_fd = dir_fd, .messages_fd = -1};
    ifab_random(&seed, sizeof seed);
    ifab_map_init(&self->talents, seed);
    ifab_map_init(&self->erased_id, seed);
    ifab_arena_init(&self->arena, ENTRY_ARENA);
    ifab_buf_init(&self->canonical, IFAB_ENTRY_MAX + 1);
    ifab_buf_init(&self->file, VERIFY_MESSAGE_MAX + 1);
    self->messages_fd = openat(dir_fd, "messages", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (self->messages_fd < 0 && errno != ENOENT)
        return ifab_fail(err, IFAB_IO, "messages: %s", strerror(errno));
    return ifab_verify__erased_read(self, report, err);
}

void ifab_verify__entries_fini(struct verify_entries *self)
{
    for (size_t i = 0; i < self->enrolled_count; i++)
        ifab_free(self->enrolled[i].keys);
    ifab_free(self->enrolled);
    ifab_free(self->gone);
    ifab_map_fini(&self->talents);
    ifab_map_fini(&self->erased_id);
    ifab_u64map_fini(&self->erased);
    ifab_u64map_fini(&self->erased_at);
    ifab_arena_fini(&self->arena);
    ifab_buf_fini(&self->canonical);
    ifab_buf_fini(&self->file);
    if (self->messages_fd >= 0)
        close(self->messages_fd);
}

/* Every entry has these, as text. */
static const char *const names[] = {"actor", "component", "log", "operation", "severity", "subject", "time", "type"};

static bool check_fields(struct verify_entries *self, uint64_t index, const struct ifab_json *entry, struct ifab_verify_report *report)
{
    const struct ifab_json *why_from = ifab_json_get(entry, "why_from");
    struct ifab_view text;
    uint8_t prev32[32];
    ifab_usec time;
    int64_t number = -1;

    for (size_t i = 0; i < IFAB_COUNT(names); i++)
        if (!ifab_json_string(ifab_json_get(entry, names[i]), &text))
            return ifab_verify__broken_at(report, index, "%s is missing", names[i]);
    if (!ifab_json_integer(ifab_json_get(entry, "v"), &number) || number != 1)
        return ifab_verify__broken_at(report, index, "v is not 1");
    if (!ifab_json_integer(ifab_json_get(entry, "index"), &number) || number < 0 || (uint64_t)number != index)
        return ifab_verify__broken_at(report, index, "its index is another");
    if (ifab_hex_decode(ifab_verify__text(entry, "prev_hash"), prev32, 32) != IFAB_OK || memcmp(prev32, self->prev32, 32) != 0)
        return ifab_verify__broken_at(report, index, "prev_hash is not the hash of the entry before");
    if (ifab_time_parse(ifab_verify__text(entry, "time"), &time) != IFAB_OK)
        return ifab_verify__broken_at(report, index, "time is malformed");
    if (index > 0 && time < self->time)
        return ifab_verify__broken_at(report, index, "time is before the one of the entry before");
    if (why_from == NULL
            ? !ifab_json_string(ifab_json_get(entry, "why"), &text)
            : ifab_json_get(entry, "why") != NULL || !ifab_json_integer(why_from, &number) || number < 0 || (uint64_t)number >= index)
        return ifab_verify__broken_at(report, index, "neither why nor an earlier why_from");
    text = ifab_verify__text(entry, "log");
    if (index == 0 && text.size < sizeof self->log)
        memcpy(self->log, text.data, text.size); /* the rest is zero */
    if (!ifab_view_is(text, self->log))
        return ifab_verify__broken_at(report, index, "it is of another log");
    self->time = time;
    return true;
}

static bool has(const struct ifab_json *entry, const char *name, const char *text)
{
    return ifab_view_is(ifab_verify__text(entry, name), text);
}

ifab_status ifab_verify__entry(struct verify_entries *self, uint64_t index, struct ifab_view entry, struct ifab_verify_report *report,
                               struct ifab_error *err)
{
    const struct ifab_json_limits limits = {.max_size = IFAB_ENTRY_MAX};
    const struct ifab_json *tree, *record;
    struct ifab_error why = {0};
    ifab_status status;

    ifab_arena_reset(&self->arena);
    status = ifab_json_read(entry, &limits, &self->arena, &tree, &why);
    if (status == IFAB_NOMEM)
        return ifab_fail(err, IFAB_NOMEM, "entry");
    if (status != IFAB_OK || tree->type != IFAB_JSON_OBJECT) {
        ifab_verify__broken_at(report, index, "it is no JSON object (at byte %u)", why.offset);
        return IFAB_OK;
    }
    ifab_buf_clear(&self->canonical);
    ifab_json_write(&self->canonical, tree);
    if (ifab_buf_status(&self->canonical) == IFAB_NOMEM)
        return ifab_fail(err, IFAB_NOMEM, "entry");
    if (!ifab_view_equal(ifab_buf_as_view(&self->canonical), entry)) {
        ifab_verify__broken_at(report, index, "it is not in canonical form");
        return IFAB_OK;
    }
    if (!check_fields(self, index, tree, report))
        return IFAB_OK;
    ifab_sha256(entry, self->prev32);
    record = ifab_json_get(ifab_json_get(tree, "payload"), "record");
    if (record != NULL && (has(tree, "type", "talent") || has(tree, "type", "fabric")))
        return ifab_verify__enrol(self, index, record, report, err);
    if (has(tree, "component", "IF.witness") && has(tree, "operation", "erase"))
        return ifab_verify__erasure(self, tree, err);
    if (has(tree, "component", "IF.witness") && has(tree, "operation", "rotate_key"))
        ifab_verify__rotation(self, index, tree, report);
    if (has(tree, "component", "IF.connect") && has(tree, "type", "message"))
        return ifab_verify__message(self, index, tree, report, err);
    if (has(tree, "component", "IF.guard") && has(tree, "type", "rules"))
        return ifab_verify__rules(self, index, tree, report, err);
    return IFAB_OK;
}

/*
 * Message bytes beside the log: digest as in the entry, signature, key as enrolled. Bytes may be absent (never kept, erased, or not
 * exported); what erased.json says must be borne out by an erase entry of the log, so the list itself cannot be altered unnoticed.
 */
#include "verify_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/encode.h"
#include "connect/envelope.h"

#define ERASED_FILE_MAX (4 << 20)
#define RULES_MAX (8 << 20)
enum verify_erased { ERASED_LISTED = 1, ERASED_SEEN = 2 };

static ifab_status read_list(struct verify_entries *self, const struct ifab_json *list, struct ifab_verify_report *report)
{
    if (list->type != IFAB_JSON_ARRAY) {
        ifab_verify__broken(report, "erased.json: not a list of indexes");
        return IFAB_OK;
    }
    for (size_t i = 0; i < list->u.array.count; i++) {
        int64_t index = -1;
        uint64_t known;
        if (!ifab_json_integer(&list->u.array.items[i], &index) || index < 0 || ifab_u64map_get(&self->erased, (uint64_t)index, &known)) {
            ifab_verify__broken(report, "erased.json: item %zu is no index, or stands twice", i);
            return IFAB_OK;
        }
        IFAB_TRY(ifab_u64map_put(&self->erased, (uint64_t)index, ERASED_LISTED));
    }
    return IFAB_OK;
}

/* Canonical, so that no byte of it can change without a meaning changing; one line end may follow. */
ifab_status ifab_verify__erased_read(struct verify_entries *self, struct ifab_verify_report *report, struct ifab_error *err)
{
    const struct ifab_json_limits limits = {.max_size = ERASED_FILE_MAX};
    const struct ifab_json *list = NULL;
    struct ifab_buf file = IFAB_BUF_INIT(ERASED_FILE_MAX + 1), canonical = IFAB_BUF_INIT(ERASED_FILE_MAX + 1);
    struct ifab_arena arena;
    struct ifab_view text;
    ifab_status status = ifab_verify__file(self->dir_fd, "erased.json", ERASED_FILE_MAX, &file, err);

    ifab_arena_init(&arena, (size_t)512 << 20);
    text = ifab_buf_as_view(&file);
    if (text.size > 0 && text.data[text.size - 1] == '\n')
        text.size--;
    if (status == IFAB_NOT_FOUND) {
        status = IFAB_OK;
    } else if (status == IFAB_TOO_LARGE || status == IFAB_INVALID ||
               (status == IFAB_OK && (status = ifab_json_read(text, &limits, &arena, &list, NULL)) == IFAB_INVALID)) {
        ifab_verify__broken(report, "erased.json: malformed");
        status = IFAB_OK;
    } else if (status == IFAB_OK) {
        ifab_json_write(&canonical, list);
        if (ifab_view_equal(ifab_buf_as_view(&canonical), text))
            status = read_list(self, list, report);
        else
            ifab_verify__broken(report, "erased.json: not in canonical form");
    }
    ifab_arena_fini(&arena);
    ifab_buf_fini(&file);
    ifab_buf_fini(&canonical);
    return status;
}

/* An entry IF.witness/erase names the message's entry in its payload; without that, its id as subject. */
ifab_status ifab_verify__erasure(struct verify_entries *self, const struct ifab_json *entry, struct ifab_error *err)
{
    const struct ifab_json *payload = ifab_json_get(entry, "payload");
    uint8_t hash32[32];
    int64_t index = -1;
    ifab_status status;

    if ((ifab_json_integer(ifab_json_get(payload, "entry"), &index) || ifab_json_integer(ifab_json_get(payload, "index"), &index)) &&
        index >= 0) {
        status = ifab_u64map_put(&self->erased_at, (uint64_t)index, 1);
    } else {
        ifab_sha256(ifab_verify__text(entry, "subject"), hash32);
        status = ifab_map_put(&self->erased_id, ifab_view_of(hash32, 32), 1);
    }
    return status == IFAB_OK ? IFAB_OK : ifab_fail(err, status, "erased messages");
}

static ifab_status absent(struct verify_entries *self, uint64_t index, const struct ifab_json *entry, struct ifab_verify_report *report,
                          struct ifab_error *err)
{
    uint64_t listed;

    if (!ifab_u64map_get(&self->erased, index, &listed)) {
        report->messages_absent++;
        return IFAB_OK;
    }
    if (self->gone_count == self->gone_room) {
        size_t room = self->gone_room == 0 ? 64 : self->gone_room * 2;
        struct verify_gone *more = ifab_realloc(self->gone, room * sizeof *more);
        if (more == NULL)
            return ifab_fail(err, IFAB_NOMEM, "erased messages");
        self->gone = more;
        self->gone_room = room;
    }
    self->gone[self->gone_count].index = index;
    ifab_sha256(ifab_verify__text(entry, "subject"), self->gone[self->gone_count].subject_hash32);
    self->gone_count++;
    report->messages_erased++;
    return ifab_u64map_put(&self->erased, index, ERASED_SEEN);
}

static bool key_enrolled(const struct verify_entries *self, const struct ifab_envelope *envelope, const char **ret_why)
{
    const struct verify_talent *talent = ifab_verify__enrolled(self, envelope->sender_name);

    *ret_why = "its sender was not enrolled by an earlier entry";
    if (talent == NULL)
        return false;
    *ret_why = "its key is not one enrolled for its sender";
    for (size_t i = 0; i < talent->key_count; i++)
        if (memcmp(talent->keys[i].pubkey32, envelope->pubkey32, 32) == 0) {
            *ret_why = "its key was revoked before";
            return !talent->keys[i].revoked;
        }
    return false;
}

bool ifab_verify__exact(const struct ifab_json *payload, const struct ifab_envelope *envelope)
{
    uint8_t said32[32], is32[32];
    if (ifab_json_get(payload, "bytes_digest") == NULL)
        return envelope->canonical;
    ifab_sha256(envelope->bytes, is32);
    return ifab_verify__digest(ifab_verify__text(payload, "bytes_digest"), said32) && memcmp(said32, is32, 32) == 0;
}

static ifab_status check_bytes(struct verify_entries *self, uint64_t index, const struct ifab_json *entry, struct ifab_view bytes,
                               struct ifab_verify_report *report, struct ifab_error *err)
{
    struct ifab_envelope envelope;
    struct ifab_refusal refusal = {0};
    const struct ifab_json *payload = ifab_json_get(entry, "payload");
    uint8_t digest32[32];
    const char *why;
    enum ifab_code code = ifab_envelope_read(bytes, VERIFY_MESSAGE_MAX, &self->arena, &envelope, &refusal);

    if (code == IFAB_CODE_SYSTEM_ERROR)
        return ifab_fail(err, IFAB_NOMEM, "message");
    if (code != IFAB_CODE_NONE)
        ifab_verify__broken_at(report, index, "message bytes: no envelope");
    else if (!ifab_verify__digest(ifab_verify__text(payload, "message_digest"), digest32) ||
             memcmp(digest32, envelope.message_digest32, 32) != 0)
        ifab_verify__broken_at(report, index, "message bytes: their digest is not the one in the entry");
    else if (!ifab_verify__exact(payload, &envelope))
        ifab_verify__broken_at(report, index, "message bytes: they say what was accepted, but are not its bytes");
    else if (!ifab_view_equal(envelope.sender, ifab_verify__text(entry, "actor")) ||
             !ifab_view_equal(envelope.id, ifab_verify__text(entry, "subject")))
        ifab_verify__broken_at(report, index, "message bytes: id or sender differ from the entry");
    else if (!key_enrolled(self, &envelope, &why))
        ifab_verify__broken_at(report, index, "message bytes: %s", why);
    else if (ifab_envelope_verify(&envelope, envelope.pubkey32, &refusal) != IFAB_CODE_NONE)
        ifab_verify__broken_at(report, index, "message bytes: bad signature");
    else
        report->messages_good++;
    return IFAB_OK;
}

ifab_status ifab_verify__message(struct verify_entries *self, uint64_t index, const struct ifab_json *entry,
                                 struct ifab_verify_report *report, struct ifab_error *err)
{
    char name[32];
    uint64_t listed;
    ifab_status status = IFAB_NOT_FOUND;

    if (self->messages_fd >= 0) {
        (void)snprintf(name, sizeof name, "%llu.json", (unsigned long long)index);
        status = ifab_verify__file(self->messages_fd, name, VERIFY_MESSAGE_MAX, &self->file, err);
    }
    if (status == IFAB_NOT_FOUND)
        return absent(self, index, entry, report, err);
    if (status == IFAB_TOO_LARGE || status == IFAB_INVALID) {
        ifab_verify__broken_at(report, index, "message bytes: larger than a message, or not a file");
        return IFAB_OK;
    }
    IFAB_TRY(status);
    if (ifab_u64map_get(&self->erased, index, &listed))
        ifab_verify__broken_at(report, index, "listed as erased, but its bytes are here");
    else
        return check_bytes(self, index, entry, ifab_buf_as_view(&self->file), report, err);
    return IFAB_OK;
}

/* The rule set beside the entry that names its digest. */
ifab_status ifab_verify__rules(struct verify_entries *self, uint64_t index, const struct ifab_json *entry, struct ifab_verify_report *report,
                               struct ifab_error *err)
{
    struct ifab_buf set = IFAB_BUF_INIT(RULES_MAX + 1);
    uint8_t digest32[32], is32[32];
    char name[40];
    (void)snprintf(name, sizeof name, "rules/%llu.json", (unsigned long long)index);
    ifab_status status = ifab_verify__file(self->dir_fd, name, RULES_MAX, &set, err);

    if (status == IFAB_NOT_FOUND) { /* exported before rule sets were */
        status = IFAB_OK;
    } else if (status == IFAB_TOO_LARGE || status == IFAB_INVALID) {
        ifab_verify__broken_at(report, index, "rule set: too large, or not a file");
        status = IFAB_OK;
    } else if (status == IFAB_OK) {
        ifab_sha256(ifab_buf_as_view(&set), is32);
        self->rules_good++;
        if (!ifab_verify__digest(ifab_verify__text(ifab_json_get(entry, "payload"), "policy_digest"), digest32) || memcmp(digest32, is32, 32) != 0)
            ifab_verify__broken_at(report, index, "rule set: its digest is not the one in the entry");
    }
    ifab_buf_fini(&set);
    return status;
}

/* Files that no entry asked for: what is in the folder and not in the log is not part of the log. */
static ifab_status count_files(const struct verify_entries *self, const char *folder, uint64_t asked, struct ifab_verify_report *report,
                               struct ifab_error *err)
{
    uint64_t count = 0;
    const struct dirent *item;
    DIR *dir;
    int fd = openat(self->dir_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0 && errno == ENOENT)
        return IFAB_OK;
    dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return ifab_fail(err, IFAB_IO, "%s: %s", folder, strerror(errno));
    }
    while ((item = readdir(dir)) != NULL)
        if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0)
            count++;
    closedir(dir);
    if (count != asked)
        ifab_verify__broken(report, "%s/ holds a file that belongs to no %s of this log", folder, strcmp(folder, "rules") == 0 ? "rule set" : "message");
    return IFAB_OK;
}

ifab_status ifab_verify__messages_end(struct verify_entries *self, struct ifab_verify_report *report, struct ifab_error *err)
{
    for (size_t i = 0; i < self->gone_count; i++) {
        uint64_t value;
        if (!ifab_map_get(&self->erased_id, ifab_view_of(self->gone[i].subject_hash32, 32), &value) &&
            !ifab_u64map_get(&self->erased_at, self->gone[i].index, &value))
            ifab_verify__broken_at(report, self->gone[i].index, "listed as erased, but no entry of the log erases it");
    }
    if (self->erased.count != self->gone_count)
        ifab_verify__broken(report, "erased.json lists an index that is no message of this log");
    if (report->intact)
        IFAB_TRY(count_files(self, "messages", report->messages_good, report, err));
    return report->intact ? count_files(self, "rules", self->rules_good, report, err) : IFAB_OK;
}

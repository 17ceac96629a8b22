/*
 * A log export, from its checkpoint down to its entries and messages and up again to the root. One pass: each bundle is read once, each
 * entry parsed once. Stops at the first thing that is wrong; never says verified unless it came to the end.
 */
#include "verify_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define BUNDLE_MAX ((size_t)VERIFY_TILE * (IFAB_ENTRY_MAX + 2))
#define VKEY_MAX   4096

struct run {
    const struct ifab_verify_options *options;
    struct ifab_verify_report *report;
    int dir_fd;
    struct ifab_buf note, vkey, bundle;
    struct verify_head head;
    struct verify_tree *tree;
    struct verify_entries entries;
    /* the key that the export itself names: good for consistency, never for trust */
    struct ifab_view own_name;
    uint8_t own32[32];
};

static bool required(struct run *run, const char *path, size_t max, struct ifab_buf *buf, ifab_status *ret_status, struct ifab_error *err)
{
    ifab_status status = ifab_verify__file(run->dir_fd, path, max, buf, err);

    *ret_status = status == IFAB_IO || status == IFAB_NOMEM ? status : IFAB_OK;
    if (status == IFAB_NOT_FOUND)
        return ifab_verify__broken(run->report, "%s is missing", path);
    if (status == IFAB_TOO_LARGE || status == IFAB_INVALID)
        return ifab_verify__broken(run->report, "%s is too large, or not a file", path);
    return status == IFAB_OK;
}

/* keys/vkey: its signature on the checkpoint must be good, and it must be the trusted key when there is one. */
static ifab_status check_own_key(struct run *run, struct ifab_error *err)
{
    struct ifab_view text, signed_text;
    struct ifab_error why = {0};
    ifab_status status;

    if (!required(run, "keys/vkey", VKEY_MAX, &run->vkey, &status, err))
        return status;
    text = ifab_buf_as_view(&run->vkey);
    if (text.size > 0 && text.data[text.size - 1] == '\n')
        text.size--;
    if (ifab_note_vkey_read(text, &run->own_name, run->own32, &why) != IFAB_OK)
        ifab_verify__broken(run->report, "keys/vkey: %s", why.text);
    else if (!ifab_view_equal(run->own_name, run->head.body.origin))
        ifab_verify__broken(run->report, "keys/vkey is for another log");
    else if (ifab_note_verify(run->head.note, run->own_name, run->own32, &signed_text, &why) != IFAB_OK)
        ifab_verify__broken(run->report, "checkpoint: not signed by keys/vkey: %s", why.text);
    else if (run->head.has_key && (!ifab_view_equal(run->own_name, run->head.key_name) || memcmp(run->own32, run->head.key32, 32) != 0))
        ifab_verify__distrust(run->report, "the export is signed by another key than the trusted one");
    return IFAB_OK;
}

static ifab_status check_head(struct run *run, struct ifab_error *err)
{
    ifab_status status;

    if (!required(run, "checkpoint", VERIFY_NOTE_MAX, &run->note, &status, err) ||
        !ifab_verify__head_read(ifab_buf_as_view(&run->note), &run->head, run->report))
        return status;
    IFAB_TRY(check_own_key(run, err));
    if (!run->report->intact)
        return IFAB_OK;
    return ifab_verify__head_trust(run->options, &run->head, run->own_name, run->own32, run->report, err);
}

/* The prefix of the older checkpoint has just been read. */
static void check_old_root(struct run *run, uint64_t size)
{
    uint8_t root32[32];

    if (!run->head.has_old || run->head.old.size != size)
        return;
    ifab_verify__tree_root(run->tree, root32);
    run->head.old_differs = memcmp(root32, run->head.old.root32, 32) != 0;
    if (run->head.old_differs && !run->head.old_unsigned) /* else it accuses nobody until it is known whose it is */
        ifab_verify__rewritten(&run->head, run->report);
}

static ifab_status check_entry(struct run *run, uint64_t index, struct ifab_view entry, struct ifab_error *err)
{
    uint8_t leaf32[32];

    if (!run->options->hash_only)
        IFAB_TRY(ifab_verify__entry(&run->entries, index, entry, run->report, err));
    if (!run->report->intact)
        return IFAB_OK;
    ifab_leaf_hash(entry, leaf32);
    IFAB_TRY(ifab_verify__tree_add(run->tree, leaf32, run->report, err));
    if (run->report->intact) {
        run->report->entries_checked = index + 1;
        check_old_root(run, index + 1);
    }
    return IFAB_OK;
}

static ifab_status check_bundle(struct run *run, uint64_t number, unsigned width, struct ifab_error *err)
{
    const struct ifab_tile tile = {.entries = true, .number = number, .width = width};
    const uint64_t first = number * VERIFY_TILE;
    struct ifab_view bundle, entry;
    unsigned count = 0;
    char path[64];
    ifab_status status;

    ifab_tile_format(&tile, path);
    if (!required(run, path, BUNDLE_MAX, &run->bundle, &status, err)) {
        if (!run->report->has_bad_index && status == IFAB_OK) {
            run->report->has_bad_index = true;
            run->report->bad_index = first;
        }
        return status;
    }
    bundle = ifab_buf_as_view(&run->bundle);
    for (; count < width && run->report->intact && ifab_bundle_next(&bundle, &entry); count++)
        IFAB_TRY(check_entry(run, first + count, entry, err));
    if (run->report->intact && (count != width || bundle.size != 0))
        ifab_verify__broken_at(run->report, first + count, "%s: not %u whole entries", path, width);
    return IFAB_OK;
}

static ifab_status check_entries(struct run *run, struct ifab_error *err)
{
    const uint64_t size = run->head.body.size;

    check_old_root(run, 0);
    for (uint64_t first = 0; first < size && run->report->intact; first += VERIFY_TILE) {
        const uint64_t left = size - first;
        IFAB_TRY(check_bundle(run, first / VERIFY_TILE, left < VERIFY_TILE ? (unsigned)left : VERIFY_TILE, err));
        if (run->options->progress != NULL)
            run->options->progress(run->options->user, run->report->entries_checked, size);
    }
    return IFAB_OK;
}

static ifab_status check_end(struct run *run, struct ifab_error *err)
{
    uint8_t root32[32];

    IFAB_TRY(ifab_verify__tree_end(run->tree, run->report, err));
    ifab_verify__tree_root(run->tree, root32);
    if (run->report->intact && memcmp(root32, run->head.body.root32, 32) != 0)
        ifab_verify__broken(run->report, "the root over the entries is not the one of the checkpoint");
    if (!run->options->hash_only) {
        const struct verify_rotations *rotations = &run->entries.rotations;
        ifab_verify__rotations_end(rotations, &run->head, run->own_name, run->own32, run->options->follow_rotation, run->report);
        ifab_verify__old_end(run->options, &run->head, ifab_verify__key_of(rotations, run->head.old.size, run->own32), run->report);
    }
    if (run->report->intact && !run->options->hash_only)
        IFAB_TRY(ifab_verify__messages_end(&run->entries, run->report, err));
    return IFAB_OK;
}

static ifab_status run_all(struct run *run, struct ifab_error *err)
{
    run->report->intact = true;
    IFAB_TRY(check_head(run, err));
    if (!run->report->intact)
        return IFAB_OK;
    if (ifab_verify__tree_new(run->dir_fd, run->head.body.size, &run->tree) != IFAB_OK)
        return ifab_fail(err, IFAB_NOMEM, "tree");
    if (!run->options->hash_only)
        IFAB_TRY(ifab_verify__entries_init(&run->entries, run->dir_fd, run->report, err));
    run->entries.origin = run->head.body.origin;
    run->entries.tree = run->tree;
    IFAB_TRY(check_entries(run, err));
    if (run->report->intact)
        IFAB_TRY(check_end(run, err));
    if (run->report->intact)
        (void)snprintf(run->report->integrity, sizeof run->report->integrity,
                       run->options->hash_only ? "every hash up to the signed root agrees" : "every entry, hash and message agrees");
    ifab_verify__conclude(&run->head, run->report);
    return IFAB_OK;
}

ifab_status ifab_verify_log(const char *dir, const struct ifab_verify_options *options, struct ifab_verify_report *ret_report,
                            struct ifab_error *err)
{
    struct run run = {.options = options, .report = ret_report, .dir_fd = -1, .entries = {.messages_fd = -1}};
    ifab_status status;

    *ret_report = (struct ifab_verify_report){0};
    IFAB_TRY(ifab_verify__key(options, &run.head, err));
    run.head.reads_keys = !options->hash_only;
    run.dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (run.dir_fd < 0)
        return ifab_fail(err, errno == ENOENT || errno == ENOTDIR ? IFAB_NOT_FOUND : IFAB_IO, "cannot open the export: %s",
                         strerror(errno));
    ifab_buf_init(&run.note, VERIFY_NOTE_MAX + 1);
    ifab_buf_init(&run.vkey, VKEY_MAX + 1);
    ifab_buf_init(&run.bundle, BUNDLE_MAX + 1);
    status = run_all(&run, err);
    if (status != IFAB_OK) { /* no verdict: whatever was found so far proves nothing */
        ret_report->verdict = IFAB_VERIFY_NOT_VERIFIED;
        ret_report->intact = false;
    }
    ifab_verify__entries_fini(&run.entries);
    ifab_verify__tree_free(run.tree);
    ifab_buf_fini(&run.note);
    ifab_buf_fini(&run.vkey);
    ifab_buf_fini(&run.bundle);
    close(run.dir_fd);
    return status;
}

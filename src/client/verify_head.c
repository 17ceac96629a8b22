/* The signed head: form, signature, and the older checkpoint that the log must still contain. */
#include "verify_internal.h"

#include <stdarg.h>

#include "base/encode.h"

bool ifab_verify__digest(struct ifab_view text, uint8_t ret_digest32[32])
{
    const struct ifab_view prefix = IFAB_VIEW("sha256:");

    return ifab_view_starts(text, prefix) &&
           ifab_hex_decode(ifab_view_of(text.data + prefix.size, text.size - prefix.size), ret_digest32, 32) == IFAB_OK;
}

ifab_status ifab_verify__key(const struct ifab_verify_options *options, struct verify_head *head, struct ifab_error *err)
{
    if (options->vkey.size == 0)
        return IFAB_OK;
    IFAB_TRY(ifab_note_vkey_read(options->vkey, &head->key_name, head->key32, err));
    if (options->follow_rotation && options->hash_only)
        return ifab_fail(err, IFAB_INVALID, "a change of key stands in entries, and these are not read: follow it without the hashes-only check");
    head->has_key = true;
    return IFAB_OK;
}

/* What a note says before anybody is believed: up to the last empty line, as ifab_note_verify() cuts it. */
static bool note_text(struct ifab_view note, struct ifab_view *ret_text)
{
    for (size_t i = note.size; i >= 2; i--)
        if (note.data[i - 1] == '\n' && note.data[i - 2] == '\n') {
            *ret_text = ifab_view_of(note.data, i - 1);
            return true;
        }
    return false;
}

static bool read_note(struct ifab_view note, struct ifab_checkpoint *ret_body)
{
    struct ifab_view text;

    return note_text(note, &text) && ifab_checkpoint_read(text, ret_body, NULL) == IFAB_OK;
}

ifab_status ifab_verify__one_tree(const struct ifab_verify_options *options, struct verify_head *head, struct ifab_error *err)
{
    if (options->follow_rotation)
        return ifab_fail(err, IFAB_INVALID, "changes of the log's key stand in its export: follow them there, and verify this by the key that it names");
    if (options->checkpoint.size > 0 && !read_note(options->checkpoint, &head->old))
        return ifab_fail(err, IFAB_INVALID, "the checkpoint seen before is none");
    if (options->checkpoint.size > 0 && options->vkey.size == 0)
        return ifab_fail(err, IFAB_INVALID, "a checkpoint seen before is checked by the log's key: give it");
    return IFAB_OK;
}

bool ifab_verify__head_read(struct ifab_view note, struct verify_head *head, struct ifab_verify_report *report)
{
    struct ifab_view text;
    struct ifab_error why = {0};

    head->note = note;
    if (!note_text(note, &text))
        return ifab_verify__broken(report, "checkpoint: not a signed note");
    if (ifab_checkpoint_read(text, &head->body, &why) != IFAB_OK)
        return ifab_verify__broken(report, "%s", why.text);
    if (head->body.origin.size < sizeof report->origin) { /* always: at most 255 bytes */
        memcpy(report->origin, head->body.origin.data, head->body.origin.size);
        report->origin[head->body.origin.size] = '\0';
    }
    report->size = head->body.size;
    memcpy(report->root32, head->body.root32, 32);
    return true;
}

bool ifab_verify__signed(struct verify_head *head, struct ifab_verify_report *report)
{
    struct ifab_view text;
    struct ifab_error why = {0};

    if (!head->has_key)
        return ifab_verify__distrust(report, "no trusted key was given");
    if (report->trust[0] != '\0') /* something spoke against it already */
        return false;
    if (ifab_note_verify(head->note, head->key_name, head->key32, &text, &why) != IFAB_OK)
        return ifab_verify__distrust(report, "the checkpoint is not signed by the trusted key: %s", why.text);
    if (!ifab_view_equal(head->key_name, head->body.origin))
        /* C2SP tlog-checkpoint: the key's name is the log's origin; else one log's key could speak for another */
        return ifab_verify__distrust(report, "the trusted key is for another log than this one");
    report->trusted = true;
    (void)snprintf(report->trust, sizeof report->trust, "signed by the trusted key");
    return true;
}

/* What it is to be compared with is not this log's: the thing itself may be whole, and is not believed. */
__attribute__((format(__printf__, 3, 4))) static void foreign(struct verify_head *head, struct ifab_verify_report *report, const char *format, ...)
{
    char why[sizeof report->trust];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(why, sizeof why, format, args);
    va_end(args);
    head->old_foreign = true;
    report->trust[0] = '\0'; /* what was said for it counts no more */
    ifab_verify__distrust(report, "%s", why);
}

/* The older checkpoint: signed by the same key, same origin, not larger. Its root is compared while the log is read. */
static ifab_status read_old(const struct ifab_verify_options *options, struct verify_head *head, struct ifab_view name,
                            const uint8_t *key32, struct ifab_verify_report *report, struct ifab_error *err)
{
    struct ifab_view text;
    struct ifab_error why = {0};
    ifab_status status;

    if (!read_note(options->checkpoint, &head->old))
        return ifab_fail(err, IFAB_INVALID, "the older checkpoint is none");
    if (key32 == NULL)
        return ifab_fail(err, IFAB_INVALID, "an older checkpoint is checked by the log's key: give it");
    if (head->reads_keys) { /* whose signature it has is known once the log is read: its key may have been changed since */
        head->has_old = head->old_unsigned = true;
        return IFAB_OK;
    }
    status = ifab_note_verify(options->checkpoint, name, key32, &text, &why);
    if (status != IFAB_OK) {
        foreign(head, report, "the older checkpoint is not signed by this log's key: %s; one from before a change of key is checked with the key of then and --follow-rotation",
                why.text);
        return IFAB_OK;
    }
    head->has_old = true;
    return IFAB_OK;
}

void ifab_verify__rewritten(const struct verify_head *head, struct ifab_verify_report *report)
{
    ifab_verify__broken(report, "the first %llu entries are not those of the older checkpoint: the log was rewritten",
                        (unsigned long long)head->old.size);
}

/* Its signature is good: what it says counts. */
static void judge_old(struct verify_head *head, struct ifab_verify_report *report)
{
    if (!ifab_view_equal(head->old.origin, head->body.origin))
        foreign(head, report, "the older checkpoint is of another log");
    else if (head->old.size > head->body.size)
        ifab_verify__broken(report, "the log has %llu entries, the checkpoint seen before had %llu: it was cut, or this export is older",
                            (unsigned long long)head->body.size, (unsigned long long)head->old.size);
    else if (head->old_differs)
        ifab_verify__rewritten(head, report);
}

ifab_status ifab_verify__head_trust(const struct ifab_verify_options *options, struct verify_head *head, struct ifab_view fallback_name,
                                    const uint8_t *fallback_key32, struct ifab_verify_report *report, struct ifab_error *err)
{
    const bool usable = ifab_verify__signed(head, report);

    if (options->has_min_size && head->body.size < options->min_size)
        ifab_verify__broken(report, "the log has %llu entries, at least %llu are wanted: it was cut, or this export is old",
                            (unsigned long long)head->body.size, (unsigned long long)options->min_size);
    if (options->checkpoint.size == 0 || (head->has_key && !usable && !options->follow_rotation))
        return IFAB_OK;
    IFAB_TRY(
        read_old(options, head, head->has_key ? head->key_name : fallback_name, head->has_key ? head->key32 : fallback_key32, report, err));
    if (head->has_old && !head->old_unsigned)
        judge_old(head, report);
    return IFAB_OK;
}

void ifab_verify__old_end(const struct ifab_verify_options *options, struct verify_head *head, const uint8_t key32[32], struct ifab_verify_report *report)
{
    struct ifab_view text;
    struct ifab_error why = {0};
    if (!report->intact || !head->old_unsigned)
        return;
    if (ifab_note_verify(options->checkpoint, head->body.origin, key32, &text, &why) == IFAB_OK) {
        judge_old(head, report);
        return;
    }
    foreign(head, report, "the older checkpoint is not signed by the key that this log had then: %s", why.text);
}

ifab_status ifab_verify__seen_before(const struct ifab_verify_options *options, struct verify_head *head, struct ifab_verify_report *report, struct ifab_error *err)
{
    struct ifab_view text;
    struct ifab_error why = {0};

    if (!report->intact || (head->has_key && !report->trusted)) /* refused already, and not for what was seen before */
        return IFAB_OK;
    if (options->has_min_size && head->body.size < options->min_size)
        return ifab_fail(err, IFAB_INVALID, "it is of when the log had %llu entries, and %llu are wanted: how many there are now only the log or its export tells",
                         (unsigned long long)head->body.size, (unsigned long long)options->min_size);
    if (options->checkpoint.size == 0)
        return IFAB_OK;
    if (head->old.size != head->body.size)
        return ifab_fail(err, IFAB_INVALID, "it is of when the log had %llu entries, the checkpoint of %llu: they cannot be compared without the entries between; verify the log or an export with that checkpoint",
                         (unsigned long long)head->body.size, (unsigned long long)head->old.size);
    if (ifab_note_verify(options->checkpoint, head->key_name, head->key32, &text, &why) != IFAB_OK)
        foreign(head, report, "the checkpoint to compare it with is not signed by the trusted key: %s", why.text);
    else if (!ifab_view_equal(head->old.origin, head->body.origin))
        foreign(head, report, "the checkpoint to compare it with is of another log");
    if (head->old_foreign || memcmp(head->old.root32, head->body.root32, 32) == 0)
        return IFAB_OK;
    report->integrity[0] = '\0'; /* what was said for it counts no more */
    ifab_verify__broken(report, "the checkpoint seen before has another root over as many entries: the log was rewritten");
    return IFAB_OK;
}

void ifab_verify__conclude(const struct verify_head *head, struct ifab_verify_report *report)
{
    if (!report->intact || head->old_foreign)
        return;
    if (report->trusted)
        report->verdict = IFAB_VERIFY_VERIFIED;
    else if (!head->has_key)
        report->verdict = IFAB_VERIFY_CONSISTENT;
}

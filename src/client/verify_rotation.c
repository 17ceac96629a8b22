/*
 * Changes of the log's key. Each must hand over the very tree that stands before its entry, from the key in force to one never used before,
 * signed by both and asked for by an admin whom an earlier entry enrolled. So whoever trusts an earlier key can go on to the one that signs
 * the checkpoint: forward only, and only over entries that were checked.
 */
#include "verify_internal.h"

#include <inttypes.h>

static bool key_was_used(const struct verify_rotations *r, const uint8_t key32[32])
{
    for (size_t i = 0; i <= r->count; i++)
        if (memcmp(r->keys[i], key32, 32) == 0)
            return true;
    return false;
}

/* An earlier entry enrolled that key for a talent of role admin; it is the one that the entry names. */
static bool asked_by_admin(const struct verify_entries *self, const uint8_t key32[32], struct ifab_view actor)
{
    const struct ifab_view prefix = IFAB_VIEW("if://agent/");
    if (!ifab_view_starts(actor, prefix))
        return false;
    const struct verify_talent *talent = ifab_verify__enrolled(self, ifab_view_of(actor.data + prefix.size, actor.size - prefix.size));
    for (size_t i = 0; talent != NULL && talent->admin && i < talent->key_count; i++) {
        const struct verify_enrolled_key *key = &talent->keys[i];
        if (memcmp(key->pubkey32, key32, 32) == 0)
            return !key->revoked && self->time >= key->not_before && self->time < key->not_after;
    }
    return false;
}

static bool check(struct verify_entries *self, uint64_t index, const struct ifab_json *entry, struct ifab_rotation *ret_rotation,
                  struct ifab_verify_report *report)
{
    const struct verify_rotations *r = &self->rotations;
    struct ifab_error why = {0};
    uint8_t admin32[32], root32[32];
    if (ifab_rotation_payload_verify(ifab_json_get(entry, "payload"), ret_rotation, admin32, &why) != IFAB_OK)
        return ifab_verify__broken_at(report, index, "%s", why.text[0] != '\0' ? why.text : "log key: out of memory");
    if (!ifab_view_equal(ret_rotation->origin, self->origin))
        return ifab_verify__broken_at(report, index, "log key: the handover is of another log");
    ifab_verify__tree_root(self->tree, root32);
    if (ret_rotation->size != index || memcmp(ret_rotation->root32, root32, 32) != 0)
        return ifab_verify__broken_at(report, index, "log key: the handover is over another tree than the entries before it");
    if (r->some && memcmp(r->keys[r->count], ret_rotation->from32, 32) != 0)
        return ifab_verify__broken_at(report, index, "log key: it is not handed over by the key in force");
    if (r->some && key_was_used(r, ret_rotation->to32))
        return ifab_verify__broken_at(report, index, "log key: a key that was used before is used again");
    if (!asked_by_admin(self, admin32, ifab_verify__text(entry, "actor")))
        return ifab_verify__broken_at(report, index, "log key: no admin of this log asked for it");
    if (r->count == VERIFY_ROTATIONS_MAX)
        return ifab_verify__broken_at(report, index, "log key: more than %d changes", VERIFY_ROTATIONS_MAX);
    return true;
}

void ifab_verify__rotation(struct verify_entries *self, uint64_t index, const struct ifab_json *entry, struct ifab_verify_report *report)
{
    struct verify_rotations *r = &self->rotations;
    struct ifab_rotation rotation;
    if (!check(self, index, entry, &rotation, report))
        return;
    if (!r->some)
        memcpy(r->keys[0], rotation.from32, 32);
    r->some = true;
    r->indexes[r->count++] = index;
    memcpy(r->keys[r->count], rotation.to32, 32);
    report->rotations = r->count;
}

/* Trees of up to indexes[i] entries are signed by keys[i]. */
const uint8_t *ifab_verify__key_of(const struct verify_rotations *r, uint64_t size, const uint8_t own32[32])
{
    for (size_t i = 0; i < r->count; i++)
        if (size <= r->indexes[i])
            return r->keys[i];
    return own32;
}

static void say_key(struct ifab_view origin, const uint8_t own32[32], struct ifab_verify_report *report)
{
    struct ifab_buf vkey = IFAB_BUF_INIT(sizeof report->vkey - 1);
    if (ifab_note_vkey_write(origin, own32, &vkey) == IFAB_OK)
        memcpy(report->vkey, vkey.data, vkey.size);
    ifab_buf_fini(&vkey);
}

void ifab_verify__rotations_end(const struct verify_rotations *r, const struct verify_head *head, struct ifab_view own_name, const uint8_t own32[32],
                                bool follow, struct ifab_verify_report *report)
{
    size_t at = 0;
    if (!r->some || !report->intact)
        return;
    if (memcmp(r->keys[r->count], own32, 32) != 0) {
        ifab_verify__broken(report, "the checkpoint is signed by a key that has handed the log over: entry %" PRIu64 " names the one in force since",
                            r->indexes[r->count - 1]);
        return;
    }
    say_key(own_name, own32, report);
    if (!head->has_key || report->trusted || !ifab_view_equal(head->key_name, own_name))
        return;
    while (at < r->count && memcmp(r->keys[at], head->key32, 32) != 0)
        at++;
    if (at == r->count)
        return;
    report->trusted = follow;
    (void)snprintf(report->trust, sizeof report->trust,
                   follow ? "the trusted key handed the log over in entry %" PRIu64 "; the one that signs it now came from it in %zu step%s"
                          : "the trusted key handed the log over in entry %" PRIu64 ", and %zu change%s of key later another signs it: --follow-rotation goes on to it",
                   r->indexes[at], r->count - at, r->count - at == 1 ? "" : "s");
}

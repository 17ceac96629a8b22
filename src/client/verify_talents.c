/* Which keys the log itself enrolled for whom, entry by entry (INV-02, INV-16): messages are judged by these, never by the key they carry.
 */
#include "verify_internal.h"

#include "base/encode.h"
#include "base/id.h"

#define KEYS_MAX 32

const struct verify_talent *ifab_verify__enrolled(const struct verify_entries *self, struct ifab_view name)
{
    uint64_t place;

    return ifab_map_get(&self->talents, name, &place) ? &self->enrolled[place] : NULL;
}

static ifab_status place_of(struct verify_entries *self, struct ifab_view name, struct verify_talent **ret_talent)
{
    uint64_t place;

    if (!ifab_map_get(&self->talents, name, &place)) {
        if (self->enrolled_count == self->enrolled_room) {
            size_t room = self->enrolled_room == 0 ? 64 : self->enrolled_room * 2;
            struct verify_talent *more = ifab_realloc(self->enrolled, room * sizeof *more);
            if (more == NULL)
                return IFAB_NOMEM;
            self->enrolled = more;
            self->enrolled_room = room;
        }
        place = self->enrolled_count;
        IFAB_TRY(ifab_map_put(&self->talents, name, place));
        self->enrolled[self->enrolled_count++] = (struct verify_talent){NULL, 0, false};
    }
    *ret_talent = &self->enrolled[place];
    return IFAB_OK;
}

static bool read_key(const struct ifab_json *item, ifab_usec entry_time, struct verify_enrolled_key *ret_key)
{
    const struct ifab_json *revoked = ifab_json_get(item, "revoked_at");
    ifab_usec at = 0;
    size_t size = 0;

    if (ifab_base64url_decode(ifab_verify__text(item, "pubkey"), ret_key->pubkey32, 32, &size) != IFAB_OK || size != 32)
        return false;
    if (revoked != NULL && ifab_time_parse(ifab_verify__text(item, "revoked_at"), &at) != IFAB_OK)
        return false;
    ret_key->not_before = INT64_MIN;
    ret_key->not_after = IFAB_NEVER;
    if (ifab_json_get(item, "not_before") != NULL && ifab_time_parse(ifab_verify__text(item, "not_before"), &ret_key->not_before) != IFAB_OK)
        return false;
    if (ifab_json_get(item, "not_after") != NULL && ifab_time_parse(ifab_verify__text(item, "not_after"), &ret_key->not_after) != IFAB_OK)
        return false;
    ret_key->revoked = revoked != NULL && at <= entry_time; /* one that ends later (rotation) is still good until a later record says so */
    return true;
}

ifab_status ifab_verify__enrol(struct verify_entries *self, uint64_t index, const struct ifab_json *record,
                               struct ifab_verify_report *report, struct ifab_error *err)
{
    const struct ifab_json *list = ifab_json_get(record, "keys");
    struct ifab_view name = ifab_verify__text(record, "name");
    struct verify_talent *talent;
    struct verify_enrolled_key *keys;

    if (!ifab_name_valid(name) || list == NULL || list->type != IFAB_JSON_ARRAY || list->u.array.count > KEYS_MAX) {
        ifab_verify__broken_at(report, index, "payload.record is no talent record");
        return IFAB_OK;
    }
    keys = ifab_calloc(list->u.array.count + 1, sizeof *keys);
    if (keys == NULL || place_of(self, name, &talent) != IFAB_OK) {
        ifab_free(keys);
        return ifab_fail(err, IFAB_NOMEM, "talents");
    }
    ifab_free(talent->keys);
    talent->keys = keys;
    talent->admin = ifab_view_is(ifab_verify__text(record, "role"), "admin") && ifab_json_get(record, "removed_at") == NULL;
    talent->key_count = list->u.array.count;
    for (size_t i = 0; i < talent->key_count; i++)
        if (!read_key(&list->u.array.items[i], self->time, &keys[i])) {
            talent->key_count = i;
            ifab_verify__broken_at(report, index, "payload.record: key %zu is malformed", i);
            break;
        }
    return IFAB_OK;
}

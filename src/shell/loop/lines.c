/* Lines of guests: see lines.h. */
#include "lines.h"

#include <string.h>

#include "base/mem.h"

struct owner { /* a capability with lines; count 0: a free place */
    uint16_t count, id_size;
    char id[IFAB_CAPABILITY_ID_MAX];
};
struct lines_room {
    struct line lines[LINES_MAX];
    uint16_t order[LINES_MAX]; /* places in lines: the first count of them, oldest first; behind them the free ones */
    struct owner owners[LINES_MAX];
    size_t count;
};

static struct ifab_view id_of(struct ifab_view capability)
{
    const uint8_t *at = capability.size == 0 ? NULL : memchr(capability.data, '@', capability.size);
    size_t size = at != NULL ? (size_t)(at - capability.data) : capability.size;
    return ifab_view_of(capability.data, size < IFAB_CAPABILITY_ID_MAX ? size : IFAB_CAPABILITY_ID_MAX);
}

static struct owner *owner_of(struct lines_room *room, struct ifab_view id)
{
    for (size_t i = 0; i < LINES_MAX; i++) {
        struct owner *o = &room->owners[i];
        if (o->count > 0 && ifab_view_equal(ifab_view_of(o->id, o->id_size), id))
            return o;
    }
    return NULL;
}

static struct owner *owner_new(struct lines_room *room, struct ifab_view id)
{
    size_t i = 0;
    while (room->owners[i].count > 0) /* there is one: each line has one owner, and one place is free */
        i++;
    room->owners[i].id_size = (uint16_t)id.size;
    memcpy(room->owners[i].id, id.data, id.size);
    return &room->owners[i];
}

static void drop_oldest(struct lines_room *room, struct owner *owner)
{
    size_t at = 0;
    while (room->lines[room->order[at]].owner != owner - room->owners)
        at++;
    uint16_t place = room->order[at];
    memmove(&room->order[at], &room->order[at + 1], (room->count - at - 1) * sizeof room->order[0]);
    room->order[--room->count] = place;
    owner->count--;
}

static struct owner *largest(struct lines_room *room)
{
    struct owner *most = &room->owners[0];
    for (size_t i = 1; i < LINES_MAX; i++)
        if (room->owners[i].count > most->count)
            most = &room->owners[i];
    return most;
}

static struct lines_room *room_of(struct lines *self)
{
    if (self->room == NULL && (self->room = ifab_calloc(1, sizeof *self->room)) != NULL)
        for (size_t i = 0; i < LINES_MAX; i++)
            self->room->order[i] = (uint16_t)i;
    return self->room;
}

void lines_put(struct lines *self, ifab_usec wall, struct ifab_view capability, uint32_t talent, unsigned level, struct ifab_view text)
{
    struct lines_room *room = room_of(self);
    if (room == NULL || capability.size == 0)
        return;
    struct ifab_view id = id_of(capability);
    struct owner *owner = owner_of(room, id);
    while (owner != NULL && owner->count >= LINES_SHARE && room->count > owner->count)
        drop_oldest(room, owner);
    if (room->count == LINES_MAX)
        drop_oldest(room, largest(room));
    if (owner == NULL || owner->count == 0) /* its last one may just have gone */
        owner = owner_new(room, id);
    struct line *l = &room->lines[room->order[room->count++]];
    *l = (struct line){.wall = wall, .talent = talent, .level = level, .owner = (uint16_t)(owner - room->owners)};
    owner->count++;
    memcpy(l->capability, capability.data, capability.size < sizeof l->capability ? capability.size : sizeof l->capability - 1);
    l->size = (uint16_t)(text.size < LINE_SIZE ? text.size : LINE_SIZE);
    if (l->size > 0)
        memcpy(l->text, text.data, l->size);
}

size_t lines_of(const struct lines *self, struct ifab_view id, size_t most, const struct line *ret_lines[LINES_MAX])
{
    struct lines_room *room = self->room;
    const struct owner *owner = room == NULL ? NULL : owner_of(room, id);
    size_t count = 0, passed = owner == NULL || owner->count <= most ? 0 : owner->count - most;
    for (size_t i = 0; owner != NULL && i < room->count; i++) {
        const struct line *l = &room->lines[room->order[i]];
        if (l->owner != owner - room->owners)
            continue;
        if (passed > 0)
            passed--;
        else
            ret_lines[count++] = l;
    }
    return count;
}

void lines_free(struct lines *self)
{
    ifab_free(self->room);
    self->room = NULL;
}

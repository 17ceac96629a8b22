/*
 * Whose turn it is. Each connection has a lane of its tickets in the order in which they were read; the lanes take turns, one ticket at a time, both when
 * signatures are verified and when the step takes them. So a body of 10,000 lines costs another connection's message one turn, and a connection, a
 * pipeline, a stream keeps its order. Who was told to come later and comes at once is late: its turn comes when nobody else waits.
 * docs/decisions/turns.md.
 */
#include "order.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "node.h"

ifab_status order_init(struct order *self, size_t slots)
{
    *self = (struct order){.slots = slots};
    self->of_slot = ifab_calloc(slots, sizeof(struct lane *));
    self->late_of = ifab_calloc(slots, sizeof *self->late_of);
    return self->of_slot == NULL || self->late_of == NULL || !order_ready(self) ? IFAB_NOMEM : IFAB_OK;
}

void order_fini(struct order *self)
{
    struct lane *lists[] = {self->turns[0].first, self->turns[1].first, self->spare};
    for (size_t i = 0; i < IFAB_COUNT(lists); i++)
        for (struct lane *lane = lists[i], *next; lane != NULL; lane = next) {
            next = lane->next;
            ifab_free(lane);
        }
    ifab_free(self->of_slot);
    ifab_free(self->late_of);
    ifab_free(self->of_talent);
    *self = (struct order){.slots = 0};
}

bool order_ready(struct order *self)
{
    if (self->spare == NULL)
        self->spare = ifab_calloc(1, sizeof *self->spare);
    return self->spare != NULL;
}

/* NULL: it has none now. A slot is used again: a lane left behind by an earlier connection is not this one's. */
static struct lane *lane_of(const struct order *self, uint32_t slot, uint64_t connection)
{
    struct lane *lane = slot < self->slots ? self->of_slot[slot] : NULL;
    return lane != NULL && lane->connection == connection ? lane : NULL;
}

/*
 * A connection may have as much waiting as is still free: one alone gets half of the queue, n of them 1/(n + 1) each, and there is room for one more
 * as long as connections are fewer than places.
 */
bool order_room(const struct order *self, uint32_t slot, uint64_t connection, size_t more)
{
    const struct lane *lane = lane_of(self, slot, connection);
    size_t waiting = (lane != NULL ? lane->count : 0) + more;
    return self->count < ORDER_MAX && waiting <= ORDER_MAX - self->count;
}

/*
 * Lanes take turns, so the last of n tickets of a lane waits for about n turns of each: what would wait for more than ORDER_SINGLES is refused at once
 * instead of being answered late. A connection with nothing waiting is always let in. Lines of a body are not concerned: they came together.
 */
bool order_room_single(const struct order *self, uint32_t slot, uint64_t connection)
{
    const struct lane *lane = lane_of(self, slot, connection);
    if (lane != NULL && lane->singles > 0 && lane->singles * self->lanes >= ORDER_SINGLES)
        return false;
    return order_room(self, slot, connection, 1);
}

static void to_its_ring(struct order *self, struct lane *lane)
{
    struct lane_ring *ring = &self->turns[atomic_load_explicit(&lane->late, memory_order_relaxed)];
    lane->next = NULL;
    if (ring->first == NULL)
        ring->first = lane;
    else
        ring->last->next = lane;
    ring->last = lane;
}

static void put_late(struct lane *lane, bool late) /* from its next turn on */
{
    atomic_store_explicit(&lane->late, late, memory_order_relaxed);
    lane->was_late = lane->was_late || late;
}

static bool is_late(const struct lateness *it, uint64_t connection, ifab_usec run)
{
    return it->connection == connection && it->refused > 0 && run < it->until;
}

struct lane *order_add(struct order *self, struct ticket *t, uint32_t slot, uint64_t connection, ifab_usec run)
{
    struct lane *lane = lane_of(self, slot, connection);
    bool late = slot < self->slots && is_late(&self->late_of[slot], connection, run);
    if (lane != NULL)
        put_late(lane, late);
    if (lane == NULL) {
        lane = self->spare;
        assert(lane != NULL); /* order_ready() came before */
        self->spare = lane->next;
        *lane = (struct lane){.connection = connection, .slot = slot, .late = late, .was_late = late};
        if (slot < self->slots)
            self->of_slot[slot] = lane;
        to_its_ring(self, lane);
        self->lanes++;
    }
    if (late && self->late_of[slot].named && !lane->named) {
        lane->named = true;
        self->named++;
    }
    t->next = NULL;
    if (lane->first == NULL)
        lane->first = t;
    else
        lane->last->next = t;
    lane->last = t;
    lane->count++;
    lane->singles += t->group == NULL;
    self->count++;
    return lane;
}

static struct lane_ring *whose_turn(const struct order *self)
{
    const struct lane_ring *ring = &self->turns[self->turns[0].first == NULL];
    return (struct lane_ring *)(uintptr_t)ring;
}

struct ticket *order_head(const struct order *self)
{
    const struct lane *lane = whose_turn(self)->first;
    return lane == NULL ? NULL : lane->first;
}

struct ticket *order_take(struct order *self)
{
    struct lane_ring *ring = whose_turn(self);
    struct lane *lane = ring->first;
    if (lane == NULL)
        return NULL;
    struct ticket *t = lane->first;
    lane->first = t->next;
    lane->count--;
    lane->singles -= t->group == NULL;
    self->count--;
    t->next = NULL;
    ring->first = lane->next;
    if (lane->first != NULL) { /* its next one after everybody else's */
        to_its_ring(self, lane);
        return t;
    }
    if (lane->slot < self->slots && self->of_slot[lane->slot] == lane)
        self->of_slot[lane->slot] = NULL;
    self->lanes--;
    self->named -= lane->named;
    lane->next = self->spare;
    self->spare = lane;
    return t;
}

/* What comes behind the connection's end, when another one has its slot, is nobody's. */
static void more_late(struct lateness *it, uint64_t connection, ifab_usec run)
{
    if (connection < it->connection)
        return;
    unsigned refused = (is_late(it, connection, run) ? it->refused : 0) + 2;
    bool known = it->connection == connection && it->known;
    *it = (struct lateness){connection, run + ORDER_LATE_FOR, refused < ORDER_LATE_MOST ? refused : ORDER_LATE_MOST, known, false};
}

/* true: it was late, and is no longer. */
static bool less_late(struct lateness *it, uint64_t connection)
{
    if (connection < it->connection)
        return false;
    if (connection > it->connection)
        *it = (struct lateness){.connection = connection};
    it->known = true;
    return it->refused > 0 && --it->refused == 0;
}

void order_put_late(struct order *self, uint32_t slot, uint64_t connection, ifab_usec run)
{
    if (slot < self->slots)
        more_late(&self->late_of[slot], connection, run);
}

bool order_put_named(struct order *self, uint32_t slot, uint64_t connection, ifab_usec run)
{
    if (self->named >= self->slots / ORDER_NAMED_PART)
        return false;
    order_put_late(self, slot, connection, run);
    self->late_of[slot].named = true;
    return true;
}

struct lane *order_put_good(struct order *self, uint32_t slot, uint64_t connection)
{
    if (slot >= self->slots || !less_late(&self->late_of[slot], connection))
        return NULL;
    struct lane *lane = lane_of(self, slot, connection);
    if (lane != NULL)
        put_late(lane, false);
    return lane;
}

static struct order_talent *of_talent(struct order *self, uint32_t talent)
{
    if (talent >= self->talents) {
        size_t room = (size_t)talent + 64;
        struct order_talent *more = ifab_realloc(self->of_talent, room * sizeof *more);
        if (more == NULL)
            return NULL;
        memset(more + self->talents, 0, (room - self->talents) * sizeof *more);
        self->of_talent = more;
        self->talents = room;
    }
    return &self->of_talent[talent];
}

void order_talent_late(struct order *self, uint32_t talent, ifab_usec run)
{
    struct order_talent *it = of_talent(self, talent);
    if (it == NULL)
        return;
    more_late(&it->late, 0, run);
    self->some_late = run + ORDER_LATE_FOR;
}

void order_talent_good(struct order *self, uint32_t talent)
{
    if (talent < self->talents)
        (void)less_late(&self->of_talent[talent].late, 0);
}

static bool names_late(const struct order *self, const struct ifab_keyring *keyring, struct ifab_view message, struct ifab_arena *arena, ifab_usec run)
{
    const struct ifab_json *tree = NULL;
    struct ifab_view sender, name, instance;
    if (ifab_json_read(message, NULL, arena, &tree, NULL) != IFAB_OK || !ifab_json_string(ifab_json_get(tree, "sender"), &sender) ||
        ifab_sender_parse(sender, &name, &instance) != IFAB_OK)
        return false; /* it is refused soon enough */
    const struct ifab_keyring_entry *entry = ifab_keyring_find(keyring, name);
    return entry != NULL && entry->number < self->talents && is_late(&self->of_talent[entry->number].late, 0, run);
}

bool order_names_late(const struct order *self, uint32_t slot, uint64_t connection, const struct ifab_keyring *keyring, struct ifab_view message, ifab_usec run)
{
    const struct lane *lane = lane_of(self, slot, connection);
    if (run >= self->some_late || keyring == NULL || slot >= self->slots || (lane != NULL && lane->count >= ORDER_ASKED))
        return false;
    const struct lateness *it = &self->late_of[slot];
    if (it->connection == connection && (it->known || is_late(it, connection, run)))
        return false;
    struct ifab_arena arena;
    ifab_arena_init(&arena, (size_t)IFAB_ENVELOPE_MAX * 64);
    bool late = names_late(self, keyring, message, &arena, run);
    ifab_arena_fini(&arena);
    return late;
}

bool order_nobody_in_turn(const struct order *self) { return self->turns[0].first == NULL; }

void pace_on(struct pace *self, uint64_t now_ns, size_t workers)
{
    if (now_ns - self->began_ns < PACE_EVERY_NS)
        return;
    self->overdue = self->left;
    self->left = PACE_TICKETS * workers;
    self->began_ns = now_ns;
}

bool pace_overdue(struct pace *self)
{
    if (self->overdue == 0)
        return false;
    self->overdue--;
    return true;
}

bool pace_others(uint64_t now_ns, uint64_t others_ns) { return now_ns < others_ns || now_ns - others_ns < PACE_OTHERS_NS; }

bool pace_is_open(const struct pace *self, uint64_t now_ns, uint64_t others_ns)
{
    return self->left > 0 || !pace_others(now_ns, others_ns);
}

bool pace_allows(struct pace *self, uint64_t now_ns, uint64_t others_ns)
{
    if (!pace_is_open(self, now_ns, others_ns))
        return false;
    self->left -= self->left > 0;
    return true;
}

/* Only those whose head is verified: nobody in turn waits for a signature of theirs. */
void order_let_in(struct order *self)
{
    struct lane_ring *in_turn = &self->turns[0], *late = &self->turns[1];
    struct lane_ring stay = {NULL, NULL};
    size_t moved = 0;
    for (struct lane *lane = late->first, *next; lane != NULL; lane = next) {
        next = lane->next;
        bool goes = moved < ORDER_LET_IN && atomic_load_explicit(&lane->first->state, memory_order_acquire) == TICKET_VERIFIED;
        struct lane_ring *ring = goes ? in_turn : &stay;
        lane->next = NULL;
        if (ring->first == NULL)
            ring->first = lane;
        else
            ring->last->next = lane;
        ring->last = lane;
        moved += goes;
    }
    *late = stay;
}

/* ---- behind the signature: equal shares by talent ---- */

bool order_share_take(struct order *self, uint32_t talent)
{
    struct order_talent *it = of_talent(self, talent);
    if (it == NULL || self->verified >= ORDER_VERIFIED_MAX || it->waiting >= ORDER_VERIFIED_MAX - self->verified)
        return false;
    it->waiting++;
    self->verified++;
    return true;
}

void order_share_give(struct order *self, uint32_t talent)
{
    self->of_talent[talent].waiting--;
    self->verified--;
}

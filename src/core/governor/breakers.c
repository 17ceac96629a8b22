/* All breakers in memory, in order of number, found by kind and name. */
#include "base/map.h"
#include "base/mem.h"
#include "governor/breaker.h"

struct breaker_node {
    struct ifab_breaker breaker; /* name points to name[] */
    uint8_t name[IFAB_SUBJECT_NAME_MAX];
};
struct ifab_breakers {
    struct breaker_node **nodes; /* in order of number */
    size_t count, room;
    struct ifab_map by_name; /* kind byte and name -> pointer */
};

ifab_status ifab_breakers_new(uint64_t seed, struct ifab_breakers **ret)
{
    struct ifab_breakers *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return IFAB_NOMEM;
    ifab_map_init(&self->by_name, seed);
    *ret = self;
    return IFAB_OK;
}

void ifab_breakers_free(struct ifab_breakers *self)
{
    if (self == NULL)
        return;
    for (size_t i = 0; i < self->count; i++)
        ifab_free(self->nodes[i]);
    ifab_free(self->nodes);
    ifab_map_fini(&self->by_name);
    ifab_free(self);
}

static size_t place_of(const struct ifab_breakers *self, uint64_t number)
{
    size_t low = 0, high = self->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (self->nodes[middle]->breaker.number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct ifab_view key(uint8_t storage[1 + IFAB_SUBJECT_NAME_MAX], enum ifab_breaker_kind kind, struct ifab_view name)
{
    size_t size = name.size < IFAB_SUBJECT_NAME_MAX ? name.size : IFAB_SUBJECT_NAME_MAX;
    storage[0] = (uint8_t)kind;
    if (size > 0)
        memcpy(storage + 1, name.data, size);
    return ifab_view_of(storage, size + 1);
}

const struct ifab_breaker *ifab_breakers_find(const struct ifab_breakers *self, enum ifab_breaker_kind kind, struct ifab_view name)
{
    uint8_t storage[1 + IFAB_SUBJECT_NAME_MAX];
    uint64_t pointer;
    if (name.size > IFAB_SUBJECT_NAME_MAX || !ifab_map_get(&self->by_name, key(storage, kind, name), &pointer))
        return NULL;
    return &((const struct breaker_node *)(uintptr_t)pointer)->breaker;
}

const struct ifab_breaker *ifab_breakers_next(const struct ifab_breakers *self, uint64_t number)
{
    size_t place = number == UINT64_MAX ? self->count : place_of(self, number + 1);
    return place < self->count ? &self->nodes[place]->breaker : NULL;
}

size_t ifab_breakers_count(const struct ifab_breakers *self) { return self->count; }

static void copy(struct breaker_node *node, const struct ifab_breaker *breaker)
{
    node->breaker = *breaker;
    memcpy(node->name, breaker->name.data, breaker->name.size); /* unpack has looked at its size */
    node->breaker.name = ifab_view_of(node->name, breaker->name.size);
}

static ifab_status insert(struct ifab_breakers *self, size_t place, const struct ifab_breaker *breaker, struct ifab_error *err)
{
    uint8_t storage[1 + IFAB_SUBJECT_NAME_MAX];
    if (ifab_breakers_find(self, breaker->kind, breaker->name) != NULL)
        return ifab_fail(err, IFAB_CORRUPT, "breaker %llu: another has its name", (unsigned long long)breaker->number);
    if (self->count == self->room) {
        size_t wanted = self->room == 0 ? 16 : self->room * 2;
        struct breaker_node **bigger = ifab_realloc(self->nodes, wanted * sizeof(struct breaker_node *));
        if (bigger == NULL)
            return ifab_fail(err, IFAB_NOMEM, "breaker");
        self->nodes = bigger;
        self->room = wanted;
    }
    struct breaker_node *node = ifab_calloc(1, sizeof *node);
    if (node == NULL || ifab_map_put(&self->by_name, key(storage, breaker->kind, breaker->name), (uint64_t)(uintptr_t)node) != IFAB_OK) {
        ifab_free(node);
        return ifab_fail(err, IFAB_NOMEM, "breaker");
    }
    copy(node, breaker);
    memmove(self->nodes + place + 1, self->nodes + place, (self->count - place) * sizeof(struct breaker_node *));
    self->nodes[place] = node;
    self->count++;
    return IFAB_OK;
}

ifab_status ifab_breakers_load(struct ifab_breakers *self, uint64_t number, struct ifab_view bytes, struct ifab_error *err)
{
    size_t place = place_of(self, number);
    struct breaker_node *node = place < self->count && self->nodes[place]->breaker.number == number ? self->nodes[place] : NULL;
    struct ifab_breaker breaker;
    uint8_t storage[1 + IFAB_SUBJECT_NAME_MAX];
    if (bytes.size == 0) {
        if (node != NULL) {
            (void)ifab_map_remove(&self->by_name, key(storage, node->breaker.kind, node->breaker.name));
            self->count--;
            memmove(self->nodes + place, self->nodes + place + 1, (self->count - place) * sizeof(struct breaker_node *));
            ifab_free(node);
        }
        return IFAB_OK;
    }
    if (!ifab_breaker_unpack(bytes, number, &breaker))
        return ifab_fail(err, IFAB_CORRUPT, "breaker %llu does not parse", (unsigned long long)number);
    if (node == NULL)
        return insert(self, place, &breaker, err);
    if (node->breaker.kind != breaker.kind || !ifab_view_equal(node->breaker.name, breaker.name))
        return ifab_fail(err, IFAB_CORRUPT, "breaker %llu: it was another's", (unsigned long long)number);
    copy(node, &breaker);
    return IFAB_OK;
}

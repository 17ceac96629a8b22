/* Packed sets of names: see names.h. */
#include "coordinator/names.h"

static bool word(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool ifab_skill_valid(struct ifab_view name)
{
    if (name.size == 0 || name.size > IFAB_SKILL_MAX || !word(name.data[0]))
        return false;
    for (size_t i = 1; i < name.size; i++)
        if (!word(name.data[i]) && name.data[i] != '.' && name.data[i] != '_' && name.data[i] != ':' && name.data[i] != '-')
            return false;
    return true;
}

static uint64_t bit_of(struct ifab_view name)
{
    uint64_t h = 0xcbf29ce484222325U; /* FNV-1a: a filter only, whoever collides is compared */
    for (size_t i = 0; i < name.size; i++)
        h = (h ^ name.data[i]) * 0x100000001b3U;
    return (uint64_t)1 << (h >> 58);
}

bool ifab_names_next(const struct ifab_names *self, size_t *at, struct ifab_view *ret_name)
{
    if (*at >= self->size)
        return false;
    *ret_name = ifab_view_str(self->text + *at);
    *at += ret_name->size + 1;
    return true;
}

bool ifab_names_pack(const struct ifab_view *names, size_t count, char *room, size_t room_size, struct ifab_names *ret_names)
{
    struct ifab_names set = {.text = room};
    struct ifab_view last = {NULL, 0};
    for (;;) { /* the smallest one above the last: sets are small */
        const struct ifab_view *least = NULL;
        for (size_t i = 0; i < count; i++) {
            if (!ifab_skill_valid(names[i]))
                return false;
            if ((set.count == 0 || ifab_view_compare(names[i], last) > 0) && (least == NULL || ifab_view_compare(names[i], *least) < 0))
                least = &names[i];
        }
        if (least == NULL)
            break;
        if (least->size + 1 > room_size - set.size || set.size + least->size + 1 > UINT16_MAX)
            return false;
        memcpy(room + set.size, least->data, least->size);
        room[set.size + least->size] = '\0';
        set.size = (uint16_t)(set.size + least->size + 1);
        set.count++;
        set.bits |= bit_of(*least);
        last = *least;
    }
    *ret_names = set;
    return true;
}

bool ifab_names_read(struct ifab_view packed, struct ifab_names *ret_names)
{
    struct ifab_names set = {.text = (const char *)packed.data, .size = (uint16_t)packed.size};
    struct ifab_view name, last = {NULL, 0};
    size_t at = 0;
    if (packed.size > UINT16_MAX || (packed.size > 0 && packed.data[packed.size - 1] != '\0'))
        return false;
    while (ifab_names_next(&set, &at, &name)) {
        if (!ifab_skill_valid(name) || (set.count > 0 && ifab_view_compare(last, name) >= 0))
            return false;
        set.count++;
        set.bits |= bit_of(name);
        last = name;
    }
    *ret_names = set;
    return true;
}

bool ifab_names_has(const struct ifab_names *self, struct ifab_view name)
{
    struct ifab_view one;
    size_t at = 0;
    while (ifab_names_next(self, &at, &one))
        if (ifab_view_equal(one, name))
            return true;
    return false;
}

uint32_t ifab_names_common(const struct ifab_names *a, const struct ifab_names *b)
{
    size_t at_a = 0, at_b = 0;
    struct ifab_view left, right;
    uint32_t common = 0;
    if ((a->bits & b->bits) == 0)
        return 0;
    bool more = ifab_names_next(a, &at_a, &left) && ifab_names_next(b, &at_b, &right);
    while (more) {
        int order = ifab_view_compare(left, right);
        common += order == 0;
        more = (order > 0 || ifab_names_next(a, &at_a, &left)) && (order < 0 || ifab_names_next(b, &at_b, &right));
    }
    return common;
}

bool ifab_names_cover(const struct ifab_names *have, const struct ifab_names *need)
{
    if (need->count == 0)
        return true;
    return 10 * ifab_names_common(have, need) >= 7U * need->count;
}

/*
 * Order of names by UTF-16 code units, computed on UTF-8. The two orders differ in one place only: code points from U+10000 on (lead bytes
 * F0..F4) are surrogate pairs D800..DFFF in UTF-16 and so come before U+E000..U+FFFF (lead bytes EE and EF). Where two names differ first
 * in a lead byte, moving EE and EF above F4 gives the right order; where they differ in a later byte of a sequence, both orders agree.
 */
#include "internal.h"

static uint8_t unit_rank(uint8_t byte)
{
    return byte == 0xee || byte == 0xef ? (uint8_t)(byte + 0x10) : byte;
}

int ifab_json__compare(struct ifab_view a, struct ifab_view b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    for (size_t i = 0; i < common; i++)
        if (a.data[i] != b.data[i])
            return unit_rank(a.data[i]) < unit_rank(b.data[i]) ? -1 : 1;
    return (a.size > b.size) - (a.size < b.size);
}

uint64_t ifab_json__prefix(struct ifab_view name)
{
    uint64_t prefix = 0;
    size_t count = name.size < 8 ? name.size : 8;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (count == 8) {
        memcpy(&prefix, name.data, 8);
        if ((prefix & 0x8080808080808080ULL) == 0) /* ASCII ranks as it is */
            return __builtin_bswap64(prefix);
        prefix = 0;
    }
#endif
    for (size_t i = 0; i < count; i++)
        prefix = prefix << 8 | unit_rank(name.data[i]);
    return count == 0 ? 0 : prefix << (8 * (8 - count));
}

/* Equal names stand in the order of the document, so that the later of two is the duplicate. */
static bool less(const struct ifab_json__ranked *a, const struct ifab_json__ranked *b)
{
    if (a->prefix != b->prefix)
        return a->prefix < b->prefix;
    int order = ifab_json__compare(a->member->name, b->member->name);
    return order != 0 ? order < 0 : a->member->offset < b->member->offset;
}

static void sort_few(struct ifab_json__ranked *ranked, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct ifab_json__ranked moving = ranked[i];
        size_t at = i;
        for (; at > 0 && less(&moving, &ranked[at - 1]); at--)
            ranked[at] = ranked[at - 1];
        ranked[at] = moving;
    }
}

static void sift_down(struct ifab_json__ranked *heap, size_t at, size_t count)
{
    struct ifab_json__ranked moving = heap[at];
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && less(&heap[child], &heap[child + 1]))
            child++;
        if (!less(&moving, &heap[child]))
            break;
        heap[at] = heap[child];
    }
    heap[at] = moving;
}

/* Heap sort: no memory of its own and n log n whatever the names are, for they come from outside. */
static void sort_many(struct ifab_json__ranked *ranked, size_t count)
{
    for (size_t i = count / 2; i-- > 0;)
        sift_down(ranked, i, count);
    for (size_t last = count - 1; last > 0; last--) {
        struct ifab_json__ranked top = ranked[0];
        ranked[0] = ranked[last];
        ranked[last] = top;
        sift_down(ranked, 0, last);
    }
}

const struct ifab_json_member *ifab_json__sort(struct ifab_json__ranked *ranked, size_t count)
{
    if (count <= 24)
        sort_few(ranked, count);
    else
        sort_many(ranked, count);
    const struct ifab_json_member *second = NULL;
    for (size_t i = 1; i < count; i++) {
        const struct ifab_json_member *later = ranked[i].member;
        if (ranked[i - 1].prefix == ranked[i].prefix && ifab_view_equal(ranked[i - 1].member->name, later->name) &&
            (second == NULL || later->offset < second->offset))
            second = later;
    }
    return second;
}

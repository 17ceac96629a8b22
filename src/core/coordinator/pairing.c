/* See pairing.h. */
#include "pairing.h"

/* Two roots become one. */
static uint32_t meld(const struct pairing_order *order, const void *owner, uint32_t a, uint32_t b)
{
    if (a == 0 || b == 0)
        return a == 0 ? b : a;
    if (order->before(owner, b, a)) {
        uint32_t swapped = a;
        a = b;
        b = swapped;
    }
    struct pairing_links *parent = order->links(owner, a), *child = order->links(owner, b);
    child->previous = a;
    child->next = parent->child;
    if (parent->child != 0)
        order->links(owner, parent->child)->previous = b;
    parent->child = b;
    return a;
}

/* The children of one that goes: melded in pairs from the left, then all from the right. */
static uint32_t meld_all(const struct pairing_order *order, const void *owner, uint32_t first)
{
    uint32_t pairs = 0; /* a list through `next`, the last pair first */
    while (first != 0) {
        uint32_t a = first, b = order->links(owner, a)->next;
        first = b == 0 ? 0 : order->links(owner, b)->next;
        order->links(owner, a)->next = order->links(owner, a)->previous = 0;
        if (b != 0)
            order->links(owner, b)->next = order->links(owner, b)->previous = 0;
        uint32_t one = meld(order, owner, a, b);
        order->links(owner, one)->next = pairs;
        pairs = one;
    }
    uint32_t root = 0;
    while (pairs != 0) {
        uint32_t one = pairs;
        pairs = order->links(owner, one)->next;
        order->links(owner, one)->next = 0;
        root = meld(order, owner, root, one);
    }
    return root;
}

uint32_t ifab_pairing__insert(const struct pairing_order *order, const void *owner, uint32_t root, uint32_t slot)
{
    *order->links(owner, slot) = (struct pairing_links){0, 0, 0};
    return meld(order, owner, root, slot);
}

uint32_t ifab_pairing__remove(const struct pairing_order *order, const void *owner, uint32_t root, uint32_t slot)
{
    struct pairing_links *links = order->links(owner, slot);
    uint32_t below = meld_all(order, owner, links->child);
    if (slot != root) {
        struct pairing_links *previous = order->links(owner, links->previous);
        if (previous->child == slot)
            previous->child = links->next;
        else
            previous->next = links->next;
        if (links->next != 0)
            order->links(owner, links->next)->previous = links->previous;
    }
    *links = (struct pairing_links){0, 0, 0};
    return slot == root ? below : meld(order, owner, root, below);
}

uint32_t ifab_pairing__next(const struct pairing_order *order, const void *owner, uint32_t root, uint32_t slot)
{
    if (order->links(owner, slot)->child != 0)
        return order->links(owner, slot)->child;
    while (slot != root && order->links(owner, slot)->next == 0) {
        uint32_t before = order->links(owner, slot)->previous;
        while (order->links(owner, before)->child != slot) { /* back to the first child: its `previous` is the parent */
            slot = before;
            before = order->links(owner, slot)->previous;
        }
        slot = before;
    }
    return slot == root ? 0 : order->links(owner, slot)->next;
}

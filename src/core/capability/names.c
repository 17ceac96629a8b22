/* Ids and versions of capabilities: SURFACE section 5. */
#include "capability_internal.h"

static bool digit(uint8_t c) { return c >= '0' && c <= '9'; }

static bool low(uint8_t c) { return digit(c) || (c >= 'a' && c <= 'z'); }

bool ifab_capability_id_valid(struct ifab_view id)
{
    struct ifab_view prefix = IFAB_VIEW("if://capability/");
    if (id.size <= prefix.size || id.size > IFAB_CAPABILITY_ID_MAX || !ifab_view_starts(id, prefix) || !low(id.data[id.size - 1]))
        return false;
    for (size_t i = prefix.size; i < id.size; i++) {
        bool between = (id.data[i] == '.' || id.data[i] == '-') && i > prefix.size && low(id.data[i - 1]);
        if (!low(id.data[i]) && !between)
            return false;
    }
    return true;
}

bool ifab_capability_version_valid(struct ifab_view version)
{
    size_t dots = 0;
    if (version.size < 5 || version.size > IFAB_CAPABILITY_VERSION_MAX || !digit(version.data[0]) || !digit(version.data[version.size - 1]))
        return false;
    for (size_t i = 0; i < version.size; i++) {
        if (version.data[i] == '.' && (++dots > 2 || !digit(version.data[i - 1])))
            return false;
        if (version.data[i] != '.' && !digit(version.data[i]))
            return false;
    }
    return dots == 2;
}

/* The next number without its leading zeros; *text goes behind its dot. */
static struct ifab_view next_number(struct ifab_view *text)
{
    while (text->size > 1 && text->data[0] == '0' && digit(text->data[1]))
        *text = ifab_view_of(text->data + 1, text->size - 1);
    size_t size = 0;
    while (size < text->size && text->data[size] != '.')
        size++;
    struct ifab_view number = ifab_view_of(text->data, size);
    size += size < text->size ? 1 : 0;
    *text = ifab_view_of(text->data + size, text->size - size);
    return number;
}

int ifab_capability_version_compare(struct ifab_view a, struct ifab_view b)
{
    struct ifab_view rest_a = a, rest_b = b;
    for (int i = 0; i < 3; i++) {
        struct ifab_view number_a = next_number(&rest_a), number_b = next_number(&rest_b);
        if (number_a.size != number_b.size)
            return number_a.size < number_b.size ? -1 : 1;
        int order = ifab_view_compare(number_a, number_b);
        if (order != 0)
            return order;
    }
    return ifab_view_compare(a, b); /* "01.0.0" is another text than "1.0.0", and another version */
}

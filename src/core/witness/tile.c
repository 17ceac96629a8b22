/*
 * C2SP tlog-tiles: paths of hash tiles and entry bundles, and the bundles' framing. A path has one spelling: level without leading
 * zeros, number in groups of three digits of which all but the last carry an "x" and the first is not x000, width only for a partial tile.
 */
#include "witness/witness.h"

#define WIDTH_FULL 256
#define NUMBER_MAX ((uint64_t)999999999999999999) /* six groups */

static bool take(struct ifab_view *path, const char *prefix)
{
    struct ifab_view want = ifab_view_str(prefix);

    if (!ifab_view_starts(*path, want))
        return false;
    path->data += want.size;
    path->size -= want.size;
    return true;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* A decimal without leading zeros, min..max. */
static bool take_decimal(struct ifab_view *path, unsigned min, unsigned max, unsigned *ret_value)
{
    unsigned value = 0;
    size_t digits = 0;

    while (digits < path->size && digits < 4 && is_digit(path->data[digits]))
        value = value * 10 + (unsigned)(path->data[digits++] - '0');
    if (digits == 0 || (digits > 1 && path->data[0] == '0') || value < min || value > max)
        return false;
    path->data += digits;
    path->size -= digits;
    *ret_value = value;
    return true;
}

static bool take_group(struct ifab_view *path, uint64_t *number)
{
    if (path->size < 3 || !is_digit(path->data[0]) || !is_digit(path->data[1]) || !is_digit(path->data[2]))
        return false;
    *number =
        *number * 1000 + (uint64_t)(path->data[0] - '0') * 100 + (uint64_t)(path->data[1] - '0') * 10 + (uint64_t)(path->data[2] - '0');
    path->data += 3;
    path->size -= 3;
    return true;
}

static bool take_number(struct ifab_view *path, uint64_t *ret_number)
{
    uint64_t number = 0;
    unsigned groups = 0;

    while (take(path, "x")) {
        if (++groups > 5 || !take_group(path, &number) || number == 0 || !take(path, "/"))
            return false;
    }
    if (!take_group(path, &number))
        return false;
    *ret_number = number;
    return true;
}

bool ifab_tile_parse(struct ifab_view path, struct ifab_tile *ret_tile)
{
    struct ifab_tile tile = {.width = WIDTH_FULL};

    if (!take(&path, "tile/"))
        return false;
    if (take(&path, "entries/"))
        tile.entries = true;
    else if (!take_decimal(&path, 0, 63, &tile.level) || !take(&path, "/"))
        return false;
    if (!take_number(&path, &tile.number))
        return false;
    if (path.size > 0 && (!take(&path, ".p/") || !take_decimal(&path, 1, WIDTH_FULL - 1, &tile.width) || path.size > 0))
        return false;
    *ret_tile = tile;
    return true;
}

static char *put_text(char *at, const char *text)
{
    while (*text != '\0')
        *at++ = *text++;
    return at;
}

static char *put_decimal(char *at, unsigned value, unsigned at_least)
{
    char digits[10];
    unsigned count = 0;

    while (value > 0 || count < at_least) {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    }
    while (count > 0)
        *at++ = digits[--count];
    return at;
}

void ifab_tile_format(const struct ifab_tile *tile, char ret_path[64])
{
    char *at = put_text(ret_path, "tile/");
    uint64_t number = tile->number > NUMBER_MAX ? NUMBER_MAX : tile->number, unit = 1;

    if (tile->entries) {
        at = put_text(at, "entries/");
    } else {
        at = put_decimal(at, tile->level % 100, 1);
        *at++ = '/';
    }
    while (number / unit >= 1000)
        unit *= 1000;
    for (; unit > 1; unit /= 1000) {
        *at++ = 'x';
        at = put_decimal(at, (unsigned)(number / unit % 1000), 3);
        *at++ = '/';
    }
    at = put_decimal(at, (unsigned)(number % 1000), 3);
    if (tile->width < WIDTH_FULL) {
        at = put_text(at, ".p/");
        at = put_decimal(at, tile->width, 1);
    }
    *at = '\0';
}

void ifab_bundle_put(struct ifab_buf *buf, struct ifab_view entry)
{
    uint8_t size[2] = {(uint8_t)(entry.size >> 8), (uint8_t)entry.size};

    if (entry.size > IFAB_ENTRY_MAX) { /* cannot be framed: the whole bundle fails rather than lie about a length */
        buf->failed = IFAB_TOO_LARGE;
        return;
    }
    ifab_buf_put(buf, size, sizeof size);
    ifab_buf_view(buf, entry);
}

bool ifab_bundle_next(struct ifab_view *bundle, struct ifab_view *ret_entry)
{
    size_t size;

    if (bundle->size < 2)
        return false;
    size = (size_t)bundle->data[0] << 8 | bundle->data[1];
    if (size > bundle->size - 2)
        return false;
    *ret_entry = ifab_view_of(bundle->data + 2, size);
    bundle->data += 2 + size;
    bundle->size -= 2 + size;
    return true;
}

/* What a terminal sends, as keys of `decision watch`. A row is a key. */
#include "escape.h"

#include <string.h>

#include "base/mem.h"

static const struct {
    const char *bytes;
    enum watch_key key;
} keys[] = {
    {"\033[A", WATCH_UP},        {"\033OA", WATCH_UP},          {"k", WATCH_UP},         {"\033[B", WATCH_DOWN}, {"\033OB", WATCH_DOWN},
    {"j", WATCH_DOWN},           {"\033[5~", WATCH_PAGE_UP},    {"\033[6~", WATCH_PAGE_DOWN}, {"n", WATCH_NEXT_TOPIC}, {"p", WATCH_LAST_TOPIC},
    {"t", WATCH_BY_TOPIC},       {"a", WATCH_APPROVE},          {"r", WATCH_REFUSE},     {"s", WATCH_SCOPE_OK},  {"q", WATCH_QUIT},
};

/* Bytes of what ESC begins: ESC [ … final (ECMA-48 5.4), ESC O x, ESC x. 0: not whole yet. */
static size_t sequence(struct ifab_view bytes)
{
    if (bytes.size < 2)
        return 0;
    if (bytes.data[1] == 'O')
        return bytes.size < 3 ? 0 : 3;
    if (bytes.data[1] != '[')
        return bytes.data[1] == 033 ? 1 : 2;
    for (size_t i = 2; i < bytes.size && i < WATCH_SEQUENCE_MAX; i++)
        if (bytes.data[i] < 0x20 || bytes.data[i] > 0x3f)
            return bytes.data[i] < 0x20 ? i : i + 1; /* a control character is none of it */
    return bytes.size < WATCH_SEQUENCE_MAX ? 0 : WATCH_SEQUENCE_MAX;
}

enum watch_key watch_key_next(struct ifab_view bytes, size_t *ret_used)
{
    *ret_used = bytes.data[0] == 033 ? sequence(bytes) : 1;
    for (size_t i = 0; i < IFAB_COUNT(keys); i++)
        if (strlen(keys[i].bytes) == *ret_used && memcmp(keys[i].bytes, bytes.data, *ret_used) == 0)
            return keys[i].key;
    return WATCH_NONE;
}

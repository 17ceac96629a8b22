#ifndef BASE_VIEW_H
#define BASE_VIEW_H
/* Borrowed bytes: a pointer and its length. data may be NULL only when size is 0. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct ifab_view {
    const uint8_t *data;
    size_t size;
};

#define IFAB_VIEW(literal) ((struct ifab_view){(const uint8_t *)("" literal), sizeof(literal) - 1})

static inline struct ifab_view ifab_view_of(const void *data, size_t size)
{
    return (struct ifab_view){(const uint8_t *)data, size};
}
static inline struct ifab_view ifab_view_str(const char *text)
{
    return (struct ifab_view){(const uint8_t *)text, text == NULL ? 0 : strlen(text)};
}
static inline bool ifab_view_equal(struct ifab_view a, struct ifab_view b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}
static inline bool ifab_view_is(struct ifab_view a, const char *text)
{
    return ifab_view_equal(a, ifab_view_str(text));
}
static inline bool ifab_view_starts(struct ifab_view a, struct ifab_view prefix)
{
    return a.size >= prefix.size && (prefix.size == 0 || memcmp(a.data, prefix.data, prefix.size) == 0);
}
/* Bytewise order, shorter first on a tie: <0, 0, >0. */
int ifab_view_compare(struct ifab_view a, struct ifab_view b);
/* ASCII case-insensitive equality. */
bool ifab_view_equal_nocase(struct ifab_view a, struct ifab_view b);
/* for "%.*s": printf(IFAB_FMT, IFAB_ARG(view)) */
#define IFAB_FMT "%.*s"
#define IFAB_ARG(view) (int)(view).size, (const char *)(view).data
#endif

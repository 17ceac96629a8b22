/* Methods, and rows of a manifest against a URL. A row that is not whole matches nothing. */
#include "base/mem.h"
#include "egress/url.h"

#define ROW(name_, text, body) [IFAB_EGRESS_METHOD_##name_] = {text, body},
static const struct {
    const char *name;
    bool body;
} methods[IFAB_EGRESS_METHOD_COUNT] = {IFAB_EGRESS_METHOD_MAP(ROW)};
#undef ROW

const char *ifab_egress_method_name(enum ifab_egress_method method) { return (size_t)method < IFAB_COUNT(methods) ? methods[method].name : ""; }
bool ifab_egress_method_has_body(enum ifab_egress_method method) { return (size_t)method < IFAB_COUNT(methods) && methods[method].body; }
bool ifab_egress_method_parse(struct ifab_view text, enum ifab_egress_method *ret_method)
{
    for (size_t i = 0; i < IFAB_COUNT(methods); i++) {
        if (ifab_view_is(text, methods[i].name)) {
            *ret_method = (enum ifab_egress_method)i;
            return true;
        }
    }
    return false;
}

/* Cuts the segment behind the slash at *rest; false: none is left. */
static bool next_segment(struct ifab_view *rest, struct ifab_view *ret_segment)
{
    size_t end = 1;
    if (rest->size == 0)
        return false;
    while (end < rest->size && rest->data[end] != '/')
        end++;
    *ret_segment = ifab_view_of(rest->data + 1, end - 1);
    *rest = ifab_view_of(rest->data + end, rest->size - end);
    return true;
}
static bool path_matches(struct ifab_view pattern, struct ifab_view path)
{
    struct ifab_view want, have;
    while (next_segment(&pattern, &want)) {
        if (!next_segment(&path, &have))
            return false;
        if (ifab_view_is(want, "**") && pattern.size == 0)
            return have.size > 0;
        if (ifab_view_is(want, "*") ? have.size == 0 : !ifab_view_equal(want, have))
            return false;
    }
    return path.size == 0;
}

bool ifab_egress_row_matches(const struct ifab_egress_row *row, const struct ifab_url *url, enum ifab_egress_method method)
{
    if ((size_t)method >= IFAB_COUNT(methods) || (row->methods & (1U << method)) == 0 || !ifab_origin_same(&row->origin, &url->origin))
        return false;
    if (row->path.size == 0 || row->path.data[0] != '/' || !ifab_path_valid(url->path))
        return false;
    return path_matches(row->path, url->path);
}

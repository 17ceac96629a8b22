/* if:// URIs, SURFACE section 1: if://<type>/<path>[@version][#fragment]. Versions and fragments follow the name rule. */
#include "base/id.h"

#define URI_MAX 512

static bool type_valid(struct ifab_view type)
{
    if (type.size == 0 || type.size > 32 || type.data[0] < 'a' || type.data[0] > 'z')
        return false;
    for (size_t i = 1; i < type.size; i++) {
        uint8_t c = type.data[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-')
            return false;
    }
    return true;
}

/* Cuts what stands behind the first `mark` off *text. false: the mark is there and what follows is not a name. */
static bool cut_tail(struct ifab_view *text, uint8_t mark, struct ifab_view *ret_tail)
{
    for (size_t i = 0; i < text->size; i++) {
        if (text->data[i] != mark)
            continue;
        *ret_tail = (struct ifab_view){text->data + i + 1, text->size - i - 1};
        text->size = i;
        return ifab_name_valid(*ret_tail);
    }
    *ret_tail = (struct ifab_view){NULL, 0};
    return true;
}

static ifab_status split_path(struct ifab_uri *uri, struct ifab_error *err)
{
    size_t start = 0;
    for (size_t i = 0; i <= uri->path.size; i++) {
        if (i < uri->path.size && uri->path.data[i] != '/')
            continue;
        struct ifab_view segment = {uri->path.data + start, i - start};
        if (uri->segment_count == 8)
            return ifab_fail(err, IFAB_INVALID, "a URI has at most 8 path segments");
        if (!ifab_name_valid(segment))
            return ifab_fail(err, IFAB_INVALID, "path segment %zu of the URI is not a name ([A-Za-z0-9][A-Za-z0-9._-]{0,63}, no \"..\")",
                             uri->segment_count + 1);
        uri->segments[uri->segment_count++] = segment;
        start = i + 1;
    }
    return IFAB_OK;
}

ifab_status ifab_uri_parse(struct ifab_view text, struct ifab_uri *ret_uri, struct ifab_error *err)
{
    struct ifab_view scheme = IFAB_VIEW("if://");
    struct ifab_uri uri = {0};
    if (text.size > URI_MAX)
        return ifab_fail(err, IFAB_INVALID, "a URI has at most %d bytes", URI_MAX);
    if (!ifab_view_starts(text, scheme))
        return ifab_fail(err, IFAB_INVALID, "a URI starts with if://");
    struct ifab_view rest = {text.data + scheme.size, text.size - scheme.size};
    const uint8_t *slash = rest.size == 0 ? NULL : memchr(rest.data, '/', rest.size);
    if (slash == NULL)
        return ifab_fail(err, IFAB_INVALID, "a URI has a path: if://TYPE/NAME");
    uri.type = (struct ifab_view){rest.data, (size_t)(slash - rest.data)};
    if (!type_valid(uri.type))
        return ifab_fail(err, IFAB_INVALID, "the type of a URI is [a-z][a-z0-9-]{0,31}");
    uri.path = (struct ifab_view){slash + 1, rest.size - uri.type.size - 1};
    if (!cut_tail(&uri.path, '#', &uri.fragment))
        return ifab_fail(err, IFAB_INVALID, "the fragment of the URI is not a name");
    if (!cut_tail(&uri.path, '@', &uri.version))
        return ifab_fail(err, IFAB_INVALID, "the version of the URI is not a name");
    IFAB_TRY(split_path(&uri, err));
    *ret_uri = uri;
    return IFAB_OK;
}

ifab_status ifab_sender_parse(struct ifab_view text, struct ifab_view *ret_name, struct ifab_view *ret_instance)
{
    struct ifab_uri uri;
    IFAB_TRY(ifab_uri_parse(text, &uri, NULL));
    if (!ifab_view_is(uri.type, "agent") || uri.segment_count > 2 || uri.version.size > 0 || uri.fragment.size > 0)
        return IFAB_INVALID;
    *ret_name = uri.segments[0];
    *ret_instance = uri.segment_count == 2 ? uri.segments[1] : (struct ifab_view){NULL, 0};
    return IFAB_OK;
}

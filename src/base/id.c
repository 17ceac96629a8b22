/* Names and UUIDs, SURFACE section 1. */
#include "base/id.h"

static bool alnum(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

bool ifab_name_valid(struct ifab_view name)
{
    if (name.size == 0 || name.size > IFAB_NAME_MAX || !alnum(name.data[0]))
        return false;
    for (size_t i = 1; i < name.size; i++) {
        uint8_t c = name.data[i];
        if (!alnum(c) && c != '.' && c != '_' && c != '-')
            return false;
        if (c == '.' && name.data[i - 1] == '.') /* a name may become part of a path */
            return false;
    }
    return true;
}

bool ifab_scope_valid(struct ifab_view scope)
{
    if (scope.size < 1 || scope.size > 128)
        return false;
    for (size_t i = 0; i < scope.size; i++)
        if (scope.data[i] < 0x21 || scope.data[i] > 0x7e || scope.data[i] == '"' || scope.data[i] == '\\')
            return false;
    return true;
}

static int hex_value(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool dash_at(size_t i)
{
    return i == 8 || i == 13 || i == 18 || i == 23;
}

ifab_status ifab_uuid_parse(struct ifab_view text, uint8_t ret_uuid16[16])
{
    uint8_t uuid[16] = {0};
    if (text.size != 36)
        return IFAB_INVALID;
    for (size_t i = 0, nibble = 0; i < 36; i++) {
        if (dash_at(i)) {
            if (text.data[i] != '-')
                return IFAB_INVALID;
            continue;
        }
        int value = hex_value(text.data[i]);
        if (value < 0)
            return IFAB_INVALID;
        uuid[nibble / 2] = (uint8_t)(uuid[nibble / 2] << 4 | value);
        nibble++;
    }
    memcpy(ret_uuid16, uuid, 16);
    return IFAB_OK;
}

ifab_status ifab_id_parse(struct ifab_view text, const char *prefix, uint8_t ret_uuid16[16])
{
    struct ifab_view wanted = ifab_view_str(prefix);
    uint8_t uuid[16];
    if (!ifab_view_starts(text, wanted))
        return IFAB_INVALID;
    IFAB_TRY(ifab_uuid_parse((struct ifab_view){text.data + wanted.size, text.size - wanted.size}, uuid));
    if (uuid[6] >> 4 != 7 || uuid[8] >> 6 != 2) /* RFC 9562 section 5.7 */
        return IFAB_INVALID;
    memcpy(ret_uuid16, uuid, 16);
    return IFAB_OK;
}

void ifab_uuid_format(const uint8_t uuid16[16], char ret_text[37])
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0, nibble = 0; i < 36; i++) {
        if (dash_at(i)) {
            ret_text[i] = '-';
            continue;
        }
        uint8_t byte = uuid16[nibble / 2];
        ret_text[i] = hex[nibble % 2 == 0 ? byte >> 4 : byte & 15];
        nibble++;
    }
    ret_text[36] = '\0';
}

void ifab_uuid7_make(int64_t wall_usec, const uint8_t random10[10], uint8_t ret_uuid16[16])
{
    uint64_t ms = wall_usec < 0 ? 0 : (uint64_t)wall_usec / 1000;
    for (int i = 0; i < 6; i++)
        ret_uuid16[i] = (uint8_t)(ms >> (40 - 8 * i));
    memcpy(ret_uuid16 + 6, random10, 10);
    ret_uuid16[6] = (uint8_t)(0x70 | (ret_uuid16[6] & 0x0f));
    ret_uuid16[8] = (uint8_t)(0x80 | (ret_uuid16[8] & 0x3f));
}

/* The common checks of string fields. Each says what it expects; what is expected is static text. */
#include "json/schema.h"

#include "base/encode.h"
#include "base/id.h"

static bool say(const char **ret_why, const char *expected)
{
    *ret_why = expected;
    return false;
}

bool ifab_schema_name(struct ifab_view text, const char **ret_why)
{
    return ifab_name_valid(text) ||
           say(ret_why, "a name: 1 to 64 letters, digits, '.', '_' or '-', first a letter or digit, without \"..\"");
}

bool ifab_schema_time(struct ifab_view text, const char **ret_why)
{
    ifab_usec wall;
    return ifab_time_parse(text, &wall) == IFAB_OK || say(ret_why, "a time such as 2025-11-12T10:21:00Z or 2025-11-12T10:21:00.250Z");
}

bool ifab_schema_sha256(struct ifab_view text, const char **ret_why)
{
    uint8_t digest[32];
    struct ifab_view prefix = IFAB_VIEW("sha256:");
    return (ifab_view_starts(text, prefix) &&
            ifab_hex_decode((struct ifab_view){text.data + prefix.size, text.size - prefix.size}, digest, sizeof digest) == IFAB_OK) ||
           say(ret_why, "\"sha256:\" and 64 lower-case hex digits");
}

static bool base64url_of(struct ifab_view text, size_t min, size_t max)
{
    uint8_t bytes[64];
    size_t size;
    return ifab_base64url_decode(text, bytes, max, &size) == IFAB_OK && size >= min;
}

#define STANDARD_HINT "; this is the standard base64 alphabet: write '-' for '+', '_' for '/' and no '='"

bool ifab_schema_key32(struct ifab_view text, const char **ret_why)
{
    if (base64url_of(text, 32, 32))
        return true;
    return say(ret_why, ifab_looks_base64_standard(text) ? "32 bytes in base64url without padding" STANDARD_HINT
                                                         : "32 bytes in base64url without padding (43 characters)");
}

bool ifab_schema_sig64(struct ifab_view text, const char **ret_why)
{
    if (base64url_of(text, 64, 64))
        return true;
    return say(ret_why, ifab_looks_base64_standard(text) ? "64 bytes in base64url without padding" STANDARD_HINT
                                                         : "64 bytes in base64url without padding (86 characters)");
}

bool ifab_schema_nonce(struct ifab_view text, const char **ret_why)
{
    if (base64url_of(text, 12, 64))
        return true;
    return say(ret_why, ifab_looks_base64_standard(text) ? "12 to 64 bytes in base64url without padding" STANDARD_HINT
                                                         : "12 to 64 bytes in base64url without padding (16 to 86 characters)");
}

bool ifab_schema_key_id(struct ifab_view text, const char **ret_why)
{
    uint8_t id[8];
    return (ifab_view_starts(text, IFAB_VIEW("k-")) &&
            ifab_hex_decode((struct ifab_view){text.data + 2, text.size - 2}, id, sizeof id) == IFAB_OK) ||
           say(ret_why, "\"k-\" and 16 lower-case hex digits");
}

bool ifab_schema_trace(struct ifab_view text, const char **ret_why)
{
    static const uint8_t zero[16];
    uint8_t uuid[16];
    return (ifab_uuid_parse(text, uuid) == IFAB_OK && memcmp(uuid, zero, sizeof zero) != 0) ||
           say(ret_why, "a UUID in lower case, not all zero");
}

bool ifab_schema_uri(struct ifab_view text, const char **ret_why)
{
    struct ifab_uri uri;
    return ifab_uri_parse(text, &uri, NULL) == IFAB_OK || say(ret_why, "a URI such as if://agent/Finance.Agent");
}

bool ifab_schema_printable(struct ifab_view text, const char **ret_why)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        /* C1 is U+0080..U+009F, which UTF-8 writes as C2 80..C2 9F */
        if (c < 0x20 || c == 0x7f || (c == 0xc2 && i + 1 < text.size && text.data[i + 1] < 0xa0))
            return say(ret_why, "text without control characters");
    }
    return true;
}

/* Every decoder of base: what it accepts, encoded again, is the same text. There is one spelling of each value. */
#include "base/encode.h"
#include "base/id.h"
#include "base/time.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_equal(struct ifab_buf *buf, struct ifab_view text)
{
    if (ifab_buf_status(buf) != IFAB_OK || !ifab_view_equal(ifab_buf_as_view(buf), text))
        abort();
    ifab_buf_clear(buf);
}

static void check_bytes(struct ifab_buf *buf, struct ifab_view text)
{
    static uint8_t bytes[1 << 16];
    size_t size;
    if (text.size > sizeof bytes)
        return;
    if (ifab_base64url_decode(text, bytes, sizeof bytes, &size) == IFAB_OK) {
        ifab_buf_base64url(buf, bytes, size);
        must_equal(buf, text);
    }
    if (ifab_base64_decode(text, bytes, sizeof bytes, &size) == IFAB_OK) {
        ifab_buf_base64(buf, bytes, size);
        must_equal(buf, text);
    }
    if (text.size % 2 == 0 && ifab_hex_decode(text, bytes, text.size / 2) == IFAB_OK) {
        ifab_buf_hex(buf, bytes, text.size / 2);
        must_equal(buf, text);
    }
    ifab_looks_base64_standard(text);
    ifab_utf8_valid(text);
}

static void check_ids(struct ifab_buf *buf, struct ifab_view text)
{
    uint8_t uuid[16];
    char written[37];
    ifab_usec wall;
    if (ifab_uuid_parse(text, uuid) == IFAB_OK) {
        ifab_uuid_format(uuid, written);
        ifab_buf_put(buf, written, 36);
        must_equal(buf, text);
    }
    ifab_id_parse(text, "msg-", uuid);
    if (ifab_time_parse(text, &wall) == IFAB_OK) {
        ifab_buf_time(buf, wall);
        if (text.size == 20) { /* the short spelling of whole seconds */
            if (memcmp(buf->data, text.data, 19) != 0 || memcmp(buf->data + 19, ".000Z", 5) != 0)
                abort();
            ifab_buf_clear(buf);
        } else {
            must_equal(buf, text);
        }
    }
}

static void check_uri(struct ifab_buf *buf, struct ifab_view text)
{
    struct ifab_uri uri;
    struct ifab_view name, instance;
    if (ifab_uri_parse(text, &uri, NULL) != IFAB_OK) {
        if (ifab_sender_parse(text, &name, &instance) == IFAB_OK)
            abort();
        return;
    }
    ifab_buf_str(buf, "if://");
    ifab_buf_view(buf, uri.type);
    for (size_t i = 0; i < uri.segment_count; i++) {
        ifab_buf_char(buf, '/');
        ifab_buf_view(buf, uri.segments[i]);
    }
    if (uri.version.size > 0)
        ifab_buf_char(buf, '@');
    ifab_buf_view(buf, uri.version);
    if (uri.fragment.size > 0)
        ifab_buf_char(buf, '#');
    ifab_buf_view(buf, uri.fragment);
    must_equal(buf, text);
    if (ifab_sender_parse(text, &name, &instance) == IFAB_OK && !ifab_name_valid(name))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ifab_buf buf = IFAB_BUF_INIT((size_t)1 << 20);
    struct ifab_view text = ifab_view_of(data, size);
    check_bytes(&buf, text);
    check_ids(&buf, text);
    check_uri(&buf, text);
    ifab_buf_fini(&buf);
    return 0;
}

/*
 * The body of a C2SP tlog-checkpoint: "<origin>\n<size>\n<base64 root>\n". One spelling only: no leading zeros, canonical base64. Extension
 * lines are refused: this product writes none, and what they say would be signed but not understood.
 */
#include "witness/witness.h"

#include "base/encode.h"

#define ORIGIN_MAX 255

static bool origin_valid(struct ifab_view origin)
{
    if (origin.size == 0 || origin.size > ORIGIN_MAX || !ifab_utf8_valid(origin))
        return false;
    for (size_t i = 0; i < origin.size; i++)
        if (origin.data[i] < ' ' || origin.data[i] == 0x7f)
            return false;
    return true;
}

ifab_status ifab_checkpoint_write(const struct ifab_checkpoint *checkpoint, struct ifab_buf *text)
{
    if (!origin_valid(checkpoint->origin))
        return IFAB_INVALID;
    ifab_buf_view(text, checkpoint->origin);
    ifab_buf_char(text, '\n');
    ifab_buf_u64(text, checkpoint->size);
    ifab_buf_char(text, '\n');
    ifab_buf_base64(text, checkpoint->root32, 32);
    ifab_buf_char(text, '\n');
    return ifab_buf_status(text);
}

static bool next_line(struct ifab_view *text, struct ifab_view *ret_line)
{
    const uint8_t *end = text->size > 0 ? memchr(text->data, '\n', text->size) : NULL;

    if (end == NULL)
        return false;
    *ret_line = ifab_view_of(text->data, (size_t)(end - text->data));
    text->size -= ret_line->size + 1;
    text->data = end + 1;
    return true;
}

static bool read_size(struct ifab_view line, uint64_t *ret_size)
{
    uint64_t size = 0;

    if (line.size == 0 || line.size > 18 || (line.data[0] == '0' && line.size > 1)) /* 18 digits: no overflow, and no log is longer */
        return false;
    for (size_t i = 0; i < line.size; i++) {
        if (line.data[i] < '0' || line.data[i] > '9')
            return false;
        size = size * 10 + (uint64_t)(line.data[i] - '0');
    }
    *ret_size = size;
    return true;
}

ifab_status ifab_checkpoint_read(struct ifab_view text, struct ifab_checkpoint *ret_checkpoint, struct ifab_error *err)
{
    struct ifab_checkpoint read = {0};
    struct ifab_view size_line, root_line;
    size_t root_size = 0;

    if (!next_line(&text, &read.origin) || !origin_valid(read.origin))
        return ifab_fail(err, IFAB_INVALID, "checkpoint: no origin in line 1");
    if (!next_line(&text, &size_line) || !read_size(size_line, &read.size))
        return ifab_fail(err, IFAB_INVALID, "checkpoint: no size in line 2");
    if (!next_line(&text, &root_line) || ifab_base64_decode(root_line, read.root32, 32, &root_size) != IFAB_OK || root_size != 32)
        return ifab_fail(err, IFAB_INVALID, "checkpoint: no root hash in line 3");
    if (text.size > 0)
        return ifab_fail(err, IFAB_INVALID, "checkpoint: more than three lines");
    *ret_checkpoint = read;
    return IFAB_OK;
}

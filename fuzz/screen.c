/*
 * Bytes as a text that is shown: what reaches the terminal holds nothing that moves its cursor or hides, a cut text is a beginning that
 * fits. The same bytes as what a terminal sends: the keys are the same however the bytes are cut into reads, and none is made of less.
 */
#include <stdlib.h>
#include <string.h>

#include "escape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

struct shown {
    char *bytes;
    size_t size;
};

static struct shown show(struct ifab_view text)
{
    struct shown s = {NULL, 0};
    FILE *f = open_memstream(&s.bytes, &s.size);
    check(f != NULL);
    cli_put_text(f, text);
    check(fclose(f) == 0);
    return s;
}

/* What is shown would be shown as it is: nothing in it wants an escape. */
static void check_shown(struct ifab_view text, size_t width)
{
    struct shown once = show(text);
    struct shown twice = show(ifab_view_of(once.bytes, once.size));
    check(once.size == twice.size && memcmp(once.bytes, twice.bytes, once.size) == 0);
    for (size_t i = 0; i < once.size; i++)
        check((unsigned char)once.bytes[i] >= 0x20 && once.bytes[i] != 0x7f);
    check(cli_text_width(text) == cli_text_width(ifab_view_of(once.bytes, once.size)));
    struct ifab_view part = cli_text_fit(text, width);
    check(part.size <= text.size && cli_text_width(part) <= width && (part.size > 0 || text.size == 0 || width < 9));
    struct shown head = show(part), tail = show(ifab_view_of(text.data + part.size, text.size - part.size));
    check(head.size + tail.size == once.size && memcmp(head.bytes, once.bytes, head.size) == 0);
    free(once.bytes);
    free(twice.bytes);
    free(head.bytes);
    free(tail.bytes);
}

/* As the view reads: at most `step` bytes at a time, behind what a sequence has left. */
static size_t read_keys(const uint8_t *data, size_t size, size_t step, uint8_t *keys)
{
    uint8_t typed[64];
    size_t count = 0, kept = 0;
    for (size_t at = 0; at < size;) {
        size_t n = size - at < step ? size - at : step, used;
        n = n < sizeof typed - kept ? n : sizeof typed - kept;
        memcpy(typed + kept, data + at, n);
        kept += n;
        at += n;
        while (kept > 0) {
            enum watch_key key = watch_key_next(ifab_view_of(typed, kept), &used);
            check(used <= kept && (used > 0 || kept < WATCH_SEQUENCE_MAX));
            if (used == 0)
                break;
            check((key == WATCH_APPROVE) == (used == 1 && typed[0] == 'a') && (key == WATCH_REFUSE) == (used == 1 && typed[0] == 'r'));
            keys[count++] = (uint8_t)key;
            kept -= used;
            memmove(typed, typed + used, kept);
        }
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 65536)
        return 0;
    uint8_t *whole = malloc(size), *bytewise = malloc(size); /* a key takes at least a byte */
    check(whole != NULL && bytewise != NULL);
    check_shown(ifab_view_of(data + 1, size - 1), data[0]);
    size_t count = read_keys(data, size, 64, whole);
    check(count == read_keys(data, size, 1, bytewise) && memcmp(whole, bytewise, count) == 0);
    free(whole);
    free(bytewise);
    return 0;
}

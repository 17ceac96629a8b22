/* Any bytes: nothing of the guest SDK reads outside of them, checked or not; what is checked can be walked whole and written again. */
#include "host_platform.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ifg_view answer;

static void host(struct ifg_test_ask *ask)
{
    ask->answer = answer;
    ask->result = 0;
}

/* Every value within, by every reader; checked: each must be a value of its own. */
static void walk(struct ifg_view value, bool checked, unsigned depth, unsigned *budget)
{
    struct ifg_view name, inner, text;
    int64_t number;
    bool yes;
    if (depth > IFG_JSON_MAX_DEPTH && checked)
        abort();
    if (depth > 2 * IFG_JSON_MAX_DEPTH || *budget == 0)
        return;
    --*budget;
    bool string = ifg_json_string(value, &text);
    if (checked && string != (ifg_json_type(value) == IFG_JSON_STRING))
        abort();
    (void)ifg_json_i64(value, &number);
    (void)ifg_json_bool(value, &yes);
    (void)ifg_json_member(value, "operation");
    for (size_t at = 0; ifg_json_next(value, &at, &name, &inner);) {
        if (checked && (!ifg_json_check(inner) || (name.size > 0 && !ifg_json_check(name))))
            abort();
        walk(inner, checked, depth + 1, budget);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char *copy = malloc(size); /* ends where the input does: a byte more is seen */
    if (copy == NULL)
        abort();
    memcpy(copy, data, size);
    struct ifg_view bytes = {copy, size};
    struct ifg_buf decoded = {.limit = 0};
    struct ifg_writer out = {.depth = 0};
    bool checked = ifg_json_check(bytes);
    unsigned budget = 2000;
    walk(bytes, checked, 0, &budget);
    ifg_raw(&out, bytes);
    if (ifg_writer_done(&out) != checked)
        abort();
    (void)ifg_buf_base64_decode(&decoded, bytes);
    ifg_test_host = host;
    answer = bytes;
    static const char call[] = "{\"operation\":\"switch\",\"params\":{},\"context\":{}}";
    if (!ifg_json_check(ifg_test_run('a', copy, size)) || !ifg_json_check(ifg_test_run('p', copy, size)) ||
        !ifg_json_check(ifg_test_run('a', call, sizeof call - 1)))
        abort();
    ifg_test_reset();
    free(copy);
    return 0;
}

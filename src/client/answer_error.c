/* {"error":{…}} of an answer. What cannot be read stays zero: a caller then has only the HTTP status. */
#include "internal.h"

#include "base/code.h"

static void text_of(const struct ifab_json *object, const char *name, char *to, size_t size)
{
    struct ifab_view v;
    if (!ifab_json_string(ifab_json_get(object, name), &v))
        return;
    size_t n = v.size < size ? v.size : size - 1;
    while (n > 0 && n < v.size && (v.data[n] & 0xc0) == 0x80) /* not inside a character */
        n--;
    memcpy(to, v.data, n);
    to[n] = '\0';
}

static int code_of(const struct ifab_json *error)
{
    struct ifab_view v;
    int code = 0;
    if (!ifab_json_string(ifab_json_get(error, "code"), &v) || v.size != 10 || memcmp(v.data, "IF_ERR_", 7) != 0)
        return 0;
    for (size_t i = 7; i < 10; i++) {
        if (v.data[i] < '0' || v.data[i] > '9')
            return 0;
        code = code * 10 + (v.data[i] - '0');
    }
    return code;
}

void ifab_answer_error_read(const struct ifab_response *response, struct ifab_answer_error *ret_error)
{
    memset(ret_error, 0, sizeof *ret_error);
    ret_error->offset = ret_error->retry_after_ms = -1;
    ret_error->exit_code = 20;
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    ifab_arena_init(&arena, 8 << 20);
    const struct ifab_json *tree;
    if (ifab_json_read(response->body, NULL, &arena, &tree, NULL) != IFAB_OK)
        return;
    const struct ifab_json *error = ifab_json_get(tree, "error");
    if (error == NULL || error->type != IFAB_JSON_OBJECT)
        return;
    int64_t n;
    ret_error->code = code_of(error);
    text_of(error, "name", ret_error->name, sizeof ret_error->name);
    text_of(error, "message", ret_error->message, sizeof ret_error->message);
    text_of(error, "field", ret_error->field, sizeof ret_error->field);
    text_of(error, "hint", ret_error->hint, sizeof ret_error->hint);
    if (ifab_json_integer(ifab_json_get(error, "offset"), &n) && n >= 0)
        ret_error->offset = n;
    if (ifab_json_integer(ifab_json_get(error, "retry_after_ms"), &n) && n >= 0)
        ret_error->retry_after_ms = n;
    else
        ret_error->retry_after_ms = response->retry_after_ms;
    if (ifab_json_integer(ifab_json_get(error, "last_seq"), &n) && n >= 0) {
        ret_error->has_last_seq = true;
        ret_error->last_seq = (uint64_t)n;
    }
    const struct ifab_json *retryable = ifab_json_get(error, "retryable");
    const struct ifab_code_info *info = ifab_code_info((enum ifab_code)ret_error->code);
    ret_error->retryable = retryable != NULL ? retryable->type == IFAB_JSON_TRUE : info != NULL && info->retryable;
    if (info != NULL)
        ret_error->exit_code = info->exit;
}

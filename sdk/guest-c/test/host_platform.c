#include "host_platform.h"

#include <stdlib.h>
#include <string.h>

struct block {
    struct block *next;
    void *memory;
};
static struct block *blocks;
ifg_test_host_fn *ifg_test_host;

_Noreturn void ifg_platform_trap(void) { abort(); }

void *ifg_alloc(size_t size)
{
    struct block *block = malloc(sizeof *block);
    void *memory = malloc(size == 0 ? 1 : size);
    if (block == NULL || memory == NULL)
        abort();
    *block = (struct block){blocks, memory};
    blocks = block;
    return memory;
}

void ifg_free(void *memory)
{
    if (memory == NULL)
        return;
    for (struct block **at = &blocks; *at != NULL; at = &(*at)->next) {
        struct block *block = *at;
        if (block->memory == memory) {
            *at = block->next;
            free(memory);
            free(block);
            return;
        }
    }
    ifg_platform_trap();
}

void ifg_test_reset(void)
{
    while (blocks != NULL)
        ifg_free(blocks->memory);
}

struct ifg_view ifg_test_run(char mode, const char *input, size_t size)
{
    char *copy = ifg_alloc(size);
    if (size > 0)
        memcpy(copy, input, size);
    struct ifg_view output = ifg__run(mode, (struct ifg_view){copy, size});
    char *text = ifg_alloc(output.size + 1);
    memcpy(text, output.data, output.size);
    text[output.size] = '\0';
    return (struct ifg_view){text, output.size};
}

/* A packed answer is a number of this table: pointers of this machine do not fit into 32 bits. */
#define ANSWERS 64
static struct ifg_view answers[ANSWERS];
static unsigned answer_count;

struct ifg_view ifg_platform_unpack(int64_t packed) { return answers[packed % ANSWERS]; }

static int64_t ask(struct ifg_test_ask call)
{
    call.result = IFG_REFUSED;
    if (ifg_test_host != NULL)
        ifg_test_host(&call);
    if (call.result != 0)
        return call.result;
    char *copy = ifg_alloc(call.answer.size);
    if (call.answer.size > 0)
        memcpy(copy, call.answer.data, call.answer.size);
    unsigned at = answer_count++ % ANSWERS;
    answers[at] = (struct ifg_view){copy, call.answer.size};
    return at;
}

void ifg_host_log(uint32_t level, const char *text, uint32_t length)
{
    (void)ask((struct ifg_test_ask){.import = "log", .number = level, .a = {text, length}});
}
int64_t ifg_host_http(const char *request, uint32_t length) { return ask((struct ifg_test_ask){.import = "http", .a = {request, length}}); }
int64_t ifg_host_secret_ref(const char *name, uint32_t length) { return ask((struct ifg_test_ask){.import = "secret_ref", .a = {name, length}}); }
int64_t ifg_host_kv_get(const char *key, uint32_t length) { return ask((struct ifg_test_ask){.import = "kv_get", .a = {key, length}}); }
int32_t ifg_host_kv_put(const char *key, uint32_t key_length, const char *value, uint32_t value_length)
{
    int64_t answer = ask((struct ifg_test_ask){.import = "kv_put", .a = {key, key_length}, .b = {value, value_length}});
    return answer < 0 ? (int32_t)answer : 0;
}
int64_t ifg_host_now(void) { return ask((struct ifg_test_ask){.import = "now"}); } /* a test answers with a number above 0 */
int32_t ifg_host_random(void *to, uint32_t length)
{
    int64_t answer = ask((struct ifg_test_ask){.import = "random", .number = length});
    if (answer < 0)
        return (int32_t)answer;
    memset(to, 7, length);
    return 0;
}

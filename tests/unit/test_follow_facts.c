/* What index.db keeps of an entry: found by a walk over canonical bytes, as the strict reader would find it, and never outside of them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../src/shell/loop/follow.h"
#include "support.h"

#define MESSAGE(receiver, subject, trace)                                                                                                   \
    "{\"actor\":\"if://agent/A\",\"component\":\"guard\",\"index\":7,\"log\":\"main\",\"operation\":\"share\",\"payload\":{\"a\":[{\"trace\":1}," \
    "\"}\"],\"header\":{\"content\":\"\\\\\\\"receiver\\\"\",\"receiver\":" receiver                                                          \
    ",\"z\":{}}},\"prev_hash\":\"00\",\"severity\":\"info\",\"subject\":" subject                                                               \
    ",\"time\":\"t\",\"trace\":" trace ",\"type\":\"message\",\"v\":1,\"why\":\"w\"}"
#define ID   "\"msg-01930000-0000-7000-8000-000000000001\""
#define UUID "\"01930000-0000-7000-8000-000000000002\""

static const char *const kinds[] = {"", "trace", "component", "type", "receiver", "subject"};

/* "kind=key " for each, binary keys as hex; the entry lies at the end of its own piece of memory, so that a sanitizer sees a read behind it. */
static void facts(const char *text, size_t size, char *ret, size_t room)
{
    struct ifab_arena arena;
    struct ifab_index_item items[FACTS_MOST];
    uint8_t *copy = ifab_malloc(size == 0 ? 1 : size);
    assert_non_null(copy);
    memcpy(copy, text, size);
    ifab_arena_init(&arena, 1 << 20);
    struct ifab_stored_entry entry = {.index = 7, .entry = ifab_view_of(copy, size)};
    struct facts_out out = {.arena = &arena, .items = items};
    entry_facts(&entry, &out);
    size_t at = 0;
    ret[0] = '\0';
    for (size_t i = 0; i < out.count; i++) {
        bool binary = items[i].kind == IFAB_INDEX_TRACE || items[i].kind == IFAB_INDEX_SUBJECT;
        assert_int_equal(items[i].index, 7);
        at += (size_t)snprintf(ret + at, room - at, "%s=%.*s ", kinds[items[i].kind], binary ? 0 : (int)items[i].key.size,
                               (const char *)items[i].key.data);
        if (binary)
            at += (size_t)snprintf(ret + at - 1, room - at, "%02x ", items[i].key.data[15]) - 1;
    }
    ifab_arena_fini(&arena);
    ifab_free(copy);
}

static void finds_them_in_an_entry(void **state)
{
    static const struct {
        const char *entry, *want;
    } cases[] = {
        {MESSAGE("[\"if://agent/B/i1\",\"if://swarm/x\",\"if://agent/C\"]", ID, UUID),
         "trace=02 component=guard type=message subject=01 receiver=B receiver=C "},
        {MESSAGE("[]", "null", "null"), "component=guard type=message "},
        {MESSAGE("\"if://agent/B\"", "\"B\"", UUID), "trace=02 component=guard type=message "},
        /* escapes: the strict reader */
        {MESSAGE("[\"if://agent/B\",\"if://agent/\\u0042C\"]", ID, "null"), "component=guard type=message subject=01 receiver=B receiver=BC "},
        {MESSAGE("[\"if://agent/B\"]", "\"a\\\\\"", UUID), "trace=02 component=guard type=message receiver=B "},
        {"{\"component\":\"guard\",\"operation\":\"released\",\"payload\":{\"receiver\":[\"if://agent/D\"]},\"subject\":" ID
         ",\"trace\":null,\"type\":\"decision\"}",
         "component=guard type=decision subject=01 receiver=D "},
        /* not in canonical order, or without all of them: the strict reader again */
        {"{\"type\":\"decision\",\"operation\":\"released\",\"payload\":{\"receiver\":[\"if://agent/D\"]}}", "type=decision receiver=D "},
        {"{\"component\":\"guard\",\"operation\":\"deny\",\"payload\":{\"header\":{\"receiver\":[\"if://agent/B\"]}},\"subject\":\"\",\"trace\":null,"
         "\"type\":\"message\"}",
         "component=guard type=message "},
        {"[]", ""},
        {"", ""},
    };
    char got[4096];
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        facts(cases[i].entry, strlen(cases[i].entry), got, sizeof got);
        assert_string_equal(got, cases[i].want);
    }
}

/* Cut and changed everywhere: no read behind the end, no more items than there is room for. */
static void takes_any_bytes(void **state)
{
    static const char entry[] = MESSAGE("[\"if://agent/B\",\"if://agent/C\"]", ID, UUID), noise[] = "\"\\{}[],:0";
    char got[16384], text[sizeof entry];
    (void)state;
    for (size_t cut = 0; cut < sizeof entry; cut++)
        facts(entry, cut, got, sizeof got);
    for (size_t at = 0; at < sizeof entry - 1; at++)
        for (size_t n = 0; n < sizeof noise - 1; n++) {
            memcpy(text, entry, sizeof entry);
            text[at] = noise[n];
            facts(text, sizeof entry - 1, got, sizeof got);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(finds_them_in_an_entry), cmocka_unit_test(takes_any_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

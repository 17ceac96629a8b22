/* The log's key in the step: an admin's act, a handover of the tree as it is, a record under the trust root (INV-16), no key twice. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "json/json.h"
#include "rig.h"
#include "witness/witness.h"

#define KEYS 4
static struct rig rig;
static struct ifab_signer *keys[KEYS];

static int setup(void **state)
{
    struct ifab_fabric_settings settings;
    (void)state;
    rig_settings(&settings);
    rig_new(&rig, &settings);
    rig_add(&rig, "A", "alice", IFAB_ROLE_AGENT, 10, IFAB_ORDER_STRICT);    /* 2 */
    rig_add(&rig, "Op", "olga", IFAB_ROLE_OPERATOR, 11, IFAB_ORDER_STRICT); /* 3 */
    for (uint8_t i = 0; i < KEYS; i++)
        keys[i] = make_signer((uint8_t)(200 + i));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < KEYS; i++)
        ifab_signer_free(keys[i]);
    rig_free(&rig);
    return 0;
}

/* As the daemon hands it in; act of talent, 0: none. */
static enum ifab_code change(const struct ifab_signer *from, const struct ifab_signer *to, uint32_t talent)
{
    struct ifab_command command = {.type = IFAB_COMMAND_LOG_KEY, .principal = &rig.principal, .why = IFAB_VIEW("because")};
    command.u.log_key.from = from;
    command.u.log_key.to = to;
    command.u.log_key.request = IFAB_VIEW("{\"to\":\"x\"}");
    if (talent != 0) {
        command.act = rig_act(&rig, talent);
        rig.act.text = IFAB_VIEW("{\"why\":\"because\"}");
    }
    return rig_do(&rig, &command)->code;
}

static struct ifab_rotation last_note(struct ifab_arena *arena)
{
    const struct ifab_json *tree;
    struct ifab_view note;
    struct ifab_rotation read;
    const struct rig_entry *entry = &rig.entries[rig.entry_count - 1];
    assert_int_equal(ifab_json_read(ifab_view_of(entry->bytes, entry->size), NULL, arena, &tree, NULL), IFAB_OK);
    assert_true(ifab_json_string(ifab_json_get(ifab_json_get(tree, "payload"), "note"), &note));
    assert_int_equal(ifab_rotation_verify(note, &read, NULL), IFAB_OK);
    assert_non_null(ifab_json_get(ifab_json_get(tree, "payload"), "act"));
    assert_non_null(ifab_json_get(ifab_json_get(tree, "payload"), "request"));
    return read;
}

static void an_admin_hands_over_the_tree_as_it_is(void **state)
{
    struct ifab_arena arena;
    struct ifab_fabric_head head;
    uint8_t to32[32];
    size_t count;
    (void)state;
    ifab_arena_init(&arena, (size_t)1 << 20);
    for (size_t i = 0; i + 1 < KEYS; i++) {
        ifab_fabric_head(rig.fabric, &head);
        assert_int_equal(change(keys[i], keys[i + 1], 1), IFAB_CODE_NONE);
        struct ifab_rotation read = last_note(&arena);
        ifab_signer_public(keys[i + 1], to32);
        assert_true(read.size == head.size && ifab_view_is(read.origin, RIG_ORIGIN));
        assert_memory_equal(read.root32, head.root32, 32);
        assert_memory_equal(read.to32, to32, 32);
        const struct ifab_log_key_change *changes = ifab_fabric_log_keys(rig.fabric, &count);
        assert_int_equal(count, i + 1);
        assert_true(changes[i].index == head.size);
        rig_restart(&rig); /* a start takes it in again */
    }
    ifab_arena_fini(&arena);
}

static void nobody_else_may(void **state)
{
    size_t count;
    (void)state;
    assert_int_equal(change(keys[0], keys[1], 0), IFAB_CODE_PERMISSION_DENIED); /* the socket's uid is an operator */
    assert_int_equal(change(keys[0], keys[1], 2), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(change(keys[0], keys[1], 3), IFAB_CODE_PERMISSION_DENIED);
    (void)ifab_fabric_log_keys(rig.fabric, &count);
    assert_int_equal(count, 0);
}

static void refuses_what_is_no_new_key(void **state)
{
    (void)state;
    assert_int_equal(change(NULL, NULL, 1), IFAB_CODE_CONFLICT); /* not the one that waits */
    assert_int_equal(change(keys[0], keys[0], 1), IFAB_CODE_CONFLICT);
    assert_int_equal(change(keys[0], keys[1], 1), IFAB_CODE_NONE);
    assert_int_equal(change(keys[1], keys[0], 1), IFAB_CODE_CONFLICT); /* used before */
    assert_int_equal(change(keys[1], keys[1], 1), IFAB_CODE_CONFLICT);
    assert_int_equal(change(keys[2], keys[3], 1), IFAB_CODE_SYSTEM_ERROR); /* handed over by a key that is not the log's */
}

static void an_act_whose_words_cannot_stand_in_the_log_is_refused(void **state)
{
    struct ifab_command command = {.type = IFAB_COMMAND_LOG_KEY, .principal = &rig.principal};
    (void)state;
    command.u.log_key.from = keys[0];
    command.u.log_key.to = keys[1];
    command.act = rig_act(&rig, 1);
    assert_int_equal(rig_do(&rig, &command)->code, IFAB_CODE_INVALID_PARAMS);
}

/* INV-16: left out, changed or added by hand, it is not what the head covers. */
static void edited_records_are_found_at_a_start(void **state)
{
    struct ifab_fabric *fabric = NULL;
    (void)state;
    assert_int_equal(change(keys[0], keys[1], 1), IFAB_CODE_NONE);
    assert_int_equal(change(keys[1], keys[2], 1), IFAB_CODE_NONE);
    struct rig_record *second = rig_record(&rig, IFAB_KIND_LOG_KEY, 2);
    uint8_t *kept = second->bytes;
    second->bytes = NULL;
    assert_int_equal(rig_load_from(&rig, &rig.settings, &fabric), IFAB_CORRUPT);
    second->bytes = kept;
    struct ifab_buf other = IFAB_BUF_INIT(8192), note = IFAB_BUF_INIT(8192); /* well formed, of another key */
    uint8_t root32[32] = {1};
    size_t count;
    const struct ifab_log_key_change *changes = ifab_fabric_log_keys(rig.fabric, &count);
    assert_int_equal(ifab_rotation_write(IFAB_VIEW(RIG_ORIGIN), changes[1].index, root32, keys[1], keys[3], &note), IFAB_OK);
    ifab_buf_str(&other, "{\"note\":");
    ifab_json_put_string(&other, ifab_buf_as_view(&note));
    ifab_buf_char(&other, '}');
    size_t size = second->size;
    second->bytes = other.data;
    second->size = other.size;
    assert_int_equal(rig_load_from(&rig, &rig.settings, &fabric), IFAB_CORRUPT);
    second->bytes = kept;
    second->size = size;
    assert_int_equal(rig_load_from(&rig, &rig.settings, &fabric), IFAB_OK);
    ifab_fabric_free(fabric);
    ifab_buf_fini(&other);
    ifab_buf_fini(&note);
}

static void records_out_of_order_or_not_one_behind_the_other_do_not_load(void **state)
{
    const struct {
        uint64_t number, size;
        size_t from, to;
        ifab_status status;
    } rows[] = {
        {2, 9, 1, 2, IFAB_CORRUPT}, /* a first one is missing */
        {1, 9, 0, 1, IFAB_OK},
        {2, 9, 1, 2, IFAB_CORRUPT},  /* at the same place */
        {2, 20, 2, 3, IFAB_CORRUPT}, /* not from the key in force */
        {3, 20, 1, 2, IFAB_CORRUPT},
        {2, 20, 1, 2, IFAB_OK},
    };
    struct ifab_fabric *fabric;
    uint8_t root32[32] = {1};
    (void)state;
    assert_int_equal(ifab_fabric_new(&rig.settings, &fabric, NULL), IFAB_OK);
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        struct ifab_buf record = IFAB_BUF_INIT(8192), note = IFAB_BUF_INIT(8192);
        assert_int_equal(ifab_rotation_write(IFAB_VIEW(RIG_ORIGIN), rows[i].size, root32, keys[rows[i].from], keys[rows[i].to], &note), IFAB_OK);
        ifab_buf_str(&record, "{\"note\":");
        ifab_json_put_string(&record, ifab_buf_as_view(&note));
        ifab_buf_char(&record, '}');
        if (ifab_fabric_load_record(fabric, IFAB_KIND_LOG_KEY, rows[i].number, ifab_buf_as_view(&record), NULL) != rows[i].status)
            fail_msg("row %zu", i);
        ifab_buf_fini(&record);
        ifab_buf_fini(&note);
    }
    ifab_fabric_free(fabric);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_admin_hands_over_the_tree_as_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_else_may, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_what_is_no_new_key, setup, teardown),
        cmocka_unit_test_setup_teardown(an_act_whose_words_cannot_stand_in_the_log_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(edited_records_are_found_at_a_start, setup, teardown),
        cmocka_unit_test_setup_teardown(records_out_of_order_or_not_one_behind_the_other_do_not_load, setup, teardown),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

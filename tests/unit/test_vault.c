/* Vault back-ends against their suite; allocations that fail; threads. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../conformance/conformance_vault.c"

#include <pthread.h>

static struct vault_kind memory = {.name = "memory"};
static struct vault_kind file = {.name = "file", .file = true};
static struct vault_kind sealed = {.name = "file under a passphrase", .file = true, .passphrase = true};

static void memory_conforms(void **state)
{
    (void)state;
    run_suite(&memory);
}

static void file_conforms(void **state)
{
    (void)state;
    run_suite(&file);
}

static void file_under_a_passphrase_conforms(void **state)
{
    (void)state;
    run_suite(&sealed);
}

/* Each allocation fails once: nothing changes, nothing leaks, and then it works. INV-15. */
static void changes_nothing_without_memory(void **state)
{
    struct vault_kind *kinds[] = {&memory, &file};
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(kinds); i++) {
        kind_begin(kinds[i]);
        struct ifab_vault *vault = opened(kinds[i], &nothing_yet);
        commit(vault, put(vault, "one", 1, API, "first-secret"));
        struct ifab_vault_change change = change_of("one", 2, API, "later-secret");
        struct ifab_vault_mark mark = {0};
        for (uint64_t n = 1;; n++) {
            ifab_mem_fail_at(n);
            ifab_status status = ifab_vault_stage(vault, &change, &mark, NULL);
            bool failed = ifab_mem_failed();
            ifab_mem_fail_at(0);
            if (!failed) {
                assert_int_equal(status, IFAB_OK);
                break;
            }
            if (status == IFAB_OK) { /* it was not needed */
                ifab_vault_back(vault, 1);
                continue;
            }
            assert_int_equal(status, IFAB_NOMEM);
            assert_string_equal(got(vault, "one", API), "first-secret");
        }
        assert_int_equal(mark.counter, 2);
        commit(vault, mark);
        assert_string_equal(got(vault, "one", API), "later-secret");
        ifab_vault_close(vault);
        kind_end(kinds[i]);
    }
}

struct race {
    struct ifab_vault *vault;
    _Atomic bool stop;
    _Atomic unsigned used;
};

static ifab_status check_value(void *user, struct ifab_view value)
{
    struct race *race = user;
    size_t at = 0, size = 0;
    if (value.size < 10 || memcmp(value.data, "secret-", 7) != 0)
        return IFAB_CORRUPT;
    for (size_t i = 8; i < value.size; i++) /* one value, never two halves */
        if (value.data[i] != value.data[7])
            return IFAB_CORRUPT;
    return ifab_vault_search(race->vault, value, 0, &at, &size) ? IFAB_OK : IFAB_CORRUPT; /* as a log line of a caller does */
}

static void *run_user(void *user)
{
    struct race *race = user;
    struct ifab_vault_handle handle;
    while (!race->stop) {
        if (ifab_vault_find(race->vault, IFAB_VIEW("one"), &handle) != IFAB_OK)
            continue;
        ifab_status status = ifab_vault_use(race->vault, handle, API, check_value, race, NULL);
        if (status == IFAB_CORRUPT)
            return race;
        race->used += status == IFAB_OK;
    }
    return NULL;
}

static void lends_whole_values_while_they_change(void **state)
{
    (void)state;
    kind_begin(&file);
    struct race race = {.vault = opened(&file, &nothing_yet)};
    pthread_t threads[3];
    commit(race.vault, put(race.vault, "one", 1, API, "secret-aaaaaaaaaaaa"));
    for (size_t i = 0; i < IFAB_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_user, &race), 0);
    for (uint32_t i = 2; i < 60 || race.used == 0; i++) {
        char value[32] = "secret-";
        memset(value + 7, 'a' + (int)(i % 26), 3 + i % 20);
        commit(race.vault, put(race.vault, "one", i, API, value));
    }
    race.stop = true;
    for (size_t i = 0; i < IFAB_COUNT(threads); i++) {
        void *said = NULL;
        assert_int_equal(pthread_join(threads[i], &said), 0);
        assert_null(said);
    }
    ifab_vault_close(race.vault);
    kind_end(&file);
}

static int start(void **state)
{
    (void)state;
    return ifab_crypto_init(NULL) == IFAB_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_conforms),
        cmocka_unit_test(file_conforms),
        cmocka_unit_test(file_under_a_passphrase_conforms),
        cmocka_unit_test(changes_nothing_without_memory),
        cmocka_unit_test(lends_whole_values_while_they_change),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}

/* One suite over every vault back-end. Included by its test program. */
#include "vault_support.h"

static void keeps_what_is_settled(struct vault_kind *k)
{
    struct ifab_vault *vault = opened(k, &nothing_yet);
    assert_string_equal(got(vault, "one", API), "-");
    struct ifab_vault_mark mark = put(vault, "one", 1, API, "first-secret");
    assert_int_equal(mark.counter, 1);
    assert_string_equal(got(vault, "one", API), "-"); /* INV-04: staged is not in force */
    assert_int_equal(ifab_vault_publish(vault, 1, NULL), IFAB_OK);
    assert_string_equal(got(vault, "one", API), "-"); /* nor is what is published */
    assert_int_equal(ifab_vault_settle(vault, 1, NULL), IFAB_OK);
    assert_string_equal(got(vault, "one", API), "first-secret");
    mark = put(vault, "two", 1, OTHER, "second-secret");
    assert_int_equal(mark.counter, 2);
    commit(vault, mark);
    ifab_vault_close(vault);
    vault = opened(k, &mark);
    struct ifab_vault_about about;
    assert_true(ifab_vault_at(vault, 0, &about) && ifab_view_is(about.name, "one") && about.version == 1 && about.counter == 1 && about.origin_count == 1 &&
                ifab_view_equal(about.origins[0], API));
    assert_true(ifab_vault_at(vault, 1, &about) && ifab_view_is(about.name, "two") && about.counter == 2);
    assert_false(ifab_vault_at(vault, 2, &about));
    assert_string_equal(got(vault, "one", API), "first-secret");
    assert_string_equal(got(vault, "two", OTHER), "second-secret");
    ifab_vault_close(vault);
}

/* INV-09: bytes come out toward the origins of the record alone. */
static void gives_nothing_to_another_origin(struct vault_kind *k)
{
    static const char *const others[] = {"https://other.example.com", "https://api.example.com:8443", "http://api.example.com", "https://api.example.com/",
                                         "https://api.example.co",    "https://API.example.com",      "",                       "https://api.example.comm"};
    struct ifab_vault *vault = opened(k, &nothing_yet);
    commit(vault, put(vault, "one", 1, API, "first-secret"));
    for (size_t i = 0; i < IFAB_COUNT(others); i++)
        assert_string_equal(got(vault, "one", ifab_view_str(others[i])), "!");
    assert_string_equal(got(vault, "one", API), "first-secret");
    ifab_vault_close(vault);
}

static void ends_a_handle_with_its_version(struct vault_kind *k)
{
    char text[200] = "";
    struct ifab_vault_handle old, new, none = {0};
    struct ifab_vault *vault = opened(k, &nothing_yet);
    commit(vault, put(vault, "one", 1, API, "first-secret"));
    assert_int_equal(ifab_vault_find(vault, IFAB_VIEW("one"), &old), IFAB_OK);
    commit(vault, put(vault, "one", 2, API, "later-secret"));
    assert_int_equal(ifab_vault_use(vault, old, API, take_value, text, NULL), IFAB_NOT_FOUND);
    assert_int_equal(ifab_vault_use(vault, none, API, take_value, text, NULL), IFAB_NOT_FOUND);
    assert_string_equal(text, "");
    assert_string_equal(got(vault, "one", API), "later-secret");
    assert_int_equal(ifab_vault_find(vault, IFAB_VIEW("one"), &new), IFAB_OK);
    struct ifab_vault_mark mark = put(vault, "one", 0, API, "");
    assert_int_equal(mark.counter, 3);
    assert_string_equal(got(vault, "one", API), "later-secret"); /* until the log says so */
    commit(vault, mark);
    assert_int_equal(ifab_vault_use(vault, new, API, take_value, text, NULL), IFAB_NOT_FOUND);
    assert_string_equal(got(vault, "one", API), "-");
    ifab_vault_close(vault);
    vault = opened(k, &mark);
    assert_string_equal(got(vault, "one", API), "-");
    commit(vault, put(vault, "one", 3, OTHER, "third-secret"));
    assert_string_equal(got(vault, "one", API), "!"); /* its origins are new ones */
    assert_string_equal(got(vault, "one", OTHER), "third-secret");
    ifab_vault_close(vault);
}

/* A batch holds several changes, one more may be stepped ahead: the last of each is written down. */
static void stages_changes_on_one_another(struct vault_kind *k)
{
    struct ifab_vault *vault = opened(k, &nothing_yet);
    put(vault, "one", 1, API, "first-secret");
    put(vault, "one", 2, API, "later-secret");
    struct ifab_vault_mark third = put(vault, "two", 1, API, "second-secret"), fourth = put(vault, "one", 0, API, "");
    assert_int_equal(fourth.counter, 4);
    commit(vault, third);
    assert_string_equal(got(vault, "one", API), "later-secret");
    assert_string_equal(got(vault, "two", API), "second-secret");
    commit(vault, fourth);
    assert_string_equal(got(vault, "one", API), "-");
    ifab_vault_close(vault);
    vault = opened(k, &fourth);
    assert_string_equal(got(vault, "one", API), "-");
    assert_string_equal(got(vault, "two", API), "second-secret");
    ifab_vault_close(vault);
}

static void forgets_what_was_never_committed(struct vault_kind *k)
{
    struct ifab_vault *vault = opened(k, &nothing_yet);
    struct ifab_vault_mark one = put(vault, "one", 1, API, "first-secret");
    commit(vault, one);
    struct ifab_vault_mark lost = put(vault, "one", 2, API, "lost-secret");
    put(vault, "two", 1, API, "lost-as-well");
    assert_int_equal(ifab_vault_publish(vault, 3, NULL), IFAB_OK); /* then the log could not be written */
    ifab_vault_back(vault, one.counter);
    assert_string_equal(got(vault, "one", API), "first-secret");
    assert_string_equal(got(vault, "two", API), "-");
    struct ifab_vault_mark again = put(vault, "one", 2, API, "found-secret");
    assert_int_equal(again.counter, lost.counter);
    assert_memory_not_equal(again.digest32, lost.digest32, 32);
    commit(vault, again);
    ifab_vault_close(vault);
    vault = opened(k, &again);
    assert_string_equal(got(vault, "one", API), "found-secret");
    assert_string_equal(got(vault, "two", API), "-");
    ifab_vault_close(vault);
}

/* INV-04: the process ends at any point; what the log says decides. */
static void is_what_the_log_says_after_a_crash_anywhere(struct vault_kind *k)
{
    struct ifab_vault *vault = opened(k, &nothing_yet);
    struct ifab_vault_mark one = put(vault, "one", 1, API, "first-secret");
    ifab_vault_close(vault); /* staged */
    vault = opened(k, &nothing_yet);
    assert_string_equal(got(vault, "one", API), "-");
    one = put(vault, "one", 1, API, "first-secret");
    assert_int_equal(ifab_vault_publish(vault, one.counter, NULL), IFAB_OK);
    ifab_vault_close(vault); /* published, not in the log: gone */
    vault = opened(k, &nothing_yet);
    assert_string_equal(got(vault, "one", API), "-");
    one = put(vault, "one", 1, API, "first-secret");
    assert_int_equal(ifab_vault_publish(vault, one.counter, NULL), IFAB_OK);
    ifab_vault_close(vault); /* in the log, not settled: there */
    vault = opened(k, &one);
    assert_string_equal(got(vault, "one", API), "first-secret");
    struct ifab_vault_mark two = put(vault, "one", 2, API, "later-secret");
    assert_int_equal(ifab_vault_publish(vault, two.counter, NULL), IFAB_OK);
    ifab_vault_close(vault);
    vault = opened(k, &one); /* not in the log */
    assert_string_equal(got(vault, "one", API), "first-secret");
    two = put(vault, "one", 2, API, "later-secret");
    assert_int_equal(ifab_vault_publish(vault, two.counter, NULL), IFAB_OK);
    ifab_vault_close(vault);
    vault = opened(k, &two); /* in it */
    assert_string_equal(got(vault, "one", API), "later-secret");
    ifab_vault_close(vault);
}

static void says_when_it_is_not_the_vault_of_the_log(struct vault_kind *k)
{
    struct ifab_error err = {0};
    struct ifab_vault *vault, *none;
    struct ifab_vault_mark ahead = {.counter = 9};
    ifab_status status = try_open(k, &ahead, &none, &err);
    assert_int_equal(status, IFAB_NOT_FOUND); /* it is missing */
    vault = opened(k, &nothing_yet);
    struct ifab_vault_mark one = put(vault, "one", 1, API, "first-secret");
    commit(vault, one);
    struct ifab_vault_mark two = put(vault, "one", 2, API, "later-secret");
    ifab_vault_back(vault, one.counter);
    ifab_vault_close(vault);
    err = (struct ifab_error){0};
    assert_int_equal(try_open(k, &two, &none, &err), IFAB_CORRUPT); /* an older one than the log knows of */
    assert_non_null(strstr(err.text, "older"));
    struct ifab_vault_mark other = one;
    other.digest32[31] ^= 1;
    err = (struct ifab_error){0};
    assert_int_equal(try_open(k, &other, &none, &err), IFAB_CORRUPT);
    assert_non_null(strstr(err.text, "log covers"));
    vault = opened(k, &one); /* nothing was taken away by those who were refused */
    commit(vault, put(vault, "one", 2, API, "later-secret"));
    ifab_vault_close(vault);
    err = (struct ifab_error){0};
    assert_int_equal(try_open(k, &one, &none, &err), IFAB_CORRUPT); /* a later one */
    assert_null(none);
}

static void refuses_what_is_out_of_bounds(struct vault_kind *k)
{
    static char large[IFAB_VAULT_VALUE_MAX + 2];
    struct ifab_vault_mark mark;
    struct ifab_vault *vault = opened(k, &nothing_yet);
    struct ifab_vault_change change = change_of("one", 1, API, "1234567");
    assert_int_equal(ifab_vault_stage(vault, &change, &mark, NULL), IFAB_INVALID); /* too short to be found again */
    memset(large, 'x', sizeof large - 1);
    change.value = ifab_view_str(large);
    assert_int_equal(ifab_vault_stage(vault, &change, &mark, NULL), IFAB_INVALID);
    change.value.size--;
    assert_int_equal(ifab_vault_stage(vault, &change, &mark, NULL), IFAB_OK);
    commit(vault, mark);
    change = change_of("", 1, API, "12345678");
    assert_int_equal(ifab_vault_stage(vault, &change, &mark, NULL), IFAB_INVALID);
    change.about.name = ifab_view_of(large, IFAB_VAULT_NAME_MAX + 1);
    assert_int_equal(ifab_vault_stage(vault, &change, &mark, NULL), IFAB_INVALID);
    change.about.name = ifab_view_of(large, IFAB_VAULT_NAME_MAX);
    change.about.version = 0;
    assert_int_equal(ifab_vault_stage(vault, &change, &mark, NULL), IFAB_INVALID);
    change.about.version = 1;
    change.about.origin_count = 0;
    assert_int_equal(ifab_vault_stage(vault, &change, &mark, NULL), IFAB_INVALID);
    change.about.origin_count = IFAB_VAULT_ORIGINS;
    for (size_t i = 0; i < IFAB_VAULT_ORIGINS; i++)
        change.about.origins[i] = ifab_view_of(large, IFAB_VAULT_ORIGIN_MAX);
    assert_int_equal(ifab_vault_stage(vault, &change, &mark, NULL), IFAB_OK);
    commit(vault, mark);
    const struct ifab_vault_mark kept = mark;
    change.about.origins[7].size++;
    assert_int_equal(ifab_vault_stage(vault, &change, &mark, NULL), IFAB_INVALID);
    change = change_of("nobody", 1, API, "");
    assert_int_equal(ifab_vault_stage(vault, &change, &mark, NULL), IFAB_NOT_FOUND);
    assert_int_equal(ifab_vault_publish(vault, 77, NULL), IFAB_INVALID);
    ifab_vault_close(vault);
    vault = opened(k, &kept);
    ifab_vault_close(vault);
}

static void stages_no_more_than_it_says(struct vault_kind *k)
{
    struct ifab_vault *vault = opened(k, &nothing_yet);
    struct ifab_vault_mark mark = {0};
    for (uint32_t i = 1; i <= IFAB_VAULT_STAGED_MAX; i++)
        mark = put(vault, "one", i, API, "some-secret");
    struct ifab_vault_mark last = mark;
    struct ifab_vault_change change = change_of("one", 100, API, "some-secret");
    assert_int_equal(ifab_vault_stage(vault, &change, &mark, NULL), IFAB_AGAIN);
    commit(vault, last);
    assert_int_equal(ifab_vault_stage(vault, &change, &mark, NULL), IFAB_OK);
    assert_int_equal(mark.counter, IFAB_VAULT_STAGED_MAX + 1);
    ifab_vault_close(vault);
}

struct heard {
    char text[600];
};

static bool hear(void *user, struct ifab_view value)
{
    struct heard *heard = user;
    size_t used = strlen(heard->text);
    (void)snprintf(heard->text + used, sizeof heard->text - used, IFAB_FMT ";", IFAB_ARG(value));
    return false;
}

static void names_all_that_must_not_be_seen(struct vault_kind *k)
{
    struct ifab_vault *vault = opened(k, &nothing_yet);
    struct heard heard = {""};
    size_t at = 0, size = 0;
    struct ifab_view text = IFAB_VIEW("a first-secret and a first-secret-too; first-secre");
    assert_false(ifab_vault_search(vault, text, 0, &at, &size));
    commit(vault, put(vault, "one", 1, API, "first-secret"));
    put(vault, "two", 1, API, "first-secret-too"); /* staged: somebody knows it already */
    ifab_vault_live(vault, hear, &heard);
    assert_string_equal(heard.text, "first-secret;first-secret-too;");
    assert_true(ifab_vault_search(vault, text, 0, &at, &size));
    assert_int_equal(at, 2);
    assert_int_equal(size, 12);
    assert_true(ifab_vault_search(vault, text, 3, &at, &size)); /* the longest there */
    assert_int_equal(at, 21);
    assert_int_equal(size, 16);
    assert_false(ifab_vault_search(vault, text, 22, &at, &size)); /* one that is cut is none */
    ifab_vault_back(vault, 1);
    assert_true(ifab_vault_search(vault, text, 3, &at, &size));
    assert_int_equal(size, 12);
    commit(vault, put(vault, "one", 2, API, "later-secret"));
    heard.text[0] = '\0';
    ifab_vault_live(vault, hear, &heard); /* the one before may still be on its way */
    assert_string_equal(heard.text, "first-secret;later-secret;");
    assert_true(ifab_vault_search(vault, IFAB_VIEW("first-secret"), 0, &at, &size));
    ifab_vault_close(vault);
}

/* Whatever fails: what was in force stays so, and the same change can be made afterwards. INV-04, INV-15. */
static void survives_each_failure_of_its_back_end(struct vault_kind *k)
{
    struct ifab_vault *vault = opened(k, &nothing_yet);
    struct ifab_vault_mark mark = put(vault, "one", 1, API, "first-secret");
    commit(vault, mark);
    ifab_vault_close(vault);
    k->faulty = true;
    for (uint64_t at = 1; at <= 6; at++) { /* load, settle, stage, publish, settle; then none */
        k->plan = (struct ifab_vault_fault){.at = at, .status = at == 4 ? IFAB_FULL : IFAB_IO};
        struct ifab_vault_change change = change_of("one", 2, API, "later-secret");
        struct ifab_vault_mark next = {0};
        if (try_open(k, &mark, &vault, NULL) != IFAB_OK) {
            assert_true(at <= 2);
            continue;
        }
        assert_string_equal(got(vault, "one", API), "first-secret");
        ifab_status status = ifab_vault_stage(vault, &change, &next, NULL);
        if (status == IFAB_OK)
            status = ifab_vault_publish(vault, next.counter, NULL);
        if (status != IFAB_OK) {
            assert_true(at == 3 || at == 4);
            ifab_vault_back(vault, mark.counter);
            assert_string_equal(got(vault, "one", API), "first-secret");
        } else {
            assert_true(at >= 5);
            assert_int_equal(ifab_vault_settle(vault, next.counter, NULL), at == 5 ? IFAB_IO : IFAB_OK);
            assert_string_equal(got(vault, "one", API), "later-secret"); /* the log says so, leftovers or not */
            ifab_vault_close(vault);
            k->plan = (struct ifab_vault_fault){0};
            vault = opened(k, &next);
            assert_string_equal(got(vault, "one", API), "later-secret");
            mark = put(vault, "one", next.counter == 2 ? 3 : 5, API, "first-secret");
            commit(vault, mark);
        }
        ifab_vault_close(vault);
    }
    k->faulty = false;
}

static void run_suite(struct vault_kind *k)
{
    static void (*const facts[])(struct vault_kind *) = {keeps_what_is_settled,
                                                         gives_nothing_to_another_origin,
                                                         ends_a_handle_with_its_version,
                                                         stages_changes_on_one_another,
                                                         forgets_what_was_never_committed,
                                                         is_what_the_log_says_after_a_crash_anywhere,
                                                         says_when_it_is_not_the_vault_of_the_log,
                                                         refuses_what_is_out_of_bounds,
                                                         stages_no_more_than_it_says,
                                                         names_all_that_must_not_be_seen,
                                                         survives_each_failure_of_its_back_end};
    for (size_t i = 0; i < IFAB_COUNT(facts); i++) {
        kind_begin(k);
        facts[i](k);
        kind_end(k);
    }
}

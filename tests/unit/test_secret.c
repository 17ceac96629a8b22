/* What the log knows of secrets: origins in one spelling, records that follow one another, who may have a value. INV-09, INV-16. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "secret/secret.h"

#include <stdio.h>
#include <string.h>

static void takes_origins_in_one_spelling(void **state)
{
    static const char *const good[] = {"https://api.example.com", "http://localhost", "https://a", "http://127.0.0.1:8088", "wss://obs.local:4455", "ws://x:443",
                                       "https://[::1]", "https://[2001:db8::1]:8443", "https://[1:2:3:4:5:6:7:8]", "https://xn--mnchen-3ya.example",
                                       "https://a.b-c.d:65535", "https://1.2.3.4", "https://0x.example", "https://4.example", "https://[fe80::]"};
    static const char *const bad[] = {
        "", "https://", "https:///", "https://A.example", "HTTPS://a", "ftp://a", "https://a/", "https://a/b", "https://a?b", "https://a#b", "https://u@a",
        "https://u:p@a", "https://a:443", "http://a:80", "wss://a:443", "ws://a:80", "https://a:0", "https://a:65536", "https://a:08443", "https://a:",
        "https://a:1:2", "https://a b", "https://a\n", "https://.a", "https://a.", "https://a..b", "https://-a", "https://a-", "https://2130706433",
        "https://0x7f.1", "https://127.1", "https://0x7f000001", "https://127.0.0.01", "https://256.0.0.1", "https://1.2.3.4.5", "https://a.1", "https://[]",
        "https://[::1", "https://[:1]", "https://[1:]", "https://[1::2::3]", "https://[:::]", "https://[1:2:3:4:5:6:7]", "https://[1:2:3:4:5:6:7:8:9]",
        "https://[01::]", "https://[::FF]", "https://[::1]x", "https://[::1]:", "https://[::1.2.3.4]", "https://[12345::]", "https://[1:2:3:4:5:6:7::]",
        "https://ex%61mple", "https://b\xc3\xbc" "cher.de", "https://a\\b", "//a", "a", "https:a", "https:/a",
        /* no request can have these: who names them would wait for a secret that never arrives */
        "http://under_score.local:1", "https://ab--c.example", "https://r3---sn.example", "https://xn--.example", "https://a.4b", "https://db.3com",
        "https://[2001:db8:0:0:0:0:0:1]", "https://[2001::1:0:0:0:1]", "https://[0:0:0:0:0:0:0:1]", "https://[1::2:3:4:5:6:7]", "https://[::ffff:1.2.3.4]",
        "https://[1:2:3::4]x"};
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(good); i++)
        if (!ifab_origin_valid(ifab_view_str(good[i]), NULL))
            fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < IFAB_COUNT(bad); i++) {
        const char *why = NULL;
        if (ifab_origin_valid(ifab_view_str(bad[i]), &why))
            fail_msg("taken: %s", bad[i]);
        assert_non_null(why);
        if (strncmp(why, "scheme://host", 13) != 0 && strncmp(why, "written without", 15) != 0)
            fail_msg("it must be %s", why); /* no sentence */
        if (strlen("origins[0] must be ") + strlen(why) >= sizeof((struct ifab_refusal *)NULL)->message)
            fail_msg("cut off in a refusal: %s", why);
    }
    assert_false(ifab_origin_valid(ifab_view_of("https://a\0b", 11), NULL));
    char host[300] = "https://";
    memset(host + 8, 'a', 63);
    assert_true(ifab_origin_valid(ifab_view_str(host), NULL));
    host[8 + 63] = 'a';
    assert_false(ifab_origin_valid(ifab_view_str(host), NULL));
}

#define AT INT64_C(1750000000000000)
#define API   IFAB_VIEW("https://api.example.com")
#define OTHER IFAB_VIEW("https://other.example.com")

struct table {
    struct ifab_secrets *secrets;
    uint64_t next;
};

static enum ifab_code ask(struct table *t, enum ifab_secret_act act, const char *name, const struct ifab_view *origins, size_t count, ifab_usec wall,
                          struct ifab_secret *ret_next)
{
    struct ifab_refusal refusal = {0};
    struct ifab_secret_request request = {.act = act, .name = ifab_view_str(name), .origins = origins, .origin_count = count, .wall = wall};
    return ifab_secret_next(t->secrets, &request, ret_next, &refusal);
}

static void load(struct table *t, const struct ifab_secret *next)
{
    struct ifab_buf buf = IFAB_BUF_INIT(IFAB_SECRET_RECORD_MAX);
    struct ifab_secret_mark mark = {.counter = next->counter};
    struct ifab_error err = {0};
    memset(mark.digest32, (int)next->counter, 32);
    ifab_secret_write(&buf, next);
    uint64_t number = next->number == 0 ? ++t->next : next->number;
    if (ifab_secrets_load(t->secrets, number, ifab_buf_as_view(&buf), &err) != IFAB_OK)
        fail_msg("%s", err.text);
    ifab_buf_clear(&buf);
    ifab_secret_mark_write(&buf, &mark);
    assert_int_equal(ifab_secrets_load_mark(t->secrets, ifab_buf_as_view(&buf), &err), IFAB_OK);
    ifab_buf_fini(&buf);
}

static void act(struct table *t, enum ifab_secret_act what, const char *name, struct ifab_view origin, ifab_usec wall)
{
    struct ifab_secret next;
    assert_int_equal(ask(t, what, name, &origin, what == IFAB_SECRET_SET ? 1 : 0, wall, &next), IFAB_CODE_NONE);
    load(t, &next);
}

static struct table begin(void)
{
    struct table t = {0};
    assert_int_equal(ifab_secrets_new(&t.secrets), IFAB_OK);
    return t;
}

static void counts_versions_over_rotation_and_revocation(void **state)
{
    struct table t = begin();
    (void)state;
    act(&t, IFAB_SECRET_SET, "stripe", API, AT);
    const struct ifab_secret *s = ifab_secrets_find(t.secrets, IFAB_VIEW("stripe"));
    assert_true(s != NULL && s->version == 1 && s->counter == 1 && s->created == AT && s->rotated == AT && s->revoked_at == IFAB_NEVER);
    assert_true(ifab_view_is(s->record, "{\"counter\":1,\"created_at\":\"2025-06-15T15:06:40.000Z\",\"name\":\"stripe\",\"origins\":[\"https://api.example.com\"],"
                                        "\"rotated_at\":\"2025-06-15T15:06:40.000Z\",\"v\":1,\"version\":1}"));
    act(&t, IFAB_SECRET_ROTATE, "stripe", API, AT + IFAB_DAY);
    s = ifab_secrets_find(t.secrets, IFAB_VIEW("stripe"));
    assert_true(s->version == 2 && s->counter == 2 && s->created == AT && s->rotated == AT + IFAB_DAY && ifab_view_equal(s->origins[0], API));
    act(&t, IFAB_SECRET_REVOKE, "stripe", API, AT + 2 * IFAB_DAY);
    s = ifab_secrets_find(t.secrets, IFAB_VIEW("stripe"));
    assert_true(s->version == 2 && s->revoked_at == AT + 2 * IFAB_DAY);
    assert_int_equal(ifab_secrets_live(t.secrets), 0);
    assert_int_equal(ifab_secrets_count(t.secrets), 1);
    act(&t, IFAB_SECRET_SET, "stripe", OTHER, AT); /* the clock was set back: it does not get younger than it is */
    s = ifab_secrets_find(t.secrets, IFAB_VIEW("stripe"));
    assert_true(s->version == 3 && s->counter == 4 && s->rotated == AT + 2 * IFAB_DAY && s->revoked_at == IFAB_NEVER && ifab_view_equal(s->origins[0], OTHER));
    assert_int_equal(ifab_secrets_mark(t.secrets)->counter, 4);
    ifab_secrets_free(t.secrets);
}

static void refuses_what_does_not_fit(void **state)
{
    struct table t = begin();
    struct ifab_secret next;
    struct ifab_view origins[9], bad = IFAB_VIEW("https://api.example.com/");
    (void)state;
    for (size_t i = 0; i < 9; i++)
        origins[i] = API;
    assert_int_equal(ask(&t, IFAB_SECRET_ROTATE, "stripe", NULL, 0, AT, &next), IFAB_CODE_SECRET_NOT_FOUND);
    assert_int_equal(ask(&t, IFAB_SECRET_REVOKE, "stripe", NULL, 0, AT, &next), IFAB_CODE_SECRET_NOT_FOUND);
    assert_int_equal(ask(&t, IFAB_SECRET_SET, "../x", origins, 1, AT, &next), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(ask(&t, IFAB_SECRET_SET, "stripe", NULL, 0, AT, &next), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(ask(&t, IFAB_SECRET_SET, "stripe", origins, 9, AT, &next), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(ask(&t, IFAB_SECRET_SET, "stripe", origins, 2, AT, &next), IFAB_CODE_INVALID_PARAMS); /* the same twice */
    assert_int_equal(ask(&t, IFAB_SECRET_SET, "stripe", &bad, 1, AT, &next), IFAB_CODE_INVALID_PARAMS);
    act(&t, IFAB_SECRET_SET, "stripe", API, AT);
    assert_int_equal(ask(&t, IFAB_SECRET_SET, "stripe", origins, 1, AT, &next), IFAB_CODE_CONFLICT);
    assert_int_equal(ask(&t, IFAB_SECRET_SET, "Stripe", origins, 1, AT, &next), IFAB_CODE_CONFLICT);
    act(&t, IFAB_SECRET_REVOKE, "stripe", API, AT);
    assert_int_equal(ask(&t, IFAB_SECRET_SET, "STRIPE", origins, 1, AT, &next), IFAB_CODE_CONFLICT); /* a tombstone keeps its name */
    assert_int_equal(ask(&t, IFAB_SECRET_ROTATE, "stripe", NULL, 0, AT, &next), IFAB_CODE_SECRET_NOT_FOUND);
    for (unsigned i = 1; i < IFAB_SECRET_MAX; i++) {
        char name[20];
        (void)snprintf(name, sizeof name, "s%u", i);
        act(&t, IFAB_SECRET_SET, name, API, AT);
    }
    assert_int_equal(ask(&t, IFAB_SECRET_SET, "one-more", origins, 1, AT, &next), IFAB_CODE_QUOTA_EXCEEDED);
    assert_int_equal(ask(&t, IFAB_SECRET_SET, "stripe", origins, 1, AT, &next), IFAB_CODE_NONE); /* it has its place */
    ifab_secrets_free(t.secrets);
}

static void gives_to_the_origins_it_names_alone(void **state)
{
    struct table t = begin();
    const struct ifab_secret *s = NULL;
    struct ifab_refusal r = {0};
    (void)state;
    assert_int_equal(ifab_secret_for(t.secrets, IFAB_VIEW("stripe"), API, &s, &r), IFAB_CODE_SECRET_NOT_FOUND);
    act(&t, IFAB_SECRET_SET, "stripe", API, AT);
    assert_int_equal(ifab_secret_for(t.secrets, IFAB_VIEW("stripe"), API, &s, &r), IFAB_CODE_NONE);
    assert_true(s != NULL && s->version == 1);
    s = NULL;
    assert_int_equal(ifab_secret_for(t.secrets, IFAB_VIEW("stripe"), OTHER, &s, &r), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(ifab_secret_for(t.secrets, IFAB_VIEW("stripe"), IFAB_VIEW(""), &s, &r), IFAB_CODE_PERMISSION_DENIED);
    assert_int_equal(ifab_secret_for(t.secrets, IFAB_VIEW("Stripe"), API, &s, &r), IFAB_CODE_SECRET_NOT_FOUND);
    act(&t, IFAB_SECRET_REVOKE, "stripe", API, AT);
    assert_int_equal(ifab_secret_for(t.secrets, IFAB_VIEW("stripe"), API, &s, &r), IFAB_CODE_SECRET_NOT_FOUND);
    assert_null(s);
    ifab_secrets_free(t.secrets);
}

#define RECORD "{\"counter\":7,\"created_at\":\"2025-06-15T15:06:40.000Z\",\"name\":\"one\",\"origins\":[\"https://a\"],\"rotated_at\":\"2025-06-15T15:06:40.000Z\",\"v\":1,\"version\":1}"

/* INV-16: what is loaded is a record in its one spelling, and follows from the one before. */
static void loads_no_other_record(void **state)
{
    static const struct {
        const char *from, *to;
    } swaps[] = {{"\"v\":1", "\"v\":2"}, {"\"version\":1", "\"version\":0"}, {"\"version\":1", "\"version\":8"}, {"https://a", "https://A"},
                 {"\"one\"", "\"..\""}, {"\"counter\":7", "\"counter\":0"}, {"\"counter\":7", "\"counter\":7.0"}, {"\"counter\":7", "\"counter\": 7"},
                 {"rotated_at\":\"2025", "rotated_at\":\"2024"}, {"[\"https://a\"]", "[]"}, {"[\"https://a\"]", "[\"https://a\",\"https://a\"]"},
                 {"\"name\":\"one\"", "\"name\":\"\\u006fne\""}, {"\"v\":1,", "\"v\":1,\"value\":\"x\","}, {"40.000Z\",\"name", "40Z\",\"name"}};
    struct table t = begin();
    char text[600];
    (void)state;
    assert_int_equal(ifab_secrets_load(t.secrets, 1, IFAB_VIEW(""), NULL), IFAB_CORRUPT);
    assert_int_equal(ifab_secrets_load(t.secrets, 0, IFAB_VIEW(RECORD), NULL), IFAB_CORRUPT);
    for (size_t i = 0; i < IFAB_COUNT(swaps); i++) {
        const char *at = strstr(RECORD, swaps[i].from);
        assert_non_null(at);
        (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(at - RECORD), RECORD, swaps[i].to, at + strlen(swaps[i].from));
        if (ifab_secrets_load(t.secrets, 1, ifab_view_str(text), NULL) != IFAB_CORRUPT)
            fail_msg("taken: %s", text);
    }
    assert_int_equal(ifab_secrets_count(t.secrets), 0);
    assert_int_equal(ifab_secrets_load(t.secrets, 1, IFAB_VIEW(RECORD), NULL), IFAB_OK);
    assert_int_equal(ifab_secrets_load(t.secrets, 1, IFAB_VIEW(RECORD), NULL), IFAB_CORRUPT); /* no change at all */
    assert_int_equal(ifab_secrets_load(t.secrets, 2, IFAB_VIEW(RECORD), NULL), IFAB_CORRUPT); /* its name is taken */
    uint8_t before[32], after[32];
    ifab_secrets_trust_root(t.secrets, before);
    struct ifab_buf mark = IFAB_BUF_INIT(300);
    struct ifab_secret_mark one = {.counter = 7}, same = {.counter = 7, .digest32 = {1}};
    ifab_secret_mark_write(&mark, &one);
    assert_int_equal(ifab_secrets_load_mark(t.secrets, ifab_buf_as_view(&mark), NULL), IFAB_OK);
    ifab_secrets_trust_root(t.secrets, after);
    assert_memory_not_equal(before, after, 32);
    ifab_buf_clear(&mark);
    ifab_secret_mark_write(&mark, &same);
    assert_int_equal(ifab_secrets_load_mark(t.secrets, ifab_buf_as_view(&mark), NULL), IFAB_CORRUPT); /* it must grow */
    assert_int_equal(ifab_secrets_load_mark(t.secrets, IFAB_VIEW("{}"), NULL), IFAB_CORRUPT);
    ifab_buf_fini(&mark);
    ifab_secrets_free(t.secrets);
}

/* What an earlier version took stands in the log: the daemon starts with it, and the secret can still be rotated and revoked. */
static void loads_origins_that_are_refused_by_now(void **state)
{
    static const char *const origins[] = {"http://under_score.local:1", "https://ab--c.example", "https://db.3com", "https://[2001:db8:0:0:0:0:0:1]"};
    char text[600];
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(origins); i++) {
        struct table t = begin();
        struct ifab_secret next;
        const char *at = strstr(RECORD, "https://a");
        (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(at - RECORD), RECORD, origins[i], at + strlen("https://a"));
        assert_false(ifab_origin_valid(ifab_view_str(origins[i]), NULL));
        assert_int_equal(ifab_secrets_load(t.secrets, 1, ifab_view_str(text), NULL), IFAB_OK);
        assert_int_equal(ask(&t, IFAB_SECRET_ROTATE, "one", NULL, 0, AT + IFAB_DAY, &next), IFAB_CODE_NONE);
        assert_true(ifab_view_is(next.origins[0], origins[i]));
        assert_int_equal(ask(&t, IFAB_SECRET_REVOKE, "one", NULL, 0, AT + IFAB_DAY, &next), IFAB_CODE_NONE);
        ifab_secrets_free(t.secrets);
    }
}

static void changes_nothing_without_memory(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct table t = begin();
        ifab_mem_fail_at(n);
        ifab_status status = ifab_secrets_load(t.secrets, 1, IFAB_VIEW(RECORD), NULL);
        bool failed = ifab_mem_failed();
        ifab_mem_fail_at(0);
        assert_int_equal(status, failed ? IFAB_NOMEM : IFAB_OK);
        assert_int_equal(ifab_secrets_count(t.secrets), failed ? 0 : 1);
        ifab_secrets_free(t.secrets);
        if (!failed)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_origins_in_one_spelling), cmocka_unit_test(counts_versions_over_rotation_and_revocation),
        cmocka_unit_test(refuses_what_does_not_fit),     cmocka_unit_test(gives_to_the_origins_it_names_alone),
        cmocka_unit_test(loads_no_other_record),         cmocka_unit_test(changes_nothing_without_memory),
        cmocka_unit_test(loads_origins_that_are_refused_by_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Two readers of one rule: what egress lets through is what the registry's own matcher lets through (less what is no URL for egress), for random rows
 * and URLs made of pieces that mean something in a path. Were they to differ, a plan could be shown that is not what is sent. INV-08
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "egress/manifest.h"
#include "support.h"

static const char *const hosts[] = {"a.example", "b.a.example", "a.example.evil", "1.2.3.4", "a", "127.1", "A.example", "a.example."};
static const char *const ports[] = {"", ":443", ":80", ":8443", ":0443"};
static const char *const pieces[] = {"/",      "/a",     "/b",  "/*", "/**", "a", "..",  ".",   "%20", "%2e", "%2F",
                                     "%c3%a4", "%c0%af", "%25", "*",  ";",   "~", "%7e", "%09", "@",   "\\",  "|"};

static const char *text_of(struct test_random *random, char *text, size_t size, bool pattern)
{
    uint64_t count = 1 + test_random_below(random, 4), kinds = pattern ? 6 : IFAB_COUNT(pieces);
    (void)snprintf(text, size, "%s", pattern && test_random_below(random, 2) ? "/a" : "");
    if (test_random_below(random, 3) != 0)
        kinds = pattern ? 5 : 3; /* mostly what can match */
    for (uint64_t i = 0; i < count; i++)
        (void)snprintf(text + strlen(text), size - strlen(text), "%s", pieces[test_random_below(random, kinds)]);
    char *stars = pattern ? strstr(text, "**") : NULL; /* a manifest has them as the last segment only */
    if (stars != NULL)
        stars[2] = '\0';
    if (pattern && text[0] != '/')
        (void)snprintf(text, size, "/");
    return text;
}
static void both_matchers_agree(void **state)
{
    struct test_random random = {test_env_u64("IFAB_SEED", 606)};
    uint64_t runs = test_env_u64("IFAB_RUNS", 300000), matched = 0, stricter = 0;
    (void)state;
    print_message("# seed %llu\n", (unsigned long long)random.state);
    for (uint64_t run = 0; run < runs; run++) {
        char row_paths[3][200], path[200], url_text[300];
        struct ifab_http_row rows[3];
        struct ifab_egress_row ours[IFAB_MANIFEST_HTTP_MAX];
        struct ifab_manifest manifest = {.http = rows, .http_count = 3};
        for (size_t i = 0; i < 3; i++) {
            rows[i] = (struct ifab_http_row){
                {(enum ifab_origin_scheme)test_random_below(&random, IFAB_ORIGIN_SCHEME_COUNT), ifab_view_str(hosts[test_random_below(&random, test_random_below(&random, 8) ? 1 : 5)]), test_random_below(&random, 3) ? 443 : 80},
                ifab_view_str(text_of(&random, row_paths[i], sizeof row_paths[i], true)),
                test_random_below(&random, 2) ? 127U : (uint32_t)test_random_below(&random, 128),
                (enum ifab_effect)(1 + test_random_below(&random, 4))};
        }
        (void)snprintf(url_text, sizeof url_text, "%s://%s%s%s%s", ifab_origin_scheme_name((enum ifab_origin_scheme)test_random_below(&random, IFAB_ORIGIN_SCHEME_COUNT)),
                       hosts[test_random_below(&random, test_random_below(&random, 4) ? 1 : IFAB_COUNT(hosts))], ports[test_random_below(&random, test_random_below(&random, 2) ? 1 : IFAB_COUNT(ports))],
                       text_of(&random, path, sizeof path, false), test_random_below(&random, 4) ? "" : "?q=1");
        enum ifab_method method = (enum ifab_method)test_random_below(&random, IFAB_METHOD_COUNT);
        bool dry_run = test_random_below(&random, 2);
        struct ifab_origin origin;
        struct ifab_view their_path, their_query;
        struct ifab_url url;
        bool theirs = ifab_http_url_parse(ifab_view_str(url_text), &origin, &their_path, &their_query) &&
                      ifab_http_row_match(&manifest, method, &origin, their_path, dry_run ? IFAB_EFFECT_READ : IFAB_EFFECT_PAYMENT) != NULL;
        bool parsed = ifab_url_parse(ifab_view_str(url_text), &url, NULL) == IFAB_OK, mine = false;
        size_t count = ifab_egress_rows_of(&manifest, ours);
        enum ifab_egress_method my_method;
        assert_true(ifab_egress_method_parse(ifab_view_str(ifab_method_name(method)), &my_method));
        for (size_t i = 0; parsed && i < count; i++)
            mine = mine || ((!dry_run || ours[i].read) && ifab_egress_row_matches(&ours[i], &url, my_method));
        if (mine != (theirs && parsed))
            fail_msg("run %llu: %d, registry %d: %s %s rows %s %s %s", (unsigned long long)run, mine, theirs, ifab_method_name(method), url_text,
                     row_paths[0], row_paths[1], row_paths[2]);
        matched += mine;
        stricter += theirs && !parsed;
    }
    assert_true(matched > runs / 200);
    print_message("# %llu matched, %llu that the registry alone would take\n", (unsigned long long)matched, (unsigned long long)stricter);
}
static void credentials_are_spelled_alike(void **state)
{
    (void)state;
    for (int i = 0; i < IFAB_SECRET_AS_COUNT; i++) {
        enum ifab_credential_as as = ifab_egress_credential_as_of((enum ifab_secret_as)i);
        assert_int_not_equal(as, IFAB_CREDENTIAL_NONE);
        assert_string_equal(ifab_credential_as_name(as), ifab_secret_as_name((enum ifab_secret_as)i));
    }
    assert_int_equal(ifab_egress_credential_as_of((enum ifab_secret_as)99), IFAB_CREDENTIAL_NONE);
    static const char *const fields[] = {"X-Sig", "", "obs-websocket-4", "obs-websocket-5 ",
#define ROW(name, field) field,
                                         IFAB_CHALLENGE_MAP(ROW)
#undef ROW
    };
    for (size_t f = 0; f < IFAB_COUNT(fields); f++) { /* what the registry takes for a challenge, egress answers; nothing else */
        for (int i = 0; i < IFAB_SECRET_AS_COUNT; i++)
            assert_int_equal(ifab_secret_is_challenge((enum ifab_secret_as)i, ifab_view_str(fields[f])),
                             ifab_credential_is_challenge(ifab_egress_credential_as_of((enum ifab_secret_as)i), ifab_view_str(fields[f])));
        assert_int_equal(ifab_secret_is_challenge(IFAB_SECRET_AS_HMAC, ifab_view_str(fields[f])), f >= 4);
    }
}
static const struct CMUnitTest tests[] = {cmocka_unit_test(both_matchers_agree), cmocka_unit_test(credentials_are_spelled_alike)};
TEST_MAIN(tests)

/*
 * The origins that an operator may name for a secret are those that a request can have, each in the one spelling that a request's is written in:
 * for hosts made of pieces on which readers of hosts differ. Were one side wider, a secret would be kept for an origin that never gets it. INV-09
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "egress/url.h"
#include "secret/secret.h"
#include "support.h"

static const char *const schemes[] = {"https://", "http://", "wss://", "ws://", "HTTPS://", "ftp://", "https:/"};
static const char *const pieces[] = {"a", "b", "xn", "-", "--",  "---", "_",        ".",   "..",  "0",
                                     "1", "9", "0x", "A", "%61", "@",   "\xc3\xa4", "255", "256", "01"};
static const char *const groups[] = {":", "::", ":0", ":0:0", "0", "1", "db8", "ffff", "00", "01", "F", "12345", "1.2.3.4", ":1", ":2", ":3"};
static const char *const ports[] = {"", "", "", ":1", ":80", ":443", ":8443", ":65535", ":0", ":65536", ":08", ":", ":x", "/", "/a", "?", "?q", "#"};

static void put(struct test_random *random, char *text, size_t size, const char *const *from, size_t count)
{
    (void)snprintf(text + strlen(text), size - strlen(text), "%s", from[test_random_below(random, count)]);
}
static void host_of(struct test_random *random, char *text, size_t size)
{
    uint64_t kind = test_random_below(random, 4), count = 1 + test_random_below(random, 8);
    if (kind == 0) { /* an IPv4 address, or almost */
        for (int i = 0; i < 4; i++) {
            put(random, text, size, pieces + 9, 3);
            put(random, text, size, i < 3 ? (const char *const[]){".", ".", ".", "..", "1", "0"} : (const char *const[]){"", "", "", ".", "1", "a"},
                6);
        }
    } else if (kind == 1) {
        (void)snprintf(text + strlen(text), size - strlen(text), "[");
        for (uint64_t i = 0; i < count; i++)
            put(random, text, size, groups, IFAB_COUNT(groups));
        put(random, text, size, (const char *const[]){"]", "]", "]", "]", "", "]a"}, 6);
    } else if (kind == 2) { /* mostly a name */
        for (uint64_t i = 0; i < count; i++)
            put(random, text, size, pieces, test_random_below(random, 4) == 0 ? IFAB_COUNT(pieces) : 8);
    } else { /* mostly an IPv6 address */
        put(random, text, size, (const char *const[]){"[1", "[2001:db8", "[", "[0", "[fe80"}, 5);
        for (uint64_t i = 0; i < count; i++)
            put(random, text, size, (const char *const[]){":0", ":1", ":0", ":abcd", test_random_below(random, 6) ? ":0" : ":", "::"}, 6);
        put(random, text, size, (const char *const[]){"]"}, 1);
    }
}
/* As a request's origin is written when it is compared. */
static bool is_a_requests(const char *text)
{
    struct ifab_origin_parts parts;
    struct ifab_buf again = IFAB_BUF_INIT(400);
    bool is = ifab_origin_read(ifab_view_str(text), &parts, NULL) == IFAB_OK;
    if (is)
        ifab_origin_write(&parts, &again);
    is = is && ifab_view_is(ifab_buf_as_view(&again), text);
    ifab_buf_fini(&again);
    return is;
}

static void a_secret_is_for_what_a_request_can_have(void **state)
{
    struct test_random random = {test_env_u64("IFAB_SEED", 1108)};
    uint64_t runs = test_env_u64("IFAB_RUNS", 400000), taken = 0, literals = 0;
    (void)state;
    print_message("# seed %llu\n", (unsigned long long)random.state);
    for (uint64_t run = 0; run < runs; run++) {
        char text[200] = "";
        const char *why = NULL;
        put(&random, text, sizeof text, schemes, test_random_below(&random, 8) ? 4 : IFAB_COUNT(schemes));
        host_of(&random, text, sizeof text);
        put(&random, text, sizeof text, ports, test_random_below(&random, 2) ? 3 : IFAB_COUNT(ports));
        bool named = ifab_origin_valid(ifab_view_str(text), &why);
        if (named != is_a_requests(text))
            fail_msg("%s: %s", text, named ? "named for a secret, and no request has it" : why);
        taken += named;
        literals += named && strchr(text, '[') != NULL;
    }
    print_message("# %llu taken, %llu of them IPv6\n", (unsigned long long)taken, (unsigned long long)literals);
    assert_true(taken > runs / 50 && literals > runs / 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_secret_is_for_what_a_request_can_have)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

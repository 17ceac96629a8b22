/* Tokens and invites: one spelling a record, what may follow it, lookups by digest, bounds, roles, the root that covers them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/encode.h"
#include "base/mem.h"
#include "crypto/crypto.h"
#include "talent/access.h"

#include <stdio.h>
#include <string.h>

#define WALL ((ifab_usec)1762943000123000) /* 2025-11-12T10:23:20.123Z */

struct fixture {
    struct ifab_talents *talents;
    struct ifab_accesses *all;
    struct ifab_buf record;
    struct ifab_refusal refusal;
    uint8_t hash32[32], id16[16];
    uint64_t before;
};

static void add_talent(struct fixture *f, const char *name, enum ifab_role role)
{
    struct ifab_talent_request request = {.name = ifab_view_str(name),
                                          .role_name = ifab_view_str(ifab_role_name(role)),
                                          .role = role,
                                          .expires_at = IFAB_NEVER,
                                          .wall = WALL};
    uint32_t number;
    ifab_buf_clear(&f->record);
    assert_int_equal(ifab_talent_add(f->talents, &request, &f->record, &number, &f->refusal), IFAB_CODE_NONE);
    assert_int_equal(ifab_talents_load(f->talents, number, ifab_buf_as_view(&f->record), NULL), IFAB_OK);
}

static void open_fixture(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    assert_int_equal(ifab_talents_new(42, &f->talents), IFAB_OK);
    assert_int_equal(ifab_accesses_new(43, &f->all), IFAB_OK);
    ifab_buf_init(&f->record, IFAB_TALENT_RECORD_MAX);
    add_talent(f, "Demo.A", IFAB_ROLE_AGENT);
    add_talent(f, "Ops", IFAB_ROLE_OPERATOR);
}

static void close_fixture(struct fixture *f)
{
    ifab_talents_free(f->talents);
    ifab_accesses_free(f->all);
    ifab_buf_fini(&f->record);
}

/* A request with digest and id of its own, by n. */
static struct ifab_access_request request_for(struct fixture *f, const char *talent, uint64_t n)
{
    memset(f->hash32, 0, 32);
    memset(f->id16, 0, 16);
    memcpy(f->hash32, &n, 8);
    memcpy(f->id16, &n, 4);
    memcpy(f->id16 + 12, &n, 4);
    f->id16[6] = 0x70;
    f->id16[8] = 0x80;
    return (struct ifab_access_request){
        .talent = ifab_view_str(talent), .hash32 = f->hash32, .id16 = f->id16, .ttl = IFAB_HOUR, .wall = WALL};
}

static enum ifab_code create(struct fixture *f, const struct ifab_access_request *request)
{
    ifab_buf_clear(&f->record);
    return ifab_token_create(f->all, f->talents, request, &f->record, &f->refusal);
}

static enum ifab_code invite(struct fixture *f, const struct ifab_access_request *request)
{
    ifab_buf_clear(&f->record);
    return ifab_invite_create(f->all, f->talents, request, &f->record, &f->before, &f->refusal);
}

static void take(struct fixture *f, enum ifab_access_kind kind, uint64_t number)
{
    assert_int_equal(ifab_accesses_load(f->all, kind, number, ifab_buf_as_view(&f->record), NULL), IFAB_OK);
}

static void records_have_one_spelling(void **state)
{
    (void)state;
    static const char token[] =
        "{\"created_at\":\"2025-11-12T10:23:20.123Z\",\"expires_at\":\"2025-11-12T11:23:20.123Z\",\"hash\":\"sha256:"
        "0100000000000000000000000000000000000000000000000000000000000000\",\"id\":\"tok-01000000-0000-7000-8000-"
        "000001000000\",\"name\":\"laptop\",\"role\":\"agent\",\"talent\":\"Demo.A\",\"v\":1}";
    static const char code[] = "{\"created_at\":\"2025-11-12T10:23:20.123Z\",\"expires_at\":\"2025-11-12T11:23:20.123Z\",\"hash\":\"sha256:"
                               "0200000000000000000000000000000000000000000000000000000000000000\",\"id\":\"inv-02000000-0000-7000-8000-"
                               "000002000000\",\"name\":\"New\",\"owner\":\"carol\",\"role\":\"agent\",\"role_name\":\"analyst\",\"v\":1}";
    struct fixture f;
    open_fixture(&f);
    struct ifab_access_request request = request_for(&f, "Demo.A", 1);
    request.label = IFAB_VIEW("laptop");
    assert_int_equal(create(&f, &request), IFAB_CODE_NONE);
    assert_true(ifab_view_is(ifab_buf_as_view(&f.record), token));
    take(&f, IFAB_ACCESS_TOKEN, 5);
    request = request_for(&f, "New", 2);
    request.owner = IFAB_VIEW("carol");
    request.role_name = IFAB_VIEW("analyst");
    request.role = IFAB_ROLE_AGENT;
    assert_int_equal(invite(&f, &request), IFAB_CODE_NONE);
    assert_true(ifab_view_is(ifab_buf_as_view(&f.record), code));
    take(&f, IFAB_ACCESS_INVITE, 6);
    assert_int_equal(ifab_accesses_count(f.all, IFAB_ACCESS_TOKEN), 1);
    assert_int_equal(ifab_accesses_count(f.all, IFAB_ACCESS_INVITE), 1);
    static const struct {
        const char *from, *to;
    } senses[] = {
        {"T11:23", "T10:23"}, {"T11:23", "T09:23"}, {"-12T11:23", "-13T10:24"}, {"\"agent\"", "\"admim\""}, {"\"v\":1", "\"v\":2"}};
    for (size_t i = 0; i < IFAB_COUNT(senses); i++) { /* no life, a negative one, more than a day, no such role, no such version */
        char changed[sizeof token];
        memcpy(changed, token, sizeof token);
        char *at = strstr(changed, senses[i].from);
        memcpy(at, senses[i].to, strlen(senses[i].to));
        struct ifab_accesses *other = NULL;
        assert_int_equal(ifab_accesses_new(1, &other), IFAB_OK);
        assert_int_equal(ifab_accesses_load(other, IFAB_ACCESS_TOKEN, 9, ifab_view_str(changed), NULL), IFAB_CORRUPT);
        ifab_accesses_free(other);
    }
    for (size_t i = 0; i < sizeof token - 1; i++) { /* each byte of it changed: refused, or another token that says so */
        char changed[sizeof token];
        struct ifab_accesses *other = NULL;
        memcpy(changed, token, sizeof token);
        changed[i] = (char)(changed[i] ^ 1);
        assert_int_equal(ifab_accesses_new(1, &other), IFAB_OK);
        if (ifab_accesses_load(other, IFAB_ACCESS_TOKEN, 1, ifab_view_str(changed), NULL) == IFAB_OK)
            assert_true(ifab_view_is(ifab_accesses_next(other, 0)->record, changed));
        assert_int_equal(ifab_accesses_load(other, IFAB_ACCESS_INVITE, 2, ifab_view_str(changed), NULL), IFAB_CORRUPT);
        ifab_accesses_free(other);
    }
    close_fixture(&f);
}

/* INV-16: a token changes only by being revoked, an invite not at all; nothing takes another's digest or id. */
static void only_a_revocation_follows(void **state)
{
    (void)state;
    struct fixture f;
    bool keep;
    open_fixture(&f);
    struct ifab_access_request request = request_for(&f, "Demo.A", 1);
    assert_int_equal(create(&f, &request), IFAB_CODE_NONE);
    take(&f, IFAB_ACCESS_TOKEN, 5);
    char first[1024], longer[1024];
    snprintf(first, sizeof first, IFAB_FMT, IFAB_ARG(ifab_buf_as_view(&f.record)));
    assert_int_equal(ifab_accesses_load(f.all, IFAB_ACCESS_TOKEN, 6, ifab_view_str(first), NULL), IFAB_CORRUPT);
    assert_int_equal(ifab_accesses_load(f.all, IFAB_ACCESS_INVITE, 5, ifab_view_str(first), NULL), IFAB_CORRUPT);
    request.ttl = 2 * IFAB_HOUR;
    f.hash32[31] = 9;
    f.id16[15] = 9;
    assert_int_equal(create(&f, &request), IFAB_CODE_NONE);
    snprintf(longer, sizeof longer, IFAB_FMT, IFAB_ARG(ifab_buf_as_view(&f.record)));
    assert_int_equal(ifab_accesses_load(f.all, IFAB_ACCESS_TOKEN, 5, ifab_view_str(longer), NULL), IFAB_CORRUPT);
    assert_true(ifab_view_is(ifab_accesses_next(f.all, 0)->record, first));

    const struct ifab_access_item *token = ifab_accesses_next(f.all, 0);
    ifab_buf_clear(&f.record);
    assert_int_equal(ifab_token_revoke(f.all, token, WALL + IFAB_SECOND, &f.record, &keep, &f.refusal), IFAB_CODE_NONE);
    assert_true(keep);
    take(&f, IFAB_ACCESS_TOKEN, 5);
    token = ifab_accesses_next(f.all, 0);
    const struct ifab_talent *talent = ifab_talents_find(f.talents, IFAB_VIEW("Demo.A"));
    assert_false(ifab_token_valid(token, talent, WALL + 2 * IFAB_SECOND));
    assert_int_equal(ifab_accesses_load(f.all, IFAB_ACCESS_TOKEN, 5, ifab_view_str(first), NULL), IFAB_CORRUPT); /* not undone */
    ifab_buf_clear(&f.record);
    assert_int_equal(ifab_token_revoke(f.all, token, WALL + IFAB_SECOND, &f.record, &keep, &f.refusal), IFAB_CODE_NOT_FOUND);
    close_fixture(&f);
}

/* Whoever makes and revokes tokens all the time keeps nobody else from having one. */
static void revoked_ones_leave_room(void **state)
{
    (void)state;
    struct fixture f;
    struct ifab_accesses *empty = NULL;
    bool keep;
    open_fixture(&f);
    assert_int_equal(ifab_accesses_new(1, &empty), IFAB_OK);
    for (uint64_t n = 1; n <= IFAB_TOKEN_MAX; n++) {
        struct ifab_access_request request = request_for(&f, "Demo.A", n);
        ifab_buf_clear(&f.record);
        assert_int_equal(ifab_token_create(empty, f.talents, &request, &f.record, &f.refusal), IFAB_CODE_NONE);
        take(&f, IFAB_ACCESS_TOKEN, n);
        if (n < IFAB_TOKEN_MAX / 2 - 1 || n > IFAB_TOKEN_MAX / 2 + 1)
            continue;
        ifab_buf_clear(&f.record);
        assert_int_equal(ifab_token_revoke(f.all, ifab_accesses_next(f.all, 0), WALL + IFAB_SECOND, &f.record, &keep, &f.refusal), IFAB_CODE_NONE);
        assert_int_equal(keep, n <= IFAB_TOKEN_MAX / 2);
    }
    struct ifab_access_request request = request_for(&f, "Ops", IFAB_TOKEN_MAX + 1);
    assert_int_equal(create(&f, &request), IFAB_CODE_QUOTA_EXCEEDED); /* all of them live */
    ifab_accesses_free(empty);
    close_fixture(&f);
}

static void found_by_digest_until_it_goes(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f);
    for (uint64_t n = 1; n <= 40; n++) {
        struct ifab_access_request request = request_for(&f, "Demo.A", n);
        request.ttl = (ifab_usec)(100 + n) * IFAB_SECOND;
        assert_int_equal(create(&f, &request), IFAB_CODE_NONE);
        take(&f, IFAB_ACCESS_TOKEN, 100 - n); /* in any order of numbers */
    }
    uint64_t last = 0, numbers[8];
    enum ifab_access_kind kinds[8];
    for (const struct ifab_access_item *i = ifab_accesses_next(f.all, 0); i != NULL; i = ifab_accesses_next(f.all, i->number)) {
        assert_true(i->number > last);
        last = i->number;
    }
    assert_int_equal(last, 99);
    assert_int_equal(ifab_accesses_due(f.all), WALL / 1000 * 1000 + 101 * IFAB_SECOND);
    assert_int_equal(ifab_accesses_dead(f.all, WALL + 100 * IFAB_SECOND, 8, kinds, numbers), 0);
    assert_int_equal(ifab_accesses_dead(f.all, WALL + 103 * IFAB_SECOND, 8, kinds, numbers), 3);
    for (uint64_t n = 1; n <= 40; n++) {
        (void)request_for(&f, "", n);
        const struct ifab_access_item *item = ifab_accesses_by_hash(f.all, IFAB_ACCESS_TOKEN, f.hash32);
        assert_non_null(item);
        assert_int_equal(item->number, 100 - n);
        assert_ptr_equal(ifab_accesses_by_id(f.all, IFAB_ACCESS_TOKEN, f.id16), item);
        assert_null(ifab_accesses_by_hash(f.all, IFAB_ACCESS_INVITE, f.hash32));
        assert_int_equal(ifab_accesses_load(f.all, IFAB_ACCESS_TOKEN, 100 - n, IFAB_VIEW(""), NULL), IFAB_OK);
        assert_null(ifab_accesses_by_hash(f.all, IFAB_ACCESS_TOKEN, f.hash32));
        assert_null(ifab_accesses_by_id(f.all, IFAB_ACCESS_TOKEN, f.id16));
    }
    assert_int_equal(ifab_accesses_due(f.all), IFAB_NEVER);
    close_fixture(&f);
}

static void bounds_and_refusals(void **state)
{
    (void)state;
    static const struct {
        ifab_usec ttl;
        enum ifab_code code;
    } lives[] = {{59 * IFAB_SECOND, IFAB_CODE_INVALID_PARAMS},
                 {60 * IFAB_SECOND, IFAB_CODE_NONE},
                 {IFAB_DAY, IFAB_CODE_NONE},
                 {IFAB_DAY + IFAB_SECOND, IFAB_CODE_INVALID_PARAMS},
                 {-IFAB_HOUR, IFAB_CODE_INVALID_PARAMS},
                 {IFAB_HOUR + 1, IFAB_CODE_INVALID_PARAMS}};
    struct fixture f;
    open_fixture(&f);
    struct ifab_access_request request = request_for(&f, "Demo.A", 1);
    for (size_t i = 0; i < IFAB_COUNT(lives); i++) {
        request.ttl = lives[i].ttl;
        assert_int_equal(create(&f, &request), lives[i].code);
    }
    request = request_for(&f, "demo.a", 1);
    assert_int_equal(create(&f, &request), IFAB_CODE_TALENT_NOT_FOUND);
    request = request_for(&f, "Demo.A", 1);
    request.label = IFAB_VIEW("a\"b");
    assert_int_equal(create(&f, &request), IFAB_CODE_INVALID_PARAMS);
    for (uint64_t n = 1; n <= IFAB_TOKEN_PER_TALENT; n++) {
        request = request_for(&f, "Demo.A", n);
        assert_int_equal(create(&f, &request), IFAB_CODE_NONE);
        take(&f, IFAB_ACCESS_TOKEN, n);
    }
    request = request_for(&f, "Demo.A", 3);
    assert_int_equal(create(&f, &request), IFAB_CODE_CONFLICT);
    request = request_for(&f, "Demo.A", 1000);
    assert_int_equal(create(&f, &request), IFAB_CODE_QUOTA_EXCEEDED);
    request = request_for(&f, "Ops", 1000);
    assert_int_equal(create(&f, &request), IFAB_CODE_NONE);
    request = request_for(&f, "operator", 1001);
    request.role_name = IFAB_VIEW("admin");
    request.role = IFAB_ROLE_AGENT;
    assert_int_equal(invite(&f, &request), IFAB_CODE_INVALID_PARAMS);
    request = request_for(&f, "demo.A", 1001);
    assert_int_equal(invite(&f, &request), IFAB_CODE_CONFLICT);
    request = request_for(&f, "New", 1001);
    request.ttl = IFAB_HOUR + IFAB_SECOND;
    assert_int_equal(invite(&f, &request), IFAB_CODE_INVALID_PARAMS);
    for (uint64_t n = 1; n <= IFAB_INVITE_MAX; n++) {
        char name[32];
        snprintf(name, sizeof name, "N%llu", (unsigned long long)n);
        request = request_for(&f, name, 2000 + n);
        assert_int_equal(invite(&f, &request), IFAB_CODE_NONE);
        assert_int_equal(f.before, 0);
        take(&f, IFAB_ACCESS_INVITE, 2000 + n);
    }
    request = request_for(&f, "One.More", 5000);
    assert_int_equal(invite(&f, &request), IFAB_CODE_QUOTA_EXCEEDED);
    request = request_for(&f, "n7", 5000); /* the same name: it takes the other's place */
    assert_int_equal(invite(&f, &request), IFAB_CODE_NONE);
    assert_int_equal(f.before, 2007);
    close_fixture(&f);
}

static void valid_until_it_ends_is_revoked_or_its_talent_goes(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f);
    struct ifab_access_request request = request_for(&f, "Demo.A", 1);
    assert_int_equal(create(&f, &request), IFAB_CODE_NONE);
    take(&f, IFAB_ACCESS_TOKEN, 1);
    struct ifab_access_item token = *ifab_accesses_next(f.all, 0);
    struct ifab_talent talent = *ifab_talents_find(f.talents, IFAB_VIEW("Demo.A"));
    const struct ifab_talent *other = ifab_talents_find(f.talents, IFAB_VIEW("Ops"));
    assert_true(ifab_token_valid(&token, &talent, WALL));
    assert_true(ifab_token_valid(&token, &talent, token.expires - 1));
    assert_false(ifab_token_valid(&token, &talent, token.expires));
    assert_false(ifab_token_valid(NULL, &talent, WALL));
    assert_false(ifab_token_valid(&token, NULL, WALL));
    assert_false(ifab_token_valid(&token, other, WALL));
    talent.removed_at = WALL;
    assert_false(ifab_token_valid(&token, &talent, WALL));
    talent.removed_at = IFAB_NEVER;
    token.revoked_at = WALL + IFAB_HOUR; /* whatever the clock says: a revocation does not end when the clock is set back */
    assert_false(ifab_token_valid(&token, &talent, WALL));
    token.revoked_at = IFAB_NEVER;
    token.kind = IFAB_ACCESS_INVITE;
    assert_false(ifab_token_valid(&token, &talent, WALL));
    close_fixture(&f);
}

static void rights_are_the_lesser_of_both(void **state)
{
    (void)state;
    for (enum ifab_role a = IFAB_ROLE_AGENT; a <= IFAB_ROLE_ADMIN; a++)
        for (enum ifab_role b = IFAB_ROLE_AGENT; b <= IFAB_ROLE_ADMIN; b++) {
            enum ifab_role both = ifab_token_role(a, b);
            assert_true(both <= a && both <= b && both != IFAB_ROLE_ADMIN && both >= IFAB_ROLE_AGENT);
            assert_int_equal(both, ifab_token_role(b, a));
        }
    assert_int_equal(ifab_token_role(IFAB_ROLE_NONE, IFAB_ROLE_ADMIN), IFAB_ROLE_NONE);
}

/* Kind, number and digest of each, in order of number: made again here by hand. */
static void trust_root_covers_each_byte(void **state)
{
    (void)state;
    struct fixture f;
    struct ifab_buf by_hand = IFAB_BUF_INIT(4096);
    uint8_t root32[32], expected32[32];
    open_fixture(&f);
    for (uint64_t n = 1; n <= 3; n++) {
        struct ifab_access_request request = request_for(&f, n == 2 ? "New" : "Demo.A", n);
        assert_int_equal(n == 2 ? invite(&f, &request) : create(&f, &request), IFAB_CODE_NONE);
        take(&f, n == 2 ? IFAB_ACCESS_INVITE : IFAB_ACCESS_TOKEN, n);
        uint8_t row[41] = {n == 2 ? 11 : 10, (uint8_t)n};
        ifab_sha256(ifab_buf_as_view(&f.record), row + 9);
        ifab_buf_put(&by_hand, row, sizeof row);
        ifab_accesses_trust_root(f.all, root32);
        ifab_sha256(ifab_buf_as_view(&by_hand), expected32);
        assert_memory_equal(root32, expected32, 32);
    }
    assert_int_equal(ifab_accesses_load(f.all, IFAB_ACCESS_TOKEN, 3, IFAB_VIEW(""), NULL), IFAB_OK);
    ifab_accesses_trust_root(f.all, root32);
    assert_memory_not_equal(root32, expected32, 32);
    ifab_buf_fini(&by_hand);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_have_one_spelling),
        cmocka_unit_test(only_a_revocation_follows),
        cmocka_unit_test(revoked_ones_leave_room),
        cmocka_unit_test(found_by_digest_until_it_goes),
        cmocka_unit_test(bounds_and_refusals),
        cmocka_unit_test(valid_until_it_ends_is_revoked_or_its_talent_goes),
        cmocka_unit_test(rights_are_the_lesser_of_both),
        cmocka_unit_test(trust_root_covers_each_byte),
    };
    if (ifab_crypto_init(NULL) != IFAB_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Talents: every act and refusal, the record's one spelling, what can never come back, keyring snapshots. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "crypto/crypto.h"
#include "talent/talent.h"

#include <stdio.h>

#define WALL ((ifab_usec)1762943000123000) /* 2025-11-12T10:23:20.123Z */

/* The i-th key of the tests; real ones, since acts refuse what is no point. */
static const uint8_t *key(unsigned i)
{
    static uint8_t keys[48][32];
    static bool made[48];
    assert_true(i < 48);
    if (!made[i]) {
        uint8_t seed32[32] = {(uint8_t)(i + 1), 0x55};
        struct ifab_signer *signer = NULL;
        assert_int_equal(ifab_signer_from_seed(seed32, &signer, NULL), IFAB_OK);
        ifab_signer_public(signer, keys[i]);
        ifab_signer_free(signer);
        made[i] = true;
    }
    return keys[i];
}

struct fixture {
    struct ifab_talents *talents;
    struct ifab_buf record;
    struct ifab_refusal refusal;
    uint32_t number;
};

static void open_fixture(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    assert_int_equal(ifab_talents_new(42, &f->talents), IFAB_OK);
    ifab_buf_init(&f->record, IFAB_TALENT_RECORD_MAX);
}

static void close_fixture(struct fixture *f)
{
    ifab_talents_free(f->talents);
    ifab_buf_fini(&f->record);
}

static struct ifab_talent_request request_for(const char *name)
{
    return (struct ifab_talent_request){.name = ifab_view_str(name), .expires_at = IFAB_NEVER, .wall = WALL};
}

typedef enum ifab_code act_fn(const struct ifab_talents *, const struct ifab_talent_request *, struct ifab_buf *, uint32_t *,
                              struct ifab_refusal *);

/* The act, and when it is allowed its record taken in. */
static enum ifab_code perform(struct fixture *f, act_fn *act, const struct ifab_talent_request *request)
{
    ifab_buf_clear(&f->record);
    enum ifab_code code = act(f->talents, request, &f->record, &f->number, &f->refusal);
    if (code == IFAB_CODE_NONE) {
        struct ifab_error err = {0};
        if (ifab_talents_load(f->talents, f->number, ifab_buf_as_view(&f->record), &err) != IFAB_OK)
            fail_msg("%s: %.*s", err.text, (int)f->record.size, (const char *)f->record.data);
    } else {
        assert_int_equal(f->record.size, 0); /* nothing appended */
        assert_int_equal(f->refusal.code, code);
    }
    return code;
}

static void add(struct fixture *f, const char *name, const char *owner, unsigned key_number)
{
    struct ifab_talent_request request = request_for(name);
    request.owner = ifab_view_str(owner);
    request.pubkey32 = key(key_number);
    assert_int_equal(perform(f, ifab_talent_add, &request), IFAB_CODE_NONE);
}

static enum ifab_code grant(struct fixture *f, const char *name, const char *scope, ifab_usec expires_at)
{
    struct ifab_talent_request request = request_for(name);
    request.scope = ifab_view_str(scope);
    request.expires_at = expires_at;
    return perform(f, ifab_talent_grant, &request);
}

static enum ifab_code rotate(struct fixture *f, const char *name, const uint8_t *pubkey32, ifab_usec overlap, ifab_usec wall)
{
    struct ifab_talent_request request = request_for(name);
    request.pubkey32 = pubkey32;
    request.overlap = overlap;
    request.wall = wall;
    return perform(f, ifab_talent_rotate, &request);
}

/* The digest of the i-th certificate's key; of no key that signs. */
static const uint8_t *spki(unsigned i)
{
    static uint8_t digests[IFAB_TALENT_TLS_KEYS_MAX + 1][32];
    assert_true(i <= IFAB_TALENT_TLS_KEYS_MAX);
    memset(digests[i], (int)i + 1, 32);
    return digests[i];
}

static enum ifab_code tls_key(struct fixture *f, const char *name, const uint8_t *spki32, ifab_usec expires_at, ifab_usec overlap)
{
    struct ifab_talent_request request = request_for(name);
    request.spki32 = spki32;
    request.expires_at = expires_at;
    request.overlap = overlap;
    return perform(f, ifab_talent_tls_key, &request);
}

static bool opens(const struct fixture *f, const uint8_t *spki32, const char *name, ifab_usec wall)
{
    const struct ifab_tls_key *found = NULL;
    const struct ifab_talent *talent = ifab_talents_by_spki(f->talents, spki32, &found);
    return ifab_tls_key_valid(talent, found, wall) && ifab_view_is(talent->name, name);
}

static const struct ifab_talent *talent(const struct fixture *f, const char *name)
{
    const struct ifab_talent *found = ifab_talents_find(f->talents, ifab_view_str(name));
    assert_non_null(found);
    return found;
}

static void writes_the_record_that_the_header_describes(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f);
    struct ifab_talent_request request = request_for("Finance.Agent");
    request.owner = IFAB_VIEW("alice");
    request.role_name = IFAB_VIEW("analyst");
    request.role = IFAB_ROLE_AGENT;
    request.pubkey32 = key(0);
    request.mode = 1;
    assert_int_equal(perform(&f, ifab_talent_add, &request), IFAB_CODE_NONE);
    assert_int_equal(grant(&f, "Finance.Agent", "veritas:secrets", WALL + IFAB_HOUR), IFAB_CODE_NONE);
    assert_int_equal(rotate(&f, "Finance.Agent", key(1), IFAB_MINUTE, WALL + 999), IFAB_CODE_NONE);

    char ids[2][19];
    struct ifab_buf want = IFAB_BUF_INIT(4096), keys[2] = {IFAB_BUF_INIT(64), IFAB_BUF_INIT(64)};
    for (unsigned i = 0; i < 2; i++) {
        ifab_key_id(key(i), ids[i]);
        ifab_buf_base64url(&keys[i], key(i), 32);
        ifab_buf_char(&keys[i], '\0');
    }
    ifab_buf_format(&want,
                    "{\"created\":\"2025-11-12T10:23:20.123Z\",\"grants\":["
                    "{\"expires_at\":\"2025-11-12T11:23:20.123Z\",\"scope\":\"veritas:secrets\"}],"
                    "\"keys\":[{\"epoch\":1,\"key_id\":\"%s\","
                    "\"not_after\":\"2025-11-12T10:24:20.123Z\",\"not_before\":\"2025-11-12T10:23:20.123Z\","
                    "\"pubkey\":\"%s\"},{\"epoch\":2,\"key_id\":\"%s\",\"not_before\":\"2025-11-12T10:23:20.123Z\",\"pubkey\":\"%s\"}],"
                    "\"mode\":\"window\",\"name\":\"Finance.Agent\",\"number\":1,\"owner\":\"alice\","
                    "\"role\":\"agent\",\"role_name\":\"analyst\","
                    "\"version\":3}",
                    ids[0], (const char *)keys[0].data, ids[1], (const char *)keys[1].data);
    ifab_buf_char(&want, '\0');
    ifab_buf_char(&f.record, '\0');
    assert_string_equal(f.record.data, want.data);
    ifab_buf_fini(&want);
    ifab_buf_fini(&keys[0]);
    ifab_buf_fini(&keys[1]);
    close_fixture(&f);
}

static void adds_with_defaults_and_finds_by_name_number_and_key(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f);
    assert_int_equal(ifab_talents_count(f.talents), 0);
    assert_null(ifab_talents_find(f.talents, IFAB_VIEW("A")));
    add(&f, "A", "", 0);
    struct ifab_talent_request keyless = request_for("B");
    assert_int_equal(perform(&f, ifab_talent_add, &keyless), IFAB_CODE_NONE);
    const struct ifab_talent *a = talent(&f, "A"), *b = talent(&f, "B");
    assert_int_equal(a->number, 1);
    assert_int_equal(b->number, 2);
    assert_int_equal(ifab_talents_count(f.talents), 2);
    assert_true(ifab_view_is(a->owner, "A"));
    assert_true(ifab_view_is(a->role_name, "agent"));
    assert_int_equal(a->role, IFAB_ROLE_AGENT);
    assert_int_equal(a->version, 1);
    assert_int_equal(a->created, WALL);
    assert_int_equal(a->removed_at, IFAB_NEVER);
    assert_int_equal(a->key_count, 1);
    assert_int_equal(a->keys[0].epoch, 1);
    assert_int_equal(a->keys[0].not_after, IFAB_NEVER);
    assert_int_equal(b->key_count, 0);
    const struct ifab_key *found = NULL;
    assert_ptr_equal(ifab_talents_by_key(f.talents, key(0), &found), a);
    assert_ptr_equal(found, &a->keys[0]);
    assert_null(ifab_talents_by_key(f.talents, key(1), &found));
    assert_null(ifab_talents_find(f.talents, IFAB_VIEW("a"))); /* exact case */
    assert_null(ifab_talents_find(f.talents, IFAB_VIEW("")));
    assert_null(ifab_talents_find(f.talents, ifab_view_str("A2345678901234567890123456789012345678901234567890123456789012345")));
    assert_null(ifab_talents_at(f.talents, 0));
    assert_null(ifab_talents_at(f.talents, 3));
    assert_ptr_equal(ifab_talents_at(f.talents, 2), b);
    close_fixture(&f);
}

static void refuses_to_add_what_does_not_fit(void **state)
{
    (void)state;
    static const uint8_t small_order[32] = {1}, off_curve[32] = {2};
    uint8_t non_canonical[32];
    memset(non_canonical, 0xff, 32);
    struct fixture f;
    open_fixture(&f);
    add(&f, "Alice", "Corp", 0);
    const struct {
        const char *name, *owner, *role_name;
        enum ifab_role role;
        const uint8_t *pubkey32;
        uint8_t mode;
        ifab_usec wall;
        enum ifab_code code;
        const char *field;
    } rows[] = {
        {"Alice", "", "", 0, NULL, 0, WALL, IFAB_CODE_CONFLICT, "name"},
        {"aLICE", "", "", 0, NULL, 0, WALL, IFAB_CODE_CONFLICT, "name"},  /* differs only in case */
        {"corp", "", "", 0, NULL, 0, WALL, IFAB_CODE_CONFLICT, "name"},   /* an owner in other spelling */
        {"Bob", "corp", "", 0, NULL, 0, WALL, IFAB_CODE_CONFLICT, "owner"}, /* one owner must not count as two */
        {"Bob", "alice", "", 0, NULL, 0, WALL, IFAB_CODE_CONFLICT, "owner"},
        {"Bob", "bob", "", 0, NULL, 0, WALL, IFAB_CODE_CONFLICT, "owner"},
        {"", "", "", 0, NULL, 0, WALL, IFAB_CODE_INVALID_PARAMS, "name"},
        {"a b", "", "", 0, NULL, 0, WALL, IFAB_CODE_INVALID_PARAMS, "name"},
        {"a..b", "", "", 0, NULL, 0, WALL, IFAB_CODE_INVALID_PARAMS, "name"},
        {"A2345678901234567890123456789012345678901234567890123456789012345", "", "", 0, NULL, 0, WALL, IFAB_CODE_INVALID_PARAMS, "name"},
        {"Bob", "a b", "", 0, NULL, 0, WALL, IFAB_CODE_INVALID_PARAMS, "owner"},
        {"Bob", "", "analyst", IFAB_ROLE_NONE, NULL, 0, WALL, IFAB_CODE_INVALID_PARAMS, "role"},
        {"Bob", "", "agent", IFAB_ROLE_ADMIN, NULL, 0, WALL, IFAB_CODE_INVALID_PARAMS, "role"}, /* a built-in name means its role */
        {"Bob", "", "", IFAB_ROLE_ADMIN, NULL, 0, WALL, IFAB_CODE_INVALID_PARAMS, "role"},
        {"Bob", "", "boss", (enum ifab_role)6, NULL, 0, WALL, IFAB_CODE_INVALID_PARAMS, "role"},
        {"Bob", "", "", 0, NULL, 2, WALL, IFAB_CODE_INVALID_PARAMS, "mode"},
        {"Bob", "", "", 0, key(0), 0, WALL, IFAB_CODE_CONFLICT, "pubkey"},
        {"Bob", "", "", 0, small_order, 0, WALL, IFAB_CODE_INVALID_PARAMS, "pubkey"},
        {"Bob", "", "", 0, off_curve, 0, WALL, IFAB_CODE_INVALID_PARAMS, "pubkey"},
        {"Bob", "", "", 0, non_canonical, 0, WALL, IFAB_CODE_INVALID_PARAMS, "pubkey"},
        {"Bob", "", "", 0, NULL, 0, -1, IFAB_CODE_SYSTEM_ERROR, ""},
        {"Bob", "", "", 0, NULL, 0, IFAB_NEVER, IFAB_CODE_SYSTEM_ERROR, ""},
    };
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        struct ifab_talent_request request = request_for(rows[i].name);
        request.owner = ifab_view_str(rows[i].owner);
        request.role_name = ifab_view_str(rows[i].role_name);
        request.role = rows[i].role;
        request.pubkey32 = rows[i].pubkey32;
        request.mode = rows[i].mode;
        request.wall = rows[i].wall;
        if (perform(&f, ifab_talent_add, &request) != rows[i].code)
            fail_msg("row %zu: %d %s", i, (int)f.refusal.code, f.refusal.message);
        assert_string_equal(f.refusal.field, rows[i].field);
        if (strcmp(rows[i].field, "owner") == 0 && rows[i].code == IFAB_CODE_CONFLICT) {
            assert_non_null(strstr(f.refusal.message, strcmp(rows[i].owner, "corp") == 0 ? "another spelling: Corp" : strcmp(rows[i].owner, "bob") == 0 ? "another spelling: Bob" : "another spelling: Alice"));
            assert_non_null(strstr(f.refusal.hint, "in that spelling"));
        }
    }
    assert_int_equal(ifab_talents_count(f.talents), 1);
    add(&f, "Bob", "Corp", 1); /* the same spelling */
    add(&f, "Corp", "Alice", 2);
    close_fixture(&f);
}

static void grants_expire_and_are_replaced(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f);
    add(&f, "A", "", 0);
    assert_false(ifab_talent_has_grant(talent(&f, "A"), IFAB_VIEW("guard:scope"), WALL));
    assert_int_equal(grant(&f, "A", "veritas:secrets", IFAB_NEVER), IFAB_CODE_NONE);
    assert_int_equal(grant(&f, "A", "guard:scope", WALL + 5000), IFAB_CODE_NONE);
    assert_int_equal(talent(&f, "A")->grant_count, 2);
    assert_true(ifab_talent_has_grant(talent(&f, "A"), IFAB_VIEW("veritas:secrets"), IFAB_NEVER - 1));
    assert_true(ifab_talent_has_grant(talent(&f, "A"), IFAB_VIEW("guard:scope"), WALL + 4999));
    assert_false(ifab_talent_has_grant(talent(&f, "A"), IFAB_VIEW("guard:scope"), WALL + 5000));
    assert_false(ifab_talent_has_grant(talent(&f, "A"), IFAB_VIEW("guard:scop"), WALL));
    assert_false(ifab_talent_has_grant(talent(&f, "A"), IFAB_VIEW("Guard:scope"), WALL));
    assert_false(ifab_talent_has_grant(NULL, IFAB_VIEW("guard:scope"), WALL));
    assert_int_equal(grant(&f, "A", "guard:scope", WALL + 9000), IFAB_CODE_NONE); /* same scope: expiry replaced */
    assert_int_equal(talent(&f, "A")->grant_count, 2);
    assert_true(ifab_talent_has_grant(talent(&f, "A"), IFAB_VIEW("guard:scope"), WALL + 8999));

    char long_scope[130];
    memset(long_scope, 'x', 129);
    long_scope[129] = '\0';
    assert_int_equal(grant(&f, "A", long_scope, IFAB_NEVER), IFAB_CODE_INVALID_PARAMS);
    long_scope[128] = '\0';
    assert_int_equal(grant(&f, "A", long_scope, IFAB_NEVER), IFAB_CODE_NONE);
    assert_int_equal(grant(&f, "A", "", IFAB_NEVER), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(grant(&f, "A", "a b", IFAB_NEVER), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(grant(&f, "A", "a\"b", IFAB_NEVER), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(grant(&f, "A", "a\\b", IFAB_NEVER), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(grant(&f, "A", "\xc3\xa9", IFAB_NEVER), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(grant(&f, "A", "x", WALL), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(grant(&f, "A", "x", WALL + 999), IFAB_CODE_INVALID_PARAMS); /* the same millisecond */
    assert_int_equal(grant(&f, "A", "x", IFAB_NEVER - 1), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(grant(&f, "A", "x", INT64_MIN), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(grant(&f, "Nobody", "x", IFAB_NEVER), IFAB_CODE_TALENT_NOT_FOUND);
    assert_int_equal(grant(&f, "a", "x", IFAB_NEVER), IFAB_CODE_TALENT_NOT_FOUND);

    struct ifab_talent_request request = request_for("A");
    request.scope = IFAB_VIEW("guard:scope");
    assert_int_equal(perform(&f, ifab_talent_revoke, &request), IFAB_CODE_NONE);
    assert_false(ifab_talent_has_grant(talent(&f, "A"), IFAB_VIEW("guard:scope"), WALL));
    assert_true(ifab_talent_has_grant(talent(&f, "A"), IFAB_VIEW("veritas:secrets"), WALL));
    assert_int_equal(perform(&f, ifab_talent_revoke, &request), IFAB_CODE_NOT_FOUND);
    close_fixture(&f);
}

static void bounds_hold_and_the_largest_record_fits(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f);
    struct ifab_talent_request request = request_for("A234567890123456789012345678901234567890123456789012345678901234");
    request.owner = request.role_name = ifab_view_str("B234567890123456789012345678901234567890123456789012345678901234");
    request.role = IFAB_ROLE_OPERATOR;
    request.pubkey32 = key(0);
    assert_int_equal(perform(&f, ifab_talent_add, &request), IFAB_CODE_NONE);
    char scope[129];
    for (unsigned i = 0; i <= IFAB_TALENT_GRANTS_MAX; i++) {
        memset(scope, 'x', 128);
        scope[128] = '\0';
        scope[0] = (char)('A' + (i * 37) % 129 / 26);
        scope[1] = (char)('A' + (i * 37) % 129 % 26);
        assert_int_equal(grant(&f, (const char *)request.name.data, scope, WALL + IFAB_DAY),
                         i < IFAB_TALENT_GRANTS_MAX ? IFAB_CODE_NONE : IFAB_CODE_QUOTA_EXCEEDED);
    }
    assert_int_equal(grant(&f, (const char *)request.name.data, "BBxx", IFAB_NEVER), IFAB_CODE_QUOTA_EXCEEDED);
    for (unsigned i = 1; i <= IFAB_TALENT_KEYS_MAX; i++)
        assert_int_equal(rotate(&f, (const char *)request.name.data, key(i), IFAB_HOUR, WALL + i),
                         i < IFAB_TALENT_KEYS_MAX ? IFAB_CODE_NONE : IFAB_CODE_QUOTA_EXCEEDED);
    for (unsigned i = 0; i <= IFAB_TALENT_TLS_KEYS_MAX; i++)
        assert_int_equal(tls_key(&f, (const char *)request.name.data, spki(i), WALL + IFAB_DAY, IFAB_NEVER),
                         i < IFAB_TALENT_TLS_KEYS_MAX ? IFAB_CODE_NONE : IFAB_CODE_QUOTA_EXCEEDED);
    const struct ifab_talent *found = ifab_talents_at(f.talents, 1);
    assert_int_equal(found->grant_count, IFAB_TALENT_GRANTS_MAX);
    assert_int_equal(found->key_count, IFAB_TALENT_KEYS_MAX);
    assert_int_equal(found->tls_key_count, IFAB_TALENT_TLS_KEYS_MAX);
    for (size_t i = 1; i < found->grant_count; i++)
        assert_true(ifab_view_compare(found->grants[i - 1].scope, found->grants[i].scope) < 0);
    request.pubkey32 = NULL;
    assert_int_equal(perform(&f, ifab_talent_revoke, &request), IFAB_CODE_NONE); /* revoked_at in every key */
    assert_in_range(ifab_talents_at(f.talents, 1)->record.size, 32000, IFAB_TALENT_RECORD_MAX);
    close_fixture(&f);
}

static enum ifab_code check(const struct fixture *f, const char *name, unsigned key_number, ifab_usec wall)
{
    const struct ifab_key *found = NULL;
    struct ifab_refusal refusal;
    enum ifab_code code = ifab_talent_key_check(talent(f, name), key(key_number), wall, &found, &refusal);
    assert_int_equal(found != NULL, code == IFAB_CODE_NONE);
    if (found != NULL)
        assert_memory_equal(found->pubkey32, key(key_number), 32);
    else
        assert_int_equal(refusal.code, code);
    return code;
}

/* INV-02 */
static void only_a_registered_key_within_its_validity_passes(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f);
    add(&f, "A", "", 0);
    add(&f, "B", "", 1);
    assert_int_equal(check(&f, "A", 0, WALL), IFAB_CODE_NONE);
    assert_int_equal(check(&f, "A", 0, WALL - 1), IFAB_CODE_KEY_REVOKED); /* not yet */
    assert_int_equal(check(&f, "A", 1, WALL), IFAB_CODE_INVALID_SIGNATURE); /* another's */
    assert_int_equal(check(&f, "A", 2, WALL), IFAB_CODE_INVALID_SIGNATURE); /* nobody's */

    assert_int_equal(rotate(&f, "A", key(2), 60000, WALL + 1000), IFAB_CODE_NONE); /* with overlap: both for a while */
    assert_int_equal(talent(&f, "A")->keys[1].epoch, 2);
    assert_int_equal(check(&f, "A", 0, WALL + 60999), IFAB_CODE_NONE);
    assert_int_equal(check(&f, "A", 0, WALL + 61000), IFAB_CODE_KEY_REVOKED);
    assert_int_equal(check(&f, "A", 2, WALL + 61000), IFAB_CODE_NONE);
    assert_int_equal(rotate(&f, "A", key(3), 10 * IFAB_DAY, WALL + 2000), IFAB_CODE_NONE); /* never prolongs an earlier end */
    assert_int_equal(talent(&f, "A")->keys[0].not_after, WALL + 61000);
    assert_int_equal(rotate(&f, "A", key(4), 0, WALL + 3000), IFAB_CODE_NONE); /* without: at once */
    for (unsigned i = 2; i < 4; i++)
        assert_int_equal(check(&f, "A", i, WALL + 3000), IFAB_CODE_KEY_REVOKED);
    assert_int_equal(check(&f, "A", 3, WALL + 2500), IFAB_CODE_KEY_REVOKED); /* also when the clock is set back */
    assert_int_equal(check(&f, "A", 4, WALL + 3000), IFAB_CODE_NONE);
    assert_int_equal(talent(&f, "A")->keys[3].epoch, 4);

    assert_int_equal(rotate(&f, "A", key(0), 0, WALL), IFAB_CODE_CONFLICT); /* its own old one */
    assert_int_equal(rotate(&f, "A", key(1), 0, WALL), IFAB_CODE_CONFLICT); /* another's */
    assert_int_equal(rotate(&f, "A", NULL, 0, WALL), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(rotate(&f, "A", (const uint8_t[32]){0}, 0, WALL), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(rotate(&f, "A", key(9), -1, WALL), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(rotate(&f, "A", key(9), IFAB_TALENT_OVERLAP_MAX + 1, WALL), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(rotate(&f, "A", key(9), IFAB_TALENT_OVERLAP_MAX, 253402300799000000), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(rotate(&f, "Nobody", key(9), 0, WALL), IFAB_CODE_TALENT_NOT_FOUND);
    assert_int_equal(ifab_talent_key_check(NULL, key(0), WALL, NULL, NULL), IFAB_CODE_INVALID_SIGNATURE);
    close_fixture(&f);
}

static void revokes_one_key_or_all(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f);
    add(&f, "A", "", 0);
    assert_int_equal(rotate(&f, "A", key(1), IFAB_DAY, WALL), IFAB_CODE_NONE);
    assert_int_equal(rotate(&f, "A", key(2), IFAB_DAY, WALL), IFAB_CODE_NONE);
    struct ifab_talent_request request = request_for("A");
    request.pubkey32 = key(1);
    assert_int_equal(perform(&f, ifab_talent_revoke, &request), IFAB_CODE_NONE);
    assert_int_equal(check(&f, "A", 0, WALL), IFAB_CODE_NONE);
    assert_int_equal(check(&f, "A", 1, WALL), IFAB_CODE_KEY_REVOKED);
    assert_int_equal(check(&f, "A", 2, WALL), IFAB_CODE_NONE);
    assert_int_equal(perform(&f, ifab_talent_revoke, &request), IFAB_CODE_NOT_FOUND); /* already */
    request.pubkey32 = key(5);
    assert_int_equal(perform(&f, ifab_talent_revoke, &request), IFAB_CODE_NOT_FOUND);
    request.scope = IFAB_VIEW("x");
    assert_int_equal(perform(&f, ifab_talent_revoke, &request), IFAB_CODE_INVALID_PARAMS);
    request.scope.size = 0;
    request.pubkey32 = NULL;
    assert_int_equal(perform(&f, ifab_talent_revoke, &request), IFAB_CODE_NONE);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(check(&f, "A", i, WALL), IFAB_CODE_KEY_REVOKED);
    assert_int_equal(perform(&f, ifab_talent_revoke, &request), IFAB_CODE_NOT_FOUND);
    assert_int_equal(rotate(&f, "A", key(3), 0, WALL), IFAB_CODE_NONE); /* a talent without open keys may get one */
    assert_int_equal(check(&f, "A", 3, WALL), IFAB_CODE_NONE);
    close_fixture(&f);
}

/* INV-02 */
static void removed_names_and_keys_never_come_back(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f);
    add(&f, "Alice", "", 0);
    assert_int_equal(grant(&f, "Alice", "guard:scope", IFAB_NEVER), IFAB_CODE_NONE);
    struct ifab_talent_request request = request_for("Alice");
    assert_int_equal(perform(&f, ifab_talent_remove, &request), IFAB_CODE_NONE);
    const struct ifab_talent *gone = talent(&f, "Alice"); /* removed ones are found too */
    assert_int_equal(gone->removed_at, WALL);
    assert_int_equal(gone->grant_count, 0);
    assert_int_equal(check(&f, "Alice", 0, WALL), IFAB_CODE_KEY_REVOKED);
    assert_int_equal(check(&f, "Alice", 1, WALL), IFAB_CODE_INVALID_SIGNATURE);
    assert_false(ifab_talent_has_grant(gone, IFAB_VIEW("guard:scope"), WALL));
    assert_ptr_equal(ifab_talents_by_key(f.talents, key(0), NULL), gone);

    static act_fn *const acts[] = {ifab_talent_grant, ifab_talent_rotate, ifab_talent_revoke, ifab_talent_remove};
    for (size_t i = 0; i < IFAB_COUNT(acts); i++) {
        struct ifab_talent_request again = request_for("Alice");
        again.scope = IFAB_VIEW("x");
        again.pubkey32 = key(7);
        assert_int_equal(perform(&f, acts[i], &again), IFAB_CODE_TALENT_NOT_FOUND);
    }
    assert_int_equal(perform(&f, ifab_talent_add, &request), IFAB_CODE_CONFLICT);
    struct ifab_talent_request other = request_for("ALICE");
    assert_int_equal(perform(&f, ifab_talent_add, &other), IFAB_CODE_CONFLICT);
    other = request_for("Bob");
    other.pubkey32 = key(0);
    assert_int_equal(perform(&f, ifab_talent_add, &other), IFAB_CODE_CONFLICT);
    close_fixture(&f);
}

/* Some talents with a history; `last` keeps a copy of the newest record of each. */
static size_t make_history(struct fixture *f, struct ifab_buf *last, size_t max)
{
    open_fixture(f);
    add(f, "Alice", "Corp", 0);
    add(f, "Bob", "", 1);
    add(f, "Carol", "Alice", 2);
    assert_int_equal(grant(f, "Alice", "guard:scope", IFAB_NEVER), IFAB_CODE_NONE);
    assert_int_equal(grant(f, "Alice", "topic:0123456789abcdef", WALL + IFAB_DAY), IFAB_CODE_NONE);
    assert_int_equal(rotate(f, "Alice", key(3), IFAB_HOUR, WALL + 5000), IFAB_CODE_NONE);
    assert_int_equal(rotate(f, "Bob", key(4), 0, WALL + 5000), IFAB_CODE_NONE);
    assert_int_equal(tls_key(f, "Bob", spki(0), WALL + IFAB_HOUR, IFAB_NEVER), IFAB_CODE_NONE);
    assert_int_equal(tls_key(f, "Bob", spki(1), IFAB_NEVER, 0), IFAB_CODE_NONE);
    struct ifab_talent_request request = request_for("Carol");
    assert_int_equal(perform(f, ifab_talent_remove, &request), IFAB_CODE_NONE);
    size_t count = ifab_talents_count(f->talents);
    assert_true(count <= max);
    for (uint32_t i = 0; i < count; i++) {
        ifab_buf_init(&last[i], IFAB_TALENT_RECORD_MAX);
        ifab_buf_view(&last[i], ifab_talents_at(f->talents, i + 1)->record);
    }
    return count;
}

/* INV-16: the newest records alone rebuild the same state, byte for byte; names and keys stay taken. */
static void newest_records_rebuild_the_same_state(void **state)
{
    (void)state;
    struct fixture f;
    struct ifab_buf last[4];
    size_t count = make_history(&f, last, IFAB_COUNT(last));
    uint8_t root32[32], again32[32];
    ifab_talents_trust_root(f.talents, root32);

    struct ifab_talents *again;
    assert_int_equal(ifab_talents_new(7, &again), IFAB_OK); /* another seed */
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(ifab_talents_load(again, i + 1, ifab_buf_as_view(&last[i]), NULL), IFAB_OK);
    ifab_talents_trust_root(again, again32);
    assert_memory_equal(root32, again32, 32);
    for (uint32_t i = 0; i < count; i++) {
        const struct ifab_talent *a = ifab_talents_at(f.talents, i + 1), *b = ifab_talents_at(again, i + 1);
        assert_true(ifab_view_equal(a->record, b->record));
        assert_true(a->record.data != b->record.data);
        assert_true(ifab_view_equal(a->name, b->name) && ifab_view_equal(a->owner, b->owner));
        assert_int_equal(a->version, b->version);
        assert_int_equal(a->key_count, b->key_count);
        assert_int_equal(ifab_talents_load(again, i + 1, a->record, NULL), IFAB_OK); /* the same bytes again change nothing */
        assert_ptr_equal(ifab_talents_at(again, i + 1), b);
    }
    struct ifab_talents *swap = f.talents;
    f.talents = again;
    struct ifab_talent_request request = request_for("carol");
    assert_int_equal(perform(&f, ifab_talent_add, &request), IFAB_CODE_CONFLICT);
    request = request_for("Dora");
    request.pubkey32 = key(1); /* Bob's first, revoked */
    assert_int_equal(perform(&f, ifab_talent_add, &request), IFAB_CODE_CONFLICT);
    f.talents = swap;
    ifab_talents_free(again);
    for (size_t i = 0; i < count; i++)
        ifab_buf_fini(&last[i]);
    close_fixture(&f);
}

/* INV-16 */
static void trust_root_changes_with_any_byte_and_with_order(void **state)
{
    (void)state;
    struct fixture f;
    struct ifab_buf last[4];
    size_t count = make_history(&f, last, IFAB_COUNT(last));
    uint8_t root32[32], by_hand32[32], empty32[32];
    ifab_talents_trust_root(f.talents, root32);

    struct ifab_buf all = IFAB_BUF_INIT(1 << 20); /* the documented preimage, written out */
    for (uint32_t i = 0; i < count; i++) {
        uint8_t head[17] = {2, (uint8_t)(i + 1)};
        head[9] = (uint8_t)last[i].size;
        head[10] = (uint8_t)(last[i].size >> 8);
        ifab_buf_put(&all, head, sizeof head);
        ifab_buf_view(&all, ifab_buf_as_view(&last[i]));
    }
    ifab_sha256(ifab_buf_as_view(&all), by_hand32);
    assert_memory_equal(root32, by_hand32, 32);
    for (size_t at = 0; at < all.size; at++) {
        all.data[at] ^= 1;
        ifab_sha256(ifab_buf_as_view(&all), by_hand32);
        assert_memory_not_equal(root32, by_hand32, 32);
        all.data[at] ^= 1;
    }
    assert_int_equal(grant(&f, "Bob", "x", IFAB_NEVER), IFAB_CODE_NONE); /* and with every act */
    ifab_talents_trust_root(f.talents, by_hand32);
    assert_memory_not_equal(root32, by_hand32, 32);

    struct ifab_talents *none;
    assert_int_equal(ifab_talents_new(1, &none), IFAB_OK);
    ifab_talents_trust_root(none, empty32);
    ifab_sha256(IFAB_VIEW(""), by_hand32);
    assert_memory_equal(empty32, by_hand32, 32);
    ifab_talents_free(none);
    ifab_buf_fini(&all);
    for (size_t i = 0; i < count; i++)
        ifab_buf_fini(&last[i]);
    close_fixture(&f);
}

static void refuses_every_prefix_and_keeps_or_refuses_every_flipped_byte(void **state)
{
    (void)state;
    struct fixture f;
    struct ifab_buf last[4];
    size_t count = make_history(&f, last, IFAB_COUNT(last));
    for (size_t i = 0; i < count; i += 2) { /* Alice, and Carol who was removed */
        uint8_t *bytes = last[i].data;
        size_t size = last[i].size, taken = 0;
        for (size_t at = 0; at < size; at++) {
            struct ifab_talents *fresh;
            assert_int_equal(ifab_talents_new(1, &fresh), IFAB_OK);
            /* number i + 1 must be the next one */
            struct ifab_talent_request filler = request_for("Filler1");
            for (uint32_t n = 1; n <= i; n++) {
                char name[] = {'F', (char)('0' + n), '\0'};
                filler.name = ifab_view_str(name);
                ifab_buf_clear(&f.record);
                assert_int_equal(ifab_talent_add(fresh, &filler, &f.record, &f.number, NULL), IFAB_CODE_NONE);
                assert_int_equal(ifab_talents_load(fresh, n, ifab_buf_as_view(&f.record), NULL), IFAB_OK);
            }
            assert_int_equal(ifab_talents_load(fresh, (uint32_t)i + 1, ifab_view_of(bytes, at), NULL), IFAB_CORRUPT);
            static const uint8_t masks[] = {0x01, 0x20, 0x80, 0x05};
            for (size_t m = 0; m < IFAB_COUNT(masks); m++) {
                bytes[at] ^= masks[m];
                ifab_status status = ifab_talents_load(fresh, (uint32_t)i + 1, ifab_view_of(bytes, size), NULL);
                if (status == IFAB_OK) { /* a letter of a name, a digit of a time: another record, kept as it is */
                    taken++;
                    assert_true(ifab_view_equal(ifab_talents_at(fresh, (uint32_t)i + 1)->record, ifab_view_of(bytes, size)));
                    bytes[at] ^= masks[m];
                    break;
                }
                assert_int_equal(status, IFAB_CORRUPT);
                assert_int_equal(ifab_talents_count(fresh), i);
                bytes[at] ^= masks[m];
            }
            ifab_talents_free(fresh);
        }
        assert_true(taken < size / 3);
    }
    for (size_t i = 0; i < count; i++)
        ifab_buf_fini(&last[i]);
    close_fixture(&f);
}

/* A record with one piece of text replaced; NULL when that text does not stand in it. */
static ifab_status load_replaced(struct ifab_talents *talents, uint32_t number, struct ifab_view record, const char *from, const char *to)
{
    size_t from_size = strlen(from);
    for (size_t at = 0; at + from_size <= record.size; at++) {
        if (memcmp(record.data + at, from, from_size) != 0)
            continue;
        struct ifab_buf changed = IFAB_BUF_INIT(IFAB_TALENT_RECORD_MAX * 2);
        ifab_buf_put(&changed, record.data, at);
        ifab_buf_str(&changed, to);
        ifab_buf_put(&changed, record.data + at + from_size, record.size - at - from_size);
        ifab_status status = ifab_talents_load(talents, number, ifab_buf_as_view(&changed), NULL);
        ifab_buf_fini(&changed);
        return status;
    }
    fail_msg("%s does not stand in the record", from);
    return IFAB_OK;
}

/* INV-02, INV-16: what no act could have done to the present record is refused, whoever wrote it. */
static void refuses_records_that_do_not_follow(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f);
    add(&f, "Alice", "Corp", 0);
    add(&f, "Bob", "", 1);
    assert_int_equal(rotate(&f, "Alice", key(2), 0, WALL), IFAB_CODE_NONE);
    ifab_buf_clear(&f.record);
    struct ifab_talent_request request = request_for("Alice");
    request.scope = IFAB_VIEW("x");
    assert_int_equal(ifab_talent_grant(f.talents, &request, &f.record, &f.number, NULL), IFAB_CODE_NONE);
    struct ifab_view next = ifab_buf_as_view(&f.record);
    static const struct {
        const char *from, *to;
    } rows[] = {
        {"\"version\":3", "\"version\":4"},
        {"\"version\":3", "\"version\":2"},
        {"\"number\":1", "\"number\":2"},
        {"\"name\":\"Alice\"", "\"name\":\"Alicf\""},
        {"\"name\":\"Alice\"", "\"name\":\"Bob\""},
        {"\"owner\":\"Corp\"", "\"owner\":\"Corq\""},
        {"\"role\":\"agent\",\"role_name\":\"agent\"", "\"role\":\"admin\",\"role_name\":\"admin\""},
        {"\"role\":\"agent\"", "\"role\":\"admin\""},
        {"\"role\":\"agent\"", "\"role\":\"none\""},
        {"\"mode\":\"strict\"", "\"mode\":\"window\""},
        {"\"mode\":\"strict\"", "\"mode\":\"strikt\""},
        {"{\"created\":\"2025", "{\"created\":\"2024"},
        {"\"revoked_at\":\"2025", "\"revoked_at\":\"2026"},
        {",\"revoked_at\":\"2025-11-12T10:23:20.123Z\"", ""}, /* a revocation undone */
        {"\"epoch\":2", "\"epoch\":3"},
        {"\"key_id\":\"k-", "\"key_id\":\"k-0"},
        {"\"scope\":\"x\"", "\"scope\":\"\\u0078\""}, /* the same meaning, another spelling */
        {"\"scope\":\"x\"", "\"scope\": \"x\""},
        {"{\"created\"", "{ \"created\""},
        {"\"scope\":\"x\"}", "\"scope\":\"x\"},{\"scope\":\"x\"}"},
        {"\"scope\":\"x\"}", "\"scope\":\"x\"},{\"scope\":\"a\"}"},
        {"\"scope\":\"x\"}", "\"scope\":\"x\",\"more\":1}"},
        {"\"version\":3", "\"version\":3.0"},
        {"\"version\":3", "\"version\":\"3\""},
        {"\"version\":3}", "\"version\":3,\"why\":\"\"}"},
        {",\"version\":3}", "}"},
        {".123Z\",\"grants\"", "Z\",\"grants\""}, /* time without milliseconds */
    };
    for (size_t i = 0; i < IFAB_COUNT(rows); i++)
        if (load_replaced(f.talents, 1, next, rows[i].from, rows[i].to) != IFAB_CORRUPT)
            fail_msg("row %zu taken: %s", i, rows[i].to);
    assert_int_equal(ifab_talents_load(f.talents, 2, next, NULL), IFAB_CORRUPT);
    assert_int_equal(ifab_talents_load(f.talents, 4, next, NULL), IFAB_CORRUPT); /* a gap */
    assert_int_equal(ifab_talents_load(f.talents, 0, next, NULL), IFAB_CORRUPT);
    assert_int_equal(talent(&f, "Alice")->version, 2); /* nothing has changed */
    /* as a third talent: name or key of another, an owner spelled otherwise */
    ifab_buf_clear(&f.record);
    request = request_for("Dora");
    request.pubkey32 = key(5);
    assert_int_equal(ifab_talent_add(f.talents, &request, &f.record, &f.number, NULL), IFAB_CODE_NONE);
    next = ifab_buf_as_view(&f.record);
    assert_int_equal(load_replaced(f.talents, 3, next, "\"name\":\"Dora\"", "\"name\":\"alice\""), IFAB_CORRUPT);
    assert_int_equal(load_replaced(f.talents, 3, next, "\"owner\":\"Dora\"", "\"owner\":\"corp\""), IFAB_CORRUPT);
    assert_int_equal(load_replaced(f.talents, 3, next, "\"owner\":\"Dora\"", "\"owner\":\"dora\""), IFAB_CORRUPT);
    assert_int_equal(load_replaced(f.talents, 3, next, "\"role\":\"agent\"",
                                   "\"removed_at\":\"2025-11-12T10:23:20.123Z\",\"role\":\"agent\""),
                     IFAB_CORRUPT); /* a tombstone with an open key */
    assert_int_equal(ifab_talents_load(f.talents, 3, next, NULL), IFAB_OK);
    ifab_buf_clear(&f.record); /* removal cannot be undone */
    assert_int_equal(perform(&f, ifab_talent_remove, &request), IFAB_CODE_NONE);
    char record[1024];
    struct ifab_view gone = talent(&f, "Dora")->record;
    memcpy(record, gone.data, gone.size);
    next = ifab_view_of(record, gone.size);
    assert_int_equal(load_replaced(f.talents, 3, next, "\"version\":2", "\"version\":3"), IFAB_CORRUPT);
    close_fixture(&f);
}

/* INV-16: the same for an end that was set, a role under a configured name, and a tombstone with a grant. */
static void refuses_records_that_win_back_rights(void **state)
{
    (void)state;
    struct fixture f;
    char bytes[2048];
    open_fixture(&f);
    struct ifab_talent_request request = request_for("Alice");
    request.role_name = IFAB_VIEW("analyst");
    request.role = IFAB_ROLE_AGENT;
    request.pubkey32 = key(0);
    assert_int_equal(perform(&f, ifab_talent_add, &request), IFAB_CODE_NONE);
    assert_int_equal(rotate(&f, "Alice", key(1), IFAB_HOUR, WALL), IFAB_CODE_NONE);
    ifab_buf_clear(&f.record);
    request.scope = IFAB_VIEW("x");
    assert_int_equal(ifab_talent_grant(f.talents, &request, &f.record, &f.number, NULL), IFAB_CODE_NONE);
    struct ifab_view next = ifab_buf_as_view(&f.record);
    assert_int_equal(load_replaced(f.talents, 1, next, "\"not_after\":\"2025", "\"not_after\":\"2026"), IFAB_CORRUPT);
    assert_int_equal(load_replaced(f.talents, 1, next, "\"not_after\":\"2025-11-12T11:23:20.123Z\",", ""), IFAB_CORRUPT);
    assert_int_equal(load_replaced(f.talents, 1, next, "\"role\":\"agent\"", "\"role\":\"operator\""), IFAB_CORRUPT);
    assert_int_equal(load_replaced(f.talents, 1, next, "\"role_name\":\"analyst\"", "\"role_name\":\"analysu\""), IFAB_CORRUPT);
    assert_int_equal(ifab_talents_load(f.talents, 1, next, NULL), IFAB_OK);

    ifab_buf_clear(&f.record);
    assert_int_equal(ifab_talent_remove(f.talents, &request, &f.record, &f.number, NULL), IFAB_CODE_NONE);
    memcpy(bytes, f.record.data, f.record.size);
    next = ifab_view_of(bytes, f.record.size);
    assert_int_equal(load_replaced(f.talents, 1, next, "\"grants\":[]", "\"grants\":[{\"scope\":\"x\"}]"), IFAB_CORRUPT);
    assert_int_equal(ifab_talents_load(f.talents, 1, next, NULL), IFAB_OK);
    close_fixture(&f);
}

/* Should a removed talent ever hold an open key or a grant, it would still have neither. INV-02 */
static void removal_ends_keys_and_grants_by_itself(void **state)
{
    (void)state;
    struct ifab_key open_key = {.epoch = 1, .not_after = IFAB_NEVER, .revoked_at = IFAB_NEVER};
    struct ifab_grant open_grant = {IFAB_VIEW("x"), IFAB_NEVER};
    struct ifab_talent made = {.removed_at = IFAB_NEVER, .keys = &open_key, .key_count = 1, .grants = &open_grant, .grant_count = 1};
    memcpy(open_key.pubkey32, key(0), 32);
    assert_int_equal(ifab_talent_key_check(&made, key(0), WALL, NULL, NULL), IFAB_CODE_NONE);
    assert_true(ifab_talent_has_grant(&made, IFAB_VIEW("x"), WALL));
    made.removed_at = WALL;
    assert_int_equal(ifab_talent_key_check(&made, key(0), WALL, NULL, NULL), IFAB_CODE_KEY_REVOKED);
    assert_false(ifab_talent_has_grant(&made, IFAB_VIEW("x"), WALL));
}

static void key_of_another_talent_is_refused_at_load(void **state)
{
    (void)state;
    struct fixture f, other;
    open_fixture(&f);
    open_fixture(&other);
    add(&f, "Alice", "", 0);
    add(&other, "Xaver", "", 9);
    add(&other, "Bob", "", 0); /* the same key, in another fabric */
    assert_int_equal(ifab_talents_load(f.talents, 2, talent(&other, "Bob")->record, NULL), IFAB_CORRUPT);
    assert_int_equal(ifab_talents_count(f.talents), 1);
    close_fixture(&f);
    close_fixture(&other);
}

/* Acts and loads with allocation 1, 2, 3 … failing: a status, nothing changed, and the same call then succeeds. */
static void survives_every_failed_allocation(void **state)
{
    (void)state;
    bool failed = true;
    uint64_t n = 0;
    while (failed) {
        struct fixture f;
        struct ifab_keyring *ring = NULL;
        uint8_t before32[32], after32[32];
        open_fixture(&f);
        add(&f, "Alice", "", 0);
        ifab_talents_trust_root(f.talents, before32);
        struct ifab_talent_request request = request_for("Alice"), second = request_for("Bob");
        request.pubkey32 = key(1);
        second.owner = IFAB_VIEW("Corp");
        second.pubkey32 = key(2);
        ifab_buf_fini(&f.record);
        ifab_buf_init(&f.record, IFAB_TALENT_RECORD_MAX);
        ifab_mem_fail_at(++n);
        enum ifab_code code = ifab_talent_rotate(f.talents, &request, &f.record, &f.number, &f.refusal);
        ifab_status status = code != IFAB_CODE_NONE ? IFAB_NOMEM : ifab_talents_load(f.talents, 1, ifab_buf_as_view(&f.record), NULL);
        if (status != IFAB_OK) {
            assert_true(ifab_mem_failed());
            assert_int_equal(status, IFAB_NOMEM);
            assert_true(code == IFAB_CODE_NONE || code == IFAB_CODE_SYSTEM_ERROR);
            ifab_talents_trust_root(f.talents, after32);
            assert_memory_equal(before32, after32, 32);
            assert_null(ifab_talents_by_key(f.talents, key(1), NULL));
        } else {
            ifab_buf_clear(&f.record);
            code = ifab_talent_add(f.talents, &second, &f.record, &f.number, &f.refusal);
            status = code != IFAB_CODE_NONE ? IFAB_NOMEM : ifab_talents_load(f.talents, 2, ifab_buf_as_view(&f.record), NULL);
            if (status != IFAB_OK) {
                assert_int_equal(ifab_talents_count(f.talents), 1);
                assert_null(ifab_talents_by_key(f.talents, key(2), NULL));
            } else {
                status = ifab_keyring_new(f.talents, &ring);
            }
        }
        failed = ifab_mem_failed();
        ifab_mem_fail_at(0);
        assert_true(status == IFAB_OK || (failed && status == IFAB_NOMEM)); /* a map may have put room aside: then it succeeds */
        if (failed && ifab_talents_by_key(f.talents, key(1), NULL) == NULL)
            assert_int_equal(perform(&f, ifab_talent_rotate, &request), IFAB_CODE_NONE);
        if (failed && ifab_talents_count(f.talents) == 1)
            assert_int_equal(perform(&f, ifab_talent_add, &second), IFAB_CODE_NONE);
        if (ring == NULL)
            assert_int_equal(ifab_keyring_new(f.talents, &ring), IFAB_OK);
        ifab_keyring_unref(ring);
        close_fixture(&f);
    }
    assert_true(n > 15);
}

static void act_that_finds_no_room_appends_nothing(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f);
    struct ifab_buf small = IFAB_BUF_INIT(100);
    struct ifab_talent_request request = request_for("Alice");
    ifab_buf_str(&small, "before");
    assert_int_equal(ifab_talent_add(f.talents, &request, &small, &f.number, &f.refusal), IFAB_CODE_SYSTEM_ERROR);
    assert_int_equal(small.size, 6);
    ifab_buf_fini(&small);
    close_fixture(&f);
}

static void keyring_is_a_snapshot_that_outlives_the_table(void **state)
{
    (void)state;
    struct fixture f;
    struct ifab_keyring *empty, *old, *young;
    open_fixture(&f);
    assert_int_equal(ifab_keyring_new(f.talents, &empty), IFAB_OK);
    assert_null(ifab_keyring_find(empty, IFAB_VIEW("Alice")));
    add(&f, "Alice", "", 0);
    add(&f, "Bob", "", 1);
    assert_null(ifab_keyring_find(empty, IFAB_VIEW("Alice")));
    assert_int_equal(ifab_keyring_new(f.talents, &old), IFAB_OK);
    assert_int_equal(rotate(&f, "Alice", key(2), 0, WALL), IFAB_CODE_NONE);
    struct ifab_talent_request request = request_for("Bob");
    assert_int_equal(perform(&f, ifab_talent_remove, &request), IFAB_CODE_NONE);
    assert_int_equal(ifab_keyring_new(f.talents, &young), IFAB_OK);
    close_fixture(&f);

    const struct ifab_keyring_entry *a = ifab_keyring_find(old, IFAB_VIEW("Alice"));
    assert_non_null(a);
    assert_int_equal(a->number, 1);
    assert_int_equal(a->version, 1);
    assert_int_equal(a->key_count, 1);
    assert_memory_equal(a->keys[0].pubkey32, key(0), 32);
    assert_int_equal(a->keys[0].revoked_at, IFAB_NEVER); /* the step looks again, by version */
    assert_false(ifab_keyring_find(old, IFAB_VIEW("Bob"))->removed);
    a = ifab_keyring_find(young, IFAB_VIEW("Alice"));
    assert_int_equal(a->version, 2);
    assert_int_equal(a->key_count, 2);
    assert_int_equal(a->keys[0].revoked_at, WALL);
    assert_true(ifab_keyring_find(young, IFAB_VIEW("Bob"))->removed);
    assert_null(ifab_keyring_find(young, IFAB_VIEW("alice")));
    assert_null(ifab_keyring_find(young, IFAB_VIEW("")));

    struct ifab_keyring *same = ifab_keyring_ref(old);
    ifab_keyring_unref(old);
    assert_memory_equal(ifab_keyring_find(same, IFAB_VIEW("Alice"))->keys[0].pubkey32, key(0), 32);
    ifab_keyring_unref(same);
    ifab_keyring_unref(young);
    ifab_keyring_unref(empty);
    ifab_keyring_unref(NULL);
}

/* ---- keys of client certificates ---- */

/* INV-02 */
static void tls_key_opens_within_its_time_until_it_is_revoked(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f);
    add(&f, "Alice", "", 0);
    add(&f, "Bob", "", 1);
    assert_false(opens(&f, spki(0), "Alice", WALL));
    assert_int_equal(tls_key(&f, "Alice", spki(0), WALL + IFAB_HOUR, IFAB_NEVER), IFAB_CODE_NONE);
    assert_int_equal(tls_key(&f, "Alice", spki(1), IFAB_NEVER, IFAB_NEVER), IFAB_CODE_NONE);
    assert_int_equal(tls_key(&f, "Bob", spki(2), IFAB_NEVER, IFAB_NEVER), IFAB_CODE_NONE);
    assert_true(opens(&f, spki(0), "Alice", WALL)); /* side by side */
    assert_true(opens(&f, spki(1), "Alice", WALL));
    assert_true(opens(&f, spki(2), "Bob", WALL));
    assert_false(opens(&f, spki(0), "Alice", WALL - 1000)); /* a clock set back */
    assert_true(opens(&f, spki(0), "Alice", WALL + IFAB_HOUR - 1));
    assert_false(opens(&f, spki(0), "Alice", WALL + IFAB_HOUR));
    assert_true(opens(&f, spki(1), "Alice", WALL + IFAB_DAY));
    struct ifab_talent_request request = request_for("Alice");
    request.spki32 = spki(1);
    assert_int_equal(perform(&f, ifab_talent_revoke, &request), IFAB_CODE_NONE);
    assert_false(opens(&f, spki(1), "Alice", WALL));
    assert_false(opens(&f, spki(1), "Alice", WALL - 1000));
    assert_true(opens(&f, spki(0), "Alice", WALL)); /* the others stay, those that sign too */
    assert_int_equal(ifab_talent_key_check(talent(&f, "Alice"), key(0), WALL, NULL, &f.refusal), IFAB_CODE_NONE);
    assert_int_equal(perform(&f, ifab_talent_revoke, &request), IFAB_CODE_NOT_FOUND);
    request.spki32 = spki(2); /* another's */
    assert_int_equal(perform(&f, ifab_talent_revoke, &request), IFAB_CODE_NOT_FOUND);
    request.scope = IFAB_VIEW("x");
    assert_int_equal(perform(&f, ifab_talent_revoke, &request), IFAB_CODE_INVALID_PARAMS);
    request.scope = IFAB_VIEW("");
    request.pubkey32 = key(0);
    assert_int_equal(perform(&f, ifab_talent_revoke, &request), IFAB_CODE_INVALID_PARAMS);
    request.spki32 = NULL; /* the key that signs: certificates stay */
    assert_int_equal(perform(&f, ifab_talent_revoke, &request), IFAB_CODE_NONE);
    assert_true(opens(&f, spki(0), "Alice", WALL));
    request.pubkey32 = NULL; /* every key there is */
    assert_int_equal(perform(&f, ifab_talent_revoke, &request), IFAB_CODE_NONE);
    assert_false(opens(&f, spki(0), "Alice", WALL));
    assert_int_equal(perform(&f, ifab_talent_revoke, &request), IFAB_CODE_NOT_FOUND);
    request = request_for("Bob");
    assert_int_equal(perform(&f, ifab_talent_remove, &request), IFAB_CODE_NONE);
    assert_false(opens(&f, spki(2), "Bob", WALL));
    assert_int_equal(talent(&f, "Bob")->tls_keys[0].revoked_at, WALL);
    close_fixture(&f);
}

static void tls_key_ends_those_before_it_when_asked_to(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f);
    add(&f, "Alice", "", 0);
    assert_int_equal(tls_key(&f, "Alice", spki(0), WALL + IFAB_MINUTE, IFAB_NEVER), IFAB_CODE_NONE);
    assert_int_equal(tls_key(&f, "Alice", spki(1), IFAB_NEVER, IFAB_HOUR), IFAB_CODE_NONE);
    assert_int_equal(talent(&f, "Alice")->tls_keys[0].not_after, WALL + IFAB_MINUTE); /* never longer than it was */
    assert_int_equal(tls_key(&f, "Alice", spki(2), IFAB_NEVER, IFAB_HOUR), IFAB_CODE_NONE);
    assert_true(opens(&f, spki(1), "Alice", WALL + IFAB_HOUR - 1));
    assert_false(opens(&f, spki(1), "Alice", WALL + IFAB_HOUR));
    assert_true(opens(&f, spki(2), "Alice", WALL + IFAB_HOUR));
    assert_int_equal(tls_key(&f, "Alice", spki(3), IFAB_NEVER, 0), IFAB_CODE_NONE);
    assert_false(opens(&f, spki(2), "Alice", WALL));
    assert_true(opens(&f, spki(3), "Alice", WALL));
    assert_int_equal(ifab_talent_key_check(talent(&f, "Alice"), key(0), WALL, NULL, &f.refusal), IFAB_CODE_NONE); /* another use */
    assert_int_equal(rotate(&f, "Alice", key(1), 0, WALL), IFAB_CODE_NONE);
    assert_true(opens(&f, spki(3), "Alice", WALL)); /* nor the other way round */
    close_fixture(&f);
}

/* INV-02: one use, one holder, for ever. */
static void key_has_one_use_and_one_holder(void **state)
{
    (void)state;
    struct fixture f;
    uint8_t signs32[32], fresh32[32];
    open_fixture(&f);
    add(&f, "Alice", "", 0);
    add(&f, "Bob", "", 1);
    ifab_spki_digest(key(0), signs32);
    ifab_spki_digest(key(2), fresh32);
    assert_null(ifab_talents_by_spki(f.talents, signs32, NULL)); /* a key that signs opens nothing over TLS */
    assert_int_equal(tls_key(&f, "Alice", signs32, IFAB_NEVER, IFAB_NEVER), IFAB_CODE_CONFLICT);
    assert_int_equal(tls_key(&f, "Bob", signs32, IFAB_NEVER, IFAB_NEVER), IFAB_CODE_CONFLICT);
    assert_int_equal(tls_key(&f, "Alice", fresh32, IFAB_NEVER, IFAB_NEVER), IFAB_CODE_NONE);
    assert_int_equal(tls_key(&f, "Alice", fresh32, IFAB_NEVER, IFAB_NEVER), IFAB_CODE_CONFLICT);
    assert_int_equal(tls_key(&f, "Bob", fresh32, IFAB_NEVER, IFAB_NEVER), IFAB_CODE_CONFLICT);
    assert_int_equal(rotate(&f, "Alice", key(2), 0, WALL), IFAB_CODE_CONFLICT);
    assert_int_equal(rotate(&f, "Bob", key(2), 0, WALL), IFAB_CODE_CONFLICT);
    struct ifab_talent_request request = request_for("Carol");
    request.pubkey32 = key(2);
    assert_int_equal(perform(&f, ifab_talent_add, &request), IFAB_CODE_CONFLICT);
    request = request_for("Alice");
    assert_int_equal(perform(&f, ifab_talent_remove, &request), IFAB_CODE_NONE);
    assert_int_equal(tls_key(&f, "Bob", fresh32, IFAB_NEVER, IFAB_NEVER), IFAB_CODE_CONFLICT); /* also after its holder has gone */
    assert_int_equal(rotate(&f, "Bob", key(2), 0, WALL), IFAB_CODE_CONFLICT);
    assert_int_equal(tls_key(&f, "Bob", signs32, IFAB_NEVER, IFAB_NEVER), IFAB_CODE_CONFLICT);
    close_fixture(&f);
}

static void refuses_tls_keys_that_do_not_fit(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f);
    add(&f, "Alice", "", 0);
    assert_int_equal(tls_key(&f, "Alice", NULL, IFAB_NEVER, IFAB_NEVER), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(tls_key(&f, "Bob", spki(0), IFAB_NEVER, IFAB_NEVER), IFAB_CODE_TALENT_NOT_FOUND);
    assert_int_equal(tls_key(&f, "Alice", spki(0), WALL, IFAB_NEVER), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(tls_key(&f, "Alice", spki(0), WALL - IFAB_DAY, IFAB_NEVER), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(tls_key(&f, "Alice", spki(0), INT64_MAX / 2, IFAB_NEVER), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(tls_key(&f, "Alice", spki(0), IFAB_NEVER, -1), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(tls_key(&f, "Alice", spki(0), IFAB_NEVER, IFAB_TALENT_OVERLAP_MAX + 1), IFAB_CODE_INVALID_PARAMS);
    assert_int_equal(talent(&f, "Alice")->version, 1);
    assert_int_equal(tls_key(&f, "Alice", spki(0), WALL + 2 * 1000, IFAB_TALENT_OVERLAP_MAX), IFAB_CODE_NONE);
    close_fixture(&f);
}

/* INV-16: what no act could have made of the present record. */
static void refuses_records_whose_tls_keys_do_not_follow(void **state)
{
    (void)state;
    struct fixture f;
    char open_text[100], other[160], twice[700], two_uses[160];
    uint8_t signs32[32];
    struct ifab_buf hex = IFAB_BUF_INIT(128);
    open_fixture(&f);
    add(&f, "Bob", "", 1);
    add(&f, "Alice", "", 0);
    assert_int_equal(tls_key(&f, "Bob", spki(8), IFAB_NEVER, IFAB_NEVER), IFAB_CODE_NONE);
    assert_int_equal(tls_key(&f, "Alice", spki(0), WALL + IFAB_HOUR, IFAB_NEVER), IFAB_CODE_NONE);
    assert_int_equal(tls_key(&f, "Alice", spki(1), IFAB_NEVER, 0), IFAB_CODE_NONE); /* the first is revoked */
    ifab_buf_clear(&f.record);
    struct ifab_talent_request request = request_for("Alice");
    request.spki32 = spki(2);
    request.overlap = IFAB_NEVER;
    assert_int_equal(ifab_talent_tls_key(f.talents, &request, &f.record, &f.number, NULL), IFAB_CODE_NONE);
    struct ifab_view next = ifab_buf_as_view(&f.record);
    const char *third = "03030303\"}],\"version\":4";
    ifab_spki_digest(key(0), signs32);
    ifab_buf_hex(&hex, signs32, 32);
    snprintf(other, sizeof other, "\"sha256:%.*s\"", 64, "0909090909090909090909090909090909090909090909090909090909090909");
    snprintf(two_uses, sizeof two_uses, "\"sha256:%.*s\"", 64, (const char *)hex.data);
    snprintf(open_text, sizeof open_text, "\"sha256:%.*s\"", 64, "0303030303030303030303030303030303030303030303030303030303030303");
    snprintf(twice, sizeof twice, "\"sha256:%.*s\"", 64, "0202020202020202020202020202020202020202020202020202020202020202");
    const struct {
        const char *from, *to;
    } rows[] = {
        {"\"not_after\":\"2025-11-12T11:", "\"not_after\":\"2025-11-12T12:"},                /* longer */
        {"\"not_after\":\"2025-11-12T11:23:20.123Z\",", ""},                                 /* for ever */
        {",\"revoked_at\":\"2025-11-12T10:23:20.123Z\",\"spki\"", ",\"spki\""},             /* a revocation undone */
        {"\"revoked_at\":\"2025-11-12T10:23:20.123Z\",\"spki\"", "\"revoked_at\":\"2026-11-12T10:23:20.123Z\",\"spki\""},
        {"sha256:01", "sha256:11"},                                                          /* another key in its place */
        {"sha256:01", "sha256:0G"},
        {"sha256:03", "SHA256:03"},
        {open_text, other},                                                                  /* another talent's */
        {open_text, twice},
        {open_text, two_uses},                                                               /* its own key that signs */
        {third, "03030303\",\"more\":1}],\"version\":4"},
        {third, "03030303\"}] ,\"version\":4"},
        {",\"tls_keys\":[", ",\"tls_keys\":[{\"spki\":1},"},
    };
    for (size_t i = 0; i < IFAB_COUNT(rows); i++)
        if (load_replaced(f.talents, 2, next, rows[i].from, rows[i].to) != IFAB_CORRUPT)
            fail_msg("row %zu taken: %s", i, rows[i].to);
    ifab_buf_clear(&f.record); /* none at all any more, or an empty list */
    request.scope = IFAB_VIEW("x");
    assert_int_equal(ifab_talent_grant(f.talents, &request, &f.record, &f.number, NULL), IFAB_CODE_NONE);
    char bytes[4096];
    memcpy(bytes, f.record.data, f.record.size);
    char *from = memmem(bytes, f.record.size, ",\"tls_keys\"", 11), *end = memmem(bytes, f.record.size, ",\"version\"", 10);
    assert_true(from != NULL && end > from);
    memmove(from, end, (size_t)(bytes + f.record.size - end));
    assert_int_equal(ifab_talents_load(f.talents, 2, ifab_view_of(bytes, f.record.size - (size_t)(end - from)), NULL), IFAB_CORRUPT);
    assert_int_equal(load_replaced(f.talents, 2, ifab_view_of(bytes, f.record.size - (size_t)(end - from)), ",\"version\"",
                                   ",\"tls_keys\":[],\"version\""), IFAB_CORRUPT);
    assert_int_equal(talent(&f, "Alice")->tls_key_count, 2);
    assert_int_equal(perform(&f, ifab_talent_remove, &request), IFAB_CODE_NONE); /* a tombstone with an open key */
    add(&f, "Carol", "", 3);
    assert_int_equal(tls_key(&f, "Carol", spki(4), IFAB_NEVER, IFAB_NEVER), IFAB_CODE_NONE);
    request = request_for("Carol");
    ifab_buf_clear(&f.record);
    assert_int_equal(ifab_talent_remove(f.talents, &request, &f.record, &f.number, NULL), IFAB_CODE_NONE);
    next = ifab_buf_as_view(&f.record);
    assert_int_equal(load_replaced(f.talents, 3, next, ",\"revoked_at\":\"2025-11-12T10:23:20.123Z\",\"spki\"", ",\"spki\""), IFAB_CORRUPT);
    assert_int_equal(ifab_talents_load(f.talents, 3, next, NULL), IFAB_OK);
    /* of a new talent, where nobody held them before: one key twice, one key of two uses */
    char with[512];
    request = request_for("Dora");
    request.pubkey32 = key(5);
    ifab_spki_digest(key(5), signs32);
    ifab_buf_clear(&hex);
    ifab_buf_hex(&hex, signs32, 32);
    ifab_buf_clear(&f.record);
    assert_int_equal(ifab_talent_add(f.talents, &request, &f.record, &f.number, NULL), IFAB_CODE_NONE);
    next = ifab_buf_as_view(&f.record);
    const char *fresh = "7777777777777777777777777777777777777777777777777777777777777777", *often[3][2] = {
        {fresh, fresh}, {fresh, (const char *)hex.data}, {fresh, "7777777777777777777777777777777777777777777777777777777777777778"}};
    for (size_t i = 0; i < IFAB_COUNT(often); i++) {
        snprintf(with, sizeof with, ",\"tls_keys\":[{\"not_before\":\"2025-11-12T10:23:20.123Z\",\"spki\":\"sha256:%.64s\"},"
                 "{\"not_before\":\"2025-11-12T10:23:20.123Z\",\"spki\":\"sha256:%.64s\"}],\"version\"", often[i][0], often[i][1]);
        assert_int_equal(load_replaced(f.talents, 4, next, ",\"version\"", with), i < 2 ? IFAB_CORRUPT : IFAB_OK);
    }
    ifab_buf_fini(&hex);
    close_fixture(&f);
}

/* Should a removed talent ever hold an open key of a certificate, it would not open. */
static void removal_ends_tls_keys_by_itself(void **state)
{
    (void)state;
    const struct ifab_tls_key key = {.not_before = WALL, .not_after = IFAB_NEVER, .revoked_at = IFAB_NEVER};
    struct ifab_talent made = {.removed_at = IFAB_NEVER, .tls_keys = &key, .tls_key_count = 1};
    assert_true(ifab_tls_key_valid(&made, &key, WALL));
    assert_false(ifab_tls_key_valid(NULL, &key, WALL));
    assert_false(ifab_tls_key_valid(&made, NULL, WALL));
    made.removed_at = WALL;
    assert_false(ifab_tls_key_valid(&made, &key, WALL));
}

static void tls_keys_survive_every_failed_allocation(void **state)
{
    (void)state;
    bool failed = true;
    uint64_t n = 0;
    while (failed) {
        struct fixture f;
        open_fixture(&f);
        add(&f, "Alice", "", 0);
        struct ifab_talent_request request = request_for("Alice");
        request.spki32 = spki(0);
        request.overlap = IFAB_NEVER;
        ifab_buf_fini(&f.record);
        ifab_buf_init(&f.record, IFAB_TALENT_RECORD_MAX);
        ifab_mem_fail_at(++n);
        enum ifab_code code = ifab_talent_tls_key(f.talents, &request, &f.record, &f.number, &f.refusal);
        ifab_status status = code != IFAB_CODE_NONE ? IFAB_NOMEM : ifab_talents_load(f.talents, 1, ifab_buf_as_view(&f.record), NULL);
        failed = ifab_mem_failed();
        ifab_mem_fail_at(0);
        assert_true(status == IFAB_OK || (failed && status == IFAB_NOMEM));
        assert_int_equal(opens(&f, spki(0), "Alice", WALL), status == IFAB_OK);
        if (status != IFAB_OK)
            assert_int_equal(perform(&f, ifab_talent_tls_key, &request), IFAB_CODE_NONE); /* and it can be done again */
        assert_true(opens(&f, spki(0), "Alice", WALL));
        close_fixture(&f);
    }
    assert_true(n > 3);
}

static void names_roles(void **state)
{
    (void)state;
    static const char *const names[] = {"none", "agent", "readonly", "auditor", "operator", "admin"};
    for (size_t i = 0; i < IFAB_COUNT(names); i++) {
        assert_string_equal(ifab_role_name((enum ifab_role)i), names[i]);
        assert_int_equal(ifab_role_parse(ifab_view_str(names[i])), i); /* "none" is no role: NONE */
    }
    assert_int_equal(ifab_role_parse(IFAB_VIEW("Admin")), IFAB_ROLE_NONE);
    assert_int_equal(ifab_role_parse(IFAB_VIEW("")), IFAB_ROLE_NONE);
    assert_string_equal(ifab_role_name((enum ifab_role)99), "none");
}

static void holds_thousands(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f);
    char name[16];
    for (unsigned i = 1; i <= 3000; i++) {
        snprintf(name, sizeof name, "T%u", i);
        struct ifab_talent_request request = request_for(name);
        assert_int_equal(perform(&f, ifab_talent_add, &request), IFAB_CODE_NONE);
    }
    for (unsigned i = 1; i <= 3000; i++) {
        snprintf(name, sizeof name, "T%u", i);
        assert_int_equal(talent(&f, name)->number, i);
    }
    close_fixture(&f);
}

static int init_crypto(void **state)
{
    (void)state;
    return ifab_crypto_init(NULL) == IFAB_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_the_record_that_the_header_describes),
        cmocka_unit_test(adds_with_defaults_and_finds_by_name_number_and_key),
        cmocka_unit_test(refuses_to_add_what_does_not_fit),
        cmocka_unit_test(grants_expire_and_are_replaced),
        cmocka_unit_test(bounds_hold_and_the_largest_record_fits),
        cmocka_unit_test(only_a_registered_key_within_its_validity_passes),
        cmocka_unit_test(revokes_one_key_or_all),
        cmocka_unit_test(removed_names_and_keys_never_come_back),
        cmocka_unit_test(newest_records_rebuild_the_same_state),
        cmocka_unit_test(trust_root_changes_with_any_byte_and_with_order),
        cmocka_unit_test(refuses_every_prefix_and_keeps_or_refuses_every_flipped_byte),
        cmocka_unit_test(refuses_records_that_do_not_follow),
        cmocka_unit_test(refuses_records_that_win_back_rights),
        cmocka_unit_test(removal_ends_keys_and_grants_by_itself),
        cmocka_unit_test(key_of_another_talent_is_refused_at_load),
        cmocka_unit_test(survives_every_failed_allocation),
        cmocka_unit_test(act_that_finds_no_room_appends_nothing),
        cmocka_unit_test(keyring_is_a_snapshot_that_outlives_the_table),
        cmocka_unit_test(tls_key_opens_within_its_time_until_it_is_revoked),
        cmocka_unit_test(tls_key_ends_those_before_it_when_asked_to),
        cmocka_unit_test(key_has_one_use_and_one_holder),
        cmocka_unit_test(refuses_tls_keys_that_do_not_fit),
        cmocka_unit_test(refuses_records_whose_tls_keys_do_not_follow),
        cmocka_unit_test(removal_ends_tls_keys_by_itself),
        cmocka_unit_test(tls_keys_survive_every_failed_allocation),
        cmocka_unit_test(names_roles),
        cmocka_unit_test(holds_thousands),
    };
    return cmocka_run_group_tests(tests, init_crypto, NULL);
}

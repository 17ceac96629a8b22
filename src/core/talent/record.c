/*
 * A talent's record: canonical JSON in, canonical JSON out.
 *
 * 1. What read takes, write gives back byte for byte: read ends by comparing. So one talent has one spelling, key_id is always that of the
 *    key, and no string of a record has an escape (its views may point into the record).
 * 2. Keys are not tested for being points of the curve here: an act did that before the record was made, a verifier does it again, and a
 *    start must not take 50 µs a key.
 */
#include "base/encode.h"
#include "base/id.h"
#include "base/mem.h"
#include "crypto/crypto.h"
#include "json/schema.h"
#include "talent_internal.h"

#define TIME_FIELD(name_, required_) \
    {.name = (name_), .kind = IFAB_SCHEMA_STRING, .required = (required_), .min = 24, .max = 24, .check = ifab_schema_time}
#define NAME_FIELD(name_) \
    {.name = (name_), .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = IFAB_NAME_MAX, .check = ifab_schema_name}

static bool check_scope(struct ifab_view text, const char **ret_why)
{
    *ret_why = "1 to 128 visible ASCII characters without quote and backslash";
    return ifab_scope_valid(text);
}

static const struct ifab_schema_field grant_fields[] = {
    TIME_FIELD("expires_at", false),
    {.name = "scope", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 128, .check = check_scope},
};
static const struct ifab_schema grant_schema = {"grant", grant_fields, IFAB_COUNT(grant_fields)};
static const struct ifab_schema_field grant_item = {.kind = IFAB_SCHEMA_OBJECT, .sub = &grant_schema};

static const struct ifab_schema_field key_fields[] = {
    {.name = "epoch", .kind = IFAB_SCHEMA_INTEGER, .required = true, .min = 1, .max = IFAB_TALENT_KEYS_MAX},
    {.name = "key_id", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 18, .max = 18, .check = ifab_schema_key_id},
    TIME_FIELD("not_after", false),
    TIME_FIELD("not_before", true),
    {.name = "pubkey", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 43, .max = 43, .check = ifab_schema_key32},
    TIME_FIELD("revoked_at", false),
};
static const struct ifab_schema key_schema = {"key", key_fields, IFAB_COUNT(key_fields)};
static const struct ifab_schema_field key_item = {.kind = IFAB_SCHEMA_OBJECT, .sub = &key_schema};

static const struct ifab_schema_field tls_key_fields[] = {
    TIME_FIELD("not_after", false),
    TIME_FIELD("not_before", true),
    TIME_FIELD("revoked_at", false),
    {.name = "spki", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 71, .max = 71, .check = ifab_schema_sha256},
};
static const struct ifab_schema tls_key_schema = {"TLS key", tls_key_fields, IFAB_COUNT(tls_key_fields)};
static const struct ifab_schema_field tls_key_item = {.kind = IFAB_SCHEMA_OBJECT, .sub = &tls_key_schema};

static const struct ifab_schema_field talent_fields[] = {
    TIME_FIELD("created", true),
    {.name = "grants", .kind = IFAB_SCHEMA_LIST, .required = true, .max = IFAB_TALENT_GRANTS_MAX, .item = &grant_item},
    {.name = "keys", .kind = IFAB_SCHEMA_LIST, .required = true, .max = IFAB_TALENT_KEYS_MAX, .item = &key_item},
    {.name = "mode", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 6, .max = 6},
    NAME_FIELD("name"),
    {.name = "number", .kind = IFAB_SCHEMA_INTEGER, .required = true, .min = 1, .max = IFAB_TALENT_MAX},
    NAME_FIELD("owner"),
    TIME_FIELD("removed_at", false),
    {.name = "role", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 5, .max = 8},
    NAME_FIELD("role_name"),
    {.name = "tls_keys", .kind = IFAB_SCHEMA_LIST, .min = 1, .max = IFAB_TALENT_TLS_KEYS_MAX, .item = &tls_key_item},
    {.name = "version", .kind = IFAB_SCHEMA_INTEGER, .required = true, .min = 1, .max = ((int64_t)1 << 53) - 1},
};
static const struct ifab_schema talent_schema = {"talent record", talent_fields, IFAB_COUNT(talent_fields)};

static const char *const mode_names[] = {"strict", "window"}; /* enum ifab_order_mode of connect */

bool ifab_talent__role_fits(struct ifab_view role_name, enum ifab_role role)
{
    enum ifab_role meant = ifab_role_parse(role_name);
    return role != IFAB_ROLE_NONE && (meant == IFAB_ROLE_NONE || meant == role);
}

static void put_time(struct ifab_buf *buf, const char *before, ifab_usec wall)
{
    ifab_buf_str(buf, before);
    ifab_buf_time(buf, wall);
    ifab_buf_char(buf, '"');
}

static void put_key(struct ifab_buf *buf, const struct ifab_key *key)
{
    char key_id[19];
    ifab_key_id(key->pubkey32, key_id);
    ifab_buf_str(buf, "{\"epoch\":");
    ifab_buf_u64(buf, key->epoch);
    ifab_buf_str(buf, ",\"key_id\":\"");
    ifab_buf_str(buf, key_id);
    if (key->not_after != IFAB_NEVER)
        put_time(buf, "\",\"not_after\":\"", key->not_after);
    else
        ifab_buf_char(buf, '"');
    put_time(buf, ",\"not_before\":\"", key->not_before);
    ifab_buf_str(buf, ",\"pubkey\":\"");
    ifab_buf_base64url(buf, key->pubkey32, 32);
    if (key->revoked_at != IFAB_NEVER)
        put_time(buf, "\",\"revoked_at\":\"", key->revoked_at);
    else
        ifab_buf_char(buf, '"');
    ifab_buf_char(buf, '}');
}

static void put_lists(struct ifab_buf *buf, const struct ifab_talent *talent)
{
    ifab_buf_str(buf, ",\"grants\":[");
    for (size_t i = 0; i < talent->grant_count; i++) {
        ifab_buf_str(buf, i == 0 ? "{" : ",{");
        if (talent->grants[i].expires_at != IFAB_NEVER) {
            put_time(buf, "\"expires_at\":\"", talent->grants[i].expires_at);
            ifab_buf_char(buf, ',');
        }
        ifab_buf_str(buf, "\"scope\":");
        ifab_json_put_string(buf, talent->grants[i].scope);
        ifab_buf_char(buf, '}');
    }
    ifab_buf_str(buf, "],\"keys\":[");
    for (size_t i = 0; i < talent->key_count; i++) {
        if (i > 0)
            ifab_buf_char(buf, ',');
        put_key(buf, &talent->keys[i]);
    }
    ifab_buf_char(buf, ']');
}

static void put_tls_keys(struct ifab_buf *buf, const struct ifab_talent *talent)
{
    if (talent->tls_key_count > 0)
        ifab_buf_str(buf, ",\"tls_keys\":[");
    for (size_t i = 0; i < talent->tls_key_count; i++) {
        const struct ifab_tls_key *key = &talent->tls_keys[i];
        ifab_buf_str(buf, i == 0 ? "{" : ",{");
        if (key->not_after != IFAB_NEVER) {
            put_time(buf, "\"not_after\":\"", key->not_after);
            ifab_buf_char(buf, ',');
        }
        put_time(buf, "\"not_before\":\"", key->not_before);
        if (key->revoked_at != IFAB_NEVER)
            put_time(buf, ",\"revoked_at\":\"", key->revoked_at);
        ifab_buf_str(buf, ",\"spki\":\"sha256:");
        ifab_buf_hex(buf, key->spki32, 32);
        ifab_buf_str(buf, i + 1 == talent->tls_key_count ? "\"}]" : "\"}");
    }
}

void ifab_talent__write(struct ifab_buf *buf, const struct ifab_talent *talent)
{
    put_time(buf, "{\"created\":\"", talent->created);
    put_lists(buf, talent);
    ifab_buf_str(buf, ",\"mode\":");
    ifab_json_put_cstr(buf, mode_names[talent->mode]);
    ifab_buf_str(buf, ",\"name\":");
    ifab_json_put_string(buf, talent->name);
    ifab_buf_str(buf, ",\"number\":");
    ifab_buf_u64(buf, talent->number);
    ifab_buf_str(buf, ",\"owner\":");
    ifab_json_put_string(buf, talent->owner);
    if (talent->removed_at != IFAB_NEVER)
        put_time(buf, ",\"removed_at\":\"", talent->removed_at);
    ifab_buf_str(buf, ",\"role\":");
    ifab_json_put_cstr(buf, ifab_role_name(talent->role));
    ifab_buf_str(buf, ",\"role_name\":");
    ifab_json_put_string(buf, talent->role_name);
    put_tls_keys(buf, talent);
    ifab_buf_str(buf, ",\"version\":");
    ifab_buf_u64(buf, talent->version);
    ifab_buf_char(buf, '}');
}

/* The schema has been checked: a field is absent or of its kind. */
static int64_t integer_of(const struct ifab_json *object, const char *name)
{
    int64_t value = 0;
    (void)ifab_json_integer(ifab_json_get(object, name), &value);
    return value;
}

static ifab_usec time_of(const struct ifab_json *object, const char *name)
{
    ifab_usec wall = IFAB_NEVER;
    if (ifab_json_get(object, name) != NULL && ifab_time_parse(ifab_json_text(object, name), &wall) != IFAB_OK)
        return 0; /* the comparison at the end refuses it */
    return wall;
}

static ifab_status read_keys(const struct ifab_json *list, struct ifab_arena *arena, struct ifab_talent *talent, struct ifab_error *err)
{
    talent->key_count = list->u.array.count;
    struct ifab_key *keys = ifab_arena_calloc(arena, talent->key_count + 1, sizeof *keys);
    if (keys == NULL)
        return ifab_fail(err, IFAB_NOMEM, "talent record");
    talent->keys = keys;
    for (size_t i = 0; i < talent->key_count; i++) {
        const struct ifab_json *item = &list->u.array.items[i];
        size_t size = 0;
        keys[i].epoch = (uint32_t)integer_of(item, "epoch");
        keys[i].not_before = time_of(item, "not_before");
        keys[i].not_after = time_of(item, "not_after");
        keys[i].revoked_at = time_of(item, "revoked_at");
        if (ifab_base64url_decode(ifab_json_text(item, "pubkey"), keys[i].pubkey32, 32, &size) != IFAB_OK || size != 32)
            return ifab_fail(err, IFAB_CORRUPT, "talent record: pubkey is not 32 bytes");
        if (keys[i].epoch != i + 1)
            return ifab_fail(err, IFAB_CORRUPT, "talent record: epoch %u stands at place %zu", keys[i].epoch, i + 1);
        for (size_t j = 0; j < i; j++)
            if (memcmp(keys[i].pubkey32, keys[j].pubkey32, 32) == 0)
                return ifab_fail(err, IFAB_CORRUPT, "talent record: one key stands twice");
    }
    return IFAB_OK;
}

/* None of them twice, nor one that signs: a key has one use. */
static ifab_status check_tls_keys(const struct ifab_talent *talent, struct ifab_error *err)
{
    uint8_t signs[IFAB_TALENT_KEYS_MAX][32];
    for (size_t i = 0; i < talent->key_count && talent->tls_key_count > 0; i++)
        ifab_spki_digest(talent->keys[i].pubkey32, signs[i]);
    for (size_t i = 0; i < talent->tls_key_count; i++) {
        const uint8_t *spki32 = talent->tls_keys[i].spki32;
        for (size_t j = 0; j < i; j++)
            if (memcmp(spki32, talent->tls_keys[j].spki32, 32) == 0)
                return ifab_fail(err, IFAB_CORRUPT, "talent record: one TLS key stands twice");
        for (size_t j = 0; j < talent->key_count; j++)
            if (memcmp(spki32, signs[j], 32) == 0)
                return ifab_fail(err, IFAB_CORRUPT, "talent record: one key has two uses");
    }
    return IFAB_OK;
}

static ifab_status read_tls_keys(const struct ifab_json *list, struct ifab_arena *arena, struct ifab_talent *talent, struct ifab_error *err)
{
    if (list == NULL)
        return IFAB_OK;
    talent->tls_key_count = list->u.array.count;
    struct ifab_tls_key *keys = ifab_arena_calloc(arena, talent->tls_key_count + 1, sizeof *keys);
    if (keys == NULL)
        return ifab_fail(err, IFAB_NOMEM, "talent record");
    talent->tls_keys = keys;
    for (size_t i = 0; i < talent->tls_key_count; i++) {
        const struct ifab_json *item = &list->u.array.items[i];
        struct ifab_view spki = ifab_json_text(item, "spki");
        keys[i].not_before = time_of(item, "not_before");
        keys[i].not_after = time_of(item, "not_after");
        keys[i].revoked_at = time_of(item, "revoked_at");
        if (ifab_hex_decode(ifab_view_of(spki.data + 7, spki.size - 7), keys[i].spki32, 32) != IFAB_OK)
            return ifab_fail(err, IFAB_CORRUPT, "talent record: spki is no digest");
    }
    return check_tls_keys(talent, err);
}

static ifab_status read_grants(const struct ifab_json *list, struct ifab_arena *arena, struct ifab_talent *talent, struct ifab_error *err)
{
    talent->grant_count = list->u.array.count;
    struct ifab_grant *grants = ifab_arena_calloc(arena, talent->grant_count + 1, sizeof *grants);
    if (grants == NULL)
        return ifab_fail(err, IFAB_NOMEM, "talent record");
    talent->grants = grants;
    for (size_t i = 0; i < talent->grant_count; i++) {
        grants[i].scope = ifab_json_text(&list->u.array.items[i], "scope");
        grants[i].expires_at = time_of(&list->u.array.items[i], "expires_at");
        if (i > 0 && ifab_view_compare(grants[i - 1].scope, grants[i].scope) >= 0)
            return ifab_fail(err, IFAB_CORRUPT, "talent record: grants are not in order of scope, each once");
    }
    return IFAB_OK;
}

/* Rules between fields; a tombstone keeps its keys, all revoked, and no grant. */
static ifab_status check_sense(const struct ifab_talent *talent, struct ifab_error *err)
{
    if (!ifab_talent__role_fits(talent->role_name, talent->role))
        return ifab_fail(err, IFAB_CORRUPT, "talent record: role and role_name do not fit");
    if (talent->removed_at == IFAB_NEVER)
        return IFAB_OK;
    if (talent->grant_count > 0)
        return ifab_fail(err, IFAB_CORRUPT, "talent record: removed, but has grants");
    for (size_t i = 0; i < talent->key_count; i++)
        if (talent->keys[i].revoked_at == IFAB_NEVER)
            return ifab_fail(err, IFAB_CORRUPT, "talent record: removed, but has a key that is not revoked");
    for (size_t i = 0; i < talent->tls_key_count; i++)
        if (talent->tls_keys[i].revoked_at == IFAB_NEVER)
            return ifab_fail(err, IFAB_CORRUPT, "talent record: removed, but has a TLS key that is not revoked");
    return IFAB_OK;
}

static ifab_status compare_written(const struct ifab_talent *talent, struct ifab_view record, struct ifab_error *err)
{
    struct ifab_buf buf = IFAB_BUF_INIT(IFAB_TALENT_RECORD_MAX);
    ifab_talent__write(&buf, talent);
    ifab_status status = ifab_buf_status(&buf);
    if (status == IFAB_TOO_LARGE || (status == IFAB_OK && !ifab_view_equal(ifab_buf_as_view(&buf), record)))
        status = ifab_fail(err, IFAB_CORRUPT, "talent record: not in its canonical form");
    else if (status != IFAB_OK)
        status = ifab_fail(err, IFAB_NOMEM, "talent record");
    ifab_buf_fini(&buf);
    return status;
}

ifab_status ifab_talent__read(struct ifab_view record, struct ifab_arena *arena, struct ifab_talent *ret_talent, struct ifab_error *err)
{
    static const struct ifab_json_limits limits = {IFAB_TALENT_RECORD_MAX, true};
    const struct ifab_json *tree = NULL;
    ifab_status status = ifab_json_read(record, &limits, arena, &tree, err);
    if (status == IFAB_NOMEM)
        return IFAB_NOMEM;
    if (status != IFAB_OK)
        return ifab_fail(err, IFAB_CORRUPT, "talent record: not JSON");
    struct ifab_refusal refusal;
    enum ifab_code code = ifab_schema_check(&talent_schema, tree, IFAB_CODE_LOG_CORRUPT, &refusal);
    if (code != IFAB_CODE_NONE)
        return ifab_fail(err, code == IFAB_CODE_LOG_CORRUPT ? IFAB_CORRUPT : IFAB_NOMEM, "talent record: %s: %s", refusal.field,
                         refusal.message);

    struct ifab_talent talent;
    memset(&talent, 0, sizeof talent);
    struct ifab_view mode = ifab_json_text(tree, "mode");
    talent.mode = ifab_view_is(mode, mode_names[1]) ? 1 : 0; /* any third word fails the comparison */
    talent.number = (uint32_t)integer_of(tree, "number");
    talent.version = (uint64_t)integer_of(tree, "version");
    talent.name = ifab_json_text(tree, "name");
    talent.owner = ifab_json_text(tree, "owner");
    talent.role_name = ifab_json_text(tree, "role_name");
    talent.role = ifab_role_parse(ifab_json_text(tree, "role"));
    talent.created = time_of(tree, "created");
    talent.removed_at = time_of(tree, "removed_at");
    talent.record = record;
    IFAB_TRY(read_keys(ifab_json_get(tree, "keys"), arena, &talent, err));
    IFAB_TRY(read_tls_keys(ifab_json_get(tree, "tls_keys"), arena, &talent, err));
    IFAB_TRY(read_grants(ifab_json_get(tree, "grants"), arena, &talent, err));
    IFAB_TRY(check_sense(&talent, err));
    IFAB_TRY(compare_written(&talent, record, err));
    *ret_talent = talent;
    return IFAB_OK;
}

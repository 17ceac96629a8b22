/*
 * The manifest's table and its typed form.
 *
 * 1. The table decides first; what it cannot say (names as keys, rules between fields) is asked behind it, in the order of the fields.
 * 2. Nothing is filled into the tree: defaults live in the typed form only, so the signed bytes are those the publisher wrote.
 */
#include "base/encode.h"
#include "base/id.h"
#include "capability_internal.h"
#include "crypto/crypto.h"

#include <stdarg.h>
#include <stdio.h>

static bool check_id(struct ifab_view text, const char **ret_why)
{
    *ret_why = "if://capability/NAME with NAME of lower-case letters and digits, single '.' or '-' between them";
    return ifab_capability_id_valid(text);
}

static bool check_version(struct ifab_view text, const char **ret_why)
{
    *ret_why = "three numbers: 1.0.0";
    return ifab_capability_version_valid(text);
}

/* Below the root of modules, by whole names: nothing in it can lead out (FL-CAP-4). */
static bool check_module(struct ifab_view text, const char **ret_why)
{
    *ret_why = "a relative path of names ending in .wasm, without \"..\"";
    if (text.size < 6 || memcmp(text.data + text.size - 5, ".wasm", 5) != 0)
        return false;
    size_t from = 0, parts = 0;
    for (size_t i = 0; i <= text.size; i++) {
        if (i < text.size && text.data[i] != '/')
            continue;
        if (!ifab_name_valid(ifab_view_of(text.data + from, i - from)) || ++parts > 8)
            return false;
        from = i + 1;
    }
    return true;
}

static bool check_origin(struct ifab_view text, const char **ret_why)
{
    struct ifab_origin origin;
    *ret_why = "scheme://host or scheme://host:port in lower case, nothing behind";
    return ifab_origin_parse(text, &origin);
}

/* A header's or a parameter's name, RFC 9110 token; one / between two of them: region/service. Which of both, check_secret() looks. */
static bool check_field(struct ifab_view text, const char **ret_why)
{
    size_t slashes = 0;
    *ret_why = "a header or parameter name, or region/service";
    for (size_t i = 0; i < text.size; i++) {
        slashes += text.data[i] == '/';
        if (text.data[i] <= 0x20 || text.data[i] > 0x7e || memchr("\"(),:;<=>?@[\\]{}", text.data[i], 16) != NULL)
            return false;
    }
    return slashes == 0 || (slashes == 1 && text.data[0] != '/' && text.data[text.size - 1] != '/');
}

static bool check_scope(struct ifab_view text, const char **ret_why)
{
    *ret_why = "1 to 128 visible ASCII characters without quote and backslash";
    return ifab_scope_valid(text);
}

static bool word_in(struct ifab_view text, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ifab_view_is(text, words[i]))
            return true;
    return false;
}

#define TEXT_(name, text) text,
static const char *const effect_names[] = {"none", IFAB_EFFECT_MAP(TEXT_)};
static const char *const import_names[] = {IFAB_MANIFEST_IMPORT_MAP(TEXT_)};
static const char *const method_names[] = {IFAB_METHOD_MAP(TEXT_)};
static const char *const as_names[] = {IFAB_SECRET_AS_MAP(TEXT_)};
#undef TEXT_

static size_t place_of(struct ifab_view text, const char *const *words, size_t count)
{
    size_t i = 0;
    while (i < count && !ifab_view_is(text, words[i]))
        i++;
    return i;
}

static bool check_effect(struct ifab_view text, const char **ret_why)
{
    *ret_why = "read, write, physical or payment";
    return word_in(text, effect_names + 1, IFAB_COUNT(effect_names) - 1);
}

static bool check_import(struct ifab_view text, const char **ret_why)
{
    *ret_why = "log, http, secret_ref, kv_get, kv_put, now or random";
    return word_in(text, import_names, IFAB_COUNT(import_names));
}

static bool check_method(struct ifab_view text, const char **ret_why)
{
    *ret_why = "GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS";
    return word_in(text, method_names, IFAB_COUNT(method_names));
}

static bool check_as(struct ifab_view text, const char **ret_why)
{
    *ret_why = "header, bearer, basic, query, sigv4 or hmac";
    return word_in(text, as_names, IFAB_COUNT(as_names));
}

static bool check_scheme(struct ifab_view text, const char **ret_why)
{
    enum ifab_origin_scheme scheme;
    *ret_why = "https, http, wss or ws";
    return ifab_origin__scheme_parse(text, &scheme);
}

#define MONEY_MAX (((int64_t)1 << 53) - 1)
#define STRING(name_, required_, max_, check_)                                                                           \
    {                                                                                                                    \
        .name = (name_), .kind = IFAB_SCHEMA_STRING, .required = (required_), .min = 1, .max = (max_), .check = (check_) \
    }
#define INTEGER(name_, required_, min_, max_)                                                               \
    {                                                                                                       \
        .name = (name_), .kind = IFAB_SCHEMA_INTEGER, .required = (required_), .min = (min_), .max = (max_) \
    }
#define OBJECT(name_, required_, sub_)                                                      \
    {                                                                                       \
        .name = (name_), .kind = IFAB_SCHEMA_OBJECT, .required = (required_), .sub = (sub_) \
    }
#define LIST(name_, required_, min_, max_, item_)                                                                         \
    {                                                                                                                     \
        .name = (name_), .kind = IFAB_SCHEMA_LIST, .required = (required_), .min = (min_), .max = (max_), .item = (item_) \
    }

static const struct ifab_schema_field entrypoint_fields[] = {
    STRING("module", true, IFAB_MODULE_PATH_MAX, check_module),
    {.name = "sha256", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 71, .max = 71, .check = ifab_schema_sha256},
    INTEGER("size", true, 1, IFAB_MODULE_SIZE_MAX),
    INTEGER("abi", true, IFAB_CAPABILITY_ABI, IFAB_CAPABILITY_ABI),
};
static const struct ifab_schema entrypoint_schema = {"entrypoint", entrypoint_fields, IFAB_COUNT(entrypoint_fields)};

static const struct ifab_schema_field cost_fields[] = {
    INTEGER("usd_micro", false, 0, MONEY_MAX),
    INTEGER("tokens", false, 0, MONEY_MAX),
    INTEGER("calls", false, 0, MONEY_MAX),
};
static const struct ifab_schema cost_schema = {"cost_estimate", cost_fields, IFAB_COUNT(cost_fields)};
static const struct ifab_schema_field operation_fields[] = {
    {.name = "params", .kind = IFAB_SCHEMA_OPEN},
    STRING("effect", true, 16, check_effect),
    OBJECT("cost_estimate", false, &cost_schema),
    {.name = "idempotent", .kind = IFAB_SCHEMA_BOOL},
};
static const struct ifab_schema operation_schema = {"operation", operation_fields, IFAB_COUNT(operation_fields)};

static const struct ifab_schema_field method_item = {.kind = IFAB_SCHEMA_STRING, .min = 1, .max = 16, .check = check_method};
static const struct ifab_schema_field http_fields[] = {
    STRING("scheme", true, 5, check_scheme),
    STRING("host", true, 253, ifab_http__host_valid),
    INTEGER("port", false, 1, 65535),
    STRING("path", true, 1024, ifab_http__pattern_valid),
    LIST("methods", true, 1, IFAB_METHOD_COUNT, &method_item),
    STRING("effect", false, 16, check_effect),
};
static const struct ifab_schema http_schema = {"http row", http_fields, IFAB_COUNT(http_fields)};
static const struct ifab_schema_field http_item = {.kind = IFAB_SCHEMA_OBJECT, .sub = &http_schema};

static const struct ifab_schema_field secret_fields[] = {
    STRING("name", true, IFAB_NAME_MAX, ifab_schema_name),
    STRING("origin", true, 270, check_origin),
    STRING("as", true, 8, check_as),
    STRING("field", false, 64, check_field),
};
static const struct ifab_schema secret_schema = {"secret", secret_fields, IFAB_COUNT(secret_fields)};
static const struct ifab_schema_field secret_item = {.kind = IFAB_SCHEMA_OBJECT, .sub = &secret_schema};

static const struct ifab_schema_field backoff_item = {.kind = IFAB_SCHEMA_INTEGER, .min = 0, .max = 300};
static const struct ifab_schema_field limits_fields[] = {
    INTEGER("rps", true, 1, 10000),
    INTEGER("burst", true, 1, 10000),
    LIST("backoff", false, 1, IFAB_MANIFEST_BACKOFF_MAX, &backoff_item),
    INTEGER("concurrency", false, 1, 256),
    INTEGER("memory_mib", false, 1, 256),
    INTEGER("fuel", false, 1, 1000000000000),
    INTEGER("deadline_ms", false, 1, 300000),
    INTEGER("response_kib", false, 1, 16384),
};
static const struct ifab_schema limits_schema = {"limits", limits_fields, IFAB_COUNT(limits_fields)};

static const struct ifab_schema_field signature_fields[] = {
    {.name = "algorithm", .kind = IFAB_SCHEMA_CONST, .required = true, .text = "ed25519"},
    STRING("key_id", false, 18, ifab_schema_key_id),
    {.name = "pubkey", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 43, .max = 43, .check = ifab_schema_key32},
    {.name = "sig", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 86, .max = 86, .check = ifab_schema_sig64},
};
static const struct ifab_schema signature_schema = {"signature", signature_fields, IFAB_COUNT(signature_fields)};

static const struct ifab_schema_field import_item = {.kind = IFAB_SCHEMA_STRING, .min = 1, .max = 16, .check = check_import};
static const struct ifab_schema_field name_item = {.kind = IFAB_SCHEMA_STRING, .min = 1, .max = IFAB_NAME_MAX, .check = ifab_schema_name};
static const struct ifab_schema_field scope_item = {.kind = IFAB_SCHEMA_STRING, .min = 1, .max = 128, .check = check_scope};
static const struct ifab_schema_field manifest_fields[] = {
    STRING("id", true, IFAB_CAPABILITY_ID_MAX, check_id),
    STRING("version", true, IFAB_CAPABILITY_VERSION_MAX, check_version),
    STRING("summary", true, 500, ifab_schema_printable),
    OBJECT("entrypoint", true, &entrypoint_schema),
    {.name = "operations", .kind = IFAB_SCHEMA_OPEN, .required = true},
    STRING("default_operation", false, IFAB_NAME_MAX, ifab_schema_name),
    LIST("imports", false, 0, IFAB_MANIFEST_IMPORT_COUNT, &import_item),
    LIST("http", false, 0, IFAB_MANIFEST_HTTP_MAX, &http_item),
    LIST("requires_secrets", false, 0, IFAB_MANIFEST_SECRETS_MAX, &secret_item),
    LIST("requires_config", false, 0, IFAB_MANIFEST_CONFIG_MAX, &name_item),
    LIST("scopes", false, 0, IFAB_MANIFEST_SCOPES_MAX, &scope_item),
    OBJECT("limits", true, &limits_schema),
    {.name = "not_after", .kind = IFAB_SCHEMA_STRING, .min = 20, .max = 24, .check = ifab_schema_time},
    OBJECT("signature", false, &signature_schema),
};
static const struct ifab_schema manifest_schema = {"manifest", manifest_fields, IFAB_COUNT(manifest_fields)};

const struct ifab_schema *ifab_manifest_schema(void) { return &manifest_schema; }

const char *ifab_effect_name(enum ifab_effect effect) { return effect_names[(size_t)effect < IFAB_COUNT(effect_names) ? effect : 0]; }

const char *ifab_manifest_import_name(enum ifab_manifest_import import) { return import < IFAB_MANIFEST_IMPORT_COUNT ? import_names[import] : ""; }

const char *ifab_method_name(enum ifab_method method) { return method < IFAB_METHOD_COUNT ? method_names[method] : ""; }

bool ifab_method_parse(struct ifab_view text, enum ifab_method *ret_method)
{
    size_t place = place_of(text, method_names, IFAB_METHOD_COUNT);
    if (place == IFAB_METHOD_COUNT)
        return false;
    *ret_method = (enum ifab_method)place;
    return true;
}

const char *ifab_secret_as_name(enum ifab_secret_as as) { return as < IFAB_SECRET_AS_COUNT ? as_names[as] : ""; }
bool ifab_secret_is_challenge(enum ifab_secret_as as, struct ifab_view field)
{
    static const char *const challenges[] = {"obs-websocket-5"}; /* egress/credential.h has the same */
    return as == IFAB_SECRET_AS_HMAC && word_in(field, challenges, IFAB_COUNT(challenges));
}

enum ifab_code ifab_capability__nomem(struct ifab_refusal *ret_refusal)
{
    return ifab_refuse(ret_refusal, IFAB_CODE_SYSTEM_ERROR, "", "out of memory");
}

struct ifab_view ifab_capability__string(const struct ifab_json *object, const char *name)
{
    struct ifab_view text = {NULL, 0};
    (void)ifab_json_string(ifab_json_get(object, name), &text);
    return text;
}

int64_t ifab_capability__integer(const struct ifab_json *object, const char *name, int64_t absent)
{
    int64_t value = absent;
    (void)ifab_json_integer(ifab_json_get(object, name), &value);
    return value;
}

__attribute__((format(__printf__, 4, 5))) static enum ifab_code invalid(struct ifab_refusal *ret_refusal, const struct ifab_json *at,
                                                                        const char *field, const char *format, ...)
{
    char text[240];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ifab_refuse(ret_refusal, IFAB_CODE_INVALID_MANIFEST, field, "%s", text);
    if (ret_refusal != NULL && at != NULL)
        ret_refusal->offset = at->offset;
    return IFAB_CODE_INVALID_MANIFEST;
}

static size_t count_of(const struct ifab_json *tree, const char *name)
{
    const struct ifab_json *list = ifab_json_get(tree, name);
    return list == NULL ? 0 : list->u.array.count;
}

/* A list of strings without doubles. */
static enum ifab_code read_names(const struct ifab_json *tree, const char *name, struct ifab_arena *arena, const struct ifab_view **ret_names,
                                 size_t *ret_count, struct ifab_refusal *ret_refusal)
{
    const struct ifab_json *list = ifab_json_get(tree, name);
    *ret_count = count_of(tree, name);
    struct ifab_view *names = ifab_arena_calloc(arena, *ret_count + 1, sizeof *names);
    if (names == NULL)
        return ifab_capability__nomem(ret_refusal);
    for (size_t i = 0; i < *ret_count; i++) {
        names[i] = list->u.array.items[i].u.string;
        for (size_t j = 0; j < i; j++)
            if (ifab_view_equal(names[i], names[j]))
                return invalid(ret_refusal, &list->u.array.items[i], name, "%s holds " IFAB_FMT " twice", name, IFAB_ARG(names[i]));
    }
    *ret_names = names;
    return IFAB_CODE_NONE;
}

static enum ifab_code read_operation(const struct ifab_json_member *member, struct ifab_operation *ret, struct ifab_refusal *ret_refusal)
{
    char field[96];
    snprintf(field, sizeof field, "operations." IFAB_FMT, IFAB_ARG(member->name));
    enum ifab_code code = ifab_schema_check(&operation_schema, &member->value, IFAB_CODE_INVALID_MANIFEST, ret_refusal);
    if (code != IFAB_CODE_NONE) {
        if (ret_refusal != NULL) { /* the path of the whole */
            char inner[sizeof ret_refusal->field];
            memcpy(inner, ret_refusal->field, sizeof inner);
            snprintf(ret_refusal->field, sizeof ret_refusal->field, "%.70s%s%.24s", field, inner[0] == '\0' ? "" : ".", inner);
        }
        return code;
    }
    const struct ifab_json *cost = ifab_json_get(&member->value, "cost_estimate"), *idempotent = ifab_json_get(&member->value, "idempotent");
    *ret = (struct ifab_operation){.name = member->name, .params = ifab_json_get(&member->value, "params")};
    ret->effect = (enum ifab_effect)place_of(ifab_capability__string(&member->value, "effect"), effect_names, IFAB_COUNT(effect_names));
    ret->cost.usd_micro = (uint64_t)ifab_capability__integer(cost, "usd_micro", 0);
    ret->cost.tokens = (uint64_t)ifab_capability__integer(cost, "tokens", 0);
    ret->cost.calls = (uint64_t)ifab_capability__integer(cost, "calls", 1);
    ret->idempotent = idempotent != NULL && idempotent->type == IFAB_JSON_TRUE;
    if (ret->params == NULL)
        return IFAB_CODE_NONE;
    snprintf(field, sizeof field, "operations." IFAB_FMT ".params", IFAB_ARG(member->name));
    return ifab_params__schema_check(ret->params, field, ret_refusal);
}

static enum ifab_code read_operations(struct ifab_arena *arena, struct ifab_manifest *manifest, struct ifab_refusal *ret_refusal)
{
    const struct ifab_json *object = ifab_json_get(manifest->tree, "operations");
    size_t count = object->u.object.count;
    if (count < 1 || count > IFAB_MANIFEST_OPERATIONS_MAX)
        return invalid(ret_refusal, object, "operations", "operations must hold 1 to %d of them", IFAB_MANIFEST_OPERATIONS_MAX);
    struct ifab_operation *operations = ifab_arena_calloc(arena, count, sizeof *operations);
    if (operations == NULL)
        return ifab_capability__nomem(ret_refusal);
    for (size_t i = 0; i < count; i++) {
        const struct ifab_json_member *member = &object->u.object.members[i];
        if (!ifab_name_valid(member->name))
            return invalid(ret_refusal, &member->value, "operations", "an operation's name is 1 to 64 letters, digits, '.', '_' and '-'");
        enum ifab_code code = read_operation(member, &operations[i], ret_refusal);
        if (code != IFAB_CODE_NONE)
            return code;
    }
    manifest->operations = operations;
    manifest->operation_count = count;

    struct ifab_view wanted = ifab_capability__string(manifest->tree, "default_operation");
    if (wanted.size == 0 && count > 1)
        return invalid(ret_refusal, object, "default_operation", "default_operation is required where there is more than one operation");
    while (wanted.size > 0 && manifest->default_operation < count && !ifab_view_equal(operations[manifest->default_operation].name, wanted))
        manifest->default_operation++;
    if (manifest->default_operation == count)
        return invalid(ret_refusal, ifab_json_get(manifest->tree, "default_operation"), "default_operation",
                       "default_operation is none of the operations");
    return IFAB_CODE_NONE;
}

static enum ifab_code read_http(struct ifab_arena *arena, struct ifab_manifest *manifest, struct ifab_refusal *ret_refusal)
{
    const struct ifab_json *list = ifab_json_get(manifest->tree, "http");
    size_t count = count_of(manifest->tree, "http");
    struct ifab_http_row *rows = ifab_arena_calloc(arena, count + 1, sizeof *rows);
    if (rows == NULL)
        return ifab_capability__nomem(ret_refusal);
    for (size_t i = 0; i < count; i++) {
        const struct ifab_json *item = &list->u.array.items[i], *methods = ifab_json_get(item, "methods");
        struct ifab_view effect = ifab_capability__string(item, "effect");
        (void)ifab_origin__scheme_parse(ifab_capability__string(item, "scheme"), &rows[i].origin.scheme); /* the table has */
        rows[i].origin.host = ifab_capability__string(item, "host");
        rows[i].origin.port = (uint16_t)ifab_capability__integer(item, "port", ifab_origin__port(rows[i].origin.scheme));
        rows[i].path = ifab_capability__string(item, "path");
        rows[i].effect = effect.size == 0 ? IFAB_EFFECT_WRITE : (enum ifab_effect)place_of(effect, effect_names, IFAB_COUNT(effect_names));
        for (size_t m = 0; m < methods->u.array.count; m++) {
            uint32_t bit = 1U << place_of(methods->u.array.items[m].u.string, method_names, IFAB_METHOD_COUNT);
            if ((rows[i].methods & bit) != 0)
                return invalid(ret_refusal, &methods->u.array.items[m], "http", "http[%zu].methods holds one twice", i);
            rows[i].methods |= bit;
        }
        if (ifab_origin__is_socket(rows[i].origin.scheme) && rows[i].methods != 1U << IFAB_METHOD_GET)
            return invalid(ret_refusal, methods, "http", "http[%zu].methods of a WebSocket is GET alone", i);
    }
    manifest->http = rows;
    manifest->http_count = count;
    return IFAB_CODE_NONE;
}

/* Headers that are the fabric's own: none of them is a place for a secret. */
static bool header_is_ours(struct ifab_view name)
{
    static const char *const ours[] = {"host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "cookie"};
    for (size_t i = 0; i < IFAB_COUNT(ours); i++)
        if (ifab_view_equal_nocase(name, ifab_view_str(ours[i])))
            return true;
    return name.size >= 6 && ifab_view_equal_nocase(ifab_view_of(name.data, 6), IFAB_VIEW("proxy-"));
}

/* What the field is for each way in which a secret goes into a request: docs/formats/egress.md, Credential. */
enum field { FIELD_NONE, FIELD_NAME, FIELD_SCOPE };
static const enum field field_of[IFAB_SECRET_AS_COUNT] = {
    [IFAB_SECRET_AS_HEADER] = FIELD_NAME,
    [IFAB_SECRET_AS_QUERY] = FIELD_NAME,
    [IFAB_SECRET_AS_HMAC] = FIELD_NAME,
    [IFAB_SECRET_AS_SIGV4] = FIELD_SCOPE,
};

static enum ifab_code check_secret(const struct ifab_manifest *manifest, const struct ifab_json *item, const struct ifab_secret_use *secret, size_t i,
                                   struct ifab_refusal *ret_refusal)
{
    const char *as = ifab_secret_as_name(secret->as);
    bool goes = false, scope = secret->field.size > 0 && memchr(secret->field.data, '/', secret->field.size) != NULL;
    if (field_of[secret->as] != FIELD_NONE && secret->field.size == 0)
        return invalid(ret_refusal, item, "requires_secrets", "requires_secrets[%zu].field is required with %s", i, as);
    if (field_of[secret->as] == FIELD_NONE && secret->field.size > 0)
        return invalid(ret_refusal, item, "requires_secrets", "requires_secrets[%zu].field means nothing with %s", i, as);
    if (scope != (field_of[secret->as] == FIELD_SCOPE))
        return invalid(ret_refusal, item, "requires_secrets", "requires_secrets[%zu].field is %s with %s", i, scope ? "one name" : "region/service",
                       as);
    if (secret->as != IFAB_SECRET_AS_QUERY && header_is_ours(secret->field))
        return invalid(ret_refusal, item, "requires_secrets", "requires_secrets[%zu].field is a header of the fabric's own", i);
    if (ifab_secret_is_challenge(secret->as, secret->field) && !ifab_origin__is_socket(secret->origin.scheme))
        return invalid(ret_refusal, item, "requires_secrets", "requires_secrets[%zu].field answers a challenge: its origin is that of a WebSocket", i);
    for (size_t row = 0; row < manifest->http_count; row++)
        goes = goes || ifab_origin_equal(&secret->origin, &manifest->http[row].origin);
    if (!goes)
        return invalid(ret_refusal, item, "requires_secrets", "requires_secrets[%zu].origin is that of no http row", i);
    for (size_t j = 0; j < i; j++)
        if (ifab_view_equal(secret->name, manifest->secrets[j].name) && ifab_origin_equal(&secret->origin, &manifest->secrets[j].origin) &&
            secret->as == manifest->secrets[j].as && ifab_view_equal(secret->field, manifest->secrets[j].field))
            return invalid(ret_refusal, item, "requires_secrets", "requires_secrets[%zu] stands there twice", i);
    return IFAB_CODE_NONE;
}

static enum ifab_code read_secrets(struct ifab_arena *arena, struct ifab_manifest *manifest, struct ifab_refusal *ret_refusal)
{
    const struct ifab_json *list = ifab_json_get(manifest->tree, "requires_secrets");
    size_t count = count_of(manifest->tree, "requires_secrets");
    struct ifab_secret_use *secrets = ifab_arena_calloc(arena, count + 1, sizeof *secrets);
    if (secrets == NULL)
        return ifab_capability__nomem(ret_refusal);
    manifest->secrets = secrets;
    for (size_t i = 0; i < count; i++) {
        const struct ifab_json *item = &list->u.array.items[i];
        secrets[i].name = ifab_capability__string(item, "name");
        secrets[i].origin_text = ifab_capability__string(item, "origin");
        (void)ifab_origin_parse(secrets[i].origin_text, &secrets[i].origin); /* the table has */
        secrets[i].as = (enum ifab_secret_as)place_of(ifab_capability__string(item, "as"), as_names, IFAB_SECRET_AS_COUNT);
        secrets[i].field = ifab_capability__string(item, "field");
        enum ifab_code code = check_secret(manifest, item, &secrets[i], i, ret_refusal);
        if (code != IFAB_CODE_NONE)
            return code;
        manifest->secret_count = i + 1;
    }
    return IFAB_CODE_NONE;
}

static enum ifab_code read_limits(struct ifab_manifest *manifest, struct ifab_refusal *ret_refusal)
{
    static const uint16_t usual[] = {1, 2, 5, 10, 30};
    const struct ifab_json *from = ifab_json_get(manifest->tree, "limits"), *backoff = ifab_json_get(from, "backoff");
    struct ifab_capability_limits *limits = &manifest->limits;
    limits->rps = (uint32_t)ifab_capability__integer(from, "rps", 0);
    limits->burst = (uint32_t)ifab_capability__integer(from, "burst", 0);
    limits->concurrency = (uint32_t)ifab_capability__integer(from, "concurrency", 4);
    limits->memory_mib = (uint32_t)ifab_capability__integer(from, "memory_mib", 16);
    limits->fuel = (uint64_t)ifab_capability__integer(from, "fuel", 100000000);
    limits->deadline_ms = (uint32_t)ifab_capability__integer(from, "deadline_ms", 10000);
    limits->response_kib = (uint32_t)ifab_capability__integer(from, "response_kib", 256);
    limits->backoff_count = backoff == NULL ? IFAB_COUNT(usual) : backoff->u.array.count;
    for (size_t i = 0; i < limits->backoff_count; i++) {
        limits->backoff[i] = backoff == NULL ? usual[i] : (uint16_t)backoff->u.array.items[i].u.number.value;
        if (i > 0 && limits->backoff[i] < limits->backoff[i - 1])
            return invalid(ret_refusal, backoff, "limits.backoff", "limits.backoff must not become smaller");
    }
    return IFAB_CODE_NONE;
}

static enum ifab_code read_lists(struct ifab_arena *arena, struct ifab_manifest *manifest, struct ifab_refusal *ret_refusal)
{
    const struct ifab_view *imports = NULL;
    size_t import_count = 0;
    enum ifab_code code = read_names(manifest->tree, "imports", arena, &imports, &import_count, ret_refusal);
    for (size_t i = 0; code == IFAB_CODE_NONE && i < import_count; i++)
        manifest->imports |= 1U << place_of(imports[i], import_names, IFAB_MANIFEST_IMPORT_COUNT);
    if (code == IFAB_CODE_NONE)
        code = read_http(arena, manifest, ret_refusal);
    if (code == IFAB_CODE_NONE)
        code = read_secrets(arena, manifest, ret_refusal);
    if (code == IFAB_CODE_NONE)
        code = read_names(manifest->tree, "requires_config", arena, &manifest->config, &manifest->config_count, ret_refusal);
    if (code == IFAB_CODE_NONE)
        code = read_names(manifest->tree, "scopes", arena, &manifest->scopes, &manifest->scope_count, ret_refusal);
    return code;
}

static void read_plain(struct ifab_manifest *manifest)
{
    const struct ifab_json *tree = manifest->tree, *entrypoint = ifab_json_get(tree, "entrypoint");
    struct ifab_view prefix = IFAB_VIEW("if://capability/"), digest = ifab_capability__string(entrypoint, "sha256");
    manifest->id = ifab_capability__string(tree, "id");
    manifest->name = ifab_view_of(manifest->id.data + prefix.size, manifest->id.size - prefix.size);
    manifest->version = ifab_capability__string(tree, "version");
    manifest->summary = ifab_capability__string(tree, "summary");
    manifest->entrypoint.module = ifab_capability__string(entrypoint, "module");
    (void)ifab_hex_decode(ifab_view_of(digest.data + 7, digest.size - 7), manifest->entrypoint.sha256, 32); /* the table has */
    manifest->entrypoint.size = (uint32_t)ifab_capability__integer(entrypoint, "size", 0);
    manifest->entrypoint.abi = (uint32_t)ifab_capability__integer(entrypoint, "abi", 0);
    manifest->not_after = IFAB_NEVER;
    if (ifab_json_get(tree, "not_after") != NULL && ifab_time_parse(ifab_capability__string(tree, "not_after"), &manifest->not_after) != IFAB_OK)
        manifest->not_after = 0;
}

/* Signed documents: every number is one that all readers agree on (SURFACE section 1). Who read the tree may not have asked for it. */
static const char *wrong_shape(const struct ifab_json *value, int left)
{
    const char *wrong = left < 0 ? "is nested too deep" : NULL;
    if (value->type == IFAB_JSON_NUMBER && (value->u.number.value > 9007199254740991.0 || value->u.number.value < -9007199254740991.0))
        wrong = "holds a number beyond 2^53-1";
    for (size_t i = 0; wrong == NULL && value->type == IFAB_JSON_ARRAY && i < value->u.array.count; i++)
        wrong = wrong_shape(&value->u.array.items[i], left - 1);
    for (size_t i = 0; wrong == NULL && value->type == IFAB_JSON_OBJECT && i < value->u.object.count; i++)
        wrong = wrong_shape(&value->u.object.members[i].value, left - 1);
    return wrong;
}

/* Before the table: what its messages would not explain. */
static enum ifab_code check_shape(const struct ifab_json *tree, struct ifab_refusal *ret_refusal)
{
    const struct ifab_json *entrypoint = ifab_json_get(tree, "entrypoint");
    const char *wrong = wrong_shape(tree, IFAB_MANIFEST_DEPTH_MAX);
    if (wrong != NULL)
        return invalid(ret_refusal, tree, "", "manifest %s", wrong);
    if (entrypoint == NULL || entrypoint->type != IFAB_JSON_STRING)
        return IFAB_CODE_NONE;
    invalid(ret_refusal, entrypoint, "entrypoint", "entrypoint must be an object");
    if (ret_refusal != NULL)
        ret_refusal->hint = "Guests are WASM: write entrypoint: {module: NAME.wasm, sha256: \"sha256:…\", size: BYTES, abi: 1}.";
    return IFAB_CODE_INVALID_MANIFEST;
}

enum ifab_code ifab_manifest_from_tree(const struct ifab_json *tree, struct ifab_arena *arena, struct ifab_manifest *ret_manifest,
                                       struct ifab_refusal *ret_refusal)
{
    struct ifab_manifest manifest = {.tree = tree};
    enum ifab_code code = check_shape(tree, ret_refusal);
    if (code == IFAB_CODE_NONE)
        code = ifab_manifest__signature_object(tree, arena, &manifest.tree, ret_refusal);
    if (code == IFAB_CODE_NONE)
        code = ifab_schema_check(&manifest_schema, manifest.tree, IFAB_CODE_INVALID_MANIFEST, ret_refusal);
    if (code != IFAB_CODE_NONE)
        return code;
    read_plain(&manifest);
    code = read_operations(arena, &manifest, ret_refusal);
    if (code == IFAB_CODE_NONE)
        code = read_lists(arena, &manifest, ret_refusal);
    if (code == IFAB_CODE_NONE)
        code = read_limits(&manifest, ret_refusal);
    if (code == IFAB_CODE_NONE)
        code = ifab_manifest__seal(arena, &manifest, ret_refusal);
    if (code == IFAB_CODE_NONE)
        *ret_manifest = manifest;
    return code;
}

enum ifab_code ifab_manifest_read(struct ifab_view json, struct ifab_arena *arena, struct ifab_manifest *ret_manifest,
                                  struct ifab_refusal *ret_refusal)
{
    static const struct ifab_json_limits limits = {(size_t)4 * IFAB_MANIFEST_MAX, true};
    const struct ifab_json *tree = NULL;
    struct ifab_error err = {0};
    ifab_status status = ifab_json_read(json, &limits, arena, &tree, &err);
    if (status == IFAB_NOMEM)
        return ifab_capability__nomem(ret_refusal);
    if (status != IFAB_OK) {
        ifab_refuse(ret_refusal, IFAB_CODE_INVALID_MANIFEST, "", "manifest: %s", err.text);
        if (ret_refusal != NULL)
            ret_refusal->offset = err.offset;
        return IFAB_CODE_INVALID_MANIFEST;
    }
    return ifab_manifest_from_tree(tree, arena, ret_manifest, ret_refusal);
}

const struct ifab_operation *ifab_manifest_operation(const struct ifab_manifest *manifest, struct ifab_view name)
{
    if (name.size == 0)
        return &manifest->operations[manifest->default_operation];
    for (size_t i = 0; i < manifest->operation_count; i++)
        if (ifab_view_equal(manifest->operations[i].name, name))
            return &manifest->operations[i];
    return NULL;
}

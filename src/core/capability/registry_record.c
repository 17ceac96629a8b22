/*
 * Records of the registry: canonical JSON in, canonical JSON out.
 * What read takes, write gives back byte for byte: read ends by comparing. So one thing has one spelling.
 */
#include "base/encode.h"
#include "base/id.h"
#include "crypto/crypto.h"
#include "registry_internal.h"

/* A capability's name, or a part of it from the left up to a dot; or "*". */
bool ifab_registry__namespace_valid(struct ifab_view text)
{
    uint8_t id[IFAB_CAPABILITY_ID_MAX];
    struct ifab_view prefix = IFAB_VIEW("if://capability/");
    if (ifab_view_is(text, "*"))
        return true;
    if (text.size == 0 || text.size > sizeof id - prefix.size)
        return false;
    memcpy(id, prefix.data, prefix.size);
    memcpy(id + prefix.size, text.data, text.size);
    return ifab_capability_id_valid(ifab_view_of(id, prefix.size + text.size));
}

static bool check_namespace(struct ifab_view text, const char **ret_why)
{
    *ret_why = "the beginning of capability names up to a dot, or \"*\"";
    return ifab_registry__namespace_valid(text);
}

static bool check_id(struct ifab_view text, const char **ret_why)
{
    *ret_why = "a capability's id";
    return ifab_capability_id_valid(text);
}

static bool check_version(struct ifab_view text, const char **ret_why)
{
    *ret_why = "a version";
    return ifab_capability_version_valid(text);
}

#define TIME(name_, required_)                                                                                                \
    {                                                                                                                         \
        .name = (name_), .kind = IFAB_SCHEMA_STRING, .required = (required_), .min = 24, .max = 24, .check = ifab_schema_time \
    }
#define NAME(name_)                                                                                                              \
    {                                                                                                                            \
        .name = (name_), .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = IFAB_NAME_MAX, .check = ifab_schema_name \
    }
#define DIGEST(required_)                                                                                                        \
    {                                                                                                                            \
        .name = "digest", .kind = IFAB_SCHEMA_STRING, .required = (required_), .min = 71, .max = 71, .check = ifab_schema_sha256 \
    }
#define KEY(required_)                                                                                                          \
    {                                                                                                                           \
        .name = "pubkey", .kind = IFAB_SCHEMA_STRING, .required = (required_), .min = 43, .max = 43, .check = ifab_schema_key32 \
    }
#define ID(required_)                                                                                                                 \
    {                                                                                                                                 \
        .name = "id", .kind = IFAB_SCHEMA_STRING, .required = (required_), .min = 1, .max = IFAB_CAPABILITY_ID_MAX, .check = check_id \
    }
#define VERSION(required_)                                                                                                                           \
    {                                                                                                                                                \
        .name = "version", .kind = IFAB_SCHEMA_STRING, .required = (required_), .min = 1, .max = IFAB_CAPABILITY_VERSION_MAX, .check = check_version \
    }
#define V                                                                              \
    {                                                                                  \
        .name = "v", .kind = IFAB_SCHEMA_INTEGER, .required = true, .min = 1, .max = 1 \
    }

static const struct ifab_schema_field namespace_item = {
    .kind = IFAB_SCHEMA_STRING, .min = 1, .max = IFAB_CAPABILITY_ID_MAX, .check = check_namespace};
static const struct ifab_schema_field publisher_fields[] = {
    TIME("created_at", true),
    {.name = "key_id", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 18, .max = 18, .check = ifab_schema_key_id},
    NAME("name"),
    {.name = "namespaces", .kind = IFAB_SCHEMA_LIST, .required = true, .min = 1, .max = IFAB_NAMESPACES_MAX, .item = &namespace_item},
    TIME("not_after", false),
    TIME("not_before", true),
    KEY(true),
    TIME("revoked_at", false),
    V,
};
static const struct ifab_schema_field allowed_fields[] = {
    TIME("allowed_at", true),
    DIGEST(true),
    ID(true),
    {.name = "manifest", .kind = IFAB_SCHEMA_OPEN, .required = true},
    NAME("publisher"),
    V,
    VERSION(true),
};
static const struct ifab_schema_field revocation_fields[] = {
    DIGEST(false), ID(false), KEY(false), TIME("revoked_at", true), V, VERSION(false),
};
static const struct ifab_schema schemas[IFAB_REGISTRY__KINDS] = {
    {"publisher record", publisher_fields, IFAB_COUNT(publisher_fields)},
    {"allow-list record", allowed_fields, IFAB_COUNT(allowed_fields)},
    {"revocation record", revocation_fields, IFAB_COUNT(revocation_fields)},
};

static void put_time(struct ifab_buf *buf, const char *before, ifab_usec wall)
{
    if (wall == IFAB_NEVER)
        return;
    ifab_buf_str(buf, before);
    ifab_buf_char(buf, '"');
    ifab_buf_time(buf, wall);
    ifab_buf_char(buf, '"');
}

static void put_text(struct ifab_buf *buf, const char *before, struct ifab_view text)
{
    if (text.size == 0)
        return;
    ifab_buf_str(buf, before);
    ifab_json_put_string(buf, text);
}

void ifab_registry__write_publisher(struct ifab_buf *buf, const struct ifab_publisher *publisher)
{
    char key_id[19];
    ifab_key_id(publisher->pubkey32, key_id);
    put_time(buf, "{\"created_at\":", publisher->created);
    put_text(buf, ",\"key_id\":", ifab_view_str(key_id));
    put_text(buf, ",\"name\":", publisher->name);
    ifab_buf_str(buf, ",\"namespaces\":[");
    for (size_t i = 0; i < publisher->namespace_count; i++)
        put_text(buf, i > 0 ? "," : "", publisher->namespaces[i]);
    ifab_buf_char(buf, ']');
    put_time(buf, ",\"not_after\":", publisher->not_after);
    put_time(buf, ",\"not_before\":", publisher->not_before);
    ifab_buf_str(buf, ",\"pubkey\":\"");
    ifab_buf_base64url(buf, publisher->pubkey32, 32);
    ifab_buf_char(buf, '"');
    put_time(buf, ",\"revoked_at\":", publisher->revoked_at);
    ifab_buf_str(buf, ",\"v\":1}");
}

void ifab_registry__write_allowed(struct ifab_buf *buf, const struct ifab_manifest *manifest, struct ifab_view publisher, ifab_usec allowed_at)
{
    put_time(buf, "{\"allowed_at\":", allowed_at);
    ifab_buf_str(buf, ",\"digest\":\"sha256:");
    ifab_buf_hex(buf, manifest->digest32, 32);
    put_text(buf, "\",\"id\":", manifest->id);
    ifab_buf_str(buf, ",\"manifest\":");
    ifab_buf_view(buf, manifest->canonical);
    put_text(buf, ",\"publisher\":", publisher);
    put_text(buf, ",\"v\":1,\"version\":", manifest->version);
    ifab_buf_char(buf, '}');
}

void ifab_registry__write_revocation(struct ifab_buf *buf, const struct ifab_revocation *revocation)
{
    if (revocation->digest32 != NULL) {
        ifab_buf_str(buf, "{\"digest\":\"sha256:");
        ifab_buf_hex(buf, revocation->digest32, 32);
        ifab_buf_char(buf, '"');
    } else if (revocation->pubkey32 != NULL) {
        ifab_buf_str(buf, "{\"pubkey\":\"");
        ifab_buf_base64url(buf, revocation->pubkey32, 32);
        ifab_buf_char(buf, '"');
    } else {
        put_text(buf, "{\"id\":", revocation->id);
    }
    put_time(buf, ",\"revoked_at\":", revocation->revoked_at);
    ifab_buf_str(buf, ",\"v\":1");
    put_text(buf, ",\"version\":", revocation->version);
    ifab_buf_char(buf, '}');
}

static ifab_usec time_of(const struct ifab_json *object, const char *name)
{
    ifab_usec wall = IFAB_NEVER;
    if (ifab_json_get(object, name) != NULL && ifab_time_parse(ifab_capability__string(object, name), &wall) != IFAB_OK)
        return 0; /* the comparison at the end refuses it */
    return wall;
}

static bool key_of(const struct ifab_json *tree, uint8_t ret_key32[32])
{
    size_t size = 0;
    return ifab_base64url_decode(ifab_capability__string(tree, "pubkey"), ret_key32, 32, &size) == IFAB_OK && size == 32;
}

static bool digest_of(const struct ifab_json *tree, uint8_t ret_digest32[32])
{
    struct ifab_view text = ifab_capability__string(tree, "digest");
    return text.size == 71 && ifab_hex_decode(ifab_view_of(text.data + 7, 64), ret_digest32, 32) == IFAB_OK;
}

static ifab_status read_publisher(struct registry_row *row, const struct ifab_json *tree, struct ifab_buf *buf, struct ifab_error *err)
{
    const struct ifab_json *list = ifab_json_get(tree, "namespaces");
    struct ifab_publisher *p = &row->u.publisher;
    *p = (struct ifab_publisher){.number = row->number,
                                 .name = ifab_capability__string(tree, "name"),
                                 .namespace_count = list->u.array.count,
                                 .created = time_of(tree, "created_at"),
                                 .not_before = time_of(tree, "not_before"),
                                 .not_after = time_of(tree, "not_after"),
                                 .revoked_at = time_of(tree, "revoked_at"),
                                 .record = row->record};
    struct ifab_view *namespaces = ifab_arena_calloc(&row->arena, p->namespace_count + 1, sizeof *namespaces);
    if (namespaces == NULL)
        return ifab_fail(err, IFAB_NOMEM, "publisher record");
    for (size_t i = 0; i < p->namespace_count; i++) {
        namespaces[i] = list->u.array.items[i].u.string;
        if (i > 0 && ifab_view_compare(namespaces[i - 1], namespaces[i]) >= 0)
            return ifab_fail(err, IFAB_CORRUPT, "publisher record: namespaces are not in order, each once");
    }
    p->namespaces = namespaces;
    if (!key_of(tree, p->pubkey32))
        return ifab_fail(err, IFAB_CORRUPT, "publisher record: pubkey is not 32 bytes");
    ifab_registry__write_publisher(buf, p);
    return IFAB_OK;
}

static ifab_status read_allowed(struct registry_row *row, const struct ifab_json *tree, struct ifab_buf *buf, struct ifab_error *err)
{
    struct ifab_refusal refusal;
    enum ifab_code code = ifab_manifest_from_tree(ifab_json_get(tree, "manifest"), &row->arena, &row->manifest, &refusal);
    if (code != IFAB_CODE_NONE)
        return ifab_fail(err, code == IFAB_CODE_SYSTEM_ERROR ? IFAB_NOMEM : IFAB_CORRUPT, "allow-list record: %s", refusal.message);
    row->u.allowed = (struct ifab_allowed){.number = row->number,
                                           .manifest = &row->manifest,
                                           .publisher = ifab_capability__string(tree, "publisher"),
                                           .allowed_at = time_of(tree, "allowed_at"),
                                           .record = row->record};
    if (!row->manifest.has_signature)
        return ifab_fail(err, IFAB_CORRUPT, "allow-list record: its manifest is not signed");
    ifab_registry__write_allowed(buf, &row->manifest, row->u.allowed.publisher, row->u.allowed.allowed_at);
    return IFAB_OK;
}

static ifab_status read_revocation(struct registry_row *row, const struct ifab_json *tree, struct ifab_buf *buf, struct ifab_error *err)
{
    struct ifab_revocation *r = &row->u.revocation;
    *r = (struct ifab_revocation){.number = row->number,
                                  .id = ifab_capability__string(tree, "id"),
                                  .version = ifab_capability__string(tree, "version"),
                                  .revoked_at = time_of(tree, "revoked_at"),
                                  .record = row->record};
    if (digest_of(tree, row->bytes32))
        r->digest32 = row->bytes32;
    else if (key_of(tree, row->bytes32))
        r->pubkey32 = row->bytes32;
    bool bytes = r->digest32 != NULL || r->pubkey32 != NULL; /* of two, the comparison sees that one was left out */
    if (bytes ? r->version.size > 0 : r->id.size == 0)
        return ifab_fail(err, IFAB_CORRUPT, "revocation record: names not exactly one thing");
    ifab_registry__write_revocation(buf, r);
    return IFAB_OK;
}

static size_t record_max(enum ifab_registry_kind kind)
{
    return kind == IFAB_REGISTRY_PUBLISHER ? IFAB_PUBLISHER_RECORD_MAX
           : kind == IFAB_REGISTRY_ALLOWED ? IFAB_ALLOWED_RECORD_MAX
                                           : IFAB_REVOCATION_RECORD_MAX;
}

ifab_status ifab_registry__read(struct registry_row *row, struct ifab_error *err)
{
    const struct ifab_schema *schema = &schemas[row->kind - IFAB_REGISTRY_PUBLISHER];
    const struct ifab_json_limits limits = {.max_size = record_max(row->kind), .all_numbers_safe = true};
    const struct ifab_json *tree = NULL;
    struct ifab_refusal refusal;
    ifab_status status = ifab_json_read(row->record, &limits, &row->arena, &tree, err);
    if (status != IFAB_OK)
        return status == IFAB_NOMEM ? IFAB_NOMEM : ifab_fail(err, IFAB_CORRUPT, "%s: not JSON", schema->what);
    if (ifab_schema_check(schema, tree, IFAB_CODE_LOG_CORRUPT, &refusal) != IFAB_CODE_NONE)
        return ifab_fail(err, IFAB_CORRUPT, "%s: %s", schema->what, refusal.message);
    struct ifab_buf buf = IFAB_BUF_INIT(2 * record_max(row->kind));
    status = row->kind == IFAB_REGISTRY_PUBLISHER ? read_publisher(row, tree, &buf, err)
             : row->kind == IFAB_REGISTRY_ALLOWED ? read_allowed(row, tree, &buf, err)
                                                  : read_revocation(row, tree, &buf, err);
    if (status == IFAB_OK && ifab_buf_status(&buf) != IFAB_OK)
        status = ifab_fail(err, ifab_buf_status(&buf) == IFAB_TOO_LARGE ? IFAB_CORRUPT : IFAB_NOMEM, "%s: memory or size", schema->what);
    if (status == IFAB_OK && !ifab_view_equal(ifab_buf_as_view(&buf), row->record))
        status = ifab_fail(err, IFAB_CORRUPT, "%s: not in its canonical form", schema->what);
    ifab_buf_fini(&buf);
    return status;
}

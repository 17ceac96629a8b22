/* The two records: what read takes, write gives back byte for byte. */
#include "secret_internal.h"

#include "base/encode.h"
#include "base/mem.h"
#include "json/schema.h"

/* Wider than what is taken today (ifab_origin_valid): a record stays readable though its origin has a host that is refused by now. */
static bool check_origin(struct ifab_view text, const char **ret_why)
{
    *ret_why = "an origin";
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && memchr("-._:/[]", c, 7) == NULL)
            return false;
    }
    return true;
}

#define COUNTER_FIELD                                                                                             \
    {                                                                                                             \
        .name = "counter", .kind = IFAB_SCHEMA_INTEGER, .required = true, .min = 1, .max = (INT64_C(1) << 53) - 1 \
    }
#define TIME_FIELD(name_, required_)                                                                                          \
    {                                                                                                                         \
        .name = (name_), .kind = IFAB_SCHEMA_STRING, .required = (required_), .min = 24, .max = 24, .check = ifab_schema_time \
    }
#define FORM_FIELD                                                                     \
    {                                                                                  \
        .name = "v", .kind = IFAB_SCHEMA_INTEGER, .required = true, .min = 1, .max = 1 \
    }
static const struct ifab_schema_field origin_item = {.kind = IFAB_SCHEMA_STRING, .min = 1, .max = IFAB_ORIGIN_MAX, .check = check_origin};
static const struct ifab_schema_field secret_fields[] = {
    COUNTER_FIELD,
    TIME_FIELD("created_at", true),
    {.name = "name", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = IFAB_NAME_MAX, .check = ifab_schema_name},
    {.name = "origins", .kind = IFAB_SCHEMA_LIST, .required = true, .min = 1, .max = IFAB_SECRET_ORIGINS, .item = &origin_item},
    TIME_FIELD("revoked_at", false),
    TIME_FIELD("rotated_at", true),
    FORM_FIELD,
    {.name = "version", .kind = IFAB_SCHEMA_INTEGER, .required = true, .min = 1, .max = IFAB_SECRET_VERSION_MAX},
};
static const struct ifab_schema_field mark_fields[] = {
    COUNTER_FIELD,
    {.name = "digest", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 71, .max = 71, .check = ifab_schema_sha256},
    FORM_FIELD,
};
static const struct ifab_schema secret_schema = {"secret record", secret_fields, IFAB_COUNT(secret_fields)};
static const struct ifab_schema mark_schema = {"vault record", mark_fields, IFAB_COUNT(mark_fields)};

static void put_time(struct ifab_buf *buf, const char *before, ifab_usec wall)
{
    ifab_buf_str(buf, before);
    ifab_buf_time(buf, wall);
    ifab_buf_char(buf, '"');
}

void ifab_secret_write(struct ifab_buf *buf, const struct ifab_secret *s)
{
    ifab_buf_format(buf, "{\"counter\":%llu", (unsigned long long)s->counter);
    put_time(buf, ",\"created_at\":\"", s->created);
    ifab_buf_str(buf, ",\"name\":");
    ifab_json_put_string(buf, s->name);
    ifab_buf_str(buf, ",\"origins\":[");
    for (size_t i = 0; i < s->origin_count; i++) {
        ifab_buf_str(buf, i == 0 ? "" : ",");
        ifab_json_put_string(buf, s->origins[i]);
    }
    ifab_buf_char(buf, ']');
    if (s->revoked_at != IFAB_NEVER)
        put_time(buf, ",\"revoked_at\":\"", s->revoked_at);
    put_time(buf, ",\"rotated_at\":\"", s->rotated);
    ifab_buf_format(buf, ",\"v\":1,\"version\":%u}", s->version);
}

void ifab_secret_mark_write(struct ifab_buf *buf, const struct ifab_secret_mark *mark)
{
    ifab_buf_format(buf, "{\"counter\":%llu,\"digest\":\"sha256:", (unsigned long long)mark->counter);
    ifab_buf_hex(buf, mark->digest32, 32);
    ifab_buf_str(buf, "\",\"v\":1}");
}

static struct ifab_view string_of(const struct ifab_json *object, const char *name)
{
    struct ifab_view text = {NULL, 0};
    (void)ifab_json_string(ifab_json_get(object, name), &text);
    return text;
}

static ifab_usec time_of(const struct ifab_json *object, const char *name)
{
    ifab_usec wall = IFAB_NEVER;
    if (ifab_json_get(object, name) != NULL && ifab_time_parse(string_of(object, name), &wall) != IFAB_OK)
        return 0; /* the comparison at the end refuses it */
    return wall;
}

static uint64_t integer_of(const struct ifab_json *object, const char *name)
{
    int64_t value = 0;
    (void)ifab_json_integer(ifab_json_get(object, name), &value); /* the schema has looked: 1 or more */
    return (uint64_t)value;
}

static ifab_status parse(const struct ifab_schema *schema, struct ifab_view record, struct ifab_arena *arena, const struct ifab_json **ret_tree,
                         struct ifab_error *err)
{
    static const struct ifab_json_limits limits = {.max_size = IFAB_SECRET_RECORD_MAX, .all_numbers_safe = true};
    struct ifab_refusal refusal;
    ifab_status status = ifab_json_read(record, &limits, arena, ret_tree, err);
    if (status != IFAB_OK)
        return status == IFAB_NOMEM ? IFAB_NOMEM : ifab_fail(err, IFAB_CORRUPT, "%s: not JSON", schema->what);
    enum ifab_code code = ifab_schema_check(schema, *ret_tree, IFAB_CODE_LOG_CORRUPT, &refusal);
    if (code != IFAB_CODE_NONE)
        return ifab_fail(err, code == IFAB_CODE_LOG_CORRUPT ? IFAB_CORRUPT : IFAB_NOMEM, "%s: %s: %s", schema->what, refusal.field, refusal.message);
    return IFAB_OK;
}

static ifab_status same(const struct ifab_buf *written, struct ifab_view record, const char *what, struct ifab_error *err)
{
    if (ifab_buf_status(written) != IFAB_OK)
        return ifab_fail(err, IFAB_NOMEM, "%s", what);
    return ifab_view_equal(ifab_buf_as_view(written), record) ? IFAB_OK : ifab_fail(err, IFAB_CORRUPT, "%s: not in its canonical form", what);
}

/* Rules between fields. */
static bool sensible(const struct ifab_secret *s)
{
    for (size_t i = 0; i < s->origin_count; i++)
        for (size_t j = 0; j < i; j++)
            if (ifab_view_equal(s->origins[i], s->origins[j]))
                return false;
    return s->counter >= s->version && s->rotated >= s->created && s->revoked_at >= s->rotated;
}

ifab_status ifab_secret__read(struct ifab_view record, struct ifab_arena *arena, struct ifab_secret *ret_secret, struct ifab_error *err)
{
    const struct ifab_json *tree = NULL;
    IFAB_TRY(parse(&secret_schema, record, arena, &tree, err));
    const struct ifab_json *origins = ifab_json_get(tree, "origins");
    struct ifab_secret s = {.name = string_of(tree, "name"),
                            .origin_count = origins->u.array.count,
                            .version = (uint32_t)integer_of(tree, "version"),
                            .counter = integer_of(tree, "counter"),
                            .created = time_of(tree, "created_at"),
                            .rotated = time_of(tree, "rotated_at"),
                            .revoked_at = time_of(tree, "revoked_at"),
                            .record = record};
    for (size_t i = 0; i < s.origin_count; i++)
        (void)ifab_json_string(&origins->u.array.items[i], &s.origins[i]);
    if (!sensible(&s))
        return ifab_fail(err, IFAB_CORRUPT, "secret record: its fields do not fit each other");
    struct ifab_buf buf = IFAB_BUF_INIT(IFAB_SECRET_RECORD_MAX);
    ifab_secret_write(&buf, &s);
    ifab_status status = same(&buf, record, "secret record", err);
    ifab_buf_fini(&buf);
    if (status == IFAB_OK)
        *ret_secret = s;
    return status;
}

ifab_status ifab_secret__read_mark(struct ifab_view record, struct ifab_arena *arena, struct ifab_secret_mark *ret_mark, struct ifab_error *err)
{
    const struct ifab_json *tree = NULL;
    IFAB_TRY(parse(&mark_schema, record, arena, &tree, err));
    struct ifab_view digest = string_of(tree, "digest");
    struct ifab_secret_mark mark = {.counter = integer_of(tree, "counter")};
    if (ifab_hex_decode(ifab_view_of(digest.data + 7, digest.size - 7), mark.digest32, 32) != IFAB_OK)
        return ifab_fail(err, IFAB_CORRUPT, "vault record: digest");
    struct ifab_buf buf = IFAB_BUF_INIT(256);
    ifab_secret_mark_write(&buf, &mark);
    ifab_status status = same(&buf, record, "vault record", err);
    ifab_buf_fini(&buf);
    if (status == IFAB_OK)
        *ret_mark = mark;
    return status;
}

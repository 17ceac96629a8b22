/* The price table: reading, writing, asking. */
#include "governor/prices.h"

#include "base/encode.h"
#include "base/mem.h"
#include "crypto/crypto.h"
#include "json/schema.h"

#define MODEL_MAX 128
#define MTOK ((uint64_t)1000000)
__extension__ typedef unsigned __int128 wide;

struct ifab_prices {
    uint8_t *record; /* owned; rows point into it */
    size_t size, count;
    struct ifab_price *rows; /* owned; by (model, from) */
    uint8_t digest32[32];
};

/* Words that need no escape: the record's bytes are the text. */
static bool check_model(struct ifab_view text, const char **ret_why)
{
    *ret_why = "letters, digits and . _ : / @ + -";
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!word && memchr("._:/@+-", c, 7) == NULL)
            return false;
    }
    return text.size > 0;
}

#define PRICE(name_, required_)                                                                                                          \
    {                                                                                                                                    \
        .name = (name_), .kind = IFAB_SCHEMA_INTEGER, .required = (required_), .min = 0, .max = (int64_t)IFAB_PRICE_MAX                    \
    }
static const struct ifab_schema_field row_fields[] = {
    PRICE("call_usd_micro", false),
    {.name = "from", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 20, .max = 24, .check = ifab_schema_time},
    PRICE("in_usd_micro_per_mtok", true),
    {.name = "model", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = MODEL_MAX, .check = check_model},
    PRICE("out_usd_micro_per_mtok", true),
    {.name = "provider", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = IFAB_NAME_MAX, .check = ifab_schema_name},
};
static const struct ifab_schema row_schema = {"price", row_fields, IFAB_COUNT(row_fields)};
static const struct ifab_schema_field row_item = {.kind = IFAB_SCHEMA_OBJECT, .sub = &row_schema};
static const struct ifab_schema_field table_fields[] = {
    {.name = "rows", .kind = IFAB_SCHEMA_LIST, .required = true, .min = 1, .max = IFAB_PRICE_ROWS_MAX, .item = &row_item},
    {.name = "v", .kind = IFAB_SCHEMA_INTEGER, .min = 1, .max = 1},
    {.name = "why", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = 1024, .check = ifab_schema_printable},
};
static const struct ifab_schema table_schema = {"price table", table_fields, IFAB_COUNT(table_fields)};

static uint64_t integer_of(const struct ifab_json *object, const char *name)
{
    int64_t value = 0;
    (void)ifab_json_integer(ifab_json_get(object, name), &value);
    return (uint64_t)value;
}

static struct ifab_price row_of(const struct ifab_json *object)
{
    struct ifab_price row = {.in = integer_of(object, "in_usd_micro_per_mtok"),
                             .out = integer_of(object, "out_usd_micro_per_mtok"),
                             .call = integer_of(object, "call_usd_micro")};
    struct ifab_view from = {NULL, 0};
    (void)ifab_json_string(ifab_json_get(object, "model"), &row.model);
    (void)ifab_json_string(ifab_json_get(object, "provider"), &row.provider);
    (void)ifab_json_string(ifab_json_get(object, "from"), &from);
    (void)ifab_time_parse(from, &row.from); /* the schema has looked */
    return row;
}

static int order(const struct ifab_price *a, const struct ifab_price *b)
{
    int by_model = ifab_view_compare(a->model, b->model);
    return by_model != 0 ? by_model : (a->from > b->from) - (a->from < b->from);
}

static void write_row(struct ifab_buf *buf, const struct ifab_price *row)
{
    ifab_buf_char(buf, '{');
    if (row->call > 0)
        ifab_buf_format(buf, "\"call_usd_micro\":%llu,", (unsigned long long)row->call);
    ifab_buf_str(buf, "\"from\":\"");
    ifab_buf_time(buf, row->from);
    ifab_buf_format(buf, "\",\"in_usd_micro_per_mtok\":%llu,\"model\":", (unsigned long long)row->in);
    ifab_json_put_string(buf, row->model);
    ifab_buf_format(buf, ",\"out_usd_micro_per_mtok\":%llu", (unsigned long long)row->out);
    if (row->provider.size > 0) {
        ifab_buf_str(buf, ",\"provider\":");
        ifab_json_put_string(buf, row->provider);
    }
    ifab_buf_char(buf, '}');
}

static void write_table(struct ifab_buf *buf, const struct ifab_price *rows, size_t count)
{
    ifab_buf_str(buf, "{\"rows\":[");
    for (size_t i = 0; i < count; i++) {
        ifab_buf_str(buf, i > 0 ? "," : "");
        write_row(buf, &rows[i]);
    }
    ifab_buf_str(buf, "],\"v\":1}");
}

/* Rows in their order. A model has one price from a date on. */
static enum ifab_code read_table(const struct ifab_json *tree, struct ifab_price rows[IFAB_PRICE_ROWS_MAX], size_t *ret_count, struct ifab_refusal *r)
{
    const struct ifab_json *list = ifab_json_get(tree, "rows");
    enum ifab_code code = ifab_schema_check(&table_schema, tree, IFAB_CODE_INVALID_PARAMS, r);
    if (code != IFAB_CODE_NONE)
        return code;
    for (size_t i = 0; i < list->u.array.count; i++) {
        struct ifab_price row = row_of(&list->u.array.items[i]);
        size_t at = i;
        for (; at > 0 && order(&rows[at - 1], &row) > 0; at--)
            rows[at] = rows[at - 1];
        rows[at] = row;
    }
    *ret_count = list->u.array.count;
    for (size_t i = 1; i < *ret_count; i++)
        if (order(&rows[i - 1], &rows[i]) == 0)
            return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "rows", "two prices of " IFAB_FMT " from the same moment", IFAB_ARG(rows[i].model));
    return IFAB_CODE_NONE;
}

enum ifab_code ifab_prices_set(const struct ifab_json *table, struct ifab_buf *record, struct ifab_refusal *r)
{
    struct ifab_price rows[IFAB_PRICE_ROWS_MAX];
    size_t count, before = record->size;
    enum ifab_code code = read_table(table, rows, &count, r);
    if (code != IFAB_CODE_NONE)
        return code;
    write_table(record, rows, count);
    if (ifab_buf_status(record) != IFAB_OK)
        return ifab_refuse(r, IFAB_CODE_SYSTEM_ERROR, "", "no memory for the record");
    if (record->size - before > IFAB_PRICE_RECORD_MAX)
        return ifab_refuse(r, IFAB_CODE_INVALID_PARAMS, "rows", "larger than %d bytes, and it must stand whole in one entry", IFAB_PRICE_RECORD_MAX);
    return IFAB_CODE_NONE;
}

ifab_status ifab_prices_new(struct ifab_prices **ret)
{
    *ret = ifab_calloc(1, sizeof **ret);
    return *ret == NULL ? IFAB_NOMEM : IFAB_OK;
}

static void clear(struct ifab_prices *self)
{
    ifab_free(self->record);
    ifab_free(self->rows);
    memset(self, 0, sizeof *self);
}

void ifab_prices_free(struct ifab_prices *self)
{
    if (self != NULL)
        clear(self);
    ifab_free(self);
}

/* Views of the tree point into what was read: over to the copy. */
static struct ifab_view moved(struct ifab_view v, const uint8_t *from, const uint8_t *to)
{
    return v.size == 0 ? (struct ifab_view){NULL, 0} : (struct ifab_view){to + (v.data - from), v.size};
}

static ifab_status take(struct ifab_prices *self, struct ifab_view record, const struct ifab_price *rows, size_t count, struct ifab_error *err)
{
    struct ifab_prices next = {.size = record.size, .count = count};
    next.record = ifab_malloc(record.size);
    next.rows = ifab_calloc(count, sizeof *next.rows);
    if (next.record == NULL || next.rows == NULL) {
        clear(&next);
        return ifab_fail(err, IFAB_NOMEM, "price table");
    }
    memcpy(next.record, record.data, record.size);
    for (size_t i = 0; i < count; i++) {
        next.rows[i] = rows[i];
        next.rows[i].model = moved(rows[i].model, record.data, next.record);
        next.rows[i].provider = moved(rows[i].provider, record.data, next.record);
    }
    ifab_sha256(record, next.digest32);
    clear(self);
    *self = next;
    return IFAB_OK;
}

static ifab_status read_record(struct ifab_prices *self, struct ifab_view record, struct ifab_arena *arena, struct ifab_error *err)
{
    const struct ifab_json_limits limits = {.max_size = IFAB_PRICE_RECORD_MAX, .all_numbers_safe = true};
    const struct ifab_json *tree;
    struct ifab_price rows[IFAB_PRICE_ROWS_MAX];
    struct ifab_refusal refusal = {0};
    struct ifab_buf again = IFAB_BUF_INIT(2 * IFAB_PRICE_RECORD_MAX);
    size_t count;
    ifab_status status = ifab_json_read(record, &limits, arena, &tree, err);
    if (status != IFAB_OK)
        return status == IFAB_NOMEM ? status : IFAB_CORRUPT;
    if (read_table(tree, rows, &count, &refusal) != IFAB_CODE_NONE)
        return ifab_fail(err, IFAB_CORRUPT, "price table: %s: %s", refusal.field, refusal.message);
    write_table(&again, rows, count);
    bool memory = ifab_buf_status(&again) == IFAB_OK, same = memory && ifab_view_equal(ifab_buf_as_view(&again), record);
    ifab_buf_fini(&again);
    if (!memory)
        return ifab_fail(err, IFAB_NOMEM, "price table");
    if (!same)
        return ifab_fail(err, IFAB_CORRUPT, "price table: not in its one spelling");
    return take(self, record, rows, count, err);
}

ifab_status ifab_prices_load(struct ifab_prices *self, struct ifab_view record, struct ifab_error *err)
{
    struct ifab_arena arena;
    if (record.size == 0) {
        clear(self);
        return IFAB_OK;
    }
    ifab_arena_init(&arena, (size_t)4 << 20);
    ifab_status status = read_record(self, record, &arena, err);
    ifab_arena_fini(&arena);
    return status;
}

struct ifab_view ifab_prices_record(const struct ifab_prices *self) { return ifab_view_of(self->record, self->size); }
const uint8_t *ifab_prices_digest(const struct ifab_prices *self) { return self->record == NULL ? NULL : self->digest32; }
size_t ifab_prices_count(const struct ifab_prices *self) { return self->count; }
const struct ifab_price *ifab_prices_at(const struct ifab_prices *self, size_t i) { return i < self->count ? &self->rows[i] : NULL; }

const struct ifab_price *ifab_prices_find(const struct ifab_prices *self, struct ifab_view model, ifab_usec wall)
{
    const struct ifab_price *best = NULL;
    for (size_t i = 0; i < self->count; i++)
        if (ifab_view_equal(self->rows[i].model, model) && self->rows[i].from <= wall)
            best = &self->rows[i]; /* the newest of them: rows of a model stand in order of their dates */
    return best;
}

bool ifab_price_cost(const struct ifab_price *price, uint64_t tokens_in, uint64_t tokens_out, uint64_t calls, uint64_t *ret_usd_micro)
{
    if (tokens_in > IFAB_MONEY_MAX || tokens_out > IFAB_MONEY_MAX || calls > IFAB_MONEY_MAX)
        return false;
    wide tokens = (wide)tokens_in * price->in + (wide)tokens_out * price->out; /* < 2^95 */
    wide sum = (tokens + MTOK - 1) / MTOK + (wide)calls * price->call;
    if (sum > IFAB_MONEY_MAX)
        return false;
    *ret_usd_micro = (uint64_t)sum;
    return true;
}

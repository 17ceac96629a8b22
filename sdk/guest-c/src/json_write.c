/* JSON, written: the writer keeps the commas and knows what may come next. */
#include "guest_internal.h"

static void put(struct ifg_writer *self, const char *text) { ifg_buf_str(&self->out, text); }
static bool in_object(const struct ifg_writer *self) { return self->depth > 0 && (self->is_object >> (self->depth - 1) & 1) != 0; }

/* In front of a value: is one expected here? Writes the comma of an array. */
static bool begin_value(struct ifg_writer *self)
{
    uint32_t bit = self->depth > 0 ? 1U << (self->depth - 1) : 0;
    if (self->depth == 0 ? self->out.size > 0 : in_object(self) && !self->named)
        self->out.failed = true;
    if (self->out.failed)
        return false;
    if (self->depth > 0 && !self->named) {
        if ((self->has_item & bit) != 0)
            put(self, ",");
        self->has_item |= bit;
    }
    self->named = false;
    return true;
}

static void begin(struct ifg_writer *self, bool object)
{
    if (!begin_value(self))
        return;
    if (self->depth == IFG_JSON_MAX_DEPTH) {
        self->out.failed = true;
        return;
    }
    uint32_t bit = 1U << self->depth;
    self->is_object = object ? self->is_object | bit : self->is_object & ~bit;
    self->has_item &= ~bit;
    self->depth++;
    put(self, object ? "{" : "[");
}

static void end(struct ifg_writer *self, bool object)
{
    if (self->depth == 0 || in_object(self) != object || self->named) {
        self->out.failed = true;
        return;
    }
    self->depth--;
    put(self, object ? "}" : "]");
}

void ifg_begin_object(struct ifg_writer *self) { begin(self, true); }
void ifg_end_object(struct ifg_writer *self) { end(self, true); }
void ifg_begin_array(struct ifg_writer *self) { begin(self, false); }
void ifg_end_array(struct ifg_writer *self) { end(self, false); }

static void put_quoted(struct ifg_buf *out, struct ifg_view text)
{
    const char *at = text.data, *stop = text.data + text.size;
    ifg_buf_str(out, "\"");
    while (at < stop) {
        size_t size = ifg__utf8_size(at, stop);
        unsigned char c = (unsigned char)*at;
        if (size == 0) {
            out->failed = true;
            return;
        }
        if (c == '"' || c == '\\') {
            const char escaped[2] = {'\\', (char)c};
            ifg_buf_put(out, (struct ifg_view){escaped, 2});
        } else if (c < 0x20) {
            const char escaped[6] = {'\\', 'u', '0', '0', (char)('0' + (c >> 4)), "0123456789abcdef"[c & 15]};
            ifg_buf_put(out, (struct ifg_view){escaped, 6});
        } else {
            ifg_buf_put(out, (struct ifg_view){at, size});
        }
        at += size;
    }
    ifg_buf_str(out, "\"");
}

void ifg_name(struct ifg_writer *self, const char *name)
{
    if (!in_object(self) || self->named) {
        self->out.failed = true;
        return;
    }
    uint32_t bit = 1U << (self->depth - 1);
    if ((self->has_item & bit) != 0)
        put(self, ",");
    self->has_item |= bit;
    put_quoted(&self->out, ifg_view_str(name));
    put(self, ":");
    self->named = true;
}

void ifg_text(struct ifg_writer *self, struct ifg_view text)
{
    if (begin_value(self))
        put_quoted(&self->out, text);
}

void ifg_str(struct ifg_writer *self, const char *text) { ifg_text(self, ifg_view_str(text)); }

void ifg_i64(struct ifg_writer *self, int64_t value)
{
    if (begin_value(self))
        ifg_buf_i64(&self->out, value);
}

void ifg_bool(struct ifg_writer *self, bool value)
{
    if (begin_value(self))
        put(self, value ? "true" : "false");
}

void ifg_null(struct ifg_writer *self)
{
    if (begin_value(self))
        put(self, "null");
}

void ifg_raw(struct ifg_writer *self, struct ifg_view value)
{
    if (!ifg_json_check(value))
        self->out.failed = true;
    else if (begin_value(self))
        ifg_buf_put(&self->out, value);
}

bool ifg_writer_done(const struct ifg_writer *self) { return !self->out.failed && self->depth == 0 && self->out.size > 0; }

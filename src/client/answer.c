/* One HTTP/1.1 response, parsed by llhttp in strict mode: bounded head, bounded body, or lines handed on as they come. */
#include "internal.h"

#include <stdio.h>

#define HEAD_MAX 65536

static struct ifab_answer *of(llhttp_t *parser)
{
    return parser->data;
}

static bool name_is(const struct ifab_answer *self, const char *name)
{
    return ifab_view_equal_nocase(ifab_view_of(self->field, self->field_size), ifab_view_str(name));
}

static int on_field(llhttp_t *parser, const char *at, size_t size)
{
    struct ifab_answer *self = of(parser);
    self->head_size += size;
    for (size_t i = 0; i < size && self->field_size < sizeof self->field; i++)
        self->field[self->field_size++] = at[i];
    return self->head_size > HEAD_MAX ? HPE_USER : 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t size)
{
    struct ifab_answer *self = of(parser);
    self->head_size += size;
    for (size_t i = 0; i < size && self->value_size < sizeof self->value; i++)
        self->value[self->value_size++] = at[i];
    return self->head_size > HEAD_MAX ? HPE_USER : 0;
}

static int on_value_complete(llhttp_t *parser)
{
    struct ifab_answer *self = of(parser);
    struct ifab_view value = ifab_view_of(self->value, self->value_size);
    if (name_is(self, "content-type") && value.size < sizeof self->content_type) {
        memcpy(self->content_type, value.data, value.size);
        self->content_type[value.size] = '\0';
    } else if (name_is(self, "idempotent-replayed")) {
        self->replayed = ifab_view_equal_nocase(value, IFAB_VIEW("true"));
    } else if (name_is(self, "retry-after") && value.size > 0 && value.size <= 6) {
        int64_t seconds = 0;
        for (size_t i = 0; i < value.size && seconds >= 0; i++)
            seconds = value.data[i] >= '0' && value.data[i] <= '9' ? seconds * 10 + (value.data[i] - '0') : -1;
        if (seconds >= 0)
            self->retry_after_ms = seconds * 1000;
    }
    self->field_size = self->value_size = 0;
    return 0;
}

static int on_head(llhttp_t *parser)
{
    of(parser)->head_done = true;
    return 0;
}

static int stream_byte(struct ifab_answer *self, char c)
{
    if (c != '\n') {
        ifab_buf_char(&self->line, c);
        return 0;
    }
    if (self->line.size > 0 && self->line.data[self->line.size - 1] == '\r')
        self->line.size--;
    self->fn_status = self->fn(self->user, ifab_buf_as_view(&self->line));
    ifab_buf_clear(&self->line);
    return self->fn_status == IFAB_OK ? 0 : HPE_USER;
}

static int on_body(llhttp_t *parser, const char *at, size_t size)
{
    struct ifab_answer *self = of(parser);
    if (self->fn != NULL && parser->status_code == 200) {
        for (size_t i = 0; i < size; i++)
            if (stream_byte(self, at[i]) != 0)
                return HPE_USER;
        self->too_large = ifab_buf_status(&self->line) != IFAB_OK;
    } else {
        ifab_buf_put(&self->body, at, size);
        self->too_large = ifab_buf_status(&self->body) != IFAB_OK;
    }
    return self->too_large ? HPE_USER : 0;
}

static int on_done(llhttp_t *parser)
{
    struct ifab_answer *self = of(parser);
    if (parser->status_code < 200) { /* 100 Continue and its kin announce the real one */
        self->head_done = false;
        return 0;
    }
    self->done = true;
    self->keep_alive = llhttp_should_keep_alive(parser) != 0;
    return HPE_PAUSED;
}

void ifab_answer__begin(struct ifab_answer *self, ifab_line_fn *fn, void *user)
{
    struct ifab_buf body = self->body, line = self->line;
    memset(self, 0, sizeof *self);
    self->body = body;
    self->line = line;
    if (self->body.limit == 0)
        ifab_buf_init(&self->body, IFAB_CLIENT_RESPONSE_MAX);
    if (self->line.limit == 0)
        ifab_buf_init(&self->line, IFAB_CLIENT_LINE_MAX);
    ifab_buf_clear(&self->body);
    ifab_buf_clear(&self->line);
    self->retry_after_ms = -1;
    self->fn = fn;
    self->user = user;
    llhttp_settings_init(&self->settings);
    self->settings.on_header_field = on_field;
    self->settings.on_header_value = on_value;
    self->settings.on_header_value_complete = on_value_complete;
    self->settings.on_headers_complete = on_head;
    self->settings.on_body = on_body;
    self->settings.on_message_complete = on_done;
    llhttp_init(&self->parser, HTTP_RESPONSE, &self->settings);
    self->parser.data = self;
}

ifab_status ifab_answer__feed(struct ifab_answer *self, struct ifab_view bytes, bool at_end, struct ifab_error *err)
{
    if (self->done)
        return IFAB_OK;
    enum llhttp_errno error = at_end ? llhttp_finish(&self->parser) : llhttp_execute(&self->parser, (const char *)bytes.data, bytes.size);
    if (self->done)
        return IFAB_OK;
    if (self->fn_status != IFAB_OK)
        return self->fn_status;
    if (self->too_large)
        return ifab_fail(err, IFAB_TOO_LARGE, "answer above %zu bytes",
                         self->fn != NULL ? (size_t)IFAB_CLIENT_LINE_MAX : (size_t)IFAB_CLIENT_RESPONSE_MAX);
    if (error != HPE_OK || at_end)
        return ifab_fail(err, IFAB_CORRUPT, "not an HTTP answer: %s", at_end ? "it ends too early" : llhttp_errno_name(error));
    return IFAB_OK;
}

void ifab_answer__fini(struct ifab_answer *self)
{
    ifab_buf_fini(&self->body);
    ifab_buf_fini(&self->line);
}

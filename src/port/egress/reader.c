/*
 * An answer as it comes in. Nothing of it leaves before all of it has been looked through, and what breaks a rule leaves as an error, never cut.
 * Values of header fields that are not shown are looked through too: a provider that sends a secret back is worth knowing.
 */
#include "base/mem.h"
#include "crypto/crypto.h"
#include "job.h"

void ifab_egress__reader_begin(struct ifab_egress__reader *self, const struct ifab_egress_job *job)
{
    memset(self, 0, sizeof *self);
    self->job = job;
    self->failure = IFAB_EGRESS_NONE;
    ifab_leak_begin(&self->own, job->own);
    ifab_leak_begin(&self->live, job->live == NULL ? NULL : job->live->set);
    ifab_buf_init(&self->head, IFAB_EGRESS_HEAD_MAX + IFAB_EGRESS_HEAD_FIELDS_MAX * 2);
    ifab_buf_init(&self->body, job->response_max);
}
void ifab_egress__reader_fini(struct ifab_egress__reader *self)
{
    if (self->body.data != NULL)
        ifab_wipe(self->body.data, self->body.capacity);
    ifab_buf_fini(&self->body);
    ifab_buf_fini(&self->head);
}
static bool stop(struct ifab_egress__reader *self, enum ifab_egress_failure failure, const char *detail)
{
    if (self->failure == IFAB_EGRESS_NONE) {
        self->failure = failure;
        self->detail = detail;
    }
    return false;
}

static bool line_leaks(const struct ifab_egress__reader *self, struct ifab_view line)
{
    const struct ifab_leak_set *sets[] = {self->job->own, self->job->live == NULL ? NULL : self->job->live->set};
    bool found = false;
    for (size_t i = 0; i < IFAB_COUNT(sets); i++) {
        struct ifab_leak_scanner scanner;
        ifab_leak_begin(&scanner, sets[i]);
        found = ifab_leak_feed(&scanner, line) || found;
        found = ifab_leak_end(&scanner) || found;
    }
    return found;
}
static bool number_above(struct ifab_view digits, size_t most)
{
    size_t value = 0;
    for (size_t i = 0; i < digits.size; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9')
            return true;
        value = value * 10 + (size_t)(digits.data[i] - '0');
        if (value > most)
            return true;
    }
    return digits.size == 0;
}
static bool field(struct ifab_egress__reader *self, struct ifab_view line)
{
    size_t colon = 0, begin;
    while (colon < line.size && line.data[colon] != ':')
        colon++;
    struct ifab_view name = ifab_view_of(line.data, colon), value;
    for (begin = colon + 1; begin < line.size && (line.data[begin] == ' ' || line.data[begin] == '\t'); begin++)
        ;
    while (line.size > begin && (line.data[line.size - 1] == ' ' || line.data[line.size - 1] == '\t'))
        line.size--;
    if (colon == line.size || !ifab_egress_header_name_valid(name))
        return stop(self, IFAB_EGRESS_RESPONSE, "a header line that is none");
    value = begin < line.size ? ifab_view_of(line.data + begin, line.size - begin) : IFAB_VIEW("");
    if (!ifab_egress_header_value_valid(value))
        return stop(self, IFAB_EGRESS_RESPONSE, "a control character in a header field");
    if (ifab_view_equal_nocase(name, IFAB_VIEW("content-encoding")) && value.size > 0 && !ifab_view_equal_nocase(value, IFAB_VIEW("identity")))
        return stop(self, IFAB_EGRESS_RESPONSE, "it is compressed, and nobody asked for that");
    if (ifab_view_equal_nocase(name, IFAB_VIEW("transfer-encoding")) && !ifab_view_equal_nocase(value, IFAB_VIEW("chunked")))
        return stop(self, IFAB_EGRESS_RESPONSE, "it has a transfer coding other than chunked");
    if (ifab_view_equal_nocase(name, IFAB_VIEW("content-length")) && self->job->method != IFAB_EGRESS_METHOD_HEAD &&
        number_above(value, self->job->response_max))
        return stop(self, IFAB_EGRESS_RESPONSE_TOO_LARGE, NULL);
    if (!ifab_egress_header_is_shown(name))
        return true;
    for (size_t i = 0; i < name.size; i++)
        ifab_buf_char(&self->head, (char)(name.data[i] >= 'A' && name.data[i] <= 'Z' ? name.data[i] | 0x20 : name.data[i]));
    ifab_buf_char(&self->head, '\0');
    ifab_buf_view(&self->head, value);
    ifab_buf_char(&self->head, '\0');
    self->shown++;
    return ifab_buf_status(&self->head) == IFAB_OK || stop(self, IFAB_EGRESS_SYSTEM, "out of memory");
}
bool ifab_egress__reader_line(struct ifab_egress__reader *self, struct ifab_view line)
{
    if (self->failure != IFAB_EGRESS_NONE)
        return false;
    self->head_bytes += line.size;
    while (line.size > 0 && (line.data[line.size - 1] == '\n' || line.data[line.size - 1] == '\r'))
        line.size--;
    if (self->head_bytes > IFAB_EGRESS_HEAD_MAX || ++self->head_fields > IFAB_EGRESS_HEAD_FIELDS_MAX)
        return stop(self, IFAB_EGRESS_RESPONSE, "its head is too large");
    if (line_leaks(self, line))
        return stop(self, IFAB_EGRESS_LEAK, "in a header field");
    if (self->body_begun)
        return true; /* trailers: nobody is shown them */
    if (ifab_view_starts(line, IFAB_VIEW("HTTP/"))) {
        const uint8_t *space = memchr(line.data, ' ', line.size);
        size_t at = space == NULL ? line.size : (size_t)(space - line.data) + 1;
        self->status = line.size - at >= 3 && !number_above(ifab_view_of(line.data + at, 3), 999)
                           ? (line.data[at] - '0') * 100 + (line.data[at + 1] - '0') * 10 + (line.data[at + 2] - '0')
                           : 0;
        ifab_buf_clear(&self->head);
        self->shown = 0;
        self->final_head = false;
        return self->status >= 100 || stop(self, IFAB_EGRESS_RESPONSE, "its status line");
    }
    if (line.size == 0) {
        self->final_head = self->status >= 200;
        return true;
    }
    if (line.data[0] == ' ' || line.data[0] == '\t')
        return stop(self, IFAB_EGRESS_RESPONSE, "a folded header line");
    return field(self, line);
}
bool ifab_egress__reader_body(struct ifab_egress__reader *self, struct ifab_view bytes)
{
    if (self->failure != IFAB_EGRESS_NONE)
        return false;
    self->body_begun = true;
    if (bytes.size > self->job->response_max - self->body.size)
        return stop(self, IFAB_EGRESS_RESPONSE_TOO_LARGE, NULL);
    if (ifab_leak_feed(&self->own, bytes) || ifab_leak_feed(&self->live, bytes))
        return stop(self, IFAB_EGRESS_LEAK, "in its body");
    ifab_buf_view(&self->body, bytes);
    return ifab_buf_status(&self->body) == IFAB_OK || stop(self, IFAB_EGRESS_SYSTEM, "out of memory");
}
bool ifab_egress__reader_end(struct ifab_egress__reader *self)
{
    if (self->failure != IFAB_EGRESS_NONE)
        return false;
    if (!self->final_head)
        return stop(self, IFAB_EGRESS_RESPONSE, "its head did not end");
    if (ifab_leak_end(&self->own) || ifab_leak_end(&self->live))
        return stop(self, IFAB_EGRESS_LEAK, "in its body");
    return true;
}
/* The next of the texts in the head, each of which ends with a zero byte; rest loses it. */
static struct ifab_view next_text(struct ifab_view *rest)
{
    const uint8_t *end = rest->size == 0 ? NULL : memchr(rest->data, 0, rest->size);
    struct ifab_view text = {rest->data, end != NULL ? (size_t)(end - rest->data) : rest->size};
    *rest = end != NULL ? ifab_view_of(end + 1, rest->size - text.size - 1) : (struct ifab_view){NULL, 0};
    return text;
}

struct ifab_egress_event *ifab_egress__reader_event(struct ifab_egress__reader *self, uint32_t attempts, const char *address)
{
    struct ifab_egress_event *event = ifab_egress__event_new(self->job, IFAB_EGRESS_ANSWER);
    if (event == NULL)
        return NULL;
    event->fields_ = ifab_calloc(self->shown + 1, sizeof *event->fields_);
    if (event->fields_ == NULL) {
        ifab_egress_event_free(event);
        return NULL;
    }
    ifab_egress__problem(&event->problem, IFAB_EGRESS_NONE, NULL);
    event->head_ = self->head;
    event->body_ = self->body;
    ifab_buf_init(&self->head, 0);
    ifab_buf_init(&self->body, 0);
    struct ifab_view rest = ifab_buf_as_view(&event->head_);
    for (size_t i = 0; i < self->shown; i++) {
        event->fields_[i].name = next_text(&rest);
        event->fields_[i].value = next_text(&rest);
    }
    event->headers = event->fields_;
    event->header_count = self->shown;
    event->body = ifab_buf_as_view(&event->body_);
    event->status = self->status;
    event->attempts = attempts;
    (void)snprintf(event->address, sizeof event->address, "%s", address);
    return event;
}

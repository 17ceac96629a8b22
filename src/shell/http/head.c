/*
 * The raw head: scan and reading (http/head.h). What this file accepts, llhttp must read in the same way; parser.c compares the two,
 * fuzz/http_head.c hunts for a difference.
 */
#include "http/head.h"

#include "base/mem.h"

static enum ifab_http_scanned bad(struct ifab_http_scan *self, int status, const char *why)
{
    self->problem = (struct ifab_http_problem){status, why};
    return IFAB_HTTP_SCAN_BAD;
}

/* A CR LF has just ended a line. */
static enum ifab_http_scanned end_line(struct ifab_http_scan *self, size_t header_count)
{
    if (self->line_size == 0) {
        if (self->lines == 0)
            return bad(self, 400, "empty line before the request");
        self->done = true;
        return IFAB_HTTP_SCAN_DONE;
    }
    self->line_size = 0;
    self->lines++;
    if (self->lines > header_count + 1)
        return bad(self, 431, "too many header fields");
    return IFAB_HTTP_SCAN_MORE;
}

static enum ifab_http_scanned scan_byte(struct ifab_http_scan *self, uint8_t c, size_t header_count)
{
    if (self->cr) {
        if (c != '\n')
            return bad(self, 400, "CR without LF");
        self->cr = false;
        return end_line(self, header_count);
    }
    if (c == '\r') {
        self->cr = true;
        return IFAB_HTTP_SCAN_MORE;
    }
    if (c == '\n')
        return bad(self, 400, "LF without CR");
    if (self->line_size == 0 && (c == ' ' || c == '\t'))
        return bad(self, 400, "line begins with a space");
    if ((c < 0x20 && c != '\t') || c == 0x7f)
        return bad(self, 400, "control character in the head");
    if (self->lines == 0 && (c == '\t' || c >= 0x80))
        return bad(self, 400, "malformed request line");
    self->line_size++;
    return IFAB_HTTP_SCAN_MORE;
}

enum ifab_http_scanned ifab_http_scan(struct ifab_http_scan *self, size_t head_bytes, size_t header_count, struct ifab_view bytes,
                                      size_t *ret_used)
{
    *ret_used = 0;
    if (self->problem.status != 0)
        return IFAB_HTTP_SCAN_BAD;
    if (self->done)
        return IFAB_HTTP_SCAN_DONE;
    for (size_t i = 0; i < bytes.size; i++) {
        if (self->size == head_bytes)
            return bad(self, 431, "head too large");
        self->size++;
        *ret_used = i + 1;
        enum ifab_http_scanned got = scan_byte(self, bytes.data[i], header_count);
        if (got != IFAB_HTTP_SCAN_MORE)
            return got;
    }
    return IFAB_HTTP_SCAN_MORE;
}

/* RFC 9110 5.6.2: one character of a token. */
static bool is_token(uint8_t c)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return true;
    return c > 0x20 && c < 0x7f && memchr("!#$%&'*+-.^_`|~", c, 15) != NULL;
}

static struct ifab_view trim(struct ifab_view v)
{
    while (v.size > 0 && (v.data[0] == ' ' || v.data[0] == '\t')) {
        v.data++;
        v.size--;
    }
    while (v.size > 0 && (v.data[v.size - 1] == ' ' || v.data[v.size - 1] == '\t'))
        v.size--;
    return v;
}

/* What the rules about single fields gather. */
struct reading {
    struct ifab_http_head head;
    unsigned hosts, lengths, encodings, expectations;
    bool coding_known;
};
typedef struct ifab_http_problem field_fn(struct reading *self, struct ifab_view value);
#define FINE ((struct ifab_http_problem){0, NULL})
#define REFUSE(status_, why_) ((struct ifab_http_problem){(status_), (why_)})

static struct ifab_http_problem field_host(struct reading *self, struct ifab_view value)
{
    if (++self->hosts > 1)
        return REFUSE(400, "Host twice");
    if (value.size == 0 || value.size > 255)
        return REFUSE(400, "malformed Host");
    for (size_t i = 0; i < value.size; i++) {
        uint8_t c = value.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || memchr(".-_:[]", c, 6) != NULL))
            return REFUSE(400, "malformed Host");
    }
    self->head.host = value;
    return FINE;
}

static struct ifab_http_problem field_length(struct reading *self, struct ifab_view value)
{
    if (++self->lengths > 1)
        return REFUSE(400, "Content-Length twice");
    /* 15 digits are beyond every limit and cannot overflow. A sign, a list or leading zeros are read differently by different readers. */
    if (value.size == 0 || value.size > 15 || (value.size > 1 && value.data[0] == '0'))
        return REFUSE(400, "malformed Content-Length");
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return REFUSE(400, "malformed Content-Length");
        self->head.length = self->head.length * 10 + (uint64_t)(value.data[i] - '0');
    }
    self->head.has_length = true;
    return FINE;
}

static struct ifab_http_problem field_encoding(struct reading *self, struct ifab_view value)
{
    if (++self->encodings > 1)
        return REFUSE(400, "Transfer-Encoding twice");
    self->coding_known = ifab_view_is(value, "chunked"); /* judged at the end: a Content-Length beside it is the worse fault */
    self->head.chunked = true;
    return FINE;
}

static struct ifab_http_problem field_expect(struct reading *self, struct ifab_view value)
{
    if (++self->expectations > 1 || !ifab_view_equal_nocase(value, IFAB_VIEW("100-continue")))
        return REFUSE(417, "only 100-continue can be expected");
    self->head.expects = true;
    return FINE;
}

static struct ifab_http_problem field_connection(struct reading *self, struct ifab_view value)
{
    while (value.size > 0) {
        const uint8_t *comma = memchr(value.data, ',', value.size);
        size_t size = comma == NULL ? value.size : (size_t)(comma - value.data);
        if (ifab_view_equal_nocase(trim(ifab_view_of(value.data, size)), IFAB_VIEW("close")))
            self->head.closes = true;
        size += comma == NULL ? 0 : 1;
        value = ifab_view_of(value.data + size, value.size - size);
    }
    return FINE;
}

static struct ifab_http_problem field_upgrade(struct reading *self, struct ifab_view value)
{
    (void)self;
    (void)value;
    return REFUSE(501, "no protocol to upgrade to");
}

static struct ifab_http_problem field_trailer(struct reading *self, struct ifab_view value)
{
    (void)self;
    (void)value;
    return REFUSE(400, "trailers are not accepted");
}

static const struct {
    const char *name;
    size_t size;
    field_fn *read;
} fields[] = {
    {"host", 4, field_host},       {"content-length", 14, field_length},   {"transfer-encoding", 17, field_encoding},
    {"expect", 6, field_expect},   {"connection", 10, field_connection},   {"upgrade", 7, field_upgrade},
    {"trailer", 7, field_trailer},
};

static struct ifab_http_problem read_field(struct reading *self, struct ifab_view line, struct ifab_http_header *ret)
{
    const uint8_t *colon = memchr(line.data, ':', line.size);
    if (colon == NULL || colon == line.data)
        return REFUSE(400, "header field without a name");
    struct ifab_view name = {line.data, (size_t)(colon - line.data)};
    for (size_t i = 0; i < name.size; i++) {
        if (!is_token(name.data[i])) /* also the space before a colon */
            return REFUSE(400, "malformed header name");
    }
    *ret = (struct ifab_http_header){name, trim(ifab_view_of(colon + 1, line.size - name.size - 1))};
    for (size_t i = 0; i < IFAB_COUNT(fields); i++) {
        if (fields[i].size != name.size || !ifab_view_equal_nocase(name, ifab_view_of(fields[i].name, name.size)))
            continue;
        if (memchr(line.data, '\t', line.size) != NULL) /* readers differ about it, and these fields decide where a request ends */
            return REFUSE(400, "tab in a header field");
        return fields[i].read(self, ret->value);
    }
    return FINE;
}

static const struct {
    const char *text;
    enum ifab_http_method method;
} methods[] = {
    {"GET", IFAB_HTTP_GET},     {"POST", IFAB_HTTP_POST},     {"HEAD", IFAB_HTTP_HEAD},   {"DELETE", IFAB_HTTP_DELETE},
    {"PUT", IFAB_HTTP_OTHER},   {"OPTIONS", IFAB_HTTP_OTHER}, {"PATCH", IFAB_HTTP_OTHER}, {"TRACE", IFAB_HTTP_OTHER},
};

static struct ifab_http_problem read_method(struct ifab_view text, struct ifab_http_head *head)
{
    if (text.size == 0)
        return REFUSE(400, "malformed request line");
    for (size_t i = 0; i < text.size; i++) {
        if (!is_token(text.data[i]))
            return REFUSE(400, "malformed method");
    }
    if (ifab_view_is(text, "CONNECT"))
        return REFUSE(405, "CONNECT is not offered");
    for (size_t i = 0; i < IFAB_COUNT(methods); i++) {
        if (ifab_view_is(text, methods[i].text)) {
            head->method = methods[i].method;
            head->method_text = text;
            return FINE;
        }
    }
    return REFUSE(501, "unknown method");
}

/* method SP target SP "HTTP/1." ("0" / "1"), one space each. The version comes first: what another version means by a line is not ours to
 * guess. */
static struct ifab_http_problem read_first_line(struct ifab_view line, struct ifab_http_head *head)
{
    const size_t tail = 9; /* " HTTP/1.1" */
    if (line.size <= tail || memcmp(line.data + line.size - tail, " HTTP/", 6) != 0)
        return REFUSE(400, "malformed request line");
    const uint8_t *version = line.data + line.size - 3;
    if (version[0] < '0' || version[0] > '9' || version[1] != '.' || version[2] < '0' || version[2] > '9')
        return REFUSE(400, "malformed request line");
    if (version[0] != '1' || version[2] > '1')
        return REFUSE(505, "only HTTP/1.0 and HTTP/1.1 are spoken");
    head->minor = (unsigned)(version[2] - '0');
    line.size -= tail;
    const uint8_t *space = memchr(line.data, ' ', line.size);
    if (space == NULL)
        return REFUSE(400, "malformed request line");
    struct ifab_http_problem problem = read_method(ifab_view_of(line.data, (size_t)(space - line.data)), head);
    if (problem.status != 0)
        return problem;
    struct ifab_view target = {space + 1, line.size - head->method_text.size - 1};
    if (target.size == 0 || target.data[0] != '/')
        return REFUSE(400, "the target must begin with /");
    for (size_t i = 0; i < target.size; i++) {
        if (target.data[i] <= ' ' || target.data[i] >= 0x7f || target.data[i] == '#')
            return REFUSE(400, "malformed target");
    }
    const uint8_t *mark = memchr(target.data, '?', target.size);
    head->target = target;
    head->path = ifab_view_of(target.data, mark == NULL ? target.size : (size_t)(mark - target.data));
    head->query = mark == NULL ? ifab_view_of(target.data + target.size, 0)
                               : ifab_view_of(mark + 1, target.size - head->path.size - 1);
    return FINE;
}

/* What only the whole head can tell. */
static struct ifab_http_problem judge(struct reading *self)
{
    struct ifab_http_head *head = &self->head;
    if (self->lengths > 0 && self->encodings > 0)
        return REFUSE(400, "both Content-Length and Transfer-Encoding");
    if (self->encodings > 0 && head->minor == 0)
        return REFUSE(400, "Transfer-Encoding in HTTP/1.0");
    if (self->encodings > 0 && !self->coding_known)
        return REFUSE(501, "only the transfer coding chunked is known");
    if (self->hosts == 0 && head->minor == 1)
        return REFUSE(400, "Host is missing");
    if (head->minor == 0) {
        head->closes = true;
        head->expects = false; /* RFC 9110 10.1.1: ignored in HTTP/1.0 */
    }
    return FINE;
}

struct ifab_http_problem ifab_http_head_read(struct ifab_view head, struct ifab_http_header *headers, size_t max,
                                             struct ifab_http_head *ret_head)
{
    struct reading reading = {.hosts = 0};
    size_t at = 0;
    for (size_t lines = 0;; lines++) {
        const uint8_t *cr = at < head.size ? memchr(head.data + at, '\r', head.size - at) : NULL;
        if (cr == NULL)
            return REFUSE(400, "head without an end"); /* not a head that the scan accepted */
        struct ifab_view line = {head.data + at, (size_t)(cr - head.data) - at};
        struct ifab_http_problem problem = FINE;
        if (lines == 0) {
            problem = read_first_line(line, &reading.head);
        } else if (line.size == 0) {
            break;
        } else if (reading.head.header_count == max) {
            problem = REFUSE(431, "too many header fields");
        } else {
            problem = read_field(&reading, line, &headers[reading.head.header_count++]);
        }
        if (problem.status != 0)
            return problem;
        at += line.size + 2;
    }
    struct ifab_http_problem problem = judge(&reading);
    if (problem.status == 0)
        *ret_head = reading.head;
    return problem;
}

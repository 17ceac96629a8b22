/*
 * From bytes to whole requests (http/parser.h).
 *
 *   HEAD --scan done, both readers agree--> ALLOW --limit told--> BODY --last byte--> HEAD
 *
 * A head that comes whole in one read is read where it stands; its views are moved to storage of the parser only when the body is not
 * there yet. llhttp gets each request alone, from its first byte to its last as our own framing sees it, and must end exactly there.
 */
#include "http/parser.h"

#include <llhttp.h>

#include "base/mem.h"

#define BODY_FIRST ((size_t)64 * 1024) /* most that a Content-Length alone can make us reserve */
#define BODY_KEPT ((size_t)8 * 1024)   /* storage kept from request to request */
#define HEAD_KEPT ((size_t)2 * 1024)

/* What llhttp says, compared with what our reader said. */
struct second {
    llhttp_t llhttp;
    size_t name_index; /* fields seen */
    bool differs, complete, in_value;
    ifab_status body_failed;
};

struct ifab_http_parser {
    const struct ifab_http_limits *limits;
    enum { AT_HEAD, AT_ALLOW, AT_BODY, AT_BAD } state;
    struct ifab_http_scan scan;
    struct ifab_http_chunks chunks;
    uint64_t body_left;     /* with a Content-Length */
    size_t body_limit;
    struct ifab_buf stored; /* bytes of the head that came in earlier calls */
    const uint8_t *base;    /* first byte of the head the views point into */
    struct ifab_http_head head;
    struct second second;
    struct ifab_buf body;
    struct ifab_http_request request;
    struct ifab_http_problem problem;
    uint64_t requests, lines;
    bool by_line;
    struct ifab_http_header headers[];
};

static struct ifab_http_parser *self_of(llhttp_t *llhttp)
{
    return llhttp->data;
}

static int same(llhttp_t *llhttp, struct ifab_view ours, const char *at, size_t size)
{
    if (ifab_view_equal(ours, ifab_view_of(at, size)))
        return 0;
    self_of(llhttp)->second.differs = true;
    return HPE_USER;
}

static int on_url(llhttp_t *llhttp, const char *at, size_t size)
{
    return same(llhttp, self_of(llhttp)->head.target, at, size);
}

static int on_header_field(llhttp_t *llhttp, const char *at, size_t size)
{
    struct ifab_http_parser *self = self_of(llhttp);
    if (self->second.name_index >= self->head.header_count) {
        self->second.differs = true;
        return HPE_USER;
    }
    return same(llhttp, self->headers[self->second.name_index].name, at, size);
}

static int on_header_value(llhttp_t *llhttp, const char *at, size_t size)
{
    struct ifab_http_parser *self = self_of(llhttp);
    while (size > 0 && (at[size - 1] == ' ' || at[size - 1] == '\t')) /* llhttp leaves the spaces after a value in it */
        size--;
    self->second.in_value = true;
    if (self->second.name_index >= self->head.header_count)
        return HPE_USER;
    return same(llhttp, self->headers[self->second.name_index].value, at, size);
}

static int on_header_value_complete(llhttp_t *llhttp)
{
    struct ifab_http_parser *self = self_of(llhttp);
    /* An empty value has no span: it must be empty for our reader too. */
    if (self->second.name_index >= self->head.header_count
        || (!self->second.in_value && self->headers[self->second.name_index].value.size > 0))
        self->second.differs = true;
    self->second.in_value = false;
    self->second.name_index++;
    return 0;
}

static int on_headers_complete(llhttp_t *llhttp)
{
    struct ifab_http_parser *self = self_of(llhttp);
    const struct ifab_http_head *head = &self->head;
    bool agrees = self->second.name_index == head->header_count && llhttp->http_major == 1 && llhttp->http_minor == head->minor
                  && ifab_view_is(head->method_text, llhttp_method_name((llhttp_method_t)llhttp->method)) && !llhttp->upgrade
                  && ((llhttp->flags & F_CHUNKED) != 0) == head->chunked && ((llhttp->flags & F_CONTENT_LENGTH) != 0) == head->has_length
                  && (head->chunked || llhttp->content_length == (head->has_length ? head->length : 0));
    if (!agrees)
        self->second.differs = true;
    return agrees ? 0 : -1;
}

static int on_body(llhttp_t *llhttp, const char *at, size_t size)
{
    struct ifab_http_parser *self = self_of(llhttp);
    ifab_buf_put(&self->body, at, size);
    for (const char *end = at + size; self->by_line && at < end && (at = memchr(at, '\n', (size_t)(end - at))) != NULL; at++)
        self->lines++;
    self->second.body_failed = ifab_buf_status(&self->body);
    return self->second.body_failed == IFAB_OK ? 0 : HPE_USER;
}

static int on_message_complete(llhttp_t *llhttp)
{
    self_of(llhttp)->second.complete = true;
    return 0;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

struct ifab_http_parser *ifab_http_parser_new(const struct ifab_http_limits *limits)
{
    struct ifab_http_parser *self = ifab_calloc(1, sizeof *self + limits->header_count * sizeof self->headers[0]);
    if (self == NULL)
        return NULL;
    self->limits = limits;
    ifab_buf_init(&self->stored, limits->head_bytes);
    return self;
}

void ifab_http_parser_free(struct ifab_http_parser *self)
{
    if (self == NULL)
        return;
    ifab_buf_fini(&self->stored);
    ifab_buf_fini(&self->body);
    ifab_free(self);
}

static enum ifab_http_event bad(struct ifab_http_parser *self, struct ifab_http_problem problem)
{
    self->state = AT_BAD;
    self->problem = problem;
    ifab_buf_fini(&self->body);
    return IFAB_HTTP_BAD;
}

static enum ifab_http_event no_memory(struct ifab_http_parser *self)
{
    return bad(self, (struct ifab_http_problem){503, "out of memory"});
}

/* llhttp over the next bytes of this request. IFAB_HTTP_BAD when it refuses them, or ends elsewhere than our framing does. */
static enum ifab_http_event second_opinion(struct ifab_http_parser *self, struct ifab_view bytes, bool last)
{
    llhttp_errno_t got = llhttp_execute(&self->second.llhttp, (const char *)bytes.data, bytes.size);
    if (self->second.body_failed == IFAB_TOO_LARGE)
        return bad(self, (struct ifab_http_problem){413, "body too large"});
    if (self->second.body_failed != IFAB_OK)
        return no_memory(self);
    if (got != HPE_OK || self->second.differs)
        return bad(self, (struct ifab_http_problem){400, "malformed request"});
    if (self->second.complete != last)
        return bad(self, (struct ifab_http_problem){400, "malformed body"});
    return IFAB_HTTP_MORE;
}

static bool has_body(const struct ifab_http_head *head)
{
    return head->chunked || (head->has_length && head->length > 0);
}

/* The whole head stands at base. */
static enum ifab_http_event read_head(struct ifab_http_parser *self, struct ifab_view head)
{
    self->base = head.data;
    struct ifab_http_problem problem = ifab_http_head_read(head, self->headers, self->limits->header_count, &self->head);
    if (problem.status != 0)
        return bad(self, problem);
    self->second = (struct second){.name_index = 0};
    llhttp_init(&self->second.llhttp, HTTP_REQUEST, &settings);
    self->second.llhttp.data = self;
    if (second_opinion(self, head, !has_body(&self->head)) == IFAB_HTTP_BAD)
        return IFAB_HTTP_BAD;
    self->body_left = self->head.has_length ? self->head.length : 0;
    self->body_limit = self->limits->body_bytes;
    self->chunks = (struct ifab_http_chunks){.digits = 0};
    self->by_line = false;
    self->lines = 0;
    self->state = AT_ALLOW;
    return IFAB_HTTP_AT_HEAD;
}

static enum ifab_http_event take_head(struct ifab_http_parser *self, struct ifab_view *bytes)
{
    if (self->scan.size == 0) { /* a new request: what was lent for the last one ends here */
        self->request = (struct ifab_http_request){.id = 0};
        ifab_buf_clear(&self->stored);
        if (self->stored.capacity > HEAD_KEPT)
            ifab_buf_fini(&self->stored); /* the limit stays */
    }
    size_t used = 0;
    enum ifab_http_scanned got = ifab_http_scan(&self->scan, self->limits->head_bytes, self->limits->header_count, *bytes, &used);
    struct ifab_view taken = {bytes->data, used};
    bytes->data += used;
    bytes->size -= used;
    if (got == IFAB_HTTP_SCAN_BAD)
        return bad(self, self->scan.problem);
    if (got == IFAB_HTTP_SCAN_DONE && self->scan.size == used)
        return read_head(self, taken); /* came in one piece */
    ifab_buf_view(&self->stored, taken);
    if (ifab_buf_status(&self->stored) != IFAB_OK)
        return no_memory(self);
    return got == IFAB_HTTP_SCAN_DONE ? read_head(self, ifab_buf_as_view(&self->stored)) : IFAB_HTTP_MORE;
}

/* The limit is told: may the body come? */
static enum ifab_http_event begin_body(struct ifab_http_parser *self)
{
    if (self->body_left > self->body_limit)
        return bad(self, (struct ifab_http_problem){413, "body too large"});
    if (self->body.data != NULL && self->body.capacity > BODY_KEPT)
        ifab_buf_fini(&self->body);
    ifab_buf_clear(&self->body);
    self->body.limit = self->body_limit;
    if (self->body.capacity > self->body_limit)
        ifab_buf_fini(&self->body);
    if (self->body.data == NULL)
        ifab_buf_init(&self->body, self->body_limit);
    size_t first = self->body_left < BODY_FIRST ? (size_t)self->body_left : BODY_FIRST;
    if (first > 0 && ifab_buf_reserve(&self->body, first) != IFAB_OK)
        return no_memory(self);
    self->state = AT_BODY;
    return IFAB_HTTP_MORE;
}

static struct ifab_view moved(struct ifab_view v, const uint8_t *from, const uint8_t *to)
{
    return v.data == NULL ? v : ifab_view_of(to + (v.data - from), v.size);
}

/* The caller's bytes go away while the body is still to come: the head moves to storage of ours. */
static enum ifab_http_event keep_head(struct ifab_http_parser *self)
{
    if (self->base == self->stored.data)
        return IFAB_HTTP_MORE;
    ifab_buf_put(&self->stored, self->base, self->scan.size);
    if (ifab_buf_status(&self->stored) != IFAB_OK)
        return no_memory(self);
    const uint8_t *from = self->base, *to = self->stored.data;
    struct ifab_http_head *head = &self->head;
    head->method_text = moved(head->method_text, from, to);
    head->target = moved(head->target, from, to);
    head->path = moved(head->path, from, to);
    head->query = moved(head->query, from, to);
    head->host = moved(head->host, from, to);
    for (size_t i = 0; i < head->header_count; i++) {
        self->headers[i].name = moved(self->headers[i].name, from, to);
        self->headers[i].value = moved(self->headers[i].value, from, to);
    }
    self->base = to;
    return IFAB_HTTP_MORE;
}

static void fill_request(struct ifab_http_parser *self)
{
    const struct ifab_http_head *head = &self->head;
    self->request = (struct ifab_http_request){
        .method = head->method,
        .method_text = head->method_text,
        .target = head->target,
        .path = head->path,
        .query = head->query,
        .host = head->host,
        .headers = self->headers,
        .header_count = head->header_count,
        .body = self->state == AT_BODY ? &self->body : NULL,
    };
}

static enum ifab_http_event take_body(struct ifab_http_parser *self, struct ifab_view *bytes)
{
    bool last = true;
    if (has_body(&self->head)) {
        size_t used = 0;
        struct ifab_http_problem problem = {0, NULL};
        if (self->head.chunked) {
            enum ifab_http_scanned got = ifab_http_chunks(&self->chunks, *bytes, &used, &problem);
            if (got == IFAB_HTTP_SCAN_BAD) { /* what stood before the bad byte may be too large already: the same error in any split */
                if (used > 1 && second_opinion(self, ifab_view_of(bytes->data, used - 1), false) == IFAB_HTTP_BAD)
                    return IFAB_HTTP_BAD;
                return bad(self, problem);
            }
            last = got == IFAB_HTTP_SCAN_DONE;
        } else {
            used = bytes->size < self->body_left ? bytes->size : (size_t)self->body_left;
            self->body_left -= used;
            last = self->body_left == 0;
        }
        if (used > 0 && second_opinion(self, ifab_view_of(bytes->data, used), last) == IFAB_HTTP_BAD)
            return IFAB_HTTP_BAD;
        bytes->data += used;
        bytes->size -= used;
    }
    if (!last)
        return keep_head(self);
    fill_request(self);
    self->state = AT_HEAD;
    self->scan = (struct ifab_http_scan){.size = 0};
    self->requests++;
    return IFAB_HTTP_WHOLE;
}

enum ifab_http_event ifab_http_parser_next(struct ifab_http_parser *self, struct ifab_view *bytes)
{
    switch (self->state) {
    case AT_HEAD:
        return bytes->size == 0 ? IFAB_HTTP_MORE : take_head(self, bytes);
    case AT_ALLOW:
        if (begin_body(self) == IFAB_HTTP_BAD)
            return IFAB_HTTP_BAD;
        return take_body(self, bytes);
    case AT_BODY:
        return take_body(self, bytes);
    case AT_BAD:
        return IFAB_HTTP_BAD;
    }
    return IFAB_HTTP_BAD;
}

void ifab_http_parser_allow(struct ifab_http_parser *self, size_t body_bytes)
{
    self->body_limit = body_bytes;
}

struct ifab_http_request *ifab_http_parser_request(struct ifab_http_parser *self)
{
    if (self->state == AT_ALLOW)
        fill_request(self);
    return &self->request;
}

const struct ifab_http_head *ifab_http_parser_head(const struct ifab_http_parser *self)
{
    return &self->head;
}

struct ifab_http_problem ifab_http_parser_problem(const struct ifab_http_parser *self)
{
    return self->problem;
}

enum ifab_http_phase ifab_http_parser_phase(const struct ifab_http_parser *self)
{
    if (self->state == AT_ALLOW || self->state == AT_BODY)
        return IFAB_HTTP_IN_BODY;
    return self->state == AT_HEAD && self->scan.size > 0 ? IFAB_HTTP_IN_HEAD : IFAB_HTTP_BETWEEN;
}

void ifab_http_parser_by_line(struct ifab_http_parser *self)
{
    self->by_line = true;
}

bool ifab_http_parser_counts_lines(const struct ifab_http_parser *self)
{
    return self->by_line;
}

uint64_t ifab_http_parser_lines(const struct ifab_http_parser *self)
{
    return self->lines;
}

void ifab_http_parser_give_up(struct ifab_http_parser *self)
{
    if (self->state != AT_BAD)
        (void)bad(self, (struct ifab_http_problem){503, "given up"});
}

size_t ifab_http_parser_body(const struct ifab_http_parser *self)
{
    return self->state == AT_BODY ? self->body.size : 0;
}

uint64_t ifab_http_parser_requests(const struct ifab_http_parser *self)
{
    return self->requests;
}

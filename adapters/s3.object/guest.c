/*
 * Objects of one bucket by the S3 REST interface (Amazon S3 API reference: GetObject, HeadObject, ListObjectsV2, PutObject, DeleteObject). The daemon
 * signs (SigV4); this guest knows a bucket's address and the name of a secret, never the key. What cannot be asked for is refused in the plan
 * already: a caller's mistake never costs the capability anything.
 */
#include "infrafabric_guest.h"

#define KEY_MAX    1024                 /* bytes, S3's own limit */
#define PATH_MAX   2048                 /* of a request, encoded: docs/formats/egress.md */
#define RESULT_MAX ((size_t)1000 << 10) /* below the manifest's response_kib, so that too much is told as what it is */

enum verb { GET, HEAD, LIST, PUT, DELETE };
static const struct command {
    const char *operation;
    enum verb verb;
    const char *method, *effect, *says;
} commands[] = {
    {"get", GET, "GET", "http.get", "read"},  {"head", HEAD, "HEAD", "http.head", "look at"},        {"list", LIST, "GET", "http.get", "list"},
    {"put", PUT, "PUT", "http.put", "write"}, {"delete", DELETE, "DELETE", "http.delete", "delete"},
};

static const struct command *command_of(struct ifg_view operation)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (ifg_is(operation, commands[i].operation))
            return &commands[i];
    return NULL;
}

static struct ifg_view text_of(const struct ifg_call *call, const char *name) { return ifg_json_text_of(call->params, name, IFG_VIEW("")); }
static bool given(const struct ifg_call *call, const char *name) { return ifg_json_type(ifg_json_member(call->params, name)) != IFG_JSON_NONE; }

/* ---- what may be asked for ---- */

/* A key goes into a path, one segment between two '/'. Servers, and whoever stands before them, read what is refused here in more than one way. */
static const char *key_problem(struct ifg_view key)
{
    if (key.size == 0 || key.size > KEY_MAX)
        return "a name has 1 to 1024 bytes";
    for (size_t i = 0, begin = 0; i <= key.size; i++) {
        if (i < key.size && ((unsigned char)key.data[i] < 0x20 || key.data[i] == 0x7f || key.data[i] == '%' || key.data[i] == '\\'))
            return "a name with a control character, % or \\ cannot be reached from here";
        if (i < key.size && key.data[i] != '/')
            continue;
        struct ifg_view segment = {key.data + begin, 0};
        while (begin + segment.size < i && segment.data[segment.size] != ';') /* "..;x" is ".." to servers that know path parameters */
            segment.size++;
        if (begin == i || ifg_is(segment, ".") || ifg_is(segment, ".."))
            return "a name may not begin or end with /, nor hold //, . or .. between two of them";
        begin = i + 1;
    }
    return NULL;
}

/* An entity tag: visible characters without a quote; with its quotes, or without. */
static struct ifg_view tag_of(struct ifg_view text)
{
    if (text.size >= 2 && text.data[0] == '"' && text.data[text.size - 1] == '"')
        text = (struct ifg_view){text.data + 1, text.size - 2};
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] <= 0x20 || text.data[i] >= 0x7f || text.data[i] == '"')
            return IFG_VIEW("");
    return text;
}

static bool field_value(struct ifg_view text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < 0x20 || text.data[i] >= 0x7f)
            return false;
    return text.size == 0 || (text.data[0] != ' ' && text.data[text.size - 1] != ' ');
}

static const char *put_problem(const struct ifg_call *call)
{
    struct ifg_buf bytes = {.limit = 0};
    if (given(call, "body") == given(call, "body_b64"))
        return "one of body and body_b64 is needed";
    if (given(call, "body_b64") && !ifg_buf_base64_decode(&bytes, text_of(call, "body_b64")))
        return "body_b64 is no base64 (standard alphabet, padded)";
    if (!field_value(text_of(call, "content_type")))
        return "content_type is visible ASCII";
    if (given(call, "if_match") && ifg_json_bool_of(call->params, "if_absent", false))
        return "if_absent and if_match exclude each other";
    if (given(call, "if_match") && tag_of(text_of(call, "if_match")).size == 0)
        return "if_match is an etag as get, head and put answer it";
    return NULL;
}

static const char *problem_of(const struct ifg_call *call, const struct command *c)
{
    if (c == NULL)
        return "no such operation";
    const char *problem = c->verb == LIST ? NULL : key_problem(text_of(call, "name"));
    if (problem == NULL && c->verb == PUT)
        problem = put_problem(call);
    if (problem == NULL && c->verb == GET && given(call, "offset") != given(call, "length"))
        problem = "offset and length go together";
    return problem;
}

/* ---- the request ---- */

static struct ifg_view bucket_of(const struct ifg_call *call)
{
    struct ifg_view url = ifg_json_text_of(ifg_json_member(call->context, "config"), "S3_URL", IFG_VIEW(""));
    while (url.size > 0 && url.data[url.size - 1] == '/')
        url.size--;
    return url;
}

static void put_query(struct ifg_buf *url, const char *name, struct ifg_view value)
{
    ifg_buf_str(url, name);
    ifg_buf_percent(url, value);
}

static void list_query(const struct ifg_call *call, struct ifg_buf *url)
{
    ifg_buf_str(url, "?list-type=2&max-keys=");
    ifg_buf_i64(url, ifg_json_i64_of(call->params, "limit", 100));
    put_query(url, "&prefix=", text_of(call, "prefix"));
    if (ifg_json_bool_of(call->params, "folders", false))
        ifg_buf_str(url, "&delimiter=%2F");
    if (given(call, "next"))
        put_query(url, "&continuation-token=", text_of(call, "next"));
}

/* Where the path begins: behind scheme://host[:port]. */
static size_t path_at(struct ifg_view url)
{
    size_t at = 0, slashes = 0;
    while (at < url.size && (url.data[at] != '/' || ++slashes < 3))
        at++;
    return at;
}

static bool url_of(const struct ifg_call *call, const struct command *c, struct ifg_view *ret, struct ifg_answer *answer)
{
    struct ifg_view bucket = bucket_of(call), key = text_of(call, "name");
    struct ifg_buf url = {.limit = 8192};
    ifg_buf_put(&url, bucket);
    if (c->verb == LIST && path_at(bucket) == bucket.size)
        ifg_buf_str(&url, "/"); /* the bucket is in the host */
    if (c->verb == LIST)
        list_query(call, &url);
    for (size_t i = 0, begin = 0; c->verb != LIST && i <= key.size; i++)
        if (i == key.size || key.data[i] == '/') {
            ifg_buf_str(&url, "/");
            ifg_buf_percent(&url, (struct ifg_view){key.data + begin, i - begin});
            begin = i + 1;
        }
    if (url.failed || (c->verb != LIST && url.size - path_at(bucket) > PATH_MAX)) {
        ifg_fail(answer, IFG_CALLER, "name, prefix or next is too long for a request, percent-encoded");
        return false;
    }
    *ret = ifg_buf_view(&url);
    return true;
}

void guest_plan(const struct ifg_call *call, struct ifg_answer *answer)
{
    const struct command *c = command_of(call->operation);
    const char *problem = problem_of(call, c);
    struct ifg_buf words = {.limit = 500};
    struct ifg_view url, key = text_of(call, "name");
    if (problem != NULL) {
        ifg_fail(answer, IFG_CALLER, problem);
        return;
    }
    if (!url_of(call, c, &url, answer))
        return;
    ifg_buf_str(&words, c->says);
    ifg_buf_str(&words, " ");
    ifg_buf_put(&words, c->verb == LIST ? text_of(call, "prefix") : key);
    ifg_buf_str(&words, c->verb == LIST ? "*" : "");
    if (ifg_json_bool_of(call->params, "if_absent", false))
        ifg_buf_str(&words, ", unless it is there");
    if (given(call, "if_match"))
        ifg_buf_str(&words, ", if it is still the one with this etag");
    ifg_summary(answer, words.failed ? ifg_view_str(c->says) : ifg_buf_view(&words));
    ifg_effect(answer, c->effect, url.size <= 512 ? url : bucket_of(call));
}

/* ---- XML, as S3 writes it: no attributes, no CDATA where a value is read ---- */

static bool find(struct ifg_view text, size_t from, struct ifg_view what, size_t *ret_at)
{
    for (size_t i = from; i + what.size <= text.size; i++)
        if (ifg_equal((struct ifg_view){text.data + i, what.size}, what)) {
            *ret_at = i;
            return true;
        }
    return false;
}

/* The next <tag>…</tag> from *at on; *at moves behind it. false: none. */
static bool element(struct ifg_view xml, const char *tag, size_t *at, struct ifg_view *ret)
{
    struct ifg_buf open = {.limit = 64}, close = {.limit = 64};
    size_t from, to;
    ifg_buf_str(&open, "<");
    ifg_buf_str(&open, tag);
    ifg_buf_str(&open, ">");
    ifg_buf_str(&close, "</");
    ifg_buf_str(&close, tag);
    ifg_buf_str(&close, ">");
    bool found = find(xml, *at, ifg_buf_view(&open), &from) && find(xml, from, ifg_buf_view(&close), &to);
    if (found) {
        *ret = (struct ifg_view){xml.data + from + open.size, to - from - open.size};
        *at = to + close.size;
    }
    ifg_free(open.data);
    ifg_free(close.data);
    return found;
}

static struct ifg_view first(struct ifg_view xml, const char *tag)
{
    size_t at = 0;
    struct ifg_view text = IFG_VIEW("");
    return element(xml, tag, &at, &text) ? text : IFG_VIEW("");
}

static void put_character(struct ifg_buf *out, uint32_t c)
{
    char bytes[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        bytes[i] = (char)(0x80 | (c & 0x3f));
    bytes[0] = (char)(n == 1 ? c : (0xf00U >> n & 0xff) | c);
    ifg_buf_put(out, (struct ifg_view){bytes, n});
}

/* &#233; &#xE9;: the number between "&#" and ';'. 0: none. */
static uint32_t number_of(struct ifg_view digits)
{
    uint32_t c = 0, base = digits.size > 0 && digits.data[0] == 'x' ? 16 : 10;
    for (size_t i = base == 16; i < digits.size; i++) {
        char d = digits.data[i], low = (char)(d | 0x20);
        uint32_t value = d >= '0' && d <= '9' ? (uint32_t)(d - '0') : low >= 'a' && low <= 'f' ? (uint32_t)(low - 'a') + 10 : 16;
        if (value >= base || (c = c * base + value) > 0x10ffff)
            return 0;
    }
    return c >= 0xd800 && c <= 0xdfff ? 0 : c;
}

/* Text of an element with its references read, in one pass: &amp;lt; is &lt;. What is no reference stays as it is written. */
static struct ifg_view unescaped(struct ifg_view text)
{
    static const struct {
        const char *name;
        uint32_t is;
    } names[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
    struct ifg_buf out = {.limit = 0};
    for (size_t i = 0, end; i < text.size; i++) {
        uint32_t c = 0;
        if (text.data[i] == '&' && find(text, i, IFG_VIEW(";"), &end)) {
            struct ifg_view name = {text.data + i + 1, end - i - 1};
            for (size_t n = 0; n < sizeof names / sizeof names[0]; n++)
                c = ifg_is(name, names[n].name) ? names[n].is : c;
            if (name.size > 1 && name.data[0] == '#')
                c = number_of((struct ifg_view){name.data + 1, name.size - 1});
        }
        if (c == 0) {
            ifg_buf_put(&out, (struct ifg_view){text.data + i, 1});
            continue;
        }
        put_character(&out, c);
        i = end;
    }
    return ifg_buf_view(&out);
}

/* ---- the answer ---- */

/* Errors of the store that are not what their status says to us. */
static const struct {
    const char *code;
    enum ifg_kind kind;
} codes[] = {
    /* how it is set up: no call will pass before somebody mends that */
    {"NoSuchBucket", IFG_PROVIDER},
    {"AuthorizationHeaderMalformed", IFG_PROVIDER},
    {"InvalidAccessKeyId", IFG_PROVIDER},
    {"SignatureDoesNotMatch", IFG_PROVIDER},
    {"RequestTimeTooSkewed", IFG_PROVIDER},
    {"ExpiredToken", IFG_PROVIDER},
    {"InvalidToken", IFG_PROVIDER},
    {"PermanentRedirect", IFG_PROVIDER},
    {"NotImplemented", IFG_PROVIDER},
    /* two at once */
    {"ConditionalRequestConflict", IFG_TRANSIENT},
    {"OperationAborted", IFG_TRANSIENT},
    {"RequestTimeout", IFG_TRANSIENT},
};

/* named: an object or a beginning of names that the caller chose. */
static enum ifg_kind kind_of(int status, struct ifg_view code, bool named)
{
    if (ifg_is(code, "AccessDenied")) /* of what was named: also what S3 says of an object that is not there to a key that may not list */
        return named ? IFG_CALLER : IFG_PROVIDER;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (ifg_is(code, codes[i].code))
            return codes[i].kind;
    if (status >= 500 || status == 429)
        return IFG_TRANSIENT;
    if (status == 404 || status == 405 || status == 412 || status == 416)
        return IFG_CALLER;
    /* The rest has been judged before it was sent: what the store says nothing of (a HEAD has no body) is how it is set up, a wrong region for one.
     */
    return status >= 400 && status != 401 && status != 403 && code.size > 0 ? IFG_CALLER : IFG_PROVIDER;
}

/* "the store refused (403): AccessDenied". Its Code only: a Message may hold what was sent. */
static void refused(const struct ifg_http_response *response, struct ifg_view code, bool named, struct ifg_answer *answer)
{
    struct ifg_buf words = {.limit = 400};
    for (size_t i = 0; i < code.size; i++)
        if (((code.data[i] | 0x20) < 'a' || (code.data[i] | 0x20) > 'z') || code.size > 64)
            code.size = 0;
    ifg_buf_str(&words, response->status == 404   ? "no such object"
                        : response->status == 412 ? "the object is there already, or is not the one with this etag"
                        : response->status == 416 ? "the object ends before this offset"
                                                  : "the store refused");
    ifg_buf_str(&words, " (");
    ifg_buf_i64(&words, response->status);
    ifg_buf_str(&words, code.size > 0 ? ": " : "");
    ifg_buf_put(&words, code);
    ifg_buf_str(&words, ")");
    ifg_fail_view(answer, kind_of(response->status, code, named), ifg_buf_view(&words));
}

static void write_field(struct ifg_writer *w, const struct ifg_http_response *response, const char *name, const char *field)
{
    struct ifg_view text = ifg_json_text_of(response->headers, field, IFG_VIEW(""));
    ifg_name(w, name);
    if (text.size > 0)
        ifg_text(w, text);
    else
        ifg_null(w);
}

/* bytes 0-9/1234 */
static struct ifg_view whole_size(struct ifg_view range)
{
    size_t at = range.size;
    while (at > 0 && range.data[at - 1] >= '0' && range.data[at - 1] <= '9')
        at--;
    return at > 0 && at < range.size && range.data[at - 1] == '/' ? (struct ifg_view){range.data + at, range.size - at} : IFG_VIEW("");
}

static void write_number(struct ifg_writer *w, const char *name, struct ifg_view digits)
{
    int64_t number;
    ifg_name(w, name);
    if (ifg_json_i64(digits, &number))
        ifg_i64(w, number);
    else
        ifg_null(w);
}

static void write_body(struct ifg_writer *w, struct ifg_view body)
{
    struct ifg_writer text = {.depth = 0};
    struct ifg_buf encoded = {.limit = 0};
    bool nul = false;
    for (size_t i = 0; i < body.size; i++)
        nul = nul || body.data[i] == '\0';
    ifg_text(&text, body);
    if (!nul && ifg_writer_done(&text)) {
        ifg_name(w, "body");
        ifg_raw(w, ifg_buf_view(&text.out));
        return;
    }
    ifg_buf_base64(&encoded, body);
    w->out.failed = w->out.failed || encoded.failed;
    ifg_name(w, "body_b64");
    ifg_text(w, ifg_buf_view(&encoded));
}

static void write_object(const struct command *c, const struct ifg_http_response *response, struct ifg_answer *answer)
{
    struct ifg_writer *w = &answer->result;
    struct ifg_view range = ifg_json_text_of(response->headers, "content-range", IFG_VIEW(""));
    ifg_begin_object(w);
    if (c->verb == GET)
        write_body(w, response->body);
    if (c->verb == GET || c->verb == HEAD) {
        write_field(w, response, "content_type", "content-type");
        write_field(w, response, "last_modified", "last-modified");
    }
    if (c->verb == DELETE) {
        ifg_name(w, "deleted");
        ifg_bool(w, true);
    } else {
        write_field(w, response, "etag", "etag");
    }
    if (c->verb == HEAD)
        write_number(w, "size", ifg_json_text_of(response->headers, "content-length", IFG_VIEW("")));
    if (c->verb == GET && range.size > 0)
        write_number(w, "size", whole_size(range));
    else if (c->verb == GET) {
        ifg_name(w, "size");
        ifg_i64(w, (int64_t)response->body.size);
    }
    ifg_end_object(w);
}

static void write_list(struct ifg_view xml, struct ifg_answer *answer)
{
    struct ifg_writer *w = &answer->result;
    struct ifg_view item, next = first(xml, "NextContinuationToken");
    if (!find(xml, 0, IFG_VIEW("<ListBucketResult"), &(size_t){0})) {
        ifg_fail(answer, IFG_PROVIDER, "the store answered with something else than a list");
        return;
    }
    ifg_begin_object(w);
    ifg_name(w, "folders");
    ifg_begin_array(w);
    for (size_t at = 0; element(xml, "CommonPrefixes", &at, &item);)
        ifg_text(w, unescaped(first(item, "Prefix")));
    ifg_end_array(w);
    ifg_name(w, "items");
    ifg_begin_array(w);
    for (size_t at = 0; element(xml, "Contents", &at, &item);) {
        ifg_begin_object(w);
        ifg_name(w, "etag");
        ifg_text(w, unescaped(first(item, "ETag")));
        ifg_name(w, "name");
        ifg_text(w, unescaped(first(item, "Key")));
        ifg_name(w, "last_modified");
        ifg_text(w, first(item, "LastModified"));
        write_number(w, "size", first(item, "Size"));
        ifg_end_object(w);
    }
    ifg_end_array(w);
    ifg_name(w, "next");
    if (ifg_is(first(xml, "IsTruncated"), "true") && next.size > 0)
        ifg_text(w, unescaped(next));
    else
        ifg_null(w);
    ifg_end_object(w);
}

/* ---- apply ---- */

static void put_range(const struct ifg_call *call, struct ifg_buf *to)
{
    int64_t offset = ifg_json_i64_of(call->params, "offset", 0);
    ifg_buf_str(to, "bytes=");
    ifg_buf_i64(to, offset);
    ifg_buf_str(to, "-");
    ifg_buf_i64(to, offset + ifg_json_i64_of(call->params, "length", 1) - 1);
}

static void add(struct ifg_http_request *request, struct ifg_header *headers, struct ifg_view name, struct ifg_view value)
{
    headers[request->header_count++] = (struct ifg_header){name, value};
    request->headers = headers;
}

static void fill(const struct ifg_call *call, const struct command *c, struct ifg_http_request *request, struct ifg_header headers[4])
{
    struct ifg_buf range = {.limit = 64}, tag = {.limit = 256}, bytes = {.limit = 0};
    if (c->verb == GET && given(call, "length")) {
        put_range(call, &range);
        add(request, headers, IFG_VIEW("range"), ifg_buf_view(&range));
    }
    if (c->verb != PUT)
        return;
    bool binary = given(call, "body_b64");
    if (binary)
        (void)ifg_buf_base64_decode(&bytes, text_of(call, "body_b64")); /* judged before */
    request->has_body = true;
    request->body = binary ? ifg_buf_view(&bytes) : text_of(call, "body");
    add(request, headers, IFG_VIEW("content-type"),
        given(call, "content_type") ? text_of(call, "content_type")
        : binary                    ? IFG_VIEW("application/octet-stream")
                                    : IFG_VIEW("text/plain; charset=utf-8"));
    if (ifg_json_bool_of(call->params, "if_absent", false))
        add(request, headers, IFG_VIEW("if-none-match"), IFG_VIEW("*"));
    if (given(call, "if_match")) {
        ifg_buf_str(&tag, "\"");
        ifg_buf_put(&tag, tag_of(text_of(call, "if_match")));
        ifg_buf_str(&tag, "\"");
        add(request, headers, IFG_VIEW("if-match"), ifg_buf_view(&tag));
    }
}

static bool exchange(const struct ifg_call *call, const struct command *c, struct ifg_http_response *ret, struct ifg_answer *answer)
{
    struct ifg_host_error error;
    struct ifg_header headers[4];
    struct ifg_http_request request = {.method = ifg_view_str(c->method)};
    if (!url_of(call, c, &request.url, answer))
        return false;
    fill(call, c, &request, headers);
    if (ifg_secret_ref(IFG_VIEW("S3_KEY"), &request.secret, &error) && ifg_http(&request, ret, &error))
        return true;
    if (ifg_is(error.code, "IF_ERR_109"))
        ifg_fail(answer, IFG_CALLER, "the object is too large for one answer: read it by offset and length (list: a smaller limit)");
    else
        ifg_fail_host(answer, &error);
    return false;
}

/* Why the store refuses. The answer to a HEAD has no body: the object's first byte is asked for instead. */
static struct ifg_view code_of(const struct ifg_call *call, const struct command *c, const struct ifg_http_response *response)
{
    struct ifg_host_error error;
    struct ifg_answer unheard = {.failed = false};
    struct ifg_http_response again;
    const struct ifg_header range = {IFG_VIEW("range"), IFG_VIEW("bytes=0-0")};
    struct ifg_http_request request = {.method = IFG_VIEW("GET"), .headers = &range, .header_count = 1};
    if (c->verb != HEAD || response->status != 403)
        return first(response->body, "Code");
    bool told =
        url_of(call, c, &request.url, &unheard) && ifg_secret_ref(IFG_VIEW("S3_KEY"), &request.secret, &error) && ifg_http(&request, &again, &error);
    return told && again.status == 403 ? first(again.body, "Code") : IFG_VIEW("");
}

void guest_apply(const struct ifg_call *call, struct ifg_answer *answer)
{
    const struct command *c = command_of(call->operation);
    const char *problem = problem_of(call, c);
    struct ifg_http_response response;
    if (problem != NULL) {
        ifg_fail(answer, IFG_CALLER, problem);
        return;
    }
    if (!exchange(call, c, &response, answer))
        return;
    if (response.status < 200 || response.status > 299)
        refused(&response, code_of(call, c, &response), c->verb != LIST || text_of(call, "prefix").size > 0, answer);
    else if (c->verb == LIST)
        write_list(response.body, answer);
    else
        write_object(c, &response, answer);
    if (!answer->failed && (answer->result.out.failed || answer->result.out.size > RESULT_MAX))
        ifg_fail(answer, IFG_CALLER, "too much for one answer: read it by offset and length (list: a smaller limit)");
}

/* Without the network: is it set up? */
void guest_health(const struct ifg_call *call, struct ifg_answer *answer)
{
    struct ifg_view bucket = bucket_of(call);
    if (path_at(bucket) < 9 || bucket.size == 0) { /* http://x */
        ifg_fail(answer, IFG_PROVIDER, "S3_URL is not set to the address of a bucket");
        return;
    }
    ifg_null(&answer->result);
}

/*
 * A documented REST operation as a capability, by its manifest alone. The operation's own parameters `method`, `url`, `content_type`, `body` and `uses`
 * (a secret's name) are strings with one allowed value each (enum of one, and the default): the caller cannot change them, and the signature covers them. {NAME} in url
 * stands for the parameter NAME, percent-encoded as one value; in body for its JSON. README.md has an example.
 */
#include "infrafabric_guest.h"

static bool name_char(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-'; }

/* A parameter as text: a string's own, a number or boolean as it is written. */
static bool text_of(struct ifg_view value, struct ifg_view *ret)
{
    enum ifg_json_type type = ifg_json_type(value);
    if (type == IFG_JSON_STRING)
        return ifg_json_string(value, ret);
    *ret = value;
    return type == IFG_JSON_NUMBER || type == IFG_JSON_TRUE || type == IFG_JSON_FALSE;
}

/* {NAME} at at: its length with the braces, 0: none. */
static size_t placeholder(struct ifg_view template, size_t at, char name[65])
{
    size_t n = 0;
    if (template.data[at] != '{')
        return 0;
    while (at + 1 + n < template.size && n < 64 && name_char(template.data[at + 1 + n])) {
        name[n] = template.data[at + 1 + n];
        n++;
    }
    name[n] = '\0';
    return n > 0 && at + 1 + n < template.size && template.data[at + 1 + n] == '}' ? n + 2 : 0;
}

/* May a value stand as a segment of a path? What servers read as more than one, or as another one, goes nowhere. */
static bool segment(struct ifg_view text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] == '/' || text.data[i] == '\\' || text.data[i] == '%' || (unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f)
            return false;
    return text.size > 0 && !ifg_equal(text, IFG_VIEW(".")) && !ifg_equal(text, IFG_VIEW(".."));
}

static bool fill(struct ifg_view template, struct ifg_view params, bool json, struct ifg_buf *out, struct ifg_answer *answer)
{
    char name[65];
    bool path = !json;
    for (size_t at = 0; at < template.size;) {
        size_t size = placeholder(template, at, name);
        struct ifg_view value, text;
        if (size == 0) {
            path = path && template.data[at] != '?';
            ifg_buf_put(out, (struct ifg_view){template.data + at, 1});
            at++;
            continue;
        }
        value = ifg_json_member(params, name);
        if (ifg_json_type(value) == IFG_JSON_NONE || (!json && !text_of(value, &text))) {
            ifg_fail(answer, IFG_CALLER, "a parameter that the template names is missing, or cannot stand in a URL");
            return false;
        }
        if (path && !segment(text)) {
            ifg_fail(answer, IFG_CALLER, "a value for the path may not be empty, . or .., nor hold / \\ % or controls");
            return false;
        }
        if (json)
            ifg_buf_put(out, value);
        else
            ifg_buf_percent(out, text);
        at += size;
    }
    if (out->failed) { /* a beginning of it would lack what the template says behind the value */
        ifg_fail(answer, IFG_CALLER, "with these values the request is longer than it may be");
        return false;
    }
    return true;
}

static struct ifg_view fixed(const struct ifg_call *call, const char *name) { return ifg_json_text_of(call->params, name, IFG_VIEW("")); }

void guest_plan(const struct ifg_call *call, struct ifg_answer *answer)
{
    struct ifg_buf url = {.limit = 8192}, words = {.limit = 512};
    if (!fill(fixed(call, "url"), call->params, false, &url, answer))
        return;
    ifg_buf_put(&words, fixed(call, "method"));
    ifg_buf_str(&words, " ");
    ifg_buf_put(&words, ifg_buf_view(&url));
    ifg_summary(answer, words.failed ? fixed(call, "method") : ifg_buf_view(&words));
    ifg_effect(answer, "http", ifg_buf_view(&url));
}

static void write_answer(const struct ifg_http_response *response, struct ifg_answer *answer)
{
    ifg_begin_object(&answer->result);
    ifg_name(&answer->result, "body");
    if (response->body.size > 0 && ifg_json_check(response->body))
        ifg_raw(&answer->result, response->body);
    else
        ifg_text(&answer->result, response->body);
    ifg_name(&answer->result, "status");
    ifg_i64(&answer->result, response->status);
    ifg_end_object(&answer->result);
}

void guest_apply(const struct ifg_call *call, struct ifg_answer *answer)
{
    struct ifg_buf url = {.limit = 8192}, body = {.limit = 0};
    struct ifg_host_error error;
    struct ifg_http_response response;
    struct ifg_view type = fixed(call, "content_type"), secret = fixed(call, "uses"), template = fixed(call, "body");
    const struct ifg_header header = {IFG_VIEW("content-type"), type.size > 0 ? type : IFG_VIEW("application/json")};
    struct ifg_http_request request = {.method = fixed(call, "method")};
    if (!fill(fixed(call, "url"), call->params, false, &url, answer) || (template.size > 0 && !fill(template, call->params, true, &body, answer)))
        return;
    request.url = ifg_buf_view(&url);
    if (template.size > 0) {
        request.headers = &header;
        request.header_count = 1;
        request.has_body = true;
        request.body = ifg_buf_view(&body);
    }
    if (secret.size > 0 && !ifg_secret_ref(secret, &request.secret, &error)) {
        ifg_fail_host(answer, &error);
        return;
    }
    if (!ifg_http(&request, &response, &error)) {
        ifg_fail_host(answer, &error);
        return;
    }
    if (response.status >= 500 || response.status == 429)
        ifg_fail(answer, IFG_TRANSIENT, "the provider answered with a status of 5xx or 429");
    else if (response.status >= 400)
        ifg_fail(answer, response.status == 401 ? IFG_PROVIDER : IFG_CALLER, "the provider refused the request (4xx)"); /* 403: of what the caller named */
    else
        write_answer(&response, answer);
}

/* A template knows no request that is always harmless. */
void guest_health(const struct ifg_call *call, struct ifg_answer *answer)
{
    (void)call;
    ifg_null(&answer->result);
}

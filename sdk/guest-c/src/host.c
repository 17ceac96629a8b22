/* The imports, made plain. An answer that cannot be read is an error of its own. */
#include "guest_internal.h"

#define LOG_MESSAGE_MAX 1024

static void because(struct ifg_host_error *ret, enum ifg_refusal refusal, const char *code, const char *message)
{
    *ret = (struct ifg_host_error){refusal, ifg_view_str(code), ifg_view_str(message)};
}

static bool unreadable(struct ifg_host_error *ret)
{
    because(ret, IFG_UNREADABLE, "IF_ERR_500", "the host's answer cannot be read");
    return false;
}

/* The host's own refusals, in the order of their numbers. */
static bool refused(int64_t answer, struct ifg_host_error *ret)
{
    static const char *const rows[][2] = {
        {"IF_ERR_003", "not permitted"},
        {"IF_ERR_404", "no such thing"},
        {"IF_ERR_109", "larger than the limit"},
        {"IF_ERR_302", "rate limit"},
        {"IF_ERR_503", "the provider did not answer"},
    };
    if (answer < IFG_UNAVAILABLE)
        return unreadable(ret);
    const char *const *row = rows[-answer - 1];
    because(ret, (enum ifg_refusal)answer, row[0], row[1]);
    return false;
}

void ifg_log(enum ifg_level level, struct ifg_view message)
{
    ifg_host_log((uint32_t)level, message.data, (uint32_t)(message.size < LOG_MESSAGE_MAX ? message.size : LOG_MESSAGE_MAX));
}

static struct ifg_writer begin(void)
{
    struct ifg_writer request = {.depth = 0};
    ifg_begin_object(&request);
    return request;
}

static void put(struct ifg_writer *request, const char *name, struct ifg_view text)
{
    ifg_name(request, name);
    ifg_text(request, text);
}

/* Text where it is UTF-8, else base64. */
static void put_body(struct ifg_writer *request, struct ifg_view body)
{
    struct ifg_buf encoded = {.limit = 0};
    size_t at = 0, next;
    while (at < body.size && (next = ifg__utf8_size(body.data + at, body.data + body.size)) > 0)
        at += next;
    if (at == body.size) {
        put(request, "body", body);
        return;
    }
    ifg_buf_base64(&encoded, body);
    request->out.failed = request->out.failed || encoded.failed;
    put(request, "body_b64", ifg_buf_view(&encoded));
    ifg_free(encoded.data);
}

static void put_headers(struct ifg_writer *request, const struct ifg_header *headers, size_t count)
{
    ifg_name(request, "headers");
    ifg_begin_object(request);
    for (size_t i = 0; i < count; i++) {
        struct ifg_buf name = {.limit = 256}; /* a name ends with NUL in ifg_name() */
        ifg_buf_put(&name, headers[i].name);
        ifg_buf_put(&name, (struct ifg_view){"", 1});
        request->out.failed = request->out.failed || name.failed;
        put(request, name.failed ? "" : name.data, headers[i].value);
        ifg_free(name.data);
    }
    ifg_end_object(request);
}

static bool read_response(struct ifg_view answer, struct ifg_http_response *ret)
{
    struct ifg_view encoded = ifg_json_member(answer, "body_b64"), text;
    struct ifg_buf body = {.limit = 0};
    int64_t status = ifg_json_i64_of(answer, "status", 0);
    ret->status = (int)status;
    ret->headers = ifg_json_member(answer, "headers");
    if (status < 100 || status > 599 || ifg_json_type(ret->headers) != IFG_JSON_OBJECT)
        return false;
    if (ifg_json_type(encoded) == IFG_JSON_NONE)
        return ifg_json_string(ifg_json_member(answer, "body"), &ret->body);
    if (!ifg_json_string(encoded, &text) || !ifg_buf_base64_decode(&body, text))
        return false;
    ret->body = ifg_buf_view(&body);
    return true;
}

/* The import http: one object in, one object out, or an error of either kind. */
static bool ask(struct ifg_writer *request, struct ifg_view *ret_answer, struct ifg_host_error *ret_error)
{
    ifg_end_object(request);
    if (!ifg_writer_done(request)) {
        because(ret_error, IFG_UNREADABLE, "IF_ERR_208", "a text of this request is not UTF-8, or it is too large");
        return false;
    }
    int64_t packed = ifg_host_http(request->out.data, (uint32_t)request->out.size);
    if (packed < 0)
        return refused(packed, ret_error);
    *ret_answer = ifg_platform_unpack(packed);
    if (!ifg_json_check(*ret_answer))
        return unreadable(ret_error);
    struct ifg_view error = ifg_json_member(*ret_answer, "error");
    if (ifg_json_type(error) == IFG_JSON_NONE)
        return true;
    because(ret_error, IFG_UNAVAILABLE, "IF_ERR_503", "the request failed");
    ret_error->code = ifg_json_text_of(error, "code", ret_error->code);
    ret_error->message = ifg_json_text_of(error, "message", ret_error->message);
    return false;
}

bool ifg_http(const struct ifg_http_request *self, struct ifg_http_response *ret_response, struct ifg_host_error *ret_error)
{
    struct ifg_writer request = begin();
    struct ifg_view answer;
    put(&request, "method", self->method);
    put(&request, "url", self->url);
    put_headers(&request, self->headers, self->header_count);
    if (self->has_body)
        put_body(&request, self->body);
    if (self->secret.size > 0)
        put(&request, "secret", self->secret);
    return ask(&request, &answer, ret_error) && (read_response(answer, ret_response) || unreadable(ret_error));
}

/* ---- WebSockets: the same import ---- */

static struct ifg_writer begin_socket(const struct ifg_socket *self)
{
    struct ifg_writer request = begin();
    ifg_name(&request, "socket");
    ifg_i64(&request, self->number);
    return request;
}

bool ifg_ws_open(const struct ifg_http_request *self, struct ifg_socket *ret_socket, struct ifg_host_error *ret_error)
{
    struct ifg_writer request = begin();
    struct ifg_view answer;
    put(&request, "method", IFG_VIEW("GET"));
    put(&request, "url", self->url);
    put_headers(&request, self->headers, self->header_count);
    if (self->secret.size > 0)
        put(&request, "secret", self->secret);
    if (!ask(&request, &answer, ret_error))
        return false;
    int64_t number = ifg_json_i64_of(answer, "socket", 0);
    if (ifg_json_i64_of(answer, "status", 0) != 101 || number < 1 || number > UINT32_MAX) /* a url of http is answered, not opened */
        return unreadable(ret_error);
    ret_socket->number = (uint32_t)number;
    return true;
}

bool ifg_ws_send(const struct ifg_socket *self, struct ifg_view text, struct ifg_host_error *ret_error)
{
    struct ifg_writer request = begin_socket(self);
    struct ifg_view answer;
    put(&request, "send", text);
    return ask(&request, &answer, ret_error);
}

bool ifg_ws_send_bytes(const struct ifg_socket *self, struct ifg_view bytes, struct ifg_host_error *ret_error)
{
    struct ifg_writer request = begin_socket(self);
    struct ifg_buf encoded = {.limit = 0};
    struct ifg_view answer;
    ifg_buf_base64(&encoded, bytes);
    request.out.failed = request.out.failed || encoded.failed;
    put(&request, "send_b64", ifg_buf_view(&encoded));
    ifg_free(encoded.data);
    return ask(&request, &answer, ret_error);
}

bool ifg_ws_send_answer(const struct ifg_socket *self, struct ifg_view text, const struct ifg_challenge *challenge, struct ifg_host_error *ret_error)
{
    struct ifg_writer request = begin_socket(self);
    struct ifg_view answer;
    put(&request, "send", text);
    ifg_name(&request, "answer");
    ifg_begin_object(&request);
    put(&request, "secret", challenge->secret);
    put(&request, "salt", challenge->salt);
    put(&request, "challenge", challenge->challenge);
    ifg_end_object(&request);
    return ask(&request, &answer, ret_error);
}

static bool read_message(struct ifg_view answer, struct ifg_ws_message *ret)
{
    struct ifg_view message = ifg_json_member(answer, "message"), encoded = ifg_json_member(answer, "message_b64"), text;
    struct ifg_buf bytes = {.limit = 0};
    int64_t code = 0;
    *ret = (struct ifg_ws_message){.kind = ifg_json_bool_of(answer, "binary", false) ? IFG_WS_BYTES : IFG_WS_TEXT};
    if (ifg_json_type(message) != IFG_JSON_NONE)
        return ifg_json_string(message, &ret->data);
    if (ifg_json_type(encoded) != IFG_JSON_NONE) {
        bool good = ifg_json_string(encoded, &text) && ifg_buf_base64_decode(&bytes, text);
        ret->data = ifg_buf_view(&bytes);
        return good;
    }
    bool closed = ifg_json_i64(ifg_json_member(answer, "closed"), &code);
    ret->kind = closed ? IFG_WS_CLOSED : IFG_WS_NOTHING;
    ret->code = (int)code;
    return true;
}

bool ifg_ws_receive(const struct ifg_socket *self, uint32_t wait_ms, struct ifg_ws_message *ret_message, struct ifg_host_error *ret_error)
{
    struct ifg_writer request = begin_socket(self);
    struct ifg_view answer;
    ifg_name(&request, "receive");
    ifg_i64(&request, wait_ms);
    return ask(&request, &answer, ret_error) && (read_message(answer, ret_message) || unreadable(ret_error));
}

bool ifg_ws_close(struct ifg_socket *self, struct ifg_host_error *ret_error)
{
    struct ifg_writer request = begin_socket(self);
    struct ifg_view answer;
    ifg_name(&request, "close");
    ifg_bool(&request, true);
    self->number = 0;
    return ask(&request, &answer, ret_error);
}

bool ifg_secret_ref(struct ifg_view name, struct ifg_view *ret_handle, struct ifg_host_error *ret_error)
{
    int64_t packed = ifg_host_secret_ref(name.data, (uint32_t)name.size);
    if (packed < 0)
        return refused(packed, ret_error);
    *ret_handle = ifg_platform_unpack(packed);
    return true;
}

bool ifg_kv_get(struct ifg_view key, struct ifg_view *ret_value, struct ifg_host_error *ret_error)
{
    int64_t packed = ifg_host_kv_get(key.data, (uint32_t)key.size);
    if (packed < 0 && packed != IFG_NOT_FOUND)
        return refused(packed, ret_error);
    *ret_value = packed < 0 ? (struct ifg_view){NULL, 0} : ifg_platform_unpack(packed);
    if (packed >= 0 && ret_value->size == 0)
        ret_value->data = ""; /* kept, and empty */
    return true;
}

bool ifg_kv_put(struct ifg_view key, struct ifg_view value, struct ifg_host_error *ret_error)
{
    int32_t answer = ifg_host_kv_put(key.data, (uint32_t)key.size, value.data, (uint32_t)value.size);
    return answer >= 0 || refused(answer, ret_error);
}

bool ifg_now_usec(int64_t *ret_wall_usec, struct ifg_host_error *ret_error)
{
    int64_t answer = ifg_host_now();
    if (answer < 0)
        return refused(answer, ret_error);
    *ret_wall_usec = answer;
    return true;
}

bool ifg_random(void *ret_bytes, size_t size, struct ifg_host_error *ret_error)
{
    int32_t answer = ifg_host_random(ret_bytes, (uint32_t)size);
    return answer >= 0 || refused(answer, ret_error);
}

void ifg_fail_host(struct ifg_answer *self, const struct ifg_host_error *error)
{
    static const char *const transient[] = {"IF_ERR_302", "IF_ERR_303", "IF_ERR_304", "IF_ERR_305",
                                            "IF_ERR_500", "IF_ERR_502", "IF_ERR_503", "IF_ERR_504"};
    enum ifg_kind kind = IFG_PROVIDER;
    for (size_t i = 0; i < sizeof transient / sizeof transient[0]; i++) {
        if (ifg_is(error->code, transient[i]))
            kind = IFG_TRANSIENT;
    }
    ifg_fail_view(self, kind, error->message);
}

/*
 * A WebSocket client without a socket. Bounds: head 16 KiB, message response_max, what waits to be sent IFAB_EGRESS_SOCKET_QUEUE; a peer that
 * makes us answer pings faster than it reads is cut off. The search for secrets runs on from message to message, so that one cut in two is found.
 */
#include "websocket.h"

#include "base/mem.h"
#include "crypto/crypto.h"

#include <wslay/wslay.h>

#define HEAD_MAX  16384
#define QUEUE_MAX 256   /* frames */
#define COMPACT   65536 /* bytes; the handshake is shorter, so its storage never moves */

struct ifab_egress__ws {
    const struct ifab_egress_job *job;
    ifab_egress__ws_fn *deliver;
    void *user;
    wslay_event_context_ptr context;
    struct ifab_buf head, out;
    size_t out_at;
    struct ifab_view in; /* what wslay has still to read, during a receive */
    char accept[32];
    bool open, closed;
    int code;
    struct ifab_leak_scanner own, live, answer;
    enum ifab_egress_failure failure;
    const char *detail;
};

static bool stop(struct ifab_egress__ws *self, enum ifab_egress_failure failure, const char *detail)
{
    if (self->failure == IFAB_EGRESS_NONE) {
        self->failure = failure;
        self->detail = detail;
    }
    return false;
}

static ssize_t on_recv(wslay_event_context_ptr context, uint8_t *buf, size_t size, int flags, void *user)
{
    struct ifab_egress__ws *self = user;
    (void)flags;
    if (self->in.size == 0 || self->failure != IFAB_EGRESS_NONE) {
        wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    size = size < self->in.size ? size : self->in.size;
    memcpy(buf, self->in.data, size);
    self->in = ifab_view_of(self->in.data + size, self->in.size - size);
    return (ssize_t)size;
}
static ssize_t on_send(wslay_event_context_ptr context, const uint8_t *bytes, size_t size, int flags, void *user)
{
    struct ifab_egress__ws *self = user;
    (void)flags;
    ifab_buf_put(&self->out, bytes, size);
    if (ifab_buf_status(&self->out) == IFAB_OK)
        return (ssize_t)size;
    wslay_event_set_error(context, WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}
static int on_mask(wslay_event_context_ptr context, uint8_t *buf, size_t size, void *user)
{
    (void)context;
    (void)user;
    ifab_random(buf, size); /* RFC 6455 10.3: not to be foreseen */
    return 0;
}
static void on_message(wslay_event_context_ptr context, const struct wslay_event_on_msg_recv_arg *arg, void *user)
{
    struct ifab_egress__ws *self = user;
    struct ifab_view bytes = ifab_view_of(arg->msg, arg->msg_length);
    (void)context;
    if (self->failure != IFAB_EGRESS_NONE || (arg->opcode != WSLAY_TEXT_FRAME && arg->opcode != WSLAY_BINARY_FRAME))
        return;
    if (bytes.size > self->job->response_max)
        (void)stop(self, IFAB_EGRESS_RESPONSE_TOO_LARGE, "a message");
    else if (ifab_leak_feed(&self->own, bytes) || ifab_leak_feed(&self->live, bytes) || ifab_leak_feed(&self->answer, bytes))
        (void)stop(self, IFAB_EGRESS_LEAK, "in a message");
    else if (!self->deliver(self->user, arg->opcode == WSLAY_BINARY_FRAME, bytes))
        (void)stop(self, IFAB_EGRESS_RESPONSE_TOO_LARGE, "messages that nobody takes");
}

/* RFC 6455 4.1; no subprotocol and no extension is offered. */
static void write_handshake(struct ifab_egress__ws *self)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t nonce16[16], digest20[20];
    struct ifab_buf key = IFAB_BUF_INIT(128), accept = IFAB_BUF_INIT(128);
    const struct ifab_egress_job *job = self->job;
    ifab_random(nonce16, sizeof nonce16);
    ifab_buf_base64(&key, nonce16, sizeof nonce16);
    ifab_buf_format(&self->out, "GET %s HTTP/1.1\r\nHost: ", job->target);
    ifab_origin_write_host(&job->url.origin, &self->out);
    ifab_buf_str(&self->out,
                 "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nUser-Agent: InfraFabric\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ");
    ifab_buf_view(&self->out, ifab_buf_as_view(&key));
    ifab_buf_str(&self->out, "\r\n");
    for (size_t i = 0; i < job->header_count; i++)
        ifab_buf_format(&self->out, IFAB_FMT ": " IFAB_FMT "\r\n", IFAB_ARG(job->headers[i].name), IFAB_ARG(job->headers[i].value));
    ifab_buf_str(&self->out, "\r\n");
    ifab_buf_str(&key, guid);
    ifab_sha1_websocket(ifab_buf_as_view(&key), digest20);
    ifab_buf_base64(&accept, digest20, sizeof digest20);
    if (ifab_buf_status(&key) != IFAB_OK || ifab_buf_status(&accept) != IFAB_OK)
        self->out.failed = IFAB_NOMEM;
    (void)snprintf(self->accept, sizeof self->accept, IFAB_FMT, IFAB_ARG(ifab_buf_as_view(&accept)));
    ifab_buf_fini(&key);
    ifab_buf_fini(&accept);
}

ifab_status ifab_egress__ws_new(const struct ifab_egress_job *job, ifab_egress__ws_fn *deliver, void *user, struct ifab_egress__ws **ret_ws)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = on_recv, .send_callback = on_send, .genmask_callback = on_mask, .on_msg_recv_callback = on_message};
    struct ifab_egress__ws *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return IFAB_NOMEM;
    self->job = job;
    self->deliver = deliver;
    self->user = user;
    self->failure = IFAB_EGRESS_NONE;
    self->code = 1006;
    ifab_buf_init(&self->head, HEAD_MAX);
    ifab_buf_init(&self->out, IFAB_EGRESS_SOCKET_QUEUE + ((size_t)2 << 20));
    ifab_leak_begin(&self->own, job->own);
    ifab_leak_begin(&self->live, job->live == NULL ? NULL : job->live->set);
    (void)ifab_buf_reserve(&self->out, COMPACT);
    write_handshake(self);
    if (ifab_buf_status(&self->out) != IFAB_OK || wslay_event_context_client_init(&self->context, &callbacks, self) != 0) {
        ifab_egress__ws_free(self);
        return IFAB_NOMEM;
    }
    wslay_event_config_set_max_recv_msg_length(self->context, job->response_max);
    *ret_ws = self;
    return IFAB_OK;
}
void ifab_egress__ws_free(struct ifab_egress__ws *self)
{
    if (self == NULL)
        return;
    if (self->context != NULL)
        wslay_event_context_free(self->context);
    if (self->out.data != NULL)
        ifab_wipe(self->out.data, self->out.capacity);
    ifab_buf_fini(&self->out);
    ifab_buf_fini(&self->head);
    ifab_free(self);
}

static struct ifab_view trimmed(struct ifab_view v)
{
    while (v.size > 0 && (v.data[0] == ' ' || v.data[0] == '\t'))
        v = ifab_view_of(v.data + 1, v.size - 1);
    while (v.size > 0 && (v.data[v.size - 1] == ' ' || v.data[v.size - 1] == '\t'))
        v.size--;
    return v;
}
struct handshake {
    unsigned upgrade, connection, accept;
};
static bool handshake_field(struct ifab_egress__ws *self, struct ifab_view line, struct handshake *seen)
{
    const uint8_t *colon = memchr(line.data, ':', line.size);
    if (colon == NULL)
        return stop(self, IFAB_EGRESS_RESPONSE, "a header line that is none");
    struct ifab_view name = ifab_view_of(line.data, (size_t)(colon - line.data));
    struct ifab_view value = trimmed(ifab_view_of(colon + 1, line.size - name.size - 1));
    if (!ifab_egress_header_name_valid(name) || !ifab_egress_header_value_valid(value))
        return stop(self, IFAB_EGRESS_RESPONSE, "a header line that is none");
    if (ifab_view_equal_nocase(name, IFAB_VIEW("upgrade")))
        seen->upgrade += ifab_view_equal_nocase(value, IFAB_VIEW("websocket")) ? 1U : 2U;
    else if (ifab_view_equal_nocase(name, IFAB_VIEW("connection")))
        seen->connection += ifab_view_equal_nocase(value, IFAB_VIEW("upgrade")) ? 1U : 2U;
    else if (ifab_view_equal_nocase(name, IFAB_VIEW("sec-websocket-accept")))
        seen->accept += ifab_view_is(value, self->accept) ? 1U : 2U;
    else if (ifab_view_equal_nocase(name, IFAB_VIEW("sec-websocket-extensions")) || ifab_view_equal_nocase(name, IFAB_VIEW("sec-websocket-protocol")))
        return stop(self, IFAB_EGRESS_RESPONSE, "the handshake takes what was not offered");
    return true;
}
static bool line_leaks(const struct ifab_egress__ws *self, struct ifab_view bytes)
{
    struct ifab_leak_scanner own = self->own, live = self->live;
    bool found = ifab_leak_feed(&own, bytes) || ifab_leak_feed(&live, bytes);
    return ifab_leak_end(&own) || ifab_leak_end(&live) || found;
}
/* The whole head, with its empty line. */
static bool read_handshake(struct ifab_egress__ws *self, struct ifab_view head)
{
    struct handshake seen = {0, 0, 0};
    size_t begin = 0;
    if (line_leaks(self, head))
        return stop(self, IFAB_EGRESS_LEAK, "in a header field");
    for (size_t i = 0; i + 1 < head.size; i++) {
        if (head.data[i] != '\r' || head.data[i + 1] != '\n')
            continue;
        struct ifab_view line = ifab_view_of(head.data + begin, i - begin);
        if (begin == 0) {
            if (!ifab_view_starts(line, IFAB_VIEW("HTTP/1.1 101")) || (line.size > 12 && line.data[12] != ' '))
                return stop(self, IFAB_EGRESS_RESPONSE, "no WebSocket was opened (no 101)");
        } else if (line.size > 0 && !handshake_field(self, line, &seen)) {
            return false;
        }
        begin = i + 2;
    }
    if (seen.upgrade != 1 || seen.connection != 1 || seen.accept != 1)
        return stop(self, IFAB_EGRESS_RESPONSE, "the handshake is not that of a WebSocket");
    self->open = true;
    return true;
}
/* Takes bytes of the head out of self->in; true: go on with what is left. */
static bool receive_head(struct ifab_egress__ws *self)
{
    while (self->in.size > 0) {
        if (self->head.size == HEAD_MAX)
            return stop(self, IFAB_EGRESS_RESPONSE, "its head is too large");
        ifab_buf_put(&self->head, self->in.data, 1);
        self->in = ifab_view_of(self->in.data + 1, self->in.size - 1);
        if (ifab_buf_status(&self->head) != IFAB_OK)
            return stop(self, IFAB_EGRESS_SYSTEM, "out of memory");
        if (self->head.data[self->head.size - 1] == '\n' && (self->head.size == 1 || self->head.data[self->head.size - 2] != '\r'))
            return stop(self, IFAB_EGRESS_RESPONSE, "a line of its head ends badly");
        if (self->head.size >= 4 && memcmp(self->head.data + self->head.size - 4, "\r\n\r\n", 4) == 0)
            return read_handshake(self, ifab_buf_as_view(&self->head));
    }
    return true;
}
static bool flush(struct ifab_egress__ws *self)
{
    if (wslay_event_send(self->context) != 0)
        return stop(self, IFAB_EGRESS_SYSTEM, "no room for what must be sent");
    return true;
}
static bool receive_frames(struct ifab_egress__ws *self)
{
    while (self->in.size > 0 && wslay_event_get_read_enabled(self->context)) {
        int result = wslay_event_recv(self->context);
        if (self->failure != IFAB_EGRESS_NONE)
            return false;
        if (result != 0)
            return stop(self, IFAB_EGRESS_RESPONSE, "a frame that is none");
        if (wslay_event_get_queued_msg_count(self->context) > QUEUE_MAX)
            return stop(self, IFAB_EGRESS_RESPONSE, "it makes us say more than it reads");
        if (!flush(self))
            return false;
    }
    int sent = wslay_event_get_close_sent(self->context) ? wslay_event_get_status_code_sent(self->context) : 0;
    if (sent == WSLAY_CODE_MESSAGE_TOO_BIG)
        return stop(self, IFAB_EGRESS_RESPONSE_TOO_LARGE, "a message");
    if (sent == WSLAY_CODE_PROTOCOL_ERROR || sent == WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA)
        return stop(self, IFAB_EGRESS_RESPONSE, "a frame that is none");
    if (wslay_event_get_close_received(self->context)) {
        self->closed = true;
        self->code = wslay_event_get_status_code_received(self->context);
    }
    return true;
}
bool ifab_egress__ws_receive(struct ifab_egress__ws *self, struct ifab_view bytes, enum ifab_egress_failure *ret_failure, const char **ret_detail)
{
    self->in = bytes;
    bool good = self->failure == IFAB_EGRESS_NONE && (self->open || receive_head(self)) && (!self->open || receive_frames(self));
    self->in = ifab_view_of(NULL, 0);
    if (!good) {
        *ret_failure = self->failure;
        *ret_detail = self->detail;
    }
    return good;
}
bool ifab_egress__ws_is_open(const struct ifab_egress__ws *self) { return self->open; }
bool ifab_egress__ws_is_closed(const struct ifab_egress__ws *self, int *ret_code)
{
    if (self->closed)
        *ret_code = self->code;
    return self->closed;
}
ifab_status ifab_egress__ws_send(struct ifab_egress__ws *self, bool binary, struct ifab_view bytes)
{
    struct wslay_event_msg message = {binary ? WSLAY_BINARY_FRAME : WSLAY_TEXT_FRAME, bytes.data, bytes.size};
    int result = self->open ? wslay_event_queue_msg(self->context, &message) : WSLAY_ERR_NO_MORE_MSG;
    if (result == 0)
        return flush(self) ? IFAB_OK : IFAB_FULL;
    return result == WSLAY_ERR_NOMEM ? IFAB_NOMEM : IFAB_NOT_FOUND;
}
ifab_status ifab_egress__ws_shut(struct ifab_egress__ws *self, uint16_t code)
{
    if (!self->open || wslay_event_queue_close(self->context, code, NULL, 0) != 0)
        return IFAB_NOT_FOUND;
    return flush(self) ? IFAB_OK : IFAB_FULL;
}
void ifab_egress__ws_answers(struct ifab_egress__ws *self) { ifab_leak_begin(&self->answer, self->job->answer); }
struct ifab_view ifab_egress__ws_output(struct ifab_egress__ws *self)
{
    return ifab_view_of(self->out.data + self->out_at, self->out.size - self->out_at);
}
void ifab_egress__ws_sent(struct ifab_egress__ws *self, size_t size)
{
    self->out_at += size;
    if (self->out_at < self->out.size && self->out_at < COMPACT)
        return;
    size_t left = self->out.size - self->out_at;
    memmove(self->out.data, self->out.data + self->out_at, left);
    ifab_wipe(self->out.data + left, self->out.size - left); /* the handshake may carry a secret */
    self->out.size = left;
    self->out_at = 0;
}

/*
 * Blocking requests over one kept connection. A request that changes something is never sent twice by itself: once its bytes may have
 * reached the daemon, a lost answer is "outcome unknown" and the caller asks again with the same bytes and their Idempotency-Key.
 */
#include "internal.h"

#include <stdio.h>

#define CHUNK_MAX ((size_t)512 * 1024)

struct ifab_client {
    char *endpoint, *token; /* owned */
    int64_t timeout_usec;
    struct ifab_tls_context *tls; /* https */
    struct ifab_channel channel;
    struct ifab_answer answer;
};

static char *copy(const char *text)
{
    size_t size = strlen(text) + 1;
    char *to = ifab_malloc(size);
    if (to != NULL)
        memcpy(to, text, size);
    return to;
}

/* A header value of ours: no byte that could begin another line. */
static bool value_ok(const char *text)
{
    for (; text != NULL && *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f)
            return false;
    return true;
}

ifab_status ifab_client_open(const struct ifab_client_options *options, struct ifab_client **ret_client, struct ifab_error *err)
{
    if (options->version != IFAB_CLIENT_VERSION)
        return ifab_fail(err, IFAB_UNSUPPORTED, "version of the options");
    if (options->endpoint == NULL || !value_ok(options->token))
        return ifab_fail(err, IFAB_INVALID, "endpoint or token");
    IFAB_TRY(ifab_endpoint__check(options->endpoint, err));
    struct ifab_client *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return ifab_fail(err, IFAB_NOMEM, "client");
    ifab_channel__init(&self->channel);
    self->timeout_usec = options->timeout_usec > 0 ? options->timeout_usec : 30 * IFAB_SECOND;
    self->endpoint = copy(options->endpoint);
    self->token = options->token == NULL ? NULL : copy(options->token);
    if (self->endpoint == NULL || (options->token != NULL && self->token == NULL)) {
        ifab_client_close(self);
        return ifab_fail(err, IFAB_NOMEM, "client");
    }
    const struct ifab_tls_client_settings tls = {options->ca_file, options->certificate_file, options->key_file};
    ifab_status status = ifab_endpoint__secure(options->endpoint) ? ifab_tls_client_context(&tls, &self->tls, err) : IFAB_OK;
    if (status != IFAB_OK) {
        ifab_client_close(self);
        return status;
    }
    *ret_client = self;
    return IFAB_OK;
}

void ifab_client_close(struct ifab_client *self)
{
    if (self == NULL)
        return;
    ifab_channel__close(&self->channel);
    ifab_tls_context_free(self->tls);
    if (self->token != NULL)
        ifab_wipe(self->token, strlen(self->token));
    ifab_free(self->token);
    ifab_free(self->endpoint);
    ifab_answer__fini(&self->answer);
    ifab_free(self);
}

void ifab_client_set_timeout(struct ifab_client *self, int64_t timeout_usec)
{
    self->timeout_usec = timeout_usec > 0 ? timeout_usec : 30 * IFAB_SECOND;
}

void ifab_client_set_stop(struct ifab_client *self, int fd)
{
    self->channel.stop = fd;
}

static void put_header(struct ifab_buf *head, const char *name, const char *value)
{
    if (value != NULL)
        ifab_buf_format(head, "%s: %s\r\n", name, value);
}

static ifab_status write_head(const struct ifab_client *self, const struct ifab_request *request, bool stream, struct ifab_buf *head,
                              struct ifab_error *err)
{
    const char *values[] = {request->method, request->target, request->content_type, request->idempotency_key,
                            request->admin,  request->traceparent, request->ref, request->last_event_id};
    if (request->version != IFAB_CLIENT_VERSION || request->method == NULL || request->target == NULL || request->target[0] != '/')
        return ifab_fail(err, IFAB_INVALID, "request: version, method and target");
    for (size_t i = 0; i < IFAB_COUNT(values); i++)
        if (!value_ok(values[i]) || (i < 2 && strchr(values[i], ' ') != NULL))
            return ifab_fail(err, IFAB_INVALID, "request: a value holds a control or non-ASCII character");
    const char *slashes = strstr(self->endpoint, "://");
    const char *host = slashes != NULL ? slashes + 3 : "localhost";
    ifab_buf_format(head, "%s %s HTTP/1.1\r\nHost: %.*s\r\n", request->method, request->target, (int)strcspn(host, "/"), host);
    put_header(head, "Accept", stream ? "text/event-stream" : NULL);
    if (self->token != NULL) {
        ifab_buf_str(head, "Authorization: Bearer ");
        ifab_buf_str(head, self->token);
        ifab_buf_str(head, "\r\n");
    }
    put_header(head, "Idempotency-Key", request->idempotency_key);
    put_header(head, "IF-Admin", request->admin);
    put_header(head, "traceparent", request->traceparent);
    put_header(head, "IF-Ref", request->ref);
    put_header(head, "Last-Event-ID", request->last_event_id);
    if (request->body.size > 0 || strcmp(request->method, "GET") != 0) {
        put_header(head, "Content-Type", request->content_type == NULL ? "application/json" : request->content_type);
        ifab_buf_format(head, "Content-Length: %zu\r\n", request->body.size);
    }
    ifab_buf_str(head, "\r\n");
    return ifab_buf_status(head) == IFAB_OK ? IFAB_OK : ifab_fail(err, ifab_buf_status(head), "head of the request");
}

/* Reads until the answer is whole. *ret_some: at least one byte of it came. */
static ifab_status receive(struct ifab_client *self, int64_t deadline, int64_t idle_usec, bool *ret_some, struct ifab_error *err)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf chunk = IFAB_BUF_INIT(CHUNK_MAX);
    while (!self->answer.done) {
        struct ifab_view bytes;
        ifab_status status = ifab_channel__receive(&self->channel, &chunk, deadline, &bytes);
        if (status == IFAB_NOMEM)
            return ifab_fail(err, IFAB_NOMEM, "answer");
        if (status != IFAB_OK)
            return status;
        if (bytes.size == 0 && !*ret_some)
            return IFAB_IO;
        *ret_some = true;
        if (bytes.size == 0) /* the end: of the answer, when nothing else said where it is; otherwise of the connection */
            return ifab_answer__feed(&self->answer, (struct ifab_view){NULL, 0}, true, NULL) == IFAB_OK ? IFAB_OK : IFAB_IO;
        IFAB_TRY(ifab_answer__feed(&self->answer, bytes, false, err));
        if (self->answer.fn != NULL && self->answer.head_done) /* a stream: silence counts, not its length */
            deadline = idle_usec > 0 ? ifab_clock__run() + idle_usec : INT64_MAX;
    }
    return IFAB_OK;
}

static ifab_status once(struct ifab_client *self, struct ifab_view head, struct ifab_view body, int64_t idle_usec, bool *ret_sent,
                        struct ifab_error *err)
{
    int64_t deadline = ifab_clock__run() + self->timeout_usec;
    bool some = false;
    *ret_sent = false;
    if (self->channel.fd >= 0 && ifab_channel__stale(&self->channel))
        ifab_channel__close(&self->channel);
    if (self->channel.fd < 0)
        IFAB_TRY(ifab_channel__open(&self->channel, self->endpoint, self->tls, deadline, err));
    *ret_sent = true;
    ifab_status status = ifab_channel__send(&self->channel, head, deadline);
    if (status == IFAB_OK)
        status = ifab_channel__send(&self->channel, body, deadline);
    if (status == IFAB_OK || status == IFAB_IO) /* the daemon may have answered before it read all: 413 */
        status = receive(self, deadline, idle_usec, &some, err);
    if (status != IFAB_OK || !self->answer.keep_alive)
        ifab_channel__close(&self->channel);
    return status;
}

static void fill(struct ifab_client *self, struct ifab_response *ret)
{
    *ret = (struct ifab_response){
        .status = self->answer.parser.status_code,
        .body = ifab_buf_as_view(&self->answer.body),
        .idempotent_replayed = self->answer.replayed,
        .retry_after_ms = self->answer.retry_after_ms,
    };
    memcpy(ret->content_type, self->answer.content_type, sizeof ret->content_type);
}

static void wipe_and_free(struct ifab_buf *buf) /* it held the token */
{
    if (buf->data != NULL)
        ifab_wipe(buf->data, buf->capacity);
    ifab_buf_fini(buf);
}

static ifab_status run(struct ifab_client *self, const struct ifab_request *request, ifab_line_fn *fn, void *user, int64_t idle_usec,
                       struct ifab_response *ret_response, struct ifab_error *err)
{
    IFAB_CLEANUP(wipe_and_free) struct ifab_buf head = IFAB_BUF_INIT(131072);
    if (ifab_buf_reserve(&head, 65536) != IFAB_OK) /* so that it does not move */
        return ifab_fail(err, IFAB_NOMEM, "head of the request");
    IFAB_TRY(write_head(self, request, fn != NULL, &head, err));
    bool reads = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
    for (int attempt = 0;; attempt++) {
        bool sent, kept = self->channel.fd >= 0;
        ifab_answer__begin(&self->answer, fn, user);
        ifab_status status = once(self, ifab_buf_as_view(&head), request->body, idle_usec, &sent, err);
        if (status == IFAB_OK) {
            fill(self, ret_response);
            return IFAB_OK;
        }
        if (status == IFAB_IO && reads && kept && attempt == 0 && !self->answer.head_done)
            continue; /* the kept connection ended as we wrote: a fresh one, once */
        if (!sent || (status != IFAB_IO && status != IFAB_AGAIN))
            return ifab_fail(err, status, "%s", ifab_status_text(status));
        if (reads)
            return ifab_fail(err, IFAB_AGAIN, status == IFAB_AGAIN ? "no answer from %s in time" : "%s closed the connection",
                             self->endpoint);
        return ifab_fail(err, IFAB_IO, "no answer from %s: outcome unknown", self->endpoint);
    }
}

ifab_status ifab_client_call(struct ifab_client *self, const struct ifab_request *request, struct ifab_response *ret_response,
                             struct ifab_error *err)
{
    return run(self, request, NULL, NULL, 0, ret_response, err);
}

ifab_status ifab_client_stream(struct ifab_client *self, const struct ifab_request *request, ifab_line_fn *fn, void *user,
                               int64_t idle_usec, struct ifab_response *ret_response, struct ifab_error *err)
{
    ifab_status status = run(self, request, fn, user, idle_usec, ret_response, err);
    if (status == IFAB_OK && ret_response->status == 200)
        return ifab_fail(err, IFAB_AGAIN, "the stream ended");
    return status;
}

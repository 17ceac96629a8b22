/*
 * WebSockets of the import `http`: opened by a request, then sent to, received from and closed by number. A guest makes one host call at a time, so
 * at most one question waits for a socket. docs/formats/guest-abi.md.
 *
 * 1. A number is given once in a call; a socket is reached only through the call that opened it, and ends with it.
 * 2. What has come waits here up to WAITING_MAX: more than that, and the socket ends. Nothing is dropped silently.
 * 3. What came before an end is received before the end is told.
 */
#include "guest_internal.h"

#include "base/encode.h"
#include "crypto/crypto.h"
#include "json/schema.h"

#include <stdlib.h>

#define WAITING_MAX ((size_t)2 << 20)
#define RECEIVE_MAX 300000 /* ms; the call's deadline comes first */

static const struct ifab_schema_field answer_fields[] = {
    {.name = "challenge", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = IFAB_CHALLENGE_TEXT_MAX},
    {.name = "salt", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = IFAB_CHALLENGE_TEXT_MAX},
    {.name = "secret", .kind = IFAB_SCHEMA_STRING, .required = true, .min = 1, .max = 64},
};
static const struct ifab_schema answer_schema = {"answer", answer_fields, IFAB_COUNT(answer_fields)};
static const struct ifab_schema_field socket_fields[] = {
    {.name = "answer", .kind = IFAB_SCHEMA_OBJECT, .sub = &answer_schema},
    {.name = "close", .kind = IFAB_SCHEMA_BOOL},
    {.name = "receive", .kind = IFAB_SCHEMA_INTEGER, .min = 0, .max = RECEIVE_MAX},
    {.name = "send", .kind = IFAB_SCHEMA_STRING, .min = 0, .max = HTTP_REQUEST_MAX},
    {.name = "send_b64", .kind = IFAB_SCHEMA_STRING, .min = 0, .max = HTTP_REQUEST_MAX},
    {.name = "socket", .kind = IFAB_SCHEMA_INTEGER, .required = true, .min = 1, .max = UINT32_MAX},
};
static const struct ifab_schema socket_schema = {"socket", socket_fields, IFAB_COUNT(socket_fields)};

bool ifab_guest__is_socket(struct ifab_view url) { return ifab_view_starts(url, IFAB_VIEW("ws://")) || ifab_view_starts(url, IFAB_VIEW("wss://")); }

/* ---- places ---- */

static struct socket *find(struct running *r, uint32_t number)
{
    for (size_t i = 0; i < SOCKETS_MAX; i++)
        if (r->sockets[i].state != SOCKET_FREE && r->sockets[i].number == number)
            return &r->sockets[i];
    return NULL;
}

/* Where an answer to a challenge would go. Without memory: nowhere, and egress refuses what is not for the first origin. */
static void note_origin(struct socket *s, struct ifab_view url)
{
    struct ifab_url to;
    struct ifab_buf text = IFAB_BUF_INIT(sizeof s->origin - 1);
    if (ifab_url_parse(url, &to, NULL) == IFAB_OK)
        ifab_origin_write(&to.origin, &text);
    if (ifab_buf_status(&text) == IFAB_OK && text.size > 0)
        memcpy(s->origin, text.data, text.size);
    ifab_buf_fini(&text);
}

bool ifab_guest__socket_begin(struct question *q)
{
    struct running *r = q->running;
    for (size_t i = 0; i < SOCKETS_MAX; i++) {
        if (r->sockets[i].state != SOCKET_FREE)
            continue;
        r->sockets[i] = (struct socket){.state = SOCKET_OPENING, .number = ++r->socket_count};
        note_origin(&r->sockets[i], q->url);
        q->kind = QUESTION_OPEN;
        q->socket = r->sockets[i].number;
        return true;
    }
    return false;
}

void ifab_guest__socket_submitted(struct question *q)
{
    find(q->running, q->socket)->egress = q->egress;
    q->egress = 0; /* the socket's from now on */
}

static void drop_messages(struct socket *s)
{
    for (struct ifab_egress_event *e; (e = s->first) != NULL;) {
        s->first = e->next_;
        ifab_egress_event_free(e);
    }
    s->last = NULL;
    s->waiting = 0;
}

static void release(struct socket *s)
{
    drop_messages(s);
    *s = (struct socket){.state = SOCKET_FREE};
}

void ifab_guest__socket_drop(struct question *q)
{
    struct socket *s = find(q->running, q->socket);
    if (s != NULL)
        release(s);
}

void ifab_guest__sockets_end(struct running *r)
{
    struct ifab_egress *egress = r->guests->egress;
    for (size_t i = 0; i < SOCKETS_MAX; i++) {
        struct socket *s = &r->sockets[i];
        if (s->egress != 0 && egress != NULL) {
            if (s->state == SOCKET_OPEN)
                (void)!ifab_egress_shut(egress, s->egress, 1000); /* a word of leave; its answer is not waited for */
            ifab_egress_cancel(egress, s->egress);
        }
        release(s);
    }
}

/* ---- answers ---- */

static void answer(struct ifab_guests *self, struct question *q, struct ifab_buf *b)
{
    if (ifab_buf_status(b) == IFAB_OK)
        (void)ifab_chassis_host_result(self->chassis, q->host_call, IFAB_HOST_OK, ifab_buf_as_view(b));
    else
        ifab_guest__http_error(self, q->host_call, IFAB_CODE_TOO_LARGE, "the message is larger than a guest may be given");
    if (b->data != NULL)
        ifab_wipe(b->data, b->size);
    ifab_buf_fini(b);
    ifab_guest__question_end(q);
}

static void say(struct ifab_guests *self, struct question *q, const char *format, long number)
{
    struct ifab_buf b = IFAB_BUF_INIT(256);
    ifab_buf_str(&b, "{");
    if (format != NULL)
        ifab_buf_format(&b, "\"%s\":%ld,", format, number);
    ifab_buf_format(&b, "\"socket\":%u}", q->socket);
    answer(self, q, &b);
}

/* {"binary","message" or "message_b64","socket"} */
static void give(struct ifab_guests *self, struct question *q, struct socket *s)
{
    struct ifab_egress_event *e = s->first;
    struct ifab_buf b = IFAB_BUF_INIT(HTTP_ANSWER_MAX);
    bool text = ifab_utf8_valid(e->body) && (e->body.size == 0 || memchr(e->body.data, '\0', e->body.size) == NULL);
    ifab_buf_format(&b, "{\"binary\":%s,", e->binary ? "true" : "false");
    if (text) {
        ifab_buf_str(&b, "\"message\":");
        ifab_json_put_string(&b, e->body);
    } else {
        ifab_buf_str(&b, "\"message_b64\":\"");
        ifab_buf_base64(&b, e->body.data, e->body.size);
        ifab_buf_char(&b, '"');
    }
    ifab_buf_format(&b, ",\"socket\":%u}", s->number);
    s->first = e->next_;
    s->last = s->first == NULL ? NULL : s->last;
    s->waiting -= sizeof *e + e->body.size;
    ifab_egress_event_free(e);
    answer(self, q, &b);
}

/* What is there, or how it ended; false: nothing yet. */
static bool serve(struct ifab_guests *self, struct question *q, struct socket *s)
{
    if (s->first != NULL)
        give(self, q, s);
    else if (s->state == SOCKET_CLOSED)
        say(self, q, "closed", s->code);
    else if (s->state == SOCKET_FAILED)
        ifab_guest__problem(self, q, &s->problem);
    else
        return false;
    return true;
}

/* ---- time ---- */

static void arm(struct ifab_guests *self)
{
    ifab_usec due = IFAB_NEVER, now = (ifab_usec)(uv_hrtime() / 1000);
    for (size_t i = 0; i < QUESTIONS_MAX; i++) {
        const struct question *q = &self->questions[i];
        if (q->host_call != 0 && q->kind == QUESTION_RECEIVE && q->until < due)
            due = q->until;
    }
    if (due == IFAB_NEVER)
        (void)uv_timer_stop(&self->timer);
    else
        (void)uv_timer_start(&self->timer, ifab_guest__socket_timer, due <= now ? 0 : (uint64_t)(due - now + 999) / 1000, 0);
}

void ifab_guest__socket_timer(uv_timer_t *timer)
{
    struct ifab_guests *self = timer->data;
    ifab_usec now = (ifab_usec)(uv_hrtime() / 1000);
    for (size_t i = 0; i < QUESTIONS_MAX; i++) {
        struct question *q = &self->questions[i];
        if (q->host_call != 0 && q->kind == QUESTION_RECEIVE && q->until <= now)
            say(self, q, NULL, 0);
    }
    arm(self);
}

/* ---- what a guest asks ---- */

static void receive(struct ifab_guests *self, struct question *q, struct socket *s, int64_t wait_ms)
{
    if (serve(self, q, s))
        return;
    if (wait_ms == 0) {
        say(self, q, NULL, 0);
        return;
    }
    q->kind = QUESTION_RECEIVE;
    q->until = (ifab_usec)(uv_hrtime() / 1000) + wait_ms * 1000;
    arm(self);
}

/* The guest is told at once: nobody has to wait for a server's half of the leave. */
static void close_socket(struct ifab_guests *self, struct question *q, struct socket *s)
{
    long code = s->state == SOCKET_CLOSED ? s->code : s->state == SOCKET_FAILED ? 1006 : 1000;
    bool waits = s->state == SOCKET_OPEN && ifab_egress_shut(self->egress, s->egress, 1000) == IFAB_OK;
    drop_messages(s);
    if (waits)
        s->state = SOCKET_SHUT;
    else
        release(s);
    say(self, q, "closed", code);
}

static void sent(struct ifab_guests *self, struct question *q, ifab_status status, const struct ifab_egress_problem *problem)
{
    if (status == IFAB_OK) {
        q->running->reached++;
        ifab_guest__came(q->running);
        say(self, q, NULL, 0);
    } else if (problem != NULL) {
        ifab_guest__alarm(q->running, problem);
        ifab_guest__problem(self, q, problem);
    } else if (status == IFAB_FULL) { /* the other end does not read: its fault, whatever the guest is told */
        q->running->failed = true;
        ifab_guest__refuse(self, q, IFAB_CODE_RATE_LIMIT_EXCEEDED, "too much waits to be sent");
    } else {
        ifab_guest__refuse(self, q, status == IFAB_NOT_FOUND ? IFAB_CODE_PROVIDER_UNAVAILABLE : IFAB_CODE_SYSTEM_ERROR, "the message was not sent");
    }
}

/* Text or bytes. The first thing that is wrong decides; an end that nobody has been told of yet is told by the next receive. */
static void send_message(struct ifab_guests *self, struct question *q, struct socket *s, const struct ifab_json *tree)
{
    struct ifab_view text, encoded;
    const struct ifab_json *challenge = ifab_json_get(tree, "answer");
    bool is_text = ifab_json_string(ifab_json_get(tree, "send"), &text);
    if (!is_text) {
        size_t size = 0;
        (void)ifab_json_string(ifab_json_get(tree, "send_b64"), &encoded);
        uint8_t *bytes = ifab_arena_alloc(&q->arena, encoded.size + 1);
        if (bytes == NULL || ifab_base64_decode(encoded, bytes, encoded.size, &size) != IFAB_OK) {
            ifab_guest__refuse(self, q, IFAB_CODE_INVALID_PARAMS, "send_b64 is no base64");
            return;
        }
        text = ifab_view_of(bytes, size);
    }
    if (s->state != SOCKET_OPEN) {
        ifab_guest__refuse(self, q, IFAB_CODE_PROVIDER_UNAVAILABLE, "the WebSocket has ended");
    } else if (challenge == NULL) {
        sent(self, q, ifab_egress_send(self->egress, s->egress, !is_text, text), NULL);
    } else {
        q->kind = QUESTION_ANSWER;
        q->body = text;
        q->url = ifab_view_str(s->origin);
        (void)ifab_json_string(ifab_json_get(challenge, "secret"), &q->secret);
        (void)ifab_json_string(ifab_json_get(challenge, "salt"), &q->salt);
        (void)ifab_json_string(ifab_json_get(challenge, "challenge"), &q->challenge);
        ifab_guest__ask(self, q, true);
    }
}

void ifab_guest__socket_answer(struct ifab_guests *self, struct question *q)
{
    struct socket *s = find(q->running, q->socket);
    struct ifab_egress_problem problem = {.failure = IFAB_EGRESS_SYSTEM};
    struct ifab_egress_credential credential;
    struct lending lending;
    if (s == NULL || s->state != SOCKET_OPEN) { /* it ended while the log was written */
        ifab_guest__refuse(self, q, IFAB_CODE_PROVIDER_UNAVAILABLE, "the WebSocket has ended");
        return;
    }
    ifab_guest__credential(self, q, &lending, &credential);
    const struct ifab_egress_answer made = {&credential, q->salt, q->challenge};
    ifab_status status = ifab_egress_send_answer(self->egress, s->egress, q->body, &made, &problem);
    sent(self, q, status, &problem);
}

/* One thing at a time, and an answer only with a text. */
static bool shape_good(const struct ifab_json *tree)
{
    struct ifab_refusal refusal = {.offset = -1};
    static const char *const acts[] = {"close", "receive", "send", "send_b64"};
    unsigned count = 0;
    const struct ifab_json *closing = ifab_json_get(tree, "close");
    if (ifab_schema_check(&socket_schema, tree, IFAB_CODE_INVALID_PARAMS, &refusal) != IFAB_CODE_NONE)
        return false;
    for (size_t i = 0; i < IFAB_COUNT(acts); i++)
        count += ifab_json_get(tree, acts[i]) != NULL;
    return count == 1 && (closing == NULL || closing->type == IFAB_JSON_TRUE) &&
           (ifab_json_get(tree, "answer") == NULL || ifab_json_get(tree, "send") != NULL);
}

void ifab_guest__socket_call(struct ifab_guests *self, struct question *q, const struct ifab_json *tree)
{
    int64_t number = 0, wait_ms = 0;
    if (!shape_good(tree)) {
        ifab_guest__refuse(self, q, IFAB_CODE_INVALID_PARAMS,
                           "not a request: {\"socket\"} with one of \"send\" (and \"answer\"?), \"send_b64\", \"receive\", \"close\"");
        return;
    }
    (void)ifab_json_integer(ifab_json_get(tree, "socket"), &number);
    struct socket *s = find(q->running, (uint32_t)number);
    q->socket = (uint32_t)number;
    if (s == NULL || s->state == SOCKET_SHUT || s->state == SOCKET_OPENING)
        ifab_guest__refuse(self, q, IFAB_CODE_INVALID_PARAMS, "this call has no such WebSocket");
    else if (ifab_json_integer(ifab_json_get(tree, "receive"), &wait_ms))
        receive(self, q, s, wait_ms);
    else if (ifab_json_get(tree, "close") != NULL)
        close_socket(self, q, s);
    else
        send_message(self, q, s, tree);
}

/* ---- what the port tells ---- */

static struct socket *of_egress(struct ifab_guests *self, uint64_t id, struct running **ret_running)
{
    for (struct running *r = self->first; r != NULL; r = r->next)
        for (size_t i = 0; i < SOCKETS_MAX && r->socket_count > 0; i++)
            if (r->sockets[i].egress == id) {
                *ret_running = r;
                return &r->sockets[i];
            }
    return NULL;
}

static struct question *waiting_for(struct ifab_guests *self, const struct running *r, const struct socket *s)
{
    for (size_t i = 0; i < QUESTIONS_MAX; i++) {
        struct question *q = &self->questions[i];
        if (q->host_call != 0 && q->running == r && q->socket == s->number && (q->kind == QUESTION_OPEN || q->kind == QUESTION_RECEIVE))
            return q;
    }
    return NULL;
}

static void opened(struct ifab_guests *self, struct question *q, struct socket *s)
{
    struct ifab_buf b = IFAB_BUF_INIT(256);
    s->state = SOCKET_OPEN;
    if (q == NULL)
        return;
    ifab_guest__came(q->running);
    ifab_buf_format(&b, "{\"headers\":{},\"socket\":%u,\"status\":101}", s->number);
    answer(self, q, &b);
}

/* true: the socket has it */
static bool keep(struct ifab_guests *self, struct socket *s, struct ifab_egress_event *e)
{
    if (s->state != SOCKET_OPEN)
        return false;
    if (s->waiting + sizeof *e + e->body.size > WAITING_MAX && s->first != NULL) { /* one always fits */
        s->problem = (struct ifab_egress_problem){
            .failure = IFAB_EGRESS_RESPONSE_TOO_LARGE, .code = IFAB_CODE_TOO_LARGE, .text = "more messages than the call takes"};
        s->state = SOCKET_FAILED;
        ifab_egress_cancel(self->egress, s->egress);
        s->egress = 0;
        return false;
    }
    e->next_ = NULL;
    *(s->last != NULL ? &s->last->next_ : &s->first) = e;
    s->last = e;
    s->waiting += sizeof *e + e->body.size;
    return true;
}

static void ended(struct ifab_guests *self, struct running *r, struct socket *s, struct question *q, const struct ifab_egress_event *e)
{
    s->egress = 0;
    if (e->kind == IFAB_EGRESS_FAILED)
        ifab_guest__alarm(r, &e->problem);
    if (s->state == SOCKET_SHUT) {
        release(s);
    } else if (s->state == SOCKET_OPENING) {
        if (q != NULL)
            ifab_guest__problem(self, q, &e->problem); /* and the place is free */
        else
            release(s);
    } else {
        s->state = e->kind == IFAB_EGRESS_CLOSED ? SOCKET_CLOSED : SOCKET_FAILED;
        s->code = e->status;
        s->problem = e->problem;
    }
}

void ifab_guest__socket_event(struct ifab_guests *self, struct ifab_egress_event *e)
{
    struct running *r = NULL;
    struct socket *s = of_egress(self, e->id, &r);
    struct question *q = s == NULL ? NULL : waiting_for(self, r, s);
    bool kept = false;
    if (s != NULL && e->kind == IFAB_EGRESS_OPENED)
        opened(self, q, s);
    else if (s != NULL && e->kind == IFAB_EGRESS_MESSAGE)
        kept = keep(self, s, e);
    else if (s != NULL)
        ended(self, r, s, q, e);
    if (!kept)
        ifab_egress_event_free(e);
    if (s != NULL && q != NULL && q->host_call != 0 && q->kind == QUESTION_RECEIVE)
        (void)serve(self, q, s);
}

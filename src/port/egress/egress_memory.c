/* Answers from a script: the readable reference. Time stands still here; a retry comes at once. Threads: one at a time. */
#include "base/mem.h"
#include "crypto/crypto.h"
#include "job.h"

#include <assert.h>

#define SENT_MAX ((size_t)64 << 20)

struct sent {
    struct ifab_buf text;
    struct sent *next;
};
struct message {
    uint64_t id;
    size_t size;
    struct message *next;
};
struct memory {
    struct ifab_egress base;
    const struct ifab_egress_scripted *script; /* borrowed */
    size_t count, at;
    struct ifab_egress_job *waiting, *open; /* newest last; sockets that are open */
    struct message *asked;                  /* messages of sockets that want an answer, oldest first */
    struct sent *sent;                      /* oldest first */
};
static struct memory *of(struct ifab_egress *base) { return (struct memory *)(void *)base; }

static void note(struct memory *self, const struct ifab_egress_job *job)
{
    struct sent **last = &self->sent, *one = ifab_calloc(1, sizeof *one);
    if (one == NULL)
        return;
    ifab_buf_init(&one->text, SENT_MAX);
    ifab_buf_format(&one->text, "%s %s\n", ifab_egress_method_name(job->method), job->url_text);
    for (size_t i = 0; i < job->header_count; i++)
        ifab_buf_format(&one->text, IFAB_FMT ": " IFAB_FMT "\n", IFAB_ARG(job->headers[i].name), IFAB_ARG(job->headers[i].value));
    ifab_buf_char(&one->text, '\n');
    ifab_buf_view(&one->text, job->body);
    while (*last != NULL)
        last = &(*last)->next;
    *last = one;
}
struct ifab_view ifab_egress_memory_sent(struct ifab_egress *base, size_t n)
{
    const struct sent *one = of(base)->sent;
    for (; one != NULL && n > 0; n--)
        one = one->next;
    return one == NULL ? ifab_view_of(NULL, 0) : ifab_buf_as_view(&one->text);
}

static const struct ifab_egress_scripted *next_answer(struct memory *self)
{
    static const struct ifab_egress_scripted none = {.failure = IFAB_EGRESS_TRANSPORT};
    return self->at < self->count ? &self->script[self->at++] : &none;
}
/* The whole answer through the rules; failure and body are in the reader. */
static void read_answer(struct ifab_egress__reader *reader, const struct ifab_egress_scripted *answer)
{
    char line[32];
    const char *at = answer->head == NULL ? "" : answer->head;
    (void)snprintf(line, sizeof line, "HTTP/1.1 %03d x\r\n", answer->status);
    bool good = ifab_egress__reader_line(reader, ifab_view_str(line));
    while (good && *at != '\0') {
        const char *end = strchr(at, '\n');
        size_t size = end == NULL ? strlen(at) : (size_t)(end - at) + 1;
        good = ifab_egress__reader_line(reader, ifab_view_of(at, size));
        at += size;
    }
    if (good && ifab_egress__reader_line(reader, IFAB_VIEW("\r\n")) && ifab_egress__reader_body(reader, answer->body))
        (void)ifab_egress__reader_end(reader);
}
static void lead(struct memory *self, const struct ifab_egress_job *job, const struct ifab_egress_event *event)
{
    for (size_t i = 0; i < event->header_count; i++) {
        if (ifab_view_is(event->headers[i].name, "location") && event->status / 100 == 3)
            ifab_egress__redirect(&self->base, job->call, event->headers[i].value);
    }
}
/* true: again */
static bool attempt(struct memory *self, struct ifab_egress_job *job, uint32_t number)
{
    const struct ifab_egress_scripted *answer = next_answer(self);
    struct ifab_egress__reader reader;
    struct ifab_egress_event *event = NULL;
    ifab_usec wait, after = answer->retry_after > 0 ? answer->retry_after : -1;
    note(self, job);
    ifab_egress__reader_begin(&reader, job);
    if (answer->status == 0)
        reader.failure = answer->failure <= IFAB_EGRESS_NONE ? IFAB_EGRESS_TRANSPORT : answer->failure;
    else
        read_answer(&reader, answer);
    bool transport = reader.failure == IFAB_EGRESS_TRANSPORT;
    bool again =
        (transport || reader.failure == IFAB_EGRESS_NONE) &&
        ifab_retry_again(&job->retry,
                         &(struct ifab_retry_event){number, transport ? 0 : answer->status, after, job->timeout, job->random[number - 1]}, &wait);
    if (!again && reader.failure == IFAB_EGRESS_NONE && (event = ifab_egress__reader_event(&reader, number, "")) == NULL)
        reader.failure = IFAB_EGRESS_SYSTEM;
    if (event != NULL) {
        lead(self, job, event);
        ifab_egress__push(&self->base, event);
    } else if (!again) {
        ifab_egress__fail(&self->base, job, reader.failure, reader.detail, number, true, NULL);
    }
    ifab_egress__reader_fini(&reader);
    return again;
}

static struct ifab_egress_job **find(struct ifab_egress_job **list, uint64_t id)
{
    while (*list != NULL && (*list)->id != id)
        list = &(*list)->next;
    return list;
}
static struct ifab_egress_job *take(struct ifab_egress_job **list, uint64_t id)
{
    struct ifab_egress_job **at = find(list, id), *job = *at;
    if (job != NULL)
        *at = job->next;
    return job;
}
static void open_socket(struct memory *self, struct ifab_egress_job *job)
{
    struct ifab_egress_event *event = ifab_egress__event_new(job, IFAB_EGRESS_OPENED);
    note(self, job);
    if (event == NULL) {
        ifab_egress__fail(&self->base, job, IFAB_EGRESS_SYSTEM, "out of memory", 1, true, NULL);
        ifab_egress__job_free(job);
        return;
    }
    job->next = self->open;
    self->open = job;
    ifab_egress__push(&self->base, event);
}
static void answer_message(struct memory *self, struct ifab_egress_job *job)
{
    const struct ifab_egress_scripted *answer = next_answer(self);
    struct ifab_egress__reader reader;
    struct ifab_egress_event *event = NULL;
    ifab_egress__reader_begin(&reader, job);
    reader.final_head = true;
    struct ifab_leak_scanner made;
    ifab_leak_begin(&made, job->answer);
    if (ifab_leak_feed(&made, answer->body))
        reader.failure = IFAB_EGRESS_LEAK;
    else if (ifab_egress__reader_body(&reader, answer->body) && ifab_egress__reader_end(&reader))
        event = ifab_egress__reader_event(&reader, 1, "");
    if (event != NULL) {
        event->kind = IFAB_EGRESS_MESSAGE;
        ifab_egress__push(&self->base, event);
    } else {
        ifab_egress__fail(&self->base, job, reader.failure == IFAB_EGRESS_NONE ? IFAB_EGRESS_SYSTEM : reader.failure, reader.detail, 1, true, NULL);
        ifab_egress__job_free(take(&self->open, job->id));
    }
    ifab_egress__reader_fini(&reader);
}
void ifab_egress_memory_run(struct ifab_egress *base)
{
    struct memory *self = of(base);
    for (struct ifab_egress_job *job; (job = self->waiting) != NULL;) {
        uint32_t number = 1;
        self->waiting = job->next;
        if (job->socket) {
            open_socket(self, job);
            continue;
        }
        while (attempt(self, job, number))
            number++;
        ifab_egress__job_free(job);
    }
    for (struct message *m; (m = self->asked) != NULL;) {
        struct ifab_egress_job *job = *find(&self->open, m->id);
        self->asked = m->next;
        ifab_egress__on_its_way(base, m->id, m->size);
        ifab_free(m);
        if (job != NULL)
            answer_message(self, job);
    }
}

static ifab_status memory_submit(struct ifab_egress *base, struct ifab_egress_job *job)
{
    struct ifab_egress_job **last = &of(base)->waiting;
    while (*last != NULL)
        last = &(*last)->next;
    job->next = NULL;
    *last = job;
    return IFAB_OK;
}
static ifab_status memory_send(struct ifab_egress *base, uint64_t id, bool binary, struct ifab_view bytes)
{
    struct memory *self = of(base);
    struct message **last = &self->asked, *m;
    (void)binary;
    if (*find(&self->open, id) == NULL)
        return IFAB_NOT_FOUND;
    if ((m = ifab_calloc(1, sizeof *m)) == NULL)
        return IFAB_NOMEM;
    m->id = id;
    m->size = bytes.size;
    while (*last != NULL)
        last = &(*last)->next;
    *last = m;
    return IFAB_OK;
}
static ifab_status memory_answer(struct ifab_egress *base, uint64_t id, struct ifab_view text, struct ifab_leak_set *own)
{
    ifab_status status = memory_send(base, id, false, text);
    struct ifab_egress_job *job = *find(&of(base)->open, id);
    if (status == IFAB_OK) {
        ifab_leak_set_free(job->answer);
        job->answer = own;
    }
    return status;
}
static ifab_status memory_shut(struct ifab_egress *base, uint64_t id, uint16_t code)
{
    struct ifab_egress_job *job = take(&of(base)->open, id);
    if (job == NULL)
        return IFAB_NOT_FOUND;
    struct ifab_egress_event *event = IFAB_TAKE(job->reserve);
    event->kind = IFAB_EGRESS_CLOSED;
    event->status = code;
    ifab_egress__problem(&event->problem, IFAB_EGRESS_NONE, NULL);
    ifab_egress__push(base, event);
    ifab_egress__job_free(job);
    return IFAB_OK;
}
static void memory_cancel(struct ifab_egress *base, uint64_t id)
{
    struct ifab_egress_job *job = take(&of(base)->waiting, id);
    bool sent = false;
    if (job == NULL) {
        job = take(&of(base)->open, id);
        sent = true;
    }
    if (job == NULL)
        return;
    ifab_egress__fail(base, job, IFAB_EGRESS_CANCELLED, NULL, 0, sent, NULL);
    ifab_egress__job_free(job);
}
static void drop_jobs(struct ifab_egress_job *list)
{
    for (struct ifab_egress_job *next; list != NULL; list = next) {
        next = list->next;
        ifab_egress__job_free(list);
    }
}
static void memory_close(struct ifab_egress *base)
{
    struct memory *self = of(base);
    drop_jobs(self->waiting);
    drop_jobs(self->open);
    for (struct message *m; (m = self->asked) != NULL;) {
        self->asked = m->next;
        ifab_free(m);
    }
    for (struct sent *one; (one = self->sent) != NULL;) {
        self->sent = one->next;
        ifab_wipe(one->text.data, one->text.size);
        ifab_buf_fini(&one->text);
        ifab_free(one);
    }
    ifab_egress__fini(base);
    ifab_free(self);
}
static const struct ifab_egress_ops memory_ops = {IFAB_EGRESS_ABI, "memory", memory_submit, memory_send, memory_shut, memory_cancel, memory_close, memory_answer};

ifab_status ifab_egress_memory_open(const struct ifab_egress_settings *settings, const struct ifab_egress_scripted *script, size_t count,
                                    struct ifab_egress **ret_egress, struct ifab_error *err)
{
    struct memory *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return ifab_fail(err, IFAB_NOMEM, "egress");
    ifab_status status = ifab_egress__init(&self->base, &memory_ops, settings, err);
    if (status != IFAB_OK) {
        ifab_free(self);
        return status;
    }
    self->script = script;
    self->count = count;
    *ret_egress = &self->base;
    return IFAB_OK;
}

#ifndef EGRESS_JOB_H
#define EGRESS_JOB_H
/* Inside the port: a checked request, what every back-end shares, and the reading of an answer. */
#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "egress/egress.h"

struct ifab_egress_live { /* a leak set that requests hold on to */
    struct ifab_leak_set *set;
    atomic_uint refs;
};
struct ifab_egress_job { /* owned whole; ifab_egress__job_free() wipes what is secret */
    uint64_t id, call;
    void *tag;
    struct ifab_arena arena; /* all below, but storage */
    uint8_t tenant32[32];    /* SHA-256 of the tenant */
    uint8_t pool32[32];      /* SHA-256 of tenant, capability, origin, credential: who may share a connection */
    struct ifab_view capability;
    enum ifab_egress_method method;
    struct ifab_url url;
    const char *url_text; /* what is sent, in storage: it may carry a query credential */
    const char *target;   /* its part behind host and port */
    struct ifab_egress_header headers[IFAB_EGRESS_HEADERS_MAX + IFAB_CREDENTIAL_HEADERS_MAX + 2];
    size_t header_count; /* all that go out, but Host, lengths, User-Agent, Accept-Encoding */
    struct ifab_view body;
    bool socket, repeatable, credentialed;
    ifab_usec timeout;
    size_t response_max;
    struct ifab_retry_policy retry;
    uint64_t random[IFAB_EGRESS_ATTEMPTS_MAX];
    const struct ifab_egress_exception *exceptions;
    size_t exception_count;
    const struct ifab_egress_listener *listeners;
    size_t listener_count;
    struct ifab_buf storage; /* the credential's bytes and the URL; wiped */
    struct ifab_injection injection;
    struct ifab_leak_set *own;    /* of the credential; NULL: none */
    struct ifab_leak_set *answer; /* of a WebSocket's answer to a challenge; NULL: none was sent */
    struct ifab_egress_live *live;
    struct ifab_egress_event *reserve; /* so that the last word can always be said */
    struct ifab_egress_job *next;
};

#define IFAB_EGRESS_REDIRECTS   256
#define IFAB_EGRESS__ORIGIN_MAX 280 /* wss, a name of 253, a port, NUL */
struct ifab_egress { /* the head of every back-end's own struct */
    const struct ifab_egress_ops *ops;
    struct ifab_egress *sink; /* whose events these are: self, or the wrapper's */
    void (*wake)(void *user);
    void *user;
    uint32_t requests_max, tenant_max;
    pthread_mutex_t lock; /* of what follows */
    struct ifab_egress_event *first, *last;
    struct {
        uint64_t id; /* 0: free */
        uint8_t tenant32[32];
        size_t waiting; /* bytes of messages that nobody has taken */
        size_t unsent;  /* bytes of messages handed in and not yet on their way */
        bool open;      /* a WebSocket between OPENED and its last event */
        bool redirected, answered;              /* a redirect led there; a challenge has been answered */
        char origin[IFAB_EGRESS__ORIGIN_MAX];   /* of a WebSocket, in its one spelling */
    } flying[IFAB_EGRESS_REQUESTS_MAX];
    uint64_t next_id;
    struct ifab_egress_live *live;
    bool blind; /* live is not complete */
    struct {
        uint64_t call;
        bool anywhere; /* the target was spelt as no guest may: it may be the same place as any that a guest names */
        uint8_t target32[32];
    } redirects[IFAB_EGRESS_REDIRECTS]; /* where answers sent calls to: a ring */
    size_t redirect_next;
};

ifab_status ifab_egress__init(struct ifab_egress *self, const struct ifab_egress_ops *ops, const struct ifab_egress_settings *settings,
                              struct ifab_error *err);
void ifab_egress__fini(struct ifab_egress *self);

/* Fills ret (may be NULL) by the table; detail NULL: the table's text alone. */
void ifab_egress__problem(struct ifab_egress_problem *ret, enum ifab_egress_failure failure, const char *format, ...)
    __attribute__((format(__printf__, 3, 4)));
/* check.c: every rule but those about the credential, and the copy. The statuses of ifab_egress_submit(). */
ifab_status ifab_egress__job_new(const struct ifab_egress_request *request, struct ifab_egress_job **ret_job, struct ifab_egress_problem *problem);
/* The credential, where the request has one: borrowed from its lender, injected, looked for in the answer. Then the URL as it is sent. */
ifab_status ifab_egress__job_seal(struct ifab_egress_job *job, const struct ifab_egress_request *request, bool redirected,
                                  struct ifab_egress_problem *problem);
void ifab_egress__job_free(struct ifab_egress_job *job); /* accepts NULL */
/* SHA-256 of scheme, host, port and path */
void ifab_egress__target(const struct ifab_url *url, uint8_t ret_digest32[32]);
/* What the address of a new or used connection is to this job; NONE: it may be connected to. */
enum ifab_egress_failure ifab_egress__judge(const struct ifab_egress_job *job, const struct ifab_address *address, uint16_t port, bool is_local,
                                            enum ifab_address_class *ret_class);

/* A message that has passed, through `send` or, with own (moved on IFAB_OK), through `answer`. The statuses of ifab_egress_send(). */
ifab_status ifab_egress__say(struct ifab_egress *self, uint64_t id, bool binary, struct ifab_view bytes, struct ifab_leak_set *own);
struct ifab_egress_event *ifab_egress__event_new(const struct ifab_egress_job *job, enum ifab_egress_kind kind); /* NULL: out of memory */
void ifab_egress__push(struct ifab_egress *self, struct ifab_egress_event *event);                               /* any thread; takes it over */
size_t ifab_egress__waiting(struct ifab_egress *self, uint64_t id);               /* bytes of messages of this socket that nobody has taken */
void ifab_egress__on_its_way(struct ifab_egress *self, uint64_t id, size_t size); /* so much less is unsent */
/* Pushes FAILED, out of the job's reserve: once a job. detail may be NULL. */
void ifab_egress__fail(struct ifab_egress *self, struct ifab_egress_job *job, enum ifab_egress_failure failure, const char *detail, uint32_t attempts,
                       bool maybe_sent, const char *address);
/* Remembers where an answer led this call. */
void ifab_egress__redirect(struct ifab_egress *self, uint64_t call, struct ifab_view url);

/* reader.c: an answer as it comes in, under the rules. */
struct ifab_egress__reader {
    const struct ifab_egress_job *job;
    struct ifab_leak_scanner own, live; /* of the body */
    struct ifab_buf head;               /* shown fields: name NUL value NUL */
    struct ifab_buf body;
    size_t head_bytes, head_fields, shown;
    bool body_begun, final_head;
    int status;
    enum ifab_egress_failure failure; /* NONE while all is well */
    const char *detail;
};
void ifab_egress__reader_begin(struct ifab_egress__reader *self, const struct ifab_egress_job *job);
void ifab_egress__reader_fini(struct ifab_egress__reader *self); /* wipes; accepts a zeroed one */
/* false: stop, self->failure says why. line: a status line, a field, or the empty line, with its CR LF or without */
bool ifab_egress__reader_line(struct ifab_egress__reader *self, struct ifab_view line);
bool ifab_egress__reader_body(struct ifab_egress__reader *self, struct ifab_view bytes);
bool ifab_egress__reader_end(struct ifab_egress__reader *self);
/* ANSWER; NULL: out of memory. */
struct ifab_egress_event *ifab_egress__reader_event(struct ifab_egress__reader *self, uint32_t attempts, const char *address);
#endif

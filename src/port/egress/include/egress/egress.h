#ifndef EGRESS_EGRESS_H
#define EGRESS_EGRESS_H
/*
 * HTTP(S) and WebSocket for guests: a port. DESIGN section 5 Egress; INV-08, INV-09; docs/formats/egress.md.
 *
 * A request is handed in whole and checked at once by the rules of egress/url.h, address.h, header.h: what fails there is refused on the spot
 * and never reaches a back-end. Else it gets an id, and its events come back later: one ANSWER or FAILED; of a WebSocket OPENED, any number of
 * MESSAGEs, and one CLOSED or FAILED. ANSWER, CLOSED and FAILED are the last ones of their id. The back-end's thread calls `wake` when there is
 * something to take; the owner (the loop, by a uv_async) then calls ifab_egress_take() until it gives NULL.
 *
 * What is checked is what is connected to: the URL that goes on is written anew from its checked parts, and the address is judged when the socket
 * for it is made, again before the first byte of a request is sent over it. No proxy, no .netrc, no cookies, no automatic redirect, no decoding.
 * A connection is used again only within one (tenant, capability, origin, credential), by requests that may be repeated.
 *
 * Threads: submit, send, send_answer, shut, cancel, set_live, take, close from one thread (the owner's). Events belong to whom took them.
 */
#include "base/code.h"
#include "base/time.h"
#include "egress/credential.h"
#include "egress/leak.h"
#include "egress/retry.h"
#include "egress/url.h"

#define IFAB_EGRESS_ABI             1
#define IFAB_EGRESS_REQUESTS_MAX    256 /* of one port, in flight */
#define IFAB_EGRESS_ROWS_MAX        64
#define IFAB_EGRESS_EXCEPTIONS_MAX  256
#define IFAB_EGRESS_LISTENERS_MAX   64
#define IFAB_EGRESS_BODY_MAX        ((size_t)16 << 20) /* bytes, of a request */
#define IFAB_EGRESS_RESPONSE_MAX    ((size_t)16 << 20) /* bytes, the largest bound a request may set */
#define IFAB_EGRESS_TIMEOUT_MAX     (300 * IFAB_SECOND)
#define IFAB_EGRESS_MESSAGE_MAX     ((size_t)1 << 20)  /* bytes, of a WebSocket message that is sent */
#define IFAB_EGRESS_SOCKET_QUEUE    ((size_t)4 << 20)  /* bytes of messages that wait to be sent or taken, a socket */
#define IFAB_EGRESS_HEAD_MAX        ((size_t)64 << 10) /* bytes of an answer's head, interim ones included */
#define IFAB_EGRESS_HEAD_FIELDS_MAX 200

/*
 * Why there is no answer. X(NAME, IFAB_ERR code, alarm, "text"). alarm: an entry of severity HIGH is due; the guest, its publisher or the provider
 * did what no honest one does. Zeroed memory is a failure.
 */
#define IFAB_EGRESS_FAILURE_MAP(X)                                                                     \
    X(SYSTEM, SYSTEM_ERROR, false, "could not be tried")                                               \
    X(NONE, NONE, false, "answered")                                                                   \
    X(URL, INVALID_PARAMS, false, "not a URL that is let through")                                     \
    X(REQUEST, INVALID_PARAMS, false, "not a request that is let through")                             \
    X(TOO_LARGE, TOO_LARGE, false, "larger than its limit")                                            \
    X(ROW, SANDBOX_VIOLATION, true, "no http row of the manifest lets it pass")                        \
    X(DRY_RUN, PERMISSION_DENIED, false, "in a dry run only rows marked read pass")                    \
    X(ADDRESS, PERMISSION_DENIED, false, "the address is not a public one, and no exception names it") \
    X(FORBIDDEN_ADDRESS, SANDBOX_VIOLATION, true, "the address is one that nobody may reach")          \
    X(OWN_LISTENER, SANDBOX_VIOLATION, true, "the address is the fabric's own")                        \
    X(CREDENTIAL_ORIGIN, PERMISSION_DENIED, true, "the secret is not for this origin")                 \
    X(CREDENTIAL, SECRET_NOT_FOUND, false, "the secret cannot be used")                                \
    X(REDIRECTED, PERMISSION_DENIED, false, "no secret goes where a redirect led")                     \
    X(LEAK, SANDBOX_VIOLATION, true, "the answer held a secret and was withheld")                      \
    X(RESPONSE_TOO_LARGE, TOO_LARGE, false, "the answer is larger than the limit")                     \
    X(RESPONSE, PROVIDER_UNAVAILABLE, false, "the answer is not one that is let through")              \
    X(TLS, PROVIDER_UNAVAILABLE, false, "the server did not prove who it is")                          \
    X(TRANSPORT, PROVIDER_UNAVAILABLE, false, "the provider cannot be reached")                        \
    X(DEADLINE, DEADLINE_EXCEEDED, false, "the time is over")                                          \
    X(CANCELLED, DEADLINE_EXCEEDED, false, "cancelled")
#define IFAB_EGRESS_FAILURE_ENUM_(name, code, alarm, text) IFAB_EGRESS_##name,
enum ifab_egress_failure { IFAB_EGRESS_FAILURE_MAP(IFAB_EGRESS_FAILURE_ENUM_) IFAB_EGRESS_FAILURE_COUNT };
#undef IFAB_EGRESS_FAILURE_ENUM_

struct ifab_egress_problem { /* zeroed: SYSTEM */
    enum ifab_egress_failure failure;
    enum ifab_code code;
    bool alarm;
    char text[240]; /* for people and entries: never a byte of a secret, a body, a path or a query */
};

/* Calls use(use_user, secret) once, if the secret's record names this origin ("https://host[:port]"), and returns what it returns. IFAB_DENIED:
 * not for this origin; IFAB_NOT_FOUND: no such secret. Called inside submit, on its thread. */
typedef ifab_status ifab_egress_use_fn(void *use_user, struct ifab_view secret);
typedef ifab_status ifab_egress_lend_fn(void *user, struct ifab_view origin, ifab_egress_use_fn *use, void *use_user);
struct ifab_egress_credential {
    enum ifab_credential_as as;
    struct ifab_view field;  /* egress/credential.h */
    struct ifab_view origin; /* as the manifest's requires_secrets row names it: "https://api.example" */
    struct ifab_view id;     /* 1..128 bytes, of this value of this secret (name and version): connections are not shared beyond it */
    ifab_egress_lend_fn *lend;
    void *user;
};

struct ifab_egress_request {     /* all borrowed until submit returns */
    unsigned version;            /* IFAB_EGRESS_ABI */
    uint64_t call;               /* the capability call it belongs to */
    void *tag;                   /* comes back with each event */
    struct ifab_view tenant;     /* 1..256 bytes */
    struct ifab_view capability; /* id: "if://capability/vmix.switcher", 1..256 bytes */
    struct ifab_view method;     /* "GET" …; of a WebSocket "GET" */
    struct ifab_view url;        /* ws and wss open a WebSocket */
    const struct ifab_egress_header *headers;
    size_t header_count;
    struct ifab_view body;              /* POST, PUT, PATCH, DELETE */
    const struct ifab_egress_row *rows; /* of the manifest; none: nothing passes */
    size_t row_count;
    bool dry_run;
    ifab_usec timeout;   /* 1 ms … IFAB_EGRESS_TIMEOUT_MAX, all attempts together; of a WebSocket: its whole life */
    size_t response_max; /* bytes of the body, or of a WebSocket message; 0..IFAB_EGRESS_RESPONSE_MAX; more is an error, nothing is cut */
    bool idempotent;     /* the operation says so */
    struct ifab_view idempotency_key;          /* sent as Idempotency-Key; size 0: none; at most 255 visible ASCII bytes */
    uint32_t attempts;                         /* 1..IFAB_EGRESS_ATTEMPTS_MAX; more than one only where idempotent or with a key */
    uint16_t backoff[IFAB_EGRESS_BACKOFF_MAX]; /* seconds; of the manifest */
    size_t backoff_count;
    uint64_t random[IFAB_EGRESS_ATTEMPTS_MAX]; /* fresh: jitter of the waits */
    ifab_usec wall;                            /* now, for signatures */
    bool redirected; /* the URL is known to come from a redirect: no secret goes with it. Those that this port itself gave to this call are known */
    const struct ifab_egress_exception *exceptions;
    size_t exception_count;
    const struct ifab_egress_listener *listeners; /* of this daemon, all of them */
    size_t listener_count;
    const struct ifab_egress_credential *credential; /* NULL: none */
};

enum ifab_egress_kind { IFAB_EGRESS_FAILED = 0, IFAB_EGRESS_ANSWER, IFAB_EGRESS_OPENED, IFAB_EGRESS_MESSAGE, IFAB_EGRESS_CLOSED };
struct ifab_egress_event {
    enum ifab_egress_kind kind;
    uint64_t id;
    void *tag;
    struct ifab_egress_problem problem;       /* FAILED */
    int status;                               /* ANSWER: HTTP; CLOSED: the peer's code (RFC 6455 7.4), 1005 where it gave none */
    const struct ifab_egress_header *headers; /* ANSWER: those that are shown, names in lower case */
    size_t header_count;
    struct ifab_view body;               /* ANSWER, MESSAGE */
    bool binary;                         /* MESSAGE */
    uint32_t attempts;                   /* ANSWER, FAILED: how many were made */
    bool maybe_sent;                     /* FAILED: the provider may have acted; false: it has seen no byte of the request */
    char address[IFAB_ADDRESS_TEXT_MAX]; /* the last one connected to; "" for none */
    struct ifab_buf head_, body_;        /* what the views above point into; the port's own business */
    struct ifab_egress_header *fields_;
    struct ifab_egress_event *next_;
};

struct ifab_egress;
struct ifab_egress_job; /* a request that has passed, copied; job.h */
struct ifab_egress_ops {
    unsigned abi;     /* IFAB_EGRESS_ABI it was compiled against; new members go at the end */
    const char *name; /* "curl" */
    /* Takes the job over (on IFAB_OK); its events follow. IFAB_NOMEM: not taken. */
    ifab_status (*submit)(struct ifab_egress *self, struct ifab_egress_job *job);
    /* A WebSocket's next message, copied. IFAB_NOT_FOUND: not open; IFAB_FULL: too much waits to be sent. */
    ifab_status (*send)(struct ifab_egress *self, uint64_t id, bool binary, struct ifab_view bytes);
    ifab_status (*shut)(struct ifab_egress *self, uint64_t id, uint16_t code); /* closing handshake; CLOSED follows */
    void (*cancel)(struct ifab_egress *self, uint64_t id);                     /* FAILED (CANCELLED) follows, unless its last event is on its way */
    void (*close)(struct ifab_egress *self);                                   /* nothing runs any more when it returns; no events follow */
    /* As send, of text; own (moved on IFAB_OK) is looked for in what comes from then on. Once a socket. */
    ifab_status (*answer)(struct ifab_egress *self, uint64_t id, struct ifab_view text, struct ifab_leak_set *own);
};

struct ifab_egress_settings {
    unsigned version;         /* IFAB_EGRESS_ABI */
    void (*wake)(void *user); /* called on any thread, after an event was queued; must not block or call back */
    void *user;
    uint32_t requests_max; /* 1..IFAB_EGRESS_REQUESTS_MAX in flight; 0: 64 */
    uint32_t tenant_max;   /* of one tenant; 0: a quarter of that, at least 1 */
    const char *ca_file;   /* PEM: trusted instead of the system's authorities; NULL: the system's */
    const char *const
        *resolve; /* "host:port:address[,address]": answers instead of the resolver's, judged like those; NULL-terminated; may be NULL */
};
/* IFAB_INVALID: settings; IFAB_NOT_FOUND: ca_file; IFAB_NOMEM; IFAB_UNSUPPORTED: libcurl lacks what is needed. */
IFAB_MUST_CHECK ifab_status ifab_egress_curl_open(const struct ifab_egress_settings *settings, struct ifab_egress **ret_egress,
                                                  struct ifab_error *err);

/* Answers from a script, in order, whatever is asked; without one left, TRANSPORT. A WebSocket opens and answers each message with the next body. */
struct ifab_egress_scripted {
    int status; /* HTTP; 0: no answer, `failure` instead (where that is zero too: TRANSPORT) */
    enum ifab_egress_failure failure;
    const char *head; /* "Name: value\r\n" lines, may be NULL */
    struct ifab_view body;
    ifab_usec retry_after; /* as if the head said so; 0: none */
};
IFAB_MUST_CHECK ifab_status ifab_egress_memory_open(const struct ifab_egress_settings *settings,
                                                    const struct ifab_egress_scripted *script /* borrowed */, size_t count,
                                                    struct ifab_egress **ret_egress, struct ifab_error *err);
void ifab_egress_memory_run(struct ifab_egress *self); /* does what is waiting; so nothing happens inside submit */
/* What was sent n-th (0, 1, …), attempts each: "GET https://a/b\nname: value\n\nbody". Borrowed until close. Size 0: not so many. */
struct ifab_view ifab_egress_memory_sent(struct ifab_egress *self, size_t n);

/* Fails its at-th submit or send with `status` before the inner back-end sees it; status IFAB_OK: takes it and answers TRANSPORT, maybe_sent. */
struct ifab_egress_fault {
    uint64_t calls, at; /* so many so far; the at-th fails (0: none) */
    ifab_status status;
};
IFAB_MUST_CHECK ifab_status ifab_egress_fault_open(struct ifab_egress *inner /* moved on success */, struct ifab_egress_fault *plan /* borrowed */,
                                                   struct ifab_egress **ret_egress, struct ifab_error *err);

/*
 * IFAB_OK: *ret_id names it, its events follow. IFAB_DENIED, IFAB_INVALID, IFAB_TOO_LARGE: refused by a rule, ret_problem says which; nothing was
 * sent and no event follows. IFAB_AGAIN: too many are in flight (in all, or of this tenant). IFAB_NOMEM.
 */
IFAB_MUST_CHECK ifab_status ifab_egress_submit(struct ifab_egress *self, const struct ifab_egress_request *request, uint64_t *ret_id,
                                               struct ifab_egress_problem *ret_problem);
/* Text must be UTF-8. IFAB_INVALID; IFAB_TOO_LARGE: above IFAB_EGRESS_MESSAGE_MAX; IFAB_NOT_FOUND; IFAB_FULL; IFAB_NOMEM. */
IFAB_MUST_CHECK ifab_status ifab_egress_send(struct ifab_egress *self, uint64_t id, bool binary, struct ifab_view bytes);
/*
 * A message that answers a server's challenge (egress/credential.h): text with the answer in place of the one IFAB_EGRESS_ANSWER_MARK in it. Once a
 * socket, only where the credential, the secret's record and the socket agree on the origin, and never where a redirect led. The caller learns nothing
 * of the answer; what was made of the secret is withheld like the secret itself, should it come back.
 * IFAB_DENIED, IFAB_INVALID, IFAB_TOO_LARGE: refused by a rule, ret_problem says which, nothing was sent; else as ifab_egress_send().
 */
#define IFAB_EGRESS_ANSWER_MARK "{{answer}}"
struct ifab_egress_answer { /* all borrowed */
    const struct ifab_egress_credential *credential;
    struct ifab_view salt, challenge; /* as the server sent them, 1..IFAB_CHALLENGE_TEXT_MAX bytes each */
};
IFAB_MUST_CHECK ifab_status ifab_egress_send_answer(struct ifab_egress *self, uint64_t id, struct ifab_view text,
                                                    const struct ifab_egress_answer *answer, struct ifab_egress_problem *ret_problem);
IFAB_MUST_CHECK ifab_status ifab_egress_shut(struct ifab_egress *self, uint64_t id, uint16_t code); /* 1000..4999 as RFC 6455 7.4 lets a client say */
void ifab_egress_cancel(struct ifab_egress *self, uint64_t id);
/* Values that no answer may hold, of whatever tenant, beside those the request itself carries. Sealed; moved. NULL: none. For answers that begin from
 * now on. */
IFAB_MUST_CHECK ifab_status ifab_egress_set_live(struct ifab_egress *self, struct ifab_leak_set *set);
struct ifab_egress_event *ifab_egress_take(struct ifab_egress *self); /* NULL: none */
void ifab_egress_event_free(struct ifab_egress_event *event);         /* wipes the body; accepts NULL */
size_t ifab_egress_in_flight(struct ifab_egress *self);
void ifab_egress_close(struct ifab_egress *self); /* cancels all, waits, drops what was not taken; accepts NULL */
const char *ifab_egress_failure_text(enum ifab_egress_failure failure);
#endif

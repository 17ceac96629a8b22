#ifndef INFRAFABRIC_CLIENT_H
#define INFRAFABRIC_CLIENT_H
/*
 * A blocking HTTP/1.1 client for one fabric, over its Unix socket, loopback TCP, or TLS 1.3. One connection, kept open. Threads: one at a time.
 */
#include <infrafabric/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IFAB_CLIENT_RESPONSE_MAX ((size_t)32 << 20)
#define IFAB_CLIENT_LINE_MAX ((size_t)1 << 20) /* of a stream */

struct ifab_client;
struct ifab_client_options {
    unsigned version;      /* IFAB_CLIENT_VERSION */
    const char *endpoint;  /* "unix:/path" (≤ 107 bytes) or "http://127.0.0.1:8474", "http://[::1]:8474", "http://localhost:8474"; elsewhere "https://HOST:PORT" */
    const char *token;     /* bearer token, or NULL; copied, wiped */
    int64_t timeout_usec;  /* for one answer; 0: 30 s */
    /* https only. PEM files; NULL: the system's authorities; no certificate of the client. key_file NULL: it stands in certificate_file. */
    const char *ca_file, *certificate_file, *key_file;
};
#define IFAB_CLIENT_VERSION 1U

/* Checks the endpoint and reads the files; connects with the first call. IFAB_INVALID; IFAB_NOT_FOUND, IFAB_DENIED: a file; IFAB_TOO_LARGE: socket path; IFAB_UNSUPPORTED: neither form; IFAB_NOMEM.
 */
IFAB_API IFAB_MUST_CHECK ifab_status ifab_client_open(const struct ifab_client_options *options, struct ifab_client **ret_client,
                                                      struct ifab_error *err);
IFAB_API void ifab_client_close(struct ifab_client *self); /* accepts NULL */
IFAB_API void ifab_client_set_timeout(struct ifab_client *self, int64_t timeout_usec);

/* From now on a wait for this fabric ends as if its time were up as soon as fd can be read: a signalfd, an eventfd, a pipe. -1: none. */
IFAB_API void ifab_client_set_stop(struct ifab_client *self, int fd);

struct ifab_request {
    unsigned version;            /* IFAB_CLIENT_VERSION */
    const char *method;          /* "GET" "POST" */
    const char *target;          /* "/v1/messages?proof=1": printable ASCII, percent-encoded by the caller */
    struct ifab_view body;       /* borrowed; size 0: none */
    const char *content_type;    /* NULL: application/json */
    const char *idempotency_key; /* NULL: none; likewise below */
    const char *admin;           /* IF-Admin */
    const char *traceparent;
    const char *ref;             /* IF-Ref */
    const char *last_event_id;   /* Last-Event-ID: a stream goes on behind it */
};
struct ifab_response { /* borrowed: valid until the next call or close */
    int status;                /* HTTP */
    struct ifab_view body;
    char content_type[64];
    bool idempotent_replayed;
    int64_t retry_after_ms;    /* -1: not said */
};
/**
 * One request, one answer of any status.
 *
 * @return IFAB_OK         an answer came
 *         IFAB_NOT_FOUND  nobody listens at the endpoint; nothing was sent
 *         IFAB_DENIED     the socket may not be opened by this user; or the server's certificate is not trusted or names another
 *         IFAB_AGAIN      no answer in time, or the connection ended, to a request that changes nothing: it may be made again
 *         IFAB_IO         the same for a changing request: outcome unknown; the same bytes with their Idempotency-Key tell
 *         IFAB_TOO_LARGE  answer above IFAB_CLIENT_RESPONSE_MAX
 *         IFAB_CORRUPT    not HTTP
 */
IFAB_API IFAB_MUST_CHECK ifab_status ifab_client_call(struct ifab_client *self, const struct ifab_request *request,
                                                      struct ifab_response *ret_response, struct ifab_error *err);

/* One line of a stream without its end. Anything but IFAB_OK ends the stream and becomes its result. */
typedef ifab_status ifab_line_fn(void *user, struct ifab_view line);
/* GET with Accept: text/event-stream. A status other than 200 comes back whole in ret_response, and fn is not called.
 * idle_usec: longest silence (0: none counts). IFAB_AGAIN: the stream ended or was silent. */
IFAB_API IFAB_MUST_CHECK ifab_status ifab_client_stream(struct ifab_client *self, const struct ifab_request *request, ifab_line_fn *fn,
                                                        void *user, int64_t idle_usec, struct ifab_response *ret_response,
                                                        struct ifab_error *err);

/* What an answer with {"error":…} says. Zeroed = none. */
struct ifab_answer_error {
    int code;              /* 104; 0: the body holds no error */
    char name[48];         /* "OUT_OF_ORDER" */
    char message[512], field[128], hint[256];
    int64_t offset;        /* -1: none */
    bool retryable;
    int64_t retry_after_ms; /* -1: not said */
    bool has_last_seq;
    uint64_t last_seq;
    int exit_code;         /* for a command: SURFACE section 6 */
};
IFAB_API void ifab_answer_error_read(const struct ifab_response *response, struct ifab_answer_error *ret_error);

#ifdef __cplusplus
}
#endif
#endif

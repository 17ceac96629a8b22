#ifndef EGRESS_CREDENTIAL_H
#define EGRESS_CREDENTIAL_H
/*
 * How a secret goes into a request: header fields or one query parameter made of it. INV-09. Pure: time comes in.
 *
 *   as      the secret's bytes            field                      what is sent
 *   header  the value                     name of the header         NAME: value
 *   bearer  the token                     -                          Authorization: Bearer token
 *   basic   user ":" password             -                          Authorization: Basic base64
 *   query   the value                     name of the parameter      ?NAME=value, percent-encoded
 *   sigv4   id ":" key [":" session]      region "/" service         Authorization: AWS4-HMAC-SHA256 …, X-Amz-Date, X-Amz-Content-Sha256
 *   hmac    the key                       name of the header         NAME: hex, and NAME-Timestamp: seconds
 *   hmac    the password                  name of a challenge        nothing; a message of a WebSocket may carry the answer, below
 *
 * hmac signs METHOD LF host[:port] LF path[?query] LF seconds LF hex(SHA-256(body)) with HMAC-SHA-256.
 * Threads: any.
 */
#include "base/arena.h"
#include "base/time.h"
#include "egress/header.h"
#include "egress/url.h"

/* X(NAME, "text") */
#define IFAB_CREDENTIAL_MAP(X)            X(HEADER, "header") X(BEARER, "bearer") X(BASIC, "basic") X(QUERY, "query") X(SIGV4, "sigv4") X(HMAC, "hmac")
#define IFAB_CREDENTIAL_ENUM_(name, text) IFAB_CREDENTIAL_##name,
enum ifab_credential_as { IFAB_CREDENTIAL_NONE = 0, IFAB_CREDENTIAL_MAP(IFAB_CREDENTIAL_ENUM_) };
#undef IFAB_CREDENTIAL_ENUM_
const char *ifab_credential_as_name(enum ifab_credential_as as); /* "none" for 0 */
bool ifab_credential_as_parse(struct ifab_view text, enum ifab_credential_as *ret_as);
#define IFAB_CREDENTIAL_SECRET_MAX 4096 /* bytes */
/* The field as the table above says: a header name that is not one of ours (header, hmac), a parameter [A-Za-z0-9._-]{1,64} (query), region/service.
 */
bool ifab_credential_field_valid(enum ifab_credential_as as, struct ifab_view field);

struct ifab_signable { /* the request as it will be sent */
    const struct ifab_url *url;
    enum ifab_egress_method method;
    struct ifab_view body;
    const struct ifab_egress_header *headers; /* sigv4 signs all of them */
    size_t header_count;
    ifab_usec wall;
};
#define IFAB_CREDENTIAL_HEADERS_MAX 5
#define IFAB_CREDENTIAL_VALUES_MAX  4
struct ifab_injection { /* everything in the buf that made it; wipe that */
    struct ifab_egress_header headers[IFAB_CREDENTIAL_HEADERS_MAX];
    size_t header_count;
    struct ifab_view query;                              /* "name=value"; size 0: none */
    struct ifab_view values[IFAB_CREDENTIAL_VALUES_MAX]; /* what must not come back: for the leak set */
    size_t value_count;
};
/*
 * storage: empty, limit at least IFAB_CREDENTIAL_STORAGE; grows once and holds all views of ret_injection.
 * IFAB_INVALID: the secret has not the form of the table, or the field; err says which, without a byte of it. IFAB_NOMEM.
 */
#define IFAB_CREDENTIAL_STORAGE ((size_t)96 << 10)
IFAB_MUST_CHECK ifab_status ifab_credential_inject(enum ifab_credential_as as, struct ifab_view field, struct ifab_view secret,
                                                   const struct ifab_signable *request, struct ifab_buf *storage,
                                                   struct ifab_injection *ret_injection, struct ifab_error *err);

/*
 * Challenges: a server behind a WebSocket sends a salt and a challenge, and takes a message that answers them. X(NAME, "field"):
 *
 *   obs-websocket-5    base64(SHA-256(base64(SHA-256(password || salt)) || challenge))    obs-websocket 5, protocol.md, "Creating an authentication string"
 */
#define IFAB_CHALLENGE_MAP(X)       X(OBS_WEBSOCKET_5, "obs-websocket-5")
#define IFAB_CHALLENGE_TEXT_MAX     256 /* bytes of a salt, of a challenge; at least 1 */
#define IFAB_CHALLENGE_STORAGE      ((size_t)16 << 10)
#define IFAB_CHALLENGE_VALUES_MAX   3
bool ifab_credential_is_challenge(enum ifab_credential_as as, struct ifab_view field);
struct ifab_challenge_answer {
    struct ifab_view text;                              /* printable ASCII that JSON need not escape */
    struct ifab_view values[IFAB_CHALLENGE_VALUES_MAX]; /* what must not come back: the secret, what stands for it, the answer */
    size_t value_count;
};
/* storage: empty, limit at least IFAB_CHALLENGE_STORAGE; holds all views of ret_answer. IFAB_INVALID: the field, the secret or a text; IFAB_NOMEM. */
IFAB_MUST_CHECK ifab_status ifab_credential_answer(struct ifab_view field, struct ifab_view secret, struct ifab_view salt,
                                                   struct ifab_view challenge, struct ifab_buf *storage,
                                                   struct ifab_challenge_answer *ret_answer, struct ifab_error *err);

/* The pieces of SigV4, for tests against published vectors. Texts are appended. */
void ifab_sigv4_canonical(const struct ifab_signable *request, const struct ifab_egress_header *sorted, size_t count, bool encode_path_again,
                          struct ifab_view payload_hash, struct ifab_buf *text);
#endif

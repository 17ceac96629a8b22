#ifndef CLIENT_INTERNAL_H
#define CLIENT_INTERNAL_H
/* Private to src/client. The rooms' headers come first: the installed ones then take status and view from them. */
#include "base/buf.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/time.h"
#include "base/view.h"
#include "crypto/crypto.h"
#include "json/json.h"

#include "tls/tls.h"

#include "client/answer.h"

#include <infrafabric/client.h>
#include <infrafabric/envelope.h>

/* Moves what buf holds into an owned text with a NUL behind it. */
ifab_status ifab_text__take(struct ifab_buf *buf, struct ifab_text *ret_text, struct ifab_error *err);
const struct ifab_signer *ifab_identity__signer(const struct ifab_identity *self);
/* Members of a JSON object, in any order, by hand: a comma before all but the first. */
struct ifab_members {
    struct ifab_buf *buf;
    bool any;
};
void ifab_members__name(struct ifab_members *m, const char *name);
void ifab_members__text(struct ifab_members *m, const char *name, const char *text); /* NULL: left out */
void ifab_members__time(struct ifab_members *m, const char *name, ifab_usec wall);
void ifab_members__nonce(struct ifab_members *m);
/* "signature":{"algorithm","key_id"?,"pubkey","sig":<86 dots>}. ifab_sign__object() finds the dots again. */
void ifab_members__signature(struct ifab_members *m, const struct ifab_identity *identity, bool with_key_id);
/* raw holds an object whose signature.sig is 86 dots: signs domain + canonical form without it; ret_text = canonical form with it. */
ifab_status ifab_sign__object(struct ifab_view raw, const char *domain, const struct ifab_identity *identity, struct ifab_text *ret_text,
                              struct ifab_error *err);

/* channel.c: a connection; fd -1: none. */
struct ifab_channel {
    int fd, stop;          /* stop: a wait ends when it can be read; -1: none */
    struct ifab_tls *tls; /* https */
    struct ifab_buf plain, wire;
};
void ifab_channel__init(struct ifab_channel *self);
void ifab_channel__close(struct ifab_channel *self);
/* As ifab_endpoint__connect(); under https also IFAB_DENIED: the server is not who it should be, and IFAB_AGAIN: no handshake. */
ifab_status ifab_channel__open(struct ifab_channel *self, const char *endpoint, const struct ifab_tls_context *tls, int64_t deadline,
                               struct ifab_error *err);
/* IFAB_OK; IFAB_AGAIN: deadline; IFAB_IO: the connection is gone. */
ifab_status ifab_channel__send(struct ifab_channel *self, struct ifab_view bytes, int64_t deadline);
/* Some bytes, borrowed from chunk until the next call; size 0: the peer has ended its side. As above; IFAB_NOMEM. */
ifab_status ifab_channel__receive(struct ifab_channel *self, struct ifab_buf *chunk, int64_t deadline, struct ifab_view *ret_bytes);
bool ifab_channel__stale(const struct ifab_channel *self); /* it ended meanwhile, or holds bytes nobody asked for */

bool ifab_endpoint__secure(const char *endpoint);
void ifab_endpoint__host(const char *endpoint, char ret_host[256]); /* of http(s): without port and brackets */
/* Opens a socket to "unix:…", "http://…" or "https://…"; deadline on the monotonic clock in µs. */
ifab_status ifab_endpoint__check(const char *endpoint, struct ifab_error *err);
ifab_status ifab_endpoint__connect(const char *endpoint, int64_t deadline, int stop, int *ret_fd, struct ifab_error *err);
int64_t ifab_clock__run(void);
/* Waits for events until the deadline. IFAB_AGAIN: it passed, or stop can be read (-1: none). */
ifab_status ifab_socket__wait(int fd, short events, int64_t deadline, int stop);
#endif

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

/* Opens a socket to "unix:…" or "http://…"; deadline on the monotonic clock in µs. */
ifab_status ifab_endpoint__check(const char *endpoint, struct ifab_error *err);
ifab_status ifab_endpoint__connect(const char *endpoint, int64_t deadline, int *ret_fd, struct ifab_error *err);
int64_t ifab_clock__run(void);
/* Waits for events until the deadline. IFAB_AGAIN: it passed. */
ifab_status ifab_socket__wait(int fd, short events, int64_t deadline);
#endif

#ifndef EGRESS_WEBSOCKET_H
#define EGRESS_WEBSOCKET_H
/* A WebSocket client without a socket (RFC 6455): bytes in, bytes out. Frames by wslay; the handshake is read here, strictly. */
#include "job.h"

struct ifab_egress__ws;
/* One whole message that has passed the rules; false: it cannot be taken, the socket ends. */
typedef bool ifab_egress__ws_fn(void *user, bool binary, struct ifab_view bytes);
/* The client's handshake is its first output. IFAB_NOMEM. */
ifab_status ifab_egress__ws_new(const struct ifab_egress_job *job, ifab_egress__ws_fn *deliver, void *user, struct ifab_egress__ws **ret_ws);
void ifab_egress__ws_free(struct ifab_egress__ws *self); /* wipes; accepts NULL */
/* false: it ends with *ret_failure and *ret_detail. */
bool ifab_egress__ws_receive(struct ifab_egress__ws *self, struct ifab_view bytes, enum ifab_egress_failure *ret_failure, const char **ret_detail);
bool ifab_egress__ws_is_open(const struct ifab_egress__ws *self);
bool ifab_egress__ws_is_closed(const struct ifab_egress__ws *self, int *ret_code);                   /* both have said so; RFC 6455 7.1.5 */
ifab_status ifab_egress__ws_send(struct ifab_egress__ws *self, bool binary, struct ifab_view bytes); /* IFAB_NOT_FOUND: closing; IFAB_NOMEM */
void ifab_egress__ws_answers(struct ifab_egress__ws *self); /* the job's `answer` is looked for from now on */
ifab_status ifab_egress__ws_shut(struct ifab_egress__ws *self, uint16_t code);
struct ifab_view ifab_egress__ws_output(struct ifab_egress__ws *self); /* to be sent; borrowed until the next call */
void ifab_egress__ws_sent(struct ifab_egress__ws *self, size_t size);  /* so much of it has been */
#endif

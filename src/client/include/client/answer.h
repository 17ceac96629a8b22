#ifndef CLIENT_ANSWER_H
#define CLIENT_ANSWER_H
/* One HTTP/1.1 response as it comes in. Not installed: here for the client and for its tests and fuzz target. */
#include "base/buf.h"
#include "base/status.h"
#include "base/view.h"

#include <infrafabric/client.h>

#include "llhttp.h"

struct ifab_answer {
    llhttp_t parser;
    llhttp_settings_t settings;
    struct ifab_buf body, line;
    char field[64], value[256]; /* header being read; longer ones are cut: none that matters is */
    size_t field_size, value_size, head_size;
    char content_type[64];
    bool replayed, head_done, done, keep_alive, too_large;
    int64_t retry_after_ms;
    ifab_line_fn *fn; /* stream: lines go here while status is 200 */
    void *user;
    ifab_status fn_status;
};
void ifab_answer__begin(struct ifab_answer *self, ifab_line_fn *fn, void *user);
/* Feeds bytes; at_end: the peer closed. IFAB_OK, IFAB_CORRUPT, IFAB_TOO_LARGE or what fn said. */
ifab_status ifab_answer__feed(struct ifab_answer *self, struct ifab_view bytes, bool at_end, struct ifab_error *err);
void ifab_answer__fini(struct ifab_answer *self);
#endif

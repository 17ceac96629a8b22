/* What a guest asks the daemon for, import by import. Each was granted by the manifest and is allowed in this export: the pool has looked. */
#include "guest_internal.h"

#include "base/encode.h"
#include "redact/redact.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define LINE_KEPT 1024
#define LINE_READ ((size_t)16384) /* a bound for the work */
#define LINE_TAIL ((size_t)4096)  /* where the reading ends a secret may be half read: the longest value of a vault */

static void answer(struct ifab_guests *self, uint64_t host_call, enum ifab_host_status status, struct ifab_view bytes)
{
    if (ifab_chassis_host_result(self->chassis, host_call, status, bytes) == IFAB_INVALID)
        (void)ifab_chassis_host_result(self->chassis, host_call, IFAB_HOST_UNAVAILABLE, IFAB_VIEW(""));
}

/* What is kept of a line, redacted before: half a secret does not look like one. more: there was more of it than was read. */
static struct ifab_view shown(struct ifab_view clean, bool more)
{
    size_t sure = !more ? clean.size : clean.size > LINE_TAIL ? clean.size - LINE_TAIL : 0;
    return more && sure == 0 ? IFAB_VIEW("(too long to show)") : ifab_guest__cut(clean, sure < LINE_KEPT ? sure : LINE_KEPT);
}

static void take_line(struct ifab_guests *self, const struct running *r, const struct ifab_frame_host_call *args)
{
    struct ifab_buf clean = IFAB_BUF_INIT((size_t)1 << 20);
    struct ifab_view text = ifab_guest__cut(args->a, LINE_READ);
    bool more = text.size < args->a.size;
    if (!ifab_utf8_valid(text)) {
        text = IFAB_VIEW("(not text)");
        more = false;
    }
    ifab_redact_text(&clean, text);
    if (ifab_buf_status(&clean) == IFAB_OK && self->options.line != NULL)
        self->options.line(self->options.user, r->spec->capability, r->talent_number, args->number, shown(ifab_buf_as_view(&clean), more));
    ifab_buf_fini(&clean);
}

static void give_random(struct ifab_guests *self, uint64_t host_call, uint32_t count)
{
    uint8_t bytes[IFAB_FRAME_RANDOM_MAX];
    bool good = count >= 1 && count <= sizeof bytes && getrandom(bytes, count, 0) == (ssize_t)count;
    answer(self, host_call, good ? IFAB_HOST_OK : IFAB_HOST_UNAVAILABLE, ifab_view_of(bytes, good ? count : 0));
}

static void give_now(struct ifab_guests *self, uint64_t host_call)
{
    uint8_t bytes[8], *at = bytes;
    ifab_put_u64(&at, (uint64_t)self->options.wall(self->options.user));
    answer(self, host_call, IFAB_HOST_OK, ifab_view_of(bytes, sizeof bytes));
}

/* A name of the manifest's requires_secrets, of a secret that is there. The handle is that name: what may be done with it is looked at when it is used. */
static void give_secret_ref(struct ifab_guests *self, struct running *r, uint64_t host_call, struct ifab_view name)
{
    const struct ifab_secret_use *use = NULL;
    char text[IFAB_GUEST_TEXT_MAX];
    for (size_t i = 0; i < r->spec->manifest.secret_count && use == NULL; i++)
        if (ifab_view_equal(r->spec->manifest.secrets[i].name, name))
            use = &r->spec->manifest.secrets[i];
    if (use == NULL) {
        ifab_guest__unnamed(name, "", text);
        ifab_guest__note(r, IFAB_CALL_UNNAMED_SECRET, text);
        answer(self, host_call, IFAB_HOST_REFUSED, IFAB_VIEW(""));
    } else if (self->options.secret == NULL || self->options.secret(self->options.user, name) == 0) {
        snprintf(text, sizeof text, "there is no secret " IFAB_FMT " for " IFAB_FMT, IFAB_ARG(name), IFAB_ARG(use->origin_text));
        ifab_guest__note(r, IFAB_CALL_NO_SECRET, text);
        answer(self, host_call, IFAB_HOST_NOT_FOUND, IFAB_VIEW(""));
    } else {
        answer(self, host_call, IFAB_HOST_OK, name);
    }
}

void ifab_guest__host_call(void *user, const struct ifab_chassis_host_call *host_call)
{
    struct ifab_guests *self = user;
    struct running *r = host_call->user;
    const struct ifab_frame_host_call *args = host_call->args;
    struct ifab_view value = IFAB_VIEW("");
    enum ifab_host_status status = IFAB_HOST_REFUSED;
    switch (args->import) {
    case IFAB_IMPORT_log:
        take_line(self, r, args);
        answer(self, host_call->id, IFAB_HOST_OK, IFAB_VIEW(""));
        return;
    case IFAB_IMPORT_http:
        ifab_guest__http(self, r, host_call);
        return;
    case IFAB_IMPORT_secret_ref:
        give_secret_ref(self, r, host_call->id, args->a);
        return;
    case IFAB_IMPORT_kv_get:
        status = ifab_guest__kv_get(self, r->tenant, args->a, &value);
        break;
    case IFAB_IMPORT_kv_put:
        if (r->task == IFAB_GUEST_APPLY)
            status = ifab_guest__kv_put(self, r, args->a, args->b);
        else
            ifab_guest__note(r, IFAB_CALL_DRY_WRITE, "a dry run keeps no values");
        break;
    case IFAB_IMPORT_now:
        give_now(self, host_call->id);
        return;
    case IFAB_IMPORT_random:
        give_random(self, host_call->id, args->number);
        return;
    case IFAB_IMPORT_COUNT:
        break;
    }
    answer(self, host_call->id, status, status == IFAB_HOST_OK ? value : IFAB_VIEW(""));
}

void ifab_guest__host_gone(void *user, uint64_t host_call)
{
    struct ifab_guests *self = user;
    struct question *q = ifab_guest__question(self, host_call);
    if (host_call == 0 || q == NULL)
        return;
    if (q->egress != 0 && self->egress != NULL)
        ifab_egress_cancel(self->egress, q->egress);
    ifab_guest__question_end(q);
}

/*
 * A WebSocket's answer to a challenge: the one message with something of a secret in it. The rules, in this order: shape, socket, once, a secret that
 * answers challenges, manifest's origin, no redirect before, the record's origins. What was made is wiped here; the copy on its way is wiped by who
 * sends.
 */
#include "base/encode.h"
#include "base/mem.h"
#include "crypto/crypto.h"
#include "job.h"

#include <assert.h>

struct lending {
    struct ifab_egress *egress;
    uint64_t id;
    struct ifab_view text, before, behind; /* of the mark */
    const struct ifab_egress_answer *answer;
    struct ifab_error err;
    unsigned calls;
};

static ifab_status refuse(struct ifab_egress_problem *problem, ifab_status status, enum ifab_egress_failure failure, const char *detail)
{
    if (detail == NULL)
        ifab_egress__problem(problem, failure, NULL);
    else
        ifab_egress__problem(problem, failure, "%s", detail);
    return status;
}

/* One mark, not more: the server is to read the answer where the guest's text says, and nowhere else. */
static bool split(struct lending *l)
{
    static const char mark[] = IFAB_EGRESS_ANSWER_MARK;
    const uint8_t *at = l->text.size == 0 ? NULL : memmem(l->text.data, l->text.size, mark, sizeof mark - 1);
    if (at == NULL)
        return false;
    l->before = ifab_view_of(l->text.data, (size_t)(at - l->text.data));
    l->behind = ifab_view_of(at + sizeof mark - 1, l->text.size - l->before.size - (sizeof mark - 1));
    return memmem(l->behind.data, l->behind.size, mark, sizeof mark - 1) == NULL;
}

static void wipe_fini(struct ifab_buf *buf)
{
    if (buf->data != NULL)
        ifab_wipe(buf->data, buf->capacity);
    ifab_buf_fini(buf);
}

static ifab_status say(struct lending *l, const struct ifab_challenge_answer *made, struct ifab_leak_set *set)
{
    struct ifab_buf message = IFAB_BUF_INIT(IFAB_EGRESS_MESSAGE_MAX);
    IFAB_TRY(ifab_buf_reserve(&message, l->text.size + made->text.size)); /* once: no piece is left behind in memory given back */
    ifab_buf_view(&message, l->before);
    ifab_buf_view(&message, made->text);
    ifab_buf_view(&message, l->behind);
    ifab_status status = ifab_buf_status(&message);
    if (status == IFAB_OK)
        status = ifab_egress__say(l->egress, l->id, false, ifab_buf_as_view(&message), set);
    wipe_fini(&message);
    return status;
}

static ifab_status use(void *user, struct ifab_view secret)
{
    struct lending *l = user;
    struct ifab_buf storage = IFAB_BUF_INIT(IFAB_CHALLENGE_STORAGE);
    struct ifab_challenge_answer made;
    struct ifab_leak_set *set = NULL;
    if (l->calls++ > 0)
        return IFAB_INVALID; /* once an answer */
    ifab_status status =
        ifab_credential_answer(l->answer->credential->field, secret, l->answer->salt, l->answer->challenge, &storage, &made, &l->err);
    if (status == IFAB_OK)
        status = ifab_leak_set_new(&set);
    for (size_t i = 0; status == IFAB_OK && i < made.value_count; i++)
        status = ifab_leak_set_add(set, made.values[i]);
    if (status == IFAB_OK)
        status = ifab_leak_set_seal(set);
    if (status == IFAB_OK)
        status = say(l, &made, set);
    if (status != IFAB_OK)
        ifab_leak_set_free(set);
    wipe_fini(&storage);
    return status;
}

/* The socket as it is; false: not open. */
static bool look(struct ifab_egress *self, uint64_t id, char *origin, bool *ret_redirected, bool *ret_answered)
{
    bool found = false;
    (void)pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < self->requests_max && id != 0; i++) {
        if (self->flying[i].id != id || !self->flying[i].open)
            continue;
        memcpy(origin, self->flying[i].origin, sizeof self->flying[i].origin);
        *ret_redirected = self->flying[i].redirected;
        *ret_answered = self->flying[i].answered;
        found = true;
    }
    (void)pthread_mutex_unlock(&self->lock);
    return found;
}
static void note(struct ifab_egress *self, uint64_t id)
{
    (void)pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < self->requests_max; i++)
        if (self->flying[i].id == id)
            self->flying[i].answered = true;
    (void)pthread_mutex_unlock(&self->lock);
}

ifab_status ifab_egress_send_answer(struct ifab_egress *self, uint64_t id, struct ifab_view text, const struct ifab_egress_answer *answer,
                                    struct ifab_egress_problem *ret_problem)
{
    struct lending l = {.egress = self, .id = id, .text = text, .answer = answer};
    const struct ifab_egress_credential *c = answer->credential;
    char origin[IFAB_EGRESS__ORIGIN_MAX];
    bool redirected = true, answered = true;
    struct ifab_origin_parts named, is;
    assert(self != NULL && self->ops != NULL && self->ops->abi == IFAB_EGRESS_ABI);
    if (text.size > IFAB_EGRESS_MESSAGE_MAX)
        return refuse(ret_problem, IFAB_TOO_LARGE, IFAB_EGRESS_TOO_LARGE, "a message");
    if (!ifab_utf8_valid(text) || !split(&l))
        return refuse(ret_problem, IFAB_INVALID, IFAB_EGRESS_REQUEST, "text with one " IFAB_EGRESS_ANSWER_MARK " is needed");
    if (!look(self, id, origin, &redirected, &answered))
        return refuse(ret_problem, IFAB_NOT_FOUND, IFAB_EGRESS_TRANSPORT, "not open");
    if (answered)
        return refuse(ret_problem, IFAB_DENIED, IFAB_EGRESS_REQUEST, "a socket answers one challenge");
    if (!ifab_credential_is_challenge(c->as, c->field))
        return refuse(ret_problem, IFAB_DENIED, IFAB_EGRESS_CREDENTIAL, "it answers no challenge");
    if (ifab_origin_read(c->origin, &named, NULL) != IFAB_OK || ifab_origin_read(ifab_view_str(origin), &is, NULL) != IFAB_OK ||
        !ifab_origin_same(&named, &is))
        return refuse(ret_problem, IFAB_DENIED, IFAB_EGRESS_CREDENTIAL_ORIGIN, "the manifest names another");
    if (redirected)
        return refuse(ret_problem, IFAB_DENIED, IFAB_EGRESS_REDIRECTED, NULL);
    ifab_status status = c->lend(c->user, ifab_view_str(origin), use, &l);
    if (status == IFAB_OK && l.calls == 1) {
        note(self, id);
        ifab_egress__problem(ret_problem, IFAB_EGRESS_NONE, NULL);
        return IFAB_OK;
    }
    if (status == IFAB_NOMEM || status == IFAB_FULL || status == IFAB_TOO_LARGE)
        return refuse(ret_problem, status, status == IFAB_NOMEM ? IFAB_EGRESS_SYSTEM : IFAB_EGRESS_TOO_LARGE, NULL);
    if (status == IFAB_DENIED)
        return refuse(ret_problem, IFAB_DENIED, IFAB_EGRESS_CREDENTIAL_ORIGIN, "its record names others");
    return refuse(ret_problem, IFAB_DENIED, IFAB_EGRESS_CREDENTIAL, l.err.text[0] != '\0' ? l.err.text : NULL);
}

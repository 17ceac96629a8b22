/*
 * The fabric's own refusals inside a call. A guest that cannot go on after one ends with an error of its provider's, for it has no other word; the
 * outcome says whose word it was. The last thing it asked decides: what went outside after that, or failed there, is what its end is about.
 */
#include "guest_internal.h"

#include "base/id.h"

#include <stdio.h>

/*
 * OK: not the fabric's. Of those with an alarm the whole call is a violation, whatever stands here. What was never a request did not reach the provider:
 * a caller's word in it (a path of "..;x", more than fits) would else let one agent open the breaker for all.
 */
static const enum ifab_call_end by_failure[IFAB_EGRESS_FAILURE_COUNT] = {
    [IFAB_EGRESS_URL] = IFAB_CALL_CALLER,
    [IFAB_EGRESS_REQUEST] = IFAB_CALL_CALLER,
    [IFAB_EGRESS_TOO_LARGE] = IFAB_CALL_CALLER,
    [IFAB_EGRESS_ADDRESS] = IFAB_CALL_ADDRESS,
    [IFAB_EGRESS_DRY_RUN] = IFAB_CALL_DRY_WRITE,
};
static const struct {
    enum ifab_code code;
    enum ifab_call_end end;
} by_code[] = {
    {IFAB_CODE_PERMISSION_DENIED, IFAB_CALL_DENIED},
    {IFAB_CODE_SECRET_NOT_FOUND, IFAB_CALL_NO_SECRET},
    {IFAB_CODE_RATE_LIMIT_EXCEEDED, IFAB_CALL_LIMITED},
    {IFAB_CODE_QUEUE_FULL, IFAB_CALL_BUSY},
};

enum ifab_call_end ifab_guest__own(enum ifab_code code, enum ifab_egress_failure failure)
{
    if (by_failure[failure] != IFAB_CALL_OK)
        return by_failure[failure];
    for (size_t i = 0; i < IFAB_COUNT(by_code); i++)
        if (by_code[i].code == code)
            return by_code[i].end;
    return IFAB_CALL_OK;
}

void ifab_guest__note(struct running *r, enum ifab_call_end end, const char *text)
{
    if (r->failed && (end == IFAB_CALL_LIMITED || end == IFAB_CALL_BUSY)) /* who asks a dead provider until its burst is used up ends on the provider */
        return;
    r->refused = end;
    snprintf(r->refusal, sizeof r->refusal, "%s", text);
}

/* The guest's word for a name: what could be none is not repeated. */
void ifab_guest__unnamed(struct ifab_view name, const char *meant_for, char ret_text[IFAB_GUEST_TEXT_MAX])
{
    if (!ifab_name_valid(name))
        name = IFAB_VIEW("what it asked for");
    snprintf(ret_text, IFAB_GUEST_TEXT_MAX, "requires_secrets in the manifest does not name " IFAB_FMT "%s", IFAB_ARG(name), meant_for);
}

void ifab_guest__came(struct running *r)
{
    r->failed = false;
    ifab_guest__note(r, IFAB_CALL_OK, "");
}

/* Its own words follow the fabric's, where it has any of its own. */
void ifab_guest__own_end(struct running *r, struct ifab_guest_answer *answer)
{
    if (answer->end != IFAB_CALL_PROVIDER || r->refused == IFAB_CALL_OK)
        return;
    struct ifab_view own = ifab_guest__text(ifab_view_str(r->refusal), &r->arena), both = own;
    struct ifab_buf b = IFAB_BUF_INIT(1024);
    ifab_buf_view(&b, own);
    ifab_buf_str(&b, "; the capability says: ");
    ifab_buf_view(&b, answer->text);
    bool said = answer->text.size > 0 && !ifab_view_equal(answer->text, own);
    if (said && (ifab_buf_status(&b) != IFAB_OK || ifab_arena_copy(&r->arena, ifab_guest__cut(ifab_buf_as_view(&b), IFAB_GUEST_TEXT_MAX), &both) != IFAB_OK))
        both = own;
    ifab_buf_fini(&b);
    answer->end = r->refused;
    answer->text = both;
}

/* Votes and admin acts: small signed objects, each under its own domain line, so that one can never be read as another. */
#include "internal.h"

#define VOTE_DOMAIN "IF-VOTE-v1\n"
#define ADMIN_DOMAIN "IF-ADMIN-v1\n"
#define WHY_MAX 1024

static ifab_status check_why(const char *why, struct ifab_error *err)
{
    size_t size = why == NULL ? 0 : strlen(why);
    if (size == 0 || size > WHY_MAX)
        return ifab_fail(err, IFAB_INVALID, "why: 1..%d bytes", WHY_MAX);
    return IFAB_OK;
}

ifab_status ifab_vote_build(const struct ifab_vote_draft *draft, const struct ifab_identity *identity, struct ifab_text *ret_json,
                            struct ifab_error *err)
{
    if (draft->version != IFAB_VOTE_VERSION)
        return ifab_fail(err, IFAB_UNSUPPORTED, "version of the vote");
    if (draft->log == NULL || draft->decision == NULL || draft->message_digest32 == NULL || draft->policy_digest == NULL ||
        draft->verdict == NULL || draft->voter == NULL)
        return ifab_fail(err, IFAB_INVALID, "a vote needs log, decision, both digests, verdict and voter");
    IFAB_TRY(check_why(draft->why, err));
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf raw = IFAB_BUF_INIT(65536);
    struct ifab_members m = {&raw, false};
    int64_t wall = ifab_wall_usec();
    ifab_buf_char(&raw, '{');
    ifab_members__name(&m, "v");
    ifab_buf_char(&raw, '1');
    ifab_members__text(&m, "log", draft->log);
    ifab_members__text(&m, "decision", draft->decision);
    ifab_members__name(&m, "message_digest");
    ifab_buf_str(&raw, "\"sha256:");
    ifab_buf_hex(&raw, draft->message_digest32, 32);
    ifab_buf_char(&raw, '"');
    ifab_members__text(&m, "policy_digest", draft->policy_digest);
    ifab_members__text(&m, "verdict", draft->verdict);
    ifab_members__text(&m, "voter", draft->voter);
    ifab_members__text(&m, "why", draft->why);
    ifab_members__time(&m, "issued_at", wall);
    ifab_members__time(&m, "expires_at", wall + (draft->valid_usec > 0 ? draft->valid_usec : 10 * IFAB_MINUTE));
    ifab_members__nonce(&m);
    ifab_members__signature(&m, identity, true);
    ifab_buf_char(&raw, '}');
    if (ifab_buf_status(&raw) != IFAB_OK)
        return ifab_fail(err, ifab_buf_status(&raw), "vote");
    return ifab_sign__object(ifab_buf_as_view(&raw), VOTE_DOMAIN, identity, ret_json, err);
}

ifab_status ifab_admin_act(const char *log, const char *route, struct ifab_view body, const char *why, const struct ifab_identity *identity,
                           struct ifab_text *ret_header, struct ifab_error *err)
{
    IFAB_TRY(check_why(why, err));
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf raw = IFAB_BUF_INIT(65536);
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf header = IFAB_BUF_INIT(65536);
    struct ifab_members m = {&raw, false};
    uint8_t digest32[32];
    ifab_sha256(body, digest32);
    ifab_buf_char(&raw, '{');
    ifab_members__name(&m, "v");
    ifab_buf_char(&raw, '1');
    ifab_members__text(&m, "log", log);
    ifab_members__text(&m, "route", route);
    ifab_members__name(&m, "body_digest");
    ifab_buf_str(&raw, "\"sha256:");
    ifab_buf_hex(&raw, digest32, 32);
    ifab_buf_char(&raw, '"');
    ifab_members__text(&m, "why", why);
    ifab_members__time(&m, "issued_at", ifab_wall_usec());
    ifab_members__nonce(&m);
    ifab_members__signature(&m, identity, false);
    ifab_buf_char(&raw, '}');
    if (ifab_buf_status(&raw) != IFAB_OK)
        return ifab_fail(err, ifab_buf_status(&raw), "admin act");
    struct ifab_text text = {NULL, 0};
    IFAB_TRY(ifab_sign__object(ifab_buf_as_view(&raw), ADMIN_DOMAIN, identity, &text, err));
    ifab_buf_base64url(&header, text.data, text.size);
    ifab_text_free(&text);
    return ifab_text__take(&header, ret_header, err);
}

/* Votes, admin acts and enrolments: small signed objects, each under its own domain line, so that one can never be read as another. */
#include "internal.h"

#define VOTE_DOMAIN "IF-VOTE-v1\n"
#define ADMIN_DOMAIN "IF-ADMIN-v1\n"
#define ENROLL_DOMAIN "IF-ENROLL-v1\n"
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

#define CODE_LETTERS 32

/* What a person typed as the one spelling that is signed and sent: "XXXX-XXXX-…". */
static ifab_status read_code(const char *typed, char ret_code[40], struct ifab_error *err)
{
    size_t letters = 0, size = 0;
    for (; *typed != '\0'; typed++) {
        char c = *typed;
        if (c == '-' || c == ' ')
            continue;
        if (c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        if (letters == CODE_LETTERS || !((c >= 'A' && c <= 'Z') || (c >= '2' && c <= '7')))
            return ifab_fail(err, IFAB_INVALID, "not a code: eight groups of four of A-Z and 2-7");
        if (letters > 0 && letters % 4 == 0)
            ret_code[size++] = '-';
        ret_code[size++] = c;
        letters++;
    }
    ret_code[size] = '\0';
    return letters == CODE_LETTERS ? IFAB_OK : ifab_fail(err, IFAB_INVALID, "not a code: eight groups of four of A-Z and 2-7");
}

ifab_status ifab_enroll_build(const char *code, const char *log, const struct ifab_identity *identity, struct ifab_text *ret_json,
                              struct ifab_error *err)
{
    char clean[40], pubkey[44];
    uint8_t key32[32], sig64[64];
    IFAB_TRY(read_code(code, clean, err));
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf covered = IFAB_BUF_INIT(8192);
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf body = IFAB_BUF_INIT(8192);
    ifab_identity_public(identity, key32);
    ifab_public_text(key32, pubkey);
    ifab_buf_format(&covered, ENROLL_DOMAIN "{\"code\":\"%s\",\"log\":", clean);
    ifab_json_put_cstr(&covered, log);
    ifab_buf_format(&covered, ",\"pubkey\":\"%s\",\"v\":1}", pubkey);
    if (ifab_buf_status(&covered) != IFAB_OK)
        return ifab_fail(err, ifab_buf_status(&covered), "enrolment");
    ifab_signer_sign(ifab_identity__signer(identity), ifab_buf_as_view(&covered), sig64);
    ifab_buf_format(&body, "{\"code\":\"%s\",\"proof\":\"", clean);
    ifab_buf_base64url(&body, sig64, sizeof sig64);
    ifab_buf_format(&body, "\",\"pubkey\":\"%s\"}", pubkey);
    ifab_wipe(clean, sizeof clean);
    if (ifab_buf_status(&body) != IFAB_OK)
        return ifab_fail(err, ifab_buf_status(&body), "enrolment");
    return ifab_text__take(&body, ret_json, err);
}

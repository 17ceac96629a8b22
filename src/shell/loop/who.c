/*
 * Who asks: the holder of a token or of the key of a client certificate, else the uid at the other end of the Unix socket, else nobody. A token
 * that is given, or a certificate that is shown, and is not good is refused on every route, open ones too, and never falls back to the uid: who
 * sends it means to be that talent and no other. Where both are given both must be good and of one talent: a stolen token does not work under
 * another's certificate. SURFACE section 8.
 */
#include <string.h>
#include <unistd.h>

#include "base/encode.h"
#include "node.h"

#define TOKEN_SIZE          47          /* "ift_" and base64url of 32 bytes */
#define PRINCIPAL_OF_TALENT 0x80000000U /* numbers of talents beside uids, where callers are counted */

static const char refused[] = "the token is wrong, expired or revoked";
static const char refused_key[] = "the key of this certificate is not enrolled, or it has ended or been revoked";
static const char refused_both[] = "the certificate is another talent's than the token";

static void of_talent(struct ifab_principal *ret, const struct ifab_talent *talent, enum ifab_role role)
{
    ret->kind = IFAB_PRINCIPAL_TALENT;
    ret->talent = talent->number;
    ret->role = role;
    snprintf(ret->actor, sizeof ret->actor, "if://agent/" IFAB_FMT, IFAB_ARG(talent->name));
}

static enum ifab_code of_uid(const struct node *node, uint32_t uid, struct who *ret, char ret_text[WHO_TEXT])
{
    ret->principal.kind = IFAB_PRINCIPAL_UID;
    ret->principal.uid = uid;
    snprintf(ret->principal.actor, sizeof ret->principal.actor, "uid:%u", uid);
    for (size_t i = 0; i < node->config.uid_count; i++) {
        if (node->config.uids[i].uid != uid)
            continue;
        const struct ifab_talent *talent = ifab_talents_find(ifab_fabric_talents(node->fabric), ifab_view_str(node->config.uids[i].talent));
        if (talent != NULL && talent->removed_at == IFAB_NEVER) { /* the socket alone never makes an admin */
            of_talent(&ret->principal, talent, ifab_token_role(talent->role, talent->role));
            ret->roles = ROLE_BIT(ret->principal.role);
            return IFAB_CODE_NONE;
        }
        uid = UINT32_MAX; /* named, and its talent has gone */
    }
    ret->principal.role = IFAB_ROLE_OPERATOR;
    ret->roles = ROLE_BIT(IFAB_ROLE_OPERATOR);
    if (uid == 0 || uid == geteuid())
        return IFAB_CODE_NONE;
    snprintf(ret_text, WHO_TEXT, "uid %u may not use this socket. Ask for a token, or add it under access.uids.", ret->principal.uid);
    return IFAB_CODE_PERMISSION_DENIED;
}

/* One spelling each: "Bearer", one space, the token. What is compared afterwards is its digest. */
static bool digest_of(struct ifab_view header, uint8_t ret_hash32[32])
{
    static const char scheme[] = "Bearer ";
    uint8_t bytes[32];
    size_t size = 0;
    if (header.size != sizeof scheme - 1 + TOKEN_SIZE ||
        !ifab_view_equal_nocase(ifab_view_of(header.data, sizeof scheme - 1), IFAB_VIEW("bearer ")))
        return false;
    struct ifab_view token = ifab_view_of(header.data + sizeof scheme - 1, TOKEN_SIZE);
    bool good = ifab_view_starts(token, IFAB_VIEW("ift_")) &&
                ifab_base64url_decode(ifab_view_of(token.data + 4, token.size - 4), bytes, 32, &size) == IFAB_OK && size == 32;
    ifab_sha256(token, ret_hash32);
    ifab_wipe(bytes, sizeof bytes);
    return good;
}

static bool of_token(struct node *node, struct ifab_view header, struct who *ret)
{
    uint8_t hash32[32];
    if (!digest_of(header, hash32))
        return false;
    const struct ifab_access_item *token = ifab_accesses_by_hash(ifab_fabric_accesses(node->fabric), IFAB_ACCESS_TOKEN, hash32);
    const struct ifab_talent *talent = token == NULL ? NULL : ifab_talents_find(ifab_fabric_talents(node->fabric), token->talent);
    if (!ifab_token_valid(token, talent, clock_now(&node->clock, NULL).wall))
        return false;
    of_talent(&ret->principal, talent, ifab_token_role(token->role, talent->role));
    ret->principal.uid = PRINCIPAL_OF_TALENT | talent->number;
    ret->roles = ROLE_BIT(token->role) | ROLE_BIT(talent->role);
    ret->has_token = true;
    ret->ends = token->expires < ret->ends ? token->expires : ret->ends;
    memcpy(ret->token16, token->id16, 16);
    return true;
}

/* The handshake was signed with this key; what is looked up is its digest. */
static bool of_key(struct node *node, const struct ifab_http_peer *peer, struct who *ret)
{
    const struct ifab_tls_key *key = NULL;
    const struct ifab_talent *talent = ifab_talents_by_spki(ifab_fabric_talents(node->fabric), peer->key32, &key);
    if (!ifab_tls_key_valid(talent, key, clock_now(&node->clock, NULL).wall))
        return false;
    of_talent(&ret->principal, talent, ifab_token_role(talent->role, talent->role)); /* never an admin: that takes a signature over the act */
    ret->principal.uid = PRINCIPAL_OF_TALENT | talent->number;
    ret->roles = ROLE_BIT(talent->role);
    ret->has_key = true;
    ret->ends = key->not_after;
    memcpy(ret->key32, peer->key32, 32);
    return true;
}

/* Header and certificate, each if there is one. NULL: good; else the words. */
static const char *prove(struct node *node, const struct ifab_http_request *raw, struct ifab_view header, size_t given, struct who *ret)
{
    if (raw->peer->has_key && !of_key(node, raw->peer, ret))
        return refused_key;
    uint32_t shown = ret->principal.talent;
    if (given > 0 && (given != 1 || !of_token(node, header, ret)))
        return refused;
    return ret->has_key && ret->principal.talent != shown ? refused_both : NULL;
}

/* Counted by its source, charged to who is at the other end; no byte of it is kept but of a digest. */
static void count_failure(struct node *node, const struct ifab_http_request *raw, struct ifab_view header)
{
    char source[64];
    uint8_t digest[32];
    const char *colon = raw->peer->unix_socket ? NULL : strrchr(raw->peer->address, ':');
    if (raw->peer->unix_socket)
        snprintf(source, sizeof source, "uid:%u", raw->peer->uid);
    else
        snprintf(source, sizeof source, "%.*s", colon != NULL ? (int)(colon - raw->peer->address) : 63, raw->peer->address);
    ifab_sha256(header, digest);
    ifab_fabric_count_refusal(node->fabric, IFAB_CODE_INVALID_TOKEN, ifab_view_str(source), digest, clock_now(&node->clock, NULL).run);
    ifab_metrics_add(&node->metrics, IFAB_METRIC_VERIFY_FAILURES, 0, 1);
}

static enum ifab_code by_proof(struct node *node, const struct ifab_http_request *raw, struct ifab_view header, size_t given, struct who *ret,
                               char ret_text[WHO_TEXT])
{
    struct charge *charge = charge_hold(&node->charges, raw->peer, clock_boot());
    enum ifab_code code = IFAB_CODE_NONE;
    const char *wrong;
    if (charge == NULL) {
        code = IFAB_CODE_QUEUE_FULL;
        snprintf(ret_text, WHO_TEXT, "too many callers at once");
    } else if (charge_empty(charge)) {
        code = IFAB_CODE_RATE_LIMIT_EXCEEDED;
        snprintf(ret_text, WHO_TEXT, "too many failed tokens and signatures from here");
    } else if ((wrong = prove(node, raw, header, given, ret)) != NULL) {
        code = IFAB_CODE_INVALID_TOKEN;
        memset(ret, 0, sizeof *ret); /* half of a proof is none */
        snprintf(ret_text, WHO_TEXT, "%s", wrong);
        charge_take(charge);
        count_failure(node, raw, given > 0 ? header : ifab_view_of(raw->peer->key32, 32));
    }
    charge_drop(charge);
    return code;
}

enum ifab_code who_is(struct node *node, const struct ifab_http_request *raw, struct who *ret, char ret_text[WHO_TEXT])
{
    struct ifab_view header = {NULL, 0};
    size_t given = 0;
    memset(ret, 0, sizeof *ret);
    ret->ends = IFAB_NEVER;
    for (size_t i = 0; i < raw->header_count; i++)
        if (ifab_view_equal_nocase(raw->headers[i].name, IFAB_VIEW("authorization"))) {
            header = raw->headers[i].value;
            given++;
        }
    if (given > 0 || raw->peer->has_key)
        return by_proof(node, raw, header, given, ret, ret_text);
    if (raw->peer->unix_socket)
        return of_uid(node, raw->peer->uid, ret, ret_text);
    snprintf(ret->principal.actor, sizeof ret->principal.actor, "tcp:%s", raw->peer->address);
    return IFAB_CODE_NONE;
}

enum ifab_code who_may(const struct who *who, const struct route *route, const struct ifab_http_request *raw, char ret_text[WHO_TEXT])
{
    if ((route->flags & ROUTE_OPEN) != 0 || (raw->peer->unix_socket && (route->flags & ROUTE_OPEN_UNIX) != 0) ||
        ((route->flags & ROUTE_SIGNED) != 0 && ifab_http_header(raw, "if-admin").size > 0))
        return IFAB_CODE_NONE;
    if (who->roles == 0) {
        snprintf(ret_text, WHO_TEXT, "over TCP this route needs a token (Authorization: Bearer …; ifctl token create makes one) or an enrolled client "
                                     "certificate");
        return IFAB_CODE_INVALID_TOKEN;
    }
    if ((route->roles & who->roles) != who->roles) {
        snprintf(ret_text, WHO_TEXT, "role %s may not use this route", ifab_role_name(who->principal.role));
        return IFAB_CODE_PERMISSION_DENIED;
    }
    return IFAB_CODE_NONE;
}

bool who_reads_log(const struct ifab_principal *principal)
{
    return (ROLE_BIT(principal->role) & ROLES_AUDIT) != 0;
}

bool who_stays(const struct node *node, const struct request *r, ifab_usec wall, ifab_usec *ret_ends)
{
    *ret_ends = IFAB_NEVER;
    if (r->principal.kind != IFAB_PRINCIPAL_TALENT)
        return true;
    const struct ifab_talent *talent = ifab_talents_at(ifab_fabric_talents(node->fabric), r->principal.talent);
    if (talent == NULL || talent->removed_at != IFAB_NEVER)
        return false;
    if (r->has_token) {
        const struct ifab_access_item *token = ifab_accesses_by_id(ifab_fabric_accesses(node->fabric), IFAB_ACCESS_TOKEN, r->token16);
        if (!ifab_token_valid(token, talent, wall))
            return false;
        *ret_ends = token->expires;
    }
    if (r->has_key) {
        const struct ifab_tls_key *key = NULL;
        if (ifab_talents_by_spki(ifab_fabric_talents(node->fabric), r->key32, &key) != talent || !ifab_tls_key_valid(talent, key, wall))
            return false;
        *ret_ends = key->not_after < *ret_ends ? key->not_after : *ret_ends;
    }
    return true;
}

#ifndef BASE_CODE_H
#define BASE_CODE_H
/* What the wire says: SURFACE section 6. The one table of refusals. */
#include "base/time.h"
#include "base/view.h"

/* X(name, number, class, retryable, HTTP, exit, text, hint) */
#define IFAB_CODE_MAP(X)                                                                                                                  \
    X(INVALID_SIGNATURE, 1, AUTH, 0, 401, 10, "bad signature",                                                                            \
      "Sign the canonical form with the key that is registered for this sender.")                                                         \
    X(INVALID_TOKEN, 2, AUTH, 0, 401, 10, "token missing, wrong or expired", "Make one with the agent's key (ifctl token create NAME --as NAME), ask an operator for one, or use the Unix socket.") \
    X(PERMISSION_DENIED, 3, AUTH, 0, 403, 10, "not permitted", "Ask an operator or admin for the role or grant that the message names.")  \
    X(KEY_REVOKED, 4, AUTH, 0, 401, 10, "key revoked or outside its validity",                                                            \
      "Give the talent a new key: ifctl talent rotate-key NAME --pubkey @FILE.")                                                          \
    X(UNTRUSTED_PUBLISHER, 5, AUTH, 0, 403, 10, "publisher not trusted", "Ask an admin to add the publisher: ifctl publisher add.")       \
    X(INVALID_ENVELOPE, 101, MESSAGE, 0, 400, 11, "malformed envelope",                                                                   \
      "Correct what the message names, or let ifctl message send build the envelope.")                                                    \
    X(EXPIRED_MESSAGE, 102, MESSAGE, 0, 400, 11, "message expired",                                                                       \
      "Send it again with a fresh issued_at, seq and nonce, and check the clock.")                                                        \
    X(REPLAY_DETECTED, 103, MESSAGE, 0, 409, 11, "already accepted",                                                                      \
      "Send the same bytes with the message id as Idempotency-Key to read the first answer.")                                             \
    X(OUT_OF_ORDER, 104, MESSAGE, 0, 409, 11, "sequence number not above the last one",                                                   \
      "Use last_seq + 1, and run one process for each instance name.")                                                                    \
    X(PROTOCOL_VIOLATION, 105, MESSAGE, 0, 409, 11, "not allowed in this conversation",                                                   \
      "Open a new conversation, or answer only where you are named as a receiver.")                                                       \
    X(UNKNOWN_SENDER, 106, MESSAGE, 0, 401, 11, "sender is not enrolled",                                                                 \
      "Ask an operator to enrol it: ifctl talent add --name NAME --pubkey @FILE.")                                                        \
    X(FUTURE_MESSAGE, 107, MESSAGE, 0, 400, 11, "issued in the future", "Set the sender's clock.")                                        \
    X(WRONG_AUDIENCE, 108, MESSAGE, 0, 403, 11, "addressed to nobody here", "Name an enrolled receiver, or this fabric's own origin.")    \
    X(TOO_LARGE, 109, MESSAGE, 0, 413, 11, "larger than the limit", "Send a digest and a URL in place of the bytes.")                     \
    X(UNSUPPORTED_VERSION, 110, MESSAGE, 0, 400, 11, "envelope version not supported", "Write \"v\": \"2.1\", or leave v out.")           \
    X(CAPABILITY_NOT_ALLOWED, 201, REGISTRY, 0, 403, 12, "capability not on the allow-list",                                              \
      "Ask an admin to allow it: ifctl capability allow.")                                                                                \
    X(VERSION_NOT_ALLOWED, 202, REGISTRY, 0, 403, 12, "version not on the allow-list",                                                    \
      "Ask an admin to allow it: ifctl capability allow.")                                                                                \
    X(TALENT_NOT_FOUND, 203, REGISTRY, 0, 404, 12, "no such talent", "Choose one of the names that ifctl talent list shows.")             \
    X(DIGEST_MISMATCH, 204, REGISTRY, 0, 403, 12, "digest differs from the one allowed",                                                  \
      "Compare it with what ifctl capability inspect shows.")                                                                             \
    X(GRANT_MISSING, 205, REGISTRY, 0, 403, 12, "grant missing", "Ask an operator for it: ifctl talent grant NAME --scope SCOPE --why TEXT.")        \
    X(SECRET_NOT_FOUND, 206, REGISTRY, 0, 404, 12, "no such secret", "Choose one of the names that ifctl secret list shows.")             \
    X(INVALID_MANIFEST, 207, REGISTRY, 0, 400, 12, "malformed manifest", "Correct the field that the message names.")                     \
    X(INVALID_PARAMS, 208, REGISTRY, 0, 400, 12, "malformed request",                                                                     \
      "Correct the field that the message names, and send the request again.")                                                            \
    X(BUDGET_EXCEEDED, 301, LIMITS, 0, 402, 13, "budget exceeded", "See what is left with ifctl budget report, or ask for more.")         \
    X(RATE_LIMIT_EXCEEDED, 302, LIMITS, 1, 429, 13, "rate limit exceeded", "Wait for retry_after_ms, then send it again.")                \
    X(CIRCUIT_BREAKER_OPEN, 303, LIMITS, 1, 503, 13, "circuit breaker open", "Wait for retry_after_ms, then try again.")                  \
    X(QUEUE_FULL, 304, LIMITS, 1, 503, 13, "the daemon is full", "Wait for retry_after_ms, then send it again.")                          \
    X(QUOTA_EXCEEDED, 305, LIMITS, 1, 429, 13, "quota exceeded", "Use a shorter ttl_s, or wait until earlier ones end.")                  \
    X(NOT_FOUND, 404, REGISTRY, 0, 404, 12, "no such thing", "Check the id, and that you ask the right fabric.")                          \
    X(CONFLICT, 409, REGISTRY, 0, 409, 12, "exists already or was changed", "Read it again, then decide whether the change still fits.")  \
    X(SYSTEM_ERROR, 500, SYSTEM, 1, 500, 20, "internal error", "See the daemon's log, then try again.")                                   \
    X(SANDBOX_VIOLATION, 501, SYSTEM, 0, 500, 20, "sandbox violation", "See the witness log for what was attempted.")                     \
    X(DEADLINE_EXCEEDED, 502, SYSTEM, 1, 504, 20, "deadline exceeded", "Try again, with more time where the call allows it.")             \
    X(PROVIDER_UNAVAILABLE, 503, SYSTEM, 1, 503, 20, "provider unavailable", "Try again later.")                                          \
    X(STORE_UNAVAILABLE, 504, SYSTEM, 1, 503, 20, "cannot record", "Free disk space; the fabric does nothing that it cannot record.")     \
    X(LOG_CORRUPT, 505, SYSTEM, 0, 500, 20, "stored state does not verify",                                                               \
      "Stop, keep the directory as it is, and restore a backup: ifctl restore; without one: ifctl salvage.")                              \
    X(INVALID_CONFIG, 506, SYSTEM, 0, 500, 20, "invalid configuration", "Find the mistake with ifctl config check, or ifctl doctor.")     \
    X(NOT_SUPPORTED, 509, SYSTEM, 0, 501, 20, "not supported in this version", "See CHANGELOG.md for what this version supports.")        \
    X(TASK_NOT_FOUND, 601, TASK, 0, 404, 14, "no such task", "Choose one of those that ifctl task list shows.")                           \
    X(TASK_OWNED, 602, TASK, 0, 409, 14, "task is owned by another", "Claim another one.")                                                \
    X(STALE_FENCE, 603, TASK, 0, 409, 14, "fence is old", "Stop working on it: the task was given to another. What it did cost is still to be reported: ifctl cost track.") \
    X(NO_QUALIFIED_SWARM, 604, TASK, 0, 409, 14, "no qualified swarm", "Register a swarm with these skills: ifctl swarm register.")       \
    X(INVALID_TRANSITION, 605, TASK, 0, 409, 14, "not possible in this state", "See its state with ifctl task show.")

#define IFAB_CODE_ENUM_(name, number, class_, retry, http, exit_, text, hint) IFAB_CODE_##name = (number),
enum ifab_code { IFAB_CODE_NONE = 0, IFAB_CODE_MAP(IFAB_CODE_ENUM_) };
#undef IFAB_CODE_ENUM_

struct ifab_code_info {
    enum ifab_code code;
    const char *name; /* "INVALID_SIGNATURE" */
    const char *class_name; /* "AUTH" … */
    bool retryable;
    int http, exit;
    const char *text, *hint;
};
const struct ifab_code_info *ifab_code_info(enum ifab_code code); /* NULL for an unknown number */
const struct ifab_code_info *ifab_code_at(size_t i);              /* i-th row; NULL past the end */

/*
 * A refusal: an answer, not an error. Zeroed = none. Caller's storage; nothing in it is owned.
 * message is made by ifab_refuse(); field names a JSON path such as "content.confidence.raw".
 */
#define IFAB_RETRY_UNKNOWN (-2)
struct ifab_refusal {
    enum ifab_code code;
    char message[240];
    char field[96];          /* "" when none */
    int64_t offset;          /* byte offset in the input; -1 when none */
    int64_t retry_after_ms;  /* -1: the code's default; IFAB_RETRY_UNKNOWN: it can be tried again, and nobody knows when, so no time is said */
    const char *hint;        /* NULL: the code's */
    bool has_first;          /* 103: what was decided the first time */
    uint64_t first_index;
    int first_decision;      /* enum ifab_decision */
    bool has_last_seq;       /* 104 */
    uint64_t last_seq;
};
/* Fills ret (may be NULL) and returns code. */
enum ifab_code ifab_refuse(struct ifab_refusal *ret, enum ifab_code code, const char *field, const char *format, ...)
    __attribute__((format(__printf__, 4, 5)));
/* Around ifab_refuse(): what to do about this one, where the code's own hint does not fit. hint: static text, as the code table has them. */
enum ifab_code ifab_refuse_hint(struct ifab_refusal *ret, enum ifab_code code, const char *hint);

/* The four decisions. Zeroed memory denies (INV-06). */
enum ifab_decision { IFAB_DECISION_DENY = 0, IFAB_DECISION_ESCALATE = 1, IFAB_DECISION_HOLD = 2, IFAB_DECISION_SHARE = 3 };
const char *ifab_decision_name(enum ifab_decision decision); /* "DENY", "ESCALATE", "HOLD", "SHARE" */
#endif

#ifndef WITNESS_WITNESS_H
#define WITNESS_WITNESS_H
/*
 * The log: canonical JSON entries chained by hash, an RFC 6962 tree over them, checkpoints, tiles. SURFACE section 4. Pure.
 * hash = SHA-256(entry); prev_hash chains from 64 zeros; leaf = SHA-256(0x00 || entry), node = SHA-256(0x01 || l || r).
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/code.h"
#include "base/time.h"
#include "crypto/crypto.h"

#define IFAB_ENTRY_MAX 65535
#define IFAB_SEGMENT_ENTRIES 65536

/* (type, component, operation, severity): the one table of what can stand in the log. X(NAME, type, component, operation, severity) */
#define IFAB_EVENT_MAP(X)                                                   \
    X(FABRIC_INIT, "fabric", "IF.fabric", "init", "INFO")                   \
    X(FABRIC_RESTORE, "fabric", "IF.fabric", "restore", "HIGH")             \
    X(CLOCK_JUMP, "fabric", "IF.fabric", "clock_jump", "HIGH")              \
    X(CLOCK_ACCEPT, "fabric", "IF.fabric", "clock_accept", "HIGH")          \
    X(RULES_LOADED, "rules", "IF.guard", "rules_loaded", "HIGH")            \
    X(TALENT_ADD, "talent", "IF.talent", "add", "INFO")                     \
    X(TALENT_GRANT, "talent", "IF.talent", "grant", "INFO")                 \
    X(TALENT_REVOKE, "talent", "IF.talent", "revoke", "WARN")               \
    X(TALENT_ROTATE, "talent", "IF.talent", "rotate_key", "INFO")           \
    X(TALENT_REMOVE, "talent", "IF.talent", "remove", "WARN")               \
    X(MESSAGE_SHARE, "message", "IF.connect", "share", "INFO")              \
    X(MESSAGE_HOLD, "message", "IF.connect", "hold", "INFO")                \
    X(MESSAGE_ESCALATE, "message", "IF.connect", "escalate", "WARN")        \
    X(MESSAGE_DENY, "message", "IF.connect", "deny", "WARN")                \
    X(MESSAGE_REFUSED, "refusal", "IF.connect", "refused", "WARN")          \
    X(REFUSALS_COUNTED, "refusal", "IF.connect", "refusals_counted", "WARN") \
    X(DECISION_RELEASED, "decision", "IF.guard", "released", "INFO")        \
    X(DECISION_ESCALATED, "decision", "IF.guard", "escalated", "WARN")      \
    X(DECISION_DENIED, "decision", "IF.guard", "denied", "WARN")            \
    X(DECISION_REOPENED, "decision", "IF.guard", "reopened", "WARN")        \
    X(VOTE_CAST, "vote", "IF.guard", "vote", "INFO")                        \
    X(ADMIN_REFUSED, "refusal", "IF.talent", "admin_refused", "WARN")       \
    X(MESSAGE_ERASED, "witness", "IF.witness", "erase", "HIGH")             \
    X(ANCHOR_CREATED, "witness", "IF.witness", "anchor", "INFO")              \
    X(BACKUP_CREATED, "witness", "IF.witness", "backup", "HIGH")              \
    X(DECISION_VOIDED, "decision", "IF.guard", "voided", "WARN")              \
    X(TALENT_INVITE, "invite", "IF.talent", "invite", "INFO")                 \
    X(TALENT_ENROLL, "talent", "IF.talent", "enroll", "INFO")                 \
    X(TOKEN_CREATE, "token", "IF.talent", "token_create", "INFO")             \
    X(TOKEN_REVOKE, "token", "IF.talent", "token_revoke", "WARN")             \
    X(TALENT_TLS_KEY, "talent", "IF.talent", "tls_key", "INFO")                 \
    X(LOG_KEY_ROTATED, "log_key", "IF.witness", "rotate_key", "HIGH")              \
    X(SWARM_REGISTER, "swarm", "IF.coordinator", "register", "INFO")          \
    X(TASK_CREATE, "task", "IF.coordinator", "create", "INFO")                \
    X(TASK_CLAIM, "task", "IF.coordinator", "claim", "INFO")                  \
    X(TASK_GIVE_BACK, "task", "IF.coordinator", "give_back", "INFO")          \
    X(TASK_RENEW, "task", "IF.coordinator", "renew", "INFO")                  \
    X(TASK_PROGRESS, "task", "IF.coordinator", "progress", "INFO")            \
    X(TASK_COMPLETE, "task", "IF.coordinator", "complete", "INFO")            \
    X(TASK_FAIL, "task", "IF.coordinator", "fail", "WARN")                    \
    X(TASK_EXPIRE, "task", "IF.coordinator", "expire", "WARN")                \
    X(TASK_DEAD, "task", "IF.coordinator", "dead", "HIGH")                    \
    X(TASK_CANCEL, "task", "IF.coordinator", "cancel", "INFO")                \
    X(TASK_BLOCK, "task", "IF.coordinator", "block", "WARN")                  \
    X(TASK_UNBLOCK, "task", "IF.coordinator", "unblock", "INFO")              \
    X(TASK_REPLAY, "task", "IF.coordinator", "replay", "WARN")                \
    X(TASK_YIELD, "task", "IF.coordinator", "yield", "WARN")                  \
    X(TASK_HELP, "task", "IF.governor", "help_assigned", "INFO")              \
    X(TASK_HELP_WANTED, "task", "IF.governor", "help_wanted", "HIGH")         \
    X(TASK_REFUSED, "refusal", "IF.coordinator", "task_refused", "WARN")         \
    X(COST_INCURRED, "cost", "IF.optimise", "cost_incurred", "INFO")          \
    X(RATES_SET, "rates", "IF.optimise", "rates_set", "HIGH")                 \
    X(BUDGET_SET, "budget", "IF.governor", "budget_set", "HIGH")              \
    X(BUDGET_REMOVE, "budget", "IF.governor", "budget_remove", "HIGH")        \
    X(BUDGET_ENDED, "budget", "IF.governor", "budget_ended", "INFO")          \
    X(BUDGET_NOTICE, "budget", "IF.governor", "budget_notice", "INFO")        \
    X(BUDGET_WARN, "budget", "IF.governor", "budget_warn", "WARN")            \
    X(BUDGET_PAUSE, "budget", "IF.governor", "budget_pause", "WARN")          \
    X(BUDGET_STOP, "budget", "IF.governor", "budget_stop", "HIGH")            \
    X(BUDGET_OVERRUN, "budget", "IF.governor", "budget_overrun", "HIGH")      \
    X(RESERVED, "reservation", "IF.governor", "reserved", "INFO")             \
    X(RELEASED, "reservation", "IF.governor", "released", "INFO")             \
    X(RESERVATION_EXPIRED, "reservation", "IF.governor", "expired", "WARN")   \
    X(RESERVATION_DANGLING, "reservation", "IF.governor", "dangling", "WARN") \
    X(BREAKER_TRIPPED, "breaker", "CircuitBreaker", "tripped", "HIGH")        \
    X(BREAKER_CLOSED, "breaker", "CircuitBreaker", "closed", "INFO")          \
    X(BREAKER_RESET, "breaker", "CircuitBreaker", "reset", "HIGH")            \
    X(PUBLISHER_ADD, "publisher", "CapabilityRegistry", "publisher_add", "HIGH")       \
    X(PUBLISHER_REVOKE, "publisher", "CapabilityRegistry", "publisher_revoke", "HIGH") \
    X(CAPABILITY_ALLOW, "capability", "CapabilityRegistry", "allow", "HIGH")           \
    X(CAPABILITY_REVOKE, "capability", "CapabilityRegistry", "revoke", "HIGH")         \
    X(CAPABILITY_LOAD, "capability", "CapabilityRegistry", "load", "INFO")             \
    X(CAPABILITY_LOAD_REFUSED, "refusal", "CapabilityRegistry", "load_refused", "WARN") \
    X(CAPABILITY_PLANNED, "capability", "IF.chassis", "planned", "INFO")      \
    X(CAPABILITY_DENIED, "capability", "IF.chassis", "denied", "WARN")        \
    X(CAPABILITY_REFUSED, "refusal", "IF.chassis", "capability_refused", "WARN") \
    X(CAPABILITY_INTENT, "capability", "IF.chassis", "intent", "INFO")        \
    X(CAPABILITY_OUTCOME, "capability", "IF.chassis", "outcome", "INFO")      \
    X(CAPABILITY_FAILED, "capability", "IF.chassis", "failed", "WARN")        \
    X(SANDBOX_VIOLATION, "capability", "IF.chassis", "sandbox_violation", "HIGH") \
    X(CAPABILITY_DANGLING, "capability", "IF.chassis", "dangling", "HIGH")    \
    X(CAPABILITY_CLOSED, "capability", "IF.chassis", "closed", "WARN")                      \
    X(SECRET_SET, "secret", "SecretVault", "set", "HIGH")                     \
    X(SECRET_ROTATE, "secret", "SecretVault", "rotate", "INFO")               \
    X(SECRET_REVOKE, "secret", "SecretVault", "revoke", "WARN")               \
    X(SECRET_VOIDED, "secret", "SecretVault", "voided", "WARN")               \
    X(SECRET_GET, "secret", "SecretVault", "get", "INFO")                     \
    X(SECRET_DENIED, "refusal", "SecretVault", "get_denied", "WARN")
enum ifab_event {
#define IFAB_E_(name, type, component, operation, severity) IFAB_EVENT_##name,
    IFAB_EVENT_MAP(IFAB_E_)
#undef IFAB_E_
        IFAB_EVENT_COUNT
};
struct ifab_event_info {
    const char *type, *component, *operation, *severity;
};
const struct ifab_event_info *ifab_event_info(enum ifab_event event);

struct ifab_entry_cost { /* what was spent: the member "cost" */
    uint64_t usd_micro, tokens_in, tokens_out, calls; /* each <= 2^53-1 */
    struct ifab_view model;                           /* size 0: left out */
    const uint8_t *rates32;                           /* digest of the price table that gave usd_micro; NULL: it was said */
};
struct ifab_entry { /* what a caller fills in; every view borrowed until the call returns */
    enum ifab_event event;
    struct ifab_view log;          /* "main" */
    uint64_t index;
    ifab_usec time;                /* wall; never decreases: the caller takes max(last, wall) */
    struct ifab_view actor;        /* "if://agent/NAME", "if://fabric/ORIGIN", "uid:1000" */
    struct ifab_view why;          /* text; or empty with why_from set */
    bool has_why_from;
    uint64_t why_from;             /* index of the entry whose why is inherited */
    uint8_t trace16[16];           /* all zero: none, "trace" is then null */
    struct ifab_view subject;      /* message id, talent URI, … */
    struct ifab_view refs[16];
    size_t ref_count;
    struct ifab_view payload;      /* canonical JSON object, put in as it is; empty: payload is {} */
    uint8_t prev_hash32[32];
    const struct ifab_entry_cost *cost; /* NULL: none */
};
/* Appends the canonical entry. IFAB_TOO_LARGE above IFAB_ENTRY_MAX (buf unchanged); IFAB_NOMEM. */
IFAB_MUST_CHECK ifab_status ifab_entry_write(const struct ifab_entry *entry, struct ifab_buf *buf);

/* The right edge of the tree: enough to append and to compute the root. */
struct ifab_tree {
    uint64_t size;
    uint8_t edge[64][32]; /* edge[i]: root of the perfect subtree of 2^i leaves, where bit i of size is set */
};
void ifab_leaf_hash(struct ifab_view entry, uint8_t ret_hash32[32]);
void ifab_node_hash(const uint8_t left32[32], const uint8_t right32[32], uint8_t ret_hash32[32]);
void ifab_tree_append(struct ifab_tree *self, const uint8_t leaf32[32]);
void ifab_tree_root(const struct ifab_tree *self, uint8_t ret_root32[32]); /* of the empty tree: SHA-256("") */
#define IFAB_TREE_PACKED_MAX (8 + 64 * 32)
size_t ifab_tree_pack(const struct ifab_tree *self, uint8_t ret_bytes[IFAB_TREE_PACKED_MAX]); /* size, then edge hashes of set bits, low to high */
bool ifab_tree_unpack(struct ifab_view bytes, struct ifab_tree *ret_tree);

/* Reads stored node hashes: level 0 = leaves; node (level, i) covers [i << level, (i + 1) << level). */
typedef ifab_status ifab_node_fn(void *user, unsigned level, uint64_t index, uint8_t ret_hash32[32], struct ifab_error *err);
/* RFC 6962 2.1.1 / 2.1.2 proofs. ret_path: caller's room for 64 hashes. IFAB_INVALID: index >= size, old > new. */
ifab_status ifab_proof_inclusion(uint64_t index, uint64_t size, ifab_node_fn *node, void *user, uint8_t ret_path[][32], size_t *ret_count,
                                 struct ifab_error *err);
ifab_status ifab_proof_consistency(uint64_t old_size, uint64_t new_size, ifab_node_fn *node, void *user, uint8_t ret_path[][32],
                                   size_t *ret_count, struct ifab_error *err);
/* RFC 9162 2.1.3.2, 2.1.4.2. */
bool ifab_proof_inclusion_verify(uint64_t index, uint64_t size, const uint8_t leaf32[32], const uint8_t path[][32], size_t count,
                                 const uint8_t root32[32]);
bool ifab_proof_consistency_verify(uint64_t old_size, uint64_t new_size, const uint8_t old_root32[32], const uint8_t new_root32[32],
                                   const uint8_t path[][32], size_t count);
/* Root of [0, size) from stored nodes. */
ifab_status ifab_tree_root_of(uint64_t size, ifab_node_fn *node, void *user, uint8_t ret_root32[32], struct ifab_error *err);

/* C2SP tlog-checkpoint body: "<origin>\n<size>\n<base64 root>\n". */
struct ifab_checkpoint {
    struct ifab_view origin; /* borrowed from the text */
    uint64_t size;
    uint8_t root32[32];
};
ifab_status ifab_checkpoint_write(const struct ifab_checkpoint *checkpoint, struct ifab_buf *text);
ifab_status ifab_checkpoint_read(struct ifab_view text, struct ifab_checkpoint *ret_checkpoint, struct ifab_error *err);

/* A new key of the log: a signed note of the old and the new one over the tree so far. docs/formats/checkpoint-tiles.md. */
struct ifab_rotation {
    struct ifab_view origin; /* borrowed from the note */
    uint64_t size;           /* the tree that the old key hands over; its entry stands at this index */
    uint8_t root32[32], from32[32], to32[32];
};
ifab_status ifab_rotation_write(struct ifab_view origin, uint64_t size, const uint8_t root32[32], const struct ifab_signer *from,
                                const struct ifab_signer *to, struct ifab_buf *note);
/* Form only. IFAB_INVALID. */
ifab_status ifab_rotation_read(struct ifab_view note, struct ifab_rotation *ret_rotation, struct ifab_error *err);
/* And both signatures. IFAB_DENIED: one is missing or wrong. */
ifab_status ifab_rotation_verify(struct ifab_view note, struct ifab_rotation *ret_rotation, struct ifab_error *err);
/*
 * The payload {"act", "note", "request"} of the entry: the note as above, and the act of the admin who asked for just this new key. Whether the
 * key that signed the act (*ret_admin32) is an admin's, only the log can tell. IFAB_INVALID, IFAB_DENIED, IFAB_NOMEM. origin is borrowed from payload.
 */
#define IFAB_ROTATION_ROUTE "POST /v1/log-keys/rotate"
struct ifab_json;
ifab_status ifab_rotation_payload_verify(const struct ifab_json *payload, struct ifab_rotation *ret_rotation, uint8_t ret_admin32[32],
                                         struct ifab_error *err);

/* C2SP tlog-tiles paths below the log's prefix: "tile/<L>/<N>[.p/<W>]", "tile/entries/<N>[.p/<W>]"; N in groups x001/x234/067. */
struct ifab_tile {
    bool entries;    /* entry bundle */
    unsigned level;  /* 0..63, hash tiles */
    uint64_t number;
    unsigned width;  /* 1..256; 256 = full */
};
bool ifab_tile_parse(struct ifab_view path, struct ifab_tile *ret_tile);
void ifab_tile_format(const struct ifab_tile *tile, char ret_path[64]);
/* Entry bundle: each entry as big-endian uint16 length and bytes (tlog-tiles). */
void ifab_bundle_put(struct ifab_buf *buf, struct ifab_view entry);
/* Takes the next entry off *bundle. false at the end or when malformed (then *bundle is not empty). */
bool ifab_bundle_next(struct ifab_view *bundle, struct ifab_view *ret_entry);
#endif

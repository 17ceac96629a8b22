#ifndef FABRIC_FABRIC_H
#define FABRIC_FABRIC_H
/*
 * The state machine over all cores: decide reads, apply changes memory. DESIGN section 4; INV-14. Pure.
 *
 *   shell: prepare -> decide(const) -> apply -> (commit) -> reply
 *
 * All state but the volatile meters is a set of records (kind, number, bytes), replay tags and the head of the log. apply() takes an outcome in by the
 * very functions that read the store at a start, so replaying outcomes rebuilds the state.
 * Threads: one (the loop).
 */
#include "base/arena.h"
#include "base/code.h"
#include "base/time.h"
#include "capability/plan.h"
#include "capability/registry.h"
#include "connect/envelope.h"
#include "connect/order.h"
#include "connect/replay.h"
#include "coordinator/coordinator.h"
#include "governor/breaker.h"
#include "governor/money.h"
#include "governor/prices.h"
#include "guard/guard.h"
#include "secret/secret.h"
#include "talent/access.h"
#include "talent/talent.h"
#include "witness/witness.h"

/* Kinds of records; the numbers are on disk and never reused. Kinds from 128 on are volatile: memory only, lost at a restart. */
enum ifab_kind {
    IFAB_KIND_META = 1,   /* number 0: struct ifab_meta */
    IFAB_KIND_TALENT = 2, /* trust: canonical JSON, covered by trust_root */
    IFAB_KIND_SEQUENCE = 3,
    IFAB_KIND_CONVERSATION = 4,
    IFAB_KIND_DECISION = 5,
    IFAB_KIND_BUCKET = 6,
    IFAB_KIND_IDEMPOTENCY = 7,
    /* 8 and 9 are the shell's */
    IFAB_KIND_TOKEN = 10,  /* trust, as IFAB_KIND_TALENT */
    IFAB_KIND_INVITE = 11, /* trust */
    IFAB_KIND_LOG_KEY = 12, /* trust: number = how many-th change of the log's key, {"note":…} */
    /* 13 is the shell's */
    IFAB_KIND_SWARM = 14, /* trust */
    IFAB_KIND_TASK = 15,
    IFAB_KIND_BUDGET = 16,       /* trust */
    IFAB_KIND_BUDGET_STATE = 17, /* number = its budget's */
    IFAB_KIND_RESERVATION = 18,
    IFAB_KIND_BREAKER = 19,
    IFAB_KIND_TASK_CLOSED = 20,  /* number = the task's */
    IFAB_KIND_PRICES = 22,       /* number 1, trust: the dated price table */
    IFAB_KIND_PUBLISHER = 23,    /* trust, as the next two: capability/registry.h */
    IFAB_KIND_ALLOWED = 24,
    IFAB_KIND_REVOCATION = 25,
    IFAB_KIND_PLAN = 28,         /* what a capability is to do, or is doing */
    IFAB_KIND_SECRET = 26,       /* trust, as the next: secret/secret.h; never a byte of a value */
    IFAB_KIND_VAULT = 27,        /* number 1: which vault file holds them all */
    IFAB_KIND_SWARM_HELP = 40,   /* number = the swarm's: what its help came to */
    IFAB_KIND_METER = 128,  /* number = talent */
    IFAB_KIND_TOKENS = 129, /* bucket of a (talent, capability) */
    IFAB_KIND_CALLS = 131,  /* bucket of a (talent, capability): its calls */
    IFAB_KIND_COURSE = 130, /* number 0: whose turn it is among the queues */
    IFAB_KIND_HEARD = 140,  /* number = swarm: i64 run, when it was last heard of */
    IFAB_KIND_LACK = 141,   /* number = place in the table: struct ifab_lack, whose refusal stands in the log */
};

struct ifab_fabric_settings {
    char origin[300];          /* "name/8hex" */
    char log[IFAB_NAME_MAX + 1]; /* "main" */
    ifab_usec skew;
    struct ifab_guard_rules rules;
    struct ifab_replay_limits replay;
    struct ifab_conversation_limits conversations;
    uint32_t rate_per_second, rate_burst;            /* messages a talent: 302 */
    uint32_t cost_rate, cost_burst;                  /* cost reports and reservations a (talent, capability): 302 */
    struct ifab_slo slo;                             /* of swarms, behind their reputation */
    uint32_t refusals_per_second;                    /* entries about refusals a talent: 10 */
    uint64_t refusal_bytes_per_day;                  /* of them; past that they are counted */
    uint8_t tag_key16[16];                           /* keyed tags of replay memory and claims */
    uint64_t seed;                                   /* of hash tables */
    uint64_t fence_offset;                           /* of a new incarnation; a stored one wins */
    const char (*sensitive_scopes)[129];             /* grants of these need acts of two admins of different owners; borrowed for the fabric's life */
    size_t sensitive_count;
    char fabric_actor[320];                          /* "if://fabric/ORIGIN" */
};
void ifab_fabric_settings_default(struct ifab_fabric_settings *ret_settings);

/* Who asks, as the shell established it. */
enum ifab_principal_kind { IFAB_PRINCIPAL_NONE = 0, IFAB_PRINCIPAL_UID, IFAB_PRINCIPAL_TALENT };
struct ifab_principal {
    enum ifab_principal_kind kind;
    enum ifab_role role;
    uint32_t uid, talent;
    char actor[96]; /* "uid:1000", "if://agent/NAME" */
};
/* A signed admin act (SURFACE section 3) whose signature was good under the key registered in version key_version of talent's record. */
struct ifab_admin_act {
    bool present;
    uint32_t talent;
    uint64_t key_version;
    uint8_t pubkey32[32], digest16[16];
    ifab_usec issued_at;
    uint8_t nonce[64];
    size_t nonce_size;
    char why[1025];
    struct ifab_view text; /* canonical form, for the entry of an act that has to be proven later; size 0: its why may not stand in the log */
};
#define IFAB_ADMIN_ACT_TTL (300 * IFAB_SECOND)

enum ifab_command_type {
    IFAB_COMMAND_NONE = 0,
    IFAB_COMMAND_INIT,         /* entry 0: u.init */
    IFAB_COMMAND_MESSAGE,      /* u.message */
    IFAB_COMMAND_VOTE,         /* u.vote */
    IFAB_COMMAND_TALENT,       /* u.talent */
    IFAB_COMMAND_ERASE,        /* u.note: subject = message id, index */
    IFAB_COMMAND_ANCHORED,     /* u.note */
    IFAB_COMMAND_CLOCK_JUMP,   /* u.note: text */
    IFAB_COMMAND_CLOCK_ACCEPT, /* u.note; 409 while no clock is in doubt */
    IFAB_COMMAND_BACKUP,       /* u.note: a copy was made; text says where and of how many entries */
    IFAB_COMMAND_LOG_KEY,      /* u.log_key: the log gets a new key; an admin's act */
    IFAB_COMMAND_RULES,        /* u.rules: the rule set changed; every open decision is routed again */
    IFAB_COMMAND_ROUTE,        /* u.route: one open decision under the rules in force, with its message */
    IFAB_COMMAND_TICK,         /* what is due: deadlines, refusal counts, the dead */
    IFAB_COMMAND_TOKEN,        /* u.access: a token is made, or revoked */
    IFAB_COMMAND_INVITE,       /* u.access: a one-time code with which a talent enrols itself */
    IFAB_COMMAND_ENROLL,       /* u.enroll: its use; the new key's signature was good */
    IFAB_COMMAND_SWARM,        /* u.swarm: registered, or registered again */
    IFAB_COMMAND_TASK_CREATE,  /* u.task */
    IFAB_COMMAND_TASK_CLAIM,   /* u.claim */
    IFAB_COMMAND_HEARTBEAT,    /* u.heartbeat: a swarm is there. No entry; nothing durable */
    IFAB_COMMAND_TASK_ACT,     /* u.task_act: what a holder, its maker or an operator does to it */
    IFAB_COMMAND_RESTATE,      /* u.restate: of the old fabric's, after RESTORE and before anything is served */
    IFAB_COMMAND_RESTORE,      /* u.restore: a new origin goes on from an old log */
    IFAB_COMMAND_BUDGET,       /* u.budget: a limit is set, or taken away; an admin act */
    IFAB_COMMAND_RATES,        /* u.rates: the price table; an admin act */
    IFAB_COMMAND_COST,         /* u.cost: what was spent without a reservation */
    IFAB_COMMAND_RESERVE,      /* u.cost */
    IFAB_COMMAND_SETTLE,       /* u.cost: a reservation ends with what it did cost, or is released */
    IFAB_COMMAND_BREAKER_RESET, /* u.breaker */
    IFAB_COMMAND_PUBLISHER,    /* u.publisher: added, or revoked; an admin act */
    IFAB_COMMAND_CAPABILITY,   /* u.capability: allowed, or revoked; an admin act */
    IFAB_COMMAND_CAPABILITY_LOAD, /* u.load: an attempt to load, with what was found on disk; always an entry */
    IFAB_COMMAND_PLAN,         /* u.plan: what a capability is to do is fixed */
    IFAB_COMMAND_APPLY,        /* u.apply: the intent; when it is durable the shell does it and says so with: */
    IFAB_COMMAND_OUTCOME,      /* u.called: what became of an intent; the fabric's own */
    IFAB_COMMAND_PLAN_CLOSE,   /* u.close: an operator says what became of a dangling intent */
    IFAB_COMMAND_SECRET,       /* u.secret: set, rotated, revoked; an admin act */
    IFAB_COMMAND_SECRET_GET,   /* u.secret_get: would its value be given to this origin? An entry either way */
};
enum ifab_talent_act { IFAB_ACT_ADD, IFAB_ACT_GRANT, IFAB_ACT_REVOKE, IFAB_ACT_ROTATE, IFAB_ACT_TLS_KEY, IFAB_ACT_REMOVE };

struct ifab_cost { /* as a request says it: {"usd_micro"?,"tokens_in"?,"tokens_out"?,"calls"?,"model"?} */
    bool has_usd;                                     /* else by the price table, where a model is named */
    uint64_t usd_micro, tokens_in, tokens_out, calls; /* <= IFAB_MONEY_MAX */
    struct ifab_view model;
};
struct ifab_cost_request {
    struct ifab_cost cost;
    struct ifab_view talent, provider, capability, swarm; /* whom it is counted for; talent: the caller's own when it is an agent */
    struct ifab_view operation;
    struct ifab_view id;          /* SETTLE: "rsv-…" */
    bool release;                 /* SETTLE: nothing was spent */
    bool urgent;                  /* RESERVE: P0 */
    ifab_usec ttl;                /* RESERVE: released then */
};
#define IFAB_RESERVATION_TTL_MAX IFAB_HOUR
/* What a talent of role agent may report at once: a slip or a lie cannot use up the budgets of all. */
#define IFAB_COST_REPORT_USD_MAX    ((uint64_t)1000000000) /* $1,000 */
#define IFAB_COST_REPORT_TOKENS_MAX ((uint64_t)1000000000)
#define IFAB_COST_REPORT_CALLS_MAX  ((uint64_t)1000000)

struct ifab_registered { /* one record of the registry, as another fabric had it */
    uint8_t kind;
    struct ifab_view subject, bytes;
};
/*
 * How a call of a guest ended; X(NAME, refusal, what the breaker counts, text, hint). ADDRESS to BUSY are the fabric's own refusals, of which the guest
 * made its end: the provider has no part in them. From NOT_DONE on nothing of the guest ran: it costs nothing, and the plan lives on. A hint is no more
 * than can be said of every such end; what became of the plan is added to it. Hints stand in JSON as they are: no quotes, no backslash.
 */
#define IFAB_CALL_END_MAP(X)                                                                                                                  \
    X(OK, NONE, GOOD, "done", "")                                                                                                             \
    X(CALLER, INVALID_PARAMS, CALLER, "the capability refused what it was asked", "")                                                         \
    X(PROVIDER, PROVIDER_UNAVAILABLE, FAILED, "the provider failed or did not answer", "")                                                    \
    X(DEADLINE, DEADLINE_EXCEEDED, FAILED, "the call did not end in its time", "")                                                            \
    X(TRAP, SANDBOX_VIOLATION, FAILED, "the guest trapped", "")                                                                               \
    X(VIOLATION, SANDBOX_VIOLATION, FAILED, "the guest was stopped at a wall of its sandbox",                                                 \
      "Look at the message beside the rows of http and requires_secrets in its manifest (ifctl capability show). ")                           \
    X(REVOKED, CAPABILITY_NOT_ALLOWED, CALLER, "the capability was revoked while it ran", "")                                                 \
    X(ADDRESS, PERMISSION_DENIED, CALLER, "the address is not a public one, and no exception names it",                                       \
      "Correct the address, or let it through with a row CAPABILITY NET PORT of egress.allow in ifd.yaml and start ifd again. ")              \
    X(DRY_WRITE, PERMISSION_DENIED, CALLER, "a dry run was refused a write",                                                                  \
      "A dry run gets through rows of http that the manifest marks read, and keeps no values; what this operation writes only an apply does. ") \
    X(DENIED, PERMISSION_DENIED, CALLER, "a request of it was not permitted",                                                                 \
      "A secret goes to the origins of its record alone, and nowhere that a redirect led: see ifctl secret list and the manifest's rows. ")   \
    X(NO_SECRET, SECRET_NOT_FOUND, CALLER, "a secret that it needs cannot be used",                                                           \
      "Set it with ifctl secret set NAME --for ORIGIN; requires_secrets in its manifest names both. ")                                        \
    X(UNNAMED_SECRET, SECRET_NOT_FOUND, CALLER, "it asked for a secret that its manifest does not name",                                      \
      "Setting a secret does not help: only its publisher can add the name to requires_secrets, in a new version of it. ")                    \
    X(LIMITED, RATE_LIMIT_EXCEEDED, CALLER, "it asked for more at a time than its limits let pass",                                           \
      "Wait a little; limits.rps and limits.burst in its manifest say how much passes. ")                                                     \
    X(BUSY, QUEUE_FULL, CALLER, "too many exchanges were under way", "Wait a little. ")                                                       \
    X(NOT_DONE, QUEUE_FULL, CALLER, "no sandbox was free; nothing was done", "")                                                              \
    X(UNCONFIGURED, INVALID_CONFIG, CALLER, "its configuration lacks a value; nothing was done", "Add the row to capabilities.config in ifd.yaml, and start ifd again. ") \
    X(GONE, CAPABILITY_NOT_ALLOWED, CALLER, "the capability was revoked before it began; nothing was done", "")
#define IFAB_F_(name, code, verdict, text, hint) IFAB_CALL_##name,
enum ifab_call_end { IFAB_CALL_END_MAP(IFAB_F_) IFAB_CALL_END_COUNT };
#undef IFAB_F_
#define IFAB_CALL_OUTPUT_MAX ((size_t)512 << 10) /* bytes of a result: it is kept beside its entry, and told */

struct ifab_command { /* everything borrowed until apply returns; signatures were checked before */
    enum ifab_command_type type;
    const struct ifab_principal *principal;
    const struct ifab_admin_act *act; /* NULL or not present: none */
    const struct ifab_admin_act *second; /* of a second admin, over the same request; NULL or not present: none */
    uint8_t mint16[16];               /* a fresh UUIDv7: trace when none came with the command */
    uint8_t trace16[16];              /* what came with the request; zero: none. An envelope's own trace goes before it */
    struct ifab_view refs[16];        /* stand in every entry of this step; checked by the shell */
    size_t ref_count;
    struct ifab_view why;             /* text of the person */
    struct ifab_view idempotency;     /* key of the request; size 0: none. Messages: must equal their id */
    uint8_t request16[16];            /* digest of (principal, method, route, key) and */
    uint8_t body32[32];               /* of the body, when idempotency is given */
    bool ending;                      /* TICK: the daemon ends, what is counted is written down now */
    union {
        struct {
            uint8_t operator_key32[32];
            const char *version;
        } init;
        struct {
            const struct ifab_envelope *envelope;
            uint32_t talent;
            uint64_t key_version;               /* of the record that verified it: compared again */
            const struct ifab_guard_facts *facts; /* what the envelope says and the shell derived (redaction, domains) */
        } message;
        struct {
            uint32_t talent;
            uint64_t key_version;
            uint8_t pubkey32[32], digest16[16];
            uint8_t decision_id16[16], message_digest32[32], policy_digest32[32];
            struct ifab_view id_text, log, why;
            enum ifab_vote_verdict verdict;
            ifab_usec issued_at, expires_at;
            uint8_t nonce[64];
            size_t nonce_size;
        } vote;
        struct {
            enum ifab_talent_act act;
            struct ifab_talent_request request; /* wall is set by the step */
        } talent;
        struct {
            struct ifab_access_request request; /* wall is set by the step */
            struct ifab_view revoke;            /* id of the token to be revoked; size 0: one is made */
        } access;
        struct {
            struct ifab_budget_request request; /* wall is set by the step */
            bool remove;                        /* request.id alone says which */
        } budget;
        struct {
            const struct ifab_json *table;
        } rates;
        struct ifab_cost_request cost;
        struct {
            enum ifab_breaker_kind kind;
            struct ifab_view name;
        } breaker;
        struct {
            struct ifab_publisher_request request; /* wall is set by the step */
            bool revoke;                           /* request.name alone says which */
        } publisher;
        struct {
            const struct ifab_manifest *manifest; /* allow; NULL: revoke */
            struct ifab_revoke_request revoke;    /* wall is set by the step */
        } capability;
        struct {
            struct ifab_view id, version;     /* version size 0: the largest that is allowed */
            const struct ifab_module *module; /* of its bytes as opened; NULL: they could not be, and problem says why */
            struct ifab_view problem;
            uint32_t talent;                  /* for whose call; 0: nobody's. A refusal is this talent's */
        } load;
        struct {
            struct ifab_secret_request request; /* wall is set by the step */
            struct ifab_secret_mark mark;       /* of the vault as it is staged with this change: lent by the shell for the step */
            enum ifab_code code;                /* why nothing is staged, with refusal; NONE: it is */
            struct ifab_refusal refusal;
        } secret;
        struct {
            struct ifab_view name, origin;
            uint64_t plan, intent; /* of the call that is about to use it; 0: an operator looks whether it would be given */
        } secret_get;
        struct {
            uint8_t code_hash32[32], pubkey32[32];
            struct ifab_view source; /* who is at the other end: wrong codes are counted for it */
        } enroll;
        struct {
            struct ifab_view subject, text; /* text: canonical JSON object for the payload, may be empty */
            bool missing;                   /* what it is about is not there: 404, but for a kept answer */
        } note;
        struct {
            const struct ifab_signer *from, *to; /* both sign the handover over the tree as it is in the step; NULL: the key asked for is not there */
            struct ifab_view request;            /* exact bytes that the act is about */
        } log_key;
        struct {
            const struct ifab_guard_rules *rules; /* its set, if any, outlives every step until the next RULES has been applied */
        } rules;
        struct {
            uint64_t number;                      /* of the decision's record */
            const struct ifab_envelope *envelope; /* read from the stored bytes; NULL: they are gone */
            const struct ifab_guard_facts *facts; /* of it */
        } route;
        struct {
            struct ifab_swarm_request request; /* wall is set by the step */
        } swarm;
        struct {
            struct ifab_view id, type, swarm; /* id, swarm: may be empty: minted from mint16; open to all */
            const struct ifab_view *needs, *depends_on;
            size_t need_count, depends_count;
            uint8_t priority;
            uint32_t max_attempts;            /* 0: 3 */
            ifab_usec deadline, not_before;   /* wall; IFAB_NEVER, 0 */
            int64_t budget[IFAB_COUNT_OF_UNITS]; /* -1: not limited */
            struct ifab_view payload;         /* canonical JSON, kept beside the entry; may be empty */
            bool waits; /* its maker does: a full queue of the policy `block` does not refuse it, but says so in reply.waits */
        } task;
        struct {
            struct ifab_view id, swarm; /* id: may be empty: whatever is next */
            const struct ifab_view *skills;
            size_t skill_count;         /* 0: all of the swarm's */
            ifab_usec lease;            /* 0: default */
        } claim;
        struct {
            struct ifab_view swarm;
        } heartbeat;
        struct {
            struct ifab_view id;
            enum ifab_task_event event; /* of a holder, CANCEL or REPLAY */
            struct ifab_fence fence;
            ifab_usec lease;
            int percent;                /* -1: not said */
            struct ifab_view note, result; /* result: canonical JSON, kept beside the entry; may be empty */
            const struct ifab_view *needs; /* BLOCK */
            size_t need_count;
            bool has_cost;              /* COMPLETE, FAIL, POISON, SHUTDOWN */
            struct ifab_cost cost;
        } task_act;
        struct {
            struct ifab_view id, version;  /* "if://capability/NAME"; version empty: the newest that is allowed */
            struct ifab_view operation;    /* empty: the default one */
            const struct ifab_json *params; /* NULL: none */
            const struct ifab_module *module; /* its bytes as they are on disk now; NULL: they could not be read */
            bool has_cost;                 /* the guest's own estimate, else the manifest's */
            uint64_t usd_micro, tokens, calls;
            enum ifab_call_end end;        /* of the guest's own look at it; OK also where it was not asked. Else problem says why */
            struct ifab_view summary, problem; /* the guest's own words, at most 256 bytes, redacted; may be empty */
            struct ifab_view effects;          /* what it says it will do: [{"target","type"}], redacted, at most IFAB_PLAN_EFFECTS_MAX; may be empty */
        } plan;
        struct {
            struct ifab_view id; /* of the capability, without version; must be the plan's */
            uint8_t hash32[32];
            const struct ifab_module *module; /* as above */
            bool dry_run;
        } apply;
        struct {
            uint64_t number, intent; /* of the plan, and of the entry that this is the outcome of */
            enum ifab_call_end end;
            uint64_t fuel;
            ifab_usec took;
            uint32_t host_calls;    /* that reached outside */
            struct ifab_view text;  /* what went wrong, at most 256 bytes, redacted; may be empty */
            struct ifab_view output; /* canonical JSON, redacted, <= IFAB_CALL_OUTPUT_MAX; may be empty */
            bool has_cost;          /* what the guest says it did cost */
            struct ifab_cost cost;
            uint32_t caller; /* uid of the principal whose Idempotency-Key the command has; the answer is kept for it */
        } called;
        struct {
            uint8_t plan16[16];
            bool done; /* else: it came to nothing */
        } close;
        struct { /* one of them, and help with its swarm; the others NULL */
            const struct ifab_swarm *swarm;
            const struct ifab_swarm_help *help; /* of the swarm; NULL: none */
            const struct ifab_task *task;
            struct ifab_view payload; /* the task's bytes; gone: empty */
            const struct ifab_closed_task *closed;
            const struct ifab_registered *registered;
            const struct ifab_plan *plan; /* an intent without an outcome: it dangles */
            const struct ifab_secret *secret; /* its value stays with the old vault: void */
        } restate;
        struct {
            struct ifab_view old_checkpoint; /* signed note */
            struct ifab_view salvage; /* canonical JSON object: what was kept of a damaged log and what was not; size 0: a whole one */
            struct ifab_view old_origin;
            uint64_t old_size;
            ifab_usec old_wall; /* the latest time the old fabric is known to have seen */
            ifab_usec old_skew; /* its largest time.skew */
            ifab_usec old_issued_after; /* of a restore before this one; INT64_MIN: none */
            const char *version;
            const struct ifab_talents *talents; /* of the old log: each stands whole in an entry of the new one */
            const struct ifab_decisions *open;  /* what waited there: void, each in an entry of its own; NULL: nothing */
            size_t tokens, invites;             /* of the old log, not ended: void */
            const struct ifab_money *money;     /* budgets go on with what was spent; reservations come back as dangling; NULL: none */
            const struct ifab_breakers *breakers; /* as they were; NULL: none */
            const struct ifab_prices *prices;   /* NULL: none */
            const uint64_t *dangling;           /* old entries whose effect was not known to be done (bytes to be erased) */
            size_t dangling_count;
        } restore;
    } u;
};

struct ifab_reply {
    enum ifab_code code;            /* NONE: an answer; else refusal */
    bool is_decision;               /* body is a receipt with `decision` */
    enum ifab_decision decision;
    bool first;                     /* an idempotent repeat: the shell reads the receipt of entry first_index after the commit */
    uint64_t first_index;
    bool replayed;                  /* body is the kept answer of an idempotent request */
    bool with_payload;              /* a claim: the shell puts the bytes beside entry payload_index into the body's task, as "payload" */
    uint64_t payload_index;
    struct ifab_fence fence;        /* a claim that was made: given back when nobody could be told */
    ifab_usec decided_after;        /* a vote that ended a decision: since it was admitted, at least 1; else 0 */
    struct ifab_task_number task;
    uint64_t plan, intent;          /* APPLY: what is to be done now that it is durable; 0: nothing */
    struct ifab_swarm_number waits; /* a create that came to a full queue: nothing has been done. When this swarm's has room, it is asked again */
    int http;                       /* 0: the code's, or 200 */
    struct ifab_view body;          /* JSON; in the arena. Refusals: empty, made from refusal */
    struct ifab_refusal refusal;
    uint8_t trace16[16];
};
struct ifab_outcome_entry {
    uint64_t index;
    struct ifab_view bytes, message; /* message: the exact envelope bytes to keep beside it; size 0: none */
    uint8_t hash32[32], leaf32[32];
};
struct ifab_change {
    uint8_t kind;
    uint64_t number;
    struct ifab_view bytes; /* size 0: deleted */
};
struct ifab_lack { /* what stopped a claim until somebody changes it: a budget without room, a swarm's breaker */
    uint32_t talent, uid; /* who claims: one of them */
    uint64_t swarm;
    uint64_t kind;        /* of what it lacks: IFAB_KIND_BUDGET, IFAB_KIND_BREAKER; as wide as this, so that no byte is padding */
    uint64_t of;          /* its number; 0: nothing */
    uint64_t version;     /* of the budget; of a breaker the entry that opened it */
    ifab_usec since;      /* wall: the budget's period; 0: a breaker */
    uint64_t index;       /* of the entry that says so */
};
struct ifab_outcome {
    struct ifab_arena *arena; /* the caller's: everything below lives there */
    struct ifab_now now;
    struct ifab_outcome_entry *entries;
    size_t entry_count, entry_room;
    struct ifab_change *changes;
    size_t change_count, change_room;
    struct ifab_replay_tag tags[2];
    size_t tag_count;
    struct ifab_reply reply;
    bool set_rules;
    struct ifab_guard_rules rules;
    ifab_usec issued_after;    /* restore: nothing issued up to here is taken; INT64_MIN: unchanged */
    uint64_t looked[2];        /* a TICK: tasks for which help was looked for once more */
    size_t looked_count;
    uint64_t looked_places;
    bool no_circles;           /* a TICK: among the blocked tasks there is none, or none any more */
    struct ifab_view passed;   /* for the answer: members of an object about what a told cost passed, each behind a comma */
    struct ifab_lack lacks;    /* what the claim lacked; of 0: nothing */
    bool ticked;               /* a TICK: the next one is counted from now */
    bool flush_refusals;       /* the counted refusals stand in an entry now */
    const struct ifab_command *command; /* being decided */
    enum { IFAB_ROUTING_AS_BEFORE, IFAB_ROUTING_MORE, IFAB_ROUTING_DONE } routing; /* open decisions under changed rules: more to do at the next TICK */
    enum ifab_code count_code; /* a refusal past its sender's allowance of entries: counted instead. NONE: nothing */
    struct ifab_view count_source;
    uint8_t count_sample16[16];
    bool failed;               /* out of memory while deciding: reply is 500, nothing is applied */
    /* running head while deciding */
    uint64_t next_index;
    uint8_t last_hash32[32];
    ifab_usec last_time;
    uint64_t next_number;      /* of records made in this step */
    struct ifab_buf scratch, payload; /* reused from step to step; owned */
};
void ifab_outcome_init(struct ifab_outcome *self, struct ifab_arena *arena);
void ifab_outcome_begin(struct ifab_outcome *self, struct ifab_arena *arena); /* before every decide */
void ifab_outcome_fini(struct ifab_outcome *self);

struct ifab_fabric;
IFAB_MUST_CHECK ifab_status ifab_fabric_new(const struct ifab_fabric_settings *settings, struct ifab_fabric **ret_fabric, struct ifab_error *err);
void ifab_fabric_free(struct ifab_fabric *self);

/* At a start: every record, every row of tags, then the head. IFAB_CORRUPT: a record that is none, or trust_root differs (INV-16). */
IFAB_MUST_CHECK ifab_status ifab_fabric_load_record(struct ifab_fabric *self, uint8_t kind, uint64_t number, struct ifab_view bytes,
                                                    struct ifab_error *err);
IFAB_MUST_CHECK ifab_status ifab_fabric_load_tags(struct ifab_fabric *self, struct ifab_view packed, ifab_usec wall, struct ifab_error *err);
struct ifab_fabric_head {
    uint64_t size;
    uint8_t root32[32], last_hash32[32], trust_root32[32];
    ifab_usec time;
    uint8_t edge[IFAB_TREE_PACKED_MAX];
    size_t edge_size;
};
IFAB_MUST_CHECK ifab_status ifab_fabric_load_head(struct ifab_fabric *self, const struct ifab_fabric_head *head, struct ifab_error *err);
/*
 * After the last load, before the first step: each swarm was heard of now, since there was nobody who could have; started: leases go on from now as well
 * (DESIGN section 4, Time), else it is the same daemon after a full disk.
 */
void ifab_fabric_resume(struct ifab_fabric *self, struct ifab_now now, bool started);
void ifab_fabric_head(const struct ifab_fabric *self, struct ifab_fabric_head *ret_head);

/*
 * How the guard would decide this message now: {decision, reason, rule, policy_digest, rules, rules_asked, steps, and votes_needed if it would be
 * escalated or is denied for want of voters}. Reads only; admission is not judged, nor whether one more decision may wait. wall: as of a send now.
 * NONE, or 106: the sender is none of ours.
 */
enum ifab_code ifab_fabric_explain(const struct ifab_fabric *self, const struct ifab_envelope *envelope, const struct ifab_guard_facts *facts,
                                   ifab_usec wall, struct ifab_buf *buf, struct ifab_refusal *ret_refusal);

/* Room for one more of everything a step can make. IFAB_NOMEM: do not step, answer 500. */
IFAB_MUST_CHECK ifab_status ifab_fabric_prepare(struct ifab_fabric *self);
/* Reads only: dry-run, falsify and explain stop here. Always fills ret_outcome->reply. outcome was begun. */
void ifab_fabric_decide(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_now now, struct ifab_outcome *ret_outcome);
/* Cannot fail after prepare and decide (a talent's record may need memory: out of memory there ends the process before anything is told). */
void ifab_fabric_apply(struct ifab_fabric *self, const struct ifab_outcome *outcome);
/* Changes of the log's key, oldest first: trees of up to `index` entries are signed by `from`, larger ones by `to` or a later one. */
#define IFAB_LOG_KEYS_MAX 256
struct ifab_log_key_change {
    uint64_t index; /* of its entry */
    uint8_t from32[32], to32[32];
};
const struct ifab_log_key_change *ifab_fabric_log_keys(const struct ifab_fabric *self, size_t *ret_count);
/* At a start: the key of replay tags, when the log's key is not the one it was derived from any more. */
void ifab_fabric_set_tag_key(struct ifab_fabric *self, const uint8_t key16[16]);
/* When the next TICK is due, run time; IFAB_NEVER. */
ifab_usec ifab_fabric_deadline(const struct ifab_fabric *self, struct ifab_now now);
/* Refusals before a valid signature: counted per (code, source) in 1,024 rows, in an entry at most once a minute (INV-01). */
void ifab_fabric_count_refusal(struct ifab_fabric *self, enum ifab_code code, struct ifab_view source, const uint8_t sample16[16], ifab_usec run);
/* After a full disk: what `old` had counted, also into entries that the loaded log does not hold, is counted on in self. */
void ifab_fabric_keep_counts(struct ifab_fabric *self, const struct ifab_fabric *old);

/* What the shell keeps over a restart; written into every commit as record META. */
struct ifab_meta {
    ifab_usec wall, run;         /* at the commit */
    ifab_usec dropped_until;     /* W */
    uint64_t next_number;        /* of records */
    uint64_t fence_offset;       /* of this incarnation */
    ifab_usec issued_after;      /* wall: older messages are 102; set by a restore, INT64_MIN else */
    bool clock_doubt;            /* a jump stands unaccepted */
    ifab_usec skew_most;         /* the largest time.skew so far, in whole seconds: how far ahead of the clock an accepted message may be */
    uint8_t rules32[32];         /* digest of the rule set of the newest rules entry: part of trust_root */
};
#define IFAB_META_PACKED 88
size_t ifab_meta_pack(const struct ifab_meta *meta, uint8_t ret_bytes[IFAB_META_PACKED]);
bool ifab_meta_unpack(struct ifab_view bytes, struct ifab_meta *ret_meta);
void ifab_fabric_meta(const struct ifab_fabric *self, struct ifab_now now, struct ifab_meta *ret_meta);
/* What a reload may change apart from the rules; between two steps. */
struct ifab_fabric_tuning {
    ifab_usec skew;
    uint32_t rate_per_second, rate_burst, cost_rate, cost_burst;
    size_t sensitive_count; /* of the settings' sensitive_scopes, changed in place */
};
void ifab_fabric_tune(struct ifab_fabric *self, const struct ifab_fabric_tuning *tuning);
void ifab_fabric_set_clock_doubt(struct ifab_fabric *self, bool doubt);

/* Read access for the shell's reads of one object; they leave after the commit of what they were computed from. */
const struct ifab_fabric_settings *ifab_fabric_settings(const struct ifab_fabric *self);
const struct ifab_talents *ifab_fabric_talents(const struct ifab_fabric *self);
const struct ifab_accesses *ifab_fabric_accesses(const struct ifab_fabric *self); /* tokens and invites */
const struct ifab_decisions *ifab_fabric_decisions(const struct ifab_fabric *self);
const struct ifab_coordinator *ifab_fabric_coordinator(const struct ifab_fabric *self);
const struct ifab_secrets *ifab_fabric_secrets(const struct ifab_fabric *self); /* what the log knows of them */
/* JSON of one open task; of a swarm: its record with what it does now. */
void ifab_fabric_task_json(const struct ifab_fabric *self, const struct ifab_task *task, struct ifab_now now, struct ifab_buf *buf);
/*
 * Which swarms could do what is needed, best first, and why: {items, needs, strategy}. Swarms without any of the skills are not named. NONE; 208.
 */
struct ifab_fabric_match_ask {
    const struct ifab_view *needs; /* names of skills, 1..IFAB_TASK_NEEDS_MAX */
    size_t need_count;
    struct ifab_view not_this; /* whom not to ask; may be empty */
    struct ifab_view strategy; /* a name of IFAB_STRATEGY_MAP; empty: "score", the one that helpers are chosen by */
    struct ifab_now now;
};
enum ifab_code ifab_fabric_match(const struct ifab_fabric *self, const struct ifab_fabric_match_ask *ask, struct ifab_arena *arena, struct ifab_buf *buf,
                                 struct ifab_refusal *ret_refusal);
void ifab_fabric_swarm_json(const struct ifab_fabric *self, const struct ifab_swarm *swarm, struct ifab_now now, struct ifab_buf *buf);
enum ifab_swarm_state ifab_fabric_swarm_state(const struct ifab_fabric *self, const struct ifab_swarm *swarm, ifab_usec run);
const struct ifab_sequences *ifab_fabric_sequences(const struct ifab_fabric *self);
const struct ifab_replay *ifab_fabric_replay(const struct ifab_fabric *self);
const struct ifab_money *ifab_fabric_money(const struct ifab_fabric *self); /* budgets and reservations */
const struct ifab_breakers *ifab_fabric_breakers(const struct ifab_fabric *self);
const struct ifab_prices *ifab_fabric_prices(const struct ifab_fabric *self);
const struct ifab_registry *ifab_fabric_registry(const struct ifab_fabric *self); /* publishers, allow-list, revocations */
uint64_t ifab_fabric_registry_version(const struct ifab_fabric *self); /* grows with every change of it: what is loaded may have to go (INV-07) */
/*
 * JSON of one allowed capability: {allowed_at, digest, id, lacks_config, manifest?, operations, publisher, revoked, state, summary, version}.
 * lacks: names of its requires_config for which the configuration has no value; the shell knows.
 */
void ifab_fabric_capability_json(const struct ifab_fabric *self, const struct ifab_allowed *allowed, ifab_usec wall, const struct ifab_view *lacks,
                                 size_t lack_count, bool with_manifest, struct ifab_buf *buf);
const struct ifab_plans *ifab_fabric_plans(const struct ifab_fabric *self);
void ifab_fabric_plan_json(const struct ifab_fabric *self, const struct ifab_plan *plan, struct ifab_buf *buf);
/*
 * Has this talent, now, all that a call of this very manifest needs: itself, the grants of capability and scopes, a manifest that may be loaded? INV-07.
 * Talent 0: the fabric's own look at a capability's health, which needs the manifest alone.
 */
bool ifab_fabric_may_call(const struct ifab_fabric *self, uint32_t talent, const struct ifab_manifest *manifest, ifab_usec wall);
/*
 * Would this plan be made now? Reads only, for the shell to ask before it lets a guest look at params: NONE with the manifest that holds, its operation
 * and the params with defaults (in arena); the same refusals as IFAB_COMMAND_PLAN, 003 where a rule denies it.
 */
enum ifab_code ifab_fabric_plan_check(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_now now, struct ifab_arena *arena,
                                      const struct ifab_manifest **ret_manifest, const struct ifab_operation **ret_operation,
                                      const struct ifab_json **ret_params, struct ifab_refusal *ret_refusal);
/* May this principal call it at all, by its role and grants? Reads only, for the shell to ask before it reads a module for a call. */
bool ifab_fabric_may_use(const struct ifab_fabric *self, const struct ifab_principal *principal, struct ifab_view id, struct ifab_view version,
                         struct ifab_now now, const struct ifab_manifest **ret_manifest);
/* JSON of one of each, as lists and answers show it. wall: which period it is. */
void ifab_fabric_budget_json(const struct ifab_fabric *self, const struct ifab_budget *budget, const struct ifab_budget_state *state, ifab_usec wall,
                             struct ifab_buf *buf);
void ifab_fabric_reservation_json(const struct ifab_fabric *self, const struct ifab_reservation *reservation, ifab_usec run, struct ifab_buf *buf);
void ifab_fabric_breaker_json(const struct ifab_fabric *self, const struct ifab_breaker *breaker, ifab_usec run, struct ifab_buf *buf);
uint64_t ifab_fabric_size(const struct ifab_fabric *self);
/* The rule set in force is not the one of the newest rules entry: the shell gives IFAB_COMMAND_RULES before it serves. */
bool ifab_fabric_rules_stale(const struct ifab_fabric *self);
/*
 * The next open decision after `number` that has not been routed under the rules in force and waits for IFAB_COMMAND_ROUTE with its message; NULL: none.
 * Until then no vote, source or deadline ends it. Rule sets without operator rules need no message: those decisions are routed at TICKs.
 */
const struct ifab_open_decision *ifab_fabric_unrouted(const struct ifab_fabric *self, uint64_t number);
uint64_t ifab_fabric_access_version(const struct ifab_fabric *self); /* grows with every change of a token or a talent: who is in may have to go */
uint64_t ifab_fabric_trust_version(const struct ifab_fabric *self); /* grows with every trust record: keyring to be made anew */
/* JSON of one open decision, without envelope. */
void ifab_fabric_decision_json(const struct ifab_fabric *self, const struct ifab_open_decision *decision, struct ifab_buf *buf);
#endif

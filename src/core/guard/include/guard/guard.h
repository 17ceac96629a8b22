#ifndef GUARD_GUARD_H
#define GUARD_GUARD_H
/*
 * Policy: facts in, one of four decisions out; open decisions, votes, storm buckets. DESIGN section 5 Guard, word for word. Pure.
 * INV-06: anything missing, unknown, not finite or in error can only make it stricter; zeroed memory denies.
 */
#include "base/buf.h"
#include "base/code.h"
#include "base/time.h"

#define IFAB_GUARD_SOURCES_MAX 64
#define IFAB_GUARD_VOTERS_MAX 64
#define IFAB_GUARD_RECEIVERS_MAX 64

enum ifab_hazard_bits { IFAB_HAZARD_LEGAL = 1, IFAB_HAZARD_SAFETY = 2, IFAB_HAZARD_CONFLICT = 4, IFAB_HAZARD_UNKNOWN = 8, IFAB_HAZARD_OTHER = 16 };
/* "legal" "safety" "conflict>20%" override; "ethical" "privacy" "financial" "security" "technical" are known and only recorded (OTHER);
 * everything else, other spellings too, is UNKNOWN. */
unsigned ifab_hazard_parse(struct ifab_view name);

/* What the operator's rules say of one message (ruleset.h); zeroed: nothing. Kept with an open decision, for it is evaluated again. */
struct ifab_guard_ruled {
    uint8_t effect; /* enum ifab_rule_effect */
    uint8_t votes;  /* of an escalation; 0: the configured number */
    uint8_t hazards; /* derived, bits */
    char id[65], reason[129];
};
struct ifab_guard_facts { /* of one message; the shell and connect fill it in. Zeroed = nothing known */
    bool is_claim, has_scope, has_confidence, secret_found, second_source_kind /* performative inform or agree */, has_claim_id;
    bool sensitive;              /* its scope names one of the configured sensitive scopes: two votes; set by the fabric when it opens */
    double confidence;           /* normalized */
    unsigned hazards;            /* declared, bits */
    uint8_t claim_key16[16];     /* keyed digest of claim_id */
    uint8_t scope_digest32[32];
    uint8_t domains[IFAB_GUARD_SOURCES_MAX][16]; /* digests of the registrable domains of the evidence URLs */
    size_t domain_count;
    uint8_t hashes[IFAB_GUARD_SOURCES_MAX][16];  /* digests of the evidence hashes */
    size_t hash_count;
    uint8_t parent_performative; /* of the conversation's last message, 1 + its number; 0: it opened the conversation */
    uint8_t parent_hazards;      /* declared by all earlier messages of the conversation, bits */
    struct ifab_guard_ruled ruled; /* step 3 under the rule set of the decision's policy digest */
};

struct ifab_guard_rules { /* the rule set in force; zeroed = none = DENY */
    bool loaded;
    uint8_t digest32[32];            /* SHA-256 of its canonical form */
    const struct ifab_ruleset *set;  /* the operator's rules; NULL: none. Borrowed: outlives every step that may read it */
    ifab_usec hold_deadline;         /* 15 min */
    ifab_usec escalate_deadline;     /* 24 h */
    uint32_t votes_needed;           /* 1 */
    uint32_t hold_burst, escalate_burst;           /* bucket sizes a talent */
    ifab_usec hold_refill, escalate_refill;        /* one token each so many µs */
    uint32_t open_max, open_max_talent;            /* 10,000; 256 */
};
void ifab_guard_rules_default(struct ifab_guard_rules *ret_rules); /* without digest and loaded */

struct ifab_guard_verdict {
    enum ifab_decision decision;
    const char *reason; /* static text, e.g. "policy: hazard override", or the rule's, borrowed from the facts */
    const char *rule;   /* id, static or as reason, e.g. "builtin.hazard" "builtin.low-confidence" "builtin.borderline" "builtin.claim-incomplete"
                           "builtin.default-share" "builtin.secret" "builtin.no-rules" */
    uint32_t votes;     /* that a rule asks for; 0: the configured number */
};
/* All steps are evaluated, the strictest wins, equal ones: the earlier. step2_met: a second source or scope check stands. Never fails. */
void ifab_guard_evaluate(const struct ifab_guard_rules *rules, const struct ifab_guard_facts *facts, bool step2_met,
                         struct ifab_guard_verdict *ret_verdict);

/* One step on its own, for explain. i from 0; *ret_name "hazards", "confidence", …; *ret_answers: it has something to say, then ret_verdict. false: past the end. */
bool ifab_guard_step(size_t i, const struct ifab_guard_rules *rules, const struct ifab_guard_facts *facts, bool step2_met, const char **ret_name,
                     bool *ret_answers, struct ifab_guard_verdict *ret_verdict);

enum ifab_vote_verdict { IFAB_VOTE_APPROVE, IFAB_VOTE_REFUSE, IFAB_VOTE_SCOPE_OK };
struct ifab_voter {
    uint32_t talent;
    uint32_t owner;      /* number of the owner's name in this decision: voters with equal owner count once */
    uint8_t voted;       /* 0 not yet, 1 approve, 2 refuse */
};

struct ifab_open_decision { /* one record of kind DECISION */
    uint64_t number;
    uint8_t id16[16];
    enum ifab_decision state;      /* HOLD or ESCALATE */
    bool step2_met;
    uint32_t talent;               /* proposer */
    uint8_t owner_digest16[16];    /* of the proposer's owner */
    uint64_t index;                /* of the entry that admitted it */
    ifab_usec admitted_at;         /* wall */
    ifab_usec deadline_run;        /* run */
    ifab_usec expires_wall;        /* wall, informative: what the receipt says */
    uint8_t message_digest32[32], policy_digest32[32], topic32[32], trace16[16];
    uint8_t id_tag16[16];          /* replay memory: its decision is updated */
    uint32_t receivers[IFAB_GUARD_RECEIVERS_MAX]; /* talent numbers */
    size_t receiver_count;
    uint32_t votes_needed;
    struct ifab_voter voters[IFAB_GUARD_VOTERS_MAX];
    size_t voter_count;
    struct ifab_guard_facts facts;
};
#define IFAB_OPEN_DECISION_PACKED_MAX 4096
size_t ifab_open_decision_pack(const struct ifab_open_decision *decision, uint8_t ret_bytes[IFAB_OPEN_DECISION_PACKED_MAX]);
bool ifab_open_decision_unpack(struct ifab_view bytes, uint64_t number, struct ifab_open_decision *ret_decision);

struct ifab_decisions; /* table of the open ones and of the storm buckets */
ifab_status ifab_decisions_new(uint64_t seed, struct ifab_decisions **ret);
void ifab_decisions_free(struct ifab_decisions *self);
/* Room for n more decisions, and for n more talents with a bucket or a decision; afterwards so many put and put_bucket cannot fail. A put
 * without room stops the process. IFAB_NOMEM: what was there is unchanged. Numbers begin at 1. */
ifab_status ifab_decisions_reserve(struct ifab_decisions *self, size_t n);
void ifab_decisions_put(struct ifab_decisions *self, const struct ifab_open_decision *decision); /* copies; after reserve cannot fail */
void ifab_decisions_remove(struct ifab_decisions *self, uint64_t number);
const struct ifab_open_decision *ifab_decisions_find(const struct ifab_decisions *self, const uint8_t id16[16]); /* ids are per talent: first by number */
const struct ifab_open_decision *ifab_decisions_at(const struct ifab_decisions *self, uint64_t number);
size_t ifab_decisions_count(const struct ifab_decisions *self, enum ifab_decision state);
ifab_usec ifab_decisions_next_deadline(const struct ifab_decisions *self); /* run; IFAB_NEVER */
const struct ifab_open_decision *ifab_decisions_due(const struct ifab_decisions *self, ifab_usec run); /* smallest (deadline, number) */
const struct ifab_open_decision *ifab_decisions_after(const struct ifab_decisions *self, uint64_t number); /* walk in order of number; 0 = first */
/* The next held decision after `number` with the same claim key and scope for which `facts` of a talent with this owner is a second source. */
const struct ifab_open_decision *ifab_decisions_matched(const struct ifab_decisions *self, uint64_t number, const struct ifab_guard_facts *facts,
                                                        uint32_t talent, const uint8_t owner_digest16[16]);
/* another owner; inform or agree; claim_id and scope equal; no shared registrable domain, no shared evidence hash; at least one domain or
 * hash of its own on both sides is not required, but an empty claim_id or scope never matches. */
bool ifab_guard_second_source(const struct ifab_open_decision *held, const struct ifab_guard_facts *later, uint32_t later_talent,
                              const uint8_t later_owner16[16]);

/* Storms: a bucket per talent and state. Record of kind BUCKET (number = talent). */
struct ifab_bucket {
    uint32_t talent;
    uint32_t hold_tokens, escalate_tokens;
    ifab_usec hold_from, escalate_from; /* run: since when tokens refill */
};
#define IFAB_BUCKET_PACKED 28
/* Room for one more of this state? NONE and the bucket as it will be; 302 (bucket, retry_after_ms), 304 (10,000 open) or
 * 305 (256 of this talent open). */
enum ifab_code ifab_decisions_admit(const struct ifab_decisions *self, const struct ifab_guard_rules *rules, enum ifab_decision state, uint32_t talent,
                                    ifab_usec run, struct ifab_bucket *ret_next, struct ifab_refusal *ret_refusal);
void ifab_decisions_put_bucket(struct ifab_decisions *self, const struct ifab_bucket *bucket);
size_t ifab_bucket_pack(const struct ifab_bucket *bucket, uint8_t ret_bytes[IFAB_BUCKET_PACKED]);
bool ifab_bucket_unpack(struct ifab_view bytes, uint32_t talent, struct ifab_bucket *ret_bucket);

/* One vote on an escalated decision (approve, refuse). The first vote of a voter counts.
 * NONE and *ret_next (votes counted), *ret_outcome: SHARE = n approvals reached, DENY = n out of reach, ESCALATE = still open.
 * PERMISSION_DENIED: not one of the voters, or one of the same owner voted; CONFLICT: voted already, other state. */
enum ifab_code ifab_guard_vote(const struct ifab_open_decision *decision, uint32_t voter_talent, enum ifab_vote_verdict verdict,
                               struct ifab_open_decision *ret_next, enum ifab_decision *ret_outcome, struct ifab_refusal *ret_refusal);
/* Is n still in reach? Fewer voters than votes_needed: no (DENY at once). */
bool ifab_guard_in_reach(const struct ifab_open_decision *decision);
#endif

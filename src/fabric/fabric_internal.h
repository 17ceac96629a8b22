#ifndef FABRIC_INTERNAL_H
#define FABRIC_INTERNAL_H
/* What the files of the fabric share. Nothing outside src/fabric sees it. */
#include "base/map.h"
#include "base/mem.h"
#include "crypto/crypto.h"
#include "fabric/fabric.h"
#include "governor/breaker.h"
#include "governor/match.h"
#include "governor/money.h"
#include "governor/prices.h"
#include "guard/ruleset.h"
#include "json/json.h"
#include "secret/secret.h"

/* Volatile: how fast a talent may speak, and how many of its refusals become entries. Lost at a restart: then every bucket is full. */
struct ifab_meter {
    uint64_t talent; /* 64 bits: without padding, since a change carries the bytes as they are (INV-14) */
    ifab_usec rate_tat, refusal_tat; /* run: theoretical arrival times of the two GCRA buckets */
    ifab_usec day;                   /* run: when the byte quota's day began */
    uint64_t day_bytes;
};

#define IFAB_REFUSAL_ROWS 1024
struct ifab_refusal_row {
    enum ifab_code code;
    uint8_t source_size;
    char source[63];
    uint8_t sample16[16];
    uint64_t count;
};

struct ifab_kept_reply { /* of an idempotent request */
    struct ifab_kept_reply *older, *newer; /* by number: they end in this order, clock steps apart */
    uint64_t number;
    uint8_t request16[16], body32[32];
    ifab_usec expires; /* wall */
    uint32_t principal, http;
    uint8_t *body; /* owned */
    size_t body_size;
};
#define IFAB_KEPT_REPLY_BODY_MAX 4096

struct ifab_fabric {
    struct ifab_fabric_settings settings;
    struct ifab_talents *talents;
    struct ifab_accesses *accesses;
    struct ifab_replay *replay;
    struct ifab_sequences *sequences;
    struct ifab_conversations *conversations;
    struct ifab_decisions *decisions;
    struct ifab_coordinator *coordinator;
    struct ifab_money *money;
    struct ifab_breakers *breakers;
    struct ifab_prices *prices;
    struct ifab_registry *registry;
    struct ifab_plans *plans;
    struct ifab_token_table *calls;  /* volatile: calls a (talent, capability) */
    uint64_t loaded_size; /* of the log at the start: no outcome comes of an intent before it */
    struct ifab_secrets *secrets;
    struct ifab_lack *lacks;         /* volatile: IFAB_LACKS of them, made with the first; lacks.c */
    struct ifab_token_table *tokens; /* volatile: cost reports and reservations a (talent, capability) */
    /* approvers: talents of role operator or admin, ascending; kept so that ESCALATE does not walk all talents */
    uint32_t *approvers;
    size_t approver_count, approver_room;
    struct ifab_meter *meters; /* by talent number; grown in prepare */
    size_t meter_room;
    /* idempotent requests: ring by number, map by request digest */
    struct ifab_map kept_by_request;
    struct ifab_u64map kept_by_number; /* -> pointer */
    struct ifab_u64map kept_per_principal;
    struct ifab_kept_reply *kept_oldest, *kept_newest;
    /* head of the log */
    struct ifab_tree tree;
    uint8_t last_hash32[32], trust_root32[32];
    uint8_t swarms_root32[32];  /* part of it once there is a swarm */
    uint8_t talents_root32[32]; /* part of trust_root32; kept, since there may be many more talents than tokens */
    uint8_t money_root32[32];   /* the same of budgets and prices */
    uint8_t registry_root32[32]; /* of publishers, allow-list and revocations, once there is one */
    uint64_t registry_version;
    uint8_t secrets_root32[32]; /* part of it once there was a secret */
    ifab_usec last_time;
    uint64_t next_number, trust_version, access_version, fence_offset;
    ifab_usec issued_after;
    uint8_t rules32[32]; /* of the newest rules entry */
    struct ifab_log_key_change *log_keys; /* IFAB_LOG_KEYS_MAX, or NULL: none yet */
    size_t log_key_count;
    uint8_t log_keys_root32[32]; /* over their records: part of trust_root32 */
    bool clock_doubt;
    ifab_usec skew_most;
    ifab_usec ticked;   /* run: of the last TICK; volatile */
    ifab_usec looked;   /* run: when help was last looked for once more; volatile, as are these: */
    uint64_t looked_places; /* up to which place that somebody may have; and how many have not been looked at since */
    uint32_t looked_left;
    bool waits;         /* a task has been blocked since circles were looked for; true at a start. Volatile */
    bool routing;       /* some open decision may carry another digest than rules32, or have lost its voters; found again at a start */
    /* counted refusals */
    struct ifab_refusal_row *rows;
    size_t row_count;
    uint64_t rows_overflow;
    ifab_usec rows_since; /* run: of the last entry about them */
    ifab_usec rows_first; /* run: of the first count since; IFAB_NEVER */
    struct ifab_flushed {  /* the last two flushes, in case their commit never comes: one batch commits, one is stepped ahead */
        struct ifab_refusal_row *rows;
        size_t row_count;
        uint64_t overflow, size; /* size: the log held it from this size on */
    } flushed[2];
};

/* outcome.c: everything returns false and sets failed when memory ends; callers may go on and ask once at the end. */
void *ifab_fabric__alloc(struct ifab_outcome *o, size_t size);
bool ifab_fabric__entry(const struct ifab_fabric *self, struct ifab_outcome *o, struct ifab_entry *fields, struct ifab_view message,
                        struct ifab_outcome_entry **ret_entry);
bool ifab_fabric__change(struct ifab_outcome *o, uint8_t kind, uint64_t number, const void *bytes, size_t size);
enum ifab_code ifab_fabric__refused(struct ifab_outcome *o, enum ifab_code code); /* code and refusal stand in reply.refusal or are filled */
struct ifab_view ifab_fabric__keep(struct ifab_outcome *o, const struct ifab_buf *buf);
void ifab_fabric__reply_json(struct ifab_outcome *o, const struct ifab_buf *buf, int http);
void ifab_fabric__put_digest(struct ifab_buf *buf, const uint8_t digest32[32]); /* "sha256:…" quoted */
void ifab_fabric__put_uuid(struct ifab_buf *buf, const uint8_t uuid16[16]);     /* quoted; null when zero */
void ifab_fabric__owner_digest(struct ifab_view owner, uint8_t ret_digest16[16]);

/* An entry about a refused act of an authenticated talent (0: the socket's operator), within its allowance; past that it is counted. */
void ifab_fabric__refuse_act(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, enum ifab_code code,
                             uint32_t talent, struct ifab_view subject);

/* The same with the event it becomes. */
void ifab_fabric__refuse_as(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, enum ifab_event event,
                            enum ifab_code code, uint32_t talent, struct ifab_view subject);

/* Refused without an entry of its own: counted, as what is past a talent's allowance of entries is (refusals.c). talent 0: the socket's. */
void ifab_fabric__refuse_counted(const struct ifab_fabric *self, struct ifab_outcome *o, enum ifab_code code, uint32_t talent);

/* admin.c */
enum ifab_code ifab_fabric__authority(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, bool need_admin,
                                      uint32_t self_talent, char ret_actor[96], struct ifab_view *ret_why);

/* Behind authority: another admin, of another owner, signed the same request. Its tag joins the outcome. */
enum ifab_code ifab_fabric__second_admin(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o);

const struct ifab_guard_rules *ifab_fabric__rules(const struct ifab_fabric *self, const struct ifab_outcome *o); /* those of this step */
enum { IFAB_TRUST_TALENTS = 1, IFAB_TRUST_MONEY = 2, IFAB_TRUST_ALL = 3, IFAB_TRUST_SWARMS = 4, IFAB_TRUST_REGISTRY = 8, IFAB_TRUST_SECRETS = 16,
       IFAB_TRUST_ROOT = 32 };
/* plan_due.c: of the old fabric, running or dangling; here it dangles, or has ended if it only read. */
void ifab_fabric__restate_plan(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_plan *old);
/* load.c: a change of an outcome; adds to roots what must be computed anew. */
ifab_status ifab_fabric__load(struct ifab_fabric *self, const struct ifab_change *change, unsigned *roots);
void ifab_fabric__trust_root(struct ifab_fabric *self, unsigned anew, uint8_t ret_root32[32]); /* anew: parts that have changed */

/* open.c: what becomes of a waiting decision. cause: index of the entry whose why is inherited, or: */
#define IFAB_FABRIC_CAUSE_RULES UINT64_MAX /* the rule set changed, in an earlier step */
struct ifab_fabric__asked { /* what the rules are asked about, and its lists */
    struct ifab_rule_subject subject;
    struct ifab_view receivers[IFAB_RECEIVER_MAX];
    struct ifab_rule_evidence evidence[IFAB_EVIDENCE_MAX];
};
void ifab_fabric__subject(const struct ifab_envelope *envelope, const struct ifab_talent *sender, const struct ifab_guard_facts *facts,
                          struct ifab_fabric__asked *ret_asked); /* borrows from all three */
/* rules.c: steps 1 and 3 by the operator's rules. False: none are asked, ret_facts is not written. */
bool ifab_fabric__has_rules(const struct ifab_guard_rules *rules);
void ifab_fabric__rule(const struct ifab_guard_rules *rules, const struct ifab_envelope *envelope, const struct ifab_talent *sender,
                       struct ifab_guard_facts *facts);
bool ifab_fabric__touches_sensitive(const struct ifab_fabric *self, const struct ifab_envelope *envelope);
void ifab_fabric__route(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_open_decision *decision, uint64_t cause);
uint32_t ifab_fabric__votes_needed(const struct ifab_guard_rules *rules, const struct ifab_guard_facts *facts);
/* message.c, for the send and for explain: what the conversation, the rules and a plan asked for add to what admission knew. *ret_plan: its number; 0. */
void ifab_fabric__message_facts(const struct ifab_fabric *self, const struct ifab_envelope *envelope, const struct ifab_talent *sender,
                                const struct ifab_conversation *conversation, ifab_usec wall, struct ifab_guard_facts *facts, uint64_t *ret_plan);
/* Votes needed and, if it escalates, the voters, from decision->facts; an escalation that nobody could ever release becomes a DENY. */
void ifab_fabric__fix_voters(const struct ifab_fabric *self, const struct ifab_envelope *envelope, const struct ifab_talent *sender, ifab_usec wall,
                             struct ifab_open_decision *decision, struct ifab_guard_verdict *verdict);
bool ifab_fabric__sensitive_scope(const struct ifab_fabric *self, struct ifab_view scope); /* talent_act.c */
bool ifab_fabric__open_escalation(const struct ifab_fabric *self, struct ifab_open_decision *decision, ifab_usec wall);
bool ifab_fabric__release(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_open_decision *decision, const char *reason,
                          struct ifab_view actor, struct ifab_view why, uint64_t cause);
bool ifab_fabric__close_denied(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_open_decision *decision, const char *reason,
                               struct ifab_view actor, struct ifab_view why, uint64_t cause);
bool ifab_fabric__to_escalated(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_open_decision *decision,
                               enum ifab_event event, const char *reason, uint64_t cause);
bool ifab_fabric__hold_again(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_open_decision *decision, const char *reason,
                             uint64_t cause);
bool ifab_fabric__second_sources(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_guard_facts *facts, uint32_t talent,
                                 uint64_t cause);
bool ifab_fabric__reevaluate(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_open_decision *decision, const char *reason,
                             struct ifab_view actor, struct ifab_view why, uint64_t cause, enum ifab_decision *ret_became /* may be NULL */);
void ifab_fabric__id_text(const uint8_t id16[16], char ret_text[41]); /* "msg-…" */

/* message.c, vote.c, talent_act.c, life.c, refusals.c: one decide function a command */
void ifab_fabric__decide_message(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o);
void ifab_fabric__decide_vote(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o);
void ifab_fabric__decide_talent(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o);
void ifab_fabric__decide_access(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o); /* access.c */
void ifab_fabric__decide_enroll(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o);
void ifab_fabric__end_accesses(const struct ifab_fabric *self, struct ifab_outcome *o, size_t most); /* those that have ended */
void ifab_fabric__decide_init(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o);
void ifab_fabric__decide_restore(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o);
void ifab_fabric__decide_note(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o);
void ifab_fabric__decide_rules(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o);
void ifab_fabric__decide_route(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o);
void ifab_fabric__reply_entry(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_outcome_entry *entry, struct ifab_view more);
void ifab_fabric__decide_tick(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o);
void ifab_fabric__bury(const struct ifab_fabric *self, struct ifab_outcome *o, size_t most); /* so many dead sequences, so many conversations */
bool ifab_fabric__stale(const struct ifab_fabric *self, const struct ifab_outcome *o, const struct ifab_open_decision *d); /* not routed yet */
bool ifab_fabric__unreachable(const struct ifab_fabric *self, const struct ifab_open_decision *d); /* escalated, and too few can still vote */
void ifab_fabric__deny_unreachable(const struct ifab_fabric *self, struct ifab_outcome *o);
void ifab_fabric__route_again(const struct ifab_fabric *self, struct ifab_outcome *o, uint64_t cause);
struct ifab_view ifab_fabric__readable(struct ifab_view text, size_t max);
bool ifab_fabric__flush_refusals(const struct ifab_fabric *self, struct ifab_outcome *o);
ifab_usec ifab_fabric__refusals_due(const struct ifab_fabric *self);
void ifab_fabric__refusals_clear(struct ifab_fabric *self, ifab_usec run);

/* task.c, task_due.c, swarm.c */
bool ifab_fabric__operates(const struct ifab_principal *principal); /* role operator or admin */
enum ifab_code ifab_fabric__may_act(const struct ifab_command *command, struct ifab_refusal *refusal); /* 003: no agent, no operator */
/* 003: the swarm does not name who asks; an operator of the socket may for any. */
enum ifab_code ifab_fabric__may_act_for(const struct ifab_fabric *self, const struct ifab_command *command, const struct ifab_swarm *swarm,
                                        struct ifab_refusal *refusal);
/* Neither a member of this swarm nor an operator: it may fill half of the queue, and nothing of others gives way for it. */
bool ifab_fabric__stranger(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_swarm_number queue);
#define IFAB_FABRIC_DUE_TASKS 256
#define IFAB_FABRIC_TASKS_IN_STEP 64 /* made or closed by one command: a block, with what helps its helpers */
void ifab_fabric__decide_swarm(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o);
void ifab_fabric__decide_heartbeat(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o);
void ifab_fabric__hear(const struct ifab_fabric *self, struct ifab_outcome *o, struct ifab_swarm_number swarm); /* it is there: a volatile record */
/* What help by this swarm came to, and this more of it: a record. */
void ifab_fabric__count_help(const struct ifab_fabric *self, struct ifab_outcome *o, struct ifab_swarm_number swarm, const struct ifab_swarm_help *more);
bool ifab_fabric__load_help(struct ifab_fabric *self, uint64_t number, struct ifab_view bytes);
bool ifab_fabric__load_heard(struct ifab_fabric *self, uint64_t number, struct ifab_view bytes);
void ifab_fabric__decide_task_create(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o);
void ifab_fabric__decide_task_claim(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o);
void ifab_fabric__decide_task_act(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o);
void ifab_fabric__decide_restate(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o);
void ifab_fabric__end_tasks(const struct ifab_fabric *self, struct ifab_outcome *o); /* leases, deadlines, closed ones that are forgotten */
ifab_usec ifab_fabric__tasks_due(const struct ifab_fabric *self, struct ifab_now now); /* run; IFAB_NEVER */
void ifab_fabric__put_task(struct ifab_outcome *o, const struct ifab_task *task);
/* As this step sees it, what it has done already included. false: there is none, or none any more. */
bool ifab_fabric__task(const struct ifab_fabric *self, const struct ifab_outcome *o, uint64_t number, struct ifab_task *ret_task);
/* A task that ends: its record goes, its id is remembered, and whoever waits for it goes on, or is dead when it was cancelled. */
void ifab_fabric__close_task(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_task *task, struct ifab_swarm_number owner,
                             uint64_t index);
bool ifab_fabric__task_entry(const struct ifab_fabric *self, struct ifab_outcome *o, enum ifab_event event, const struct ifab_task *task,
                             struct ifab_view actor, struct ifab_view why, struct ifab_view message, struct ifab_outcome_entry **ret_entry);
ifab_status ifab_fabric__load_task(struct ifab_fabric *self, uint8_t kind, uint64_t number, struct ifab_view bytes);
/* lacks.c: the table is the fabric's, and is asked for o->lacks and who claims for which swarm */
#define IFAB_LACKS 4096 /* 224 KiB */
bool ifab_fabric__lack_told(const struct ifab_fabric *self, const struct ifab_outcome *o);
void ifab_fabric__lack_tell(const struct ifab_fabric *self, struct ifab_outcome *o, uint64_t index); /* its entry */
/* A claim of theirs has succeeded: whatever they lacked is told anew. */
void ifab_fabric__lack_over(const struct ifab_fabric *self, struct ifab_outcome *o, struct ifab_task_principal who, struct ifab_swarm_number swarm);
bool ifab_fabric__load_lack(struct ifab_fabric *self, uint64_t number, struct ifab_view bytes);

/* money.c, money_act.c */
void ifab_fabric__decide_budget(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o); /* and rates */
void ifab_fabric__decide_cost(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o);
void ifab_fabric__decide_breaker_reset(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o);
void ifab_fabric__end_money(const struct ifab_fabric *self, struct ifab_outcome *o, size_t most);
ifab_usec ifab_fabric__money_due(const struct ifab_fabric *self, struct ifab_now now); /* run */
bool ifab_fabric__restore_money(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o);
ifab_status ifab_fabric__load_money(struct ifab_fabric *self, uint8_t kind, uint64_t number, struct ifab_view bytes, struct ifab_error *err);
void ifab_fabric__load_tokens(struct ifab_fabric *self, struct ifab_view bytes);
void ifab_fabric__money_root(const struct ifab_fabric *self, bool anew, uint8_t keep32[32], uint8_t root32[32]);

/* capability.c */
void ifab_fabric__decide_capability(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o); /* and publishers */
void ifab_fabric__decide_load(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o);
ifab_status ifab_fabric__load_registry(struct ifab_fabric *self, uint8_t kind, uint64_t number, struct ifab_view bytes, struct ifab_error *err);
bool ifab_fabric__registry_empty(const struct ifab_fabric *self);
void ifab_fabric__restate_registry(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_registered *record);

/* meter.c */
enum ifab_code ifab_fabric__rate(const struct ifab_fabric *self, struct ifab_meter *meter, ifab_usec run, struct ifab_refusal *refusal);
struct ifab_meter ifab_fabric__meter(const struct ifab_fabric *self, uint32_t talent, ifab_usec run);
bool ifab_fabric__may_enter_refusal(const struct ifab_fabric *self, struct ifab_meter *meter, ifab_usec run, size_t bytes);
bool ifab_fabric__put_meter(struct ifab_outcome *o, const struct ifab_meter *meter);
void ifab_fabric__load_meter(struct ifab_fabric *self, uint64_t number, struct ifab_view bytes);

/* log_key.c */
void ifab_fabric__decide_log_key(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o);
ifab_status ifab_fabric__load_log_key(struct ifab_fabric *self, uint64_t number, struct ifab_view bytes, struct ifab_error *err);

/* idempotency.c */
/* After authority: what it said. true: answered. */
bool ifab_fabric__idempotent(const struct ifab_fabric *self, const struct ifab_command *command, enum ifab_code authority, struct ifab_outcome *o);
void ifab_fabric__keep_secret(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o); /* that it was done, not its answer */
void ifab_fabric__keep_reply(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o);
void ifab_fabric__keep_reply_of(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, uint32_t uid); /* of another's command */
ifab_status ifab_fabric__load_kept(struct ifab_fabric *self, uint64_t number, struct ifab_view bytes);
ifab_usec ifab_fabric__kept_due(const struct ifab_fabric *self); /* wall; when the oldest ends */
size_t ifab_fabric__kept_dead(const struct ifab_fabric *self, ifab_usec wall, uint64_t *ret_numbers, size_t max);
void ifab_fabric__kept_free(struct ifab_fabric *self);
/*
 * money.c: what other commands spend. All read the fabric and this step's outcome (so several acts of one step see each other), and add record
 * changes and entries to the outcome; nothing is changed in memory before apply.
 */
struct ifab_fabric__bill { /* every view borrowed until the call returns */
    struct ifab_view provider, capability, talent, swarm; /* whom it is counted for: names; size 0: nobody. The trace is the step's own */
    struct ifab_view model, operation;                    /* of the entry about what was spent; may be empty */
    uint64_t usd_micro, tokens_in, tokens_out, calls;     /* each <= IFAB_MONEY_MAX, both kinds of tokens together too (208) */
    struct ifab_view actor, why;                          /* of the entries; why empty: inherited from why_from */
    uint64_t why_from;                                    /* index of an entry */
    struct ifab_view subject;                             /* what it was for, e.g. a task's id; empty: the reservation's */
    const int64_t *most;                                  /* by unit: what it was to cost at most, -1: not said. NULL: as the reservation says, if any */
};
struct ifab_fabric__hold {
    struct ifab_fabric__bill bill; /* the estimate: model and operation are not asked */
    uint32_t owner;                /* talent that may settle and release it over HTTP; 0: operators alone */
    bool urgent;                   /* P0: goes on where a budget is paused (95 %) */
    ifab_usec deadline;            /* run: released then, with a warning. IFAB_NEVER: the caller ends it in each of its own transitions */
};
/*
 * Hold what an act may cost in every budget that it touches, or in none. NONE: *ret_number is the reservation, kept by the caller's own record;
 * 0 when no budget is touched (nothing is written then; settle and release take 0). 301, 305, 208: o->reply.refusal says why, the outcome is as
 * it was. An entry IF.governor/reserved.
 */
enum ifab_code ifab_fabric__reserve_for(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_fabric__hold *hold, uint64_t *ret_number);
/*
 * It is over: this is what it did cost, less, equal or more. The reservation ends; an entry IF.optimise/cost_incurred, and one for each level
 * reached, for an overrun, for a swarm's breaker that this opened. number 0, or one that is gone: charged without a reservation. Never refuses:
 * what was spent is recorded. The bill's subjects stand only where the reservation named none. *ret_passed (may be NULL): members for an answer,
 * ,"over":[…] and, where it is more than was held, ,"over_reserved":{…}; in the arena.
 */
void ifab_fabric__settle_for(const struct ifab_fabric *self, struct ifab_outcome *o, uint64_t number, const struct ifab_fabric__bill *bill,
                              struct ifab_view *ret_passed);
/* It came to nothing: what was held is free again. An entry IF.governor/released. number 0, or one that is gone: nothing. */
void ifab_fabric__release_for(const struct ifab_fabric *self, struct ifab_outcome *o, uint64_t number, const struct ifab_fabric__bill *bill);
/* What a request says it did cost, as a bill: by the price table where it names a model and no money. 208: no price holds. */
enum ifab_code ifab_fabric__price(const struct ifab_fabric *self, const struct ifab_outcome *o, const struct ifab_cost *cost, struct ifab_fabric__bill *bill,
                                  const uint8_t **ret_rates32, struct ifab_refusal *ret_refusal);
/* Breakers and the service record behind reputation. admit: NONE, or 303 in o->reply.refusal; a probe that goes out is noted. */
enum ifab_code ifab_fabric__breaker_admit(const struct ifab_fabric *self, struct ifab_outcome *o, enum ifab_breaker_kind kind, struct ifab_view name);
/* How it went; took: how long. Opens the breaker where that was one failure too many: an entry CircuitBreaker/tripped. */
void ifab_fabric__breaker_note(const struct ifab_fabric *self, struct ifab_outcome *o, enum ifab_breaker_kind kind, struct ifab_view name,
                               enum ifab_verdict verdict, ifab_usec took, const struct ifab_fabric__bill *bill);
struct ifab_ratio ifab_fabric__reputation(const struct ifab_fabric *self, const struct ifab_outcome *o, struct ifab_view swarm); /* the prior: never seen */
/* Has some budget of this swarm nothing left, or is its breaker open? For the matching. */
void ifab_fabric__swarm_standing(const struct ifab_fabric *self, const struct ifab_outcome *o, struct ifab_view swarm, bool *ret_breaker_open,
                                 bool *ret_budget_spent);
/* By unit, what is least left of the budgets of this swarm; UINT64_MAX where none counts it. */
void ifab_fabric__swarm_left(const struct ifab_fabric *self, const struct ifab_outcome *o, struct ifab_view swarm, uint64_t ret_left[IFAB_UNIT_COUNT]);
/* The newest bytes of a record in this step; false: the step has not touched it. Size 0: it was deleted. */
bool ifab_fabric__changed(const struct ifab_outcome *o, uint8_t kind, uint64_t number, struct ifab_view *ret_bytes);

/*
 * task_money.c. hold: before a claim; 303, 301 (its budget is spent), with the words. price: what a holder says it did cost. over: nobody holds the
 * task any more, by this event; spent NULL: nothing was told, what was held is free again.
 */
enum ifab_code ifab_fabric__task_hold(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_task *task, const struct ifab_swarm *swarm,
                                      struct ifab_task_principal worker, struct ifab_view actor, uint64_t *ret_reservation);
/*
 * Help is paid by the swarm that is asked, and asked for by another: each of `of` helpers gets its part of what the blocked task may cost, in each unit
 * at most IFAB_HELP_PERCENT of what is least left of its swarm's budgets. fits: may all of that be held, behind what *holds has already? Nothing is
 * written; *holds grows. No: a part of something came to nothing, too.
 */
#define IFAB_HELP_PERCENT 10
struct ifab_fabric__holds {
    struct ifab_money_plan *plans[2]; /* in the arena: of the one before, and room for the next */
    size_t count;
};
void ifab_fabric__help_budget(const struct ifab_fabric *self, const struct ifab_outcome *o, const struct ifab_task *blocked, const struct ifab_swarm *swarm,
                              size_t of, int64_t ret_budget[IFAB_COUNT_OF_UNITS]);
bool ifab_fabric__help_fits(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_task *help, const struct ifab_task *blocked,
                            const struct ifab_swarm *swarm, struct ifab_fabric__holds *holds);
/* Is there a budget of the trace of this task alone? What refuses it may let go on what stands beside it. */
bool ifab_fabric__trace_has_purse(const struct ifab_fabric *self, const struct ifab_task *task);
enum ifab_code ifab_fabric__task_price(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o,
                                       struct ifab_fabric__bill *bill);
void ifab_fabric__task_over(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_task *held, enum ifab_task_event event,
                            struct ifab_view actor, const struct ifab_fabric__bill *spent);

/*
 * secret.c: a step that is about to have a secret's value used asks first; the answer is an entry either way, SecretVault/get or get_denied, and the value
 * is used only after its commit (INV-04). NONE: *ret_secret, the live record; 206, 003: o->reply.refusal says why.
 */
struct ifab_fabric__secret_ask { /* borrowed until the call returns */
    struct ifab_view name, origin; /* origin: as ifab_origin_valid() takes it */
    struct ifab_view actor, why;   /* why empty: inherited from why_from */
    uint64_t why_from;             /* index of an entry */
    struct ifab_view subject;      /* what it is for, e.g. if://capability/… */
};
enum ifab_code ifab_fabric__secret_ask(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_fabric__secret_ask *ask,
                                       const struct ifab_secret **ret_secret);
void ifab_fabric__decide_secret(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o);
void ifab_fabric__decide_secret_get(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o);
void ifab_fabric__void_secret(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_secret *secret); /* after a restore */

/* task_json.c: ifab_fabric_task_json() within a step (o NULL: in none), which may have made its helpers */
void ifab_fabric__task_json(const struct ifab_fabric *self, const struct ifab_outcome *o, const struct ifab_task *t, struct ifab_now now, struct ifab_buf *b);
/* rescue.c: a task has just been blocked (its helpers are set in it); its block is over, whatever ended it; one that helped it is done; one came to nothing */
void ifab_fabric__rescue(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o, struct ifab_task *blocked);
/* Who wants help is looked at once more, at most two in a TICK. When that is due (run; IFAB_NEVER), and what follows from it for the next time. */
void ifab_fabric__look_again(const struct ifab_fabric *self, struct ifab_outcome *o);
ifab_usec ifab_fabric__look_again_due(const struct ifab_fabric *self);
void ifab_fabric__looked(struct ifab_fabric *self, const struct ifab_outcome *o);
void ifab_fabric__end_help(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_task *task);
void ifab_fabric__helped(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_task *helper);
void ifab_fabric__help_failed(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_task *helper);

/* call.c, plan_act.c, plan_due.c */
void ifab_fabric__decide_plan(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o);
void ifab_fabric__decide_apply(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o);
void ifab_fabric__decide_outcome(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o);
void ifab_fabric__decide_plan_close(const struct ifab_fabric *self, const struct ifab_command *command, struct ifab_outcome *o);
/*
 * A message that asks for the approval of a plan, content.data.apply = {"plan_hash"}: what it asks for stands in its facts, so that it is escalated, or
 * denied where it names no plan of its sender that waits for one. Others are left as they are. *ret_number: of the plan; 0.
 */
void ifab_fabric__plan_facts(const struct ifab_fabric *self, const struct ifab_guard_rules *rules, ifab_usec wall, const struct ifab_envelope *envelope,
                             const struct ifab_talent *sender, struct ifab_guard_facts *facts, uint64_t *ret_number);
bool ifab_fabric__asks_for_plan(const struct ifab_envelope *envelope);
/* The message was decided at once, or waits; later: what it waited for came, or did not. */
void ifab_fabric__plan_asked(const struct ifab_fabric *self, struct ifab_outcome *o, uint64_t number, const struct ifab_envelope *envelope,
                              enum ifab_decision decision);
void ifab_fabric__plan_voted(const struct ifab_fabric *self, struct ifab_outcome *o, const uint8_t message32[32], bool approved);
void ifab_fabric__end_plans(const struct ifab_fabric *self, struct ifab_outcome *o, size_t most);
ifab_usec ifab_fabric__plans_due(const struct ifab_fabric *self, struct ifab_now now);
void ifab_fabric__load_calls(struct ifab_fabric *self, struct ifab_view bytes);
#endif

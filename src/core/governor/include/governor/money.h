#ifndef GOVERNOR_MONEY_H
#define GOVERNOR_MONEY_H
/*
 * Budgets and reservations: DESIGN section 5 Governor, INV-10. Pure; integers only.
 *
 * A budget counts one unit for one subject in one period of the UTC calendar. What is spent goes reserve -> settle or release. In one period
 *   settled + reserved <= limit      in any interleaving; a limit that was lowered below it lets nothing new in
 *   spent = settled + overrun        overrun: what was spent all the same and had no room; it blocks what comes next
 * A reservation belongs to the period in which it was made; what a settlement needs beyond it is charged to the period of the settlement.
 * Nothing is carried over into the next period. Periods follow the times of entries, which never decrease: none comes twice.
 *
 *   BUDGET        trust record, canonical JSON, kind 16: {"created_at","id","limit","name","period","subject","unit","v":1,"version"}
 *   BUDGET_STATE  kind 17, the same number: what the period under way holds
 *   RESERVATION   kind 18: what is held, for whom, until when
 */
#include "base/buf.h"
#include "base/code.h"
#include "base/id.h"
#include "base/time.h"

#define IFAB_MONEY_MAX            ((uint64_t)9007199254740991) /* 2^53-1 */
#define IFAB_BUDGET_MAX           10000  /* of subjects that last */
#define IFAB_TRACE_BUDGET_MAX     100000 /* of traces */
#define IFAB_TRACE_BUDGET_IDLE    IFAB_DAY
#define IFAB_BUDGET_RECORD_MAX    1024 /* bytes */
#define IFAB_SUBJECT_NAME_MAX     128
#define IFAB_BUDGET_LINES_MAX     75 /* budgets that one act can touch: subjects x units x periods */
#define IFAB_RESERVATION_MAX      100000
#define IFAB_RESERVATION_PER_OWNER 1000

/* X(NAME, "name"): words of records and of the wire; the order is on disk. */
#define IFAB_UNIT_MAP(X) X(USD_MICRO, "usd_micro") X(TOKENS, "tokens") X(CALLS, "calls")
#define IFAB_SUBJECT_MAP(X) X(PROVIDER, "provider") X(CAPABILITY, "capability") X(TALENT, "talent") X(SWARM, "swarm") X(TRACE, "trace")
#define IFAB_PERIOD_MAP(X) X(HOUR, "hour") X(DAY, "day") X(WEEK, "week") X(MONTH, "month") X(TOTAL, "total")
#define IFAB_G_(name, text) IFAB_UNIT_##name,
enum ifab_unit { IFAB_UNIT_MAP(IFAB_G_) IFAB_UNIT_COUNT };
#undef IFAB_G_
#define IFAB_G_(name, text) IFAB_SUBJECT_##name,
enum ifab_subject { IFAB_SUBJECT_MAP(IFAB_G_) IFAB_SUBJECT_COUNT };
#undef IFAB_G_
#define IFAB_G_(name, text) IFAB_PERIOD_##name,
enum ifab_period { IFAB_PERIOD_MAP(IFAB_G_) IFAB_PERIOD_COUNT };
#undef IFAB_G_
const char *ifab_unit_name(enum ifab_unit unit);
const char *ifab_subject_name(enum ifab_subject subject);
const char *ifab_period_name(enum ifab_period period);
bool ifab_unit_parse(struct ifab_view text, enum ifab_unit *ret_unit);
bool ifab_subject_parse(struct ifab_view text, enum ifab_subject *ret_subject);
bool ifab_period_parse(struct ifab_view text, enum ifab_period *ret_period);
/* What may stand as the name of a subject: a name; a name or URI of a capability; the UUID text of a trace. */
bool ifab_subject_valid(enum ifab_subject subject, struct ifab_view name);

/* First moment of the period that holds this time, and of the one after it (IFAB_NEVER for TOTAL). Weeks begin on Monday. wall >= 0. */
ifab_usec ifab_period_start(enum ifab_period period, ifab_usec wall);
ifab_usec ifab_period_end(enum ifab_period period, ifab_usec wall);

/* X(NAME, percent, "name"): reached when spent x 100 >= limit x percent. Each stands once a period in the log; a changed limit begins anew. */
#define IFAB_LEVEL_MAP(X) X(NOTICE, 50, "notice") X(WARN, 80, "warn") X(PAUSE, 95, "pause") X(STOP, 100, "stop")
#define IFAB_G_(name, percent, text) IFAB_LEVEL_##name,
enum ifab_level { IFAB_LEVEL_MAP(IFAB_G_) IFAB_LEVEL_COUNT };
#undef IFAB_G_
const char *ifab_level_name(enum ifab_level level);
unsigned ifab_level_percent(enum ifab_level level);

struct ifab_budget_state { /* zeroed: nothing in the period that begins at 0 */
    ifab_usec period_start;
    uint64_t settled, overrun, reserved; /* each <= IFAB_MONEY_MAX */
    unsigned levels;                     /* bits 1 << enum ifab_level that stand in the log for this period and limit */
    ifab_usec used_at;                   /* wall: of the last act on it */
};
#define IFAB_BUDGET_STATE_PACKED 41
size_t ifab_budget_state_pack(const struct ifab_budget_state *state, uint8_t ret_bytes[IFAB_BUDGET_STATE_PACKED]);
bool ifab_budget_state_unpack(struct ifab_view bytes, struct ifab_budget_state *ret_state);

struct ifab_budget { /* owned by the table; valid until the next load of this number */
    uint64_t number;
    struct ifab_view id, name; /* of the budget; of its subject */
    enum ifab_subject subject;
    enum ifab_unit unit;
    enum ifab_period period;
    uint64_t limit, version;
    ifab_usec created;
    struct ifab_view record;
    struct ifab_budget_state state; /* as stored: ask ifab_budget_now() */
};
uint64_t ifab_budget_spent(const struct ifab_budget_state *state);                                /* settled + overrun, at most IFAB_MONEY_MAX */
uint64_t ifab_budget_left(uint64_t limit, const struct ifab_budget_state *state); /* limit - spent - reserved, at least 0 */
/* The state at this time: an earlier period's is over. */
struct ifab_budget_state ifab_budget_now(enum ifab_period period, const struct ifab_budget_state *stored, ifab_usec wall);

struct ifab_spend { /* what an act costs, and whom it may be counted for; every view borrowed */
    struct ifab_view subjects[IFAB_SUBJECT_COUNT]; /* size 0: none */
    uint64_t amounts[IFAB_UNIT_COUNT];             /* <= IFAB_MONEY_MAX; tokens: in and out */
};

struct ifab_reservation_line {
    uint64_t budget;
    ifab_usec period_start;
};
struct ifab_reservation {
    uint64_t number;
    uint8_t id16[16], trace16[16];
    uint32_t owner;         /* talent; 0: an operator of the socket */
    ifab_usec made;         /* wall */
    ifab_usec deadline;     /* run; IFAB_NEVER: whoever made it ends it */
    uint64_t index;         /* of its entry */
    bool dangling;          /* from before a restore: nobody is known to hold it */
    struct ifab_spend spend;
    struct ifab_reservation_line lines[IFAB_BUDGET_LINES_MAX];
    size_t line_count;
};
#define IFAB_RESERVATION_PACKED_MAX 2048
size_t ifab_reservation_pack(const struct ifab_reservation *reservation, uint8_t ret_bytes[IFAB_RESERVATION_PACKED_MAX]);
/* The views of ret_reservation point into bytes. */
bool ifab_reservation_unpack(struct ifab_view bytes, uint64_t number, struct ifab_reservation *ret_reservation);

/* ---- the table ---- */
struct ifab_money;
ifab_status ifab_money_new(uint64_t seed, struct ifab_money **ret);
void ifab_money_free(struct ifab_money *self); /* accepts NULL */
/*
 * Take a record in, or away when it has no bytes. A budget that is there may only be followed by itself with the next version and another
 * limit. IFAB_CORRUPT: not such a record, not in its one spelling, id or subject of another, a state without its budget; IFAB_NOMEM. In both
 * cases nothing has changed.
 */
IFAB_MUST_CHECK ifab_status ifab_money_load_budget(struct ifab_money *self, uint64_t number, struct ifab_view record, struct ifab_error *err);
IFAB_MUST_CHECK ifab_status ifab_money_load_state(struct ifab_money *self, uint64_t number, struct ifab_view bytes, struct ifab_error *err);
IFAB_MUST_CHECK ifab_status ifab_money_load_reservation(struct ifab_money *self, uint64_t number, struct ifab_view bytes, struct ifab_error *err);
/* After a start: is what the budgets hold as reserved the sum of their reservations? IFAB_CORRUPT. */
IFAB_MUST_CHECK ifab_status ifab_money_loaded(const struct ifab_money *self, struct ifab_error *err);

const struct ifab_budget *ifab_money_budget(const struct ifab_money *self, struct ifab_view id); /* NULL: none */
const struct ifab_budget *ifab_money_budget_at(const struct ifab_money *self, uint64_t number);
const struct ifab_budget *ifab_money_budget_next(const struct ifab_money *self, uint64_t number); /* above this number, in order */
/* Of those of one subject, the one with the next number above this; NULL: no more. */
const struct ifab_budget *ifab_money_of(const struct ifab_money *self, enum ifab_subject subject, struct ifab_view name, uint64_t number);
size_t ifab_money_budget_count(const struct ifab_money *self, bool traces);
/* Copied out; its views and lines stand until the next load of this number. false: none. */
bool ifab_money_reservation(const struct ifab_money *self, const uint8_t id16[16], struct ifab_reservation *ret_reservation);
bool ifab_money_reservation_at(const struct ifab_money *self, uint64_t number, struct ifab_reservation *ret_reservation);
bool ifab_money_reservation_next(const struct ifab_money *self, uint64_t number, struct ifab_reservation *ret_reservation); /* above this number */
size_t ifab_money_reservations_of(const struct ifab_money *self, uint32_t owner);
bool ifab_money_reservation_of(const struct ifab_money *self, uint32_t owner, uint64_t number, struct ifab_reservation *ret_reservation); /* the same, of one owner */
size_t ifab_money_reservation_count(const struct ifab_money *self);
/* run: the earliest deadline; IFAB_NEVER */
ifab_usec ifab_money_due(const struct ifab_money *self);
size_t ifab_money_overdue(const struct ifab_money *self, ifab_usec run, uint64_t *ret_numbers, size_t max);
/* Budgets of traces that hold nothing and were not used for IFAB_TRACE_BUDGET_IDLE; *ret_due, wall: when the first one may be. */
size_t ifab_money_idle(const struct ifab_money *self, ifab_usec wall, uint64_t *ret_numbers, size_t max, ifab_usec *ret_due);
/* SHA-256 over all budgets in order of number: for each (u8 16, u64le number, SHA-256 of the bytes). docs/formats/store.md */
void ifab_money_trust_root(const struct ifab_money *self, uint8_t ret_root32[32]);

/* ---- acts: they read, and say what the records become. Nothing changes before load. ---- */
struct ifab_budget_request {
    struct ifab_view id, name;
    enum ifab_subject subject;
    enum ifab_unit unit;
    enum ifab_period period;
    uint64_t limit;
    ifab_usec wall;
};
/* A new budget (*ret_number 0), or the same with another limit. 208, 305; 409: the id stands for something else, or its subject, unit and
 * period have a budget already. */
enum ifab_code ifab_budget_set(const struct ifab_money *self, const struct ifab_budget_request *request, struct ifab_buf *record,
                               uint64_t *ret_number, struct ifab_refusal *ret_refusal);

/* The state of a budget as this step sees it: true and *ret_state when the step has changed it, else false. NULL as function: never. */
typedef bool ifab_money_look_fn(void *user, uint64_t budget, struct ifab_budget_state *ret_state);

struct ifab_money_line {
    const struct ifab_budget *budget;
    struct ifab_budget_state next;
    unsigned reached; /* levels that were not before: bits */
    uint64_t overrun; /* what had no room */
};
struct ifab_money_plan {
    struct ifab_money_line lines[IFAB_BUDGET_LINES_MAX]; /* by number of the budget */
    size_t count;
    const struct ifab_budget *lacks; /* after 301: the budget that it says; else NULL */
    ifab_usec lacks_period;          /* when that one's period began */
};
/* All matching budgets or none. 301: the first by number without room, or paused and not urgent. No amount at all is 208. */
enum ifab_code ifab_money_reserve(const struct ifab_money *self, const struct ifab_spend *spend, bool urgent, ifab_usec wall,
                                  ifab_money_look_fn *look, void *user, struct ifab_money_plan *ret_plan, struct ifab_refusal *ret_refusal);
/*
 * May one more act begin for these subjects, whatever it will cost? Every budget of theirs is asked, in each unit. held, may be NULL: what is held for
 * it already, which counts as left. 301: the first by number with nothing left, or paused and not urgent.
 */
enum ifab_code ifab_money_admit(const struct ifab_money *self, const struct ifab_view subjects[IFAB_SUBJECT_COUNT], const struct ifab_reservation *held,
                                bool urgent, ifab_usec wall, ifab_money_look_fn *look, void *user, struct ifab_money_plan *room,
                                struct ifab_refusal *ret_refusal);
/*
 * What became of a reservation: amounts as spent, NULL: released. Its budgets get back what it held; what is beyond it, also in a unit that it
 * did not hold, is counted as ifab_money_charge() does for the subjects of the reservation.
 */
void ifab_money_settle(const struct ifab_money *self, const struct ifab_reservation *reservation, const uint64_t *amounts, ifab_usec wall,
                       ifab_money_look_fn *look, void *user, struct ifab_money_plan *ret_plan);
/* Spent without a reservation: recorded in any case, past the limit as overrun. */
void ifab_money_charge(const struct ifab_money *self, const struct ifab_spend *spend, ifab_usec wall, ifab_money_look_fn *look, void *user,
                       struct ifab_money_plan *ret_plan);
/* The state beside a new or changed record, and the levels that this limit has reached already. stored zeroed: a new budget. */
struct ifab_budget_state ifab_money_relimit(enum ifab_period period, const struct ifab_budget_state *stored, uint64_t limit, ifab_usec wall,
                                            unsigned *ret_reached);
#endif

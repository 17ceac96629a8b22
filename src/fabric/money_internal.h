#ifndef FABRIC_MONEY_INTERNAL_H
#define FABRIC_MONEY_INTERNAL_H
/* What money.c and money_act.c share. */
#include "fabric_internal.h"

#define IFAB_MONEY_IN_TICK 256

ifab_usec ifab_money__time(const struct ifab_outcome *o);
ifab_money_look_fn ifab_money__look; /* user: the outcome */
void ifab_money__put_text(struct ifab_buf *p, const char *name, struct ifab_view text); /* ,"name":"text"; nothing when it is empty */
void ifab_money__put_entry(const struct ifab_fabric *self, struct ifab_buf *p, const struct ifab_outcome_entry *entry); /* ,"entry":{…} */
/* Can all of it be written? 208. Asked before anything of a step that spends is written. */
enum ifab_code ifab_money__amounts(const struct ifab_fabric__bill *bill, struct ifab_refusal *ret_refusal);
void ifab_money__id(const uint8_t id16[16], char ret_text[41]);
bool ifab_money__put_state(struct ifab_outcome *o, uint64_t number, const struct ifab_budget_state *state);
void ifab_money__levels(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_budget *budget, uint64_t limit,
                        const struct ifab_budget_state *state, unsigned reached, uint64_t cause);
/* task_money.c: after a refusal, what of the plan had no room becomes what the step lacked. */
void ifab_money__lacks(struct ifab_outcome *o, const struct ifab_money_plan *plan);
enum ifab_code ifab_money__reserve(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_fabric__hold *hold, bool always,
                                   struct ifab_reservation *ret, struct ifab_outcome_entry **ret_entry);
/* Room for one more of this owner, behind so many more? 304, 305. */
enum ifab_code ifab_money__room(const struct ifab_fabric *self, const struct ifab_outcome *o, uint32_t owner, size_t more, struct ifab_refusal *ret_refusal);
bool ifab_money__reservation(const struct ifab_fabric *self, const struct ifab_outcome *o, uint64_t number, struct ifab_reservation *ret);
struct ifab_money_spent {
    const struct ifab_money_plan *plan; /* in the arena */
    size_t entry_at;                    /* place of the cost's entry in the outcome */
    bool over, over_reserved;
    uint64_t beyond[IFAB_UNIT_COUNT]; /* of what it was to cost */
};
#define IFAB_MONEY_SHOWN_MAX 12 /* budgets in an answer: one that is too large is not kept for its Idempotency-Key, and must be (IFAB_KEPT_REPLY_BODY_MAX) */
/* ,"over":[…],"over_reserved"?:{…} */
void ifab_money__put_passed(struct ifab_buf *p, const struct ifab_money_spent *spent, size_t most);
enum ifab_code ifab_money__spend(const struct ifab_fabric *self, struct ifab_outcome *o, uint64_t number, const struct ifab_fabric__bill *bill,
                                 const uint8_t *rates32, struct ifab_money_spent *ret);
bool ifab_money__release(const struct ifab_fabric *self, struct ifab_outcome *o, const struct ifab_reservation *reservation, enum ifab_event event,
                         const struct ifab_fabric__bill *bill, struct ifab_outcome_entry **ret_entry);
#endif

#ifndef GOVERNOR_PRICES_H
#define GOVERNOR_PRICES_H
/*
 * The dated price table: a trust record, canonical JSON, kind 22, one for the fabric, the same bytes in the store and in the entry that set it:
 *   {"rows":[{"call_usd_micro"?,"from","in_usd_micro_per_mtok","model","out_usd_micro_per_mtok","provider"?}…],"v":1}
 * Rows are sorted by (model, from); a price holds from its date until the next one of the same model. Its version is its SHA-256, and stands in
 * every entry that was priced by it. Prices are integers: micro-USD for a million tokens.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/code.h"
#include "base/time.h"
#include "governor/money.h"
#include "json/json.h"

#define IFAB_PRICE_ROWS_MAX   256
#define IFAB_PRICE_RECORD_MAX 49152
#define IFAB_PRICE_MAX        ((uint64_t)1000000000000) /* micro-USD for a million tokens: $1,000,000 */

struct ifab_price {
    struct ifab_view model, provider; /* provider: may be empty */
    ifab_usec from;                   /* wall */
    uint64_t in, out;                 /* micro-USD for a million tokens */
    uint64_t call;                    /* micro-USD for a call */
};
struct ifab_prices;
ifab_status ifab_prices_new(struct ifab_prices **ret);
void ifab_prices_free(struct ifab_prices *self);
/* IFAB_CORRUPT: not such a table, not in its one spelling; IFAB_NOMEM. Nothing has changed then. No bytes: no table. */
IFAB_MUST_CHECK ifab_status ifab_prices_load(struct ifab_prices *self, struct ifab_view record, struct ifab_error *err);
struct ifab_view ifab_prices_record(const struct ifab_prices *self); /* size 0: none was set */
const uint8_t *ifab_prices_digest(const struct ifab_prices *self);   /* SHA-256 of the record; NULL: none */
size_t ifab_prices_count(const struct ifab_prices *self);
const struct ifab_price *ifab_prices_at(const struct ifab_prices *self, size_t i);
/* The price of a model at a time; NULL: none holds. */
const struct ifab_price *ifab_prices_find(const struct ifab_prices *self, struct ifab_view model, ifab_usec wall);
/* Rounded up once, over the whole: a cost is never below what its price says. false: above IFAB_MONEY_MAX. */
bool ifab_price_cost(const struct ifab_price *price, uint64_t tokens_in, uint64_t tokens_out, uint64_t calls, uint64_t *ret_usd_micro);

/* {"rows":[…]} as a person wrote it becomes the record; 208 with the row's place. */
enum ifab_code ifab_prices_set(const struct ifab_json *table, struct ifab_buf *record, struct ifab_refusal *ret_refusal);
#endif

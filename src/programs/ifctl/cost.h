#ifndef IFCTL_COST_H
#define IFCTL_COST_H
/* What the commands of money share. */
#include "cli.h"

#define MONEY_MAX ((uint64_t)9007199254740991) /* 2^53-1 */
#define COST_COLUMNS "USD_MICRO:cost.usd_micro|TOKENS_IN:cost.tokens_in|TOKENS_OUT:cost.tokens_out|CALLS:cost.calls|OVER:over|ENTRY:entry.index"

/* A whole number, or dollars as micro-dollars; never a float. */
int cli_amount(struct cli *cli, const char *name, const char *text, bool dollars, char ret_text[24]);
/* --usd --tokens-in --tokens-out --calls --model as the member "cost" */
int cli_cost_object(struct cli *cli, struct cli_body *body, bool any_money);
void cli_cost_subjects(struct cli *cli, struct cli_body *body); /* --capability --operation --provider --swarm --talent */
/* With an Idempotency-Key of its own, so that --retry counts once. Ends and frees body. */
int cli_post_once(struct cli *cli, const char *target, struct cli_body *body, const char *columns);
#endif

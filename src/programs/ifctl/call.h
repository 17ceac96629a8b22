#ifndef IFCTL_CALL_H
#define IFCTL_CALL_H
/* Calls of capabilities: parameters as options say them, plans, approvals, what an approver is shown. */
#include "capability/manifest.h"
#include "cli.h"

/*
 * call_params.c: what was given beside the command's own options becomes the JSON object params, each value by the type its schema names: a string
 * stands as it is; integer, number and object are JSON; boolean is true, false or a flag alone; an array is JSON, or one item for each time it is
 * given. -p NAME=VALUE means the same and reaches every name. schema NULL: there are none. 0, or EXIT_USAGE after naming the one that is meant.
 */
int call_params(struct cli *cli, const char *operation, const struct ifab_json *schema, struct ifab_buf *ret_json);

/* plan_check.c: a plan as an approver must see it. The hash that was asked for is computed here from what will be shown; scopes and effect are read from
 * the manifest, whose digest the hash covers. */
struct plan_checked {
    const struct ifab_json *plan; /* of the daemon; its members have been compared with the hash */
    const struct ifab_json *said; /* beside it: why, of who planned, and what the guest says; no hash covers them. NULL: not told */
    const struct ifab_operation *operation;
    struct ifab_manifest manifest;
};
/* The hash that a message asks for: content.data.apply.plan_hash. size 0: it asks for none. */
struct ifab_view cli_plan_asked(const struct ifab_json *envelope);
/* What this decision's message asks for, of its sender. 0, or an exit code after saying why (silent: without). */
int cli_plan_check(struct cli *cli, const struct ifab_json *decision, bool silent, struct ifab_arena *arena, struct plan_checked *ret);
extern const char cli_plan_unfit[]; /* in its place, where the check fails */
typedef void cli_plan_row_fn(void *user, const char *label, struct ifab_view text);
void cli_plan_rows(const struct plan_checked *plan, struct ifab_arena *arena, cli_plan_row_fn *row, void *user);

/* cmd_vote.c: on stderr, or that it cannot be; nothing for a message that asks for none, or when --quiet. */
void cli_show_plan(struct cli *cli, const struct ifab_json *decision, struct ifab_arena *arena);

/* call.c */
struct call {
    struct cli *cli;
    struct ifab_arena arena;
    const struct ifab_json *plan; /* as the daemon answered */
    char name[IFAB_CAPABILITY_ID_MAX + 1], hash[72];
};
void call_begin(struct call *self, struct cli *cli);
void call_end(struct call *self);
/* Plans what words and options say; prints a DENY. The answer is self->plan. */
int call_plan(struct call *self);
int call_read_plan(struct call *self, const char *hash_or_id); /* one that was made before */
int call_take(struct call *self, const struct ifab_json *plan); /* one that was read already */
/* The signed message that asks for its approval: 0 (SHARE), EXIT_HELD, EXIT_DENIED, or why it was not sent. */
int call_ask(struct call *self, char ret_id[41]);
void call_show(const struct call *self);                      /* stderr: what will be done */
/* Approved, asked for and approved, or not needed: 0. EXIT_HELD when it still waits, EXIT_DENIED. */
int call_approved(struct call *self, int64_t wait_usec);
int call_apply(struct call *self, bool dry_run); /* prints the receipt, also of a failure */
int call_falsify(struct call *self);             /* prints the challenges: 0, 32, 33 */
#endif

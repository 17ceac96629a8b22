#ifndef IFCTL_DRAFT_H
#define IFCTL_DRAFT_H
/* Drafts from flags and files: shared by message new, sign and send. */
#include "cli.h"

struct draft_box {
    struct ifab_draft draft;
    char sender[160];
    const char *to[64], *hazards[16];
    struct ifab_draft_evidence evidence[64];
    char urls[64][2048];
};
int cli_draft(struct cli *cli, struct draft_box *box); /* about 130 KiB: not on the stack */
const char *cli_draft_file(const struct cli *cli);
int cli_draft_read(struct cli *cli, const char *name, struct ifab_buf *text, bool *ret_signed);
#endif

#ifndef IFCTL_HEAD_H
#define IFCTL_HEAD_H
/* The signed tree head as witness, export and anchor commands need it. cmd_witness.c. */
#include "cli.h"
#include "witness/witness.h"

struct cli_head { /* views live as long as the arena */
    struct ifab_view note, vkey, name;
    uint8_t key32[32];
    struct ifab_checkpoint body;
};
/* The checkpoint, its signature checked with the fabric's own key (which only says that it is whole: trust comes from a vkey kept
 * elsewhere). */
int cli_checkpoint(struct cli *cli, struct ifab_arena *arena, struct cli_head *ret_head);
/* "path" of a proof: at most 64 hashes. */
bool cli_proof_path(const struct ifab_json *proof, uint8_t path[][32], size_t *ret_count);
#endif

#ifndef LOOP_VAULT_H
#define LOOP_VAULT_H
/* The vault beside the log; vault.c, route_secret.c. publish and settle run on the thread that commits, all else on the loop. */
#include "crypto/secret.h"
#include "node.h"
#include "vault/vault.h"

struct vault_ask { /* of a request that brings a value; in the request's arena */
    uint8_t to32[32];
    struct ifab_view sealed; /* more than IFAB_BOX_OVERHEAD bytes */
};
#define VAULT_SEALED_MAX (IFAB_VAULT_VALUE_MAX + 64 + IFAB_BOX_OVERHEAD)

/* Behind node_load() and the anchors. passphrase size 0: the key file. IFAB_CORRUPT: the vault is not the one that the log knows of. */
ifab_status vault_open(struct node *node, struct ifab_view passphrase, struct ifab_error *err);
void vault_close(struct node *node);
void vault_lend(struct node *node, struct ticket *ticket);                /* IFAB_COMMAND_SECRET, before its step */
void vault_stepped(struct node *node, struct batch *batch, bool changed); /* behind it, applied; changed: by this very step */
void vault_unstep(struct node *node);                                     /* what is staged and not in the fabric never was */
ifab_status vault_publish(struct node *node, const struct batch *batch, struct ifab_error *err);
void vault_settle(struct node *node, const struct batch *batch);
#endif

#ifndef LOOP_NODE_H
#define LOOP_NODE_H
/* The daemon: what ifd does, called by its main. Everything below runs on the calling thread but for the workers it starts. */
#include "base/status.h"
#include "base/view.h"

struct ifab_init_options {
    const char *directory;        /* DIR: made with 0700 when absent; must be empty */
    const char *http;             /* "127.0.0.1:8474"; NULL: that default; "": none */
    const char *name;             /* configured part of the origin; NULL: "infrafabric.local/main" */
    struct ifab_view passphrase;  /* of the operator's key; size 0: unencrypted */
    struct ifab_view why;
    const char *version;
};
/* A new fabric on disk: ifd.yaml, rules.yaml, keys/, data/ with entry 0, run/, anchors/. IFAB_CONFLICT: DIR is used. */
IFAB_MUST_CHECK ifab_status ifab_node_init(const struct ifab_init_options *options, struct ifab_error *err);

struct ifab_restore_options {
    const char *backup;    /* directory made by a backup */
    const char *directory; /* new DIR */
    const char *keys;      /* DIR/keys of the lost fabric: log.key and operator.pem are taken from here; NULL: backup/keys */
    struct ifab_view why;
    const char *version;
};
/* Goes on under a new origin whose entry 0 holds the old checkpoint. */
IFAB_MUST_CHECK ifab_status ifab_node_restore(const struct ifab_restore_options *options, struct ifab_error *err);

struct ifab_salvage_options {
    const char *lost;       /* directory of the fabric whose store is damaged; nothing in it is changed but its lock is taken */
    const char *directory;  /* new DIR */
    const char *keys;       /* NULL: as its ifd.yaml says */
    const char *checkpoint; /* one kept elsewhere, signed by the log's key; NULL: none */
    bool unproven;          /* also what no signed tree covers */
    struct ifab_view why;
    const char *version;
};
struct ifab_salvage_report {
    char origin[300];
    uint64_t kept, proven, readable; /* entries from 0 on: gone on from; covered by a signed tree; that can be read and hang together */
    uint64_t committed;              /* in the head, when committed_known; else the largest signed tree that was seen, 0: none */
    bool committed_known;
    uint64_t messages, messages_absent, from_tiles;
};
/* As ifab_node_restore(), from what can still be read; the kept entries lie in DIR/salvaged as an export. */
IFAB_MUST_CHECK ifab_status ifab_node_salvage(const struct ifab_salvage_options *options, struct ifab_salvage_report *ret_report, struct ifab_error *err);

struct ifab_node;
struct ifab_run_options {
    const char *config;  /* path of ifd.yaml */
    const char *version;
    struct ifab_view vault_passphrase; /* the vault's key comes from it; size 0: from its key file. Borrowed until the daemon serves */
    int ready_fd;        /* where the "ready …" line goes; -1: nowhere */
};
/* Serves until SIGTERM or SIGINT. Returns when all is closed. IFAB_OK: a clean end; else err says why it did not start or had to stop. */
IFAB_MUST_CHECK ifab_status ifab_node_run(const struct ifab_run_options *options, struct ifab_error *err);
#endif

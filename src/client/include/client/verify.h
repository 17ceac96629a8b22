#ifndef CLIENT_VERIFY_H
#define CLIENT_VERIFY_H
/*
 * Offline verification of what a fabric gives out: a log export (a directory) and a receipt (one JSON file). SURFACE sections 3, 4 and 9.
 * Nothing is repaired and nothing is asked over a network. Integrity (does it agree with itself, from the entries up to the signed root)
 * and trust (is it signed by the key the caller trusts, and does it go on from what the caller saw before) are told apart. Threads: any;
 * one call does not know of another. ifab_crypto_init() comes first.
 */
#include "base/status.h"
#include "base/view.h"

#define IFAB_VERIFY_ORIGIN_MAX 256

enum ifab_verify_verdict {
    IFAB_VERIFY_NOT_VERIFIED = 0, /* zeroed memory verifies nothing */
    IFAB_VERIFY_CONSISTENT,       /* whole, but the caller named no key to trust */
    IFAB_VERIFY_VERIFIED,         /* whole, and signed by the key the caller named */
};

struct ifab_verify_options {     /* zeroed: no key, everything checked; every view borrowed until the call returns */
    struct ifab_view vkey;       /* C2SP verifier key the caller trusts, without line end; size 0: none */
    struct ifab_view checkpoint; /* signed note seen before: the log must still contain that tree; size 0: none */
    bool has_min_size;
    uint64_t min_size; /* entries at least */
    bool hash_only;    /* logs: leaf hashes, tiles, root and signature; no JSON, no chain, no messages */
    void (*progress)(void *user, uint64_t done, uint64_t size); /* after each bundle; may be NULL */
    void *user;
    bool follow_rotation; /* logs: the trusted key may be an earlier one of this log, when every change of key since can be proven; not with hash_only */
};

struct ifab_verify_report {
    enum ifab_verify_verdict verdict;
    bool intact;                         /* integrity */
    bool trusted;                        /* trust */
    char integrity[320], trust[320];     /* in words; nothing of the input is quoted in them */
    char origin[IFAB_VERIFY_ORIGIN_MAX]; /* of the checkpoint, UTF-8 without control characters; "" when there is none */
    uint64_t size;                       /* entries the checkpoint covers */
    uint8_t root32[32];
    uint64_t entries_checked;
    uint64_t messages_good, messages_erased, messages_absent; /* bytes checked; erased by an act in the log; not part of this export */
    bool has_bad_index;
    uint64_t bad_index; /* first entry that is wrong */
    uint64_t rotations; /* changes of the log's key in it */
    char vkey[512];     /* the key that signs it now, when there were some; else "" */
};

/**
 * Verify a log export: `checkpoint`, `tile/…`, `tile/entries/…`, `keys/vkey`, optionally `messages/<index>.json` and `erased.json`.
 *
 * Checked for each entry: canonical form, index without gap, prev_hash, time not decreasing, leaf in the tile; then higher tiles, root,
 * signature; for each message: digest as in its entry, signature, and the key as enrolled for its sender by an earlier entry.
 *
 * @return IFAB_OK       there is a verdict in ret_report, good or bad
 *         IFAB_INVALID  the options make no sense (vkey or checkpoint is none)
 *         IFAB_NOT_FOUND, IFAB_IO  dir cannot be read: no verdict
 *         IFAB_NOMEM
 * Whatever is returned, ret_report is filled as far as it went and never says verified by mistake.
 */
IFAB_MUST_CHECK ifab_status ifab_verify_log(const char *dir, const struct ifab_verify_options *options,
                                            struct ifab_verify_report *ret_report, struct ifab_error *err);

/**
 * Verify a receipt with checkpoint and proof ({"index","size","leaf","path":[hex…],"entry"}); without them it is not verified.
 *
 * @param bytes  the receipt as JSON, at most 1 MiB
 * options.checkpoint: only one of the same size can be compared (a receipt holds no consistency proof); options.min_size: it says nothing of
 * how many entries there are now. What is whole and trusted and yet cannot be compared so is IFAB_INVALID, not broken: err says with what to
 * compare instead. options.follow_rotation: IFAB_INVALID.
 * @return as above
 */
IFAB_MUST_CHECK ifab_status ifab_verify_receipt(struct ifab_view bytes, const struct ifab_verify_options *options,
                                                struct ifab_verify_report *ret_report, struct ifab_error *err);

/**
 * Verify an .ifproof bundle: the envelope's exact bytes, the entry that decided about it, the entry that enrolled its key, their proofs and one
 * checkpoint (docs/formats/ifproof.md). What later entries say of that key is not in a bundle: only a log's export can tell.
 *
 * @param bytes  the bundle as JSON, at most 4 MiB
 * options and @return as above
 */
IFAB_MUST_CHECK ifab_status ifab_verify_bundle(struct ifab_view bytes, const struct ifab_verify_options *options,
                                               struct ifab_verify_report *ret_report, struct ifab_error *err);

/* One file, at most max bytes, into *ret_bytes (ifab_free it). IFAB_NOT_FOUND, IFAB_TOO_LARGE, IFAB_INVALID (no regular file), IFAB_IO,
 * IFAB_NOMEM. */
IFAB_MUST_CHECK ifab_status ifab_verify_read_file(const char *path, size_t max, struct ifab_view *ret_bytes, struct ifab_error *err);
#endif

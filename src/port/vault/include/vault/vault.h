#ifndef VAULT_VAULT_H
#define VAULT_VAULT_H
/*
 * The vault: values of secrets, kept by a back-end and lent for the length of a call. DESIGN section 5 Vault; INV-04, INV-09.
 *
 *   stage     the next generation, in memory: nothing is durable, nothing is in force
 *   publish   it is durable beside the generation in force, under its own counter
 *   (the log's commit, whose entry names counter and digest: from here on it is in force)
 *   settle    its values are used from now on; every other generation goes
 *   back      staged ones above a counter never were
 *
 * So a change is in force exactly when the log says so, whenever a crash comes: before the commit what was published is a leftover that the next
 * open takes away, behind it the generation that the log names is there (docs/decisions/vault.md).
 *
 * Values live in locked memory, are wiped, and come out of here in two ways only: to ifab_vault_use()'s callback, for an origin that stands in the
 * record; and to those who look for them in what others send, ifab_vault_live() and ifab_vault_search().
 * Threads: any, on the file back-end. One at a time calls stage and back (who steps), one at a time publish and settle (who commits).
 */
#include "base/status.h"
#include "base/view.h"

#define IFAB_VAULT_ABI         1
#define IFAB_VAULT_NAME_MAX    64
#define IFAB_VAULT_ORIGINS     8
#define IFAB_VAULT_ORIGIN_MAX  268
#define IFAB_VAULT_RECORDS_MAX 1024
#define IFAB_VAULT_VALUE_MIN   8 /* bytes: shorter ones can be guessed, and cannot be looked for in what others send */
#define IFAB_VAULT_VALUE_MAX   4096
#define IFAB_VAULT_STAGED_MAX  16 /* generations staged and not settled: more is IFAB_AGAIN */

struct ifab_vault_mark {  /* names a generation; the log holds it */
    uint64_t counter;     /* changes so far; 0: the empty vault, which is nowhere */
    uint8_t digest32[32]; /* SHA-256 of the generation as it is kept */
};
struct ifab_vault_about {                         /* what a value is bound to: none of it can be altered without being noticed */
    struct ifab_view name;                        /* 1..IFAB_VAULT_NAME_MAX bytes */
    uint32_t version;                             /* 1 and up */
    uint64_t counter;                             /* of the generation that brought this value */
    struct ifab_view origins[IFAB_VAULT_ORIGINS]; /* each 1..IFAB_VAULT_ORIGIN_MAX bytes */
    size_t origin_count;                          /* at least 1 */
};
struct ifab_vault_change {
    struct ifab_vault_about about; /* counter is the next one whatever stands there; of a removal the name alone is read */
    struct ifab_view value;        /* borrowed; size 0: the secret is removed */
};
/* One record of a generation; value is borrowed locked memory, until the call returns. */
typedef ifab_status ifab_vault_visit_fn(void *user, const struct ifab_vault_about *about, struct ifab_view value, struct ifab_error *err);

struct ifab_vault_backend;
struct ifab_vault_ops {
    unsigned abi;     /* IFAB_VAULT_ABI it was compiled against; new members go at the end */
    const char *name; /* as the setting vault.backend spells it */
    /*
     * Every record of exactly this generation, and it is the newest staged from now on. counter 0: there must be none that a change before the first
     * commit cannot have left. IFAB_NOT_FOUND: no vault, or no key for it; IFAB_CORRUPT: it is not what the mark says, an older or a later one, or
     * altered; IFAB_DENIED: modes, owner, another key. err says which, and what to do.
     */
    ifab_status (*load)(struct ifab_vault_backend *self, const struct ifab_vault_mark *mark, ifab_vault_visit_fn *visit, void *user,
                        struct ifab_error *err);
    /* The newest staged generation with this change. IFAB_AGAIN: too many are staged. IFAB_FULL, IFAB_NOMEM: nothing has changed. */
    ifab_status (*stage)(struct ifab_vault_backend *self, const struct ifab_vault_change *change, struct ifab_vault_mark *ret_mark,
                         struct ifab_error *err);
    /* Durable when it returns; what was there stays. IFAB_FULL: no room; any other failure: it may be there or not. Again is fine. */
    ifab_status (*publish)(struct ifab_vault_backend *self, uint64_t counter, struct ifab_error *err);
    /* All others go. A failure leaves leftovers, which the next settle or load takes away. counter 0: all go. */
    ifab_status (*settle)(struct ifab_vault_backend *self, uint64_t counter, struct ifab_error *err);
    void (*back)(struct ifab_vault_backend *self, uint64_t counter);
    void (*close)(struct ifab_vault_backend *self);
};
struct ifab_vault_backend {
    const struct ifab_vault_ops *ops;
};

/* One file a generation, "<20 digits>.vault", docs/formats/vault.md. The directory is made by the first publish, as is a key file. */
struct ifab_vault_file_options {
    const char *directory;       /* 0700, ours */
    const char *key_file;        /* 0600, ours: "IF-VAULT-KEY-1 " + base64url of 32 bytes + LF */
    struct ifab_view passphrase; /* size > 0: the key comes from it and key_file is not looked at; copied into locked memory */
    uint32_t passes, memory_kib; /* of Argon2id for a new vault; 0: the usual */
};
IFAB_MUST_CHECK ifab_status ifab_vault_file_open(const struct ifab_vault_file_options *options, struct ifab_vault_backend **ret_backend,
                                                 struct ifab_error *err);
/* For tests: a "disk" that outlives those who open it, and a wrapper that fails its n-th call before the inner back-end sees it. */
struct ifab_vault_disk;
IFAB_MUST_CHECK ifab_status ifab_vault_disk_new(struct ifab_vault_disk **ret_disk);
void ifab_vault_disk_free(struct ifab_vault_disk *self);
IFAB_MUST_CHECK ifab_status ifab_vault_memory_open(struct ifab_vault_disk *disk, struct ifab_vault_backend **ret_backend, struct ifab_error *err);
struct ifab_vault_fault {
    uint64_t calls, at; /* so many so far; the at-th fails (0: none) */
    ifab_status status;
};
IFAB_MUST_CHECK ifab_status ifab_vault_fault_open(struct ifab_vault_backend *inner /* moved on success */,
                                                  struct ifab_vault_fault *plan /* borrowed */, struct ifab_vault_backend **ret_backend,
                                                  struct ifab_error *err);
void ifab_vault_backend_close(struct ifab_vault_backend *self); /* accepts NULL */

struct ifab_vault;
/* backend is moved in any case. Loads what the mark says and takes leftovers away. Statuses of load. */
IFAB_MUST_CHECK ifab_status ifab_vault_open(struct ifab_vault_backend *backend, const struct ifab_vault_mark *mark, struct ifab_vault **ret_vault,
                                            struct ifab_error *err);
void ifab_vault_close(struct ifab_vault *self); /* wipes; accepts NULL */
const char *ifab_vault_backend_name(const struct ifab_vault *self);

/* IFAB_INVALID: name, origins or value outside of their bounds; IFAB_NOT_FOUND: a removal of what is not there; IFAB_FULL: no room, or no more locked
 * memory; IFAB_AGAIN: too many staged. Nothing has changed then. */
IFAB_MUST_CHECK ifab_status ifab_vault_stage(struct ifab_vault *self, const struct ifab_vault_change *change, struct ifab_vault_mark *ret_mark,
                                             struct ifab_error *err);
IFAB_MUST_CHECK ifab_status ifab_vault_publish(struct ifab_vault *self, uint64_t counter, struct ifab_error *err);
/* The values are in force even where the back-end fails: that says only that leftovers are still there. */
ifab_status ifab_vault_settle(struct ifab_vault *self, uint64_t counter, struct ifab_error *err);
void ifab_vault_back(struct ifab_vault *self, uint64_t counter);

/* Those in force, by place: for comparing with what the log says. false: no more. */
bool ifab_vault_at(struct ifab_vault *self, size_t place, struct ifab_vault_about *ret_about); /* borrowed until the next settle */

/* A handle names one value: it says nothing about the bytes, and is dead once the secret is rotated or revoked. */
struct ifab_vault_handle {
    uint64_t id; /* 0: none */
};
IFAB_MUST_CHECK ifab_status ifab_vault_find(struct ifab_vault *self, struct ifab_view name,
                                            struct ifab_vault_handle *ret_handle); /* IFAB_NOT_FOUND */
/* Borrowed locked memory, until it returns: not to be kept, and nothing of this header but search may be called from there. It returns soon. */
typedef ifab_status ifab_vault_use_fn(void *user, struct ifab_view value);
/*
 * Gives the bytes to fn, once, if the record names this origin; returns what fn returns. Which entry says so is the caller's duty and comes first
 * (INV-04). IFAB_NOT_FOUND: revoked, or another version by now: find it again. IFAB_DENIED: not for this origin. fn is not called then.
 */
IFAB_MUST_CHECK ifab_status ifab_vault_use(struct ifab_vault *self, struct ifab_vault_handle handle, struct ifab_view origin, ifab_vault_use_fn *fn,
                                           void *user, struct ifab_error *err);
/*
 * Every value that has not left this process: in force, staged, and up to IFAB_VAULT_RECORDS_MAX that were before, newest kept. For those who search
 * answers for them. true from fn ends it. Under the same rule as above.
 */
typedef bool ifab_vault_live_fn(void *user, struct ifab_view value);
void ifab_vault_live(struct ifab_vault *self, ifab_vault_live_fn *fn, void *user);
/* The first of them in text at or behind from, byte for byte; the longest where several begin. One pass over text. */
bool ifab_vault_search(struct ifab_vault *self, struct ifab_view text, size_t from, size_t *ret_at, size_t *ret_size);
#endif

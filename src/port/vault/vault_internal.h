#ifndef VAULT_INTERNAL_H
#define VAULT_INTERNAL_H
/* Shared inside src/port/vault only. */
#include "base/buf.h"
#include "base/encode.h"
#include "base/mem.h"
#include "crypto/crypto.h"
#include "crypto/secret.h"
#include "vault/vault.h"

/* IFAB_INVALID: outside of the bounds of the header. removal: the name alone is looked at. */
ifab_status ifab_vault__check(const struct ifab_vault_about *about, bool removal, struct ifab_error *err);

/* ---- vault_values.c: values in locked memory ---- */
enum vault_state { VAULT_STAGED, VAULT_CURRENT, VAULT_PAST };
struct vault_value {
    enum vault_state state;
    uint64_t id;                   /* of its handle; never used again */
    struct ifab_vault_about about; /* its views point into text */
    uint64_t removed_at;           /* counter of a staged change that takes it away or its place; 0: none */
    uint8_t *bytes;                /* locked */
    size_t size;
    uint8_t text[];
};
struct vault_values {
    struct vault_value **items;  /* by age */
    struct vault_value **sorted; /* the same by their first IFAB_VAULT_VALUE_MIN bytes */
    size_t count, room;
    uint64_t next_id;
    uint8_t *starts; /* locked: a bit for each pair of bytes that some value begins with */
};
ifab_status vault_values_init(struct vault_values *self, struct ifab_error *err);
void vault_values_fini(struct vault_values *self);
ifab_status vault_values_add(struct vault_values *self, enum vault_state state, const struct ifab_vault_about *about, struct ifab_view value,
                             struct ifab_error *err);
struct vault_value *vault_values_current(const struct vault_values *self, struct ifab_view name);
void vault_values_settle(struct vault_values *self, uint64_t counter); /* what was staged up to there is current, what it replaced past */
void vault_values_back(struct vault_values *self, uint64_t counter);
size_t vault_values_longest(const struct vault_values *self, const uint8_t *at,
                            size_t left); /* size of the longest value that stands at `at`; 0: none */
/* The name as the newest staged change leaves it: NULL: not there. */
struct vault_value *vault_values_newest(const struct vault_values *self, struct ifab_view name);

/* ---- vault_file_format.c: docs/formats/vault.md ---- */
#define VAULT_FILE_MAX   ((size_t)16 << 20)
#define VAULT_KDF_FILE   1
#define VAULT_KDF_ARGON2 2
struct vault_seal {                   /* how a vault is sealed: fixed when it is made */
    uint32_t kdf, passes, memory_kib; /* VAULT_KDF_FILE: both 0, and salt16 zero */
    uint8_t salt16[16], id16[16];
};
struct vault_keys { /* in locked memory */
    uint8_t record32[32], file32[32];
};
void vault_keys_derive(const uint8_t master32[32], const struct vault_seal *seal, struct vault_keys *ret_keys);
/* The head of a file, believed by nobody yet. IFAB_CORRUPT: not a vault file; IFAB_UNSUPPORTED: of a later form. */
ifab_status vault_format_head(struct ifab_view file, struct vault_seal *ret_seal, uint64_t *ret_counter, struct ifab_error *err);
/* Every byte of it is what a holder of the key wrote; visit may be NULL. IFAB_DENIED: another key; IFAB_CORRUPT. */
ifab_status vault_format_read(struct ifab_view file, const struct vault_keys *keys, ifab_vault_visit_fn *visit, void *user, struct ifab_error *err);
/* before (size 0: none) with one change, its counter one higher. before was read, or written here. */
ifab_status vault_format_write(struct ifab_view before, const struct vault_seal *seal, const struct vault_keys *keys,
                               const struct ifab_vault_change *change, struct ifab_buf *file, struct ifab_error *err);

/* ---- vault_file_key.c ---- */
#define VAULT_KEY_TEXT 59 /* bytes of a key file */
/* IFAB_NOT_FOUND: no such file; IFAB_DENIED: mode, owner, link; IFAB_INVALID: not a key. */
ifab_status vault_key_read(const char *path, uint8_t *ret_key32, struct ifab_error *err);
ifab_status vault_key_write(const char *path, const uint8_t *key32, struct ifab_error *err); /* new, 0600, durable; IFAB_CONFLICT: another is there */
ifab_status vault_sync_directory(const char *path, struct ifab_error *err);
ifab_status vault_errno(struct ifab_error *err, const char *path, int error); /* IFAB_FULL where there is no room, else IFAB_IO, IFAB_DENIED */
#endif

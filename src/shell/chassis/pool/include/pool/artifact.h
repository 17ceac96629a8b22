#ifndef POOL_ARTIFACT_H
#define POOL_ARTIFACT_H
/*
 * Compiled modules on disk. An artifact is native code without any check of its own, so what is read back is used only under a MAC of the
 * daemon's key. docs/formats/artifact-cache.md.
 * 1. A file is HMAC-SHA-256(mac key, cache key ‖ artifact) ‖ artifact, its name the cache key. The MAC is checked at every load, in constant time.
 * 2. A file that is not exactly that (MAC, size, kind of file) is removed, never used; the module is compiled anew.
 * 3. A name appears only after its bytes are on disk. All files together stay within max_bytes; the least recently used go first.
 */
#include "base/buf.h"
#include "base/status.h"
#include "base/view.h"

struct ifab_artifact_cache;

/* The cache key: over the module and everything that decides what it compiles to. engine, version, config as READY says them. */
void ifab_artifact_key(const uint8_t wasm_sha256[32], struct ifab_view engine, struct ifab_view version, struct ifab_view config,
                       uint8_t ret_key32[32]);

/* Makes the directory (0700) where it is missing. IFAB_IO; IFAB_DENIED: not a directory of ours, or others may write to it; IFAB_NOMEM. */
ifab_status ifab_artifact_cache_open(const char *path, const uint8_t mac_key32[32], uint64_t max_bytes, struct ifab_artifact_cache **ret,
                                     struct ifab_error *err);
void ifab_artifact_cache_close(struct ifab_artifact_cache *self); /* wipes the key; accepts NULL */

/*
 * Threads: any number at once. The artifact is appended to buf, whose limit bounds it.
 * IFAB_NOT_FOUND: none. IFAB_CORRUPT: there was one that is not ours: it has been removed. IFAB_IO, IFAB_NOMEM: as none.
 */
ifab_status ifab_artifact_cache_get(struct ifab_artifact_cache *self, const uint8_t key32[32], struct ifab_buf *buf, struct ifab_error *err);
/* IFAB_OK; IFAB_TOO_LARGE: above max_bytes; IFAB_IO, IFAB_NOMEM: not kept, nothing half-written under its name. */
ifab_status ifab_artifact_cache_put(struct ifab_artifact_cache *self, const uint8_t key32[32], struct ifab_view artifact, struct ifab_error *err);
#endif

#ifndef MODULE_MODULE_H
#define MODULE_MODULE_H
/*
 * The bytes of a capability's module, from below the one folder where the operator puts them (capabilities.dir). FL-CAP-2, FL-CAP-4; INV-07.
 * Opened once, below the root and through no link; what is read from that descriptor is what was measured and what is run: nothing is opened again
 * by its name.
 */
#include "base/buf.h"
#include "base/status.h"
#include "base/view.h"

struct ifab_module_file {
    struct ifab_buf bytes; /* owned; ifab_module_fini() */
    uint8_t sha256[32];    /* of them */
};
/*
 * root: an existing folder of this process's user or root, which nobody else may write in. path: as the manifest has it, relative; may lead through folders, but not
 * through links, mounts or "..". max: bytes; a larger file is not read.
 * IFAB_NOT_FOUND: no such file or root · IFAB_DENIED: a link, not a plain file, or writable by others · IFAB_TOO_LARGE · IFAB_IO: it cannot be
 * read, or changed while it was · IFAB_UNSUPPORTED: a kernel without openat2 (before 5.6) · IFAB_NOMEM. Threads: any.
 */
IFAB_MUST_CHECK ifab_status ifab_module_read(const char *root, struct ifab_view path, size_t max, struct ifab_module_file *ret_file,
                                             struct ifab_error *err);
void ifab_module_fini(struct ifab_module_file *file); /* accepts a zeroed one */
#endif

#ifndef BASE_BUF_H
#define BASE_BUF_H
/*
 * A growing byte buffer that was told its largest size when it was made.
 * Invariant: a failed append sets `failed` and leaves size unchanged; later appends do nothing. So a writer appends
 * freely and asks once, at the end, with ifab_buf_status().
 */
#include "base/status.h"
#include "base/view.h"

struct ifab_buf {
    uint8_t *data; /* owned; NULL while empty */
    size_t size, capacity, limit;
    enum ifab_status failed; /* IFAB_OK, IFAB_NOMEM or IFAB_TOO_LARGE */
};

#define IFAB_BUF_INIT(limit_) {NULL, 0, 0, (limit_), IFAB_OK}
void ifab_buf_init(struct ifab_buf *self, size_t limit);
void ifab_buf_fini(struct ifab_buf *self);  /* frees; accepts a zeroed one */
void ifab_buf_clear(struct ifab_buf *self); /* size 0 and not failed; keeps the storage */
ifab_status ifab_buf_reserve(struct ifab_buf *self, size_t more); /* room for `more` bytes; sets failed if not */
void ifab_buf_put_slow_(struct ifab_buf *self, const void *bytes, size_t size);
static inline void ifab_buf_put(struct ifab_buf *self, const void *bytes, size_t size)
{
    if (size <= self->capacity - self->size && self->failed == IFAB_OK && size > 0) {
        memcpy(self->data + self->size, bytes, size);
        self->size += size;
    } else if (size > 0) {
        ifab_buf_put_slow_(self, bytes, size);
    }
}
static inline void ifab_buf_view(struct ifab_buf *self, struct ifab_view v) { ifab_buf_put(self, v.data, v.size); }
static inline void ifab_buf_char(struct ifab_buf *self, char c) { ifab_buf_put(self, &c, 1); }
void ifab_buf_str(struct ifab_buf *self, const char *text);
void ifab_buf_u64(struct ifab_buf *self, uint64_t value); /* decimal */
void ifab_buf_i64(struct ifab_buf *self, int64_t value);  /* decimal */
void ifab_buf_hex(struct ifab_buf *self, const void *bytes, size_t size);       /* lower case */
void ifab_buf_base64url(struct ifab_buf *self, const void *bytes, size_t size); /* without padding */
void ifab_buf_base64(struct ifab_buf *self, const void *bytes, size_t size);    /* standard alphabet, padded (C2SP notes) */
void ifab_buf_format(struct ifab_buf *self, const char *format, ...) __attribute__((format(__printf__, 2, 3)));
static inline ifab_status ifab_buf_status(const struct ifab_buf *self) { return self->failed; }
static inline struct ifab_view ifab_buf_as_view(const struct ifab_buf *self)
{
    return (struct ifab_view){self->data, self->size};
}
#endif

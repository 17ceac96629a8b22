/* The artifact cache: one directory, a file an artifact. Invariants in artifact.h. */
#include "pool/artifact.h"
#include "base/mem.h"
#include "crypto/crypto.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAC_SIZE  32U
#define KEY_SIZE  32U
#define NAME_SIZE (2 * KEY_SIZE + sizeof ".artifact")
#define FILES_MAX 4096U /* files looked at when room is made; more than that: the rest is removed too */
#define UNNAMED   "new-"
#define PURPOSE   "IF-ARTIFACT-v1\n"

struct ifab_artifact_cache {
    int fd; /* of the directory */
    uint8_t mac_key32[32];
    uint64_t max_bytes;
};

static void add_sized(struct ifab_sha256 *hash, struct ifab_view part)
{
    uint8_t size[8];
    for (unsigned i = 0; i < sizeof size; i++)
        size[i] = (uint8_t)((uint64_t)part.size >> (8 * i));
    ifab_sha256_add(hash, ifab_view_of(size, sizeof size));
    ifab_sha256_add(hash, part);
}

void ifab_artifact_key(const uint8_t wasm_sha256[32], struct ifab_view engine, struct ifab_view version, struct ifab_view config,
                       uint8_t ret_key32[32])
{
    struct ifab_sha256 hash;
    ifab_sha256_begin(&hash);
    ifab_sha256_add(&hash, IFAB_VIEW(PURPOSE));
    ifab_sha256_add(&hash, ifab_view_of(wasm_sha256, 32));
    add_sized(&hash, engine);
    add_sized(&hash, version);
    add_sized(&hash, config);
    ifab_sha256_end(&hash, ret_key32);
}

/* What a crash left half-written. */
static void remove_unnamed(int fd)
{
    int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = own < 0 ? NULL : fdopendir(own);
    if (dir == NULL) {
        if (own >= 0)
            (void)close(own);
        return;
    }
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (strncmp(e->d_name, UNNAMED, sizeof UNNAMED - 1) == 0)
            (void)unlinkat(fd, e->d_name, 0);
    }
    (void)closedir(dir);
}

static ifab_status system_fail(struct ifab_error *err, const char *what)
{
    return ifab_fail(err, IFAB_IO, "artifact cache: cannot %s: %s", what, strerror(errno));
}

ifab_status ifab_artifact_cache_open(const char *path, const uint8_t mac_key32[32], uint64_t max_bytes, struct ifab_artifact_cache **ret,
                                     struct ifab_error *err)
{
    struct stat st;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return system_fail(err, "make its directory");
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return system_fail(err, "open its directory");
    if (fstat(fd, &st) != 0 || st.st_uid != geteuid() || (st.st_mode & 077) != 0) {
        (void)close(fd);
        return ifab_fail(err, IFAB_DENIED, "artifact cache: its directory must be ours, and nobody else's to look into (chmod 700)");
    }
    struct ifab_artifact_cache *self = ifab_calloc(1, sizeof *self);
    if (self == NULL) {
        (void)close(fd);
        return ifab_fail(err, IFAB_NOMEM, "artifact cache");
    }
    self->fd = fd;
    remove_unnamed(fd);
    self->max_bytes = max_bytes;
    memcpy(self->mac_key32, mac_key32, sizeof self->mac_key32);
    *ret = self;
    return IFAB_OK;
}

void ifab_artifact_cache_close(struct ifab_artifact_cache *self)
{
    if (self == NULL)
        return;
    (void)close(self->fd);
    ifab_wipe(self->mac_key32, sizeof self->mac_key32);
    ifab_free(self);
}

static void name_of(const uint8_t key32[32], char ret_name[NAME_SIZE])
{
    for (unsigned i = 0; i < KEY_SIZE; i++)
        (void)snprintf(ret_name + 2 * i, 3, "%02x", key32[i]);
    memcpy(ret_name + 2 * (size_t)KEY_SIZE, ".artifact", sizeof ".artifact");
}

static bool read_all(int fd, uint8_t *to, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t got = read(fd, to + at, size - at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += (size_t)got;
    }
    return true;
}

static bool write_all(int fd, struct ifab_view v)
{
    for (size_t at = 0; at < v.size;) {
        ssize_t put = write(fd, v.data + at, v.size - at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        at += (size_t)put;
    }
    return true;
}

/* whole: cache key ‖ artifact, so that the MAC is over one piece. */
static ifab_status read_file(struct ifab_artifact_cache *self, int fd, const uint8_t key32[32], size_t max, struct ifab_buf *whole,
                             struct ifab_error *err)
{
    uint8_t mac[MAC_SIZE], expected[MAC_SIZE];
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= (off_t)MAC_SIZE || (uint64_t)st.st_size - MAC_SIZE > max)
        return ifab_fail(err, IFAB_CORRUPT, "artifact cache: not a file of a fitting size");
    size_t size = (size_t)st.st_size - MAC_SIZE;
    ifab_buf_init(whole, KEY_SIZE + max);
    if (ifab_buf_reserve(whole, KEY_SIZE + size) != IFAB_OK)
        return ifab_fail(err, IFAB_NOMEM, "artifact cache");
    memcpy(whole->data, key32, KEY_SIZE);
    whole->size = KEY_SIZE + size;
    if (!read_all(fd, mac, sizeof mac) || !read_all(fd, whole->data + KEY_SIZE, size))
        return ifab_fail(err, IFAB_CORRUPT, "artifact cache: shorter than its size");
    ifab_hmac_sha256(ifab_view_of(self->mac_key32, sizeof self->mac_key32), ifab_buf_as_view(whole), expected);
    if (!ifab_equal_ct(mac, expected, sizeof mac))
        return ifab_fail(err, IFAB_CORRUPT, "artifact cache: wrong MAC");
    return IFAB_OK;
}

ifab_status ifab_artifact_cache_get(struct ifab_artifact_cache *self, const uint8_t key32[32], struct ifab_buf *buf, struct ifab_error *err)
{
    char name[NAME_SIZE];
    struct ifab_buf whole = IFAB_BUF_INIT(0);
    name_of(key32, name);
    int fd = openat(self->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return IFAB_NOT_FOUND;
    if (fd < 0 && errno == ELOOP) { /* a link in our directory is not ours */
        (void)unlinkat(self->fd, name, 0);
        return ifab_fail(err, IFAB_CORRUPT, "artifact cache: a link under a name of ours");
    }
    if (fd < 0)
        return system_fail(err, "open a file");
    ifab_status status = read_file(self, fd, key32, buf->limit - buf->size, &whole, err);
    if (status == IFAB_CORRUPT && unlinkat(self->fd, name, 0) != 0 && errno == EISDIR)
        (void)unlinkat(self->fd, name, AT_REMOVEDIR);
    if (status == IFAB_OK) {
        (void)futimens(fd, NULL); /* used now: it goes last */
        ifab_buf_put(buf, whole.data + KEY_SIZE, whole.size - KEY_SIZE);
        status = ifab_buf_status(buf);
    }
    (void)close(fd);
    ifab_buf_fini(&whole);
    return status;
}

struct file {
    char name[NAME_SIZE];
    struct timespec used;
    uint64_t size;
};

static bool is_ours(const char *name)
{
    return strlen(name) == NAME_SIZE - 1 && strspn(name, "0123456789abcdef") == (size_t)2 * KEY_SIZE &&
           strcmp(name + 2 * (size_t)KEY_SIZE, ".artifact") == 0;
}

static int by_use(const void *a, const void *b)
{
    const struct file *x = a, *y = b;
    if (x->used.tv_sec != y->used.tv_sec)
        return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
    return x->used.tv_nsec < y->used.tv_nsec ? -1 : x->used.tv_nsec > y->used.tv_nsec;
}

static size_t list(int fd, struct file *files, uint64_t *ret_bytes)
{
    size_t count = 0;
    struct stat st;
    DIR *dir = NULL;
    int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *ret_bytes = 0;
    if (own < 0 || (dir = fdopendir(own)) == NULL) {
        if (own >= 0)
            (void)close(own);
        return 0;
    }
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (!is_ours(e->d_name) || fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (count == FILES_MAX) {
            (void)unlinkat(fd, e->d_name, 0);
            continue;
        }
        memcpy(files[count].name, e->d_name, NAME_SIZE);
        files[count].used = st.st_mtim;
        files[count].size = (uint64_t)st.st_size;
        *ret_bytes += files[count++].size;
    }
    (void)closedir(dir);
    return count;
}

/* Room for `more` bytes: the least recently used go. Two at once may remove a little more than needed, never less. */
static ifab_status make_room(struct ifab_artifact_cache *self, uint64_t more, struct ifab_error *err)
{
    uint64_t bytes = 0;
    struct file *files = ifab_malloc(FILES_MAX * sizeof *files);
    if (files == NULL)
        return ifab_fail(err, IFAB_NOMEM, "artifact cache");
    size_t count = list(self->fd, files, &bytes);
    qsort(files, count, sizeof *files, by_use);
    for (size_t i = 0; i < count && bytes + more > self->max_bytes; i++) {
        if (unlinkat(self->fd, files[i].name, 0) == 0 || errno == ENOENT)
            bytes -= files[i].size;
    }
    ifab_free(files);
    return bytes + more > self->max_bytes ? ifab_fail(err, IFAB_IO, "artifact cache: no room can be made") : IFAB_OK;
}

/* MAC ‖ artifact on the disk, without a name yet, then under its name: what was there under it is replaced. */
static ifab_status write_file(struct ifab_artifact_cache *self, const uint8_t mac[MAC_SIZE], struct ifab_view artifact, const char *name,
                              struct ifab_error *err)
{
    char unnamed[NAME_SIZE + 32];
    uint64_t tag;
    ifab_random(&tag, sizeof tag);
    (void)snprintf(unnamed, sizeof unnamed, UNNAMED "%016llx", (unsigned long long)tag);
    int fd = openat(self->fd, unnamed, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return system_fail(err, "make a file");
    bool ok = write_all(fd, ifab_view_of(mac, MAC_SIZE)) && write_all(fd, artifact) && fsync(fd) == 0;
    ifab_status status = ok ? IFAB_OK : system_fail(err, "write a file");
    (void)close(fd);
    if (status == IFAB_OK && renameat(self->fd, unnamed, self->fd, name) != 0)
        status = system_fail(err, "name a file");
    if (status != IFAB_OK)
        (void)unlinkat(self->fd, unnamed, 0);
    else if (fsync(self->fd) != 0)
        status = system_fail(err, "sync its directory");
    return status;
}

ifab_status ifab_artifact_cache_put(struct ifab_artifact_cache *self, const uint8_t key32[32], struct ifab_view artifact, struct ifab_error *err)
{
    uint8_t mac[MAC_SIZE];
    char name[NAME_SIZE];
    struct ifab_buf whole = IFAB_BUF_INIT(KEY_SIZE + artifact.size);
    if (artifact.size == 0 || artifact.size + MAC_SIZE > self->max_bytes)
        return ifab_fail(err, IFAB_TOO_LARGE, "artifact cache: an artifact has 1 to %llu bytes", (unsigned long long)self->max_bytes);
    ifab_buf_put(&whole, key32, KEY_SIZE);
    ifab_buf_view(&whole, artifact);
    if (ifab_buf_status(&whole) != IFAB_OK) {
        ifab_buf_fini(&whole);
        return ifab_fail(err, IFAB_NOMEM, "artifact cache");
    }
    ifab_hmac_sha256(ifab_view_of(self->mac_key32, sizeof self->mac_key32), ifab_buf_as_view(&whole), mac);
    ifab_buf_fini(&whole);
    name_of(key32, name);
    IFAB_TRY(make_room(self, artifact.size + MAC_SIZE, err));
    return write_file(self, mac, artifact, name, err);
}

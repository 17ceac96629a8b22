/*
 * Generations as files of one directory. The file in force is never touched: the next one comes under a name of its own, is synced, renamed, its
 * directory synced; the one before goes when the log has said so.
 */
#include "vault_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX    ".vault"
#define NAME_SIZE (20 + sizeof SUFFIX - 1)
#define PATH_SIZE 1400
/* What may be published before the first commit, and left by a crash: more tells of a log that was put back. */
#define LEFTOVER_MAX IFAB_VAULT_STAGED_MAX

struct generation {
    uint64_t counter;
    struct ifab_buf file; /* counter 0: empty */
};
struct file_vault {
    struct ifab_vault_backend base;
    char directory[1200], key_file[1200];
    uint8_t *passphrase; /* locked; NULL: key_file */
    size_t passphrase_size;
    uint8_t *master32;       /* locked */
    struct vault_keys *keys; /* locked */
    struct vault_seal seal;
    bool has_seal, has_key, key_is_new; /* key_is_new: not in its file yet */
    pthread_mutex_t lock;               /* what follows: stage and back run beside publish and settle. Never held over input and output */
    bool has_lock;
    uint64_t base_counter;
    struct generation current, staged[IFAB_VAULT_STAGED_MAX]; /* staged: oldest first */
    size_t staged_count;
};
static const struct ifab_vault_ops file_ops;

static struct file_vault *of(struct ifab_vault_backend *base) { return (struct file_vault *)(void *)base; }

static void path_of(const struct file_vault *self, uint64_t counter, const char *suffix, char path[PATH_SIZE])
{
    snprintf(path, PATH_SIZE, "%s/%020llu%s", self->directory, (unsigned long long)counter, suffix);
}

/* ---- keys ---- */

static ifab_status key_of_passphrase(struct file_vault *self, struct ifab_error *err)
{
    IFAB_TRY(ifab_passphrase_key(ifab_view_of(self->passphrase, self->passphrase_size), self->seal.salt16, self->seal.passes, self->seal.memory_kib,
                                 self->master32, err));
    self->has_key = true;
    return IFAB_OK;
}

/* The key of a vault that is there. */
static ifab_status find_key(struct file_vault *self, struct ifab_error *err)
{
    if (self->seal.kdf == VAULT_KDF_ARGON2 && self->passphrase == NULL)
        return ifab_fail(err, IFAB_DENIED, "%s is under a passphrase: give it with --vault-passphrase-fd", self->directory);
    if (self->seal.kdf == VAULT_KDF_FILE && self->passphrase != NULL)
        return ifab_fail(err, IFAB_INVALID, "%s is under the key file %s, not under a passphrase", self->directory, self->key_file);
    if (self->passphrase != NULL)
        IFAB_TRY(key_of_passphrase(self, err));
    else if (!self->has_key)
        return ifab_fail(err, IFAB_NOT_FOUND, "%s is missing: without it no secret can be read; put it back from where you keep it", self->key_file);
    vault_keys_derive(self->master32, &self->seal, self->keys);
    return IFAB_OK;
}

/* Of a new vault. */
static ifab_status make_seal(struct file_vault *self, struct ifab_error *err)
{
    ifab_random(self->seal.id16, 16);
    self->seal.kdf = self->passphrase != NULL ? VAULT_KDF_ARGON2 : VAULT_KDF_FILE;
    if (self->passphrase != NULL) {
        ifab_random(self->seal.salt16, 16);
        IFAB_TRY(key_of_passphrase(self, err));
    } else {
        self->seal.passes = self->seal.memory_kib = 0;
        if (!self->has_key)
            ifab_random(self->master32, 32);
        self->key_is_new = !self->has_key;
        self->has_key = true;
    }
    vault_keys_derive(self->master32, &self->seal, self->keys);
    self->has_seal = true;
    return IFAB_OK;
}

/* ---- the directory ---- */

struct found {                /* generations that are there */
    uint64_t lowest, highest; /* 0: none */
};

static bool parse_name(const char *name, uint64_t *ret_counter, bool *ret_temporary)
{
    size_t size = strlen(name);
    *ret_counter = 0;
    *ret_temporary = strcmp(name + (size < 20 ? size : 20), ".new") == 0;
    if (size < 20 || (!*ret_temporary && strcmp(name + 20, SUFFIX) != 0))
        return false;
    for (size_t i = 0; i < 20; i++) {
        if (name[i] < '0' || name[i] > '9' || *ret_counter > (UINT64_MAX - 9) / 10)
            return false;
        *ret_counter = *ret_counter * 10 + (uint64_t)(name[i] - '0');
    }
    return true;
}

/* remove: all but keep, and what is half written. Foreign files are left alone. */
static ifab_status walk(const struct file_vault *self, bool remove_others, uint64_t keep, struct found *ret_found, struct ifab_error *err)
{
    char path[PATH_SIZE + 300];
    ifab_status status = IFAB_OK;
    bool removed = false;
    *ret_found = (struct found){0};
    DIR *dir = opendir(self->directory);
    if (dir == NULL)
        return errno == ENOENT ? IFAB_OK : vault_errno(err, self->directory, errno);
    for (struct dirent *e; (e = readdir(dir)) != NULL && status == IFAB_OK;) {
        uint64_t counter;
        bool temporary;
        if (!parse_name(e->d_name, &counter, &temporary))
            continue;
        if (remove_others && (temporary || counter != keep)) {
            snprintf(path, sizeof path, "%s/%s", self->directory, e->d_name);
            if (unlink(path) != 0)
                status = vault_errno(err, path, errno);
            removed = true;
        } else if (!temporary) {
            ret_found->highest = counter > ret_found->highest ? counter : ret_found->highest;
            ret_found->lowest = ret_found->lowest == 0 || counter < ret_found->lowest ? counter : ret_found->lowest;
        }
    }
    closedir(dir);
    return status == IFAB_OK && removed ? vault_sync_directory(self->directory, err) : status;
}

static ifab_status check_modes(const char *path, bool directory, const struct stat *st, struct ifab_error *err)
{
    if (directory ? !S_ISDIR(st->st_mode) : !S_ISREG(st->st_mode))
        return ifab_fail(err, IFAB_DENIED, "%s is not a %s", path, directory ? "directory" : "file");
    if (st->st_uid != geteuid())
        return ifab_fail(err, IFAB_DENIED, "%s belongs to uid %u, ifd runs as uid %u", path, st->st_uid, geteuid());
    if ((st->st_mode & 077) != 0)
        return ifab_fail(err, IFAB_DENIED, "%s is open to others (mode %03o): chmod %s it", path, (unsigned)st->st_mode & 0777U,
                         directory ? "700" : "600");
    return IFAB_OK;
}

static ifab_status read_open(int fd, const char *path, struct ifab_buf *file, struct ifab_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return vault_errno(err, path, errno);
    IFAB_TRY(check_modes(path, false, &st, err));
    if (st.st_size <= 0 || (uint64_t)st.st_size > VAULT_FILE_MAX)
        return ifab_fail(err, IFAB_CORRUPT, "%s is torn, or no vault", path);
    if (ifab_buf_reserve(file, (size_t)st.st_size) != IFAB_OK)
        return ifab_fail(err, IFAB_NOMEM, "vault: out of memory");
    while (file->size < (size_t)st.st_size) {
        ssize_t n = read(fd, file->data + file->size, (size_t)st.st_size - file->size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? vault_errno(err, path, errno) : ifab_fail(err, IFAB_CORRUPT, "%s is torn", path);
        file->size += (size_t)n;
    }
    return IFAB_OK;
}

static ifab_status read_file(const char *path, struct ifab_buf *file, struct ifab_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? IFAB_NOT_FOUND : vault_errno(err, path, errno);
    ifab_status status = read_open(fd, path, file, err);
    close(fd);
    return status;
}

/* The generation that the log names is not there: what is there instead says what happened. */
static ifab_status missing(const struct file_vault *self, uint64_t counter, struct ifab_error *err)
{
    struct found found;
    IFAB_TRY(walk(self, false, 0, &found, err));
    if (found.highest == 0)
        return ifab_fail(err, IFAB_NOT_FOUND, "%s: the vault is missing; the log knows of %llu changes of it: put it back", self->directory,
                         (unsigned long long)counter);
    if (found.highest < counter)
        return ifab_fail(err, IFAB_CORRUPT, "%s holds the vault as of change %llu, but the log knows of %llu: an older vault was put back",
                         self->directory, (unsigned long long)found.highest, (unsigned long long)counter);
    return ifab_fail(err, IFAB_CORRUPT,
                     "%s holds the vault as of change %llu, but the log knows of %llu only: the log is an older copy, or the vault is another's",
                     self->directory, (unsigned long long)found.lowest, (unsigned long long)counter);
}

/* ---- operations ---- */

static ifab_status load_empty(struct file_vault *self, struct ifab_error *err)
{
    struct found found;
    IFAB_TRY(walk(self, false, 0, &found, err));
    if (found.highest > LEFTOVER_MAX)
        return missing(self, 0, err);
    return make_seal(self, err);
}

static ifab_status check_directory(const struct file_vault *self, struct ifab_error *err)
{
    struct stat st;
    if (lstat(self->directory, &st) != 0)
        return errno == ENOENT ? IFAB_OK : vault_errno(err, self->directory, errno);
    return check_modes(self->directory, true, &st, err);
}

static ifab_status file_load(struct ifab_vault_backend *base, const struct ifab_vault_mark *mark, ifab_vault_visit_fn *visit, void *user,
                             struct ifab_error *err)
{
    struct file_vault *self = of(base);
    struct ifab_buf *file = &self->current.file;
    char path[PATH_SIZE];
    uint8_t digest32[32];
    uint64_t counter = 0;
    IFAB_TRY(check_directory(self, err));
    self->base_counter = mark->counter;
    if (mark->counter == 0)
        return load_empty(self, err);
    path_of(self, mark->counter, SUFFIX, path);
    ifab_status status = read_file(path, file, err);
    if (status == IFAB_NOT_FOUND)
        return missing(self, mark->counter, err);
    IFAB_TRY(status);
    ifab_sha256(ifab_buf_as_view(file), digest32);
    if (memcmp(digest32, mark->digest32, 32) != 0)
        return ifab_fail(err, IFAB_CORRUPT, "%s is not the vault that the log covers (its SHA-256 differs): it was altered, torn or exchanged", path);
    struct ifab_error why = {0};
    status = vault_format_head(ifab_buf_as_view(file), &self->seal, &counter, &why);
    if (status == IFAB_OK && counter != mark->counter)
        status = ifab_fail(&why, IFAB_CORRUPT, "it is the vault as of another change");
    if (status != IFAB_OK)
        return ifab_fail(err, status, "%s: %s", path, why.text);
    IFAB_TRY(find_key(self, err));
    status = vault_format_read(ifab_buf_as_view(file), self->keys, visit, user, &why);
    if (status == IFAB_DENIED) /* the log covers it: so it is the key */
        return ifab_fail(err, IFAB_DENIED, "%s",
                         self->passphrase != NULL ? "the passphrase of the vault is another" : "the vault is not under the key in keys/vault.key");
    if (status != IFAB_OK)
        return ifab_fail(err, status, "%s: %s", path, why.text);
    self->has_seal = true;
    self->current.counter = counter;
    return IFAB_OK;
}

/* Under the lock. */
static ifab_status stage(struct file_vault *self, const struct ifab_vault_change *change, struct ifab_vault_mark *ret_mark, struct ifab_error *err)
{
    struct ifab_vault_change numbered = *change;
    if (self->staged_count >= IFAB_VAULT_STAGED_MAX)
        return ifab_fail(err, IFAB_AGAIN, "vault: %d changes wait to be recorded", IFAB_VAULT_STAGED_MAX);
    const struct generation *before = self->staged_count > 0 ? &self->staged[self->staged_count - 1] : &self->current;
    struct generation *next = &self->staged[self->staged_count];
    numbered.about.counter = self->base_counter + 1; /* of a first one; else it is one more than before */
    ifab_buf_init(&next->file, VAULT_FILE_MAX);
    ifab_status status = vault_format_write(ifab_buf_as_view(&before->file), &self->seal, self->keys, &numbered, &next->file, err);
    if (status != IFAB_OK) {
        ifab_buf_fini(&next->file);
        return status;
    }
    next->counter = (before->file.size > 0 ? before->counter : self->base_counter) + 1;
    self->staged_count++;
    ret_mark->counter = next->counter;
    ifab_sha256(ifab_buf_as_view(&next->file), ret_mark->digest32);
    return IFAB_OK;
}

static ifab_status file_stage(struct ifab_vault_backend *base, const struct ifab_vault_change *change, struct ifab_vault_mark *ret_mark,
                              struct ifab_error *err)
{
    struct file_vault *self = of(base);
    if (!self->has_seal)
        return ifab_fail(err, IFAB_INVALID, "vault: it was not loaded");
    pthread_mutex_lock(&self->lock);
    ifab_status status = stage(self, change, ret_mark, err);
    pthread_mutex_unlock(&self->lock);
    return status;
}

static ifab_status write_all(int fd, const char *path, struct ifab_view bytes, struct ifab_error *err)
{
    while (bytes.size > 0) {
        ssize_t n = write(fd, bytes.data, bytes.size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return vault_errno(err, path, n < 0 ? errno : ENOSPC);
        bytes = ifab_view_of(bytes.data + n, bytes.size - (size_t)n);
    }
    return fsync(fd) == 0 ? IFAB_OK : ifab_fail(err, IFAB_IO, "%s: fsync: %s", path, strerror(errno));
}

static ifab_status make_directory(const struct file_vault *self, struct ifab_error *err)
{
    char above[PATH_SIZE];
    if (mkdir(self->directory, 0700) != 0)
        return errno == EEXIST ? check_directory(self, err) : vault_errno(err, self->directory, errno);
    snprintf(above, sizeof above, "%s/..", self->directory);
    return vault_sync_directory(above, err);
}

/* The staged generation's bytes, for those who write them down while the next one is staged. */
static ifab_status copy_staged(struct file_vault *self, uint64_t counter, struct ifab_buf *ret_file, struct ifab_error *err)
{
    ifab_status status = IFAB_INVALID;
    pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < self->staged_count; i++)
        if (self->staged[i].counter == counter) {
            ifab_buf_view(ret_file, ifab_buf_as_view(&self->staged[i].file));
            status = ifab_buf_status(ret_file);
        }
    pthread_mutex_unlock(&self->lock);
    return status == IFAB_OK ? status : ifab_fail(err, status, "vault: generation %llu is not staged, or no memory", (unsigned long long)counter);
}

static ifab_status write_generation(const struct file_vault *self, uint64_t counter, struct ifab_view file, struct ifab_error *err)
{
    char path[PATH_SIZE], fresh[PATH_SIZE];
    path_of(self, counter, SUFFIX, path);
    path_of(self, counter, ".new", fresh);
    if (unlink(fresh) != 0 && errno != ENOENT)
        return vault_errno(err, fresh, errno);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return vault_errno(err, fresh, errno);
    ifab_status status = write_all(fd, fresh, file, err);
    close(fd);
    if (status == IFAB_OK && rename(fresh, path) != 0)
        status = vault_errno(err, path, errno);
    if (status != IFAB_OK) {
        (void)unlink(fresh);
        return status;
    }
    return vault_sync_directory(self->directory, err);
}

/* The key before what it opens. */
static ifab_status file_publish(struct ifab_vault_backend *base, uint64_t counter, struct ifab_error *err)
{
    struct file_vault *self = of(base);
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf file = IFAB_BUF_INIT(VAULT_FILE_MAX);
    IFAB_TRY(copy_staged(self, counter, &file, err));
    IFAB_TRY(make_directory(self, err));
    if (self->key_is_new)
        IFAB_TRY(vault_key_write(self->key_file, self->master32, err));
    self->key_is_new = false; /* who publishes alone looks at it, once loaded */
    return write_generation(self, counter, ifab_buf_as_view(&file), err);
}

static void drop_staged(struct file_vault *self, size_t from, size_t count)
{
    for (size_t i = from; i < from + count; i++)
        ifab_buf_fini(&self->staged[i].file);
    self->staged_count -= count;
    memmove(self->staged + from, self->staged + from + count, (self->staged_count - from) * sizeof self->staged[0]);
}

static ifab_status file_settle(struct ifab_vault_backend *base, uint64_t counter, struct ifab_error *err)
{
    struct file_vault *self = of(base);
    struct found found;
    size_t done = 0;
    pthread_mutex_lock(&self->lock);
    for (; done < self->staged_count && self->staged[done].counter <= counter; done++)
        if (self->staged[done].counter == counter) {
            struct generation last = self->current;
            self->current = self->staged[done];
            self->staged[done] = last;
            self->base_counter = counter;
        }
    drop_staged(self, 0, done);
    pthread_mutex_unlock(&self->lock);
    return walk(self, true, counter, &found, err);
}

static void file_back(struct ifab_vault_backend *base, uint64_t counter)
{
    struct file_vault *self = of(base);
    size_t keep = 0;
    pthread_mutex_lock(&self->lock);
    while (keep < self->staged_count && self->staged[keep].counter <= counter)
        keep++;
    drop_staged(self, keep, self->staged_count - keep);
    pthread_mutex_unlock(&self->lock);
}

static void file_close(struct ifab_vault_backend *base)
{
    struct file_vault *self = of(base);
    drop_staged(self, 0, self->staged_count);
    ifab_buf_fini(&self->current.file);
    ifab_locked_free(self->passphrase);
    ifab_locked_free(self->master32);
    ifab_locked_free((uint8_t *)self->keys);
    if (self->has_lock)
        pthread_mutex_destroy(&self->lock);
    ifab_free(self);
}

static const struct ifab_vault_ops file_ops = {
    .abi = IFAB_VAULT_ABI,
    .name = "file",
    .load = file_load,
    .stage = file_stage,
    .publish = file_publish,
    .settle = file_settle,
    .back = file_back,
    .close = file_close,
};

static ifab_status take_secrets(struct file_vault *self, const struct ifab_vault_file_options *options, struct ifab_error *err)
{
    uint8_t *keys = NULL;
    IFAB_TRY(ifab_locked_new(32, &self->master32, err));
    IFAB_TRY(ifab_locked_new(sizeof *self->keys, &keys, err));
    self->keys = (struct vault_keys *)(void *)keys;
    if (options->passphrase.size > 0) {
        IFAB_TRY(ifab_locked_new(options->passphrase.size, &self->passphrase, err));
        memcpy(self->passphrase, options->passphrase.data, options->passphrase.size);
        self->passphrase_size = options->passphrase.size;
        return IFAB_OK;
    }
    ifab_status status = vault_key_read(options->key_file, self->master32, NULL);
    self->has_key = status == IFAB_OK;
    return status == IFAB_OK || status == IFAB_NOT_FOUND ? IFAB_OK : vault_key_read(options->key_file, self->master32, err);
}

ifab_status ifab_vault_file_open(const struct ifab_vault_file_options *options, struct ifab_vault_backend **ret_backend, struct ifab_error *err)
{
    struct file_vault *self;
    if (strlen(options->directory) >= sizeof self->directory || (options->key_file != NULL && strlen(options->key_file) >= sizeof self->key_file) ||
        (options->key_file == NULL && options->passphrase.size == 0))
        return ifab_fail(err, IFAB_INVALID, "vault: no key file, or a path that is too long");
    self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return ifab_fail(err, IFAB_NOMEM, "vault: out of memory");
    self->base.ops = &file_ops;
    ifab_buf_init(&self->current.file, VAULT_FILE_MAX);
    snprintf(self->directory, sizeof self->directory, "%s", options->directory);
    snprintf(self->key_file, sizeof self->key_file, "%s", options->key_file != NULL ? options->key_file : "");
    self->seal.passes = options->passes != 0 ? options->passes : IFAB_PASSPHRASE_PASSES;
    self->seal.memory_kib = options->memory_kib != 0 ? options->memory_kib : IFAB_PASSPHRASE_MEMORY_KIB;
    self->has_lock = pthread_mutex_init(&self->lock, NULL) == 0;
    ifab_status status = self->has_lock ? take_secrets(self, options, err) : ifab_fail(err, IFAB_INTERNAL, "vault: no lock");
    if (status != IFAB_OK) {
        file_close(&self->base);
        return status;
    }
    *ret_backend = &self->base;
    return IFAB_OK;
}

#ifndef VAULT_SUPPORT_H
#define VAULT_SUPPORT_H
/* A vault on any back-end for a test, opened again and again over what it keeps; behind cmocka's headers. */
#include "base/mem.h"
#include "crypto/crypto.h"
#include "vault/vault.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct vault_kind {
    const char *name;
    bool file, passphrase;
    char path[300], directory[400], key_file[400];
    struct ifab_vault_disk *disk;
    struct ifab_vault_fault plan;
    bool faulty;
};

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st;
    (void)type;
    (void)walk;
    return remove(path);
}

static inline void kind_begin(struct vault_kind *k)
{
    const char *base = getenv("TMPDIR");
    k->plan = (struct ifab_vault_fault){0};
    if (!k->file) {
        assert_int_equal(ifab_vault_disk_new(&k->disk), IFAB_OK);
        return;
    }
    (void)snprintf(k->path, sizeof k->path, "%s/ifab-vault-XXXXXX", base == NULL ? "/tmp" : base);
    assert_non_null(mkdtemp(k->path));
    (void)snprintf(k->directory, sizeof k->directory, "%s/vault", k->path);
    (void)snprintf(k->key_file, sizeof k->key_file, "%s/vault.key", k->path);
}

static inline void kind_end(struct vault_kind *k)
{
    ifab_vault_disk_free(k->disk);
    k->disk = NULL;
    if (k->file)
        (void)nftw(k->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static inline struct ifab_vault_backend *kind_backend(struct vault_kind *k)
{
    struct ifab_vault_backend *backend = NULL, *outer = NULL;
    if (k->file) {
        struct ifab_vault_file_options options = {.directory = k->directory, .key_file = k->key_file, .passes = 1, .memory_kib = 8};
        if (k->passphrase)
            options.passphrase = IFAB_VIEW("correct horse battery staple");
        assert_int_equal(ifab_vault_file_open(&options, &backend, NULL), IFAB_OK);
    } else {
        assert_int_equal(ifab_vault_memory_open(k->disk, &backend, NULL), IFAB_OK);
    }
    if (!k->faulty)
        return backend;
    assert_int_equal(ifab_vault_fault_open(backend, &k->plan, &outer, NULL), IFAB_OK);
    return outer;
}

static inline ifab_status try_open(struct vault_kind *k, const struct ifab_vault_mark *mark, struct ifab_vault **ret_vault, struct ifab_error *err)
{
    *ret_vault = NULL;
    return ifab_vault_open(kind_backend(k), mark, ret_vault, err);
}

static inline struct ifab_vault *opened(struct vault_kind *k, const struct ifab_vault_mark *mark)
{
    struct ifab_vault *vault;
    struct ifab_error err = {0};
    if (try_open(k, mark, &vault, &err) != IFAB_OK)
        fail_msg("%s: %s", k->name, err.text);
    return vault;
}

#define API   IFAB_VIEW("https://api.example.com")
#define OTHER IFAB_VIEW("https://other.example.com")

static inline struct ifab_vault_change change_of(const char *name, uint32_t version, struct ifab_view origin, const char *value)
{
    struct ifab_vault_change change = {.about = {.name = ifab_view_str(name), .version = version, .origins = {origin}, .origin_count = 1},
                                       .value = ifab_view_str(value)};
    return change;
}

static inline struct ifab_vault_mark put(struct ifab_vault *vault, const char *name, uint32_t version, struct ifab_view origin, const char *value)
{
    struct ifab_vault_change change = change_of(name, version, origin, value);
    struct ifab_vault_mark mark = {0};
    struct ifab_error err = {0};
    if (ifab_vault_stage(vault, &change, &mark, &err) != IFAB_OK)
        fail_msg("%s", err.text);
    return mark;
}

static inline void commit(struct ifab_vault *vault, struct ifab_vault_mark mark) /* as the log does, between */
{
    assert_int_equal(ifab_vault_publish(vault, mark.counter, NULL), IFAB_OK);
    assert_int_equal(ifab_vault_settle(vault, mark.counter, NULL), IFAB_OK);
}

static inline ifab_status take_value(void *user, struct ifab_view value)
{
    (void)snprintf(user, 200, IFAB_FMT, IFAB_ARG(value));
    return IFAB_OK;
}

/* The value, "-" when there is none, "!" when it is not for this origin. */
static inline const char *got(struct ifab_vault *vault, const char *name, struct ifab_view origin)
{
    static char text[200];
    struct ifab_vault_handle handle;
    if (ifab_vault_find(vault, ifab_view_str(name), &handle) != IFAB_OK)
        return "-";
    text[0] = '\0';
    ifab_status status = ifab_vault_use(vault, handle, origin, take_value, text, NULL);
    if (status == IFAB_DENIED)
        assert_string_equal(text, "");
    return status == IFAB_OK ? text : status == IFAB_DENIED ? "!" : "?";
}

static const struct ifab_vault_mark nothing_yet = {0};
#endif

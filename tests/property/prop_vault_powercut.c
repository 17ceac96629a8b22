/*
 * Power cuts: every sync and every change of a name is seen here; after each of them the disk as it may be then is made anew, many times: what was
 * synced, and a random part of what was not, torn. The vault must open, and hold what the log says at that moment (INV-04). A disk that lies about
 * syncs is the control: there it must fail, or this test could not.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../conformance/vault_support.h"

#include <fcntl.h>
#include <sys/syscall.h>

#define NAMES  64
#define INODES 4096
#define OPS    256
#define BYTES  8192

struct inode {
    ino_t number;
    bool synced;
    size_t size, synced_size;
    uint8_t *bytes; /* as synced, or as last seen */
};
struct name {
    char path[500];
    int inode; /* -1: gone */
};
struct op { /* not durable before its directory is synced */
    char from[500], to[500]; /* "": none */
    int inode;
};
static struct disk {
    struct inode inodes[INODES];
    int inode_count;
    struct name names[NAMES]; /* durable */
    size_t name_count;
    struct op ops[OPS];
    size_t op_count;
} disk;

static bool recording, lying;
static uint64_t seed = 88172645463325252U;
static struct vault_kind kind = {.name = "file", .file = true};
static struct ifab_vault_mark logged; /* what the log says now */
static char expected[64];
static unsigned images, failures;

static uint64_t draw(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % below;
}

static int inode_of(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return -1;
    for (int i = disk.inode_count; i > 0; i--)
        if (disk.inodes[i - 1].number == st.st_ino && disk.inodes[i - 1].bytes != NULL)
            return i - 1;
    assert_true(disk.inode_count < INODES);
    struct inode *inode = &disk.inodes[disk.inode_count];
    *inode = (struct inode){.number = st.st_ino, .bytes = malloc(BYTES)};
    assert_non_null(inode->bytes);
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, inode->bytes, BYTES);
    (void)close(fd);
    inode->size = n > 0 ? (size_t)n : 0;
    return disk.inode_count++;
}

static void set_name(struct name *names, size_t *count, const char *path, int inode)
{
    for (size_t i = 0; i < *count; i++)
        if (strcmp(names[i].path, path) == 0) {
            names[i].inode = inode;
            return;
        }
    if (inode < 0)
        return;
    for (size_t i = 0; i < *count; i++)
        if (names[i].inode < 0) { /* a place that is free */
            (void)snprintf(names[i].path, sizeof names[i].path, "%s", path);
            names[i].inode = inode;
            return;
        }
    assert_true(*count < NAMES);
    (void)snprintf(names[*count].path, sizeof names[*count].path, "%s", path);
    names[(*count)++].inode = inode;
}

static void apply(struct name *names, size_t *count, const struct op *op)
{
    if (op->to[0] != '\0')
        set_name(names, count, op->to, op->inode);
    if (op->from[0] != '\0')
        set_name(names, count, op->from, -1);
}

static void add_op(const char *from, const char *to, int inode)
{
    assert_true(disk.op_count < OPS);
    struct op *op = &disk.ops[disk.op_count++];
    (void)snprintf(op->from, sizeof op->from, "%s", from);
    (void)snprintf(op->to, sizeof op->to, "%s", to);
    op->inode = inode;
}

static bool in_directory(const char *path, const char *directory)
{
    size_t size = strlen(directory);
    return strncmp(path, directory, size) == 0 && path[size] == '/' && strchr(path + size + 1, '/') == NULL;
}

static void sync_directory(const char *directory)
{
    size_t kept = 0;
    for (size_t i = 0; i < disk.op_count; i++) {
        const char *path = disk.ops[i].to[0] != '\0' ? disk.ops[i].to : disk.ops[i].from;
        if (in_directory(path, directory))
            apply(disk.names, &disk.name_count, &disk.ops[i]);
        else
            disk.ops[kept++] = disk.ops[i];
    }
    disk.op_count = kept;
}

static bool known(const char *path)
{
    for (size_t i = 0; i < disk.name_count; i++)
        if (strcmp(disk.names[i].path, path) == 0 && disk.names[i].inode >= 0)
            return true;
    for (size_t i = 0; i < disk.op_count; i++)
        if (strcmp(disk.ops[i].to, path) == 0)
            return true;
    return false;
}

/* One disk as it may be after a cut here, and what is found on it. */
static bool survives(void)
{
    static struct name names[NAMES];
    struct vault_kind cut = {.name = "cut", .file = true};
    size_t count = disk.name_count;
    char text[200] = "-", path[1200];
    struct ifab_vault *vault = NULL;
    struct ifab_vault_handle handle;
    memcpy(names, disk.names, sizeof names);
    for (size_t i = 0; i < disk.op_count; i++)
        if (draw(2) == 0)
            apply(names, &count, &disk.ops[i]);
    kind_begin(&cut);
    (void)mkdir(cut.directory, 0700);
    for (size_t i = 0; i < count; i++) {
        if (names[i].inode < 0)
            continue;
        const struct inode *inode = &disk.inodes[names[i].inode];
        size_t size = inode->synced ? inode->size : (size_t)draw(inode->size + 1);
        (void)snprintf(path, sizeof path, "%s%s", cut.path, names[i].path + strlen(kind.path));
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (fd >= 0 && write(fd, inode->bytes, size) != (ssize_t)size)
            fail();
        (void)close(fd);
    }
    const struct ifab_vault_file_options options = {.directory = cut.directory, .key_file = cut.key_file};
    struct ifab_vault_backend *backend = NULL;
    bool good = ifab_vault_file_open(&options, &backend, NULL) == IFAB_OK && ifab_vault_open(backend, &logged, &vault, NULL) == IFAB_OK;
    if (good && ifab_vault_find(vault, IFAB_VIEW("one"), &handle) == IFAB_OK)
        good = ifab_vault_use(vault, handle, API, take_value, text, NULL) == IFAB_OK;
    ifab_vault_close(vault);
    kind_end(&cut);
    return good && strcmp(text, expected) == 0;
}

static void cut_here(void)
{
    recording = false;
    for (int i = 0; i < 4; i++, images++)
        failures += !survives();
    recording = true;
}

/* ---- what the back-end calls: these stand before the C library's ---- */

int fsync(int fd)
{
    char link_path[64], path[500];
    struct stat st;
    if (!recording) /* this disk is the one in memory: the real one need not be waited for */
        return 0;
    (void)snprintf(link_path, sizeof link_path, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link_path, path, sizeof path - 1);
    assert_true(n > 0 && fstat(fd, &st) == 0);
    path[n] = '\0';
    if (S_ISDIR(st.st_mode)) {
        if (!lying)
            sync_directory(path);
    } else {
        int inode = inode_of(path);
        disk.inodes[inode].synced = !lying;
        if (!known(path))
            add_op("", path, inode);
    }
    cut_here();
    return 0;
}

int rename(const char *from, const char *to)
{
    if (recording) {
        int inode = inode_of(from), before = access(to, F_OK) == 0 ? inode_of(to) : -1;
        if (before >= 0)
            disk.inodes[before].number = 0; /* gone from here: the number may be used again */
        add_op(from, to, inode);
    }
    int result = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    if (recording)
        cut_here();
    return result;
}

int link(const char *from, const char *to)
{
    int result = (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
    if (recording && result == 0) {
        add_op("", to, inode_of(to));
        cut_here();
    }
    return result;
}

int unlink(const char *path)
{
    int inode = recording ? inode_of(path) : -1;
    int result = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (recording && result == 0) {
        add_op(path, "", inode);
        disk.inodes[inode].number = 0; /* the number may be used again */
        cut_here();
    }
    return result;
}

/* Sixty changes: values, removals, two in one commit, one that is published and then given up. */
static void run(void)
{
    for (int i = 0; i < disk.inode_count; i++)
        free(disk.inodes[i].bytes);
    memset(&disk, 0, sizeof disk);
    images = failures = 0;
    logged = nothing_yet;
    (void)snprintf(expected, sizeof expected, "-");
    kind_begin(&kind);
    recording = true;
    struct ifab_vault *vault = opened(&kind, &logged);
    for (uint32_t i = 1; i <= 60; i++) {
        char value[64] = "";
        bool removed = i % 10 == 0, lost = i % 7 == 0;
        if (!removed)
            (void)snprintf(value, sizeof value, "value-of-change-%u", i);
        if (i % 5 == 1)
            put(vault, "one", i, API, "never-in-force-alone");
        struct ifab_vault_mark mark = put(vault, "one", i, API, value);
        assert_int_equal(ifab_vault_publish(vault, mark.counter, NULL), IFAB_OK);
        cut_here();
        if (lost) { /* the log could not be written */
            ifab_vault_back(vault, logged.counter);
            continue;
        }
        logged = mark; /* the commit */
        (void)snprintf(expected, sizeof expected, "%s", removed ? "-" : value);
        cut_here();
        assert_int_equal(ifab_vault_settle(vault, mark.counter, NULL), IFAB_OK);
        cut_here();
        if (i % 13 == 0) { /* and a start in between */
            ifab_vault_close(vault);
            vault = opened(&kind, &logged);
        }
    }
    recording = false;
    ifab_vault_close(vault);
    kind_end(&kind);
}

static void holds_what_the_log_says_after_a_cut_anywhere(void **state)
{
    (void)state;
    lying = false;
    run();
    print_message("%u disks\n", images);
    assert_true(images >= 1000);
    assert_int_equal(failures, 0);
}

static void fails_on_a_disk_that_lies(void **state)
{
    (void)state;
    lying = true;
    run();
    assert_true(failures > images / 10);
}

static int start(void **state)
{
    (void)state;
    return ifab_crypto_init(NULL) == IFAB_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_what_the_log_says_after_a_cut_anywhere),
        cmocka_unit_test(fails_on_a_disk_that_lies),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}

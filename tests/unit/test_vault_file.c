/* What only the file back-end promises: names, modes, links, the key, durability, and nothing readable on disk. INV-04, INV-09. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../conformance/vault_support.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static struct vault_kind kind = {.name = "file", .file = true};

static const char *in(const char *name)
{
    static char path[900];
    (void)snprintf(path, sizeof path, "%s/%s", kind.path, name);
    return path;
}

static size_t slurp(const char *path, char *bytes, size_t max)
{
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t n = read(fd, bytes, max);
    (void)close(fd);
    assert_true(n >= 0);
    return (size_t)n;
}

static size_t files_in(const char *path)
{
    DIR *d = opendir(path);
    size_t count = 0;
    assert_non_null(d);
    while (readdir(d) != NULL)
        count++;
    (void)closedir(d);
    return count - 2;
}

static struct ifab_vault_mark make(const char *value)
{
    struct ifab_vault *vault = opened(&kind, &nothing_yet);
    struct ifab_vault_mark mark = put(vault, "canary-name", 1, API, value);
    commit(vault, mark);
    ifab_vault_close(vault);
    return mark;
}

static void writes_what_is_promised_and_no_value(void **state)
{
    static char bytes[10000];
    struct stat st;
    (void)state;
    kind_begin(&kind);
    struct ifab_vault *vault = opened(&kind, &nothing_yet);
    assert_int_equal(access(kind.directory, F_OK), -1); /* nothing before there is a secret */
    assert_int_equal(access(kind.key_file, F_OK), -1);
    ifab_vault_close(vault);
    make("canary-of-this-test");
    assert_int_equal(stat(kind.directory, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(stat(in("vault/00000000000000000001.vault"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(kind.key_file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(files_in(kind.directory), 1);
    assert_int_equal(files_in(kind.path), 2);
    size_t size = slurp(in("vault/00000000000000000001.vault"), bytes, sizeof bytes);
    assert_null(memmem(bytes, size, "canary-of-this-test", 19));
    assert_null(memmem(bytes, size, "canary-of", 9));
    assert_non_null(memmem(bytes, size, "canary-name", 11)); /* names are no secrets */
    size_t key = slurp(kind.key_file, bytes, sizeof bytes);
    assert_int_equal(key, 59);
    assert_memory_equal(bytes, "IF-VAULT-KEY-1 ", 15);
    kind_end(&kind);
}

/* Values of 8 to 60 bytes make files of one size. */
static void hides_how_long_a_value_is(void **state)
{
    off_t sizes[3];
    static const char *const values[] = {"12345678", "123456789012345678901234567890123456789012345678901234567890",
                                         "1234567890123456789012345678901234567890123456789012345678901"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct stat st;
        kind_begin(&kind);
        make(values[i]);
        assert_int_equal(stat(in("vault/00000000000000000001.vault"), &st), 0);
        sizes[i] = st.st_size;
        kind_end(&kind);
    }
    assert_int_equal(sizes[0], sizes[1]);
    assert_int_equal(sizes[1] + 64, sizes[2]);
}

static ifab_status reopen(const struct ifab_vault_mark *mark, const char **ret_text)
{
    static struct ifab_error err;
    struct ifab_vault_backend *backend = NULL;
    struct ifab_vault *vault = NULL;
    struct ifab_vault_file_options options = {.directory = kind.directory, .key_file = kind.key_file};
    err = (struct ifab_error){0};
    ifab_status status = ifab_vault_file_open(&options, &backend, &err);
    if (status == IFAB_OK)
        status = ifab_vault_open(backend, mark, &vault, &err);
    ifab_vault_close(vault);
    *ret_text = err.text;
    return status;
}

static void refuses_open_modes_and_links(void **state)
{
    const char *text;
    (void)state;
    kind_begin(&kind);
    struct ifab_vault_mark mark = make("first-secret");
    const char *const paths[] = {"vault", "vault/00000000000000000001.vault", "vault.key"};
    for (size_t i = 0; i < IFAB_COUNT(paths); i++) {
        mode_t good = i == 0 ? 0700 : 0600;
        for (unsigned bit = 0; bit < 6; bit++) { /* any right of group or others */
            assert_int_equal(chmod(in(paths[i]), good | (mode_t)(1U << bit)), 0);
            assert_int_equal(reopen(&mark, &text), IFAB_DENIED);
            assert_non_null(strstr(text, "chmod"));
        }
        assert_int_equal(chmod(in(paths[i]), good), 0);
        assert_int_equal(reopen(&mark, &text), IFAB_OK);
    }
    for (size_t i = 1; i < IFAB_COUNT(paths); i++) { /* a link, even to what would be good */
        char path[900];
        (void)snprintf(path, sizeof path, "%s", in(paths[i]));
        assert_int_equal(rename(path, in("aside")), 0);
        assert_int_equal(symlink(in("aside"), path), 0);
        assert_int_not_equal(reopen(&mark, &text), IFAB_OK);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(mkfifo(path, 0600), 0); /* and what would wait for ever */
        assert_int_not_equal(reopen(&mark, &text), IFAB_OK);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(rename(in("aside"), path), 0);
    }
    assert_int_equal(reopen(&mark, &text), IFAB_OK);
    if (geteuid() == 0) {
        assert_int_equal(chown(kind.key_file, 65534, 65534), 0);
        assert_int_equal(reopen(&mark, &text), IFAB_DENIED);
        assert_non_null(strstr(text, "belongs to uid 65534"));
    }
    kind_end(&kind);
}

static void says_what_is_wrong_with_the_key(void **state)
{
    const char *text;
    char key[100];
    (void)state;
    kind_begin(&kind);
    struct ifab_vault_mark mark = make("first-secret");
    size_t size = slurp(kind.key_file, key, sizeof key);
    assert_int_equal(unlink(kind.key_file), 0);
    assert_int_equal(reopen(&mark, &text), IFAB_NOT_FOUND);
    assert_non_null(strstr(text, "vault.key is missing"));
    assert_int_equal(access(kind.key_file, F_OK), -1); /* none is made in its place */
    static const char *const bad[] = {"", "x\n", "IF-VAULT-KEY-1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "IF-VAULT-KEY-2 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
                                      "IF-VAULT-KEY-1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB\n", "IF-VAULT-KEY-1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n\n"};
    for (size_t i = 0; i < IFAB_COUNT(bad); i++) {
        int fd = open(kind.key_file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        assert_int_equal(write(fd, bad[i], strlen(bad[i])), (ssize_t)strlen(bad[i]));
        (void)close(fd);
        assert_int_equal(reopen(&mark, &text), IFAB_INVALID);
    }
    int fd = open(kind.key_file, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, "IF-VAULT-KEY-1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n", 59), 59);
    (void)close(fd);
    assert_int_equal(reopen(&mark, &text), IFAB_DENIED); /* another's */
    fd = open(kind.key_file, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, key, size), (ssize_t)size);
    (void)close(fd);
    assert_int_equal(reopen(&mark, &text), IFAB_OK);
    kind_end(&kind);
}

static void says_what_is_wrong_with_the_passphrase(void **state)
{
    struct ifab_vault_backend *backend = NULL;
    struct ifab_vault *vault = NULL;
    struct ifab_error err = {0};
    const char *text;
    (void)state;
    kind.passphrase = true;
    kind_begin(&kind);
    struct ifab_vault_mark mark = make("first-secret");
    assert_int_equal(access(kind.key_file, F_OK), -1);
    assert_int_equal(reopen(&mark, &text), IFAB_DENIED);
    assert_non_null(strstr(text, "--vault-passphrase-fd"));
    struct ifab_vault_file_options options = {.directory = kind.directory, .passphrase = IFAB_VIEW("correct horse battery stapler")};
    assert_int_equal(ifab_vault_file_open(&options, &backend, NULL), IFAB_OK);
    assert_int_equal(ifab_vault_open(backend, &mark, &vault, &err), IFAB_DENIED);
    assert_non_null(strstr(err.text, "passphrase"));
    assert_null(vault);
    kind_end(&kind);
    kind.passphrase = false;
    kind_begin(&kind);
    mark = make("first-secret");
    options = (struct ifab_vault_file_options){.directory = kind.directory, .key_file = kind.key_file, .passphrase = IFAB_VIEW("x")};
    assert_int_equal(ifab_vault_file_open(&options, &backend, NULL), IFAB_OK);
    assert_int_equal(ifab_vault_open(backend, &mark, &vault, NULL), IFAB_INVALID);
    kind_end(&kind);
}

static void leaves_the_old_one_when_there_is_no_room(void **state)
{
    (void)state;
    kind_begin(&kind);
    struct ifab_vault_mark mark = make("first-secret");
    pid_t child = fork();
    if (child == 0) {
        struct rlimit small = {200, 200};
        struct ifab_vault *vault = opened(&kind, &mark);
        struct ifab_vault_mark next = put(vault, "canary-name", 2, API, "later-secret");
        (void)signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &small) != 0)
            _exit(2);
        bool refused = ifab_vault_publish(vault, next.counter, NULL) == IFAB_FULL;
        ifab_vault_back(vault, mark.counter);
        bool good = strcmp(got(vault, "canary-name", API), "first-secret") == 0;
        ifab_vault_close(vault);
        _exit(refused && good ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(files_in(kind.directory), 1); /* nothing half written */
    struct ifab_vault *vault = opened(&kind, &mark);
    assert_string_equal(got(vault, "canary-name", API), "first-secret");
    ifab_vault_close(vault);
    kind_end(&kind);
}

static void takes_leftovers_away_and_leaves_what_is_not_ours(void **state)
{
    static const char *const ours[] = {"vault/00000000000000000002.vault", "vault/00000000000000000009.vault", "vault/00000000000000000002.new"};
    static const char *const others[] = {"vault/notes.txt", "vault/2.vault", "vault/00000000000000000002.vault.bak"};
    (void)state;
    kind_begin(&kind);
    struct ifab_vault_mark mark = make("first-secret");
    for (size_t i = 0; i < 3; i++) {
        (void)close(open(in(ours[i]), O_WRONLY | O_CREAT, 0600));
        (void)close(open(in(others[i]), O_WRONLY | O_CREAT, 0600));
    }
    ifab_vault_close(opened(&kind, &mark));
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(access(in(ours[i]), F_OK), -1);
        assert_int_equal(access(in(others[i]), F_OK), 0);
    }
    kind_end(&kind);
}

/* A log that knows of no secret beside a vault of many changes: it was put back. Nothing is thrown away then. */
static void keeps_a_vault_that_the_log_has_forgotten(void **state)
{
    const char *text;
    (void)state;
    kind_begin(&kind);
    make("first-secret");
    char from[900];
    (void)snprintf(from, sizeof from, "%s", in("vault/00000000000000000001.vault"));
    assert_int_equal(rename(from, in("vault/00000000000000000017.vault")), 0);
    assert_int_equal(reopen(&nothing_yet, &text), IFAB_CORRUPT);
    assert_int_equal(access(in("vault/00000000000000000017.vault"), F_OK), 0);
    kind_end(&kind);
}

/* A writer is killed again and again while it changes a secret; the log is a pipe: what came through is what it says. */
static void survives_being_killed_at_any_moment(void **state)
{
    struct ifab_vault_mark mark = {0};
    (void)state;
    kind_begin(&kind);
    unsigned committed = 0;
    for (unsigned round = 0; round < 40; round++) {
        int log[2];
        assert_int_equal(pipe(log), 0);
        pid_t child = fork();
        if (child == 0) {
            struct ifab_vault *vault = opened(&kind, &mark);
            for (uint32_t i = 0;; i++) {
                char value[40];
                (void)snprintf(value, sizeof value, "value-of-change-%llu", (unsigned long long)mark.counter + 1);
                mark = put(vault, "one", (uint32_t)mark.counter + 1, API, value);
                if (ifab_vault_publish(vault, mark.counter, NULL) != IFAB_OK || write(log[1], &mark, sizeof mark) != (ssize_t)sizeof mark)
                    _exit(1);
                (void)ifab_vault_settle(vault, mark.counter, NULL);
            }
        }
        (void)close(log[1]);
        (void)usleep(1000 + (round * 7919) % 9000);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        struct ifab_vault_mark said;
        while (read(log[0], &said, sizeof said) == (ssize_t)sizeof said) {
            mark = said;
            committed++;
        }
        (void)close(log[0]);
        struct ifab_vault *vault = opened(&kind, &mark);
        if (mark.counter > 0) {
            char value[40];
            (void)snprintf(value, sizeof value, "value-of-change-%llu", (unsigned long long)mark.counter);
            assert_string_equal(got(vault, "one", API), value);
            assert_int_equal(files_in(kind.directory), 1);
        } else {
            assert_string_equal(got(vault, "one", API), "-");
        }
        ifab_vault_close(vault);
    }
    assert_true(committed > 0);
    kind_end(&kind);
}

static int start(void **state)
{
    (void)state;
    return ifab_crypto_init(NULL) == IFAB_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_what_is_promised_and_no_value),
        cmocka_unit_test(hides_how_long_a_value_is),
        cmocka_unit_test(refuses_open_modes_and_links),
        cmocka_unit_test(says_what_is_wrong_with_the_key),
        cmocka_unit_test(says_what_is_wrong_with_the_passphrase),
        cmocka_unit_test(leaves_the_old_one_when_there_is_no_room),
        cmocka_unit_test(takes_leftovers_away_and_leaves_what_is_not_ours),
        cmocka_unit_test(keeps_a_vault_that_the_log_has_forgotten),
        cmocka_unit_test(survives_being_killed_at_any_moment),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}

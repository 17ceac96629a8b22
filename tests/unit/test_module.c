/* Modules are read below their folder, through no link, and what was measured is what was read. INV-07. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto/crypto.h"
#include "module/module.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64] = "/tmp/ifab-module-XXXXXX";
static char at[200];

static const char *in_root(const char *name)
{
    snprintf(at, sizeof at, "%s/%s", root, name);
    return at;
}

static void put(const char *name, const char *text, mode_t mode)
{
    FILE *file = fopen(in_root(name), "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(in_root(name), mode), 0);
}

static ifab_status read_it(const char *path, size_t max, struct ifab_module_file *ret)
{
    struct ifab_error err = {0};
    memset(ret, 0, sizeof *ret);
    return ifab_module_read(root, ifab_view_str(path), max, ret, &err);
}

static int set_up(void **state)
{
    (void)state;
    if (mkdtemp(root) == NULL || mkdir(in_root("modules"), 0700) != 0)
        return -1;
    strncat(root, "/modules", sizeof root - strlen(root) - 1);
    return 0;
}

static void the_bytes_are_those_that_were_measured(void **state)
{
    (void)state;
    struct ifab_module_file file;
    uint8_t digest[32];
    put("a.wasm", "abc", 0644);
    assert_int_equal(mkdir(in_root("deep"), 0755), 0);
    put("deep/b.wasm", "", 0600);
    assert_int_equal(read_it("a.wasm", 3, &file), IFAB_OK);
    assert_true(ifab_view_is(ifab_buf_as_view(&file.bytes), "abc"));
    ifab_sha256(IFAB_VIEW("abc"), digest);
    assert_memory_equal(digest, file.sha256, 32);
    ifab_module_fini(&file);
    assert_int_equal(read_it("deep/b.wasm", 3, &file), IFAB_OK);
    assert_int_equal(file.bytes.size, 0);
    ifab_module_fini(&file);
    assert_int_equal(read_it("a.wasm", 2, &file), IFAB_TOO_LARGE);
}

static void nothing_leads_out_or_through_a_link(void **state)
{
    (void)state;
    struct ifab_module_file file;
    put("../outside.wasm", "abc", 0600);
    assert_int_equal(symlink("a.wasm", in_root("link.wasm")), 0);
    assert_int_equal(symlink("deep", in_root("folder")), 0);
    assert_int_equal(symlink("../outside.wasm", in_root("out.wasm")), 0);
    assert_int_equal(read_it("link.wasm", 100, &file), IFAB_DENIED);
    assert_int_equal(read_it("folder/b.wasm", 100, &file), IFAB_DENIED);
    assert_int_equal(read_it("out.wasm", 100, &file), IFAB_DENIED);
    assert_int_equal(read_it("../outside.wasm", 100, &file), IFAB_DENIED);
    assert_int_equal(read_it("deep/../../outside.wasm", 100, &file), IFAB_DENIED);
    assert_int_equal(read_it("/etc/passwd", 100000, &file), IFAB_DENIED);
    assert_int_equal(read_it("absent.wasm", 100, &file), IFAB_NOT_FOUND);
    assert_int_equal(read_it("a.wasm/b.wasm", 100, &file), IFAB_NOT_FOUND);
    assert_int_equal(read_it("", 100, &file), IFAB_NOT_FOUND);
}

static void only_a_plain_file_that_nobody_else_can_write_is_one(void **state)
{
    (void)state;
    struct ifab_module_file file;
    assert_int_equal(mkfifo(in_root("fifo.wasm"), 0600), 0);
    put("open.wasm", "abc", 0666);
    assert_int_equal(read_it("fifo.wasm", 100, &file), IFAB_DENIED); /* and does not wait for who writes into it */
    assert_int_equal(read_it("deep", 100, &file), IFAB_DENIED);
    assert_int_equal(read_it("open.wasm", 100, &file), IFAB_DENIED);
    assert_int_equal(chmod(root, 0777), 0);
    assert_int_equal(read_it("a.wasm", 100, &file), IFAB_DENIED);
    assert_int_equal(chmod(root, 0755), 0);
    assert_int_equal(read_it("a.wasm", 100, &file), IFAB_OK);
    ifab_module_fini(&file);
    assert_int_equal(ifab_module_read("/nonexistent/modules", IFAB_VIEW("a.wasm"), 100, &file, NULL), IFAB_NOT_FOUND);
}

static int tear_down(void **state)
{
    static const char *const names[] = {"a.wasm", "deep/b.wasm", "../outside.wasm", "link.wasm", "folder", "out.wasm", "fifo.wasm", "open.wasm"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)unlink(in_root(names[i]));
    (void)rmdir(in_root("deep"));
    (void)rmdir(root);
    *strrchr(root, '/') = '\0';
    return rmdir(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_are_those_that_were_measured),
        cmocka_unit_test(nothing_leads_out_or_through_a_link),
        cmocka_unit_test(only_a_plain_file_that_nobody_else_can_write_is_one),
    };
    if (ifab_crypto_init(NULL) != IFAB_OK)
        return 1;
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* ifd.yaml and rules.yaml: every refusal says line and reason, and a mistake changes nothing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "config/config.h"

static struct ifab_config config;
static struct ifab_error err;

static ifab_status parse(const char *text)
{
    memset(&err, 0, sizeof err);
    return ifab_config_parse(ifab_view_str(text), "/srv/fabric", &config, &err);
}

static void empty_file_gives_the_defaults_of_the_table(void **state)
{
    (void)state;
    assert_int_equal(parse(""), IFAB_OK);
    assert_string_equal(config.directory, "/srv/fabric");
    assert_string_equal(config.data_dir, "/srv/fabric/data");
    assert_string_equal(config.rules_file, "/srv/fabric/rules.yaml");
    assert_string_equal(config.http_listen, "127.0.0.1:8474");
    assert_int_equal(config.http_host_count, 3);
    assert_string_equal(config.http_hosts[2], "[::1]");
    assert_int_equal(config.time_skew_usec, 60 * IFAB_SECOND);
    assert_int_equal(config.disk_reserve, INT64_C(256) << 20);
    assert_int_equal(config.message_max, 65536);
    assert_int_equal(config.hold_deadline_usec, 15 * IFAB_MINUTE);
    assert_int_equal(config.escalate_deadline_usec, 24 * IFAB_HOUR);
    assert_int_equal(config.anchor_every_usec, IFAB_HOUR);
    assert_string_equal(config.log_level, "info");
    assert_string_equal(config.store_backend, "sqlite");
}

static void nested_and_dotted_names_mean_the_same(void **state)
{
    (void)state;
    assert_int_equal(parse("http:\n  listen: 127.0.0.1:0\n  hosts: [fab.example]\nlog: {level: warn}\n"), IFAB_OK);
    assert_string_equal(config.http_listen, "127.0.0.1:0");
    assert_int_equal(config.http_host_count, 1);
    assert_string_equal(config.log_level, "warn");
    assert_int_equal(parse("http.listen: \"[::1]:99\"\nlog.level: error\nlog: main\nhttp.hosts: one.example\n"), IFAB_OK);
    assert_string_equal(config.http_listen, "[::1]:99");
    assert_string_equal(config.http_hosts[0], "one.example");
    assert_int_equal(config.http_host_count, 1);
}

static void reads_maps_lists_and_paths(void **state)
{
    (void)state;
    assert_int_equal(parse("access:\n  uids: {\"1001\": Finance.Agent}\n  sensitive_scopes: [veritas:secrets]\nroles: {analyst: agent}\n"
                           "anchor.directories: [/mnt/a, near]\nrun.dir: /run/fabric\n"),
                     IFAB_OK);
    assert_int_equal(config.uid_count, 1);
    assert_int_equal(config.uids[0].uid, 1001);
    assert_string_equal(config.uids[0].talent, "Finance.Agent");
    assert_string_equal(config.sensitive_scopes[0], "veritas:secrets");
    assert_string_equal(config.role_names[0], "analyst");
    assert_string_equal(config.role_targets[0], "agent");
    assert_string_equal(config.anchor_dirs[0], "/mnt/a");
    assert_string_equal(config.anchor_dirs[1], "/srv/fabric/near");
    assert_string_equal(config.run_dir, "/run/fabric");
}

static void reads_rows_of_egress(void **state)
{
    struct ifab_config_egress row;
    const char *why = NULL;
    (void)state;
    assert_int_equal(parse("egress.allow: [vmix.switcher 10.0.0.5/32 8088, \"ha   fd00::/8  65535\"]\n"), IFAB_OK);
    assert_int_equal(config.egress_allow_count, 2);
    assert_true(ifab_config_egress_read(ifab_view_str(config.egress_allow[0]), &row, &why));
    assert_true(ifab_view_is(row.name, "vmix.switcher") && ifab_view_is(row.net, "10.0.0.5/32") && row.port == 8088);
    assert_true(ifab_config_egress_read(ifab_view_str(config.egress_allow[1]), &row, &why));
    assert_true(ifab_view_is(row.name, "ha") && ifab_view_is(row.net, "fd00::/8") && row.port == 65535);
    assert_null(why);
}

static void finds_the_value_of_one_capability_and_key(void **state)
{
    struct ifab_view value;
    (void)state;
    assert_int_equal(parse("capabilities.config: [vmix.switcher VMIX_URL http://10.0.0.5:8088, \"  ha  HA_ROOM   two words\", ha VMIX_URL http://b, vmix.switcher HA_ROOM x]\n"), IFAB_OK);
    assert_true(ifab_config_capability_value(&config, IFAB_VIEW("vmix.switcher"), IFAB_VIEW("VMIX_URL"), &value) && ifab_view_is(value, "http://10.0.0.5:8088"));
    assert_true(ifab_config_capability_value(&config, IFAB_VIEW("ha"), IFAB_VIEW("VMIX_URL"), &value) && ifab_view_is(value, "http://b"));
    assert_true(ifab_config_capability_value(&config, IFAB_VIEW("ha"), IFAB_VIEW("HA_ROOM"), &value) && ifab_view_is(value, "two words"));
    assert_false(ifab_config_capability_value(&config, IFAB_VIEW("ha"), IFAB_VIEW("HA"), &value));
    assert_false(ifab_config_capability_value(&config, IFAB_VIEW("vmix"), IFAB_VIEW("VMIX_URL"), &value));
    assert_false(ifab_config_capability_value(&config, IFAB_VIEW("obs.studio"), IFAB_VIEW("HA_ROOM"), &value));
}

static void takes_the_seeds_name_of_the_store(void **state)
{
    (void)state;
    assert_int_equal(parse("witness_db_url: sqlite:///var/lib/fabric\n"), IFAB_OK);
    assert_string_equal(config.data_dir, "/var/lib/fabric");
    assert_int_equal(parse("store.url: sqlite:here\n"), IFAB_OK);
    assert_string_equal(config.data_dir, "/srv/fabric/here");
}

static void refuses_with_line_and_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"log: main\n\nhtpp.listen: 1\n", "line 3: unknown setting \"htpp.listen\"; did you mean \"http.listen\"?"},
        {"http:\n  listn: 1\n", "line 2: unknown setting \"http.listn\"; did you mean \"http.listen\"?"},
        {"skew: 60s\n", "did you mean \"time.skew\"?"},
        {"zzzzzzzz: 1\n", "unknown setting \"zzzzzzzz\"; `ifctl config schema`"},
        {"http.listen: 127.0.0.1:1\nhttp: {listen: 127.0.0.1:2}\n", "http.listen is given twice"},
        {"store.url: sqlite:a\ndata.dir: b\n", "data.dir is given twice"},
        {"time.skew: 60\n", "expected a whole number and its unit"},
        {"time.skew: 301s\n", "outside its range (0..300s"},
        {"time.skew: -1s\n", "expected a whole number"},
        {"time.skew: 007s\n", "expected a whole number"},
        {"time.skew: 99999999999999999999s\n", "outside its range"},
        {"disk.reserve: 256MB\n", "KiB, MiB"},
        {"limits.message: 1023\n", "outside its range"},
        {"limits.message: 1048577\n", "outside its range"},
        {"http.listen: 0.0.0.0:80\n", "not a loopback address: that needs TLS"},
        {"http.listen: \"[::]:80\"\n", "not a loopback address: that needs TLS"},
        {"http.listen: 0.0.0.0:80\nhttp.certificate: c.pem\n", "http.certificate is set without http.key"},
        {"http.key: k.pem\n", "http.key is set without http.certificate"},
        {"http.listen: fabric.example:80\n", "ADDRESS:PORT"},
        {"http.listen: 127.0.0.1\n", "ADDRESS:PORT"},
        {"http.listen: 127.0.0.1:65536\n", "ADDRESS:PORT"},
        {"http: 3\n", "unknown setting \"http\""},
        {"time.skew: [60s]\n", "expected a single value"},
        {"access.uids: {root: A}\n", "not a uid"},
        {"access.uids: {\"1\": \"-bad\"}\n", "name of a talent"},
        {"access.uids: {\"4294967295\": A}\n", "not a uid"},
        {"roles: {admin: agent}\n", "built in"},
        {"roles: {boss: king}\n", "expected agent, readonly"},
        {"log: other\n", "one log"},
        {"egress.allow: [this says nothing at all]\n", "CIDR is an address or a net"},
        {"egress.allow: [vmix]\n", "expected NAME CIDR PORT"},
        {"egress.allow: [\"\"]\n", "expected NAME CIDR PORT"},
        {"egress.allow: [Vmix 10.0.0.0/8 80]\n", "NAME is what stands behind if://capability/"},
        {"egress.allow: [\"if://capability/vmix 10.0.0.0/8 80\"]\n", "NAME is what stands behind if://capability/"},
        {"egress.allow: [vmix 10.0.0.1/8 80]\n", "no bit set behind its length"},
        {"egress.allow: [vmix studio.local 80]\n", "CIDR is an address or a net"},
        {"egress.allow: [vmix 10.0.0.0/33 80]\n", "CIDR is an address or a net"},
        {"egress.allow: [vmix 10.0.0.0/8]\n", "PORT is 1 to 65535"},
        {"egress.allow: [vmix 10.0.0.0/8 0]\n", "PORT is 1 to 65535"},
        {"egress.allow: [vmix 10.0.0.0/8 65536]\n", "PORT is 1 to 65535"},
        {"egress.allow: [vmix 10.0.0.0/8 080]\n", "PORT is 1 to 65535"},
        {"egress.allow: [vmix 10.0.0.0/8 80-90]\n", "PORT is 1 to 65535"},
        {"egress.allow: [vmix 10.0.0.0/8 80 90]\n", "nothing stands behind it"},
        {"log.level: loud\n", "expected debug"},
        {"store.backend: postgres\n", "expected sqlite"},
        {"witness_db_url: postgres://x\n", "expected sqlite:DIRECTORY"},
        {"witness_db_url: sqlite:///x/main.db\n", "name the directory"},
        {"event_bus_url: nats://localhost:4222\n", "the event bus, which comes in a later version"},
        {"secret_vault_backend: vault\n", "IF_ERR_509: vault.backend: kv2 comes in a later version"},
        {"secret_vault_backend: kv2\n", "expected file, vault or aws-secrets-manager"},
        {"vault: {backend: aws}\n", "IF_ERR_509: vault.backend: aws comes in a later version"},
        {"vault: {backend: hsm}\n", "expected file, kv2 or aws"},
        {"vault: {passphrase: x}\n", "vault.passphrase"},
        {"name: \"a b\"\n", "expected labels"},
        {"name: a//b\n", "expected labels"},
        {"name: a+b\n", "expected labels"},
        {"- a\n- b\n", "expected a mapping"},
        {"sandbox.walls: [moat]\n", "expected landlock or namespaces"},
        {"sandbox.walls: [landlock, namespaces, landlock]\n", "sandbox.walls"},
        {"data.dir: \"a\\tb\"\n", "control characters"},
        {"data.dir: \"\"\n", "expected a path"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        memset(&config, 0x5a, sizeof config);
        assert_int_equal(parse(cases[i].text), IFAB_INVALID);
        if (strstr(err.text, cases[i].says) == NULL)
            fail_msg("case %zu: \"%s\" does not say \"%s\"", i, err.text, cases[i].says);
        assert_int_equal(config.directory[0], 0x5a); /* nothing written */
    }
}

static void limits_of_lists_hold_at_their_edge(void **state)
{
    (void)state;
    char text[4096] = "http.hosts: [";
    for (int n = 16; n <= 17; n++) {
        size_t size = (size_t)snprintf(text, sizeof text, "http.hosts: [");
        for (int i = 0; i < n; i++)
            size += (size_t)snprintf(text + size, sizeof text - size, "%sh%d", i == 0 ? "" : ", ", i);
        snprintf(text + size, sizeof text - size, "]\n");
        assert_int_equal(parse(text), n == 16 ? IFAB_OK : IFAB_INVALID);
    }
}

static void every_row_is_whole_and_its_default_fits(void **state)
{
    (void)state;
    size_t rows = 0;
    for (const struct ifab_setting_info *row; (row = ifab_setting_at(rows)) != NULL; rows++) {
        char line[512];
        assert_true(row->help[0] != '\0' && row->range[0] != '\0');
        assert_true(strcmp(row->applies, "reload") == 0 || strcmp(row->applies, "restart") == 0);
        snprintf(line, sizeof line, "%s: %s%s%s\n", row->name, row->default_text[0] == '[' || row->default_text[0] == '{' ? "" : "\"",
                 row->default_text, row->default_text[0] == '[' || row->default_text[0] == '{' ? "" : "\"");
        if (parse(line) != IFAB_OK)
            fail_msg("%s: %s", line, err.text);
    }
    assert_true(rows > 20);
}

static void truncated_or_flipped_files_never_crash(void **state)
{
    (void)state;
    static const char whole[] =
        "name: fab.example/main\nhttp: {listen: \"127.0.0.1:0\", hosts: [localhost]}\naccess.uids: {\"1\": A}\ntime.skew: 5s\n";
    char copy[sizeof whole];
    for (size_t n = 0; n < sizeof whole; n++) {
        memset(&err, 0, sizeof err);
        (void)!ifab_config_parse(ifab_view_of(whole, n), "/d", &config, &err);
        for (int bit = 0; bit < 8; bit++) {
            memcpy(copy, whole, sizeof whole);
            copy[n] = (char)((unsigned char)copy[n] ^ (1U << bit));
            memset(&err, 0, sizeof err);
            ifab_status status = ifab_config_parse(ifab_view_of(copy, sizeof whole - 1), "/d", &config, &err);
            assert_true(status == IFAB_OK || err.text[0] != '\0');
        }
    }
}

static void each_failing_allocation_is_reported(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        ifab_mem_fail_at(n);
        ifab_status status = parse("http: {listen: \"127.0.0.1:0\"}\nroles: {analyst: agent}\n");
        bool failed = ifab_mem_failed();
        ifab_mem_fail_at(0);
        if (!failed) {
            assert_int_equal(status, IFAB_OK);
            assert_true(n > 1);
            return;
        }
        assert_int_not_equal(status, IFAB_OK);
    }
}

static char *write_temporary(const char *name, const char *text)
{
    static char path[128];
    static char dir[] = "/tmp/ifab-config-XXXXXX";
    static int made;
    if (!made++)
        assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return path;
}

static void loads_a_file_and_lets_the_environment_win(void **state)
{
    (void)state;
    char *path = write_temporary("ifd.yaml", "log.level: warn\n");
    memset(&err, 0, sizeof err);
    assert_int_equal(ifab_config_load(path, &config, &err), IFAB_OK);
    assert_string_equal(config.log_level, "warn");
    assert_true(strncmp(config.data_dir, "/tmp/ifab-config-", 17) == 0);
    setenv("IFAB_LOG_LEVEL", "debug", 1);
    assert_int_equal(ifab_config_load(path, &config, &err), IFAB_OK);
    assert_string_equal(config.log_level, "debug");
    setenv("IFAB_LOG_LEVEL", "loud", 1);
    assert_int_equal(ifab_config_load(path, &config, &err), IFAB_INVALID);
    assert_non_null(strstr(err.text, "environment IFAB_LOG_LEVEL"));
    unsetenv("IFAB_LOG_LEVEL");
    memset(&err, 0, sizeof err);
    assert_int_equal(ifab_config_load("/tmp/ifab-none/ifd.yaml", &config, &err), IFAB_NOT_FOUND);
    unlink(path);
}

/* Plain scalars are typed by the field they stand under, quoted ones are texts; a mistake is told by line and column. */
static void rules_are_typed_where_they_stand(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says; /* says NULL: taken, with this canonical form */
        const char *canonical;
    } cases[] = {
        {"v: 1\nrules:\n  - id: a\n    effect: deny\n    when: {sender: 10, scope.x: 10, scope.y: \"10\", scope.z: true}\n", NULL,
         "{\"rules\":[{\"effect\":\"deny\",\"id\":\"a\",\"reason\":\"operator rule\",\"when\":{\"all\":[{\"scope.x\":{\"is\":10}},"
         "{\"scope.y\":{\"is\":\"10\"}},{\"scope.z\":{\"is\":true}},{\"sender\":{\"is\":\"10\"}}]}}],\"v\":1}"},
        {"v: 1\nrules: []\n", NULL, "{\"rules\":[],\"v\":1}"},
        {"{\"v\": 1, \"rules\": []}", NULL, "{\"rules\":[],\"v\":1}"},
        {"v: 1\nrules:\n  - id: a\n    effect: deny\n    when:\n      sendr: x\n", "line 6, column 14: unknown field \"sendr\"; did you mean \"sender\"?", NULL},
        {"v: 1\nrules:\n  - id: a\n    effect: permit\n    when: {}\n", "line 4, column 13: an effect is", NULL},
        {"v: 1\nrules:\n  - id: a\n    effect: deny\n    when: {confidence: {below: low}}\n", "line 5, column 32: this field is a number", NULL},
        {"v: 1\nrules:\n  - id: a\n   effect: deny\n", "line 4, column", NULL},
        {"v: 1\nrules: *x\n", "line 2", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ifab_ruleset *set = NULL;
        uint8_t digest[32];
        memset(&err, 0, sizeof err);
        ifab_status status = ifab_rules_parse(ifab_view_str(cases[i].text), "rules.yaml", &set, digest, &err);
        if ((status == IFAB_OK) != (cases[i].says == NULL) || (cases[i].says != NULL && strstr(err.text, cases[i].says) == NULL))
            fail_msg("%s: %d %s", cases[i].text, (int)status, err.text);
        if (set != NULL && !ifab_view_is(ifab_ruleset_canonical(set), cases[i].canonical))
            fail_msg("%s: " IFAB_FMT, cases[i].text, IFAB_ARG(ifab_ruleset_canonical(set)));
        ifab_ruleset_free(set);
    }
}

static void each_change_that_needs_a_restart_is_named(void **state)
{
    (void)state;
    static struct ifab_config before;
    size_t at = 0;
    assert_int_equal(parse(""), IFAB_OK);
    before = config;
    assert_null(ifab_config_fixed(&before, &config, &at));
    assert_int_equal(parse("replay: {total: 5000, per_talent: 100}\nrate: {messages: 7}\n"), IFAB_OK);
    at = 0;
    assert_string_equal(ifab_config_fixed(&before, &config, &at), "replay.per_talent");
    assert_string_equal(ifab_config_fixed(&before, &config, &at), "replay.total");
    assert_null(ifab_config_fixed(&before, &config, &at)); /* rate.messages may change */
}

static void rules_are_all_or_nothing(void **state) /* INV-06 */
{
    (void)state;
    static const struct {
        const char *text;
        ifab_status status;
    } cases[] = {
        {"v: 1\nrules: []\n", IFAB_OK},      {"v: 2\nrules: []\n", IFAB_UNSUPPORTED},          {"v: 1\n", IFAB_INVALID},
        {"rules: []\n", IFAB_INVALID},       {"v: 1\nrules: [{id: a}]\n", IFAB_INVALID},   {"v: 1\nrules: {}\n", IFAB_INVALID},
        {"v: 1\nrules: []\nx: 1\n", IFAB_INVALID}, {"", IFAB_INVALID},                          {"v: 1\nrules: [\n", IFAB_INVALID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t digest[32] = {0}, zero[32] = {0};
        char *path = write_temporary("rules.yaml", cases[i].text);
        memset(&err, 0, sizeof err);
        assert_int_equal(ifab_rules_load(path, digest, &err), cases[i].status);
        assert_int_equal(memcmp(digest, zero, 32) != 0, cases[i].status == IFAB_OK);
        unlink(path);
    }
    char directory[128];
    snprintf(directory, sizeof directory, "%s", write_temporary("x", ""));
    unlink(directory);
    *strrchr(directory, '/') = '\0';
    rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_file_gives_the_defaults_of_the_table),
        cmocka_unit_test(nested_and_dotted_names_mean_the_same),
        cmocka_unit_test(reads_maps_lists_and_paths),
        cmocka_unit_test(reads_rows_of_egress), cmocka_unit_test(finds_the_value_of_one_capability_and_key),
        cmocka_unit_test(takes_the_seeds_name_of_the_store),
        cmocka_unit_test(refuses_with_line_and_reason),
        cmocka_unit_test(limits_of_lists_hold_at_their_edge),
        cmocka_unit_test(every_row_is_whole_and_its_default_fits),
        cmocka_unit_test(truncated_or_flipped_files_never_crash),
        cmocka_unit_test(each_failing_allocation_is_reported),
        cmocka_unit_test(loads_a_file_and_lets_the_environment_win),
        cmocka_unit_test(each_change_that_needs_a_restart_is_named),
        cmocka_unit_test(rules_are_all_or_nothing),
        cmocka_unit_test(rules_are_typed_where_they_stand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

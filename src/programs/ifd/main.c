/* ifd: the daemon. --config serves; --init and --restore make a directory (ifctl calls them); --dev serves a throw-away fabric. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/code.h"
#include "base/mem.h"
#include "crypto/crypto.h"
#include "crypto/secret.h"
#include "dev.h"
#include "log/log.h"
#include "loop/node.h"

static const char usage[] =
    "ifd - the InfraFabric daemon\n"
    "\n"
    "  ifd --config DIR/ifd.yaml [--vault-passphrase-fd N]\n"
    "                                       serve in the foreground; prints one line when ready\n"
    "  ifd --dev                            serve a temporary fabric with agents Demo.A and Demo.B\n"
    "  ifd --init DIR [--http ADDR:PORT] [--name NAME] [--passphrase-fd N] [--why TEXT]\n"
    "  ifd --restore BACKUP --dir NEW [--keys DIR/keys] --why TEXT\n"
    "  ifd --salvage DIR --dir NEW [--keys DIR/keys] [--checkpoint FILE] [--unproven] --why TEXT\n"
    "  ifd --version\n"
    "\n"
    "Make a fabric with: ifctl init. Settings: ifctl config schema.\n";

enum { OPT_CONFIG = 1, OPT_DEV, OPT_INIT, OPT_HTTP, OPT_NAME, OPT_PASS, OPT_WHY, OPT_RESTORE, OPT_DIR, OPT_KEYS, OPT_SALVAGE, OPT_CHECKPOINT, OPT_UNPROVEN, OPT_VAULT_PASS, OPT_VERSION, OPT_HELP };
static const struct option options[] = {
    {"config", required_argument, NULL, OPT_CONFIG}, {"dev", no_argument, NULL, OPT_DEV},
    {"init", required_argument, NULL, OPT_INIT},     {"http", required_argument, NULL, OPT_HTTP},
    {"name", required_argument, NULL, OPT_NAME},     {"passphrase-fd", required_argument, NULL, OPT_PASS},
    {"why", required_argument, NULL, OPT_WHY},       {"restore", required_argument, NULL, OPT_RESTORE},
    {"dir", required_argument, NULL, OPT_DIR},       {"keys", required_argument, NULL, OPT_KEYS},
    {"salvage", required_argument, NULL, OPT_SALVAGE}, {"checkpoint", required_argument, NULL, OPT_CHECKPOINT},
    {"unproven", no_argument, NULL, OPT_UNPROVEN},    {"vault-passphrase-fd", required_argument, NULL, OPT_VAULT_PASS},
    {"version", no_argument, NULL, OPT_VERSION},     {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

#define PASSPHRASE_MAX 1024

static int fail(const struct ifab_error *err, int code)
{
    struct ifab_buf line = IFAB_BUF_INIT(1024);
    ifab_buf_format(&line, "ifd: %s\n", err->text);
    ifab_log_plain(2, ifab_buf_as_view(&line));
    ifab_buf_fini(&line);
    return code;
}

/* What a start or a restore that failed is called, and what mends it; exit is 20 for all of them. */
static enum ifab_code name_failure(ifab_status status, bool restoring, const char **ret_hint)
{
    *ret_hint = NULL;
    if (status == IFAB_CORRUPT)
        return IFAB_CODE_LOG_CORRUPT;
    if (status == IFAB_FULL)
        return IFAB_CODE_STORE_UNAVAILABLE;
    if (status == IFAB_AGAIN || status == IFAB_CONFLICT) {
        *ret_hint = status == IFAB_AGAIN ? "One ifd serves a directory: end that one first, or name another ifd.yaml."
                    : restoring          ? "Name a new or empty directory."
                                         : "End what serves there, or set another http.listen or run.dir in ifd.yaml.";
        return IFAB_CODE_CONFLICT;
    }
    if (status == IFAB_INVALID || status == IFAB_NOT_FOUND || status == IFAB_UNSUPPORTED || status == IFAB_DENIED) {
        *ret_hint = "Mend what the message names, then start again.";
        return IFAB_CODE_INVALID_CONFIG;
    }
    *ret_hint = "Look at the disk and the system's log; nothing is served that cannot be recorded.";
    return IFAB_CODE_STORE_UNAVAILABLE;
}

static int fail_start(const struct ifab_error *err, bool restoring)
{
    struct ifab_buf line = IFAB_BUF_INIT(1024);
    const char *hint;
    enum ifab_code code = name_failure(err->status, restoring, &hint);
    if (strncmp(err->text, "IF_ERR_", 7) == 0) /* it knows its own code */
        ifab_buf_format(&line, "ifd: %s\n", err->text);
    else
        ifab_buf_format(&line, "ifd: IF_ERR_%03d: %s\n  %s\n", (int)code, err->text, hint != NULL ? hint : ifab_code_info(code)->hint);
    ifab_log_plain(2, ifab_buf_as_view(&line));
    ifab_buf_fini(&line);
    return 20;
}

static bool read_passphrase(const char *fd_text, uint8_t *bytes, size_t max, size_t *ret_size)
{
    char *end;
    long fd = strtol(fd_text, &end, 10);
    *ret_size = 0;
    if (*end != '\0' || fd < 0 || fd > 1024)
        return false;
    for (ssize_t n; *ret_size < max && (n = read((int)fd, bytes + *ret_size, max - *ret_size)) > 0;)
        *ret_size += (size_t)n;
    while (*ret_size > 0 && bytes[*ret_size - 1] == '\n')
        (*ret_size)--;
    return *ret_size < max;
}

static int run_init(struct ifab_init_options *init, const char *passphrase_fd)
{
    struct ifab_error err = {0};
    uint8_t passphrase[1024];
    size_t size = 0;
    if (passphrase_fd != NULL && !read_passphrase(passphrase_fd, passphrase, sizeof passphrase, &size))
        return fail(&(struct ifab_error){.text = "the passphrase cannot be read from --passphrase-fd"}, 2);
    init->passphrase = ifab_view_of(passphrase, size);
    ifab_status status = ifab_node_init(init, &err);
    ifab_wipe(passphrase, sizeof passphrase);
    return status == IFAB_OK ? 0 : fail(&err, status == IFAB_CONFLICT ? 12 : 20);
}

/* What was kept and what was given up, in words: stdout. */
static void say_salvaged(const struct ifab_salvage_options *salvage, const struct ifab_salvage_report *r)
{
    struct ifab_buf text = IFAB_BUF_INIT(8192);
    ifab_buf_format(&text, "log        %s\nkept       %llu entries, %llu of them proven by a tree that the log's key signed; %llu came from tiles\n", r->origin,
                    (unsigned long long)r->kept, (unsigned long long)(r->proven < r->kept ? r->proven : r->kept), (unsigned long long)r->from_tiles);
    ifab_buf_format(&text, "messages   %llu with their bytes, %llu without\n", (unsigned long long)r->messages, (unsigned long long)r->messages_absent);
    if (r->committed_known)
        ifab_buf_format(&text, "given up   %llu entries: %llu were committed\n", (unsigned long long)(r->committed - r->kept), (unsigned long long)r->committed);
    else
        ifab_buf_format(&text, "given up   nobody can say how many entries: the head cannot be read%s\n", r->committed > r->kept ? "; a larger tree was signed" : "");
    if (r->readable > r->kept)
        ifab_buf_format(&text, "           %llu more can be read, but nothing signed covers them (--unproven takes them, --checkpoint FILE may prove them)\n",
                        (unsigned long long)(r->readable - r->kept));
    ifab_buf_format(&text, "void       what was held or escalated, votes, tokens, invites, older messages, admin acts and secrets\nexport     %s/salvaged\n", salvage->directory);
    ifab_log_plain(1, ifab_buf_as_view(&text));
    ifab_buf_fini(&text);
}

static int run_salvage(const struct ifab_salvage_options *salvage)
{
    struct ifab_salvage_report report = {0};
    struct ifab_error err = {0};
    if (salvage->directory == NULL || salvage->why.size == 0)
        return fail(&(struct ifab_error){.text = "--salvage needs --dir NEW and --why TEXT"}, 2);
    if (ifab_node_salvage(salvage, &report, &err) != IFAB_OK)
        return fail_start(&err, true);
    say_salvaged(salvage, &report);
    return 0;
}

/* Keys and secrets are in here: no core file, and no other process of this user looks into it (INV-09). */
static void keep_memory_private(void)
{
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* also where cores go to a program, which the limit does not bind */
}

static int run_daemon(struct ifab_run_options *run, const char *vault_fd)
{
    struct ifab_error err = {0};
    uint8_t *passphrase = NULL;
    size_t size = 0;
    if (vault_fd != NULL) {
        if (ifab_crypto_init(&err) != IFAB_OK || ifab_locked_new(PASSPHRASE_MAX, &passphrase, &err) != IFAB_OK)
            return fail_start(&err, false);
        bool good = read_passphrase(vault_fd, passphrase, PASSPHRASE_MAX, &size) && size > 0;
        if (!good) {
            ifab_locked_free(passphrase);
            return fail(&(struct ifab_error){.text = "the vault's passphrase cannot be read from --vault-passphrase-fd, or is empty"}, 2);
        }
        run->vault_passphrase = ifab_view_of(passphrase, size);
    }
    ifab_status status = ifab_node_run(run, &err);
    ifab_locked_free(passphrase);
    return status == IFAB_OK ? 0 : fail_start(&err, false);
}

int main(int argc, char **argv)
{
    struct ifab_init_options init = {.version = IFAB_VERSION, .why = IFAB_VIEW("init")};
    struct ifab_restore_options restore = {.version = IFAB_VERSION};
    struct ifab_salvage_options salvage = {.version = IFAB_VERSION};
    struct ifab_run_options run = {.version = IFAB_VERSION, .ready_fd = 1};
    struct ifab_error err = {0};
    const char *passphrase_fd = NULL, *vault_fd = NULL;
    bool dev = false;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case OPT_CONFIG: run.config = optarg; break;
        case OPT_DEV: dev = true; break;
        case OPT_INIT: init.directory = optarg; break;
        case OPT_HTTP: init.http = optarg; break;
        case OPT_NAME: init.name = optarg; break;
        case OPT_PASS: passphrase_fd = optarg; break;
        case OPT_WHY: init.why = restore.why = salvage.why = ifab_view_str(optarg); break;
        case OPT_RESTORE: restore.backup = optarg; break;
        case OPT_DIR: restore.directory = salvage.directory = optarg; break;
        case OPT_KEYS: restore.keys = salvage.keys = optarg; break;
        case OPT_SALVAGE: salvage.lost = optarg; break;
        case OPT_CHECKPOINT: salvage.checkpoint = optarg; break;
        case OPT_UNPROVEN: salvage.unproven = true; break;
        case OPT_VAULT_PASS: vault_fd = optarg; break;
        case OPT_VERSION: ifab_log_plain(1, IFAB_VIEW("ifd " IFAB_VERSION "\n")); return 0;
        case OPT_HELP: ifab_log_plain(1, ifab_view_str(usage)); return 0;
        default: ifab_log_plain(2, ifab_view_str(usage)); return 2;
        }
    }
    if (optind != argc || (dev + (run.config != NULL) + (init.directory != NULL) + (restore.backup != NULL) + (salvage.lost != NULL)) != 1) {
        ifab_log_plain(2, ifab_view_str(usage));
        return 2;
    }
    if (vault_fd != NULL && run.config == NULL)
        return fail(&(struct ifab_error){.text = "--vault-passphrase-fd goes with --config"}, 2);
    keep_memory_private();
    (void)ifab_log_find_journal(); /* else lines of JSON on stderr */
    if (init.directory != NULL)
        return run_init(&init, passphrase_fd);
    if (restore.backup != NULL) {
        if (restore.directory == NULL || restore.why.size == 0)
            return fail(&(struct ifab_error){.text = "--restore needs --dir NEW and --why TEXT"}, 2);
        return ifab_node_restore(&restore, &err) == IFAB_OK ? 0 : fail_start(&err, true);
    }
    if (salvage.lost != NULL)
        return run_salvage(&salvage);
    if (dev)
        return ifab_dev_run(argv[0], IFAB_VERSION);
    return run_daemon(&run, vault_fd);
}

/* doctor: what is wrong with this fabric, in the order in which one would look. It changes nothing. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <unistd.h>

#include "config/config.h"

enum state { GOOD, WARN, BAD };
struct doctor {
    struct cli *cli;
    struct ifab_config *config;
    struct ifab_buf text;
    size_t count, bad;
};

__attribute__((format(printf, 4, 5))) static void say(struct doctor *d, enum state state, const char *check, const char *format, ...)
{
    static const char *const names[] = {[GOOD] = "good", [WARN] = "warning", [BAD] = "bad"};
    char detail[600];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    ifab_buf_str(&d->text, d->count++ > 0 ? ",{\"check\":" : "{\"check\":");
    ifab_json_put_cstr(&d->text, check);
    ifab_buf_str(&d->text, ",\"state\":");
    ifab_json_put_cstr(&d->text, names[state]);
    ifab_buf_str(&d->text, ",\"detail\":");
    ifab_json_put_cstr(&d->text, detail);
    ifab_buf_char(&d->text, '}');
    d->bad += state == BAD;
}

/* Owner and mode of a file or directory that others must not read. */
static void check_mode(struct doctor *d, const char *check, const char *path, bool directory, mode_t others)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        say(d, BAD, check, "%s: %s", path, strerror(errno));
    else if (S_ISLNK(st.st_mode) || (directory ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode)))
        say(d, BAD, check, "%s is not a %s", path, directory ? "directory" : "regular file");
    else if (st.st_uid != geteuid() && geteuid() != 0)
        say(d, BAD, check, "%s belongs to uid %u, not to you", path, (unsigned)st.st_uid);
    else if ((st.st_mode & others) != 0)
        say(d, BAD, check, "%s has mode %03o: chmod %s it", path, (unsigned)(st.st_mode & 0777), directory ? "700" : "600");
    else
        say(d, GOOD, check, "%s, mode %03o", path, (unsigned)(st.st_mode & 0777));
}

static bool check_config(struct doctor *d)
{
    char path[1200];
    uint8_t digest32[32];
    struct ifab_error err = {0};
    if (!cli_path(path, sizeof path, "%s/ifd.yaml", d->cli->directory))
        return false;
    if (access(path, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR)) {
        say(d, BAD, "configuration", "%s is no fabric: it holds no ifd.yaml. Make one with ifctl init %s, or name another with --dir",
            d->cli->directory, d->cli->directory);
        return false;
    }
    if (ifab_config_load(path, d->config, &err) != IFAB_OK) {
        say(d, BAD, "configuration", "%s", err.text);
        return false;
    }
    say(d, GOOD, "configuration", "%s", path);
    memset(&err, 0, sizeof err);
    if (ifab_rules_load(d->config->rules_file, digest32, &err) != IFAB_OK)
        say(d, BAD, "rules", "%s: every message is DENY", err.text);
    else
        say(d, GOOD, "rules", "%s", d->config->rules_file);
    return true;
}

static void check_keys(struct doctor *d)
{
    static const char *const names[] = {"log.key", "operator.pem"};
    char path[1200];
    check_mode(d, "keys", d->config->keys_dir, true, 077);
    for (size_t i = 0; i < IFAB_COUNT(names); i++)
        if (cli_path(path, sizeof path, "%s/%s", d->config->keys_dir, names[i]))
            check_mode(d, names[i], path, false, 077);
}

static void check_socket(struct doctor *d)
{
    size_t size = strlen(d->config->run_dir) + strlen("/ifd.sock"), most = sizeof((struct sockaddr_un *)NULL)->sun_path - 1;
    if (size > most)
        say(d, BAD, "socket", "Socket path has %zu bytes, the system allows %zu: set run.dir.", size, most);
    else
        say(d, GOOD, "socket", "path has %zu of %zu bytes", size, most);
}

static void check_disk(struct doctor *d)
{
    struct statvfs fs;
    if (statvfs(d->config->data_dir, &fs) != 0) {
        say(d, BAD, "disk", "%s: %s", d->config->data_dir, strerror(errno));
        return;
    }
    uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
    enum state state = room < (uint64_t)d->config->disk_reserve ? BAD : room < 4 * (uint64_t)d->config->disk_reserve ? WARN : GOOD;
    say(d, state, "disk", "%llu MiB free, reserve %lld MiB", (unsigned long long)(room >> 20), (long long)(d->config->disk_reserve >> 20));
}

static void check_lock(struct doctor *d)
{
    char path[1200];
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (!cli_path(path, sizeof path, "%s/lock", d->config->data_dir))
        return;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        say(d, errno == ENOENT ? WARN : BAD, "lock", "%s: %s", path, errno == ENOENT ? "not there yet: ifd never ran" : strerror(errno));
        return;
    }
    if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
        say(d, GOOD, "lock", "held by process %ld", (long)lock.l_pid);
    else
        say(d, GOOD, "lock", "%s", path);
    close(fd);
}

static void check_daemon(struct doctor *d)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    struct ifab_response response;
    const struct ifab_json *tree;
    struct ifab_client *client = NULL;
    struct ifab_view text;
    int64_t theirs;
    const struct ifab_client_options options = {
        .version = IFAB_CLIENT_VERSION, .endpoint = d->cli->endpoint, .timeout_usec = 5 * IFAB_SECOND};
    struct ifab_request request = {.version = IFAB_CLIENT_VERSION, .method = "GET", .target = "/v1/fabric"};
    struct ifab_error err = {0};
    ifab_arena_init(&arena, 8 << 20);
    if (ifab_client_open(&options, &client, &err) != IFAB_OK || ifab_client_call(client, &request, &response, &err) != IFAB_OK) {
        say(d, BAD, "daemon", "%s", err.text);
    } else if (response.status != 200 || ifab_json_read(response.body, NULL, &arena, &tree, &err) != IFAB_OK) {
        say(d, BAD, "daemon", "GET /v1/fabric: HTTP %d", response.status);
    } else {
        say(d, GOOD, "daemon", "answers at %s", d->cli->endpoint);
        if (ifab_json_string(ifab_json_get(tree, "time"), &text) && ifab_time_parse(text, &theirs) == IFAB_OK) {
            int64_t apart = theirs - ifab_wall_usec();
            apart = apart < 0 ? -apart : apart;
            say(d,
                apart > 60 * IFAB_SECOND  ? BAD
                : apart > 2 * IFAB_SECOND ? WARN
                                          : GOOD,
                "clock", "%lld ms from the daemon's", (long long)(apart / 1000));
        }
        request.target = "/readyz";
        memset(&err, 0, sizeof err);
        if (ifab_client_call(client, &request, &response, &err) == IFAB_OK && response.status == 200)
            say(d, GOOD, "ready", "serving");
        else
            say(d, BAD, "ready", "%.*s", response.body.size > 200 ? 200 : (int)response.body.size, (const char *)response.body.data);
    }
    ifab_client_close(client);
}

int cmd_doctor(struct cli *cli)
{
    struct doctor d = {.cli = cli, .config = ifab_calloc(1, sizeof *d.config)};
    ifab_buf_init(&d.text, 1 << 20);
    if (d.config == NULL)
        return cli_fail(cli, IFAB_NOMEM);
    ifab_buf_str(&d.text, "{\"items\":[");
    if (cli_get(cli, "endpoint") == NULL || cli_get(cli, "dir") != NULL) {
        check_mode(&d, "directory", cli->directory, true, 077);
        if (check_config(&d)) {
            check_keys(&d);
            check_mode(&d, "data", d.config->data_dir, true, 077);
            check_socket(&d);
            check_disk(&d);
            check_lock(&d);
        }
    }
    check_daemon(&d);
    ifab_buf_str(&d.text, "],\"next\":null}");
    int code = ifab_buf_status(&d.text) == IFAB_OK ? cli_print(cli, ifab_buf_as_view(&d.text), "CHECK:check|STATE:state|DETAIL:detail")
                                                   : EXIT_SYSTEM;
    ifab_buf_fini(&d.text);
    ifab_free(d.config);
    return code == 0 && d.bad > 0 ? EXIT_SYSTEM : code;
}

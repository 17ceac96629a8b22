/* doctor: what is wrong with this fabric, in the order in which one would look, and what mends it. It changes nothing. */
#include "doctor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

void doctor_say(struct doctor *d, enum doctor_state state, const char *check, const char *format, ...)
{
    static const char *const names[] = {[DOCTOR_GOOD] = "good", [DOCTOR_WARN] = "warning", [DOCTOR_BAD] = "bad"};
    char detail[1400];
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
    d->bad += state == DOCTOR_BAD;
}

/* Who holds the lock of data.dir, as the system lists it: to try it would itself keep a daemon from starting. */
static void find_holder(struct doctor *d)
{
    char path[1200], line[256], inode[64];
    struct stat st;
    if (!cli_path(path, sizeof path, "%s/lock", d->config->data_dir) || stat(path, &st) != 0)
        return;
    snprintf(inode, sizeof inode, ":%llu ", (unsigned long long)st.st_ino);
    FILE *locks = fopen("/proc/locks", "re");
    while (locks != NULL && fgets(line, sizeof line, locks) != NULL) {
        const char *write = strstr(line, "FLOCK  ADVISORY  WRITE ");
        if (write != NULL && strstr(line, inode) != NULL)
            d->holder = (pid_t)strtol(write + strlen("FLOCK  ADVISORY  WRITE "), NULL, 10);
    }
    if (locks != NULL)
        fclose(locks);
}

static void check_lock(struct doctor *d)
{
    char path[1200];
    if (d->holder != 0)
        doctor_say(d, DOCTOR_GOOD, "lock", "held by process %ld", (long)d->holder);
    else if (cli_path(path, sizeof path, "%s/lock", d->config->data_dir) && access(path, F_OK) != 0)
        doctor_say(d, DOCTOR_WARN, "lock", "not there yet: ifd never ran");
    else
        doctor_say(d, DOCTOR_GOOD, "lock", "nobody holds it");
}

/* Could a daemon that starts now have http.listen? Bound and closed at once; nobody is accepted. */
static void check_port(struct doctor *d)
{
    char host[64];
    struct sockaddr_in in4 = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    const char *text = d->config->http_listen, *colon = strrchr(text, ':');
    bool v6 = text[0] == '[';
    int on = 1;
    if (d->holder != 0 || colon == NULL || strcmp(colon, ":0") == 0 ||
        !cli_path(host, sizeof host, "%.*s", (int)(colon - text) - (v6 ? 2 : 0), text + v6))
        return;
    in4.sin_port = in6.sin6_port = htons((uint16_t)strtol(colon + 1, NULL, 10));
    if (inet_pton(v6 ? AF_INET6 : AF_INET, host, v6 ? (void *)&in6.sin6_addr : (void *)&in4.sin_addr) != 1)
        return;
    int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (v6) /* as ifd: without the IPv4 side */
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (fd >= 0 && bind(fd, v6 ? (struct sockaddr *)&in6 : (struct sockaddr *)&in4, v6 ? sizeof in6 : sizeof in4) == 0)
        doctor_say(d, DOCTOR_GOOD, "port", "%s is free", text);
    else
        doctor_say(d, DOCTOR_BAD, "port", "%s: %s: end what listens there, or set http.listen", text, strerror(errno));
    if (fd >= 0)
        close(fd);
}

static void check_answer(struct doctor *d, const struct ifab_json *tree)
{
    struct ifab_view text;
    int64_t theirs;
    doctor_say(d, DOCTOR_GOOD, "daemon", "answers at %s", d->cli->endpoint);
    if (d->vkey[0] != '\0' && ifab_json_string(ifab_json_get(tree, "vkey"), &text) && !ifab_view_is(text, d->vkey))
        doctor_say(d, DOCTOR_BAD, "log.key", "it is not the key that the daemon signs with (%.*s): put back the log's own", (int)text.size,
                   (const char *)text.data);
    if (ifab_json_string(ifab_json_get(tree, "time"), &text) && ifab_time_parse(text, &theirs) == IFAB_OK) {
        int64_t apart = theirs - ifab_wall_usec();
        apart = apart < 0 ? -apart : apart;
        doctor_say(d, apart > 60 * IFAB_SECOND ? DOCTOR_BAD : apart > 2 * IFAB_SECOND ? DOCTOR_WARN : DOCTOR_GOOD, "clock", "%lld ms from the daemon's%s",
                   (long long)(apart / 1000), apart > 2 * IFAB_SECOND ? ": set this clock, or the daemon's and then ifctl clock accept" : "");
    }
}

static void check_ready(struct doctor *d, struct ifab_client *client)
{
    static const struct {
        const char *why, *mend;
    } mends[] = {{"\"rules\"", "every message is DENY: mend the rule set, then send ifd SIGHUP"},
                 {"\"clock\"", "the wall clock jumped: set it right, then ifctl clock accept --why …"},
                 {"\"disk\"", "no room: free space under data.dir"},
                 {"\"stopping\"", "it is ending"}};
    const struct ifab_request request = {.version = IFAB_CLIENT_VERSION, .method = "GET", .target = "/readyz"};
    struct ifab_response response;
    struct ifab_error err = {0};
    char body[256];
    const char *mend = "see the daemon's log";
    if (ifab_client_call(client, &request, &response, &err) == IFAB_OK && response.status == 200) {
        doctor_say(d, DOCTOR_GOOD, "ready", "serving");
        return;
    }
    snprintf(body, sizeof body, "%.*s", response.body.size > 200 ? 200 : (int)response.body.size,
             response.body.size > 0 ? (const char *)response.body.data : "");
    for (size_t i = 0; i < IFAB_COUNT(mends); i++)
        if (strstr(body, mends[i].why) != NULL)
            mend = mends[i].mend;
    doctor_say(d, DOCTOR_BAD, "ready", "%s: %s", body, mend);
}

/* Calls that were cut off: only a person can say what became of them. */
static void check_dangling(struct doctor *d, struct ifab_client *client)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    const struct ifab_request request = {.version = IFAB_CLIENT_VERSION, .method = "GET", .target = "/v1/plans?state=dangling&limit=100"};
    struct ifab_response response;
    struct ifab_error err = {0};
    const struct ifab_json *tree, *items;
    ifab_arena_init(&arena, 16 << 20);
    if (ifab_client_call(client, &request, &response, &err) != IFAB_OK || response.status != 200 ||
        ifab_json_read(response.body, NULL, &arena, &tree, &err) != IFAB_OK)
        return; /* not for this one to read */
    items = ifab_json_get(tree, "items");
    for (size_t i = 0; items != NULL && items->type == IFAB_JSON_ARRAY && i < items->u.array.count; i++) {
        struct ifab_view id = {NULL, 0}, capability = {NULL, 0}, operation = {NULL, 0};
        (void)ifab_json_string(ifab_json_get(&items->u.array.items[i], "plan_id"), &id);
        (void)ifab_json_string(ifab_json_get(&items->u.array.items[i], "capability"), &capability);
        (void)ifab_json_string(ifab_json_get(&items->u.array.items[i], "operation"), &operation);
        doctor_say(d, DOCTOR_WARN, "dangling", IFAB_FMT " of " IFAB_FMT " was cut off: look whether it was done, then ifctl capability close " IFAB_FMT " --outcome done|not-done --why …",
                   IFAB_ARG(operation), IFAB_ARG(capability), IFAB_ARG(id));
    }
}

/* The value of a series of GET /metrics; -1: none. */
static long long series(const char *text, const char *name)
{
    size_t size = strlen(name);
    for (const char *at = text; (at = strstr(at, name)) != NULL; at += size)
        if ((at == text || at[-1] == '\n') && at[size] == ' ')
            return strtoll(at + size, NULL, 10);
    return -1;
}

static void check_sandbox_counts(struct doctor *d, const char *text)
{
    static const struct {
        const char *series, *means;
    } counts[] = {{"ifab_sandbox_refused_walls_total", "sandbox processes lacked a wall of sandbox.walls: this kernel, or a container around ifd, does not allow it"},
                  {"ifab_sandbox_wrong_frames_total", "sandbox processes were ended for what they sent: look for \"sandbox: worker ended\" in the daemon's log, and revoke what did it"},
                  {"ifab_sandbox_cache_bad_total", "compiled modules in the cache had been changed: find out who writes in data.dir"}};
    for (size_t i = 0; i < IFAB_COUNT(counts); i++)
        if (series(text, counts[i].series) > 0)
            doctor_say(d, DOCTOR_WARN, "sandbox", "%lld %s", series(text, counts[i].series), counts[i].means);
}

/* Around capabilities: which engine, which walls, and what went wrong with them since the daemon began. */
static void check_sandbox(struct doctor *d, struct ifab_client *client)
{
    static const char *const by_policy[] = {"landlock", "namespaces"};
    const struct ifab_request request = {.version = IFAB_CLIENT_VERSION, .method = "GET", .target = "/metrics"};
    struct ifab_response response;
    struct ifab_error err = {0};
    char name[64], missing[64] = "";
    if (ifab_client_call(client, &request, &response, &err) != IFAB_OK || response.status != 200)
        return; /* not for this one to read */
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf text = IFAB_BUF_INIT(1 << 20);
    ifab_buf_view(&text, response.body);
    ifab_buf_char(&text, '\0');
    const char *all = ifab_buf_status(&text) == IFAB_OK ? (const char *)text.data : "", *engine = strstr(all, "\nifab_sandbox_info{engine=\"");
    check_sandbox_counts(d, all);
    if (engine == NULL || engine[strlen("\nifab_sandbox_info{engine=\"")] == '"')
        return; /* nothing has been run yet */
    engine += strlen("\nifab_sandbox_info{engine=\"");
    for (size_t i = 0; i < IFAB_COUNT(by_policy); i++) {
        snprintf(name, sizeof name, "ifab_sandbox_wall{wall=\"%s\"}", by_policy[i]);
        if (series(all, name) == 0)
            snprintf(missing + strlen(missing), sizeof missing - strlen(missing), "%s%s", missing[0] == '\0' ? "" : ", ", by_policy[i]);
    }
    doctor_say(d, missing[0] == '\0' ? DOCTOR_GOOD : DOCTOR_WARN, "sandbox", "%.*s; %s%s", (int)strcspn(engine, "\""), engine,
               missing[0] == '\0' ? "every wall stands" : "walls that this kernel does not allow: ", missing);
}

static const char *named(const char *file) { return file[0] == '\0' ? NULL : file; }

static void check_daemon(struct doctor *d)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    struct ifab_response response;
    const struct ifab_json *tree;
    struct ifab_client *client = NULL;
    const struct ifab_client_options options = {.version = IFAB_CLIENT_VERSION,
                                                .endpoint = d->cli->endpoint,
                                                .timeout_usec = 5 * IFAB_SECOND,
                                                .ca_file = named(d->cli->ca_file),
                                                .certificate_file = named(d->cli->cert_file),
                                                .key_file = named(d->cli->cert_key_file)};
    const struct ifab_request request = {.version = IFAB_CLIENT_VERSION, .method = "GET", .target = "/v1/fabric"};
    struct ifab_error err = {0};
    ifab_arena_init(&arena, 8 << 20);
    if (ifab_client_open(&options, &client, &err) != IFAB_OK || ifab_client_call(client, &request, &response, &err) != IFAB_OK) {
        if (d->holder != 0)
            doctor_say(d, DOCTOR_BAD, "daemon", "process %ld runs but does not answer at %s: %s", (long)d->holder, d->cli->endpoint, err.text);
        else if (d->cli->of_directory)
            doctor_say(d, DOCTOR_BAD, "daemon", "%s. Start it: ifd --config %s/ifd.yaml", err.text, d->cli->directory);
        else
            doctor_say(d, DOCTOR_BAD, "daemon", "%s", err.text);
    } else if (response.status != 200 || ifab_json_read(response.body, NULL, &arena, &tree, &err) != IFAB_OK) {
        doctor_say(d, DOCTOR_BAD, "daemon", "GET /v1/fabric: HTTP %d", response.status);
    } else {
        check_answer(d, tree);
        check_ready(d, client);
        doctor_asked(d, client);
        check_dangling(d, client);
        check_sandbox(d, client);
    }
    ifab_client_close(client);
}

/* An endpoint that --endpoint, IFAB_ENDPOINT or a context names may be of a fabric elsewhere: then nothing here is to be checked. */
static bool fabric_is_here(const struct cli *cli)
{
    char path[1200];
    if (cli->of_directory || cli_get(cli, "dir") != NULL)
        return true;
    return cli_get(cli, "endpoint") == NULL && cli_path(path, sizeof path, "%s/ifd.yaml", cli->directory) && access(path, F_OK) == 0;
}

int cmd_doctor(struct cli *cli)
{
    struct doctor d = {.cli = cli, .config = ifab_calloc(1, sizeof *d.config)};
    ifab_buf_init(&d.text, 1 << 20);
    if (d.config == NULL)
        return cli_fail(cli, IFAB_NOMEM);
    ifab_buf_str(&d.text, "{\"items\":[");
    if (fabric_is_here(cli)) {
        if (doctor_mode(&d, "directory", cli->directory, true, 077) && doctor_config(&d)) {
            find_holder(&d);
            doctor_files(&d);
            check_lock(&d);
            check_port(&d);
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

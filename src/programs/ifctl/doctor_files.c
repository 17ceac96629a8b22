/* What lies in the directory of a fabric: configuration, keys, data, certificate, anchors. */
#include "doctor.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <unistd.h>

#include "crypto/crypto.h"
#include "store/store.h"
#include "tls/tls.h"

#define CERTIFICATE_WARNING ((int64_t)14 * 86400)

bool doctor_mode(struct doctor *d, const char *check, const char *path, bool directory, mode_t others)
{
    struct stat st;
    const char *kind = directory ? "directory" : "regular file";
    if (lstat(path, &st) != 0 && (errno == ENOENT || errno == ENOTDIR)) {
        doctor_say(d, DOCTOR_BAD, check,
                   strcmp(check, "directory") == 0 ? "%s is not there: if it was moved, put it back; a new one is made by ifctl init"
                   : directory                     ? "%s is not there: if it was moved, put it back"
                   : strcmp(check, "main.db") == 0 ? "%s is not there: if it was moved, put it back, else restore a backup: ifctl restore"
                                                    : "%s is not there: put it back from a backup of it",
                   path);
        return false;
    }
    if (lstat(path, &st) != 0) {
        doctor_say(d, DOCTOR_BAD, check, "%s: %s: run doctor as the user that ifd runs as", path, strerror(errno));
        return false;
    }
    if (S_ISLNK(st.st_mode) || (directory ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode))) {
        doctor_say(d, DOCTOR_BAD, check, "%s is not a %s: put the %s there itself, no link", path, kind, kind);
        return false;
    }
    if (d->owned ? st.st_uid != d->owner : st.st_uid != geteuid() && geteuid() != 0)
        doctor_say(d, DOCTOR_BAD, check, "%s belongs to uid %u, not %u: chown %u it", path, (unsigned)st.st_uid,
                   (unsigned)(d->owned ? d->owner : geteuid()), (unsigned)(d->owned ? d->owner : geteuid()));
    else if ((st.st_mode & others) != 0)
        doctor_say(d, DOCTOR_BAD, check, "%s has mode %03o: chmod %s it", path, (unsigned)(st.st_mode & 0777), directory ? "700" : "600");
    else
        doctor_say(d, DOCTOR_GOOD, check, "%s, mode %03o", path, (unsigned)(st.st_mode & 0777));
    return true;
}

static void check_rules(struct doctor *d)
{
    struct ifab_error err = {0};
    d->bad_rules = ifab_rules_load(d->config->rules_file, d->rules32, &err) != IFAB_OK;
    if (!d->bad_rules)
        doctor_say(d, DOCTOR_GOOD, "rules", "%s", d->config->rules_file);
    else if (d->holder != 0)
        doctor_say(d, DOCTOR_BAD, "rules", "%s: the old set stays in force; at the next start every message would be DENY. Mend the file, "
                   "then kill -HUP %ld", err.text, (long)d->holder);
    else
        doctor_say(d, DOCTOR_BAD, "rules", "%s: at a start every message would be DENY. Mend the file", err.text);
}

bool doctor_config(struct doctor *d)
{
    char path[1200];
    struct ifab_error err = {0};
    struct stat st;
    const char *directory = d->cli->directory;
    if (cli_path(path, sizeof path, "%s/ifd.yaml.unfinished", directory) && access(path, F_OK) == 0) {
        doctor_say(d, DOCTOR_BAD, "configuration", "%s holds what an init or restore that did not end has left: remove it (rm -r) and run that again",
                   directory);
        return false;
    }
    if (!cli_path(path, sizeof path, "%s/ifd.yaml", directory))
        return false;
    if (access(path, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR)) {
        doctor_say(d, DOCTOR_BAD, "configuration", "%s is no fabric: it holds no ifd.yaml. Make one with ifctl init %s, or name another with --dir",
                   directory, directory);
        return false;
    }
    if (lstat(directory, &st) == 0 && (geteuid() == 0 || st.st_uid == geteuid())) {
        d->owner = st.st_uid;
        d->owned = true;
    }
    if (ifab_config_load(path, d->config, &err) != IFAB_OK) {
        doctor_say(d, DOCTOR_BAD, "configuration", "%s%s%s", strstr(err.text, path) == NULL ? path : "", strstr(err.text, path) == NULL ? ": " : "",
                   err.text);
        return false;
    }
    doctor_say(d, DOCTOR_GOOD, "configuration", "%s", path);
    return true;
}

static ifab_status slurp(const char *path, struct ifab_buf *text)
{
    FILE *file = fopen(path, "re");
    uint8_t chunk[4096];
    if (file == NULL)
        return IFAB_NOT_FOUND;
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, file)) > 0;)
        ifab_buf_put(text, chunk, n);
    fclose(file);
    ifab_wipe(chunk, sizeof chunk);
    return ifab_buf_status(text);
}

static void check_log_key(struct doctor *d, const char *path)
{
    struct ifab_buf text = IFAB_BUF_INIT(8192), vkey = IFAB_BUF_INIT(sizeof d->vkey);
    struct ifab_signer *key = NULL;
    struct ifab_view name;
    struct ifab_error err = {0};
    uint8_t public32[32];
    ifab_status status = slurp(path, &text);
    while (status == IFAB_OK && text.size > 0 && text.data[text.size - 1] == '\n')
        text.size--;
    if (status == IFAB_OK)
        status = ifab_note_skey_read(ifab_buf_as_view(&text), &name, &key, &err);
    if (status == IFAB_OK) {
        ifab_signer_public(key, public32);
        if (ifab_note_vkey_write(name, public32, &vkey) == IFAB_OK)
            (void)cli_path(d->vkey, sizeof d->vkey, IFAB_FMT, IFAB_ARG(ifab_buf_as_view(&vkey)));
        (void)cli_path(d->origin, sizeof d->origin, IFAB_FMT, IFAB_ARG(name));
    } else {
        doctor_say(d, DOCTOR_BAD, "log.key", "%s holds no key of a log: put it back from where you keep it", path);
    }
    ifab_signer_free(key);
    if (text.data != NULL)
        ifab_wipe(text.data, text.capacity);
    ifab_buf_fini(&text);
    ifab_buf_fini(&vkey);
}

static void check_operator_key(struct doctor *d, const char *path)
{
    struct ifab_buf text = IFAB_BUF_INIT(16384);
    struct ifab_signer *key = NULL;
    struct ifab_error err = {0};
    ifab_status status = slurp(path, &text);
    if (status == IFAB_OK)
        status = ifab_key_pem_read(ifab_buf_as_view(&text), IFAB_VIEW(""), &key, &err);
    if (status != IFAB_OK && status != IFAB_DENIED) /* denied: encrypted, as it may be */
        doctor_say(d, DOCTOR_BAD, "operator.pem", "%s holds no Ed25519 private key: put it back from where you keep it", path);
    ifab_signer_free(key);
    if (text.data != NULL)
        ifab_wipe(text.data, text.capacity);
    ifab_buf_fini(&text);
}

static void check_keys(struct doctor *d)
{
    char path[1200];
    if (!doctor_mode(d, "keys", d->config->keys_dir, true, 077))
        return;
    if (cli_path(path, sizeof path, "%s/log.key", d->config->keys_dir) && doctor_mode(d, "log.key", path, false, 077))
        check_log_key(d, path);
    if (cli_path(path, sizeof path, "%s/operator.pem", d->config->keys_dir) && doctor_mode(d, "operator.pem", path, false, 077))
        check_operator_key(d, path);
}

/* Only while nobody serves it: a daemon has looked at more than this. */
static void read_store(struct doctor *d)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    const struct ifab_store_options options = {.directory = d->config->data_dir, .read_only = true};
    struct ifab_stored_entry entry;
    struct ifab_store *store = NULL;
    struct ifab_error err = {0};
    const struct ifab_json *tree;
    struct ifab_view origin;
    size_t count = 0;
    ifab_arena_init(&arena, 16 << 20);
    ifab_status status = ifab_store_sqlite_open(&options, &store, &err);
    if (status == IFAB_OK)
        status = ifab_store_read(store, 0, 1, false, &arena, &entry, &count, &err);
    if (status != IFAB_OK)
        doctor_say(d, DOCTOR_BAD, "store", "%s: keep the directory as it is and restore a backup: ifctl restore; without one: ifctl salvage", err.text);
    else if (count != 1 || ifab_json_read(entry.entry, NULL, &arena, &tree, &err) != IFAB_OK ||
             !ifab_json_string(ifab_json_get(ifab_json_get(tree, "payload"), "origin"), &origin))
        doctor_say(d, DOCTOR_BAD, "store", "the log has no readable entry 0: keep the directory as it is and restore a backup: ifctl restore; without one: ifctl salvage");
    else if (d->origin[0] != '\0' && !ifab_view_is(origin, d->origin))
        doctor_say(d, DOCTOR_BAD, "log.key", "it is the key of %s, the log is %.*s: put back the log's own", d->origin, (int)origin.size,
                   (const char *)origin.data);
    else
        doctor_say(d, DOCTOR_GOOD, "store", "log %.*s", (int)origin.size, (const char *)origin.data);
    ifab_store_close(store);
}

static void check_data(struct doctor *d)
{
    char path[1200];
    if (!doctor_mode(d, "data", d->config->data_dir, true, 077) || !cli_path(path, sizeof path, "%s/main.db", d->config->data_dir))
        return;
    if (doctor_mode(d, "main.db", path, false, 077) && d->holder == 0)
        read_store(d);
}

#define VAULT_HEAD 12 /* "IFVAULT1", then how its key comes: docs/formats/vault.md */

static void check_vault_key(struct doctor *d, const uint8_t head[VAULT_HEAD])
{
    char path[1200];
    struct stat st;
    if (head[8] == 2) {
        doctor_say(d, DOCTOR_GOOD, "vault.key", "it comes from a passphrase: ifd --vault-passphrase-fd N");
        return;
    }
    bool good = d->config->vault_key_file[0] != '\0' ? cli_path(path, sizeof path, "%s", d->config->vault_key_file)
                                                     : cli_path(path, sizeof path, "%s/vault.key", d->config->keys_dir);
    if (!good || !doctor_mode(d, "vault.key", path, false, 077))
        return;
    if (stat(path, &st) == 0 && st.st_size != 59)
        doctor_say(d, DOCTOR_BAD, "vault.key", "%s is no key of a vault: put it back from where you keep it", path);
}

/* Whether it is the vault of the log, a start finds out: that takes the key. */
static void check_vault(struct doctor *d)
{
    char directory[1200], path[1500];
    uint8_t head[VAULT_HEAD] = {0};
    struct stat st;
    size_t files = 0;
    if (!cli_path(directory, sizeof directory, "%s/vault", d->config->data_dir) || (lstat(directory, &st) != 0 && errno == ENOENT) ||
        !doctor_mode(d, "vault", directory, true, 077))
        return; /* no secret was ever set */
    DIR *dir = opendir(directory);
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        if (strlen(e->d_name) != 26 || strcmp(e->d_name + 20, ".vault") != 0 || !cli_path(path, sizeof path, "%s/%s", directory, e->d_name) ||
            !doctor_mode(d, "vault file", path, false, 077))
            continue;
        FILE *file = fopen(path, "re");
        if (file == NULL || fread(head, 1, sizeof head, file) != sizeof head || memcmp(head, "IFVAULT", 7) != 0)
            doctor_say(d, DOCTOR_BAD, "vault file", "%s is no vault: put it back from where you keep it", path);
        else
            files++;
        if (file != NULL)
            fclose(file);
    }
    if (dir != NULL)
        closedir(dir);
    if (files > 0)
        check_vault_key(d, head);
}

static void check_run(struct doctor *d)
{
    size_t size = strlen(d->config->run_dir) + strlen("/ifd.sock"), most = sizeof((struct sockaddr_un *)NULL)->sun_path - 1;
    struct stat st;
    char path[1200];
    if (lstat(d->config->run_dir, &st) != 0 && errno == ENOENT)
        doctor_say(d, DOCTOR_BAD, "run", "%s is not there: mkdir -m 700 %s", d->config->run_dir, d->config->run_dir);
    else
        (void)doctor_mode(d, "run", d->config->run_dir, true, 022);
    if (size > most)
        doctor_say(d, DOCTOR_BAD, "socket", "Socket path has %zu bytes, the system allows %zu: set run.dir.", size, most);
    else if (cli_path(path, sizeof path, "%s/ifd.sock", d->config->run_dir) && lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
        doctor_say(d, DOCTOR_BAD, "socket", "%s exists and is not a socket: remove it, or set run.dir", path);
    else
        doctor_say(d, DOCTOR_GOOD, "socket", "path has %zu of %zu bytes", size, most);
}

static bool of_this_machine(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strncmp(host, "[::1]", 5) == 0 || strcasecmp(host, "localhost") == 0;
}

/* Who comes over the network asks by a name that the certificate has, and is refused unless http.hosts has it too. */
static void check_hosts(struct doctor *d, const struct ifab_tls_context *context)
{
    const struct ifab_config *c = d->config;
    size_t local = 0, named = 0;
    for (size_t i = 0; i < c->http_host_count; i++) {
        local += of_this_machine(c->http_hosts[i]);
        named += ifab_tls_context_names(context, c->http_hosts[i]);
    }
    if (c->http_listen[0] == '\0')
        return;
    if (local == c->http_host_count && !of_this_machine(c->http_listen))
        doctor_say(d, DOCTOR_BAD, "hosts", "http.listen is %s, and http.hosts names this machine only: whoever asks by another name is refused. Add the names "
                   "that clients use to http.hosts, then restart ifd", c->http_listen);
    else if (named == 0)
        doctor_say(d, DOCTOR_BAD, "hosts", "%s is for none of the names in http.hosts: clients refuse it, or are refused. Add a name that it has to http.hosts, then "
                   "restart ifd; or put a certificate for one of them there, then send ifd SIGHUP", c->http_certificate);
    else
        doctor_say(d, DOCTOR_GOOD, "hosts", "the certificate is for %zu of %zu names in http.hosts", named, c->http_host_count);
}

static void check_certificate(struct doctor *d)
{
    const struct ifab_tls_server_settings settings = {d->config->http_certificate, d->config->http_key};
    struct ifab_tls_context *context = NULL;
    struct ifab_error err = {0};
    if (d->config->http_certificate[0] == '\0')
        return;
    if (ifab_tls_server_context(&settings, &context, &err) != IFAB_OK) {
        doctor_say(d, DOCTOR_BAD, "certificate", "%s (http.certificate, http.key)", err.text);
        return;
    }
    int64_t left = ifab_tls_context_expires(context) - ifab_wall_usec() / IFAB_SECOND;
    if (left <= 0)
        doctor_say(d, DOCTOR_BAD, "certificate", "%s has ended: put a new one there, then send ifd SIGHUP", d->config->http_certificate);
    else
        doctor_say(d, left < CERTIFICATE_WARNING ? DOCTOR_WARN : DOCTOR_GOOD, "certificate", "%s ends in %lld days%s", d->config->http_certificate,
                   (long long)(left / 86400), left < CERTIFICATE_WARNING ? ": put a new one there, then send ifd SIGHUP" : "");
    check_hosts(d, context);
    ifab_tls_context_free(context);
}

static void check_anchors(struct doctor *d)
{
    for (size_t i = 0; i < d->config->anchor_dir_count; i++) {
        const char *path = d->config->anchor_dirs[i];
        struct stat st;
        if (stat(path, &st) != 0)
            doctor_say(d, DOCTOR_BAD, "anchor", "%s: %s: mount or make it, or correct anchor.directories", path, strerror(errno));
        else if (!S_ISDIR(st.st_mode))
            doctor_say(d, DOCTOR_BAD, "anchor", "%s is not a directory: correct anchor.directories", path);
        else if (access(path, R_OK | W_OK | X_OK) != 0)
            doctor_say(d, DOCTOR_BAD, "anchor", "%s: %s: let ifd's user write there", path, strerror(errno));
        else
            doctor_say(d, DOCTOR_GOOD, "anchor", "%s", path);
    }
}

static void check_disk(struct doctor *d)
{
    struct statvfs fs;
    if (statvfs(d->config->data_dir, &fs) != 0)
        return; /* said as "data" */
    uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize, reserve = (uint64_t)d->config->disk_reserve;
    doctor_say(d, room < reserve ? DOCTOR_BAD : room < 4 * reserve ? DOCTOR_WARN : DOCTOR_GOOD, "disk", "%llu MiB free, reserve %llu MiB%s",
               (unsigned long long)(room >> 20), (unsigned long long)(reserve >> 20),
               room < 4 * reserve ? ": free space, or set disk.reserve lower" : "");
}

void doctor_files(struct doctor *d)
{
    check_rules(d);
    check_keys(d);
    check_data(d);
    check_vault(d);
    check_run(d);
    check_certificate(d);
    check_anchors(d);
    check_disk(d);
}

/*
 * The one table of settings. Help, `ifctl config schema`, the settings reference, the parser and the tests walk the same rows.
 * A new setting is a row here and a member of struct ifab_config.
 */
#include "settings.h"

#include "base/code.h"
#include "base/id.h"
#include "base/mem.h"

static bool printable(struct ifab_view text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < 0x20 || text.data[i] == 0x7f)
            return false;
    return true;
}

static const char *check_origin(struct ifab_view text)
{
    static const char why[] = "expected labels of a-z A-Z 0-9 . - _ joined by '/', e.g. infrafabric.local/main";
    bool edge = true; /* at the beginning of a label */
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (c == '/') {
            if (edge)
                return why;
            edge = true;
            continue;
        }
        if (!alnum && (edge || (c != '.' && c != '-' && c != '_')))
            return why;
        edge = false;
    }
    return edge ? why : NULL;
}

static const char *check_log(struct ifab_view text)
{
    return ifab_view_is(text, "main") ? NULL : "this version serves one log, named main";
}

static const char *check_store(struct ifab_view text)
{
    return ifab_view_is(text, "sqlite") ? NULL : "expected sqlite (other stores come in a later version)";
}

static const char *check_vault(struct ifab_view text)
{
    bool known = ifab_view_is(text, "file") || ifab_view_is(text, "kv2") || ifab_view_is(text, "aws");
    return known ? NULL : "expected file, kv2 or aws";
}

static const char *check_level(struct ifab_view text)
{
    bool good = ifab_view_is(text, "debug") || ifab_view_is(text, "info") || ifab_view_is(text, "warn") || ifab_view_is(text, "error");
    return good ? NULL : "expected debug, info, warn or error";
}

static const char *check_listen(struct ifab_view text)
{
    static const char why[] = "expected ADDRESS:PORT, e.g. 127.0.0.1:8474 or [::1]:8474, or \"\" for none";
    if (text.size == 0)
        return NULL;
    size_t colon = text.size;
    while (colon > 0 && text.data[colon - 1] != ':')
        colon--;
    int64_t port;
    if (colon == 0 || ifab_units__count(ifab_view_of(text.data + colon, text.size - colon), &port) != IFAB_OK || port > 65535)
        return why;
    struct ifab_view host = ifab_view_of(text.data, colon - 1);
    bool v6 = host.size > 2 && host.data[0] == '[' && host.data[host.size - 1] == ']';
    for (size_t i = v6 ? 1 : 0; i < host.size - (v6 ? 1 : 0); i++)
        if (strchr(v6 ? "0123456789abcdefABCDEF:." : "0123456789.", host.data[i]) == NULL)
            return why;
    return host.size == 0 ? why : NULL; /* what kind of address it is, and what that needs: ifab_config__together() */
}

/* What no setting can judge alone. */
ifab_status ifab_config__together(const struct ifab_config *config, struct ifab_error *err)
{
    bool certificate = config->http_certificate[0] != '\0', key = config->http_key[0] != '\0';
    bool loopback = strncmp(config->http_listen, "127.", 4) == 0 || strncmp(config->http_listen, "[::1]:", 6) == 0 || config->http_listen[0] == '\0';
    if (strcmp(config->vault_backend, "file") != 0)
        return ifab_fail(err, IFAB_INVALID, "IF_ERR_%03d: vault.backend: %s comes in a later version; this one has file", (int)IFAB_CODE_NOT_SUPPORTED,
                         config->vault_backend);
    if (certificate != key)
        return ifab_fail(err, IFAB_INVALID, "%s is set without %s", certificate ? "http.certificate" : "http.key", certificate ? "http.key" : "http.certificate");
    if (!loopback && !certificate)
        return ifab_fail(err, IFAB_INVALID, "http.listen: %s is not a loopback address: that needs TLS, set http.certificate and http.key", config->http_listen);
    return IFAB_OK;
}

static const char *check_host(struct ifab_view text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] <= 0x20 || text.data[i] >= 0x7f || text.data[i] == '/' || text.data[i] == '@')
            return "expected a host name";
    return text.size == 0 ? "expected a host name" : NULL;
}

/* So many words of visible ASCII, a space between; the last one may hold more of them. */
static bool words(struct ifab_view text, size_t count)
{
    size_t seen = text.size > 0 && text.data[0] > 0x20 ? 1 : 0;
    for (size_t i = 1; i < text.size && seen < count; i++)
        seen += text.data[i - 1] == ' ' && text.data[i] > 0x20;
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < 0x20 || text.data[i] >= 0x7f)
            return false;
    return seen == count;
}

static const char *check_capability_config(struct ifab_view text)
{
    return words(text, 3) ? NULL : "expected NAME KEY VALUE, e.g. vmix.switcher VMIX_URL http://10.0.0.5:8088";
}

static const char *check_egress(struct ifab_view text)
{
    struct ifab_config_egress row;
    const char *why = NULL;
    return ifab_config_egress_read(text, &row, &why) ? NULL : why;
}

static const char *check_wall(struct ifab_view text)
{
    bool known = ifab_view_is(text, "landlock") || ifab_view_is(text, "namespaces"); /* the others are never left out */
    return known ? NULL : "expected landlock or namespaces";
}

static const char *check_scope(struct ifab_view text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] <= 0x20 || text.data[i] >= 0x7f)
            return "expected a scope of printable ASCII, e.g. veritas:secrets";
    return text.size == 0 ? "expected a scope" : NULL;
}

#define AT(member) offsetof(struct ifab_config, member)
#define SIZE(member) sizeof(((struct ifab_config *)NULL)->member)
#define TEXT(name, member, range, def, check, applies, help) \
    {{name, "text", range, def, "", applies, help}, IFAB_SETTING_TEXT, AT(member), 0, SIZE(member), 0, 0, check}
#define PATH(name, member, def, help) \
    {{name, "path", "1..1023 bytes", def, "", "restart", help}, IFAB_SETTING_PATH, AT(member), 0, SIZE(member), 0, 0, NULL}
#define NUMBER(kind, type, name, member, min, max, range, def, unit, applies, help) \
    {{name, type, range, def, unit, applies, help}, kind, AT(member), 0, 0, min, max, NULL}
#define USEC(name, member, min, max, range, def, applies, help) \
    NUMBER(IFAB_SETTING_USEC, "time", name, member, min, max, range, def, "us ms s min h d", applies, help)
#define BYTES(name, member, min, max, range, def, applies, help) \
    NUMBER(IFAB_SETTING_BYTES, "size", name, member, min, max, range, def, "B KiB MiB GiB TiB", applies, help)
#define COUNT(name, member, min, max, range, def, applies, help) \
    NUMBER(IFAB_SETTING_COUNT, "number", name, member, min, max, range, def, "", applies, help)
#define LIST(kind, name, member, counter, range, def, check, applies, help)                                                       \
    {{name, "list", range, def, "", applies, help}, kind, AT(member), AT(counter), sizeof(((struct ifab_config *)NULL)->member[0]), 0, \
     SIZE(member) / sizeof(((struct ifab_config *)NULL)->member[0]), check}

const struct ifab_setting ifab_setting__rows[] = {
    TEXT("name", name, "1..200 bytes", "infrafabric.local/main", check_origin, "restart",
         "first part of the log's origin; fixed when the fabric is made"),
    TEXT("log", log_name, "main", "main", check_log, "restart", "name of the log (tenant)"),
    PATH("data.dir", data_dir, "data", "database, tiles and lock"),
    PATH("run.dir", run_dir, "run", "Unix socket ifd.sock; its path may have 107 bytes"),
    PATH("keys.dir", keys_dir, "keys", "log key and the operator's key"),
    PATH("guard.rules", rules_file, "rules.yaml", "rule set; missing or broken: every message is DENY"),
    PATH("capabilities.dir", capabilities_dir, "capabilities", "modules of capabilities, as their manifests name them; ifd only reads there"),
    LIST(IFAB_SETTING_TEXTS, "capabilities.config", capability_config, capability_config_count, "0..64 rows NAME KEY VALUE", "[]", check_capability_config, "restart",
         "values that manifests ask for under requires_config; no secrets"),
    LIST(IFAB_SETTING_TEXTS, "egress.allow", egress_allow, egress_allow_count, "0..32 rows NAME CIDR PORT", "[]", check_egress, "restart",
         "addresses that are not public and that one capability may reach all the same"),
    LIST(IFAB_SETTING_TEXTS, "sandbox.walls", sandbox_walls, sandbox_wall_count, "0..2 of landlock namespaces", "[]", check_wall, "restart",
         "walls around capabilities that must stand beside those that always do; without one nothing is run"),
    PATH("egress.ca", egress_ca, "", "authorities in PEM that capabilities trust instead of the system's"),
    TEXT("store.backend", store_backend, "sqlite", "sqlite", check_store, "restart", "where the log is stored"),
    TEXT("vault.backend", vault_backend, "file kv2 aws", "file", check_vault, "restart", "where values of secrets are kept; kv2 and aws come later (IF_ERR_509)"),
    PATH("vault.key_file", vault_key_file, "", "key of the vault, mode 0600; default vault.key in keys.dir, made with the first secret"),
    PATH("http.certificate", http_certificate, "", "certificate chain in PEM, leaf first: TCP speaks TLS 1.3 only; the files are read again at SIGHUP"),
    PATH("http.key", http_key, "", "private key of it in PEM, mode 0600"),
    TEXT("http.listen", http_listen, "ADDRESS:PORT or \"\"", "127.0.0.1:8474", check_listen, "restart",
         "TCP address of the HTTP interface; other than loopback needs TLS; port 0 asks the kernel, \"\" is none"),
    LIST(IFAB_SETTING_TEXTS, "http.hosts", http_hosts, http_host_count, "0..16 names", "[localhost, 127.0.0.1, \"[::1]\"]", check_host,
         "restart", "names a Host header may have on TCP; others get 421"),
    COUNT("http.connections", connections, 16, 16384, "16..16384", "1024", "restart", "TCP connections at a time; of one address half of them"),
    COUNT("http.socket_connections", socket_connections, 16, 16384, "16..16384", "1024", "restart", "connections of the Unix socket at a time"),
    {{"access.uids", "mapping", "0..64 rows", "{}", "", "reload", "uid on the Unix socket: the talent it acts as"},
     IFAB_SETTING_UIDS,
     AT(uids),
     AT(uid_count),
     0,
     0,
     IFAB_CONFIG_UIDS_MAX,
     NULL},
    LIST(IFAB_SETTING_TEXTS, "access.sensitive_scopes", sensitive_scopes, sensitive_count, "0..32 scopes", "[]", check_scope, "reload",
         "scopes whose grant needs acts of two admins of different owners and whose messages need two votes"),
    {{"roles", "mapping", "0..16 rows", "{}", "", "reload", "own role name: built-in role; resolved when a talent is added"},
     IFAB_SETTING_ROLES,
     AT(role_names),
     AT(role_count),
     0,
     0,
     16,
     NULL},
    USEC("time.skew", time_skew_usec, 0, 300 * IFAB_SECOND, "0..300s", "60s", "reload", "how far clocks may differ (102, 107)"),
    BYTES("disk.reserve", disk_reserve, 0, INT64_C(1) << 50, "0..1024TiB", "256MiB", "reload",
          "free space below which new messages get 504"),
    BYTES("limits.message", message_max, 1024, 1 << 20, "1KiB..1MiB", "64KiB", "restart", "largest envelope (109)"),
    USEC("guard.hold", hold_deadline_usec, IFAB_SECOND, 30 * IFAB_DAY, "1s..30d", "15min", "reload", "a HOLD not met by then is ESCALATE"),
    USEC("guard.escalate", escalate_deadline_usec, IFAB_SECOND, 90 * IFAB_DAY, "1s..90d", "24h", "reload",
         "an ESCALATE not answered by then is DENY"),
    COUNT("guard.hold_burst", hold_burst, 1, 10000, "1..10000", "100", "reload", "HOLDs a talent may have at once (302)"),
    COUNT("guard.escalate_burst", escalate_burst, 1, 10000, "1..10000", "30", "reload", "ESCALATEs a talent may have at once (302)"),
    USEC("guard.hold_refill", hold_refill_usec, 1000, IFAB_DAY, "1ms..1d", "1s", "reload", "one more HOLD after so long"),
    USEC("guard.escalate_refill", escalate_refill_usec, 1000, IFAB_DAY, "1ms..1d", "10s", "reload", "one more ESCALATE after so long"),
    COUNT("replay.per_talent", replay_per_talent, 16, 4194304, "16..4194304", "65536", "restart", "live messages of one talent (305)"),
    COUNT("replay.total", replay_total, 16, 67108864, "16..67108864", "4194304", "restart", "live messages in all (305)"),
    COUNT("rate.messages", rate_messages, 1, 1000000, "1..1000000", "10000", "reload", "messages a second and talent (302)"),
    COUNT("rate.burst", rate_burst, 1, 10000000, "1..10000000", "20000", "reload", "messages a talent may send at once (302)"),
    COUNT("rate.costs", rate_costs, 1, 100000, "1..100000", "100", "reload", "cost reports and reservations a second, talent and capability (302)"),
    COUNT("rate.costs_burst", rate_costs_burst, 1, 1000000, "1..1000000", "1000", "reload", "of them at once (302)"),
    USEC("anchor.every", anchor_every_usec, 0, 365 * IFAB_DAY, "0..365d", "1h", "reload", "time between two anchors; 0 is off"),
    LIST(IFAB_SETTING_PATHS, "anchor.directories", anchor_dirs, anchor_dir_count, "0..8 paths", "[]", NULL, "restart",
         "where checkpoints are kept; best on another disk; they must exist"),
    COUNT("capabilities.workers", capability_workers, 1, 256, "1..256", "128", "restart",
          "sandbox processes at a time, those at rest too; a talent has at most two for one manifest"),
    COUNT("threads.verify", verify_workers, 0, 256, "0..256", "0", "restart", "threads that check signatures; 0 is cores - 1"),
    TEXT("log.level", log_level, "debug info warn error", "info", check_level, "reload", "least level of the daemon's own log"),
};
const size_t ifab_setting__row_count = IFAB_COUNT(ifab_setting__rows);

const struct ifab_setting_alias ifab_setting__aliases[] = {
    {"store.url", "data.dir", NULL},
    {"witness_db_url", "data.dir", NULL},
    {"event_bus_url", NULL, "the event bus"},
    {"bus.url", NULL, "the event bus"},
    {"bus.backend", NULL, "the event bus"},
    {"secret_vault_backend", "vault.backend", NULL},
    {"budgets", NULL, "budgets"},
    {"capability_allowlist_path", NULL, "capabilities"},
    {"capability.allowlist", NULL, "capabilities"},
    {"witness.public", NULL, "the public log over TCP"},
};
const size_t ifab_setting__alias_count = IFAB_COUNT(ifab_setting__aliases);

const struct ifab_setting_info *ifab_setting_at(size_t i)
{
    return i < ifab_setting__row_count ? &ifab_setting__rows[i].info : NULL;
}

/* Texts up to their end: what stands behind it is left from another value. */
static bool same_value(const struct ifab_setting *row, const struct ifab_config *a, const struct ifab_config *b)
{
    const char *x = (const char *)a + row->where, *y = (const char *)b + row->where;
    size_t count = 1, other = 1;
    switch (row->kind) {
    case IFAB_SETTING_USEC:
    case IFAB_SETTING_BYTES:
    case IFAB_SETTING_COUNT: return memcmp(x, y, sizeof(int64_t)) == 0;
    case IFAB_SETTING_TEXTS:
    case IFAB_SETTING_PATHS:
        memcpy(&count, (const char *)a + row->where_count, sizeof count);
        memcpy(&other, (const char *)b + row->where_count, sizeof other);
        break;
    case IFAB_SETTING_TEXT:
    case IFAB_SETTING_PATH: break;
    case IFAB_SETTING_UIDS:
    case IFAB_SETTING_ROLES: return true; /* reloaded */
    }
    for (size_t i = 0; i < count && count == other; i++)
        if (strcmp(x + i * row->size, y + i * row->size) != 0)
            return false;
    return count == other;
}

const char *ifab_config_fixed(const struct ifab_config *now, const struct ifab_config *then, size_t *at)
{
    while (*at < ifab_setting__row_count) {
        const struct ifab_setting *row = &ifab_setting__rows[(*at)++];
        if (strcmp(row->info.applies, "restart") == 0 && !same_value(row, now, then))
            return row->info.name;
    }
    return NULL;
}

/* Whole value, its counter as well. */
static size_t size_of(const struct ifab_setting *row)
{
    switch (row->kind) {
    case IFAB_SETTING_TEXT:
    case IFAB_SETTING_PATH: return row->size;
    case IFAB_SETTING_USEC:
    case IFAB_SETTING_BYTES:
    case IFAB_SETTING_COUNT: return sizeof(int64_t);
    case IFAB_SETTING_TEXTS:
    case IFAB_SETTING_PATHS: return row->size * (size_t)row->max;
    case IFAB_SETTING_UIDS: return sizeof(((struct ifab_config *)NULL)->uids);
    case IFAB_SETTING_ROLES: return sizeof(((struct ifab_config *)NULL)->role_names);
    }
    return 0;
}

void ifab_config_take(struct ifab_config *now, const struct ifab_config *then)
{
    for (size_t i = 0; i < ifab_setting__row_count; i++) {
        const struct ifab_setting *row = &ifab_setting__rows[i];
        if (strcmp(row->info.applies, "reload") != 0)
            continue;
        memcpy((char *)now + row->where, (const char *)then + row->where, size_of(row));
        if (row->where_count != 0)
            memcpy((char *)now + row->where_count, (const char *)then + row->where_count, sizeof(size_t));
        if (row->kind == IFAB_SETTING_ROLES)
            memcpy(now->role_targets, then->role_targets, sizeof now->role_targets);
    }
}

static ifab_status put_text(char *to, size_t size, struct ifab_view text, const char **ret_why)
{
    if (text.size >= size || !printable(text)) {
        *ret_why = text.size >= size ? "too long" : "control characters";
        return IFAB_INVALID;
    }
    memcpy(to, text.data, text.size);
    to[text.size] = '\0';
    return IFAB_OK;
}

static ifab_status put_path(char *to, size_t size, struct ifab_view text, const struct ifab_config *config, const char **ret_why)
{
    if (text.size == 0) {
        *ret_why = "expected a path";
        return IFAB_INVALID;
    }
    if (text.data[0] == '/')
        return put_text(to, size, text, ret_why);
    size_t base = strlen(config->directory);
    if (base + 1 + text.size >= size || !printable(text)) {
        *ret_why = "path too long, or control characters in it";
        return IFAB_INVALID;
    }
    memcpy(to, config->directory, base);
    to[base] = '/';
    memcpy(to + base + 1, text.data, text.size);
    to[base + 1 + text.size] = '\0';
    return IFAB_OK;
}

static ifab_status put_number(const struct ifab_setting *row, struct ifab_view text, int64_t *to, const char **ret_why)
{
    int64_t value = 0;
    ifab_status status;
    const char *why;
    if (row->kind == IFAB_SETTING_USEC) {
        status = ifab_units__usec(text, &value);
        why = "expected a whole number and its unit: us, ms, s, min, h or d";
    } else if (row->kind == IFAB_SETTING_BYTES) {
        status = ifab_units__bytes(text, &value);
        why = "expected a whole number of bytes, or with KiB, MiB, GiB or TiB";
    } else {
        status = ifab_units__count(text, &value);
        why = "expected a whole number";
    }
    if (status == IFAB_INVALID) {
        *ret_why = why;
        return IFAB_INVALID;
    }
    if (status != IFAB_OK || value < row->min || value > row->max) {
        *ret_why = "outside its range";
        return IFAB_INVALID;
    }
    *to = value;
    return IFAB_OK;
}

ifab_status ifab_setting__set(const struct ifab_setting *row, struct ifab_view text, struct ifab_config *config, const char **ret_why)
{
    char *where = (char *)config + row->where;
    size_t *count = (size_t *)(void *)((char *)config + row->where_count);
    const char *why = row->check == NULL ? NULL : row->check(text);
    if (why != NULL) {
        *ret_why = why;
        return IFAB_INVALID;
    }
    switch (row->kind) {
    case IFAB_SETTING_TEXT:
        return put_text(where, row->size, text, ret_why);
    case IFAB_SETTING_PATH:
        if (text.size == 0 && row->info.default_text[0] == '\0') {
            where[0] = '\0';
            return IFAB_OK;
        }
        return put_path(where, row->size, text, config, ret_why);
    case IFAB_SETTING_USEC:
    case IFAB_SETTING_BYTES:
    case IFAB_SETTING_COUNT:
        return put_number(row, text, (int64_t *)(void *)where, ret_why);
    case IFAB_SETTING_TEXTS:
    case IFAB_SETTING_PATHS:
        if (*count >= (size_t)row->max) {
            *ret_why = "too many items";
            return IFAB_INVALID;
        }
        where += *count * row->size;
        IFAB_TRY(row->kind == IFAB_SETTING_TEXTS ? put_text(where, row->size, text, ret_why)
                                                 : put_path(where, row->size, text, config, ret_why));
        (*count)++;
        return IFAB_OK;
    case IFAB_SETTING_UIDS:
    case IFAB_SETTING_ROLES:
        break;
    }
    *ret_why = "expected a mapping";
    return IFAB_INVALID;
}

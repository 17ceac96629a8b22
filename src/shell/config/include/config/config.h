#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H
/*
 * ifd.yaml: one table of settings (name, type, range, default, unit, reload or restart, help). SURFACE section 10. Unknown keys are errors with
 * line and suggestion. Flag > environment > file > default; secrets never from the environment.
 */
#include "base/arena.h"
#include "base/status.h"
#include "base/time.h"
#include "base/view.h"
#include "guard/ruleset.h"

#define IFAB_CONFIG_UIDS_MAX 64
struct ifab_config_uid {
    uint32_t uid;
    char talent[65];
};
struct ifab_config {
    /* every directory absolute or relative to the file's directory; resolved at load */
    char directory[1024];      /* of the file: DIR */
    char name[256];            /* "name": origin's configured part, e.g. "infrafabric.local/main"; RFC 1123-like plus '/' */
    char log_name[65];         /* "log": main */
    char data_dir[1024], run_dir[1024], keys_dir[1024], rules_file[1024]; /* data.dir run.dir keys.dir guard.rules */
    char capabilities_dir[1024]; /* capabilities.dir */
    char capability_config[64][384]; /* capabilities.config: "NAME KEY VALUE", what a manifest's requires_config asks for */
    size_t capability_config_count;
    char egress_allow[32][192];  /* egress.allow: "NAME CIDR PORT": this capability may reach these addresses that are not public */
    size_t egress_allow_count;
    char sandbox_walls[2][16];   /* sandbox.walls: beside the mandatory ones */
    size_t sandbox_wall_count;
    char egress_ca[1024];        /* egress.ca; "": the system's authorities */
    char store_backend[16];    /* store.backend: sqlite */
    char vault_backend[24], vault_key_file[1024]; /* vault.backend: file; vault.key_file: "" = keys.dir/vault.key */
    char http_listen[128];     /* http.listen: "127.0.0.1:8474"; "" = no TCP */
    char http_certificate[1024], http_key[1024]; /* http.certificate http.key: both or none; TLS */
    char http_hosts[16][256];  /* http.hosts: default loopback names */
    size_t http_host_count;
    int64_t connections, socket_connections; /* http.connections http.socket_connections: 1024 */
    struct ifab_config_uid uids[IFAB_CONFIG_UIDS_MAX]; /* access.uids: {"1001": Finance.Agent} */
    size_t uid_count;
    int64_t time_skew_usec;    /* time.skew: 60s, 0..300s */
    int64_t disk_reserve;      /* disk.reserve: 256MiB bytes */
    int64_t message_max;       /* limits.message: 64KiB */
    int64_t hold_deadline_usec, escalate_deadline_usec; /* guard.hold 15min, guard.escalate 24h */
    int64_t hold_burst, escalate_burst;                 /* guard.hold_burst, guard.escalate_burst */
    int64_t hold_refill_usec, escalate_refill_usec;
    int64_t replay_per_talent, replay_total;            /* replay.per_talent 65536, replay.total 4194304 */
    int64_t rate_costs, rate_costs_burst;               /* rate.costs a second, talent and capability (302), burst */
    int64_t rate_messages, rate_burst;                  /* rate.messages a second and talent (302), burst */
    int64_t anchor_every_usec;                          /* anchor.every: 1h; 0 = off */
    char anchor_dirs[8][1024];                          /* anchor.directories */
    size_t anchor_dir_count;
    char role_names[16][65];                            /* roles: {analyst: agent} */
    char role_targets[16][16];
    size_t role_count;
    char sensitive_scopes[32][129];                     /* access.sensitive_scopes: [] */
    size_t sensitive_count;
    int64_t capability_workers;                         /* capabilities.workers: sandbox processes at a time */
    int64_t verify_workers;                             /* threads.verify: 0 = cores - 1 */
    char log_level[8];                                  /* log.level: info */
};
struct ifab_setting_info {
    const char *name, *type, *range, *default_text, *unit, *applies /* "reload" "restart" */, *help;
};
const struct ifab_setting_info *ifab_setting_at(size_t i); /* NULL past the end */
struct ifab_config_egress {      /* a row of egress.allow; views borrowed from its text */
    struct ifab_view name, net; /* "vmix.switcher"; "10.0.0.5/32", a good one */
    uint16_t port;              /* 1..65535 */
};
/* false: ret_why, static text, says what is expected. */
bool ifab_config_egress_read(struct ifab_view text, struct ifab_config_egress *ret_row, const char **ret_why);
/* The value of the first row of capabilities.config for this capability ("vmix.switcher") and key, up to the end of the row; borrowed. false: none. */
bool ifab_config_capability_value(const struct ifab_config *config, struct ifab_view name, struct ifab_view key, struct ifab_view *ret_value);
/* Reads path; defaults where absent. IFAB_INVALID: err says "ifd.yaml line 3: unknown setting \"htpp.listen\"; did you mean \"http.listen\"?". */
IFAB_MUST_CHECK ifab_status ifab_config_load(const char *path, struct ifab_config *ret_config, struct ifab_error *err);
/* For a reload: the next setting from *at on (0: the first) that differs and applies at a restart only, NULL: none, and *at is behind it. */
const char *ifab_config_fixed(const struct ifab_config *now, const struct ifab_config *then, size_t *at);
/* Takes over what applies at a reload, nothing else. */
void ifab_config_take(struct ifab_config *now, const struct ifab_config *then);
IFAB_MUST_CHECK ifab_status ifab_config_parse(struct ifab_view text, const char *directory, struct ifab_config *ret_config, struct ifab_error *err);
/*
 * rules.yaml, docs/formats/rules.md. ret_digest32 = SHA-256 of the canonical form; *ret_set is the caller's. IFAB_INVALID, IFAB_UNSUPPORTED,
 * IFAB_TOO_LARGE: err says file, line, column and what was meant. IFAB_NOT_FOUND, IFAB_DENIED: no file to be read.
 */
IFAB_MUST_CHECK ifab_status ifab_rules_read(const char *path, struct ifab_ruleset **ret_set, uint8_t ret_digest32[32], struct ifab_error *err);
IFAB_MUST_CHECK ifab_status ifab_rules_parse(struct ifab_view text, const char *path, struct ifab_ruleset **ret_set, uint8_t ret_digest32[32],
                                             struct ifab_error *err);
/* The same, only to know that it would be taken. */
IFAB_MUST_CHECK ifab_status ifab_rules_load(const char *path, uint8_t ret_digest32[32], struct ifab_error *err);
#endif

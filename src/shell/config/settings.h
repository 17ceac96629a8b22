#ifndef CONFIG_SETTINGS_H
#define CONFIG_SETTINGS_H
/* Private to src/shell/config: the rows behind ifab_setting_at() and how a value is put into the struct. */
#include "config/config.h"
#include "yaml/yaml_tree.h"

enum ifab_setting_kind {
    IFAB_SETTING_TEXT, /* size: of the char array */
    IFAB_SETTING_PATH, /* as text; relative to the file's directory */
    IFAB_SETTING_USEC,
    IFAB_SETTING_BYTES,
    IFAB_SETTING_COUNT,
    IFAB_SETTING_TEXTS, /* list: size of an item, room for max items, count at where_count */
    IFAB_SETTING_PATHS,
    IFAB_SETTING_UIDS,  /* mapping uid -> talent */
    IFAB_SETTING_ROLES, /* mapping name -> built-in role */
};
/* NULL when the text is right, else what is expected: static text. */
typedef const char *ifab_setting_check_fn(struct ifab_view text);

struct ifab_setting {
    struct ifab_setting_info info;
    enum ifab_setting_kind kind;
    size_t where, where_count, size;
    int64_t min, max;
    ifab_setting_check_fn *check;
};
extern const struct ifab_setting ifab_setting__rows[];
extern const size_t ifab_setting__row_count;

/* Names of parts that come later, and the seeds' names for settings. */
struct ifab_setting_alias {
    const char *alias, *name; /* name NULL: alias itself comes later */
    const char *part;         /* which part; NULL: the name is a setting of this version */
};
extern const struct ifab_setting_alias ifab_setting__aliases[];
extern const size_t ifab_setting__alias_count;

/* One scalar of the row's kind. *ret_why: static text on IFAB_INVALID. */
ifab_status ifab_setting__set(const struct ifab_setting *row, struct ifab_view text, struct ifab_config *config, const char **ret_why);
/* "250ms" "60s" "15min" "24h" "7d"; a bare 0. */
ifab_status ifab_units__usec(struct ifab_view text, int64_t *ret_usec);
/* "512" "64KiB" "256MiB" "2GiB". */
ifab_status ifab_units__bytes(struct ifab_view text, int64_t *ret_bytes);
ifab_status ifab_units__count(struct ifab_view text, int64_t *ret_count);
ifab_status ifab_config__together(const struct ifab_config *config, struct ifab_error *err);
/* A file of at most 1 MiB into buf. */
ifab_status ifab_config__slurp(const char *path, struct ifab_buf *buf, struct ifab_error *err);
#endif

/*
 * secret set|rotate|revoke|list|age|check. A value comes from a prompt without echo, a file, a descriptor or stdin, never from argv or the
 * environment; it lies in locked memory here, and leaves sealed to the vault's key alone.
 */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/encode.h"
#include "crypto/crypto.h"
#include "crypto/secret.h"

#define VALUE_MIN      8
#define VALUE_MAX      4096
#define PAD            64
#define SECRET_COLUMNS "NAME:name|VERSION:version|ORIGINS:origins|CREATED:created_at|ROTATED:rotated_at|REVOKED:revoked_at"
#define CHANGE_COLUMNS \
    "NAME:secret.name|VERSION:secret.version|ORIGINS:secret.origins|REVOKED:secret.revoked_at|VAULT:vault.counter|ENTRY:entry.index"

struct value {
    uint8_t *bytes; /* locked; room for padding behind it */
    size_t size;
};
#define VALUE_ROOM (VALUE_MAX + PAD)

/* ---- where it comes from ---- */

static int read_value(struct cli *cli, int fd, const char *where, struct value *value)
{
    ssize_t n = 1;
    while (value->size < VALUE_ROOM && n != 0) {
        n = read(fd, value->bytes + value->size, VALUE_ROOM - value->size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return cli_file_failed(cli, where, errno);
        value->size += (size_t)n;
    }
    while (value->size > 0 && value->bytes[value->size - 1] == '\n')
        value->size--;
    return 0;
}

static int value_of_fd(struct cli *cli, const char *text, struct value *value)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 4 || text[digits] != '\0')
        return cli_usage(cli, "--value-fd is the number of an open descriptor (--value-fd 3 3<FILE), not \"%s\"", text);
    return read_value(cli, (int)strtol(text, NULL, 10), "the descriptor", value);
}

static int value_of_file(struct cli *cli, const char *path, struct value *value)
{
    if (strcmp(path, "-") == 0)
        return read_value(cli, STDIN_FILENO, "stdin", value);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cli_file_failed(cli, path, errno);
    int code = read_value(cli, fd, path, value);
    close(fd);
    return code;
}

static int value_of_prompt(struct cli *cli, struct value *value)
{
    uint8_t *again = NULL;
    if (ifab_locked_new(VALUE_ROOM, &again, cli_clean_err(cli)) != IFAB_OK)
        return cli_fail(cli, cli->err.status);
    bool read = cli_prompt("Value (it is not shown): ", true, (char *)value->bytes, VALUE_ROOM) &&
                cli_prompt("The same again: ", true, (char *)again, VALUE_ROOM);
    bool same = read && strcmp((const char *)value->bytes, (const char *)again) == 0;
    value->size = same ? strlen((const char *)value->bytes) : 0;
    ifab_locked_free(again);
    return same ? 0 : cli_stop(cli, EXIT_USAGE, NULL, read ? "the two values differ: nothing was done" : "no value was read: nothing was done");
}

static int get_value(struct cli *cli, struct value *value)
{
    const char *file = cli_get(cli, "value-file"), *fd = cli_get(cli, "value-fd");
    if (file != NULL && fd != NULL)
        return cli_usage(cli, "--value-file or --value-fd, not both");
    int code = file != NULL     ? value_of_file(cli, file, value)
               : fd != NULL     ? value_of_fd(cli, fd, value)
               : cli_terminal() ? value_of_prompt(cli, value)
                                : read_value(cli, STDIN_FILENO, "stdin", value);
    if (code == 0 && (value->size < VALUE_MIN || value->size > VALUE_MAX))
        return cli_stop(cli, EXIT_USAGE, "Newlines at its end do not count.", "a secret has %d to %d bytes, this one has %s", VALUE_MIN, VALUE_MAX,
                        value->size == 0          ? "none"
                        : value->size < VALUE_MIN ? "fewer: it could be guessed"
                                                  : "more");
    return code;
}

/* ---- how it leaves ---- */

static int vault_key(struct cli *cli, uint8_t ret_key32[32], char ret_text[44])
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    const struct ifab_json *tree;
    struct ifab_view key = {NULL, 0};
    size_t size = 0;
    ifab_arena_init(&arena, 1 << 20);
    int code = cli_get_json(cli, "/v1/vault", &arena, &tree);
    if (code != 0)
        return code;
    if (!ifab_json_string(ifab_json_get(tree, "seal_key"), &key) || key.size != 43 || ifab_base64url_decode(key, ret_key32, 32, &size) != IFAB_OK ||
        size != 32)
        return cli_refuse(cli, IFAB_CODE_SYSTEM_ERROR, "the vault names no key to seal to");
    memcpy(ret_text, key.data, 43);
    ret_text[43] = '\0';
    return 0;
}

/* value, 0x80, zeros up to whole 64 bytes: sealed, and with it the digest that an admin signs, it tells nothing that could be tried out. */
static int seal(struct cli *cli, struct value *value, struct cli_body *body)
{
    uint8_t key32[32], sealed[VALUE_ROOM + IFAB_BOX_OVERHEAD];
    char key_text[44];
    struct ifab_buf text = IFAB_BUF_INIT(2 * sizeof sealed);
    int code = vault_key(cli, key32, key_text);
    if (code != 0)
        return code;
    size_t size = (value->size + 1 + PAD - 1) / PAD * PAD;
    memset(value->bytes + value->size, 0, size - value->size); /* what was behind it, newlines too */
    value->bytes[value->size] = 0x80;
    if (ifab_box_seal(key32, ifab_view_of(value->bytes, size), sealed) != IFAB_OK)
        return cli_refuse(cli, IFAB_CODE_SYSTEM_ERROR, "the vault's key is none");
    ifab_buf_base64url(&text, sealed, size + IFAB_BOX_OVERHEAD);
    ifab_buf_char(&text, '\0');
    if (ifab_buf_status(&text) == IFAB_OK) {
        cli_body_text(body, "sealed", (const char *)text.data);
        cli_body_text(body, "to", key_text);
    }
    code = ifab_buf_status(&text) == IFAB_OK ? 0 : cli_fail(cli, IFAB_NOMEM);
    ifab_buf_fini(&text);
    return code;
}

static void put_origins(struct cli *cli, struct cli_body *body)
{
    const char *origin;
    struct ifab_buf list = IFAB_BUF_INIT(16384);
    for (size_t i = 0; (origin = cli_get_nth(cli, "for", i)) != NULL; i++) {
        ifab_buf_str(&list, i == 0 ? "[" : ",");
        ifab_json_put_cstr(&list, origin);
    }
    ifab_buf_str(&list, "]");
    ifab_buf_char(&list, '\0');
    if (list.size > 2 && ifab_buf_status(&list) == IFAB_OK)
        cli_body_raw(body, "origins", (const char *)list.data);
    else if (ifab_buf_status(&list) != IFAB_OK)
        body->buf.failed = ifab_buf_status(&list);
    ifab_buf_fini(&list);
}

static bool target_of(const char *name, const char *act, struct ifab_buf *target)
{
    ifab_buf_str(target, "/v1/secrets");
    cli_put_segment(target, name);
    ifab_buf_str(target, act);
    ifab_buf_char(target, '\0');
    return ifab_buf_status(target) == IFAB_OK;
}

static int send_value(struct cli *cli, const char *target, const char *name)
{
    struct value value = {0};
    struct cli_body body;
    cli_keep_private();
    cli_body_begin(&body);
    cli_body_text(&body, "name", name);
    put_origins(cli, &body);
    int code = ifab_crypto_init(cli_clean_err(cli)) == IFAB_OK && ifab_locked_new(VALUE_ROOM, &value.bytes, cli_clean_err(cli)) == IFAB_OK
                   ? 0
                   : cli_fail(cli, cli->err.status);
    if (code == 0)
        code = get_value(cli, &value);
    if (code == 0)
        code = seal(cli, &value, &body);
    ifab_locked_free(value.bytes);
    if (code != 0) {
        ifab_buf_fini(&body.buf);
        return code;
    }
    return cli_post(cli, target, &body, ACT_ALWAYS, CHANGE_COLUMNS);
}

int cmd_secret_set(struct cli *cli)
{
    if (cli_get(cli, "for") == NULL)
        return cli_usage(cli, "say where it may go: --for https://api.example.com");
    return send_value(cli, "/v1/secrets", cli->words[0]);
}

int cmd_secret_rotate(struct cli *cli)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf target = IFAB_BUF_INIT(4096);
    return target_of(cli->words[0], "/rotate", &target) ? send_value(cli, (const char *)target.data, NULL) : cli_fail(cli, IFAB_NOMEM);
}

int cmd_secret_revoke(struct cli *cli)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf target = IFAB_BUF_INIT(4096);
    struct cli_body body;
    if (!target_of(cli->words[0], "/revoke", &target))
        return cli_fail(cli, IFAB_NOMEM);
    cli_body_begin(&body);
    return cli_post(cli, (const char *)target.data, &body, ACT_ALWAYS, CHANGE_COLUMNS);
}

int cmd_secret_list(struct cli *cli) { return cli_get_list(cli, "/v1/secrets", NULL, SECRET_COLUMNS); }

int cmd_secret_check(struct cli *cli)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf target = IFAB_BUF_INIT(4096);
    struct cli_body body;
    if (cli->word_count == 0)
        return cli_get_print(cli, "/v1/vault", "BACKEND:backend|KEY:key|LIVE:live|REVOKED:revoked|CHANGES:counter|DIGEST:digest");
    if (cli_get(cli, "for") == NULL)
        return cli_usage(cli, "say for which origin: --for https://api.example.com");
    if (!target_of(cli->words[0], "/check", &target))
        return cli_fail(cli, IFAB_NOMEM);
    cli_body_begin(&body);
    cli_body_text(&body, "origin", cli_get(cli, "for"));
    cli_body_text(&body, "why", cli->why);
    return cli_post(cli, (const char *)target.data, &body, ACT_NONE, "NAME:name|VERSION:version|ORIGIN:origin|ENTRY:entry.index");
}

/* ---- how old they are ---- */

struct ages {
    struct ifab_buf items;
    size_t old;
    int64_t most_usec, now;
};

static struct ifab_view text_of(const struct ifab_json *object, const char *name)
{
    struct ifab_view text = {NULL, 0};
    (void)ifab_json_string(ifab_json_get(object, name), &text);
    return text;
}

static void put_age(struct ages *ages, const struct ifab_json *secret)
{
    int64_t version = 0;
    ifab_usec rotated;
    bool revoked = text_of(secret, "revoked_at").size > 0;
    if (ifab_time_parse(text_of(secret, "rotated_at"), &rotated) != IFAB_OK)
        return;
    int64_t age = ages->now > rotated ? ages->now - rotated : 0;
    bool old = !revoked && age > ages->most_usec;
    ages->old += old;
    (void)ifab_json_integer(ifab_json_get(secret, "version"), &version);
    ifab_buf_format(&ages->items, "%s{\"age_days\":%lld,\"name\":", ages->items.size > 0 ? "," : "", (long long)(age / IFAB_DAY));
    ifab_json_put_string(&ages->items, text_of(secret, "name"));
    ifab_buf_str(&ages->items, ",\"rotated_at\":");
    ifab_json_put_string(&ages->items, text_of(secret, "rotated_at"));
    ifab_buf_format(&ages->items, ",\"state\":\"%s\",\"version\":%lld}", revoked ? "revoked" : old ? "old" : "good", (long long)version);
}

static int gather(struct cli *cli, struct ages *ages)
{
    char target[128] = "/v1/secrets?limit=1000";
    for (unsigned page = 0; page < 4; page++) { /* there are 1,024 at most */
        IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
        const struct ifab_json *tree;
        struct ifab_view next = {NULL, 0};
        ifab_arena_init(&arena, (size_t)64 << 20);
        int code = cli_get_json(cli, target, &arena, &tree);
        if (code != 0)
            return code;
        const struct ifab_json *items = ifab_json_get(tree, "items");
        for (size_t i = 0; items != NULL && items->type == IFAB_JSON_ARRAY && i < items->u.array.count; i++)
            put_age(ages, &items->u.array.items[i]);
        if (!ifab_json_string(ifab_json_get(tree, "next"), &next) ||
            !cli_path(target, sizeof target, "/v1/secrets?limit=1000&cursor=" IFAB_FMT, IFAB_ARG(next)))
            break;
    }
    return 0;
}

int cmd_secret_age(struct cli *cli)
{
    struct ages ages = {.items = IFAB_BUF_INIT((size_t)4 << 20), .most_usec = 90 * IFAB_DAY, .now = ifab_wall_usec()};
    struct ifab_buf whole = IFAB_BUF_INIT((size_t)4 << 20);
    const char *most = cli_get(cli, "older");
    if (most != NULL && !cli_duration(most, &ages.most_usec))
        return cli_usage(cli, "--older is a time such as 90d, not \"%s\"", most);
    int code = gather(cli, &ages);
    ifab_buf_str(&whole, "{\"items\":[");
    ifab_buf_view(&whole, ifab_buf_as_view(&ages.items));
    ifab_buf_str(&whole, "],\"next\":null}");
    if (code == 0 && (ifab_buf_status(&ages.items) != IFAB_OK || ifab_buf_status(&whole) != IFAB_OK))
        code = cli_fail(cli, IFAB_NOMEM);
    if (code == 0)
        code = cli_print(cli, ifab_buf_as_view(&whole), "NAME:name|VERSION:version|AGE_DAYS:age_days|ROTATED:rotated_at|STATE:state");
    if (code == 0 && ages.old > 0)
        cli_say(cli, "%zu older than %lld days: ifctl secret rotate NAME --why TEXT", ages.old, (long long)(ages.most_usec / IFAB_DAY));
    ifab_buf_fini(&ages.items);
    ifab_buf_fini(&whole);
    return code;
}

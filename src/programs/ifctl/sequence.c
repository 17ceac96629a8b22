/*
 * The last sequence number of each sender this user speaks for, in a file that is locked while a message is on its way: two processes with
 * one instance name then wait for each other instead of being refused (104).
 */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "crypto/crypto.h"

static bool state_directory(char *to, size_t size)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (state != NULL && state[0] == '/')
        return cli_path(to, size, "%s/infrafabric/seq", state);
    return home != NULL && home[0] == '/' && cli_path(to, size, "%s/.local/state/infrafabric/seq", home);
}

/* What the fabric knows, when nothing is known here. Silent: without the right to ask, the clock alone serves. */
static uint64_t ask(struct cli *cli, const char *sender)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf target = IFAB_BUF_INIT(1024);
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    char name[65];
    struct ifab_response response;
    struct ifab_view copy, uri;
    const struct ifab_json *tree;
    uint64_t last = 0;
    ifab_arena_init(&arena, 32 << 20);
    ifab_buf_str(&target, "/v1/talents");
    cli_put_segment(&target, cli_as_name(cli, name));
    ifab_buf_str(&target, "/sequences");
    ifab_buf_char(&target, '\0');
    if (ifab_buf_status(&target) != IFAB_OK)
        return 0;
    const struct cli_call call = {.method = "GET", .target = (const char *)target.data, .silent = true};
    if (cli_call(cli, &call, &response) != 0 || ifab_arena_copy(&arena, response.body, &copy) != IFAB_OK ||
        ifab_json_read(copy, NULL, &arena, &tree, NULL) != IFAB_OK)
        return 0;
    const struct ifab_json *items = ifab_json_get(tree, "items");
    for (size_t i = 0; items != NULL && items->type == IFAB_JSON_ARRAY && i < items->u.array.count; i++) {
        int64_t n;
        if (ifab_json_string(ifab_json_get(&items->u.array.items[i], "sender"), &uri) && ifab_view_is(uri, sender) &&
            ifab_json_integer(ifab_json_get(&items->u.array.items[i], "last_seq"), &n) && n > 0 && (uint64_t)n > last)
            last = (uint64_t)n;
    }
    return last;
}

int cli_sequence_lock(struct cli *cli, const char *sender, struct cli_sequence *ret)
{
    char directory[1024], path[1200], text[32] = "";
    uint8_t digest32[32];
    struct ifab_buf name = IFAB_BUF_INIT(128);
    ifab_sha256_3(ifab_view_str(cli->endpoint), IFAB_VIEW("\n"), ifab_view_str(sender), digest32);
    ifab_buf_hex(&name, digest32, 16);
    bool good = ifab_buf_status(&name) == IFAB_OK && state_directory(directory, sizeof directory) &&
                cli_path(path, sizeof path, "%s/%.*s", directory, (int)name.size, (const char *)name.data);
    ifab_buf_fini(&name);
    if (!good)
        return cli_usage(cli, "no place for the state of senders: set HOME or XDG_STATE_HOME");
    int code = cli_make_directory(cli, directory, 0700, true);
    if (code != 0)
        return code;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return cli_refuse(cli, IFAB_CODE_SYSTEM_ERROR, "%s: %s", path, strerror(errno));
    while (flock(fd, LOCK_EX) != 0) {
        if (errno == EINTR)
            continue;
        code = cli_refuse(cli, IFAB_CODE_SYSTEM_ERROR, "%s: %s", path, strerror(errno));
        close(fd);
        return code;
    }
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    char *end;
    unsigned long long last = strtoull(text, &end, 10);
    ret->fd = fd;
    ret->last = n > 0 && *end == '\n' ? last : ask(cli, sender);
    return 0;
}

void cli_sequence_done(struct cli_sequence *self, uint64_t last)
{
    char text[32];
    int size = snprintf(text, sizeof text, "%llu\n", (unsigned long long)last);
    if (last > self->last && ftruncate(self->fd, 0) == 0 && pwrite(self->fd, text, (size_t)size, 0) != size)
        (void)!ftruncate(self->fd, 0); /* half a number is worse than none: the fabric is asked next time */
    close(self->fd);
}

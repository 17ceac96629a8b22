/*
 * What a command says that it did cost: a file of its own in TMPDIR, made before it begins and removed when it has ended. The command may write to
 * it or put another in its place; what is no small plain file is not read.
 */
#include "task.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json/schema.h"

#define AMOUNT(name_) {.name = (name_), .kind = IFAB_SCHEMA_INTEGER, .min = 0, .max = TASK_AMOUNT_MAX}

int worker_cost_make(const char *directory, char *ret_path, size_t size)
{
    bool fits = cli_path(ret_path, size, "%s/ifab-cost-XXXXXX", directory);
    int fd = fits ? mkostemp(ret_path, O_CLOEXEC) : -1; /* mode 600 */
    int error = fd >= 0 ? 0 : fits ? errno : ENAMETOOLONG;
    if (fd >= 0)
        close(fd);
    else
        ret_path[0] = '\0'; /* nothing to remove */
    return error;
}

void worker_cost_remove(char *path)
{
    if (path[0] != '\0')
        (void)unlink(path);
    path[0] = '\0';
}

const char *worker_cost_json(struct ifab_view text, char ret_json[WORKER_COST_JSON])
{
    /* as POST /v1/tasks/ID/complete takes it */
    static const struct ifab_schema_field fields[] = {
        AMOUNT("calls"), {.name = "model", .kind = IFAB_SCHEMA_STRING, .min = 1, .max = 128, .check = ifab_schema_printable},
        AMOUNT("tokens_in"), AMOUNT("tokens_out"), AMOUNT("usd_micro")};
    static const struct ifab_schema schema = {"cost", fields, IFAB_COUNT(fields)};
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf json = IFAB_BUF_INIT(WORKER_COST_JSON);
    const struct ifab_json *tree;
    ret_json[0] = '\0';
    if (text.size == 0)
        return NULL;
    ifab_arena_init(&arena, (size_t)1 << 20);
    if (text.size > WORKER_COST_MAX)
        return "it has more than 4096 bytes";
    if (ifab_json_read(text, NULL, &arena, &tree, NULL) != IFAB_OK)
        return "it is not JSON";
    if (tree->type != IFAB_JSON_OBJECT || ifab_schema_check(&schema, tree, IFAB_CODE_INVALID_PARAMS, NULL) != IFAB_CODE_NONE)
        return "it is not {\"usd_micro\",\"tokens_in\",\"tokens_out\",\"calls\",\"model\"} or some of these";
    ifab_json_write(&json, tree);
    ifab_buf_char(&json, '\0');
    if (ifab_buf_status(&json) != IFAB_OK)
        return "it could not be kept in memory";
    memcpy(ret_json, json.data, json.size);
    return NULL;
}

const char *worker_cost_read(const char *path, char ret_json[WORKER_COST_JSON])
{
    char text[WORKER_COST_MAX + 1];
    struct stat st;
    size_t size = 0;
    ret_json[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return errno == ENOENT ? NULL : errno == ELOOP ? "it is not a plain file" : "it cannot be read";
    bool plain = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    ssize_t n = plain ? 1 : 0;
    while (n > 0 && size < sizeof text) {
        n = read(fd, text + size, sizeof text - size);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n > 0)
            size += (size_t)n;
    }
    close(fd);
    return !plain ? "it is not a plain file" : n < 0 ? "it cannot be read" : worker_cost_json(ifab_view_of(text, size), ret_json);
}

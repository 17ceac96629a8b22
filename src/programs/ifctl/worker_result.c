/* What a command's end means for its task: pure but for the search of a program. */
#include "task.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/encode.h"

#define EXIT_POISON 65    /* EX_DATAERR */
#define EXIT_TRANSIENT 75 /* EX_TEMPFAIL */

bool worker_result_json(struct ifab_view out, struct ifab_buf *json)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    const struct ifab_json *tree;
    ifab_arena_init(&arena, 16 << 20);
    if (out.size == 0)
        return true;
    if (!ifab_utf8_valid(out))
        return false;
    if (ifab_json_read(out, NULL, &arena, &tree, NULL) == IFAB_OK) {
        ifab_json_write(json, tree);
        return true;
    }
    if (out.data[out.size - 1] == '\n')
        out.size--;
    ifab_json_put_string(json, out);
    return true;
}

void worker_words(const struct worker_result *result, int64_t timeout_usec, char *ret_text, size_t size, const char **ret_kind)
{
    int status = result->status;
    *ret_kind = "transient";
    switch (result->end) {
    case WORKER_EXITED:
        if (WIFSIGNALED(status)) {
            snprintf(ret_text, size, "ended by signal %d", WTERMSIG(status));
            return;
        }
        snprintf(ret_text, size, "exit status %d", WEXITSTATUS(status));
        *ret_kind = WEXITSTATUS(status) == 0 ? NULL : WEXITSTATUS(status) == EXIT_POISON ? "poison" : "transient";
        return;
    case WORKER_TIMEOUT:
        snprintf(ret_text, size, "ran longer than %lld ms", (long long)(timeout_usec / 1000));
        return;
    case WORKER_OUTPUT:
        snprintf(ret_text, size, "stdout had more than %zu bytes", WORKER_OUTPUT_MAX);
        return;
    case WORKER_LOST:
        snprintf(ret_text, size, "its claim was lost");
        *ret_kind = NULL; /* nobody is told */
        return;
    case WORKER_STOPPED:
        snprintf(ret_text, size, "the worker was told to end");
        *ret_kind = "shutdown";
        return;
    case WORKER_NOT_STARTED:
        snprintf(ret_text, size, "the command could not be run: %s", strerror(result->error));
        *ret_kind = "shutdown"; /* the task is not to blame */
        return;
    }
}

static bool may_run(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

bool worker_find(const char *name, const char *path, char *ret_path, size_t size)
{
    if (strchr(name, '/') != NULL)
        return cli_path(ret_path, size, "%s", name) && may_run(ret_path);
    while (name[0] != '\0' && *path != '\0') {
        size_t part = strcspn(path, ":");
        if (part > 0 && path[0] == '/' && cli_path(ret_path, size, "%.*s/%s", (int)part, path, name) && may_run(ret_path))
            return true;
        path += part + (path[part] == ':');
    }
    return false;
}

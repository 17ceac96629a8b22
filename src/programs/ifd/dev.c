/*
 * ifd --dev: a throw-away fabric to try things with. A child serves; this process makes keys, adds two agents of different owners over the socket as an
 * operator would, and prints on stderr the lines to paste. The directory goes when the child ends.
 */
#include "dev.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "crypto/crypto.h"
#include "log/log.h"
#include "loop/node.h"

#include <infrafabric/client.h>

static volatile pid_t child;

static void forward(int number)
{
    if (child > 0)
        kill(child, number);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int fail(const char *what, const char *why)
{
    struct ifab_buf line = IFAB_BUF_INIT(2048);
    ifab_buf_format(&line, "ifd --dev: %s: %s\n", what, why);
    ifab_log_plain(2, ifab_buf_as_view(&line));
    ifab_buf_fini(&line);
    return 20;
}

static ifab_status write_key(const char *path, const struct ifab_signer *key, struct ifab_error *err)
{
    struct ifab_buf pem = IFAB_BUF_INIT(8192);
    IFAB_TRY(ifab_key_pem_write(key, IFAB_VIEW(""), &pem, err));
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool good = fd >= 0 && write(fd, pem.data, pem.size) == (ssize_t)pem.size;
    if (fd >= 0)
        close(fd);
    ifab_buf_fini(&pem);
    return good ? IFAB_OK : ifab_fail(err, IFAB_IO, "%s: %s", path, strerror(errno));
}

static ifab_status add_agent(struct ifab_client *client, const char *directory, const char *name, const char *owner, struct ifab_error *err)
{
    struct ifab_signer *key = NULL;
    struct ifab_buf body = IFAB_BUF_INIT(1024);
    struct ifab_response response;
    char path[600];
    uint8_t public32[32];
    snprintf(path, sizeof path, "%s/keys/%s.pem", directory, name);
    ifab_status status = ifab_signer_new_random(&key, err);
    if (status == IFAB_OK)
        status = write_key(path, key, err);
    if (status == IFAB_OK) {
        ifab_signer_public(key, public32);
        ifab_buf_format(&body, "{\"name\":\"%s\",\"owner\":\"%s\",\"pubkey\":\"", name, owner);
        ifab_buf_base64url(&body, public32, 32);
        ifab_buf_str(&body, "\",\"why\":\"ifd --dev\"}");
        struct ifab_request request = {.version = IFAB_CLIENT_VERSION, .method = "POST", .target = "/v1/talents", .body = ifab_buf_as_view(&body)};
        status = ifab_client_call(client, &request, &response, err);
        if (status == IFAB_OK && response.status != 201)
            status = ifab_fail(err, IFAB_INTERNAL, "%s: " IFAB_FMT, name, IFAB_ARG(response.body));
    }
    ifab_signer_free(key);
    ifab_buf_fini(&body);
    return status;
}

/* ifctl as the user can start it: beside ifd when that was named by a path and it lies there, else along PATH. */
static void find_ifctl(const char *program, char *ret_path, size_t size)
{
    const char *slash = strrchr(program, '/');
    int n = slash == NULL ? -1 : snprintf(ret_path, size, "%.*s/ifctl", (int)(slash - program), program);
    if (n < 0 || (size_t)n >= size || access(ret_path, X_OK) != 0 || strpbrk(ret_path, " '\"\\$`\n") != NULL)
        snprintf(ret_path, size, "ifctl");
}

static ifab_status prepare(const char *program, const char *directory, const char *ready, struct ifab_error *err)
{
    struct ifab_client *client = NULL;
    struct ifab_buf lines = IFAB_BUF_INIT(8192);
    char endpoint[700], ifctl[1024];
    const char *tcp = strstr(ready, "http://");
    snprintf(endpoint, sizeof endpoint, "unix:%s/run/ifd.sock", directory);
    struct ifab_client_options options = {.version = IFAB_CLIENT_VERSION, .endpoint = endpoint};
    IFAB_TRY(ifab_client_open(&options, &client, err));
    ifab_status status = add_agent(client, directory, "Demo.A", "alice", err);
    if (status == IFAB_OK)
        status = add_agent(client, directory, "Demo.B", "bob", err);
    ifab_client_close(client);
    IFAB_TRY(status);
    ifab_buf_format(&lines, "\nA fabric to try things with; it goes when this process ends. Paste into another terminal:\n\n");
    ifab_buf_format(&lines, "export IFAB_DIR=%s\nexport IFAB_ENDPOINT=%s\n", directory, endpoint);
    ifab_buf_format(&lines, "export IFAB_AS=Demo.A\nexport IFAB_KEY=%s/keys/Demo.A.pem\n", directory);
    if (tcp != NULL)
        ifab_buf_format(&lines, "# over TCP: %.*s\n", (int)strcspn(tcp, "\n"), tcp);
    find_ifctl(program, ifctl, sizeof ifctl);
    ifab_buf_format(&lines, "\n%s message send --to Demo.B --claim \"The build is green\" --scope '{\"branch\":\"main\"}' --confidence 0.9\n", ifctl);
    ifab_buf_format(&lines, "%s message inbox --as Demo.B\n\n", ifctl);
    ifab_log_plain(2, ifab_buf_as_view(&lines));
    ifab_buf_fini(&lines);
    return IFAB_OK;
}

static bool read_ready(int fd, char *line, size_t size)
{
    size_t at = 0;
    while (at + 1 < size && (at == 0 || line[at - 1] != '\n')) {
        ssize_t n = read(fd, line + at, 1);
        if (n <= 0)
            return false;
        at++;
    }
    line[at] = '\0';
    return strncmp(line, "ready ", 6) == 0;
}

static int serve(const char *directory, const char *version, int ready_fd)
{
    char config[600];
    struct ifab_error err = {0};
    snprintf(config, sizeof config, "%s/ifd.yaml", directory);
    struct ifab_run_options run = {.config = config, .version = version, .ready_fd = ready_fd};
    return ifab_node_run(&run, &err) == IFAB_OK ? 0 : fail("serving", err.text);
}

/* Serves and waits; the directory is the caller's to remove. */
static int run(const char *program, const char *directory, const char *version, const sigset_t *before)
{
    char ready[1024];
    struct ifab_error err = {0};
    int pipe_fds[2], wait_status = 0;
    struct ifab_init_options init = {.directory = directory, .http = "127.0.0.1:0", .version = version, .why = IFAB_VIEW("ifd --dev")};
    if (ifab_node_init(&init, &err) != IFAB_OK)
        return fail("init", err.text);
    if (pipe2(pipe_fds, O_CLOEXEC) != 0)
        return fail("pipe", strerror(errno));
    child = fork();
    if (child == 0) {
        sigprocmask(SIG_SETMASK, before, NULL);
        _exit(serve(directory, version, pipe_fds[1]));
    }
    close(pipe_fds[1]);
    signal(SIGINT, forward);
    signal(SIGTERM, forward);
    sigprocmask(SIG_SETMASK, before, NULL);
    bool good = child > 0 && read_ready(pipe_fds[0], ready, sizeof ready);
    if (good && prepare(program, directory, ready, &err) != IFAB_OK) {
        fail("agents", err.text);
        good = false;
    }
    if (good)
        ifab_log_plain(1, ifab_view_str(ready));
    else if (child > 0)
        kill(child, SIGTERM);
    while (child > 0 && waitpid(child, &wait_status, 0) < 0 && errno == EINTR)
        ;
    return good && WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 20;
}

int ifab_dev_run(const char *program, const char *version)
{
    const char *base = getenv("TMPDIR");
    char directory[512];
    sigset_t ends, before;
    signal(SIGPIPE, SIG_IGN); /* whoever closes its stdout does not keep it from cleaning up */
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, &before); /* from the directory on, until somebody is there to forward them to */
    snprintf(directory, sizeof directory, "%s/ifd-dev-XXXXXX", base != NULL && base[0] == '/' ? base : "/tmp");
    if (mkdtemp(directory) == NULL)
        return fail("temporary directory", strerror(errno));
    int code = run(program, directory, version, &before);
    nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return code;
}

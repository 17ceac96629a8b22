/* Whom egress believes: certificates of an authority that the operator named, for the name that was asked, over TLS 1.2 or newer. INV-09 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <assert.h>

#include "../conformance/conformance_egress.c"

#include <fcntl.h>
#include <ftw.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct egress_backend *const b = &egress_backends[1];
static char directory[] = "/tmp/ifab-tls-XXXXXX", ca[100], certificate[100], key[100];

static pid_t spawn(const char *const argv[], int out)
{
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        int null = open("/dev/null", O_RDWR);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves no server */
        (void)dup2(null, 0);
        (void)dup2(out < 0 ? null : out, 1);
        (void)dup2(out < 0 ? null : out, 2);
        char *words[24] = {NULL};
        for (size_t i = 0; i < 23 && argv[i] != NULL; i++)
            words[i] = strdup(argv[i]);
        (void)execvp(words[0], words);
        _exit(127);
    }
    assert_true(child > 0);
    return child;
}
static void run(const char *const argv[])
{
    int status = 0;
    assert_int_equal(waitpid(spawn(argv, -1), &status, 0) > 0, 1);
    if (status != 0)
        fail_msg("%s %s failed", argv[0], argv[1]);
}
static void make_certificate(void)
{
    assert_non_null(mkdtemp(directory));
    (void)snprintf(ca, sizeof ca, "%s/cert.pem", directory);
    (void)snprintf(key, sizeof key, "%s/key.pem", directory);
    const char *const argv[] = {"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",          "-keyout", key,
                                "-out",    ca,    "-days", "2",       "-subj",    "/CN=api.example", "-addext", "subjectAltName=DNS:api.example",
                                NULL};
    run(argv);
    memcpy(certificate, ca, sizeof ca);
}
/* openssl s_server; its port is what it says it accepts on. */
static pid_t server(const char *version, uint16_t *ret_port)
{
    int ends[2];
    char text[4000] = "";
    size_t used = 0;
    const char *const argv[] = {"openssl", "s_server", "-accept", "127.0.0.1:0",        "-www",  "-cert", certificate,
                                "-key",    key,        "-cipher", "DEFAULT@SECLEVEL=0", version, NULL};
    assert_int_equal(pipe(ends), 0);
    pid_t child = spawn(argv, ends[1]);
    (void)close(ends[1]);
    const char *at = NULL;
    while (used + 1 < sizeof text && (at = strstr(text, "ACCEPT ")) == NULL) {
        ssize_t n = read(ends[0], text + used, sizeof text - 1 - used);
        if (n <= 0)
            fail_msg("openssl s_server: %s", text);
        used += (size_t)n;
        text[used] = '\0';
    }
    while (strchr(at, '\n') == NULL) {
        ssize_t n = read(ends[0], text + used, sizeof text - 1 - used);
        assert_true(n > 0);
        used += (size_t)n;
        text[used] = '\0';
    }
    *strchr(at, '\n') = '\0';
    *ret_port = (uint16_t)strtoul(strrchr(at, ':') + 1, NULL, 10);
    (void)close(ends[0]);
    return child;
}
static void end(pid_t child)
{
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
}
static struct ifab_egress_event *ask(uint16_t port, const char *host, const char *ca_file)
{
    char entry[100];
    const char *const resolve[] = {entry, NULL};
    struct ifab_egress_settings settings = {.version = IFAB_EGRESS_ABI, .wake = wake, .user = &b->wake_fd, .ca_file = ca_file, .resolve = resolve};
    (void)snprintf(entry, sizeof entry, "%s:%u:127.0.0.1", host, port);
    b->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_int_equal(ifab_egress_curl_open(&settings, &b->egress, NULL), IFAB_OK);
    b->port = port;
    struct ifab_egress_request r = usual(b, "GET", "/v1/x");
    (void)snprintf(origin_text, sizeof origin_text, "https://%s:%u", host, port);
    (void)snprintf(url_text, sizeof url_text, "%s/v1/x", origin_text);
    r.url = ifab_view_str(url_text);
    assert_int_equal(ifab_origin_read(ifab_view_str(origin_text), &row.origin, NULL), IFAB_OK);
    r.idempotent = true;
    r.attempts = 3; /* a server that does not prove who it is is not asked again */
    struct ifab_egress_event *event = asked(b, &r);
    ifab_egress_close(b->egress);
    (void)close(b->wake_fd);
    return event;
}
static void is(struct ifab_egress_event *event, enum ifab_egress_failure failure)
{
    if (event->problem.failure != failure)
        fail_msg("kind %d status %d: %s", event->kind, event->status, event->problem.text);
    if (failure == IFAB_EGRESS_TLS) {
        assert_false(event->maybe_sent);
        assert_int_equal(event->attempts, 1);
    }
    ifab_egress_event_free(event);
}
static void believes_only_what_is_proven(void **state)
{
    static const char *const versions[] = {"-tls1_3", "-tls1_2", "-tls1_1"};
    (void)state;
    make_certificate();
    for (size_t i = 0; i < IFAB_COUNT(versions); i++) {
        uint16_t port = 0;
        pid_t child = server(versions[i], &port);
        char at[40];
        (void)snprintf(at, sizeof at, "127.0.0.1:%u", port);
        const char *const control[] = {"openssl", "s_client", "-connect", at, versions[i], "-cipher", "DEFAULT@SECLEVEL=0", NULL};
        run(control);                                                                 /* who wants the old one gets it */
        is(ask(port, "api.example", ca), i < 2 ? IFAB_EGRESS_NONE : IFAB_EGRESS_TLS); /* nothing older than 1.2 */
        is(ask(port, "api.example", NULL), IFAB_EGRESS_TLS);                          /* an authority nobody named */
        is(ask(port, "other.example", ca), IFAB_EGRESS_TLS);                          /* another name */
        end(child);
    }
}
static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st;
    (void)type;
    (void)walk;
    return remove(path);
}
static int clean(void **state)
{
    (void)state;
    return nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
static const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(believes_only_what_is_proven, clean)};
TEST_MAIN(tests)

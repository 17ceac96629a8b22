/*
 * Answers of a resolver that change, in a network of this test's own: a name server that says a public address first and an inner one the next time,
 * and a peer that listens on both. What is checked is what is connected to, so the change gains nothing. Needs the right to make namespaces. INV-08
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <assert.h>

#include "../conformance/conformance_egress.c"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#define PUBLIC "1.2.3.4"

static struct egress_backend *const b = &egress_backends[1];
static atomic_int queries;
static atomic_uint answer_of[2]; /* addresses in network order: what odd and even queries get */

static bool set_address(const char *interface, const char *address)
{
    struct ifreq request = {.ifr_flags = 0};
    struct sockaddr_in in = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
    (void)inet_pton(AF_INET, address, &in.sin_addr);
    memcpy(&request.ifr_addr, &in, sizeof in);
    bool good = fd >= 0 && ioctl(fd, SIOCSIFADDR, &request) == 0;
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    good = good && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    (void)close(fd);
    return good;
}
static bool write_all(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    (void)close(fd);
    return good;
}
/* A network with loopback, one address of the Internet on it, and a resolv.conf that names loopback. */
static bool own_network(void)
{
    char path[] = "/tmp/ifab-resolv-XXXXXX", map[60];
    unsigned uid = getuid(), gid = getgid();
    if (uid == 0 ? unshare(CLONE_NEWNS | CLONE_NEWNET) != 0 : unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET) != 0)
        return false;
    if (uid != 0) {
        (void)snprintf(map, sizeof map, "0 %u 1", uid);
        bool good = write_all("/proc/self/setgroups", "deny") && write_all("/proc/self/uid_map", map);
        (void)snprintf(map, sizeof map, "0 %u 1", gid);
        if (!good || !write_all("/proc/self/gid_map", map))
            return false;
    }
    int fd = mkstemp(path);
    if (fd < 0 || write(fd, "nameserver 127.0.0.1\noptions timeout:1 attempts:2\n", 50) != 50)
        return false;
    (void)close(fd);
    bool good = mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 && mount(path, "/etc/resolv.conf", NULL, MS_BIND, NULL) == 0;
    (void)unlink(path);
    return good && set_address("lo", "127.0.0.1") && set_address("lo:1", PUBLIC);
}
/* A for every name, nothing for other types. */
static void *name_server(void *user)
{
    int fd = *(int *)user;
    for (;;) {
        uint8_t packet[512];
        struct sockaddr_in from;
        socklen_t size = sizeof from;
        ssize_t n = recvfrom(fd, packet, sizeof packet - 16, 0, (struct sockaddr *)&from, &size);
        if (n < 17)
            return NULL;
        size_t end = 12;
        while (end < (size_t)n && packet[end] != 0)
            end += packet[end] + 1U;
        if (memmem(packet, (size_t)n, "silent", 6) != NULL)
            continue;
        bool is_a = packet[end + 1] == 0 && packet[end + 2] == 1;
        end += 5;
        packet[2] = 0x81;
        packet[3] = 0x80;
        memset(packet + 6, 0, 6);
        packet[7] = is_a;
        if (is_a) {
            unsigned address = atomic_load(&answer_of[atomic_fetch_add(&queries, 1) % 2]);
            static const uint8_t record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4};
            memcpy(packet + end, record, sizeof record);
            memcpy(packet + end + sizeof record, &address, 4);
            end += sizeof record + 4;
        }
        (void)sendto(fd, packet, end, 0, (struct sockaddr *)&from, size);
    }
}
static bool hello(struct peer *peer, int fd, struct ifab_view request, void *user)
{
    (void)peer;
    (void)request;
    (void)user;
    peer_answer(fd, 200, NULL, IFAB_VIEW("hello"));
    return false;
}
static void answers(const char *odd, const char *even)
{
    struct in_addr a;
    assert_int_equal(inet_pton(AF_INET, odd, &a), 1);
    atomic_store(&answer_of[0], a.s_addr);
    assert_int_equal(inet_pton(AF_INET, even, &a), 1);
    atomic_store(&answer_of[1], a.s_addr);
    atomic_store(&queries, 0);
}
static struct ifab_egress_request request_of(void)
{
    struct ifab_egress_request r = usual(b, "GET", "/v1/x");
    (void)snprintf(origin_text, sizeof origin_text, "http://rebind.example:%u", b->port);
    (void)snprintf(url_text, sizeof url_text, "%s/v1/x", origin_text);
    r.url = ifab_view_str(url_text);
    assert_int_equal(ifab_origin_read(ifab_view_str(origin_text), &row.origin, NULL), IFAB_OK);
    r.exception_count = 0;
    return r;
}
/* A name server that says nothing: each name that is given up leaves a thread for a while, so there is a bound; others are not in it. */
static void gives_up_only_so_many_names(void)
{
    struct ifab_egress_request r = request_of();
    int given_up = 0, turned_away = 0;
    (void)snprintf(origin_text, sizeof origin_text, "http://silent.example:%u", b->port);
    (void)snprintf(url_text, sizeof url_text, "%s/v1/x", origin_text);
    r.url = ifab_view_str(url_text);
    assert_int_equal(ifab_origin_read(ifab_view_str(origin_text), &row.origin, NULL), IFAB_OK);
    r.timeout = 5000;
    for (int i = 0; i < 40; i++) {
        struct ifab_egress_event *event = asked(b, &r);
        assert_int_equal(event->kind, IFAB_EGRESS_FAILED);
        given_up += event->problem.failure == IFAB_EGRESS_DEADLINE;
        turned_away += strstr(event->problem.text, "too many names") != NULL;
        ifab_egress_event_free(event);
    }
    assert_int_equal(given_up, 16);
    assert_int_equal(turned_away, 24);
    answers(PUBLIC, PUBLIC);
    r = request_of();
    r.tenant = IFAB_VIEW("another");
    struct ifab_egress_event *event = asked(b, &r);
    assert_int_equal(event->kind, IFAB_EGRESS_ANSWER);
    ifab_egress_event_free(event);
}
static void changing_answers_gain_nothing(void **state)
{
    struct ifab_egress_settings settings = {.version = IFAB_EGRESS_ABI, .wake = wake, .user = &b->wake_fd};
    struct sockaddr_in at = {.sin_family = AF_INET};
    pthread_t server;
    (void)state;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    at.sin_port = htons(53);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(pthread_create(&server, NULL, name_server, &fd), 0);
    peer_begin(&b->peer, hello, NULL); /* on 127.0.0.1; the public one is served by a second */
    struct sockaddr_in open = {.sin_family = AF_INET, .sin_port = htons(b->peer.port)};
    assert_int_equal(inet_pton(AF_INET, PUBLIC, &open.sin_addr), 1);
    static struct peer outside;
    peer_begin(&outside, hello, NULL);
    int moved = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(bind(moved, (struct sockaddr *)&open, sizeof open) == 0 && listen(moved, 16) == 0);
    int before = dup(outside.fd);
    assert_true(dup2(moved, outside.fd) >= 0); /* its next accept is there */
    struct sockaddr_in old;
    socklen_t size = sizeof old;
    assert_int_equal(getsockname(before, (struct sockaddr *)&old, &size), 0);
    int knock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* ends the accept that still waits on the old one */
    (void)connect(knock, (struct sockaddr *)&old, sizeof old);
    (void)close(knock);
    (void)close(moved);
    (void)close(before);
    b->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    b->port = b->peer.port;
    assert_int_equal(ifab_egress_curl_open(&settings, &b->egress, NULL), IFAB_OK);

    answers(PUBLIC, "127.0.0.1");
    struct ifab_egress_request r = request_of();
    struct ifab_egress_event *event = asked(b, &r);
    if (event->kind != IFAB_EGRESS_ANSWER)
        fail_msg("the public address: %s", event->problem.text);
    assert_string_equal(event->address, PUBLIC);
    ifab_egress_event_free(event);
    failed(b, &r, IFAB_EGRESS_ADDRESS); /* the next question gets the inner one */
    answers("169.254.169.254", PUBLIC);
    failed(b, &r, IFAB_EGRESS_FORBIDDEN_ADDRESS);
    for (int i = 0; i < 50; i++) { /* whatever falls together, nothing ever arrives inside */
        answers(i % 2 ? PUBLIC : "127.0.0.1", i % 3 ? "127.0.0.1" : PUBLIC);
        r.idempotent = i % 2;
        r.attempts = r.idempotent ? 3 : 1;
        r.backoff_count = 1;
        event = asked(b, &r);
        assert_true(event->kind == IFAB_EGRESS_ANSWER || event->problem.failure == IFAB_EGRESS_ADDRESS);
        ifab_egress_event_free(event);
    }
    gives_up_only_so_many_names();
    assert_int_equal(atomic_load(&b->peer.connections), 0);
    assert_true(atomic_load(&outside.requests) > 10);
    ifab_egress_close(b->egress);
    (void)shutdown(fd, SHUT_RDWR);
    (void)sendto(fd, "", 0, 0, (struct sockaddr *)&at, sizeof at);
    (void)pthread_join(server, NULL);
    (void)close(fd);
    peer_end(&outside);
    peer_end(&b->peer);
    (void)close(b->wake_fd);
}
static const struct CMUnitTest tests[] = {cmocka_unit_test(changing_answers_gain_nothing)};
int main(void)
{
    if (!own_network())
        TEST_SKIP_ALL("no right to make a network namespace");
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

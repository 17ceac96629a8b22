/*
 * The client side of the HTTP measurements, cheap on purpose: messages are made and signed before the clock starts, one epoll loop, one request at a
 * time on each connection.
 *
 *   bench_load enrol SOCKET                          the eight agents
 *   bench_load send SOCKET CONNECTIONS COUNT FIRST   COUNT messages, numbered from FIRST; says "prepared", waits for a line on stdin, then sends
 *   bench_load flood SOCKET CONNECTIONS COUNT FIRST RATE   the same, at that rate whether answers come or not: up to 48 wait on a connection, what finds
 *                                                    no room is not sent. accepted: answered 200; the times are theirs, from when each was due
 *   bench_load storm SOCKET CONNECTIONS COUNT FIRST RATE [FORM]   COUNT escalations by one talent that does not listen to 302: the ninth agent, each
 *                                                    connection an instance; at that rate, as far as up to 48 unanswered ones on a connection allow; 0: as
 *                                                    fast as that. FORM each: one at a time, and then it connects anew; lines: bodies of 50 lines, one at a time
 *   bench_load lines SOCKET CONNECTIONS COUNT FIRST  COUNT messages as NDJSON, 1,000 lines a body, a body at a time on each connection
 *   bench_load make COUNT FIRST                      COUNT messages of the first agent, a line each, to stdout
 *   bench_load garbage SOCKET RATE SECONDS           malformed messages at that rate over 8 connections, made anew when they are closed
 *   bench_load echo COUNT                            round trips of the same sizes through a process that only echoes
 */
#include "messages.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <infrafabric/client.h>

enum { CONNECTIONS_MOST = 256, ANSWER = 800 };

struct connection {
    int fd;
    unsigned sent, got;
    size_t filled, want; /* of the answer; want 0: head not complete */
    double began;
    char answer[65536];
};

static int dial(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    bench_must(strlen(path) < sizeof un.sun_path, "the socket's path is too long", NULL);
    memcpy(un.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bench_must(fd >= 0 && connect(fd, (const struct sockaddr *)&un, sizeof un) == 0, path, NULL);
    return fd;
}

static void enrol(const char *socket_path)
{
    char endpoint[300];
    struct ifab_client *client = NULL;
    struct ifab_error err = {0};
    (void)snprintf(endpoint, sizeof endpoint, "unix:%s", socket_path);
    struct ifab_client_options options = {.version = IFAB_CLIENT_VERSION, .endpoint = endpoint};
    bench_must(ifab_client_open(&options, &client, &err) == IFAB_OK, "client", &err);
    for (unsigned k = 0; k <= BENCH_KEYS; k++) { /* and the one that storms */
        struct ifab_signer *signer = bench_signer(k);
        struct ifab_buf body = IFAB_BUF_INIT(1024);
        struct ifab_response response;
        uint8_t public32[32];
        ifab_signer_public(signer, public32);
        ifab_buf_format(&body, "{\"name\":\"Bench.%u\",\"owner\":\"Bench.%u\",\"why\":\"bench\",\"pubkey\":\"", k, k);
        ifab_buf_base64url(&body, public32, 32);
        ifab_buf_str(&body, "\"}");
        struct ifab_request request = {.version = IFAB_CLIENT_VERSION, .method = "POST", .target = "/v1/talents", .body = ifab_buf_as_view(&body)};
        bench_must(ifab_client_call(client, &request, &response, &err) == IFAB_OK && response.status == 201, "enrolment", &err);
        ifab_buf_fini(&body);
        ifab_signer_free(signer);
    }
    ifab_client_close(client);
}

static void wrap_request(struct ifab_buf *out, const struct ifab_buf *message, unsigned n)
{
    ifab_buf_init(out, 65536);
    ifab_buf_format(out,
                    "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    "Idempotency-Key: msg-01930000-0000-7000-8000-%012x\r\nContent-Length: %zu\r\n\r\n",
                    n, message->size);
    ifab_buf_view(out, ifab_buf_as_view(message));
    bench_must(ifab_buf_status(out) == IFAB_OK, "memory", NULL);
}

/* The whole request of message n; connection c speaks as instance c / 8 of key c % 8. */
static void make_request(struct ifab_buf *out, struct ifab_signer *const *signers, unsigned c, unsigned n, unsigned seq)
{
    struct ifab_buf message = IFAB_BUF_INIT(65536);
    bench_message(&message, signers[c % BENCH_KEYS], c % BENCH_KEYS, c / BENCH_KEYS, n, seq);
    wrap_request(out, &message, n);
    ifab_buf_fini(&message);
}

/* true: a whole answer stands there. */
static bool take_answer(struct connection *c)
{
    ssize_t n = read(c->fd, c->answer + c->filled, sizeof c->answer - 1 - c->filled);
    bench_must(n > 0, "the connection was closed", NULL);
    c->filled += (size_t)n;
    c->answer[c->filled] = '\0';
    if (c->want == 0) {
        char *end = strstr(c->answer, "\r\n\r\n"), *length = strcasestr(c->answer, "content-length:");
        if (end == NULL)
            return false;
        bench_must(length != NULL && length < end, "an answer without length", NULL);
        c->want = (size_t)(end + 4 - c->answer) + strtoul(length + 15, NULL, 10);
        bench_must(c->want < sizeof c->answer, "an answer too long", NULL);
    }
    return c->filled >= c->want;
}

static void connect_anew(int epoll, const char *socket_path, struct connection *all, unsigned c)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = c};
    if (all[c].fd > 0)
        close(all[c].fd);
    all[c].fd = dial(socket_path);
    bench_must(epoll_ctl(epoll, EPOLL_CTL_ADD, all[c].fd, &event) == 0, "epoll", NULL);
}

static void write_whole(int fd, const struct ifab_buf *request)
{
    for (size_t at = 0; at < request->size;) {
        ssize_t n = write(fd, request->data + at, request->size - at);
        bench_must(n > 0, "write", NULL);
        at += (size_t)n;
    }
}

static void send_all(const char *socket_path, unsigned connections, unsigned count, unsigned first)
{
    static struct connection all[CONNECTIONS_MOST];
    struct ifab_signer *signers[BENCH_KEYS];
    struct ifab_buf *requests = ifab_calloc(count, sizeof *requests);
    double *took = ifab_calloc(count, sizeof *took);
    unsigned got = 0, bad = 0, each = count / connections;
    bench_must(requests != NULL && took != NULL && connections <= CONNECTIONS_MOST && count % connections == 0, "COUNT must be a multiple", NULL);
    for (unsigned k = 0; k < BENCH_KEYS; k++)
        signers[k] = bench_signer(k);
    for (unsigned c = 0; c < connections; c++)
        for (unsigned i = 0; i < each; i++)
            make_request(&requests[c * each + i], signers, c, first + c * each + i, first + i);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned c = 0; c < connections; c++)
        connect_anew(epoll, socket_path, all, c);
    printf("prepared\n");
    fflush(stdout);
    (void)getchar();
    double from = bench_wall(), cpu = bench_cpu();
    for (unsigned c = 0; c < connections; c++) {
        struct ifab_buf *r = &requests[c * each];
        all[c].began = bench_wall();
        bench_must(write(all[c].fd, r->data, r->size) == (ssize_t)r->size, "write", NULL);
        all[c].sent = 1;
    }
    while (got < count) {
        struct epoll_event events[CONNECTIONS_MOST];
        int n = epoll_wait(epoll, events, CONNECTIONS_MOST, -1);
        for (int i = 0; i < n; i++) {
            struct connection *c = &all[events[i].data.u32];
            if (!take_answer(c))
                continue;
            double now = bench_wall();
            took[got++] = now - c->began;
            if (strncmp(c->answer, "HTTP/1.1 200", 12) != 0 && bad++ == 0)
                fprintf(stderr, "bench_load: %.600s\n", c->answer);
            c->filled = c->want = 0;
            if (c->sent == each)
                continue;
            struct ifab_buf *r = &requests[events[i].data.u32 * each + c->sent++];
            c->began = now;
            bench_must(write(c->fd, r->data, r->size) == (ssize_t)r->size, "write", NULL);
        }
    }
    double wall = bench_wall() - from;
    printf("messages %u\nbad %u\nseconds %.6f\nload_cpu_us %.3f\n", count, bad, wall, (bench_cpu() - cpu) * 1e6 / count);
    printf("p50_us %.1f\n", bench_quantile(took, count, .5) * 1e6);
    printf("p99_us %.1f\n", bench_quantile(took, count, .99) * 1e6);
}

/* One answer of those that stand in c, taken out; 0: none is whole. The status. */
static int next_answer(struct connection *c)
{
    char *end = strstr(c->answer, "\r\n\r\n"), *length = strcasestr(c->answer, "content-length:");
    if (end == NULL)
        return 0;
    bench_must(length != NULL && length < end, "an answer without length", NULL);
    size_t size = (size_t)(end + 4 - c->answer) + strtoul(length + 15, NULL, 10);
    bench_must(size < sizeof c->answer, "an answer too long", NULL);
    if (size > c->filled)
        return 0;
    int status = atoi(c->answer + 9);
    c->filled -= size;
    memmove(c->answer, c->answer + size, c->filled + 1);
    return status;
}

/* Waits for answers, but no longer than until the next message is due: epoll_wait() alone would be up to a millisecond late. */
static int wait_until(int epoll, struct epoll_event *events, double due)
{
    double left = due - bench_wall();
    left = left < 0 ? 0 : left;
    struct timespec timeout = {.tv_sec = (time_t)left, .tv_nsec = (long)((left - (double)(time_t)left) * 1e9)};
    return due < 0 ? epoll_wait(epoll, events, CONNECTIONS_MOST, -1) : epoll_pwait2(epoll, events, CONNECTIONS_MOST, &timeout, NULL);
}

static void flood(const char *socket_path, unsigned connections, unsigned count, unsigned first, double rate)
{
    enum { WAITING = 48 };
    static struct connection all[CONNECTIONS_MOST];
    static double due[CONNECTIONS_MOST][WAITING]; /* rings */
    struct ifab_signer *signers[BENCH_KEYS];
    struct ifab_buf *requests = ifab_calloc(count, sizeof *requests);
    double *took = ifab_calloc(count, sizeof *took);
    unsigned next = 0, waiting = 0, accepted = 0, refused = 0, unsent = 0;
    bench_must(requests != NULL && took != NULL && connections <= CONNECTIONS_MOST && rate > 0, "CONNECTIONS, RATE", NULL);
    for (unsigned k = 0; k < BENCH_KEYS; k++)
        signers[k] = bench_signer(k);
    for (unsigned n = 0; n < count; n++)
        make_request(&requests[n], signers, n % connections, first + n, first + n / connections);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned c = 0; c < connections; c++)
        connect_anew(epoll, socket_path, all, c);
    printf("prepared\n");
    fflush(stdout);
    (void)getchar();
    double from = bench_wall(), now = from, cpu = bench_cpu();
    while (next < count || waiting > 0) {
        for (now = bench_wall(); next < count && next <= (now - from) * rate; next++) {
            struct connection *c = &all[next % connections];
            if (c->sent - c->got == WAITING) {
                unsent++;
                continue;
            }
            due[next % connections][c->sent++ % WAITING] = from + next / rate;
            waiting++;
            bench_must(write(c->fd, requests[next].data, requests[next].size) == (ssize_t)requests[next].size, "write", NULL);
        }
        struct epoll_event events[CONNECTIONS_MOST];
        int n = wait_until(epoll, events, next < count ? from + next / rate : -1), status;
        for (int i = 0; i < n; i++) {
            struct connection *c = &all[events[i].data.u32];
            ssize_t more = read(c->fd, c->answer + c->filled, sizeof c->answer - 1 - c->filled);
            bench_must(more > 0, "the connection was closed", NULL);
            c->filled += (size_t)more;
            c->answer[c->filled] = '\0';
            while ((status = next_answer(c)) != 0) {
                if (status == 200)
                    took[accepted++] = bench_wall() - due[events[i].data.u32][c->got % WAITING];
                else
                    refused++;
                c->got++;
                waiting--;
            }
        }
    }
    printf("messages %u\naccepted %u\nrefused %u\nunsent %u\nseconds %.6f\nload_cpu_us %.3f\n", count, accepted, refused, unsent,
           bench_wall() - from, (bench_cpu() - cpu) * 1e6 / count);
    bench_must(accepted > 0, "nothing was accepted", NULL);
    printf("p50_us %.1f\n", bench_quantile(took, accepted, .5) * 1e6);
    printf("p95_us %.1f\n", bench_quantile(took, accepted, .95) * 1e6);
    printf("p99_us %.1f\n", bench_quantile(took, accepted, .99) * 1e6);
}

struct storm_told {
    unsigned escalated, refused302, refused304, other;
};
static void tell(struct storm_told *told, bool escalated, bool is_302, bool is_304)
{
    *(escalated ? &told->escalated : is_302 ? &told->refused302 : is_304 ? &told->refused304 : &told->other) += 1;
}

/* How many were answered; the answer is taken out. */
static unsigned tell_answer(struct connection *c, unsigned each, struct storm_told *told)
{
    char *body = strstr(c->answer, "\r\n\r\n"), *next;
    int status;
    if (each == 1) {
        if ((status = next_answer(c)) != 0)
            tell(told, status == 202, status == 429, status == 503);
        return status != 0;
    }
    char *lines = body == NULL ? NULL : strndup(body + 4, c->filled);
    if (next_answer(c) == 0)
        each = 0;
    for (char *at = lines; at != NULL && each > 0 && (next = strchr(at, '\n')) != NULL; at = next + 1) {
        *next = '\0';
        tell(told, strstr(at, "\"ESCALATE\"") != NULL, strstr(at, "IF_ERR_302") != NULL, strstr(at, "IF_ERR_304") != NULL);
    }
    free(lines);
    return each;
}

/* One request is `each` messages: 1, or lines of a body. */
static struct ifab_buf *storm_requests(unsigned connections, unsigned count, unsigned first, unsigned each)
{
    struct ifab_signer *signer = bench_signer(BENCH_KEYS);
    struct ifab_buf *requests = ifab_calloc(count / each, sizeof *requests), message = IFAB_BUF_INIT(65536);
    bench_must(requests != NULL && connections <= CONNECTIONS_MOST && connections > 0 && count % each == 0, "CONNECTIONS", NULL);
    for (unsigned r = 0; r < count / each; r++) {
        struct ifab_buf lines = IFAB_BUF_INIT(1 << 20);
        for (unsigned i = 0; i < each; i++) {
            unsigned n = r * each + i;
            bench_escalation(&message, signer, BENCH_KEYS, r % connections, first + n, first + r / connections * each + i);
            ifab_buf_view(&lines, ifab_buf_as_view(&message));
            ifab_buf_char(&lines, '\n');
        }
        if (each == 1) {
            wrap_request(&requests[r], &message, first + r);
        } else {
            ifab_buf_init(&requests[r], 1 << 20);
            ifab_buf_format(&requests[r], "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: %zu\r\n\r\n", lines.size);
            ifab_buf_view(&requests[r], ifab_buf_as_view(&lines));
        }
        bench_must(ifab_buf_status(&requests[r]) == IFAB_OK, "memory", NULL);
        ifab_buf_fini(&lines);
    }
    return requests;
}

static void storm(const char *socket_path, unsigned connections, unsigned count, unsigned first, double rate, const char *form)
{
    static struct connection all[CONNECTIONS_MOST];
    bool hops = strcmp(form, "each") == 0, kept = form[0] == '\0';
    unsigned each = hops || kept ? 1 : 50, most = kept ? 48 : 1; /* messages a request; requests that wait on a connection */
    struct ifab_buf *requests = storm_requests(connections, count, first, each);
    unsigned next = 0, waiting = 0, came;
    struct storm_told told = {0};
    bench_must(hops || kept || strcmp(form, "lines") == 0, "FORM", NULL);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned c = 0; c < connections; c++)
        connect_anew(epoll, socket_path, all, c);
    printf("prepared\n");
    fflush(stdout);
    (void)getchar();
    double from = bench_wall(), cpu = bench_cpu();
    while (next < count / each || waiting > 0) {
        bool full = false; /* the next one's connection: it is sent later */
        for (double now = bench_wall(); next < count / each && (rate <= 0 || next * each <= (now - from) * rate); next++) {
            struct connection *c = &all[next % connections];
            full = c->sent - c->got == most;
            if (full)
                break;
            c->sent++;
            waiting++;
            write_whole(c->fd, &requests[next]);
        }
        struct epoll_event events[CONNECTIONS_MOST];
        int n = epoll_wait(epoll, events, CONNECTIONS_MOST, next == count / each || full || rate <= 0 ? -1 : 1);
        for (int i = 0; i < n; i++) {
            struct connection *c = &all[events[i].data.u32];
            ssize_t more = read(c->fd, c->answer + c->filled, sizeof c->answer - 1 - c->filled);
            bench_must(more > 0, "the connection was closed", NULL);
            c->filled += (size_t)more;
            c->answer[c->filled] = '\0';
            for (; (came = tell_answer(c, each, &told)) != 0; c->got++, waiting--)
                if (hops)
                    connect_anew(epoll, socket_path, all, events[i].data.u32);
        }
    }
    double wall = bench_wall() - from;
    printf("escalated %u\nrefused302 %u\nrefused304 %u\nother %u\nseconds %.6f\nrate %.0f\nload_cpu_us %.3f\n", told.escalated, told.refused302, told.refused304,
           told.other, wall, count / wall, (bench_cpu() - cpu) * 1e6 / count);
}

enum { LINES = 1000 };

/* The body of an answer that has come so far: how many of its lines are receipts of a SHARE; what is not a whole line stays. */
static unsigned count_shared(char *text, size_t *size)
{
    unsigned shared = 0;
    char *from = text, *end;
    while ((end = memchr(from, '\n', *size - (size_t)(from - text))) != NULL) {
        *end = '\0';
        shared += strstr(from, "\"decision\":\"SHARE\"") != NULL;
        from = end + 1;
    }
    *size -= (size_t)(from - text);
    memmove(text, from, *size);
    return shared;
}

static void send_lines(const char *socket_path, unsigned connections, unsigned count, unsigned first)
{
    static struct connection all[CONNECTIONS_MOST];
    struct ifab_signer *signers[BENCH_KEYS];
    unsigned bodies = count / LINES, next = 0, open = 0, shared = 0;
    struct ifab_buf *requests = ifab_calloc(bodies, sizeof *requests), message = IFAB_BUF_INIT(65536);
    size_t left[CONNECTIONS_MOST] = {0}; /* of the answer's body */
    bench_must(requests != NULL && connections <= BENCH_KEYS && bodies > 0 && count % LINES == 0, "COUNT must be thousands, CONNECTIONS at most 8", NULL);
    for (unsigned k = 0; k < BENCH_KEYS; k++)
        signers[k] = bench_signer(k);
    for (unsigned b = 0; b < bodies; b++) {
        struct ifab_buf lines = IFAB_BUF_INIT(4 << 20);
        for (unsigned i = 0; i < LINES; i++) {
            unsigned c = b % connections, n = first + b * LINES + i;
            bench_message(&message, signers[c], c, 0, n, n);
            ifab_buf_view(&lines, ifab_buf_as_view(&message));
            ifab_buf_char(&lines, '\n');
        }
        ifab_buf_init(&requests[b], 4 << 20);
        ifab_buf_format(&requests[b], "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: %zu\r\n\r\n",
                        lines.size);
        ifab_buf_view(&requests[b], ifab_buf_as_view(&lines));
        bench_must(ifab_buf_status(&requests[b]) == IFAB_OK, "memory", NULL);
        ifab_buf_fini(&lines);
    }
    for (unsigned c = 0; c < connections; c++)
        all[c].fd = dial(socket_path);
    printf("prepared\n");
    fflush(stdout);
    (void)getchar();
    double from = bench_wall(), cpu = bench_cpu();
    for (; next < bodies || open > 0;) { /* bodies go out whole; their answers are read in turn */
        unsigned c;
        for (c = 0; c < connections && next < bodies; c++, next++, open++)
            write_whole(all[c].fd, &requests[next]);
        for (c = 0; c < connections && open > 0; c++, open--) {
            struct connection *k = &all[c];
            for (k->filled = left[c] = 0; left[c] == 0 || k->want > 0;) {
                ssize_t n = read(k->fd, k->answer + k->filled, sizeof k->answer - 1 - k->filled);
                bench_must(n > 0, "the connection was closed", NULL);
                k->filled += (size_t)n;
                k->answer[k->filled] = '\0';
                if (left[c] == 0) {
                    char *end = strstr(k->answer, "\r\n\r\n"), *length = strcasestr(k->answer, "content-length:");
                    bench_must(end != NULL && length != NULL && length < end, "an answer without length", NULL);
                    left[c] = k->want = strtoul(length + 15, NULL, 10);
                    k->filled -= (size_t)(end + 4 - k->answer);
                    memmove(k->answer, end + 4, k->filled);
                    n = (ssize_t)k->filled;
                }
                k->want -= (size_t)n;
                shared += count_shared(k->answer, &k->filled);
            }
        }
    }
    printf("messages %u\nbad %u\nseconds %.6f\nload_cpu_us %.3f\n", count, count - shared, bench_wall() - from, (bench_cpu() - cpu) * 1e6 / count);
}

static void make_messages(unsigned count, unsigned first)
{
    struct ifab_signer *signer = bench_signer(0);
    struct ifab_buf message = IFAB_BUF_INIT(65536);
    for (unsigned n = first; n < first + count; n++) {
        bench_message(&message, signer, 0, 100, n, n);
        (void)fwrite(message.data, 1, message.size, stdout);
        (void)putchar('\n');
    }
}

static void garbage(const char *socket_path, double rate, double seconds)
{
    enum { OPEN = 8 };
    static const char *const bodies[] = {"{\"id\":", "[[[[", "{\"a\":1,\"a\":2}", "{\"v\":\"2.1\",\"id\":\"msg-1\"}", "null"};
    int fds[OPEN];
    char request[512], answer[8192];
    unsigned sent = 0, closed = 0;
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < OPEN; i++)
        fds[i] = dial(socket_path);
    double from = bench_wall(), now;
    while ((now = bench_wall()) - from < seconds) {
        while (sent < (now - from) * rate) {
            int *fd = &fds[sent % OPEN];
            const char *body = bodies[sent % IFAB_COUNT(bodies)];
            int size = snprintf(request, sizeof request,
                                "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                                strlen(body), body);
            sent++;
            if (write(*fd, request, (size_t)size) != size || read(*fd, answer, sizeof answer) <= 0) {
                close(*fd); /* told off: come back */
                *fd = dial(socket_path);
                closed++;
            }
        }
        struct timespec pause = {.tv_nsec = 200000};
        (void)nanosleep(&pause, NULL);
    }
    printf("sent %u\nclosed %u\nrate %.0f\n", sent, closed, sent / (bench_wall() - from));
}

static void echo(unsigned count)
{
    struct ifab_signer *signers[BENCH_KEYS];
    struct ifab_buf request;
    char bytes[8192];
    int pair[2];
    double *took = ifab_calloc(count, sizeof *took);
    for (unsigned k = 0; k < BENCH_KEYS; k++)
        signers[k] = bench_signer(k);
    make_request(&request, signers, 0, 0, 0);
    bench_must(took != NULL && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socket pair", NULL);
    if (fork() == 0) {
        close(pair[0]);
        for (ssize_t n; (n = read(pair[1], bytes, sizeof bytes)) > 0;)
            if (write(pair[1], bytes, ANSWER) != ANSWER)
                break;
        _exit(0);
    }
    for (unsigned i = 0; i < count; i++) {
        double from = bench_wall();
        bench_must(write(pair[0], request.data, request.size) == (ssize_t)request.size && read(pair[0], bytes, sizeof bytes) == ANSWER, "echo", NULL);
        took[i] = bench_wall() - from;
    }
    printf("p50_us %.2f\n", bench_quantile(took, count, .5) * 1e6);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    bench_must(ifab_crypto_init(NULL) == IFAB_OK, "crypto", NULL);
    if (strcmp(what, "enrol") == 0 && argc == 3)
        enrol(argv[2]);
    else if (strcmp(what, "send") == 0 && argc == 6)
        send_all(argv[2], (unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]), (unsigned)atoi(argv[5]));
    else if (strcmp(what, "flood") == 0 && argc == 7)
        flood(argv[2], (unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]), (unsigned)atoi(argv[5]), atof(argv[6]));
    else if (strcmp(what, "storm") == 0 && (argc == 7 || argc == 8))
        storm(argv[2], (unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]), (unsigned)atoi(argv[5]), atof(argv[6]), argc == 8 ? argv[7] : "");
    else if (strcmp(what, "lines") == 0 && argc == 6)
        send_lines(argv[2], (unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]), (unsigned)atoi(argv[5]));
    else if (strcmp(what, "make") == 0 && argc == 4)
        make_messages((unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]));
    else if (strcmp(what, "garbage") == 0 && argc == 5)
        garbage(argv[2], atof(argv[3]), atof(argv[4]));
    else if (strcmp(what, "echo") == 0 && argc == 3)
        echo((unsigned)atoi(argv[2]));
    else
        bench_must(false, "usage: see the head of bench_load.c", NULL);
    return 0;
}

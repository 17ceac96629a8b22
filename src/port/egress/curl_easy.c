/*
 * One attempt as libcurl makes it: every option that could let it do more than it was told is set, and a single one that cannot be set refuses
 * the request. Addresses are judged twice: when a socket is made for one, and before the first byte of a request goes over a connection.
 */
#include "base/mem.h"
#include "curl_internal.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static bool read_sockaddr(const struct sockaddr *from, struct ifab_address *ret, uint16_t *ret_port)
{
    memset(ret, 0, sizeof *ret);
    if (from->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)from;
        memcpy(ret->bytes, &v4->sin_addr, 4);
        *ret_port = ntohs(v4->sin_port);
        return true;
    }
    if (from->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)from;
        memcpy(ret->bytes, &v6->sin6_addr, 16);
        ret->v6 = true;
        *ret_port = ntohs(v6->sin6_port);
        return true;
    }
    return false;
}
/* Only an address of this machine can be bound. Unsure (no socket to try with) is local. */
static bool is_local(const struct ifab_address *a)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct ifab_address inner;
    (void)ifab_address_classify(a, &inner);
    memcpy(&v4.sin_addr, inner.bytes, 4);
    memcpy(&v6.sin6_addr, inner.bytes, 16);
    int fd = socket(inner.v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return true;
    int result =
        inner.v6 ? bind(fd, (const struct sockaddr *)(const void *)&v6, sizeof v6) : bind(fd, (const struct sockaddr *)(const void *)&v4, sizeof v4);
    (void)close(fd);
    return result == 0;
}
static bool permitted(struct transfer *t, const struct ifab_address *a, uint16_t port)
{
    const struct ifab_egress_job *job = t->job;
    bool ask = false;
    for (size_t i = 0; i < job->listener_count; i++)
        ask = ask || job->listeners[i].port == port;
    enum ifab_egress_failure verdict = ifab_egress__judge(job, a, port, ask && is_local(a), &t->class_);
    if (verdict != IFAB_EGRESS_NONE && t->verdict == IFAB_EGRESS_NONE)
        t->verdict = verdict;
    return verdict == IFAB_EGRESS_NONE;
}
/* Before a name is resolved. */
static int on_resolve(void *state, void *reserved, void *user)
{
    struct transfer *t = user;
    const struct egress_curl *owner = t->owner;
    ifab_usec now = ifab_egress__curl_now();
    size_t all = 0, of_tenant = 0;
    (void)state;
    (void)reserved;
    for (size_t i = 0; i < ABANDONED_MAX; i++) {
        const struct abandoned *a = &owner->abandoned[i];
        bool counts = a->at != 0 && now - a->at < ABANDONED_TIME;
        all += counts;
        of_tenant += counts && memcmp(a->tenant32, t->job->tenant32, 32) == 0;
    }
    t->too_many = all == ABANDONED_MAX || of_tenant >= ABANDONED_TENANT;
    t->resolving = !t->too_many;
    return t->too_many;
}
/* The resolver has said nothing by the end: its thread is still there. */
static void note_abandoned(struct transfer *t)
{
    struct egress_curl *owner = t->owner;
    struct abandoned *a = &owner->abandoned[owner->abandoned_next];
    memcpy(a->tenant32, t->job->tenant32, 32);
    a->at = ifab_egress__curl_now();
    owner->abandoned_next = (owner->abandoned_next + 1) % ABANDONED_MAX;
}
static curl_socket_t on_open(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct transfer *t = user;
    struct ifab_address a;
    uint16_t port;
    t->resolving = false;
    if (purpose != CURLSOCKTYPE_IPCXN || t->verdict != IFAB_EGRESS_NONE)
        return CURL_SOCKET_BAD;
    if (!read_sockaddr(&address->addr, &a, &port)) {
        t->verdict = IFAB_EGRESS_FORBIDDEN_ADDRESS;
        return CURL_SOCKET_BAD;
    }
    if (!permitted(t, &a, port))
        return CURL_SOCKET_BAD;
    ifab_address_write(&a, t->address);
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}
/* Behind the connection, made or used again, and before the request. */
static int on_request(void *user, char *to, char *from, int to_port, int from_port)
{
    struct transfer *t = user;
    struct ifab_address a;
    (void)from;
    (void)from_port;
    bool good = t->verdict == IFAB_EGRESS_NONE && to != NULL && to_port > 0 && to_port <= 65535 && ifab_address_parse(ifab_view_str(to), &a) &&
                permitted(t, &a, (uint16_t)to_port);
    /* libcurl asks again by itself when a connection that was used before dies without a byte: once, and only what may be repeated */
    if (good && t->requests > 0)
        good = t->requests == 1 && t->job->repeatable;
    if (!good)
        return CURL_PREREQFUNC_ABORT;
    ifab_address_write(&a, t->address);
    if (t->requests++ > 0 && t->attempt < t->job->retry.attempts)
        t->attempt++;
    t->sent = true;
    return CURL_PREREQFUNC_OK;
}
static size_t on_line(char *bytes, size_t size, size_t count, void *user)
{
    struct transfer *t = user;
    return ifab_egress__reader_line(&t->reader, ifab_view_of(bytes, size * count)) ? size * count : 0;
}
static size_t on_body(char *bytes, size_t size, size_t count, void *user)
{
    struct transfer *t = user;
    if (size * count == 0)
        return 0;
    return ifab_egress__reader_body(&t->reader, ifab_view_of(bytes, size * count)) ? size * count : CURL_WRITEFUNC_ERROR;
}

static bool part_is(CURLU *url, CURLUPart part, unsigned flags, const char *want)
{
    char *have = NULL;
    bool same = curl_url_get(url, part, &have, flags) == CURLUE_OK && strcmp(have, want) == 0;
    curl_free(have);
    return same;
}
/* libcurl's own reading of the text must be ours. A WebSocket connects as http or https; its handshake is written elsewhere. */
static bool set_url(struct transfer *t)
{
    const struct ifab_egress_job *job = t->job;
    struct ifab_buf text = IFAB_BUF_INIT((size_t)4 * IFAB_URL_MAX);
    char host[IFAB_HOST_MAX + 3], port[8];
    const char *scheme = ifab_scheme_is_tls(job->url.origin.scheme) ? "https" : "http";
    bool literal = job->url.is_address && job->url.address.v6;
    (void)snprintf(host, sizeof host, literal ? "[" IFAB_FMT "]" : IFAB_FMT, IFAB_ARG(job->url.origin.host));
    (void)snprintf(port, sizeof port, "%u", job->url.origin.port);
    ifab_buf_format(&text, "%s://%s:%s%s", scheme, host, port, job->socket ? "/" : job->target);
    ifab_buf_char(&text, '\0');
    t->url = curl_url();
    bool good = t->url != NULL && ifab_buf_status(&text) == IFAB_OK &&
                curl_url_set(t->url, CURLUPART_URL, (const char *)(job->socket ? text.data : (const uint8_t *)job->url_text),
                             CURLU_PATH_AS_IS | CURLU_DISALLOW_USER) == CURLUE_OK;
    if (good && job->socket)
        good = part_is(t->url, CURLUPART_PATH, 0, "/");
    good = good && part_is(t->url, CURLUPART_SCHEME, 0, scheme) && part_is(t->url, CURLUPART_HOST, 0, host) &&
           part_is(t->url, CURLUPART_PORT, CURLU_DEFAULT_PORT, port);
    if (text.data != NULL)
        explicit_bzero(text.data, text.size); /* a query credential */
    ifab_buf_fini(&text);
    return good && curl_easy_setopt(t->easy, CURLOPT_CURLU, t->url) == CURLE_OK;
}

static bool add_line(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);
    *list = longer == NULL ? *list : longer;
    return longer != NULL;
}
static bool set_headers(struct transfer *t)
{
    char line[IFAB_EGRESS_HEADER_NAME_MAX + 8192 + 8];
    const struct ifab_egress_job *job = t->job;
    bool good = add_line(&t->headers, "Expect:") && add_line(&t->headers, "Accept-Encoding: identity"), typed = false;
    for (size_t i = 0; i < job->header_count && good; i++) {
        const struct ifab_egress_header *h = &job->headers[i];
        int size =
            snprintf(line, sizeof line, h->value.size == 0 ? IFAB_FMT ";" IFAB_FMT : IFAB_FMT ": " IFAB_FMT, IFAB_ARG(h->name), IFAB_ARG(h->value));
        good = size > 0 && (size_t)size < sizeof line && add_line(&t->headers, line);
        typed = typed || ifab_view_equal_nocase(h->name, IFAB_VIEW("content-type"));
    }
    explicit_bzero(line, sizeof line);
    if (good && !typed)
        good = add_line(&t->headers, "Content-Type:"); /* libcurl would invent one */
    return good && curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers) == CURLE_OK;
}

#define SET(option, value) (curl_easy_setopt(t->easy, (option), (value)) == CURLE_OK)
static bool set_body(struct transfer *t)
{
    const struct ifab_egress_job *job = t->job;
    const char *method = ifab_egress_method_name(job->method);
    if (job->socket)
        return SET(CURLOPT_CONNECT_ONLY, 1L);
    if (job->method == IFAB_EGRESS_METHOD_GET)
        return SET(CURLOPT_HTTPGET, 1L);
    if (job->method == IFAB_EGRESS_METHOD_HEAD)
        return SET(CURLOPT_NOBODY, 1L);
    if (job->method == IFAB_EGRESS_METHOD_OPTIONS || (job->method == IFAB_EGRESS_METHOD_DELETE && job->body.size == 0))
        return SET(CURLOPT_HTTPGET, 1L) && SET(CURLOPT_CUSTOMREQUEST, method);
    return SET(CURLOPT_POST, 1L) && SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)job->body.size) &&
           SET(CURLOPT_POSTFIELDS, job->body.size == 0 ? "" : (const char *)job->body.data) && SET(CURLOPT_CUSTOMREQUEST, method);
}
static bool set_walls(struct transfer *t)
{
    const char *scheme = ifab_scheme_is_tls(t->job->url.origin.scheme) ? "https" : "http";
    return SET(CURLOPT_PROXY, "") && SET(CURLOPT_NOPROXY, "*") && SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) && SET(CURLOPT_FOLLOWLOCATION, 0L) &&
           SET(CURLOPT_MAXREDIRS, 0L) && SET(CURLOPT_UNRESTRICTED_AUTH, 0L) && SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L) &&
           SET(CURLOPT_PROTOCOLS_STR, scheme) && SET(CURLOPT_REDIR_PROTOCOLS_STR, scheme) && SET(CURLOPT_PATH_AS_IS, 1L) &&
           SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) && SET(CURLOPT_HTTP09_ALLOWED, 0L) && SET(CURLOPT_HTTP_CONTENT_DECODING, 0L) &&
           SET(CURLOPT_SSL_VERIFYPEER, 1L) && SET(CURLOPT_SSL_VERIFYHOST, 2L) && SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) &&
           SET(CURLOPT_SSL_ENABLE_ALPN, 0L) && SET(CURLOPT_NOSIGNAL, 1L) && SET(CURLOPT_QUICK_EXIT, 1L) && SET(CURLOPT_DNS_CACHE_TIMEOUT, 0L) &&
           SET(CURLOPT_MAXAGE_CONN, 30L) && SET(CURLOPT_USERAGENT, "InfraFabric") &&
           (t->owner->ca_file == NULL || (SET(CURLOPT_CAINFO, t->owner->ca_file) && SET(CURLOPT_CAPATH, NULL)));
}
static bool set_calls(struct transfer *t)
{
    return SET(CURLOPT_PRIVATE, t) && SET(CURLOPT_RESOLVER_START_FUNCTION, on_resolve) && SET(CURLOPT_RESOLVER_START_DATA, t) &&
           SET(CURLOPT_OPENSOCKETFUNCTION, on_open) && SET(CURLOPT_OPENSOCKETDATA, t) && SET(CURLOPT_PREREQFUNCTION, on_request) &&
           SET(CURLOPT_PREREQDATA, t) && SET(CURLOPT_HEADERFUNCTION, on_line) && SET(CURLOPT_HEADERDATA, t) && SET(CURLOPT_WRITEFUNCTION, on_body) &&
           SET(CURLOPT_WRITEDATA, t) && SET(CURLOPT_VERBOSE, 0L);
}
static bool set_times(struct transfer *t, ifab_usec now)
{
    ifab_usec left = t->deadline - now;
    if (left < 1000)
        left = 1000;
    return SET(CURLOPT_TIMEOUT_MS, (long)(t->job->socket ? 0 : (left + 999) / 1000)) &&
           SET(CURLOPT_CONNECTTIMEOUT_MS, (long)((left < CONNECT_MAX ? left : CONNECT_MAX) / 1000)) &&
           SET(CURLOPT_FRESH_CONNECT, t->job->repeatable && !t->job->socket ? 0L : 1L) &&
           (t->owner->resolve == NULL || SET(CURLOPT_RESOLVE, t->owner->resolve));
}
#undef SET

ifab_status ifab_egress__easy_begin(struct transfer *t, ifab_usec now)
{
    t->attempt++;
    t->requests = 0;
    t->resolving = t->too_many = false;
    t->verdict = IFAB_EGRESS_NONE;
    t->state = TRANSFER_RUNNING;
    ifab_egress__reader_begin(&t->reader, t->job);
    t->reading = true;
    t->easy = curl_easy_init();
    t->pool = t->easy == NULL ? NULL : ifab_egress__pool_get(t->owner, t->job->pool32);
    if (t->pool == NULL)
        return IFAB_NOMEM;
    if (!set_url(t) || !set_walls(t) || !set_calls(t) || !set_times(t, now) || !set_headers(t) || !set_body(t))
        return IFAB_INVALID;
    return curl_multi_add_handle(t->pool->multi, t->easy) == CURLM_OK ? IFAB_OK : IFAB_NOMEM;
}
void ifab_egress__easy_end(struct transfer *t)
{
    if (t->resolving)
        note_abandoned(t);
    t->resolving = false;
    if (t->pool != NULL && t->easy != NULL)
        (void)curl_multi_remove_handle(t->pool->multi, t->easy);
    curl_easy_cleanup(t->easy);
    curl_url_cleanup(t->url);
    curl_slist_free_all(t->headers);
    if (t->pool != NULL)
        ifab_egress__pool_put(t->pool);
    if (t->reading)
        ifab_egress__reader_fini(&t->reader);
    t->reading = false;
    t->easy = NULL;
    t->url = NULL;
    t->headers = NULL;
    t->pool = NULL;
}
/* Never libcurl's own message: it may hold a piece of the URL. */
const char *ifab_egress__easy_detail(const struct transfer *t, CURLcode result)
{
    if (t->too_many)
        return "too many names were given up lately";
    return t->verdict != IFAB_EGRESS_NONE ? ifab_address_class_text(t->class_) : curl_easy_strerror(result);
}

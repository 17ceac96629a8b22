#ifndef EGRESS_CURL_INTERNAL_H
#define EGRESS_CURL_INTERNAL_H
/*
 * The curl back-end: one thread, one epoll, and a multi handle for each pool, because a multi handle is what libcurl shares connections, TLS
 * sessions and resolved names within. So isolation between pools is by construction.
 */
#include <curl/curl.h>

#include "websocket.h"

#define POOLS_MAX   (IFAB_EGRESS_REQUESTS_MAX + 64)
#define POOL_IDLE   (30 * IFAB_SECOND)
#define CONNECT_MAX (10 * IFAB_SECOND)
#define TAG_WAKE    UINT64_MAX
#define TAG_SOCKET  (UINT64_C(1) << 63) /* a WebSocket: | fd. Else pool << 32 | fd */

struct egress_curl;
struct pool {
    bool used;
    uint8_t key32[32];
    struct egress_curl *owner;
    CURLM *multi;
    size_t transfers;
    ifab_usec due;  /* of libcurl's timer; IFAB_NEVER */
    ifab_usec idle; /* since then nobody uses it */
};
enum transfer_state { TRANSFER_RUNNING, TRANSFER_WAITING /* for its next attempt */, TRANSFER_SOCKET };
struct transfer {
    struct egress_curl *owner;
    struct ifab_egress_job *job; /* owned */
    enum transfer_state state;
    struct pool *pool;
    CURL *easy;
    CURLU *url;
    struct curl_slist *headers, *resolve;
    uint32_t attempt;
    ifab_usec deadline, due;
    struct ifab_egress__reader reader;
    bool reading;                     /* reader has begun and is not ended */
    enum ifab_egress_failure verdict; /* of an address; NONE */
    enum ifab_address_class class_;
    bool resolving, too_many; /* a name is being resolved; it was not begun: too many were given up */
    bool sent;                /* a byte of the request may have left, in any attempt */
    unsigned requests;        /* begun in this attempt */
    char address[IFAB_ADDRESS_TEXT_MAX];
    struct ifab_egress__ws *ws;
    int fd; /* of the WebSocket; -1 */
    bool wants_out, opened;
    struct transfer *next;
};
enum order_kind { ORDER_SUBMIT, ORDER_SEND, ORDER_SHUT, ORDER_CANCEL };
struct order {
    enum order_kind kind;
    struct ifab_egress_job *job; /* SUBMIT; owned */
    uint64_t id;
    bool binary;
    uint16_t code;
    struct ifab_buf bytes;
    struct ifab_leak_set *own; /* SEND, of an answer; owned; NULL */
    struct order *next;
};
/* A name whose resolving was given up: libcurl's thread for it goes on until the resolver's own time is over. Bounded, or threads would pile up. */
#define ABANDONED_MAX    128 /* in all, within ABANDONED_TIME */
#define ABANDONED_TENANT 16
#define ABANDONED_TIME   IFAB_MINUTE
struct abandoned {
    uint8_t tenant32[32];
    ifab_usec at; /* 0: none */
};
struct egress_curl {
    struct ifab_egress base;
    char *ca_file;              /* owned; NULL */
    struct curl_slist *resolve; /* owned; NULL */
    int epoll_fd, wake_fd;
    pthread_t thread;
    pthread_mutex_t orders_lock;
    struct order *first, *last;   /* under orders_lock */
    bool stopping;                /* likewise */
    struct pool pools[POOLS_MAX]; /* the thread's, as what follows */
    struct transfer *transfers;
    struct abandoned abandoned[ABANDONED_MAX];
    size_t abandoned_next;
};

ifab_usec ifab_egress__curl_now(void);
/* pool.c. NULL: out of memory. */
struct pool *ifab_egress__pool_get(struct egress_curl *self, const uint8_t key32[32]);
void ifab_egress__pool_put(struct pool *pool);
void ifab_egress__pool_drop(struct pool *pool);
void ifab_egress__pool_reap(struct egress_curl *self, ifab_usec now);
/* easy.c: one attempt. IFAB_NOMEM; IFAB_INVALID: libcurl reads the URL otherwise than we do, or lacks an option. */
ifab_status ifab_egress__easy_begin(struct transfer *t, ifab_usec now);
void ifab_egress__easy_end(struct transfer *t); /* the handle and what belongs to it; the pool is put back */
const char *ifab_egress__easy_detail(const struct transfer *t, CURLcode result);
#endif

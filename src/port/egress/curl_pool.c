/* Pools of connections: a multi handle each, found by the digest that says who may share. */
#include "base/mem.h"
#include "curl_internal.h"

#include <sys/epoll.h>

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *of_socket)
{
    struct pool *pool = user;
    uint64_t place = (uint64_t)(pool - pool->owner->pools);
    struct epoll_event event = {.data.u64 = place << 32 | (uint32_t)fd};
    (void)easy;
    (void)of_socket;
    if (what == CURL_POLL_REMOVE) {
        (void)epoll_ctl(pool->owner->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    event.events = (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0U) | (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0U);
    if (epoll_ctl(pool->owner->epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0)
        return epoll_ctl(pool->owner->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -1;
    return 0;
}
static int on_timer(CURLM *multi, long after_ms, void *user)
{
    struct pool *pool = user;
    (void)multi;
    pool->due = after_ms < 0 ? IFAB_NEVER : ifab_egress__curl_now() + (ifab_usec)after_ms * 1000;
    return 0;
}

static bool begin(struct pool *pool, struct egress_curl *owner, const uint8_t key32[32])
{
    CURLM *multi = curl_multi_init();
    if (multi == NULL)
        return false;
    *pool = (struct pool){.used = true, .owner = owner, .multi = multi, .due = IFAB_NEVER};
    memcpy(pool->key32, key32, 32);
    bool good =
        curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK && curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, pool) == CURLM_OK &&
        curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer) == CURLM_OK && curl_multi_setopt(multi, CURLMOPT_TIMERDATA, pool) == CURLM_OK &&
        curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING) == CURLM_OK && curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, 8L) == CURLM_OK;
    if (!good)
        ifab_egress__pool_drop(pool);
    return good;
}
struct pool *ifab_egress__pool_get(struct egress_curl *self, const uint8_t key32[32])
{
    struct pool *free_one = NULL, *oldest = NULL;
    for (size_t i = 0; i < POOLS_MAX; i++) {
        struct pool *pool = &self->pools[i];
        if (pool->used && memcmp(pool->key32, key32, 32) == 0) {
            pool->transfers++;
            return pool;
        }
        if (!pool->used)
            free_one = free_one == NULL ? pool : free_one;
        else if (pool->transfers == 0 && (oldest == NULL || pool->idle < oldest->idle))
            oldest = pool;
    }
    if (free_one == NULL && oldest != NULL) {
        ifab_egress__pool_drop(oldest);
        free_one = oldest;
    }
    if (free_one == NULL || !begin(free_one, self, key32)) /* more pools than requests: there always is one */
        return NULL;
    free_one->transfers = 1;
    return free_one;
}
void ifab_egress__pool_put(struct pool *pool)
{
    if (--pool->transfers == 0)
        pool->idle = ifab_egress__curl_now();
}
void ifab_egress__pool_drop(struct pool *pool)
{
    (void)curl_multi_cleanup(pool->multi);
    memset(pool, 0, sizeof *pool);
}
void ifab_egress__pool_reap(struct egress_curl *self, ifab_usec now)
{
    for (size_t i = 0; i < POOLS_MAX; i++) {
        struct pool *pool = &self->pools[i];
        if (pool->used && pool->transfers == 0 && now - pool->idle > POOL_IDLE)
            ifab_egress__pool_drop(pool);
    }
}

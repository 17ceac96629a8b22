#ifndef GUEST_INTERNAL_H
#define GUEST_INTERNAL_H
/* What the files of the guest room share. */
#include "guest/guest.h"

#include "base/arena.h"
#include "base/map.h"
#include "base/mem.h"
#include "egress/egress.h"
#include "egress/manifest.h"
#include "pool/pool.h"

#define CALLS_MAX    1024
#define QUESTIONS_MAX 256 /* host calls that wait for an answer from elsewhere; a guest makes one at a time */
#define GUEST_ARENA  ((size_t)8 << 20)

struct running { /* a call from its begin to its done */
    struct ifab_guests *guests;
    struct running *next, *prev;
    enum ifab_guest_task task;
    struct ifab_arena arena;
    struct ifab_manifest manifest; /* a copy: the registry's may go meanwhile */
    struct ifab_view talent, capability /* id@version */, tenant /* of egress */, plan_id;
    uint32_t talent_number;
    bool idempotent;
    uint32_t reached; /* host calls that went outside */
    struct ifab_view alarm; /* what it, or a provider, tried; size 0: nothing */
    uint64_t call;    /* the pool's */
    struct ifab_egress_row *rows;
    size_t row_count;
    ifab_guest_done_fn *done;
    void *user;
};
struct question { /* a host call that is answered later */
    uint64_t host_call; /* the pool's; 0: this place is free */
    struct running *running;
    uint64_t egress;    /* id of the exchange under way; 0: none */
    uint64_t serial;    /* names it to those who look whether a secret may go */
    struct ifab_arena arena; /* of what was asked */
    struct ifab_view method, url, body, secret;
    struct ifab_egress_header *headers;
    size_t header_count;
    const struct ifab_secret_use *use;
    uint32_t version; /* of the secret that went out */
    bool again;       /* it has been asked anew with a newer one */
    ifab_usec until;  /* µs of uv_hrtime()/1000: the call's deadline */
};
struct kv_item;
struct kv_tenant { /* what one capability keeps for one talent; at least one key */
    struct kv_tenant *next, *prev;
    struct kv_item *first;
    size_t keys;
    uint64_t bytes; /* of values */
    uint32_t talent;
    uint8_t manifest32[32];
    char name[64]; /* as running.tenant */
};
struct ifab_guests {
    struct ifab_guest_options options;
    char *texts[4]; /* owned copies of paths */
    struct ifab_chassis *chassis;
    struct ifab_egress *egress;
    uv_async_t wake;
    struct ifab_egress_exception *exceptions;
    struct ifab_egress_listener *listeners;
    uint8_t *exception_texts;
    struct running *first;
    size_t count;
    struct question questions[QUESTIONS_MAX];
    uint64_t serial;
    struct ifab_map kv;         /* tenant ‖ key -> kv_item; memory only */
    struct ifab_map kv_tenants; /* tenant -> kv_tenant */
    struct kv_tenant *kv_first;
    uint64_t kv_total; /* bytes of all values */
    bool closing, woken_closed, pool_closed;
    void (*closed)(void *user);
    void *closed_user;
};

/* host.c */
void ifab_guest__host_call(void *user, const struct ifab_chassis_host_call *host_call);
void ifab_guest__host_gone(void *user, uint64_t host_call);
void ifab_guest__egress_events(struct ifab_guests *self);
/* exchange.c */
void ifab_guest__http(struct ifab_guests *self, struct running *running, const struct ifab_chassis_host_call *host_call);
void ifab_guest__http_error(struct ifab_guests *self, uint64_t host_call, enum ifab_code code, const char *text);
void ifab_guest__send(struct ifab_guests *self, struct question *q);
struct question *ifab_guest__question(struct ifab_guests *self, uint64_t host_call); /* 0: a free place; NULL: none */
void ifab_guest__question_end(struct question *q);
/* kv.c */
enum ifab_host_status ifab_guest__kv_get(struct ifab_guests *self, struct ifab_view tenant, struct ifab_view key, struct ifab_view *ret_value);
enum ifab_host_status ifab_guest__kv_put(struct ifab_guests *self, const struct running *running, struct ifab_view key, struct ifab_view value);
void ifab_guest__kv_drop(struct ifab_guests *self, struct kv_tenant *tenant); /* frees it */
void ifab_guest__kv_free(struct ifab_guests *self);
#endif

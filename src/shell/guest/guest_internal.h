#ifndef GUEST_INTERNAL_H
#define GUEST_INTERNAL_H
/* What the files of the guest room share. */
#include "guest/guest.h"

#include "base/arena.h"
#include "base/map.h"
#include "base/mem.h"
#include "egress/egress.h"
#include "egress/manifest.h"
#include "json/json.h"
#include "pool/pool.h"

#define CALLS_MAX    1024
#define QUESTIONS_MAX 256 /* host calls that wait for an answer from elsewhere; a guest makes one at a time */
#define SPECS_MAX    32  /* manifests kept between calls */
#define GUEST_ARENA  ((size_t)8 << 20)
#define HTTP_REQUEST_MAX ((size_t)256 << 10)
#define HTTP_ANSWER_MAX  ((size_t)1 << 20) /* of a frame */
#define IFAB_GUEST_TEXT_MAX 256 /* bytes of a text that an answer shows */
#define SOCKETS_MAX  4 /* of a call, those that are being closed included */

/*
 *   FREE -> OPENING -> OPEN -> SHUT (by the guest) -> FREE      SHUT waits for the port's last event, and nobody asks for it any more
 *                        \-> CLOSED (by the server), FAILED -> FREE when the guest closes it; what came before is received first
 */
enum socket_state { SOCKET_FREE = 0, SOCKET_OPENING, SOCKET_OPEN, SOCKET_SHUT, SOCKET_CLOSED, SOCKET_FAILED };
struct socket { /* a WebSocket of a call; ends with it */
    enum socket_state state;
    uint32_t number;   /* what the guest calls it: 1, 2, … in its call */
    uint64_t egress;   /* the port's id; 0: none, or its last event has come */
    char origin[288];  /* text; empty: unknown */
    int code;          /* CLOSED */
    struct ifab_egress_problem problem; /* FAILED */
    struct ifab_egress_event *first, *last; /* messages that wait for a receive, oldest first; owned */
    size_t waiting;    /* bytes of them, with their events */
};

struct guest_spec { /* a manifest as it was read; counted references, spec.c */
    unsigned refs;
    uint64_t used; /* for which one makes room */
    struct ifab_arena arena;
    struct ifab_manifest manifest; /* a copy: the registry's may go meanwhile */
    struct ifab_view capability;   /* id@version */
};

struct running { /* a call from its begin to its done */
    struct ifab_guests *guests;
    struct running *next, *prev;
    enum ifab_guest_task task;
    struct ifab_arena arena;
    struct guest_spec *spec; /* a reference of its own */
    struct ifab_egress_row *rows; /* as far as the operation's effect covers them */
    size_t row_count;
    struct ifab_view talent, tenant /* of egress */, plan_id;
    uint32_t talent_number;
    bool idempotent;
    ifab_usec until;  /* µs of uv_hrtime()/1000: when the pool ends what it asks; set with each http */
    uint32_t reached; /* host calls that went outside */
    uint32_t exchanges; /* of them, without those that were made again */
    struct ifab_view alarm; /* what it, or a provider, tried; size 0: nothing */
    enum ifab_call_end refused; /* the fabric's own word on what it asked last; OK: none. What it makes of that is its answer's end */
    char refusal[256];          /* in words */
    bool failed;                /* an exchange failed outside (5xx too), and nothing better came since: to have asked too often then is not what it ends on */
    uint64_t call;    /* the pool's */
    struct socket sockets[SOCKETS_MAX];
    uint32_t socket_count; /* numbers given so far */
    ifab_guest_done_fn *done;
    void *user;
};
enum question_kind { QUESTION_HTTP = 0, QUESTION_OPEN, QUESTION_RECEIVE, QUESTION_ANSWER };
struct question { /* a host call that is answered later */
    uint64_t host_call; /* the pool's; 0: this place is free */
    struct running *running;
    uint64_t egress;    /* id of the exchange under way; 0: none */
    uint64_t serial;    /* names it to those who look whether a secret may go */
    struct ifab_arena arena; /* of what was asked */
    struct ifab_view method, url, body, secret;
    char key[96]; /* Idempotency-Key: that of a plan, and the place in its call */
    struct ifab_egress_header *headers;
    size_t header_count;
    const struct ifab_secret_use *use;
    uint32_t version; /* of the secret that went out */
    bool again;       /* it has been asked anew with a newer one */
    ifab_usec until;  /* RECEIVE: µs of uv_hrtime()/1000 when it has waited long enough */
    enum question_kind kind;
    uint32_t socket;  /* OPEN, RECEIVE, ANSWER: its number */
    struct ifab_view salt, challenge; /* ANSWER; body is its text */
};
struct kv_item;
struct kv_tenant { /* what one capability keeps for one talent; at least one key */
    struct kv_tenant *next, *prev;
    struct kv_item *first;
    size_t keys;
    uint64_t bytes; /* of values */
    uint32_t talent;
    uint8_t manifest32[32];
    char name[96]; /* as running.tenant: number and digest */
};
struct ifab_guests {
    struct ifab_guest_options options;
    char *texts[4]; /* owned copies of paths */
    struct ifab_chassis *chassis;
    struct ifab_egress *egress;
    uv_async_t wake;
    uv_timer_t timer; /* of receives that wait */
    struct ifab_egress_exception *exceptions;
    struct ifab_egress_listener *listeners;
    uint8_t *exception_texts;
    struct running *first;
    size_t count;
    struct question questions[QUESTIONS_MAX];
    uint64_t serial;
    struct guest_spec *specs[SPECS_MAX]; /* NULL: a free place */
    uint64_t spec_uses;
    struct ifab_map kv;         /* tenant ‖ key -> kv_item; memory only */
    struct ifab_map kv_tenants; /* tenant -> kv_tenant */
    struct kv_tenant *kv_first;
    uint64_t kv_total; /* bytes of all values */
    struct ifab_token_table *rates; /* of requests, by talent and capability; made with the first one */
    ifab_guest_live_fn *each_live;
    void *each_live_user;
    ifab_usec live_again; /* µs of uv_hrtime()/1000: a try before that is none */
    bool blind;           /* egress has no complete set: it sends nothing */
    bool closing, pool_closed;
    unsigned handles; /* of the loop that are not closed yet */
    void (*closed)(void *user);
    void *closed_user;
};

/* answer.c: at most so many bytes, cut between characters; what an answer shows of a text: redacted, then cut to 256 bytes */
struct ifab_view ifab_guest__cut(struct ifab_view text, size_t most);
struct ifab_view ifab_guest__text(struct ifab_view text, struct ifab_arena *arena);
/* own.c: which of the fabric's own refusals that is; failure: NONE where egress has no part in it. OK: none of them */
enum ifab_call_end ifab_guest__own(enum ifab_code code, enum ifab_egress_failure failure);
void ifab_guest__note(struct running *r, enum ifab_call_end end, const char *text); /* OK: what it asked failed outside */
void ifab_guest__came(struct running *r);                                           /* an answer from outside, or something went there */
void ifab_guest__own_end(struct running *r, struct ifab_guest_answer *answer);
void ifab_guest__unnamed(struct ifab_view name, const char *meant_for, char ret_text[IFAB_GUEST_TEXT_MAX]); /* words of IFAB_CALL_UNNAMED_SECRET */
/* host.c */
void ifab_guest__host_call(void *user, const struct ifab_chassis_host_call *host_call);
void ifab_guest__host_gone(void *user, uint64_t host_call);
void ifab_guest__egress_events(struct ifab_guests *self);
/* live.c: once more, where the last try failed */
void ifab_guest__live_again(struct ifab_guests *self);
/* exchange.c */
void ifab_guest__http(struct ifab_guests *self, struct running *running, const struct ifab_chassis_host_call *host_call);
void ifab_guest__http_error(struct ifab_guests *self, uint64_t host_call, enum ifab_code code, const char *text);
void ifab_guest__send(struct ifab_guests *self, struct question *q);
void ifab_guest__refuse(struct ifab_guests *self, struct question *q, enum ifab_code code, const char *text); /* answers and ends it */
void ifab_guest__problem(struct ifab_guests *self, struct question *q, const struct ifab_egress_problem *problem); /* likewise, in the port's words */
void ifab_guest__alarm(struct running *r, const struct ifab_egress_problem *problem);
/* The credential of q's secret; views of q and of the storage. */
struct lending {
    struct ifab_guests *self;
    struct ifab_view name;
    char id[96];
};
void ifab_guest__credential(struct ifab_guests *self, struct question *q, struct lending *lending, struct ifab_egress_credential *ret_credential);
void ifab_guest__ask(struct ifab_guests *self, struct question *q, bool challenge); /* may the secret that q names go there? */
/* socket.c */
bool ifab_guest__is_socket(struct ifab_view url);
bool ifab_guest__socket_begin(struct question *q); /* a place for the one that is to be opened; false: too many */
void ifab_guest__socket_submitted(struct question *q);
void ifab_guest__socket_call(struct ifab_guests *self, struct question *q, const struct ifab_json *tree);
void ifab_guest__socket_answer(struct ifab_guests *self, struct question *q); /* its secret may go */
void ifab_guest__socket_event(struct ifab_guests *self, struct ifab_egress_event *event); /* takes it over */
void ifab_guest__socket_drop(struct question *q); /* what q was to open will not be */
void ifab_guest__sockets_end(struct running *r);
void ifab_guest__socket_timer(uv_timer_t *timer);
struct question *ifab_guest__question(struct ifab_guests *self, uint64_t host_call); /* 0: a free place; NULL: none */
void ifab_guest__question_end(struct question *q);
/* spec.c */
struct guest_spec *ifab_guest__spec(struct ifab_guests *self, const struct ifab_manifest *manifest); /* a reference; NULL: no memory */
void ifab_guest__spec_drop(struct guest_spec *spec);                                                  /* accepts NULL */
void ifab_guest__specs_free(struct ifab_guests *self);
/* kv.c */
enum ifab_host_status ifab_guest__kv_get(struct ifab_guests *self, struct ifab_view tenant, struct ifab_view key, struct ifab_view *ret_value);
enum ifab_host_status ifab_guest__kv_put(struct ifab_guests *self, const struct running *running, struct ifab_view key, struct ifab_view value);
void ifab_guest__kv_drop(struct ifab_guests *self, struct kv_tenant *tenant); /* frees it */
void ifab_guest__kv_free(struct ifab_guests *self);
#endif

#ifndef LOOP_NODE_INTERNAL_H
#define LOOP_NODE_INTERNAL_H
/*
 * The shell's own state: DESIGN section 4. One loop thread owns everything here but what is marked otherwise.
 *
 *   request -> ticket (in order of arrival) -> verify (pool, or the loop itself) -> step -> batch -> commit (writer, or the loop itself) -> reply
 */
#include <stdatomic.h>
#include <uv.h>

#include "admit/admit.h"
#include "anchor/anchor.h"
#include "base/map.h"
#include "base/mem.h"
#include "config/config.h"
#include "crypto/crypto.h"
#include "fabric/fabric.h"
#include "http/server.h"
#include "tls/tls.h"
#include "vault/vault.h"
#include "json/json.h"
#include "log/log.h"
#include "loop/node.h"
#include "metrics/metrics.h"
#include "store/index.h"
#include "store/store.h"

#define WAITER_KINDS 6
#define AUDIENCES 33 /* filters of event streams that are told apart, and one for all others */

struct node;
struct request;
struct ticket;

#include "charge.h"
#include "clock.h"
#include "order.h"

/* A route: one row of the table in routes.c. */
enum route_flags {
    ROUTE_OPEN = 1,        /* needs no principal */
    ROUTE_NDJSON = 2,      /* may take application/x-ndjson */
    ROUTE_CHANGES = 4,     /* content type is checked; Idempotency-Key is read */
    ROUTE_OPEN_UNIX = 8,
    ROUTE_SIGNED = 16,     /* open to whoever brings IF-Admin: the signature decides */
};
#define ROLE_BIT(role) (1U << (role))
#define ROLES_LIST (ROLE_BIT(IFAB_ROLE_READONLY) | ROLE_BIT(IFAB_ROLE_AUDITOR) | ROLE_BIT(IFAB_ROLE_OPERATOR) | ROLE_BIT(IFAB_ROLE_ADMIN))
#define ROLES_AUDIT (ROLE_BIT(IFAB_ROLE_AUDITOR) | ROLE_BIT(IFAB_ROLE_OPERATOR) | ROLE_BIT(IFAB_ROLE_ADMIN))
#define ROLES_OPERATE (ROLE_BIT(IFAB_ROLE_OPERATOR) | ROLE_BIT(IFAB_ROLE_ADMIN))
#define ROLES_ACT (ROLES_OPERATE | ROLE_BIT(IFAB_ROLE_AGENT)) /* changes: an agent of what is its own; readonly and auditor change nothing */
#define ROLES_OWN (ROLES_AUDIT | ROLE_BIT(IFAB_ROLE_AGENT))   /* the log: an agent its own entries */
#define ROLES_ALL (ROLES_LIST | ROLE_BIT(IFAB_ROLE_AGENT))
struct route {
    enum ifab_http_method method;
    const char *path;   /* "/v1/talents/{}/grants"; "{*}" at the end takes the rest */
    unsigned roles;     /* bits of those who may */
    unsigned flags;
    size_t body_max;
    void (*handle)(struct node *node, struct request *request); /* NULL: a part that comes later, 509 */
    const char *query;  /* names of query parameters, a space between; NULL: none. Others are 208 */
};
const struct route *route_find(enum ifab_http_method method, struct ifab_view path, struct ifab_view params[3], bool *ret_path_known);
const struct route *route_at(size_t i);
void routes_allowed(struct ifab_view path, struct ifab_buf *methods);

#define PARAM_MAX 3
struct request { /* one HTTP request until it is answered */
    ifab_http_id http;
    const struct route *route;
    struct ifab_principal principal;
    struct ifab_http_peer peer;
    struct ifab_arena arena;         /* copies of what outlives on_request */
    struct ifab_buf body;
    struct ifab_view params[PARAM_MAX], query, path, idempotency, admin, accept, last_event;
    struct ifab_view refs[16];       /* IF-Ref */
    size_t ref_count;
    uint8_t trace16[16];             /* of traceparent; zero: none */
    const char *method;
    ifab_usec arrived;
    size_t *kept, kept_bytes;        /* its part of node->kept_bytes */
    struct charge *charge;           /* of a changing route: held until the request is freed */
    bool has_token, has_key;         /* it came with a token, a client certificate: what waits ends with it */
    uint8_t token16[16], key32[32];
    ifab_usec ends;                  /* wall: when the first of them ends by its time; IFAB_NEVER */
    bool proof, head_only;
    struct ifab_http_request *raw;   /* only while on_request runs */
};

enum verify_kind { VERIFY_NONE, VERIFY_MESSAGE, VERIFY_VOTE, VERIFY_ACT, VERIFY_ENROLL };
enum ticket_state { TICKET_WAITS, TICKET_TAKEN, TICKET_VERIFIED };
struct group;
typedef void ticket_step_fn(struct node *node, struct ticket *ticket); /* for what is no command: reads of one object */

struct ticket {
    struct ticket *next;        /* in its lane, among the verified, then in its batch */
    struct ticket *job_next;    /* in the lane's queue for the verifiers */
    struct request *request;    /* NULL: the daemon's own */
    struct group *group;        /* NDJSON; line tells which */
    size_t line;
    enum verify_kind verify;
    _Atomic int state;          /* enum ticket_state */
    bool alone;                 /* nobody waited when it came: the loop verifies it itself */
    bool overdrawn;             /* too many failed signatures of who is at the other end: not verified, answered and closed */
    bool shared, full;          /* it has a place of its talent; there was none: 304 */
    struct ifab_view bytes;     /* of the message, vote or body */
    struct ifab_keyring *keyring; /* a reference */
    struct ifab_arena arena;
    struct ifab_admitted *admitted;
    struct ifab_command command;
    struct ifab_admin_act act;
    uint8_t mint16[16];
    ifab_usec wall;             /* for the verifiers */
    ifab_usec came;             /* run: its last byte was there */
    enum ifab_code code;        /* of admission */
    struct ifab_refusal refusal;
    ticket_step_fn *step;
    void (*done)(struct node *node, struct ticket *ticket); /* after the commit, for the daemon's own; NULL: reply to request */
    void *user;
    struct ifab_reply reply;    /* body in the batch's arena */
    const char *content_type;   /* of reply.body; NULL: application/json */
};
struct group { /* lines of one NDJSON body */
    struct request *request;
    size_t lines, answered;
    bool overdrawn;             /* by one of its lines: closed after the answer */
    struct ifab_buf answers;
    struct ifab_map refused;    /* sender -> code of a retryable refusal: the rest is not tried */
};

#define TAG_KEY_PACKED 48
#define BATCH_COMMANDS 1024
#define BATCH_BYTES ((size_t)1 << 20)
struct batch {
    struct ifab_arena arena;
    struct ticket *first, *last; /* answered when the batch is durable */
    size_t tickets, bytes;
    struct ifab_stored_entry *entries;
    size_t entry_count, entry_room;
    struct ifab_record *records;
    size_t record_count, record_room;
    struct ifab_u64map by_key;   /* kind << 56 | number -> place in records */
    struct ifab_buf tags;
    ifab_usec tags_until, tags_dropped;
    struct ifab_fabric_head head;
    struct ifab_head stored;
    uint8_t meta[IFAB_META_PACKED], tag_key[TAG_KEY_PACKED];
    const struct ifab_signer *key; /* the log's new one, from this commit on; NULL: as before */
    uint64_t vault_counter;      /* of the vault that this commit makes valid; 0: no change of it */
    bool tasks;                  /* a task or a swarm has changed: who waits for work may find some */
    bool delivers_others;        /* more than the messages of its tickets: something waiting was released, escalated, denied */
    uint64_t erase_index;        /* message bytes to erase after the commit */
    bool erase;
    ifab_status erase_status;    /* apart from the commit's: that one is durable */
    ifab_status status;          /* of the commit; set by who commits */
    struct ifab_error err;
    ifab_usec commit_usec;
};

struct pool { /* verify workers */
    uv_mutex_t lock;
    uv_cond_t wake;
    struct lane_ring turns[2]; /* lanes with something to verify: in turn; late */
    size_t waiting[2], sleeping;
    struct pace pace;
    size_t late_taken;           /* workers that have a late one; while others are about not two, so that a core is free for them */
    _Atomic uint64_t others_ns;  /* when something in turn came last; the loop sets it */
    uv_thread_t *threads;
    size_t thread_count;
    bool stop;
    uv_async_t *done;            /* wakes the loop */
};
struct job { /* for the readers: run on their thread, finish on the loop */
    struct job *next;
    void (*run)(struct node *node, struct ifab_store *store, struct job *job);
    void (*finish)(struct node *node, struct job *job);
    struct request *request;
    struct ifab_arena arena, scratch; /* scratch: reset from item to item */
    struct ifab_buf out;
    int status;                  /* HTTP; 0: code says */
    enum ifab_code code;
    struct ifab_refusal refusal;
    const char *content_type;
    uint64_t a, b, c, d;         /* the job's own numbers */
    uint64_t needs;              /* it is run when the follower has taken in so many entries; 0: at once */
    ifab_usec parked_until;      /* run */
    bool always;                 /* its caller bounds how many there are */
    struct ifab_view text;
    void *user;
};

struct audience { /* event streams with one filter */
    struct waiter *first;
    uint64_t wanted; /* behind it is nothing for them */
};

struct node {
    struct ifab_config config;
    const char *version;
    uv_loop_t loop;
    struct clock clock;
    ifab_usec stored_wall;        /* of META as loaded */
    /* log_key.c; the first four under key_lock */
    struct ifab_signer *log_key, *next_key; /* next: waits to be the log's key, or has just become it */
    uint64_t log_key_from;        /* trees of more entries are log_key's, others were an earlier one's; 0: all are */
    uint64_t next_key_from;       /* trees of more entries are next_key's; UINT64_MAX: none yet */
    uv_mutex_t key_lock;
    bool key_lock_made, key_committed, rename_key, has_tag_key;
    char key_dir[1100];
    uint8_t mac_key32[32], mask32[32], check32[32], tag_key16[16];
    char origin[300];
    char vkey[512];
    struct ifab_fabric_settings settings;
    struct ifab_fabric *fabric;
    struct ifab_store *store;     /* the writer's handle: used by whoever commits, one at a time */
    int lock_fd;
    struct ifab_keyring *keyring;
    uint64_t keyring_version;
    struct ifab_http_server *http;
    uint16_t http_port;
    struct ifab_tls_context *tls; /* of TCP; NULL: plain */
    struct ifab_metrics metrics;
    struct ifab_outcome outcome;
    struct ifab_error fatal;
    ifab_status fatal_status;

    /* tickets */
    struct order order;                          /* not verified, or not yet their turn */
    struct ticket *verified_first, *verified_last; /* in ticket order: the step takes them */
    size_t queue_count;                          /* both */
    size_t kept_bytes;                           /* bodies of changing requests not yet answered */
    struct ticket *spare;
    size_t spare_count;
    struct pool pool;
    uv_async_t verified;
    struct batch *current, *committing, *idle_batch;
    bool commit_running;
    uv_check_t after_io;          /* runs the pipeline once a turn of the loop */
    uv_idle_t spin;               /* keeps the loop turning while something unverified waits */
    bool spinning;

    /* writer */
    uv_thread_t writer;
    uv_mutex_t writer_lock;
    uv_cond_t writer_wake;
    struct batch *to_write, *has_written; /* under writer_lock */
    bool writer_stop;
    uv_async_t written;
    uv_thread_t checkpointer;
    uv_cond_t checkpointer_wake;
    _Atomic uint64_t wal_bytes;       /* as the last commit left it; 0: all of it is moved into the database */
    _Atomic uint64_t wal_moved;       /* up to here moved, since it was begun anew */
    _Atomic uint64_t wal_most;        /* above it the writer waits */
    uint64_t wal_end;                 /* of the last commit: who commits */
    bool writer_waits;                /* under writer_lock */
    _Atomic uint64_t wal_waited_usec; /* what the writer waited for the checkpointer */

    /* readers and follower */
    uv_mutex_t reader_lock;
    uv_cond_t reader_wake;
    struct job *jobs_first, *jobs_last, *jobs_done;
    uv_thread_t readers[2];
    bool readers_stop;
    struct job *jobs_ended_first, *jobs_ended_last; /* done, and to be told: the loop's */
    uv_async_t read_done;
    size_t jobs_waiting;
    struct job *parked_first, *parked_last; /* for the follower to come so far; the loop's */
    _Atomic size_t parked_count;
    struct follower *follower;

    /* committed: what may be shown */
    uint64_t committed_size;
    uint8_t committed_root32[32];

    /* waiters */
    struct waiter *waiters[WAITER_KINDS];
    size_t waiter_count, waiters_running;
    struct waiter *due_first, *due_last; /* in line for a reader */
    struct ifab_map inboxes;             /* name -> first of those who wait for it */
    struct audience audiences[AUDIENCES];
    ifab_usec streams_next;              /* run: when streams are looked at again, */
    uint64_t streams_version;            /* or as soon as tokens and talents differ from this */
    struct ifab_u64map waiter_of;        /* request -> who waits by it */

    bool closed_full;             /* no room on disk: changes are closed */
    ifab_usec room_checked;       /* run */
    bool room_low;
    bool stopping, http_closed, said_last, tick_queued, threads_running, readers_running;
    struct ifab_principal self;   /* the daemon's own acts */
    uint64_t erasing[64];         /* found at a start */
    size_t erasing_count;
    ifab_usec erase_next;         /* run */
    bool serving;

    /* reload.c */
    const char *config_path;      /* borrowed from the caller of ifab_node_run() */
    struct ifab_ruleset *ruleset; /* in force, or about to be: settings.rules.set */
    bool reloading, reload_again; /* a RULES command is under way; asked for meanwhile */
    bool rules_due;               /* settings.rules could not be entered: again as soon as there is room */
    struct ifab_ruleset *rules_before; /* in force until then; NULL: settings.rules already is */
    bool fetching;                /* a reader has decisions to route */
    struct job *routing_job;      /* their messages, until all are routed */
    ifab_usec route_next;         /* run: not before; after a failure */
    uv_timer_t timer;             /* ticks, deadlines of waiters */
    uv_signal_t sigterm, sigint, sighup;
    struct charges charges;
    struct calls *calls; /* calls.c; NULL: none yet */
    ifab_usec anchor_next;        /* run */
    ifab_usec watchdog, watchdog_next; /* interval (0: nobody watches), run */
    ifab_usec stop_deadline;      /* run; once stopping */
    uint64_t anchored_size;
    struct ifab_anchor *anchors[8];
    size_t anchor_count;
    struct ifab_vault *vault;     /* vault.c */
    uint64_t vault_staged;        /* counter of the newest staged generation */
    bool vault_passphrase;        /* its key comes from one, not from a file */
    uint8_t *seal_secret32;       /* locked; values of secrets come sealed to it */
    uint8_t seal_public32[32];
    uint64_t stepped, duplicates;
};

/* start.c */
ifab_status node_load(struct node *self, struct ifab_error *err);  /* fabric from store: at a start, and after a full disk */
void node_mac(const uint8_t key32[32], const struct ifab_head *head, struct ifab_view meta, uint8_t ret_mac32[32]); /* meta: the record META */
ifab_status node_read_file(const char *path, size_t max, struct ifab_buf *buf, struct ifab_error *err);
ifab_status node_write_file(const char *path, struct ifab_view bytes, unsigned mode, struct ifab_error *err); /* new, 0600, fsynced */
ifab_status node_settings(struct node *self, struct ifab_error *err);
ifab_status node_enter_rules(struct node *self, struct ifab_error *err); /* the rule set in force, where the newest rules entry is another's */
void node_guard_settings(const struct ifab_config *config, struct ifab_guard_rules *rules); /* its numbers, not the set */
void node_log_level(const struct ifab_config *config);
ifab_status node_lock(struct node *self, struct ifab_error *err);
ifab_status node_check_anchors(struct node *self, struct ifab_error *err);
ifab_status node_sync_dir(const char *path, struct ifab_error *err);
void node_discard(const char *directory, bool itself); /* files.c: all in it, which we made ourselves and which came to nothing */

/* log_key.c */
ifab_status node_keys(struct node *self, const char *keys_dir, struct ifab_error *err);
void log_key_fini(struct node *self);
bool log_key_is_next(struct node *self, const struct ifab_head *head, struct ifab_view meta); /* true: it is now */
ifab_status log_key_load_tag_key(struct node *self, struct ifab_view packed, struct ifab_error *err);
ifab_status log_key_loaded(struct node *self, struct ifab_error *err); /* behind the records */
ifab_status log_key_finish(struct node *self, struct ifab_error *err); /* what a crash left between commit and renaming */
void log_key_of(const struct node *self, uint64_t size, uint8_t ret_public32[32]); /* whose signature a tree of so many entries has; at a start */
/* Threads: any. vkey: of who signed it; may be NULL. IFAB_AGAIN: the tree is an earlier key's. */
ifab_status node_checkpoint(struct node *self, uint64_t size, const uint8_t root32[32], struct ifab_buf *note, struct ifab_buf *vkey, struct ifab_error *err);
void log_key_lend(struct node *node, struct ticket *ticket);
void log_key_stepped(struct node *node, struct batch *batch);
void log_key_committed(struct node *node);
void log_key_undone(struct node *node);
void log_key_turn(struct node *node);

ifab_status node_finish_erasing(struct node *self, struct ifab_error *err); /* what a crash left between entry and deletion */

/* init.c */
struct making { /* a directory in the making: without ifd.yaml nothing starts there, and that comes last */
    const char *directory;
    bool taken, made; /* what is in it is ours; so is it itself */
};
ifab_status node_prepare_directory(struct making *making, const char *http, const char *name, struct ifab_error *err);
ifab_status node_made(struct making *making, ifab_status status, struct ifab_error *err); /* IFAB_OK: finished; else all is taken away */
#define UNFINISHED "ifd.yaml.unfinished"
/* Beside the database in a backup: what decides how strict it was. */
#define BACKUP_RULES "rules.json"
#define BACKUP_SETTINGS "ifd.yaml"
/* restore.c; salvage.c goes on in the same way */
struct restore_old { /* of the lost fabric */
    uint64_t fence_offset, size;
    ifab_usec wall; /* the latest time it is known to have written */
};
ifab_status restore_fence_offset(ifab_usec wall, const struct restore_old *old, uint64_t *ret_offset, struct ifab_error *err);
ifab_status restore_open_new(const struct ifab_restore_options *options, const struct restore_old *old, struct node *node, struct ifab_error *err);
ifab_status restore_take_settings(const struct ifab_restore_options *options, struct ifab_error *err);
ifab_status restore_copy_operator_key(const struct ifab_restore_options *options, struct ifab_error *err);
/* Publishers, allow-list and revocations go on as they were, each in an entry of the new log. */
ifab_status restore_take_registry(const struct ifab_registry *registry, struct node *node, struct ifab_error *err);
void restore_close(struct node *node); /* accepts NULL */
ifab_status backup_rules_digest(const char *directory, uint8_t ret_digest32[32], struct ifab_error *err); /* restore.c: as the copy's database names it */
ifab_status node_step_into(struct node *node, struct batch *batch, struct ifab_command *command, struct ifab_error *err);
ifab_status node_commit_batch(struct node *node, struct batch *batch, struct ifab_error *err);
ifab_status node_first_commit(struct node *node, struct ifab_command *command, struct ifab_error *err);
ifab_status node_check_modes(const struct ifab_config *config, struct ifab_error *err);

/* supervise.c */
void supervise_tell(const char *state); /* "READY=1" */
void supervise_reloading(void);
ifab_usec supervise_interval(void);

/* reload.c */
void node_reload(struct node *node);                   /* SIGHUP */
void node_enter_due(struct node *node); /* a rule set that could not be entered when it was read */
void route_open(struct node *node, ifab_usec run);     /* some open decisions under changed rules, if any wait for it */

/* node.c */
void node_clock_jumped(struct node *node);

/* batch.c */
#define KIND_ERASING 8 /* record of the shell: number = index of an entry whose message bytes are to go */
#define KIND_ANCHORED 9 /* record of the shell, number 0: largest size that stands in every anchor store, u64 */
#define KIND_TAG_KEY 13 /* record of the shell, number 0: the key of replay tags, once the log's key is not the one it came from any more */
bool batch_record(struct batch *self, uint8_t kind, uint64_t number, struct ifab_view bytes);
struct batch *batch_new(void);
void batch_clear(struct batch *self);
void batch_free(struct batch *self);
bool batch_add(struct batch *self, const struct ifab_outcome *outcome);
void batch_seal(struct node *node, struct batch *self, struct ifab_now now);
void batch_commit(struct node *node, struct batch *self); /* on the writer's thread or the loop's */

/* pipeline.c */
struct ticket *ticket_new(struct node *node, struct request *request);
void ticket_free(struct node *node, struct ticket *ticket);
void ticket_queue(struct node *node, struct ticket *ticket); /* takes its place in the order; moved */
void pipeline_run(struct node *node);                        /* step what is verified, commit, reply */
bool pipeline_room_for(const struct node *node, const struct ifab_http_peer *peer, size_t tickets); /* false: 304 */
bool pipeline_room_single(const struct node *node, const struct ifab_http_peer *peer); /* a request of its own */
void pipeline_written(struct node *node);                    /* a commit came back */
void pipeline_fatal(struct node *node, ifab_status status, const struct ifab_error *err);
bool pipeline_idle(const struct node *node);
void pipeline_free(struct node *node);
bool pipeline_room(struct node *node, ifab_usec run); /* more than disk.reserve is free; looked at once a second */
void mint(struct ifab_now now, uint8_t ret_uuid16[16]);
void node_refresh_keyring(struct node *node);

/* verify.c */
ifab_status pool_start(struct pool *self, size_t threads, uv_async_t *done, struct ifab_error *err);
void pool_push(struct pool *self, struct lane *lane, struct ticket *ticket);
/* Of a lane that is not late any more: what is to be verified of it is in turn as well, before the step waits for it. */
void pool_in_turn(struct pool *self, struct lane *lane);
/* Up to 16, one of each lane in turn, linked by job_next; or a late one, for workers alone. NULL: none now. */
struct ticket *pool_take(struct pool *self, bool worker, uint64_t now_ns, size_t *ret_count);
void pool_stop(struct pool *self);
void ticket_verify(struct ticket *ticket);
extern size_t ticket_message_max;
extern const uint8_t *ticket_tag_key16;
extern const char *ticket_origin;

/* writer.c */
/*
 * The WAL's made length, and where the writer stops for the checkpointer; the largest usual commit fits between. Fewer than 4,062 frames
 * of 8 KiB, so that SQLite's index of it stays in the one 32 KiB region made at the start: a full disk is then met before the commit frame
 * is written, and the commit rolls back. Met while that index grows, it would leave the outcome unknown.
 */
#define WAL_MADE ((uint64_t)31 << 20)
#define WAL_MOST ((uint64_t)24 << 20)
bool writer_must_wait(const struct node *node);
ifab_status writer_start(struct node *node, struct ifab_error *err);
void writer_wrote(struct node *node);
void writer_give(struct node *node, struct batch *batch);
void writer_stop(struct node *node);

/* readers.c */
ifab_status readers_start(struct node *node, struct ifab_error *err);
ifab_status reader_handle(struct node *node, struct ifab_store **ret_store, struct ifab_error *err);
struct job *job_new(struct request *request);
void job_push(struct node *node, struct job *job); /* moved; answered 304 when too many wait */
void job_free(struct job *job);
void jobs_unpark(struct node *node); /* those for which the follower has come far enough, or too late */
void job_reply(struct node *node, struct job *job); /* the usual finish */
void readers_stop(struct node *node);

/* follow.c: tiles and index after the commit */
ifab_status follower_start(struct node *node, struct ifab_error *err);
void follower_hand(struct node *node, const struct batch *batch); /* who committed it: its entries, so that they need not be read again */
void follower_wake(struct node *node, uint64_t size);
void follower_halt(struct node *node); /* ends its thread and wakes who waits for it */
uint64_t follower_size(struct node *node);
void follower_head(struct node *node, uint64_t *ret_size, uint8_t ret_root32[32]); /* of the entries taken in: the only root that is ever signed */
uint64_t follower_reached(struct node *node); /* follower_wait(that) would return at once */
void follower_ask(struct node *node);         /* somebody waits: no gathering of small commits */
ifab_status follower_wait(struct node *node, uint64_t size); /* not on a reader's thread (job.needs): waits until the tiles reach size, and index.db unless it is stuck */
ifab_node_fn follower_node; /* user = struct follower_source of follow.h */
void follower_distrust(struct node *node); /* tile files are made again from the entries when next read */
ifab_status follower_root(struct node *node, uint64_t size, uint8_t ret_root32[32], struct ifab_error *err);

/* wait.c: long polls and SSE */
void wait_inbox(struct node *node, struct request *request);
void wait_decision(struct node *node, struct request *request);
void wait_events(struct node *node, struct request *request, bool inbox);
void wait_delivered(struct node *node, const struct batch *batch); /* a commit came back: who waits for what is in it */
void wait_committed(struct node *node, bool decided);              /* behind its answers; decided: a decision may have been closed */
void wait_tick(struct node *node, ifab_usec run);
void wait_gone(struct node *node, ifab_http_id id);
/*
 * A claim found nothing, or a create no room: it waits until then. *waiter NULL: for the first time. False: its time is over, or too many wait for room
 * already; the caller answers and ends the waiter, if there is one.
 */
enum wait_for { WAIT_FOR_TASK, WAIT_FOR_ROOM };
bool wait_task_again(struct node *node, struct request *request, enum wait_for what, ifab_usec until, void *claim, struct waiter **waiter);
void wait_task_end(struct node *node, struct waiter *waiter);      /* its request is the caller's */
void wait_tasks(struct node *node);                                /* tasks have changed */
void wait_stop(struct node *node);
void wait_free(struct node *node);

/* serve.c */
void serve_limits(const struct ifab_config *config, struct ifab_http_limits *ret_limits);
ifab_status serve_start(struct node *node, struct ifab_error *err);
ifab_status serve_tls(const struct ifab_config *config, struct ifab_tls_context **ret_context, struct ifab_error *err); /* NULL: not configured */
void serve_use_tls(struct node *node, struct ifab_tls_context *context); /* moved; for connections from now on */
struct request *request_keep(struct node *node, struct ifab_http_request *raw, const struct route *route);
void request_free(struct request *request);
void reply_json(struct node *node, struct request *request, int status, struct ifab_view body); /* answers and frees */
void reply_text(struct node *node, struct request *request, int status, const char *type, struct ifab_view body);
void reply_error(struct node *node, struct request *request, const struct ifab_refusal *refusal);
void reply_code(struct node *node, struct request *request, enum ifab_code code, const char *field, const char *message);
void reply_out_of_memory(struct node *node, struct request *request);
int decision_status(enum ifab_decision decision); /* HTTP status of a receipt */
bool of_sender(struct ifab_view uri, struct ifab_view sender); /* route_message.c */
void reply_ticket(struct node *node, struct ticket *ticket); /* of one that went through the pipeline; frees nothing */
void refusal_json(const struct ifab_refusal *refusal, const uint8_t trace16[16], struct ifab_buf *buf);
bool request_query(const struct request *request, const char *name, struct ifab_buf *value);
bool request_query_u64(struct node *node, struct request *request, const char *name, uint64_t least, uint64_t most, uint64_t fallback,
                       uint64_t *ret_value); /* false: answered with 208 */

/* who.c: who asks: token, client certificate, else uid of the Unix socket, else nobody; and what they may */
struct who {
    struct ifab_principal principal;
    bool has_token, has_key;
    uint8_t token16[16], key32[32]; /* the token's id; SPKI digest of the certificate */
    ifab_usec ends;            /* wall: when the first of them ends by its time; IFAB_NEVER */
    unsigned roles;            /* bits that a route must all have; 0: nobody is known */
};
#define WHO_TEXT 200
/* NONE; 002, 003, 302 or 304 with the words for it. Failed tokens and certificates are counted, and charged to who is at the other end. */
enum ifab_code who_is(struct node *node, const struct ifab_http_request *raw, struct who *ret_who, char ret_text[WHO_TEXT]);
enum ifab_code who_may(const struct who *who, const struct route *route, const struct ifab_http_request *raw, char ret_text[WHO_TEXT]);
bool who_reads_log(const struct ifab_principal *principal); /* all entries: an auditor and above; the daemon's own uid is an operator */
/* false: its token, its key or its talent has ended. *ret_ends: when that is looked at again, at the latest. */
bool who_stays(const struct node *node, const struct request *request, ifab_usec wall, ifab_usec *ret_ends);

/* context.c */
bool context_ref_valid(struct ifab_view ref);                              /* repo:/PATH[@COMMIT], if://… */
bool context_trace(struct ifab_view traceparent, uint8_t ret_trace16[16]); /* W3C Trace Context */
struct ifab_view context_redacted(struct ifab_arena *arena, struct ifab_view text); /* as it may stand in the log */
bool context_take(struct request *request, const char **ret_field, const char **ret_why); /* while raw stands, principal set; false: 208 */

/* calls.c */
void calls_turn(struct node *node);
void calls_changed(struct node *node);
void calls_secrets(struct node *node); /* the vault's values have changed */
bool calls_idle(const struct node *node);
void calls_stop(struct node *node);
bool calls_stopped(const struct node *node);
void calls_free(struct node *node);

/* route_talent.c: acts in general */
struct ifab_schema;
const struct ifab_json *act_body(struct node *node, struct request *request, const struct ifab_schema *schema);
void queue_act(struct node *node, struct request *request, struct ticket *ticket);
enum ifab_role role_named(const struct node *node, struct ifab_view name); /* built in or configured; IFAB_ROLE_NONE */
void set_idempotency(struct ticket *ticket, struct request *request);

/* route_log.c: an agent did it, or it was done to it; others who may ask see all */
bool entry_own(const struct ifab_principal *principal, const struct ifab_json *tree);
/* route_task_read.c: did this agent make the task, or does a swarm that has, had or may take it name the agent? Also of closed ones, for 30 days.
   entry: of this index; one that is older than the task is about another of that name */
bool task_is_of(const struct node *node, const struct ifab_principal *principal, struct ifab_view id, uint64_t entry);
/* route_swarm.c: does the swarm name this talent? */
bool who_is_member(const struct node *node, const struct ifab_principal *principal, struct ifab_swarm_number swarm);
/* route_task.c: strings of a list, in the request's arena; false: no memory */
bool body_strings(struct request *request, const struct ifab_json *list, const struct ifab_view **ret_strings, size_t *ret_count);
/* answers with a task's payload as the last member of their last object; braces: how many objects end there. NULL: no memory */
struct job *task_payload_job(struct request *request, struct ifab_view body, uint64_t index, uint64_t braces);
/* and for the claims that wait */
bool task_claim_again(struct node *node, struct request *request, void *claim);      /* false: no memory */
bool task_claim_ready(const struct node *node, const void *claim, struct ifab_u64map *given); /* is there one for it that none was told of (given)? */
/* and the creates; last: it is not let wait any more */
bool task_create_again(struct node *node, struct request *request, void *create, bool last); /* false: no memory */
struct ifab_swarm_number task_create_queue(const void *create);
/* route_money.c: the cost of an act as a request says it; the same object wherever one stands */
extern const struct ifab_schema money_cost_schema;
void money_cost(const struct ifab_json *object, struct ifab_cost *ret_cost); /* checked by that schema; NULL: nothing */

/*
 * route_list.c: a page of a list, made at its turn in the order of steps. queue reads limit and cursor, copies the filter, and calls step; there:
 * begin, for each item that is shown next (false: the page is full, and a cursor says that there is more) and its JSON into buf, then last; end.
 */
struct list {
    uint64_t after, limit, shown, last; /* last: number of what was looked at last, the next page begins behind it */
    bool more, failed;
    struct ifab_buf buf;
    const void *filter;
};
void list_queue(struct node *node, struct request *request, ticket_step_fn *step, const void *filter, size_t filter_size);
struct list *list_begin(struct ticket *ticket, struct ifab_buf *ahead); /* ahead: members before the items, `"a":1,`, ended here; NULL: none */
bool list_next(struct list *list);
void list_end(struct ticket *ticket, struct list *list);
void reply_body(struct ticket *ticket, struct ifab_buf *buf); /* of a read: what the ticket answers; ends buf */

/* handlers: route_*.c */
void handle_message(struct node *node, struct request *request);
void handle_message_get(struct node *node, struct request *request);
void handle_vote(struct node *node, struct request *request);
void handle_guard_explain(struct node *node, struct request *request);
void handle_decisions(struct node *node, struct request *request);
void handle_decision(struct node *node, struct request *request);
void handle_inbox(struct node *node, struct request *request);
void handle_events(struct node *node, struct request *request);
void handle_talents(struct node *node, struct request *request);
void handle_talent(struct node *node, struct request *request);
void handle_talent_add(struct node *node, struct request *request);
void handle_talent_grant(struct node *node, struct request *request);
void handle_talent_keys(struct node *node, struct request *request);
void handle_talent_revoke(struct node *node, struct request *request);
void handle_token_create(struct node *node, struct request *request);
void handle_token_revoke(struct node *node, struct request *request);
void handle_tokens(struct node *node, struct request *request);
void handle_invite(struct node *node, struct request *request);
void handle_enroll(struct node *node, struct request *request);
void handle_budgets(struct node *node, struct request *request);
void handle_budget_set(struct node *node, struct request *request);
void handle_budget_remove(struct node *node, struct request *request);
void handle_cost(struct node *node, struct request *request);
void handle_rates(struct node *node, struct request *request);
void handle_rates_set(struct node *node, struct request *request);
void handle_reservations(struct node *node, struct request *request);
void handle_reserve(struct node *node, struct request *request);
void handle_settle(struct node *node, struct request *request);
void handle_release(struct node *node, struct request *request);
void handle_breakers(struct node *node, struct request *request);
void handle_breaker_reset(struct node *node, struct request *request);
void handle_secrets(struct node *node, struct request *request);
void handle_secret_set(struct node *node, struct request *request);
void handle_secret_rotate(struct node *node, struct request *request);
void handle_secret_revoke(struct node *node, struct request *request);
void handle_secret_check(struct node *node, struct request *request);
void handle_vault(struct node *node, struct request *request);
void handle_sequences(struct node *node, struct request *request);
void handle_entries(struct node *node, struct request *request);
void handle_entry(struct node *node, struct request *request);
void handle_entry_message(struct node *node, struct request *request);
void handle_proof(struct node *node, struct request *request);
void handle_consistency(struct node *node, struct request *request);
void handle_checkpoint(struct node *node, struct request *request);
void handle_tile(struct node *node, struct request *request);
void handle_erase(struct node *node, struct request *request);
void handle_anchor_create(struct node *node, struct request *request);
void handle_anchors(struct node *node, struct request *request);
void handle_backup(struct node *node, struct request *request);
void handle_log_key_make(struct node *node, struct request *request);
void handle_log_key_rotate(struct node *node, struct request *request);
void handle_clock_accept(struct node *node, struct request *request);
void handle_task_create(struct node *node, struct request *request);
void handle_task_claim_next(struct node *node, struct request *request);
void handle_task_claim(struct node *node, struct request *request);
void handle_task_act(struct node *node, struct request *request);
void handle_tasks(struct node *node, struct request *request);
void handle_task(struct node *node, struct request *request);
void handle_swarm_register(struct node *node, struct request *request);
void handle_swarms(struct node *node, struct request *request);
void handle_swarm(struct node *node, struct request *request);
void handle_heartbeat(struct node *node, struct request *request);
void handle_waste(struct node *node, struct request *request);
void handle_match(struct node *node, struct request *request);
void handle_publishers(struct node *node, struct request *request);
void handle_publisher_add(struct node *node, struct request *request);
void handle_publisher_revoke(struct node *node, struct request *request);
void handle_capabilities(struct node *node, struct request *request);
void handle_capability(struct node *node, struct request *request);
void handle_capability_allow(struct node *node, struct request *request);
void handle_capability_load(struct node *node, struct request *request);
void handle_capability_plan(struct node *node, struct request *request);
void handle_capability_apply(struct node *node, struct request *request);
void handle_capability_health(struct node *node, struct request *request);
void handle_capability_logs(struct node *node, struct request *request);
void handle_plans(struct node *node, struct request *request);
void handle_plan(struct node *node, struct request *request);
void handle_plan_close(struct node *node, struct request *request);
void handle_revocations(struct node *node, struct request *request);
void handle_revocation(struct node *node, struct request *request);
void handle_fabric(struct node *node, struct request *request);
void handle_slo(struct node *node, struct request *request);
void handle_metrics(struct node *node, struct request *request);
void handle_healthz(struct node *node, struct request *request);
void handle_readyz(struct node *node, struct request *request);
void handle_openapi(struct node *node, struct request *request);
/* Reads the receipt of an entry from the store and answers with it (and checkpoint and proof when asked). Moved. */
void receipt_from_entry(struct node *node, struct request *request, uint64_t index, struct ifab_view expect_digest, bool replayed);
/* Adds checkpoint and proof to a receipt. Moved. */
void receipt_with_proof(struct node *node, struct request *request, struct ifab_view receipt, uint64_t index, int status, bool replayed);
void anchor_now(struct node *node, struct request *request, struct ifab_view why);
#endif

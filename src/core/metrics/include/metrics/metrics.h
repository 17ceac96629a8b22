#ifndef METRICS_METRICS_H
#define METRICS_METRICS_H
/*
 * Counters, gauges and histograms with fixed buckets behind one table, and their Prometheus text form (0.0.4): SURFACE section 8. Pure.
 * A new metric is a row here. Nothing is allocated but by the buffer written to. Threads: one at a time per struct ifab_metrics.
 */
#include "base/buf.h"
#include "base/code.h"
#include "base/time.h"

/* Label values: X(NAME, "text") */
/* index = enum ifab_decision */
#define IFAB_METRIC_DECISION_MAP(X) X(DENY, "DENY") X(ESCALATE, "ESCALATE") X(HOLD, "HOLD") X(SHARE, "SHARE")
#define IFAB_METRIC_QUEUE_MAP(X) X(VERIFY, "verify") X(STEP, "step") X(COMMIT, "commit") X(READ, "read")
#define IFAB_METRIC_STATE_MAP(X) X(HELD, "held") X(ESCALATED, "escalated")
#define IFAB_METRIC_LEVEL_MAP(X) X(OPEN, "open") X(NOTICE, "notice") X(WARN, "warn") X(PAUSE, "pause") X(STOP, "stop")

#define IFAB_METRIC_TASK_MAP(X) X(QUEUED, "queued") X(CLAIMED, "claimed") X(RUNNING, "running") X(BLOCKED, "blocked") X(DEAD, "dead")
#define IFAB_METRIC_SWARM_MAP(X) \
    X(ACTIVE, "ACTIVE") X(IDLE, "IDLE") X(WORKING, "WORKING") X(BLOCKED, "BLOCKED") X(ERROR, "ERROR") X(OFFLINE, "OFFLINE")

/* of sandbox processes; names as in frame/frame.h */
#define IFAB_METRIC_WALL_MAP(X)                                                                                                   \
    X(NO_NEW_PRIVS, "no_new_privs") X(PDEATHSIG, "pdeathsig") X(NOT_DUMPABLE, "not_dumpable") X(LANDLOCK, "landlock") X(RLIMITS, "rlimits") \
    X(NAMESPACES, "namespaces") X(DESCRIPTORS, "descriptors") X(SECCOMP, "seccomp")

#define IFAB_METRIC_E_(name, text) IFAB_METRIC_WALL_##name,
enum ifab_metric_wall { IFAB_METRIC_WALL_MAP(IFAB_METRIC_E_) IFAB_METRIC_WALL_COUNT };
#undef IFAB_METRIC_E_
#define IFAB_METRIC_E_(name, text) IFAB_METRIC_QUEUE_##name,
enum ifab_metric_queue { IFAB_METRIC_QUEUE_MAP(IFAB_METRIC_E_) IFAB_METRIC_QUEUE_COUNT };
#undef IFAB_METRIC_E_
#define IFAB_METRIC_E_(name, text) IFAB_METRIC_STATE_##name,
enum ifab_metric_state { IFAB_METRIC_STATE_MAP(IFAB_METRIC_E_) IFAB_METRIC_STATE_COUNT };
#undef IFAB_METRIC_E_
#define IFAB_METRIC_E_(name, text) IFAB_METRIC_LEVEL_##name,
enum ifab_metric_level { IFAB_METRIC_LEVEL_MAP(IFAB_METRIC_E_) IFAB_METRIC_LEVEL_COUNT };
#undef IFAB_METRIC_E_
#define IFAB_METRIC_E_(name, text) IFAB_METRIC_TASK_##name,
enum ifab_metric_task { IFAB_METRIC_TASK_MAP(IFAB_METRIC_E_) IFAB_METRIC_TASK_COUNT };
#undef IFAB_METRIC_E_
#define IFAB_METRIC_E_(name, text) IFAB_METRIC_SWARM_##name,
enum ifab_metric_swarm { IFAB_METRIC_SWARM_MAP(IFAB_METRIC_E_) IFAB_METRIC_SWARM_COUNT };
#undef IFAB_METRIC_E_
#define IFAB_METRIC_DECISION_COUNT 4
#define IFAB_METRIC_E_(name, number, class_, retry, http, exit_, text, hint) +1
enum { IFAB_METRIC_CODE_COUNT = 0 IFAB_CODE_MAP(IFAB_METRIC_E_) };
#undef IFAB_METRIC_E_
enum { IFAB_METRIC_NONE_COUNT = 1, IFAB_METRIC_VERSION_COUNT = 1, IFAB_METRIC_ENGINE_COUNT = 1 };

/*
 * X(NAME, "name", kind, label, unit, "help")
 * kind: COUNTER GAUGE HISTOGRAM. label: NONE, DECISION, CODE (index: ifab_metrics_code), QUEUE, STATE, LEVEL, TASK, SWARM, WALL, VERSION, ENGINE; a histogram has
 * none.
 * unit: ONE (plain numbers) or USEC (microseconds in, seconds out). Order here is the order of the text.
 */
#define IFAB_METRIC_MAP(X)                                                                                                                \
    X(BUILD_INFO, "ifab_build_info", GAUGE, VERSION, ONE, "Version of this daemon; always 1.")                                            \
    X(MESSAGES, "ifab_messages_total", COUNTER, DECISION, ONE, "Messages decided, by decision at admission.")                             \
    X(REFUSALS, "ifab_refusals_total", COUNTER, CODE, ONE, "Requests refused, by IF_ERR code.")                                           \
    X(VERIFY_FAILURES, "ifab_verify_failures_total", COUNTER, NONE, ONE, "Signatures that did not verify.")                               \
    X(LOG_ENTRIES, "ifab_log_entries", GAUGE, NONE, ONE, "Entries of the witness log.")                                                   \
    X(CONNECTIONS, "ifab_connections", GAUGE, NONE, ONE, "Connections open now.")                                                         \
    X(WAITERS, "ifab_waiters", GAUGE, NONE, ONE, "Requests waiting for an event (wait_ms, event streams).")                               \
    X(WAITER_READS, "ifab_waiter_reads_total", COUNTER, NONE, ONE, "Looks into the log for those who wait.")                              \
    X(QUEUE_DEPTH, "ifab_queue_depth", GAUGE, QUEUE, ONE, "Items waiting in a queue.")                                                    \
    X(OPEN_DECISIONS, "ifab_open_decisions", GAUGE, STATE, ONE, "Decisions waiting for a second source or for votes.")                    \
    X(TASKS, "ifab_tasks", GAUGE, TASK, ONE, "Tasks that are not closed, by state.")                                                      \
    X(SWARMS, "ifab_swarms", GAUGE, SWARM, ONE, "Swarms, by state.")                                                                      \
    X(HELP_ASKED, "ifab_help_asked_total", COUNTER, NONE, ONE, "Help that blocked tasks were given.")                                     \
    X(HELP_COMPLETED, "ifab_help_completed_total", COUNTER, NONE, ONE, "Help that was completed.")                                        \
    X(HELP_COST, "ifab_help_cost_usd_micro_total", COUNTER, NONE, ONE, "Cost of all help, in micro-dollars.")                             \
    X(HELP_WASTED, "ifab_help_wasted_usd_micro_total", COUNTER, NONE, ONE, "Cost of help that did not complete, in micro-dollars.")       \
    X(BUDGETS, "ifab_budgets", GAUGE, LEVEL, ONE, "Budgets, by the highest level reached in the period under way.")                       \
    X(RESERVATIONS, "ifab_reservations", GAUGE, NONE, ONE, "Reservations that are neither settled nor released.")                        \
    X(BREAKERS_OPEN, "ifab_breakers_open", GAUGE, NONE, ONE, "Circuit breakers that are not closed.")                                    \
    X(SANDBOX_INFO, "ifab_sandbox_info", GAUGE, ENGINE, ONE, "Engine of capabilities; 1 once a sandbox process has told it.")             \
    X(SANDBOX_WALL, "ifab_sandbox_wall", GAUGE, WALL, ONE, "Walls around sandbox processes that stand, 1 each.")                         \
    X(SANDBOX_WORKERS, "ifab_sandbox_workers", GAUGE, NONE, ONE, "Sandbox processes.")                                                    \
    X(SANDBOX_REFUSED_WALLS, "ifab_sandbox_refused_walls_total", COUNTER, NONE, ONE, "Sandbox processes refused for a wall that was missing.") \
    X(SANDBOX_WRONG_FRAMES, "ifab_sandbox_wrong_frames_total", COUNTER, NONE, ONE, "Sandbox processes ended for what they sent.")          \
    X(SANDBOX_DEADLINE_KILLS, "ifab_sandbox_deadline_kills_total", COUNTER, NONE, ONE, "Sandbox processes killed at a call's deadline.")  \
    X(SANDBOX_CACHE_BAD, "ifab_sandbox_cache_bad_total", COUNTER, NONE, ONE, "Compiled modules in the cache that were not as they were left.") \
    X(REPLAY_TAGS, "ifab_replay_tags", GAUGE, NONE, ONE, "Messages in the replay memory.")                                                \
    X(WAL_BYTES, "ifab_wal_bytes", GAUGE, NONE, ONE, "Size of the store's write-ahead log.")                                              \
    X(WAL_WAIT, "ifab_wal_wait_seconds_total", COUNTER, NONE, USEC, "Time the writer waited for a checkpoint of the write-ahead log.")      \
    X(DECISION_SECONDS, "ifab_decision_seconds", HISTOGRAM, NONE, USEC, "From a message's last byte to its automatic decision.")          \
    X(HUMAN_DECISION_SECONDS, "ifab_human_decision_seconds", HISTOGRAM, NONE, USEC, "From the opening of a decision to its end by votes.") \
    X(CLAIM_SECONDS, "ifab_claim_seconds", HISTOGRAM, NONE, USEC, "From a claim's last byte to its task; a long poll's from the moment it was woken.") \
    X(COMMIT_SECONDS, "ifab_commit_seconds", HISTOGRAM, NONE, USEC, "Duration of a commit, until it is on stable storage.")               \
    X(COMMIT_BATCH, "ifab_commit_batch", HISTOGRAM, NONE, ONE, "Commands in a commit.")

#define IFAB_METRIC_E_(name, text, kind, label, unit, help) IFAB_METRIC_##name,
enum ifab_metric { IFAB_METRIC_MAP(IFAB_METRIC_E_) IFAB_METRIC_COUNT };
#undef IFAB_METRIC_E_

#define IFAB_METRIC_SERIES_MAX IFAB_METRIC_CODE_COUNT /* of one metric */
#define IFAB_METRIC_BUCKETS_MAX 24
struct ifab_metric_histogram {
    uint64_t buckets[IFAB_METRIC_BUCKETS_MAX + 1]; /* not cumulative; the one behind the last bound is +Inf */
    uint64_t sum;                                  /* stays at UINT64_MAX when it would pass it */
    uint64_t count;
};
/* Caller's storage; zeroed = all zero, no version. A struct copy is a snapshot. */
struct ifab_metrics {
    char version[32], engine[72];
    union {
        uint64_t values[IFAB_METRIC_SERIES_MAX];
        struct ifab_metric_histogram histogram;
    } of[IFAB_METRIC_COUNT];
};

void ifab_metrics_init(struct ifab_metrics *self, const char *version); /* cut to 31 bytes of [A-Za-z0-9.+_~-]; others become '_' */
void ifab_metrics_engine(struct ifab_metrics *self, const char *engine); /* "wasmtime 48.0.8"; cut and cleaned likewise, spaces stay */
/* Place of a code among the labels of ifab_refusals_total; IFAB_METRIC_CODE_COUNT for no code, which add ignores. */
size_t ifab_metrics_code(enum ifab_code code);

/* label: index of the label's value, 0 where there is none. A wrong metric kind or label is ignored: counting must not stop a fabric. */
void ifab_metrics_add(struct ifab_metrics *self, enum ifab_metric metric, size_t label, uint64_t n); /* counter or gauge */
/* gauge, or a counter kept elsewhere */
void ifab_metrics_set(struct ifab_metrics *self, enum ifab_metric metric, size_t label, uint64_t value);
/* histogram; below 0 counts as 0 */
void ifab_metrics_observe(struct ifab_metrics *self, enum ifab_metric metric, size_t label, int64_t value);
uint64_t ifab_metrics_value(const struct ifab_metrics *self, enum ifab_metric metric, size_t label); /* histogram: its count */

/*
 * The smallest value that permille/1000 of the observations do not pass, in the metric's own unit (µs), interpolated linearly inside its
 * bucket as Prometheus' histogram_quantile does; the largest bound when it lies beyond. -1: no observation,
 * no histogram, or permille > 1000.
 */
int64_t ifab_metrics_quantile(const struct ifab_metrics *self, enum ifab_metric metric, unsigned permille);

/* Appends the whole text. Ask ifab_buf_status() afterwards. */
void ifab_metrics_write(const struct ifab_metrics *self, struct ifab_buf *buf);
#endif

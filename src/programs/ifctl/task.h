#ifndef IFCTL_TASK_H
#define IFCTL_TASK_H
/* What the commands about tasks, swarms and the worker share. */
#include "cli.h"

/* task_options.c: options as members of a request. 0, or EXIT_USAGE after saying what is wrong; an option that was not given adds nothing. */
#define TASK_AMOUNT_MAX ((int64_t)9007199254740991) /* 2^53 - 1: a JSON integer that everybody reads alike */
#define TASK_FENCE_NAME "IFAB_FENCE"
#define TASK_ID_NAME "IFAB_TASK"
bool task_usd_micro(struct ifab_view text, int64_t *ret_micro); /* "0.50": at most 6 decimals, no sign, no exponent */
int task_put_list(struct cli *cli, struct cli_body *body, const char *member, const char *option);   /* a,b → ["a","b"] */
int task_put_budget(struct cli *cli, struct cli_body *body);                                         /* usd=0.50,tokens=1000,calls=3 */
int task_put_json(struct cli *cli, struct cli_body *body, const char *member, const char *option);   /* JSON, @FILE, @- */
int task_put_time(struct cli *cli, struct cli_body *body, const char *member, const char *option);   /* a time, 1h, +1h */
int task_put_number(struct cli *cli, struct cli_body *body, const char *member, const char *option, int64_t min, int64_t max);
int task_put_lease(struct cli *cli, struct cli_body *body); /* --lease as lease_ms */
/* --fence; without it IFAB_FENCE, for the task that IFAB_TASK names: inside a worker's command nobody has to say either. */
int task_put_fence(struct cli *cli, struct cli_body *body, const char *id);

/* task_show.c: a task for people. What has ended says little by itself; what the log says of it stands beside that, as far as the caller may read it. */
int task_show_ended(struct cli *cli, const char *target);

/* worker_run.c: one command from start to end; knows nothing of a fabric */
#define WORKER_OUTPUT_MAX ((size_t)65536)
#define WORKER_GRACE (5 * IFAB_SECOND) /* between TERM and KILL */
enum worker_end {
    WORKER_EXITED,      /* by itself: status as of waitpid(2) */
    WORKER_TIMEOUT,     /* ran longer than it may */
    WORKER_OUTPUT,      /* said more than WORKER_OUTPUT_MAX bytes */
    WORKER_LOST,        /* the claim is another's by now */
    WORKER_STOPPED,     /* we were told to end */
    WORKER_NOT_STARTED, /* error: errno */
};
/* The claim's turn. false: it is lost; else *ret_next: when again (µs from now). */
typedef bool worker_tick_fn(void *user, int64_t *ret_next);
struct worker_job {
    const char *path;       /* of the program: no search, no shell */
    char *const *argv, *const *envp;
    struct ifab_view input; /* its stdin */
    int64_t timeout_usec, first_tick;
    int stop_fd, child_fd;  /* signalfd of what ends us, and of SIGCHLD; both blocked */
    worker_tick_fn *tick;
    void *user;
};
struct worker_result {
    enum worker_end end;
    int status, error;
    struct ifab_buf out; /* its stdout; the caller's to end */
};
void worker_run(const struct worker_job *job, struct worker_result *ret);
int64_t worker_clock(void); /* µs; goes on while the machine sleeps */

/* worker_result.c */
/* What stdout becomes: nothing; the JSON it is; else a JSON string without its last line break. false: it is not UTF-8. */
bool worker_result_json(struct ifab_view out, struct ifab_buf *json);
/* How it ended, in words; *ret_kind: what the task is told, NULL when it is complete. */
void worker_words(const struct worker_result *result, int64_t timeout_usec, char *ret_text, size_t size, const char **ret_kind);
/* The program that name means along path, without a shell: false when there is none that may be run. */
bool worker_find(const char *name, const char *path, char *ret_path, size_t size);

/* worker_cost.c: the file into which a command writes what it did cost, as the API takes it */
#define WORKER_COST_NAME "IFAB_TASK_COST"
#define WORKER_COST_MAX  ((size_t)4096) /* bytes of the file */
#define WORKER_COST_JSON ((size_t)2048) /* what that has at most when it is written anew, with its end */
int worker_cost_make(const char *directory, char *ret_path, size_t size); /* 0, or an errno */
void worker_cost_remove(char *path);                                      /* also when it is not there */
/* NULL, and the cost, or "": none was said; else what is wrong. */
const char *worker_cost_json(struct ifab_view text, char ret_json[WORKER_COST_JSON]);
const char *worker_cost_read(const char *path, char ret_json[WORKER_COST_JSON]);
#endif

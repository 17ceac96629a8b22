#ifndef IFCTL_CLI_H
#define IFCTL_CLI_H
/*
 * ifctl: one table of commands (table.c) that parser, help, completions and man pages walk. A command is a row and a function that
 * returns the exit code. stdout is data, stderr is talk.
 */
#include <stdio.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/code.h"
#include "base/mem.h"
#include "base/time.h"
#include "escape.h"
#include "json/json.h"

#include <infrafabric/client.h>
#include <infrafabric/envelope.h>

#define IFCTL_VERSION IFAB_VERSION
#define EXIT_USAGE 2
#define EXIT_SYSTEM 20
#define EXIT_NO_ANSWER 21
#define EXIT_HELD 30
#define EXIT_DENIED 31
#define INPUT_MAX ((size_t)1 << 20) /* of a file or stdin: @/dev/zero ends here */

enum cli_flags {
    CMD_WHY = 1,      /* asks for a why */
    CMD_CHANGES = 2,  /* changes something: dry-run and falsify are not reading */
    CMD_LATER = 4,    /* its part comes later: IF_ERR_509 */
    CMD_FREE = 8,     /* takes --anything VALUE as a parameter */
    CMD_ADMIN = 16,   /* always an admin act */
    CMD_REST = 32,    /* words after -- are not counted */
    CMD_BARE = 64,    /* without a word it only reads, or goes on, and asks for no why */
    CMD_MODES = 128,  /* knows --mode=dry-run and falsify */
};
struct cli;
typedef int cli_run_fn(struct cli *cli);
struct cli_command {
    const char *name;    /* "talent add" */
    const char *group;   /* "start" "agents" "operate" "audit" */
    int min_words, max_words;
    cli_run_fn *run;     /* NULL with CMD_LATER */
    unsigned flags;
    const char *roles;   /* "operator admin": who may; "open"; "": asks no fabric */
    const char *words;   /* "[FILE|-]" */
    const char *options; /* names in cli_options, separated by spaces */
    const char *summary;
};
extern const struct cli_command cli_commands[];
extern const size_t cli_command_count;
struct cli_option {
    const char *name;
    char letter;         /* 0: none */
    const char *value;   /* placeholder; NULL: a switch; "[=X]": optional */
    const char *help;
};
extern const struct cli_option cli_globals[], cli_options[];
extern const size_t cli_global_count, cli_option_count;
const struct cli_option *cli_option_find(const struct cli_option *table, size_t count, struct ifab_view name);
bool cli_command_takes(const struct cli_command *command, struct ifab_view option);
/* The next word of a space-separated list; false at its end. */
bool cli_word_next(const char **list, struct ifab_view *ret_word);

enum cli_format { CLI_TABLE, CLI_JSON, CLI_NDJSON, CLI_YAML, CLI_CSV };
#define CLI_GIVEN_MAX 256
#define CLI_WORDS_MAX 256
struct cli {
    const struct cli_command *command;
    const char *words[CLI_WORDS_MAX];
    size_t word_count;
    struct {
        const char *name, *value; /* value "" for a switch */
        size_t name_size;
    } given[CLI_GIVEN_MAX];
    size_t given_count;
    /* settled by cli_settle() */
    enum cli_format format;
    bool quiet, help, trace_asked;
    bool as_named, as_said;  /* whom it is for is not the default; not the context's word either, but this command's or its environment's */
    bool of_directory;       /* the endpoint was found through directory */
    bool unknown;            /* the last call may have taken effect: no answer, or a failure of the daemon */
    bool passes;             /* the last refusal or failure may pass by itself */
    bool all;                /* this command fetches every page itself */
    bool rows, goes_on;      /* each tree is a row of an endless list; its heading was printed */
    char trace[37];          /* "" or a UUID */
    char directory[1024], endpoint[1100], token_file[1024], ca_file[1024], cert_file[1024], cert_key_file[1024], as[129], origin[300];
    char key[1024];          /* of the environment or ""; --key stands before it */
    char why[1100];
    char token[64], token_id[48]; /* speak.c: of this command alone; "" */
    int retry;
    int64_t timeout_usec;
    int stop_fd; /* ifab_client_set_stop() of each client that is opened; 0: none */
    struct ifab_client *client;
    uint64_t token_print; /* of what client shows; goes with it */
    struct ifab_identity *identity; /* of as, once read */
    struct ifab_error err;
};

/* parse.c: fills cli from argv. 0, or EXIT_USAGE after saying why. */
int cli_parse(struct cli *cli, int argc, char *const *argv);
const char *cli_get(const struct cli *cli, const char *name);                 /* last value given; NULL */
const char *cli_get_nth(const struct cli *cli, const char *name, size_t nth); /* 0 = first; NULL */
bool cli_duration(const char *text, int64_t *ret_usec);                       /* "30s", "250ms", "5min"; a bare number is seconds */
int cli_time_option(struct cli *cli, const char *name, const char *value, char ret_text[25]); /* --name: a time, or how long from now */
/* settle.c: flags, environment, context and defaults become values. */
int cli_settle(struct cli *cli);
int cli_ask_why(struct cli *cli);
void cli_fini(struct cli *cli);

/* help.c, complete.c */
void cli_help(const struct cli *cli, FILE *to);
void cli_help_command(const struct cli_command *command, FILE *to);
void cli_usage_line(const struct cli_command *command, FILE *to);
int cli_complete(const char *shell, FILE *to);

/* talk.c: stderr, and questions on the terminal */
__attribute__((format(printf, 2, 3))) int cli_usage(const struct cli *cli, const char *format, ...);          /* EXIT_USAGE */
__attribute__((format(printf, 3, 4))) int cli_refuse(const struct cli *cli, int code, const char *format,
                                                     ...); /* exit code of that IF_ERR */
/* A failure on this side that no IF_ERR number names: "ifctl: text", and a hint that fits (NULL: none). Returns exit_code. */
__attribute__((format(printf, 4, 5))) int cli_stop(const struct cli *cli, int exit_code, const char *hint, const char *format, ...);
struct ifab_error *cli_clean_err(struct cli *cli);       /* cli->err, empty: for the next call that may fill it */
int cli_fail(const struct cli *cli, ifab_status status); /* says cli->err; exit code */
__attribute__((format(printf, 2, 3))) void cli_say(const struct cli *cli, const char *format, ...); /* nothing when --quiet */
void cli_keep_private(void); /* from now on no core file and no debugger of the same user: a key or a secret is in here */
void cli_keep_unread(void);  /* the same without the limit of core files, which programs that it starts would inherit */
bool cli_terminal(void);                                                    /* stdin and stderr are one */
bool cli_prompt(const char *question, bool secret, char *ret_text, size_t size); /* false: no terminal, or no line */
void cli_show_answer_error(const struct cli *cli, const struct ifab_answer_error *error);

/* terminal.c: whatever signal ends the process writes last_words to stdout and gives stdin its old settings, until … */
struct termios;
void cli_terminal_keep(const struct termios *old, const char *last_words); /* both stay until … */
void cli_terminal_kept(void);

/* output.c: columns are "TITLE:path|TITLE:path"; path may have dots, "#" at the end counts a list */
int cli_print(const struct cli *cli, struct ifab_view json, const char *columns);
void cli_print_tree(const struct cli *cli, const struct ifab_json *tree, const char *columns);
/* value of a dotted path as text; in arena when it must be made */
struct ifab_view cli_path_text(const struct ifab_json *value, const char *path, size_t path_size, struct ifab_arena *arena);
void cli_put_json(FILE *to, const struct ifab_json *value, int indent); /* -1: one line */

/* file.c */
int cli_read_input(struct cli *cli, const char *name, size_t limit, struct ifab_buf *buf); /* "-": stdin; a leading @ is dropped */
int cli_check_private(struct cli *cli, const char *path); /* of a key or a token: 0, or an exit code after saying that others may read it */
int cli_write_file(struct cli *cli, const char *path, struct ifab_view bytes, unsigned mode, bool replace); /* durable, all or nothing */
int cli_may_make(struct cli *cli, const char *path); /* 0, or an exit code after saying why no file can be made there */
int cli_make_directory(struct cli *cli, const char *path, unsigned mode, bool parents);
__attribute__((format(printf, 3, 4))) bool cli_path(char *to, size_t size, const char *format, ...); /* false: cut */
int cli_find_ifd(struct cli *cli, char *ret_path, size_t size);
int cli_run_program(struct cli *cli, const char *path, char *const *argv, struct ifab_view secret, int secret_fd_in_child);

/* "FILE: No such file" and the exit code for what open(2) and its like said about a file of this machine. */
int cli_file_failed(const struct cli *cli, const char *path, int error);

/* session.c: one answer of the daemon; 0 or an exit code after the refusal was shown */
enum cli_act { ACT_NONE, ACT_IF_NEEDED, ACT_ALWAYS };
struct cli_call {
    const char *method, *target;
    struct ifab_view body;
    const char *idempotency_key;
    enum cli_act act;
    const char *first_act; /* of another admin, over the same request: stands before one's own; NULL: none */
    bool show_403;   /* a 403 without "error" is an answer (DENY) */
    bool silent;     /* says nothing when it fails; still an exit code */
    bool last;       /* a token of speak.c that has ended is not asked for anew */
    uint64_t seq;    /* of a message, for the sentence about 104; with sender */
    const char *sender;
    const char *message_id;  /* of what is sent: a decision about another message is no answer; "": nobody can tell it; NULL: no message */
    const uint8_t *digest32; /* and its message_digest; NULL: unknown */
};
int cli_open_client(struct cli *cli, bool silent); /* cli->client, unless it is open */
void cli_traceparent(const char *trace, char *to, size_t size); /* "00-TRACE-SPAN-01", SPAN at random; "" when trace is no UUID */
int cli_sign_act(struct cli *cli, const struct cli_call *call, struct ifab_text *ret_header); /* with cli->identity */
int cli_call(struct cli *cli, const struct cli_call *call, struct ifab_response *ret_response);
int cli_get_json(struct cli *cli, const char *target, struct ifab_arena *arena, const struct ifab_json **ret_tree); /* copies the body */
int cli_get_quietly(struct cli *cli, const char *target, struct ifab_arena *arena, const struct ifab_json **ret_tree); /* says nothing */
int cli_get_print(struct cli *cli, const char *target, const char *columns);
int cli_get_target(struct cli *cli, struct ifab_buf *target, const char *columns); /* the same; ends and frees target */
/* A list with --limit and --cursor, and one filter of the command's options (NULL: none). */
int cli_get_list(struct cli *cli, const char *route, const char *filter, const char *columns);
int cli_no_answer(struct cli *cli, ifab_status status);                          /* why no answer came, with cli->err; exit code */
int cli_need_fabric(const struct cli *cli);                                      /* 0, or an exit code after "no fabric at DIR" */
int cli_refused(struct cli *cli, const struct ifab_response *response);          /* says what a refusal says; exit code */
int cli_origin(struct cli *cli); /* fills cli->origin */
/*
 * speak.c: requests are the talent's that --as names, by a token that its own key asks for and that ends with the process at the latest. Nothing to do
 * when a token or a certificate was given, or nobody was named. 0, or an exit code after saying why.
 */
int cli_speak_begin(struct cli *cli);
/* The same where the socket's own user may do it as well: for whom --as or IFAB_AS names, not for the context's talent. For about so long; a token that
 * ends before the command is asked for anew. */
int cli_speak_as_said(struct cli *cli, int64_t usec);
#define CLI_SPEAK_SHORT IFAB_MINUTE          /* one request: who kills the command leaves its token that long */
#define CLI_SPEAK_LONG  (15 * IFAB_MINUTE)
/* For one whose token has ended: another. Without one it keeps the old, which nobody lets in: nothing is ever asked as somebody else. */
int cli_speak_again(struct cli *cli, bool silent);
void cli_speak_end(struct cli *cli); /* also when begin failed; says nothing */
/* identity.c */
#define CLI_PASSPHRASE_MAX 1024
int cli_identity(struct cli *cli);         /* reads the key of cli->as; asks for its passphrase when it has one */
int cli_identity_quietly(struct cli *cli); /* the same when nobody has to be asked; says nothing */
int cli_new_passphrase(struct cli *cli, const char *key, char *ret_text, size_t size);
/* All that --passphrase-fd N gives, without newlines at its end. 0, or an exit code after naming the descriptor. */
int cli_passphrase_fd(struct cli *cli, char *ret_text, size_t size);
const char *cli_as_name(const struct cli *cli, char ret_name[65]); /* NAME of NAME[/INSTANCE] */
/* Percent-encodes into the target: "/v1/x?name=" + value. */
void cli_put_query(struct ifab_buf *target, const char *name, const char *value); /* value NULL: nothing */
void cli_put_segment(struct ifab_buf *target, const char *value);

/* follow.c: prints each event of a stream behind the id `after`, over restarts of the daemon; comes back when it cannot go on */
int cli_follow(struct cli *cli, const char *target, const char *after, const char *columns);
/* The same for those events that pick takes; CLI_PICK_LAST: printed, and *ret_code is how it ends. */
enum cli_pick { CLI_PICK_SKIP, CLI_PICK_SHOW, CLI_PICK_LAST };
typedef enum cli_pick cli_pick_fn(void *user, const struct ifab_json *event, int *ret_code);
int cli_follow_some(struct cli *cli, const char *target, const char *after, const char *columns, cli_pick_fn *pick, void *user);
/* pages.c: the list at target with --limit and --cursor; all: every page of it */
int cli_get_pages(struct cli *cli, const struct ifab_buf *target, bool all, const char *columns);
/* Is it still the log of cli->origin, and may one ask? 0, or an exit code after saying (silent: without) that not. *ret_there: somebody answers. */
int cli_check_log(struct cli *cli, bool silent, bool *ret_there);

/* body.c: request bodies */
struct cli_body {
    struct ifab_buf buf;
    bool any;
};
void cli_body_begin(struct cli_body *body);
void cli_body_text(struct cli_body *body, const char *name, const char *value); /* NULL: left out */
void cli_body_raw(struct cli_body *body, const char *name, const char *json);
void cli_body_end(struct cli_body *body);
int cli_body_good(struct cli *cli, const struct cli_body *body); /* 0, or an exit code after saying why it cannot be sent */
/* Ends and frees body; prints the answer. */
int cli_post(struct cli *cli, const char *target, struct cli_body *body, enum cli_act act, const char *columns);

/* sequence.c: last seq of a sender, kept with a lock so that one process sends at a time */
struct cli_sequence {
    int fd;
    uint64_t last;
};
int cli_sequence_lock(struct cli *cli, const char *sender, struct cli_sequence *ret);
void cli_sequence_done(struct cli_sequence *self, uint64_t last); /* keeps it and unlocks */

/* cmd_key.c: makes path (0600, must not exist); its public half comes out */
int cli_key_make(struct cli *cli, const char *path, uint8_t ret_pubkey32[32]);
/* cmd_talent.c: "KEY" or "@FILE" of --pubkey as base64url */
int cli_pubkey_option(struct cli *cli, const char *value, char ret_text[44]);
/* cmd_decision.c: polls until decided or the time is up, and prints it (when decided, or also undecided); exit code by the decision */
enum cli_wait_print { CLI_WAIT_SILENT, CLI_WAIT_DECIDED, CLI_WAIT_ALWAYS };
int cli_decision_wait(struct cli *cli, const char *id, int64_t wait_usec, enum cli_wait_print print);
/* Does a message's content name what a second source must name as well? */
void cli_claim_named(const struct ifab_json *content, bool *ret_claim_id, bool *ret_scope);
void cli_say_held(const struct cli *cli, const char *id, bool has_claim_id, bool has_scope); /* what releases it, as commands */
int cli_decision_target(struct cli *cli, const char *id, const char *tail, struct ifab_buf *target); /* inits it; ends in 0 */
/* Reason and rule of the entry that made it wait; left as they are, when the caller may not read the log. */
void cli_why_it_waits(struct cli *cli, int64_t index, struct ifab_view digest, struct ifab_arena *arena, struct ifab_view *ret_reason,
                      struct ifab_view *ret_rule);
void cli_say_waiting(const struct cli *cli, const char *id, const struct ifab_json *tree);       /* still open: what would decide it */
int cli_decision_exit(struct ifab_view decision); /* SHARE 0, HOLD and ESCALATE 30, DENY and anything else 31 */

/* cmd_witness.c: a time, a date (its midnight, UTC), or how long ago: 1h. What was given becomes the time. */
int cli_past_time_option(struct cli *cli, const char *name, char ret_text[25]);
/* cmd_vote.c */
struct cli_shown { /* what of an envelope a voter is shown: all of it that says something */
    const char *label, *path;
    bool always; /* "-" when the message has none */
};
extern const struct cli_shown cli_shown[];
extern const size_t cli_shown_count;
/* The text of a row; false: there is none to show. */
bool cli_shown_text(const struct cli_shown *row, const struct ifab_json *envelope, struct ifab_arena *arena, struct ifab_view *ret_text);
/* The envelope of a decision: read, verified under a key enrolled for its sender, its digest computed here and compared with the one to be
 * voted on. 0, or an exit code after saying why (silent: without). */
int cli_message_check(struct cli *cli, const struct ifab_json *tree, bool silent, struct ifab_arena *arena, uint8_t ret_digest32[32]);
/* Shows words[0], asks, signs and sends. seen_digest: refuse when another message is to be decided under this id; NULL: any. */
int cli_vote(struct cli *cli, const char *verdict, const char *seen_digest);

/* watch_list.c: what waits, as the daemon lists it */
#define WATCH_MAX 10000 /* as the daemon keeps */
struct watch_item {
    char id[41], digest[72], topic[72], sender[80], decision[10], since[25], until[25];
    int64_t index, votes_given, votes_needed; /* index: of the entry that admitted it; what an item is known by */
    size_t topic_count;                       /* how many wait under its topic */
    uint64_t print;                           /* of all that the list says */
};
struct watch_list {
    struct watch_item *items; /* by index */
    size_t count;
};
int watch_list_load(struct cli *cli, struct watch_list *ret_list); /* says nothing; exit code. EXIT_NO_ANSWER: may be tried again */
/* Topic by topic, the one with most messages first; in a topic the oldest first. order: list->count places. */
void watch_list_by_topic(const struct watch_list *list, const struct watch_item **order);
int watch_list_refused(struct cli *cli); /* why the list cannot be had, or is another log's: asks again, aloud */
void watch_list_free(struct watch_list *self);
/* The decision of this item with its message; *ret_same: it is that message (ids are the senders' own: two may use one). Says nothing. */
int watch_get(struct cli *cli, const struct watch_item *item, struct ifab_arena *arena, const struct ifab_json **ret_tree, bool *ret_same);
/* watch_events.c: a process beside this one that writes a byte to fd whenever the log says something about a decision */
struct watch_events {
    int fd, pid;
};
void watch_events_start(struct cli *cli, struct watch_events *ret); /* fd -1: cannot be had */
void watch_events_stop(struct watch_events *self);
void watch_events_drain(struct watch_events *self);
/* watch_screen.c */
int watch_screen(struct cli *cli);

/* cmd_token.c: --ttl as whole seconds; "" when it is not given. least, most: what the daemon takes, as a person writes it */
int cli_ttl_seconds(struct cli *cli, const char *least, const char *most, char ret_text[32]);

/* context.c */
/* Adds a context for this fabric, talent and key, if none has that name. */
int cli_context_keep(struct cli *cli, const char *name, const char *key);
int cli_context_load(struct cli *cli); /* the current one: fills what is still empty */

cli_run_fn cmd_init, cmd_doctor, cmd_version, cmd_explain, cmd_help, cmd_completion, cmd_context_add, cmd_context_use, cmd_context_list,
    cmd_json_check, cmd_json_canon, cmd_key_new, cmd_key_show, cmd_talent_add, cmd_talent_list, cmd_talent_show, cmd_talent_grant,
    cmd_talent_invite, cmd_enroll, cmd_witness_rotate_key, cmd_salvage, cmd_token_create, cmd_token_list, cmd_token_revoke, cmd_talent_revoke, cmd_talent_rotate_key, cmd_talent_add_cert, cmd_talent_remove, cmd_message_new, cmd_message_sign, cmd_message_canon, cmd_message_send,
    cmd_message_inbox, cmd_decision_list, cmd_decision_show, cmd_decision_wait, cmd_decision_approve, cmd_decision_refuse,
    cmd_decision_scope_ok, cmd_decision_watch, cmd_witness_query, cmd_witness_show, cmd_witness_trace, cmd_witness_verify, cmd_witness_checkpoint,
    cmd_witness_vkey, cmd_witness_prove, cmd_witness_export, cmd_witness_tail, cmd_witness_erase, cmd_anchor_create, cmd_anchor_list,
    cmd_anchor_verify, cmd_receipt_save, cmd_backup, cmd_restore, cmd_guard_check, cmd_guard_explain, cmd_config_check, cmd_config_show,
    cmd_config_schema, cmd_clock_accept, cmd_mcp, cmd_task_create, cmd_task_show, cmd_task_list, cmd_task_claim, cmd_task_next, cmd_task_renew,
    cmd_task_progress, cmd_task_complete, cmd_task_fail, cmd_task_cancel, cmd_task_block, cmd_task_unblock, cmd_task_replay, cmd_task_watch,
    cmd_worker_run, cmd_top, cmd_governor_match, cmd_swarm_register, cmd_swarm_list, cmd_swarm_show, cmd_swarm_heartbeat, cmd_governor_waste,
    cmd_budget_set, cmd_budget_list, cmd_budget_remove, cmd_budget_reserve, cmd_budget_settle,
    cmd_budget_release, cmd_budget_reservations, cmd_cost_track, cmd_cost_rates, cmd_cost_report, cmd_cost_estimate, cmd_governor_breakers,
    cmd_governor_reset, cmd_publisher_add, cmd_publisher_list, cmd_publisher_revoke, cmd_capability_new, cmd_capability_sign, cmd_capability_verify,
    cmd_capability_inspect, cmd_capability_allow, cmd_capability_revoke, cmd_capability_list, cmd_capability_show, cmd_capability_check,
    cmd_capability_plan, cmd_capability_apply, cmd_capability_health, cmd_capability_logs, cmd_capability_plans, cmd_capability_close,
    cmd_secret_set, cmd_secret_rotate, cmd_secret_revoke, cmd_secret_list, cmd_secret_age, cmd_secret_check;
#endif

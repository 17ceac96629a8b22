#ifndef IFCTL_MCP_H
#define IFCTL_MCP_H
/*
 * ifctl mcp: the fabric as MCP tools on stdin and stdout. Revisions 2026-07-28 (each request names its version in _meta) and
 * 2025-11-25 (initialize first); docs/formats/mcp.md.
 *
 * Pure, without clock, file, socket or thread: mcp_read.c (a line becomes an action), mcp_tools.c (the table of tools, arguments), mcp_offer.c (capabilities),
 * mcp_reply.c (what is written). mcp_call.c and mcp_capability.c ask the daemon; cmd_mcp.c waits on stdin and starts calls.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/code.h"
#include "base/mem.h"
#include "json/json.h"
#include "json/schema.h"

#include <infrafabric/envelope.h>

#define MCP_MODERN      "2026-07-28"
#define MCP_LEGACY      "2025-11-25"
#define MCP_LINE_MAX    ((size_t)1 << 20)
#define MCP_ARENA_MAX   ((size_t)64 << 20) /* of one line */
#define MCP_ID_MAX      256                /* bytes of a string id or progress token */
#define MCP_WAIT_MAX    300                /* seconds */
#define MCP_CALLS_MAX   16                 /* under way at a time */
#define MCP_LISTS_MAX   2                  /* lists of tools beside them */
#define MCP_LISTENS_MAX 8
#define MCP_PAGE_MAX    ((size_t)256 << 10) /* bytes of items in one result */

/* JSON-RPC 2.0, and one of MCP's own. */
enum mcp_error {
    MCP_PARSE_ERROR = -32700,
    MCP_INVALID_REQUEST = -32600,
    MCP_UNKNOWN_METHOD = -32601,
    MCP_INVALID_PARAMS = -32602,
    MCP_INTERNAL_ERROR = -32603,
    MCP_UNSUPPORTED_VERSION = -32022,
};

enum mcp_kind {
    MCP_IGNORE, /* a notification or an answer that means nothing here */
    MCP_ERROR,
    MCP_INITIALIZE,
    MCP_PING,
    MCP_DISCOVER,
    MCP_LIST,
    MCP_LISTEN,
    MCP_CANCEL,
    MCP_CALL,
};

enum mcp_tool_id { MCP_SEND, MCP_INBOX, MCP_DECISION, MCP_TRACE, MCP_COST, MCP_TASK_NEXT, MCP_TASK_PROGRESS, MCP_TASK_COMPLETE, MCP_TASK_FAIL, MCP_CAPABILITY };
struct mcp_tool {
    const char *name, *title, *description;
    const struct ifab_schema *schema; /* of its arguments */
    const char *const *words;         /* a description for each row of schema */
    const char *annotations, *output; /* JSON */
};
extern const struct mcp_tool mcp_tools[]; /* by enum mcp_tool_id; MCP_CAPABILITY has no row: those are the daemon's to name */
extern const size_t mcp_tool_count;

/* What a tool is called with. Texts end with NUL and lie in the arena of the line. */
struct mcp_arguments {
    struct ifab_draft draft; /* fabric_send; without sender and last_seq */
    const char *id, *after, *cursor, *trace;
    struct ifab_view cost; /* cost_track: members of the request, without braces */
    struct ifab_view task;   /* task_…: members of the request, without braces */
    bool says;               /* task_progress: there is more to tell than that the task is still worked on */
    int64_t fence, lease_ms; /* lease_ms 0: as it was */
    int64_t limit, wait_s;
    bool proof;
};

/* Where the 2025-11-25 handshake is; zeroed: not begun. */
struct mcp_state {
    bool initialized, ready;
    bool offers; /* names that are in no row may be a capability's: CALL with MCP_CAPABILITY */
};

struct mcp_action {
    enum mcp_kind kind;
    bool modern;
    struct ifab_view id;       /* of the request as JSON text; size 0: none. CANCEL: of the one to cancel */
    struct ifab_view progress; /* token as JSON text; size 0: none */
    enum mcp_error error;      /* ERROR */
    char message[400];
    struct ifab_view requested;  /* MCP_UNSUPPORTED_VERSION: what was asked for */
    enum mcp_tool_id tool;       /* CALL */
    struct ifab_refusal refusal; /* CALL: code NONE, or why the arguments are wrong */
    struct mcp_arguments arguments;
    struct ifab_view offer;             /* CALL of MCP_CAPABILITY: its name … */
    const struct ifab_json *offered;    /* … and its arguments, an object */
    char trace[37]; /* of _meta.traceparent; "" */
};

/* One line without its end becomes an action. Cannot fail: what is wrong is an ERROR. The action borrows from line and arena. */
void mcp_read(struct mcp_state *state, struct ifab_view line, struct ifab_arena *arena, struct mcp_action *ret);

/* mcp_tools.c */
const struct mcp_tool *mcp_tool_find(struct ifab_view name, enum mcp_tool_id *ret_id); /* NULL: none */
/* Checks arguments against the table and takes them over; ret_refusal->code says whether they fit. */
void mcp_arguments_read(enum mcp_tool_id tool, const struct ifab_json *arguments, struct ifab_arena *arena, struct mcp_arguments *ret,
                        struct ifab_refusal *ret_refusal);
struct mcp_offer;
void mcp_tools_write(const struct mcp_offer *offers, size_t offer_count, struct ifab_buf *buf); /* the list, a JSON array */

/* mcp_offer.c: capabilities as tools; views borrow from the daemon's answers */
#define MCP_OFFER_NAME_MAX 128
#define MCP_OFFERS_MAX     256
struct mcp_offer {
    char name[MCP_OFFER_NAME_MAX + 1]; /* "vmix_switcher_cut" */
    char digest[72];                   /* of the manifest */
    struct ifab_view capability, operation, version, effect, summary, publisher;
    const struct ifab_json *params; /* the operation's schema; NULL: none */
    bool idempotent, taken;
};
/* The operations of one answer to GET /v1/capabilities/{name}, behind count others; the new count. A name that is too long is left out. */
size_t mcp_offers_add(const struct ifab_json *capability, struct mcp_offer *offers, size_t count, size_t most);
/* Without all whose names are those of another, or of a tool of our own: none of them could be meant. The new count. */
size_t mcp_offers_distinct(struct mcp_offer *offers, size_t count);
void mcp_offers_write(const struct mcp_offer *offers, size_t count, struct ifab_buf *buf); /* each behind a comma; with the tool that goes on */
bool mcp_offer_name_valid(struct ifab_view name);
bool mcp_offer_goes_on(struct ifab_view name);

/* mcp_reply.c: each appends one whole line. version is the program's. */
void mcp_put_error(struct ifab_buf *buf, const struct mcp_action *action);
void mcp_put_initialize(struct ifab_buf *buf, struct ifab_view id, const char *version);
void mcp_put_pong(struct ifab_buf *buf, struct ifab_view id);
void mcp_put_discover(struct ifab_buf *buf, struct ifab_view id, const char *version);
void mcp_put_list(struct ifab_buf *buf, struct ifab_view id, bool modern, const char *version, const struct mcp_offer *offers, size_t offer_count);
void mcp_put_changed(struct ifab_buf *buf); /* notifications/tools/list_changed */
void mcp_put_listening(struct ifab_buf *buf, struct ifab_view id); /* the acknowledgement of a subscription */
void mcp_put_listen_end(struct ifab_buf *buf, struct ifab_view id, const char *version);
void mcp_put_progress(struct ifab_buf *buf, struct ifab_view token, int64_t done, int64_t total, const char *message);
/* text for a model, structured as JSON; both are also in content. */
struct mcp_result {
    struct ifab_buf text, structured;
    bool is_error;
    bool unknown_tool; /* the rest means nothing */
};
void mcp_put_result(struct ifab_buf *buf, const struct mcp_action *action, const struct mcp_result *result, const char *version);
/* Fill a result. */
void mcp_result_refusal(struct mcp_result *result, const struct ifab_refusal *refusal);
void mcp_result_failure(struct mcp_result *result, const char *code, const char *message, const char *hint, bool retryable);
/* The daemon's {"error":…}; false when error is none. */
bool mcp_result_answer_error(struct mcp_result *result, const struct ifab_json *error);
/* Each false when the daemon's answer is not what it should be. receipt: of a message. now: the decision as it stands after waiting, or
 * NULL. after: where an inbox page began, or NULL. */
bool mcp_result_receipt(struct mcp_result *result, const struct ifab_json *receipt, const struct ifab_json *now, bool replayed);
bool mcp_result_decision(struct mcp_result *result, const struct ifab_json *decision);
/* Of a capability: rules say no; asked for with this message; done, or begun and failed (false: no receipt). */
void mcp_result_denied(struct mcp_result *result, const struct ifab_json *answer);
void mcp_result_asked(struct mcp_result *result, const struct ifab_json *plan, const char *message);
bool mcp_result_applied(struct mcp_result *result, const struct ifab_json *receipt);
bool mcp_result_cost(struct mcp_result *result, const struct ifab_json *answer);
/* claim: of the daemon, or NULL when no task was there. answer: of the daemon to what was done to a task. */
bool mcp_result_claim(struct mcp_result *result, const struct ifab_json *claim);
bool mcp_result_task(struct mcp_result *result, const struct ifab_json *answer, int64_t fence);
bool mcp_result_page(struct mcp_result *result, enum mcp_tool_id tool, const struct ifab_json *page, const char *after);
#endif

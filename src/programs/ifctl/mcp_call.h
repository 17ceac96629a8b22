#ifndef IFCTL_MCP_CALL_H
#define IFCTL_MCP_CALL_H
/* One tool call against the daemon, on a thread of its own. */
#include "cli.h"
#include "mcp.h"

/* What a call needs of the loop that started it. Each is called on the call's thread. */
struct mcp_caller {
    void *user;
    bool (*ended)(void *user); /* cancelled, or stdin has ended: waiting is over */
    bool (*turn)(void *user);  /* waits for the turn to send; false: cancelled, nothing may be sent */
    void (*turn_over)(void *user);
    void (*progress)(void *user, int64_t s); /* s seconds of the wait are over */
};

/* cli: the call's own, with its own client; the identity may be shared. result: empty buffers, filled with whatever came of it. */
void mcp_call(struct cli *cli, const struct mcp_action *action, const struct mcp_caller *caller, struct mcp_result *result);
#endif

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
    bool (*listed)(void *user, const struct mcp_offer *offer); /* was this tool shown, with this manifest? */
};

/* One request with its answer in the arena; NULL after filling the result. keeps: an error's answer that has this member is one (NULL: none). */
struct mcp_asking {
    struct cli *cli;
    struct ifab_arena *arena;
    struct mcp_result *result;
    const char *keeps;
};
const struct ifab_json *mcp_ask(struct mcp_asking *asking, struct cli_call *call);
void mcp_unsay(struct mcp_result *result);
bool mcp_speak(struct cli *cli, struct mcp_result *result); /* cli_speak_begin(); false after filling the result */
/* mcp_capability.c: tools that are capabilities' operations. Both speak as the talent, each with a token of its own. */
void mcp_capability_call(const struct cli *cli, const struct mcp_action *action, const struct mcp_caller *caller, struct mcp_result *result);
void mcp_capability_list(const struct cli *cli, struct ifab_arena *arena, struct mcp_offer **ret_offers, size_t *ret_count);
/* cli: the call's own, with its own client; the identity may be shared. result: empty buffers, filled with whatever came of it. */
void mcp_call(struct cli *cli, const struct mcp_action *action, const struct mcp_caller *caller, struct mcp_result *result);
#endif

/*
 * A line of stdin becomes an action. What cannot be understood is refused, never repaired: malformed or doubled names, batches, unknown
 * members, unknown parameters, ids that are neither string nor integer, requests out of turn.
 *
 * A request whose _meta names a protocol version belongs to 2026-07-28 and stands alone. Any other belongs to 2025-11-25 and needs the
 * handshake before it. Both may come on one stream (2026-07-28, versioning).
 */
#include "mcp.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/encode.h"
#include "base/id.h"

#define META_VERSION      "io.modelcontextprotocol/protocolVersion"
#define META_CLIENT       "io.modelcontextprotocol/clientInfo"
#define META_CAPABILITIES "io.modelcontextprotocol/clientCapabilities"

enum { LEGACY = 1, MODERN = 2 };
static const struct method {
    const char *name;
    unsigned eras;
    enum mcp_kind kind;
    const char *parameters; /* with spaces around each */
} methods[] = {
    {"initialize", LEGACY, MCP_INITIALIZE, " _meta protocolVersion capabilities clientInfo "},
    {"ping", LEGACY, MCP_PING, " _meta "},
    {"server/discover", MODERN, MCP_DISCOVER, " _meta "},
    {"subscriptions/listen", MODERN, MCP_LISTEN, " _meta notifications "},
    {"tools/list", LEGACY | MODERN, MCP_LIST, " _meta cursor "},
    {"tools/call", LEGACY | MODERN, MCP_CALL, " _meta name arguments task "},
};

struct reader {
    struct mcp_state *state;
    struct ifab_arena *arena;
    struct mcp_action *ret;
};

static void __attribute__((format(__printf__, 3, 4))) refuse(struct reader *r, enum mcp_error error, const char *format, ...)
{
    va_list args;
    r->ret->kind = MCP_ERROR;
    r->ret->error = error;
    va_start(args, format);
    vsnprintf(r->ret->message, sizeof r->ret->message, format, args);
    va_end(args);
}

/* What is printable of a name from outside, at most 64 bytes of it. */
static const char *shown(struct ifab_view name, char text[68])
{
    size_t at = 0;
    for (size_t i = 0; i < name.size && i < 64; i++)
        text[at++] = name.data[i] >= 0x20 && name.data[i] < 0x7f ? (char)name.data[i] : '?';
    if (name.size > 64)
        text[at++] = '~';
    text[at] = '\0';
    return text;
}

static bool is_object(const struct ifab_json *value) { return value != NULL && value->type == IFAB_JSON_OBJECT; }

/* A string or an integer as JSON text. Equal values have equal texts: 1 and 1.0 are one id. */
static bool token(struct reader *r, const struct ifab_json *value, struct ifab_view *ret)
{
    int64_t number;
    struct ifab_view text;
    bool integer = ifab_json_integer(value, &number);
    if (!integer && (!ifab_json_string(value, &text) || text.size > MCP_ID_MAX))
        return false;
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf buf = IFAB_BUF_INIT(8 * MCP_ID_MAX);
    if (integer)
        ifab_buf_i64(&buf, number);
    else
        ifab_json_put_string(&buf, text);
    return ifab_buf_status(&buf) == IFAB_OK && ifab_arena_copy(r->arena, ifab_buf_as_view(&buf), ret) == IFAB_OK;
}

/* The first member whose name is not in the list of words. */
static const struct ifab_json_member *stranger(const struct ifab_json *object, const char *names)
{
    for (size_t i = 0; i < object->u.object.count; i++) {
        const struct ifab_json_member *m = &object->u.object.members[i];
        bool known = false;
        const char *at = names;
        for (size_t size; !known && at[strspn(at, " ")] != '\0'; at += size) {
            at += strspn(at, " ");
            size = strcspn(at, " ");
            known = ifab_view_equal(m->name, ifab_view_of(at, size));
        }
        if (!known)
            return m;
    }
    return NULL;
}

/* W3C Trace Context: what is malformed is as good as absent. */
static void take_traceparent(struct reader *r, const struct ifab_json *meta)
{
    static const uint8_t zero16[16];
    struct ifab_view text;
    uint8_t trace16[16], span8[8];
    if (!ifab_json_string(ifab_json_get(meta, "traceparent"), &text) || text.size != 55 || !ifab_view_starts(text, IFAB_VIEW("00-")) ||
        text.data[35] != '-' || text.data[52] != '-')
        return;
    if (ifab_hex_decode(ifab_view_of(text.data + 3, 32), trace16, 16) == IFAB_OK &&
        ifab_hex_decode(ifab_view_of(text.data + 36, 16), span8, 8) == IFAB_OK && memcmp(trace16, zero16, 16) != 0)
        ifab_uuid_format(trace16, r->ret->trace);
}

/* Version, capabilities and the rest of _meta. False after refusing. */
static bool take_meta(struct reader *r, const struct ifab_json *parameters)
{
    const struct ifab_json *meta = ifab_json_get(parameters, "_meta");
    if (meta == NULL)
        return true;
    if (!is_object(meta)) {
        refuse(r, MCP_INVALID_PARAMS, "params._meta must be an object");
        return false;
    }
    take_traceparent(r, meta);
    const struct ifab_json *progress = ifab_json_get(meta, "progressToken");
    if (progress != NULL && !token(r, progress, &r->ret->progress)) {
        refuse(r, MCP_INVALID_PARAMS, "params._meta.progressToken must be a string of at most %d bytes or an integer", MCP_ID_MAX);
        return false;
    }
    const struct ifab_json *version = ifab_json_get(meta, META_VERSION), *client = ifab_json_get(meta, META_CLIENT);
    if (version == NULL)
        return true;
    r->ret->modern = true;
    if (!ifab_json_string(version, &r->ret->requested)) {
        refuse(r, MCP_INVALID_PARAMS, META_VERSION " must be a string");
    } else if (!ifab_view_is(r->ret->requested, MCP_MODERN)) {
        refuse(r, MCP_UNSUPPORTED_VERSION, "Unsupported protocol version");
    } else if (!is_object(ifab_json_get(meta, META_CAPABILITIES))) {
        refuse(r, MCP_INVALID_PARAMS, META_CAPABILITIES " is required and must be an object");
    } else if (client != NULL && (!is_object(client) || !ifab_json_string(ifab_json_get(client, "name"), &(struct ifab_view){0}))) {
        refuse(r, MCP_INVALID_PARAMS, META_CLIENT " must be an object with a name");
    } else {
        return true;
    }
    return false;
}

static void take_initialize(struct reader *r, const struct ifab_json *parameters)
{
    const struct ifab_json *client = ifab_json_get(parameters, "clientInfo");
    struct ifab_view text;
    if (r->state->initialized)
        refuse(r, MCP_INVALID_REQUEST, "initialize came before");
    else if (!ifab_json_string(ifab_json_get(parameters, "protocolVersion"), &text))
        refuse(r, MCP_INVALID_PARAMS, "params.protocolVersion must be a string");
    else if (!is_object(ifab_json_get(parameters, "capabilities")))
        refuse(r, MCP_INVALID_PARAMS, "params.capabilities must be an object");
    else if (!is_object(client) || !ifab_json_string(ifab_json_get(client, "name"), &text) ||
             !ifab_json_string(ifab_json_get(client, "version"), &text))
        refuse(r, MCP_INVALID_PARAMS, "params.clientInfo must be an object with name and version");
    else
        r->state->initialized = true; /* another version gets ours: the client decides (2025-11-25, lifecycle) */
}

static void take_call(struct reader *r, const struct ifab_json *parameters)
{
    static const struct ifab_json none = {.type = IFAB_JSON_OBJECT};
    const struct ifab_json *arguments = ifab_json_get(parameters, "arguments");
    struct ifab_view name;
    char text[68];
    if (!ifab_json_string(ifab_json_get(parameters, "name"), &name))
        refuse(r, MCP_INVALID_PARAMS, "params.name must be a string");
    else if (arguments != NULL && !is_object(arguments))
        refuse(r, MCP_INVALID_PARAMS, "params.arguments must be an object");
    else if (mcp_tool_find(name, &r->ret->tool) == NULL && r->state->offers && mcp_offer_name_valid(name)) {
        r->ret->tool = MCP_CAPABILITY;
        r->ret->offer = name;
        r->ret->offered = arguments == NULL ? &none : arguments;
    } else if (mcp_tool_find(name, &r->ret->tool) == NULL)
        refuse(r, MCP_INVALID_PARAMS, "Unknown tool: %s", shown(name, text));
    else
        mcp_arguments_read(r->ret->tool, arguments == NULL ? &none : arguments, r->arena, &r->ret->arguments, &r->ret->refusal);
}

/* Whether this request may come now, in its revision. False after refusing. */
static bool in_turn(struct reader *r, const struct method *m)
{
    if (r->ret->modern) {
        if ((m->eras & MODERN) == 0)
            refuse(r, MCP_UNKNOWN_METHOD, "%s is no method of " MCP_MODERN, m->name);
        return (m->eras & MODERN) != 0;
    }
    if (m->kind == MCP_INITIALIZE || m->kind == MCP_PING)
        return true;
    if (!r->state->initialized)
        refuse(r, MCP_INVALID_PARAMS, "name the version in params._meta (" MCP_MODERN "), or initialize first (" MCP_LEGACY ")");
    else if ((m->eras & LEGACY) == 0)
        refuse(r, MCP_UNKNOWN_METHOD, "%s is no method of " MCP_LEGACY, m->name);
    else if (!r->state->ready)
        refuse(r, MCP_INVALID_REQUEST, "notifications/initialized has not come yet");
    else
        return true;
    return false;
}

static void take_request(struct reader *r, struct ifab_view name, const struct ifab_json *parameters)
{
    static const struct ifab_json none = {.type = IFAB_JSON_OBJECT};
    const struct method *m = NULL;
    const struct ifab_json_member *unknown;
    char text[68];
    for (size_t i = 0; i < IFAB_COUNT(methods) && m == NULL; i++)
        if (ifab_view_is(name, methods[i].name))
            m = &methods[i];
    parameters = parameters == NULL ? &none : parameters;
    if (!is_object(parameters)) {
        refuse(r, MCP_INVALID_PARAMS, "params must be an object");
        return;
    }
    if (!take_meta(r, parameters))
        return;
    if (m == NULL) {
        refuse(r, MCP_UNKNOWN_METHOD, "Method not found: %s", shown(name, text));
        return;
    }
    if (!in_turn(r, m))
        return;
    if ((unknown = stranger(parameters, m->parameters)) != NULL) {
        refuse(r, MCP_INVALID_PARAMS, "%s takes no parameter \"%s\"", m->name, shown(unknown->name, text));
        return;
    }
    r->ret->kind = m->kind;
    if (m->kind == MCP_INITIALIZE)
        take_initialize(r, parameters);
    else if (m->kind == MCP_CALL)
        take_call(r, parameters);
    else if (m->kind == MCP_LIST && ifab_json_get(parameters, "cursor") != NULL)
        refuse(r, MCP_INVALID_PARAMS, "no such cursor: the list has one page");
    else if (m->kind == MCP_LISTEN && !is_object(ifab_json_get(parameters, "notifications")))
        refuse(r, MCP_INVALID_PARAMS, "params.notifications must be an object");
}

/* Never answered, whatever it holds. */
static void take_notification(struct reader *r, struct ifab_view name, const struct ifab_json *parameters)
{
    if (ifab_view_is(name, "notifications/initialized"))
        r->state->ready = r->state->initialized;
    else if (ifab_view_is(name, "notifications/cancelled") && token(r, ifab_json_get(parameters, "requestId"), &r->ret->id))
        r->ret->kind = MCP_CANCEL;
}

static void take_message(struct reader *r, const struct ifab_json *message)
{
    const struct ifab_json *id = ifab_json_get(message, "id"), *parameters = ifab_json_get(message, "params");
    const struct ifab_json_member *unknown;
    struct ifab_view name, version;
    char text[68];
    if (!is_object(message)) {
        refuse(r, MCP_INVALID_REQUEST,
               message->type == IFAB_JSON_ARRAY ? "batches are not taken: one message a line" : "a message is an object");
        return;
    }
    if (id != NULL && !token(r, id, &r->ret->id)) {
        refuse(r, MCP_INVALID_REQUEST, "id must be an integer or a string of at most %d bytes", MCP_ID_MAX);
        return;
    }
    bool named = ifab_json_string(ifab_json_get(message, "method"), &name);
    if (!named && ifab_json_get(message, "method") == NULL &&
        (ifab_json_get(message, "result") != NULL || ifab_json_get(message, "error") != NULL))
        return; /* an answer, and nothing was asked: answering it could go on for ever */
    if (!ifab_json_string(ifab_json_get(message, "jsonrpc"), &version) || !ifab_view_is(version, "2.0"))
        refuse(r, MCP_INVALID_REQUEST, "jsonrpc must be \"2.0\"");
    else if (!named)
        refuse(r, MCP_INVALID_REQUEST, "method must be a string");
    else if ((unknown = stranger(message, " jsonrpc id method params ")) != NULL)
        refuse(r, MCP_INVALID_REQUEST, "unknown member \"%s\"", shown(unknown->name, text));
    else if (id != NULL)
        take_request(r, name, parameters);
    else
        take_notification(r, name, parameters);
}

void mcp_read(struct mcp_state *state, struct ifab_view line, struct ifab_arena *arena, struct mcp_action *ret)
{
    const struct ifab_json_limits limits = {.max_size = MCP_LINE_MAX};
    const struct ifab_json *message;
    struct ifab_error err = {0};
    struct reader r = {state, arena, ret};
    memset(ret, 0, sizeof *ret);
    ifab_status status = ifab_json_read(line, &limits, arena, &message, &err);
    if (status == IFAB_OK)
        take_message(&r, message);
    else if (status == IFAB_TOO_LARGE)
        refuse(&r, MCP_INVALID_REQUEST, "a line has at most %zu bytes", MCP_LINE_MAX);
    else if (status == IFAB_NOMEM)
        refuse(&r, MCP_INTERNAL_ERROR, "out of memory");
    else
        refuse(&r, MCP_PARSE_ERROR, "byte %u: %s", err.offset, err.text);
}

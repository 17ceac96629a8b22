/*
 * OBS Studio by obs-websocket 5 (protocol.md of obs-websocket, RPC version 1): Hello, Identify, Identified, then requests. One WebSocket a call; the
 * password is answered for by the fabric and never seen here. One table of commands; what is not in it does not exist. No event is subscribed to.
 */
#include "infrafabric_guest.h"

#include "../instances.h"

#define WAIT_MS     5000 /* for one message of OBS; the call's deadline may come first */
#define SKIPPED_MAX 64   /* messages that were not asked for, before one that was */
#define FIELDS      3

enum op { HELLO = 0, IDENTIFY = 1, IDENTIFIED = 2, REQUEST = 6, RESPONSE = 7 };
enum kind { PLAIN, ITEM, STATE, BOOK }; /* one request; one for a scene's item; the state in short; a note of this capability's own */
struct field {
    const char *param, *name; /* a parameter, as it stands, and its name in OBS */
};
/* clang-format off */
#define SCENE    {"scene", "sceneName"}
#define SOURCE   {"source", "sourceName"}
#define INPUT    {"source", "inputName"}
#define FILTER   {"filter", "filterName"}
#define MEDIA(w) {"OBS_WEBSOCKET_MEDIA_INPUT_ACTION_" w, "mediaAction"}
static const struct command {
    const char *operation;
    enum kind kind;
    const char *request; /* of OBS; ITEM: what is done with the item */
    const char *says;
    struct field fields[FIELDS];   /* of requestData */
    struct field fixed;            /* a name there, with this text: {text, name} */
    struct field settings[FIELDS]; /* of its inputSettings */
    int already;                   /* the code of OBS that says: it is so already */
} commands[] = {
    {"scene-list", PLAIN, "GetSceneList", "list the scenes", .already = 0},
    {"scene-switch", PLAIN, "SetCurrentProgramScene", "switch to", .fields = {SCENE}},
    {"scene-create", PLAIN, "CreateScene", "create the scene", .fields = {SCENE}},
    {"scene-remove", PLAIN, "RemoveScene", "remove the scene", .fields = {SCENE}},
    {"scene-current", PLAIN, "GetCurrentProgramScene", "which scene is on?", .already = 0},
    {"source-add", PLAIN, "CreateInput", "add the source", .fields = {SCENE, INPUT, {"kind", "inputKind"}}},
    {"source-list", PLAIN, "GetInputList", "list the sources", .fields = {SCENE}},
    {"source-show", ITEM, "SetSceneItemEnabled", "show the source", .fields = {SCENE}},
    {"source-hide", ITEM, "SetSceneItemEnabled", "hide the source", .fields = {SCENE}},
    {"source-remove", ITEM, "RemoveSceneItem", "remove the source", .fields = {SCENE}},
    {"stream-start", PLAIN, "StartStream", "start streaming", .already = 500},
    {"stream-stop", PLAIN, "StopStream", "stop streaming", .already = 501},
    {"stream-status", PLAIN, "GetStreamStatus", "is it streaming?", .already = 0},
    {"record-start", PLAIN, "StartRecord", "start recording", .already = 500},
    {"record-stop", PLAIN, "StopRecord", "stop recording", .already = 501},
    {"record-status", PLAIN, "GetRecordStatus", "is it recording?", .already = 0},
    {"virtualcam-start", PLAIN, "StartVirtualCam", "start the virtual camera", .already = 500},
    {"virtualcam-stop", PLAIN, "StopVirtualCam", "stop the virtual camera", .already = 501},
    {"virtualcam-status", PLAIN, "GetVirtualCamStatus", "is the virtual camera on?", .already = 0},
    {"filter-add", PLAIN, "CreateSourceFilter", "add a filter to", .fields = {SOURCE, FILTER, {"kind", "filterKind"}}},
    {"filter-list", PLAIN, "GetSourceFilterList", "list the filters of", .fields = {SOURCE}},
    {"filter-remove", PLAIN, "RemoveSourceFilter", "remove a filter of", .fields = {SOURCE, FILTER}},
    {"media-add", PLAIN, "CreateInput", "add the media source", .fields = {SCENE, INPUT}, .fixed = {"ffmpeg_source", "inputKind"},
     .settings = {{"file", "local_file"}, {"loop", "looping"}}},
    {"media-play", PLAIN, "TriggerMediaInputAction", "play", .fields = {INPUT}, .fixed = MEDIA("PLAY")},
    {"media-pause", PLAIN, "TriggerMediaInputAction", "pause", .fields = {INPUT}, .fixed = MEDIA("PAUSE")},
    {"media-stop", PLAIN, "TriggerMediaInputAction", "stop", .fields = {INPUT}, .fixed = MEDIA("STOP")},
    {"browser-add", PLAIN, "CreateInput", "add the browser source", .fields = {SCENE, INPUT}, .fixed = {"browser_source", "inputKind"},
     .settings = {{"url", "url"}, {"width", "width"}, {"height", "height"}}},
    {"stats", PLAIN, "GetStats", "how busy is it?", .already = 0},
    {"version", PLAIN, "GetVersion", "which version is it?", .already = 0},
    {"status", STATE, NULL, "the state in short", .already = 0},
    {"test", PLAIN, "GetVersion", "does it answer?", .already = 0},
    {"add", BOOK, NULL, "note an instance", .already = 0},
    {"list", BOOK, NULL, "list the instances", .already = 0},
    {"remove", BOOK, NULL, "forget an instance", .already = 0},
};
/* clang-format on */

static const struct command *command_of(struct ifg_view operation)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (ifg_is(operation, commands[i].operation))
            return &commands[i];
    return NULL;
}

static struct ifg_view url_of(const struct ifg_call *call)
{
    struct ifg_buf url = {.limit = 1024};
    ifg_buf_put(&url, ifg_json_text_of(ifg_json_member(call->context, "config"), "OBS_URL", IFG_VIEW("ws://obs.invalid:4455")));
    ifg_buf_str(&url, "/");
    return ifg_buf_view(&url);
}

/* ---- the session ---- */

struct session {
    const struct ifg_call *call;
    struct ifg_answer *answer; /* has failed where a function here gives false */
    struct ifg_socket socket;
    int64_t requests;
};

static bool failed(struct session *s, enum ifg_kind kind, const char *message)
{
    ifg_fail(s->answer, kind, message);
    return false;
}

static bool failed_host(struct session *s, const struct ifg_host_error *error)
{
    ifg_fail_host(s->answer, error);
    return false;
}

/* The data of the next message with this op; id: and for that request. Others are passed over. */
static bool receive(struct session *s, enum op op, struct ifg_view id, struct ifg_view *ret_data)
{
    struct ifg_ws_message message;
    struct ifg_host_error error;
    for (int i = 0; i < SKIPPED_MAX; i++) {
        if (!ifg_ws_receive(&s->socket, WAIT_MS, &message, &error))
            return failed_host(s, &error);
        if (message.kind == IFG_WS_NOTHING)
            return failed(s, IFG_TRANSIENT, "OBS did not answer in time");
        if (message.kind == IFG_WS_CLOSED)
            return failed(s, IFG_PROVIDER, message.code == 4009 ? "OBS refused the password" : "OBS closed the connection");
        if (message.kind != IFG_WS_TEXT || !ifg_json_check(message.data))
            return failed(s, IFG_PROVIDER, "OBS said something that is no message of obs-websocket 5");
        *ret_data = ifg_json_member(message.data, "d");
        if (ifg_json_i64_of(message.data, "op", -1) == op && (id.size == 0 || ifg_equal(ifg_json_text_of(*ret_data, "requestId", IFG_VIEW("")), id)))
            return true;
    }
    return failed(s, IFG_PROVIDER, "OBS says other things than what it was asked");
}

static void begin(struct ifg_writer *w, enum op op)
{
    ifg_begin_object(w);
    ifg_name(w, "op");
    ifg_i64(w, op);
    ifg_name(w, "d");
    ifg_begin_object(w);
}

/* The text of a message; its two objects end here. */
static struct ifg_view end(struct ifg_writer *w)
{
    ifg_end_object(w);
    ifg_end_object(w);
    return ifg_buf_view(&w->out);
}

static bool identify(struct session *s, struct ifg_view authentication)
{
    struct ifg_writer w = {.depth = 0};
    struct ifg_host_error error;
    struct ifg_challenge challenge = {.salt = ifg_json_text_of(authentication, "salt", IFG_VIEW("")),
                                      .challenge = ifg_json_text_of(authentication, "challenge", IFG_VIEW(""))};
    bool asks = ifg_json_type(authentication) == IFG_JSON_OBJECT;
    begin(&w, IDENTIFY);
    ifg_name(&w, "rpcVersion");
    ifg_i64(&w, 1);
    ifg_name(&w, "eventSubscriptions");
    ifg_i64(&w, 0);
    if (asks) {
        ifg_name(&w, "authentication");
        ifg_str(&w, "{{answer}}");
    }
    struct ifg_view text = end(&w);
    if (!asks)
        return ifg_ws_send(&s->socket, text, &error) || failed_host(s, &error);
    if (!ifg_secret_ref(IFG_VIEW("OBS_PASSWORD"), &challenge.secret, &error))
        return failed(s, IFG_PROVIDER, "OBS asks for a password"); /* the fabric says which secret is not there, and what mends it */
    return ifg_ws_send_answer(&s->socket, text, &challenge, &error) || failed_host(s, &error);
}

static bool connect(struct session *s)
{
    struct ifg_host_error error;
    struct ifg_view hello, identified;
    const struct ifg_http_request request = {.url = url_of(s->call)};
    if (!ifg_ws_open(&request, &s->socket, &error))
        return failed_host(s, &error);
    if (!receive(s, HELLO, IFG_VIEW(""), &hello))
        return false;
    if (ifg_json_i64_of(hello, "rpcVersion", 0) < 1)
        return failed(s, IFG_PROVIDER, "it speaks no version of obs-websocket that is spoken here");
    return identify(s, ifg_json_member(hello, "authentication")) && receive(s, IDENTIFIED, IFG_VIEW(""), &identified);
}

/* RequestStatus: 207 it is starting or ending · 4xx, 5xx, 6xx it cannot be done so · 7xx it could not. */
static bool refused(struct session *s, struct ifg_view status)
{
    int64_t code = ifg_json_i64_of(status, "code", 0);
    struct ifg_buf text = {.limit = 480};
    ifg_buf_str(&text, "OBS refused: ");
    ifg_buf_put(&text, ifg_json_text_of(status, "comment", IFG_VIEW("it says no more")));
    ifg_fail_view(s->answer,
                  code == 207                 ? IFG_TRANSIENT
                  : code >= 400 && code < 700 ? IFG_CALLER
                                              : IFG_PROVIDER,
                  text.failed ? IFG_VIEW("OBS refused") : ifg_buf_view(&text));
    return false;
}

static struct ifg_writer request_begin(struct session *s, const char *type)
{
    struct ifg_writer w = {.depth = 0};
    struct ifg_buf id = {.limit = 32};
    ifg_buf_i64(&id, ++s->requests);
    begin(&w, REQUEST);
    ifg_name(&w, "requestType");
    ifg_str(&w, type);
    ifg_name(&w, "requestId");
    ifg_text(&w, ifg_buf_view(&id));
    ifg_name(&w, "requestData");
    ifg_begin_object(&w);
    return w;
}

/* ret_data: absent where OBS has none. already: the code that is as good as done. */
static bool request_end(struct session *s, struct ifg_writer *w, int already, struct ifg_view *ret_data)
{
    struct ifg_host_error error;
    struct ifg_buf id = {.limit = 32};
    struct ifg_view response;
    ifg_buf_i64(&id, s->requests);
    ifg_end_object(w);
    struct ifg_view text = end(w);
    if (!ifg_writer_done(w))
        return failed(s, IFG_CALLER, "a parameter cannot be written");
    if (!ifg_ws_send(&s->socket, text, &error))
        return failed_host(s, &error);
    if (!receive(s, RESPONSE, ifg_buf_view(&id), &response))
        return false;
    struct ifg_view status = ifg_json_member(response, "requestStatus");
    *ret_data = ifg_json_member(response, "responseData");
    return ifg_json_bool_of(status, "result", false) || (already != 0 && ifg_json_i64_of(status, "code", 0) == already) || refused(s, status);
}

/* ---- commands ---- */

static void put_fields(struct ifg_writer *w, const struct ifg_call *call, const struct field *fields)
{
    for (size_t i = 0; i < FIELDS && fields[i].param != NULL; i++) {
        struct ifg_view value = ifg_json_member(call->params, fields[i].param);
        if (ifg_json_type(value) == IFG_JSON_NONE)
            continue;
        ifg_name(w, fields[i].name);
        ifg_raw(w, value);
    }
}

static bool plain(struct session *s, const struct command *c, struct ifg_view *ret_data)
{
    struct ifg_view settings = ifg_json_member(s->call->params, "settings");
    bool in_scene = ifg_is(s->call->operation, "source-list") && ifg_json_type(ifg_json_member(s->call->params, "scene")) != IFG_JSON_NONE;
    struct ifg_writer w = request_begin(s, in_scene ? "GetSceneItemList" : c->request);
    put_fields(&w, s->call, c->fields);
    if (c->fixed.name != NULL) {
        ifg_name(&w, c->fixed.name);
        ifg_str(&w, c->fixed.param);
    }
    if (c->settings[0].name != NULL) {
        ifg_name(&w, "inputSettings");
        ifg_begin_object(&w);
        put_fields(&w, s->call, c->settings);
        ifg_end_object(&w);
    } else if (ifg_json_type(settings) == IFG_JSON_OBJECT) {
        ifg_name(&w, ifg_is(s->call->operation, "filter-add") ? "filterSettings" : "inputSettings");
        ifg_raw(&w, settings);
    }
    return request_end(s, &w, c->already, ret_data);
}

/* A source in a scene has a number there. */
static bool item(struct session *s, const struct command *c, struct ifg_view *ret_data)
{
    static const struct field by_name[FIELDS] = {SCENE, SOURCE};
    struct ifg_view found;
    struct ifg_writer w = request_begin(s, "GetSceneItemId");
    put_fields(&w, s->call, by_name);
    if (!request_end(s, &w, 0, &found))
        return false;
    w = request_begin(s, c->request);
    put_fields(&w, s->call, c->fields);
    ifg_name(&w, "sceneItemId");
    ifg_i64(&w, ifg_json_i64_of(found, "sceneItemId", -1));
    if (!ifg_is(s->call->operation, "source-remove")) {
        ifg_name(&w, "sceneItemEnabled");
        ifg_bool(&w, ifg_is(s->call->operation, "source-show"));
    }
    return request_end(s, &w, 0, ret_data);
}

/* {"recording","scene","streaming","version"} */
static bool state(struct session *s)
{
    static const struct field parts[][2] = {{{"GetRecordStatus", "outputActive"}, {NULL, "recording"}},
                                            {{"GetCurrentProgramScene", "currentProgramSceneName"}, {NULL, "scene"}},
                                            {{"GetStreamStatus", "outputActive"}, {NULL, "streaming"}},
                                            {{"GetVersion", "obsVersion"}, {NULL, "version"}}};
    struct ifg_writer *w = &s->answer->result;
    ifg_begin_object(w);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        struct ifg_view data;
        struct ifg_writer request = request_begin(s, parts[i][0].param);
        if (!request_end(s, &request, 0, &data))
            return false;
        struct ifg_view value = ifg_json_member(data, parts[i][0].name);
        ifg_name(w, parts[i][1].name);
        ifg_raw(w, ifg_json_type(value) != IFG_JSON_NONE ? value : IFG_VIEW("null"));
    }
    ifg_end_object(w);
    return true;
}

static void leave(struct session *s)
{
    struct ifg_host_error error;
    if (s->socket.number != 0)
        (void)ifg_ws_close(&s->socket, &error);
}

void guest_apply(const struct ifg_call *call, struct ifg_answer *answer)
{
    const struct command *c = command_of(call->operation);
    struct session s = {.call = call, .answer = answer};
    struct ifg_view data = {NULL, 0};
    if (c == NULL) {
        ifg_fail(answer, IFG_CALLER, "no such operation");
        return;
    }
    if (c->kind == BOOK) {
        instances_book(call, answer);
        return;
    }
    if (connect(&s) && (c->kind == STATE ? state(&s) : c->kind == ITEM ? item(&s, c, &data) : plain(&s, c, &data)) && c->kind != STATE)
        ifg_raw(&answer->result, ifg_json_type(data) == IFG_JSON_OBJECT ? data : IFG_VIEW("{}"));
    leave(&s);
}

void guest_plan(const struct ifg_call *call, struct ifg_answer *answer)
{
    const struct command *c = command_of(call->operation);
    struct ifg_buf words = {.limit = 512};
    if (c == NULL) {
        ifg_fail(answer, IFG_CALLER, "no such operation");
        return;
    }
    struct ifg_view scene = ifg_json_text_of(call->params, "scene", IFG_VIEW("")), source = ifg_json_text_of(call->params, "source", scene);
    ifg_buf_str(&words, c->says);
    if (source.size > 0) {
        ifg_buf_str(&words, " ");
        ifg_buf_put(&words, source);
    }
    if (source.data != scene.data && scene.size > 0) {
        ifg_buf_str(&words, " in ");
        ifg_buf_put(&words, scene);
    }
    ifg_summary(answer, words.failed ? ifg_view_str(c->says) : ifg_buf_view(&words));
    if (c->kind != BOOK)
        ifg_effect(answer, "ws.send", url_of(call));
}

void guest_health(const struct ifg_call *call, struct ifg_answer *answer)
{
    struct ifg_view url = ifg_json_text_of(ifg_json_member(call->context, "config"), "OBS_URL", IFG_VIEW(""));
    if (url.size == 0) {
        ifg_fail(answer, IFG_CALLER, "the configuration has no OBS_URL");
        return;
    }
    ifg_null(&answer->result);
}

/*
 * vMix by its HTTP interface: GET /api/ answers the state as XML, GET /api/?Function=NAME&… does something. Every request is a GET, so the manifest's
 * rows are all writes: no row of this adapter passes a dry-run. One table of commands; what is not in it does not exist.
 */
#include "infrafabric_guest.h"

#include "../instances.h"

enum kind { DO, READ, BOOK }; /* a function of vMix; something of its state; a note of this capability's own */
static const struct command {
    const char *operation;
    enum kind kind;
    const char *function; /* of vMix; %n is put behind it where the command has a number */
    const char *input, *value; /* parameters that become Input and Value */
    const char *says;
} commands[] = {
    {"cut", DO, "Cut", "scene", NULL, "cut to"},
    {"fade", DO, "Fade", "scene", NULL, "fade to"},
    {"preview", DO, "PreviewInput", "scene", NULL, "put into preview"},
    {"transition", DO, "Transition", NULL, NULL, "run transition"},
    {"overlay", DO, "OverlayInput", "scene", NULL, "overlay"},
    {"ndi-add", DO, "AddInput", NULL, "source", "add the NDI source"},
    {"ndi-remove", DO, "RemoveInput", "scene", NULL, "remove the input"},
    {"stream-start", DO, "StartStreaming", NULL, NULL, "start streaming"},
    {"stream-stop", DO, "StopStreaming", NULL, NULL, "stop streaming"},
    {"record-start", DO, "StartRecording", NULL, NULL, "start recording"},
    {"record-stop", DO, "StopRecording", NULL, NULL, "stop recording"},
    {"ptz-move", DO, "PTZMove", "scene", NULL, "move the camera"},
    {"ptz-preset", DO, "PTZMoveToVirtualInputPositionByIndex", "scene", "preset", "move the camera to a preset"},
    {"ptz-home", DO, "PTZHome", "scene", NULL, "move the camera home"},
    {"audio-volume", DO, "SetVolume", "scene", "volume", "set the volume of"},
    {"audio-mute", DO, "AudioOff", "scene", NULL, "mute"},
    {"audio-unmute", DO, "AudioOn", "scene", NULL, "unmute"},
    {"ndi-list", READ, "NDI", NULL, NULL, "list the NDI inputs"},
    {"stream-status", READ, "streaming", NULL, NULL, "is it streaming?"},
    {"record-status", READ, "recording", NULL, NULL, "is it recording?"},
    {"status", READ, "", NULL, NULL, "the state in short"},
    {"inputs", READ, "*", NULL, NULL, "list the inputs"},
    {"state", READ, "xml", NULL, NULL, "the whole state, XML"},
    {"test", READ, "version", NULL, NULL, "does it answer?"},
    {"add", BOOK, NULL, NULL, NULL, "note an instance"},
    {"list", BOOK, NULL, NULL, NULL, "list the instances"},
    {"remove", BOOK, NULL, NULL, NULL, "forget an instance"},
};

static const struct command *command_of(struct ifg_view operation)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (ifg_is(operation, commands[i].operation))
            return &commands[i];
    return NULL;
}

/* ---- the request ---- */

static void put_param(struct ifg_buf *url, const char *name, struct ifg_view value)
{
    ifg_buf_str(url, "&");
    ifg_buf_str(url, name);
    ifg_buf_str(url, "=");
    ifg_buf_percent(url, value);
}

/* A parameter as text, whatever its type. */
static struct ifg_view param(const struct ifg_call *call, const char *name)
{
    struct ifg_view value = ifg_json_member(call->params, name), text = {NULL, 0};
    if (ifg_json_type(value) == IFG_JSON_STRING)
        (void)ifg_json_string(value, &text);
    else if (ifg_json_type(value) == IFG_JSON_NUMBER)
        text = value;
    return text;
}

/* Function names that carry a number or a direction: Transition1, OverlayInput2In, PTZMoveUp. */
static void put_function(struct ifg_buf *url, const struct ifg_call *call, const struct command *c)
{
    ifg_buf_str(url, "?Function=");
    ifg_buf_str(url, c->function);
    if (ifg_is(call->operation, "transition"))
        ifg_buf_i64(url, ifg_json_i64_of(call->params, "number", 1));
    if (ifg_is(call->operation, "overlay")) {
        ifg_buf_i64(url, ifg_json_i64_of(call->params, "number", 1));
        ifg_buf_str(url, ifg_json_bool_of(call->params, "on", true) ? "In" : "Out");
    }
    if (ifg_is(call->operation, "ptz-move"))
        ifg_buf_put(url, ifg_json_text_of(call->params, "direction", IFG_VIEW("Stop")));
}

static struct ifg_view url_of(const struct ifg_call *call, const struct command *c)
{
    struct ifg_buf url = {.limit = 8192};
    struct ifg_view input = c->input != NULL ? param(call, c->input) : IFG_VIEW(""), value = c->value != NULL ? param(call, c->value) : IFG_VIEW("");
    ifg_buf_put(&url, ifg_json_text_of(ifg_json_member(call->context, "config"), "VMIX_URL", IFG_VIEW("http://vmix.invalid:8088")));
    ifg_buf_str(&url, "/api/");
    if (c->kind != DO)
        return ifg_buf_view(&url);
    put_function(&url, call, c);
    if (input.size > 0)
        put_param(&url, "Input", input);
    if (ifg_is(call->operation, "ndi-add")) {
        struct ifg_buf source = {.limit = 1024};
        ifg_buf_str(&source, "NDI|");
        ifg_buf_put(&source, value);
        value = ifg_buf_view(&source);
    }
    if (value.size > 0)
        put_param(&url, "Value", value);
    if (ifg_is(call->operation, "fade"))
        put_param(&url, "Duration", param(call, "duration_ms"));
    return ifg_buf_view(&url);
}

void guest_plan(const struct ifg_call *call, struct ifg_answer *answer)
{
    const struct command *c = command_of(call->operation);
    struct ifg_buf words = {.limit = 512};
    if (c == NULL) {
        ifg_fail(answer, IFG_CALLER, "no such operation");
        return;
    }
    struct ifg_view scene = param(call, "scene");
    ifg_buf_str(&words, c->says);
    if (scene.size > 0) {
        ifg_buf_str(&words, " ");
        ifg_buf_put(&words, scene);
    }
    ifg_summary(answer, words.failed ? ifg_view_str(c->says) : ifg_buf_view(&words));
    if (c->kind != BOOK)
        ifg_effect(answer, "http.get", url_of(call, c));
}

/* ---- the state: XML of vMix, read by its tags alone ---- */

static bool find(struct ifg_view text, size_t from, const char *what, size_t *ret_at)
{
    struct ifg_view key = ifg_view_str(what);
    for (size_t i = from; key.size > 0 && i + key.size <= text.size; i++)
        if (ifg_equal((struct ifg_view){text.data + i, key.size}, key)) {
            *ret_at = i;
            return true;
        }
    return false;
}

/* Text of the first <tag>…</tag>; absent: size 0. */
static struct ifg_view element(struct ifg_view xml, const char *tag)
{
    struct ifg_buf open = {.limit = 64}, close = {.limit = 64};
    size_t from, to;
    ifg_buf_str(&open, "<");
    ifg_buf_str(&open, tag);
    ifg_buf_str(&close, "</");
    ifg_buf_str(&close, tag);
    ifg_buf_put(&open, (struct ifg_view){">\0", 2});
    ifg_buf_put(&close, (struct ifg_view){">\0", 2});
    /* <streaming channel1="True">True</streaming>: attributes are passed over */
    open.data[open.size - 2] = '\0';
    for (from = 0; find(xml, from, open.data, &from); from++) {
        size_t end = from + open.size - 2;
        if (end < xml.size && (xml.data[end] == '>' || xml.data[end] == ' ') && find(xml, end, ">", &end) && find(xml, end, close.data, &to))
            return (struct ifg_view){xml.data + end + 1, to - end - 1};
    }
    return IFG_VIEW("");
}

/* Value of name="…" within a tag, as it is written: escaped. */
static struct ifg_view attribute(struct ifg_view tag, const char *name)
{
    struct ifg_buf key = {.limit = 64};
    size_t at, end;
    ifg_buf_str(&key, " ");
    ifg_buf_str(&key, name);
    ifg_buf_put(&key, (struct ifg_view){"=\"\0", 3});
    if (!find(tag, 0, key.data, &at))
        return IFG_VIEW("");
    at += key.size - 1;
    if (!find(tag, at, "\"", &end))
        return IFG_VIEW("");
    return (struct ifg_view){tag.data + at, end - at};
}

/* Text of an attribute with its five named entities read; any other stays as it is written. Read in one pass: &amp;lt; is &lt;. */
static struct ifg_view unescaped(struct ifg_view text)
{
    static const struct {
        const char *name, *is;
    } entities[] = {{"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}, {"&apos;", "'"}};
    struct ifg_buf out = {.limit = 1024};
    for (size_t i = 0, used; i < text.size; i += used) {
        const char *is = NULL;
        for (size_t e = 0; e < sizeof entities / sizeof entities[0] && is == NULL; e++) {
            struct ifg_view name = ifg_view_str(entities[e].name);
            if (name.size <= text.size - i && ifg_equal((struct ifg_view){text.data + i, name.size}, name))
                is = entities[e].is, used = name.size;
        }
        if (is != NULL)
            ifg_buf_str(&out, is);
        else
            ifg_buf_put(&out, (struct ifg_view){text.data + i, used = 1});
    }
    return out.failed ? text : ifg_buf_view(&out);
}

static void write_inputs(struct ifg_view xml, const char *type, struct ifg_writer *w)
{
    ifg_begin_array(w);
    for (size_t from = 0, end; find(xml, from, "<input ", &from); from = end) {
        if (!find(xml, from, ">", &end))
            break;
        struct ifg_view tag = {xml.data + from, end - from};
        if (type != NULL && !ifg_equal(attribute(tag, "type"), ifg_view_str(type)))
            continue;
        ifg_begin_object(w);
        ifg_name(w, "number");
        ifg_text(w, attribute(tag, "number"));
        ifg_name(w, "state");
        ifg_text(w, attribute(tag, "state"));
        ifg_name(w, "title");
        ifg_text(w, unescaped(attribute(tag, "title")));
        ifg_name(w, "type");
        ifg_text(w, attribute(tag, "type"));
        ifg_end_object(w);
    }
    ifg_end_array(w);
}

static void write_flag(struct ifg_writer *w, struct ifg_view xml, const char *name)
{
    ifg_name(w, name);
    ifg_bool(w, ifg_equal(element(xml, name), IFG_VIEW("True")));
}

static void write_state(const struct command *c, struct ifg_view xml, struct ifg_writer *w)
{
    ifg_begin_object(w);
    if (ifg_is(ifg_view_str(c->function), "xml")) {
        ifg_name(w, "xml");
        ifg_text(w, xml);
    } else if (c->function[0] == '*' || ifg_is(ifg_view_str(c->function), "NDI")) {
        ifg_name(w, "inputs");
        write_inputs(xml, c->function[0] == '*' ? NULL : "NDI", w);
    } else if (ifg_is(ifg_view_str(c->function), "version")) {
        ifg_name(w, "version");
        ifg_text(w, element(xml, "version"));
    } else if (c->function[0] != '\0') {
        write_flag(w, xml, c->function);
    } else {
        ifg_name(w, "active");
        ifg_text(w, element(xml, "active"));
        ifg_name(w, "preview");
        ifg_text(w, element(xml, "preview"));
        write_flag(w, xml, "recording");
        write_flag(w, xml, "streaming");
        ifg_name(w, "version");
        ifg_text(w, element(xml, "version"));
    }
    ifg_end_object(w);
}

/* ---- apply ---- */

static bool exchange(struct ifg_view url, struct ifg_http_response *ret_response, struct ifg_answer *answer)
{
    struct ifg_host_error error;
    struct ifg_http_request request = {.method = IFG_VIEW("GET"), .url = url};
    if (!ifg_http(&request, ret_response, &error)) {
        ifg_fail_host(answer, &error);
        return false;
    }
    if (ret_response->status == 200)
        return true;
    if (ret_response->status >= 500) /* vMix answers 500 to a function or input that it does not know */
        ifg_fail(answer, IFG_CALLER, "vMix refused: it knows no such function or input");
    else
        ifg_fail(answer, IFG_PROVIDER, "vMix answered with another status than 200");
    return false;
}

void guest_apply(const struct ifg_call *call, struct ifg_answer *answer)
{
    const struct command *c = command_of(call->operation);
    struct ifg_http_response response;
    if (c == NULL) {
        ifg_fail(answer, IFG_CALLER, "no such operation");
        return;
    }
    if (c->kind == BOOK) {
        instances_book(call, answer);
        return;
    }
    if (!exchange(url_of(call, c), &response, answer))
        return;
    if (c->kind == READ) {
        write_state(c, response.body, &answer->result);
        return;
    }
    ifg_begin_object(&answer->result);
    ifg_name(&answer->result, "done");
    ifg_str(&answer->result, c->says);
    ifg_end_object(&answer->result);
}

void guest_health(const struct ifg_call *call, struct ifg_answer *answer)
{
    if (ifg_json_text_of(ifg_json_member(call->context, "config"), "VMIX_URL", IFG_VIEW("")).size == 0)
        ifg_fail(answer, IFG_PROVIDER, "VMIX_URL is not set");
    else
        ifg_null(&answer->result);
}

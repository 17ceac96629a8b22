/*
 * Home Assistant by its REST API (developers.home-assistant.io/docs/api/rest): GET reads states, configuration and pictures, POST calls a service or
 * fires an event. One table of commands; what is not in it does not exist. A service whose entity does not exist, or is not reachable, answers 200
 * there and does nothing: so an entity is looked at before it is acted on, and "done" is said of nothing that was not.
 */
#include "infrafabric_guest.h"

#include "../instances.h"

#define RESULT_MAX ((size_t)1000 << 10) /* below the manifest's response_kib, so that too much is told as what it is */

enum act {
    READ,    /* GET path */
    LIST,    /* GET states, those of the domain */
    STATE,   /* GET one state */
    PICTURE, /* GET a camera's picture */
    SET,     /* the service that makes the entity what state says */
    SERVICE, /* the caller's domain and service */
    FIXED,   /* path is domain/service */
    NOTIFY,
    FIRE,
    BOOK, /* a note of this capability's own */
};
static const struct command {
    const char *operation;
    enum act act;
    const char *path, *domain; /* domain: of the parameter entity, or of the list */
    const char *says;
} commands[] = {
    {"entities", LIST, NULL, NULL, "list the entities"},
    {"state", STATE, NULL, NULL, "read"},
    {"set", SET, NULL, NULL, "set"},
    {"service", SERVICE, NULL, NULL, "call"},
    {"automation-list", LIST, NULL, "automation", "list the automations"},
    {"automation-trigger", FIXED, "automation/trigger", "automation", "run the actions of"},
    {"automation-enable", FIXED, "automation/turn_on", "automation", "enable"},
    {"automation-disable", FIXED, "automation/turn_off", "automation", "disable"},
    {"script-list", LIST, NULL, "script", "list the scripts"},
    {"script-run", FIXED, "script/turn_on", "script", "run"},
    {"scene-list", LIST, NULL, "scene", "list the scenes"},
    {"scene-activate", FIXED, "scene/turn_on", "scene", "activate"},
    {"camera-list", LIST, NULL, "camera", "list the cameras"},
    {"camera-snapshot", PICTURE, NULL, "camera", "take a picture of"},
    {"camera-stream", FIXED, "camera/play_stream", "camera", "show the stream of"},
    {"media-play", FIXED, "media_player/media_play", "media_player", "play on"},
    {"media-pause", FIXED, "media_player/media_pause", "media_player", "pause"},
    {"media-stop", FIXED, "media_player/media_stop", "media_player", "stop"},
    {"tts", FIXED, "tts/speak", "tts", "speak with"},
    {"notify", NOTIFY, NULL, NULL, "notify"},
    {"event-list", READ, "events", NULL, "list the events"},
    {"event-fire", FIRE, NULL, NULL, "fire the event"},
    {"info", READ, "config", NULL, "which house is it?"},
    {"config", READ, "config", NULL, "read the configuration"},
    {"status", READ, "config", NULL, "is it running?"},
    {"test", READ, "", NULL, "does it answer?"},
    {"add", BOOK, NULL, NULL, "note an instance"},
    {"list", BOOK, NULL, NULL, "list the instances"},
    {"remove", BOOK, NULL, NULL, "forget an instance"},
};

static const struct command *command_of(struct ifg_view operation)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (ifg_is(operation, commands[i].operation))
            return &commands[i];
    return NULL;
}

/* What `set` may set, and as what. A list of what is harmless: a lock, a valve, a heater, and whatever comes to be tomorrow, is not in it. */
enum form { SWITCHED, NUMBER, OPTION, TEXT };
static const struct {
    const char *domain;
    enum form form;
} settable[] = {
    {"light", SWITCHED},         {"switch", SWITCHED},     {"fan", SWITCHED},        {"media_player", SWITCHED},
    {"input_boolean", SWITCHED}, {"input_number", NUMBER}, {"input_select", OPTION}, {"input_text", TEXT},
};

/* ---- what may be asked for ---- */

static struct ifg_view text_of(const struct ifg_call *call, const char *name) { return ifg_json_text_of(call->params, name, IFG_VIEW("")); }
static bool given(const struct ifg_call *call, const char *name) { return ifg_json_type(ifg_json_member(call->params, name)) != IFG_JSON_NONE; }

/* a-z 0-9 _: a domain, a service, half an entity. Anything else would be two of them to Home Assistant ("light.a,lock.b", "all"), or another path. */
static bool slug(struct ifg_view text)
{
    for (size_t i = 0; i < text.size; i++)
        if (!((text.data[i] >= 'a' && text.data[i] <= 'z') || (text.data[i] >= '0' && text.data[i] <= '9') || text.data[i] == '_'))
            return false;
    return text.size > 0;
}

static struct ifg_view domain_of(struct ifg_view entity)
{
    size_t dot = 0;
    while (dot < entity.size && entity.data[dot] != '.')
        dot++;
    return (struct ifg_view){entity.data, dot};
}

/* domain.object, of this domain (NULL: any). */
static bool entity_is(struct ifg_view entity, const char *domain)
{
    struct ifg_view of = domain_of(entity);
    return of.size < entity.size && slug(of) && slug((struct ifg_view){entity.data + of.size + 1, entity.size - of.size - 1}) &&
           (domain == NULL || ifg_is(of, domain));
}

static bool is_number(struct ifg_view text)
{
    return ifg_json_check(text) && text.data[0] != ' ' && text.data[text.size - 1] > ' ' && ifg_json_type(text) == IFG_JSON_NUMBER;
}

static bool form_of(struct ifg_view entity, enum form *ret)
{
    for (size_t i = 0; i < sizeof settable / sizeof settable[0]; i++)
        if (ifg_is(domain_of(entity), settable[i].domain)) {
            *ret = settable[i].form;
            return true;
        }
    return false;
}

static const char *set_problem(const struct ifg_call *call)
{
    enum form form;
    struct ifg_view entity = text_of(call, "entity"), state = text_of(call, "state");
    if (!form_of(entity, &form))
        return "set takes light, switch, fan, media_player, input_boolean, input_number, input_select, input_text; use service, which waits for an "
               "approval";
    if (form == SWITCHED && !ifg_is(state, "on") && !ifg_is(state, "off"))
        return "state is on or off";
    if (form == NUMBER && !is_number(state))
        return "state is a number";
    if (given(call, "brightness_pct") && !(ifg_is(domain_of(entity), "light") && ifg_is(state, "on")))
        return "brightness_pct goes with a light that is set on";
    return NULL;
}

static const char *problem_of(const struct ifg_call *call, const struct command *c)
{
    if (c == NULL)
        return "no such operation";
    if (given(call, "entity") && !entity_is(text_of(call, "entity"), c->domain))
        return c->domain != NULL ? "entity is one of the domain that this operation is for, as domain.name" : "entity is one, as domain.name";
    if (given(call, "player") && !entity_is(text_of(call, "player"), "media_player"))
        return "player is a media_player, as media_player.name";
    if (c->act == LIST && given(call, "domain") && !slug(text_of(call, "domain")))
        return "domain has a-z, 0-9 and _ only";
    if (c->act == SERVICE && (!slug(text_of(call, "domain")) || !slug(text_of(call, "service"))))
        return "domain and service have a-z, 0-9 and _ only";
    if (c->act == SERVICE && given(call, "entity") &&
        ifg_json_type(ifg_json_member(ifg_json_member(call->params, "data"), "entity_id")) != IFG_JSON_NONE)
        return "entity, or entity_id in data: not both";
    if (c->act == NOTIFY && !slug(text_of(call, "target")))
        return "target has a-z, 0-9 and _ only";
    if (c->act == FIRE && !slug(text_of(call, "event")))
        return "event has a-z, 0-9 and _ only";
    return c->act == SET ? set_problem(call) : NULL;
}

/* ---- the request ---- */

static struct ifg_view base_of(const struct ifg_call *call)
{
    struct ifg_view url = ifg_json_text_of(ifg_json_member(call->context, "config"), "HA_URL", IFG_VIEW(""));
    while (url.size > 0 && url.data[url.size - 1] == '/')
        url.size--;
    return url;
}

static struct ifg_buf api(const struct ifg_call *call, const char *path)
{
    struct ifg_buf url = {.limit = 8192};
    ifg_buf_put(&url, base_of(call));
    ifg_buf_str(&url, "/api/");
    ifg_buf_str(&url, path);
    return url;
}

static const char *set_service(const struct ifg_call *call)
{
    enum form form = SWITCHED;
    (void)form_of(text_of(call, "entity"), &form); /* judged before */
    if (form == SWITCHED)
        return ifg_is(text_of(call, "state"), "on") ? "turn_on" : "turn_off";
    return form == OPTION ? "select_option" : "set_value";
}

static void put_service(struct ifg_buf *url, struct ifg_view domain, struct ifg_view service)
{
    ifg_buf_put(url, domain);
    ifg_buf_str(url, "/");
    ifg_buf_put(url, service);
}

/* Every piece of it has been judged to need no encoding. */
static struct ifg_view url_of(const struct ifg_call *call, const struct command *c)
{
    static const char *const below[] = {[READ] = "",           [LIST] = "states",
                                        [STATE] = "states/",   [PICTURE] = "camera_proxy/",
                                        [SET] = "services/",   [SERVICE] = "services/",
                                        [FIXED] = "services/", [NOTIFY] = "services/notify/",
                                        [FIRE] = "events/",    [BOOK] = ""};
    struct ifg_buf url = api(call, below[c->act]);
    struct ifg_view entity = text_of(call, "entity");
    if (c->act == FIXED && ifg_is(call->operation, "media-play") && given(call, "content"))
        ifg_buf_str(&url, "media_player/play_media");
    else if (c->path != NULL)
        ifg_buf_str(&url, c->path);
    if (c->act == STATE || c->act == PICTURE)
        ifg_buf_put(&url, entity);
    if (c->act == SET)
        put_service(&url, domain_of(entity), ifg_view_str(set_service(call)));
    if (c->act == SERVICE)
        put_service(&url, text_of(call, "domain"), text_of(call, "service"));
    if (c->act == NOTIFY)
        ifg_buf_put(&url, text_of(call, "target"));
    if (c->act == FIRE)
        ifg_buf_put(&url, text_of(call, "event"));
    return ifg_buf_view(&url);
}

static void put_text(struct ifg_writer *w, const char *name, struct ifg_view text)
{
    ifg_name(w, name);
    ifg_text(w, text);
}

/* A parameter under the name that the service has for it, where it is given. */
static void put_param(struct ifg_writer *w, const struct ifg_call *call, const char *param, const char *name)
{
    if (!given(call, param))
        return;
    ifg_name(w, name);
    ifg_raw(w, ifg_json_member(call->params, param));
}

static void set_body(struct ifg_writer *w, const struct ifg_call *call)
{
    enum form form = SWITCHED;
    (void)form_of(text_of(call, "entity"), &form);
    put_param(w, call, "brightness_pct", "brightness_pct");
    if (form == NUMBER) {
        ifg_name(w, "value");
        ifg_raw(w, text_of(call, "state"));
    } else if (form != SWITCHED) {
        put_text(w, form == OPTION ? "option" : "value", text_of(call, "state"));
    }
}

/* The members of data, beside which there is an entity. */
static void put_members(struct ifg_writer *w, struct ifg_view data)
{
    struct ifg_view name, value, text;
    for (size_t at = 0; ifg_json_next(data, &at, &name, &value);) {
        struct ifg_buf z = {.limit = 0};
        if (!ifg_json_string(name, &text))
            continue;
        ifg_buf_put(&z, text);
        ifg_buf_put(&z, (struct ifg_view){"", 1}); /* ifg_name() wants its NUL */
        ifg_name(w, z.data);
        ifg_raw(w, value);
    }
}

static struct ifg_view body_of(const struct ifg_call *call, const struct command *c)
{
    struct ifg_writer w = {.depth = 0};
    ifg_begin_object(&w);
    if (c->act == SERVICE || c->act == FIRE)
        put_members(&w, ifg_json_member(call->params, "data"));
    else
        put_param(&w, call, "data", "variables"); /* script-run */
    put_param(&w, call, "entity", "entity_id");
    put_param(&w, call, "player", ifg_is(call->operation, "tts") ? "media_player_entity_id" : "media_player");
    put_param(&w, call, "message", "message");
    put_param(&w, call, "title", "title");
    if (given(call, "content")) {
        put_param(&w, call, "content", "media_content_id");
        put_param(&w, call, "content_type", "media_content_type");
    }
    if (c->act == SET)
        set_body(&w, call);
    ifg_end_object(&w);
    return ifg_writer_done(&w) ? ifg_buf_view(&w.out) : IFG_VIEW("");
}

static void put_words(struct ifg_buf *words, const struct ifg_call *call, const struct command *c)
{
    static const struct {
        const char *before, *param;
    } parts[] = {{" ", "domain"},   {".", "service"},   {" ", "event"},     {" ", "entity"},
                 {" to ", "state"}, {" on ", "player"}, {" by ", "target"}, {" ", "name"}};
    ifg_buf_str(words, c->says);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (!given(call, parts[i].param))
            continue;
        ifg_buf_str(words, parts[i].before);
        ifg_buf_put(words, text_of(call, parts[i].param));
    }
}

void guest_plan(const struct ifg_call *call, struct ifg_answer *answer)
{
    const struct command *c = command_of(call->operation);
    const char *problem = problem_of(call, c);
    struct ifg_buf words = {.limit = 500};
    if (problem != NULL) {
        ifg_fail(answer, IFG_CALLER, problem);
        return;
    }
    put_words(&words, call, c);
    ifg_summary(answer, words.failed ? ifg_view_str(c->says) : ifg_buf_view(&words));
    if (c->act != BOOK)
        ifg_effect(answer, c->act <= PICTURE ? "http.get" : "http.post", url_of(call, c));
}

/* ---- an exchange ---- */

/* 404 and the like are the caller's where its words stand in the request. 500 of a service is the service's own no: an option that there is not, a
 * device that does not answer. It says nothing of Home Assistant, nor of the other devices behind it. 401 is said of the token, whoever asks. */
static void refused(const struct ifg_http_response *response, bool callers, bool service, struct ifg_answer *answer)
{
    int status = response->status;
    struct ifg_buf words = {.limit = 200};
    bool own = callers && ((status >= 400 && status <= 499 && status != 401 && status != 429) || (service && status == 500));
    ifg_buf_str(&words, status == 401          ? "Home Assistant does not accept the token"
                        : own && status == 403 ? "Home Assistant forbids this, though not all, to the user of the token"
                        : status == 403        ? "Home Assistant forbids all: it has banned this address, or shut out the user of the token"
                        : own && status == 404 ? "Home Assistant knows no such thing"
                        : own ? "Home Assistant refused: it has no such service, does not take these values, or the device did not do it"
                              : "Home Assistant answered with an error");
    ifg_buf_str(&words, " (");
    ifg_buf_i64(&words, status);
    ifg_buf_str(&words, ")");
    ifg_fail_view(answer, own ? IFG_CALLER : status >= 500 || status == 429 ? IFG_TRANSIENT : IFG_PROVIDER, ifg_buf_view(&words));
}

static bool ask(struct ifg_http_request *request, struct ifg_http_response *ret, struct ifg_host_error *error)
{
    return ifg_secret_ref(IFG_VIEW("HA_TOKEN"), &request->secret, error) && ifg_http(request, ret, error);
}

/* 403 is said of what was asked for, or to everybody (an address that is banned): what holds no word of a caller's tells which. Not after 401: that
 * counts toward the ban. Where it cannot be asked, one call's refusal is not made everybody's. */
static bool forbids_all(const struct ifg_call *call)
{
    struct ifg_host_error error;
    struct ifg_http_response response;
    struct ifg_buf url = api(call, "");
    struct ifg_http_request request = {.method = IFG_VIEW("GET"), .url = ifg_buf_view(&url)};
    return ask(&request, &response, &error) && response.status != 200;
}

/* body size 0: GET. callers: does the URL or the body hold words of the caller's? */
static bool exchange(const struct ifg_call *call, struct ifg_view url, struct ifg_view body, bool callers, struct ifg_http_response *ret,
                     struct ifg_answer *answer)
{
    static const struct ifg_header type = {IFG_VIEW("content-type"), IFG_VIEW("application/json")};
    struct ifg_host_error error;
    struct ifg_http_request request = {.method = body.size > 0 ? IFG_VIEW("POST") : IFG_VIEW("GET"), .url = url};
    if (body.size > 0) {
        request.headers = &type;
        request.header_count = 1;
        request.has_body = true;
        request.body = body;
    }
    if (!ask(&request, ret, &error)) {
        if (ifg_is(error.code, "IF_ERR_109"))
            ifg_fail(answer, IFG_CALLER, "too much for one answer: ask for a domain, or a smaller picture");
        else
            ifg_fail_host(answer, &error);
        return false;
    }
    if (ret->status == 200 || ret->status == 201)
        return true;
    refused(ret, callers && (ret->status != 403 || !forbids_all(call)), body.size > 0, answer);
    return false;
}

static bool json(const struct ifg_http_response *response, enum ifg_json_type type, struct ifg_answer *answer)
{
    if (ifg_json_check(response->body) && ifg_json_type(response->body) == type)
        return true;
    ifg_fail(answer, IFG_PROVIDER, "Home Assistant answered with something else than its API says");
    return false;
}

static bool has_option(struct ifg_view options, struct ifg_view wanted)
{
    struct ifg_view none, value, text;
    for (size_t at = 0; ifg_json_next(options, &at, &none, &value);)
        if (ifg_json_string(value, &text) && ifg_equal(text, wanted))
            return true;
    return false;
}

/* Is there such an entity, and can it be reached? What is not there is the caller's word, and one lamp without power no failure of a house. */
static bool there(const struct ifg_call *call, const struct command *c, const char *param, struct ifg_answer *answer)
{
    struct ifg_http_response response;
    struct ifg_buf url = api(call, "states/");
    ifg_buf_put(&url, text_of(call, param));
    if (!exchange(call, ifg_buf_view(&url), IFG_VIEW(""), true, &response, answer) || !json(&response, IFG_JSON_OBJECT, answer))
        return false;
    if (ifg_is(ifg_json_text_of(response.body, "state", IFG_VIEW("")), "unavailable")) {
        ifg_fail(answer, IFG_CALLER, "the entity is not available: Home Assistant does not reach its device");
        return false;
    }
    if (c->act == SET && ifg_is(domain_of(text_of(call, param)), "input_select") &&
        !has_option(ifg_json_member(ifg_json_member(response.body, "attributes"), "options"), text_of(call, "state"))) {
        ifg_fail(answer, IFG_CALLER, "state is none of the options of this input_select");
        return false;
    }
    return true;
}

/* ---- the answer ---- */

static void write_entity(struct ifg_writer *w, struct ifg_view state)
{
    ifg_begin_object(w);
    put_text(w, "entity", ifg_json_text_of(state, "entity_id", IFG_VIEW("")));
    put_text(w, "name", ifg_json_text_of(ifg_json_member(state, "attributes"), "friendly_name", IFG_VIEW("")));
    put_text(w, "state", ifg_json_text_of(state, "state", IFG_VIEW("")));
    ifg_end_object(w);
}

static void write_entities(struct ifg_writer *w, const char *name, struct ifg_view states, struct ifg_view domain)
{
    struct ifg_view none, state;
    ifg_begin_object(w);
    ifg_name(w, name);
    ifg_begin_array(w);
    for (size_t at = 0; ifg_json_next(states, &at, &none, &state);)
        if (domain.size == 0 || ifg_equal(domain_of(ifg_json_text_of(state, "entity_id", IFG_VIEW(""))), domain))
            write_entity(w, state);
    ifg_end_array(w);
    ifg_end_object(w);
}

static void write_members(struct ifg_writer *w, struct ifg_view object, const char *const *names, size_t count)
{
    ifg_begin_object(w);
    for (size_t i = 0; i < count; i++) {
        struct ifg_view value = ifg_json_member(object, names[i]);
        ifg_name(w, names[i]);
        if (ifg_json_type(value) == IFG_JSON_NONE)
            ifg_null(w);
        else
            ifg_raw(w, value);
    }
    ifg_end_object(w);
}

static void write_read(const struct ifg_call *call, struct ifg_view body, struct ifg_writer *w)
{
    static const char *const info[] = {"location_name", "time_zone", "unit_system", "version"}, *const status[] = {"recovery_mode", "safe_mode",
                                                                                                                   "state", "version"};
    if (ifg_is(call->operation, "info"))
        write_members(w, body, info, sizeof info / sizeof info[0]);
    else if (ifg_is(call->operation, "status"))
        write_members(w, body, status, sizeof status / sizeof status[0]);
    else
        ifg_raw(w, body);
}

static void write_picture(const struct ifg_http_response *response, struct ifg_writer *w)
{
    struct ifg_buf encoded = {.limit = 0};
    ifg_buf_base64(&encoded, response->body);
    w->out.failed = w->out.failed || encoded.failed;
    ifg_begin_object(w);
    put_text(w, "content_type", ifg_json_text_of(response->headers, "content-type", IFG_VIEW("")));
    put_text(w, "image_b64", ifg_buf_view(&encoded));
    ifg_end_object(w);
}

/* ---- apply ---- */

static void read_something(const struct ifg_call *call, const struct command *c, struct ifg_answer *answer)
{
    struct ifg_http_response response;
    struct ifg_view domain = c->domain != NULL ? ifg_view_str(c->domain) : text_of(call, "domain");
    bool list = c->act == LIST || ifg_is(call->operation, "event-list");
    if (!exchange(call, url_of(call, c), IFG_VIEW(""), c->act == STATE || c->act == PICTURE, &response, answer))
        return;
    if (c->act == PICTURE)
        write_picture(&response, &answer->result);
    else if (!json(&response, list ? IFG_JSON_ARRAY : IFG_JSON_OBJECT, answer))
        return;
    else if (c->act == LIST)
        write_entities(&answer->result, "entities", response.body, domain);
    else
        write_read(call, response.body, &answer->result);
}

static void act(const struct ifg_call *call, const struct command *c, struct ifg_answer *answer)
{
    struct ifg_http_response response;
    struct ifg_view body = body_of(call, c);
    if (body.size == 0) {
        ifg_fail(answer, IFG_CALLER, "data cannot be sent: two members of one name, or too deep");
        return;
    }
    if ((given(call, "entity") && !there(call, c, "entity", answer)) || (given(call, "player") && !there(call, c, "player", answer)))
        return;
    if (!exchange(call, url_of(call, c), body, true, &response, answer) ||
        !json(&response, c->act == FIRE ? IFG_JSON_OBJECT : IFG_JSON_ARRAY, answer))
        return;
    if (c->act == FIRE)
        ifg_raw(&answer->result, response.body);
    else
        write_entities(&answer->result, "changed", response.body, IFG_VIEW(""));
}

void guest_apply(const struct ifg_call *call, struct ifg_answer *answer)
{
    const struct command *c = command_of(call->operation);
    const char *problem = problem_of(call, c);
    if (problem != NULL)
        ifg_fail(answer, IFG_CALLER, problem);
    else if (c->act == BOOK)
        instances_book(call, answer);
    else if (c->act <= PICTURE)
        read_something(call, c, answer);
    else
        act(call, c, answer);
    if (!answer->failed && (answer->result.out.failed || answer->result.out.size > RESULT_MAX))
        ifg_fail(answer, IFG_CALLER, "too much for one answer: ask for a domain, or a smaller picture");
}

/* Without the network: is it set up? */
void guest_health(const struct ifg_call *call, struct ifg_answer *answer)
{
    struct ifg_view base = base_of(call);
    if (base.size < 9) { /* http://x:1 */
        ifg_fail(answer, IFG_PROVIDER, "HA_URL is not set");
        return;
    }
    ifg_null(&answer->result);
}

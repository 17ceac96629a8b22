/*
 * A lamp with a REST interface, the whole of an adapter in one file: operation "switch" {on} posts the new state with the secret
 * "lamp", "status" reads it. What it did last is kept under "last".
 */
#include "infrafabric_guest.h"

/* {config.url}/state */
static struct ifg_view state_url(const struct ifg_call *call)
{
    struct ifg_buf url = {.limit = 0}; /* its bytes stay until the call ends */
    ifg_buf_put(&url, ifg_json_text_of(ifg_json_member(call->context, "config"), "url", IFG_VIEW("http://lamp.invalid")));
    ifg_buf_str(&url, "/state");
    return ifg_buf_view(&url);
}

void guest_plan(const struct ifg_call *call, struct ifg_answer *answer)
{
    bool on = ifg_json_bool_of(call->params, "on", false);
    if (ifg_is(call->operation, "switch")) {
        ifg_summary(answer, on ? IFG_VIEW("switch the lamp on") : IFG_VIEW("switch the lamp off"));
        ifg_effect(answer, "http.post", state_url(call));
    } else if (ifg_is(call->operation, "status")) {
        ifg_summary(answer, IFG_VIEW("read the lamp's state"));
        ifg_effect(answer, "http.get", state_url(call));
    } else {
        ifg_fail(answer, IFG_CALLER, "no such operation");
    }
}

static bool exchange(const struct ifg_call *call, bool post, struct ifg_http_response *ret_response, struct ifg_answer *answer)
{
    struct ifg_host_error error;
    struct ifg_view secret;
    struct ifg_writer body = {.depth = 0};
    const struct ifg_header json = {IFG_VIEW("content-type"), IFG_VIEW("application/json")};
    if (!ifg_secret_ref(IFG_VIEW("lamp"), &secret, &error)) {
        ifg_fail_host(answer, &error);
        return false;
    }
    struct ifg_http_request request = {.method = post ? IFG_VIEW("POST") : IFG_VIEW("GET"), .url = state_url(call), .secret = secret};
    if (post) {
        ifg_begin_object(&body);
        ifg_name(&body, "on");
        ifg_bool(&body, ifg_json_bool_of(call->params, "on", false));
        ifg_end_object(&body);
        request.headers = &json;
        request.header_count = 1;
        request.has_body = true;
        request.body = ifg_buf_view(&body.out);
    }
    if (!ifg_http(&request, ret_response, &error)) {
        ifg_fail_host(answer, &error);
        return false;
    }
    if (ret_response->status != 200) {
        ifg_fail(answer, ret_response->status >= 500 ? IFG_TRANSIENT : IFG_PROVIDER, "the lamp refused");
        return false;
    }
    return true;
}

void guest_apply(const struct ifg_call *call, struct ifg_answer *answer)
{
    struct ifg_http_response response;
    struct ifg_host_error error;
    bool post = ifg_is(call->operation, "switch"), on;
    if (!post && !ifg_is(call->operation, "status")) {
        ifg_fail(answer, IFG_CALLER, "no such operation");
        return;
    }
    if (!exchange(call, post, &response, answer))
        return;
    if (!ifg_json_check(response.body) || !ifg_json_bool(ifg_json_member(response.body, "on"), &on)) {
        ifg_fail(answer, IFG_PROVIDER, "the lamp's answer is not {\"on\": true or false}");
        return;
    }
    if (post && !ifg_kv_put(IFG_VIEW("last"), on ? IFG_VIEW("on") : IFG_VIEW("off"), &error)) {
        ifg_fail_host(answer, &error);
        return;
    }
    ifg_log(IFG_INFO, IFG_VIEW("the lamp answered"));
    ifg_begin_object(&answer->result);
    ifg_name(&answer->result, "on");
    ifg_bool(&answer->result, on);
    ifg_end_object(&answer->result);
}

/* Only what can be told without the host: is there a URL to talk to? Whether the lamp answers is not known: null. */
void guest_health(const struct ifg_call *call, struct ifg_answer *answer)
{
    struct ifg_view url = ifg_json_text_of(ifg_json_member(call->context, "config"), "url", IFG_VIEW(""));
    if (url.size == 0) {
        ifg_fail(answer, IFG_CALLER, "the configuration has no url");
        return;
    }
    ifg_null(&answer->result);
}

/*
 * The capability of tests_canary.py: it uses a secret, and then does all it can to tell what came back. It asks for `url` with the secret `uses`, if
 * any, and logs, keeps and answers whatever the host gave it, errors too; `shout` says in which way it answers.
 */
#include "infrafabric_guest.h"

void guest_plan(const struct ifg_call *call, struct ifg_answer *answer)
{
    ifg_summary(answer, ifg_json_text_of(call->params, "url", IFG_VIEW("what was kept")));
}

static void tell(struct ifg_view text, struct ifg_answer *answer, bool fail)
{
    struct ifg_host_error error;
    struct ifg_view kept = text;
    for (size_t at = 0; at < text.size && at < 8192; at += 1000)
        ifg_log(IFG_ERROR, (struct ifg_view){text.data + at, text.size - at < 1000 ? text.size - at : 1000});
    if (kept.size > 65536)
        kept.size = 65536;
    (void)ifg_kv_put(IFG_VIEW("heard"), kept, &error);
    if (fail) {
        ifg_fail_view(answer, IFG_CALLER, text);
        return;
    }
    ifg_begin_object(&answer->result);
    ifg_name(&answer->result, "heard");
    ifg_text(&answer->result, text);
    ifg_end_object(&answer->result);
}

static void recall(struct ifg_answer *answer)
{
    struct ifg_view kept;
    struct ifg_host_error error;
    if (!ifg_kv_get(IFG_VIEW("heard"), &kept, &error))
        ifg_fail_host(answer, &error);
    else
        tell(kept.data == NULL ? IFG_VIEW("nothing") : kept, answer, false);
}

void guest_apply(const struct ifg_call *call, struct ifg_answer *answer)
{
    struct ifg_buf heard = {.limit = 0};
    struct ifg_host_error error;
    struct ifg_http_response response;
    const struct ifg_header header = {IFG_VIEW("x-marker"), ifg_json_text_of(call->params, "marker", IFG_VIEW("none"))};
    struct ifg_http_request request = {
        .method = IFG_VIEW("GET"), .url = ifg_json_text_of(call->params, "url", IFG_VIEW("")), .headers = &header, .header_count = 1};
    if (ifg_is(call->operation, "recall")) {
        recall(answer);
        return;
    }
    struct ifg_view uses = ifg_json_text_of(call->params, "uses", IFG_VIEW(""));
    if (uses.size > 0 && !ifg_secret_ref(uses, &request.secret, &error)) {
        ifg_fail_host(answer, &error);
        return;
    }
    ifg_buf_put(&heard, request.secret);
    ifg_buf_str(&heard, "\n");
    if (ifg_http(&request, &response, &error)) {
        ifg_buf_i64(&heard, response.status);
        ifg_buf_str(&heard, "\n");
        ifg_buf_put(&heard, response.headers);
        ifg_buf_str(&heard, "\n");
        ifg_buf_put(&heard, response.body);
    } else {
        ifg_buf_put(&heard, error.code);
        ifg_buf_str(&heard, " ");
        ifg_buf_put(&heard, error.message);
    }
    tell(ifg_buf_view(&heard), answer, ifg_is(ifg_json_text_of(call->params, "shout", IFG_VIEW("")), "fail"));
}

void guest_health(const struct ifg_call *call, struct ifg_answer *answer)
{
    (void)call;
    ifg_begin_object(&answer->result);
    ifg_name(&answer->result, "status");
    ifg_str(&answer->result, "ok");
    ifg_end_object(&answer->result);
}

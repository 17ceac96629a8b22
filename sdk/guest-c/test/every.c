/* Calls every import and tells what came; and the ways a call ends badly. Operations: every, spin, ask, grow, big, repeat. */
#include "infrafabric_guest.h"

void guest_plan(const struct ifg_call *call, struct ifg_answer *answer)
{
    struct ifg_host_error error;
    int64_t now;
    ifg_log(IFG_WARN, IFG_VIEW("planning"));
    if (ifg_is(call->operation, "ask"))
        (void)ifg_now_usec(&now, &error); /* not in plan */
    ifg_summary(answer, call->operation);
    answer->cost_usd_micro = 1500;
}

static void put(struct ifg_writer *w, const char *name, struct ifg_view text)
{
    ifg_name(w, name);
    ifg_text(w, text);
}

static void every(struct ifg_answer *answer)
{
    struct ifg_writer *w = &answer->result;
    struct ifg_host_error error = {IFG_UNREADABLE, {NULL, 0}, {NULL, 0}};
    struct ifg_view value = {NULL, 0}, handle = {NULL, 0};
    const struct ifg_http_request request = {
        .method = IFG_VIEW("PUT"), .url = IFG_VIEW("https://x.example/"), .has_body = true, .body = IFG_VIEW("\xff\x00")};
    struct ifg_http_response response = {0, {NULL, 0}, {NULL, 0}};
    unsigned char bytes[33] = {0};
    int64_t now = 0;
    ifg_begin_object(w);
    put(w, "kept", ifg_kv_put(IFG_VIEW("k"), IFG_VIEW("v"), &error) ? IFG_VIEW("yes") : error.code);
    put(w, "value", ifg_kv_get(IFG_VIEW("k"), &value, &error) ? value : error.code);
    put(w, "absent", ifg_kv_get(IFG_VIEW("none"), &value, &error) && value.data == NULL ? IFG_VIEW("yes") : IFG_VIEW("no"));
    put(w, "no_secret", ifg_secret_ref(IFG_VIEW("other"), &handle, &error) ? handle : error.code);
    put(w, "handle", ifg_secret_ref(IFG_VIEW("api"), &handle, &error) ? handle : error.code);
    put(w, "refused", ifg_http(&request, &response, &error) ? IFG_VIEW("no") : error.code);
    ifg_name(w, "now");
    ifg_i64(w, ifg_now_usec(&now, &error) ? now : -1);
    ifg_name(w, "random");
    ifg_i64(w, ifg_random(bytes, 32, &error) ? bytes[0] + 256 * bytes[31] + 65536 * bytes[32] : -1);
    ifg_end_object(w);
}

void guest_apply(const struct ifg_call *call, struct ifg_answer *answer)
{
    struct ifg_host_error error;
    struct ifg_buf big = {.limit = 0};
    int64_t now;
    volatile int64_t turns = 0;
    if (ifg_is(call->operation, "every")) {
        every(answer);
        return;
    }
    while (ifg_is(call->operation, "spin"))
        turns++;
    while (ifg_is(call->operation, "ask"))
        (void)ifg_now_usec(&now, &error);
    while (ifg_is(call->operation, "grow"))
        *(volatile char *)ifg_alloc((size_t)1 << 20) = 1;
    for (int64_t left = ifg_json_i64_of(call->params, "count", 0); left > 0; left--)
        turns++;
    for (int64_t left = ifg_json_i64_of(call->params, "bytes", 0); left > 0; left--)
        ifg_buf_str(&big, "x");
    ifg_text(&answer->result, ifg_buf_view(&big));
}

void guest_health(const struct ifg_call *call, struct ifg_answer *answer)
{
    (void)call;
    ifg_bool(&answer->result, true);
}

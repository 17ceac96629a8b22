/* Asks the import http whatever the test says, as it stands, and tells what came: for forms that the SDK would never write. Of much, its size. */
#include "infrafabric_guest.h"

__attribute__((import_module("if"), import_name("http"))) int64_t raw_http(const char *request, uint32_t length);
struct ifg_view ifg_platform_unpack(int64_t packed); /* the SDK's own */

void guest_plan(const struct ifg_call *call, struct ifg_answer *answer)
{
    (void)call;
    ifg_summary(answer, IFG_VIEW("ask"));
}

void guest_apply(const struct ifg_call *call, struct ifg_answer *answer)
{
    struct ifg_view list = ifg_json_member(call->params, "requests"), none, item, text;
    ifg_begin_array(&answer->result);
    for (size_t at = 0; ifg_json_next(list, &at, &none, &item);) {
        if (!ifg_json_string(item, &text))
            continue;
        int64_t packed = raw_http(text.data, (uint32_t)text.size);
        struct ifg_view came = packed < 0 ? (struct ifg_view){NULL, 0} : ifg_platform_unpack(packed);
        if (packed < 0 || came.size > 1000)
            ifg_i64(&answer->result, packed < 0 ? packed : (int64_t)came.size);
        else
            ifg_raw(&answer->result, came);
    }
    ifg_end_array(&answer->result);
}

void guest_health(const struct ifg_call *call, struct ifg_answer *answer)
{
    (void)call;
    ifg_bool(&answer->result, true);
}

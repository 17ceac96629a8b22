/* One call: input read, the author's function run, its answer put together. Whatever goes wrong becomes an answer that the fabric can read. */
#include "guest_internal.h"

#define MESSAGE_MAX 512

void ifg_fail_view(struct ifg_answer *self, enum ifg_kind kind, struct ifg_view message)
{
    if (self->failed)
        return;
    self->failed = true;
    self->kind = kind;
    self->message = message;
}

void ifg_fail(struct ifg_answer *self, enum ifg_kind kind, const char *message) { ifg_fail_view(self, kind, ifg_view_str(message)); }
void ifg_summary(struct ifg_answer *self, struct ifg_view text) { self->summary = text; }

/* The longest beginning of at most max bytes that is whole UTF-8. */
static struct ifg_view cut(struct ifg_view text, size_t max)
{
    size_t size = 0, next;
    while (size < text.size && (next = ifg__utf8_size(text.data + size, text.data + text.size)) > 0 && next <= max - size)
        size += next;
    return (struct ifg_view){text.data, size};
}

#define EFFECT_MAX 512 /* bytes of a target: docs/formats/guest-abi.md */

void ifg_effect(struct ifg_answer *self, const char *type, struct ifg_view target)
{
    struct ifg_buf marked = {.limit = EFFECT_MAX};
    if (target.size > EFFECT_MAX) {
        ifg_buf_put(&marked, cut(target, EFFECT_MAX - 3));
        ifg_buf_str(&marked, "...");
        target = ifg_buf_view(&marked);
    }
    if (self->effects.out.size == 0)
        ifg_begin_array(&self->effects);
    ifg_begin_object(&self->effects);
    ifg_name(&self->effects, "type");
    ifg_str(&self->effects, type);
    ifg_name(&self->effects, "target");
    ifg_text(&self->effects, target);
    ifg_end_object(&self->effects);
}

static void put_error(struct ifg_writer *out, enum ifg_kind kind, struct ifg_view message)
{
    static const char *const names[] = {[IFG_CALLER] = "caller", [IFG_PROVIDER] = "provider", [IFG_TRANSIENT] = "transient"};
    ifg_begin_object(out);
    ifg_name(out, "error");
    ifg_begin_object(out);
    ifg_name(out, "kind");
    ifg_str(out, names[kind]);
    ifg_name(out, "message");
    ifg_text(out, cut(message, MESSAGE_MAX));
    ifg_end_object(out);
    ifg_end_object(out);
}

static void put_plan(struct ifg_writer *out, struct ifg_answer *answer)
{
    if (answer->effects.out.size == 0)
        ifg_begin_array(&answer->effects);
    ifg_end_array(&answer->effects);
    if (!ifg_writer_done(&answer->effects))
        return;
    ifg_begin_object(out);
    ifg_name(out, "summary");
    ifg_text(out, answer->summary);
    ifg_name(out, "effects");
    ifg_raw(out, ifg_buf_view(&answer->effects.out));
    if (answer->cost_usd_micro >= 0) {
        ifg_name(out, "cost");
        ifg_begin_object(out);
        ifg_name(out, "usd_micro");
        ifg_i64(out, answer->cost_usd_micro);
        ifg_end_object(out);
    }
    ifg_end_object(out);
}

static void put_result(struct ifg_writer *out, struct ifg_answer *answer)
{
    if (!ifg_writer_done(&answer->result))
        return;
    ifg_begin_object(out);
    ifg_name(out, "result");
    ifg_raw(out, ifg_buf_view(&answer->result.out));
    ifg_end_object(out);
}

static bool read_call(struct ifg_view input, struct ifg_call *ret_call)
{
    return ifg_json_check(input) && ifg_json_string(ifg_json_member(input, "operation"), &ret_call->operation) &&
           ifg_json_type(ret_call->params = ifg_json_member(input, "params")) == IFG_JSON_OBJECT &&
           ifg_json_type(ret_call->context = ifg_json_member(input, "context")) == IFG_JSON_OBJECT;
}

struct ifg_view ifg__run(char mode, struct ifg_view input)
{
    struct ifg_call call = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
    struct ifg_answer answer = {.cost_usd_micro = -1};
    struct ifg_writer out = {.depth = 0}, error = {.depth = 0};
    if (!read_call(input, &call))
        ifg_fail(&answer, IFG_CALLER, "input is no call of guest ABI v1");
    else if (mode == 'p')
        guest_plan(&call, &answer);
    else if (mode == 'a')
        guest_apply(&call, &answer);
    else
        guest_health(&call, &answer);
    if (!answer.failed && mode == 'p')
        put_plan(&out, &answer);
    else if (!answer.failed)
        put_result(&out, &answer);
    if (!answer.failed && ifg_writer_done(&out))
        return ifg_buf_view(&out.out);
    if (!answer.failed)
        ifg_fail(&answer, IFG_PROVIDER, "the guest wrote no whole answer");
    put_error(&error, answer.kind, answer.message);
    return ifg_buf_view(&error.out);
}

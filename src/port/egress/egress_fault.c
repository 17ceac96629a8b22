/* Wraps any other back-end and fails one of its calls; its events come out of the wrapper. */
#include "base/mem.h"
#include "job.h"

struct fault {
    struct ifab_egress base;
    struct ifab_egress *inner;      /* owned */
    struct ifab_egress_fault *plan; /* borrowed */
};
static struct fault *of(struct ifab_egress *base) { return (struct fault *)(void *)base; }
static bool now(struct fault *self) { return ++self->plan->calls == self->plan->at; }

static ifab_status fault_submit(struct ifab_egress *base, struct ifab_egress_job *job)
{
    struct fault *self = of(base);
    if (!now(self))
        return self->inner->ops->submit(self->inner, job);
    if (self->plan->status != IFAB_OK)
        return self->plan->status;
    ifab_egress__fail(base, job, IFAB_EGRESS_TRANSPORT, "a fault that was planned", 1, true, NULL);
    ifab_egress__job_free(job);
    return IFAB_OK;
}
static ifab_status fault_send(struct ifab_egress *base, uint64_t id, bool binary, struct ifab_view bytes)
{
    struct fault *self = of(base);
    if (now(self) && self->plan->status != IFAB_OK)
        return self->plan->status;
    return self->inner->ops->send(self->inner, id, binary, bytes);
}
static ifab_status fault_answer(struct ifab_egress *base, uint64_t id, struct ifab_view text, struct ifab_leak_set *own)
{
    struct fault *self = of(base);
    if (now(self) && self->plan->status != IFAB_OK)
        return self->plan->status;
    return self->inner->ops->answer(self->inner, id, text, own);
}
static ifab_status fault_shut(struct ifab_egress *base, uint64_t id, uint16_t code) { return of(base)->inner->ops->shut(of(base)->inner, id, code); }
static void fault_cancel(struct ifab_egress *base, uint64_t id) { of(base)->inner->ops->cancel(of(base)->inner, id); }
static void fault_close(struct ifab_egress *base)
{
    struct fault *self = of(base);
    self->inner->ops->close(self->inner);
    ifab_egress__fini(base);
    ifab_free(self);
}
static const struct ifab_egress_ops fault_ops = {IFAB_EGRESS_ABI, "fault", fault_submit, fault_send, fault_shut, fault_cancel, fault_close, fault_answer};

ifab_status ifab_egress_fault_open(struct ifab_egress *inner, struct ifab_egress_fault *plan, struct ifab_egress **ret_egress, struct ifab_error *err)
{
    struct fault *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return ifab_fail(err, IFAB_NOMEM, "egress");
    struct ifab_egress_settings as_inner = {
        .version = IFAB_EGRESS_ABI, .wake = inner->wake, .user = inner->user, .requests_max = inner->requests_max, .tenant_max = inner->tenant_max};
    ifab_status status = ifab_egress__init(&self->base, &fault_ops, &as_inner, err);
    if (status != IFAB_OK) {
        ifab_free(self);
        return status;
    }
    self->inner = inner;
    self->plan = plan;
    inner->sink = &self->base;
    *ret_egress = &self->base;
    return IFAB_OK;
}

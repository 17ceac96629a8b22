/* A back-end that wraps another and fails its n-th call before the inner one sees it, so that a sweep over n shows what callers do then. */
#include "vault_internal.h"

struct fault {
    struct ifab_vault_backend base;
    struct ifab_vault_backend *inner; /* owned */
    struct ifab_vault_fault *plan;    /* borrowed */
};

static struct fault *of(struct ifab_vault_backend *base) { return (struct fault *)(void *)base; }

static ifab_status count(struct fault *self, const char *call, struct ifab_error *err)
{
    if (++self->plan->calls != self->plan->at)
        return IFAB_OK;
    return ifab_fail(err, self->plan->status, "vault: planned failure of call %llu (%s)", (unsigned long long)self->plan->calls, call);
}

static ifab_status fault_load(struct ifab_vault_backend *base, const struct ifab_vault_mark *mark, ifab_vault_visit_fn *visit, void *user,
                              struct ifab_error *err)
{
    IFAB_TRY(count(of(base), "load", err));
    return of(base)->inner->ops->load(of(base)->inner, mark, visit, user, err);
}

static ifab_status fault_stage(struct ifab_vault_backend *base, const struct ifab_vault_change *change, struct ifab_vault_mark *ret_mark,
                               struct ifab_error *err)
{
    IFAB_TRY(count(of(base), "stage", err));
    return of(base)->inner->ops->stage(of(base)->inner, change, ret_mark, err);
}

static ifab_status fault_publish(struct ifab_vault_backend *base, uint64_t counter, struct ifab_error *err)
{
    IFAB_TRY(count(of(base), "publish", err));
    return of(base)->inner->ops->publish(of(base)->inner, counter, err);
}

static ifab_status fault_settle(struct ifab_vault_backend *base, uint64_t counter, struct ifab_error *err)
{
    IFAB_TRY(count(of(base), "settle", err));
    return of(base)->inner->ops->settle(of(base)->inner, counter, err);
}

static void fault_back(struct ifab_vault_backend *base, uint64_t counter) { of(base)->inner->ops->back(of(base)->inner, counter); }

static void fault_close(struct ifab_vault_backend *base)
{
    ifab_vault_backend_close(of(base)->inner);
    ifab_free(base);
}

static const struct ifab_vault_ops fault_ops = {
    .abi = IFAB_VAULT_ABI,
    .name = "fault",
    .load = fault_load,
    .stage = fault_stage,
    .publish = fault_publish,
    .settle = fault_settle,
    .back = fault_back,
    .close = fault_close,
};

ifab_status ifab_vault_fault_open(struct ifab_vault_backend *inner, struct ifab_vault_fault *plan, struct ifab_vault_backend **ret_backend,
                                  struct ifab_error *err)
{
    struct fault *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return ifab_fail(err, IFAB_NOMEM, "vault: out of memory");
    self->base.ops = &fault_ops;
    self->inner = inner;
    self->plan = plan;
    *ret_backend = &self->base;
    return IFAB_OK;
}

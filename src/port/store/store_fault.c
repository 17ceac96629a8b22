/*
 * A store that wraps another and fails its n-th call, once or from then on, before the inner store sees it. So a sweep over n shows what a
 * caller does when any one call fails. Threads: the plan is counted without a lock; one thread at a time over all handles of a plan.
 */
#include "base/mem.h"
#include "store/store.h"

struct fault {
    struct ifab_store base;
    struct ifab_store *inner;      /* owned */
    struct ifab_store_fault *plan; /* borrowed */
};
static const struct ifab_store_ops fault_ops;

static struct fault *of(struct ifab_store *base) { return (struct fault *)(void *)base; }

static ifab_status count(struct fault *self, const char *call, struct ifab_error *err)
{
    struct ifab_store_fault *plan = self->plan;
    plan->calls++;
    if (plan->at == 0 || plan->calls < plan->at || (plan->calls > plan->at && !plan->sticky))
        return IFAB_OK;
    return ifab_fail(err, plan->status, "store: planned failure of call %llu (%s)", (unsigned long long)plan->calls, call);
}

static ifab_status fault_commit(struct ifab_store *base, const struct ifab_commit *commit, struct ifab_error *err)
{
    IFAB_TRY(count(of(base), "commit", err));
    return ifab_store_commit(of(base)->inner, commit, err);
}

static ifab_status fault_head(struct ifab_store *base, struct ifab_arena *arena, struct ifab_head *ret_head, struct ifab_error *err)
{
    IFAB_TRY(count(of(base), "head", err));
    return ifab_store_head(of(base)->inner, arena, ret_head, err);
}

static ifab_status fault_read(struct ifab_store *base, uint64_t first, size_t max, bool with_messages, struct ifab_arena *arena,
                              struct ifab_stored_entry *ret_entries, size_t *ret_count, struct ifab_error *err)
{
    IFAB_TRY(count(of(base), "read", err));
    return ifab_store_read(of(base)->inner, first, max, with_messages, arena, ret_entries, ret_count, err);
}

static ifab_status fault_records(struct ifab_store *base, ifab_record_fn *fn, void *user, struct ifab_error *err)
{
    IFAB_TRY(count(of(base), "records", err));
    return ifab_store_records(of(base)->inner, fn, user, err);
}

static ifab_status fault_tags(struct ifab_store *base, ifab_usec since, ifab_tags_fn *fn, void *user, struct ifab_error *err)
{
    IFAB_TRY(count(of(base), "tags", err));
    return ifab_store_tags(of(base)->inner, since, fn, user, err);
}

static ifab_status fault_erase(struct ifab_store *base, uint64_t index, struct ifab_error *err)
{
    IFAB_TRY(count(of(base), "erase", err));
    return ifab_store_erase(of(base)->inner, index, err);
}

static ifab_status fault_checkpoint(struct ifab_store *base, uint64_t *ret_wal_bytes, struct ifab_error *err)
{
    IFAB_TRY(count(of(base), "checkpoint", err));
    return ifab_store_checkpoint(of(base)->inner, ret_wal_bytes, err);
}

static uint64_t fault_wal_bytes(struct ifab_store *base) { return ifab_store_wal_bytes(of(base)->inner); }

static ifab_status fault_backup(struct ifab_store *base, const char *directory, struct ifab_error *err)
{
    IFAB_TRY(count(of(base), "backup", err));
    return ifab_store_backup(of(base)->inner, directory, err);
}

static ifab_status fault_reader(struct ifab_store *base, struct ifab_store **ret_reader, struct ifab_error *err)
{
    IFAB_TRY(count(of(base), "reader", err));
    IFAB_CLEANUP(ifab_store_closep) struct ifab_store *inner = NULL;
    IFAB_TRY(ifab_store_reader(of(base)->inner, &inner, err));
    IFAB_TRY(ifab_store_fault_open(inner, of(base)->plan, ret_reader, err));
    inner = NULL; /* moved */
    return IFAB_OK;
}

static void fault_close(struct ifab_store *base)
{
    ifab_store_close(of(base)->inner);
    ifab_free(base);
}

static const struct ifab_store_ops fault_ops = {
    .abi = IFAB_STORE_ABI,
    .name = "fault",
    .commit = fault_commit,
    .head = fault_head,
    .read = fault_read,
    .records = fault_records,
    .tags = fault_tags,
    .erase = fault_erase,
    .checkpoint = fault_checkpoint,
    .wal_bytes = fault_wal_bytes,
    .backup = fault_backup,
    .reader = fault_reader,
    .close = fault_close,
};

ifab_status ifab_store_fault_open(struct ifab_store *inner, struct ifab_store_fault *plan, struct ifab_store **ret_store,
                                  struct ifab_error *err)
{
    if (inner == NULL || plan == NULL || ret_store == NULL)
        return ifab_fail(err, IFAB_INVALID, "store: fault needs an inner store and a plan");
    struct fault *self = ifab_calloc(1, sizeof *self);
    if (self == NULL)
        return ifab_fail(err, IFAB_NOMEM, "store: fault");
    self->base.ops = &fault_ops;
    self->inner = inner;
    self->plan = plan;
    *ret_store = &self->base;
    return IFAB_OK;
}

/* One entry and its place in a tree, as receipts and bundles carry them: {"entry","index","leaf","path":[hex…],"size"}. */
#include "verify_internal.h"

#include "base/encode.h"

bool ifab_verify__proof_read(const struct ifab_json *tree, struct verify_proof *ret_proof, struct ifab_verify_report *report)
{
    const struct ifab_json *path = ifab_json_get(tree, "path");
    struct verify_proof *p = ret_proof;

    if (!ifab_json_integer(ifab_json_get(tree, "index"), &p->index) || !ifab_json_integer(ifab_json_get(tree, "size"), &p->size) ||
        p->index < 0 || p->size < 0 || ifab_hex_decode(ifab_verify__text(tree, "leaf"), p->leaf32, 32) != IFAB_OK || path == NULL ||
        path->type != IFAB_JSON_ARRAY || path->u.array.count > VERIFY_PATH_MAX || !ifab_json_string(ifab_json_get(tree, "entry"), &p->entry))
        return ifab_verify__broken(report, "proof: malformed");
    for (size_t i = 0; i < path->u.array.count; i++) {
        struct ifab_view hex = {NULL, 0};
        if (!ifab_json_string(&path->u.array.items[i], &hex) || ifab_hex_decode(hex, p->path[i], 32) != IFAB_OK)
            return ifab_verify__broken(report, "proof: path[%zu] is no hash", i);
    }
    p->path_count = path->u.array.count;
    return true;
}

bool ifab_verify__proof_check(const struct verify_proof *p, const struct verify_head *head, struct ifab_verify_report *report)
{
    uint8_t leaf32[32];

    ifab_leaf_hash(p->entry, leaf32);
    if (memcmp(leaf32, p->leaf32, 32) != 0)
        return ifab_verify__broken(report, "proof: leaf is not the hash of the entry");
    if ((uint64_t)p->size != head->body.size)
        return ifab_verify__broken(report, "proof: it is for a tree of another size than the checkpoint");
    if (!ifab_proof_inclusion_verify((uint64_t)p->index, (uint64_t)p->size, leaf32, (const uint8_t(*)[32])p->path, p->path_count,
                                     head->body.root32))
        return ifab_verify__broken(report, "proof: the entry is not in the tree of the checkpoint");
    return true;
}

ifab_status ifab_verify__proof_parse(struct verify_proof *p, struct ifab_arena *arena, struct ifab_verify_report *report, struct ifab_error *err)
{
    const struct ifab_json_limits limits = {.max_size = IFAB_ENTRY_MAX};
    struct ifab_buf canonical = IFAB_BUF_INIT(IFAB_ENTRY_MAX + 1);
    ifab_status status = ifab_json_read(p->entry, &limits, arena, &p->logged, NULL);

    if (status == IFAB_OK) {
        ifab_json_write(&canonical, p->logged);
        if (ifab_buf_status(&canonical) == IFAB_NOMEM)
            status = IFAB_NOMEM;
        else if (!ifab_view_equal(ifab_buf_as_view(&canonical), p->entry))
            status = IFAB_INVALID;
    }
    ifab_buf_fini(&canonical);
    if (status == IFAB_NOMEM)
        return ifab_fail(err, IFAB_NOMEM, "entry");
    if (status != IFAB_OK)
        ifab_verify__broken(report, "proof.entry is no entry in canonical form");
    return IFAB_OK;
}

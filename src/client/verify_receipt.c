/*
 * A receipt: the entry it names is in the tree whose root was signed, and says what the receipt says. receipt.entry.hash is SHA-256 of the
 * entry, the leaf is another hash of it, so the proof carries the entry itself.
 */
#include "verify_internal.h"

#include "base/encode.h"

#define RECEIPT_MAX (1 << 20)

struct receipt {
    const struct ifab_json *tree, *entry;
    struct verify_proof proof;
};

/* receipt.entry: hash, index and log of the entry. */
static bool check_entry_name(const struct receipt *r, struct ifab_verify_report *report)
{
    uint8_t said32[32], hash32[32];
    int64_t index = -1, logged = -1;

    ifab_sha256(r->proof.entry, hash32);
    if (!ifab_verify__digest(ifab_verify__text(r->entry, "hash"), said32) || memcmp(said32, hash32, 32) != 0)
        return ifab_verify__broken(report, "entry.hash is not the hash of the entry");
    if (!ifab_json_integer(ifab_json_get(r->entry, "index"), &index) || index != r->proof.index ||
        !ifab_json_integer(ifab_json_get(r->proof.logged, "index"), &logged) || logged != index)
        return ifab_verify__broken(report, "entry.index is not the one of the entry");
    if (!ifab_view_equal(ifab_verify__text(r->entry, "log"), ifab_verify__text(r->proof.logged, "log")))
        return ifab_verify__broken(report, "entry.log is another log");
    return true;
}

static bool same_member(const struct ifab_json *a, const struct ifab_json *b, const char *name, bool must_be)
{
    const struct ifab_json *left = ifab_json_get(a, name), *right = ifab_json_get(b, name);
    struct ifab_view x, y;

    if (left == NULL && right == NULL)
        return !must_be;
    return ifab_json_string(left, &x) && ifab_json_string(right, &y) && ifab_view_equal(x, y);
}

/* Everything the receipt says about the decision stands in the entry, and nothing else. */
static bool check_words(const struct receipt *r, struct ifab_verify_report *report)
{
    static const struct {
        const char *name;
        bool must_be;
    } members[] = {{"id", true},      {"decision", true}, {"message_digest", true}, {"policy_digest", false},
                   {"reason", false}, {"rule", false},    {"expires_at", false}};
    const struct ifab_json *payload = ifab_json_get(r->proof.logged, "payload");

    for (size_t i = 0; i < IFAB_COUNT(members); i++)
        if (!same_member(r->tree, payload, members[i].name, members[i].must_be))
            return ifab_verify__broken(report, "%s is not what the entry says", members[i].name);
    if (!ifab_view_equal(ifab_verify__text(r->tree, "trace"), ifab_verify__text(r->proof.logged, "trace"))) /* "" where there is none */
        return ifab_verify__broken(report, "trace is not what the entry says");
    return true;
}

static ifab_status check(struct receipt *r, struct verify_head *head, struct ifab_arena *arena, struct ifab_verify_report *report,
                         struct ifab_error *err)
{
    struct ifab_view note = {NULL, 0};
    const struct ifab_json *proof = ifab_json_get(r->tree, "proof");

    r->entry = ifab_json_get(r->tree, "entry");
    if (r->tree->type != IFAB_JSON_OBJECT || r->entry == NULL || ifab_json_get(r->tree, "decision") == NULL) {
        ifab_verify__broken(report, "this is no receipt");
        return IFAB_OK;
    }
    if (proof == NULL || !ifab_json_string(ifab_json_get(r->tree, "checkpoint"), &note)) {
        ifab_verify__broken(report, "the receipt holds no checkpoint and proof: nothing to verify it by (fetch it with ?proof=1)");
        return IFAB_OK;
    }
    if (!ifab_verify__head_read(note, head, report) || !ifab_verify__proof_read(proof, &r->proof, report))
        return IFAB_OK;
    ifab_verify__signed(head, report);
    IFAB_TRY(ifab_verify__proof_parse(&r->proof, arena, report, err));
    if (report->intact && ifab_verify__proof_check(&r->proof, head, report) && check_entry_name(r, report) && check_words(r, report)) {
        report->entries_checked = 1;
        (void)snprintf(report->integrity, sizeof report->integrity, "the entry says what the receipt says, and is in the tree");
    }
    return IFAB_OK;
}

ifab_status ifab_verify_receipt(struct ifab_view bytes, const struct ifab_verify_options *options, struct ifab_verify_report *ret_report,
                                struct ifab_error *err)
{
    const struct ifab_json_limits limits = {.max_size = RECEIPT_MAX};
    struct receipt receipt = {0};
    struct verify_head head = {0};
    struct ifab_arena arena;
    ifab_status status;

    *ret_report = (struct ifab_verify_report){0};
    IFAB_TRY(ifab_verify__one_tree(options, &head, err));
    IFAB_TRY(ifab_verify__key(options, &head, err));
    ret_report->intact = true;
    ifab_arena_init(&arena, (size_t)64 << 20);
    status = ifab_json_read(bytes, &limits, &arena, &receipt.tree, NULL);
    if (status == IFAB_OK) {
        status = check(&receipt, &head, &arena, ret_report, err);
        if (status == IFAB_OK)
            status = ifab_verify__seen_before(options, &head, ret_report, err);
    } else if (status != IFAB_NOMEM) {
        ifab_verify__broken(ret_report, "not a JSON document");
        status = IFAB_OK;
    }
    if (status == IFAB_OK)
        ifab_verify__conclude(&head, ret_report);
    else
        ret_report->intact = false;
    ifab_arena_fini(&arena);
    return status;
}

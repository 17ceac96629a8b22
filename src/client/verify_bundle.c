/*
 * An .ifproof: what was said, what was decided about it, and whose key said it. docs/formats/ifproof.md.
 *
 *   checkpoint (signed) --proof--> decision entry --message_digest--> the envelope's exact bytes
 *                       --proof--> enrolment entry --key--> the envelope's signature
 */
#include "verify_internal.h"

#include "base/encode.h"
#include "connect/envelope.h"

#define BUNDLE_MAX ((size_t)4 << 20)

struct bundle {
    const struct ifab_json *tree;
    struct verify_proof decision, enrolment;
    struct ifab_envelope envelope;
};

static bool has(const struct ifab_json *object, const char *name, const char *value)
{
    return ifab_view_is(ifab_verify__text(object, name), value);
}

static bool index_agrees(const struct verify_proof *p, const char *what, struct ifab_verify_report *report)
{
    int64_t logged = -1;

    if (!ifab_json_integer(ifab_json_get(p->logged, "index"), &logged) || logged != p->index)
        return ifab_verify__broken(report, "%s: its index is not the one of the entry", what);
    return true;
}

/* The decision is about exactly these bytes. */
static bool check_decision(const struct bundle *b, struct ifab_verify_report *report)
{
    const struct ifab_json *logged = b->decision.logged, *payload = ifab_json_get(logged, "payload");
    uint8_t digest32[32];

    if (!has(logged, "component", "IF.connect") || !has(logged, "type", "message") || ifab_verify__text(payload, "decision").size == 0)
        return ifab_verify__broken(report, "decision: the entry is no decision about a message");
    if (!ifab_verify__digest(ifab_verify__text(payload, "message_digest"), digest32) ||
        memcmp(digest32, b->envelope.message_digest32, 32) != 0)
        return ifab_verify__broken(report, "envelope: its digest is not the one in the decision");
    if (!ifab_verify__exact(payload, &b->envelope))
        return ifab_verify__broken(report, "envelope: it says what was accepted, but is not its bytes");
    if (!ifab_view_equal(b->envelope.sender, ifab_verify__text(logged, "actor")) ||
        !ifab_view_equal(b->envelope.id, ifab_verify__text(logged, "subject")))
        return ifab_verify__broken(report, "envelope: id or sender differ from the decision");
    return true;
}

/* Was this key good at that time? Times absent: without end. */
static bool key_good(const struct ifab_json *key, ifab_usec at)
{
    static const struct {
        const char *name;
        bool begins;
    } bounds[] = {{"not_before", true}, {"not_after", false}, {"revoked_at", false}};

    for (size_t i = 0; i < IFAB_COUNT(bounds); i++) {
        ifab_usec bound = 0;
        if (ifab_json_get(key, bounds[i].name) == NULL)
            continue;
        if (ifab_time_parse(ifab_verify__text(key, bounds[i].name), &bound) != IFAB_OK || (bounds[i].begins ? at < bound : at >= bound))
            return false;
    }
    return true;
}

/* An earlier entry enrolled that key for the sender, and it was good when the decision fell. */
static bool check_enrolment(const struct bundle *b, struct ifab_verify_report *report)
{
    const struct ifab_json *logged = b->enrolment.logged, *record = ifab_json_get(ifab_json_get(logged, "payload"), "record");
    const struct ifab_json *keys = ifab_json_get(record, "keys");
    ifab_usec decided = 0;

    if (b->enrolment.index >= b->decision.index)
        return ifab_verify__broken(report, "enrolment: it does not stand before the decision");
    if ((!has(logged, "type", "talent") && !has(logged, "type", "fabric")) || keys == NULL || keys->type != IFAB_JSON_ARRAY ||
        !ifab_view_equal(ifab_verify__text(record, "name"), b->envelope.sender_name))
        return ifab_verify__broken(report, "enrolment: the entry holds no record of the sender");
    if (ifab_time_parse(ifab_verify__text(b->decision.logged, "time"), &decided) != IFAB_OK)
        return ifab_verify__broken(report, "decision: the entry has no time");
    for (size_t i = 0; i < keys->u.array.count; i++) {
        uint8_t pubkey32[32];
        size_t size = 0;
        if (ifab_base64url_decode(ifab_verify__text(&keys->u.array.items[i], "pubkey"), pubkey32, 32, &size) != IFAB_OK || size != 32 ||
            memcmp(pubkey32, b->envelope.pubkey32, 32) != 0)
            continue;
        if (!key_good(&keys->u.array.items[i], decided))
            return ifab_verify__broken(report, "enrolment: the key was not valid when the decision fell");
        if (ifab_envelope_verify(&b->envelope, pubkey32, NULL) != IFAB_CODE_NONE)
            return ifab_verify__broken(report, "envelope: bad signature");
        return true;
    }
    return ifab_verify__broken(report, "envelope: its key is not one enrolled for its sender");
}

static ifab_status check(struct bundle *b, struct verify_head *head, struct ifab_arena *arena, struct ifab_verify_report *report,
                         struct ifab_error *err)
{
    struct ifab_view note = {NULL, 0}, bytes = {NULL, 0};
    int64_t version = 0;
    enum ifab_code code;

    if (b->tree->type != IFAB_JSON_OBJECT || b->tree->u.object.count != 5 || !ifab_json_integer(ifab_json_get(b->tree, "v"), &version) ||
        version != 1 || !ifab_json_string(ifab_json_get(b->tree, "checkpoint"), &note) ||
        !ifab_json_string(ifab_json_get(b->tree, "envelope"), &bytes)) {
        ifab_verify__broken(report, "this is no bundle: v 1, checkpoint, envelope, decision and enrolment are expected");
        return IFAB_OK;
    }
    if (!ifab_verify__head_read(note, head, report) || !ifab_verify__proof_read(ifab_json_get(b->tree, "decision"), &b->decision, report) ||
        !ifab_verify__proof_read(ifab_json_get(b->tree, "enrolment"), &b->enrolment, report))
        return IFAB_OK;
    ifab_verify__signed(head, report);
    IFAB_TRY(ifab_verify__proof_parse(&b->decision, arena, report, err));
    if (report->intact)
        IFAB_TRY(ifab_verify__proof_parse(&b->enrolment, arena, report, err));
    if (!report->intact || !ifab_verify__proof_check(&b->decision, head, report) || !ifab_verify__proof_check(&b->enrolment, head, report) ||
        !index_agrees(&b->decision, "decision", report) || !index_agrees(&b->enrolment, "enrolment", report))
        return IFAB_OK;
    report->entries_checked = 2;
    code = ifab_envelope_read(bytes, VERIFY_MESSAGE_MAX, arena, &b->envelope, NULL);
    if (code == IFAB_CODE_SYSTEM_ERROR)
        return ifab_fail(err, IFAB_NOMEM, "envelope");
    if (code != IFAB_CODE_NONE) {
        ifab_verify__broken(report, "envelope: malformed");
    } else if (check_decision(b, report) && check_enrolment(b, report)) {
        report->messages_good = 1;
        (void)snprintf(report->integrity, sizeof report->integrity,
                       "the message is the one decided about, by a key that an earlier entry enrolled; both are in the tree");
    }
    return IFAB_OK;
}

ifab_status ifab_verify_bundle(struct ifab_view bytes, const struct ifab_verify_options *options, struct ifab_verify_report *ret_report,
                               struct ifab_error *err)
{
    const struct ifab_json_limits limits = {.max_size = BUNDLE_MAX};
    struct bundle *bundle = ifab_calloc(1, sizeof *bundle);
    struct verify_head head = {0};
    struct ifab_arena arena;
    ifab_status status;

    *ret_report = (struct ifab_verify_report){0};
    if (bundle == NULL)
        return ifab_fail(err, IFAB_NOMEM, "bundle");
    status = ifab_verify__one_tree(options, &head, err);
    if (status == IFAB_OK)
        status = ifab_verify__key(options, &head, err);
    ret_report->intact = status == IFAB_OK;
    ifab_arena_init(&arena, (size_t)64 << 20);
    if (status == IFAB_OK) {
        status = ifab_json_read(bytes, &limits, &arena, &bundle->tree, NULL);
        if (status == IFAB_OK) {
            status = check(bundle, &head, &arena, ret_report, err);
            if (status == IFAB_OK)
                status = ifab_verify__seen_before(options, &head, ret_report, err);
        } else if (status != IFAB_NOMEM) {
            ifab_verify__broken(ret_report, "not a JSON document");
            status = IFAB_OK;
        }
    }
    if (status == IFAB_OK)
        ifab_verify__conclude(&head, ret_report);
    else
        ret_report->intact = false;
    ifab_arena_fini(&arena);
    ifab_free(bundle);
    return status;
}

#ifndef SUPPORT_COURSE_H
#define SUPPORT_COURSE_H
/* What random courses of the fabric in rig.h share: which message an entry tells of, one of the open decisions, a vote about it, rules. Header only. */
#include "guard/ruleset.h"
#include "rig.h"

/* The number of the message that an entry is about, as rig_put_id() wrote it; 0: it is about none. */
static inline uint64_t course_subject(const char *entry)
{
    static const char subject[] = "\"subject\":\"msg-01930000-0000-7000-8000-";
    const char *at = strstr(entry, subject);
    return at == NULL ? 0 : strtoull(at + sizeof subject - 1, NULL, 16);
}

static inline uint64_t course_number(const struct ifab_open_decision *d)
{
    uint64_t id = 0;
    for (size_t i = 10; i < 16; i++)
        id = id << 8 | d->id16[i];
    return id;
}

static inline bool course_says(const char *entry, const char *operation)
{
    char text[64];
    snprintf(text, sizeof text, "\"operation\":\"%s\"", operation);
    return strstr(entry, text) != NULL;
}

/* NULL: none is open. */
static inline const struct ifab_open_decision *course_open(const struct rig *rig, struct test_random *random)
{
    const struct ifab_decisions *open = ifab_fabric_decisions(rig->fabric);
    size_t count = ifab_decisions_count(open, IFAB_DECISION_HOLD) + ifab_decisions_count(open, IFAB_DECISION_ESCALATE);
    const struct ifab_open_decision *d = ifab_decisions_after(open, 0);
    for (uint64_t skip = count == 0 ? 0 : test_random_below(random, count); skip > 0 && d != NULL; skip--)
        d = ifab_decisions_after(open, d->number);
    return d;
}

/* As admission hands it in once its signature was good; without its verdict. */
static inline struct ifab_command course_vote(struct rig *rig, const struct ifab_open_decision *d, uint32_t voter)
{
    struct ifab_command command = {.type = IFAB_COMMAND_VOTE};
    uint64_t n = ++rig->n;
    ifab_signer_public(rig->talents[voter].signer, command.u.vote.pubkey32);
    command.u.vote.talent = voter;
    memcpy(command.u.vote.digest16, &n, 8);
    command.u.vote.digest16[15] = 0x0E;
    memcpy(command.u.vote.nonce, &n, 8);
    command.u.vote.nonce_size = 16;
    memcpy(command.u.vote.decision_id16, d->id16, 16);
    memcpy(command.u.vote.message_digest32, d->message_digest32, 32);
    memcpy(command.u.vote.policy_digest32, d->policy_digest32, 32);
    command.u.vote.id_text = IFAB_VIEW("msg-x");
    command.u.vote.log = ifab_view_str(rig->settings.origin);
    command.u.vote.why = IFAB_VIEW("looked at it");
    command.u.vote.issued_at = rig->now.wall;
    command.u.vote.expires_at = rig->now.wall + IFAB_MINUTE;
    return command;
}

static inline struct ifab_ruleset *course_compile(const struct ifab_buf *text)
{
    struct ifab_arena arena;
    const struct ifab_json *root, *where;
    struct ifab_ruleset *set = NULL;
    struct ifab_error err = {0};
    ifab_arena_init(&arena, 1 << 20);
    rig_must(ifab_json_read(ifab_buf_as_view(text), NULL, &arena, &root, &err) == IFAB_OK, err.text);
    const struct ifab_rule_source source = {.root = root};
    rig_must(ifab_ruleset_compile(&source, &set, &where, &err) == IFAB_OK, err.text);
    ifab_arena_fini(&arena);
    return set;
}

/* Fills the command, and the rig's settings, from which a restart begins. The set outlives the rig; *rules lives as long as the command. */
static inline void course_rules(struct rig *rig, const struct ifab_ruleset *set, struct ifab_guard_rules *rules, struct ifab_command *command)
{
    *rules = ifab_fabric_settings(rig->fabric)->rules;
    rules->set = set;
    ifab_sha256(ifab_ruleset_canonical(set), rules->digest32);
    rig->settings.rules = *rules;
    *command = (struct ifab_command){.type = IFAB_COMMAND_RULES, .why = IFAB_VIEW("because")};
    command->u.rules.rules = rules;
}
#endif

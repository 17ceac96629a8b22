/* Flags of message new|send → a draft. Everything in it is borrowed from argv or from the box. */
#include "draft.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/nearest.h"

static bool number_0_to_1(const char *text, double *ret)
{
    char *end;
    if (text[0] != '0' && text[0] != '1' && text[0] != '.')
        return false;
    *ret = strtod(text, &end);
    return *end == '\0' && *ret >= 0 && *ret <= 1;
}

static int take_evidence(struct cli *cli, struct draft_box *box)
{
    const char *value;
    for (size_t i = 0; (value = cli_get_nth(cli, "evidence", i)) != NULL; i++) {
        if (i >= IFAB_COUNT(box->evidence))
            return cli_usage(cli, "at most %zu --evidence", IFAB_COUNT(box->evidence));
        const char *comma = strrchr(value, ',');
        bool hashed = comma != NULL && strncmp(comma + 1, "sha256:", 7) == 0; /* a URL may hold commas of its own */
        if (!cli_path(box->urls[i], sizeof box->urls[i], "%.*s", hashed ? (int)(comma - value) : (int)strlen(value), value))
            return cli_usage(cli, "--evidence is too long");
        box->evidence[i] = (struct ifab_draft_evidence){.type = "url", .url = box->urls[i], .hash = hashed ? comma + 1 : NULL};
        box->draft.evidence_count = i + 1;
    }
    box->draft.evidence = box->evidence;
    return 0;
}

static int take_list(struct cli *cli, const char *name, const char **list, size_t room, size_t *ret_count)
{
    const char *value;
    for (size_t i = 0; (value = cli_get_nth(cli, name, i)) != NULL; i++) {
        if (i >= room)
            return cli_usage(cli, "at most %zu --%s", room, name);
        list[i] = value;
        *ret_count = i + 1;
    }
    return 0;
}

/* Sent as it was said: a fabric may know more. What looks like a slip is named, for an unknown hazard decides nothing. */
static void warn_hazards(const struct cli *cli)
{
    static const char *const known[] = {"legal", "safety", "conflict>20%", "ethical", "privacy", "financial", "security", "technical"};
    const char *value;
    for (size_t i = 0; (value = cli_get_nth(cli, "hazard", i)) != NULL; i++) {
        size_t least = SIZE_MAX, best = 0;
        for (size_t k = 0; k < IFAB_COUNT(known) && least > 0; k++) {
            size_t far = ifab_edit_distance(ifab_view_str(value), ifab_view_str(known[k]));
            best = far < least ? k : best;
            least = far < least ? far : least;
        }
        if (least > 0 && least <= 3)
            cli_say(cli, "warning: no hazard is called %s; did you mean %s?", value, known[best]);
        else if (least > 0)
            cli_say(cli, "warning: no hazard is called %s: legal, safety, conflict>20%%, ethical, privacy, financial, security or technical", value);
    }
}

static int check_object(struct cli *cli, const char *name, const char *text)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    const struct ifab_json_limits limits = {.all_numbers_safe = true};
    const struct ifab_json *tree;
    ifab_arena_init(&arena, 64 << 20);
    ifab_status status = ifab_json_read(ifab_view_str(text), &limits, &arena, &tree, cli_clean_err(cli));
    if (status != IFAB_OK)
        return cli_usage(cli, "--%s, byte %u: %s", name, cli->err.offset, cli->err.text);
    return tree->type == IFAB_JSON_OBJECT ? 0 : cli_usage(cli, "--%s, byte 0: expected a JSON object: {\"name\":\"value\"}", name);
}

static int check_flags(struct cli *cli)
{
    static const char *const objects[] = {"scope", "data"};
    const char *claim = cli_get(cli, "claim"), *topic = cli_get(cli, "topic");
    if (claim != NULL && claim[strspn(claim, " \t\n\r")] == '\0')
        return cli_usage(cli, "--claim is empty");
    if (topic != NULL && (strncmp(topic, "sha256:", 7) != 0 || strlen(topic) != 71 || strspn(topic + 7, "0123456789abcdef") != 64))
        return cli_usage(cli, "--topic is sha256: and 64 lower-case hex digits, not \"%s\"", topic);
    for (size_t i = 0; i < IFAB_COUNT(objects); i++) {
        const char *text = cli_get(cli, objects[i]);
        int code = text == NULL ? 0 : check_object(cli, objects[i], text);
        if (code != 0)
            return code;
    }
    return 0;
}

int cli_draft(struct cli *cli, struct draft_box *box)
{
    int bad = check_flags(cli);
    if (bad != 0)
        return bad;
    struct ifab_draft *d = &box->draft;
    const char *confidence = cli_get(cli, "confidence"), *ttl = cli_get(cli, "ttl"), *scope = cli_get(cli, "scope"),
               *data = cli_get(cli, "data");
    int64_t usec = 0;
    memset(box, 0, sizeof *box);
    if (!cli_path(box->sender, sizeof box->sender, "if://agent/%s", cli->as))
        return cli_usage(cli, "--as is too long");
    d->version = IFAB_DRAFT_VERSION;
    d->sender = box->sender;
    d->performative = cli_get(cli, "performative");
    d->conversation_id = cli_get(cli, "conversation");
    d->topic_hash = cli_get(cli, "topic");
    d->trace = cli->trace[0] == '\0' ? NULL : cli->trace;
    d->claim = cli_get(cli, "claim");
    d->claim_id = cli_get(cli, "claim-id");
    d->scope = ifab_view_str(scope);
    d->data = ifab_view_str(data);
    if (confidence != NULL && !number_0_to_1(confidence, &d->confidence))
        return cli_usage(cli, "--confidence is a number from 0 to 1, not \"%s\"", confidence);
    d->has_confidence = confidence != NULL;
    if (ttl != NULL && (!cli_duration(ttl, &usec) || usec % IFAB_SECOND != 0 || usec < IFAB_SECOND || usec > IFAB_HOUR))
        return cli_usage(cli, "--ttl is 1s to 1h, not \"%s\"", ttl);
    d->ttl_s = (uint32_t)(usec / IFAB_SECOND);
    d->receivers = box->to;
    d->hazards = box->hazards;
    int code = take_list(cli, "to", box->to, IFAB_COUNT(box->to), &d->receiver_count);
    if (code == 0)
        code = take_list(cli, "hazard", box->hazards, IFAB_COUNT(box->hazards), &d->hazard_count);
    if (code == 0)
        warn_hazards(cli);
    return code == 0 ? take_evidence(cli, box) : code;
}

/* The file or stdin that --json @F, -f F or the first word names; NULL: none. */
const char *cli_draft_file(const struct cli *cli)
{
    const char *json = cli_get(cli, "json"), *file = cli_get(cli, "file");
    return json != NULL ? json : file != NULL ? file : cli->word_count > 0 ? cli->words[0] : NULL;
}

int cli_draft_read(struct cli *cli, const char *name, struct ifab_buf *text, bool *ret_signed)
{
    struct ifab_arena arena;
    const struct ifab_json *tree;
    int code = cli_read_input(cli, name, INPUT_MAX, text);
    if (code != 0)
        return code;
    const struct ifab_json_limits limits = {.all_numbers_safe = true};
    ifab_arena_init(&arena, 64 << 20);
    ifab_status status = ifab_json_read(ifab_buf_as_view(text), &limits, &arena, &tree, cli_clean_err(cli));
    *ret_signed = status == IFAB_OK && ifab_json_get(tree, "signature") != NULL;
    ifab_arena_fini(&arena);
    if (status == IFAB_OK)
        return 0;
    ifab_buf_fini(text);
    return cli_refuse(cli, IFAB_CODE_INVALID_ENVELOPE, "%s, byte %u: %s", name, cli->err.offset, cli->err.text);
}

/* What lies in the directory against what the daemon that serves it has: only it knows which talents there are and which rules are in force. */
#include "doctor.h"

#include <string.h>

#include "base/encode.h"

/* -1: no answer. The body is the client's until the next call. */
static int ask(struct ifab_client *client, const char *method, const char *target, struct ifab_view body, struct ifab_response *ret_response)
{
    const struct ifab_request request = {.version = IFAB_CLIENT_VERSION, .method = method, .target = target, .body = body};
    struct ifab_error err = {0};
    return ifab_client_call(client, &request, ret_response, &err) == IFAB_OK ? ret_response->status : -1;
}

static void check_uids(struct doctor *d, struct ifab_client *client)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    const struct ifab_json *tree;
    ifab_arena_init(&arena, 16 << 20);
    for (size_t i = 0; i < d->config->uid_count; i++) {
        const struct ifab_config_uid *row = &d->config->uids[i];
        struct ifab_response response;
        char target[128];
        if (!cli_path(target, sizeof target, "/v1/talents/%s", row->talent))
            continue;
        int status = ask(client, "GET", target, (struct ifab_view){NULL, 0}, &response);
        if (status == 404)
            doctor_say(d, DOCTOR_BAD, "access.uids", "uid %u is to act as %s, and there is no such talent: it is refused. Add it: ifctl talent add %s, "
                       "or correct access.uids, then send ifd SIGHUP", (unsigned)row->uid, row->talent, row->talent);
        else if (status == 200 && ifab_json_read(response.body, NULL, &arena, &tree, NULL) == IFAB_OK && ifab_json_get(tree, "removed_at") != NULL)
            doctor_say(d, DOCTOR_BAD, "access.uids", "uid %u is to act as %s, which was removed: it is refused. Correct access.uids, then send ifd SIGHUP",
                       (unsigned)row->uid, row->talent);
    }
}

/*
 * Any message will do: an explanation names the rule set that was asked, looks at no signature, and records nothing. The talent is the one that a
 * fabric begins with; where it is missing nothing can be said.
 */
static const char question[] =
    "{\"content\":{},\"conversation_id\":\"conv-01930000-0000-7000-8000-000000000001\",\"id\":\"msg-01930000-0000-7000-8000-000000000002\","
    "\"issued_at\":\"2026-01-01T00:00:00.000Z\",\"nonce\":\"AAAAAAAAAAAAAAAAAAAAAA\",\"performative\":\"inform\",\"sender\":\"if://agent/operator\",\"seq\":1,"
    "\"signature\":{\"algorithm\":\"ed25519\",\"key_id\":\"k-139e3940e64b5491\",\"pubkey\":\"O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik\",\"sig\":"
    "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"},"
    "\"topic_hash\":\"sha256:0000000000000000000000000000000000000000000000000000000000000000\",\"ttl_s\":300,\"v\":\"2.1\"}";

static void check_rules_in_force(struct doctor *d, struct ifab_client *client)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    const struct ifab_view prefix = IFAB_VIEW("sha256:");
    struct ifab_response response;
    struct ifab_error err = {0};
    const struct ifab_json *tree;
    struct ifab_view text = {NULL, 0};
    uint8_t theirs32[32];
    ifab_arena_init(&arena, 1 << 20);
    if (d->bad_rules || ask(client, "POST", "/v1/guard/explain", ifab_view_str(question), &response) != 200 ||
        ifab_json_read(response.body, NULL, &arena, &tree, &err) != IFAB_OK || !ifab_json_string(ifab_json_get(tree, "policy_digest"), &text) ||
        !ifab_view_starts(text, prefix) || ifab_hex_decode(ifab_view_of(text.data + prefix.size, text.size - prefix.size), theirs32, 32) != IFAB_OK)
        return; /* not for this one to ask */
    if (memcmp(theirs32, d->rules32, 32) == 0)
        doctor_say(d, DOCTOR_GOOD, "rules in force", "they are those of the file");
    else
        doctor_say(d, DOCTOR_BAD, "rules in force", "%s was changed and is not in force: look at it with ifctl guard check %s, then kill -HUP %ld", d->config->rules_file,
                   d->config->rules_file, (long)d->holder);
}

static void say_lacks(struct doctor *d, const struct ifab_json *capability)
{
    const struct ifab_view prefix = IFAB_VIEW("if://capability/");
    const struct ifab_json *lacks = ifab_json_get(capability, "lacks_config");
    struct ifab_view id = {NULL, 0}, version = {NULL, 0}, state = {NULL, 0}, key, value;
    (void)ifab_json_string(ifab_json_get(capability, "id"), &id);
    (void)ifab_json_string(ifab_json_get(capability, "version"), &version);
    (void)ifab_json_string(ifab_json_get(capability, "state"), &state);
    if (lacks == NULL || lacks->type != IFAB_JSON_ARRAY || !ifab_view_is(state, "allowed") || !ifab_view_starts(id, prefix))
        return;
    struct ifab_view name = ifab_view_of(id.data + prefix.size, id.size - prefix.size);
    for (size_t i = 0; i < lacks->u.array.count; i++) {
        if (!ifab_json_string(&lacks->u.array.items[i], &key))
            continue;
        if (ifab_config_capability_value(d->config, name, key, &value)) /* the file is read at a start alone */
            doctor_say(d, DOCTOR_WARN, "capabilities.config", "the row \"" IFAB_FMT " " IFAB_FMT " …\" stands in ifd.yaml and is not in force, so calls of " IFAB_FMT
                       "@" IFAB_FMT " are refused (506): start ifd again", IFAB_ARG(name), IFAB_ARG(key), IFAB_ARG(name), IFAB_ARG(version));
        else
            doctor_say(d, DOCTOR_WARN, "capabilities.config", IFAB_FMT "@" IFAB_FMT " asks for " IFAB_FMT ", which has no value, so its calls are refused (506): add the row \""
                       IFAB_FMT " " IFAB_FMT " VALUE\" to capabilities.config in ifd.yaml, and start ifd again",
                       IFAB_ARG(name), IFAB_ARG(version), IFAB_ARG(key), IFAB_ARG(name), IFAB_ARG(key));
    }
}

/* Values that manifests ask for (requires_config): each that is missing refuses every call of its capability. */
static void check_capabilities(struct doctor *d, struct ifab_client *client)
{
    char target[160] = "/v1/capabilities?limit=1000";
    for (bool more = true; more;) {
        IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
        struct ifab_response response;
        struct ifab_view next = {NULL, 0};
        const struct ifab_json *tree, *items;
        ifab_arena_init(&arena, (size_t)64 << 20);
        if (ask(client, "GET", target, (struct ifab_view){NULL, 0}, &response) != 200 || ifab_json_read(response.body, NULL, &arena, &tree, NULL) != IFAB_OK)
            return; /* not for this one to ask */
        items = ifab_json_get(tree, "items");
        for (size_t i = 0; items != NULL && items->type == IFAB_JSON_ARRAY && i < items->u.array.count; i++)
            say_lacks(d, &items->u.array.items[i]);
        more = ifab_json_string(ifab_json_get(tree, "next"), &next) &&
               cli_path(target, sizeof target, "/v1/capabilities?limit=1000&cursor=" IFAB_FMT, IFAB_ARG(next));
    }
}

void doctor_asked(struct doctor *d, struct ifab_client *client)
{
    if (d->holder == 0)
        return; /* who answers may serve another directory */
    check_uids(d, client);
    check_rules_in_force(d, client);
    check_capabilities(d, client);
}

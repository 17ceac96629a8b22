/* Is an answer one to the message that was sent? See answer.h. */
#include "answer.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "infrafabric/client.h"
#include "json/json.h"

static bool is_digest(const struct ifab_json *said, const uint8_t *digest32)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf text = IFAB_BUF_INIT(80);
    struct ifab_view told;
    ifab_buf_str(&text, "sha256:");
    ifab_buf_hex(&text, digest32, 32);
    return ifab_buf_status(&text) == IFAB_OK && ifab_json_string(said, &told) && ifab_view_equal(told, ifab_buf_as_view(&text));
}

bool answer_about_another(const char *message_id, const uint8_t *digest32, struct ifab_view body)
{
    IFAB_CLEANUP(ifab_arena_fini) struct ifab_arena arena;
    const struct ifab_json_limits limits = {.max_size = IFAB_CLIENT_RESPONSE_MAX};
    const struct ifab_json *tree;
    struct ifab_view id;
    ifab_arena_init(&arena, (size_t)64 << 20);
    if (message_id == NULL)
        return false;
    ifab_status status = ifab_json_read(body, &limits, &arena, &tree, NULL);
    if (status != IFAB_OK)
        return status != IFAB_INVALID; /* what cannot be looked at is not believed; what is no JSON is no decision either */
    if (ifab_json_get(tree, "decision") == NULL)
        return false;
    if (!ifab_json_string(ifab_json_get(tree, "id"), &id) || !ifab_view_is(id, message_id) || message_id[0] == '\0')
        return true;
    const struct ifab_json *said = ifab_json_get(tree, "message_digest");
    return said != NULL && digest32 != NULL && !is_digest(said, digest32);
}

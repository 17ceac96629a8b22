/*
 * Any bytes as the header IF-Admin: first as they are, then as the JSON inside. What is admitted is one of the registered key's, bound to
 * this route, body and log: another route, body or log is refused.
 */
#include "../tests/support/rig.h"

#define ROUTE IFAB_VIEW("POST /v1/talents")
#define BODY IFAB_VIEW("{\"name\":\"X\",\"why\":\"y\"}")

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ifab_keyring *keyring;

static void begin(void)
{
    static struct rig rig;
    if (keyring != NULL)
        return;
    rig_new(&rig, NULL);
    keyring = ifab_keyring_ref(rig.keyring);
    rig_free(&rig);
}

static enum ifab_code admit(struct ifab_view header, struct ifab_view route, struct ifab_view body, struct ifab_view origin,
                            struct ifab_admin_act *ret_act)
{
    struct ifab_arena arena;
    struct ifab_refusal refusal = {0};
    ifab_arena_init(&arena, (size_t)16 << 20);
    memset(ret_act, 0, sizeof *ret_act);
    enum ifab_code code = ifab_admit_act(header, route, body, origin, keyring, RIG_WALL, &arena, ret_act, &refusal);
    rig_must(code == IFAB_CODE_NONE ? ret_act->present : !ret_act->present && refusal.code == code && refusal.message[0] != '\0',
             "an act that is there and is not");
    ifab_arena_fini(&arena);
    return code;
}

static void try_header(struct ifab_view header)
{
    static struct ifab_admin_act act, other;
    const struct ifab_view origin = ifab_view_str(RIG_ORIGIN);
    if (admit(header, ROUTE, BODY, origin, &act) != IFAB_CODE_NONE)
        return;
    rig_must(act.talent == 1 && act.nonce_size >= 12 && act.nonce_size <= 64 && memchr(act.why, 0, sizeof act.why) != NULL &&
                 act.why[0] != '\0',
             "an act of nobody, or without a why");
    rig_must(admit(header, IFAB_VIEW("POST /v1/tokens"), BODY, origin, &other) != IFAB_CODE_NONE, "another route");
    rig_must(admit(header, ROUTE, IFAB_VIEW("{}"), origin, &other) != IFAB_CODE_NONE, "another body");
    rig_must(admit(header, ROUTE, BODY, IFAB_VIEW("other/main/1"), &other) != IFAB_CODE_NONE, "another log");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ifab_buf encoded = IFAB_BUF_INIT((size_t)4 << 20);
    begin();
    try_header(ifab_view_of(data, size));
    ifab_buf_base64url(&encoded, data, size);
    if (ifab_buf_status(&encoded) == IFAB_OK)
        try_header(ifab_buf_as_view(&encoded));
    ifab_buf_fini(&encoded);
    return 0;
}

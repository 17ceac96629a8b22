/* Any bytes as the body of POST /v1/enroll: what is admitted is bound to this log, and no byte of it can be changed. */
#include "../tests/support/rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum ifab_code admit(struct ifab_view body, struct ifab_view origin, struct ifab_command *ret_command)
{
    struct ifab_arena arena;
    struct ifab_refusal refusal = {0};
    ifab_arena_init(&arena, (size_t)16 << 20);
    memset(ret_command, 0, sizeof *ret_command);
    enum ifab_code code = ifab_admit_enroll(body, origin, &arena, ret_command, &refusal);
    rig_must(code == IFAB_CODE_NONE ? ret_command->type == IFAB_COMMAND_ENROLL : refusal.code == code && refusal.message[0] != '\0',
             "an enrolment that is there and is not");
    ifab_arena_fini(&arena);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ifab_command command, other;
    const struct ifab_view origin = ifab_view_str(RIG_ORIGIN), body = {data, size};
    if (admit(body, origin, &command) != IFAB_CODE_NONE)
        return 0;
    rig_must(ifab_ed25519_key_valid(command.u.enroll.pubkey32), "a weak key");
    rig_must(admit(body, IFAB_VIEW("other/main/1"), &other) != IFAB_CODE_NONE, "another log");
    return 0;
}

/* Any bytes as a vote. What is admitted is one of the registered voter's, and its canonical form is admitted as the same command. */
#include "../tests/support/rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ifab_keyring *keyring;

/* The operator's key is that of make_signer(1); no state is touched, so one fabric serves all inputs. */
static void begin(void)
{
    static struct rig rig;
    if (keyring != NULL)
        return;
    rig_new(&rig, NULL);
    keyring = ifab_keyring_ref(rig.keyring);
    rig_free(&rig);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct ifab_view path = {(const uint8_t *)"msg-01930000-0000-7000-8000-000000000001", 40};
    static const struct ifab_json_limits limits = {.max_size = 1U << 20, .all_numbers_safe = true};
    struct ifab_arena arena;
    struct ifab_command command = {0}, again = {0};
    struct ifab_refusal refusal = {0};
    begin();
    ifab_arena_init(&arena, (size_t)16 << 20);
    enum ifab_code code = ifab_admit_vote(ifab_view_of(data, size), path, keyring, RIG_WALL, &arena, &command, &refusal);
    if (code != IFAB_CODE_NONE) {
        rig_must(refusal.code == code && refusal.message[0] != '\0' && command.type == IFAB_COMMAND_NONE, "refused without saying why");
        rig_must(code == IFAB_CODE_INVALID_PARAMS || code == IFAB_CODE_UNKNOWN_SENDER || code == IFAB_CODE_INVALID_SIGNATURE,
                 "another code");
    } else {
        const struct ifab_json *tree;
        struct ifab_buf canonical = IFAB_BUF_INIT(1U << 20);
        rig_must(command.type == IFAB_COMMAND_VOTE && command.u.vote.talent == 1, "a vote of nobody");
        rig_must(command.u.vote.nonce_size >= 12 && command.u.vote.nonce_size <= 64 && command.u.vote.verdict <= IFAB_VOTE_SCOPE_OK,
                 "out of range");
        rig_must(ifab_json_read(ifab_view_of(data, size), &limits, &arena, &tree, NULL) == IFAB_OK, "admitted, but no JSON");
        ifab_json_write(&canonical, tree);
        rig_must(ifab_admit_vote(ifab_buf_as_view(&canonical), path, keyring, RIG_WALL, &arena, &again, &refusal) == IFAB_CODE_NONE,
                 "canonical form");
        rig_must(memcmp(command.u.vote.digest16, again.u.vote.digest16, 16) == 0 && command.u.vote.verdict == again.u.vote.verdict &&
                     command.u.vote.expires_at == again.u.vote.expires_at, "another command");
        ifab_buf_fini(&canonical);
    }
    ifab_arena_fini(&arena);
    return 0;
}

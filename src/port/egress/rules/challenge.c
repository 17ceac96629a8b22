/* Answers to a server's challenge: one row a scheme. Every byte of a secret stands in the caller's storage or is wiped here. */
#include "base/mem.h"
#include "crypto/crypto.h"
#include "egress/credential.h"
#include "egress/leak.h"

/* Appends base64(SHA-256(a || b)). */
static struct ifab_view put_hash(struct ifab_buf *storage, struct ifab_view a, struct ifab_view b)
{
    uint8_t digest32[32];
    size_t begin = storage->size;
    ifab_sha256_2(a, b, digest32);
    ifab_buf_base64(storage, digest32, sizeof digest32);
    ifab_wipe(digest32, sizeof digest32);
    return ifab_view_of(storage->data + begin, storage->size - begin);
}

/* What the password and the salt make is as good as the password to whoever knows the salt. */
static void answer_OBS_WEBSOCKET_5(struct ifab_view secret, struct ifab_view salt, struct ifab_view challenge, struct ifab_buf *storage,
                                   struct ifab_challenge_answer *to)
{
    struct ifab_view standing = put_hash(storage, secret, salt);
    to->values[to->value_count++] = standing;
    to->text = put_hash(storage, standing, challenge);
    to->values[to->value_count++] = to->text;
}

typedef void answer_fn(struct ifab_view secret, struct ifab_view salt, struct ifab_view challenge, struct ifab_buf *storage,
                       struct ifab_challenge_answer *to);
static const struct {
    const char *field;
    answer_fn *answer;
} challenges[] = {
#define ROW(name, field) {field, answer_##name},
    IFAB_CHALLENGE_MAP(ROW)
#undef ROW
};

static answer_fn *find(struct ifab_view field)
{
    for (size_t i = 0; i < IFAB_COUNT(challenges); i++)
        if (ifab_view_is(field, challenges[i].field))
            return challenges[i].answer;
    return NULL;
}
bool ifab_credential_is_challenge(enum ifab_credential_as as, struct ifab_view field) { return as == IFAB_CREDENTIAL_HMAC && find(field) != NULL; }

static bool text_fits(struct ifab_view text) { return text.size >= 1 && text.size <= IFAB_CHALLENGE_TEXT_MAX; }

ifab_status ifab_credential_answer(struct ifab_view field, struct ifab_view secret, struct ifab_view salt, struct ifab_view challenge,
                                   struct ifab_buf *storage, struct ifab_challenge_answer *ret_answer, struct ifab_error *err)
{
    struct ifab_challenge_answer to = {.value_count = 0};
    answer_fn *answer = find(field);
    if (answer == NULL)
        return ifab_fail(err, IFAB_INVALID, "credential: the secret answers no challenge");
    if (secret.size < IFAB_LEAK_VALUE_MIN || secret.size > IFAB_CREDENTIAL_SECRET_MAX)
        return ifab_fail(err, IFAB_INVALID, "credential: a secret has %d to %d bytes", IFAB_LEAK_VALUE_MIN, IFAB_CREDENTIAL_SECRET_MAX);
    if (!text_fits(salt) || !text_fits(challenge))
        return ifab_fail(err, IFAB_INVALID, "credential: salt and challenge have 1 to %d bytes", IFAB_CHALLENGE_TEXT_MAX);
    IFAB_TRY(ifab_buf_reserve(storage, IFAB_CHALLENGE_STORAGE - 1024)); /* once, so that no view ever moves */
    ifab_buf_view(storage, secret);
    to.values[to.value_count++] = ifab_view_of(storage->data, storage->size);
    answer(secret, salt, challenge, storage, &to);
    if (ifab_buf_status(storage) != IFAB_OK)
        return ifab_fail(err, ifab_buf_status(storage), "credential");
    *ret_answer = to;
    return IFAB_OK;
}

/*
 * The vault beside the log: opened at a start and compared with what the log knows; a change staged for the step, written by who commits, in force
 * once the log says so.
 *
 *   lend      before the step: the value is opened into locked memory, the next generation staged, its counter and digest go into the command
 *   stepped   behind it: the batch carries it; or the step refused, and it never was
 *   publish   before the commit, on the thread that commits; a full disk is that commit's
 *   settle    behind the commit: from here on it is used
 *   undone    the disk was full: what was staged never was
 *
 * Values come sealed to a key of this start (X25519), so that no buffer of the way here holds one: not of HTTP, TLS, JSON, an arena.
 */
#include <string.h>

#include "node.h"
#include "redact/redact.h"
#include "vault.h"

#define VAULT_DIRECTORY "vault"
#define VAULT_KEY       "vault.key"
#define PAD_MARK        0x80

static bool search(void *user, struct ifab_view text, size_t from, size_t *ret_at, size_t *ret_size)
{
    return ifab_vault_search(user, text, from, ret_at, ret_size);
}

static bool same_origins(const struct ifab_secret *secret, const struct ifab_vault_about *about)
{
    bool same = secret->origin_count == about->origin_count;
    for (size_t i = 0; i < secret->origin_count && same; i++)
        same = ifab_view_equal(secret->origins[i], about->origins[i]);
    return same;
}

/* INV-16: what the vault holds is what the log knows of, one for one. */
static ifab_status compare(struct node *node, struct ifab_error *err)
{
    const struct ifab_secrets *secrets = ifab_fabric_secrets(node->fabric);
    struct ifab_vault_about about;
    size_t count = 0;
    for (; ifab_vault_at(node->vault, count, &about); count++) {
        const struct ifab_secret *secret = ifab_secrets_find(secrets, about.name);
        if (secret == NULL || secret->revoked_at != IFAB_NEVER || secret->version != about.version || secret->counter != about.counter ||
            !same_origins(secret, &about))
            return ifab_fail(err, IFAB_CORRUPT, "the vault holds a secret " IFAB_FMT " that the log does not know of in this form",
                             IFAB_ARG(about.name));
    }
    if (count != ifab_secrets_live(secrets))
        return ifab_fail(err, IFAB_CORRUPT, "the vault holds %zu secrets, the log knows of %zu", count, ifab_secrets_live(secrets));
    return IFAB_OK;
}

static ifab_status open_backend(struct node *node, struct ifab_view passphrase, struct ifab_vault_backend **ret_backend, struct ifab_error *err)
{
    char directory[1200], key_file[1200];
    const char *key = node->config.vault_key_file;
    snprintf(directory, sizeof directory, "%s/" VAULT_DIRECTORY, node->config.data_dir);
    snprintf(key_file, sizeof key_file, "%s%s", key[0] != '\0' ? key : node->config.keys_dir, key[0] != '\0' ? "" : "/" VAULT_KEY);
    const struct ifab_vault_file_options options = {.directory = directory, .key_file = key_file, .passphrase = passphrase};
    node->vault_passphrase = passphrase.size > 0;
    return ifab_vault_file_open(&options, ret_backend, err);
}

ifab_status vault_open(struct node *node, struct ifab_view passphrase, struct ifab_error *err)
{
    const struct ifab_secret_mark *known = ifab_secrets_mark(ifab_fabric_secrets(node->fabric));
    struct ifab_vault_mark mark = {.counter = known->counter};
    struct ifab_vault_backend *backend = NULL;
    memcpy(mark.digest32, known->digest32, 32);
    IFAB_TRY(ifab_locked_new(32, &node->seal_secret32, err));
    ifab_box_keypair(node->seal_secret32, node->seal_public32);
    IFAB_TRY(open_backend(node, passphrase, &backend, err));
    IFAB_TRY(ifab_vault_open(backend, &mark, &node->vault, err));
    node->vault_staged = mark.counter;
    IFAB_TRY(compare(node, err));
    ifab_redact_set_exact(search, node->vault);
    return IFAB_OK;
}

void vault_close(struct node *node)
{
    ifab_redact_set_exact(NULL, NULL);
    ifab_vault_close(node->vault);
    ifab_locked_freep(&node->seal_secret32);
    node->vault = NULL;
}

/* ---- a change ---- */

/* value, 0x80, zeros: how long it is does not show on the way. */
static bool unpad(const uint8_t *plain, size_t size, struct ifab_view *ret_value)
{
    while (size > 0 && plain[size - 1] == 0)
        size--;
    *ret_value = ifab_view_of(plain, size - (size > 0));
    return size > 0 && plain[size - 1] == PAD_MARK;
}

/* What redaction writes in place of a secret must not be one. */
static bool is_mark(struct ifab_view value)
{
    return value.size <= sizeof IFAB_REDACTED - 1 && memmem(IFAB_REDACTED, sizeof IFAB_REDACTED - 1, value.data, value.size) != NULL;
}

static enum ifab_code stage_code(ifab_status status)
{
    switch (status) {
    case IFAB_INVALID:
        return IFAB_CODE_INVALID_PARAMS;
    case IFAB_AGAIN:
        return IFAB_CODE_QUEUE_FULL;
    case IFAB_FULL:
        return IFAB_CODE_STORE_UNAVAILABLE;
    case IFAB_NOT_FOUND:
        return IFAB_CODE_SECRET_NOT_FOUND;
    case IFAB_OK:
    case IFAB_TOO_LARGE:
    case IFAB_CONFLICT:
    case IFAB_DENIED:
    case IFAB_UNSUPPORTED:
    case IFAB_IO:
    case IFAB_CORRUPT:
    case IFAB_INTERNAL:
    case IFAB_NOMEM:
        break;
    }
    return IFAB_CODE_SYSTEM_ERROR;
}

static enum ifab_code stage(struct node *node, const struct ifab_secret *next, struct ifab_view value, struct ifab_secret_mark *ret_mark,
                            struct ifab_refusal *refusal)
{
    struct ifab_vault_change change = {.about = {.name = next->name, .version = next->version, .origin_count = next->origin_count}, .value = value};
    struct ifab_vault_mark mark;
    struct ifab_error err = {0};
    for (size_t i = 0; i < next->origin_count; i++)
        change.about.origins[i] = next->origins[i];
    ifab_status status = ifab_vault_stage(node->vault, &change, &mark, &err);
    if (status != IFAB_OK)
        return ifab_refuse(refusal, stage_code(status), value.size > 0 ? "sealed" : NULL, "%s", err.text);
    node->vault_staged = ret_mark->counter = mark.counter;
    memcpy(ret_mark->digest32, mark.digest32, 32);
    return IFAB_CODE_NONE;
}

static enum ifab_code open_and_stage(struct node *node, const struct vault_ask *ask, const struct ifab_secret *next,
                                     struct ifab_secret_mark *ret_mark, struct ifab_refusal *refusal)
{
    struct ifab_view value;
    struct ifab_error err = {0};
    uint8_t *plain = NULL;
    if (memcmp(ask->to32, node->seal_public32, 32) != 0)
        return ifab_refuse(refusal, IFAB_CODE_CONFLICT, "to",
                           "the value is sealed to a key of before the last start: seal it to the one of GET /v1/vault");
    if (ifab_locked_new(ask->sealed.size - IFAB_BOX_OVERHEAD, &plain, &err) != IFAB_OK)
        return ifab_refuse(refusal, IFAB_CODE_STORE_UNAVAILABLE, NULL, "%s", err.text);
    enum ifab_code code = IFAB_CODE_NONE;
    if (ifab_box_open(node->seal_secret32, node->seal_public32, ask->sealed, plain) != IFAB_OK)
        code = ifab_refuse(refusal, IFAB_CODE_INVALID_PARAMS, "sealed", "it does not open: it is not sealed to this key, or was altered");
    else if (!unpad(plain, ask->sealed.size - IFAB_BOX_OVERHEAD, &value) || value.size == 0)
        code = ifab_refuse(refusal, IFAB_CODE_INVALID_PARAMS, "sealed", "what is sealed is the value, one byte 0x80, and zeros");
    else if (is_mark(value))
        code = ifab_refuse(refusal, IFAB_CODE_INVALID_PARAMS, "sealed", "this is what stands where a secret was taken out: it cannot be one");
    else
        code = stage(node, next, value, ret_mark, refusal);
    ifab_locked_free(plain);
    return code;
}

/* Whether it may be done at all the step says first; what is refused here is told only then. */
void vault_lend(struct node *node, struct ticket *t)
{
    const struct ifab_secrets *secrets = ifab_fabric_secrets(node->fabric);
    struct ifab_secret_request request = t->command.u.secret.request;
    struct ifab_refusal *refusal = &t->command.u.secret.refusal;
    struct ifab_secret next;
    *refusal = (struct ifab_refusal){.offset = -1, .retry_after_ms = -1};
    t->command.u.secret.mark = (struct ifab_secret_mark){0};
    t->command.u.secret.code = IFAB_CODE_NONE;
    if (t->command.act == NULL || !t->command.act->present) /* refused in any case: no work for it */
        return;
    enum ifab_code code = ifab_secret_next(secrets, &request, &next, refusal);
    if (code == IFAB_CODE_NONE)
        code = request.act == IFAB_SECRET_REVOKE ? stage(node, &next, IFAB_VIEW(""), &t->command.u.secret.mark, refusal)
                                                 : open_and_stage(node, t->user, &next, &t->command.u.secret.mark, refusal);
    t->command.u.secret.code = code;
}

void vault_stepped(struct node *node, struct batch *batch, bool changed)
{
    if (changed)
        batch->vault_counter = node->vault_staged;
    else
        vault_unstep(node); /* refused, or answered before */
}

void vault_unstep(struct node *node)
{
    uint64_t counter = ifab_secrets_mark(ifab_fabric_secrets(node->fabric))->counter;
    if (node->vault_staged > counter)
        ifab_vault_back(node->vault, counter);
    node->vault_staged = counter;
}

ifab_status vault_publish(struct node *node, const struct batch *batch, struct ifab_error *err)
{
    return batch->vault_counter == 0 ? IFAB_OK : ifab_vault_publish(node->vault, batch->vault_counter, err);
}

void vault_settle(struct node *node, const struct batch *batch)
{
    struct ifab_error err = {0};
    if (batch->vault_counter != 0 && ifab_vault_settle(node->vault, batch->vault_counter, &err) != IFAB_OK)
        IFAB_LOG(IFAB_LOG_ERROR, "vault: the file before the last change is still there; it goes with the next change or start",
                 IFAB_F_TEXT("error", err.text));
}

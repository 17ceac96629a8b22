/* capability new|sign|verify|inspect: what a publisher does, without any fabric. */
#include "crypto/crypto.h"
#include "manifest.h"

#define INSPECT_COLUMNS                                                                    \
    "ID:id|VERSION:version|SUMMARY:summary|DIGEST:digest|SIGNED "                          \
    "BY:key_id|MODULE:module|SIZE:size|OPERATIONS:operations|EFFECT:effect|SCOPES:scopes|" \
    "SECRETS:secrets|HTTP:http|IMPORTS:imports|NOT AFTER:not_after"
#define EXIT_UNTRUSTED 3 /* as if-verify: it agrees with itself, but nobody said which key to trust */

/* ---- new ---- */

static int measure(struct cli *cli, const char *file, char ret_digest[72], size_t *ret_size)
{
    struct ifab_buf bytes;
    uint8_t digest32[32];
    int code = cli_read_input(cli, file, IFAB_MODULE_SIZE_MAX, &bytes);
    if (code != 0)
        return code;
    ifab_sha256(ifab_buf_as_view(&bytes), digest32);
    *ret_size = bytes.size;
    ifab_buf_fini(&bytes);
    memcpy(ret_digest, "sha256:", 8);
    for (size_t i = 0; i < 32; i++)
        (void)cli_path(ret_digest + 7 + 2 * i, 3, "%02x", digest32[i]);
    return 0;
}

static void put_skeleton(struct ifab_buf *text, const char *name, const char *version, const char *digest, size_t size)
{
    ifab_buf_format(
        text,
        "# Manifest of a capability (docs/formats/capability.md). Edit it, then: ifctl capability sign FILE --key PUBLISHER.pem --out SIGNED\n"
        "id: if://capability/%s\nversion: %s\nsummary: what it does, in one line\n",
        name, version);
    ifab_buf_format(text, "entrypoint:\n  module: %s/%s.wasm # below capabilities.dir of the daemon\n  sha256: %s\n  size: %zu\n  abi: %d\n", name,
                    version, digest, size, IFAB_CAPABILITY_ABI);
    ifab_buf_str(text, "operations:\n"
                       "  run:\n"
                       "    effect: read # read, write, physical or payment\n"
                       "    idempotent: true\n"
                       "    cost_estimate: {usd_micro: 0, calls: 1}\n"
                       "    params:\n"
                       "      type: object\n"
                       "      properties:\n"
                       "        text: {type: string, maxLength: 200}\n"
                       "      required: [text]\n"
                       "imports: [log]\n"
                       "scopes: []\n"
                       "limits: {rps: 1, burst: 5, backoff: [1, 2, 5, 10, 30], memory_mib: 16, deadline_ms: 1000}\n");
}

static int put_out(struct cli *cli, struct ifab_view text)
{
    const char *out = cli_get(cli, "out");
    if (out != NULL)
        return cli_write_file(cli, out, text, 0644, false);
    fwrite(text.data, 1, text.size, stdout);
    return 0;
}

int cmd_capability_new(struct cli *cli)
{
    char name[CLI_CAPABILITY_NAME_MAX], version[IFAB_CAPABILITY_VERSION_MAX + 1], digest[72];
    struct ifab_buf text = IFAB_BUF_INIT(8192);
    const char *module = cli_get(cli, "module");
    size_t size = 0;
    int code = cli_capability_word(cli, cli->words[0], name, version);
    if (code == 0 && module == NULL)
        code = cli_usage(cli, "say which module: --module FILE.wasm");
    if (code == 0)
        code = measure(cli, module, digest, &size);
    if (code == 0 && size == 0)
        code = cli_usage(cli, "%s is empty", module);
    if (code != 0)
        return code;
    put_skeleton(&text, name, version[0] == '\0' ? "0.1.0" : version, digest, size);
    code = ifab_buf_status(&text) == IFAB_OK ? put_out(cli, ifab_buf_as_view(&text)) : cli_fail(cli, IFAB_NOMEM);
    ifab_buf_fini(&text);
    return code;
}

/* ---- sign ---- */

static void sign_bytes(void *user, struct ifab_view bytes, uint8_t ret_sig64[64]) { ifab_identity_sign(user, bytes, ret_sig64); }

int cmd_capability_sign(struct cli *cli)
{
    struct cli_manifest m;
    struct ifab_buf signed_text = IFAB_BUF_INIT(IFAB_MANIFEST_MAX + 1);
    uint8_t pubkey32[32];
    if (cli_get(cli, "key") == NULL) /* never by chance with an operator's, or an agent's of IFAB_KEY: a key has one use */
        return cli_usage(cli, "say with which key: --key FILE, the publisher's own");
    int code = cli_manifest_read(cli, cli->words[0], &m);
    if (code == 0)
        code = cli_identity(cli);
    if (code == 0) {
        ifab_identity_public(cli->identity, pubkey32);
        ifab_status status = ifab_manifest_sign(&m.manifest, pubkey32, sign_bytes, cli->identity, &signed_text, cli_clean_err(cli));
        ifab_buf_char(&signed_text, '\n');
        code = status == IFAB_OK && ifab_buf_status(&signed_text) == IFAB_OK ? put_out(cli, ifab_buf_as_view(&signed_text)) : cli_fail(cli, status);
    }
    ifab_buf_fini(&signed_text);
    cli_manifest_fini(&m);
    return code;
}

/* ---- verify, inspect ---- */

static void put_words(struct ifab_buf *buf, bool *any, struct ifab_view word)
{
    ifab_buf_str(buf, *any ? ", " : "");
    ifab_buf_view(buf, word);
    *any = true;
}

static void put_list(struct cli_body *body, const char *name, struct ifab_buf *words)
{
    ifab_buf_char(words, '\0');
    cli_body_text(body, name, words->size > 1 ? (const char *)words->data : NULL);
    ifab_buf_clear(words);
}

/* The heaviest effect of its operations. */
static enum ifab_effect heaviest(const struct ifab_manifest *m)
{
    enum ifab_effect most = IFAB_EFFECT_READ;
    for (size_t i = 0; i < m->operation_count; i++)
        most = m->operations[i].effect > most ? m->operations[i].effect : most;
    return most;
}

static void put_uses(struct cli_body *body, const struct ifab_manifest *m)
{
    struct ifab_buf words = IFAB_BUF_INIT(65536);
    bool any = false;
    for (size_t i = 0; i < m->operation_count; i++)
        put_words(&words, &any, m->operations[i].name);
    put_list(body, "operations", &words);
    cli_body_text(body, "effect", ifab_effect_name(heaviest(m)));
    any = false;
    for (size_t i = 0; i < m->scope_count; i++)
        put_words(&words, &any, m->scopes[i]);
    put_list(body, "scopes", &words);
    any = false;
    for (size_t i = 0; i < m->secret_count; i++)
        put_words(&words, &any, m->secrets[i].name);
    put_list(body, "secrets", &words);
    any = false;
    for (size_t i = 0; i < m->http_count; i++) {
        char row[400];
        cli_path(row, sizeof row, "%s://" IFAB_FMT ":%u" IFAB_FMT, ifab_origin_scheme_name(m->http[i].origin.scheme), IFAB_ARG(m->http[i].origin.host),
                 m->http[i].origin.port, (int)(m->http[i].path.size < 100 ? m->http[i].path.size : 100), (const char *)m->http[i].path.data);
        put_words(&words, &any, ifab_view_str(row));
    }
    put_list(body, "http", &words);
    any = false;
    for (enum ifab_manifest_import i = 0; i < IFAB_MANIFEST_IMPORT_COUNT; i++)
        if ((m->imports & 1U << i) != 0)
            put_words(&words, &any, ifab_view_str(ifab_manifest_import_name(i)));
    put_list(body, "imports", &words);
    ifab_buf_fini(&words);
}

static void copy_text(char *to, size_t size, struct ifab_view text) { cli_path(to, size, IFAB_FMT, IFAB_ARG(text)); }

static int print_manifest(struct cli *cli, const struct ifab_manifest *m)
{
    struct cli_body body;
    char text[600], digest[72] = "sha256:", key_id[19];
    cli_body_begin(&body);
    copy_text(text, sizeof text, m->id);
    cli_body_text(&body, "id", text);
    copy_text(text, sizeof text, m->version);
    cli_body_text(&body, "version", text);
    copy_text(text, sizeof text, m->summary);
    cli_body_text(&body, "summary", text);
    for (size_t i = 0; i < 32; i++)
        (void)cli_path(digest + 7 + 2 * i, 3, "%02x", m->digest32[i]);
    cli_body_text(&body, "digest", digest);
    if (m->has_signature)
        ifab_public_id(m->pubkey32, key_id);
    cli_body_text(&body, "key_id", m->has_signature ? key_id : NULL);
    copy_text(text, sizeof text, m->entrypoint.module);
    cli_body_text(&body, "module", text);
    cli_path(text, sizeof text, "%u", m->entrypoint.size);
    cli_body_raw(&body, "size", text);
    put_uses(&body, m);
    if (m->not_after != IFAB_NEVER) {
        ifab_time_format(m->not_after, text);
        cli_body_text(&body, "not_after", text);
    }
    if (cli->format != CLI_TABLE) {
        ifab_buf_str(&body.buf, ",\"manifest\":");
        ifab_buf_view(&body.buf, m->canonical);
    }
    cli_body_end(&body);
    int code = ifab_buf_status(&body.buf) == IFAB_OK ? cli_print(cli, ifab_buf_as_view(&body.buf), INSPECT_COLUMNS) : cli_fail(cli, IFAB_NOMEM);
    ifab_buf_fini(&body.buf);
    return code;
}

int cmd_capability_inspect(struct cli *cli)
{
    struct cli_manifest m;
    int code = cli_manifest_read(cli, cli->words[0], &m);
    if (code == 0)
        code = print_manifest(cli, &m.manifest);
    if (code == 0 && !m.manifest.has_signature)
        cli_say(cli, "not signed: ifctl capability sign %s --key PUBLISHER.pem", cli->words[0]);
    cli_manifest_fini(&m);
    return code;
}

static int check_module(struct cli *cli, const struct ifab_manifest *m, const char *file)
{
    struct ifab_buf bytes;
    uint8_t digest32[32];
    int code = file == NULL ? 0 : cli_read_input(cli, file, IFAB_MODULE_SIZE_MAX, &bytes);
    if (file == NULL || code != 0)
        return code;
    ifab_sha256(ifab_buf_as_view(&bytes), digest32);
    if (bytes.size != m->entrypoint.size || !ifab_equal_ct(digest32, m->entrypoint.sha256, 32))
        code = cli_refuse(cli, IFAB_CODE_DIGEST_MISMATCH, "%s is not the module that the manifest names", file);
    ifab_buf_fini(&bytes);
    return code;
}

int cmd_capability_verify(struct cli *cli)
{
    struct cli_manifest m;
    struct ifab_refusal refusal;
    const char *pubkey = cli_get(cli, "pubkey");
    char text[44];
    uint8_t pubkey32[32];
    int code = cli_manifest_read(cli, cli->words[0], &m);
    if (code == 0 && pubkey != NULL)
        code = cli_pubkey_option(cli, pubkey, text);
    if (code == 0 && pubkey != NULL && ifab_public_read(ifab_view_str(text), pubkey32, cli_clean_err(cli)) != IFAB_OK)
        code = cli_fail(cli, IFAB_INVALID);
    if (code == 0 && ifab_manifest_verify(&m.manifest, pubkey != NULL ? pubkey32 : m.manifest.pubkey32, &refusal) != IFAB_CODE_NONE)
        code = cli_refuse(cli, refusal.code, "%s: %s", cli->words[0], refusal.message);
    if (code == 0)
        code = check_module(cli, &m.manifest, cli_get(cli, "module"));
    if (code == 0)
        code = print_manifest(cli, &m.manifest);
    if (code == 0 && pubkey == NULL) {
        cli_say(cli, "it agrees with itself; whose key that is, you said not: --pubkey KEY");
        code = EXIT_UNTRUSTED;
    }
    cli_manifest_fini(&m);
    return code;
}

#ifndef SUPPORT_EXPORT_H
#define SUPPORT_EXPORT_H
/*
 * A log made in this process and written out as an export directory: real entries, real signatures. A test says what shall be wrong with it
 * (struct flaw): the log is then signed as it is, so that only the check in question can notice.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "connect/envelope.h"
#include "crypto/crypto.h"
#include "trees.h"
#include "witness/witness.h"

#define EXPORT_ORIGIN "test.example/0a1b2c3d"

enum flaw {
    FLAW_NONE,
    FLAW_SPACE, /* entry in another form than the canonical one */
    FLAW_INDEX, /* index left out */
    FLAW_PREV_HASH,
    FLAW_TIME, /* before the one of the entry before */
    FLAW_LOG,  /* of another log */
    FLAW_NOT_JSON,
    FLAW_WHY_FROM,       /* inherits from a later entry */
    FLAW_UNKNOWN_SENDER, /* message of a talent that was never enrolled */
    FLAW_OTHER_KEY,      /* message signed by a key of another */
    FLAW_REVOKED_KEY,    /* message after its key was revoked */
    FLAW_DIGEST,         /* entry names another digest than that of the bytes */
    FLAW_SIGNATURE,      /* message bytes with a bad signature */
    FLAW_BYTES,          /* no envelope at all */
    FLAW_BLANK,          /* a line end behind what was accepted */
    FLAW_UNSAID,         /* bytes in another form than the canonical one, whose digest the entry does not say */
};

struct export_log {
    char dir[64];
    struct ifab_signer *log_key, *agent_key, *other_key;
    struct ifab_buf entries, messages; /* all of them, one behind the other */
    size_t *entry_at, *message_at;     /* count + 1 offsets; a message of no bytes: none */
    uint8_t (*leaves)[32];
    uint64_t count, room;
    uint8_t prev32[32];
    ifab_usec time;
    char vkey[256];
    struct ifab_arena arena;
};

static inline void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "test support: %s: %s\n", what, strerror(errno));
    abort();
}

static inline void export_begin(struct export_log *log, uint64_t room, uint8_t seed)
{
    struct ifab_buf text = IFAB_BUF_INIT(256);
    uint8_t seed32[32], public32[32];

    memset(log, 0, sizeof *log);
    memset(seed32, seed, sizeof seed32);
    must(ifab_signer_from_seed(seed32, &log->log_key, NULL) == IFAB_OK, "key");
    seed32[0] ^= 0x40;
    must(ifab_signer_from_seed(seed32, &log->agent_key, NULL) == IFAB_OK, "key");
    seed32[0] ^= 0x80;
    must(ifab_signer_from_seed(seed32, &log->other_key, NULL) == IFAB_OK, "key");
    ifab_signer_public(log->log_key, public32);
    must(ifab_note_vkey_write(IFAB_VIEW(EXPORT_ORIGIN), public32, &text) == IFAB_OK, "vkey");
    memcpy(log->vkey, text.data, text.size);
    ifab_buf_fini(&text);
    ifab_buf_init(&log->entries, (size_t)1 << 31);
    ifab_buf_init(&log->messages, (size_t)1 << 31);
    ifab_arena_init(&log->arena, 1 << 24);
    log->room = room;
    log->entry_at = ifab_calloc(room + 1, sizeof *log->entry_at);
    log->message_at = ifab_calloc(room + 1, sizeof *log->message_at);
    log->leaves = ifab_calloc(room + 1, sizeof *log->leaves);
    must(log->entry_at != NULL && log->message_at != NULL && log->leaves != NULL, "memory");
    log->time = INT64_C(1762942860000000);
    snprintf(log->dir, sizeof log->dir, "%s/verify.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    must(mkdtemp(log->dir) != NULL, "mkdtemp");
}

/* Empties the directory. */
static inline void export_remove(const struct export_log *log)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf '%s'/*", log->dir);
    must(system(command) == 0, "rm");
}

static inline void export_end(struct export_log *log)
{
    export_remove(log);
    must(rmdir(log->dir) == 0, log->dir);
    ifab_signer_free(log->log_key);
    ifab_signer_free(log->agent_key);
    ifab_signer_free(log->other_key);
    ifab_buf_fini(&log->entries);
    ifab_buf_fini(&log->messages);
    ifab_arena_fini(&log->arena);
    ifab_free(log->entry_at);
    ifab_free(log->message_at);
    ifab_free(log->leaves);
}

static inline struct ifab_view export_entry(const struct export_log *log, uint64_t index)
{
    return ifab_view_of(log->entries.data + log->entry_at[index], log->entry_at[index + 1] - log->entry_at[index]);
}

static inline struct ifab_view export_message_bytes(const struct export_log *log, uint64_t index)
{
    return ifab_view_of(log->messages.data + log->message_at[index], log->message_at[index + 1] - log->message_at[index]);
}

/* Puts `with` in place of the first `what` of the entry in buf, from offset on. */
static inline void replace_text(struct ifab_buf *buf, size_t offset, const char *what, const char *with)
{
    struct ifab_buf out = IFAB_BUF_INIT((size_t)1 << 31);
    const size_t size = strlen(what);
    size_t at = offset;

    while (at + size <= buf->size && memcmp(buf->data + at, what, size) != 0)
        at++;
    must(at + size <= buf->size, what);
    ifab_buf_put(&out, buf->data, at);
    ifab_buf_str(&out, with);
    ifab_buf_put(&out, buf->data + at + size, buf->size - at - size);
    ifab_buf_fini(buf);
    *buf = out;
}

static inline void export_add(struct export_log *log, enum ifab_event event, const char *actor, const char *subject,
                              struct ifab_view payload, struct ifab_view message, enum flaw flaw)
{
    struct ifab_entry entry = {
        .event = event,
        .log = flaw == FLAW_LOG ? IFAB_VIEW("other") : IFAB_VIEW("main"),
        .index = log->count,
        .time = flaw == FLAW_TIME ? log->time - 2000 : (log->time += 1000),
        .actor = ifab_view_str(actor),
        .why = IFAB_VIEW("because"),
        .trace16 = {1, 2, 3},
        .subject = ifab_view_str(subject),
        .payload = payload,
    };
    const size_t at = log->entries.size;
    char index[64];

    must(log->count < log->room, "room");
    memcpy(entry.prev_hash32, log->prev32, 32);
    entry.prev_hash32[31] ^= flaw == FLAW_PREV_HASH;
    must(ifab_entry_write(&entry, &log->entries) == IFAB_OK, "entry");
    snprintf(index, sizeof index, "\"index\":%llu,\"log\"", (unsigned long long)log->count);
    if (flaw == FLAW_SPACE)
        replace_text(&log->entries, at, "\"v\":1", "\"v\": 1");
    if (flaw == FLAW_INDEX)
        replace_text(&log->entries, at, index, "\"index\":77,\"log\"");
    if (flaw == FLAW_NOT_JSON)
        replace_text(&log->entries, at, "\"v\":1", "\"v\":!");
    if (flaw == FLAW_WHY_FROM)
        replace_text(&log->entries, at, "\"why\":\"because\"", "\"why_from\":99");
    log->entry_at[log->count + 1] = log->entries.size;
    ifab_buf_view(&log->messages, message);
    log->message_at[log->count + 1] = log->messages.size;
    ifab_sha256(export_entry(log, log->count), log->prev32);
    ifab_leaf_hash(export_entry(log, log->count), log->leaves[log->count]);
    log->count++;
}

static inline void export_enrol(struct export_log *log, const char *name, const struct ifab_signer *key, bool revoked)
{
    struct ifab_buf payload = IFAB_BUF_INIT(4096);
    uint8_t public32[32];

    ifab_signer_public(key, public32);
    ifab_buf_str(&payload, "{\"record\":{\"keys\":[{\"epoch\":1,\"not_before\":\"2025-01-01T00:00:00.000Z\",\"pubkey\":\"");
    ifab_buf_base64url(&payload, public32, 32);
    ifab_buf_str(&payload, revoked ? "\",\"revoked_at\":\"2025-01-02T00:00:00.000Z\"}]" : "\"}]");
    ifab_buf_format(&payload, ",\"name\":\"%s\"}}", name);
    export_add(log, revoked ? IFAB_EVENT_TALENT_REVOKE : IFAB_EVENT_TALENT_ADD, "uid:1000", name, ifab_buf_as_view(&payload), IFAB_VIEW(""),
               FLAW_NONE);
    ifab_buf_fini(&payload);
}

/* A signed envelope: written with a signature of zeros, read, signed over what was read, written again. */
static inline void make_envelope(struct export_log *log, uint64_t n, const char *sender, const struct ifab_signer *key,
                                 struct ifab_buf *bytes, uint8_t ret_digest32[32])
{
    struct ifab_envelope envelope;
    struct ifab_refusal refusal;
    uint8_t public32[32], sig64[64] = {0};

    ifab_signer_public(key, public32);
    for (int pass = 0; pass < 2; pass++) {
        ifab_buf_clear(bytes);
        ifab_buf_format(bytes, "{\"id\":\"msg-01930000-0000-7000-8000-%012llx\",\"performative\":\"inform\",", (unsigned long long)n);
        ifab_buf_str(bytes, "\"conversation_id\":\"conv-01930000-0000-7000-8000-00000000c000\",\"topic_hash\":\"sha256:"
                            "d45a1dfdd90023d002540b703adc912e8e5658758bb0d381a4f342afcb428752\",");
        ifab_buf_format(bytes, "\"sender\":\"%s\",\"issued_at\":\"2025-11-12T10:21:00Z\",\"ttl_s\":900,\"seq\":%llu,", sender,
                        (unsigned long long)n + 1);
        ifab_buf_str(
            bytes,
            "\"nonce\":\"fkevFY6dtU_F5JAplvU2Cg\",\"content\":{\"claim\":\"x\"},\"signature\":{\"algorithm\":\"ed25519\",\"pubkey\":\"");
        ifab_buf_base64url(bytes, public32, 32);
        ifab_buf_str(bytes, "\",\"sig\":\"");
        ifab_buf_base64url(bytes, sig64, 64);
        ifab_buf_str(bytes, "\"}}");
        ifab_arena_reset(&log->arena);
        must(ifab_envelope_read(ifab_buf_as_view(bytes), 0, &log->arena, &envelope, &refusal) == IFAB_CODE_NONE, refusal.message);
        ifab_signer_sign(key, envelope.signed_bytes, sig64);
    }
    memcpy(ret_digest32, envelope.message_digest32, 32);
}

static inline void export_message(struct export_log *log, enum flaw flaw)
{
    struct ifab_buf bytes = IFAB_BUF_INIT(65536), payload = IFAB_BUF_INIT(4096);
    const char *sender = flaw == FLAW_UNKNOWN_SENDER ? "if://agent/Nobody/1" : "if://agent/Demo.A/1";
    uint8_t digest32[32];
    char id[64];

    make_envelope(log, log->count, sender, flaw == FLAW_OTHER_KEY ? log->other_key : log->agent_key, &bytes, digest32);
    if (flaw == FLAW_DIGEST)
        digest32[5] ^= 1;
    if (flaw == FLAW_SIGNATURE)
        bytes.data[bytes.size - 20] ^= 1;
    if (flaw == FLAW_BYTES)
        bytes.size /= 2;
    snprintf(id, sizeof id, "msg-01930000-0000-7000-8000-%012llx", (unsigned long long)log->count);
    uint8_t bytes32[32]; /* of all bytes: the form is not the canonical one */
    ifab_sha256(ifab_buf_as_view(&bytes), bytes32);
    if (flaw == FLAW_BLANK)
        ifab_buf_char(&bytes, '\n');
    ifab_buf_char(&payload, '{');
    if (flaw != FLAW_UNSAID) {
        ifab_buf_str(&payload, "\"bytes_digest\":\"sha256:");
        ifab_buf_hex(&payload, bytes32, 32);
        ifab_buf_str(&payload, "\",");
    }
    ifab_buf_format(&payload, "\"decision\":\"SHARE\",\"id\":\"%s\",\"message_digest\":\"sha256:", id);
    ifab_buf_hex(&payload, digest32, 32);
    ifab_buf_str(&payload, "\",\"policy_digest\":\"sha256:00\",\"reason\":\"fine\",\"rule\":\"default\"}");
    export_add(log, IFAB_EVENT_MESSAGE_SHARE, sender, id, ifab_buf_as_view(&payload), ifab_buf_as_view(&bytes), FLAW_NONE);
    ifab_buf_fini(&bytes);
    ifab_buf_fini(&payload);
}

static inline void export_put(const struct export_log *log, const char *name, struct ifab_view bytes)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", log->dir, name);
    for (char *slash = strchr(path + strlen(log->dir) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        must(mkdir(path, 0700) == 0 || errno == EEXIST, path);
        *slash = '/';
    }
    file = fopen(path, "wb");
    must(file != NULL, path);
    must(bytes.size == 0 || fwrite(bytes.data, 1, bytes.size, file) == bytes.size, path);
    must(fclose(file) == 0, path);
}

/* Signed note of the log's first `size` entries. */
static inline void export_note_as(const struct export_log *log, uint64_t size, const char *origin, struct ifab_buf *note)
{
    struct ifab_checkpoint checkpoint = {.origin = ifab_view_str(origin), .size = size};
    struct ifab_buf body = IFAB_BUF_INIT(4096);

    struct ifab_tree tree = {0};
    for (uint64_t i = 0; i < size; i++)
        ifab_tree_append(&tree, (const uint8_t *)log->leaves[i]);
    ifab_tree_root(&tree, checkpoint.root32);
    must(ifab_checkpoint_write(&checkpoint, &body) == IFAB_OK, "checkpoint");
    ifab_buf_clear(note);
    must(ifab_note_sign(ifab_buf_as_view(&body), IFAB_VIEW(EXPORT_ORIGIN), log->log_key, note) == IFAB_OK, "note");
    ifab_buf_fini(&body);
}

static inline void export_note(const struct export_log *log, uint64_t size, struct ifab_buf *note)
{
    export_note_as(log, size, EXPORT_ORIGIN, note);
}

static inline void export_write_bundles(const struct export_log *log, uint64_t size)
{
    char path[64];

    for (uint64_t first = 0; first < size; first += 256) {
        const unsigned width = size - first < 256 ? (unsigned)(size - first) : 256;
        const struct ifab_tile tile = {.entries = true, .number = first / 256, .width = width};
        struct ifab_buf bundle = IFAB_BUF_INIT((size_t)1 << 25);
        for (uint64_t i = first; i < first + width; i++)
            ifab_bundle_put(&bundle, export_entry(log, i));
        ifab_tile_format(&tile, path);
        export_put(log, path, ifab_buf_as_view(&bundle));
        ifab_buf_fini(&bundle);
    }
}

static inline void export_write_tiles(const struct export_log *log, uint64_t size)
{
    char path[64];

    for (uint64_t first = 0; first < size; first += 256) {
        const struct ifab_tile tile = {.number = first / 256, .width = size - first < 256 ? (unsigned)(size - first) : 256};
        ifab_tile_format(&tile, path);
        export_put(log, path, ifab_view_of(log->leaves[first], tile.width * 32));
    }
    if (size >= 256) { /* level 1 */
        struct ifab_tile tile = {.level = 1, .width = (unsigned)(size / 256 % 256)};
        uint8_t hashes[256][32];
        for (uint64_t i = 0; i < size / 256 && i < 256; i++)
            naive_root((const uint8_t(*)[32])(log->leaves + 256 * i), 256, hashes[i]);
        if (size / 256 < 256) {
            ifab_tile_format(&tile, path);
            export_put(log, path, ifab_view_of(hashes[0], tile.width * 32));
        }
    }
}

/* The first `size` entries as an export. */
static inline void export_write(const struct export_log *log, uint64_t size)
{
    struct ifab_buf note = IFAB_BUF_INIT(65536);
    char name[64];

    export_note(log, size, &note);
    export_put(log, "checkpoint", ifab_buf_as_view(&note));
    ifab_buf_clear(&note);
    ifab_buf_str(&note, log->vkey);
    ifab_buf_char(&note, '\n');
    export_put(log, "keys/vkey", ifab_buf_as_view(&note));
    ifab_buf_fini(&note);
    export_write_bundles(log, size);
    export_write_tiles(log, size);
    for (uint64_t i = 0; i < size; i++)
        if (export_message_bytes(log, i).size > 0) {
            snprintf(name, sizeof name, "messages/%llu.json", (unsigned long long)i);
            export_put(log, name, export_message_bytes(log, i));
        }
}
#endif

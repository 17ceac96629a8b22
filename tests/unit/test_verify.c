/* The verifier against logs made here: whole ones verify, and nothing can be changed, left out, swapped or made up without it noticing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "client/verify.h"
#include "export.h"

static struct ifab_verify_report verify(const struct export_log *log, const struct ifab_verify_options *options)
{
    struct ifab_verify_report report;
    struct ifab_error err = {0};

    if (ifab_verify_log(log->dir, options, &report, &err) != IFAB_OK)
        fail_msg("no verdict: %s", err.text);
    return report;
}

static struct ifab_verify_options by_key(const struct export_log *log)
{
    return (struct ifab_verify_options){.vkey = ifab_view_str(log->vkey)};
}

#define ASSERT_VERDICT(report, want)                                                                   \
    do {                                                                                               \
        if ((report).verdict != (want))                                                                \
            fail_msg("verdict %d: %s; %s", (int)(report).verdict, (report).integrity, (report).trust); \
    } while (0)

/* Two enrolments, three messages, one other entry. */
static void small_log(struct export_log *log)
{
    export_begin(log, 16, 7);
    export_add(log, IFAB_EVENT_FABRIC_INIT, "if://fabric/x", "if://fabric/x", IFAB_VIEW("{}"), IFAB_VIEW(""), FLAW_NONE);
    export_enrol(log, "Demo.A", log->agent_key, false);
    export_message(log, FLAW_NONE);
    export_message(log, FLAW_NONE);
    export_enrol(log, "Demo.B", log->other_key, false);
    export_message(log, FLAW_NONE);
}

static void verifies_a_whole_log_and_every_prefix(void **state) /* INV-05 */
{
    struct export_log log;

    (void)state;
    small_log(&log);
    for (uint64_t size = 0; size <= log.count; size++) {
        struct ifab_verify_options options = by_key(&log);
        struct ifab_verify_report report;
        export_remove(&log);
        export_write(&log, size);
        report = verify(&log, &options);
        ASSERT_VERDICT(report, IFAB_VERIFY_VERIFIED);
        assert_true(report.intact && report.trusted && !report.has_bad_index);
        assert_true(report.size == size && report.entries_checked == size);
        assert_int_equal(report.messages_good, (size > 2) + (size > 3) + (size > 5));
        assert_string_equal(report.origin, EXPORT_ORIGIN);
        options.vkey.size = 0;
        report = verify(&log, &options);
        ASSERT_VERDICT(report, IFAB_VERIFY_CONSISTENT);
        assert_true(report.intact && !report.trusted);
        options = by_key(&log);
        options.hash_only = true;
        ASSERT_VERDICT(verify(&log, &options), IFAB_VERIFY_VERIFIED);
    }
    export_end(&log);
}

static void tells_integrity_from_trust(void **state)
{
    struct export_log log, foreign;
    struct ifab_verify_options options;
    struct ifab_verify_report report;
    struct ifab_buf text = IFAB_BUF_INIT(256);
    uint8_t public32[32];

    (void)state;
    small_log(&log);
    export_write(&log, log.count);
    export_begin(&foreign, 1, 8);
    options = by_key(&foreign); /* same name, other key */
    report = verify(&log, &options);
    ASSERT_VERDICT(report, IFAB_VERIFY_NOT_VERIFIED);
    assert_true(report.intact && !report.trusted);
    ifab_signer_public(log.log_key, public32); /* same key, other name: it speaks for another log */
    assert_int_equal(ifab_note_vkey_write(IFAB_VIEW("other.example/0a1b2c3d"), public32, &text), IFAB_OK);
    options.vkey = ifab_buf_as_view(&text);
    report = verify(&log, &options);
    ASSERT_VERDICT(report, IFAB_VERIFY_NOT_VERIFIED);
    assert_true(report.intact && !report.trusted);
    ifab_buf_fini(&text);
    export_end(&foreign);
    export_end(&log);
}

static const char *const small_files[] = {"checkpoint",      "keys/vkey",       "tile/0/000.p/6", "tile/entries/000.p/6",
                                          "messages/2.json", "messages/3.json", "messages/5.json"};

static struct ifab_view load(const struct export_log *log, const char *name)
{
    struct ifab_view bytes;
    char path[256];

    snprintf(path, sizeof path, "%s/%s", log->dir, name);
    assert_int_equal(ifab_verify_read_file(path, 1 << 20, &bytes, NULL), IFAB_OK);
    return bytes;
}

static void unload(struct ifab_view bytes)
{
    uint8_t *owned;

    memcpy(&owned, &bytes.data, sizeof owned);
    ifab_free(owned);
}

static void notices_every_flipped_byte_of_every_file(void **state) /* INV-05 */
{
    struct export_log log;
    struct ifab_verify_options options;

    (void)state;
    small_log(&log);
    export_write(&log, log.count);
    options = by_key(&log);
    for (size_t f = 0; f < IFAB_COUNT(small_files); f++) {
        struct ifab_view bytes = load(&log, small_files[f]);
        uint8_t *changed = ifab_malloc(bytes.size);
        memcpy(changed, bytes.data, bytes.size);
        for (size_t i = 0; i < bytes.size; i++) {
            struct ifab_verify_report report;
            changed[i] ^= (uint8_t)(1U << (i % 8));
            export_put(&log, small_files[f], ifab_view_of(changed, bytes.size));
            report = verify(&log, &options);
            if (report.verdict != IFAB_VERIFY_NOT_VERIFIED)
                fail_msg("%s: byte %zu", small_files[f], i);
            changed[i] = bytes.data[i];
        }
        export_put(&log, small_files[f], bytes);
        ifab_free(changed);
        unload(bytes);
    }
    ASSERT_VERDICT(verify(&log, &options), IFAB_VERIFY_VERIFIED);
    export_end(&log);
}

static void notices_every_truncation_and_missing_file(void **state)
{
    struct export_log log;
    struct ifab_verify_options options;
    char path[256];

    (void)state;
    small_log(&log);
    export_write(&log, log.count);
    options = by_key(&log);
    for (size_t f = 0; f < IFAB_COUNT(small_files); f++) {
        struct ifab_view bytes = load(&log, small_files[f]);
        struct ifab_buf longer = IFAB_BUF_INIT(1 << 20);
        for (size_t size = 0; size < bytes.size; size += size + 7 < bytes.size ? 7 : 1) {
            struct ifab_verify_report report;
            export_put(&log, small_files[f], ifab_view_of(bytes.data, size));
            report = verify(&log, &options);
            /* the last line end of keys/vkey is a convenience */
            if (report.verdict != IFAB_VERIFY_NOT_VERIFIED && !(f == 1 && size + 1 == bytes.size))
                fail_msg("%s: cut to %zu of %zu", small_files[f], size, bytes.size);
        }
        ifab_buf_view(&longer, bytes);
        ifab_buf_char(&longer, '\n');
        export_put(&log, small_files[f], ifab_buf_as_view(&longer));
        if (f < 4) /* white space after an envelope is not part of what was signed */
            ASSERT_VERDICT(verify(&log, &options), IFAB_VERIFY_NOT_VERIFIED);
        snprintf(path, sizeof path, "%s/%s", log.dir, small_files[f]);
        assert_int_equal(unlink(path), 0);
        if (f < 4) {
            ASSERT_VERDICT(verify(&log, &options), IFAB_VERIFY_NOT_VERIFIED);
        } else {
            struct ifab_verify_report report = verify(&log, &options); /* bytes need not be exported; it is said */
            ASSERT_VERDICT(report, IFAB_VERIFY_VERIFIED);
            assert_true(report.messages_good == 2 && report.messages_absent == 1);
        }
        export_put(&log, small_files[f], bytes);
        ifab_buf_fini(&longer);
        unload(bytes);
    }
    export_end(&log);
}

/* More than two tiles, without messages. */
static void long_log(struct export_log *log, uint64_t count, uint8_t seed)
{
    export_begin(log, count, seed);
    for (uint64_t i = 0; i < count; i++)
        export_add(log, IFAB_EVENT_CLOCK_JUMP, "if://fabric/x", "x", IFAB_VIEW("{\"n\":1}"), IFAB_VIEW(""), FLAW_NONE);
}

static void swap_files(const struct export_log *log, const char *a, const char *b)
{
    struct ifab_view x = load(log, a), y = load(log, b);

    export_put(log, a, y);
    export_put(log, b, x);
    unload(x);
    unload(y);
}

static void notices_swapped_and_changed_tiles(void **state)
{
    struct export_log log;
    struct ifab_view upper;
    uint8_t changed[64];
    struct ifab_verify_options options;
    struct ifab_verify_report report;

    (void)state;
    long_log(&log, 600, 7);
    export_write(&log, log.count);
    options = by_key(&log);
    for (int hash_only = 0; hash_only < 2; hash_only++) {
        options.hash_only = hash_only != 0;
        report = verify(&log, &options);
        ASSERT_VERDICT(report, IFAB_VERIFY_VERIFIED);
        assert_true(report.entries_checked == 600);
        swap_files(&log, "tile/0/000", "tile/0/001");
        report = verify(&log, &options);
        ASSERT_VERDICT(report, IFAB_VERIFY_NOT_VERIFIED);
        assert_true(report.has_bad_index && report.bad_index == 0);
        swap_files(&log, "tile/entries/000", "tile/entries/001"); /* hashes agree with entries again, the root does not */
        report = verify(&log, &options);
        ASSERT_VERDICT(report, IFAB_VERIFY_NOT_VERIFIED);
        swap_files(&log, "tile/0/000", "tile/0/001");
        swap_files(&log, "tile/entries/000", "tile/entries/001");
        swap_files(&log, "tile/1/000.p/2", "tile/0/002.p/88"); /* a tile of another level */
        ASSERT_VERDICT(verify(&log, &options), IFAB_VERIFY_NOT_VERIFIED);
        swap_files(&log, "tile/1/000.p/2", "tile/0/002.p/88");
        ASSERT_VERDICT(verify(&log, &options), IFAB_VERIFY_VERIFIED);
        upper = load(&log, "tile/1/000.p/2");
        memcpy(changed, upper.data, sizeof changed);
        changed[63] ^= 1;
        export_put(&log, "tile/1/000.p/2", ifab_view_of(changed, sizeof changed));
        ASSERT_VERDICT(verify(&log, &options), IFAB_VERIFY_NOT_VERIFIED);
        export_put(&log, "tile/1/000.p/2", upper);
        unload(upper);
    }
    export_end(&log);
}

/* INV-05: every entry, hash and tile agrees, and the log's own key signs another root. */
static void compares_the_root_with_the_signed_one(void **state)
{
    struct export_log log;
    struct ifab_verify_options options;
    struct ifab_checkpoint checkpoint = {.origin = IFAB_VIEW(EXPORT_ORIGIN)};
    struct ifab_tree tree = {0};
    struct ifab_buf body = IFAB_BUF_INIT(4096), note = IFAB_BUF_INIT(65536);

    (void)state;
    small_log(&log);
    export_write(&log, log.count);
    for (uint64_t i = 0; i < log.count; i++)
        ifab_tree_append(&tree, log.leaves[i]);
    checkpoint.size = log.count;
    ifab_tree_root(&tree, checkpoint.root32);
    checkpoint.root32[31] ^= 1;
    assert_int_equal(ifab_checkpoint_write(&checkpoint, &body), IFAB_OK);
    assert_int_equal(ifab_note_sign(ifab_buf_as_view(&body), checkpoint.origin, log.log_key, &note), IFAB_OK);
    options = by_key(&log);
    for (int hash_only = 0; hash_only < 2; hash_only++) {
        options.hash_only = hash_only != 0;
        ASSERT_VERDICT(verify(&log, &options), IFAB_VERIFY_VERIFIED);
    }
    export_put(&log, "checkpoint", ifab_buf_as_view(&note));
    for (int hash_only = 0; hash_only < 2; hash_only++) {
        options.hash_only = hash_only != 0;
        ASSERT_VERDICT(verify(&log, &options), IFAB_VERIFY_NOT_VERIFIED);
    }
    ifab_buf_fini(&body);
    ifab_buf_fini(&note);
    export_end(&log);
}

/* The entry that was changed is named, not the one whose chain broke because of it. */
static void names_the_first_entry_that_is_wrong(void **state)
{
    static const uint64_t places[] = {0, 1, 255, 256, 300, 599};
    struct export_log log;
    struct ifab_verify_options options;

    (void)state;
    long_log(&log, 600, 7);
    export_write(&log, 600);
    options = by_key(&log);
    for (size_t i = 0; i < IFAB_COUNT(places); i++) {
        struct ifab_view entry = export_entry(&log, places[i]);
        uint8_t *why = log.entries.data + (entry.data - log.entries.data) + entry.size - strlen("because\"}");
        struct ifab_verify_report report;
        *why ^= 1; /* another why, well formed */
        export_write_bundles(&log, 600);
        report = verify(&log, &options);
        ASSERT_VERDICT(report, IFAB_VERIFY_NOT_VERIFIED);
        assert_true(report.has_bad_index && report.bad_index == places[i] && report.entries_checked == places[i]);
        *why ^= 1;
    }
    export_end(&log);
}

static void compares_with_a_checkpoint_seen_before(void **state) /* INV-05 */
{
    static const uint64_t sizes[] = {0, 1, 255, 256, 257, 511, 512, 599, 600};
    struct export_log log, forked, foreign;
    struct ifab_buf note = IFAB_BUF_INIT(4096);
    struct ifab_verify_options options;

    (void)state;
    long_log(&log, 600, 7);
    export_write(&log, 600);
    options = by_key(&log);
    for (size_t i = 0; i < IFAB_COUNT(sizes); i++) {
        export_note(&log, sizes[i], &note);
        options.checkpoint = ifab_buf_as_view(&note);
        ASSERT_VERDICT(verify(&log, &options), IFAB_VERIFY_VERIFIED);
    }
    export_remove(&log); /* cut to 500: the newer checkpoint says so */
    export_write(&log, 500);
    ASSERT_VERDICT(verify(&log, &options), IFAB_VERIFY_NOT_VERIFIED);

    export_begin(&forked, 600, 7); /* same key, another history */
    for (int i = 0; i < 600; i++)
        export_add(&forked, IFAB_EVENT_CLOCK_JUMP, "if://fabric/x", i == 0 ? "y" : "x", IFAB_VIEW("{\"n\":1}"), IFAB_VIEW(""), FLAW_NONE);
    export_write(&forked, 600);
    options.checkpoint.size = 0;
    ASSERT_VERDICT(verify(&forked, &options), IFAB_VERIFY_VERIFIED); /* alone it looks fine */
    for (size_t i = 1; i < IFAB_COUNT(sizes); i++) {
        export_note(&log, sizes[i], &note);
        options.checkpoint = ifab_buf_as_view(&note);
        ASSERT_VERDICT(verify(&forked, &options), IFAB_VERIFY_NOT_VERIFIED);
    }
    long_log(&foreign, 10, 9); /* a checkpoint by another key */
    export_note(&foreign, 10, &note);
    options.checkpoint = ifab_buf_as_view(&note);
    for (int i = 0; i < 4; i++) { /* a question of trust: nothing of the log is broken */
        options.vkey = i < 2 ? by_key(&log).vkey : (struct ifab_view){NULL, 0};
        options.hash_only = i % 2 == 1;
        const struct ifab_verify_report report = verify(&log, &options);
        ASSERT_VERDICT(report, IFAB_VERIFY_NOT_VERIFIED);
        assert_true(report.intact && !report.trusted);
        assert_non_null(strstr(report.trust, "the older checkpoint is not signed by"));
    }
    ifab_buf_fini(&note);
    export_end(&foreign);
    export_end(&forked);
    export_end(&log);
}

static void wants_the_size_that_was_asked_for(void **state)
{
    struct export_log log;
    struct ifab_verify_options options;

    (void)state;
    small_log(&log);
    export_write(&log, log.count);
    options = by_key(&log);
    options.has_min_size = true;
    options.min_size = log.count;
    ASSERT_VERDICT(verify(&log, &options), IFAB_VERIFY_VERIFIED);
    options.min_size++;
    ASSERT_VERDICT(verify(&log, &options), IFAB_VERIFY_NOT_VERIFIED);
    export_end(&log);
}

/* A log that was signed with something wrong in it: the signature is good, the content is not. */
static void refuses_what_even_the_log_may_not_say(void **state) /* INV-02 */
{
    static const struct {
        enum flaw flaw;
        bool message;
    } rows[] = {
        {FLAW_SPACE, false},         {FLAW_INDEX, false},    {FLAW_PREV_HASH, false}, {FLAW_TIME, false},       {FLAW_LOG, false},
        {FLAW_NOT_JSON, false},      {FLAW_WHY_FROM, false}, {FLAW_OTHER_KEY, true},  {FLAW_REVOKED_KEY, true}, {FLAW_DIGEST, true},
        {FLAW_UNKNOWN_SENDER, true}, {FLAW_BYTES, true},     {FLAW_SIGNATURE, true}, {FLAW_BLANK, true}, {FLAW_UNSAID, true},
    };
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        struct export_log log;
        struct ifab_verify_options options;
        struct ifab_verify_report report;
        uint64_t bad;
        small_log(&log);
        if (rows[i].flaw == FLAW_REVOKED_KEY)
            export_enrol(&log, "Demo.A", log.agent_key, true);
        bad = log.count;
        if (rows[i].message)
            export_message(&log, rows[i].flaw);
        else
            export_add(&log, IFAB_EVENT_CLOCK_JUMP, "if://fabric/x", "x", IFAB_VIEW("{}"), IFAB_VIEW(""), rows[i].flaw);
        export_add(&log, IFAB_EVENT_CLOCK_JUMP, "if://fabric/x", "x", IFAB_VIEW("{}"), IFAB_VIEW(""), FLAW_NONE);
        export_write(&log, log.count);
        options = by_key(&log);
        report = verify(&log, &options);
        if (report.verdict != IFAB_VERIFY_NOT_VERIFIED || report.intact || !report.has_bad_index || report.bad_index != bad)
            fail_msg("flaw %d: %s (entry %llu)", (int)rows[i].flaw, report.integrity, (unsigned long long)report.bad_index);
        options.hash_only = true; /* that is what it leaves out */
        ASSERT_VERDICT(verify(&log, &options), IFAB_VERIFY_VERIFIED);
        export_end(&log);
    }
}

static void says_erased_and_not_broken(void **state)
{
    struct export_log log;
    struct ifab_verify_options options;
    struct ifab_verify_report report;
    char path[256];

    (void)state;
    small_log(&log);
    export_add(&log, IFAB_EVENT_MESSAGE_ERASED, "uid:1000", "msg-01930000-0000-7000-8000-000000000002", IFAB_VIEW("{}"), IFAB_VIEW(""),
               FLAW_NONE);
    export_add(&log, IFAB_EVENT_MESSAGE_ERASED, "uid:1000", "any", IFAB_VIEW("{\"entry\":5}"), IFAB_VIEW(""), FLAW_NONE);
    export_write(&log, log.count);
    options = by_key(&log);
    export_put(&log, "erased.json", IFAB_VIEW("[2,5]\n"));
    report = verify(&log, &options); /* both bytes are still here */
    ASSERT_VERDICT(report, IFAB_VERIFY_NOT_VERIFIED);
    assert_true(report.bad_index == 2);
    snprintf(path, sizeof path, "%s/messages/2.json", log.dir);
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s/messages/5.json", log.dir);
    assert_int_equal(unlink(path), 0);
    report = verify(&log, &options);
    ASSERT_VERDICT(report, IFAB_VERIFY_VERIFIED);
    assert_true(report.messages_good == 1 && report.messages_erased == 2 && report.messages_absent == 0);

    static const char *const bad[] = {
        "[2,3,5]\n",
        /* 3 is here */ "[2,4,5]\n",
        /* an entry, but no message */ "[2,5,99]\n", /* no entry */
        "[2,2,5]\n",
        "[5, 2]\n",
        "[2,5]\n\n",
        "[-2,5]",
        "[2.5]",
        "{}",
        "",
        "[\"2\",5]\n",
    };
    for (size_t i = 0; i < IFAB_COUNT(bad); i++) {
        export_put(&log, "erased.json", ifab_view_str(bad[i]));
        report = verify(&log, &options);
        if (report.verdict != IFAB_VERIFY_NOT_VERIFIED)
            fail_msg("took erased.json %s", bad[i]);
    }
    snprintf(path, sizeof path, "%s/messages/3.json", log.dir); /* absent and listed, but no entry erases it */
    assert_int_equal(unlink(path), 0);
    export_put(&log, "erased.json", IFAB_VIEW("[2,3,5]\n"));
    report = verify(&log, &options);
    ASSERT_VERDICT(report, IFAB_VERIFY_NOT_VERIFIED);
    assert_true(report.bad_index == 3);
    export_end(&log);
}

static void refuses_files_that_no_entry_asked_for(void **state)
{
    struct export_log log;
    struct ifab_verify_options options;
    char path[256], target[256];

    (void)state;
    small_log(&log);
    export_write(&log, log.count);
    options = by_key(&log);
    export_put(&log, "messages/4.json", IFAB_VIEW("{}")); /* entry 4 is no message */
    ASSERT_VERDICT(verify(&log, &options), IFAB_VERIFY_NOT_VERIFIED);
    snprintf(path, sizeof path, "%s/messages/4.json", log.dir);
    assert_int_equal(unlink(path), 0);
    ASSERT_VERDICT(verify(&log, &options), IFAB_VERIFY_VERIFIED);
    snprintf(path, sizeof path, "%s/tile/0/000.p/6", log.dir); /* a link does not stand for a file */
    snprintf(target, sizeof target, "%s/elsewhere", log.dir);
    assert_int_equal(rename(path, target), 0);
    assert_int_equal(symlink(target, path), 0);
    ASSERT_VERDICT(verify(&log, &options), IFAB_VERIFY_NOT_VERIFIED);
    assert_int_equal(unlink(path), 0); /* nor does a FIFO, and it does not hold us */
    assert_int_equal(mkfifo(path, 0600), 0);
    ASSERT_VERDICT(verify(&log, &options), IFAB_VERIFY_NOT_VERIFIED);
    export_end(&log);
}

static void gives_no_verdict_on_nonsense(void **state)
{
    struct export_log log;
    struct ifab_verify_options options = {0};
    struct ifab_verify_report report;

    (void)state;
    small_log(&log);
    export_write(&log, log.count);
    options.vkey = IFAB_VIEW("hello");
    assert_int_equal(ifab_verify_log(log.dir, &options, &report, NULL), IFAB_INVALID);
    assert_int_equal(report.verdict, IFAB_VERIFY_NOT_VERIFIED);
    options = by_key(&log);
    options.checkpoint = IFAB_VIEW("hello");
    assert_int_equal(ifab_verify_log(log.dir, &options, &report, NULL), IFAB_INVALID);
    assert_int_equal(report.verdict, IFAB_VERIFY_NOT_VERIFIED);
    options = by_key(&log);
    assert_int_equal(ifab_verify_log("/nonexistent/dir", &options, &report, NULL), IFAB_NOT_FOUND);
    assert_int_equal(report.verdict, IFAB_VERIFY_NOT_VERIFIED);
    export_end(&log);
}

/* Receipt of entry `index` with its proof in the tree of the whole log. */
static void make_receipt_as(const struct export_log *log, uint64_t index, const char *origin, struct ifab_buf *receipt)
{
    struct naive_tree nodes = {(const uint8_t(*)[32])log->leaves, log->count, 0, 0};
    struct ifab_view entry = export_entry(log, index), payload;
    struct ifab_buf note = IFAB_BUF_INIT(4096);
    uint8_t path[64][32], hash32[32];
    size_t count;
    const char *from = strstr((const char *)entry.data, "\"decision\":"); /* behind bytes_digest, which no receipt has */

    payload = ifab_view_of(from, (size_t)(strchr(from, '}') - from)); /* decision, id, digests, reason, rule: as a receipt has them */
    assert_int_equal(ifab_proof_inclusion(index, log->count, naive_node, &nodes, path, &count, NULL), IFAB_OK);
    ifab_sha256(entry, hash32);
    export_note_as(log, log->count, origin, &note);
    ifab_buf_clear(receipt);
    ifab_buf_char(receipt, '{');
    ifab_buf_view(receipt, payload);
    ifab_buf_str(receipt, ",\"trace\":\"01020300-0000-0000-0000-000000000000\",\"entry\":{\"log\":\"main\",\"index\":");
    ifab_buf_u64(receipt, index);
    ifab_buf_str(receipt, ",\"hash\":\"sha256:");
    ifab_buf_hex(receipt, hash32, 32);
    ifab_buf_str(receipt, "\"},\"checkpoint\":");
    ifab_json_put_string(receipt, ifab_buf_as_view(&note));
    ifab_buf_format(receipt, ",\"proof\":{\"index\":%llu,\"size\":%llu,\"leaf\":\"", (unsigned long long)index,
                    (unsigned long long)log->count);
    ifab_buf_hex(receipt, log->leaves[index], 32);
    ifab_buf_str(receipt, "\",\"path\":[");
    for (size_t i = 0; i < count; i++) {
        ifab_buf_str(receipt, i > 0 ? ",\"" : "\"");
        ifab_buf_hex(receipt, path[i], 32);
        ifab_buf_char(receipt, '"');
    }
    ifab_buf_str(receipt, "],\"entry\":");
    ifab_json_put_string(receipt, entry);
    ifab_buf_str(receipt, "}}");
    assert_int_equal(ifab_buf_status(receipt), IFAB_OK);
    ifab_buf_fini(&note);
}

static void make_receipt(const struct export_log *log, uint64_t index, struct ifab_buf *receipt)
{
    make_receipt_as(log, index, EXPORT_ORIGIN, receipt);
}

static struct ifab_verify_report verify_receipt(struct ifab_view bytes, const struct ifab_verify_options *options)
{
    struct ifab_verify_report report;
    struct ifab_error err = {0};

    if (ifab_verify_receipt(bytes, options, &report, &err) != IFAB_OK)
        fail_msg("no verdict: %s", err.text);
    return report;
}

static void verifies_a_receipt_and_notices_every_changed_byte(void **state)
{
    struct export_log log;
    struct ifab_verify_options options, none = {0};
    struct ifab_buf receipt = IFAB_BUF_INIT(65536);

    (void)state;
    small_log(&log);
    options = by_key(&log);
    for (uint64_t index = 2; index < log.count; index += index == 3 ? 2 : 1) { /* the messages */
        struct ifab_verify_report report;
        make_receipt(&log, index, &receipt);
        report = verify_receipt(ifab_buf_as_view(&receipt), &options);
        ASSERT_VERDICT(report, IFAB_VERIFY_VERIFIED);
        assert_true(report.size == log.count);
        ASSERT_VERDICT(verify_receipt(ifab_buf_as_view(&receipt), &none), IFAB_VERIFY_CONSISTENT);
    }
    for (size_t i = 0; i < receipt.size; i++) {
        receipt.data[i] ^= (uint8_t)(1U << (i % 8));
        if (verify_receipt(ifab_buf_as_view(&receipt), &options).verdict != IFAB_VERIFY_NOT_VERIFIED)
            fail_msg("byte %zu: %.60s", i, (const char *)receipt.data + (i < 30 ? 0 : i - 30));
        receipt.data[i] ^= (uint8_t)(1U << (i % 8));
    }
    for (size_t size = 0; size < receipt.size; size++)
        ASSERT_VERDICT(verify_receipt(ifab_view_of(receipt.data, size), &options), IFAB_VERIFY_NOT_VERIFIED);
    ifab_buf_fini(&receipt);
    export_end(&log);
}

static void says_not_verified_without_checkpoint_and_proof(void **state)
{
    static const char *const bare[] = {
        "{\"id\":\"msg-1\",\"decision\":\"SHARE\",\"entry\":{\"log\":\"main\",\"index\":1,\"hash\":\"sha256:00\"}}",
        "{\"id\":\"msg-1\",\"decision\":\"SHARE\",\"entry\":{},\"proof\":{}}",
        "{\"id\":\"msg-1\",\"decision\":\"SHARE\",\"entry\":{},\"checkpoint\":\"x\"}",
        "{\"error\":{}}",
        "[]",
        "null",
        "\"x\"",
        "{",
        "",
    };
    struct export_log log;
    struct ifab_verify_options options, none = {0};

    (void)state;
    export_begin(&log, 1, 7);
    options = by_key(&log);
    for (size_t i = 0; i < IFAB_COUNT(bare); i++) {
        ASSERT_VERDICT(verify_receipt(ifab_view_str(bare[i]), &options), IFAB_VERIFY_NOT_VERIFIED);
        ASSERT_VERDICT(verify_receipt(ifab_view_str(bare[i]), &none), IFAB_VERIFY_NOT_VERIFIED);
    }
    export_end(&log);
}

static void judges_receipts_by_key_size_and_older_checkpoint(void **state)
{
    struct export_log log, foreign;
    struct ifab_verify_options options;
    struct ifab_verify_report report;
    struct ifab_buf receipt = IFAB_BUF_INIT(65536), note = IFAB_BUF_INIT(4096);

    (void)state;
    small_log(&log);
    export_begin(&foreign, 1, 9);
    make_receipt(&log, 2, &receipt);
    options = by_key(&foreign);
    report = verify_receipt(ifab_buf_as_view(&receipt), &options);
    ASSERT_VERDICT(report, IFAB_VERIFY_NOT_VERIFIED);
    assert_true(report.intact && !report.trusted);
    make_receipt_as(&log, 2, "other.example/0a1b2c3d", &receipt); /* the key of one log signs for another */
    options = by_key(&log);
    report = verify_receipt(ifab_buf_as_view(&receipt), &options);
    ASSERT_VERDICT(report, IFAB_VERIFY_NOT_VERIFIED);
    assert_true(report.intact && !report.trusted);
    make_receipt(&log, 2, &receipt);
    options.has_min_size = true;
    options.min_size = log.count + 1;
    assert_int_equal(ifab_verify_receipt(ifab_buf_as_view(&receipt), &options, &report, NULL), IFAB_INVALID);
    assert_int_equal(report.verdict, IFAB_VERIFY_NOT_VERIFIED);
    options.min_size = log.count;
    export_note(&log, log.count, &note);
    options.checkpoint = ifab_buf_as_view(&note);
    ASSERT_VERDICT(verify_receipt(ifab_buf_as_view(&receipt), &options), IFAB_VERIFY_VERIFIED);
    options.checkpoint = IFAB_VIEW("hello");
    assert_int_equal(ifab_verify_receipt(ifab_buf_as_view(&receipt), &options, &report, NULL), IFAB_INVALID);
    options.vkey.size = 0;
    options.checkpoint = ifab_buf_as_view(&note);
    assert_int_equal(ifab_verify_receipt(ifab_buf_as_view(&receipt), &options, &report, NULL), IFAB_INVALID);
    assert_int_equal(report.verdict, IFAB_VERIFY_NOT_VERIFIED);
    ifab_buf_fini(&receipt);
    ifab_buf_fini(&note);
    export_end(&foreign);
    export_end(&log);
}

static void never_verifies_when_memory_is_out(void **state)
{
    struct export_log log;
    struct ifab_verify_options options;
    struct ifab_buf receipt = IFAB_BUF_INIT(65536);

    (void)state;
    small_log(&log);
    export_add(&log, IFAB_EVENT_MESSAGE_ERASED, "uid:1000", "msg-01930000-0000-7000-8000-000000000002", IFAB_VIEW("{\"index\":2}"),
               IFAB_VIEW(""), FLAW_NONE);
    export_write(&log, log.count);
    options = by_key(&log);
    make_receipt(&log, 3, &receipt);
    for (int receipts = 0; receipts < 2; receipts++) {
        for (uint64_t n = 1;; n++) {
            struct ifab_verify_report report;
            ifab_status status;
            bool failed;
            assert_true(n < 5000);
            ifab_mem_fail_at(n);
            status = receipts ? ifab_verify_receipt(ifab_buf_as_view(&receipt), &options, &report, NULL)
                              : ifab_verify_log(log.dir, &options, &report, NULL);
            failed = ifab_mem_failed();
            ifab_mem_fail_at(0);
            if (!failed) {
                assert_int_equal(status, IFAB_OK);
                ASSERT_VERDICT(report, IFAB_VERIFY_VERIFIED);
                break;
            }
            /* an allocation that was only for speed may be done without */
            if (status == IFAB_OK && report.verdict != IFAB_VERIFY_VERIFIED)
                fail_msg("allocation %llu: called broken: %s", (unsigned long long)n, report.integrity);
            if (status != IFAB_OK && (status != IFAB_NOMEM || report.verdict != IFAB_VERIFY_NOT_VERIFIED || report.intact))
                fail_msg("allocation %llu: %s", (unsigned long long)n, ifab_status_name(status));
        }
    }
    ifab_buf_fini(&receipt);
    export_end(&log);
}

static void put_proof(const struct export_log *log, const char *name, uint64_t index, struct ifab_buf *out)
{
    struct naive_tree nodes = {(const uint8_t(*)[32])log->leaves, log->count, 0, 0};
    uint8_t path[64][32];
    size_t count;

    assert_int_equal(ifab_proof_inclusion(index, log->count, naive_node, &nodes, path, &count, NULL), IFAB_OK);
    ifab_buf_format(out, ",\"%s\":{\"index\":%llu,\"size\":%llu,\"leaf\":\"", name, (unsigned long long)index, (unsigned long long)log->count);
    ifab_buf_hex(out, log->leaves[index], 32);
    ifab_buf_str(out, "\",\"path\":[");
    for (size_t i = 0; i < count; i++) {
        ifab_buf_str(out, i > 0 ? ",\"" : "\"");
        ifab_buf_hex(out, path[i], 32);
        ifab_buf_char(out, '"');
    }
    ifab_buf_str(out, "],\"entry\":");
    ifab_json_put_string(out, export_entry(log, index));
    ifab_buf_char(out, '}');
}

static void make_bundle(const struct export_log *log, uint64_t decision, uint64_t enrolment, uint64_t message, struct ifab_buf *out)
{
    struct ifab_buf note = IFAB_BUF_INIT(4096);

    export_note(log, log->count, &note);
    ifab_buf_clear(out);
    ifab_buf_str(out, "{\"checkpoint\":");
    ifab_json_put_string(out, ifab_buf_as_view(&note));
    put_proof(log, "decision", decision, out);
    put_proof(log, "enrolment", enrolment, out);
    ifab_buf_str(out, ",\"envelope\":");
    ifab_json_put_string(out, export_message_bytes(log, message));
    ifab_buf_str(out, ",\"v\":1}");
    assert_int_equal(ifab_buf_status(out), IFAB_OK);
    ifab_buf_fini(&note);
}

static struct ifab_verify_report verify_bundle(struct ifab_view bytes, const struct ifab_verify_options *options)
{
    struct ifab_verify_report report;
    struct ifab_error err = {0};

    if (ifab_verify_bundle(bytes, options, &report, &err) != IFAB_OK)
        fail_msg("no verdict: %s", err.text);
    return report;
}

static void verifies_a_bundle_and_notices_every_changed_byte(void **state) /* INV-02 INV-05 */
{
    struct export_log log;
    const struct ifab_verify_options none = {.vkey = {NULL, 0}};
    struct ifab_buf bundle = IFAB_BUF_INIT(65536);
    struct ifab_verify_report report;

    (void)state;
    small_log(&log);
    const struct ifab_verify_options options = by_key(&log);
    make_bundle(&log, 3, 1, 3, &bundle);
    report = verify_bundle(ifab_buf_as_view(&bundle), &options);
    ASSERT_VERDICT(report, IFAB_VERIFY_VERIFIED);
    assert_true(report.messages_good == 1 && report.entries_checked == 2);
    ASSERT_VERDICT(verify_bundle(ifab_buf_as_view(&bundle), &none), IFAB_VERIFY_CONSISTENT);
    for (size_t i = 0; i < bundle.size; i++) {
        bundle.data[i] ^= (uint8_t)(1U << (i % 8));
        if (verify_bundle(ifab_buf_as_view(&bundle), &options).verdict != IFAB_VERIFY_NOT_VERIFIED)
            fail_msg("byte %zu: %.60s", i, (const char *)bundle.data + (i < 30 ? 0 : i - 30));
        bundle.data[i] ^= (uint8_t)(1U << (i % 8));
    }
    for (size_t size = 0; size < bundle.size; size++)
        ASSERT_VERDICT(verify_bundle(ifab_view_of(bundle.data, size), &options), IFAB_VERIFY_NOT_VERIFIED);
    ifab_buf_fini(&bundle);
    export_end(&log);
}

/* A tree alone, and what was seen of the log before: broken is only what is wrong in itself or contradicts what the same key signed. */
static void what_cannot_be_compared_is_not_broken(void **state) /* INV-05 */
{
    struct export_log log, older, newer, forked, foreign;
    const struct ifab_buf empty = IFAB_BUF_INIT(4096);
    struct ifab_buf notes[5] = {empty, empty, empty, empty, empty}, things[2] = {IFAB_BUF_INIT(65536), IFAB_BUF_INIT(65536)};
    typedef ifab_status verify_fn(struct ifab_view, const struct ifab_verify_options *, struct ifab_verify_report *, struct ifab_error *);
    verify_fn *const verifiers[] = {ifab_verify_receipt, ifab_verify_bundle};

    (void)state;
    small_log(&log);
    long_log(&older, log.count - 1, 7);
    long_log(&newer, log.count + 1, 7);
    long_log(&forked, log.count, 7);
    long_log(&foreign, log.count, 9);
    make_receipt(&log, 3, &things[0]);
    make_bundle(&log, 3, 1, 3, &things[1]);
    export_note(&log, log.count, &notes[0]);
    export_note(&older, older.count, &notes[1]);
    export_note(&newer, newer.count, &notes[2]);
    export_note(&forked, forked.count, &notes[3]);
    export_note(&foreign, foreign.count, &notes[4]);
    const struct {
        size_t note;
        uint64_t min_size;
        ifab_status status;
        enum ifab_verify_verdict verdict;
        bool intact, trusted;
        const char *says;
    } rows[] = {
        {0, log.count, IFAB_OK, IFAB_VERIFY_VERIFIED, true, true, "in the tree"},
        {1, 0, IFAB_INVALID, IFAB_VERIFY_NOT_VERIFIED, false, true, "verify the log or an export with that checkpoint"},
        {2, 0, IFAB_INVALID, IFAB_VERIFY_NOT_VERIFIED, false, true, "verify the log or an export with that checkpoint"},
        {3, 0, IFAB_OK, IFAB_VERIFY_NOT_VERIFIED, false, true, "the log was rewritten"},
        {4, 0, IFAB_OK, IFAB_VERIFY_NOT_VERIFIED, true, false, "is not signed by the trusted key"},
        {0, log.count + 1, IFAB_INVALID, IFAB_VERIFY_NOT_VERIFIED, false, true, "only the log or its export tells"},
    };
    for (size_t i = 0; i < 2 * IFAB_COUNT(rows); i++) {
        struct ifab_verify_options options = by_key(&log);
        struct ifab_verify_report report;
        struct ifab_error err = {0};
        const size_t row = i / 2;
        options.checkpoint = ifab_buf_as_view(&notes[rows[row].note]);
        options.has_min_size = true;
        options.min_size = rows[row].min_size;
        const ifab_status status = verifiers[i % 2](ifab_buf_as_view(&things[i % 2]), &options, &report, &err);
        const char *words = status != IFAB_OK ? err.text : rows[row].trusted ? report.integrity : report.trust;
        if (status != rows[row].status || report.verdict != rows[row].verdict || report.intact != rows[row].intact || report.trusted != rows[row].trusted ||
            (strstr(words, rows[row].says) == NULL && !(row == 0 && i % 2 == 1)))
            fail_msg("row %zu: %s: %s; %s; %s", i, ifab_status_name(status), err.text, report.integrity, report.trust);
        things[i % 2].data[things[i % 2].size / 2] ^= 1; /* broken in itself: whatever it is compared with */
        assert_int_equal(verifiers[i % 2](ifab_buf_as_view(&things[i % 2]), &options, &report, &err), IFAB_OK);
        assert_false(report.intact);
        assert_int_equal(report.verdict, IFAB_VERIFY_NOT_VERIFIED);
        things[i % 2].data[things[i % 2].size / 2] ^= 1;
    }
    for (size_t i = 0; i < IFAB_COUNT(notes); i++)
        ifab_buf_fini(&notes[i]);
    ifab_buf_fini(&things[0]);
    ifab_buf_fini(&things[1]);
    struct export_log *const logs[] = {&log, &older, &newer, &forked, &foreign};
    for (size_t i = 0; i < IFAB_COUNT(logs); i++)
        export_end(logs[i]);
}

/* Each part is real and in the tree, but they do not belong together; or the log itself holds what it should not. */
static void parts_of_a_bundle_must_belong_together(void **state) /* INV-02 */
{
    static const struct {
        enum flaw flaw;
        uint64_t decision, enrolment, message;
        const char *says;
    } cases[] = {
        {FLAW_NONE, 3, 4, 3, "holds no record of the sender"}, /* Demo.B's, and later than the decision */
        {FLAW_NONE, 2, 1, 3, "digest is not the one"},          /* another message of the same sender */
        {FLAW_NONE, 1, 0, 3, "no decision about a message"},
        {FLAW_NONE, 3, 2, 3, "holds no record of the sender"},
        {FLAW_UNKNOWN_SENDER, 6, 1, 6, "holds no record of the sender"},
        {FLAW_OTHER_KEY, 6, 1, 6, "not one enrolled"},
        {FLAW_REVOKED_KEY, 7, 6, 7, "not valid when the decision fell"},
        {FLAW_DIGEST, 6, 1, 6, "digest is not the one"},
        {FLAW_SIGNATURE, 6, 1, 6, "bad signature"},
        {FLAW_BYTES, 6, 1, 6, "envelope: malformed"},
        {FLAW_BLANK, 6, 1, 6, "not its bytes"},
        {FLAW_UNSAID, 6, 1, 6, "not its bytes"},
    };

    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(cases); i++) {
        struct export_log log;
        struct ifab_buf bundle = IFAB_BUF_INIT(65536);
        small_log(&log);
        if (cases[i].flaw == FLAW_REVOKED_KEY)
            export_enrol(&log, "Demo.A", log.agent_key, true);
        if (cases[i].flaw != FLAW_NONE)
            export_message(&log, cases[i].flaw == FLAW_REVOKED_KEY ? FLAW_NONE : cases[i].flaw);
        const struct ifab_verify_options options = by_key(&log);
        make_bundle(&log, cases[i].decision, cases[i].enrolment, cases[i].message, &bundle);
        struct ifab_verify_report report = verify_bundle(ifab_buf_as_view(&bundle), &options);
        if (report.verdict != IFAB_VERIFY_NOT_VERIFIED || (strstr(report.integrity, cases[i].says) == NULL && cases[i].enrolment != 4))
            fail_msg("case %zu: verdict %d, %s", i, (int)report.verdict, report.integrity);
        ifab_buf_fini(&bundle);
        export_end(&log);
    }

    struct export_log log; /* the same key for the same sender, enrolled only afterwards */
    struct ifab_buf bundle = IFAB_BUF_INIT(65536);
    small_log(&log);
    export_enrol(&log, "Demo.A", log.agent_key, false);
    const struct ifab_verify_options options = by_key(&log);
    make_bundle(&log, 5, 6, 5, &bundle);
    struct ifab_verify_report report = verify_bundle(ifab_buf_as_view(&bundle), &options);
    assert_int_equal(report.verdict, IFAB_VERIFY_NOT_VERIFIED);
    assert_non_null(strstr(report.integrity, "does not stand before"));
    ifab_buf_fini(&bundle);
    export_end(&log);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(verifies_a_whole_log_and_every_prefix),
        cmocka_unit_test(tells_integrity_from_trust),
        cmocka_unit_test(notices_every_flipped_byte_of_every_file),
        cmocka_unit_test(notices_every_truncation_and_missing_file),
        cmocka_unit_test(notices_swapped_and_changed_tiles),
        cmocka_unit_test(compares_the_root_with_the_signed_one),
        cmocka_unit_test(names_the_first_entry_that_is_wrong),
        cmocka_unit_test(compares_with_a_checkpoint_seen_before),
        cmocka_unit_test(wants_the_size_that_was_asked_for),
        cmocka_unit_test(refuses_what_even_the_log_may_not_say),
        cmocka_unit_test(says_erased_and_not_broken),
        cmocka_unit_test(refuses_files_that_no_entry_asked_for),
        cmocka_unit_test(gives_no_verdict_on_nonsense),
        cmocka_unit_test(verifies_a_receipt_and_notices_every_changed_byte),
        cmocka_unit_test(verifies_a_bundle_and_notices_every_changed_byte),
        cmocka_unit_test(parts_of_a_bundle_must_belong_together),
        cmocka_unit_test(says_not_verified_without_checkpoint_and_proof),
        cmocka_unit_test(judges_receipts_by_key_size_and_older_checkpoint),
        cmocka_unit_test(what_cannot_be_compared_is_not_broken),
        cmocka_unit_test(never_verifies_when_memory_is_out),
    };

    if (ifab_crypto_init(NULL) != IFAB_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

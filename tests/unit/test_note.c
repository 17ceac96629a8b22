/* C2SP signed notes and their keys, against the published example, with truncation at each byte and every bit flipped. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "crypto/crypto.h"

#define NAME "PeterNeumann"
#define VKEY NAME "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
#define SKEY "PRIVATE+KEY+" NAME "+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
#define TEXT "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
#define SIG  "\xe2\x80\x94 " NAME " x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
#define NOTE TEXT "\n" SIG

static uint8_t key32[32];

static int setup(void **state)
{
    struct ifab_view name;

    (void)state;
    return ifab_note_vkey_read(IFAB_VIEW(VKEY), &name, key32, NULL) == IFAB_OK && ifab_view_is(name, NAME) ? 0 : -1;
}

static ifab_status verify(struct ifab_view note)
{
    struct ifab_view text = {NULL, 0};
    ifab_status status = ifab_note_verify(note, IFAB_VIEW(NAME), key32, &text, NULL);

    assert_true((status == IFAB_OK) == (text.data != NULL)); /* nothing comes out of a note that does not verify */
    return status;
}

static void makes_and_reads_the_published_example(void **state)
{
    struct ifab_signer *key = NULL;
    struct ifab_view name, text;
    struct ifab_buf out = IFAB_BUF_INIT(4096);

    (void)state;
    assert_int_equal(ifab_note_skey_read(IFAB_VIEW(SKEY), &name, &key, NULL), IFAB_OK);
    assert_true(ifab_view_is(name, NAME));
    assert_int_equal(ifab_note_sign(IFAB_VIEW(TEXT), name, key, &out), IFAB_OK);
    assert_true(ifab_view_is(ifab_buf_as_view(&out), NOTE));
    assert_int_equal(ifab_note_verify(ifab_buf_as_view(&out), name, key32, &text, NULL), IFAB_OK);
    assert_true(ifab_view_is(text, TEXT));
    ifab_buf_clear(&out);
    assert_int_equal(ifab_note_skey_write(name, key, &out), IFAB_OK);
    assert_true(ifab_view_is(ifab_buf_as_view(&out), SKEY));
    ifab_buf_clear(&out);
    assert_int_equal(ifab_note_vkey_write(name, key32, &out), IFAB_OK);
    assert_true(ifab_view_is(ifab_buf_as_view(&out), VKEY));
    ifab_buf_fini(&out);
    ifab_signer_free(key);
}

static void refuses_every_truncation(void **state)
{
    (void)state;
    assert_int_equal(verify(IFAB_VIEW(NOTE)), IFAB_OK);
    for (size_t size = 0; size < sizeof NOTE - 1; size++) {
        uint8_t *cut = ifab_malloc(size + 1); /* of that very size, so that a read past it is seen */
        memcpy(cut, NOTE, size);
        assert_int_not_equal(verify(ifab_view_of(cut, size)), IFAB_OK);
        ifab_free(cut);
    }
}

static void refuses_every_flipped_bit(void **state)
{
    uint8_t note[] = NOTE;

    (void)state;
    for (size_t bit = 0; bit < (sizeof note - 1) * 8; bit++) {
        note[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        assert_int_not_equal(verify(ifab_view_of(note, sizeof note - 1)), IFAB_OK);
        note[bit / 8] ^= (uint8_t)(1U << (bit % 8));
    }
}

static void judges_notes_by_their_form(void **state)
{
    const struct {
        const char *what;
        struct ifab_view note;
        ifab_status status;
    } rows[] = {
        {"empty", IFAB_VIEW(""), IFAB_INVALID},
        {"no signature", IFAB_VIEW(TEXT), IFAB_INVALID},
        {"no signature line", IFAB_VIEW(TEXT "\n"), IFAB_INVALID},
        {"another's signature only", IFAB_VIEW(TEXT "\n\xe2\x80\x94 other.example/log AAAAAAE=\n"), IFAB_DENIED},
        {"another's signature before", IFAB_VIEW(TEXT "\n\xe2\x80\x94 other.example/log AAAAAAE=\n" SIG), IFAB_OK},
        {"another's signature after", IFAB_VIEW(TEXT "\n" SIG "\xe2\x80\x94 other.example/log AAAAAAE=\n"), IFAB_OK},
        {"the same signature twice", IFAB_VIEW(TEXT "\n" SIG SIG), IFAB_OK},
        {"a good one, then a malformed line", IFAB_VIEW(TEXT "\n" SIG "hello\n"), IFAB_INVALID},
        {"a line without signature", IFAB_VIEW(TEXT "\n" SIG "\xe2\x80\x94 other\n"), IFAB_INVALID},
        {"a signature without name", IFAB_VIEW(TEXT "\n" SIG "\xe2\x80\x94  AAAAAAE=\n"), IFAB_INVALID},
        {"a signature of four bytes", IFAB_VIEW(TEXT "\n" SIG "\xe2\x80\x94 other AAAAAA==\n"), IFAB_INVALID},
        {"carriage return", IFAB_VIEW("a\r\n\n" SIG), IFAB_INVALID},
        {"a hyphen for the dash", IFAB_VIEW(TEXT "\n- " NAME " AAAAAAE=\n"), IFAB_INVALID},
        {"an empty line more", IFAB_VIEW(TEXT "\n\n" SIG), IFAB_DENIED}, /* belongs to the text then */
        {"our key, other bytes", IFAB_VIEW(TEXT "\n\xe2\x80\x94 " NAME " x08gowA=\n"), IFAB_DENIED},
    };
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(rows); i++)
        if (verify(rows[i].note) != rows[i].status)
            fail_msg("%s: %s", rows[i].what, ifab_status_name(verify(rows[i].note)));
}

static void bounds_the_number_of_signatures(void **state)
{
    struct ifab_buf note = IFAB_BUF_INIT(100000);

    (void)state;
    for (int lines = 99; lines <= 101; lines++) {
        ifab_buf_clear(&note);
        ifab_buf_str(&note, TEXT "\n" SIG);
        for (int i = 1; i < lines; i++)
            ifab_buf_str(&note, "\xe2\x80\x94 other AAAAAAE=\n");
        assert_int_equal(verify(ifab_buf_as_view(&note)), lines <= 100 ? IFAB_OK : IFAB_INVALID);
    }
    ifab_buf_fini(&note);
}

static void refuses_to_sign_what_is_no_note(void **state)
{
    static const char *const texts[] = {"", "no line end", "control\x01\n", "tab\t\n", "bad utf-8 \xff\n"};
    static const char *const names[] = {"", "two words", "plus+", "nbsp\xc2\xa0", "wide\xe3\x80\x80", "bad\xff", "tab\t"};
    struct ifab_signer *key = NULL;
    struct ifab_buf out = IFAB_BUF_INIT(4096);

    (void)state;
    assert_int_equal(ifab_signer_new_random(&key, NULL), IFAB_OK);
    for (size_t i = 0; i < IFAB_COUNT(texts); i++)
        assert_int_equal(ifab_note_sign(ifab_view_str(texts[i]), IFAB_VIEW(NAME), key, &out), IFAB_INVALID);
    for (size_t i = 0; i < IFAB_COUNT(names); i++) {
        assert_int_equal(ifab_note_sign(IFAB_VIEW(TEXT), ifab_view_str(names[i]), key, &out), IFAB_INVALID);
        assert_int_equal(ifab_note_vkey_write(ifab_view_str(names[i]), key32, &out), IFAB_INVALID);
        assert_int_equal(ifab_note_skey_write(ifab_view_str(names[i]), key, &out), IFAB_INVALID);
    }
    assert_int_equal(out.size, 0);
    assert_int_equal(ifab_note_sign(IFAB_VIEW(TEXT), IFAB_VIEW("\xce\xbb.example/log"), key, &out), IFAB_OK);
    ifab_buf_fini(&out);
    ifab_signer_free(key);
}

static void refuses_keys_that_are_cut_or_changed(void **state)
{
    uint8_t text[sizeof SKEY];
    struct ifab_view name;
    struct ifab_signer *key = NULL;
    uint8_t read32[32];

    (void)state;
    for (size_t size = 0; size < sizeof VKEY - 1; size++)
        assert_int_equal(ifab_note_vkey_read(ifab_view_of(VKEY, size), &name, read32, NULL), IFAB_INVALID);
    for (size_t size = 0; size < sizeof SKEY - 1; size++)
        assert_int_equal(ifab_note_skey_read(ifab_view_of(SKEY, size), &name, &key, NULL), IFAB_INVALID);
    for (size_t bit = 0; bit < (sizeof VKEY - 1) * 8; bit++) {
        memcpy(text, VKEY, sizeof VKEY);
        text[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        assert_int_equal(ifab_note_vkey_read(ifab_view_of(text, sizeof VKEY - 1), &name, read32, NULL), IFAB_INVALID);
    }
    for (size_t bit = 0; bit < (sizeof SKEY - 1) * 8; bit++) {
        memcpy(text, SKEY, sizeof SKEY);
        text[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        assert_int_equal(ifab_note_skey_read(ifab_view_of(text, sizeof SKEY - 1), &name, &key, NULL), IFAB_INVALID);
    }
    assert_null(key);
    /* a signer key is never taken for a verifier key */
    assert_int_equal(ifab_note_vkey_read(IFAB_VIEW(SKEY), &name, read32, NULL), IFAB_INVALID);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_and_reads_the_published_example),
        cmocka_unit_test(refuses_every_truncation),
        cmocka_unit_test(refuses_every_flipped_bit),
        cmocka_unit_test(judges_notes_by_their_form),
        cmocka_unit_test(bounds_the_number_of_signatures),
        cmocka_unit_test(refuses_to_sign_what_is_no_note),
        cmocka_unit_test(refuses_keys_that_are_cut_or_changed),
    };

    if (ifab_crypto_init(NULL) != IFAB_OK)
        return 1;
    return cmocka_run_group_tests(tests, setup, NULL);
}

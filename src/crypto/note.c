/*
 * C2SP signed-note: text, an empty line, signature lines "— <name> <base64(key hash || signature)>". Reading follows the reference
 * implementation: the last empty line divides, lines of unknown keys are skipped but must be well formed, a line of the known key that does
 * not verify refuses the note.
 */
#include "crypto_internal.h"

#define NOTE_MAX       65536           /* bytes of a whole note */
#define SIGNATURES_MAX 100             /* lines */
#define DASH           "\xe2\x80\x94 " /* U+2014 and a space */

/* White space as the reference implementation sees it (Unicode White_Space), given as UTF-8. Returns its length, 0 when there is none here.
 */
static size_t white_space(struct ifab_view at)
{
    static const char *const spaces[] = {
        "\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\x80", "\xe2\x80\x81", "\xe2\x80\x82", "\xe2\x80\x83",
        "\xe2\x80\x84", "\xe2\x80\x85", "\xe2\x80\x86", "\xe2\x80\x87", "\xe2\x80\x88", "\xe2\x80\x89", "\xe2\x80\x8a",
        "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80",
    };

    for (size_t i = 0; i < IFAB_COUNT(spaces); i++)
        if (ifab_view_starts(at, ifab_view_str(spaces[i])))
            return strlen(spaces[i]);
    return 0;
}

bool ifab_note__name_valid(struct ifab_view name)
{
    if (name.size == 0 || name.size > IFAB_NOTE__NAME_MAX || !ifab_utf8_valid(name))
        return false;
    for (size_t i = 0; i < name.size; i++)
        if (name.data[i] <= ' ' || name.data[i] == 0x7f || name.data[i] == '+' ||
            (name.data[i] >= 0x80 && white_space(ifab_view_of(name.data + i, name.size - i)) > 0))
            return false;
    return true;
}

void ifab_note__key_hash(struct ifab_view name, const uint8_t pubkey32[32], uint8_t ret_hash4[4])
{
    static const uint8_t kind[2] = {'\n', IFAB_NOTE__ED25519};
    uint8_t digest32[32];

    ifab_sha256_3(name, ifab_view_of(kind, sizeof kind), ifab_view_of(pubkey32, 32), digest32);
    memcpy(ret_hash4, digest32, 4);
}

/* UTF-8 without control characters but '\n', ending in '\n'. */
static bool text_valid(struct ifab_view text)
{
    if (text.size == 0 || text.data[text.size - 1] != '\n' || !ifab_utf8_valid(text))
        return false;
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < ' ' && text.data[i] != '\n')
            return false;
    return true;
}

ifab_status ifab_note_sign(struct ifab_view text, struct ifab_view name, const struct ifab_signer *key, struct ifab_buf *note)
{
    uint8_t pubkey32[32], line[4 + 64];

    if (!text_valid(text) || !ifab_note__name_valid(name))
        return IFAB_INVALID;
    ifab_signer_public(key, pubkey32);
    ifab_note__key_hash(name, pubkey32, line);
    ifab_signer_sign(key, text, line + 4);
    ifab_buf_view(note, text);
    ifab_buf_char(note, '\n');
    ifab_buf_str(note, DASH);
    ifab_buf_view(note, name);
    ifab_buf_char(note, ' ');
    ifab_buf_base64(note, line, sizeof line);
    ifab_buf_char(note, '\n');
    return ifab_buf_status(note);
}

/* Offset of the last "\n\n", which ends the text. */
static bool find_split(struct ifab_view note, size_t *ret_text_size)
{
    for (size_t i = note.size; i >= 2; i--)
        if (note.data[i - 1] == '\n' && note.data[i - 2] == '\n') {
            *ret_text_size = i - 1;
            return i < note.size;
        }
    return false;
}

struct line {
    struct ifab_view name;
    uint8_t bytes[256]; /* key hash and signature; other kinds of key may have longer ones */
    size_t size;
};

/* Takes one signature line off *lines. */
static bool next_line(struct ifab_view *lines, struct line *ret_line)
{
    const struct ifab_view prefix = IFAB_VIEW(DASH);
    const uint8_t *end = memchr(lines->data, '\n', lines->size), *space;
    struct ifab_view line;

    if (end == NULL)
        return false;
    line = ifab_view_of(lines->data, (size_t)(end - lines->data));
    lines->size -= line.size + 1;
    lines->data = end + 1;
    if (!ifab_view_starts(line, prefix))
        return false;
    line.data += prefix.size;
    line.size -= prefix.size;
    space = line.size > 0 ? memchr(line.data, ' ', line.size) : NULL;
    if (space == NULL)
        return false;
    ret_line->name = ifab_view_of(line.data, (size_t)(space - line.data));
    line.size -= ret_line->name.size + 1;
    line.data = space + 1;
    return ifab_note__name_valid(ret_line->name) &&
           ifab_base64_decode(line, ret_line->bytes, sizeof ret_line->bytes, &ret_line->size) == IFAB_OK && ret_line->size >= 5;
}

ifab_status ifab_note_verify(struct ifab_view note, struct ifab_view name, const uint8_t pubkey32[32], struct ifab_view *ret_text,
                             struct ifab_error *err)
{
    struct ifab_view text, lines;
    uint8_t hash4[4];
    size_t size = 0, count = 0;
    bool good = false;

    if (note.size == 0 || note.size > NOTE_MAX)
        return ifab_fail(err, IFAB_INVALID, "signed note: %zu bytes, want 1 to %d", note.size, NOTE_MAX);
    if (!text_valid(note))
        return ifab_fail(err, IFAB_INVALID, "signed note: not UTF-8 lines");
    if (!find_split(note, &size))
        return ifab_fail(err, IFAB_INVALID, "signed note: no empty line before signatures");
    text = ifab_view_of(note.data, size);
    lines = ifab_view_of(note.data + size + 1, note.size - size - 1);
    ifab_note__key_hash(name, pubkey32, hash4);
    while (lines.size > 0) {
        struct line line;
        if (++count > SIGNATURES_MAX || !next_line(&lines, &line))
            return ifab_fail(err, IFAB_INVALID, "signed note: signature line %zu is malformed", count);
        if (!ifab_view_equal(line.name, name) || memcmp(line.bytes, hash4, sizeof hash4) != 0)
            continue;
        if (line.size != 4 + 64 || !ifab_ed25519_verify(pubkey32, text, line.bytes + 4))
            return ifab_fail(err, IFAB_DENIED, "signed note: the signature of the named key is wrong");
        good = true; /* the rest must still be well formed */
    }
    if (!good)
        return ifab_fail(err, IFAB_DENIED, "signed note: no signature by the named key");
    *ret_text = text;
    return IFAB_OK;
}

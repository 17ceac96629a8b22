/*
 * What reaches a screen. Text in the fabric comes from agents: control characters move the cursor, bidi and zero-width ones make a line
 * read as something else. All of them are shown as \u{…}; JSON says the same with its own escapes, so programs read what was stored.
 */
#include "escape.h"

#include <string.h>

#include "base/mem.h"

/* One character of valid UTF-8 at text; 0 when it is not valid there. */
static size_t decode(struct ifab_view text, uint32_t *ret_code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t first = text.data[0];
    size_t size = first < 0x80 ? 1 : (first & 0xe0) == 0xc0 ? 2 : (first & 0xf0) == 0xe0 ? 3 : (first & 0xf8) == 0xf0 ? 4 : 0;
    if (size == 0 || size > text.size)
        return 0;
    uint32_t code = size == 1 ? first : first & (0x7fU >> size);
    for (size_t i = 1; i < size; i++) {
        if ((text.data[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (text.data[i] & 0x3fU);
    }
    if (code < least[size] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    *ret_code = code;
    return size;
}

struct range {
    uint32_t first, last;
};

static bool within(uint32_t c, const struct range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (c >= ranges[i].first && c <= ranges[i].last)
            return true;
    return false;
}

/* Among them every Default_Ignorable_Code_Point of Unicode 16: what a screen may show nothing of. */
static bool harmful(uint32_t c)
{
    static const struct range ranges[] = {
        {0x00, 0x1f},      {0x7f, 0x9f},                          /* C0, DEL, C1 */
        {0xad, 0xad},      {0x34f, 0x34f},     {0x61c, 0x61c},    /* soft hyphen, grapheme joiner, Arabic letter mark */
        {0x17b4, 0x17b5},  {0x180b, 0x180f},                      /* Khmer vowels that show nothing, Mongolian selectors and separator */
        {0x200b, 0x200f},  {0x2028, 0x202e},   {0x2060, 0x206f},  /* zero-width, separators, embeddings, isolates */
        {0x115f, 0x1160},  {0x3164, 0x3164},   {0xffa0, 0xffa0},  /* fillers that show nothing */
        {0x2800, 0x2800},                                         /* Braille without a dot: a blank that is none */
        {0xfe00, 0xfe0f},  {0xfeff, 0xfeff},   {0xfff0, 0xfffb},  /* variation selectors, BOM, unassigned, annotations */
        {0x13430, 0x1343f}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff}, /* controls of hieroglyphs, shorthand, music; tags */
    };
    return within(c, ranges, IFAB_COUNT(ranges));
}

/* Takes two columns on a terminal (East Asian wide, emoji). Marks that combine count as one: a line is rather too short than too long. */
static bool wide(uint32_t c)
{
    static const struct range ranges[] = {
        {0x1100, 0x115f}, {0x231a, 0x231b}, {0x2329, 0x232a}, {0x23e9, 0x23f3},   {0x25fd, 0x25fe},   {0x2614, 0x2615},   {0x2648, 0x2653},
        {0x267f, 0x27bf}, {0x2b1b, 0x2b1c}, {0x2b50, 0x2b55}, {0x2e80, 0xa4cf},   {0xa960, 0xa97f},   {0xac00, 0xd7a3},   {0xf900, 0xfaff},
        {0xfe10, 0xfe19}, {0xfe30, 0xfe6f}, {0xff00, 0xff60}, {0xffe0, 0xffe6},   {0x16fe0, 0x18aff}, {0x1b000, 0x1b2ff}, {0x1f000, 0x1faff},
        {0x20000, 0x3fffd},
    };
    return c >= 0x1100 && within(c, ranges, IFAB_COUNT(ranges));
}

void cli_put_text(FILE *to, struct ifab_view text)
{
    while (text.size > 0) {
        uint32_t code;
        size_t size = decode(text, &code);
        if (size == 0)
            fprintf(to, "\\x{%02x}", text.data[0]);
        else if (harmful(code))
            fprintf(to, "\\u{%x}", code);
        else
            fwrite(text.data, 1, size, to);
        text.data += size == 0 ? 1 : size;
        text.size -= size == 0 ? 1 : size;
    }
}

/* Columns of the character text begins with, as it is put; *ret_size its bytes. */
static size_t columns_of(struct ifab_view text, size_t *ret_size)
{
    uint32_t code = 0;
    size_t size = decode(text, &code);
    *ret_size = size == 0 ? 1 : size;
    if (size == 0)
        return 6;
    if (harmful(code))
        return code < 0x10 ? 5 : code < 0x100 ? 6 : code < 0x1000 ? 7 : code < 0x10000 ? 8 : 9;
    return wide(code) ? 2 : 1;
}

size_t cli_text_width(struct ifab_view text)
{
    size_t width = 0, size;
    for (; text.size > 0; text = ifab_view_of(text.data + size, text.size - size))
        width += columns_of(text, &size);
    return width;
}

struct ifab_view cli_text_fit(struct ifab_view text, size_t width)
{
    size_t used = 0, at = 0, size;
    while (at < text.size) {
        used += columns_of(ifab_view_of(text.data + at, text.size - at), &size);
        if (used > width)
            break;
        at += size;
    }
    return ifab_view_of(text.data, at);
}

void cli_put_json_string(FILE *to, struct ifab_view text)
{
    fputc('"', to);
    while (text.size > 0) {
        uint32_t code = 0xfffd;
        size_t size = decode(text, &code);
        if (code == '"' || code == '\\')
            fprintf(to, "\\%c", (char)code);
        else if (code == '\n')
            fputs("\\n", to);
        else if (size > 0 && !harmful(code))
            fwrite(text.data, 1, size, to);
        else if (code >= 0x10000)
            fprintf(to, "\\u%04x\\u%04x", 0xd7c0U + (code >> 10), 0xdc00U + (code & 0x3ffU));
        else
            fprintf(to, "\\u%04x", code);
        text.data += size == 0 ? 1 : size;
        text.size -= size == 0 ? 1 : size;
    }
    fputc('"', to);
}

void cli_put_csv_cell(FILE *to, struct ifab_view text)
{
    fputc('"', to);
    if (text.size > 0 && strchr("=+-@\t\r|%", (char)text.data[0]) != NULL && text.data[0] != 0)
        fputc('\'', to); /* a spreadsheet would run it */
    for (size_t at = 0; at < text.size; at++) {
        size_t run = at;
        while (run < text.size && text.data[run] != '"')
            run++;
        cli_put_text(to, ifab_view_of(text.data + at, run - at));
        if (run < text.size)
            fputs("\"\"", to);
        at = run;
    }
    fputc('"', to);
}

/*
 * Secrets that show by their form. One walk over the text; at each byte that can begin a pattern the pattern is tried.
 * Linear: a pattern of open length begins only where no byte of its own alphabet stands before it, so its tries do not overlap; all
 * others look at a bounded number of bytes, or at bytes that the walk then skips.
 */
#include "internal.h"

#include "base/mem.h"

#define LOOK_MAX 256 /* bytes of a value that decide whether it is one */

typedef bool alphabet_fn(uint8_t c);

static bool alnum(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool word(uint8_t c)
{
    return alnum(c) || c == '_' || c == '-';
}

static bool upper_or_digit(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
}

static bool token68(uint8_t c) /* RFC 9110 section 11.2 */
{
    return word(c) || c == '.' || c == '~' || c == '+' || c == '/' || c == '=';
}

static bool blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool value_byte(uint8_t c) /* what may stand in an unquoted value */
{
    return c > 0x20 && c != '"' && c != '\'' &&
           c != '&' && c != ',' && c != ';' && c != ')' && c != ']' && c != '}' && c != '<' && c != '>';
}

static size_t run(struct ifab_view text, size_t from, alphabet_fn *in)
{
    size_t at = from;
    while (at < text.size && in(text.data[at]))
        at++;
    return at - from;
}

static bool here(struct ifab_view text, size_t at, const char *literal)
{
    size_t size = strlen(literal);
    return text.size - at >= size && memcmp(text.data + at, literal, size) == 0;
}

static bool here_nocase(struct ifab_view text, size_t at, const char *literal)
{
    size_t size = strlen(literal);
    return text.size - at >= size && ifab_view_equal_nocase((struct ifab_view){text.data + at, size}, ifab_view_str(literal));
}

/* Words do not look like this: a digit, or a capital behind a small letter. */
static bool looks_random(struct ifab_view text, size_t from, size_t size)
{
    size = size > LOOK_MAX ? LOOK_MAX : size;
    for (size_t i = from; i < from + size; i++) {
        uint8_t c = text.data[i];
        if (c >= '0' && c <= '9')
            return true;
        if (i > from && c >= 'A' && c <= 'Z' && text.data[i - 1] >= 'a' && text.data[i - 1] <= 'z')
            return true;
    }
    return false;
}

/* Issuers' prefixes: PREFIX and then at least `min` bytes of an alphabet, exactly so many where `exact`. */
struct prefix_row {
    const char *prefix;
    alphabet_fn *in;
    uint8_t min;
    bool exact, random; /* random: the rest must not look like words */
};
static const struct prefix_row prefixes[] = {
    {"AKIA", upper_or_digit, 16, true, false},   {"ASIA", upper_or_digit, 16, true, false},
    {"ghp_", word, 20, false, false},            {"gho_", word, 20, false, false},
    {"ghu_", word, 20, false, false},            {"ghs_", word, 20, false, false},
    {"ghr_", word, 20, false, false},            {"github_pat_", word, 20, false, false},
    {"glpat-", word, 20, false, false},          {"sk_live_", word, 10, false, false},
    {"sk_test_", word, 10, false, false},       {"rk_live_", word, 10, false, false},
    {"sk-", word, 20, false, true},              {"AIza", word, 35, true, false},
    {"npm_", alnum, 36, true, false},            {"ift_", word, 43, true, true}, /* our own tokens */
};

static size_t match_prefix(struct ifab_view text, size_t at)
{
    for (size_t i = 0; i < IFAB_COUNT(prefixes); i++) {
        const struct prefix_row *row = &prefixes[i];
        if (text.data[at] != (uint8_t)row->prefix[0] || !here(text, at, row->prefix))
            continue;
        size_t head = strlen(row->prefix), rest = run(text, at + head, row->in);
        if (row->exact ? rest != row->min : rest < row->min)
            continue;
        if (at + head + rest < text.size && word(text.data[at + head + rest])) /* a longer word is something else */
            continue;
        if (row->random && !looks_random(text, at + head, rest))
            continue;
        return head + rest;
    }
    return 0;
}

/* xoxb-…, xoxp-… and their kin. */
static size_t match_slack(struct ifab_view text, size_t at)
{
    if (!here(text, at, "xox") || text.size - at < 15 || !alnum(text.data[at + 3]) || text.data[at + 4] != '-')
        return 0;
    size_t rest = run(text, at + 5, word);
    return rest >= 10 && looks_random(text, at + 5, rest) ? 5 + rest : 0;
}

/* Three base64url parts, the first of them the beginning of a JSON object: {" is eyJ. */
static size_t match_jwt(struct ifab_view text, size_t at)
{
    size_t size = 0;
    if (!here(text, at, "eyJ"))
        return 0;
    for (int part = 0; part < 3; part++) {
        size_t length = run(text, at + size, word);
        if (length < 8)
            return 0;
        size += length;
        if (part == 2)
            return size;
        if (at + size >= text.size || text.data[at + size] != '.')
            return 0;
        size++;
    }
    return 0;
}

/* -----BEGIN … PRIVATE KEY----- up to its END line, or to the end of the text where that is missing. */
static size_t match_pem(struct ifab_view text, size_t at)
{
    static const char label[] = "PRIVATE KEY", end[] = "-----END ";
    if (!here(text, at, "-----BEGIN "))
        return 0;
    size_t line = at + 11, found = 0;
    while (line < text.size && line - at < 80 && text.data[line] != '-' && found == 0) {
        found = here(text, line, label);
        line++;
    }
    if (found == 0)
        return 0;
    for (size_t i = line; i < text.size; i++) {
        if (text.data[i] != '-' || !here(text, i, end))
            continue;
        i += sizeof end - 1;
        while (i < text.size && text.data[i] != '-' && text.data[i] != '\n')
            i++;
        return i + run(text, i, word) - at; /* the closing dashes */
    }
    return text.size - at;
}

/* "Bearer TOKEN": the span is the token alone. */
static bool match_bearer(struct ifab_view text, size_t at, size_t *ret_begin, size_t *ret_end)
{
    if (!here_nocase(text, at, "bearer "))
        return false;
    size_t begin = at + 7, size = run(text, begin, token68);
    if (size < 16 || !looks_random(text, begin, size))
        return false;
    *ret_begin = begin;
    *ret_end = begin + size;
    return true;
}

/* At "://": USER:PASSWORD before '@'. The user goes too: for some services it is the token. */
static bool match_userinfo(struct ifab_view text, size_t at, size_t *ret_begin, size_t *ret_end)
{
    size_t start = at + 3, colon = 0, host = 0;
    for (size_t i = start; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (blank(c) || c == '/' || c == '?' || c == '#' || c == '"' || c == '<' || c == '>')
            break;
        if (c == ':' && colon == 0)
            colon = i;
        if (c == '@')
            host = i;
    }
    if (colon == 0 || host <= colon + 1)
        return false;
    *ret_begin = start;
    *ret_end = host;
    return true;
}

static bool masked(uint8_t c)
{
    return c == '*' || c == 'x' || c == 'X' || c == '.' || c == '#' || c == '-';
}

static bool variable(uint8_t c)
{
    return upper_or_digit(c) || c == '_';
}

/* Values that stand for one (***, ${NAME}, $NAME, %s), and words that say there is none. */
static bool placeholder(struct ifab_view value)
{
    static const char *const none[] = {"true", "false", "null", "none", "nil", "undefined", "yes", "no", "required", "optional", "missing"};
    if (run(value, 0, masked) == value.size || here(value, 0, IFAB_REDACTED) || here(value, 0, "${") || here(value, 0, "{{") ||
        here(value, 0, "%s") || (value.data[0] == '$' && run(value, 1, variable) == value.size - 1))
        return true;
    for (size_t i = 0; i < IFAB_COUNT(none); i++)
        if (ifab_view_equal_nocase(value, ifab_view_str(none[i])))
            return true;
    return false;
}

/* The name that ends before `at`, a few blanks and quotes taken off. */
static struct ifab_view name_before(struct ifab_view text, size_t at)
{
    for (int i = 0; i < 4 && at > 0 && text.data[at - 1] == ' '; i++)
        at--;
    bool quoted = at > 0 && (text.data[at - 1] == '"' || text.data[at - 1] == '\'');
    size_t end = quoted ? at - 1 : at;
    if (quoted && end > 0 && text.data[end - 1] == '\\') /* JSON inside a JSON string */
        end--;
    size_t begin = end;
    while (begin > 0 && end - begin < 64 && word(text.data[begin - 1]))
        begin--;
    return (struct ifab_view){text.data + begin, end - begin};
}

/*
 * At '=' or ':' behind a secret name: the value. After '=' anything counts; after ':' what is quoted or looks random, because prose
 * has colons too ("password: see the manual").
 */
static bool match_assignment(struct ifab_view text, size_t at, size_t *ret_begin, size_t *ret_end)
{
    bool colon = text.data[at] == ':';
    if (!ifab_redact_secret_name(name_before(text, at)))
        return false;
    size_t begin = at + 1;
    while (begin < text.size && begin - at < 8 && (text.data[begin] == ' ' || text.data[begin] == '\t'))
        begin++;
    if (!colon && begin < text.size && text.data[begin] == '=') /* a == b compares */
        return false;
    if (here_nocase(text, begin, "basic ")) /* Authorization: Basic … */
        begin += 6;
    if (begin < text.size && text.data[begin] == '\\')
        begin++;
    bool quoted = begin < text.size && (text.data[begin] == '"' || text.data[begin] == '\'');
    if (quoted) {
        uint8_t quote = text.data[begin++];
        size_t end = begin;
        while (end < text.size && text.data[end] != quote && text.data[end] != '\\' && text.data[end] != '\n')
            end++;
        *ret_begin = begin;
        *ret_end = end;
        return !placeholder((struct ifab_view){text.data + begin, end - begin});
    }
    size_t size = 0;
    while (begin + size < text.size && size < LOOK_MAX && value_byte(text.data[begin + size]))
        size++;
    if (placeholder((struct ifab_view){text.data + begin, size}))
        return false;
    if (colon && (size < 6 || !looks_random(text, begin, size)))
        return false;
    if (!colon && begin != at + 1 && !looks_random(text, begin, size)) /* "token = value" in prose or code */
        return false;
    *ret_begin = begin;
    *ret_end = begin + run(text, begin, value_byte);
    return true;
}

static bool match_at(struct ifab_view text, size_t at, size_t *ret_begin, size_t *ret_end)
{
    uint8_t c = text.data[at];
    size_t size = 0;
    if (c == '=' || c == ':') {
        if (match_assignment(text, at, ret_begin, ret_end))
            return true;
        return c == ':' && here(text, at, "://") && match_userinfo(text, at, ret_begin, ret_end);
    }
    if (c == '-')
        size = match_pem(text, at);
    else if (!alnum(c) || (at > 0 && word(text.data[at - 1])))
        return false; /* the rest begins a word */
    else if (c == 'e')
        size = match_jwt(text, at);
    else if (c == 'x')
        size = match_slack(text, at);
    else if (c == 'B' || c == 'b')
        return match_bearer(text, at, ret_begin, ret_end);
    else if (c == 'A' || c == 'g' || c == 's' || c == 'r' || c == 'n' || c == 'i')
        size = match_prefix(text, at);
    *ret_begin = at;
    *ret_end = at + size;
    return size > 0;
}

bool ifab_redact__find_pattern(struct ifab_view text, size_t from, size_t *ret_begin, size_t *ret_end)
{
    static const char mark[] = IFAB_REDACTED;
    for (size_t at = from; at < text.size; at++) {
        size_t begin, end;
        if (!match_at(text, at, &begin, &end))
            continue;
        /* what was redacted once stays as it is: redaction of redacted text changes nothing */
        if (end - begin == sizeof mark - 1 && memcmp(text.data + begin, mark, sizeof mark - 1) == 0)
            continue;
        *ret_begin = begin;
        *ret_end = end;
        return true;
    }
    return false;
}

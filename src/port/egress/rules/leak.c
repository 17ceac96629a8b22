/*
 * Two Aho-Corasick automata over seven readings of one stream of bytes: as it is, percent-decoded once and twice, JSON-unescaped, that
 * percent-decoded, without line breaks, and with the references of HTML and XML resolved. The second automaton holds the hexadecimal forms and reads
 * letters in lower case.
 * Invariants: (1) a node's fail link names the longest proper suffix of its text that is a node; (2) `ends` is true where the text of the
 * node or of one of its suffixes is a pattern; (3) memory that held a piece of a value is wiped before it is freed.
 */
#include "egress/leak.h"

#include "base/mem.h"
#include "crypto/crypto.h"

#define NODES_MAX     (1U << 22)
#define REFERENCE_MAX 9     /* of "#x10FFFF", with a zero or two in front */
#define NODES_LARGE   16384 /* from here on nodes below the root have too many children to walk along */

struct node {
    uint32_t child, sibling, fail; /* 0: none; the root is nobody's child */
    uint8_t byte;
    bool ends, below_root;
};
struct automaton {
    struct node *nodes; /* [0] is the root; owned */
    uint32_t count, room;
    uint32_t first[256];     /* children of the root */
    uint32_t (*second)[256]; /* of a sealed large one: their children, by both bytes; owned, may be NULL */
};
struct ifab_leak_set {
    struct automaton exact, folded;
    size_t value_count;
    bool sealed, broken;
};

static bool grow(struct automaton *self)
{
    uint32_t room = self->room == 0 ? 1024 : self->room * 2;
    if (room > NODES_MAX)
        return false;
    struct node *nodes = ifab_calloc(room, sizeof *nodes);
    if (nodes == NULL)
        return false;
    if (self->count > 0) {
        memcpy(nodes, self->nodes, self->count * sizeof *nodes);
        ifab_wipe(self->nodes, self->count * sizeof *nodes);
    }
    ifab_free(self->nodes);
    self->nodes = nodes;
    self->room = room;
    self->count = self->count == 0 ? 1 : self->count;
    return true;
}
static uint32_t child_of(const struct automaton *self, uint32_t node, uint8_t byte)
{
    uint32_t c;
    if (node == 0)
        return self->first[byte];
    if (self->second != NULL && self->nodes[node].below_root)
        return self->second[self->nodes[node].byte][byte];
    for (c = self->nodes[node].child; c != 0 && self->nodes[c].byte != byte; c = self->nodes[c].sibling)
        ;
    return c;
}
static bool add(struct automaton *self, const uint8_t *pattern, size_t size)
{
    uint32_t at = 0;
    for (size_t i = 0; i < size; i++) {
        uint32_t next = child_of(self, at, pattern[i]);
        if (next == 0) {
            if (self->count == self->room && !grow(self))
                return false;
            next = self->count++;
            self->nodes[next] = (struct node){.byte = pattern[i]};
            if (at == 0) {
                self->first[pattern[i]] = next;
                self->nodes[next].below_root = true;
            } else {
                self->nodes[next].sibling = self->nodes[at].child;
                self->nodes[at].child = next;
            }
        }
        at = next;
    }
    self->nodes[at].ends = true;
    return true;
}
static uint32_t step(const struct automaton *self, uint32_t at, uint8_t byte)
{
    uint32_t next;
    while ((next = child_of(self, at, byte)) == 0 && at != 0)
        at = self->nodes[at].fail;
    return next;
}
static bool index_second(struct automaton *self)
{
    if (self->count < NODES_LARGE)
        return true;
    uint32_t(*second)[256] = ifab_calloc(256, sizeof *second);
    if (second == NULL)
        return false;
    for (unsigned a = 0; a < 256; a++) {
        for (uint32_t c = self->first[a] == 0 ? 0 : self->nodes[self->first[a]].child; c != 0; c = self->nodes[c].sibling)
            second[a][self->nodes[c].byte] = c;
    }
    self->second = second;
    return true;
}
/* Breadth first: what is shallower is done. */
static bool link_up(struct automaton *self)
{
    uint32_t done = 0, count = 0;
    uint32_t *queue = ifab_calloc(self->count, sizeof *queue);
    if (queue == NULL)
        return false;
    for (unsigned b = 0; b < 256; b++) {
        if (self->first[b] != 0)
            queue[count++] = self->first[b];
    }
    for (; done < count; done++) {
        const struct node *parent = &self->nodes[queue[done]];
        for (uint32_t c = parent->child; c != 0; c = self->nodes[c].sibling) {
            struct node *node = &self->nodes[c];
            node->fail = step(self, parent->fail, node->byte);
            node->ends = node->ends || self->nodes[node->fail].ends;
            queue[count++] = c;
        }
    }
    ifab_free(queue);
    return true;
}
static void automaton_fini(struct automaton *self)
{
    if (self->nodes != NULL)
        ifab_wipe(self->nodes, self->room * sizeof *self->nodes);
    ifab_free(self->nodes);
    if (self->second != NULL)
        ifab_wipe(self->second, 256 * sizeof *self->second);
    ifab_free(self->second);
}

ifab_status ifab_leak_set_new(struct ifab_leak_set **ret_set)
{
    struct ifab_leak_set *self = ifab_calloc(1, sizeof *self);
    if (self == NULL || !grow(&self->exact) || !grow(&self->folded)) {
        ifab_leak_set_free(self);
        return IFAB_NOMEM;
    }
    *ret_set = self;
    return IFAB_OK;
}
void ifab_leak_set_free(struct ifab_leak_set *self)
{
    if (self == NULL)
        return;
    automaton_fini(&self->exact);
    automaton_fini(&self->folded);
    ifab_wipe(self, sizeof *self);
    ifab_free(self);
}

/* The characters of base64 that bytes [skip, size) alone decide, in either alphabet. */
static bool add_base64(struct automaton *self, const uint8_t *bytes, size_t size, size_t skip)
{
    static const char alphabets[2][65] = {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
                                          "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"};
    uint8_t text[(IFAB_LEAK_WINDOW + 2) * 4 / 3 + 4];
    bool good = true;
    for (unsigned a = 0; a < 2 && good; a++) {
        size_t used = 0;
        for (size_t bit = (skip * 8 + 5) / 6 * 6; bit + 6 <= size * 8; bit += 6) {
            unsigned pair = (unsigned)bytes[bit / 8] << 8 | (bit / 8 + 1 < size ? bytes[bit / 8 + 1] : 0U);
            text[used++] = (uint8_t)alphabets[a][(pair >> (10 - bit % 8)) & 63];
        }
        good = add(self, text, used);
    }
    ifab_wipe(text, sizeof text);
    return good;
}
static bool add_window(struct ifab_leak_set *self, const uint8_t *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t turned[IFAB_LEAK_WINDOW], plus[IFAB_LEAK_WINDOW], hex[2 * IFAB_LEAK_WINDOW], shifted[IFAB_LEAK_WINDOW + 2] = {0};
    bool good = true;
    for (size_t i = 0; i < size; i++) {
        turned[i] = bytes[size - 1 - i];
        plus[i] = bytes[i] == ' ' ? '+' : bytes[i];
        hex[2 * i] = (uint8_t)digits[bytes[i] >> 4];
        hex[2 * i + 1] = (uint8_t)digits[bytes[i] & 15];
    }
    good = add(&self->exact, bytes, size) && add(&self->exact, turned, size) && add(&self->exact, plus, size) && add(&self->folded, hex, 2 * size);
    for (size_t skip = 0; skip < 3 && good && size >= IFAB_LEAK_BASE64_MIN; skip++) {
        memcpy(shifted + skip, bytes, size);
        good = add_base64(&self->exact, shifted, size + skip, skip);
    }
    ifab_wipe(turned, sizeof turned);
    ifab_wipe(plus, sizeof plus);
    ifab_wipe(hex, sizeof hex);
    ifab_wipe(shifted, sizeof shifted);
    return good;
}
ifab_status ifab_leak_set_add(struct ifab_leak_set *self, struct ifab_view value)
{
    if (self->sealed || value.size < IFAB_LEAK_VALUE_MIN)
        return IFAB_INVALID;
    if (value.size > IFAB_LEAK_VALUE_MAX || self->value_count == IFAB_LEAK_VALUES_MAX)
        return IFAB_TOO_LARGE;
    size_t window = value.size < IFAB_LEAK_WINDOW ? value.size : IFAB_LEAK_WINDOW;
    if (!add_window(self, value.data, window) || (window < value.size && !add_window(self, value.data + value.size - window, window))) {
        self->broken = true;
        return IFAB_NOMEM;
    }
    self->value_count++;
    return IFAB_OK;
}
ifab_status ifab_leak_set_seal(struct ifab_leak_set *self)
{
    if (self->broken || !index_second(&self->exact) || !index_second(&self->folded) || !link_up(&self->exact) || !link_up(&self->folded))
        return IFAB_NOMEM;
    self->sealed = true;
    return IFAB_OK;
}

/* Readings: the numbers of the streams, and of the decoders in front of them. */
enum { PLAIN, ONCE, TWICE, JSON, JSON_ONCE, NO_BREAKS, HTML };
enum { TO_ONCE, TO_TWICE, TO_JSON, TO_JSON_ONCE, TO_HTML };

/* Readings of plain text stand in the same place: what one has just found out is true for the next. */
static void look(struct ifab_leak_scanner *self, unsigned stream, uint8_t byte)
{
    const struct ifab_leak_set *set = self->set;
    struct ifab_leak_step *last = &self->last;
    if (!last->known || last->byte != byte || last->state != self->state[stream] || last->folded != self->folded[stream]) {
        uint8_t lower = byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
        *last = (struct ifab_leak_step){self->state[stream], self->folded[stream], 0, 0, byte, true};
        last->next_state = step(&set->exact, last->state, byte);
        last->next_folded = step(&set->folded, last->folded, lower);
        self->found = self->found || set->exact.nodes[last->next_state].ends || set->folded.nodes[last->next_folded].ends;
    }
    self->state[stream] = last->next_state;
    self->folded[stream] = last->next_folded;
}
static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
static void percent(struct ifab_leak_scanner *self, unsigned which, uint8_t byte);
static void decoded(struct ifab_leak_scanner *self, unsigned which, uint8_t byte)
{
    static const uint8_t stream[] = {[TO_ONCE] = ONCE, [TO_TWICE] = TWICE, [TO_JSON] = JSON, [TO_JSON_ONCE] = JSON_ONCE, [TO_HTML] = HTML};
    look(self, stream[which], byte);
    if (which == TO_ONCE)
        percent(self, TO_TWICE, byte);
    if (which == TO_JSON)
        percent(self, TO_JSON_ONCE, byte);
}
/* Gives what is kept as it stands. */
static void give_up(struct ifab_leak_scanner *self, unsigned which)
{
    struct ifab_leak_decoder kept = self->decoder[which];
    self->decoder[which].count = 0;
    for (unsigned i = 0; i < kept.count; i++)
        decoded(self, which, kept.have[i]);
}
static void percent(struct ifab_leak_scanner *self, unsigned which, uint8_t byte)
{
    struct ifab_leak_decoder *d = &self->decoder[which];
    if (d->count > 0 && hex_value(byte) < 0)
        give_up(self, which);
    if (d->count == 0 && byte != '%') {
        decoded(self, which, byte);
        return;
    }
    d->have[d->count++] = byte;
    if (d->count == 3) {
        d->count = 0;
        decoded(self, which, (uint8_t)(hex_value(d->have[1]) * 16 + hex_value(d->have[2])));
    }
}
static uint32_t unit_at(const uint8_t *digits)
{
    return (uint32_t)(hex_value(digits[0]) << 12 | hex_value(digits[1]) << 8 | hex_value(digits[2]) << 4 | hex_value(digits[3]));
}
static void decoded_point(struct ifab_leak_scanner *self, unsigned which, uint32_t c)
{
    if (c < 0x80) {
        decoded(self, which, (uint8_t)c);
        return;
    }
    if (c < 0x800) {
        decoded(self, which, (uint8_t)(0xc0 | c >> 6));
    } else {
        decoded(self, which, (uint8_t)(c < 0x10000 ? 0xe0 | c >> 12 : 0xf0 | c >> 18));
        if (c >= 0x10000)
            decoded(self, which, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
        decoded(self, which, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
    }
    decoded(self, which, (uint8_t)(0x80 | (c & 0x3f)));
}
/* RFC 8259 section 7. Kept: "\", "\u", up to four digits, and behind a high surrogate the same again. */
static void json(struct ifab_leak_scanner *self, uint8_t byte)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    struct ifab_leak_decoder *d = &self->decoder[TO_JSON];
    unsigned place = d->count % 6;
    bool fits = place == 0 ? byte == '\\' : place == 1 ? byte == 'u' : hex_value(byte) >= 0;
    if (d->count == 1 && byte != 'u') {
        const char *at = byte == 0 ? NULL : memchr(from, byte, sizeof from - 1);
        if (at != NULL) {
            d->count = 0;
            decoded(self, TO_JSON, (uint8_t)to[at - from]);
            return;
        }
    }
    if (!fits) {
        give_up(self, TO_JSON);
        if (byte != '\\') {
            decoded(self, TO_JSON, byte);
            return;
        }
    }
    d->have[d->count++] = byte;
    if (d->count == 6) {
        uint32_t unit = unit_at(d->have + 2);
        if (unit >= 0xd800 && unit <= 0xdbff)
            return; /* the other half may follow */
        d->count = 0;
        decoded_point(self, TO_JSON, unit);
    } else if (d->count == 12) {
        uint32_t high = unit_at(d->have + 2), low = unit_at(d->have + 8);
        if (low < 0xdc00 || low > 0xdfff) {
            give_up(self, TO_JSON);
            return;
        }
        d->count = 0;
        decoded_point(self, TO_JSON, 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
    }
}

/* The character that "&" and what follows it stand for; 0: none. The five names are those of XML, what an echo in HTML escapes. */
static uint32_t reference(const uint8_t *text, size_t size)
{
    static const struct {
        char name[5];
        uint8_t c;
    } names[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
    bool hex = size > 2 && text[1] == '#' && (text[2] | 0x20) == 'x';
    uint32_t c = 0;
    for (size_t i = 0; i < IFAB_COUNT(names); i++) {
        if (size - 1 == strlen(names[i].name) && memcmp(text + 1, names[i].name, size - 1) == 0)
            return names[i].c;
    }
    if (size < 3 || text[1] != '#')
        return 0;
    for (size_t i = hex ? 3 : 2; i < size; i++) {
        int digit = hex_value(text[i]);
        if (digit < 0 || (!hex && digit > 9))
            return 0;
        c = c * (hex ? 16 : 10) + (uint32_t)digit;
    }
    return c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : c;
}
/* Kept: "&" and up to REFERENCE_MAX letters, digits and "#" behind it, till a ";" says what they were. */
static void html(struct ifab_leak_scanner *self, uint8_t byte)
{
    struct ifab_leak_decoder *d = &self->decoder[TO_HTML];
    bool word = byte == '#' || (byte >= '0' && byte <= '9') || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z');
    if (byte == '&' || (d->count > 0 && word && d->count <= REFERENCE_MAX)) {
        if (byte == '&')
            give_up(self, TO_HTML);
        d->have[d->count++] = byte;
        return;
    }
    uint32_t c = byte == ';' && d->count > 0 ? reference(d->have, d->count) : 0;
    if (c != 0) {
        d->count = 0;
        decoded_point(self, TO_HTML, c);
        return;
    }
    give_up(self, TO_HTML);
    decoded(self, TO_HTML, byte);
}

void ifab_leak_begin(struct ifab_leak_scanner *self, const struct ifab_leak_set *set)
{
    memset(self, 0, sizeof *self);
    self->set = set != NULL && set->sealed && set->value_count > 0 ? set : NULL;
}
bool ifab_leak_feed(struct ifab_leak_scanner *self, struct ifab_view bytes)
{
    if (self->set == NULL)
        return false;
    for (size_t i = 0; i < bytes.size && !self->found; i++) {
        uint8_t byte = bytes.data[i];
        look(self, PLAIN, byte);
        percent(self, TO_ONCE, byte);
        json(self, byte);
        html(self, byte);
        if (byte != '\r' && byte != '\n')
            look(self, NO_BREAKS, byte);
    }
    return self->found;
}
bool ifab_leak_end(struct ifab_leak_scanner *self)
{
    if (self->set == NULL)
        return false;
    give_up(self, TO_ONCE); /* in this order: what one gives up flows into the next */
    give_up(self, TO_TWICE);
    give_up(self, TO_JSON);
    give_up(self, TO_JSON_ONCE);
    give_up(self, TO_HTML);
    return self->found;
}

/* Addresses: nets, and what they are by the registries of IANA (RFC 6890 and its updates). */
#include "egress/address.h"

#include "base/mem.h"

static const struct {
    const char *text;
    bool never;
} classes[IFAB_ADDRESS_CLASS_COUNT] = {
#define ROW(name, text_, never_) [IFAB_ADDRESS_##name] = {text_, never_},
    IFAB_ADDRESS_CLASS_MAP(ROW)
#undef ROW
};
const char *ifab_address_class_text(enum ifab_address_class class_) { return classes[class_ < IFAB_ADDRESS_CLASS_COUNT ? class_ : 0].text; }
bool ifab_address_class_never(enum ifab_address_class class_) { return class_ >= IFAB_ADDRESS_CLASS_COUNT || classes[class_].never; }

struct net {
    uint8_t bytes[16];
    uint8_t bits;
    enum ifab_address_class class_;
};
#define C(name) IFAB_ADDRESS_##name
/* The first row that contains the address decides; what no row contains is global. Metadata stands first: it lies inside other nets. */
static const struct net nets4[] = {
    {{169, 254, 169}, 24, C(METADATA)},      /* AWS, Azure, Google, OpenStack, … and its time and name servers */
    {{169, 254, 170}, 24, C(METADATA)},      /* AWS: credentials of containers */
    {{168, 63, 129, 16}, 32, C(METADATA)},   /* Azure: wire server */
    {{100, 100, 100, 200}, 32, C(METADATA)}, /* Alibaba */
    {{192, 0, 0, 192}, 32, C(METADATA)},     /* Oracle */
    {{0, 0, 0, 0}, 32, C(UNSPECIFIED)},
    {{0}, 8, C(UNSPECIFIED)}, /* "this network": Linux connects some of it to itself */
    {{10}, 8, C(PRIVATE)},
    {{100, 64}, 10, C(SHARED)},
    {{127}, 8, C(LOOPBACK)},
    {{169, 254}, 16, C(LINK_LOCAL)},
    {{172, 16}, 12, C(PRIVATE)},
    {{192, 0, 0}, 24, C(RESERVED)},
    {{192, 0, 2}, 24, C(DOCUMENTATION)},
    {{192, 88, 99}, 24, C(RESERVED)}, /* 6to4 relays, RFC 7526 */
    {{192, 168}, 16, C(PRIVATE)},
    {{198, 18}, 15, C(BENCHMARK)},
    {{198, 51, 100}, 24, C(DOCUMENTATION)},
    {{203, 0, 113}, 24, C(DOCUMENTATION)},
    {{224}, 4, C(MULTICAST)},
    {{255, 255, 255, 255}, 32, C(BROADCAST)},
    {{240}, 4, C(RESERVED)},
};
/* Likewise; what no row contains is reserved: global unicast is 2000::/3 (RFC 4291 2.4). */
static const struct net nets6[] = {
    {{0xfd, 0x00, 0x0e, 0xc2}, 32, C(METADATA)}, /* AWS: fd00:ec2::254, ::23, ::250 … */
    {{0xfd, 0x20, 0x00, 0xce}, 32, C(METADATA)}, /* Google: fd20:ce::254 */
    {{0}, 128, C(UNSPECIFIED)},
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128, C(LOOPBACK)},
    {{0x20, 0x01, 0x0d, 0xb8}, 32, C(DOCUMENTATION)},
    {{0x3f, 0xff}, 20, C(DOCUMENTATION)},
    {{0x20, 0x01, 0x00, 0x02}, 48, C(BENCHMARK)},
    {{0x20, 0x01}, 23, C(RESERVED)}, /* protocol assignments; Teredo is unwrapped before */
    {{0x20}, 3, C(GLOBAL)},
    {{0xfc}, 7, C(PRIVATE)},
    {{0xfe, 0x80}, 10, C(LINK_LOCAL)},
    {{0xfe, 0xc0}, 10, C(PRIVATE)}, /* site-local, RFC 3879 */
    {{0xff}, 8, C(MULTICAST)},
};

static bool begins_with(const uint8_t *bytes, const uint8_t *prefix, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(bytes, prefix, whole) != 0)
        return false;
    return rest == 0 || ((bytes[whole] ^ prefix[whole]) & (0xff00U >> rest) & 0xff) == 0;
}
static enum ifab_address_class by_table(const struct ifab_address *a)
{
    const struct net *nets = a->v6 ? nets6 : nets4;
    size_t count = a->v6 ? IFAB_COUNT(nets6) : IFAB_COUNT(nets4);
    for (size_t i = 0; i < count; i++) {
        if (begins_with(a->bytes, nets[i].bytes, nets[i].bits))
            return nets[i].class_;
    }
    return a->v6 ? C(RESERVED) : C(GLOBAL);
}

static struct ifab_address v4_at(const struct ifab_address *a, size_t i0, size_t i1, size_t i2, size_t i3, uint8_t flip)
{
    return (struct ifab_address){.bytes = {a->bytes[i0] ^ flip, a->bytes[i1] ^ flip, a->bytes[i2] ^ flip, a->bytes[i3] ^ flip}};
}
static bool v6_begins(const struct ifab_address *a, const char *prefix, unsigned bits)
{
    return a->v6 && begins_with(a->bytes, (const uint8_t *)prefix, bits);
}
/* never outweighs what an exception can open, that outweighs global */
static enum ifab_address_class worse(enum ifab_address_class a, enum ifab_address_class b)
{
    if (ifab_address_class_never(a) || (a != C(GLOBAL) && !ifab_address_class_never(b)))
        return a;
    return b;
}

enum ifab_address_class ifab_address_classify(const struct ifab_address *a, struct ifab_address *ret_inner)
{
    struct ifab_address inner = *a;
    enum ifab_address_class class_;
    if (v6_begins(a, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 96)) { /* v4-mapped */
        inner = v4_at(a, 12, 13, 14, 15, 0);
        class_ = by_table(&inner);
    } else if (v6_begins(a, "\0\x64\xff\x9b\0\0\0\0\0\0\0", 96)) { /* NAT64, RFC 6052 */
        inner = v4_at(a, 12, 13, 14, 15, 0);
        class_ = by_table(&inner);
    } else if (v6_begins(a, "\0\x64\xff\x9b\0\1", 48)) { /* NAT64 of a site, RFC 8215: the length of its prefix is not known, so all are looked at */
        const struct ifab_address at[] = {v4_at(a, 6, 7, 9, 10, 0), v4_at(a, 7, 9, 10, 11, 0), v4_at(a, 9, 10, 11, 12, 0),
                                          v4_at(a, 12, 13, 14, 15, 0)};
        class_ = C(TRANSLATED);
        for (size_t i = 0; i < IFAB_COUNT(at); i++) {
            if (by_table(&at[i]) == C(METADATA))
                class_ = C(METADATA);
        }
    } else if (v6_begins(a, "\x20\x02", 16)) { /* 6to4, RFC 3056 */
        inner = v4_at(a, 2, 3, 4, 5, 0);
        class_ = by_table(&inner);
    } else if (v6_begins(a, "\x20\x01\0\0", 32)) { /* Teredo, RFC 4380: server, and the client with its bits turned */
        struct ifab_address server = v4_at(a, 4, 5, 6, 7, 0);
        inner = v4_at(a, 12, 13, 14, 15, 0xff);
        class_ = worse(by_table(&server), by_table(&inner));
    } else if (v6_begins(a, "\0\0\0\0\0\0\0\0\0\0\0", 96) && by_table(a) == C(RESERVED)) { /* v4-compatible, RFC 4291 2.5.5.1; not :: and ::1 */
        inner = v4_at(a, 12, 13, 14, 15, 0);
        class_ = worse(by_table(&inner), C(RESERVED));
    } else {
        class_ = by_table(a);
        /* ISATAP, RFC 5214 6.1: interface identifier [02]00:5efe:v4 */
        if (a->v6 && (a->bytes[8] & 0xfd) == 0 && a->bytes[9] == 0 && a->bytes[10] == 0x5e && a->bytes[11] == 0xfe) {
            struct ifab_address host = v4_at(a, 12, 13, 14, 15, 0);
            class_ = worse(by_table(&host), class_);
        }
    }
    if (ret_inner != NULL)
        *ret_inner = inner;
    return class_;
}

ifab_status ifab_cidr_parse(struct ifab_view text, struct ifab_cidr *ret_cidr, struct ifab_error *err)
{
    struct ifab_cidr cidr = {.bits = 0};
    size_t slash = 0;
    unsigned bits = 0, most;
    while (slash < text.size && text.data[slash] != '/')
        slash++;
    if (!ifab_address_parse(ifab_view_of(text.data, slash), &cidr.base))
        return ifab_fail(err, IFAB_INVALID, "net: no address before the slash");
    most = bits = cidr.base.v6 ? 128 : 32;
    if (slash < text.size) {
        size_t digits = text.size - slash - 1;
        bits = 0;
        if (digits < 1 || digits > 3 || (digits > 1 && text.data[slash + 1] == '0'))
            return ifab_fail(err, IFAB_INVALID, "net: no length of 0 to %u behind the slash", most);
        for (size_t i = slash + 1; i < text.size; i++) {
            if (text.data[i] < '0' || text.data[i] > '9')
                return ifab_fail(err, IFAB_INVALID, "net: no length of 0 to %u behind the slash", most);
            bits = bits * 10 + (unsigned)(text.data[i] - '0');
        }
        if (bits > most)
            return ifab_fail(err, IFAB_INVALID, "net: no length of 0 to %u behind the slash", most);
    }
    for (unsigned i = bits; i < most; i++) {
        if (cidr.base.bytes[i / 8] & (0x80U >> (i % 8)))
            return ifab_fail(err, IFAB_INVALID, "net: bits are set behind its length of %u", bits);
    }
    cidr.bits = (uint8_t)bits;
    *ret_cidr = cidr;
    return IFAB_OK;
}
bool ifab_cidr_contains(const struct ifab_cidr *cidr, const struct ifab_address *address)
{
    return cidr->base.v6 == address->v6 && begins_with(address->bytes, cidr->base.bytes, cidr->bits);
}

static bool is_unspecified(const struct ifab_address *a)
{
    static const uint8_t zeros[16];
    return memcmp(a->bytes, zeros, a->v6 ? 16 : 4) == 0;
}
static bool is_ours(const struct ifab_address *a, uint16_t port, bool is_local, const struct ifab_egress_listener *listeners, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct ifab_address inner;
        (void)ifab_address_classify(&listeners[i].address, &inner); /* a listener may be given as ::ffff:127.0.0.1 */
        if (listeners[i].port == port && (ifab_address_equal(a, &inner) || (is_local && is_unspecified(&listeners[i].address))))
            return true;
    }
    return false;
}

enum ifab_address_verdict ifab_address_judge(const struct ifab_address *address, uint16_t port, bool is_local, struct ifab_view capability,
                                             const struct ifab_egress_exception *exceptions, size_t exception_count,
                                             const struct ifab_egress_listener *listeners, size_t listener_count, enum ifab_address_class *ret_class)
{
    struct ifab_address inner;
    enum ifab_address_class class_ = ifab_address_classify(address, &inner);
    if (ret_class != NULL)
        *ret_class = class_;
    if (ifab_address_class_never(class_))
        return IFAB_ADDRESS_IS_NEVER;
    if (is_ours(address, port, is_local, listeners, listener_count) || is_ours(&inner, port, is_local, listeners, listener_count))
        return IFAB_ADDRESS_IS_OURS;
    if (class_ == IFAB_ADDRESS_GLOBAL)
        return IFAB_ADDRESS_PERMITTED;
    for (size_t i = 0; i < exception_count; i++) {
        const struct ifab_egress_exception *e = &exceptions[i];
        if (e->port == port && port != 0 && e->capability.size > 0 && ifab_view_equal(e->capability, capability) &&
            ifab_cidr_contains(&e->net, &inner))
            return IFAB_ADDRESS_PERMITTED;
    }
    return IFAB_ADDRESS_REFUSED;
}

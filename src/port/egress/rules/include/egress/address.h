#ifndef EGRESS_ADDRESS_H
#define EGRESS_ADDRESS_H
/*
 * Which addresses may be connected to: only global unicast ones, by the registries of IANA, after what carries another address inside has
 * been unwrapped (v4-mapped and -compatible, NAT64, 6to4, Teredo, ISATAP). docs/formats/egress.md has the table. Pure; threads: any.
 */
#include "base/authority.h"
#include "base/status.h"

/* X(NAME, "text", never): zeroed memory is refused. never: no exception of the operator opens it. */
#define IFAB_ADDRESS_CLASS_MAP(X)                        \
    X(UNKNOWN, "not a global unicast address", true)     \
    X(GLOBAL, "global unicast", false)                   \
    X(LOOPBACK, "loopback", false)                       \
    X(PRIVATE, "private", false)                         \
    X(LINK_LOCAL, "link-local", false)                   \
    X(SHARED, "shared (carrier-grade NAT)", false)       \
    X(DOCUMENTATION, "for documentation", false)         \
    X(BENCHMARK, "for benchmarks", false)                \
    X(RESERVED, "reserved", false)                       \
    X(TRANSLATED, "translated by a local prefix", false) \
    X(MULTICAST, "multicast", true)                      \
    X(BROADCAST, "broadcast", true)                      \
    X(UNSPECIFIED, "unspecified", true)                  \
    X(METADATA, "a metadata service", true)
#define IFAB_ADDRESS_ENUM_(name, text, never) IFAB_ADDRESS_##name,
enum ifab_address_class { IFAB_ADDRESS_CLASS_MAP(IFAB_ADDRESS_ENUM_) IFAB_ADDRESS_CLASS_COUNT };
#undef IFAB_ADDRESS_ENUM_
const char *ifab_address_class_text(enum ifab_address_class class_);
bool ifab_address_class_never(enum ifab_address_class class_);

/*
 * What it is once unwrapped; *ret_inner (may be NULL) is the address that the packets reach in the end, itself where nothing is inside.
 * Where a form may hold more than one, the worst of them counts.
 */
enum ifab_address_class ifab_address_classify(const struct ifab_address *address, struct ifab_address *ret_inner);

struct ifab_cidr {
    struct ifab_address base; /* bits behind the prefix are 0 */
    uint8_t bits;             /* 0..32 or 0..128 */
};
/* "10.0.0.0/8", "fd00::/8", or an address alone: its whole length. IFAB_INVALID: no such text, or bits set behind the prefix. */
IFAB_MUST_CHECK ifab_status ifab_cidr_parse(struct ifab_view text, struct ifab_cidr *ret_cidr, struct ifab_error *err);
bool ifab_cidr_contains(const struct ifab_cidr *cidr, const struct ifab_address *address); /* one family never contains the other */

struct ifab_egress_exception {   /* the operator's: this capability may reach this net on this port */
    struct ifab_view capability; /* id, exact: "if://capability/vmix.switcher" */
    struct ifab_cidr net;
    uint16_t port; /* 1..65535; 0 matches nothing */
};
struct ifab_egress_listener {    /* where this daemon itself listens */
    struct ifab_address address; /* unspecified: on every address of this machine */
    uint16_t port;
};
enum ifab_address_verdict { IFAB_ADDRESS_REFUSED = 0, IFAB_ADDRESS_PERMITTED, IFAB_ADDRESS_IS_OURS, IFAB_ADDRESS_IS_NEVER };
/*
 * The one place that decides. is_local: the address belongs to this machine (for listeners on every address).
 * Order: never at all, own listener, global, the operator's exceptions.
 */
enum ifab_address_verdict ifab_address_judge(const struct ifab_address *address, uint16_t port, bool is_local, struct ifab_view capability,
                                             const struct ifab_egress_exception *exceptions, size_t exception_count,
                                             const struct ifab_egress_listener *listeners, size_t listener_count, enum ifab_address_class *ret_class);
#endif

#ifndef CAPABILITY_MANIFEST_H
#define CAPABILITY_MANIFEST_H
/*
 * A capability's manifest: what a tool is, may and costs, signed by its publisher. SURFACE section 5; INV-02, INV-07, INV-08.
 * It comes in as a tree (JSON, or YAML that text/yaml has typed with ifab_manifest_schema()), is checked whole, and goes out typed. What is
 * not in the table is refused; nothing is repaired but one spelling: a signature "ed25519:KEY:SIG" becomes the object.
 *
 * Signed bytes: "IF-MANIFEST-v1\n" + RFC 8785 form of the manifest without signature.sig (the rest of `signature` stays, so the key is signed
 * too). The manifest digest is SHA-256 of exactly these bytes. What is left out is not filled in before: defaults are no part of them.
 * Threads: any; everything is a function of its arguments. docs/formats/capability.md.
 */
#include "base/arena.h"
#include "base/code.h"
#include "base/time.h"
#include "json/json.h"
#include "json/schema.h"

#define IFAB_MANIFEST_MAX            32768 /* bytes of the canonical form: it stands whole in an entry */
#define IFAB_MANIFEST_DEPTH_MAX      20
#define IFAB_MANIFEST_ARENA_MAX      ((size_t)16 << 20) /* enough for any manifest, and for its params */
#define IFAB_CAPABILITY_ID_MAX       128
#define IFAB_CAPABILITY_VERSION_MAX  32
#define IFAB_MANIFEST_OPERATIONS_MAX 64
#define IFAB_MANIFEST_HTTP_MAX       32
#define IFAB_MANIFEST_SECRETS_MAX    16
#define IFAB_MANIFEST_CONFIG_MAX     32
#define IFAB_MANIFEST_SCOPES_MAX     32
#define IFAB_MANIFEST_BACKOFF_MAX    16
#define IFAB_MODULE_SIZE_MAX         (50 << 20) /* bytes */
#define IFAB_MODULE_PATH_MAX         200
#define IFAB_CAPABILITY_ABI          1
#define IFAB_MANIFEST_DOMAIN         "IF-MANIFEST-v1\n"

/* X(NAME, "text"). Zeroed memory is no effect at all, and nothing is allowed with it. In order of weight. */
#define IFAB_EFFECT_MAP(X) X(READ, "read") X(WRITE, "write") X(PHYSICAL, "physical") X(PAYMENT, "payment")
#define IFAB_G_(name, text) IFAB_EFFECT_##name,
enum ifab_effect { IFAB_EFFECT_NONE = 0, IFAB_EFFECT_MAP(IFAB_G_) };
#undef IFAB_G_
const char *ifab_effect_name(enum ifab_effect effect); /* "none" for 0 */

/* X(NAME, "text"): what a guest may import of module "if". */
#define IFAB_MANIFEST_IMPORT_MAP(X) \
    X(LOG, "log") X(HTTP, "http") X(SECRET_REF, "secret_ref") X(KV_GET, "kv_get") X(KV_PUT, "kv_put") X(NOW, "now") X(RANDOM, "random")
#define IFAB_G_(name, text) IFAB_MANIFEST_IMPORT_##name,
enum ifab_manifest_import { IFAB_MANIFEST_IMPORT_MAP(IFAB_G_) IFAB_MANIFEST_IMPORT_COUNT };
#undef IFAB_G_
const char *ifab_manifest_import_name(enum ifab_manifest_import import);

/* X(NAME, "text") */
#define IFAB_METHOD_MAP(X) \
    X(GET, "GET") X(HEAD, "HEAD") X(POST, "POST") X(PUT, "PUT") X(PATCH, "PATCH") X(DELETE, "DELETE") X(OPTIONS, "OPTIONS")
#define IFAB_G_(name, text) IFAB_METHOD_##name,
enum ifab_method { IFAB_METHOD_MAP(IFAB_G_) IFAB_METHOD_COUNT };
#undef IFAB_G_
const char *ifab_method_name(enum ifab_method method);
bool ifab_method_parse(struct ifab_view text, enum ifab_method *ret_method); /* exact, upper case */

/* X(NAME, "text"): how a secret goes into a request. */
#define IFAB_SECRET_AS_MAP(X) X(HEADER, "header") X(BEARER, "bearer") X(BASIC, "basic") X(QUERY, "query") X(SIGV4, "sigv4") X(HMAC, "hmac")
#define IFAB_G_(name, text) IFAB_SECRET_AS_##name,
enum ifab_secret_as { IFAB_SECRET_AS_MAP(IFAB_G_) IFAB_SECRET_AS_COUNT };
#undef IFAB_G_
const char *ifab_secret_as_name(enum ifab_secret_as as);
/* as hmac with one of these fields answers a challenge inside a WebSocket's messages; egress/credential.h knows how. Any other field is a header. */
bool ifab_secret_is_challenge(enum ifab_secret_as as, struct ifab_view field);

/* X(NAME, "text", port where none is named, TLS, WebSocket): schemes of http rows and origins. */
#define IFAB_ORIGIN_SCHEME_MAP(X) \
    X(HTTPS, "https", 443, true, false) X(HTTP, "http", 80, false, false) X(WSS, "wss", 443, true, true) X(WS, "ws", 80, false, true)
#define IFAB_G_(name, text, port, tls, socket) IFAB_ORIGIN_##name,
enum ifab_origin_scheme { IFAB_ORIGIN_SCHEME_MAP(IFAB_G_) IFAB_ORIGIN_SCHEME_COUNT };
#undef IFAB_G_
const char *ifab_origin_scheme_name(enum ifab_origin_scheme scheme);

/* scheme://host:port; compared on all three, byte by byte */
struct ifab_origin {
    enum ifab_origin_scheme scheme;
    struct ifab_view host; /* lower case: a DNS name, or four decimal numbers. No IPv6 literal, no wildcard, no dot at the end */
    uint16_t port;         /* 1..65535 */
};
bool ifab_origin_equal(const struct ifab_origin *a, const struct ifab_origin *b);
/* "https://host[:port]", nothing behind; http, ws and wss likewise. Views borrowed. false: not such a text. */
bool ifab_origin_parse(struct ifab_view text, struct ifab_origin *ret_origin);
/*
 * "https://host[:port]/path[?query]": no user, no fragment, host in lower case, path as ifab_http_path_valid() has it, query visible ASCII
 * without '#'. An empty path is "/". Views borrowed, path with its first slash, query without '?'. At most 8,192 bytes. false: not such a text.
 */
#define IFAB_HTTP_URL_MAX 8192
bool ifab_http_url_parse(struct ifab_view url, struct ifab_origin *ret_origin, struct ifab_view *ret_path, struct ifab_view *ret_query);

struct ifab_operation {
    struct ifab_view name;          /* a name of SURFACE section 1 */
    const struct ifab_json *params; /* the schema; NULL: takes none */
    enum ifab_effect effect;
    struct {
        uint64_t usd_micro, tokens, calls; /* <= 2^53-1; calls 1 where nothing is said */
    } cost;
    bool idempotent;
};
struct ifab_http_row {
    struct ifab_origin origin;
    struct ifab_view path; /* pattern; docs/formats/capability.md */
    uint32_t methods;      /* 1U << enum ifab_method */
    enum ifab_effect effect; /* WRITE where nothing is said */
};
struct ifab_secret_use {
    struct ifab_view name; /* of the secret */
    struct ifab_origin origin;
    struct ifab_view origin_text; /* as the manifest spells it */
    enum ifab_secret_as as;
    struct ifab_view field; /* header: its name; query: the parameter's; else size 0 or what the scheme takes */
};
struct ifab_capability_limits {
    uint32_t rps, burst;                        /* calls a second; 1..10,000 */
    uint16_t backoff[IFAB_MANIFEST_BACKOFF_MAX]; /* seconds, 0..300, non-decreasing */
    size_t backoff_count;                       /* >= 1 */
    uint32_t concurrency;                       /* 1..256; 4 */
    uint32_t memory_mib;                        /* 1..256; 16 */
    uint64_t fuel;                              /* 1..10^12; 10^8 */
    uint32_t deadline_ms;                       /* 1..300,000; 10,000 */
    uint32_t response_kib;                      /* 1..16,384; 256 */
};

struct ifab_manifest { /* everything in the arena or borrowed from the tree */
    struct ifab_view id;      /* "if://capability/vmix.switcher" */
    struct ifab_view name;    /* behind "if://capability/": "vmix.switcher" */
    struct ifab_view version; /* "1.1.0" */
    struct ifab_view summary;
    struct {
        struct ifab_view module; /* below the root of modules: "vmix/switcher.wasm"; no "..", no empty part */
        uint8_t sha256[32];
        uint32_t size; /* bytes; 1..IFAB_MODULE_SIZE_MAX */
        uint32_t abi;
    } entrypoint;
    const struct ifab_operation *operations; /* in order of name */
    size_t operation_count;
    size_t default_operation; /* its place in operations */
    uint32_t imports;         /* 1U << enum ifab_manifest_import */
    const struct ifab_http_row *http;
    size_t http_count;
    const struct ifab_secret_use *secrets;
    size_t secret_count;
    const struct ifab_view *config, *scopes;
    size_t config_count, scope_count;
    struct ifab_capability_limits limits;
    ifab_usec not_after; /* wall; IFAB_NEVER */
    bool has_signature;  /* else digest and bytes are of the manifest without `signature` */
    uint8_t pubkey32[32], sig64[64];
    const struct ifab_json *tree; /* with the signature as an object */
    struct ifab_view canonical;   /* RFC 8785, whole: what the allow-list keeps */
    struct ifab_view signed_bytes;
    uint8_t digest32[32];         /* SHA-256(signed_bytes) */
};

/* The rows of the table: for readers of YAML, and for `ifctl capability new`. */
const struct ifab_schema *ifab_manifest_schema(void);
/*
 * Check and read. 207 with field, offset and hint: the first violation. 500: out of memory. The tree outlives ret_manifest. A manifest
 * without a signature passes here: ifab_manifest_verify() refuses it.
 */
enum ifab_code ifab_manifest_from_tree(const struct ifab_json *tree, struct ifab_arena *arena, struct ifab_manifest *ret_manifest,
                                       struct ifab_refusal *ret_refusal);
/* The same from JSON, at most 4 × IFAB_MANIFEST_MAX bytes, which outlive ret_manifest. */
enum ifab_code ifab_manifest_read(struct ifab_view json, struct ifab_arena *arena, struct ifab_manifest *ret_manifest,
                                  struct ifab_refusal *ret_refusal);
/* The signature by the key that is registered, which the embedded one must equal (INV-02). 001: none, another key, or a bad one. */
enum ifab_code ifab_manifest_verify(const struct ifab_manifest *manifest, const uint8_t registered32[32], struct ifab_refusal *ret_refusal);
/*
 * For who holds the key: appends the canonical form of the manifest, signed with it, whatever signature it had. sign is given the signed bytes once.
 * IFAB_TOO_LARGE: above IFAB_MANIFEST_MAX; IFAB_NOMEM.
 */
typedef void ifab_manifest_sign_fn(void *user, struct ifab_view bytes, uint8_t ret_sig64[64]);
IFAB_MUST_CHECK ifab_status ifab_manifest_sign(const struct ifab_manifest *manifest, const uint8_t pubkey32[32], ifab_manifest_sign_fn *sign, void *user,
                                               struct ifab_buf *ret_json, struct ifab_error *err);

bool ifab_capability_id_valid(struct ifab_view id);           /* ^if://capability/[a-z0-9]+([.-][a-z0-9]+)*$, at most 128 bytes */
bool ifab_capability_version_valid(struct ifab_view version); /* ^\d+\.\d+\.\d+$, at most 32 bytes, no leading zeros */
/* a<b: <0. Both valid. By number: 1.9.0 < 1.10.0. */
int ifab_capability_version_compare(struct ifab_view a, struct ifab_view b);
/* By name; size 0: the default one. NULL: none. */
const struct ifab_operation *ifab_manifest_operation(const struct ifab_manifest *manifest, struct ifab_view name);

/*
 * Parameters of a call against an operation's schema (NULL: nothing but {} fits). Keywords: type, properties, required,
 * additionalProperties (true or false; false where nothing is said), enum, minimum, maximum, minLength, maxLength (in Unicode code points),
 * maxItems (at most 4,096; 1,024 where nothing is said), items, default, description; every other one is 207 in the manifest. Absent members that have a default get it; members
 * of a default are not filled further. *ret_params: the tree with defaults, in arena or as it came; it borrows from params and schema.
 * 208 with the field; 500: out of memory.
 */
#define IFAB_PARAMS_DEPTH_MAX 6 /* objects and lists in each other */
#define IFAB_PARAMS_MAX       65536 /* bytes of the canonical form, defaults included */
enum ifab_code ifab_params_check(const struct ifab_json *schema, const struct ifab_json *params, struct ifab_arena *arena,
                                 const struct ifab_json **ret_params, struct ifab_refusal *ret_refusal);
/* A parameter may not be named like a global flag of ifctl, with or without letter case. base/global_flags.h is the table. */
bool ifab_param_name_reserved(struct ifab_view name);

/*
 * The first row that lets this request pass; NULL: none does. Exact scheme, host, port and method; path by whole segments: each as it
 * stands, "*" one that is not empty, "**" as the last one or more; nothing is decoded, and a path that is not valid matches no row.
 * effect_max: rows of a heavier effect are passed over (dry-run: READ).
 */
const struct ifab_http_row *ifab_http_row_match(const struct ifab_manifest *manifest, enum ifab_method method, const struct ifab_origin *origin,
                                                struct ifab_view path, enum ifab_effect effect_max);
/*
 * Begins with '/'; no empty segment but the last, no "." or ".."; characters of RFC 3986 pchar; %HH only for bytes that have to be
 * encoded and mean nothing in a path: not for unreserved ones (dots, letters), '/', '\', '%', controls. At most 2,048 bytes.
 */
bool ifab_http_path_valid(struct ifab_view path);

/* One difference of two manifests: JSON pointer (RFC 6901), old and new value (NULL: absent). */
struct ifab_manifest_change {
    struct ifab_view pointer; /* in arena; "" is the whole */
    const struct ifab_json *before, *after;
};
#define IFAB_MANIFEST_CHANGES_MAX 64
/*
 * What changed, signature aside, in order of the names; objects are entered, lists too where they are as long as before, else they are one
 * change. At most `max` are written; *ret_total says how many there are. IFAB_NOMEM.
 */
IFAB_MUST_CHECK ifab_status ifab_manifest_diff(const struct ifab_json *before, const struct ifab_json *after, struct ifab_arena *arena,
                                               struct ifab_manifest_change *ret_changes, size_t max, size_t *ret_count, size_t *ret_total);
#endif

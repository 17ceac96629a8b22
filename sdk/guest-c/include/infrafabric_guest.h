#ifndef INFRAFABRIC_GUEST_H
#define INFRAFABRIC_GUEST_H
/*
 * Write a capability in C: guest ABI v1 (docs/formats/guest-abi.md) without its pointers. A guest is one file that defines
 * guest_plan(), guest_apply() and guest_health(); `sdk/guest-c/build FILE.c -o FILE.wasm` makes the module.
 *
 * There is no libc: what stands here, <stddef.h>, <stdint.h>, <stdbool.h> and memcpy, memmove, memset, memcmp, strlen is all.
 * Every call runs in a fresh instance, so memory need not be freed and nothing lives from one call to the next but what
 * ifg_kv_put() keeps. Out of memory ends the call with a trap; nothing has to be checked for it.
 * Only what is used is imported; the manifest must name it in imports[].
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Bytes ---- */

/* Borrowed bytes; data may be NULL only when size is 0. Texts are UTF-8 without a NUL. */
struct ifg_view {
    const char *data;
    size_t size;
};
#define IFG_VIEW(literal) ((struct ifg_view){("" literal), sizeof(literal) - 1})
struct ifg_view ifg_view_str(const char *text); /* up to its NUL */
bool ifg_equal(struct ifg_view a, struct ifg_view b);
bool ifg_is(struct ifg_view a, const char *text);

/* Memory until the call ends; aligned to 16. Never NULL: the call ends where there is none. */
void *ifg_alloc(size_t size);
void ifg_free(void *memory); /* early; accepts NULL. A pointer that is not one of ours, or freed before, traps */

/* Text that grows. Zeroed = empty. `failed` is sticky: above limit; a writer appends freely and asks once. */
struct ifg_buf {
    char *data;
    size_t size, capacity;
    size_t limit; /* 0: IFG_BUF_LIMIT */
    bool failed;
};
#define IFG_BUF_LIMIT ((size_t)1 << 20)
void ifg_buf_put(struct ifg_buf *self, struct ifg_view bytes);
void ifg_buf_str(struct ifg_buf *self, const char *text);
void ifg_buf_i64(struct ifg_buf *self, int64_t value); /* decimal */
void ifg_buf_percent(struct ifg_buf *self,
                     struct ifg_view bytes);                      /* RFC 3986: all but A-Z a-z 0-9 - . _ ~ as %XX; for one value of a path or query */
void ifg_buf_base64(struct ifg_buf *self, struct ifg_view bytes); /* standard alphabet, padded */
bool ifg_buf_base64_decode(struct ifg_buf *self, struct ifg_view text); /* canonical only; false: not such a text, nothing appended */
static inline struct ifg_view ifg_buf_view(const struct ifg_buf *self) { return (struct ifg_view){self->data, self->size}; }

/* ---- JSON, read ---- */

/*
 * A value is the piece of text that it stands in: borrowed, no tree, no allocation. ifg_json_check() comes first for text from
 * elsewhere (a provider's body); what the fabric hands in has been checked. On text that was not checked the readers below
 * stay within it, but what they answer means nothing.
 */
enum ifg_json_type { IFG_JSON_NONE, IFG_JSON_NULL, IFG_JSON_FALSE, IFG_JSON_TRUE, IFG_JSON_NUMBER, IFG_JSON_STRING, IFG_JSON_ARRAY, IFG_JSON_OBJECT };
#define IFG_JSON_MAX_DEPTH 32
/* RFC 8259: one value, valid UTF-8, no lone surrogates, no control characters, no trailing bytes, depth <= 32. */
bool ifg_json_check(struct ifg_view text);
enum ifg_json_type ifg_json_type(struct ifg_view value); /* NONE: absent */
/* A member by its unescaped name. Absent (type NONE) where it is missing, there twice, or value is no object. */
struct ifg_view ifg_json_member(struct ifg_view value, const char *name);
/* Walk an array or object: *at starts as 0; false at the end. ret_name (quoted, as it stands) is absent in an array. */
bool ifg_json_next(struct ifg_view value, size_t *at, struct ifg_view *ret_name, struct ifg_view *ret_value);
/* A string, unescaped: borrowed where it has no escape, else memory of the call. false: no string. */
bool ifg_json_string(struct ifg_view value, struct ifg_view *ret_text);
bool ifg_json_i64(struct ifg_view value, int64_t *ret_number); /* digits only: no fraction, no exponent; false: none, or out of range */
bool ifg_json_bool(struct ifg_view value, bool *ret_bool);
/* The same of a member; fallback where it is absent or of another type. */
struct ifg_view ifg_json_text_of(struct ifg_view object, const char *name, struct ifg_view fallback);
int64_t ifg_json_i64_of(struct ifg_view object, const char *name, int64_t fallback);
bool ifg_json_bool_of(struct ifg_view object, const char *name, bool fallback);

/* ---- JSON, written ---- */

/* Commas are the writer's. Misuse (a value without its name in an object, an end without its beginning, depth > 32) sets out.failed. */
struct ifg_writer {
    struct ifg_buf out;
    uint32_t is_object, has_item; /* a bit a level */
    uint8_t depth;
    bool named; /* a name was written and waits for its value */
};
void ifg_begin_object(struct ifg_writer *self);
void ifg_end_object(struct ifg_writer *self);
void ifg_begin_array(struct ifg_writer *self);
void ifg_end_array(struct ifg_writer *self);
void ifg_name(struct ifg_writer *self, const char *name);
void ifg_text(struct ifg_writer *self, struct ifg_view text); /* escaped; malformed UTF-8 sets failed */
void ifg_str(struct ifg_writer *self, const char *text);
void ifg_i64(struct ifg_writer *self, int64_t value);
void ifg_bool(struct ifg_writer *self, bool value);
void ifg_null(struct ifg_writer *self);
void ifg_raw(struct ifg_writer *self, struct ifg_view value); /* a JSON value as it stands; checked, else failed */
bool ifg_writer_done(const struct ifg_writer *self);          /* one whole value, nothing failed */

/* ---- A call ---- */

struct ifg_call {
    struct ifg_view operation; /* unescaped */
    struct ifg_view params;    /* an object: checked against the manifest's schema by the fabric */
    struct ifg_view context;   /* an object: talent, capability, trace, config … */
};
enum ifg_kind { IFG_CALLER, IFG_PROVIDER, IFG_TRANSIENT }; /* whose fault: the call's, the provider's, nobody's (worth a repeat) */

/*
 * What the guest answers. guest_apply and guest_health write one JSON value, the result. guest_plan writes a summary and effects.
 * guest_health may ask nobody: it fails when it could not work as it is configured, and writes null when only its provider could tell how it is.
 * ifg_fail() takes the place of whatever was written; the first failure is kept.
 */
struct ifg_answer {
    struct ifg_writer result;
    struct ifg_writer effects; /* opened by ifg_effect() */
    struct ifg_view summary;
    int64_t cost_usd_micro; /* guest_plan: what apply is expected to cost; -1: no statement */
    bool failed;
    enum ifg_kind kind;
    struct ifg_view message; /* at most 512 bytes of it are kept */
};
void ifg_fail(struct ifg_answer *self, enum ifg_kind kind, const char *message);
void ifg_fail_view(struct ifg_answer *self, enum ifg_kind kind, struct ifg_view message);
/* guest_plan: one line for a person on what apply will do, and one effect a thing it will touch. */
void ifg_summary(struct ifg_answer *self, struct ifg_view text);                    /* borrowed until the call ends */
void ifg_effect(struct ifg_answer *self, const char *type, struct ifg_view target); /* {"type","target"}, e.g. "http.post", a URL without secrets; past 512 bytes its beginning and "..." */

/* Yours. In guest_plan and guest_health only ifg_log() may be called: any other import ends the call. */
void guest_plan(const struct ifg_call *call, struct ifg_answer *answer);
void guest_apply(const struct ifg_call *call, struct ifg_answer *answer);
void guest_health(const struct ifg_call *call, struct ifg_answer *answer);

/* ---- Imports ---- */

enum ifg_level { IFG_DEBUG, IFG_INFO, IFG_WARN, IFG_ERROR };
void ifg_log(enum ifg_level level, struct ifg_view message); /* at most 1,024 bytes are kept; the operator reads them redacted */

/*
 * Why a host call was refused or failed. A number below zero is the host's own (ifg_refusal); http may say more, as an error in its answer.
 */
enum ifg_refusal { IFG_REFUSED = -1, IFG_NOT_FOUND = -2, IFG_TOO_LARGE = -3, IFG_LIMITED = -4, IFG_UNAVAILABLE = -5, IFG_UNREADABLE = -100 };
struct ifg_host_error {
    enum ifg_refusal refusal; /* UNREADABLE: the host's answer, or a text of the request, cannot be read */
    struct ifg_view code;     /* "IF_ERR_205" …, of the call's memory */
    struct ifg_view message;
};
struct ifg_header {
    struct ifg_view name, value;
};
struct ifg_http_request {
    struct ifg_view method, url;
    const struct ifg_header *headers;
    size_t header_count;
    struct ifg_view body;
    bool has_body;
    struct ifg_view secret; /* a handle of ifg_secret_ref(); size 0: none */
};
struct ifg_http_response {
    int status;              /* 100..599 */
    struct ifg_view body;    /* decoded bytes */
    struct ifg_view headers; /* a JSON object {"name": "value"}, names in lower case */
};
bool ifg_http(const struct ifg_http_request *request, struct ifg_http_response *ret_response, struct ifg_host_error *ret_error);

/*
 * A WebSocket: a url of ws or wss that a row of the manifest lets pass, GET. It ends with the call; at most four are open at a time. A server that ends
 * it is told by ifg_ws_receive(), behind what came before.
 */
struct ifg_socket {
    uint32_t number; /* the host's; 0: none */
};
/* request: url, headers and secret count; method and body do not. */
bool ifg_ws_open(const struct ifg_http_request *request, struct ifg_socket *ret_socket, struct ifg_host_error *ret_error);
bool ifg_ws_send(const struct ifg_socket *self, struct ifg_view text, struct ifg_host_error *ret_error); /* one message, UTF-8 */
bool ifg_ws_send_bytes(const struct ifg_socket *self, struct ifg_view bytes, struct ifg_host_error *ret_error);
/*
 * Sends text with the answer to the server's challenge in place of the one {{answer}} in it. The secret is one that the manifest requires with
 * `as: hmac` and a field that names the kind of challenge; neither it nor the answer is ever seen here. Once a socket.
 */
struct ifg_challenge {
    struct ifg_view secret; /* a handle of ifg_secret_ref() */
    struct ifg_view salt, challenge;
};
bool ifg_ws_send_answer(const struct ifg_socket *self, struct ifg_view text, const struct ifg_challenge *challenge, struct ifg_host_error *ret_error);
enum ifg_ws_kind { IFG_WS_NOTHING /* came in time */, IFG_WS_TEXT, IFG_WS_BYTES, IFG_WS_CLOSED };
struct ifg_ws_message {
    enum ifg_ws_kind kind;
    struct ifg_view data; /* TEXT, BYTES; of the call's memory */
    int code;             /* CLOSED: RFC 6455 7.4 */
};
bool ifg_ws_receive(const struct ifg_socket *self, uint32_t wait_ms, struct ifg_ws_message *ret_message, struct ifg_host_error *ret_error);
bool ifg_ws_close(struct ifg_socket *self, struct ifg_host_error *ret_error); /* does not wait for the server; self is none afterwards */

/* A handle for a secret that the manifest requires: a name for the request's `secret`, never the secret. */
bool ifg_secret_ref(struct ifg_view name, struct ifg_view *ret_handle, struct ifg_host_error *ret_error);
/* What this capability keeps for this talent: bytes. ret_value is absent (data NULL) where nothing is kept. */
bool ifg_kv_get(struct ifg_view key, struct ifg_view *ret_value, struct ifg_host_error *ret_error);
bool ifg_kv_put(struct ifg_view key, struct ifg_view value, struct ifg_host_error *ret_error);
bool ifg_now_usec(int64_t *ret_wall_usec, struct ifg_host_error *ret_error);     /* since 1970-01-01T00:00:00Z */
bool ifg_random(void *ret_bytes, size_t size, struct ifg_host_error *ret_error); /* 1..1024 bytes */
/* Fails with the kind that fits the code: 302 303 304 305 500 502 503 504 are transient, others provider. */
void ifg_fail_host(struct ifg_answer *self, const struct ifg_host_error *error);

#ifdef __cplusplus
}
#endif
#endif

#ifndef BASE_ENCODE_H
#define BASE_ENCODE_H
/* Strict decoders: canonical input only, never repaired. RFC 4648 sections 5 (base64url without padding) and 8 (hex). */
#include "base/status.h"
#include "base/view.h"

/* Lower-case hex of exactly 2 × size characters. IFAB_INVALID otherwise. */
ifab_status ifab_hex_decode(struct ifab_view text, uint8_t *ret_bytes, size_t size);
/* base64url, no padding, unused bits zero, at most max bytes out. IFAB_INVALID; IFAB_TOO_LARGE: more than max. */
ifab_status ifab_base64url_decode(struct ifab_view text, uint8_t *ret_bytes, size_t max, size_t *ret_size);
/* Standard alphabet, padded, canonical (C2SP note signatures, PEM bodies). */
ifab_status ifab_base64_decode(struct ifab_view text, uint8_t *ret_bytes, size_t max, size_t *ret_size);
/* true where text uses '+', '/' or '=' and would be right in the standard alphabet: the hint of SURFACE section 1. */
bool ifab_looks_base64_standard(struct ifab_view text);
bool ifab_utf8_valid(struct ifab_view text); /* RFC 3629: shortest form, no surrogates, ≤ U+10FFFF */
/* One code point at `at`, the same rules: its length 1..4, or 0 where it is malformed or at == end. */
size_t ifab_utf8_decode(const uint8_t *at, const uint8_t *end, uint32_t *ret_code_point);

/* Little-endian fixed-width numbers of the packed records. Writers advance *at; readers return false past end. */
void ifab_put_u8(uint8_t **at, uint8_t v);
void ifab_put_u32(uint8_t **at, uint32_t v);
void ifab_put_u64(uint8_t **at, uint64_t v);
void ifab_put_bytes(uint8_t **at, const void *bytes, size_t size);
struct ifab_reader {
    const uint8_t *at, *end;
    bool bad; /* sticky: a read went past the end; it returned 0 */
};
uint8_t ifab_get_u8(struct ifab_reader *r);
uint32_t ifab_get_u32(struct ifab_reader *r);
uint64_t ifab_get_u64(struct ifab_reader *r);
struct ifab_view ifab_get_bytes(struct ifab_reader *r, size_t size); /* borrowed from the input */
#endif

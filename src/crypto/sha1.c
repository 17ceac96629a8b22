/* SHA-1, for the handshake of WebSocket alone (RFC 6455 4.2.2): it proves nothing there, and nothing else may use it. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto_internal.h"

#include <openssl/sha.h>

void ifab_sha1_websocket(struct ifab_view bytes, uint8_t ret_digest20[20])
{
    SHA_CTX hash;
    (void)SHA1_Init(&hash); /* these three return 1 whatever happens */
    (void)SHA1_Update(&hash, bytes.data, bytes.size);
    (void)SHA1_Final(ret_digest20, &hash);
}

/*
 * What a WebSocket peer says, in any split: the handshake (with the first byte odd, a right one stands before the input), then frames. Never more is
 * delivered than the bound, and nothing behind a failure; what waits to be sent stays bounded.
 */
#include "../src/port/egress/websocket.h"
#include "crypto/crypto.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BOUND 300

static void require(bool truth)
{
    if (!truth)
        abort();
}
static bool failed;
static bool deliver(void *user, bool binary, struct ifab_view bytes)
{
    (void)user;
    (void)binary;
    require(!failed && bytes.size <= BOUND);
    return true;
}
static bool open_it(struct ifab_egress__ws *ws)
{
    static const char key_of[] = "Sec-WebSocket-Key: ";
    uint8_t digest20[20];
    enum ifab_egress_failure failure;
    const char *detail;
    struct ifab_buf key = IFAB_BUF_INIT(200), head = IFAB_BUF_INIT(400);
    struct ifab_view out = ifab_egress__ws_output(ws);
    const uint8_t *at = memmem(out.data, out.size, key_of, sizeof key_of - 1);
    require(at != NULL);
    ifab_buf_put(&key, at + sizeof key_of - 1, 24);
    ifab_buf_str(&key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    ifab_sha1_websocket(ifab_buf_as_view(&key), digest20);
    ifab_buf_str(&head, "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ");
    ifab_buf_base64(&head, digest20, 20);
    ifab_buf_str(&head, "\r\n\r\n");
    bool good = ifab_egress__ws_receive(ws, ifab_buf_as_view(&head), &failure, &detail);
    ifab_buf_fini(&key);
    ifab_buf_fini(&head);
    return good;
}
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char target[] = "/";
    struct ifab_egress_job job = {.method = IFAB_EGRESS_METHOD_GET, .target = target, .response_max = BOUND, .socket = true};
    struct ifab_egress__ws *ws = NULL;
    enum ifab_egress_failure failure = IFAB_EGRESS_NONE;
    const char *detail = NULL;
    if (size < 2)
        return 0;
    failed = false;
    job.url.origin = (struct ifab_origin_parts){IFAB_SCHEME_WS, IFAB_VIEW("a"), 80};
    require(ifab_egress__ws_new(&job, deliver, NULL, &ws) == IFAB_OK);
    if (data[0] & 1)
        require(open_it(ws) && ifab_egress__ws_is_open(ws));
    size_t chunk = data[1] == 0 ? size : data[1];
    for (size_t at = 2; at < size && !failed; at += chunk) {
        failed = !ifab_egress__ws_receive(ws, ifab_view_of(data + at, size - at < chunk ? size - at : chunk), &failure, &detail);
        require(!failed || (failure != IFAB_EGRESS_NONE && detail != NULL));
        require(ifab_egress__ws_output(ws).size <= 2000 + 16 * size);
    }
    require(ifab_egress__ws_is_open(ws) || !(data[0] & 1));
    ifab_egress__ws_free(ws);
    return 0;
}

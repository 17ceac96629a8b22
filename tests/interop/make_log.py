"""Writes an export directory of a small log by slow, plain code: a reference that knows nothing of the fabric's own.

    python3 make_log.py DIR [SIZE]      checkpoint, keys/vkey, tile/L/N[.p/W], tile/entries/N[.p/W]; fixed keys, so the bytes are always the same
"""
import base64
import hashlib
import json
import os
import struct
import sys

import nacl.signing
import rfc8785

ORIGIN = "infrafabric.local/main/0badcafe"
KEY = nacl.signing.SigningKey(bytes(range(32)))


def sha256(data):
    return hashlib.sha256(data).digest()


def number(n):
    text = f"{n % 1000:03d}"
    while n >= 1000:
        n //= 1000
        text = f"x{n % 1000:03d}/{text}"
    return text


def write(base, path, data):
    file = os.path.join(base, path)
    os.makedirs(os.path.dirname(file), exist_ok=True)
    with open(file, "wb") as f:
        f.write(data)


def tiles(base, kind, items):
    """items: bytes of one node or entry each; 256 a file, the last one partial."""
    for n in range(0, len(items), 256):
        part = items[n:n + 256]
        write(base, f"tile/{kind}/{number(n // 256)}" + ("" if len(part) == 256 else f".p/{len(part)}"), b"".join(part))


def root_of(nodes):
    """RFC 6962 2.1."""
    if not nodes:
        return sha256(b"")
    if len(nodes) == 1:
        return nodes[0]
    k = 1
    while k * 2 < len(nodes):
        k *= 2
    return sha256(b"\x01" + root_of(nodes[:k]) + root_of(nodes[k:]))


def vkey():
    blob = b"\x01" + bytes(KEY.verify_key)
    return f"{ORIGIN}+{sha256(ORIGIN.encode() + b'%c' % 10 + blob)[:4].hex()}+{base64.b64encode(blob).decode()}"


def note(size, root):
    text = f"{ORIGIN}\n{size}\n{base64.b64encode(root).decode()}\n"
    short = bytes.fromhex(vkey().split("+")[1])
    return f"{text}\n\u2014 {ORIGIN} {base64.b64encode(short + KEY.sign(text.encode()).signature).decode()}\n"


def entry(index, prev_hash):
    return rfc8785.dumps({"v": 1, "log": "main", "index": index, "time": "2025-11-12T10:21:00.000Z", "severity": "INFO", "type": "message",
                          "actor": "if://agent/Demo.A", "component": "IF.connect", "operation": "share", "why": "inform", "trace": None,
                          "subject": f"msg-01930000-0000-7000-8000-{index:012x}", "payload": {"decision": "SHARE"}, "prev_hash": prev_hash})


def make(base, size):
    entries, before = [], "0" * 64
    for i in range(size):
        entries.append(entry(i, before))
        before = sha256(entries[-1]).hex()
    level = leaves = [sha256(b"\x00" + e) for e in entries]
    tiles(base, "entries", [struct.pack(">H", len(e)) + e for e in entries])
    depth = 0
    while level:
        tiles(base, str(depth), level)
        level = [root_of(level[i:i + 256]) for i in range(0, len(level) - len(level) % 256, 256)]
        depth += 1
    write(base, "checkpoint", note(size, root_of(leaves)).encode())
    write(base, "keys/vkey", vkey().encode() + b"\n")


if __name__ == "__main__":
    make(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 700)
    print(json.dumps({"origin": ORIGIN, "vkey": vkey()}))

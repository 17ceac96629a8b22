"""A message from bytes (docs/formats/envelope.md): PyNaCl and rfc8785, no package of ours.

IFAB_ENDPOINT (unix:…), IFAB_AS, IFAB_KEY, [IFAB_TO].
"""
import base64
import hashlib
import http.client
import json
import os
import socket
import sys
import time
import uuid
from datetime import datetime, timezone

import nacl.signing
import rfc8785


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def uuid7():
    value = (time.time_ns() // 1000000 << 80) | int.from_bytes(os.urandom(10), "big")
    return str(uuid.UUID(int=value & ~(0xF << 76) & ~(0x3 << 62) | (7 << 76) | (2 << 62)))


with open(os.environ["IFAB_KEY"], encoding="ascii") as f:  # PKCS#8 PEM without passphrase: the seed is its last 32 bytes
    key = nacl.signing.SigningKey(base64.b64decode("".join(f.read().split("\n")[1:-2]))[-32:])
pub = bytes(key.verify_key)
message = {
    "v": "2.1", "id": "msg-" + uuid7(), "performative": "inform", "conversation_id": "conv-" + uuid7(),
    "topic_hash": "sha256:" + hashlib.sha256(b"builds").hexdigest(), "ttl_s": 60,
    "seq": time.time_ns() // 1000, "nonce": b64url(os.urandom(16)),
    "sender": f"if://agent/{os.environ['IFAB_AS']}/python-plain", "receiver": "if://agent/" + os.environ.get("IFAB_TO", "Demo.B"),
    "issued_at": datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    "content": {"claim": "plain Python says: the build is green", "scope": {"branch": "main"}, "confidence": {"raw": .9, "normalized": .9}},
    "signature": {"algorithm": "ed25519", "key_id": "k-" + hashlib.sha256(pub).hexdigest()[:16], "pubkey": b64url(pub)},
}
# Signed is the domain line and the canonical form without the signature itself.
message["signature"]["sig"] = b64url(key.sign(b"IF-CONNECT-v2.1\n" + rfc8785.dumps(message)).signature)

link = http.client.HTTPConnection("localhost", timeout=15)
link.sock = socket.socket(socket.AF_UNIX)
link.sock.connect(os.environ["IFAB_ENDPOINT"].removeprefix("unix:"))
link.request("POST", "/v1/messages", rfc8785.dumps(message), {"Content-Type": "application/json", "Idempotency-Key": message["id"]})
answer = json.loads(link.getresponse().read())
print(answer.get("decision") or answer["error"])
sys.exit(0 if answer.get("decision") == "SHARE" else 1)

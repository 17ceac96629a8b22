"""Envelope v2.1: build, sign, check. docs/formats/envelope.md."""
import base64
import hashlib
import json
import os
import time
import uuid

import nacl.exceptions
import rfc8785
from nacl.signing import SigningKey, VerifyKey

from .errors import InvalidMessage, VerifyError

DOMAIN = b"IF-CONNECT-v2.1\n"
PEM = ("-----BEGIN PRIVATE KEY-----", "-----BEGIN ENCRYPTED PRIVATE KEY-----")
PKCS8_ED25519 = bytes.fromhex("302e020100300506032b657004220420")  # RFC 8410 section 7, then the seed


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def agent(name):
    return name if name.startswith("if://") else "if://agent/" + name


def loads(data):
    """JSON without duplicate names: two readers must never see two documents."""
    def pairs(items):
        if len(dict(items)) < len(items):
            raise ValueError("duplicate name in JSON")
        return dict(items)
    return json.loads(data, object_pairs_hook=pairs)


def uuid7():
    value = (time.time_ns() // 1000000 << 80) | int.from_bytes(os.urandom(10), "big")
    return str(uuid.UUID(int=value & ~(0xF << 76) & ~(0x3 << 62) | (7 << 76) | (2 << 62)))


def pkcs8(der, old, new):
    """A key's DER under another passphrase (None: under none)."""
    from cryptography.hazmat.primitives import serialization as s  # only who has such keys needs it: infrafabric[encrypted]
    cipher = s.BestAvailableEncryption(new.encode()) if new else s.NoEncryption()
    return s.load_der_private_key(der, old and old.encode()).private_bytes(s.Encoding.DER, s.PrivateFormat.PKCS8, cipher)


def load_key(key, passphrase=None):
    """A path of a PKCS#8 PEM file (encrypted: with its passphrase), 32 bytes of seed, or a nacl SigningKey."""
    if isinstance(key, (bytes, SigningKey)):
        return SigningKey(bytes(key))
    if not os.path.exists(key):
        raise FileNotFoundError(f"{key}: no such file; IFAB_DIR is {os.environ.get('IFAB_DIR') or 'not set'}")
    with open(key, encoding="ascii") as f:
        if os.fstat(f.fileno()).st_mode & 0o077:
            raise PermissionError(f"{key}: others may read this key: chmod 600 it")
        lines = f.read(65536).strip().split("\n")
    der = base64.b64decode("".join(lines[1:-1]), validate=True)
    if lines[0] == PEM[1]:
        if not passphrase:
            raise ValueError(f"{key} is encrypted: give its passphrase=, or a nacl SigningKey")
        der = pkcs8(der, passphrase, None)
    if lines[0] not in PEM or len(der) != 48 or not der.startswith(PKCS8_ED25519):
        raise ValueError(f"{key}: not an Ed25519 key in PKCS#8 PEM (RFC 8410)")
    return SigningKey(der[16:])


def signed_bytes(envelope):
    """What the signature covers: domain, then the canonical form without signature.sig."""
    return DOMAIN + rfc8785.dumps({**envelope, "signature": {k: v for k, v in envelope["signature"].items() if k != "sig"}})


def message_digest(envelope):
    """What a receipt calls the message by."""
    return "sha256:" + hashlib.sha256(signed_bytes(envelope)).hexdigest()


def read(body):
    """A signed envelope from its bytes -> (envelope, message_digest). Whether its words are right the fabric says (101)."""
    try:
        return (envelope := loads(body)), message_digest(envelope)
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise InvalidMessage("", f"no signed envelope: {e}") from e


def sign(envelope, key):
    """Adds the signature and returns the canonical bytes to send."""
    pub = bytes(key.verify_key)
    envelope["signature"] = {"algorithm": "ed25519", "key_id": "k-" + hashlib.sha256(pub).hexdigest()[:16], "pubkey": b64url(pub)}
    try:
        envelope["signature"]["sig"] = b64url(key.sign(signed_bytes(envelope)).signature)
    except (TypeError, ValueError) as e:
        raise InvalidMessage("", f"not JSON as RFC 8785 has it: {e}") from e
    return rfc8785.dumps(envelope)


def check(envelope, pubkey):
    """Signature under a key the caller knows (32 bytes or base64url). Raises VerifyError."""
    try:
        text, sig = pubkey if isinstance(pubkey, str) else b64url(pubkey), envelope["signature"]["sig"]
        key_bytes, sig_bytes = (base64.urlsafe_b64decode(t + "=" * (-len(t) % 4)) for t in (text, sig))
        if envelope["signature"]["pubkey"] != b64url(key_bytes) or sig != b64url(sig_bytes):
            raise VerifyError("signed under another key, or not base64url without padding")
        VerifyKey(key_bytes).verify(signed_bytes(envelope), sig_bytes)
    except (nacl.exceptions.CryptoError, KeyError, TypeError, ValueError, AttributeError) as e:
        raise VerifyError("bad signature") from e

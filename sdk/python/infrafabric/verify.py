"""Offline check of a receipt: entry, inclusion (RFC 9162 2.1.3.2), checkpoint (C2SP signed note). docs/formats/checkpoint-tiles.md."""
import re
from base64 import b64decode, b64encode
from hashlib import sha256

import nacl.exceptions
import rfc8785
from nacl.signing import VerifyKey

from .envelope import check, loads, read
from .errors import VerifyError

NOTE = re.compile("(?P<text>(?P<origin>.+)\n(?P<size>0|[1-9][0-9]{0,15})\n(?P<root>[A-Za-z0-9+/]{43}=)\n)\n(?P<signatures>(\u2014 [^ \n]+ [^ \n]+\n)+)")

WORDS = {"id": True, "decision": True, "message_digest": True, "policy_digest": False, "reason": False, "rule": False, "expires_at": False}


def _need(condition, why):
    if not condition:
        raise VerifyError(why)


def _base64(text):
    """Its one spelling: b64decode lets unused bits pass."""
    data = b64decode(text, validate=True)
    _need(b64encode(data).decode() == text, "not base64 as it is written")
    return data


def _hash(text):
    """Its one spelling: bytes.fromhex lets spaces and capitals pass."""
    _need(isinstance(text, str) and re.fullmatch("[0-9a-f]{64}", text), "proof: not a hash")
    return bytes.fromhex(text)


def read_vkey(vkey):
    """`<name>+<hex8>+<base64(0x01 || key)>` -> (name, key hash, key)."""
    name, short, blob = (vkey.strip().split("+", 2) + ["", ""])[:3]
    blob = _base64(blob)
    _need(len(blob) == 33 and blob[0] == 1, "not an Ed25519 verifier key")
    expected = sha256(name.encode() + b"\n" + blob).digest()[:4]
    _need(short == expected.hex(), "verifier key does not match its own id")
    return name, expected, blob[1:]


def read_checkpoint(note, vkey):
    """Checks the signature and returns (origin, size, root)."""
    name, short, key = read_vkey(vkey)
    parts = NOTE.fullmatch(note)
    _need(parts and parts["origin"] == name, "not a checkpoint of this log")
    lines = (line.split(" ") for line in parts["signatures"].splitlines())
    ours = [sig for sig in (_base64(line[2]) for line in lines if line[1] == name) if sig[:4] == short]
    _need(ours, "no signature by that key")
    for sig in ours:
        VerifyKey(key).verify(parts["text"].encode(), sig[4:])
    return name, int(parts["size"]), _base64(parts["root"])


def root_from(index, size, leaf, path):
    """Root that an inclusion proof leads to."""
    _need(0 <= index < size, "index outside the tree")
    fn, sn, r = index, size - 1, leaf
    for p in path:
        _need(sn > 0 and len(p) == 32, "proof too long")
        left = fn & 1 or fn == sn
        r = sha256(b"\x01" + (p + r if left else r + p)).digest()
        while left and not fn & 1 and fn:
            fn, sn = fn >> 1, sn >> 1
        fn, sn = fn >> 1, sn >> 1
    _need(sn == 0, "proof too short")
    return r


def _bind(receipt, envelope):
    """The receipt is about these very bytes, and they are what their own key signed (whose key that is, is the caller's question)."""
    envelope, digest = read(envelope if isinstance(envelope, (str, bytes)) else rfc8785.dumps(envelope))
    _need((envelope.get("id"), digest) == (receipt["id"], receipt["message_digest"]), "the receipt is about another message")
    check(envelope, envelope["signature"]["pubkey"])


def verify(receipt, vkey, envelope=None):
    """Raises VerifyError, or returns the entry (a dict) that the log's key vouches for. envelope: the message that was sent, as a dict or its
    bytes; binds the receipt to it."""
    receipt = getattr(receipt, "raw", receipt)
    _need("checkpoint" in receipt and "proof" in receipt, "receipt without proof: ask for it with proof=True")
    try:
        _, size, root = read_checkpoint(receipt["checkpoint"], vkey)
        proof, place, text = receipt["proof"], receipt["entry"], receipt["proof"]["entry"].encode()
        leaf, path, entry = sha256(b"\x00" + text).digest(), [_hash(p) for p in proof["path"]], loads(text)
        _need(rfc8785.dumps(entry) == text, "entry is not in canonical form")
        _need(type(proof["index"]) is int is type(place["index"]), "index is no number")
        _need((proof["size"], proof["index"], proof["leaf"]) == (size, place["index"], leaf.hex()), "proof is about another place or entry")
        _need(root_from(proof["index"], size, leaf, path) == root, "entry is not in the log")
        named = {"log": entry["log"], "index": entry["index"], "hash": "sha256:" + sha256(text).hexdigest()}
        _need(all(place[name] == value for name, value in named.items()), "not that entry")
        for name, required in WORDS.items():
            said, logged = receipt.get(name), entry["payload"].get(name)
            _need(said == logged and isinstance(said, str if required else (str, type(None))), f"{name} is not what the entry says")
        _need(receipt["id"] == entry["subject"], "the entry is about another message")
        _need(receipt.get("trace", "") == entry.get("trace", ""), "trace is not what the entry says")
        if envelope is not None:
            _bind(receipt, envelope)
        return entry
    except (nacl.exceptions.CryptoError, KeyError, TypeError, ValueError, AttributeError) as e:
        raise VerifyError(f"malformed receipt, or bad signature on its checkpoint: {e}") from e

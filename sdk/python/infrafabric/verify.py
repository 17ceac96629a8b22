"""Offline check of a receipt: entry, inclusion (RFC 9162 2.1.3.2), checkpoint (C2SP signed note). docs/formats/checkpoint-tiles.md."""
import base64
import hashlib

import nacl.exceptions
import nacl.signing

from .envelope import loads
from .errors import VerifyError


def _need(condition, why):
    if not condition:
        raise VerifyError(why)


def sha256(data):
    return hashlib.sha256(data).digest()


def read_vkey(vkey):
    """`<name>+<hex8>+<base64(0x01 || key)>` -> (name, key hash, key)."""
    parts = vkey.strip().split("+", 2)
    _need(len(parts) == 3, "not a verifier key")
    blob = base64.b64decode(parts[2], validate=True)
    _need(len(blob) == 33 and blob[0] == 1, "not an Ed25519 verifier key")
    short = sha256(parts[0].encode() + b"\n" + blob)[:4]
    _need(parts[1] == short.hex(), "verifier key does not match its own id")
    return parts[0], short, blob[1:]


def read_checkpoint(note, vkey):
    """Checks the signature and returns (origin, size, root)."""
    name, short, key = read_vkey(vkey)
    text, blank, signatures = note.rpartition("\n\n")
    _need(blank and signatures.endswith("\n"), "not a signed note")
    good = False
    for line in signatures[:-1].split("\n"):
        fields = line.split(" ")
        _need(len(fields) == 3 and fields[0] == "\u2014", "malformed signature line")
        blob = base64.b64decode(fields[2], validate=True)
        if fields[1] == name and blob[:4] == short:
            nacl.signing.VerifyKey(key).verify(text.encode() + b"\n", blob[4:])
            good = True
    _need(good, "no signature by that key")
    origin, size, root = text.split("\n")[:3]
    _need(origin == name, "checkpoint of another log")
    _need(size.isascii() and size.isdigit() and str(int(size)) == size, "malformed size")
    root = base64.b64decode(root, validate=True)
    _need(len(root) == 32, "malformed root")
    return origin, int(size), root


def root_from(index, size, leaf, path):
    """Root that an inclusion proof leads to."""
    _need(0 <= index < size, "index outside the tree")
    fn, sn, r = index, size - 1, leaf
    for p in path:
        _need(sn > 0 and len(p) == 32, "proof too long")
        if fn & 1 or fn == sn:
            r = sha256(b"\x01" + p + r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = sha256(b"\x01" + r + p)
        fn, sn = fn >> 1, sn >> 1
    _need(sn == 0, "proof too short")
    return r


def verify(receipt, vkey):
    """Raises VerifyError, or returns the entry (a dict) that the log's key vouches for."""
    receipt = getattr(receipt, "raw", receipt)
    _need("checkpoint" in receipt and "proof" in receipt, "receipt without proof: ask for it with proof=True")
    try:
        _, size, root = read_checkpoint(receipt["checkpoint"], vkey)
        proof, place = receipt["proof"], receipt["entry"]
        text = proof["entry"].encode()
        _need(sha256(text).hex() == place["hash"].removeprefix("sha256:"), "entry hash differs")
        leaf = sha256(b"\x00" + text)
        _need(proof["leaf"] == leaf.hex(), "leaf differs")
        _need(proof["size"] == size and proof["index"] == place["index"], "proof is about another place")
        path = [bytes.fromhex(p) for p in proof["path"]]
        _need(root_from(proof["index"], size, leaf, path) == root, "entry is not in the log")
        entry = loads(text)
        _need(entry["index"] == place["index"] and entry["log"] == place["log"], "entry is about another place")
        _need(entry["subject"] == receipt["id"], "entry is about another message")
        for name in ("decision", "message_digest"):
            _need(entry["payload"][name] == receipt[name], f"entry says another {name}")
        return entry
    except (nacl.exceptions.CryptoError, KeyError, TypeError, ValueError, AttributeError) as e:
        raise VerifyError(f"malformed receipt or bad signature on its checkpoint: {e}") from e

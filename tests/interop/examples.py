"""The byte examples of docs/formats/, made by plain code from fixed keys.

    python3 tests/interop/examples.py NAME       prints the example of docs/formats/NAME.md
    python3 tests/interop/examples.py --check    fails when a page does not hold what its example prints
"""
import base64
import hashlib
import json
import os
import struct
import sys

import nacl.signing
import rfc8785

import make_log

HERE = os.path.dirname(os.path.abspath(__file__))
FORMATS = os.path.join(HERE, "..", "..", "docs", "formats")
VECTORS = os.environ.get("IFAB_VECTORS") or os.path.join(HERE, "..", "vectors")
AGENT = nacl.signing.SigningKey(bytes(range(32, 64)))
OPERATOR = nacl.signing.SigningKey(bytes(range(64, 96)))
WHEN = "2025-11-12T10:21:00.000Z"
MESSAGE = "msg-01930000-0000-7000-8000-000000000000"


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def key_id(key):
    return "k-" + hashlib.sha256(bytes(key.verify_key)).hexdigest()[:16]


def dump(data, limit=None):
    """offset, 16 bytes in hex, text."""
    shown = data if limit is None else data[:limit]
    lines = []
    for at in range(0, len(shown), 16):
        part = shown[at:at + 16]
        text = "".join(chr(c) if 32 <= c < 127 else "." for c in part)
        lines.append(f"{at:04x}  {part.hex(' '):<47}  {text}")
    if len(shown) < len(data):
        lines.append(f"…     {len(data)} bytes in all")
    return "\n".join(lines)


def signed(domain, value, key, with_id):
    value["signature"] = {"algorithm": "ed25519", **({"key_id": key_id(key)} if with_id else {}), "pubkey": b64url(bytes(key.verify_key))}
    covered = domain + rfc8785.dumps(value)
    value["signature"]["sig"] = b64url(key.sign(covered).signature)
    return covered, rfc8785.dumps(value)


def example_json():
    text = '{"z": [true, null, 1E21], "é": "\\u20ac/\\u000a", "b": 1.50, "a": 0.000001, "n": -0.0000001}'
    canonical = rfc8785.dumps(json.loads(text))
    return f"{text}\n{canonical.decode()}\n{dump(canonical)}\n{sha(canonical)}"


def example_envelope():
    with open(os.path.join(VECTORS, "envelope", "good.json"), encoding="utf-8") as f:
        case = json.load(f)["cases"][0]
    covered = base64.b64decode(case["signed_bytes_base64"])
    assert hashlib.sha256(covered).hexdigest() == case["signed_bytes_sha256"]
    signature = json.loads(case["envelope"])["signature"]
    return f"{dump(covered, 96)}\nmessage_digest {sha(covered)}\npubkey {signature['pubkey']}\nsig {signature['sig']}"


def example_vote():
    vote = {"v": 1, "log": make_log.ORIGIN, "decision": MESSAGE, "message_digest": sha(b"message"), "policy_digest": sha(b"policy"),
            "verdict": "approve", "voter": "if://agent/operator", "why": "checked with the desk", "issued_at": WHEN,
            "expires_at": "2025-11-12T10:31:00.000Z", "nonce": b64url(bytes(range(16)))}
    covered, whole = signed(b"IF-VOTE-v1\n", vote, OPERATOR, True)
    return f"{dump(covered, 64)}\n{sha(covered)}\n{whole.decode()}"


def example_admin():
    body = b'{"name":"Demo.C","role":"operator"}'
    act = {"v": 1, "log": make_log.ORIGIN, "route": "POST /v1/talents", "body_digest": sha(body), "why": "second operator",
           "issued_at": WHEN, "nonce": b64url(bytes(range(16)))}
    covered, whole = signed(b"IF-ADMIN-v1\n", act, OPERATOR, False)
    return f"{body.decode()}\n{dump(covered, 64)}\n{sha(covered)}\nIF-Admin: {b64url(whole)}"


def example_entry():
    entry = make_log.entry(0, "0" * 64)
    return f"{entry.decode()}\nhash {sha(entry)}\nleaf {hashlib.sha256(bytes(1) + entry).hexdigest()}"


def log_of(size):
    entries, before = [], "0" * 64
    for i in range(size):
        entries.append(make_log.entry(i, before))
        before = hashlib.sha256(entries[-1]).hexdigest()
    return entries


def example_checkpoint():
    entries = log_of(3)
    leaves = [hashlib.sha256(b"\x00" + e).digest() for e in entries]
    bundle = b"".join(struct.pack(">H", len(e)) + e for e in entries)
    return (f"{make_log.note(3, make_log.root_of(leaves))}\n{make_log.vkey()}\ntile/0/000.p/3\n{dump(b''.join(leaves))}\n"
            f"tile/entries/000.p/3\n{dump(bundle, 32)}")


def note_key(key):
    """Hash and verifier key of a key of the log."""
    blob = b"\x01" + bytes(key.verify_key)
    short = hashlib.sha256(make_log.ORIGIN.encode() + b"\n" + blob).digest()[:4]
    return short, f"{make_log.ORIGIN}+{short.hex()}+{base64.b64encode(blob).decode()}"


def example_log_key():
    """Handover of the log of three entries to the agent's key; the admin's request and act."""
    root = make_log.root_of([hashlib.sha256(b"\x00" + e).digest() for e in log_of(3)])
    old, new = note_key(make_log.KEY), note_key(AGENT)
    text = f"IF-LOG-KEY-v1\n{make_log.ORIGIN}\n3\n{base64.b64encode(root).decode()}\n{old[1]}\n{new[1]}\n"
    lines = "".join(
        f"\u2014 {make_log.ORIGIN} {base64.b64encode(short + key.sign(text.encode()).signature).decode()}\n"
        for key, (short, _) in ((make_log.KEY, old), (AGENT, new))
    )
    request = rfc8785.dumps({"to": new[1]})
    act = {"v": 1, "log": make_log.ORIGIN, "route": "POST /v1/log-keys/rotate", "body_digest": sha(request), "why": "yearly",
           "issued_at": WHEN, "nonce": b64url(bytes(range(16)))}
    _, whole = signed(b"IF-ADMIN-v1\n", act, OPERATOR, True)
    return f"{text}\n{lines}\n{request.decode()}\n{whole.decode()}"


def example_store():
    """Little-endian packed rows: a replay tag, a strict sequence, a bucket, the fabric's own record."""
    tag = bytes(range(16)) + bytes(range(16, 32)) + struct.pack("<qQIB3x", 1762942920000000, 7, 2, 3)
    sequence = struct.pack("<BIIQqB", 1, 2, 1, 142, 1762942980000000, 0) + bytes([2]) + b"42"
    bucket = struct.pack("<IIIqq", 2, 19, 20, 5000000, 0)
    meta = struct.pack("<qqqQQqQ", 1762942860000000, 5000000, -(1 << 63), 9, 0, 0, 0) + hashlib.sha256(b"rules").digest()
    rows = {"tag": tag, "sequence": sequence, "bucket": bucket, "meta": meta}
    return "\n".join(f"{name} {len(row)}\n{dump(row)}" for name, row in rows.items())


def example_export():
    entries = log_of(257)
    leaves = [hashlib.sha256(b"\x00" + e).digest() for e in entries]
    upper = make_log.root_of(leaves[:256])
    return (f"tile/0/000 {32 * 256}\ntile/0/001.p/1 32\ntile/1/000.p/1 32\n{dump(upper)}\n"
            f"tile/entries/000 {sum(2 + len(e) for e in entries[:256])}\ntile/entries/001.p/1 {2 + len(entries[256])}\n"
            f"checkpoint {len(make_log.note(257, make_log.root_of(leaves)).encode())}\n{make_log.note(257, make_log.root_of(leaves))}")


def example_keys():
    der = bytes.fromhex("302e020100300506032b657004220420") + bytes(AGENT)
    spki = bytes.fromhex("302a300506032b6570032100") + bytes(AGENT.verify_key)
    short = make_log.vkey().split("+")[1]
    skey = f"PRIVATE+KEY+{make_log.ORIGIN}+{short}+{base64.b64encode(bytes([1]) + bytes(make_log.KEY)).decode()}"
    def pem(kind, data):
        return f"-----BEGIN {kind} KEY-----\n{base64.b64encode(data).decode()}\n-----END {kind} KEY-----\n"
    return (f"seed {bytes(AGENT).hex()}\n{dump(der)}\n{pem('PRIVATE', der)}{pem('PUBLIC', spki)}"
            f"pubkey {b64url(bytes(AGENT.verify_key))}\nkey_id {key_id(AGENT)}\n{skey}\n{make_log.vkey()}")


def example_token_invite():
    """A token, an invite, an enrolment: the secrets are fixed here and random in earnest."""
    secret = "ift_" + b64url(bytes(range(32)))
    code = base64.b32encode(bytes(range(20))).decode()
    code = "-".join(code[i:i + 4] for i in range(0, 32, 4))
    token = {"created_at": WHEN, "expires_at": "2025-11-12T11:21:00.000Z", "hash": sha(secret.encode()),
             "id": "tok-01930000-0000-7000-8000-000000000000", "name": "laptop", "role": "agent", "talent": "Demo.A", "v": 1}
    invite = {"created_at": WHEN, "expires_at": "2025-11-12T11:21:00.000Z", "hash": sha(code.encode()),
              "id": "inv-01930000-0000-7000-8000-000000000000", "name": "Demo.C", "owner": "Team.Two", "role": "agent",
              "role_name": "analyst", "v": 1}
    pub = b64url(bytes(AGENT.verify_key))
    covered = b"IF-ENROLL-v1\n" + rfc8785.dumps({"code": code, "log": make_log.ORIGIN, "pubkey": pub, "v": 1})
    body = {"code": code, "pubkey": pub, "proof": b64url(AGENT.sign(covered).signature)}
    return (f"Authorization: Bearer {secret}\n{rfc8785.dumps(token).decode()}\n{code}\n{rfc8785.dumps(invite).decode()}\n"
            f"{dump(covered)}\n{rfc8785.dumps(body).decode()}")


def example_capability():
    manifest = {
        "id": "if://capability/vmix.switcher", "version": "1.1.0", "summary": "Switches scenes",
        "entrypoint": {"module": "vmix/switcher.wasm", "sha256": sha(b"\0asm\1\0\0\0"), "size": 8, "abi": 1},
        "operations": {"take": {"effect": "write", "cost_estimate": {"usd_micro": 1500}, "idempotent": True,
                                "params": {"type": "object", "properties": {"scene": {"type": "string", "maxLength": 40}}, "required": ["scene"]}}},
        "imports": ["log", "http"], "scopes": ["studio:control"], "limits": {"rps": 3, "burst": 6},
        "http": [{"scheme": "https", "host": "vmix.example", "port": 8088, "path": "/api/*", "methods": ["GET", "POST"]}],
    }
    covered, text = signed(b"IF-MANIFEST-v1\n", manifest, AGENT, True)
    return f"{dump(text, 96)}\n\nsigned bytes: {len(covered)}, digest {sha(covered)}"


def example_money():
    """Records of the governor, packed by hand, and the cost of an entry priced by the table."""
    budget = {"created_at": WHEN, "id": "a-day", "limit": 1000, "name": "Demo.A", "period": "day", "subject": "talent", "unit": "usd_micro", "v": 1,
              "version": 1}
    day, at = 1762905600000000, 1762942860000000
    state = struct.pack("<qQQQqB", day, 100, 0, 400, at, 0)
    reservation = bytes([1, 0]) + bytes.fromhex("0193000000007000800000000000000a") + bytes.fromhex("01930000000070008000000000000001")
    reservation += struct.pack("<IqqQQQQ", 2, at, 300000000, 7, 400, 0, 0)
    reservation += b"".join(bytes([len(n)]) + n for n in (b"openai", b"", b"Demo.A", b"")) + bytes([1]) + struct.pack("<Qq", 5, day)
    breaker = bytes([1, 2, 1, 1]) + struct.pack("<IqqQ", 3, 5000000, 0, 9) + bytes([5]) + b"alpha" + bytes([1, 1]) + struct.pack("<BI", 0, 1500)
    table = {"rows": [{"from": "2025-01-01T00:00:00.000Z", "in_usd_micro_per_mtok": 3000000, "model": "claude-sonnet-4.5",
                       "out_usd_micro_per_mtok": 15000000, "provider": "anthropic"}], "v": 1}
    tokens = (12000, 801)
    usd = -(-(tokens[0] * 3000000 + tokens[1] * 15000000) // 10**6)
    cost = {"calls": 1, "model": "claude-sonnet-4.5", "rates": sha(rfc8785.dumps(table)), "tokens_in": tokens[0], "tokens_out": tokens[1], "usd_micro": usd}
    rows = {"state": state, "reservation": reservation, "breaker": breaker}
    return (f"{rfc8785.dumps(budget).decode()}\n" + "\n".join(f"{name} {len(row)}\n{dump(row)}" for name, row in rows.items()) +
            f"\n{rfc8785.dumps(table).decode()}\n{sha(rfc8785.dumps(table))}\n{rfc8785.dumps(cost).decode()}")


EXAMPLES = {"money": example_money, "token-invite": example_token_invite, "json": example_json, "envelope": example_envelope, "decision-receipt-vote": example_vote, "admin-act": example_admin,
            "witness-entry": example_entry, "checkpoint-tiles": example_checkpoint, "store": example_store, "export": example_export, "capability": example_capability, "log-key": example_log_key,
            "keys": example_keys}


def main():
    if sys.argv[1:] == ["--check"]:
        bad = 0
        for name, make in EXAMPLES.items():
            with open(os.path.join(FORMATS, name + ".md"), encoding="utf-8") as f:
                page = f.read().splitlines()
            missing = [line for line in make().splitlines() if line.strip() and line.rstrip() not in [p.rstrip() for p in page]]
            bad += len(missing)
            for line in missing:
                print(f"docs/formats/{name}.md lacks: {line}")
        return 1 if bad else 0
    if len(sys.argv) != 2 or sys.argv[1] not in EXAMPLES:
        print("usage: examples.py --check |", " | ".join(EXAMPLES), file=sys.stderr)
        return 2
    print(EXAMPLES[sys.argv[1]]())
    return 0


if __name__ == "__main__":
    sys.exit(main())

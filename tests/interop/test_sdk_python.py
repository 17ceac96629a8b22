"""The Python SDK without a daemon: pure parts against vectors, the sending rules against a small false fabric on a Unix socket.

    python3 tests/interop/test_sdk_python.py        (needs rfc8785, PyNaCl and cryptography)
"""
import base64
import copy
import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "sdk", "python"))
try:
    import cryptography  # noqa: F401: for encrypted keys
    import nacl.signing
    import rfc8785
    from infrafabric import Fabric, InvalidMessage, OutcomeUnknown, Refused, Unreachable, VerifyError, verify
    from infrafabric import enrol, envelope, fabric as fabric_module, wire
    from infrafabric.verify import read_checkpoint, read_vkey, root_from
except ImportError as e:
    print(f"1..0 # SKIP {e}")
    sys.exit(0)

VECTORS = os.environ.get("IFAB_VECTORS") or os.path.join(ROOT, "tests", "vectors")
LOG_KEY = nacl.signing.SigningKey(bytes(range(32)))
AGENT_KEY = nacl.signing.SigningKey(bytes(range(32, 64)))
ORIGIN = "infrafabric.local/main/0badcafe"


def sha256(data):
    return hashlib.sha256(data).digest()


def make_vkey(name=ORIGIN, key=LOG_KEY):
    blob = b"\x01" + bytes(key.verify_key)
    return f"{name}+{sha256(name.encode() + chr(10).encode() + blob)[:4].hex()}+{base64.b64encode(blob).decode()}"


def make_note(size, root, name=ORIGIN, key=LOG_KEY, origin=None):
    text = f"{origin or name}\n{size}\n{base64.b64encode(root).decode()}\n"
    short = bytes.fromhex(make_vkey(name, key).split("+")[1])
    return text + f"\n\u2014 {name} {base64.b64encode(short + key.sign(text.encode()).signature).decode()}\n"


def tree(leaves):
    """RFC 6962 2.1, word for word: the slow reference."""
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + tree(leaves[:k]) + tree(leaves[k:]))


def path(m, leaves):
    if len(leaves) == 1:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m < k:
        return path(m, leaves[:k]) + [tree(leaves[k:])]
    return path(m - k, leaves[k:]) + [tree(leaves[:k])]


def make_receipt(index=3, size=7, decision="SHARE", message="msg-01930000-0000-7000-8000-000000000000", digest="sha256:" + "ab" * 32):
    entries = [rfc8785.dumps({"index": i, "log": "main", "subject": message if i == index else "x",
                              "payload": {"id": message, "decision": decision, "message_digest": digest, "reason": ""}})
               for i in range(size)]
    leaves = [sha256(b"\x00" + e) for e in entries]
    return {"id": message, "decision": decision, "message_digest": digest, "reason": "",
            "entry": {"log": "main", "index": index, "hash": "sha256:" + sha256(entries[index]).hex()},
            "checkpoint": make_note(size, tree(leaves)),
            "proof": {"index": index, "size": size, "leaf": leaves[index].hex(), "path": [p.hex() for p in path(index, leaves)],
                      "entry": entries[index].decode()}}


class Envelopes(unittest.TestCase):
    def test_signed_bytes_equal_the_vectors(self):
        with open(os.path.join(VECTORS, "envelope", "good.json"), encoding="utf-8") as f:
            good = json.load(f)
        self.assertGreater(len(good["cases"]), 0)
        keys = {k["pubkey"]: nacl.signing.SigningKey(bytes.fromhex(k["seed_hex"])) for k in good["keys"]}
        for case in good["cases"]:
            with self.subTest(case["name"]):
                message = envelope.loads(case["envelope"])
                signed = envelope.signed_bytes(message)
                self.assertEqual(base64.b64decode(case["signed_bytes_base64"]), signed)
                self.assertEqual(case["signed_bytes_sha256"], sha256(signed).hex())
                envelope.check(message, message["signature"]["pubkey"])
                key = keys[message["signature"]["pubkey"]]
                self.assertEqual(message["signature"]["sig"], envelope.b64url(key.sign(signed).signature))

    def test_any_changed_field_fails_the_check(self):
        message = {"id": "msg-1", "content": {"claim": "a", "confidence": {"raw": .5}}}
        envelope.sign(message, AGENT_KEY)
        pub = bytes(AGENT_KEY.verify_key)
        envelope.check(message, pub)
        for change in ({"id": "msg-2"}, {"content": {"claim": "b", "confidence": {"raw": .5}}}, {"more": 1}):
            with self.assertRaises(VerifyError):
                envelope.check({**message, **change}, pub)
        with self.assertRaises(VerifyError):
            envelope.check(message, bytes(LOG_KEY.verify_key))
        with self.assertRaises(VerifyError):
            envelope.check({"id": "msg-1"}, pub)

    def test_ids_have_their_form(self):
        seen = {envelope.uuid7() for _ in range(1000)}
        self.assertEqual(1000, len(seen))
        for i in seen:
            self.assertRegex(i, r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")

    def test_duplicate_names_are_refused(self):
        with self.assertRaises(ValueError):
            envelope.loads('{"a":1,"a":2}')

    def test_key_files(self):
        with tempfile.TemporaryDirectory() as d:
            file = os.path.join(d, "k.pem")
            der = envelope.PKCS8_ED25519 + bytes(AGENT_KEY)
            pem = "-----BEGIN PRIVATE KEY-----\n" + base64.b64encode(der).decode() + "\n-----END PRIVATE KEY-----\n"
            encrypted = pem.replace("PRIVATE", "ENCRYPTED PRIVATE")  # says so, and is not
            for text, mode, error in ((pem, 0o600, None), (pem, 0o644, PermissionError), (encrypted, 0o600, ValueError),
                                      (pem.replace("MC4C", "MC4D"), 0o600, ValueError), ("", 0o600, ValueError)):
                with open(file, "w", encoding="ascii") as f:
                    f.write(text)
                os.chmod(file, mode)
                if error is None:
                    self.assertEqual(bytes(AGENT_KEY), bytes(envelope.load_key(file)))
                else:
                    self.assertRaises(error, envelope.load_key, file)


    def test_encrypted_key_files(self):
        with tempfile.TemporaryDirectory() as d:
            ours, theirs = os.path.join(d, "k.pem"), os.path.join(d, "o.pem")
            key = enrol.new_key(ours, "a passphrase")
            self.assertEqual(0o600, os.stat(ours).st_mode & 0o777)
            with open(ours, encoding="ascii") as f:
                self.assertTrue(f.read().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"))
            self.assertEqual(bytes(key), bytes(envelope.load_key(ours, "a passphrase")))
            self.assertEqual(bytes(key), bytes(enrol.new_key(ours, "a passphrase")))  # a lost answer: the same key again
            self.assertRaises(ValueError, enrol.new_key, ours)
            for wrong in ("another", "", None):
                self.assertRaises(ValueError, envelope.load_key, ours, wrong)
            self.assertEqual(bytes(key), bytes(Fabric("http://127.0.0.1:1", "A", ours, passphrase="a passphrase")._key))
            # as other programs write them, and of other kinds
            for kind, cipher, good in (("ED25519", "-aes256", True), ("ED25519", "-aes128", True), ("X25519", "-aes256", False), ("RSA", "-aes256", False)):
                subprocess.run(["openssl", "genpkey", "-algorithm", kind, cipher, "-pass", "pass:x y", "-out", theirs], check=True, capture_output=True)
                os.chmod(theirs, 0o600)
                if good:
                    shown = subprocess.run(["openssl", "pkey", "-in", theirs, "-passin", "pass:x y", "-outform", "der"], check=True, capture_output=True)
                    self.assertEqual(shown.stdout[-32:], bytes(envelope.load_key(theirs, "x y")))
                else:
                    self.assertRaises(ValueError, envelope.load_key, theirs, "x y")


class Receipts(unittest.TestCase):
    def test_every_place_of_small_trees_verifies(self):
        for size in range(1, 34):
            for index in range(size):
                entry = verify(make_receipt(index, size), make_vkey())
                self.assertEqual(index, entry["index"])

    def test_any_change_fails(self):  # INV-05: alteration is noticed
        good = make_receipt()
        changes = [("decision", "DENY"), ("id", "msg-x"), ("reason", "other"), ("rule", "other"), ("trace", "other"), ("expires_at", ""),
                   ("message_digest", "sha256:" + "ac" * 32),
                   ("checkpoint", good["checkpoint"].replace("\n7\n", "\n8\n")), ("checkpoint", make_note(7, bytes(32))),
                   ("checkpoint", make_note(7, bytes(32), key=AGENT_KEY)), ("checkpoint", ""), ("proof", {})]
        for name, value in changes:
            with self.subTest(name), self.assertRaises(VerifyError):
                verify({**good, name: value}, make_vkey())
        steps, text = good["proof"]["path"], good["proof"]["entry"]
        for part, name, value in (("proof", "index", 2), ("proof", "size", 8), ("proof", "leaf", "00" * 32), ("proof", "path", steps[1:]),
                                  ("proof", "path", steps + ["00" * 32]), ("proof", "path", steps[::-1]),
                                  ("proof", "path", [s.upper() for s in steps]), ("proof", "path", [" " + s for s in steps]),
                                  ("proof", "entry", text.replace(",", ", ", 1)), ("proof", "entry", text + " "),
                                  ("proof", "entry", text.replace("SHARE", "DENY")), ("entry", "index", 2), ("entry", "log", "other"),
                                  ("entry", "hash", "00" * 32)):
            bad = copy.deepcopy(good)
            bad[part][name] = value
            with self.subTest(f"{part}.{name}"), self.assertRaises(VerifyError):
                verify(bad, make_vkey())

    def test_bound_to_the_message(self):
        message = {"id": "msg-1", "content": {"claim": "a", "confidence": {"raw": .5}}}
        body = envelope.sign(message, AGENT_KEY)
        receipt = make_receipt(message="msg-1", digest=envelope.message_digest(message))
        for same in (message, body, body.decode(), json.dumps(message, indent=1)):
            self.assertEqual(3, verify(receipt, make_vkey(), envelope=same)["index"])
        other, forged, unnamed = {**message, "content": {"claim": "b"}}, copy.deepcopy(message), copy.deepcopy(message)
        envelope.sign(other, AGENT_KEY)
        forged["signature"]["sig"] = envelope.b64url(bytes(64))
        del unnamed["id"]
        for bad in (other, forged, unnamed, {}, [], b"", "{}", 5, body + b"x"):
            with self.subTest(bad), self.assertRaises(VerifyError):
                verify(receipt, make_vkey(), envelope=bad)
        with self.assertRaisesRegex(VerifyError, "about another message"):
            verify(make_receipt(), make_vkey(), envelope=message)
        with self.assertRaises(VerifyError):  # a message that binds makes no bad receipt good
            verify({**receipt, "decision": "DENY"}, make_vkey(), envelope=message)

    def test_receipt_without_proof_is_not_verified(self):
        good = make_receipt()
        del good["proof"]
        with self.assertRaises(VerifyError):
            verify(good, make_vkey())

    def test_verifier_keys(self):
        name, _, key = read_vkey(make_vkey())
        self.assertEqual((ORIGIN, bytes(LOG_KEY.verify_key)), (name, key))
        good = make_vkey()
        other = make_vkey(key=AGENT_KEY).split("+", 2)
        for bad in ("", "a+b", good.replace("0badcafe", "0badcaff"), good[:-8], "+".join(other[:2] + good.split("+", 2)[2:])):
            with self.assertRaises((VerifyError, ValueError)):
                read_vkey(bad)

    def test_note_of_the_signed_note_specification(self):
        """The example of golang.org/x/mod/sumdb/note: same format, foreign signer."""
        vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
        self.assertEqual("PeterNeumann", read_vkey(vkey)[0])

    def test_checkpoint_of_another_origin_is_refused(self):
        with self.assertRaises(VerifyError):
            read_checkpoint(make_note(7, bytes(32), origin="elsewhere"), make_vkey())

    def test_root_needs_the_whole_path(self):
        leaves = [sha256(bytes([i])) for i in range(5)]
        self.assertEqual(tree(leaves), root_from(4, 5, leaves[4], path(4, leaves)))
        for bad in ([], path(4, leaves) * 2):
            with self.assertRaises(VerifyError):
                root_from(4, 5, leaves[4], bad)


class FalseFabric:
    """Answers each POST by the next row of a script: a dict (status, body), or "drop" = read the request, close without an answer."""

    def __init__(self, folder, script, last_seq=None):
        self.path = os.path.join(folder, "s")
        self.script, self.last_seq, self.posts, self.gets, self.concurrent, self.most = list(script), last_seq, [], [], 0, 0
        self.decided = None  # whose decision is told; None: the one that was asked for
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(self.path)
        self.socket.listen(64)
        self.lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                link, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link):
        with link, link.makefile("rb") as f:
            method, target, _ = f.readline().decode().split(" ")
            headers = {}
            while (line := f.readline().strip()):
                k, v = line.decode().split(": ", 1)
                headers[k.lower()] = v
            body = f.read(int(headers.get("content-length", 0)))
            if method == "GET":
                self.gets.append(target)
                status, value, extra = self._get(target)
            else:
                with self.lock:
                    self.concurrent += 1
                    self.most = max(self.most, self.concurrent)
                    self.posts.append((headers.get("idempotency-key"), body))
                    step = self.script.pop(0) if self.script else (200, {"decision": "SHARE"})
                threading.Event().wait(.01)
                with self.lock:
                    self.concurrent -= 1
                if step == "drop":
                    return
                if step == "cut":  # the head, and less of the body than it announces
                    return link.sendall(b"HTTP/1.1 200 X\r\nContent-Length: 40\r\n\r\n")
                if step == "head":
                    return link.sendall(b"HTTP/1.1 200 X\r\nContent-")
                if step == "half":
                    return link.sendall(b'HTTP/1.1 200 X\r\nContent-Length: 40\r\n\r\n{"decision":"SHARE"}')
                if step == "none":
                    return link.sendall(b"HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\n{}")
                status, value, extra = step[0], step[1], "Idempotent-Replayed: true\r\n" if len(step) > 2 else ""
                if "decision" in value:
                    message = json.loads(body)
                    value = {"id": message["id"], "message_digest": envelope.message_digest(message), "reason": "r", **value}
            data = json.dumps(value).encode()
            link.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: {len(data)}\r\n{extra}\r\n".encode() + data)

    def _get(self, target):
        if "/sequences" in target and self.last_seq is not None:
            return 200, {"items": [{"sender": "if://agent/Demo.A", "epoch": 1, "last_seq": self.last_seq}], "next": None}, ""
        if target.startswith("/v1/decisions/"):
            return 200, {"id": self.decided or target.split("/")[3].split("?")[0], "decision": "SHARE", "reason": "released", "state": "decided"}, ""
        if target.startswith("/v1/messages/"):
            return 200, {"id": target.split("/")[3].split("?")[0], "decision": "SHARE", "reason": "released"}, ""
        if target.startswith("/v1/inbox"):
            message = {"id": "msg-1", "sender": "if://agent/Demo.A", "conversation_id": "conv-1", "performative": "inform",
                       "topic_hash": "sha256:00", "content": {"claim": "hello"}}
            item = {"cursor": "c1", "envelope": message, "decision": {"decision": "SHARE"}, "entry": {"index": 1}}
            return 200, {"items": [] if "after=c1" in target else [item], "next": None}, ""
        return 404, {"error": {"code": "IF_ERR_404", "name": "NOT_FOUND", "message": "no such thing", "hint": ""}}, ""

    def close(self):
        self.socket.close()


class Sending(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        os.environ["XDG_STATE_HOME"] = self.folder.name
        self.addCleanup(self.folder.cleanup)
        self.addCleanup(setattr, fabric_module, "DELAYS", fabric_module.DELAYS)
        fabric_module.DELAYS = (.001,)

    def fabric(self, *script, last_seq=None, **options):
        self.server = FalseFabric(self.folder.name, script, last_seq)
        self.addCleanup(self.server.close)
        return Fabric("unix:" + self.server.path, talent="Demo.A", key=bytes(AGENT_KEY), **options)

    def test_sends_a_whole_signed_envelope(self):
        receipt = self.fabric().send("hello", confidence=.9, to="Demo.B", scope={"a": 1})
        self.assertTrue(receipt.shared)
        key, body = self.server.posts[0]
        message = json.loads(body)
        envelope.check(message, bytes(AGENT_KEY.verify_key))
        self.assertEqual(rfc8785.dumps(message), body)
        self.assertEqual((key, "if://agent/Demo.B", 60), (message["id"], message["receiver"], message["ttl_s"]))
        self.assertEqual({"raw": .9, "normalized": .9}, message["content"]["confidence"])
        self.assertRegex(message["issued_at"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

    def test_decisions_are_values_and_refusals_are_raised(self):
        f = self.fabric((403, {"decision": "DENY"}), (202, {"decision": "HOLD"}), (202, {"decision": "ESCALATE"}),
                        (401, {"error": {"code": "IF_ERR_106", "name": "UNKNOWN_SENDER", "message": "m", "hint": "h"}}))
        self.assertTrue(f.send("x").denied)
        self.assertTrue(f.send("x").held)
        self.assertTrue(f.send("x").escalated)
        with self.assertRaises(Refused) as caught:
            f.send("x")
        e = caught.exception
        self.assertEqual(("106", "UNKNOWN_SENDER", "m", "h"), (e.code, e.name, e.message, e.hint))
        self.assertEqual(4, len(self.server.posts))

    def test_lost_connection_sends_the_same_bytes_again(self):
        f = self.fabric("drop", "drop", (200, {"decision": "SHARE"}, "replayed"))
        receipt = f.send("x")
        self.assertTrue(receipt.shared and receipt.replayed)
        self.assertEqual(3, len(self.server.posts))
        self.assertEqual(1, len(set(self.server.posts)))

    def test_answer_cut_short_is_a_lost_one(self):
        f = self.fabric("head", "cut", "half", "none", (200, {"decision": "SHARE"}, "replayed"))
        self.assertTrue(f.send("x").replayed)
        self.assertEqual((5, 1), (len(self.server.posts), len(set(self.server.posts))))

    def test_an_answer_about_another_message_is_no_answer_to_this_one(self):
        error = {"error": {"code": "IF_ERR_003", "name": "N", "message": "m", "hint": "h"}}
        others = ({"id": "msg-01930000-0000-7000-8000-000000000000"}, {"id": None}, {"message_digest": "sha256:" + "00" * 32}, {"message_digest": None},
                  {"decision": "share"}, {"decision": None})
        for other in others:
            with self.subTest(other):
                row = (200, {"decision": "SHARE", **other})
                f = self.fabric(row, row, (202, {"decision": "HOLD"}), retries=2)
                self.assertTrue(f.send("x").held)
                self.assertEqual((3, 1), (len(self.server.posts), len(set(self.server.posts))))
                self.server.script += [row] * 3
                with self.assertRaisesRegex(OutcomeUnknown, "neither a decision about this message nor an error"):
                    f.send("x")
            self.server.close()
            os.unlink(self.server.path)
        f = self.fabric((200, {"decision": "SHARE", **error}))
        self.assertRaises(Refused, f.send, "x")
        self.assertEqual(1, len(self.server.posts))

    def test_an_old_genuine_receipt_is_no_answer(self):
        f = self.fabric(retries=1)
        old = f.send("first").raw
        self.server.script += [(200, old), (200, old)]
        self.assertRaises(OutcomeUnknown, f.send, "second")
        self.assertEqual(3, len(self.server.posts))

    def test_no_message_or_another_one_is_not_sent(self):
        f = self.fabric()
        sent = f.send("x").envelope
        bytes_ = rfc8785.dumps(sent)
        for body in (b"", b"{}", b"[]", b"1", b'{"id":1,"id":1,"signature":{}}', b'{"signature":{"sig":"x"},"n":NaN}', bytes_[:-1]):
            with self.subTest(body), self.assertRaises(InvalidMessage):
                f.send_bytes(sent["id"], body)
        with self.assertRaises(InvalidMessage) as caught:
            f.send_bytes("msg-1", bytes_)
        self.assertEqual(("id", "101"), (caught.exception.field, caught.exception.code))
        for unsaid in ({"n": float("nan")}, {"n": 1 << 60}, {"n": object()}):
            self.assertRaises(InvalidMessage, f.send, "x", data=unsaid)
        self.assertEqual(1, len(self.server.posts))
        self.assertTrue(f.send_bytes(sent["id"], bytes_).shared)
        self.assertEqual(self.server.posts[0], self.server.posts[1])

    def test_retryable_refusals_are_retried_and_others_are_not(self):
        for code in (302, 303, 304, 305, 500, 502, 503, 504):
            error = {"code": f"IF_ERR_{code}", "name": "N", "message": "", "hint": "", "retryable": True, "retry_after_ms": 1}
            f = self.fabric((503, {"error": error}))
            self.assertTrue(f.send("x").shared)
            self.assertEqual(1, len(set(self.server.posts)))
            self.server.close()
            os.unlink(self.server.path)

    def test_gives_up_with_what_is_needed_to_go_on(self):
        f = self.fabric(*["drop"] * 3, retries=2)
        with self.assertRaises(OutcomeUnknown) as caught:
            f.send("x")
        self.assertEqual(self.server.posts[0], (caught.exception.id, caught.exception.body))

    def test_expiry_after_a_lost_answer_is_no_refusal(self):
        f = self.fabric("drop", (400, {"error": {"code": "IF_ERR_102", "name": "EXPIRED_MESSAGE", "message": "", "hint": ""}}))
        self.assertRaises(OutcomeUnknown, f.send, "x")

    def test_refusal_after_a_lost_answer_may_hide_an_acceptance(self):
        for code, retryable in (("004", False), ("304", True), ("106", False)):
            error = {"code": f"IF_ERR_{code}", "name": "N", "message": "", "hint": "", "retryable": retryable, "retry_after_ms": 1}
            f = self.fabric("drop", *[(401, {"error": error})] * 2, retries=2)
            self.assertRaises(OutcomeUnknown, f.send, "x")
            self.server.close()
            os.unlink(self.server.path)

    def test_nobody_there_is_said(self):
        f = Fabric("unix:" + os.path.join(self.folder.name, "none"), talent="Demo.A", key=bytes(AGENT_KEY))
        with self.assertRaises(Unreachable) as caught:
            f.send("x")
        self.assertIn("No fabric answers at unix:", str(caught.exception))

    def test_sequence_grows_over_threads_objects_and_what_the_fabric_saw(self):
        last = 1 << 52
        f = self.fabric(last_seq=last)
        threads = [threading.Thread(target=f.send, args=("x",)) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        Fabric("unix:" + self.server.path, talent="Demo.A", key=bytes(AGENT_KEY)).send("y")
        sequence = [json.loads(body)["seq"] for _, body in self.server.posts]
        self.assertEqual(list(range(last + 1, last + 10)), sequence)
        self.assertEqual(1, self.server.most)

    def test_waits_for_a_decision(self):
        receipt = self.fabric((202, {"decision": "ESCALATE"})).send("x", wait=5)
        self.assertEqual(("SHARE", "released"), (receipt.decision, receipt.reason))
        self.server.close()
        os.unlink(self.server.path)
        f = self.fabric((202, {"decision": "ESCALATE"}))
        self.server.decided = "msg-01930000-0000-7000-8000-000000000000"
        self.assertTrue(f.send("x", wait=.3).escalated)  # what was decided about another message says nothing about this one
        self.assertGreater(len(self.server.gets), 1)

    def test_inbox(self):
        f = self.fabric()
        message, = f.inbox()
        self.assertEqual(("hello", "if://agent/Demo.A", "SHARE", "c1"), (message.claim, message.sender, message.decision, message.cursor))
        self.assertEqual([], f.inbox(after="c1"))
        self.assertEqual("c1", next(f.inbox(follow=True)).cursor)
        self.assertIn("as=Demo.A", self.server.gets[0])
        f.send("thanks", reply_to=message, performative="agree")
        reply = json.loads(self.server.posts[0][1])
        self.assertEqual(("conv-1", "if://agent/Demo.A"), (reply["conversation_id"], reply["receiver"]))


class Contexts(unittest.TestCase):
    def test_a_key_that_cannot_be_used_is_named(self):
        with tempfile.TemporaryDirectory() as d:
            saved = dict(os.environ)
            self.addCleanup(lambda: (os.environ.clear(), os.environ.update(saved)))
            for name in ("IFAB_ENDPOINT", "IFAB_AS", "IFAB_KEY", "IFAB_TOKEN_FILE", "IFAB_CA", "IFAB_CERT"):
                os.environ.pop(name, None)
            os.environ.update({"IFAB_DIR": d, "XDG_CONFIG_HOME": d})
            path = os.path.join(d, "keys", "A.pem")
            with self.assertRaisesRegex(ValueError, f"{path}: no such file; IFAB_DIR is {d}"):
                Fabric.context(talent="A").send("x")
            with self.assertRaisesRegex(FileNotFoundError, f"{d}/b.pem: no such file; IFAB_DIR is {d}"):
                Fabric.context(talent="A", key=d + "/b.pem")
            os.mkdir(os.path.dirname(path))
            with open(path, "w", encoding="ascii") as f:
                f.write("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
            os.chmod(path, 0o600)
            with self.assertRaisesRegex(ValueError, f"{path} is encrypted: "):
                Fabric.context(talent="A").send("x")
            with self.assertRaisesRegex(ValueError, f"{path} is encrypted: "):
                Fabric.context(talent="A", key=path)
            os.remove(path)
            key = enrol.new_key(path, "secret")
            self.assertEqual(bytes(key), bytes(Fabric.context(talent="A", passphrase="secret")._key))
            self.assertIsNone(Fabric.context(talent="A")._key)  # it may read all the same

    def test_order_of_places(self):
        with tempfile.TemporaryDirectory() as d:
            os.makedirs(os.path.join(d, "infrafabric"))
            with open(os.path.join(d, "infrafabric", "contexts.json"), "w", encoding="ascii") as f:
                json.dump({"current": "one", "contexts": {"one": {"dir": "/one", "as": "A", "key": "/k"}}}, f)
            saved = dict(os.environ)
            self.addCleanup(lambda: (os.environ.clear(), os.environ.update(saved)))
            for name in ("IFAB_ENDPOINT", "IFAB_DIR", "IFAB_AS", "IFAB_KEY", "IFAB_TOKEN_FILE", "IFAB_CA", "IFAB_CERT"):
                os.environ.pop(name, None)

            def found(*names, **given):
                all_of_them = wire.from_context(**given)
                return tuple(all_of_them[name] for name in names or ("endpoint", "talent", "key", "token"))
            os.environ.update({"XDG_CONFIG_HOME": d, "XDG_DATA_HOME": "/data"})
            self.assertEqual(("unix:/one/run/ifd.sock", "A", "/k", None), found())
            os.environ.update({"IFAB_DIR": "/two", "IFAB_AS": "B"})
            self.assertEqual(("unix:/two/run/ifd.sock", "B", "/k", None), found())
            os.environ["IFAB_KEY"] = "/b"
            self.assertEqual(("B/1", "/b"), found("talent", "key", talent="B/1"))
            self.assertEqual(("C", "/k"), found("talent", "key", talent="C"))  # B's key is not C's
            del os.environ["IFAB_KEY"]
            os.makedirs(os.path.join(d, "four", "keys"))
            for kind, there in (("", True), ("ENCRYPTED ", False)):
                own = os.path.join(d, "four", "keys", "D.pem")
                with open(own, "w", encoding="ascii") as f:
                    f.write(f"-----BEGIN {kind}PRIVATE KEY-----\n")
                self.assertEqual(there, bool(wire._own_key(own)))
                self.assertEqual(own, wire._own_key(own, True))
            os.environ["IFAB_ENDPOINT"] = "http://127.0.0.1:1"
            self.assertEqual("http://127.0.0.1:1", found("endpoint")[0])
            self.assertEqual("unix:/three/run/ifd.sock", found("endpoint", directory="/three")[0])
            os.environ["XDG_CONFIG_HOME"] = "/nowhere"
            del os.environ["IFAB_DIR"], os.environ["IFAB_ENDPOINT"]
            self.assertEqual("unix:/data/infrafabric/run/ifd.sock", found("endpoint")[0])

    def test_what_a_context_holds_goes_to_its_own_fabric_alone(self):
        with tempfile.TemporaryDirectory() as d:
            os.makedirs(os.path.join(d, "infrafabric"))
            for name in ("token", "other"):
                with open(os.path.join(d, name), "w", encoding="ascii") as f:
                    f.write(name + "\n")
            one = {"endpoint": "https://one:1", "as": "A", "token_file": d + "/token", "ca": "/ca", "cert": "/c", "cert_key": "/ck"}
            with open(os.path.join(d, "infrafabric", "contexts.json"), "w", encoding="ascii") as f:
                json.dump({"current": "one", "contexts": {"one": one}}, f)
            saved = dict(os.environ)
            self.addCleanup(lambda: (os.environ.clear(), os.environ.update(saved)))
            for name in [name for name in os.environ if name.startswith("IFAB_")]:
                del os.environ[name]
            os.environ.update({"XDG_CONFIG_HOME": d, "XDG_DATA_HOME": "/data"})

            def held(**given):
                found = wire.from_context(**given)
                return found["token"], found["ca"], found["cert"]

            self.assertEqual(("token", "/ca", ("/c", "/ck")), held())
            self.assertEqual(("token", "/ca", ("/c", "/ck")), held(endpoint="https://one:1"))
            self.assertEqual((None, None, None), held(endpoint="https://two:1"))
            self.assertEqual((None, None, None), held(directory="/three"))
            os.environ["IFAB_ENDPOINT"] = "https://four:1"
            self.assertEqual((None, None, None), held())
            os.environ.update({"IFAB_TOKEN_FILE": d + "/other", "IFAB_CA": "/oca", "IFAB_CERT": "/oc"})
            self.assertEqual(("other", "/oca", ("/oc", None)), held())
            del os.environ["IFAB_ENDPOINT"]
            self.assertEqual(("other", "/oca", ("/oc", None)), held())  # never one's certificate with another's key

    def test_other_schemes_are_refused(self):
        for bad in ("https://h", "http://h", "/path", "http://h:1", "http://h:1/x", "http://127.0.0.1.example:1", "ftp://127.0.0.1:1", "https://h:1/x"):
            self.assertRaises(ValueError, wire.Wire, bad)
        for good in ("https://h:1", "http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "unix:/x"):
            wire.Wire(good)


if __name__ == "__main__":
    unittest.main()

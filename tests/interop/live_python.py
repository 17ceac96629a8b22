"""The Python SDK against a running fabric: send, receive, verify, repeat, tamper. Prints TAP.

    IFAB_ENDPOINT=unix:PATH IFAB_AS=Demo.A IFAB_KEY=a.pem [IFAB_TO=Demo.B] [IFAB_VKEY=…] python3 live_python.py
"""
import copy
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "sdk", "python"))
try:
    from infrafabric import Fabric, Refused, VerifyError, verify
    from infrafabric import envelope
except ImportError as e:
    print(f"1..0 # SKIP {e}")
    sys.exit(0)

COUNT = FAILED = 0


def check(condition, name):
    global COUNT, FAILED
    COUNT += 1
    FAILED += not condition
    print(("ok" if condition else "not ok"), COUNT, "-", name, flush=True)


def refused(call):
    try:
        call()
    except Refused as e:
        return int(e.code)
    return None


def noticed(receipt, vkey):
    try:
        verify(receipt, vkey)
    except VerifyError:
        return True
    return False


def tasks(f):
    """The socket is an operator: it may make a swarm and work for it."""
    swarm = "live-py-" + envelope.uuid7()[-12:]
    status, _, _ = f.wire.call("POST", "/v1/swarms", json.dumps({"id": swarm, "skills": ["py"], "members": [], "why": "live check"}))
    a = f.task_create("job", "live check", id=swarm + ".a", swarm=swarm, needs=["py"], payload={"n": "café"}, priority="P0")
    b = f.task_create("job", "live check", id=swarm + ".b", swarm=swarm, needs=["py"], max_attempts=2)
    check(status == 201 and a["state"] == "queued" and b["entry"]["index"] > a["entry"]["index"], "tasks are made")
    check(refused(lambda: f.task_create("job", "live check", id=swarm + ".a")) == 409, "an id is taken once")
    seen = []
    for task in f.next_task(swarm, wait=6, lease=4.5):
        seen.append((task.id[-1], task.attempt))
        try:
            with task:
                if task.payload:
                    check(task.payload == {"n": "café"} and task.fence == task.entry["index"], "a task comes with its payload and fence")
                    time.sleep(5)  # longer than the lease
                    check(task.progress(50, "half")["percent"] == 50 and task.open, "its lease was renewed meanwhile")
                elif task.attempt == 1:
                    raise ValueError("not yet")
                task.complete({"ok": True}, cost={"usd_micro": 3})
        except ValueError:
            pass
    check(seen == [("a", 1), ("b", 1), ("b", 2)], f"completed, failed, tried again {seen}")
    check(f.wire.ask(f"/v1/tasks/{swarm}.b")["state"] == "done", "what was completed is done")
    spent = f.cost(usd_micro=5, operation="live-py")
    check(spent["cost"]["usd_micro"] == 5 and spent["entry"]["index"] > 0 and spent["over"] == [], "a cost is recorded")
    check(refused(lambda: f.cost(tokens_in=5, model="no-such-model")) == 208, "and refused where no price holds")


def main():
    f = Fabric.context()
    if not f.talent:
        print("1..0 # SKIP no fabric named: set IFAB_ENDPOINT, IFAB_AS, IFAB_KEY")
        return 0
    to = os.environ.get("IFAB_TO", "Demo.B")
    f.talent = f.talent.split("/")[0] + "/live-python"
    vkey = os.environ.get("IFAB_VKEY") or f.fabric()["vkey"]
    claim = f"live check {time.time_ns()}"
    evidence = [{"type": "web", "url": "https://example.org/a", "hash": "sha256:" + "a5" * 32}]
    scope, data = {"check": "live"}, {"n": 1e-7, "text": "café 東京 🚀"}
    receipt = f.send(claim, confidence=.9, to=to, scope=scope, evidence=evidence, data=data)
    check(receipt.shared, f"a complete claim is shared ({receipt.decision}: {receipt.reason})")
    entry = verify(receipt, vkey)
    check(entry["subject"] == receipt.id, f"its receipt verifies offline (entry {entry['index']})")
    another = {"decision": "DENY", "message_digest": "sha256:" + "00" * 32, "id": "msg-01930000-0000-7000-8000-000000000000"}
    for name, value in another.items():
        check(noticed({**receipt.raw, name: value}, vkey), f"another {name} is noticed")
    check(verify(receipt, vkey, envelope=receipt.envelope) == entry, "its receipt binds to the message that was sent")
    bad = copy.deepcopy(receipt.raw)
    bad["proof"]["entry"] = bad["proof"]["entry"].replace("SHARE", "share", 1)
    check(noticed(bad, vkey), "another entry is noticed")
    check(f.receipt(receipt.id).message_digest == receipt.message_digest, "the receipt can be read again")

    low = f.send("hardly believed", confidence=.25, to=to, scope=scope)
    check(low.held, f"low confidence is held ({low.decision}: {low.reason})")
    lower = f.send("not believed", confidence=.1, to=to, scope=scope)
    check(lower.escalated, f"lower confidence is escalated ({lower.decision}: {lower.reason})")
    check(f.send("danger", confidence=.9, to=to, scope=scope, hazards=["safety"]).escalated, "a safety hazard is escalated")
    check(f.send("still open", confidence=.1, to=to, scope=scope, wait=1).escalated, "waiting ends in time with the open receipt")

    sent = {}

    def keep(message_id, body, **_):
        sent.update(id=message_id, body=body)
        return Fabric.send_bytes(f, message_id, body)
    f.send_bytes = keep
    first = f.send("once only", confidence=.9, to=to, scope=scope)
    again = Fabric.send_bytes(f, sent["id"], sent["body"])
    check(again.replayed and again.entry == first.entry, "the same bytes again give the first receipt")  # INV-03
    status, value, _ = f.wire.call("POST", "/v1/messages", sent["body"])
    check(status == 409 and value["error"]["code"] == "IF_ERR_103", "without their key they are a replay: 103")
    old = json.loads(sent["body"])
    old.update(id="msg-" + envelope.uuid7(), nonce=envelope.b64url(os.urandom(16)))
    check(refused(lambda: Fabric.send_bytes(f, old["id"], envelope.sign(old, f._key))) == 104, "an old sequence number is 104")
    changed = sent["body"].replace(b"once only", b"once onlY")
    _, value, _ = f.wire.call("POST", "/v1/messages", changed)
    check(value["error"]["code"] == "IF_ERR_001", "changed bytes are 001")  # INV-01
    stranger = Fabric(f.wire.endpoint, talent="Nobody.Here", key=f._key)
    check(refused(lambda: stranger.send("x", confidence=.9, scope={"a": 1})) == 106, "an unknown sender is 106")

    if f.wire.is_unix:
        inbox = Fabric(f.wire.endpoint, talent=to)
        found, after = [], None
        while not found:
            page = inbox.inbox(after=after, wait=2)
            if not page:
                break
            found, after = [m for m in page if m.claim == claim], page[-1].cursor
        check(len(found) == 1 and found[0].decision == "SHARE", "the receiver finds it once in the inbox")
        if found:
            found[0].check(bytes(f._key.verify_key))
            check(found[0].data == data, "and its signature is good under the sender's key")
        tasks(f)
    else:
        print("# inbox not run: over TCP it needs the receiver's token")
    print(f"1..{COUNT}")
    return 1 if FAILED else 0


if __name__ == "__main__":
    sys.exit(main())

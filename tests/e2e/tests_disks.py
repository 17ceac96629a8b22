"""A full disk: 504, nothing acknowledged lost, and it goes on when there is room."""

import os
import signal
import subprocess
import sys
import tempfile

from fabric import Fabric, Skip, TMP, wait_for


class Small:
    """A fabric on a small tmpfs."""

    def __init__(self, mib):
        self.root = tempfile.mkdtemp(prefix="ifab-disk-", dir=TMP)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=700", "tmpfs", self.root], capture_output=True)
        if done.returncode != 0:
            os.rmdir(self.root)
            raise Skip("mounting a tmpfs is not permitted here: " + done.stderr.decode().strip())
        self.f = None

    def __enter__(self):
        self.f = Fabric({"disk.reserve": "0"}, parent=self.root)
        self.f.log_path = self.root + ".log"  # not on the disk that fills
        return self.f

    def __exit__(self, kind, *_):
        if self.f is not None:
            if kind is not None:
                sys.stderr.write("daemon's log:\n" + self.f.tail() + "\n")
            self.f.kill()
            if os.path.exists(self.f.log_path):
                os.unlink(self.f.log_path)
        subprocess.run(["umount", "-l", self.root], check=False)
        os.rmdir(self.root)


def fill(root, leave=0):
    """A file that takes all room but `leave` bytes."""
    path = os.path.join(root, "filler")
    with open(path, "ab") as f:
        while True:
            free = os.statvfs(root)
            room = free.f_bavail * free.f_frsize - leave
            if room <= 0:
                return path
            try:
                f.write(b"\0" * min(room, 1 << 20))
                f.flush()
            except OSError:
                return path


def test_full_disk_gives_504_loses_nothing_and_recovers_when_there_is_room():
    # INV-03 INV-04 INV-05
    with Small(96) as f:
        f.start()
        a, b = f.enrol("Demo.A", owner="alice"), f.enrol("Demo.B", owner="bob")
        acked, refused = [], []
        big = {"data": {"x": "y" * 30000}}
        for _ in range(5):
            m = a.message(content=big)
            acked.append((m, f.send(m)))
        filler = fill(f.root)
        for i in range(3000):
            m = a.message(content=big)
            r = f.send(m)
            if r.status == 200:
                acked.append((m, r))
                continue
            assert r.code == 504 and r.status == 503 and "retry-after" in r.headers, r
            refused.append(m)
            a.seq -= 1
            if len(refused) >= 5:
                break
        assert len(refused) >= 5, f"the disk never filled: {len(acked)}"
        assert all(r.status == 200 for _, r in acked), acked[:2]
        assert f.get("/readyz").status == 503
        last = max(r.json["entry"]["index"] for _, r in acked)
        for m, r in acked:  # there, or cannot be looked up now: never "no such message"
            got = f.get(f"/v1/messages/{m.id}")
            assert (got.status == 200 and got.json == r.json) or got.code == 504, got
            assert f.get(f"/v1/witness/entries/{r.json['entry']['index']}").status == 200
        seq = len(acked)
        assert f.last_seq(a) == {a.uri: seq}, (f.last_seq(a), seq)
        assert f.send(acked[0][0]).code in (103, 504)
        os.unlink(filler)
        answer = wait_for(lambda: (lambda r: r if r.status == 200 else None)(f.send(refused[0])), 10, "recovery")
        assert answer.json["decision"] == "SHARE"
        m = b.message()
        assert f.send(m).status == 200
        assert f.get("/readyz").status == 200
        wait_for(lambda: f.get(f"/v1/messages/{acked[-1][0].id}").status == 200, 10, "the index")
        for m, r in acked:
            assert f.send(m).code == 103
            assert f.get(f"/v1/messages/{m.id}").json == r.json
        f.verify()
        f.kill()
        f.start()
        for m, r in acked:
            assert f.get(f"/v1/messages/{m.id}").json == r.json
        assert f.last_seq(a)[a.uri] == seq + 1
        f.verify()
        return f"{len(acked)} acknowledged up to entry {last} before it was full"


def test_after_a_full_disk_all_that_waited_and_was_counted_goes_on():
    # INV-01 INV-03 INV-05: cores are loaded from the store as at a start; counts of refusals stand nowhere else
    import time

    with Small(96) as f:
        f.start()
        a, v = f.enrol("Demo.A", owner="alice"), f.enrol("Demo.B", owner="bob")
        f.enrol("Demo.R", owner="receiver")
        waiting = f.send(a.message(receiver="if://agent/Demo.R", content={"hazards": ["legal"]})).json
        held = f.send(a.message(content={"claim_id": "C-1", "confidence": {"raw": 0.25, "normalized": 0.25}, "scope": {"y": 1}})).json
        assert (waiting["decision"], held["decision"]) == ("ESCALATE", "HOLD")
        grant = {"scope": "guard:scope", "why": "t"}
        first = f.post("/v1/talents/Demo.B/grants", grant, {"Idempotency-Key": "k1"})
        assert first.status == 200, first
        counted = lambda: sum(e["payload"]["total"] for e in f.entries(0) if e["operation"] == "refusals_counted")
        assert f.post("/v1/messages", b"{").code == 101
        wait_for(lambda: counted() == 1, 10, "the first count")  # the next entry is due in a minute
        big = {"data": {"x": "y" * 30000}}
        filler, at = fill(f.root), a.seq
        for _ in range(3000):
            r = f.send(a.message(content=big))
            if r.status != 200:
                break
        assert r.code == 504, r
        garbage = 7
        for _ in range(garbage):
            assert f.post("/v1/messages", b"{").code == 101
        lost = a.message(content=big)
        until = time.monotonic() + 3.5  # each second it tries again: more steps that are taken back
        while time.monotonic() < until:
            assert f.send(lost).code == 504
            time.sleep(0.2)
        os.unlink(filler)
        wait_for(lambda: f.send(lost).status == 200, 10, "recovery")
        assert a.seq > at
        items = {d["id"]: d for d in f.get("/v1/decisions").json["items"]}
        assert set(items) == {waiting["id"], held["id"]}
        again = f.post("/v1/talents/Demo.B/grants", grant, {"Idempotency-Key": "k1"})
        assert again.json == first.json and again.headers["idempotent-replayed"] == "true", again
        assert f.send(lost).code == 103
        assert f.vote(waiting).json["decision"] == "SHARE"
        r = f.vote(held, verdict="scope-ok", voter="Demo.B", key=v.key)
        assert r.status == 200 and r.json["decision"] == "SHARE", r
        assert f.get("/v1/decisions").json["items"] == []
        f.verify()
        if os.environ.get("IFAB_E2E_SLOW"):
            wait_for(lambda: counted() > 1, 75, "the counts")
            assert counted() == 1 + garbage


def test_new_log_key_that_a_full_disk_kept_out_waits_and_the_old_one_stays():
    import json

    with Small(96) as f:
        f.start()
        a = f.enrol("Demo.A")
        old, to = f.about()["vkey"], f.post("/v1/log-keys", {}).json["to"]
        body = json.dumps({"to": to}, separators=(",", ":")).encode()
        route, big = "/v1/log-keys/rotate", {"data": {"x": "y" * 30000}}
        filler = fill(f.root)
        for i in range(3000):
            if f.send(a.message(content=big)).code == 504:
                break
        r = f.post(route, body, f.admin_header(route, body))
        assert r.code == 504, r
        assert f.about()["vkey"] == old and f.post("/v1/log-keys", {}).json["to"] == to
        os.unlink(filler)
        wait_for(lambda: f.send(a.message()).status == 200, 10, "room")
        assert f.about()["vkey"] == old
        f.verify()
        r = wait_for(lambda: (lambda r: r if r.status == 200 else None)(f.post(route, body, f.admin_header(route, body))), 10, "a new key")
        assert r.json["to"] == to == f.about()["vkey"]
        f.verify()
        f.kill()
        f.start()
        assert f.about()["vkey"] == to
        f.verify()


def test_stream_over_a_filling_disk_acknowledges_only_what_is_there():
    # INV-04: NDJSON across the edge
    with Small(80) as f:
        f.start()
        a = f.enrol("Demo.A")
        filler = fill(f.root, leave=6 << 20)
        for streams in range(8):
            lines = [a.message(content={"data": {"x": "y" * 9000}}) for _ in range(1500)]
            answers = f.lines(lines)
            good = [i for i, x in enumerate(answers) if "receipt" in x]
            bad = {x["error"]["code"] for x in answers if "error" in x}
            assert bad <= {"IF_ERR_504"}, bad
            assert good == list(range(len(good))), "a prefix"
            if bad:
                break
        assert bad, "the disk never filled"
        assert f.last_seq(a) == {a.uri: streams * 1500 + len(good)}
        os.unlink(filler)
        rest = wait_for(lambda: (lambda x: x if "receipt" in x[0] else None)(f.lines(lines[len(good) :])), 10, "recovery")
        assert all("receipt" in x for x in rest)
        f.verify()


def test_full_disk_at_a_start_is_a_clear_error_or_serves_reads():
    # INV-15
    with Small(96) as f:
        f.start()
        a = f.enrol("Demo.A")
        m = a.message()
        r = f.send(m).json
        assert f.stop() == 0
        filler = fill(f.root)
        try:
            f.start()
        except AssertionError as e:
            assert "exit 20" in str(e) and "IF_ERR_50" in str(e), e
        else:
            got = f.get(f"/v1/messages/{m.id}")
            assert got.json == r or got.code == 504, got
            f.kill()
        os.unlink(filler)
        f.start()
        assert f.get(f"/v1/messages/{m.id}").json == r
        assert f.send(a.message()).status == 200
        f.verify()


def test_below_the_reserve_messages_are_504_and_votes_still_pass(f):
    f.enrol("Demo.R", owner="r")
    a = f.enrol("Demo.A", owner="alice")
    r = f.send(a.message(receiver="if://agent/Demo.R", content={"hazards": ["legal"]})).json
    assert f.stop() == 0
    f.configure({"disk.reserve": "1024TiB"})
    f.start()
    m = a.message()
    refused = f.send(m)
    assert refused.code == 504 and refused.status == 503 and int(refused.headers["retry-after"]) >= 1, refused
    assert f.get("/readyz").status == 503 and f.get("/readyz").json["why"] == "disk"
    assert f.last_seq(a) == {a.uri: 1}
    v = f.vote(r)
    assert v.status == 200 and v.json["decision"] == "SHARE", v
    assert len(f.inbox("Demo.R")["items"]) == 1
    assert f.stop() == 0
    f.configure({})
    f.start()
    assert f.send(m).status == 200, "the very same bytes"


RULES = """v: 1
why: nobody touches production
rules:
  - id: 10-production
    effect: deny
    reason: production is closed
    when: {scope.environment: production}
"""


def test_rules_read_while_the_disk_is_full_are_entered_when_there_is_room():
    # INV-06 INV-16: the old set decides until the new one stands in an entry; a set that could not be entered is not forgotten
    with Small(96) as f:
        with open(os.path.join(f.dir, "rules.yaml"), "w") as out:
            out.write(RULES.replace("production", "staging"))
        f.start()
        a = f.enrol("Demo.A", owner="alice")
        f.enrol("Demo.R", owner="receiver")
        ask = lambda where, **more: f.send(a.message(receiver="if://agent/Demo.R", content={"scope": {"environment": where}, **more}))
        assert ask("staging").status == 403 and ask("production").status == 200
        filler = fill(f.root)
        for _ in range(3000):
            r = ask("test", data={"x": "y" * 30000})
            if r.status != 200:
                break
        assert r.code == 504, r
        with open(os.path.join(f.dir, "rules.yaml"), "r+") as out:  # in place: there is no room for another file
            out.write(RULES.replace("production", "closedoff"))
            out.truncate()
        with open(os.path.join(f.dir, "rules.yaml")) as done:
            assert "closedoff" in done.read()
        os.kill(f.process.pid, signal.SIGHUP)
        wait_for(lambda: '"event":"reload: done"' in f.tail(), 10, "the reload")
        m = a.message(receiver="if://agent/Demo.R", content={"scope": {"environment": "staging"}})
        r = f.post("/v1/guard/explain", bytes(m))
        assert r.status == 200, r
        wait_for(lambda: "cannot be recorded yet" in f.tail(), 10, "a try that fails")
        assert f.send(m).code == 504
        os.unlink(filler)
        wait_for(lambda: ask("test").status == 200, 10, "recovery")
        assert ask("staging").status == 200 and ask("closedoff").status == 403
        entries = [e for e in f.entries() if e["subject"] == "rules"]
        assert len(entries) == 2, entries
        assert ask("closedoff").json["policy_digest"] == entries[-1]["payload"]["policy_digest"]
        f.restart()
        assert len([e for e in f.entries() if e["subject"] == "rules"]) == 2
        f.verify()

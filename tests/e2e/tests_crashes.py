"""kill -9 at random moments: nothing acknowledged is lost, nothing accepted is accepted again."""

import os
import random
import threading
import time

from fabric import Gone, sha256


def test_kill_9_loses_nothing_acknowledged_and_forgets_no_replay(f):
    # INV-03 INV-04 INV-05
    rounds = int(os.environ.get("IFAB_KILL_ROUNDS", "20"))
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    total, began, checked = 0, time.monotonic(), 0
    for round_ in range(rounds):
        if round_ % 25 == 0:  # a talent may keep 10,000 conversations open
            agents = [f.enrol(f"Agent{round_}-{i}") for i in range(4)]
        acked, unknown, started = [], [], threading.Barrier(len(agents) + 1)

        def stream(agent):
            conn = f.conn()
            last = None
            try:
                started.wait()
                while True:
                    batch = [agent.message() for _ in range(4)]
                    conn.send(b"".join(conn.bytes_of("POST", "/v1/messages", bytes(m)) for m in batch))
                    for last in batch:
                        r = conn.read()
                        assert r.status == 200, (seed, round_, r)
                        acked.append((last, r.json))
            except (Gone, OSError):
                unknown.extend([] if last is None else [last])
            finally:
                conn.close()

        threads = [threading.Thread(target=stream, args=(a,)) for a in agents]
        for t in threads:
            t.start()
        started.wait()
        time.sleep(rng.uniform(0.002, 0.15))
        f.kill()
        for t in threads:
            t.join()
        f.start()
        total += len(acked)
        # outcome unknown: asked again with its key, it is accepted now or was then; never an error, never twice
        with f.conn() as c:
            for m in unknown:
                r = c.request("POST", "/v1/messages", bytes(m), {"Idempotency-Key": m.id})
                assert r.status == 200, (seed, round_, r)
            for m, receipt in acked:
                r = c.request("GET", f"/v1/messages/{m.id}")
                assert r.status == 200 and r.json == receipt, (seed, round_, r, receipt)
                r = c.request("POST", "/v1/messages", bytes(m))
                assert r.code == 103 and r.error["first"]["entry"] == receipt["entry"]["index"], (seed, round_, r)
                e = c.request("GET", f"/v1/witness/entries/{receipt['entry']['index']}")
                assert sha256(e.body) == receipt["entry"]["hash"], (seed, round_)
                checked += 1
        for a in agents:  # the next number is known to the sender from the fabric
            a.seq = max([a.seq, *f.last_seq(a).values()])
        if round_ % 5 == 4:
            f.verify()
    f.verify()
    assert total > 0
    spent = (time.monotonic() - began) / rounds
    return f"seed {seed}: {rounds} rounds, {total} acknowledged, {checked} looked up and replayed, {spent:.2f} s a round"


def test_kill_9_during_ndjson_leaves_a_prefix(f):
    # INV-03 INV-04: what is in the log of a stream is a prefix of it
    rng = random.Random(7)
    for round_ in range(4):
        a = f.enrol(f"Agent{round_}")
        sent = [a.message() for _ in range(4000)]
        c = f.conn()
        body = b"\n".join(sent)
        writer = threading.Thread(target=lambda: c.send(c.bytes_of("POST", "/v1/messages", body, {"Content-Type": "application/x-ndjson"})))
        writer.start()
        time.sleep(rng.uniform(0.02, 0.25))
        f.kill()
        writer.join()
        c.close()
        f.start()
        last = f.last_seq(a).get(a.uri, 0)
        answers = f.lines(sent)
        for i, x in enumerate(answers):
            if i < last:
                assert x["error"]["code"] == "IF_ERR_103", (i, last, x)
            else:
                assert x["receipt"]["decision"] == "SHARE", (i, last, x)
    f.verify()


def test_kill_9_keeps_talents_votes_and_open_decisions(f):
    # INV-04 INV-16
    f.enrol("Demo.R", owner="r")
    a = f.enrol("Demo.A", owner="alice")
    r = f.send(a.message(receiver="if://agent/Demo.R", content={"hazards": ["legal"]})).json
    f.kill()
    f.start()
    assert f.get(f"/v1/decisions/{r['id']}").json["state"] == "escalated"
    vote = f.vote(r, send=False)
    v = f.post(f"/v1/decisions/{r['id']}/votes", vote)
    assert v.status == 200, v
    b = f.enrol("Demo.B")
    f.kill()
    f.start()
    assert f.get(f"/v1/decisions/{r['id']}").json["decision"] == "SHARE"
    assert f.post(f"/v1/decisions/{r['id']}/votes", vote).code == 103
    assert f.send(b.message()).status == 200
    assert len(f.inbox("Demo.R")["items"]) == 1
    f.verify()


def test_every_start_can_read_at_once(f):
    # a thread that meets a lock while it opens its handle must get one all the same
    a = f.enrol("Demo.A")
    receipt = f.send(a.message()).json
    for round_ in range(40):
        if round_ % 2:
            f.kill()
        else:
            f.stop()
        f.start()
        with f.conn() as c:  # more than one, so that each reader gets its share
            c.send(c.bytes_of("GET", f"/v1/messages/{receipt['id']}") * 8)
            answers = [c.read() for _ in range(8)]
        assert all(r.status == 200 and r.json == receipt for r in answers), (round_, answers, f.tail())


def test_kill_9_right_after_start_again_and_again(f):
    # INV-05
    a = f.enrol("Demo.A")
    m = a.message()
    receipt = f.send(m).json
    size = f.size()
    for _ in range(15):
        f.kill()
        f.start()
    assert f.size() == size, "a start alone adds nothing"
    assert f.get(f"/v1/messages/{m.id}").json == receipt
    assert f.send(m).code == 103

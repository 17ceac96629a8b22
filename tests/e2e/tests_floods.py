"""What nobody signed: it may change bounded counts and nothing else, and signed traffic goes on beside it."""

import json
import os
import re
import signal
import threading
import time

from fabric import Agent, Gone, b64u, wait_for


def flood_bodies(a, n):
    """Garbage, unsigned, forged, with every sender of the fabric named."""
    forged = Agent(a.name)
    one = json.loads(forged.message())
    unsigned = {k: v for k, v in one.items() if k != "signature"}
    kinds = [
        lambda i: os.urandom(50),
        lambda i: b"{" * 40,
        lambda i: json.dumps(unsigned).encode(),
        lambda i: json.dumps(dict(one, seq=i + 1, signature=dict(one["signature"], sig=b64u(os.urandom(63) + b"\1")))).encode(),
        lambda i: bytes(forged.message()) if i % 50 == 0 else json.dumps(dict(one, seq=10**9 + i)).encode(),
        lambda i: json.dumps(dict(one, sender=f"if://agent/Ghost{i}")).encode(),
    ]
    return [kinds[i % len(kinds)](i) for i in range(n)]


def test_twenty_thousand_unauthenticated_messages_move_no_sequence_and_fill_no_log(f):
    # INV-01 INV-12 INV-15
    a, b = f.enrol("Demo.A"), f.enrol("Demo.B")
    assert f.send(a.message()).status == 200
    before, size = f.last_seq(a), f.size()
    bodies = flood_bodies(a, 20000)
    stop, counts, signed = threading.Event(), {}, []
    lock = threading.Lock()

    def garbage(part):
        i = 0
        while i < len(part):
            try:
                with f.conn(tcp=True) as c:
                    while i < len(part):
                        batch = part[i : i + 32]
                        c.send(b"".join(c.bytes_of("POST", "/v1/messages", x) for x in batch))
                        for _ in batch:
                            r = c.read()
                            assert r.status in (400, 401, 413, 429), r
                            with lock:
                                counts[r.code] = counts.get(r.code, 0) + 1
                            i += 1
                            if r.status == 429:
                                raise Gone("429 closes")
            except (Gone, OSError):
                pass  # what was not answered is sent again

    def good():
        with f.conn() as c:
            while not stop.is_set():
                r = c.request("POST", "/v1/messages", bytes(b.message()))
                assert r.status == 200, r
                signed.append(r.json["entry"]["index"])

    threads = [threading.Thread(target=garbage, args=(bodies[k::4],)) for k in range(4)]
    worker, began = threading.Thread(target=good), time.monotonic()
    worker.start()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    stop.set()
    worker.join()
    assert f.last_seq(a) == before, "a forged message moved a sequence"
    assert len(signed) > 50, len(signed)
    grown = f.size() - size - len(signed)
    minutes = (time.monotonic() - began) / 60
    assert grown <= 3 + minutes, f"{grown} entries beside the signed ones"
    assert 200 not in counts and counts.get(1, 0) <= 1000 + 100 * 60 * minutes, counts  # what of them was verified at all
    assert sum(counts.values()) == 20000, counts
    counted = [e for e in f.entries(size) if e["operation"] == "refusals_counted" or "counts" in (e.get("payload") or {})]
    assert len(counted) == grown
    r = f.send(a.message())
    assert r.status == 200, r
    f.verify()
    return f"{sum(counts.values())} answered {counts}, {len(signed)} signed beside them, {grown} entries about them"


def test_counted_refusals_stand_in_one_entry_after_a_minute(f):
    # INV-01
    size = f.size()
    for i in range(40):
        assert f.send(Agent(f"Ghost{i}").message()).code == 106
    assert f.post("/v1/messages", b"nonsense").code == 101
    wait_for(lambda: f.size() > size, 70, "the entry")
    e = f.entry(size)
    counts = {c["code"]: c["count"] for c in e["payload"]["counts"]}
    assert e["payload"]["total"] == sum(counts.values()) and len(e["payload"]["counts"][0]["sample"]) == 32, e
    for _ in range(5):
        f.send(Agent("Ghost").message())
    time.sleep(1)
    assert f.size() == size + 1, "at most one entry a minute"


def test_counted_refusals_are_written_down_before_the_daemon_ends(f):
    # INV-01
    a = f.enrol("Demo.A")
    f.post("/v1/messages", b"nonsense")  # the first ones are written at once, the next minute's only counted

    def counted():
        return [e for e in f.entries() if e["operation"] == "refusals_counted"]

    wait_for(counted, 10, "the first entry")
    first = sum(e["payload"]["total"] for e in counted())
    for i in range(7):
        assert f.send(Agent(f"Ghost{i}").message()).code == 106
    for _ in range(20):  # ticks pass meanwhile
        assert f.send(a.message()).status == 200
        time.sleep(0.1)
    assert sum(e["payload"]["total"] for e in counted()) == first, "at most one entry a minute"
    f.restart()
    assert sum(e["payload"]["total"] for e in counted()) == first + 7
    size = f.size()
    f.restart()
    assert f.size() == size, "nothing counted, nothing written"
    f.verify()


def test_failed_signatures_are_charged_to_the_connection_429_and_closed(f):
    # INV-01: 100 a second, burst 1,000, charged to the address and never to the named sender
    a = f.enrol("Demo.A")
    forged = bytes(Agent("Demo.A").message())
    closed, verified, began = None, 0, time.monotonic()
    with f.conn(tcp=True) as c:
        for i in range(20000):
            if i % 16 == 0:  # many at once: as fast as the daemon verifies, not as this client asks
                c.send(c.bytes_of("POST", "/v1/messages", forged) * 16)
            r = c.read()
            if r.status == 429:
                closed = verified
                assert r.code == 302 and "retry-after" in r.headers and r.headers.get("connection") == "close", (r, r.headers)
                try:
                    c.read()
                    raise AssertionError("the connection stayed open")
                except (Gone, BrokenPipeError, ConnectionResetError):
                    pass
                break
            assert r.code in (1, 304), r  # 304: of so many at once some would wait too long
            verified += r.code == 1
    assert closed is not None and 900 <= closed <= 1100 + 100 * (time.monotonic() - began), closed
    assert f.send(a.message()).status == 200, "the named sender is not charged"
    time.sleep(1.1)
    assert f.send(a.message(), tcp=True).status == 200, "the bucket fills again"
    with f.conn(tcp=True) as c:
        assert c.request("POST", "/v1/messages", forged).code == 1, "the bucket fills again"


def test_empty_bucket_refuses_before_the_next_signature_is_verified(f):
    # INV-01: of an empty bucket not even a good signature is looked at; other principals are not concerned
    a = f.enrol("Demo.A")
    forger = Agent("Demo.A")
    good = [a.message() for _ in range(100)]
    lines = []
    for i in range(100):
        lines += [bytes(forger.message())] * 40 + [bytes(good[i])]
    began = time.monotonic()
    with f.conn(tcp=True) as c:
        r = c.request("POST", "/v1/messages", b"\n".join(lines), {"Content-Type": "application/x-ndjson"})
    filled = 100 * (time.monotonic() - began)
    answers = [json.loads(x) for x in r.body.splitlines()]
    assert r.status == 200 and len(answers) == len(lines), r
    forged = [x["error"]["code"] for k, x in enumerate(answers) if k % 41 != 40]
    mine = [x for k, x in enumerate(answers) if k % 41 == 40]
    assert 1000 <= forged.count("IF_ERR_001") < 1100 + filled and set(forged) == {"IF_ERR_001", "IF_ERR_302"}, forged.count("IF_ERR_001")
    passed = [x for x in mine if "receipt" in x]
    refused = {x["error"]["code"] for x in mine if "error" in x}
    assert 20 <= len(passed) < len(mine) and refused == {"IF_ERR_302"}, (len(passed), refused)
    other = f.enrol("Demo.B")
    assert f.send(other.message()).status == 200, "the uid of the socket is another principal"
    time.sleep(0.5)
    for m, x in zip(good, mine):
        if "error" in x:
            assert f.send(m, tcp=True).status in (200, 409), "the refused lines are not used up"
            break
    f.verify()


def test_message_of_another_connection_does_not_wait_for_a_whole_stream(f):
    # INV-12: connections take turns, line by line
    a, b = f.enrol("Demo.A"), f.enrol("Demo.B")
    lines = [bytes(a.message()) for _ in range(100)]
    with f.conn() as long, f.conn() as short:
        assert long.request("GET", "/healthz").status == short.request("GET", "/healthz").status == 200
        f.stand_still()
        long.send(long.bytes_of("POST", "/v1/messages", b"\n".join(lines), {"Content-Type": "application/x-ndjson"}))
        short.send(short.bytes_of("POST", "/v1/messages", bytes(b.message())))
        f.process.send_signal(signal.SIGCONT)
        one = short.read()
        all_of_it = [json.loads(x)["receipt"]["entry"]["index"] for x in long.read().body.splitlines()]
    assert one.status == 200 and len(all_of_it) == 100 and all_of_it == sorted(all_of_it)
    before = sum(i < one.json["entry"]["index"] for i in all_of_it)
    assert before <= 2, f"{before} lines were taken before it"
    f.verify()


def test_flood_of_one_connection_is_304_and_others_are_still_taken(f):
    # INV-12: the queue is bounded, and nobody has all of it
    b = f.enrol("Demo.B")
    body = b"\n".join([b"x"] * 10000)
    with f.conn() as flood, f.conn() as other:
        assert flood.request("GET", "/healthz").status == other.request("GET", "/healthz").status == 200
        f.stand_still()
        # the client's side of the socket holds it all while the daemon is stopped
        flood.send(flood.bytes_of("POST", "/v1/messages", body, {"Content-Type": "application/x-ndjson"}) * 5)
        other.send(other.bytes_of("POST", "/v1/messages", bytes(b.message())))
        f.process.send_signal(signal.SIGCONT)
        assert other.read().status == 200
        answers = [flood.read() for _ in range(5)]
    codes = [r.code if r.status != 200 else 200 for r in answers]
    assert codes.count(200) >= 3 and set(codes) == {200, 304}, codes
    assert all(r.headers["retry-after"] for r in answers if r.status == 503)
    assert f.send(b.message()).status == 200


def storm_of(f, s, messages, connections):
    """Sends them at once, 32 unanswered a connection, and does not listen to what it is told. Answers by code (202: escalated)."""
    codes, lock = {}, threading.Lock()

    def part(mine):
        with f.conn(timeout=60) as c:
            for i in range(0, len(mine), 32):
                batch = mine[i : i + 32]
                c.send(b"".join(c.bytes_of("POST", "/v1/messages", bytes(m)) for m in batch))
                for _ in batch:
                    r = c.read()
                    assert r.status == 202 or "retry-after" in r.headers, r
                    with lock:
                        key = 202 if r.status == 202 else r.code
                        codes[key] = codes.get(key, 0) + 1

    threads = [threading.Thread(target=part, args=(messages[k::connections],)) for k in range(connections)]
    for t in threads:
        t.start()
    return threads, codes


def test_storm_of_escalations_of_one_talent_leaves_the_others_alone(f):
    # INV-12: its bucket is its own; past it 302, past what may wait 304; log and memory stay bounded, whoever else sends is answered
    count, connections = 900, 6
    s, others = f.enrol("Demo.Storm"), [f.enrol("Demo.A", owner="alice"), f.enrol("Demo.B", owner="bob")]
    hazard = {"content": {"hazards": ["legal"]}}
    messages = [s.message(sender=f"{s.uri}/{i % connections}", **hazard) for i in range(count)]
    memory = lambda: int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{f.process.pid}/status", encoding="ascii").read())[1])
    size, before, began = f.size(), memory(), time.monotonic()
    threads, codes = storm_of(f, s, messages, connections)
    shared = escalated = 0
    with f.conn() as c:
        while any(t.is_alive() for t in threads) or shared < 100:
            a = others[shared % 2]
            r = c.request("POST", "/v1/messages", bytes(a.message(receiver=others[(shared + 1) % 2].uri)))
            assert r.status == 200, r
            shared += 1
            time.sleep(0.01 if shared < 400 else 0.1)  # others are about, and not in a hurry: an inbox is read in one page
            if escalated < 20 and shared % 5 == 0:  # they have buckets of their own
                r = c.request("POST", "/v1/messages", bytes(a.message(**hazard)))
                assert r.status == 202 and r.json["decision"] == "ESCALATE", r
                escalated += 1
        for t in threads:
            t.join()
    seconds = time.monotonic() - began
    assert sum(codes.values()) == count and set(codes) <= {202, 302, 304}, codes
    assert 30 <= codes[202] <= 31 + seconds / 10 and codes[302] > count / 2, codes
    assert f.send(s.message(sender=f"{s.uri}/0")).status == 200, "what need not wait passes"
    waiting = f.get("/v1/decisions?limit=1000").json["items"]
    assert sum(d["sender"] == s.uri for d in waiting) == codes[202] and len(waiting) == codes[202] + escalated
    inbox = [len(f.inbox(a.name)["items"]) for a in others]
    assert shared <= 2000 and sum(inbox) == shared, (inbox, shared)
    grown = f.size() - size - shared - escalated - 1
    assert grown <= codes[202] + 10 * (seconds + 2) + 3, f"{grown} entries about {count} escalations in {seconds:.1f} s"
    assert memory() - before < 48 * 1024, "what was refused is not kept"
    f.restart()  # what was only counted is written down
    entries = f.entries(size)
    refused = sum(e["operation"] == "refused" and e["actor"].startswith(s.uri) for e in entries)
    counted = sum(c["count"] for e in entries if e["operation"] == "refusals_counted" for c in e["payload"]["counts"] if c["source"] == s.name)
    assert refused + counted == codes[302], (refused, counted, codes)
    assert sum(d["sender"] == s.uri for d in f.get("/v1/decisions?limit=1000").json["items"]) == codes[202]
    f.verify()
    return f"{codes}, {shared} shared and {escalated} escalated beside them, {grown} entries about it, {memory() - before} KiB, {seconds:.1f} s"


def at_once(f, parts):
    """What each connection sends is there when the daemon looks; the answers, connection by connection."""
    for c, _ in parts:
        assert c.request("GET", "/healthz").status == 200
    f.stand_still()
    for c, messages in parts:
        c.send(b"".join(c.bytes_of("POST", "/v1/messages", bytes(m)) for m in messages))
    f.process.send_signal(signal.SIGCONT)
    return [[c.read() for _ in messages] for c, messages in parts]


def indices(answers):
    assert all(r.status == 200 for r in answers), [r for r in answers if r.status != 200][:1]
    found = [r.json["entry"]["index"] for r in answers]
    assert found == sorted(found), "a connection keeps its order"
    return found


def test_storming_talent_passes_what_need_not_wait_on_that_and_on_another_connection(f):
    # INV-12: its connection is late, its messages are judged as ever; its other connection, of which something was taken, is not even late
    s, a = f.enrol("Demo.Storm"), f.enrol("Demo.A")
    hazard = {"content": {"hazards": ["legal"]}}
    with f.conn(timeout=60) as stormed, f.conn(timeout=60) as quiet, f.conn(timeout=60) as other:
        for c, x in ((quiet, f"{s.uri}/2"), (other, f"{a.uri}/3")):
            assert c.request("POST", "/v1/messages", bytes((s if c is quiet else a).message(sender=x))).status == 200
        batch = [s.message(sender=f"{s.uri}/1", **hazard) for _ in range(60)]
        stormed.send(b"".join(stormed.bytes_of("POST", "/v1/messages", bytes(m)) for m in batch))
        codes = [(r.status, r.code) for r in (stormed.read() for _ in batch)]
        assert codes.count((202, None)) >= 30 and codes[-1] == (429, 302) and len(set(codes)) == 2, codes
        plain = [[x.message(sender=f"{x.uri}/{k}") for _ in range(10)] for k, x in ((1, s), (2, s), (3, a))]
        late, passed, others = at_once(f, list(zip((stormed, quiet, other), plain)))
        assert len(indices(late)) == 10
        assert min(indices(passed)) < max(indices(others)), "the talent's other connection has its turns"
        r = quiet.request("POST", "/v1/messages", bytes(s.message(sender=f"{s.uri}/2", **hazard)))
        assert r.code == 302 and "retry-after" in r.headers, "over the bucket it is 302, wherever it comes from"
        r = other.request("POST", "/v1/messages", bytes(a.message(sender=f"{a.uri}/3", **hazard)))
        assert r.status == 202, r
    f.verify()


def test_storm_by_a_connection_for_each_message_leaves_the_others_alone(f):
    # INV-12: also one that does not wait for its answer: what is left of it fills no queue, and who connects anew beside it is taken
    s, others = f.enrol("Demo.Storm"), [f.enrol("Demo.A", owner="alice"), f.enrol("Demo.B", owner="bob")]
    hazard = {"content": {"hazards": ["legal"]}}
    lanes, count = 8, 1600
    messages = [s.message(sender=f"{s.uri}/{i % lanes}", **hazard) for i in range(count)]
    codes, lock = {}, threading.Lock()

    def part(k):
        for i in range(k, count, lanes):
            try:
                with f.conn(timeout=60) as c:
                    if i % (2 * lanes) >= lanes:
                        c.send(c.bytes_of("POST", "/v1/messages", bytes(messages[i])))  # and goes away
                        continue
                    r = c.request("POST", "/v1/messages", bytes(messages[i]))
            except (Gone, OSError):
                continue  # more connections than there is room for
            assert r.status == 202 or "retry-after" in r.headers, r
            with lock:
                codes[r.status] = codes.get(r.status, 0) + 1

    threads = [threading.Thread(target=part, args=(k,)) for k in range(lanes)]
    for t in threads:
        t.start()
    shared = 0
    while any(t.is_alive() for t in threads) or shared < 50:
        a = others[shared % 2]
        with f.conn() as c:
            r = c.request("POST", "/v1/messages", bytes(a.message(receiver=others[(shared + 1) % 2].uri)))
        assert r.status == 200, r
        shared += 1
        time.sleep(0.01)
    for t in threads:
        t.join()
    assert set(codes) <= {202, 429, 503} and codes[429] > 100, codes
    assert f.send(s.message(sender=f"{s.uri}/0")).status == 200, "what need not wait passes"
    f.verify()
    return f"{codes}, {shared} shared beside them"


def test_flood_in_the_name_of_a_talent_makes_nobody_late_and_empties_no_bucket(f):
    # INV-01: who cannot sign moves nothing of whom they name: no bucket, no turn
    v, a = f.enrol("Demo.V"), f.enrol("Demo.A")
    hazard = {"content": {"hazards": ["legal"]}}
    forger = Agent("Demo.V")
    one = json.loads(v.message(**hazard))
    kinds = [
        bytes(forger.message(**hazard)),  # a key of its own
        json.dumps(dict(one, signature=dict(one["signature"], sig=b64u(os.urandom(63) + b"\1")))).encode(),  # the victim's
        json.dumps({k: x for k, x in one.items() if k != "signature"}).encode(),
    ]
    stop, told = threading.Event(), {}

    def flood():
        while not stop.is_set():
            try:
                with f.conn(tcp=True) as c:
                    for i in range(90):
                        r = c.request("POST", "/v1/messages", kinds[i % 3])
                        told[r.code] = told.get(r.code, 0) + 1
            except (Gone, OSError):
                pass  # 302 closes

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        wait_for(lambda: told.get(1, 0) > 500, 30, "a flood")
        with f.conn(timeout=60) as mine, f.conn(timeout=60) as other:
            for k in range(5):
                parts = [[x.message(sender=f"{x.uri}/{k}") for _ in range(10)] for x in (v, a)]
                of_mine, of_other = at_once(f, list(zip((mine, other), parts)))
                assert min(indices(of_mine)) < max(indices(of_other)) and min(indices(of_other)) < max(indices(of_mine))
            for k in range(30):
                r = mine.request("POST", "/v1/messages", bytes(v.message(sender=f"{v.uri}/9", **hazard)))
                assert r.status == 202, (k, r)
    finally:
        stop.set()
        thread.join()
    assert set(told) <= {1, 101, 302}, told
    f.verify()
    return f"{told}"


def test_single_requests_that_would_wait_long_are_304_and_lines_are_not(f):
    # INV-12: refused early rather than answered late; a connection with nothing waiting is always let in
    a = f.enrol("Demo.A")
    conns = [f.conn() for _ in range(16)]
    parts = [[a.message(sender=f"{a.uri}/{k}") for _ in range(60)] for k in range(16)]
    first = [a.message(sender=f"{a.uri}/{k}") for k in range(20, 24)]
    lines = b"\n".join(bytes(a.message(sender=f"{a.uri}/30")) for _ in range(100))
    late = [f.conn() for _ in range(5)]
    for c in conns + late:
        assert c.request("GET", "/healthz").status == 200
    f.stand_still()
    for c, part in zip(conns, parts):
        c.send(b"".join(c.bytes_of("POST", "/v1/messages", bytes(m)) for m in part))
    for c, m in zip(late, first):
        c.send(c.bytes_of("POST", "/v1/messages", bytes(m)))
    late[4].send(late[4].bytes_of("POST", "/v1/messages", lines, {"Content-Type": "application/x-ndjson"}))
    f.process.send_signal(signal.SIGCONT)
    codes = [[c.read() for _ in part] for c, part in zip(conns, parts)]
    for answers in codes:
        assert answers[0].status == 200 and {r.code if r.status != 200 else 200 for r in answers} <= {200, 104, 304}, answers[:3]
        assert all("retry-after" in r.headers for r in answers if r.status == 503)
    refused = sum(r.status == 503 for answers in codes for r in answers)
    assert refused > 100, refused
    for c in late[:4]:
        assert c.read().status == 200
    answers = late[4].read().body.splitlines()
    assert len(answers) == 100 and all(b"receipt" in x for x in answers)
    f.verify()


def test_forged_ndjson_lines_are_charged_as_well(f):
    # INV-01: a stream is no way around the limit
    f.enrol("Demo.A")
    forged = bytes(Agent("Demo.A").message())
    body, began = b"\n".join([forged] * 5000), time.monotonic()
    with f.conn(tcp=True) as c:
        r = c.request("POST", "/v1/messages", body, {"Content-Type": "application/x-ndjson"})
        codes = [json.loads(x)["error"]["code"] for x in r.body.splitlines()]
        assert r.status == 200 and len(codes) == 5000
        assert codes.count("IF_ERR_001") < 1100 + 100 * (time.monotonic() - began) and codes[-1] == "IF_ERR_302", (codes.count("IF_ERR_001"), codes[-1])
        try:
            c.request("GET", "/healthz")
            raise AssertionError("the connection stayed open")
        except (Gone, BrokenPipeError, ConnectionResetError):
            pass


def test_forged_votes_and_admin_acts_are_charged_as_well(f):
    # INV-01
    body = json.dumps({"name": "X", "pubkey": Agent("X").pub, "why": "t"}).encode()
    forged = f.admin_header("/v1/talents", body, key=Agent("x").key)
    size = f.size()
    codes = set()
    with f.conn() as c:
        for _ in range(10000):
            r = c.request("POST", "/v1/talents", body, forged)
            codes.add(r.code)
            if r.status == 429:
                break
    assert 302 in codes and codes <= {1, 4, 106, 302}, codes
    assert f.size() - size <= 1

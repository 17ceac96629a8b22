"""Inbox, long polls, event streams: committed entries after an index, nothing lost, nothing twice."""

import json
import os
import re
import threading
import time

from fabric import Events, Gone, uuid7, wait_for
from tests_decisions import held, people, source


def pair(f):
    return f.enrol("Demo.A", owner="alice"), f.enrol("Demo.B", owner="bob")


def stream(f, target, last=None, tcp=False):
    c = f.conn(tcp)
    headers = {"Accept": "text/event-stream"}
    if last is not None:
        headers["Last-Event-ID"] = last
    c.send(c.bytes_of("GET", target, None, headers))
    status, head = c.head()
    assert status == 200 and head["content-type"].startswith("text/event-stream"), (status, head)
    return c, Events(c)


def test_inbox_holds_what_was_shared_with_its_receiver_byte_for_byte(f):
    a, b = pair(f)
    sent = [a.message(receiver=b.uri) for _ in range(5)]
    for m in sent:
        assert f.send(m).status == 200
    f.send(a.message())
    page = f.inbox("Demo.B")
    assert [i["envelope"]["id"] for i in page["items"]] == [m.id for m in sent]
    raw = f.get("/v1/inbox?as=Demo.B").body
    for m in sent:
        assert bytes(m) in raw, "the exact bytes"
    assert f.inbox("Demo.A")["items"] == []
    first = page["items"][1]["cursor"]
    assert [i["envelope"]["id"] for i in f.inbox("Demo.B", after=first)["items"]] == [m.id for m in sent[2:]]
    assert f.inbox("Demo.B", after=page["next"])["items"] == []


def test_inbox_pages_without_gap_or_repeat(f):
    a, b = pair(f)
    sent = [a.message(receiver=b.uri) for _ in range(25)]
    f.lines(sent)
    got, after = [], None
    while True:
        page = f.inbox("Demo.B", after=after, limit=4)
        if not page["items"]:
            break
        got += [i["envelope"]["id"] for i in page["items"]]
        after = page["next"]
    assert got == [m.id for m in sent]


def test_long_poll_wakes_when_a_message_comes(f):
    a, b = pair(f)
    after = f.inbox("Demo.B")["next"]
    got = []

    def poll():
        at = time.monotonic()
        got.append((f.inbox("Demo.B", after=after, wait_ms=30000), time.monotonic() - at))

    t = threading.Thread(target=poll)
    t.start()
    wait_for(lambda: count_of(f, "ifab_waiters") == 1, what="its wait")
    f.send(a.message())  # not for B: wakes nobody for good
    time.sleep(0.2)
    assert not got
    m = a.message(receiver=b.uri)
    f.send(m)
    t.join()
    assert [i["envelope"]["id"] for i in got[0][0]["items"]] == [m.id], got
    assert got[0][1] < 25, "not at the end of its wait"


def test_long_poll_answers_empty_at_its_end(f):
    pair(f)
    at = time.monotonic()
    page = f.inbox("Demo.B", wait_ms=700)
    spent = time.monotonic() - at
    assert page["items"] == [] and 0.6 < spent < 20, (page, spent)


def test_hundreds_of_waiters_all_wake(f):
    # INV-12
    a, b = pair(f)
    after = f.inbox("Demo.B")["next"]
    conns = [f.conn() for _ in range(300)]
    for c in conns:
        c.send(c.bytes_of("GET", f"/v1/inbox?as=Demo.B&wait_ms=30000&after={after}"))
    wait_for(lambda: count_of(f, "ifab_waiters") == 300, what="all of them wait")
    m = a.message(receiver=b.uri)
    at = time.monotonic()
    assert f.send(m).status == 200
    for c in conns:
        r = c.read()
        assert [i["envelope"]["id"] for i in r.json["items"]] == [m.id]
        c.close()
    assert time.monotonic() - at < 20, "not at the end of their wait"


def test_four_thousand_waiters_all_wake_and_one_more_is_304(f):
    # INV-12: as many as are let in are served, whatever the readers can take at once
    a, b = pair(f)
    after = f.inbox("Demo.B")["next"]
    conns = [f.conn() for _ in range(64)]
    for c in conns:
        c.send(c.bytes_of("GET", f"/v1/inbox?as=Demo.B&wait_ms=30000&after={after}") * 64)
    gauge = lambda: int([l for l in f.get("/metrics").body.decode().splitlines() if l.startswith("ifab_waiters ")][0].split()[1])
    wait_for(lambda: gauge() == 4096, 20, "4,096 waiters")
    for target in ("/v1/inbox?as=Demo.B&wait_ms=1000", "/v1/inbox?as=Demo.A"):
        r = f.get(target)
        assert (r.status, r.code) == (503, 304) and "retry-after" in r.headers, r
    assert f.get("/v1/inbox?as=Demo.B&wait_ms=30001").code == 208
    assert f.get("/v1/events", headers={"Accept": "text/event-stream"}).code == 304
    m = a.message(receiver=b.uri)
    assert f.send(m).status == 200
    for c in conns:
        for _ in range(64):
            r = c.read()
            assert r.status == 200 and [i["envelope"]["id"] for i in r.json["items"]] == [m.id], r
        c.close()
    assert gauge() == 0


def test_commit_wakes_only_who_waits_for_it(f):
    # INV-12: other people's traffic costs a waiter nothing
    a, b = pair(f)
    other = f.enrol("Demo.C")
    after = f.inbox("Demo.C")["next"] or 0
    with f.conn() as c:
        c.send(c.bytes_of("GET", f"/v1/inbox?as=Demo.C&wait_ms=30000&after={after}"))
        gauge = lambda: [l for l in f.get("/metrics").body.decode().splitlines() if l.startswith("ifab_waiter_reads_total ")][0].split()[1]
        wait_for(lambda: int(gauge()) > 0, 5, "the first look")
        before = int(gauge())
        for _ in range(50):
            assert f.send(a.message(receiver=b.uri)).status == 200
        assert int(gauge()) == before, "it looked although nothing was for it"
        m = a.message(receiver=other.uri + "/7")
        assert f.send(m).status == 200
        assert [i["envelope"]["id"] for i in c.read().json["items"]] == [m.id]


def test_released_message_wakes_who_waits_for_it(f):
    # its receiver does not stand in the message that released it
    a, b = people(f)
    r = held(f, a)
    with f.conn() as c, f.conn() as d, f.conn() as e:
        c.send(c.bytes_of("GET", "/v1/inbox?as=Demo.R&wait_ms=20000"))
        d.send(d.bytes_of("GET", f"/v1/decisions/{r['id']}?wait_ms=20000"))
        e.send(e.bytes_of("GET", "/v1/inbox?as=Demo.R", None, {"Accept": "text/event-stream"}))
        assert e.head()[0] == 200
        source(f, b)
        assert [i["envelope"]["id"] for i in c.read().json["items"]] == [r["id"]]
        assert d.read().json["state"] == "decided"
        assert json.loads(Events(e).next()["data"])["envelope"]["id"] == r["id"]


def test_waiters_that_vanish_leave_nothing_behind(f):
    # INV-15
    a, b = pair(f)
    for _ in range(5):
        conns = [f.conn() for _ in range(100)]
        for c in conns:
            c.send(c.bytes_of("GET", "/v1/inbox?as=Demo.B&wait_ms=30000"))
        time.sleep(0.1)
        for c in conns:
            c.close()
    gauge = lambda: [l for l in f.get("/metrics").body.decode().splitlines() if l.startswith("ifab_waiters ")][0]
    wait_for(lambda: gauge().split()[1] == "0", what="an empty list of waiters, have " + gauge(), at_most=20)  # before the end of their waits
    assert f.send(a.message(receiver=b.uri)).status == 200


def test_inbox_stream_delivers_and_resumes_after_last_event_id(f):
    a, b = pair(f)
    c, events = stream(f, "/v1/inbox?as=Demo.B")
    sent = [a.message(receiver=b.uri) for _ in range(3)]
    for m in sent:
        f.send(m)
    got = [events.next() for _ in range(3)]
    assert [json.loads(e["data"])["envelope"]["id"] for e in got] == [m.id for m in sent]
    assert all(e["event"] == "message" for e in got)
    c.close()
    missed = [a.message(receiver=b.uri) for _ in range(3)]
    for m in missed:
        f.send(m)
    c, events = stream(f, "/v1/inbox?as=Demo.B", got[1]["id"])
    again = [json.loads(events.next()["data"])["envelope"]["id"] for _ in range(4)]
    assert again == [sent[2].id] + [m.id for m in missed]
    c.close()


def test_event_stream_delivers_every_entry_once_and_resumes(f):
    # INV-05
    a, _ = pair(f)
    c, events = stream(f, "/v1/events")
    start = f.size()
    f.lines([a.message() for _ in range(100)])
    got = [events.next() for _ in range(100)]
    assert [e["id"] for e in got] == [f"main/{i}" for i in range(start, start + 100)]
    entry = json.loads(got[0]["data"])
    assert got[0]["event"] == f"{entry['component']}.{entry['operation']}" and entry == f.entry(start)
    c.close()
    f.restart()
    f.send(a.message())
    c, events = stream(f, "/v1/events", got[-3]["id"])
    assert [events.next()["id"] for _ in range(3)] == [f"main/{i}" for i in range(start + 98, start + 101)]
    c.close()
    c, events = stream(f, "/v1/events", "main/0")
    assert [events.next()["id"] for _ in range(start + 100)] == [f"main/{i}" for i in range(1, start + 101)]
    c.close()


def test_event_stream_filters(f):
    a, _ = pair(f)
    trace = uuid7()
    c, events = stream(f, f"/v1/events?trace={trace}")
    d, messages = stream(f, "/v1/events?type=message")
    f.post("/v1/talents/Demo.B/grants", {"scope": "x", "why": "t"})
    f.send(a.message())
    f.send(a.message(trace=trace))
    assert json.loads(events.next()["data"])["trace"] == trace
    assert [json.loads(messages.next()["data"])["type"] for _ in range(2)] == ["message"] * 2
    c.close()
    d.close()


def test_strange_last_event_ids_do_no_harm(f):
    # INV-15
    a, _ = pair(f)
    for last in (
        "",
        "x",
        "main/",
        "main/x",
        "main/99999999999999999999",
        "main/-1",
        "-1",
        "9" * 15,
        "a/b/c/0",
        "main/9007199254740993",
        "\u00ff",
    ):
        c, events = stream(f, "/v1/events", last)
        f.send(a.message())
        assert events.next()["id"].startswith("main/")
        c.close()


def test_client_that_never_reads_is_told_lagged_and_closed(f):
    # INV-12: 256 KiB wait for a stream, not more
    a, _ = pair(f)
    c, events = stream(f, "/v1/events")
    d, healthy = stream(f, "/v1/events?type=talent")
    f.lines([a.message(content={"claim": "x" * 250}) for _ in range(9000)])
    last, count = None, 0
    try:
        while True:
            event = events.next()
            last, count = event, count + 1
    except Gone:
        pass
    assert last["event"] == "lagged" and count < 9000, (last, count)
    resume = count - 1
    f.post("/v1/talents/Demo.B/grants", {"scope": "x", "why": "t"})
    assert json.loads(healthy.next()["data"])["type"] == "talent", "other streams go on"
    c.close()
    d.close()
    return f"lagged after {resume} events"


def test_head_of_streams_and_polls_answers_at_once_without_a_body(f):
    # INV-15
    pair(f)
    for target in ("/v1/events", "/v1/inbox?as=Demo.B", "/v1/inbox?as=Demo.B&wait_ms=20000"):
        with f.conn(timeout=15) as c:  # less than they would wait
            c.send(c.bytes_of("HEAD", target, None, {"Accept": "text/event-stream"}))
            status, _ = c.head()
            assert status in (200, 405), status
            c.send(c.bytes_of("GET", "/healthz"))
            assert c.read().status == 200, "framing kept"
    assert f.get("/healthz").status == 200


def test_streams_count_as_connections_and_die_with_them(f):
    pair(f)
    opened = [stream(f, "/v1/events") for _ in range(200)]
    assert f.get("/healthz").status == 200
    for c, _ in opened:
        c.close()
    gauge = lambda: int([l for l in f.get("/metrics").body.decode().splitlines() if l.startswith("ifab_waiters ")][0].split()[1])
    wait_for(lambda: gauge() == 0, 5, "an empty list of waiters")


def test_tiles_altered_or_deleted_while_it_runs_are_made_again(f):
    # INV-05: the files are a cache of the log; what is served is what the root covers, and a proof that is given holds
    a = f.enrol("Demo.A")
    f.lines([a.message() for _ in range(700)])
    names = ["/tile/0/000", "/tile/0/001", "/tile/entries/000", "/tile/entries/001"]
    paths = [f.data + "/tiles" + name for name in names]
    wait_for(lambda: all(os.path.exists(p) for p in paths), 10, "the tiles")
    good = [f.get(name).body for name in names]
    proof = f.get("/v1/witness/proof?index=300&size=600").json
    for how in ("altered", "cut", "deleted"):
        for p in paths:
            with open(p, "rb") as file:
                data = bytearray(file.read())
            data[len(data) // 2] ^= 1
            if how == "deleted":
                os.unlink(p)
                continue
            with open(p, "wb") as file:
                file.write(data if how == "altered" else data[:-1])
        assert f.get("/v1/witness/proof?index=300&size=600").json == proof, how
        assert [f.get(name).body for name in names] == good, how
        for p, g in zip(paths, good):
            with open(p, "rb") as file:
                assert file.read() == g, (how, p)
    f.verify()
    with open(paths[2], "r+b") as file:  # and nothing that was altered while nobody looked stays so over a restart
        file.seek(400)
        file.write(b"\0")
    f.restart()
    assert [f.get(name).body for name in names] == good


def count_of(f, name):
    return int([l for l in f.get("/metrics").body.decode().splitlines() if l.startswith(name + " ")][0].split()[1])


def test_thousands_of_idle_streams_are_not_looked_at_and_lose_nothing(f):
    # INV-12: what nobody wants costs a stream nothing; what it wants comes once, however many filters there are
    a, b = pair(f)
    traces = [uuid7() for _ in range(50)]  # more than are told apart
    filters = ["/v1/events?component=nothing"] * 1500 + ["/v1/inbox?as=Demo.A"] * 900 + [f"/v1/events?trace={t}" for t in traces]
    memory = lambda: int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{f.process.pid}/status", encoding="ascii").read())[1])
    before = memory()
    open_ones = [stream(f, x) for x in filters]
    if "TSAN_OPTIONS" not in os.environ:  # which has memory of its own
        assert memory() - before < 32 * len(filters), "KiB a stream"
    everything = stream(f, "/v1/events")[1]
    wait_for(lambda: count_of(f, "ifab_waiters") == len(filters) + 1, 10, "all of them")
    wait_for(lambda: (n := count_of(f, "ifab_waiter_reads_total")) >= len(filters) and (time.sleep(0.5), count_of(f, "ifab_waiter_reads_total") == n)[1], what="each has looked once")
    first, reads = f.size(), count_of(f, "ifab_waiter_reads_total")
    for _ in range(30):
        assert f.send(a.message(receiver=b.uri)).status == 200
    got = [int(everything.next()["id"].rsplit("/", 1)[1]) for _ in range(30)]
    assert got == list(range(first, first + 30))
    looked = count_of(f, "ifab_waiter_reads_total") - reads
    assert looked <= 30 * (len(traces) - 30), f"{looked} reads"
    sent = {t: f.send(a.message(trace=t)).json["entry"]["index"] for t in traces}
    for (_, events), t in zip(open_ones[2400:], traces):
        e = events.next()
        assert int(e["id"].rsplit("/", 1)[1]) == sent[t] and json.loads(e["data"])["trace"] == t, e
    for c, _ in open_ones:
        c.close()
    wait_for(lambda: count_of(f, "ifab_waiters") <= 1, 10, "their end")
    assert f.send(a.message()).status == 200
    f.verify()


test_thousands_of_idle_streams_are_not_looked_at_and_lose_nothing.config = {"http.socket_connections": 3000}


def test_connections_of_the_socket_are_as_many_as_configured(f):
    conns = []
    for _ in range(20):
        c = f.conn()
        conns.append(c)
    r = [c.request("GET", "/healthz").status for c in conns]
    assert r == [200] * 20
    for _ in range(12):
        conns.append(f.conn())
    assert conns[31].request("GET", "/healthz").status == 200
    last = f.conn()
    assert last.read().status == 503
    conns.pop().close()

    def has_a_place():
        try:
            with f.conn() as c:
                return c.request("GET", "/healthz").status == 200
        except (Gone, BrokenPipeError, ConnectionResetError):
            return False  # turned away before it had asked

    wait_for(has_a_place, what="a place")


test_connections_of_the_socket_are_as_many_as_configured.config = {"http.socket_connections": 32}

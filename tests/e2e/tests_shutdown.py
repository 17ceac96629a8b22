"""SIGTERM: what was acknowledged is there, who waits is answered, exit 0."""

import signal
import threading
import time

from fabric import PATIENCE, Events, Gone, wait_for
from tests_tasks_bounds import waiters


def test_sigterm_during_traffic_keeps_everything_acknowledged(f):
    # INV-04 INV-05
    agents = [f.enrol(f"Agent{i}") for i in range(6)]
    acked, other = [], []

    def write(a):
        try:
            with f.conn() as c:
                while True:
                    m = a.message()
                    r = c.request("POST", "/v1/messages", bytes(m))
                    if r.status != 200:
                        other.append(r)
                        return
                    acked.append((m, r.json))
        except (Gone, OSError):
            pass

    threads = [threading.Thread(target=write, args=(a,)) for a in agents]
    for t in threads:
        t.start()
    wait_for(lambda: len(acked) > 20, what="traffic")
    assert f.stop() == 0, f.tail()
    for t in threads:
        t.join()
    assert all(r.status == 503 for r in other), other
    f.start()
    with f.conn() as c:
        for m, receipt in acked:
            assert c.request("GET", f"/v1/messages/{m.id}").json == receipt
            assert c.request("POST", "/v1/messages", bytes(m)).code == 103
    f.verify()
    return f"{len(acked)} acknowledged"


def test_sigterm_answers_long_polls_and_ends_streams(f):
    f.enrol("Demo.A", owner="alice")
    polls = [f.conn() for _ in range(20)]
    for i, c in enumerate(polls):
        c.send(c.bytes_of("GET", "/v1/inbox?as=Demo.A&wait_ms=30000"))
    streams = []
    for target in ("/v1/events", "/v1/inbox?as=Demo.A"):
        c = f.conn()
        c.send(c.bytes_of("GET", target, None, {"Accept": "text/event-stream"}))
        assert c.head()[0] == 200
        streams.append(c)
    wait_for(lambda: waiters(f.get("/metrics").body) == len(polls) + len(streams), what="all of them wait")
    began = time.monotonic()
    f.process.send_signal(signal.SIGTERM)
    for c in polls:
        r = c.read()
        assert r.status == 200 and r.json["items"] == [], r
    for c in streams:
        while c.chunk():
            pass
    assert f.process.wait(PATIENCE) == 0
    assert time.monotonic() - began < 20, "not at the end of their own wait"
    f._reaped()


def test_sigterm_with_busy_streams_and_traffic_ends_soon(f):
    a = f.enrol("Demo.A", owner="alice")
    readers, cut = [], []
    for _ in range(30):
        c = f.conn()
        c.send(c.bytes_of("GET", "/v1/events", None, {"Accept": "text/event-stream"}))
        assert c.head()[0] == 200
        readers.append(c)

    def read(c):
        events = Events(c)
        try:
            while True:
                events.next()
        except (Gone, OSError, ValueError) as e:
            if "stream ended" not in str(e):
                cut.append(e)

    def write():
        try:
            with f.conn() as c:
                while c.request("POST", "/v1/messages", bytes(a.message())).status == 200:
                    pass
        except (Gone, OSError):
            pass

    threads = [threading.Thread(target=read, args=(c,)) for c in readers] + [threading.Thread(target=write)]
    for t in threads:
        t.start()
    time.sleep(0.5)
    began = time.monotonic()
    assert f.stop() == 0
    spent = time.monotonic() - began
    for t in threads:
        t.join(PATIENCE)
        assert not t.is_alive()
    assert not cut or spent > 5, f"who reads is told that it ends, within the time that answers have to leave: {cut[:3]}"


def test_sigterm_with_idle_and_half_open_connections_ends_soon(f):
    idle = [f.conn(tcp=i % 2 == 0) for i in range(30)]
    for c in idle[:10]:
        c.send(b"GET /healthz HTTP/1.1\r\nHost: loc")
    for c in idle[10:20]:
        c.send(b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
    time.sleep(0.2)
    began = time.monotonic()
    assert f.stop(timeout=60) == 0
    assert time.monotonic() - began < 12, time.monotonic() - began


def test_sigterm_with_everything_open_at_once_ends_soon_and_keeps_what_was_told(f):
    # INV-04: streams, polls, half a body, pipelines
    a, b = f.enrol("Demo.A", owner="alice"), f.enrol("Demo.B")
    keep, acked = [], []
    for i in range(20):
        c = f.conn(tcp=i % 2 == 0)
        body = bytes(a.message())
        head = c.bytes_of("POST", "/v1/messages", body, {"Content-Type": "application/x-ndjson"} if i % 4 < 2 else None)
        c.send(head[: len(head) - 1 - i])
        keep.append(c)
    for target in ("/v1/events", "/v1/inbox?as=Demo.A") * 5:
        c = f.conn()
        c.send(c.bytes_of("GET", target, None, {"Accept": "text/event-stream"}))
        assert c.head()[0] == 200
        keep.append(c)
    polls = [f.conn() for _ in range(10)]
    for c in polls:
        c.send(c.bytes_of("GET", "/v1/inbox?as=Demo.A&wait_ms=30000") * 8)
    sent = [b.message() for _ in range(400)]

    def pipeline():
        try:
            with f.conn() as c:
                c.send(b"".join(c.bytes_of("POST", "/v1/messages", bytes(m)) for m in sent))
                for m in sent:
                    r = c.read()
                    if r.status != 200:
                        return
                    acked.append((m, r.json))
        except (Gone, OSError):
            pass

    t = threading.Thread(target=pipeline)
    t.start()
    while not acked:
        time.sleep(0.005)
    began = time.monotonic()
    assert f.stop() == 0
    assert time.monotonic() - began < 20, "not at the end of what waits"
    t.join()
    for c in polls:
        for _ in range(8):
            assert c.read().status == 200
    f.start()
    for m, receipt in acked:
        assert f.get(f"/v1/messages/{m.id}").json == receipt
    f.verify()
    return f"{len(acked)} acknowledged"


def test_sigterm_with_clients_that_never_read_ends_soon(f):
    # INV-12
    a = f.enrol("Demo.A", owner="alice")
    stuck = []
    for _ in range(3):
        c = f.conn()
        c.send(c.bytes_of("GET", "/v1/events", None, {"Accept": "text/event-stream", "Last-Event-ID": "main/0"}))
        stuck.append(c)
    f.lines([a.message(content={"claim": "x" * 200}) for _ in range(300)])
    for tcp in (False, True):
        c = f.conn(tcp)
        c.sock.settimeout(1)
        try:
            for _ in range(4000):
                c.send(c.bytes_of("GET", "/openapi.json") * 8)
        except TimeoutError:
            pass
        stuck.append(c)
    began = time.monotonic()
    assert f.stop(timeout=120) == 0
    assert time.monotonic() - began < 15, time.monotonic() - began
    return f"{time.monotonic() - began:.1f} s"


def test_sigterm_during_an_ndjson_body_answers_it(f):
    # INV-04
    a = f.enrol("Demo.A")
    sent = [a.message() for _ in range(5000)]
    c = f.conn()
    c.send(c.bytes_of("POST", "/v1/messages", b"\n".join(sent), {"Content-Type": "application/x-ndjson"}))
    time.sleep(0.05)
    f.process.send_signal(signal.SIGTERM)
    r = c.read()
    assert r.status == 200 and r.body.count(b"receipt") == 5000, r
    assert f.process.wait(PATIENCE) == 0
    f._reaped()


def test_second_sigterm_ends_at_once(f):
    c = f.conn()
    c.send(b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
    wait_for(lambda: "\nifab_connections 2\n" in f.get("/metrics").body.decode(), what="its connection")
    f.process.send_signal(signal.SIGTERM)
    wait_for(lambda: '"event":"stopping"' in f.tail(), what="the first one")  # two that wait together are one
    began = time.monotonic()
    if f.process.poll() is None:
        f.process.send_signal(signal.SIGTERM)
    f.process.wait(PATIENCE)
    assert time.monotonic() - began < 4, "not when the time is over that answers have to leave"
    f._reaped()
    f.start()
    f.verify()


def test_socket_goes_with_the_daemon_and_comes_back(f):
    import os

    assert f.stop() == 0
    assert not os.path.exists(f.unix)
    f.start()
    f.kill()
    assert os.path.exists(f.unix)
    f.start()  # a dead socket file is replaced
    assert f.get("/healthz").status == 200

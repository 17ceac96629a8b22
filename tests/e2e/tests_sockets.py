"""WebSockets of a guest, asked for in every form by a guest that passes on what the test says. INV-07, INV-08, INV-09, INV-15."""

import base64
import hashlib
import json
import os
import ssl
import tempfile
import threading

from fabric import Gone
from tests_adapters import call, close_breaker, plan, ready
from tests_certs import openssl
from tests_vault import put, spellings
from websocket import BINARY, CLOSE, TEXT, WebSocketServer, obs_answer

GUEST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "guests", "sockets")
PASSWORD = "canary-5f2c9e71d0"


class Asker:
    """The fabric, the guest, and a server whose script is changed from call to call."""

    def __init__(self, f, context=None, settings=None, deadline_ms=None):
        self.f = f
        self.change = deadline_ms and (lambda m: m["limits"].update(deadline_ms=deadline_ms))  # else no call here lives so long
        self.script = None
        self.settings = settings
        self.server = WebSocketServer(lambda peer: self.script(peer), context)
        self.url = f"{'ws' if context is None else 'wss'}://127.0.0.1:{self.server.port}"

    def __enter__(self):
        self.head = ready(self.f, "test.sockets", "sockets.example", self.server, source=GUEST, settings=self.settings, change=self.change)
        r = put(self.f, "PASSWORD", PASSWORD, self.url)
        assert r.status == 201, r
        return self

    def __exit__(self, *_):
        self.server.__exit__()

    def open(self, path="/write", **more):
        return {"method": "GET", "url": self.url + path, **more}

    def raw(self, *requests, mode="apply"):
        texts = [r if isinstance(r, str) else json.dumps(r) for r in requests]
        texts = [t.replace('"secret"', '"\\u0073ecret"') for t in texts]  # parameters that look like secrets go to no guest
        r = call(self.f, self.head, "test.sockets", "ask", {"requests": texts}, mode=mode)
        close_breaker(self.f, "test.sockets")
        return r

    def ask(self, script, *requests, mode="apply"):
        """What came of each request; of an error its number alone, of much its size."""
        self.script = script
        r = self.raw(*requests, mode=mode)
        assert r.status == 200, r
        return [int(a["error"]["code"].rsplit("_", 1)[1]) if isinstance(a, dict) and "error" in a else a for a in r.json["result"]]

    def over(self):
        """The server's side of it has ended."""
        while len(self.server.ended) == 0:
            self.server.stopping.wait(0.02)
        return self.server.ended.pop()


def echo(peer):
    peer.handshake()
    while (got := peer.receive())[0] != CLOSE:
        peer.send(got[1], got[0])
    peer.send(got[1], CLOSE)


OPENED = {"headers": {}, "socket": 1, "status": 101}


def test_a_guest_opens_sends_receives_and_closes(f):
    with Asker(f) as a:
        got = a.ask(
            echo, a.open(), {"socket": 1, "send": "caf\u00e9"}, {"socket": 1, "receive": 60000}, {"socket": 1, "send_b64": "/wA="},
            {"socket": 1, "receive": 60000}, {"socket": 1, "send": "a\0b"}, {"socket": 1, "receive": 60000}, {"socket": 1, "send": ""},
            {"socket": 1, "receive": 60000}, {"socket": 1, "receive": 0}, {"socket": 1, "receive": 20}, {"socket": 1, "close": True},
            {"socket": 1, "receive": 0},
        )  # fmt: skip
        assert got == [
            OPENED, {"socket": 1}, {"binary": False, "message": "caf\u00e9", "socket": 1}, {"socket": 1}, {"binary": True, "message_b64": "/wA=", "socket": 1},
            {"socket": 1}, {"binary": False, "message_b64": "YQBi", "socket": 1}, {"socket": 1}, {"binary": False, "message": "", "socket": 1},
            {"socket": 1}, {"socket": 1}, {"closed": 1000, "socket": 1}, 208,
        ], got  # fmt: skip
        a.over()
        assert a.ask(echo, {"socket": 1, "receive": 0}) == [208]  # of an earlier call
        got = a.ask(echo, a.open(), a.open(), a.open(), a.open(), a.open(), {"socket": 3, "send": "x"}, {"socket": 3, "receive": 60000})
        assert got[3]["socket"] == 4 and got[4] == 302 and got[6] == {"binary": False, "message": "x", "socket": 3}, got
        for _ in range(4):
            a.over()  # nobody closed them: they ended with the call
        f.verify()


def test_what_is_no_form_is_refused(f):
    bad = [
        {"socket": 1}, {"socket": 1, "send": "a", "receive": 1}, {"socket": 1, "close": False}, {"socket": 1, "close": 1}, {"socket": "1", "close": True},
        {"socket": 0, "close": True}, {"socket": 2, "close": True}, {"socket": 4294967297, "close": True}, {"socket": 1, "receive": -1},
        {"socket": 1, "receive": 1.5}, {"socket": 1, "receive": 300001}, {"socket": 1, "send": "x", "url": "ws://x/"}, {"socket": 1, "send_b64": "A"},
        {"socket": 1, "send": 1}, {"socket": 1, "send": "x", "binary": True}, {"socket": 1, "send": "{{answer}}", "answer": {}},
        {"socket": 1, "receive": 0, "answer": {"secret": "PASSWORD", "salt": "s", "challenge": "c"}},
        {"socket": 1, "send_b64": "e3thbnN3ZXJ9fQ==", "answer": {"secret": "PASSWORD", "salt": "s", "challenge": "c"}},
        {"socket": 1, "send": "{{answer}}", "answer": {"secret": "PASSWORD", "salt": "s", "challenge": "c", "more": 1}},
        {"socket": 1, "send": "{{answer}}", "answer": {"secret": "PASSWORD", "salt": "", "challenge": "c"}},
        '{"socket":1,"socket":1,"close":true}', '{"socket":null,"close":true}', "[]", "",
    ]  # fmt: skip
    with Asker(f) as a:
        got = a.ask(echo, a.open(), *bad, {"socket": 1, "send": "still"}, {"socket": 1, "receive": 60000})
        assert got[1 : 1 + len(bad)] == [208] * len(bad), got
        assert got[-1]["message"] == "still", got
        no = [a.open(method="POST"), a.open(body="x"), a.open(headers={"Origin": "http://x"}), a.open(headers={"Sec-WebSocket-Key": "x"})]
        no += [dict(a.open(), method="POST", body="x"), a.open("/../read")]
        assert a.ask(echo, *no) == [208] * len(no)
        assert a.ask(echo, a.open(secret="PASSWORD")) == [206]  # it answers a challenge, and goes into no handshake
        assert a.raw(a.open("/other")).code == 501  # no row: a violation
        assert a.raw(dict(a.open(), url=a.url.replace("ws:", "http:") + "/read")).code == 501  # a row of ws is none of http
        f.verify()


def test_over_tls_a_server_proves_who_it_is(f):
    def sends(peer):
        peer.handshake()
        for _ in range(20):
            peer.send("z" * 60000)
        peer.receive()

    with tempfile.TemporaryDirectory() as folder:
        crt, key = os.path.join(folder, "crt"), os.path.join(folder, "key")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", crt, "-days", "1",
                "-subj", "/CN=here", "-addext", "subjectAltName=IP:127.0.0.1")  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(crt, key)
        with Asker(f, context, {"egress.ca": crt}) as a:
            got = a.ask(echo, a.open(), {"socket": 1, "send": "x"}, {"socket": 1, "receive": 60000}, {"socket": 1, "close": True})
            assert got[2]["message"] == "x" and got[3] == {"closed": 1000, "socket": 1}, got
            got = a.ask(sends, a.open(), *[{"socket": 1, "receive": 60000}] * 20)
            assert all(isinstance(size, int) and size > 60000 for size in got[1:]), got
            assert a.raw(dict(a.open(), url=a.url.replace("wss:", "ws:") + "/tls")).code == 501  # rows of wss are none of ws
            f.configure({"capabilities.config": [], "egress.allow": [f"test.sockets 127.0.0.1/32 {a.server.port}"]})
            f.restart()
            assert a.ask(echo, a.open()) == [503]  # an authority that nobody named
            f.verify()


def test_a_row_tells_whether_a_dry_run_may_open_it(f):
    with Asker(f) as a:
        assert a.ask(echo, a.open("/write"), mode="dry-run") == [3]
        got = a.ask(echo, a.open("/read"), {"socket": 1, "send": "x"}, {"socket": 1, "receive": 60000}, mode="dry-run")
        assert got[2] == {"binary": False, "message": "x", "socket": 1}, got


def test_a_server_that_misbehaves_costs_the_call_alone(f):
    def leaves(peer):
        peer.handshake()
        peer.send("one")
        peer.send("two")
        peer.leave(4009)

    def drops(peer):
        peer.handshake()
        peer.send("one")
        peer.receive()

    def huge(peer):
        peer.handshake()
        peer.send("x" * (64 * 1024 + 1))
        peer.receive()

    cut_off = threading.Event()

    def floods(peer):
        peer.handshake()
        if peer.path == "/read":
            cut_off.wait()
            peer.send("cut off")
            return
        try:
            for _ in range(2000):
                peer.send("y" * 60000)
        finally:
            cut_off.set()

    def no_upgrade(peer):
        peer.conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        peer.file.read()

    receive, close = {"socket": 1, "receive": 60000}, {"socket": 1, "close": True}
    with Asker(f) as a:
        got = a.ask(leaves, a.open(), receive, receive, receive, receive, {"socket": 1, "send": "x"}, close, close)
        assert [g.get("message") for g in got[1:3]] == ["one", "two"], got  # what came before is told before
        assert got[3:] == [{"closed": 4009, "socket": 1}] * 2 + [503, {"closed": 4009, "socket": 1}, 208], got
        assert a.ask(drops, a.open(), receive, {"socket": 1, "send": "go"}, receive, close)[3:] == [503, {"closed": 1006, "socket": 1}]
        assert a.ask(huge, a.open(), receive, {"socket": 1, "send": "x"}) == [OPENED, 109, 503]
        got = a.ask(floods, a.open(), a.open("/read"), {"socket": 2, "receive": 60000}, *[receive] * 40, close)
        assert got[2]["message"] == "cut off", got
        kept = sum(isinstance(g, int) and g > 60000 for g in got)
        assert 30 <= kept <= 2 * 1024 * 1024 // 60000, got  # what fits waits, and is told before the end is
        assert got[3 + kept : -1] == [109] * (40 - kept) and got[-1] == {"closed": 1006, "socket": 1}, got
        assert a.ask(no_upgrade, a.open(), a.open()) == [503, 503]
        f.verify()


def test_a_call_ends_by_its_deadline_whatever_its_sockets_wait_for(f):
    def silent(peer):
        peer.handshake()
        peer.receive()

    def never(peer):
        peer.file.read()

    with Asker(f, deadline_ms=4000) as a:
        a.script = silent
        assert a.raw(a.open(), {"socket": 1, "receive": 60000}).code == 502
        a.script = never
        assert a.raw(a.open()).code == 502
        f.verify()


def test_a_daemon_that_stops_leaves_its_sockets(f):
    opened = threading.Event()

    def silent(peer):
        peer.handshake()
        opened.set()
        peer.receive()

    with Asker(f) as a:
        a.script = silent
        r = plan(f, a.head, "test.sockets", "ask", {"requests": [json.dumps(a.open()), '{"socket":1,"receive":60000}']})
        assert r.status == 201, r

        def apply():
            try:
                f.post("/v1/capabilities/test.sockets/apply", {"plan_hash": r.json["plan_hash"]}, a.head)
            except (OSError, Gone):
                pass  # the daemon stopped

        asking = threading.Thread(target=apply)
        asking.start()
        opened.wait()
        assert f.stop() == 0
        a.over()
        asking.join()
        f.start()
        f.verify()


def test_a_challenge_is_answered_and_the_guest_sees_nothing_of_it(f):
    right = obs_answer(PASSWORD, "salt", "challenge")

    def asks(peer):
        peer.handshake()
        op, data = peer.receive()
        peer.send("right" if (op, data) == (TEXT, f'{{"a":"{right}"}}'.encode()) else "wrong")
        peer.receive()

    def tells(make):
        def script(peer):
            peer.handshake()
            _, data = peer.receive()
            peer.send(*make(data))
            peer.receive()

        return script

    answer = {"socket": 1, "send": '{"a":"{{answer}}"}', "answer": {"secret": "PASSWORD", "salt": "salt", "challenge": "challenge"}}
    receive = {"socket": 1, "receive": 60000}
    with Asker(f) as a:
        start = f.size()
        got = a.ask(asks, a.open(), dict(answer, send="no mark"), dict(answer, answer=dict(answer["answer"], secret="OTHER")), answer, receive, answer)
        assert got == [OPENED, 208, 206, {"socket": 1}, {"binary": False, "message": "right", "socket": 1}, 208], got
        accesses = [e for e in f.entries(start) if (e["component"], e["operation"]) == ("SecretVault", "get")]
        assert len(accesses) == 3, accesses  # each that was asked for, before it could be known what comes of it
        assert accesses[0]["payload"] == {"name": "PASSWORD", "origin": a.url, "version": 1}
        half = base64.b64encode(hashlib.sha256((PASSWORD + "salt").encode()).digest()).decode()
        for make in (
            lambda data: (data,), lambda data: (data[::-1],), lambda data: (half,), lambda data: ("x" + PASSWORD + "y",),
            lambda data: (PASSWORD.encode(), BINARY),
            lambda data: (base64.b64encode(PASSWORD.encode()),), lambda data: (right.replace("=", "\\u003d"),),
        ):  # fmt: skip
            a.script = tells(make)
            r = a.raw(a.open(), answer, receive)
            assert r.code == 501, r  # withheld, and the call is a violation
        a.script = tells(lambda data: (PASSWORD,))
        assert a.raw(a.open(), {"socket": 1, "send": "x"}, receive).code == 501  # a live secret that this socket was never given
        r = f.admin("/v1/secrets/PASSWORD/revoke", {})
        assert r.status == 200, r
        assert a.ask(asks, a.open(), answer)[1] in (3, 206)
        elsewhere = put(f, "PASSWORD", PASSWORD, "ws://127.0.0.1:1")
        assert elsewhere.status == 201, elsewhere
        assert a.ask(asks, a.open(), answer)[1] == 3  # its record names another origin
        for spelled in (*spellings(PASSWORD), right.encode(), half.encode()):
            assert f.grep(spelled) == [], spelled
        f.verify()

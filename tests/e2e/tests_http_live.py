"""HTTP on the live daemon: who may come in, and what strange requests get."""

import json
import os
import socket
import threading
import time

from fabric import PATIENCE, Agent, Gone, uuid7
from tests_decisions import escalated, people


def refused(r, status, code=None):
    assert r.status == status and (code is None or r.code == code), f"expected {status}/{code}, got {r!r}"
    return r


def raw(f, data, tcp=True, count=1):
    with f.conn(tcp) as c:
        c.send(data)
        return [c.read() for _ in range(count)]


def test_host_that_is_not_ours_is_421(f):
    port = f.tcp[1]
    for host in (
        "evil.example",
        f"evil.example:{port}",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "[::2]",
        "0",
        "169.254.169.254",
    ):
        for path in ("/healthz", "/v1/fabric", "/v1/messages", "/nothing"):
            refused(f.get(path, headers={"Host": host}, tcp=True), 421)
    for host in (f"127.0.0.1:{port}", "localhost", "LOCALHOST:1", "[::1]:80"):
        assert f.get("/healthz", headers={"Host": host}, tcp=True).status == 200, host


def test_missing_two_or_empty_hosts_are_refused(f):
    for head in (b"", b"Host: localhost\r\nHost: localhost\r\n", b"Host: \r\n", b"Host: a b\r\n"):
        r = raw(f, b"GET /healthz HTTP/1.1\r\n" + head + b"\r\n")[0]
        assert r.status in (400, 421), (head, r)


def test_foreign_origin_and_fetch_site_are_403_on_every_route(f):
    a = f.enrol("Demo.A")
    m = bytes(a.message())
    port = f.tcp[1]
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"https://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "bogus"},
    ):
        for method, path, body in (
            ("GET", "/healthz", None),
            ("GET", "/checkpoint", None),
            ("GET", "/v1/fabric", None),
            ("POST", "/v1/messages", m),
        ):
            refused(f.http(method, path, body, headers, tcp=True), 403, 3)
    assert f.last_seq(a) == {}
    ok = {"Origin": f"http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"}
    assert f.http("POST", "/v1/messages", m, ok, tcp=True).status == 200
    assert "access-control-allow-origin" not in f.http("GET", "/healthz", None, ok, tcp=True).headers


def test_wrong_content_type_is_415_over_tcp(f):
    a = f.enrol("Demo.A")
    m = bytes(a.message())
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/jsonx",
        "text/json",
        "",
        None,
        "application/json, text/plain",
    ):
        r = f.http("POST", "/v1/messages", m, {"Content-Type": kind}, tcp=True)
        assert r.status == 415, (kind, r)
    assert f.last_seq(a) == {}
    assert f.http("POST", "/v1/messages", m, {"Content-Type": "Application/JSON; charset=utf-8"}, tcp=True).status == 200


PROTECTED = [
    "/v1/inbox",
    "/v1/decisions",
    "/v1/talents",
    "/v1/talents/operator",
    "/v1/talents/operator/sequences",
    "/v1/witness/entries",
    "/v1/witness/entries/0",
    "/v1/witness/messages/0",
    "/v1/anchors",
    "/v1/events",
    "/v1/slo",
    "/metrics",
    "/v1/messages/msg-0",
    "/v1/decisions/msg-0",
    "/v1/tasks",
    "/v1/secrets",
    "/v1/witness/proof?index=0&size=1",
    "/v1/witness/consistency?old=1&new=1",
]


def test_tcp_without_a_token_is_401_on_every_protected_route(f):
    # INV-01
    for path in PROTECTED:
        r = refused(f.get(path, tcp=True), 401, 2)
        assert r.headers["www-authenticate"].startswith("Bearer"), r.headers
        refused(f.get(path, tcp=True, headers={"Authorization": "Bearer " + "A" * 43}), 401)
    size = f.size()
    for path, body in (
        ("/v1/talents", {"name": "X", "pubkey": Agent("X").pub, "why": "t"}),
        ("/v1/talents/operator/grants", {"scope": "x", "why": "t"}),
        ("/v1/talents/operator/keys", {"pubkey": Agent("X").pub}),
        ("/v1/talents/operator/revoke", {"talent": True, "why": "t"}),
        ("/v1/witness/erase", {"id": "msg-" + uuid7()}),
        ("/v1/anchors", {"why": "t"}),
        ("/v1/backup", {"directory": "/tmp/x", "why": "t"}),
        ("/v1/log-keys", {}),
        ("/v1/log-keys/rotate", b'{"to":"x"}'),
        ("/v1/clock/accept", {"why": "t"}),
        ("/v1/tokens", {}),
        ("/v1/decisions/msg-" + uuid7() + "/votes", {}),
    ):
        refused(f.post(path, body, tcp=True), 401, 2)
    assert not [e for e in f.entries(size) if e["operation"] != "refusals_counted"]  # those may come at any time


def test_admin_act_over_tcp_does_not_replace_a_token(f):
    body = json.dumps({"name": "X", "pubkey": Agent("X").pub, "why": "t"}).encode()
    refused(f.post("/v1/talents", body, f.admin_header("/v1/talents", body), tcp=True), 401, 2)


def test_open_routes_over_tcp(f):
    f.enrol("Demo.A")
    for path in (
        "/healthz",
        "/readyz",
        "/v1/fabric",
        "/openapi.json",
        "/checkpoint",
        "/log/main/checkpoint",
        "/tile/0/000.p/2",
        "/log/main/tile/0/000.p/2",
    ):
        assert f.get(path, tcp=True).status == 200, path


def test_entries_tile_over_tcp_is_refused(f):
    for path in ("/tile/entries/000.p/2", "/log/main/tile/entries/000.p/2"):
        assert f.get(path).status == 200, path
        refused(f.get(path, tcp=True), 401, 2)
    for path in (
        "/tile/entries/../entries/000.p/2",
        "/tile//entries/000.p/2",
        "/tile/%65ntries/000.p/2",
        "/tile/entries/000.p/2/",
        "/Tile/entries/000.p/2",
    ):
        assert f.get(path, tcp=True).status in (400, 401, 404), path


def test_head_answers_without_a_body(f):
    for path in ("/healthz", "/v1/fabric", "/v1/talents", "/nothing"):
        with f.conn() as c:
            get = c.request("GET", path)
            head = c.request("HEAD", path)
            assert head.status == get.status and head.body == b"", (path, head, get)
            assert c.request("GET", "/healthz").status == 200, "framing kept"


def test_unknown_route_is_404_and_wrong_method_405(f):
    for path in ("/nothing", "/v1", "/v1/", "/v1/messagesx", "/v1/talents/a/b/c", "//", "/v1//talents", "/v1/talents/", "/healthz/"):
        refused(f.get(path), 404)
    for method, path in (
        ("GET", "/v1/messages"),
        ("POST", "/healthz"),
        ("DELETE", "/v1/talents"),
        ("PUT", "/v1/talents/operator"),
        ("PATCH", "/v1/talents"),
        ("OPTIONS", "/v1/messages"),
        ("POST", "/checkpoint"),
        ("GET", "/v1/backup"),
    ):
        r = f.http(method, path, b"{}" if method != "GET" else None)
        assert r.status == 405 and r.headers.get("allow"), (method, path, r, r.headers)
    for method in ("TRACE", "CONNECT", "PROPFIND", "BREW", "get"):
        r = f.http(method, "/healthz")
        assert r.status in (400, 405, 501), (method, r)


def test_parts_that_come_later_are_509(f):
    for method, path in (
        ("POST", "/v1/bus/x"),
        ("GET", "/v1/bus/dlq"),
        ("POST", "/mcp"),
    ):
        refused(f.http(method, path, b"{}" if method == "POST" else None), 501, 509)


def test_unknown_repeated_and_broken_query_parameters_are_208(f):
    # INV-15
    f.enrol("Demo.A")
    for path in (
        "/v1/talents?limit=0",
        "/v1/talents?limit=1001",
        "/v1/talents?limit=-1",
        "/v1/talents?limit=1e2",
        "/v1/talents?limit=",
        "/v1/talents?limit",
        "/v1/talents?limit=99999999999999999999",
        "/v1/talents?limit=1&limit=2",
        "/v1/talents?LIMIT=1",
        "/v1/talents?x=1",
        "/v1/talents?limit=%31%",
        "/v1/talents?limit=%3",
        "/v1/talents?limit=%zz",
        "/v1/talents?cursor=abc",
        "/v1/talents?limit=1%00",
        "/v1/talents?%6cimit=1",
        "/v1/messages/msg-00000000-0000-7000-8000-000000000000?proof=2",
        "/v1/witness/entries?limit=0",
        "/v1/witness/entries?component=" + "a" * 64,
        "/v1/witness/entries?component=" + "a" * 600,
        "/v1/witness/entries?trace=1",
        "/v1/witness/entries?from=now",
        "/v1/witness/entries?to=2026-13-01T00:00:00Z",
        "/v1/witness/entries?cursor=-1",
        "/v1/witness/entries?why=x",
        "/v1/witness/entries/x",
        "/v1/witness/entries/-1",
        "/v1/witness/entries/1e3",
        "/v1/witness/entries/99999999999999999999",
        "/v1/inbox?as=Demo.A&wait_ms=30001",
        "/v1/inbox?as=Demo.A&wait_ms=-1",
        "/v1/inbox?as=Demo.A&after=x",
        "/v1/inbox",
        "/v1/events?trace=zz",
        "/v1/events?component=" + "b" * 100,
        "/v1/witness/proof?index=0&size=0",
        "/v1/witness/proof?index=5&size=5",
        "/v1/witness/proof",
        "/v1/witness/proof?index=0&size=999999",
        "/v1/witness/consistency?old=0&new=1",
        "/v1/witness/consistency?old=2&new=1",
        "/v1/decisions/x",
        "/v1/decisions/msg-" + uuid7() + "?wait_ms=x",
        "/v1/fabric?x=1",
        "/healthz?x",
        "/v1/talents?&",
        "/v1/talents?limit=5&&",
    ):
        r = f.get(path)
        assert r.status == 400 and r.code == 208, (path, r)
        assert r.error.get("message") and r.error.get("hint"), r
    assert f.get("/v1/talents?limit=1").status == 200


TRICKS = [
    "'",
    "' OR 1=1 --",
    '"; DROP TABLE entries; --',
    "../../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/keys/log.key",
    "%00",
    "a%00b",
    "%0d%0aX:%20y",
    "%ff%fe",
    "%c0%ae%c0%ae/",
    "%F0%9F%98%80",
    "\u00e9",
    "*",
    "%",
    "%25",
    "%25%30%30",
    "\\..\\..",
    ";",
    "&",
    "+",
    "~",
    "{}",
    "$(id)",
    "`id`",
    "a" * 300,
    "a" * 5000,
    "x'41'",
    "9223372036854775808",
    "-9223372036854775809",
    "0x10",
    "NaN",
    "1e309",
    "true",
    "null",
    "msg-" + "0" * 36,
    "msg-",
    "if://agent/../x",
    "%u0041",
    "[]",
    "<script>",
]


def test_sql_path_and_control_tricks_in_paths_and_queries_never_give_500(f):
    # INV-15
    f.enrol("Demo.A")
    paths = [
        "/v1/messages/{}",
        "/v1/decisions/{}",
        "/v1/talents/{}",
        "/v1/talents/{}/sequences",
        "/v1/witness/entries/{}",
        "/v1/witness/messages/{}",
        "/log/{}/checkpoint",
        "/log/{}/tile/0/000.p/1",
        "/tile/{}",
        "/log/main/tile/{}",
        "/{}",
    ]
    queries = [
        "/v1/messages/msg-x?sender={}",
        "/v1/messages/msg-x?proof={}",
        "/v1/inbox?as={}",
        "/v1/inbox?as=Demo.A&after={}",
        "/v1/inbox?as=Demo.A&limit={}",
        "/v1/inbox?as=Demo.A&wait_ms={}",
        "/v1/decisions?state={}",
        "/v1/decisions?limit={}",
        "/v1/decisions?cursor={}",
        "/v1/talents?limit={}",
        "/v1/talents?cursor={}",
        "/v1/witness/entries?trace={}",
        "/v1/witness/entries?component={}",
        "/v1/witness/entries?type={}",
        "/v1/witness/entries?from={}",
        "/v1/witness/entries?to={}",
        "/v1/witness/entries?limit={}",
        "/v1/witness/entries?cursor={}",
        "/v1/witness/proof?index={}",
        "/v1/witness/proof?index=0&size={}",
        "/v1/witness/consistency?old={}&new=1",
        "/v1/witness/consistency?old=1&new={}",
        "/v1/events?component={}&type={}x%zz",
        "/v1/talents?{}=1",
        "/v1/talents?{}",
    ]
    size, seen = f.size(), {}
    for pattern in paths + queries:
        for trick in TRICKS:
            if pattern.startswith("/v1/inbox?as=Demo.A&wait_ms=") and trick.isdigit():
                continue
            with f.conn() as c:
                target = pattern.replace("{}", trick).encode("utf-8", "surrogateescape")
                c.send(b"GET " + target.replace(b" ", b"%20") + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
                r = c.read()
            seen[r.status] = seen.get(r.status, 0) + 1
            assert r.status in (200, 400, 401, 404, 414, 431), (target, r)
            assert b"root:" not in r.body and b"PRIVATE" not in r.body
    assert f.size() == size and f.alive()
    return str(seen)


def test_tricks_in_bodies_never_give_500(f):
    # INV-15
    size = f.size()
    routes = [
        "/v1/talents",
        "/v1/talents/operator/grants",
        "/v1/talents/operator/keys",
        "/v1/talents/operator/revoke",
        "/v1/witness/erase",
        "/v1/anchors",
        "/v1/backup",
        "/v1/log-keys",
        "/v1/log-keys/rotate",
        "/v1/clock/accept",
        "/v1/decisions/msg-" + uuid7() + "/votes",
    ]
    bodies = [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"name":1}',
        b'{"name":null,"why":"x"}',
        b'{"why":""}',
        b'{"why":"' + b"x" * 1025 + b'"}',
        b'{"why":"\\u0000"}',
        b'{"why":"a\\nb"}',
        b'{"why":"x","why":"y"}',
        b'{"unknown":1}',
        b'{"name":"..","pubkey":"x","why":"w"}',
        b'{"a":' * 100,
        b"\xff" * 100,
        b'{"directory":"/etc/passwd","why":"x"}',
        b'{"directory":"relative","why":"x"}',
        b'{"directory":"/tmp/../etc/x","why":"x"}',
        b'{"directory":"/proc/x","why":"x"}',
        b'{"id":"msg-00000000-0000-0000-0000-000000000000","why":"x"}',
    ]
    for route in routes:
        for body in bodies:
            r = f.post(route, body)
            assert 400 <= r.status < 500 or r.code in (504, 506), (route, body[:60], r)
            r = f.post(route, body, {"IF-Admin": "AAAA"})
            assert 400 <= r.status < 500 or r.code == 506, (route, body[:60], r)
    for header in ("%", "=" * 10, "A" * 12000, "eyJ9", "e30", "bnVsbA"):
        r = f.post("/v1/talents", b'{"name":"X","why":"x"}', {"IF-Admin": header})
        assert 400 <= r.status < 500, (header[:20], r)
    assert f.size() - size <= 1


def test_smuggling_and_malformed_heads_are_refused_and_closed(f):
    # INV-15
    good = b"Host: localhost\r\n"
    for head in (
        b"POST /v1/messages HTTP/1.1\r\n" + good + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\n" + good + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        b"POST /v1/messages HTTP/1.1\r\n" + good + b"Content-Length: +4\r\n\r\nabcd",
        b"POST /v1/messages HTTP/1.1\r\n" + good + b"Content-Length: -1\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\n" + good + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"GET /healthz HTTP/1.1\n" + good + b"\r\n",
        b"GET /healthz HTTP/1.1\r\n" + good + b"X: a\r\n folded\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + good + b"X:\rContent-Length: 3\r\n\r\n",
        b"GET /healthz HTTP/2.0\r\n" + good + b"\r\n",
        b"GET  /healthz HTTP/1.1\r\n" + good + b"\r\n",
        b"GET /healthz\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET http://evil.example/healthz HTTP/1.1\r\n" + good + b"\r\n",
        b"GET /a b HTTP/1.1\r\n" + good + b"\r\n",
        b"GET /healthz HTTP/1.1\r\n" + good + b"X y: 1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + good + b"X: \x00\r\n\r\n",
    ):
        for tcp in (True, False):
            with f.conn(tcp) as c:
                try:
                    c.send(head + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    first = c.read()
                except (Gone, OSError):
                    continue
                assert first.status in (400, 404, 421, 501, 505), (head, first)
                if first.status in (404, 421):
                    continue
                try:
                    again = c.read()
                    raise AssertionError(f"read on after an error: {head!r} {again!r}")
                except (Gone, OSError):
                    pass


def test_body_over_the_limit_is_413(f):
    # INV-15
    for path, size in (("/v1/talents", 256 * 1024 + 1), ("/v1/decisions/msg-x/votes", 16 * 1024 + 1), ("/v1/messages", 1024 * 1024 + 1)):
        with f.conn() as c:
            c.send(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n".encode())
            refused(c.read(), 413, 109)
        with f.conn() as c:  # chunked: known only on the way
            c.send(
                f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
            )
            try:
                for _ in range(size // 4096 + 2):
                    c.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            except OSError:
                pass
            try:
                refused(c.read(), 413, 109)
            except (Gone, OSError):
                pass
    with f.conn() as c:
        c.send(b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: 16777217\r\n\r\n")
        refused(c.read(), 413, 109)
    refused(f.http("GET", "/healthz", b"x" * 10), 413)


def test_head_over_the_limit_is_431(f):
    # INV-15
    for head in (b"X: " + b"a" * 20000 + b"\r\n", b"".join(b"X%d: 1\r\n" % i for i in range(100))):
        with f.conn() as c:
            try:
                c.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n")
                assert c.read().status == 431
            except (Gone, OSError):
                pass
    assert f.get("/healthz").status == 200


def test_sixty_four_pipelined_requests_are_answered_in_order(f):
    with f.conn(tcp=True) as c:
        c.send(b"".join(c.bytes_of("GET", "/healthz" if i % 2 else f"/n{i}") for i in range(64)))
        assert [c.read().status for i in range(64)] == [200 if i % 2 else 404 for i in range(64)]
    with f.conn(tcp=True) as c:  # more than may wait: reading stops until there is room, nothing is lost
        data = b"".join(c.bytes_of("GET", "/v1/fabric") for _ in range(1000))
        t = threading.Thread(target=c.send, args=(data,))
        t.start()
        assert [c.read().status for _ in range(1000)] == [200] * 1000
        t.join()


def test_slow_client_is_cut_off_and_holds_up_nobody(f):
    # INV-15: a deadline for the whole head, not an idle timer
    slow = [f.conn(tcp=True) for _ in range(20)]
    began = time.monotonic()
    ended, cut_off = [], []

    def drip(c):
        try:
            c.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ")
            while time.monotonic() - began < PATIENCE:
                c.send(b"a")
                c.sock.settimeout(0.5)
                try:
                    c._more()  # an answer to half a head ends it as well
                    cut_off.append(c)
                    break
                except TimeoutError:
                    continue
        except (Gone, OSError):
            cut_off.append(c)
        ended.append(c)

    threads = [threading.Thread(target=drip, args=(c,)) for c in slow]
    for t in threads:
        t.start()
    a = f.enrol("Demo.A")
    served = 0
    for _ in range(20):
        assert f.send(a.message(), tcp=True).status == 200
        served += not ended
    assert served > 0, "somebody was served while all of them were there"
    for t in threads:
        t.join()
    assert len(cut_off) == len(slow), "some were let go on"


def test_many_idle_connections_leave_room_for_others_or_say_so(f):
    # INV-12: connections are bounded
    idle = []
    try:
        for i in range(1400):
            s = socket.socket(socket.AF_INET)
            s.settimeout(20)
            s.bind((f"127.0.0.{1 + i // 350}", 0))
            s.connect(f.tcp)
            idle.append(s)
    except OSError:
        pass
    assert len(idle) > 1024, len(idle)
    a = f.enrol("Demo.A")  # the operator's socket has its own share
    assert f.get("/healthz").status == 200
    assert f.send(a.message()).status == 200
    try:
        r = f.get("/healthz", tcp=True)
        assert r.status == 503 and r.code == 304, r
    except (Gone, OSError):
        pass  # closed at once is an answer as well
    for s in idle:
        s.close()
    assert f.get("/healthz").status == 200


def test_listening_beyond_loopback_is_refused_at_start(f):
    assert f.stop() == 0
    beyond, malformed = ("0.0.0.0:0", "[::]:0", "192.168.1.1:8474"), ("example.com:80", "127.0.0.1:99999", "127.0.0.1", ":8474", "127.evil:1")
    for listen in beyond + malformed:
        f.configure({"http.listen": listen})
        code, text = f.refuses()
        said = "loopback" if listen in beyond else "expected ADDRESS:PORT"
        assert code == 20 and "IF_ERR_506" in text and said in text, (listen, code, text)
    f.configure({"http.listen": ""})
    f.start()
    assert f.tcp is None and f.get("/healthz").status == 200


def test_port_in_use_is_said_clearly(f):
    with socket.socket(socket.AF_INET) as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        assert f.stop() == 0
        f.configure({"http.listen": "127.0.0.1:%d" % s.getsockname()[1]})
        code, text = f.refuses()
        assert code == 20 and str(s.getsockname()[1]) in text, (code, text)


def test_errors_carry_code_name_message_hint_and_no_foreign_bytes(f):
    r = f.post("/v1/messages", b'{"v":"2.1","\\u001b[31m\\u202e":1}')
    e = r.error
    assert set(e) >= {"code", "name", "message", "hint", "retryable"}, e
    assert all(32 <= ord(c) and ord(c) not in (0x7F, 0x202E) for c in e["message"] + e.get("field", "")), e


def test_metrics_count_what_happened(f):
    a = f.enrol("Demo.A")
    for _ in range(3):
        m = a.message()
        f.send(m)
    f.send(m)
    text = f.get("/metrics").body.decode()
    value = lambda name: float(next(l.rsplit(" ", 1)[1] for l in text.splitlines() if l.startswith(name)))
    assert value('ifab_messages_total{decision="SHARE"}') == 3
    assert value('ifab_refusals_total{code="103"}') == 1
    assert value("ifab_log_entries") == f.size()


def test_socket_of_another_uid_is_refused(f):
    import os
    import subprocess
    import sys
    from fabric import Skip

    if os.geteuid() != 0:
        raise Skip("needs root to become another uid")
    os.chmod(f.root, 0o755)
    for d in ("", "run"):
        os.chmod(os.path.join(f.dir, d), 0o755)
    os.chmod(f.unix, 0o666)
    code = (
        "import os, socket, sys\nos.setgid(12345); os.setuid(12345)\ns = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        "s.sendall(b'GET /v1/talents HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'); print(s.recv(65536).decode())"
    )
    done = subprocess.run([sys.executable, "-c", code, f.unix], capture_output=True, text=True)
    assert " 403 " in done.stdout.splitlines()[0] and "12345" in done.stdout, done


def test_idempotency_key_works_on_changing_routes(f):
    # SURFACE 8: the same body gives the first answer, another body 409, over a restart as well
    anchors = os.path.join(f.root, "anchors")
    os.mkdir(anchors, 0o700)
    f.configure({"anchor.directories": [anchors], "anchor.every": "0s"})
    f.start()
    a, b = people(f)
    key, later = Agent("Demo.New"), Agent("Demo.Later")
    sent = a.message()
    assert f.send(sent).status == 200
    r, other = escalated(f, a), escalated(f, a)
    vote, vote2 = (f.vote(r, send=False) for _ in range(2))
    put = lambda **members: json.dumps(members).encode()
    calls = [  # route, body, another body, needs an admin act
        ("/v1/talents", put(name="Demo.New", owner="x", pubkey=key.pub, why="t"), put(name="Demo.Z", owner="x", pubkey=later.pub, why="t"), 0),
        ("/v1/talents/Demo.New/grants", put(scope="one", why="t"), put(scope="two", why="t"), 0),
        ("/v1/talents/Demo.New/keys", put(pubkey=later.pub, why="t"), put(pubkey=Agent("z").pub, why="t"), 1),
        (f"/v1/decisions/{r['id']}/votes", vote, vote2, 0),
        ("/v1/witness/erase", put(id=sent.id), put(id=other["id"]), 1),
        ("/v1/anchors", put(why="t"), put(why="u"), 0),
        ("/v1/talents/Demo.New/revoke", put(why="t"), put(why="u"), 0),
    ]
    done = []
    for route, body, another, act in calls:
        headers = {"Idempotency-Key": "k", **(f.admin_header(route, body) if act else {})}
        first = f.post(route, body, headers)
        assert first.status in (200, 201) and "idempotent-replayed" not in first.headers, (route, first)
        size = f.size()
        again = f.post(route, body, headers)
        assert (again.status, again.body) == (first.status, first.body), (route, again)
        assert again.headers.get("idempotent-replayed") == "true", route
        refused = f.post(route, another, {"Idempotency-Key": "k", **(f.admin_header(route, another) if act else {})})
        assert (refused.status, refused.code) == (409, 409), (route, refused)
        assert f.size() <= size + 1, "a refusal is at most one entry"
        done.append((route, body, headers, first))
    f.restart()
    for route, body, headers, first in done:
        again = f.post(route, body, headers)
        assert (again.status, again.body) == (first.status, first.body), (route, again)
        assert again.headers.get("idempotent-replayed") == "true", route
    f.verify()


test_idempotency_key_works_on_changing_routes.started = False


def test_lines_have_no_proofs(f):
    a = f.enrol("Demo.A")
    lines = bytes(a.message()) + b"\n"
    size = f.size()
    r = f.post("/v1/messages?proof=1", lines, {"Content-Type": "application/x-ndjson"})
    assert r.status == 400 and r.code == 208 and r.error["field"] == "proof" and f.size() == size, r
    assert "receipt" in f.post("/v1/messages?proof=0", lines, {"Content-Type": "application/x-ndjson"}).json
    assert f.post("/v1/messages?proof=yes", bytes(a.message())).code == 208 and f.size() == size + 1

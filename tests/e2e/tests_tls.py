"""TLS on TCP: 1.3 only, nothing before the handshake, certificates read again at SIGHUP, plain text and slow handshakes turned away."""

import json
import os
import re
import select
import signal
import socket
import ssl
import subprocess
import threading
import time

from fabric import PATIENCE, PROGRAM, Conn, Gone, wait_for
from tests_decisions import people
from tests_rules import hangup, log


def make(f, name, host="DNS:fabric.example,IP:127.0.0.1"):
    """A self-signed pair; returns the certificate's path."""
    cert, key = os.path.join(f.dir, name + ".crt"), os.path.join(f.dir, name + ".key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=" + name]
        + ["-addext", "subjectAltName=" + host, "-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
    )
    os.chmod(key, 0o600)
    return cert


def secure(f, listen="127.0.0.1:0"):
    f.stop()
    cert = make(f, "server")
    f.configure({"http.listen": listen, "http.certificate": "server.crt", "http.key": "server.key", "http.hosts": ["127.0.0.1", "fabric.example"]})
    f.start_tls(cert)
    return cert


def client(cafile, **change):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile)
    for name, value in change.items():
        setattr(context, name, value)
    return context


class Tls(Conn):
    def __init__(self, address, context, host="127.0.0.1", timeout=PATIENCE):
        super().__init__(address, timeout)
        self.sock = context.wrap_socket(self.sock, server_hostname=host)


def test_requests_over_tls_are_answered_and_plain_ones_are_not(f):
    cert = secure(f)
    assert f.line.rstrip().endswith(f" https://127.0.0.1:{f.tcp[1]}"), f.line
    with Tls(f.tcp, client(cert)) as c:
        assert c.sock.version() == "TLSv1.3"
        for _ in range(3):
            assert c.request("GET", "/healthz").status == 200
        # more than one record each way, in one connection
        a, _ = people(f)
        lines = b"".join(bytes(a.message(content={"data": {"pad": "x" * 30000}})) + b"\n" for _ in range(60))
        r = c.request("POST", "/v1/messages", lines, {"Content-Type": "application/x-ndjson"})
        assert r.status == 200 and r.body.count(b'"receipt"') == 60 and len(r.body) > 16384, r
    with Conn(f.tcp) as c:
        try:
            r = c.request("GET", "/healthz")
            raise AssertionError(f"plain text was answered: {r}")
        except (Gone, ConnectionError, ValueError, IndexError):
            pass
    assert f.conn().request("GET", "/healthz").status == 200  # the socket stays as it was
    f.verify()


def test_only_tls_1_3_is_spoken_and_the_name_must_fit(f):
    cert = secure(f)
    for change in ({"maximum_version": ssl.TLSVersion.TLSv1_2},):
        try:
            Tls(f.tcp, client(cert, **change))
            raise AssertionError("an older version was spoken")
        except ssl.SSLError:
            pass
    try:
        Tls(f.tcp, client(cert), host="other.example")
        raise AssertionError("another name was taken")
    except ssl.SSLCertVerificationError:
        pass
    with Tls(f.tcp, client(cert), host="fabric.example") as c:
        assert c.request("GET", "/healthz", headers={"Host": "fabric.example"}).status == 200
        assert c.request("GET", "/healthz", headers={"Host": "evil.example"}).status == 421  # a name that was rebound
    with Tls(f.tcp, client(cert)) as c:
        host = f"127.0.0.1:{f.tcp[1]}"
        assert c.request("GET", "/healthz", headers={"Origin": "https://" + host}).status == 200
        assert c.request("GET", "/healthz", headers={"Origin": "http://" + host}).status == 403  # downgraded
    with Tls(f.tcp, client(cert)) as c:
        assert c.sock.session_reused is False


def test_long_poll_and_events_end_with_the_connection(f):
    cert = secure(f)
    a, _ = people(f)
    with Tls(f.tcp, client(cert)) as c:
        c.send(c.bytes_of("GET", "/log/main/checkpoint"))
        assert c.read().status == 200
    wait_for(lambda: metric(f, "ifab_connections") == 1, what="the end of that one")  # who asks is one
    conns = [Tls(f.tcp, client(cert)) for _ in range(20)]
    assert metric(f, "ifab_connections") == 21
    for c in conns:
        c.sock.unwrap() if c is conns[0] else c.sock.close()
    wait_for(lambda: metric(f, "ifab_connections") == 1, 10, "closed connections")


def metric(f, name):
    text = f.get("/metrics").body.decode()
    return int(re.search(rf"^{name} (\d+)", text, re.M)[1])


def test_handshakes_that_never_end_are_ended(f):
    secure(f)
    quiet = [socket.create_connection(f.tcp) for _ in range(5)]
    hello = socket.create_connection(f.tcp)
    hello.sendall(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a record that never comes
    ended = time.monotonic() + PATIENCE
    left = [*quiet, hello]
    while left and time.monotonic() < ended:
        for s in select.select(left, [], [], 1)[0]:
            try:
                assert s.recv(100) == b""
            except ConnectionError:
                pass
            left.remove(s)
    assert not left, "a connection without a handshake stays"


def test_rubbish_instead_of_records_harms_nobody(f):
    cert = secure(f)
    a, _ = people(f)

    def attack(seed):
        for i in range(50):
            try:
                s = socket.create_connection(f.tcp, timeout=5)
                if i % 2:
                    s.sendall(os.urandom(1 + (seed * 37 + i * 101) % 5000))
                else:  # a good handshake, then a broken record
                    s = client(cert).wrap_socket(s, server_hostname="127.0.0.1")
                    raw = socket.socket(fileno=os.dup(s.fileno()))
                    raw.sendall(b"\x17\x03\x03\x00\x40" + os.urandom(64))
                    raw.close()
                s.close()
            except (ssl.SSLError, ConnectionError, TimeoutError, OSError):
                pass

    threads = [threading.Thread(target=attack, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    with Tls(f.tcp, client(cert)) as c:
        for _ in range(30):
            assert c.request("POST", "/v1/messages", bytes(a.message())).status == 200
    for t in threads:
        t.join()
    f.verify()


def test_certificates_are_read_again_and_a_broken_one_changes_nothing(f):
    old = secure(f)
    kept = Tls(f.tcp, client(old))
    make(f, "new")
    good = open(os.path.join(f.dir, "new.crt")).read(), open(os.path.join(f.dir, "new.key")).read()
    with open(os.path.join(f.dir, "server.key"), "w") as key:
        key.write(good[1])  # not the key of that certificate
    hangup(f)
    wait_for(lambda: "reload: refused" in log(f), 10, "refusal")
    before = open(os.path.join(f.dir, "server.crt")).read()
    copy = os.path.join(f.dir, "old.crt")
    with open(copy, "w") as out:
        out.write(before)
    with Tls(f.tcp, client(copy)) as c:
        assert c.request("GET", "/healthz").status == 200
    with open(os.path.join(f.dir, "server.crt"), "w") as cert:
        cert.write(good[0])
    hangup(f)
    wait_for(lambda: "reload: done" in log(f), 10, "the reload")
    with Tls(f.tcp, client(os.path.join(f.dir, "new.crt"))) as c:
        assert c.request("GET", "/healthz").status == 200
    try:
        Tls(f.tcp, client(copy))
        raise AssertionError("the old certificate is still shown")
    except ssl.SSLCertVerificationError:
        pass
    assert kept.request("GET", "/healthz").status == 200, "a connection goes on with what it has"


def test_another_address_needs_tls(f):
    f.stop()
    f.configure({"http.listen": "0.0.0.0:0"})
    code, words = f.refuses()
    assert code != 0 and "needs TLS" in words and "http.certificate" in words, words
    make(f, "server")
    f.configure({"http.listen": "0.0.0.0:0", "http.certificate": "server.crt", "http.key": "server.key"})
    os.chmod(os.path.join(f.dir, "server.key"), 0o644)
    code, words = f.refuses()
    assert code != 0 and "may be read by others" in words, words
    os.chmod(os.path.join(f.dir, "server.key"), 0o600)
    f.start_tls(os.path.join(f.dir, "server.crt"))
    with Tls((("127.0.0.1"), f.tcp[1]), client(os.path.join(f.dir, "server.crt"))) as c:
        assert c.request("GET", "/healthz").status == 200


def test_it_ends_cleanly_with_connections_open(f):
    cert = secure(f)
    conns = [Tls(f.tcp, client(cert)) for _ in range(5)]
    half = socket.create_connection(f.tcp)
    half.sendall(b"\x16\x03\x01")
    for c in conns[:3]:
        c.send(c.bytes_of("GET", "/healthz"))
    os.kill(f.process.pid, signal.SIGTERM)
    assert f.process.wait(PATIENCE) == 0
    f.process = None


def ifctl(f, *args, cwd=None, **environment):
    env = {"PATH": os.environ["PATH"], "HOME": f.root, **environment}
    done = subprocess.run([PROGRAM["ifctl"], *args], capture_output=True, timeout=PATIENCE, stdin=subprocess.DEVNULL, env=env, cwd=cwd)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_ifctl_speaks_https_to_whom_it_trusts_only(f):
    cert = secure(f)
    done = ifctl(f, "--dir", f.dir, "talent", "add", "Cli.Agent", "--role", "agent", "--new-key", "--why", "test")
    assert done[0] == 0, done
    key = os.path.join(f.dir, "keys", "Cli.Agent.pem")
    other = make(f, "other")
    size = f.size()
    send = ("message", "send", "--as", "Cli.Agent", "--key", key, "--claim", "over tls", "--confidence", "0.9", "--scope", '{"a":1}')
    port = f.tcp[1]
    for endpoint, ca, code, says in (
        (f"https://127.0.0.1:{port}", other, 10, "hint: If it is the right server, give the certificate of its authority, got from its operator: --ca FILE"),
        (f"https://127.0.0.1:{port}", other, None, "tls: self-signed certificate"),
        (f"https://localhost:{port}", cert, None, "tls: hostname mismatch"),
        (f"https://localhost:{port}", cert, None, "hint: Ask by a name or address that the server's certificate has"),
        (f"https://127.0.0.1:{port}", cert + ".none", 2, "No such file"),
        (f"https://127.0.0.1:{port}", cert + ".none", 2, "hint: Name the certificate of the server's authority"),
        (f"http://127.0.0.1:{port}", cert, None, ""),
        ("http://192.0.2.1:80", cert, 2, "https://192.0.2.1:80"),
        ("https://127.0.0.1:1", cert, 21, "No fabric answers"),
        ("https://127.0.0.1", cert, 2, "https://HOST:PORT"),
    ):
        got = ifctl(f, "--endpoint", endpoint, "--ca", ca, *send)
        assert got[0] != 0 and (code is None or got[0] == code) and says in got[2], (endpoint, ca, got)
        assert f.size() == size, "something was sent"
    got = ifctl(f, "--endpoint", f"http://127.0.0.1:{port}", "talent", "list")
    assert got[0] == 21 and "begin the endpoint with https://" in got[2], got
    got = ifctl(f, "--endpoint", f"https://127.0.0.1:{port}", "--ca", cert, *send)
    assert got[0] == 0 and "SHARE" in got[1], got
    got = ifctl(f, *send, IFAB_ENDPOINT=f"https://127.0.0.1:{port}", IFAB_CA=cert)
    assert got[0] == 0, got
    got = ifctl(f, "context", "add", "lab", "--endpoint", f"https://127.0.0.1:{port}", "--ca", cert)
    assert got[0] == 0, got
    assert ifctl(f, *send)[0] == 0  # the context names both
    got = ifctl(f, "doctor", "-o", "json")  # and a fabric elsewhere is asked, no directory here
    assert got[0] == 0 and [row["check"] for row in json.loads(got[1])["items"]] == ["daemon", "clock", "ready"], got

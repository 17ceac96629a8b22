"""Where a guest may not lead the daemon, live: a guest that asks for what it likes, a manifest that names too much, an environment full of proxies. A
refusal is worth something because the trap says that nobody came. INV-08 INV-09."""

import os
import socket
import threading

from tests_canary import Rig, heard

PROXIES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "socks_proxy", "ftp_proxy")


class Trap:
    """Counts who comes; says nothing."""

    def __init__(self):
        self.socket, self.came = socket.create_server(("127.0.0.1", 0)), []
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.wait, daemon=True).start()

    def wait(self):
        while True:
            try:
                c, _ = self.socket.accept()
            except OSError:
                return
            c.settimeout(1)
            try:
                self.came.append(c.recv(4096))
            except OSError:
                self.came.append(b"")
            c.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def asked(rig, c, head, url, way=""):
    """What the guest was told of one request, and whether the call as a whole was ended as a violation."""
    rig.keep(r := rig.ask(c, head, 0, "pong"))
    assert heard(r).endswith("\npong"), r  # the breaker stays closed; and what is allowed works, proxies or not
    plan = rig.plan(c, head, 0, "", way, url=url)
    if plan.code == 208:  # a user with a password in a parameter looks like a secret: that is not even planned
        return plan.error["code"], False
    r = rig.apply(c, head, 0, plan)
    if r.status == 200:
        return heard(r).split("\n")[1].split(" ")[0], False
    assert r.json["error"]["code"] == "IF_ERR_501", (url, r)
    return "IF_ERR_501", True


def test_a_guest_leads_nowhere():
    # INV-08 INV-09
    with Trap() as trap:
        def rows(f):
            inside = [{"host": host, "port": trap.port, "path": "/**"} for host in ("127.0.0.1", "localhost", "127.0.0.2", "0.0.0.0")]
            return [*inside, {"host": "169.254.169.254", "port": 80, "path": "/latest/**"}, {"host": "127.0.0.1", "port": f.tcp[1], "path": "/v1/**"},
                    {"host": "10.255.255.1", "port": 80, "path": "/x"}]  # fmt: skip

        for name in PROXIES:
            os.environ[name] = f"http://127.0.0.1:{trap.port}"
        os.environ.pop("no_proxy", None)
        with Rig(rows) as rig:
            here, there = f"127.0.0.1:{rig.provider.port}", f"127.0.0.1:{trap.port}"
            not_public = [f"http://{there}/x", f"http://localhost:{trap.port}/x", f"http://127.0.0.2:{trap.port}/x", "http://10.255.255.1/x"]
            forbidden = ["http://169.254.169.254/latest/meta-data/", f"http://0.0.0.0:{trap.port}/x", f"http://127.0.0.1:{rig.f.tcp[1]}/v1/fabric"]
            no_row = [f"http://{host}:{trap.port}/x" for host in ("[::1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fd00::1]", "a.example")]
            no_row += [f"https://{there}/x", f"http://{here}/other/x", f"http://{here}/e/raw/x", f"http://{here}/", "http://127.0.0.1/x", f"http://{here}/e/raw@{there}/x"]
            malformed = [f"http://{user}@{there}/x" for user in ("u", "u:p", here, "api.example%40")]
            malformed += [f"http://{host}:{trap.port}/x" for host in (
                "2130706433", "0x7f000001", "0x7f.1", "017700000001", "0177.0.0.1", "127.1", "127.0.0.01", "127.0.0.1.", "LOCALHOST", "127.0.0.1%00",
                "[::ffff:127.0.0.1]", "[0:0:0:0:0:0:0:1]", "[::1%25lo]", "[::1", "127。0。0。1", "①27.0.0.1")]  # fmt: skip
            malformed += [f"http://{here}/{path}" for path in (
                "e/../x", "e/%2e%2e/x", "e/.%2e/x", "e/%252e%252e/x", "e//raw", "e/..;/x", "e\\..\\x", "e/%2fx", "e/%c0%ae", "e/raw#@" + there, "e/raw%0d%0aHost:x")]  # fmt: skip
            malformed += [f"http://{here}#@{there}/x", f"http://{here}\\@{there}/x", f"http:{there}", f"//{there}/x", f"file://{there}/etc/passwd", f"gopher://{there}/x",
                          f"HTTP://{there}/x", f"http://{here}:{trap.port}/x", f"http://127.0.0.1:0{trap.port}/x"]  # fmt: skip
            with rig.f.conn() as c:
                for n, (url, wanted) in enumerate([*((u, 3) for u in not_public), *((u, 501) for u in forbidden), *((u, 501) for u in no_row), *((u, 208) for u in malformed)]):
                    if n % 25 == 0:
                        head = rig.agent(f"Leads{n}", 0)
                    before = rig.provider.requests
                    code, ended = asked(rig, c, head, url)
                    assert code == f"IF_ERR_{wanted:03d}" and ended == (wanted == 501), (url, code)
                    assert rig.provider.requests == before + 1, ("it was sent somewhere", url)
                assert asked(rig, c, head, not_public[1], "BEARER") == ("IF_ERR_501", True)  # with a secret that is for another origin: no slip any more
                # a redirect is an answer, the guest's to read; it is not followed, and its target gets no secret
                rig.provider.redirect = f"http://{there}/x"
                r = rig.ask(c, head, 0, "redirect")
                assert heard(r).split("\n")[1] == "302" and there in heard(r), r
                rig.provider.redirect = f"{rig.origin}/e/pong"
                assert heard(rig.ask(c, head, 0, "redirect")).split("\n")[1] == "302"
            assert trap.came == [], trap.came
            with open(f"/proc/{rig.f.process.pid}/environ", "rb") as environ:
                assert f"http_proxy=http://{there}".encode() in environ.read()  # the control: it was told of the proxy
            socket.create_connection(("127.0.0.1", trap.port)).close()
            rig.f.verify()
            return f"{len(not_public) + len(forbidden) + len(no_row) + len(malformed)} addresses"

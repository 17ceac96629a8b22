"""ifctl and if-verify as a person or a script starts them: a home of their own, no terminal or one, and a socket that lies."""

import hashlib
import http.server
import json
import os
import pty
import re
import select
import socket
import socketserver
import subprocess
import threading

from fabric import PATIENCE, PROGRAM

HELD, DENIED = 30, 31
# what must never reach a terminal as it is: C0 but line breaks, DEL, C1, bidi, zero-width
RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
HOSTILE = [
    "'; DROP TABLE entries; --",
    "../../../../etc/passwd",
    "%s%n%s%n %00 %2e%2e%2f",
    "a\x1b]0;owned\x07\x1b[2J\x1b[31mred",
    "a\u202egnp.exe\u200b\u2066x\u2069",
    "line\nIF_ERR_000: forged\rover",
    "\x7f\x01\x02\u009b31m",
    '{"a":1}',
    "$(touch /tmp/owned)`id`",
    "-",
    "@",
    "@/etc/shadow\u200b",
    "",
    " ",
    "\\",
    "x" * 5000,
    "é" * 300,
]


class Done:
    def __init__(self, args, process):
        self.args, self.code = args, process.returncode
        self.raw = process.stdout
        self.out, self.err = process.stdout.decode("utf-8"), process.stderr.decode("utf-8")

    @property
    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"ifctl {self.args} → {self.code}\n{self.out[-1500:]}\n{self.err[-1500:]}"


class Cli:
    """ifctl with a home of its own and no terminal."""

    def __init__(self, f, **environment):
        self.f = f
        home = os.path.join(f.root, "home")
        os.makedirs(home, exist_ok=True)
        path = os.path.dirname(PROGRAM["ifd"]) + ":" + os.environ["PATH"]
        self.env = {"PATH": path, "HOME": home, "LANG": "C.UTF-8", "IFAB_DIR": f.dir, **environment}

    def __call__(self, *args, secret=None, stdin=b"", env=None, timeout=PATIENCE, program="ifctl", **more):
        """secret: what --passphrase-fd gives."""
        fds = ()
        if secret is not None:
            r, w = os.pipe()
            os.write(w, secret)
            os.close(w)
            fds, args = (r,), (*args, "--passphrase-fd", str(r))
        try:
            p = subprocess.run(
                [PROGRAM[program], *args],
                env={**self.env, **(env or {})},
                input=stdin,
                capture_output=True,
                timeout=timeout,
                pass_fds=fds,
                **more,
            )
        finally:
            for fd in fds:
                os.close(fd)
        done = Done(args, p)
        assert "Sanitizer" not in done.err and "runtime error" not in done.err, done
        return done

    def wants(self, code, *args, **more):
        done = self(*args, **more)
        assert done.code == code, f"expected {code}: {done!r}"
        return done

    def json(self, *args, code=0, **more):
        return self.wants(code, *args, "-o", "json", **more).json

    def verify(self, *args):
        return self(*args, program="if-verify")

    def people(self):
        for name, owner in (("Demo.A", "alice"), ("Demo.B", "bob"), ("Demo.R", "rita")):
            self.wants(0, "talent", "add", name, "--owner", owner, "--new-key", "--why", "test")
        return self

    def send(self, code, *args, sender="Demo.A"):
        given = ("--to", "Demo.R", "--claim", "The build is green", "--confidence", "0.9")
        return self.json("message", "send", "--as", sender, *(() if "--claim" in args else given), *args, code=code)


SCOPE = ("--scope", '{"branch":"main"}')


class Screen:
    """ifctl on a terminal of its own: what it says, and what a person types."""

    def __init__(self, cli, *args):
        pid, self.fd = pty.fork()
        if pid == 0:
            os.execve(PROGRAM["ifctl"], ["ifctl", *args], {**cli.env, "TERM": "xterm"})
        self.pid, self.text = pid, ""

    def until(self, what):
        while what not in self.text:
            ready, _, _ = select.select([self.fd], [], [], PATIENCE)
            assert ready, f"{what!r} did not come: {self.text!r}"
            self.text += os.read(self.fd, 65536).decode()
        return self

    def type(self, text):
        os.write(self.fd, text.encode())
        return self

    def end(self):
        """Exit code; the rest of what it says is in text."""
        while True:
            try:
                data = os.read(self.fd, 65536)
            except OSError:  # EIO: the other side has closed
                break
            if not data:
                break
            self.text += data.decode()
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class Follow:
    """A following command; its lines as they come."""

    def __init__(self, cli, *args):
        self.p = subprocess.Popen(
            [PROGRAM["ifctl"], *args, "-o", "ndjson"], env=cli.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.items = []
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        for line in self.p.stdout:
            self.items.append(json.loads(line))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.p.kill()
        self.thread.join()
        self.p.communicate()


class Confused:
    """A socket that answers each POST by the next row of a script, the last for all further ones: (status, JSON), made whole by the message
    that came where it holds a decision and names no id; what is read comes from decided."""

    def __init__(self, path, *script, decided=None):
        self.path, self.script, self.decided, self.posts = path, list(script), decided, []
        confused = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                confused.posts.append((self.headers["Idempotency-Key"], body))
                status, value = confused.script.pop(0) if len(confused.script) > 1 else confused.script[0]
                # ifctl sends the canonical form: without the signature it is what the digest is over
                digest = hashlib.sha256(b"IF-CONNECT-v2.1\n" + re.sub(rb',"sig":"[^"]*"', b"", body.strip())).hexdigest()
                own = {"id": json.loads(body)["id"], "message_digest": "sha256:" + digest} if "decision" in value else {}
                self.answer(status, {**own, **value})

            def do_GET(self):
                self.answer(200, confused.decided)

            def answer(self, status, value):
                data = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def address_string(self):
                return "socket"

            def log_message(self, *_):
                pass

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True

        self.server = Server(path, Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        os.unlink(self.path)


class Liar:
    """A socket that answers every request with the same bytes, or not at all."""

    def __init__(self, path, answer):
        self.path, self.answer, self.open = path, answer, []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen(16)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                c, _ = self.socket.accept()
            except OSError:
                return
            self.open.append(c)
            try:
                c.recv(65536)
                if self.answer is not None:
                    c.sendall(self.answer)
                    c.close()
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for c in self.open:
            c.close()
        os.unlink(self.path)

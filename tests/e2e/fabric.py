"""Harness: a daemon in a directory of its own on kernel-chosen ports; HTTP with exact bytes; envelopes, votes and admin acts.

Shares no code with the product or its SDKs: what both got wrong would pass otherwise.
"""

import base64
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import uuid

import nacl.exceptions
import nacl.signing
import rfc8785

PROGRAM = {"build": None}
TMP = os.environ.get("TMPDIR", "/tmp")
PATIENCE = 120  # seconds that what is due may take on a machine ten times slower: only a test that fails waits so long


class Skip(Exception):
    """This machine cannot run the test; says why."""


class Gone(Exception):
    """The connection closed where an answer was due."""


def b64u(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def b64u_decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def uuid7(wall=None):
    ms = int((time.time() if wall is None else wall) * 1000)
    value = ms << 80 | int.from_bytes(os.urandom(10), "big")
    return str(uuid.UUID(int=value & ~(0xF << 76) & ~(0x3 << 62) | 7 << 76 | 2 << 62))


def stamp(wall):
    ms = int(wall * 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000)) + f".{ms % 1000:03d}Z"


def key_id(pub):
    return "k-" + hashlib.sha256(pub).hexdigest()[:16]


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def sign(document, domain, key):
    """Adds `signature` over domain + canonical form without signature.sig; returns the canonical bytes."""
    pub = bytes(key.verify_key)
    document = dict(document)
    document["signature"] = {"algorithm": "ed25519", "key_id": key_id(pub), "pubkey": b64u(pub)}
    signed = domain + rfc8785.dumps(document)
    document["signature"] = {**document["signature"], "sig": b64u(key.sign(signed).signature)}
    return rfc8785.dumps(document), sha256(signed)


def load_pem(path):
    """PKCS#8 Ed25519 (RFC 8410), no passphrase."""
    with open(path, "rb") as f:
        body = b"".join(f.read().strip().split(b"\n")[1:-1])
    der = base64.b64decode(body)
    assert der[:16] == bytes.fromhex("302e020100300506032b657004220420"), path
    return nacl.signing.SigningKey(der[16:48])


class Agent:
    """A sender: a name, a key, sequence numbers that grow."""

    def __init__(self, name, owner=None, key=None):
        self.name, self.owner = name, owner or name
        self.key = key or nacl.signing.SigningKey.generate()
        self.seq = 0
        self.uri = "if://agent/" + name

    @property
    def pub(self):
        return b64u(bytes(self.key.verify_key))

    def envelope(self, **change):
        """A claim that every built-in step of the guard shares. change: members; None drops one; content: merged."""
        self.seq += 1
        now = time.time()
        content = {
            "claim": "the build is green",
            "claim_id": "c-" + uuid7(),
            "scope": {"repo": "main"},
            "confidence": {"raw": 0.9, "normalized": 0.9},
        }
        extra = change.pop("content", {})
        content.update(extra)
        e = {
            "v": "2.1",
            "id": "msg-" + uuid7(),
            "performative": "inform",
            "conversation_id": "conv-" + uuid7(),
            "topic_hash": sha256(b"topic"),
            "sender": self.uri,
            "issued_at": stamp(now),
            "ttl_s": 300,
            "seq": self.seq,
            "nonce": b64u(os.urandom(16)),
            "content": {k: v for k, v in content.items() if v is not None},
        }
        e.update(change)
        return {k: v for k, v in e.items() if v is not None}

    def message(self, **change):
        """Canonical signed bytes, id."""
        key = change.pop("sign_with", self.key)
        e = self.envelope(**change)
        data, digest = sign(e, b"IF-CONNECT-v2.1\n", key)
        return Message(data, e["id"], digest)


class Message(bytes):
    def __new__(cls, data, id_, digest):
        self = super().__new__(cls, data)
        self.id, self.digest = id_, digest
        return self


class Response:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """IF_ERR number of a refusal, None for an answer."""
        try:
            return int(self.json["error"]["code"].rsplit("_", 1)[1])
        except (ValueError, KeyError, TypeError):
            return None

    @property
    def error(self):
        return self.json["error"]

    def __repr__(self):
        return f"{self.status} {self.body[:600]!r}"


class Conn:
    """One connection; bytes go out exactly as given."""

    def __init__(self, address, timeout=PATIENCE):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        self.sock.connect(address)
        self.tcp = not isinstance(address, str)
        self.host = "localhost" if isinstance(address, str) else f"{address[0]}:{address[1]}"
        self.buffer = b""

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.sock.sendall(data)

    def _more(self):
        try:
            data = self.sock.recv(1 << 20)
        except ConnectionResetError:
            data = b""
        if not data:
            raise Gone("closed after %r" % self.buffer[:200])
        self.buffer += data

    def until(self, mark):
        while mark not in self.buffer:
            self._more()
        head, self.buffer = self.buffer.split(mark, 1)
        return head

    def exactly(self, n):
        while len(self.buffer) < n:
            self._more()
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def head(self):
        lines = self.until(b"\r\n\r\n").split(b"\r\n")
        headers = {}
        for line in lines[1:]:
            name, value = line.split(b":", 1)
            headers[name.strip().lower().decode()] = value.strip().decode("latin-1")
        return int(lines[0].split()[1]), headers

    def read(self, head_only=False):
        status, headers = self.head()
        if head_only or status in (204, 304):
            return Response(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while True:
                size = int(self.until(b"\r\n"), 16)
                body += self.exactly(size)
                self.exactly(2)
                if size == 0:
                    return Response(status, headers, body)
        return Response(status, headers, self.exactly(int(headers.get("content-length", "0"))))

    def bytes_of(self, method, target, body=None, headers=None):
        head = {"Host": self.host}
        if body is not None:
            head["Content-Type"] = "application/json"
            head["Content-Length"] = str(len(body))
        head.update(headers or {})
        text = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in head.items() if v is not None) + "\r\n"
        return text.encode("latin-1") + (body or b"")

    def request(self, method, target, body=None, headers=None):
        self.send(self.bytes_of(method, target, body, headers))
        return self.read(method == "HEAD")

    def chunk(self):
        """One chunk of a chunked stream whose head was read; b"" at its end."""
        size = int(self.until(b"\r\n"), 16)
        data = self.exactly(size)
        self.exactly(2)
        return data


class Fabric:
    """A directory made by --init, and the daemon that serves it. config: dotted settings written into ifd.yaml."""

    def __init__(self, config=None, parent=None, directory=None, init=True):
        self.root = parent or tempfile.mkdtemp(prefix="ifab-e2e-", dir=TMP)
        self.owns_root = parent is None
        self.log_path = os.path.join(self.root, "ifd.log")
        self.dir = directory or os.path.join(self.root, "d")
        self.process = self.tcp = None
        self.admin_key = None
        if init:
            done = self.ifd("--init", self.dir, "--http", "127.0.0.1:0")
            assert done.returncode == 0, done.stderr
        if config:
            self.configure(config)
        if os.path.exists(os.path.join(self.dir, "keys", "operator.pem")):
            self.admin_key = load_pem(os.path.join(self.dir, "keys", "operator.pem"))

    @staticmethod
    def ifd(*args, **kwargs):
        return subprocess.run([PROGRAM["ifd"], *args], capture_output=True, timeout=PATIENCE, stdin=subprocess.DEVNULL, **kwargs)

    def configure(self, settings):
        """Rewrites ifd.yaml: what --init wrote, merged with the settings."""
        tree = {"name": "infrafabric.local/main", "http": {"listen": "127.0.0.1:0"}}
        for name, value in settings.items():
            at = tree
            *path, last = name.split(".")
            for part in path:
                at = at.setdefault(part, {})
            at[last] = value
        with open(os.path.join(self.dir, "ifd.yaml"), "w") as f:

            def put(node, indent):
                for k, v in node.items():
                    if isinstance(v, dict):
                        f.write(f"{indent}{k}:\n")
                        put(v, indent + "  ")
                    else:
                        f.write(f"{indent}{k}: {json.dumps(v) if isinstance(v, (str, list)) else v}\n")

            put(tree, "")

    @property
    def config(self):
        return os.path.join(self.dir, "ifd.yaml")

    @property
    def unix(self):
        return os.path.join(self.dir, "run", "ifd.sock")

    @property
    def data(self):
        return os.path.join(self.dir, "data")

    # --- life ---
    def start(self, timeout=PATIENCE):
        self.errors = open(self.log_path, "ab+")
        self.process = subprocess.Popen(
            [PROGRAM["ifd"], "--config", self.config], stdout=subprocess.PIPE, stderr=self.errors, stdin=subprocess.DEVNULL
        )
        timer = threading.Timer(timeout, self.process.kill)
        timer.start()
        line = self.process.stdout.readline().decode()
        timer.cancel()
        if not line.startswith("ready "):
            self.process.wait()
            raise AssertionError(f"not ready, exit {self.process.returncode}: {self.tail()}")
        self.line = line
        found = re.search(r" https?://([\d.]+):(\d+)", line)
        self.tcp = (found[1], int(found[2])) if found else None
        return self

    def start_tls(self, certificate):
        self.certificate = certificate
        return self.start()

    def refuses(self):
        """Starts what must not serve: exit code and what it says."""
        done = self.ifd("--config", self.config)
        assert not done.stdout.startswith(b"ready"), "it serves: " + done.stdout.decode()
        return done.returncode, done.stderr.decode("utf-8", "replace")

    def tail(self):
        if not os.path.exists(self.log_path):
            return ""
        with open(self.log_path, "rb") as f:
            return f.read()[-2000:].decode("utf-8", "replace")

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, timeout=PATIENCE):
        """SIGTERM; exit code."""
        if self.process is None:
            return None
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("SIGTERM did not end it within %d s: %s" % (timeout, self.tail()))
        self._reaped()
        return code

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self._reaped()

    def _reaped(self):
        self.process.stdout.close()
        self.errors.close()
        self.process = None

    def stand_still(self):
        """SIGSTOP, and no thread of it runs any more: the signal says that they are to stop, not that they have. SIGCONT is the caller's."""
        self.process.send_signal(signal.SIGSTOP)
        wait_for(lambda: stopped(self.process.pid), what="the daemon to stand still")

    def restart(self):
        assert self.stop() == 0, self.tail()
        return self.start()

    def close(self):
        try:
            self.kill()
        finally:
            if self.owns_root and not os.environ.get("IFAB_E2E_KEEP"):
                subprocess.run(["chmod", "-R", "u+rwX", self.root], check=False)
                shutil.rmtree(self.root, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- requests ---
    def conn(self, tcp=False, timeout=PATIENCE):
        return Conn(self.tcp if tcp else self.unix, timeout)

    def http(self, method, target, body=None, headers=None, tcp=False, timeout=PATIENCE):
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        with self.conn(tcp, timeout) as c:
            return c.request(method, target, body, headers)

    def get(self, target, **kwargs):
        return self.http("GET", target, **kwargs)

    def post(self, target, body, headers=None, **kwargs):
        return self.http("POST", target, body, headers, **kwargs)

    def send(self, message, key=None, **kwargs):
        return self.post("/v1/messages", bytes(message), {"Idempotency-Key": key} if key else None, **kwargs)

    def lines(self, messages, timeout=PATIENCE):
        """NDJSON: one answer a line."""
        r = self.post(
            "/v1/messages", b"\n".join(bytes(m) for m in messages) + b"\n", {"Content-Type": "application/x-ndjson"}, timeout=timeout
        )
        assert r.status == 200, r
        return [json.loads(line) for line in r.body.splitlines()]

    def about(self):
        return self.get("/v1/fabric").json

    def size(self):
        return self.about()["size"]

    def entry(self, index):
        r = self.get(f"/v1/witness/entries/{index}")
        assert r.status == 200, r
        return r.json

    def entries(self, start=0):
        """All entries from index start, checked to have no gaps."""
        out, cursor = [], start
        while True:
            page = self.get(f"/v1/witness/entries?limit=1000&cursor={cursor}").json
            out += page["items"]
            if page["next"] is None:
                break
            cursor = page["next"]
        assert [e["index"] for e in out] == list(range(start, start + len(out)))
        return out

    def last_seq(self, agent):
        items = self.get(f"/v1/talents/{agent.name}/sequences").json["items"]
        return {i["sender"]: i["last_seq"] for i in items}

    # --- people ---
    def admin_header(self, route, body, why="because", key=None, **change):
        act = {
            "v": 1,
            "log": self.about()["origin"],
            "route": "POST " + route,
            "body_digest": sha256(body),
            "why": why,
            "issued_at": stamp(time.time()),
            "nonce": b64u(os.urandom(16)),
        }
        act.update(change)
        data, _ = sign(act, b"IF-ADMIN-v1\n", key or self.admin_key)
        return {"IF-Admin": b64u(data)}

    def admin(self, route, body, **kwargs):
        """POST with a signed admin act."""
        data = json.dumps(body).encode()
        return self.post(route, data, self.admin_header(route, data, **kwargs))

    def enrol(self, name, owner=None, role=None, key=None):
        agent = Agent(name, owner, key)
        body = {"name": name, "owner": agent.owner, "pubkey": agent.pub, "why": "test"}
        if role:
            body["role"] = role
        r = self.admin("/v1/talents", body) if role not in (None, "agent") else self.post("/v1/talents", body)
        assert r.status == 201, r
        return agent

    def vote(self, receipt, verdict="approve", voter="operator", key=None, send=True, **change):
        """A signed vote about the message of a receipt."""
        now = time.time()
        vote = {
            "v": 1,
            "log": self.about()["origin"],
            "decision": receipt["id"],
            "message_digest": receipt["message_digest"],
            "policy_digest": receipt["policy_digest"],
            "verdict": verdict,
            "voter": "if://agent/" + voter,
            "why": "looked at it",
            "issued_at": stamp(now),
            "expires_at": stamp(now + 600),
            "nonce": b64u(os.urandom(16)),
        }
        vote.update(change)
        data, _ = sign(vote, b"IF-VOTE-v1\n", key or self.admin_key)
        if not send:
            return data
        return self.post(f"/v1/decisions/{receipt['id']}/votes", data)

    def inbox(self, name, after=None, wait_ms=0, limit=1000):
        q = f"/v1/inbox?as={name}&limit={limit}&wait_ms={wait_ms}" + (f"&after={after}" if after is not None else "")
        r = self.get(q)
        assert r.status == 200, r
        return r.json

    # --- verification ---
    def files(self, below=None):
        for base, _, names in os.walk(below or self.data):
            for name in names:
                path = os.path.join(base, name)
                try:
                    with open(path, "rb") as f:
                        yield path, f.read()
                except (FileNotFoundError, OSError):
                    continue

    def grep(self, needle, below=None):
        return [path for path, data in self.files(below) if needle in data]

    def verify(self):
        """Chain, Merkle root and checkpoint signature of the whole log, from its entries alone."""
        note = self.get("/checkpoint").body
        origin, size, root = check_note(note, self.about()["vkey"])
        assert origin == self.about()["origin"]
        raw = []
        for n in range(0, size, 256):
            width = min(256, size - n)
            number = tile_number(n // 256)
            r = self.get(f"/tile/entries/{number}" + (f".p/{width}" if width < 256 else ""))
            assert r.status == 200, (n, r)
            data = r.body
            while data:
                length = int.from_bytes(data[:2], "big")
                raw.append(data[2 : 2 + length])
                data = data[2 + length :]
        assert len(raw) == size, (len(raw), size)
        previous = "0" * 64
        for i, entry in enumerate(raw):
            e = json.loads(entry)
            assert e["index"] == i and rfc8785.dumps(e) == entry
            assert e["prev_hash"].rsplit(":", 1)[-1] == previous, f"chain broken at {i}"
            previous = hashlib.sha256(entry).hexdigest()
        assert merkle_root([hashlib.sha256(b"\0" + entry).digest() for entry in raw]) == root, "root of the checkpoint differs"
        return size


def tile_number(n):
    text = f"{n % 1000:03d}"
    while n >= 1000:
        n //= 1000
        text = f"x{n % 1000:03d}/" + text
    return text


def merkle_root(leaves):
    """RFC 6962."""
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\1" + merkle_root(leaves[:k]) + merkle_root(leaves[k:])).digest()


def root_from_path(leaf, index, size, path):
    """RFC 9162 2.1.3.2."""
    fn, sn, r = index, size - 1, leaf
    for p in path:
        assert sn != 0
        if fn & 1 or fn == sn:
            r = hashlib.sha256(b"\1" + p + r).digest()
            while not fn & 1 and fn:
                fn >>= 1
                sn >>= 1
        else:
            r = hashlib.sha256(b"\1" + r + p).digest()
        fn >>= 1
        sn >>= 1
    assert sn == 0
    return r


def check_note(note, vkey):
    """C2SP signed note with a tlog-checkpoint under a vkey: origin, size, root."""
    text, signatures = note.split(b"\n\n", 1)
    text += b"\n"
    name, key_hash, key = vkey.split("+", 2)
    key = base64.b64decode(key)
    assert key[0] == 1 and hashlib.sha256(name.encode() + b"\n" + key).hexdigest()[:8] == key_hash
    for line in signatures.decode().strip().split("\n"):
        dash, who, sig = line.split(" ")
        raw = base64.b64decode(sig)
        if who == name and raw[:4].hex() == key_hash:
            nacl.signing.VerifyKey(key[1:]).verify(text, raw[4:])
            break
    else:
        raise AssertionError("no signature of " + name)
    origin, size, root = text.decode().split("\n")[:3]
    return origin, int(size), base64.b64decode(root)


def check_receipt(receipt, vkey):
    """Receipt with ?proof=1 against the log's key: its entry stands in the tree under the checkpoint."""
    entry = receipt["proof"]["entry"].encode()
    assert sha256(entry) == receipt["entry"]["hash"]
    assert json.loads(entry)["payload"]["message_digest"] == receipt["message_digest"]
    _, size, root = check_note(receipt["checkpoint"].encode(), vkey)
    assert size == receipt["proof"]["size"]
    leaf = hashlib.sha256(b"\0" + entry).digest()
    assert leaf.hex() == receipt["proof"]["leaf"]
    assert root_from_path(leaf, receipt["entry"]["index"], size, [bytes.fromhex(p) for p in receipt["proof"]["path"]]) == root


def stopped(pid):
    states = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/stat", encoding="utf-8") as stat:
            states.append(stat.read().rpartition(")")[2].split()[0])
    return set(states) == {"T"}


def wait_for(condition, seconds=10, what="condition", at_most=None):
    """seconds: what it takes where nothing is slow, and no bound. at_most: the bound, where that it comes so soon is what the test is about."""
    seconds = at_most or max(seconds, PATIENCE)
    end = time.monotonic() + seconds
    while True:
        over = time.monotonic() >= end  # looked at before the condition: who was not scheduled until then looks once more
        got = condition()
        if got:
            return got
        if over:
            raise AssertionError(f"{what} did not come within {seconds} s")
        time.sleep(0.02)


class Events:
    """Server-sent events of a stream whose head was read."""

    def __init__(self, conn):
        self.conn, self.text = conn, b""

    def next(self):
        """Next event with data: dict of id, event, data."""
        while True:
            while b"\n\n" not in self.text:
                data = self.conn.chunk()
                if not data:
                    raise Gone("stream ended")
                self.text += data
            block, self.text = self.text.split(b"\n\n", 1)
            event = {}
            for line in block.split(b"\n"):
                if line.startswith(b":") or not line:
                    continue
                name, value = line.split(b":", 1)
                event[name.decode()] = value.strip().decode()
            if event:
                return event

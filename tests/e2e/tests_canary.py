"""A secret in real use: a hostile guest behind real walls, and a provider that sends back all it got, in every form. Ten thousand runs
(IFAB_CANARY_RUNS=N: another number); then no byte of the secret is anywhere. INV-08 INV-09."""

import base64
import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import threading

import canary_server
from canary_server import ODD, WITHHELD, Provider
from cli import Cli
from fabric import PATIENCE, PROGRAM, Fabric, Gone, Skip, sha256, wait_for
from tests_calls import programs, runs
from tests_capabilities import allow, manifest, module, publisher, signed_manifest
from tests_tokens import bearer, token
from tests_vault import put

HERE = os.path.dirname(os.path.abspath(__file__))
RUNS = int(os.environ.get("IFAB_CANARY_RUNS", "10000"))
LANES = 4  # at a time, each with a capability of its own: five refusals in a row open its breaker, so every third plan is a good one
EACH = 50  # plans of one agent; each is run twice, dry and in earnest
RULES = "v: 1\nrules: []\ncapabilities:\n  - {id: all, effect: share, when: {effect: [read, write]}}\n"
TEXT = {"type": "string", "maxLength": 200}
WAYS = {"BEARER": ("bearer", None), "HEADER": ("header", "X-Api-Key"), "BASIC": ("basic", None), "QUERY": ("query", "key")}


def guest():
    out = os.path.join(PROGRAM["build"], f"e2e-canary-{os.getpid()}.wasm")
    if not shutil.which("clang") or not shutil.which("wasm-ld"):
        raise Skip("no clang or no wasm-ld (tools/bootstrap full)")
    sdk = os.path.join(os.path.dirname(os.path.dirname(HERE)), "sdk", "guest-c")
    done = subprocess.run([os.path.join(sdk, "build"), os.path.join(HERE, "guest_canary.c"), "-o", out], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with open(out, "rb") as file:
        data = file.read()
    os.unlink(out)
    return data


def lane_manifest(name, wasm, port, rows=()):
    host = {"scheme": "http", "host": "127.0.0.1", "port": port, "methods": ["GET"]}
    params = {"type": "object", "properties": {n: TEXT for n in ("url", "uses", "shout", "marker")}}
    return manifest(
        id="if://capability/" + name,
        entrypoint={"module": "canary.wasm", "sha256": sha256(wasm), "size": len(wasm), "abi": 1},
        operations={"ask": {"effect": "write", "params": params}, "recall": {"effect": "read", "params": {"type": "object"}}},
        default_operation="ask",
        imports=["log", "http", "secret_ref", "kv_get", "kv_put"],
        http=[{**host, "path": "/e/*", "effect": "read"}, *({**host, **row} for row in rows)],
        requires_secrets=[
            {"name": way, "origin": f"http://127.0.0.1:{port}", "as": how, **({"field": field} if field else {})} for way, (how, field) in WAYS.items()
        ],
        scopes=None,
        limits={"rps": 10000, "burst": 10000, "backoff": [1], "concurrency": 16, "response_kib": 64, "deadline_ms": 300000},
    )  # fmt: skip


class Rig:
    """A fabric with LANES capabilities of one hostile guest, a secret for each way of sending one, and the provider."""

    def __init__(self, rows=lambda f: ()):
        """rows: more rows of http for the manifests, of a fabric that runs."""
        programs()
        wasm = guest()
        self.values = {way: f"canary{os.urandom(20).hex()}" for way in WAYS}
        self.values["QUERY"] += "&<\"'/+=>"  # what encoders change
        self.provider = Provider(self.values)
        self.f = Fabric()
        self.names = [f"canary.lane{n}" for n in range(LANES)]
        self.f.configure({"egress.allow": [f"{name} 127.0.0.1/32 {self.provider.port}" for name in self.names]})
        with open(os.path.join(self.f.dir, "rules.yaml"), "w") as rules:
            rules.write(RULES)
        self.f.start()
        key = publisher(self.f, namespaces=["canary"])
        for name in self.names:
            r = allow(self.f, signed_manifest(key, lane_manifest(name, wasm, self.provider.port, rows(self.f))))
            assert r.status == 200, r
        module(self.f, wasm, "canary.wasm")
        for way, value in self.values.items():
            assert put(self.f, way, ("user:" if way == "BASIC" else "") + value, self.origin).status == 201
        self.transcript = open(os.path.join(self.f.root, "answers"), "ab")
        self.lock = threading.Lock()
        try:
            runs(self.f, self.names[0])
        except BaseException:
            self.__exit__()  # nobody enters it
            raise

    @property
    def origin(self):
        return f"http://127.0.0.1:{self.provider.port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.transcript.close()
        self.provider.__exit__()
        self.f.close()

    def keep(self, r):
        """What anybody was answered stands in a file, and is looked through with all the others."""
        with self.lock:
            self.transcript.write(repr(r.headers).encode() + r.body + b"\n")
        return r

    def agent(self, name, lane):
        self.f.enrol(name)
        assert self.f.admin(f"/v1/talents/{name}/grants", {"scope": "if://capability/" + self.names[lane]}).status == 200
        return bearer(token(self.f, name)[0])

    def plan(self, c, head, lane, form, way="BEARER", operation="ask", **more):
        params = {"url": f"{self.origin}/e/{form}", "uses": way, **more} if operation == "ask" else {}
        body = json.dumps({"operation": operation, "params": params, "why": "looks for a leak"}).encode()
        return self.keep(c.request("POST", f"/v1/capabilities/{self.names[lane]}/plan", body, head))

    def apply(self, c, head, lane, plan, mode="apply"):
        assert plan.status == 201, plan
        body = json.dumps({"plan_hash": plan.json["plan_hash"], "mode": mode}).encode()
        return self.keep(c.request("POST", f"/v1/capabilities/{self.names[lane]}/apply", body, head))

    def ask(self, c, head, lane, *args, **more):
        """One governed call: plan and apply."""
        return self.apply(c, head, lane, self.plan(c, head, lane, *args, **more))


def heard(r):
    assert r.status == 200, r
    return r.json["result"]["heard"]


def judge(r, form, way, rig):
    """A form that is looked for is withheld, the whole call with it; of the odd ones nothing reaches anybody. The search of files tells."""
    if form in WITHHELD:
        assert r.status >= 500 and r.json["error"]["code"] == "IF_ERR_501" and "withheld" in r.json["error"]["message"], (form, way, r)
    assert rig.values[way].encode() not in r.body, (form, way, r)


def runs_of(rig, lane, plans, failures):
    """Every form in every way, in turn; after two of them one that is harmless."""
    forms = [(form, way) for form in [*WITHHELD, *ODD] for way in WAYS] + [("raw", "BEARER")]  # an odd number: each lane comes to all of them
    try:
        with rig.f.conn() as c:
            for n in range(plans):
                if n % EACH == 0:
                    head = rig.agent(f"Lane{lane}.Agent{n // EACH}", lane)
                turn = n * LANES + lane
                form, way = ("pong", "BEARER") if n % 3 == 2 else forms[turn % len(forms)]
                plan = rig.plan(c, head, lane, form, way, shout="fail" if turn // 7 % 2 and form != "pong" else "result")
                for mode in ("dry-run", "apply"):
                    r = rig.apply(c, head, lane, plan, mode)
                    judge(r, form, way, rig)
                    assert form != "pong" or b"\\npong" in r.body, r  # what is harmless does come through
    except BaseException as e:
        failures.append(e)
        raise


def spellings(value):
    """All forms in which it is looked for afterwards: whole, and pieces of ten of its random bytes as they stand."""
    raw = value.encode()
    yield from (raw, raw[::-1], raw.hex().encode(), raw.hex().upper().encode(), canary_server.percent(raw), canary_server.escaped(raw))
    yield from (raw[i : i + 10] for i in range(6, len(raw) - 10, 4))
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + raw + b"\0\0\0")
        yield whole[(shift * 8 + 5) // 6 : len(whole) // 4 * 4 - 8]


def found(data, values):
    return [name for name, value in values.items() for form in spellings(value) if form in data]


def nowhere(rig):
    """In no file below the fabric's root (log, database, tiles, vault, export, what anybody was answered), on no command line, in no environment."""
    size = 0
    for value in rig.values.values():  # the control: the search does find what is there
        assert all(found(form(b"x" + value.encode()), rig.values) for form in (bytes, base64.b64encode, canary_server.escaped, canary_server.percent))
    for path, data in rig.f.files(rig.f.root):
        size += len(data)
        assert not found(data, rig.values), (path, found(data, rig.values))
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/{name}", "rb") as text:
                    assert not found(text.read(), rig.values), (pid, name)
    return size


def everything_said(rig):
    """What the fabric tells whoever asks goes into the transcript; an export beside it."""
    for path in ("/v1/plans?limit=1000", "/v1/secrets", "/v1/vault", "/v1/breakers", "/metrics", "/v1/fabric", "/v1/slo"):
        rig.keep(rig.f.get(path))
    for name in rig.names:
        for path in (f"/v1/capabilities/{name}", f"/v1/capabilities/{name}/logs?limit=500"):
            r = rig.keep(rig.f.get(path))
            assert r.status == 200, (path, r)
    entries = rig.f.entries()
    rig.transcript.write(json.dumps(entries).encode())
    rig.transcript.flush()
    Cli(rig.f).wants(0, "witness", "export", "--out", os.path.join(rig.f.root, "export"))
    return entries


def workers(rig):
    """Processes of if-sandbox under this daemon."""
    out = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/stat") as stat:
                name, _, rest = stat.read().partition("(")[2].rpartition(")")
            if name == "if-sandbox" and int(rest.split()[1]) == rig.f.process.pid:
                out.append(int(pid))
    return out


def memory(pid):
    """Every readable page of a process."""
    dump = bytearray()
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended since it was listed
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
            for line in maps:
                span, rights = line.split()[:2]
                start, end = (int(part, 16) for part in span.split("-"))
                if "r" in rights:
                    with contextlib.suppress(OSError, OverflowError, ValueError):
                        mem.seek(start)
                        dump += mem.read(end - start)
    return bytes(dump)


def test_no_byte_of_a_secret_comes_back():
    # INV-08 INV-09
    with Rig() as rig:
        failures = []
        plans = max(RUNS // LANES // 2, 10)
        runs = plans * LANES * 2
        lanes = [threading.Thread(target=runs_of, args=(rig, lane, plans, failures)) for lane in range(LANES)]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
        assert not failures, failures[0]
        used = sum(rig.provider.saw.values())
        assert used >= runs and min(rig.provider.saw.values()) > 0, rig.provider.saw  # they were sent, each of them
        with rig.f.conn() as c:
            for lane in range(LANES):  # a guest that comes later finds nothing either
                head = bearer(token(rig.f, f"Lane{lane}.Agent0")[0])
                said = heard(rig.ask(c, head, lane, "", operation="recall"))
                assert said and not found(said.encode(), rig.values), said
        entries = everything_said(rig)
        count = {}
        for e in entries:
            count[e["operation"]] = count.get(e["operation"], 0) + 1
        assert sum(e["component"] == "SecretVault" and e["operation"] == "get" for e in entries) >= used, count  # each use is an entry
        assert sum(e["severity"] == "HIGH" and "withheld" in json.dumps(e["payload"]) for e in entries) > runs // 3, count
        size = nowhere(rig)
        rig.f.verify()
        return f"{runs} runs, {used} requests with a secret, {size >> 20} MiB looked through"


class Held:
    """A call whose secret has just arrived at the provider, which says nothing yet: the guest waits in the middle of its host call."""

    def __init__(self, rig, head, way="BEARER"):
        self.rig, self.marker = rig, "marker" + os.urandom(16).hex()
        rig.provider.held.clear()
        rig.provider.release.clear()
        self.thread = threading.Thread(target=self.run, args=(head, way))
        self.answer = None
        self.thread.start()
        assert rig.provider.held.wait(PATIENCE), "nothing came"

    def run(self, head, way):
        with contextlib.suppress(Gone, ConnectionError):
            with self.rig.f.conn() as c:
                self.answer = self.rig.ask(c, head, 0, "hold", way, marker=self.marker)

    def end(self):
        self.rig.provider.release.set()
        self.thread.join()
        return self.answer


def dumps(rig):
    try:
        return [memory(pid) for pid in workers(rig)]
    except PermissionError:
        raise Skip("this account may not read the memory of a sandbox; root may") from None


def test_a_dump_of_the_guest_holds_none_of_it():
    # INV-08 INV-09
    with Rig() as rig:
        head = rig.agent("Dumped", 0)
        size = 0
        for way in WAYS:
            saw = rig.provider.saw[way]
            call = Held(rig, head, way)
            try:
                seen = dumps(rig)
            finally:
                r = call.end()
            assert rig.provider.saw[way] == saw + 1 and heard(r).endswith("\npong"), r
            assert any(call.marker.encode() in dump for dump in seen), "the dump is not that of the guest"
            assert not [hit for dump in seen for hit in found(dump, rig.values)], way
            with rig.f.conn() as c:
                judge(rig.ask(c, head, 0, "raw", way), "raw", way, rig)  # what came back and was withheld
            for dump in dumps(rig):
                assert not found(dump, rig.values), way
                size += len(dump)
        return f"{size >> 20} MiB of memory looked through"


def signalled(process):
    """Waits for a child: the signal it died of, and whether it left a core."""
    _, status = os.waitpid(process.pid, 0)
    process.returncode = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, os.WCOREDUMP(status)


def cores_are_written():
    """The control: would this machine keep a core of a process that does not refuse?"""
    control = subprocess.Popen(["sleep", "60"])
    control.send_signal(signal.SIGABRT)
    dumped = signalled(control)[1]
    left = [name for name in os.listdir() if name.startswith("core")]
    for name in left:
        os.unlink(name)
    return dumped, bool(left)


def test_no_core_holds_it():
    # INV-09
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except ValueError:
        raise Skip("this account may not raise the limit of core files") from None
    with Rig() as rig:
        here = os.path.join(rig.f.root, "here")
        os.mkdir(here)
        os.chdir(here)  # where a core would go
        dumped, left = cores_are_written()
        if not dumped:
            raise Skip("no process leaves a core on this machine")
        rig.f.restart()
        head = rig.agent("Dumped", 0)
        for number in (signal.SIGABRT, signal.SIGSEGV, signal.SIGQUIT, signal.SIGTRAP):
            call = Held(rig, head)
            for pid in workers(rig):
                with contextlib.suppress(ProcessLookupError):  # one that was idle has ended since
                    os.kill(pid, number)
            wait_for(lambda: not call.thread.is_alive(), 60, "the end of its call")
            r = call.end()
            assert r.status >= 500 and r.json["error"]["code"] == "IF_ERR_501", r
            with rig.f.conn() as c:
                assert heard(rig.ask(c, head, 0, "pong")).endswith("\npong")  # the daemon goes on; so closes what the signals did to the breaker
            assert os.listdir(here) == [], (number, left)
        for number in (signal.SIGABRT, signal.SIGSEGV):
            call = Held(rig, head)
            orphans = workers(rig)
            os.kill(rig.f.process.pid, number)
            how = signalled(rig.f.process)
            rig.f._reaped()
            call.end()
            assert how == (number, False), how
            wait_for(lambda: not [pid for pid in orphans if os.path.exists(f"/proc/{pid}/mem") and name_of(pid) == "if-sandbox"], 20, "its workers' end")
            assert os.listdir(here) == [], number
            rig.f.start()
        everything_said(rig)
        nowhere(rig)
        return f"control: a core {'in the directory' if left else 'somewhere'}"


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return ""

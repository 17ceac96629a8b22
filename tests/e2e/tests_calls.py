"""Calls of capabilities, whole: a real guest behind real walls, from its signature to its receipt; and every way in which one must not happen.
INV-04 INV-06 INV-07 INV-10 INV-13 INV-02."""

import functools
import json
import os
import shutil
import subprocess
import threading
import time

import nacl.signing

from cli import Cli
from fabric import PROGRAM, Fabric, Skip, sha256, wait_for
from tests_capabilities import allow, is_refused, manifest, module, publisher, signed
from tests_rules import reload, write
from tests_tokens import bearer, token
from tests_watch import View

HERE = os.path.dirname(os.path.abspath(__file__))
NAME = "studio.mixer"
ID = "if://capability/" + NAME
AS = ("--as", "Studio.A")
WHY = ("--why", "the show begins")
LONG = {"rps": 100, "burst": 100, "backoff": [1, 2], "fuel": 10**12, "deadline_ms": 300000}  # no test here waits for its end
RULES = """v: 1
rules: []
capabilities:
  - {id: 10-off-limits, effect: deny, reason: that scene is closed, when: {param.scene: closed}}
  - {id: 20-asked-first, effect: escalate, when: {operation: asked}}
  - {id: 30-studio, effect: share, when: {capability: studio.mixer}}
"""
SCENE = {"type": "object", "properties": {"scene": {"type": "string", "maxLength": 40}, "input": {"type": "integer", "minimum": 1},
                                          "level": {"type": "number"}, "muted": {"type": "boolean"},
                                          "tags": {"type": "array", "items": {"type": "string"}}, "more": {"type": "object", "additionalProperties": True}}}
MONEY = {"type": "object", "properties": {"usd_micro": {"type": "integer"}}}


def operation(effect="write", params=SCENE, **more):
    return {"effect": effect, "params": params, **more}


OPERATIONS = {
    "take": operation(cost_estimate={"usd_micro": 100}),
    "look": operation("read", idempotent=True),
    "lock": operation("physical"),
    "pay": operation("payment"),
    "asked": operation(),
    "dear": operation(params=MONEY),
    "fail": operation(),
    "spin": operation(),
    "again": operation(idempotent=True),
    "trap": operation(),
    "refuse": operation(),
}


@functools.cache
def guest():
    """The module, compiled once a build."""
    out = os.path.join(PROGRAM["build"], "e2e-guest.wasm")
    source = os.path.join(HERE, "guest_calls.c")
    sdk = os.path.join(os.path.dirname(os.path.dirname(HERE)), "sdk", "guest-c")
    if not shutil.which("clang") or not shutil.which("wasm-ld"):
        raise Skip("no clang or no wasm-ld (tools/bootstrap full)")
    new = f"{out}.{os.getpid()}"
    done = subprocess.run([os.path.join(sdk, "build"), source, "-o", new], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    os.rename(new, out)
    with open(out, "rb") as file:
        return file.read()


def programs():
    """Skips where there is nothing to run a guest in."""
    beside = os.path.join(os.path.dirname(os.path.dirname(PROGRAM["ifd"])), "if-sandbox")
    for name in ("if-sandbox", "if-sandbox-prepare"):
        if not os.path.exists(os.path.join(beside, name)):
            raise Skip(f"{name} was not built: no capabilities without Rust")


def runs(f, name):
    """Looks whether a guest runs behind its walls here. That it does not is a failure; where nobody said that this machine can, a skip."""
    probe = f.post(f"/v1/capabilities/{name}/health", {})
    if probe.status == 200 and probe.json["healthy"] is not False:  # None: it ran, and asked nobody
        return
    may_lack = os.environ.get("IFAB_CAPABILITIES") != "required"  # tools/check says so wherever the sandbox programs were built
    assert may_lack and (probe.code == 509 or b"wall" in probe.body or b"sandbox" in probe.body), probe
    raise Skip(f"no sandbox here: {probe!r}")


def studio(f, key=None, wasm=None, **change):
    """Signed and allowed, its module where it belongs."""
    wasm = guest() if wasm is None else wasm
    key = key or publisher(f, namespaces=["studio"])
    m = {"id": ID, "operations": OPERATIONS, "default_operation": "take", "imports": ["log", "kv_put"], "http": None, "scopes": None,
         "entrypoint": {"module": "studio.wasm", "sha256": sha256(wasm), "size": len(wasm), "abi": 1},
         "limits": LONG, **change}
    r = allow(f, signed(key, **m))
    assert r.status == 200, r
    module(f, wasm, "studio.wasm")
    return key


class Studio:
    """A fabric that runs capabilities; an agent that may call one; a second owner who approves."""

    def __init__(self, f=None, grant=True, rules=RULES, **change):
        programs()
        guest()
        self.f = f or Fabric()
        if rules:
            write(self.f, rules)
        self.f.start()
        self.key = studio(self.f, **change)
        self.cli = Cli(self.f)
        self.cli.wants(0, "talent", "add", "Studio.A", "--owner", "alice", "--new-key", *WHY)
        self.cli.wants(0, "talent", "add", "Studio.B", "--owner", "alice", "--new-key", *WHY)
        if grant:
            self.cli.wants(0, "talent", "grant", "Studio.A", "--capability", ID, *WHY)
        try:
            runs(self.f, NAME)
        except BaseException:
            self.f.close()  # nobody enters it
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.f.close()

    def apply(self, code, *args, **more):
        return self.cli.wants(code, "capability", "apply", NAME, *args, *WHY, *AS, "-o", "json", **more)

    def plan(self, *args):
        return self.cli.json("capability", "plan", NAME, *args, *WHY, *AS)

    def go_on(self, code, plan, *args, **more):
        return self.cli.wants(code, "capability", "apply", "--plan", plan["plan_hash"], *AS, "-o", "json", *args, **more)

    def entries(self, *operations):
        return [e for e in self.f.entries() if e["operation"] in operations]


def fails(done, code):
    assert f"IF_ERR_{code:03d}" in done.err, done
    return done


def test_from_a_plan_to_a_receipt():
    # INV-04 INV-13
    with Studio() as s:
        done = s.apply(0, "--scene", "Intro", "--trace")
        receipt = done.json
        assert receipt["result"] == {"operation": "take", "params": {"scene": "Intro"}} and receipt["fuel"] > 0, receipt
        assert receipt["mode"] == "apply" and receipt["cost"]["usd_micro"] == 100 and receipt["effect"] == "write", receipt
        trace = receipt["trace"]
        assert trace in done.err and "studio.mixer" in done.err and "Intro" in done.err, done
        mine = [e for e in s.f.entries() if e["trace"] == trace]
        intent, outcome = s.f.entry(receipt["intent"]), s.f.entry(receipt["entry"]["index"])
        plan = s.f.entry(intent["why_from"])
        assert plan["why"] == WHY[1] and plan["actor"] == "if://agent/Studio.A" and intent in mine and outcome in mine, mine
        assert plan["index"] < intent["index"] < outcome["index"] and outcome["why_from"] == plan["index"]
        assert sha256(json.dumps(receipt["result"], separators=(",", ":"), sort_keys=True).encode()) == outcome["payload"]["result"]["digest"], outcome
        assert "token" not in s.cli.wants(0, "token", "list", "-o", "json").json["items"] and not [
            t for t in s.cli.json("token", "list")["items"] if not t["revoked_at"]], "its token ended with it"
        # seeds' form, every type, -p, lists
        got = s.apply(0, "look", "--input", "3", "--level", "-1.5", "--muted", "-p", "scene=a=b", "--tags", "x", "--tags", "y", "--more", '{"k":1}').json["result"]
        assert got["params"] == {"input": 3, "level": -1.5, "muted": True, "scene": "a=b", "tags": ["x", "y"], "more": {"k": 1}}, got
        assert [line["text"] for line in s.cli.json("capability", "logs", NAME)["items"]] == ["Intro", "a=b"]
        assert s.cli.json("capability", "health", NAME)["result"] == {"status": "ok"}
        plan = s.plan("look", "--scene", "later")
        assert plan["state"] == "planned" and plan["decision"] == "SHARE"
        assert s.go_on(0, plan, "--mode=dry-run").json["mode"] == "dry-run"
        assert s.go_on(0, plan).json["plan_id"] == plan["plan_id"]
        assert "applied once" in (again := fails(s.go_on(12, plan), 409).err) and "Plan again" in again, again
        states = {p["plan_id"]: p["state"] for p in s.cli.json("capability", "plans")["items"]}
        assert states[plan["plan_id"]] == "done", states
        table = s.cli.wants(0, "capability", "apply", NAME, "--scene", "x", *WHY, *AS).out
        assert "fuel" in table and "result" in table, table
        s.f.verify()


def test_parameters_are_typed_and_named():
    with Studio() as s:
        said = s.apply(2, "--scnee", "Intro").err
        assert 'did you mean "scene"' in said and "It takes: " in said, said
        for wrong in (("--input", "three"), ("--input", "3.5"), ("--input", ""), ("--muted=perhaps",), ("--more", "[1]"), ("-p", "scene"),
                      ("--scene", "a", "--scene", "b"), ("--level", "NaN"), ("--tags", "[1"), ("--tags", "x", "-p", "tags=[]", "--more", "x")):
            s.apply(2, *wrong)
        fails(s.apply(12, "--input", "0"), 208)
        fails(s.apply(12, "--scene", "x" * 41), 208)
        assert "no operation" in s.apply(2, "nothing").err and "it has again, asked" in s.apply(2, "nothing").err
        s.apply(2, "take", "--operation", "look")
        s.cli.wants(2, "capability", "apply", *WHY, *AS)
        s.cli.wants(2, "capability", "apply", NAME, "--plan", "sha256:" + "0" * 64, *WHY, *AS)
        s.cli.wants(2, "capability", "apply", "--plan", "sha256:" + "0" * 64, "--scene", "x", *AS)
        gone = fails(s.cli.wants(12, "capability", "apply", "--plan", "sha256:" + "0" * 64, *AS), 404).err
        assert "it has expired, or there was none" in gone and "Plan again" in gone, gone
        assert not s.entries("planned"), "nothing of this reached the log"
        fails(s.apply(12, "refuse"), 208)  # the guest's own word
        s.cli.wants(2, "capability", "apply", NAME, "--scene", "x", *AS)  # no why
        fails(s.cli.wants(10, "capability", "apply", NAME, "--scene", "x", *WHY), 3)  # nobody's: the operator's socket is no talent


def test_what_is_not_let_in_is_not_called():
    # INV-02 INV-07
    programs()
    wasm = guest()
    with Studio(grant=False) as s:
        fails(s.apply(12, "--scene", "x"), 205)
        s.cli.wants(0, "talent", "grant", "Studio.A", "--capability", ID, *WHY)
        s.apply(0, "--scene", "x")
        plan = s.plan("--scene", "y")
        fails(s.cli.wants(12, "capability", "apply", "--plan", plan["plan_hash"], "--as", "Studio.B"), 404)  # another's
        unsigned = manifest(id=ID, version="2.0.0")
        is_refused(allow(s.f, unsigned), 401, 1)
        is_refused(allow(s.f, signed(nacl.signing.SigningKey.generate(), id=ID, version="2.0.0")), 403, 5)  # signed again, by somebody else
        module(s.f, wasm[:-1] + bytes([wasm[-1] ^ 1]), "studio.wasm")  # one bit; a loaded one is kept by its digest until the daemon ends
        s.f.restart()
        fails(s.go_on(12, plan), 204)
        fails(s.apply(12, "--scene", "x"), 204)
        module(s.f, wasm, "studio.wasm")
        s.go_on(0, plan)
        plan = s.plan("--scene", "z")
        assert s.f.admin("/v1/revocations", {"id": ID, "version": "1.1.0"}).status == 200  # in between
        gone = fails(s.go_on(12, plan), 202).err
        assert "1.1.0 is revoked" in gone and "took it back" in gone, gone
        gone = fails(s.apply(12, "--scene", "x"), 201).err
        assert "revoked, in every version" in gone and "took it back" in gone, gone
        never = fails(s.cli.wants(12, "capability", "plan", "studio.never", *WHY, *AS), 201).err
        assert "never put on the allow-list" in never and "capability allow" in never and "took it back" not in never, never
        never = fails(s.cli.wants(12, "capability", "plan", NAME + "@7.0.0", *WHY, *AS), 202).err
        assert "7.0.0 was never put on the allow-list" in never, never
        # who may not call at all is told neither
        for name in (NAME, "studio.never"):
            r = s.f.post(f"/v1/capabilities/{name}/plan", {"operation": "look", "params": {}, "why": "w"})
            is_refused(r, 403, 3)
            assert b"revoked" not in r.body and b"allow-list" not in r.body, r


def test_a_grant_that_goes_in_between():
    # INV-07
    with Studio() as s:
        plan = s.plan("--scene", "x")
        s.cli.wants(0, "talent", "revoke", "Studio.A", "--scope", ID, *WHY)
        fails(s.go_on(12, plan), 205)
        s.cli.wants(0, "talent", "grant", "Studio.A", "--capability", ID, *WHY)
        s.go_on(0, plan)


def test_rules_decide_and_none_is_no():
    # INV-06
    with Studio() as s:
        no = s.apply(31, "--scene", "closed")
        assert no.json["reason"] == "that scene is closed" and "hint" not in no.json and "hint:" not in no.err, no
        plan = s.plan("--scene", "open")
        reload(s.f, RULES.replace("that scene is closed", "closed for good"))
        fails(s.go_on(12, plan), 409)  # made under other rules
        reload(s.f, "v: 1\nrules: []\n")
        no = s.apply(31, "--scene", "x")
        assert no.json["rule"] == "builtin.capability-default" and "when: {capability: studio.mixer, operation: take}" in no.json["hint"], no
        assert "hint: An operator lets it pass" in no.err and s.cli.json("explain", no.json["rule"])["do"], no


def test_rate_budget_and_breaker():
    # INV-10
    with Studio(limits={**LONG, "rps": 1, "burst": 5, "concurrency": 16}) as s:
        head = bearer(token(s.f, "Studio.A")[0])
        plans = [s.plan("--scene", "x")["plan_hash"] for _ in range(16)]
        with s.f.conn() as c:  # all there at once: however slow it is, no second passes for each
            c.send(b"".join(c.bytes_of("POST", f"/v1/capabilities/{NAME}/apply", json.dumps({"plan_hash": p}).encode(), head) for p in plans))
            ends = [c.read() for _ in plans]
        assert [e.status for e in ends[:4]] == [200] * 4 and any(e.code == 302 for e in ends), ends
    with Studio() as s:
        assert s.f.admin("/v1/budgets", {"id": "b", "subject": "capability", "name": NAME, "limit": 250, "unit": "usd_micro", "period": "total"}).status == 201
        s.apply(0, "--scene", "x")
        s.apply(0, "--scene", "x")
        fails(s.apply(13, "--scene", "x"), 301)
        fails(s.apply(13, "dear", "--usd_micro", "100"), 301)
        s.apply(0, "dear", "--usd_micro", "50")
        b = next(b for b in s.f.get("/v1/budgets").json["items"] if b["id"] == "b")
        assert b["settled"] == 250 and b["reserved"] == 0, b
    with Studio() as s:
        for _ in range(5):
            done = fails(s.apply(20, "fail"), 503)
            assert done.json["error"]["message"] == "the mixer is off" and done.json["entry"]["index"] > done.json["intent"], done
        fails(s.apply(13, "--scene", "x"), 303)
        s.cli.wants(0, "governor", "reset", "capability:" + NAME, *WHY)
        s.apply(0, "--scene", "x")
        assert "IF_ERR_501" in s.apply(20, "trap").err
        s.apply(0, "--scene", "x")


def waiting(s):
    items = s.f.get("/v1/decisions?state=escalated").json["items"]
    return items[0] if items else None


class Background:
    def __init__(self, s, *args):
        self.done = None
        self.thread = threading.Thread(target=lambda: setattr(self, "done", s.cli(*args)))
        self.thread.start()

    def end(self):
        self.thread.join()  # it has a patience of its own
        return self.done


def test_what_is_physical_waits_for_a_vote():
    # INV-04 INV-06
    with Studio() as s:
        for operation, decide, code in (("lock", "approve", 0), ("pay", "refuse", 31), ("asked", "approve", 0)):
            run = Background(s, "capability", "apply", NAME, operation, "--scene", f"{operation}\u202edoor", *WHY, *AS, "-o", "json")
            item = wait_for(lambda: waiting(s), 20, "its message")
            assert not [e for e in s.f.entries() if e["payload"].get("mode") == "apply" and e["payload"].get("operation") == operation]
            shown = s.cli.wants(0, "decision", "show", item["id"]).err
            assert f"operation   {operation}" in shown and "studio.mixer" in shown and "\u202e" not in shown and "door" in shown, shown
            effect = OPERATIONS[operation]["effect"]
            assert f"effect      {effect}" in shown, shown
            voted = s.cli.wants(0, "decision", decide, item["id"], "--yes", *WHY)
            assert "params" in voted.err and "door" in voted.err, voted
            done = run.end()
            assert done.code == code, done
            if code == 0:
                assert done.json["result"]["operation"] == operation, done
        plan = s.plan("lock")
        assert plan["decision"] == "ESCALATE" and plan["approval"] == {"state": "needed", "votes": 1}, plan
        agent = s.f.post("/v1/tokens", {"talent": "Studio.A", "why": "w"}).json["secret"]
        r = s.f.post(f"/v1/capabilities/{NAME}/apply", {"plan_hash": plan["plan_hash"]}, {"Authorization": "Bearer " + agent})
        is_refused(r, 403, 3)
        assert "approve" in s.go_on(30, plan, "--wait", "0s").err
        assert "--plan " + plan["plan_hash"] in s.go_on(30, plan, "--wait", "0s").err, "asked once, waited for twice"
        s.cli.wants(0, "decision", "refuse", waiting(s)["id"], "--yes", *WHY)
        s.go_on(31, plan)
        s.f.verify()


def test_an_approver_sees_why_and_what_the_plan_says():
    # INV-02
    with Studio() as s:
        why = "the \u202eshow begins with password=hunter2-of-the-talent"
        run = Background(s, "capability", "apply", NAME, "lock", "--scene", "front", "--why", why, *AS, "-o", "json")
        item = wait_for(lambda: waiting(s) or run.done, 20, "its message")
        assert run.done is None, run.done
        said = s.f.get(f"/v1/decisions/{item['id']}").json["plan"]
        entry = next(e for e in s.entries("planned") if e["payload"]["plan"]["operation"] == "lock")
        assert said["why"] == entry["why"] and said["summary"] == entry["payload"]["summary"] and "opens" in said["summary"], said
        assert said["params"] == {"scene": "front"} and said["effect"] == "physical" and said["plan_hash"] == entry["payload"]["plan"]["plan_hash"], said
        assert item["subject"] == NAME + ".lock" and "plan" not in item, item
        assert "SUBJECT" in (table := s.cli.wants(0, "decision", "list").out) and NAME + ".lock" in table, table
        reader = s.f.admin("/v1/tokens", {"talent": "operator", "role": "readonly", "why": "w"}).json["secret"]
        seen = s.f.get(f"/v1/decisions/{item['id']}", headers={"Authorization": "Bearer " + reader})
        assert seen.status == 200 and seen.json["envelope"] is None and "plan" not in seen.json, "that something waits, not what"
        v = View(s.cli, size=(60, 100)).until(item["id"], "studio.mixer", "begins", "opens", "plan says", gone="CANNOT BE SHOWN")
        assert v.type("q").end() == 0
        for args in (("show", item["id"]), ("refuse", item["id"], "--yes", *WHY)):
            shown = s.cli.wants(0, "decision", *args).err
            assert "  why         the \\u{202e}show begins with" in shown and "  plan says   opens\\u{1b}[2J \\u{202e}rood" in shown, shown
            assert "hunter2" not in shown and "\x1b" not in shown and "\u202e" not in shown, shown
        assert run.end().code == 31
        with Between(s, {}, None) as b:  # another plan's words beside this one's hash are nobody's
            s.go_on(30, plan := s.plan("lock", "--scene", "back"), "--wait", "0s")
            b.plan, b.said = plan, {"why": "trust me", "plan_hash": "sha256:" + "0" * 64}
            shown = s.cli.wants(0, "decision", "show", waiting(s)["id"], "--endpoint", b.endpoint).err
            assert "trust me" not in shown and "front" not in shown and "operation   lock" in shown, shown
        s.f.verify()


def test_an_approver_signs_what_is_shown():
    # INV-02
    with Studio() as s:
        plan = s.plan("lock", "--scene", "front")
        s.go_on(30, plan, "--wait", "0s")
        item = waiting(s)
        for change in ({"params": {"scene": "back"}}, {"operation": "look"}, {"cost": {"usd_micro": 0, "tokens": 0, "calls": 0}}, {"talent": "Studio.B"}, None):
            with Between(s, plan, change) as b:
                done = s.cli.wants(12, "decision", "approve", item["id"], "--yes", *WHY, "--endpoint", b.endpoint)
                assert "nothing was signed" in done.err, done
                assert "do not approve" in s.cli.wants(0, "decision", "show", item["id"], "--endpoint", b.endpoint).err
        assert s.f.get(f"/v1/decisions/{item['id']}").json["votes_given"] == 0
        s.cli.wants(0, "decision", "approve", item["id"], "--yes", *WHY)
        s.go_on(0, plan)


class Between:
    """Hands requests on, and answers those for a plan with another one (None: with none)."""

    def __init__(self, s, plan, change):
        import http.server
        import socketserver

        f, between = s.f, self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def hand_on(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
                keep = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "content-length", "connection")}
                r = f.http(self.command, self.path, body, keep)
                status, data = r.status, r.body
                if self.path.startswith("/v1/decisions/") and between.said is not None:
                    data = json.dumps({**r.json, "plan": between.said}).encode()
                if self.path.startswith("/v1/plans/") and between.plan is None:
                    status = 404 if change is None else 200
                    data = json.dumps({**plan, **(change or {})} if change else {"error": {"code": "IF_ERR_404", "name": "NOT_FOUND", "message": "m", "hint": "h", "retryable": False}}).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = hand_on

            def log_message(self, *_):
                pass

            def address_string(self):
                return "unix"

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True

        between.plan = between.said = None  # plan: is handed on as it is; said: beside it in a decision
        path = os.path.join(f.root, f"between{time.monotonic_ns()}")
        between.endpoint = "unix:" + path
        between.server = Server(path, Handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def applying(s):
    return [p for p in s.f.get("/v1/plans").json["items"] if p["state"] == "applying"]


def test_killed_between_intent_and_outcome():
    # INV-04
    with Studio() as s:
        run = Background(s, "capability", "apply", NAME, "spin", *WHY, *AS)
        wait_for(lambda: applying(s), 20, "its intent")
        s.f.kill()
        assert run.end().code == 21
        s.f.start()
        plan = wait_for(lambda: s.f.get("/v1/plans?state=dangling").json["items"], 20, "it dangles")[0]
        with open(s.f.log_path) as log:
            text = log.read()
        close = f"ifctl capability close {plan['plan_id']} --outcome"
        assert "dangling" in text and close in text, text
        told = s.cli.json("doctor")["items"]
        assert any(i["check"] == "dangling" and close in i["detail"] for i in told), told
        entry = [e for e in s.f.entries() if e["subject"] == plan["plan_id"] and e["severity"] in ("WARN", "HIGH")]
        assert entry, "it is an entry"
        fails(s.go_on(12, plan), 409)  # never again by itself
        s.cli.wants(2, "capability", "close", plan["plan_id"], *WHY)
        r = s.cli.json("capability", "close", plan["plan_id"], "--outcome", "not-done", *WHY)
        assert s.f.entry(r["entry"]["index"])["why"] == WHY[1]
        fails(s.cli.wants(12, "capability", "close", plan["plan_id"], "--outcome", "done", *WHY), 404)
        assert not s.f.get("/v1/plans?state=dangling").json["items"]
        assert not any(i["check"] == "dangling" for i in s.cli.json("doctor")["items"])
        s.apply(0, "--scene", "x")
        s.f.verify()


def test_falsify_runs_nothing():
    with Studio() as s:
        done = s.cli.wants(0, "capability", "apply", NAME, "--scene", "Intro", *WHY, *AS, "--mode=falsify", "-o", "json")
        assert done.json["verdict"] == "survived" and len(done.json["challenges"]) == 10, done
        assert not [e for e in s.f.entries() if e["payload"].get("mode") == "apply"]
        plan = s.plan("lock")
        done = s.go_on(32, plan, "--mode=falsify")
        wrong = [c["challenge"] for c in done.json["challenges"] if c["verdict"] == "falsified"]
        assert "physical-without-approval" in wrong, done
        plan = s.plan("--scene", "x")
        s.cli.wants(0, "talent", "revoke", "Studio.A", "--scope", ID, *WHY)
        assert s.go_on(32, plan, "--mode=falsify").json["verdict"] == "falsified"
        assert "survived" in s.cli.wants(32, "capability", "apply", "--plan", plan["plan_hash"], "--mode=falsify", *AS).out


def test_a_revocation_ends_what_runs():
    # INV-07
    with Studio() as s:
        run = Background(s, "capability", "apply", NAME, "spin", *WHY, *AS, "-o", "json")
        wait_for(lambda: applying(s), 20, "its intent")
        assert s.f.admin("/v1/revocations", {"id": ID, "version": "1.1.0"}).status == 200
        done = run.end()
        assert done.code != 0 and "IF_ERR_201" in done.err, done  # not by its deadline
        assert done.json["entry"]["index"] > done.json["intent"], done
        assert not applying(s)


def test_where_nothing_can_be_called():
    """A daemon with no sandbox to be found: everything but calls goes on."""
    f = Fabric()
    alone = os.path.join(f.root, "ifd")
    shutil.copy(PROGRAM["ifd"], alone)
    PROGRAM["ifd"] = alone
    with f:
        write(f, RULES)
        f.start()
        studio(f, wasm=b"\0asm\1\0\0\0")
        cli = Cli(f)
        cli.wants(0, "talent", "add", "Studio.A", "--new-key", *WHY)
        cli.wants(0, "talent", "grant", "Studio.A", "--capability", ID, *WHY)
        fails(cli.wants(20, "capability", "apply", NAME, "--scene", "x", *WHY, *AS), 509)
        fails(cli.wants(20, "capability", "health", NAME), 509)
        assert cli.json("capability", "show", NAME)["state"] == "allowed"


class Mcp:
    """ifctl mcp under its handshake, a request at a time; notifications are kept."""

    def __init__(self, s, *way):
        self.p = subprocess.Popen([PROGRAM["ifctl"], "mcp", *(way or AS)], env=s.cli.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.n, self.heard = 0, []
        said = self.ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}})
        assert said["result"]["capabilities"]["tools"] == {"listChanged": True}, said
        self.put({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def put(self, message):
        self.p.stdin.write(json.dumps(message).encode() + b"\n")
        self.p.stdin.flush()

    def ask(self, method, params=None):
        self.n += 1
        self.put({"jsonrpc": "2.0", "id": self.n, "method": method, "params": params or {}})
        while True:
            said = json.loads(self.p.stdout.readline())
            if said.get("id") == self.n:
                return said
            self.heard.append(said)

    def tools(self):
        return {t["name"]: t for t in self.ask("tools/list")["result"]["tools"]}

    def call(self, name, **arguments):
        said = self.ask("tools/call", {"name": name, "arguments": arguments})
        return said["result"] if "result" in said else said["error"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.p.stdin.close()
        self.p.wait(30)
        assert b"Sanitizer" not in self.p.stderr.read()
        self.p.stdout.close()


def test_a_model_calls_what_is_granted():
    # INV-06 INV-07 INV-13
    with Studio() as s:
        other = publisher(s.f, "Other", ["cam", "studio.mixer-x"])
        for name in ("cam", "studio.mixer-x"):  # no grant for the first; the second's operation is named as one of ours would be
            r = allow(s.f, signed(other, id="if://capability/" + name, operations={"zoom": operation()}, scopes=None, http=None))
            assert r.status == 200, r
        with Mcp(s) as m:
            tools = m.tools()
            mine = {n for n in tools if n.startswith("studio_mixer_")}
            assert mine == {f"studio_mixer_{o}" for o in OPERATIONS} and "capability_apply" in tools and "cam_zoom" not in tools, set(tools)
            schema = tools["studio_mixer_take"]["inputSchema"]
            assert schema["additionalProperties"] is False and schema["required"] == ["why"] and schema["properties"]["input"] == {"type": "integer", "minimum": 1}
            notes = {o: tools[f"studio_mixer_{o}"]["annotations"] for o in ("look", "take", "lock", "pay")}
            assert [notes[o]["readOnlyHint"] for o in notes] == [True, False, False, False], notes
            assert [notes[o]["destructiveHint"] for o in notes] == [False, True, True, True] and notes["lock"]["openWorldHint"], notes
            done = m.call("studio_mixer_take", scene="Intro", why="the show begins")
            assert not done["isError"] and done["structuredContent"]["done"] is True, done
            receipt = done["structuredContent"]["receipt"]
            assert receipt["result"]["params"] == {"scene": "Intro"} and receipt["fuel"] > 0, receipt
            assert s.f.entry(s.f.entry(receipt["intent"])["why_from"])["why"] == "the show begins"
            for wrong, field in (({"scene": "x"}, "why"), ({"scnee": "x", "why": "w"}, "scnee"), ({"input": 0, "why": "w"}, "input")):
                said = m.call("studio_mixer_take", **wrong)
                assert said["isError"] and said["structuredContent"]["error"]["code"] == "IF_ERR_208" and field in said["content"][0]["text"], said
            said = m.call("studio_mixer_take", scene="closed", why="w")
            assert said["structuredContent"]["decision"] == "DENY" and not said["structuredContent"]["done"], said
            said = m.call("studio_mixer_fail", why="w")
            assert said["isError"] and said["structuredContent"]["receipt"]["entry"], said
            assert m.call("studio_mixer_nothing", why="w")["code"] == -32602 and m.call("cam_zoom", why="w")["code"] == -32602
            asked = m.call("studio_mixer_lock", scene="door", why="w")["structuredContent"]
            assert asked["decision"] == "ESCALATE" and not asked["done"] and asked["message"] in asked["next_step"], asked
            again = m.call("capability_apply", plan_hash=asked["plan_hash"])["structuredContent"]
            assert again["message"] == asked["message"], "asked once"
            s.cli.wants(0, "decision", "approve", asked["message"], "--yes", *WHY)
            done = m.call("capability_apply", plan_hash=asked["plan_hash"])["structuredContent"]
            assert done["done"] and done["receipt"]["operation"] == "lock", done
            assert m.call("capability_apply", plan_hash=asked["plan_hash"])["structuredContent"]["error"]["code"] == "IF_ERR_409"
            # another manifest: nothing is done under the old tool
            studio(s.f, s.key, version="1.2.0", summary="Switches scenes, better")
            before = s.f.size()
            said = m.call("studio_mixer_take", scene="x", why="w")
            assert said["isError"] and said["structuredContent"]["error"]["code"] == "CHANGED" and "1.2.0" in said["content"][0]["text"], said
            assert m.heard[-1]["method"] == "notifications/tools/list_changed", m.heard
            assert not [e for e in s.f.entries(before) if e["component"] == "IF.chassis"], "nothing was planned"
            assert "better" in m.tools()["studio_mixer_take"]["description"]
            assert m.call("studio_mixer_take", scene="x", why="w")["structuredContent"]["done"]
            s.cli.wants(0, "talent", "grant", "Studio.A", "--capability", "if://capability/studio.mixer-x", *WHY)
            assert "studio_mixer_x_zoom" in m.tools()
            s.cli.wants(0, "talent", "revoke", "Studio.A", "--scope", ID, *WHY)
            assert m.call("studio_mixer_take", scene="x", why="w")["code"] == -32602 and "studio_mixer_take" not in m.tools()
        assert not [t for t in s.cli.json("token", "list")["items"] if not t["revoked_at"]], "no token outlives its call"

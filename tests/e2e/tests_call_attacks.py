"""Calls of capabilities by those who want more than they were given: effects, secrets, modules, lines, configuration. INV-06 INV-07 INV-08 INV-09 INV-12."""

import os
import shutil
import subprocess

from fabric import PROGRAM, Fabric, Skip, sha256, wait_for
from tests_adapters import ROOT, Server, call
from tests_calls import AS, ID, NAME, OPERATIONS, WHY, Background, Studio, applying, fails, guest, runs
from tests_capabilities import allow, is_refused, module, publisher, signed, signed_manifest
from tests_tokens import bearer, token
from tests_vault import put

ANY = "if://capability/web.any"


def web(server, rows, operations, secrets=(), **change):
    """A manifest for http.template's module: each operation is (effect, method, path or URL, secret or None)."""
    fixed = {"type": "string"}

    def one(effect, method, path, secret=None):
        said = {"method": method, "url": path if "://" in path else f"http://127.0.0.1:{server.port}{path}", **({"uses": secret} if secret else {})}
        return {"effect": effect, "params": {"type": "object", "properties": {k: {**fixed, "enum": [v], "default": v} for k, v in said.items()}}}

    return {"id": ANY, "version": "1.0.0", "summary": "Asks what its manifest says", "operations": {k: one(*v) for k, v in operations.items()},
            "default_operation": next(iter(operations)), "imports": ["http", "secret_ref"],
            "http": [{"scheme": "http", "host": "127.0.0.1", "port": server.port, "path": path, "methods": methods, **({"effect": effect} if effect else {})}
                     for path, methods, effect in rows],
            "limits": {"rps": 1000, "burst": 1000, "backoff": [1]}, **({"requires_secrets": list(secrets)} if secrets else {}), **change}  # fmt: skip


def leb(number):
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def template(f):
    """The module of http.template where the daemon finds it; its bytes."""
    if shutil.which("clang") is None or shutil.which("wasm-ld") is None:
        raise Skip("clang and lld are not installed: no guest can be built")
    at = os.path.join(f.dir, "template.wasm")
    done = subprocess.run([os.path.join(ROOT, "adapters", "build"), "http.template", at], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with open(at, "rb") as file:
        data = file.read()
    module(f, data, "template.wasm")
    return data


def let_in(f, manifests, servers):
    """Signed, allowed, granted, their servers within reach; the agent's header."""
    data = template(f)
    f.configure({"egress.allow": [f"{m['id'][16:]} 127.0.0.1/32 {s.port}" for m in manifests for s in servers]})
    with open(os.path.join(f.dir, "rules.yaml"), "w") as rules:
        rules.write("v: 1\nrules: []\ncapabilities:\n  - {id: all, effect: share, when: {capability: web.any}}\n")
    f.restart()
    key = publisher(f, name="Studio", namespaces=("*",))
    f.enrol("Studio.Agent")
    for m in manifests:
        m["entrypoint"] = {"module": "template.wasm", "sha256": sha256(data), "size": len(data), "abi": 1}
        r = allow(f, signed_manifest(key, m))
        assert r.status == 200, r
        assert f.admin("/v1/talents/Studio.Agent/grants", {"scope": m["id"]}).status == 200
    runs(f, "web.any")
    return bearer(token(f, "Studio.Agent")[0])


def test_an_operation_has_no_more_effect_than_it_says(f):
    # INV-06 INV-08: the plan, the approver and the rules saw the operation's effect
    with Server(lambda *_: (200, "application/json", b"{}")) as server:
        rows = [("/read", ["GET"], "read"), ("/plain", ["POST"], None), ("/door", ["POST"], "physical"), ("/pay", ["POST"], "payment"),
                ("/both", ["GET"], "read"), ("/both", ["GET"], "payment"), ("/closed", ["GET"], "payment"), ("/**", ["GET"], "read")]  # fmt: skip
        operations = {f"{effect}-{path[1:]}": (effect, "GET" if path in ("/read", "/both", "/closed") else "POST", path)
                      for effect in ("read", "write") for path in ("/read", "/plain", "/door", "/pay", "/both", "/closed")}  # fmt: skip
        head = let_in(f, [web(server, rows, operations)], [server])
        for operation, (_, method, path) in operations.items():  # the good ones in between keep the breaker closed
            sent = len(server.seen)
            may = path in ("/read", "/both") or (operation.startswith("write") and path == "/plain")
            r = call(f, head, "web.any", operation)
            if may:
                assert r.status == 200 and len(server.seen) == sent + 1 and server.seen[-1][:2] == (method, path), (operation, r)
                continue
            assert r.code == 501 and "effect" in r.json["error"]["message"], (operation, r)
            assert len(server.seen) == sent, "no byte of it left"
            ended = [e for e in f.entries() if e["operation"] in ("outcome", "failed", "sandbox_violation")][-1]
            assert ended["severity"] == "HIGH", ended
        f.verify()


def test_one_secret_goes_to_each_of_its_origins(f):
    # INV-09: the same name, two origins, each with its own place in the request
    answer = (200, "application/json", b"{}")
    with Server(lambda *_: answer) as one, Server(lambda *_: answer) as two, Server(lambda *_: answer) as three:
        origins = [f"http://127.0.0.1:{s.port}" for s in (one, two, three)]
        secrets = [{"name": "KEY", "origin": origins[0], "as": "bearer"}, {"name": "KEY", "origin": origins[1], "as": "header", "field": "X-Key"}]
        operations = {k: ("read", "GET", o + "/x", "KEY") for k, o in zip(("one", "two", "three"), origins)}
        m = web(one, [("/x", ["GET"], "read")], operations, secrets)
        m["http"] = [{**m["http"][0], "port": s.port} for s in (one, two, three)]
        head = let_in(f, [m], [one, two, three])
        value = "k-51-not-for-three"
        assert put(f, "KEY", value, *origins[:2]).status == 201
        assert call(f, head, "web.any", "one").status == 200 and one.seen[-1][2].get("Authorization") == "Bearer " + value, one.seen
        r = call(f, head, "web.any", "two")
        assert r.status == 200 and two.seen[-1][2].get("X-Key") == value and "Authorization" not in two.seen[-1][2], (r, two.seen)
        assert call(f, head, "web.any", "three").status >= 400 and not three.seen, three.seen
        f.verify()


def test_who_has_no_grant_has_no_file_read():
    # INV-07 INV-12
    with Studio(grant=False) as s:
        s.f.restart()  # no module is held
        before = s.f.size()
        fails(s.apply(12, "--scene", "x"), 205)
        fails(s.apply(12, "--scene", "x"), 205)
        assert not [e for e in s.f.entries(before) if e["operation"] in ("load", "load_refused")], s.f.entries(before)
        path = os.path.join(s.f.dir, "capabilities", "studio.wasm")
        os.rename(path, path + ".away")
        fails(s.apply(12, "--scene", "x"), 205)  # and no word of what is there
        s.cli.wants(0, "talent", "grant", "Studio.A", "--capability", ID, *WHY)
        before = s.f.size()
        fails(s.apply(12, "--scene", "x"), 204)
        refused = [e for e in s.f.entries(before) if e["operation"] == "load_refused"]
        assert [e["actor"] for e in refused] == ["if://agent/Studio.A"], refused
        os.rename(path + ".away", path)
        s.apply(0, "--scene", "x")


def test_lines_are_of_the_capability_that_was_named():
    with Studio() as s:
        s.apply(0, "--scene", "Intro")
        assert [line["text"] for line in s.f.get(f"/v1/capabilities/{NAME}/logs").json["items"]] == ["Intro"]
        for name in ("s", "studio", "studio.mix", "studio.mixer-x", "no.such"):
            is_refused(s.f.get(f"/v1/capabilities/{name}/logs"), 403, 201)
        assert s.f.admin("/v1/revocations", {"id": ID, "version": "1.1.0"}).status == 200
        assert len(s.f.get(f"/v1/capabilities/{NAME}/logs").json["items"]) == 1, "what was revoked keeps what it said"


def test_a_revocation_ends_what_runs_of_a_module_that_is_held_no_more():
    # INV-07: six of 50 MiB push it out of the 256 MiB that are kept, while it runs
    limits = {"rps": 100, "burst": 100, "backoff": [1], "fuel": 10**12, "deadline_ms": 300000}
    with Studio(limits=limits) as s:
        run = Background(s, "capability", "apply", NAME, "spin", *WHY, *AS, "-o", "json")
        wait_for(lambda: applying(s), 20, "its intent")
        rest = 50 * 1024 * 1024 - len(guest()) - 6
        large = guest() + b"\0" + leb(rest) + b"\x03pad" + bytes(rest - 4)  # a section that means nothing
        module(s.f, large, "large.wasm")
        about = {"module": "large.wasm", "sha256": sha256(large), "size": len(large), "abi": 1}
        for n in range(6):
            m = {"id": f"if://capability/studio.large{n}", "operations": OPERATIONS, "default_operation": "take", "imports": ["log", "kv_put"], "http": None,
                 "scopes": None, "entrypoint": about, "limits": limits}  # fmt: skip
            assert allow(s.f, signed(s.key, **m)).status == 200
            r = s.f.post(f"/v1/capabilities/studio.large{n}/health", {})
            assert r.status == 200 and r.json["healthy"], r
        before = s.f.size()
        assert s.f.post(f"/v1/capabilities/{NAME}/health", {}).status == 200
        assert [e["operation"] for e in s.f.entries(before)] == ["load"], "it was held no more"
        for n in (1, 2, 3, 4, 5, 0):  # and pushed out once more
            assert s.f.post(f"/v1/capabilities/studio.large{n}/health", {}).status == 200
        assert s.f.admin("/v1/revocations", {"id": ID, "version": "1.1.0"}).status == 200
        done = run.end()
        assert "IF_ERR_201" in done.err and done.json["entry"]["index"] > done.json["intent"], done


def test_what_is_revoked_before_it_began_says_so():
    # INV-04 INV-07: a talent has two sandboxes of one capability; the third call waits, and nothing of it ran
    with Studio(limits={"rps": 100, "burst": 100, "backoff": [1], "fuel": 10**12, "deadline_ms": 300000}) as s:
        plans = [s.plan("spin") for _ in range(3)]
        runs = []
        for number, plan_ in enumerate(plans, 1):
            runs.append(Background(s, "capability", "apply", "--plan", plan_["plan_hash"], *AS, "-o", "json"))
            wait_for(lambda: len(applying(s)) == number, 20, "its intent")  # noqa: B023
        assert s.f.admin("/v1/revocations", {"id": ID, "version": "1.1.0"}).status == 200
        waited = [run.end() for run in runs][2]
        assert "IF_ERR_201" in waited.err and "can still be applied" in waited.err and waited.json["host_calls"] == waited.json["fuel"] == 0, waited
        assert not waited.json["error"]["retryable"] and waited.json["cost"]["calls"] == 0, waited
        assert s.f.get(f"/v1/plans/{plans[2]['plan_hash']}").json["state"] == "planned"
        fails(s.go_on(12, plans[2]), 202)


def test_rows_of_egress_are_read_at_check_and_start(f):
    row = "egress.allow: [%s]\n"
    path = os.path.join(f.dir, "ifd.yaml")
    with open(path) as file:
        kept = file.read()
    f.stop()
    for text, says in (("this says nothing at all", "CIDR"), ("vmix 10.0.0.1/8 80", "no bit set"), ("vmix 10.0.0.0/8 70000", "PORT"), ("VMIX 10.0.0.0/8 80", "NAME")):
        with open(path, "w") as file:
            file.write(kept + row % text)
        done = subprocess.run([PROGRAM["ifctl"], "config", "check", path], capture_output=True, text=True, env={"PATH": os.environ["PATH"], "HOME": f.root})
        assert done.returncode != 0 and says in done.stderr + done.stdout, (text, done)
        done = subprocess.run([PROGRAM["ifd"], "--config", path], capture_output=True, text=True, timeout=60)
        assert done.returncode != 0 and "egress.allow" in done.stderr, (text, done)
    with open(path, "w") as file:
        file.write(kept + row % "vmix 10.0.0.0/8 80")
    done = subprocess.run([PROGRAM["ifctl"], "config", "check", path], capture_output=True, text=True, env={"PATH": os.environ["PATH"], "HOME": f.root})
    assert done.returncode == 0, done
    f.start()


def test_a_value_that_went_is_told_before_there_is_an_intent():
    # INV-04: what cannot be begun is not written down as begun
    f = Fabric({"capabilities.config": [f"{NAME} DESK one"]})
    with Studio(f, requires_config=["DESK"]) as s:
        s.apply(0, "--scene", "x")
        plan_ = s.plan("--scene", "y")
        f.configure({"capabilities.config": []})
        f.restart()
        before = f.size()
        done = fails(s.go_on(20, plan_), 506)
        assert "DESK" in done.err and "Add that row to capabilities.config in ifd.yaml" in done.err, done
        assert not [e for e in f.entries(before) if e["component"] == "IF.chassis" and e["operation"] in ("intent", "outcome", "failed")], f.entries(before)
        f.configure({"capabilities.config": [f"{NAME} DESK two"]})
        f.restart()
        s.go_on(0, plan_)

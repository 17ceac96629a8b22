"""Publishers, manifests, the allow-list, loads: what may not come in, and what is no longer let in. INV-02, INV-07, INV-16."""

import json
import os
import sqlite3

import nacl.signing

from cli import Cli
from fabric import b64u, sha256, sign
from tests_backups import backup, restored
from tests_salvage import going_on, salvage

DOMAIN = b"IF-MANIFEST-v1\n"
MODULE = b"\0asm\1\0\0\0"
NAME = "vmix.switcher"
ID = "if://capability/" + NAME


def manifest(**change):
    m = {
        "id": ID,
        "version": "1.1.0",
        "summary": "Switches scenes",
        "entrypoint": {"module": "vmix/switcher.wasm", "sha256": sha256(MODULE), "size": len(MODULE), "abi": 1},
        "operations": {
            "take": {
                "params": {"type": "object", "properties": {"scene": {"type": "string", "maxLength": 40}}, "required": ["scene"]},
                "effect": "write",
                "cost_estimate": {"usd_micro": 100},
                "idempotent": True,
            }
        },
        "imports": ["log", "http"],
        "http": [{"scheme": "https", "host": "vmix.example", "port": 8088, "path": "/api/*", "methods": ["GET"], "effect": "read"}],
        "scopes": ["studio:control"],
        "limits": {"rps": 3, "burst": 6, "backoff": [1, 2, 5]},
    }
    m.update(change)
    return {k: v for k, v in m.items() if v is not None}


def signed_manifest(key, m):
    return json.loads(sign(m, DOMAIN, key)[0])


def signed(key, **change):
    return signed_manifest(key, manifest(**change))


def pub(key):
    return b64u(bytes(key.verify_key))


def publisher(f, name="Acme", namespaces=("vmix",), key=None, **more):
    key = key or nacl.signing.SigningKey.generate()
    r = f.admin("/v1/publishers", {"name": name, "namespaces": list(namespaces), "pubkey": pub(key), **more})
    assert r.status == 201 or r.status == 200, r
    return key


def allow(f, m, **kwargs):
    return f.admin("/v1/capabilities", {"manifest": m}, **kwargs)


def module(f, data=MODULE, path="vmix/switcher.wasm"):
    at = os.path.join(f.dir, "capabilities", path)
    os.makedirs(os.path.dirname(at), mode=0o755, exist_ok=True)
    if os.path.islink(at):
        os.unlink(at)
    with open(at, "wb") as out:
        out.write(data)
    return at


def load(f, name=NAME, **body):
    return f.post(f"/v1/capabilities/{name}/load", body)


def is_refused(r, status, code):
    assert (r.status, r.code) == (status, code), r


def loads(f):
    return [(e["operation"], e["subject"], e["payload"].get("code")) for e in f.entries() if e["operation"].startswith("load")]


def test_only_an_admin_lets_in_and_every_act_is_an_entry(f):
    # INV-16 INV-13
    key = nacl.signing.SigningKey.generate()
    body = {"name": "Acme", "namespaces": ["vmix"], "pubkey": pub(key), "why": "w"}
    is_refused(f.post("/v1/publishers", body), 403, 3)
    publisher(f, key=key)
    m = signed(key)
    is_refused(f.post("/v1/capabilities", {"manifest": m, "why": "w"}), 403, 3)
    r = allow(f, m)
    assert r.status == 200, r
    is_refused(f.post("/v1/revocations", {"id": ID, "why": "w"}), 403, 3)
    is_refused(f.post("/v1/publishers/Acme/revoke", {"why": "w"}), 403, 3)
    acts = {e["operation"]: e for e in f.entries() if e["component"] == "CapabilityRegistry"}
    assert acts["publisher_add"]["payload"]["record"]["pubkey"] == pub(key)
    record = acts["allow"]["payload"]["record"]
    assert record["manifest"] == m and record["digest"] == sign(manifest(), DOMAIN, key)[1] == r.json["digest"], record
    assert acts["allow"]["why"] == "because" and acts["allow"]["subject"] == ID + "@1.1.0"
    whole = f.get("/v1/capabilities/" + NAME).json
    assert whole["manifest"] == m and whole["state"] == "allowed" and whole["publisher"] == "Acme"
    assert f.get("/v1/capabilities").json["items"][0]["id"] == ID
    assert f.get("/v1/publishers").json["items"][0]["name"] == "Acme"
    f.verify()


def test_what_is_not_signed_by_its_publisher_does_not_come_in(f):
    # INV-02 INV-07
    mallory, key = nacl.signing.SigningKey.generate(), publisher(f)
    is_refused(allow(f, manifest()), 401, 1)  # unsigned
    is_refused(allow(f, signed(mallory)), 403, 5)  # of nobody
    other = publisher(f, "Other", ["obs"])
    is_refused(allow(f, signed(other)), 403, 5)  # not its namespace
    is_refused(allow(f, signed(key, id="if://capability/vmixer")), 403, 5)
    forged = signed(key)
    forged["limits"] = {"rps": 10000, "burst": 10000}
    is_refused(allow(f, forged), 401, 1)
    forged = signed(mallory)
    forged["signature"]["pubkey"] = pub(key)
    del forged["signature"]["key_id"]
    is_refused(allow(f, forged), 401, 1)  # its key in it, another's signature
    text = signed(key)
    text["signature"] = f"ed25519:{pub(key)}:{text['signature']['sig']}"
    is_refused(allow(f, text), 401, 1)  # the object had a key_id, which was signed too
    whole = sign(manifest(), DOMAIN, key)[0]
    assert len(f.get("/v1/capabilities").json["items"]) == 0
    assert allow(f, json.loads(whole)).status == 200
    for change in ({"id": "if://capability/Vmix"}, {"entrypoint": "providers/vmix/adapter.py:VmixAdapter"}, {"limits": {"rps": 0, "burst": 1}},
                   {"summary": "key AKIAIOSFODNN7EXAMPLE"}, {"author": "me"}):
        is_refused(allow(f, signed(key, version="9.0.0", **change)), 400, 207)
    refusals = [e for e in f.entries() if e["operation"] == "admin_refused"]
    assert {e["payload"]["code"] for e in refusals} == {"IF_ERR_001", "IF_ERR_005"}, refusals


def test_a_version_stays_what_it_is(f):
    key = publisher(f)
    assert allow(f, signed(key)).status == 200
    r = allow(f, signed(key, limits={"rps": 9, "burst": 6, "backoff": [1, 2, 5]}, imports=["log"]))
    is_refused(r, 409, 409)
    assert "/limits/rps" in r.error["message"] and "/imports" in r.error["message"], r
    is_refused(allow(f, signed(key)), 409, 409)
    assert f.admin("/v1/revocations", {"id": ID, "version": "1.1.0"}).status == 200
    is_refused(allow(f, signed(key, summary="other")), 409, 409)
    is_refused(allow(f, signed(key)), 403, 202)
    assert allow(f, signed(key, version="1.2.0")).status == 200
    assert f.get("/v1/capabilities/" + NAME).json["version"] == "1.2.0"
    assert f.get(f"/v1/capabilities/{NAME}?version=1.1.0").json["revoked"] == "version"


def test_a_load_looks_at_the_bytes_that_are_there(f):
    # INV-07
    key = publisher(f)
    is_refused(load(f), 403, 201)
    assert allow(f, signed(key)).status == 200
    is_refused(load(f), 403, 204)  # no folder
    at = module(f)
    r = load(f, why="try")
    assert r.status == 200 and r.json["module"] == {"sha256": sha256(MODULE), "size": len(MODULE)}, r
    is_refused(load(f, version="1.0.0"), 403, 202)
    module(f, MODULE[:-1] + b"\1")  # swapped: same size, other bytes
    is_refused(load(f), 403, 204)
    module(f, MODULE + b"x")
    is_refused(load(f), 403, 204)
    os.rename(at, at + ".real")
    with open(at + ".real", "wb") as out:
        out.write(MODULE)
    os.symlink(at + ".real", at)  # the right bytes, through a link
    is_refused(load(f), 403, 204)
    os.unlink(at)
    os.rename(os.path.dirname(at), os.path.join(f.dir, "capabilities", "elsewhere"))
    os.symlink("elsewhere", os.path.dirname(at))
    is_refused(load(f), 403, 204)  # its folder is one
    os.unlink(os.path.dirname(at))
    os.chmod(module(f), 0o666)
    is_refused(load(f), 403, 204)  # anybody may write it
    os.chmod(at, 0o644)
    assert load(f).status == 200
    kept = loads(f)
    assert [k[0] for k in kept].count("load") == 2 and [k[0] for k in kept].count("load_refused") == 8, kept
    is_refused(f.post("/v1/capabilities/..%2f..%2fetc/load", {}), 403, 201)
    assert f.process.poll() is None


def test_what_is_revoked_ends_at_the_next_load(f):
    # INV-07
    key, other = publisher(f), publisher(f, "Other", ["obs", "cam"])
    module(f)
    for m in (signed(key), signed(other, id="if://capability/obs"), signed(other, id="if://capability/cam")):
        assert allow(f, m).status == 200
    assert load(f).status == 200 and load(f, "obs").status == 200 and load(f, "cam").status == 200
    assert f.admin("/v1/publishers/Acme/revoke", {}).status == 200
    is_refused(load(f), 403, 201)  # nothing of it may be loaded
    is_refused(load(f, version="1.1.0"), 403, 5)
    assert f.get(f"/v1/capabilities/{NAME}?version=1.1.0").json["state"] == "revoked"
    is_refused(allow(f, signed(key, version="2.0.0")), 403, 5)
    is_refused(f.admin("/v1/publishers", {"name": "acme", "namespaces": ["vmix"], "pubkey": pub(nacl.signing.SigningKey.generate())}), 409, 409)
    digest = f.get("/v1/capabilities/obs").json["digest"]
    assert f.admin("/v1/revocations", {"digest": digest}).status == 200
    is_refused(load(f, "obs"), 403, 201)  # nothing of it is left
    is_refused(load(f, "obs", version="1.1.0"), 403, 202)
    assert f.admin("/v1/revocations", {"pubkey": pub(other)}).status == 200
    is_refused(load(f, "cam", version="1.1.0"), 403, 5)
    f.restart()
    is_refused(load(f, version="1.1.0"), 403, 5)
    is_refused(load(f, "cam", version="1.1.0"), 403, 5)
    f.verify()


def test_a_key_has_one_use(f):
    # INV-02
    agent = f.enrol("Demo.A")
    r = f.admin("/v1/publishers", {"name": "Acme", "namespaces": ["vmix"], "pubkey": agent.pub})
    is_refused(r, 409, 409)
    key = publisher(f)
    is_refused(f.post("/v1/talents", {"name": "Demo.B", "pubkey": pub(key), "why": "w"}), 409, 409)


def test_kill_and_edited_rows(f):
    # INV-16 INV-04
    key = publisher(f)
    module(f)
    assert allow(f, signed(key)).status == 200
    f.kill()
    f.start()
    assert load(f).status == 200
    assert f.stop() == 0
    db = sqlite3.connect(os.path.join(f.dir, "data", "main.db"))
    rows = db.execute("SELECT kind, number, bytes FROM records WHERE kind IN (23, 24)").fetchall()
    assert [r[0] for r in rows] == [23, 24]
    for kind, number, old in rows:
        for new in (old.replace(b'"namespaces":["vmix"]', b'"namespaces":["*"]'), old.replace(b'"rps":3', b'"rps":9'), None):
            if new == old:
                continue
            with db:
                if new is None:
                    db.execute("DELETE FROM records WHERE kind = ? AND number = ?", (kind, number))
                else:
                    db.execute("UPDATE records SET bytes = ? WHERE kind = ? AND number = ?", (new, kind, number))
            code, said = f.refuses()
            assert code == 20 and "505" in said, (kind, said)
            with db:
                db.execute("DELETE FROM records WHERE kind = ? AND number = ?", (kind, number))
                log = db.execute("SELECT log FROM records LIMIT 1").fetchone()[0]
                db.execute("INSERT INTO records(log, kind, number, bytes) VALUES(?, ?, ?, ?)", (log, kind, number, old))
    db.close()
    f.start()
    assert load(f).status == 200


def test_a_restore_goes_on_with_the_registry(f):
    # INV-16
    key = publisher(f)
    assert allow(f, signed(key)).status == 200 and allow(f, signed(key, version="1.2.0")).status == 200
    assert f.admin("/v1/revocations", {"id": ID, "version": "1.2.0"}).status == 200
    publisher(f, "Gone", ["gone"])
    assert f.admin("/v1/publishers/Gone/revoke", {}).status == 200
    before = [f.get(p).json["items"] for p in ("/v1/publishers", "/v1/capabilities", "/v1/revocations")]
    g = restored(f, backup(f))
    try:
        g.start()
        assert [g.get(p).json["items"] for p in ("/v1/publishers", "/v1/capabilities", "/v1/revocations")] == before
        module(g)
        assert load(g).status == 200
        is_refused(load(g, version="1.2.0"), 403, 202)
        stated = [e["operation"] for e in g.entries() if e["component"] == "CapabilityRegistry" and e["operation"] != "load"]
        assert sorted(stated)[:4] == ["allow", "allow", "load_refused", "publisher_add"], stated
        g.verify()
    finally:
        g.close()


def test_the_commands_of_a_publisher_and_an_admin(f):
    cli = Cli(f)
    here = os.path.join(f.root, "pub")
    os.mkdir(here)
    wasm, key, plain, out = (os.path.join(here, n) for n in ("m.wasm", "pub.pem", "m.yaml", "m.json"))
    with open(wasm, "wb") as o:
        o.write(MODULE)
    cli.wants(0, "key", "new", "--out", key)
    pubkey = cli.json("key", "show", key)["pubkey"]
    cli.wants(0, "capability", "new", NAME + "@1.0.0", "--module", wasm, "--out", plain)
    assert "not signed" in cli.wants(0, "capability", "inspect", plain).err
    cli.wants(2, "capability", "sign", plain)  # never with the key that happens to be there
    cli.wants(0, "capability", "sign", plain, "--key", key, "--out", out)
    cli.wants(3, "capability", "verify", out)
    cli.wants(0, "capability", "verify", out, "--pubkey", pubkey, "--module", wasm)
    assert "IF_ERR_001" in cli.wants(10, "capability", "verify", out, "--pubkey", pub(nacl.signing.SigningKey.generate())).err
    assert "IF_ERR_001" in cli.wants(10, "capability", "verify", plain).err
    assert "IF_ERR_204" in cli.wants(12, "capability", "verify", out, "--pubkey", pubkey, "--module", key).err
    bad = os.path.join(here, "bad.yaml")
    with open(plain) as i, open(bad, "w") as o:
        o.write(i.read().replace("text: {", "why: {").replace("[text]", "[why]"))
    assert "line 18" in (said := cli.wants(12, "capability", "inspect", bad)).err and "global flag" in said.err, said
    assert "IF_ERR_005" in cli.wants(10, "capability", "allow", out, "--why", "w").err
    cli.wants(0, "publisher", "add", "Acme", "--pubkey", pubkey, "--namespace", "vmix,obs", "--why", "contract")
    assert cli.json("publisher", "list")["items"][0]["namespaces"] == ["obs", "vmix"]
    cli.wants(0, "capability", "allow", out, "--why", "w")
    module(f, path=NAME + "/1.0.0.wasm")
    assert cli.json("capability", "check", NAME)["publisher"] == "Acme"
    assert cli.json("capability", "show", f"{ID}@1.0.0")["manifest"]["signature"]["pubkey"] == pubkey
    other = os.path.join(here, "m2.json")
    with open(plain) as i, open(bad, "w") as o:
        o.write(i.read().replace("rps: 1", "rps: 7"))
    cli.wants(0, "capability", "sign", bad, "--key", key, "--out", other)
    said = cli.wants(12, "capability", "allow", other, "--why", "w").err
    assert "/limits/rps" in said and "known: 1" in said and "file:  7" in said, said
    cli.wants(0, "capability", "revoke", NAME + "@1.0.0", "--why", "bug")
    assert cli.json("capability", "list")["items"][0]["state"] == "revoked"
    assert "IF_ERR_202" in cli.wants(12, "capability", "check", NAME + "@1.0.0").err
    cli.wants(0, "publisher", "revoke", "Acme", "--why", "lost key")
    assert cli.json("publisher", "list")["items"][0]["revoked_at"]
    cli.wants(2, "capability", "revoke", "--why", "w")
    cli.wants(2, "capability", "show", "../etc")


def test_a_salvage_goes_on_with_the_registry(f):
    # INV-16
    key = publisher(f)
    assert allow(f, signed(key)).status == 200
    publisher(f, "Gone", ["gone"])
    assert f.admin("/v1/publishers/Gone/revoke", {}).status == 200
    assert f.admin("/v1/revocations", {"pubkey": pub(nacl.signing.SigningKey.generate())}).status == 200
    before = [f.get(p).json["items"] for p in ("/v1/publishers", "/v1/capabilities", "/v1/revocations")]
    assert f.stop() == 0
    to, done = salvage(f)
    assert done.returncode == 0, done
    g = going_on(f, to)
    try:
        assert [g.get(p).json["items"] for p in ("/v1/publishers", "/v1/capabilities", "/v1/revocations")] == before
        g.verify()
    finally:
        g.close()

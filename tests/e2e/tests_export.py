"""What an export holds is what was accepted, byte for byte; and a message is found among many that name its id."""

import json
import os

import nacl.signing

from fabric import Agent, uuid7
from tests_log_key import export, if_verify


def test_blank_behind_a_message_of_an_export_is_found(f):
    a = f.enrol("Demo.A")
    plain = f.send(a.message())
    m = a.message()
    spaced = json.dumps(json.loads(m), indent=1).encode() + b"\n"
    other = f.post("/v1/messages", spaced)
    assert plain.status == other.status == 200, (plain, other)
    vkey, path = f.about()["vkey"], export(f, "x")
    assert if_verify(path, "--vkey", vkey)[0] == 0
    entries = [f.entry(r.json["entry"]["index"]) for r in (plain, other)]
    assert "bytes_digest" not in entries[0]["payload"] and "bytes_digest" in entries[1]["payload"]
    for r, exact in ((plain, None), (other, spaced)):
        name = os.path.join(path, "messages", f"{r.json['entry']['index']}.json")
        good = open(name, "rb").read()
        assert exact is None or good == exact
        for bad in (good + b"\n", b" " + good, good + b" ", good.replace(b":", b": ", 1), good.rstrip(b"\n}") + b" }"):
            if bad == good:
                continue
            with open(name, "wb") as out:
                out.write(bad)
            code, words = if_verify(path, "--vkey", vkey)
            assert code == 1 and "message bytes" in words, (bad[-20:], words)
        with open(name, "wb") as out:
            out.write(good)
    assert if_verify(path, "--vkey", vkey)[0] == 0


def test_message_is_found_behind_many_entries_that_name_its_id(f):
    # an id is one talent's own: others may have used it before, each with a message and a decision of its own
    key, id_ = nacl.signing.SigningKey.generate(), "msg-" + uuid7()
    others = []
    with f.conn() as c:
        for n in range(520):
            others.append(Agent(f"Other{n}"))
            body = json.dumps({"name": f"Other{n}", "owner": "them", "pubkey": others[-1].pub, "why": "t"}).encode()
            r = c.request("POST", "/v1/talents", body)
            assert r.status == 201, r
    lines = f.lines([o.message(id=id_) for o in others])
    assert all("receipt" in line for line in lines), lines[:2]
    a = f.enrol("Demo.A", key=key)
    receipt = f.send(a.message(id=id_))
    assert receipt.status == 200, receipt
    about = sum(e["subject"] == id_ for e in f.entries())
    assert about > 512
    got = f.get(f"/v1/messages/{id_}?sender={a.uri}")
    assert got.status == 200 and got.json == receipt.json, got
    assert f.get(f"/v1/messages/{id_}?sender={others[-1].uri}").json["entry"] == lines[-1]["receipt"]["entry"]
    index = receipt.json["entry"]["index"]
    assert f.get(f"/v1/witness/messages/{index}").status == 200
    assert f.admin("/v1/witness/erase", {"id": id_, "sender": a.uri, "why": "asked"}).status == 200
    assert f.get(f"/v1/witness/messages/{index}").status == 404
    return f"{about} entries about it"

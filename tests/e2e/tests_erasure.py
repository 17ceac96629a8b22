"""Erasure: bytes gone, entry stays; only by an admin's signature, once."""

import json
import os

from fabric import Agent, uuid7


def refused(r, status, code):
    assert r.status == status and r.code == code, f"expected {status}/{code}, got {r!r}"


def told(f, text="the patient in room 4071 is Zebulon Quux"):
    a, b = f.enrol("Demo.A", owner="alice"), f.enrol("Demo.B", owner="bob")
    before = [f.send(a.message(receiver=b.uri, content={"claim": "neighbour one"})).json for _ in range(3)]
    m = a.message(
        receiver=b.uri,
        performative="request",
        content={"claim": None, "claim_id": None, "confidence": None, "scope": None, "data": {"note": text}},
    )
    r = f.send(m)
    assert r.status == 200, r
    after = [f.send(a.message(receiver=b.uri, content={"claim": "neighbour two"})).json for _ in range(3)]
    return a, b, m, r.json, text.encode(), before + after


def test_erased_bytes_are_gone_from_every_file_and_the_entry_stays(f):
    # INV-05
    a, b, m, receipt, text, neighbours = told(f)
    index = receipt["entry"]["index"]
    assert f.grep(text), "the grep can see it"
    entry = f.get(f"/v1/witness/entries/{index}").body
    r = f.admin("/v1/witness/erase", {"id": m.id})
    assert r.status == 200, r
    assert f.grep(text) == [], f.grep(text)
    assert f.grep(bytes(m)[:200]) == []
    assert f.get(f"/v1/witness/entries/{index}").body == entry
    refused(f.get(f"/v1/witness/messages/{index}"), 404, 404)
    items = {i["entry"]["index"]: i["envelope"] for i in f.inbox("Demo.B")["items"]}
    assert items[index] is None and all(items[n["entry"]["index"]]["id"] == n["id"] for n in neighbours), items
    assert f.get(f"/v1/messages/{m.id}").json == receipt
    act = f.entry(r.json["entry"]["index"])
    assert act["actor"] == "if://agent/operator" and act["why"] == "because", act
    f.verify()
    f.restart()
    assert f.grep(text) == []
    assert {i["entry"]["index"]: i["envelope"] for i in f.inbox("Demo.B")["items"]}[index] is None
    assert f.send(m).code == 103, "its id stays used"
    f.verify()
    assert f.stop() == 0
    assert f.grep(text, f.root) == []


def test_erasing_a_large_message_leaves_no_page_of_it(f):
    marks = [os.urandom(12).hex() for _ in range(40)]
    a, _, m, receipt, _, _ = told(f, " ".join(x + "y" * 1300 for x in marks))
    assert all(f.grep(x.encode()) for x in marks)
    assert f.admin("/v1/witness/erase", {"id": m.id}).status == 200
    assert [x for x in marks if f.grep(x.encode())] == []


def test_erasing_needs_an_admins_signature(f):
    # INV-01 INV-02
    a, b, m, receipt, text, _ = told(f)
    refused(f.post("/v1/witness/erase", {"id": m.id, "why": "please"}), 403, 3)
    op = f.enrol("Demo.Op", owner="op", role="operator")
    body = json.dumps({"id": m.id}).encode()
    refused(f.post("/v1/witness/erase", body, f.admin_header("/v1/witness/erase", body, key=op.key)), 403, 3)
    refused(f.post("/v1/witness/erase", body, f.admin_header("/v1/witness/erase", body, key=a.key)), 403, 3)
    r = f.post("/v1/witness/erase", body, f.admin_header("/v1/witness/erase", body, key=Agent("x").key))
    assert r.status == 401, r
    assert f.grep(text)


def test_admin_act_is_bound_to_route_body_log_and_time(f):
    # INV-02 INV-03
    import time
    from fabric import stamp

    a, b, m, receipt, text, _ = told(f)
    body = json.dumps({"id": m.id}).encode()
    route = "/v1/witness/erase"
    refused(f.post(route, body, f.admin_header("/v1/anchors", body)), 400, 208)
    r = f.post(route, body, f.admin_header(route, b'{"id":"other"}'))
    assert r.status in (400, 401), r
    refused(f.post(route, body, f.admin_header(route, body, log="other/00000000")), 403, 108)
    refused(f.post(route, body, f.admin_header(route, body, issued_at=stamp(time.time() - 400))), 400, 102)
    refused(f.post(route, body, f.admin_header(route, body, issued_at=stamp(time.time() + 100))), 400, 107)
    refused(f.post(route, body, f.admin_header(route, body, why="")), 400, 208)
    assert f.grep(text)


def test_admin_act_replayed_is_103_also_after_a_restart(f):
    # INV-03
    a, b, m, receipt, text, neighbours = told(f)
    body = json.dumps({"name": "Demo.X", "owner": "x", "pubkey": Agent("x").pub, "role": "auditor"}).encode()
    act = f.admin_header("/v1/talents", body)
    assert f.post("/v1/talents", body, act).status == 201
    refused(f.post("/v1/talents", body, act), 409, 103)
    body = json.dumps({"id": m.id}).encode()
    act = f.admin_header("/v1/witness/erase", body)
    assert f.post("/v1/witness/erase", body, act).status == 200
    r = f.post("/v1/witness/erase", body, act)
    assert r.code in (103, 404), r
    f.restart()
    body = json.dumps({"name": "Demo.X", "owner": "x", "pubkey": Agent("x").pub, "role": "auditor"}).encode()
    act = f.admin_header("/v1/talents", body)
    f.post("/v1/talents", body, act)
    r = f.post("/v1/talents", body, act)
    assert r.code == 103 or r.code == 409, r


def test_replayed_admin_act_repeats_no_effect(f):
    # INV-03: a grant that was revoked does not come back by replaying its act
    f.enrol("Demo.Op", owner="op", role="operator")
    body = json.dumps({"scope": "topic:1"}).encode()
    act = f.admin_header("/v1/talents/Demo.Op/grants", body)
    assert f.post("/v1/talents/Demo.Op/grants", body, act).status == 200
    assert f.admin("/v1/talents/Demo.Op/revoke", {"scope": "topic:1"}).status == 200
    refused(f.post("/v1/talents/Demo.Op/grants", body, act), 409, 103)
    f.restart()
    refused(f.post("/v1/talents/Demo.Op/grants", body, act), 409, 103)
    assert b"topic:1" not in json.dumps([g for g in f.get("/v1/talents/Demo.Op").json["grants"] if not g.get("revoked_at")]).encode()


def test_acts_above_agent_need_an_admin_and_the_socket_is_only_an_operator(f):
    # INV-02
    for role in ("operator", "admin", "auditor", "readonly"):
        refused(f.post("/v1/talents", {"name": "X", "owner": "x", "pubkey": Agent("x").pub, "role": role, "why": "t"}), 403, 3)
    f.enrol("Demo.Op", owner="op", role="operator")
    refused(f.post("/v1/talents/Demo.Op/revoke", {"talent": True, "why": "t"}), 403, 3)
    refused(f.post("/v1/talents/operator/keys", {"pubkey": Agent("x").pub, "why": "t"}), 403, 3)
    refused(f.post("/v1/talents/operator/revoke", {"talent": True, "why": "t"}), 403, 3)


def test_erasing_what_is_not_there_is_404(f):
    refused(f.admin("/v1/witness/erase", {"id": "msg-" + uuid7()}), 404, 404)
    a, b, m, *_ = told(f)
    assert f.admin("/v1/witness/erase", {"id": m.id}).status == 200
    refused(f.admin("/v1/witness/erase", {"id": m.id}), 404, 404)


def test_erasing_one_senders_message_spares_another_with_the_same_id(f):
    a, b = f.enrol("Demo.A"), f.enrol("Demo.B")
    id_ = "msg-" + uuid7()
    one = f.send(a.message(id=id_, content={"claim": "alpha words"})).json
    two = f.send(b.message(id=id_, content={"claim": "beta words"})).json
    assert f.admin("/v1/witness/erase", {"id": id_, "sender": b.uri}).status == 200
    assert f.get(f"/v1/witness/messages/{one['entry']['index']}").status == 200
    assert f.get(f"/v1/witness/messages/{two['entry']['index']}").status == 404


def test_erasing_of_a_sender_spares_one_whose_name_begins_alike(f):
    a, b = f.enrol("Demo"), f.enrol("Demo.B")
    id_ = "msg-" + uuid7()
    b_first = f.send(b.message(id=id_, content={"claim": "beta words"})).json
    mine = f.send(a.message(id=id_, content={"claim": "alpha words"})).json
    assert f.get(f"/v1/messages/{id_}?sender={a.uri}").json == mine
    assert f.get(f"/v1/messages/{id_}?sender={b.uri}").json == b_first
    assert f.admin("/v1/witness/erase", {"id": id_, "sender": a.uri}).status == 200
    assert f.get(f"/v1/witness/messages/{b_first['entry']['index']}").status == 200
    assert f.get(f"/v1/witness/messages/{mine['entry']['index']}").status == 404


def test_killed_between_entry_and_deletion_the_bytes_go_at_the_start(f):
    # INV-04: many tries at the moment of the kill
    import random
    import time

    a = f.enrol("Demo.A")
    for i in range(12):
        text = f"zebra-{os.urandom(8).hex()}"
        m = a.message(
            performative="request", content={"claim": None, "claim_id": None, "confidence": None, "scope": None, "data": {"n": text}}
        )
        assert f.send(m).status == 200
        size = f.size()
        body = json.dumps({"id": m.id}).encode()
        act = f.admin_header("/v1/witness/erase", body)
        c = f.conn()
        c.send(c.bytes_of("POST", "/v1/witness/erase", body, act))
        time.sleep(random.uniform(0, 0.01))
        f.kill()
        c.close()
        f.start()
        witnessed = f.size() > size
        assert bool(f.grep(text.encode())) is not witnessed, (i, witnessed)
        a.seq = max(f.last_seq(a).values())


def test_repeated_erasure_gets_its_first_answer_and_erases_nothing_more(f):
    # INV-04: no effect without its entry; two senders, one message id
    a, b = f.enrol("Demo.A", owner="alice"), f.enrol("Demo.B", owner="bob")
    bare = {"claim": None, "claim_id": None, "confidence": None, "scope": None}  # a claim would stand in the entry as its why
    m = a.message(performative="request", content={**bare, "data": {"note": "alpha bravo charlie"}})
    n = b.message(performative="request", content={**bare, "data": {"note": "delta echo foxtrot"}}, id=m.id)
    assert f.send(m).status == 200 and f.send(n).status == 200
    body = json.dumps({"id": m.id}).encode()

    def erase(key):
        return f.post("/v1/witness/erase", body, {**f.admin_header("/v1/witness/erase", body), "Idempotency-Key": key})

    first = erase("once")
    assert first.status == 200, first
    size = f.size()
    again = erase("once")
    assert again.status == 200 and again.json == first.json and again.headers["idempotent-replayed"] == "true", again
    assert f.size() == size and (f.grep(b"alpha bravo charlie") == []) != (f.grep(b"delta echo foxtrot") == []), "one is gone, not both"
    assert erase("twice").status == 200
    assert f.grep(b"delta echo foxtrot") == [] and f.grep(b"alpha bravo charlie") == []
    assert erase("once").json == first.json, "though nothing is left to erase"
    refused(erase("thrice"), 404, 404)
    f.verify()

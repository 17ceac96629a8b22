"""Tokens, invites, enrolment: theft, replay, races, edited rows. INV-01, INV-02, INV-16."""

import base64
import json
import os
import re
import sqlite3
import threading
import time

import nacl.signing
import rfc8785

from fabric import Agent, Events, Gone, b64u, sha256, uuid7, wait_for
from tests_backups import backup, restored

TOKEN = re.compile(r"^ift_[A-Za-z0-9_-]{43}$")
CODE = re.compile(r"^([A-Z2-7]{4}-){7}[A-Z2-7]{4}$")


def refused(r, status, code):
    assert r.status == status and r.code == code, f"expected {status}/{code}, got {r!r}"
    if status == 401:
        assert r.headers.get("www-authenticate") == "Bearer", r.headers
    return {k: v for k, v in r.error.items() if k != "trace"}


def bearer(secret):
    return {"Authorization": "Bearer " + secret}


def token(f, talent, admin=False, **more):
    body = {"talent": talent, "why": "test", **more}
    r = f.admin("/v1/tokens", body) if admin else f.post("/v1/tokens", body)
    assert r.status == 201 and TOKEN.match(r.json["secret"]), r
    return r.json["secret"], r.json["token"]


def token_file(path, secret):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(secret + "\n")
    return path


def invite(f, name, admin=False, **more):
    body = {"name": name, "why": "test", **more}
    r = f.admin("/v1/invites", body) if admin else f.post("/v1/invites", body)
    assert r.status == 201 and CODE.match(r.json["code"]), r
    return r.json["code"]


def enrolment(f, code, key, sign_with=None, **change):
    """change: of what is signed, not of what is sent."""
    pub = b64u(bytes(key.verify_key))
    signed = {"code": code, "log": f.about()["origin"], "pubkey": pub, "v": 1}
    signed.update({k.removeprefix("signed_"): v for k, v in change.items()})
    proof = (sign_with or key).sign(b"IF-ENROLL-v1\n" + rfc8785.dumps(signed)).signature
    return {"code": code, "pubkey": pub, "proof": b64u(proof)}


def new_key():
    return nacl.signing.SigningKey.generate()


def everywhere(f, needle):
    """Files below the fabric's directory that hold these bytes."""
    found = []
    for base, _, names in os.walk(f.dir):
        for name in names:
            path = os.path.join(base, name)
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    if needle in file.read():
                        found.append(path)
    return found


# ---- tokens ----


def test_token_opens_its_routes_over_tcp_and_the_secret_is_nowhere(f):
    # INV-13: who and why; the secret stands in no file
    f.enrol("Demo.A")
    refused(f.get("/v1/inbox", tcp=True), 401, 2)
    secret, record = token(f, "Demo.A", ttl_s=600, name="laptop")
    assert record["hash"] == sha256(secret.encode()) and record["role"] == "agent" and record["name"] == "laptop", record
    assert f.get("/v1/inbox", headers=bearer(secret), tcp=True).status == 200
    refused(f.get("/v1/talents", headers=bearer(secret), tcp=True), 403, 3)
    entry = f.entries()[-1]
    assert entry["operation"] == "token_create" and entry["why"] == "test" and entry["payload"]["token"] == record, entry
    assert [t["id"] for t in f.get("/v1/tokens", headers=bearer(secret), tcp=True).json["items"]] == [record["id"]]
    assert f.stop() == 0
    assert everywhere(f, secret.encode()) == [] and everywhere(f, secret[4:].encode()) == []
    assert everywhere(f, base64.urlsafe_b64decode(secret[4:] + "=")) == []
    f.start()
    assert f.get("/v1/inbox", headers=bearer(secret), tcp=True).status == 200, "it outlives a restart"


def test_malformed_tokens_are_401_on_every_route(f):
    # INV-01
    f.enrol("Demo.A")
    secret, _ = token(f, "Demo.A")
    last = "A" if secret[-1] != "A" else "Q"
    bad = [
        "Bearer",
        "Bearer ",
        "Bearer  " + secret,
        "Bearer " + secret + "=",
        "Bearer " + secret[:-1],
        "Bearer " + secret[:-1] + last,
        "Bearer " + secret.upper(),
        "Bearer " + secret[4:],
        "Basic " + base64.b64encode(("x:" + secret).encode()).decode(),
        secret,
    ]
    texts = set()
    for value in bad:
        for path in ("/v1/inbox", "/healthz", "/v1/fabric"):
            texts.add(refused(f.get(path, headers={"Authorization": value}, tcp=True), 401, 2)["message"])
    assert len(texts) == 1, texts
    with f.conn(tcp=True) as c:
        c.send(
            f"GET /v1/inbox HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\nAuthorization: Bearer {secret}\r\n\r\n".encode()
        )
        r = c.read()
    assert r.status in (400, 401), r
    assert f.get("/v1/inbox", headers={"Authorization": "bearer " + secret}, tcp=True).status == 200
    refused(f.get("/v1/inbox?token=" + secret, tcp=True), 401, 2)
    refused(f.get("/v1/fabric?token=" + secret, tcp=True), 400, 208)
    refused(f.get("/v1/fabric?access_token=" + secret, tcp=True), 400, 208)


def test_revoked_token_is_refused_at_once_and_after_a_restart(f):
    f.enrol("Demo.A")
    secret, record = token(f, "Demo.A")
    other, _ = token(f, "Demo.A")
    with f.conn(tcp=True) as c:
        assert c.request("GET", "/v1/inbox", None, bearer(secret)).status == 200
        r = f.post(f"/v1/tokens/{record['id']}/revoke", {"why": "lost laptop"})
        assert r.status == 200 and r.json["token"]["revoked_at"], r
        refused(c.request("GET", "/v1/inbox", None, bearer(secret)), 401, 2)
    refused(f.post(f"/v1/tokens/{record['id']}/revoke", {"why": "again"}), 404, 404)
    refused(f.post(f"/v1/tokens/tok-{uuid7()}/revoke", {"why": "unknown"}), 404, 404)
    f.kill()
    f.start()
    refused(f.get("/v1/inbox", headers=bearer(secret), tcp=True), 401, 2)
    assert f.get("/v1/inbox", headers=bearer(other), tcp=True).status == 200


def test_token_of_a_removed_talent_is_void(f):
    # INV-02
    f.enrol("Demo.A")
    secret, _ = token(f, "Demo.A")
    assert f.post("/v1/talents/Demo.A/revoke", {"talent": True, "why": "gone"}).status == 200
    refused(f.get("/v1/inbox", headers=bearer(secret), tcp=True), 401, 2)
    refused(f.post("/v1/tokens", {"talent": "Demo.A", "why": "t"}), 404, 203)


def test_rights_are_those_of_both_roles(f):
    f.enrol("Ops", role="operator")
    refused(f.post("/v1/tokens", {"talent": "Ops", "why": "t"}), 403, 3)
    refused(f.post("/v1/tokens", {"talent": "operator", "role": "agent", "why": "t"}), 403, 3)
    full, _ = token(f, "Ops", admin=True)
    less, _ = token(f, "Ops", admin=True, role="readonly")
    assert f.get("/v1/witness/entries", headers=bearer(full), tcp=True).status == 200
    refused(f.get("/v1/witness/entries", headers=bearer(less), tcp=True), 403, 3)
    assert f.get("/v1/talents", headers=bearer(less), tcp=True).status == 200
    f.enrol("Demo.A")
    refused(f.post("/v1/tokens", {"talent": "Demo.A", "role": "operator", "why": "t"}), 403, 3)
    more, record = token(f, "Demo.A", admin=True, role="operator")
    assert record["role"] == "operator"
    refused(f.get("/v1/talents", headers=bearer(more), tcp=True), 403, 3)
    assert f.get("/v1/inbox", headers=bearer(more), tcp=True).status == 200


def test_token_on_the_socket_stands_in_place_of_the_uid(f):
    f.enrol("Demo.A")
    secret, record = token(f, "Demo.A")
    assert f.get("/v1/talents").status == 200
    refused(f.get("/v1/talents", headers=bearer(secret)), 403, 3)
    assert f.post(f"/v1/tokens/{record['id']}/revoke", {"why": "t"}).status == 200
    refused(f.get("/v1/talents", headers=bearer(secret)), 401, 2)


def test_no_token_makes_an_admin_act_unnecessary(f):
    # INV-02
    secret, _ = token(f, "operator", admin=True)
    assert f.post("/v1/talents", {"name": "A", "why": "t"}, bearer(secret), tcp=True).status == 201
    refused(f.post("/v1/talents", {"name": "B", "role": "auditor", "why": "t"}, bearer(secret), tcp=True), 403, 3)
    refused(f.post("/v1/tokens", {"talent": "operator", "why": "t"}, bearer(secret), tcp=True), 403, 3)
    refused(f.post("/v1/invites", {"name": "C", "role": "admin", "why": "t"}, bearer(secret), tcp=True), 403, 3)
    body = json.dumps({"name": "B", "role": "auditor", "why": "t"}).encode()
    assert f.post("/v1/talents", body, {**bearer(secret), **f.admin_header("/v1/talents", body)}, tcp=True).status == 201


def test_agent_makes_its_own_token_with_its_own_key(f):
    # INV-02
    a, b = f.enrol("Demo.A"), f.enrol("Demo.B")
    ops = f.enrol("Ops", role="operator")
    mine = json.dumps({"talent": "Demo.A", "why": "t"}).encode()
    refused(f.post("/v1/tokens", mine, tcp=True), 401, 2)
    header = f.admin_header("/v1/tokens", mine, key=a.key)
    r = f.post("/v1/tokens", mine, header, tcp=True)
    assert r.status == 201, r
    assert f.entries()[-1]["actor"] == a.uri
    assert f.get("/v1/inbox", headers=bearer(r.json["secret"]), tcp=True).status == 200
    refused(f.post("/v1/tokens", mine, header, tcp=True), 409, 103)
    refused(f.post("/v1/tokens", mine, f.admin_header("/v1/tokens", mine, key=b.key), tcp=True), 403, 3)
    more = json.dumps({"talent": "Demo.A", "role": "operator", "why": "t"}).encode()
    refused(f.post("/v1/tokens", more, f.admin_header("/v1/tokens", more, key=a.key), tcp=True), 403, 3)
    above = json.dumps({"talent": "Ops", "why": "t"}).encode()
    refused(f.post("/v1/tokens", above, f.admin_header("/v1/tokens", above, key=ops.key), tcp=True), 403, 3)
    refused(f.post("/v1/tokens", mine, f.admin_header("/v1/tokens", mine, key=new_key()), tcp=True), 401, 1)
    refused(f.post("/v1/tokens", mine, {"IF-Admin": "x"}, tcp=True), 400, 208)
    why = json.dumps({"why": "t"}).encode()
    path = f"/v1/tokens/{r.json['token']['id']}/revoke"
    refused(f.post(path, why, f.admin_header(path, why, key=b.key), tcp=True), 403, 3)
    assert f.post(path, why, f.admin_header(path, why, key=a.key), tcp=True).status == 200
    refused(f.get("/v1/inbox", headers=bearer(r.json["secret"]), tcp=True), 401, 2)


def test_failed_tokens_are_charged_and_the_connection_closed(f):
    # INV-01: 1,000 at once, then 100 a second
    f.enrol("Demo.A")
    secret, _ = token(f, "Demo.A")
    size, closed = f.size(), False
    for _ in range(8):
        try:
            with f.conn(tcp=True) as c:
                for _ in range(300):
                    r = c.request("GET", "/v1/inbox", None, bearer("ift_" + b64u(os.urandom(32))))
                    if r.status == 429:
                        closed = r.code == 302
                        c.request("GET", "/healthz")
                    else:
                        refused(r, 401, 2)
        except (Gone, OSError):
            break
    assert closed, "the bucket ran empty and the connection was closed"
    assert f.get("/v1/inbox", headers=bearer(secret)).status == 200, "the socket has its own"
    assert all(e["operation"] in ("refusals_counted",) for e in f.entries(size)), "no entry for each"


def test_bounds_of_tokens(f):
    f.enrol("Demo.A")
    for ttl in (0, 59, 86401, -1, "60", 60.5):
        refused(f.post("/v1/tokens", {"talent": "Demo.A", "ttl_s": ttl, "why": "t"}), 400, 208)
    refused(f.post("/v1/tokens", {"talent": "Demo.A"}), 400, 208)
    refused(f.post("/v1/tokens", {"talent": "Demo.A", "why": "t", "hash": "sha256:" + "0" * 64}), 400, 208)
    refused(f.post("/v1/tokens", {"talent": "nobody", "why": "t"}), 404, 203)
    made = [token(f, "Demo.A")[1]["id"] for _ in range(64)]
    refused(f.post("/v1/tokens", {"talent": "Demo.A", "why": "t"}), 429, 305)
    assert f.post(f"/v1/tokens/{made[0]}/revoke", {"why": "t"}).status == 200
    token(f, "Demo.A")
    page = f.get("/v1/tokens?limit=40").json
    rest = f.get(f"/v1/tokens?limit=40&cursor={page['next']}").json
    assert len(page["items"]) == 40 and len(page["items"] + rest["items"]) == 65 and rest["next"] is None


def test_answers_with_secrets_are_not_kept(f):
    f.enrol("Demo.A")
    for route, body in (("/v1/tokens", {"talent": "Demo.A", "why": "t"}), ("/v1/invites", {"name": "New", "why": "t"})):
        first = f.post(route, body, {"Idempotency-Key": "once"})
        assert first.status == 201
        size = f.size()
        again = f.post(route, body, {"Idempotency-Key": "once"})
        assert "not kept" in refused(again, 409, 409)["message"]
        assert f.size() == size and first.json.get("secret", first.json.get("code")).encode() not in again.body
    f.restart()
    refused(f.post("/v1/tokens", {"talent": "Demo.A", "why": "t"}, {"Idempotency-Key": "once"}), 409, 409)


def test_other_sites_gain_nothing_by_a_token(f):
    f.enrol("Demo.A")
    secret, _ = token(f, "operator", admin=True)
    body = {"name": "X", "why": "t"}
    for extra in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        refused(f.post("/v1/talents", body, {**bearer(secret), **extra}, tcp=True), 403, 3)
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        refused(f.post("/v1/talents", body, {**bearer(secret), "Content-Type": kind}, tcp=True), 415, 208)
    refused(f.post("/v1/talents", body, {**bearer(secret), "Host": "evil.example"}, tcp=True), 421, 3)
    refused(f.get("/v1/talents/X"), 404, 203)
    assert f.post("/v1/talents", body, bearer(secret), tcp=True).status == 201


def stream(f, path, headers):
    c = f.conn(tcp=True)
    c.send(c.bytes_of("GET", path, None, {**headers, "Accept": "text/event-stream"}))
    r = c.head()
    status = r[0] if isinstance(r, tuple) else r.status
    assert status == 200, r
    return Events(c)


def test_streams_and_polls_end_with_their_token(f):
    a, b = f.enrol("Demo.A"), f.enrol("Demo.B")
    inbox, record = token(f, "Demo.A")
    audit, audit_record = token(f, "operator", admin=True)
    box, events = stream(f, "/v1/inbox", bearer(inbox)), stream(f, "/v1/events", bearer(audit))
    f.send(b.message(receiver=a.uri))
    assert box.next()["event"] == "message" and events.next()["event"] == "IF.connect.share"
    got = []

    def poll():
        got.append(f.get("/v1/inbox?after=1000000&wait_ms=30000", headers=bearer(inbox), tcp=True, timeout=40))

    waits = threading.Thread(target=poll)
    waits.start()
    wait_for(lambda: "ifab_" in f.get("/metrics").body.decode(), what="metrics")
    time.sleep(0.3)
    assert f.post(f"/v1/tokens/{record['id']}/revoke", {"why": "t"}).status == 200
    f.send(b.message(receiver=a.uri))
    assert box.next()["event"] == "expired"
    try:
        box.next()
        raise AssertionError("the stream goes on")
    except Gone:
        pass
    waits.join()
    refused(got[0], 401, 2)
    assert events.next()["event"] == "IF.talent.token_revoke", "the other stream goes on"
    path, why = f"/v1/tokens/{audit_record['id']}/revoke", {"why": "t"}
    assert f.admin(path, why).status == 200
    while (event := events.next())["event"] != "expired":
        assert event["event"] in ("IF.connect.share", "IF.talent.token_revoke"), event


def test_stream_of_a_removed_talent_ends(f):
    f.enrol("Demo.A")
    secret, _ = token(f, "Demo.A")
    box = stream(f, "/v1/inbox", bearer(secret))
    assert f.post("/v1/talents/Demo.A/revoke", {"talent": True, "why": "t"}).status == 200
    assert box.next()["event"] == "expired"


def test_token_ends_by_its_time_and_so_does_its_stream(f):
    f.enrol("Demo.A")
    secret, _ = token(f, "Demo.A", ttl_s=60)
    box = stream(f, "/v1/inbox", bearer(secret))
    assert box.next()["event"] == "expired"
    refused(f.get("/v1/inbox", headers=bearer(secret), tcp=True), 401, 2)
    assert f.get("/v1/tokens").json["items"] == []
    wait_for(lambda: rows(f, 10) == 0, seconds=30, what="the record's end")
    f.restart()


# ---- invites and enrolment ----


def test_invite_enrols_once_with_a_key_made_elsewhere(f):
    # INV-02 INV-13 INV-16
    code = invite(f, "New.Agent", owner="carol")
    created = f.entries()[-1]
    assert created["operation"] == "invite" and created["payload"]["invite"]["hash"] == sha256(code.encode()), created
    key = new_key()
    body = enrolment(f, code, key)
    r = f.post("/v1/enroll", body, tcp=True)
    assert r.status == 201 and r.json["talent"]["name"] == "New.Agent" and r.json["talent"]["owner"] == "carol", r
    entry = f.entries()[-1]
    assert entry["operation"] == "enroll" and entry["actor"] == "if://agent/New.Agent", entry
    assert entry["payload"]["record"] == r.json["talent"] and entry["payload"]["invite"] == created["payload"]["invite"]["id"]
    assert r.json["talent"]["keys"][0]["pubkey"] == body["pubkey"] and r.json["talent"]["role"] == "agent"
    agent = Agent("New.Agent", "carol", key)
    assert f.send(agent.message()).status == 200
    size = f.size()
    used = refused(f.post("/v1/enroll", body, tcp=True), 403, 3)
    other = new_key()
    again = refused(f.post("/v1/enroll", enrolment(f, code, other), tcp=True), 403, 3)
    wrong = refused(f.post("/v1/enroll", enrolment(f, "AAAA-" * 7 + "AAAA", other), tcp=True), 403, 3)
    assert used == again == wrong, "used and wrong codes are not told apart"
    assert all(e["operation"] == "refusals_counted" for e in f.entries(size)), "nobody is known by a wrong code: counted"
    assert f.stop() == 0
    assert everywhere(f, code.encode()) == [] and everywhere(f, code.replace("-", "").encode()) == []
    f.start()
    refused(f.post("/v1/enroll", body, tcp=True), 403, 3)
    f.verify()


def test_proof_binds_code_key_and_log(f):
    # INV-01 INV-02
    code = invite(f, "New")
    key, other = new_key(), new_key()
    stolen = enrolment(f, code, key)
    for body in (
        {**stolen, "pubkey": b64u(bytes(other.verify_key))},
        enrolment(f, code, key, sign_with=other),
        enrolment(f, code, key, signed_log="other/0badcafe"),
        enrolment(f, code, key, signed_code="AAAA-" * 7 + "AAAA"),
        enrolment(f, code, key, signed_v=2),
    ):
        refused(f.post("/v1/enroll", body, tcp=True), 401, 1)
    for body in (
        {**stolen, "code": code.lower()},
        {**stolen, "code": code.replace("-", "")},
        {**stolen, "role": "admin"},
        {**stolen, "proof": stolen["proof"][:-1]},
        {k: v for k, v in stolen.items() if k != "proof"},
    ):
        refused(f.post("/v1/enroll", body, tcp=True), 400, 208)
    weak = {**stolen, "pubkey": b64u(bytes([1] + [0] * 31))}
    assert f.post("/v1/enroll", weak, tcp=True).status in (400, 401)
    refused(f.get("/v1/talents/New"), 404, 203)
    assert f.post("/v1/enroll", stolen, tcp=True).status == 201, "none of them used the code up"


def test_two_enrolments_at_once_one_wins(f):
    # INV-02
    for n in range(8):
        code = invite(f, f"Race{n}")
        bodies = [enrolment(f, code, new_key()) for _ in range(6)]
        got, gate = [], threading.Barrier(len(bodies))

        def one(body):
            with f.conn(tcp=True) as c:
                gate.wait()
                got.append((c.request("POST", "/v1/enroll", json.dumps(body).encode()), body))

        threads = [threading.Thread(target=one, args=(b,)) for b in bodies]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        won = [body for r, body in got if r.status == 201]
        assert len(won) == 1 and len(got) == 6, got
        assert all(r.code == 3 for r, _ in got if r.status != 201)
        keys = f.get(f"/v1/talents/Race{n}").json["keys"]
        assert [k["pubkey"] for k in keys] == [won[0]["pubkey"]]


def test_known_key_is_not_enrolled_again(f):
    # INV-02: a key has one use and one holder
    a = f.enrol("Demo.A")
    code = invite(f, "New")
    refused(f.post("/v1/enroll", enrolment(f, code, a.key), tcp=True), 409, 409)
    assert f.post("/v1/talents/Demo.A/revoke", {"talent": True, "why": "t"}).status == 200
    refused(f.post("/v1/enroll", enrolment(f, code, a.key), tcp=True), 409, 409)
    assert f.post("/v1/enroll", enrolment(f, code, new_key()), tcp=True).status == 201, "the code was not used up by it"


def test_who_may_invite_whom(f):
    refused(f.post("/v1/invites", {"name": "X", "why": "t"}, tcp=True), 401, 2)
    for role in ("readonly", "auditor", "operator", "admin"):
        refused(f.post("/v1/invites", {"name": "X", "role": role, "why": "t"}), 403, 3)
    refused(f.post("/v1/invites", {"name": "operator", "why": "t"}), 409, 409)
    refused(f.post("/v1/invites", {"name": "X", "role": "king", "why": "t"}), 400, 208)
    for ttl in (0, 3601):
        refused(f.post("/v1/invites", {"name": "X", "ttl_s": ttl, "why": "t"}), 400, 208)
    code = invite(f, "Audit", admin=True, role="auditor")
    r = f.post("/v1/enroll", enrolment(f, code, new_key()), tcp=True)
    assert r.status == 201 and r.json["talent"]["role"] == "auditor"


def test_newer_invite_takes_the_place_of_the_older(f):
    old, new = invite(f, "X"), invite(f, "X")
    refused(f.post("/v1/enroll", enrolment(f, old, new_key()), tcp=True), 403, 3)
    assert f.post("/v1/enroll", enrolment(f, new, new_key()), tcp=True).status == 201


def test_invite_ends_by_its_time(f):
    code = invite(f, "X", ttl_s=1)
    time.sleep(1.2)
    refused(f.post("/v1/enroll", enrolment(f, code, new_key()), tcp=True), 403, 3)
    wait_for(lambda: rows(f, 11) == 0, seconds=30, what="the record's end")


def test_guessed_codes_are_charged(f):
    # INV-01
    key, closed = new_key(), False
    body = json.dumps(enrolment(f, "AAAA-" * 7 + "AAAB", key)).encode()
    for _ in range(8):
        try:
            with f.conn(tcp=True) as c:
                for _ in range(300):
                    r = c.request("POST", "/v1/enroll", body)
                    if r.status == 429:
                        closed = True
                        c.request("GET", "/healthz")
                    else:
                        refused(r, 403, 3)
        except (Gone, OSError):
            break
    assert closed


def test_killed_between_invite_and_enrolment(f):
    # INV-05 INV-16
    code, key = invite(f, "X"), new_key()
    secret, _ = token(f, "operator", admin=True)
    f.kill()
    f.start()
    body = enrolment(f, code, key)
    assert f.post("/v1/enroll", body, tcp=True).status == 201
    f.kill()
    f.start()
    refused(f.post("/v1/enroll", body, tcp=True), 403, 3)
    assert f.get("/v1/talents/X").json["keys"][0]["pubkey"] == body["pubkey"]
    assert f.get("/v1/talents", headers=bearer(secret), tcp=True).status == 200


# ---- rows ----


def database(f):
    return sqlite3.connect(os.path.join(f.data, "main.db"))


def rows(f, kind):
    with database(f) as db:
        return db.execute("SELECT count(*) FROM records WHERE kind=?", (kind,)).fetchone()[0]


def test_edited_rows_of_tokens_and_invites_are_found_at_the_start(f):
    # INV-16
    f.enrol("Demo.A")
    token(f, "Demo.A")
    invite(f, "New")
    assert f.stop() == 0
    with database(f) as db:
        kept = db.execute("SELECT kind, number, bytes FROM records WHERE kind IN (10, 11)").fetchall()
    assert sorted(k for k, _, _ in kept) == [10, 11]
    for kind, number, data in kept:
        text = bytes(data).decode()
        year = text[15:19]
        edits = [
            text.replace('"role":"agent"', '"role":"admin"'),
            text.replace(f'"expires_at":"{year}', f'"expires_at":"{int(year) + 1}'),
            re.sub(r"sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, text),
            text.replace("Demo.A", "operator") if kind == 10 else text.replace('"owner":"New"', '"owner":"operator"'),
            text + " ",
            None,
        ]
        for edit in edits:
            assert edit != text, (kind, text)
            with database(f) as db:
                if edit is None:
                    db.execute("DELETE FROM records WHERE kind=? AND number=?", (kind, number))
                else:
                    db.execute("UPDATE records SET bytes=? WHERE kind=? AND number=?", (edit.encode(), kind, number))
            code, said = f.refuses()
            assert code == 20 and "IF_ERR_505" in said, (edit, code, said)
            with database(f) as db:
                if edit is None:
                    restore(db, kind, number, data)
                else:
                    db.execute("UPDATE records SET bytes=? WHERE kind=? AND number=?", (data, kind, number))
    with database(f) as db:
        restore(db, 10, 999, kept[0][2] if kept[0][0] == 10 else kept[1][2])
    code, said = f.refuses()
    assert code == 20 and "IF_ERR_505" in said, "a token put in"
    with database(f) as db:
        db.execute("DELETE FROM records WHERE number=999")
    f.start()


def restore(db, kind, number, data):
    names = [row[1] for row in db.execute("PRAGMA table_info(records)")]
    other = db.execute(f"SELECT {', '.join(names)} FROM records LIMIT 1").fetchone()
    values = {**dict(zip(names, other)), "kind": kind, "number": number, "bytes": data}
    db.execute(f"INSERT INTO records({', '.join(names)}) VALUES({', '.join('?' * len(names))})", [values[n] for n in names])


def test_restore_voids_tokens_and_invites(f):
    # DESIGN section 5: what was open in the old log is void in the new one
    f.enrol("Demo.A")
    secret, _ = token(f, "Demo.A")
    code, key = invite(f, "New"), new_key()
    path = backup(f)
    assert f.stop() == 0
    with restored(f, path) as g:
        g.start()
        assert g.entry(0)["payload"]["void"] == {"escalated": 0, "held": 0, "invites": 1, "tokens": 1}, g.entry(0)
        refused(g.get("/v1/inbox", headers=bearer(secret), tcp=True), 401, 2)
        refused(g.post("/v1/enroll", enrolment(g, code, key), tcp=True), 403, 3)
        assert g.get("/v1/talents/Demo.A").status == 200


# ---- two admins for a sensitive scope ----


def test_sensitive_grant_needs_two_admins_of_different_owners(f):
    # INV-02
    f.enrol("Demo.A")
    two, same = f.enrol("Adm.Two", owner="eve", role="admin"), f.enrol("Adm.Same", owner="operator", role="admin")
    route = "/v1/talents/Demo.A/grants"
    body = json.dumps({"scope": "payments", "why": "t"}).encode()

    def both(first, second, **change):
        acts = [f.admin_header(route, body, key=k, **change)["IF-Admin"] for k in (first, second)]
        return {"IF-Admin": ",".join(acts)}

    refused(f.post(route, body), 403, 3)
    refused(f.post(route, body, f.admin_header(route, body)), 403, 3)
    refused(f.post(route, body, both(f.admin_key, f.admin_key)), 403, 3)
    refused(f.post(route, body, both(f.admin_key, same.key)), 403, 3)
    refused(f.post(route, body, both(f.admin_key, new_key())), 401, 1)
    headers = both(f.admin_key, two.key)
    other = json.dumps({"scope": "payments", "why": "u"}).encode()
    refused(f.post(route, other, headers), 400, 208)
    refused(f.post(route, body, {"IF-Admin": headers["IF-Admin"] + ","}), 400, 208)
    assert f.get("/v1/talents/Demo.A").json["grants"] == []
    assert f.post(route, body, headers).status == 200
    entry = [e for e in f.entries() if e["type"] != "refusal"][-1]  # those may be counted at any time
    assert entry["actor"] == "if://agent/operator" and entry["payload"]["second"] == {"actor": two.uri, "why": "because"}, entry
    refused(f.post(route, body, headers), 409, 103)
    data = json.dumps({"name": "X", "why": "t"}).encode()
    acts = [f.admin_header("/v1/talents", data, key=k)["IF-Admin"] for k in (f.admin_key, two.key)]
    refused(f.post("/v1/talents", data, {"IF-Admin": ",".join(acts)}), 400, 208)


test_sensitive_grant_needs_two_admins_of_different_owners.config = {"access.sensitive_scopes": ["payments"]}

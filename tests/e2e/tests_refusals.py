"""Every refusal of a message with its exact code, and what it used up."""

import json
import os
import time

from fabric import Agent, b64u, key_id, sha256, sign, stamp, uuid7

DOMAIN = b"IF-CONNECT-v2.1\n"


def refused(r, code, status):
    assert r.code == code and r.status == status, f"expected {code:03d}/{status}, got {r!r}"
    assert r.error["retryable"] is (code in (302, 303, 304, 305, 500, 502, 503, 504))
    return r.error


def shared(r):
    assert r.status == 200 and r.json["decision"] == "SHARE", r
    return r.json


def test_signed_message_is_shared_and_its_receipt_verifies_offline(f):
    from fabric import check_receipt

    a = f.enrol("Demo.A")
    m = a.message()
    r = f.post("/v1/messages?proof=1", bytes(m))
    receipt = shared(r)
    assert receipt["id"] == m.id and receipt["message_digest"] == m.digest
    check_receipt(receipt, f.about()["vkey"])
    assert f.get(f"/v1/witness/messages/{receipt['entry']['index']}").body == bytes(m)
    f.verify()


def test_replay_is_103_with_what_was_decided_first(f):
    # INV-03
    a = f.enrol("Demo.A")
    m = a.message()
    receipt = shared(f.send(m))
    size = f.size()
    for _ in range(3):
        e = refused(f.send(m), 103, 409)
        assert e["field"] == "id" and e["first"] == {"decision": "SHARE", "entry": receipt["entry"]["index"]}, e
    assert f.last_seq(a) == {a.uri: 1}
    assert f.size() - size <= 3
    f.verify()


def test_replay_after_a_restart_is_103(f):
    # INV-03
    a = f.enrol("Demo.A")
    sent = [a.message() for _ in range(5)]
    for m in sent:
        shared(f.send(m))
    f.restart()
    for m in sent:
        e = refused(f.send(m), 103, 409)
        assert e["first"]["decision"] == "SHARE"
    shared(f.send(a.message()))


def test_same_bytes_with_their_key_give_the_first_receipt(f):
    # INV-03
    a = f.enrol("Demo.A")
    m = a.message()
    first = f.send(m, key=m.id)
    shared(first)
    assert "idempotent-replayed" not in first.headers
    size = f.size()
    again = f.send(m, key=m.id)
    assert again.status == 200 and again.headers["idempotent-replayed"] == "true", again
    assert again.json == first.json
    assert f.size() == size, "an idempotent repeat changes nothing"
    f.restart()
    again = f.send(m, key=m.id)
    assert again.status == 200 and again.json == first.json and again.headers["idempotent-replayed"] == "true"


def test_repeat_of_a_held_message_with_its_key_keeps_its_status(f):
    a = f.enrol("Demo.A")
    m = a.message(content={"confidence": {"raw": 0.25, "normalized": 0.25}})
    first = f.send(m, key=m.id)
    assert first.status == 202 and first.json["decision"] == "HOLD", first
    again = f.send(m, key=m.id)
    assert again.status == 202 and again.json == first.json and again.headers["idempotent-replayed"] == "true", again


def test_same_id_with_other_bytes_is_103_even_with_its_key(f):
    # INV-03
    a = f.enrol("Demo.A")
    m = a.message()
    receipt = shared(f.send(m))
    for key in (None, m.id):
        other = a.message(id=m.id, content={"claim": "something else"})
        e = refused(f.send(other, key=key), 103, 409)
        assert e["first"] == {"decision": "SHARE", "entry": receipt["entry"]["index"]}, e
    assert f.get(f"/v1/messages/{m.id}?sender={a.uri}").json["message_digest"] == m.digest


def test_key_that_is_not_the_message_id_is_208(f):
    a = f.enrol("Demo.A")
    m = a.message()
    refused(f.send(m, key="msg-" + uuid7()), 208, 400)
    shared(f.send(m))


def test_repeat_of_a_refused_message_with_its_key_is_a_clear_refusal(f):
    a = f.enrol("Demo.A")
    m = a.message(receiver="if://agent/Nobody")
    refused(f.send(m, key=m.id), 108, 403)
    e = refused(f.send(m, key=m.id), 103, 409)
    assert e["first"]["decision"] == "DENY"


def test_reused_nonce_under_a_new_id_is_103(f):
    # INV-03
    a = f.enrol("Demo.A")
    m = a.message(nonce="A" * 22)
    shared(f.send(m))
    e = refused(f.send(a.message(nonce="A" * 22)), 103, 409)
    assert e["field"] == "nonce"


def test_two_talents_may_use_the_same_id_and_nonce(f):
    a, b = f.enrol("Demo.A"), f.enrol("Demo.B")
    id_, nonce = "msg-" + uuid7(), b64u(os.urandom(16))
    shared(f.send(a.message(id=id_, nonce=nonce)))
    shared(f.send(b.message(id=id_, nonce=nonce)))
    for x in (a, b):
        assert f.get(f"/v1/messages/{id_}?sender={x.uri}").status == 200


def test_forged_key_inside_the_envelope_is_001(f):
    # INV-01 INV-02: the signature is good, the key is not the one registered for that sender
    a = f.enrol("Demo.A")
    mallory = Agent("Demo.A")
    e = refused(f.send(mallory.message()), 1, 401)
    assert e["field"] == "signature.pubkey"
    assert f.last_seq(a) == {}
    m = a.message()
    shared(f.send(m))


def test_key_of_another_talent_is_001(f):
    # INV-02
    a, b = f.enrol("Demo.A"), f.enrol("Demo.B")
    refused(f.send(a.message(sign_with=b.key)), 1, 401)


def test_wrong_signature_is_001(f):
    # INV-01
    a = f.enrol("Demo.A")
    e = json.loads(a.message())
    e["signature"]["sig"] = b64u(os.urandom(63) + b"\0")
    refused(f.post("/v1/messages", e), 1, 401)
    e["signature"]["sig"] = b64u(bytes(64))
    refused(f.post("/v1/messages", e), 1, 401)


def test_signature_made_for_another_domain_is_001(f):
    a = f.enrol("Demo.A")
    data, _ = sign(a.envelope(), b"IF-VOTE-v1\n", a.key)
    refused(f.post("/v1/messages", data), 1, 401)
    data, _ = sign(a.envelope(), b"", a.key)
    refused(f.post("/v1/messages", data), 1, 401)


def test_malleable_and_non_canonical_signatures_are_001(f):
    # INV-02: S + L is another spelling of the same S
    a = f.enrol("Demo.A")
    m = a.message()
    e = json.loads(m)
    from fabric import b64u_decode

    sig = b64u_decode(e["signature"]["sig"])
    order = (1 << 252) + 27742317777372353535851937790883648493
    s = int.from_bytes(sig[32:], "little") + order
    e["signature"]["sig"] = b64u(sig[:32] + s.to_bytes(32, "little"))
    refused(f.post("/v1/messages", e), 1, 401)
    shared(f.send(m))
    # the same bytes in another spelling are still the same message
    refused(f.post("/v1/messages", json.dumps(json.loads(m), indent=3).encode()), 103, 409)


def test_tampered_members_are_001(f):
    # INV-01: each signed member changed alone
    a = f.enrol("Demo.A")
    f.enrol("Demo.B")
    f.enrol("Demo.C")
    m = a.message(receiver="if://agent/Demo.B")
    changes = {
        "id": "msg-" + uuid7(),
        "performative": "request",
        "conversation_id": "conv-" + uuid7(),
        "topic_hash": sha256(b"other"),
        "receiver": "if://agent/Demo.C",
        "issued_at": stamp(time.time() - 1),
        "ttl_s": 299,
        "seq": 99,
        "nonce": b64u(os.urandom(16)),
        "content": {"claim": "pay Mallory"},
        "trace": uuid7(),
    }
    for member, value in changes.items():
        e = json.loads(m)
        e[member] = value
        refused(f.post("/v1/messages", e), 1, 401)
    e = json.loads(m)
    e["signature"]["key_id"] = key_id(os.urandom(32))
    r = f.post("/v1/messages", e)
    assert r.code in (1, 101) and r.status in (400, 401), r
    del e["signature"]["key_id"]  # it is signed as well
    refused(f.post("/v1/messages", e), 1, 401)
    assert f.last_seq(a) == {}
    shared(f.send(m))


def test_message_older_than_its_ttl_and_skew_is_102(f):
    # INV-03
    a = f.enrol("Demo.A")
    refused(f.send(a.message(issued_at=stamp(time.time() - 63), ttl_s=1)), 102, 400)
    refused(f.send(a.message(issued_at=stamp(time.time() - 4000), ttl_s=3600)), 102, 400)
    refused(f.send(a.message(issued_at="1999-12-31T23:59:59Z", ttl_s=3600)), 102, 400)
    assert f.last_seq(a) == {}
    shared(f.send(a.message(issued_at=stamp(time.time() - 50), ttl_s=1)))


def test_message_from_the_future_is_107(f):
    a = f.enrol("Demo.A")
    refused(f.send(a.message(issued_at=stamp(time.time() + 63))), 107, 400)
    refused(f.send(a.message(issued_at="9998-12-31T23:59:59Z")), 107, 400)
    assert f.last_seq(a) == {}
    shared(f.send(a.message(issued_at=stamp(time.time() + 50))))


def test_out_of_order_is_104_with_last_seq(f):
    # INV-03
    a = f.enrol("Demo.A")
    shared(f.send(a.message(seq=57)))
    for seq in (57, 56, 1):
        e = refused(f.send(a.message(seq=seq)), 104, 409)
        assert e["last_seq"] == 57 and e["field"] == "seq", e
    shared(f.send(a.message(seq=58)))
    shared(f.send(a.message(seq=2**53 - 1)))
    e = refused(f.send(a.message(seq=59)), 104, 409)
    assert e["last_seq"] == 2**53 - 1


def test_instances_have_sequences_of_their_own_and_survive_a_restart(f):
    # INV-03
    a = f.enrol("Demo.A")
    shared(f.send(a.message(sender=a.uri + "/1", seq=10)))
    shared(f.send(a.message(sender=a.uri + "/2", seq=5)))
    refused(f.send(a.message(sender=a.uri + "/2", seq=5)), 104, 409)
    f.restart()
    assert f.last_seq(a) == {a.uri + "/1": 10, a.uri + "/2": 5}
    assert refused(f.send(a.message(sender=a.uri + "/1", seq=10)), 104, 409)["last_seq"] == 10
    shared(f.send(a.message(sender=a.uri + "/1", seq=11)))


def test_unknown_sender_is_106(f):
    # INV-01
    refused(f.send(Agent("Nobody").message()), 106, 401)
    f.enrol("Demo.A")
    refused(f.send(Agent("demo.a").message()), 106, 401)


def test_oversize_is_109(f):
    a = f.enrol("Demo.A")
    refused(f.send(a.message(content={"data": {"x": "a" * 66000}})), 109, 413)
    refused(f.post("/v1/messages", b"{" + b" " * 65536), 109, 413)
    fits = a.message(content={"data": {"x": ""}})
    fits = a.message(content={"data": {"x": "a" * (65536 - len(fits))}})
    assert 65500 < len(fits) <= 65536
    shared(f.send(fits))


def test_wrong_version_is_110(f):
    a = f.enrol("Demo.A")
    for v in ("2.0", "2.2", "3", ""):
        refused(f.send(a.message(v=v)), 110, 400)
    shared(f.send(a.message(v=None)))


def test_unknown_receiver_is_108_and_uses_the_message_up(f):
    a = f.enrol("Demo.A")
    m = a.message(receiver="if://agent/Nobody")
    e = refused(f.send(m), 108, 403)
    assert e["field"] == "receiver"
    refused(f.send(m), 103, 409)
    assert f.last_seq(a) == {a.uri: 1}


def test_message_bound_to_another_fabric_is_108(f):
    a = f.enrol("Demo.A")
    origin = f.about()["origin"]
    refused(f.send(a.message(receiver="if://fabric/infrafabric.local/main/00000000")), 108, 403)
    refused(f.send(a.message(receiver=["if://fabric/" + origin, "if://fabric/other/00000000"])), 108, 403)
    shared(f.send(a.message(receiver="if://fabric/" + origin)))


def test_message_to_a_removed_talent_is_108(f):
    a, b = f.enrol("Demo.A"), f.enrol("Demo.B")
    shared(f.send(a.message(receiver=b.uri)))
    r = f.post("/v1/talents/Demo.B/revoke", {"talent": True, "why": "left"})
    assert r.status == 200, r
    refused(f.send(a.message(receiver=b.uri)), 108, 403)
    r = f.send(b.message())
    assert r.code in (4, 106) and r.status == 401, r


def test_reply_without_a_conversation_is_105(f):
    a, b = f.enrol("Demo.A"), f.enrol("Demo.B")
    refused(f.send(a.message(performative="agree")), 105, 409)
    c = "conv-" + uuid7()
    shared(f.send(a.message(performative="request", conversation_id=c, receiver=b.uri)))
    outsider = f.enrol("Demo.C")
    refused(f.send(outsider.message(performative="inform", conversation_id=c)), 105, 409)
    shared(f.send(b.message(performative="refuse", conversation_id=c, receiver=a.uri)))
    refused(f.send(a.message(performative="inform", conversation_id=c)), 105, 409)


def test_role_readonly_may_not_send_003(f):
    r = f.enrol("Demo.R", role="readonly")
    e = refused(f.send(r.message()), 3, 403)
    assert e["field"] == "sender"
    auditor = f.enrol("Demo.Auditor", role="auditor")
    refused(f.send(auditor.message()), 3, 403)


def test_revoked_key_is_004_also_after_a_restart(f):
    # INV-02 INV-16
    a = f.enrol("Demo.A")
    shared(f.send(a.message()))
    r = f.post("/v1/talents/Demo.A/revoke", {"key_id": key_id(bytes(a.key.verify_key)), "why": "lost"})
    assert r.status == 200, r
    refused(f.send(a.message()), 4, 401)
    f.restart()
    refused(f.send(a.message()), 4, 401)


def test_key_revoked_while_messages_are_in_flight_is_004_from_there_on(f):
    # INV-01 INV-03: one connection, pipelined: messages, the revocation, messages
    a = f.enrol("Demo.A")
    body = json.dumps({"key_id": key_id(bytes(a.key.verify_key)), "why": "lost"}).encode()
    with f.conn() as c:
        out = b"".join(c.bytes_of("POST", "/v1/messages", bytes(a.message())) for _ in range(20))
        out += c.bytes_of("POST", "/v1/talents/Demo.A/revoke", body)
        out += b"".join(c.bytes_of("POST", "/v1/messages", bytes(a.message())) for _ in range(20))
        c.send(out)
        answers = [c.read() for _ in range(41)]
    assert all(r.status == 200 for r in answers[:21]), answers[:21]
    assert all(r.code == 4 for r in answers[21:]), answers[21:]


def test_rotated_key_replaces_the_old_one(f):
    # INV-02
    a = f.enrol("Demo.A")
    shared(f.send(a.message()))
    new = Agent("Demo.A")
    r = f.post("/v1/talents/Demo.A/keys", {"pubkey": new.pub, "why": "rotation"})
    assert r.code == 3, r
    r = f.admin("/v1/talents/Demo.A/keys", {"pubkey": new.pub, "overlap_s": 0})
    assert r.status == 200, r
    shared(f.send(new.message()))
    refused(f.send(a.message()), 4, 401)


def test_key_of_a_former_holder_is_never_enrolled_again(f):
    # INV-02
    a = f.enrol("Demo.A")
    r = f.post("/v1/talents", {"name": "Demo.B", "owner": "x", "pubkey": a.pub, "why": "t"})
    refused(r, 409, 409)
    f.post("/v1/talents/Demo.A/revoke", {"talent": True, "why": "left"})
    refused(f.post("/v1/talents", {"name": "Demo.B", "owner": "x", "pubkey": a.pub, "why": "t"}), 409, 409)
    refused(f.post("/v1/talents", {"name": "DEMO.a", "owner": "x", "pubkey": Agent("x").pub, "why": "t"}), 409, 409)


def test_rate_limit_is_302_and_uses_nothing_up(f):
    a = f.enrol("Demo.A")
    with f.conn() as c:
        for _ in range(60):
            m = a.message()
            r = c.request("POST", "/v1/messages", bytes(m))
            if r.status == 429:
                break
    assert r.code == 302 and int(r.headers["retry-after"]) >= 1, r
    time.sleep(1.2)
    shared(f.send(m))  # the very same bytes


test_rate_limit_is_302_and_uses_nothing_up.config = {"rate.messages": 1, "rate.burst": 3}


def test_live_message_quota_is_305_and_uses_nothing_up(f):
    # INV-12: bounded
    a = f.enrol("Demo.A")
    for _ in range(16):
        shared(f.send(a.message(ttl_s=1, issued_at=stamp(time.time() - 50))))  # ten seconds are left of it
    m = a.message()
    refused(f.send(m), 305, 429)
    refused(f.send(m), 305, 429)
    for _ in range(100):  # places are freed by the minute
        time.sleep(1)
        r = f.send(m)
        if r.status == 200:
            break
    shared(r)


test_live_message_quota_is_305_and_uses_nothing_up.config = {"replay.per_talent": 16}


def test_malformed_envelopes_are_101_and_change_nothing(f):
    # INV-15
    a = f.enrol("Demo.A")
    size = f.size()
    good = a.message()
    text = bytes(good)
    bad = [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"\xef\xbb\xbf" + text,
        text + b"x",
        text[:-1],
        text.replace(b'"ttl_s":300', b'"ttl_s":300,"ttl_s":300'),
        text.replace(b'"ttl_s":300', b'"ttl_s":3e2,"extra":1'),
        text.replace(b'"ttl_s":300', b'"ttl_s":0'),
        text.replace(b'"ttl_s":300', b'"ttl_s":"300"'),
        text.replace(b'"seq":1', b'"seq":-1'),
        text.replace(b'"seq":1', b'"seq":1e400'),
        text.replace(b'"inform"', b'"shout"'),
        text.replace(b'"inform"', b'"inf\\ud800rm"'),
        text.replace(b'msg-', b'MSG-'),
        text.replace(b'T', b't', 1).replace(b"Z\"", b"z\""),
        b'{"a":' * 2000 + b"1" + b"}" * 2000,
        b'"' + b"a" * 60000 + b'"',
    ]
    for body in bad:
        r = f.post("/v1/messages", body)
        assert r.status == 400 and r.code in (101, 208), (body[:80], r)
    assert f.size() - size <= 2 and f.last_seq(a) == {}
    shared(f.send(good))


def test_every_truncation_of_a_message_is_refused(f):
    # INV-15
    a = f.enrol("Demo.A")
    m = bytes(a.message())
    with f.conn() as c:
        for n in range(1, len(m), 7):
            r = c.request("POST", "/v1/messages", m[:n])
            assert r.status == 400 and r.code == 101, (n, r)
    assert f.last_seq(a) == {}


def test_bit_flips_never_pass(f):
    # INV-01 INV-15
    import random

    a = f.enrol("Demo.A")
    m = bytes(a.message())
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    with f.conn() as c:
        for _ in range(400):
            i = rng.randrange(len(m))
            x = bytearray(m)
            x[i] ^= 1 << rng.randrange(8)
            r = c.request("POST", "/v1/messages", bytes(x))
            assert r.code in (1, 101, 106, 110, 4), (seed, i, r)
    assert f.last_seq(a) == {}


def test_idempotency_key_of_a_talent_gives_the_first_answer(f):
    agent = Agent("Demo.A")
    body = {"name": "Demo.A", "owner": "alice", "pubkey": agent.pub, "why": "t"}
    first = f.post("/v1/talents", body, {"Idempotency-Key": "k1"})
    assert first.status == 201, first
    size = f.size()
    again = f.post("/v1/talents", body, {"Idempotency-Key": "k1"})
    assert again.status == 201 and again.json == first.json and again.headers["idempotent-replayed"] == "true", again
    assert f.size() == size
    other = dict(body, owner="mallory")
    refused(f.post("/v1/talents", other, {"Idempotency-Key": "k1"}), 409, 409)
    refused(f.post("/v1/talents", body), 409, 409)
    f.restart()
    again = f.post("/v1/talents", body, {"Idempotency-Key": "k1"})
    assert again.status == 201 and again.json == first.json, again


def test_refusals_of_an_authenticated_sender_are_entries_within_their_allowance(f):
    # INV-13 INV-15: who, why and trace; a storm of refusals does not fill the log
    a = f.enrol("Demo.A")
    m = a.message()
    shared(f.send(m))
    size = f.size()
    answers = f.lines([m] * 2000)
    assert all(x["error"]["code"] == "IF_ERR_103" for x in answers)
    grown = f.size() - size
    assert 1 <= grown <= 60, grown
    e = f.entry(size)
    assert e["type"] == "refusal" and e["operation"] == "refused" and e["actor"] == a.uri and e["trace"] and e["why"], e


def test_every_entry_says_who_and_why_under_which_trace(f):
    # INV-13
    a = f.enrol("Demo.A")
    trace = uuid7()
    shared(f.send(a.message(trace=trace)))
    f.send(a.message(content={"confidence": None}))
    f.post("/v1/talents/Demo.A/grants", {"scope": "topic:1", "why": "needs it"})
    for e in f.entries():
        assert e["actor"] and (e.get("why") or "why_from" in e) and len(e["trace"]) == 36, e
    page = f.get(f"/v1/witness/entries?trace={trace}").json["items"]
    assert [e["trace"] for e in page] == [trace]
    r = f.post("/v1/talents", {"name": "Demo.B", "owner": "b", "pubkey": Agent("x").pub})
    refused(r, 208, 400)
    assert r.error["field"] == "why"


def test_names_that_look_like_secrets_do_not_come_in(f):
    # INV-09: they would stand in records and entries for good
    secret = "ghp_" + "A1b2" * 9
    f.enrol("Demo.A")
    size = f.size()
    for route, body, field in (
        ("/v1/talents", {"name": secret, "owner": "x", "pubkey": Agent("y").pub, "why": "t"}, "name"),
        ("/v1/talents", {"name": "Demo.Z", "owner": secret, "pubkey": Agent("z").pub, "why": "t"}, "owner"),
        ("/v1/talents/Demo.A/grants", {"scope": "x:" + secret, "why": "t"}, "scope"),
        ("/v1/backup", {"directory": "/tmp/" + secret, "why": "t"}, "directory"),
    ):
        r = f.post(route, body)
        assert r.code == 208 and r.error["field"] == field and secret not in r.body.decode(), (route, r)
    assert f.size() == size
    assert not f.grep(secret.encode()), "it stands somewhere"

"""Who sees what over the Unix socket: the uid decides, a talent's role bounds it."""

import json
import os
import traceback

from fabric import Agent, Conn, Response, Skip, uuid7

UID = 54321


def setup(f, role, talent="Demo.A", build=True):
    """A fabric whose socket uid UID may reach as that talent."""
    if os.geteuid() != 0:
        raise Skip("needs root to become another uid")
    run = os.path.join(f.root, "run")
    os.mkdir(run)
    os.chmod(run, 0o755)
    os.chmod(f.root, 0o755)
    f.start()
    a, b = f.enrol("Demo.A", owner="alice", role=role), f.enrol("Demo.B", owner="bob")
    assert f.stop() == 0
    f.configure({"run.dir": run, f"access.uids.{UID}": talent})
    f.socket = os.path.join(run, "ifd.sock")
    type(f).unix = property(lambda self: getattr(self, "socket", os.path.join(self.dir, "run", "ifd.sock")))
    f.start()
    return a, b


def as_uid(f, method, target, body=None, uid=UID, headers=None):
    """The request, made by a process of that uid."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            with Conn(f.unix) as c:
                x = c.request(method, target, json.dumps(body).encode() if isinstance(body, dict) else body, headers)
            os.write(w, json.dumps([x.status, x.headers, x.body.decode("latin-1")]).encode())
        except BaseException:
            os.write(w, json.dumps([0, {}, traceback.format_exc()]).encode())
        os._exit(0)
    os.close(w)
    data = b""
    while chunk := os.read(r, 65536):
        data += chunk
    os.close(r)
    os.waitpid(pid, 0)
    status, headers, text = json.loads(data)
    return Response(status, headers, text.encode("latin-1"))


def refused(r, status, code):
    assert r.status == status and r.code == code, f"expected {status}/{code}, got {r!r}"


def refused_with(r, status, code):
    refused(r, status, code)
    return r.error["message"]


def test_uid_without_a_talent_is_refused_and_told_why(f):
    # INV-01: every route is asked in tests_roles
    setup(f, "agent")
    for path in ("/v1/talents", "/v1/inbox", "/metrics", "/v1/witness/entries", "/openapi.json"):
        r = as_uid(f, "GET", path, uid=UID + 1)
        assert r.status == 403 and str(UID + 1) in r.error["message"], r


def test_agent_sees_its_own_messages_and_nobody_elses(f):
    # INV-01
    a, b = setup(f, "agent")
    mine, other = f.send(a.message(receiver=b.uri)).json, f.send(b.message(receiver=a.uri)).json
    assert as_uid(f, "GET", f"/v1/messages/{mine['id']}").json == mine
    refused(as_uid(f, "GET", f"/v1/messages/{other['id']}"), 404, 404)
    refused(as_uid(f, "GET", f"/v1/messages/{other['id']}?sender={b.uri}"), 404, 404)
    waits = {"hazards": ["legal"]}
    my_wait, other_wait = f.send(a.message(content=waits)).json, f.send(b.message(content=waits)).json
    assert as_uid(f, "GET", f"/v1/decisions/{my_wait['id']}").json["state"] == "escalated"
    refused(as_uid(f, "GET", f"/v1/decisions/{other_wait['id']}"), 404, 404)
    refused(as_uid(f, "GET", f"/v1/decisions/{other['id']}"), 404, 404)
    assert f.vote(my_wait).status == 200 and f.vote(other_wait).status == 200
    assert as_uid(f, "GET", f"/v1/decisions/{my_wait['id']}").json["decision"] == "SHARE"
    refused(as_uid(f, "GET", f"/v1/decisions/{other_wait['id']}"), 404, 404)
    refused(as_uid(f, "GET", f"/v1/decisions/{other_wait['id']}?wait_ms=100"), 404, 404)
    inbox = as_uid(f, "GET", "/v1/inbox").json["items"]
    assert [i["envelope"]["id"] for i in inbox] == [other["id"]]
    refused(as_uid(f, "GET", "/v1/inbox?as=Demo.B"), 404, 203)
    assert as_uid(f, "GET", "/v1/talents/Demo.A/sequences").status == 200
    refused(as_uid(f, "GET", "/v1/talents/Demo.B/sequences"), 404, 203)


def test_agent_with_anothers_message_id_sees_only_its_own(f):
    a, b = setup(f, "agent")
    id_ = "msg-" + uuid7()
    waits = {"hazards": ["legal"]}
    other = f.send(b.message(id=id_, content={**waits, "claim": "of b"})).json
    mine = f.send(a.message(id=id_, content={**waits, "claim": "of a"})).json
    got = as_uid(f, "GET", f"/v1/decisions/{id_}")
    assert got.json["message_digest"] == mine["message_digest"] and got.json["envelope"]["content"]["claim"] == "of a", got
    assert f.vote(other).status == 200
    assert f.vote(mine, "refuse").status == 200
    got = as_uid(f, "GET", f"/v1/decisions/{id_}")
    assert got.json["decision"] == "DENY" and got.json["message_digest"] == mine["message_digest"], got


def test_agent_may_not_list_audit_or_operate(f):
    # INV-01
    a, b = setup(f, "agent")
    for path in (
        "/v1/talents",
        "/v1/talents/Demo.B",
        "/v1/decisions",
        "/v1/anchors",
        "/metrics",
        "/v1/slo",
    ):
        refused(as_uid(f, "GET", path), 403, 3)
    size = f.size()
    for path, body in (
        ("/v1/talents", {"name": "X", "owner": "carol", "pubkey": Agent("X").pub, "why": "t"}),
        ("/v1/talents/Demo.A/grants", {"scope": "guard:scope", "why": "t"}),
        ("/v1/talents/Demo.B/revoke", {"talent": True, "why": "t"}),
        ("/v1/talents/Demo.A/keys", {"pubkey": Agent("X").pub, "why": "t"}),
        ("/v1/witness/erase", {"id": "msg-" + uuid7(), "why": "t"}),
        ("/v1/backup", {"directory": "/tmp/nope", "why": "t"}),
        ("/v1/anchors", {"why": "t"}),
        ("/v1/log-keys", {}),
        ("/v1/log-keys/rotate", b'{"to":"x"}'),
        ("/v1/clock/accept", {"why": "t"}),
    ):
        refused(as_uid(f, "POST", path, body), 403, 3)
    assert all(e["type"] == "refusal" for e in f.entries(size)), "nothing but what was refused"


def test_agent_sees_its_own_entries_and_nobody_elses(f):
    # INV-01
    a, b = setup(f, "agent")
    mine, other = f.send(a.message(receiver=b.uri)).json["entry"]["index"], f.send(b.message(receiver=a.uri)).json["entry"]["index"]
    assert as_uid(f, "GET", f"/v1/witness/entries/{mine}").json["actor"] == a.uri
    assert as_uid(f, "GET", f"/v1/witness/messages/{mine}").status == 200
    enrolled = {e["subject"]: e["index"] for e in f.entries() if e["operation"] == "add"}
    assert as_uid(f, "GET", f"/v1/witness/entries/{enrolled[a.uri]}").status == 200
    for index in (other, enrolled[b.uri], 0, 10**6):
        got = refused_with(as_uid(f, "GET", f"/v1/witness/entries/{index}"), 404, 404)
        assert got == refused_with(as_uid(f, "GET", f"/v1/witness/messages/{index}"), 404, 404), "what is there is not told"


def test_agent_lists_its_own_entries_and_nobody_elses(f):
    # INV-01
    a, b = setup(f, "agent")
    trace = uuid7()
    mine = [f.send(a.message(receiver=b.uri, trace=trace)).json["entry"]["index"] for _ in range(3)]
    other = f.send(b.message(receiver=a.uri, trace=trace)).json["entry"]["index"]
    listed = lambda query: [e["index"] for e in as_uid(f, "GET", "/v1/witness/entries?" + query).json["items"]]  # noqa: E731
    assert [e["index"] for e in f.get(f"/v1/witness/entries?trace={trace}").json["items"]] == [*mine, other]
    assert listed(f"trace={trace}") == mine
    for query in ("", "component=IF.connect", "type=message", "from=2020-01-01T00:00:00Z", "limit=1000"):
        for index in listed(query):
            e = f.entry(index)
            assert e["actor"] == a.uri or e["subject"] == a.uri, e
    assert set(mine) <= set(listed("limit=1000")) and other not in listed("limit=1000")
    page = as_uid(f, "GET", f"/v1/witness/entries?trace={trace}&limit=2").json
    assert [e["index"] for e in page["items"]] == mine[:2]
    assert listed(f"trace={trace}&cursor={page['next']}") == mine[2:]


def test_uid_of_an_admin_talent_is_only_an_operator(f):
    # INV-02
    setup(f, "admin")
    assert as_uid(f, "GET", "/v1/witness/entries").status == 200
    r = as_uid(f, "POST", "/v1/talents", {"name": "X", "owner": "carol", "pubkey": Agent("X").pub, "role": "operator", "why": "t"})
    refused(r, 403, 3)
    r = as_uid(f, "POST", "/v1/talents", {"name": "X", "owner": "carol", "pubkey": Agent("X").pub, "why": "t"})
    assert r.status == 201, r
    assert f.entry(r.json["entry"]["index"])["actor"] == "if://agent/Demo.A"


def test_readonly_and_auditor_read_what_their_column_says(f):
    setup(f, "auditor")
    for path in ("/v1/talents", "/v1/witness/entries", "/metrics", "/v1/decisions"):
        assert as_uid(f, "GET", path).status == 200, path
    refused(as_uid(f, "POST", "/v1/talents", {"name": "X", "owner": "carol", "pubkey": Agent("X").pub, "why": "t"}), 403, 3)
    refused(as_uid(f, "GET", "/v1/inbox?as=Demo.B"), 404, 203)


def test_uid_of_a_removed_talent_is_refused(f):
    # INV-16
    setup(f, "agent")
    assert f.post("/v1/talents/Demo.A/revoke", {"talent": True, "why": "left"}).status == 200
    assert as_uid(f, "GET", "/v1/inbox").status == 403


def test_idempotency_keys_are_kept_per_principal(f):
    setup(f, "operator")
    one, two = Agent("X1"), Agent("X2")
    body = {"name": "X1", "owner": "carol", "pubkey": one.pub, "why": "t"}
    assert f.post("/v1/talents", body, {"Idempotency-Key": "k"}).status == 201
    r = as_uid(f, "POST", "/v1/talents", {"name": "X2", "owner": "carol", "pubkey": two.pub, "why": "t"}, headers={"Idempotency-Key": "k"})
    assert r.status == 201 and r.json["talent"]["name"] == "X2", r


for name, fn in list(globals().items()):
    if name.startswith("test_"):
        fn.started = False

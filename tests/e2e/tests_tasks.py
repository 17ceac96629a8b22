"""Tasks and swarms over HTTP: one owner, fences, waiting claims, claims that nobody heard of, kill -9, who sees what. INV-11, INV-13, INV-15."""

import hashlib
import json
import os
import subprocess
import threading
import time

from fabric import PROGRAM, wait_for
from tests_backups import backup, restored
from tests_tokens import bearer, refused, token


def swarm(f, id="data", skills=("sql",), members=(), **more):
    r = f.post("/v1/swarms", {"id": id, "skills": list(skills), "members": list(members), "why": "test", **more})
    assert r.status in (200, 201), r
    return r.json


def create(f, id=None, needs=("sql",), **more):
    body = {"type": "job", "needs": list(needs), "why": "test", **more}
    if id is not None:
        body["id"] = id
    r = f.post("/v1/tasks", body)
    assert r.status == 201, r
    return r.json


def claim(f, of="data", id=None, headers=None, tcp=False, **more):
    return f.post(f"/v1/tasks/{id}/claim" if id else "/v1/tasks/claim", {"swarm": of, **more}, headers=headers, tcp=tcp)


def act(f, id, verb, headers=None, tcp=False, **body):
    return f.post(f"/v1/tasks/{id}/{verb}", body, headers=headers, tcp=tcp)


JSON = {"Content-Type": "application/json"}


def ask(conn, method, target, body=None, headers=None):
    """Over a connection that is kept."""
    return conn.request(method, target, None if body is None else json.dumps(body).encode(), {**JSON, **(headers or {})})


def test_task_from_creation_to_result(f):
    swarm(f)
    made = create(f, "report-3", payload={"quarter": 3, "rows": [1, 2]}, priority="P0", budget={"usd_micro": 500000})
    assert made["state"] == "queued" and made["priority"] == "P0" and made["budget"] == {"usd_micro": 500000}, made
    assert made["entry"]["index"] == made["index"], made
    r = claim(f)
    assert r.status == 200 and r.json["task"]["payload"] == {"quarter": 3, "rows": [1, 2]}, r
    fence = r.json["fence"]
    assert fence == r.json["entry"]["index"] == r.json["task"]["fence"]
    assert claim(f).status == 204
    again = claim(f, id="report-3").json["fence"]
    count = [line for line in f.get("/metrics").body.decode().splitlines() if line.startswith("ifab_claim_seconds_count")]
    assert again == fence and count == ["ifab_claim_seconds_count 1"], count  # neither one in vain nor one that was had already
    assert f.get("/v1/slo").json["claim"]["p95_us"] > 0
    assert act(f, "report-3", "progress", fence=fence, percent=40, note="half").json["percent"] == 40
    shown = f.get("/v1/tasks/report-3").json
    assert shown["state"] == "running" and shown["note"] == "half" and shown["payload"]["quarter"] == 3, shown
    done = act(f, "report-3", "complete", fence=fence, result={"rows": 7})
    assert done.status == 200 and done.json["state"] == "done", done
    closed = f.get("/v1/tasks/report-3").json
    assert closed["state"] == "done" and closed["result"] == {"rows": 7} and closed["entry"] == done.json["entry"], closed
    refused(act(f, "report-3", "complete", fence=fence), 409, 605)
    refused(f.post("/v1/tasks", {"id": "report-3", "type": "job", "why": "again"}), 409, 409)
    entries = [e for e in f.entries() if e["component"] == "IF.coordinator"]
    assert [e["operation"] for e in entries][:5] == ["register", "create", "claim", "progress", "complete"], entries
    assert entries[2]["why_from"] == made["index"], entries[2]
    f.verify()


def test_refusals_of_bad_requests(f):
    swarm(f)
    create(f, "t")
    for body, field in (
        ({}, "type"),
        ({"type": "job", "needs": ["a b"]}, "needs"),
        ({"type": "job"}, "why"),
        ({"type": "job", "why": "x", "id": "../x"}, "id"),
        ({"type": "job", "why": "x", "id": "t; rm -rf"}, "id"),
        ({"type": "job", "why": "x", "priority": "P4"}, "priority"),
        ({"type": "job", "why": "x", "payload": {"password": "hunter2hunter2"}}, "payload"),
        ({"type": "job", "why": "x", "max_attempts": 0}, "max_attempts"),
        ({"type": "job", "why": "x", "deadline": "2001-01-01T00:00:00Z"}, "deadline"),
        ({"type": "job", "why": "x", "budget": {"usd_micro": -1}}, "budget.usd_micro"),
        ({"type": "job", "why": "x", "budget": {"usd_micro": 1.5}}, "budget.usd_micro"),
        ({"type": "job", "why": "x", "owner": "me"}, "owner"),
    ):
        r = f.post("/v1/tasks", body)
        assert r.status == 400 and r.code == 208 and r.error["field"].startswith(field), (body, r)
    refused(f.post("/v1/tasks", {"type": "job", "why": "x", "swarm": "none"}), 404, 404)
    refused(f.post("/v1/tasks", {"type": "job", "why": "x", "swarm": "data", "needs": ["rust"]}), 409, 604)
    refused(f.post("/v1/tasks", {"type": "job", "why": "x", "depends_on": ["nope"]}), 404, 601)
    refused(f.post("/v1/tasks", {"type": "job", "why": "x", "payload": "x" * 70000}), 413, 109)
    refused(claim(f, id="none"), 404, 601)
    refused(claim(f, of="none"), 404, 404)
    refused(claim(f, lease_ms=99), 400, 208)
    refused(claim(f, lease_ms=3600001), 400, 208)
    refused(act(f, "none", "complete", fence=7), 404, 601)
    refused(act(f, "t", "complete", fence=7), 409, 603)
    refused(act(f, "t", "complete"), 400, 208)
    refused(f.post("/v1/swarms", {"id": "x", "skills": ["a"], "capabilities": ["b"], "why": "w"}), 400, 208)
    assert f.post("/v1/swarms", {"id": "alias", "capabilities": ["b"], "why": "w"}).status == 201
    refused(f.post("/v1/swarms", {"id": "x", "skills": ["a"], "queue": {"policy": "wait"}, "why": "w"}), 400, 208)
    refused(f.post("/v1/tasks", {"type": "job", "why": "x", "wait_ms": 30001}), 400, 208)
    assert f.post("/v1/tasks/t/explode", {}).status == 404


def test_waiting_claim_is_given_the_task_at_once(f):
    swarm(f, concurrency=10)
    got = []

    def wait():
        got.append(claim(f, wait_ms=20000))

    threads = [threading.Thread(target=wait) for _ in range(8)]
    for t in threads:
        t.start()
    wait_for(lambda: "\nifab_waiters 8\n" in f.get("/metrics").body.decode(), 10)
    for i in range(5):
        create(f, f"t{i}")
    wait_for(lambda: len(got) == 5, 10)
    assert sorted(r.json["task"]["id"] for r in got) == [f"t{i}" for i in range(5)], got
    assert len({r.json["fence"] for r in got}) == 5
    for i in range(5, 8):
        create(f, f"t{i}")
    for t in threads:
        t.join(20)
    assert sorted(r.json["task"]["id"] for r in got) == [f"t{i}" for i in range(8)]


def test_waiting_claim_that_finds_nothing_is_told_so(f):
    swarm(f)
    before = f.size()
    assert claim(f, wait_ms=300).status == 204
    assert f.size() == before  # nothing is written about nothing


def test_claim_of_a_closed_connection_is_given_back(f):
    swarm(f)
    conn = f.conn()
    conn.send(conn.bytes_of("POST", "/v1/tasks/claim", b'{"swarm":"data","wait_ms":20000}', JSON))
    wait_for(lambda: "\nifab_waiters 1\n" in f.get("/metrics").body.decode(), what="it waits")
    conn.close()
    wait_for(lambda: "\nifab_waiters 0\n" in f.get("/metrics").body.decode(), what="it is gone", at_most=15)  # before the end of its wait
    create(f, "t")
    assert claim(f, id="t").status == 200  # nobody has it
    # closed while its answer is under way: it may have been claimed, and then it comes back well before its lease
    for i in range(20):
        create(f, f"u{i}", needs=())
        conn = f.conn()
        conn.send(conn.bytes_of("POST", "/v1/tasks/claim", b'{"swarm":"data","lease_ms":3600000}', JSON))
        conn.close()
    wait_for(lambda: all(t["state"] == "queued" for t in f.get("/v1/tasks?limit=100").json["items"] if t["id"] != "t"), 10)


def test_races_have_one_winner(f):
    # 100 tasks, ten claimers each
    swarm(f, concurrency=1000)
    for i in range(100):
        create(f, f"t{i}")
    won = [[] for _ in range(10)]

    def run(n):
        with f.conn() as conn:
            for i in range(100):
                r = ask(conn, "POST", f"/v1/tasks/t{i}/claim", {"swarm": "data"}, {"Authorization": "Bearer " + tokens[n]})
                if r.status == 200:
                    won[n].append((f"t{i}", r.json["fence"]))
                else:
                    assert r.code in (602, 302), r

    tokens = []
    for n in range(10):
        f.enrol(f"Worker.{n}")
        tokens.append(token(f, f"Worker.{n}")[0])
    swarm(f, concurrency=1000, members=[f"Worker.{n}" for n in range(10)])
    threads = [threading.Thread(target=run, args=(n,)) for n in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    ids = [id for w in won for id, _ in w]
    assert sorted(ids) == sorted(f"t{i}" for i in range(100)), len(ids)
    fences = [fence for w in won for _, fence in w]
    assert len(set(fences)) == 100


def test_member_of_no_swarm_gets_nothing(f):
    f.enrol("In")
    f.enrol("Out")
    swarm(f, members=["In"])
    inside, outside = bearer(token(f, "In")[0]), bearer(token(f, "Out")[0])
    create(f, "mine", swarm="data", payload={"private": 1})
    refused(claim(f, headers=outside, tcp=True), 403, 3)
    refused(claim(f, id="mine", headers=outside, tcp=True), 403, 3)
    refused(f.get("/v1/tasks/mine", headers=outside, tcp=True), 404, 601)
    assert f.get("/v1/tasks", headers=outside, tcp=True).json["items"] == []
    assert "payload" not in f.get("/v1/tasks/mine", headers=inside, tcp=True).json
    r = claim(f, headers=inside, tcp=True)
    assert r.status == 200 and r.json["task"]["payload"] == {"private": 1}, r
    assert f.get("/v1/tasks/mine", headers=inside, tcp=True).json["payload"] == {"private": 1}
    refused(act(f, "mine", "complete", headers=outside, tcp=True, fence=r.json["fence"]), 403, 3)
    refused(act(f, "mine", "cancel", headers=inside, tcp=True, why="x"), 403, 3)
    refused(f.post("/v1/swarms", {"id": "own", "skills": ["a"], "members": ["Out"], "why": "w"}, headers=outside, tcp=True), 403, 3)
    assert act(f, "mine", "complete", headers=inside, tcp=True, fence=r.json["fence"], result=[1]).status == 200
    assert f.get("/v1/tasks/mine", headers=inside, tcp=True).json["result"] == [1]
    refused(f.get("/v1/tasks/mine", headers=outside, tcp=True), 404, 601)


def test_leases_run_out_and_survive_kill(f):
    swarm(f)
    create(f, "short")
    create(f, "long")
    assert claim(f, id="short", lease_ms=300).status == 200
    held = claim(f, id="long", lease_ms=60000).json["fence"]
    wait_for(lambda: f.get("/v1/tasks/short").json["state"] == "queued", 5)
    assert f.get("/v1/tasks/short").json["attempt"] == 2
    f.kill()
    f.start()
    shown = f.get("/v1/tasks/long").json
    assert shown["state"] == "claimed" and shown["fence"] == held, shown
    refused(act(f, "long", "complete", fence=held + 1), 409, 603)
    assert act(f, "long", "complete", fence=held).status == 200
    f.verify()


def test_kill_9_loses_no_answered_change(f):
    # INV-04: what was told stands after every kill
    swarm(f, concurrency=1000)
    states = {}
    for round_ in range(12):
        stop = threading.Event()

        def work():
            n = 0
            try:
                with f.conn() as conn:
                    while not stop.is_set():
                        id = f"r{round_}-{n}"
                        n += 1
                        r = ask(conn, "POST", "/v1/tasks", {"id": id, "type": "job", "needs": ["sql"], "why": "x"})
                        if r.status != 201:
                            continue
                        states[id] = {"queued"}
                        states[id].add("claimed")  # may be under way
                        r = ask(conn, "POST", f"/v1/tasks/{id}/claim", {"swarm": "data"})
                        if r.status != 200:
                            continue
                        states[id] = {"claimed", "done"}
                        r = ask(conn, "POST", f"/v1/tasks/{id}/complete", {"fence": r.json["fence"]})
                        if r.status == 200:
                            states[id] = {"done"}
            except Exception:  # the daemon was killed
                pass

        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(0.05 + 0.02 * round_)
        wait_for(lambda: len(states) > 5 * round_, what="something to lose")
        f.kill()
        stop.set()
        thread.join()
        f.start()
    assert len(states) > 50, len(states)
    with f.conn() as conn:
        for id, allowed in states.items():
            state = ask(conn, "GET", f"/v1/tasks/{id}").json["state"]
            assert state in allowed, (id, state, allowed)
    f.verify()


def test_restore_loses_no_task_and_gives_no_fence_twice(f):
    swarm(f)
    create(f, "queued", payload={"n": 1})
    create(f, "held", payload={"n": 2})
    create(f, "waits", depends_on=["held"])
    create(f, "closed")
    fence = claim(f, id="closed").json["fence"]
    assert act(f, "closed", "complete", fence=fence).status == 200
    create(f, "early")
    early = claim(f, id="early").json["fence"]
    copy = backup(f, "copy")
    held = claim(f, id="held").json["fence"]  # after the copy was made: the new fabric knows nothing of it
    again = claim(f, id="queued").json["fence"]
    with restored(f, copy) as g:
        g.start()
        for id, old in (("held", held), ("queued", again), ("early", early)):
            refused(act(g, id, "complete", fence=old), 409, 603)
        items = {t["id"]: t for t in g.get("/v1/tasks").json["items"]}
        assert {k: t["state"] for k, t in items.items()} == {"queued": "queued", "held": "queued", "waits": "queued", "early": "queued"}, items
        assert items["waits"]["depends_on"] == ["held"]
        refused(g.post("/v1/tasks", {"id": "closed", "type": "job", "why": "x"}), 409, 409)
        r = claim(g, id="held")
        assert r.status == 200 and r.json["task"]["payload"] == {"n": 2}, r
        assert r.json["fence"] > max(held, again) and r.json["fence"] >= 1 << 32, r
        assert act(g, "held", "complete", fence=r.json["fence"]).status == 200
        assert claim(g, id="waits").status == 200
        g.kill()
        g.start()
        assert {t["id"] for t in g.get("/v1/tasks").json["items"]} == {"queued", "waits", "early"}
        g.verify()


def test_who_could_help_and_why(f):
    swarm(f, "cheap", ["go", "sql"], cost={"usd_micro_per_hour": 1000000})
    swarm(f, "dear", ["go", "sql", "c"], cost={"usd_micro_per_hour": 9000000})
    swarm(f, "half", ["go"])
    swarm(f, "other", ["rust"])
    r = f.get("/v1/governor/match?needs=go,sql").json
    assert [(c["candidate"], c["fits"]) for c in r["items"]] == [("cheap", True), ("dear", True), ("half", False)], r
    assert r["items"][2]["missing"] == ["sql"] and r["items"][2]["coverage"] == {"covered": 1, "of": 2}, r
    r = f.get("/v1/governor/match?needs=go,sql&for=cheap").json
    assert [(c["candidate"], c["fits"]) for c in r["items"]][0] == ("dear", True), r
    swarm(f, "most", ["n1", "n2", "n3", "n4"], cost={"usd_micro_per_hour": 9000000})
    swarm(f, "near", ["n1", "n2", "n3"], cost={"usd_micro_per_hour": 1000000})
    for strategy, best in (("score", "near"), ("cheapest", "near"), ("coverage", "most"), ("wu-lun", "near")):
        r = f.get("/v1/governor/match?needs=n1,n2,n3,n4&strategy=" + strategy).json
        assert r["strategy"] == strategy and [(c["candidate"], c["fits"]) for c in r["items"]][0] == (best, True), r
    for query in ("", "?needs=", "?needs=a%20b", "?needs=" + ",".join("abcdefghijklmnopq"), "?needs=go&strategy=best", "?needs=go&strategy=Score"):
        refused(f.get("/v1/governor/match" + query), 400, 208)


def test_digests_of_payload_and_result_are_exported_and_verified(f):
    swarm(f)
    create(f, "t", payload={"n": 1})
    fence = claim(f, id="t").json["fence"]
    assert act(f, "t", "complete", fence=fence, result=[1, 2]).status == 200
    out = os.path.join(f.root, "export")
    ctl = [PROGRAM["ifctl"], "witness", "export", "--out", out, "--endpoint", f"unix:{f.unix}"]
    assert subprocess.run(ctl, capture_output=True).returncode == 0
    check = [PROGRAM["if-verify"], out, "--vkey", f.about()["vkey"]]
    done = subprocess.run(check, capture_output=True)
    assert done.returncode == 0, done
    entry = f.entry(f.get("/v1/tasks/t").json["entry"]["index"])
    assert entry["payload"]["result"]["digest"] == "sha256:" + hashlib.sha256(b"[1,2]").hexdigest(), entry

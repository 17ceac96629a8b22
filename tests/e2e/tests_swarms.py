"""How swarms are, what help came to, queues at which a maker waits, and agents that follow their own tasks. INV-10, INV-11, INV-12, INV-15."""

import json
import pathlib
import threading

from cli import Cli, Follow
from fabric import PATIENCE, Events, wait_for
from tests_backups import backup, restored
from tests_tasks import JSON, act, claim, create, swarm
from tests_tasks_proofs import shimmed, unshimmed
from tests_tokens import bearer, refused, token


def state(f, id="data", headers=None):
    r = f.get(f"/v1/swarms/{id}", headers=headers, tcp=headers is not None)
    assert r.status == 200, r
    return r.json["state"]


def metric(f, name):
    lines = f.get("/metrics").body.decode().splitlines()
    return [int(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + " ")][0]


def test_a_swarm_is_away_after_a_minute_and_back_with_a_heartbeat(f):
    put = shimmed(f, all_clocks=True)
    try:
        f.start()
        f.enrol("Ann"), f.enrol("Bob")
        ann, bob = (bearer(token(f, name)[0]) for name in ("Ann", "Bob"))
        swarm(f, members=["Ann"])
        swarm(f, "near", skills=["go"], members=["Bob"])
        swarm(f, "far", skills=["go"], members=["Bob"])
        size = f.size()
        assert state(f) == "IDLE" and metric(f, 'ifab_swarms{state="IDLE"}') == 3
        put(61)
        assert {s["id"]: s["state"] for s in f.get("/v1/swarms").json["items"]} == {"data": "OFFLINE", "near": "OFFLINE", "far": "OFFLINE"}
        assert metric(f, 'ifab_swarms{state="OFFLINE"}') == 3
        r = f.post("/v1/swarms/near/heartbeat", {}, headers=bob, tcp=True)
        assert r.status == 200 and r.json == {"holds_ms": 60000, "state": "IDLE", "swarm": "near"}, r
        assert state(f, "near", bob) == "IDLE" and state(f, "far") == "OFFLINE"
        refused(f.post("/v1/swarms/near/heartbeat", {}, headers=ann, tcp=True), 403, 3)
        refused(f.post("/v1/swarms/none/heartbeat", {}, headers=ann, tcp=True), 404, 404)
        refused(f.post("/v1/swarms/near/heartbeat", {"for": 3600}, headers=bob, tcp=True), 400, 208)
        refused(f.get("/v1/swarms/near", headers=ann, tcp=True), 404, 404)  # not of hers
        assert claim(f, headers=ann, tcp=True).status == 204 and state(f) == "IDLE"  # a look for work says so, too
        assert [e["operation"] for e in f.entries(size)] == ["task_refused", "task_refused"]  # refusals; of heartbeats there is nothing
        # help is asked of who is there
        create(f, "t")
        fence = claim(f, headers=ann, tcp=True).json["fence"]
        assert state(f) == "WORKING"
        assert act(f, "t", "block", fence=fence, needs=["go"]).json["state"] == "blocked" and state(f) == "BLOCKED"
        helped = [e for e in f.entries(size) if e["operation"] == "help_assigned"]
        assert [e["payload"]["swarm"] for e in helped] == ["near"], helped
        assert state(f, "near") == "ACTIVE"
        away = {c["candidate"]: c["why"] for c in f.get("/v1/governor/match?needs=go").json["items"]}
        assert away["far"] == "not heard of, or in error" and away["near"] == "fits", away
        f.stop()
        f.start()
        assert state(f, "far") == "IDLE"  # after a start everyone has time to come back
        put(125)
        assert state(f, "far") == "OFFLINE"
        f.verify()
    finally:
        unshimmed()


def test_counts_of_tasks_come_with_every_page(f):
    f.enrol("Ann")
    ann = bearer(token(f, "Ann")[0])
    swarm(f, members=["Ann"], concurrency=10)
    for i in range(4):
        create(f, f"t{i}")
    for i in range(2):
        fence = claim(f, id=f"t{i}").json["fence"]
    assert act(f, "t1", "progress", fence=fence, percent=1).status == 200
    counts = {"queued": 2, "claimed": 1, "running": 1, "blocked": 0, "dead": 0}
    page = f.get("/v1/tasks?limit=1").json
    assert page["counts"] == counts and len(page["items"]) == 1 and page["next"] is not None, page
    worked = f.get("/v1/tasks?state=claimed,running,blocked").json
    assert worked["counts"] == counts and [t["id"] for t in worked["items"]] == ["t0", "t1"] and worked["next"] is None, worked
    for wrong in ("", "done", "queued,", ",queued", "queued,done", "queued running"):
        refused(f.get("/v1/tasks?state=" + wrong.replace(" ", "%20")), 400, 208)
    assert "counts" not in f.get("/v1/tasks", headers=ann, tcp=True).json  # how much there is of others' is not hers to know
    for state_, n in counts.items():
        assert metric(f, f'ifab_tasks{{state="{state_}"}}') == n


def test_what_help_cost_and_came_to(f):
    # INV-10
    cli = Cli(f)
    swarm(f, concurrency=10)
    swarm(f, "near", skills=["go"], concurrency=10)
    for i in range(3):
        create(f, f"t{i}", budget={"usd_micro": 400})
        fence = claim(f, id=f"t{i}").json["fence"]
        assert act(f, f"t{i}", "block", fence=fence, needs=["go"]).status == 200
        helper = claim(f, of="near").json
        assert helper["task"]["budget"] == {"usd_micro": 400} and helper["task"]["parent"] == f"t{i}", helper
        if i == 0:
            assert act(f, helper["task"]["id"], "complete", fence=helper["fence"], cost={"usd_micro": 300}).status == 200
        elif i == 1:  # it goes on without its helper, who is at work
            assert act(f, f"t{i}", "unblock", fence=fence).status == 200
            refused(act(f, helper["task"]["id"], "complete", fence=helper["fence"], cost={"usd_micro": 1}), 409, 605)
        else:
            assert act(f, helper["task"]["id"], "fail", fence=helper["fence"], kind="poison", error="no", cost={"usd_micro": 100}).status == 200
    sums = {"asked": 3, "completed": 1, "cost": {"usd_micro": 400}, "waste_permille": 250, "wasted": {"usd_micro": 100}}
    expected = {"items": [{"swarm": "near", **sums}], "next": None, "total": sums}
    assert f.get("/v1/governor/waste").json == expected
    assert cli.json("governor", "waste") == expected
    rows = cli.wants(0, "governor", "waste", "-o", "csv").out.splitlines()
    assert rows[1:] == ['"near","3","1","400","100","250"'], rows
    assert [line.split()[0] for line in cli.wants(0, "governor", "waste", "-o", "table").out.splitlines()[1:]] == ["near", "total"]
    assert metric(f, "ifab_help_cost_usd_micro_total") == 400 and metric(f, "ifab_help_wasted_usd_micro_total") == 100
    assert metric(f, "ifab_help_asked_total") == 3 and metric(f, "ifab_help_completed_total") == 1
    f.kill()
    f.start()
    assert f.get("/v1/governor/waste").json == expected
    with restored(f, backup(f)) as g:
        g.start()
        assert g.get("/v1/governor/waste").json == expected
        stated = [e["payload"]["help"] for e in g.entries() if e["operation"] == "register" and "help" in e["payload"]]
        assert stated == [{"asked": 3, "completed": 1, "cost_usd_micro": 400, "wasted_usd_micro": 100}], stated
        g.verify()
    f.verify()


def make(f, id, wait_ms=30000, headers=None, **more):
    body = {"id": id, "type": "job", "needs": ["sql"], "swarm": "data", "why": "test", "wait_ms": wait_ms, **more}
    return f.post("/v1/tasks", body, headers=headers)


def waiting(f, count):
    wait_for(lambda: metric(f, "ifab_waiters") == count, 10)


def test_a_full_queue_lets_its_makers_wait(f):
    # INV-12
    swarm(f, queue={"limit": 2, "policy": "block"}, concurrency=100)
    for i in range(2):
        assert make(f, f"t{i}").status == 201
    got = {}

    def waits(i):
        got[i] = make(f, f"t{i}")

    threads = []
    for i in range(2, 7):
        threads.append(threading.Thread(target=waits, args=(i,)))
        threads[-1].start()
        waiting(f, i - 1)  # one after the other, so that it is known who waits longest
    size = f.size()
    refused(make(f, "t0"), 409, 409)  # would be refused however long it waited
    refused(make(f, "impatient", 0), 503, 304)
    r = make(f, "patient", 200)
    assert r.code == 304 and r.headers["retry-after"] == "1" and r.error["retryable"] is True, r
    assert [e["subject"] for e in f.entries(size)] == ["t0", "impatient", "patient"]  # one entry each, and none of those who wait
    assert f.get("/v1/tasks/t2").status == 404
    for i in range(2, 7):  # each place that gets free is that of who waits longest
        assert claim(f).json["task"]["id"] == f"t{i - 2}"
        wait_for(lambda: i in got, 10)
        assert got[i].status == 201 and sorted(got) == list(range(2, i + 1)), got
    for t in threads:
        t.join(20)
    waiting(f, 0)
    refused(make(f, "one more", 0), 400, 208)
    refused(make(f, "onemore", 0), 503, 304)
    f.verify()


def test_who_waits_for_room_and_goes_makes_no_task(f):
    swarm(f, queue={"limit": 1, "policy": "block"})
    assert make(f, "first").status == 201
    size = f.size()
    conn = f.conn()
    body = json.dumps({"id": "gone", "type": "job", "swarm": "data", "why": "w", "wait_ms": 20000}).encode()
    conn.send(conn.bytes_of("POST", "/v1/tasks", body, JSON))
    waiting(f, 1)
    conn.close()
    wait_for(lambda: metric(f, "ifab_waiters") == 0, what="nobody waits", at_most=15)  # before the end of its wait
    assert claim(f).status == 200
    assert make(f, "next", 0).status == 201
    assert f.get("/v1/tasks/gone").status == 404 and "gone" not in {e["subject"] for e in f.entries(size)}


def test_waiting_for_room_is_bounded_and_ends_with_its_reason(f):
    # INV-12 INV-15
    f.enrol("Maker"), f.enrol("Other")
    secret, made = token(f, "Maker")
    maker, other = bearer(secret), bearer(token(f, "Other")[0])
    swarm(f, queue={"limit": 1, "policy": "block"}, concurrency=10)
    assert make(f, "first").status == 201
    got = []

    def waits(i, headers):
        got.append((i, f.post("/v1/tasks", {"id": f"w{i}", "type": "job", "swarm": "data", "why": "w", "wait_ms": 30000}, headers=headers, tcp=True)))

    def begin(count, headers, upto):
        threads = [threading.Thread(target=waits, args=(i, headers)) for i in range(upto - count, upto)]
        for t in threads:
            t.start()
        waiting(f, upto)
        return threads

    threads = begin(16, maker, 16)
    refused(f.post("/v1/tasks", {"id": "more", "type": "job", "swarm": "data", "why": "w", "wait_ms": 30000}, headers=maker, tcp=True), 503, 304)  # 16 each
    threads += begin(1, other, 17)
    assert f.post(f"/v1/tokens/{made['id']}/revoke", {"why": "lost"}).status == 200  # who waits by it is let wait no more
    wait_for(lambda: len(got) == 16, 10)
    assert {(r.status, r.code) for _, r in got} == {(401, 2)}, got
    waiting(f, 1)
    swarm(f, queue={"limit": 1, "policy": "reject"}, concurrency=10)  # there is nothing to wait for any more
    for t in threads:
        t.join(20)
    assert (got[-1][1].status, got[-1][1].code) == (503, 304), got[-1]
    swarm(f, queue={"limit": 1, "policy": "block"}, concurrency=10)
    late = threading.Thread(target=waits, args=(99, other))
    late.start()
    waiting(f, 1)
    swarm(f, queue={"limit": 2, "policy": "block"}, concurrency=10)  # a larger queue has room
    late.join(20)
    assert got[-1][1].status == 201, got[-1]
    again = threading.Thread(target=waits, args=(100, other))
    again.start()
    waiting(f, 1)
    assert f.stop() == 0  # a stop waits for nobody who waits
    again.join(20)
    assert (got[-1][1].status, got[-1][1].code) == (503, 304), got[-1]
    f.start()
    assert f.get("/v1/tasks/w99").status == 200 and f.get("/v1/tasks/w100").status == 404


def test_a_create_that_waits_is_made_once_whoever_repeats_it(f):
    cli = Cli(f)
    swarm(f, queue={"limit": 1, "policy": "block"}, concurrency=10)
    assert make(f, "first").status == 201
    got, key = [], {"Idempotency-Key": "once"}
    threads = [threading.Thread(target=lambda: got.append(make(f, "t", headers=key))) for _ in range(3)]
    for t in threads:
        t.start()
    waiting(f, 3)
    for _ in range(2):
        assert claim(f, wait_ms=20000).status == 200
    for t in threads:
        t.join(20)
    assert [r.status for r in got] == [201] * 3 and len({r.body for r in got}) == 1, got
    assert len([e for e in f.entries() if e["operation"] == "create" and e["subject"] == "t"]) == 1
    cli.wants(0, "task", "create", "u", "--type", "job", "--swarm", "data", "--why", "w", "--wait", "1s")
    assert "IF_ERR_304" in cli.wants(13, "task", "create", "v", "--type", "job", "--swarm", "data", "--why", "w", "--wait", "0s").err
    cli.wants(2, "task", "create", "v", "--type", "job", "--swarm", "data", "--why", "w", "--wait", "31s")
    f.verify()


def stream(f, headers, after=0, target="/v1/events?component=IF.coordinator"):
    c = f.conn(tcp=True)
    c.send(c.bytes_of("GET", target, None, {**headers, "Accept": "text/event-stream", "Last-Event-ID": f"main/{after}"}))
    status, _ = c.head()
    assert status == 200, status
    return Events(c)


def until(events, subject, operation="create"):
    """(operation, subject) of each event up to this one."""
    seen = []
    while not seen or seen[-1] != (operation, subject):
        entry = json.loads(events.next()["data"])
        seen.append((entry["operation"], entry["subject"]))
    return seen


def test_an_agent_follows_its_own_tasks_and_nobody_elses(f):
    for name in ("Ann", "Bob", "Eve"):
        f.enrol(name)
    ann, bob, eve = (bearer(token(f, name)[0]) for name in ("Ann", "Bob", "Eve"))
    swarm(f, members=["Bob"])
    swarm(f, "code", members=["Eve"])
    live = {name: stream(f, headers) for name, headers in (("ann", ann), ("bob", bob), ("eve", eve))}

    def makes(headers, id, **more):
        r = f.post("/v1/tasks", {"id": id, "type": "job", "why": "w", **more}, headers=headers, tcp=True)
        assert r.status == 201, r
        return r.json

    makes(ann, "hers", payload={"a": 1})
    create(f, "open")  # anybody's, and so far nobody's
    create(f, "secret", swarm="code")
    create(f, "dropped", swarm="data")
    assert f.post("/v1/tasks/dropped/cancel", {"why": "not needed"}).status == 200  # nobody had it
    got = claim(f, id="hers", headers=bob, tcp=True).json
    refused(claim(f, of="code", id="hers", headers=eve, tcp=True), 409, 602)
    assert act(f, "hers", "complete", headers=bob, tcp=True, fence=got["fence"], result={"rows": 7}).status == 200
    makes(ann, "end-a"), create(f, "end-b", swarm="data"), create(f, "end-e", swarm="code")
    expected = {
        "ann": ("end-a", [("create", "hers"), ("claim", "hers"), ("complete", "hers"), ("create", "end-a")]),
        "bob": ("end-b", [("create", "hers"), ("create", "dropped"), ("cancel", "dropped"), ("claim", "hers"), ("complete", "hers"), ("create", "end-b")]),
        "eve": ("end-e", [("create", "secret"), ("task_refused", "hers"), ("create", "end-e")]),
    }
    for name, headers in (("ann", ann), ("bob", bob), ("eve", eve)):
        last, wanted = expected[name]
        told = until(live[name], last)
        if name == "bob":  # while it was anybody's he was not told of it
            assert told == [e for e in wanted if e != ("create", "hers")] or told == wanted, told
        else:
            assert told == wanted, (name, told)
        assert until(stream(f, headers), last) == wanted, name  # and from the beginning, by what is known now
    # one by its index: as in the stream; the bytes beside it are the task's own route's
    index = got["entry"]["index"]
    assert f.get(f"/v1/witness/entries/{index}", headers=ann, tcp=True).json["actor"] == "if://agent/Bob"
    refused(f.get(f"/v1/witness/entries/{index}", headers=eve, tcp=True), 404, 404)
    closed = f.get("/v1/tasks/hers", headers=ann, tcp=True).json
    assert closed["result"] == {"rows": 7}
    refused(f.get(f"/v1/witness/messages/{closed['entry']['index']}", headers=ann, tcp=True), 404, 404)
    # who is no member any more is told no more, on the stream that is open as well
    swarm(f, members=["Ann"])
    create(f, "later", swarm="data")
    makes(bob, "bobs")
    assert until(live["bob"], "bobs") == [("create", "bobs")]
    assert {subject for _, subject in until(live["ann"], "later")} <= {"end-b", "later"}  # nor is who has become one told less
    f.verify()


def test_streams_of_agents_are_bounded(f):
    # INV-12
    f.enrol("Ann"), f.enrol("Bob")
    ann, bob = (bearer(token(f, name)[0]) for name in ("Ann", "Bob"))
    held = [stream(f, ann) for _ in range(4)]
    refused(f.get("/v1/events", headers={**ann, "Accept": "text/event-stream"}, tcp=True), 429, 305)
    held.append(stream(f, bob))
    held.pop(0).conn.close()
    wait_for(lambda: metric(f, "ifab_waiters") == 4, 10)
    held.append(stream(f, ann))
    for events in held:
        events.conn.close()


def test_an_agent_watches_its_tasks_by_the_command_line(f):
    f.enrol("Ann")
    secret, _ = token(f, "Ann")
    path = f"{f.root}/ann.token"
    with open(path, "w") as out:
        out.write(secret + "\n")
    cli = Cli(f)
    way = ("--endpoint", f"http://127.0.0.1:{f.tcp[1]}", "--token-file", path)
    swarm(f)
    made = cli.json("task", "create", "hers", "--type", "job", "--needs", "sql", "--why", "w", *way)
    assert made["creator"] == "if://agent/Ann", made
    with Follow(cli, "task", "watch", *way) as every, Follow(cli, "task", "watch", "hers", *way) as one:
        wait_for(lambda: len(one.items) == 1, 10)
        fence = claim(f, id="hers").json["fence"]
        create(f, "others")
        assert act(f, "others", "cancel", why="w").status == 200
        assert act(f, "hers", "complete", fence=fence).status == 200
        wait_for(lambda: [e["operation"] for e in one.items] == ["create", "claim", "complete"], 10)
        one.p.wait(PATIENCE)
        assert one.p.returncode == 0
        wait_for(lambda: every.items and every.items[-1]["operation"] == "complete", 10)
        assert {e["subject"] for e in every.items} == {"hers"}, every.items
    assert "complete" in cli.wants(0, "task", "watch", "hers", *way).out  # closed already
    assert "IF_ERR_601" in cli.wants(14, "task", "watch", "others", *way).err


def test_payload_and_result_of_a_task_are_erased_for_good(f):
    # INV-05
    cli = Cli(f)
    swarm(f)
    made = create(f, "t", payload={"of": "a person"})
    index = made["index"]
    fence = claim(f).json["fence"]
    done = act(f, "t", "complete", fence=fence, result={"their": "name"}).json["entry"]["index"]
    assert f.get(f"/v1/witness/messages/{index}").body == b'{"of":"a person"}'

    def erase(**body):
        return f.admin("/v1/witness/erase", body)

    for body in ({}, {"entry": index, "id": "msg-019a7782-7ae4-7cc7-a09b-d3061f2ba94a"}, {"entry": index, "sender": "if://agent/X"}, {"entry": -1}):
        refused(erase(**body), 400, 208)
    refused(f.post("/v1/witness/erase", {"entry": index, "why": "w"}), 403, 3)  # an admin's act
    for nothing in (0, fence, 10**6):  # no bytes; no such entry
        refused(erase(entry=nothing), 404, 404)
    size = f.size()
    assert erase(entry=index).status == 200
    entry = f.entries(size)[0]
    assert (entry["component"], entry["operation"], entry["subject"], entry["payload"]) == ("IF.witness", "erase", "t", {"entry": index}), entry
    wait_for(lambda: f.get(f"/v1/witness/messages/{index}").status == 404, 10)
    refused(erase(entry=index), 404, 404)
    assert f.get(f"/v1/witness/messages/{done}").body == b'{"their":"name"}'
    cli.wants(2, "witness", "erase", str(done), "--sender", "if://agent/X", "--why", "w")
    cli.wants(0, "witness", "erase", str(done), "--why", "w")
    assert "IF_ERR_404" in cli.wants(12, "witness", "erase", str(done), "--why", "w").err
    wait_for(lambda: "result" not in f.get("/v1/tasks/t").json, 10)
    create(f, "u", payload={"of": "another"})
    assert erase(entry=f.get("/v1/tasks/u").json["index"]).status == 200
    assert claim(f).json["task"]["payload"] is None
    f.stop()
    data = b"".join(path.read_bytes() for path in pathlib.Path(f.dir, "data").glob("main.db*"))
    assert b"a person" not in data and b"another" not in data
    f.start()
    f.verify()


def test_a_member_reports_costs_for_its_swarm(f):
    # INV-10
    f.enrol("Ann"), f.enrol("Eve")
    ann, eve = (bearer(token(f, name)[0]) for name in ("Ann", "Eve"))
    swarm(f, members=["Ann"])
    assert f.admin("/v1/budgets", {"id": "purse", "subject": "swarm", "name": "data", "unit": "usd_micro", "period": "total", "limit": 1000}).status == 201
    cost = {"cost": {"usd_micro": 300}, "swarm": "data"}
    r = f.post("/v1/costs", cost, headers=ann, tcp=True)
    assert r.status == 201 and r.json["budgets"] == [{"id": "purse", "left": 700, "level": "open", "unit": "usd_micro"}], r
    refused(f.post("/v1/costs", cost, headers=eve, tcp=True), 403, 3)
    refused(f.post("/v1/costs", {**cost, "swarm": "none"}, headers=ann, tcp=True), 403, 3)
    refused(f.post("/v1/costs", {**cost, "swarm": "data", "talent": "Eve"}, headers=ann, tcp=True), 403, 3)
    held = f.post("/v1/reservations", cost, headers=ann, tcp=True)
    assert held.status == 201 and held.json["reservation"]["swarm"] == "data" and held.json["reservation"]["budgets"] == ["purse"], held
    refused(f.post("/v1/reservations", cost, headers=eve, tcp=True), 403, 3)
    swarm(f, members=["Eve"])
    refused(f.post("/v1/costs", cost, headers=ann, tcp=True), 403, 3)  # who is none any more
    spent = f.post(f"/v1/reservations/{held.json['reservation']['id']}/settle", {"cost": {"usd_micro": 200}}, headers=ann, tcp=True)
    assert spent.status == 200, spent  # what was held is settled all the same
    assert next(b for b in f.get("/v1/budgets").json["items"] if b["id"] == "purse")["spent"] == 500
    f.verify()


def test_a_stopped_swarm_says_no_time_at_which_it_goes_on(f):
    swarm(f)
    for i in range(4):
        create(f, f"t{i}")
    for i in range(3):
        assert act(f, f"t{i}", "fail", fence=claim(f, id=f"t{i}").json["fence"], kind="transient", error="no").status == 200
    r = claim(f, id="t3")
    refused(r, 503, 303)
    assert "retry_after_ms" not in r.error and "retry-after" not in r.headers, r
    assert "governor reset" in r.error["hint"] and state(f) == "ERROR", r
    assert f.post("/v1/breakers/reset", {"breaker": "swarm:data", "why": "mended"}).status == 200
    assert claim(f).status == 200 and state(f) == "WORKING"

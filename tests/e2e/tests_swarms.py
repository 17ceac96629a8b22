"""How swarms are, what help came to, queues at which a maker waits, and agents that follow their own tasks. INV-10, INV-11, INV-12, INV-15."""

import json
import threading
import time

from cli import Cli
from fabric import wait_for
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
    sums = {"asked": 3, "completed": 1, "cost": {"usd_micro": 800}, "waste_permille": 625, "wasted": {"usd_micro": 500}}
    expected = {"items": [{"swarm": "near", **sums}], "next": None, "total": sums}
    assert f.get("/v1/governor/waste").json == expected
    assert cli.json("governor", "waste") == expected
    rows = cli.wants(0, "governor", "waste", "-o", "csv").out.splitlines()
    assert rows[1:] == ['"near","3","1","800","500","625"'], rows
    assert [line.split()[0] for line in cli.wants(0, "governor", "waste", "-o", "table").out.splitlines()[1:]] == ["near", "total"]
    assert metric(f, "ifab_help_cost_usd_micro_total") == 800 and metric(f, "ifab_help_wasted_usd_micro_total") == 500
    assert metric(f, "ifab_help_asked_total") == 3 and metric(f, "ifab_help_completed_total") == 1
    f.kill()
    f.start()
    assert f.get("/v1/governor/waste").json == expected
    with restored(f, backup(f)) as g:
        g.start()
        assert g.get("/v1/governor/waste").json == expected
        stated = [e["payload"]["help"] for e in g.entries() if e["operation"] == "register" and "help" in e["payload"]]
        assert stated == [{"asked": 3, "completed": 1, "cost_usd_micro": 800, "wasted_usd_micro": 500}], stated
        g.verify()
    f.verify()

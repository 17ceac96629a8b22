"""Tasks where one could be in another's way: what is dear, who waits, who fills a queue, who reads; and what a restore leaves behind. INV-10, INV-11."""
import threading

from cli import Cli
from fabric import wait_for
from tests_backups import backup, restored
from tests_money import set_budget, sums
from tests_tasks import JSON, act, claim, create, swarm
from tests_tasks_cli import Worker
from tests_tasks_proofs import create_many, shimmed, unshimmed
from tests_tokens import bearer, refused, token


def agent(f, name):
    f.enrol(name)
    return {**JSON, **bearer(token(f, name)[0])}


def budget(f, name, limit):
    assert set_budget(f, f"b-{name}", f"swarm:{name}", limit, "usd_micro", "total").status == 201


def made_by(f, headers, id, **more):
    return f.post("/v1/tasks", {"id": id, "type": "job", "needs": ["sql"], "why": "test", **more}, headers=headers, tcp=True)


def waiting(f, of, answers):
    """A claim that waits, in a thread of its own; its answer comes into answers[of]."""

    def ask():
        answers[of] = claim(f, of, wait_ms=25000)

    before = f.get("/metrics").body
    thread = threading.Thread(target=ask)
    thread.start()
    wait_for(lambda: waiters(f.get("/metrics").body) > waiters(before), what="the claim waits")
    return thread


def waiters(text):
    return sum(float(line.split()[-1]) for line in text.decode().splitlines() if line.startswith("ifab_waiters"))


def test_the_same_backup_restored_twice_gives_no_fence_twice(f):
    # INV-11: whoever claimed from the first is refused by the second; and again from a backup of what was restored
    swarm(f, concurrency=100)
    for id in ("t", "u", "done"):
        create(f, id)
    assert act(f, "done", "complete", fence=claim(f, id="done").json["fence"], result={"r": 1}).status == 200
    path = backup(f)
    assert f.stop() == 0
    fences, held, lost = [], [], f
    for round in range(4):
        with restored(f, path, f"n{round}", lost) as g:
            g.start()
            for fence in held:
                refused(act(g, "t", "complete", fence=fence), 409, 603)
            for id in ("t", "u"):
                fences.append(claim(g, id=id).json["fence"])
            held.append(fences[-2])
            for fence in held[:-1]:
                refused(act(g, "t", "complete", fence=fence), 409, 603)
            r = g.get("/v1/tasks/done").json  # the entry that closed it, and the time, stand in the lost log
            assert r == {"id": "done", "state": "done"}, r
            if round == 1:
                path, lost = backup(g, "again"), g
            g.verify()
    assert len(set(fences)) == len(fences) and fences == sorted(fences), fences
    assert max(fences) < 1 << 53


def test_what_a_task_held_is_free_after_a_restore(f):
    # INV-10: it is claimed again within the same budget
    swarm(f)
    budget(f, "data", 100)
    create(f, "t", budget={"usd_micro": 100}, priority="P0")
    assert claim(f, id="t").status == 200
    path = backup(f)
    assert f.stop() == 0
    with restored(f, path) as g:
        g.start()
        assert g.get("/v1/reservations").json["items"] == []
        r = claim(g, id="t")
        assert r.status == 200, r
        assert act(g, "t", "complete", fence=r.json["fence"], cost={"usd_micro": 70}).status == 200
        g.verify()


def test_a_dear_task_does_not_stop_claims(f):
    eve = agent(f, "Eve")
    for name in ("a", "b"):
        swarm(f, name)
        budget(f, name, 1000)
    assert made_by(f, eve, "pill", priority="P0", budget={"usd_micro": 2**53 - 1}).status == 201
    create(f, "dear", swarm="a", budget={"usd_micro": 5000})
    create(f, "cheap", swarm="a", budget={"usd_micro": 10})
    r = claim(f, "a")
    assert r.status == 200 and r.json["task"]["id"] == "cheap", r
    refused(claim(f, "a"), 402, 301)
    create(f, "other", swarm="b")
    assert claim(f, "b").json["task"]["id"] == "other"
    create(f, "later", swarm="b")
    with Worker(Cli(f), "--max", "1", swarm="a") as w:  # it waits while its swarm cannot pay, and goes on
        before = refusals(f)
        wait_for(lambda: refusals(f) > before, what="the worker is refused")
        create(f, "now", swarm="a", budget={"usd_micro": 10})
        assert w.end(60)[0] == 0
    assert f.get("/v1/tasks/now").json["state"] == "done"


def test_who_waits_for_a_person_waits_no_longer_than_told(f):
    """A swarm that is stopped (303) is waited for like a budget without room, and --wait is for both."""
    swarm(f)
    budget(f, "data", 10)
    assert f.post("/v1/costs", {"swarm": "data", "cost": {"usd_micro": 11}}).status == 402
    create(f, "t")
    refused(claim(f), 503, 303)
    with Worker(Cli(f), "--wait", "300ms") as w:
        assert w.end(60)[0] == 0
    assert f.get("/v1/tasks/t").json["state"] == "queued"


def refusals(f):
    lines = f.get("/metrics").body.decode().splitlines()
    return sum(int(line.split()[-1]) for line in lines if line.startswith('ifab_refusals_total{code="301"}'))


def told(f):
    return [e["why"] for e in f.entries() if e["operation"] == "task_refused"]


def test_who_waits_for_money_stands_in_the_log_once(f):
    # DESIGN section 5, Witness: refused and counted each time, told once for each state of the budget; a start costs one more entry
    swarm(f)
    budget(f, "data", 100)
    create(f, "t", budget={"usd_micro": 200})
    with Worker(Cli(f), "--max", "1") as w:
        wait_for(lambda: refusals(f) >= 3, 60, "the worker has asked again and again")
        size, before = f.size(), refusals(f)
        for _ in range(20):  # another client of the same user
            r = claim(f, wait_ms=1000)
            refused(r, 402, 301)
            assert r.json["error"]["hint"] and r.json["error"]["field"] == "budget" and not r.json["error"]["retryable"], r.json
        assert refusals(f) >= before + 20
        assert f.size() <= size + 1 and len(told(f)) == 1, told(f)  # one more where a minute was over: the counts
        set_budget(f, "b-data", "swarm:data", 150, "usd_micro", "total")
        wait_for(lambda: len(told(f)) == 2, 60, "what is lacking now is told")
        assert "150 of 150" in told(f)[1], told(f)
        total = refusals(f)
        assert f.stop() == 0
        f.start()
        counted = sum(c["count"] for e in f.entries() if e["operation"] == "refusals_counted" for c in e["payload"]["counts"] if c["code"] == "IF_ERR_301")
        assert counted >= total - 2, f"{total} refusals, two told, {counted} counted: none is lost to the log"
        wait_for(lambda: refusals(f) >= 2, 60, "the worker asks after the start")
        assert len(told(f)) == 3, told(f)
        set_budget(f, "b-data", "swarm:data", 200, "usd_micro", "total")
        assert w.end(60)[0] == 0
    assert f.get("/v1/tasks/t").json["state"] == "done"
    f.verify()


def test_who_is_refused_leaves_the_task_to_the_next(f):
    # two wait; the first is told of a task that its budget has no room for: the second has it at once, not at the end of its wait
    for name in ("a", "b"):
        swarm(f, name)
    budget(f, "a", 10)
    answers = {}
    threads = [waiting(f, "a", answers), waiting(f, "b", answers)]
    create(f, "x", budget={"usd_micro": 100})
    for t in threads:
        t.join()
    refused(answers["a"], 402, 301)
    assert answers["b"].status == 200 and answers["b"].json["task"]["id"] == "x", answers


def test_everyone_who_waits_at_a_queue_of_its_own_is_told(f):
    names = [f"s{i}" for i in range(50)]
    for name in names:
        swarm(f, name)
    answers = {}

    def ask(name):
        answers[name] = claim(f, name, wait_ms=25000)

    threads = [threading.Thread(target=ask, args=(n,)) for n in names]
    for t in threads:
        t.start()
    wait_for(lambda: waiters(f.get("/metrics").body) == len(names), what="all of them wait")
    create_many(f, [{"id": f"for-{n}", "swarm": n} for n in names])
    for t in threads:
        t.join()
    assert {n: r.json["task"]["id"] for n, r in answers.items()} == {n: f"for-{n}" for n in names}


def test_who_has_a_task_that_was_open_to_all_is_nobody_elses_business(f):
    ann, bob, eve = (agent(f, n) for n in ("Ann", "Bob", "Eve"))
    swarm(f, "data", members=["Bob"])
    swarm(f, "other", skills=["zzz"], members=["Eve"])
    assert made_by(f, ann, "hers").status == 201
    assert f.get("/v1/tasks/hers", headers=eve, tcp=True).status == 200, "whoever may take it"
    fence = claim(f, id="hers", headers=bob, tcp=True).json["fence"]
    assert act(f, "hers", "progress", headers=bob, tcp=True, fence=fence, percent=5, note="private").status == 200
    refused(f.get("/v1/tasks/hers", headers=eve, tcp=True), 404, 601)
    assert f.get("/v1/tasks", headers=eve, tcp=True).json["items"] == []
    for who in (ann, bob):
        assert f.get("/v1/tasks/hers", headers=who, tcp=True).json["note"] == "private"


def test_an_id_that_is_used_again_shows_nothing_of_the_one_before(f):
    put = shimmed(f, True)
    try:
        f.start()
        ann = agent(f, "Ann")
        f.enrol("Bob")
        swarm(f, "data", members=["Ann"])
        made = made_by(f, ann, "payroll", why="Ann's reason").json["entry"]["index"]
        fence = claim(f, id="payroll", headers=ann, tcp=True).json["fence"]
        assert act(f, "payroll", "complete", headers=ann, tcp=True, fence=fence, note="paid").status == 200
        ended = f.size() - 1
        assert f.stop() == 0
        put(31 * 86400)
        f.start()
        bob = {**JSON, **bearer(token(f, "Bob")[0])}
        wait_for(lambda: f.get("/v1/tasks/payroll").status == 404, what="the id is free again")
        again = made_by(f, bob, "payroll")
        assert again.status == 201, again
        for i in (made, ended):
            refused(f.get(f"/v1/witness/entries/{i}", headers=bob, tcp=True), 404, 404)
        mine = again.json["entry"]["index"]
        assert f.get(f"/v1/witness/entries/{mine}", headers=bob, tcp=True).status == 200
        assert act(f, "payroll", "cancel", headers=bob, tcp=True, why="x").status == 200  # closed: the same
        for i in (made, ended):
            refused(f.get(f"/v1/witness/entries/{i}", headers=bob, tcp=True), 404, 404)
        assert f.get(f"/v1/witness/entries/{mine}", headers=bob, tcp=True).status == 200
    finally:
        unshimmed()


def test_a_stranger_fills_half_of_a_queue_and_sheds_nothing_of_others(f):
    eve, ann = agent(f, "Eve"), agent(f, "Ann")
    swarm(f, "a", members=["Ann"], queue={"limit": 10, "policy": "shed-lowest"})
    for i in range(5):
        assert made_by(f, eve, f"e{i}", swarm="a", priority="P1", not_before="2099-01-01T00:00:00Z").status == 201
    r = made_by(f, eve, "more", swarm="a", priority="P0")
    assert r.status == 429 and r.code == 305, r
    for i in range(5):
        assert made_by(f, ann, f"a{i}", swarm="a", priority="P3").status == 201
    bob = agent(f, "Bob")
    refused(made_by(f, bob, "b0", swarm="a", priority="P0"), 503, 304)
    assert made_by(f, ann, "a5", swarm="a", priority="P2").status == 201
    assert f.get("/v1/tasks/a0").json["state"] == "dead", "a member's task sheds the least"
    r = f.post("/v1/tasks/a0/replay", {"why": "again"}, headers=ann, tcp=True)
    refused(r, 503, 304)
    assert f.get("/v1/swarms/a").json["queued"] == 10

"""What tasks promise, at a scale and in weather that shows it: races, clocks that jump, starts, restores, fair shares. INV-11."""

import collections
import json
import os
import shutil
import signal
import subprocess
import threading
import time

from fabric import Skip, wait_for
from tests_backups import backup, restored
from tests_tasks import JSON, act, claim, create, swarm
from tests_tokens import bearer, refused, token


def pipeline(conn, requests):
    """All out at once; the answers in order."""
    conn.send(b"".join(conn.bytes_of("POST", target, json.dumps(body).encode(), headers) for target, body, headers in requests))
    return [conn.read() for _ in requests]


def create_many(f, bodies, headers=None):
    with f.conn() as c:
        for at in range(0, len(bodies), 50):
            some = [("/v1/tasks", {"type": "job", "needs": ["sql"], "why": "test", **b}, {**JSON, **(headers or {})}) for b in bodies[at : at + 50]]
            while some:  # beside many other connections one may not have so much under way: what is not taken is sent again
                answers = pipeline(c, some)
                assert all(r.status == 201 or r.error["code"] == "IF_ERR_304" and "waits to be decided" in r.error["message"] for r in answers), answers
                assert answers[0].status == 201, answers
                some = [one for one, r in zip(some, answers) if r.status != 201]


def test_ten_thousand_claims_of_a_hundred_tasks_have_one_winner_each(f):
    # 100 claimers, each another talent, each claims all 100 tasks; all at once, over connections of their own
    count = 100
    headers = []
    for n in range(count):
        f.enrol(f"Racer.{n}")
        headers.append({**JSON, **bearer(token(f, f"Racer.{n}")[0])})
    swarm(f, concurrency=1000, members=[f"Racer.{n}" for n in range(count)])
    create_many(f, [{"id": f"t{i}"} for i in range(count)])
    before, gate, won, others = f.size(), threading.Barrier(count), [], collections.Counter()

    def race(n):
        order = [(i + n) % count if n % 2 else (n - i) % count for i in range(count)]
        with f.conn() as c:
            gate.wait()
            while order:
                later = []  # what was too much at once is asked again, until each of the 10,000 has its answer
                for i, r in zip(order, pipeline(c, [(f"/v1/tasks/t{i}/claim", {"swarm": "data"}, headers[n]) for i in order])):
                    if r.status == 200:
                        won.append((i, r.json["fence"], n))
                    elif r.code == 304:
                        later.append(i)
                    else:
                        others[r.code] += 1
                order = later

    threads = [threading.Thread(target=race, args=(n,)) for n in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(won) + sum(others.values()) == count * count
    assert sorted(i for i, _, _ in won) == list(range(count)), "a task with two winners, or with none"
    assert others == {602: count * count - count}, others
    assert len({fence for _, fence, _ in won}) == count
    claims = [e for e in f.entries(before) if e["component"] == "IF.coordinator" and e["operation"] == "claim"]
    assert sorted((int(e["subject"][1:]), e["payload"]["fence"]) for e in claims) == sorted((i, fence) for i, fence, _ in won)
    for i, fence, n in won[:5]:
        loser = headers[(n + 1) % count]
        refused(act(f, f"t{i}", "complete", headers=loser, fence=fence - 1), 409, 603)
        assert act(f, f"t{i}", "complete", headers=headers[n], fence=fence).status == 200
    return f"{len(won)} won, {sum(others.values())} refused; {len({n for _, _, n in won})} of {count} claimers won something"


def shimmed(f, all_clocks=False):
    """The daemon with a wall clock that can be set; how to set it (seconds off). all_clocks: time passes."""
    shim, off = os.path.join(f.root, "clock_shim.so"), os.path.join(f.root, "clock")
    if shutil.which("cc") is None:
        raise Skip("no cc for the clock that can be set")
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "clock_shim.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", shim, source], check=True)

    def put(seconds):
        with open(off + ".new", "w") as out:
            out.write(str(int(seconds * 1_000_000)))
        os.rename(off + ".new", off)

    put(0)
    f.stop()
    os.environ["LD_PRELOAD"], os.environ["IFAB_CLOCK_FILE"] = shim, off
    if all_clocks:
        os.environ["IFAB_CLOCK_ALL"] = "1"
    return put


def unshimmed():
    os.environ.pop("LD_PRELOAD", None)
    os.environ.pop("IFAB_CLOCK_FILE", None)
    os.environ.pop("IFAB_CLOCK_ALL", None)


def test_no_jump_of_the_clock_loses_or_doubles_a_lease(f):
    put = shimmed(f)
    try:
        f.start()
        swarm(f, concurrency=100)
        f.enrol("Other")
        swarm(f, "rivals", members=["Other"])
        rival = bearer(token(f, "Other")[0])
        create(f, "held")
        fence = claim(f, id="held", lease_ms=60000).json["fence"]
        jumps = (3600, -3600, 86400 * 3650, 30, -30, -86400 * 365, 59, 0)
        for seconds in jumps:
            put(seconds)
            ask_other = claim(f, of="rivals", id="held", headers=rival)
            refused(ask_other, 409, 602)
            shown = f.get("/v1/tasks/held").json
            assert (shown["state"], shown.get("fence"), shown["attempt"]) == ("claimed", fence, 1), (seconds, shown)
            assert act(f, "held", "renew", fence=fence).status == 200, seconds
            create(f, f"short{seconds}")
            swarm(f, f"slow{seconds}")  # one that fails three times is stopped
            first = claim(f, of=f"slow{seconds}", id=f"short{seconds}", lease_ms=200).json["fence"]  # and none stands for ever
            wait_for(lambda: f.get(f"/v1/tasks/short{seconds}").json["state"] == "queued", 10)
            refused(act(f, f"short{seconds}", "complete", fence=first), 409, 603)
        assert act(f, "held", "complete", fence=fence).status == 200
        claims = [e["subject"] for e in f.entries(0) if e["component"] == "IF.coordinator" and e["operation"] == "claim"]
        assert sorted(claims) == sorted(["held", *(f"short{s}" for s in jumps)]), claims
        f.verify()
    finally:
        unshimmed()


def test_a_jump_of_the_clock_that_a_request_meets_first_is_told_of_once(f):
    # each request reads the clock, and so do most reads; the turn that writes of a jump may come after all of them
    put = shimmed(f)

    def told():
        return sum((e["component"], e["operation"]) == ("IF.fabric", "clock_jump") for e in f.entries(0))

    try:
        f.start()
        swarm(f)
        create(f, "t")
        for n, (seconds, target) in enumerate(((3600, "/v1/swarms"), (-3600, "/v1/tasks/t"), (7200, "/v1/swarms/data"), (-7200, "/v1/tasks"))):
            with f.conn() as c:
                assert c.request("GET", target).status == 200  # a new connection may wake who tells of it
                put(seconds)
                assert c.request("GET", target).status == 200
            wait_for(lambda n=n: told() == n + 1, 20)
            put(0)
            wait_for(lambda: f.get("/readyz").status == 200, 20)  # it has come back, and is believed
        assert told() == 4
        f.verify()
    finally:
        unshimmed()


def test_a_clock_that_jumps_while_nothing_runs_loses_no_lease(f):
    # DESIGN, Time: after a start every lease gets its own length again, at most 60 s
    put = shimmed(f)
    try:
        f.start()
        swarm(f, concurrency=100)
        create(f, "t")
        fence = claim(f, id="t", lease_ms=60000).json["fence"]
        for seconds in (-3600, 3600, 7200):
            f.kill()
            put(seconds)
            f.start()
            time.sleep(0.5)  # what is due after a start is done
            shown = f.get("/v1/tasks/t").json
            assert (shown["state"], shown.get("fence")) == ("claimed", fence), (seconds, shown)
            assert act(f, "t", "renew", fence=fence).status == 200, seconds
        assert act(f, "t", "complete", fence=fence).status == 200
        f.verify()
    finally:
        unshimmed()


def test_a_lease_that_ran_out_while_nothing_ran_can_still_be_renewed(f):
    # its worker has gone on, and there was nobody whom it could have asked
    put = shimmed(f, all_clocks=True)
    try:
        f.start()
        swarm(f)
        create(f, "t")
        fence = claim(f, id="t", lease_ms=50000).json["fence"]
        f.kill()
        put(51)
        f.start()
        time.sleep(0.5)  # what is due after a start is done
        r = act(f, "t", "renew", fence=fence)
        assert r.status == 200, r
        assert act(f, "t", "complete", fence=fence).status == 200
    finally:
        unshimmed()


def test_no_fence_is_issued_twice_over_a_restore(f):
    swarm(f, concurrency=100)
    for name in ("queued", "held", "late", "over"):
        create(f, name)
    given = {name: claim(f, id=name, lease_ms=3600000).json["fence"] for name in ("held", "over")}
    assert act(f, "over", "complete", fence=given["over"]).status == 200
    path = backup(f)
    for name in ("late", "queued"):  # claimed after the backup: the new fabric knows nothing of these
        given[name] = claim(f, id=name, lease_ms=3600000).json["fence"]
    for i in range(40):
        create(f, f"more{i}")
        given[f"more{i}"] = claim(f, id=f"more{i}").json["fence"]
    most = max(given.values())
    assert f.stop() == 0
    g = restored(f, path)
    try:
        g.start()
        swarms = [s["id"] for s in g.get("/v1/swarms").json["items"]]
        assert swarms == ["data"], "the restored fabric has the swarms of the backup"
        for name in ("queued", "held", "late"):
            assert g.get(f"/v1/tasks/{name}").status == 200, f"task {name} of the backup is lost"
            refused(act(g, name, "complete", fence=given[name]), 409, 603)  # whoever claimed from the lost fabric holds nothing here
        assert g.get("/v1/tasks/over").json["state"] == "done"
        fences = [claim(g, id=name).json["fence"] for name in ("queued", "held", "late")]
        create(g, "fresh")
        fences.append(claim(g, id="fresh").json["fence"])
        assert min(fences) > most and fences == sorted(set(fences)), (fences, most)
        for name, old in given.items():
            if name in ("queued", "held", "late"):
                refused(act(g, name, "complete", fence=old), 409, 603)
        g.verify()
    finally:
        g.close()


def jain(counts):
    return sum(counts) ** 2 / (len(counts) * sum(c * c for c in counts))


def test_one_that_floods_takes_no_more_than_its_share(f):
    # 50 swarms with equal demand, one of them makes fifty times as much: what each is served while all have work
    count, each, flood, served = 50, 8, 400, 300
    headers = []
    for n in range(count):
        f.enrol(f"Maker.{n}")
        headers.append({**JSON, **bearer(token(f, f"Maker.{n}")[0])})
        swarm(f, f"s{n}", members=[f"Maker.{n}"], concurrency=1000)
    swarm(f, "pool", concurrency=1000)
    create_many(f, [{"id": f"m0-flood{i}"} for i in range(flood - each)], headers[0])  # and it comes first
    for n in range(count):
        create_many(f, [{"id": f"m{n}-{i}"} for i in range(each)], headers[n])
    open_to_all = collections.Counter()
    with f.conn() as c:
        for _ in range(served // 50):
            for r in pipeline(c, [("/v1/tasks/claim", {"swarm": "pool"}, JSON)] * 50):
                open_to_all[r.json["task"]["id"].split("-")[0]] += 1
    index = jain([open_to_all[f"m{n}"] for n in range(count)])
    assert sum(open_to_all.values()) == served and index >= 0.9, (index, open_to_all)

    # and in queues of their own: nobody's work waits for another's, and what is taken over is the flood
    for n in range(count):
        create_many(f, [{"id": f"q{n}-{i}", "swarm": f"s{n}", "priority": "P0"} for i in range(4 if n else 100)])
    own = collections.Counter()
    for _ in range(4):
        with f.conn() as c:
            for n, r in enumerate(pipeline(c, [("/v1/tasks/claim", {"swarm": f"s{n}"}, JSON) for n in range(count)])):
                own[n] += r.json["task"]["id"].startswith(f"q{n}-")
    assert jain([own[n] for n in range(count)]) >= 0.9, own
    return f"Jain index {index:.3f} over {count} makers, {served} claims of {each * (count - 1) + flood} tasks"


def test_a_lease_that_was_told_again_is_not_given_back(f):
    # a claim whose answer reached nobody is given back; but not when its owner asked again and was told that it has it
    swarm(f, concurrency=100)
    body = json.dumps({"swarm": "data", "lease_ms": 60000}).encode()
    for i in range(12):
        create(f, f"t{i}")
        lost, again = f.conn(), f.conn()
        again.request("GET", "/healthz")
        f.stand_still()  # so that both are read in one turn
        try:
            lost.send(lost.bytes_of("POST", f"/v1/tasks/t{i}/claim", body, JSON))
            lost.close()
            again.send(again.bytes_of("POST", f"/v1/tasks/t{i}/claim", body, JSON))
        finally:
            f.process.send_signal(signal.SIGCONT)
        r = again.read()
        again.close()
        assert r.status == 200, r
        time.sleep(0.1)  # whatever was queued is done
        shown = f.get(f"/v1/tasks/t{i}").json
        assert (shown["state"], shown.get("fence")) == ("claimed", r.json["fence"]), (i, shown)
        assert act(f, f"t{i}", "complete", fence=r.json["fence"]).status == 200

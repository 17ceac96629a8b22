"""Budgets, costs, reservations: hostile numbers, races, replays, kill -9, edited rows, and reports that sum. INV-10, INV-16."""

import csv
import io
import json
import os
import random
import sqlite3
import threading
import time

from cli import Cli
from fabric import Fabric, Gone, wait_for
from tests_backups import backup, restored
from tests_tokens import bearer, refused, token

MOST = 2**53 - 1


def set_budget(f, id_, subject, limit, unit="usd_micro", period="total"):
    kind, name = subject.split(":", 1)
    return f.admin("/v1/budgets", {"id": id_, "subject": kind, "name": name, "limit": limit, "unit": unit, "period": period})


def budget(f, id_):
    return next(b for b in f.get("/v1/budgets?limit=1000").json["items"] if b["id"] == id_)


def sums(f, id_):
    b = budget(f, id_)
    return b["settled"], b["reserved"], b["overrun"]


def logged(f):
    """What all entries together say was spent."""
    return sum(e.get("cost", {}).get("usd_micro", 0) for e in f.entries())


def test_numbers_that_are_no_money_are_refused(f):
    # INV-10 INV-15
    f.enrol("Demo.A")
    assert set_budget(f, "a", "talent:Demo.A", 1000).status == 201
    before = f.size()
    for number in ("-1", "1.5", "1e400", "-0", "NaN", "Infinity", '"5"', "null", "[]", "true", "9007199254740992", "1e16", "99999999999999999999"):
        for member in ("usd_micro", "tokens_in", "calls"):
            text = '{"talent":"Demo.A","cost":{"%s":%s}}' % (member, number)
            for route in ("/v1/costs", "/v1/reservations", "/v1/reservations/rsv-x/settle"):
                r = f.post(route, text.encode())
                assert r.status == 400 and r.code in (101, 208), (text, route, r)
        r = f.admin("/v1/budgets", json.loads('{"id":"b","subject":"talent","name":"Demo.A","unit":"calls","period":"day","limit":0}'))
        body = b'{"id":"c","subject":"provider","name":"x","unit":"calls","period":"day","limit":%s}' % number.encode()
        r = f.post("/v1/budgets", body, f.admin_header("/v1/budgets", body))
        assert r.status == 400, (number, r)
    for body in (
        {"cost": {"usd_micro": 1, "more": 1}},
        {"cost": {"usd_micro": 1}, "talent": "nobody.here/x"},
        {"cost": {"tokens_in": MOST, "tokens_out": MOST}},
        {"cost": {"usd_micro": 0}},
        {"cost": {}},
        {"usd_micro": 5},
        {"cost": {"tokens_in": 5, "model": "no-such-model"}},
        {"cost": {"usd_micro": 1}, "provider": "AKIAIOSFODNN7EXAMPLE"},
    ):
        r = f.post("/v1/costs", body)
        assert r.status == 400 and r.code == 208, (body, r)
    assert sums(f, "a") == (0, 0, 0) and logged(f) == 0
    assert f.post("/v1/costs", {"talent": "Demo.A", "cost": {"usd_micro": MOST}}).status == 402
    assert f.post("/v1/costs", {"talent": "Demo.A", "cost": {"usd_micro": MOST}}).status == 402
    b = budget(f, "a")
    assert (b["settled"], b["overrun"], b["spent"], b["left"]) == (1000, MOST, MOST, 0), "it stays at the most that can be written"
    assert f.size() > before
    f.verify()


def test_a_race_for_a_budget_never_passes_it(f):
    # INV-10
    people = [f.enrol(f"Agent{i}") for i in range(4)]
    assert set_budget(f, "p", "provider:openai", 1000).status == 201
    won, lost, lock = [], [], threading.Lock()

    def run(agent):
        with f.conn() as c:
            for _ in range(60):
                r = c.request("POST", "/v1/reservations", json.dumps({"talent": agent.name, "provider": "openai", "cost": {"usd_micro": 10}}).encode())
                assert r.status == 201 or (r.status, r.code) == (402, 301), r
                with lock:
                    (won if r.status == 201 else lost).append(r)

    threads = [threading.Thread(target=run, args=(people[i % 4],)) for i in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(won) == 100 and len(lost) == 16 * 60 - 100, (len(won), len(lost))
    assert sums(f, "p") == (0, 1000, 0)
    again = []  # each settled by two at once: one wins

    def settle(half):
        with f.conn() as c:
            for r in half:
                again.append(c.request("POST", f"/v1/reservations/{r.json['reservation']['id']}/settle", b'{"cost":{"usd_micro":7}}').status)

    threads = [threading.Thread(target=settle, args=(won,)) for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(again) == [200] * 100 + [404] * 100
    assert sums(f, "p") == (700, 0, 0) and logged(f) == 700
    f.verify()


def test_kill_9_between_reserve_and_settle(f):
    # INV-10: in any interleaving and after any crash
    rng = random.Random(11)
    f.enrol("Demo.A")
    limit = 1000000
    assert set_budget(f, "a", "talent:Demo.A", limit).status == 201
    spent = held = 0
    for round_ in range(6):
        acked, maybe = [], []

        def work():
            last = None
            try:
                with f.conn() as c:
                    while True:
                        last = ("reserve", rng.randrange(1, 50))
                        r = c.request("POST", "/v1/reservations", json.dumps({"talent": "Demo.A", "cost": {"usd_micro": last[1]}, "ttl_s": 3600}).encode())
                        assert r.status == 201, r
                        acked.append(("reserve", last[1]))
                        cost, id_ = rng.randrange(1, 60), r.json["reservation"]["id"]
                        if rng.random() < 0.2:
                            last = None
                            continue
                        last = ("settle", cost, last[1])
                        r = c.request("POST", f"/v1/reservations/{id_}/settle", b'{"cost":{"usd_micro":%d}}' % cost)
                        assert r.status == 200, r
                        acked.append(last)
                        last = None
            except (Gone, OSError):
                maybe.append(last)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for t in threads:
            t.start()
        time.sleep(rng.uniform(0.02, 0.2))
        f.kill()
        for t in threads:
            t.join()
        f.start()
        least_spent = spent + sum(a[1] for a in acked if a[0] == "settle")
        least_held = held + sum(a[1] if a[0] == "reserve" else -a[2] for a in acked)
        settled, reserved, overrun = sums(f, "a")
        unknown_spent = sum(m[1] for m in maybe if m and m[0] == "settle")
        unknown_held = sum(m[1] for m in maybe if m and m[0] == "reserve")
        unknown_freed = sum(m[2] for m in maybe if m and m[0] == "settle")
        assert least_spent <= settled <= least_spent + unknown_spent, (round_, settled, least_spent, maybe)
        assert least_held - unknown_freed <= reserved <= least_held + unknown_held, (round_, reserved, least_held, maybe)
        assert settled + reserved <= limit and overrun == 0 and logged(f) == settled
        held = reserved
        spent = settled
    open_ = []
    cursor = "0"
    while cursor is not None:
        page = f.get(f"/v1/reservations?limit=100&cursor={cursor}").json
        open_ += page["items"]
        cursor = page["next"]
    assert sum(r["usd_micro"] for r in open_) == held and len({r["id"] for r in open_}) == len(open_)
    for r in open_:
        assert f.post(f"/v1/reservations/{r['id']}/release", {}).status == 200
    assert sums(f, "a") == (spent, 0, 0)
    f.verify()


def test_left_reservations_are_reported_and_released(f):
    # INV-10
    f.enrol("Demo.A")
    assert set_budget(f, "a", "talent:Demo.A", 100).status == 201
    r = f.post("/v1/reservations", {"talent": "Demo.A", "cost": {"usd_micro": 100}, "ttl_s": 5})
    assert r.status == 201
    metrics = f.get("/metrics").body.decode()
    assert "\nifab_reservations 1\n" in metrics and '\nifab_budgets{level="open"} 1\n' in metrics, metrics
    f.kill()
    f.start()
    wait_for(lambda: sums(f, "a") == (0, 0, 0), 10, "release at the deadline")
    entry = f.entries()[-1]
    assert (entry["component"], entry["operation"], entry["severity"]) == ("IF.governor", "expired", "WARN"), entry
    assert entry["subject"] == r.json["reservation"]["id"] and entry["trace"] == r.json["reservation"]["trace"]
    late = f.post(f"/v1/reservations/{r.json['reservation']['id']}/settle", {"cost": {"usd_micro": 5}})
    assert late.status == 404 and "cost track" in late.error["hint"], late


def test_agents_spend_in_their_own_name(f):
    # INV-01 INV-10
    for name in ("Demo.A", "Demo.B"):
        f.enrol(name)
        assert set_budget(f, "of-" + name, "talent:" + name, 1000).status == 201
    a, b = (bearer(token(f, n)[0]) for n in ("Demo.A", "Demo.B"))
    cost = {"cost": {"usd_micro": 100}}
    assert f.post("/v1/costs", cost, a).status == 201
    refused(f.post("/v1/costs", {**cost, "talent": "Demo.B"}, a), 403, 3)
    refused(f.post("/v1/costs", {**cost, "swarm": "alpha"}, a), 403, 3)
    refused(f.post("/v1/costs", {"cost": {"usd_micro": 10**9 + 1}}, a), 400, 208)
    r = f.post("/v1/reservations", cost, a)
    assert r.status == 201
    id_ = r.json["reservation"]["id"]
    refused(f.post(f"/v1/reservations/{id_}/settle", cost, b), 403, 3)
    refused(f.post(f"/v1/reservations/{id_}/release", {}, b), 403, 3)
    assert [x["id"] for x in f.get("/v1/budgets", headers=a).json["items"]] == ["of-Demo.A"]
    assert [x["id"] for x in f.get("/v1/reservations", headers=a).json["items"]] == [id_]
    assert f.get("/v1/reservations", headers=b).json["items"] == []
    refused(f.post("/v1/budgets", {"id": "x", "subject": "talent", "name": "Demo.A", "limit": 1, "unit": "calls", "period": "day"}, a), 403, 3)
    assert f.post(f"/v1/reservations/{id_}/settle", {"cost": {"usd_micro": 40}}, a).status == 200
    assert sums(f, "of-Demo.A") == (140, 0, 0) and sums(f, "of-Demo.B") == (0, 0, 0)
    said = f.entries()[-1]
    assert said["actor"] == "if://agent/Demo.A" and said["cost"]["usd_micro"] == 40 and said["payload"]["reservation"] == id_


def test_a_replayed_report_counts_once(f):
    # INV-10
    f.enrol("Demo.A")
    assert set_budget(f, "a", "talent:Demo.A", 100).status == 201
    body, key = {"talent": "Demo.A", "cost": {"usd_micro": 150}}, {"Idempotency-Key": "report-1"}
    first = f.post("/v1/costs", body, key)
    assert first.status == 402 and first.json["error"]["code"] == "IF_ERR_301" and first.json["over"] == ["a"], first
    f.restart()
    for _ in range(3):
        again = f.post("/v1/costs", body, key)
        assert (again.status, again.body) == (402, first.body) and again.headers["idempotent-replayed"] == "true"
    refused(f.post("/v1/costs", {**body, "cost": {"usd_micro": 151}}, key), 409, 409)
    assert sums(f, "a") == (100, 0, 50) and logged(f) == 150


def test_edited_rows_of_money_are_found_at_the_start(f):
    # INV-10 INV-16
    f.enrol("Demo.A")
    assert set_budget(f, "a", "talent:Demo.A", 100).status == 201
    assert f.admin("/v1/rates", {"rows": [{"model": "m", "from": "2025-01-01T00:00:00Z", "in_usd_micro_per_mtok": 5, "out_usd_micro_per_mtok": 5}]}).status == 200
    assert f.post("/v1/reservations", {"talent": "Demo.A", "cost": {"usd_micro": 10}, "ttl_s": 3600}).status == 201
    assert f.stop() == 0
    path = os.path.join(f.data, "main.db")
    with sqlite3.connect(path) as db:
        kept = db.execute("SELECT kind, number, bytes FROM records WHERE kind IN (16, 17, 18, 22)").fetchall()
    assert sorted(k for k, _, _ in kept) == [16, 17, 18, 22]
    for kind, number, data in kept:
        data = bytes(data)
        edits = {
            16: [data.replace(b'"limit":100', b'"limit":999'), data.replace(b"Demo.A", b"Demo.B")],
            17: [data[:24] + bytes([9]) + data[25:], data[:-1]],  # what is reserved
            18: [data[:62] + bytes([11]) + data[63:], data[:-1], None],  # the amount
            22: [data.replace(b":5,", b":0,")],
        }[kind]
        for edit in edits:
            with sqlite3.connect(path) as db:
                if edit is None:
                    db.execute("DELETE FROM records WHERE kind=? AND number=?", (kind, number))
                else:
                    assert edit != data
                    db.execute("UPDATE records SET bytes=? WHERE kind=? AND number=?", (edit, kind, number))
            code, said = f.refuses()
            assert code == 20 and "IF_ERR_505" in said, (kind, edit, code, said)
            with sqlite3.connect(path) as db:
                db.execute("DELETE FROM records WHERE kind=? AND number=?", (kind, number))
                db.execute("INSERT INTO records (log, kind, number, bytes) SELECT log, ?, ?, ? FROM records WHERE kind=1", (kind, number, data))
    f.start()
    assert sums(f, "a") == (0, 10, 0)


def test_a_restore_goes_on_with_the_accounts(f):
    # INV-10 INV-16
    f.enrol("Demo.A")
    assert set_budget(f, "a", "talent:Demo.A", 100).status == 201
    assert f.post("/v1/costs", {"talent": "Demo.A", "cost": {"usd_micro": 20}}).status == 201
    held = f.post("/v1/reservations", {"talent": "Demo.A", "cost": {"usd_micro": 30}})
    path = backup(f)
    assert f.stop() == 0
    with restored(f, path) as g:
        g.start()
        assert sums(g, "a") == (20, 30, 0)
        assert [r["dangling"] for r in g.get("/v1/reservations").json["items"]] == [True]
        refused(g.post("/v1/reservations", {"talent": "Demo.A", "cost": {"usd_micro": 51}}), 402, 301)
        assert g.post(f"/v1/reservations/{held.json['reservation']['id']}/settle", {"cost": {"usd_micro": 25}}).status == 200
        assert sums(g, "a") == (45, 0, 0)
        g.verify()


def test_a_salvage_goes_on_with_limits_and_what_was_spent(f):
    # INV-10 INV-16: no limit is lost with the store, nor what was spent under it
    from tests_salvage import going_on, salvage, whole_database

    f.enrol("Demo.A")
    assert set_budget(f, "a", "talent:Demo.A", 50).status == 201
    assert set_budget(f, "gone", "provider:x", 50).status == 201
    assert f.admin("/v1/budgets/gone/remove", {"why": "w"}).status == 200
    assert f.post("/v1/swarms", {"id": "alpha", "skills": ["sql"], "why": "w"}).status == 201
    assert set_budget(f, "s", "swarm:alpha", 1).status == 201
    assert f.post("/v1/costs", {"talent": "Demo.A", "cost": {"usd_micro": 20}}).status == 201
    assert set_budget(f, "a", "talent:Demo.A", 100).status == 200
    assert f.post("/v1/costs", {"swarm": "alpha", "cost": {"usd_micro": 2}}).status == 402
    held = f.post("/v1/reservations", {"talent": "Demo.A", "cost": {"usd_micro": 30}})
    assert f.post(f"/v1/reservations/{held.json['reservation']['id']}/settle", {"cost": {"usd_micro": 10}}).status == 200
    assert f.post("/v1/reservations", {"talent": "Demo.A", "cost": {"usd_micro": 30}, "ttl_s": 3600}).status == 201
    rates = {"rows": [{"model": "m", "from": "2025-01-01T00:00:00Z", "in_usd_micro_per_mtok": 5, "out_usd_micro_per_mtok": 5}]}
    assert f.admin("/v1/rates", rates).status == 200
    digest = f.get("/v1/rates").json["digest"]
    for turn in range(2):  # what goes on once can be lost again
        assert f.stop() == 0
        whole_database(f)
        with sqlite3.connect(os.path.join(f.data, "main.db")) as db:
            db.execute("DELETE FROM records WHERE kind IN (16, 17)")
        assert f.refuses()[0] == 20
        to, done = salvage(f, f"new{turn}")
        assert done.returncode == 0, done
        f = going_on(f, to)
        try:
            assert sums(f, "a") == (30, 0, 0) and budget(f, "a")["limit"] == 100 and sums(f, "s") == (1, 0, 1)
            assert {b["id"] for b in f.get("/v1/budgets").json["items"]} == {"a", "s"}
            assert [b["state"] for b in f.get("/v1/breakers").json["items"]] == ["open"]
            assert f.get("/v1/rates").json["digest"] == digest
            refused(f.post("/v1/reservations", {"talent": "Demo.A", "cost": {"usd_micro": 71}}), 402, 301)
        finally:
            if turn == 1:
                f.stop()


def test_reports_sum_to_what_was_spent(f):
    cli = Cli(f).people()
    rates = os.path.join(f.root, "rates.json")
    with open(rates, "w") as out:
        json.dump({"rows": [{"model": "claude-sonnet-4.5", "from": "2025-01-01T00:00:00Z", "in_usd_micro_per_mtok": 3000000, "out_usd_micro_per_mtok": 15000000}]}, out)
    cli.wants(2, "cost", "rates", rates)  # no why, no terminal
    cli.wants(0, "cost", "rates", rates, "--why", "prices")
    shown = cli.json("cost", "rates")
    assert shown["items"][0]["out_usd_micro_per_mtok"] == 15000000 and shown["digest"].startswith("sha256:")
    what = cli.json("cost", "estimate", "--model", "claude-sonnet-4.5", "--tokens-in", "1000000", "--tokens-out", "1000000")
    assert what["usd"] == "18.000000" and what["usd_micro"] == 18000000, what  # FL-OPT-4
    cli.wants(12, "cost", "estimate", "--model", "nobody")
    cli.wants(0, "budget", "set", "a", "--subject", "talent:Demo.A", "--usd", "1.5", "--period", "day", "--why", "w")
    for usd in ("1.2345678", "-1", "1,5", "0x10", "", "1.", "9007199254.740992", "1e3"):
        cli.wants(2, "cost", "track", "--usd", usd)
    cli.wants(0, "cost", "track", "--talent", "Demo.A", "--provider", "openai", "--usd", "0.000001", "--operation", "a")
    assert "IF_ERR_208" in cli.wants(12, "cost", "track", "--as", "Demo.A", "--usd", "1001", "--operation", "b").err  # as an agent, also at the socket
    cli.wants(0, "cost", "track", "--as", "Demo.A", "--provider", "anthropic", "--model", "claude-sonnet-4.5", "--tokens-in", "1", "--operation", "b")
    cli.wants(0, "cost", "track", "--talent", "Demo.B", "--usd", "2", "--calls", "3")
    made = cli.json("budget", "reserve", "--talent", "Demo.A", "--provider", "openai", "--usd", "1")["reservation"]
    assert cli.json("budget", "reservations")["items"][0]["id"] == made["id"]
    over = cli.wants(13, "budget", "reserve", "--talent", "Demo.A", "--usd", "1")
    assert "IF_ERR_301" in over.err and "budget a has" in over.err, over
    cli.wants(0, "budget", "settle", made["id"], "--usd", "0.75")
    cli.wants(12, "budget", "settle", made["id"], "--usd", "0.75")
    late = cli.wants(13, "cost", "track", "--talent", "Demo.A", "--usd", "1", "--operation", "b")
    assert "recorded in entry" in late.err and "budget a" in late.err, late
    total = 1 + 3 + 2000000 + 750000 + 1000000
    assert logged(f) == total
    for by in ("provider", "capability", "talent", "swarm", "operation", "model", "actor", "subject", "trace", "component", "day", "month"):
        report = cli.json("cost", "report", "--by", by)
        assert report["total"]["usd_micro"] == total == sum(i["usd_micro"] for i in report["items"]), (by, report)
        assert report["total"]["calls"] == 3 == sum(i["calls"] for i in report["items"])
        assert report["total"]["costs"] == 5 == sum(i["costs"] for i in report["items"])
        table = cli.wants(0, "cost", "report", "--by", by).out.splitlines()
        assert table[-1].split()[:2] == ["total", "3.750004"] and len(table) == len(report["items"]) + 2, table
        rows = list(csv.DictReader(io.StringIO(cli.wants(0, "cost", "report", "--by", by, "-o", "csv").out)))
        assert sum(round(float(r["USD"]) * 10**6) for r in rows) == total and len(rows) == len(report["items"]), rows
    groups = {i["group"]: i["usd_micro"] for i in cli.json("cost", "report", "--by", "talent")["items"]}
    assert groups == {"Demo.A": 1750004, "Demo.B": 2000000}, groups
    assert cli.json("cost", "report", "--from", "2031-01-01")["total"]["usd_micro"] == 0
    cli.wants(2, "cost", "report", "--by", "weather")
    listed = cli.json("budget", "report")["items"][0]
    assert (listed["level"], listed["settled"], listed["overrun"]) == ("stop", 1500000, 250004), listed
    cli.wants(0, "budget", "list", "-o", "csv")
    cli.wants(0, "budget", "remove", "a", "--why", "over")
    assert cli.json("cost", "budget")["items"] == []


def test_a_swarm_over_its_budget_waits_for_a_person(f):
    cli = Cli(f)
    assert set_budget(f, "s", "swarm:alpha", 10).code == f.post("/v1/costs", {"swarm": "alpha", "cost": {"usd_micro": 11}}).code == 404
    assert f.post("/v1/swarms", {"id": "alpha", "skills": ["sql"], "why": "w"}).status == 201
    assert set_budget(f, "s", "swarm:alpha", 10).status == 201
    over = f.post("/v1/costs", {"swarm": "alpha", "cost": {"usd_micro": 11}})
    assert over.status == 402 and "ifctl governor reset swarm:alpha" in over.error["hint"], over
    listed = cli.json("governor", "breakers")["items"]
    assert [(b["breaker"], b["state"], b["cause"]) for b in listed] == [("swarm:alpha", "open", "budget_exceeded")], listed
    assert all(b["error_budget_permille"] in range(1001) and b["p95_ms"] <= b["p99_ms"] for b in listed), listed
    cli.wants(2, "governor", "reset", "swarm:alpha")  # no why
    cli.wants(12, "governor", "reset", "swarm:beta", "--why", "w")
    cli.wants(12, "governor", "reset", "alpha", "--why", "w")
    cli.wants(0, "governor", "reset", "swarm:alpha", "--why", "bill corrected")
    cli.wants(12, "governor", "reset", "swarm:alpha", "--why", "again")
    assert [b["state"] for b in cli.json("governor", "breakers")["items"]] == ["closed"]
    assert [e["operation"] for e in f.entries() if e["component"] == "CircuitBreaker"] == ["tripped", "reset"]


def test_a_full_disk_takes_no_reservation_and_every_cost():
    with Fabric({"disk.reserve": "900GiB"}) as f:
        f.start()
        refused(f.post("/v1/reservations", {"cost": {"usd_micro": 1}}), 503, 504)
        assert f.post("/v1/costs", {"cost": {"usd_micro": 1}}).status == 201

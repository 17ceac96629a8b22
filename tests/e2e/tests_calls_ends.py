"""What ends a call that is under way, and what does not; and what becomes of an intent that nobody saw the end of. INV-04 INV-07."""

import json
import signal
import time

from fabric import stamp, wait_for
from tests_backups import backup, restored
from tests_calls import AS, ID, LONG, NAME, WHY, Background, Studio, applying, studio
from tests_tokens import bearer, token

LAMP = "studio.lamp"
RULES = "v: 1\nrules: []\ncapabilities:\n  - {id: all, effect: share, when: {effect: [read, write]}}\n"
REVOKED = "IF_ERR_201"


def two(s):
    """A second capability, which needs no scope; Studio.A may use both, Studio.B the first."""
    studio(s.f, s.key, id="if://capability/" + LAMP, limits=LONG)
    s.cli.wants(0, "talent", "grant", "Studio.A", "--capability", "if://capability/" + LAMP, *WHY)
    s.cli.wants(0, "talent", "grant", "Studio.B", "--capability", ID, *WHY)
    for name in ("Studio.A", "Studio.B"):
        s.cli.wants(0, "talent", "grant", name, "--scope", "studio:control", *WHY)


def spinning(s, count):
    return wait_for(lambda: len(applying(s)) == count and applying(s), 60, f"{count} calls under way")


def ended(run):
    done = run.end()
    assert done is not None and done.code != 0 and REVOKED in done.err, done
    assert done.json["entry"]["index"] > done.json["intent"], done


def test_what_goes_ends_what_needs_it_and_nothing_else():
    # INV-07
    with Studio(rules=RULES, scopes=["studio:control"], limits=LONG) as s:
        two(s)
        of_a = Background(s, "capability", "apply", NAME, "spin", *WHY, *AS, "-o", "json")
        lamp = Background(s, "capability", "apply", LAMP, "spin", *WHY, *AS, "-o", "json")
        of_b = Background(s, "capability", "apply", NAME, "spin", *WHY, "--as", "Studio.B", "-o", "json")
        spinning(s, 3)
        s.cli.wants(0, "talent", "revoke", "Studio.A", "--scope", "studio:control", *WHY)
        ended(of_a)
        left = {(p["capability"].split("@")[0], p["talent"]) for p in spinning(s, 2)}
        assert len(left) == 2, left
        s.cli.wants(0, "talent", "revoke", "Studio.A", "--scope", "if://capability/" + LAMP, *WHY)
        ended(lamp)
        assert len(applying(s)) == 1 and of_b.done is None
        s.cli.wants(0, "talent", "remove", "Studio.B", *WHY)
        ended(of_b)
        assert not applying(s)
        s.f.verify()


def test_a_grant_that_ends_by_itself_ends_its_call():
    # INV-07
    with Studio(limits=LONG) as s:
        run = Background(s, "capability", "apply", NAME, "spin", *WHY, *AS, "-o", "json")
        spinning(s, 1)
        s.cli.wants(0, "talent", "grant", "Studio.A", "--capability", ID, "--expires", stamp(time.time() + 6), *WHY)
        ended(run)
        assert not applying(s)


def test_revoked_in_the_batch_of_its_intent_it_never_begins():
    # INV-07
    with Studio(limits=LONG) as s:
        agent, operator = s.f.conn(), s.f.conn()
        head = {**bearer(token(s.f, "Studio.A")[0]), "Content-Type": "application/json"}
        s.apply(0, "--scene", "x")  # its module is there
        never = 0
        for _ in range(8):
            plan = s.plan("spin")
            for c in (agent, operator):
                c.request("GET", "/healthz")
            s.f.stand_still()  # so that both are read in one turn
            try:
                agent.send(agent.bytes_of("POST", f"/v1/capabilities/{NAME}/apply", json.dumps({"plan_hash": plan["plan_hash"]}).encode(), head))
                operator.send(operator.bytes_of("POST", "/v1/talents/Studio.A/revoke", json.dumps({"scope": ID, "why": "w"}).encode()))
            finally:
                s.f.process.send_signal(signal.SIGCONT)
            assert operator.read().status == 200
            r = agent.read()
            assert r.status >= 400 and r.code in (201, 205), r
            never += b"before it began" in r.body
            assert not applying(s)
            s.cli.wants(0, "talent", "grant", "Studio.A", "--capability", ID, *WHY)
        assert never > 0
        return f"{never} of 8 in one batch"


def test_parameters_may_be_left_out():
    with Studio() as s:
        head = bearer(token(s.f, "Studio.A")[0])
        r = s.f.post(f"/v1/capabilities/{NAME}/plan", {"operation": "look", "why": "w"}, head)
        assert r.status == 201 and r.json["params"] == {}, r
        r = s.f.post(f"/v1/capabilities/{NAME}/apply", {"plan_hash": r.json["plan_hash"]}, head)
        assert r.status == 200 and r.json["result"]["params"] == {}, r


def test_a_lost_answer_is_had_again_with_its_key():
    # INV-04
    with Studio() as s:
        head = {**bearer(token(s.f, "Studio.A")[0]), "Idempotency-Key": "take-1"}
        route, body = f"/v1/capabilities/{NAME}/apply", {"plan_hash": s.plan("--scene", "Intro")["plan_hash"]}
        with s.f.conn() as c:  # it hangs up before the answer comes
            c.send(c.bytes_of("POST", route, json.dumps(body).encode(), head))
            wait_for(lambda: s.entries("intent"), 20, "its intent")
        wait_for(lambda: s.entries("outcome"), 20, "its outcome")
        for _ in range(2):
            r = s.f.post(route, body, head)
            assert r.status == 200 and r.headers["idempotent-replayed"] == "true", r
            assert r.json["result"]["params"] == {"scene": "Intro"}, r
            s.f.kill()
            s.f.start()
        assert len(s.entries("intent")) == len(s.entries("outcome")) == 1
        other = {"plan_hash": s.plan("--scene", "Outro")["plan_hash"]}
        for headers, asked in ((head, other), ({**head, "Idempotency-Key": "take-2"}, body)):
            r = s.f.post(route, asked, headers)
            assert r.status == 409 and "idempotent-replayed" not in r.headers, r
        assert len(s.entries("intent")) == 1
        s.f.verify()


def dangling(f):
    return {p["plan_id"]: p for p in f.get("/v1/plans?state=dangling").json["items"]}


def test_intents_outlive_a_restore():
    # INV-04
    with Studio(limits=LONG) as s:
        first = Background(s, "capability", "apply", NAME, "spin", *WHY, *AS)
        spinning(s, 1)
        s.f.kill()
        first.end()
        s.f.start()
        lost = set(wait_for(lambda: dangling(s.f), 20, "it dangles"))
        second = Background(s, "capability", "apply", NAME, "spin", *WHY, *AS)
        running = {p["plan_id"] for p in spinning(s, 1)}
        assert len(lost | running) == 2
        path = backup(s.f)
        s.f.kill()
        second.end()
        with restored(s.f, path) as g:
            g.start()
            for _ in range(2):
                assert set(wait_for(lambda: dangling(g), 20, "they dangle")) == lost | running
                told = [e for e in g.entries() if e["operation"] == "dangling"]
                assert {e["subject"] for e in told} == lost | running and len(told) == 2, told  # each once, in this log
                g.restart()
            for plan, outcome in zip(sorted(lost | running), ("done", "not-done")):
                r = g.post(f"/v1/plans/{plan}/close", {"outcome": outcome, "why": "looked at the studio"})
                assert r.status == 200, r
            assert not dangling(g)
            g.verify()

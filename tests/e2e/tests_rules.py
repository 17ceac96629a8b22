"""Operator rules: what they tighten, that nothing loosens, and what a change under load does to what waits. INV-06, INV-16."""

import json
import os
import signal
import subprocess
import threading
import time

from cli import Cli
from fabric import PROGRAM, sha256, wait_for
from tests_decisions import escalated, evidence, held, is_denied, people, refused, source, state

SHARED = {"confidence": {"raw": 0.9, "normalized": 0.9}, "scope": {"environment": "test"}}


def write(f, text):
    with open(os.path.join(f.dir, "rules.yaml"), "w") as out:
        out.write(text)


def hangup(f):
    os.kill(f.process.pid, signal.SIGHUP)


def log(f):
    with open(f.log_path) as whole:
        return whole.read()


def reload(f, text, good=True):
    """Writes the file, signals, waits for what the daemon says of it."""
    before = log(f).count('"event":"reload: '), len(rules_entries(f))
    write(f, text)
    hangup(f)
    wait_for(lambda: log(f).count('"event":"reload: ') > before[0], 10, "the reload")
    line = [x for x in log(f).splitlines() if '"event":"reload: ' in x][-1]
    assert ("done" in line) == good, line
    if good:
        wait_for(lambda: len(rules_entries(f)) > before[1], 10, "its entry")
    return line


def rules_entries(f):
    return [e for e in f.entries() if e["subject"] == "rules"]


def decide(f, agent, **content):
    r = f.send(agent.message(receiver="if://agent/Demo.R", content={**SHARED, **content}))
    return r


DENY_PRODUCTION = """v: 1
why: nobody touches production
rules:
  - id: 10-production
    effect: deny
    reason: production is closed
    when: {scope.environment: production}
"""


def test_rules_of_the_start_tighten_and_are_named(f):
    f.stop()
    write(f, """v: 1
hazards:
  - {id: court, hazard: legal, when: {evidence.domain: court.example}}
rules:
  - {id: 10-free, effect: pass, when: {scope.environment: free}}
  - {id: 20-deny, effect: deny, reason: production is closed, when: {scope.environment: production}}
  - {id: 30-hold, effect: hold, when: {scope.usd: {above: 10}}}
  - {id: 40-two, effect: escalate, votes: 2, when: {sender.owner: bob}}
""")
    f.start()
    a, b = people(f)
    f.enrol("Second.Op", owner="second", role="operator")
    for agent, content, decision, rule in (
        (a, {}, "SHARE", "builtin.default-share"),
        (a, {"scope": {"environment": "production"}}, "DENY", "20-deny"),
        (a, {"scope": {"environment": ["staging", "production"]}}, "DENY", "20-deny"),
        (a, {"scope": {"environment": {"name": "production"}}}, "DENY", "20-deny"),
        (a, {"scope": {"usd": 11}}, "HOLD", "30-hold"),
        (a, {"scope": {"usd": "11"}}, "HOLD", "30-hold"),
        (a, {"scope": {"usd": 10}}, "SHARE", "builtin.default-share"),
        (a, {"scope": {"usd": 11, "environment": "free"}}, "SHARE", "builtin.default-share"),
        (a, {"scope": {"environment": "free"}, "hazards": ["legal"]}, "ESCALATE", "builtin.hazard"),
        (a, {"scope": {"environment": "free"}, "confidence": {"raw": 0.1, "normalized": 0.1}}, "ESCALATE", "builtin.low-confidence"),
        (a, {"evidence": [evidence("https://www.court.example/1")]}, "ESCALATE", "builtin.hazard"),
        (b, {}, "ESCALATE", "40-two"),
    ):
        r = decide(f, agent, **content)
        assert r.json["decision"] == decision and r.json["rule"] == rule, (content, r)
        if rule == "20-deny":
            assert r.json["reason"] == "production is closed", r
        if rule == "40-two":
            assert state(f, r.json)["votes_needed"] == 2, state(f, r.json)
    e = rules_entries(f)[-1]
    assert e["payload"]["policy_digest"] == r.json["policy_digest"], e
    whole = f.get(f"/v1/witness/messages/{e['index']}")
    assert whole.status == 200 and sha256(whole.body) == r.json["policy_digest"], whole  # INV-16: it stands whole
    f.verify()


def test_broken_rules_at_start_deny_everything(f):
    a, _ = people(f)
    f.stop()
    write(f, "v: 1\nrules:\n  - {id: a, effect: share, when: {}}\n")
    f.start()
    assert decide(f, a).json["rule"] == "builtin.no-rules"
    assert f.get("/readyz").status == 503
    assert "line 3, column" in log(f) and "cannot loosen" in log(f), log(f)


def test_guard_check_counts_what_it_read(f):
    cli, path = Cli(f), f.root + "/set.yaml"
    for calls, rules, hazards in ((2, 1, 1), (1, 0, 0), (0, 0, 0), (0, 1, 2)):
        with open(path, "w") as out:
            out.write("v: 1\n" + "".join(
                f"{name}:{' []' if count == 0 else ''}\n" + "".join(f"  - {{id: {name[0]}{i}, {how}}}\n" for i in range(count))
                for name, count, how in (("capabilities", calls, "effect: deny, when: {capability: a.b}"), ("rules", rules, "effect: deny, when: {}"),
                                         ("hazards", hazards, "hazard: legal, when: {scope.x: y}")) if count > 0 or name == "rules"))
        said = cli.json("guard", "check", path)
        assert (said["capabilities"], said["rules"], said["hazards"]) == (calls, rules, hazards), said
    assert "CAPABILITIES" in cli.wants(0, "guard", "check", path).out.upper()


def test_reload_is_all_or_nothing(f):
    # INV-06
    a, _ = people(f)
    first = decide(f, a, scope={"environment": "production"})
    assert first.json["decision"] == "SHARE"
    reload(f, DENY_PRODUCTION)
    second = decide(f, a, scope={"environment": "production"})
    assert second.json["decision"] == "DENY" and second.json["policy_digest"] != first.json["policy_digest"]
    assert rules_entries(f)[-1]["why"] == "nobody touches production"
    for broken, says in (
        ("v: 1\nrules:\n  - {id: a, effect: deny, when: {sendr: x}}\n", "did you mean"),
        ("v: 1\nrules: [\n", "line"),
        ("", "expected"),
    ):
        line = reload(f, broken, good=False)
        assert says in line, line
        again = decide(f, a, scope={"environment": "production"})
        assert again.json["decision"] == "DENY" and again.json["policy_digest"] == second.json["policy_digest"], again
    write(f, DENY_PRODUCTION)
    f.configure({"replay.per_talent": 100})
    before = log(f).count("reload: refused")
    hangup(f)
    wait_for(lambda: log(f).count("reload: refused") > before, 10, "refusal")
    assert "replay.per_talent" in log(f) and "restart" in log(f)
    # rules beside a setting that needs a restart wait with it; the line says so and names each
    other = DENY_PRODUCTION.replace("production is closed", "closed for good").replace("nobody touches", "still nobody touches")
    f.configure({"replay.per_talent": 100, "replay.total": 5000})
    line = reload(f, other, good=False)
    assert "replay.per_talent" in line and "replay.total" in line and "nothing of ifd.yaml and rules.yaml was taken" in line, line
    kept = decide(f, a, scope={"environment": "production"})
    assert kept.json["decision"] == "DENY" and kept.json["policy_digest"] == second.json["policy_digest"], kept
    f.configure({})
    reload(f, other)
    assert rules_entries(f)[-1]["why"] == "still nobody touches production"
    f.verify()


def test_reload_changes_settings_that_may_change(f):
    a, _ = people(f)
    f.configure({"rate.messages": 1, "rate.burst": 1})
    hangup(f)
    wait_for(lambda: "reload: done" in log(f), 10, "the reload")
    codes = [decide(f, a).status for _ in range(5)]
    assert 429 in codes, codes


def test_changed_rules_route_what_waits_again(f):
    # a DENY closes it, else it reopens with the new digest, its votes void and witnessed
    f.enrol("Second.Op", owner="second", role="operator")
    a, b = people(f)
    e1 = escalated(f, a)
    e2 = f.send(a.message(receiver="if://agent/Demo.R", content={"hazards": ["legal"], "scope": {"environment": "production"}})).json
    h1 = held(f, a)
    h2 = held(f, a, claim_id="c-9", scope={"environment": "production"})
    old = e1["policy_digest"]
    reload(f, DENY_PRODUCTION)
    wait_for(lambda: state(f, e2)["state"] == "decided" and state(f, h2)["state"] == "decided", 10, "routing")
    assert state(f, e2)["decision"] == "DENY" and state(f, h2)["decision"] == "DENY"
    wait_for(lambda: state(f, e1)["policy_digest"] != old and state(f, h1)["policy_digest"] != old, 10, "routing")
    assert state(f, e1)["state"] == "escalated" and state(f, h1)["state"] == "held"
    refused(f.vote(e1, "approve"), 409, 409)  # it names the old digest
    assert f.vote({**e1, "policy_digest": state(f, e1)["policy_digest"]}, "approve").status == 200
    source(f, b)
    assert state(f, h1)["decision"] == "SHARE"
    f.verify()


def test_a_vote_cast_before_the_change_is_void(f):
    op = f.enrol("Second.Op", owner="second", role="operator")
    third = f.enrol("Third.Op", owner="third", role="operator")
    f.stop()
    two = "v: 1\nrules:\n  - {id: two, effect: escalate, votes: 2, when: {hazards: legal}}\n"
    write(f, two)
    f.start()
    a, _ = people(f)
    r = escalated(f, a)
    assert f.vote(r, "approve", voter="Second.Op", key=op.key).json["decision"] == "ESCALATE"
    reload(f, two + "  - {id: other, effect: deny, when: {scope.x: y}}\n")
    wait_for(lambda: state(f, r)["policy_digest"] != r["policy_digest"], 10, "routing")
    r = {**r, "policy_digest": state(f, r)["policy_digest"]}
    assert all(v["vote"] is None for v in state(f, r)["voters"]), state(f, r)
    assert f.vote(r, "approve", voter="Third.Op", key=third.key).json["decision"] == "ESCALATE", "one of two"
    assert state(f, r)["state"] == "escalated"
    assert f.vote(r, "approve", voter="Second.Op", key=op.key).json["decision"] == "SHARE"


def test_erased_bytes_cannot_be_judged_anew(f):
    a, _ = people(f)
    r = escalated(f, a)
    e = f.admin("/v1/witness/erase", {"id": r["id"]})
    assert e.status == 200, e
    reload(f, DENY_PRODUCTION)
    wait_for(lambda: state(f, r)["state"] == "decided", 10, "routing")
    is_denied(f, r)


def test_kill_between_change_and_routing_loses_nothing(f):
    # INV-03, INV-16: what is left is read from the digests
    a, b = people(f)
    waiting = [held(f, a, claim_id=f"c-{i}", scope={"environment": "production" if i % 2 else "test"}) for i in range(60)]
    for round_ in range(3):
        write(f, DENY_PRODUCTION if round_ == 0 else DENY_PRODUCTION + f"  - {{id: z{round_}, effect: deny, when: {{scope.round: {round_}}}}}\n")
        before = len(rules_entries(f))
        hangup(f)
        time.sleep(0.002 * round_)
        f.kill()
        f.start()
        wait_for(lambda: len(rules_entries(f)) > before, 10, "its entry")
    digest = rules_entries(f)[-1]["payload"]["policy_digest"]

    def settled():
        return all(
            state(f, r).get("decision") == "DENY" and state(f, r)["state"] == "decided" if i % 2 else state(f, r)["policy_digest"] == digest
            for i, r in enumerate(waiting)
        )

    wait_for(settled, 20, "routing")
    assert all(state(f, r)["state"] == "held" for i, r in enumerate(waiting) if i % 2 == 0)
    f.verify()


def test_reload_under_load_refuses_nobody(f):
    a, b = people(f)
    senders = [f.enrol(f"Load.{i}", owner=f"o{i}") for i in range(8)]
    stop = threading.Event()
    wrong = []

    def send(agent):
        while not stop.is_set():
            r = decide(f, agent, scope={"environment": "production"})
            if r.json.get("decision") not in ("SHARE", "DENY"):
                wrong.append(r)
                return

    threads = [threading.Thread(target=send, args=(s,)) for s in senders]
    for t in threads:
        t.start()
    try:
        for i in range(12):
            if i % 3 != 2:
                reload(f, DENY_PRODUCTION + (f"  - {{id: z{i}, effect: deny, when: {{scope.round: {i}}}}}\n"))
                continue
            before = [e["payload"]["policy_digest"] for e in rules_entries(f)]
            reload(f, DENY_PRODUCTION + f"  - {{id: z{i}, effect: deny, when: {{scope.rond", good=False)  # ends within a rule
            r = decide(f, a, scope={"environment": "production"})
            assert r.json["decision"] == "DENY" and r.json["policy_digest"] == before[-1], (r, before[-1])
            assert [e["payload"]["policy_digest"] for e in rules_entries(f)] == before, "a broken set is no set"
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert not wrong, wrong[0]
    assert decide(f, a, scope={"environment": "production"}).json["decision"] == "DENY"
    assert log(f).count('"event":"reload: refused') >= 4, log(f)
    # each decision names the set it was made under, and that set says the same
    sets = {e["payload"]["policy_digest"] for e in rules_entries(f)}
    for e in f.entries():
        if e["component"] == "IF.connect" and "policy_digest" in e.get("payload", {}):
            assert e["payload"]["policy_digest"] in sets, e
    f.verify()


def test_explain_shows_every_step_and_the_rule_that_decides(f):
    a, _ = people(f)
    reload(f, DENY_PRODUCTION + "  - {id: 20-usd, effect: hold, when: {scope.usd: {above: 10}}}\n")
    m = a.message(content={**SHARED, "scope": {"environment": "production", "usd": "11"}})
    size = f.size()
    r = f.post("/v1/guard/explain", bytes(m))
    assert r.status == 200 and r.json["decision"] == "DENY" and r.json["rule"] == "10-production", r
    assert [s["step"] for s in r.json["steps"]] == ["rule set", "secret", "hazards", "confidence", "rules", "share"], r
    assert [s["decision"] for s in r.json["steps"]] == [None, None, None, None, "DENY", "SHARE"], r
    assert [(x["id"], x["match"]) for x in r.json["rules"]] == [("10-production", "yes"), ("20-usd", "cannot be compared")], r
    assert f.size() == size, "explain records nothing"
    assert f.send(m).json["rule"] == "10-production", "and uses nothing up"
    refused(f.post("/v1/guard/explain", b"{}"), 101, 400)


def explained(f, agent, decision, rule, votes=None, **message):
    """What explain says, which is what the send then does."""
    m = agent.message(**message)
    size = f.size()
    says = f.post("/v1/guard/explain", bytes(m))
    assert says.status == 200 and f.size() == size, says
    does = f.send(m)
    assert [says.json[k] for k in ("decision", "rule", "reason")] == [does.json[k] for k in ("decision", "rule", "reason")], (says, does)
    assert (says.json["decision"], says.json["rule"], says.json.get("votes_needed")) == (decision, rule, votes), says
    if decision == "ESCALATE":
        assert state(f, does.json)["votes_needed"] == votes, says
    return json.loads(m)["conversation_id"]


def test_explain_says_what_the_send_then_does(f):
    f.stop()
    write(f, """v: 1
hazards:
  - {id: after-money, hazard: legal, when: {parent.hazards: other}}
rules:
  - {id: 10-reply, effect: deny, when: {performative: agree, parent.performative: request}}
  - {id: 20-two, effect: escalate, votes: 2, when: {scope.environment: two}}
  - {id: 30-nine, effect: escalate, votes: 9, when: {scope.environment: nine}}
""")
    f.start()
    a, b = people(f)
    f.enrol("Second.Op", owner="second", role="operator")
    to_b = {"performative": "request", "receiver": "if://agent/Demo.B"}
    # a reply is judged with what was said before
    talk = explained(f, a, "SHARE", "builtin.default-share", content=SHARED, **to_b)
    explained(f, b, "DENY", "10-reply", performative="agree", conversation_id=talk, content=SHARED)
    talk = explained(f, a, "SHARE", "builtin.default-share", content={**SHARED, "hazards": ["financial"]}, **to_b)
    explained(f, b, "ESCALATE", "builtin.hazard", 1, performative="inform", conversation_id=talk, content=SHARED)
    # with the voters there are
    two, nine = ({**SHARED, "scope": {"environment": e}} for e in ("two", "nine"))
    explained(f, a, "ESCALATE", "20-two", 2, receiver="if://agent/Demo.R", content=two)
    explained(f, a, "DENY", "builtin.no-voters", 9, receiver="if://agent/Demo.R", content=nine)
    # with the plan that it asks for
    no_plan = {**SHARED, "data": {"apply": {"plan_hash": "sha256:" + "0" * 64}}}
    explained(f, a, "DENY", "builtin.plan", performative="request", receiver="if://fabric/" + f.about()["origin"], content=no_plan)
    f.verify()


def test_explain_tells_the_approver_how_many_votes(f):
    f.stop()
    write(f, "v: 1\nrules:\n  - {id: 20-two, effect: escalate, votes: 2, when: {scope.n: 2}}\n  - {id: 30-nine, effect: escalate, votes: 9, when: {scope.n: 9}}\n")
    f.start()
    cli = Cli(f).people()
    f.enrol("Second.Op", owner="second", role="operator")
    draft = lambda n: ("guard", "explain", "--as", "Demo.A", "--claim", "x", "--confidence", "0.9", "--scope", json.dumps({"n": n}), "--to", "Demo.R")
    table = cli.wants(30, *draft(2)).out
    assert "VOTES_NEEDED" in table and "20-two" in table and table.splitlines()[-1].split()[2] == "2", table
    table = cli.wants(31, *draft(9)).out
    assert "voters" in table and "builtin.no-voters" in table and table.splitlines()[-1].split()[2] == "9", table
    assert cli.json(*draft(2), code=30)["votes_needed"] == 2
    assert "votes_needed" not in cli.json(*draft(1))


def test_rules_may_ask_for_what_was_said_before(f):
    f.stop()
    write(f, """v: 1
rules:
  - {id: 10-after-legal, effect: hold, when: {parent.hazards: legal}}
  - {id: 20-reply, effect: deny, reason: nobody agrees to that, when: {performative: agree, parent.performative: request}}
""")
    f.start()
    a, b = people(f)
    first = a.message(performative="request", receiver="if://agent/Demo.B", content=SHARED)
    assert f.send(first).json["decision"] == "SHARE"
    talk = json.loads(first)["conversation_id"]
    r = f.send(b.message(performative="agree", conversation_id=talk, content=SHARED))
    assert r.json["rule"] == "20-reply" and r.json["reason"] == "nobody agrees to that", r
    second = a.message(performative="request", receiver="if://agent/Demo.B", content={**SHARED, "hazards": ["legal"]})
    assert f.send(second).json["decision"] == "ESCALATE"
    talk = json.loads(second)["conversation_id"]
    r = f.send(b.message(performative="inform", conversation_id=talk, content=SHARED))
    assert r.json["rule"] == "10-after-legal", r
    f.kill()  # it stands in the conversation's record
    f.start()
    r = f.send(a.message(performative="inform", conversation_id=talk, content=SHARED))
    assert r.json["rule"] == "10-after-legal", r
    f.verify()


def test_export_holds_every_rule_set_and_none_can_be_altered(f):
    # INV-16: a rule set stands whole beside its entry, and outsiders can check it
    reload(f, DENY_PRODUCTION)
    reload(f, DENY_PRODUCTION.replace("production", "staging"))
    cli, out = Cli(f), os.path.join(f.root, "export")
    cli.wants(0, "witness", "export", "--out", out)
    entries = rules_entries(f)
    files = {os.path.join(out, "rules", f"{e['index']}.json"): e["payload"]["policy_digest"] for e in entries}
    assert sorted(files) == sorted(os.path.join(out, "rules", n) for n in os.listdir(os.path.join(out, "rules"))) and len(files) == 3
    vkey = f.about()["vkey"]
    checks = lambda: subprocess.run([PROGRAM["if-verify"], out, "--vkey", vkey], capture_output=True).returncode
    assert checks() == 0
    for path, digest in files.items():
        with open(path, "rb") as file:
            good = file.read()
        assert sha256(good) == digest
        for bad in (good[:-1], good + b"\n", good.replace(b"1", b"2", 1), b""):
            with open(path, "wb") as file:
                file.write(bad)
            assert checks() == 1, (path, bad)
        with open(path, "wb") as file:
            file.write(good)
    with open(os.path.join(out, "rules", "0.json"), "wb") as file:
        file.write(b"{}")
    assert checks() == 1

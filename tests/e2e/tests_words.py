"""What ifctl says to who is new: slips are named, what waits says for what, and no hint leads in a circle."""

import os
import shutil

from cli import HELD, SCOPE, Cli


def said(done, *words):
    text = done.out + done.err
    assert all(w in text for w in words), (words, done)
    return text


def test_a_held_message_says_what_releases_it(f):
    cli = Cli(f).people()
    base = ("message", "send", "--as", "Demo.A", "--to", "Demo.R", "--claim", "x")
    done = cli.wants(HELD, *base, "--confidence", "0.9", "-o", "json")
    said(done, "none can release it", "no claim_id and no scope", "--claim-id ID --scope JSON", "decision scope-ok", "--scope guard:scope")
    said(cli.wants(0, "decision", "show", done.json["id"]), "no claim_id and no scope", "guard:scope")
    done = cli.wants(HELD, *base, *SCOPE, "-o", "json")
    said(done, "it names no claim_id;")
    named = ("--claim-id", "c-1", *SCOPE)
    done = cli.wants(HELD, *base, *named, "-o", "json")
    said(done, "same --claim-id and --scope", "of another owner")
    said(cli.wants(0, "decision", "show", done.json["id"]), "c-1", "branch", "second source: a talent of another owner")
    # without the grant the refusal holds the command that gives it
    held = done.json["id"]
    said(cli.wants(12, "decision", "scope-ok", held, "--as", "Demo.B", "--yes", "--why", "w"), "ifctl talent grant NAME --scope guard:scope --why")
    # what it says is so: a second source with both names, of another owner, itself shared
    second = ("message", "send", "--as", "Demo.B", "--to", "Demo.R", "--claim", "x", "--confidence", "0.9")
    cli.wants(0, *second, *named)
    assert cli.json("decision", "show", held)["decision"] == "SHARE"


def test_votes_are_counted_and_who_may_vote_is_said(f):
    cli = Cli(f).people()
    with open(os.path.join(f.dir, "rules.yaml"), "w") as rules:
        rules.write("v: 1\nrules:\n  - {id: two, effect: escalate, votes: 2, when: {}}\n")
    operator = ("--as", "operator")
    cli.wants(0, "talent", "add", "Op.V", "--owner", "vera", "--role", "operator", "--new-key", "--why", "w", *operator)
    cli.wants(0, "talent", "add", "Op.W", "--owner", "will", "--role", "operator", "--new-key", "--why", "w", *operator)
    f.restart()
    id_ = cli.send(HELD, *SCOPE)["id"]
    said(cli.wants(0, "decision", "show", id_), "it waits for: operator rule (rule two)", "0 of 2 approvals")
    done = cli.wants(0, "decision", "approve", id_, "--as", "Op.V", "--yes", "--why", "w")
    said(done, "1 of 2 approvals", "may still vote", "Op.W")
    row = cli.json("decision", "list")["items"][0]
    assert (row["votes_given"], row["votes_needed"]) == (1, 2), row
    cli.wants(0, "decision", "approve", id_, "--as", "Op.W", "--yes", "--why", "w")
    assert cli.json("decision", "show", id_)["decision"] == "SHARE"


def test_slips_are_named(f):
    cli = Cli(f).people()
    said(cli.wants(2, "mesage", "send", "--to", "Demo.B"), 'did you mean "message send"', "--help")
    said(cli.wants(2, "send", "--to", "Demo.B"), 'did you mean "message send"', "--help")
    said(cli.wants(2, "message", "sned"), 'did you mean "message send"')
    said(cli.wants(2, "complete"), 'did you mean "task complete"')
    said(cli.wants(2, "message", "send", "--clame", "x"), "did you mean --claim?", "--help")
    said(cli.wants(0, "talent", "grant", "Demo.B", "--scope", "guard:scop", "--why", "w"), "did you mean guard:scope?", "talent revoke")
    assert "warning" not in cli.wants(0, "talent", "grant", "Demo.B", "--scope", "guard:scope", "--why", "w").err
    done = cli("message", "send", "--as", "Demo.A", "--to", "Demo.B", "--claim", "x", "--hazard", "leagl")
    said(done, "did you mean legal?")
    assert "warning" not in cli("message", "send", "--as", "Demo.A", "--to", "Demo.B", "--claim", "x", "--hazard", "legal").err
    cli.wants(0, "key", "new", "--out", f.root + "/a.pem")
    with open(f.root + "/a.pub", "w") as out:
        out.write(cli.wants(0, "key", "show", f.root + "/a.pem", "--pem").out)
    said(cli.wants(2, "talent", "add", "X", "--pubkey", f.root + "/a.pub", "--why", "w"), f"--pubkey @{f.root}/a.pub")
    said(cli.wants(10, "message", "send", "--as", "Demo.A", "--key", f.root + "/a.pub", "--claim", "x"), "is a public key")
    cli.wants(0, "witness", "export", "--out", f.root + "/export")
    with open(f.root + "/vkey", "w") as out:
        out.write(cli.wants(0, "witness", "vkey").out)
    said(cli.wants(2, "witness", "verify", f.root + "/export", "--vkey", f.root + "/vkey"), f"--vkey @{f.root}/vkey")
    done = cli.verify(f.root + "/export", "--vkey", f.root + "/vkey")
    assert done.code == 2 and "@FILE" in done.err, done
    assert cli.verify("--version").out.startswith("if-verify ") and cli.verify("--version").code == 0


def test_no_fabric_is_said_before_anything_else(f):
    cli = Cli(f)
    nowhere = {"IFAB_DIR": "", "HOME": f.root + "/home"}
    for args in (("message", "send", "--as", "A", "--claim", "x"), ("talent", "add", "A", "--new-key", "--why", "w"), ("talent", "list")):
        said(cli.wants(21, *args, env=nowhere), "no fabric at", "ifctl init")


def test_words_are_explained(f):
    cli = Cli(f)
    for word in ("HOLD", "escalate", "DENY", "SHARE", "builtin.no-voters", "builtin.hazard", "builtin.secret", "builtin.no-rules"):
        assert cli.json("explain", word)["do"], word
    assert "ESCALATE at its deadline" in cli.json("explain", "HOLD")["meaning"], cli.json("explain", "HOLD")
    assert "DENY at its deadline" in cli.json("explain", "ESCALATE")["meaning"]
    cli.wants(2, "explain", "builtin.nonsense")
    for args in (("config", "check", f.root + "/x.yaml"), ("guard", "check", f.root + "/x.yaml")):
        with open(f.root + "/x.yaml", "w") as out:
            out.write("nonsense: [\n")
        text = said(cli.wants(20, *args), "hint:")
        assert "config check" not in text and "guard check" not in text and "doctor" not in text, text


def test_init_refuses_a_used_directory_before_it_asks(f):
    done = Cli(f).wants(12, "init", f.dir, "--passphrase-fd", "77")
    said(done, "is used already")


def test_query_takes_dates_and_durations(f):
    cli = Cli(f)
    assert cli.json("witness", "query", "--from", "1h")["items"]
    assert not cli.json("witness", "query", "--to", "2001-02-03")["items"]
    cli.wants(2, "witness", "query", "--from", "2001-02-30")
    cli.wants(2, "witness", "query", "--from", "soon")


def test_a_foreign_host_is_told_of_the_setting(f):
    r = f.get("/v1/fabric", tcp=True, headers={"Host": "evil.example"})
    assert r.status == 421 and "http.hosts" in r.error["hint"] and "role" not in r.error["hint"], r


def test_a_foreign_page_is_not_told_to_ask_for_a_role(f):
    r = f.get("/v1/fabric", tcp=True, headers={"Origin": "https://evil.example"})
    assert r.status == 403 and "another site" in r.error["hint"] and "role" not in r.error["hint"], r


def test_an_owner_in_another_spelling_is_named(f):
    cli = Cli(f).people()
    add = ("talent", "add", "--new-key", "--why", "w")
    said(cli.wants(12, *add, "Bob"), "taken", "hint: Choose another name.")
    said(cli.wants(12, *add, "Dora", "--owner", "bOB"), "another spelling: bob", "in that spelling, or choose another")
    said(cli.wants(12, *add, "Carol", "--owner", "carol"), "another spelling: Carol")


def test_anchors_that_are_gone_are_not_none(f):
    cli = Cli(f)
    said(cli.wants(20, "anchor", "create", "--why", "w"), "anchor.directories", "restart")
    said(cli.wants(0, "anchor", "verify"), "set anchor.directories")
    os.mkdir(f.root + "/anchors")
    f.configure({"anchor.directories": [f.root + "/anchors"], "anchor.every": "0s"})
    f.restart()
    said(cli.wants(0, "anchor", "verify"), "no anchor yet")
    cli.wants(0, "anchor", "create", "--why", "w")
    cli.wants(0, "anchor", "verify")
    assert f.get("/v1/anchors").json["anchored_size"] > 0
    for name in os.listdir(f.root + "/anchors"):
        path = f.root + "/anchors/" + name
        shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    said(cli.wants(20, "anchor", "verify"), "anchors are gone", "mounted")

"""ifctl and if-verify from init to restore: exit codes, what is printed, what must never be."""

import http.server
import json
import os
import shutil
import subprocess
import threading
import time

from cli import DENIED, HELD, SCOPE, Cli, Screen
from fabric import PROGRAM, Fabric, Skip, check_note, stamp, uuid7, wait_for
from tests_calls import programs

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def test_init_makes_a_fabric_and_says_what_is_next():
    root = Fabric(init=False)
    try:
        cli = Cli(root)
        done = cli.wants(0, "init", root.dir, "--http", "127.0.0.1:0")
        assert f"ifd --config {root.dir}/ifd.yaml" in done.err and "no passphrase" in done.err, done
        again = cli("init", root.dir, "--http", "127.0.0.1:0")
        assert again.code == 12, again
        assert cli.wants(21, "talent", "list").err == (
            f"No fabric answers at unix:{root.dir}/run/ifd.sock. Start it: ifd --config {root.dir}/ifd.yaml, "
            "or name another with --endpoint.\n"
        )
        root.start()
        assert cli.json("doctor")["items"]
        assert {i["state"] for i in cli.json("doctor")["items"]} == {"good"}
        os.chmod(os.path.join(root.dir, "keys", "log.key"), 0o644)
        bad = cli.json("doctor", code=20)["items"]
        assert [i["check"] for i in bad if i["state"] == "bad"] == ["log.key"], bad
    finally:
        root.close()


def as_the_readme_says(to, change=lambda lines: lines, config=""):
    """Runs every line of the README's "In earnest" up to the mark, in a home of its own; what they print. config: for the fabric that they made."""
    readme = os.path.join(ROOT, "README.md")
    with open(readme) as file:
        section = file.read().split("## In earnest")[1].split("\n## ")[0]
    lines = [line[4:] for line in section[: section.index(to) if to else None].splitlines() if line.startswith("    ")]
    daemon = [line for line in lines if line.startswith("build/ifd ")]
    assert len(lines) >= 10 and len(daemon) == 1 and "init ~/fabric " in lines[0], lines
    root = Fabric(init=False)
    try:
        cli = Cli(root, IFAB_DIR="")
        home = cli.env["HOME"]
        os.mkdir(os.path.join(home, "build"))
        for name in ("ifd", "ifctl", "if-verify"):
            os.symlink(PROGRAM[name], os.path.join(home, "build", name))
        for name in ("adapters", "sdk"):
            os.symlink(os.path.join(ROOT, name), os.path.join(home, name))
        lines[0] = lines[0].replace("init ~/fabric ", "init ~/fabric --http 127.0.0.1:0 ")  # tests run beside each other

        def shell(script):
            p = subprocess.run(["sh", "-euc", script], cwd=home, env=cli.env, capture_output=True, stdin=subprocess.DEVNULL, timeout=120)
            assert p.returncode == 0, (script, p)
            return p.stdout.decode()

        at = lines.index(daemon[0])
        shell("\n".join(lines[:at]))
        root.dir = os.path.join(home, "fabric")
        with open(os.path.join(root.dir, "ifd.yaml"), "a") as file:
            file.write(config)
        root.start()
        return shell("\n".join(change(lines[at + 1 :])))
    finally:
        root.close()


def test_the_readme_is_literally_true():
    said = as_the_readme_says("### A first tool")
    assert said.count("SHARE") == 3 and said.endswith("verified\n"), said


def test_the_first_tool_of_the_readme_reads_a_page():
    """As it stands there, but for the host: a page of this test's own stands for the one of the network."""
    programs()
    if shutil.which("clang") is None or shutil.which("wasm-ld") is None:
        raise Skip("clang and lld are not installed: no guest can be built")

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "10")
            self.end_headers()
            self.wfile.write(b"Good page.")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here = f"127.0.0.1:{server.server_port}"

    def local(lines):
        text = "\n".join(lines)
        assert text.count("https://example.com/") == 2 and text.count("scheme: https, host: example.com,") == 1, text
        text = text.replace("https://example.com/", f"http://{here}/")
        return text.replace("scheme: https, host: example.com,", f"scheme: http, host: 127.0.0.1, port: {server.server_port},").split("\n")

    try:
        said = as_the_readme_says(None, local, f'egress:\n  allow: ["web.page 127.0.0.1/32 {server.server_port}"]\n')
    finally:
        server.shutdown()
        server.server_close()
    assert "verified\n" in said and "Good page." in said.split("verified\n")[1], said


def test_a_directory_that_is_no_fabric_is_called_so(f):
    cli = Cli(f)
    for env, args in (({}, ("--dir", "/nowhere/at all")), ({"IFAB_DIR": f.root}, ())):
        done = cli(*args, "talent", "list", env=env)
        named = args[1] if args else f.root
        assert done.code == 21 and done.err.startswith(f"ifctl: no fabric at {named}: "), done
        assert f"ifctl init {named}" in done.err, done
        assert "Start it" not in done.err, done
    assert "ifctl init" in cli.wants(20, "--dir", f.root, "doctor").out


def test_texts_that_are_said_verbatim(f):
    cli = Cli(f).people()
    deep = os.path.join(f.root, "d" * 140)
    os.mkdir(deep)
    size = len(deep) + len("/run/ifd.sock")
    assert f"Socket path has {size} bytes, the system allows 107: set run.dir." in cli("--dir", deep, "talent", "list").err
    first = cli.wants(
        0, "message", "sign", "--as", "Demo.A", stdin=b'{"content":{"claim":"x","scope":{"a":1},"confidence":{"raw":0.9,"normalized":0.9}}}'
    )
    draft = json.loads(first.out)
    later = cli.send(0, *SCOPE)
    done = cli.wants(11, "message", "send", "--json", "-", stdin=first.raw)
    last = f.last_seq(type("A", (), {"name": "Demo.A"}))["if://agent/Demo.A"]
    assert done.err.startswith(
        f"IF_ERR_104: seq {draft['seq']} is not above {last}, the last one of if://agent/Demo.A. Two processes with one instance name?\n"
    ), (done, later)
    if os.geteuid() != 0:
        return
    os.chmod(f.root, 0o755)
    for path in (f.dir, os.path.join(f.dir, "run")):
        os.chmod(path, 0o711)
    shutil.copy(PROGRAM["ifctl"], os.path.join(f.root, "ifctl"))
    os.chmod(os.path.join(f.root, "ifctl"), 0o755)
    os.chmod(f.unix, 0o600)
    p = subprocess.run(
        [os.path.join(f.root, "ifctl"), "--endpoint", "unix:" + f.unix, "talent", "list"],
        user=54321,
        group=54321,
        extra_groups=[],
        env={"HOME": "/"},
        capture_output=True,
        cwd="/",
    )
    assert (
        p.returncode == 10 and p.stderr.decode() == "uid 54321 may not use this socket. Ask for a token, or add it under access.uids.\n"
    ), p


def test_decisions_from_the_message_to_the_inbox(f):
    cli = Cli(f).people()
    shared = cli.send(0, *SCOPE)
    held = cli.send(HELD)
    approved, refused = cli.send(HELD, *SCOPE, "--hazard", "legal"), cli.send(HELD, *SCOPE, "--hazard", "legal")
    denied = cli.send(DENIED, *SCOPE, "--data", '{"password":"hunter2hunter2","key":"AKIAIOSFODNN7EXAMPLE"}')
    assert [x["decision"] for x in (shared, held, approved, refused, denied)] == ["SHARE", "HOLD", "ESCALATE", "ESCALATE", "DENY"]
    waiting = cli.json("decision", "list")["items"]
    assert {d["id"] for d in waiting} == {held["id"], approved["id"], refused["id"]}
    assert [d["id"] for d in cli.json("decision", "list", "--state", "held")["items"]] == [held["id"]]
    shown = cli.json("decision", "show", approved["id"])
    assert shown["envelope"]["content"]["claim"] == "The build is green"

    # without a terminal nothing is signed unless --yes says so
    size = f.size()
    done = cli.wants(2, "decision", "approve", approved["id"], "--why", "looked")
    assert "--yes" in done.err and f.size() == size, done
    assert cli.wants(2, "decision", "approve", approved["id"], "--yes").err.count("--why") and f.size() == size
    # a hold is not approved, an escalation not scope-checked, and an unknown one is neither
    assert cli.wants(12, "decision", "approve", held["id"], "--yes", "--why", "x").err.count("scope-ok")
    assert cli.wants(12, "decision", "scope-ok", approved["id"], "--yes", "--why", "x").err.count("approve")
    cli.wants(12, "decision", "approve", "msg-" + uuid7(), "--yes", "--why", "x")
    assert f.size() == size

    done = cli.wants(0, "decision", "approve", approved["id"], "--yes", "--why", "looked")
    assert "The build is green" in done.err and "if://agent/Demo.A" in done.err, done
    cli.wants(0, "decision", "refuse", refused["id"], "--yes", "--why", "no")
    assert "already decided" in cli.wants(12, "decision", "refuse", approved["id"], "--yes", "--why", "no").err
    assert cli.json("decision", "wait", approved["id"])["decision"] == "SHARE"
    assert cli.json("decision", "wait", refused["id"], code=DENIED)["decision"] == "DENY"
    assert cli.json("decision", "wait", held["id"], "--wait", "0", code=HELD)["state"] == "held"

    inbox = cli.json("message", "inbox", "--as", "Demo.R")["items"]
    assert [i["envelope"]["id"] for i in inbox] == [shared["id"], approved["id"]]
    assert cli.json("message", "inbox", "--as", "Demo.R", "--after", inbox[0]["cursor"])["items"][0]["envelope"]["id"] == approved["id"]
    assert cli.json("message", "inbox", "--as", "Demo.R", "--limit", "1")["items"] == inbox[:1]
    cli.wants(2, "message", "inbox")
    f.verify()


def test_questions_on_a_terminal(f):
    cli = Cli(f).people()
    waiting = cli.send(HELD, *SCOPE, "--hazard", "legal")
    size = f.size()
    for answer in ("n\n", "\n", "yess\n", "\x04"):
        s = Screen(cli, "decision", "approve", waiting["id"], "--why", "w").until("[y/N] ").type(answer)
        assert s.end() == 2 and "not signed" in s.text, (answer, s.text)
        assert "The build is green" in s.text.split("[y/N]")[0], "the message is shown before the question"
    assert f.size() == size
    s = Screen(cli, "decision", "approve", waiting["id"]).until("Why?").type("typed\n").until("[y/N] ").type("y\n")
    assert s.end() == 0, s.text
    assert f.size() > size and "typed" in [e.get("why") for e in f.entries(size)]

    path = os.path.join(f.root, "typed.pem")
    s = Screen(cli, "key", "new", "--out", path).until("none): ").type("one\n").until("again: ").type("two\n")
    assert s.end() == 2 and "differ" in s.text and not os.path.exists(path), s.text
    s = Screen(cli, "key", "new", "--out", path).until("none): ").type("swordfish\n").until("again: ").type("swordfish\n")
    assert s.end() == 0 and "swordfish" not in s.text, s.text
    with open(path) as file:
        assert "ENCRYPTED" in file.read()
    s = Screen(cli, "key", "show", path).until("Passphrase: ").type("swordfish\n")
    assert s.end() == 0 and "swordfish" not in s.text and "pubkey" in s.text, s.text
    s = Screen(cli, "key", "show", path).until("Passphrase: ").type("wrong\n")
    assert s.end() == 10, s.text
    s = Screen(cli, "--endpoint", "unix:/nowhere", "explain", "IF_ERR_104")
    assert s.end() == 0, s.text
    s = Screen(cli, "decision", "show", "nope")
    assert s.end() == 12 and "\x1b[31mIF_ERR_208\x1b[0m" in s.text, s.text
    cli.env["NO_COLOR"] = "1"
    s = Screen(cli, "decision", "show", "nope")
    assert s.end() == 12 and "\x1b" not in s.text, s.text


def test_two_votes_of_two_owners_release_a_sensitive_scope(f):
    # INV-06
    cli = Cli(f).people()
    for name, owner in (("Vera", "team.v"), ("Vera.Too", "team.v"), ("Alice.Too", "alice")):
        cli.wants(0, "talent", "add", name, "--role", "operator", "--owner", owner, "--new-key", "--why", "votes")
    waiting = cli.send(HELD, "--scope", '{"uses":"payments"}', "--hazard", "legal")
    vote = ("decision", "approve", waiting["id"], "--yes", "--why", "looked")
    assert cli.json("decision", "show", waiting["id"])["votes_needed"] == 2
    assert "IF_ERR_003" in cli.wants(10, *vote, "--as", "Alice.Too").err  # the sender's own owner
    assert cli.json(*vote, "--as", "Vera")["state"] == "escalated"
    for name in ("Vera", "Vera.Too"):  # the same owner again, under either name
        cli(*vote, "--as", name)
        assert cli.json("decision", "show", waiting["id"])["state"] == "escalated"
    assert cli.json(*vote)["decision"] == "SHARE"
    assert len(cli.json("message", "inbox", "--as", "Demo.R")["items"]) == 1


test_two_votes_of_two_owners_release_a_sensitive_scope.config = {"access.sensitive_scopes": ["payments"]}


def test_witness_commands_and_offline_verification(f):
    cli = Cli(f).people()
    trace = "0193b5f0-0000-7000-8000-00000000abcd"
    receipt = cli.send(0, *SCOPE, "--trace=" + trace)
    assert receipt["trace"] == trace
    index = receipt["entry"]["index"]
    assert [e["index"] for e in cli.json("witness", "trace", trace)["items"]] == [index]
    assert [e["index"] for e in cli.json("witness", "query", "--trace-token", trace)["items"]] == [index]
    entry = cli.json("witness", "show", str(index))
    assert entry["index"] == index
    assert [e["index"] for e in cli.json("witness", "query", "--component", entry["component"], "--type", entry["type"])["items"]][
        -1
    ] == index
    assert cli.json("witness", "prove", str(index))["verified"] is True
    cli.wants(12, "witness", "show", "99999")
    cli.wants(2, "witness", "show", "first")
    cli.wants(2, "witness", "query", "--from", "yesterday")
    assert "119s" in cli.wants(2, "witness", "query", "--from", "119").err
    assert cli.json("witness", "query", "--from", "2999-01-01T00:00:00Z")["items"] == []
    assert len(cli.json("witness", "query", "--from", "2000-01-01T00:00:00Z", "--to", "2999-01-01T00:00:00Z")["items"]) == f.size()
    lines = cli.wants(0, "witness", "query", "--all", "--limit", "2", "-o", "csv").out.splitlines()
    assert sum(line.startswith('"INDEX"') for line in lines) == 1 and len(lines) == f.size() + 1, lines

    for form in ("json", "yaml", "ndjson", "table"):
        text = cli.wants(0, "witness", "query", "--all", "--limit", "2", "-o", form).out
        assert text.count("rules_loaded") == 1 and "more:" not in text, text
        if form == "json":
            assert [e["index"] for e in json.loads(text)["items"]] == list(range(f.size()))
    many = "0193b5f0-0000-7000-8000-000000000001"
    a = f.enrol("Demo.M")
    f.lines([a.message(trace=many) for _ in range(1100)])
    assert len(cli.json("witness", "trace", many)["items"]) == 1100
    assert cli.wants(0, "witness", "trace", many).out.count("\n") == 1101

    key = cli.wants(0, "witness", "vkey").out.strip()
    other = "fab.example/other+00000000+" + key.split("+", 2)[2]
    check_note(cli.wants(0, "witness", "checkpoint").raw, key)
    kept = os.path.join(f.root, "kept")
    with open(kept, "wb") as file:
        file.write(cli.wants(0, "witness", "checkpoint").raw)
    vkey_file = os.path.join(f.root, "vkey")
    with open(vkey_file, "w") as file:
        file.write(key + "\n")
    cli.send(0, *SCOPE)
    out, proof = os.path.join(f.root, "export"), os.path.join(f.root, "r.json")
    cli.wants(2, "witness", "export")
    cli.wants(0, "witness", "export", "--out", out)
    cli.wants(12, "witness", "export", "--out", out)
    cli.wants(0, "receipt", "save", receipt["id"], "--out", proof)

    for path in (out, proof):
        assert cli.verify(path, "--vkey", key).code == 0
        assert cli.verify(path, "--vkey", "@" + vkey_file).code == 0
        assert cli.verify(path).code == 3
        assert cli.verify(path, "--vkey", other).code in (1, 2)
        assert cli.verify(path, "--vkey", "nonsense").code == 2
        assert cli.verify(path, "--vkey", "").code == 2
        assert cli.verify(path, "--vkey").code == 2
        assert cli.verify(path, "--nonsense").code == 2
    assert cli.verify().code == 2 and cli.verify("/nowhere").code == 2
    assert cli.verify("--help").code == 0
    assert cli.verify(out, "--vkey", key, "--checkpoint", kept).code == 0
    assert cli.verify(out, "--vkey", key, "--min-size", str(f.size())).code == 0
    assert cli.verify(out, "--vkey", key, "--min-size", str(f.size() + 1)).code == 1
    assert cli.verify("receipt", out, "--vkey", key).code == 2
    assert cli.verify("log", out, "--vkey", key).code == 0
    # another fabric's key is well formed and still not this log's
    stranger = Fabric()
    try:
        foreign = Cli(stranger)
        stranger.start()
        foreign_key = foreign.wants(0, "witness", "vkey").out.strip()
    finally:
        stranger.close()
    assert cli.verify(out, "--vkey", foreign_key).code == 1 and cli.verify(proof, "--vkey", foreign_key).code == 1
    for code, args in ((0, ("--vkey", key)), (3, ()), (1, ("--vkey", foreign_key)), (2, ("--min-size", "x"))):
        cli.wants(code, "witness", "verify", out, *args)
    cli.wants(2, "witness", "verify", "/nowhere")


def test_a_tampered_copy_is_not_verified(f):
    # INV-08
    cli = Cli(f).people()
    receipt = cli.send(0, *SCOPE)
    key = cli.wants(0, "witness", "vkey").out.strip()
    out, proof = os.path.join(f.root, "export"), os.path.join(f.root, "r.ifproof")
    cli.wants(0, "witness", "export", "--out", out)
    cli.wants(0, "receipt", "save", receipt["id"], "--out", proof)
    files = [os.path.join(base, name) for base, _, names in os.walk(out) for name in names if name not in ("vkey", "erased.json")]
    assert len(files) >= 4, files
    for path in files:
        with open(path, "rb") as file:
            good = file.read()
        for at in (0, len(good) // 2, len(good) - 2):
            with open(path, "wb") as file:
                file.write(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
            done = cli.verify(out, "--vkey", key)
            assert done.code == 1, (path, at, done)
        with open(path, "wb") as file:
            file.write(good)
    assert cli.verify(out, "--vkey", key).code == 0
    with open(proof) as file:
        bundle = json.load(file)
    other = json.loads(bundle["envelope"])
    other["content"]["claim"] = "something else"
    for change in (
        {"envelope": json.dumps(other)},
        {"enrolment": bundle["decision"]},
        {"decision": bundle["enrolment"]},
        {"checkpoint": bundle["checkpoint"].replace("\n4\n", "\n5\n")},
        {"v": 2},
        {"more": 1},
    ):
        with open(proof, "w") as file:
            json.dump({**bundle, **change}, file)
        if {**bundle, **change} != bundle:
            assert cli.verify(proof, "--vkey", key).code == 1, change.keys()
    with open(proof, "w") as file:
        json.dump(bundle, file)
    assert cli.verify(proof, "--vkey", key).code == 0 and cli.verify("bundle", proof, "--vkey", key).code == 0
    os.remove(proof)
    cli.wants(0, "receipt", "save", receipt["id"], "--receipt", "--out", proof)
    assert cli.verify(proof, "--vkey", key).code == 0 and cli.verify("bundle", proof, "--vkey", key).code == 1
    with open(proof) as file:
        whole = json.load(file)
    for name, value in (("decision", "DENY"), ("id", "msg-" + uuid7()), ("message_digest", "sha256:" + "0" * 64), ("reason", "because")):
        with open(proof, "w") as file:
            json.dump({**whole, name: value}, file)
        assert cli.verify(proof, "--vkey", key).code == 1, name
    with open(proof, "w") as file:
        json.dump({k: v for k, v in whole.items() if k != "proof"}, file)
    assert cli.verify(proof, "--vkey", key).code == 1


def test_receipt_save_says_what_is_wrong(f):
    cli = Cli(f).people()
    receipt = cli.send(0, *SCOPE)
    out = os.path.join(f.root, "r.json")
    assert "msg-" in cli.wants(2, "receipt", "save", "nope", "--out", out).err
    assert "IF_ERR_404" in cli.wants(12, "receipt", "save", "msg-" + uuid7(), "--out", out).err
    assert not os.path.exists(out)
    assert "No such file" in cli.wants(2, "receipt", "save", receipt["id"], "--out", os.path.join(f.root, "none", "r.json")).err
    cli.wants(0, "receipt", "save", receipt["id"], "--out", out)
    assert "exists already" in cli.wants(12, "receipt", "save", receipt["id"], "--out", out).err
    cli.wants(0, "receipt", "save", receipt["id"], cwd=f.root)
    assert os.path.exists(os.path.join(f.root, receipt["id"] + ".ifproof"))
    if os.geteuid() == 0:  # as somebody who may read the program and not write here
        os.chmod(f.root, 0o755)
        shutil.copy(PROGRAM["ifctl"], os.path.join(f.root, "ifctl"))
        p = subprocess.run(
            [
                os.path.join(f.root, "ifctl"),
                "--endpoint",
                "unix:/nowhere",
                "receipt",
                "save",
                receipt["id"],
                "--out",
                os.path.join(f.root, "x"),
            ],
            user=54321,
            group=54321,
            extra_groups=[],
            env={"HOME": "/"},
            capture_output=True,
            cwd="/",
        )
        assert p.returncode == 10 and b"Permission denied" in p.stderr, p


def test_anchors_erasure_backup_and_restore(f):
    anchors = os.path.join(f.root, "anchors")
    os.mkdir(anchors, 0o700)
    f.configure({"anchor.directories": [anchors]})
    f.start()
    cli = Cli(f).people()
    receipt = cli.send(0, *SCOPE, "--data", '{"note":"erase me 8f1c"}')
    cli.wants(0, "anchor", "create", "--why", "now")
    cli.send(0, *SCOPE)
    assert cli.json("anchor", "list")["items"]
    assert {i["state"] for i in cli.json("anchor", "verify")["items"]} == {"good"}
    for name in os.listdir(anchors):  # another root for the same size: the log is not what was anchored
        path = os.path.join(anchors, name)
        with open(path) as file:
            text = file.read()
        lines = text.split("\n")
        with open(path, "w") as file:
            file.write("\n".join([*lines[:2], ("B" if lines[2][0] == "A" else "A") + lines[2][1:], *lines[3:]]))
        cli.wants(20, "anchor", "verify")
        with open(path, "w") as file:
            file.write(text)
    cli.wants(0, "anchor", "verify")

    cli.wants(2, "witness", "erase", receipt["id"], "--why", "asked")
    cli.wants(2, "witness", "erase", receipt["id"], "--sender", "if://agent/Demo.A")
    assert f.grep(b"erase me 8f1c")
    cli.wants(0, "witness", "erase", receipt["id"], "--sender", "if://agent/Demo.A", "--why", "asked")
    assert not f.grep(b"erase me 8f1c")
    cli.wants(12, "witness", "erase", "msg-" + uuid7(), "--sender", "if://agent/Demo.A", "--why", "asked")
    out = os.path.join(f.root, "export")
    key = cli.wants(0, "witness", "vkey").out.strip()
    cli.wants(0, "witness", "export", "--out", out)
    assert "1 erased" in cli.verify(out, "--vkey", key).out

    copy, new = os.path.join(f.root, "copy"), os.path.join(f.root, "new")
    cli.wants(0, "backup", copy, "--why", "nightly")
    cli.wants(12, "backup", copy, "--why", "nightly")
    cli.wants(2, "backup", copy + "2")
    old = f.about()["origin"]
    cli.wants(2, "restore", copy, "--why", "lost")
    cli.wants(2, "restore", "/nowhere", "--dir", new, "--why", "lost")
    done = cli.wants(0, "restore", copy, "--dir", new, "--keys", os.path.join(f.dir, "keys"), "--why", "lost")
    g = Fabric(parent=f.root, directory=new, init=False)
    g.configure({})
    with g.start():
        about = g.about()
        assert about["origin"] != old
        for said in (old, about["origin"], "Void:", f"ifd --config {new}/ifd.yaml", "witness vkey"):
            assert said in done.err, (said, done)
        again = Cli(g)
        assert {t["name"] for t in again.json("talent", "list")["items"]} == {"operator", "Demo.A", "Demo.B", "Demo.R"}
        send = ("message", "send", "--as", "Demo.A", "--key", f"{f.dir}/keys/Demo.A.pem")
        assert "time.skew" in done.err and "IF_ERR_102" in again.wants(11, *send, "--claim", "on", *SCOPE).err
        content = {"claim": "on", "scope": {"a": 1}, "confidence": {"raw": 0.9, "normalized": 0.9}}

        def goes_on():  # past the skew the old keys speak again
            draft = {"issued_at": stamp(time.time() + 59), "content": content}
            return again(*send, "--json", "-", stdin=json.dumps(draft).encode()).code == 0

        wait_for(goes_on, what="a message after the skew")
    assert cli("restore", copy, "--dir", new, "--why", "lost").code != 0, "a used directory is not written over"


test_anchors_erasure_backup_and_restore.started = False


def test_encrypted_keys_need_their_passphrase(f):
    cli = Cli(f)
    keys = os.path.join(f.root, "keys")
    os.mkdir(keys)
    path, public = os.path.join(keys, "a.pem"), os.path.join(keys, "a.pub")
    cli.wants(0, "key", "new", "--out", path, secret=b"correct horse\n")
    with open(path) as file:
        text = file.read()
    assert text.startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----") and os.stat(path).st_mode & 0o777 == 0o600, text
    cli.wants(12, "key", "new", "--out", path, secret=b"correct horse")
    cli.wants(10, "key", "new", "--out", path + "2", secret=b"")
    cli.wants(10, "key", "new", "--out", path + "2", "--passphrase-fd", "99")
    assert not os.path.exists(path + "2"), "a named descriptor never ends in a key without a passphrase"
    cli.wants(10, "key", "show", path)
    cli.wants(10, "key", "show", path, secret=b"wrong")
    with open(public, "w") as file:
        file.write(cli.wants(0, "key", "show", path, "--pem", secret=b"correct horse").out)
    cli.wants(0, "talent", "add", "Demo.A", "--pubkey", "@" + public, "--why", "test")
    message = ("message", "send", "--as", "Demo.A", "--key", path, "--claim", "x", "--confidence", "0.9", *SCOPE)
    size = f.size()
    cli.wants(10, *message)
    cli.wants(10, *message, secret=b"wrong")
    assert f.size() == size
    cli.wants(0, *message, secret=b"correct horse")
    cli.wants(0, "talent", "add", "Demo.C", "--new-key", "--why", "test", secret=b"another one")
    with open(os.path.join(f.dir, "keys", "Demo.C.pem")) as file:
        assert "ENCRYPTED" in file.read()
    os.chmod(path, 0o644)
    assert "chmod 600" in cli.wants(10, *message, secret=b"correct horse").err


def test_failed_enrolment_leaves_no_key(f):
    cli = Cli(f)
    cli.wants(12, "talent", "add", "Demo.A", "--role", "nonsense", "--new-key", "--why", "x")
    assert not os.path.exists(os.path.join(f.dir, "keys", "Demo.A.pem"))
    cli.wants(0, "talent", "add", "Demo.A", "--new-key", "--why", "x")
    cli.wants(12, "talent", "add", "Demo.A", "--new-key", "--why", "x")
    assert os.path.exists(os.path.join(f.dir, "keys", "Demo.A.pem")), "the key that is enrolled stays"
    cli.wants(12, "talent", "show", "Nobody")
    cli.wants(2, "talent", "add", "--new-key", "--why", "x")
    cli.wants(2, "talent", "add", "Demo.B", "--new-key")
    cli.wants(0, "talent", "grant", "--name", "Demo.A", "--capability", "veritas:secrets", "--why", "x")
    assert cli.json("talent", "show", "Demo.A")["grants"][0]["scope"] == "veritas:secrets"
    scopes = lambda: {grant["scope"] for grant in cli.json("talent", "show", "Demo.A")["grants"]}  # noqa: E731
    for word in ("studio.mixer", "if://capability/studio.door"):
        cli.wants(0, "talent", "grant", "Demo.A", "--capability", word, "--why", "x")
    assert scopes() == {"veritas:secrets", "if://capability/studio.mixer", "if://capability/studio.door"}, scopes()
    for args in (("--capability", "studio.mixer@1.0.0"), ("--capability", "Studio"), ("--capability", "studio..mixer"), ("--capability", ""),
                 ("--capability", "if://capability/Studio"), ("--capability", "studio.mixer", "--scope", "studio.mixer")):
        for command in ("grant", "revoke"):
            cli.wants(2, "talent", command, "Demo.A", *args, "--why", "x")
    keys = cli.json("talent", "show", "Demo.A")["keys"]
    for word in ("if://capability/studio.mixer", "studio.door", "veritas:secrets"):
        cli.wants(0, "talent", "revoke", "Demo.A", "--capability", word, "--why", "x")
    assert not scopes() and cli.json("talent", "show", "Demo.A")["keys"] == keys, "a grant alone was taken back"
    cli.wants(0, "talent", "remove", "Demo.A", "--why", "gone")
    cli.wants(10, "message", "send", "--as", "Demo.A", "--claim", "x", "--confidence", "0.9", *SCOPE)

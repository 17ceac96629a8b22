"""ifctl and if-verify as a person or a script uses them: exit codes, what is printed, what must never be."""

import csv
import io
import itertools
import json
import os
import pty
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import threading
import time

from fabric import PROGRAM, Fabric, check_note, stamp, uuid7, wait_for

HELD, DENIED = 30, 31
# what must never reach a terminal as it is: C0 but line breaks, DEL, C1, bidi, zero-width
RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
HOSTILE = [
    "'; DROP TABLE entries; --",
    "../../../../etc/passwd",
    "%s%n%s%n %00 %2e%2e%2f",
    "a\x1b]0;owned\x07\x1b[2J\x1b[31mred",
    "a\u202egnp.exe\u200b\u2066x\u2069",
    "line\nIF_ERR_000: forged\rover",
    "\x7f\x01\x02\u009b31m",
    '{"a":1}',
    "$(touch /tmp/owned)`id`",
    "-",
    "@",
    "@/etc/shadow\u200b",
    "",
    " ",
    "\\",
    "x" * 5000,
    "é" * 300,
]


class Done:
    def __init__(self, args, process):
        self.args, self.code = args, process.returncode
        self.raw = process.stdout
        self.out, self.err = process.stdout.decode("utf-8"), process.stderr.decode("utf-8")

    @property
    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"ifctl {self.args} → {self.code}\n{self.out[-1500:]}\n{self.err[-1500:]}"


class Cli:
    """ifctl with a home of its own and no terminal."""

    def __init__(self, f, **environment):
        self.f = f
        home = os.path.join(f.root, "home")
        os.makedirs(home, exist_ok=True)
        path = os.path.dirname(PROGRAM["ifd"]) + ":" + os.environ["PATH"]
        self.env = {"PATH": path, "HOME": home, "LANG": "C.UTF-8", "IFAB_DIR": f.dir, **environment}

    def __call__(self, *args, secret=None, stdin=b"", env=None, timeout=60, program="ifctl", **more):
        """secret: what --passphrase-fd gives."""
        fds = ()
        if secret is not None:
            r, w = os.pipe()
            os.write(w, secret)
            os.close(w)
            fds, args = (r,), (*args, "--passphrase-fd", str(r))
        try:
            p = subprocess.run(
                [PROGRAM[program], *args], env={**self.env, **(env or {})}, input=stdin, capture_output=True, timeout=timeout, pass_fds=fds, **more
            )
        finally:
            for fd in fds:
                os.close(fd)
        done = Done(args, p)
        assert "Sanitizer" not in done.err and "runtime error" not in done.err, done
        return done

    def wants(self, code, *args, **more):
        done = self(*args, **more)
        assert done.code == code, f"expected {code}: {done!r}"
        return done

    def json(self, *args, code=0, **more):
        return self.wants(code, *args, "-o", "json", **more).json

    def verify(self, *args):
        return self(*args, program="if-verify")

    def people(self):
        for name, owner in (("Demo.A", "alice"), ("Demo.B", "bob"), ("Demo.R", "rita")):
            self.wants(0, "talent", "add", name, "--owner", owner, "--new-key", "--why", "test")
        return self

    def send(self, code, *args, sender="Demo.A"):
        given = ("--to", "Demo.R", "--claim", "The build is green", "--confidence", "0.9")
        return self.json("message", "send", "--as", sender, *(() if "--claim" in args else given), *args, code=code)


SCOPE = ("--scope", '{"branch":"main"}')


def test_init_makes_a_fabric_and_says_what_is_next():
    root = Fabric(init=False)
    try:
        cli = Cli(root)
        done = cli.wants(0, "init", root.dir, "--http", "127.0.0.1:0")
        assert f"ifd --config {root.dir}/ifd.yaml" in done.err and "no passphrase" in done.err, done
        again = cli("init", root.dir, "--http", "127.0.0.1:0")
        assert again.code == 12, again
        assert cli.wants(21, "talent", "list").err == (
            f"No fabric answers at unix:{root.dir}/run/ifd.sock. Start it: ifd --config {root.dir}/ifd.yaml, or name another with --endpoint.\n"
        )
        root.start()
        assert cli.json("doctor")["items"]
        assert {i["state"] for i in cli.json("doctor")["items"]} == {"good"}
        os.chmod(os.path.join(root.dir, "keys", "log.key"), 0o644)
        bad = cli.json("doctor", code=20)["items"]
        assert [i["check"] for i in bad if i["state"] == "bad"] == ["log.key"], bad
    finally:
        root.close()


def test_the_readme_is_literally_true():
    readme = os.path.join(os.path.dirname(__file__), "../../README.md")
    with open(readme) as file:
        section = file.read().split("## In earnest")[1].split("\n## ")[0]
    lines = [line[4:] for line in section.splitlines() if line.startswith("    ")]
    daemon = [line for line in lines if line.startswith("build/ifd ")]
    assert len(lines) >= 10 and len(daemon) == 1 and "init ~/fabric " in lines[0], lines
    root = Fabric(init=False)
    try:
        cli = Cli(root, IFAB_DIR="")
        home = cli.env["HOME"]
        os.mkdir(os.path.join(home, "build"))
        for name in ("ifd", "ifctl", "if-verify"):
            os.symlink(PROGRAM[name], os.path.join(home, "build", name))
        lines[0] = lines[0].replace("init ~/fabric ", "init ~/fabric --http 127.0.0.1:0 ")  # tests run beside each other

        def shell(script):
            p = subprocess.run(["sh", "-euc", script], cwd=home, env=cli.env, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
            assert p.returncode == 0, (script, p)
            return p.stdout.decode()

        at = lines.index(daemon[0])
        shell("\n".join(lines[:at]))
        root.dir = os.path.join(home, "fabric")
        root.start()
        said = shell("\n".join(lines[at + 1 :]))
        assert said.count("SHARE") == 2 and said.endswith("verified\n"), said
    finally:
        root.close()


def test_a_directory_that_is_no_fabric_is_called_so(f):
    cli = Cli(f)
    for env, args in (({}, ("--dir", "/nowhere/at all")), ({"IFAB_DIR": f.root}, ())):
        done = cli(*args, "talent", "list", env=env)
        named = args[1] if args else f.root
        assert done.code == 21 and done.err.startswith(f"ifctl: {named} "), done
        assert "fabric" in done.err and f"ifctl init {named}" in done.err, done
        assert "Start it" not in done.err, done
    assert "ifctl init" in cli.wants(20, "--dir", f.root, "doctor").out


def test_texts_that_are_said_verbatim(f):
    cli = Cli(f).people()
    deep = os.path.join(f.root, "d" * 140)
    os.mkdir(deep)
    size = len(deep) + len("/run/ifd.sock")
    assert f"Socket path has {size} bytes, the system allows 107: set run.dir." in cli("--dir", deep, "talent", "list").err
    first = cli.wants(0, "message", "sign", "--as", "Demo.A", stdin=b'{"content":{"claim":"x","scope":{"a":1},"confidence":{"raw":0.9,"normalized":0.9}}}')
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
        [os.path.join(f.root, "ifctl"), "--endpoint", "unix:" + f.unix, "talent", "list"], user=54321, group=54321, extra_groups=[], env={"HOME": "/"},
        capture_output=True, cwd="/",
    )
    assert p.returncode == 10 and p.stderr.decode() == "uid 54321 may not use this socket. Ask for a token, or add it under access.uids.\n", p


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


class Screen:
    """ifctl on a terminal of its own: what it says, and what a person types."""

    def __init__(self, cli, *args):
        pid, self.fd = pty.fork()
        if pid == 0:
            os.execve(PROGRAM["ifctl"], ["ifctl", *args], {**cli.env, "TERM": "xterm"})
        self.pid, self.text = pid, ""

    def until(self, what):
        while what not in self.text:
            ready, _, _ = select.select([self.fd], [], [], 30)
            assert ready, f"{what!r} did not come: {self.text!r}"
            self.text += os.read(self.fd, 65536).decode()
        return self

    def type(self, text):
        os.write(self.fd, text.encode())
        return self

    def end(self):
        """Exit code; the rest of what it says is in text."""
        while True:
            try:
                data = os.read(self.fd, 65536)
            except OSError:  # EIO: the other side has closed
                break
            if not data:
                break
            self.text += data.decode()
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


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
    assert [e["index"] for e in cli.json("witness", "query", "--component", entry["component"], "--type", entry["type"])["items"]][-1] == index
    assert cli.json("witness", "prove", str(index))["verified"] is True
    cli.wants(12, "witness", "show", "99999")
    cli.wants(2, "witness", "show", "first")
    cli.wants(2, "witness", "query", "--from", "yesterday")
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
            [os.path.join(f.root, "ifctl"), "--endpoint", "unix:/nowhere", "receipt", "save", receipt["id"], "--out", os.path.join(f.root, "x")],
            user=54321, group=54321, extra_groups=[], env={"HOME": "/"}, capture_output=True, cwd="/",
        )
        assert p.returncode == 10 and b"Permission denied" in p.stderr, p


def test_anchors_erasure_backup_and_restore(f):
    cli = Cli(f).people()
    anchors = os.path.join(f.root, "anchors")
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


def _anchored(test):
    def run(f):
        anchors = os.path.join(f.root, "anchors")
        os.mkdir(anchors, 0o700)
        f.configure({"anchor.directories": [anchors]})
        f.start()
        return test(f)

    run.started, run.__module__, run.__name__ = False, test.__module__, test.__name__
    return run


test_anchors_erasure_backup_and_restore = _anchored(test_anchors_erasure_backup_and_restore)


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
    cli.wants(0, "talent", "remove", "Demo.A", "--why", "gone")
    cli.wants(10, "message", "send", "--as", "Demo.A", "--claim", "x", "--confidence", "0.9", *SCOPE)


def test_refusals_name_the_field_and_say_what_to_do(f):
    cli = Cli(f).people()
    cases = (
        ("limit", "talent", "list", "--limit", "0"),
        ("limit", "decision", "list", "--limit", "x"),
        ("role", "talent", "add", "X", "--role", "nonsense", "--why", "w"),
        ("scope", "talent", "grant", "Demo.A", "--scope", "a b", "--why", "w"),
        ("id", "decision", "show", "nope"),
        ("state", "decision", "list", "--state", "nonsense"),
    )
    for field, *args in cases:
        done = cli.wants(12, *args)
        first, hint = done.err.splitlines()[:2]
        assert re.match(rf"IF_ERR_208: (field )?{field}\b", first), done
        assert first.count(field + ":") <= 1, done
        assert re.fullmatch(r"  hint: [A-Z].* .*\.", hint), done


def test_every_list_has_five_forms(f):
    cli = Cli(f).people()
    cli.send(HELD, *SCOPE, "--hazard", "legal", "--claim", "=HYPERLINK(1)", "--to", "Demo.R", "--confidence", "0.9")
    cli.send(0, *SCOPE)
    cli.wants(0, "context", "add", "here", "--dir", f.dir)
    for args in (
        ("talent", "list"), ("decision", "list"), ("witness", "query"), ("message", "inbox", "--as", "Demo.R"), ("context", "list"),
        ("config", "schema"), ("config", "show"), ("doctor",),
    ):
        items = cli.json(*args)["items"]
        assert items, args
        lines = cli.wants(0, *args, "-o", "ndjson").out.splitlines()
        assert [json.loads(line) for line in lines] == items or args == ("doctor",), args
        rows = list(csv.reader(io.StringIO(cli.wants(0, *args, "-o", "csv").out)))
        assert len(rows) == len(items) + 1 and len({len(r) for r in rows}) == 1, (args, rows)
        assert not any(cell.startswith(("=", "+", "@", "\t")) for row in rows for cell in row), rows
        assert cli.wants(0, *args, "-o", "yaml").out.startswith('"items":'), args
        table = cli.wants(0, *args, "--output", "table").out.splitlines()
        assert len(table) == len(items) + 1, (args, table)
        narrow = cli.wants(0, *args, env={"COLUMNS": "90"}).out.splitlines()
        assert len(narrow) == len(items) + 1, args
        assert "\x1b" not in cli.wants(0, *args, env={"NO_COLOR": "1"}).out
    cli.wants(2, "talent", "list", "-o", "xml")


def test_global_flags_do_what_they_say(f):
    cli = Cli(f).people()
    size = f.size()
    for mode in ("dry-run", "falsify"):
        assert "IF_ERR_509" in cli.wants(20, "message", "send", "--as", "Demo.A", "--claim", "x", "--mode", mode).err
    cli.wants(2, "message", "send", "--as", "Demo.A", "--claim", "x", "--mode=nonsense")
    assert f.size() == size
    cli.wants(0, "talent", "list", "--mode=normal")
    done = cli.wants(0, "message", "send", "--as", "Demo.A", "--claim", "x", "--confidence", "0.9", *SCOPE, "--trace", "-o", "json")
    token = re.search(r"^trace ([0-9a-f-]{36})$", done.err, re.M)[1]
    assert done.json["trace"] == token
    cli.wants(2, "talent", "list", "--trace=00000000-0000-0000-0000-000000000000")
    for bad in (("--retry", "x"), ("--retry", "-1"), ("--timeout", "0"), ("--timeout", "soon"), ("--as", "a b"), ("--endpoint", "ftp://x")):
        cli.wants(2, *bad, "talent", "list")
    assert cli.wants(21, "--endpoint", "unix:/nowhere", "--retry", "1", "talent", "list").err.count("trying again") == 1
    assert cli("--endpoint", "unix:/nowhere", "--retry", "1", "--quiet", "talent", "list").err.count("trying") == 0
    assert cli.wants(0, "talent", "add", "Demo.Q", "--new-key", "--quiet", env={"IFAB_WHY": "environment"}).err == ""
    assert f.entry(f.size() - 1)["why"] == "environment"
    assert cli.wants(0, "--version").out == cli.wants(0, "version").out
    for args in ((), ("talent",), ("nonsense",), ("talent", "nonsense"), ("--nonsense",), ("talent", "list", "extra"), ("talent", "list", "--why")):
        cli.wants(2, *args)
    assert "talent list" in cli.wants(2, "talent", "lst").err
    # a command of a later part parses, helps and answers 509
    for line in (
        "capability list", "capability apply vmix.switcher --scene Intro --why w --trace --mode=falsify", "falsify --task t --mode=pre-commit",
        "task create --type t --why w", "worker run --swarm s --skills a,b -- /bin/true -x", "bus dlq list", "guard check rules.yaml", "mcp --as Demo.A",
        "token create --why w", "swarm list", "budget report", "cost report", "governor breakers", "secret list", "publisher list", "enroll code",
    ):
        assert "IF_ERR_509" in cli.wants(20, *line.split()).err, line
        assert cli.wants(0, *line.split(" -")[0].split()[:2], "--help").out.startswith("Usage: ifctl "), line


def test_the_program_is_also_called_if(f):
    link = os.path.join(f.root, "if")
    os.symlink(PROGRAM["ifctl"], link)
    p = subprocess.run([link, "--dir", f.dir, "talent", "list", "-o", "json"], capture_output=True, env={"HOME": f.root})
    assert p.returncode == 0 and json.loads(p.stdout)["items"], p


def test_contexts_name_fabrics(f):
    cli = Cli(f).people()
    plain = {"IFAB_DIR": ""}
    cli.wants(21, "talent", "list", env=plain)
    cli.wants(0, "context", "add", "here", "--dir", f.dir, "--as", "Demo.R", env=plain)
    cli.wants(0, "context", "add", "there", "--endpoint", "unix:/nowhere", env=plain)
    assert len(cli.json("talent", "list", env=plain)["items"]) == 4
    assert cli.json("message", "inbox", env=plain)["items"] == []
    cli.wants(0, "context", "use", "there", env=plain)
    cli.wants(21, "talent", "list", env=plain)
    cli.wants(12, "context", "use", "nonsense", env=plain)
    cli.wants(2, "context", "add", "a b", "--dir", f.dir, env=plain)
    cli.wants(2, "context", "add", "x", "--dir", "/nowhere", env=plain)
    assert os.stat(os.path.join(f.root, "home", ".config", "infrafabric", "contexts.json")).st_mode & 0o777 == 0o600


class Follow:
    """A following command; its lines as they come."""

    def __init__(self, cli, *args):
        self.p = subprocess.Popen(
            [PROGRAM["ifctl"], *args, "-o", "ndjson"], env=cli.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.items = []
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        for line in self.p.stdout:
            self.items.append(json.loads(line))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.p.kill()
        self.thread.join()
        self.p.communicate()


def test_followers_lose_and_double_nothing_over_restarts(f):
    # INV-05
    cli = Cli(f).people()
    sent = [cli.send(0, *SCOPE)["id"]]
    start = f.size()
    with Follow(cli, "message", "inbox", "--as", "Demo.R", "--follow") as inbox, Follow(cli, "witness", "tail", "--from", "0") as tail:
        for end in ("stop", "kill", "stop"):
            for _ in range(3):
                sent.append(cli.send(0, *SCOPE)["id"])
            wait_for(lambda: len(inbox.items) >= len(sent), what="messages")
            if end == "stop":
                assert f.stop() == 0
            else:
                f.kill()
            f.start()
            sent.append(cli.send(0, *SCOPE)["id"])
        size = f.size()
        wait_for(lambda: len(inbox.items) >= len(sent) and len(tail.items) >= size, seconds=30, what="messages and entries")
        assert inbox.p.poll() is None and tail.p.poll() is None
    assert [i["envelope"]["id"] for i in inbox.items] == sent
    assert [e["index"] for e in tail.items] == list(range(size)) and size >= start + 12
    cli.wants(2, "message", "inbox", "--as", "Demo.R", "--follow", "--limit", "3")
    cli.wants(2, "witness", "tail", "--from", "99999999")
    cli.wants(2, "message", "inbox", "--as", "Demo.R", "--follow", "--after", "x")
    cli.wants(12, "message", "inbox", "--as", "Nobody", "--follow")
    cli.wants(21, "--endpoint", "unix:/nowhere", "witness", "tail")


def test_a_slow_reader_falls_behind_and_still_gets_everything_once(f):
    # INV-15: the daemon cuts a stream whose buffer is full; the follower goes on behind the last entry it printed
    cli = Cli(f).people()
    a = f.enrol("Demo.M")
    for command, first in ((("witness", "tail", "--from", "0"), 0), (("message", "inbox", "--as", "Demo.R", "--follow"), None)):
        p = subprocess.Popen([PROGRAM["ifctl"], *command, "-o", "ndjson"], env=cli.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        try:
            assert first is None or json.loads(p.stdout.readline())["index"] == 0  # it follows; from here on nobody reads
            sent = [a.message(receiver="if://agent/Demo.R", content={"claim": "x" * 2000}) for _ in range(3000)]
            f.lines(sent)
            if first is None:
                ids = [json.loads(p.stdout.readline())["envelope"]["id"] for _ in range(6000)]
                assert ids[3000:] == [m.id for m in sent] and len(set(ids)) == 6000
            else:
                size = f.size()
                assert [json.loads(p.stdout.readline())["index"] for _ in range(size - 1)] == list(range(1, size))
            with open(f"/proc/{p.pid}/status") as file:
                peak = int(re.search(r"VmHWM:\s+(\d+) kB", file.read())[1])
            assert peak < 64 * 1024, f"{peak} kB"
        finally:
            p.kill()
            p.communicate()
    return f"peak {peak} kB"


def test_a_follower_does_not_go_on_in_another_log(f):
    cli = Cli(f).people()
    with Follow(cli, "witness", "tail", "--from", "0") as tail:
        wait_for(lambda: len(tail.items) >= f.size(), what="entries")
        seen = len(tail.items)
        assert f.stop() == 0
        os.rename(f.dir, f.dir + ".old")
        other = Fabric(parent=f.root, directory=f.dir)
        other.start()
        try:
            assert tail.p.wait(30) == 20
        finally:
            other.close()
        os.rename(f.dir, f.dir + ".other")
        os.rename(f.dir + ".old", f.dir)
        assert len(tail.items) == seen
    f.start()


def test_hostile_arguments_never_crash_and_never_reach_the_screen_raw(f):
    # INV-15
    cli = Cli(f).people()
    waiting = cli.send(HELD, *SCOPE, "--hazard", "legal", "--claim", HOSTILE[3] + HOSTILE[4], "--to", "Demo.R", "--confidence", "0.9")
    shapes = (
        ("talent", "add", "{}", "--why", "w"), ("talent", "show", "{}"), ("talent", "add", "X", "--owner", "{}", "--why", "w"),
        ("talent", "add", "X", "--pubkey", "{}", "--why", "w"), ("talent", "grant", "Demo.A", "--scope", "{}", "--why", "w"),
        ("talent", "grant", "Demo.A", "--scope", "s", "--expires", "{}", "--why", "w"), ("talent", "grant", "Demo.B", "--scope", "s", "--why", "{}"),
        ("talent", "list", "--cursor", "{}"), ("talent", "list", "--limit", "{}"), ("key", "show", "{}"),
        ("message", "send", "--as", "Demo.A", "--to", "{}", "--claim", "c"), ("message", "send", "--as", "Demo.A", "--claim", "{}"),
        ("message", "send", "--as", "Demo.A", "--claim", "c", "--scope", "{}"), ("message", "send", "--as", "Demo.A", "--claim", "c", "--hazard", "{}"),
        ("message", "send", "--as", "Demo.A", "--claim", "c", "--evidence", "{}"), ("message", "send", "--as", "{}", "--claim", "c"),
        ("message", "send", "--as", "Demo.A", "--claim", "c", "--performative", "{}"), ("message", "send", "--as", "Demo.A", "--claim", "c", "--data", "{}"),
        ("message", "send", "--as", "Demo.A", "--claim", "c", "--ref", "{}"), ("message", "inbox", "--as", "{}"), ("message", "sign", "{}"),
        ("message", "inbox", "--as", "Demo.R", "--after", "{}"), ("decision", "show", "{}"), ("decision", "approve", "{}", "--yes", "--why", "w"),
        ("decision", "list", "--state", "{}"), ("witness", "query", "--component", "{}"), ("witness", "query", "--from", "{}"),
        ("witness", "query", "--cursor", "{}"), ("witness", "trace", "{}"), ("witness", "show", "{}"), ("witness", "prove", "{}"),
        ("witness", "verify", "{}"), ("witness", "erase", "{}", "--sender", "{}", "--why", "w"), ("receipt", "save", "{}"), ("explain", "{}"),
        ("receipt", "save", waiting["id"], "--sender", "{}"), ("help", "{}"), ("{}",), ("talent", "{}"), ("--{}",), ("completion", "{}"),
        ("context", "add", "{}", "--dir", "{}"), ("context", "use", "{}"), ("--output", "{}", "talent", "list"), ("--trace", "{}", "talent", "list"),
        ("--endpoint", "{}", "talent", "list"), ("--key", "{}", "message", "send", "--as", "Demo.A", "--claim", "c"), ("json", "check", "{}"),
    )
    count = 0
    for i, shape in enumerate(shapes):
        for k, text in enumerate(HOSTILE):
            if (i + k) % 3 != 0 and k not in (3, 4, 5):
                continue  # every text and every shape meet often enough
            args = [part.replace("{}", text) for part in shape]
            if "\0" in "".join(args):
                continue
            done = cli(*args, cwd=f.root, timeout=30)
            count += 1
            assert 0 <= done.code <= 33, done
            assert not RAW.search(done.out) and not RAW.search(done.err), (args, done.out, done.err)
            if k == 5:
                assert "\nIF_ERR_000" not in done.out + done.err, done
    for form in ("table", "json", "ndjson", "yaml", "csv"):
        for args in (("decision", "list"), ("decision", "show", waiting["id"]), ("witness", "query"), ("talent", "list")):
            done = cli.wants(0, *args, "-o", form)
            assert not RAW.search(done.out.replace("\r\n", "\n")), (args, form, done.out)
    shown = cli.wants(0, "decision", "approve", waiting["id"], "--yes", "--why", "w")
    assert "\\u{202e}" in shown.err and "\\u{1b}" in shown.err and not RAW.search(shown.err), shown
    hostile = cli.verify("\x1b[2Jx\u202e")
    assert hostile.code == 2 and not RAW.search(hostile.err), hostile
    assert not os.path.exists("/tmp/owned")
    f.verify()
    return f"{count} command lines"


def test_a_reader_that_goes_away_is_no_failure(f):
    cli = Cli(f).people()
    p = subprocess.Popen([PROGRAM["ifctl"], "config", "schema"], env=cli.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdout.close()
    error = p.stderr.read()
    assert p.wait(30) in (0, -signal.SIGPIPE) and error == b"", (p.returncode, error)
    with open("/dev/full", "wb") as full:
        p = subprocess.run([PROGRAM["ifctl"], "config", "schema"], env=cli.env, stdout=full, stderr=subprocess.PIPE)
    assert p.returncode == 20, p


# SURFACE section 9, row by row; a noun alone is one whose commands SURFACE does not list
SURFACE = """
init | doctor | version | explain | context add | context use | context list | json check | json canon
key new | key show | talent add | talent invite | talent list | talent show | talent grant | talent revoke | talent rotate-key | talent remove
enroll | token create | token list | token revoke
message send | message new | message sign | message canon | message inbox
decision list | decision show | decision wait | decision approve | decision refuse | guard check | guard explain
witness query | witness show | witness trace | witness verify | witness checkpoint | witness vkey | witness prove | witness export | witness tail
witness erase | anchor create | anchor list | anchor verify | receipt save
task create | task show | task list | task claim | task next | task renew | task progress | task complete | task fail | task cancel | task block
task watch | worker run | swarm | budget | cost | governor
publisher | capability new | capability sign | capability verify | capability inspect | capability allow | capability revoke | capability list
capability show | capability plan | capability apply | capability health | capability logs
secret set | secret rotate | secret revoke | secret list | secret age | secret check
bus sub | bus pub | bus consumers | bus dlq | falsify | mcp | config check | config show | config schema
"""
GLOBALS = "--why --trace --ref --mode --as --key --endpoint --dir --output --retry --timeout --quiet --token-file".split()


def test_every_command_of_the_surface_is_there():
    root = Fabric(init=False)
    try:
        cli = Cli(root)
        whole = cli.wants(0, "--help").out
        for group in ("Start:", "Agents:", "Operate:", "Audit:"):
            assert f"\n{group}\n" in whole
        script = cli.wants(0, "completion", "bash").out
        nouns = re.search(r"nouns='([^']*)'", script)[1].split()
        for name in [n.strip() for line in SURFACE.strip().splitlines() for n in line.split("|")]:
            done = cli.wants(0, *name.split(), "--help")
            assert done.out.startswith(f"Usage: ifctl {name}"), done
            assert cli.wants(0, "help", *name.split()).out == done.out or " " not in name
            assert name.split()[0] in nouns and name in whole, name
            if " " in name or name in ("init", "enroll", "falsify"):
                missing = [g for g in GLOBALS if g not in done.out]
                assert not missing, (name, missing)
    finally:
        root.close()


def test_examples_of_the_pages_are_command_lines():
    root, count = Fabric(init=False), 0
    folder = os.path.join(os.path.dirname(__file__), "../../docs/commands")
    try:
        cli = Cli(root)
        for page in sorted(os.listdir(folder)):
            with open(os.path.join(folder, page)) as file:
                title, text = file.read().replace("\\\n", " ").split("\n", 1)
            assert title == "# ifctl " + page[:-3].replace("-", " ", 1), page
            lines = [line.strip() for line in text.splitlines() if line.startswith("    ")]
            assert "## Examples" not in text or lines, page
            for line in lines:
                words = list(itertools.takewhile(lambda w: w not in ("|", ">", "3<", "#"), shlex.split(line, comments=True)))
                if words[0] == "ifctl":
                    cli.wants(0, *words[1:], "--help")
                    count += 1
    finally:
        root.close()
    return f"{count} examples"


def test_drafts_are_completed_signed_and_sent_once(f):
    cli = Cli(f).people()
    given = ("--to", "Demo.R", "--claim", "Ünïcode", "--confidence", "0.9", *SCOPE)
    draft = cli.json("message", "new", "--as", "Demo.A", *given)
    assert draft["content"]["claim"] == "Ünïcode" and not {"signature", "nonce", "seq", "id"} & set(draft), draft
    path = os.path.join(f.root, "draft.json")
    with open(path, "w") as file:
        json.dump(draft, file)
    signed = cli.wants(0, "message", "sign", "--as", "Demo.A", path)
    canon = cli.wants(0, "message", "canon", stdin=signed.raw).raw
    assert canon.startswith(b'IF-CONNECT-v2.1\n{"content":') and not canon.endswith(b"\n")
    first = cli.json("message", "send", "--json", "-", stdin=signed.raw)
    again = cli("message", "send", "--json", "-", "-o", "json", stdin=signed.raw)
    assert again.code == 0 and again.json["entry"] == first["entry"] and "sent before" in again.err, again
    other = json.loads(signed.out)
    other["content"]["claim"] = "another"
    assert "IF_ERR_001" in cli.wants(10, "message", "send", "--json", "-", stdin=json.dumps(other).encode()).err
    assert cli.json("message", "send", "--as", "Demo.A", "-f", path)["id"] != first["id"]
    for bad in (b"", b"{", b"[]", b'{"a":1,"a":2}', b'{"unknown":1}', b"\xff", b"x" * 2_000_000):
        done = cli("message", "send", "--as", "Demo.A", "--json", "-", stdin=bad)
        assert done.code in (2, 11, 12), (bad[:20], done)
    for claim in ("", " ", "--"):
        assert cli("message", "send", "--as", "Demo.A", "--claim=" + claim, *SCOPE).code == (0 if claim == "--" else 2) or claim == "--"
    assert len(cli.json("message", "inbox", "--as", "Demo.R")["items"]) == 2
    assert cli.wants(0, "json", "canon", stdin=b'{"b":1,"a":1.0}').out == '{"a":1,"b":1}'
    assert "byte" in cli.wants(11, "json", "check", stdin=b'{"a":1,"a":2}').err
    assert cli.json("explain", "104")["code"] == cli.json("explain", "OUT_OF_ORDER")["code"] == "IF_ERR_104"


class Liar:
    """A socket that answers every request with the same bytes, or not at all."""

    def __init__(self, path, answer):
        self.path, self.answer, self.open = path, answer, []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen(16)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                c, _ = self.socket.accept()
            except OSError:
                return
            self.open.append(c)
            try:
                c.recv(65536)
                if self.answer is not None:
                    c.sendall(self.answer)
                    c.close()
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for c in self.open:
            c.close()
        os.unlink(self.path)


def test_a_daemon_that_lies_is_not_believed_and_not_shown_raw():
    # INV-15
    root = Fabric()
    evil = "\x1b[2J\x1b]0;x\x07\u202e\u200b\u009b31m"

    def http(status, body, extra=b""):
        data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        return b"HTTP/1.1 %d X\r\n%sContent-Length: %d\r\n\r\n%s" % (status, extra, len(data), data)

    error = {"code": "IF_ERR_208", "name": evil, "message": evil, "field": evil, "hint": evil, "retryable": False}
    item = {"name": evil, "id": evil, "index": evil, "role": [evil, {evil: evil}], "keys": evil, evil: evil, "decision": evil, "time": evil}
    nested = b"[" * 100_000
    answers = (
        (http(400, {"error": error}), {12}), (http(200, {"items": [item], "next": evil}), {0, 2, 20, 31, 32}), (http(200, item), {0, 20, 31}),
        (http(200, b"\xff\x00"), {0, 20}), (http(200, nested), {0, 20}), (http(200, b""), {0, 20}), (http(500, b"<html>" + evil.encode()), {20}),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", {21}), (b"SSH-2.0-x\r\n", {21}), (b"", {21}), (None, {21}),
        (http(200, b"{}", b"X: " + b"y" * 100_000 + b"\r\n"), {21}), (http(200, {"error": error}), {0, 20, 31}),
    )
    commands = (
        ("talent", "list"), ("decision", "list"), ("decision", "show", "msg-" + uuid7()), ("witness", "query"), ("witness", "vkey"),
        ("witness", "prove", "0"), ("witness", "tail"), ("message", "inbox", "--as", "A"), ("message", "inbox", "--as", "A", "--follow"),
        ("anchor", "verify"), ("witness", "export", "--out", os.path.join(root.root, "out")),
        ("decision", "approve", "msg-" + uuid7(), "--yes", "--why", "w"), ("talent", "add", "X", "--new-key", "--why", "w"),
        ("message", "send", "--as", "operator", "--claim", "c"), ("witness", "erase", "x", "--sender", "y", "--why", "w"),
    )
    try:
        cli = Cli(root)
        path = os.path.join(root.root, "liar")
        for k, (answer, codes) in enumerate(answers):
            for n, command in enumerate(commands):
                if (k + n) % 2 and answer is not None:
                    continue  # half of the pairs; which half is even over both lists
                if answer is None and n % 5:
                    continue
                form = ("table", "json", "ndjson", "yaml", "csv")[(k + n) % 5]
                with Liar(path, answer):
                    done = cli("--endpoint", "unix:" + path, "--timeout", "500ms", *command, "-o", form, timeout=60)
                shutil.rmtree(os.path.join(root.root, "out"), ignore_errors=True)
                assert done.code in codes | {2, 12, 20}, (k, done)
                if command[0] == "decision" and command[1] == "approve":
                    assert done.code != 0, done
                shown = done.out.replace("\r\n", "\n") if form == "csv" else done.out
                assert not RAW.search(shown) and not RAW.search(done.err), (k, command, form, done.out, done.err)
        # a key is kept when nobody knows whether it was enrolled, and only then
        pem = os.path.join(root.dir, "keys", "X.pem")
        for answer, stays in ((b"", True), (http(500, {"error": error}), True), (http(400, {"error": error}), False)):
            if os.path.exists(pem):
                os.unlink(pem)
            with Liar(path, answer):
                cli("--endpoint", "unix:" + path, "talent", "add", "X", "--pubkey", "A" * 43, "--why", "w")
                done = cli("--endpoint", "unix:" + path, "--key", "/nowhere", "talent", "add", "X", "--new-key", "--why", "w")
            assert os.path.exists(pem) == stays, (answer, done)
    finally:
        root.close()

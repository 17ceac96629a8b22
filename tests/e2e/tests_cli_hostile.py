"""ifctl among hostile texts, daemons that lie or go away, and readers that are slow."""

import json
import os
import re
import shutil
import signal
import subprocess

from cli import HELD, HOSTILE, RAW, SCOPE, Cli, Confused, Follow, Liar
from fabric import PROGRAM, Fabric, uuid7, wait_for


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
        ("talent", "add", "{}", "--why", "w"),
        ("talent", "show", "{}"),
        ("talent", "add", "X", "--owner", "{}", "--why", "w"),
        ("talent", "add", "X", "--pubkey", "{}", "--why", "w"),
        ("talent", "grant", "Demo.A", "--scope", "{}", "--why", "w"),
        ("talent", "grant", "Demo.A", "--scope", "s", "--expires", "{}", "--why", "w"),
        ("talent", "grant", "Demo.B", "--scope", "s", "--why", "{}"),
        ("talent", "list", "--cursor", "{}"),
        ("talent", "list", "--limit", "{}"),
        ("key", "show", "{}"),
        ("message", "send", "--as", "Demo.A", "--to", "{}", "--claim", "c"),
        ("message", "send", "--as", "Demo.A", "--claim", "{}"),
        ("message", "send", "--as", "Demo.A", "--claim", "c", "--scope", "{}"),
        ("message", "send", "--as", "Demo.A", "--claim", "c", "--hazard", "{}"),
        ("message", "send", "--as", "Demo.A", "--claim", "c", "--evidence", "{}"),
        ("message", "send", "--as", "{}", "--claim", "c"),
        ("message", "send", "--as", "Demo.A", "--claim", "c", "--performative", "{}"),
        ("message", "send", "--as", "Demo.A", "--claim", "c", "--data", "{}"),
        ("message", "send", "--as", "Demo.A", "--claim", "c", "--ref", "{}"),
        ("message", "inbox", "--as", "{}"),
        ("message", "sign", "{}"),
        ("message", "inbox", "--as", "Demo.R", "--after", "{}"),
        ("decision", "show", "{}"),
        ("decision", "approve", "{}", "--yes", "--why", "w"),
        ("decision", "list", "--state", "{}"),
        ("witness", "query", "--component", "{}"),
        ("witness", "query", "--from", "{}"),
        ("witness", "query", "--cursor", "{}"),
        ("witness", "trace", "{}"),
        ("witness", "show", "{}"),
        ("witness", "prove", "{}"),
        ("witness", "verify", "{}"),
        ("witness", "erase", "{}", "--sender", "{}", "--why", "w"),
        ("receipt", "save", "{}"),
        ("explain", "{}"),
        ("receipt", "save", waiting["id"], "--sender", "{}"),
        ("help", "{}"),
        ("{}",),
        ("talent", "{}"),
        ("--{}",),
        ("completion", "{}"),
        ("context", "add", "{}", "--dir", "{}"),
        ("context", "use", "{}"),
        ("--output", "{}", "talent", "list"),
        ("--trace", "{}", "talent", "list"),
        ("--endpoint", "{}", "talent", "list"),
        ("--key", "{}", "message", "send", "--as", "Demo.A", "--claim", "c"),
        ("json", "check", "{}"),
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


def test_an_answer_about_another_message_is_a_lost_one(f):
    # INV-05: an old receipt, however genuine, says nothing about what was sent now
    cli = Cli(f).people()
    old = cli.send(0, *SCOPE)
    assert cli.json("decision", "show", old["id"])["id"] == old["id"]
    share = {"decision": "SHARE", "reason": "r", "rule": "x", "entry": {"index": 4}}
    path = os.path.join(f.root, "confused")

    def send(*args):
        return cli("--endpoint", "unix:" + path, "message", "send", "--as", "Demo.A", "--to", "Demo.R", "--claim", "c", "--confidence", "0.9", *SCOPE, *args)

    def lost(done, confused, tries):
        id_ = confused.posts[0][0]
        assert done.code == 21 and done.out == "", done
        assert "about another message" in done.err and f"whether {id_} was recorded is unknown" in done.err, done
        assert f"ifctl decision show {id_}" in done.err and len(confused.posts) == tries and len(set(confused.posts)) == 1, (done, confused.posts)

    wrong = (old, {**share, "id": old["id"]}, {**share, "message_digest": old["message_digest"]}, {**share, "message_digest": None}, {**share, "id": 5})
    for status, value in zip((200, 202, 403, 200, 403), wrong):
        with Confused(path, (status, value)) as confused:
            lost(send(), confused, 2)  # one repeat by itself
    with Confused(path, (200, old)) as confused:
        lost(send("--retry", "2"), confused, 3)
    for value, code in ((share, 0), ({**share, "decision": "DENY"}, 31)):  # the second try is answered: no harm was done
        with Confused(path, (200, old), (200 if code == 0 else 403, value)) as confused:
            done = send("-o", "json")
            assert done.code == code and done.json["id"] == confused.posts[0][0] and len(confused.posts) == 2, (done, confused.posts)
    draft, signed = (os.path.join(f.root, name) for name in ("draft.json", "signed.json"))
    for name, args in ((draft, ("message", "new", "--claim", "c", "--confidence", "0.9", *SCOPE, "--to", "Demo.R")), (signed, ("message", "sign", draft, "--as", "Demo.A"))):
        with open(name, "w", encoding="utf-8") as file:
            file.write(cli.wants(0, *args).out)
    for value, code in ((old, 21), ({**share, "message_digest": old["message_digest"]}, 21), (share, 0)):  # a message that comes complete
        with Confused(path, (200, value)) as confused:
            done = cli("--endpoint", "unix:" + path, "message", "send", "--json", "@" + signed)
            assert done.code == code and len(confused.posts) == (2 if code else 1), (done, confused.posts)
    with Confused(path, (202, {**share, "decision": "HOLD"}), decided={"id": old["id"], "decision": "SHARE", "state": "decided"}) as confused:
        done = send("--wait", "5s")  # nor is what was decided about another one
        assert done.code == 20 and "about another message" in done.err and "SHARE" not in done.out, done


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
        (http(400, {"error": error}), {12}),
        (http(200, {"items": [item], "next": evil}), {0, 2, 20, 31, 32}),
        (http(200, item), {0, 20, 31}),
        (http(200, b"\xff\x00"), {0, 20}),
        (http(200, nested), {0, 20}),
        (http(200, b""), {0, 20}),
        (http(500, b"<html>" + evil.encode()), {20}),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", {21}),
        (b"SSH-2.0-x\r\n", {21}),
        (b"", {21}),
        (None, {21}),
        (http(200, b"{}", b"X: " + b"y" * 100_000 + b"\r\n"), {21}),
        (http(200, {"error": error}), {0, 20, 31}),
    )
    commands = (
        ("talent", "list"),
        ("decision", "list"),
        ("decision", "show", "msg-" + uuid7()),
        ("witness", "query"),
        ("witness", "vkey"),
        ("witness", "prove", "0"),
        ("witness", "tail"),
        ("message", "inbox", "--as", "A"),
        ("message", "inbox", "--as", "A", "--follow"),
        ("anchor", "verify"),
        ("witness", "export", "--out", os.path.join(root.root, "out")),
        ("decision", "approve", "msg-" + uuid7(), "--yes", "--why", "w"),
        ("talent", "add", "X", "--new-key", "--why", "w"),
        ("message", "send", "--as", "operator", "--claim", "c"),
        ("witness", "erase", "x", "--sender", "y", "--why", "w"),
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

"""The log's key is changed while the daemon serves: what was signed stays good, what is signed from then on is the new key's."""

import base64
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import threading

import fabric
from fabric import Fabric, check_note, wait_for


def keys(f):
    return os.path.join(f.dir, "keys")


def rotate(f, **kwargs):
    """As the command does: which key it will be, then an admin's act over just that."""
    r = f.post("/v1/log-keys", {})
    assert r.status == 200 and r.json["from"] == f.about()["vkey"] != r.json["to"], r
    again = f.post("/v1/log-keys", {})
    assert again.json == r.json, "asked again it is the same one"
    body = json.dumps({"to": r.json["to"]}, separators=(",", ":")).encode()
    done = f.post("/v1/log-keys/rotate", body, f.admin_header("/v1/log-keys/rotate", body, **kwargs))
    assert done.status == 200 and done.json["to"] == r.json["to"] and done.json["from"] == r.json["from"], done
    assert f.about()["vkey"] == r.json["to"]
    return done.json


def export(f, name):
    path = os.path.join(f.root, name)
    done = subprocess.run([fabric.PROGRAM["ifctl"], "--dir", f.dir, "witness", "export", "--out", path], capture_output=True, timeout=60)
    assert done.returncode == 0, done
    return path


def if_verify(*args):
    done = subprocess.run([fabric.PROGRAM["if-verify"], *args], capture_output=True, timeout=60)
    return done.returncode, done.stdout.decode() + done.stderr.decode()


def checkpoint(f):
    return f.get("/checkpoint").body


def receipt(f, agent, name):
    m = agent.message()
    r = f.post("/v1/messages?proof=1", bytes(m))
    assert r.status == 200, r
    path = os.path.join(f.root, name)
    with open(path, "wb") as out:
        out.write(r.body)
    bundle = path + ".ifproof"
    done = subprocess.run(
        [fabric.PROGRAM["ifctl"], "--dir", f.dir, "receipt", "save", m.id, "--sender", agent.uri, "--out", bundle], capture_output=True, timeout=60
    )
    assert done.returncode == 0, done
    return path, bundle


def test_old_key_signs_no_more_and_what_it_signed_stays_good(f):
    a = f.enrol("Demo.A")
    old = f.about()["vkey"]
    before = receipt(f, a, "before")
    kept = os.path.join(f.root, "kept")
    with open(kept, "wb") as out:
        out.write(checkpoint(f))
    done = rotate(f)
    new = f.about()["vkey"]
    _, size, _ = check_note(checkpoint(f), new)
    assert size > done["entry"]["index"]
    after = receipt(f, a, "after")
    for paths, good, bad in ((before, old, new), (after, new, old)):
        for path in paths:
            assert if_verify(path, "--vkey", good)[0] == 0, (path, if_verify(path, "--vkey", good))
            assert if_verify(path, "--vkey", bad)[0] == 1, path
    entry = f.entry(done["entry"]["index"])
    assert (entry["type"], entry["severity"], entry["actor"]) == ("log_key", "HIGH", "if://agent/operator"), entry
    x = export(f, "x")
    assert if_verify(x, "--vkey", new)[0] == 0
    code, words = if_verify(x, "--vkey", old)
    assert code == 1 and "--follow-rotation" in words, words
    code, words = if_verify(x, "--vkey", old, "--follow-rotation", "--checkpoint", kept)
    assert code == 0 and new in words, words
    later = os.path.join(f.root, "later")
    with open(later, "wb") as out:
        out.write(checkpoint(f))
    for path, key, seen in [(p, old, later) for p in before] + [(p, new, kept) for p in after]:
        for given in ("--follow-rotation",), ("--checkpoint", seen):
            code, words = if_verify(path, "--vkey", key, *given)
            assert code == 2 and "export" in words and "BROKEN" not in words, (path, given, words)
    f.restart()  # and again after it
    assert f.about()["vkey"] == new
    assert if_verify(export(f, "y"), "--vkey", old, "--follow-rotation")[0] == 0
    f.verify()


def test_three_changes_while_sixteen_write(f):
    agents = [f.enrol(f"Agent{i}") for i in range(16)]
    old, stop, acked, faults = f.about()["vkey"], threading.Event(), [], []

    def write(a):
        with f.conn() as c:
            while not stop.is_set():
                m = a.message()
                r = c.request("POST", "/v1/messages?proof=1", bytes(m))
                (acked if r.status == 200 else faults).append(r)

    threads = [threading.Thread(target=write, args=(a,)) for a in agents]
    for t in threads:
        t.start()
    known, changes = [old], []
    for _ in range(3):
        wait_for(lambda n=len(acked): len(acked) > n + 30)
        # the key before goes once tiles have come past it
        wait_for(lambda: f.post("/v1/log-keys", {}).status == 200)
        changes.append(rotate(f)["entry"]["index"])
        known.append(f.about()["vkey"])
    stop.set()
    for t in threads:
        t.join()
    assert not faults, faults[:3]
    for r in acked:  # every receipt by the key that answers for its size
        note = r.json["checkpoint"].encode()
        size = int(note.split(b"\n")[1])
        check_note(note, known[sum(size > index for index in changes)])
    assert if_verify(export(f, "x"), "--vkey", old, "--follow-rotation")[0] == 0
    return f"{len(acked)} receipts under {len(known)} keys"


def test_replayed_message_is_known_after_change_and_restart(f):
    # INV-04: replay tags were made under a key that came from the first one
    a = f.enrol("Demo.A")
    first = a.message()
    assert f.send(first).status == 200
    for _ in range(2):
        rotate(f)
        second = a.message()
        assert f.send(second).status == 200
        f.restart()
        for m in (first, second):
            assert f.send(m).code == 103, f.send(m)


def crashed(f, index):
    """As the files lie when the power went between the commit and the renaming."""
    os.rename(os.path.join(keys(f), "log.key"), os.path.join(keys(f), "log.key.next"))
    os.rename(os.path.join(keys(f), f"log.key.before-{index}"), os.path.join(keys(f), "log.key"))


def test_crash_between_commit_and_renaming_is_finished_at_the_start(f):
    done = rotate(f)
    index, new = done["entry"]["index"], f.about()["vkey"]
    assert f.stop() == 0
    crashed(f, index)
    f.start()
    assert f.about()["vkey"] == new
    assert sorted(os.listdir(keys(f))) == ["log.key", f"log.key.before-{index}", "operator.pem"]
    f.verify()
    # half of the renaming
    assert f.stop() == 0
    os.rename(os.path.join(keys(f), "log.key"), os.path.join(keys(f), "log.key.next"))
    shutil.copy2(os.path.join(keys(f), f"log.key.before-{index}"), os.path.join(keys(f), "log.key"))
    f.start()
    assert f.about()["vkey"] == new
    assert not os.path.exists(os.path.join(keys(f), "log.key.next"))
    f.enrol("Demo.A")
    f.restart()
    f.verify()


def test_key_that_only_waits_is_not_the_logs(f):
    old = f.about()["vkey"]
    to = f.post("/v1/log-keys", {}).json["to"]
    f.kill()
    f.start()
    assert f.about()["vkey"] == old
    assert f.post("/v1/log-keys", {}).json["to"] == to, "it still waits"
    mode = os.stat(os.path.join(keys(f), "log.key.next")).st_mode & 0o777
    assert mode == 0o600
    assert rotate(f)["to"] == to


def test_refused_without_admin_for_another_key_and_in_another_spelling(f):
    a = f.enrol("Demo.A")
    before = f.about()["vkey"]
    to = f.post("/v1/log-keys", {}).json["to"]
    route, body = "/v1/log-keys/rotate", json.dumps({"to": to}, separators=(",", ":")).encode()
    assert f.post(route, body).code == 3, "the uid alone"
    assert f.post(route, body, f.admin_header(route, body, key=a.key)).code == 3, "an agent"
    other = json.dumps({"to": before}, separators=(",", ":")).encode()
    assert f.post(route, other, f.admin_header(route, other)).code == 409, "not the key that waits"
    spaced = json.dumps({"to": to}).encode()
    assert f.post(route, spaced, f.admin_header(route, spaced)).code == 208
    more = json.dumps({"to": to, "why": "x"}, separators=(",", ":")).encode()
    assert f.post(route, more, f.admin_header(route, more)).code == 208
    assert f.post(route, body, f.admin_header("/v1/log-keys", body)).code == 208, "an act for something else"
    assert f.post(route, body, f.admin_header(route, other)).code == 208, "an act for another key"
    secret = f.admin_header(route, body, why="password: hunter2hunter2 AKIAIOSFODNN7EXAMPLE")
    assert f.post(route, body, secret).code == 208, "an act that could not stand in the log"
    assert f.about()["vkey"] == before
    assert not [e for e in f.entries() if e["type"] == "log_key"]
    act = f.admin_header(route, body)
    assert f.post(route, body, act).status == 200
    assert f.post(route, body, act).code in (103, 409), "used once"


def test_edited_records_and_wrong_files_are_not_served(f):
    # INV-16
    done = rotate(f)
    index = done["entry"]["index"]
    assert f.stop() == 0
    whole = os.path.join(f.root, "whole")
    shutil.copytree(f.dir, whole)

    def refused(change, words):
        shutil.rmtree(f.dir)
        shutil.copytree(whole, f.dir)
        change()
        code, said = f.refuses()
        assert code == 20 and words in said, (code, said)

    def sql(text):
        db = sqlite3.connect(os.path.join(f.data, "main.db"))
        db.execute(text)
        db.commit()
        db.close()

    refused(lambda: sql("DELETE FROM records WHERE kind=13"), "keys")
    refused(lambda: sql("UPDATE records SET bytes=zeroblob(48) WHERE kind=13"), "TAG_KEY")
    refused(lambda: sql("DELETE FROM records WHERE kind=12"), "keys")
    old = os.path.join(keys(f), f"log.key.before-{index}")
    refused(lambda: os.replace(old, os.path.join(keys(f), "log.key")), "log.key")


def test_backups_of_both_sides_restore_with_the_key_of_then(f):
    f.enrol("Demo.A")
    old = os.path.join(f.root, "old")
    assert f.post("/v1/backup", {"directory": old, "why": "nightly"}).status == 200
    old_vkey = f.about()["vkey"]
    index = rotate(f)["entry"]["index"]
    new = os.path.join(f.root, "new")
    assert f.post("/v1/backup", {"directory": new, "why": "nightly"}).status == 200
    assert open(os.path.join(old, "vkey")).read().strip() == old_vkey
    assert open(os.path.join(new, "vkey")).read().strip() == f.about()["vkey"]
    check_note(open(os.path.join(new, "checkpoint"), "rb").read(), f.about()["vkey"])
    assert f.stop() == 0
    then = os.path.join(f.root, "keys-of-then")
    shutil.copytree(keys(f), then)
    os.replace(os.path.join(then, f"log.key.before-{index}"), os.path.join(then, "log.key"))
    for path, held, good in ((new, keys(f), True), (old, keys(f), False), (old, then, True), (new, then, False)):
        to = os.path.join(f.root, f"restored-{os.path.basename(path)}-{good}")
        done = f.ifd("--restore", path, "--dir", to, "--keys", held, "--why", "disk lost")
        assert (done.returncode == 0) == good, (path, held, done)
        if not good:
            assert b"log.key" in done.stderr, done
            continue
        g = Fabric(parent=f.root, directory=to, init=False)
        g.configure({})
        g.admin_key = f.admin_key
        g.start()
        try:
            assert g.about()["vkey"] not in (old_vkey, f.root)
            payload = g.entry(0)["payload"]
            assert "checkpoint" in json.dumps(payload)
            rotate(g)  # the new log's key can be changed as well
            g.verify()
        finally:
            g.kill()


def test_anchors_of_both_keys_verify_at_a_start(f):
    assert f.stop() == 0
    place = os.path.join(f.root, "anchors")
    os.mkdir(place)
    f.configure({"anchor.directories": [place], "anchor.every": "0s"})
    f.start()
    old = f.about()["vkey"]
    assert f.post("/v1/anchors", {"why": "now"}).status == 200
    rotate(f)
    f.restart()  # the newest anchor is the old key's
    assert f.post("/v1/anchors", {"why": "now"}).status == 200
    notes = sorted(os.listdir(place))
    assert len(notes) == 2
    check_note(open(os.path.join(place, notes[0]), "rb").read(), old)
    check_note(open(os.path.join(place, notes[1]), "rb").read(), f.about()["vkey"])
    done = subprocess.run([fabric.PROGRAM["ifctl"], "--dir", f.dir, "-o", "json", "anchor", "verify"], capture_output=True, timeout=60)
    assert done.returncode == 0 and [i["state"] for i in json.loads(done.stdout)["items"]] == ["good", "good"], done
    f.restart()
    # the old key cannot make one for a tree that is not its own any more
    assert f.stop() == 0
    forged = open(os.path.join(place, notes[1]), "rb").read().split(b"\n\n")[0] + b"\n"
    log_key = [n for n in os.listdir(keys(f)) if n.startswith("log.key.before-")][0]
    os.remove(os.path.join(place, notes[1]))
    with open(os.path.join(place, notes[1]), "wb") as out:
        out.write(signed_by(os.path.join(keys(f), log_key), forged))
    code, said = f.refuses()
    assert code == 20 and "does not verify" in said, (code, said)


def signed_by(path, text):
    """A C2SP note by the signer key of that file."""
    import nacl.signing

    name, _, secret = open(path).read().strip().removeprefix("PRIVATE+KEY+").split("+", 2)
    seed = base64.b64decode(secret)[1:]
    key = nacl.signing.SigningKey(seed)
    digest = hashlib.sha256(name.encode() + b"\n\x01" + bytes(key.verify_key)).digest()[:4]
    line = "\N{EM DASH} " + name + " " + base64.b64encode(digest + key.sign(text).signature).decode() + "\n"
    return text + b"\n" + line.encode()


def test_command_changes_the_key_and_says_what_to_do(f):
    old = f.about()["vkey"]
    done = subprocess.run(
        [fabric.PROGRAM["ifctl"], "--dir", f.dir, "-o", "json", "witness", "rotate-key", "--why", "yearly"],
        capture_output=True, timeout=60, stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done
    said = json.loads(done.stdout)
    assert said["from"] == old and said["to"] == f.about()["vkey"], said
    assert b"--follow-rotation" in done.stderr, done
    entry = f.entry(said["entry"]["index"])
    assert entry["why"] == "yearly" and entry["payload"]["act"]["why"] == "yearly", entry
    assert "PRIVATE" not in json.dumps(entry)
    path = export(f, "x")
    verify = [fabric.PROGRAM["ifctl"], "-o", "json", "witness", "verify", path, "--vkey", old]
    assert subprocess.run(verify, capture_output=True, timeout=60).returncode == 1
    done = subprocess.run([*verify, "--follow-rotation"], capture_output=True, timeout=60)
    assert done.returncode == 0 and json.loads(done.stdout)["vkey"] == said["to"], done

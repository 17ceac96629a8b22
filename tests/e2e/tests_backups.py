"""Backup beside writing, and going on from one."""

import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time

import fabric
from fabric import Fabric, check_note, uuid7, wait_for


def backup(f, name="backup"):
    path = os.path.join(f.root, name)
    r = f.post("/v1/backup", {"directory": path, "why": "nightly"}, timeout=120)
    assert r.status == 200 and r.json["directory"] == path, r
    return path


def restored(f, path, name="new", lost=None):
    new = os.path.join(f.root, name)
    done = f.ifd("--restore", path, "--dir", new, "--keys", os.path.join((lost or f).dir, "keys"), "--why", "disk lost")
    assert done.returncode == 0, done
    g = Fabric(parent=os.path.join(f.root), directory=new, init=False)
    g.configure({})
    g.admin_key = f.admin_key
    return g


def test_backup_while_writing_is_one_consistent_moment(f):
    # INV-05
    agents = [f.enrol(f"Agent{i}") for i in range(3)]
    stop, acked = threading.Event(), []

    def write(a):
        with f.conn() as c:
            while not stop.is_set():
                r = c.request("POST", "/v1/messages", bytes(a.message()))
                assert r.status == 200, r
                acked.append(r.json)

    threads = [threading.Thread(target=write, args=(a,)) for a in agents]
    for t in threads:
        t.start()
    wait_for(lambda: len(acked) > 50, what="messages")
    before = len(acked)
    path = backup(f)
    wait_for(lambda: len(acked) > before, what="one after it")
    stop.set()
    for t in threads:
        t.join()
    f.verify()
    vkey = f.about()["vkey"]
    origin, size, root = check_note(open(os.path.join(path, "checkpoint"), "rb").read(), vkey)
    assert open(os.path.join(path, "vkey")).read().strip() == vkey
    assert origin == f.about()["origin"] and before < size <= f.size()
    # a copy of the directory that holds the backup's data is served as it was
    assert f.stop() == 0
    os.rename(f.data, f.data + ".away")
    shutil.copytree(path, f.data)
    for extra in ("checkpoint", "vkey"):
        os.unlink(os.path.join(f.data, extra))
    os.chmod(f.data, 0o700)
    f.start()
    assert f.size() == size
    for receipt in acked:
        got = f.get(f"/v1/messages/{receipt['id']}")
        assert (got.status == 200 and got.json == receipt) == (receipt["entry"]["index"] < size), (receipt, size, got)
    f.verify()
    return f"{len(acked)} messages, the backup holds {size} entries"


def test_backup_beside_sixty_four_senders_holds_a_prefix_and_says_in_the_log_who_made_it(f):
    # INV-05 INV-13
    agents = [f.enrol(f"Agent{i}") for i in range(8)]
    lock, acked, faults, stop = threading.Lock(), [], [], threading.Event()

    def write(a, instance):
        with f.conn() as c:
            while not stop.is_set():
                with lock:  # seq and nonce are made one at a time; sending is not
                    m = bytes(a.message(sender=f"{a.uri}/{instance}"))
                r = c.request("POST", "/v1/messages", m)
                if r.code == 104:  # overtaken on the way by a later one of the same talent's other thread
                    continue
                (acked if r.status == 200 else faults).append(r)

    threads = [threading.Thread(target=write, args=(agents[i % 8], i)) for i in range(64)]
    for t in threads:
        t.start()
    wait_for(lambda: len(acked) > 50, what="messages")
    before = len(acked)
    r = f.post("/v1/backup", {"directory": os.path.join(f.root, "one"), "why": "nightly"}, {"IF-Ref": "repo:/ops/nightly.md@0123abc"}, timeout=120)
    assert r.status == 200, r
    wait_for(lambda: len(acked) > before, what="one after it")
    stop.set()
    for t in threads:
        t.join()
    assert not faults, faults[:3]
    assert len(acked) > before > 0
    entry = f.entry(r.json["entry"]["index"])
    assert (entry["operation"], entry["actor"], entry["why"]) == ("backup", f"uid:{os.geteuid()}", "nightly"), entry
    assert entry["payload"] == {"directory": r.json["directory"], "size": r.json["size"]} and entry["refs"] == ["repo:/ops/nightly.md@0123abc"], entry
    vkey = f.about()["vkey"]
    _, size, root = check_note(open(os.path.join(f.root, "one", "checkpoint"), "rb").read(), vkey)
    assert size == r.json["size"] and before < size <= entry["index"]
    # the copy holds exactly the first entries of the log, and its root is theirs
    leaves = [e for e in f.entries(0)]
    assert f.stop() == 0
    os.rename(f.data, f.data + ".away")
    shutil.copytree(os.path.join(f.root, "one"), f.data)
    for extra in ("checkpoint", "vkey"):
        os.unlink(os.path.join(f.data, extra))
    os.chmod(f.data, 0o700)
    f.start()
    assert f.size() == size and [e for e in f.entries(0)] == leaves[:size]
    f.verify()
    return f"{len(acked)} messages, the backup holds {size} entries"


def test_backup_that_fails_or_cannot_be_recorded_leaves_nothing(f):
    # INV-13: half a backup looks like one
    new = os.path.join(f.root, "b")
    size = f.size()
    r = f.post("/v1/backup", {"directory": new, "why": "t"}, {"IF-Admin": "AAAA"})
    assert r.status >= 400 and not os.path.exists(new), r
    assert all(e["operation"] != "backup" for e in f.entries(size))
    with open(new, "w"):
        pass
    r = f.post("/v1/backup", {"directory": new, "why": "t"})
    assert r.code == 409 and os.path.isfile(new), r  # what is not ours stays


def test_backup_needs_a_new_absolute_directory_over_the_socket(f):
    for directory in ("relative", "/tmp/../tmp/x", f.root, f.data, "/nonexistent/deep/x", os.path.join(f.root, "a/../../b")):
        r = f.post("/v1/backup", {"directory": directory, "why": "t"})
        assert 400 <= r.status < 500 or r.code == 504, (directory, r)
    assert f.post("/v1/backup", {"directory": os.path.join(f.root, "b")}).code == 208, "say why"
    assert f.post("/v1/backup", {"directory": os.path.join(f.root, "b"), "why": "t"}, tcp=True).status == 401
    assert not os.path.exists(os.path.join(f.root, "b"))


def test_backup_is_private_and_holds_no_key(f):
    path = backup(f)
    key = open(os.path.join(f.dir, "keys/log.key"), "rb").read().strip().split(b"+", 4)[4]  # base64 has "+" of its own
    assert f.grep(key, f.root) == [os.path.join(f.dir, "keys/log.key")]
    for base, dirs, names in os.walk(path):
        for name in dirs + names:
            assert os.stat(os.path.join(base, name)).st_mode & 0o077 == 0, name


def test_restored_fabric_has_a_new_origin_and_its_first_entry_the_old_checkpoint(f):
    # INV-03 INV-05 INV-16
    f.enrol("Demo.R", owner="r")
    a = f.enrol("Demo.A", owner="alice")
    sent = [a.message() for _ in range(5)]
    for m in sent:
        assert f.send(m).status == 200
    waiting = f.send(a.message(receiver="if://agent/Demo.R", content={"hazards": ["legal"]})).json
    old_vote = f.vote(waiting, send=False)
    act_body = json.dumps({"name": "Demo.X", "owner": "x", "pubkey": uuid7(), "role": "auditor"}).encode()
    old_act = f.admin_header("/v1/talents", act_body)
    old = f.about()
    path = backup(f)
    late = [a.message() for _ in range(3)]  # accepted after the backup: the new fabric knows nothing of them
    for m in late:
        assert f.send(m).status == 200
    unsent = a.message()
    assert f.stop() == 0
    g = restored(f, path)
    try:
        g.start()
        new = g.about()
        assert new["origin"] != old["origin"] and new["origin"].rsplit("/", 1)[0] == old["origin"].rsplit("/", 1)[0]
        first = g.entry(0)
        assert first["payload"]["void"] == {"escalated": 1, "held": 0, "invites": 0, "tokens": 0} and first["payload"]["dangling"] == [], first
        voided = [e for e in g.entries(0) if e["operation"] == "voided"]
        assert len(voided) == 1 and voided[0]["subject"] == waiting["id"] and voided[0]["trace"] == waiting["trace"], voided
        told = voided[0]["payload"]
        assert (told["sender"], told["receiver"], told["state"]) == ("Demo.A", ["Demo.R"], "escalated"), told
        assert {"name": "operator", "vote": None} in told["voters"], told
        assert first["payload"]["old"]["origin"] == old["origin"] and first["why"] == "disk lost", first
        origin, size, _ = check_note(first["payload"]["old"]["checkpoint"].encode(), old["vkey"])
        assert (origin, size) == (old["origin"], first["payload"]["old"]["size"]) and size <= old["size"]
        with g.conn() as c:
            for m in sent + late + [unsent]:  # old messages never pass, whatever the new fabric forgot
                r = c.request("POST", "/v1/messages", bytes(m))
                assert r.code == 102, r
        r = g.post(f"/v1/decisions/{waiting['id']}/votes", old_vote)
        assert r.status in (403, 404) and r.code in (108, 404), r
        assert g.get("/v1/decisions").json["items"] == [], "what waited is void"
        r = g.post("/v1/talents", act_body, old_act)
        assert r.code in (108, 208), r
        talents = {t["name"]: t for t in g.get("/v1/talents").json["items"]}
        assert set(talents) == {"operator", "Demo.R", "Demo.A"}
        # past the skew, talents work with their old keys
        m = a.message(issued_at=__import__("fabric").stamp(time.time() + 59), receiver="if://agent/Demo.R")
        r = g.send(m)
        if r.code == 102:
            time.sleep(2)
            r = g.send(a.message(issued_at=__import__("fabric").stamp(time.time() + 59.9), receiver="if://agent/Demo.R"))
        assert r.status == 200, r
        g.verify()
        g.restart()
        assert g.send(m).code in (102, 103)
        assert g.admin("/v1/talents", {"name": "Demo.Y", "owner": "y", "pubkey": a.pub, "role": "auditor"}).code == 409
        g.verify()
    finally:
        g.kill()


def test_nothing_accepted_with_a_larger_skew_passes_again_after_a_restore(f):
    # INV-03: the lost fabric took what was issued up to its own time.skew ahead of the clock, whatever the new one's is
    a = f.enrol("Demo.A")
    path = backup(f)
    late = [a.message(issued_at=fabric.stamp(time.time() + 250)) for _ in range(2)]
    for m in late:
        assert f.send(m).status == 200
    assert f.stop() == 0
    for name in ("new", "newer"):  # and again, from a backup of what was restored
        g = restored(f, path, name)
        g.configure({"time.skew": "300s"})
        try:
            g.start()
            for m in late:
                assert g.send(m).code == 102
            path = g.post("/v1/backup", {"directory": os.path.join(f.root, "of-" + name), "why": "again"}).json["directory"]
            f.dir = g.dir
        finally:
            g.kill()


test_nothing_accepted_with_a_larger_skew_passes_again_after_a_restore.config = {"time.skew": "300s"}


def test_restore_refuses_what_is_no_backup_or_a_used_directory(f):
    # INV-05 INV-15
    import sqlite3

    f.enrol("Demo.A")
    path = backup(f)
    keys = os.path.join(f.dir, "keys")
    new = os.path.join(f.root, "new")
    for args in ((os.path.join(f.root, "nothing"), new), (path, f.dir), (f.root, new)):
        done = f.ifd("--restore", args[0], "--dir", args[1], "--keys", keys, "--why", "t")
        assert done.returncode == 20, (args, done)
        shutil.rmtree(new, ignore_errors=True)
    assert f.ifd("--restore", path, "--dir", new, "--keys", keys).returncode == 2
    with Fabric() as other:  # another fabric's keys
        done = f.ifd("--restore", path, "--dir", new, "--keys", os.path.join(other.dir, "keys"), "--why", "t")
        assert done.returncode == 20 and b"IF_ERR_505" in done.stderr, done
    db = sqlite3.connect(os.path.join(path, "main.db"))
    db.execute("UPDATE records SET bytes=CAST(replace(bytes, 'Demo.A', 'Demo.M') AS BLOB) WHERE kind=2 AND number=2")
    db.commit()
    db.close()
    shutil.rmtree(new, ignore_errors=True)
    done = f.ifd("--restore", path, "--dir", new, "--keys", keys, "--why", "t")
    assert done.returncode == 20 and b"IF_ERR_505" in done.stderr, done
    assert f.get("/healthz").status == 200


def test_restored_fabric_is_as_strict_as_the_lost_one(f):
    # INV-06: a rule set that is gone must not come back as none
    rules = "v: 1\nrules:\n  - {id: closed, effect: deny, when: {scope.environment: production}}\n"
    with open(os.path.join(f.dir, "rules.yaml"), "w") as file:
        file.write(rules)
    f.restart()
    a = f.enrol("Demo.A")
    closed = {"scope": {"environment": "production"}}
    assert f.send(a.message(content=closed)).json["rule"] == "closed"
    path, keys = backup(f), os.path.join(f.dir, "keys")
    f.stop()
    new = os.path.join(f.root, "new")
    kept = os.path.join(path, "rules.json")
    with open(kept) as file:
        good = file.read()
    for bad in (None, good.replace("closed", "opened"), '{"rules":[],"v":1}', "nonsense"):
        os.remove(kept)
        if bad is not None:
            with open(kept, "w") as file:
                file.write(bad)
        else:
            open(kept + ".none", "w").close()
        done = f.ifd("--restore", path, "--dir", new, "--keys", keys, "--why", "t")
        assert done.returncode == 20 and b"missing or altered" in done.stderr and b"sha256:" in done.stderr, (bad, done)
        assert not os.path.exists(new), "half a fabric"
        if bad is None:
            os.rename(kept + ".none", kept)
    with open(kept, "w") as file:
        file.write(good)
    done = f.ifd("--restore", path, "--dir", new, "--keys", keys, "--why", "t")
    assert done.returncode == 0, done
    with Fabric(directory=new, parent=f.root, init=False) as g:
        g.start()
        lost = os.path.join(new, "ifd.yaml.lost")
        assert open(lost).read() == open(f.config).read()
        wait_for(lambda: g.send(a.message(content=closed, issued_at=fabric.stamp(time.time() + 59.9))).json.get("rule") == "closed", 90, "a message after time.skew")
        g.verify()


def unusable(new):
    """Nothing starts there, and the next restore or init says what to remove, or finds nothing."""
    if not os.path.exists(new):
        return
    assert not os.path.exists(os.path.join(new, "ifd.yaml")), os.listdir(new)
    done = Fabric.ifd("--config", os.path.join(new, "ifd.yaml"))
    assert done.returncode != 0 and not done.stdout.startswith(b"ready"), done
    if os.listdir(new):
        done = Fabric.ifd("--init", new)
        assert done.returncode != 0 and b"did not end" in done.stderr and b"remove it" in done.stderr, done


def test_restore_and_init_killed_anywhere_leave_nothing_that_starts(f):
    # INV-05
    a = f.enrol("Demo.A")
    for _ in range(20):
        assert f.send(a.message()).status == 200
    path = backup(f)
    keys = os.path.join(f.dir, "keys")
    whole = killed = 0
    began = time.monotonic()
    assert f.ifd("--restore", path, "--dir", os.path.join(f.root, "timed"), "--keys", keys, "--why", "t").returncode == 0
    takes = time.monotonic() - began
    for i in range(24):
        new = os.path.join(f.root, f"new{i}")
        args = ["--init", new] if i % 4 == 3 else ["--restore", path, "--dir", new, "--keys", keys, "--why", "t"]
        p = subprocess.Popen([fabric.PROGRAM["ifd"], *args], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        time.sleep(random.random() * takes)
        p.send_signal(signal.SIGKILL)
        p.wait()
        if os.path.exists(os.path.join(new, "ifd.yaml")):  # from here on it is whole
            whole += 1
            g = Fabric(parent=f.root, directory=new, init=False)
            g.configure({})
            try:
                g.start()
                g.verify()
            finally:
                g.kill()
        else:
            killed += 1
            unusable(new)
        shutil.rmtree(new, ignore_errors=True)
    assert killed > 0, "never killed in time"
    done = f.ifd("--restore", path, "--dir", os.path.join(f.root, "new0"), "--keys", keys, "--why", "t")
    assert done.returncode == 0, done
    return f"{killed} killed before, {whole} after it was whole"


def test_restore_on_a_full_disk_leaves_nothing_and_works_once_there_is_room():
    # INV-05 INV-15
    from tests_disks import Small, fill

    with Small(140) as f:
        f.start()
        a = f.enrol("Demo.A")
        assert f.send(a.message()).status == 200
        path = backup(f)
        assert f.stop() == 0
        keys, new = os.path.join(f.dir, "keys"), os.path.join(f.root, "new")
        failed = 0
        for leave in (0, 8 << 10, 24 << 10, 200 << 10, 4 << 20, 30 << 20):
            filler = fill(f.root, leave=leave)
            done = f.ifd("--restore", path, "--dir", new, "--keys", keys, "--why", "t")
            if done.returncode == 0:
                shutil.rmtree(new)
            else:
                failed += 1
                assert done.returncode == 20 and not os.path.exists(new), (leave, done)
            os.unlink(filler)
        assert failed >= 3, failed
        os.mkdir(new, 0o700)  # an empty one that is there already stays
        filler = fill(f.root)
        assert f.ifd("--restore", path, "--dir", new, "--keys", keys, "--why", "t").returncode == 20
        assert os.path.isdir(new) and os.listdir(new) == []
        os.unlink(filler)
        g = restored(f, path)
        try:
            g.start()
            g.verify()
        finally:
            g.kill()
        return f"{failed} ran out of room"

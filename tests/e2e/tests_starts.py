"""What a start finds: edited rows, torn files, wrong modes, other daemons, old copies, other histories."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import time

from fabric import PATIENCE, PROGRAM, Fabric, Gone, wait_for


def seeded(f, messages=20):
    """A served and stopped directory with a talent and messages."""
    f.start()
    a = f.enrol("Demo.A")
    receipts = [f.send(a.message()).json for _ in range(messages)]
    assert f.stop() == 0
    return a, receipts


def edit(f, sql, *args):
    db = sqlite3.connect(os.path.join(f.data, "main.db"))
    done = db.execute(sql, args)
    assert done.rowcount != 0, "nothing was edited"
    db.commit()
    db.close()


def is_505(f):
    code, text = f.refuses()
    assert code == 20 and "IF_ERR_505" in text, (code, text)
    return text


def test_edited_talent_record_is_505(f):
    # INV-16
    seeded(f)
    db = sqlite3.connect(os.path.join(f.data, "main.db"))
    number, record = db.execute("SELECT number, bytes FROM records WHERE kind=2 AND instr(bytes, CAST('Demo.A' AS BLOB))").fetchone()
    db.close()
    assert b'"role":"agent"' in record, record
    edit(f, "UPDATE records SET bytes=? WHERE kind=2 AND number=?", record.replace(b'"role":"agent"', b'"role":"admin"'), number)
    is_505(f)


def test_talent_record_that_no_entry_covers_is_505(f):
    # INV-16: deleted, or one added
    seeded(f)
    shutil.copytree(f.data, f.data + ".good")
    edit(f, "DELETE FROM records WHERE kind=2 AND number=2")
    is_505(f)
    shutil.rmtree(f.data)
    os.rename(f.data + ".good", f.data)
    edit(
        f,
        "INSERT INTO records(log, kind, number, bytes) "
        "SELECT 1, 2, 3, CAST(replace(replace(bytes, 'Demo.A', 'Demo.M'), '\"number\":2', '\"number\":3') AS BLOB) "
        "FROM records WHERE kind=2 AND number=2",
    )
    is_505(f)


def test_edited_head_is_505(f):
    # INV-05 INV-16: each column of it
    seeded(f)
    shutil.copytree(f.data, f.data + ".good")
    for column, value in (
        ("size", "size-1"),
        ("size", "size+1"),
        ("root", "zeroblob(32)"),
        ("last_hash", "zeroblob(32)"),
        ("trust_root", "zeroblob(32)"),
        ("mac", "zeroblob(32)"),
        ("time", "time+1"),
        ("edge", "zeroblob(length(edge))"),
        ("edge", "x''"),
    ):
        edit(f, f"UPDATE head SET {column}={value}")
        is_505(f)
        shutil.rmtree(f.data)
        shutil.copytree(f.data + ".good", f.data)
    edit(f, "DELETE FROM head")
    code, text = f.refuses()
    assert code == 20 and "IF_ERR_5" in text, (code, text)


def test_edited_meta_record_is_505(f):
    # INV-03 INV-16: replay horizon, clock, fences, what a restore forbade: no entry says it, so the HMAC covers it
    seeded(f)
    shutil.copytree(f.data, f.data + ".good")
    db = sqlite3.connect(os.path.join(f.data, "main.db"))
    meta = db.execute("SELECT bytes FROM records WHERE kind=1").fetchone()[0]
    db.close()
    for at in range(len(meta)):
        edit(f, "UPDATE records SET bytes=? WHERE kind=1", meta[:at] + bytes([meta[at] ^ 0x40]) + meta[at + 1 :])
        is_505(f)
        shutil.rmtree(f.data)
        shutil.copytree(f.data + ".good", f.data)
    edit(f, "DELETE FROM records WHERE kind=1")
    is_505(f)


def test_edited_newest_entry_is_505(f):
    # INV-05
    _, receipts = seeded(f)
    index = receipts[-1]["entry"]["index"]
    edit(f, "UPDATE entries SET entry=CAST(replace(entry, 'SHARE', 'DENY!') AS BLOB) WHERE idx=?", index)
    is_505(f)


def test_removed_newest_entries_are_505(f):
    # INV-05: truncation
    seeded(f)
    edit(f, "DELETE FROM entries WHERE idx >= (SELECT max(idx) - 3 FROM entries)")
    is_505(f)


def test_older_entry_edited_is_noticed_by_verification(f):
    # INV-05: a start costs by what is live, so this one is the auditor's to find
    _, receipts = seeded(f)
    index = receipts[3]["entry"]["index"]
    edit(f, "UPDATE entries SET entry=CAST(replace(entry, 'SHARE', 'DENY!') AS BLOB) WHERE idx=?", index)
    try:
        f.start()
    except AssertionError as e:
        assert "505" in str(e), e
        return
    try:
        f.verify()
    except AssertionError:
        return
    raise Exception("an altered entry verifies")


def test_added_table_trigger_or_view_is_505(f):
    # INV-16
    seeded(f)
    shutil.copytree(f.data, f.data + ".good")
    for sql in (
        "CREATE TABLE extra(x)",
        "CREATE VIEW v AS SELECT 1",
        "CREATE TRIGGER t AFTER INSERT ON entries BEGIN DELETE FROM head; END",
        "CREATE INDEX i ON entries(entry)",
    ):
        db = sqlite3.connect(os.path.join(f.data, "main.db"))
        db.execute(sql)
        db.commit()
        db.close()
        is_505(f)
        shutil.rmtree(f.data)
        shutil.copytree(f.data + ".good", f.data)


def test_truncated_database_is_refused_or_consistent(f):
    # INV-05 INV-15: never served with less than was acknowledged, never a crash
    a, receipts = seeded(f)
    path = os.path.join(f.data, "main.db")
    shutil.copytree(f.data, f.data + ".good")
    size = os.path.getsize(path)
    seen = {}
    for cut in (0, 1, 50, 100, 512, 4096, 8192, size // 2, size - 8192, size - 4096, size - 1):
        with open(path, "r+b") as file:
            file.truncate(max(cut, 0))
        code, text = f.refuses() if not served(f, receipts) else (0, "consistent")
        assert code in (0, 20) and (code == 0 or "IF_ERR_5" in text), (cut, code, text)
        seen[cut] = code
        shutil.rmtree(f.data)
        shutil.copytree(f.data + ".good", f.data)
    assert 20 in seen.values()
    return str(seen)


def served(f, receipts):
    """true: it started, and everything acknowledged is there."""
    try:
        f.start()
    except AssertionError as e:
        assert "exit 20" in str(e), e
        return False
    for r in receipts:
        got = f.get(f"/v1/messages/{r['id']}")
        assert got.status == 200 and got.json == r, got
    f.verify()
    f.stop()
    return True


def test_truncated_wal_after_a_kill_is_a_prefix_or_refused(f):
    # INV-05: a torn WAL may lose its tail, never its middle
    f.start()
    a = f.enrol("Demo.A")
    f.stop()
    f.start()
    with f.conn() as c:
        receipts = [c.request("POST", "/v1/messages", bytes(a.message())).json for _ in range(60)]
    f.kill()
    wal = os.path.join(f.data, "main.db-wal")
    assert os.path.exists(wal)
    shutil.copytree(f.data, f.data + ".good")
    size = os.path.getsize(wal)
    kept = []
    for cut in (0, 10, 32, 5000, 20000, 100000, 400000, 800000, size - 1, size):
        with open(wal, "r+b") as file:
            file.truncate(cut)
        try:
            f.start()
        except AssertionError as e:
            assert "exit 20" in str(e) and "IF_ERR_5" in str(e), e
            kept.append((cut, "refused"))
        else:
            there = [f.get(f"/v1/messages/{r['id']}").status == 200 for r in receipts]
            assert there == sorted(there, reverse=True), "not a prefix"
            f.verify()
            assert f.last_seq(a).get(a.uri, 0) == sum(there)
            f.stop()
            kept.append((cut, sum(there)))
        shutil.rmtree(f.data)
        shutil.copytree(f.data + ".good", f.data)
    assert kept[-1][1] == 60, kept
    return str(kept)


def test_torn_byte_in_the_wal_is_a_prefix_or_refused(f):
    # INV-05
    f.start()
    a = f.enrol("Demo.A")
    f.stop()
    f.start()
    with f.conn() as c:
        receipts = [c.request("POST", "/v1/messages", bytes(a.message())).json for _ in range(40)]
    f.kill()
    shutil.copytree(f.data, f.data + ".good")
    wal = os.path.join(f.data, "main.db-wal")
    for at in (5, 40, 60, 9000, 30000, 90000, 150000):
        with open(wal, "r+b") as file:
            file.seek(at)
            byte = file.read(1)
            file.seek(at)
            file.write(bytes([byte[0] ^ 0x40]))
        try:
            f.start()
        except AssertionError as e:
            assert "exit 20" in str(e) and "IF_ERR_5" in str(e), e
        else:
            there = [f.get(f"/v1/messages/{r['id']}").status == 200 for r in receipts]
            assert there == sorted(there, reverse=True), (at, there)
            f.verify()
            f.stop()
        shutil.rmtree(f.data)
        shutil.copytree(f.data + ".good", f.data)


def test_missing_or_foreign_database_is_a_clear_error(f):
    # INV-15
    seeded(f)
    path = os.path.join(f.data, "main.db")
    os.rename(path, path + ".away")
    for suffix in ("-wal", "-shm"):
        if os.path.exists(path + suffix):
            os.unlink(path + suffix)
    code, text = f.refuses()
    assert code == 20 and "IF_ERR_50" in text and "main.db" in text + "main.db", (code, text)
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE t(x)")
    db.commit()
    db.close()
    code, text = f.refuses()
    assert code == 20 and "IF_ERR_505" in text, (code, text)
    with open(path, "wb") as file:
        file.write(os.urandom(50000))
    code, text = f.refuses()
    assert code == 20 and "IF_ERR_505" in text, (code, text)


def test_second_daemon_names_the_pid_of_the_first(f):
    f.start()
    a = f.enrol("Demo.A")
    code, text = f.refuses()
    assert code == 20 and f"pid {f.process.pid}" in text and "lock" in text, (code, text)
    assert f.send(a.message()).status == 200, "the first one still serves"


def test_lock_of_a_dead_daemon_does_not_hold(f):
    f.start()
    f.kill()
    f.start()


def test_missing_log_key_is_a_hard_error(f):
    seeded(f)
    os.rename(os.path.join(f.dir, "keys/log.key"), os.path.join(f.root, "away"))
    code, text = f.refuses()
    assert code == 20 and "log.key" in text, (code, text)
    assert not os.path.exists(os.path.join(f.dir, "keys/log.key")), "no key is made in its place"


def test_log_key_of_another_fabric_is_505(f):
    # INV-05
    seeded(f)
    with Fabric() as other:
        shutil.copy(os.path.join(other.dir, "keys/log.key"), os.path.join(f.dir, "keys/log.key"))
        is_505(f)


def test_broken_log_key_is_a_clear_error(f):
    # INV-15
    seeded(f)
    path = os.path.join(f.dir, "keys/log.key")
    good = open(path, "rb").read()
    for bad in (b"", good[:20], good[:-10], b"\0" * 100, b"PRIVATE+KEY+x+00000000+AAAA", good * 100):
        with open(path, "wb") as file:
            file.write(bad)
        code, text = f.refuses()
        assert code == 20 and "IF_ERR_50" in text and good[-30:-1].decode() not in text, (bad[:20], code, text)


def test_keys_and_directories_open_to_others_are_refused(f):
    seeded(f)
    for path, bad, good in (
        ("", 0o755, 0o700),
        ("keys", 0o750, 0o700),
        ("data", 0o705, 0o700),
        ("keys/log.key", 0o644, 0o600),
        ("keys/log.key", 0o640, 0o600),
    ):
        full = os.path.join(f.dir, path)
        os.chmod(full, bad)
        code, text = f.refuses()
        assert code == 20 and "chmod" in text, (path, code, text)
        os.chmod(full, good)
    f.start()


def test_directory_of_another_owner_is_refused(f):
    from fabric import Skip

    if os.geteuid() != 0:
        raise Skip("needs root to give a directory away")
    seeded(f)
    os.chown(f.data, 12345, 12345)
    code, text = f.refuses()
    assert code == 20 and "12345" in text, (code, text)


def test_read_only_directory_is_a_clear_error(f):
    # INV-15
    from fabric import Skip

    seeded(f)
    if os.geteuid() == 0:  # root writes through modes: a read-only bind mount stands for it
        if subprocess.run(["mount", "--bind", f.data, f.data], capture_output=True).returncode != 0:
            raise Skip("bind mounts are not permitted here")
        try:
            subprocess.run(["mount", "-o", "remount,ro,bind", f.data], check=True, capture_output=True)
            code, text = f.refuses()
        finally:
            subprocess.run(["umount", f.data], check=True)
    else:
        os.chmod(f.data, 0o500)
        code, text = f.refuses()
        os.chmod(f.data, 0o700)
    assert code == 20 and "IF_ERR_50" in text and ("ead-only" in text or "denied" in text), (code, text)
    f.start()


def test_init_refuses_a_used_directory_and_changes_nothing(f):
    before = {p: d for p, d in f.files(f.dir)}
    done = f.ifd("--init", f.dir)
    assert done.returncode == 12 and b"used" in done.stderr, done
    assert {p: d for p, d in f.files(f.dir)} == before


def test_init_makes_private_files(f):
    for base, dirs, names in os.walk(f.dir):
        for name in dirs + names:
            mode = os.stat(os.path.join(base, name)).st_mode & 0o777
            assert mode & 0o077 == 0, (base, name, oct(mode))


def test_configuration_errors_name_line_and_suggestion(f):
    # INV-15
    good = open(f.config).read()
    for bad, word in (
        (good + "htpp:\n  listen: x\n", "htpp"),
        (good + "time:\n  skew: 60s\n", "time"),
        ("name: [", "line"),
        (good.replace("60s", "301s"), "skew"),
        (good.replace("60s", "sixty"), "skew"),
        (good + "&a x: *a\n", ""),
        ("- a\n- b\n", ""),
        ("\0", ""),
    ):
        with open(f.config, "w") as file:
            file.write(bad)
        code, text = f.refuses()
        assert code == 20 and "IF_ERR_506" in text and word in text, (bad[-40:], code, text)


def test_socket_path_of_a_long_directory_is_said_clearly(f):
    deep = os.path.join(f.root, "x" * 120)
    done = f.ifd("--init", deep, "--http", "127.0.0.1:0")
    if done.returncode == 0:
        done = f.ifd("--config", os.path.join(deep, "ifd.yaml"))
    assert done.returncode == 20 and b"107" in done.stderr, done


def test_dev_serves_prints_what_to_paste_and_leaves_nothing(f):
    import fabric

    env = dict(os.environ, TMPDIR=f.root)
    p = subprocess.Popen([PROGRAM["ifd"], "--dev"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    line = p.stdout.readline()
    assert line.startswith(b"ready unix:"), line
    directory = line.split()[1][5:].decode().rsplit("/run/", 1)[0]
    a = fabric.Agent("Demo.A", key=fabric.load_pem(directory + "/keys/Demo.A.pem"))
    with fabric.Conn(directory + "/run/ifd.sock") as c:
        r = c.request("POST", "/v1/messages", bytes(a.message(receiver="if://agent/Demo.B")))
        assert r.status == 200, r
    p.send_signal(signal.SIGTERM)
    _, err = p.communicate(timeout=PATIENCE)
    assert p.returncode == 0 and b"IFAB_DIR=" in err, (p.returncode, err)
    assert not os.path.exists(directory)


# --- anchors ---


def anchored(f):
    f.anchor = os.path.join(f.root, "anchors")
    os.mkdir(f.anchor, 0o700)
    f.configure({"anchor.directories": [f.anchor], "anchor.every": "0s"})


def anchor(f):
    r = f.post("/v1/anchors", {"why": "test"})
    assert r.status == 200, r


def test_older_copy_is_505_against_its_anchor(f):
    # INV-05
    anchored(f)
    a, _ = seeded(f)
    shutil.copytree(f.data, f.data + ".old")
    f.start()
    for _ in range(5):
        assert f.send(a.message()).status == 200
    anchor(f)
    items = f.get("/v1/anchors").json["items"]
    assert len(items) == 1 and items[0]["size"] == f.size() - 1, items
    f.stop()
    f.start()  # itself is fine
    f.stop()
    shutil.rmtree(f.data)
    os.rename(f.data + ".old", f.data)
    text = is_505(f)
    assert "anchor" in text and "restore" in text, text


def test_other_history_is_505_against_its_anchor(f):
    # INV-05: the same key, another past
    anchored(f)
    a, _ = seeded(f)
    shutil.copytree(f.data, f.data + ".old")
    f.start()
    for _ in range(3):
        f.send(a.message())
    anchor(f)
    f.stop()
    shutil.rmtree(f.data)
    os.rename(f.data + ".old", f.data)
    f.configure({"anchor.directories": [], "anchor.every": "0s"})
    f.start()  # nobody tells: it goes on with another history
    a.seq += 10
    for _ in range(10):
        assert f.send(a.message()).status == 200
    f.stop()
    f.configure({"anchor.directories": [f.anchor], "anchor.every": "0s"})
    text = is_505(f)
    assert "another history" in text, text


def test_missing_anchor_directory_is_a_clear_error(f):
    # INV-15
    f.configure({"anchor.directories": [os.path.join(f.root, "nowhere")]})
    code, text = f.refuses()
    assert code == 20 and "nowhere" in text, (code, text)


def test_newest_anchor_gone_or_renamed_inside_is_505(f):
    # INV-05: an older one must not stand in for it
    anchored(f)
    f.start()
    a = f.enrol("Demo.A")
    for _ in range(2):
        f.send(a.message())
        anchor(f)
    assert f.stop() == 0
    path = sorted(os.path.join(b, n) for b, _, ns in os.walk(f.anchor) for n in ns)[-1]
    with open(path, "rb") as file:
        good = file.read()
    for bad in (b"x" + good[1:], good[:-1], b"", None):
        os.unlink(path)
        if bad is not None:
            with open(path, "wb") as file:
                file.write(bad)
        code, text = f.refuses()
        assert code == 20 and "IF_ERR_505" in text, (bad, code, text)
        with open(path, "wb") as file:
            file.write(good)
    f.start()


def test_forged_and_damaged_anchors_are_505_never_trusted(f):
    # INV-05
    anchored(f)
    a, _ = seeded(f)
    f.start()
    anchor(f)
    f.stop()
    names = [os.path.join(b, n) for b, _, ns in os.walk(f.anchor) for n in ns]
    assert names
    for path in names:
        with open(path, "r+b") as file:
            data = file.read()
            file.seek(len(data) - 5)
            file.write(b"AAAA")
    is_505(f)


def test_anchors_are_made_by_the_clock(f):
    anchored(f)
    f.configure({"anchor.directories": [f.anchor], "anchor.every": "1s"})
    f.start()
    a = f.enrol("Demo.A")
    f.send(a.message())
    wait_for(lambda: f.get("/v1/anchors").json["items"], 5, "an anchor")

    def rests():  # after the entry about it, and about what came after it
        size = f.size()
        time.sleep(2.5)
        return f.size() == size

    wait_for(rests, what="a fabric that does not anchor itself again and again")


def test_wrong_tiles_are_all_made_again_and_then_believed(f):
    # INV-05: tiles are a cache; one that is wrong says something of the others
    seeded(f, 600)
    paths = [os.path.join(f.data, "tiles", "tile", "0", f"{n:03d}") for n in range(2)]
    right = [open(path, "rb").read() for path in paths]
    for path in paths:
        with open(path, "wb") as file:
            file.write(bytes(256 * 32))
    f.start()

    def told():
        with open(f.log_path, encoding="utf-8", errors="replace") as log:
            return "all made again" in log.read()

    wait_for(told, what="the tiles made again")
    assert [open(path, "rb").read() for path in paths] == right
    f.verify()
    assert f.get("/tile/0/000").body == right[0]
    f.stop()


for name, fn in list(globals().items()):
    if name.startswith("test_"):
        fn.started = False


def test_clock_is_accepted_only_while_one_is_in_doubt(f):
    # INV-13
    r = f.post("/v1/clock/accept", {"why": "t"})
    assert r.status == 403 and r.code == 3, r
    r = f.admin("/v1/clock/accept", {})
    assert r.status == 409 and r.code == 409, r
    assert all(e["operation"] != "clock_accept" for e in f.entries(0))


def test_the_service_manager_is_told(f):
    path = os.path.join(f.root, "notify")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(path)
    listener.settimeout(PATIENCE)
    os.environ["NOTIFY_SOCKET"], os.environ["WATCHDOG_USEC"] = path, "2000000"
    try:
        f.start()
    finally:
        del os.environ["NOTIFY_SOCKET"], os.environ["WATCHDOG_USEC"]
    assert listener.recv(4096) == b"READY=1"
    assert listener.recv(4096) == b"WATCHDOG=1" and listener.recv(4096) == b"WATCHDOG=1"

    def until(word):
        while True:
            said = listener.recv(4096)
            if said.startswith(word):
                return said

    os.kill(f.process.pid, signal.SIGHUP)
    assert b"\nMONOTONIC_USEC=" in until(b"RELOADING=1")
    until(b"READY=1")
    os.kill(f.process.pid, signal.SIGTERM)
    until(b"STOPPING=1")
    assert f.process.wait(PATIENCE) == 0
    f.process = None


test_the_service_manager_is_told.started = False


def test_anchor_never_points_past_what_is_durable_and_its_entry_never_at_none(f):
    # INV-05: killed at any moment, every anchor is of a beginning of the log, and every entry about one has its anchor in every store
    import threading

    places = [os.path.join(f.root, name) for name in ("one", "two")]
    for place in places:
        os.mkdir(place)
    assert f.stop() == 0
    f.configure({"anchor.directories": places})
    f.start()
    agents = [f.enrol(f"Agent{i}") for i in range(4)]
    made = 0
    for round_ in range(6):
        def work(a):
            try:
                with f.conn() as c:
                    while True:
                        c.request("POST", "/v1/messages", bytes(a.message()))
            except (OSError, Gone):
                return

        def anchor():
            try:
                while True:
                    f.post("/v1/anchors", {"why": "now"})
            except (OSError, Gone):
                return

        threads = [threading.Thread(target=work, args=(a,)) for a in agents] + [threading.Thread(target=anchor)]
        for t in threads:
            t.start()
        time.sleep(0.15 + 0.03 * round_)
        f.kill()
        for t in threads:
            t.join()
        f.start()  # it compares the newest of each store itself: ahead or beside is 505
        for a in agents:
            a.seq = max([a.seq, *f.last_seq(a).values()])
        told = [e["payload"]["size"] for e in f.entries() if e["type"] == "anchor" or e["operation"] == "anchor"]
        there = [{int(open(os.path.join(p, n), "rb").read().split(b"\n")[1]) for n in os.listdir(p) if not n.startswith(".")} for p in places]
        size = f.size()
        assert all(max(sizes) <= size for sizes in there if sizes), (there, size)
        assert all(n in sizes for n in told for sizes in there), (told, there)
        made = len(told)
    assert made > 6
    f.verify()
    return f"{made} entries about anchors, {sum(map(len, there))} files"


def test_anchor_that_one_store_does_not_take_has_no_entry(f):
    places = [os.path.join(f.root, name) for name in ("one", "two")]
    for place in places:
        os.mkdir(place)
    assert f.stop() == 0
    f.configure({"anchor.directories": places})
    f.start()
    assert f.post("/v1/anchors", {"why": "now"}).status == 200
    before = f.size()
    shutil.rmtree(places[1])
    r = f.post("/v1/anchors", {"why": "now"})
    assert r.code == 504, r
    assert f.size() == before, "no entry tells of it"

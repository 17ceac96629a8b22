"""A store that is torn or damaged: what is proven goes on, what is not is given up and said so."""

import json
import os
import shutil
import sqlite3

import fabric
from fabric import Fabric, check_note
from tests_log_key import if_verify, rotate


def salvage(f, name="new", *more, why="torn"):
    to = os.path.join(f.root, name)
    done = f.ifd("--salvage", f.dir, "--dir", to, "--why", why, *more)
    return to, done


def going_on(f, to):
    g = Fabric(parent=f.root, directory=to, init=False)
    g.configure({})
    g.admin_key = f.admin_key
    return g.start()


def filled(f, count=300):
    """Agents A and B; many entries, so that tiles and pages are more than one."""
    a, b = f.enrol("Demo.A"), f.enrol("Demo.B")
    for n in range(0, count, 100):
        f.lines([a.message() for _ in range(min(100, count - n))])
    return a, b


def state_of(path):
    """Every file below, for 'nothing was changed'; the lock is taken, and says who has it."""
    out = {}
    for base, _, names in os.walk(path):
        for name in names:
            if name not in ("lock", "ifd.sock"):
                with open(os.path.join(base, name), "rb") as data:
                    out[os.path.join(base, name)] = data.read()
    return out


def whole_database(f):
    """All that is in the WAL goes into main.db, so that a test can damage one file."""
    db = sqlite3.connect(os.path.join(f.data, "main.db"))
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def refused_start(f):
    code, words = f.refuses()
    assert code == 20 and "IF_ERR_505" in words, (code, words)


def test_torn_file_goes_on_from_what_an_anchor_proves(f):
    assert f.stop() == 0
    place = os.path.join(f.root, "anchors")
    os.mkdir(place)
    f.configure({"anchor.directories": [place], "anchor.every": "0s"})
    f.start()
    a, b = filled(f)
    assert f.post("/v1/anchors", {"why": "now"}).status == 200
    origin, vkey = f.about()["origin"], f.about()["vkey"]
    anchored = max(int(open(os.path.join(place, n), "rb").read().split(b"\n")[1]) for n in os.listdir(place))
    late = f.enrol("Late")
    filled_size = f.size()
    for _ in range(50):
        f.send(b.message())
    assert f.stop() == 0
    whole_database(f)
    db = os.path.join(f.data, "main.db")
    with open(db, "r+b") as out:
        out.truncate(os.path.getsize(db) * 9 // 10)
    refused_start(f)
    before = state_of(f.dir)
    to, done = salvage(f)
    assert done.returncode == 0, done
    assert state_of(f.dir) == before, "the damaged directory is left as it is"
    words = done.stdout.decode()
    assert f"kept       {anchored} entries" in words and "given up" in words, words
    assert if_verify(os.path.join(to, "salvaged"), "--vkey", vkey)[0] == 0
    assert if_verify(os.path.join(to, "salvaged"), "--vkey", vkey, "--min-size", str(anchored))[0] == 0
    g = going_on(f, to)
    try:
        first = g.entry(0)
        assert g.about()["origin"] != origin and first["operation"] == "restore", first
        payload = first["payload"]
        assert payload["salvage"]["kept"] == payload["salvage"]["proven"] == anchored <= payload["salvage"]["readable"] <= filled_size + 50, payload
        assert payload["void"] is None and payload["fence_offset"] > 1 << 48 and payload["old"]["origin"] == origin, payload
        check_note(payload["old"]["checkpoint"].encode(), vkey)
        assert g.get("/v1/talents/Demo.A").status == 200
        assert g.get("/v1/talents/Late").status == 404, "enrolled in the part that was given up"
        assert g.send(a.message()).code == 102, "messages from before are void"
        g.verify()
        rotate(g)
    finally:
        g.kill()
    return words.replace("\n", " | ")


def test_damaged_page_of_another_table_keeps_everything_that_the_head_proves(f):
    a, b = filled(f, 120)
    vkey, size = f.about()["vkey"], f.size()
    receipt = f.send(b.message()).json
    size = f.size()
    assert f.stop() == 0
    whole_database(f)
    path = os.path.join(f.data, "main.db")
    db = sqlite3.connect(path)
    pages = db.execute("SELECT pageno FROM dbstat WHERE name='tags'").fetchall() if has_dbstat(db) else []
    root = db.execute("SELECT rootpage FROM sqlite_schema WHERE name='tags'").fetchone()[0]
    db.close()
    with open(path, "r+b") as out:
        for page in {root, *(p for (p,) in pages)}:
            out.seek((page - 1) * 8192)
            out.write(b"\xff" * 8192)
    code, words = f.refuses()
    assert code == 20, words
    to, done = salvage(f)
    assert done.returncode == 0, done
    words = done.stdout.decode()
    assert f"kept       {size} entries, {size} of them proven" in words and f"given up   0 entries: {size} were committed" in words, words
    assert if_verify(os.path.join(to, "salvaged"), "--vkey", vkey, "--min-size", str(size))[0] == 0
    assert os.path.exists(os.path.join(to, "salvaged", "messages", f"{receipt['entry']['index']}.json"))


def has_dbstat(db):
    try:
        db.execute("SELECT 1 FROM dbstat LIMIT 1")
        return True
    except sqlite3.OperationalError:
        return False


def test_without_anything_signed_nothing_is_believed_unless_a_person_says_so(f):
    a, b = filled(f, 120)
    vkey = f.about()["vkey"]
    kept = os.path.join(f.root, "kept.checkpoint")
    with open(kept, "wb") as out:
        out.write(f.get("/checkpoint").body)
    size = int(open(kept, "rb").read().split(b"\n")[1])
    f.send(b.message())
    assert f.stop() == 0
    whole_database(f)
    db = sqlite3.connect(os.path.join(f.data, "main.db"))
    db.execute("UPDATE head SET mac=zeroblob(32)")
    db.commit()
    db.close()
    refused_start(f)
    to, done = salvage(f)
    assert done.returncode == 20 and b"--unproven" in done.stderr, done
    assert not os.path.exists(to), "a salvage that was refused leaves nothing"
    to, done = salvage(f, "by-checkpoint", "--checkpoint", kept)
    assert done.returncode == 0 and f"kept       {size} entries, {size} of them".encode() in done.stdout, done
    assert b"more can be read, but nothing signed covers them" in done.stdout, done
    to, done = salvage(f, "unproven", "--unproven")
    assert done.returncode == 0 and f"kept       {size + 1} entries, 0 of them proven".encode() in done.stdout, done
    assert if_verify(os.path.join(to, "salvaged"), "--vkey", vkey)[0] == 0
    foreign = os.path.join(f.root, "foreign")
    with Fabric() as other:
        other.start()
        with open(foreign, "wb") as out:
            out.write(other.get("/checkpoint").body)
    to, done = salvage(f, "foreign-checkpoint", "--checkpoint", foreign)
    assert done.returncode == 20 and b"no checkpoint of this log" in done.stderr, done


def test_altered_entry_is_not_gone_on_from(f):
    # INV-05 INV-16: somebody makes himself an admin, chains it on, and tears the head
    a, _ = filled(f, 30)
    kept = os.path.join(f.root, "kept.checkpoint")
    with open(kept, "wb") as out:
        out.write(f.get("/checkpoint").body)
    assert f.stop() == 0
    whole_database(f)
    import hashlib

    import rfc8785

    db = sqlite3.connect(os.path.join(f.data, "main.db"))
    rows = [json.loads(r) for (r,) in db.execute("SELECT entry FROM entries ORDER BY idx")]
    at = next(i for i, e in enumerate(rows) if e["subject"] == "Demo.A" or e["payload"].get("record", {}).get("name") == "Demo.A")
    rows[at]["payload"]["record"]["role"] = "admin"
    previous = None
    for i, e in enumerate(rows):
        if previous is not None:
            e["prev_hash"] = previous
        text = rfc8785.dumps(e)
        previous = hashlib.sha256(text).hexdigest()
        db.execute("UPDATE entries SET entry=? WHERE idx=?", (text, i))
    db.execute("UPDATE head SET mac=zeroblob(32)")
    db.commit()
    db.close()
    to, done = salvage(f)
    assert done.returncode == 20, done
    to, done = salvage(f, "checked", "--checkpoint", kept)
    assert done.returncode == 20 and b"were altered" in done.stderr, done
    to, done = salvage(f, "not-even-unproven", "--checkpoint", kept, "--unproven")
    assert done.returncode == 20 and b"were altered" in done.stderr, done
    assert not os.path.exists(to)


def test_lost_database_leaves_full_tiles(f):
    a, _ = filled(f, 600)
    vkey = f.about()["vkey"]
    f.get("/checkpoint")  # tiles reach it
    assert f.stop() == 0
    os.unlink(os.path.join(f.data, "main.db"))
    for extra in ("main.db-wal", "main.db-shm"):
        if os.path.exists(os.path.join(f.data, extra)):
            os.unlink(os.path.join(f.data, extra))
    to, done = salvage(f, "n", "--unproven")
    assert done.returncode == 0 and b"kept       512 entries, 0 of them proven" in done.stdout and b"512 came from tiles" in done.stdout, done
    assert b"nobody can say how many" in done.stdout, done
    code, words = if_verify(os.path.join(to, "salvaged"), "--vkey", vkey)
    assert code == 0, words
    g = going_on(f, to)
    try:
        assert g.get("/v1/talents/Demo.A").status == 200
        assert g.entry(0)["payload"]["salvage"] == {"committed": None, "kept": 512, "messages": 0, "proven": 0, "readable": 512}
    finally:
        g.kill()


def test_every_cut_is_either_refused_or_verifies(f):
    """Truncated at many places, and with pages of nonsense: what comes out is a beginning of the log, or nothing."""
    import random

    a, _ = filled(f, 200)
    vkey = f.about()["vkey"]
    whole = [json.dumps(e, sort_keys=True) for e in f.entries()]
    assert f.stop() == 0
    whole_database(f)
    path = os.path.join(f.data, "main.db")
    good = open(path, "rb").read()
    rng, kept = random.Random(7), []
    for n in range(10):
        data = bytearray(good)
        if n % 2 == 0:
            del data[rng.randrange(8192, len(data)):]
        else:
            for _ in range(1 + n // 2):
                at = rng.randrange(8192, len(data) - 4096)
                data[at : at + 4096] = rng.randbytes(4096)
        with open(path, "wb") as out:
            out.write(data)
        to, done = salvage(f, f"n{n}", "--unproven")
        if done.returncode != 0:
            assert done.returncode == 20 and done.stderr.startswith(b"ifd: IF_ERR_"), done
            assert not os.path.exists(to)
            continue
        code, words = if_verify(os.path.join(to, "salvaged"), "--vkey", vkey)
        assert code == 0, (n, words)
        size = int(words.split("size", 1)[1].split()[0])
        kept.append(size)
        entries = []
        base = os.path.join(to, "salvaged", "tile", "entries")
        for folder, _, names in os.walk(base):
            for name in names:
                raw = open(os.path.join(folder, name), "rb").read()
                while raw:
                    length = int.from_bytes(raw[:2], "big")
                    entries.append(json.loads(raw[2 : 2 + length]))
                    raw = raw[2 + length :]
        entries.sort(key=lambda e: e["index"])
        assert [json.dumps(e, sort_keys=True) for e in entries] == whole[:size]
        shutil.rmtree(to)
    assert kept, "none of them could be gone on from"
    return f"kept of {len(whole)}: {kept}"


def test_served_log_is_not_salvaged_and_its_rules_go_on(f):
    to, done = salvage(f)
    assert done.returncode == 20 and b"held by another ifd" in done.stderr and not os.path.exists(to), done
    with open(os.path.join(f.dir, "rules.yaml"), "w") as out:
        out.write("v: 1\nrules:\n  - id: 20-deletes\n    effect: deny\n    reason: nobody deletes\n    when: {scope.action: delete}\n")
    f.restart()
    a = f.enrol("Demo.A")
    digest = f.send(a.message()).json["policy_digest"]
    assert f.stop() == 0
    os.unlink(os.path.join(f.dir, "rules.yaml"))  # they stand in the log
    to, done = salvage(f)
    assert done.returncode == 0, done
    g = going_on(f, to)
    try:
        assert g.get("/readyz").status == 200
        assert [e for e in g.entries() if e["type"] == "rules"][-1]["payload"]["policy_digest"] == digest
    finally:
        g.kill()


def test_erased_bytes_stay_gone(f):
    a, _ = filled(f, 10)
    m = a.message(content={"data": {"words": "the-erased-words"}})
    index = f.send(m).json["entry"]["index"]
    assert f.admin("/v1/witness/erase", {"id": m.id, "sender": a.uri, "why": "asked"}).status == 200
    vkey = f.about()["vkey"]
    assert f.stop() == 0
    to, done = salvage(f)
    assert done.returncode == 0, done
    assert not f.grep(b"the-erased-words", to)
    out = os.path.join(to, "salvaged")
    assert json.load(open(os.path.join(out, "erased.json"))) == [index]
    assert not os.path.exists(os.path.join(out, "messages", f"{index}.json"))
    assert if_verify(out, "--vkey", vkey)[0] == 0


def test_tasks_and_swarms_are_given_up_and_the_rest_goes_on(f):
    a, _ = filled(f, 100)
    assert f.post("/v1/swarms", {"id": "data", "skills": ["sql"], "why": "x"}).status == 201
    assert f.post("/v1/tasks", {"id": "t", "type": "job", "needs": ["sql"], "payload": [1], "why": "x"}).status == 201
    fence = f.post("/v1/tasks/t/claim", {"swarm": "data"}).json["fence"]
    assert f.stop() == 0
    whole_database(f)
    with open(os.path.join(f.data, "main.db"), "r+b") as out:
        out.truncate(os.path.getsize(os.path.join(f.data, "main.db")) - 4096)
    refused_start(f)
    to, done = salvage(f, "new", "--unproven")
    assert done.returncode == 0, done
    with going_on(f, to) as g:
        assert g.get("/v1/tasks").json["items"] == [] and g.get("/v1/swarms").json["items"] == []
        assert g.post("/v1/swarms", {"id": "data", "skills": ["sql"], "why": "x"}).status == 201
        assert g.post("/v1/tasks", {"id": "t", "type": "job", "needs": ["sql"], "why": "x"}).status == 201
        assert g.post("/v1/tasks/t/claim", {"swarm": "data"}).json["fence"] > fence + (1 << 31)
        g.verify()

"""Directories of earlier releases (tests/vectors/data) open and verify; a store of a later one is refused."""

import json
import os
import shutil
import sqlite3

import nacl.signing

from fabric import Agent, Fabric, check_note

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "vectors", "data")


def unpacked(f, version):
    """A copy of that release's directory, with modes as it had them; what is expected of it."""
    source, to = os.path.join(DATA, version), os.path.join(f.root, version)
    shutil.copytree(source, to)
    for name in ("run", "data/tiles"):
        os.makedirs(os.path.join(to, name), exist_ok=True)
    for base, folders, names in os.walk(to):
        os.chmod(base, 0o700)
        for name in names:
            os.chmod(os.path.join(base, name), 0o600)
    g = Fabric(parent=f.root, directory=to, init=False)
    with open(os.path.join(source, "expect.json")) as file:
        return g, json.load(file)


def schema_of(g):
    db = sqlite3.connect(os.path.join(g.data, "main.db"))
    try:
        return db.execute("PRAGMA user_version").fetchone()[0]
    finally:
        db.close()


def test_directories_of_earlier_releases_open_verify_and_go_on(f):
    # INV-05 INV-16
    versions = sorted(os.listdir(DATA))
    assert versions
    for version in versions:
        g, expect = unpacked(f, version)
        assert schema_of(g) == expect["schema"], version
        g.start()
        try:
            about = g.about()
            assert about["vkey"] == expect["vkey"] and about["size"] >= expect["size"]
            assert g.get(f"/v1/messages/{expect['receipt']['id']}").json == expect["receipt"]
            open_ = [d["id"] for d in g.get("/v1/decisions?state=escalated").json["items"]]
            assert expect["held"] in open_ or [e for e in g.entries() if e["subject"] == expect["held"]][-1]["type"] == "decision", open_
            a = Agent("Demo.A", key=nacl.signing.SigningKey(bytes.fromhex(expect["agent_seed"])))
            a.seq = expect["last_seq"]
            assert g.send(a.message()).json["decision"] == "SHARE"
            check_note(g.get("/checkpoint").body, expect["vkey"])
            g.verify()
            assert schema_of(g) > expect["schema"]
            assert "an older schema was upgraded" in g.tail() and f'"from":{expect["schema"]}' in g.tail()
            g.restart()
            g.verify()
            assert g.stop() == 0
        finally:
            g.kill()
    return ", ".join(versions)


def test_backup_of_an_earlier_release_is_restored_and_left_as_it_is(f):
    version = sorted(os.listdir(DATA))[0]
    g, expect = unpacked(f, version)
    before = open(os.path.join(g.data, "main.db"), "rb").read()
    for name in ("ifd.yaml", "rules.yaml"):
        shutil.copy2(os.path.join(g.dir, name), g.data)
    to = os.path.join(f.root, "restored")
    done = g.ifd("--restore", g.data, "--dir", to, "--keys", os.path.join(g.dir, "keys"), "--why", "moved")
    assert done.returncode == 0, done
    assert open(os.path.join(g.data, "main.db"), "rb").read() == before
    new = Fabric(parent=f.root, directory=to, init=False)
    new.configure({})
    new.start()
    try:
        assert new.get("/v1/talents/Demo.A").status == 200
        new.verify()
    finally:
        new.kill()


def test_store_of_a_later_release_is_refused_and_left_as_it_is(f):
    assert f.stop() == 0
    path = os.path.join(f.data, "main.db")
    db = sqlite3.connect(path)
    later = db.execute("PRAGMA user_version").fetchone()[0] + 1
    db.execute(f"PRAGMA user_version={later}")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    before = open(path, "rb").read()
    code, words = f.refuses()
    assert code == 20 and "IF_ERR_506" in words and "run the newer program" in words, (code, words)
    assert open(path, "rb").read() == before

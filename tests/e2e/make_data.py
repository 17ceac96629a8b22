"""make_data.py BUILD DIR: a small fabric of the release in BUILD, for tests/vectors/data/<version>: run it before a release's store changes.

Started by build/e2e-venv/bin/python. What it holds stands in DIR/expect.json. The keys in it are for tests only.
"""

import json
import os
import shutil
import sqlite3
import sys

import fabric
from fabric import Fabric


def main():
    build, out = sys.argv[1], sys.argv[2]
    fabric.PROGRAM["ifd"] = os.path.join(build, "src/programs/ifd/ifd")
    with Fabric() as f:
        f.start()
        a, b = f.enrol("Demo.A", owner="alice"), f.enrol("Demo.B", owner="bob")
        receipts = [f.send(a.message()).json for _ in range(20)]
        held = f.send(b.message(content={"hazards": ["legal"]}))
        assert held.json["decision"] == "ESCALATE", held
        seed = bytes(a.key).hex()
        expect = {"size": f.size(), "vkey": f.about()["vkey"], "receipt": receipts[0], "held": held.json["id"], "agent_seed": seed, "last_seq": a.seq}
        f.verify()
        assert f.stop() == 0
        db = sqlite3.connect(os.path.join(f.data, "main.db"))
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        expect["schema"] = db.execute("PRAGMA user_version").fetchone()[0]
        db.execute("PRAGMA journal_mode=DELETE")
        db.close()
        os.makedirs(os.path.join(out, "data"))
        shutil.copytree(os.path.join(f.dir, "keys"), os.path.join(out, "keys"))
        for name in ("ifd.yaml", "rules.yaml"):
            shutil.copy2(os.path.join(f.dir, name), out)
        shutil.copy2(os.path.join(f.data, "main.db"), os.path.join(out, "data"))
        with open(os.path.join(out, "expect.json"), "w") as file:
            json.dump(expect, file, indent=1, sort_keys=True)
            file.write("\n")


main()

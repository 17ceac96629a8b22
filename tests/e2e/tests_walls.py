"""Walls around capabilities: told, and wanted by policy. INV-08"""

from cli import Cli
from tests_calls import Studio

POLICY = ("landlock", "namespaces")
MANDATORY = ("no_new_privs", "pdeathsig", "not_dumpable", "rlimits", "descriptors", "seccomp")


def series(f):
    lines = [line.rsplit(" ", 1) for line in f.get("/metrics").body.decode().splitlines() if line.startswith("ifab_sandbox_")]
    return {name: int(value) for name, value in lines}


def test_walls_are_told_and_wanted_by_policy():
    with Studio() as s:
        s.apply(0, "--scene", "x")
        told = series(s.f)
        assert [n for n in told if n.startswith('ifab_sandbox_info{engine="wasmtime ') and told[n] == 1], told
        assert all(told[f'ifab_sandbox_wall{{wall="{w}"}}'] == 1 for w in MANDATORY) and told["ifab_sandbox_workers"] >= 1, told
        stands = [w for w in POLICY if told[f'ifab_sandbox_wall{{wall="{w}"}}']]
        rows = [i for i in Cli(s.f).json("doctor")["items"] if i["check"] == "sandbox"]
        assert len(rows) == 1 and "wasmtime" in rows[0]["detail"] and (rows[0]["state"] == "good") == (len(stands) == len(POLICY)), rows
        assert all((w in rows[0]["detail"]) != (w in stands) for w in POLICY), rows
        s.f.configure({"sandbox.walls": stands})
        s.f.restart()
        s.apply(0, "--scene", "x")
        assert series(s.f)["ifab_sandbox_refused_walls_total"] == 0
        if len(stands) < len(POLICY):  # a wall that this kernel does not allow: nothing is run
            s.f.configure({"sandbox.walls": list(POLICY)})
            s.f.restart()
            assert "IF_ERR_5" in s.apply(20, "--scene", "x").err
            assert series(s.f)["ifab_sandbox_refused_walls_total"] > 0
            assert any(i["check"] == "sandbox" and i["state"] == "warning" and "sandbox.walls" in i["detail"] for i in Cli(s.f).json("doctor")["items"])
        s.f.configure({"sandbox.walls": ["moat"]})
        s.f.stop()
        code, said = s.f.refuses()
        assert code != 0 and "landlock or namespaces" in said, said

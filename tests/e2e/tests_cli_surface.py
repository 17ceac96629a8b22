"""The command line as SURFACE promises it: every row, every global flag, every form of output."""

import csv
import io
import itertools
import json
import os
import re
import shlex
import subprocess

from cli import HELD, SCOPE, Cli
from fabric import PROGRAM, Fabric


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
        ("talent", "list"),
        ("decision", "list"),
        ("witness", "query"),
        ("message", "inbox", "--as", "Demo.R"),
        ("context", "list"),
        ("config", "schema"),
        ("config", "show"),
        ("doctor",),
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
    for args in (
        (),
        ("talent",),
        ("nonsense",),
        ("talent", "nonsense"),
        ("--nonsense",),
        ("talent", "list", "extra"),
        ("talent", "list", "--why"),
    ):
        cli.wants(2, *args)
    assert "talent list" in cli.wants(2, "talent", "lst").err
    # a command of a later part parses, helps and answers 509
    for line in (
        "falsify --task t --mode=pre-commit",
        "bus dlq list",
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


# SURFACE section 9, row by row; a noun alone is one whose commands SURFACE does not list
SURFACE = """
init | doctor | version | explain | context add | context use | context list | json check | json canon
key new | key show | talent add | talent invite | talent list | talent show | talent grant | talent revoke
talent rotate-key | talent remove
enroll | token create | token list | token revoke
message send | message new | message sign | message canon | message inbox
decision list | decision show | decision wait | decision approve | decision refuse | guard check | guard explain
witness query | witness show | witness trace | witness verify | witness checkpoint | witness vkey | witness prove
witness export | witness tail
witness erase | anchor create | anchor list | anchor verify | receipt save
task create | task show | task list | task claim | task next | task renew | task progress | task complete | task fail
task cancel | task block | task unblock | task replay
task watch | worker run | swarm register | swarm list | swarm show | budget | cost | governor
publisher | capability new | capability sign | capability verify | capability inspect | capability allow
capability revoke | capability list
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
            noun, *verb = name.split()
            named = re.search(rf"^  {noun}[ |]([a-z|-]*\|)?{verb[0]}\b" if verb else rf"^  {noun}\b", whole, re.M)
            assert noun in nouns and named, name
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
                    end = words.index("--") if "--" in words else len(words)  # what stands behind it is another program's
                    cli.wants(0, *words[1:end], "--help", *words[end:])
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
    other = {**json.loads(signed.out), "unknown": 1}
    done = cli.wants(11, "message", "send", "--json", "-", stdin=json.dumps(other).encode())
    assert re.match(r"IF_ERR_101: .*unknown.* \(byte \d+\)\n  hint: ", done.err), done
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

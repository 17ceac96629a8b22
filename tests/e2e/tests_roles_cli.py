"""Every command, every role, every way in, against columns written here by hand (those of SURFACE section 8, as tests_roles.py has them)."""

import concurrent.futures
import json
import os
import subprocess

import nacl.signing

from fabric import PROGRAM, b64u, sign
from tests_capabilities import allow, manifest, publisher, signed
from tests_certs import certified
from tests_roles import ACT, ALL, AUDIT, LIST, OPEN, OPERATE, OWN, ROLES, TABLE, names
from tests_tls import secure
from tests_tokens import enrolment, invite, new_key, token, token_file

HERE = ""  # asks no fabric, or only what is open
NOBODY, UUID = "Nobody.Here", "00000000-0000-7000-8000-000000000000"
WHY = ("--why", "test")
SIGNED = ("--as", "operator", "--key", "{dir}/keys/operator.pem")  # the act is good: the role is what is asked
STRAY = ("--as", "operator", "--key", "{stray}")  # it is not: behind the role nothing is done
CLAIM = ("--claim", "x", "--confidence", "0.9", "--scope", "{}")

# command -> its column, and words with which it asks: nothing that exists is changed by it
COMMANDS = {
    "init": (HERE, None),
    "doctor": (HERE, ()),
    "version": (HERE, ()),
    "explain": (HERE, ("104",)),
    "help": (HERE, ()),
    "completion": (HERE, ("bash",)),
    "context add": (HERE, None),
    "context use": (HERE, None),
    "context list": (HERE, ()),
    "json check": (HERE, ("{draft}",)),
    "json canon": (HERE, ("{draft}",)),
    "key new": (HERE, None),
    "key show": (HERE, ("{dir}/keys/operator.pem",)),
    "message new": (HERE, CLAIM),
    "message sign": (HERE, ("{draft}", *SIGNED)),
    "message canon": (HERE, ("{signed}",)),
    "guard check": (HERE, ("{dir}/rules.yaml",)),
    "config check": (HERE, ("{dir}/ifd.yaml",)),
    "config show": (HERE, ("{dir}/ifd.yaml",)),
    "config schema": (HERE, ()),
    "restore": (HERE, None),
    "salvage": (HERE, None),
    "witness verify": (HERE, ("{dir}",)),
    "enroll": (OPEN, ("AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA", "--out", "{out}")),
    "message send": (OPEN, (*CLAIM, *SIGNED)),
    "witness checkpoint": (OPEN, ()),
    "witness vkey": (OPEN, ()),
    "talent add": (OPERATE, ("operator", *WHY)),
    "talent invite": (OPERATE, ("operator", *WHY)),
    "talent list": (LIST, ()),
    "talent show": (LIST, ("operator",)),
    "talent grant": (OPERATE, (NOBODY, "--scope", "x", *WHY)),
    "talent revoke": (OPERATE, (NOBODY, *WHY)),
    "talent rotate-key": (ALL, (NOBODY, "--pubkey", "{pub}", *WHY, *SIGNED)),
    "talent add-cert": (ALL, (NOBODY, "--spki", "sha256:" + "7" * 64, *WHY, *SIGNED)),
    "talent remove": (OPERATE, (NOBODY, *WHY)),
    "token create": (OPERATE, (NOBODY, *WHY)),
    "token list": (ALL, ()),
    "token revoke": (OPERATE, ("tok-" + UUID, *WHY)),
    "message inbox": (ALL, ("--as", "{talent}")),
    "mcp": (ALL, None),  # asked by one of its tools: see below
    "budget set": (OPERATE, ("x", "--subject", "talent:" + NOBODY, "--usd", "1", "--period", "day", *WHY, *SIGNED)),
    "budget list": (ALL, ()),
    "budget report": (ALL, ()),
    "budget remove": (OPERATE, ("x", *WHY, *SIGNED)),
    "budget reserve": (ACT, ("--usd", "1", "--talent", NOBODY)),
    "budget settle": (ACT, ("rsv-" + UUID, "--usd", "1")),
    "budget release": (ACT, ("rsv-" + UUID,)),
    "budget reservations": (ALL, ()),
    "cost track": (ACT, ("--usd", "1", "--talent", NOBODY)),
    "cost rates": (ALL, ()),  # to set them is an operator's route, and an admin's act
    "cost budget": (ALL, ()),
    "cost report": (OWN, ()),
    "cost estimate": (ALL, ("--model", "x")),
    "governor match": (LIST, ("--needs", "x")),
    "governor waste": (LIST, ()),
    "governor breakers": (LIST, ()),
    "governor reset": (OPERATE, ("swarm:x", *WHY)),
    "decision list": (LIST, ()),
    "decision watch": (LIST, None),  # has no end: see below
    "decision show": (ALL, ("msg-" + UUID,)),
    "decision wait": (ALL, ("msg-" + UUID, "--wait", "0s")),
    "decision approve": (OPERATE, None),  # something must wait: see below
    "decision refuse": (OPERATE, None),
    "decision scope-ok": (OPERATE, None),
    "guard explain": (AUDIT, (*CLAIM, *SIGNED)),
    "clock accept": (OPERATE, (*WHY, *SIGNED)),
    "backup": (OPERATE, ("{dir}", *WHY)),
    "witness query": (OWN, ()),
    "witness show": (OWN, ("1000000",)),
    "witness trace": (OWN, (UUID,)),
    "witness prove": (OWN, ("0",)),
    "witness export": (AUDIT, ("--out", "{out}")),
    "witness tail": (OWN, None),  # has no end: see below
    "witness rotate-key": (OPERATE, (*WHY, *STRAY)),  # it would: tests_log_key
    "witness erase": (OPERATE, ("msg-" + UUID, "--sender", "if://agent/operator", *WHY, *SIGNED)),
    "anchor create": (OPERATE, WHY),
    "anchor list": (AUDIT, ()),
    "anchor verify": (AUDIT, ()),
    "task create": (ACT, ("--type", "job", "--swarm", NOBODY, *WHY)),
    "task show": (ALL, (NOBODY,)),
    "task list": (ALL, ()),
    "task claim": (ACT, (NOBODY, "--swarm", NOBODY)),
    "task next": (ACT, ("--swarm", NOBODY)),
    "task renew": (ACT, (NOBODY, "--fence", "7")),
    "task progress": (ACT, (NOBODY, "--fence", "7")),
    "task complete": (ACT, (NOBODY, "--fence", "7")),
    "task fail": (ACT, (NOBODY, "--fence", "7", "--kind", "poison")),
    "task cancel": (ACT, (NOBODY, *WHY)),
    "task block": (ACT, (NOBODY, "--fence", "7", "--needs", "x")),
    "task unblock": (ACT, (NOBODY, "--fence", "7")),
    "task replay": (ACT, (NOBODY, *WHY)),
    "task watch": (OWN, None),  # has no end: see below
    "worker run": (ACT, ("--swarm", NOBODY, "--once", "--wait", "1ms", "--", "true")),
    "top": (LIST, ()),
    "swarm register": (OPERATE, ("x", "--skills", "a", "--members", NOBODY, *WHY)),
    "swarm list": (LIST, ()),
    "publisher add": (OPERATE, ("x", "--pubkey", "{pub}", "--namespace", "..", *WHY, *SIGNED)),
    "publisher list": (LIST, ()),
    "publisher revoke": (OPERATE, ("x", *WHY, *SIGNED)),
    "capability new": (HERE, ("x", "--module", "{draft}")),
    "capability sign": (HERE, None),  # with a publisher's key: tests_capabilities
    "capability verify": (HERE, ("{manifest}", "--pubkey", "{publisher}")),
    "capability inspect": (HERE, ("{manifest}",)),
    "capability allow": (OPERATE, ("{manifest}", *WHY, *SIGNED)),
    "capability revoke": (OPERATE, ("x", *WHY, *SIGNED)),
    "capability list": (ALL, ()),
    "capability show": (ALL, ("x",)),
    "capability check": (OPERATE, ("x",)),
    "capability plan": (ACT, ("roles.none", *WHY)),  # nobody has a grant for it; as those who have: tests_calls
    "capability apply": (ACT, ("roles.none", "--wait", "0s", *WHY)),
    "capability plans": (ALL, ()),
    "capability close": (OPERATE, ("plan-019a7782-7ae4-7cc7-a09b-d3061f2ba94a", "--outcome", "done", *WHY)),
    "capability health": (OPERATE, ("x",)),
    "capability logs": (LIST, ("x",)),
    "secret set": (OPERATE, (NOBODY, "--for", "https://a.example", "--value-file", "/proc/version", *WHY, *SIGNED)),
    "secret rotate": (OPERATE, (NOBODY, "--value-file", "/proc/version", *WHY, *SIGNED)),
    "secret revoke": (OPERATE, (NOBODY, *WHY, *SIGNED)),
    "secret list": (OPERATE, ()),
    "secret age": (OPERATE, ()),
    "secret check": (OPERATE, ()),
    "swarm show": (ALL, (NOBODY,)),
    "swarm heartbeat": (ACT, (NOBODY,)),
    "receipt save": (OWN, None),  # of a message that is there: see below
}
# what comes later answers 509 by itself; its column is its route's
LATER = {
    HERE: "falsify",
    ACT: "bus-sub bus-pub",
    OPERATE: "bus-consumers bus-dlq",
}
# what a command asks; its column is what all of them have in common
ROUTE = {
    "enroll": "POST /v1/enroll",
    "message send": "POST /v1/messages",
    "witness checkpoint": "GET /checkpoint",
    "talent add": "POST /v1/talents",
    "talent invite": "POST /v1/invites",
    "talent list": "GET /v1/talents",
    "talent show": "GET /v1/talents/{}",
    "talent grant": "POST /v1/talents/{}/grants",
    "talent revoke": "POST /v1/talents/{}/revoke",
    "talent remove": "POST /v1/talents/{}/revoke",
    "talent rotate-key": "POST /v1/talents/{}/keys",
    "talent add-cert": "POST /v1/talents/{}/keys",
    "token create": "POST /v1/tokens",
    "token list": "GET /v1/tokens",
    "token revoke": "POST /v1/tokens/{}/revoke",
    "message inbox": "GET /v1/inbox",
    "decision list": "GET /v1/decisions",
    "decision watch": "GET /v1/decisions",
    "decision show": "GET /v1/decisions/{}",
    "decision approve": "GET /v1/decisions/{} & GET /v1/talents/{} & GET /v1/plans/{} & GET /v1/capabilities/{} & POST /v1/decisions/{}/votes",
    "decision refuse": "GET /v1/decisions/{} & GET /v1/talents/{} & GET /v1/plans/{} & GET /v1/capabilities/{} & POST /v1/decisions/{}/votes",
    "decision scope-ok": "GET /v1/decisions/{} & GET /v1/talents/{} & GET /v1/plans/{} & GET /v1/capabilities/{} & POST /v1/decisions/{}/votes",
    "guard explain": "POST /v1/guard/explain",
    "clock accept": "POST /v1/clock/accept",
    "backup": "POST /v1/backup",
    "witness query": "GET /v1/witness/entries",
    "witness show": "GET /v1/witness/entries/{}",
    "witness tail": "GET /v1/events",
    "witness prove": "GET /v1/witness/proof & GET /v1/witness/entries/{}",
    "witness trace": "GET /v1/witness/entries",
    "anchor verify": "GET /v1/anchors & GET /v1/witness/consistency",
    "witness rotate-key": "POST /v1/log-keys & POST /v1/log-keys/rotate",
    "witness erase": "POST /v1/witness/erase",
    "anchor create": "POST /v1/anchors",
    "anchor list": "GET /v1/anchors",
    "receipt save": "GET /v1/messages/{} & GET /v1/witness/messages/{} & GET /v1/witness/entries & GET /v1/witness/proof",
    "task create": "POST /v1/tasks",
    "task list": "GET /v1/tasks",
    "task show": "GET /v1/tasks/{}",
    "task claim": "POST /v1/tasks/{}/claim",
    "task next": "POST /v1/tasks/claim",
    "task renew": "POST /v1/tasks/{}/renew",
    "task progress": "POST /v1/tasks/{}/progress",
    "task complete": "POST /v1/tasks/{}/complete",
    "task fail": "POST /v1/tasks/{}/fail",
    "task block": "POST /v1/tasks/{}/block",
    "task unblock": "POST /v1/tasks/{}/unblock",
    "task cancel": "POST /v1/tasks/{}/cancel",
    "task replay": "POST /v1/tasks/{}/replay",
    "task watch": "GET /v1/events",
    "worker run": "POST /v1/tasks/claim & POST /v1/tasks/{}/renew & POST /v1/tasks/{}/complete & POST /v1/tasks/{}/fail",
    "top": "GET /v1/tasks & GET /v1/swarms & GET /v1/budgets & GET /v1/decisions",
    "swarm register": "POST /v1/swarms",
    "swarm list": "GET /v1/swarms",
    "swarm show": "GET /v1/swarms/{}",
    "swarm heartbeat": "POST /v1/swarms/{}/heartbeat",
    "budget set": "POST /v1/budgets",
    "budget list": "GET /v1/budgets",
    "budget remove": "POST /v1/budgets/{}/remove",
    "budget reserve": "POST /v1/reservations",
    "budget settle": "POST /v1/reservations/{}/settle",
    "budget release": "POST /v1/reservations/{}/release",
    "budget reservations": "GET /v1/reservations",
    "cost track": "POST /v1/costs",
    "cost rates": "GET /v1/rates",
    "cost report": "GET /v1/witness/entries",
    "governor match": "GET /v1/governor/match",
    "governor waste": "GET /v1/governor/waste",
    "governor breakers": "GET /v1/breakers",
    "governor reset": "POST /v1/breakers/reset",
    "publisher add": "POST /v1/publishers",
    "publisher list": "GET /v1/publishers",
    "publisher revoke": "POST /v1/publishers/{}/revoke",
    "capability allow": "POST /v1/capabilities",
    "capability revoke": "POST /v1/revocations",
    "capability list": "GET /v1/capabilities",
    "capability show": "GET /v1/capabilities/{}",
    "capability check": "POST /v1/capabilities/{}/load",
    "capability plan": "GET /v1/capabilities/{} & POST /v1/capabilities/{}/plan",
    "capability apply": "GET /v1/capabilities/{} & POST /v1/capabilities/{}/plan & POST /v1/capabilities/{}/apply",
    "capability plans": "GET /v1/plans",
    "capability close": "POST /v1/plans/{}/close",
    "capability health": "POST /v1/capabilities/{}/health",
    "capability logs": "GET /v1/capabilities/{}/logs",
    "bus pub": "POST /v1/bus/{*}",
    "bus dlq": "GET /v1/bus/dlq",
    "secret set": "GET /v1/vault & POST /v1/secrets",
    "secret rotate": "GET /v1/vault & POST /v1/secrets/{}/rotate",
    "secret revoke": "POST /v1/secrets/{}/revoke",
    "secret list": "GET /v1/secrets",
    "secret age": "GET /v1/secrets",
    "secret check": "GET /v1/vault & POST /v1/secrets/{}/check",
}


def columns():
    out = {name: column for name, (column, _) in COMMANDS.items()}
    for column, words in LATER.items():
        out.update({w.replace("-", " ", 1): column for w in words.split()})
    return out


def test_the_column_of_commands_is_the_one_written_here():
    with open(os.path.join(os.path.dirname(PROGRAM["ifctl"]), "ifctl-table.json")) as table:
        rows = {c["name"]: c for c in json.load(table)["commands"]}
    mine = columns()
    assert set(rows) == set(mine), set(rows) ^ set(mine)
    wrong = {n: (c["roles"], mine[n]) for n, c in rows.items() if c["roles"] != mine[n]}
    assert not wrong, wrong
    for name, asked in ROUTE.items():
        due = [TABLE[route].split() for route in asked.split(" & ")]
        common = [role for role in due[0] if all(role in d for d in due)]
        assert mine[name].split() == common, (name, mine[name], common)
    later = {n for n, c in rows.items() if c["later"]}
    assert later == set(rows) - set(COMMANDS), later ^ (set(rows) - set(COMMANDS))
    for name, column in mine.items():
        shown = subprocess.run([PROGRAM["ifctl"], "help", *name.split()], capture_output=True, check=True, text=True).stdout
        says = [line[7:] for line in shown.splitlines() if line.startswith("Roles: ")]
        assert says == ([] if column == HERE else ["any, or none" if column == OPEN else column]), (name, says)


# has no words above, and is asked by a test below
ENDLESS = {"witness tail": OWN, "decision watch": LIST, "task watch": OWN, "mcp": ALL}
LOOKED_AT = {"decision approve", "decision refuse", "decision scope-ok", "receipt save"}
MCP = (
    {"id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}},
    {"method": "notifications/initialized"},
    {"id": 2, "method": "tools/call", "params": {"name": "fabric_inbox", "arguments": {}}},
)


def test_every_command_that_asks_is_asked_with_every_role():
    silent = {name: column for name, (column, words) in COMMANDS.items() if words is None and column != HERE}
    assert set(silent) == set(ENDLESS) | LOOKED_AT, set(silent) ^ (set(ENDLESS) | LOOKED_AT)
    assert all(silent[name] == column for name, column in ENDLESS.items())


class Ways:
    """How to come in: arguments and environment of ifctl, and the role that this is (None: nobody)."""

    def __init__(self, f):
        self.waits = None
        self.f, self.rows = f, []
        self.tls = ("--endpoint", f"https://127.0.0.1:{f.tcp[1]}", "--ca", f.certificate)
        self.socket = ("--endpoint", f"unix:{f.unix}")
        self.home = os.path.join(f.root, "nobody")
        os.mkdir(self.home)
        draft = {"performative": "inform", "sender": "if://agent/operator", "content": {"claim": "x", "scope": {}}}
        with open(os.path.join(f.root, "draft.json"), "w") as out:
            json.dump(draft, out)
        with open(os.path.join(f.root, "signed.json"), "wb") as out:
            out.write(bytes(f.enrol("R.signer").message()))
        self.publisher = nacl.signing.SigningKey.generate()
        with open(os.path.join(f.root, "manifest.json"), "wb") as out:
            out.write(sign(manifest(), b"IF-MANIFEST-v1\n", self.publisher)[0])
        self.pub = enrolment(f, invite(f, "R.key"), new_key())["pubkey"]
        self.stray = os.path.join(f.root, "stray.pem")
        subprocess.run([PROGRAM["ifctl"], "key", "new", "--out", self.stray], capture_output=True, stdin=subprocess.DEVNULL, check=True)
        key, nothing = publisher(f, name="Roles", namespaces=("roles",)), {"take": {"params": {"type": "object"}, "effect": "read", "idempotent": True}}
        r = allow(f, signed(key, id="if://capability/roles.none", operations=nothing))
        assert r.status == 200, r

    def token_file(self, role):
        secret, _ = token(self.f, names(role), admin=True)
        return ("--token-file", token_file(os.path.join(self.f.root, "token." + role), secret))

    def run(self, way, talent, name, words, number):
        names_of = {"dir": self.f.dir, "draft": os.path.join(self.f.root, "draft.json"), "signed": os.path.join(self.f.root, "signed.json")}
        names_of.update(manifest=os.path.join(self.f.root, "manifest.json"), publisher=b64u(bytes(self.publisher.verify_key)))
        names_of.update(stray=self.stray, talent=talent, pub=self.pub, out=os.path.join(self.f.root, f"out{number}"))
        words = [w.format_map(names_of) if "{" in w and w != "{}" else w for w in words]
        command = [PROGRAM["ifctl"], *name.split(), *words, *way]
        if "--" in words:  # what follows it is another program's
            at = len(command) - len(way) - len(words) + words.index("--")
            command = [*command[:at], *way, *command[at:len(command) - len(way)]]
        return subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=120, env=self.env())

    def env(self):
        return {"PATH": os.environ["PATH"], "HOME": self.home, "IFAB_DIR": self.home}

    def compare(self, what, role, way, talent):
        """Every command that asks, by this way in."""
        wrong, asked = [], {n: (c, w) for n, (c, w) in COMMANDS.items() if w is not None and (c != HERE or role is None)}
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            done = {n: pool.submit(self.run, way, talent, n, w, f"{what}{i}") for i, (n, (_, w)) in enumerate(asked.items())}
        for name, (column, _) in asked.items():
            d = done[name].result()
            said = d.stderr.decode()
            refused = "IF_ERR_002" in said or "may not use this route" in said
            if refused and d.returncode != 10 or d.returncode == 21 or (d.returncode == 2 and column != HERE):
                wrong.append(f"{what}: {name} → {d.returncode} {said}")
            may = column in (HERE, OPEN) or (role is not None and role in column.split())
            if may == refused:
                wrong.append(f"{what}: {name} is {'refused' if refused else 'open'}: {said}")
        return wrong

    def task(self, way):
        """A task that waits for ever, made by who comes this way; its id."""
        d = self.run((*way, "-o", "json"), None, "task create", ("--type", "job", "--needs", "nobody-can", *WHY), "task")
        assert d.returncode == 0, d
        return json.loads(d.stdout)["id"]

    def ends(self, what, role, way):
        """What goes on when it may: its first line is enough. For decision watch something waits; a task watched is of who watches, where that matters."""
        if self.waits is None:
            self.waits = self.f.enrol("W.sender", owner="walt").message(content={"hazards": ["legal"]})
            assert self.f.send(self.waits).status == 202
        words = {"witness tail": ("--from", "0"), "decision watch": (), "task watch": (self.task(way if role == "agent" else self.socket),)}
        wrong = []
        for name, more in words.items():
            with subprocess.Popen([PROGRAM["ifctl"], *name.split(), *more, "-o", "ndjson", *way], env=self.env(), stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
                first = p.stdout.readline()
                p.kill()
            if bool(first) != (role is not None and role in ENDLESS[name].split()):
                wrong.append(f"{what}: {name} is {'open' if first else 'refused'}")
        return wrong + self.mcp(what, role, way)

    def mcp(self, what, role, way):
        """It serves whoever starts it; its tools are told who may."""
        key = [w.format(dir=self.f.dir) for w in SIGNED]
        lines = "".join(json.dumps({"jsonrpc": "2.0", **m}) + "\n" for m in MCP)
        d = subprocess.run([PROGRAM["ifctl"], "mcp", *key, *way], input=lines.encode(), capture_output=True, timeout=120, env=self.env())
        answers = [a for a in map(json.loads, d.stdout.splitlines()) if a.get("id") == 2]
        if len(answers) != 1 or "result" not in answers[0]:
            return [f"{what}: mcp → {d.returncode} {d.stdout} {d.stderr}"]
        said = answers[0]["result"].get("structuredContent", {}).get("error", {})
        refused = said.get("code") == "IF_ERR_002" or "may not use this route" in said.get("message", "")
        may = role is not None and role in ENDLESS["mcp"].split()
        return [f"{what}: mcp is {'refused' if refused else 'open'}: {answers[0]}"] if may == refused else []


def test_roles_of_commands_with_a_certificate_and_without_a_proof(f):
    # INV-01 INV-02
    secure(f)
    ways = Ways(f)
    wrong = ways.compare("nobody", None, ways.tls, "operator") + ways.ends("nobody", None, ways.tls)
    wrong += ways.compare("socket", "operator", ways.socket, "operator") + ways.ends("socket", "operator", ways.socket)
    for role in ROLES:
        _, mine = certified(f, names(role), role=role)
        way = (*ways.tls, "--cert", mine.crt, "--cert-key", mine.key)
        wrong += ways.compare(f"certificate of {role}", role, way, names(role)) + ways.ends(f"certificate of {role}", role, way)
    assert not wrong, "\n".join(wrong)


def test_roles_of_commands_with_a_token(f):
    # INV-01 INV-02
    secure(f)
    ways, wrong = Ways(f), []
    for role in ROLES:
        f.enrol(names(role), role=role)
        proof = ways.token_file(role)
        for where, at in (("TLS", ways.tls), ("socket", ways.socket)):
            what = f"token of {role} over {where}"
            wrong += ways.compare(what, role, (*at, *proof), names(role)) + ways.ends(what, role, (*at, *proof))
    assert not wrong, "\n".join(wrong)


def test_roles_of_votes_and_receipts(f):
    """Commands that look at something first: a message that waits, and one that was decided."""
    # INV-01 INV-02
    secure(f)
    ways, sender = Ways(f), f.enrol("R.sender", owner="carol")
    assert f.admin("/v1/talents/operator/grants", {"scope": "guard:scope", "why": "t"}).status == 200
    shared = f.send(sender.message()).json
    unsure = {"confidence": {"raw": 0.25, "normalized": 0.25}}
    for role in ROLES:
        a, mine = certified(f, names(role), role=role)
        way = (*ways.tls, "--cert", mine.crt, "--cert-key", mine.key)
        for name, content in (("decision approve", {"hazards": ["legal"]}), ("decision refuse", {"hazards": ["legal"]}), ("decision scope-ok", unsure)):
            r = f.send((a if role == "agent" else sender).message(content=content))  # an agent sees what is its own
            assert r.status == 202, r
            size = f.size()
            d = ways.run(way, names(role), name, (r.json["id"], "--yes", *WHY, *SIGNED), "none")
            votes = [e for e in f.entries(size) if e["type"] == "vote"]
            if role in OPERATE.split():
                assert d.returncode == 0 and len(votes) == 1 and votes[0]["actor"] == "if://agent/operator", (name, role, d, votes)
            else:
                assert d.returncode in (10, 12) and not votes, (name, role, d, votes)
        out = os.path.join(f.root, role + ".ifproof")
        d = ways.run(way, names(role), "receipt save", (shared["id"], "--sender", sender.uri, "--out", out), "none")
        assert d.returncode == (0 if role in AUDIT.split() else 12 if role == "agent" else 10), (role, d)
        assert os.path.exists(out) == (role in AUDIT.split())
        if role == "agent":
            own = os.path.join(f.root, "own.ifproof")
            d = ways.run(way, names(role), "receipt save", (f.send(a.message()).json["id"], "--out", own), "none")
            assert d.returncode == 0, d
            with open(own) as saved:
                assert json.loads(json.load(saved)["enrolment"]["entry"])["subject"] == a.uri
        out = os.path.join(f.root, role + ".export")
        d = ways.run(way, names(role), "witness export", ("--out", out), "none")
        assert d.returncode == (0 if role in AUDIT.split() else 10), (role, d)


def test_entries_in_bundles_are_an_auditors(f):
    """The whole log by tiles is no way round the column of the log."""
    # INV-01
    from tests_certs import call, connect
    from tests_tokens import bearer, refused

    secure(f)
    size = f.size()
    paths = [f"{base}/tile/entries/000.p/{size}" for base in ("", "/log/main")]
    for path in paths:
        with connect(f) as c:
            refused(c.request("GET", path), 401, 2)
            assert c.request("GET", path.replace("entries", "0")).status == 200, "hashes are open"
        assert f.get(path).status == 200, "the uid of the daemon is an operator"
    for role in ROLES:
        _, mine = certified(f, names(role), role=role)
        secret, _ = token(f, names(role), admin=True)
        for path in paths:
            for r in (call(f, mine, "GET", path), call(f, None, "GET", path, headers=bearer(secret)), f.get(path, headers=bearer(secret))):
                if role in AUDIT.split():
                    assert r.status == 200 and b'"operation":"init"' in r.body, (role, r)
                else:
                    refused(r, 403, 3)

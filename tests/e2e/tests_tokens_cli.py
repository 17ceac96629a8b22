"""Tokens, invites and acts by ifctl and by the Python package."""

import os
import sys
import types
import warnings

from cli import HELD, SCOPE, Cli, Follow
from fabric import wait_for
from tests_calls import Mcp
from tests_tokens import TOKEN, invite, token


def at(f):
    return f"http://{f.tcp[0]}:{f.tcp[1]}"


def test_ifctl_token_in_a_file_opens_tcp(f):
    cli = Cli(f)
    cli.wants(0, "talent", "add", "Demo.A", "--new-key", "--why", "w")
    once = cli.wants(0, "token", "create", "Demo.A", "--ttl", "10min", "--label", "laptop", "--why", "w")
    assert TOKEN.match(once.out.strip()) and once.out.count("\n") == 1, once
    file = os.path.join(f.root, "token")
    made = cli.wants(0, "token", "create", "Demo.A", "--out", file, "--why", "w", "-o", "json")
    secret = open(file).read().strip()
    assert TOKEN.match(secret) and os.stat(file).st_mode & 0o777 == 0o600 and secret not in made.out + made.err, made
    over = ("--endpoint", at(f), "--as", "Demo.A")
    assert "IF_ERR_002" in cli.wants(10, "message", "inbox", *over).err
    cli.wants(0, "message", "inbox", *over, "--token-file", file)
    cli.wants(0, "message", "inbox", *over, env={"IFAB_TOKEN_FILE": file})
    cli.wants(0, "message", "send", "--claim", "x", "--confidence", "0.9", "--scope", "{}", *over, "--token-file", file, "-o", "json")
    listed = cli.json("token", "list")["items"]
    assert len(listed) == 2 and {t.get("name") for t in listed} == {"laptop", None}, listed
    cli.wants(12, "token", "create", "Demo.A", "--out", file, "--why", "w")
    assert len(cli.json("token", "list")["items"]) == 2, "refused before one was made"
    for t in listed:
        cli.wants(0, "token", "revoke", t["id"], "--why", "w")
    assert "IF_ERR_002" in cli.wants(10, "message", "inbox", *over, "--token-file", file).err
    cli.wants(2, "token", "revoke", "nonsense", "--why", "w")
    cli.wants(2, "token", "create", "--why", "w")


def test_ifctl_token_of_ones_own_key_over_tcp(f):
    cli = Cli(f)
    cli.wants(0, "talent", "add", "Demo.A", "--new-key", "--why", "w")
    file = os.path.join(f.root, "token")
    over = ("--endpoint", at(f), "--as", "Demo.A")
    cli.wants(0, "token", "create", "Demo.A", "--out", file, "--why", "w", *over)
    cli.wants(0, "message", "inbox", *over, "--token-file", file)
    cli.wants(0, "talent", "add", "Demo.B", "--why", "w")
    cli.wants(10, "token", "create", "Demo.B", "--why", "w", *over)


def test_a_ttl_out_of_range_is_told_as_a_person_writes_it(f):
    cli = Cli(f)
    cli.wants(0, "talent", "add", "Demo.A", "--new-key", "--why", "w")
    cli.wants(0, "budget", "set", "a", "--subject", "talent:Demo.A", "--calls", "9", "--period", "day", "--why", "w")
    commands = (
        (("token", "create", "Demo.A", "--why", "w"), ("60s", "24h"), ("59s", "25h"), "from 1min to 24h"),
        (("talent", "invite", "New", "--why", "w"), ("1s", "1h"), ("0s", "2h"), "from 1s to 1h"),
        (("budget", "reserve", "--talent", "Demo.A", "--calls", "1"), ("1s", "1h"), ("0s", "2h"), "from 1s to 1h"),
    )
    for command, within, without, words in commands:
        for ttl in within:  # the daemon's own bounds are the same
            cli.wants(0, *command, "--ttl", ttl)
        for ttl in (*without, "90.5s", "x"):
            done = cli.wants(2, *command, "--ttl", ttl)
            assert "--ttl" in done.err and words in done.err and f'"{ttl}"' in done.err and "ttl_s" not in done.err, done


def test_a_token_that_others_may_read_is_refused_as_a_key_is(f):
    # INV-01
    cli, file = Cli(f), os.path.join(f.root, "token")
    cli.wants(0, "talent", "add", "Demo.A", "--new-key", "--why", "w")
    cli.wants(0, "token", "create", "Demo.A", "--out", file, "--why", "w")
    inbox = ("message", "inbox", "--endpoint", at(f), "--as", "Demo.A")
    for mode in (0o644, 0o640, 0o604, 0o601):
        os.chmod(file, mode)
        for way, env in ((("--token-file", file), None), (("--token-file", "@" + file), None), ((), {"IFAB_TOKEN_FILE": file})):
            done = cli.wants(10, *inbox, *way, env=env)
            assert f"{file} may be read by others (mode {mode:o})" in done.err and "chmod 600" in done.err and done.out == "", done
    with open(file, "rb") as secret:
        cli.wants(0, *inbox, "--token-file", "-", stdin=secret.read())
    for mode in (0o600, 0o400):
        os.chmod(file, mode)
        cli.wants(0, *inbox, "--token-file", file)


def test_followers_end_with_their_token(f):
    # INV-01: what a token opened is closed with it, and whoever follows is told so
    cli = Cli(f).people()
    cli.wants(0, "task", "create", "t-1", "--type", "x", "--why", "w")
    sent = cli.send(0, *SCOPE)["id"]
    cli.send(HELD, *SCOPE, "--hazard", "legal")
    file = os.path.join(f.root, "token")
    made = cli.json("token", "create", "operator", "--role", "auditor", "--out", file, "--why", "w")
    mine, box = os.path.join(f.root, "mine"), ("message", "inbox", "--follow")
    own = cli.json("token", "create", "Demo.R", "--out", mine, "--why", "w")
    over = ("--endpoint", at(f), "--token-file")
    commands = [(*box, "--as", "Demo.R", *over, mine)]
    commands += [(*words, *over, file) for words in (("witness", "tail", "--from", "0"), ("task", "watch", "t-1"), ("decision", "watch"))]
    followers = [Follow(cli, *command) for command in commands]
    try:
        for one in followers:
            wait_for(lambda one=one: one.items or one.p.poll() is not None, seconds=30, what="the first row")
            assert one.items and one.p.poll() is None, (one.p.args, one.p.poll())
        for record in (own, made):
            cli.wants(0, "token", "revoke", record["id"], "--why", "w")
        for one in followers:
            assert one.p.wait(60) == 10, one.p.args
            one.thread.join()
            said = one.p.stderr.read().decode()
            assert said.count("IF_ERR_002") == 1 and "waiting" not in said, (one.p.args, said)
            assert all(one.items), (one.p.args, one.items)
    finally:
        for one in followers:
            one.__exit__()
    inbox, tail, tasks, _ = (one.items for one in followers)
    assert [i["envelope"]["id"] for i in inbox] == [sent], inbox
    assert [e["index"] for e in tail] == list(range(len(tail))), tail
    assert [e["operation"] for e in tasks] == ["create"], tasks


def test_ifctl_mcp_goes_on_with_a_new_token_in_the_same_file(f):
    # INV-01: a revoked token opens nothing, also where the process that shows it lives on
    cli = Cli(f).people()
    file, sent = os.path.join(f.root, "token"), cli.send(0, *SCOPE)["id"]
    own = ("--as", "Demo.R", "--endpoint", at(f))
    make = ("token", "create", "Demo.R", "--why", "w", "--out", file)
    first = cli.json(*make, *own)
    with Mcp(types.SimpleNamespace(cli=cli), *own, "--token-file", file) as m:
        got = m.call("fabric_inbox")
        assert not got["isError"] and sent in str(got["structuredContent"]), got
        cli.wants(0, "token", "revoke", first["id"], "--why", "w")
        for _ in range(2):
            said = m.call("fabric_inbox")
            assert said["isError"] and said["structuredContent"]["error"]["code"] == "IF_ERR_002", said
        os.unlink(file)
        said = m.call("fabric_inbox")
        assert said["structuredContent"]["error"]["code"] == "IF_ERR_002", said
        second = cli.json(*make, *own)
        got = m.call("fabric_inbox")
        assert second["id"] != first["id"] and not got["isError"] and sent in str(got["structuredContent"]), got
        cli.wants(0, "token", "revoke", second["id"], "--why", "w")
        said = m.call("fabric_inbox")
        assert said["structuredContent"]["error"]["code"] == "IF_ERR_002", said


def test_ifctl_invites_and_enrols(f):
    cli = Cli(f)
    code = cli.json("talent", "invite", "New.Agent", "--owner", "carol", "--ttl", "30min", "--why", "w")["code"]
    there = os.path.join(f.root, "there")
    env = {"IFAB_DIR": there}
    typed = code.lower().replace("-", " ")
    done = cli.wants(0, "enroll", "-", "--endpoint", at(f), env=env, stdin=typed.encode() + b"\n")
    key = os.path.join(there, "keys", "New.Agent.pem")
    assert os.stat(key).st_mode & 0o777 == 0o600 and os.listdir(os.path.dirname(key)) == ["New.Agent.pem"], done
    assert "context New.Agent added" in done.err, done
    sent = cli.wants(0, "message", "send", "--claim", "x", "--confidence", "0.9", "--scope", "{}", "-o", "json", env={"IFAB_DIR": ""})
    assert f.entry(sent.json["entry"]["index"])["actor"] == "if://agent/New.Agent"
    again = cli.wants(10, "enroll", code, "--endpoint", at(f), env={"IFAB_DIR": os.path.join(f.root, "other")})
    assert "IF_ERR_003" in again.err and os.listdir(os.path.join(f.root, "other", "keys")) == [], again
    cli.wants(2, "enroll", "AAAA", "--endpoint", at(f), env=env)
    assert len(os.listdir(os.path.dirname(key))) == 1, "no key is left behind"


def test_ifctl_enrols_with_a_key_of_its_own_file_again_after_a_lost_answer(f):
    cli = Cli(f)
    code = cli.json("talent", "invite", "New", "--why", "w")["code"]
    out = os.path.join(f.root, "new.pem")
    cli.wants(0, "key", "new", "--out", out)
    cli.wants(0, "enroll", code, "--out", out)
    assert f.get("/v1/talents/New").json["keys"][0]["pubkey"] in cli.wants(0, "key", "show", out, "-o", "json").out


class Rotation:
    """A talent with a key and a new one beside it, given by ifctl talent rotate-key."""

    def __init__(self, f, *overlap):
        self.cli, self.key = Cli(f), {name: os.path.join(f.root, name + ".pem") for name in ("old", "new")}
        self.id = {}
        for name, key in self.key.items():
            self.cli.wants(0, "key", "new", "--out", key)
            with open(key + ".pub", "w") as pub:
                pub.write(self.cli.wants(0, "key", "show", key, "--pem").out)
            self.id[name] = self.cli.json("key", "show", key)["key_id"]
        self.cli.wants(0, "talent", "add", "Demo.A", "--pubkey", "@" + self.key["old"] + ".pub", "--why", "w")
        assert self.says("old").code == 0 and "IF_ERR_001" in self.says("new").err
        self.cli.wants(0, "talent", "rotate-key", "Demo.A", "--pubkey", "@" + self.key["new"] + ".pub", *overlap, "--why", "yearly")
        self.keys = {k["key_id"]: k for k in self.cli.json("talent", "show", "Demo.A")["keys"]}
        assert set(self.keys) == set(self.id.values()), self.keys

    def says(self, name):
        said = ("--claim", "x", "--confidence", "0.9", "--scope", "{}")
        return self.cli("message", "send", "--as", f"Demo.A/{name}", "--key", self.key[name], *said)


def test_ifctl_rotates_a_key_and_both_send_until_the_old_one_is_revoked(f):
    r = Rotation(f, "--overlap", "1h")
    assert "not_after" in r.keys[r.id["old"]] and "not_after" not in r.keys[r.id["new"]], r.keys
    for name in ("old", "new", "old"):
        assert r.says(name).code == 0, name
    r.cli.wants(0, "talent", "revoke", "Demo.A", "--key-id", r.id["old"], "--why", "w")
    old = r.says("old")
    assert old.code == 10 and "IF_ERR_004" in old.err, old
    assert r.says("new").code == 0


def test_ifctl_rotates_a_key_and_the_old_one_ends_with_its_overlap(f):
    r = Rotation(f, "--overlap", "2s")
    assert r.says("new").code == 0
    wait_for(lambda: r.says("old").code != 0, 30, "the end of the old key")
    old = r.says("old")
    assert old.code == 10 and "IF_ERR_004" in old.err, old
    assert r.says("new").code == 0
    r.cli.wants(2, "talent", "rotate-key", "Demo.A", "--pubkey", "@" + r.key["new"] + ".pub", "--overlap", "1500ms", "--why", "w")


def test_ifctl_rotates_a_key_at_once(f):
    r = Rotation(f)
    old = r.says("old")
    assert old.code == 10 and "IF_ERR_004" in old.err, old
    assert r.says("new").code == 0


def test_python_enrols_and_speaks(f):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.path.insert(0, os.path.join(root, "sdk", "python"))
    import infrafabric

    key = os.path.join(f.root, "py.pem")
    code = invite(f, "Py")
    me = infrafabric.Fabric.enroll(code.lower(), endpoint=at(f), key=key)
    assert me.talent == "Py" and os.stat(key).st_mode & 0o777 == 0o600
    assert me.send("hello", 0.9, scope={"a": 1}, proof=False).decision == "SHARE"
    try:
        infrafabric.Fabric.enroll(code, endpoint=at(f), key=key)
        raise AssertionError("a code works once")
    except infrafabric.Refused as e:
        assert e.code == "003", e.code
    secret, _ = token(f, "Py")
    assert infrafabric.Fabric(at(f), "Py", key, token=secret).inbox() == []


def fails(error, f, *args, **more):
    try:
        f(*args, **more)
    except error as e:
        return e
    raise AssertionError(f"no {error.__name__}")


def test_python_enrols_with_the_key_in_its_default_place(f):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "sdk", "python"))
    import infrafabric
    from infrafabric.errors import Lost

    place = os.path.join(f.root, "there")
    for name in [name for name in os.environ if name.startswith(("IFAB_", "XDG_"))]:
        del os.environ[name]
    os.environ.update({"HOME": f.root, "IFAB_DIR": place, "IFAB_ENDPOINT": at(f)})

    def here():
        return sorted(os.listdir(os.path.join(place, "keys")))

    fails(ValueError, infrafabric.Fabric.enroll, "AAAA")
    assert fails(infrafabric.Refused, infrafabric.Fabric.enroll, "AAAA-" * 7 + "AAAA").code == "003" and here() == [], "no key is left behind"
    me = infrafabric.Fabric.enroll(invite(f, "Py"))
    key = os.path.join(place, "keys", "Py.pem")
    assert me.talent == "Py" and here() == ["Py.pem"] and os.stat(key).st_mode & 0o777 == 0o600
    assert me.send("hello", 0.9, scope={"a": 1}, proof=False).shared
    again = infrafabric.Fabric.context(talent="Py").send("found again", 0.9, scope={"a": 1}, proof=False)
    assert f.entry(again.entry["index"])["actor"] == "if://agent/Py"

    # an answer that is lost: the same code finds the same key, whether it was heard or not
    ask, code, heard = infrafabric.fabric.Wire.ask, invite(f, "Lossy"), invite(f, "Heard")

    def lost(self, path, *args, sent=False, **more):
        if path != "/v1/enroll":
            return ask(self, path, *args, **more)
        if sent:
            ask(self, path, *args, **more)
        raise Lost("cut")

    infrafabric.fabric.Wire.ask = lost
    fails(Lost, infrafabric.Fabric.enroll, code)
    [waits] = [name for name in here() if name != "Py.pem"]
    with open(os.path.join(place, "keys", waits)) as file:
        kept = file.read()
    infrafabric.fabric.Wire.ask = ask
    infrafabric.Fabric.enroll(code.lower().replace("-", " "))
    with open(os.path.join(place, "keys", "Lossy.pem")) as file:
        assert file.read() == kept and here() == ["Lossy.pem", "Py.pem"], here()
    infrafabric.fabric.Wire.ask = lambda *args, **more: lost(*args, sent=True, **more)
    fails(Lost, infrafabric.Fabric.enroll, heard)
    infrafabric.fabric.Wire.ask = ask
    assert fails(infrafabric.Refused, infrafabric.Fabric.enroll, heard).code == "003"
    [waits] = [name for name in here() if name.startswith("enrolling-")]
    assert infrafabric.Fabric(at(f), "Heard", os.path.join(place, "keys", waits)).send("heard", 0.9, scope={"a": 1}, proof=False).shared

    # a name that is taken on this disk is not written over
    with open(os.path.join(place, "keys", "Taken.pem"), "w") as file:
        file.write("mine")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        taken = infrafabric.Fabric.enroll(invite(f, "Taken"))
    with open(os.path.join(place, "keys", "Taken.pem")) as file:
        assert file.read() == "mine" and "the new key stays in" in str(said[0].message), said
    assert taken.send("taken", 0.9, scope={"a": 1}, proof=False).shared


def test_ifctl_hands_an_act_to_a_second_admin(f):
    cli, act = Cli(f), os.path.join(f.root, "act.json")
    cli.wants(0, "talent", "add", "Demo.A", "--why", "w")
    cli.wants(0, "talent", "add", "Adm.Two", "--role", "admin", "--owner", "eve", "--new-key", "--why", "w")
    grant = ("talent", "grant", "Demo.A", "--scope", "payments", "--why", "w")
    assert "IF_ERR_003" in cli.wants(10, *grant).err
    cli.wants(0, *grant, "--expires", "24h", "--act-out", act)
    assert f.get("/v1/talents/Demo.A").json["grants"] == []
    second = ("--as", "Adm.Two", "--act-in", act)
    cli.wants(2, "talent", "grant", "Adm.Two", "--scope", "payments", "--why", "w", *second)
    cli.wants(2, "talent", "grant", "Demo.A", "--scope", "other", "--why", "w", *second)
    cli.wants(0, *grant, *second)
    granted = f.get("/v1/talents/Demo.A").json["grants"]
    assert granted[0]["scope"] == "payments" and granted[0]["expires_at"], granted


test_ifctl_hands_an_act_to_a_second_admin.config = {"access.sensitive_scopes": ["payments"]}

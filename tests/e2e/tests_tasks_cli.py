"""Tasks, swarms and the worker by ifctl, as a person or a script uses them. INV-11: a late report is refused; the worker's contract, whole."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

from cli import Cli, Follow, Screen
from fabric import PATIENCE, PROGRAM, wait_for
from tests_tokens_cli import at

WHY = ("--why", "test")


def swarm(cli, id="data", skills="sql", *more):
    return cli.json("swarm", "register", id, "--skills", skills, *WHY, *more)


def create(cli, id, *more):
    return cli.json("task", "create", id, "--type", "job", *WHY, *more)


def state(f, id):
    return f.get(f"/v1/tasks/{id}").json


class Worker:
    """ifctl worker run, in the background; its words in err."""

    def __init__(self, cli, *args, swarm="data", command=("sh", "-c", "exit 0"), env=None, pass_fds=()):
        args = [PROGRAM["ifctl"], "worker", "run", "--swarm", swarm, *args, "--", *command]
        env = {**cli.env, **(env or {})}
        self.p = subprocess.Popen(args, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=pass_fds)

    def end(self, timeout=PATIENCE):
        try:
            out, err = self.p.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.p.kill()
            raise AssertionError(f"it does not end: {self.p.communicate()[1].decode()}") from None
        assert "Sanitizer" not in err.decode() and out == b"", (out, err)
        return self.p.returncode, err.decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.p.poll() is None:
            self.p.kill()
        self.p.communicate()


def work(cli, *args, code=0, **more):
    """Until nothing is left."""
    with Worker(cli, "--wait", "0s", *args, **more) as w:
        got, err = w.end()
        assert got == code, (got, err)
        return err


def alive(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def pids(path, count=1):
    """Those that a command wrote, one a line, once they are all there."""
    got = wait_for(lambda: os.path.exists(path) and open(path).read().count("\n") == count and open(path).read().split(), 10, path)
    return [int(p) for p in got]


def test_a_task_by_hand_from_creation_to_result(f):
    cli = Cli(f)
    swarm(cli, "data", "sql,pdf", "--concurrency", "3", "--cost-per-hour", "0.12", "--queue-limit", "9", "--queue-policy", "shed-lowest")
    made = cli.json("swarm", "show", "data")
    assert made["concurrency"] == 3 and made["skills"] == ["pdf", "sql"] and made["cost"] == {"usd_micro_per_hour": 120000} and made["queue"]["policy"] == "shed-lowest", made
    assert [s["id"] for s in cli.json("swarm", "list")["items"]] == ["data"]
    assert "IF_ERR_404" in cli.wants(12, "swarm", "show", "none").err
    payload = os.path.join(f.root, "payload.json")
    open(payload, "w").write('{"quarter": 3}')
    made = create(cli, "q3", "--needs", "sql,pdf", "--priority", "P0", "--payload", "@" + payload, "--budget", "usd=0.50,calls=3")
    assert made["state"] == "queued" and made["priority"] == "P0" and made["budget"] == {"usd_micro": 500000, "calls": 3}, made
    later = create(cli, "q4", "--depends-on", "q3", "--deadline", "+1h", "--not-before", "2h", "--max-attempts", "2", "--swarm", "data")
    assert later["depends_on"] == ["q3"] and later["queue"] == "data" and later["max_attempts"] == 2, later
    assert made["created_at"] < later["deadline"] < later["not_before"], later
    assert [t["id"] for t in cli.json("task", "list")["items"]] == ["q3", "q4"]
    assert [t["id"] for t in cli.json("task", "list", "--swarm", "data", "--all")["items"]] == ["q4"]
    assert cli.wants(0, "task", "list", "-o", "csv").out.splitlines()[1].startswith('"q3","queued","P0","job","1",')
    claim = cli.json("task", "next", "--swarm", "data", "--skills", "sql,pdf", "--lease", "1min")
    fence = str(claim["fence"])
    assert claim["task"]["id"] == "q3" and claim["task"]["payload"] == {"quarter": 3}, claim
    assert cli.json("task", "claim", "q3", "--swarm", "data")["fence"] == claim["fence"]
    assert cli.json("task", "progress", "q3", "--fence", fence, "--percent", "40", "--note", "half")["percent"] == 40
    # inside a worker's command neither has to be named
    inside = {"IFAB_TASK": "q3", "IFAB_FENCE": fence}
    assert cli.json("task", "renew", "--lease", "2min", env=inside)["state"] == "running"
    assert cli.json("task", "show", env=inside)["note"] == "half"
    assert "IF_ERR_603" in cli.wants(14, "task", "complete", "q3", "--fence", str(int(fence) - 1)).err
    assert cli.json("task", "complete", "--result", '{"rows":7}', env=inside)["state"] == "done"
    assert cli.json("task", "show", "q3")["result"] == {"rows": 7}
    assert "IF_ERR_605" in cli.wants(14, "task", "complete", "q3", "--fence", fence).err
    again = cli.wants(12, "task", "create", "q3", "--type", "job", *WHY)
    assert "IF_ERR_409" in again.err and again.out == ""
    nothing = cli.wants(14, "task", "next", "--swarm", "data", "-o", "json")
    assert nothing.out == "" and "IF_ERR" not in nothing.err, nothing
    assert cli.wants(14, "task", "next", "--swarm", "data", "--wait", "200ms", "--quiet").err == ""
    cli.wants(12, "task", "next", "--swarm", "none")
    cli.wants(14, "task", "show", "none")
    f.verify()


def rows(text):
    """A record as people see it: name -> text."""
    return {line.split(None, 1)[0]: line.split(None, 1)[1].strip() for line in text.splitlines() if line[:1].strip() and " " in line.strip()}


def test_what_became_of_a_task_is_shown(f):
    cli = Cli(f)
    swarm(cli, "data", "sql")

    def claim(id):
        return str(cli.json("task", "claim", id, "--swarm", "data")["fence"])

    create(cli, "good", "--needs", "sql", "--max-attempts", "3")
    cli.wants(0, "task", "fail", "good", "--fence", claim("good"), "--kind", "shutdown", "--error", "not now")
    wait_for(lambda: cli("task", "claim", "good", "--swarm", "data").code == 0, what="it may be claimed again")
    fence = claim("good")
    cli.wants(0, "task", "complete", "good", "--fence", fence, "--result", '{"rows":7}', "--cost", '{"usd_micro":1234567,"tokens_in":3,"tokens_out":4,"calls":2}')
    answer = f.get("/v1/tasks/good").json
    assert sorted(answer) == ["closed_at", "entry", "id", "result", "state"] and cli.json("task", "show", "good") == answer, answer
    out = cli.wants(0, "task", "show", "good", "-o", "table").out
    shown = rows(out)
    made = [e for e in f.entries() if e["operation"] == "create"][0]
    me = f"uid:{os.getuid()}"
    expected = {"id": "good", "state": "done", "type": made["payload"]["task"]["type"], "attempt": "1 of 3", "swarm": "data", "worker": me, "creator": me, "ended_by": me,
                "created_at": made["time"], "closed_at": answer["closed_at"], "cost": "usd 1.234567, tokens 7, calls 2", "trace": made["trace"]}
    assert {k: shown.get(k) for k in expected} == expected and "ended_at" not in shown and "note" not in shown, out
    assert "rows  7" in out, out
    # a dead one, given another life, dead again; and then no longer wanted
    create(cli, "bad", "--needs", "sql", "--max-attempts", "1")
    for words, usd in (("no disk", 10), ("no network", 20)):
        cli.wants(0, "task", "fail", "bad", "--fence", claim("bad"), "--kind", "transient", "--error", words, "--cost", json.dumps({"usd_micro": usd}))
        shown = rows(cli.wants(0, "task", "show", "bad", "-o", "table").out)
        assert shown["state"] == "dead" and shown["note"] == words and shown["worker"] == me and shown["attempt"] == "1 of 1", shown
        if usd == 10:
            cli.wants(0, "task", "replay", "bad", *WHY)
    dead = [e for e in f.entries() if e["operation"] == "dead"]
    assert shown["ended_at"] == dead[1]["time"] and shown["cost"] == "usd 0.000030, tokens 0, calls 0", shown
    cli.wants(0, "task", "cancel", "bad", "--why", "enough of it")
    shown = rows(cli.wants(0, "task", "show", "bad", "-o", "table").out)
    assert shown["state"] == "cancelled" and shown["why"] == "enough of it" and "note" not in shown and "ended_at" not in shown, shown
    # one that nobody had
    create(cli, "never", "--needs", "sql")
    cli.wants(0, "task", "cancel", "never", *WHY)
    shown = rows(cli.wants(0, "task", "show", "never", "-o", "table").out)
    assert shown["state"] == "cancelled" and "worker" not in shown and "cost" not in shown, shown


def test_who_could_help_is_readable(f):
    cli = Cli(f)
    swarm(cli, "dear", "sql,go", "--cost-per-hour", "1.25")
    swarm(cli, "half", "sql", "--cost-per-hour", "0.000003")
    lines = cli.wants(0, "governor", "match", "--needs", "sql,go", "--explain", "-o", "table").out.splitlines()
    assert [re.split(r"  +", line.strip()) for line in lines] == [
        ["SWARM", "FITS", "COVERS", "REPUTATION", "USD AN HOUR", "SCORE", "MISSING", "WHY"],
        ["dear", "yes", "2 of 2", "0.70", "1.250000", "0.56", "-", "fits"],
        ["half", "no", "1 of 2", "0.70", "0.000003", "116666.67", "go", "covers less than 70 % of what is needed"],
    ], lines
    lines = cli.wants(0, "governor", "match", "--needs", "sql", "-o", "table").out.splitlines()
    assert [line.split() for line in lines] == [["SWARM", "FITS", "SCORE", "WHY"], ["half", "yes", "233333.33", "fits"], ["dear", "yes", "0.56", "fits"]], lines
    answer = f.get("/v1/governor/match?needs=sql,go").json
    assert cli.json("governor", "match", "--needs", "sql,go", "--explain") == answer and answer["items"][0]["score"] == "0.560000", answer
    assert cli.wants(0, "governor", "match", "--needs", "sql,go", "--explain", "-o", "csv").out.splitlines()[1].startswith('"dear","true","fits","2","2","0.700000","1250000","0.560000"')


def test_failed_blocked_cancelled_replayed(f):
    cli = Cli(f)
    swarm(cli)

    def claim(id):
        return str(cli.json("task", "claim", id, "--swarm", "data")["fence"])

    create(cli, "t", "--retry", "1")
    fence = claim("t")
    assert cli.json("task", "block", "t", "--fence", fence, "--needs", "oracle", "--note", "elsewhere")["state"] == "blocked"
    assert cli.json("task", "unblock", "t", "--fence", fence)["state"] == "running"
    failed = cli.json("task", "fail", "t", "--fence", fence, "--kind", "transient", "--error", "away")
    assert failed["state"] == "queued" and failed["note"] == "away" and failed["attempt"] == 2, failed
    cli.wants(14, "task", "fail", "t", "--fence", fence, "--kind", "transient")
    wait_for(lambda: cli("task", "claim", "t", "--swarm", "data").code == 0, 10)
    fence = claim("t")
    assert cli.json("task", "fail", "t", "--fence", fence, "--kind", "poison")["state"] == "dead"
    assert [t["id"] for t in cli.json("task", "list", "--state", "dead")["items"]] == ["t"]
    cli.wants(2, "task", "replay", "t")
    assert cli.json("task", "replay", "t", *WHY)["state"] == "queued"
    cli.wants(2, "task", "cancel", "t")
    assert cli.json("task", "cancel", "t", "--why", "asked twice")["state"] == "cancelled"
    assert f.entry(f.size() - 1)["why"] == "asked twice"
    cli.wants(14, "task", "cancel", "t", *WHY)
    cli.wants(14, "task", "watch", "t")


def test_options_that_make_no_sense_reach_nobody(f):
    cli = Cli(f)
    size = f.size()
    base = ("task", "create", "t", "--type", "job", *WHY)
    for more in (
        ("--budget", "usd=-1"),
        ("--budget", "usd=0.1234567"),
        ("--budget", "usd=1e3"),
        ("--budget", "usd=1,usd=2"),
        ("--budget", "euro=1"),
        ("--budget", "tokens=9007199254740992"),
        ("--budget", ""),
        ("--needs", "a,,b"),
        ("--needs", ""),
        ("--payload", "{"),
        ("--payload", '{"a":1,"a":2}'),
        ("--payload", "@" + os.path.join(f.root, "none")),
        ("--deadline", "tomorrow"),
        ("--max-attempts", "0"),
        ("--max-attempts", "many"),
        ("--id", "other"),
    ):
        cli.wants(2, *base, *more)
    for args in (
        ("task", "create", "t", *WHY),
        ("task", "create", "t", "--type", "job"),
        ("task", "next"),
        ("task", "next", "--swarm", "s", "--lease", "99ms"),
        ("task", "next", "--swarm", "s", "--wait", "soon"),
        ("task", "claim", "t"),
        ("task", "complete", "t"),
        ("task", "complete", "t", "--fence", "-1"),
        ("task", "complete", "--fence", "1"),
        ("task", "progress", "t", "--fence", "1", "--percent", "101"),
        ("task", "fail", "t", "--fence", "1"),
        ("task", "block", "t", "--fence", "1"),
        ("swarm", "register", "s", *WHY),
        ("swarm", "register", "s", "--skills", "a", "--cost-per-hour", "much", *WHY),
        ("swarm", "register", "s", "--skills", "a", "--weight", "17", *WHY),
        ("worker", "run", "--swarm", "s"),
        ("worker", "run", "--", "true"),
        ("worker", "run", "--swarm", "s", "--max", "0", "--", "true"),
        ("worker", "run", "--swarm", "s", "--once", "--max", "2", "--", "true"),
        ("worker", "run", "--swarm", "s", "--", "no-such-program"),
        ("worker", "run", "--swarm", "s", "--", "/tmp"),
    ):
        cli.wants(2, *args)
    # of another task's fence nothing is taken
    cli.wants(2, "task", "complete", "t", env={"IFAB_TASK": "other", "IFAB_FENCE": "7"})
    assert f.size() == size


def test_an_agent_works_over_tcp_with_its_token(f):
    cli = Cli(f)
    for name in ("In", "Out"):
        cli.wants(0, "talent", "add", name, "--new-key", *WHY)
        cli.wants(0, "token", "create", name, "--out", os.path.join(f.root, name), *WHY)
    swarm(cli, "data", "sql", "--members", "In")
    create(cli, "t", "--needs", "sql")
    inside, outside = (("--endpoint", at(f), "--token-file", os.path.join(f.root, name)) for name in ("In", "Out"))
    assert "IF_ERR_003" in cli.wants(10, "task", "next", "--swarm", "data", *outside).err
    with Worker(cli, "--once", *outside) as w:
        code, err = w.end()
        assert code == 10 and "IF_ERR_003" in err, err
    with Worker(cli, "--once", command=("true",)) as w:
        pass
    script = "import os, subprocess, sys; sys.exit(subprocess.call([sys.argv[1], 'task', 'progress', '--percent', '7', '--token-file', sys.argv[2]], stdout=2))"
    command = (sys.executable, "-c", script, PROGRAM["ifctl"], os.path.join(f.root, "In"))
    with Worker(cli, "--once", *inside, command=command) as w:
        code, err = w.end()
        assert code == 0, err
    entries = [e for e in f.entries() if e["component"] == "IF.coordinator" and e["actor"] == "if://agent/In"]
    assert [e["operation"] for e in entries] == ["claim", "progress", "complete"], entries
    shown = rows(cli.wants(0, "task", "show", "t", "-o", "table", *inside).out)  # from the entries that it may read
    assert shown["state"] == "done" and shown["worker"] == shown["ended_by"] == "if://agent/In" and shown["swarm"] == "data", shown
    cli.wants(14, "task", "show", "t", "-o", "table", *outside)


def live_tokens(f):
    return [t for t in f.get("/v1/tokens?limit=1000").json["items"] if "revoked_at" not in t]


def test_whom_as_names_acts_also_at_the_socket(f):
    """The socket's user may do what an operator may; whoever says --as is bound by what that talent may."""
    cli = Cli(f)
    for name in ("In", "Out"):
        cli.wants(0, "talent", "add", name, "--new-key", *WHY)
    swarm(cli, "data", "sql", "--members", "In")
    assert create(cli, "t", "--needs", "sql", "--as", "In")["creator"] == "if://agent/In"
    size = f.size()
    for words in (("task", "next", "--swarm", "data"), ("task", "claim", "t", "--swarm", "data"), ("swarm", "heartbeat", "data"),
                  ("worker", "run", "--swarm", "data", "--once", "--", "true")):
        assert "IF_ERR_003" in cli.wants(10, "--as", "Out", *words).err
        said = cli("--as", "Nobody", *words)
        assert said.code not in (0, 14) and "Nobody" in said.err, said
        assert cli(*words, env={"IFAB_AS": "Out"}).code == 10
        assert cli("--as", "Out", *words, env={"IFAB_CERT": os.path.join(f.root, "nowhere.pem")}).code == 10  # of TLS, which a socket has not
        assert "--as" in cli.wants(2, "--as", "", *words).err
    entries = f.entries(size)
    assert state(f, "t")["state"] == "queued" and not any(e["operation"] in ("claim", "complete") for e in entries), entries
    got = cli.json("task", "next", "--swarm", "data", "--as", "In/2")
    assert got["task"]["worker"] == "if://agent/In", got
    cli.wants(0, "task", "complete", "t", "--fence", str(got["fence"]), "--as", "In")
    assert [e["actor"] for e in f.entries(size) if e["operation"] in ("claim", "complete")] == ["if://agent/In"] * 2
    assert live_tokens(f) == []


def test_a_context_names_nobody_who_acts_at_the_socket(f):
    cli = Cli(f)
    cli.wants(0, "talent", "add", "In", "--new-key", *WHY)
    env = {"XDG_CONFIG_HOME": os.path.join(f.root, "config")}
    cli.wants(0, "context", "add", "mine", "--dir", f.root, "--as", "In", env=env)
    assert json.loads(cli.wants(0, "task", "create", "--type", "job", "-o", "json", *WHY, env=env).out)["creator"].startswith("uid:")


def test_a_worker_of_a_talent_stays_that_talent(f):
    """Its token ends: it asks for another with the talent's key. When the talent may not any more, it ends; never does it go on as the socket's user."""
    cli = Cli(f)
    cli.wants(0, "talent", "add", "In", "--new-key", *WHY)
    swarm(cli, "data", "sql", "--members", "In")
    with Worker(cli, "--as", "In", command=("echo", "1")) as w:
        wait_for(lambda: "\nifab_waiters 1\n" in f.get("/metrics").body.decode(), 10)
        (first,) = live_tokens(f)
        cli.wants(0, "token", "revoke", first["id"], *WHY)
        create(cli, "t")
        wait_for(lambda: state(f, "t")["state"] == "done", 10)
        cli.wants(0, "talent", "remove", "In", *WHY)
        create(cli, "u")
        code, err = w.end()
        assert code == 10, (code, err)
    assert state(f, "u")["state"] == "queued" and cli.json("task", "show", "t")["result"] == 1
    acts = [e for e in f.entries() if e["operation"] in ("claim", "complete")]
    assert [e["actor"] for e in acts] == ["if://agent/In"] * 2, acts
    with Worker(cli, "--as", "In") as w:
        code, err = w.end()
        assert code == 10 and "IF_ERR_004" in err, (code, err)


def test_a_command_reads_nothing_of_its_worker(f):
    """The talent's key and token lie in the worker's memory, and its command is of the same user: what cannot be read belongs to root."""
    cli = Cli(f)
    cli.wants(0, "talent", "add", "In", "--new-key", *WHY)
    swarm(cli, "data", "sql", "--members", "In")
    create(cli, "t")
    nobody = 65534 if os.getuid() == 0 else os.getuid()
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        os.chmod(place, 0o755)
        program, key = os.path.join(place, "ifctl"), os.path.join(place, "key.pem")
        shutil.copy(PROGRAM["ifctl"], program)
        shutil.copy(os.path.join(f.dir, "keys", "In.pem"), key)
        os.chown(key, nobody, -1)
        args = (program, "worker", "run", "--as", "In", "--key", key, "--endpoint", at(f), "--swarm", "data", "--once", "--", "sh", "-c", "stat -c %u /proc/$PPID/mem")
        done = subprocess.run(args, env={"PATH": os.environ["PATH"], "HOME": place}, cwd=place, capture_output=True, timeout=PATIENCE, user=nobody)
    assert done.returncode == 0, done
    assert cli.json("task", "show", "t")["result"] == 0


def test_a_worker_of_a_talent_outlives_the_daemon_and_its_token(f):
    cli = Cli(f)
    cli.wants(0, "talent", "add", "In", "--new-key", *WHY)
    swarm(cli, "data", "sql", "--members", "In")
    with Worker(cli, "--as", "In", "--once", command=("echo", "1")) as w:
        wait_for(lambda: "\nifab_waiters 1\n" in f.get("/metrics").body.decode(), 10)
        f.kill()
        f.start()
        for token in live_tokens(f):
            cli.wants(0, "token", "revoke", token["id"], *WHY)
        create(cli, "t")
        code, err = w.end()
        assert code == 0, err
    assert [e["actor"] for e in f.entries() if e["operation"] == "complete"] == ["if://agent/In"] and live_tokens(f) == []


def test_a_worker_gives_its_command_what_the_contract_says_and_nothing_else(f):
    cli = Cli(f)
    swarm(cli)
    made = create(cli, "t", "--payload", '{"a":[1,2]}')
    report = os.path.join(f.root, "report")
    script = (
        "import json, os, signal, sys; json.dump({'env': dict(os.environ), 'stdin': sys.stdin.read(), 'group': os.getpgrp() == os.getpid(),"
        "'fds': {n: os.readlink('/proc/self/fd/' + n) for n in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + n)},"
        "'blocked': len(signal.pthread_sigmask(signal.SIG_BLOCK, [])), 'argv': sys.argv[1:],"
        "'ignored': open('/proc/self/status').read().split('SigIgn:')[1].split()[0]}, open(sys.argv[1], 'w')); print('{\"rows\": 7}')"
    )
    keep = os.open("/etc/hostname", os.O_RDONLY)
    os.set_inheritable(keep, True)
    canary = {"CANARY": "sings", "IFAB_TOKEN_FILE": "", "IFAB_WHY": "x", "LD_CANARY": "1", "TMPDIR": f.root}
    with Worker(cli, "--once", command=(sys.executable, "-c", script, report, "a b", "$HOME", ""), env=canary, pass_fds=(keep,)) as w:
        code, err = w.end()
    os.close(keep)
    assert code == 0 and "task t: done" in err, err
    got = json.load(open(report))
    entry = next(e for e in f.entries() if e["operation"] == "claim")
    want = {"PATH": cli.env["PATH"], "HOME": cli.env["HOME"], "LANG": "C.UTF-8", "TMPDIR": f.root, "IFAB_TASK": "t"}
    want |= {"IFAB_FENCE": str(entry["payload"]["fence"]), "IFAB_TRACE": made["trace"], "IFAB_ENDPOINT": "unix:" + f.unix}
    got["env"].pop("LC_CTYPE", None)  # Python's own
    cost = got["env"].pop("IFAB_TASK_COST")
    assert cost.startswith(os.path.join(f.root, "ifab-cost-")) and not os.path.exists(cost), cost
    assert got["env"] == want, got["env"]
    task = json.loads(got["stdin"])
    assert got["stdin"].count("\n") == 1 and task["payload"] == {"a": [1, 2]} and task["id"] == "t" and task["attempt"] == 1, task
    own = {n for n, to in got["fds"].items() if to == report or "/proc/" in to}  # of its own making
    assert set(got["fds"]) - own == {"0", "1", "2"}, got["fds"]
    assert got["group"] and got["blocked"] == 0 and got["argv"] == [report, "a b", "$HOME", ""], got
    own = 1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1) | 1 << 31 | 1 << 32  # Python's, and two that libc keeps from everybody
    assert int(got["ignored"], 16) & ~own == 0, got["ignored"]
    assert cli.json("task", "show", "t")["result"] == {"rows": 7}


def test_how_a_command_ends_says_what_becomes_of_the_task(f):
    cli = Cli(f)
    cases = {
        "json": ("echo '[1, {\"b\": 2.50}]'", "done", [1, {"b": 2.5}]),
        "text": ("echo 'två rader'; echo slut", "done", "två rader\nslut"),
        "twice": ("echo '{\"a\":1,\"a\":2}'", "done", '{"a":1,"a":2}'),
        "empty": ("true", "done", None),
        "deaf": ("exec 0<&-; echo 5", "done", 5),
        "cap": ("printf '\"'; head -c 65534 /dev/zero | tr '\\0' x; printf '\"'", "done", "x" * 65534),
        "poison": ("exit 65", "dead", "exit status 65"),
        "temporary": ("exit 75", "queued", "exit status 75"),
        "other": ("exit 3", "queued", "exit status 3"),
        "signal": ("kill -SEGV $$", "queued", "ended by signal 11"),
        "over": ("head -c 65537 /dev/zero | tr '\\0' x; sleep 600", "queued", "stdout had more than 65536 bytes"),
        "flood": ("yes", "queued", "stdout had more than 65536 bytes"),
        "binary": ("printf '\\377\\376'", "queued", "stdout is not UTF-8"),
        "secret": ("printf 'pass%s=hunter2hunter2' word", "queued", "the result was refused: "),
        "escaped": ("head -c 65536 /dev/zero | tr '\\0' '\\001'", "queued", "the result was refused: "),
    }
    runner = "import json, os, sys; os.execv('/bin/sh', ['sh', '-c', json.loads(sys.stdin.readline())['payload']])"
    for name, (script, becomes, what) in cases.items():
        swarm(cli, name)  # one each: three failures in a row stop a swarm
        create(cli, name, "--swarm", name, "--payload", json.dumps(script))
        with Worker(cli, "--once", swarm=name, command=(sys.executable, "-c", runner)) as w:
            code, err = w.end()
        shown = cli.json("task", "show", name)
        if becomes == "done":
            assert code == 0 and shown["state"] == "done" and shown.get("result") == what, (name, err)
        else:
            assert code == 14 and shown["state"] == becomes and shown["attempt"] == (1 if becomes == "dead" else 2), (name, shown)
            assert shown["note"].startswith(what) and f"task {name}: failed" in err, (name, shown, err)


def budget(f, id="purse"):
    return next(b for b in f.get("/v1/budgets").json["items"] if b["id"] == id)


def leftovers(f):
    return [n for n in os.listdir(f.root) if n.startswith("ifab-cost-")]


def test_what_a_command_says_that_it_cost_settles_its_budget(f):
    # INV-10: what was held is settled by what was said, of what is done and of what failed; what nobody said is free again
    cli, here = Cli(f), {"TMPDIR": f.root}
    swarm(cli)
    body = {"id": "purse", "subject": "swarm", "name": "data", "unit": "usd_micro", "period": "total", "limit": 10000}
    assert f.admin("/v1/budgets", body).status == 201
    mode = os.path.join(f.root, "mode")
    say = 'printf \'{"usd_micro":%d,"calls":2}\' >"$IFAB_TASK_COST"'
    spent = 0
    for id, script, cost, becomes in (
        ("t0", f'stat -c "%a %s" "$IFAB_TASK_COST" >{mode}; ' + say % 300, 300, "done"),
        ("t1", say % 40 + "; exit 65", 40, "dead"),
        ("t2", "true", 0, "done"),
        ("t3", 'rm "$IFAB_TASK_COST"', 0, "done"),
        ("t4", 'printf \'{"usd_micro":5}\' >"$IFAB_TASK_COST.new"; mv "$IFAB_TASK_COST.new" "$IFAB_TASK_COST"', 5, "done"),
    ):
        create(cli, id, "--budget", "usd=0.0005")
        with Worker(cli, "--once", command=("sh", "-c", script), env=here) as w:
            _, err = w.end()
        spent += cost
        assert state(f, id)["state"] == becomes, (id, err)
        assert budget(f)["spent"] == spent and budget(f)["reserved"] == 0, (id, budget(f), err)
        assert leftovers(f) == [], id
    assert open(mode).read() == "600 0\n"
    f.verify()


def test_a_cost_that_cannot_be_read_is_told(f):
    cli, here = Cli(f), {"TMPDIR": f.root}
    unknown = "IFAB_TASK_COST: it is not {"
    cases = {
        "text": ('echo much >"$IFAB_TASK_COST"', "queued", "IFAB_TASK_COST: it is not JSON"),
        "twice": ('echo \'{"calls":1,"calls":2}\' >"$IFAB_TASK_COST"', "queued", "IFAB_TASK_COST: it is not JSON"),
        "list": ('echo "[1]" >"$IFAB_TASK_COST"', "queued", unknown),
        "other": ('echo \'{"euro":1}\' >"$IFAB_TASK_COST"', "queued", unknown),
        "less": ('echo \'{"usd_micro":-1}\' >"$IFAB_TASK_COST"', "queued", unknown),
        "much": ('head -c 5000 /dev/zero | tr "\\0" " " >"$IFAB_TASK_COST"', "queued", "IFAB_TASK_COST: it has more than 4096 bytes"),
        "link": ('ln -sf /etc/hostname "$IFAB_TASK_COST"', "queued", "IFAB_TASK_COST: it is not a plain file"),
        "pipe": ('rm "$IFAB_TASK_COST"; mkfifo "$IFAB_TASK_COST"', "queued", "IFAB_TASK_COST: it is not a plain file"),
        "dead": ('echo much >"$IFAB_TASK_COST"; exit 65', "dead", "exit status 65; IFAB_TASK_COST: it is not JSON"),
        "price": ('echo \'{"model":"none","tokens_in":1}\' >"$IFAB_TASK_COST"', "queued", "the result was refused: "),
    }
    for name, (script, becomes, words) in cases.items():
        swarm(cli, name)
        create(cli, name, "--swarm", name)
        with Worker(cli, "--once", swarm=name, command=("sh", "-c", script), env=here) as w:
            code, err = w.end()
        shown = cli.json("task", "show", name)
        assert code == 14 and shown["state"] == becomes and shown["note"].startswith(words), (name, shown, err)
        assert leftovers(f) == [], name
    assert f.get("/v1/budgets").json["items"] == []
    with Worker(cli, swarm="text", env={"TMPDIR": os.path.join(f.root, "none")}) as w:
        create(cli, "later", "--swarm", "text", "--priority", "P0")
        assert w.end()[0] == 20
    assert state(f, "later")["state"] == "queued" and state(f, "later")["attempt"] == 1


def test_a_command_may_complete_its_task_itself(f):
    # its claim is over under its own fence: no failure, and nothing is killed
    cli = Cli(f)
    there = os.path.join(f.root, "there")
    for n, end in enumerate(("", "exit 3", f"sleep 4; echo $$ >{there}", "kill -TERM $$")):  # the third for longer than its lease
        id = f"t{n}"
        swarm(cli, id)
        create(cli, id, "--swarm", id)
        script = f"{PROGRAM['ifctl']} task complete --result '\"own\"' --cost '{{\"usd_micro\":7}}' >&2; {end}"
        with Worker(cli, "--once", "--lease", "3s", swarm=id, command=("sh", "-c", script)) as w:
            code, err = w.end()
        assert code == 0 and f"task {id}: done, as its command said itself" in err and "failed" not in err, (id, err)
        assert cli.json("task", "show", id)["result"] == "own", id
    assert os.path.exists(there)
    assert not any(e["operation"] in ("fail", "dead") for e in f.entries())
    # a failure of its own making is one
    swarm(cli, "f")
    create(cli, "f", "--swarm", "f")
    with Worker(cli, "--once", swarm="f", command=("sh", "-c", f"{PROGRAM['ifctl']} task fail --kind transient >&2")) as w:
        code, err = w.end()
        assert code == 14 and "not taken" in err, err


def test_a_swarm_that_is_stopped_is_waited_for(f):
    cli = Cli(f)
    swarm(cli)
    for id in ("a", "b", "c", "d"):
        create(cli, id)
    with Worker(cli, command=("false",)) as w:
        line = ""
        while "waiting for it" not in line:
            line = w.p.stderr.readline().decode()
            assert line, "it has ended"
        assert "data" in line and w.p.poll() is None, line
        w.p.terminate()
        assert w.end()[0] == 0
    assert state(f, "d")["state"] == "queued" and state(f, "d")["attempt"] == 1


def test_a_timeout_ends_the_whole_group(f):
    cli = Cli(f)
    swarm(cli)
    create(cli, "t")
    there = os.path.join(f.root, "pids")
    # its child survives TERM; the command itself ends on it
    script = f"sh -c 'trap \"\" TERM; echo $$ >>{there}; sleep 600 & echo $! >>{there}; wait; wait; sleep 600' & echo $$ >>{there}; wait"
    err = work(cli, "--max", "1", "--timeout", "3s", command=("sh", "-c", script))
    got = pids(there, 3)
    wait_for(lambda: not any(alive(p) for p in got), 5, "the end of the group")
    shown = state(f, "t")
    assert shown["state"] == "queued" and shown["note"] == "ran longer than 3000 ms" and shown["attempt"] == 2, (shown, err)
    # what a command leaves behind in its group ends with it
    create(cli, "u", "--priority", "P0")
    os.unlink(there)
    work(cli, "--max", "1", command=("sh", "-c", f"sleep 600 & echo $! >{there}"))
    (left,) = pids(there)
    wait_for(lambda: not alive(left), 5, "the end of what was left")
    assert cli.json("task", "show", "u")["state"] == "done"


def test_a_claim_is_renewed_while_its_command_runs(f):
    cli = Cli(f)
    swarm(cli)
    create(cli, "t", "--max-attempts", "1")
    with Worker(cli, "--once", "--lease", "2s", command=("sleep", "3.5")) as w:
        code, err = w.end()
        assert code == 0, err
    operations = [e["operation"] for e in f.entries() if e["component"] == "IF.coordinator"]
    assert operations.count("renew") >= 3 and operations.count("claim") == 1 and operations[-1] == "complete", operations


def test_a_worker_that_is_killed_loses_its_task_to_another(f):
    cli = Cli(f)
    swarm(cli)
    create(cli, "t")
    there = os.path.join(f.root, "pids")
    with Worker(cli, "--lease", "3s", command=("sh", "-c", f"echo $$ >{there}; exec sleep 600")) as w:
        (pid,) = pids(there)
        old = str(state(f, "t")["fence"])
        w.p.kill()
        wait_for(lambda: not alive(pid), 5, "the end of the command")
    with Worker(cli, "--once", command=("echo", "second")) as w:
        code, err = w.end()
        assert code == 0, err
    assert cli.json("task", "show", "t")["result"] == "second"
    late = cli.wants(14, "task", "complete", "t", "--fence", old, "--result", '"first"')
    assert "IF_ERR_603" in late.err and cli.json("task", "show", "t")["result"] == "second", late
    f.verify()


def test_a_worker_that_slept_too_long_reports_nothing(f):
    # INV-11: stopped in mid-task, its lease runs out and another finishes; with its command ended or still running
    cli = Cli(f)
    swarm(cli, "data", "sql", "--concurrency", "9")
    there, go = os.path.join(f.root, "pids"), os.path.join(f.root, "go")
    for script, words in (("true", "done, but not taken"), ("exec sleep 600", "the claim is lost")):
        id = "t" + str(len(script))
        create(cli, id)
        for path in (there, go):
            if os.path.exists(path):
                os.unlink(path)
        command = f"echo $$ >{there}; while [ ! -e {go} ]; do sleep 0.05; done; {script}"
        with Worker(cli, "--once", "--lease", "3s", command=("sh", "-c", command)) as w:
            (pid,) = pids(there)
            w.p.send_signal(signal.SIGSTOP)
            open(go, "w").close()
            wait_for(lambda: script != "true" or not alive(pid), what="the end of its command")
            wait_for(lambda: state(f, id)["state"] == "queued", 10)
            work(cli, "--max", "1", "--wait", "60s", command=("echo", "second"))
            w.p.send_signal(signal.SIGCONT)
            code, err = w.end()
            assert code == 14 and words in err, err
        assert not alive(pid) and cli.json("task", "show", id)["result"] == "second"


def test_what_a_lost_claim_did_cost_counts(f):
    # INV-11: its fence settles nothing any more; what was spent was spent
    cli = Cli(f)
    swarm(cli)
    cli.wants(0, "budget", "set", "purse", "--subject", "swarm:data", "--usd", "10", "--period", "total", *WHY)
    there = os.path.join(f.root, "pids")
    create(cli, "t")
    spend = f"echo '{{\"usd_micro\":4000000}}' >$IFAB_TASK_COST; echo $$ >{there}; sleep 600"
    with Worker(cli, "--once", "--lease", "3s", command=("sh", "-c", spend)) as w:
        pids(there)
        cli.wants(0, "task", "cancel", "t", *WHY)
        code, err = w.end()
        assert code == 14 and "the claim is lost" in err and "what it did cost was reported to its swarm" in err, err
    assert budget(f)["spent"] == 4000000, budget(f)
    os.unlink(there)
    create(cli, "u")
    with Worker(cli, "--once", "--lease", "3s", command=("sh", "-c", f"echo no >$IFAB_TASK_COST; echo $$ >{there}; sleep 600")) as w:
        pids(there)
        cli.wants(0, "task", "cancel", "u", *WHY)
        code, err = w.end()
        assert code == 14 and "what it did cost is not known" in err, err
    assert budget(f)["spent"] == 4000000


def test_a_cancelled_task_ends_its_command(f):
    cli = Cli(f)
    swarm(cli)
    create(cli, "t")
    there = os.path.join(f.root, "pids")
    with Worker(cli, "--once", "--lease", "3s", command=("sh", "-c", f"trap '' TERM; echo $$ >{there}; sleep 600")) as w:
        (pid,) = pids(there)
        cli.wants(0, "task", "cancel", "t", *WHY)
        code, err = w.end()
        assert code == 14 and "the claim is lost" in err and not alive(pid), err
    assert state(f, "t")["state"] == "cancelled"


def test_a_worker_told_to_end_gives_its_task_back(f):
    cli = Cli(f)
    swarm(cli)
    there = os.path.join(f.root, "pids")
    for n, sent in enumerate((signal.SIGTERM, signal.SIGINT)):
        id = f"t{n}"
        create(cli, id)
        with Worker(cli, command=("sh", "-c", f"echo $$ >{there}; exec sleep 600")) as w:
            (pid,) = pids(there)
            w.p.send_signal(sent)
            code, err = w.end()
            assert code == 0 and "failed, shutdown" in err and not alive(pid), err
        shown = state(f, id)
        assert shown["state"] == "queued" and shown["attempt"] == 1, shown
        cli.wants(0, "task", "cancel", id, *WHY)
        os.unlink(there)
    # one that will not listen: a second signal ends it at once
    create(cli, "deaf")
    with Worker(cli, command=("sh", "-c", f"trap '' TERM; echo $$ >{there}; while :; do sleep 600; done")) as w:
        (pid,) = pids(there)
        w.p.terminate()
        w.p.terminate()
        wait_for(lambda: w.p.poll() is not None or w.p.terminate(), what="the end of the worker", at_most=4)  # five seconds after one signal
        assert w.end()[0] == 0 and not alive(pid)
    cli.wants(0, "task", "cancel", "deaf", *WHY)
    # one that waits for work ends at once, and took nothing
    with Worker(cli, command=("true",)) as w:
        wait_for(lambda: "\nifab_waiters 1\n" in f.get("/metrics").body.decode(), 10)
        w.p.terminate()
        assert w.end()[0] == 0
    create(cli, "after")
    assert state(f, "after")["state"] == "queued"


def test_a_worker_outlives_the_daemon(f):
    cli = Cli(f)
    swarm(cli)
    create(cli, "t")
    there, go = os.path.join(f.root, "pids"), os.path.join(f.root, "go")
    script = f"echo $$ >>{there}; while [ ! -e {go} ]; do sleep 0.05; done; echo \"$IFAB_TASK\""
    with Worker(cli, "--max", "2", "--lease", "30s", command=("sh", "-c", script)) as w:
        pids(there)
        f.kill()
        open(go, "w").close()  # it is done while nobody can be told
        f.start()
        wait_for(lambda: state(f, "t")["state"] == "done", 20)
        f.kill()  # while it waits
        f.start()
        create(cli, "u")
        code, err = w.end()
        assert code == 0 and "waiting for it" in err, err
    assert cli.json("task", "show", "t")["result"] == "t" and cli.json("task", "show", "u")["result"] == "u"
    f.verify()
    f.stop()
    with Worker(cli) as w:
        assert w.end()[0] == 21


def test_a_lease_that_cannot_be_renewed_ends_the_command(f):
    # nobody answers until the lease is over: others may have the task by then
    cli = Cli(f)
    swarm(cli)
    create(cli, "t")
    there = os.path.join(f.root, "pids")
    with Worker(cli, "--once", "--lease", "3s", command=("sh", "-c", f"trap '' TERM; echo $$ >{there}; sleep 600")) as w:
        (pid,) = pids(there)
        f.kill()
        code, err = w.end()
        assert code == 14 and "the claim is lost" in err and not alive(pid), err
    f.start()
    assert not any(e["operation"] in ("fail", "complete") for e in f.entries())


def test_a_worker_takes_up_a_fresh_token(f):
    cli = Cli(f)
    cli.wants(0, "talent", "add", "In", "--new-key", *WHY)
    file = os.path.join(f.root, "token")
    first = cli.json("token", "create", "In", "--out", file, *WHY)["id"]
    swarm(cli, "data", "sql", "--members", "In")
    with Worker(cli, "--once", "--endpoint", at(f), "--token-file", file, command=("echo", "1")) as w:
        wait_for(lambda: "\nifab_waiters 1\n" in f.get("/metrics").body.decode(), 10)
        cli.wants(0, "token", "create", "In", "--out", file + ".new", *WHY)
        os.rename(file + ".new", file)
        cli.wants(0, "token", "revoke", first, *WHY)
        create(cli, "t")
        code, err = w.end()
        assert code == 0, err
    assert cli.json("task", "show", "t")["result"] == 1


def test_a_command_that_is_gone_is_not_the_tasks_fault(f):
    cli = Cli(f)
    swarm(cli)
    program = os.path.join(f.root, "program")
    open(program, "w").write("#!/nowhere/at/all\n")
    os.chmod(program, 0o755)
    create(cli, "t")
    with Worker(cli, command=(program,)) as w:
        code, err = w.end()
        assert code == 20 and "No such file" in err, err
    shown = state(f, "t")
    assert shown["state"] == "queued" and shown["attempt"] == 1, shown
    # a text without #! is not handed to a shell
    open(program, "w").write("exit 0\n")
    create(cli, "u", "--priority", "P0")
    with Worker(cli, command=(program,)) as w:
        code, err = w.end()
        assert code == 20 and "Exec format" in err, err


def test_what_becomes_of_tasks_can_be_watched(f):
    cli = Cli(f)
    swarm(cli)
    create(cli, "before")
    with Follow(cli, "task", "watch") as all_, Follow(cli, "task", "watch", "before") as one:
        wait_for(lambda: len(one.items) == 1, 10)
        wait_for(lambda: all_.items or cli("task", "create", "--type", "early", "--needs", "none", *WHY).code, 10)
        create(cli, "t")
        work(cli, "--max", "2", "--lease", "2s", command=("sleep", "1.5"))
        wait_for(lambda: [e["operation"] for e in one.items] == ["create", "claim", "complete"], 10)
        one.p.wait(PATIENCE)
        assert one.p.returncode == 0
        wait_for(lambda: sum(e["operation"] == "complete" for e in all_.items) == 2, 10)
        assert {"before", "t"} <= {e["subject"] for e in all_.items} and not any(e["operation"] == "renew" for e in all_.items)
    shown = cli.wants(0, "task", "watch", "t")
    assert "complete" in shown.out and shown.out.startswith("INDEX"), shown


def test_a_person_who_watches_sees_that_help_is_wanted(f):
    cli = Cli(f)
    swarm(cli)
    create(cli, "t")
    got = cli.json("task", "next", "--swarm", "data")
    with Follow(cli, "task", "watch") as all_, Follow(cli, "task", "watch", "t") as one:
        wait_for(lambda: one.items, 10)
        cli.wants(0, "task", "block", "t", "--fence", str(got["fence"]), "--needs", "go")
        assert cli.json("task", "show", "t")["wants"] == ["go"]
        wait_for(lambda: [e["operation"] for e in one.items][-2:] == ["block", "help_wanted"], 10)
        swarm(cli, "gophers", "go")
        wait_for(lambda: all_.items and all_.items[-1]["operation"] == "help_assigned", 10)
        cli.wants(0, "budget", "set", "b", "--subject", "swarm:data", "--usd", "1", "--period", "total", *WHY)
        cli.wants(0, "task", "unblock", "t", "--fence", str(got["fence"]))
        wait_for(lambda: one.items[-1]["operation"] == "unblock", 10)
    assert {e["component"] for e in all_.items} == {"IF.coordinator", "IF.governor"} and not any("budget" in e["operation"] for e in all_.items), all_.items


def test_top_shows_all_once_or_live(f):
    cli = Cli(f)
    swarm(cli, "data", "sql", "--concurrency", "3")
    create(cli, "t")
    create(cli, "u")
    fence = str(cli.json("task", "next", "--swarm", "data")["fence"])
    cli.wants(0, "task", "progress", "t", "--fence", fence, "--percent", "40", "--note", "evil\u202etxt")
    for id, unit, limit in (("a-low", "usd_micro", 1000), ("b-full", "calls", 10)):
        body = {"id": id, "subject": "swarm", "name": "data", "unit": unit, "period": "total", "limit": limit}
        r = f.admin("/v1/budgets", body)
        assert r.status == 201, r
    assert f.post("/v1/costs", {"cost": {"usd_micro": 90, "calls": 9}, "swarm": "data"}).status == 201
    top = cli.json("top")
    assert [(b["id"], b["level"], b["spent"], b["limit"]) for b in top["budgets"]] == [("b-full", "warn", 9, 10), ("a-low", "open", 90, 1000)], top
    assert top["swarms"][0]["state"] == "WORKING", top
    assert top["tasks"] == {"queued": 1, "claimed": 0, "running": 1, "blocked": 0, "dead": 0} and not top["more_tasks"], top
    assert top["swarms"][0]["in_flight"] == 1 and top["decisions"] == {"held": 0, "escalated": 0}, top
    shown = cli.wants(0, "top").out
    assert "WORKING" in shown and "b-full" in shown and shown.index("b-full") < shown.index("a-low"), shown
    assert "running 1" in shown and "evil\\u{202e}txt" in shown and "\x1b" not in shown, shown
    screen = Screen(cli, "top").until("running 1")
    assert "\x1b[?1049h" in screen.text
    create(cli, "v")
    screen.until("queued 2")
    f.kill()
    screen.until("THE DAEMON DOES NOT ANSWER")
    f.start()
    screen.text = ""
    screen.until("running 1").type("\x03")
    assert screen.end() == 0 and screen.text.endswith("\x1b[?1049l") and "\u202e" not in screen.text, screen.text

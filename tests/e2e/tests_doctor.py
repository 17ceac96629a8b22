"""doctor finds each of these wrong installations, says what mends it, and calls a good one good."""

import json
import os
import shutil
import signal
import socket
import subprocess

from cli import Cli
from fabric import Fabric, PROGRAM, Skip, wait_for
from tests_capabilities import allow, publisher, signed


def found(f, check, *words, state="bad", code=20):
    """doctor's row of that check and state holds all words."""
    done = Cli(f).wants(code, "doctor", "-o", "json")
    rows = [r for r in done.json["items"] if r["check"] == check and r["state"] == state]
    assert any(all(w in r["detail"] for w in words) for r in rows), (check, words, done)


def path(f, *parts):
    return os.path.join(f.dir, *parts)


def write(name, text):
    with open(name, "w") as out:
        out.write(text)


def remade(f, breaks):
    """Each break in a copy of its own of the same good directory."""
    shutil.copytree(f.dir, f.root + "/good", symlinks=True)
    for change, check, *words in breaks:
        shutil.rmtree(f.dir)
        shutil.copytree(f.root + "/good", f.dir, symlinks=True)
        change()
        found(f, check, *words)


def stopped(f):
    f.start()
    f.enrol("Demo.A")
    assert f.stop() == 0


def test_doctor_calls_a_good_fabric_good(f):
    done = Cli(f).wants(0, "doctor", "-o", "json")
    assert {r["state"] for r in done.json["items"]} == {"good"}, done
    f.stop()
    done = Cli(f).wants(20, "doctor", "-o", "json")
    assert [r["check"] for r in done.json["items"] if r["state"] != "good"] == ["daemon"], done
    found(f, "daemon", "ifd --config")


def test_doctor_finds_what_is_missing():
    with Fabric() as f:
        stopped(f)
        remade(
            f,
            (
                (lambda: os.unlink(path(f, "ifd.yaml")), "configuration", "ifctl init"),
                (lambda: write(path(f, "ifd.yaml.unfinished"), ""), "configuration", "rm -r"),
                (lambda: os.unlink(path(f, "rules.yaml")), "rules", "every message would be DENY"),
                (lambda: shutil.rmtree(path(f, "keys")), "keys", "not there"),
                (lambda: os.unlink(path(f, "keys", "log.key")), "log.key", "not there"),
                (lambda: os.unlink(path(f, "keys", "operator.pem")), "operator.pem", "not there"),
                (lambda: shutil.rmtree(path(f, "data")), "data", "not there"),
                (lambda: os.unlink(path(f, "data", "main.db")), "main.db", "not there"),
                (lambda: shutil.rmtree(path(f, "run")), "run", "mkdir -m 700"),
                (lambda: shutil.rmtree(f.dir), "directory", "not there"),
            ),
        )


def test_doctor_finds_wrong_modes_and_kinds():
    with Fabric() as f:
        stopped(f)
        remade(
            f,
            (
                (lambda: os.chmod(f.dir, 0o755), "directory", "chmod 700"),
                (lambda: os.chmod(path(f, "keys"), 0o750), "keys", "chmod 700"),
                (lambda: os.chmod(path(f, "keys", "log.key"), 0o640), "log.key", "chmod 600"),
                (lambda: os.chmod(path(f, "keys", "operator.pem"), 0o604), "operator.pem", "chmod 600"),
                (lambda: os.chmod(path(f, "data"), 0o755), "data", "chmod 700"),
                (lambda: os.chmod(path(f, "run"), 0o777), "run", "chmod 700"),
                (lambda: (shutil.rmtree(path(f, "run")), write(path(f, "run"), "")), "run", "not a directory"),
                (lambda: write(path(f, "run", "ifd.sock"), ""), "socket", "not a socket"),
                (lambda: (os.rename(path(f, "data"), f.root + "/data"), os.symlink(f.root + "/data", path(f, "data"))), "data", "no link"),
            ),
        )


def test_doctor_finds_foreign_owners():
    if os.geteuid() != 0:
        raise Skip("only root can give files away")
    with Fabric() as f:
        stopped(f)
        remade(
            f,
            (
                (lambda: os.chown(path(f, "data"), 12345, -1), "data", "uid 12345", "chown 0"),
                (lambda: os.chown(path(f, "keys", "log.key"), 12345, -1), "log.key", "uid 12345"),
            ),
        )


def test_doctor_finds_broken_contents():
    with Fabric() as f, Fabric() as other:
        stopped(f)
        remade(
            f,
            (
                (lambda: write(path(f, "ifd.yaml"), "htpp.listen: x\n"), "configuration", "did you mean"),
                (lambda: write(path(f, "rules.yaml"), "v: 1\nrules: 7\n"), "rules", "at a start every message would be DENY"),
                (lambda: write(path(f, "keys", "log.key"), "garbage\n"), "log.key", "holds no key of a log"),
                (lambda: write(path(f, "keys", "operator.pem"), "garbage\n"), "operator.pem", "no Ed25519 private key"),
                (lambda: shutil.copy(path(other, "keys", "log.key"), path(f, "keys", "log.key")), "log.key", "put back the log's own"),
                (lambda: write(path(f, "data", "main.db"), "garbage" * 1000), "store", "ifctl restore"),
            ),
        )


def test_doctor_finds_what_is_wrong_with_a_vault():
    from tests_vault import put

    with Fabric() as f:
        f.start()
        assert put(f, "one", "some-secret-value").status == 201
        assert f.stop() == 0
        found(f, "vault file", "mode 600", state="good")
        file = path(f, "data", "vault", "00000000000000000001.vault")
        remade(
            f,
            (
                (lambda: os.chmod(path(f, "data", "vault"), 0o750), "vault", "chmod 700"),
                (lambda: os.chmod(file, 0o640), "vault file", "chmod 600"),
                (lambda: write(file, "garbage"), "vault file", "no vault"),
                (lambda: os.unlink(path(f, "keys", "vault.key")), "vault.key", "not there"),
                (lambda: os.chmod(path(f, "keys", "vault.key"), 0o604), "vault.key", "chmod 600"),
                (lambda: write(path(f, "keys", "vault.key"), "garbage\n"), "vault.key", "no key of a vault"),
            ),
        )


def test_doctor_finds_wrong_settings():
    with Fabric() as f:
        stopped(f)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            f.configure({"http.listen": f"127.0.0.1:{taken.getsockname()[1]}"})
            found(f, "port", "in use", "http.listen")
        f.configure({"anchor.directories": [f.root + "/nowhere"]})
        found(f, "anchor", "anchor.directories")
        write(f.root + "/file", "")
        f.configure({"anchor.directories": [f.root + "/file"]})
        found(f, "anchor", "not a directory")
        f.configure({"run.dir": f.root + "/" + "x" * 100})
        found(f, "socket", "set run.dir")
        f.configure({"disk.reserve": "512TiB"})
        found(f, "disk", "disk.reserve")


def make_certificate(f, days):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", str(days)]
        + ["-subj", "/CN=x", "-keyout", path(f, "s.key"), "-out", path(f, "s.crt")],
        check=True,
        capture_output=True,
    )
    os.chmod(path(f, "s.key"), 0o600)


def test_doctor_finds_what_is_wrong_with_a_certificate():
    with Fabric() as f:
        stopped(f)
        f.configure({"http.certificate": "s.crt", "http.key": "s.key"})
        found(f, "certificate", "s.crt")
        make_certificate(f, 3)
        found(f, "certificate", "new one", state="warning")
        os.chmod(path(f, "s.key"), 0o644)
        found(f, "certificate", "s.key", "600")
        os.unlink(path(f, "s.key"))
        found(f, "certificate", "s.key")
        make_certificate(f, 300)
        found(f, "certificate", "days", state="good")


def test_doctor_finds_names_under_which_nobody_is_let_in():
    from tests_tls import make

    with Fabric() as f:
        stopped(f)
        make(f, "s", "DNS:fabric.example,DNS:*.lab.example,IP:192.0.2.7,IP:2001:db8::7")
        tls = {"http.certificate": "s.crt", "http.key": "s.key", "http.listen": "0.0.0.0:0"}
        f.configure(tls)
        found(f, "hosts", "names this machine only", "http.hosts", "restart ifd")
        f.configure({**tls, "http.listen": "127.0.0.1:0"})
        found(f, "hosts", "none of the names in http.hosts", "s.crt", "SIGHUP")
        for hosts, state in (
            (["other.example"], "bad"),
            (["a.b.lab.example", "192.0.2.8", "[2001:db8::8]"], "bad"),
            (["other.example", "fabric.example"], "good"),
            (["a.lab.example"], "good"),
            (["192.0.2.7"], "good"),
            (["[2001:db8::7]"], "good"),
        ):
            f.configure({**tls, "http.hosts": hosts})
            found(f, "hosts", "http.hosts", state=state)


def test_doctor_asks_the_daemon_what_only_it_knows(f):
    done = Cli(f).wants(0, "doctor", "-o", "json")
    assert "access.uids" not in [r["check"] for r in done.json["items"]], done
    found(f, "rules in force", "those of the file", state="good", code=0)
    f.enrol("Finance.Agent")
    f.configure({"access.uids": {"60001": "Finance.Agent", "60002": "Nobody"}})
    found(f, "access.uids", "uid 60002", "ifctl talent add Nobody", "correct access.uids")
    done = Cli(f).wants(20, "doctor", "-o", "json")
    assert [r["check"] for r in done.json["items"] if r["state"] != "good"] == ["access.uids"], done
    f.enrol("Nobody")
    Cli(f).wants(0, "doctor")
    Cli(f).wants(0, "talent", "remove", "Nobody", "--why", "it has left")
    found(f, "access.uids", "uid 60002", "was removed", "orrect access.uids")
    f.configure({"access.uids": {"60001": "Finance.Agent"}})
    kept = open(path(f, "rules.yaml")).read()
    write(path(f, "rules.yaml"), kept + "\n# a comment is no other rule\n")
    Cli(f).wants(0, "doctor")
    write(path(f, "rules.yaml"), "v: 1\nrules:\n- id: late\n  when: {performative: request}\n  effect: deny\n  reason: not now\n")
    found(f, "rules in force", "is not in force", "ifctl guard check", f"kill -HUP {f.process.pid}")
    os.kill(f.process.pid, signal.SIGHUP)
    wait_for(lambda: Cli(f)("doctor").code == 0, 30, "the reload")


def test_doctor_names_what_a_capability_lacks(f):
    f.stop()
    f.configure({"capabilities.config": ["vmix.switcher VMIX_URL http://192.0.2.7:8088"]})
    f.start()
    key = publisher(f)
    for version, config in (("1.0.0", None), ("1.1.0", ["VMIX_URL", "VMIX_ROOM"]), ("1.2.0", ["VMIX_DESK"])):
        assert allow(f, signed(key, version=version, requires_config=config)).status in (200, 201)
    assert f.admin("/v1/revocations", {"id": "if://capability/vmix.switcher", "version": "1.2.0"}).status == 200  # nobody calls that one
    lacks = {i["version"]: i["lacks_config"] for i in f.get("/v1/capabilities").json["items"]}
    assert lacks == {"1.0.0": [], "1.1.0": ["VMIX_ROOM"], "1.2.0": ["VMIX_DESK"]}, lacks
    assert f.get("/v1/capabilities/vmix.switcher").json["lacks_config"] == ["VMIX_ROOM"]
    found(f, "capabilities.config", "vmix.switcher@1.1.0 asks for VMIX_ROOM", '"vmix.switcher VMIX_ROOM VALUE"', "ifd.yaml", state="warning", code=0)
    rows = [r for r in Cli(f).json("doctor")["items"] if r["check"] == "capabilities.config"]
    assert len(rows) == 1, rows
    f.configure({"capabilities.config": ["vmix.switcher VMIX_URL http://192.0.2.7:8088", "vmix.switcher VMIX_ROOM two"]})
    found(f, "capabilities.config", '"vmix.switcher VMIX_ROOM …"', "not in force", "start ifd again", state="warning", code=0)
    f.stop()
    f.start()
    assert "capabilities.config" not in [r["check"] for r in Cli(f).json("doctor")["items"]]
    write(path(f, "desk.json"), json.dumps(signed(key, version="1.3.0", requires_config=["VMIX_DESK", "VMIX_URL"])))
    said = Cli(f).wants(0, "capability", "allow", path(f, "desk.json"), "--why", "w").err  # and to whoever allows it
    assert '"vmix.switcher VMIX_DESK VALUE"' in said and "VMIX_URL" not in said, said


def test_doctor_beside_a_running_daemon(f):
    shutil.copy(path(f, "keys", "log.key"), f.root + "/log.key")
    with Fabric() as other:
        shutil.copy(path(other, "keys", "log.key"), path(f, "keys", "log.key"))
    found(f, "log.key", "not the key that the daemon signs with")
    shutil.copy(f.root + "/log.key", path(f, "keys", "log.key"))
    write(path(f, "rules.yaml"), "v: 1\nrules: 7\n")
    found(f, "rules", "the old set stays in force", "at the next start every message would be DENY", "kill -HUP")
    os.unlink(path(f, "run", "ifd.sock"))
    found(f, "daemon", "runs but does not answer")
    write(path(f, "rules.yaml"), "v: 1\nrules: []\n")
    code, text = f.refuses()
    assert code == 20 and "held by another ifd" in text and "IF_ERR_409" in text, text
    assert "Read it again" not in text and "doctor" not in text, text


def test_a_start_says_what_mends_it():
    with Fabric() as f:
        stopped(f)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            f.configure({"http.listen": f"127.0.0.1:{taken.getsockname()[1]}"})
            code, text = f.refuses()
            assert code == 20 and "http.listen" in text and "disk" not in text, text
        f.configure({})
        os.rmdir(path(f, "run"))
        code, text = f.refuses()
        assert code == 20 and "mkdir -m 700" in text and "ifctl init" not in text, text
        os.mkdir(path(f, "run"), 0o700)
        os.rename(path(f, "data"), path(f, "data.away"))
        code, text = f.refuses()
        assert code == 20 and "put it back" in text and "ifctl init" not in text, text


def test_ifd_dev_takes_its_directory_away_when_nobody_reads_it():
    import tempfile

    from fabric import TMP

    for reads in (True, False):
        with tempfile.TemporaryDirectory(dir=TMP) as home:
            r, w = os.pipe()
            p = subprocess.Popen([PROGRAM["ifd"], "--dev"], stdout=w, stderr=subprocess.PIPE, env={**os.environ, "TMPDIR": home})
            os.close(w)
            if not reads:
                os.close(r)
            text = b""
            while b"message inbox" not in text:
                line = p.stderr.readline()
                assert line, text
                text += line
            if reads:
                os.close(r)
            program = os.path.join(os.path.dirname(PROGRAM["ifd"]), "ifctl")
            assert b"build/ifctl message" not in text and b"ifctl message send" in text, text
            p.terminate()
            p.stderr.close()
            assert p.wait(30) in (0, 20), p.returncode
            assert os.listdir(home) == [], (reads, os.listdir(home), program)



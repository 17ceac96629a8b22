"""The vault: values come in sealed, go out to nobody, and stand nowhere; what the log says decides which file is in force."""

import base64
import json
import os
import pty
import random
import shutil
import signal
import sqlite3
import subprocess
import threading
import time

import nacl.public

import fabric
from cli import Cli
from fabric import Fabric, b64u, b64u_decode, wait_for
from tests_certs import call, secure
from tests_disks import Small, fill
from tests_tokens import bearer, token

API, OTHER = "https://api.example.com", "https://other.example.com"


def seal(f, value, key=None):
    """As the format says, with another library: value, 0x80, zeros up to whole 64 bytes, in a sealed box."""
    to = key or f.get("/v1/vault").json["seal_key"]
    value = value if isinstance(value, bytes) else value.encode()
    padded = value + b"\x80"
    padded += b"\0" * (-len(padded) % 64)
    return {"sealed": b64u(nacl.public.SealedBox(nacl.public.PublicKey(b64u_decode(to))).encrypt(padded)), "to": to}


def put(f, name, value, *origins, **kwargs):
    return f.admin("/v1/secrets", {"name": name, "origins": list(origins or (API,)), **seal(f, value)}, **kwargs)


def rotate(f, name, value, **kwargs):
    return f.admin(f"/v1/secrets/{name}/rotate", seal(f, value), **kwargs)


def revoke(f, name, **kwargs):
    return f.admin(f"/v1/secrets/{name}/revoke", {}, **kwargs)


def check(f, name, origin=API):
    return f.post(f"/v1/secrets/{name}/check", {"origin": origin, "why": "test"})


def generations(f):
    path = os.path.join(f.data, "vault")
    return sorted(os.listdir(path)) if os.path.isdir(path) else []


def spellings(value):
    raw = value.encode()
    yield from (raw, raw.hex().encode(), raw[::-1])
    for shift in range(3):  # whatever stands before it
        whole = base64.b64encode(b"\0" * shift + raw + b"\0\0\0")
        yield whole[(shift * 8 + 5) // 6 : len(whole) // 4 * 4 - 8]


def nowhere(f, *values):
    """In no file below the fabric's root, the log and standard error included; in no command line or environment."""
    for value in values:
        for form in spellings(value):
            assert not f.grep(form, f.root), (value, form, f.grep(form, f.root))
        for pid in filter(str.isdigit, os.listdir("/proc")):
            for name in ("cmdline", "environ"):
                try:
                    with open(f"/proc/{pid}/{name}", "rb") as text:
                        assert value.encode() not in text.read() or int(pid) == os.getpid(), (pid, name)
                except OSError:
                    pass


def test_secrets_are_set_rotated_and_revoked_and_their_bytes_are_nowhere(f):
    # INV-09 INV-13 INV-16
    values = [f"canary-{n}-{os.urandom(12).hex()}" for n in range(3)]
    r = put(f, "stripe", values[0], API, OTHER, why="pilot")
    assert r.status == 201, r
    assert r.json["secret"]["version"] == 1 and r.json["secret"]["origins"] == [API, OTHER] and r.json["vault"]["counter"] == 1
    entry = f.entry(r.json["entry"]["index"])
    assert (entry["component"], entry["operation"], entry["severity"]) == ("SecretVault", "set", "HIGH")
    assert entry["why"] == "pilot" and entry["actor"] == "if://agent/operator" and entry["payload"] == {"secret": r.json["secret"], "vault": r.json["vault"]}
    assert generations(f) == ["00000000000000000001.vault"]
    path = os.path.join(f.data, "vault", generations(f)[0])
    with open(path, "rb") as file:
        assert fabric.sha256(file.read()) == r.json["vault"]["digest"]
    assert os.stat(path).st_mode & 0o777 == 0o600 and os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700
    assert os.stat(os.path.join(f.dir, "keys", "vault.key")).st_mode & 0o777 == 0o600
    assert check(f, "stripe").status == 200
    r = rotate(f, "stripe", values[1])
    assert r.status == 200 and r.json["secret"]["version"] == 2 and r.json["secret"]["origins"] == [API, OTHER], r
    assert generations(f) == ["00000000000000000002.vault"]  # the one before is gone
    assert put(f, "other", values[2]).status == 201
    assert [(s["name"], s["version"]) for s in f.get("/v1/secrets").json["items"]] == [("stripe", 2), ("other", 1)]
    f.restart()
    assert check(f, "stripe").status == 200 and check(f, "stripe", OTHER).status == 200 and check(f, "other").status == 200
    r = revoke(f, "stripe", why="ended")
    assert r.status == 200 and r.json["secret"]["revoked_at"], r
    assert f.entry(r.json["entry"]["index"])["severity"] == "WARN"
    assert check(f, "stripe").code == 206 and rotate(f, "stripe", "x" * 20).code == 206
    r = put(f, "stripe", values[0])
    assert r.status == 201 and r.json["secret"]["version"] == 3
    f.restart()
    vault = f.get("/v1/vault").json
    assert (vault["backend"], vault["counter"], vault["key"], vault["live"], vault["revoked"]) == ("file", 5, "file", 2, 0)
    f.verify()
    with open(f"/proc/{f.process.pid}/limits") as limits:
        assert "Max core file size        0                    0" in limits.read()
    nowhere(f, *values)


def test_each_access_is_an_entry_and_a_refused_one_too(f):
    # INV-04 INV-09 INV-13
    assert put(f, "one", "some-secret-value").status == 201
    r = check(f, "one")
    entry = f.entry(r.json["entry"]["index"])
    assert r.json["name"] == "one" and r.json["version"] == 1
    assert (entry["operation"], entry["severity"], entry["why"], entry["subject"]) == ("get", "INFO", "test", "one")
    assert entry["payload"] == {"name": "one", "origin": API, "version": 1}
    for name, origin, code in (("one", OTHER, 3), ("one", "http://api.example.com", 3), ("nobody", API, 206)):
        size = f.size()
        r = check(f, name, origin)
        assert r.code == code, r
        entry = f.entry(size)
        assert (entry["component"], entry["operation"], entry["severity"]) == ("SecretVault", "get_denied", "WARN")
    wrong = check(f, "one", "https://api.example.com/")  # no origin at all
    assert wrong.code == 208 and b"origin must be scheme://host" in wrong.body, wrong
    assert f.post("/v1/secrets/one/check", {"origin": API}).code == 208  # why?
    agent = f.enrol("Demo.A")
    secret, _ = token(f, agent.name)
    for method, path in (("GET", "/v1/secrets"), ("GET", "/v1/vault"), ("POST", "/v1/secrets/one/check")):
        r = f.http(method, path, b"{}" if method == "POST" else None, bearer(secret))
        assert r.code == 3, r


def test_what_is_refused_changes_neither_log_nor_vault(f):
    # INV-01 INV-09 INV-15
    assert put(f, "one", "some-secret-value").status == 201
    before = f.get("/v1/vault").json
    good = seal(f, "another-secret")
    other = nacl.public.PrivateKey.generate()
    flipped = bytearray(b64u_decode(good["sealed"]))
    flipped[40] ^= 1

    def sealed(raw):
        return {"sealed": b64u(nacl.public.SealedBox(nacl.public.PublicKey(b64u_decode(good["to"]))).encrypt(raw)), "to": good["to"]}

    body = {"name": "two", "origins": [API], **good}
    cases = [
        (body, None, 3),  # no act
        ({**body, "name": "one"}, "sign", 409),
        ({**body, "name": "ONE"}, "sign", 409),
        ({**body, "name": "../x"}, "sign", 208),
        ({**body, "name": "AKIAIOSFODNN7EXAMPLE"}, "sign", 208),
        ({**body, "origins": []}, "sign", 208),
        ({**body, "origins": [API + "/"]}, "sign", 208),
        ({**body, "origins": ["https://API.example.com"]}, "sign", 208),
        ({**body, "origins": ["https://a_b.example.com"]}, "sign", 208),  # no request has it
        ({**body, "origins": ["https://api.example.com:443"]}, "sign", 208),
        ({**body, "origins": [API, API]}, "sign", 208),
        ({**body, "origins": [f"https://a{i}.example" for i in range(9)]}, "sign", 208),
        ({**body, "value": "another-secret"}, "sign", 208),
        ({**body, "sealed": b64u(bytes(flipped))}, "sign", 208),
        ({**body, "sealed": "AAAA"}, "sign", 208),
        ({**body, "sealed": good["sealed"] + "="}, "sign", 208),
        ({**body, "sealed": b64u(os.urandom(9000))}, "sign", 208),
        ({**body, **seal(f, "another-secret", b64u(bytes(other.public_key)))}, "sign", 409),
        ({**body, **seal(f, "short-7")}, "sign", 208),
        ({**body, **seal(f, "x" * 4097)}, "sign", 208),
        ({**body, **seal(f, "***REDACTED***")}, "sign", 208),
        ({**body, **seal(f, "REDACTED")}, "sign", 208),
        ({**body, **sealed(b"no-mark-at-its-end")}, "sign", 208),
        ({**body, **sealed(b"\x80" + b"\0" * 63)}, "sign", 208),
        ({**body, **sealed(b"\0" * 64)}, "sign", 208),
        ({**body, **sealed(b"")}, "sign", 208),
    ]
    for case, act, code in cases:
        r = f.admin("/v1/secrets", case) if act else f.post("/v1/secrets", case)
        assert r.code == code, (case, r)
        assert f.get("/v1/vault").json == before, case
    assert f.admin("/v1/secrets/two/rotate", good).code == 206
    assert f.admin("/v1/secrets/two/revoke", {}).code == 206
    assert f.post("/v1/secrets/one/rotate", good).code == 3 and f.post("/v1/secrets/one/revoke", {"why": "x"}).code == 3
    agent = f.enrol("Demo.A", role="operator")
    assert f.admin("/v1/secrets/one/revoke", {}, key=agent.key).code == 3  # an operator's signature is not an admin's
    header = f.admin_header("/v1/secrets", json.dumps(body).encode())
    assert f.post("/v1/secrets", json.dumps({**body, "name": "three"}).encode(), header).status in (400, 401, 403)  # an act about another body
    r = f.http("POST", "/v1/secrets", json.dumps(body).encode(), {**f.admin_header("/v1/secrets", json.dumps(body).encode()), "Content-Type": "application/json"}, tcp=True)
    assert r.status in (401, 403), r
    admin, _ = token(f, "operator", admin=True)
    data = json.dumps(body).encode()
    r = f.http("POST", "/v1/secrets", data, {**f.admin_header("/v1/secrets", data), **bearer(admin), "Content-Type": "application/json"}, tcp=True)
    assert r.code == 3 and "TLS" in r.error["message"], r
    assert f.get("/v1/vault").json == before and generations(f) == ["00000000000000000001.vault"]
    assert check(f, "one").status == 200
    f.restart()
    assert check(f, "one").status == 200


def test_a_repeated_request_is_answered_as_before_and_done_once(f):
    body = json.dumps({"name": "one", "origins": [API], **seal(f, "some-secret-value")}).encode()
    header = {**f.admin_header("/v1/secrets", body), "Idempotency-Key": "k1"}
    first = f.post("/v1/secrets", body, header)
    assert first.status == 201, first
    again = f.post("/v1/secrets", body, header)
    assert again.status == 201 and again.json == first.json and again.headers.get("idempotent-replayed") == "true", again
    assert f.post("/v1/secrets", body, header | {"Idempotency-Key": "k2"}).code == 103
    assert f.get("/v1/vault").json["counter"] == 1
    f.restart()
    assert f.post("/v1/secrets", body, header).json == first.json


def test_over_tls_a_token_and_an_act_set_a_secret(f):
    secure(f)
    value = "over-tls-" + os.urandom(8).hex()
    secret, _ = token(f, "operator", admin=True)
    body = json.dumps({"name": "one", "origins": [API], **seal(f, value)}).encode()
    r = call(f, None, "POST", "/v1/secrets", json.loads(body), {**f.admin_header("/v1/secrets", body), **bearer(secret)})
    assert r.status == 201, r
    nowhere(f, value)


def test_what_the_vault_holds_is_shown_nowhere_and_passes_nobody(f):
    # INV-09: exact values, whatever they look like
    a = f.enrol("Demo.A")
    value, later = "tulips and daisies", "roses and asters"
    claim = {"claim": f"the word is {value}.", "claim_id": "c", "scope": {"a": "b"}, "confidence": {"raw": 1, "normalized": 0.9}}
    assert f.send(a.message(content=claim)).status == 200
    assert put(f, "flowers", value).status == 201
    r = f.send(a.message(content=claim))
    assert r.status == 403 and r.json["rule"] == "builtin.secret", r
    size = f.size()
    r = f.post("/v1/talents", {"name": "Demo.B", "why": f"he said {value}, did he"})
    assert r.status == 201 and f.entry(r.json["entry"]["index"])["why"] == "he said ***REDACTED***, did he", r
    assert f.post("/v1/talents", {"name": value.replace(" ", "-"), "why": "x"}).status == 201  # another word
    assert rotate(f, "flowers", later).status == 200
    for word in (value, later):
        claim["claim"] = f"({word})"
        assert f.send(a.message(content=claim)).json["rule"] == "builtin.secret"  # the one before may still be on its way
    for index in range(size, f.size()):
        assert value not in json.dumps(f.entry(index)) and later not in json.dumps(f.entry(index))
    assert later.encode() not in b"".join(data for _, data in f.files(f.root))


def corrupt(path, at=-1):
    with open(path, "r+b") as file:
        data = bytearray(file.read())
        data[at] ^= 1
        file.seek(0)
        file.write(data)


def test_a_vault_that_is_not_the_logs_is_not_served(f):
    # INV-09 INV-16
    vault, key = os.path.join(f.data, "vault"), os.path.join(f.dir, "keys", "vault.key")
    assert put(f, "one", "some-secret-value").status == 201
    f.stop()
    old, now = os.path.join(f.root, "old"), os.path.join(f.root, "now")
    shutil.copytree(vault, old)
    f.start()
    assert rotate(f, "one", "another-secret-value").status == 200
    f.stop()
    shutil.copytree(vault, now)

    def refused(code, words):
        status, said = f.refuses()
        assert status == 20 and f"IF_ERR_{code}" in said and words in said, said

    def put_back(source):
        shutil.rmtree(vault, ignore_errors=True)
        if source:
            shutil.copytree(source, vault)

    put_back(old)
    refused(505, "an older vault was put back")
    put_back(None)
    refused(506, "the vault is missing")
    put_back(now)
    name = os.path.join(vault, os.listdir(vault)[0])
    for at in (0, 60, -1):
        corrupt(name, at)
        refused(505, "not the vault that the log covers")
        corrupt(name, at)
    os.truncate(name, 100)
    refused(505, "not the vault that the log covers")
    put_back(now)
    os.chmod(name, 0o640)
    refused(506, "chmod 600")
    os.chmod(name, 0o600)
    os.rename(key, key + ".away")
    refused(506, "vault.key is missing")
    with open(key, "w") as file:
        file.write("IF-VAULT-KEY-1 " + b64u(os.urandom(32)) + "\n")
    os.chmod(key, 0o600)
    refused(506, "not under the key")
    os.rename(key + ".away", key)
    os.chmod(key, 0o604)
    refused(506, "chmod 600")
    os.chmod(key, 0o600)
    f.start()
    assert check(f, "one").status == 200
    f.stop()
    # what the store says of secrets is under the log's root
    with sqlite3.connect(os.path.join(f.data, "main.db")) as db:
        tables = [t for (t,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        changed = 0
        for table in tables:
            columns = [c[1] for c in db.execute(f"PRAGMA table_info({table})")]
            if "kind" in columns:
                column = next(c for c in columns if c in ("bytes", "value", "data"))
                for (data,) in list(db.execute(f"SELECT {column} FROM {table} WHERE kind = 26")):
                    db.execute(f"UPDATE {table} SET {column} = ? WHERE kind = 26", (data.replace(b"api.example.com", b"evil.example.io"),))
                    changed += 1
    assert changed == 1
    refused(505, "trust record")


def test_killed_while_secrets_change_it_holds_what_the_log_says(f):
    # INV-04 INV-05
    assert put(f, "one", "value-of-version-1").status == 201
    acked = 1
    for turn in range(12):
        stop = threading.Event()

        def change():
            nonlocal acked
            while not stop.is_set():
                try:
                    r = rotate(f, "one", f"value-of-version-{acked + 1}")
                    if r.status == 200:
                        acked = r.json["secret"]["version"]
                except (OSError, fabric.Gone, KeyError):
                    return

        t = threading.Thread(target=change)
        t.start()
        time.sleep(random.uniform(0.01, 0.15))
        f.kill()
        stop.set()
        t.join()
        f.start()
        known = f.get("/v1/secrets").json["items"][0]["version"]
        assert known in (acked, acked + 1), (known, acked)  # the last one may not have been answered
        acked = known
        assert check(f, "one").status == 200 and len(generations(f)) == 1
    f.verify()
    return f"{acked} versions over 12 kills"


def test_secrets_that_change_beside_one_another_and_beside_messages(f):
    # INV-04 INV-05: several in one commit, one more stepped ahead
    a = f.enrol("Demo.A")
    stop, faults, done = threading.Event(), [], []

    def talk():
        while not stop.is_set():
            r = f.send(a.message())
            if r.status != 200:
                faults.append(r)

    def change(name):
        versions = 0
        for n in range(12):
            body = {"name": name, "origins": [API], **seal(f, f"{name}-value-{n}")}
            r = f.admin("/v1/secrets", body) if versions == 0 else rotate(f, name, f"{name}-value-{n}")
            if r.code == 304:  # sixteen at a time wait to be recorded
                continue
            versions += 1
            if r.status not in (200, 201) or r.json["secret"]["version"] != versions:
                faults.append(r)
        done.append((name, versions))

    threads = [threading.Thread(target=change, args=(f"name-{n}",)) for n in range(8)]
    talker = threading.Thread(target=talk)
    talker.start()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    stop.set()
    talker.join()
    assert not faults, faults[:3]
    assert sorted((s["name"], s["version"]) for s in f.get("/v1/secrets").json["items"]) == sorted(done)
    counters = [e["payload"]["vault"]["counter"] for e in f.entries() if e["operation"] in ("set", "rotate") and e["component"] == "SecretVault"]
    assert counters == list(range(1, len(counters) + 1)) and len(counters) == sum(n for _, n in done)
    f.kill()
    f.start()
    for name, _ in done:
        assert check(f, name).status == 200
    f.verify()


def test_leftovers_of_a_crash_before_the_commit_are_taken_away(f):
    # INV-04: published, and the log does not say so
    assert put(f, "one", "some-secret-value").status == 201
    f.kill()
    name = os.path.join(f.data, "vault", "00000000000000000001.vault")
    for extra in ("00000000000000000002.vault", "00000000000000000002.new"):
        shutil.copy(name, os.path.join(os.path.dirname(name), extra))
    f.start()
    assert generations(f) == ["00000000000000000001.vault"] and check(f, "one").status == 200


def test_a_full_disk_leaves_the_vault_as_it_was():
    # INV-04
    with Small(96) as f:
        f.start()
        assert put(f, "one", "some-secret-value").status == 201
        filler = fill(f.root)
        refused = 0
        for _ in range(40):
            r = rotate(f, "one", "x" * 4000)
            refused += r.code == 504
            if refused > 3:
                break
        assert refused > 0, r
        os.unlink(filler)
        version = wait_for(lambda: (lambda r: r.json["secret"]["version"] if r.status == 200 else None)(rotate(f, "one", "later-secret-value")), 10, "room")
        assert check(f, "one").status == 200
        assert len(generations(f)) == 1
        f.kill()
        f.start()
        assert f.get("/v1/secrets").json["items"][0]["version"] == version and check(f, "one").status == 200
        return f"{refused} refused"


def served(f, passphrase):
    """Starts it with a passphrase of the vault on a descriptor; None when it does not serve, and what it says."""
    r, w = os.pipe()
    os.write(w, passphrase + b"\n")
    os.close(w)
    errors = open(f.log_path, "ab+")
    process = subprocess.Popen(
        [fabric.PROGRAM["ifd"], "--config", f.config, "--vault-passphrase-fd", str(r)], stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL, pass_fds=(r,)
    )
    os.close(r)
    line = process.stdout.readline()
    if line.startswith(b"ready "):
        f.process, f.errors = process, errors
        return True
    process.stdout.close()
    errors.close()
    assert process.wait() == 20
    return False


def test_the_vaults_key_may_come_from_a_passphrase(f):
    # INV-09
    words = "correct-horse-" + os.urandom(6).hex()
    f.stop()
    assert served(f, words.encode())
    assert put(f, "one", "some-secret-value").status == 201 and f.get("/v1/vault").json["key"] == "passphrase"
    assert not os.path.exists(os.path.join(f.dir, "keys", "vault.key"))
    nowhere(f, words, "some-secret-value")
    f.stop()
    code, said = f.refuses()
    assert code == 20 and "--vault-passphrase-fd" in said, said
    assert not served(f, b"correct-horse-")
    assert "the passphrase of the vault is another" in f.tail()
    assert served(f, words.encode())
    assert check(f, "one").status == 200


test_the_vaults_key_may_come_from_a_passphrase.config = {"log.level": "info"}


def test_a_restored_fabric_has_no_secrets_and_says_which(f):
    # INV-16
    assert put(f, "one", "some-secret-value").status == 201 and put(f, "two", "other-secret-value").status == 201
    assert revoke(f, "two").status == 200
    path = os.path.join(f.root, "copy")
    assert f.post("/v1/backup", {"directory": path, "why": "test"}, timeout=60).status == 200
    assert not [name for name, _ in f.files(path) if "vault" in os.path.basename(name)], "a backup holds no values"
    f.stop()
    new = os.path.join(f.root, "new")
    done = f.ifd("--restore", path, "--dir", new, "--keys", os.path.join(f.dir, "keys"), "--why", "test")
    assert done.returncode == 0, done
    g = Fabric(parent=os.path.join(f.root, "new"), directory=new, init=False)
    g.configure({})
    g.start()
    try:
        assert g.get("/v1/secrets").json["items"] == [] and g.get("/v1/vault").json["counter"] == 0
        void = [e for e in g.entries() if e["operation"] == "voided" and e["component"] == "SecretVault"]
        assert [e["subject"] for e in void] == ["one"]
        assert put(g, "one", "some-secret-value").status == 201 and check(g, "one").status == 200
    finally:
        g.kill()


def test_back_ends_that_come_later_say_so(f):
    f.stop()
    for name in ("kv2", "aws"):
        f.configure({"vault.backend": name})
        code, said = f.refuses()
        assert code == 20 and "IF_ERR_509" in said and name in said, said
        done = Cli(f).wants(20, "config", "check", f.config)
        assert "IF_ERR_509" in done.err
    f.configure({"secret_vault_backend": "file"})
    f.start()


def test_ifctl_takes_values_from_everywhere_but_its_arguments(f):
    # INV-09
    cli = Cli(f)
    values = {n: f"{n}-{os.urandom(10).hex()}" for n in ("stdin", "file", "fd", "prompt", "rotated")}
    assert cli("secret", "set", "stdin", "--for", API, "--why", "w", stdin=values["stdin"].encode() + b"\n").code == 0
    path = os.path.join(f.root, "value")
    with open(path, "w") as file:
        file.write(values["file"])
    assert cli("secret", "set", "file", "--for", API, "--for", OTHER, "--value-file", path, "--why", "w").code == 0
    os.unlink(path)
    r, w = os.pipe()
    os.write(w, values["fd"].encode())
    os.close(w)
    done = subprocess.run(
        [fabric.PROGRAM["ifctl"], "--dir", f.dir, "secret", "set", "fd", "--for", API, "--value-fd", str(r), "--why", "w"], pass_fds=(r,), capture_output=True, stdin=subprocess.DEVNULL
    )
    os.close(r)
    assert done.returncode == 0, done
    main, side = pty.openpty()
    p = subprocess.Popen(
        [fabric.PROGRAM["ifctl"], "--dir", f.dir, "secret", "set", "prompt", "--for", API, "--why", "w"], stdin=side, stdout=side, stderr=side, start_new_session=True
    )
    os.close(side)
    shown = b""
    for _ in range(2):
        while not shown.endswith(b": "):
            shown += os.read(main, 1000)
        os.write(main, values["prompt"].encode() + b"\n")
        shown += os.read(main, 1000)
    try:
        while True:
            shown += os.read(main, 1000)
    except OSError:
        pass
    assert p.wait() == 0 and values["prompt"].encode() not in shown, shown
    os.close(main)
    assert cli("secret", "rotate", "stdin", "--why", "w", stdin=values["rotated"].encode()).code == 0
    assert [s["name"] for s in cli.json("secret", "list")["items"]] == ["stdin", "file", "fd", "prompt"]
    for name in ("stdin", "file", "fd", "prompt"):
        assert cli("secret", "check", name, "--for", API, "--why", "w").code == 0
    elsewhere = cli("secret", "check", "stdin", "--for", OTHER, "--why", "w")
    assert elsewhere.code == 10 and "ifctl secret list" in elsewhere.err, elsewhere
    again = cli("secret", "set", "stdin", "--for", OTHER, "--why", "w", stdin=b"another-value-0123")
    assert again.code != 0 and "its origins stay" in again.err, again
    assert {s["state"] for s in cli.json("secret", "age")["items"]} == {"good"}
    old = cli("secret", "age", "--older", "0")
    assert old.code == 0 and "4 older than 0 days" in old.err, old
    assert cli("secret", "set", "x", "--for", API, "--why", "w", stdin=b"short").code == 2
    assert cli("secret", "set", "x", "--for", API, "--why", "w", stdin=b"").code == 2
    assert cli("secret", "set", "x", "--why", "w", stdin=b"long enough").code == 2
    assert cli("secret", "set", "x", "a-value-on-argv", "--for", API, "--why", "w", stdin=b"").code == 2
    assert cli("secret", "revoke", "file", "--why", "w").code == 0
    assert cli("secret", "revoke", "file", "--why", "w").code == 12
    nowhere(f, *values.values())

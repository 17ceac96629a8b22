"""The main job: a fabric, three talents of three owners, every decision, every refusal, kill -9, offline proof, tampering."""
import copy
import datetime
import json
import os
import shutil
import signal
import sqlite3
import subprocess

from stage import BUILD, Show, chapter, expect, tell

SCOPE = '{"year":2025,"includes":["mobile"]}'
show = Show()


def utc(seconds=0):
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def setting_up():
    chapter("1. A fabric on this machine: one directory, SQLite, no server beside it")
    show.ctl("init", show.dir, "--http", "", check=True)
    os.mkdir(show.anchors, 0o700)
    with open(f"{show.dir}/ifd.yaml", "r+", encoding="utf-8") as file:
        text = file.read().replace("directories: []", f"directories: [{show.anchors}]")
        file.seek(0)
        file.write(text)
        file.truncate()
    expect("ifd serves", show.start(), lambda line: line.startswith("ready unix:"))
    for name, owner in (("Finance.Agent", "alice"), ("Research.Agent", "bob"), ("News.Agent", "carol")):
        show.ctl("talent", "add", name, "--owner", owner, "--new-key", why="the demo needs it")
        tell(f"enrolled {name}, for whom {owner} answers")


def decisions():
    chapter("2. SHARE, HOLD, ESCALATE, DENY")
    receipt = show.send("Finance.Agent", "--to", "Research.Agent", "--claim", "Q3 revenue rose 12 %", "--confidence", "0.9", "--scope", SCOPE)
    expect("a sure claim is shared", receipt["decision"], "SHARE")
    inbox = show.json("message", "inbox", "--as", "Research.Agent")
    items = inbox["items"] if isinstance(inbox, dict) else inbox
    expect("Research.Agent reads it from its inbox", items[0]["envelope"]["content"]["claim"], "Q3 revenue rose 12 %")

    held = show.send("Finance.Agent", "--to", "Research.Agent", "--claim", "Churn fell", "--claim-id", "C-7", "--confidence", "0.25", "--scope", SCOPE,
                     "--evidence", "https://alpha.example.com/report")
    expect("a borderline claim is held", (held["decision"], held["reason"]), ("HOLD", "borderline; need second source/scope check"))
    second = show.send("News.Agent", "--claim", "Churn fell, says the regulator", "--claim-id", "C-7", "--confidence", "0.8", "--scope", SCOPE,
                       "--evidence", "https://regulator.example.org/42")
    expect("a second source of another owner is shared", second["decision"], "SHARE")
    state = show.json("decision", "wait", held["id"], "--wait", "5s")
    expect("and releases what was held", state["decision"], "SHARE")

    risky = show.send("Finance.Agent", "--to", "Research.Agent", "--claim", "We may cite the contract", "--confidence", "0.9", "--scope", SCOPE,
                      "--hazard", "legal")
    expect("a legal hazard overrides any confidence", (risky["decision"], risky["reason"]), ("ESCALATE", "policy: hazard override"))
    show.ctl("decision", "approve", risky["id"], "--yes", why="counsel agreed")
    state = show.json("decision", "wait", risky["id"], "--wait", "5s")
    expect("a signed vote of the operator releases it", state["decision"], "SHARE")

    secret = "AKIA" + "IOSFODNN7EXAMPLE"
    denied = show.send("Finance.Agent", "--to", "Research.Agent", "--claim", f"use {secret} for the bucket", "--confidence", "0.9", "--scope", SCOPE)
    expect("a secret in the payload is denied", (denied["decision"], denied["reason"]), ("DENY", "secret in payload"))
    found = subprocess.run(["grep", "-rlF", secret, f"{show.dir}/data"], capture_output=True, text=True, check=False).stdout
    expect("and stands nowhere in the data directory", found, "")


def refusals():
    chapter("3. What is refused, and with which code")
    draft = {"performative": "inform", "receiver": "if://agent/Research.Agent",
             "content": {"claim": "Margin is 31 %", "confidence": {"raw": 0.9, "normalized": 0.9}, "scope": json.loads(SCOPE)}}
    good = show.sign("Finance.Agent", draft)
    expect("an honest message, posted raw", show.post(good)[0], 200)
    expect("the same again: a replay", show.refused(good), "IF_ERR_103")
    status, _, head = show.post(good, key=good["id"])
    expect("the same with its Idempotency-Key: the first receipt", (status, "idempotent-replayed: true" in head), (200, True))

    tampered = copy.deepcopy(show.sign("Finance.Agent", draft))
    tampered["content"]["claim"] = "Margin is 91 %"
    expect("one word changed after signing", show.refused(tampered), "IF_ERR_001")
    forged = show.sign("News.Agent", {**draft, "sender": "if://agent/News.Agent"})
    forged["sender"] = "if://agent/Finance.Agent"
    expect("another's key speaks for Finance.Agent", show.refused(forged), "IF_ERR_001")
    expect("issued an hour ago for a minute", show.refused(show.sign("Finance.Agent", {**draft, "issued_at": utc(-3600), "ttl_s": 60})), "IF_ERR_102")
    expect("issued tomorrow", show.refused(show.sign("Finance.Agent", {**draft, "issued_at": utc(86400)})), "IF_ERR_107")
    expect("an old sequence number", show.refused(show.sign("Finance.Agent", {**draft, "seq": 5})), "IF_ERR_104")
    stranger = show.sign("Finance.Agent", draft)
    stranger["sender"] = "if://agent/Nobody"
    expect("a sender nobody enrolled", show.refused(stranger), "IF_ERR_106")
    expect("not even JSON", show.refused(b"{\"id\": NaN"), "IF_ERR_101")
    return draft


def killed(draft):
    chapter("4. kill -9 in mid-stream: what was acknowledged is there")
    acknowledged, victim = [], show.daemon
    envelopes = [show.sign("News.Agent", {**draft, "content": {**draft["content"], "claim": f"tick {i}"}}) for i in range(40)]
    for i, envelope in enumerate(envelopes):
        if i == 25:
            os.kill(victim.pid, signal.SIGKILL)
        try:
            status, _, _ = show.post(envelope)
        except OSError:
            break
        if status == 200:
            acknowledged.append(envelope)
    victim.wait()
    show.daemon = None
    tell(f"{len(acknowledged)} acknowledged, then SIGKILL")
    expect("it starts again by itself", show.start(), lambda line: line.startswith("ready"))
    missing = [e["id"] for e in acknowledged if show.ctl("receipt", "save", e["id"], "--out", f"{show.root}/r-{e['id']}.json", check=False).returncode != 0]
    expect("every acknowledged message has its receipt", missing, [])
    expect("a replay is still refused", {show.refused(e) for e in acknowledged}, {"IF_ERR_103"})
    return f"{show.root}/r-{acknowledged[-1]['id']}.json"


def verified(receipt):
    chapter("5. Outsiders verify offline")
    export = f"{show.root}/export"
    show.ctl("witness", "export", "--out", export)
    vkey = show.ctl("witness", "vkey").stdout.strip()
    verify = [f"{BUILD}/if-verify", export, "--vkey", vkey]
    expect("the whole log", subprocess.run(verify, capture_output=True, check=False).returncode, 0)
    expect("one receipt", subprocess.run([f"{BUILD}/if-verify", receipt, "--vkey", vkey], capture_output=True, check=False).returncode, 0)
    bundle = next(os.path.join(root, name) for root, _, names in os.walk(f"{export}/tile/entries") for name in names)
    with open(bundle, "r+b") as file:
        file.seek(700)
        byte = file.read(1)
        file.seek(700)
        file.write(bytes([byte[0] ^ 1]))
    result = subprocess.run(verify, capture_output=True, text=True, check=False)
    expect("one bit of a copy broken: found", result.returncode, 1)
    tell((result.stdout + result.stderr).strip().splitlines()[-1])


def tampered():
    chapter("6. Edited behind its back")
    show.ctl("anchor", "create", why="before the night")
    old = f"{show.root}/hour-old"
    show.end()
    shutil.copytree(show.dir, old)
    damaged = f"{show.root}/edited"
    shutil.copytree(show.dir, damaged)
    with sqlite3.connect(f"{damaged}/data/main.db") as database:
        rows = database.execute("select number, bytes from records where kind = 2").fetchall()
        number, record = rows[-1]
        edited = bytes(record).replace(b'"owner":"carol"', b'"owner":"alice"')
        database.execute("update records set bytes = ? where kind = 2 and number = ?", (edited, number))
    database.close()
    keep, show.dir = show.dir, damaged
    expect("an owner edited with the sqlite3 shell: it does not start", show.start(damaged), "exit 20")
    tell(last_words())
    show.dir, show.daemon = keep, None
    expect("the true one starts", show.start(), lambda line: line.startswith("ready"))
    show.send("News.Agent", "--claim", "an hour later", "--confidence", "0.9", "--scope", SCOPE)
    show.ctl("anchor", "create", why="an hour later")
    expect("and ends cleanly", show.end(), 0)
    show.dir = old
    expect("an hour-old copy of the directory, against its anchor: it does not start", show.start(old), "exit 20")
    tell(last_words())
    show.dir = keep


def last_words():
    with open(f"{show.root}/ifd.log", encoding="utf-8") as log:
        return [line for line in log.read().splitlines() if line.startswith("ifd: ")][-1]


def play():
    try:
        the_main_job()
    finally:
        show.stop()


def the_main_job():
    setting_up()
    decisions()
    draft = refusals()
    verified(killed(draft))
    tampered()

"""Capabilities: a signed tool behind walls, with a secret that it never sees; everything that must not happen, refused with its code.

The product's own programs and the adapter http.template, built with clang and wasm-ld; beside them a small service on loopback that wants a token.
"""
import base64
import http.server
import json
import os
import shutil
import subprocess
import threading
import time

from stage import BUILD, Show, chapter, expect, tell

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PATIENCE = 60  # seconds for what has to come; nothing is measured
AS = ("--as", "Desk.Agent")
CHAT = """operations:
  say:
    effect: write
    cost_estimate: {usd_micro: 10000}
    params:
      type: object
      required: [text]
      properties:
        text: {type: string, maxLength: 200}
        room: {type: string, maxLength: 40, default: ops}
        method: {type: string, enum: [POST], default: POST}
        url: {type: string, enum: ["http://127.0.0.1:PORT/rooms/{room}"], default: "http://127.0.0.1:PORT/rooms/{room}"}
        body: {type: string, enum: ['{"text":{text}}'], default: '{"text":{text}}'}
        uses: {type: string, enum: [CHAT_TOKEN], default: CHAT_TOKEN}
  open-door:
    effect: physical
    params:
      type: object
      required: [door]
      properties:
        door: {type: string, maxLength: 40}
        method: {type: string, enum: [POST], default: POST}
        url: {type: string, enum: ["http://127.0.0.1:PORT/doors/{door}"], default: "http://127.0.0.1:PORT/doors/{door}"}
        uses: {type: string, enum: [CHAT_TOKEN], default: CHAT_TOKEN}
  mirror:
    effect: read
    params:
      type: object
      properties:
        method: {type: string, enum: [GET], default: GET}
        url: {type: string, enum: ["http://127.0.0.1:PORT/mirror"], default: "http://127.0.0.1:PORT/mirror"}
        uses: {type: string, enum: [CHAT_TOKEN], default: CHAT_TOKEN}
default_operation: say
imports: [http, secret_ref]
http:
  - {scheme: http, host: 127.0.0.1, port: PORT, path: /rooms/*, methods: [POST]}
  - {scheme: http, host: 127.0.0.1, port: PORT, path: /doors/*, methods: [POST], effect: physical}
  - {scheme: http, host: 127.0.0.1, port: PORT, path: /mirror, methods: [GET], effect: read}
requires_secrets:
  - {name: CHAT_TOKEN, origin: "http://127.0.0.1:PORT", as: bearer}
limits: {rps: 100, burst: 200, backoff: [1, 2, 5, 10, 30], deadline_ms: 30000}
"""
BELL = """operations:
  ring:
    effect: write
    params:
      type: object
      properties:
        method: {type: string, enum: [POST], default: POST}
        url: {type: string, enum: ["http://127.0.0.1:PORT/bell"], default: "http://127.0.0.1:PORT/bell"}
imports: [http, secret_ref]
http:
  - {scheme: http, host: 127.0.0.1, port: PORT, path: /bell, methods: [POST]}
limits: {rps: 1, burst: 1, backoff: [1]}
"""
SUMMARIES = {"desk.chat": "Speaks in the desk's rooms and opens its doors", "desk.bell": "Rings the desk's bell"}
RULES = """v: 1
why: what the desk's agents may call
rules: []
capabilities:
  - {id: 10-desk, effect: share, when: {capability: {starts_with: desk.}}}
"""


class Service:
    """Wants the token, keeps what came, answers what it is told to; `mirror` sends everything back that it got."""

    def __init__(self, token):
        self.token, self.seen, self.down = token, [], False
        self.hold, self.holding = threading.Event(), threading.Event()
        self.hold.set()
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                known = self.headers.get("authorization") == "Bearer " + service.token
                service.seen.append((self.path, body, known))
                service.holding.set()
                service.hold.wait(PATIENCE)
                status = 503 if service.down else 200 if known or self.path == "/bell" else 401
                data = json.dumps({"heard": dict(self.headers)} if self.path == "/mirror" else {"ok": status == 200}).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def at(self, path):
        return [entry for entry in self.seen if entry[0] == path]

    def stop(self):
        self.hold.set()
        self.server.shutdown()
        self.server.server_close()


def refused(what, done, code):
    expect(what, f"IF_ERR_{code:03d}" in done.stderr and done.returncode != 0 or done.stderr + done.stdout, True)
    tell(f"    {next(line for line in done.stderr.splitlines() if 'IF_ERR' in line)}")


def until(what, seen):
    end = time.monotonic() + PATIENCE
    while not (value := seen()):
        if time.monotonic() > end:
            expect(what, "not within a minute", True)
        time.sleep(0.05)
    return value


def apply(show, *args, why="the night shift", **more):
    return show.ctl("capability", "apply", *args, *AS, "-o", "json", why=why, check=False, **more)


def done_well(what, run):
    expect(what, run.returncode if run.returncode == 0 else run.stderr, 0)
    return json.loads(run.stdout)


def edited(show, service, name, rest, file="manifest"):
    """ifctl capability new, and what a person would put in with an editor."""
    path = f"{show.root}/{name}-{file}.yaml"
    show.ctl("capability", "new", f"{name}@1.0.0", "--module", f"{show.dir}/capabilities/desk.wasm", "--out", path)
    with open(path, encoding="utf-8") as made:
        text = made.read().split("operations:")[0].replace(f"{name}/1.0.0.wasm", "desk.wasm").replace("what it does, in one line", SUMMARIES[name])
    with open(path, "w", encoding="utf-8") as manifest:
        manifest.write(text + rest.replace("PORT", str(service.port)))
    return path


def signed(show, path, key="publisher"):
    out = f"{path[:-5]}-{key}.json"
    show.ctl("capability", "sign", path, "--key", f"{show.root}/{key}.pem", "--out", out)
    return out


def allow(show, path):
    return show.ctl("capability", "allow", path, why="the desk needs it", check=False)


def a_fabric(show, service):
    show.ctl("init", show.dir, "--http", "")
    os.mkdir(f"{show.dir}/capabilities", 0o755)
    subprocess.run([f"{ROOT}/adapters/build", "http.template", f"{show.dir}/capabilities/desk.wasm"], check=True)
    with open(f"{show.dir}/ifd.yaml", "a", encoding="utf-8") as file:
        file.write(f'egress:\n  allow: ["desk.chat 127.0.0.1/32 {service.port}", "desk.bell 127.0.0.1/32 {service.port}"]\n')
    with open(f"{show.dir}/rules.yaml", "w", encoding="utf-8") as file:
        file.write(RULES)
    expect("the daemon serves", show.start(), lambda line: line.startswith("ready "))
    for name in ("Desk.Agent", "Other.Agent"):
        show.ctl("talent", "add", name, "--owner", "desk", "--new-key", why="works at the desk")


def what_comes_in(show, service):
    chapter("1. A tool comes in: a module, a manifest, a publisher who signs")
    for key in ("publisher", "stranger"):
        show.ctl("key", "new", "--out", f"{show.root}/{key}.pem")
    public = show.json("key", "show", f"{show.root}/publisher.pem")["pubkey"]
    show.ctl("publisher", "add", "Desk", "--pubkey", public, "--namespace", "desk", why="signs the desk's tools")
    manifest = edited(show, service, "desk.chat", CHAT)
    refused("unsigned", allow(show, manifest), 1)
    refused("signed again, by a key that nobody registered", allow(show, signed(show, manifest, "stranger")), 5)
    good = signed(show, manifest)
    with open(good, encoding="utf-8") as file:
        text = file.read()
    with open(f"{show.root}/changed.json", "w", encoding="utf-8") as file:
        file.write(text.replace('"rps":100', '"rps":999'))
    refused("signed, then changed", allow(show, f"{show.root}/changed.json"), 1)
    expect("signed by its publisher", allow(show, good).returncode, 0)
    other = signed(show, edited(show, service, "desk.chat", CHAT.replace("rps: 100", "rps: 999"), "other"))
    refused("another manifest under the same version, though well signed", allow(show, other), 409)
    allow(show, signed(show, edited(show, service, "desk.bell", BELL)))
    expect("on the list", [(c["id"].rsplit("/", 1)[1], c["version"], c["publisher"]) for c in show.json("capability", "list")["items"]],
           lambda seen: sorted(seen) == [("desk.bell", "1.0.0", "Desk"), ("desk.chat", "1.0.0", "Desk")])


def its_secret(show, service):
    chapter("2. A secret, for one origin; a grant, for one agent")
    origin = f"http://127.0.0.1:{service.port}"
    stored = subprocess.run([f"{BUILD}/ifctl", "secret", "set", "CHAT_TOKEN", "--for", origin, "--value-file", "-"], input=service.token, text=True,
                            env={**os.environ, "IFAB_DIR": show.dir, "IFAB_WHY": "the desk's own token"}, capture_output=True, check=False)
    expect("the vault has the token, for the service alone", (stored.returncode, stored.stderr if stored.returncode else ""), (0, ""))
    for name in ("desk.chat", "desk.bell"):
        show.ctl("talent", "grant", "Desk.Agent", "--capability", f"if://capability/{name}", why="the night shift")
    module = f"{show.dir}/capabilities/desk.wasm"
    with open(module, "rb") as file:
        data = file.read()
    with open(module, "wb") as file:
        file.write(data[:-1] + bytes([data[-1] ^ 1]))
    refused("one bit of its module is another", apply(show, "desk.chat", "--text", "hello"), 204)
    with open(module, "wb") as file:
        file.write(data)
    refused("another agent, without the grant", show.ctl("capability", "apply", "desk.chat", "--text", "hello", "--as", "Other.Agent", why="tries", check=False), 205)
    expect("nothing of this reached the service", service.seen, [])


def a_call(show, service):
    chapter("3. Plan, apply, receipt")
    plan = show.json("capability", "plan", "desk.chat", "--text", "only planned", *AS, why="looks first")
    expect("a plan says what would happen", (plan["state"], plan["decision"], plan["summary"]),
           ("planned", "SHARE", f"POST http://127.0.0.1:{service.port}/rooms/ops"))
    expect("and does nothing", service.seen, [])
    run = show.ctl("capability", "apply", "desk.chat", "--text", "the night shift begins", *AS, "--trace", "-o", "json", why="the night shift", check=False)
    receipt = done_well('apply desk.chat --text "…" --why "the night shift" --trace', run)
    tell(f"receipt: fuel {receipt['fuel']}, cost {json.dumps(receipt['cost'])}, entry {receipt['entry']['index']}, intent {receipt['intent']}")
    expect("it says what the service answered, and what it cost", (receipt["result"], receipt["cost"]["usd_micro"], receipt["fuel"] > 0),
           ({"body": {"ok": True}, "status": 200}, 10000, True))
    expect("the service got the token and the text", service.seen, [("/rooms/ops", b'{"text":"the night shift begins"}', True)])
    entries = [show.json("witness", "show", str(n)) for n in (receipt["intent"], receipt["entry"]["index"])]
    for entry in entries:
        tell(f"entry {entry['index']}: {entry['component']}/{entry['operation']}, {entry['actor']}")
    expect("intent and outcome are entries of its trace, with one why", ({e["trace"] for e in entries}, show.json("witness", "show", str(entries[0]["why_from"]))["why"]),
           ({receipt["trace"]}, "the night shift"))
    tried = apply(show, "desk.chat", "--text", "x", "--mode=falsify")
    verdict = json.loads(tried.stdout)
    expect("ten challenges try to show that it should not have been let through", (verdict["verdict"], len(verdict["challenges"])), ("survived", 10))


def a_vote(show, service):
    chapter("4. A door: physical, so it waits for a person")
    env = {**os.environ, "IFAB_DIR": show.dir, "IFAB_WHY": "a delivery"}
    run = subprocess.Popen([f"{BUILD}/ifctl", "capability", "apply", "desk.chat", "open-door", "--door", "front", *AS, "-o", "json"], env=env, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    waits = until("it waits", lambda: show.json("decision", "list", "--state", "escalated")["items"])
    expect("nothing was called", service.at("/doors/front"), [])
    voted = show.ctl("decision", "approve", waits[0]["id"], "--yes", why="the courier is there")
    for line in voted.stderr.splitlines():
        if line.split()[:1] in (["operation"], ["effect"], ["params"]):
            tell(f"the approver sees  {line.strip()}")
    out, err = run.communicate(timeout=PATIENCE)
    expect("approved by the operator, it runs", (run.returncode, err if run.returncode else ""), (0, ""))
    expect("once", (json.loads(out)["effect"], len(service.at("/doors/front"))), ("physical", 1))


def its_limits(show, service):
    chapter("5. Rate, budget, breaker")
    env = {**os.environ, "IFAB_DIR": show.dir, "IFAB_WHY": "many at once"}

    def burst():
        runs = [subprocess.Popen([f"{BUILD}/ifctl", "capability", "apply", "desk.bell", *AS], env=env, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                for _ in range(8)]
        said = [(run.communicate(timeout=PATIENCE)[1], run.returncode) for run in runs]
        return next((subprocess.CompletedProcess([], code, "", text) for text, code in said if "IF_ERR_302" in text), None)

    refused("more than one a second of what may ring once a second", until("302", burst), 302)
    show.ctl("budget", "set", "desk-chat", "--subject", "capability:desk.chat", "--usd", "0.025", "--period", "total", why="a pilot")
    for n in (1, 2):
        done_well(f"$0.01 of a budget of $0.025, number {n}", apply(show, "desk.chat", "--text", f"number {n}"))
    refused("the third is over budget", apply(show, "desk.chat", "--text", "number 3"), 301)
    show.ctl("budget", "set", "desk-chat", "--subject", "capability:desk.chat", "--usd", "10", "--period", "total", why="the pilot went well")
    service.down = True
    for _ in range(5):
        failed = apply(show, "desk.chat", "--text", "is anybody there")
    refused("the service is down: it failed", failed, 503)
    service.down = False
    asked = len(service.seen)
    refused("after five in a row the breaker is open", apply(show, "desk.chat", "--text", "hello"), 303)
    expect("nothing was asked of the service", len(service.seen), asked)
    show.ctl("governor", "reset", "capability:desk.chat", why="the service is back")
    done_well("a person closed it: it goes on", apply(show, "desk.chat", "--text", "hello again"))


def workers(show):
    """Processes of if-sandbox that the daemon runs."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                name, _, rest = file.read().partition("(")[2].rpartition(")")
        except OSError:
            continue
        if name == "if-sandbox" and int(rest.split()[1]) == show.daemon.pid:
            found.append(int(pid))
    return found


def memory(pid):
    """All that a process can read of its own memory."""
    dump = bytearray()
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in maps:
            span, rights = line.split()[:2]
            start, end = (int(part, 16) for part in span.split("-"))
            if "r" in rights:
                try:
                    mem.seek(start)
                    dump += mem.read(end - start)
                except (OSError, OverflowError, ValueError):
                    continue  # the kernel's own pages
    return bytes(dump)


def spellings(token):
    """The forms in which a token is looked for."""
    raw = token.encode()
    yield from (raw, raw[::-1], raw.hex().encode(), raw.hex().upper().encode())
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + raw + b"\0\0\0")
        yield whole[(shift * 8 + 5) // 6 : len(whole) // 4 * 4 - 8]


def held(data, token):
    return any(form in data for form in spellings(token))


def its_memory(show, service, token):
    """The guest in the middle of a call that has sent the secret: what its process holds."""
    marker = "marker-" + os.urandom(12).hex()
    service.holding.clear()
    service.hold.clear()
    env = {**os.environ, "IFAB_DIR": show.dir, "IFAB_WHY": "is looked into"}
    run = subprocess.Popen([f"{BUILD}/ifctl", "capability", "apply", "desk.chat", "--text", marker, *AS], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        expect("the service has the token in its hands while the guest waits", service.holding.wait(PATIENCE) and service.seen[-1][2], True)
        dumps = [memory(pid) for pid in workers(show)]
    except PermissionError:
        return ["the guest's memory: this account may not read it (root may)"]
    finally:
        service.hold.set()
        run.wait(PATIENCE)
    tell(f"dumped {len(dumps)} sandbox process{'es' if len(dumps) > 1 else ''}, {sum(map(len, dumps)) >> 20} MiB")
    expect("the dump is the guest's: the text that it sends is there", any(marker.encode() in dump for dump in dumps), True)
    expect("the token is not", any(held(dump, token) for dump in dumps), False)
    return []


def the_secret(show, service):
    chapter("6. Where is the secret?")
    token = service.token
    refused("a service that sends back what it was sent: its answer is withheld", apply(show, "desk.chat", "mirror"), 501)
    expect("though it did send it", service.at("/mirror")[-1][2], True)
    missing = its_memory(show, service, token)
    show.ctl("witness", "export", "--out", f"{show.root}/export")
    looked, named, found = 0, 0, []
    for base, _, names in os.walk(show.root):
        for name in filter(lambda name: not name.endswith(".sock"), names):
            with open(f"{base}/{name}", "rb") as file:
                data = file.read()
            looked += len(data)
            named += b"CHAT_TOKEN" in data
            if held(data, token):
                found.append(name)
    expect("its name is in the files of the fabric", named > 0, True)
    expect(f"its bytes are in none of {looked >> 10} KiB: log, database, tiles, vault, export", found, [])
    entries, cursor = [], None
    while cursor is not None or not entries:
        page = show.json("witness", "query", "--limit", "500", *(("--cursor", str(cursor)) if cursor is not None else ()))
        entries, cursor = entries + page["items"], page["next"]
    uses = [e for e in entries if e["operation"] == "get" and e["component"] == "SecretVault"]
    expect(f"in none of {len(entries)} entries; each of its {len(uses)} uses is one", (held(json.dumps(entries).encode(), token), len(uses)),
           lambda seen: not seen[0] and seen[1] == sum(1 for entry in service.seen if entry[2]))
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("cmdline", "environ"):
            try:
                with open(f"/proc/{pid}/{name}", "rb") as file:
                    if held(file.read(), token):
                        found.append((pid, name))
            except OSError:
                continue  # gone, or another's
    expect("on no command line and in no environment of this machine", found, [])
    return missing


def revoked(show, service):
    chapter("7. Revoked in between")
    plan = show.json("capability", "plan", "desk.chat", "--text", "too late", *AS, why="was planned before")
    show.ctl("capability", "revoke", "desk.chat@1.0.0", why="a flaw was found")
    asked = len(service.seen)
    refused("planned before, applied after", show.ctl("capability", "apply", "--plan", plan["plan_hash"], *AS, check=False), 202)
    expect("nothing was asked of the service", len(service.seen), asked)


def verified(show):
    chapter("8. All of it stands in the log")
    shutil.rmtree(f"{show.root}/export")
    show.ctl("witness", "export", "--out", f"{show.root}/export")
    vkey = show.ctl("witness", "vkey").stdout.strip()
    expect("and verifies offline", subprocess.run([f"{BUILD}/if-verify", f"{show.root}/export", "--vkey", vkey], capture_output=True, check=False).returncode, 0)
    expect("ifd ends cleanly", show.end(), 0)


def lacking():
    """What this machine has not to show capabilities with."""
    for program in ("if-sandbox", "if-sandbox-prepare"):
        if not os.path.exists(f"{BUILD}/{program}"):
            return f"capabilities: {program} was not built (no Rust)"
    for program in ("clang", "wasm-ld"):
        if shutil.which(program) is None:
            return f"capabilities: {program} is missing (tools/bootstrap full)"
    return None


def no_sandbox(show):
    """Why no guest can run on this machine, if so: a kernel or container that does not give the walls."""
    asked = show.ctl("capability", "health", "desk.chat", check=False)
    lines = (asked.stderr + asked.stdout).splitlines()  # an error, or why it is not healthy
    why = next((line.strip() for line in lines if any(word in line for word in ("sandbox", "wall", "IF_ERR_509"))), None)
    if asked.returncode != 0 and why is not None:
        if os.environ.get("IFAB_CAPABILITIES") == "required":
            expect("a guest runs behind its walls", why, "")
        return "calls of capabilities: " + why
    return None


def play():
    why = lacking()
    if why is not None:
        return [why]
    show, service = Show(), Service("canary-" + os.urandom(24).hex())
    try:
        a_fabric(show, service)
        what_comes_in(show, service)
        its_secret(show, service)
        why = no_sandbox(show)
        if why is not None:
            return [why]
        a_call(show, service)
        a_vote(show, service)
        its_limits(show, service)
        missing = the_secret(show, service)
        revoked(show, service)
        verified(show)
        return missing
    finally:
        show.stop()
        service.stop()

"""Adapters as they stand under adapters/: their guests built, their manifests signed, against servers of their own. INV-07, INV-08.

vMix runs on Windows and could not be had: `Vmix` is a double that follows the public documentation of its HTTP interface
(GET /api/ is the state as XML; GET /api/?Function=NAME&Input=…&Value=… does something and answers 200, or 500 for what it does not know).
"""

import http.server
import json
import os
import re
import shutil
import subprocess
import threading
import urllib.parse

import yaml

from cli import Cli
from fabric import Skip, sha256, wait_for
from tests_calls import WHY, Background, programs, waiting
from tests_capabilities import allow, publisher, signed_manifest
from tests_tokens import bearer, token
from tests_vault import put

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Yaml(yaml.SafeLoader):
    """As the project reads it: a bare `on` is text (YAML 1.2)."""


Yaml.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in those if tag != "tag:yaml.org,2002:bool"] for first, those in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Yaml.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), "tf")


class Server:
    """One HTTP server; seen: (method, path with query, headers, body)."""

    def __init__(self, answer):
        self.seen = []
        seen = self.seen

        class Handler(http.server.BaseHTTPRequestHandler):
            def go(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                seen.append((self.command, self.path, dict(self.headers), body))
                status, kind, data = answer(self.command, self.path, body)
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(b"" if self.command == "HEAD" else data)

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = go

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Vmix:
    STATE = """<vmix><version>26.0.0.45</version><edition>4K</edition><inputs>
<input key="a" number="1" type="Capture" title="Intro" state="Paused">Intro</input>
<input key="b" number="2" type="NDI" title="NDI Cam &amp; 1" state="Running">Cam</input></inputs>
<preview>%d</preview><active>%d</active><recording>%s</recording><streaming channel1="%s">%s</streaming></vmix>"""
    KNOWN = {"Cut", "Fade", "PreviewInput", "Transition1", "Transition2", "Transition3", "Transition4", "AddInput", "RemoveInput", "PTZHome",
             "StartStreaming", "StopStreaming", "StartRecording", "StopRecording", "SetVolume", "AudioOff", "AudioOn",
             "PTZMoveToVirtualInputPositionByIndex"}  # fmt: skip
    KNOWN |= {f"OverlayInput{n}{way}" for n in "1234" for way in ("In", "Out")} | {"PTZMove" + d for d in ("Up", "Down", "Left", "Right", "Stop")}
    INPUTS = {"1": 1, "2": 2, "Intro": 1, "NDI Cam & 1": 2}

    def __init__(self):
        self.active, self.preview, self.recording, self.streaming, self.calls = 2, 1, False, False, []

    def answer(self, method, path, _body):
        url = urllib.parse.urlsplit(path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True, strict_parsing=bool(url.query)))
        if method != "GET" or url.path != "/api/":
            return 404, "text/plain", b"no"
        if not query:
            flags = (self.preview, self.active, self.recording, self.streaming, self.streaming)
            return 200, "text/xml", (self.STATE % flags).encode()
        if query["Function"] not in self.KNOWN or query.get("Input", "1") not in self.INPUTS:
            return 500, "text/plain", b"Function not found."
        self.calls.append(query)
        if query["Function"] in ("Cut", "Fade"):
            self.active = self.INPUTS[query["Input"]]
        self.recording = {"StartRecording": True, "StopRecording": False}.get(query["Function"], self.recording)
        self.streaming = {"StartStreaming": True, "StopStreaming": False}.get(query["Function"], self.streaming)
        return 200, "text/plain", b"Function completed successfully."


def ready(f, name, host, server, scopes=(), config=(), secrets=(), change=None, source=None, settings=None):
    """The adapter, built, its manifest for this server, signed and allowed; a talent that may use it; its token. change: of the manifest, before that.
    source: its folder, where it is none of adapters/; settings: more of ifd.yaml."""
    programs()
    build = [os.path.join(ROOT, "adapters", "build"), name] if source is None else [os.path.join(ROOT, "sdk", "guest-c", "build"), f"{source}/guest.c", "-o"]
    source = source or os.path.join(ROOT, "adapters", name)
    if shutil.which("clang") is None or shutil.which("wasm-ld") is None:
        raise Skip("clang and lld are not installed: no guest can be built")
    folder = os.path.join(f.dir, "capabilities")
    os.makedirs(folder, mode=0o755, exist_ok=True)
    at = os.path.join(folder, name + ".wasm")
    done = subprocess.run([*build, at], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    os.chmod(at, 0o644)
    with open(os.path.join(source, "manifest.yaml")) as text:
        m = yaml.load(text.read().replace(host, "127.0.0.1"), Yaml)
    with open(at, "rb") as module:
        data = module.read()
    m["entrypoint"].update({"sha256": sha256(data), "size": len(data)})
    origin = f"http://127.0.0.1:{server.port}"
    for row in m["http"]:
        row.update({"scheme": row["scheme"].replace("https", "http"), "port": server.port})
    for secret in m.get("requires_secrets", []):
        scheme = secret["origin"].split(":")[0]
        secret["origin"] = origin if scheme.startswith("http") else f"{scheme}://127.0.0.1:{server.port}"
    m["limits"].update({"rps": 1000, "burst": 1000})
    for operation in m["operations"].values():
        for parameter in operation.get("params", {}).get("properties", {}).values():
            if "://127.0.0.1" in str(parameter.get("default", "")):
                parameter["default"] = parameter["default"].replace("://127.0.0.1", f"://127.0.0.1:{server.port}")
                parameter["enum"] = [parameter["default"]]
    if change is not None:
        change(m)
    f.configure({
        "capabilities.config": [f"{name} {key} {value}" for key, value in config],
        "egress.allow": [f"{name} 127.0.0.1/32 {server.port}"],
        **(settings or {}),
    })  # fmt: skip
    with open(os.path.join(f.dir, "rules.yaml"), "w") as rules:
        rules.write(f"v: 1\nrules: []\ncapabilities:\n  - {{id: all, effect: share, when: {{capability: {name}}}}}\n")
    f.restart()
    for secret, value in secrets:
        assert put(f, secret, value, origin).status == 201
    key = publisher(f, name="Studio", namespaces=("*",))
    r = allow(f, signed_manifest(key, m))
    assert r.status == 200, r
    f.enrol("Studio.Agent")
    for scope in ("if://capability/" + name, *scopes):
        assert f.admin("/v1/talents/Studio.Agent/grants", {"scope": scope}).status == 200
    return bearer(token(f, "Studio.Agent")[0])


def plan(f, head, name, operation, params):
    return f.post(f"/v1/capabilities/{name}/plan", {"operation": operation, "params": params, "why": "the show"}, head)


def call(f, head, name, operation, params=None, mode="apply"):
    r = plan(f, head, name, operation, params or {})
    assert r.status == 201, (operation, r)
    return f.post(f"/v1/capabilities/{name}/apply", {"plan_hash": r.json["plan_hash"], "mode": mode}, head)


def close_breaker(f, name):
    """After failures that were meant: the next one is to be seen too."""
    r = f.post("/v1/breakers/reset", {"breaker": "capability:" + name, "why": "the test meant it"})
    assert r.status in (200, 404, 409), r  # there is none yet; it is closed


class Client:
    """Of one capability: what an agent with this token calls."""

    def __init__(self, f, head, name):
        self.f, self.head, self.name = f, head, name

    def __call__(self, operation, mode="apply", **params):
        return call(self.f, self.head, self.name, operation, params, mode)

    def done(self, operation, **params):
        r = self(operation, **params)
        assert r.status == 200, (operation, params, r)
        return r.json["result"]

    def planned(self, operation, **params):
        return plan(self.f, self.head, self.name, operation, params)


class Cards:
    """ifctl, of an agent that may use a capability and of the operator who approves."""

    def __init__(self, f, name, *scopes):
        self.f, self.cli, self.name = f, Cli(f), name
        self.cli.wants(0, "talent", "add", "Desk.Agent", "--owner", "alice", "--new-key", *WHY)
        for scope in ("if://capability/" + name, *scopes):
            self.cli.wants(0, "talent", "grant", "Desk.Agent", "--scope", scope, *WHY)

    def words(self, operation, params):
        flags = [word for name, value in params.items() for word in ("--" + name, value if isinstance(value, str) else json.dumps(value))]
        return ("capability", "apply", self.name, *operation, *flags, *WHY, "--as", "Desk.Agent", "-o", "json")

    def approved(self, operation, **params):
        run = Background(self, *self.words((operation,), params))
        item = wait_for(lambda: waiting(self), 30, "its message")
        self.cli.wants(0, "decision", "approve", item["id"], "--yes", *WHY)
        done = run.end()
        assert done.code == 0, done
        return done.json["result"]


def test_the_manifests_are_read_as_they_stand(f):
    adapters = os.path.join(ROOT, "adapters")
    names = [name for name in sorted(os.listdir(adapters)) if os.path.isdir(os.path.join(adapters, name))]
    for name in names:
        shown = Cli(f).wants(0, "capability", "inspect", os.path.join(adapters, name, "manifest.yaml"), "-o", "json").json
        assert shown["id"] == "if://capability/" + name, (name, shown)
        with open(os.path.join(adapters, "README.md")) as text:
            assert f"({name}/README.md)" in text.read(), name
    assert len(names) >= 4


def test_a_template_is_what_its_manifest_says(f):
    def answer(method, path, body):
        if path == "/items/missing":
            return 404, "application/json", b"{}"
        if path == "/items/broken":
            return 503, "text/plain", b"later"
        return 200, "application/json", json.dumps({"path": path, "method": method, "got": body.decode()}).encode()

    with Server(answer) as server:
        head = ready(f, "http.template", "api.example", server)
        r = call(f, head, "http.template", "item", {"item": "a b&c"})
        assert r.status == 200 and r.json["result"]["body"]["path"] == "/items/a%20b%26c", r
        r = call(f, head, "http.template", "note", {"item": "7", "text": 'say "hi"\n'})
        assert r.status == 200 and server.seen[-1][0] == "POST" and json.loads(server.seen[-1][3]) == {"text": 'say "hi"\n'}, r
        sent = len(server.seen)
        for params in ({"item": "1", "url": "http://127.0.0.1:1/"}, {"item": "1", "method": "POST"}, {"item": "1", "body": "x"}):
            assert plan(f, head, "http.template", "item", params).code == 208  # what the template fixes is nobody's to change
        for item in ("../x", "a/b", "..", ".", "%2e%2e", "a\\b", "a\x00"):  # one segment, or it goes nowhere; seven are more than a breaker bears
            assert plan(f, head, "http.template", "item", {"item": item}).code == 208, item
        assert len(server.seen) == sent
        assert call(f, head, "http.template", "item", {"item": "missing"}).code == 208
        assert call(f, head, "http.template", "item", {"item": "broken"}).code == 503
        r = call(f, head, "http.template", "item", {"item": "1"}, mode="dry-run")
        assert r.status == 200 and r.json["mode"] == "dry-run", r  # its row is marked read
        sent = len(server.seen)
        assert call(f, head, "http.template", "note", {"item": "1", "text": "x"}, mode="dry-run").status >= 400
        assert len(server.seen) == sent
        health = f.post("/v1/capabilities/http.template/health", {})  # a template has no operation that could ask: not known, whatever the calls met
        assert (health.json["healthy"], health.json["result"], health.json["breaker"]) == (None, None, "closed") and "not known" in health.json["why"], health
        assert wait_for(lambda: call(f, head, "http.template", "item", {"item": "broken"}).code == 303, 30)
        assert len(server.seen) >= sent + 4
        health = f.post("/v1/capabilities/http.template/health", {})
        assert (health.json["healthy"], health.json["breaker"]) == (None, "open"), health
        said = Cli(f).wants(0, "capability", "health", "http.template").out
        assert re.search(r"^healthy +unknown$", said, re.M) and re.search(r"^breaker +open$", said, re.M), said
        assert Cli(f).json("capability", "health", "http.template")["healthy"] is None
        f.verify()


def test_vmix_has_its_27_commands(f):
    vmix = Vmix()
    with Server(vmix.answer) as server:
        config = [("VMIX_URL", f"http://127.0.0.1:{server.port}")]
        head = ready(f, "vmix.switcher", "vmix.example", server, scopes=("studio:control",), config=config)

        assert plan(f, head, "vmix.switcher", "cut", {"scene": "場" * 128}).status == 201  # as long as its schema lets it be

        def do(operation, **params):
            r = call(f, head, "vmix.switcher", operation, params)
            assert r.status == 200, (operation, r)
            return r.json["result"], vmix.calls[-1] if vmix.calls else None

        r = f.post("/v1/capabilities/vmix.switcher/plan", {"params": {"scene": "Intro"}, "why": "the show"}, head)  # the seed's form: cut
        assert r.status == 201 and r.json["operation"] == "cut" and r.json["summary"] == "cut to Intro", r
        assert do("cut", scene="Intro")[1] == {"Function": "Cut", "Input": "Intro"} and vmix.active == 1
        assert do("fade", scene="NDI Cam & 1", duration_ms=250)[1] == {"Function": "Fade", "Input": "NDI Cam & 1", "Duration": "250"}
        assert do("preview", scene="1")[1]["Function"] == "PreviewInput"
        assert do("transition", number=3)[1] == {"Function": "Transition3"}
        assert do("overlay", scene="1", number=2, on=False)[1] == {"Function": "OverlayInput2Out", "Input": "1"}
        assert do("ndi-add", source="STUDIO (Cam 2)")[1] == {"Function": "AddInput", "Value": "NDI|STUDIO (Cam 2)"}
        assert do("ndi-remove", scene="2")[1] == {"Function": "RemoveInput", "Input": "2"}
        assert do("ndi-list")[0]["inputs"] == [{"number": "2", "state": "Running", "title": "NDI Cam & 1", "type": "NDI"}]
        do("stream-start")
        assert do("stream-status")[0] == {"streaming": True}
        do("stream-stop")
        assert do("stream-status")[0] == {"streaming": False}
        do("record-start")
        assert do("record-status")[0] == {"recording": True}
        do("record-stop")
        assert do("status")[0] == {"active": "2", "preview": "1", "recording": False, "streaming": False, "version": "26.0.0.45"}
        assert [i["title"] for i in do("inputs")[0]["inputs"]] == ["Intro", "NDI Cam & 1"]
        assert do("state")[0]["xml"].startswith("<vmix>") and do("test")[0] == {"version": "26.0.0.45"}
        assert do("audio-volume", scene="1", volume=40)[1] == {"Function": "SetVolume", "Input": "1", "Value": "40"}
        assert do("audio-mute", scene="1")[1]["Function"] == "AudioOff" and do("audio-unmute", scene="1")[1]["Function"] == "AudioOn"
        assert do("add", name="main")[0] == {"instances": ["main"]} and do("add", name="spare")[0] == {"instances": ["main", "spare"]}
        assert do("remove", name="main")[0] == do("list")[0] == {"instances": ["spare"]}
        for operation, params in (("ptz-move", {"scene": "1", "direction": "Up"}), ("ptz-preset", {"scene": "1", "preset": 3}), ("ptz-home", {"scene": "1"})):
            r = plan(f, head, "vmix.switcher", operation, params)  # cameras move: nobody does that alone
            assert r.status == 201 and r.json["decision"] == "ESCALATE", r
            assert f.post("/v1/capabilities/vmix.switcher/apply", {"plan_hash": r.json["plan_hash"]}, head).code == 3
        cards = Cards(f, "vmix.switcher", "studio:control")
        for operation, params, want in (
            ("ptz-move", {"scene": "1", "direction": "Up"}, {"Function": "PTZMoveUp", "Input": "1"}),
            ("ptz-preset", {"scene": "1", "preset": 3}, {"Function": "PTZMoveToVirtualInputPositionByIndex", "Input": "1", "Value": "3"}),
            ("ptz-home", {"scene": "1"}, {"Function": "PTZHome", "Input": "1"}),
        ):
            cards.approved(operation, **params)
            assert vmix.calls[-1] == want, vmix.calls[-1]
        vmix.active = 2
        done = cards.cli.wants(0, *cards.words((), {"scene": "Intro"}))  # as a person says it
        assert done.json["operation"] == "cut" and vmix.calls[-1] == {"Function": "Cut", "Input": "Intro"} and vmix.active == 1, done
        assert call(f, head, "vmix.switcher", "cut", {"scene": "no such"}).code == 208  # vMix's 500 for an input that it does not know
        assert call(f, head, "vmix.switcher", "cut", {"scene": "1"}, mode="dry-run").status >= 400  # every row is a write
        health = f.post("/v1/capabilities/vmix.switcher/health", {})
        assert health.status == 200 and health.json["healthy"] is None and health.json["breaker"] == "closed", health  # only a call asks vMix
        with open(os.path.join(ROOT, "adapters", "vmix.switcher", "manifest.yaml")) as text:
            assert len(yaml.load(text, Yaml)["operations"]) == 27
        f.verify()

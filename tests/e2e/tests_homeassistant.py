"""adapters/homeassistant.core: its 29 commands against a double, and the same house against a real Home Assistant where there is one. INV-06, INV-08, INV-09.

`Double` follows the public documentation of the REST API (developers.home-assistant.io/docs/api/rest): states, config, events, services, camera_proxy; 401
without the token, 404 for what it does not know, 400 for a service or values that it does not take, 500 for what a service refuses itself. A real one is
hass on the PATH or IFAB_HASS=/path/to/hass (pip install homeassistant==2024.3.3 'josepy<2'; minutes, so CI has none); what it needs for its
integrations it fetches itself at its first start. What is asked of a house is asked of its own API, beside the adapter.
"""

import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request

import yaml

from fabric import TMP, Skip, wait_for
from tests_adapters import ROOT, Cards, Client, Server, Yaml, ready
from tests_adapters_refused import MORE, of_breakers
from tests_calls import Background, waiting
from tests_s3 import free_port
from tests_vault import rotate

NAME = "homeassistant.core"
PICTURE = b"\x89PNG\r\n\x1a\n\0\xff"
WHY = ("--why", "the evening")
PHYSICAL = {
    "service": {"domain": "lock", "service": "unlock", "entity": "lock.front_door"},
    "automation-trigger": {"entity": "automation.evening"},
    "automation-enable": {"entity": "automation.evening"},
    "automation-disable": {"entity": "automation.evening"},
    "script-run": {"entity": "script.greet"},
    "scene-activate": {"entity": "scene.night"},
    "event-fire": {"event": "evening"},
}


class House:
    """Whatever answers the REST API: asked by the test itself."""

    token, port = None, None

    def ask(self, method, path, body=None, form=None):
        data = urllib.parse.urlencode(form).encode() if form else None if body is None else json.dumps(body).encode()
        head = {"content-type": "application/x-www-form-urlencoded" if form else "application/json"}
        if self.token:
            head["authorization"] = "Bearer " + self.token
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, head, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read())

    def state(self, entity):
        return self.ask("GET", "/api/states/" + entity)["state"]


class Double(House):
    """A house on paper: entities and what its services make of them."""

    # domain/service: the state that it leads to (a function of the body), or None where nothing is seen of it
    SERVICES = {
        "input_number/set_value": lambda body: str(float(body["value"])),
        "input_text/set_value": lambda body: body["value"],
        "input_select/select_option": lambda body: body["option"],
        "lock/lock": lambda _: "locked",
        "lock/unlock": lambda _: "unlocked",
        "automation/trigger": None,
        "script/turn_on": None,
        "scene/turn_on": None,
        "camera/play_stream": None,
        "tts/speak": None,
        "notify/notify": None,
        "notify/persistent_notification": None,
        "media_player/media_play": lambda _: "playing",
        "media_player/play_media": lambda _: "playing",
        "media_player/media_pause": lambda _: "paused",
        "media_player/media_stop": lambda _: "idle",
    }
    SWITCHED = ("light", "switch", "fan", "automation", "media_player", "input_boolean")
    SERVICES |= {f"{domain}/turn_on": lambda _: "on" for domain in SWITCHED} | {f"{domain}/turn_off": lambda _: "off" for domain in SWITCHED}

    def __init__(self):
        self.token = "eyDouble.0f9e8d7c6b5a49382716.sgn"
        self.calls, self.broken, self.forbidden, self.states = [], None, None, {}
        for entity, state, more in (
            ("light.hall", "off", {}), ("light.gone", "unavailable", {}), ("switch.pump", "off", {}), ("fan.attic", "off", {}),
            ("input_boolean.lamp", "off", {}), ("input_number.level", "0.0", {}), ("input_select.mode", "day", {"options": ["day", "night"]}),
            ("input_text.note", "", {}), ("lock.front_door", "locked", {}), ("climate.bath", "off", {}), ("cover.garage", "closed", {}),
            ("automation.evening", "on", {}), ("script.greet", "off", {}), ("scene.night", "unknown", {}), ("camera.door", "idle", {"access_token": "ab" * 32}),
            ("media_player.radio", "off", {}), ("tts.voice", "unknown", {}),
        ):  # fmt: skip
            name = entity.split(".")[1].replace("_", " ").capitalize()
            attributes = {"friendly_name": name, **more}
            self.states[entity] = {"entity_id": entity, "state": state, "attributes": attributes, "last_changed": "2026-01-01T00:00:00+00:00"}

    def __enter__(self):
        self.server = Server(self.answer)
        self.server.__enter__()
        self.port = self.server.port
        return self

    def __exit__(self, *args):
        self.server.__exit__(*args)

    def answer(self, method, path, body):
        head = {name.lower(): value for name, value in self.server.seen[-1][2].items()}
        if head.get("authorization") != "Bearer " + self.token:
            return 401, "text/plain", b"401: Unauthorized"
        if self.forbidden is not None and self.forbidden in path:
            return 403, "text/plain", b"403: Forbidden"
        if self.broken is not None:
            return self.broken, "text/plain", b"later"
        rest = path.removeprefix("/api/").split("/")
        status, value = self.post(rest, json.loads(body)) if method == "POST" else self.get(rest)
        if isinstance(value, bytes):
            return status, "image/png", value
        return status, "application/json", json.dumps(value).encode()

    def get(self, rest):
        if rest == [""]:
            return 200, {"message": "API running."}
        if rest == ["config"]:
            return 200, {"location_name": "House", "time_zone": "UTC", "version": "2024.3.3", "state": "RUNNING", "safe_mode": False, "recovery_mode": False,
                         "unit_system": {"temperature": "°C"}, "components": ["api"], "latitude": 0, "longitude": 0}  # fmt: skip
        if rest == ["events"]:
            return 200, [{"event": "evening", "listener_count": 1}]
        if rest == ["states"]:
            return 200, list(self.states.values())
        if len(rest) == 2 and rest[0] == "states" and rest[1] in self.states:
            return 200, self.states[rest[1]]
        if rest == ["camera_proxy", "camera.door"]:
            return 200, PICTURE
        return 404, {"message": "Entity not found."}

    def post(self, rest, body):
        if rest[0] == "events" and len(rest) == 2:
            self.calls.append(("/".join(rest), body))
            return 200, {"message": f"Event {rest[1]} fired."}
        service = "/".join(rest[1:])
        if rest[0] != "services" or service not in self.SERVICES or "nonsense" in body:
            return 400, {"message": "Bad Request"}
        if rest[1] == "input_select" and body["option"] not in self.states[body["entity_id"]]["attributes"]["options"]:
            return 500, {"message": "Server got itself in trouble"}
        self.calls.append((service, body))
        entity = self.states.get(body.get("entity_id"))
        if entity is None:
            return 200, []  # as the real one: nothing done, and no error
        if self.SERVICES[service] is not None:
            entity["state"] = self.SERVICES[service](body)
        return 200, [entity]


CONFIGURATION = """
homeassistant: {name: House, allowlist_external_dirs: [%(dir)s]}
http: {server_host: 127.0.0.1, server_port: %(port)d}
api:
onboarding:
auth:
notify:
input_boolean: {lamp: {name: Lamp}}
input_number: {level: {min: 0, max: 100}}
input_text: {note: {name: Note}, played: {name: Played}}
input_select: {mode: {options: [day, night]}}
light:
  - platform: template
    lights:
      hall:
        friendly_name: Hall
        value_template: "{{ is_state('input_boolean.lamp', 'on') }}"
        turn_on: {service: input_boolean.turn_on, target: {entity_id: input_boolean.lamp}}
        turn_off: {service: input_boolean.turn_off, target: {entity_id: input_boolean.lamp}}
      gone:
        availability_template: "{{ false }}"
        turn_on: {service: input_boolean.turn_on, target: {entity_id: input_boolean.lamp}}
        turn_off: {service: input_boolean.turn_off, target: {entity_id: input_boolean.lamp}}
lock:
  - platform: template
    name: Front door
    value_template: "{{ is_state('input_text.note', 'locked') }}"
    lock: {service: input_text.set_value, target: {entity_id: input_text.note}, data: {value: locked}}
    unlock: {service: input_text.set_value, target: {entity_id: input_text.note}, data: {value: unlocked}}
automation:
  - id: evening
    alias: Evening
    trigger: [{platform: event, event_type: evening}]
    action: [{service: input_number.set_value, target: {entity_id: input_number.level}, data: {value: 77}}]
script:
  greet: {sequence: [{service: input_number.set_value, target: {entity_id: input_number.level}, data: {value: "{{ level | default(33) }}"}}]}
scene: [{name: Night, entities: {input_select.mode: night}}]
camera: [{platform: local_file, name: Door, file_path: %(dir)s/door.png}]
media_player:
  - platform: universal
    name: Radio
    commands:
      media_play: {service: input_text.set_value, target: {entity_id: input_text.played}, data: {value: play}}
      media_pause: {service: input_text.set_value, target: {entity_id: input_text.played}, data: {value: pause}}
      media_stop: {service: input_text.set_value, target: {entity_id: input_text.played}, data: {value: stop}}
"""


class Real(House):
    """Home Assistant itself, with a house of helpers and templates; its first user comes by its own onboarding."""

    def __enter__(self):
        program = os.environ.get("IFAB_HASS") or shutil.which("hass")
        if not program:
            raise Skip("no Home Assistant: neither hass on the PATH nor IFAB_HASS")
        self.dir = tempfile.mkdtemp(prefix="hass-", dir=TMP)
        self.port = free_port()
        with open(os.path.join(self.dir, "door.png"), "wb") as picture:
            picture.write(PICTURE)
        with open(os.path.join(self.dir, "configuration.yaml"), "w") as text:
            text.write(CONFIGURATION % {"dir": self.dir, "port": self.port})
        self.log = open(os.path.join(self.dir, "out"), "wb")  # noqa: SIM115
        self.process = subprocess.Popen([program, "-c", self.dir], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True)
        try:
            wait_for(self.answers, 420, "Home Assistant")
            client = f"http://127.0.0.1:{self.port}/"
            user = {"client_id": client, "name": "T", "username": "t", "password": "correct-horse-battery", "language": "en"}
            code = self.ask("POST", "/api/onboarding/users", user)["auth_code"]
            form = {"grant_type": "authorization_code", "code": code, "client_id": client}
            self.token = self.ask("POST", "/auth/token", form=form)["access_token"]
            wait_for(lambda: self.ask("GET", "/api/config")["state"] == "RUNNING", 120, "a running house")
        except BaseException:
            self.__exit__()
            raise
        return self

    def answers(self):
        assert self.process.poll() is None, "Home Assistant ended: " + open(self.log.name, errors="replace").read()[-2000:]  # noqa: SIM115
        try:
            return self.ask("GET", "/api/onboarding")
        except OSError:
            return None

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.dir)


class Agent(Client):
    def __init__(self, f, house, secret=None):
        self.house = house
        config = [("HA_URL", f"http://127.0.0.1:{house.port}/")]
        head = ready(f, NAME, "homeassistant.example", house, scopes=("house:control",), config=config, secrets=[("HA_TOKEN", secret or house.token)])
        super().__init__(f, head, NAME)

    def approver(self):
        return Cards(self.f, NAME, "house:control")


def a_house(do, house):
    """What is true of every house with these things in it."""
    # reads
    assert do.done("test") == {"message": "API running."}
    assert do.done("status")["state"] == "RUNNING" and do.done("status")["version"] == do.done("info")["version"] == do.done("config")["version"]
    assert do.done("info")["location_name"] == "House" and do.done("info")["time_zone"] == "UTC"
    every = {e["entity"]: e for e in do.done("entities")["entities"]}
    assert every["light.hall"] == {"entity": "light.hall", "name": "Hall", "state": "off"} and every["lock.front_door"]
    assert {e["entity"] for e in do.done("entities", domain="light")["entities"]} == {"light.hall", "light.gone"}
    for kind, entity in (("automation", "automation.evening"), ("script", "script.greet"), ("scene", "scene.night"), ("camera", "camera.door")):
        assert [e["entity"] for e in do.done(kind + "-list")["entities"]] == [entity], kind
    assert "evening" in [e["event"] for e in do.done("event-list")]
    state = do.done("state", entity="light.hall")
    assert state["state"] == "off" and state["attributes"]["friendly_name"] == "Hall", state
    picture = do.done("camera-snapshot", entity="camera.door")
    assert base64.b64decode(picture["image_b64"]) == PICTURE and picture["content_type"] == "image/png"
    token = do.done("state", entity="camera.door")["attributes"]["access_token"]
    assert "REDACTED" in token, token  # good for the camera's stream, for whoever has it
    # what is set is so
    changed = do.done("set", entity="light.hall", state="on")["changed"]
    assert {"entity": "light.hall", "name": "Hall", "state": "on"} in changed and house.state("light.hall") == "on", changed
    do.done("set", entity="light.hall", state="off")
    assert house.state("light.hall") == "off"
    do.done("set", entity="input_boolean.lamp", state="on")
    do.done("set", entity="input_number.level", state="12.5")
    do.done("set", entity="input_select.mode", state="night")
    do.done("set", entity="input_text.note", state='say "hi" é')
    got = [house.state(e) for e in ("input_boolean.lamp", "input_number.level", "input_select.mode", "input_text.note")]
    assert got == ["on", "12.5", "night", 'say "hi" é'], got
    do.done("media-play", entity="media_player.radio")
    do.done("media-pause", entity="media_player.radio")
    do.done("media-stop", entity="media_player.radio")
    do.done("notify", message="the evening begins", title="House", target="persistent_notification")
    # the caller's mistakes: more of them than a breaker bears, and it still works
    for operation, params in (
        ("state", {"entity": "light.none"}), ("set", {"entity": "light.none", "state": "on"}), ("set", {"entity": "light.gone", "state": "on"}),
        ("set", {"entity": "input_select.mode", "state": "dusk"}), ("camera-snapshot", {"entity": "camera.none"}),
        ("notify", {"message": "x", "target": "nobody"}),
        ("camera-stream", {"entity": "camera.door", "player": "media_player.none"}), ("media-play", {"entity": "media_player.none"}),
        ("tts", {"entity": "tts.none", "player": "media_player.radio", "message": "x"}),
    ):  # fmt: skip
        r = do(operation, **params)
        assert r.code == 208, (operation, params, r)
    assert do("state", mode="dry-run", entity="light.hall").status == 200
    before = house.state("light.hall")
    assert do("set", mode="dry-run", entity="light.hall", state="off").status >= 400 and house.state("light.hall") == before
    # what may move, open or start something waits, whatever the rules say
    for operation, params in PHYSICAL.items():
        r = do.planned(operation, **params)
        assert r.status == 201 and r.json["decision"] == "ESCALATE", (operation, r)
        assert do.f.post(f"/v1/capabilities/{NAME}/apply", {"plan_hash": r.json["plan_hash"]}, do.head).code == 3
    s = do.approver()
    s.approved("service", domain="lock", service="lock", entity="lock.front_door")
    assert house.state("lock.front_door") == "locked"
    s.approved("service", domain="lock", service="unlock", data={"entity_id": "lock.front_door"})
    assert house.state("lock.front_door") == "unlocked"
    s.approved("automation-disable", entity="automation.evening")
    assert house.state("automation.evening") == "off"
    s.approved("automation-enable", entity="automation.evening")
    assert house.state("automation.evening") == "on"
    return s


def test_its_29_commands(f):
    # INV-06 INV-09
    with open(os.path.join(ROOT, "adapters", NAME, "manifest.yaml")) as text:
        operations = yaml.load(text, Yaml)["operations"]
    assert len(operations) == 29 and {name for name, o in operations.items() if o["effect"] == "physical"} == set(PHYSICAL)
    with Double() as house:
        do = Agent(f, house)
        s = a_house(do, house)
        assert not any(b"dusk" in body for _, _, _, body in house.server.seen)  # what is no option is not tried

        def sent():
            return house.calls[-1]

        s.approved("automation-trigger", entity="automation.evening")
        assert sent() == ("automation/trigger", {"entity_id": "automation.evening"})
        s.approved("script-run", entity="script.greet", data={"level": 5})
        assert sent() == ("script/turn_on", {"entity_id": "script.greet", "variables": {"level": 5}})
        s.approved("scene-activate", entity="scene.night")
        assert sent() == ("scene/turn_on", {"entity_id": "scene.night"})
        s.approved("event-fire", event="evening", data={"who": "me"})
        assert sent() == ("events/evening", {"who": "me"})
        do.done("set", entity="light.hall", state="on", brightness_pct=40)
        assert sent() == ("light/turn_on", {"entity_id": "light.hall", "brightness_pct": 40})
        for entity in ("switch.pump", "fan.attic", "media_player.radio"):
            do.done("set", entity=entity, state="on")
            assert sent() == (entity.split(".")[0] + "/turn_on", {"entity_id": entity})
        do.done("camera-stream", entity="camera.door", player="media_player.radio")
        assert sent() == ("camera/play_stream", {"entity_id": "camera.door", "media_player": "media_player.radio"})
        do.done("media-play", entity="media_player.radio", content="http://radio.example/1.mp3")
        played = {"entity_id": "media_player.radio", "media_content_id": "http://radio.example/1.mp3", "media_content_type": "music"}
        assert sent() == ("media_player/play_media", played)
        do.done("tts", entity="tts.voice", player="media_player.radio", message="good night")
        spoken = {"entity_id": "tts.voice", "media_player_entity_id": "media_player.radio", "message": "good night"}
        assert sent() == ("tts/speak", spoken)
        do.done("notify", message="m")
        assert sent() == ("notify/notify", {"message": "m"})
        assert do.done("add", name="main") == {"instances": ["main"]} and do.done("add", name="spare") == {"instances": ["main", "spare"]}
        assert do.done("remove", name="main") == do.done("list") == {"instances": ["spare"]} and do("remove", name="main").code == 208
        assert not f.grep(house.token.encode(), f.root)
        f.verify()


def test_what_is_not_one_thing_is_refused_in_the_plan(f):
    # INV-08
    with Double() as house:
        do = Agent(f, house)
        for entity in ("light.hall,lock.front_door", "all", "light.*", "light.", ".hall", "light.hall/../../config", "light.a.b", "Light.hall", "light.hall ",
                       "light.h\u0430ll", "light.%61"):  # fmt: skip
            assert do.planned("state", entity=entity).code == 208 and do.planned("set", entity=entity, state="on").code == 208, entity
        for domain in ("lock", "climate", "cover", "valve", "alarm_control_panel", "water_heater", "siren", "vacuum", "button", "script", "automation",
                       "scene", "group", "homeassistant"):  # fmt: skip
            assert do.planned("set", entity=domain + ".x", state="on").code == 208, domain
        for operation, params in (
            ("set", {"entity": "light.hall", "state": "toggle"}), ("set", {"entity": "light.hall", "state": "off", "brightness_pct": 5}),
            ("set", {"entity": "switch.pump", "state": "on", "brightness_pct": 5}),
            ("set", {"entity": "input_number.level", "state": '1,"entity_id":"all"'}),
            ("set", {"entity": "input_number.level", "state": " 1"}), ("set", {"entity": "input_number.level", "state": ""}),
            ("automation-trigger", {"entity": "script.greet"}), ("script-run", {"entity": "lock.front_door"}), ("scene-activate", {"entity": "light.hall"}),
            ("camera-snapshot", {"entity": "light.hall"}), ("media-play", {"entity": "lock.front_door"}),
            ("tts", {"entity": "tts.voice", "player": "lock.x", "message": "x"}),
            ("service", {"domain": "lock", "service": "unlock/x"}), ("service", {"domain": "lock/../../events", "service": "x"}),
            ("service", {"domain": "lock", "service": "lock", "entity": "lock.front_door", "data": {"entity_id": "all"}}),
            ("event-fire", {"event": "a/b"}), ("event-fire", {"event": "a?b"}), ("notify", {"message": "x", "target": "../lock/unlock"}),
            ("entities", {"domain": "a/b"}),
        ):  # fmt: skip
            assert do.planned(operation, **params).code == 208, (operation, params)
        assert house.server.seen == []
        assert do.done("set", entity="light.hall", state="on")
        f.verify()


def test_whose_fault_it_is(f):
    # INV-09
    with Double() as house:
        wrong = "eyWrong.0f9e8d7c6b5a49382716.sgn"
        do = Agent(f, house, wrong)
        r = do("status")
        assert r.code == 503 and "token" in r.error["message"], r
        assert rotate(f, "HA_TOKEN", house.token).status == 200
        for status, code in ((404, 503), (429, 503), (302, 503)):  # without a word of the caller's in it, 404 is none of the caller's
            house.broken = status
            assert do("config").code == code, status
        house.broken = None
        do.done("status")  # good again: the breaker begins anew
        s = do.approver()
        before = len(house.calls)
        for _ in range(6):  # 400, and what a service refuses itself, is the call's own
            what = ("--domain", "input_select", "--service", "select_option", "--entity", "input_select.mode", "--data", '{"option": "dusk"}')
            run = Background(s, "capability", "apply", NAME, "service", *what, *WHY, "--as", "Desk.Agent", "-o", "json")
            s.cli.wants(0, "decision", "approve", wait_for(lambda: waiting(s), 30, "its message")["id"], "--yes", *WHY)
            done = run.end()
            assert "IF_ERR_208" in done.err, done
        assert len(house.calls) == before and do.done("status")["state"] == "RUNNING"
        for value in (wrong, house.token):
            assert not f.grep(value.encode(), f.root)
        f.verify()


def test_what_one_may_not_see_is_not_shut_for_others(f):
    with Double() as house:
        do = Agent(f, house)
        house.forbidden = "/light.hall"
        for _ in range(MORE):  # of what the caller named: the house stands open
            for operation, params in (("state", {}), ("set", {"state": "on"})):
                r = do(operation, entity="light.hall", **params)
                assert r.code == 208 and "forbids this" in r.error["message"], r
        assert of_breakers(f, NAME) in ([], ["closed"]) and do.done("set", entity="switch.pump", state="on")
        house.forbidden = "/api/"  # everything, as to an address that is banned: somebody must mend that
        for operation, params in (("state", {"entity": "switch.pump"}), ("status", {})):
            r = do(operation, **params)
            assert r.code == 503 and "forbids all" in r.error["message"], r
        house.forbidden = None
        do.done("status")
        asked = len(house.server.seen)
        assert rotate(f, "HA_TOKEN", "eyWrong.0f9e8d7c6b5a49382716.sgn").status == 200
        assert do("state", entity="switch.pump").code == 503 and len(house.server.seen) == asked + 1  # a wrong token is shown once: it counts toward a ban


def test_a_real_one(f):
    # INV-06 INV-09
    with Real() as house:
        do = Agent(f, house)
        s = a_house(do, house)
        assert house.state("input_text.played") == "stop"  # the last of play, pause and stop
        s.approved("script-run", entity="script.greet", data={"level": 5})
        wait_for(lambda: house.state("input_number.level") == "5.0", 20, "what the script does")
        s.approved("event-fire", event="evening")
        wait_for(lambda: house.state("input_number.level") == "77.0", 20, "what the automation does")
        s.approved("script-run", entity="script.greet")
        wait_for(lambda: house.state("input_number.level") == "33.0", 20, "what the script does by itself")
        s.approved("automation-trigger", entity="automation.evening")
        wait_for(lambda: house.state("input_number.level") == "77.0", 20, "what the automation does")
        do.done("set", entity="input_select.mode", state="day")
        s.approved("scene-activate", entity="scene.night")
        wait_for(lambda: house.state("input_select.mode") == "night", 20, "what the scene says")
        assert rotate(f, "HA_TOKEN", "eyWrong.0f9e8d7c6b5a49382716.sgn").status == 200
        assert do("status").code == 503
        assert not f.grep(house.token.encode(), f.root)
        f.verify()
        return "Home Assistant " + house.ask("GET", "/api/config")["version"]

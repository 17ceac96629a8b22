"""obs.studio: against the real OBS Studio where it is installed, and against a double of obs-websocket 5 for what OBS would not do. INV-08, INV-09."""

import json
import os
import time

import yaml

from fabric import Fabric
from obs import Obs, own_network
from tests_adapters import ROOT, Yaml, call, close_breaker, plan, ready
from tests_vault import put, rotate
from websocket import CLOSE, WebSocketServer, fresh, obs_answer

PASSWORD = "canary-91ab4c77de"


def studio(f, server, password=PASSWORD):
    url = f"ws://127.0.0.1:{server.port}"
    head = ready(f, "obs.studio", "obs.example", server, scopes=("studio:control",), config=[("OBS_URL", url)])
    if password is not None:
        r = put(f, "OBS_PASSWORD", password, url)
        assert r.status == 201, r
    return head


def settles(condition):
    """Not wait_for: each look is a plan, and a talent has 64 of them."""
    for _ in range(18):
        if condition():
            return
        time.sleep(0.5)
    raise AssertionError("it does not settle")


class Studio:
    """The real OBS, a fabric beside it, and an agent that may use it."""

    def __init__(self, password=PASSWORD):
        own_network()
        self.real = Obs(PASSWORD)
        try:
            self.f = Fabric()
            self.f.start()
            self.head = studio(self.f, self.real, password)
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.real.close()
        if hasattr(self, "f"):
            self.f.close()

    def call(self, operation, mode="apply", **params):
        return call(self.f, self.head, "obs.studio", operation, params, mode=mode)

    def refused(self, operation, **params):
        r = self.call(operation, **params)
        assert r.status >= 400, (operation, r)
        return r

    def do(self, operation, **params):
        r = self.call(operation, **params)
        assert r.status == 200, (operation, r, self.real.log("obs"))
        return r.json["result"]


def test_the_real_obs_shows_what_it_is_told():
    with Studio("another-password") as s:
        do, refused, f = s.do, s.refused, s.f
        wrong = refused("test")
        assert wrong.code == 503 and "refused the password" in wrong.error["message"], wrong
        assert rotate(f, "OBS_PASSWORD", PASSWORD).status == 200
        assert do("version")["rpcVersion"] == 1 and do("test")["obsVersion"].count(".") == 2
        # scenes
        assert do("scene-current")["currentProgramSceneName"] == "Scene"
        assert do("scene-create", scene="Intro \u00fc \"1\"") == {}
        do("scene-create", scene="Talk")
        assert {i["sceneName"] for i in do("scene-list")["scenes"]} == {"Scene", "Talk", "Intro \u00fc \"1\""}
        r = f.post("/v1/capabilities/obs.studio/plan", {"params": {"scene": "Talk"}, "why": "the show"}, s.head)  # the default operation
        assert r.status == 201 and (r.json["operation"], r.json["summary"]) == ("scene-switch", "switch to Talk"), r
        do("scene-switch", scene="Talk")
        assert do("scene-current")["currentProgramSceneName"] == "Talk"
        assert refused("scene-create", scene="Talk").code == 208  # there is one
        assert refused("scene-switch", scene="no such").code == 208
        # sources
        red = {"color": 4278190335, "width": 64, "height": 64}
        assert do("source-add", scene="Talk", source="Red", kind="color_source_v3", settings=red)["sceneItemId"] >= 1
        assert refused("source-add", scene="Talk", source="X", kind="no_such_kind").code == 208
        assert [i["inputName"] for i in do("source-list")["inputs"] if i["inputKind"] == "color_source_v3"] == ["Red"]

        def shown():
            return [i["sceneItemEnabled"] for i in do("source-list", scene="Talk")["sceneItems"] if i["sourceName"] == "Red"]

        assert shown() == [True]
        do("source-hide", scene="Talk", source="Red")
        assert shown() == [False]
        do("source-show", scene="Talk", source="Red")
        assert shown() == [True]
        assert refused("source-show", scene="Talk", source="Blue").code == 208
        # filters
        do("filter-add", source="Red", filter="Grade", kind="color_filter_v2", settings={"saturation": 0.5})
        filters = do("filter-list", source="Red")["filters"]
        assert [(i["filterName"], i["filterKind"], i["filterSettings"]) for i in filters] == [("Grade", "color_filter_v2", {"saturation": 0.5})], filters
        do("filter-remove", source="Red", filter="Grade")
        settles(lambda: do("filter-list", source="Red")["filters"] == [])
        # media and browser
        film = os.path.join(s.real.home, "none.mp4")
        do("media-add", scene="Talk", source="Film", file=film, loop=True)
        for act in ("play", "pause", "stop"):
            assert do("media-" + act, source="Film") == {}
        assert refused("media-play", source="Nothing").code == 208
        browser = s.call("browser-add", scene="Talk", source="Page", url="http://127.0.0.1:1/", width=640)
        assert browser.status == 200 or browser.code == 208, browser  # Debian's OBS is built without the browser
        do("source-remove", scene="Talk", source="Film")
        settles(lambda: "Film" not in [i["sourceName"] for i in do("source-list", scene="Talk")["sceneItems"]])
        do("scene-remove", scene="Talk")
        settles(lambda: "Talk" not in [i["sceneName"] for i in do("scene-list")["scenes"]])  # in a thread of its own
        assert f.grep(PASSWORD.encode()) == [] and PASSWORD not in s.real.log("obs")
        f.verify()


def test_the_real_obs_records_and_tells_how_it_is():
    with Studio() as s:
        do, f = s.do, s.f
        assert do("record-status")["outputActive"] is False
        do("record-start")
        settles(lambda: do("record-status")["outputActive"])  # OBS says yes before it does
        assert do("record-start") == {}  # it is so already
        assert do("status")["recording"] is True
        assert do("record-stop")["outputPath"].startswith(s.real.home)
        settles(lambda: not do("record-status")["outputActive"])  # and writes the file to its end
        assert do("stream-status")["outputActive"] is False and do("stream-stop") == {}
        for operation in ("virtualcam-status", "virtualcam-start", "virtualcam-stop"):
            r = s.call(operation)
            assert r.status == 200 or r.code == 208, r  # where the kernel has no loopback camera, OBS says so
        assert {"cpuUsage", "memoryUsage"} <= set(do("stats"))
        now = do("status")
        assert now == {"recording": False, "scene": "Scene", "streaming": False, "version": do("version")["obsVersion"]}, now
        assert do("add", name="main") == {"instances": ["main"]} and do("list") == {"instances": ["main"]} and do("remove", name="main") == {"instances": []}
        assert s.call("scene-list", mode="dry-run").status >= 400  # a row cannot tell what is said in a WebSocket
        assert f.post("/v1/capabilities/obs.studio/health", {}).json["healthy"] is None  # only a call asks OBS
        with open(os.path.join(ROOT, "adapters", "obs.studio", "manifest.yaml")) as text:
            assert len(yaml.load(text, Yaml)["operations"]) == 34
        assert f.grep(PASSWORD.encode()) == [] and PASSWORD not in s.real.log("obs")
        f.verify()


class Double:
    """Of obs-websocket 5, as protocol.md says; `change` may do otherwise."""

    def __init__(self, password=PASSWORD):
        self.password = password
        self.streaming = False
        self.requests = []
        self.change = None

    def script(self, peer):
        peer.handshake()
        if self.change is not None and self.change(self, peer):
            return
        if not self.hello(peer):
            peer.leave(4009)
            return
        peer.send(json.dumps({"op": 5, "d": {"eventType": "X", "eventIntent": 1}}))  # nobody has subscribed to it
        peer.send(json.dumps({"op": 2, "d": {"negotiatedRpcVersion": 1}}))
        while (got := peer.receive())[0] != CLOSE:
            self.answer(peer, json.loads(got[1]))

    def hello(self, peer):
        salt, challenge = fresh(), fresh()
        hello = {"obsWebSocketVersion": "5.1.0", "rpcVersion": 1}
        if self.password is not None:
            hello["authentication"] = {"challenge": challenge, "salt": salt}
        peer.send(json.dumps({"op": 0, "d": hello}))
        op, data = peer.receive()
        if op == CLOSE:
            return True
        identify = json.loads(data)
        assert identify["op"] == 1 and identify["d"]["rpcVersion"] == 1, identify
        want = None if self.password is None else obs_answer(self.password, salt, challenge)
        return identify["d"].get("authentication") == want

    def answer(self, peer, message):
        assert message["op"] == 6, message
        request = message["d"]
        self.requests.append((request["requestType"], request["requestData"]))
        codes = {"StartStream": 500 if self.streaming else 100, "StopStream": 100 if self.streaming else 501, "GetStats": 207, "GetSceneList": 702}
        self.streaming = {"StartStream": True, "StopStream": False}.get(request["requestType"], self.streaming)
        code = codes.get(request["requestType"], 100)
        d = {"requestType": request["requestType"], "requestStatus": {"result": code == 100, "code": code, "comment": "because"}}
        peer.send(json.dumps({"op": 7, "d": dict(d, requestId="another")}))
        peer.send(json.dumps({"op": 7, "d": dict(d, requestId=request["requestId"], responseData={"outputActive": self.streaming})}))


def test_obs_studio_with_a_double_for_what_obs_does_not_do(f):
    double = Double()
    with WebSocketServer(double.script) as server:
        head = studio(f, server, None)

        def do(operation, **params):
            return call(f, head, "obs.studio", operation, params)

        r = do("test")
        assert r.code == 206 and f"no secret OBS_PASSWORD for ws://127.0.0.1:{server.port}" in r.error["message"], r
        double.password = None  # one that asks for none
        assert do("stream-status").json["result"] == {"outputActive": False}
        double.password = PASSWORD
        assert put(f, "OBS_PASSWORD", PASSWORD, f"ws://127.0.0.1:{server.port}").status == 201
        assert do("stream-start").status == do("stream-start").status == 200 and do("stream-status").json["result"] == {"outputActive": True}
        assert do("stream-stop").status == do("stream-stop").status == 200
        double.requests.clear()
        assert do("browser-add", scene="A", source="B", url="http://x/?a=\"&b", height=2).status == 200
        settings = {"url": "http://x/?a=\"&b", "width": 1920, "height": 2}
        assert double.requests == [("CreateInput", {"sceneName": "A", "inputName": "B", "inputKind": "browser_source", "inputSettings": settings})]
        for operation in ("virtualcam-start", "virtualcam-stop", "virtualcam-status"):
            assert do(operation).status == 200
        assert [name for name, _ in double.requests[1:]] == ["StartVirtualCam", "StopVirtualCam", "GetVirtualCamStatus"]
        assert do("stats").code == 503 and do("scene-list").code == 503  # not ready; could not
        r = plan(f, head, "obs.studio", "source-show", {"scene": "A", "source": "B"})
        assert r.json["summary"] == "show the source B in A", r

        def odd(make):
            def change(_self, peer):
                make(peer)
                return True

            double.change = change
            r = do("test")
            close_breaker(f, "obs.studio")
            return r

        assert odd(lambda peer: peer.leave(4000)).code == 503
        assert odd(lambda peer: None).code == 503  # drops the connection
        assert odd(lambda peer: peer.send("no JSON") or peer.receive()).code == 503
        assert odd(lambda peer: peer.send(b"\1\2", 2) or peer.receive()).code == 503
        assert odd(lambda peer: peer.send('{"op":0,"d":{"rpcVersion":0}}') or peer.receive()).code == 503
        assert odd(lambda peer: peer.send("[" * 100 + "]" * 100) or peer.receive()).code == 503
        assert odd(lambda peer: peer.send("x" * (512 * 1024 + 1)) or peer.receive()).code == 503  # larger than the manifest says
        assert odd(lambda peer: [peer.send('{"op":5,"d":{}}') for _ in range(100)] and peer.receive()).code == 503  # only events
        r = odd(lambda peer: peer.send(json.dumps({"op": 0, "d": {"rpcVersion": 1, "was": PASSWORD}})) or peer.receive())
        assert r.code == 501, r  # it says the password: withheld, a violation
        assert odd(lambda peer: peer.receive()).code in (502, 503)  # says nothing at all
        double.change = None
        assert do("stream-status").status == 200  # none of it harmed anybody else
        assert f.grep(PASSWORD.encode()) == []
        f.verify()

"""Every send ends in exactly one accepted message, whatever happens to its connections. Prints TAP.

    python3 live_chaos.py BUILD python|js [SECONDS]

python needs PyNaCl and rfc8785; js needs IFAB_JS_SDK, a copy of sdk/js with its packages installed. A fabric of its own, ten talents, a
hundred agents at once. Between them and the daemon stands a relay that kills or stalls connections at random moments: before the
request has passed, while it is decided, within the answer. Meanwhile the daemon itself is killed (kill -9) and started again, twice and more
the longer it runs. Some agents also abort on their own. In the end the log is counted: each id that an agent sent stands there once, nothing
else does, and each sender's numbers grow.

SECONDS, or IFAB_CHAOS_SECONDS: how long they send (8).
"""
import asyncio
import collections
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SDK = os.path.join(HERE, "..", "..", "sdk", "python")
TALENTS, INSTANCES = 10, 10
COUNT = {"n": 0, "failed": 0}


def check(condition, name):
    COUNT["n"] += 1
    COUNT["failed"] += not condition
    print("ok" if condition else "not ok", COUNT["n"], "-", name, flush=True)


class Relay:
    """A Unix socket before the daemon's. Each connection draws its life when it begins; it ends by a kill of both sides or by silence."""

    def __init__(self, path, daemon, seed):
        self.path, self.daemon, self.random, self.ends = path, daemon, random.Random(seed), collections.Counter()
        self.ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True).start()
        self.ready.wait(10)

    async def _main(self):
        async with await asyncio.start_unix_server(self._serve, self.path, backlog=512):
            self.ready.set()
            await asyncio.Event().wait()

    async def _pump(self, source, target):
        try:
            while data := await source.read(65536):
                if self.random.random() < .02:  # a piece gets through, the rest never does
                    target.write(data[:self.random.randrange(len(data))])
                    await target.drain()
                    self.ends["cut"] += 1
                    return
                target.write(data)
                await target.drain()
        except OSError:
            return

    async def _serve(self, reader, writer):
        up = None
        try:
            below, up = await asyncio.open_unix_connection(self.daemon)
            pumps = [asyncio.create_task(self._pump(reader, up)), asyncio.create_task(self._pump(below, writer))]
            life = self.random.expovariate(1 / (.02 if self.random.random() < .4 else .5))
            await asyncio.wait(pumps, timeout=life, return_when=asyncio.FIRST_COMPLETED)
            how = self.random.choice(("kill", "kill", "stall", "deaf"))
            self.ends[how] += 1
            if how == "stall":  # nothing moves any more, and nobody is told
                for p in pumps:
                    p.cancel()
                await asyncio.sleep(.8)
            elif how == "deaf":  # the request still gets through, the answer does not
                pumps[1].cancel()
                await asyncio.sleep(.05)
            for p in pumps:
                p.cancel()
        except OSError:
            self.ends["refused"] += 1
        finally:
            for w in (writer, up):
                if w is not None:
                    w.transport.abort()


class Place:
    """ifctl init, talents with keys, ifd, relay."""

    def __init__(self, build, seed):
        self.root = tempfile.mkdtemp(prefix="ifab-chaos-")
        self.dir, self.build = os.path.join(self.root, "f"), build
        self.env = {**os.environ, "IFAB_DIR": self.dir, "IFAB_WHY": "chaos", "XDG_STATE_HOME": self.root, "XDG_CONFIG_HOME": self.root}
        for name in ("IFAB_ENDPOINT", "IFAB_AS", "IFAB_KEY"):
            self.env.pop(name, None)
        self.ctl("init", self.dir, "--http", "127.0.0.1:0")
        self.kills, self.random, self.daemon = 0, random.Random(seed + 1), self.start()
        self.names = [f"Chaos.{i}" for i in range(TALENTS)]
        for name in self.names:
            self.ctl("talent", "add", name, "--new-key")
        self.relay = Relay(self.root + "/relay", self.dir + "/run/ifd.sock", seed)
        self.agents = [{"talent": f"{name}/w{i}", "key": f"{self.dir}/keys/{name}.pem"} for name in self.names for i in range(INSTANCES)]

    def start(self):
        with open(self.root + "/ifd.log", "ab") as log:
            daemon = subprocess.Popen([os.path.join(self.build, "ifd"), "--config", self.dir + "/ifd.yaml"], stdout=subprocess.PIPE, stderr=log, text=True)
        if not daemon.stdout.readline().startswith("ready"):
            daemon.kill()
            with open(self.root + "/ifd.log", encoding="utf-8") as log:
                raise RuntimeError(log.read())
        return daemon

    def kill_now_and_then(self, moments):
        """kill -9 at each of these moments (seconds from now), then another daemon over the same directory and socket."""
        began = time.monotonic()
        for moment in moments:
            time.sleep(max(0, began + moment - time.monotonic()))
            self.daemon.kill()
            self.daemon.wait()
            self.daemon.stdout.close()
            self.daemon = self.start()
            self.kills += 1

    def under_kills(self, seconds):
        """A thread that kills the daemon once in each part of these seconds, at a random moment of it."""
        parts = max(2, seconds // 10)
        moments = [(i + self.random.uniform(.1, .9)) * seconds / parts for i in range(parts)]
        thread = threading.Thread(target=self.kill_now_and_then, args=(moments,), daemon=True)
        thread.start()
        return thread, parts

    def ctl(self, *args):
        command = [os.path.join(self.build, "ifctl"), *args]
        done = subprocess.run(command, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"ifctl {args}: {done.stdout}{done.stderr}")
        return done.stdout

    def log(self):
        """Every entry, page by page, from the daemon itself."""
        entries, cursor = [], None
        while cursor is not None or not entries:
            page = json.loads(self.ctl("witness", "query", "--limit", "1000", "-o", "json", *(["--cursor", cursor] if cursor else [])))
            entries += page["items"]
            cursor = page["next"]
        return entries

    def close(self):
        self.daemon.terminate()
        self.daemon.wait(20)
        self.daemon.stdout.close()
        shutil.rmtree(self.root, ignore_errors=True)


def python_agents(place, seconds):
    """A hundred threads. Each result: {"id", "index", "unknown": how often the outcome was unknown}."""
    sys.path.insert(0, SDK)
    os.environ["XDG_STATE_HOME"] = place.root
    from infrafabric import Fabric, OutcomeUnknown
    from infrafabric import fabric as module
    module.DELAYS = (.02, .05, .1)
    results, begun, end = [], collections.Counter(), time.monotonic() + seconds

    def run(agent):
        f = Fabric("unix:" + place.relay.path, talent=agent["talent"], key=agent["key"], timeout=.5, retries=2)
        while time.monotonic() < end:
            begun["n"] += 1
            unknown, again = 0, None
            while True:
                try:
                    r = f.send_bytes(*again) if again else f.send("x", confidence=.9, scope={"a": 1})
                    break
                except OutcomeUnknown as e:
                    unknown, again = unknown + 1, (e.id, e.body)
            results.append({"id": r.id, "index": r.entry["index"], "decision": r.decision, "unknown": unknown, "replayed": r.replayed})

    threads = [threading.Thread(target=run, args=(a,)) for a in place.agents]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
    return results, begun["n"] - len(results)


def js_agents(place, seconds):
    """The same in one process of node, which prints a line for each result and then one with the number of sends that never ended."""
    program = os.path.join(os.environ.get("IFAB_JS_SDK") or os.path.join(HERE, "..", "..", "sdk", "js"), "test", "agents.mjs")
    job = json.dumps({"endpoint": "unix:" + place.relay.path, "agents": place.agents, "seconds": seconds})
    done = subprocess.run(["node", program], input=job, capture_output=True, text=True, timeout=seconds + 180, check=False)
    sys.stdout.write("".join(f"# {line}\n" for line in done.stderr.splitlines()[:40]))
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return (lines[:-1], lines[-1]["open"]) if done.returncode == 0 and lines else ([], TALENTS * INSTANCES)


def main(build, language, seconds):
    seed = int(os.environ.get("IFAB_SEED") or time.time_ns() % 1000000)
    print(f"# seed {seed}, {seconds} s, {TALENTS * INSTANCES} agents")
    place = Place(build, seed)
    try:
        killer, kills = place.under_kills(seconds)
        results, still_open = (python_agents if language == "python" else js_agents)(place, seconds)
        killer.join(120)
        check(place.kills == kills and place.daemon.poll() is None, f"the daemon was killed {kills} times and came back each time")
        logged = [e for e in place.log() if e["type"] == "message" and e.get("payload", {}).get("decision")]
        ids, sent = collections.Counter(e["subject"] for e in logged), collections.Counter(r["id"] for r in results)
        print(f"# {len(results)} sends, {sum(r['unknown'] for r in results)} times unknown, {sum(r['replayed'] for r in results)} replayed,"
              f" {sum(r.get('aborted', 0) for r in results)} aborted; relay: {dict(place.relay.ends)}")
        check(still_open == 0 and len(results) > TALENTS * INSTANCES, f"{language}: every send of a hundred agents ends")
        lost = any(r["unknown"] or r["replayed"] for r in results)
        check(place.relay.ends["kill"] > 20 and lost, "connections really were killed, and answers lost")
        once = set(sent.values()) == {1} and sent == ids  # INV-03
        check(once, "each ended in exactly one accepted message: the log holds these ids once, and no other")
        places = {e["subject"]: e["index"] for e in logged}
        check(all(places.get(r["id"]) == r["index"] for r in results), "each receipt names the place where it stands")
        last = collections.defaultdict(int)
        grows = True
        for e in sorted(logged, key=lambda e: e["index"]):
            header = e["payload"]["header"]
            grows, last[header["sender"]] = grows and header["seq"] > last[header["sender"]], header["seq"]
        check(grows and len(last) == TALENTS * INSTANCES, "the numbers of each sender grow in the log")
    finally:
        place.close()
    print(f"1..{COUNT['n']}")
    return 1 if COUNT["failed"] else 0


if __name__ == "__main__":
    length = sys.argv[3] if len(sys.argv) > 3 else os.environ.get("IFAB_CHAOS_SECONDS") or "8"
    sys.exit(main(os.path.abspath(sys.argv[1]), sys.argv[2], int(length)))

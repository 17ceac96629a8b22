"""Rows of tasks: claims beside other durable stores, hand-over, fairness, many open ones. The clients are one Go program, bench/claims."""
import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

from report import figure, in_turns, not_measured, note, numbers, ratio, row

HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = [("redis", "Redis"), ("postgres", "PostgreSQL"), ("etcd", "etcd"), ("nats", "JetStream KV")]
CLIENTS, CLAIMS, ROUNDS = 32, 12800, 3
FAIR_MS, FAIR_RATE, FLOOD = 4000, 10, 5000
SWARMS, OPEN = 1000, 100000
OVER_SOCKET = ["durable claim, 1 client, over the socket", "durable claim, 32 clients over the socket", "create -> in the worker's hand", "blocker -> helper assigned",
               "50 swarms, one flooding", "1,000 swarms, 100,000 open tasks"]


class Harness:
    """bench/claims at work on one target; see main.go."""

    def __init__(self, b, *target):
        self.process = subprocess.Popen([os.path.join(b.programs, "claims"), *target], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        word, _, self.told = self.process.stdout.readline().strip().partition(" ")
        self.absent = word == "absent"
        if word not in ("ready", "absent"):
            self.close()
            raise RuntimeError(f"claims {target[0]} did not get ready")

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        said = []
        for line in self.process.stdout:
            if line == "end\n":
                return numbers("".join(said))
            said.append(line)
        raise RuntimeError(f"claims ended at {words}")

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


def build_harness(b):
    """Why it could not be built; None when it was. Packages go to the Go module cache, nothing into the source tree."""
    if shutil.which("go") is None:
        return "no go"
    done = subprocess.run(["go", "build", "-buildvcs=false", "-o", os.path.join(b.programs, "claims"), "."], cwd=os.path.join(HERE, "claims"), text=True,
                          env={**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600, check=False)
    return None if done.returncode == 0 else "bench/claims could not be built: " + " ".join(done.stdout.split())[-200:]


def middle(samples, key):
    return sorted(samples, key=key)[len(samples) // 2]


def in_process(b):
    samples = [b.durable(lambda: b.program("claim", os.path.join(tempfile.mkdtemp(dir=b.dir), "f"), 600)) for _ in range(ROUNDS)]
    for what in ("claim", "complete"):
        got, raw = middle(samples, lambda s, w=what: s[0][w + "_p50_us"] / s[1])
        row(f"durable {what}, 1 client, in process", got[what + "_p50_us"], "us p50", "raw", raw, ("<=", 1.25),
            f"p99 {got[what + '_p99_us']:.0f} us; {got['cpu_us']:.0f} us CPU an act")


def one_client(b, h):
    def sample():
        h.ask("fill", 500)
        return {**h.ask("run", 1, 500), **h.ask("echo", 3000)}
    samples = [b.durable(sample) for _ in range(ROUNDS)]
    for what in ("claim", "complete"):
        def limit(s):
            return 1.25 * s[1] + 1.3 * s[0]["echo_p50_us"]
        got, raw = middle(samples, lambda s, w=what: s[0][w + "_p50_us"] / limit(s))
        row(f"durable {what}, 1 client, over the socket", got[what + "_p50_us"], "us p50", f"1.25 x raw {raw:.0f} + 1.3 x echo {got['echo_p50_us']:.0f}",
            limit((got, raw)), ("<=", 1), f"p99 {got[what + '_p99_us']:.0f} us")


def race(b, h, daemon):
    """Median of the rounds by throughput; with the daemon's CPU, when it is ours, in us."""
    def sample():
        h.ask("fill", CLAIMS)
        before = b.cpu() if daemon else 0
        got = h.ask("run", CLIENTS, CLAIMS)
        return {**got, "rate": CLAIMS / got["seconds"], "daemon_us": (b.cpu() - before) / 1000 / CLAIMS if daemon else 0}
    return middle([b.durable(sample) for _ in range(ROUNDS)], lambda s: s[0]["rate"])


def peers(b):
    """{name: claims a second} of those that are installed; a row for each that is not."""
    rates = {}
    for word, name in PEERS:
        note(f"claims: {name}")
        h = Harness(b, word, b.sub("peer-" + word), tempfile.mkdtemp(dir=b.run_dir))
        if h.absent:
            not_measured(f"durable claim, 32 clients: {name}", f"not run: {h.told}")
        else:
            rates[h.told] = race(b, h, False)[0]["rate"]
        h.close()
        shutil.rmtree(os.path.join(b.dir, "peer-" + word))  # the disk is for the next one
    return rates


def many_clients(b, h):
    got, raw = race(b, h, True)
    rates = peers(b)
    told = "; ".join(f"{name} {rate:.0f}/s" for name, rate in rates.items())
    name = "durable claim, 32 clients over the socket"
    work = "each is a claim and its complete"
    if rates:
        best = max(rates, key=rates.get)
        row(name, got["rate"], "claims/s", best, rates[best], (">=", 1), f"{work}; {told}; clients run on the same cores, {got['client_cpu_us']:.0f} us CPU a claim here")
    else:
        figure(name, got["rate"], "claims/s", f"{work}; no peer is installed to compare with (bench/peers)")
    row(name + ": CPU", got["daemon_us"] / 2, "us CPU of ifd/act", "bar", 30, ("<=", 1), f"a claim or a complete; {got['daemon_us']:.0f} us for both")
    row(name + ": p99", got["claim_p99_us"], "us p99", "raw", raw, ("<=", 15), f"p50 {got['claim_p50_us']:.0f} us; complete p99 {got['complete_p99_us']:.0f} us")


def hand_over(b, h):
    got, raw = b.durable(lambda: h.ask("hand", 500))
    figure("create -> in the worker's hand", got["hand_p50_us"], "us p50", f"p99 {got['hand_p99_us']:.0f} us; a long poll waits, two commits; raw {raw:.0f} us")
    got, raw = b.durable(lambda: h.ask("rescue", 300))
    row("blocker -> helper assigned", got["rescue_p99_us"] / 1e3, "ms p99", "bar", 60, ("<=", 1), f"p50 {got['rescue_p50_us'] / 1e3:.2f} ms; a long poll waits; raw {raw:.0f} us")


def fairness(b, h):
    note("50 swarms, one flooding")
    h.ask("fair", 1000, FAIR_RATE, 0)  # warm
    full, _ = b.durable(lambda: h.ask("fair", FAIR_MS, 0, FLOOD))
    row("50 swarms, one flooding: Jain index", full["jain"], "of tasks done", "equal shares", 1, (">=", .9),
        f"all as fast as they can, {full['rate']:.0f} tasks/s in all; {FLOOD:,} more creates/s for one of them: {full['flood_accepted']:.0f} accepted, "
        f"{full['flood_refused']:.0f} refused")
    alone, beside, again = in_turns(lambda flood: h.ask("fair", FAIR_MS, FAIR_RATE, flood)["claim_p95_us"], (0, FLOOD, 0), 7)
    row("50 swarms, one flooding: claim p95 of the others", statistics.median(beside), "us p95", "without the flood", statistics.median(alone), ("<=", 1.1),
        f"{FAIR_RATE} tasks/s a swarm, {FLOOD:,} more creates/s for one of them over 8 connections, whose queue holds 2,000; median ratio of 7 pairs; "
        f"two without the flood: {ratio(again, alone):.2f}; clients run on the same cores", of_pairs=ratio(beside, alone))


def many_tasks(b, path):
    note(f"{SWARMS:,} swarms, {OPEN:,} open tasks")
    h = Harness(b, "fabric", b.socket)
    time.sleep(1)
    before = b.rss()
    h.ask("many", SWARMS, OPEN)
    time.sleep(1)  # what is on its way to tiles and index
    after = b.rss()
    row(f"RSS per open task, {SWARMS:,} swarms, {OPEN:,} tasks", (after - before) / OPEN, "B", "bar", 1536, ("<=", 1), f"{before / 2**20:.1f} MiB without, {after / 2**20:.1f} with them")
    got, raw = b.durable(lambda: h.ask("hop", SWARMS, 1000))
    figure(f"claim among {OPEN:,} open tasks", got["hop_p50_us"], "us p50", f"p99 {got['hop_p99_us']:.0f} us; 1 client, {SWARMS:,} swarms at random; raw {raw:.0f} us")
    h.close()
    times = []
    for _ in range(5):
        b.stop(signal.SIGKILL)
        times.append(b.start(path))
    figure(f"ready after kill -9, {OPEN:,} open tasks", statistics.median(times), "ms", f"{SWARMS:,} swarms, log of {2 * OPEN:,} entries")


def claims(b):
    note("claims in process")
    in_process(b)
    why = build_harness(b)
    if why is not None:
        for name in OVER_SOCKET:
            not_measured(name, "not run: " + why)
        return
    path = b.new_fabric("claims")
    b.configure(path)
    b.start(path)
    h = Harness(b, "fabric", b.socket)
    h.ask("fill", CLAIMS)
    h.ask("run", CLIENTS, CLAIMS)  # warm
    note("claims over the socket")
    one_client(b, h)
    hand_over(b, h)
    many_clients(b, h)
    fairness(b, h)
    h.close()
    b.stop()
    path = b.new_fabric("many")
    b.configure(path)
    b.start(path)
    many_tasks(b, path)
    b.stop()

"""Rows of capabilities: the engine and the pool beside bare Wasmtime, a hundred tenants and a noisy one, the whole governed action over the socket."""
import hashlib
import json
import os
import statistics
import subprocess
import time

from report import beside, in_turns, not_measured, note, ratio, row

ROUNDS = 9
TENANTS_MS = 2000
ACTIONS = 600
NOISES = [("loop", "an endless loop"), ("bomb", "growing its memory"), ("flood", "endless host calls")]
NAME = "bench.note"


def built(b, *names):
    """False, and a row for each, where the sandbox programs were not built."""
    if os.path.exists(os.path.join(b.programs, "bench_pool")):
        return True
    for name in names:
        not_measured(name, "not run: built without capabilities")
    return False


def folder(b):
    return os.path.join(b.build, "src/programs/if-sandbox"), os.path.join(b.build, "tests/guest.wasm")


def middle(samples):
    """Each figure's median over the samples."""
    return {key: statistics.median(s[key] for s in samples) for key in samples[0]}


def sandbox(b):
    note("sandbox")
    if not built(b, "fresh instance cycle", "warm capability call", "cold capability call", "capability calls a second"):
        return
    samples = [{**b.program("sandbox", *folder(b)), **b.program("pool", *folder(b), "calls")} for _ in range(3)]
    got = middle(samples)
    b.warm = got["pool_warm_us"]
    b.bare_warm = got["bare_cycle_us"]
    row("fresh instance cycle", got["cycle_us"], "us p50", "15 us", 15, ("<=", 1), f"bare Wasmtime {got['bare_cycle_us']:.1f}: store, instance, call, delete")
    row("warm capability call without I/O", got["pool_warm_us"], "us p50", "40 us", 40, ("<=", 1),
        f"through the daemon's pool; two processes that only answer each other over a socketpair take {got['exchange_us']:.0f}; on one core, where none sleeps between, "
        f"a call takes {got['one_core_warm_us']:.0f} and those {got['one_core_exchange_us']:.0f}; p99 {got['pool_warm_p99_us']:.0f}, {got['pool_warm_cpu_us']:.1f} us CPU of the pool; frames alone {got['warm_call_us']:.1f}, "
        f"with the null engine {got['null_call_us']:.1f}")
    beside("warm capability call", got["pool_warm_us"], "us p50", "bare Wasmtime, the same cycle in process", got["bare_cycle_us"], "two switches of process each")
    beside("capability call with one host call", got["pool_host_us"], "us p50", "bare Wasmtime, in process", got["bare_host_us"],
           f"p99 {got['pool_host_p99_us']:.0f}; four switches of process; {got['pool_host_us'] - got['pool_warm_us']:.1f} us more than without")
    beside("cold capability call", got["pool_cold_us"], "us p50", "bare Wasmtime: engine, artifact, link, instance, call", got["bare_cold_us"],
           f"process, load, walls, first call; p99 {got['pool_cold_p99_us']:.0f}; frames alone {got['cold_call_us']:.0f}; compiling it {got['prepare_us']:.0f}")
    for key, name, told in (("one_tenant", "capability calls, 1 tenant", "2 workers, 4 calls under way"),
                            ("hundred_tenants", "capability calls, 100 tenants", "a worker each, one call of each under way"),
                            ("hundred_few", "capability calls, 100 tenants, 64 workers", "a call of who has no worker ends another's and starts one")):
        beside(name, got[key + "_rate"], "calls/s", "bare Wasmtime, one thread", 1e6 / got["bare_cycle_us"],
               f"{told}; {got[key + '_cpu_us']:.1f} us CPU of the pool a call, workers run on the same cores")


def tenants(b):
    note("100 tenants and a noisy one")
    if not built(b, "100 tenants beside a noisy one: p95"):
        return

    def run(kind):
        got = b.program("pool", *folder(b), "tenants", kind, TENANTS_MS)
        if got["failed"] or got["turned_away"]:
            raise RuntimeError(f"{got['failed']:.0f} calls of others failed, {got['turned_away']:.0f} were turned away")
        return got
    for kind, told in NOISES:
        samples = in_turns(run, ("none", kind, "none"), ROUNDS)
        p95 = [[s["p95_us"] for s in column] for column in samples]
        alone, noisy = middle(samples[0]), middle(samples[1])
        row(f"100 tenants beside {told}: p95", noisy["p95_us"], "us p95", "without it", alone["p95_us"], ("<=", 1.05),
            f"500 calls/s of the hundred, a worker each; p50 {noisy['p50_us']:.0f} against {alone['p50_us']:.0f}, p99 {noisy['p99_us']:.0f} against {alone['p99_us']:.0f}; "
            f"the noisy one asks for 4 calls at any time and gets {noisy['noisy_calls']:.0f} in a sample; median ratio of {ROUNDS} pairs, two without it: {ratio(p95[2], p95[0]):.2f}", of_pairs=ratio(p95[1], p95[0]))


# --- the whole governed action ---
def manifest(b):
    with open(os.path.join(b.programs, "bench_guest.wasm"), "rb") as f:
        module = f.read()
    params = {"type": "object", "properties": {"number": {"type": "integer"}}}
    operations = {name: {"params": params, "effect": "write", "idempotent": True} for name in ("note", "keep")}
    return module, {
        "id": "if://capability/" + NAME, "version": "1.0.0", "summary": "notes a number", "operations": operations, "default_operation": "note", "imports": ["log", "kv_put"],
        "entrypoint": {"module": "note.wasm", "sha256": "sha256:" + hashlib.sha256(module).hexdigest(), "size": len(module), "abi": 1},
        "limits": {"rps": 10000, "burst": 10000},
    }


def stage(b):
    """A daemon whose talent may do it; the path of that talent's token."""
    path = b.new_fabric("actions")
    b.configure(path)
    module, m = manifest(b)
    at = os.path.join(path, "capabilities")
    os.makedirs(at, mode=0o755, exist_ok=True)
    with open(os.path.join(at, "note.wasm"), "wb") as f:
        f.write(module)
    with open(os.path.join(path, "rules.yaml"), "w", encoding="utf-8") as f:
        f.write(f"v: 1\nrules: []\ncapabilities:\n  - {{id: bench, effect: share, when: {{capability: {NAME}}}}}\n")
    b.start(path)
    env = {**os.environ, "IFAB_DIR": path, "IFAB_ENDPOINT": "unix:" + b.socket, "IFAB_WHY": "bench", "NO_COLOR": "1"}

    def ctl(*args):
        done = subprocess.run([os.path.join(b.build, "src/programs/ifctl/ifctl"), *args], env=env, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(f"ifctl {' '.join(args)}: {done.stderr}")
        return done.stdout
    key, draft, signed, token = (os.path.join(path, name) for name in ("publisher.pem", "note.json", "signed.json", "token"))
    made = json.loads(ctl("key", "new", "--out", key, "-o", "json"))
    ctl("publisher", "add", "Bench", "--pubkey", made["pubkey"], "--namespace", "bench")
    with open(draft, "w", encoding="utf-8") as f:
        json.dump(m, f)
    ctl("capability", "sign", draft, "--key", key, "--out", signed)
    ctl("capability", "allow", signed)
    ctl("talent", "add", "Bench.Agent", "--owner", "Bench", "--new-key")
    ctl("talent", "grant", "Bench.Agent", "--capability", m["id"])
    ctl("token", "create", "Bench.Agent", "--ttl", "1h", "--out", token)
    return token


def entries(b):
    return json.loads(b.get("/v1/fabric"))["size"]


def worker_cpu(b):
    """ns of CPU of the daemon's sandbox processes that live."""
    total = 0
    for pid in subprocess.run(["ps", "-o", "pid=", "--ppid", str(b.daemon.pid)], check=False, stdout=subprocess.PIPE, text=True).stdout.split():
        try:
            with open(f"/proc/{pid}/schedstat", encoding="ascii") as f:
                total += int(f.read().split()[0])
        except OSError:
            pass
    return total


def action(b):
    names = ("whole governed action", "governed apply")
    note("whole governed action")
    if not built(b, *names):
        return
    if not hasattr(b, "warm"):
        got = b.program("pool", *folder(b), "calls")
        b.warm, b.bare_warm = got["pool_warm_us"], b.program("sandbox", *folder(b))["bare_cycle_us"]
    token = stage(b)

    def act(operation):
        size, cpu, work = entries(b), b.cpu(), worker_cpu(b)
        got = b.program("act", b.socket, token, NAME, operation, ACTIONS)
        return {**got, "cpu_us": (b.cpu() - cpu) / 1e3 / ACTIONS, "work_us": (worker_cpu(b) - work) / 1e3 / ACTIONS, "entries": (entries(b) - size) / ACTIONS}
    for _ in range(3):
        act("note")  # warm: module, worker, a WAL that is written over
    time.sleep(.5)
    for operation, told in (("note", ""), ("keep", ", with one host call")):
        samples = [b.durable(lambda o=operation: act(o)) for _ in range(ROUNDS)]
        got, raw = sorted(samples, key=lambda s: s[0]["whole_p50_us"] / s[1])[ROUNDS // 2]
        limit = 2.6 * raw + b.bare + b.warm
        against = f"2.6 x raw {raw:.0f} + verify {b.bare:.0f} + warm call {b.warm:.0f}"
        used = f"{got['cpu_us']:.0f} us CPU of ifd and {got['work_us']:.0f} of its sandbox an action, {got['client_cpu_us']:.0f} of the client; {got['entries']:.2f} entries"
        row(f"whole governed action{told}", got["whole_p50_us"], "us p50", against, limit, ("<=", 1),
            f"plan -> apply -> receipt over the socket, one connection, three commits (plan; intent; outcome and its cost); plan {got['plan_p50_us']:.0f}, apply {got['apply_p50_us']:.0f}; {used}")
        row(f"whole governed action{told}: p99", got["whole_p99_us"], "us p99", "its p50", got["whole_p50_us"], ("<=", 5))
        row(f"governed apply{told}", got["apply_p50_us"], "us p50", against, limit, ("<=", 1), f"apply -> receipt, two commits (intent; outcome and its cost); p99 {got['apply_p99_us']:.0f}")
        bare = 2 * raw + b.bare_warm
        beside(f"governed apply{told}", got["apply_p50_us"], "us p50", f"2 x raw {raw:.0f} + bare Wasmtime {b.bare_warm:.0f}", bare)
    b.stop()

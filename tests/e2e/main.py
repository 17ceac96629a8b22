"""Runs the tests: each in a process of its own, JOBS at a time; TAP on stdout. Started by ./run."""

import importlib
import multiprocessing
import os
import signal
import sys
import time
import traceback

import fabric

MODULES = [
    "refusals",
    "access",
    "tokens",
    "tokens_cli",
    "roles",
    "money",
    "capabilities",
    "calls",
    "call_attacks",
    "calls_ends",
    "walls",
    "adapters",
    "adapters_refused",
    "canary",
    "ssrf",
    "sockets",
    "obs",
    "s3",
    "homeassistant",
    "roles_cli",
    "decisions",
    "tasks",
    "tasks_cli",
    "tasks_proofs",
    "tasks_bounds",
    "swarms",
    "rules",
    "tls",
    "certs",
    "floods",
    "streams",
    "crashes",
    "starts",
    "disks",
    "http_live",
    "readers",
    "erasure",
    "log_key",
    "vault",
    "export",
    "backups",
    "salvage",
    "upgrades",
    "shutdown",
    "journal",
    "doctor",
    "words",
    "cli",
    "cli_surface",
    "cli_hostile",
    "watch",
]
LIMIT = 600  # seconds a test


def tests():
    for name in MODULES:
        module = importlib.import_module("tests_" + name)
        for key, fn in vars(module).items():
            if key.startswith("test_") and fn.__module__ == module.__name__:
                yield f"{name}: {key[5:].replace('_', ' ')}", fn


def one(fn, pipe):
    """fn's parameter says what it wants: a running fabric, or nothing. fn.config: its settings."""
    result = ["ok", ""]
    try:
        if fn.__code__.co_argcount == 0:
            note = fn()
        else:
            with fabric.Fabric(getattr(fn, "config", None)) as f:
                if getattr(fn, "started", True):
                    f.start()
                try:
                    note = fn(f)
                    assert not getattr(fn, "started", True) or f.process is None or f.alive(), "the daemon has died"
                except BaseException:
                    sys.stderr.write("daemon's log:\n" + f.tail() + "\n")
                    raise
        result = ["ok", note or ""]
    except fabric.Skip as skip:
        result = ["skip", str(skip)]
    except BaseException:
        result = ["not ok", traceback.format_exc()]
    pipe.send(result)


def main():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores them for what it runs in the background, and so would its children
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    build, wanted, jobs = sys.argv[1], sys.argv[2], int(sys.argv[3])
    fabric.PROGRAM["build"] = build
    fabric.PROGRAM["ifd"] = os.path.join(build, "src/programs/ifd/ifd")
    fabric.PROGRAM["if-verify"] = os.path.join(build, "src/programs/if-verify/if-verify")
    fabric.PROGRAM["ifctl"] = os.path.join(build, "src/programs/ifctl/ifctl")
    todo = [(name, fn) for name, fn in tests() if wanted in name]
    print(f"1..{len(todo)}", flush=True)
    began, running, failed, number = time.monotonic(), [], 0, 0
    while todo or running:
        while todo and len(running) < jobs and not any(getattr(r[1], "alone", False) for r in running):
            if running and getattr(todo[0][1], "alone", False):
                break  # measures or fills something: nothing may run beside it
            name, fn = todo.pop(0)
            here, there = multiprocessing.Pipe(False)
            p = multiprocessing.Process(target=one, args=(fn, there))
            p.start()
            there.close()
            running.append((name, fn, p, here, time.monotonic()))
        multiprocessing.connection.wait([r[3] for r in running], timeout=1)
        for r in list(running):
            name, _, p, here, since = r
            spent = time.monotonic() - since
            if here.poll():
                try:
                    what, text = here.recv()
                except EOFError:
                    what, text = "not ok", "the test's process died"
            elif spent > LIMIT:
                p.terminate()
                what, text = "not ok", f"not done within {LIMIT} s"
            else:
                continue
            running.remove(r)
            p.join()
            number += 1
            failed += what == "not ok"
            sys.stdout.write("".join(f"# {line}\n" for line in text.splitlines()) if what != "skip" else "")
            line = f"ok {number} - {name} # SKIP {text}" if what == "skip" else f"{what} {number} - {name}"
            print(line, flush=True)
            print(f"# {spent:.1f} s", flush=True)
    print(f"# {number} tests, {failed} failed, {time.monotonic() - began:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    import multiprocessing.connection

    sys.exit(main())

"""A fabric to try things with (ifd --dev) and ifctl beside it. Standard library only."""
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time

WAIT = 60  # a hang is a failure; nothing is measured
MODERN, LEGACY = "2026-07-28", "2025-11-25"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def until(what):
    """What it returns, once that is true. A hang ends here."""
    end = time.monotonic() + WAIT
    while not (got := what()):
        assert time.monotonic() < end, "never came true"
        time.sleep(0.02)
    return got


def program(build, name):
    """build is what the build leaves, or its folder of programs."""
    for path in (os.path.join(build, "src/programs", name, name), os.path.join(build, name)):
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    sys.exit(f"no {name} in {build}")


class Fabric:
    def __init__(self, build):
        self.ifctl = program(build, "ifctl")
        self.home = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen([program(build, "ifd"), "--dev"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.env = {"PATH": os.environ["PATH"], "HOME": self.home.name, "XDG_STATE_HOME": self.home.name + "/state"}
        self.said = []
        thread = threading.Thread(target=self._listen, daemon=True)
        thread.start()
        line = self.process.stdout.readline()
        if not line.startswith("ready "):
            sys.exit(f"ifd --dev did not start: {line!r} {self.said}")
        while not any("IFAB_KEY" in x for x in self.said):
            thread.join(0.05)
        for words in (x.strip() for x in self.said):
            if words.startswith("export IFAB_"):
                name, value = words[len("export "):].split("=", 1)
                self.env[name] = value
        self.directory = self.env["IFAB_DIR"]
        self.operator("talent", "grant", "operator", "--scope", "guard:scope")

    def _listen(self):
        for line in self.process.stderr:
            self.said.append(line)

    def run(self, *args, **kw):
        env = {**self.env, **kw.pop("env", {})}
        return subprocess.run([self.ifctl, *args], env=env, capture_output=True, text=True, timeout=WAIT, check=False, **kw)

    def operator(self, *args):
        """As the operator, whose key lies in the directory."""
        done = self.run(*args, "--as", "operator", "--key", f"{self.directory}/keys/operator.pem", "--why", "test")
        assert done.returncode == 0, done.stderr
        return done

    def inbox(self, name):
        return json.loads(self.run("message", "inbox", "--as", name, "-o", "json", "--limit", "1000").stdout)["items"]

    def close(self):
        self.process.terminate()
        self.process.wait(WAIT)
        self.home.cleanup()


class Server:
    """ifctl mcp, spoken to line by line. Whatever comes out must be protocol."""

    def __init__(self, fabric, *args, env=None, talent="Demo.A", pass_fds=()):
        key = [] if talent == "Demo.A" else ["--key", f"{fabric.directory}/keys/{talent}.pem"]
        self.process = subprocess.Popen([fabric.ifctl, "mcp", "--as", talent, *key, *args], env={**fabric.env, **(env or {})},
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=pass_fds)
        self.lines, self.errors, self.raw, self.number = queue.Queue(), [], b"", 0
        self.readers = [threading.Thread(target=f, daemon=True) for f in (self._out, self._err)]
        for reader in self.readers:
            reader.start()
        self.other = []

    def _out(self):
        for line in self.process.stdout:
            self.raw += line
            try:
                message = json.loads(line)
                assert message["jsonrpc"] == "2.0" and line.endswith(b"\n"), line
            except (ValueError, AssertionError, KeyError, TypeError) as e:
                message = {"not protocol": repr(line), "why": repr(e)}
            self.lines.put(message)
        self.lines.put(None)

    def _err(self):
        for line in self.process.stderr:
            self.errors.append(line)

    def write(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, message):
        self.write((message if isinstance(message, str) else json.dumps(message)).encode() + b"\n")

    def read(self):
        """The next message; None at the end."""
        message = self.lines.get(timeout=WAIT)
        assert message is None or "not protocol" not in message, message
        return message

    def wait_for(self, match):
        """The first message that fits; what came before it is kept in other."""
        for i, message in enumerate(self.other):
            if match(message):
                return self.other.pop(i)
        while True:
            message = self.read()
            assert message is not None, (self.other, self.errors)
            if match(message):
                return message
            self.other.append(message)

    def answer(self, number):
        return self.wait_for(lambda m: m.get("id") == number)

    def ask(self, method, params=None, modern=True):
        number = self.begin(method, params, modern)
        return self.answer(number)

    def begin(self, method, params=None, modern=True):
        self.number += 1
        params = dict(params or {})
        if modern:
            params["_meta"] = {**META, **params.get("_meta", {})}
        self.send({"jsonrpc": "2.0", "id": self.number, "method": method, "params": params})
        return self.number

    def begin_call(self, name, modern=True, **arguments):
        return self.begin("tools/call", {"name": name, "arguments": arguments}, modern)

    def call(self, name, **arguments):
        return self.answer(self.begin_call(name, **arguments))["result"]

    def cancel(self, number):
        self.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": number}})

    def handshake(self):
        said = self.ask("initialize", {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}, False)
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return said

    def close(self):
        """Ends stdin; (exit code, messages that still came)."""
        if not self.process.stdin.closed:
            self.process.stdin.close()
        code, rest = self.process.wait(WAIT), []
        while (message := self.read()) is not None:
            rest.append(message)
        for reader in self.readers:
            reader.join(WAIT)
        self.process.stdout.close()
        self.process.stderr.close()
        return code, rest


class Tap:
    def __init__(self):
        self.count = self.failed = 0

    def check(self, good, name, detail=""):
        self.count += 1
        self.failed += not good
        if not good:
            print(f"# {detail!r}"[:2000])
        print("ok" if good else "not ok", self.count, "-", name, flush=True)
        return good

    def end(self):
        print(f"1..{self.count}")
        return 1 if self.failed else 0

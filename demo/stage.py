"""What every chapter stands on: the telling, and one fabric with its daemon. Only the product's own programs and the standard library."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

BUILD = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 and sys.argv[1] else "build")
COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ
STARTED = time.monotonic()


def paint(code, text):
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


def chapter(text):
    print(f"\n{paint('1', text)}", flush=True)


def tell(text):
    print(f"  {text}", flush=True)


def expect(what, seen, wanted):
    good = seen == wanted if not callable(wanted) else wanted(seen)
    print(f"  {paint('32', 'ok') if good else paint('31', 'NOT AS TOLD')}  {what}" + ("" if good else f": saw {seen!r}"), flush=True)
    if not good:
        sys.exit(1)  # what runs is ended by whoever started the show


class Show:
    """One fabric directory and the daemon that serves it."""

    def __init__(self):
        self.root = tempfile.mkdtemp(prefix="ifab-demo-")
        self.dir = f"{self.root}/fabric"
        self.anchors = f"{self.root}/elsewhere"
        self.daemon = None

    def start(self, directory=None):
        self.daemon = subprocess.Popen([f"{BUILD}/ifd", "--config", f"{directory or self.dir}/ifd.yaml"], stdout=subprocess.PIPE,
                                       stderr=open(f"{self.root}/ifd.log", "ab"), text=True)
        line = self.daemon.stdout.readline()
        return line.strip() if line else f"exit {self.daemon.wait()}"

    def end(self, how=signal.SIGTERM):
        if self.daemon and self.daemon.poll() is None:
            self.daemon.send_signal(how)
            self.daemon.wait(60)
        code, self.daemon = (self.daemon.returncode if self.daemon else 0), None
        return code

    def stop(self):
        self.end(signal.SIGKILL)
        shutil.rmtree(self.root, ignore_errors=True)

    def ctl(self, *args, why=None, check=True):
        env = {**os.environ, "IFAB_DIR": self.dir, "NO_COLOR": "1"}
        env.pop("IFAB_ENDPOINT", None)
        if why:
            env["IFAB_WHY"] = why
        result = subprocess.run([f"{BUILD}/ifctl", *args], env=env, capture_output=True, text=True, timeout=120, check=False)
        if check and result.returncode not in (0, 30, 31):
            print(f"  ifctl {' '.join(args)}\n{result.stdout}{result.stderr}")
            self.stop()
            sys.exit(1)
        return result

    def json(self, *args, **kwargs):
        return json.loads(self.ctl(*args, "-o", "json", **kwargs).stdout)

    def send(self, name, *args):
        return self.json("message", "send", "--as", name, *args)

    def sign(self, name, draft):
        """A draft completed and signed with the key of `name`: what an honest client would put on the wire."""
        path = f"{self.root}/draft.json"
        with open(path, "w", encoding="utf-8") as file:
            json.dump(draft, file)
        return json.loads(self.ctl("message", "sign", path, "--as", name, "-o", "json").stdout)

    def post(self, envelope, key=None):
        """POST /v1/messages as any program would; (status, answer, headers)."""
        body = envelope if isinstance(envelope, bytes) else json.dumps(envelope).encode()
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(f"{self.dir}/run/ifd.sock")
            extra = f"Idempotency-Key: {key}\r\n" if key else ""
            link.sendall(f"POST /v1/messages HTTP/1.1\r\nHost: fabric\r\nContent-Type: application/json\r\nConnection: close\r\n{extra}"
                         f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            data = b""
            while chunk := link.recv(65536):
                data += chunk
        head, _, rest = data.partition(b"\r\n\r\n")
        if not head:
            raise ConnectionError("closed without an answer")
        return int(head.split()[1]), json.loads(rest), head.decode().lower()

    def refused(self, envelope):
        return self.post(envelope)[1].get("error", {}).get("code")

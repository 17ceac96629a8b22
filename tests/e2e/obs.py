"""OBS Studio for a test: in a network of its own, because its WebSocket server listens on every address, under a display that nobody sees."""

import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time

from fabric import Skip

CLONE_NEWNET, CLONE_NEWUSER = 0x40000000, 0x10000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def own_network():
    """This process and what it starts from now on see a loopback device of their own, and nothing else."""
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWNET | (0 if uid == 0 else CLONE_NEWUSER)) != 0:
        raise Skip("no network namespace may be made here: " + os.strerror(ctypes.get_errno()))
    if uid != 0:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open("/proc/self/" + name, "w") as f:
                f.write(text)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Obs:
    """The real one. Call own_network() first."""

    def __init__(self, password):
        for program in ("obs", "Xvfb"):
            if shutil.which(program) is None:
                raise Skip(f"{program} is not installed (Debian: obs-studio, xvfb)")
        self.home = tempfile.mkdtemp(prefix="obs-")
        self.port = free_port()
        self.processes = []
        folder = os.path.join(self.home, ".config", "obs-studio")
        os.makedirs(folder)
        with open(os.path.join(folder, "global.ini"), "w") as f:
            f.write("[General]\nFirstRun=true\nEnableAutoUpdates=false\n")
            f.write(f"[OBSWebSocket]\nFirstLoad=false\nServerEnabled=true\nServerPort={self.port}\n")
            f.write(f"AlertsEnabled=false\nAuthRequired=true\nServerPassword={password}\n")
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def spawn(self, command, env, **kwargs):
        out = open(os.path.join(self.home, os.path.basename(command[0]) + ".log"), "w")
        self.processes.append(subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, **kwargs))
        out.close()
        return self.processes[-1]

    def start(self):
        read, write = os.pipe()
        env = {"PATH": os.environ["PATH"], "HOME": self.home, "XDG_RUNTIME_DIR": self.home, "LANG": "C.UTF-8", "LIBGL_ALWAYS_SOFTWARE": "1"}
        self.spawn(["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x720x24", "-nolisten", "tcp"], env, pass_fds=[write])
        os.close(write)
        with os.fdopen(read) as f:
            display = f.readline().strip()
        assert display, self.log("Xvfb")
        obs = self.spawn(["obs", "--multi", "--minimize-to-tray", "--disable-updater"], dict(env, DISPLAY=":" + display))
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", self.port), 5).close()
                return
            except ConnectionRefusedError:
                assert obs.poll() is None, self.log("obs")
                time.sleep(0.1)
        raise AssertionError(self.log("obs"))

    def log(self, program):
        with open(os.path.join(self.home, program + ".log"), errors="replace") as f:
            return f.read()[-4000:]

    def close(self):
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

"""The daemon under a journal: records come as fields, no secret among them, and stderr gets what the journal does not take."""

import json
import os
import subprocess
import sys

from fabric import PROGRAM, Skip

# In a mount namespace of its own: /run/systemd/journal/socket is ours, stderr a pipe that JOURNAL_STREAM names (or not).
UNDER = """
import json, os, re, signal, socket, subprocess, sys
ifd, config, named, key = sys.argv[1:]
subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
os.makedirs("/run/systemd/journal")
double = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
double.bind("/run/systemd/journal/socket")
double.settimeout(0)
r, w = os.pipe()
at = os.fstat(w)
env = {**os.environ, "JOURNAL_STREAM": f"{at.st_dev}:{at.st_ino}" if named == "1" else f"{at.st_dev}:{at.st_ino + 1}"}
p = subprocess.Popen([ifd, "--config", config], stdout=subprocess.PIPE, stderr=w, env=env)
os.close(w)
line = p.stdout.readline().decode()
port = int(re.search(r":(\\d+)$", line)[1])
for _ in range(3):
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.sendall(f"GET /v1/witness/entries HTTP/1.1\\r\\nHost: 127.0.0.1:{port}\\r\\nAuthorization: Bearer {key}\\r\\nConnection: close\\r\\n\\r\\n".encode())
        while s.recv(65536):
            pass
os.rename(config, config + ".away")
p.send_signal(signal.SIGHUP)
records = []
def take():
    while True:
        try:
            records.append(double.recv(65536).decode("latin-1"))
        except OSError:
            return
import time
end = time.monotonic() + 60
err = b""
os.set_blocking(r, False)
while time.monotonic() < end and "reload" not in json.dumps(records) + err.decode("latin-1"):
    take()
    try:
        err += os.read(r, 65536)
    except OSError:
        time.sleep(0.02)
os.rename(config + ".away", config)
p.send_signal(signal.SIGTERM)
code = p.wait(60)
take()
os.set_blocking(r, True)
while data := os.read(r, 65536):
    err += data
print(json.dumps({"ready": line, "code": code, "records": records, "stderr": err.decode("latin-1")}))
"""
SECRET = "ift_" + "Zk3" * 14 + "Q"


def under(f, named):
    f.stop()
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", UNDER, PROGRAM["ifd"], f.config, named, SECRET],
        capture_output=True,
        timeout=300,
        env={k: v for k, v in os.environ.items() if k != "JOURNAL_STREAM"},
    )
    if b"ermitted" in done.stderr or b"ermission" in done.stderr:
        raise Skip("no mount namespace of one's own here")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_journal_gets_fields_and_stderr_nothing(f):
    told = under(f, "1")
    assert told["code"] == 0 and told["ready"].startswith("ready unix:"), told
    assert told["stderr"] == "", told["stderr"]
    events = [dict(line.split("=", 1) for line in r.split("\n") if "=" in line) for r in told["records"]]
    by_name = {e["IFAB_EVENT"]: e for e in events}
    ready, stopping = by_name["ready"], by_name["stopping"]
    assert ready["PRIORITY"] == "6" and ready["SYSLOG_IDENTIFIER"] == "ifd" and ready["IFAB_ENTRIES"] == "2", ready
    assert ready["MESSAGE"].startswith("ready entries=2 origin=") and ready["IFAB_ORIGIN"] in told["records"][0], ready
    assert stopping["PRIORITY"] == "6"
    broken = [e for e in events if "reload" in e["IFAB_EVENT"]]
    assert broken and broken[0]["PRIORITY"] in ("3", "4"), events
    assert SECRET not in json.dumps(told) and "Zk3Zk3" not in json.dumps(told)


def test_a_stderr_that_is_not_the_journals_gets_lines(f):
    told = under(f, "0")
    assert told["code"] == 0 and told["records"] == [], told
    assert [json.loads(line)["event"] for line in told["stderr"].splitlines()][0] == "ready", told["stderr"]

"""The JavaScript package over TLS: starts a fabric with a certificate, invites, enrols a client certificate, runs sdk/js/test/tls.mjs. Prints TAP.

    IFAB_JS_SDK=COPY python3 live_tls.py BUILD      (COPY: sdk/js with its packages installed)
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, **more)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.returncode} {done.stdout} {done.stderr}")
    return done.stdout


def pair(root, name, *more):
    key, certificate = os.path.join(root, name + ".key"), os.path.join(root, name + (".pem" if name in ("ca", "foreign") else ".crt"))
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=" + name, *more,
        "-keyout", key, "-out", certificate)
    os.chmod(key, 0o600)
    return certificate, key


def main():
    build, root = os.path.abspath(sys.argv[1]), tempfile.mkdtemp(prefix="ifab-tls-")
    programs = next(d for d in (build, os.path.join(build, "src/programs/ifd")) if os.access(os.path.join(d, "ifd"), os.X_OK))
    ctl = next(p for p in (os.path.join(build, "ifctl"), os.path.join(build, "src/programs/ifctl/ifctl")) if os.path.isfile(p))
    place = os.path.join(root, "f")
    kept = {k: v for k, v in os.environ.items() if not k.startswith("IFAB_")}
    kept["PATH"] = programs + os.pathsep + kept["PATH"]
    env = {**kept, "IFAB_DIR": place, "IFAB_WHY": "tls", "XDG_STATE_HOME": root, "XDG_CONFIG_HOME": os.path.join(root, "none")}
    daemon = None
    try:
        run(ctl, "init", place, "--http", "127.0.0.1:0", env=env)
        certificate, key = pair(root, "ca", "-addext", "subjectAltName=DNS:fabric.example,IP:127.0.0.1")
        pair(root, "foreign", "-addext", "subjectAltName=IP:127.0.0.1")
        with open(os.path.join(place, "ifd.yaml"), "w", encoding="ascii") as f:
            f.write(f'name: "infrafabric.local/main"\nhttp:\n  listen: "127.0.0.1:0"\n  certificate: "{certificate}"\n  key: "{key}"\n')
        with open(os.path.join(root, "ifd.log"), "wb") as log:
            daemon = subprocess.Popen([os.path.join(programs, "ifd"), "--config", os.path.join(place, "ifd.yaml")], stdout=subprocess.PIPE, stderr=log,
                                      text=True)
        line = daemon.stdout.readline()
        if not line.startswith("ready "):
            with open(os.path.join(root, "ifd.log"), encoding="utf-8") as log:
                raise RuntimeError(log.read())
        at = line.split()[-1]
        run(ctl, "talent", "add", "Py", "--new-key", env=env)
        mine, mine_key = pair(root, "mine")
        pair(root, "other")
        run(ctl, "talent", "add-cert", "Py", "--spki", "@" + mine, env=env)
        run(ctl, "token", "create", "Py", "--out", os.path.join(root, "token"), env=env)
        for file, name in (("code", "Js"), ("second-code", "Js.Own")):
            with open(os.path.join(root, file), "w", encoding="ascii") as f:
                f.write(json.loads(run(ctl, "talent", "invite", name, "-o", "json", env=env))["code"])
        os.mkdir(os.path.join(root, "infrafabric"))
        context = {"endpoint": at, "as": "Py", "ca": certificate, "cert": mine, "cert_key": mine_key}
        with open(os.path.join(root, "infrafabric", "contexts.json"), "w", encoding="ascii") as f:
            json.dump({"current": "lab", "contexts": {"lab": context}}, f)
        vkey = run(ctl, "witness", "vkey", env=env).strip()
        given = {**kept, "IFAB_AT": at, "TLS_DIR": root, "TLS_VKEY": vkey, "XDG_STATE_HOME": root}
        done = subprocess.run(["node", os.path.join(os.environ["IFAB_JS_SDK"], "test", "tls.mjs")], env=given, stdin=subprocess.DEVNULL, check=False)
        return done.returncode
    finally:
        if daemon is not None:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(20)
            daemon.stdout.close()
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())

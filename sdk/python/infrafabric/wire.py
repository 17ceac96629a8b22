"""HTTP over a Unix socket or TCP, and where the fabric is: docs/ARCHITECTURE.md, `ifctl context`."""
import contextlib
import http.client
import os
import re
import socket
import ssl
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from .envelope import PEM, loads
from .errors import Lost, Refused, Unreachable


class Wire:
    def __init__(self, endpoint, token=None, ca=None, cert=None):
        self.endpoint, self._token, self.is_unix, self._tls, url = endpoint, token, endpoint.startswith("unix:"), None, urlsplit(endpoint)
        plain = url.scheme == "http" and re.fullmatch(r"localhost|127(\.\d+){3}|::1", url.hostname or "")  # the clear is for this machine
        if not self.is_unix and (not (plain or url.scheme == "https") or not url.hostname or not url.port or url.path not in ("", "/")):
            raise ValueError(f"endpoint {endpoint!r}: use unix:PATH, https://HOST:PORT, or http:// on the loopback")
        if url.scheme == "https":  # ca: PEM, in place of the system's; cert: PEM with its key, or (certificate, key)
            self._tls = ssl.create_default_context(cafile=ca)
            self._tls.minimum_version = ssl.TLSVersion.TLSv1_3
            if cert:
                self._tls.load_cert_chain(*(cert if isinstance(cert, tuple) else [cert]), password="")  # never asks
        self._host = "localhost" if self.is_unix else url.netloc

    def call(self, method, path, body=None, headers=None, timeout=15.0, **query):
        """-> (status, answer as dict, header getter). Unreachable: nothing left. Lost: outcome unknown."""
        query = urlencode({k: v for k, v in query.items() if v is not None})
        head = {"Accept": "application/json", "Content-Type": "application/json", "Connection": "close", **(headers or {})}
        head.update({"Authorization": "Bearer " + self._token} if self._token else {})
        secure = {"context": self._tls} if self._tls else {}
        link = (http.client.HTTPSConnection if secure else http.client.HTTPConnection)(self._host, timeout=timeout, **secure)
        try:
            if self.is_unix:
                link.sock = socket.socket(socket.AF_UNIX)
                link.sock.settimeout(timeout)
                link.sock.connect(self.endpoint[5:])
            else:
                link.connect()
        except OSError as e:
            link.close()
            raise Unreachable(f"No fabric answers at {self.endpoint} ({e}). Start it: ifd --config DIR/ifd.yaml, or name another") from e
        try:
            link.request(method, path + ("?" + query if query else ""), body, head)
            answer = link.getresponse()
            told = answer.chunked or answer.length is not None  # http.client takes a head that was cut short for a whole one
            body = answer.read(32 << 20)
            if not told or answer.length or answer.read(1):  # and read(n) is silent about a body that was
                raise http.client.HTTPException("no whole answer")
            value = loads(body or b"{}")
            if not isinstance(value, dict):
                raise ValueError("the answer is no object")
            return answer.status, value, answer.getheader
        except (OSError, http.client.HTTPException, ValueError) as e:
            raise Lost(f"{method} {path}: {e or type(e).__name__}") from e
        finally:
            link.close()

    def ask(self, path, timeout=15.0, body=None, **query):
        """The answer, or Refused. With a body it is a POST."""
        status, value, _ = self.call("POST" if body else "GET", path, body, None, timeout, **query)
        if "error" in value:
            raise Refused(value["error"], status)
        return value


def from_context(endpoint=None, directory=None, talent=None, key=None, encrypted=False):
    """Endpoint, talent, key, token, ca and cert as `ifctl` would have them, and own_key: the file where its own key would be.

    Endpoint: argument, IFAB_ENDPOINT, IFAB_DIR, current context, default directory. Talent and key likewise."""
    env, home = os.environ.get, os.path.expanduser("~")
    contexts = Path(env("XDG_CONFIG_HOME") or home + "/.config", "infrafabric", "contexts.json")
    stored = loads(contexts.read_bytes()) if contexts.exists() else {}
    chosen = stored.get("contexts", {}).get(stored.get("current") or "", {})
    places = ((endpoint, directory), (env("IFAB_ENDPOINT"), env("IFAB_DIR")), (chosen.get("endpoint"), chosen.get("dir")),
              (None, (env("XDG_DATA_HOME") or home + "/.local/share") + "/infrafabric"))
    endpoint, directory = place = next(place for place in places if any(place))
    ours = chosen if place == places[2] else {}  # what a context holds goes to its own fabric alone
    token, ca = env("IFAB_TOKEN_FILE") or ours.get("token_file"), env("IFAB_CA") or ours.get("ca")
    token = Path(token).read_text("ascii").strip() if token else None
    cert = (env("IFAB_CERT"), env("IFAB_CERT_KEY")) if env("IFAB_CERT") else (ours["cert"], ours.get("cert_key")) if ours.get("cert") else None
    name, others = talent or env("IFAB_AS") or chosen.get("as"), talent and env("IFAB_AS") and _name(talent) != _name(env("IFAB_AS"))
    key = key or (None if others else env("IFAB_KEY")) or chosen.get("key")
    own = f"{directory or env('IFAB_DIR') or chosen.get('dir') or places[3][1]}/keys/{_name(name)}.pem" if name else None
    return dict(endpoint=endpoint or f"unix:{directory}/run/ifd.sock", talent=name, key=key or _own_key(own, encrypted), token=token, ca=ca, cert=cert, own_key=own)


def _name(talent):
    return talent.removeprefix("if://agent/").split("/")[0]


def _own_key(path, encrypted=False):
    """DIR/keys/NAME.pem, as ifctl makes and finds it. None: it cannot be used, which matters only to who sends (see no_key)."""
    with contextlib.suppress(OSError), open(path or os.devnull, encoding="ascii") as f:
        return path if f.readline().rstrip() in PEM[:1 + bool(encrypted)] else None


def no_key(path):
    """Why there is no key, for the one who wanted to send."""
    if path is None:
        return "sending needs a talent and its key: talent= and key=, or Fabric.context() with IFAB_AS and IFAB_KEY"
    locked = f"{path} is encrypted: give its passphrase=, or key= another one"
    return locked if os.path.exists(path) else f"{path}: no such file; IFAB_DIR is {os.environ.get('IFAB_DIR') or 'not set'}. Name the key with key= or IFAB_KEY"

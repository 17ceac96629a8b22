"""HTTP over a Unix socket or TCP, and where the fabric is: docs/ARCHITECTURE.md, `ifctl context`."""
import contextlib
import http.client
import os
import socket
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from .envelope import loads
from .errors import Lost, Refused, Unreachable


class Wire:
    def __init__(self, endpoint, token=None):
        self.endpoint, self._token, self.is_unix = endpoint, token, endpoint.startswith("unix:")
        self._url = url = urlsplit(endpoint)
        if not self.is_unix and (url.scheme != "http" or not url.hostname or not url.port or url.path not in ("", "/")):
            raise ValueError(f"endpoint {endpoint!r}: use unix:PATH or http://HOST:PORT")

    def call(self, method, path, body=None, headers=None, timeout=15.0, **query):
        """-> (status, answer as dict, header getter). Unreachable: nothing left. Lost: outcome unknown."""
        query = urlencode({k: v for k, v in query.items() if v is not None})
        head = {"Accept": "application/json", "Content-Type": "application/json", "Connection": "close", **(headers or {})}
        head.update({"Authorization": "Bearer " + self._token} if self._token else {})
        link = http.client.HTTPConnection("localhost" if self.is_unix else self._url.netloc, timeout=timeout)
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

    def get(self, path, timeout=15.0, **query):
        status, value, _ = self.call("GET", path, timeout=timeout, **query)
        if "error" in value:
            raise Refused(value["error"], status)
        return value


def from_context(endpoint=None, directory=None, talent=None, key=None):
    """Endpoint, talent, key and token as `ifctl` would have them."""
    return settled(endpoint, directory, talent, key)[:4]


def settled(endpoint=None, directory=None, talent=None, key=None):
    """The same, and the file in which the talent's own key is looked for.

    Endpoint: argument, IFAB_ENDPOINT, IFAB_DIR, current context, default directory. Talent and key likewise."""
    env, home = os.environ.get, os.path.expanduser("~")
    contexts = Path(env("XDG_CONFIG_HOME") or home + "/.config", "infrafabric", "contexts.json")
    stored = loads(contexts.read_bytes()) if contexts.exists() else {}
    chosen = stored.get("contexts", {}).get(stored.get("current") or "", {})
    places = ((endpoint, directory), (env("IFAB_ENDPOINT"), env("IFAB_DIR")), (chosen.get("endpoint"), chosen.get("dir")),
              (None, (env("XDG_DATA_HOME") or home + "/.local/share") + "/infrafabric"))
    endpoint, directory = next(place for place in places if any(place))
    token = Path(env("IFAB_TOKEN_FILE")).read_text("ascii").strip() if env("IFAB_TOKEN_FILE") else None
    name, others = talent or env("IFAB_AS") or chosen.get("as"), talent and env("IFAB_AS") and _name(talent) != _name(env("IFAB_AS"))
    key = key or (None if others else env("IFAB_KEY")) or chosen.get("key") or _own_key(directory, name)
    return endpoint or f"unix:{directory}/run/ifd.sock", name, key, token, key_file(directory, name)


def _name(talent):
    return talent.removeprefix("if://agent/").split("/")[0]


def _own_key(directory, talent):
    """DIR/keys/NAME.pem, as ifctl makes and finds it. None: it cannot be used, which matters only to who sends (see no_key)."""
    with contextlib.suppress(OSError):
        path = key_file(directory, talent) or os.devnull
        with open(path, encoding="ascii") as f:
            return path if f.readline() == "-----BEGIN PRIVATE KEY-----\n" else None
    return None


def key_file(directory, talent):
    return f"{directory}/keys/{_name(talent)}.pem" if directory and talent else None


def no_key(path):
    """Why there is no key, for the one who wanted to send."""
    if path is None:
        return "sending needs a talent and its key: talent= and key=, or IFAB_AS and IFAB_KEY"
    if os.path.exists(path):
        return f"{path} is encrypted: give key= a key without passphrase, or a nacl SigningKey"
    where = os.environ.get("IFAB_DIR")
    return f"{path}: no such file; IFAB_DIR is {where or 'not set'}. Name the key with key= or IFAB_KEY"

"""HTTP over a Unix socket or TCP, and where the fabric is: docs/ARCHITECTURE.md, `ifctl context`."""
import http.client
import json
import os
import socket
from urllib.parse import urlencode, urlsplit

from .envelope import loads
from .errors import FabricError, Refused, Unreachable

ANSWER_MAX = 32 << 20


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Lost(FabricError):
    """The request left, no whole answer came back."""


class Wire:
    def __init__(self, endpoint, token=None):
        self.endpoint, self._token = endpoint, token
        self.is_unix = endpoint.startswith("unix:")
        url = urlsplit(endpoint)
        if not self.is_unix and (url.scheme != "http" or not url.hostname or not url.port or url.path not in ("", "/")):
            raise ValueError(f"endpoint {endpoint!r}: use unix:PATH or http://HOST:PORT")
        self._address = endpoint[5:] if self.is_unix else (url.hostname, url.port)

    def call(self, method, path, body=None, headers=None, timeout=15.0, **query):
        """-> (status, answer as dict, header getter). Unreachable: nothing left. Lost: outcome unknown."""
        query = urlencode({k: v for k, v in query.items() if v is not None})
        target = path + ("?" + query if query else "")
        head = {"Accept": "application/json", "Connection": "close", **(headers or {})}
        if body is not None:
            head["Content-Type"] = "application/json"
        if self._token:
            head["Authorization"] = "Bearer " + self._token
        link = _UnixConnection(self._address, timeout) if self.is_unix else http.client.HTTPConnection(*self._address, timeout=timeout)
        try:
            try:
                link.connect()
            except OSError as e:
                raise Unreachable(f"No fabric answers at {self.endpoint}. Start it: ifd --config DIR/ifd.yaml, or name another with "
                                  f"endpoint= ({e.strerror or e})") from e
            try:
                link.request(method, target, body, head)
                answer = link.getresponse()
                data = answer.read(ANSWER_MAX)
            except (OSError, http.client.HTTPException) as e:
                raise Lost(f"{method} {path}: {e or type(e).__name__}") from e
        finally:
            link.close()
        try:
            value = loads(data) if data else {}
        except ValueError as e:
            raise Lost(f"{method} {path}: answer {answer.status} is not JSON") from e
        return answer.status, value, answer.getheader

    def get(self, path, timeout=15.0, **query):
        status, value, _ = self.call("GET", path, timeout=timeout, **query)
        if "error" in value:
            raise Refused(value["error"], status)
        return value


def from_context(endpoint=None, directory=None, talent=None, key=None):
    """Endpoint: argument, IFAB_ENDPOINT, IFAB_DIR, current context, default directory. Talent and key likewise."""
    env = os.environ
    home = os.path.expanduser("~")
    config = os.path.join(env.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"), "infrafabric", "contexts.json")
    chosen = {}
    if os.path.exists(config):
        with open(config, "rb") as f:
            stored = json.load(f)
        chosen = stored.get("contexts", {}).get(stored.get("current") or "", {})
    endpoint = endpoint or (None if directory else env.get("IFAB_ENDPOINT"))
    if not endpoint:
        directory = directory or env.get("IFAB_DIR")
        if not directory and chosen.get("endpoint"):
            endpoint = chosen["endpoint"]
        else:
            data = env.get("XDG_DATA_HOME") or os.path.join(home, ".local", "share")
            directory = directory or chosen.get("dir") or os.path.join(data, "infrafabric")
            endpoint = "unix:" + os.path.join(directory, "run", "ifd.sock")
    token = None
    if env.get("IFAB_TOKEN_FILE"):
        with open(env["IFAB_TOKEN_FILE"], encoding="ascii") as f:
            token = f.read(4096).strip()
    return endpoint, talent or env.get("IFAB_AS") or chosen.get("as"), key or env.get("IFAB_KEY") or chosen.get("key"), token

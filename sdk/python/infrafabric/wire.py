"""HTTP over a Unix socket or TCP, and where the fabric is: docs/ARCHITECTURE.md, `ifctl context`."""
import http.client
import os
import socket
from urllib.parse import urlencode, urlsplit

from .envelope import loads
from .errors import FabricError, Refused, Unreachable

ANSWER_MAX = 32 << 20


class Lost(FabricError):
    """The request left, no whole answer came back."""


class _UnixConnection(http.client.HTTPConnection):
    def connect(self):  # host is the path of the socket
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.host)


class Wire:
    def __init__(self, endpoint, token=None):
        self.endpoint, self._token, self.is_unix = endpoint, token, endpoint.startswith("unix:")
        url = urlsplit(endpoint)
        if not self.is_unix and (url.scheme != "http" or not url.hostname or not url.port or url.path not in ("", "/")):
            raise ValueError(f"endpoint {endpoint!r}: use unix:PATH or http://HOST:PORT")
        self._address = (endpoint[5:], 80) if self.is_unix else (url.hostname, url.port)

    def call(self, method, path, body=None, headers=None, timeout=15.0, **query):
        """-> (status, answer as dict, header getter). Unreachable: nothing left. Lost: outcome unknown."""
        query = urlencode({k: v for k, v in query.items() if v is not None})
        head = {"Accept": "application/json", "Connection": "close", **(headers or {})}
        if self.is_unix:
            head["Host"] = "localhost"
        if body is not None:
            head["Content-Type"] = "application/json"
        if self._token:
            head["Authorization"] = "Bearer " + self._token
        link = (_UnixConnection if self.is_unix else http.client.HTTPConnection)(*self._address, timeout=timeout)
        try:
            link.connect()
        except OSError as e:
            raise Unreachable(f"No fabric answers at {self.endpoint}. Start it: ifd --config DIR/ifd.yaml, or name another with "
                              f"endpoint= ({e.strerror or e})") from e
        try:
            link.request(method, path + ("?" + query if query else ""), body, head)
            answer = link.getresponse()
            data = answer.read(ANSWER_MAX)
            return answer.status, loads(data) if data else {}, answer.getheader
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
    """Endpoint: argument, IFAB_ENDPOINT, IFAB_DIR, current context, default directory. Talent and key likewise."""
    def base(name, *default):
        return os.path.join(os.environ.get(name) or os.path.join(os.path.expanduser("~"), *default), "infrafabric")
    env, chosen, token = os.environ.get, {}, None
    config = os.path.join(base("XDG_CONFIG_HOME", ".config"), "contexts.json")
    if os.path.exists(config):
        with open(config, "rb") as f:
            stored = loads(f.read())
        chosen = stored.get("contexts", {}).get(stored.get("current") or "", {})
    endpoint = endpoint or (None if directory else env("IFAB_ENDPOINT"))
    directory = directory or env("IFAB_DIR")
    if not endpoint and not directory:
        endpoint = chosen.get("endpoint")
    if not endpoint:
        directory = directory or chosen.get("dir") or base("XDG_DATA_HOME", ".local", "share")
        endpoint = "unix:" + os.path.join(directory, "run", "ifd.sock")
    if env("IFAB_TOKEN_FILE"):
        with open(env("IFAB_TOKEN_FILE"), encoding="ascii") as f:
            token = f.read(4096).strip()
    return endpoint, talent or env("IFAB_AS") or chosen.get("as"), key or env("IFAB_KEY") or chosen.get("key"), token

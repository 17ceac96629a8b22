"""A provider that tells everything: it sends back the request it got, secret and all, in the form that the path names (/e/FORM)."""

import base64
import html
import json
import re
import socketserver
import threading
import urllib.parse


def percent(data, keep=lambda i, c: False):
    return b"".join(bytes([c]) if keep(i, c) else b"%%%02X" % c for i, c in enumerate(data))


def escaped(data, keep=lambda i: False):
    """Within a JSON string."""
    return b"".join(bytes([c]) if keep(i) and c not in b'"\\' and c >= 32 else b"\\u%04x" % c for i, c in enumerate(data))


def lines(data, width, end=b"\r\n"):
    return end.join(data[i : i + width] for i in range(0, len(data), width))


def plain(c):
    return chr(c).isalnum()


# form: all of a request, as a body. What docs/formats/egress.md says is looked for is withheld in each of these.
BODIES = {
    "raw": lambda t: t,
    "reversed": lambda t: t[::-1],
    "hex": lambda t: t.hex().encode(),
    "hex-upper": lambda t: t.hex().upper().encode(),
    "hex-lines": lambda t: lines(t.hex().encode(), 31),
    "hex-percent": lambda t: percent(t.hex().encode()),
    "base64-mime": base64.encodebytes,
    "base64-percent": lambda t: percent(base64.b64encode(t)),
    "base64-json": lambda t: b'{"echo":"' + escaped(base64.b64encode(t), lambda i: i % 2) + b'"}',
    "percent": percent,
    "percent-lower": lambda t: percent(t).lower(),
    "percent-form": lambda t: urllib.parse.quote_plus(t).encode(),
    "percent-some": lambda t: percent(t, lambda i, c: plain(c) and i % 3),
    "percent-twice": lambda t: percent(percent(t)),
    "json": lambda t: b'{"echo":"' + escaped(t) + b'"}',
    "json-some": lambda t: b'{"echo":"' + escaped(t, lambda i: i % 4) + b'"}',
    "json-dumps": lambda t: json.dumps({"echo": t.decode("latin-1")}).encode(),
    "json-percent": lambda t: json.dumps(percent(t).decode()).encode(),
    "html": lambda t: b"<pre>" + html.escape(t.decode("latin-1")).encode() + b"</pre>",
    "html-numbers": lambda t: b"".join(b"&#%d;" % c for c in t),
    "html-some": lambda t: b"".join(b"&#x%X;" % c if i % 3 else html.escape(chr(c)).encode() for i, c in enumerate(t)),
    "lines": lambda t: lines(t, 7),
    "newlines": lambda t: lines(t, 5, b"\n"),
}
for n in range(3):
    BODIES[f"base64-{n}"] = lambda t, n=n: base64.b64encode(b"x" * n + t)
    BODIES[f"base64url-{n}"] = lambda t, n=n: base64.urlsafe_b64encode(b"x" * n + t).rstrip(b"=")

# form: (bytes of the whole answer, given what the request carried). The second half need not be recognised: it is no answer, or nothing of it is shown.
PLACES = {
    "chunks": lambda t, v: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(b"1\r\n%c\r\n" % c for c in t) + b"0\r\n\r\n",
    "trailer": lambda t, v: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Echo: " + v + b"\r\n\r\n",
    "etag": lambda t, v: answer(b"ok", b'ETag: "' + v + b'"\r\n'),
    "unshown": lambda t, v: answer(b"ok", b"X-Echo: " + v + b"\r\n"),
    "cookie": lambda t, v: answer(b"ok", b"Set-Cookie: session=" + v + b"; Path=/\r\n"),
    "location": lambda t, v: answer(b"", b"Location: /e/raw?echo=" + percent(v) + b"\r\n", b"302 Found"),
    "denied": lambda t, v: answer(t, b"WWW-Authenticate: Basic\r\n", b"401 Unauthorized"),
    "failed": lambda t, v: answer(t, b"", b"500 Oops"),
}
ODD = {
    "reason": lambda t, v: b"HTTP/1.1 200 " + v + b"\r\nContent-Length: 2\r\n\r\nok",
    "interim": lambda t, v: b"HTTP/1.1 103 Early Hints\r\nLink: <" + v + b">\r\n\r\n" + answer(b"ok"),
    "extension": lambda t, v: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=" + v + b"\r\nok\r\n0\r\n\r\n",
    "zipped": lambda t, v: answer(t, b"Content-Encoding: gzip\r\n"),
    "zipped-chunks": lambda t, v: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(t), t),
    "cut": lambda t, v: b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + t,
    "huge": lambda t, v: answer(b"x" * 70000 + t),
    "malformed": lambda t, v: b"HTTP/1.1 2" + v + b"\r\n\r\n" + t,
    "headless": lambda t, v: t,
    "folded": lambda t, v: b"HTTP/1.1 200 OK\r\nX-A: b\r\n " + v + b"\r\nContent-Length: 0\r\n\r\n",
    "field": lambda t, v: b"HTTP/1.1 200 OK\r\n" + v + b": b\r\nContent-Length: 0\r\n\r\n",
    "length": lambda t, v: b"HTTP/1.1 200 OK\r\nContent-Length: " + v + b"\r\n\r\n",
}
WITHHELD = [*BODIES, *PLACES]


def answer(body, fields=b"", status=b"200 OK"):
    return b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, fields, len(body), body)


class Provider:
    """values: {name: value}; saw[name]: how many of `requests` carried it. `hold` answers only when `release` is set, `redirect` sends on to .redirect."""

    def __init__(self, values):
        self.values, self.saw = {name: value.encode() for name, value in values.items()}, dict.fromkeys(values, 0)
        self.redirect, self.requests = "", 0
        self.lock, self.release, self.held = threading.Lock(), threading.Event(), threading.Event()
        provider = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                self.request.settimeout(120)
                text = b""
                while b"\r\n\r\n" not in text:
                    more = self.request.recv(65536)
                    if not more:
                        return
                    text += more
                self.request.sendall(provider.answer(text))

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads, allow_reuse_address, request_queue_size = True, True, 128

            def handle_error(self, *_):
                pass  # who asked has gone

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def carried(self, text):
        """What the request carries, in clear, and the value that stands in it."""
        with self.lock:
            self.requests += 1
        basic = re.search(rb"\r\nAuthorization: Basic (\S+)", text)
        target = urllib.parse.unquote_to_bytes(text.split(b" ", 2)[1])
        clear = text + (base64.b64decode(basic[1]) if basic else b"") + b"\r\n" + target
        for name, value in self.values.items():
            if value in clear:
                with self.lock:
                    self.saw[name] += 1
                return clear, value
        return clear, b"nothing"

    def answer(self, text):
        form = text.split(b" ", 2)[1].split(b"?")[0].rsplit(b"/", 1)[1].decode()
        clear, value = self.carried(text)
        if form == "hold":
            self.held.set()
            self.release.wait(120)
        if form in ("hold", "pong"):
            return answer(b"pong")
        if form == "redirect":
            return answer(b"", b"Location: " + self.redirect.encode() + b"\r\n", b"302 Found")
        if form in BODIES:
            return answer(BODIES[form](clear))
        return {**PLACES, **ODD}[form](clear, value)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()

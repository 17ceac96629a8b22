"""A WebSocket server for tests (RFC 6455, the standard library alone): each connection is a script's."""

import base64
import hashlib
import os
import socket
import struct
import threading

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE = 1, 2, 8


class Peer:
    def __init__(self, conn):
        self.conn = conn
        self.file = conn.makefile("rb")
        self.path = ""

    def handshake(self):
        lines = []
        while (line := self.file.readline()) not in (b"\r\n", b""):
            lines.append(line.strip().decode())
        self.path = lines[0].split(" ")[1]
        fields = dict(line.lower().split(": ", 1)[:1] + line.split(": ", 1)[1:] for line in lines[1:])
        accept = base64.b64encode(hashlib.sha1(fields["sec-websocket-key"].encode() + GUID).digest()).decode()
        self.conn.sendall(
            f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )

    def send(self, data, op=TEXT):
        data = data.encode() if isinstance(data, str) else data
        size = len(data)
        head = bytes([0x80 | op])
        if size < 126:
            head += bytes([size])
        elif size < 65536:
            head += b"\x7e" + struct.pack(">H", size)
        else:
            head += b"\x7f" + struct.pack(">Q", size)
        self.conn.sendall(head + data)

    def receive(self):
        """(opcode, data) of a whole message; (CLOSE, code) at the end of it all."""
        head = self.file.read(2)
        if len(head) < 2:
            return CLOSE, b""
        assert head[1] & 0x80, "a client's frames are masked"
        size = head[1] & 0x7F
        if size == 126:
            size = struct.unpack(">H", self.file.read(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", self.file.read(8))[0]
        mask = self.file.read(4)
        data = self.file.read(size)
        return head[0] & 0x0F, bytes(b ^ mask[i % 4] for i, b in enumerate(data))

    def leave(self, code=1000):
        self.send(struct.pack(">H", code), CLOSE)
        while self.receive()[0] != CLOSE:
            pass


class WebSocketServer:
    """script(peer) runs in a thread of its own for each connection; ended: one entry for each that is over, what went wrong or None."""

    def __init__(self, script, context=None):
        self.script = script
        self.context = context  # of TLS
        self.ended = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.stopping = threading.Event()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(conn,), daemon=True).start()

    def one(self, conn):
        problem = None
        try:
            with conn if self.context is None else self.context.wrap_socket(conn, server_side=True) as peer:
                self.script(Peer(peer))
        except OSError as e:  # the client is gone
            problem = e
        self.ended.append(problem)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def obs_answer(password, salt, challenge):
    """protocol.md of obs-websocket 5, "Creating an authentication string"."""
    half = base64.b64encode(hashlib.sha256((password + salt).encode()).digest()).decode()
    return base64.b64encode(hashlib.sha256((half + challenge).encode()).digest()).decode()


def fresh():
    return base64.b64encode(os.urandom(32)).decode()

"""HTTP/1.1 as an attacker speaks it: by the byte."""

import base64
import json
import socket
import time

PUBLIC = "Token public"
PRIVATE = "Basic " + base64.b64encode(b"reader:secret").decode()
TRACK = "/track/v2/projects/adversary"
DATA = "/data/v2/projects/adversary"


def connect(address, source=None, receive_bytes=None):
    connection = socket.socket()
    if receive_bytes:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    if source:
        connection.bind((source, 0))
    connection.settimeout(5)
    connection.connect(address)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def head(path, length, authorization=PUBLIC, more="", method="POST"):
    return (
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n"
        f"Content-Length: {length}\r\n{more}\r\n"
    ).encode()


def post(path, body, authorization=PUBLIC, more=""):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return head(path, len(body), authorization, more) + body


def status(connection):
    """What HTTP/1.1 says before it closes: a status, or nothing."""
    try:
        line = connection.recv(64).split(b"\r\n")[0].decode("latin-1")
    except (ConnectionError, TimeoutError):
        return "closed"
    return line.removeprefix("HTTP/1.1 ") or "closed"


def trickle(connection, piece, pace, target):
    """Sends a piece after the other until the service has had enough."""
    connection.settimeout(pace)
    while target.goes_on():
        try:
            connection.sendall(piece)
            got = connection.recv(64)
            return got.split(b"\r\n")[0].decode("latin-1").removeprefix("HTTP/1.1 ") or "closed"
        except TimeoutError:
            pass
        except ConnectionError:
            return "closed"
    return "still open at the end"


class Caller:
    """A connection that is kept, and whose answers are read."""

    def __init__(self, address, source=None, timeout=15):
        self.socket = connect(address, source)
        self.socket.settimeout(timeout)
        self.read = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def asks(self, path, body, authorization=PUBLIC, more=""):
        """The status and the body of the answer."""
        try:
            self.socket.sendall(post(path, body, authorization, more))
        except (BrokenPipeError, ConnectionResetError):
            # It may have answered before it closed.
            pass
        return self.answer()

    def answer(self):
        while b"\r\n\r\n" not in self.read:
            self.more()
        end = self.read.index(b"\r\n\r\n") + 4
        lines = self.read[:end].decode("latin-1").split("\r\n")
        code = int(lines[0].split()[1])
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
        del self.read[:end]
        if headers.get("transfer-encoding") == "chunked":
            return code, self.chunks()
        return code, self.take(int(headers.get("content-length", 0)))

    def chunks(self):
        body = bytearray()
        while True:
            while b"\r\n" not in self.read:
                self.more()
            length = int(self.read[:self.read.index(b"\r\n")], 16)
            del self.read[:self.read.index(b"\r\n") + 2]
            body += self.take(length)
            self.take(2)
            if not length:
                return bytes(body)

    def take(self, length):
        while len(self.read) < length:
            self.more()
        taken = bytes(self.read[:length])
        del self.read[:length]
        return taken

    def more(self):
        piece = self.socket.recv(1 << 20)
        if not piece:
            raise ConnectionResetError("closed")
        self.read += piece


def outcome(answer):
    """An answer in a few words: the status, and what was wrong."""
    code, body = answer
    if code == 200:
        return "200"
    try:
        text = json.loads(body)["message"]
    except (ValueError, KeyError, TypeError):
        text = ""
    # Numbers and quoted values would make each one another outcome.
    return f"{code} {text[:50]}".strip()


def event(customer, properties=None, timestamp=None, kind="t"):
    data = {"customer_ids": customer, "event_type": kind, "properties": properties or {}}
    if timestamp is not None:
        data["timestamp"] = timestamp
    return {"name": "customers/events", "data": data}


def update(customer, properties=None):
    return {"name": "customers", "data": {"customer_ids": customer, "properties": properties or {}}}


def send_batches(target, caller, batches):
    """Sends batches, and counts what became of their commands."""
    for commands in batches:
        answer = caller.asks(TRACK + "/batch", commands if isinstance(commands, bytes) else {"commands": commands})
        if answer[0] != 200:
            target.count("batches: " + outcome(answer))
            continue
        for result in json.loads(answer[1])["results"]:
            if result["success"]:
                target.count("commands kept")
            else:
                target.count("commands: " + result["errors"][0][:60])


def batches_of(commands, size=50):
    for start in range(0, len(commands), size):
        yield commands[start:start + size]


def hold(target, connections):
    """Keeps what was opened until the time is over."""
    while target.goes_on():
        time.sleep(0.05)
    for connection in connections:
        connection.close()

"""HTTP/2 as frames, and as much of gRPC as an attacker needs."""

import select
import struct
import time

import http1

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
INITIAL_WINDOW_SIZE = 4
CODES = {0: "no error", 1: "protocol error", 7: "refused", 8: "cancel", 9: "compression error", 11: "enhance your calm"}
FRAME_BYTES_MAX = 16384
# What is written at once, in as many frames as it takes.
WRITE_BYTES_MAX = 64 * FRAME_BYTES_MAX
WINDOW_BYTES_MAX = (1 << 31) - 1
STILL_OPEN = "still open at the end"

TRACKING = b"/footfall.tracking.v2.TrackingService/"
CUSTOMERS = b"/footfall.tracking.v2.CustomerService/"
REFLECTION = b"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
HEALTH = b"/grpc.health.v1.Health/Watch"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def frames(stream, data, ends):
    """Data in frames as large as they may be."""
    pieces = [data[at:at + FRAME_BYTES_MAX] for at in range(0, len(data), FRAME_BYTES_MAX)] or [b""]
    last = len(pieces) - 1
    return b"".join(frame(DATA, END_STREAM if ends and n == last else 0, stream, p) for n, p in enumerate(pieces))


def length(count):
    """A length as HPACK writes it, without Huffman's code."""
    if count < 127:
        return bytes([count])
    count -= 127
    out = bytearray([127])
    while count >= 128:
        out.append(count % 128 | 128)
        count //= 128
    return bytes(out + bytes([count]))


def header(name, value):
    return b"\x00" + length(len(name)) + name + length(len(value)) + value


def request(method=b"GET", path=b"/nothing", content_type=b"application/json", more=()):
    named = [
        (b":method", method), (b":scheme", b"http"), (b":path", path), (b":authority", b"x"),
        (b"content-type", content_type), *more,
    ]
    return b"".join(header(name, value) for name, value in named)


def call(path, authorization=None, method=b"POST"):
    """The headers of a gRPC call."""
    more = [(b"te", b"trailers")]
    if authorization:
        more.append((b"authorization", authorization.encode()))
    return request(method, path, b"application/grpc", more)


def message(body, claimed=None, compressed=False):
    """A gRPC message, which may claim to be longer than it is."""
    return struct.pack(">BI", compressed, len(body) if claimed is None else claimed) + body


def varint(number):
    out = bytearray()
    while number >= 128:
        out.append(number % 128 | 128)
        number //= 128
    return bytes(out + bytes([number]))


def field(number, body):
    """A field of protobuf that has a length."""
    return varint(number << 3 | 2) + varint(len(body)) + body


def ids(number, customer):
    pairs = customer.items()
    return b"".join(field(number, field(1, key.encode()) + field(2, value.encode())) for key, value in pairs)


def add_event(customer, kind="t", properties=None, token="adversary"):
    """The bytes of an AddEventRequest, whose properties are texts."""
    texts = b""
    for name, value in (properties or {}).items():
        texts += field(1, field(1, name.encode()) + field(2, field(3, value.encode())))
    return field(1, token.encode()) + ids(2, customer) + field(3, kind.encode()) + field(4, texts)


def name_customer(customer, token="adversary"):
    """The bytes of a question about one customer."""
    return field(1, token.encode()) + ids(2, customer)


def track(command_id, event, token=b"adversary"):
    """The bytes of a TrackStreamRequest with an event."""
    return field(1, token) + field(2, field(1, command_id) + field(3, event))


def raw(address, settings=b""):
    connection = http1.connect(address)
    connection.sendall(PREFACE + frame(SETTINGS, 0, 0, settings))
    return connection


class H2:
    """A connection whose windows are minded, so that what is sent arrives."""

    def __init__(self, address, window=None, source=None):
        self.socket = http1.connect(address, source)
        settings = b"" if window is None else struct.pack(">HI", INITIAL_WINDOW_SIZE, window)
        self.takes = window is None
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0, settings))
        if self.takes:
            self.socket.sendall(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", WINDOW_BYTES_MAX - 65535)))
        self.read = bytearray()
        self.initial, self.window, self.windows = 65535, 65535, {}
        self.next, self.ended = 1, None
        # By stream: bytes of answers, and how it ended.
        self.bytes, self.outcomes = {}, {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def open(self, headers, ends=False):
        stream, self.next = self.next, self.next + 2
        self.windows[stream] = self.initial
        self.write(frame(HEADERS, END_HEADERS | (END_STREAM if ends else 0), stream, headers))
        return stream

    def send(self, stream, data, ends=False, seconds=5):
        """Sends data as the windows allow. Whether all of it was taken in time."""
        until = time.monotonic() + seconds
        at = 0
        while at < len(data) or ends:
            room = min(self.window, self.windows.get(stream, 0), WRITE_BYTES_MAX, len(data) - at)
            if room <= 0 and at < len(data):
                if stream in self.outcomes or self.ended or not self.pump(until - time.monotonic()):
                    return False
                continue
            at += room
            self.window -= room
            self.windows[stream] -= room
            last = ends and at == len(data)
            if not self.write(frames(stream, data[at - room:at], last)):
                return False
            if last:
                break
        return True

    def write(self, piece):
        try:
            self.socket.sendall(piece)
            return True
        except (ConnectionError, TimeoutError):
            self.ended = self.ended or "closed"
            return False

    def pump(self, seconds):
        """Reads what has come, and waits for something if nothing has. Whether there was anything."""
        if self.ended or seconds <= 0 or not select.select([self.socket], [], [], seconds)[0]:
            return False
        try:
            piece = self.socket.recv(1 << 18)
        except (ConnectionError, TimeoutError):
            piece = b""
        if not piece:
            self.ended = self.ended or "closed"
            return False
        self.read += piece
        at = 0
        while len(self.read) - at >= 9:
            size = int.from_bytes(self.read[at:at + 3], "big")
            if len(self.read) - at < 9 + size:
                break
            kind, flags = self.read[at + 3], self.read[at + 4]
            stream = int.from_bytes(self.read[at + 5:at + 9], "big")
            self.take(kind, flags, stream, bytes(self.read[at + 9:at + 9 + size]))
            at += 9 + size
        del self.read[:at]
        return True

    def take(self, kind, flags, stream, payload):
        if kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), 6):
                name, value = struct.unpack(">HI", payload[at:at + 6])
                if name == INITIAL_WINDOW_SIZE:
                    self.windows = {one: window + value - self.initial for one, window in self.windows.items()}
                    self.initial = value
            self.write(frame(SETTINGS, ACK, 0))
        elif kind == WINDOW_UPDATE:
            more = int.from_bytes(payload, "big")
            if stream:
                self.windows[stream] = self.windows.get(stream, 0) + more
            else:
                self.window += more
        elif kind == PING and not flags & ACK:
            self.write(frame(PING, ACK, 0, payload))
        elif kind == DATA:
            self.bytes[stream] = self.bytes.get(stream, 0) + len(payload)
            if payload and self.takes:
                more = struct.pack(">I", len(payload))
                self.write(frame(WINDOW_UPDATE, 0, 0, more) + frame(WINDOW_UPDATE, 0, stream, more))
        elif kind == RST_STREAM:
            code = int.from_bytes(payload, "big")
            self.outcomes[stream] = f"reset: {CODES.get(code, code)}"
        elif kind == GOAWAY:
            code = int.from_bytes(payload[4:8], "big")
            self.ended = f"GOAWAY {CODES.get(code, code)}"
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            # A gRPC call that fails at once has no data.
            self.outcomes.setdefault(stream, "answered" if self.bytes.get(stream) else "refused")

    def settle(self, seconds, streams=()):
        """Reads until the streams have ended, if there are any named, or for so many seconds."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.ended:
            if streams and all(stream in self.outcomes for stream in streams):
                break
            self.pump(until - time.monotonic())

    def unary(self, headers, body, seconds=15):
        """Makes a gRPC call, and tells how it ended."""
        stream = self.open(headers)
        self.send(stream, message(body), ends=True)
        self.settle(seconds, [stream])
        return self.outcomes.get(stream, self.ended or "no answer")

    def outcome(self, stream):
        return self.outcomes.get(stream) or self.ended or STILL_OPEN

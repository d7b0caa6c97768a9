"""Connections and HTTP/1.1: who opens much and says little, says it slowly, or takes no answer."""

import http1
from crowd import attack

CONNECTIONS = 40
EVENTS = http1.TRACK + "/customers/events"
# As many as an address may have, so that the attacks below go beyond it.
FEW = "connections_per_address_max = 64"
DEFAULT_QUOTA = ""


@attack(CONNECTIONS, server=FEW, rate_limit=DEFAULT_QUOTA)
def silent_connections(target):
    with http1.connect(target.address) as connection:
        return http1.status(connection)


@attack(CONNECTIONS, server=FEW, rate_limit=DEFAULT_QUOTA)
def slow_heads(target):
    with http1.connect(target.address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        return http1.trickle(connection, b"a: b\r\n", 0.1, target)


@attack(CONNECTIONS, server=FEW, rate_limit=DEFAULT_QUOTA)
def first_byte_of_the_preface(target):
    with http1.connect(target.address) as connection:
        connection.sendall(b"P")
        return http1.status(connection)


@attack(CONNECTIONS, server=FEW, rate_limit=DEFAULT_QUOTA)
def slow_handshakes(target):
    """A TLS client's hello to a listener of plain text, a byte after the other."""
    with http1.connect(target.address) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01")
        return http1.trickle(connection, b"\x00", 0.1, target)


@attack(CONNECTIONS, server=FEW, rate_limit=DEFAULT_QUOTA)
def slow_bodies(target):
    with http1.connect(target.address) as connection:
        connection.sendall(http1.head(EVENTS, 100_000))
        return http1.trickle(connection, b" ", 0.1, target)


@attack(4, server=FEW, rate_limit=DEFAULT_QUOTA)
def huge_heads(target):
    with http1.connect(target.address) as connection:
        try:
            connection.sendall(b"GET / HTTP/1.1\r\na: " + b"x" * 1_000_000)
        except ConnectionError:
            pass
        return http1.status(connection)


@attack(4, server=FEW, rate_limit=DEFAULT_QUOTA)
def small_answers_not_taken(target):
    with http1.connect(target.address, receive_bytes=4096) as connection:
        try:
            while target.goes_on():
                connection.sendall(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
        except ConnectionError:
            return "closed"
        except TimeoutError:
            return "not read from any more"
    return "still open at the end"


@attack(8, server=FEW, rate_limit=DEFAULT_QUOTA)
def new_connections(target):
    with http1.connect(target.address) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return http1.status(connection)


@attack(8, rate_limit=DEFAULT_QUOTA)
def guessed_secrets(target):
    body = {"customer_ids": {"cookie": "a"}, "attributes": [{"type": "id", "id": "cookie"}]}
    with http1.Caller(target.address) as caller:
        return http1.outcome(caller.asks(http1.DATA + "/customers/attributes", body, "Basic cmVhZGVyOndyb25n"))

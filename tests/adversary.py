"""Attacks a service of its own, one way after the other, while an honest caller measures how it is served.

    python3 tests/adversary.py [BINARY] [--seconds N] [--only NAME]

Needs nothing but Python 3, and starts BINARY (target/release/footfall by default) on loopback in a folder that goes away. For each
attack it prints what the attackers got, the honest caller's 99th percentile before and during it, how often the service said that a guard
turned something away, and how much memory it took at most. It exits with 1 if an honest request failed or the service died.

The attackers are threads of one process and the honest caller is another, so that they do not share Python's lock; but all of them share the
machine's cores with the service. With two cores, most of what the honest caller waits for is its turn on a core, and a service on a machine
of its own does better.
"""

import argparse
import collections
import gzip
import http.client
import json
import multiprocessing
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib

PROJECT = """
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
header_timeout = "2s"
body_timeout = "2s"
idle_timeout = "2s"
connections_per_address_max = 64
[client_address]
trusted_proxies = []
[[project]]
token = "adversary"
[[project.key]]
public = "public"
permissions = ["customers:set", "events:set"]
"""
PATH = "/track/v2/projects/adversary/customers/events"
EVENT = json.dumps({"customer_ids": {"cookie": "honest"}, "event_type": "visit"})
# Another address than the attackers', on loopback too, with a quota of its own: 100 requests a second for good, and 6,000 at once.
HONEST = "127.0.0.2"
HONEST_PER_SECOND = 200
ATTACKERS = 2
CONNECTIONS = 40


# The service.

class Service:
    def __init__(self, binary, folder):
        with open(os.path.join(folder, "footfall.toml"), "w") as file:
            file.write(PROJECT + f'[data]\ndir = "{folder}/data"\n')
        self.log = open(os.path.join(folder, "log"), "w+")
        command = [os.path.abspath(binary), "serve", "--config", "footfall.toml"]
        self.process = subprocess.Popen(command, cwd=folder, stdout=self.log, stderr=self.log)
        self.address, self.admin = self.told()
        while self.get(self.address, "/readyz")[0] != 200:
            self.must_live()

    def told(self):
        while True:
            self.must_live()
            self.log.seek(0)
            words = dict(word.split("=", 1) for word in self.log.read().split() if "=" in word)
            if "address" in words and "admin" in words:
                return [split(words[name]) for name in ("address", "admin")]
            time.sleep(0.01)

    def must_live(self):
        if self.process.poll() is not None:
            self.log.seek(0)
            sys.exit(f"the service has ended:\n{self.log.read()}")

    @staticmethod
    def get(address, path):
        connection = http.client.HTTPConnection(*address, timeout=30)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def rejections(self):
        """What each guard has turned away."""
        lines = self.get(self.admin, "/metrics")[1].splitlines()
        prefix = 'footfall_guard_rejections_total{guard="'
        found = (line[len(prefix):].split('"} ') for line in lines if line.startswith(prefix))
        return collections.Counter({guard: int(count) for guard, count in found})

    def metric(self, name):
        lines = self.get(self.admin, "/metrics")[1].splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name + " "))

    def memory_mib(self):
        """The most that it took so far; none where the system does not tell."""
        try:
            with open(f"/proc/{self.process.pid}/status") as file:
                return next(int(line.split()[1]) // 1024 for line in file if line.startswith("VmHWM"))
        except OSError:
            return None


def split(address):
    host, port = address.rsplit(":", 1)
    return host, int(port)


# The honest caller.

def honest(address, stop, results):
    """Stores events over a connection that it keeps, at its pace, and opens another one where it was closed in between."""
    latencies, failures = [], []
    connection = None
    began = due = time.perf_counter()
    while not stop.is_set():
        due += 1 / HONEST_PER_SECOND
        time.sleep(max(0, due - time.perf_counter()))
        at = time.perf_counter()
        try:
            if connection is None:
                connection = http.client.HTTPConnection(*address, timeout=10, source_address=(HONEST, 0))
                connection.connect()
                connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.request("POST", PATH, EVENT, {"Authorization": "Token public"})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                failures.append(f"{answer.status} {body[:200]!r}")
        except Exception as error:
            failures.append(repr(error))
            connection = None
        latencies.append(time.perf_counter() - at)
    results.put((latencies, failures, time.perf_counter() - began))


def measure(address, seconds, attack=None):
    """The honest caller's latencies and failures, and what the attackers got meanwhile."""
    stop, results = multiprocessing.Event(), multiprocessing.Queue()
    caller = multiprocessing.Process(target=honest, args=(address, stop, results))
    caller.start()
    got = collections.Counter()
    if attack:
        until = time.monotonic() + seconds
        crowd = multiprocessing.Queue()
        attackers = [
            multiprocessing.Process(target=attacker, args=(attack, address, until, crowd)) for _ in range(ATTACKERS)
        ]
        for process in attackers:
            process.start()
        for _ in attackers:
            got.update(crowd.get())
        for process in attackers:
            process.join()
    else:
        time.sleep(seconds)
    stop.set()
    latencies, failures, _ = results.get()
    caller.join()
    return latencies, failures, got


def p99_ms(latencies):
    return 1000 * sorted(latencies)[min(len(latencies) - 1, int(len(latencies) * 0.99))]


# The attackers.

def attacker(attack, address, until, crowd):
    got, lock = collections.Counter(), threading.Lock()

    def one():
        while time.monotonic() < until:
            try:
                outcome = attack(address, until)
            except OSError as error:
                outcome = type(error).__name__
            with lock:
                got[outcome] += 1

    threads = [threading.Thread(target=one) for _ in range(attack.connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    crowd.put(got)


ATTACKS = []


def attack(connections):
    """An attack over so many connections at once of each of the attackers."""
    def register(function):
        function.connections = connections
        ATTACKS.append(function)
        return function
    return register


def connect(address):
    connection = socket.create_connection(address, timeout=5)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def answer(connection):
    """What HTTP/1.1 says before it closes: a status, or nothing."""
    try:
        line = connection.recv(64).split(b"\r\n")[0].decode("latin-1")
    except (ConnectionError, TimeoutError):
        return "closed"
    return line.removeprefix("HTTP/1.1 ") or "closed"


def trickle(connection, piece, pace, until):
    """Sends a piece after the other until the service has had enough."""
    connection.settimeout(pace)
    while time.monotonic() < until:
        try:
            connection.sendall(piece)
            got = connection.recv(64)
            return got.split(b"\r\n")[0].decode("latin-1").removeprefix("HTTP/1.1 ") or "closed"
        except TimeoutError:
            pass
        except ConnectionError:
            return "closed"
    return "still open at the end"


def post(length, more=""):
    return (
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Token public\r\nContent-Length: {length}\r\n{more}\r\n"
    ).encode()


@attack(CONNECTIONS)
def silent_connections(address, until):
    with connect(address) as connection:
        return answer(connection)


@attack(CONNECTIONS)
def slow_heads(address, until):
    with connect(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        return trickle(connection, b"a: b\r\n", 0.1, until)


@attack(CONNECTIONS)
def first_byte_of_the_preface(address, until):
    with connect(address) as connection:
        connection.sendall(b"P")
        return answer(connection)


@attack(CONNECTIONS)
def slow_bodies(address, until):
    with connect(address) as connection:
        connection.sendall(post(100_000))
        return trickle(connection, b" ", 0.1, until)


@attack(4)
def huge_heads(address, until):
    with connect(address) as connection:
        try:
            connection.sendall(b"GET / HTTP/1.1\r\na: " + b"x" * 1_000_000)
        except ConnectionError:
            pass
        return answer(connection)


@attack(4)
def answers_not_taken(address, until):
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(5)
        connection.connect(address)
        try:
            while time.monotonic() < until:
                connection.sendall(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
        except ConnectionError:
            return "closed"
        except TimeoutError:
            return "not read from any more"
    return "still open at the end"


@attack(8)
def new_connections(address, until):
    with connect(address) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return answer(connection)


BOMBS = {
    "gzip": gzip.compress(b" " * 64_000_000),
    "deflate": zlib.compress(b" " * 64_000_000, 9),
}


def bomb(address, coding):
    body = BOMBS[coding]
    with connect(address) as connection:
        try:
            connection.sendall(post(len(body), f"Content-Encoding: {coding}\r\nConnection: close\r\n") + body)
        except ConnectionError:
            pass
        return answer(connection)


@attack(2)
def gzip_bombs(address, until):
    return bomb(address, "gzip")


@attack(2)
def deflate_bombs(address, until):
    return bomb(address, "deflate")


@attack(2)
def deep_json(address, until):
    body = ('{"customer_ids":{"cookie":"a"},"event_type":"t","properties":{"x":' + "[" * 8_000 + "]" * 8_000 + "}}").encode()
    with connect(address) as connection:
        connection.sendall(post(len(body), "Connection: close\r\n") + body)
        return answer(connection)


# HTTP/2, as frames.

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
END_STREAM, END_HEADERS = 1, 4
CODES = {0: "no error", 1: "protocol error", 7: "refused", 9: "compression error", 11: "enhance your calm"}


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def header(name, value):
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def request(method=b"GET", path=b"/nothing", content_type=b"application/json"):
    return b"".join([
        header(b":method", method), header(b":scheme", b"http"), header(b":path", path), header(b":authority", b"x"),
        header(b"content-type", content_type),
    ])


def h2(address, settings=b""):
    connection = connect(address)
    connection.sendall(PREFACE + frame(SETTINGS, 0, 0, settings))
    return connection


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
            return "closed" if code is None else f"GOAWAY {CODES.get(code, code)}"
    return "still open at the end"


def flood(address, first, pieces, settings=b""):
    """Sends all pieces, or as many as the service takes, and tells how it ends."""
    with h2(address, settings) as connection:
        try:
            connection.sendall(first)
            for piece in pieces:
                connection.sendall(piece)
        except (ConnectionError, TimeoutError):
            pass
        return goaway(connection)


@attack(4)
def rapid_resets(address, until):
    def pairs():
        for stream in range(1, 20_001, 2):
            yield frame(HEADERS, END_HEADERS | END_STREAM, stream, request()) + frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
    return flood(address, b"", [b"".join(pairs())])


@attack(4)
def continuation_flood(address, until):
    piece = frame(CONTINUATION, 0, 1, header(b"a", b"b")) * 10_000
    return flood(address, frame(HEADERS, 0, 1, request()), [piece] * 10)


@attack(4)
def header_bombs(address, until):
    # One header of 3,000 bytes is remembered, and named 10,000 times by one byte each.
    long = b"\x40\x01x" + b"\x7f" + bytes([(3000 - 127) % 128 | 128, (3000 - 127) // 128]) + b"y" * 3000
    return flood(address, frame(HEADERS, END_HEADERS | END_STREAM, 1, request() + long + b"\xbe" * 10_000), [])


@attack(4)
def empty_data(address, until):
    head = frame(HEADERS, END_HEADERS, 1, request(b"POST", b"/footfall.tracking.v2.TrackingService/AddEvent", b"application/grpc"))
    return flood(address, head, [frame(DATA, 0, 1) * 10_000] * 10)


def unread(address, until, piece):
    """Sends on and never reads."""
    with h2(address) as connection:
        connection.settimeout(5)
        try:
            while time.monotonic() < until:
                connection.sendall(piece)
        except TimeoutError:
            return "not read from any more"
        except ConnectionError:
            return "closed"
    return "still open at the end"


@attack(2)
def ping_flood(address, until):
    return unread(address, until, frame(PING, 0, 0, b"12345678") * 1000)


@attack(2)
def settings_flood(address, until):
    return unread(address, until, frame(SETTINGS, 0, 0) * 1000)


@attack(CONNECTIONS)
def half_a_frame(address, until):
    with h2(address) as connection:
        connection.sendall(frame(HEADERS, 0, 1, request())[:20])
        return goaway(connection)


@attack(4)
def no_window(address, until):
    requests = b"".join(frame(HEADERS, END_HEADERS | END_STREAM, stream, request()) for stream in range(1, 400, 2))
    return flood(address, b"", [requests], struct.pack(">HI", 4, 0))


@attack(4)
def calls_without_a_message(address, until):
    head = request(b"POST", b"/footfall.tracking.v2.TrackingService/AddEvent", b"application/grpc")
    return flood(address, b"", [frame(HEADERS, END_HEADERS, stream, head) for stream in range(1, 400, 2)])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("binary", nargs="?", default="target/release/footfall")
    parser.add_argument("--seconds", type=float, default=4, help="how long each attack lasts")
    parser.add_argument("--only", help="the attack with this name alone")
    options = parser.parse_args()
    attacks = [one for one in ATTACKS if options.only in (None, one.__name__)]
    if not attacks:
        sys.exit("known: " + ", ".join(one.__name__ for one in ATTACKS))
    bad = False
    print(f"{'attack':<27}{'honest p99':>13}{'during':>9}{'failed':>8}{'memory':>9}  what the attackers got; what guards counted")
    for one in attacks:
        # A service each, so that neither the attackers' debt nor what they left open meets the next one.
        with tempfile.TemporaryDirectory() as folder:
            service = Service(options.binary, folder)
            try:
                before, failed_before, _ = measure(service.address, 2)
                counted = service.rejections()
                during, failed, got = measure(service.address, options.seconds, one)
                counted = service.rejections() - counted
                panics = service.metric("footfall_panics_total")
                service.must_live()
                memory = service.memory_mib()
            finally:
                service.process.kill()
                service.process.wait()
                service.log.close()
        failures = failed_before + failed
        bad |= bool(failures) or panics > 0
        told = ", ".join(f"{count} x {outcome}" for outcome, count in got.most_common(4))
        guards = ", ".join(f"{guard} {count}" for guard, count in counted.items()) or "nothing"
        memory = "" if memory is None else f"{memory} MiB"
        print(
            f"{one.__name__:<27}{p99_ms(before):>10.1f} ms{p99_ms(during):>6.1f} ms{len(failed):>8}{memory:>9}  {told}; {guards}",
            flush=True,
        )
        for failure in failures[:3]:
            print(f"    an honest request failed: {failure}")
        if panics:
            print(f"    {panics} panics")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()

"""Reads of what was built up: large answers, many at once, and nobody who takes them."""

import http1
import http2
from crowd import attack

from .customers import EXPORT_ONE, PAST, events_of, folded, profile_batches

EVENTS = http1.DATA + "/customers/events"


def reads(target, count, path, question, more=""):
    """So many reads at once."""
    def asks(_):
        with http1.Caller(target.address) as caller:
            answer = caller.asks(path, question, http1.PRIVATE, more)
            return f"{http1.outcome(answer)}, {len(answer[1]) / 1e6:.0f} MB"

    target.at_once(count, asks)


def enormous_profile(target):
    with http1.Caller(target.address) as caller:
        http1.send_batches(target, caller, profile_batches({"cookie": "enormous"}, 4))
        folded(target, caller, {"cookie": "enormous"})
    target.begins()


@attack()
def enormous_profile_read_by_many(target):
    enormous_profile(target)
    reads(target, 24, EXPORT_ONE, {"customer_ids": {"cookie": "enormous"}})


@attack()
def enormous_profile_compressed_for_many(target):
    enormous_profile(target)
    reads(target, 24, EXPORT_ONE, {"customer_ids": {"cookie": "enormous"}}, "Accept-Encoding: gzip\r\n")


@attack()
def properties_that_are_long_as_json(target):
    """Control characters take six bytes each as JSON, and one as they are kept."""
    value = "\u0001" * 2_600
    with http1.Caller(target.address) as caller:
        for batch in range(8):
            commands = []
            for command in range(20):
                names = [f"p{batch}-{command}-{n}" for n in range(48)]
                commands.append(http1.update({"cookie": "escaped"}, {name: value for name in names}))
            http1.send_batches(target, caller, [commands])
        folded(target, caller, {"cookie": "escaped"})
    target.begins()
    reads(target, 24, EXPORT_ONE, {"customer_ids": {"cookie": "escaped"}})


def many_events(target):
    """14 MiB of events."""
    with http1.Caller(target.address) as caller:
        http1.send_batches(target, caller, events_of({"cookie": "read"}, 10_000, size=1_400))
        folded(target, caller, {"cookie": "read"})
    target.begins()


ALL_OF_THEM = {"customer_ids": {"cookie": "read"}, "event_types": ["t"]}


@attack(seconds=6)
def large_answers_to_many(target):
    many_events(target)
    reads(target, 64, EVENTS, ALL_OF_THEM)


@attack(seconds=6)
def large_answers_not_taken(target):
    """100 answers of 14 MiB over a connection each."""
    many_events(target)
    connections = []
    for _ in range(100):
        connection = http1.connect(target.address, receive_bytes=4096)
        connection.sendall(http1.post(EVENTS, ALL_OF_THEM, http1.PRIVATE))
        connections.append(connection)
    http1.hold(target, connections)


@attack(seconds=6)
def large_answers_without_a_window(target):
    """200 answers of 14 MiB over one connection of HTTP/2, which may send none of them."""
    many_events(target)
    question = http2.name_customer({"cookie": "read"}) + http2.field(3, b"t")
    headers = http2.call(http2.CUSTOMERS + b"ListEvents", http1.PRIVATE)
    with http2.H2(target.address, window=0) as caller:
        streams = [caller.open(headers) for _ in range(200)]
        for stream in streams:
            caller.send(stream, http2.message(question), ends=True)
        while target.goes_on() and not caller.ended:
            # It says that it is there when it is asked.
            caller.pump(0.2)
        for stream in streams:
            target.count(caller.outcome(stream))


@attack(seconds=6)
def one_of_many_events_of_one_moment(target):
    """Reads of one event, where 50,000 have the same time."""
    with http1.Caller(target.address) as caller:
        http1.send_batches(target, caller, events_of({"cookie": "moment"}, 50_000, timestamp=PAST))
        folded(target, caller, {"cookie": "moment"})
    again_and_again(target, {"customer_ids": {"cookie": "moment"}, "event_types": ["t"], "limit": 1})


@attack(seconds=6)
def events_of_a_type_that_never_comes(target):
    """Reads of nothing, which pass over 50,000 events."""
    with http1.Caller(target.address) as caller:
        http1.send_batches(target, caller, events_of({"cookie": "skipped"}, 50_000))
        folded(target, caller, {"cookie": "skipped"})
    again_and_again(target, {"customer_ids": {"cookie": "skipped"}, "event_types": ["none"], "limit": 1})


def again_and_again(target, question):
    target.begins()

    def asks(_):
        with http1.Caller(target.address) as caller:
            while target.goes_on():
                target.count(http1.outcome(caller.asks(EVENTS, question, http1.PRIVATE)))

    target.at_once(32, asks)


@attack(seconds=6)
def readers_that_hang_up(target):
    """600 reads of much, whose callers are gone before the answer, and then as many more as there is time for."""
    many_events(target)
    request = http1.post(EVENTS, ALL_OF_THEM, http1.PRIVATE)

    def hangs_up():
        with http1.connect(target.address) as connection:
            connection.sendall(request)
        target.count("hung up")

    def asks(_):
        while target.goes_on():
            hangs_up()

    for _ in range(600):
        hangs_up()
    target.at_once(8, asks)

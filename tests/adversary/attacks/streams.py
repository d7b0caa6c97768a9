"""Streams: what outlives the request that brought it, and whom its messages are charged to."""

import http1
import http2
from crowd import attack
from http2 import DATA, END_STREAM, HEADERS, frame

MIB = 1 << 20
# More than one address has any business to hold: as many as it may have requests in flight.
STREAMS_OF_AN_ADDRESS = 1024
TRACK_STREAM = http2.TRACKING + b"TrackStream"
WATCH = http2.CUSTOMERS + b"WatchEvents"
# A question to reflection: list_services.
LIST_SERVICES = http2.message(http2.field(7, b"*"))


def many_streams(target, headers, first, ends, connections=20, streams=250):
    """Opens thousands of streams, and tells how many are open at the end."""
    def opens(_):
        with http2.H2(target.address) as caller:
            opened = []
            for _ in range(streams):
                stream = caller.open(headers)
                opened.append(stream)
                if caller.ended or not caller.send(stream, first, ends, seconds=1):
                    break
            while target.goes_on() and not caller.ended:
                caller.pump(0.2)
            for stream in opened:
                target.count(caller.outcome(stream))

    target.at_once(connections, opens)
    left = target.got[http2.STILL_OPEN]
    if left > STREAMS_OF_AN_ADDRESS:
        target.breaks(f"one address holds {left} streams")


@attack()
def streams_of_reflection(target):
    many_streams(target, http2.call(http2.REFLECTION), LIST_SERVICES, ends=False)


@attack()
def questions_in_one_stream_of_reflection(target):
    """One charged request, and as many questions as it takes."""
    def asks(_):
        with http2.H2(target.address) as caller:
            stream = caller.open(http2.call(http2.REFLECTION))
            while target.goes_on() and stream not in caller.outcomes and not caller.ended:
                if not caller.send(stream, LIST_SERVICES * 100, seconds=1):
                    break
                target.count("questions", 100)
                while caller.pump(0.001):
                    pass
            return caller.outcome(stream)

    target.at_once(8, asks)


@attack()
def watches_of_health(target):
    many_streams(target, http2.call(http2.HEALTH), http2.message(b""), ends=True)


def first_of_a_stream(index):
    return http2.message(http2.track(b"1", http2.add_event({"cookie": f"stream-{index}"})))


@attack(seconds=9)
def messages_of_streams_that_do_not_end(target):
    """Each stream says whose it is, and then sends most of a message of 16 MiB: 1 GiB in all."""
    unfinished = http2.message(b" " * (16 * MIB - 64), claimed=16 * MIB - 63)

    def sends(index):
        with http2.H2(target.address) as caller:
            stream = caller.open(http2.call(TRACK_STREAM, http1.PUBLIC))
            caller.send(stream, first_of_a_stream(index))
            if not caller.send(stream, unfinished, seconds=5):
                target.count("not taken whole")
            while target.goes_on() and stream not in caller.outcomes and not caller.ended:
                caller.pump(0.2)
            return caller.outcome(stream)

    target.at_once(64, sends)
    messages_end(target)


def messages_end(target):
    """`body_timeout` is over for all messages that have begun."""
    left = target.got[http2.STILL_OPEN]
    if left:
        target.breaks(f"{left} messages of streams may take longer than body_timeout")


@attack(seconds=6)
def stream_messages_that_trickle(target):
    """Messages of 4 MiB, of which a byte comes now and then."""
    def sends(index):
        with http2.H2(target.address) as caller:
            streams = [caller.open(http2.call(TRACK_STREAM, http1.PUBLIC)) for _ in range(50)]
            for stream in streams:
                caller.send(stream, first_of_a_stream(index) + http2.message(b"", claimed=4 * MIB))
            while target.goes_on() and not caller.ended:
                for stream in streams:
                    if stream not in caller.outcomes:
                        caller.send(stream, b" ", seconds=0.01)
                caller.pump(0.3)
            for stream in streams:
                target.count(caller.outcome(stream))

    target.at_once(8, sends)
    messages_end(target)


@attack()
def stream_messages_a_byte_at_a_time(target):
    """Behind the first message, each byte of a message of 1 MiB is a frame, and they come as fast as they can."""
    def sends(index):
        with http2.H2(target.address) as caller:
            streams = [caller.open(http2.call(TRACK_STREAM, http1.PUBLIC)) for _ in range(50)]
            for stream in streams:
                caller.send(stream, first_of_a_stream(index))
                caller.send(stream, http2.message(b"", claimed=MIB))
            while target.goes_on() and not caller.ended:
                open_ones = [stream for stream in streams if stream not in caller.outcomes]
                for stream in open_ones:
                    room = min(100, caller.window, caller.windows.get(stream, 0))
                    caller.window -= room
                    caller.windows[stream] -= room
                    caller.write(frame(DATA, 0, stream, b" ") * room)
                if not open_ones or not caller.pump(0.001) and caller.window <= 0:
                    caller.pump(0.1)
            for stream in streams:
                target.count(caller.outcome(stream))

    target.at_once(8, sends)


@attack()
def track_streams_whose_answers_are_not_read(target):
    """Sends commands and gives no window for their acknowledgements."""
    event = http2.add_event({"cookie": "unread"}, properties={"x": "y" * 1000})
    command = http2.message(http2.track(b"x" * 1000, event))

    def sends(_):
        with http2.H2(target.address, window=0) as caller:
            streams = [caller.open(http2.call(TRACK_STREAM, http1.PUBLIC)) for _ in range(50)]
            sent = 0
            for stream in streams * 100:
                if not target.goes_on() or caller.ended:
                    break
                sent += caller.send(stream, command * 50, seconds=0.05) * 50
            target.count("commands sent", sent)
            while target.goes_on() and not caller.ended:
                caller.pump(0.2)
            for stream in streams:
                target.count(caller.outcome(stream))

    target.at_once(8, sends)


def watch(key, start):
    authorization = http1.PRIVATE if key else None
    return http2.call(WATCH, authorization), http2.message(http2.field(1, b"adversary") + b"\x18" + bytes([start]))


@attack()
def watches_without_credentials(target):
    headers, question = watch(False, 2)
    many_streams(target, headers, question, ends=True)


@attack()
def watches_that_never_read(target):
    """As many as a key may have and more, from the beginning, over a hundred MiB of events."""
    with http1.Caller(target.address) as caller:
        large = {f"p{n}": "x" * 10_000 for n in range(20)}
        events = [http1.event({"cookie": "watched"}, large, timestamp=1_700_000_000 + n) for n in range(300)]
        http1.send_batches(target, caller, http1.batches_of(events))
    target.begins()
    headers, question = watch(True, 2)

    def watches(_):
        with http2.H2(target.address, window=0) as caller:
            streams = []
            for _ in range(40):
                stream = caller.open(headers)
                caller.send(stream, question, ends=True)
                streams.append(stream)
            while target.goes_on() and not caller.ended:
                caller.pump(0.2)
            for stream in streams:
                target.count(caller.outcome(stream))

    target.at_once(4, watches)


@attack(4)
def calls_that_are_cut_off(target):
    """Whole calls whose connection closes before the answer."""
    event = http2.message(http2.add_event({"cookie": "cut"}))
    with http2.raw(target.address) as connection:
        for stream in range(1, 200, 2):
            head = http2.call(http2.TRACKING + b"AddEvent", http1.PUBLIC)
            connection.sendall(frame(HEADERS, http2.END_HEADERS, stream, head) + frame(DATA, END_STREAM, stream, event))
    return "cut off"

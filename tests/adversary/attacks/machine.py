"""The machine's own limits, and requests that are not what they look like."""

import json
import os
import signal
import time

import http1
import http2
from crowd import attack

from . import streams

EVENTS = http1.TRACK + "/customers/events"
ADD_EVENT = http2.TRACKING + b"AddEvent"
DESCRIPTORS = 1024
TRIES = 50
QUOTA = 5
# The attacker has five requests an hour; the honest caller, and anyone who counts at the end, have no limit.
FIVE = f'requests = {QUOTA}\nperiod = "1h"\nexempt = ["127.0.0.2/32", "127.0.0.3/32"]'
COUNTING = "127.0.0.3"


@attack(timeouts="", descriptors=DESCRIPTORS, seconds=5)
def idle_connections_where_descriptors_are_few(target):
    """More connections than the process may have descriptors, from several addresses, while others write."""
    writer = http1.Caller(target.address)
    target.count(http1.outcome(writer.asks(EVENTS, http1.event({"cookie": "before"})["data"])))
    connections = []
    for n in range(DESCRIPTORS + 100):
        try:
            connections.append(http1.connect(target.address, source=f"127.0.1.{n // 200 + 1}"))
        except OSError as error:
            target.count(type(error).__name__)
            break
    target.count("connected", len(connections))
    # While none are left, so much is written that the engine needs files.
    with writer:
        body = {"commands": [http1.event({"cookie": f"few-{n}"}, {"x": "y" * 15_000}) for n in range(50)]}
        while target.goes_on():
            outcome = http1.outcome(writer.asks(http1.TRACK + "/batch", body))
            target.count("batches: " + outcome)
            if outcome != "200":
                time.sleep(0.1)
    http1.hold(target, connections)
    # Once the attacker has gone, others are served as before.
    time.sleep(1)
    with http1.Caller(target.address) as caller:
        answer = caller.asks(EVENTS, http1.event({"cookie": "after"})["data"])
    target.count("a write after it: " + http1.outcome(answer))
    if answer[0] != 200:
        target.breaks(f"a write after the attack is refused: {http1.outcome(answer)}")


@attack(seconds=6)
def stopped_and_continued(target):
    """The process is stopped for longer than its timers; callers ask meanwhile over connections that they keep."""
    callers = [http1.Caller(target.address) for _ in range(50)]
    request = http1.event({"cookie": "kept"})["data"]
    for caller in callers:
        target.count("before: " + http1.outcome(caller.asks(EVENTS, request)))
    time.sleep(0.5)
    os.kill(target.pid, signal.SIGSTOP)
    try:
        for caller in callers:
            caller.socket.sendall(http1.post(EVENTS, request))
        time.sleep(3)
    finally:
        os.kill(target.pid, signal.SIGCONT)
    unanswered = 0
    for caller in callers:
        try:
            target.count("during: " + http1.outcome(caller.answer()))
        except OSError as error:
            unanswered += 1
            target.count("during: " + type(error).__name__)
        caller.socket.close()
    if unanswered:
        target.breaks(f"{unanswered} requests that came in time were closed without an answer")


@attack(rate_limit=FIVE)
def calls_that_look_like_preflights(target):
    """`OPTIONS` is exempt from the quota; the content type makes it a gRPC call."""
    def event(name):
        return http2.message(http2.add_event({"cookie": "quota"}, properties={"n": name}))

    with http2.H2(target.address) as caller:
        calls = []
        for n in range(TRIES):
            stream = caller.open(http2.call(ADD_EVENT, http1.PUBLIC, method=b"OPTIONS"))
            caller.send(stream, event(f"h2-{n}"), ends=True)
            calls.append(stream)
        caller.settle(5, calls)
        for stream in calls:
            target.count("HTTP/2: " + caller.outcome(stream))
    for n in range(TRIES):
        body = event(f"h1-{n}")
        with http1.connect(target.address) as connection:
            more = "Content-Type: application/grpc\r\nTE: trailers\r\nConnection: close\r\n"
            connection.sendall(http1.head(ADD_EVENT.decode(), len(body), more=more, method="OPTIONS") + body)
            target.count("HTTP/1.1: " + http1.status(connection))
    within_the_quota(target)


@attack(rate_limit=FIVE)
def messages_of_a_stream_beyond_the_quota(target):
    """Opening a stream is one request, and each of its messages another."""
    with http2.H2(target.address) as caller:
        stream = caller.open(http2.call(http2.TRACKING + b"TrackStream", http1.PUBLIC))
        for n in range(TRIES):
            event = http2.add_event({"cookie": "quota"}, properties={"n": str(n)})
            caller.send(stream, http2.message(http2.track(str(n).encode(), event)))
        caller.settle(1)
    within_the_quota(target)


@attack(rate_limit=FIVE)
def questions_to_reflection_beyond_the_quota(target):
    with http2.H2(target.address) as caller:
        stream = caller.open(http2.call(http2.REFLECTION))
        caller.send(stream, streams.LIST_SERVICES)
        caller.settle(0.5)
        one = caller.bytes.get(stream, 0)
        caller.send(stream, streams.LIST_SERVICES * TRIES)
        caller.settle(1)
        answered = caller.bytes.get(stream, 0) // one if one else 0
    target.count("answered", answered)
    if answered > QUOTA:
        target.breaks(f"{answered} questions are answered to an address that may send {QUOTA} requests")


def within_the_quota(target):
    question = {"customer_ids": {"cookie": "quota"}, "event_types": ["t"]}
    with http1.Caller(target.address, source=COUNTING) as caller:
        answer = caller.asks(http1.DATA + "/customers/events", question, http1.PRIVATE)
    stored = len(json.loads(answer[1])["data"]) if answer[0] == 200 else 0
    target.count("stored", stored)
    if stored > QUOTA:
        target.breaks(f"{stored} events are stored of an address that may send {QUOTA} requests")

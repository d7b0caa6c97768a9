"""One project writes more than is folded; the other one reads."""

import json
import time

import http1
from crowd import attack

# Millions of records fill all tables and caches.
FULL = {"memory_mib": 512}


def flood(target, command):
    """Batches of 50 over a connection that is kept, whose results are not looked into."""
    name = time.monotonic_ns()
    batch = 0
    with http1.Caller(target.address) as caller:
        while target.goes_on():
            batch += 1
            body = json.dumps({"commands": [command(f"{name}-{batch}-{n}") for n in range(50)]}).encode()
            answer = caller.asks(http1.TRACK + "/batch", body)
            target.count("batches: " + http1.outcome(answer))
            if answer[0] != 200:
                time.sleep(0.01)
    return "done"


@attack(16, seconds=15, reads_within=2, more=FULL)
def flood_of_batches(target):
    return flood(target, lambda name: http1.event({"cookie": name}, {"a": 1, "b": "two", "c": 3.5}))


@attack(16, seconds=15, reads_within=2, more=FULL)
def flood_of_batches_that_link(target):
    return flood(target, lambda name: http1.update({"registered": name, "cookie": name[-4:]}, {"a": name}))


@attack(4)
def flood_of_ever_new_types(target):
    return flood(target, lambda name: http1.event({"cookie": "typed"}, kind=name))


@attack(4)
def flood_of_ever_new_projects(target):
    name = time.monotonic_ns()
    with http1.Caller(target.address) as caller:
        while target.goes_on():
            name += 1
            target.count(http1.outcome(caller.asks(f"/track/v2/projects/{name}/customers", {}, f"Token {name}")))
    return "done"

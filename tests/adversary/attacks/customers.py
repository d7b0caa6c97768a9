"""What a public key builds up in a customer, and then moves: properties, merged customers, events."""

import json
import time

import http1
import http2
from crowd import attack

VALUE = "v" * 16_000
PAST = 1_600_000_000
CUSTOMERS = http1.TRACK + "/customers"
ATTRIBUTES = http1.DATA + "/customers/attributes"
EXPORT_ONE = http1.DATA + "/customers/export-one"


def profile_batches(customer, batches):
    """Batches of nearly 16 MiB, of properties of one customer that have a name each."""
    for batch in range(batches):
        commands = []
        for command in range(20):
            properties = {f"p{batch}-{command}-{n}": VALUE for n in range(49)}
            commands.append(http1.update(customer, properties))
        yield commands


def events_of(customer, count, timestamp=None, size=0):
    """Events in batches, a second apart or all of one moment."""
    for start in range(0, count, 50):
        yield [
            http1.event(customer, {"n": n, "x": "y" * size}, PAST + n if timestamp is None else timestamp)
            for n in range(start, min(start + 50, count))
        ]


def merges(count, name):
    """So many customers, each of which is made by a cookie and then merged into one."""
    for start in range(0, count, 25):
        commands = []
        for n in range(start, start + 25):
            commands.append(http1.update({"cookie": f"{name}-{n}"}))
            commands.append(http1.update({"registered": name, "cookie": f"{name}-{n}"}))
        yield commands


def folded(target, caller, customer):
    """Asks for the customer, and counts how long that took: a read waits until what was sent before is folded."""
    at = time.monotonic()
    question = {"customer_ids": customer, "attributes": [{"type": "id", "id": "cookie"}]}
    answer = http1.outcome(caller.asks(ATTRIBUTES, question, http1.PRIVATE))
    target.count(f"a read behind it: {answer} after {time.monotonic() - at:.1f} s")


@attack(seconds=6)
def large_profile_merged(target):
    """125 MiB of properties, and one update that merges their customer into an older one."""
    with http1.Caller(target.address) as caller:
        http1.send_batches(target, caller, [[http1.update({"registered": "older"})]])
        http1.send_batches(target, caller, profile_batches({"cookie": "large"}, 8))
        folded(target, caller, {"cookie": "large"})
        link = http1.update({"registered": "older", "cookie": "large"})["data"]
        target.count("merge: " + http1.outcome(caller.asks(CUSTOMERS, link)))
        folded(target, caller, {"registered": "older"})


@attack(seconds=6)
def one_large_customer_merged_through_many(target):
    """16 MiB of properties move with each merge into an older customer."""
    older = 100
    with http1.Caller(target.address) as caller:
        every = [http1.update({"cookie": f"older-{n}"}) for n in range(older)]
        http1.send_batches(target, caller, http1.batches_of(every))
        http1.send_batches(target, caller, profile_batches({"registered": "large"}, 1))
        chain = [http1.update({"registered": "large", "cookie": f"older-{n}"}) for n in reversed(range(older))]
        http1.send_batches(target, caller, http1.batches_of(chain))
        folded(target, caller, {"registered": "large"})


@attack(seconds=6)
def thousands_of_merges_then_past_events(target):
    """Whether an event is a repetition is asked of each customer that merged."""
    with http1.Caller(target.address) as caller:
        http1.send_batches(target, caller, merges(15_000, "merged"))
        http1.send_batches(target, caller, events_of({"registered": "merged"}, 1_000))
        folded(target, caller, {"registered": "merged"})


@attack(seconds=6)
def watched_customer_of_thousands_of_merges(target):
    """Each watch of one customer asks, of every event, whose it is by now."""
    with http1.Caller(target.address) as caller:
        http1.send_batches(target, caller, merges(10_000, "watched"))
        question = http1.DATA + "/events/watch?start=beginning&customer_ids.registered=watched"
        watches = []
        for _ in range(40):
            watch = http1.connect(target.address)
            watch.sendall(http1.head(question, 0, http1.PRIVATE, method="GET"))
            watches.append(watch)
        http1.send_batches(target, caller, events_of({"cookie": "somebody"}, 2_000))
    target.begins()
    target.at_once(len(watches), lambda index: drain(target, watches[index]))
    http1.hold(target, watches)


def drain(target, connection):
    connection.settimeout(0.2)
    while target.goes_on():
        try:
            if not connection.recv(1 << 16):
                return "the watch ended"
        except TimeoutError:
            pass
    return "watched to the end"


@attack(seconds=6)
def erasing_a_customer_of_many_events(target):
    with http1.Caller(target.address) as caller:
        http1.send_batches(target, caller, events_of({"cookie": "many"}, 100_000))
        folded(target, caller, {"cookie": "many"})
    with http2.H2(target.address) as caller:
        headers = http2.call(http2.CUSTOMERS + b"EraseCustomer", http1.PRIVATE)
        at = time.monotonic()
        erased = caller.unary(headers, http2.name_customer({"cookie": "many"}))
        target.count(f"erasing: {erased} after {time.monotonic() - at:.1f} s")
    gone(target, {"cookie": "many"})


@attack(seconds=6)
def anonymising_a_customer_of_many_events_and_merges(target):
    with http1.Caller(target.address) as caller:
        http1.send_batches(target, caller, merges(5_000, "many"))
        http1.send_batches(target, caller, profile_batches({"registered": "many"}, 1))
        http1.send_batches(target, caller, events_of({"cookie": "newest"}, 50_000))
        http1.send_batches(target, caller, [[http1.update({"registered": "many", "cookie": "newest"})]])
        folded(target, caller, {"registered": "many"})
        at = time.monotonic()
        customer = {"customer_ids": {"registered": "many"}}
        answer = caller.asks(http1.DATA + "/customers/anonymize", customer, http1.PRIVATE)
        target.count(f"anonymising: {http1.outcome(answer)} after {time.monotonic() - at:.1f} s")
    gone(target, {"registered": "many"})


def gone(target, customer):
    """Anyone who was forgotten is not read any more once that was answered."""
    with http1.Caller(target.address) as caller:
        answer = caller.asks(EXPORT_ONE, {"customer_ids": customer}, http1.PRIVATE)
    target.count("a read after it: " + http1.outcome(answer))
    if answer[0] == 200:
        target.breaks(f"the customer is still read after it was forgotten: {answer[1][:100]!r}")


@attack(4)
def soft_ids_that_push_each_other_out(target):
    """A customer has 64 soft IDs of a type; each new one drops the oldest."""
    def commands(name):
        return [http1.update({"registered": "pushed", "cookie": f"{name}-{n}"}) for n in range(50)]
    return ever_new(target, commands)


@attack(4)
def ids_that_two_customers_fight_for(target):
    """A soft ID goes back and forth between two customers that cannot merge."""
    fight = [http1.update({"registered": f"fighter-{n % 2}", "cookie": f"prize-{n // 2 % 5}"}) for n in range(50)]
    body = json.dumps({"commands": fight}).encode()
    return ever_new(target, lambda _: body)


# What the fold remembers of customers, its checkpoints and the read cache may stay: docs/limits.md.
@attack(4, more={"memory_mib": 448 + 128})
def many_customers_of_one_moment(target):
    """A thousand customers' events of the same microsecond, and the next thousand's."""
    def commands(name):
        return [http1.event({"cookie": f"{name}-{n}"}, timestamp=PAST) for n in range(50)]
    return ever_new(target, commands)


@attack(4)
def many_events_of_one_moment(target):
    """One customer's events of the same microsecond."""
    def commands(name):
        return [http1.event({"cookie": "moment"}, {"n": f"{name}-{n}"}, timestamp=PAST) for n in range(50)]
    return ever_new(target, commands)


def ever_new(target, commands):
    """Sends batches until the time is over, each of which has a name of its own."""
    name = time.monotonic_ns()
    batch = 0
    with http1.Caller(target.address) as caller:
        while target.goes_on():
            batch += 1
            http1.send_batches(target, caller, [commands(f"{name}-{batch}")])
    return "done"

"""The honest caller: another project at another address, which writes, reads what it wrote, and probes the service."""

import base64
import http.client
import json
import multiprocessing
import socket
import threading
import time

import http1

# On loopback as the attackers are, with quotas of its own.
ADDRESS = "127.0.0.2"
# Who waits longer than this was not served.
TIMEOUT = 10

TOKEN = {"Authorization": "Token honest-public"}
BASIC = {"Authorization": "Basic " + base64.b64encode(b"honest-reader:honest-secret").decode()}
CUSTOMERS = 50


def write(count):
    customer = {"cookie": f"honest-{count % CUSTOMERS}"}
    event = {"customer_ids": customer, "event_type": "visit", "properties": {"n": count}}
    return "POST", "/track/v2/projects/honest/customers/events", json.dumps(event).encode(), TOKEN


def read(count):
    ids = {"customer_ids": {"cookie": f"honest-{count % CUSTOMERS}"}}
    if count % 2:
        question = {**ids, "event_types": ["visit"], "order": "desc", "limit": 10}
        return "POST", "/data/v2/projects/honest/customers/events", json.dumps(question).encode(), BASIC
    question = {**ids, "attributes": [{"type": "id", "id": "cookie"}]}
    return "POST", "/data/v2/projects/honest/customers/attributes", json.dumps(question).encode(), BASIC


def probe(_):
    return "GET", "/healthz", None, {"Connection": "close"}


# What it does, how often a second, and what each request is. Probes open a connection each, as balancers do.
KINDS = {"write": (80, write), "read": (20, read), "probe": (5, probe)}


class Results:
    """Latencies in seconds, and failures in words, by kind."""

    def __init__(self, answers):
        self.latencies = {kind: [] for kind in KINDS}
        self.latencies.update({kind: latencies for kind, latencies, _ in answers})
        self.failures = [f"{kind}: {failure}" for kind, _, failures in answers for failure in failures]

    def p99_ms(self, kind):
        ordered = sorted(self.latencies[kind])
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] if ordered else float("nan")

    def worst_ms(self, kind):
        return 1000 * max(self.latencies[kind], default=float("nan"))


class Honest:
    """A process that goes on until it is stopped, so that it does not share Python's lock with the attackers."""

    def __init__(self, address):
        self.stop, self.results, began = multiprocessing.Event(), multiprocessing.Queue(), multiprocessing.Event()
        arguments = (address, began, self.stop, self.results)
        self.process = multiprocessing.Process(target=calls, args=arguments, daemon=True)
        self.process.start()
        began.wait(TIMEOUT * 2)

    def ends(self):
        self.stop.set()
        results = Results(self.results.get())
        self.process.join()
        return results


def calls(address, began, stop, results):
    answers = []
    failures = first_writes(address)
    began.set()
    if failures:
        results.put([("write", [], failures)])
        return

    def run(kind):
        latencies, failures = [], []
        answers.append((kind, latencies, failures))
        go_on(address, stop, *KINDS[kind], latencies, failures)

    threads = [threading.Thread(target=run, args=(kind,)) for kind in KINDS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put(answers)


def first_writes(address):
    """Writes to every customer, so that it is there when it is read."""
    try:
        connection = connect(address)
        found = [one(connection, *write(count)) for count in range(CUSTOMERS)]
        connection.close()
        return [failure for failure in found if failure]
    except (OSError, http.client.HTTPException) as error:
        return [repr(error)]


def go_on(address, stop, per_second, request, latencies, failures):
    connection, count = None, 0
    due = time.perf_counter()
    while not stop.is_set():
        time.sleep(max(0, due - time.perf_counter()))
        # Who was held up does not make up for it by a burst of its own.
        due = max(due + 1 / per_second, time.perf_counter())
        at = time.perf_counter()
        method, path, body, headers = request(count)
        count += 1
        try:
            connection = connection or connect(address)
            failure = one(connection, method, path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            failure = repr(error)
        latencies.append(time.perf_counter() - at)
        if failure:
            failures.append(f"{failure} after {latencies[-1]:.1f} s")
        if failure or "Connection" in headers:
            if connection:
                connection.close()
            connection = None


def connect(address):
    connection = http.client.HTTPConnection(*address, timeout=TIMEOUT, source_address=(ADDRESS, 0))
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def one(connection, method, path, body, headers):
    """None, or why the request failed."""
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read()
    return None if answer.status == 200 else http1.outcome((answer.status, text))

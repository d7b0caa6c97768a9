"""Exports and erasures: what one caller writes or leaves lying must not turn off what another may do."""

import time

import http1
import http2
from crowd import attack

from .customers import ATTRIBUTES, VALUE

EXPORT = http1.DATA + "/customers/export"
TABLE = {"format": "native_json"}
ERASE = http2.call(http2.CUSTOMERS + b"EraseCustomer", http1.PRIVATE)


@attack()
def names_of_properties_that_fill_an_export(target):
    """A public key writes 12,000 names; then the private key exports its project, which must still be possible."""
    with http1.Caller(target.address) as caller:
        http1.send_batches(target, caller, [[http1.update({"registered": "customer"}, {"name": "value"})]])
        commands = [
            http1.update({"cookie": f"c{command}"}, {f"n{command}-{n}": 1 for n in range(240)}) for command in range(50)
        ]
        http1.send_batches(target, caller, [commands])
        answer = caller.asks(EXPORT, TABLE, http1.PRIVATE)
    target.count("export: " + http1.outcome(answer))
    if answer[0] != 200:
        target.breaks(f"a public key turned off the export of its project: {http1.outcome(answer)}")


def fill(target, customers):
    """So many customers of 100 KB."""
    with http1.Caller(target.address) as caller:
        commands = [http1.update({"cookie": f"c{n}"}, {f"p{m}": VALUE for m in range(6)}) for n in range(customers)]
        http1.send_batches(target, caller, http1.batches_of(commands))


# Enough for an export to begin.
SMALL_WINDOW = 10_000


# An export may hold a snapshot for 30 s, and the next try comes a minute after one that met it. It ends sooner when that is done.
@attack(data='erase_within = "0s"', seconds=100)
def exports_not_taken_beside_an_erasure(target):
    """What is erased has to leave the disk, though exports that began before are not read on."""
    fill(target, 500)
    with http1.Caller(target.address) as caller:
        http1.send_batches(target, caller, [[http1.update({"registered": "erased"}, {"p": "q"})]])
    exports = []
    for _ in range(20):
        export = http1.connect(target.address, receive_bytes=4096)
        export.sendall(http1.post(EXPORT, TABLE, http1.PRIVATE))
        exports.append(export)
    windows = [http2.H2(target.address, window=SMALL_WINDOW) for _ in range(4)]
    for connection in windows:
        for _ in range(5):
            stream = connection.open(http2.call(http2.CUSTOMERS + b"ExportCustomers", http1.PRIVATE))
            connection.send(stream, http2.message(http2.field(1, b"adversary")), ends=True)
    # A read waits until the view has everything, and the exports have begun by then.
    with http1.Caller(target.address) as caller:
        question = {"customer_ids": {"registered": "erased"}, "attributes": [{"type": "property", "property": "p"}]}
        target.count("a read before it: " + http1.outcome(caller.asks(ATTRIBUTES, question, http1.PRIVATE)))
    with http2.H2(target.address) as caller:
        target.count("erasing: " + caller.unary(ERASE, http2.name_customer({"registered": "erased"})))
    target.begins()
    began, remains = time.monotonic(), True
    # Whether anything remains is known once the erasure is folded.
    while target.goes_on() and (remains or time.monotonic() < began + 2):
        # They say that they are there when they are asked, and take nothing.
        for connection in windows:
            connection.pump(0.05)
        remains = metric(target, "footfall_data_remains") != 0
    target.count("what was erased is " + ("still on the disk" if remains else "off the disk"))
    if remains:
        target.breaks("exports that nobody takes keep on the disk what was erased")
    for connection in exports + windows:
        connection.close()


def metric(target, name):
    with http1.Caller(target.admin) as caller:
        caller.socket.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        lines = caller.answer()[1].decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(name + " "))


@attack(seconds=6)
def exports_by_one_key(target):
    """24 exports of 50 MB at once, again and again, as fast as they are taken."""
    fill(target, 500)
    target.begins()

    def asks(_):
        while target.goes_on():
            with http1.Caller(target.address) as caller:
                answer = caller.asks(EXPORT, TABLE, http1.PRIVATE)
                target.count(f"{http1.outcome(answer)}, {len(answer[1]) / 1e6:.0f} MB")
            if answer[0] != 200:
                time.sleep(0.1)

    target.at_once(24, asks)


@attack(seconds=6)
def erasing_one_after_the_other(target):
    """Erases customers in a row, each twice, and writes to them again."""
    def erases(index):
        with http2.H2(target.address) as caller, http1.Caller(target.address) as writer:
            while target.goes_on():
                customer = {"cookie": f"e{index}"}
                http1.send_batches(target, writer, [[http1.event(customer, {"n": n}) for n in range(50)]])
                for _ in range(2):
                    target.count("erasing: " + caller.unary(ERASE, http2.name_customer(customer)))

    target.at_once(16, erases)

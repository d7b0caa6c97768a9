"""Attacks a service of its own, one way after the other, while an honest caller measures how it is served.

    python3 tests/adversary [BINARY] [--only NAME ...] [--list] [--seconds N]

Needs nothing but Python 3 on Linux. It starts BINARY (target/release/footfall by default) for each attack, on loopback,
in a folder that goes away. `attacks/` has the attacks, by what they aim at; `honest.py`, who is to notice nothing;
`service.py`, what is measured, and when the service counts as at rest.

It exits with 1, and names the attack, if
- the honest caller, of another project and another address, was refused, or waited for 10 seconds, even once;
- the service took more memory than docs/limits.md says, panicked, or died;
- something was not back at rest afterwards: sockets, files, threads, memory, and every gauge of what is held or waits;
- an attack saw a promise broken, such as a quota that did not hold.

The attackers are other processes than the honest caller, so that they do not share Python's lock; but all of them share
the machine's cores with the service. With two cores, most of what the honest caller waits for is its turn on a core,
and a service on a machine of its own does better.
"""

import argparse
import os
import re
import sys
import tempfile
import threading
import time

import attacks  # noqa: F401
from crowd import ATTACKS, Crowd
from honest import Honest
from service import Service

LIMITS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "limits.md")
# How long the honest caller is alone first.
ALONE_SECONDS = 1.5
ROW = "{:<50}{:>16}{:>16}{:>11}{:>8}{:>10}{:>12}{:>6}"


def memory_mib_max():
    """The figure that is promised."""
    with open(LIMITS) as file:
        told = re.search(r"takes\s+at\s+most\s+([\d,]+)\s+MiB\s+of\s+memory", file.read())
    if told is None:
        sys.exit("docs/limits.md does not say how many MiB of memory the service takes at most")
    return int(told[1].replace(",", ""))


class Watcher:
    """Looks from beside at what waits to be folded."""

    def __init__(self, service):
        self.service, self.most, self.stop = service, 0, threading.Event()
        self.thread = threading.Thread(target=self.looks, daemon=True)
        self.thread.start()

    def looks(self):
        while not self.stop.wait(0.25):
            try:
                self.most = max(self.most, int(self.service.metrics()[0]["footfall_view_lag_records"]))
            except (OSError, KeyError):
                pass

    def ends(self):
        self.stop.set()
        self.thread.join()
        return self.most


def three(alone, during, kind):
    return f"{alone.p99_ms(kind):.0f}>{during.p99_ms(kind):.0f}>{during.worst_ms(kind):.0f}"


def run(attack, binary, seconds, memory_max):
    """Attacks once, prints how it went, and gives what was wrong."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        service = Service(binary, folder, attack.settings)
        try:
            honest = Honest(service.address)
            time.sleep(ALONE_SECONDS)
            alone = honest.ends()
            before, counted = service.settled(), service.rejections()
            honest, watcher = Honest(service.address), Watcher(service)
            got, wrong = Crowd(attack, service, seconds).ends()
            # What the attack left behind is folded and written a moment later.
            time.sleep(1)
            during, most_behind = honest.ends(), watcher.ends()
            if not service.lives():
                print("\n".join(f"    {line}" for line in service.last_lines()))
                return [*wrong, "the service has ended"]
            peak = service.peak_mib()
            busy, waited = service.returns_to(before, attack.more)
            guards, panics = service.rejections() - counted, int(service.metrics()[0]["footfall_panics_total"])
            rest = service.status("VmRSS") // 1024
        finally:
            service.kill()
    failures = alone.failures + during.failures
    print(ROW.format(
        attack.name,
        *(three(alone, during, kind) for kind in ("write", "read")),
        f"{during.worst_ms('probe'):.0f}", len(failures), most_behind, f"{peak}>{rest}", f"{waited:.0f}",
    ))
    print("    got: " + (", ".join(f"{count} x {outcome}" for outcome, count in got.most_common(6)) or "nothing"))
    if guards:
        print("    guards: " + ", ".join(f"{guard} {count}" for guard, count in guards.items()))
    if failures:
        wrong.append(f"{len(failures)} honest requests failed: " + "; ".join(failures[:3]))
    longest = during.worst_ms("read") / 1000
    if attack.reads_within and longest > attack.reads_within:
        wrong.append(f"an honest read took {longest:.1f} s, at most {attack.reads_within} are allowed")
    if peak > memory_max:
        wrong.append(f"took {peak} MiB of memory, at most {memory_max} are promised")
    if panics:
        wrong.append(f"{panics} panics")
    if busy:
        wrong.append("not at rest: " + ", ".join(busy))
    return wrong


def main():
    parser = argparse.ArgumentParser(prog="adversary", description=__doc__.split("\n")[0])
    parser.add_argument("binary", nargs="?", default="target/release/footfall")
    parser.add_argument("--seconds", type=float, default=4, help="how long an attack lasts that does not say so itself")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these attacks alone")
    parser.add_argument("--list", action="store_true", help="name the attacks")
    options = parser.parse_args()
    unknown = [name for name in options.only or [] if name not in ATTACKS]
    if options.list or unknown:
        print("\n".join(ATTACKS))
        sys.exit(f"unknown: {', '.join(unknown)}" if unknown else 0)
    memory_max = memory_mib_max()
    names = options.only or list(ATTACKS)
    bad = []
    print("write, read: the honest caller's p99 alone > its p99 during the attack > its worst, in ms; probe: its worst")
    print("behind: most records that waited to be folded; memory: peak > at rest, in MiB; rest: seconds until it came")
    print(ROW.format("attack", "write", "read", "probe", "failed", "behind", "memory", "rest"), flush=True)
    for name in names:
        wrong = run(ATTACKS[name], options.binary, options.seconds, memory_max)
        for line in wrong:
            print(f"    FAILED {name}: {line}")
        sys.stdout.flush()
        bad += [name] if wrong else []
    failed = f"; failed: {', '.join(bad)}" if bad else ""
    print(f"{len(names) - len(bad)} of {len(names)} attacks did no harm{failed}")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()

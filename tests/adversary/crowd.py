"""The attackers: what an attack is, and how a crowd of them runs it.

An attack is a function of a `Target`. It returns what became of one try, in words that are counted, or counts itself.
"""

import collections
import multiprocessing
import os
import queue
import resource
import threading
import time

PROCESSES = 2
# How much longer than it should an attack may take to build up before it is ended.
PATIENCE = 45

ATTACKS = {}


class Attack:
    """How a function attacks.

    `connections`: so many threads in each of two processes repeat it until the time is over. None: it runs once, and
    builds something up first.
    `seconds`: how long it lasts, in place of what the command line says.
    `reads_within`: the most seconds that an honest read may take, where that is less than the caller's own patience.
    `more`: what there may be more at rest, where that is another figure than `service.MORE` has.
    `settings`: lines for tables of the service's settings, and `descriptors` that the service may open.
    """

    def __init__(self, function, connections, seconds, reads_within, more, settings):
        self.function, self.name = function, function.__name__
        self.connections, self.seconds, self.reads_within = connections, seconds, reads_within
        self.more, self.settings = more or {}, settings


def attack(connections=None, seconds=None, reads_within=None, more=None, **settings):
    """Registers a function as an attack."""
    def register(function):
        ATTACKS[function.__name__] = Attack(function, connections, seconds, reads_within, more, settings)
        return function
    return register


class Target:
    """The service as an attacker sees it, and what was seen of it."""

    def __init__(self, service, seconds):
        self.address, self.admin, self.pid = service.address, service.admin, service.process.pid
        self.seconds = seconds
        self.got, self.broken, self.lock = collections.Counter(), [], threading.Lock()

    def begins(self):
        self.until = time.monotonic() + self.seconds

    def goes_on(self):
        return time.monotonic() < self.until

    def count(self, outcome, times=1):
        with self.lock:
            self.got[outcome] += times

    def breaks(self, promise):
        """Notes that a promise was broken, which makes the run fail."""
        with self.lock:
            self.broken.append(promise)

    def at_once(self, count, function, *arguments):
        """Runs a function in so many threads at once, and counts what comes of each."""
        def one(index):
            try:
                outcome = function(index, *arguments)
            except OSError as error:
                outcome = type(error).__name__
            if outcome:
                self.count(outcome)

        threads = [threading.Thread(target=one, args=(index,), daemon=True) for index in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def attacks_as(attack, target, results):
    """What a process of attackers does."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    target.begins()
    if attack.connections is None:
        try:
            outcome = attack.function(target)
        except OSError as error:
            outcome = f"the attack ended with {error!r}"
        except Exception as error:
            outcome = None
            target.breaks(f"the attack itself is wrong: {error!r}")
        if outcome:
            target.count(outcome)
    else:
        def repeat(_):
            while target.goes_on():
                try:
                    outcome = attack.function(target)
                except OSError as error:
                    outcome = type(error).__name__
                target.count(outcome)
        target.at_once(attack.connections, repeat)
    results.put((target.got, target.broken))
    results.close()
    results.join_thread()
    # Threads that still wait for something, and all their sockets, go with the process.
    os._exit(0)


class Crowd:
    """The processes that attack."""

    def __init__(self, attack, service, seconds):
        self.seconds = attack.seconds or seconds
        self.results = multiprocessing.Queue()
        count = 1 if attack.connections is None else PROCESSES
        arguments = (attack, Target(service, self.seconds), self.results)
        self.processes = [
            multiprocessing.Process(target=attacks_as, args=arguments, daemon=True) for _ in range(count)
        ]
        for process in self.processes:
            process.start()

    def ends(self):
        """What they got, and the promises that they saw broken."""
        got, broken = collections.Counter(), []
        until = time.monotonic() + self.seconds + PATIENCE
        for _ in self.processes:
            try:
                counted, seen = self.results.get(timeout=max(0.1, until - time.monotonic()))
                got.update(counted)
                broken += seen
            except queue.Empty:
                got[f"not done after {self.seconds + PATIENCE:.0f} s"] += 1
        for process in self.processes:
            process.kill()
            process.join()
        return got, broken

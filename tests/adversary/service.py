"""The service under attack: started in a folder of its own, watched from outside, and looked at once it should rest."""

import collections
import http.client
import os
import resource
import subprocess
import sys
import time

SETTINGS = """
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
{timeouts}
{server}
[client_address]
trusted_proxies = []
[rate_limit]
{rate_limit}
[data]
dir = "data"
{data}
[[project]]
token = "adversary"
[[project.key]]
public = "public"
permissions = ["customers:set", "events:set"]
[[project.key]]
id = "reader"
secrets = ["secret"]
permissions = ["customers:set", "events:set", "customers:get", "events:get", "customers:anonymize", "customers:erase", "refusals:get"]
[[project]]
token = "honest"
[[project.key]]
public = "honest-public"
permissions = ["customers:set", "events:set"]
[[project.key]]
id = "honest-reader"
secrets = ["honest-secret"]
permissions = ["customers:get", "events:get"]
"""
# Unless an attack says something else: timeouts that end while one looks, and no help by the quota.
DEFAULTS = {
    "timeouts": 'header_timeout = "2s"\nbody_timeout = "2s"\nidle_timeout = "2s"',
    "server": "",
    "rate_limit": "requests = 1000000",
    "data": "",
}

# Gauges that say how much there is, or was, and not how much is held for somebody.
MAY_GROW = {
    "footfall_data_remains",
    "footfall_log_position",
    "footfall_rate_limit_slots_in_debt",
    "footfall_view_position",
}
# The longest that threads of the runtime stay without work is 10 s.
REST_SECONDS = 20
# How much more there may be at rest than before. The engine opens files of its own as it writes, the runtime keeps a
# few threads, and the caches and tables of engine and fold keep what was written.
MORE = {"sockets": 0, "files": 64, "threads": 8, "memory_mib": 256}


class Service:
    """A running service. `extra` has lines for tables of the settings, and `descriptors`: how many it may open."""

    def __init__(self, binary, folder, extra):
        settings = {**DEFAULTS, **extra}
        descriptors = settings.pop("descriptors", None)
        with open(os.path.join(folder, "footfall.toml"), "w") as file:
            file.write(SETTINGS.format(**settings))

        def limit():
            if descriptors:
                resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

        self.log = open(os.path.join(folder, "log"), "w+")
        command = [os.path.abspath(binary), "serve", "--config", "footfall.toml"]
        self.process = subprocess.Popen(command, cwd=folder, stdout=self.log, stderr=self.log, preexec_fn=limit)
        self.address, self.admin = self.addresses()
        while self.get(self.address, "/readyz")[0] != 200:
            self.must_live()
            time.sleep(0.01)

    def addresses(self):
        while True:
            self.must_live()
            self.log.seek(0)
            words = dict(word.split("=", 1) for word in self.log.read().split() if "=" in word)
            if "address" in words and "admin" in words:
                return [host_and_port(words[name]) for name in ("address", "admin")]
            time.sleep(0.01)

    def lives(self):
        return self.process.poll() is None

    def must_live(self):
        if not self.lives():
            self.log.seek(0)
            sys.exit(f"the service has ended:\n{self.log.read()}")

    def last_lines(self, count=5):
        self.log.seek(0)
        return [line.rstrip() for line in self.log.readlines()[-count:]]

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.log.close()

    @staticmethod
    def get(address, path):
        connection = http.client.HTTPConnection(*address, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def metrics(self):
        """Each series' value, and the names of those that are gauges."""
        values, gauges = {}, set()
        for line in self.get(self.admin, "/metrics")[1].splitlines():
            if line.startswith("# TYPE ") and line.endswith(" gauge"):
                gauges.add(line.split()[2])
            elif not line.startswith("#") and " " in line:
                name, value = line.rsplit(" ", 1)
                values[name] = float(value)
        return values, gauges

    def rejections(self):
        """How often each guard has refused or cut something off."""
        prefix = 'footfall_guard_rejections_total{guard="'
        found = ((name, value) for name, value in self.metrics()[0].items() if name.startswith(prefix))
        return collections.Counter({name[len(prefix):-2]: int(value) for name, value in found})

    def status(self, name):
        with open(f"/proc/{self.process.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(name + ":"))

    def peak_mib(self):
        return self.status("VmHWM") // 1024

    def state(self):
        """What the process and its gauges hold now."""
        links = []
        folder = f"/proc/{self.process.pid}/fd"
        for name in os.listdir(folder):
            try:
                links.append(os.readlink(os.path.join(folder, name)))
            except FileNotFoundError:
                pass
        values, gauges = self.metrics()
        return State(
            sockets=sum(link.startswith("socket:") for link in links),
            files=sum(not link.startswith("socket:") for link in links),
            threads=self.status("Threads"),
            memory_mib=self.status("VmRSS") // 1024,
            gauges={name: value for name, value in values.items() if name.split("{")[0] in gauges - MAY_GROW},
        )

    def settled(self):
        """What it holds once all that was sent is folded."""
        while self.metrics()[0]["footfall_view_lag_records"]:
            time.sleep(0.05)
        return self.state()

    def returns_to(self, before, more):
        """Waits until everything is back at rest. What is not, and how many seconds that took."""
        began = time.monotonic()
        while True:
            found = self.state().beyond(before, more)
            waited = time.monotonic() - began
            if not found or waited > REST_SECONDS:
                return found, waited
            time.sleep(0.2)


class State(collections.namedtuple("State", "sockets files threads memory_mib gauges")):
    def beyond(self, before, more):
        """In words, what is more than it was before, and not only for the engine's sake."""
        found = []
        for name, allowed in {**MORE, **more}.items():
            was, now = getattr(before, name), getattr(self, name)
            if now > was + allowed:
                found.append(f"{name} {was} -> {now}")
        for name, now in self.gauges.items():
            was = before.gauges.get(name, 0)
            # Readiness, and room that is left, are lower while something is held.
            if now != was:
                found.append(f"{name} {was:g} -> {now:g}")
        return found


def host_and_port(address):
    host, port = address.rsplit(":", 1)
    return host, int(port)

"""Counts the instructions that a request takes, with valgrind's callgrind, and compares them with benches/instructions.json.

    cargo test --locked --no-run
    python3 benches/instructions.py check target/debug/footfall    exits with 1 if a count has risen by more than 5 %
    python3 benches/instructions.py update target/debug/footfall   makes what it counts the new baseline
    python3 -m unittest discover -s benches -p instructions.py     tests the comparison

The binary is the one that the tests use; `cargo build` makes another one, whose dependencies have fewer features.

One caller sends one request after the other to a service with one worker, so that every request is a commit of its own.
A run with few requests is taken off one with many: what starting and stopping take does not count. The view is
counted while `footfall view rebuild` folds what was sent, for in a running service it depends on time how many records it
applies at once. It takes more than in production, for valgrind hides the processor's instructions for SHA-256.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from callers import Batches, Grpc, Invalid, Refused, Rest, Stream

BASELINE = Path(__file__).with_suffix(".json")
RISE_PERCENT_MAX = 5

# Callers, and the requests of the run with few and of the one with many.
WORKLOADS = {
    "rest": (Rest, 100, 1100),
    "grpc": (Grpc, 100, 1100),
    "rest batch of 50": (Batches, 4, 44),
    "stream of 40": (Stream, 4, 54),
    "rest invalid": (Invalid, 100, 1100),
    "rest refused": (Refused, 100, 1100),
}
# Nothing is written.
UNWRITTEN = {"rest invalid", "rest refused"}
FOLDED = "rest"

# Functions by which threads are known.
SERVING = "multi_thread::worker::Context::run"
LOG_WRITER = "footfall::log::writer::Writer::run"
VIEW = "footfall::view::projector::Projector::run"

# No write is refused because the view, which valgrind slows down, has fallen behind. The console takes a step a second,
# however few requests there are in it.
SETTINGS = """
[server]
request_timeout = "1h"
console = false
[rate_limit]
requests = {requests}
period = "1h"
[[project]]
token = "bench"
[[project.key]]
public = "bench"
permissions = ["customers:set", "events:set"]
"""


class Callgrind:
    """Footfall under callgrind in a folder. Ends when it is left, at the latest."""

    def __init__(self, binary, folder, *arguments):
        self.out = folder / f"callgrind-{arguments[0]}"
        options = ["--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={self.out}"]
        self.process = subprocess.Popen(
            ["valgrind", *options, binary, *arguments, "--config", "footfall.toml"],
            cwd=folder,
            env={**os.environ, "TOKIO_WORKER_THREADS": "1", "FOOTFALL_SERVER_ADMIN_LISTEN": "127.0.0.1:0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def address(self):
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if found := re.search(r"serving address=([\d.]+):(\d+)", line):
                return found[1], int(found[2])
        sys.exit("the service does not start:\n" + "".join(lines))

    def end(self):
        """What it wrote; it has to end by itself."""
        output, _ = self.process.communicate(timeout=120)
        assert self.process.returncode == 0, output
        return output

    def instructions(self, function):
        """Those of the threads in which a function runs."""
        reports = [path.read_text() for path in self.out.parent.glob(f"{self.out.name}-*")]
        totals = [re.search(r"^totals: (\d+)$", report, re.M) for report in reports if function in report]
        assert totals, f"no thread runs {function}"
        return sum(int(total[1]) for total in totals)


def run(binary, workload, requests):
    """The instructions of each thread, start and stop included."""
    target = binary.parent.parent / "tmp"
    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target) as folder:
        folder = Path(folder)
        requests_max = 1 if workload == "rest refused" else 60_000_000
        (folder / "footfall.toml").write_text(SETTINGS.replace("{requests}", str(requests_max)))
        with Callgrind(binary, folder, "serve", "--listen", "127.0.0.1:0") as service:
            caller = WORKLOADS[workload][0](service.address())
            for number in range(requests):
                caller.send(number)
            # A caller of gRPC that does not read any more would be waited for.
            caller.close()
            service.process.send_signal(signal.SIGTERM)
            service.end()
        counts = {"serving": service.instructions(SERVING)}
        if workload not in UNWRITTEN:
            counts["log writer"] = service.instructions(LOG_WRITER)
        if workload == FOLDED:
            with Callgrind(binary, folder, "view", "rebuild") as fold:
                output = fold.end()
            assert f"folded {requests} records; 0 repeated events" in output, output
            counts["view"] = fold.instructions(VIEW)
    return counts


def per_request(binary, workload):
    _, few, many = WORKLOADS[workload]
    # Both at once: other work on the machine does not change counts.
    with ThreadPoolExecutor() as pool:
        base, full = pool.map(run, [binary] * 2, [workload] * 2, [few, many])
    return {thread: round((full[thread] - base[thread]) / (many - few)) for thread in full}


def provenance(binary):
    """What the binary was built with, by its own word, and what counts."""
    rustc = re.search(rb"[^(]rustc version ([^\0]+)\0", binary.read_bytes())
    assert rustc, f"{binary} does not say by which rustc it was built"
    valgrind = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=True)
    profile = "dev" if binary.parent.name == "debug" else binary.parent.name
    return {"profile": profile, "rustc": rustc[1].decode(), "valgrind": valgrind.stdout.strip()}


def measure(binary):
    return {workload: per_request(binary, workload) for workload in WORKLOADS}


def flat(counts):
    return {(workload, thread): count for workload, threads in counts.items() for thread, count in threads.items()}


def verdict(before, now):
    if before is None or now is None:
        return "FAILS: is on one side only"
    if now * 100 > before * (100 + RISE_PERCENT_MAX):
        return "FAILS"
    return "fallen: worth a new baseline" if now * 100 < before * (100 - RISE_PERCENT_MAX) else ""


def compare(baseline, measured):
    """The lines of a table, and whether nothing fails."""
    baseline, measured = flat(baseline), flat(measured)
    table, passes = [f"{'workload':18}{'thread':12}{'baseline':>10}{'now':>10}{'change':>8}"], True
    for name in {**baseline, **measured}:
        before, now = baseline.get(name), measured.get(name)
        change = f"{now / before - 1:+.1%}" if before and now else ""
        said = verdict(before, now)
        table.append(f"{name[0]:18}{name[1]:12}{before or 0:10,}{now or 0:10,}{change:>8}  {said}".rstrip())
        passes &= not said.startswith("FAILS")
    return table, passes


def check(binary):
    baseline, now = json.loads(BASELINE.read_text()), provenance(binary)
    if now["rustc"] != baseline["rustc"]:
        print(f"NOT COMPARED: the baseline is of rustc {baseline['rustc']}, this binary of {now['rustc']}.")
        print("Counts of another compiler say nothing: `update` with this one makes a baseline that does.")
        return True
    if now["profile"] != baseline["profile"]:
        print(f"The baseline is of the profile {baseline['profile']}, this binary of {now['profile']}.")
        return False
    if now["valgrind"] != baseline["valgrind"]:
        print(f"The baseline was counted by {baseline['valgrind']}, this by {now['valgrind']}.")
    table, passes = compare(baseline["instructions_per_request"], measure(binary))
    print("Instructions a request:", *table, sep="\n")
    print("Passes: nothing" if passes else "FAILED: what is marked", f"has risen by more than {RISE_PERCENT_MAX} %.")
    return passes


def update(binary):
    baseline = {**provenance(binary), "instructions_per_request": measure(binary)}
    BASELINE.write_text(json.dumps(baseline, indent=2) + "\n")
    print(BASELINE.read_text(), end="")
    return True


class Comparison(unittest.TestCase):
    def passes(self, before, now):
        return compare({"rest": {"view": before}}, {"rest": {"view": now}})[1]

    def test_a_rise_of_more_than_5_percent_fails(self):
        self.assertTrue(self.passes(1000, 1050))
        self.assertFalse(self.passes(1000, 1051))

    def test_a_fall_passes_and_asks_for_a_new_baseline(self):
        table, passes = compare({"rest": {"view": 1000}}, {"rest": {"view": 900}})
        self.assertTrue(passes)
        self.assertIn("-10.0%  fallen", table[1])

    def test_one_rise_among_falls_fails(self):
        table, passes = compare({"rest": {"a": 100, "b": 100}}, {"rest": {"a": 50, "b": 110}})
        self.assertFalse(passes)
        self.assertIn("+10.0%  FAILS", table[2])

    def test_what_the_baseline_does_not_have_fails_and_so_does_what_was_not_measured(self):
        self.assertFalse(compare({"rest": {"a": 1}}, {"rest": {"a": 1, "b": 1}})[1])
        self.assertFalse(compare({"rest": {"a": 1, "b": 1}}, {"rest": {"a": 1}})[1])


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("check", "update"):
        sys.exit(__doc__)
    sys.exit(not {"check": check, "update": update}[sys.argv[1]](Path(sys.argv[2]).resolve()))

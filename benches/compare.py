"""Compares two files that `cargo bench --bench throughput` has left: python3 benches/compare.py A.json B.json"""

import json
import sys
from datetime import datetime, timezone


def read(path):
    with open(path) as file:
        report = json.load(file)
    rows = {(row["name"], row["callers"]): row for row in report["rows"]}
    return report, rows


def spread(row):
    """How far the ratio may be off by what the rounds differ: of the medians, both sides' half ranges together."""
    sides = (row["baseline"], row["footfall"])
    return sum((max(side["rounds"]) - min(side["rounds"])) / 2 / side["median"] for side in sides)


def shown(row):
    return f"{row['ratio']:.2f} ±{row['ratio'] * spread(row):.2f}" if row else "-"


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    (first, before), (second, after) = map(read, sys.argv[1:])
    for name, report in (("A", first), ("B", second)):
        date = datetime.fromtimestamp(report["date"], timezone.utc)
        machine = report["machine"]
        quick = ", quick" if report["quick"] else ""
        print(f"{name}: {report['commit']}, {date:%Y-%m-%d %H:%M} UTC, {machine['cores']} cores, {machine['cpu']}{quick}")
    print(f"\n{'':<26}{'callers':>8}{'A':>16}{'B':>16}{'change':>9}{'goal':>7}")
    for key in list(before) + [key for key in after if key not in before]:
        a, b = before.get(key), after.get(key)
        change = f"{b['ratio'] / a['ratio'] - 1:+.0%}" if a and b else ""
        goal = (b or a)["goal"]
        name, callers = key
        print(f"{name:<26}{callers:>8}{shown(a):>16}{shown(b):>16}{change:>9}{goal if goal is not None else '':>7}")


if __name__ == "__main__":
    main()

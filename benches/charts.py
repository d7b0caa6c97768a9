"""Draws the charts of docs/performance.md from the files that `cargo bench` has left.

    python3 benches/charts.py            draws docs/charts from benches/published
    python3 benches/charts.py --check    exits with 1 if docs/charts is not what it would draw
    python3 benches/charts.py FROM TO    draws other runs elsewhere

To publish a run: copy throughput.json or scale.json from target/bench to benches/published, draw, and change the
tables and their date. scale.json is of `cargo bench --bench scale -- 600s`.
"""

import json
import sys
from datetime import datetime, timezone
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED = ROOT / "benches/published"
CHARTS = ROOT / "docs/charts"

INK, FAINT, GRID, PAPER = "#1f2328", "#59636e", "#d1d9e0", "#ffffff"
BASELINE, FOOTFALL, GRPC = "#8c959f", "#0969da", "#bc4c00"
FONT = "font-family=\"system-ui, sans-serif\""

# Of the rows with the number of callers that most have: what they are called, and beside what they are measured.
SHARES = {
    "REST event": ("REST event", "axum"),
    "gRPC AddEvent": ("gRPC AddEvent", "tonic"),
    "REST batch of 50": ("events in REST batches of 50", "axum"),
    "gRPC TrackStream": ("events in TrackStream", "append and sync"),
    "REST event, reads": ("REST, each tenth call a read", "axum"),
    "gRPC AddEvent, reads": ("gRPC, each tenth call a read", "tonic"),
    "REST event, limited": ("REST, nearly all refused", "axum"),
    "gRPC AddEvent, limited": ("gRPC, nearly all refused", "tonic"),
}
MAIN_CALLERS = (64, 4)


def text(x, y, words, size=13, fill=INK, anchor="start"):
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{fill}" text-anchor="{anchor}">{escape(words)}</text>'


def rect(x, y, width, height, fill):
    return f'<rect x="{x:g}" y="{y:g}" width="{width:.1f}" height="{height:g}" fill="{fill}"/>'


def line(x1, y1, x2, y2, stroke, width=1):
    return f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{stroke}" stroke-width="{width}"/>'


def svg(width, height, title, parts):
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" {FONT} role="img">'
    return "\n".join([head, f"<title>{escape(title)}</title>", rect(0, 0, width, height, PAPER), *parts, "</svg>", ""])


def rate(number):
    """Three digits are all that a run is good for."""
    digits = max(0, len(str(round(number))) - 3)
    return f"{round(number, -digits):,.0f}"


def caption(report):
    date = datetime.fromtimestamp(report["date"], timezone.utc)
    return f"{date:%Y-%m-%d}, {report['machine']['cores']} cores, {report['machine']['cpu']}"


def shares(report):
    """Footfall's rate as a share of its baseline's, which keeps nothing."""
    rows = [row for row in report["rows"] if row["name"] in SHARES and row["callers"] in MAIN_CALLERS]
    rows.sort(key=lambda row: list(SHARES).index(row["name"]))
    left, wide, step, top = 250, 300, 30, 64
    height = top + step * len(rows) + 34
    most = max(1.0, *(row["ratio"] for row in rows))
    title = "Footfall, every answer on disk, as a share of a baseline that keeps nothing"
    parts = [text(16, 26, title, 15)]
    for share in (0, 0.25, 0.5, 0.75, 1):
        x = left + wide * share / most
        parts += [line(x, top - 8, x, top + step * len(rows), GRID), text(x, top - 14, f"{share:g}", 11, FAINT, "middle")]
    for place, row in enumerate(rows):
        y = top + step * place
        name, baseline = SHARES[row["name"]]
        bar = wide * row["ratio"] / most
        footfall, other = rate(row["footfall"]["median"]), rate(row["baseline"]["median"])
        parts += [
            text(left - 10, y + 15, name, anchor="end"),
            rect(left, y + 2, bar, 18, FOOTFALL),
            text(left + wide + 12, y + 15, f"{footfall} of {other} a second ({baseline})", 12, FAINT),
        ]
    parts.append(text(16, height - 12, caption(report), 11, FAINT))
    return svg(900, height, title, parts)


def callers(report):
    """Footfall's rates by the number of callers, for both protocols."""
    by_name = {
        name: {row["callers"]: row["footfall"]["median"] for row in report["rows"] if row["name"] == name}
        for name in ("REST event", "gRPC AddEvent")
    }
    counts = sorted(set().union(*by_name.values()))
    most = max(number for rates in by_name.values() for number in rates.values())
    left, top, wide, high = 70, 56, 500, 200
    title = "Events a second by callers, each waiting for its answer"
    parts = [text(16, 26, title, 15)]
    for part in range(5):
        number = most * part / 4
        y = top + high - high * part / 4
        parts += [line(left, y, left + wide, y, GRID), text(left - 8, y + 4, rate(number), 11, FAINT, "end")]
    group = wide / len(counts)
    for place, count in enumerate(counts):
        x = left + group * place + group / 2
        parts.append(text(x, top + high + 18, f"{count}", 12, INK, "middle"))
        for side, (name, fill) in enumerate(zip(by_name, (FOOTFALL, GRPC))):
            number = by_name[name].get(count)
            if number is None:
                continue
            tall = high * number / most
            bar = x - 38 + 40 * side
            parts += [
                rect(bar, top + high - tall, 36, round(tall, 1), fill),
                text(bar + 18, top + high - tall - 5, rate(number), 10, FAINT, "middle"),
            ]
    for place, (name, fill) in enumerate(zip(by_name, (FOOTFALL, GRPC))):
        parts += [rect(590, top + 24 * place, 12, 12, fill), text(608, top + 24 * place + 11, name, 12)]
    parts.append(text(16, top + high + 44, caption(report), 11, FAINT))
    return svg(720, top + high + 58, title, parts)


def curve(samples, name, fill, left, top, wide, high, most):
    """A line through what the samples have under a name."""
    end = max(sample["seconds"] for sample in samples)
    places = [(left + wide * sample["seconds"] / end, top + high - high * sample[name] / most) for sample in samples]
    points = [f"{x:.1f},{y:.1f}" for x, y in places]
    return f'<polyline points="{" ".join(points)}" fill="none" stroke="{fill}" stroke-width="2"/>'


def load(report):
    """What was seen under full load: how long the longest write and read took, and memory, for each ten seconds."""
    samples = report["samples"]
    left, wide, high = 70, 560, 110
    title = f"Full load: {rate(report['a_second'])} events a second, in batches of 50"
    panels = [
        (70, [("read", "longest read, seconds", FOOTFALL), ("write", "longest write", GRPC)]),
        (230, [("memory_mib", "memory, MiB", FOOTFALL)]),
    ]
    parts = [text(16, 26, title, 15)]
    for top, curves in panels:
        most = max(sample[name] for sample in samples for name, _, _ in curves)
        most = next(step for step in (1, 2, 5, 10, 250, 500, 1000, 2000, 5000) if step >= most)
        parts += [text(left + 160 * place, top - 12, words, 12, fill) for place, (_, words, fill) in enumerate(curves)]
        for part in (0, 0.5, 1):
            y = top + high - high * part
            parts += [line(left, y, left + wide, y, GRID), text(left - 8, y + 4, f"{most * part:g}", 11, FAINT, "end")]
        parts += [curve(samples, name, fill, left, top, wide, high, most) for name, _, fill in curves]
    end = max(sample["seconds"] for sample in samples)
    for part in range(6):
        parts.append(text(left + wide * part / 5, 358, f"{end * part / 5:.0f} s", 11, FAINT, "middle"))
    parts.append(text(16, 388, caption(report), 11, FAINT))
    return svg(660, 402, title, parts)


def drawn(folder):
    throughput, scale = (json.loads((folder / name).read_text()) for name in ("throughput.json", "scale.json"))
    return {"shares.svg": shares(throughput), "callers.svg": callers(throughput), "load.svg": load(scale)}


def main(arguments):
    match arguments:
        case ["--check"]:
            wrong = [name for name, chart in drawn(PUBLISHED).items() if (CHARTS / name).read_text() != chart]
            if wrong:
                sys.exit(f"docs/charts is not what benches/charts.py draws of benches/published: {', '.join(wrong)}")
            return
        case []:
            source, folder = PUBLISHED, CHARTS
        case [source, folder] if not source.startswith("-"):
            source, folder = Path(source), Path(folder)
        case _:
            sys.exit(__doc__)
    folder.mkdir(parents=True, exist_ok=True)
    for name, chart in drawn(source).items():
        (folder / name).write_text(chart)
        print(folder / name)


if __name__ == "__main__":
    main(sys.argv[1:])

#!/usr/bin/env python3
"""Makes the tables and charts of BENCHMARKS.md from the output of `.ci/bench`.

    .ci/plot.py                  # reads .ci/bench-results/latest.jsonl, rewrites BENCHMARKS.md
    .ci/plot.py FILE --print     # only prints the tables; writes the charts next to FILE

Requires only Python's standard library.
"""

import argparse
import collections
import json
import pathlib
import statistics
import sys
from html import escape

ROOT = pathlib.Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- figures: made by .ci/plot.py -->", "<!-- end of figures -->"
LIMITS = ("limit A", "limit B")
OURS = ("tokio", "tokio 2 threads", "smol")
ORDER = (*LIMITS, *OURS, "Bun", "fastwebsockets", "socketioxide", "axum broadcast")

# If other programs use this many cores, the figures are meaningless.
BUSY = 0.3

# The rows that are ratios: description, unit, and the goals as (what to compare with, factor,
# stretch).
RATIOS = {
    "fanout-1": (
        "100 members, 64 B, one at a time", "delivery",
        [("limit A", 1.10, 1.0), ("axum broadcast", 0.80, None)],
    ),
    "fanout-16": (
        "100 members, 64 B, 16 outstanding", "delivery",
        [("limit B", 1.15, 1.0), ("axum broadcast", 0.15, None)],
    ),
    "fanout-100": (
        "100 members, all sending, 64 B", "delivery",
        [("limit B", 1.3, 1.05), ("axum broadcast", 0.10, None)],
    ),
    "fanout-128": ("100 members, 64 B, 128 outstanding", "delivery", [("limit B", 1.15, 1.0)]),
    "fanout-16k": ("100 members, 16 KiB, 4 outstanding", "delivery", [("limit B", 1.0, 0.85)]),
    "fanout-1000": ("1,000 members, 64 B, 16 outstanding", "delivery", [("limit B", 1.1, 0.95)]),
    "rooms": ("400 rooms of 5, 64 outstanding", "delivery", [("limit B", 1.2, 1.05)]),
    "churn": ("join and leave, 500 connections", "operation", [("limit B", 1.5, 1.3)]),
    "direct": ("direct ping-pong, 100 pairs", "message", [("limit A", 1.3, 1.15)]),
}

# The other rows: description, how to read and write the figure, and the goal. A goal is a number, a
# text, or what to compare with and the factor.
ABSOLUTES = [
    ("rooms-ten", "2,000 rooms of 5, each connection in ten: µs per delivery",
     lambda r: r["cpu_us"], "{:.2f}", None),
    ("idle", "bytes of RSS per idle connection, 10,000 in `root`",
     lambda r: r["rss_per_idle_conn_bytes"], "{:,.0f}", 1000),
    ("joinstorm", "join storm of 5,000: µs per membership notice", lambda r: r["cpu_us"], "{:.3f}", 0.3),
    ("joinstorm", "the same: share of clients whose member list is correct",
     lambda r: r["seen_fraction"], "{:.4f}", "1.0000"),
    ("joinstorm", "the same: peak RSS, MB", lambda r: r["rss_peak_kib"] / 976.5625, "{:.1f}", 20),
    ("latency", "500 messages/s to 100 members: p50, ms", lambda r: r["lat_p50_us"] / 1e3, "{:.2f}", None),
    ("latency", "the same: p99, ms", lambda r: r["lat_p99_us"] / 1e3, "{:.2f}", ("limit A", 1.15)),
    ("slow", "one stuck reader of 100, flooded: growth of RSS, MB",
     lambda r: (r["rss_peak_kib"] - r["rss_ready_kib"]) / 976.5625, "{:.1f}", 8),
    ("slow", "the same: messages that the other members lost", lambda r: r["lost_copies"], "{:.0f}", "0"),
    ("slow", "the same: the others' deliveries per second, compared with before",
     lambda r: r["delivered_per_s"] / r["before_per_s"], "{:.2f} ×", None),
    ("slow", "the same: stuck readers closed with 1013", lambda r: r["closed_1013"], "{:.0f}", "1"),
    ("slow-5", "five stuck readers of 100, flooded: growth of RSS, MB",
     lambda r: (r["rss_peak_kib"] - r["rss_ready_kib"]) / 976.5625, "{:.1f}", 16),
    ("slow-5", "the same: messages that the other members lost", lambda r: r["lost_copies"], "{:.0f}", "0"),
    ("slow-5", "the same: stuck readers closed with 1013", lambda r: r["closed_1013"], "{:.0f}", "5"),
]


class Results:
    """Contains the runs of a results file, by row and server."""

    def __init__(self, path):
        self.about, self.runs, self.failed = {}, collections.defaultdict(list), []
        self.check = collections.defaultdict(list)
        self.others = []
        runs = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
        compared = {run["row"] for run in runs if run.get("generator") == "other"}
        for run in runs:
            if run.get("about") == "machine":
                self.about = run
            elif "error" in run:
                self.failed.append(run)
            else:
                self.others.append(run.get("others_cores", 0.0))
                # The other generator has measured the ratios. Ours has only checked the deliveries.
                aside = run["row"] in RATIOS and run["row"] in compared
                aside = aside or run["row"] == "latency" and "latency" in compared
                check = run["generator"] == "load" and aside
                (self.check if check else self.runs)[run["row"], run["server"]].append(run)
        present = {server for _, server in self.runs}
        self.servers = [name for name in ORDER if name in present]
        self.servers += sorted(present - set(ORDER))

    def values(self, row, server, read=lambda run: run["cpu_us"]):
        found = []
        for run in self.runs.get((row, server), []):
            try:
                if run.get("delivered") != 0:
                    found.append(float(read(run)))
            except (KeyError, TypeError, ZeroDivisionError):
                pass
        return found

    def median(self, row, server, read=lambda run: run["cpu_us"]):
        found = self.values(row, server, read)
        return statistics.median(found) if found else None

    def ratio(self, row, server, reference):
        a, b = self.median(row, server), self.median(row, reference)
        return a / b if a and b else None


def number(value):
    """Formats a number with about three significant digits."""
    if value is None:
        return "–"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def times(value):
    return "–" if value is None else f"{value:.2f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(["---"] * len(head)) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def goals_table(results):
    rows = []
    for row, (what, unit, goals) in RATIOS.items():
        limit = goals[0][0]
        if not results.values(row, "tokio"):
            continue
        cells = [f"{what}, per {unit}", number(results.median(row, limit))]
        for server in OURS:
            value, ratio = results.median(row, server), results.ratio(row, server, limit)
            cells.append(number(value) + (f" ({times(ratio)} ×)" if ratio else ""))
        cells.append(times(results.ratio(row, "tokio", "axum broadcast")))
        cells.append(times(results.ratio(row, "smol", "tokio")))
        cells.append("; ".join(f"≤ {factor:.2f} × {name}" for name, factor, _ in goals))
        known = [
            (results.ratio(row, "tokio", name), factor, stretch) for name, factor, stretch in goals
        ]
        if any(ratio is None for ratio, _, _ in known):
            cells.append("–")
        elif all(round(ratio, 2) <= factor for ratio, factor, _ in known):
            best = all(ratio <= stretch for ratio, _, stretch in known if stretch)
            cells.append("yes, stretch too" if best else "yes")
        else:
            cells.append("**no**")
        rows.append(cells)
    head = ["µs of server CPU", "limit", *OURS, "tokio : axum", "smol : tokio", "goal (tokio)", "met"]
    return table(head, rows) if rows else ""


def goal_words(results, row, read, goal):
    """Formats an absolute goal, or one relative to another server, with the ratio that tokio reaches."""
    if isinstance(goal, tuple):
        reference, factor = goal
        ours, theirs = results.median(row, "tokio", read), results.median(row, reference, read)
        reached = f" (tokio: {ours / theirs:.2f} ×)" if ours and theirs else ""
        return f"≤ {factor:.2f} × {reference}{reached}"
    return "" if goal is None else goal if isinstance(goal, str) else f"≤ {goal:,}"


def absolutes_table(results):
    servers = [s for s in results.servers if s in OURS or results.values("latency", s)]
    servers += [s for s in results.servers if s not in servers and results.values("idle", s)]
    rows = []
    for row, what, read, form, goal in ABSOLUTES:
        cells, any_ = [what], False
        for server in servers:
            value = results.median(row, server, read)
            any_ = any_ or value is not None
            cells.append("–" if value is None else form.format(value))
        if any_:
            rows.append([*cells, goal_words(results, row, read, goal)])
    return table(["what", *servers, "goal"], rows) if rows else ""


def all_table(results):
    rows = []
    for row, (what, unit, _) in RATIOS.items():
        cells = [what]
        for server in results.servers:
            found = results.values(row, server)
            if not found:
                cells.append("–")
                continue
            middle = statistics.median(found)
            spread = (max(found) - min(found)) / 2 / middle * 100
            cells.append(f"{number(middle)} ± {spread:.0f} %" if len(found) > 1 else number(middle))
        if any(cell != "–" for cell in cells[1:]):
            rows.append(cells)
    return table(["µs of server CPU per unit", *results.servers], rows) if rows else ""


def check_table(results):
    """Compares the two generators, for those of our servers that both have measured."""
    rows = []
    for (row, server), runs in results.check.items():
        other = results.median(row, server)
        if row in RATIOS and other:
            ours = statistics.median(run["cpu_us"] for run in runs)
            rows.append([RATIOS[row][0], server, number(other), number(ours), times(ours / other)])
    return table(["what", "server", "other generator", "ours", "ratio"], rows) if rows else ""


def machine(results):
    about = results.about
    text = (
        f"{about.get('date')}, commit {about.get('commit')}: {about.get('cores')} cores of "
        f"{about.get('cpu')}, {about.get('memory_gib')} GiB, Linux {about.get('kernel')}, Rust "
        f"{about.get('rust')}. {about.get('rounds')} round(s) of {about.get('secs')} s"
    )
    if results.others:
        text += (
            f"; other work on the machine took {statistics.median(results.others):.2f} cores "
            f"(median over the runs; at most {max(results.others):.2f})"
        )
    text += "."
    if results.others and statistics.median(results.others) > BUSY:
        text += " **The machine was busy: these figures only show that everything runs.**"
    if results.failed:
        names = sorted({f"{run['row']} on {run['server']}: {run['error']}" for run in results.failed})
        text += f"\n\n**{len(results.failed)} runs failed**: " + "; ".join(names) + "."
    return text


# Charts. Colours are CSS classes, since they differ in the dark scheme. A picture has a background,
# so that it can be read on any page.
STYLE = """
svg { font: 12px system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif }
.page { fill: #ffffff; stroke: #d8dee4 } .text { fill: #1f2328 } .soft { fill: #59636e }
.halo { paint-order: stroke; stroke: #ffffff; stroke-width: 5px }
.strong { font-weight: 600 } .title { font-size: 16px; font-weight: 600 }
.ours { fill: #0b6bcb } .limit { fill: #6e7781 } .peer { fill: #c3ccd5 }
.mark { stroke: #6e7781; stroke-dasharray: 2 3 }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117; stroke: #30363d } .halo { stroke: #0d1117 } .text { fill: #f0f6fc } .soft { fill: #9198a1 }
.ours { fill: #4ea1ff } .limit { fill: #9198a1 } .peer { fill: #3d4753 }
.mark { stroke: #9198a1 }
}
"""
NAMES, BAR, LINE = 138, 14, 19


def kind(server):
    return "limit" if server in LIMITS else "ours" if server in OURS else "peer"


def label(server):
    return f"roomer {server}".replace("2 threads", "2 thr.") if server in OURS else server


def picture(width, height, title, note, body):
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{escape(title)}">\n<style>{STYLE}</style>\n'
        f'<rect class="page" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>\n'
        f'<text class="text title" x="20" y="32">{escape(title)}</text>\n'
        f'<text class="soft" x="20" y="52">{escape(note)}</text>\n' + "\n".join(body) + "\n</svg>\n"
    )


def panel(x, y, width, title, bars, form, mark=None):
    """Draws a group of bars on its own scale, which starts at zero. The value of a bar is at its end."""
    out = []
    if title:
        out.append(f'<text class="text strong" x="{x}" y="{y}">{escape(title)}</text>')
        y += 10
    left, room = x + NAMES, width - NAMES - 58
    scale = room / max(value for _, value in bars)
    if mark:
        at = left + mark * scale
        bottom = y + len(bars) * LINE
        out.append(f'<line class="mark" x1="{at:.1f}" y1="{y}" x2="{at:.1f}" y2="{bottom}"/>')
    for server, value in bars:
        weight = " strong" if server in OURS else ""
        base = y + BAR - 1
        out.append(
            f'<text class="text{weight}" x="{left - 8}" y="{base}" text-anchor="end">'
            f"{escape(label(server))}</text>"
            f'<rect class="{kind(server)}" x="{left}" y="{y + 1}" '
            f'width="{max(value * scale, 1):.1f}" height="{BAR}" rx="2"/>'
            f'<text class="text halo{weight}" x="{left + value * scale + 6:.1f}" y="{base}">'
            f"{form(value)}</text>"
        )
        y += LINE
    return out


def cpu_chart(results):
    panels = []
    for row, (what, _, goals) in RATIOS.items():
        bars = [(s, results.median(row, s)) for s in results.servers]
        bars = [(server, value) for server, value in bars if value]
        if bars:
            panels.append((what, bars, results.median(row, goals[0][0])))
    if not panels:
        return None
    body, y, width = [], 88, 440
    for at in range(0, len(panels), 2):
        pair = panels[at : at + 2]
        for column, (what, bars, mark) in enumerate(pair):
            body += panel(20 + column * width, y, width - 10, what, bars, number, mark)
        y += max(len(bars) for _, bars, _ in pair) * LINE + 44
    note = "Microseconds of server CPU per delivery, message or operation: shorter is better."
    note += " Each group has its own scale; dashed: the raw limit."
    return picture(2 * width + 20, y - 20, "What a message costs", note, body)


def memory_chart(results):
    read = lambda run: run["rss_per_idle_conn_bytes"]
    bars = [(s, results.median("idle", s, read)) for s in results.servers if s != "tokio 2 threads"]
    bars = sorted([(s, value) for s, value in bars if value], key=lambda bar: bar[1])
    if not bars:
        return None
    body = panel(20, 76, 856, None, bars, lambda value: f"{value:,.0f}")
    note = "Bytes of the server's resident memory per idle connection, at 10,000: shorter is better."
    return picture(900, 76 + len(bars) * LINE + 20, "What an idle connection holds", note, body)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", default=ROOT / ".ci/bench-results/latest.jsonl")
    parser.add_argument("--print", action="store_true", help="print the tables, and do not change BENCHMARKS.md")
    args = parser.parse_args()
    path = pathlib.Path(args.file)
    if not path.exists():
        sys.exit(f"{path} is missing; .ci/bench writes it")
    results = Results(path)
    parts = [machine(results)]
    charts = (("cpu", "What a message costs", cpu_chart), ("memory", "What an idle connection holds", memory_chart))
    drawn = {}
    for name, title, draw in charts:
        svg = draw(results)
        if svg:
            (path.parent / f"{name}.svg").write_text(svg)
            drawn[name] = f"![{title}](.ci/bench-results/{name}.svg)"
    sections = [
        (None, goals_table(results)),
        (None, drawn.get("cpu", "")),
        ("### Memory, storms, latency, stuck readers", absolutes_table(results)),
        (None, drawn.get("memory", "")),
        ("### Every server, with the spread between rounds (half the range)", all_table(results)),
        ("### Our generator against the other one", check_table(results)),
    ]
    for heading, content in sections:
        if content:
            parts += [heading, content] if heading else [content]
    text = "\n\n".join(parts)
    if args.print:
        print(text)
        return
    page = ROOT / "BENCHMARKS.md"
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{page} lacks the lines {BEGIN!r} and {END!r}")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
    print(f"{page} rewritten", file=sys.stderr)


if __name__ == "__main__":
    main()

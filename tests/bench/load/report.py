#!/usr/bin/env python3
"""The runs of compare.sh as tables, plots, and a verdict.

    report.py RUNS DIR

RUNS: a line of JSON for each single run, as the load generator prints it, with the `row` of
compare.sh it belongs to. Writes DIR/performance-peers.md and the plots it shows, prints which
targets are met, and ends with 1 if one is not.

Every figure is the median of the rounds. Runs in which other processes took more than NOISY cores
are left out where two quieter ones are left.
"""
import json
import os
import statistics
import sys

import plots

NOISY = 0.35
RELAYS = ("raw", "framed")

ROWS = {
    "W1-16": "W1: one publisher, one subscriber, 16 B",
    "W1-128": "W1: one publisher, one subscriber, 128 B",
    "W1-1024": "W1: one publisher, one subscriber, 1 KiB",
    "W1-65536": "W1: one publisher, one subscriber, 64 KiB",
    "W2-100": "W2: one publisher, 100 subscribers, 128 B",
    "W2-1000": "W2: one publisher, 1,000 subscribers, 128 B",
    "W3-16": "W3: 16 publishers on 16 topics, one subscriber, 128 B",
    "W4-1000": "W4: 1,000 messages a second, 128 B",
    "W4-10000": "W4: 10,000 messages a second, 128 B",
    "W4-trip": "W4: round trip, 128 B",
    "W5-1024": "W5: work queue, confirms and acks, 1,024 unconfirmed, 128 B",
    "W5-1": "W5: work queue, confirms and acks, one at a time, 128 B",
    "W6-10000": "W6: 10,000 idle connections",
    "W7-none": "W7: ten subscribers, none stalled, 1 KiB",
    "W7-one": "W7: ten subscribers, one of them stalled, 1 KiB",
    "W8-still": "W8: 100,000 wildcard subscriptions, random topics, 16 B",
    "W8-churn": "W8: the same while 1,000 subscriptions come and go each second",
    "D5-1024": "Durable work queue, confirms and acks, 1,024 unconfirmed, 128 B",
    "D5-1": "Durable work queue, confirms and acks, one at a time, 128 B",
    "R5-1024": "Work queue in Redis, confirms and acks, 1,024 unconfirmed, 128 B",
    "S1-16": "STOMP: one publisher, one subscriber, 16 B",
    "S1-128": "STOMP: one publisher, one subscriber, 128 B",
    "S1-1024": "STOMP: one publisher, one subscriber, 1 KiB",
    "S2-10": "STOMP: one publisher, ten subscribers, 128 B",
    "S5-1024": "STOMP: work queue, receipts and acks, 1,024 without receipt, 128 B",
}

# What brokerd has to reach: row, figure, at least or at most, how much; of whose, in the same
# run: None is the number itself, "best" the best of the peers, another row is brokerd's own there.
TARGETS = [
    ("W1-16", "broker_ns", "<=", 30, None),
    ("W1-16", "per_second", ">=", 4, "nats"),
    ("W1-128", "broker_ns", "<=", 75, None),
    ("W1-128", "per_second", ">=", 4, "nats"),
    ("W1-1024", "broker_ns", "<=", 1.2, "framed"),
    ("W1-1024", "per_second", ">=", 2, "best"),
    ("W1-65536", "broker_ns", "<=", 22000, None),
    # The same as a ratio, 22 us where raw takes 20: nearly all of it is the kernel's copying, as
    # fast as the machine's memory is at the moment.
    ("W1-65536", "broker_ns", "<=", 1.1, "raw"),
    ("W1-65536", "per_second", ">=", 1.15, "best"),
    ("W2-100", "broker_ns", "<=", 38, None),
    ("W2-1000", "broker_ns", "<=", 90, None),
    ("W3-16", "broker_ns", "<=", 75, None),
    ("W3-16", "per_second", ">=", 3, "best"),
    ("W4-trip", "p50_us", "<=", 1.1, "raw"),
    ("W4-trip", "broker_ns", "<=", 1.25, "raw"),
    ("W4-trip", "p99_us", "<=", 1, "redis"),
    ("W5-1024", "per_second", ">=", 1e6, None),
    ("W5-1024", "broker_ns", "<=", 1000, None),
    ("W5-1", "per_second", ">=", 1, "redis-streams"),
    ("W5-1", "per_second", ">=", 1, "beanstalkd"),
    ("D5-1024", "per_second", ">=", 3, "redis-streams-always"),
    ("D5-1024", "per_second", ">=", 5, "nats-js"),
    ("D5-1024", "per_second", ">=", 10, "rabbitmq"),
    ("R5-1024", "per_second", ">=", 0.7, "redis-streams"),
    ("W6-10000", "rss_kib_per_connection", "<=", 1, None),
    ("W6-10000", "connects_per_second", ">=", 1, "redis"),
    ("W6-10000", "idle_cores", "<=", 0.002, None),
    ("W7-one", "per_second", ">=", 0.95, "W7-none"),
    ("W7-one", "longest_gap_ms", "<=", 50, None),
    ("W7-one", "peak_kib", "<=", 128 * 1024, None),
    ("W7-one", "stalled_cut_off", "<=", 0, None),
    ("W7-one", "stalled_unsaid", "<=", 0, None),
    ("W8-still", "published_per_second", ">=", 3, "nats"),
    ("W8-churn", "published_per_second", ">=", 0.9, "W8-still"),
] + [(row, "per_second", ">=", factor, peer)
     for row in ("S1-16", "S1-128", "S1-1024", "S2-10", "S5-1024")
     for factor, peer in ((10, "rabbitmq-stomp"), (3, "activemq"))]
# More workers under the default placement: at least this share of what one worker does.
WORKERS_SHARE = 0.9

# field: what it is called, its unit. See main.c for what each means.
FIGURES = {
    "per_second": ("messages/s", "/s"),
    "published_per_second": ("published/s", "/s"),
    "connects_per_second": ("connects/s", "/s"),
    "broker_ns": ("CPU per message", "ns"),
    "broker_ns_per_published": ("CPU per message published", "ns"),
    "broker_us_per_connection": ("CPU per connection", "us"),
    "own_ns": ("load's own", "ns"),
    "p50_us": ("p50", "us"),
    "p99_us": ("p99", "us"),
    "p999_us": ("p99.9", "us"),
    "confirm_p50_us": ("confirm p50", "us"),
    "confirm_p99_us": ("p99", "us"),
    "on_its_way_us": ("on its way, at most", "us"),
    "longest_gap_ms": ("longest gap", "ms"),
    "rss_kib_per_connection": ("memory per connection", "KiB"),
    "peak_kib": ("peak memory", "KiB"),
    "rss_before_kib": ("memory before", "KiB"),
    "idle_cores": ("cores while idle", ""),
    "others_cores": ("others", ""),
    "cores": ("cores", ""),
    "lost": ("lost", "n"),
    "refused": ("refused", "n"),
    "stalled_cut_off": ("cut off", "n"),
    "stalled_got": ("it got", "n"),
    "stalled_told": ("told lost", "n"),
    "stalled_unsaid": ("lost unsaid", "n"),
}
MORE_IS_BETTER = ("per_second", "published_per_second", "connects_per_second")

# Which figures a row's table has: the first is the rate, the second the CPU, both with spread and
# ratios.
FLOOD = ["per_second", "broker_ns", "on_its_way_us", "peak_kib", "own_ns", "others_cores", "lost"]
LATENCY = ["per_second", "broker_ns", "p50_us", "p99_us", "p999_us", "peak_kib", "own_ns",
           "others_cores", "lost"]
COLUMNS = {
    "W4": LATENCY,
    "W5": ["per_second", "broker_ns", "p50_us", "p99_us", "confirm_p50_us", "confirm_p99_us",
           "peak_kib", "own_ns", "others_cores", "lost", "refused"],
    "W6": ["connects_per_second", "broker_us_per_connection", "rss_kib_per_connection",
           "idle_cores", "peak_kib", "others_cores"],
    "W7-one": ["per_second", "broker_ns", "longest_gap_ms", "rss_before_kib", "peak_kib",
               "stalled_cut_off", "stalled_got", "stalled_told", "stalled_unsaid", "others_cores",
               "lost"],
    "W7-none": ["per_second", "broker_ns", "longest_gap_ms", "peak_kib", "others_cores", "lost"],
    "W8": ["published_per_second", "broker_ns_per_published", "on_its_way_us", "peak_kib",
           "own_ns", "others_cores", "lost"],
}


def columns(row):
    row = "W5" + row[2:] if row[:2] in ("D5", "R5") else row
    return COLUMNS.get(row) or COLUMNS.get(row[:2]) or FLOOD


# ---------------------------------------------------------------------------------- reading


def add_way(run):
    """A publisher has at most `window` messages on their way: divided by the rate, how long one
    takes at most, on average. Those that were timed need no such estimate."""
    rate = run.get("published_per_second") or run.get("per_second")
    if run.get("window") and rate and "p50_us" not in run:
        run["on_its_way_us"] = run["window"] / rate * 1e6


def read(path):
    """What compare.sh said of the machine; {row: {peer: [run..]}}; {(row, peer): why it failed}."""
    about, runs, failed = {}, {}, {}
    with open(path, encoding="utf-8") as f:
        for line in f:
            run = json.loads(line)
            if "about" in run:
                about = run["about"]
            elif "failed" in run:
                failed[run["row"], run["peer"]] = run["failed"]
                runs.setdefault(run["row"], {}).setdefault(run["peer"], [])
            else:
                add_way(run)
                runs.setdefault(run["row"], {}).setdefault(run["peer"], []).append(run)
    for peers in runs.values():
        for peer, all_runs in peers.items():
            quiet = [r for r in all_runs if r["others_cores"] <= NOISY]
            peers[peer] = quiet if len(quiet) >= 2 else all_runs
    return about, runs, failed


def median(runs, field):
    values = [r[field] for r in runs if r.get(field) is not None]
    return statistics.median(values) if values else None


def own(row):
    """What brokerd is called there."""
    return {"S": "brokerd-stomp", "D": "brokerd-journal", "R": "brokerd-redis"}.get(
        row[0], "brokerd")


def is_peer(name):
    return name not in RELAYS and not name.startswith("brokerd")


def best(peers, field):
    """The best peer in this figure, and the figure; ("", None) if there is none."""
    found = [(median(runs, field), peer) for peer, runs in peers.items() if is_peer(peer)]
    found = [f for f in found if f[0] is not None]
    if not found:
        return "", None
    figure, peer = max(found) if field in MORE_IS_BETTER else min(found)
    return peer, figure


# ---------------------------------------------------------------------------------- writing


def scaled(v, units):
    """`v` with the largest unit of [(name, factor)..] it has at least one of, three digits."""
    v = float(f"{v:.3g}") if abs(v) < 999.5 * units[-1][1] else v
    name, factor = units[0]
    for n, f in units:
        if abs(v) >= f:
            name, factor = n, f
    v /= factor
    digits = 0 if abs(v) >= 100 or (v == int(v) and factor == units[0][1]) else 1 if abs(v) >= 10 else 2
    return f"{v:,.{digits}f}{name}"


def text(v, field):
    if v is None:
        return "-"
    unit = FIGURES[field][1]
    if unit == "ns":
        return scaled(v, [(" ns", 1), (" µs", 1e3), (" ms", 1e6)])
    if unit == "us":
        return scaled(v, [(" µs", 1), (" ms", 1e3), (" s", 1e6)])
    if unit == "ms":
        return scaled(v, [(" ms", 1), (" s", 1e3)])
    if unit == "KiB":
        return scaled(v, [(" KiB", 1), (" MiB", 1024)])
    if unit == "/s":
        return scaled(v, [("", 1), (" k", 1e3), (" M", 1e6)])
    if unit == "n":
        return f"{v:,.0f}"
    return f"{v:.3f}" if field == "idle_cores" else f"{v:.2f}"


def spread(runs, field):
    values = [r[field] for r in runs if r.get(field) is not None]
    if len(values) < 2:
        return text(values[0], field) if values else "-"
    return f"{text(median(runs, field), field)} ({text(min(values), field)} – {text(max(values), field)})"


def ratio(v, of):
    if v is None or not of:
        return "-"
    r = v / of
    return f"{r:.2f}" if r < 10 else f"{r:.1f}" if r < 100 else f"{r:,.0f}"


def row_table(row, peers, failed):
    """One workload as a Markdown table."""
    rate, cpu, *rest = columns(row)
    limits = [relay for relay in RELAYS if peers.get(relay)]
    head = ["", FIGURES[rate][0], "of the best peer's"]
    head += [FIGURES[cpu][0], "of the best peer's"] + [f"of {limit}'s" for limit in limits]
    rest = [c for c in rest if any(median(runs, c) is not None for runs in peers.values())]
    head += [FIGURES[c][0] for c in rest]
    lines = [f"### {ROWS.get(row, row)}", "", "| " + " | ".join(head) + " |",
             "| --- |" + " ---: |" * (len(head) - 1)]
    for peer, runs in peers.items():
        name = f"**{peer}**" if peer == own(row) else peer
        if not runs:
            lines.append(f"| {name} | *{failed[row, peer]}* |" + " |" * (len(head) - 2))
            continue
        now = [median(runs, rate), median(runs, cpu)]
        cells = [name, spread(runs, rate), ratio(now[0], best(peers, rate)[1]),
                 spread(runs, cpu), ratio(now[1], best(peers, cpu)[1])]
        cells += [ratio(now[1], median(peers[limit], cpu)) for limit in limits]
        cells += [text(median(runs, c), c) for c in rest]
        if (row, peer) in failed:
            cells[0] += f" *(a run failed: {failed[row, peer]})*"
        if median(runs, "others_cores") > NOISY:
            cells[0] += " *"
        lines.append("| " + " | ".join(cells) + " |")
    return lines + [""]


# ---------------------------------------------------------------------------------- targets


class Verdict:
    """One target: what was wanted, what came, and whether that will do."""

    def __init__(self, row, what, wanted, got, met, by):
        self.row, self.what, self.wanted, self.got, self.met, self.by = row, what, wanted, got, met, by

    def cells(self):
        return [self.row, self.what, self.wanted, self.got,
                {True: "met", False: "**MISSED**", None: "not run"}[self.met], self.by]


def reference(runs, row, field, of):
    """The figure a target is a multiple of, and its name. (1, ""): none."""
    peers = runs.get(row, {})
    if of is None:
        return 1, ""
    if of == "best":
        peer, figure = best(peers, field)
        return figure, f"{peer}, the best peer"
    if of in ROWS:
        return median(runs.get(of, {}).get(own(of), []), field), of
    return median(peers.get(of, []), field), of


def verdict(runs, failed, target):
    row, field, sign, factor, of = target
    mine = median(runs.get(row, {}).get(own(row), []), field)
    base, name = reference(runs, row, field, of)
    words = "at least" if sign == ">=" else "at most"
    if of is None:
        wanted = f"{words} {text(factor, field)}"
    else:
        wanted = f"{words} {factor:g} of {name}" + (f" ({text(base, field)})" if base else "")
    if (row, own(row)) in failed:
        return Verdict(row, FIGURES[field][0], wanted, failed[row, own(row)], False, "")
    if mine is None or base is None:
        return Verdict(row, FIGURES[field][0], wanted, text(mine, field), None, "")
    limit = factor * base
    met = mine >= limit if sign == ">=" else mine <= limit
    got = text(mine, field) + (f", {ratio(mine, base)}" if of else "")
    return Verdict(row, FIGURES[field][0], wanted, got, met, margin(mine, limit, sign))


def margin(mine, limit, sign):
    """How much better or worse than the limit, in words."""
    if not limit:
        return ""
    over = mine / limit - 1 if sign == "<=" else 1 - mine / limit
    percent = f"{abs(over) * 100:.{1 if abs(over) < 0.1 else 0}f} %"
    if over <= 0:
        return f"{mine / limit:.1f} times that" if mine >= 2 * limit else f"{percent} to spare"
    return f"{percent} {'too much' if sign == '<=' else 'short'}"


def worker_verdicts(runs, cores):
    """No row may lose much by more workers. Where the rate is imposed (W4) the median
    latency counts, the other way round."""
    for row, peers in runs.items():
        field = "p50_us" if row in ("W4-1000", "W4-10000") else columns(row)[0]
        one = median(peers.get("brokerd-w1", []), field)
        if one is None:
            continue
        shares = {}
        for n in (2, 4):
            more = median(peers.get("brokerd" if n == cores else f"brokerd-w{n}", []), field)
            if more is not None:
                shares[n] = one / more if field == "p50_us" else more / one
        if shares:
            least = min(shares.values())
            yield Verdict(row, f"{FIGURES[field][0]}, more workers",
                          f"at least {WORKERS_SHARE} of one's ({text(one, field)})",
                          ", ".join(f"{n}: {share:.2f}" for n, share in shares.items()),
                          least >= WORKERS_SHARE, margin(least, WORKERS_SHARE, ">="))


def loss_verdict(runs):
    losses = [f"{row} {peer}: {run['lost']:,}" for row, peers in runs.items()
              for peer, all_runs in peers.items() if peer.startswith("brokerd")
              for run in all_runs if run.get("lost")]
    return Verdict("all", "lost", "none", "; ".join(losses) or "none", not losses, "")


def verdicts(about, runs, failed):
    asked = [verdict(runs, failed, t) for t in TARGETS if own(t[0]) in runs.get(t[0], {})]
    return asked + [loss_verdict(runs)] + list(worker_verdicts(runs, about.get("cores")))


def targets_table(all_verdicts):
    lines = ["| workload | figure | wanted | brokerd | | |", "| --- | --- | --- | --- | --- | ---: |"]
    return lines + ["| " + " | ".join(v.cells()) + " |" for v in all_verdicts] + [""]


# ---------------------------------------------------------------------------------- the whole


def summary(all_verdicts):
    missed = [v for v in all_verdicts if v.met is False]
    open_ones = [v for v in all_verdicts if v.met is None]
    words = f"{len(all_verdicts) - len(missed) - len(open_ones)} targets met, {len(missed)} missed"
    return words + (f", {len(open_ones)} without the figures to tell" if open_ones else "")


def page(about, runs, failed, all_verdicts, pictures):
    lines = ["# brokerd and its peers", "",
             "Written by `make bench-peers`; [performance.md](performance.md) says what is measured "
             "and how to read it.", "",
             f"{about.get('date', '')}: {about.get('cores')} cores ({about.get('cpu')}), kernel "
             f"{about.get('kernel')}; {about.get('rounds')} rounds of {about.get('seconds')} s each; "
             f"{about.get('versions')}.", "",
             "Medians, in brackets the least and the most of the rounds. *: something else kept "
             f"more than {NOISY} cores busy meanwhile.", "",
             "## Targets", "", summary(all_verdicts) + ".", ""]
    lines += targets_table(all_verdicts)
    for title, name in pictures:
        lines += [f"## {title}", "", f"![{title}]({name})", ""]
    lines += ["## Each workload", ""]
    for row in [r for r in ROWS if r in runs]:
        lines += row_table(row, runs[row], failed)
    return "\n".join(lines)


def print_rows(runs, failed):
    """The gist of the tables, for a terminal."""
    line = "{:9} {:15} {:>30} {:>30} {:>20} {:>9} {:>6} {:>5}"
    print(line.format("workload", "peer", "rate", "CPU", "latency p50, p99", "peak", "others", "lost"))
    for row in [r for r in ROWS if r in runs]:
        rate, cpu = columns(row)[:2]
        for peer, some in runs[row].items():
            if not some:
                print(f"{row:9} {peer:15} {failed[row, peer]}")
                continue
            latency = [text(median(some, f), f) for f in ("p50_us", "p99_us")]
            way = median(some, "on_its_way_us")
            if latency[0] == "-":
                latency = [text(way, "on_its_way_us") + " at most"] if way else ["-"]
            print(line.format(row, peer, spread(some, rate), spread(some, cpu), ", ".join(latency),
                              text(median(some, "peak_kib"), "peak_kib"),
                              text(median(some, "others_cores"), "others_cores"),
                              text(median(some, "lost"), "lost")))


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    path, folder = sys.argv[1:]
    about, runs, failed = read(path)
    os.makedirs(folder, exist_ok=True)
    medians = {row: {peer: {f: median(r, f) for f in FIGURES} for peer, r in peers.items() if r}
               for row, peers in runs.items()}
    all_verdicts = verdicts(about, runs, failed)
    out = os.path.join(folder, "performance-peers.md")
    with open(out, "w", encoding="utf-8") as f:
        f.write(page(about, runs, failed, all_verdicts, plots.draw(medians, folder)))
    print_rows(runs, failed)
    for v in all_verdicts:
        row, what, wanted, got, word, by = v.cells()
        print(f"{word.strip('*'):8} {row:9} {what:25} {wanted:44} {got:24} {by}".rstrip())
    print(f"{summary(all_verdicts)}; {out}")
    return 1 if any(v.met is False for v in all_verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())

"""The plots of report.py, drawn by gnuplot as SVG."""
import os
import shutil
import subprocess

# Who is drawn, and how. brokerd with other numbers of workers is in the tables only; a peer with a
# second mode for queues (JetStream, QoS 1) is one colour.
PEERS = {
    "raw": ("raw relay", "#bbbbbb"),
    "framed": ("framed relay", "#777777"),
    "brokerd": ("brokerd", "#d62728"),
    "nats": ("NATS", "#1f77b4"),
    "redis": ("Redis", "#ff7f0e"),
    "mosquitto": ("Mosquitto", "#2ca02c"),
    "rabbitmq": ("RabbitMQ", "#9467bd"),
    "beanstalkd": ("beanstalkd", "#8c564b"),
}
SAME = {
    "nats-js": "nats",
    "redis-streams": "redis",
    "mosquitto-qos1": "mosquitto",
    "rabbitmq-stomp": "rabbitmq",
}

SPEED = [("W1-16", "16 B"), ("W1-128", "128 B"), ("W1-1024", "1 KiB"), ("W1-65536", "64 KiB"),
         ("W2-100", "to 100"), ("W2-1000", "to 1,000"), ("W3-16", "16 to 1"),
         ("W5-1024", "queue"), ("W5-1", "queue\\n1 by 1"), ("W8-still", "100,000\\nfilters")]
LATENCY = [("W4-1000", "1,000/s"), ("W4-10000", "10,000/s"), ("W4-trip", "round trip"),
           ("W5-1", "queue, 1 by 1")]
MEMORY = [("W1-128", "one to one"), ("W2-1000", "to 1,000"), ("W5-1024", "queue"),
          ("W6-10000", "10,000 idle"), ("W7-one", "one of ten\\nstalled")]

# title, file, rows, field, (label of the axis, factor), limits or not
BARS = [
    ("Messages per second", "peers-rate.svg", SPEED, "per_second", ("messages/s", 1), True),
    ("CPU per message", "peers-cpu.svg", SPEED, "broker_ns", ("s of broker CPU a message", 1e-9), True),
    ("Memory", "peers-memory.svg", MEMORY, "peak_kib", ("MiB at most", 1 / 1024), False),
]

HEAD = """\
set terminal svg size 1000,420 dynamic background rgb 'white' font 'sans-serif,13'
set encoding utf8
set micro
set output '{out}'
set title '{title}'
set style fill solid
set logscale y
set format y '%.0s %c'
set bmargin 3.5
set grid ytics lc rgb '#dddddd'
set border 3
set tics nomirror out
set key outside right top
set ylabel '{label}'
"""


def values(medians, row, field):
    """{peer of PEERS: figure} of one row."""
    found = {}
    for peer, figures in medians.get(row, {}).items():
        peer = SAME.get(peer, peer)
        if peer in PEERS and peer not in found and figures.get(field):
            found[peer] = figures[field]
    return found


def gnuplot(script):
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


def bars(medians, folder, title, name, rows, field, axis, with_limits):
    """Clusters of bars, one for each row; a peer keeps its place and colour in all of them."""
    label, factor = axis
    rows = [(row, words, values(medians, row, field)) for row, words in rows]
    rows = [r for r in rows if r[2]]
    peers = [p for p in PEERS if any(p in r[2] for r in rows) and
             (with_limits or p not in ("raw", "framed"))]
    if not peers:
        return False
    script = HEAD.format(out=os.path.join(folder, name), title=title, label=label)
    script += f"set xrange [-0.5:{len(rows) - 0.5}]\nset boxwidth {0.8 / len(peers)}\n"
    script += "set xtics (" + ", ".join(f'"{r[1]}" {i}' for i, r in enumerate(rows)) + ")\n"
    blocks, plots = "", []
    for n, peer in enumerate(peers):
        blocks += f"$p{n} << EOD\n"
        for i, row in enumerate(rows):
            if peer in row[2]:
                at = i - 0.4 + 0.8 * (n + 0.5) / len(peers)
                blocks += f"{at:.4f} {row[2][peer] * factor:.6g}\n"
        blocks += "EOD\n"
        plots.append(f"$p{n} with boxes lc rgb '{PEERS[peer][1]}' title '{PEERS[peer][0]}'")
    gnuplot(script + blocks + "plot " + ", ".join(plots) + "\n")
    return True


def latency(medians, folder, title, name):
    """A line from the median up to the 99th percentile, with a point at both."""
    rows = [(words, values(medians, row, "p50_us"), values(medians, row, "p99_us"))
            for row, words in LATENCY]
    rows = [r for r in rows if r[1]]
    peers = [p for p in PEERS if any(p in r[1] for r in rows)]
    if not peers:
        return False
    script = HEAD.format(out=os.path.join(folder, name), title=title,
                         label="s: median, line to p99")
    script += f"set xrange [-0.5:{len(rows) - 0.5}]\n"
    script += "set xtics (" + ", ".join(f'"{r[0]}" {i}' for i, r in enumerate(rows)) + ")\n"
    blocks, plots = "", []
    for n, peer in enumerate(peers):
        blocks += f"$p{n} << EOD\n"
        for i, (_, p50, p99) in enumerate(rows):
            if peer in p50:
                at = i - 0.35 + 0.7 * (n + 0.5) / len(peers)
                low, high = p50[peer] / 1e6, p99.get(peer, p50[peer]) / 1e6
                blocks += f"{at:.4f} {low:.6g} {low:.6g} {high:.6g}\n"
        blocks += "EOD\n"
        plots.append(f"$p{n} with yerrorbars lw 2 pt 7 ps 0.8 lc rgb '{PEERS[peer][1]}' "
                     f"title '{PEERS[peer][0]}'")
    gnuplot(script + blocks + "plot " + ", ".join(plots) + "\n")
    return True


def draw(medians, folder):
    """Draw what there are figures for; returns [(title, file)..], none without gnuplot."""
    if not shutil.which("gnuplot"):
        print("there is no gnuplot here, so no plots")
        return []
    drawn = []
    for title, name, *how in BARS:
        if bars(medians, folder, title, name, *how):
            drawn.append((title, name))
    if latency(medians, folder, "Latency", "peers-latency.svg"):
        drawn.insert(2, ("Latency", "peers-latency.svg"))
    return drawn

#!/usr/bin/env python3
"""Ask a broker for its metrics and check what Prometheus would: metrics.py HOST:PORT FILE.

The format's grammar, each name's head once and before its samples, all samples of a name together,
no series twice, counters that only rise from one asking to the next. Writes the text to FILE."""
import http.client
import re
import sys

SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*",?)*\})? (\S+)$')


def fetch(where):
    c = http.client.HTTPConnection(where, timeout=20)
    c.request("GET", "/metrics")
    r = c.getresponse()
    body = r.read().decode()
    assert r.status == 200, (r.status, body)
    assert r.getheader("Content-Type") == "text/plain; version=0.0.4; charset=utf-8", r.getheaders()
    return body


def parse(text):
    """{name: type}, {series: value}"""
    types, helped, values, last = {}, set(), {}, None
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name = line.split(" ")[2]
            assert name not in helped and len(line.split(" ", 3)[3]) > 5, line
            helped.add(name)
            last = name
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == last and name not in types and kind in ("counter", "gauge"), line
            types[name] = kind
            if kind == "counter":
                assert name.endswith("_total"), name
        else:
            m = SAMPLE.match(line)
            assert m, line
            assert m[1] == last, f"{line}: not with its head"
            series = m[1] + (m[2] or "")
            assert series not in values, f"{series}: twice"
            values[series] = float(m[3])
            assert values[series] >= 0, line
    return types, values


def main():
    where, file = sys.argv[1:]
    text = fetch(where)
    types, values = parse(text)
    _, later = parse(fetch(where))
    for series, value in values.items():
        if types[series.split("{")[0]] == "counter":
            assert later[series] >= value, series
    assert values["process_resident_memory_bytes"] > 1 << 20
    with open(file, "w", encoding="utf-8") as f:
        f.write(text)


main()

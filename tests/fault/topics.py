#!/usr/bin/env python3
"""Topics of several brokers, audited: publishers and subscribers on each, who come back when their
connection is lost, count up and compare.

    topics.py [--rate N] [--end SECONDS] SOCKET SOCKET ..

Until SIGTERM, then for some seconds more, slowly. Each connection of a publisher is one that counts
from 1; what was confirmed to it should have come to each subscriber, once and in order. A number that
did not must be covered by a gap that the subscriber was told, at the message that shows it (or within
a second, as it is told at most so often), or at the end at any time since. What was published while a
subscriber was not connected is not its own; nor what its broker cannot know yet that it wants.
A line of JSON; 0: nothing is missing that no gap covers."""
import argparse
import asyncio
import json
import signal
import sys
import time

KNOWN_S = 3  # after so long all brokers know a subscriber, unless there is trouble


class Publisher:
    """One connection."""

    def __init__(self, name):
        self.name, self.at = name, time.monotonic()
        self.sent = self.confirmed = self.refused = 0


class Subscriber:
    """One connection: what came, in order: (time, publisher, number), or (time, None, 0) for a gap."""

    def __init__(self, name, publishers):
        self.name, self.at, self.said = name, time.monotonic(), []
        self.ended = False  # the connection was lost
        self.before = set(publishers)  # of these some was published before


class Audit:
    def __init__(self, sockets, rate, end):
        self.sockets, self.rate, self.end = sockets, rate, end
        self.publishers, self.subscribers = {}, []
        self.ending = self.quiet = self.over = False
        self.disconnects = 0

    async def connection(self, socket, begin):
        """Run begin(reader, writer) for each connection that can be had."""
        while not self.over:
            writer = None
            try:
                reader, writer = await asyncio.open_unix_connection(socket, limit=1 << 22)
                await begin(reader, writer)
            except (OSError, asyncio.IncompleteReadError, EOFError):
                self.disconnects += 1
            finally:
                if writer:
                    writer.close()
            await asyncio.sleep(0.05)

    # ---- publishing

    def publishing(self, node):
        count = 0

        async def confirms(p, reader):
            while line := await reader.readline():
                m = json.loads(line)
                if m["id"] == "$confirmed":
                    p.confirmed = max(p.confirmed, m["data"]["confirm"])
                elif m["id"] == "$error":
                    p.refused += 1

        async def begin(reader, writer):
            nonlocal count
            count += 1
            p = Publisher(f"{node}.{count}")
            reading = asyncio.ensure_future(confirms(p, reader))
            try:
                while not self.over and not reading.done():
                    if self.quiet:  # what is on its way arrives
                        await asyncio.sleep(0.1)
                        continue
                    for _ in range(1 if self.ending else max(1, self.rate // 100)):
                        p.sent += 1
                        if p.sent == 1:
                            p.at = time.monotonic()
                            self.publishers[p.name] = p
                        line = {"id": "$publish", "data": {
                            "topic": f"load.{p.sent % 2}.n{node}", "confirm": p.sent,
                            "data": {"p": p.name, "s": p.sent}}}
                        writer.write(json.dumps(line).encode() + b"\n")
                    await asyncio.wait_for(writer.drain(), 60)
                    await asyncio.sleep(0.1 if self.ending else 0.01)
                if reading.done():
                    raise EOFError
            finally:
                reading.cancel()

        return begin

    # ---- subscribing

    def subscribing(self, name, topic):
        async def begin(reader, writer):
            writer.write(json.dumps({"id": "$subscribe", "data": {"topic": topic}}).encode() + b"\n")
            s = Subscriber(name, self.publishers)
            self.subscribers.append(s)
            try:
                while line := await reader.readline():
                    m = json.loads(line)
                    if m["id"] == "$gap":
                        s.said.append((time.monotonic(), None, 0))
                    elif m["id"].startswith("load."):
                        s.said.append((time.monotonic(), m["data"]["p"], m["data"]["s"]))
            finally:
                s.ended = not self.over
            raise EOFError

        return begin

    # ---- judging

    def judge(self, s):
        step = 1 if s.name.endswith("#") else 2  # half of the topics
        last, where, holes, bare, wrong = {}, {}, 0, [], []
        gaps = [i for i, (_, p, _) in enumerate(s.said) if p is None]

        def covered(since, until):
            return any(since < i and s.said[i][0] <= until for i in gaps)

        for i, (at, p, n) in enumerate(s.said):
            if p is None:
                continue
            begun = p in last or p not in s.before and self.publishers[p].at > s.at + KNOWN_S
            before = last.get(p, 0)  # the narrow one has the even numbers
            if p not in last:
                where[p] = next((j for j, m in enumerate(s.said) if m[0] >= self.publishers[p].at), 0) - 1
            if p in last and n <= before:
                wrong.append(f"{p}: {n} after {before}")
            elif begun and n > before + step:
                holes += 1
                if not covered(where[p], at + 1):
                    bare.append(f"{p}: {before + step} to {n - step}")
            last[p], where[p] = n, i
        for p, n in last.items():
            if not s.ended and self.publishers[p].confirmed > n + step:
                holes += 1
                if not covered(where[p], float("inf")):
                    bare.append(f"{p}: {n + step} to {self.publishers[p].confirmed} at the end")
        return holes, len(gaps), bare, wrong

    def verdict(self, ended):
        holes = gaps = messages = 0
        bare, wrong = [], []
        for s in self.subscribers:
            h, g, b, w = self.judge(s)
            holes, gaps, messages = holes + h, gaps + g, messages + len(s.said)
            bare += [f"{s.name}: {x}" for x in b]
            wrong += [f"{s.name}: {x}" for x in w]
        silent = {s.name for s in self.subscribers
                  if not s.ended and not (s.said and s.said[-1][0] > ended)}
        print(json.dumps({"published": sum(p.confirmed for p in self.publishers.values()),
                          "refused": sum(p.refused for p in self.publishers.values()),
                          "received": messages, "holes": holes, "gaps": gaps, "bare": len(bare),
                          "wrong": len(wrong), "silent": len(silent), "lost_connections": self.disconnects}))
        for line in (bare + wrong + sorted(silent))[:20]:
            print(line, file=sys.stderr)
        return 1 if bare or wrong or silent or not messages else 0

    async def run(self):
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        tasks = []
        for i, socket in enumerate(self.sockets, 1):
            for topic in ("load.#", "load.0.*"):
                tasks.append(self.connection(socket, self.subscribing(f"{i} {topic}", topic)))
        tasks = [asyncio.ensure_future(t) for t in tasks]
        await asyncio.sleep(1)
        tasks += [asyncio.ensure_future(self.connection(socket, self.publishing(i)))
                  for i, socket in enumerate(self.sockets, 1)]
        print("running", file=sys.stderr, flush=True)
        await stop.wait()
        self.ending = True
        await asyncio.sleep(self.end - 1.5)
        ended = time.monotonic() - 1
        self.quiet = True
        await asyncio.sleep(1.5)
        self.over = True
        for t in tasks:
            t.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return self.verdict(ended)


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--rate", type=int, default=500)
    args.add_argument("--end", type=float, default=8, help="seconds: a dead broker is told for dead, and that with a message")
    args.add_argument("sockets", nargs="+")
    args = args.parse_args()
    sys.exit(asyncio.run(Audit(args.sockets, args.rate, args.end).run()))


if __name__ == "__main__":
    main()

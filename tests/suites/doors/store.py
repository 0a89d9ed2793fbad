#!/usr/bin/env python3
"""What each door says of a queue that its store is slow to keep, or cannot keep: nothing before it
is kept, and then the refusal `store`.

    store.py HOST:PORT PID_OF_REDIS     queues called kept.# are durable = redis (run.sh)
"""

import http.client
import os
import signal
import sys
import threading
import time

import suite
from party import PATIENCE, Refused
from suite import DOORS, admin, eventually, same

WHICH = ("rsocket", "json", "stomp", "http")


class Publishing(threading.Thread):
    """One publish on a connection of its own, and what came of it."""

    def __init__(self, door, queue):
        super().__init__(daemon=True)
        self.door, self.queue, self.answer = door(suite.address), queue, None

    def run(self):
        try:
            self.door.publish(self.queue, b"2", queue=True)
            self.answer = "confirmed"
        except Refused as e:
            self.answer = e.text

    def ended(self):
        self.join(2 * PATIENCE)
        assert self.answer is not None, f"{self.queue}: no answer"
        return self.answer


def unstored(queue):
    rows = admin("queue-ls", filter=queue)["queues"]
    return rows[0]["unstored"] if rows else 0


def confirms_come_when_stored(redis):
    for name in WHICH:
        DOORS[name](suite.address).publish(f"kept.{name}", b"1", queue=True)
    os.kill(redis, signal.SIGSTOP)
    waiting = [Publishing(DOORS[name], f"kept.{name}") for name in WHICH]
    for p in waiting:
        p.start()
    for p in waiting:
        eventually(lambda q=p.queue: unstored(q) == 1, f"a message of {p.queue} on its way")
        DOORS["http"](suite.address).publish("other", b"x", queue=True)  # the broker works on
        same(p.answer, None, f"{p.queue}, not stored yet")
    os.kill(redis, signal.SIGCONT)
    for p in waiting:
        same(p.ended(), "confirmed", p.queue)
        eventually(lambda q=p.queue: unstored(q) == 0, "it is stored")


def refusals_say_store(redis):
    os.kill(redis, signal.SIGKILL)
    waiting = [Publishing(DOORS[name], f"kept.{name}") for name in WHICH]
    for p in waiting:
        p.start()
    conn = http.client.HTTPConnection(*suite.address, timeout=2 * PATIENCE)
    conn.request("POST", "/v1/queues/kept.http/messages", b"3")
    response = conn.getresponse()
    same(response.status, 503, "status")
    assert int(response.getheader("Retry-After")) > 0, "no Retry-After"
    for p in waiting:
        assert p.ended().startswith("store: "), f"{p.queue}: {p.answer}"
    for p in waiting:
        counted = admin("queue-info", queue=p.queue)["counters"]["refused"]
        assert counted.get("store", 0) >= 1, f"{p.queue}: counted {counted}"


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    suite.address = (host, int(port))
    redis = int(sys.argv[2])
    began = time.monotonic()
    confirms_come_when_stored(redis)
    refusals_say_store(redis)
    print(f"stores: {len(WHICH)} doors, {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()

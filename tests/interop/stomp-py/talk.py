"""stomp.py against a broker: what its own tests ask of RabbitMQ, in STOMP 1.0, 1.1 and 1.2."""

import os
import queue
import sys
import time

import stomp

SLOW = float(os.environ.get("SLOW", "1"))
PATIENCE = 10 * SLOW
HOST, PORT = sys.argv[1].rsplit(":", 1)
CONNECTIONS = {"1.0": stomp.Connection10, "1.1": stomp.Connection11, "1.2": stomp.Connection12}


class Ear(stomp.ConnectionListener):
    def __init__(self):
        self.heard = queue.Queue()

    def on_message(self, frame):
        self.heard.put(("MESSAGE", frame))

    def on_receipt(self, frame):
        self.heard.put(("RECEIPT", frame))

    def on_error(self, frame):
        self.heard.put(("ERROR", frame))

    def on_heartbeat_timeout(self):
        self.heard.put(("SILENCE", None))

    def next(self, what):
        kind, frame = self.heard.get(timeout=PATIENCE)
        assert kind == what, f"wanted {what}, got {kind} {frame and frame.headers} {frame and frame.body}"
        return frame


def connect(version, **options):
    c = CONNECTIONS[version]([(HOST, int(PORT))], **options)
    ear = Ear()
    c.set_listener("", ear)
    c.connect("guest", "guest", wait=True)
    return c, ear


def acknowledge(c, version, frame, verb="ack"):
    h = frame.headers
    if version == "1.2":
        getattr(c, verb)(h["ack"])
    elif version == "1.1":
        getattr(c, verb)(h["message-id"], h["subscription"])
    else:
        getattr(c, verb)(h["message-id"])


def topics(version):
    c, ear = connect(version)
    c.subscribe(f"/topic/py.{version}", id="1", headers={"receipt": "ready"})
    assert ear.next("RECEIPT").headers["receipt-id"] == "ready"
    special = {"a": "with: a colon"}
    if version != "1.0":
        special.update({"b": "back\\slash", "c": "new\nline"})
    for i in range(100):
        c.send(f"/topic/py.{version}", f"message {i} äöü", headers=special)
    for i in range(100):
        f = ear.next("MESSAGE")
        assert f.body == f"message {i} äöü", f.body
        assert {k: f.headers[k] for k in special} == special, f.headers
    c.unsubscribe(id="1") if version != "1.0" else c.unsubscribe(destination=f"/topic/py.{version}", id="1")
    c.disconnect()


def acks(version):
    c, ear = connect(version)
    destination = f"/queue/py.{version}"
    c.subscribe(destination, id="q", ack="client-individual" if version != "1.0" else "client")
    c.send(destination, "one", receipt="sent")
    assert sorted([ear.heard.get(timeout=PATIENCE)[0] for _ in range(2)]) == ["MESSAGE", "RECEIPT"]
    c.send(destination, "two")
    f = ear.next("MESSAGE")
    if version != "1.0":
        acknowledge(c, version, f, "nack")
        f = ear.next("MESSAGE")
        assert f.headers["redelivered"] == "true"
    acknowledge(c, version, f)
    c.disconnect()


def transactions(version):
    c, ear = connect(version)
    destination = f"/queue/py.t.{version}"
    c.subscribe(destination, id="q")
    for end, seen in ("abort", []), ("commit", ["in it"]):
        t = c.begin()
        c.send(destination, "in it", transaction=t)
        c.send(destination, "outside")
        getattr(c, end)(t)
        c.send(destination, "end")
        got = [ear.next("MESSAGE").body for _ in range(2 + len(seen))]
        assert got == ["outside"] + seen + ["end"], got
    c.disconnect()


def errors(version):
    c, ear = connect(version)
    c.send("/nowhere", "x")
    f = ear.next("ERROR")
    assert f.headers["message"] == "Unknown destination", f.headers
    deadline = time.monotonic() + PATIENCE
    while c.is_connected() and time.monotonic() < deadline:
        time.sleep(0.02)  # between two looks
    assert not c.is_connected()


def heart_beats(version):
    c, ear = connect(version, heartbeats=(500, 500))
    time.sleep(3)  # six of them: that none is missed is what is asked
    assert ear.heard.empty() and c.is_connected()
    c.disconnect()


for v in CONNECTIONS:
    for f in topics, acks, transactions, errors:
        f(v)
for v in "1.1", "1.2":
    heart_beats(v)
print("stomp.py: all is well")

#!/usr/bin/env python3
"""Consuming by HTTP, case by case.

  http_receive.py HOST:PORT          all of them
  http_receive.py HOST:PORT stall    listen, read nothing until SIGUSR1, then account for all
"""

import base64
import http.client
import json
import os
import signal
import socket
import sys
import time
import traceback

PATIENCE = 10 * float(os.environ.get("SLOW", "1"))
host, port = sys.argv[1].rsplit(":", 1)
names = 0


def fresh(word):
    global names
    names += 1
    return f"{word}.{names}"


def same(got, wanted, what):
    assert got == wanted, f"{what}: got {got!r}, wanted {wanted!r}"


def eventually(question, what):
    end = time.monotonic() + PATIENCE
    while not question():
        assert time.monotonic() < end, f"not within {PATIENCE} s: {what}"
        time.sleep(0.01)  # between two looks


class Http:
    """One connection."""

    def __init__(self):
        self.conn = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)

    def send(self, method, path, body=None, **headers):
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        if isinstance(body, dict):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        self.conn.request(method, path, body, headers)

    def answer(self):
        r = self.conn.getresponse()
        body = r.read()
        return r.status, json.loads(body) if body else None

    def ask(self, *args, **more):
        self.send(*args, **more)
        return self.answer()

    def close(self):
        self.conn.close()


def ask(*args, **more):
    """On a connection of its own: any may settle."""
    h = Http()
    try:
        return h.ask(*args, **more)
    finally:
        h.close()


def send(queue, *payloads, **headers):
    h = Http()
    for data in payloads:
        same(h.ask("POST", f"/v1/queues/{queue}/messages", data, content_type="text/plain",
                   **headers)[0], 202, "sent")
    h.close()


def receive(queue, options="", body=None):
    status, answer = ask("POST", f"/v1/queues/{queue}/messages:receive{options}", body)
    same(status, 200, f"receive: {answer}")
    return answer["messages"]


def counts(queue):
    """As `broker` asks: by a call of the service admin."""
    status, answer = ask("POST", "/v1/services/admin/queue-info", {"queue": queue})
    same(status, 200, f"queue-info: {answer}")
    return answer


def consumers(queue):
    """None: there is no such queue yet."""
    status, answer = ask("POST", "/v1/services/admin/queue-info", {"queue": queue})
    return answer["consumers"] if status == 200 else None


def path(queue, one):
    return f"/v1/queues/{queue}/messages/{one['id']}"


class Events:
    """A stream, read event by event."""

    def __init__(self, path, last=None, rcvbuf=None):
        self.sock = socket.socket()
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.settimeout(PATIENCE)
        self.sock.connect((host, int(port)))
        more = f"Last-Event-ID: {last}\r\n" if last else ""
        self.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode())
        self.raw, self.text = self.sock.makefile("rb"), b""
        self.status = int(self.raw.readline().split()[1])
        self.fields = {}
        while (line := self.raw.readline().strip()) != b"":
            k, v = line.decode().split(": ", 1)
            self.fields[k.lower()] = v
        self.last = None

    def line(self):
        while b"\n" not in self.text:
            size = int(self.raw.readline() or b"0", 16)
            if size == 0:
                raise EOFError
            self.text += self.raw.read(size)
            self.raw.readline()
        line, self.text = self.text.split(b"\n", 1)
        return line.decode()

    def next(self):
        """As a browser takes it apart: (type, data), or at the end None."""
        kind, data = "message", []
        try:
            while True:
                line = self.line()
                name, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if line == "":
                    if data:
                        return kind, "\n".join(data)
                    kind = "message"
                elif name == "event":
                    kind = value
                elif name == "data":
                    data.append(value)
                elif name == "id":
                    self.last = value
        except EOFError:
            return None

    def take(self, n):
        return [self.next() for _ in range(n)]

    def close(self):
        self.raw.close()
        self.sock.close()


# --------------------------------------------------------------------------------- long polling


def check_receive():
    queue = fresh("work")
    same(receive(queue), [], "an empty queue, at once")
    send(queue, "one", "two", "three", broker_meta_color="red")
    got = receive(queue, "?max=2")
    same([(m["topic"], m["data"], m["type"], m["headers"], m["attempt"]) for m in got],
         [(queue, d, "text/plain", {"color": "red"}, 1) for d in ("one", "two")], "messages")
    same([m["data"] for m in receive(queue, body={"max": 2})], ["three"], "the rest")
    same((counts(queue)["unacked"], consumers(queue)), (3, 0), "in flight, by nobody")
    for m in got:
        same(ask("DELETE", path(queue, m)), (204, None), "ack")
    same(ask("DELETE", path(queue, got[0]))[0], 404, "twice")
    same(counts(queue)["counters"]["acked"], 2, "acked")


def check_payloads():
    queue = fresh("payloads")
    send(queue, b"\xff\x00", "a\r\nb \U0001f600", "")
    h = Http()
    h.ask("POST", f"/v1/queues/{queue}/messages", '{"a":[1,\n2]}', content_type="application/json")
    h.close()
    got = receive(queue, "?facts=1")
    same([base64.b64decode(m["base64"]) if "base64" in m else m["data"] for m in got],
         [b"\xff\x00", "a\r\nb \U0001f600", "", {"a": [1, 2]}], "payloads")
    same([m["seq"] for m in got], [1, 2, 3, 4], "facts")
    assert all(m["time"].endswith("Z") and m["message"] for m in got), got


def check_wait():
    queue = fresh("wait")
    h = Http()
    h.send("POST", f"/v1/queues/{queue}/messages:receive?wait=30s&max=5")
    eventually(lambda: consumers(queue) == 1, "it waits")
    send(queue, "now")
    same([m["data"] for m in h.answer()[1]["messages"]], ["now"], "what it waited for")
    begun = time.monotonic()
    same(h.ask("POST", f"/v1/queues/{queue}/messages:receive?wait=200ms")[1], {"messages": []},
         "nothing came")
    assert time.monotonic() - begun >= 0.19, "it did not wait"
    h.close()


def check_gone_while_waiting():
    """Who goes away has had nothing: the message is the next one's, and this its first attempt."""
    queue = fresh("gone")
    for _ in range(5):
        h = Http()
        h.send("POST", f"/v1/queues/{queue}/messages:receive?wait=60s")
        eventually(lambda: consumers(queue) == 1, "it waits")
        h.close()
        eventually(lambda: consumers(queue) == 0, "it has gone")
    send(queue, "kept")
    got = receive(queue, "?wait=10s")
    same([(m["data"], m["attempt"]) for m in got], [("kept", 1)], "message")


def check_visibility():
    queue = fresh("visible")
    send(queue, "x", "y")
    first, other = receive(queue, "?visibility=300ms")
    same(ask("POST", path(queue, other) + ":extend?time=60s")[0], 204, "extended")
    again = receive(queue, "?wait=10s")
    same([(m["data"], m["attempt"]) for m in again], [("x", 2)], "the one that timed out")
    same(ask("DELETE", path(queue, first))[0], 404, "too late")
    same(ask("DELETE", path(queue, other))[0], 204, "in time")
    same(ask("DELETE", path(queue, again[0]))[0], 204, "the second attempt")
    same((counts(queue)["unacked"], counts(queue)["depth"]), (0, 0), "nothing left")


def check_queues_own_time():
    queue = "short." + fresh("own")  # ack-timeout 300ms
    send(queue, "x")
    receive(queue)
    same([m["attempt"] for m in receive(queue, "?wait=10s")], [2], "its own time-out")


def check_release_and_reject():
    queue = "strict." + fresh("release")  # two deliveries, then dead
    dead = Events("/v1/topics/dead.letters/events?as=json")
    send(queue, "a", "b")
    a, b = receive(queue)
    same(ask("POST", path(queue, a) + ":release", {"delay": "200ms"})[0], 204, "released")
    same(receive(queue), [], "kept back")
    again = receive(queue, "?wait=10s")
    same([(m["data"], m["attempt"]) for m in again], [("a", 2)], "later")
    same(ask("POST", path(queue, b) + ":reject")[0], 204, "rejected")
    same(ask("POST", path(queue, again[0]) + ":release")[0], 204, "released once too often")
    letters = [json.loads(data) for _, data in dead.take(2)]
    same([(m["data"], m["meta"]["dead-reason"]) for m in letters],
         [("b", "rejected"), ("a", "attempts")], "dead letters")
    dead.close()


def check_batches():
    queue = fresh("batch")
    send(queue, *map(str, range(100)))
    got = receive(queue, "?max=100")
    ids = [m["id"] for m in got]
    same(len(ids), 100, "all at once")
    base = f"/v1/queues/{queue}/messages"
    same(ask("POST", base + ":ack", {"ids": ids[:50]}), (200, {"settled": 50, "gone": []}), "acks")
    same(ask("POST", base + ":ack", {"ids": ids[49:51]}),
         (200, {"settled": 1, "gone": [ids[49]]}), "one of them again")
    same(ask("POST", base + ":extend", {"ids": ids[51:], "time": 60000})[1]["settled"], 49, "extended")
    same(ask("POST", base + ":release", {"ids": ids[51:60]})[1]["settled"], 9, "released")
    same(ask("POST", base + ":reject", {"ids": ids[60:]})[1]["settled"], 40, "rejected")
    same([m["data"] for m in receive(queue, "?max=100")], list(map(str, range(51, 60))), "again")
    same(ask("POST", base + ":ack", {"ids": []})[0], 400, "none")
    same(ask("POST", base + ":ack", {"ids": ids * 11})[0], 429, "too many")


def check_large_ones():
    """However many are asked for, an answer has an end; what it has not comes with the next."""
    queue, n = fresh("bulk"), 30
    h = Http()
    send(queue, *(b"%02d" % i + b"x" * 100_000 for i in range(n)))
    got = []
    while len(got) < n:
        status, answer = h.ask("POST", f"/v1/queues/{queue}/messages:receive?max=1000&wait=10s")
        assert sum(len(m["data"]) for m in answer["messages"]) < 600_000, "a very long answer"
        same({m["attempt"] for m in answer["messages"]}, {1}, "attempts")
        got += [int(m["data"][:2]) for m in answer["messages"]]
    same(got, list(range(n)), "all, in order")
    h.close()


def check_nonsense():
    queue = fresh("nonsense")
    send(queue, "x")
    (m,) = receive(queue)
    other = fresh("other")
    send(other, "y")
    receive(other)
    forged = m["id"][:-1] + ("A" if m["id"][-1] != "A" else "B")
    for verb, where, status in (("DELETE", path(other, m), 404),
                                ("DELETE", path(queue, {"id": forged}), 404),
                                ("DELETE", path(queue, {"id": "short"}), 400),
                                ("POST", path(queue, m) + ":extend?time=soon", 400),
                                ("POST", path(queue, m) + ":release?dealy=1", 400),
                                ("GET", path(queue, m), 405),
                                ("POST", path(queue, m) + ":eat", 404),
                                ("POST", f"/v1/queues/{queue}/messages:receive?max=0", 400),
                                ("POST", f"/v1/queues/{queue}/messages:receive?max=1001", 400),
                                ("POST", f"/v1/queues/{queue}/messages:receive?wait=1d", 400),
                                ("POST", f"/v1/queues/{queue}/messages:receive?visibility=0", 400),
                                ("POST", "/v1/queues/a%20b/messages:receive", 400),
                                ("POST", "/v1/queues/%24SYS.a/messages:receive", 403),
                                ("GET", f"/v1/queues/{queue}/events?as=xml", 400),
                                ("GET", "/v1/topics/a..b/events", 400),
                                ("GET", "/v1/topics/a/events?settle=1s", 400)):
        got, answer = ask(verb, where)
        same((got, "error" in answer), (status, True), f"{verb} {where}")
    same(ask("DELETE", path(queue, m))[0], 204, "and the true one")


def check_auto():
    queue = fresh("auto")
    send(queue, "x")
    (m,) = receive(queue, "?ack=auto")
    same((m["data"], "id" in m), ("x", False), "message")
    eventually(lambda: counts(queue)["counters"].get("acked") == 1, "settled")


def check_pollers_compete():
    queue, n = fresh("compete"), 200
    pollers = [Http() for _ in range(8)]
    for h in pollers:
        h.send("POST", f"/v1/queues/{queue}/messages:receive?wait=20s&max=7")
    send(queue, *map(str, range(n)))
    got = []
    while len(got) < n:
        for h in pollers:
            if len(got) >= n:
                break
            messages = h.answer()[1]["messages"]
            got += [m["data"] for m in messages]
            same({m["attempt"] for m in messages} - {1}, set(), "attempts")
            ids = [m["id"] for m in messages]
            same(ask("POST", f"/v1/queues/{queue}/messages:ack", {"ids": ids})[1]["settled"],
                 len(ids), "acks")
            h.send("POST", f"/v1/queues/{queue}/messages:receive?wait=20s&max=7")
    same(sorted(map(int, got)), list(range(n)), "each message once")
    for h in pollers:
        h.close()


# ------------------------------------------------------------------------------------- streams


def publish(topic, data, kind="text/plain", **headers):
    same(ask("POST", f"/v1/topics/{topic}", data, content_type=kind, **headers)[0], 202, "published")


def check_topic():
    root = fresh("topic")
    s = Events(f"/v1/topics/{root}.%23/events")
    same((s.status, s.fields["content-type"], s.fields["cache-control"]),
         (200, "text/event-stream", "no-store"), "head")
    for data in ("plain", "two\nlines", "", "gr\u00fc\u00dfe"):
        publish(root + ".a", data.encode())
        same(s.next(), (root + ".a", data), "event")
    for data in (b"a\r\nb", b"\xff\x00"):
        publish(root, data)
        same(s.next(), (root + " base64", base64.b64encode(data).decode()), "bytes")
    s.close()


def check_json():
    topic = fresh("json")
    s = Events(f"/v1/topics/{topic}/events?as=json&facts=1")
    publish(topic, '{"a":\r\n1}', "application/json", broker_meta_color="red")
    kind, data = s.next()
    event = json.loads(data)
    same((kind, event["id"], event["data"]), ("message", topic, {"a": 1}), "event")
    same((event["meta"]["headers"], event["meta"]["seq"]), ({"color": "red"}, 1), "meta")
    publish(topic, b"\xff", "image/png")
    event = json.loads(s.next()[1])
    same((event["data"], event["meta"]["base64"], event["meta"]["type"]),
         (None, "/w==", "image/png"), "bytes")
    s.close()


def check_several_readers():
    topic = fresh("several")
    readers = [Events(f"/v1/topics/{topic}/events{how}") for how in ("", "?as=json") * 4]
    for i in range(20):
        publish(topic, str(i))
    for i, s in enumerate(readers):
        got = [d if i % 2 == 0 else json.loads(d)["data"] for _, d in s.take(20)]
        same(got, [str(i) for i in range(20)], "each gets all")
        s.close()


def check_again_is_a_gap():
    topic = fresh("again")
    s = Events(f"/v1/topics/{topic}/events?credit=1")
    publish(topic, "x")
    same([s.next()[0] for _ in range(2)], [topic, "end"], "events")
    same(s.next(), None, "the end")
    s = Events(f"/v1/topics/{topic}/events", last=s.last)
    same(s.next(), ("gap", '{"lost":null,"reason":"disconnected"}'), "gap")
    s.close()


def check_resume():
    """What the reader had not seen comes again, what it had does not."""
    queue = fresh("resume")
    send(queue, *map(str, range(6)))
    s = Events(f"/v1/queues/{queue}/events")
    same([d for _, d in s.take(4)], ["0", "1", "2", "3"], "seen")
    last = s.last
    s.close()
    eventually(lambda: consumers(queue) == 0, "it has gone")
    same((counts(queue)["unacked"], counts(queue)["depth"]), (6, 0), "what was written waits")
    s = Events(f"/v1/queues/{queue}/events?as=json", last=last)
    got = [json.loads(d) for _, d in s.take(2)]
    same([(m["data"], m["meta"]["attempt"]) for m in got], [("4", 2), ("5", 2)], "not seen")
    same((counts(queue)["counters"]["acked"], counts(queue)["unacked"]), (4, 2), "settled")
    send(queue, "6")
    same(json.loads(s.next()[1])["data"], "6", "and on it goes")
    # The old stream may not be known to be dead.
    t = Events(f"/v1/queues/{queue}/events", last=s.last)
    kind, data = s.next()
    same((kind, json.loads(data)["reason"]), ("end", "resumed"), "the old stream")
    eventually(lambda: counts(queue)["unacked"] == 0, "all of it was seen")
    s.close(), t.close()


def check_stale_ids():
    queue = fresh("stale")
    for last in ("nonsense", "A" * 32, "\u00fc"):
        s = Events(f"/v1/queues/{queue}/events", last=last)
        send(queue, "x")
        same(s.next()[1], "x", "it begins as if none had been said")
        s.close()
        eventually(lambda: consumers(queue) == 0, "it has gone")


def check_settle():
    queue = fresh("settle")
    send(queue, "x")
    s = Events(f"/v1/queues/{queue}/events?settle=200ms")
    same(s.next()[1], "x", "event")
    eventually(lambda: counts(queue)["counters"].get("acked") == 1, "settled, a while later")
    send(queue, "y")
    same(s.next()[1], "y", "event")
    s.close()  # and nobody says how far it got
    got = receive(queue, "?wait=10s")
    same([(m["data"], m["attempt"]) for m in got], [("y", 2)], "comes again to whoever is there")


def check_settle_when_written():
    queue = fresh("written")
    send(queue, *map(str, range(5)))
    s = Events(f"/v1/queues/{queue}/events?settle=0&credit=3")
    same([d for _, d in s.take(3)], ["0", "1", "2"], "events")
    same(s.next()[0], "end", "the end")
    same(s.last, None, "no ids")
    same(s.next(), None, "the last chunk")
    eventually(lambda: counts(queue)["counters"].get("acked") == 3, "settled")
    same((counts(queue)["depth"], counts(queue)["unacked"]), (2, 0), "the others stay")
    s.close()


def check_credit_settles():
    queue = fresh("some")
    send(queue, *map(str, range(5)))
    s = Events(f"/v1/queues/{queue}/events?credit=3")
    same([k for k, _ in s.take(4)], [queue] * 3 + ["end"], "events")
    eventually(lambda: counts(queue)["counters"].get("acked") == 3, "settled at the end")
    same((counts(queue)["depth"], counts(queue)["unacked"]), (2, 0), "the others stay")
    s.close()


def check_end():
    queue = fresh("deleted")
    s = Events(f"/v1/queues/{queue}/events")
    same(ask("POST", "/v1/services/admin/queue-rm", {"queue": queue})[0], 200, "deleted")
    kind, data = s.next()
    same((kind, json.loads(data)["reason"]), ("end", "deleted"), "end")
    same(s.next(), None, "and no more")
    s.close()


def check_large():
    topic = fresh("large")
    data = "x" * 3_000_000 + "\n" + "y" * 1_000_000
    readers = [Events(f"/v1/topics/{topic}/events{how}") for how in ("", "?as=json")]
    publish(topic, data)
    same(readers[0].next()[1], data, "as data")
    same(json.loads(readers[1].next()[1])["data"], data, "as JSON")
    for s in readers:
        s.close()


def check_old_http():
    with socket.create_connection((host, int(port)), PATIENCE) as s:
        topic = fresh("old")
        s.sendall(f"GET /v1/topics/{topic}/events?credit=1 HTTP/1.0\r\n\r\n".encode())
        got = b""
        while b"retry" not in got:
            got += s.recv(4096)
        publish(topic, "x")
        while more := s.recv(4096):
            got += more
        assert b"chunked" not in got and b"data: x\n\n" in got and b"event: end" in got, got


def check_head():
    h = Http()
    h.send("HEAD", f"/v1/topics/{fresh('head')}/events")
    r = h.conn.getresponse()
    same((r.status, r.read()), (200, b""), "head")
    same(h.ask("POST", f"/v1/queues/{fresh('head')}/messages:receive")[0], 200, "it goes on")
    h.close()


# ------------------------------------------------------------------------------- a stalled one


def stall():
    go = []
    signal.signal(signal.SIGUSR1, lambda *_: go.append(1))
    s = Events("/v1/topics/stall.it/events?max-bytes=2MiB", rcvbuf=65536)
    print("listening", flush=True)
    while not go:
        time.sleep(0.02)
    got = lost = 0
    while True:
        kind, data = s.next()
        if kind == "gap":
            gap = json.loads(data)
            same(gap["reason"], "drop-oldest", "reason")
            lost += gap["lost"]
        elif data.startswith("end"):
            break
        else:
            got += 1
    same(got + lost, 4000, "all are accounted for")
    assert lost, "nothing was lost: the test tests nothing"
    s.close()


def main():
    if sys.argv[2:] == ["stall"]:
        stall()
        return 0
    cases = [(n[6:], f) for n, f in globals().items() if n.startswith("check_")]
    failed = 0
    for name, f in cases:
        try:
            f()
        except Exception:  # whatever it is, the others go on
            failed += 1
            print(f"FAIL {name}\n{traceback.format_exc()}")
    print(f"{len(cases)} cases, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

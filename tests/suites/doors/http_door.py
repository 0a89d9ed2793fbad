"""HTTP, as docs/http.md has it: publishing by POST; listening to server-sent events; a queue by long
polling, or by events too. Whatever is settled is settled by its id, on another connection."""

import base64
import collections
import json
import socket
import struct
from urllib.parse import quote, urlencode

from party import PATIENCE, Closed, Delivery, Party, Refused

SETTLE = "2s"  # what a cut leaves comes again within twice that


class Conn:
    """One connection; answers are read whole, or begun and then read line by line."""

    def __init__(self, address):
        self.address = address
        self.sock = socket.create_connection(address, PATIENCE)
        self.raw = self.sock.makefile("rb")

    def send(self, method, path, fields=(), body=b""):
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.address[0]}"]
        lines += [f"{k}: {v}" for k, v in fields]
        if method != "GET":
            lines.append(f"Content-Length: {len(body)}")
        self.sock.settimeout(PATIENCE)
        try:
            self.sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # there may be an answer that says why

    def head(self):
        """Status and fields."""
        try:
            line = self.raw.readline()
        except ConnectionResetError:
            line = b""
        if not line:
            raise Closed("by the broker")
        fields = {}
        while (field := self.raw.readline().strip()) != b"":
            k, v = field.decode().split(": ", 1)
            fields[k.lower()] = v
        return int(line.split()[1]), fields

    def answer(self):
        status, fields = self.head()
        return status, self.raw.read(int(fields.get("content-length", 0)))

    def chunk(self):
        size = int(self.raw.readline() or b"0", 16)
        data = self.raw.read(size)
        self.raw.readline()
        return data

    def close(self):
        self.raw.close()
        self.sock.close()

    def cut(self):
        """Gone without a word: the kernel sends a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


def refused(body):
    return Refused(json.loads(body)["error"]["text"])


def payload_of(message):
    """Of a JSON object with `data`, and what is said beside it."""
    meta = message.get("meta", message)
    if "base64" in meta:
        return base64.b64decode(meta["base64"])
    if isinstance(message["data"], str) and meta.get("type") != "application/json":
        return message["data"].encode()
    return json.dumps(message["data"], separators=(",", ":")).encode()


def kind_of(message):
    meta = message.get("meta", message)
    plain = "base64" in meta or isinstance(message["data"], str)
    return meta.get("type") or (None if plain else "application/json")


class Settling:
    """By its id, whichever way it came."""

    def settle(self, d, verb=None, **more):
        path = f"/v1/queues/{quote(self.queue, safe='')}/messages/{d.number}"
        path += f":{verb}?{urlencode(more)}" if verb else ""
        self.party.ask("POST" if verb else "DELETE", path)

    def ack(self, d):
        self.settle(d)

    def nack(self, d, delay_ms=0):
        self.settle(d, "release", delay=delay_ms)

    def reject(self, d):
        self.settle(d, "reject")

    def extend(self, d, ms):
        self.settle(d, "extend", time=ms)


class Events(Settling):
    """A stream, on a connection of its own."""

    def __init__(self, party, path, queue=None):
        self.party, self.queue = party, queue
        self.came, self.ended = collections.deque(), None
        self.text, self.gaps, self.id = b"", [], None
        self.conn = Conn(party.address)
        self.conn.send("GET", path)
        status, fields = self.conn.head()
        if status != 200:
            raise refused(self.conn.raw.read(int(fields["content-length"])))

    def line(self):
        while b"\n" not in self.text:
            self.text += self.conn.chunk()
        line, self.text = self.text.split(b"\n", 1)
        return line.decode()

    def next(self, patience=PATIENCE):
        self.conn.sock.settimeout(patience)
        while not self.came and not self.ended:
            self.read_event()
        if not self.came:
            raise self.ended
        return self.came.popleft()

    def take(self, n):
        return [self.next() for _ in range(n)]

    def read_event(self):
        kind, data, meta = None, [], {}
        while line := self.line():
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                kind = value
            elif name == "data":
                data.append(value)
            elif name == "meta":
                meta = json.loads(value)
            elif name == "id":
                self.id = value
        if data:
            self.on_event(kind, "\n".join(data), meta)

    def on_event(self, kind, data, meta):
        if kind == "gap":
            gap = json.loads(data)
            self.gaps.append((gap["lost"], gap["reason"]))
        elif kind == "end":
            self.ended = Refused(json.loads(data)["text"])
        else:
            d = self.party.delivery(kind, data, meta)
            d.gaps, self.gaps, d.number = self.gaps, [], self.id
            self.came.append(d)


class Poll(Settling):
    """A queue, polled when something is wanted of it, with nothing in advance."""

    def __init__(self, party, queue, how):
        self.party, self.queue, self.how = party, queue, how
        self.came = collections.deque()
        self.poll(0)  # it makes the queue

    def poll(self, wait):
        path = f"/v1/queues/{quote(self.queue, safe='')}/messages:receive"
        body = json.dumps({"max": 1, "wait": f"{int(wait * 1000)}ms", **self.how})
        answer = json.loads(self.party.ask("POST", path, body=body.encode()))
        for m in answer["messages"]:
            self.came.append(Delivery(m["topic"], payload_of(m), m.get("headers"), kind_of(m),
                                      m["attempt"], number=m.get("id")))

    def next(self, patience=PATIENCE):
        if not self.came:
            self.poll(patience)
        if not self.came:
            raise TimeoutError(f"http: no delivery within {patience} s")
        return self.came.popleft()

    def take(self, n):
        return [self.next() for _ in range(n)]


class Http(Party):
    """Events as JSON, queues by polling."""

    name = "http"
    can = frozenset("receipts delay extend require survives kinds".split())
    headers_max = 100 - 2  # fields of a request; Host and Content-Length are among them
    how = {"as": "json"}

    def __init__(self, address):
        self.address = address
        self.conn = Conn(address)
        self.streams = []

    def ask(self, method, path, fields=(), body=b""):
        """The answer's body; of any but 2xx, what it says."""
        self.conn.send(method, path, fields, body)
        status, answer = self.conn.answer()
        if status >= 300:
            raise refused(answer)
        return answer

    def publish(self, topic, data, queue=False, headers=None, kind=None, require=False,
                dedup=None):
        fields = [(k if k in ("traceparent", "tracestate") else f"Broker-Meta-{k}", v)
                  for k, v in (headers or {}).items()]
        fields += [("Content-Type", kind)] if kind else []
        fields += [("Broker-Require", "1")] if require else []
        fields += [("Broker-Dedup", dedup)] if dedup else []
        name = quote(topic, safe="")
        path = f"/v1/queues/{name}/messages" if queue else f"/v1/topics/{name}"
        try:
            answer = json.loads(self.ask("POST", path, fields, data))
        except Closed:
            self.conn = Conn(self.address)
            raise
        return answer["matched"], answer["accepted"]

    def stream(self, path, queue=None, **how):
        self.streams.append(Events(self, f"{path}?{urlencode({**self.how, **how}, doseq=True)}", queue))
        return self.streams[-1]

    def subscribe(self, filters, credit=None, **settings):
        first, *more = filters
        return self.stream(f"/v1/topics/{quote(first, safe='')}/events", filter=more, **settings)

    def consume(self, queue, credit=None, filters=(), manual=True, **settings):
        how = dict(settings, **({"filter": list(filters)} if filters else {}))
        if not manual:
            how["ack"] = "auto"
        elif "ack-timeout" not in settings:
            how["visibility"] = SETTLE
        return Poll(self, queue, how)

    @staticmethod
    def delivery(kind, data, meta):
        event = {"meta": {}, **json.loads(data)}
        meta = event["meta"]
        return Delivery(event["id"], payload_of(event), meta.get("headers"), kind_of(event),
                        meta.get("attempt", 1))

    def close(self):
        for c in [self.conn, *(s.conn for s in self.streams)]:
            c.close()

    def cut(self):
        for c in [self.conn, *(s.conn for s in self.streams)]:
            c.cut()


class HttpEvents(Http):
    """Events as data, of queues too."""

    name = "http-events"
    how = {}

    def consume(self, queue, credit=None, filters=(), manual=True, **settings):
        how = {"filter": list(filters), "settle": SETTLE if manual else "0", **settings}
        if credit:
            how["max-inflight"] = credit
        return self.stream(f"/v1/queues/{quote(queue, safe='')}/events", queue, **how)

    @staticmethod
    def delivery(kind, data, meta):
        topic, _, coded = kind.partition(" ")
        payload = base64.b64decode(data) if coded else data.encode()
        return Delivery(topic, payload, meta.get("headers"), meta.get("type"), meta.get("attempt", 1))

"""RSocket 1.0 with composite metadata, as docs/rsocket.md has it."""

import struct

from party import Closed, Delivery, Party, Refused, Subscription
from pipe import Tcp, WebSocket

SETUP, REQUEST_RESPONSE, REQUEST_FNF, REQUEST_STREAM, REQUEST_CHANNEL = 1, 4, 5, 6, 7
REQUEST_N, CANCEL, PAYLOAD, ERROR, KEEPALIVE = 8, 9, 10, 11, 3
M, COMPLETE, NEXT = 0x100, 0x40, 0x20
ALL = 0x7FFFFFFF
HEADERS = b"message/x.broker.headers.v0"
COMPOSITE = b"message/x.rsocket.composite-metadata.v0"
KINDS = {0x05: "application/json", 0x06: "application/octet-stream", 0x21: "text/plain"}
ACK, NACK, REJECT, EXTEND = 1, 2, 3, 4


def cut(got, at):
    if len(got) - at < 3:
        return 0
    n = 3 + int.from_bytes(got[at : at + 3], "big")
    return n if len(got) - at >= n else 0


def item(name, value):
    head = bytes([0x80 | name]) if isinstance(name, int) else bytes([len(name) - 1]) + name
    return head + len(value).to_bytes(3, "big") + value


def headers_bytes(headers):
    out = b""
    for k, v in headers.items():
        k, v = k.encode(), str(v).encode()
        out += bytes([len(k)]) + k + len(v).to_bytes(2, "big") + v
    return out


def headers_of(b):
    out, at = {}, 0
    while at < len(b):
        k = b[at + 1 : at + 1 + b[at]].decode()
        at += 1 + b[at]
        n = int.from_bytes(b[at : at + 2], "big")
        out.setdefault(k, []).append(b[at + 2 : at + 2 + n].decode())
        at += 2 + n
    return out


def kind_item(kind):
    for number, name in KINDS.items():
        if name == kind:
            return item(0x7A, bytes([0x80 | number]))
    return item(0x7A, bytes([len(kind) - 1]) + kind.encode())


def metadata(tags, headers=None, kind=None):
    out = item(0x7E, b"".join(bytes([len(t.encode())]) + t.encode() for t in tags)) if tags else b""
    if kind:
        out += kind_item(kind)
    if headers:
        out += item(HEADERS, headers_bytes(headers))
    return out


class Stream(Subscription):
    def __init__(self, party, id_, topic, tracked):
        super().__init__(party)
        self.id, self.topic, self.tracked, self.count = id_, topic, tracked, 0

    def grant(self, n):
        self.party.send(self.id, REQUEST_N, struct.pack(">I", n))

    def verb(self, verb, d, argument=0):
        data = struct.pack(">BQII", verb, d.number, 1, argument)
        self.party.send(self.id, PAYLOAD | 0, data, flags=NEXT)

    def ack(self, d):
        self.verb(ACK, d)

    def nack(self, d, delay_ms=0):
        self.verb(NACK, d, delay_ms)

    def reject(self, d):
        self.verb(REJECT, d)

    def extend(self, d, ms):
        self.verb(EXTEND, d, ms)

    def cancel(self):
        self.party.send(self.id, CANCEL, b"")

    def on_payload(self, flags, meta, data):
        d = Delivery(self.topic, data, kind="application/octet-stream")  # as SETUP said
        at = 0
        while at < len(meta):
            if meta[at] & 0x80:
                name, at = meta[at] & 0x7F, at + 1
            else:
                n = meta[at] + 1
                name, at = meta[at + 1 : at + 1 + n], at + 1 + n
            size = int.from_bytes(meta[at : at + 3], "big")
            value, at = meta[at + 3 : at + 3 + size], at + 3 + size
            self.on_item(d, name, value)
        self.count += 1
        d.number = self.count
        if flags & NEXT:
            self.came.append(d)

    def on_item(self, d, name, value):
        if name == 0x7E:
            d.topic = value[1 : 1 + value[0]].decode()
        elif name == 0x7A:
            d.kind = KINDS.get(value[0] & 0x7F) if value[0] & 0x80 else value[1:].decode()
        elif name == HEADERS:
            for k, values in headers_of(value).items():
                if k == "$gap":
                    d.gaps += [(int(v.split()[0]), v.split()[1]) for v in values]
                elif k == "$attempt":
                    d.attempt = int(values[0])
                else:
                    d.headers[k] = values[0]


class RSocket(Party):
    name = "rsocket"
    can = frozenset("credit receipts delay extend reasons survives require kinds frames".split())

    def __init__(self, address):
        super().__init__(self.pipe_to(address))
        self.streams, self.answers, self.next_id = {}, {}, 1
        setup = struct.pack(">HHII", 1, 0, 20000, 90000)
        for kind in (COMPOSITE, b"application/octet-stream"):
            setup += bytes([len(kind)]) + kind
        self.send(0, SETUP, setup)
        self.barrier()

    def pipe_to(self, address):
        return Tcp(address, cut)

    def send(self, stream, kind, fixed=b"", meta=None, data=b"", flags=0):
        if meta is not None:
            flags |= M
            data = len(meta).to_bytes(3, "big") + meta + data
        frame = struct.pack(">IH", stream, kind << 10 | flags) + fixed + data
        self.pipe.write(len(frame).to_bytes(3, "big") + frame)

    def new_id(self):
        self.next_id += 2
        return self.next_id - 2

    def request(self, meta, data=b""):
        id_ = self.new_id()
        self.send(id_, REQUEST_RESPONSE, meta=meta, data=data)
        self.read_until(lambda: id_ in self.answers)
        answer = self.answers.pop(id_)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def barrier(self):
        self.request(metadata(["admin/ping"]))

    def publish(self, topic, data, queue=False, headers=None, kind=None, require=False, dedup=None):
        headers = dict(headers or {})
        if require:
            headers["$require"] = "1"
        if dedup:
            headers["$dedup"] = dedup
        route = ("send/" if queue else "publish/") + topic
        return struct.unpack(">II", self.request(metadata([route], headers, kind), data))

    def publish_unit(self, topic, size):
        meta = metadata(["publish/" + topic])
        self.request(meta, b"x" * (size - 6 - 3 - len(meta)))

    def open(self, kind, tags, credit, settings, topic, tracked):
        s = Stream(self, self.new_id(), topic, tracked)
        self.streams[s.id] = s
        headers = {"$" + k: v for k, v in settings.items()}
        self.send(s.id, kind, struct.pack(">I", credit or ALL), metadata(tags, headers))
        self.barrier()
        if s.ended:
            raise s.ended
        return s

    def subscribe(self, filters, credit=None, **settings):
        tags = [("subscribe/" if i == 0 else "") + f for i, f in enumerate(filters)]
        return self.open(REQUEST_STREAM, tags, credit, settings, filters[0], False)

    def consume(self, queue, credit=None, filters=(), manual=True, **settings):
        kind = REQUEST_CHANNEL if manual else REQUEST_STREAM
        return self.open(kind, ["consume/" + queue, *filters], credit, settings, queue, manual)

    def on_unit(self, unit):
        stream, word = struct.unpack(">IH", unit[3:9])
        kind, flags, rest = word >> 10, word & 0x3FF, unit[9:]
        if kind == PAYLOAD:
            self.on_payload(stream, flags, rest)
        elif kind == ERROR:
            self.on_error(stream, Refused(rest[4:].decode()))
        elif kind == KEEPALIVE and flags & 0x80:
            self.send(0, KEEPALIVE, rest)

    def on_payload(self, stream, flags, rest):
        meta = b""
        if flags & M:
            n = int.from_bytes(rest[:3], "big")
            meta, rest = rest[3 : 3 + n], rest[3 + n :]
        if stream in self.streams:
            s = self.streams[stream]
            s.on_payload(flags, meta, rest)
            if flags & COMPLETE:
                s.ended = Refused("complete")
        else:
            self.answers[stream] = rest

    def on_error(self, stream, why):
        if stream == 0:
            raise Closed(why.text)
        if stream in self.streams:
            self.streams[stream].ended = why
        else:
            self.answers[stream] = why


class RSocketWs(RSocket):
    name = "rsocket-ws"

    def pipe_to(self, address):
        return WebSocket(address, "/rsocket", "rsocket", strip=lambda u: u[3:],
                         wrap=lambda m: len(m).to_bytes(3, "big") + m, text=lambda m: False)

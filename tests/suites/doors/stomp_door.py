"""STOMP 1.2, as docs/stomp.md has it."""

from party import Closed, Delivery, Party, Refused, Subscription
from pipe import Tcp, WebSocket

ESCAPES = {"\\": "\\\\", "\r": "\\r", "\n": "\\n", ":": "\\c"}
PLAIN = {v: k for k, v in ESCAPES.items()}
# What MESSAGE has besides the publisher's own headers.
BROKERS = {"destination", "message-id", "subscription", "ack", "content-type", "content-length",
           "redelivered", "gap"}


def escaped(text):
    return "".join(ESCAPES.get(c, c) for c in text)


def unescaped(text):
    out, at = "", 0
    while at < len(text):
        n = 2 if text[at] == "\\" else 1
        out += PLAIN[text[at : at + 2]] if n == 2 else text[at]
        at += n
    return out


def cut(got, at):
    """Line breaks before a frame are units of their own."""
    if len(got) > at and got[at] == 10:
        return 1
    end = got.find(b"\n\n", at)
    if end < 0:
        return 0
    length = got.find(b"\ncontent-length:", at, end)
    if length < 0:
        nul = got.find(b"\0", end)
        return nul + 1 - at if nul >= 0 else 0
    n = int(got[length + 16 : got.find(b"\n", length + 1)])
    return end + 2 + n + 1 - at if len(got) >= end + 2 + n + 1 else 0


class Messages(Subscription):
    def __init__(self, party, id_):
        super().__init__(party)
        self.id = id_

    def ack(self, d):
        self.party.ask("ACK", id=d.number)

    def nack(self, d, delay_ms=0):
        self.party.ask("NACK", id=d.number)

    def reject(self, d):
        self.party.ask("NACK", id=d.number, requeue="false")


class Stomp(Party):
    name = "stomp"
    can = frozenset(["kinds"])
    headers_max = 128 - 2  # of a frame; destination and receipt are among them

    def __init__(self, address):
        super().__init__(self.pipe_to(address))
        self.subscriptions, self.receipts, self.asked, self.error = {}, set(), 0, None
        self.connected = False
        self.frame("CONNECT", {"accept-version": "1.2", "host": "/"})
        self.read_until(lambda: self.connected)

    def pipe_to(self, address):
        return Tcp(address, cut)

    def frame(self, command, headers, body=b""):
        lines = [command] + [f"{escaped(k)}:{escaped(str(v))}" for k, v in headers.items()]
        if body:
            lines.append(f"content-length:{len(body)}")
        self.pipe.write("\n".join(lines).encode() + b"\n\n" + body + b"\0")

    def ask(self, command, body=b"", **headers):
        """Send with a receipt, and wait for it."""
        self.asked += 1
        receipt = f"r{self.asked}"
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        self.frame(command, {**headers, "receipt": receipt}, body)
        self.read_until(lambda: receipt in self.receipts or self.error)
        if receipt not in self.receipts:
            raise self.error

    def publish(self, topic, data, queue=False, headers=None, kind=None, require=False, dedup=None):
        headers = dict(headers or {})
        headers.update({"content-type": kind} if kind else {})
        headers.update({"broker-dedup": dedup} if dedup else {})
        self.ask("SEND", data, destination=("/queue/" if queue else "/topic/") + topic, **headers)

    def open(self, destination, **headers):
        self.asked += 1
        s = Messages(self, f"s{self.asked}")
        self.subscriptions[s.id] = s
        self.ask("SUBSCRIBE", id=s.id, destination=destination, **headers)
        return s

    @staticmethod
    def arguments(settings):
        names = {"max-messages": "x-max-length", "dead-letter": "x-dead-letter-routing-key"}
        return {names[k]: v for k, v in settings.items()}

    def subscribe(self, filters, credit=None, **settings):
        (one,) = filters
        return self.open("/topic/" + one, **self.arguments(settings))

    def consume(self, queue, credit=None, filters=(), manual=True, **settings):
        more = {"prefetch-count": credit} if credit and manual else {}
        return self.open("/queue/" + queue, ack="client-individual" if manual else "auto", **more,
                         **self.arguments(settings))

    def on_unit(self, unit):
        if unit == b"\n":
            return
        head, body = unit.split(b"\n\n", 1)
        command, *lines = head.decode().split("\n")
        headers = {}
        for line in lines:
            k, v = line.split(":", 1)
            if command != "CONNECTED":
                k, v = unescaped(k), unescaped(v)
            headers.setdefault(k, v)
        self.on_frame(command, headers, body[:-1])

    def on_frame(self, command, headers, body):
        if command == "CONNECTED":
            self.connected = True
        elif command == "RECEIPT":
            self.receipts.add(headers["receipt-id"])
        elif command == "MESSAGE":
            self.on_message(headers, body)
        elif command == "ERROR":
            self.error = Refused(body.decode().strip() or headers["message"])
            if "receipt-id" not in headers:
                raise Closed(str(headers) + body.decode())

    def on_message(self, headers, body):
        topic = headers["destination"].split("/", 2)[2]
        gaps = [tuple(g.split()) for g in headers.get("gap", "").split(",") if g]
        d = Delivery(topic, body, {k: v for k, v in headers.items() if k not in BROKERS},
                     headers.get("content-type"), 2 if headers["redelivered"] == "true" else 1,
                     [(int(n), why) for n, why in gaps], headers.get("ack"))
        self.subscriptions[headers["subscription"]].came.append(d)


class StompWs(Stomp):
    name = "stomp-ws"

    def pipe_to(self, address):
        return WebSocket(address, "/stomp", "v12.stomp", strip=lambda u: u, wrap=lambda m: m,
                         text=lambda m: self.is_text(m))

    @staticmethod
    def is_text(m):
        try:
            m.decode()
        except UnicodeDecodeError:
            return False
        return True

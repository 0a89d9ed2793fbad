"""JSON, one object a line, as docs/json.md has it."""

import base64
import json

from party import Delivery, Party, Refused, Subscription
from pipe import Tcp, WebSocket


def cut(got, at):
    n = got.find(b"\n", at)
    return n + 1 - at if n >= 0 else 0


class Events(Subscription):
    def __init__(self, party, number, queue):
        super().__init__(party)
        self.number, self.queue = number, queue

    def grant(self, n):
        self.party.say("$credit", subscription=self.number, n=n)

    def settle(self, verb, d, **more):
        self.party.say(verb, subscription=self.number, first=d.number, **more)

    def ack(self, d):
        self.settle("$ack", d)

    def nack(self, d, delay_ms=0):
        self.settle("$nack", d, delay=delay_ms)

    def reject(self, d):
        self.settle("$reject", d)

    def extend(self, d, ms):
        self.settle("$extend", d, time=ms)


class Json(Party):
    name = "json"
    can = frozenset("credit receipts delay extend reasons survives require kinds frames".split())

    def __init__(self, address):
        super().__init__(self.pipe_to(address))
        self.subscriptions, self.made, self.answers = {}, [], {}
        self.lost = {}  # subscription: gaps not yet joined to an event
        self.confirms = 0

    def pipe_to(self, address):
        return Tcp(address, cut)

    @staticmethod
    def line(id_, **data):
        line = json.dumps({"id": id_, "data": data}, separators=(",", ":"), ensure_ascii=False)
        return line.encode()

    def say(self, id_, **data):
        self.pipe.write(self.line(id_, **data) + b"\n")

    def publish_unit(self, topic, size):
        what = {"topic": topic, "confirm": self.confirms + 1}
        self.ask(**what, data="x" * (size - len(self.line("$publish", **what, data=""))))

    def publish(self, topic, data, queue=False, headers=None, kind=None, require=False, dedup=None):
        number = self.confirms + 1
        what = {"queue" if queue else "topic": topic, "confirm": number}
        what.update({"headers": headers} if headers else {})
        what.update({"type": kind} if kind else {})
        what.update({"require": True} if require else {})
        what.update({"dedup": dedup} if dedup else {})
        what.update(self.payload(data, kind))
        return self.ask(**what)

    def ask(self, **what):
        self.confirms = number = what["confirm"]
        self.say("$publish", **what)
        self.read_until(lambda: number in self.answers)
        answer = self.answers.pop(number)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @staticmethod
    def payload(data, kind):
        try:
            if kind == "application/json":
                return {"data": json.loads(data)}
            if kind == "text/plain":
                return {"data": data.decode()}
        except ValueError:
            pass
        return {"base64": base64.b64encode(data).decode()}

    def open(self, what, name, **data):
        self.say(what, **{k: v for k, v in data.items() if v is not None})
        self.read_until(lambda: self.made)
        answer = self.made.pop()
        if isinstance(answer, Exception):
            raise answer
        s = Events(self, answer, name)
        self.subscriptions[answer] = s
        return s

    def subscribe(self, filters, credit=None, **settings):
        return self.open("$subscribe", None, topic=list(filters), credit=credit, **settings)

    def consume(self, queue, credit=None, filters=(), manual=True, **settings):
        return self.open("$consume", queue, queue=queue, credit=credit,
                         topic=list(filters) or None, ack="manual" if manual else "auto",
                         **settings)

    def on_unit(self, line):
        message = json.loads(line)
        id_, data = message["id"], message["data"]
        if id_ in ("$subscribed", "$consumed"):
            self.made.append(data["subscription"])
        elif id_ == "$confirmed":
            self.answers[data["confirm"]] = (data["matched"], data["accepted"])
        elif id_ == "$gap":
            self.lost.setdefault(data["subscription"], []).append((data["lost"], data["reason"]))
        elif id_ == "$error":
            self.on_error(data)
        elif id_ == "$keepalive":
            pass
        else:
            self.on_event(id_, data, message.get("meta", {}))

    def on_error(self, data):
        why = Refused(data["text"])
        assert why.reason == data["reason"], data
        if "confirm" in data:
            self.answers[data["confirm"]] = why
        elif data.get("subscription") in self.subscriptions:
            self.subscriptions[data["subscription"]].ended = why
        else:
            self.made.append(why)

    def on_event(self, topic, data, meta):
        if "subscription" in meta:
            s = self.subscriptions[meta["subscription"]]
        else:
            (s,) = (x for x in self.subscriptions.values() if not x.queue)
        if "base64" in meta:
            payload = base64.b64decode(meta["base64"])
        elif isinstance(data, str) and meta.get("type") != "application/json":
            payload = data.encode()
        else:
            payload = json.dumps(data, separators=(",", ":")).encode()
        kind = meta.get("type")
        if kind is None and "base64" not in meta and not isinstance(data, str):
            kind = "application/json"  # a value that is no string shows it
        d = Delivery(topic, payload, meta.get("headers"), kind,
                     meta.get("attempt", 1), self.lost.pop(s.number, None),
                     meta.get("delivery", 0))
        s.came.append(d)


class JsonWs(Json):
    name = "json-ws"

    def pipe_to(self, address):
        return WebSocket(address, "/json", "json", strip=lambda u: u.rstrip(b"\n"),
                         wrap=lambda m: m + b"\n", text=lambda m: True)

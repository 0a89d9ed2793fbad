#!/usr/bin/env python3
"""The same questions to every door.

  suite.py HOST:PORT DOOR...              each case through each door, and each pair of doors
  suite.py --limited HOST:PORT DOOR...    the cases for a brokerd with narrow limits

brokerd runs with the settings in run.sh. A case is a function `check_...(door)`, or
`limited_...(door)`; one that a door has no words for says so by NEEDS.
"""

import json
import sys
import time
import traceback

from http_door import Http, HttpEvents
from json_door import Json, JsonWs
from party import PATIENCE, Closed, Refused
from rsocket_door import RSocket, RSocketWs, metadata
from stomp_door import Stomp, StompWs

DOORS = {d.name: d for d in (RSocket, RSocketWs, Json, JsonWs, Stomp, StompWs, Http, HttpEvents)}
MAX_MESSAGE = 4 << 20  # as in run.sh
RATE, FRAME_MAX = 20, 64 << 10  # likewise, for --limited
address = None
names = 0


def fresh(word):
    """A name nobody has used."""
    global names
    names += 1
    return f"{word}.{names}"


def needs(*words):
    def note(case):
        case.needs = frozenset(words)
        return case

    return note


def shown(value):
    text = repr(value)
    return text if len(text) < 300 else text[:140] + " ... " + text[-140:]


def same(got, wanted, what):
    assert got == wanted, f"{what}: got {shown(got)}, wanted {shown(wanted)}"


def admin(command, **request):
    """Ask as `broker` does."""
    party = RSocket(address)
    try:
        return json.loads(party.request(metadata(["admin/" + command]), json.dumps(request).encode()))
    finally:
        party.close()


def eventually(question, what):
    end = time.monotonic() + PATIENCE
    while not question():
        assert time.monotonic() < end, f"not within {PATIENCE} s: {what}"
        time.sleep(0.01)  # between two looks


# ------------------------------------------------------------------------------------ the cases


def check_publish_subscribe(door):
    p, s = door(address), door(address)
    topic = fresh("greet")
    sub = s.subscribe([topic])
    p.publish(topic, b"hello", headers={"who": "world", "odd": "a:b\\c"}, kind="text/plain")
    d = sub.next()
    same((d.topic, d.data, d.kind), (topic, b"hello", "text/plain"), "delivery")
    same(d.headers, {"who": "world", "odd": "a:b\\c"}, "headers")
    same((d.attempt, d.gaps), (1, []), "attempt, gaps")
    p.close(), s.close()


def check_payloads(door):
    p, s = door(address), door(address)
    topic = fresh("payloads")
    sub = s.subscribe([topic])
    for data, kind in PAYLOADS:
        p.publish(topic, data, kind=kind)
        d = sub.next()
        same((d.data, d.kind), (data, kind), "payload")
    p.close(), s.close()


def check_order(door):
    p, s = door(address), door(address)
    topic = fresh("order")
    sub = s.subscribe([topic])
    for i in range(300):
        p.publish(topic, b"%d" % i)
    same([int(d.data) for d in sub.take(300)], list(range(300)), "order")
    p.close(), s.close()


def check_wildcards(door):
    p = door(address)
    root = fresh("wild").replace(".", "-")
    wanted = {"*": ["a"], "#": ["a", "a.b", "a.b.c"], "a.*": ["a.b"], "a.#": ["a", "a.b", "a.b.c"],
              "*.b.c": ["a.b.c"]}
    parties = [(f, door(address)) for f in wanted]
    subs = {f: s.subscribe([f"{root}.{f}"]) for f, s in parties}
    for topic in ("a", "a.b", "a.b.c", "end.x.y.z"):
        p.publish(f"{root}.{topic}", topic.encode())
    for f, s in parties:
        got = [d.topic for d in subs[f].take(len(wanted[f]))]
        same(got, [f"{root}.{t}" for t in wanted[f]], f"filter {f}")
    p.close()
    for _, s in parties:
        s.close()


def check_several_subscribers(door):
    p, parties = door(address), [door(address) for _ in range(5)]
    topic = fresh("all")
    subs = [s.subscribe([topic]) for s in parties]
    for i in range(20):
        p.publish(topic, b"%d" % i)
    for sub in subs:
        same([int(d.data) for d in sub.take(20)], list(range(20)), "each gets all")
    for s in [p, *parties]:
        s.close()


def check_every_door_at_once(door):
    """Subscribers of all doors on each worker: a run made ready for one is not another's."""
    p = door(address)
    parties = [d(address) for d in (*DOORS.values(), *reversed(DOORS.values()))]
    topic = fresh("mixed")
    subs = [s.subscribe([topic]) for s in parties]
    for i in range(20):
        p.publish(topic, b"%d" % i, kind="text/plain")
    for s, sub in zip(parties, subs):
        got = [(d.topic, d.data, d.kind) for d in sub.take(20)]
        same(got, [(topic, b"%d" % i, "text/plain") for i in range(20)], f"what {s.name} gets")
    for s in [p, *parties]:
        s.close()


@needs("receipts")
def check_receipts(door):
    p, s, t = door(address), door(address), door(address)
    topic = fresh("receipt")
    same(p.publish(topic, b"x"), (0, 0), "nobody there")
    a, b = s.subscribe([topic]), t.subscribe([topic])
    same(p.publish(topic, b"y"), (2, 2), "two there")
    same((a.next().data, b.next().data), (b"y", b"y"), "both got it")
    for one in (p, s, t):
        one.close()


@needs("require")
def check_require(door):
    p = door(address)
    try:
        p.publish(fresh("nowhere"), b"x", require=True)
        assert False, "it was taken"
    except Refused as e:
        same(e.reason, "no-match", "reason")
    p.close()


def check_dedup(door):
    """The same id by every door there is: one message, whoever says it first."""
    topic, queue = fresh("once"), fresh("once")
    s = door(address)
    sub, work = s.subscribe([topic]), s.consume(queue)
    parties = [door(address), *(d(address) for d in DOORS.values())]
    for name, is_queue in ((topic, False), (queue, True)):
        for i, p in enumerate(parties):
            got = p.publish(name, b"%d" % i, queue=is_queue, dedup="one id")
            same(got or (1, 1), (1, 1), f"what {p.name} is told")
        parties[-1].publish(name, b"other", queue=is_queue, dedup="another id")
        parties[0].publish(name, b"none", queue=is_queue)
    same([d.data for d in sub.take(3)], [b"0", b"other", b"none"], "a subscription")
    same([d.data for d in work.take(3)], [b"0", b"other", b"none"], "a queue")
    q = admin("queue-info", queue=queue)
    same((q["counters"]["duplicates"], q["ids"]), (len(parties) - 1, 2), "what it counts")
    for one in (s, *parties):
        one.close()


@needs("credit")
def check_credit(door):
    p, s = door(address), door(address)
    topic = fresh("credit")
    sub = s.subscribe([topic], credit=3)
    for i in range(10):
        p.publish(topic, b"%d" % i)
    same([int(d.data) for d in sub.take(3)], [0, 1, 2], "what was asked for")
    s.publish(fresh("marker"), b"")  # an answer behind whatever would have come
    same(len(sub.came), 0, "beyond the credit")
    sub.grant(2)
    same([int(d.data) for d in sub.take(2)], [3, 4], "what was granted")
    s.publish(fresh("marker"), b"")
    same(len(sub.came), 0, "beyond the credit again")
    sub.grant(100)
    same([int(d.data) for d in sub.take(5)], [5, 6, 7, 8, 9], "the rest")
    p.close(), s.close()


def check_prefetch(door):
    p, s = door(address), door(address)
    queue = fresh("prefetch")
    sub = s.consume(queue, credit=2)
    for i in range(6):
        p.publish(queue, b"%d" % i, queue=True)
    first = sub.take(2)
    s.publish(fresh("marker"), b"")
    same(len(sub.came), 0, "beyond the prefetch")
    for d in first:
        sub.ack(d)
    if "credit" in door.can:
        sub.grant(2)
    same([int(d.data) for d in sub.take(2)], [2, 3], "after the acks")
    p.close(), s.close()


def check_ack(door):
    p, s = door(address), door(address)
    queue = fresh("ack")
    sub = s.consume(queue)
    for i in range(3):
        p.publish(queue, b"%d" % i, queue=True)
    for d in sub.take(3):
        sub.ack(d)
    counts = lambda: admin("queue-info", queue=queue)
    eventually(lambda: counts()["counters"]["acked"] == 3, "three acks counted")
    same((counts()["depth"], counts()["unacked"]), (0, 0), "nothing left")
    s.close()
    again = door(address)
    sub = again.consume(queue)
    p.publish(queue, b"marker", queue=True)
    same(sub.next().data, b"marker", "settled ones do not come again")
    p.close(), again.close()


def check_nack(door):
    p, s = door(address), door(address)
    queue = fresh("nack")
    sub = s.consume(queue)
    p.publish(queue, b"again", queue=True)
    d = sub.next()
    same(d.attempt, 1, "first attempt")
    sub.nack(d)
    d = sub.next()
    same((d.data, d.attempt), (b"again", 2), "redelivered")
    sub.ack(d)
    p.close(), s.close()


@needs("delay")
def check_nack_delay(door):
    p, s = door(address), door(address)
    queue = fresh("delay")
    sub = s.consume(queue)
    p.publish(queue, b"later", queue=True)
    p.publish(queue, b"now", queue=True)
    first = sub.next()
    sub.nack(first, delay_ms=200)
    begun = time.monotonic()
    same(sub.next().data, b"now", "the other one")
    d = sub.next()
    same((d.data, d.attempt), (b"later", 2), "redelivered")
    assert time.monotonic() - begun > 0.15, "it was not kept back"
    p.close(), s.close()


@needs("extend")
def check_extend(door):
    p, s = door(address), door(address)
    queue = fresh("extend")
    sub = s.consume(queue, **{"ack-timeout": "1s"})
    p.publish(queue, b"extended", queue=True)
    p.publish(queue, b"not", queue=True)
    d, _ = sub.take(2)
    sub.extend(d, 60000)
    again = sub.next()
    same((again.data, again.attempt), (b"not", 2), "only this one timed out")
    sub.ack(d)
    counted = lambda: admin("queue-info", queue=queue)["counters"]
    eventually(lambda: counted().get("acked") == 1, "its ack is taken")
    same(counted().get("late", 0), 0, "late acks")
    p.close(), s.close()


def check_reject(door):
    p, s, dead = door(address), door(address), RSocket(address)
    queue = fresh("reject")
    letters = dead.subscribe(["dead.letters"])
    sub = s.consume(queue)
    p.publish(queue, b"bad", queue=True, headers={"mine": "1"})
    sub.reject(sub.next())
    letter = letters.next()
    same((letter.data, letter.headers["mine"]), (b"bad", "1"), "dead letter")
    same(letter.headers["$dead-reason"], "rejected", "its reason")
    same(letter.headers["$dead-queue"], queue, "its queue")
    for one in (p, s, dead):
        one.close()


def check_redelivery_after_cut(door):
    for end in ("cut", "close"):
        p, s = door(address), door(address)
        queue = fresh("redeliver")
        sub = s.consume(queue)
        for i in range(3):
            p.publish(queue, b"%d" % i, queue=True)
        sub.ack(sub.next())
        sub.take(2)
        getattr(s, end)()
        other = door(address)
        sub = other.consume(queue)
        got = sub.take(2)
        same([d.data for d in got], [b"1", b"2"], f"unacknowledged ones come again after a {end}")
        same([d.attempt for d in got], [2, 2], "attempts")
        p.close(), other.close()


def check_competing(door):
    p, a, b = door(address), door(address), door(address)
    queue = fresh("compete")
    subs = [a.consume(queue, credit=10), b.consume(queue, credit=10)]
    for i in range(20):
        p.publish(queue, b"%d" % i, queue=True)
    got = [[int(d.data) for d in sub.take(10)] for sub in subs]
    same(sorted(got[0] + got[1]), list(range(20)), "each message once")
    for one in (p, a, b):
        one.close()


def check_full_queue(door):
    p = door(address)
    queue = "small." + fresh("full")  # one message, overflow reject
    p.publish(queue, b"1", queue=True)
    try:
        p.publish(queue, b"2", queue=True)
        assert False, "a full queue took it"
    except (Refused, Closed) as e:
        for word in ("full: ", f'queue "{queue}"', "1 messages, 1 bytes"):
            assert word in str(e), f"{word!r} not in {e}"
    if "survives" in door.can:
        p.publish(fresh("fine"), b"still here")
    p.close()
    counted = admin("queue-info", queue=queue)["counters"]
    same(counted["refused"].get("full"), 1, "counted")


def check_gap(door):
    """A subscriber that does not read loses the oldest, is told how many, and no more memory than
    its queue's limit is used for it."""
    p, s = door(address), door(address)
    topic = "slow." + fresh("gap")  # 64 messages, drop-oldest
    sub = s.subscribe([topic])
    data, n = b"x" * 65536, 600
    for i in range(n):
        p.publish(topic, b"%06d" % i + data)
    got = lost = 0
    last = -1
    while last != n - 1:
        d = sub.next()
        lost += sum(count for count, _ in d.gaps)
        same({why for _, why in d.gaps} - {"drop-oldest"}, set(), "reasons")
        last = int(d.data[:6])
        same(last, got + lost, "what came and what is said to be lost")
        got += 1
    same(got + lost, n, "all are accounted for")
    assert lost, "nothing was lost: the test tests nothing"
    p.close(), s.close()


def check_bad_names(door):
    for bad in ("a..b", "", ".", "a b", "$mine", "x" * 241, "a.*"):
        p = door(address)
        try:
            p.publish(bad, b"x")
            assert False, f"topic {bad!r} was taken"
        except Refused as e:
            assert "reasons" not in door.can or e.reason in ("invalid", "denied"), e.text
            assert len(e.text) > 10, f"{e.text!r} helps nobody"
        except Closed:
            assert "survives" not in door.can, f"topic {bad!r} ended the connection"
        p.close()


def check_too_large(door):
    p, s = door(address), door(address)
    topic = fresh("large")
    sub = s.subscribe([topic])
    p.publish(topic, b"y" * MAX_MESSAGE)
    same(len(sub.next().data), MAX_MESSAGE, "the largest message")
    try:
        p.publish(topic, b"y" * (MAX_MESSAGE + 1))
        assert False, "one byte more was taken"
    except (Refused, Closed):
        pass
    other = door(address)
    other.publish(topic, b"well")
    same(sub.next().data, b"well", "the others work on")
    p.close(), s.close(), other.close()


def check_header_count(door):
    p, s = door(address), door(address)
    topic = fresh("headers")
    sub = s.subscribe([topic])
    headers = {f"h{i}": str(i) for i in range(door.headers_max)}
    p.publish(topic, b"", headers=headers)
    same(sub.next().headers, headers, "as many headers as there may be")
    try:
        p.publish(topic, b"", headers={**headers, "more": "1"})
        assert False, "one header more was taken"
    except (Refused, Closed) as e:
        assert "header" in str(e), e
    p.close(), s.close()


def check_disconnect(door):
    topic = fresh("gone")

    def mine():
        return admin("route", topic=topic)["queues"]

    for end in ("cut", "close"):
        s = door(address)
        s.subscribe([topic])
        same(len(mine()), 1, "its queue")
        getattr(s, end)()
        eventually(lambda: not mine(), f"its queue goes with a {end}")


# --------------------------------------------------------------------- with limits of their own


def limited_rate(door):
    """A connection may publish RATE messages a second, and has saved up as many at first."""
    p, other = door(address), door(address)
    topic = fresh("rate")
    begun, taken, why = time.monotonic(), 0, None
    while not why:
        try:
            p.publish(topic, b"x")
            taken += 1
        except (Refused, Closed) as e:
            why = str(e)
        assert taken < 10 * RATE, "there is no limit"
    past = time.monotonic() - begun
    assert RATE <= taken <= RATE * (1 + past) + 1, f"{taken} in {past} s"
    for word in ("limit: ", f"{RATE} messages a second"):
        assert word in why, f"{word!r} not in {why}"
    counted = admin("info")["totals"]["refused"]
    assert counted["limit"] >= 1, counted
    other.publish(topic, b"each has its own")

    def taken_again():
        try:
            p.publish(topic, b"y")
            return True
        except Refused:
            return False

    if "survives" in door.can:
        eventually(taken_again, "taken again, a while later")
    p.close(), other.close()


@needs("frames")
def limited_frame(door):
    p, s = door(address), door(address)
    topic = fresh("frame")
    sub = s.subscribe([topic])
    p.publish_unit(topic, FRAME_MAX)
    same(set(sub.next().data), set(b"x"), "the largest frame")
    try:
        p.publish_unit(topic, FRAME_MAX + 1)
        assert False, "one byte more was taken"
    except (Refused, Closed):
        pass
    s.publish(topic, b"well")
    same(sub.next().data, b"well", "the others work on")
    p.close(), s.close()


# ------------------------------------------------------------------------------- across doors

PAYLOADS = [
    (b"plain text", "text/plain"),
    ("gr\u00fc\u00dfe \u4f60\u597d".encode(), "text/plain"),
    (b'{"user":{"id":1,"username":"user_1"}}', "application/json"),
    (bytes(range(256)), "application/octet-stream"),
    (b"two\nlines\r\n and a \\ and a : ", "text/plain"),
    (b"", "application/octet-stream"),
    (b"z" * 100000, "application/x-own"),
]


def cross(publisher, subscriber):
    p, s = publisher(address), subscriber(address)
    topic, queue = fresh("cross"), fresh("crossed")
    sub, work = s.subscribe([topic]), s.consume(queue)
    for data, kind in PAYLOADS:
        headers = {"plain": "1", "text": "gr\u00fc\u00dfe", "odd": "a:b\\c d",
                   "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                   "tracestate": "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"}
        p.publish(topic, data, headers=headers, kind=kind)
        p.publish(queue, data, queue=True, headers=headers, kind=kind)
        for d, name in ((sub.next(), topic), (work.next(), queue)):
            same((d.topic, d.data, d.kind), (name, data, kind), "message")
            same(d.headers, headers, "headers")
        work.ack(d)
    p.close(), s.close()


def main():
    global address
    limited = sys.argv[1] == "--limited"
    at, *which = sys.argv[1 + limited :]
    host, port = at.rsplit(":", 1)
    address = (host, int(port))
    doors = [DOORS[name] for name in which]
    prefix = "limited_" if limited else "check_"
    cases = [f for n, f in globals().items() if n.startswith(prefix)]
    todo = [(f"{f.__name__[6:]}, {d.name}", f, (d,)) for d in doors for f in cases
            if getattr(f, "needs", frozenset()) <= d.can]
    if not limited:
        todo += [(f"{a.name} to {b.name}", cross, (a, b)) for a in doors for b in doors]
    failed = 0
    for name, f, args in todo:
        try:
            f(*args)
        except Exception:  # whatever it is, the others go on
            failed += 1
            print(f"FAIL {name}\n{traceback.format_exc()}")
    print(f"{len(todo)} cases, {failed} failed")
    return 1 if failed or not todo else 0


if __name__ == "__main__":
    sys.exit(main())

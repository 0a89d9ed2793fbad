"""STOMP spoken by hand: conversations with a broker, to the byte where that matters.

    raw.py HOST:PORT [NAME]...      runs all of them, or those whose name contains NAME
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
import traceback

from client import PATIENCE, SLOW, Client

made = 0


def name(what="a"):
    global made
    made += 1
    return f"{what}.{os.getpid()}-{made}"


def fails(data, message, text="", receipt=None, version="1.2", connect=True):
    c = Client(version, connect=connect)
    c.write(data)
    c.error(message, text, receipt)


# ---------------------------------------------------------------------------------- opening


def versions():
    for accept, chosen in [("1.0", "1.0"), ("1.1", "1.1"), ("1.2", "1.2"), ("1.0,1.1,1.2", "1.2"),
                           ("1.2,1.1,1.0", "1.2"), ("1.0,1.1,9.9", "1.1"), (None, "1.0")]:
        c = Client(connect=False)
        accepted = f"accept-version:{accept}\n".encode() if accept else b""
        c.write(b"STOMP\n" + accepted + b"host:127.0.0.1\nlogin:a\\t\npasscode:b\n\n\0")
        f = c.expect("CONNECTED", version=chosen)
        assert f["session"] and f["server"].startswith("brokerd/") and not f.get("heart-beat")
        c.close()
    fails(b"CONNECT\naccept-version:3.0,0.9\n\n\0", "Version mismatch",
          "Supported versions are 1.0,1.1,1.2", connect=False)


def sessions_differ():
    assert Client().connected["session"] != Client().connected["session"]


def before_and_after():
    fails(b"SEND\ndestination:/topic/a\n\nx\0", "Illegal command",
          "You must log in using CONNECT first", connect=False)
    fails(b"CONNECT\naccept-version:1.2\n\n\0", "Illegal command")
    fails(b"FOO\n\n\0", "Bad command", 'Could not interpret command "FOO"')
    fails(b"MESSAGE\n\n\0", "Bad command", "MESSAGE")
    fails(b"BEGIN\ntransaction:a\n\nbody\0", "Malformed frame", "may not have a body")


def typed_by_hand():
    c = Client(connect=False)
    c.write(b"CONNECT\r\naccept-version:1.2\r\nhost:localhost\r\n\r\n\0\r\n\r\n")
    c.expect("CONNECTED")
    c.write(b"\r\n\nSUBSCRIBE\r\nid:1\r\ndestination:/topic/hand\r\nreceipt:1\r\n\r\n\0\r\n")
    c.expect("RECEIPT", receipt_id="1")
    c.write(b"SEND\r\ndestination:/topic/hand\r\n\r\nhello\0\r\n")
    c.message(b"hello", subscription="1", destination="/topic/hand")


# ---------------------------------------------------------------------------------- frames


def cut_anywhere():
    t = name()
    frame = (f"SEND\ndestination:/topic/{t}\ncontent-length:5\nx:\\c\\n\n\n".encode() + b"a\0b\0c\0")
    sub, c = Client(), Client()
    sub.ask("SUBSCRIBE", id=1, destination=f"/topic/{t}")
    for at in range(1, len(frame)):
        c.write(frame[:at])
        c.write(frame[at:] + frame)
        for _ in range(2):
            assert sub.message(b"a\0b\0c")["x"] == ":\n"
    for i in range(len(frame)):
        c.write(frame[i : i + 1])
    sub.message(b"a\0b\0c")


def many_at_once():
    t = name()
    sub, c = Client(), Client()
    sub.ask("SUBSCRIBE", id=1, destination=f"/topic/{t}")
    c.write(b"".join(f"SEND\ndestination:/topic/{t}\nreceipt:{i}\n\nm{i}".encode() + b"\0\n"
                     for i in range(1000)))
    for i in range(1000):
        c.expect("RECEIPT", receipt_id=str(i))
    ids = {sub.message(b"m%d" % i)["message-id"] for i in range(1000)}
    assert len(ids) == 1000


def unlike_heads():
    """What looks like the frame before, but is not."""
    t, u = name(), name()
    sub, c = Client(), Client()
    sub.ask("SUBSCRIBE", id=1, destination=f"/topic/{t}")
    sub.ask("SUBSCRIBE", id=2, destination=f"/topic/{u}")
    for i, (to, more, body) in enumerate(
        [(t, "", b"1"), (t, "", b""), (u, "", b"22"), (t, "k:v\n", b"3"), (t, "k:w\n", b"3"),
         (t, "content-length:1\n", b"\0"), (t, "content-length:1\n", b"4"), (t, "", b"5"),
         (t, "receipt:a\n", b"6"), (t, "receipt:bb\n", b"7"), (t, "receipt:\\c\n", b"8"),
         (t, "receipt:c\nk:v\n", b"9"), (t, "k:v\nreceipt:d\n", b"10")]):
        c.write(f"SEND\ndestination:/topic/{to}\n{more}\n".encode() + body + b"\0")
        f = sub.message(body, subscription="1" if to == t else "2", destination=f"/topic/{to}")
        assert f.get("k") == (re.search("k:(.*)", more) or [None, None])[1], (i, f)
        if "receipt" in more:
            c.expect("RECEIPT", receipt_id=c.plain(re.search("receipt:(.*)", more)[1]))


def malformed():
    for data, text in [
        (b"SEND\nnocolon\n\n\0", "no colon"),
        (b"SEND\n:x\n\n\0", "no name"),
        (b"SEND\ndestination:\\t\n\n\0", "unknown escape"),
        (b"SEND\ndestination:a\\\n\n\0", "unknown escape"),
        (b"SEND\ncontent-length:-1\n\n\0", "not a number"),
        (b"SEND\ncontent-length: 1\n\n\0", "not a number"),
        (b"SEND\ndestination:/topic/a\ncontent-length:1\n\nab\0", "longer than its content-length"),
        (b"SEND\ndestination:/topic/a\ncontent-length:3\n\nab\0" + b"SEND", "longer than its"),
        (b"SEND\ncontent-length:99999999999\n\n", "too large"),
        (b"SEND\n" + b"a:b\n" * 10000, "too many headers"),
        (b"SEND\na:" + b"b" * (1 << 20), "too long"),
        (b"X" * 1000, "too long"),
        (b"DISCONNECT\0", "NUL"),
    ]:
        fails(data, "Malformed frame", text)
    fails(b"SEND\ndestination:\\r\n\n\0", "Malformed frame", "escape", version="1.1")


def no_end():
    """A body without end is not gathered without bound; nothing is kept for what is announced."""
    c = Client()
    try:
        c.write(b"SEND\ndestination:/topic/a\n\n")
        for _ in range(40):
            c.write(b"x" * (1 << 20))
    except (BrokenPipeError, ConnectionResetError):
        return
    c.error("Malformed frame", "too large")


def escapes():
    for version, value in [("1.0", "a\\n\\c"), ("1.1", "a\nb:c\\d"), ("1.2", "a\nb:c\\d\re")]:
        t = name()
        c = Client(version)
        c.ask("SUBSCRIBE", id="s:1" if version != "1.0" else "1", destination=f"/topic/{t}")
        c.send("SEND", destination=f"/topic/{t}", key=value, receipt="r")
        assert c.message(b"")["key"] == value
        c.expect("RECEIPT")
    t = name()
    rich, poor, old = Client("1.2"), Client("1.1"), Client("1.0")
    for c in rich, poor, old:
        c.ask("SUBSCRIBE", id="1", destination=f"/topic/{t}")
    rich.send("SEND", destination=f"/topic/{t}", key="a\nb\rc:d")
    assert rich.message(b"")["key"] == "a\nb\rc:d"
    assert poor.message(b"")["key"] == "a\nb c:d"
    assert old.message(b"")["key"] == "a b c:d"
    fails(f"SEND\ndestination:/topic/{t}\na:\x01\n\n".encode() + b"\0", "Invalid header")
    fails(f"SEND\ndestination:/topic/{t}\na:".encode() + b"\xff\n\n\0", "Invalid header")


def first_of_equal_headers():
    t = name()
    c = Client()
    c.ask("SUBSCRIBE", id=1, destination=f"/topic/{t}")
    c.write(f"SEND\ndestination:/topic/{t}\nk:1\nk:2\ndestination:/topic/no\n\nx".encode() + b"\0")
    c.message(b"x", k="1")


def own_headers_cannot_be_set():
    t = name()
    c = Client()
    c.ask("SUBSCRIBE", id=1, destination=f"/topic/{t}")
    c.send("SEND", destination=f"/topic/{t}", message_id="x", subscription="y", ack="z",
           redelivered="true", gap="9 full")
    f = c.message(b"", subscription="1", redelivered="false")
    assert f["message-id"] != "x" and not f.get("ack") and not f.get("gap")


# ---------------------------------------------------------------------------------- receipts


def receipts():
    t, q = name(), name("q")
    c = Client()
    c.ask("SUBSCRIBE", id=1, destination=f"/queue/{q}", ack="client-individual")
    for receipt in "plain", "a:b", "back\\slash", "new\nline", "x" * 300, "":
        c.send("SEND", destination=f"/topic/{t}", receipt=receipt)
        c.expect("RECEIPT", receipt_id=receipt)
    c.ask("BEGIN", transaction="t")
    c.ask("SEND", b"m", destination=f"/queue/{q}", transaction="t")
    c.send("COMMIT", transaction="t", receipt="commit")
    got = sorted([c.read(), c.read()], key=lambda f: f.command)
    assert [f.command for f in got] == ["MESSAGE", "RECEIPT"], got
    c.ask("ACK", id=got[0]["ack"])
    c.ask("BEGIN", transaction="t")
    c.ask("ABORT", transaction="t")
    c.ask("UNSUBSCRIBE", id=1)
    c.ask("DISCONNECT")
    assert c.read() is None


def receipts_in_order():
    q = name("q")
    c = Client()
    c.write(b"".join(
        c.encode("SEND", {"destination": f"/queue/{q}", "receipt": f"s{i}"}, b"x")
        + c.encode("BEGIN", {"transaction": f"t{i}", "receipt": f"b{i}"})
        + c.encode("ABORT", {"transaction": f"t{i}", "receipt": f"a{i}"}) for i in range(200))
        + c.encode("DISCONNECT", {"receipt": "end"}))
    for i in range(200):
        for kind in "sba":
            c.expect("RECEIPT", receipt_id=f"{kind}{i}")
    c.expect("RECEIPT", receipt_id="end")
    assert c.read() is None


def refused():
    q = "small." + name()
    c = Client()
    c.ask("SEND", b"1", destination=f"/queue/{q}")
    c.send("SEND", b"2", destination=f"/queue/{q}")  # nobody asks: it is only counted
    c.quiet()
    c.send("SEND", b"3", destination=f"/queue/{q}", receipt="r")
    c.error("full", "full: ", "r")


def held_and_settled():
    """The receipt of what waits before a full queue comes when it has found its place."""
    q = "block." + name()
    c, k = Client(), Client()
    c.ask("SEND", b"1", destination=f"/queue/{q}")
    c.send("SEND", b"2", destination=f"/queue/{q}", receipt="held")
    c.send("BEGIN", transaction="t", receipt="after")
    try:
        f = c.read(0.3)
        raise AssertionError(f"a receipt before its time: {f}")
    except TimeoutError:
        pass
    k.ask("SUBSCRIBE", id=1, destination=f"/queue/{q}")
    k.message(b"1")
    k.message(b"2")
    c.expect("RECEIPT", receipt_id="held")
    c.expect("RECEIPT", receipt_id="after")


def receipts_that_wait_are_bounded():
    """Behind a held message, for frames that no window holds back."""
    q = "block." + name()
    c = Client()
    c.ask("SEND", b"1", destination=f"/queue/{q}")
    c.send("SEND", b"2", destination=f"/queue/{q}", receipt="held")
    pair = b"".join(b"%s\ntransaction:t\nreceipt:%s\n\n\0" % (word, b"r" * 8000)
                    for word in (b"BEGIN", b"ABORT"))
    try:
        for _ in range(1500):
            c.write(pair)
    except (BrokenPipeError, ConnectionResetError):
        pass  # it has heard enough
    c.error("limit", "receipts")


def who_consumes_is_not_held():
    q = "block." + name()
    c = Client()
    c.ask("SUBSCRIBE", id=1, destination=f"/topic/{name()}")
    c.ask("SEND", b"1", destination=f"/queue/{q}")
    c.send("SEND", b"2", destination=f"/queue/{q}", receipt="r")
    c.error("full", "", "r")


def used_up_window():
    """Whoever does not stop is not read, and goes on where it was."""
    q = "block." + name()
    c, k = Client(), Client()
    n = 60000
    c.s.setblocking(False)
    todo = b"".join(b"SEND\ndestination:/queue/%s\n\n%d\0" % (q.encode(), i) for i in range(n))
    sent = 0
    k.ask("SUBSCRIBE", id=1, destination=f"/queue/{q}", ack="client", prefetch_count=500)
    for i in range(n):
        while sent < len(todo):
            try:
                sent += c.s.send(todo[sent : sent + 65536])
            except BlockingIOError:
                break
        f = k.message(b"%d" % i)
        if i % 100 == 99 or i == n - 1:
            k.send("ACK", id=f["ack"])
    assert sent == len(todo)
    c.s.setblocking(True)
    c.quiet()


# ---------------------------------------------------------------------------------- acks


def subscribed(q, mode, version="1.2", **headers):
    c = Client(version)
    c.ask("SUBSCRIBE", id="1", destination=f"/queue/{q}", ack=mode, **headers)
    return c


def filled(n=5, queue=None):
    q = queue or name("q")
    c = Client()
    for i in range(n):
        c.ask("SEND", b"%d" % i, destination=f"/queue/{q}")
    c.close()
    return q


def left_in(q):
    """What is in the queue, and whether it was delivered before."""
    c = Client()
    c.ask("SUBSCRIBE", id="1", destination=f"/queue/{q}")
    c.send("SEND", b"end", destination=f"/queue/{q}")
    got = []
    while True:
        f = c.expect("MESSAGE")
        if f.body == b"end":
            c.close()
            return got
        got.append((f.body.decode() + ("*" if f["redelivered"] == "true" else "")))


def cumulative_ack():
    q = filled()
    c = subscribed(q, "client")
    m = [c.expect("MESSAGE") for _ in range(5)]
    c.ask("ACK", id=m[2]["ack"])
    c.close()
    assert left_in(q) == ["3*", "4*"]


def individual_ack():
    q = filled()
    c = subscribed(q, "client-individual")
    m = [c.expect("MESSAGE") for _ in range(5)]
    c.ask("ACK", id=m[2]["ack"])
    c.ask("ACK", id=m[0]["ack"])
    c.ask("UNSUBSCRIBE", id="1")
    assert left_in(q) == ["1*", "3*", "4*"]


def how_versions_name_it():
    q = filled(1)
    c = subscribed(q, "client", "1.0")
    c.ask("ACK", message_id=c.message(b"0")["message-id"])
    q = filled(1)
    c = subscribed(q, "client", "1.1")
    f = c.message(b"0", subscription="1")
    assert not f.get("ack")
    c.ask("ACK", message_id=f["message-id"], subscription="1")
    q = filled(1)
    c = subscribed(q, "client", "1.1")
    c.send("ACK", message_id=c.message(b"0")["message-id"], subscription="2", receipt="r")
    c.error("Subscription not found", "", "r")
    q = filled(1)
    c = subscribed(q, "client", "1.2")
    c.send("ACK", message_id=c.message(b"0")["message-id"], receipt="r")
    c.error("Invalid header", '"ACK" must include a valid "id" header', "r")
    fails(b"NACK\nid:foo\n\n\0", "Invalid header", '"NACK" must include a valid "id" header')
    c = Client("1.0")
    q = filled(1)
    c.ask("SUBSCRIBE", destination=f"/queue/{q}", ack="client")
    f = c.message(b"0")
    assert not f.get("subscription")
    c.ask("ACK", message_id=f["message-id"])
    c.ask("UNSUBSCRIBE", destination=f"/queue/{q}")


def acked_twice():
    for mode in "client", "client-individual":
        c = subscribed(filled(), mode)
        m = [c.expect("MESSAGE") for _ in range(5)]
        c.ask("ACK", id=m[1]["ack"])
        c.send("ACK", id=m[1]["ack"], receipt="r")
        c.error("Message not found", "", "r")
    c = subscribed(filled(), "client")
    m = [c.expect("MESSAGE") for _ in range(5)]
    c.ask("ACK", id=m[1]["ack"])
    c.send("ACK", id=m[0]["ack"], receipt="r")
    c.error("Message not found", "", "r")
    c = subscribed(filled(), "client")
    f = c.message(b"0")
    c.send("ACK", id=f["ack"][:-1] + "9", receipt="r")
    for _ in range(4):
        c.expect("MESSAGE")
    c.error("Message not found", "", "r")


def acks_of_others():
    c, d = subscribed(filled(1), "client"), subscribed(filled(1), "client")
    c.message(b"0")
    d.send("ACK", id=c.connected["session"], receipt="r")
    d.message(b"0")
    d.error("Subscription not found", "", "r")
    c, d = subscribed(filled(1), "client"), subscribed(filled(1), "client")
    f = c.message(b"0")
    d.message(b"0")
    d.send("ACK", id=f["ack"], receipt="r")
    d.error("Subscription not found", "", "r")
    c = subscribed(filled(1), "client")
    f = c.message(b"0")
    c.ask("UNSUBSCRIBE", id="1")
    c.send("ACK", id=f["ack"], receipt="r")
    c.error("Subscription not found", "", "r")
    c = subscribed(filled(1), "auto")
    c.send("ACK", id=c.message(b"0")["message-id"], receipt="r")
    c.error("Subscription not found", "", "r")


def nack():
    q = filled(3)
    c = subscribed(q, "client-individual")
    m = [c.expect("MESSAGE") for _ in range(3)]
    c.send("NACK", id=m[1]["ack"])
    again = c.message(b"1", redelivered="true")
    assert again["ack"] != m[1]["ack"]
    c.ask("NACK", id=again["ack"], requeue="false")
    c.ask("ACK", id=m[0]["ack"])
    c.close()
    assert left_in(q) == ["2*"]


def rejected_goes_to_dead_letters():
    q, dead = name("q"), name("dead")
    d, c = Client(), Client()
    d.ask("SUBSCRIBE", id=1, destination=f"/topic/{dead}")
    c.ask("SUBSCRIBE", id=1, destination=f"/queue/{q}", ack="client",
          x_dead_letter_exchange="amq.topic", x_dead_letter_routing_key=dead)
    c.send("SEND", b"bad", destination=f"/queue/{q}")
    c.send("NACK", id=c.message(b"bad")["ack"], requeue="false")
    f = d.message(b"bad", destination=f"/topic/{dead}")
    assert f["broker-dead-reason"] == "rejected" and f["broker-dead-queue"] == q


def dead_letters_by_the_default_exchange():
    q, dead = name("q"), name("dead")
    c = Client()
    c.ask("SUBSCRIBE", id=1, destination=f"/queue/{q}", ack="client",
          x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    c.send("SEND", b"bad", destination=f"/queue/{q}")
    c.send("NACK", id=c.message(b"bad")["ack"], requeue="false")
    c.ask("SEND", b"not for it", destination=f"/topic/{dead}")
    d = Client()  # comes later, as programs do that look into them now and then
    d.ask("SUBSCRIBE", id=1, destination=f"/queue/{dead}")
    f = d.message(b"bad", destination=f"/queue/{dead}")
    assert f["broker-dead-reason"] == "rejected" and f["broker-dead-queue"] == q
    d.quiet()
    assert not d.kept, d.kept


def until_consumers(q, n):
    """Wait until the broker has noticed who has gone."""
    end = time.monotonic() + PATIENCE
    while True:
        said = subprocess.run(["broker", "queue", "info", "--json", q], capture_output=True, check=True)
        if json.loads(said.stdout)["consumers"] == n:
            return
        assert time.monotonic() < end, said.stdout


def prefetch():
    q = name("q")
    a, b = Client(), Client()
    for c in a, b:
        c.ask("SUBSCRIBE", id=1, destination=f"/queue/{q}", ack="client-individual",
              prefetch_count=1)
    p = Client()
    for i in range(3):
        p.ask("SEND", b"%d" % i, destination=f"/queue/{q}")
    first = {c: c.expect("MESSAGE") for c in (a, b)}
    for c in a, b:
        c.quiet()  # no third
    mine = first[a].body
    a.close()
    until_consumers(q, 1)
    b.ask("ACK", id=first[b]["ack"])
    f = b.message(mine, redelivered="true")  # before what was not delivered yet
    b.send("ACK", id=f["ack"])
    b.message(b"2", redelivered="false")


# ---------------------------------------------------------------------------------- transactions


def commit_and_abort():
    q, r = filled(3), name("r")
    c = subscribed(q, "client-individual")
    m = [c.expect("MESSAGE") for _ in range(3)]
    c.send("BEGIN", transaction="yes")
    c.send("BEGIN", transaction="no")
    c.send("SEND", b"y1", destination=f"/queue/{r}", transaction="yes")
    c.send("SEND", b"n", destination=f"/queue/{r}", transaction="no")
    c.send("ACK", id=m[0]["ack"], transaction="yes")
    c.send("ACK", id=m[1]["ack"], transaction="no")
    c.send("SEND", b"y2", destination=f"/queue/{r}", transaction="yes")
    c.quiet()
    assert left_in(r) == []
    c.ask("ABORT", transaction="no")
    c.ask("COMMIT", transaction="yes")
    assert left_in(r) == ["y1", "y2"]
    c.ask("ACK", id=m[1]["ack"])  # once more, for the first time was forgotten
    c.close()
    assert left_in(q) == ["2*"]


def cumulative_in_a_transaction():
    q = filled(4)
    c = subscribed(q, "client")
    m = [c.expect("MESSAGE") for _ in range(4)]
    c.send("BEGIN", transaction="t")
    c.send("ACK", id=m[1]["ack"], transaction="t")
    c.send("ACK", id=m[2]["ack"], transaction="t")
    c.ask("ABORT", transaction="t")
    c.ask("ACK", id=m[0]["ack"])
    c.close()
    assert left_in(q) == ["1*", "2*", "3*"]


def lost_with_the_connection():
    q, r = filled(1), name("r")
    c = subscribed(q, "client")
    f = c.message(b"0")
    c.send("BEGIN", transaction="t")
    c.send("SEND", b"x", destination=f"/queue/{r}", transaction="t")
    c.ask("ACK", id=f["ack"], transaction="t")
    c.close()
    assert left_in(q) == ["0*"]
    assert left_in(r) == []


def bad_transactions():
    for data in (b"COMMIT\ntransaction:t9\n\n\0", b"ABORT\ntransaction:t9\n\n\0",
                 b"BEGIN\ntransaction:t9\n\n\0BEGIN\ntransaction:t9\n\n\0",
                 b"SEND\ndestination:/queue/q\ntransaction:t9\n\nx\0"):
        fails(data, "Bad transaction", 'Invalid transaction identifier: "t9"')
    fails(b"BEGIN\n\n\0", "Missing transaction", '"BEGIN" must include a \'transaction\' header')
    c = Client()
    for i in range(64):
        c.ask("BEGIN", transaction=i)
    c.send("BEGIN", transaction="more", receipt="r")
    c.error("limit", "at most 64", "r")


def what_can_be_wrong_is_said_before():
    q, receipt = filled(1), "commit"
    for bad, message in ((f"/amq/queue/{name('none')}", "not_found"),
                         ("/topic/a%20b", "Invalid destination"),
                         ("/queue/$SYS", "access_refused")):
        c = Client()
        c.send("BEGIN", transaction="t")
        c.ask("SEND", b"first", destination=f"/queue/{q}", transaction="t")
        c.ask("SEND", b"bad", destination=bad, transaction="t")
        c.send("COMMIT", transaction="t", receipt=receipt)
        c.error(message, receipt=receipt)
    assert left_in(q) == ["0"]
    c = Client()
    c.send("BEGIN", transaction="t")
    c.send("SEND", b"late", destination=f"/reply-queue/{name('gone')}", transaction="t")
    c.send("SEND", b"1", destination=f"/queue/{q}", transaction="t")
    c.ask("COMMIT", transaction="t")
    assert left_in(q) == ["1"]


def what_fails_later_says_so():
    q = name("small")
    c = Client()
    c.send("BEGIN", transaction="t")
    for i in range(2):
        c.ask("SEND", b"%d" % i, destination=f"/queue/{q}", transaction="t")
    c.send("COMMIT", transaction="t", receipt="commit")
    c.error("full", receipt="commit")
    assert left_in(q) == ["0"]


def a_large_transaction():
    q = name("q")
    c = Client()
    c.send("BEGIN", transaction="t")
    n = 5000  # more than a window at first
    c.write(b"".join(c.encode("SEND", {"destination": f"/queue/{q}", "transaction": "t"}, b"%d" % i)
                     for i in range(n)))
    c.ask("COMMIT", transaction="t")
    assert left_in(q) == [str(i) for i in range(n)]


# ---------------------------------------------------------------------------------- destinations


def wildcards():
    c = Client()
    t = name("w")
    for i, f in enumerate([f"{t}.*", f"{t}.#", f"{t}.*.c"]):
        c.ask("SUBSCRIBE", id=i, destination=f"/topic/{f}")
    for topic, ids in [("b", {"0", "1"}), ("b.c", {"1", "2"}), ("b.c.d", {"1"})]:
        c.send("SEND", destination=f"/topic/{t}.{topic}")
        got = {c.expect("MESSAGE", destination=f"/topic/{t}.{topic}")["subscription"] for _ in ids}
        assert got == ids


def queue_and_topic_are_apart():
    q = name("q")
    c = Client()
    c.ask("SUBSCRIBE", id="q", destination=f"/queue/{q}")
    c.ask("SUBSCRIBE", id="t", destination=f"/topic/{q}")
    c.ask("SEND", b"nobody", destination="/topic/elsewhere")
    c.send("SEND", b"t", destination=f"/topic/{q}")
    c.message(b"t", subscription="t", destination=f"/topic/{q}")
    c.send("SEND", b"q", destination=f"/queue/{q}")
    c.message(b"q", subscription="q", destination=f"/queue/{q}")


def exchanges():
    c, k = Client(), name("k")
    c.ask("SUBSCRIBE", id="t", destination=f"/exchange/amq.topic/{k}")
    c.ask("SUBSCRIBE", id="d", destination=f"/exchange/amq.direct/{k}")
    c.ask("SUBSCRIBE", id="f", destination="/exchange/amq.fanout")
    c.send("SEND", destination=f"/topic/{k}")
    c.message(b"", subscription="t", destination=f"/topic/{k}")
    c.send("SEND", destination=f"/exchange/amq.direct/{k}")
    c.message(b"", subscription="d", destination=f"/exchange/amq.direct/{k}")
    c.send("SEND", destination="/exchange/amq.fanout/whatever")
    c.message(b"", subscription="f", destination="/exchange/amq.fanout")
    fails(b"SEND\ndestination:/exchange/own/k\n\n\0", "not_found", "amq.topic")


def amq_queues():
    q = name("q")
    fails(f"SUBSCRIBE\nid:1\ndestination:/amq/queue/{q}\nreceipt:r\n\n".encode() + b"\0",
          "not_found", receipt="r")
    fails(f"SEND\ndestination:/amq/queue/{q}\nreceipt:r\n\n".encode() + b"\0", "not_found",
          receipt="r")
    filled(1, q)
    c = Client()
    c.ask("SEND", b"1", destination=f"/amq/queue/{q}")
    c.ask("SUBSCRIBE", id=1, destination=f"/amq/queue/{q}")
    assert [c.expect("MESSAGE").body for _ in range(2)] == [b"0", b"1"]


def escaped_destinations():
    c = Client()
    c.ask("SUBSCRIBE", id=1, destination="/queue/a%2Fb%25")
    c.send("SEND", destination="/queue/a%2fb%25")
    c.message(b"", destination="/queue/a%2Fb%25")


def bad_destinations():
    for destination, message, text in [
        ("nowhere", "Unknown destination", "'nowhere' is not a valid destination"),
        ("/bah/baz", "Unknown destination", "'/bah/baz'"),
        ("/queue/", "Invalid destination", "is not a valid queue destination"),
        ("/queue/a/b", "Invalid destination", "'/queue/a/b' is not a valid queue destination"),
        ("/topic/a/b", "Invalid destination", "is not a valid topic destination"),
        ("/queue/a%zz", "Invalid destination", "is not a valid queue destination"),
        ("/topic/a..b", "Invalid destination", "empty level"),
        ("/queue/" + "x" * 241, "Invalid destination", ""),
        ("/temp-queue/x", "Invalid destination", "is not a valid destination for"),
    ]:
        for command in "SEND", "SUBSCRIBE":
            fails(f"{command}\nid:1\nreceipt:r\ndestination:{destination}\n\n".encode() + b"\0",
                  message, text, "r")
    fails(b"SEND\n\n\0", "Missing destination", "SEND")
    fails(b"SUBSCRIBE\nid:1\n\n\0", "Missing destination", "SUBSCRIBE")
    fails(b"SEND\ndestination:/topic/$SYS.x\nreceipt:r\n\n\0", "access_refused", "denied", "r")


def bad_subscriptions():
    fails(b"SUBSCRIBE\ndestination:/topic/a\n\n\0", "Missing header", "id")
    fails(b"SUBSCRIBE\nid:1\ndestination:/topic/a\n\n\0" * 2, "Duplicated subscription identifier",
          "A subscription identified by 'T_1' already exists.")
    fails(b"SUBSCRIBE\nid:1\ndestination:/topic/a\nselector:x = 1\n\n\0", "Invalid header",
          "selector is not supported")
    fails(b"SUBSCRIBE\nid:1\ndestination:/topic/a\nack:perhaps\n\n\0", "Invalid header", "perhaps")
    fails(b"UNSUBSCRIBE\nid:1\n\n\0", "Subscription not found")
    for bad, text in ((b"q" * 241, "240"), (b"a b", "x-queue-name 'a b'"), (b"$q", "x-queue-name '$q'")):
        fails(b"SUBSCRIBE\nid:1\ndestination:/topic/a\nx-queue-name:" + bad + b"\n\n\0",
              "Invalid header", text)
    fails(b"SUBSCRIBE\nid:1\ndestination:/queue/a\nx-max-length:many\n\n\0", "Invalid header",
          "x-max-length")
    fails(b"SUBSCRIBE\nid:1\ndestination:/queue/a\nbroker-colour:red\n\n\0", "invalid", "colour")


def replies():
    for first_then in range(2):
        q = name("rpc")
        server, client = Client(), Client()
        server.ask("SUBSCRIBE", id=1, destination=f"/queue/{q}")
        for i in range(3):
            client.send("SEND", b"ask", destination=f"/queue/{q}", reply_to="/temp-queue/foo",
                        correlation_id=i)
            f = server.message(b"ask", correlation_id=str(i))
            assert f["reply-to"].startswith("/reply-queue/"), f
            server.ask("SEND", b"answer", destination=f["reply-to"], correlation_id=i)
            client.message(b"answer", subscription="/temp-queue/foo", correlation_id=str(i))
        client.close()
    # Nobody waits any more: that is no error of who answers, whether its worker has heard or not.
    for i in range(20):
        client = Client()
        client.send("SEND", b"ask", destination=f"/queue/{q}", reply_to="/temp-queue/foo")
        f = server.message(b"ask")
        client.close()
        server.ask("SEND", b"late", destination=f["reply-to"])
    client = Client()
    client.send("SEND", b"ask", destination=f"/queue/{q}", reply_to="/queue/elsewhere")
    server.message(b"ask", reply_to="/queue/elsewhere")


def durable_topics():
    t = name("d")
    p = Client()

    def back():
        c = Client()
        c.ask("SUBSCRIBE", id="me", destination=f"/topic/{t}", durable="true", auto_delete="false",
              ack="client-individual")
        return c

    c = back()
    p.ask("SEND", b"1", destination=f"/topic/{t}")
    c.message(b"1")
    c.close()
    p.ask("SEND", b"2", destination=f"/topic/{t}")
    c = back()
    c.message(b"1", redelivered="true", destination=f"/topic/{t}")
    f = c.message(b"2", destination=f"/topic/{t}")
    c.ask("ACK", id=f["ack"])
    c.ask("UNSUBSCRIBE", id="me", durable="true", auto_delete="false")
    p.ask("SEND", b"3", destination=f"/topic/{t}")
    c = back()
    p.ask("SEND", b"4", destination=f"/topic/{t}")
    c.message(b"4")


def acks_on_a_topic():
    t = name()
    c, p = Client(), Client()
    c.ask("SUBSCRIBE", id=1, destination=f"/topic/{t}", ack="client")
    p.send("SEND", b"1", destination=f"/topic/{t}")
    f = c.message(b"1", destination=f"/topic/{t}")
    c.send("NACK", id=f["ack"])
    c.ask("ACK", id=c.message(b"1", redelivered="true")["ack"])


def expiration():
    q = name("q")
    c = Client()
    c.ask("SEND", b"1", destination=f"/queue/{q}", expiration=1)
    c.ask("SEND", b"2", destination=f"/queue/{q}", expiration=100000)
    time.sleep(0.1)  # longer than it may live: that is what is asked
    assert left_in(q) == ["2"]
    fails(b"SEND\ndestination:/queue/a\nexpiration:soon\n\n\0", "Invalid header", "expiration")


def options():
    c = Client()
    c.send("SEND", destination=f"/topic/{name()}", broker_require="1", receipt="r")
    c.error("no-match", "", "r")
    fails(b"SEND\ndestination:/topic/a\nbroker-colour:red\nreceipt:r\n\n\0", "invalid", "colour",
          "r")


def gap():
    t = "slow." + name()
    c, p = Client(), Client()
    c.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    c.ask("SUBSCRIBE", id=1, destination=f"/topic/{t}")
    for i in range(4000):
        p.send("SEND", b"%06d" % i + b"x" * 4096, destination=f"/topic/{t}")
    p.quiet()
    at, lost = 0, 0
    while at < 4000:
        f = c.expect("MESSAGE")
        if f.get("gap"):
            n, why = f["gap"].split()
            assert why == "drop-oldest"
            lost += int(n)
            at += int(n)
        assert int(f.body[:6]) == at, f"message {f.body[:6]} where {at} was due"
        at += 1
    assert lost > 0


# ---------------------------------------------------------------------------------- heart-beats


def beats_agreed():
    for asked, told in [("0,0", "0,0"), ("0,5000", "5000,0"), ("5000,0", "0,5000"),
                        ("5000,6000", "6000,5000"), ("1,1", "500,500")]:
        c = Client(heart_beat=asked)
        assert c.connected["heart-beat"] == told, c.connected
        c.close()
    fails(b"CONNECT\naccept-version:1.2\nheart-beat:x\n\n\0", "Bad heart-beat", connect=False)


def beats_come():
    c = Client(heart_beat="0,500")
    begun = longest = time.monotonic()
    longest = 0
    while time.monotonic() - begun < 3 or c.beats < 3:
        before = time.monotonic()
        c.s.settimeout(PATIENCE)
        c.got += c.s.recv(100)
        assert c.cut() is None
        longest = max(longest, time.monotonic() - before)
    assert longest < 0.75 * max(1, SLOW), f"{longest} s without a heart-beat"
    assert c.beats <= 1 + (time.monotonic() - begun) / 0.25


def silent_clients_end():
    c, other = Client(heart_beat="500,0"), Client(heart_beat="0,0")
    begun = time.monotonic()
    c.error("Heart-beat timeout")
    assert 1 < time.monotonic() - begun < 2.5 + 3 * SLOW
    alive = Client(heart_beat="500,0")
    begun = time.monotonic()
    while time.monotonic() - begun < 4:
        alive.write(b"\n")
        time.sleep(0.2)  # its heart-beat
    alive.quiet()
    other.quiet()


def beats_while_held():
    """A publisher that is not read still hears us, and is not called silent."""
    q = "block." + name()
    c = Client(heart_beat="500,500")
    todo = b"SEND\ndestination:/queue/%s\n\n%s\0" % (q.encode(), b"x" * 1000) * 20000
    c.s.setblocking(False)
    sent, begun = 0, time.monotonic()
    while time.monotonic() - begun < 4:
        try:
            sent += c.s.send(todo[sent : sent + 65536])
        except BlockingIOError:
            time.sleep(0.05)  # until there is something to be read
        try:
            c.got += c.s.recv(1000)
        except BlockingIOError:
            pass
        assert c.cut() is None
    assert sent < len(todo), "the publisher was not held"
    assert c.beats >= 4, f"{c.beats} heart-beats"


def services():
    c = Client()
    c.send("SEND", destination="/service/admin/info", reply_to="/temp-queue/r", correlation_id="7")
    f = c.expect("MESSAGE", subscription="/temp-queue/r", correlation_id="7")
    assert f.body.startswith(b"{"), f
    c.send("SEND", destination="/service/nobody/x", reply_to="/temp-queue/r", correlation_id="8",
           broker_wait="0")
    f = c.expect("MESSAGE", subscription="/temp-queue/r", correlation_id="8")
    assert f["broker-error"] == "no-server", f
    fails(b"SEND\ndestination:/service/admin\n\n\0", "Invalid destination", "service")
    fails(b"SEND\ndestination:/service/a/b\nreply-to:/queue/q\n\n\0", "Invalid header", "temp-queue")


def main():
    tests = [f for f in globals().values()
             if callable(f) and getattr(f, "__module__", "") == "__main__" and not isinstance(f, type)
             and f.__code__.co_argcount == 0 and f.__name__ not in ("main", "name")]
    wanted = sys.argv[2:]
    failed = 0
    for f in tests:
        if wanted and not any(w in f.__name__ for w in wanted):
            continue
        try:
            f()
        except Exception:
            failed += 1
            print(f"FAIL {f.__name__}")
            traceback.print_exc(file=sys.stdout)
        sys.stdout.flush()
    print(f"{len(tests)} conversations, {failed} failed")
    return failed > 0


sys.exit(main())

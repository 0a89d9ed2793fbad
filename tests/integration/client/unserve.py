#!/usr/bin/env python3
"""Serve, and stop serving, on a connection that goes on: unserve.py HOST:PORT"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../suites/doors"))

from party import Refused  # noqa: E402
from rsocket_door import (  # noqa: E402
    COMPLETE, NEXT, PAYLOAD, REQUEST_FNF, REQUEST_RESPONSE, RSocket, metadata)


class Server(RSocket):
    """Notes the calls that come."""

    def __init__(self, address):
        self.calls = []
        super().__init__(address)

    def on_unit(self, unit):
        if unit[7] >> 2 == REQUEST_RESPONSE:
            self.calls.append(int.from_bytes(unit[3:7], "big"))
        else:
            super().on_unit(unit)

    def answer(self, data):
        self.read_until(lambda: self.calls, what="a call")
        self.send(self.calls.pop(), PAYLOAD, data=data, flags=NEXT | COMPLETE)


def call(caller):
    """Without waiting: the id its answer will be found by."""
    id_ = caller.new_id()
    caller.send(id_, REQUEST_RESPONSE, meta=metadata(["call/unserve.raw/m"]))
    return id_


def answer_of(caller, id_):
    caller.read_until(lambda: id_ in caller.answers)
    return caller.answers.pop(id_)


def refused(reason, ask):
    try:
        ask()
    except Refused as e:
        assert e.reason == reason, e.text
    else:
        assert False, f"not refused, {reason}"


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    address = (host, int(port))
    server, caller = Server(address), RSocket(address)
    serve, unserve = metadata(["serve/unserve.raw"]), metadata(["unserve/unserve.raw"])
    for way in REQUEST_RESPONSE, REQUEST_FNF:
        assert server.request(serve) == b""
        open_ = call(caller)
        server.read_until(lambda: server.calls, what="a call")
        if way == REQUEST_RESPONSE:
            assert server.request(unserve) == b""
        else:
            server.send(server.new_id(), REQUEST_FNF, meta=unserve)
            server.barrier()
        refused("no-server", lambda: caller.request(metadata(["call/unserve.raw/m"])))
        server.answer(b"the open one goes on")
        assert answer_of(caller, open_) == b"the open one goes on"
        refused("not-found", lambda: server.request(unserve))
        assert not server.calls
    other = Server(address)
    assert server.request(serve) == b"" and other.request(serve) == b""
    assert server.request(unserve) == b""
    for _ in range(3):
        open_ = call(caller)
        other.answer(b"mine")
        assert answer_of(caller, open_) == b"mine"
    server.barrier()
    assert not server.calls


main()

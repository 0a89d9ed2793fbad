"""A STOMP client that says what it is told to, and checks each frame it gets."""

import os
import re
import socket
import sys
import time

SLOW = float(os.environ.get("SLOW", "1"))
PATIENCE = 10 * SLOW
HOST, PORT = sys.argv[1].rsplit(":", 1)
ESCAPES = {"1.0": {}, "1.1": {"\\": "\\\\", "\n": "\\n", ":": "\\c"}}
ESCAPES["1.2"] = {**ESCAPES["1.1"], "\r": "\\r"}


class Frame:
    def __init__(self, command, headers, body):
        self.command, self.headers, self.body = command, headers, body

    def __getitem__(self, name):
        return self.headers[name]

    def get(self, name):
        return self.headers.get(name)

    def __repr__(self):
        return f"{self.command} {self.headers} {self.body[:60]!r}"


class Client:
    def __init__(self, version="1.2", connect=True, **headers):
        self.s = socket.create_connection((HOST, int(PORT)))
        self.got, self.kept, self.version, self.beats = b"", [], version, 0
        if connect:
            headers = {k.replace("_", "-"): v for k, v in headers.items()}
            if version != "1.0":
                headers["accept-version"] = version
            self.write(self.encode("CONNECT", headers))
            self.connected = self.expect("CONNECTED")

    def write(self, data):
        self.s.sendall(data)

    def text(self, s):
        return "".join(ESCAPES[self.version].get(c, c) for c in str(s))

    def encode(self, command, headers, body=b""):
        lines = [command] + [f"{self.text(k)}:{self.text(v)}" for k, v in headers.items()]
        return "\n".join(lines).encode() + b"\n\n" + body + b"\0"

    def send(self, command, body=b"", **headers):
        self.write(self.encode(command, {k.replace("_", "-"): v for k, v in headers.items()}, body))

    def plain(self, s):
        return re.sub(r"\\(.)", lambda m: {"n": "\n", "c": ":", "r": "\r", "\\": "\\"}[m[1]], s)

    def cut(self):
        """The first whole frame, or None."""
        while self.got[:1] == b"\n":
            self.got, self.beats = self.got[1:], self.beats + 1
        end = self.got.find(b"\n\n")
        if end < 0:
            return None
        command, *lines = self.got[:end].decode().split("\n")
        headers = {}
        for line in lines:
            k, v = line.split(":", 1)
            if self.version != "1.0" and command != "CONNECTED":
                k, v = self.plain(k), self.plain(v)
            headers.setdefault(k, v)
        n = int(headers.get("content-length", 0))
        if len(self.got) < end + 2 + n + 1:
            return None
        body, nul = self.got[end + 2 : end + 2 + n], self.got[end + 2 + n]
        assert nul == 0, f"no NUL behind the body: {self.got[:200]!r}"
        self.got = self.got[end + 3 + n :]
        return Frame(command, headers, body)

    def read(self, patience=PATIENCE):
        """The next frame; None at the end of the connection."""
        if self.kept:
            return self.kept.pop(0)
        end = time.monotonic() + patience
        while True:
            f = self.cut()
            if f:
                return f
            self.s.settimeout(max(0.01, end - time.monotonic()))
            data = self.s.recv(1 << 16)
            if not data:
                return None
            self.got += data

    def expect(self, command, **headers):
        f = self.read()
        assert f and f.command == command, f"wanted {command}, got {f}"
        for k, v in headers.items():
            k = k.replace("_", "-")
            assert f.get(k) == v, f"wanted {k} {v!r}, got {f}"
        return f

    def message(self, body, **headers):
        f = self.expect("MESSAGE", **headers)
        assert f.body == body, f"wanted {body!r}, got {f}"
        return f

    def ask(self, command, body=b"", **headers):
        self.asked = getattr(self, "asked", 0) + 1
        self.send(command, body, receipt=f"ask-{self.asked}", **headers)
        came, self.kept = self.kept, []
        while True:  # messages may come meanwhile
            f = self.read()
            if not f or f.command != "MESSAGE":
                break
            came.append(f)
        self.kept = came
        assert f and f.get("receipt-id") == f"ask-{self.asked}", f"wanted a RECEIPT, got {f}"

    def quiet(self):
        """Nothing is on its way: what is asked now is answered next."""
        self.ask("BEGIN", transaction="quiet")
        self.ask("ABORT", transaction="quiet")

    def error(self, message, text="", receipt=None):
        f = self.expect("ERROR")
        assert f["message"] == message, f"wanted {message!r}, got {f}"
        assert text in f.body.decode(), f"wanted {text!r}, got {f}"
        assert f.get("receipt-id") == receipt, f"wanted receipt {receipt}, got {f}"
        assert f["content-type"] == "text/plain"
        assert self.read() is None, "the connection goes on after an ERROR"
        self.s.close()

    def close(self):
        self.s.close()

"""What carries a door's units: a TCP stream, or WebSocket messages."""

import base64
import hashlib
import os
import socket
import struct

from party import Closed


class Tcp:
    """A stream; `cutter` says how long its first whole unit is (0: not known yet)."""

    def __init__(self, address, cutter):
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.cutter = cutter
        self.got = bytearray()
        self.from_ = 0  # what lies before it is used

    def more(self, patience):
        self.socket.settimeout(max(patience, 0.001))
        try:
            some = self.socket.recv(1 << 20)
        except (socket.timeout, TimeoutError):
            raise TimeoutError("nothing came") from None
        except OSError as e:
            raise Closed(str(e)) from None
        if not some:
            raise Closed("the broker has closed the connection")
        del self.got[: self.from_]
        self.from_ = 0
        self.got += some

    def read_unit(self, patience):
        while True:
            n = self.cutter(self.got, self.from_)
            if n:
                unit = bytes(self.got[self.from_ : self.from_ + n])
                self.from_ += n
                return unit
            self.more(patience)

    def write(self, unit):
        try:
            self.socket.settimeout(None)
            self.socket.sendall(unit)
        except OSError as e:
            raise Closed(str(e)) from None

    def close(self):
        self.socket.close()

    def cut(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class WebSocket:
    """RFC 6455 as a client, messages in and out. `strip` and `wrap` turn a door's unit into a
    message and back; text where the door says so."""

    KEY_END = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

    def __init__(self, address, path, protocol, strip, wrap, text):
        self.tcp = Tcp(address, self.frame_length)
        self.strip, self.wrap, self.text = strip, wrap, text
        self.parts = []
        self.handshake(address, path, protocol)

    def handshake(self, address, path, protocol):
        key = base64.b64encode(os.urandom(16))
        self.tcp.write(
            f"GET {path} HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nUpgrade: websocket\r\n"
            f"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: {protocol}\r\nSec-WebSocket-Key: ".encode()
            + key + b"\r\n\r\n")
        self.tcp.cutter = lambda got, at: got.find(b"\r\n\r\n", at) - at + 4 \
            if got.find(b"\r\n\r\n", at) >= 0 else 0
        head = self.tcp.read_unit(10)
        accept = base64.b64encode(hashlib.sha1(key + self.KEY_END).digest())
        assert head.startswith(b"HTTP/1.1 101 "), head
        assert accept in head, head
        assert f"sec-websocket-protocol: {protocol}".encode() in head.lower(), head
        self.tcp.cutter = self.frame_length

    @staticmethod
    def frame_length(got, at):
        have = len(got) - at
        if have < 2:
            return 0
        n, head = got[at + 1] & 127, 2
        if n == 126:
            head = 4
            n = int.from_bytes(got[at + 2 : at + 4], "big")
        elif n == 127:
            head = 10
            n = int.from_bytes(got[at + 2 : at + 10], "big")
        return head + n if have >= head + n else 0

    def read_unit(self, patience):
        while True:
            frame = self.tcp.read_unit(patience)
            op, n = frame[0] & 15, frame[1] & 127
            assert not frame[0] & 0x70 and not frame[1] & 0x80, frame[:2]
            payload = frame[{126: 4, 127: 10}.get(n, 2) :]
            if op == 8:
                raise Closed(f"close {payload!r}")
            if op == 9:
                self.frame(10, payload)
                continue
            if op == 10:
                continue
            self.parts.append(payload)
            if op == 1:
                payload.decode()  # a text message that is none would be a broken promise
            if frame[0] & 0x80:
                whole, self.parts = b"".join(self.parts), []
                return self.wrap(whole)

    def frame(self, op, payload):
        mask, n = os.urandom(4), len(payload)
        head = bytes([0x80 | op])
        if n < 126:
            head += bytes([0x80 | n])
        elif n < 65536:
            head += bytes([0x80 | 126]) + n.to_bytes(2, "big")
        else:
            head += bytes([0x80 | 127]) + n.to_bytes(8, "big")
        key = int.from_bytes((mask * (n // 4 + 1))[:n], "big")
        masked = (int.from_bytes(payload, "big") ^ key).to_bytes(n, "big")
        self.tcp.write(head + mask + masked)

    def write(self, unit):
        payload = self.strip(unit)
        self.frame(1 if self.text(payload) else 2, payload)

    def close(self):
        try:
            self.frame(8, b"\x03\xe8")
        except Closed:
            pass
        self.tcp.close()

    def cut(self):
        self.tcp.cut()

#!/usr/bin/python3
"""An RSocket client that can resume, over a proxy that cuts its connections at random bytes.

  resume.py stream|publish|consume SEED   10,000 items over a connection that is cut 20 times
  resume.py rules                         what the broker must answer, frame by frame

BROKER_URL says where. It ends with a line on stderr and 1 where something is not as it should be.
The client is RSocket's "Resume", word for word: it counts tracked frames (stream id above 0, without
their 3-byte length) both ways, keeps what it sent until that is acknowledged, and on each new
connection says RESUME, drops what RESUME_OK names, and sends the rest again.
"""
import collections
import os
import random
import select
import socket
import struct
import sys
import threading
import time

SETUP, LEASE, KEEPALIVE, RESPONSE, FNF, STREAM, CHANNEL = 1, 2, 3, 4, 5, 6, 7
REQUEST_N, CANCEL, PAYLOAD, ERROR, RESUME, RESUME_OK = 8, 9, 10, 11, 13, 14
METADATA, TOKEN, RESPOND, WITH_LEASE, COMPLETE, NEXT = 0x100, 0x80, 0x80, 0x40, 0x40, 0x20
COMPOSITE = b'message/x.rsocket.composite-metadata.v0'
PATIENCE = 15 * int(os.environ.get('SLOW', '1'))
WEBSOCKET = os.environ.get('WEBSOCKET', '')
ITEMS = int(os.environ.get('ITEMS', '10000'))
CUTS = 20


def frame(stream, kind, flags=0, rest=b''):
    return struct.pack('>IH', stream, kind << 10 | flags) + rest


def routed(route, data=b''):
    tag = bytes([len(route)]) + route
    items = b'\xfe' + struct.pack('>I', len(tag))[1:] + tag
    return struct.pack('>I', len(items))[1:] + items + data


def setup(token=None, flags=0, lifetime=60000):
    head = struct.pack('>HHII', 1, 0, 20000, lifetime)
    if token is not None:
        flags |= TOKEN
        head += struct.pack('>H', len(token)) + token
    octets = b'application/octet-stream'
    return frame(0, SETUP, flags,
                 head + bytes([len(COMPOSITE)]) + COMPOSITE + bytes([len(octets)]) + octets)


def resume(token, got, first):
    return frame(0, RESUME, 0, struct.pack('>HHH', 1, 0, len(token)) + token +
                 struct.pack('>QQ', got, first))


def keepalive(position, respond=False):
    return frame(0, KEEPALIVE, RESPOND if respond else 0, struct.pack('>Q', position))


def on_wire(f):
    return struct.pack('>I', len(f))[1:] + f


def parse(f):
    stream, word = struct.unpack('>IH', f[:6])
    return stream, word >> 10, word & 0x3ff, f[6:]


def data_of(flags, rest):
    if flags & METADATA:
        return rest[3 + int.from_bytes(rest[:3], 'big'):]
    return rest


def broker_address():
    host, port = os.environ['BROKER_URL'][len('tcp://'):].rsplit(':', 1)
    return host, int(port)


def fail(text):
    print('resume.py:', text, file=sys.stderr)
    os._exit(1)


class Proxy(threading.Thread):
    """Carries one connection at a time, and cuts it after so many bytes of one direction; but not
    before the broker has said something of its own: who has not heard SETUP has no session."""

    def __init__(self, seed, most):
        super().__init__(daemon=True)
        self.random, self.most, self.cuts = random.Random(seed), most, 0
        self.said, self.has_met = b'', False
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.address = self.listener.getsockname()

    def run(self):
        while True:
            client, _ = self.listener.accept()
            server = socket.create_connection(broker_address())
            self.carry(client, server)
            client.close()
            server.close()

    def met(self, some):
        """Has the broker said something, behind its answer to the upgrade?"""
        if not self.has_met:
            self.said += some
            head = b'\r\n\r\n' if WEBSOCKET else b''
            at = self.said.find(head)
            self.has_met = at >= 0 and len(self.said) > at + len(head)
        return self.has_met

    def carry(self, client, server):
        to = {client: server, server: client}
        left = {client: self.random.randint(1, self.most), server: self.random.randint(1, self.most)}
        while True:
            for s in select.select([client, server], [], [])[0]:
                try:
                    some = s.recv(65536)
                    if not some:
                        return
                    cutting = self.cuts < CUTS and self.met(some if s is server else b'')
                    if cutting:
                        some = some[:left[s]]
                        left[s] -= len(some)
                    to[s].sendall(some)
                except OSError:
                    return
                if left[s] == 0 and cutting:
                    self.cuts += 1
                    return


class Connection:
    """Frames over a socket, as they are; on WebSocket (path in WEBSOCKET) one in each message."""

    def __init__(self, address=None):
        self.socket = socket.create_connection(address or broker_address())
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b''
        self.hello = b''
        if WEBSOCKET:
            self.wrap, self.take = self.message, self.take_message
            self.hello = (f'GET {WEBSOCKET} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n'
                          'Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n'
                          'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n').encode()
            self.answered = False
        else:
            self.wrap, self.take = on_wire, self.take_frame

    def send(self, *frames):
        hello, self.hello = self.hello, b''
        self.socket.sendall(hello + b''.join(self.wrap(f) for f in frames))

    @staticmethod
    def message(f):
        """Binary, masked by nothing."""
        n = len(f)
        length = bytes([0x80 | n]) if n < 126 else b'\xfe' + struct.pack('>H', n)
        return b'\x82' + length + b'\0\0\0\0' + f

    def take_message(self):
        """The next frame in the buffer; b'': it is not all there."""
        b = self.buffer
        if not self.answered:
            end = b.find(b'\r\n\r\n')
            if end < 0:
                return b''
            if not b.startswith(b'HTTP/1.1 101 '):
                fail(f'no WebSocket: {b}')
            self.answered, self.buffer = True, b[end + 4:]
            b = self.buffer
        while len(b) >= 2:
            at, n = 2, b[1]
            if n >= 126:
                at = 4 if n == 126 else 10
                n = int.from_bytes(b[2:at], 'big')
            if len(b) < at + n:
                break
            opcode, f, self.buffer = b[0] & 15, b[at:at + n], b[at + n:]
            if opcode == 2:
                return f
            if opcode == 8:
                return None
            b = self.buffer
        return b''

    def take_frame(self):
        b = self.buffer
        n = int.from_bytes(b[:3], 'big')
        if len(b) < 3 or len(b) < 3 + n:
            return b''
        self.buffer = b[3 + n:]
        return b[3:3 + n]

    def next(self, patience=None):
        """The next frame; None: the other side has closed. No patience: b'' if there is none yet."""
        while True:
            f = self.take()
            if f != b'':
                return f
            if not select.select([self.socket], [], [], PATIENCE if patience is None else patience)[0]:
                if patience is None:
                    fail('nothing came')
                return b''
            try:
                some = self.socket.recv(65536)
            except OSError:
                some = b''
            if not some:
                return None
            self.buffer += some

    def close(self):
        self.socket.close()


class Resumable:
    def __init__(self, address, token):
        self.address, self.token = address, token
        self.got = self.acknowledged = self.resumed = 0
        self.kept = collections.deque()
        self.c = Connection(address)
        self.try_send(setup(token))

    def try_send(self, f):
        try:
            self.c.send(f)
        except OSError:
            pass  # what is kept is sent again; next() finds out

    def send(self, f):
        self.kept.append(f)
        self.try_send(f)

    def drop_to(self, position):
        while self.acknowledged < position:
            if not self.kept:
                fail(f'position {position}, and only {self.acknowledged} was sent')
            self.acknowledged += len(self.kept.popleft())
        if self.acknowledged != position:
            fail(f'position {position} is in the middle of a frame')

    def connect_again(self):
        self.c.close()
        self.c = Connection(self.address)
        self.try_send(resume(self.token, self.got, self.acknowledged))
        f = self.c.next()
        if f is None:
            return False
        _, kind, _, rest = parse(f)
        if kind != RESUME_OK:
            fail(f'resume was answered {f}')
        self.drop_to(struct.unpack('>Q', rest)[0])
        for k in list(self.kept):
            self.try_send(k)
        self.resumed += 1
        return True

    def next(self, patience=None):
        """The next frame of a stream, whatever happens to connections meanwhile."""
        while True:
            f = self.c.next(patience)
            if f == b'':
                return None
            if f is None:
                while not self.connect_again():
                    pass
                continue
            stream, kind, flags, rest = parse(f)
            if stream:
                self.got += len(f)
                return stream, kind, flags, rest
            if kind == KEEPALIVE:
                self.drop_to(struct.unpack('>Q', rest[:8])[0])
                if flags & RESPOND:
                    self.try_send(keepalive(self.got))
            elif kind == ERROR:
                fail(f'the session ended: {rest[4:]}')

    def report(self):
        self.try_send(keepalive(self.got, True))


def item(i):
    return b'%d %s' % (i, b'x' * (i % 50))


def plain(*frames):
    c = Connection()
    c.send(setup(), *frames)
    return c


def barrier(c):
    """All that was asked before is ready."""
    c.send(frame(0x7ffffff1, RESPONSE, METADATA, routed(b'admin/ping')))
    while parse(c.next())[0] != 0x7ffffff1:
        pass


def wait_ready(r):
    r.send(frame(0x7ffffff1, RESPONSE, METADATA, routed(b'admin/ping')))
    while r.next()[0] != 0x7ffffff1:
        pass


def check_cuts(proxy, r):
    if proxy.cuts != CUTS or r.resumed < CUTS // 2:
        fail(f'{proxy.cuts} cuts, {r.resumed} resumed: the test does not test')
    print(f'{ITEMS} items, {proxy.cuts} cuts, resumed {r.resumed} times')


def start(seed, most):
    proxy = Proxy(seed, most)
    proxy.start()
    return proxy, Resumable(proxy.address, b'token %d' % seed)


def stream(seed):
    proxy, r = start(seed, ITEMS * 2)
    r.send(frame(1, STREAM, METADATA, struct.pack('>I', 64) + routed(b'subscribe/load')))
    wait_ready(r)
    up, sent, ids = plain(), 0, 1
    for want in range(ITEMS):
        while sent < min(ITEMS, want + 3000):
            up.send(*(frame(ids + 2 * i, FNF, METADATA, routed(b'publish/load', item(sent + i)))
                      for i in range(500)))
            sent, ids = sent + 500, ids + 1000
        _, kind, flags, rest = r.next()
        if kind != PAYLOAD or data_of(flags, rest) != item(want):
            fail(f'item {want}: got {kind} {data_of(flags, rest)}')
        if want % 32 == 31:
            r.send(frame(1, REQUEST_N, 0, struct.pack('>I', 32)))
        if want % 100 == 99:
            r.report()
    if r.next(0.2):
        fail('something after the last item')
    check_cuts(proxy, r)


def publish(seed):
    down = plain(frame(1, STREAM, METADATA, struct.pack('>I', 0x7fffffff) + routed(b'subscribe/up')))
    barrier(down)
    proxy, r = start(seed, ITEMS * 3)
    r.send(frame(1, CHANNEL, METADATA, struct.pack('>I', 0x7fffffff) + routed(b'publish/up', item(0))))
    credit, sent, settled = 0, 1, 0
    while settled < ITEMS:
        while credit and sent < ITEMS:
            last = sent + 1 == ITEMS
            r.send(frame(1, PAYLOAD, NEXT | (COMPLETE if last else 0), item(sent)))
            sent, credit = sent + 1, credit - 1
            if sent % 100 == 0:
                r.report()
        _, kind, flags, rest = r.next()
        if kind == REQUEST_N:
            credit += struct.unpack('>I', rest)[0]
        elif kind == PAYLOAD and flags & NEXT:
            settled = max(settled, struct.unpack('>Q', data_of(flags, rest)[:8])[0])
        if kind == PAYLOAD and flags & COMPLETE:
            break
        if kind == ERROR:
            fail(f'the channel ended: {rest[4:]}')
    for want in range(ITEMS):
        _, _, flags, rest = parse(down.next())
        if data_of(flags, rest) != item(want):
            fail(f'item {want}: got {data_of(flags, rest)}')
    if down.next(0.2):
        fail('something after the last item')
    check_cuts(proxy, r)


def consume(seed):
    up = plain()
    proxy, r = start(seed, ITEMS * 2)
    r.send(frame(1, CHANNEL, METADATA, struct.pack('>I', 100) + routed(b'consume/work')))
    wait_ready(r)
    sent, ids = 0, 1
    for want in range(ITEMS):
        while sent < min(ITEMS, want + 3000):
            up.send(*(frame(ids + 2 * i, FNF, METADATA, routed(b'send/work', item(sent + i)))
                      for i in range(500)))
            sent, ids = sent + 500, ids + 1000
        _, kind, flags, rest = r.next()
        if kind != PAYLOAD or data_of(flags, rest) != item(want):
            fail(f'item {want}: got {kind} {data_of(flags, rest)}')
        if want % 20 == 19:
            r.send(frame(1, PAYLOAD, NEXT, struct.pack('>BQII', 1, want - 18, 20, 0)))
            r.send(frame(1, REQUEST_N, 0, struct.pack('>I', 20)))
        if want % 100 == 99:
            r.report()
    if r.next(0.2):
        fail('something after the last item')
    wait_ready(r)
    check_cuts(proxy, r)


# ---- rules: each a connection or a few, said and heard raw

def expect_error(c, code, what):
    f = c.next()
    while f is not None and parse(f)[1] != ERROR:
        f = c.next()
    if f is None or struct.unpack('>I', f[6:10])[0] != code:
        fail(f'{what}: expected ERROR {code:#x}, heard {f}')
    if c.next() is not None:
        fail(f'{what}: not closed after ERROR')


def answer_to_ping(c, what, stream=1):
    c.send(frame(stream, RESPONSE, METADATA, routed(b'admin/ping')))
    f = c.next()
    while f is not None and parse(f)[0] != stream:
        f = c.next()
    if f is None or parse(f)[1] != PAYLOAD:
        fail(f'{what}: ping was answered {f}')
    return len(frame(stream, RESPONSE, METADATA, routed(b'admin/ping')))


def alive(token):
    c = Connection()
    c.send(setup(token))
    return c, answer_to_ping(c, 'setup')


def resumed(token, got, first, want):
    c = Connection()
    c.send(resume(token, got, first))
    if c.next() != frame(0, RESUME_OK, 0, struct.pack('>Q', want)):
        fail('RESUME was not answered RESUME_OK')
    return c


def rules():
    c, n = alive(b'a')
    other = Connection()
    other.send(setup(b'a'))
    expect_error(other, 3, 'token in use')
    # taken over while it is open; the answer is replayed
    d = resumed(b'a', 0, 0, n)
    if parse(d.next())[:2] != (1, PAYLOAD) or c.next() is not None:
        fail('taking over')
    m = n + answer_to_ping(d, 'resumed', 3)
    d.send(keepalive(12, True))
    if d.next() != keepalive(m):
        fail('positions')
    d.send(keepalive(11))
    expect_error(d, 0x101, 'a position that goes back')
    e = Connection()
    e.send(resume(b'a', 12, 0))
    expect_error(e, 4, 'a session that ended by an error')
    for got, first in ((5, 0), (13, 0), (6, n + 1)):
        c, n = alive(b'b')
        c.close()
        e = Connection()
        e.send(resume(b'b', got, first))
        expect_error(e, 4, f'positions {got}, {first}')
    c, n = alive(b'b')  # which is free again
    c.send(frame(0, ERROR, 0, struct.pack('>I', 0x102) + b'bye'))
    if c.next() is not None:
        fail('a clean close was not answered by one')
    e = Connection()
    e.send(resume(b'b', 0, 0))
    expect_error(e, 4, 'a session that was closed')
    c, n = alive(b'c')
    c.send(resume(b'c', 0, 0))
    expect_error(c, 0x101, 'RESUME after SETUP')
    for f, code, what in ((setup(b''), 1, 'no token'), (setup(b'x' * 1025), 3, 'a token too long'),
                          (frame(0, RESUME, 0, b'\0\1\0\0\0\7tok'), 1, 'RESUME cut short'),
                          (frame(0, RESUME, 0, b''), 1, 'an empty RESUME')):
        c = Connection()
        c.send(f)
        expect_error(c, code, what)
    cut_in_a_token()
    leases()
    print('rules kept')


def cut_in_a_token():
    """First bytes that end anywhere; each token goes to its worker, whatever comes with it."""
    for i in range(16):
        token = b'cut %d' % i
        c = Connection()
        first = c.hello + c.wrap(setup(token))
        c.hello, cut = b'', len(first) - 3 * i - 1
        for part in (first[:cut], first[cut:]):
            c.socket.sendall(part)
            time.sleep(0.005)  # two reads, probably; all is well if it is one
        n = answer_to_ping(c, 'a SETUP in two pieces')
        c.close()
        answer_to_ping(resumed(token, 6, 0, n), 'resumed', 3)


def leases():
    """lease-requests = 10: see the test."""
    c = Connection()
    c.send(setup(None, WITH_LEASE))
    first = c.next()
    if parse(first)[1] != LEASE or struct.unpack('>II', first[6:])[1] != 10:
        fail(f'the first frame is no lease of 10: {first}')
    c.send(*(frame(2 * i + 1, RESPONSE, METADATA, routed(b'admin/ping')) for i in range(12)))
    answers = {}
    leases_heard = 0
    while len(answers) < 12:
        f = c.next()
        s, kind, _, rest = parse(f)
        if kind == LEASE:
            leases_heard += 1
        else:
            answers[s] = (kind, rest[:4])
    beyond = [s for s in answers if answers[s] == (ERROR, struct.pack('>I', 0x202))]
    if beyond != [21, 23] or leases_heard == 0:
        fail(f'12 requests with a lease of 10: beyond it {beyond}, renewed {leases_heard} times')
    answer_to_ping(c, 'the next lease', 25)
    c.send(frame(0, LEASE, 0, b'\0\0\0'))
    expect_error(c, 0x101, 'LEASE cut short')


if __name__ == '__main__':
    what = {'stream': stream, 'publish': publish, 'consume': consume, 'rules': rules}[sys.argv[1]]
    what(*(int(a) for a in sys.argv[2:]))
    os._exit(0)  # the proxy may be in the middle of something

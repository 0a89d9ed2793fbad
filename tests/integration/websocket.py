"""A WebSocket client that says exactly what it is told to, for test_websocket.sh.

    websocket.py HOST:PORT[,HOST:PORT..] GROUP..    run these groups of cases; fails at the first
                                                    that fails

Standard library only: a client that knows the rules could not break them."""
import base64
import os
import random
import socket
import struct
import sys
import time

PATIENCE = 20
KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='
CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
hosts = []


class Bad(Exception):
    pass


def check(holds, what):
    if not holds:
        raise Bad(what)


def frame(opcode, payload=b'', fin=True, mask=b'\x12\x34\x56\x78', rsv=0, length=None, wide=0):
    """`length`: announced instead of the true one; `wide`: 126 or 127, whatever the length."""
    n = len(payload) if length is None else length
    wide = wide or (127 if n > 65535 else 126 if n > 125 else 0)
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode, (0x80 if mask else 0) | (wide or n)])
    head += struct.pack('>H', n) if wide == 126 else struct.pack('>Q', n) if wide == 127 else b''
    if not mask:
        return head + payload
    if mask == b'\0\0\0\0':
        return head + mask + payload
    key = int.from_bytes((mask * (len(payload) // 4 + 1))[:len(payload)], 'big')
    masked = (int.from_bytes(payload, 'big') ^ key).to_bytes(len(payload), 'big')
    return head + mask + masked


def request(path='/echo', fields=(), without=(), method='GET', version='1.1'):
    usual = {'Host': 'localhost', 'Upgrade': 'websocket', 'Connection': 'Upgrade',
             'Sec-WebSocket-Key': KEY, 'Sec-WebSocket-Version': '13'}
    lines = [f'{method} {path} HTTP/{version}']
    given = [name.lower() for name, _ in fields]
    lines += [f'{k}: {v}' for k, v in usual.items()
              if k not in without and k.lower() not in given]
    lines += [f'{k}: {v}' for k, v in fields]
    return ('\r\n'.join(lines) + '\r\n\r\n').encode()


class Peer:
    def __init__(self, which=0):
        self.s = socket.create_connection(hosts[which], PATIENCE)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buf = b''

    def send(self, data, step=0):
        if not step:
            self.s.sendall(data)
            return self
        for i in range(0, len(data), step):
            self.s.sendall(data[i:i + step])
        return self

    def more(self):
        try:
            got = self.s.recv(1 << 20)
        except ConnectionResetError:
            raise Bad('reset') from None
        except socket.timeout:
            raise Bad('silence') from None
        if not got:
            raise EOFError
        self.buf += got

    def take(self, n):
        while len(self.buf) < n:
            self.more()
        got, self.buf = self.buf[:n], self.buf[n:]
        return got

    def head(self):
        while b'\r\n\r\n' not in self.buf:
            self.more()
        head, self.buf = self.buf.split(b'\r\n\r\n', 1)
        lines = head.decode().split('\r\n')
        fields = [line.split(': ', 1) for line in lines[1:]]
        return int(lines[0].split()[1]), {k.lower(): v for k, v in fields}

    def open(self, path='/echo', **kw):
        self.send(request(path, **kw))
        status, fields = self.head()
        check(status == 101, f'status {status}')
        check(fields['sec-websocket-accept'] == ACCEPT, fields)
        self.fields = fields
        return self

    def frame(self):
        b0, b1 = self.take(2)
        check(b1 < 128, 'a masked frame')
        check(not b0 & 0x70, 'reserved bits')
        n = b1
        if n == 126:
            n, = struct.unpack('>H', self.take(2))
            check(n > 125, 'a length in a form too long')
        elif n == 127:
            n, = struct.unpack('>Q', self.take(8))
            check(n > 65535, 'a length in a form too long')
        return b0 & 15, b0 >> 7, self.take(n)

    def expect(self, opcode, payload=None):
        got, fin, data = self.frame()
        check(got == opcode and fin, f'opcode {got} ({data[:60]!r}), not {opcode}')
        if payload is not None:
            check(data == payload, f'{len(data)} bytes {data[:60]!r}, not {payload[:60]!r}')
        return data

    def ends(self):
        try:
            self.more()
        except EOFError:
            return
        raise Bad(f'{self.buf[:60]!r} after the end')

    def closes(self, code, within=None):
        """A close frame with this code (None: an empty one), then the end, in good order."""
        start = time.monotonic()
        opcode, _, data = self.frame()
        while opcode in (PING, PONG):
            opcode, _, data = self.frame()
        check(opcode == CLOSE, f'opcode {opcode} ({data[:60]!r}), not a close')
        got = struct.unpack('>H', data[:2])[0] if data else None
        check(got == code, f'closed with {got} {data[2:]!r}, not {code}')
        data[2:].decode()
        self.ends()
        check(within is None or time.monotonic() - start < within, 'late')
        return data[2:]


def close_payload(code, reason=b''):
    return struct.pack('>H', code) + reason


# ---- how it begins

def handshake():
    Peer().open().send(frame(TEXT, b'x')).expect(TEXT, b'x')
    Peer().open('/ws')
    Peer().open('/')
    Peer().open('/rsocket?token=1')
    # names in lower case, values in pieces, several tokens
    raw = (b'GET /ws HTTP/1.1\r\nhost:localhost\r\nupgrade: foo , WebSocket\r\nconnection: keep-alive, Upgrade\r\n'
           b'sec-websocket-key:  ' + KEY.encode() + b'  \r\nsec-websocket-version: 13\r\n'
           b'sec-websocket-protocol: nothing\r\nsec-websocket-protocol: other,rsocket\r\n\r\n')
    for step in 0, 1, 7:
        p = Peer().send(raw, step)
        status, fields = p.head()
        check(status == 101 and fields['sec-websocket-accept'] == ACCEPT, fields)
        check(fields['sec-websocket-protocol'] == 'rsocket', fields)
        check('sec-websocket-extensions' not in fields, fields)
    # only what was offered is said back, the first that is spoken there
    p = Peer().open('/ws', fields=[('Sec-WebSocket-Protocol', 'mqtt, graphql-ws')])
    check('sec-websocket-protocol' not in p.fields, p.fields)
    check('sec-websocket-protocol' not in Peer().open('/ws').fields, 'none was offered')
    p = Peer().open(fields=[('Sec-WebSocket-Extensions', 'permessage-deflate; client_max_window_bits')])
    check('sec-websocket-extensions' not in p.fields, p.fields)
    # frames right behind the blank line
    p = Peer().send(request() + frame(TEXT, b'early') + frame(PING, b'p'))
    check(p.head()[0] == 101, 'with frames behind it')
    p.expect(TEXT, b'early')
    p.expect(PONG, b'p')


def answered(rows):
    for name, bytes_, wanted in rows:
        try:
            p = Peer()
            try:
                p.send(bytes_)
            except ConnectionError:
                pass
            status, fields = p.head()
            check(status == wanted, f'{status}')
            check(status != 426 or fields['sec-websocket-version'] == '13', fields)
            body = p.take(int(fields['content-length']))
            check(body.endswith(b'\n'), body)
            if status != 404: # which is no reason to leave
                p.ends()
        except Exception as e:
            raise Bad(f'{name}: {e}') from e


def origins():
    answered([
        ('a foreign page', request(fields=[('Origin', 'https://evil.example')]), 403),
        ('a page without an origin', request(fields=[('Origin', 'null')]), 403),
        ('a host within its name', request(fields=[('Origin', 'http://evil:localhost')]), 403),
    ])
    Peer().open(fields=[('Host', 'friend.example')])
    for origin in ('http://localhost', 'HTTP://LocalHost:80', 'https://localhost:3000',
                   'https://friend.example:8443'):
        Peer().open(fields=[('Origin', origin)])
    # only the broker's own pages, and those named, manage it
    ask = frame(TEXT, b'{"id":"$request","data":{"service":"admin","method":"info","request":1}}')
    for origin, may in (('http://localhost', True), ('https://friend.example:8443', True),
                        ('http://localhost:3000', False)):
        p = Peer().open('/json', fields=[('Origin', origin)]).send(ask)
        said = p.expect(TEXT)
        while b'$keepalive' in said:
            said = p.expect(TEXT)
        check((b'"version"' if may else b'denied: the broker is not managed') in said, f'{origin}: {said[:200]!r}')


def refusals():
    many = [(f'X-{i}', 'x') for i in range(120)]
    rows = [
        ('HTTP/1.0', request(version='1.0'), 400),
        ('no Host', request(without=['Host']), 400),
        ('no Connection', request(fields=[('Connection', 'keep-alive')]), 400),
        ('no key', request(without=['Sec-WebSocket-Key']), 400),
        ('a short key', request(fields=[('Sec-WebSocket-Key', base64.b64encode(b'x' * 15).decode())]), 400),
        ('a long key', request(fields=[('Sec-WebSocket-Key', base64.b64encode(b'x' * 17).decode())]), 400),
        ('no base64', request(fields=[('Sec-WebSocket-Key', '!' * 22 + '==')]), 400),
        ('version 8', request(fields=[('Sec-WebSocket-Version', '8')]), 426),
        ('no version', request(without=['Sec-WebSocket-Version']), 426),
        ('no upgrade', request('/ws', without=['Upgrade', 'Connection']), 426),
        ('another path', request('/nothing'), 404),
        ('another method', request(method='POST', fields=[('Content-Length', '0')]), 405),
        ('100 KB of headers', request(fields=[('X', 'y' * 1000)] * 100), 431),
        ('120 fields', request(fields=many), 431),
        ('a folded field', request(fields=[('X', 'a\r\n b')]), 400),
        ('no version at all', b'GET /a b c\r\n\r\n', 400),
        ('a name that was made to lead here', request(
            fields=[('Host', 'evil.example'), ('Origin', 'http://evil.example')]), 403),
        ('two lengths', request(fields=[('Content-Length', '1'), ('Content-Length', '2')]), 400),
    ]
    answered(rows)


# ---- frames

def messages():
    p = Peer().open()
    for payload in b'', b'a', b'b' * 125, b'c' * 126, b'd' * 65535, b'e' * 65536, os.urandom(3000000):
        p.send(frame(BINARY, payload)).expect(BINARY, payload)
    p.send(frame(TEXT, 'grün'.encode(), mask=b'\0\0\0\0')).expect(TEXT, 'grün'.encode())
    p.send(frame(TEXT, b'byte by byte') + frame(PING, b'?') + frame(BINARY, b'x' * 300), 1)
    p.expect(TEXT, b'byte by byte')
    check({p.frame()[::2] for _ in range(2)} == {(PONG, b'?'), (BINARY, b'x' * 300)}, 'after bytes')
    # control frames between fragments
    p.send(frame(TEXT, b'one ', fin=False) + frame(PING, b'now') + frame(CONT, b'two', fin=False))
    p.expect(PONG, b'now')
    p.send(frame(PONG, b'unasked') + frame(CONT, b'', fin=False) + frame(CONT, b'!'))
    p.expect(TEXT, b'one two!')
    # a character across fragments, and across reads
    text = 'κόσμε €𝄞'.encode()
    for i in range(1, len(text)):
        p.send(frame(TEXT, text[:i], fin=False)).send(frame(CONT, text[i:]))
        p.expect(TEXT, text)
    p.send(frame(TEXT, text, fin=False), 1)
    for byte in text:
        p.send(frame(CONT, bytes([byte]), fin=False) if byte < 0x80 else b'')
    p.send(frame(CONT, b''))
    p.expect(TEXT)
    # many in one write
    rnd = random.Random(1)
    all_ = [os.urandom(rnd.choice([0, 1, 20, 130, 5000])) for _ in range(3000)]
    p.send(b''.join(frame(BINARY, m) for m in all_))
    for m in all_:
        p.expect(BINARY, m)
    # a message in fragments of 64 bytes: many, but there is something in each
    big = os.urandom(1 << 20)
    parts = [big[i:i + 64] for i in range(0, len(big), 64)]
    p.send(b''.join(frame(BINARY if i == 0 else CONT, part, fin=i == len(parts) - 1)
                    for i, part in enumerate(parts)))
    p.expect(BINARY, big)


def violations():
    big = 16 * 1024 * 1024
    rows = [
        ('no mask', frame(TEXT, b'x', mask=b''), 1002),
        ('RSV1', frame(TEXT, b'x', rsv=4), 1002),
        ('RSV2', frame(BINARY, b'x', rsv=2), 1002),
        ('RSV3', frame(PING, b'x', rsv=1), 1002),
        ('opcode 3', frame(3, b'x'), 1002),
        ('opcode 11', frame(11, b'x'), 1002),
        ('a fragment of a ping', frame(PING, b'x', fin=False), 1002),
        ('a long ping', frame(PING, b'x' * 126), 1002),
        ('a long length of 16 bits', frame(BINARY, b'x' * 100, wide=126), 1002),
        ('a long length of 64 bits', frame(BINARY, b'x' * 1000, wide=127), 1002),
        ('the top bit of a length', frame(BINARY, b'', length=1 << 63), 1002),
        ('a continuation of nothing', frame(CONT, b'x'), 1002),
        ('a message inside of one', frame(TEXT, b'a', fin=False) + frame(TEXT, b'b'), 1002),
        ('no UTF-8', frame(TEXT, b'ab\xff'), 1007),
        ('an overlong form', frame(TEXT, b'\xc0\x80'), 1007),
        ('a surrogate', frame(TEXT, b'\xed\xa0\x80'), 1007),
        ('above U+10FFFF', frame(TEXT, b'\xf4\x90\x80\x80'), 1007),
        ('half a character', frame(TEXT, b'a\xe2\x82'), 1007),
        ('no UTF-8, before the end', frame(TEXT, b'\xff', fin=False), 1007),
        ('no UTF-8 in a second fragment', frame(TEXT, b'\xe2\x82', fin=False) + frame(CONT, b'a'), 1007),
        ('too large', frame(BINARY, b'x', length=big + 1), 1009),
        ('far too large', frame(BINARY, b'x', length=(1 << 63) - 1), 1009),
        ('too large in two', frame(BINARY, b'x', fin=False) + frame(CONT, b'x', length=big), 1009),
        ('10,000 empty fragments', frame(TEXT, b'', fin=False) + frame(CONT, b'', fin=False) * 10000, 1008),
        ('pings without end', frame(PING, b'x') * 5000, 1008),
        ('a close of one byte', frame(CLOSE, b'\x03'), 1002),
        ('a reason that is no UTF-8', frame(CLOSE, close_payload(1000, b'\xff')), 1007),
    ]
    for name, bytes_, code in rows:
        try:
            p = Peer().open()
            p.send(frame(TEXT, b'before'))
            p.expect(TEXT, b'before')
            try:
                p.send(bytes_)
            except ConnectionError:
                pass
            p.closes(code)
        except Exception as e:
            raise Bad(f'{name}: {e}') from e


def closing():
    p = Peer().open().send(frame(CLOSE))
    p.closes(None)
    for code in 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999:
        p = Peer().open().send(frame(CLOSE, close_payload(code, 'why ✓'.encode())))
        p.closes(code)
    for code in 0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535:
        try:
            Peer().open().send(frame(CLOSE, close_payload(code))).closes(1002)
        except Exception as e:
            raise Bad(f'close {code}: {e}') from e
    # data before a close comes before its answer, though nobody read meanwhile
    p = Peer().open()
    big = os.urandom(4 << 20)
    p.s.settimeout(PATIENCE)
    p.send(frame(BINARY, big) + frame(CLOSE, close_payload(1000)))
    p.expect(BINARY, big)
    p.closes(1000)
    # nothing is said to what follows a close
    p = Peer().open().send(frame(CLOSE, close_payload(1000)) + frame(TEXT, b'late') + frame(PING, b''))
    p.closes(1000)
    # a peer that goes without a word, in the middle of a frame or not
    Peer().open().s.close()
    Peer().open().send(frame(TEXT, b'half of it')[:7]).s.close()


# ---- what they carry

def rsocket_setup():
    meta, data = b'message/x.rsocket.composite-metadata.v0', b'application/octet-stream'
    return (struct.pack('>IHHHII', 0, 1 << 10, 1, 0, 60000, 60000) + bytes([len(meta)]) + meta +
            bytes([len(data)]) + data)


def route(tag):
    item = bytes([len(tag)]) + tag
    return bytes([0xfe]) + len(item).to_bytes(3, 'big') + item


def rsocket_request(stream, type_, tag, n=None, data=b''):
    meta = route(tag)
    head = struct.pack('>IH', stream, type_ << 10 | 0x100)
    return (head + (struct.pack('>I', n) if n is not None else b'') + len(meta).to_bytes(3, 'big') +
            meta + data)


def request_response(p, stream, tag, data):
    """Sends, and skips what is not the answer."""
    p.send(frame(BINARY, rsocket_request(stream, 4, tag, data=data)))
    return p.expect(BINARY)


def carries():
    for path, sub in ('/ws', None), ('/rsocket', None), ('/ws', 'rsocket'), ('/', 'foo, rsocket'):
        for step in 0, 1:
            p = Peer().open(path, fields=[('Sec-WebSocket-Protocol', sub)] if sub else [])
            p.send(frame(BINARY, rsocket_setup()), step)
            p.send(frame(BINARY, rsocket_request(1, 6, b'subscribe/ws.t', 1000)), step)
            p.send(frame(BINARY, rsocket_request(3, 4, b'admin/ping')), step)
            answer = p.expect(BINARY)
            check(answer[:4] == struct.pack('>I', 3), answer)
            for n in 0, 10, 5000, 20000, 200000:
                body = os.urandom(n)
                answer = None
                p.send(frame(BINARY, rsocket_request(5 + n * 2, 4, b'publish/ws.t', data=body)), 0)
                got = [p.expect(BINARY) for _ in range(2)]
                event, = [g for g in got if g[:4] == struct.pack('>I', 1)]
                check(event[6:] == body, f'{len(event)} bytes for {n}')
            # a message in fragments of the transport's
            whole = rsocket_request(9000001, 4, b'publish/ws.t', data=b'in pieces')
            p.send(b''.join(frame(BINARY if i == 0 else CONT, whole[i:i + 3], fin=i + 3 >= len(whole))
                            for i in range(0, len(whole), 3)))
            check(any(p.expect(BINARY).endswith(b'in pieces') for _ in range(2)), 'in pieces')
    # text is none of RSocket's, nor is a first message of no protocol
    p = Peer().open('/rsocket').send(frame(TEXT, b'hello'))
    p.closes(1003)
    p = Peer().open('/ws').send(frame(BINARY, b'hello'))
    p.closes(1003)
    p = Peer().open('/ws').send(frame(TEXT, b'hello'))
    p.closes(1003)
    # RSocket's own error is said before the close
    p = Peer().open('/rsocket').send(frame(BINARY, struct.pack('>IH', 0, 3 << 10 | 0x80) + b'\0' * 8))
    check(p.expect(BINARY)[4:6] == struct.pack('>H', 11 << 10), 'an ERROR')
    p.closes(1008)
    # and at once, where the whole first message is shorter than any frame
    for short in b'', b'abc', b'\0\0\0\0\4':
        p = Peer().open('/rsocket').send(frame(BINARY, short))
        check(b'shorter than its header' in p.expect(BINARY), short)
        p.closes(1008)
    # a frame before the handshake is done has the limit of one
    p = Peer().open('/rsocket').send(frame(BINARY, b'x', length=100000))
    p.closes(1009)


def stomp_frame(command, headers=(), body=b''):
    lines = [command] + [f'{k}:{v}' for k, v in headers]
    return '\n'.join(lines).encode() + b'\n\n' + body + b'\0'


def carries_lines():
    """JSON and STOMP: text where it is UTF-8. Host 4 has STOMP in binary."""
    for path, sub in ('/ws', None), ('/json', None), ('/ws', 'json'):
        p = Peer().open(path, fields=[('Sec-WebSocket-Protocol', sub)] if sub else [])
        p.send(frame(TEXT, b'{"id":"$subscribe",\r\n "data":{"topic":"ws.j"}}'))
        check(b'$subscribed' in p.expect(TEXT), 'subscribed')
        for n in 1, 1000, 100000:
            event = '{"id":"ws.j","data":"%s"}' % ('ü' * n)
            p.send(frame(TEXT, event.encode()))
            got = p.expect(TEXT)
            while b'$keepalive' in got:
                got = p.expect(TEXT)
            check(got.decode() == event, f'{len(got)} bytes of {len(event)}')
        p.send(frame(TEXT, b'{"id":"ws.j"'))
        check(b'$error' in p.expect(TEXT), 'a broken object')
    for host, opcode in (0, TEXT), (4, BINARY):
        for path, sub in ('/ws', None), ('/stomp', None), ('/ws', 'v12.stomp'):
            p = Peer(host).open(path, fields=[('Sec-WebSocket-Protocol', sub)] if sub else [])
            p.send(frame(TEXT, stomp_frame('CONNECT', [('accept-version', '1.2'), ('host', 'h')])))
            check(p.expect(opcode).startswith(b'CONNECTED\n'), 'connected')
            p.send(frame(TEXT, stomp_frame('SUBSCRIBE', [('id', 1), ('destination', '/topic/ws.s'),
                                                         ('receipt', 'r')])))
            check(p.expect(opcode).startswith(b'RECEIPT\n'), 'receipt')
            for body in b'', 'grün'.encode(), b'\xff\xfe', b'x' * 100000, b'\xe2\x82' + b'x' * 70000:
                headers = [('destination', '/topic/ws.s'), ('content-length', len(body))]
                whole = stomp_frame('SEND', headers, body)
                # in two messages, as clients do with large ones
                p.send(frame(BINARY, whole[:10]) + frame(BINARY, whole[10:]))
                is_text = opcode == TEXT and b'\xff' not in body and b'\xe2' not in body
                got = p.expect(TEXT if is_text else BINARY)
                check(got.startswith(b'MESSAGE\n') and got.endswith(b'\n\n' + body + b'\0'), got[:200])


def narrowed():
    """Host 1 serves RSocket and WebSocket, host 2 WebSocket alone, host 3 RSocket alone, host 5
    STOMP alone."""
    p = Peer(1).open('/ws').send(frame(BINARY, rsocket_setup()))
    p.send(frame(BINARY, rsocket_request(3, 4, b'admin/ping'))).expect(BINARY)
    p = Peer(2).open('/ws').send(frame(BINARY, rsocket_setup()))
    p.send(frame(BINARY, rsocket_request(3, 4, b'admin/ping'))).expect(BINARY)
    setup = rsocket_setup()
    p = Peer(2).send(len(setup).to_bytes(3, 'big') + setup)
    n = int.from_bytes(p.take(3), 'big')
    error = p.take(n)
    check(error[:6] == struct.pack('>IH', 0, 11 << 10) and b'not served here, but websocket' in error, error)
    p.ends()
    p = Peer(3).send(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    status, fields = p.head()
    check(status == 404, status)
    check(b'http is not served here, but rsocket' in p.take(int(fields['content-length'])), 'text')
    p = Peer(5).send(stomp_frame('CONNECT', [('accept-version', '1.2')]))
    check(b'CONNECTED' in p.take(9), 'STOMP is served')
    p = Peer(5).send(b'{"id":"$keepalive","data":null}\n')
    while not p.buf.endswith(b'}}\n'):
        p.more()
    check(b'json is not served here, but stomp' in p.buf, p.buf)
    # no such path where that were not told
    check(Peer(1).send(request('/echo')).head()[0] == 404, '/echo')


def unknown():
    p = Peer().send(b'HELO example.org\r\n')
    while not p.buf.endswith(b'\r\n'):
        p.more()
    check(b'rsocket' in p.buf and b'websocket' in p.buf, p.buf)
    p.buf = b''
    p.ends()
    p = Peer().send(b'\x16\x03\x01\x02\x00\x01')
    p.ends()


def silence():
    """A host that gives 300 ms to begin, and pings every 200 ms."""
    begun = time.monotonic()
    peers = [Peer(), Peer().send(b'GET /ws HT'), Peer().send(b'\0\0')]
    for p in peers:
        try:
            p.ends()
        except Bad as e:
            check('reset' in str(e), e)
    Peer().open('/ws').closes(1008)
    Peer().open('/ws').send(frame(TEXT, b'{', fin=False)).closes(1008)
    check(time.monotonic() - begun > 0.25, 'too early')
    # pinged, and dropped when it does not answer
    p = Peer().open()
    begun = time.monotonic()
    p.expect(PING)
    p.expect(PING)
    check(p.frame()[0] == CLOSE, 'a third ping')
    check(time.monotonic() - begun > 0.5, 'too early')
    # who answers lives
    p = Peer().open()
    for _ in range(6):
        p.send(frame(PONG, p.expect(PING)))
    p.send(frame(TEXT, b'still here')).expect(TEXT, b'still here')
    p.send(frame(CLOSE))
    p.closes(None)


def drained():
    """Says when it is ready; the broker is stopped then."""
    p = Peer().open('/rsocket').send(frame(BINARY, rsocket_setup()))
    p.send(frame(BINARY, rsocket_request(1, 6, b'subscribe/x', 10)))
    p.send(frame(BINARY, rsocket_request(3, 4, b'admin/ping'))).expect(BINARY)
    q = Peer().open()
    print('ready', flush=True)
    q.closes(1001)
    frames = []
    while True:
        opcode, _, data = p.frame()
        if opcode == CLOSE:
            break
        frames.append(data)
    check(struct.unpack('>H', data[:2])[0] == 1001, data)
    check(any(f[4] >> 2 == 11 for f in frames), 'no ERROR before the close')
    p.ends()


def deaf():
    """Subscribes, and reads nothing more until stdin ends; then it must all be in order."""
    p = Peer().open('/rsocket').send(frame(BINARY, rsocket_setup()))
    p.send(frame(BINARY, rsocket_request(1, 6, b'subscribe/deaf.#', 0x7fffffff)))
    p.send(frame(BINARY, rsocket_request(3, 4, b'admin/ping'))).expect(BINARY)
    print('ready', flush=True)
    sys.stdin.read()
    for _ in range(1000):
        data = p.expect(BINARY)
        check(data[:4] == struct.pack('>I', 1), data[:20])


def main():
    global hosts
    hosts = [(h.split(':')[0], int(h.split(':')[1])) for h in sys.argv[1].split(',')]
    for name in sys.argv[2:]:
        try:
            globals()[name]()
        except (Bad, EOFError) as e:
            sys.exit(f'{name}: {e!r}')
        print(f'{name}: well')


if __name__ == "__main__":
    main()

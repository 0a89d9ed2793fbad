#!/usr/bin/env python3
"""An HTTP server that treats webhooks badly, as the path says, and remembers all it saw.

    server.py PORT [CERTIFICATE KEY]     (0: any free one; the first line it prints is the port;
                                          with a certificate by TLS)

    /ok/NAME             200
    /hang/NAME           takes the request and never answers
    /half/NAME           answers a part of a head, then nothing
    /drip/NAME           answers a byte of a head now and then, without end
    /close/NAME          closes without an answer
    /head/NAME           a head without end
    /large/NAME          200, and a body that goes on and on
    /slowbody/NAME       200, a whole head, and a body that never ends
    /trailer/NAME        200, its body in chunks, with a trailer behind it
    /redirect/NAME       302 to /secret
    /gone/NAME           410
    /later/NAME          429 with Retry-After: 1 at first, then 200
    /laterdate/NAME      the same, with a date
    /status/CODE/NAME    that status
    /controls/NAME       400, and a body that would do things to a terminal
    /flaky/NAME          one of three fails, in some way of the above; else 200

GET /stats tells, by path: attempts, most at once, and the events taken, by their data.
"""
import email.utils
import http.server
import json
import ssl
import sys
import threading
import time

lock = threading.Lock()
seen = {}  # by path


def of(path):
    return seen.setdefault(path, {"attempts": 0, "now": 0, "most": 0, "taken": {}, "ids": {},
                                  "stamps": {}, "times": []})


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def log_message(self, *args):
        pass

    def do_GET(self):
        if self.path == "/stats":
            with lock:
                self.answer(200, json.dumps(seen).encode())
        else:
            with lock:
                of(self.path)["attempts"] += 1
            self.answer(200)

    def do_POST(self):
        data = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with lock:
            s = of(self.path)
            s["attempts"] += 1
            s["now"] += 1
            s["most"] = max(s["most"], s["now"])
            s["times"].append(time.monotonic())
            s["ids"].setdefault(data, []).append(self.headers["webhook-id"])
            s["stamps"].setdefault(data, []).append(self.headers["webhook-timestamp"])
            n = s["attempts"]
        try:
            self.treat(self.path.split("/"), n, data)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with lock:
                s["now"] -= 1

    def treat(self, parts, n, data):
        kind = parts[1]
        if kind == "flaky":
            kind = ["ok", "ok", "status500", "ok", "close", "ok", "ok", "hang", "ok"][n % 9]
        if kind == "ok":
            self.take(data)
            self.answer(200)
        elif kind in ("hang", "half", "drip"):
            self.wait(kind)
        elif kind == "close":
            self.close_connection = True
        elif kind == "head":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            for i in range(100000):
                self.wfile.write(b"X-%d: %s\r\n" % (i, b"x" * 100))
        elif kind == "large":
            self.take(data)
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            for _ in range(10000):
                self.wfile.write(b"x" * 100000)
        elif kind == "slowbody":
            self.take(data)
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
            self.until_closed()
        elif kind == "trailer":
            self.take(data)
            self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                             b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n")
        elif kind == "redirect":
            self.answer(302, b"", Location="/secret")
        elif kind == "controls":
            self.answer(400, b"a\x1b[2Jb\x7fc\xc2\x9b31md\xc2\x85e\xc3\xa4")
        elif kind == "gone":
            self.answer(410)
        elif kind in ("later", "laterdate"):
            after = "1" if kind == "later" else email.utils.formatdate(time.time() + 2, usegmt=True)
            if n == 1:
                self.answer(429, b"", Retry_After=after)
            else:
                self.take(data)
                self.answer(200)
        else:
            self.answer(int(parts[2]) if kind == "status" else 500)

    def take(self, data):
        with lock:
            taken = of(self.path)["taken"]
            taken[data] = taken.get(data, 0) + 1

    def wait(self, kind):
        self.close_connection = True
        if kind == "half":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Le")
        if kind == "drip":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while kind == "drip":
            self.wfile.write(b"x")
            time.sleep(0.02)  # what it is about: a byte now and then
        self.until_closed()

    def until_closed(self):
        self.close_connection = True
        while self.rfile.read(1):
            pass

    def answer(self, status, body=b"ok", **fields):
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024


server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*sys.argv[2:])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()

#!/bin/bash
# HTTP as curl speaks it: publishing, one message and many, calls, refusals, limits; what clients that
# dawdle come to (slowhttptest, in its three modes); requests that two readers may read in two ways.
# limit: 100 s
. "$(dirname "$0")/lib.sh"

conf='max-message = "1MiB"
limits { first-frame-timeout = "1s" http-idle = "2s" }
queue "small" { max-messages = 1 overflow = reject }'
brokerd_start
host=${BROKER_URL#tcp://}
url=http://$host

# ask STATUS CURL-ARGUMENT...: the answer's body in $TMP/body, its head in $TMP/head.
ask() {
    local wanted=$1 status
    shift
    status=$(curl -sS --max-time 20 -o "$TMP/body" -D "$TMP/head" -w '%{http_code}' "$@") ||
        fail "curl $*: $?"
    assert_eq "$status" "$wanted" "curl $*: $(cat "$TMP/body")"
}
body() { assert_eq "$(cat "$TMP/body")" "$1" body; }

echo "== a message"
background broker sub 'seen.#' -n 3 --json >"$TMP/seen"
sub=$!
subscribed() { broker info --json | grep -q '"subscriptions":1'; }
wait_until 10 subscribed
ask 202 --json '{"a":1}' -H 'Broker-Meta-Colour: red' "$url/v1/topics/seen.one"
body '{"matched":1,"accepted":1}'
ask 207 -H 'Content-Type: application/x-ndjson' --data-binary $'{"data":"two"}\n{"data":3}\nnone\n' \
    "$url/v1/topics/seen.two"
assert_grep '"lines":3,"matched":2,"accepted":2,"refused":1,"errors":\[{"line":3,"reason":"invalid"' \
    "$TMP/body"
ended_within 10 "$sub"
assert_grep '"topic":"seen.one".*red' "$TMP/seen"
assert_grep 'two' "$TMP/seen"
ask 202 -d nobody "$url/v1/topics/nobody"
body '{"matched":0,"accepted":0}'

echo "== large ones, by length and in chunks"
head -c 1000000 /dev/urandom >"$TMP/large"
for how in 'Expect: 100-continue' 'Transfer-Encoding: chunked'; do
    ask 202 -H "$how" --data-binary "@$TMP/large" "$url/v1/queues/large/messages"
done
head -c 1100000 /dev/zero >"$TMP/larger"
ask 413 --data-binary "@$TMP/larger" "$url/v1/queues/large/messages"
ask 413 -H 'Transfer-Encoding: chunked' --data-binary "@$TMP/larger" "$url/v1/queues/large/messages"

echo "== refusals"
ask 202 -d 1 "$url/v1/queues/small/messages"
ask 429 -d 2 "$url/v1/queues/small/messages"
assert_grep '{"error":{"reason":"full","text":"full: ' "$TMP/body"
assert_grep '^Retry-After: 1' "$TMP/head"
ask 429 -H 'Content-Type: application/x-ndjson' --data-binary $'{"data":1}\nno\n' "$url/v1/queues/small/messages"
assert_grep '^Retry-After: 1' "$TMP/head"
assert_grep '"accepted":0,"refused":2,"errors":\[.*{"line":1,"reason":"full"' "$TMP/body" # as they settled
ask 404 -d x -H 'Broker-Require: 1' "$url/v1/topics/nobody"
ask 400 -d x "$url/v1/topics/a..b"
ask 403 -d x "$url/v1/topics/\$SYS.x"
ask 403 -d x -H 'Origin: http://elsewhere.example' "$url/v1/topics/a"
ask 403 -d x -H 'Host: elsewhere.example' "$url/v1/topics/a"
ask 404 "$url/v1/nothing"
ask 405 "$url/v1/topics/a"
assert_grep '^Allow: POST' "$TMP/head"

echo "== calls"
background broker serve echo -- tr a-z A-Z
serves() { broker info --json | grep -q echo; }
wait_until 10 serves
ask 200 -d shout "$url/v1/services/echo/x"
body SHOUT
ask 503 -d x "$url/v1/services/nobody/x"

echo "== one connection for all"
curl -sS -d x -o "$TMP/#1" -w '%{num_connects} %{http_code}\n' "$url/v1/topics/kept?[1-20]" >"$TMP/many"
assert_eq "$(sort "$TMP/many" | uniq -c | tr -s ' \n' ' ')" " 19 0 202 1 1 202 " connections

echo "== requests in a row, cut anywhere"
one='POST /v1/topics/row HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc'
python3 - "${host%:*}" "${host##*:}" "$one" >"$TMP/row" <<'PY'
import random, socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
said = sys.argv[3].encode().decode('unicode_escape').encode() * 1000
rnd, at = random.Random(1), 0
while at < len(said):
    n = rnd.choice([1, 50, 92, 3000, 60000])
    s.sendall(said[at:at + n])
    at += n
heard = b''
while heard.count(b'HTTP/1.1 202') < 1000 or not heard.endswith(b'}\n'):
    more = s.recv(65536)
    if not more:
        break
    heard += more
print(heard.count(b'HTTP/1.1 202 Accepted\r\n'), heard.count(b'{"matched":0,"accepted":0}\n'))
PY
assert_eq "$(cat "$TMP/row")" "1000 1000" "answers"

echo "== a WebSocket after a message, on one connection: who published has gone"
background broker sub "\$SYS.disconnected" --json >"$TMP/gone"
gone=$!
wait_until 10 subscribed
port=$(
    python3 - "${host%:*}" "${host##*:}" <<'PY'
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
s.sendall(b'POST /v1/topics/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx'
          b'GET /json HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
          b'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n')
heard = b''
while b'HTTP/1.1 101' not in heard or not heard.endswith(b'\r\n\r\n'):
    more = s.recv(65536)
    assert more, heard
    heard += more
print(s.getsockname()[1])
PY
)
wait_until 10 grep -q "$port" "$TMP/gone"
kill "$gone"

echo "== who dawdles"
for mode in '-H -i 1 -x 10' '-B -i 1 -s 8192 -x 5 -u TARGET' '-X -k 10 -w 10 -y 20 -n 1 -z 5'; do
    target=$url/app.js
    [[ $mode != *TARGET* ]] || target=$url/v1/topics/slow
    # shellcheck disable=SC2086 # words
    slowhttptest ${mode/-u TARGET/} -c 40 -r 100 -l 6 -p 2 -u "$target" >"$TMP/slow" 2>&1 ||
        fail "slowhttptest $mode: $(tail -n 20 "$TMP/slow")"
    assert_grep 'service available:.*YES' "$TMP/slow"
    ask 202 -d x "$url/v1/topics/a"
done
alone() { [ "$(broker info --json | sed -E 's/.*"connections":([0-9]+),"totals".*/\1/')" -le 3 ]; }
wait_until 20 alone

echo "== the end"
background curl -sS --max-time 20 -N "$url/v1/topics/end/events"
ask 202 -d x "$url/v1/topics/a"
brokerd_stop

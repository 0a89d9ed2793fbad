#!/bin/bash
# limit: 90 s
# Who may manage: what `manage` of a listener says holds on every door; how the broker is, anybody
# may ask.
. "$(dirname "$0")/lib.sh"

{
    printf 'workers = 2\nplacement = %s\n' "$PLACEMENT"
    printf 'listen "tcp://127.0.0.1:0" {}\n'
    printf 'listen "tcp://127.0.0.2:0" { manage = false }\n'
    printf 'listen "unix://%s/sock" {}\n' "$TMP"
    printf 'listen "tcp://0.0.0.0:0" { insecure = true }\n'
    printf 'listen "tcp://0.0.0.0:00" { insecure = true manage = yes }\n' # another title
} >"$TMP/brokerd.conf"
brokerd -c "$TMP/brokerd.conf" 2>>"$brokerd_log" &
brokerd_pid=$!
started+=("$brokerd_pid")
wait_until 10 brokerd_ready_or_ended
brokerd_ready || fail "brokerd ended before it was ready"
urls=$(sed -nE 's/.*ready on //p' "$brokerd_log" | tr -d ' ' | sed 's/0\.0\.0\.0/127.0.0.1/g')
IFS=, read -r open closed _ any granted <<<"$urls"

echo "== RSocket: allowed on this host's own listeners, not on others, unless it says so"
for url in "$open" "unix://$TMP/sock" "$granted"; do
    BROKER_URL=$url broker queue add "q.${#url}"
    BROKER_URL=$url broker info >/dev/null
done
for url in "$closed" "$any"; do
    assert_eq "$(BROKER_URL=$url status_of broker queue ls)" 4 "queue ls by $url"
    BROKER_URL=$url broker why a 2>"$TMP/err" && fail "why was answered by $url"
    assert_grep 'denied: .*the listener.s .manage. and .origins. may' "$TMP/err"
    BROKER_URL=$url broker ping -n 1 >/dev/null # a barrier
    echo x | BROKER_URL=$url broker pub a       # and the rest of it
done

# say URL: what is on the input goes there; what comes back, at most for 10 s or until PATTERN.
say() { # URL PATTERN [GREP OPTION]
    local at=${1#tcp://}
    exec 8<>"/dev/tcp/${at%:*}/${at##*:}"
    cat >&8
    timeout $((10 * SLOW)) grep -a -m 1 -oE ${3:+"$3"} -- "$2" <&8 || fail "$1 never said $2"
    exec 8>&-
}

echo "== JSON"
# shellcheck disable=SC2016 # $request is JSON's
ask='{"id":"$request","data":{"service":"admin","method":"METHOD","request":1,"data":{}}}'
json() { # URL METHOD PATTERN
    echo "${ask/METHOD/$2}" | say "$1" "$3" >/dev/null
}
json "$open" queue-ls '"queues":\['
json "$closed" queue-ls '"reason":"denied"'
json "$any" info '"reason":"denied"'
json "$granted" info '"version"'

echo "== STOMP"
stomp() { # URL PATTERN
    printf 'CONNECT\naccept-version:1.2\nhost:h\n\n\0SEND\ndestination:/service/admin/queue-ls\nreply-to:/temp-queue/a\n\n\0' |
        say "$1" "$2" -z >/dev/null # frames end with a zero
}
stomp "$open" '"queues":\['
stomp "$closed" 'broker-error:denied'

echo "== WebSocket, which carries them"
ws() { # URL PATTERN
    python3 - "${1#tcp://}" "${ask/METHOD/queue-ls}" <<'P' | grep -qE -- "$2" || fail "$1 by WebSocket: no $2"
import os, socket, sys
host, port = sys.argv[1].split(':')
text = sys.argv[2].encode()
s = socket.create_connection((host, int(port)), 20)
s.sendall(f'GET /json HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
          'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n'.encode())
got = b''
while b'\r\n\r\n' not in got:
    got += s.recv(4096)
mask = os.urandom(4)
s.sendall(bytes((0x81, 0x80 | len(text))) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(text)))
while b'"request":1' not in got:
    more = s.recv(4096)
    if not more:
        break
    got += more
print(got.decode(errors='replace'))
P
}
ws "$open" '"queues":\['
ws "$closed" '"reason":"denied"'

echo "== it is counted, and in the log"
BROKER_URL=$open broker info --json >"$TMP/info"
assert_grep '"calls":\{.*"denied":[1-9]' "$TMP/info"
assert_grep 'event=call_failed reason=denied .*service=admin' "$brokerd_log"
brokerd_stop

echo "== from the command line: connections, consumers, kill, config, reload, drain"
conf='queue "work" { max-messages = 5 }'
brokerd_start
background broker sub --queue work --ack manual --credit 1 -n 99 --name idle >/dev/null 2>"$TMP/idle"
idle=$!
wait_until 10 grep -q subscribed "$TMP/idle"
kill -STOP "$idle"
seq 3 | broker pub work --lines
broker connections >"$TMP/out"
assert_grep '^n[0-9-]+[0-9a-f]* +127.* idle +rsocket +open' "$TMP/out"
id=$(broker connections --json | grep -oE '"id":"n[^"]*"[^}]*"client":"idle"' | cut -d'"' -f4)
broker connections "$id" >"$TMP/out"
assert_grep '^client +idle' "$TMP/out"
assert_grep '^k.* work +idle +manual' "$TMP/out"
stalled() { broker consumers work | grep -E '^k.* work +idle +manual +0 +1 +.*, credit'; }
wait_until 10 stalled
assert_eq "$(broker consumers nothing | wc -l)" 1 "consumers of a queue that is not there"
assert_eq "$(status_of broker connections n0-fffffff)" 1 "a connection that is not there"
broker kill "$id"
assert_eq "$(status_of broker kill "$id")" 1 "one that is closed already"
gone() { ! broker connections --json | grep -q "\"$id\""; }
wait_until 10 gone
broker config >"$TMP/out"
assert_grep '^workers +2  \*' "$TMP/out"
assert_grep '^limits max-streams +10000$' "$TMP/out"
assert_grep '^queue "work"' "$TMP/out"
assert_grep '^  max-messages +5$' "$TMP/out"
{
    echo "workers = 3"
    echo "placement = $PLACEMENT"
    echo 'queue "work" { max-messages = 6 }'
} >"$TMP/brokerd.conf"
broker config >"$TMP/out"
assert_grep '^workers = 3 \(takes a restart; it is 2\)' "$TMP/out"
assert_grep '^queue "work" max-messages = 6 \(was 5\)' "$TMP/out"
broker reload >"$TMP/out"
assert_grep '^queue "work" max-messages = 6 \(was 5\)' "$TMP/out"
assert_eq "$(broker reload)" "workers = 3 (takes a restart; it is 2)" "a second reload"
assert_grep 'queue "work" max-messages = 6' "$brokerd_log"
echo 'webhook "later" { topic = x url = "https://later.example" secret = "" }' >>"$TMP/brokerd.conf"
assert_grep '^webhook "later" = \{\.\.\} \(was nothing\)' <(broker config)
sed -i '$d' "$TMP/brokerd.conf"
broker config --json >"$TMP/out"
assert_grep '"key":"workers","value":"2"' "$TMP/out"
echo 'queue "other" { overflow = perhaps }' >>"$TMP/brokerd.conf"
assert_eq "$(status_of broker reload)" 1 "a reload of what is wrong"
broker reload 2>"$TMP/err" || true
assert_grep 'brokerd.conf:4: overflow: expected' "$TMP/err"
broker config >"$TMP/out"
assert_grep 'brokerd.conf:4: overflow: expected' "$TMP/out"

echo "== the same by curl"
http=http://${BROKER_URL#tcp://}
curl -sS -m 20 "$http/v1/info" | grep -qE '"busy":[0-9.e-]{1,9},' || fail "a share with all its digits"
answers() { # STATUS CURL-ARGUMENTS: the answer is in $TMP/out
    local wanted=$1
    shift
    assert_eq "$(curl -sS -m 20 -o "$TMP/out" -w '%{http_code}' "$@")" "$wanted" "$*"
}
answers 200 "$http/v1/queues/work"
assert_grep '"max-messages":"5"|"max-messages":"6"' "$TMP/out"
answers 400 -X POST "$http/v1/reload"
assert_grep '"reason":"invalid"' "$TMP/out"
answers 201 -X PUT "$http/v1/queues/a%2Fb%3Ac" -d '{"bind":["x.#"]}'
answers 200 "$http/v1/queues?filter=a/b:c&limit=1"
assert_grep '"name":"a/b:c"' "$TMP/out"
answers 400 "$http/v1/queues?limit=1&limits=2"
answers 400 -X PUT "$http/v1/queues/z" -d '{"bind":'
answers 405 -X DELETE "$http/v1/queues"
answers 404 "$http/v1/nothing"
answers 403 -X DELETE -H 'Origin: http://evil.example' "$http/v1/queues/work"
answers 403 -X DELETE -H 'Origin: http://127.0.0.1:1' "$http/v1/queues/work" # of another port
assert_grep 'denied: a page of another origin does not manage' "$TMP/out"
answers 403 -X POST -H 'Origin: http://127.0.0.1:1' "$http/v1/services/admin/drain" -d '{}'
answers 202 -X POST -H 'Origin: http://127.0.0.1:1' "$http/v1/topics/work" -d 'it may publish'
answers 200 -H 'Origin: http://127.0.0.1:1' "$http/v1/queues/work" # which it cannot read
answers 201 -X PUT -H "Origin: $http" "$http/v1/queues/own"
answers 403 -H 'Host: evil.example' "$http/v1/info" # a name that leads here
answers 200 "$http/livez"
curl -sS -m 20 "$http/v1/queues/work" "$http/v1/info" "$http/v1/nothing" "$http/v1/config" >"$TMP/out"
assert_grep '"settings":\[' "$TMP/out"
broker drain
ended_within 20 "$brokerd_pid"
assert_eq "$status" 0 "a drain's exit status"
assert_grep 'drain: asked for by an admin call' "$brokerd_log"

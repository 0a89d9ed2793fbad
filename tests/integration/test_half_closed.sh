#!/bin/bash
# Clients that end their direction before they have their answers, as `nc -N` does: each protocol
# answers what is under way, and then ends; but who would go on for ever is let go at once.
# shellcheck disable=SC2016 # what begins with $ is JSON's
. "$(dirname "$0")/lib.sh"

brokerd_start
host=${BROKER_URL#tcp://}

# say SECONDS: standard input, and its end; what comes until the other end is $TMP/heard. It must
# come within that.
say() {
    timeout "$(($1 * SLOW))" nc -N "${host%:*}" "${host##*:}" >"$TMP/heard" || fail "no end after $1 s"
}
heard() { assert_eq "$(cat "$TMP/heard")" "$1" "what came"; }
request() { # PATH BODY
    printf 'POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s' "$1" "${#2}" "$2"
}
answers() { assert_eq "$({ grep -ao "HTTP/1.1 $2" "$TMP/heard" || true; } | wc -l)" "$1" "answers $2"; }

# A server that takes longer than the end of its caller's direction takes to come, one that never
# answers, and a queue.
background broker serve slow -- sh -c 'sleep 0.3; tr a-z A-Z'
background broker serve never -- sh -c 'sleep 15' # ends by itself
served() { broker info --json | grep -q '"name":"never"' && broker info --json | grep -q '"name":"slow"'; }
wait_until 10 served
broker queue add jobs >/dev/null

echo "== HTTP"
request /v1/topics/jobs one | say 10
answers 1 202
{ request /v1/services/slow/x hello && request /v1/topics/jobs two; } | say 10
answers 1 200
answers 1 202
assert_grep HELLO "$TMP/heard"
for i in $(seq 1000); do request /v1/topics/jobs "$i"; done | say 20
answers 1000 202
{ request /v1/services/slow/x hello && printf 'POST /v1/top'; } | say 10
assert_grep HELLO "$TMP/heard"
request '/v1/queues/empty/messages:receive?wait=60s' '' | say 10
assert_grep '{"messages":\[\]}' "$TMP/heard"
request '/v1/queues/jobs/messages:receive?max=1&wait=60s' '' | say 10
assert_grep '"data":"one"' "$TMP/heard"
printf 'GET /v1/topics/%%23/events HTTP/1.1\r\nHost: localhost\r\n\r\n' | say 10
request /v1/services/never/x hello | say 10
answers 0 ''
: | say 10
heard ''

echo "== JSON"
printf '%s\n' '{"id":"$publish","data":{"queue":"jobs","data":1,"confirm":7}}' \
    '{"id":"$request","data":{"service":"slow","method":"x","data":"hello","request":9}}' | say 10
assert_grep '"confirm":7,"matched":1,"accepted":1' "$TMP/heard"
assert_grep '"request":9.*HELLO' "$TMP/heard"
seq -f '{"id":"$publish","data":{"queue":"jobs","data":1,"confirm":%.0f}}' 20000 | say 20
assert_eq "$(grep -c confirmed "$TMP/heard")" 20000 confirmed
printf '%s\n' '{"id":"$request","data":{"service":"never","method":"x","data":1,"request":9}}' | say 10
printf '%s\n' '{"id":"$subscribe","data":{"filter":"#"}}' | say 10

echo "== STOMP"
connect() { printf 'CONNECT\naccept-version:1.2\nhost:x\n\n\0'; }
{
    connect
    for i in $(seq 3000); do printf 'SEND\ndestination:/queue/jobs\nreceipt:%d\n\nx\0' "$i"; done
} | say 20
assert_eq "$(grep -ac '^receipt-id:' "$TMP/heard")" 3000 receipts
{ connect && printf 'SUBSCRIBE\nid:1\ndestination:/topic/x\n\n\0'; } | say 10

brokerd_stop

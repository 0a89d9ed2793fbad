#!/bin/bash
# limit: 90 s
# What people ask of a running broker: queues from the command line, why, events, and the numbers.
. "$(dirname "$0")/lib.sh"

conf='queue "tight.#" { max-messages = 3 overflow = block block-timeout = "60s" }'
brokerd_start

echo "== queues: add, info, peek, move, purge, rm"
broker queue add work --bind 'w.#' --set max-messages=10 --json >"$TMP/add"
assert_grep '"made":true' "$TMP/add"
seq 1 5 | broker pub w.x --lines
broker queue info work --json >"$TMP/info"
assert_grep '"depth":5,' "$TMP/info"
assert_grep '"max-messages":"10"' "$TMP/info"
broker queue peek work -n 2 --json >"$TMP/peek"
assert_grep '"data":"1".*"data":"2"' "$TMP/peek"
assert_eq "$(status_of broker queue move work other)" 1 "moving into a queue that is not there"
broker queue add other
assert_eq "$(broker queue move work other -n 3)" "3 messages moved" "move"
assert_eq "$(broker queue purge work)" "2 messages dropped" "purge"
assert_eq "$(status_of broker queue rm other --if-empty)" 1 "rm --if-empty of a queue with messages"
assert_eq "$(broker queue rm other)" "deleted, with 3 messages" "rm"
assert_eq "$(status_of broker queue info other)" 1 "a queue that is gone"
broker queue ls >"$TMP/ls"
assert_eq "$(awk '{ print $1 }' "$TMP/ls" | xargs)" "queue work" "queue ls"

echo "== why: the publisher, the queue, the consumer"
background broker sub --queue tight --ack manual --credit 1 -n 100 >/dev/null 2>"$TMP/sub.err"
sub=$!
wait_until 10 grep -q subscribed "$TMP/sub.err"
kill -STOP "$sub"
seq 1 200000 >"$TMP/many"
background broker pub tight --lines --file "$TMP/many" 2>/dev/null
held() {
    broker queue info tight --json | grep -qE '"held":[1-9]'
}
wait_until 10 held
broker why tight --json >"$TMP/why"
assert_grep '"kind":"queue"' "$TMP/why"
assert_grep 'queue \\"tight\\" is full: 3 of 3 messages, overflow block' "$TMP/why"
assert_grep 'waits for consumer' "$TMP/why"
assert_grep '"kind":"publisher"' "$TMP/why"
kill -CONT "$sub"

echo "== events"
background broker events "\$SYS.queue_made" -n 1 --json >"$TMP/events" 2>"$TMP/events.err"
events=$!
wait_until 10 grep -q subscribed "$TMP/events.err"
broker queue add fresh
ended_within 10 "$events"
assert_grep '"event":"queue_made".*"queue":"fresh"' "$TMP/events"

echo "== numbers"
host=${BROKER_URL#tcp://}
printf '{"id":"a..b","data":1}\n' | nc -N "${host%:*}" "${host##*:}" >"$TMP/nc" # by JSON: not checked before
assert_grep '"reason":"invalid"' "$TMP/nc"
broker info >"$TMP/info"
assert_grep '^refused .*invalid [1-9]' "$TMP/info"
assert_grep '^disconnects .*peer [0-9]' "$TMP/info"
assert_grep '^protocols .*errors [0-9]' "$TMP/info"
broker info --json >"$TMP/info"
assert_grep '"version":"[0-9.]+"' "$TMP/info"
assert_grep '"disconnects":\{.*"(peer|asked)":[1-9]' "$TMP/info"
assert_grep '"purged":2' "$TMP/info"
broker top -n 1 --json >"$TMP/top"
assert_grep '"name":"tight"' "$TMP/top"
broker route w.y >"$TMP/route"
assert_grep '^work +w\.#' "$TMP/route"

brokerd_stop

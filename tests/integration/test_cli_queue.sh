#!/bin/bash
# limit: 90 s
# A work queue from the command line: into it, shared, acknowledged when written, and what a killed
# consumer had comes again to others.
. "$(dirname "$0")/lib.sh"

brokerd_start

echo "== into a queue that nobody consumes yet, and out of it in parts"
seq 1 10 | broker pub --queue jobs --lines
broker sub --queue jobs -n 3 --raw >"$TMP/a"
broker sub --queue jobs --ack manual -n 4 --raw >"$TMP/b"
broker sub --queue jobs --ack auto -n 3 --raw >"$TMP/c"
cat "$TMP/a" "$TMP/b" "$TMP/c" >"$TMP/all"
seq 1 10 >"$TMP/wanted"
assert_same "$TMP/all" "$TMP/wanted"
assert_eq "$(status_of broker sub --queue jobs --timeout 100ms)" 5 "an empty queue"

echo "== bound to a filter"
background broker sub --queue orders 'orders.*' -n 2 >"$TMP/a" 2>"$TMP/a.err"
sub=$!
wait_until 10 grep -q subscribed "$TMP/a.err"
broker pub orders.one 1
broker pub other.one 2
broker pub orders.two 3
ended_within 10 "$sub"
printf 'orders.one  1\norders.two  3\n' >"$TMP/wanted"
assert_same "$TMP/a" "$TMP/wanted"

echo "== four consumers, one killed: every message is written by someone"
consumers=()
for i in 1 2 3 4; do
    background broker sub --queue work --ack manual --json --credit 100 >"$TMP/work.$i" 2>"$TMP/work.$i.err"
    consumers+=($!)
    wait_until 10 grep -q subscribed "$TMP/work.$i.err"
done
seq 1 20000 | broker pub --queue work --lines --rate 20000 &
pub=$!
started+=("$pub")
wait_until 10 test -s "$TMP/work.2"
kill -KILL "${consumers[1]}"
ended_within 30 "$pub"
assert_eq "$status" 0 "pub's exit status"

numbers() {
    # the killed one may have left half a line
    sed -nE 's/.*"data":"([0-9]+)".*"attempt":[0-9]+\}$/\1/p' "$TMP"/work.? | sort -nu >"$TMP/seen"
}
all_seen() {
    numbers
    [ "$(wc -l <"$TMP/seen")" -eq 20000 ]
}
wait_until 20 all_seen
seq 1 20000 >"$TMP/wanted"
assert_same "$TMP/seen" "$TMP/wanted"
kill -INT "${consumers[0]}" "${consumers[2]}" "${consumers[3]}"
for i in 0 2 3; do
    ended_within 10 "${consumers[$i]}"
    assert_eq "$status" 0 "consumer $i"
done
# what was written was acknowledged: nothing is left
assert_eq "$(status_of broker sub --queue work --timeout 200ms)" 5 "the queue is empty"

brokerd_stop

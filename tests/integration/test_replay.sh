#!/bin/bash
# A durable subscription that has consumed 1,000 comes again with `from`: the first that is retained, a time, a
# number, the last; and the same after a restart and after kill -9. Without retention nothing is had again.
# limit: 120 s
. "$(dirname "$0")/lib.sh"

conf="store \"journal\" { path = \"$TMP/journal\" segment = 64KiB }
queue \"kept\" { durable = journal retain = 1h }
queue \"short\" { durable = journal retain = 200ms }
queue \"none\" { durable = journal }"

numbers() { # FROM TO: lines of $TMP/got
    assert_same <(seq "$1" "$2") "$TMP/got"
}

take() { # QUEUE N [FROM]
    broker sub --queue "$1" -n "$2" --raw ${3:+--set "from=$3"} >"$TMP/got"
}

depth_is() { # QUEUE N
    [ "$(broker queue info "$1" --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["depth"])')" = "$2" ]
}

again() { # from everywhere
    take kept 1000 first
    numbers 1 1000
    take kept 400 601
    numbers 601 1000
    take kept 1 last
    numbers 1000 1000
    take kept 500 "$middle"
    numbers 501 1000
    take kept 1000 2000-01-01T00:00:00Z
    numbers 1 1000
    wait_until 10 depth_is kept 0
}

brokerd_start
for queue in kept short none; do
    broker queue add $queue --bind 'events.#' -q
done
seq 1 500 | broker pub events.one --lines
sleep 0.02 # their times differ
middle=$(date -u +%Y-%m-%dT%H:%M:%S.%3NZ)
seq 501 1000 | broker pub events.one --lines
for queue in kept short none; do
    take $queue 1000
    numbers 1 1000
    wait_until 10 depth_is $queue 0
done
again
brokerd_stop
broker store check "$TMP/journal" >"$TMP/out"
assert_grep '^messages +0, ' "$TMP/out"
assert_grep '^retained +[12],000, settled messages' "$TMP/out"
assert_grep '^sound$' "$TMP/out"
broker store stats "$TMP/journal" >"$TMP/out"
assert_grep '^kept +0 .* 1000 .* 1001 +1001$' "$TMP/out"
assert_eq "$(broker store export -q "$TMP/journal" --queue kept | wc -l)" 3 "lines of an export"
broker store export -q "$TMP/journal" --queue kept --retained >"$TMP/all"
assert_eq "$(grep -c '"settled_ms":' "$TMP/all")" 1000 "retained messages of an export"
broker store import -q --into "$TMP/copy" "$TMP/all"
broker store export -q "$TMP/copy" --retained | tail -n +2 >"$TMP/out"
assert_same <(tail -n +2 "$TMP/all") "$TMP/out"

echo "== after a restart"
brokerd_start
again

echo "== what was answered is there after kill -9"
broker sub --queue kept -n 1 --ack manual --raw --set from=701 >"$TMP/got"
numbers 701 701
kill -KILL "$brokerd_pid"
wait "$brokerd_pid" 2>/dev/null || true
brokerd_start
depth=$(broker queue info kept --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["depth"])')
case $depth in 299 | 300) ;; *) fail "$depth of 300 messages wait after kill -9" ;; esac
take kept 300 701
numbers 701 1000
again

echo "== no longer than it is retained, and not at all"
for queue in short none; do
    broker pub --queue $queue new
    broker sub --queue $queue -n 1 --raw --set from=first >"$TMP/got"
    assert_eq "$(cat "$TMP/got")" new "first of queue $queue"
done

echo "== a purge forgets the past"
broker queue purge kept -q
broker pub --queue kept new
broker sub --queue kept -n 1 --raw --set from=first >"$TMP/got"
assert_eq "$(cat "$TMP/got")" new "first after a purge"

echo "== only without others"
broker sub --queue kept --raw >/dev/null 2>"$TMP/err" &
other=$!
has_consumer() { broker queue info kept --json | grep -q '"consumers": *1'; }
wait_until 10 has_consumer
status_of broker sub --queue kept -n 1 --set from=first 2>"$TMP/err" >/dev/null
broker sub --queue kept -n 1 --set from=first 2>"$TMP/err" || true
assert_grep 'only "new" is possible while others have messages' "$TMP/err"
kill "$other"
wait "$other" 2>/dev/null || true
brokerd_stop

#!/bin/bash
# A client of libbroker survives its broker, twice, and knows what it has missed.
# limit: 120 s
. "$(dirname "$0")/lib.sh"

san=
count=300000
case $SANITIZE in
address) san=-fsanitize=address,undefined count=100000 ;;
thread) san=-fsanitize=thread count=50000 ;;
esac
# shellcheck disable=SC2086 # flags are words
cc -std=gnu11 -g -Wall -Wextra -Werror $san -Ilibbroker/include tests/integration/client/reconnect.c \
    "$OUT/libbroker.a" -pthread -o "$TMP/reconnect"

kill_and_start_again() {
    kill -KILL "$brokerd_pid"
    wait "$brokerd_pid" || true
    : >"$brokerd_log"
    brokerd -c "$TMP/brokerd.conf" -l "$BROKER_URL" 2>>"$brokerd_log" &
    brokerd_pid=$!
    started+=("$brokerd_pid")
    wait_until 10 brokerd_ready_or_ended
    brokerd_ready || fail "brokerd did not start again on its port"
}

brokerd_start
mkfifo "$TMP/go"
background "$TMP/reconnect" "$count" "$TMP/go" >"$TMP/said"
client=$!
wait_until 60 grep -q half "$TMP/said"
kill_and_start_again
kill_and_start_again
echo go >"$TMP/go"
ended_within 60 "$client"
cat "$TMP/said"
assert_eq "$status" 0 "exit status of the client"
assert_grep ' settled '$((count + 1))' .* unknown 0' "$TMP/said"
brokerd_stop

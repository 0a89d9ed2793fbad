#!/bin/bash
# brokerd starts, answers, stops; and says what is wrong with what it was told.
. "$(dirname "$0")/lib.sh"

brokerd_start
assert_grep '^tcp://127\.0\.0\.1:[0-9]+$' <(echo "$BROKER_URL")
broker ping
kill -0 "$brokerd_pid"
brokerd_stop

# SIGINT stops as well, and the address can be taken again at once.
brokerd_start
kill -INT "$brokerd_pid"
ended_within 20 "$brokerd_pid"
assert_eq "$status" 0 "exit status after SIGINT"

assert_eq "$(status_of broker ping -s "$BROKER_URL")" 3 "broker ping of a stopped brokerd"
assert_eq "$(status_of brokerd -V)" 0 "brokerd -V"
assert_eq "$(status_of brokerd -h)" 0 "brokerd -h"
assert_eq "$(status_of brokerd --no-such-option)" 64 "an unknown option"
assert_eq "$(status_of brokerd -c /dev/null -l nonsense)" 64 "a listener that is none"

echo 'wokers = 2' >"$TMP/typo.conf"
assert_eq "$(status_of brokerd -t -c "$TMP/typo.conf")" 78 "brokerd -t with a typo"
brokerd -t -c "$TMP/typo.conf" 2>"$TMP/said" || true
assert_grep 'typo\.conf:1: .*wokers' "$TMP/said"

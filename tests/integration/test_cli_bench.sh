#!/bin/bash
# limit: 90 s
# `broker bench` counts right: eight to eight, each publisher's order kept; a slow one harms nobody.
. "$(dirname "$0")/lib.sh"

# of KEY FILE: a member of a JSON object, however deep, by its path with dots.
of() {
    python3 -c 'import json, sys
v = json.load(open(sys.argv[2]))
for k in sys.argv[1].split("."): v = v[k]
print(v)' "$1" "$2"
}

brokerd_start

broker bench pubsub -P 8 -S 8 -n 5000 --topics 3 --json -q >"$TMP/out"
assert_eq "$(of published.messages "$TMP/out")" 40000 published
assert_eq "$(of received.messages "$TMP/out")" 320000 received
assert_eq "$(of out_of_order "$TMP/out")" 0 "out of order"
assert_eq "$(of lost "$TMP/out")" 0 lost
[ "$(of latency_ns.count "$TMP/out")" -gt 0 ] || fail "no latency was measured"

broker bench pubsub -S 3 --slow -n 200000 --json -q >"$TMP/out"
assert_eq "$(of received.messages "$TMP/out")" 600000 "received by the healthy"
assert_eq "$(of lost "$TMP/out")" 0 "lost by the healthy"

broker bench request -n 2000 -w 16 --json -q >"$TMP/out"
assert_eq "$(of answered.messages "$TMP/out")" 2000 answered

broker bench request echo/x -P 2 -S 2 -n 2000 -w 16 --json -q >"$TMP/out"
assert_eq "$(of answered.messages "$TMP/out")" 4000 "answered by servers"
assert_eq "$(of latency_ns.count "$TMP/out")" 4000 "latencies"
assert_eq "$(status_of broker bench request nobody/x -n 10)" 1 "nobody serves"

broker bench pub -n 20000 --size 0 --json -q >"$TMP/out"
assert_eq "$(of published.messages "$TMP/out")" 20000 published
broker bench pub -n 1000 >"$TMP/out" 2>/dev/null
assert_grep '^published +1,000 in .* msgs/s' "$TMP/out"

brokerd_stop

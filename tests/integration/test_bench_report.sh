#!/bin/bash
# The report of `make bench-peers`, of runs made up: medians, ratios, and a verdict that can fail.
. "$(dirname "$0")/lib.sh"

# run ROW PEER ROUND PER_SECOND BROKER_NS [LOST] [OTHERS]: one line as the generator prints it.
run() {
    echo "{\"row\":\"$1\",\"peer\":\"$2\",\"round\":$3,\"per_second\":$4,\"broker_ns\":$5," \
        "\"lost\":${6:-0},\"others_cores\":${7:-0.1},\"peak_kib\":2048,\"own_ns\":5,\"window\":1000}"
}

# report STATUS: of the lines in $TMP/runs; it must end so. Its text in $TMP/said.
report() {
    status=0
    tests/bench/load/report.py "$TMP/runs" "$TMP/report" >"$TMP/said" || status=$?
    assert_eq "$status" "$1" "the report's exit status"
}

good() {
    echo '{"about":{"cores":2,"cpu":"-","kernel":"-","date":"-","rounds":3,"seconds":1,"versions":"-"}}'
    for round in 1 2 3; do
        run W1-16 nats "$round" "${round}000000" 300
        run W1-16 framed "$round" 60000000 12
        run W1-16 brokerd "$round" 8000000 15
    done
}

good >"$TMP/runs"
report 0
assert_grep '^met +W1-16 +messages/s +at least 4 of nats \(2.00 M\) +8.00 M, 4.00' "$TMP/said"
assert_grep '^3 targets met, 0 missed' "$TMP/said"
assert_grep '^\| nats \| 2.00 M \(1.00 M – 3.00 M\) \| 1.00 \| 300 ns .* \| 25.0 \|' \
    "$TMP/report/performance-peers.md"
assert_grep '125 µs' "$TMP/report/performance-peers.md" # 1,000 on their way at 8 M/s

# Slower in two rounds of three, dearer in one.
{ good | grep -v '"brokerd","round":[23]'; run W1-16 brokerd 2 7900000 14; run W1-16 brokerd 3 7900000 31; } \
    >"$TMP/runs"
report 1
assert_grep '^MISSED +W1-16 +messages/s .* 1.2 % short' "$TMP/said"
assert_grep '^met +W1-16 +CPU per message +at most 30 ns +15 ns' "$TMP/said"

# Disturbed runs are left out where two others are there, and only there.
{ good; for round in 4 5 6 7; do run W1-16 brokerd $round 1000 99999 0 1.5; done; } >"$TMP/runs"
report 0
{ good | grep -v '"brokerd","round":[23]'; run W1-16 brokerd 4 1000 99999 0 1.5; } >"$TMP/runs"
report 1

# One message lost; a run that failed.
{ good; run W1-16 brokerd 4 8000000 15 1; } >"$TMP/runs"
report 1
assert_grep '^MISSED +all +lost +none +W1-16 brokerd: 1' "$TMP/said"
{ good | grep -v '"brokerd"'; echo '{"row":"W1-16","peer":"brokerd","round":1,"failed":"it fell over"}'; } \
    >"$TMP/runs"
report 1
assert_grep '^MISSED +W1-16 .* it fell over' "$TMP/said"
assert_grep '\*\*brokerd\*\* \| \*it fell over\*' "$TMP/report/performance-peers.md"

#!/bin/bash
# What a durable queue at full speed costs who has nothing to do with it: one publisher and one
# subscriber at a steady rate, while in the same broker a work queue runs as fast as it can, in
# memory and in the journal, in turn. Both take the processor alike; only one of them waits for the
# disk. And the same without any neighbour.
#
#   ROUNDS=5 ROUND_SECONDS=3 RATE=10000
. "$(dirname "$0")/../../integration/lib.sh"

rounds=${ROUNDS:-5} seconds=${ROUND_SECONDS:-3} rate=${RATE:-10000}
load=$OUT/tests/bench/load/load

field() { # NAME FILE
    sed -nE "s/.*\"$1\":([0-9.]+).*/\1/p" "$2"
}

# one NEIGHBOUR: a line of what the subscriber saw, and what the neighbour did.
one() {
    local neighbour=$1 port pid
    rm -rf "$TMP/journal"
    conf="store \"journal\" { path = \"$TMP/journal\" }"
    [ "$neighbour" != journal ] || conf="$conf
queue \"#\" { durable = journal }"
    brokerd_start
    port=${BROKER_URL##*:}
    echo 0 >"$TMP/neighbour"
    if [ "$neighbour" != none ]; then
        "$load" protocol=rsocket port="$port" pid="$brokerd_pid" workload=queue size=128 \
            window=1024 seconds=$((seconds + 3)) >"$TMP/neighbour" &
        pid=$!
        started+=("$pid")
        wait_until 10 broker queue info bench
    fi
    "$load" protocol=rsocket port="$port" pid="$brokerd_pid" workload=paced size=128 rate="$rate" \
        seconds="$seconds" >"$TMP/paced"
    [ "$neighbour" = none ] || wait "$pid"
    printf '%-8s p50 %6.0f us  p99 %6.0f us  p99.9 %7.0f us  neighbour %9.0f/s\n' "$neighbour" \
        "$(field p50_us "$TMP/paced")" "$(field p99_us "$TMP/paced")" \
        "$(field p999_us "$TMP/paced")" "$(field per_second "$TMP/neighbour" || echo 0)"
    brokerd_stop
}

for ((round = 1; round <= rounds; round++)); do
    for neighbour in none memory journal; do
        one $neighbour
    done
done | tee "$TMP/all"
for neighbour in none memory journal; do
    awk -v n=$neighbour '$1 == n { print $6 }' "$TMP/all" | sort -n |
        awk -v n=$neighbour '{ v[NR] = $1 } END { print "median p99,", n ":", v[int((NR + 1) / 2)], "us" }'
done

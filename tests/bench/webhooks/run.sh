#!/bin/bash
# How fast webhooks are delivered on loopback, and what one dead endpoint costs its neighbours.
#
#   tests/bench/webhooks/run.sh [rate|neighbours]...
#
# rate        one endpoint, window 64, connections kept open: deliveries a second (goal: 5,000), and
#             the broker's CPU time for each
# neighbours  20 endpoints that work, with and without one beside them that hangs, in turn: the
#             median of the time until all have had everything (goal: within 5 %)
#
# Exit 1 if a goal is missed. ROUNDS (5), EVENTS (20000 and 500)
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/../../integration/lib.sh"

rounds=${ROUNDS:-5}
missed=0

start_sink() {
    background "$OUT/tests/programs/sink" >"$TMP/port"
    sink=$!
    wait_until 10 test -s "$TMP/port"
    port=$(cat "$TMP/port")
}

stop_sink() {
    kill -KILL "$sink" 2>/dev/null || true
    wait "$sink" 2>/dev/null || true
    rm -f "$TMP/port"
}

section() { # NAME PATH
    echo "webhook \"$1\" { topic = \"t.#\" url = \"http://127.0.0.1:$port/$2\" insecure = true
    allow = \"127.0.0.0/8\" secret = \"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\"
    timeout = 60s }"
}

# taken ENDPOINTS EVENTS: have all of them had all? Leaves what the sink says in $TMP/said.
# shellcheck disable=SC2317 # called by wait_until
taken() {
    curl -sS "http://127.0.0.1:$port/" >"$TMP/said" || return
    awk -v ends="$1" -v events="$2" '$2 == events { n++ } END { exit n != ends }' "$TMP/said"
}

# From the first request to the last, ms.
span() {
    awk 'NR == 1 || $3 < first { first = $3 } $4 > last { last = $4 }
         END { printf "%.1f\n", (last - first) / 1e6 }' "$TMP/said"
}

cpu_ticks() {
    awk '{ print $14 + $15 }' "/proc/$brokerd_pid/stat"
}

median() {
    sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

rate() {
    local events=${EVENTS:-20000} ms before
    for _ in $(seq "$rounds"); do
        start_sink
        conf=$(section one 0)
        brokerd_start
        before=$(cpu_ticks)
        seq -f '{"number":%.0f}' 1 "$events" | broker pub t.x --lines --type application/json
        wait_until 60 taken 1 "$events"
        ms=$(span)
        awk -v n="$events" -v ms="$ms" -v t=$(($(cpu_ticks) - before)) -v hz="$(getconf CLK_TCK)" \
            'BEGIN { printf "%.0f %.1f\n", n * 1000 / ms, t * 1e6 / hz / n }' >>"$TMP/rate"
        brokerd_stop
        stop_sink
    done
    cut -d' ' -f1 "$TMP/rate" | median >"$TMP/median"
    echo "one endpoint: $(cat "$TMP/median") deliveries/s, $(cut -d' ' -f2 "$TMP/rate" | median) us of CPU each (publishing included)"
    [ "$(cat "$TMP/median")" -ge 5000 ] || missed=1
}

neighbours() {
    local events=${EVENTS:-500} order="alone beside" with
    for _ in $(seq "$rounds"); do
        for with in $order; do
            start_sink
            conf=
            for i in $(seq 1 20); do conf+=$(section "good$i" "$i")$'\n'; done
            [ "$with" = alone ] || conf+=$(section dead hang)
            brokerd_start
            seq 1 "$events" | broker pub t.x --lines
            wait_until 60 taken 20 "$events"
            span >>"$TMP/$with"
            stop_sink # first, or stopping waits for what hangs
            brokerd_stop
        done
        order="${order#* } ${order% *}" # who is first has the machine as others left it
    done
    awk -v a="$(median <"$TMP/alone")" -v b="$(median <"$TMP/beside")" -v n=$((20 * events)) 'BEGIN {
        printf "20 endpoints: %.0f deliveries/s, beside a dead one %.0f: %+.1f %%\n",
            n * 1000 / a, n * 1000 / b, (a / b - 1) * 100
        exit a / b < 0.95 }' || missed=1
}

[ $# -gt 0 ] || set -- rate neighbours
for part; do
    case $part in
    rate) rate ;;
    neighbours) neighbours ;;
    *) fail "rate or neighbours, not $part" ;;
    esac
done
exit $missed

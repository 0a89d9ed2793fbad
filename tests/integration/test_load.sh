#!/bin/bash
# The load generator of tests/bench/load, briefly: every workload runs against brokerd, and those
# that have one against both relays; messages come, none is lost, what is not delivered is told.
# limit: 120 s
. "$(dirname "$0")/lib.sh"

load() { # PROTOCOL PORT PID OPTIONS
    "$OUT/tests/bench/load/load" protocol="$1" port="$2" pid="$3" seconds=0.2 "${@:4}" \
        >"$TMP/line" || fail "load $*"
    grep -q '"lost":0,' "$TMP/line" || fail "load $*: lost some: $(cat "$TMP/line")"
    [[ " $* " == *" workload=idle "* ]] || ! grep -q '"delivered":0,' "$TMP/line" ||
        fail "load $*: nothing was delivered: $(cat "$TMP/line")"
}

brokerd_start
brokerd=(rsocket "${BROKER_URL##*:}" "$brokerd_pid")
for workload in one-to-one "fan-out subscribers=20" "fan-in publishers=5" "stalled stalled=0" \
    "stalled subscribers=3" paced round-trip queue "queue window=1" "idle connections=200" \
    "wildcards subscriptions=4000 connections=4 churn=1000"; do
    read -r -a options <<<"workload=$workload"
    load "${brokerd[@]}" "${options[@]}"
    [[ $workload != "stalled subscribers"* ]] ||
        grep -q '"stalled_cut_off":0,.*"stalled_unsaid":0[,}]' "$TMP/line" ||
        fail "the one that stalled does not know what it lost: $(cat "$TMP/line")"
done
load rsocket-loss "${brokerd[@]:1}" workload=round-trip
load "${brokerd[@]}" workload=one-to-one size=1
load "${brokerd[@]}" workload=one-to-one size=65536
brokerd_stop

for kind in raw framed; do
    "$OUT/tests/bench/load/relay" "$kind" >"$TMP/$kind" &
    relay=$!
    started+=("$relay")
    wait_until 10 grep -q '^ready ' "$TMP/$kind"
    port=$(sed -n 's/^ready //p' "$TMP/$kind")
    for workload in one-to-one "fan-out subscribers=20" "fan-in publishers=5" paced round-trip; do
        read -r -a options <<<"workload=$workload"
        load relay "$port" "$relay" "${options[@]}"
    done
    # What there is not is refused, with a status of its own.
    status=0
    "$OUT/tests/bench/load/load" protocol=relay port="$port" pid="$relay" workload=queue \
        2>/dev/null || status=$?
    [ "$status" -eq 3 ] || fail "a relay has no work queue, but: $status"
done

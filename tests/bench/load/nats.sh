#!/bin/bash
# brokerd and nats-server side by side, one publisher to one subscriber, as fast as both can; with
# two relays as the limits. Prints a table; exit 1 if brokerd is not clearly ahead at 128 bytes:
# twice the messages per second, half the CPU per message.
#
#   ROUNDS=3 ROUND_SECONDS=3 SIZES="16 128 1024" PEERS="raw framed nats brokerd" RUNS=FILE
#
# Rounds are interleaved, and each run has a fresh process to measure, so that what else happens on
# the machine meets all of them alike. RUNS gets a line of JSON for each single run.
. "$(dirname "$0")/../../integration/lib.sh"
. tests/bench/load/peers.sh

rounds=${ROUNDS:-3}
seconds=${ROUND_SECONDS:-3}
read -r -a sizes <<<"${SIZES:-16 128 1024}"
read -r -a peers <<<"${PEERS:-raw framed nats brokerd}"
runs=${RUNS:-$OUT/bench-nats.jsonl}

total=$((rounds * ${#sizes[@]} * ${#peers[@]}))
done_runs=0
: >"$runs"
for ((round = 1; round <= rounds; round++)); do
    for size in "${sizes[@]}"; do
        for peer in "${peers[@]}"; do
            peer_start "$peer"
            "$OUT/tests/bench/load/load" protocol="$peer_protocol" port="$peer_port" \
                pid="$peer_pid" size="$size" seconds="$seconds" peer="$peer" round="$round" \
                >>"$runs" || fail "the run of $peer with $size bytes failed"
            peer_stop
            done_runs=$((done_runs + 1))
            [ ! -t 2 ] || printf '\r%d of %d runs' "$done_runs" "$total" >&2
        done
    done
done
[ ! -t 2 ] || printf '\r\e[K' >&2

echo "$(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), kernel" \
    "$(uname -r); $("$OUT/brokerd" -V | head -n 1); $(nats-server --version);" \
    "$rounds rounds of $seconds s each"
awk -f tests/bench/load/report.awk "$runs"

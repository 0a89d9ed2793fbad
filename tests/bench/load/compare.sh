#!/bin/bash
# brokerd, the relays that are its limits and the brokers a user would otherwise pick, side by side:
# the same workloads from the same generator, in interleaved rounds, a fresh process for each run,
# so that what else happens on the machine meets all of them alike. Then the report; exit status 1
# if brokerd misses a target. docs/performance.md says what is measured and how to read it.
#
#   ROUNDS=3 ROUND_SECONDS=2    how often, how long each
#   WORKLOADS="W1-16 W5-1"      only these; `compare.sh --list` says which there are
#   PEERS="brokerd nats"        only these (peers.sh says which there are)
#   RUNS=FILE                   where each single run is kept, a line of JSON
#   REPORT=DIR                  where the tables and plots go
#
# All of them are kept in build/bench-peers.jsonl, the report in docs/; only some, in
# build/bench-some.jsonl, with a report beside it.
set -euo pipefail
cd "$(dirname "$0")/../../.."

export OUT=${OUT:-build}
rounds=${ROUNDS:-3}
seconds=${ROUND_SECONDS:-2}
if [ -z "${WORKLOADS:-}${PEERS:-}" ]; then
    runs=${RUNS:-$OUT/bench-peers.jsonl} report=${REPORT:-docs}
else
    runs=${RUNS:-$OUT/bench-some.jsonl} report=${REPORT:-$OUT/bench-some}
fi
noisy=0.35     # cores busy with something else: such a run is made once more..
again_share=10 # ..but no more than one run in so many
hard_limit=$((${seconds%.*} + 150)) # seconds; RabbitMQ alone may take most of it to start

# Those who carry topics, and those who have work queues. A worker for each core is brokerd as it
# comes, so on a machine of N cores brokerd-wN would be the same again.
ours="brokerd brokerd-w1 brokerd-w2 brokerd-w4 brokerd-spread"
ours=$(tr ' ' '\n' <<<"$ours" | grep -vx "brokerd-w$(nproc)" | tr '\n' ' ')
topics="raw framed $ours nats redis mosquitto rabbitmq"
queues="$ours nats-js redis-streams mosquitto-qos1 rabbitmq beanstalkd"
servers="brokerd nats redis mosquitto rabbitmq"
disks="brokerd-journal redis-streams-always nats-js rabbitmq"
stomps="brokerd-stomp rabbitmq-stomp activemq"

# A stalled subscriber is not seen at once: there are buffers to fill first.
stall="workload=stalled seconds=$(awk -v s="$seconds" 'BEGIN { print s * 2.5 }')"

# name; who takes part; the generator's options
table=$(
    cat <<END
W1-16        | $topics | workload=one-to-one size=16
W1-128       | $topics | workload=one-to-one size=128
W1-1024      | $topics | workload=one-to-one size=1024
W1-65536     | $topics | workload=one-to-one size=65536
W2-100       | $topics | workload=fan-out size=128 subscribers=100
W2-1000      | $topics | workload=fan-out size=128 subscribers=1000
W3-16        | $topics | workload=fan-in size=128 publishers=16
W4-1000      | $topics | workload=paced size=128 rate=1000
W4-10000     | $topics | workload=paced size=128 rate=10000
W4-trip      | $topics | workload=round-trip size=128
W5-1024      | $queues | workload=queue size=128 window=1024
W5-1         | $queues | workload=queue size=128 window=1
W6-10000     | $servers | workload=idle connections=10000
W7-none      | $servers | $stall stalled=0
W7-one       | $servers | $stall stalled=1
W8-still     | $ours nats mosquitto | workload=wildcards size=16 subscriptions=100000
W8-churn     | $ours nats mosquitto | workload=wildcards size=16 subscriptions=100000 churn=1000
D5-1024      | $disks | workload=queue size=128 window=1024 durable=1
D5-1         | $disks | workload=queue size=128 window=1 durable=1
R5-1024      | brokerd-redis redis-streams | workload=queue size=128 window=1024
S1-16        | $stomps | workload=one-to-one size=16
S1-128       | $stomps | workload=one-to-one size=128
S1-1024      | $stomps | workload=one-to-one size=1024
S2-10        | $stomps | workload=fan-out size=128 subscribers=10
S5-1024      | $stomps | workload=queue size=128 window=1024
END
)

if [ "${1:-}" = --list ]; then
    echo "$table" | tr -s ' '
    exit 0
fi

# The runs of one round, one a line: name, peer, options.
plan=()
while IFS='|' read -r name peers options; do
    name=${name%% *}
    [[ " ${WORKLOADS:-$name} " = *" $name "* ]] || continue
    [[ $name != [SDR]* || -n ${WORKLOADS:-} ]] || continue # of STOMP, of stores: on their own
    for peer in $peers; do
        [[ " ${PEERS:-$peer} " = *" $peer "* ]] || continue
        plan+=("$name $peer$options")
    done
done <<<"$table"
if [ ${#plan[@]} -eq 0 ]; then
    echo "nothing of WORKLOADS=\"${WORKLOADS:-}\" and PEERS=\"${PEERS:-}\" is there to run" >&2
    exit 2
fi

scratch=$(mktemp -d)
running=
trap 'rm -rf "$scratch"' EXIT
trap '[ -z "$running" ] || kill "$running" || true; exit 130' INT TERM

say() { # TEXT: in place of the last line on a terminal
    if [ -t 2 ]; then printf '\r\e[K%s' "$1" >&2; else echo "$1" >&2; fi
}

time_left() { # RUNS DONE, RUNS LEFT: at the pace so far
    [ "$1" -gt 0 ] || return 0
    local left=$((SECONDS * $2 / $1))
    printf ', %d:%02d min left' $((left / 60)) $((left % 60))
}

field() { # NAME, of $line
    sed -nE "s/.*\"$1\":\"?([^,}\"]*).*/\1/p" <<<"$line"
}

# One run: its line of JSON in $line, and "" in $why; or why there is none.
measure() { # PEER OPTIONS
    local status=0
    timeout -k 10 "$hard_limit" tests/bench/load/run.sh "$@" >"$scratch/out" 2>"$scratch/err" &
    running=$!
    wait "$running" || status=$?
    running=
    line=$(tail -n 1 "$scratch/out") why=
    case $status in
    0) return ;;
    3) why="not in its protocol" ;;
    124 | 137) why="not done after $hard_limit s" ;;
    *) why=$(sed -nE 's/^(load|FAILED): //p' "$scratch/err" | head -n 1 | tr -d "\"\\\\") ;;
    esac
    why=${why:-ended with status $status}
}

gist() { # of $line
    if [ -n "$(field connects_per_second)" ]; then
        printf '%.0f connects/s' "$(field connects_per_second)"
    else
        printf '%.0f/s, %.0f ns each' "$(field per_second)" "$(field broker_ns)"
    fi
}

was_noisy() {
    awk -v others="$(field others_cores)" -v most="$noisy" 'BEGIN { exit !(others > most) }'
}

keep() { # NAME
    echo "{\"row\":\"$1\",${line#\{}" >>"$runs"
}

about() {
    local package version versions
    versions=$("$OUT/brokerd" -V | head -n 1)
    for package in nats-server redis-server mosquitto rabbitmq-server beanstalkd activemq; do
        version=$(dpkg-query -W -f '${Version}' "$package" 2>/dev/null) || continue
        versions="$versions, $package $version"
    done
    printf '{"about":{"cores":%d,"cpu":"%s","kernel":"%s","date":"%s","rounds":%d,"seconds":%s,"versions":"%s"}}\n' \
        "$(nproc)" "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" \
        "$(uname -r | grep -oE '^[0-9.]*[0-9]')" "$(date -u +%F)" "$rounds" "$seconds" "$versions"
}

about >"$runs"
total=$((rounds * ${#plan[@]})) done_runs=0 repeated=0
declare -A failed
for ((round = 1; round <= rounds; round++)); do
    for entry in "${plan[@]}"; do
        read -r name peer options <<<"$entry"
        where="[$((done_runs + 1)) of $total$(time_left "$done_runs" $((total - done_runs)))] round $round, $name, $peer"
        done_runs=$((done_runs + 1))
        [ -z "${failed[$name $peer]:-}" ] || continue # once is enough
        [ ! -t 2 ] || say "$where"
        read -r -a options <<<"$options seconds=$seconds round=$round"
        measure "$peer" "${options[@]}"
        if [ -z "$why" ] && was_noisy && [ $((repeated * again_share)) -lt "$done_runs" ]; then
            repeated=$((repeated + 1))
            keep "$name" # the report takes the quieter ones if there are enough
            measure "$peer" "${options[@]}"
        fi
        if [ -n "$why" ]; then
            failed[$name $peer]=1
            echo "{\"row\":\"$name\",\"peer\":\"$peer\",\"round\":$round,\"failed\":\"$why\"}" >>"$runs"
            say "$where: $why"
        else
            keep "$name"
            [ -t 2 ] || say "$where: $(gist)"
        fi
    done
done
[ ! -t 2 ] || say ""

tests/bench/load/report.py "$runs" "$report"

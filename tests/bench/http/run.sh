#!/bin/bash
# Publishing by HTTP: brokerd beside what others have of it, with wrk, 100 bytes a message.
#
#   brokerd         POST /v1/topics/bench
#   rabbitmq-http   POST /api/exchanges/%2F/amq.topic/publish of its management plugin, JSON
#   webdis          POST / with PUBLISH/bench/.., which it hands on to Redis
#
# NATS has none: what nats-server answers by HTTP is monitoring.
#
# Each with a request at a time on a connection and 16, with nobody who listens and with one
# subscriber (nc, by STOMP or Redis's protocol), which throws away what it gets. All are started
# once; within a round each does one run after the other. A table for docs/performance.md on stdout:
# medians of the rounds. No latencies of 16 at once: what wrk adds for requests that it would have sent
# meanwhile takes each of the 16 for one of them.
#
#   ROUNDS=5 ROUND_SECONDS=2   how often, how long each (whole seconds)
#   CONNECTIONS=32             of wrk, from one thread
#   HTTP_PEERS="brokerd"       only these
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/../../integration/lib.sh"
# shellcheck source=tests/bench/load/peers.sh
. tests/bench/load/peers.sh

rounds=${ROUNDS:-5} seconds=${ROUND_SECONDS:-2} connections=${CONNECTIONS:-32}
peers=${HTTP_PEERS:-brokerd rabbitmq-http webdis}
hz=$(getconf CLK_TCK)
payload=$(printf '%0100d' 0)
declare -A at pids stomp # of each peer: where HTTP is, whose CPU time it is, how it is subscribed to
subscriber=

say() {
    if [ -t 2 ]; then printf '\r\e[K%s' "$1" >&2; else echo "$1" >&2; fi
}

start() { # PEER
    local home=$TMP
    TMP=$home/$1
    mkdir "$TMP"
    peer_start "$1"
    TMP=$home
    at[$1]=127.0.0.1:${peer_http_port:-$peer_port} pids[$1]=$peer_pid stomp[$1]=$peer_port
    [ "$1" != webdis ] || pids[$1]="$peer_pid ${peer_with[0]}"
}

# What wrk and curl send to a peer.
ask_of() { # PEER
    TYPE=text/plain AUTHORIZATION='' BODY=$payload
    case $1 in
    brokerd) TARGET=/v1/topics/bench reached='"matched":1' ;;
    rabbitmq-http)
        TARGET=/api/exchanges/%2F/amq.topic/publish TYPE=application/json reached='"routed":true'
        AUTHORIZATION="Basic $(printf guest:guest | base64)"
        BODY='{"properties":{},"routing_key":"bench","payload":"'$payload'","payload_encoding":"string"}'
        ;;
    webdis) TARGET=/ BODY=PUBLISH/bench/$payload reached='"PUBLISH":1' ;;
    esac
    export TARGET TYPE AUTHORIZATION BODY
}

publish_once() { # PEER: prints the answer
    local fields=(-H "Content-Type: $TYPE")
    [ -z "$AUTHORIZATION" ] || fields+=(-H "Authorization: $AUTHORIZATION")
    curl -sS --max-time 10 "${fields[@]}" --data-binary "$BODY" "http://${at[$1]}$TARGET"
}

is_heard() { # PEER
    publish_once "$1" | grep -q "$reached"
}

is_not_heard() { # PEER
    local answer
    answer=$(publish_once "$1") && [ -n "$answer" ] && ! grep -q "$reached" <<<"$answer"
}

subscribe() { # PEER
    local hello='CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0SUBSCRIBE\nid:1\ndestination:/topic/bench\n\n\0'
    [ "$1" != webdis ] || hello='SUBSCRIBE bench\r\n'
    mkfifo "$TMP/say"
    nc 127.0.0.1 "${stomp[$1]}" <"$TMP/say" >/dev/null &
    subscriber=$!
    started+=("$subscriber")
    exec {saying}>"$TMP/say"
    # shellcheck disable=SC2059 # it is a format
    printf "$hello" >&"$saying"
    wait_until 20 is_heard "$1"
}

unsubscribe() { # PEER
    exec {saying}>&-
    rm "$TMP/say"
    kill "$subscriber"
    wait "$subscriber" 2>/dev/null || true
    peer_forget "$subscriber"
    wait_until 20 is_not_heard "$1"
}

ticks() { # PEER
    local pid
    for pid in ${pids[$1]}; do awk '{ print $14 + $15 }' "/proc/$pid/stat"; done | awk '{ n += $1 } END { print n }'
}

# One run, a line of $TMP/runs: how, listeners, peer, requests/s, us of CPU each, p50 and p99 in us,
# errors, broken connections.
measure() { # PEER PIPELINE LISTENERS
    local before came
    before=$(ticks "$1")
    came=$(PIPELINE=$2 timeout $((seconds + 20)) wrk -t 1 -c "$connections" -d "${seconds}s" --timeout 10s \
        -s tests/bench/http/publish.lua "http://${at[$1]}/" | sed -n 's/^came //p')
    [ -n "$came" ] || fail "wrk said nothing of $1"
    echo "$came" | awk -v how="$2 $3 $1" -v t=$(($(ticks "$1") - before)) -v hz="$hz" '$1 > 0 {
        printf "%s %.0f %.2f %d %d %d %d\n", how, $1 * 1e6 / $2, t * 1e6 / hz / $1, $3, $4, $5, $6 }' |
        tee -a "$TMP/runs" | awk '{ printf "%.0f requests/s, %.2f us each\n", $4, $5 }' >"$TMP/gist"
    [ -s "$TMP/gist" ] || echo "none was answered" >"$TMP/gist"
}

report() {
    local pipeline listeners peer how
    echo "| | | requests/s | CPU each | p50 | p99 | errors |"
    echo "| --- | --- | ---: | ---: | ---: | ---: | ---: |"
    for pipeline in 1 16; do
        for listeners in 0 1; do
            for peer in $peers; do
                how="one at a time" && [ "$pipeline" = 1 ] || how="16 at once"
                [ "$listeners" = 0 ] && how="$how, nobody listens" || how="$how, one subscriber"
                awk -v want="$pipeline $listeners $peer" -v how="$how" '
                    function median(list,    v, n, i, j, x) {
                        n = split(list, v, " ")
                        for (i = 2; i <= n; i++)
                            for (j = i; j > 1 && v[j - 1] + 0 > v[j] + 0; j--) {
                                x = v[j]; v[j] = v[j - 1]; v[j - 1] = x
                            }
                        return v[int((n + 1) / 2)]
                    }
                    function thousands(n) { return n >= 1e4 ? sprintf("%.1f k", n / 1e3) : sprintf("%.0f", n) }
                    function time(us) { return us >= 1e3 ? sprintf("%.1f ms", us / 1e3) : sprintf("%.0f us", us) }
                    $1 " " $2 " " $3 == want { for (i = 4; i <= 7; i++) all[i] = all[i] " " $i; bad += $8 + $9; runs++ }
                    END {
                        split(want, w, " ")
                        if (!runs) { printf "| %s | %s | none was answered | | | | |\n", how, w[3]; exit }
                        cpu = median(all[5])
                        printf "| %s | %s | %s | %s | %s | %s | %d |\n", how, w[3], thousands(median(all[4])),
                            cpu < 100 ? sprintf("%.1f us", cpu) : sprintf("%.0f us", cpu),
                            w[1] == 1 ? time(median(all[6])) : "", w[1] == 1 ? time(median(all[7])) : "", bad
                    }' "$TMP/runs"
            done
        done
    done
}

touch "$TMP/runs"
for peer in $peers; do
    say "starting $peer"
    start "$peer"
    ask_of "$peer"
    wait_until 60 is_not_heard "$peer"
done
all=$((rounds * 4 * $(wc -w <<<"$peers"))) n=0
for ((round = 1; round <= rounds; round++)); do
    for listeners in 0 1; do
        for pipeline in 1 16; do
            for peer in $peers; do
                n=$((n + 1))
                ask_of "$peer"
                [ "$listeners" = 0 ] || subscribe "$peer"
                measure "$peer" "$pipeline" "$listeners"
                [ "$listeners" = 0 ] || unsubscribe "$peer"
                say "[$n of $all] round $round, $peer, $pipeline at once, $listeners listening: $(cat "$TMP/gist")"
            done
        done
    done
done
[ ! -t 2 ] || say ""
report

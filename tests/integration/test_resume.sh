#!/bin/bash
# limit: 240 s
# RESUME: connections cut at random bytes of both directions; every item comes once and in order.
. "$(dirname "$0")/lib.sh"

export SLOW ITEMS=10000
[ -z "$SANITIZE" ] || ITEMS=3000
seed=${SEED:-$RANDOM}
client=tests/integration/client/resume.py
conf='limits { lease-requests = 10 }'

counter() { # NAME: of the queue
    broker queue info work --json | sed -nE 's/.*"'"$1"'": ?([0-9]+).*/\1/p'
}

for run in '1 ' '2 ' '3 /rsocket' '2 /'; do
    workers=${run% *}
    export WEBSOCKET=${run#* }
    echo "== seed $seed, $workers worker(s), over ${WEBSOCKET:-TCP}"
    brokerd_start
    for what in stream publish consume; do
        python3 $client $what "$seed"
        seed=$((seed + 1))
    done
    assert_eq "$(counter depth) $(counter acked) $(counter redelivered)" "0 $ITEMS " 'the queue'
    python3 $client rules
    broker info --json | grep -q '"sessions-resumed"' || fail 'nobody counted'
    brokerd_stop
done

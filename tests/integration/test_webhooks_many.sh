#!/bin/bash
# limit: 120 s
# Many webhooks that seldom have anything to send: each costs memory and descriptors only while it does.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/webhooks/lib.sh"

server_start
n=200
conf=
for i in $(seq $n); do
    conf+=$(section "w$i" all "/ok/$((i % 10))" 'window = 8')$'\n'
done
brokerd_start

sockets() {
    find "/proc/$brokerd_pid/fd" -lname 'socket:*' | wc -l
}
few() {
    [ "$(sockets)" -lt 50 ]
}
all_took() {
    for i in $(seq 0 9); do
        saw "/ok/$i" "sum(taken.values()) == $1 * $n / 10" || return 1
    done
}

echo "== at rest from the start"
few || fail "$(sockets) sockets"

echo "== each gets what is for all"
broker pub all one
wait_until 30 all_took 1
few && fail "their connections are not kept for the next"

echo "== at rest again, and again at work"
wait_until 40 few
broker pub all two
wait_until 30 all_took 2
brokerd_stop

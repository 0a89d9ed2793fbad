#!/bin/bash
# limit: 120 s
# WebSocket as the broker speaks it, asked by a client that breaks the rules: handshake, frames,
# limits, closing, what it carries, who is silent, and what first bytes of any kind are answered.
. "$(dirname "$0")/lib.sh"

# start TEXT: brokerd with these settings; where it listens in $hosts.
start() {
    printf 'workers = 2\nplacement = %s\n%s\n' "$PLACEMENT" "$1" >"$TMP/brokerd.conf"
    : >"$brokerd_log"
    brokerd -c "$TMP/brokerd.conf" 2>>"$brokerd_log" &
    brokerd_pid=$!
    started+=("$brokerd_pid")
    wait_until 10 brokerd_ready_or_ended
    brokerd_ready || fail "brokerd ended before it was ready"
    hosts=$(sed -nE 's/.*brokerd [^ ]+ ready on //p' "$brokerd_log" | tr -d ' ' | sed 's|tcp://||g')
    BROKER_URL=tcp://${hosts%%,*}
}

ask() { python3 tests/integration/websocket.py "$hosts" "$@"; }

start '
listen "tcp://127.0.0.1:0" { echo = true origins = { "https://friend.example:8443" } }
listen "tcp://127.0.0.2:0" { protocols = { rsocket, websocket } }
listen "tcp://127.0.0.3:0" { protocols = { websocket } }
listen "tcp://127.0.0.4:0" { protocols = { rsocket } }
listen "tcp://127.0.0.5:0" { stomp-binary = true }
listen "tcp://127.0.0.6:0" { protocols = { stomp } }'

ask origins unknown # first: of what is refused a few lines a second are written
assert_grep 'closed: a page of an origin that may not come' "$brokerd_log"
assert_grep 'closed: it speaks TLS' "$brokerd_log"
ask handshake refusals messages violations closing carries carries_lines narrowed
broker info --json >"$TMP/info"
for word in tls origin http unknown-protocol protocol-not-served; do
    assert_grep "$word" "$TMP/info"
done

# A subscriber by WebSocket that reads nothing costs no more than one by TCP: the rest of what is
# published waits in its queue, up to that queue's limit, and is dropped.
before=$(rss_kib "$brokerd_pid")
mkfifo "$TMP/gate"
ask deaf <"$TMP/gate" >"$TMP/deaf" &
started+=($!)
deaf=$!
exec 4>"$TMP/gate"
wait_until 10 grep -q ready "$TMP/deaf"
broker bench pub --topic deaf.x -n 120000 --size 1000 >/dev/null
grown=$(($(rss_kib "$brokerd_pid") - before))
[ -n "$SANITIZE" ] || [ "$grown" -lt $((160 * 1024)) ] ||
    fail "a deaf WebSocket made the broker $grown KiB larger, with a queue of 64 MiB"
exec 4>&-
ended_within 20 "$deaf"
assert_eq "$status" 0 "the deaf client"

# Stopping: the door's last words, then the close.
ask drained >"$TMP/drained" &
started+=($!)
drained=$!
wait_until 10 grep -q ready "$TMP/drained"
brokerd_stop
ended_within 20 "$drained"
assert_eq "$status" 0 "who was told to go"

start '
limits { first-frame-timeout = "300ms" websocket-ping = "200ms" }
listen "tcp://127.0.0.1:0" { echo = true }'
ask silence
assert_grep 'closed: it was silent for too long: two pings without an answer' "$brokerd_log"
brokerd_stop

#!/bin/bash
# limit: 120 s
# Consuming by HTTP: server-sent events and long polling; what is settled, what comes again, and what
# a reader costs that stalls.
. "$(dirname "$0")/lib.sh"

conf='queue "#" { dead-letter = "dead.letters" }
queue "short.#" { ack-timeout = "300ms" }
queue "strict.#" { max-deliveries = 2 dead-letter = "dead.letters" }'
brokerd_start
SLOW=$SLOW python3 tests/integration/http_receive.py "${BROKER_URL#tcp://}"
broker info --json >"$TMP/info"

# As a person listens: the events as they are written.
url=http://${BROKER_URL#tcp://}/v1/topics
background curl -sSN "$url/town.%23/events?filter=sky.*&credit=3" >"$TMP/events"
curl_pid=$!
wait_until 10 grep -q '^retry' "$TMP/events"
printf 'two\nlines' | broker pub -q town.gate.news --type text/plain -
broker pub -q sky.blue --type text/plain 'up'
broker pub -q town "$(printf '\377')"
ended_within 10 "$curl_pid"
assert_eq "$status" 0 "curl's exit status"
cat >"$TMP/wanted" <<'END'
retry: 2000
id: -

event: town.gate.news
meta: {"type":"text/plain"}
data: two
data: lines

event: sky.blue
meta: {"type":"text/plain"}
data: up

event: town base64
meta: {"type":"application/octet-stream"}
data: /w==

event: end
data: {"reason":"credit","text":"all the events that were asked for"}

END
assert_same "$TMP/events" "$TMP/wanted"

# A reader that reads nothing costs what its queue may hold, and no more.
if [ -z "$SANITIZE" ]; then # a sanitizer's own memory is not to be measured
    python3 tests/integration/http_receive.py "${BROKER_URL#tcp://}" stall >"$TMP/stall" &
    stalled=$!
    started+=("$stalled")
    wait_until 10 grep -q listening "$TMP/stall"
    before=$(rss_kib "$brokerd_pid")
    head -c 65536 /dev/zero | tr '\0' x | broker pub -q stall.it -n 4000 -
    grown=$((($(rss_kib "$brokerd_pid") - before) / 1024))
    [ "$grown" -lt 24 ] || fail "256 MiB at a stalled reader with 2 MiB of room cost $grown MiB"
    echo end | broker pub -q stall.it -
    kill -USR1 "$stalled"
    ended_within 20 "$stalled"
    assert_eq "$status" 0 "exit status of the stalled reader: $(cat "$TMP/stall")"
fi

# Those that listen and those that wait are told when the broker stops.
background curl -sSN "$url/a/events" >"$TMP/events"
curl_pid=$!
wait_until 10 grep -q '^retry' "$TMP/events"
background curl -sS -X POST "${url%topics}queues/idle/messages:receive?wait=5m" >"$TMP/polled"
poll_pid=$!
waits() { broker queue info idle --json | grep -q '"consumers": *1'; }
wait_until 10 waits
brokerd_stop
ended_within 10 "$curl_pid"
assert_grep '^event: end' "$TMP/events"
assert_grep '"reason":"draining"' "$TMP/events"
ended_within 10 "$poll_pid"
assert_eq "$(cat "$TMP/polled")" '{"messages":[]}' "the answer to who waited"

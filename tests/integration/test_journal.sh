#!/bin/bash
# Queues kept by the journal: what was confirmed is there after kill -9, with bindings, attempts and order;
# a limit of the disk stops publishers only; a restart under load loses and doubles nothing.
# limit: 120 s
. "$(dirname "$0")/lib.sh"

n=5000
[ -z "$SANITIZE" ] || n=1000
journal=$TMP/journal

# A start that must fail: its exit status, what it said in $TMP/said.
refused() { # STATUS SETTINGS
    echo "$2" >"$TMP/wrong.conf"
    assert_eq "$(brokerd -c "$TMP/wrong.conf" -l tcp://127.0.0.1:0 2>"$TMP/said"; echo $?)" "$1" \
        "exit status with $2"
}

checked() { # STATUS SETTINGS
    echo "$2" >"$TMP/wrong.conf"
    assert_eq "$(brokerd -t -c "$TMP/wrong.conf" 2>"$TMP/said"; echo $?)" "$1" "brokerd -t with $2"
}

crash() {
    kill -KILL "$brokerd_pid"
    wait "$brokerd_pid" 2>/dev/null || true
}

info() { # QUEUE MEMBER
    broker queue info "$1" --json | python3 -c 'import json,sys; print(json.load(sys.stdin).get(sys.argv[1]))' "$2"
}

store() { # MEMBER
    curl -s "http://${BROKER_URL#tcp://}/v1/stores" |
        python3 -c 'import json,sys; print(json.load(sys.stdin)["stores"][0].get(sys.argv[1]))' "$1"
}

depth_is() { # QUEUE N
    [ "$(info "$1" depth)" = "$2" ]
}

numbers() { # FROM TO FILE: its lines are these numbers, in order, each once
    assert_same <(seq "$1" "$2") "$3"
}

# ---- settings: what is missing is told with its line, and -t makes nothing

checked 78 $'\nqueue "orders" {\n durable = journal }'
assert_grep 'wrong.conf:2: queue "orders": durable = journal needs a section: store "journal" \{ path' "$TMP/said"
checked 78 'queue "x" { durable = "redis+2" }'
assert_grep 'wrong.conf:1: queue "x": durable = redis\+2 needs a section: store "redis" \{ url' "$TMP/said"
checked 78 'store "redis" { url = "redis://me:secret@" }'
assert_grep 'wrong.conf:1: url: expected HOST' "$TMP/said"
[ "$(grep -c secret "$TMP/said")" = 0 ] || fail "a password was told"
checked 0 "store \"journal\" { path = \"$journal\" }"
[ ! -e "$journal" ] || fail "brokerd -t has made a journal"
refused 69 'store "journal" { path = "/proc/self/nowhere" }'
assert_grep 'store "journal": /proc/self/nowhere: no such directory' "$TMP/said"

# ---- killed: what was confirmed is there, in order; so are bindings, which need no maker

conf="store \"journal\" { path = \"$journal\" }
queue \"kept.#\" { durable = journal max-deliveries = 3 }"
brokerd_start
broker queue add kept.bound --bind 'events.*' -q
assert_eq "$(info kept.bound durable)" journal "level"
seq 1 $n | broker pub events.one --lines
seq 1 100 | broker pub memory.one --lines
refused 69 "$conf"
assert_grep "is in use by .*$brokerd_pid" "$TMP/said"
crash

brokerd_start
depth_is kept.bound $n || fail "$(info kept.bound depth) of $n messages after kill -9"
broker pub events.two $((n + 1))
depth_is kept.bound $((n + 1)) || fail "its binding is gone"
broker sub --queue kept.bound -n $((n + 1)) --raw >"$TMP/got"
numbers 1 $((n + 1)) "$TMP/got"
wait_until 10 depth_is kept.bound 0
brokerd_stop

# What was acknowledged stays so after a stop; what was delivered and came back knows how often.
brokerd_start
depth_is kept.bound 0 || fail "acknowledged messages came again"
broker pub --queue kept.bound back
url=http://${BROKER_URL#tcp://}/v1/queues/kept.bound/messages
id=$(curl -s -X POST "$url:receive" -d '{"max":1}' | sed -nE 's/.*"id": ?"([^"]+)".*/\1/p')
curl -s -f -X POST "$url/$id:release" -d '{}' >"$TMP/released"
crash_after_ack() { # the settlement is on disk at latest after 100 ms, and with the next confirm
    broker pub --queue kept.bound more
    crash
}
crash_after_ack
brokerd_start
broker sub --queue kept.bound -n 2 --json >"$TMP/got"
assert_eq "$(python3 -c 'import json,sys; print([(m["data"], m.get("attempt")) for m in map(json.loads, sys.stdin)])' <"$TMP/got")" \
    "[('back', 2), ('more', 1)]" "attempts after kill -9"
brokerd_stop

# ---- a queue that was found stays where it is, whatever the settings say by now

conf="store \"journal\" { path = \"$journal\" }"
brokerd_start
assert_eq "$(info kept.bound durable)" journal "level of a queue that was found"
assert_grep 'event=store .*queue=kept.bound' "$brokerd_log"
broker queue rm kept.bound -q
brokerd_stop
brokerd_start
assert_eq "$(status_of broker queue info kept.bound)" 1 "a queue that was removed"
brokerd_stop

# ---- full: publishers are refused, acknowledgements go on and make room

conf="store \"journal\" { path = \"$TMP/small\" segment = 64KiB max-disk = 512KiB }
queue \"kept\" { durable = journal }"
brokerd_start
payload=$(head -c 1000 /dev/zero | tr '\0' x)
assert_eq "$(status_of broker pub kept "$payload" -n 2000)" 1 "broker pub into a full journal"
# What was refused may have been more than fits, and a little room is left: until there is none.
is_full() {
    broker pub kept "$payload" -n 50 -q || true
    [ "$(store state)" = full ]
}
wait_until 10 is_full
held=$(info kept depth)
if [ "$held" -le 50 ] || [ "$held" -ge 500 ]; then fail "$held messages of 1000 bytes in 512 KiB"; fi
wait_until 10 grep -q 'event=store_full' "$brokerd_log"
[ "$(store disk_bytes)" -le 524288 ] || fail "$(store disk_bytes) bytes on disk"
broker why kept >"$TMP/why"
assert_grep 'store: "journal" is full' "$TMP/why"
curl -s "http://${BROKER_URL#tcp://}/metrics" >"$TMP/metrics"
curl -s -d "$payload" "http://${BROKER_URL#tcp://}/v1/topics/kept" >"$TMP/refused"
assert_grep 'full: store .+journal.+ is full \(max-disk 512KiB\): queue .+kept.+ takes nothing' \
    "$TMP/refused"
assert_grep 'event=refused .*reason=full .*queue=kept .*why=store' "$brokerd_log"
assert_grep '^brokerd_store_up\{store="journal"\} 0' "$TMP/metrics"
assert_grep '^brokerd_queue_refused_total\{queue="kept",reason="full"\} [1-9]' "$TMP/metrics"
assert_grep '^brokerd_store_refused_total\{store="journal",why="full"\} [1-9]' "$TMP/metrics"
broker sub --queue kept -n "$held" --raw >"$TMP/got"
assert_eq "$(sort -u "$TMP/got" | wc -l)" 1 "payloads"
has_room() { broker pub kept again; }
wait_until 10 has_room
wait_until 10 grep -q 'event=store_room' "$brokerd_log"
brokerd_stop

# ---- stopped and started under load: each message once, in order

conf="store \"journal\" { path = \"$journal\" }
queue \"kept.#\" { durable = journal }"
address=unix://$TMP/socket
brokerd_start -l "$address"
background broker sub -s "$address" --queue kept.load --raw -n $((4 * n)) >"$TMP/got" 2>"$TMP/sub"
sub=$!
wait_until 10 grep -q subscribed "$TMP/sub"
seq 1 $((4 * n)) >"$TMP/numbers"
background broker pub -s "$address" --queue kept.load --lines --rate $((2 * n)) <"$TMP/numbers" 2>"$TMP/pub"
pub=$!
some() { [ "$(wc -l <"$TMP/got")" -gt "$1" ]; }
for part in 1 2 3; do
    wait_until 20 some $((part * n / 2))
    brokerd_stop
    brokerd_start -l "$address"
done
ended_within 60 "$pub"
assert_eq "$status" 0 "exit status of the publisher"
ended_within 60 "$sub"
assert_eq "$status" 0 "exit status of the consumer"
numbers 1 $((4 * n)) "$TMP/got"
brokerd_stop

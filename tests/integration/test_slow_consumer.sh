#!/bin/bash
# A subscriber that stops asking for more costs the broker no more memory than its budget allows,
# and the others nothing at all; what it missed is counted, and it is told.
# limit: 120 s
. "$(dirname "$0")/lib.sh"

# What is published at it: 2 GiB in messages of 64 KiB.
messages=32768
budget_mib=256
if [ -n "$SANITIZE" ]; then # a smaller story: a sanitizer's own memory is not to be measured
    messages=1024
    budget_mib=64
fi
healthy=9

# One stalled subscriber N; its settings follow. It goes on when a line comes into $TMP/go.N.
stalled() {
    local n=$1
    shift
    mkfifo "$TMP/go.$n"
    background "$OUT/tests/programs/stalled" "$@" <>"$TMP/go.$n" >"$TMP/stalled.$n" 2>&1
    stalled_pid[n]=$!
    wait_until 10 grep -q subscribed "$TMP/stalled.$n"
}
stalled_pid=()
go_on() { # N
    echo go >"$TMP/go.$1"
    ended_within 30 "${stalled_pid[$1]}"
    assert_eq "$status" 0 "exit status of the stalled subscriber: $(cat "$TMP/stalled.$1")"
}
# What stalled subscriber N was delivered and lost, together.
accounted() {
    awk '$1 == "delivered" || $1 == "lost" { n += $2 } END { print n + 0 }' "$TMP/stalled.$1"
}

# Nine that are well: they hold the publisher back if they must, so they get everything.
healthy_start() { # FILTER COUNT
    local i
    healthy_pid=()
    for ((i = 0; i < healthy; i++)); do
        background broker sub "$1" -n "$2" --raw --overflow block --set block-timeout=60s \
            >/dev/null 2>"$TMP/healthy.$i"
        healthy_pid+=($!)
    done
    for ((i = 0; i < healthy; i++)); do wait_until 10 grep -q subscribed "$TMP/healthy.$i"; done
}
healthy_end() { # each ended by itself, and lost nothing (a gap would be exit status 6)
    local i
    for ((i = 0; i < healthy; i++)); do
        ended_within 30 "${healthy_pid[$i]}"
        assert_eq "$status" 0 "exit status of healthy subscriber $i: $(cat "$TMP/healthy.$i")"
    done
}

# The most memory brokerd has had, KiB.
peak_kib() {
    awk '/^VmHWM:/ { print $2 }' "/proc/$brokerd_pid/status"
}
within_budget() { # MIB
    local grown=$((($(peak_kib) - before) / 1024))
    echo "budget $1 MiB, at most $grown MiB used"
    [ -n "$SANITIZE" ] || [ "$grown" -le $(($1 * 11 / 10)) ] || fail "more than the budget and 10 %"
}
milliseconds() {
    echo $(($(date +%s%N) / 1000000))
}

echo "== 2 GiB at one that stalls, nine others are well"
# No limit but the budget: that is what is tried here.
conf="memory = \"${budget_mib}MiB\"
subscription \"#\" { max-messages = unlimited max-bytes = unlimited overflow = drop-oldest }"
brokerd_start
broker ping >/dev/null
before=$(rss_kib "$brokerd_pid")
head -c 65536 /dev/urandom >"$TMP/payload"

# How long a part of it takes while nobody stalls.
healthy_start big $((messages / 8))
begun=$(milliseconds)
broker pub big -n $((messages / 8)) --file "$TMP/payload"
healthy_end
unhindered=$(($(milliseconds) - begun))

broker events "\$SYS.slow_consumer" --json >"$TMP/events" 2>"$TMP/events.log" &
started+=($!)
wait_until 10 grep -q subscribed "$TMP/events.log"
stalled 1 big
healthy_start big $((messages + 1))
begun=$(milliseconds)
broker pub big -n $messages --file "$TMP/payload"
broker pub big end
healthy_end
took=$(($(milliseconds) - begun))
echo "took $took ms, $unhindered ms for an eighth of it without the stalled one"
[ -n "$SANITIZE" ] || [ $took -le $((unhindered * 8 * 3)) ] || fail "the stalled one slowed the others"
within_budget $budget_mib

# Operators see it, while it lasts and as it happens.
broker queue ls --all --json >"$TMP/queues"
assert_grep '"lost": ?\{"drop-oldest": ?[0-9]+\}' "$TMP/queues"
lost=$(sed -nE 's/.*"lost": ?\{"drop-oldest": ?([0-9]+)\}.*/\1/p' "$TMP/queues")
wait_until 10 grep -q drop-oldest "$TMP/events"

# It goes on: what it still gets and what it is told it lost is everything.
go_on 1
assert_eq "$(accounted 1)" $messages "delivered and lost together"
assert_grep "^lost $lost drop-oldest\$" "$TMP/stalled.1"
# And the memory goes back to where it came from: the operating system.
given_back() { [ $(($(rss_kib "$brokerd_pid") - before)) -le $((100 << 10)) ]; }
[ -n "$SANITIZE" ] || wait_until 20 given_back
brokerd_stop

echo "== many tiny messages at many that stall, a small budget"
tiny=2000000
[ -z "$SANITIZE" ] || tiny=50000
conf='memory = "64MiB"
subscription "#" { max-messages = unlimited max-bytes = unlimited overflow = drop-oldest }'
brokerd_start
broker ping >/dev/null
before=$(rss_kib "$brokerd_pid")
for i in 11 12 13 14 15; do stalled $i 'tiny.#'; done
healthy=3
healthy_start 'tiny.*' $((tiny + 1))
broker pub tiny.x -n $tiny 0123456789abcdef
broker pub tiny.x end
healthy_end
within_budget 64
for i in 11 12 13 14 15; do
    go_on $i
    assert_eq "$(accounted $i)" $tiny "delivered and lost together"
done
brokerd_stop

echo "== with overflow = block the publisher is held by credit, and nothing is dropped"
conf='subscription "held.#" { max-messages = 100 overflow = block block-timeout = "60s" }
subscription "late.#" { max-messages = 100 overflow = block block-timeout = "1s" }'
brokerd_start
{ seq 1 50000; echo end; } >"$TMP/lines"
stalled 21 held.x
background broker pub held.x --lines --json <"$TMP/lines" >"$TMP/published" 2>"$TMP/pub.log"
pub=$!
# The queue has taken what has room; the rest of the window stands before it, and no more comes.
held() {
    broker queue ls --all --json | sed -nE 's/.*"depth": ?100,.*"held": ?([0-9]+),.*/\1/p'
}
publisher_is_held() { [ "$(held)" -gt 0 ]; }
wait_until 10 publisher_is_held
broker why held.x >"$TMP/why"
assert_grep '^=> .*credit 0' "$TMP/why"
# Others pass it by meanwhile.
background broker sub other.x -n 1000 --raw >"$TMP/other" 2>"$TMP/other.log"
other=$!
wait_until 10 grep -q subscribed "$TMP/other.log"
seq 1 1000 | broker pub other.x --lines
ended_within 10 "$other"
assert_same "$TMP/other" <(seq 1 1000)
process_ended "$pub" && fail "the publisher was not held"
[ "$(held)" -le 32768 ] || fail "$(held) messages are held: more than a publisher's credit"
# The subscriber goes on, and so does the publisher: nothing was lost.
go_on 21
ended_within 20 "$pub"
assert_eq "$status" 0 "exit status of the held publisher"
assert_grep '"accepted":50001,"unmatched":0,"unknown":0,"refused":0,"dropped":0' "$TMP/published"
assert_eq "$(cat "$TMP/stalled.21")" "$(printf 'subscribed\ndelivered 50000')"

echo "== after the hold time the fallback applies"
stalled 22 late.x # (fallback: reject)
begun=$(milliseconds)
status=0
broker pub late.x --lines <"$TMP/lines" 2>"$TMP/pub.log" || status=$?
took=$(($(milliseconds) - begun))
assert_eq "$status" 1 "exit status of a publisher that was refused"
assert_grep '49900 of 50001 messages refused: 49900 full' "$TMP/pub.log"
[ $took -ge 1000 ] || fail "the hold ended after $took ms"
[ $took -le $((5000 * SLOW)) ] || fail "one stuck consumer cost its publisher $took ms"
stalled 23 late.y block-fallback=drop-oldest
broker pub late.y --lines <"$TMP/lines"
go_on 23
assert_eq "$(accounted 23)" 50000 "delivered and lost together"
assert_grep '^lost 49[0-9]{3} drop-oldest$' "$TMP/stalled.23"
brokerd_stop

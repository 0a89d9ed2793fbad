#!/bin/bash
# Connections with a subscription that wait cost next to nothing: little memory, no processor time,
# and none of either once they are gone. (test_connections.sh: those without a subscription.)
# limit: 90 s
. "$(dirname "$0")/lib.sh"

# Each costs a descriptor here and one there; where fewer are allowed, fewer are tried.
ulimit -Sn "$(ulimit -Hn)"
most=$(ulimit -n)
count=10000
[ "$most" = unlimited ] || [ "$most" -ge 10200 ] || count=$((most - 200))
[ "$count" -ge 4000 ] || fail "only $most descriptors are allowed: too few to say anything"
[ -z "$SANITIZE" ] || count=1000 # a sanitizer's own memory is all that could be measured

# Start `idle`; it holds its connections until descriptor 9 is closed.
mkfifo "$TMP/hold"
start_idle() {
    exec 9<>"$TMP/hold"
    background "$OUT/tests/programs/idle" $count idle <"$TMP/hold" >"$TMP/idle.out" 9>&-
    idle=$!
    wait_until 30 grep -q ready "$TMP/idle.out"
}
end_idle() {
    exec 9>&-
    ended_within 20 "$idle"
    assert_eq "$status" 0 "exit status of idle"
}

# at_most BYTES SINCE WHAT: brokerd has grown by at most so much for each connection. On a busy
# machine more of them are on their way at once, up to 1 KiB for each, so the limits leave room.
at_most() {
    local each=$((($(rss_kib "$brokerd_pid") - $2) * 1024 / count))
    echo "$each bytes for each of $count $3"
    [ -n "$SANITIZE" ] || [ "$each" -le "$1" ] || fail "more than $1 bytes for each of the $3"
}

# Clock ticks that brokerd has used so far.
ticks() {
    awk '{ print $14 + $15 }' "/proc/$brokerd_pid/stat"
}

brokerd_start
broker ping
before=$(rss_kib "$brokerd_pid")
start_idle
at_most 2048 "$before" subscribers

# Nothing happens, so brokerd does nothing: soon there are two seconds with no tick of 200 used.
quiet() {
    local used
    used=$(ticks)
    sleep 2 # what is measured, not waited for
    [ "$(ticks)" -eq "$used" ]
}
[ -n "$SANITIZE" ] || wait_until 15 quiet

# A message for none of them disturbs none.
broker pub idle.none x 2>"$TMP/said"
assert_grep 'matched no queue' "$TMP/said"

# All go at once, and leave nothing behind: the next find the memory of those before them.
highest=$(rss_kib "$brokerd_pid")
end_idle
start_idle
at_most 768 "$highest" "subscribers after those"
end_idle
brokerd_stop

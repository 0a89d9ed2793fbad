#!/bin/bash
# Those who connect and do nothing, too little, or nonsense, cost little and harm nobody.
# limit: 150 s
. "$(dirname "$0")/lib.sh"

cc -std=gnu11 -Wall -Wextra -Werror -o "$TMP/crowd" tests/integration/crowd.c
mkfifo "$TMP/hold"
max=$(ulimit -Hn)
n=10000
[ "$max" -gt $((n + 200)) ] || n=$((max - 200)) # each is a descriptor

crowd_starts() { # HEX: $n connections; they stay until crowd_ends
    : >"$TMP/crowd.out"
    exec 9<>"$TMP/hold"
    "$TMP/crowd" "$BROKER_URL" "$n" "$1" <"$TMP/hold" >"$TMP/crowd.out" 9>&- &
    crowd_pid=$!
    started+=("$crowd_pid")
    wait_until 40 grep -q there "$TMP/crowd.out"
}

crowd_ends() { # the number the broker had closed is in $closed
    exec 9>&-
    ended_within 20 "$crowd_pid"
    assert_eq "$status" 0 "exit status of crowd"
    closed=$(sed -n 's/^closed //p' "$TMP/crowd.out")
}

sockets() { # at least so many
    [ "$(find "/proc/$brokerd_pid/fd" -lname 'socket:*' | wc -l)" -ge "$1" ]
}
fewer_sockets() {
    ! sockets "$1"
}
conf='limits { max-connections = 20000 first-frame-timeout = "60s" }'
brokerd_start

# 10,000 that never say a word, while others work.
background broker sub 'work.#' -n 1000 --raw >"$TMP/got" 2>"$TMP/sub.log"
subscriber=$!
wait_until 10 grep -q subscribed "$TMP/sub.log"
before=$(rss_kib "$brokerd_pid")
crowd_starts ""
broker ping
seq 1 1000 | broker pub work.x --lines
ended_within 20 "$subscriber"
assert_eq "$status" 0 "exit status of sub"
assert_same "$TMP/got" <(seq 1 1000)
sockets "$n" || fail "there are not $n connections"
after=$(rss_kib "$brokerd_pid")
echo "$n half-open connections: $(((after - before) * 1024 / n)) bytes each"
[ -n "$SANITIZE" ] || [ $(((after - before) * 1024)) -le $((n * 2048)) ] ||
    fail "$n half-open connections cost $((after - before)) KiB"
crowd_ends
assert_eq "$closed" 0 "half-open connections closed before their time"

brokerd_stop

# 10,000 that have said who they are: SETUP 1.0, keep-alive 60 s, lifetime 10 min, two types.
hex() {
    printf '%s' "$1" | od -An -v -tx1 | tr -d ' \n'
}
type=10$(hex application/json)
body=000000000400000100000000ea60000927c0$type$type
setup=$(printf '%06x' $((${#body} / 2)))$body
brokerd_start
broker ping
before=$(rss_kib "$brokerd_pid")
crowd_starts "$setup"
wait_until 10 sockets "$n"
broker ping
after=$(rss_kib "$brokerd_pid")
echo "$n idle connections: $(((after - before) * 1024 / n)) bytes each"
[ -n "$SANITIZE" ] || [ $(((after - before) * 1024)) -le $((n * 2048)) ] ||
    fail "$n idle connections cost $((after - before)) KiB"
crowd_ends
assert_eq "$closed" 0 "idle connections closed before their time"
broker ping
brokerd_stop

# Who does not say what it is in time has to go, and so has one too many.
conf='limits { max-connections = 50 first-frame-timeout = "300ms" }'
brokerd_start
n=40
crowd_starts 0000
wait_until 10 sockets 40
wait_until 10 fewer_sockets 5
crowd_ends
assert_eq "$closed" 40 "connections closed for want of a first frame"
wait_until 5 grep -q 'no complete first frame in time' "$brokerd_log"
n=60
crowd_starts ""
exec 9>&-
ended_within 20 "$crowd_pid"
wait_until 5 grep -q 'too many connections' "$brokerd_log"

# Random bytes, a frame too large, a length that never comes.
for i in 1 2 3 4 5 6 7 8 9 10; do
    head -c 20000 /dev/urandom >"$TMP/noise.$i"
    # the broker may close before all is sent
    { cat "$TMP/noise.$i" >"/dev/tcp/127.0.0.1/${BROKER_URL##*:}"; } 2>/dev/null || true
done
broker ping
brokerd_stop

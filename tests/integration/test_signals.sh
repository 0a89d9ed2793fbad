#!/bin/bash
# What signals do: drain, stop, reload; and what a service manager hears of it.
# limit: 120 s
. "$(dirname "$0")/lib.sh"

cc -std=gnu11 -Wall -Wextra -Werror -o "$TMP/manager" tests/integration/manager.c

# SIGTERM: who is connected is told, and brokerd does not wait for ever.
brokerd_start
background broker sub 'a.#' >/dev/null 2>"$TMP/sub.log"
wait_until 10 grep -q subscribed "$TMP/sub.log"
brokerd_stop
assert_grep 'stopping \(SIGTERM\)' "$brokerd_log"

# SIGUSR2: no new connections, those that are there go, then brokerd ends.
conf='drain-timeout = "2s"'
brokerd_start
background broker sub 'a.#' >/dev/null 2>"$TMP/sub.log"
wait_until 10 grep -q subscribed "$TMP/sub.log"
kill -USR2 "$brokerd_pid"
refuses() {
    [ "$(status_of broker ping)" = 3 ]
}
wait_until 10 refuses
ended_within 20 "$brokerd_pid"
assert_eq "$status" 0 "exit status after SIGUSR2"
assert_grep 'draining' "$brokerd_log"

# A second SIGTERM ends it at once, also when the first has ended it already.
conf=
brokerd_start
kill -TERM "$brokerd_pid"
kill -TERM "$brokerd_pid" 2>/dev/null || true
ended_within 10 "$brokerd_pid"
assert_eq "$status" 0 "exit status after two SIGTERM"

# SIGHUP: what applies now, what takes a restart, and what is wrong: then all stays as it was.
conf='memory = "100MiB"'
brokerd_start
settings() {
    printf 'workers = %s\nplacement = %s\n%s\n' "$1" "$PLACEMENT" "$2" >"$TMP/brokerd.conf"
    kill -HUP "$brokerd_pid"
}
settings 3 'memory = "50MiB"'
wait_until 10 grep -q 'reloaded' "$brokerd_log"
assert_grep 'memory = 50MiB \(was 100MiB\)' "$brokerd_log"
assert_grep 'workers = 3 takes a restart; it stays 2' "$brokerd_log"
settings 3 'memry = "10MiB"'
wait_until 10 grep -q 'the old ones stay' "$brokerd_log"
assert_grep 'brokerd\.conf:3: .*memry' "$brokerd_log"
broker ping
brokerd_stop

# An address in use, one that cannot be, a folder that is not there.
conf=
brokerd_start
brokerd -c /dev/null -l "$BROKER_URL" 2>"$TMP/said" && fail "two on one address"
assert_eq "$(status_of brokerd -c /dev/null -l "$BROKER_URL")" 71 "exit status, address in use"
assert_grep "cannot listen on $BROKER_URL: .*in use" "$TMP/said"
brokerd_stop
assert_eq "$(status_of brokerd -c /dev/null -l "unix://$TMP/none/s")" 71 "no such folder"

# A Unix socket: used, removed at the end, and taken over from one that was killed.
brokerd_start -l "unix://$TMP/sock"
broker ping -s "unix://$TMP/sock"
assert_eq "$(stat -c %a "$TMP/sock")" 660 "permissions of the socket"
kill -KILL "$brokerd_pid"
ended_within 10 "$brokerd_pid"
[ -S "$TMP/sock" ] || fail "the socket of a killed brokerd is gone"
brokerd_start -l "unix://$TMP/sock"
broker ping -s "unix://$TMP/sock"
brokerd_stop
[ ! -e "$TMP/sock" ] || fail "the socket was left behind"

# A service manager: hands over a socket, hears READY, RELOADING, WATCHDOG, STOPPING.
echo "placement = $PLACEMENT" >"$TMP/managed.conf"
background "$TMP/manager" "$TMP" rsocket brokerd -c "$TMP/managed.conf" >"$TMP/heard" 2>"$brokerd_log"
manager=$!
wait_until 10 grep -q READY=1 "$TMP/heard"
brokerd_pid=$(sed -n 's/^started //p' "$TMP/heard")
BROKER_URL=$(sed -nE 's/.*brokerd [^ ]+ ready on ([^ ,]+).*/\1/p' "$brokerd_log")
assert_eq "$(grep -c 7070 "$brokerd_log")" 0 "the default listener beside one handed over"
broker ping
wait_until 10 grep -q WATCHDOG=1 "$TMP/heard"
kill -HUP "$brokerd_pid"
wait_until 10 grep -qE 'RELOADING=1 MONOTONIC_USEC=[0-9]+' "$TMP/heard"
ready_twice() {
    [ "$(grep -c READY=1 "$TMP/heard")" -eq 2 ]
}
wait_until 10 ready_twice
kill -TERM "$brokerd_pid"
ended_within 20 "$manager"
assert_eq "$status" 0 "exit status under a manager"
assert_grep STOPPING=1 "$TMP/heard"

#!/bin/bash
# limit: 90 s
# Exit codes, help, a broker that is not there, one that goes away and comes back, messages lost.
. "$(dirname "$0")/lib.sh"

echo "== help of every command, and its exit status without one"
broker --help >"$TMP/help"
broker --version >/dev/null
commands=$(sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' "$TMP/help")
[ "$(wc -w <<<"$commands")" -ge 11 ] || fail "help lists: $commands"
for c in $commands; do
    broker "$c" --help >"$TMP/help" || fail "help of $c"
    assert_grep "^Usage: broker $c" "$TMP/help"
done
for c in ls add info peek purge move rm; do
    broker queue $c --help >"$TMP/help"
    assert_grep "^Usage: broker queue $c" "$TMP/help"
done
for bad in '' 'nothing' 'pub' 'sub' 'queue' 'queue nothing' 'pub a b c' 'pub a --nothing' 'sub a -n 0' \
    'sub a --ack manual' 'sub a --raw --hex' 'pub a b --lines' 'ping x' '-s' 'ping -s ftp://x' \
    'pub a -H x' 'sub a --set x' 'route a..b' 'route a# a' 'completion fish'; do
    # shellcheck disable=SC2086 # several words
    assert_eq "$(status_of broker $bad)" 2 "broker $bad"
done

echo "== what needs no broker"
assert_eq "$(broker route 'a.*.#' a.b)" 'a.*.# matches a.b' route
assert_eq "$(status_of broker route 'a.*' b)" 1 "no match"
bash -n <(broker completion bash)
broker completion bash >"$TMP/words"
assert_grep 'sub --set.*from=' "$TMP/words"

echo "== nobody there, and nobody who answers"
export BROKER_URL=tcp://127.0.0.1:1
for c in 'ping' 'pub a b' 'sub a' 'info' 'queue ls' 'bench pub -n 1'; do
    # shellcheck disable=SC2086
    assert_eq "$(status_of broker $c)" 3 "unreachable: broker $c"
done
assert_eq "$(status_of broker ping -s tcp://127.0.0.1:1,unix:///nowhere)" 3 "several addresses"

brokerd_start
echo "== the second address is tried when the first is dead"
broker ping -s tcp://127.0.0.1:1 -s "$BROKER_URL" >/dev/null
assert_eq "$(status_of broker pub 'a..b' x)" 2 "a bad topic"
assert_eq "$(status_of broker sub 'a#')" 2 "a bad filter"

echo "== standard descriptors closed: nothing is written into the connection by mistake"
broker pub nobody.here -q <&- >&- 2>&-
broker ping <&- >&- 2>&-

echo "== messages lost: said, and exit 6"
# Room for ten; the subscriber has granted credit for one, and stands still.
background broker sub 'gap.#' --max-messages 10 --credit 1 -n 5 --raw >"$TMP/gap" 2>"$TMP/gap.err"
sub=$!
wait_until 10 grep -q subscribed "$TMP/gap.err"
kill -STOP "$sub"
broker pub gap.x -n 1000 hello
kill -CONT "$sub"
ended_within 10 "$sub"
assert_eq "$status" 6 "lost messages"
assert_eq "$(wc -l <"$TMP/gap")" 5 "messages that came"
assert_grep 'lost 9[0-9][0-9] messages \(drop-oldest\)' "$TMP/gap.err"

echo "== the broker is killed and comes back: repaired, and the gap is told"
background broker sub 'again.#' -n 2 --raw >"$TMP/again" 2>"$TMP/again.err"
sub=$!
wait_until 10 grep -q subscribed "$TMP/again.err"
broker pub again.x before
wait_until 10 test -s "$TMP/again"
kill -KILL "$brokerd_pid"
wait_until 10 grep -q 'connection to .* lost' "$TMP/again.err"
assert_eq "$(status_of broker ping)" 3 "while it is gone"
url=$BROKER_URL
brokerd -c "$TMP/brokerd.conf" -l "$url" 2>>"$brokerd_log" &
brokerd_pid=$!
started+=("$brokerd_pid")
wait_until 10 grep -q 'connected again' "$TMP/again.err"
# The subscription is in force again some time after that: until then nobody receives it.
wait_until 10 broker pub again.x --require after
ended_within 10 "$sub"
assert_eq "$status" 6 "an unknown number was lost"
printf 'before\nafter\n' >"$TMP/wanted"
assert_same "$TMP/again" "$TMP/wanted"
assert_grep 'lost an unknown number of messages \(disconnected\)' "$TMP/again.err"

echo "== it is killed and does not come back: an end with an error, not a zombie"
background broker sub 'again.#' --patience 300ms 2>"$TMP/gone.err"
sub=$!
wait_until 10 grep -q subscribed "$TMP/gone.err"
kill -KILL "$brokerd_pid"
ended_within 20 "$sub"
assert_eq "$status" 3 "lost for good"
assert_grep 'not repaired in time' "$TMP/gone.err"

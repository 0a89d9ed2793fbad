#!/bin/bash
# limit: 120 s
# `broker pub` and `broker sub`: what goes in comes out, byte for byte, and stderr and the exit
# status say what did not.
. "$(dirname "$0")/lib.sh"

# subscribe FILE FILTER [OPTIONS]: start `broker sub`, its output in FILE, and wait until it is
# in force; its process id in $sub.
subscribe() {
    local file=$1
    shift
    background broker sub "$@" >"$file" 2>"$file.err"
    sub=$!
    wait_until 10 subscribed_or_ended "$file"
    grep -q subscribed "$file.err" || fail "sub $* ended: $(cat "$file.err")"
}

subscribed_or_ended() {
    grep -q subscribed "$1.err" || process_ended "$sub"
}

# received FILE WANTED: the subscription ends by itself, well, and FILE is as wanted.
received() {
    ended_within 30 "$sub"
    assert_eq "$status" "${3:-0}" "sub's exit status"
    assert_same "$1" "$2"
}

brokerd_start

echo "== a file of 100,000 lines, empty ones and non-ASCII ones included"
awk 'BEGIN { srand(1); for (i = 1; i <= 100000; i++) {
    n = int(rand() * 120); s = i % 97 ? i " " : ""; if (n > 110) s = s "\xc3\xa4\xff\x01";
    if (s != "") for (; n > 0; n--) s = s "x"; print s } }' >"$TMP/lines"
assert_eq "$(wc -l <"$TMP/lines")" 100000 lines
subscribe "$TMP/copy" 'logs.#' -n 100000 --raw
broker pub logs.x --lines <"$TMP/lines"
received "$TMP/copy" "$TMP/lines"

echo "== the same from a pipe that trickles, without a last newline, and some of it"
subscribe "$TMP/copy" logs.x -n 3 --raw
{ printf 'one\ntw'; printf 'o\n'; printf 'three'; } | broker pub logs.x --lines
printf 'one\ntwo\nthree\n' >"$TMP/wanted"
received "$TMP/copy" "$TMP/wanted"
subscribe "$TMP/copy" logs.x -n 2 --raw
broker pub logs.x --lines -n 2 --file "$TMP/wanted"
head -n 2 "$TMP/wanted" >"$TMP/two"
received "$TMP/copy" "$TMP/two"

echo "== binary payloads, up to the largest"
for size in 0 1 65536 $(((16 << 20) - 1024)) $((64 << 20)); do
    head -c "$size" /dev/urandom >"$TMP/payload"
    subscribe "$TMP/copy" 'binary.*' -n 1 --no-newline
    broker pub binary.x --file "$TMP/payload"
    received "$TMP/copy" "$TMP/payload"
    # the same from stdin
    subscribe "$TMP/copy" 'binary.*' -n 1 --no-newline
    broker pub binary.x <"$TMP/payload"
    received "$TMP/copy" "$TMP/payload"
done
head -c $(((64 << 20) + 1)) /dev/zero >"$TMP/payload"
assert_eq "$(status_of broker pub binary.x --file "$TMP/payload")" 1 "one byte too many"

echo "== formats"
subscribe "$TMP/copy" 'f.#' -n 3
broker pub f.a hello
printf 'a\nb\x00\xff' | broker pub f.b
broker pub f.c -H k:v ''
printf 'f.a  hello\nf.b  a\\nb\\x00\\xff\nf.c  \n' >"$TMP/wanted"
received "$TMP/copy" "$TMP/wanted"
subscribe "$TMP/copy" 'f.#' -n 2 --json
broker pub f.a -H k:v -H 'w: x"y' --type text/plain 'he"llo'
printf '\x00\xff' | broker pub f.b
cat >"$TMP/wanted" <<'END'
{"topic":"f.a","data":"he\"llo","type":"text/plain","headers":{"k":"v","w":"x\"y"},"number":1,"attempt":1}
{"topic":"f.b","base64":"AP8=","type":"application/octet-stream","number":2,"attempt":1}
END
received "$TMP/copy" "$TMP/wanted"
subscribe "$TMP/copy" 'f.#' -n 1 --hex
printf '\x00\xff' | broker pub f.b
echo 'f.b  00ff' >"$TMP/wanted"
received "$TMP/copy" "$TMP/wanted"

echo "== receipts, and exit 1 for what was refused"
subscribe "$TMP/copy" 'r.#'
broker pub r.x --confirm -n 2 hi >"$TMP/receipts"
printf '%s accepted: matched 1, accepted 1\n' 1 2 >"$TMP/wanted"
assert_same "$TMP/receipts" "$TMP/wanted"
assert_eq "$(broker pub r.x --json -n 3 hi)" \
    '{"published":3,"accepted":3,"unmatched":0,"unknown":0,"refused":0,"dropped":0,"reasons":{}}' json
broker pub nobody.here hi 2>"$TMP/err" # is no failure, but said
assert_grep '1 of 1 messages matched no queue' "$TMP/err"
status=0
broker pub nobody.here --require -n 5 hi 2>"$TMP/err" || status=$?
assert_eq "$status" 1 "refused"
assert_grep '5 of 5 messages refused: 5 no-match' "$TMP/err"

echo "== interrupted, a reader that has had enough, a time limit"
kill -INT "$sub"
ended_within 10 "$sub"
assert_eq "$status" 0 "interrupted"
assert_grep '5 messages' "$TMP/copy.err"
mkfifo "$TMP/fifo"
head -n 1 <"$TMP/fifo" >/dev/null &
broker sub 'e.#' >"$TMP/fifo" 2>"$TMP/fifo.err" &
sub=$!
started+=("$sub")
wait_until 10 grep -q subscribed "$TMP/fifo.err"
until process_ended "$sub"; do
    broker pub -q e.x hi # it hears that the reader has gone when it writes again
done
ended_within 10 "$sub"
assert_eq "$status" 0 "a reader that has gone"
assert_eq "$(status_of broker sub nothing --timeout 100ms)" 5 "timed out"

brokerd_stop

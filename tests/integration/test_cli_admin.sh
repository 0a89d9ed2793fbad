#!/bin/bash
# The commands that look into a broker and after its queues say what is there.
. "$(dirname "$0")/lib.sh"

# has PATTERN COMMAND [ARGS]: the command succeeds, and a line it prints is like PATTERN.
has() {
    local pattern=$1
    shift
    "$@" >"$TMP/out" || fail "$* failed"
    assert_grep "$pattern" "$TMP/out"
}

# refused STATUS PATTERN COMMAND [ARGS]: it exits with STATUS, and says so.
refused() {
    local wanted=$1 pattern=$2 rc=0
    shift 2
    "$@" >"$TMP/out" 2>"$TMP/err" || rc=$?
    assert_eq "$rc" "$wanted" "$*"
    assert_grep "$pattern" "$TMP/err"
}

json() { # EXPRESSION of the object `v` on stdin
    python3 -c 'import json, sys; v = json.load(sys.stdin); print(eval(sys.argv[1]))' "$1"
}

brokerd_start
background broker events --json >"$TMP/events" 2>"$TMP/events.err"
wait_until 10 grep -q subscribed "$TMP/events.err"

echo "== the broker"
has '^brokerd +[0-9.]+, process' broker info
assert_eq "$(broker info --json | json 'len(v["workers"])')" 2 workers
has '^in [0-9,]+/s' broker top -i 50ms

echo "== a queue: made, bound, filled, looked into"
broker queue add jobs --bind 'jobs.*' --set max-messages=50
refused 1 'invalid: .*no-such' broker queue add other --set no-such=1
broker queue add jobs --bind 'more.#' 2>"$TMP/err"
assert_grep 'was there already' "$TMP/err"
broker pub jobs.x -n 10 hello
broker pub more.x -H k:v $'two\nlines'
has '^jobs +11 ' broker queue ls
assert_eq "$(broker queue ls 'nothing.*' --json)" '{"queues":[]}' "no such queues"
has '^depth +11$' broker queue info jobs
assert_eq "$(broker queue info jobs --json | json 'sorted(v["bindings"]), v["policy"]["max-messages"]')" \
    "(['jobs.*', 'more.#'], '50')" "bindings and a setting"
assert_eq "$(broker queue peek jobs -n 3 | wc -l)" 3 "messages peeked at"
has 'more\.x  two\\nlines$' broker queue peek jobs -n 100
assert_eq "$(broker queue peek jobs -n 100 --bytes 2 --json | json 'v["messages"][0]["data"], v["messages"][0]["size"]')" \
    "('he', 5)" "the beginning of a payload"
has '^jobs +more\.#' broker route more.of.it
refused 1 'reaches no queue' broker route nobody.here

echo "== full: refused, and why"
refused 1 '11 of 50 messages refused: 11 full' broker pub --queue jobs -n 50 x
has '=> .*jobs' broker why jobs
refused 1 'knows no topic' broker why nonsense

echo "== moved, emptied, deleted"
refused 1 'not-found' broker queue move jobs nowhere
broker queue add later
has '^5 messages moved' broker queue move jobs later -n 5
has '^later +5 ' broker queue ls
assert_eq "$(broker sub --queue later -n 5 --raw | sort | uniq -c | tr -s ' ')" ' 5 hello' "moved messages"
refused 1 'invalid' broker queue rm jobs --if-empty
has '^45 messages dropped' broker queue purge jobs
broker queue rm jobs --if-empty --if-unused
refused 1 'not-found' broker queue info jobs
for c in 'info' 'peek' 'purge' 'rm'; do
    refused 1 'not-found' broker queue $c jobs
done

echo "== events told of it"
wait_until 10 grep -q '"queue_gone"' "$TMP/events"
assert_grep '"queue_made".*"jobs"|"jobs".*"queue_made"' "$TMP/events"

brokerd_stop

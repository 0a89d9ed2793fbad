#!/bin/bash
# limit: 150 s
# `broker request`, `stream`, `channel` and `serve` through a broker: every model, credit from end to
# end, errors and their exit codes, cancel, servers that come, share, and die.
. "$(dirname "$0")/lib.sh"

# serve NAME SERVICE [OPTIONS] -- COMMAND: start `broker serve` and wait until it is in force; its
# process id in $server, its stderr in $TMP/NAME.log, its stdout in $TMP/NAME.out.
serve() {
    local name=$1
    shift
    : >"$TMP/$name.log"
    background broker serve "$@" >"$TMP/$name.out" 2>"$TMP/$name.log"
    server=$!
    wait_until 10 grep -q serving "$TMP/$name.log"
}

# served PID: it ends in good order when it is told to.
served() {
    kill -INT "$1"
    ended_within 20 "$1"
    assert_eq "$status" 0 "exit status of serve"
}

# call WANTED_STATUS COMMAND...: its exit status is that; stdout in $TMP/got, stderr in $TMP/err.
call() {
    local wanted=$1 rc=0
    shift
    "$@" >"$TMP/got" 2>"$TMP/err" || rc=$?
    assert_eq "$rc" "$wanted" "exit status of $* ($(cat "$TMP/err"))"
}

brokerd_start

echo "== nobody serves it; somebody will, soon"
call 1 broker request nobody/x hi
assert_grep 'no-server' "$TMP/err"
call 2 broker request nobody hi
background broker request late/x hi --wait 20 --timeout 20 >"$TMP/waited"
waiting=$!
serve late late -- tr a-z A-Z
ended_within 20 "$waiting"
assert_eq "$status" 0 "a request that waits"
assert_eq "$(cat "$TMP/waited")" HI
served "$server"

echo "== request: every byte there and back, also of a large one"
serve cat cat --type text/x -H k:v -- cat
call 0 broker request cat/x hello
assert_eq "$(cat "$TMP/got")" hello
call 0 broker request cat/x hello --json
assert_eq "$(cat "$TMP/got")" '{"data":"hello","type":"text/x","headers":{"k":"v"}}'
head -c 3000000 /dev/urandom >"$TMP/large"
call 0 broker request cat/x --no-newline - <"$TMP/large"
assert_same "$TMP/got" "$TMP/large"
call 0 broker request cat/x --no-newline --file "$TMP/large"
assert_same "$TMP/got" "$TMP/large"
call 0 broker request cat/x
assert_eq "$(wc -c <"$TMP/got")" 1 "an empty answer, and its newline"
served "$server"

echo "== what the caller says reaches the command, and no shell"
# shellcheck disable=SC2016 # expanded by the command, and by nobody
serve env env -- sh -c 'cat; printf "|%s" "$BROKER_SERVICE" "$BROKER_METHOD" "$BROKER_MODEL" "$BROKER_HEADER_X_Y"'
# shellcheck disable=SC2016
call 0 broker request 'env/a;b/$(c)' -H 'x-y:$(touch '"$TMP"'/oh)`touch '"$TMP"'/no`' '; touch '"$TMP"'/dear'
assert_eq "$(cat "$TMP/got")" "; touch $TMP/dear|env|a;b/\$(c)|request|\$(touch $TMP/oh)\`touch $TMP/no\`"
for file in oh no dear; do [ ! -e "$TMP/$file" ] || fail "a shell has seen what the call carried"; done
served "$server"

echo "== stream, all of it and some"
serve seq seq --json -- seq 20000
call 0 broker stream seq/x
seq 20000 >"$TMP/wanted"
assert_same "$TMP/got" "$TMP/wanted"
call 0 broker stream seq/x --credit 1 -n 20
assert_same "$TMP/got" <(seq 20)
served "$server"
assert_grep '"model":"stream","outcome":"done","exit":0,"answers":20000' "$TMP/seq.out"

echo "== a slow caller: the command goes no further than credit, and the pipe to it"
# shellcheck disable=SC2016
serve slow slow -- sh -c 'i=0; while :; do i=$((i+1)); echo "$i 0123456789012345678901234567890123456789"; echo $i >"$0"; done' "$TMP/at"
mkfifo "$TMP/fifo"
exec 8<>"$TMP/fifo"
background broker stream slow/x --credit 4 >"$TMP/fifo" 8<&-
caller=$!
before=
equal=0
stopped() { # what it counts was the same at twenty looks in a row
    local now
    now=$(cat "$TMP/at" 2>/dev/null) || true
    if [ -n "$now" ] && [ "$now" = "$before" ]; then equal=$((equal + 1)); else equal=0; fi
    before=$now
    [ "$equal" -ge 20 ]
}
wait_until 30 stopped
# pipes (64 KiB each) of the command and of our fifo, credit, and what one read took
[ "$before" -lt 60000 ] || fail "the command went on to $before"
head -n 3 <&8 >"$TMP/three"
assert_eq "$(cut -d' ' -f1 "$TMP/three" | tr '\n' ' ')" "1 2 3 " "the first three"
exec 8<&-
ended_within 20 "$caller"
served "$server"

echo "== channel: lines up, answers down"
# shellcheck disable=SC2016 # awk's, not the shell's
serve sum sum -- awk '{ s += $1; print s; fflush() }'
seq 30000 >"$TMP/numbers"
call 0 broker channel sum/x <"$TMP/numbers"
awk '{ s += $1; print s }' "$TMP/numbers" >"$TMP/wanted"
assert_same "$TMP/got" "$TMP/wanted"
call 0 broker channel sum/x 7 </dev/null
assert_eq "$(cat "$TMP/got")" 7
call 0 broker channel sum/x </dev/null
assert_eq "$(cat "$TMP/got")" ""
call 0 broker channel sum/x -n 2 <"$TMP/numbers"
assert_eq "$(tr '\n' ' ' <"$TMP/got")" "1 3 "
served "$server"

echo "== errors: the command's, and one that cannot be started"
serve bad bad -- sh -c 'echo some; echo first >&2; echo "went wrong" >&2; exit 3'
call 1 broker request bad/x
assert_grep 'went wrong$' "$TMP/err"
assert_eq "$(cat "$TMP/got")" ""
call 1 broker stream bad/x
assert_eq "$(cat "$TMP/got")" some
served "$server"
serve none none -- /does/not/exist
call 1 broker request none/x
assert_grep 'cannot start' "$TMP/err"
served "$server"

echo "== a call that is given up ends its command"
# shellcheck disable=SC2016
serve sleep sleep -- sh -c 'echo $$ >"$0"; exec sleep 1000' "$TMP/pid"
call 5 broker request sleep/x --timeout 300ms
wait_until 10 test -s "$TMP/pid"
wait_until 10 process_ended "$(cat "$TMP/pid")"
: >"$TMP/pid"
background broker stream sleep/x
caller=$!
wait_until 10 test -s "$TMP/pid"
kill -KILL "$caller" # it cannot say a word
wait_until 10 process_ended "$(cat "$TMP/pid")"

echo "== a server that dies fails its calls, and the broker knows"
: >"$TMP/pid"
background broker request sleep/x 2>"$TMP/caller.err"
caller=$!
wait_until 10 test -s "$TMP/pid"
kill -KILL "$server"
ended_within 10 "$caller"
assert_eq "$status" 1 "a call whose server died"
call 1 broker request sleep/x
assert_grep 'no-server' "$TMP/err"
kill -KILL "$(cat "$TMP/pid")" # nobody is left to do it

echo "== two servers share the calls; no more processes than allowed"
serve one two --json -J 2 -- sh -c 'cat; sleep 0.1'
one=$server
serve two two --json -J 2 -- sh -c 'cat; sleep 0.1'
two=$server
callers=()
for i in $(seq 16); do
    background broker request two/x "$i"
    callers+=($!)
done >"$TMP/answers"
for pid in "${callers[@]}"; do
    ended_within 20 "$pid"
    assert_eq "$status" 0 "one of sixteen"
done
served "$one"
served "$two"
for name in one two; do
    [ "$(wc -l <"$TMP/$name.out")" -ge 4 ] || fail "$name answered $(wc -l <"$TMP/$name.out") of 16"
done
assert_eq "$(cat "$TMP/one.out" "$TMP/two.out" | wc -l)" 16 "calls of both"

echo "== one told to stop lets its calls finish, and takes no others"
# shellcheck disable=SC2016
serve stop stop -- sh -c 'read -r line; read -r more <"$0"; echo "$line $more"' "$TMP/fifo"
background broker request stop/x hello >"$TMP/stopped"
caller=$!
exec 9<>"$TMP/fifo"
running() { [ "$(pgrep -c -P "$server")" = 1 ]; }
wait_until 10 running
kill -INT "$server"
wait_until 10 grep -q stopping "$TMP/stop.log"
call 1 broker request stop/x hello # nobody else is there
assert_grep 'no-server: nobody' "$TMP/err"
echo there >&9
ended_within 10 "$caller"
assert_eq "$(cat "$TMP/stopped")" "hello there"
ended_within 10 "$server"
assert_eq "$status" 0 "exit status of serve"
exec 9>&-

echo "== one of two is told to stop under load: no call is refused"
serve one pair --json -- cat
one=$server
serve two pair --json -- cat
two=$server
background broker bench request pair/x -n 400 -w 32 -q
load=$!
busy() { [ "$(wc -l <"$TMP/one.out")" -ge 20 ]; }
wait_until 20 busy
served "$one"
ended_within 60 "$load"
assert_eq "$status" 0 "the load's exit status"
served "$two"
assert_eq "$(cat "$TMP/one.out" "$TMP/two.out" | wc -l)" 400 "calls of both"

echo "== the broker goes: a call says so, a server comes back to the next"
serve back back -- cat
brokerd_stop
call 3 broker request back/x hi
port=${BROKER_URL##*:}
brokerd_start -l "tcp://127.0.0.1:$port"
again() { [ "$(grep -c serving "$TMP/back.log")" -ge 2 ]; }
wait_until 20 again
BROKER_URL=tcp://127.0.0.1:$port
call 0 broker request back/x hi
assert_eq "$(cat "$TMP/got")" hi
served "$server"

brokerd_stop

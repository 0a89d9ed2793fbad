#!/bin/bash
# The programs of docs/examples compile without a warning and do what they say.
# limit: 120 s
. "$(dirname "$0")/lib.sh"

san=
case $SANITIZE in
address) san=-fsanitize=address,undefined ;;
thread) san=-fsanitize=thread ;;
esac
for source in docs/examples/*.c; do
    name=$(basename "$source" .c)
    # shellcheck disable=SC2086 # flags are words
    cc -std=c11 -D_GNU_SOURCE -g -Wall -Wextra -pedantic -Werror $san -Ilibbroker/include "$source" \
        "$OUT/libbroker.a" -levent_core -pthread -o "$TMP/$name"
done
# C++ can include what C can
printf '#include <broker_libevent.h>\nint main() { return BROKER_OK; }\n' >"$TMP/both.cc"
c++ -std=c++11 -Wall -Wextra -pedantic -Werror -Ilibbroker/include -fsyntax-only "$TMP/both.cc"
cd "$TMP"

brokerd_start

# Every line once and in order, through a plain subscription of two filters.
seq 1 20000 >lines
background ./subscribe 20000 'lines.a' 'lines.*.b' >got 2>subscribe.log
subscriber=$!
wait_until 10 grep -q subscribed subscribe.log
./publish lines.a <lines
ended_within 20 "$subscriber"
assert_eq "$status" 0 "exit status of subscribe"
sed 's/^lines.a //' got >numbers
assert_same numbers lines
assert_eq "$(status_of ./publish nobody.listens <lines)" 1 "exit status where nobody listens"
assert_eq "$(BROKER_URL=tcp://127.0.0.1:1 status_of ./subscribe 1 x)" 1 "without a broker"

# A queue: what fails at first comes again, what is broken does not.
background ./worker jobs 4 >done1 2>worker.log
worker=$!
takes_a_job() { # until the worker has made the queue, nothing matches
    ./publish jobs <<<"one"
}
wait_until 10 takes_a_job
printf '%s\n' two later broken | ./publish jobs
ended_within 20 "$worker"
assert_eq "$status" 0 "exit status of worker"
assert_eq "$(sort done1)" "$(printf '%s\n' 'done: later (again)' 'done: one' 'done: two')"

# In a libevent loop: an echo.
background ./loop_libevent ask answer 3 2>loop.log
echo_pid=$!
background ./subscribe 3 answer >answers 2>answer.log
subscriber=$!
wait_until 10 grep -q subscribed loop.log
wait_until 10 grep -q subscribed answer.log
printf '%s\n' a b c | ./publish ask
ended_within 20 "$echo_pid"
assert_eq "$status" 0 "exit status of loop_libevent"
ended_within 20 "$subscriber"
assert_eq "$(cat answers)" "$(printf 'answer %s\n' a b c)"

# In a poll loop: what goes in comes back.
./loop_poll back.and.forth <lines >echoed
assert_same echoed lines

# A service of several threads, and callers of every model at once; nobody there; told to end.
mkfifo keep
exec 9<>keep
background ./serve sums 4 <keep 2>serve.log 9>&-
server=$!
wait_until 10 grep -q serving serve.log
callers=()
for i in 1 2 3 4; do
    background ./call sums 20000 >"called.$i"
    callers+=($!)
done
for pid in "${callers[@]}"; do
    ended_within 60 "$pid"
    assert_eq "$status" 0 "exit status of call"
done
for i in 1 2 3 4; do
    assert_eq "$(cat "called.$i")" "$(printf '%s\n' '40 and 2 are 42' '1 to 20000 make 200010000' \
        '20000 ones are 20000')" "what call said"
done
assert_eq "$(status_of broker request sums/nothing x)" 1 "no such method"
exec 9>&- # the end of its input
ended_within 20 "$server"
assert_eq "$status" 0 "exit status of serve"

brokerd_stop

#!/bin/bash
# `make run`: start brokerd on a free port and show messages on their way, to subscribers and
# through a work queue with two consumers. What is shown is checked: if a message does not
# arrive, this ends with 1. At a terminal brokerd then stays, to be played with; else it is
# stopped, and this ends by itself within seconds.
set -euo pipefail
cd "$(dirname "$0")/.."

PATH=$(cd "${OUT:-build}" && pwd):$PATH
tmp=$(mktemp -d)
brokerd_pid=

on_exit() {
    local rc=$?
    trap - EXIT INT TERM
    local left
    left=$(jobs -p)
    # shellcheck disable=SC2086 # process ids
    [ -z "$left" ] || kill $left 2>/dev/null || true
    wait || true
    if [ $rc -ne 0 ]; then
        echo "The demonstration failed. brokerd said:"
        tail -n 20 "$tmp/brokerd.log" 2>/dev/null || true
    fi >&2
    rm -rf "$tmp"
    exit $rc
}
trap on_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

title() {
    printf '\n== %s\n' "$*"
}

shown() { # COMMAND...: show it as it would be typed, then run it
    echo "\$ $*"
    "$@"
}

# listen FILE COMMAND...: the same in the background, its output in FILE; process id in $listener.
# Returns once the command says that it misses nothing from now on.
listen() {
    local file=$1
    shift
    echo "\$ $* &"
    "$@" >"$file" 2>"$file.err" &
    listener=$!
    until_ok "$* is subscribed" grep -q subscribed "$file.err"
}

# until_ok WHAT COMMAND...: try for ten seconds.
until_ok() {
    local what=$1 deadline=$((SECONDS + 10))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $deadline ] || ! kill -0 "$brokerd_pid"; then
            echo "$what: not within 10 s" >&2
            return 1
        fi
        sleep 0.05
    done
}

has_lines() { # N PATTERN FILE
    [ "$(grep -cE "$2" "$3")" -eq "$1" ]
}

expect() { # N PATTERN FILE WHO: exactly so many messages, soon
    until_ok "$1 messages for $4" has_lines "$1" "$2" "$3"
    sed "s/^/  $4 | /" "$3"
}

title "brokerd on a free port"
brokerd -c /dev/null -l tcp://127.0.0.1:0 2>"$tmp/brokerd.log" &
brokerd_pid=$!
until_ok "brokerd is ready" grep -q ' ready on ' "$tmp/brokerd.log"
BROKER_URL=$(sed -nE 's/.* ready on ([^ ,]+).*/\1/p' "$tmp/brokerd.log" | head -n 1)
export BROKER_URL
sed 's/^/  /' "$tmp/brokerd.log"

title "Two subscribers, one publisher"
listen "$tmp/temperature" broker sub 'sensors.*.temperature'
listen "$tmp/everything" broker sub 'sensors.#'

shown broker pub sensors.hall.temperature '21.5 C'
shown broker pub sensors.hall.humidity '48 %'
shown broker pub sensors.cellar.temperature '12.0 C'
expect 2 ' C' "$tmp/temperature" temperature
expect 3 ' [C%]' "$tmp/everything" everything

title "A work queue: two consumers share twelve jobs"
shown broker queue add jobs
listen "$tmp/worker-1" broker sub --queue jobs --ack auto -n 6 --credit 1
one=$listener
listen "$tmp/worker-2" broker sub --queue jobs --ack auto -n 6 --credit 1
two=$listener
echo "\$ seq -f 'job %g' 12 | broker pub jobs --lines"
seq -f 'job %g' 12 | broker pub jobs --lines
for pid in $one $two; do
    until_ok "six jobs for each consumer" eval "! kill -0 $pid"
    wait "$pid"
done
expect 6 'job [0-9]+' "$tmp/worker-1" worker-1
expect 6 'job [0-9]+' "$tmp/worker-2" worker-2
different=$(grep -ohE 'job [0-9]+' "$tmp/worker-1" "$tmp/worker-2" | sort -u | wc -l)
if [ "$different" -ne 12 ]; then
    echo "twelve jobs, but $different different ones were done" >&2
    exit 1
fi
shown broker queue ls

if [ -t 0 ] && [ -t 1 ]; then
    title "Now you. brokerd runs until Ctrl-C; in another terminal:"
    cat <<END
  cd $PWD
  export BROKER_URL=$BROKER_URL PATH=$(cd "${OUT:-build}" && pwd):\$PATH
  broker sub 'chat.#'                   # and in a third one:
  broker pub chat.hello 'good day'
  broker top                            # live rates, depths, slow consumers
  broker bench pubsub                   # how fast is it here?
  broker --help
END
    trap 'exit 0' INT TERM # this is how it is meant to end
    wait "$brokerd_pid"
else
    kill -TERM "$brokerd_pid"
    wait "$brokerd_pid"
    title "Done: every message arrived, and brokerd stopped when told to"
fi

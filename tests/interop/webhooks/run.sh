#!/bin/bash
# limit: 180 s
# What brokerd sends, verified by the npm package `standardwebhooks` in a node server that fails two
# of seven: every event arrives at least once, each signature is good, also with a second key.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/../../integration/lib.sh"

here=tests/interop/webhooks
if [ ! $here/node_modules/.package-lock.json -nt $here/package-lock.json ]; then
    (cd $here && npm ci --loglevel=error --no-audit --no-fund)
fi
new=whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=
old=whsec_ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=
n=200

start() { # NAME SECRET
    background node $here/receiver.js "$2" $n >"$TMP/$1" 2>"$TMP/$1.err"
    receiver=$!
    wait_until 20 test -s "$TMP/$1"
    port=$(head -n 1 "$TMP/$1")
}

section() { # NAME FORMAT
    echo "webhook \"$1\" { topic = \"$1.#\" url = \"http://127.0.0.1:$port/$1\" format = $2
    insecure = true allow = \"127.0.0.0/8\" secret = \"$new\" secret-old = \"$old\" window = 16
    timeout = 500ms break-time = 50ms break-time-max = 200ms
    retry = { 20ms, 50ms, 100ms, 100ms, 200ms, 200ms, 200ms, 400ms, 400ms, 400ms, 400ms, 400ms, 400ms } }"
}

start plain $new
pids=$receiver
conf=$(section plain plain)
start structured $old
pids+=" $receiver"
conf+=$'\n'$(section structured cloudevents-json)
brokerd_start
seq 1 $n | broker pub plain.x --lines -H 'note:grün'
seq 1 $n | sed 's/.*/{"number":&}/' | broker pub structured.x --lines --type application/json
for one in plain structured; do
    ended_within 60 "${pids%% *}"
    pids=${pids#* }
    tail -n 1 "$TMP/$one"
    cat "$TMP/$one.err"
    assert_eq "$status" 0 "$one: signatures"
    assert_grep "\"forged\":0.*\"events\":$n" "$TMP/$one"
done
brokerd_stop

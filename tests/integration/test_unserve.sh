#!/bin/bash
# limit: 60 s
# Who serves may stop, and its connection goes on: raw, and by libbroker.
. "$(dirname "$0")/lib.sh"

san=()
[ "$SANITIZE" != address ] || san=(-fsanitize=address -fsanitize=undefined)
[ "$SANITIZE" != thread ] || san=(-fsanitize=thread)
cc -std=gnu11 -g -Wall -Wextra -Werror "${san[@]}" -Ilibbroker/include \
    tests/integration/client/unserve.c "$OUT/libbroker.a" -pthread -o "$TMP/unserve"

for workers in 1 2; do
    echo "== $workers worker(s): raw"
    brokerd_start
    SLOW=$SLOW python3 tests/integration/client/unserve.py "${BROKER_URL#tcp://}"

    echo "== $workers worker(s): libbroker"
    mkfifo "$TMP/in"
    exec 9<>"$TMP/in"
    background "$TMP/unserve" lib <"$TMP/in" >"$TMP/said" 9>&-
    server=$!
    wait_until 10 grep -q serving "$TMP/said"
    broker request lib/x hi >"$TMP/got"
    broker info --json | grep -q '"lib"' || fail 'the broker does not know who serves'
    echo stop >&9
    wait_until 10 grep -q stopped "$TMP/said"
    forgotten() { ! broker info --json | grep -q '"lib"'; }
    wait_until 10 forgotten # its home may be another worker
    assert_eq "$(status_of broker request lib/x hi)" 1 'a call that nobody serves'
    exec 9>&-
    ended_within 10 "$server"
    assert_eq "$status" 0 'the server, whose connection was there all the while'
    rm "$TMP/in"
    brokerd_stop
done

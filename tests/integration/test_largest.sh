#!/bin/bash
# The largest message there may be arrives as it was sent, one of a byte more is refused
# `too-large`: in one frame and in many, asked for a receipt and not.
. "$(dirname "$0")/lib.sh"

for limit in $((256 << 10)) $((3 << 20)); do # what libbroker sends in one frame, and what it cuts
    conf="max-message = $limit"
    brokerd_start
    background broker sub 'size.#' -n 2 --no-newline >"$TMP/got" 2>"$TMP/sub.log"
    subscriber=$!
    wait_until 10 grep -q subscribed "$TMP/sub.log"
    head -c "$limit" /dev/urandom >"$TMP/largest"
    { cat "$TMP/largest" && printf x; } >"$TMP/larger"

    assert_eq "$(broker pub size.x --confirm --file "$TMP/larger" 2>"$TMP/said")" \
        "1 refused: too-large: larger than max-message" "receipt"
    assert_grep '1 of 1 messages refused: 1 too-large' "$TMP/said"
    status=0
    broker pub size.x --file "$TMP/larger" 2>"$TMP/said" || status=$?
    assert_eq "$status" 1 "exit status"
    assert_grep '1 of 1 messages refused: 1 too-large' "$TMP/said"

    broker pub size.x --confirm --file "$TMP/largest" >/dev/null
    broker pub size.x --file "$TMP/largest"
    ended_within 10 "$subscriber"
    assert_eq "$status" 0 "exit status of the subscriber"
    cat "$TMP/largest" "$TMP/largest" >"$TMP/wanted"
    assert_same "$TMP/got" "$TMP/wanted"
    brokerd_stop
done

#!/bin/bash
# A broker under load is killed again and again, at any instant; what it had confirmed must come,
# once it is back, and in order. KILLS=500 for the long campaign (make kill-loop).
# limit: 1200 s
. "$(dirname "$0")/lib.sh"

kills=${KILLS:-50}
mkdir "$TMP/journal"
conf="queue \"audit\" { durable = journal max-messages = unlimited max-bytes = unlimited }
store \"journal\" { path = \"$TMP/journal\" segment = \"1MiB\" }"

at=unix://$TMP/broker.sock
background "$OUT/tests/programs/auditor" -u "$at" -n 1000000000 -p 2 -w 512 -s 200 \
    -t $((60 * SLOW)) >"$TMP/verdict" 2>"$TMP/auditor.log"
auditor=$!
for ((i = 0; i < kills; i++)); do
    brokerd_start -l "$at"
    # the instant is meant to be any: from the first ms after a start to half a second later
    sleep "0.$(printf %03d $((RANDOM % 500)))"
    kill -KILL "$brokerd_pid"
    wait "$brokerd_pid" 2>/dev/null || true
    ! process_ended "$auditor" || fail "the auditor ended: $(cat "$TMP/auditor.log" "$TMP/verdict")"
done
brokerd_start -l "$at"
kill -TERM "$auditor"
ended_within 90 "$auditor"
cat "$TMP/verdict"
[ "$status" = 0 ] || fail "the auditor says $status: $(cat "$TMP/auditor.log")"
brokerd_stop

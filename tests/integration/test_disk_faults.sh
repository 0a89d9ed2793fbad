#!/bin/bash
# A disk that fails: a sync or a write with EIO at the k-th call, for each k; writes cut short; no
# space left. Never is anything confirmed that is not kept: the auditor watches all the time.
# FAULTS=300 for the long campaign: so many k.
# limit: 1200 s
. "$(dirname "$0")/lib.sh"

if [ -n "$SANITIZE" ]; then
    echo "not with a sanitizer: what is preloaded would come before its own"
    exit 0
fi
faults=${FAULTS:-16}
at=unix://$TMP/broker.sock
export SHIM_DIR=$TMP/journal
mkdir "$TMP/journal"
conf="queue \"audit\" { durable = journal max-messages = unlimited max-bytes = unlimited }
store \"journal\" { path = \"$TMP/journal\" segment = \"64KiB\" }"

audit() { # OPTIONS: begin
    background "$OUT/tests/programs/auditor" -u "$at" -n 1000000000 -w 128 -s 200 -t 60 "$@" \
        >"$TMP/verdict" 2>"$TMP/auditor.log"
    auditor=$!
}

audited() { # it ends, and the broker has kept its word
    kill -TERM "$auditor"
    ended_within 90 "$auditor"
    echo "$1: $(cat "$TMP/verdict")"
    [ "$status" = 0 ] || fail "$1: the auditor says $status: $(cat "$TMP/auditor.log")"
}

# start FAULT: a broker whose disk fails so.
start() {
    export LD_PRELOAD=$OUT/tests/fault/shim.so SHIM_FAULT=$1
    brokerd_start -l "$at"
    unset LD_PRELOAD SHIM_FAULT
}

# dies FAULT: a broker with it ends by itself, at once, and says so: with 75, or with 69 where it
# had not begun to serve.
dies() {
    printf '%s\n' "workers = $workers" "placement = $PLACEMENT" "$conf" >"$TMP/brokerd.conf"
    LD_PRELOAD=$OUT/tests/fault/shim.so SHIM_FAULT=$1 \
        brokerd -c "$TMP/brokerd.conf" -l "$at" 2>"$TMP/died.log" &
    started+=($!)
    ended_within 20 $!
    [ "$status" = 75 ] || { [ "$status" = 69 ] && ! grep -q ready "$TMP/died.log"; } ||
        fail "$1: exit status $status: $(cat "$TMP/died.log")"
    grep -qE 'Input/output error|quota exceeded|No space left' "$TMP/died.log" || fail "$1: $(cat "$TMP/died.log")"
}

audit
for ((k = 1; k <= faults; k++)); do
    dies "sync:$k:EIO"
    dies "write:$((k + 1)):EIO"
    [ "$k" -gt 6 ] || dies "dir:$k:EIO"
    # A sync that fails for want of space is no full disk that can be waited for.
    [ "$k" -gt 6 ] || dies "dir:$k:EDQUOT"
    [ "$k" -gt 6 ] || dies "sync:$k:ENOSPC"
done
published_more() { # than N, as the broker counts
    [ "$(broker queue info audit --json | sed -nE 's/.*"published": ?([0-9]+).*/\1/p')" -gt "$1" ]
}

# Then every second write is cut short: nobody but the broker notices.
start "write:/2:short"
wait_until 30 published_more 5000
audited "a disk that fails, and one that cuts writes short"
brokerd_stop

# No space: what is published is refused, what is there is delivered and settled; when there is
# space again all goes on, without anybody doing anything.
start "write:@$TMP/full:ENOSPC,alloc:@$TMP/full:ENOSPC"
for i in {1..200}; do echo "before $i"; done | broker pub --queue audit --lines
touch "$TMP/full"
refused() {
    ! head -c 100000 /dev/zero | tr '\0' x | broker pub --queue audit 2>"$TMP/refused"
}
wait_until 30 refused
assert_grep 'refused: 1 full' "$TMP/refused"
broker sub --queue audit --ack manual -n 200 --raw >"$TMP/got"
assert_eq "$(grep -c '^before' "$TMP/got")" 200 "delivered from a full disk"
rm "$TMP/full"
takes() {
    broker pub --queue audit after
}
wait_until 30 takes
brokerd_stop

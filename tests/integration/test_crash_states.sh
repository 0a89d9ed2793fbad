#!/bin/bash
# What a disk may hold when the power goes: a broker is traced at work, states are made of the
# trace (tests/fault/states.h), and each must have kept the broker's word. Then the same must find
# that a disk lied, and that nothing was checked: a test that finds nothing proves nothing.
# STATES=10000 for the long campaign (make crash-states).
# limit: 1800 s
. "$(dirname "$0")/lib.sh"

if [ -n "$SANITIZE" ]; then
    echo "not with a sanitizer: what is preloaded would come before its own"
    exit 0
fi
states=${STATES:-150}
shim=$OUT/tests/fault/shim.so
dir=/dev/shm # states need no disk
[ -w $dir ] || dir=$TMP

retain=0s

# trace NAME KEEP [VARIABLE=VALUE..]: a broker with these faults at work, traced in
# $TMP/NAME.trace; every KEEP-th message stays unacknowledged.
trace() {
    local name=$1 keep=$2 at=unix://$TMP/$1.sock
    shift 2
    mkdir "$TMP/$name"
    conf="queue \"audit\" { durable = journal max-messages = unlimited max-bytes = unlimited retain = $retain }
store \"journal\" { path = \"$TMP/$name\" segment = \"64KiB\" }"
    export LD_PRELOAD=$shim SHIM_DIR=$TMP/$name SHIM_TRACE=$TMP/$name.trace
    [ $# -eq 0 ] || declare -gx "$@"
    brokerd_start -l "$at"
    unset LD_PRELOAD SHIM_DIR SHIM_FAULT
    auditor -u "$at" -n 4000 -p 2 -w 64 -s 300 -k "$keep" -m "$SHIM_TRACE" >"$TMP/$name.verdict" ||
        fail "the auditor: $(cat "$TMP/$name.verdict")"
    brokerd_stop
    unset SHIM_TRACE SHIM_BLIND
}
PATH=$OUT/tests/programs:$OUT/tests/fault:$PATH

# All acknowledged at once; and with stragglers, around which everything else is cleared away.
trace prompt 0
crash -t "$TMP/prompt.trace" -n "$states" -r "$shim" -d "$dir"
trace stragglers 20
crash -t "$TMP/stragglers.trace" -n "$states" -r "$shim" -d "$dir"

# And what is acknowledged is retained.
retain=1h
trace retained 20
crash -t "$TMP/retained.trace" -n "$states" -r "$shim" -d "$dir"
retain=0s

# refutes NAME: some state of the trace is found wrong.
refutes() {
    local status=0
    crash -t "$TMP/$1.trace" -n 300 -d "$dir" >"$TMP/found" 2>/dev/null || status=$?
    assert_eq "$status" 1 "a $1 disk: $(cat "$TMP/found")"
}

trace lying 0 SHIM_FAULT=sync:1+:lie
refutes lying
! grep -q '"lost":0' "$TMP/found" || fail "nothing lost with a disk that lies: $(cat "$TMP/found")"

trace unchecked 0 SHIM_BLIND=1
export LD_PRELOAD=$shim SHIM_BLIND=1
refutes unchecked

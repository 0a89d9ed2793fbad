#!/bin/bash
# One run: start PEER, put load on it, end it. The line of JSON of the load generator on stdout;
# why not, on stderr. Exit status 3: this protocol has no such thing.
#
#   run.sh PEER OPTIONS...       of the load generator: workload=.. size=.. seconds=..
#
# A process of its own, so that whatever goes wrong ends this run and nothing else.
. "$(dirname "$0")/../../integration/lib.sh"
. tests/bench/load/peers.sh

peer=$1
shift
peer_start "$peer"
status=0
"$OUT/tests/bench/load/load" protocol="$peer_protocol" port="$peer_port" pid="$peer_pid" \
    peer="$peer" "$@" || status=$?
[ "$status" -eq 0 ] || exit "$status"
peer_stop

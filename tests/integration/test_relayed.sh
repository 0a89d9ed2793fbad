#!/bin/bash
# Calls between raw RSocket connections: frames as they pass, and as they must not be.
. "$(dirname "$0")/lib.sh"

brokerd_start
"$OUT/tests/programs/relayed"
calls() { broker info --json | tr -d ' \n' | grep -oE '"calls":\{"open":[0-9]+'; }
assert_eq "$(calls)" '"calls":{"open":0' "calls left open"
assert_grep 'event=call_failed reason=' "$brokerd_log"
brokerd_stop

#!/bin/bash
# STOMP by hand: versions, frames, receipts, acks, transactions, destinations, heart-beats.
# limit: 120 s
. "$(dirname "$0")/lib.sh"

conf='max-message = "16MiB"
queue "small.#" { max-messages = 1 overflow = reject }
queue "block.#" { max-messages = 1 overflow = block block-timeout = never }
subscription "slow.#" { max-messages = 64 overflow = drop-oldest }'
brokerd_start
echo "== what ends a connection is in the log, in full"
host=${BROKER_URL#tcp://}
printf 'SEND\ndestination:/topic/a\n\n\0' | nc -N "${host%:*}" "${host##*:}" >"$TMP/nc"
assert_grep 'message:Illegal command' "$TMP/nc"
assert_grep ': Illegal command: You must log in using CONNECT first \| event=closed .*door=stomp why=protocol' "$brokerd_log"
SLOW=$SLOW python3 tests/integration/stomp/raw.py "${BROKER_URL#tcp://}" "$@"
brokerd_stop

echo "== silence and a drain have their own words in the log"
brokerd_start
PYTHONPATH=tests/integration/stomp SLOW=$SLOW python3 - "${BROKER_URL#tcp://}" "$brokerd_pid" <<'EOF'
import os, signal, sys
from client import Client

Client(heart_beat="500,0").error("Heart-beat timeout")
idle = Client()
os.kill(int(sys.argv[2]), signal.SIGTERM)
idle.error("draining")
EOF
ended_within 20 "$brokerd_pid"
assert_grep 'closed: it was silent for too long: Heart-beat timeout: nothing was heard' "$brokerd_log"
! grep -E 'closed: .*(broke the protocol|draining)' "$brokerd_log" || fail "somebody is to blame"

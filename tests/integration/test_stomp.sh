#!/bin/bash
# STOMP by hand: versions, frames, receipts, acks, transactions, destinations, heart-beats.
# limit: 120 s
. "$(dirname "$0")/lib.sh"

conf='max-message = "16MiB"
queue "small.#" { max-messages = 1 overflow = reject }
queue "block.#" { max-messages = 1 overflow = block block-timeout = never }
subscription "slow.#" { max-messages = 64 overflow = drop-oldest }'
brokerd_start
SLOW=$SLOW python3 tests/integration/stomp/raw.py "${BROKER_URL#tcp://}" "$@"
brokerd_stop

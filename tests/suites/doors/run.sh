#!/bin/bash
# One conformance suite, asked of every door: suite.py. The settings it relies on are here.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/../../integration/lib.sh"

conf='max-message = "4MiB"
queue "#" { dead-letter = "dead.letters" }
queue "small.#" { max-messages = 1 overflow = reject }
subscription "slow.#" { max-messages = 64 overflow = drop-oldest }'
read -ra doors <<<"${DOORS:-rsocket rsocket-ws json json-ws stomp stomp-ws http http-events}"
brokerd_start
SLOW=$SLOW python3 tests/suites/doors/suite.py "${BROKER_URL#tcp://}" "${doors[@]}"
brokerd_stop

conf='limits { publish-rate = 20 frame-max = "64KiB" }'
brokerd_start
SLOW=$SLOW python3 tests/suites/doors/suite.py --limited "${BROKER_URL#tcp://}" "${doors[@]}"
brokerd_stop

# What keeps a queue is nothing to a door.
conf='max-message = "4MiB"
queue "#" { dead-letter = "dead.letters" durable = journal }
queue "small.#" { max-messages = 1 overflow = reject durable = journal }
subscription "slow.#" { max-messages = 64 overflow = drop-oldest }
store "journal" { path = "'$TMP'/journal" }'
read -ra doors <<<"${DOORS:-rsocket json stomp http}"
brokerd_start
SLOW=$SLOW python3 tests/suites/doors/suite.py "${BROKER_URL#tcp://}" "${doors[@]}"
brokerd_stop

#!/bin/bash
# One conformance suite, asked of every door: suite.py. The settings it relies on are here.
# limit: 180 s
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

# Nothing is confirmed before its store has it; a store that is gone is a refusal. Where connections
# lie is nothing to that, and it takes a while.
[ "$PLACEMENT" = pack ] || exit 0
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
background redis-server --port "$port" --bind 127.0.0.1 --save "" --appendonly no --dir "$TMP" >"$TMP/redis.log"
redis=$!
wait_until 10 redis-cli -p "$port" ping
conf='drain-timeout = "1s"
queue "kept.#" { durable = redis }
store "redis" { url = "redis://127.0.0.1:'$port'" timeout = "60s" }'
brokerd_start
SLOW=$((2 * SLOW)) python3 tests/suites/doors/store.py "${BROKER_URL#tcp://}" "$redis"
kill -TERM "$brokerd_pid" # its last settlements have nobody to go to
ended_within 60 "$brokerd_pid"

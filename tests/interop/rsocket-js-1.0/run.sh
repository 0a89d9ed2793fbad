#!/bin/bash
# brokerd and the next line of rsocket-js (npm, 1.0.0-alpha), by TCP and by WebSocket; and how
# it goes on over connections that are cut, and keeps to leases.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/../../integration/lib.sh"

here=tests/interop/rsocket-js-1.0
# npm writes the file on the left last, so this also needs no network but once.
if [ ! $here/node_modules/.package-lock.json -nt $here/package-lock.json ]; then
    (cd $here && npm ci --loglevel=error --no-audit --no-fund)
fi
# shellcheck disable=SC2034
conf='limits { lease-requests = 10 }' # for resume.js
brokerd_start
SLOW=$SLOW node $here/talk.js "$BROKER_URL"
SLOW=$SLOW node $here/talk.js "ws://${BROKER_URL#tcp://}/rsocket"
seed=${SEED:-$RANDOM}
echo "seed $seed"
SLOW=$SLOW node $here/resume.js "$BROKER_URL" "$seed"
brokerd_stop

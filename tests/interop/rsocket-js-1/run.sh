#!/bin/bash
# brokerd and the 1.0 line of rsocket-js, clients that nobody here wrote: messages and services by
# TCP and by WebSocket; and how it goes on over connections that are cut, and keeps to leases.
# limit: 120 s
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/../../integration/lib.sh"

here=tests/interop/rsocket-js-1
# npm writes the file on the left last, so this also needs no network but once.
if [ ! $here/node_modules/.package-lock.json -nt $here/package-lock.json ]; then
    (cd $here && npm ci --loglevel=error --no-audit --no-fund)
fi
for PLACEMENT in pack spread; do
    echo "== $PLACEMENT"
    brokerd_start
    websocket=ws://${BROKER_URL#tcp://}/rsocket
    SLOW=$SLOW node $here/messages.js "$BROKER_URL"
    SLOW=$SLOW node $here/messages.js "$websocket"
    many=$([ $PLACEMENT = pack ] && echo 20000 || echo 100000)
    SLOW=$SLOW MANY=$many node $here/services.js "$BROKER_URL"
    SLOW=$SLOW MANY=1000 node $here/services.js "$websocket"
    brokerd_stop
done
# shellcheck disable=SC2034
conf='limits { lease-requests = 10 }' # for resume.js
brokerd_start
seed=${SEED:-$RANDOM}
echo "seed $seed"
SLOW=$SLOW node $here/resume.js "$BROKER_URL" "$seed"
brokerd_stop

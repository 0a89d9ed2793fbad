#!/bin/bash
# brokerd and rsocket-js (npm, the 0.0.27 line): clients that nobody here wrote, by TCP and by
# WebSocket.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/../../integration/lib.sh"

here=tests/interop/rsocket-js
# npm writes the file on the left last, so this also needs no network but once.
if [ ! $here/node_modules/.package-lock.json -nt $here/package-lock.json ]; then
    (cd $here && npm ci --loglevel=error --no-audit --no-fund)
fi
brokerd_start
SLOW=$SLOW node $here/talk.js "$BROKER_URL"
SLOW=$SLOW MANY=20000 node $here/talk.js "ws://${BROKER_URL#tcp://}/ws"
brokerd_stop

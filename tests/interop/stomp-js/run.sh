#!/bin/bash
# brokerd and the STOMP clients of npm: stompit by TCP, @stomp/stompjs by TCP and by WebSocket.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/../../integration/lib.sh"

here=tests/interop/stomp-js
# npm writes the file on the left last, so this also needs no network but once.
if [ ! $here/node_modules/.package-lock.json -nt $here/package-lock.json ]; then
    (cd $here && npm ci --loglevel=error --no-audit --no-fund)
fi
brokerd_start
SLOW=$SLOW node $here/talk.mjs "${BROKER_URL#tcp://}"
brokerd_stop

#!/bin/bash
# brokerd and a page in Chromium: JSON by its WebSocket, STOMP by @stomp/stompjs, server-sent events by its
# EventSource and by that of npm.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/../../integration/lib.sh"

here=tests/interop/browser
# npm writes the file on the left last, so this also needs no network but once.
if [ ! $here/node_modules/.package-lock.json -nt $here/package-lock.json ]; then
    (cd $here && npm ci --loglevel=error --no-audit --no-fund)
fi
brokerd_start
SLOW=$SLOW node $here/browse.js "${BROKER_URL#tcp://}"
SLOW=$SLOW node $here/events.js "${BROKER_URL#tcp://}"
brokerd_stop

#!/bin/bash
# brokerd and rsocket-js (npm, the 0.0.27 line): clients that nobody here wrote.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/../../integration/lib.sh"

here=tests/interop/rsocket-js
(cd $here && npm ci --silent --no-audit --no-fund)
brokerd_start
SLOW=$SLOW node $here/talk.js "$BROKER_URL"
brokerd_stop

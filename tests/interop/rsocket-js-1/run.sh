#!/bin/bash
# brokerd between clients that nobody here wrote: rsocket-js 1.0.0-alpha.3 serves and calls.
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
    SLOW=$SLOW MANY=$([ $PLACEMENT = pack ] && echo 20000 || echo 100000) \
        node $here/talk.js "$BROKER_URL"
    brokerd_stop
done

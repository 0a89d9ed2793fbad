#!/bin/bash
# Webhooks signed by npm's standardwebhooks come in; those that it would not take do not.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/../../integration/lib.sh"

here=tests/interop/webhooks-in
# npm writes the file on the left last, so this also needs no network but once.
if [ ! $here/node_modules/.package-lock.json -nt $here/package-lock.json ]; then
    (cd $here && npm ci --loglevel=error --no-audit --no-fund)
fi
conf='hook "std" { topic = in.std secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=" }
queue "kept" { bind = { in.std } }'
brokerd_start
SLOW=$SLOW node $here/talk.mjs "${BROKER_URL#tcp://}"
# Each once, though each came twice.
assert_eq "$(broker queue info kept --json | tr -d ' \n' | grep -o '"depth":[0-9]*')" '"depth":20' "kept"
brokerd_stop

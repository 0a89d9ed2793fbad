#!/bin/bash
# The dashboard of a running brokerd in Chromium: read, clicked and typed at as a person would.
#
#   run.sh [FOLDER]     with a folder: not a test, but the screenshots of docs/ (`make screenshots`)
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/../../integration/lib.sh"

here=tests/interop/dashboard
# npm writes the file on the left last, so this also needs no network but once.
if [ ! $here/node_modules/.package-lock.json -nt $here/package-lock.json ]; then
    (cd $here && npm ci --loglevel=error --no-audit --no-fund)
fi
# A webhook whose endpoint refuses connections; deliveries to this machine have to be allowed.
# shellcheck disable=SC2034 # read by brokerd_start
conf='webhook "billing" {
    topic = { "invoices.#" }
    url = "http://127.0.0.1:65535/hook"
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    insecure = true
    allow = { "127.0.0.0/8" }
}'
brokerd_start
if [ $# -gt 0 ]; then
    node $here/picture.js "${BROKER_URL#tcp://}" "$1"
else
    SLOW=$SLOW node $here/drive.js "${BROKER_URL#tcp://}"
fi
brokerd_stop

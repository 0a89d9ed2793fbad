#!/bin/bash
# brokerd's WebSocket and two clients that nobody here wrote: python3-websockets (Debian) and ws
# (npm), against /echo, and each door that WebSocket carries.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/../../integration/lib.sh"

here=tests/interop/websocket
if [ ! $here/node_modules/.package-lock.json -nt $here/package-lock.json ]; then
    (cd $here && npm ci --loglevel=error --no-audit --no-fund)
fi
printf 'workers = 2\nlisten "tcp://127.0.0.1:0" { echo = true }\n' >"$TMP/brokerd.conf"
brokerd -c "$TMP/brokerd.conf" 2>>"$brokerd_log" &
brokerd_pid=$!
started+=("$brokerd_pid")
wait_until 10 brokerd_ready_or_ended
url=$(sed -nE 's|.*brokerd [^ ]+ ready on tcp://([^ ,]+).*|ws://\1|p' "$brokerd_log")

# Debian's python has the package; another that comes first in PATH may not.
/usr/bin/python3 $here/talk.py "$url"
node $here/talk.js "$url"
brokerd_stop

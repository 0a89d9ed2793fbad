#!/bin/bash
# brokerd and its description: the OpenAPI file, as two libraries nobody here wrote read it (npm);
# every operation in it is called, and every route of the daemon's tables is in it.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/../../integration/lib.sh"

here=tests/interop/openapi
if [ ! $here/node_modules/.package-lock.json -nt $here/package-lock.json ]; then
    (cd $here && npm ci --loglevel=error --no-audit --no-fund)
fi
{
    printf 'workers = 2\nplacement = %s\n' "$PLACEMENT"
    printf 'listen "tcp://127.0.0.1:0" {}\n'
    printf 'listen "tcp://127.0.0.2:0" { manage = false }\n'
    printf 'store "journal" { path = "%s" }\nqueue "kept" { durable = journal }\n' "$TMP/journal"
    printf 'queue "tight" { max-messages = 1 overflow = reject }\n'
    printf 'hook "door" { topic = "in.door" scheme = github secret = "not-to-be-seen" require = false }\n'
} >"$TMP/brokerd.conf"
brokerd -c "$TMP/brokerd.conf" 2>>"$brokerd_log" &
brokerd_pid=$!
started+=("$brokerd_pid")
wait_until 10 brokerd_ready_or_ended
urls=$(sed -nE 's/.*ready on //p' "$brokerd_log" | tr -d ' ')
BROKER_URL=${urls%%,*}

# Somebody to be seen: a consumer that takes nothing, a subscriber, a service.
background broker sub --queue work --ack manual --credit 1 -n 1000 --name idle >/dev/null 2>"$TMP/idle"
background broker sub 'news.#' --name reader >/dev/null 2>"$TMP/reader"
background broker serve echo --name server -- cat 2>"$TMP/server"
wait_until 10 grep -q subscribed "$TMP/idle"
wait_until 10 grep -q subscribed "$TMP/reader"
served() { broker info --json | grep -q '"name":"echo"'; }
wait_until 10 served

node $here/check.mjs "${urls//tcp:/http:}"
# The last thing it asked for is that the broker drains and ends.
ended_within 20 "$brokerd_pid"
assert_eq "$status" 0 "brokerd's exit status after /v1/drain"

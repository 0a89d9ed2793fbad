#!/bin/bash
# What the manual (docs/stores-redis.md) says of trouble with Redis: replicas missing, memory used up,
# functions gone, a queue taken by a second broker, a broker killed.
# limit: 120 s
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/lib_redis.sh
. "$(dirname "$0")/lib_redis.sh"

redis_start main --repl-diskless-sync-delay 0
redis_start copy --replicaof 127.0.0.1 "${redis_port[main]}"
has_copy() { redis_cli main info replication | grep -q 'state=online'; }
wait_until 20 has_copy

conf="store \"redis\" { url = \"redis://127.0.0.1:${redis_port[main]}\" patience = 300ms }
queue \"two\" { bind = { t.two } durable = \"redis+1\" }
queue \"one\" { bind = { t.one } durable = redis }"
brokerd_start

broker pub t.two confirmed
broker pub t.one first
redis_kill copy
for _ in 1 2; do # the second is refused without holding up all else for a second
    begun=$(date +%s%N)
    ! broker pub t.two alone 2>"$TMP/err" || fail "confirmed without a replica"
    took=$((($(date +%s%N) - begun) / 1000000))
    grep -q store "$TMP/err"
done
[ "$took" -lt 900 ] || fail "refused after $took ms"

redis_cli main config set maxmemory 1 >/dev/null
! broker pub t.one full 2>"$TMP/err" || fail "confirmed when Redis was out of memory"
grep -q 'OOM' "$brokerd_log"
redis_cli main config set maxmemory 0 >/dev/null

redis_cli main function flush >/dev/null
broker pub t.one second

# A second broker finds the queue, and shares it.
first=$BROKER_URL
brokerd -l tcp://127.0.0.1:0 -c <(echo "store \"redis\" { url = \"redis://127.0.0.1:${redis_port[main]}\" }
queue \"one\" { bind = { t.one } durable = redis }") >"$TMP/second.log" 2>&1 &
second=$!
started+=("$second")
wait_until 20 grep -q 'ready on' "$TMP/second.log"
BROKER_URL=$(grep -o 'tcp://[^ ]*' "$TMP/second.log" | head -1)
timeout 20 broker sub --queue one --ack manual --count 2 >"$TMP/got" 2>"$TMP/sub.log"
grep -q first "$TMP/got"
grep -q second "$TMP/got"
is_empty() { [ "$(redis_cli main xlen 'brokerd:{one}:s')" = 0 ]; }
wait_until 10 is_empty

# News reach a consumer at another broker at once.
background timeout 20 broker sub --queue one --ack manual --count 1 >"$TMP/got" 2>"$TMP/sub.log"
sub=$!
wait_until 10 grep -q subscribed "$TMP/sub.log"
BROKER_URL=$first
broker pub t.one third
wait "$sub"
grep -q third "$TMP/got"
brokerd_stop

# What Redis has lost of a queue while no broker was there is said by the next one.
kill "$second"
wait "$second" || true
redis_cli main del 'brokerd:{one}:s' >/dev/null
brokerd_start -c <(echo "store \"redis\" { url = \"redis://127.0.0.1:${redis_port[main]}\" }
queue \"one\" { bind = { t.one } durable = redis }")
assert_grep 'queue one: Redis has lost a part of it' "$brokerd_log"
broker pub t.one fourth
brokerd_stop

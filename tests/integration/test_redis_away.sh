#!/bin/bash
# Redis is not there when brokerd starts; hangs; comes back without its data. Once: where connections
# are placed is nothing to a store.
# limit: 120 s
[ "${PLACEMENT:-pack}" = pack ] || exit 0
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/lib_redis.sh
. "$(dirname "$0")/lib_redis.sh"

redis_start main
redis_kill main
conf="store \"redis\" { url = \"redis://127.0.0.1:${redis_port[main]}\" timeout = 500ms patience = 1s }
queue \"a\" { bind = { t.a } durable = redis }"

# It waits for Redis for a while, then ends with 69 and says why.
head -n 1 <<<"$conf" >"$TMP/late.conf"
background brokerd -c "$TMP/late.conf" -l tcp://127.0.0.1:0 2>"$TMP/late.log"
late=$!
ended_within 30 "$late"
assert_eq "$status" 69 "exit status without Redis"
assert_grep 'store "redis" \(redis://127.0.0.1:[0-9]+\): .*[Cc]onnection refused' "$TMP/late.log"

# One that comes meanwhile will do.
background brokerd -c "$TMP/late.conf" -l tcp://127.0.0.1:0 2>"$TMP/late.log"
late=$!
wait_until 10 grep -q 'waiting for the queues' "$TMP/late.log"
redis_again main
wait_until 10 grep -q 'ready on' "$TMP/late.log"
kill -TERM "$late"
ended_within 20 "$late"
assert_eq "$status" 0 "exit status"

# A Redis that hangs: publishes are refused `patience` after the last it said, and a time-out at most.
brokerd_start
broker why a >"$TMP/why" # empty it may be here only
assert_grep 'queue "a": nothing of it is here' "$TMP/why"
broker pub t.a kept
kill -STOP "${redis_pid[main]}"
begun=$(date +%s%N)
! broker pub t.a refused 2>"$TMP/err" || fail "confirmed while Redis hung"
took=$((($(date +%s%N) - begun) / 1000000))
grep -q '1 store' "$TMP/err"
if [ "$took" -lt 900 ] || [ "$took" -gt $((4000 * SLOW)) ]; then
    fail "refused after $took ms"
fi
kill -CONT "${redis_pid[main]}"
confirmed() { broker pub t.a again; }
wait_until 20 confirmed

# One that has lost all: its queues are made again, and the loss is told. For a queue of this life,
# then for one that was found at start, then after so long that whatever waited for Redis is late.
for life in made found late; do
    redis_kill main
    if [ "$life" = late ]; then
        ! broker pub t.a refused 2>"$TMP/err" || fail "confirmed without Redis"
    fi
    redis_again main
    wait_until 20 confirmed
    broker sub --queue a --count 1 2>"$TMP/err" | grep -q again
    wait_until 10 grep -q 'queue a: Redis has lost it and all that it held; it is made again' "$brokerd_log"
    broker queue info a | grep -q 'bound to *t.a' || fail "$life: not bound any more"
    brokerd_stop
    [ "$life" != found ] || conf=${conf/timeout = 500ms patience = 1s/}
    brokerd_start
done

# A queue that cannot be opened is tried again by itself, and what is published to its topics
# meanwhile does not miss it.
brokerd_stop
redis_cli main acl setuser default -xgroup >/dev/null
brokerd_start
assert_grep 'about a queue and what keeps it .* queue=a ' "$brokerd_log"
broker queue info a >"$TMP/info"
assert_grep "^not open +for .* can't run this command" "$TMP/info"
broker why a >"$TMP/why"
assert_grep 'store: "redis" has not opened "a" for .*run this command' "$TMP/why"
curl -s -d x -w '%{http_code}\n' "http://${BROKER_URL#tcp://}/v1/topics/t.a" >"$TMP/refused"
assert_grep 'store: store .+redis.+ has not opened queue .+a.+ yet' "$TMP/refused"
assert_grep '503$' "$TMP/refused"
curl -s "http://${BROKER_URL#tcp://}/metrics" >"$TMP/metrics"
assert_grep '^brokerd_queue_open_failures_total [1-9]' "$TMP/metrics"
redis_cli main acl setuser default +xgroup >/dev/null
wait_until 20 confirmed
broker queue info a >"$TMP/info"
! grep '^not open' "$TMP/info" || fail "it is open, and is said not to be"
brokerd_stop

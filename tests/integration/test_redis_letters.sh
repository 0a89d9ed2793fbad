#!/bin/bash
# Queues in Redis lose what their policy says as those in memory do: dead letters of what was dropped
# and of what expired, also where nobody consumes; and what others write to Redis is told, and harms
# nobody else.
# limit: 120 s
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/lib_redis.sh
. "$(dirname "$0")/lib_redis.sh"

redis_start main
conf="store \"redis\" { url = \"redis://127.0.0.1:${redis_port[main]}\" }
queue \"old\" { bind = { t.old } durable = redis max-messages = 100 overflow = drop-oldest
    dead-letter = \"queue:dead\" }
queue \"new\" { bind = { t.new } durable = redis max-messages = 1 overflow = drop-newest
    dead-letter = \"queue:dead\" }
queue \"late\" { bind = { t.late } durable = redis message-ttl = 300ms dead-letter = \"queue:dead\" }
queue \"dead\" { durable = redis }
queue \"spoilt\" { bind = { t.spoilt } durable = redis }
queue \"wrong\" { bind = { t.wrong } durable = redis }
queue \"good\" { bind = { t.good } durable = redis }"
brokerd_start

letters() { [ "$(redis_cli main xlen 'brokerd:{dead}:s')" = "$1" ]; }

# Of 3,000 messages 100 stay, and each of the others has a letter; nothing is left over.
seq 3000 | broker pub --lines t.old
wait_until 20 letters 2900
settled() { [ "$(redis_cli main xlen 'brokerd:{old}:s')" = 100 ]; }
wait_until 20 settled
broker sub --raw --queue old --ack manual --count 100 >"$TMP/got" 2>"$TMP/err" ||
    assert_grep "drop-oldest" "$TMP/err" # it hears of those dropped
assert_eq "$(head -1 "$TMP/got") $(tail -1 "$TMP/got")" "2901 3000" "those that stay"
broker sub --raw --queue dead --ack manual --count 2900 >"$TMP/got" 2>/dev/null
seq 2900 | diff - <(sort -n "$TMP/got") || fail "letters are missing, or come twice"
wait_until 10 letters 0

broker pub t.new first
broker pub t.new second 2>"$TMP/err"
wait_until 5 letters 1
broker pub t.late late # nobody consumes
begun=$(date +%s%N)
wait_until 5 letters 2
took=$((($(date +%s%N) - begun) / 1000000))
[ "$took" -lt 2000 ] || fail "its letter came after $took ms"
broker sub --json --queue dead --count 2 >"$TMP/got" 2>/dev/null
assert_grep 'dead-reason":"drop-newest"' "$TMP/got"
assert_grep 'dead-reason":"expired"' "$TMP/got"

# What others write while a consumer is there.
background broker sub --raw --queue spoilt --ack manual --count 3 >"$TMP/spoilt" 2>"$TMP/sub.log"
spoilt=$!
background broker sub --raw --queue good --ack manual --count 2 >"$TMP/good" 2>"$TMP/sub2.log"
good=$!
wait_until 10 grep -q subscribed "$TMP/sub.log"
wait_until 10 grep -q subscribed "$TMP/sub2.log"
junk() { redis_cli main xadd 'brokerd:{spoilt}:s' "$@" >/dev/null; }
broker pub t.spoilt 1
broker pub t.good 1
junk '*' what ever
junk '*' '- 9999999999999 2 0 3 0 0 a b' x
junk '*' '- 9999999999999 2 0 3 0 3 a.babc' x y z
junk '18446744073709551614-18446744073709551615' '- 9999999999999 2 0 3 0 0 a.b' x
broker pub t.spoilt 2
junk '*' '- 9999999999999 2 0 60000 0 0 a' x
redis_cli main zadd 'brokerd:{spoilt}:b' 0 junk 0 1-1 >/dev/null
redis_cli main hset 'brokerd:{spoilt}:a' junk junk >/dev/null
broker pub t.spoilt 3
wait "$spoilt" || assert_grep "store" "$TMP/sub.log" # it hears of a gap
seq 3 | diff - "$TMP/spoilt"
assert_grep 'spoilt.*no brokerd wrote' "$brokerd_log"

# Keys of other types: that queue serves nobody any more, and says why.
redis_cli main set 'brokerd:{wrong}:s' junk >/dev/null
! broker pub t.wrong 1 2>"$TMP/err" || fail "confirmed without a stream"
assert_grep 'store' "$TMP/err"
assert_grep 'WRONGTYPE' "$brokerd_log"
redis_cli main del 'brokerd:{good}:a' >/dev/null
redis_cli main hset 'brokerd:{queues}' 'a b' junk 'a..*' junk 'x' '99 99' >/dev/null
broker pub t.good 2
wait "$good" || fail "the others are not served"

# Evicted, or deleted by hand: a part of a queue. It is made again, and works.
for key in s m; do
    broker pub t.good kept
    redis_cli main del "brokerd:{good}:$key" >/dev/null
    confirmed() { broker pub t.good again 2>/dev/null; }
    wait_until 20 confirmed
    broker sub --raw --queue good --ack manual --count 1 2>/dev/null | grep -q again || fail "$key: not served"
done
assert_grep 'queue good: Redis has lost it and all that it held; it is made again' "$brokerd_log"

# A node that was thought dead has no record any more of what it had put: what it puts then is taken
# only behind all that it was not answered about, or that would be taken for done.
put() { # FIRST DONE
    redis_cli main fcall brokerd_1_put 4 "brokerd:{good}:"{m,s,b,a} x/0 x "$1" "$2" 99 9999 reject 0 0 \
        "- 9999999999999 2 0 3 0 0 a.b" x | tr '\n' ' '
}
assert_eq "$(put 7 6)" "0 0 0 0 1 0 " "out of turn"
assert_eq "$(put 6 6)" "1 0 0 0 0 0 " "in turn"
assert_eq "$(put 6 6)" "1 0 0 0 0 0 " "said twice"
assert_eq "$(put 7 6)" "1 0 0 0 0 0 " "behind it"

# One that may evict is told before it does.
redis_cli main config set maxmemory-policy allkeys-lru maxmemory 1gb >/dev/null
wait_until 30 grep -q 'maxmemory-policy is allkeys-lru' "$brokerd_log"
broker why t.good >"$TMP/why" 2>&1 || true
assert_grep 'maxmemory-policy is allkeys-lru' "$TMP/why"
broker --json store stats >"$TMP/stats"
assert_grep '"evicts" *: *"allkeys-lru"' "$TMP/stats"
redis_cli main config set maxmemory-policy noeviction >/dev/null
is_safe() { ! broker --json store stats | grep -q evicts; }
wait_until 30 is_safe
brokerd_stop

#!/bin/bash
# Topics between brokers when something is wrong: a broker that hangs, or starts, messages of any size, what nobody
# of them wrote, all keys gone, a name given twice, another prefix, a clock that is an hour off. Memory is bounded,
# what is lost is told in the streams of those it may have been for, and service goes on within seconds.
# limit: 120 s
[ "${PLACEMENT:-pack}" = pack ] || exit 0
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/lib_redis.sh
. tests/integration/lib_redis.sh
# shellcheck source=tests/integration/lib_nodes.sh
. tests/integration/lib_nodes.sh

gap='^broker sub: lost an unknown number of messages \(node\)$'
gaps() { # NAME N: at least so many were told
    [ "$(grep -cE "$gap" "$TMP/$1.err")" -ge "$2" ]
}
inbox() { # NODE: its key
    redis_cli main --raw keys "brokerd:{%node.$1.*}:in"
}
arrives() { # FROM TOPIC NAME WHAT: published on FROM, it comes to the subscriber NAME
    broker pub -q -s "${url[$1]}" "$2" "$4"
    grep -q "^$4$" "$TMP/$3"
}

redis_start main
where=redis://127.0.0.1:${redis_port[main]}
node_start one
node_start two
wait_until 10 is one 's["nodes"]' 1
wait_until 10 is two 's["nodes"]' 1

# ---- a broker that has just started reaches who subscribes on another with its first message

sub_start first one 'first.#'
for i in 1 2 3; do
    node_start "new$i"
    broker pub -s "${url[new$i]}" first.x "from $i"
    wait_until 5 grep -q "^from $i$" "$TMP/first"
    brokerd_stop
done
kill "${sub[first]}"

# ---- a broker hangs: its inbox, and what the other keeps for it, is bounded

mib=$(printf '%01048576d' 0)
sub_start large two 'large.#' -n 4
sub_start small two 'small.#'
wait_until 10 is one 's["wanted"]' 2
kill -STOP "${pid[two]}"
for i in {1..25}; do
    for _ in {1..6}; do
        echo "$i $mib"
    done | broker pub -q -s "${url[one]}" large.x -l
done
used=$(redis_cli main memory usage "$(inbox two)" samples 0)
[ "$used" -gt $((32 << 20)) ] || fail "only $used bytes in the inbox"
[ "$used" -lt $((80 << 20)) ] || fail "$used bytes in the inbox of a broker that hangs"
[ -n "$SANITIZE" ] || [ "$(rss_kib "${pid[one]}")" -lt $((192 << 10)) ] ||
    fail "the sender has $(rss_kib "${pid[one]}") KiB"
kill -CONT "${pid[two]}"
ended_within 20 "${sub[large]}"
assert_eq "$status" 6 "exit status of who lost messages"
gaps large 1 || fail "no gap: $(cat "$TMP/large.err")"

# ---- others are told too: what was lost could have been theirs; the next is told of nothing

wait_until 10 arrives one small.x small told
wait_until 10 gaps small 1
arrives one small.x small untold || true
wait_until 10 grep -q '^untold$' "$TMP/small"
assert_eq "$(grep -c lost "$TMP/small.err")" 1 "gaps"

# ---- a message that is larger than others could read stays; that too is told, and no more is lost

missed=$(figure two 's["counters"]["topics_missed"]')
head -c $((33 << 20)) /dev/zero | broker pub -q -s "${url[one]}" small.x
wait_until 10 is two 's["counters"]["topics_missed"]' $((missed + 1))
wait_until 10 arrives one small.x small "after the large one"
gaps small 2 || fail "no gap for a message that was not sent"

# ---- what others write to an inbox: counted, told, of no effect; also what is too large to be read

to=$(inbox two)
redis_cli main xadd "$to" '*' m junk >/dev/null
redis_cli main xadd "$to" '*' other field m two >/dev/null
redis_cli main xadd "$to" '*' m '' >/dev/null
printf '\2\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1\1x' | redis_cli main -x xadd "$to" '*' m >/dev/null # a later version's
wait_until 10 is two 's["counters"]["topics_malformed"]' 4
assert_grep 'event=topics_trouble .*node=two' "${log[two]}"
wait_until 10 arrives one small.x small "after junk"
head -c $((70 << 20)) /dev/zero | redis_cli main -x xadd "$to" '*' m >/dev/null
wait_until 20 arrives one small.x small "after what cannot be read"

# ---- all keys are gone: service goes on, and whoever may have missed something is told

before=$(grep -cE "$gap" "$TMP/small.err")
redis_cli main flushall >/dev/null
wait_until 10 arrives one small.x small "after all keys"
gaps small $((before + 1)) || fail "no gap for an inbox that is gone"
assert_grep "event=topics_lost .*node=two" "${log[two]}"

# ---- one is taken for dead, and comes back: told, though nothing is published before

before=$(grep -cE "$gap" "$TMP/small.err")
kill -STOP "${pid[two]}"
wait_until 15 is one 's["nodes"]' 0
broker pub -q -s "${url[one]}" small.x "for nobody"
kill -CONT "${pid[two]}"
wait_until 10 is one 's["nodes"]' 1
wait_until 10 arrives one small.x small "after death"
gaps small $((before + 1)) || fail "no gap for who was taken for dead"
! grep -q '^for nobody$' "$TMP/small" || fail "nobody was there to keep it"

# ---- the same name twice, another prefix, a clock that is an hour behind

node_start twin one
wait_until 10 is two 's["nodes"]' 2
sub_start twin twin 'small.#'
wait_until 10 is one 's["wanted"]' 1
wait_until 10 arrives one small.x twin "to the name's twin"
wait_until 10 arrives two small.x twin "to it from another"
wait_until 10 arrives twin small.x small "from it"

node_settings='prefix = other'
node_start apart
node_settings=
sub_start apart apart 'small.#'
if [ -z "$SANITIZE" ]; then
    export LD_PRELOAD=$OUT/tests/fault/shim.so SHIM_CLOCK=-3600
    node_start late
    unset LD_PRELOAD SHIM_CLOCK
    [ "$(date +%H -d '1 hour ago')" = "$(sed -nE 's/^[^ ]+ ([0-9]+):.*/\1/p' "${log[late]}" | head -n 1)" ] ||
        fail "its clock is not an hour behind: $(head -n 1 "${log[late]}")"
    sub_start late late 'small.#'
    wait_until 10 is one 's["wanted"]' 1
    wait_until 10 arrives one small.x late "to who is late"
    wait_until 10 arrives late small.x small "from who is late"
    broker pub -s "${url[one]}" small.x "lives on" --ttl 5s
    wait_until 10 grep -q '^lives on$' "$TMP/late"
fi
assert_eq "$(figure apart 's["nodes"]')" 0 "nodes under another prefix"
[ ! -s "$TMP/apart" ] || fail "came under another prefix: $(cat "$TMP/apart")"

# ---- it stops while Redis is away: what it could not send it tells

away() { [ "$(figure one 's["state"]')" != up ]; }
redis_kill main
wait_until 10 away
seq 100 | broker pub -q -s "${url[one]}" small.x -l
brokerd_pid=${pid[one]} brokerd_log=${log[one]} brokerd_stop
assert_grep '00 messages for other nodes are lost: this one stops, and Redis is away' "${log[one]}"

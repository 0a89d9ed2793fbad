#!/bin/bash
# Brokers on a Redis Cluster of 3 masters with a replica each: a broker dies, the queue's master dies,
# the queue's slot stands still between two masters. Nothing confirmed is lost. All scenarios:
# make redis-chaos. Once: where connections are placed is nothing to a store.
# limit: 120 s
[ "${PLACEMENT:-pack}" = pack ] || exit 0
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/lib_redis.sh
. tests/integration/lib_redis.sh
rate=1000
settle_s=1
# shellcheck source=tests/fault/lib_chaos.sh
. tests/fault/lib_chaos.sh

chaos_redis cluster
for i in 1 2 3; do
    node_begin $i
done

# While a slot moves, a put is turned away, but not the WAIT behind it: only both together confirm.
export BROKER_URL=unix://$TMP/n1.sock
broker pub --queue still first
slot=$(redis_cli m1 cluster keyslot 'brokerd:{still}:s')
find_master
to=$(other_master)
redis_cli "$to" cluster setslot "$slot" importing "$(redis_id "$master")" >/dev/null
redis_cli "$master" cluster setslot "$slot" migrating "$(redis_id "$to")" >/dev/null
background broker pub --queue still second 2>"$TMP/err"
pub=$!
turned_away() { broker store stats | awk '$1 == "retries" && $2 > 2 { found = 1 } END { exit !found }'; }
wait_until 10 turned_away
! process_ended "$pub" || fail "published while its slot stands still: $(cat "$TMP/err")"
redis_cli "$master" cluster setslot "$slot" stable >/dev/null
redis_cli "$to" cluster setslot "$slot" stable >/dev/null
wait "$pub" || fail "refused: $(cat "$TMP/err")"
assert_eq "$(redis_cli "$master" xlen 'brokerd:{still}:s')" 2 "messages"

# It moves to and fro, and all connections are cut each time a key has moved: what is said again,
# for nobody knows what became of it, is not doubled.
seq 1500 >"$TMP/lines"
cut_all() {
    local name
    for name in m1 m2 m3; do
        redis_cli "$name" client kill type normal >/dev/null
    done
}
stored() { redis_cli "$master" xlen 'brokerd:{still}:s'; }
goes_on() { [ "$(stored)" -gt $((before + 100)) ]; }
for round in 1 2 3 4; do
    before=$(stored)
    background broker pub --queue still --lines --file "$TMP/lines" --rate 500 2>"$TMP/err"
    pub=$!
    wait_until 20 goes_on
    redis_while_moving=cut_all
    redis_move_slot "$slot" "$master" "$to" m1 m2 m3
    unset redis_while_moving
    ! process_ended "$pub" || fail "it was too fast to be cut"
    wait "$pub" || fail "round $round, refused: $(cat "$TMP/err")"
    name=$master master=$to to=$name
    assert_eq "$(stored)" $((2 + 1500 * round)) "messages"
done

scenario node
scenario master

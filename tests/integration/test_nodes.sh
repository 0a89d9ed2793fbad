#!/bin/bash
# Topics of three brokers on one Redis: what is published on one reaches who subscribes on another, once and in
# order; who wants nothing costs nothing; a shared queue has each once; a node is killed, Redis is restarted.
# limit: 120 s
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_redis.sh"
. "$(dirname "$0")/lib_nodes.sh"

n=10000
[ -z "$SANITIZE" ] || n=2000

calls() { # COMMAND: how often Redis has done it
    redis_cli main info commandstats | sed -nE "s/^cmdstat_$1:calls=([0-9]+).*/\\1/p" | grep . || echo 0
}

redis_start main --appendonly yes --appendfsync everysec
where=redis://127.0.0.1:${redis_port[main]}
for name in one two three; do
    node_start $name
done
for name in one two three; do
    wait_until 10 is $name 's["nodes"]' 2
done

# ---- nobody wants it: nothing is written

seq 1 100 | broker pub -s "${url[one]}" nobody.wants -l
sub_start here one 'only.here' -n 3
seq 1 3 | broker pub -s "${url[one]}" only.here -l
sub_end here
assert_eq "$(calls xadd)" 0 "XADD, and nobody on another node wants anything"

# ---- each once, in order of its publisher; wildcards, and two filters that match the same

sub_start all2 two 'p.#' '*.one' -n $((2 * n))
sub_start one3 three 'p.one' -n "$n"
sub_start own one 'p.*' -n $((2 * n))
wait_until 10 is one 's["wanted"]' 3
wait_until 10 is three 's["wanted"]' 3
seq 1 "$n" | sed 's/^/one /' | broker pub -s "${url[one]}" p.one -l &
publisher=$!
seq 1 "$n" | sed 's/^/two /' | broker pub -s "${url[three]}" p.two -l
wait $publisher
for name in all2 one3 own; do
    sub_end $name
done
assert_same <(seq 1 "$n" | sed 's/^/one /') "$TMP/one3"
for name in all2 own; do
    assert_same <(seq 1 "$n" | sed 's/^/one /') <(grep '^one' "$TMP/$name")
    assert_same <(seq 1 "$n" | sed 's/^/two /') <(grep '^two' "$TMP/$name")
done
assert_eq "$(figure two 's["counters"]["topics_received"]')" $((2 * n)) "received by two"
assert_eq "$(figure one 's["counters"]["topics_lost"]')" 0 "lost by one"
for name in one two three; do
    assert_eq "$(figure $name 's["counters"]["topics_missed"]')" 0 "missed by $name"
    wait_until 10 is $name 's["wanted"]' 0
done

python3 tests/integration/metrics.py "${url[two]#tcp://}" "$TMP/metrics"
assert_grep "^brokerd_store_topics_received_total\\{store=\"redis\"\\} $((2 * n))\$" "$TMP/metrics"
assert_grep '^brokerd_store_nodes\{store="redis"\} 2$' "$TMP/metrics"

# ---- headers and type go with it

background broker sub -s "${url[two]}" 'h.#' -n 1 --json >"$TMP/whole"
sub[whole]=$!
wait_until 10 is one 's["wanted"]' 1
broker pub -s "${url[one]}" h.x 'data' -H colour:red --type text/plain
sub_end whole
assert_grep 'colour' "$TMP/whole"
assert_grep 'text/plain' "$TMP/whole"

# ---- a queue that all share takes each once; one of a node's own has a copy

broker queue add -s "${url[one]}" shared --bind 'q.#'
sub_start mine two --queue mine 'q.#' -n 500
wait_until 10 is one 's["wanted"] >= 1' True
wait_until 10 is three 's["wanted"] >= 1' True
seq 1 500 | broker pub -s "${url[three]}" q.x -l
sub_end mine
assert_same <(seq 1 500) "$TMP/mine"
sub_start shared two --queue shared -n 500
sub_end shared
assert_same <(seq 1 500) <(sort -n "$TMP/shared")
depth() {
    broker queue info -s "${url[two]}" shared --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["depth"])'
}
assert_eq "$(depth)" 0 "messages left in the shared queue"

# ---- Redis hangs: publishers do not, and what is lost is counted, to the message

before=$(figure two 's["counters"]["topics_received"] + s["counters"]["topics_missed"]')
sub_start hung two 'hung.x'
wait_until 10 is one 's["wanted"] >= 1' True
kill -STOP "${redis_pid[main]}"
seq 1 $((30 * n)) | broker pub -s "${url[one]}" hung.x -l
wait_until 10 grep -q 'topics: messages for another node are lost: .*no answer within' "${log[one]}"
kill -CONT "${redis_pid[main]}"
all_known() {
    broker pub -s "${url[one]}" hung.x last
    is two 's["counters"]["topics_received"] + s["counters"]["topics_missed"] >= '$((before + 30 * n))' and s["state"] == "up"' True
}
wait_until 10 all_known
wait_until 10 grep -q last "$TMP/hung"
kill "${sub[hung]}"
at_least one 's["counters"]["topics_lost"]' 1 || fail "nothing was lost"
told() { # NODE COUNTER WORDS: the lines of the log say together what was counted
    [ "$(grep -oE "[0-9]+ messages $3 other nodes were lost" "${log[$1]}" |
        awk '{ n += $1 } END { print n + 0 }')" = "$(figure "$1" 's["counters"]["'"$2"'"]')" ]
}
wait_until 15 told one topics_lost for
wait_until 15 told two topics_missed of
assert_grep '^broker sub: lost an unknown number of messages \(node\)$' "$TMP/hung.err" # in its stream
grep -v last "$TMP/hung" >"$TMP/numbers"
sort -n -u -C "$TMP/numbers" || fail "out of order, or twice"
known=$(figure two 's["counters"]["topics_received"] + s["counters"]["topics_missed"]')
assert_eq "$((known - before - 30 * n <= 1000))" 1 "not more are known of than were published ($known)"

# ---- one is killed: the others go on, and it is gone after a while

sub_start last two 'k.#' -n 200
wait_until 10 is one 's["wanted"] >= 1' True
kill -KILL "${pid[three]}"
wait "${pid[three]}" 2>/dev/null || true
seq 1 100 | broker pub -s "${url[one]}" k.x -l
wait_until 10 lines "$TMP/last" 100

# ---- Redis is restarted meanwhile, and has forgotten everything

redis_kill main
rm -rf "$TMP/redis-main/appendonlydir"
redis_again main
two_has_told() { redis_says main '"?#|k' smembers "$(redis_cli main keys '*node.two*:w')"; }
wait_until 15 two_has_told
seq 1 40 | broker pub -s "${url[one]}" lost.perhaps -l
until_arrives() {
    broker pub -s "${url[one]}" k.x again
    lines "$TMP/last" 101
}
wait_until 15 until_arrives

# ---- a Cluster: inboxes lie where their nodes' names lead to

redis_cluster 3
where=redis+cluster://127.0.0.1:${redis_port[m1]},127.0.0.1:${redis_port[m2]}
for name in four five six; do
    node_start $name
done
for name in four five six; do
    wait_until 10 is $name 's["nodes"]' 2
done
sub_start five5 five 'c.*' -n 1000
sub_start six6 six '#' -n 1000
wait_until 10 is four 's["wanted"]' 2
seq 1 1000 | broker pub -s "${url[four]}" c.x -l
sub_end five5
sub_end six6
assert_same <(seq 1 1000) "$TMP/five5"
assert_same <(seq 1 1000) "$TMP/six6"
for name in four five six; do
    brokerd_pid=${pid[$name]} brokerd_log=${log[$name]} brokerd_stop
done

# ---- the one that was killed is gone by now

wait_until 15 is one 's["nodes"]' 1
assert_grep 'event=node_down .*three' "${log[one]}"

# ---- and stops in peace: the other hears it at once

kill "${sub[last]}"
brokerd_pid=${pid[two]} brokerd_log=${log[two]} brokerd_stop
wait_until 3 is one 's["nodes"]' 0
brokerd_pid=${pid[one]} brokerd_log=${log[one]} brokerd_stop
redis_cli main --raw keys '*%node*' >"$TMP/keys"
! grep -q . "$TMP/keys" || fail "left in Redis: $(cat "$TMP/keys")"

#!/bin/bash
# The connections below the Redis store (tests/programs/redis_link) with real Redis processes:
# password and user, restarted, hung, TLS, Sentinels that fail over, a Cluster whose slots move.
# limit: 90 s
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_redis.sh"

# No brokerd here, so no placement of connections: once is enough.
[ "$PLACEMENT" = pack ] || exit 0

# link_start NAME URL [OPTIONS]: `redis_link` at work, its lines in $TMP/NAME.out
declare -A link_pid
link_start() {
    local name=$1
    shift
    mkfifo "$TMP/$name.in"
    "$OUT/tests/programs/redis_link" "$@" <"$TMP/$name.in" >"$TMP/$name.out" 2>&1 &
    link_pid[$name]=$!
    started+=($!)
    exec {link_fd}>"$TMP/$name.in"
    wait_until 10 grep -qE '^status' "$TMP/$name.out"
}

# The last figure of that name.
figure() { # NAME WHICH
    grep -E '^(status|end) ' "$TMP/$1.out" | tail -n 1 | sed -nE "s/.* $2=([0-9]+).*/\1/p"
}

is_over() { # NAME WHICH THAN
    [ "$(figure "$1" "$2")" -gt "$3" ]
}

# link_goes_on NAME: some hundreds are answered from now on.
link_goes_on() {
    wait_until 15 is_over "$1" replied $(($(figure "$1" replied) + 300))
}

# link_end NAME: its input ends; it must find nothing wrong.
link_end() {
    echo >&"$link_fd" # not only closed: servers started since have it, too
    exec {link_fd}>&-
    ended_within 30 "${link_pid[$1]}"
    [ "$status" = 0 ] || fail "redis_link $1: $(grep -vE '^status' "$TMP/$1.out" | tail -n 20)"
    assert_grep '^end ' "$TMP/$1.out"
    echo "$1: $(tail -n 1 "$TMP/$1.out")"
}

none_missing() {
    assert_eq "$(figure "$1" missing)" 0 "replied and not there, $1"
}

one_redis() {
    redis_start main --requirepass 'pa ss@word' --appendonly yes --appendfsync always
    REDISCLI_AUTH='pa ss@word' redis_cli main acl setuser broker on '>p%q' '~*' '&*' '+@all' >/dev/null
    link_start user "redis://broker:p%25q@localhost:${redis_port[main]}/3" base=user
    link_goes_on user
    wait_until 5 is_over user heard 5

    # hung: in flight is unknown, and nothing is sent twice
    redis_stop_for main 1
    assert_grep '^unknown .*: no answer within 500 ms' "$TMP/user.out"
    link_goes_on user

    # gone, and there again: what waits is not lost, what was answered is on disk
    redis_kill main
    wait_until 5 grep -qE '^down .*(closed|reset|refused)' "$TMP/user.out"
    wait_until 5 grep -q '^deaf' "$TMP/user.out"
    redis_again main
    # the user was not saved
    REDISCLI_AUTH='pa ss@word' redis_cli main acl setuser broker on '>p%q' '~*' '&*' '+@all' >/dev/null
    link_goes_on user
    link_end user
    none_missing user
    assert_eq "$(figure user unsent)" 0 unsent

    # a wrong password is said, without the password
    link_start wrong "redis://broker:s3cret@127.0.0.1:${redis_port[main]}" patience=600
    wait_until 10 grep -qE '^unsent .*WRONGPASS' "$TMP/wrong.out"
    ! grep -q s3cret "$TMP/wrong.out" || fail "the password was told"
    kill "${link_pid[wrong]}"
    exec {link_fd}>&-

    # and nothing grows without end while nobody is there
    redis_kill main
    link_start gone "redis://127.0.0.1:${redis_port[main]}" patience=800 commands=100
    wait_until 10 is_over gone unsent 200
    is_over gone refused 100
    is_over gone rooms 0
    assert_eq "$(($(figure gone in_flight) <= 100))" 1 "in flight within its limit"
    kill "${link_pid[gone]}"
    exec {link_fd}>&-
}

by_socket() {
    redis_start local --unixsocket "$TMP/redis.sock"
    link_start socket "redis+unix://$TMP/redis.sock" base=socket
    link_goes_on socket
    link_end socket
    none_missing socket
}

by_tls() {
    redis_certificates
    redis_tls secure # which wants a certificate of its clients, too
    link_start tls "rediss://localhost:${redis_port[secure]}" base=tls ca="$TMP/tls/ca.pem" \
        certificate="$TMP/tls/redis.pem" key="$TMP/tls/redis.key" size=3000 rate=3000
    link_goes_on tls
    wait_until 5 is_over tls heard 5
    link_end tls
    none_missing tls

    link_start nobody "rediss://localhost:${redis_port[secure]}" ca="$TMP/tls/ca.pem" patience=300
    wait_until 10 grep -qE '^unsent .*(TLS|closed|reset)' "$TMP/nobody.out"
    kill "${link_pid[nobody]}"
    exec {link_fd}>&-
    link_start alien "rediss://localhost:${redis_port[secure]}" ca="$TMP/tls/other.pem" patience=300
    wait_until 10 grep -qE '^unsent .*TLS: ' "$TMP/alien.out"
    kill "${link_pid[alien]}"
    exec {link_fd}>&-
    # the certificate is for 127.0.0.1 and localhost, and for nothing else
    link_start elsewhere "rediss://127.0.0.2:${redis_port[secure]}" ca="$TMP/tls/ca.pem" patience=300
    wait_until 10 grep -qE '^unsent ' "$TMP/elsewhere.out"
    kill "${link_pid[elsewhere]}"
    exec {link_fd}>&-
}

# Which of a, b, c the first Sentinel calls the master.
master_now() {
    local port name
    port=$(redis_cli s1 sentinel get-master-addr-by-name theirs | sed -n 2p)
    for name in a b c; do
        [ "${redis_port[$name]}" != "$port" ] || echo $name
    done
}

master_is_not() {
    local name
    name=$(master_now)
    [ -n "$name" ] && [ "$name" != "$1" ] && redis_says "$name" '^role:master' info replication
}

sentinels() {
    local i first second
    redis_start a --repl-diskless-sync-delay 0
    for i in b c; do
        redis_start $i --replicaof 127.0.0.1 "${redis_port[a]}" --repl-diskless-sync-delay 0
        wait_until 10 redis_says $i '^master_link_status:up' info replication
    done
    for i in 1 2 3; do
        redis_sentinel "s$i" theirs a 2
    done
    for i in 1 2 3; do
        wait_until 20 redis_says "s$i" 'slaves=2,sentinels=3' info sentinel
    done
    # one of those in the URL is not there
    link_start sentinel "redis+sentinel://127.0.0.1:1,127.0.0.1:${redis_port[s1]},127.0.0.1:${redis_port[s2]}/theirs" base=sentinel
    link_goes_on sentinel

    # an ordered change, then a death
    first=$(master_now)
    redis_says s1 '^OK' sentinel failover theirs || fail "no failover: $(redis_cli s1 sentinel failover theirs)"
    wait_until 20 master_is_not "$first"
    second=$(master_now)
    link_goes_on sentinel
    wait_until 10 is_over sentinel heard $(($(figure sentinel heard) + 5))
    for i in b c; do # the other one follows the new master
        [ $i = "$second" ] || wait_until 20 redis_says $i "^master_port:${redis_port[$second]}" info replication
        [ $i = "$second" ] || wait_until 20 redis_says $i '^master_link_status:up' info replication
    done
    redis_kill "$second"
    wait_until 20 master_is_not "$second"
    link_goes_on sentinel
    link_end sentinel
}

cluster() {
    local slot
    redis_cluster 3
    link_start cluster "redis+cluster://127.0.0.1:1,127.0.0.1:${redis_port[m1]}" base=cluster keys=30 window=16 rate=6000
    link_goes_on cluster
    assert_eq "$(figure cluster nodes)" 3 masters
    wait_until 5 is_over cluster heard 5

    # a slot without any notice; one with its key, while it is written to
    slot=$(redis_cli m1 cluster keyslot '{cluster.0}:list')
    for node in 1 2 3; do
        ! redis_cli "m$node" lrange '{cluster.0}:list' 0 0 2>&1 | grep -qE '^0*1$' || from=m$node
    done
    to=m1
    [ "$from" != m1 ] || to=m2
    redis_cli "$to" cluster setslot "$slot" importing "$(redis_id "$from")" >/dev/null
    redis_cli "$from" cluster setslot "$slot" migrating "$(redis_id "$to")" >/dev/null
    redis_cli "$from" migrate 127.0.0.1 "${redis_port[$to]}" '{cluster.0}:list' 0 5000 >/dev/null
    wait_until 10 is_over cluster asked 20
    for node in "$to" "$from" m1 m2 m3; do
        redis_cli "$node" cluster setslot "$slot" node "$(redis_id "$to")" >/dev/null
    done
    wait_until 10 is_over cluster moved 0
    link_goes_on cluster

    # a master dies and another takes over; nobody else is kept waiting
    redis_replica r2 m2
    redis_kill m2
    link_goes_on cluster
    wait_until 20 redis_says r2 'myself,master' cluster nodes
    wait_until 20 redis_says r2 '^cluster_state:ok' cluster info
    link_goes_on cluster
    wait_until 20 is_over cluster ready 2
    link_end cluster
}

for part in ${PARTS:-one_redis by_socket by_tls sentinels cluster}; do
    $part
done

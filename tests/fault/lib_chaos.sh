# shellcheck shell=bash
# shellcheck disable=SC2154 # redis_port, redis_pid, status: of lib.sh and lib_redis.sh
# Brokers on Redis, and trouble: for redis_chaos.sh and tests/integration/test_redis_cluster.sh.
# After those two.

level=${LEVEL:-${level:-redis+1}}
rate=${RATE:-${rate:-5000}}
losses=${LOSSES:-}
settle_s=${SETTLE_S:-${settle_s:-3}} # of work before and after what happens

# chaos_redis cluster|sentinel|single [OPTIONS]: Redis, and its $url.
chaos_redis() {
    local i rights
    chaos_on=$1
    shift
    case $chaos_on in
    cluster)
        redis_cluster 3 "$@"
        for i in 1 2 3; do
            redis_replica "r$i" "m$i" "$@"
        done
        url="redis+cluster://127.0.0.1:${redis_port[m1]},127.0.0.1:${redis_port[m2]},127.0.0.1:${redis_port[m3]}"
        servers=(m1 m2 m3 r1 r2 r3)
        ;;
    sentinel)
        redis_start m1 --repl-diskless-sync-delay 0 "$@"
        for i in 1 2; do
            redis_start "r$i" --repl-diskless-sync-delay 0 --replicaof 127.0.0.1 "${redis_port[m1]}" "$@"
        done
        servers=(m1 r1 r2)
        wait_until 30 whole
        for i in 1 2 3; do
            redis_sentinel "s$i" main m1 2
        done
        for i in 1 2 3; do
            wait_until 30 redis_says "s$i" 'slaves=2,sentinels=3' info sentinel
        done
        url="redis+sentinel://127.0.0.1:${redis_port[s1]},127.0.0.1:${redis_port[s2]},127.0.0.1:${redis_port[s3]}/main"
        ;;
    single) # by TLS, with the rights that the manual says are enough
        redis_certificates
        read -ra rights <<<"$(sed -n '/ACL SETUSER brokerd/,/^$/p' docs/stores-redis.md |
            tr -d '\n' | sed 's/PASSWORD/geheim/') $(grep -oE '\+xread [+a-z ]*[a-z]' docs/nodes.md)"
        redis_tls m1 --enable-debug-command yes "$@" --user "${rights[@]:2}"
        redis_by=(--tls --cacert "$TMP/tls/ca.pem" --cert "$TMP/tls/redis.pem" --key "$TMP/tls/redis.key")
        servers=(m1)
        url="rediss://brokerd:geheim@127.0.0.1:${redis_port[m1]}"
        redis_settings="ca = \"$TMP/tls/ca.pem\" certificate = \"$TMP/tls/redis.pem\" key = \"$TMP/tls/redis.key\""
        ;;
    esac
}

declare -A node_pid
node_begin() { # I
    printf '%s\n' "workers = 2" \
        "queue \"#\" { durable = \"$level\" max-messages = unlimited max-bytes = unlimited }" \
        "store \"redis\" { url = \"$url\" node = \"n$1\" topics = ${topics:-false} ${redis_settings:-} }" >"$TMP/n$1.conf"
    brokerd -c "$TMP/n$1.conf" -l "unix://$TMP/n$1.sock" 2>>"$TMP/n$1.log" &
    node_pid[$1]=$!
    started+=($!)
    wait_until 20 broker -q -s "unix://$TMP/n$1.sock" ping
}

is_server_up() { # NAME
    [ "$(timeout 1 redis-cli "${redis_by[@]}" -h 127.0.0.1 -p "${redis_port[$1]}" ping 2>/dev/null)" = PONG ]
}

# Whom the others, if there are some, take for the master of the queue.
name_master() {
    local name ask port
    [ "$chaos_on" != single ] || { echo m1 && return; }
    for ask in s1 s2 s3 "${servers[@]}"; do
        if [ "$chaos_on" = sentinel ]; then
            port=$(timeout 1 redis-cli -h 127.0.0.1 -p "${redis_port[$ask]}" sentinel \
                get-master-addr-by-name main 2>/dev/null | sed -n 2p)
        elif [[ $ask == s* ]] || ! is_server_up "$ask"; then
            continue
        else
            port=$(timeout 1 redis-cli -h 127.0.0.1 -p "${redis_port[$ask]}" cluster nodes |
                grep -w master | grep -v fail | awk -v s="$slot" '{ for (i = 9; i <= NF; i++) {
                    if (split($i, r, "-") < 2) r[2] = r[1]
                    if (s >= r[1] + 0 && s <= r[2] + 0) { split($2, a, /[:@]/); print a[2] } } }')
        fi
        for name in "${servers[@]}"; do
            [ "${redis_port[$name]}" != "$port" ] || { echo "$name" && return; }
        done
    done
}

# The queue's master, which answers as one, in $master: waited for, as a failover takes its time.
find_master() {
    master=
    wait_until 30 has_master
}
has_master() {
    master=$(name_master)
    [ -n "$master" ] && is_server_up "$master" &&
        redis_says "$master" '^role:master' info replication
}

# Every master has its replicas, in step.
whole() {
    local name n=0
    for name in "${servers[@]}"; do
        is_server_up "$name" || return 1
        ! redis_says "$name" '^role:slave' info replication || n=$((n + 1))
        redis_says "$name" '^role:master|^master_link_status:up' info replication || return 1
        [ "$chaos_on" != cluster ] || redis_says "$name" cluster_state:ok cluster info || return 1
    done
    case $chaos_on in
    cluster) [ "$n" = 3 ] ;;
    sentinel) [ "$n" = 2 ] ;;
    esac
}

# The same for topics (topics=true): whoever misses something is told so.
topics_begin() {
    local name key
    background python3 tests/fault/topics.py "$TMP/n1.sock" "$TMP/n2.sock" "$TMP/n3.sock" \
        --rate "$rate" --end "${end_s:-8}" >"$TMP/verdict" 2>"$TMP/auditor.log"
    auditor=$!
    wait_until 20 grep -q running "$TMP/auditor.log"
    for name in "${servers[@]}"; do
        key=$(redis_cli "$name" --raw keys 'brokerd:{%node.n3.*}:in' | tail -n 1)
        [ -z "$key" ] || [ "$chaos_on" != cluster ] || slot=$(redis_cli "$name" cluster keyslot "$key")
    done
    sleep "$settle_s"
}

audit_begin() { # QUEUE [OPTIONS]
    local queue=$1
    if [ "${topics:-false}" = true ]; then
        topics_begin
        return
    fi
    shift
    background "$OUT/tests/programs/auditor" -u "unix://$TMP/n1.sock,unix://$TMP/n2.sock" \
        -v "unix://$TMP/n2.sock" -v "unix://$TMP/n3.sock" -v "unix://$TMP/n1.sock" -c 3 -p 2 \
        -q "$queue" -n 100000000 -r "$rate" -w 1024 -s 128 -t 60 "$@" >"$TMP/verdict" 2>"$TMP/auditor.log"
    auditor=$!
    if [ "$chaos_on" = cluster ]; then
        slot=$(redis_cli "${servers[0]}" cluster keyslot "brokerd:{$queue}:s")
    fi
    sleep "$settle_s"
}

audit_end() { # SCENARIO
    local i
    sleep "$settle_s"
    kill -TERM "$auditor"
    ended_within 120 "$auditor"
    echo "$1${topics:+, topics}: $(cat "$TMP/verdict")"
    [ "$status" = 0 ] || { [ "$status" = 1 ] && [ -n "$losses" ]; } ||
        fail "$1: the auditor says $status: $(cat "$TMP/auditor.log"); nodes: $(tail -n 5 "$TMP"/n?.log)"
    for i in "${!node_pid[@]}"; do
        ! process_ended "${node_pid[$i]}" || fail "$1: node $i has ended: $(tail -n 5 "$TMP/n$i.log")"
    done
}

# The queue's master, and one that is not: another, or its replica.
other_master() {
    local name
    for name in "${servers[@]}"; do
        [ "$name" = "$master" ] || ! redis_says "$name" '^role:master' info replication ||
            { echo "$name" && return; }
    done
}
replicas_of() { # NAME: their names
    local name
    for name in "${servers[@]}"; do
        ! redis_says "$name" "^master_port:${redis_port[$1]}" info replication || echo "$name"
    done
}

# What a failover loses of what nobody has consumed yet: replicas hang, messages are published, the
# master dies, the replicas go on.
lag() {
    local name total=5000 refused kept
    export BROKER_URL=unix://$TMP/n1.sock
    broker pub --queue lag first
    [ "$chaos_on" != cluster ] || slot=$(redis_cli "${servers[0]}" cluster keyslot 'brokerd:{lag}:s')
    find_master
    for name in $(replicas_of "$master"); do
        kill -STOP "${redis_pid[$name]}"
    done
    seq "$total" | sed "s/$/$(printf '%01000d' 0)/" | broker pub --queue lag --lines 2>"$TMP/lag" || true
    refused=$(sed -nE 's/.* ([0-9]+) of [0-9]+ messages refused.*/\1/p' "$TMP/lag")
    redis_kill "$master"
    for name in "${servers[@]}"; do
        kill -CONT "${redis_pid[$name]}" 2>/dev/null || true
    done
    find_master
    kept=$(redis_cli "$master" xlen 'brokerd:{lag}:s')
    name=$((total + 1 - ${refused:-0} - kept))
    echo "lag: {\"sent\":$((total + 1)),\"refused\":${refused:-0},\"kept\":$kept,\"lost\":$((name > 0 ? name : 0))}"
    [ "$name" -le 0 ] || [ -n "$losses" ] || fail "lost $name"
    for name in "${servers[@]}"; do
        process_ended "${redis_pid[$name]}" && redis_again "$name"
    done
    wait_until 30 whole
}

scenario() {
    local name
    if [ "$1" = lag ]; then
        lag
        return
    fi
    audit_begin "audit-$1"
    find_master
    case $1 in
    none) ;;
    node) # a node dies with messages in its hands
        kill -KILL "${node_pid[2]}"
        wait "${node_pid[2]}" 2>/dev/null || true
        sleep 1
        node_begin 2
        ;;
    master) # the queue's master dies, a replica takes over
        redis_kill "$master"
        sleep 4
        redis_again "$master"
        ;;
    slot) # the queue's slot moves to another master, and back
        name=$(other_master)
        redis_move_slot "$slot" "$master" "$name"
        sleep 1
        redis_move_slot "$slot" "$name" "$master"
        ;;
    hang) # the queue's master does nothing for ten seconds
        redis_stop_for "$master" 10
        ;;
    slow) # it takes half a second for each thing it is told, for ten seconds
        for _ in {1..20}; do
            redis_cli "$master" debug sleep 0.5 >/dev/null
        done
        ;;
    replica) # its replicas hang, then it dies before they go on
        for name in $(replicas_of "$master"); do
            kill -STOP "${redis_pid[$name]}"
        done
        sleep 4
        redis_kill "$master"
        for name in "${servers[@]}"; do
            kill -CONT "${redis_pid[$name]}" 2>/dev/null || true
        done
        sleep 4
        redis_again "$master"
        ;;
    broker-hang)
        kill -STOP "${node_pid[3]}"
        sleep 10
        kill -CONT "${node_pid[3]}"
        ;;
    flap) # the master dies and comes back, again and again
        for _ in {1..8}; do
            find_master
            redis_kill "$master"
            sleep 2
            redis_again "$master"
            sleep 2
        done
        ;;
    restart) # a node stops in peace, and comes back
        kill -TERM "${node_pid[2]}"
        ended_within 20 "${node_pid[2]}"
        assert_eq "$status" 0 "exit status"
        node_begin 2
        ;;
    flush) # all keys are gone
        for name in "${servers[@]}"; do
            redis_cli "$name" flushall >/dev/null 2>&1 || true
        done
        ;;
    empty) # Redis comes back with nothing
        redis_kill "$master"
        rm -rf "$TMP/redis-$master/appendonlydir"
        redis_again "$master"
        ;;
    *) fail "no such scenario: $1" ;;
    esac
    audit_end "$1"
    wait_until 30 whole
}

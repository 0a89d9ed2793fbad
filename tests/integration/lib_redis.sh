# shellcheck shell=bash
# Redis processes for tests: after lib.sh,
#
#   . "$(dirname "$0")/lib_redis.sh"
#   redis_start main --requirepass secret     # on a free port of the loopback: ${redis_port[main]}
#   redis_cli main ping                       # REDISCLI_AUTH is set by who needs it
#   redis_kill main; redis_again main         # the same port, folder and options once more
#
# All of them end with the test. Nothing is read from or written to the system's own Redis.

declare -A redis_port redis_pid redis_args
redis_by=() # redis-cli's options, for TLS

redis_free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

redis_answers() { # NAME: it takes commands, or wants a password first
    redis-cli "${redis_by[@]}" -h 127.0.0.1 -p "${redis_port[$1]}" ping 2>&1 | grep -qE 'PONG|NOAUTH|LOADING|MASTERDOWN'
}

# redis_start NAME [OPTIONS]: a server, answering. An option --port of its own counts.
redis_start() {
    local name=$1
    shift
    redis_port[$name]=$(redis_free_port)
    redis_args[$name]=${*:+$(printf '%q ' "$@")}
    mkdir -p "$TMP/redis-$name"
    redis_again "$name"
}

# redis_again NAME: start it (again) as it was. A kill may cut a transaction that it was writing to
# its file; Redis would take what is left of that for the beginning of what it does next.
redis_again() {
    local name=$1 options=() file=$TMP/redis-$1/appendonlydir/appendonly.aof.manifest
    eval "options=(${redis_args[$name]})"
    [ ! -e "$file" ] || redis-check-aof --fix "$file" <<<y >>"$TMP/redis-$name/log" 2>&1 || true
    if [ "${options[0]:-}" = --sentinel ]; then
        redis-sentinel "$TMP/redis-$name/sentinel.conf" >>"$TMP/redis-$name/log" 2>&1 </dev/null &
    else
        redis-server --port "${redis_port[$name]}" --bind 127.0.0.1 --dir "$TMP/redis-$name" \
            --save '' "${options[@]}" >>"$TMP/redis-$name/log" 2>&1 </dev/null &
    fi
    redis_pid[$name]=$!
    started+=($!)
    [[ " ${options[*]} " == *" --port 0 "* ]] || wait_until 10 redis_answers "$name"
}

redis_cli() { # NAME COMMAND..
    local name=$1
    shift
    redis-cli "${redis_by[@]}" -h 127.0.0.1 -p "${redis_port[$name]}" "$@"
}

# redis_kill NAME [SIGNAL]
redis_kill() {
    kill "-${2:-KILL}" "${redis_pid[$1]}"
    wait "${redis_pid[$1]}" 2>/dev/null || true
}

redis_stop_for() { # NAME SECONDS: as a machine that hangs
    kill -STOP "${redis_pid[$1]}"
    sleep "$2" # that long is what the test is about
    kill -CONT "${redis_pid[$1]}"
}

redis_says() { # NAME PATTERN COMMAND..: does the answer have such a line?
    local name=$1 pattern=$2
    shift 2
    redis_cli "$name" "$@" 2>/dev/null | tr -d '\r' | grep -qE -- "$pattern"
}

# -------------------------------------------------------------------------------------- a Cluster

# redis_cluster N [OPTIONS]: masters m1 .. mN, each with an equal share of the slots, and agreed.
redis_cluster() {
    local n=$1 i first last
    shift
    for ((i = 1; i <= n; i++)); do
        redis_start "m$i" --cluster-enabled yes --cluster-port "$(redis_free_port)" \
            --cluster-node-timeout 1000 --repl-diskless-sync-delay 0 "$@"
        first=$(((i - 1) * 16384 / n))
        last=$((i * 16384 / n - 1))
        redis_cli "m$i" cluster addslotsrange $first $last >/dev/null
        redis_cli "m$i" cluster set-config-epoch "$i" >/dev/null
    done
    for ((i = 2; i <= n; i++)); do
        redis_meet "m$i" m1
    done
    for ((i = 1; i <= n; i++)); do
        wait_until 20 redis_says "m$i" '^cluster_state:ok' cluster info
        wait_until 20 redis_says "m$i" "^cluster_known_nodes:$n" cluster info
    done
}

redis_bus() { # NAME: the port of its bus
    redis_cli "$1" config get cluster-port | sed -n 2p
}

redis_meet() { # NAME OTHER
    redis_cli "$1" cluster meet 127.0.0.1 "${redis_port[$2]}" "$(redis_bus "$2")" >/dev/null
}

redis_id() { # NAME
    redis_cli "$1" cluster myid
}

# redis_replica NAME MASTER [OPTIONS]: one more node of the Cluster, in step with its master, and
# known to all.
redis_replica() {
    local name=$1 master=$2 id other
    shift 2
    redis_start "$name" --cluster-enabled yes --cluster-port "$(redis_free_port)" \
        --cluster-node-timeout 1000 --repl-diskless-sync-delay 0 "$@"
    id=$(redis_id "$master")
    for other in "${!redis_port[@]}"; do
        [[ $other != m[0-9]* ]] || redis_meet "$name" "$other"
    done
    wait_until 20 redis_says "$name" "$id" cluster nodes
    wait_until 20 redis_says "$name" '^OK' cluster replicate "$id"
    wait_until 20 redis_says "$name" '^master_link_status:up' info replication
    id=$(redis_id "$name")
    for other in "${!redis_port[@]}"; do
        [[ $other != m[0-9]* ]] || wait_until 20 redis_says "$other" "$id.*slave" cluster nodes
    done
}

# redis_move_slot SLOT FROM TO [MASTER..]: with its keys, one by one, as an operator would; all
# masters are told at the end.
redis_move_slot() {
    local slot=$1 from=$2 to=$3 key name
    shift 3
    redis_cli "$to" cluster setslot "$slot" importing "$(redis_id "$from")" >/dev/null
    redis_cli "$from" cluster setslot "$slot" migrating "$(redis_id "$to")" >/dev/null
    while key=$(redis_cli "$from" cluster getkeysinslot "$slot" 1) && [ -n "$key" ]; do
        redis_cli "$from" migrate 127.0.0.1 "${redis_port[$to]}" "$key" 0 5000 >/dev/null
        ${redis_while_moving:-true}
    done
    for name in "$to" "$from" "$@"; do
        redis_cli "$name" cluster setslot "$slot" node "$(redis_id "$to")" >/dev/null
    done
}

# ------------------------------------------------------------------------------------- Sentinels

# redis_sentinel NAME MASTER-NAME MASTER QUORUM: one more that watches that master.
redis_sentinel() {
    local name=$1 watched=$2 master=$3 quorum=$4
    mkdir -p "$TMP/redis-$name"
    redis_port[$name]=$(redis_free_port)
    redis_args[$name]=--sentinel
    cat >"$TMP/redis-$name/sentinel.conf" <<END
port ${redis_port[$name]}
bind 127.0.0.1
dir $TMP/redis-$name
sentinel monitor $watched 127.0.0.1 ${redis_port[$master]} $quorum
sentinel down-after-milliseconds $watched 500
sentinel failover-timeout $watched 3000
END
    redis_again "$name"
}

# ------------------------------------------------------------------------------------------- TLS

# redis_certificates: an authority and a server's certificate for 127.0.0.1 and localhost, in
# $TMP/tls, and another authority that nobody has to do with.
redis_certificates() {
    local dir=$TMP/tls ca
    mkdir -p "$dir"
    for ca in ca other; do
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
            -subj "/CN=test $ca" -keyout "$dir/$ca.key" -out "$dir/$ca.pem" 2>/dev/null
    done
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=redis \
        -keyout "$dir/redis.key" -out "$dir/redis.csr" 2>/dev/null
    printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\n' >"$dir/names"
    openssl x509 -req -in "$dir/redis.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial \
        -days 2 -extfile "$dir/names" -out "$dir/redis.pem" 2>/dev/null
}

# redis_tls NAME [OPTIONS]: a server that takes TLS only.
redis_tls() {
    local name=$1 dir=$TMP/tls port
    shift
    port=$(redis_free_port)
    redis_start "$name" --port 0 --tls-port "$port" --tls-cert-file "$dir/redis.pem" \
        --tls-key-file "$dir/redis.key" --tls-ca-cert-file "$dir/ca.pem" "$@"
    redis_port[$name]=$port
    wait_until 10 redis-cli --tls --cacert "$dir/ca.pem" --cert "$dir/redis.pem" \
        --key "$dir/redis.key" -h 127.0.0.1 -p "$port" ping
}

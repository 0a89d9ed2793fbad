# shellcheck shell=bash disable=SC2034,SC2154
# How each peer is started and how it is spoken to. To be sourced after tests/integration/lib.sh,
# which waits, and ends what was started.
#
# peer_start PEER sets $peer_pid, $peer_port and $peer_protocol; peer_stop ends it. A further peer
# is another case here.
#
# Each listens on loopback only, on ports of its own, keeps its files in a folder of its own that is
# removed with it, and runs as whoever started it. Packages may have brought system services: they
# are neither used nor touched.
#
# Settings: as few as possible. What a comment below does not name is at its default. None keeps
# messages on disk but those that say so (and nats-js and rabbitmq, where the generator asks for it
# by durable=1).

# Names for PEERS. What a peer stands for, where it is not plain:
#
#   raw framed          the limits: relay.c
#   brokerd             as it comes: placement pack, a worker for each core
#   brokerd-w1 -w2 -w4  so many workers, placement pack
#   brokerd-spread      two workers, connections dealt out in turn
#   brokerd-journal     its work queues on disk: each confirm is synced
#   brokerd-redis       its work queues in a Redis beside it, in memory
#   nats-js             JetStream, for streams in memory
#   redis-streams       the same server, spoken to as a work queue
#   redis-streams-always    with appendfsync always: each answer is synced
#   mosquitto-qos1      without limits on what waits
#   rabbitmq            AMQP 0-9-1
#   rabbitmq-stomp      the same server, spoken to by its STOMP plugin
#   rabbitmq-http       the same with the management plugin, whose HTTP is at $peer_http_port
#   webdis              HTTP for a Redis beside it, which is $peer_with and at $peer_port
#   brokerd-stomp       brokerd as it comes, spoken to in STOMP
#   activemq            STOMP

# Servers are not in an ordinary user's PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin

# 10,000 connections and what a broker opens besides; but not millions, for which some allocate
# tables at once.
peer_files=16384

peer_start() {
    peer=$1
    peer_with=() peer_http_port=
    peer_dir=$TMP/peer
    rm -rf "$peer_dir"
    mkdir "$peer_dir"
    case $peer in
    brokerd) peer_brokerd "" ;;
    brokerd-w[124]) peer_brokerd "workers = ${peer#brokerd-w}" ;;
    brokerd-spread) peer_brokerd $'workers = 2\nplacement = spread' ;;
    brokerd-journal)
        peer_brokerd "$(printf '%s\n' 'queue "#" { durable = journal }' \
            "store \"journal\" { path = \"$peer_dir/journal\" }")"
        ;;
    brokerd-redis) peer_brokerd_redis ;;
    brokerd-stomp)
        peer_brokerd ""
        peer_protocol=stomp
        ;;
    raw | framed) peer_relay ;;
    nats) peer_nats ;;
    nats-js) peer_nats -js -sd "$peer_dir/jetstream" ;;
    redis) peer_redis redis ;;
    redis-streams) peer_redis streams ;;
    redis-streams-always) peer_redis streams --appendonly yes --appendfsync always ;;
    mosquitto) peer_mosquitto "" ;;
    # By default 20 messages a client may be unacknowledged and 1000 wait; more are dropped
    # without a word to anybody.
    mosquitto-qos1) peer_mosquitto $'max_inflight_messages 0\nmax_queued_messages 0' ;;
    rabbitmq) peer_rabbitmq amqp ;;
    rabbitmq-stomp) peer_rabbitmq stomp ;;
    rabbitmq-http) peer_rabbitmq stomp rabbitmq_management ;;
    webdis) peer_webdis ;;
    activemq) peer_activemq ;;
    beanstalkd) peer_beanstalkd ;;
    *) fail "no such peer: $peer" ;;
    esac
}

# Ask it to end, as its service would, and wait until it has; but not for long. (RabbitMQ needs a
# minute to part from 10,000 clients. Nobody needs what it would keep.)
peer_stop() {
    local pid deadline
    for pid in "$peer_pid" "${peer_with[@]}"; do
        kill -TERM "$pid" || fail "$peer was gone before it was told to stop"
        deadline=$((SECONDS + 20))
        until process_ended "$pid"; do
            [ $SECONDS -lt $deadline ] || kill -KILL "$pid"
            sleep 0.02
        done
        wait "$pid" 2>/dev/null || true # a relay dies of the signal, others have numbers of their own
        peer_forget "$pid"
    done
}

# A process that has ended need not be ended with the script: its number may be somebody else's.
peer_forget() {
    local pid left=()
    for pid in "${started[@]}"; do
        [ "$pid" = "$1" ] || left+=("$pid")
    done
    started=("${left[@]}")
}

# peer_run SECONDS READY COMMAND [ARGS]: start it, its output in $peer_dir/log, and wait for READY,
# a command, to succeed. Sets peer_pid.
peer_run() {
    local seconds=$1 ready=$2
    shift 2
    (
        ulimit -S -n "$(peer_file_limit)"
        exec "$@"
    ) </dev/null >"$peer_dir/log" 2>&1 &
    peer_pid=$!
    started+=("$peer_pid")
    wait_until "$seconds" peer_ready_or_ended "$ready"
    ! process_ended "$peer_pid" || fail "$peer ended before it was ready: $(tail -n 5 "$peer_dir/log")"
}

peer_file_limit() {
    local hard
    hard=$(ulimit -H -n)
    if [ "$hard" = unlimited ] || [ "$hard" -gt "$peer_files" ]; then
        echo "$peer_files"
    else
        echo "$hard"
    fi
}

peer_ready_or_ended() {
    "$1" || process_ended "$peer_pid"
}

peer_listens() {
    : <"/dev/tcp/127.0.0.1/$peer_port"
}

# A port below those the kernel gives out by itself, which nobody listens on. Of those that cannot
# say which port they were given.
free_port() {
    local port
    while :; do
        port=$((12000 + RANDOM % 20000))
        ! : 2>/dev/null <"/dev/tcp/127.0.0.1/$port" || continue
        echo "$port"
        return
    done
}

peer_brokerd() { # LINES of configuration
    peer_protocol=rsocket
    echo "$1" >"$peer_dir/conf" # even if empty: another would be looked for in /etc
    peer_run 10 peer_brokerd_ready brokerd -c "$peer_dir/conf" -l tcp://127.0.0.1:0
    peer_port=$(sed -nE 's/.*brokerd [^ ]+ ready on tcp:[^ ]*:([0-9]+).*/\1/p' "$peer_dir/log")
}

peer_brokerd_ready() {
    grep -qE 'brokerd [^ ]+ ready on ' "$peer_dir/log"
}

peer_relay() {
    peer_protocol=relay
    peer_run 10 peer_relay_ready "$OUT/tests/bench/load/relay" "$peer"
    peer_port=$(sed -n 's/^ready //p' "$peer_dir/log")
}

peer_relay_ready() {
    grep -q '^ready ' "$peer_dir/log"
}

peer_nats() { # OPTIONS
    peer_protocol=nats
    peer_run 10 peer_nats_port nats-server -a 127.0.0.1 -p -1 --ports_file_dir "$peer_dir" "$@"
    peer_port=$(peer_nats_port)
}

peer_nats_port() {
    grep -ohE 'nats://127.0.0.1:[0-9]+' "$peer_dir"/*.ports | head -n 1 | grep -oE '[0-9]+$'
}

# No snapshots: by default 10,000 changes in a minute are written to disk in the background. And
# room for 10,000 clients with some over; its default is 10,000.
peer_redis() { # redis | streams, OPTIONS
    peer_protocol=$1 peer_port=$(free_port)
    shift
    peer_run 10 peer_redis_ready redis-server --bind 127.0.0.1 --port "$peer_port" \
        --dir "$peer_dir" --save '' --maxclients 12000 "$@"
}

peer_brokerd_redis() {
    local redis
    peer_redis redis
    redis=$peer_pid
    mv "$peer_dir/log" "$peer_dir/redis.log"
    peer_brokerd "$(printf '%s\n' 'queue "#" { durable = redis }' \
        "store \"redis\" { url = \"redis://127.0.0.1:$peer_port\" }")"
    peer_with=("$redis")
}

# Everything else is as Debian's package has it; its log is left out, for it has a line a request.
peer_webdis() {
    local redis
    peer_redis redis
    redis=$peer_pid
    peer_http_port=$(free_port)
    cat >"$peer_dir/webdis.json" <<END
{"redis_host": "127.0.0.1", "redis_port": $peer_port, "http_host": "127.0.0.1",
 "http_port": $peer_http_port, "threads": 2, "daemonize": false, "database": 0,
 "verbosity": 0, "logfile": "/dev/null"}
END
    peer_run 10 peer_webdis_listens webdis "$peer_dir/webdis.json"
    peer_with=("$redis")
}

peer_webdis_listens() {
    : <"/dev/tcp/127.0.0.1/$peer_http_port"
}

peer_redis_ready() {
    grep -q 'Ready to accept connections' "$peer_dir/log"
}

# Without a listener in its configuration it would not read this one; without leave it takes nobody.
peer_mosquitto() { # LINES of configuration
    peer_protocol=mqtt peer_port=$(free_port)
    printf '%s\n' "listener $peer_port 127.0.0.1" "allow_anonymous true" "$1" >"$peer_dir/conf"
    peer_run 10 peer_listens mosquitto -c "$peer_dir/conf"
}

# In memory, as it is without -b.
peer_beanstalkd() {
    peer_protocol=beanstalk peer_port=$(free_port)
    peer_run 10 peer_listens beanstalkd -l 127.0.0.1 -p "$peer_port"
}

# A node of its own name, with its own epmd (the directory of Erlang's nodes) and its own cookie
# (its HOME), so that it meets no other. Everything is at its default but where it listens, where
# its files are and that the STOMP plugin is on, for both protocols alike. Started by the script
# that the package's own wrapper starts: that one insists on root or the user rabbitmq.
#
# RUNNING_UNDER_SYSTEMD: the script becomes the node, which then has the script's process id.
peer_rabbitmq() { # amqp | stomp, ANOTHER-PLUGIN
    local epmd_port amqp_port stomp_port
    epmd_port=$(free_port) amqp_port=$(free_port) stomp_port=$(free_port)
    peer_port=$epmd_port
    peer_run 10 peer_listens epmd -port "$epmd_port" -address 127.0.0.1
    peer_with=("$peer_pid")
    printf '%s\n' "listeners.tcp.1 = 127.0.0.1:$amqp_port" \
        "stomp.listeners.tcp.1 = 127.0.0.1:$stomp_port" >"$peer_dir/rabbitmq.conf"
    echo "[rabbitmq_stomp${2:+,$2}]." >"$peer_dir/plugins"
    if [ -n "${2:-}" ]; then
        peer_http_port=$(free_port)
        printf '%s\n' "management.tcp.ip = 127.0.0.1" "management.tcp.port = $peer_http_port" >>"$peer_dir/rabbitmq.conf"
    fi
    peer_protocol=$1
    if [ "$1" = amqp ]; then peer_port=$amqp_port; else peer_port=$stomp_port; fi
    peer_run 120 peer_rabbitmq_ready env HOME="$peer_dir" RUNNING_UNDER_SYSTEMD=true \
        ERL_EPMD_PORT="$epmd_port" ERL_EPMD_ADDRESS=127.0.0.1 RABBITMQ_CONF_ENV_FILE=/dev/null \
        RABBITMQ_NODENAME="bench-$epmd_port@localhost" RABBITMQ_DIST_PORT="$(free_port)" \
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}' \
        RABBITMQ_CONFIG_FILE="$peer_dir/rabbitmq.conf" \
        RABBITMQ_CONFIG_FILES="$peer_dir/none" RABBITMQ_ADVANCED_CONFIG_FILE="$peer_dir/none" \
        RABBITMQ_ENABLED_PLUGINS_FILE="$peer_dir/plugins" \
        RABBITMQ_MNESIA_BASE="$peer_dir/mnesia" RABBITMQ_LOG_BASE="$peer_dir/logs" \
        /usr/lib/rabbitmq/bin/rabbitmq-server
}

peer_rabbitmq_ready() {
    grep -q 'Server startup complete' "$peer_dir"/logs/*.log
}

# Only a connector for STOMP, and no store; everything else is at its default. Its own script insists
# on a user and an instance of the system's.
peer_activemq() {
    peer_protocol=stomp peer_port=$(free_port)
    cat >"$peer_dir/activemq.xml" <<END
<beans xmlns="http://www.springframework.org/schema/beans"
       xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
       xsi:schemaLocation="http://www.springframework.org/schema/beans
           http://www.springframework.org/schema/beans/spring-beans.xsd
           http://activemq.apache.org/schema/core
           http://activemq.apache.org/schema/core/activemq-core.xsd">
  <broker xmlns="http://activemq.apache.org/schema/core" brokerName="bench" persistent="false"
          useJmx="false" dataDirectory="$peer_dir/data">
    <transportConnectors>
      <transportConnector name="stomp" uri="stomp://127.0.0.1:$peer_port"/>
    </transportConnectors>
  </broker>
</beans>
END
    peer_run 60 peer_listens java -Dactivemq.home=/usr/share/activemq -Dactivemq.base="$peer_dir" \
        -Dactivemq.conf="$peer_dir" -Dactivemq.data="$peer_dir/data" \
        -Djava.io.tmpdir="$peer_dir" -jar /usr/share/activemq/bin/activemq.jar \
        start "xbean:file:$peer_dir/activemq.xml"
}

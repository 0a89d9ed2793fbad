# shellcheck shell=bash disable=SC2034,SC2154
# How each peer is started and how it is spoken to. To be sourced after tests/integration/lib.sh,
# which knows brokerd, waits, and ends what was started.
#
# peer_start PEER sets $peer_pid, $peer_port and $peer_protocol; peer_stop ends it. A further peer
# is another case here.

peer_start() {
    rm -rf "$TMP/peer"
    mkdir "$TMP/peer"
    case $1 in
    brokerd)
        brokerd_start
        peer_pid=$brokerd_pid peer_port=${BROKER_URL##*:} peer_protocol=rsocket
        ;;
    raw | framed)
        "$OUT/tests/bench/load/relay" "$1" >"$TMP/peer/ready" &
        peer_pid=$! peer_protocol=relay
        started+=("$peer_pid")
        wait_until 10 grep -q ready "$TMP/peer/ready"
        peer_port=$(sed -n 's/^ready //p' "$TMP/peer/ready")
        ;;
    nats) # its defaults
        nats-server -a 127.0.0.1 -p -1 --ports_file_dir "$TMP/peer" 2>"$TMP/peer/log" &
        peer_pid=$! peer_protocol=nats
        started+=("$peer_pid")
        wait_until 10 nats_port
        peer_port=$(nats_port)
        ;;
    *) fail "no such peer: $1" ;;
    esac
}

nats_port() {
    grep -ohE 'nats://127.0.0.1:[0-9]+' "$TMP"/peer/*.ports | head -n 1 | grep -oE '[0-9]+$'
}

peer_stop() {
    kill -TERM "$peer_pid"
    wait "$peer_pid" 2>/dev/null || true # a relay dies of the signal, nats-server answers 1
}

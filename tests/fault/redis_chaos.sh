#!/bin/bash
# brokerd nodes on Redis, all on the loopback, and what can happen to either under load; the auditor
# (tests/programs/auditor.c) says what it cost: a line for each scenario.
#
#   ON=cluster               3 masters with a replica each (default); sentinel: a master with 2
#                            replicas and 3 Sentinels; single: one Redis, TLS, rights of the manual
#   SCENARIOS="master hang"  only these, of those in scenario() (default: all that fit)
#   LEVEL=redis+1            what a confirm means
#   RATE=5000                messages a second
#   LOSSES=allowed           0 unless there are; then it is only told how many were lost
#   AUDIT=topics             only those, or only `queues`; topics may be lost, but not without a gap
. "$(dirname "$0")/../integration/lib.sh"
. tests/integration/lib_redis.sh
. tests/fault/lib_chaos.sh

on=${ON:-cluster}
case $on in
single)
    all="none node slow hang flap"
    of_topics="none node restart broker-hang slow hang flap flush empty"
    ;;
sentinel)
    all="none node master hang replica lag flap"
    of_topics="none node master hang replica flap broker-hang flush"
    ;;
*)
    all="none node master slot hang replica lag broker-hang flap"
    of_topics="none node master slot hang replica flap broker-hang flush"
    ;;
esac
[ "$on" != single ] || level=${LEVEL:-redis}

chaos_redis "$on" --appendonly yes --appendfsync everysec
if [ "${AUDIT:-queues}" = queues ]; then
    for i in 1 2 3; do
        node_begin $i
    done
    for one in ${SCENARIOS:-$all}; do
        scenario "$one"
    done
    for i in 1 2 3; do
        kill -KILL "${node_pid[$i]}"
        wait "${node_pid[$i]}" 2>/dev/null || true
    done
fi
if [ "${AUDIT:-topics}" = topics ]; then
    topics=true
    rate=${RATE:-500}
    for i in 1 2 3; do
        node_begin $i
    done
    for one in ${SCENARIOS:-$of_topics}; do
        scenario "$one"
    done
fi

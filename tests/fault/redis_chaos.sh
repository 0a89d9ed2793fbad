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
. "$(dirname "$0")/../integration/lib.sh"
. tests/integration/lib_redis.sh
. tests/fault/lib_chaos.sh

on=${ON:-cluster}
case $on in
single) all="none node slow hang flap" ;;
sentinel) all="none node master hang replica lag flap" ;;
*) all="none node master slot hang replica lag broker-hang flap" ;;
esac
[ "$on" != single ] || level=${LEVEL:-redis}
scenarios=${SCENARIOS:-$all}

chaos_redis "$on" --appendonly yes --appendfsync everysec
for i in 1 2 3; do
    node_begin $i
done
for one in $scenarios; do
    scenario "$one"
done

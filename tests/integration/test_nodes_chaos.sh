#!/bin/bash
# Topics of three brokers on one Redis, audited (tests/fault/topics.py): one is killed, one hangs until it is taken
# for dead, Redis comes back with nothing. Whatever a subscriber misses it is told of. All scenarios:
# make redis-chaos. Once: where connections are placed is nothing to topics.
[ "${PLACEMENT:-pack}" = pack ] || exit 0
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/lib_redis.sh
. tests/integration/lib_redis.sh
rate=300
settle_s=0
end_s=4
topics=true
level=memory
# shellcheck source=tests/fault/lib_chaos.sh
. tests/fault/lib_chaos.sh

chaos_on=single
redis_start m1
servers=(m1)
url=redis://127.0.0.1:${redis_port[m1]}
for i in 1 2 3; do
    node_begin $i
done
topics_begin
kill -STOP "${node_pid[3]}"
kill -KILL "${node_pid[2]}"
wait "${node_pid[2]}" 2>/dev/null || true
node_begin 2
wait_until 15 grep -q 'event=node_down .*node=n3' "$TMP/n1.log"
kill -CONT "${node_pid[3]}"
redis_kill m1
redis_again m1
audit_end "killed, hung, empty"

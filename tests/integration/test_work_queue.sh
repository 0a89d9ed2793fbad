#!/bin/bash
# A work queue with four consumers, one of them killed with work in its hands: whatever was
# confirmed is done by somebody, what the dead one had comes again and says so, nothing is lost.
. "$(dirname "$0")/lib.sh"

jobs=40000
[ -z "$SANITIZE" ] || jobs=4000

# Publish jobs FROM to TO; each must be confirmed.
publish() {
    seq "$1" "$2" | broker pub --queue work --lines --confirm >>"$TMP/receipts"
}

consumers=()
# Consumer N prints a job as {.. "data":"JOB" ..} and acks it after that.
consume() {
    background broker sub --queue work --ack manual --json >"$TMP/done.$1" 2>"$TMP/consumer.$1"
    consumers[$1]=$!
    wait_until 10 grep -q subscribed "$TMP/consumer.$1"
}

lines_in() { # FILE AT-LEAST
    [ "$(wc -l <"$1")" -ge "$2" ]
}

# JOB ATTEMPT for each line that consumers have printed (the killed one perhaps half of its last):
# {"topic":"work","data":"17",..,"number":9,"attempt":1}
done_by() {
    awk -F'"' '/}$/ { gsub(/[:}]/, "", $NF); print $8, $NF }' "$@"
}

counter() { # NAME: of the queue
    broker queue info work --json | sed -nE 's/.*"'"$1"'": ?([0-9]+).*/\1/p'
}

brokerd_start
for i in 1 2 3 4; do consume $i; done
victim=${consumers[1]}

# In the middle of the work the first one stops, with deliveries in its hands; more work comes,
# and it is killed.
publish 1 $((jobs / 2))
wait_until 20 lines_in "$TMP/done.1" 100
kill -STOP "$victim"
publish $((jobs / 2 + 1)) $jobs
kill -KILL "$victim"

# Everything is done by somebody, and exactly once: the victim may have printed something that it
# could not ack any more, so that alone may be counted twice.
all_acked() {
    [ "$(counter acked)" -eq $jobs ]
}
wait_until 30 all_acked
for i in 2 3 4; do
    kill -INT "${consumers[$i]}"
    ended_within 10 "${consumers[$i]}"
    assert_eq "$status" 0 "exit status of consumer $i"
done
for i in 1 2 3 4; do
    done_by "$TMP/done.$i" >"$TMP/jobs.$i"
done
cat "$TMP"/jobs.[234] >"$TMP/jobs.living"
assert_eq "$(grep -c 'accepted 1$' "$TMP/receipts")" "$jobs" "confirmed jobs"
seq 1 $jobs | sort >"$TMP/wanted"
cut -d' ' -f1 "$TMP"/jobs.[1234] | sort -u >"$TMP/got"
assert_same "$TMP/wanted" "$TMP/got"
twice=$(cut -d' ' -f1 "$TMP/jobs.living" | sort | uniq -d | wc -l)
assert_eq "$twice" 0 "jobs done twice by the living"

# What came again says so, and only that: what the victim had taken.
awk '$2 > 1 { print $1 }' "$TMP/jobs.living" | sort >"$TMP/again"
[ -s "$TMP/again" ] || fail "nothing came again"
assert_eq "$(counter redelivered)" "$(wc -l <"$TMP/again")" "redeliveries that brokerd counted"
assert_eq "$(awk '$2 > 2' "$TMP/jobs.living" | wc -l)" 0 "jobs that came a third time"
assert_eq "$(awk '$2 > 1' "$TMP/jobs.1" | wc -l)" 0 "jobs that came to the victim again"
cut -d' ' -f1 "$TMP/jobs.1" | sort >"$TMP/victims"
cut -d' ' -f1 "$TMP/jobs.living" | sort | comm -12 - "$TMP/victims" >"$TMP/both"
assert_eq "$(comm -23 "$TMP/both" "$TMP/again")" "" "jobs done twice and not flagged"
assert_eq "$(counter unacked)" 0 "deliveries in nobody's hands"
brokerd_stop

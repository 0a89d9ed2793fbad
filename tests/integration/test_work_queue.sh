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

# Consumer N prints a job as {.. "data":"JOB" ..} and acks it after that.
consume() {
    background broker sub --queue work --ack manual --json >"$TMP/done.$1" 2>"$TMP/consumer.$1"
    consumer=$!
    wait_until 10 grep -q '^subscribed' "$TMP/consumer.$1"
}

lines_in() { # FILE AT-LEAST
    [ "$(wc -l <"$1")" -ge "$2" ]
}

# JOB ATTEMPT for each line that consumers have printed.
done_by() {
    sed -nE 's/.*"data":"([0-9]+)".*"attempt":([0-9]+).*/\1 \2/p; t
             s/.*"data":"([0-9]+)".*/\1 1/p' "$@"
}

brokerd_start
consume 1
victim=$consumer
for i in 2 3 4; do consume $i; done

# In the middle of the work the first one stops, with deliveries in its hands; more work comes,
# and it is killed.
publish 1 $((jobs / 2))
wait_until 20 lines_in "$TMP/done.1" 100
kill -STOP "$victim"
publish $((jobs / 2 + 1)) $jobs
kill -KILL "$victim"

# Everything is done exactly once, by somebody; the victim may have printed something that it
# could not ack any more, so that alone is counted twice.
all_done() {
    [ "$(done_by "$TMP"/done.* | cut -d' ' -f1 | sort -u | wc -l)" -eq $jobs ] &&
        [ "$(done_by "$TMP"/done.[234] | wc -l)" -ge $((jobs - $(wc -l <"$TMP/done.1"))) ]
}
wait_until 30 all_done
assert_eq "$(grep -c 'accepted 1$' "$TMP/receipts")" "$jobs" "confirmed jobs"
seq 1 $jobs | sort >"$TMP/wanted"
done_by "$TMP"/done.* | cut -d' ' -f1 | sort -u >"$TMP/got"
assert_same "$TMP/wanted" "$TMP/got"

twice=$(done_by "$TMP"/done.[234] | cut -d' ' -f1 | sort | uniq -d | wc -l)
assert_eq "$twice" 0 "jobs done twice by the living"

# What came again says so, and only that: what the victim had taken.
done_by "$TMP"/done.[234] | awk '$2 > 1 { print $1 }' | sort >"$TMP/again"
[ -s "$TMP/again" ] || fail "nothing came again"
assert_eq "$(done_by "$TMP"/done.[234] | awk '$2 > 2' | wc -l)" 0 "jobs that came a third time"
done_by "$TMP/done.1" | awk '$2 > 1' >"$TMP/victims"
assert_eq "$(wc -l <"$TMP/victims")" 0 "jobs the victim had a second time"
done_by "$TMP/done.1" | cut -d' ' -f1 | sort >"$TMP/first"
done_by "$TMP"/done.[234] | cut -d' ' -f1 | sort | comm -12 - "$TMP/first" >"$TMP/both"
assert_eq "$(comm -23 "$TMP/both" "$TMP/again")" "" "jobs done twice and not flagged"
brokerd_stop

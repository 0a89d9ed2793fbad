#!/bin/bash
# limit: 180 s
# Endpoints that fail in all ways they can, one webhook each, side by side: every event is delivered
# or a dead letter, none is lost, at most the window is in flight, and nobody is led elsewhere.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/webhooks/lib.sh"

server_start
pace='window = 4 break-time = 20ms break-time-max = 100ms'
fast="$pace timeout = 300ms connect-timeout = 200ms"
calm="$pace timeout = 20s" # for those whose answers are waited for
short='retry = { 10ms, 20ms }'
many='retry = { 10ms, 10ms, 20ms, 20ms, 40ms, 40ms, 80ms, 80ms, 160ms, 160ms, 320ms, 320ms, 320ms, 320ms }'
kinds='hang half drip close head redirect'
conf=
for kind in $kinds; do
    conf+=$(section "$kind" events "/$kind/x" "$fast" "$short")$'\n'
done
conf+="$(section flaky events /flaky/x "$pace" "timeout = 1s" "$many")
$(section large events /large/x "$calm" "$short")
$(section slowbody events /slowbody/x "$pace" "timeout = 2s" "$short")
$(section trailer events /trailer/x "$calm" "$short")
$(section status events /status/503/x "$calm" "$short")
$(section gone events /gone/x "$calm" "$short")
$(section later events /later/x "$calm" "$short" "break-after = 100")
$(section laterdate events /laterdate/x "$calm" "$short" "break-after = 100")
$(section ok events /ok/x "$calm" "$short")
webhook \"guarded\" { topic = events url = \"http://127.0.0.1:$port/guarded\" insecure = true $fast $short }
webhook \"named\" { topic = events url = \"http://localhost:$port/guarded\" insecure = true $fast $short }
webhook \"spelled\" { topic = events url = \"http://0x7f.1:$port/guarded\" insecure = true $fast $short }
webhook \"metadata\" { topic = events url = \"http://169.254.169.254/guarded\" insecure = true $fast $short }
webhook \"nowhere\" { topic = events url = \"http://127.0.0.1:9443/x\" insecure = true allow = \"127.0.0.0/8\" $fast $short }"
brokerd_start
n=12
seq 1 $n | broker pub events --lines

echo "== good ones are not held up"
wait_until 20 saw /ok/x "len(taken) == $n and all(k == 1 for k in taken.values()) and most <= 4"

echo "== an answer's body is of no interest: taken once is taken"
for kind in large slowbody trailer; do
    wait_until 60 member_is $kind counters.delivered $n
    saw /$kind/x "len(taken) == $n and all(k == 1 for k in taken.values())"
done

echo "== one of three fails: each event arrives all the same"
wait_until 60 saw /flaky/x "len(taken) == $n"
wait_until 60 member_is flaky depth 0
assert_eq "$(member flaky dead_depth)" 0 "none is given up"
saw /flaky/x 'all(len(set(i)) == 1 for i in ids.values()) and attempts > '$n

echo "== those that never take anything: all become dead letters, after three attempts each"
for kind in $kinds status nowhere guarded named spelled metadata; do
    wait_until 100 member_is "$kind" dead_depth $n
    assert_eq "$(member "$kind" depth)" 0 "$kind: what is left"
    assert_eq "$(member "$kind" counters.attempts)" $((3 * n)) "$kind: attempts"
    [ "$(member "$kind" counters.opened)" -ge 1 ] || fail "$kind: its breaker did not open"
done
for kind in $kinds; do
    # the server is still at one that was given up here, when the next comes
    saw "/$kind/x" "most <= 8 and len(ids) == $n"
done

echo "== why each failed"
for row in hang:timeout half:timeout drip:timeout close:unreachable head:malformed \
    nowhere:unreachable guarded:forbidden named:forbidden spelled:forbidden metadata:forbidden; do
    [ "$(member "${row%:*}" "counters.errors.${row#*:}")" -gt 0 ] ||
        fail "${row%:*}: $(broker --json webhook info "${row%:*}")"
done
[ "$(member redirect counters.status.3xx)" -gt 0 ] || fail "redirects were not counted"
assert_grep 'the last: unreachable[;|" ]' "$brokerd_log" # not "unreachable 0"
grep -qE 'the last: [a-z]+ 0' "$brokerd_log" && fail "a status that never came"

echo "== nobody was led elsewhere, and no guarded address was called"
saw /secret 'attempts == 0'
saw /guarded 'attempts == 0'

echo "== 410: disabled, the rest stays in the queue"
assert_eq "$(member gone state)" disabled "state"
assert_eq "$(member gone why)" "it answered 410: it wants no more" "why"
dead=$(member gone dead_depth)
[[ $dead = [1-4] ]] || fail "$dead dead letters"
assert_eq $((dead + $(member gone depth))) $n "all there"
saw /gone/x 'attempts <= 4'

echo "== Retry-After, in both forms: nothing is sent before"
for kind in later laterdate; do
    wait_until 20 saw /$kind/x "len(taken) == $n"
    saw /$kind/x 'sorted(times)[4] - times[0] >= 0.9' # what was under way already is not the point
    assert_grep "event=webhook_paused webhook=$kind" "$brokerd_log"
done
brokerd_stop

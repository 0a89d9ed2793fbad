#!/bin/bash
# Metrics as Prometheus reads them, and the probes.
. "$(dirname "$0")/lib.sh"

conf='metrics-queues = 3
queue "small" { max-messages = 2 overflow = reject }
queue "oldest" { max-messages = 1 overflow = drop-oldest }'
brokerd_start
where=${BROKER_URL#tcp://}

metrics() {
    python3 tests/integration/metrics.py "$where" "$TMP/metrics"
    promtool check metrics <"$TMP/metrics" >"$TMP/said" 2>&1 || fail "promtool: $(cat "$TMP/said")"
    assert_eq "$(cat "$TMP/said")" "" "what promtool says"
}

echo "== an empty broker"
metrics
assert_grep '^brokerd_messages_published_total 0$' "$TMP/metrics"
assert_grep '^brokerd_messages_lost_total\{reason="expired"\} 0$' "$TMP/metrics"
assert_grep '^brokerd_draining 0$' "$TMP/metrics"

echo "== queues, what they lost and refused, names that must be escaped"
broker queue add 'q"x\y' >/dev/null
broker pub small -n 5 x 2>/dev/null || true
broker pub oldest -n 3 x 2>/dev/null
metrics
assert_grep '^brokerd_queue_messages\{queue="small"\} 2$' "$TMP/metrics"
assert_grep '^brokerd_queue_limit_messages\{queue="small"\} 2$' "$TMP/metrics"
assert_grep '^brokerd_queue_refused_total\{queue="small",reason="full"\} 3$' "$TMP/metrics"
assert_grep '^brokerd_queue_lost_total\{queue="oldest",reason="drop-oldest"\} 2$' "$TMP/metrics"
assert_grep '^brokerd_messages_lost_total\{reason="drop-oldest"\} 2$' "$TMP/metrics"
assert_grep '^brokerd_messages_refused_total\{reason="full"\} 3$' "$TMP/metrics"
assert_grep '^brokerd_queue_messages\{queue="q\\"x\\\\y"\} 0$' "$TMP/metrics"
assert_eq "$(grep -c 'other queues' "$TMP/metrics" || true)" 0 "queues beyond the limit"

echo "== subscriptions are added up, however many"
background broker sub quiet --credit 1 --json >/dev/null 2>"$TMP/sub.log"
wait_until 10 grep -q subscribed "$TMP/sub.log"
broker pub quiet -n 3 x
metrics
assert_grep '^brokerd_subscriptions 1$' "$TMP/metrics"
assert_eq "$(grep -c quiet "$TMP/metrics" || true)" 0 "what a client has named"

echo "== no more series than the settings say"
for i in 1 2 3 4; do broker queue add "more.$i" >/dev/null; broker pub "more.$i" x; done
metrics
assert_grep '^brokerd_queue_messages\{queue="other queues"\} 4$' "$TMP/metrics"
assert_eq "$(grep -c '^brokerd_queue_messages{' "$TMP/metrics")" 4 "series of one name"
assert_eq "$(grep -c '^brokerd_queue_limit_messages{' "$TMP/metrics")" 3 "limits"

echo "== the probes"
status() {
    python3 - "$where" "$1" <<'END'
import http.client, sys
c = http.client.HTTPConnection(sys.argv[1], timeout=20)
c.request("GET", sys.argv[2])
r = c.getresponse()
print(r.status, r.read().decode().strip())
END
}
assert_eq "$(status /livez)" "200 alive" "alive"
assert_eq "$(status /readyz)" '200 {"ready":true,"workers":2}' "ready"
brokerd_stop

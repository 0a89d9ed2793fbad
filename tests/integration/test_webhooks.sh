#!/bin/bash
# limit: 120 s
# Webhooks: what the CLI does to them, the settings and their reload, signing, dead letters and back.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/webhooks/lib.sh"

secret=whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=
server_start
conf="create-queues = false
$(section one 'orders.#' /ok/one "secret = \"$secret\"" 'headers = "X-Own: 1"')
$(section off 'orders.#' /ok/off 'enabled = false')
$(section odd 'odd.#' /controls/odd)"
brokerd_start

echo "== from the settings: ready with its queue, signed, with the message's headers"
seq 1 20 | broker pub orders.new --lines -H colour:red
wait_until 10 saw /ok/one 'len(taken) == 20'
saw /ok/one 'all(n == 1 for n in taken.values()) and most <= 64'
member_is one counters.delivered 20
assert_eq "$(member one state)" active "state"
assert_eq "$(member off state)" disabled "one that is not enabled"
wait_until 10 member_is off depth 20

echo "== enabled, it gets what was collected"
broker webhook enable off
wait_until 10 saw /ok/off 'len(taken) == 20'
broker webhook disable off
assert_eq "$(member off why)" "disabled by somebody who manages the broker" "why"

echo "== test: request and answer"
broker webhook test one >"$TMP/test"
assert_grep '^> POST http://127.0.0.1' "$TMP/test"
assert_grep '^> webhook-signature: v1,' "$TMP/test"
assert_grep '^> X-Own: \(hidden\)' "$TMP/test" # it may be a token
assert_grep '^< 200, ' "$TMP/test"

broker webhook test odd >"$TMP/test" || true
assert_grep '^< 400, ' "$TMP/test"
assert_grep '^< a \[2Jb c  31md  eä$' "$TMP/test"
! LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]' "$TMP/test" || fail "control characters are shown"

echo "== no secret is told anywhere"
broker --json webhook info one >"$TMP/told"
broker --json webhook ls >>"$TMP/told"
broker request admin/config '{}' >>"$TMP/told"
cat "$TMP/told" "$brokerd_log" >"$TMP/all"
! grep -q MDEyMzQ1 "$TMP/all" || fail "the secret is in what is told"
assert_grep '"secret": ?"\(hidden\)"' "$TMP/told"
broker --quiet sub "\$SYS.stats.webhooks" -n 1 >"$TMP/stats" # which not only managers may do
assert_grep "\"url\": ?\"http://127.0.0.1:$port\"" "$TMP/stats"
! grep -q /ok/one "$TMP/stats" "$brokerd_log" || fail "a URL's path is told to everybody"
assert_eq "$(status_of broker webhook add three https://x/ -t a -H 'Own MDEyMzQ1')" 1 "no field"
broker webhook add three https://x/ -t a -H 'Own MDEyMzQ1' >"$TMP/mistake" 2>&1 || true
! grep -q MDEyMzQ1 "$TMP/mistake" || fail "what is in a field is quoted"

echo "== what is the settings' own is changed there"
assert_eq "$(status_of broker webhook rm one)" 4 "rm of one in the settings"
assert_eq "$(status_of broker webhook add one --replace --set window=2)" 4 "changing one"

echo "== added by hand: a secret is made and shown, refusals say why"
made=$(broker --quiet webhook add two "http://127.0.0.1:$port/ok/two" -t two.# --insecure \
    --allow 127.0.0.0/8 --set window=3)
[[ $made = whsec_* ]] || fail "no secret: $made"
assert_eq "$(status_of broker webhook add two http://x/ -t a --insecure)" 1 "a second one"
assert_eq "$(status_of broker webhook add three http://x/ -t a)" 1 "http without leave"
assert_eq "$(status_of broker webhook add three ftp://x/ -t a)" 1 "ftp"
assert_eq "$(status_of broker webhook add three https://x/ -t a -H 'Host: y')" 1 "a field of ours"
assert_eq "$(status_of broker webhook add three https://x/ -t a --set secret=whsec_x)" 2 "a secret in sight"
assert_eq "$(status_of broker webhook info three)" 1 "one that is not there"
wait_until 10 member_is two state active
seq 1 50 | broker pub two.a --lines
wait_until 10 saw /ok/two 'len(taken) == 50'
saw /ok/two 'most <= 3'

echo "== rotated: two signatures"
new=$(broker --quiet webhook add two --replace --rotate)
[[ $new = whsec_* && $new != "$made" ]] || fail "no new secret: $new"
wait_until 10 member_is two state active
broker webhook test two | grep -qE '^> webhook-signature: v1,\S+ v1,\S+$' || fail "not signed twice"

echo "== ed25519"
printf 'whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n' |
    broker webhook add two --replace --secret-file - --set secret-old=
wait_until 10 member_is two state active
broker webhook test two | grep -qE '^> webhook-signature: v1a,\S+$' || fail "not signed v1a"
assert_eq "$(broker webhook info two | sed -n 's/^public keys *//p')" \
    whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg= "public key"

echo "== given up, kept, and delivered again: with its topic, and the id it had"
broker webhook add dead "http://127.0.0.1:$port/status/400/x" -t dead.# --insecure --no-secret \
    --allow 127.0.0.0/8 --set retry=5ms --set retry=10ms --set break-time=5ms --set break-time-max=10ms
wait_until 10 member_is dead state active
seq 1 10 | broker pub dead.a --lines
wait_until 20 member_is dead dead_depth 10
member_is dead counters.attempts 30
member_is dead depth 0
saw /status/400/x 'all(len(i) == 3 and len(set(i)) == 1 for i in ids.values())'
broker webhook replay dead -n 2 # to be refused again: nothing is lost by that
wait_until 20 member_is dead counters.attempts 36
wait_until 20 member_is dead dead_depth 10
broker webhook add dead "http://127.0.0.1:$port/ok/back" --replace
broker webhook replay dead
wait_until 10 saw /ok/back 'len(taken) == 10'
saw /ok/back "all(i[0] in paths['/status/400/x']['ids'][d] for d, i in ids.items())"
member_is dead dead_depth 0

echo "== CloudEvents"
broker webhook add ce "http://127.0.0.1:$port/ok/ce" -t ce.# --insecure --allow 127.0.0.0/8 \
    --set format=cloudevents-json --no-secret
wait_until 10 member_is ce state active
broker pub ce.x '{"a":1}' --type application/json
wait_until 10 saw /ok/ce 'any("\"type\":\"ce.x\"" in d and "\"data\":{\"a\":1}" in d for d in taken)'

echo "== a queue deleted under it is made again"
broker queue rm webhook.ce
queue_is_back() { broker queue info webhook.ce; }
wait_until 10 queue_is_back
wait_until 10 member_is ce state active
broker pub ce.y 2
wait_until 10 saw /ok/ce 'any("\"type\":\"ce.y\"" in d for d in taken)'

echo "== removed, with its queue; its dead letters stay"
broker webhook rm ce
assert_eq "$(status_of broker queue info webhook.ce)" 1 "its queue"
broker queue info webhook.ce.dead >/dev/null

echo "== TLS: who answers must be who the URL names, by a certificate that is trusted"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1 \
    -keyout "$TMP/key" -out "$TMP/certificate" 2>/dev/null
background python3 $here/server.py 0 "$TMP/certificate" "$TMP/key" >"$TMP/tls.port" 2>/dev/null
wait_until 10 test -s "$TMP/tls.port"
tls=$(cat "$TMP/tls.port")
outcome() {
    broker --json webhook test "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["outcome"])'
}
broker --quiet webhook add untrusted "https://127.0.0.1:$tls/ok/x" -t none --allow 127.0.0.0/8 >/dev/null
assert_eq "$(outcome untrusted || true)" tls "a certificate that nobody trusts"
broker --quiet webhook add trusted "https://127.0.0.1:$tls/ok/x" -t none --allow 127.0.0.0/8 \
    --set ca="$TMP/certificate" >/dev/null
assert_eq "$(outcome trusted)" answered "a certificate that is trusted"
broker --quiet webhook add misnamed "https://localhost:$tls/ok/x" -t none --allow 127.0.0.0/8 \
    --set ca="$TMP/certificate" >/dev/null
assert_eq "$(outcome misnamed || true)" tls "a certificate of another name"

echo "== a reload changes, adds and removes"
{
    echo "workers = 2"
    section one 'bills.#' /ok/bills
    section three 'orders.#' /ok/three
} >"$TMP/brokerd.conf"
kill -HUP "$brokerd_pid"
wait_until 10 member_is three state active
gone() { ! broker webhook info off; }
wait_until 10 gone
wait_until 10 member_is one state active
broker webhook info one | grep -q '^  allow  *{ 127.0.0.0/8 }$' || fail "lists are among its settings"
broker webhook info one | grep -q 'topics *bills.#' || fail "its topics are the old ones"
broker pub orders.late 1
broker pub bills.a b
wait_until 10 saw /ok/three 'len(taken) == 1'
wait_until 10 saw /ok/bills 'len(taken) == 1' # what it has no longer is not sent
wait_until 10 member_is two state active    # and what was added by hand stays
assert_grep 'event=webhook_removed webhook=off' "$brokerd_log"

echo "== events tell it"
background broker events --json >"$TMP/events" 2>"$TMP/events.err"
wait_until 10 grep -q subscribed "$TMP/events.err"
broker webhook disable three
wait_until 10 grep -q '"event":"webhook_disabled".*"webhook":"three"' "$TMP/events"

brokerd_stop

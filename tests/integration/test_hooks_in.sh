#!/bin/bash
# Webhooks of others, posted to /v1/hooks/NAME: verified, published, answered when settled, once each.
# Signatures are openssl's and Python's.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

secret=whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=
printf 'a secret of GitHub\n' >"$TMP/github.secret"
conf="hook \"std\" { topic = in.std secret = \"$secret\" headers = { X-Kind, Broker-Ttl } }
hook \"ed\" { topic = in.ed secret = \"whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=\" tolerance = never }
hook \"gh\" { topic = in.gh scheme = github secret-file = \"$TMP/github.secret\" headers = { X-GitHub-Event } }
hook \"pay\" { topic = in.pay scheme = stripe secret = whsec_new secret-old = whsec_old }
hook \"open\" { topic = in.open scheme = none require = false }
queue \"full\" { bind = { in.full } max-messages = 1 overflow = reject }
hook \"full\" { topic = in.full scheme = none }"
brokerd_start
url=http://${BROKER_URL#tcp://}/v1/hooks

background broker sub --json in.# >"$TMP/got" 2>"$TMP/sub.log"
sub=$!
wait_until 10 grep -q subscribed "$TMP/sub.log"

# post HOOK BODY [FIELD..]: the status in $status, the answer in $TMP/answer
post() {
    local hook=$1 body=$2 fields=() f
    shift 2
    for f; do fields+=(-H "$f"); done
    status=$(curl -s -o "$TMP/answer" -w '%{http_code}' -H 'Content-Type: application/json' \
        "${fields[@]}" --data-binary "$body" "$url/$hook")
}

hmac() { # SECRET TEXT: in hex
    printf %s "$2" | openssl dgst -sha256 -mac HMAC -macopt "key:$1" | sed 's/.*= //'
}

now=$(date +%s)
sign() { # ID TIME BODY [KEY]: what `webhook-signature` says
    local key=${4:-0123456789abcdef0123456789abcdef}
    echo "v1,$(printf %s "$1.$2.$3" | openssl dgst -sha256 -mac HMAC -macopt "key:$key" -binary | base64)"
}

standard() { # ID TIME BODY SIGNATURE
    post std "$3" "webhook-id: $1" "webhook-timestamp: $2" "webhook-signature: $4" "X-Kind: k" "Broker-Ttl: x"
}

got() { # how many have come
    wait_until 10 test "$(wc -l <"$TMP/got")" -ge "$1"
}

echo "== standard"
standard m1 "$now" '{"n":1}' "$(sign m1 "$now" '{"n":1}')"
assert_eq "$status $(cat "$TMP/answer")" '202 {"matched":1,"accepted":1}'
got 1
assert_grep '"topic": ?"in.std"' "$TMP/got"
assert_grep '"type": ?"application/json"' "$TMP/got"
assert_grep '"X-Kind": ?"k"' "$TMP/got"
assert_grep '[$]dedup": ?"std:m1"' "$TMP/got"
grep -q '{"n":1}\|{\\"n\\":1}' "$TMP/got" || fail "the payload is another"

echo "== the same again: it is well, and comes once; a later attempt likewise"
standard m1 "$now" '{"n":1}' "$(sign m1 "$now" '{"n":1}')"
assert_eq "$status $(cat "$TMP/answer")" '202 {"matched":1,"accepted":1}'
standard m1 $((now + 1)) '{"n":1}' "v1,AAAA $(sign m1 $((now + 1)) '{"n":1}') v2,x"
assert_eq "$status" 202
standard m2 "$now" '' "$(sign m2 "$now" '')"
assert_eq "$status" 202
got 2
assert_eq "$(wc -l <"$TMP/got")" 2 "messages"

echo "== what is not genuine"
standard m3 "$now" '{"n":2}' "$(sign m3 "$now" '{"n":1}')"
assert_eq "$status $(cat "$TMP/answer")" '401 {"error":{"reason":"denied","text":"denied: hook std: the signature does not fit"}}'
standard m3 "$now" x "$(sign m3 "$now" x another-key-of-thirty-two-bytes-)"
assert_eq "$status" 401
old=$((now - 400))
standard m3 $old x "$(sign m3 $old x)"
assert_eq "$status" 401
assert_grep 'signed too long ago' "$TMP/answer"
standard m3 $((now + 400)) x "$(sign m3 $((now + 400)) x)"
assert_eq "$status" 401
post std x "webhook-id: m3" "webhook-timestamp: $now"
assert_eq "$status" 401
assert_grep 'the signature is missing' "$TMP/answer"
standard m.3 "$now" x "$(sign m.3 "$now" x)"
assert_eq "$status" 401
post nobody x
assert_eq "$status $(cat "$TMP/answer")" '404 {"error":{"reason":"not-found","text":"not-found: no hook \"nobody\""}}'
status=$(curl -s -o "$TMP/answer" -w '%{http_code}' "$url/std")
assert_eq "$status" 405
broker info --json >"$TMP/info"
assert_grep '"hooks-denied": ?6' "$TMP/info"
assert_grep 'denied: hook std: signed too long ago.* status=401' "$brokerd_log"

echo "== Ed25519, of the vectors of docs/webhooks.md"
post ed '{"type":"message.published","timestamp":"2026-01-02T03:04:05Z","data":{"topic":"orders","id":"42"}}' \
    "webhook-id: msg_2Lh9KRb0pzN4LePd3XiA4v12Axj" "webhook-timestamp: 1767323045" \
    "webhook-signature: v1a,NvOM78i023Nd/EHEjjcEsLPv7Bxx7DIY3D2+f/XnjNle8CP67Q4dXKpZWmb9mWGEMfw8REz+gU4Xw1v193KyDQ=="
assert_eq "$status" 202

echo "== GitHub"
github() { # DELIVERY BODY
    post gh "$2" "X-GitHub-Delivery: $1" "X-GitHub-Event: push" \
        "X-Hub-Signature-256: sha256=$(hmac 'a secret of GitHub' "${3:-$2}")"
}
github 72d3162e-cc78-11e3 '{"zen":1}'
assert_eq "$status" 202
github 72d3162e-cc78-11e3 '{"zen":1}'
assert_eq "$status" 202
got 4
assert_grep '"X-GitHub-Event": ?"push"' "$TMP/got"
github 72d3162e-cc78-11e4 '{"zen":2}' '{"zen":1}'
assert_eq "$status" 401
assert_eq "$(wc -l <"$TMP/got")" 4 "messages"

echo "== Stripe: the id is the event's; the old secret is good"
stripe() { # SECRET BODY
    post pay "$2" "Stripe-Signature: t=$now,v1=$(hmac "$1" "$now.$2"),v0=00"
}
event='{"object":"event","data":{"id":"no"},"id":"evt_1"}'
stripe whsec_new "$event"
assert_eq "$status" 202
stripe whsec_old "$event"
assert_eq "$status" 202
stripe whsec_other "$event"
assert_eq "$status" 401
got 5
assert_grep '[$]dedup": ?"pay:evt_1"' "$TMP/got"
assert_eq "$(wc -l <"$TMP/got")" 5 "messages"

echo "== none; nobody listens; a queue that is full"
post open 'hello' 'Idempotency-Key: k1'
assert_eq "$status" 202
got 6
post full 1
post full 2
assert_eq "$status" 429 # one of two queues has it: the repeat goes to the other alone
kill -INT "$sub"
ended_within 10 "$sub"
nobody_listens() {
    post open 'nobody'
    [ "$status $(cat "$TMP/answer")" = '202 {"matched":0,"accepted":0}' ]
}
wait_until 10 nobody_listens
standard m9 "$now" x "$(sign m9 "$now" x)"
assert_eq "$status" 404
assert_grep '"no-match"' "$TMP/answer"

echo "== other settings hold at once, on a connection that is there"
cat >"$TMP/two.py" <<'END'
import http.client, os, signal, subprocess, sys, time
c = http.client.HTTPConnection(sys.argv[1])
def post(hook):
    c.request("POST", "/v1/hooks/" + hook, b"x")
    r = c.getresponse()
    r.read()
    return r.status
assert post("open") == 202 and post("later") == 404
path, pid = sys.argv[2], int(sys.argv[3])
text = open(path).read().replace('hook "open"', 'hook "later"')
open(path, "w").write(text)
os.kill(pid, signal.SIGHUP)
end = time.monotonic() + 10
while post("later") != 202:
    assert time.monotonic() < end, "the new hook is not there"
    time.sleep(0.01)  # between two looks
assert post("open") == 404
END
python3 "$TMP/two.py" "${BROKER_URL#tcp://}" "$TMP/brokerd.conf" "$brokerd_pid"
! grep -q "hunter\|a secret of\|whsec_" "$brokerd_log" || fail "a secret in the log"
brokerd_stop

echo "== settings that are wrong"
wrong() { # SECTION WANTED
    printf '%s\n' "$1" >"$TMP/wrong.conf"
    ! brokerd -t -c "$TMP/wrong.conf" 2>"$TMP/wrong" || fail "it was taken: $1"
    assert_grep "$2" "$TMP/wrong"
}
wrong 'hook "a" { topic = t }' 'hook: secret: expected one'
wrong 'hook "a" { secret-file = "/nowhere/x" topic = t }' 'secret-file: cannot read /nowhere/x: No such file'
wrong 'hook "a" { topic = t scheme = none secret = x }' 'with scheme = none nothing is signed'
brokerd -t -c brokerd.conf.example

#!/bin/bash
# `broker trace`: who would get a message, who got it, where it waits and why.
. "$(dirname "$0")/lib.sh"

brokerd_start

echo "== who would get it"
assert_eq "$(status_of broker trace nobody.here)" 1 "exit code, nobody"
broker queue add orders --bind 'orders.#' >/dev/null
broker queue add audit --bind '#' >/dev/null
background broker sub 'orders.*' --name shop >/dev/null 2>"$TMP/shop"
background broker sub 'orders.#' --queue orders --ack manual --name packer >/dev/null 2>"$TMP/packer"
wait_until 10 grep -q subscribed "$TMP/shop"
wait_until 10 grep -q subscribed "$TMP/packer"
broker trace orders.eu >"$TMP/said"
assert_grep '^audit +# +0 +none' "$TMP/said"
assert_grep '^orders +orders\.# +0 +packer +[0-9,]+' "$TMP/said"
assert_grep 'of shop\) +orders\.\* +0 +shop' "$TMP/said"

echo "== one that it publishes: who got it, and where it still waits, and why"
status=0
broker trace orders.eu --publish hello --timeout 1s >"$TMP/said" || status=$?
assert_eq "$status" 5 "exit code, something waits"
assert_grep 'traceparent 00-[0-9a-f]{32}-[0-9a-f]{16}-01$' "$TMP/said"
assert_grep 'audit: waits, [0-9]+ before it' "$TMP/said"
assert_grep 'orders: (delivered to|settled by) packer' "$TMP/said"
assert_grep 'of shop\): delivered to shop' "$TMP/said"
assert_grep '=> queue "audit": .*it has no consumer' "$TMP/said"
broker queue rm audit >/dev/null

echo "== nothing passes: it says so"
assert_eq "$(status_of broker trace orders.us -n 2 --timeout 200ms)" 5 "exit code, nothing passed"
{ broker trace orders.us -n 2 --timeout 200ms || true; } 2>&1 >/dev/null | grep -q '0 of 2 messages to "orders.us" passed' ||
    fail "it is silent"
broker trace orders.us --timeout 200ms 2>&1 >/dev/null | grep -q 'no message to "orders.us" passed' ||
    fail "it is silent without -n"

echo "== those that pass, with what their publishers say of the trace"
parent=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
background broker trace orders.us -n 2 --timeout 20s --json >"$TMP/traced" 2>"$TMP/traced.err"
tracer=$!
listens() { broker queue ls --all --json | grep -q "trace-"; }
wait_until 10 listens
broker pub orders.us one -H "traceparent:$parent" -H tracestate:a=b
broker pub orders.us two
ended_within 20 "$tracer"
assert_eq "$(wc -l <"$TMP/traced")" 2 "messages"
assert_grep "\"traceparent\":\"$parent\"" "$TMP/traced"
assert_grep '"queue":"orders","id":"[^"]*","state":"(settled|delivered)","consumer":"packer"' "$TMP/traced"

echo "== one that is held up, until somebody takes it"
broker queue add slow --bind slow >/dev/null
background broker trace slow --publish x --timeout 20s >"$TMP/traced" 2>"$TMP/traced.err"
tracer=$!
wait_until 10 grep -q 'slow: waits, 0 before it' "$TMP/traced"
broker sub --queue slow -n 1 slow --name late >/dev/null 2>&1
ended_within 20 "$tracer"
assert_grep 'slow: (delivered|settled)' "$TMP/traced"
brokerd_stop

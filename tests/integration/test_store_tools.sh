#!/bin/bash
# limit: 90 s
# What is on disk, with the broker stopped and with it running: checked, counted, as text and back,
# copied; and what is said of damage.
. "$(dirname "$0")/lib.sh"

export_of() { # PATH: without its first line, which names the path
    broker store export -q "$1" | tail -n +2
}

echo "== from text into a journal, and back"
{
    echo '{"broker_export":1}'
    echo '{"queue":"orders","bindings":["orders.#"],"settings":{"max-messages":"5000"},"next":2001}'
    seq 1 2000 | sed 's/.*/{"queue":"orders","seq":&,"id":"9&","time_ms":1700000000000,"topic":"orders.new","type":"text\/plain","headers":{"n":"&","twice":["a","b"]},"data":"order & \\u0000 \\n"}/'
    echo '{"queue":"raw","bindings":[],"settings":{},"next":3}'
    echo '{"queue":"raw","seq":2,"id":"5","time_ms":1,"expires_ms":9000000000000,"attempts":3,"due_ms":9000000000001,"topic":"raw","base64":"AP8="}'
    echo '{"end":true,"queues":2,"messages":2001}'
} >"$TMP/in"
broker store import -q --into "$TMP/j" "$TMP/in"
export_of "$TMP/j" >"$TMP/out"
tail -n +2 "$TMP/in" >"$TMP/wanted"
assert_same "$TMP/out" "$TMP/wanted"
broker store export -q "$TMP/j" | broker store import -q --into "$TMP/k"
export_of "$TMP/k" >"$TMP/out"
assert_same "$TMP/out" "$TMP/wanted"
broker store export -q "$TMP/j" --queue raw --definitions | sed -n 2,3p >"$TMP/out"
printf '%s\n' '{"queue":"raw","bindings":[],"settings":{},"next":3}' \
    '{"end":true,"queues":1,"messages":0}' >"$TMP/wanted"
assert_same "$TMP/out" "$TMP/wanted"

echo "== checked and counted"
broker store check "$TMP/j" >"$TMP/out"
assert_grep '^messages +2,001, ' "$TMP/out"
assert_grep '^sound$' "$TMP/out"
broker store check "$TMP/j" --json >"$TMP/out"
assert_grep '"messages":2001,.*"damaged":0,.*"damage":\[\],"sound":true' "$TMP/out"
broker store stats "$TMP/j" >"$TMP/out"
assert_grep '^orders +2000 .* 1 +2001$' "$TMP/out"
assert_grep '^raw +1 .* 1 +2 +3$' "$TMP/out"
broker store stats "$TMP/j" --json >"$TMP/out"
assert_grep '"queue":"raw","messages":1,"bytes":2,' "$TMP/out"

echo "== looking changes nothing, and a second look is no matter"
find "$TMP/j" -type f -exec sha256sum {} + | sort >"$TMP/before"
broker store check "$TMP/j" >/dev/null
broker store export -q "$TMP/j" >/dev/null
find "$TMP/j" -type f -exec sha256sum {} + | sort >"$TMP/after"
assert_same "$TMP/before" "$TMP/after"

echo "== what is wrong with the input is told by its line, and adds nothing by halves unsaid"
refused() { # PATTERN LINES..
    local pattern=$1
    shift
    printf '%s\n' "$@" >"$TMP/bad"
    assert_eq "$(status_of broker store import --into "$TMP/bad.j" "$TMP/bad")" 1 "$pattern"
    broker store import --into "$TMP/bad.j" "$TMP/bad" 2>"$TMP/err" || true
    assert_grep "$pattern" "$TMP/err"
}
q='{"queue":"q","bindings":[],"settings":{}}'
refused 'line 1: .*near' 'nonsense'
refused 'line 1: it is no object' '[1]'
refused 'line 2: no "queue" in it' "$q" '{"data":"x"}'
refused 'line 2: it has neither "data"' "$q" '{"queue":"q","data":5}'
refused 'line 2: it has neither "data"' "$q" '{"queue":"q","base64":"=A=="}'
refused 'line 1: a message of a queue that no line before it defines' '{"queue":"none","data":"x"}'
refused 'line 1: an export of a version' '{"broker_export":2}'
refused 'line 1: "bindings" is no list of filters' '{"queue":"q","bindings":[""]}'
refused 'line 2: "headers" is no object of texts' "$q" '{"queue":"q","data":"x","headers":{"":"x"}}'
refused 'ends before its last line' '{"broker_export":1}' "$q"

echo "== damage: told with its place, refused by whoever would write, exported as far as it goes"
cp -r "$TMP/j" "$TMP/damaged"
printf 'XXXX' | dd of="$TMP/damaged/0000000001.seg" bs=1 seek=100000 conv=notrunc status=none
before=$(sha256sum <"$TMP/damaged/0000000001.seg")
assert_eq "$(status_of broker store check "$TMP/damaged")" 1 "the check's status"
broker store check "$TMP/damaged" >"$TMP/out" || true
assert_grep '^damaged +0000000001.seg, bytes [0-9]+ to [0-9]+: 1 batch lost' "$TMP/out"
assert_grep '^DAMAGED: 1 place, 1 batch lost' "$TMP/out"
assert_eq "$(status_of broker store import --into "$TMP/damaged" "$TMP/in")" 69 "a write to it"
broker store import --into "$TMP/damaged" "$TMP/in" 2>"$TMP/err" || true
assert_grep 'is damaged: 1 batch .*broker store check .*accept-damage = true' "$TMP/err"
assert_eq "$(sha256sum <"$TMP/damaged/0000000001.seg")" "$before" "the damaged segment"
assert_eq "$(status_of broker store export "$TMP/damaged")" 1 "an export of the rest"

echo "== what cannot be read"
assert_eq "$(status_of broker store check "$TMP/not-there")" 69 "no directory"
assert_eq "$(status_of broker store check "$TMP/in")" 69 "a file"
assert_eq "$(status_of broker store export "$TMP/j" --queue none)" 1 "a queue that is not there"

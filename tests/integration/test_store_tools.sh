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
mkdir "$TMP/empty"
assert_eq "$(status_of broker store check "$TMP/empty")" 69 "a directory without a journal"
assert_eq "$(status_of broker store export "$TMP/j" --queue none)" 1 "a queue that is not there"

echo "== a broker takes what was imported"
conf="store \"journal\" { path = \"$TMP/j\" }
queue \"#\" { durable = journal }"
brokerd_start
broker queue info orders --json >"$TMP/out"
assert_grep '"bindings":\["orders.#"\]' "$TMP/out"
assert_grep '"max-messages":"?5000"?' "$TMP/out"
broker sub --queue orders -n 1000 --json >"$TMP/out"
assert_grep '^\{.*"data":"order 1 ' "$TMP/out"
assert_eq "$(wc -l <"$TMP/out")" 1000 "messages consumed"
assert_eq "$(status_of broker store check "$TMP/j")" 69 "a check while the broker has it"
broker store check "$TMP/j" 2>"$TMP/err" || true
assert_grep "in use by a broker \(pid $brokerd_pid\)" "$TMP/err"
broker store stats >"$TMP/out"
assert_grep '^store +journal, up' "$TMP/out"
assert_grep "^path +$TMP/j$" "$TMP/out"
broker store stats --json | grep -q '"store":"journal"' || fail "no JSON of the running store"

echo "== copied while it runs and publishes: all that was confirmed before, and nothing else"
background bash -c "seq 1 1000000 | broker pub --queue load --lines --rate 20000" >/dev/null 2>&1
load=$!
wait_until 10 bash -c "broker queue info load --json | grep -q '\"depth\":[1-9]'"
seq 1 500 | broker pub --queue before --lines --confirm >/dev/null
broker store backup "$TMP/backup" >"$TMP/out"
assert_grep 'messages in ' "$TMP/out"
kill -TERM "$load" 2>/dev/null || true
[ ! -e "$TMP/j/snapshot" ] || fail "the snapshot is still there"
broker store check "$TMP/backup" >"$TMP/out"
assert_grep '^sound$' "$TMP/out"
seq 1 500 | sed 's/.*/"data":"&"/' >"$TMP/wanted"
broker store export -q "$TMP/backup" --queue before | grep -o '"data":"[^"]*"' >"$TMP/out"
assert_same "$TMP/out" "$TMP/wanted"
broker store export -q "$TMP/backup" --queue load | grep -o '"data":"[^"]*"' >"$TMP/out"
seq 1 "$(wc -l <"$TMP/out")" | sed 's/.*/"data":"&"/' >"$TMP/wanted"
assert_same "$TMP/out" "$TMP/wanted"
assert_eq "$(status_of broker store backup "$TMP/backup")" 69 "into a directory that is there"
[ ! -e "$TMP/j/snapshot" ] || fail "the snapshot of a backup that failed is still there"
brokerd_stop
broker store check "$TMP/j" >/dev/null

echo "== a broker on the copy; what was exported, published to it"
conf="store \"journal\" { path = \"$TMP/backup\" }
queue \"#\" { durable = journal }"
brokerd_start
broker sub --queue before -n 500 --raw >"$TMP/out"
seq 1 500 >"$TMP/wanted"
assert_same "$TMP/out" "$TMP/wanted"
{
    echo '{"queue":"again","bindings":["again.#"],"settings":{}}'
    # shellcheck disable=SC2016 # a header of that name
    seq 1 3000 | sed 's/.*/{"queue":"again","seq":&,"type":"text\/x","headers":{"n":"&","$dead-reason":"expired"},"data":"again &"}/'
    echo '{"queue":"again","expires_ms":1000,"data":"too late"}'
} | broker store import 2>"$TMP/err"
assert_grep '1 messages had expired' "$TMP/err"
broker sub --queue again -n 3000 --json >"$TMP/all"
sed -n 's/.*"data":"again \([0-9]*\)".*/\1/p' "$TMP/all" >"$TMP/out"
seq 1 3000 >"$TMP/wanted"
assert_same "$TMP/out" "$TMP/wanted"
head -n 1 "$TMP/all" >"$TMP/out"
assert_grep '"type":"text/x","headers":\{"n":"1"\}' "$TMP/out"
brokerd_stop

echo "== a broker that stops gives back the room it had reserved"
conf="store \"journal\" { path = \"$TMP/k\" }"
brokerd_start
brokerd_stop
[ ! -e "$TMP/k/next" ] || fail "a file that was prepared is still there"
[ "$(du -m "$TMP/k" | cut -f 1)" -lt 8 ] || fail "the segment is as large as it was reserved"

echo "== a broker without a journal"
conf=
brokerd_start
assert_eq "$(status_of broker store backup "$TMP/none")" 1 "a backup of nothing"
broker store stats >"$TMP/out"
assert_grep 'keeps nothing' "$TMP/out"
broker store export -q "$TMP/k" >"$TMP/export"
name=$(sed -n 's/^{"queue":"\([^"]*\)","bindings".*/\1/p' "$TMP/export" | head -n 1)
assert_eq "$(status_of broker store import "$TMP/export")" 1 "what was on disk into memory"
broker store import "$TMP/export" 2>"$TMP/err" || true
assert_grep "queue \"$name\" was on disk, .*durable = journal .*--in-memory" "$TMP/err"
assert_eq "$(status_of broker queue info "$name")" 1 "a queue that was not imported"
broker store import --in-memory "$TMP/export" 2>"$TMP/err"
assert_grep 'queues are in memory only' "$TMP/err"
broker queue info "$name" >/dev/null
brokerd_stop

echo "== a directory that another broker has, and one that is damaged: the broker does not start"
conf="store \"journal\" { path = \"$TMP/damaged\" }"
brokerd -c <(echo "$conf") -l tcp://127.0.0.1:0 2>"$TMP/err" && fail "it has started"
assert_grep 'damaged: 1 batch .*accept-damage = true' "$TMP/err"

echo "== with accept-damage it does, and what is missing is counted"
conf="store \"journal\" { path = \"$TMP/damaged\" accept-damage = true }"
brokerd_start
curl -s "http://${BROKER_URL#tcp://}/metrics" >"$TMP/metrics"
assert_grep '^brokerd_store_damaged_total\{store="journal"\} 1$' "$TMP/metrics"
[ -e "$TMP/damaged/damaged/0000000001.seg" ] || fail "the damaged segment is not kept"
brokerd_stop
broker store check "$TMP/damaged" >"$TMP/out"

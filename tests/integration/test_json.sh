#!/bin/bash
# The JSON protocol as a person types it, with nc: the example of the documentation to the letter,
# what answers a mistake, what comes from other doors, and what ends a connection.
# limit: 100 s
# shellcheck disable=SC2016 # what begins with $ is JSON's
. "$(dirname "$0")/lib.sh"

conf='max-message = "1MiB"
drain-timeout = "3s"
limits { frame-max = "64KiB" json-keepalive = "200ms" max-streams = 3 }
queue "small" { max-messages = 1 overflow = reject }
subscription "slow.#" { max-messages = 4 overflow = drop-oldest }'
brokerd_start
host=${BROKER_URL#tcp://}

# open NAME: a connection by nc; what is said into it comes from say(), what it hears is $TMP/NAME.
declare -A into pid
open() {
    local name=$1 fd
    mkfifo "$TMP/$name.in"
    background bash -c 'exec nc "$1" "$2" <"$3"' nc "${host%:*}" "${host##*:}" "$TMP/$name.in" \
        >"$TMP/$name.all"
    pid[$name]=$!
    exec {fd}>"$TMP/$name.in"
    into[$name]=$fd
}
say() { # NAME LINE...
    local name=$1
    shift
    printf '%s\n' "$@" >&"${into[$name]}"
}
# What it has heard, without keep-alives.
heard() {
    grep -vF '"$keepalive"' "$TMP/$1.all" || true
}
has_heard() { # NAME N: so many lines
    [ "$(heard "$1" | wc -l)" -ge "$2" ]
}
# expect NAME LINE...: exactly these have come since the last time.
declare -A seen
expect() {
    local name=$1 before=${seen[$1]:-0}
    shift
    seen[$name]=$((before + $#))
    wait_until 10 has_heard "$name" "${seen[$name]}"
    diff <(heard "$name" | tail -n +$((before + 1))) <(printf '%s\n' "$@") ||
        fail "$name heard something else"
}
ended() { # NAME: the broker has closed it (that its input ends does not end nc)
    local fd=${into[$1]}
    exec {fd}>&-
    wait_until 10 process_ended "${pid[$1]}"
}

echo "== the example"
open a
say a '{"id":"$subscribe","data":{"topic":"user_created","credit":100}}'
expect a '{"id":"$subscribed","data":{"subscription":1,"topic":"user_created"}}'
say a '{"id":"user_created","data":{"user":{"id":1,"username":"user_1"}}}'
expect a '{"id":"user_created","data":{"user":{"id":1,"username":"user_1"}}}'

echo "== mistakes are answered, and the connection goes on"
say a 'hello' '{"id":"x"}' '{"id":"x","data":1,}' '' '{"id":"$subscrbe","data":{}}' \
    '{"id":"a..b","data":1}' '{"id":"$subscribe","data":{"topic":"x","credt":1}}' \
    '{"id":"x","data":{"a":1,"a":2}}'
printf '{"id":"x","data":"\xff"}\n{"id":"x","data":"\\u0000"}\n' >&"${into[a]}"
wrong() { # LINE COLUMN TEXT
    echo "{\"id\":\"\$error\",\"data\":{\"reason\":\"invalid\",\"text\":\"invalid: line $1, column $2: $3\",\"line\":$1,\"column\":$2}}"
}
expect a "$(wrong 3 1 'expected an object: {\"id\": ..., \"data\": ...}')" \
    "$(wrong 4 11 'data is missing; it may be null')" \
    "$(wrong 5 20 'expected a name in double quotes')" \
    '{"id":"$error","data":{"reason":"invalid","text":"invalid: no message $subscrbe; there are $subscribe, $consume, $unsubscribe, $credit, $ack, $nack, $reject, $extend, $publish, $request, $cancel, $serve, $unserve, $reply, $error, $keepalive","line":7}}' \
    '{"id":"$error","data":{"reason":"invalid","text":"invalid: topic has an empty level","topic":"a..b","line":8}}' \
    '{"id":"$error","data":{"reason":"invalid","text":"invalid: member credt is not known here","topic":"x","line":9}}' \
    "$(wrong 10 25 'a name twice in one object')" \
    "$(wrong 11 19 'not UTF-8')" \
    "$(wrong 12 19 'a NUL character in a string')"

echo "== CR LF, blanks in front, and what is not typed at once"
printf ' \r\n{"id": "user_' >&"${into[a]}"
printf 'created",\t"data": [1,\r2] }\r\n' >&"${into[a]}"
expect a '{"id":"user_created","data":[1, 2]}'

echo "== other doors"
say a '{"id":"$subscribe","data":{"topic":["shop.*","shop.#"],"facts":false}}'
expect a '{"id":"$subscribed","data":{"subscription":2,"topic":["shop.*","shop.#"]}}'
broker pub shop.eu --type application/json -H k:v $'{"a":\n1}' 2>"$TMP/err" || fail "$(cat "$TMP/err")"
broker pub shop.eu.x 'text "quoted"'
printf '\0\1' | broker pub shop.eu -
expect a '{"id":"shop.eu","data":{"a": 1},"meta":{"headers":{"k":"v"}}}' \
    '{"id":"shop.eu.x","data":"text \"quoted\"","meta":{"type":"application/octet-stream"}}' \
    '{"id":"shop.eu","data":null,"meta":{"type":"application/octet-stream","base64":"AAE="}}'
background broker sub 'from.json' --json -n 3 >"$TMP/sub" 2>"$TMP/sub.log"
subscriber=$!
wait_until 10 grep -q subscribed "$TMP/sub.log"
say a '{"id":"from.json","data":{"a" : [1]}}' \
    '{"id":"from.json","data":"plain \u00e4","meta":{"headers":{"k":["v","w"]},"type":"text/plain"}}' \
    '{"id":"$publish","data":{"topic":"from.json","base64":"//4=","confirm":5}}'
expect a '{"id":"$confirmed","data":{"confirm":5,"matched":1,"accepted":1}}'
ended_within 10 "$subscriber"
cat >"$TMP/wanted" <<'EOF'
{"topic":"from.json","data":"{\"a\" : [1]}","type":"application/json","number":1,"attempt":1}
{"topic":"from.json","data":"plain ä","type":"text/plain","headers":{"k":"v","k":"w"},"number":2,"attempt":1}
{"topic":"from.json","base64":"//4=","type":"application/octet-stream","number":3,"attempt":1}
EOF
assert_same "$TMP/sub" "$TMP/wanted"

echo "== a queue, by hand"
open w
say w '{"id":"$consume","data":{"queue":"jobs","ack":"manual","credit":2}}'
expect w '{"id":"$consumed","data":{"subscription":1,"queue":"jobs"}}'
broker pub jobs --type application/json '{"n":1}'
broker pub jobs --type application/json '{"n":2}'
broker pub jobs --type application/json '{"n":3}'
job() { # DELIVERY ATTEMPT N
    echo "{\"id\":\"jobs\",\"data\":{\"n\":$3},\"meta\":{\"subscription\":1,\"delivery\":$1,\"attempt\":$2}}"
}
expect w "$(job 1 1 1)" "$(job 2 1 2)"
say w '{"id":"$nack","data":{"subscription":1,"first":1}}' '{"id":"$ack","data":{"subscription":1,"first":9}}' \
    '{"id":"$credit","data":{"subscription":1,"n":1}}'
expect w '{"id":"$error","data":{"reason":"invalid","text":"invalid: deliveries 9 to 9 have not all been made, or are not to be acknowledged (\"ack\":\"manual\")","subscription":1,"line":3}}' \
    "$(job 3 2 1)"
say w '{"id":"$ack","data":{"subscription":1,"first":2,"count":2}}' '{"id":"$credit","data":{"subscription":1,"n":100}}'
expect w "$(job 4 1 3)"
say w '{"id":"$unsubscribe","data":{"subscription":1}}' '{"id":"$credit","data":{"subscription":1,"n":1}}'
expect w '{"id":"$error","data":{"reason":"invalid","text":"invalid: there is no subscription 1","subscription":1,"line":8}}'

echo "== refusals"
say w '{"id":"$publish","data":{"queue":"small","data":1}}' '{"id":"$publish","data":{"queue":"small","data":2}}' \
    '{"id":"$publish","data":{"topic":"nobody","data":1,"require":true,"confirm":1}}' \
    '{"id":"$publish","data":{"topic":"nobody","data":1,"confirm":2}}'
wait_until 10 has_heard w $((seen[w] + 3))
heard w | tail -n 3 | tee "$TMP/refused"
assert_grep '"reason":"full","text":"full: .*"queue":"small"' "$TMP/refused"
assert_grep '"reason":"no-match","text":"no-match: no queue matched","confirm":1' "$TMP/refused"
assert_grep '"confirm":2,"matched":0,"accepted":0' "$TMP/refused"
seen[w]=$((seen[w] + 3))
say w '{"id":"$publish","data":{"topic":"x","data":1,"dedup":""}}'
expect w '{"id":"$error","data":{"reason":"invalid","text":"invalid: header $dedup: an id has 1 to 512 bytes","topic":"x","line":13}}'

echo "== services: asked"
background broker serve upper -- tr a-z A-Z 2>"$TMP/serve.log"
wait_until 10 grep -q serving "$TMP/serve.log"
open asker
say asker '{"id":"$request","data":{"service":"upper","method":"x","data":"hello","request":9}}'
expect asker '{"id":"$reply","data":{"request":9,"data":"HELLO","type":"application/octet-stream","complete":true}}'
say asker '{"id":"$request","data":{"service":"nobody","method":"x","request":1}}' \
    '{"id":"$request","data":{"service":"upper","request":1}}' \
    '{"id":"$cancel","data":{"request":1}}'
expect asker '{"id":"$error","data":{"reason":"no-server","text":"no-server: nobody serves \"nobody\"","request":1,"line":2}}' \
    '{"id":"$error","data":{"reason":"invalid","text":"invalid: method is missing","request":1,"line":3}}' \
    '{"id":"$error","data":{"reason":"invalid","text":"invalid: there is no request 1","request":1,"line":4}}'
say asker '{"id":"$request","data":{"service":"admin","method":"info","request":2}}'
wait_until 10 has_heard asker $((seen[asker] + 1))
heard asker | tail -n 1 | grep -q '"request":2,"data":{.*"version":.*},"complete":true}}$' || fail "admin did not answer"
seen[asker]=$((seen[asker] + 1))

echo "== services: served, by hand"
open server
say server '{"id":"$serve","data":{"service":"hand"}}' '{"id":"$serve","data":{"service":"hand"}}'
wait_until 10 has_heard server 2
heard server | grep -qxF '{"id":"$serving","data":{"service":"hand"}}' || fail "not serving"
heard server | grep -q '"$error".*"line":2' || fail "served twice"
seen[server]=2
background broker request hand/greet '{"who":1}' --type application/json -H k:v >"$TMP/answer"
asking=$!
expect server '{"id":"$call","data":{"call":1,"service":"hand","method":"greet","data":{"who":1},"headers":{"k":"v"}}}'
say server '{"id":"$reply","data":{"call":1,"data":{"hello":1}}}'
ended_within 10 "$asking"
assert_eq "$(cat "$TMP/answer")" '{"hello":1}' "the answer"
say asker '{"id":"$request","data":{"service":"hand","method":"count","data":"x","request":3,"credit":1}}'
expect server '{"id":"$call","data":{"call":2,"service":"hand","method":"count","credit":1,"data":"x"}}'
say server '{"id":"$reply","data":{"call":2,"data":1}}'
expect asker '{"id":"$reply","data":{"request":3,"data":1}}'
say asker '{"id":"$credit","data":{"request":3,"n":1}}'
expect server '{"id":"$credit","data":{"call":2,"n":1}}'
say server '{"id":"$reply","data":{"call":2,"data":"2","complete":true}}'
expect asker '{"id":"$reply","data":{"request":3,"data":"2","complete":true}}'
echo "== one reply more than was asked for, an error of its own, cancel, and a server that goes"
say asker '{"id":"$request","data":{"service":"hand","method":"count","request":4,"credit":1}}'
expect server '{"id":"$call","data":{"call":3,"service":"hand","method":"count","credit":1,"data":""}}'
say server '{"id":"$reply","data":{"call":3,"data":1}}' '{"id":"$reply","data":{"call":3,"data":2}}'
expect server '{"id":"$error","data":{"reason":"no-credit","text":"no-credit: the caller has asked for no more replies; the call has failed","call":3,"line":7}}'
expect asker '{"id":"$reply","data":{"request":4,"data":1}}' \
    '{"id":"$error","data":{"reason":"no-credit","code":515,"text":"no-credit: the caller has asked for no more replies; the call has failed","request":4}}'
say asker '{"id":"$request","data":{"service":"hand","method":"fail","request":5}}'
expect server '{"id":"$call","data":{"call":4,"service":"hand","method":"fail","data":""}}'
say server '{"id":"$error","data":{"call":4,"text":"no luck","code":800}}'
expect asker '{"id":"$error","data":{"code":800,"text":"no luck","request":5}}'
say asker '{"id":"$request","data":{"service":"hand","method":"wait","request":6}}'
expect server '{"id":"$call","data":{"call":5,"service":"hand","method":"wait","data":""}}'
say asker '{"id":"$cancel","data":{"request":6}}'
expect server '{"id":"$cancel","data":{"call":5}}'
say asker '{"id":"$request","data":{"service":"hand","method":"wait","request":7}}'
expect server '{"id":"$call","data":{"call":6,"service":"hand","method":"wait","data":""}}'
kill "${pid[server]}"
wait_until 10 has_heard asker $((seen[asker] + 1))
heard asker | tail -n 1 | grep '"code":515,.*"request":7}}$' || fail "not told that the server is gone"

echo "== one more than there may be"
open many
for i in 1 2 3; do
    say many "{\"id\":\"\$subscribe\",\"data\":{\"topic\":\"t$i\"}}"
    expect many "{\"id\":\"\$subscribed\",\"data\":{\"subscription\":$i,\"topic\":\"t$i\"}}"
done
say many '{"id":"$subscribe","data":{"topic":"t4"}}'
expect many '{"id":"$error","data":{"reason":"limit","text":"limit: a connection has at most 3 subscriptions","topic":"t4","line":4}}'

echo "== a line of the longest length, and one longer"
open long
filler=$(head -c $((65536 - 26)) /dev/zero | tr '\0' x)
say long "{\"id\":\"longest\",\"data\":\"$filler\"}" '{"id":"$publish","data":{"topic":"x","data":1,"confirm":1}}'
expect long '{"id":"$confirmed","data":{"confirm":1,"matched":0,"accepted":0}}'
say long "{\"id\":\"longest\",\"data\":\"x$filler\"}"
expect long '{"id":"$error","data":{"reason":"too-large","text":"too-large: a line may have 65536 bytes","line":3}}'
ended long

echo "== sixteen mistakes in a row are no typing errors"
open typist
for i in $(seq 15); do say typist '{'; done
say typist '{"id":"fine","data":null}'
for i in $(seq 16); do say typist '{'; done
wait_until 10 has_heard typist 32
heard typist | tail -n 1 | grep -F '"text":"limit: 16 wrong lines in a row"' || fail "no last word"
ended typist

echo "== a slow subscriber is told what it missed"
open slow
say slow '{"id":"$subscribe","data":{"topic":"slow.x","credit":1}}'
expect slow '{"id":"$subscribed","data":{"subscription":1,"topic":"slow.x"}}'
for i in 1 2 3 4 5 6 7; do broker pub slow.x --type application/json "{\"n\":$i}"; done
expect slow '{"id":"slow.x","data":{"n":1}}'
say slow '{"id":"$credit","data":{"subscription":1,"n":1}}'
expect slow '{"id":"$gap","data":{"subscription":1,"lost":2,"reason":"drop-oldest"}}' \
    '{"id":"slow.x","data":{"n":4}}'

echo "== drain"
open last
say last '{"id":"$subscribe","data":{"topic":"x"}}'
expect last '{"id":"$subscribed","data":{"subscription":1,"topic":"x"}}'
kill -USR2 "$brokerd_pid"
expect last '{"id":"$error","data":{"reason":"draining","text":"draining: the broker is about to stop"}}'
say last '{"id":"x","data":1}' '{"id":"$subscribe","data":{"topic":"y"}}' '{"id":"$unsubscribe","data":{"subscription":1}}'
expect last '{"id":"$error","data":{"reason":"draining","text":"draining: the broker is about to stop","topic":"x","line":2}}' \
    '{"id":"$error","data":{"reason":"draining","text":"draining: the broker is about to stop","line":3}}'
ended last # with nothing open any more
brokerd_stop

echo "== who says keep-alives must go on; a person may be slow, but not for ever"
conf='limits { json-keepalive = "200ms" idle-max = "1500ms" }'
brokerd_start
host=${BROKER_URL#tcp://}
open alive
say alive '{"id":"$keepalive","data":null}'
ended alive
heard alive | grep -F '"text":"limit: nothing came for 600 ms"' || fail "no last word"
open person
say person '{"id":"$subscribe","data":{"topic":"x"}}'
ended person
heard person | grep -F '"text":"limit: nothing came for 1500 ms"' || fail "no last word"
[ "$(grep -cF '{"id":"$keepalive","data":null}' "$TMP/person.all")" -ge 5 ] || fail "no keep-alives"
brokerd_stop

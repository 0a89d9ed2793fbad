#!/bin/bash
# limit: 180 s
# A publisher goes to the worker its messages go to, in the midst of them: none is lost, none
# comes out of order.
. "$(dirname "$0")/lib.sh"

PLACEMENT=spread # each worker gets some of them in turn; then pack, and they may move
workers=3
n=250000 rate=20000 each=20
[ -z "$SANITIZE" ] || { n=30000 rate=1500 each=2; }

san=()
[ "$SANITIZE" != address ] || san=(-fsanitize=address -fsanitize=undefined)
[ "$SANITIZE" != thread ] || san=(-fsanitize=thread)
cc -std=gnu11 -g -Wall -Wextra -Werror "${san[@]}" -Ilibbroker/include \
    tests/integration/client/forget.c "$OUT/libbroker.a" -pthread -o "$TMP/forget"

# workers_of NAME..: where these clients live, a line each.
workers_of() {
    broker top --json -n 1 >"$TMP/top" || return 1
    python3 -c '
import json, sys
top = json.loads(open(sys.argv[1]).readline())
at = {c["client"]: c["worker"] for c in top["clients"]}
sys.exit("missing") if set(sys.argv[2:]) - set(at) else None
print("\n".join(str(at[name]) for name in sys.argv[2:]))' "$TMP/top" "$@"
}

all_at() { # WORKER NAME..
    local home=$1
    shift
    workers_of "$@" >"$TMP/at" && ! grep -qv "^$home\$" "$TMP/at"
}

subscribe() { # NAME FILTER [OPTIONS]: what comes in $TMP/NAME
    background broker sub "${@:2}" --raw --name "$1" >"$TMP/$1" 2>"$TMP/$1.err"
    subscribers+=($!)
    wait_until 10 grep -q subscribed "$TMP/$1.err"
}

conf='log { level = debug }'
brokerd_start
subscribers=()
subscribe sub 'load.#' -n $((4 * n)) --overflow block # on worker 0
subscribe main forget.main -n $((n * 4 / 5))          # on worker 1
subscribe side forget.side -n $((n / 5))              # on worker 2
background "$TMP/forget" forget "$n" "$each"          # on worker 0
publishers=($!)
wait_until 10 grep -q 'connected | event=connected client=forget' "$brokerd_log" # before `top` takes its turn
for p in 1 2 3 4; do
    seq -f "$p %.0f" 1 "$n" >"$TMP/lines.$p"
    background broker pub "load.$p" --lines --file "$TMP/lines.$p" --rate "$rate" --name "pub$p"
    publishers+=($!)
done
wait_until 10 workers_of pub1 pub2 pub3 pub4
assert_eq "$(workers_of sub main side forget | paste -sd' ')" '0 1 2 0' 'where they are'
workers_of pub1 pub2 pub3 pub4 >"$TMP/at"
grep -qv '^0$' "$TMP/at" || fail "all publishers are where their subscriber is by themselves"

echo "== packed, publishers come to where most of their messages go; subscribers stay"
sed -i 's/^placement = .*/placement = pack/' "$TMP/brokerd.conf"
kill -HUP "$brokerd_pid"
wait_until 20 all_at 0 sub pub1 pub2 pub3 pub4
# (in one look: when all has come they go, one after the other)
forget_has_moved() { [ "$(workers_of main forget side | paste -sd' ')" = '1 1 2' ]; }
wait_until 20 forget_has_moved
assert_grep "follows its messages to worker 0" "$brokerd_log"
# That each was seen there says that it was connected still: it moved in mid-stream.

echo "== all messages are there, each publisher's in order"
for p in "${publishers[@]}" "${subscribers[@]}"; do
    ended_within 60 "$p"
    assert_eq "$status" 0 "its exit status"
done
for p in 1 2 3 4; do
    grep "^$p " "$TMP/sub" >"$TMP/got.$p"
    assert_same "$TMP/got.$p" "$TMP/lines.$p"
done
assert_same "$TMP/main" <(seq $((n * 4 / 5)))
assert_same "$TMP/side" <(seq $((n / 5)))
brokerd_stop

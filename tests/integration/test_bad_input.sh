#!/bin/bash
# Whatever a peer sends, it is told what is wrong with it, and nobody else notices: a publisher
# and a subscriber work on all the while, and brokerd has lost no memory in the end.
# (test_connections.sh: crowds that say nothing; tests/fuzz: the parsers alone.)
# limit: 120 s
. "$(dirname "$0")/lib.sh"

many=2000
[ -z "$SANITIZE" ] || many=200
hostile=$OUT/tests/programs/hostile

conf='limits { first-frame-timeout = "500ms" frame-max = "1MiB" }
memory = "128MiB"'
brokerd_start

# Two that are well: 1000 messages a second until they are told to end, each counted.
mkfifo "$TMP/hold"
exec 9<>"$TMP/hold"
background broker sub well.x --raw >"$TMP/heard" 2>"$TMP/sub.log" 9>&-
subscriber=$!
wait_until 10 grep -q subscribed "$TMP/sub.log"
seq 1 100000 >"$TMP/lines"
background broker pub well.x --lines --rate 1000 --json <"$TMP/lines" >"$TMP/published" 2>"$TMP/pub.log" 9>&-
publisher=$!
# undisturbed: what is published goes on to arrive, within a second.
undisturbed() {
    local seen
    seen=$(wc -l <"$TMP/heard")
    more() { [ "$(wc -l <"$TMP/heard")" -gt $((seen + 10)) ]; }
    wait_until 2 more
    process_ended "$publisher" && fail "the publisher has ended: $(cat "$TMP/pub.log")"
    return 0
}
wait_until 10 test -s "$TMP/heard"

echo "== each wrong thing has its answer"
"$hostile"
undisturbed

echo "== random bytes, before and after a good SETUP"
"$hostile" noise $many
undisturbed

echo "== peers that say SETUP and go"
"$hostile" setups $((many * 5))
undisturbed

echo "== a first frame without an end"
begun=$SECONDS
assert_eq "$("$hostile" endless)" closed
[ $((SECONDS - begun)) -le $((5 * SLOW)) ] || fail "it was endured for $((SECONDS - begun)) s"
undisturbed

echo "== one that asks for everything and reads nothing"
before=$(rss_kib "$brokerd_pid")
background "$hostile" deaf 'loud.#' <"$TMP/hold" >"$TMP/deaf" 9>&-
deaf=$!
wait_until 10 grep -q subscribed "$TMP/deaf"
head -c 65536 /dev/urandom >"$TMP/payload"
broker pub loud.x -n 4096 --file "$TMP/payload" # 256 MiB, which are dropped: as for a slow one
undisturbed
kept=$((($(rss_kib "$brokerd_pid") - before) / 1024))
echo "$kept MiB kept for it"
[ -n "$SANITIZE" ] || [ $kept -le 140 ] || fail "$kept MiB kept for one that reads nothing"

# All is over: the deaf one goes, and what was kept for it with it.
exec 9>&-
ended_within 10 "$deaf"
kill -INT "$publisher"
ended_within 10 "$publisher"
sent=$(sed -nE 's/.*"accepted":([0-9]+).*/\1/p' "$TMP/published")
all_heard() { [ "$(wc -l <"$TMP/heard")" -eq "$sent" ]; }
wait_until 10 all_heard
kill -INT "$subscriber"
ended_within 10 "$subscriber"
assert_eq "$status" 0 "exit status of the subscriber"
assert_same "$TMP/heard" <(head -n "$sent" "$TMP/lines")

echo "== and no memory is lost by any of it"
# (a worker draws on the budget in steps, and keeps a few that it does not need)
used_bytes() { broker info --json | sed -nE 's/.*"used_bytes": ?([0-9]+).*/\1/p'; }
given_back() { [ "$(used_bytes)" -le $((16 << 20)) ]; }
wait_until 10 given_back
highest=$(rss_kib "$brokerd_pid")
"$hostile" noise $many
"$hostile" setups $((many * 5))
grown=$(($(rss_kib "$brokerd_pid") - highest))
echo "$grown KiB more after as much again"
[ -n "$SANITIZE" ] || [ $grown -le 1024 ] || fail "$grown KiB are lost"
broker ping >/dev/null
brokerd_stop

echo "== a typo in the settings is named, with its line"
printf 'workers = 2\n\nlisten "tcp://127.0.0.1:0" {\n    protocls = { rsocket }\n}\n' >"$TMP/typo.conf"
assert_eq "$(status_of brokerd -c "$TMP/typo.conf")" 78 "exit status for a typo"
brokerd -c "$TMP/typo.conf" 2>"$TMP/said" || true
assert_grep 'typo\.conf:4: .*protocls' "$TMP/said"

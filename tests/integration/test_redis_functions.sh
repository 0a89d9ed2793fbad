#!/bin/bash
# What brokerd does in Redis (brokerd/store/redis/functions.lua), asked by hand: with keys of which
# somebody deleted a part, with large messages, and by nodes that knew a former life of a queue.
# limit: 60 s
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_redis.sh"

# No brokerd here, so no placement of connections: once is enough.
[ "$PLACEMENT" = pack ] || exit 0

redis_start main
redis_cli main -x FUNCTION LOAD <"$(dirname "$0")/../../brokerd/store/redis/functions.lua" >"$TMP/load"

call() { # FUNCTION ARGUMENTS..
    local f=$1
    shift
    timeout 20 redis-cli -h 127.0.0.1 -p "${redis_port[main]}" FCALL "brokerd_1_$f" 4 \
        "b:{q}:m" "b:{q}:s" "b:{q}:b" "b:{q}:a" "$@" | tr '\n' ' '
}

m='- 1 1 0 1 0 0 t' # of a message: facts, and the topic t

# put MAX_N MAX_B OVERFLOW PAYLOAD..: by node n; in $(..) the label stays: nothing is put behind it
label=1
put() {
    local args=() first=$label d
    for d in "${@:4}"; do
        args+=("$m" "$d")
        label=$((label + 1))
    done
    call put n channel "$first" "$first" "$1" "$2" "$3" 0 0 "${args[@]}"
}

fetch() { # COUNT: ids, one a line
    redis_cli main XREADGROUP GROUP w n COUNT "$1" STREAMS "b:{q}:s" '>' | grep -E '^[0-9]+-[0-9]+$'
}

fresh() { # a new queue q
    redis_cli main FLUSHALL >>"$TMP/load"
    label=1
    assert_eq "$(call open n 1)" '0 ' 'made'
}

# A queue of which those that came back are gone is not there: a put does not look for ever for what
# it is to drop, and who opens it has an empty one.
for part in b a; do
    fresh
    assert_eq "$(put 10 1000 oldest one two)" '2 0 0 0 0 0 ' 'two are put'
    for id in $(fetch 2); do
        assert_eq "$(call give channel "$id" - 1 0)" '1 0 ' 'one comes back'
    done
    redis_cli main DEL "b:{q}:$part" >>"$TMP/load"
    assert_eq "$(put 1 1000 oldest three)" 'GONE the queue does not exist  ' "a put without :$part"
    assert_eq "$(call open n 1)" '1 ' 'made again, for a part is gone'
    assert_eq "$(call open n 1)" '0 ' 'it is there'
    label=1
    assert_eq "$(put 1 1000 oldest three)" '1 0 0 0 0 0 ' 'a put when it was made again'
done

# Nor does a put where the numbers speak of what somebody has deleted from the stream.
fresh
put 10 1000 oldest one two >>"$TMP/load"
redis_cli main XTRIM "b:{q}:s" MAXLEN 0 >>"$TMP/load"
assert_eq "$(put 1 1000 oldest three)" '1 0 0 0 0 0 ' 'a put when the stream is empty'

# One of those given back is not there any more: the others are, each once.
fresh
put 10 1000 oldest one two three >>"$TMP/load"
mapfile -t id < <(fetch 3)
redis_cli main XDEL "b:{q}:s" "${id[1]}" >>"$TMP/load"
assert_eq "$(call give channel "${id[0]}" - 1 0 "${id[1]}" - 1 0 "${id[2]}" - 1 0)" '2 0 ' 'give'
assert_eq "$(redis_cli main HGET "b:{q}:m" rn)" 2 'came back'
assert_eq "$(call take n 10 1000 | grep -oE '[0-9]+-[0-9]+ ' | tr -d '\n')" "${id[0]} ${id[2]} " 'take'

# A node that knew the queue before it was deleted and made anew settles, gives back nothing of the
# new one's.
fresh
put 10 1000 oldest one two >>"$TMP/load"
mapfile -t old < <(fetch 2)
call remove >>"$TMP/load"
call open n 1 >>"$TMP/load"
label=1
put 10 1000 oldest one two >>"$TMP/load"
assert_eq "$(fetch 2 | wc -l)" 2 'messages of the new one'
assert_eq "$(call settle 6 "${old[1]%-*}" "${old[@]}")" '0 ' 'settled of the old one'
assert_eq "$(redis_cli main XPENDING "b:{q}:s" w | head -n 1)" 2 'held of the new one'

# Large ones that came back, under many small ones: a take brings few of them, for their size.
fresh
large=$(head -c 40000 /dev/zero | tr '\0' x)
put 1000000 1000000000 oldest "$large" "$large" "$large" >>"$TMP/load"
mapfile -t id < <(fetch 3)
call give channel "${id[0]}" - 1 0 "${id[1]}" - 1 0 "${id[2]}" - 1 0 >>"$TMP/load"
for i in 1 2 3 4; do
    # shellcheck disable=SC2046 # one word a message
    put 1000000 1000000000 oldest $(seq 500) >>"$TMP/load"
done
assert_eq "$(call take n 100 50000 | grep -oE '[0-9]+-[0-9]+ ' | wc -l)" 2 'taken of 40,000 bytes each'

# A queue that is full by bytes drops what makes room, no more.
fresh
put 1000 100 oldest 0123456789 0123456789 0123456789 >>"$TMP/load"
assert_eq "$(put 1000 30 oldest 0123456789abcde)" '1 2 0 0 0 0 ' 'two are dropped for 15 bytes'
assert_eq "$(redis_cli main XLEN "b:{q}:s")" 2 'are left'

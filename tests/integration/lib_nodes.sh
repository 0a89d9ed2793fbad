# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # of lib.sh, and for who uses this
# Brokers that share topics by the Redis at $where, after lib.sh and lib_redis.sh.

declare -A url pid log
node_start() { # NAME [NAME-IT-SAYS]
    conf="store \"redis\" {
        url = \"$where\"
        topics = true
        node = \"${2:-$1}\"
        timeout = 500ms
        ${node_settings:-}
    }
    queue \"shared\" { durable = redis }"
    brokerd_log=$TMP/$1.log
    brokerd_start
    url[$1]=$BROKER_URL
    pid[$1]=$brokerd_pid
    log[$1]=$brokerd_log
}

figure() { # NODE EXPRESSION over s, the store's answer
    curl -s "http://${url[$1]#tcp://}/v1/stores" |
        python3 -c 'import json,sys; s = json.load(sys.stdin)["stores"][0]; print(eval(sys.argv[1]))' "$2"
}

is() { # NODE EXPRESSION VALUE
    [ "$(figure "$1" "$2")" = "$3" ]
}

at_least() { # NODE EXPRESSION VALUE
    [ "$(figure "$1" "$2")" -ge "$3" ]
}

# sub_start NAME NODE ARGS..: its lines in $TMP/NAME, and it is subscribed
declare -A sub
sub_start() {
    local name=$1 node=$2
    shift 2
    background broker sub -s "${url[$node]}" --raw "$@" >"$TMP/$name" 2>"$TMP/$name.err"
    sub[$name]=$!
    wait_until 10 grep -q '^broker sub: subscribed' "$TMP/$name.err"
}

sub_end() { # NAME: it has all it waits for, and has lost nothing
    ended_within 20 "${sub[$1]}"
    assert_eq "$status" 0 "exit status of sub $1 ($(tail -n 2 "$TMP/$1.err" 2>/dev/null))"
}

lines() { # FILE N
    [ "$(wc -l <"$1")" -ge "$2" ]
}

# shellcheck shell=bash
# What the tests of webhooks share, after ../lib.sh: a server to be called.

here=tests/integration/webhooks

# server_start [PORT]: server.py; its port in $port, its process in $server.
server_start() {
    background python3 $here/server.py "${1:-0}" >"$TMP/port"
    # shellcheck disable=SC2034 # for the test
    server=$!
    wait_until 10 test -s "$TMP/port"
    port=$(cat "$TMP/port")
}

# saw PATH EXPRESSION: does it hold of what the server saw there?
saw() {
    python3 $here/stats.py "$port" "$1" "$2"
}

# member NAME KEY: a member of a webhook's info, such as .state or .counters.delivered
member() {
    broker --json webhook info "$1" | python3 -c "
import json, sys
o = json.load(sys.stdin)
for key in '$2'.split('.'):
    o = o.get(key, 0)
print(o)"
}

# member_is NAME KEY VALUE
member_is() {
    [ "$(member "$1" "$2")" = "$3" ]
}

# section NAME TOPIC PATH [KEY=VALUE]...: one of the configuration, that may call this host.
section() {
    printf 'webhook "%s" { topic = "%s" url = "http://127.0.0.1:%s%s" insecure = true allow = "127.0.0.0/8"' \
        "$1" "$2" "$port" "$3"
    shift 3
    printf ' %s' "$@"
    printf ' }\n'
}

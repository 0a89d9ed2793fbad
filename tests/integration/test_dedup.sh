#!/bin/bash
# The same message twice is one: by the command line, by HTTP, and when a connection is cut before the
# publisher has heard that it was taken.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

conf='queue "jobs" { dedup-window = "1h" }
queue "few" { dedup-max = 1 }'
brokerd_start

info() { # QUEUE MEMBER: its number in `broker queue info`, 0 if it is not there
    broker queue info "$1" --json >"$TMP/info"
    python3 -c 'import json, sys
q = json.load(open(sys.argv[1]))
print(q.get(sys.argv[2], q["counters"].get(sys.argv[2], 0)))' "$TMP/info" "$2"
}

echo "== broker pub --dedup"
broker pub jobs one --dedup a
broker pub jobs two --dedup a
broker pub jobs three --dedup b
assert_eq "$(info jobs depth) $(info jobs duplicates) $(info jobs ids)" "2 1 2" "depth, duplicates, ids"
broker queue info jobs >"$TMP/text"
assert_grep '^ *duplicates +1$' "$TMP/text"

echo "== HTTP"
http=http://${BROKER_URL#tcp://}/v1
for field in 'Broker-Dedup: a' 'Idempotency-Key: b' 'Idempotency-Key: c'; do
    assert_eq "$(curl -s -d x -H "$field" "$http/topics/jobs")" '{"matched":1,"accepted":1}' "$field"
done
assert_eq "$(curl -s -d x -H "Broker-Dedup: c" "$http/queues/jobs/messages")" '{"matched":1,"accepted":1}'
assert_eq "$(info jobs depth) $(info jobs duplicates)" "3 4" "depth, duplicates"
long=$(printf 'x%.0s' $(seq 513))
assert_eq "$(curl -s -o /dev/null -w '%{http_code}' -d x -H "Broker-Dedup: $long" "$http/topics/jobs")" 400

echo "== too many ids: that is told"
broker pub few 1 --dedup a
broker pub few 2 --dedup b
broker pub few 3 --dedup a
assert_eq "$(info few depth) $(info few ids) $(info few ids_forgotten)" "3 1 2" "depth, ids, forgotten"
wait_until 10 grep -q 'forgotten before dedup-window was over.*few' "$brokerd_log"

echo "== cut between the message and its confirm"
cat >"$TMP/cutter.py" <<'END'
"""Pass connections on. The first is cut when the broker has answered what has `secret word` in it."""
import selectors, socket, sys
host, port = sys.argv[1].rsplit(":", 1)
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
for first in (True, False):
    client, _ = server.accept()
    broker = socket.create_connection((host, int(port)))
    said = False
    with selectors.DefaultSelector() as s:
        s.register(client, selectors.EVENT_READ, broker)
        s.register(broker, selectors.EVENT_READ, client)
        open_ = True
        while open_:
            for key, _ in s.select():
                data = key.fileobj.recv(65536)
                if not data or (first and said and key.fileobj is broker):
                    open_ = False
                    break
                said = said or b"secret word" in data
                key.data.sendall(data)
    client.close(), broker.close()
END
background python3 "$TMP/cutter.py" "${BROKER_URL#tcp://}" >"$TMP/port"
wait_until 10 test -s "$TMP/port"
broker -s "tcp://127.0.0.1:$(cat "$TMP/port")" pub jobs 'secret word' --dedup cut
assert_eq "$(info jobs depth) $(info jobs duplicates)" "4 5" "depth, duplicates"

broker queue rm jobs >/dev/null
assert_eq "$(broker info --json | tr -d ' \n' | grep -o '"duplicates":[0-9]*')" '"duplicates":5' "of the broker"
brokerd_stop

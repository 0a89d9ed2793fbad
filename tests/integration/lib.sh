# shellcheck shell=bash
# What the integration tests share. A test begins with
#
#   . "$(dirname "$0")/lib.sh"
#   brokerd_start            # BROKER_URL is set, so `broker pub ...` finds it
#   ...
#   brokerd_stop             # and says so if it does not end well
#
# and fails by any command that fails (set -e), or by `fail WHY`. Everything it starts is ended,
# and its folder $TMP removed, however it ends. A test that needs longer than 60 s says so near
# its top: `# limit: 120 s`.
#
# From the runner: OUT (where the programs are), PLACEMENT, SANITIZE.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

OUT=$(cd "${OUT:-build}" && pwd)
PATH=$OUT:$PATH
PLACEMENT=${PLACEMENT:-pack}
SANITIZE=${SANITIZE:-}
TMP=$(mktemp -d)
export PATH TMP PLACEMENT BROKER_URL=

# Everything waits this many times longer under a sanitizer.
SLOW=1
[ -z "$SANITIZE" ] || SLOW=4

started=() # processes to end when the test does
brokerd_pid=
brokerd_log=$TMP/brokerd.log

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

on_exit() {
    local rc=$? pid
    trap - EXIT
    for pid in "${started[@]}"; do
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    if [ "$rc" -ne 0 ] && [ -s "$brokerd_log" ]; then
        echo "--- brokerd said (last 60 lines):" >&2
        tail -n 60 "$brokerd_log" >&2
    fi
    rm -rf "$TMP"
    exit "$rc"
}
trap on_exit EXIT
trap 'echo "FAILED: line $LINENO: $BASH_COMMAND" >&2' ERR

# wait_until SECONDS COMMAND [ARGS]: until the command succeeds; the test fails if it never does.
wait_until() {
    local seconds=$(($1 * SLOW)) deadline
    shift
    deadline=$((SECONDS + seconds))
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || fail "waited $seconds s for: $*"
        sleep 0.02 # between two looks at the condition; nothing relies on its length
    done
}

# background COMMAND [ARGS]: start it; its process id in $! and ended with the test. Its input is
# what `background` has as input (a shell gives those behind & none if it is not told).
background() {
    "$@" <&0 &
    started+=($!)
}

# ended_within SECONDS PID: wait for a process of ours to end; its exit status in $status.
ended_within() {
    wait_until "$1" process_ended "$2"
    status=0
    wait "$2" || status=$?
}

# A process that is gone, or a zombie that only waits for us to ask after it.
process_ended() {
    local state
    state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null) || true
    [ -z "$state" ] || [ "$state" = Z ]
}

assert_eq() { # GOT WANTED WHAT
    [ "$1" = "$2" ] || fail "${3:-value}: got '$1', wanted '$2'"
}

assert_grep() { # PATTERN FILE
    grep -qE -- "$1" "$2" || fail "no line like '$1' in $2: $(tail -n 5 "$2")"
}

assert_same() { # FILE FILE
    cmp "$1" "$2" || fail "$1 and $2 differ"
}

# status_of COMMAND [ARGS]: print its exit status instead of failing with it.
status_of() {
    local rc=0
    "$@" >/dev/null 2>&1 || rc=$?
    echo "$rc"
}

# brokerd_start [OPTIONS]: start brokerd on a free port and wait until it is ready. What stands
# in $conf is added to its configuration. Sets brokerd_pid, brokerd_log and BROKER_URL.
conf=
workers=2
brokerd_start() {
    {
        echo "workers = $workers"
        echo "placement = $PLACEMENT"
        echo "$conf"
    } >"$TMP/brokerd.conf"
    : >"$brokerd_log"
    brokerd -c "$TMP/brokerd.conf" -l tcp://127.0.0.1:0 "$@" 2>>"$brokerd_log" &
    brokerd_pid=$!
    started+=("$brokerd_pid")
    wait_until 10 brokerd_ready_or_ended
    brokerd_ready || fail "brokerd ended before it was ready"
    BROKER_URL=$(sed -nE 's/.*brokerd [^ ]+ ready on ([^ ,]+).*/\1/p' "$brokerd_log" | head -n 1)
}

brokerd_ready() {
    grep -qE 'brokerd [^ ]+ ready on ' "$brokerd_log"
}

brokerd_ready_or_ended() {
    brokerd_ready || process_ended "$brokerd_pid"
}

# brokerd_stop: ask it to stop; it must end by itself, with 0 (a sanitizer's findings are not 0).
brokerd_stop() {
    kill -TERM "$brokerd_pid" || fail "brokerd was gone before it was told to stop"
    ended_within 20 "$brokerd_pid"
    assert_eq "$status" 0 "brokerd's exit status"
    ! grep -E 'ERROR: (Address|Leak|Thread)Sanitizer|runtime error:' "$brokerd_log" ||
        fail "a sanitizer complained"
}

# Resident memory of a process, KiB.
rss_kib() {
    awk '/^VmRSS:/ { print $2 }' "/proc/$1/status"
}

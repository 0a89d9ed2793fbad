#!/bin/bash
# Run the tests that are built in OUT and say what failed.
#
#   tests/run.sh [unit|sim|fuzz|integration|suites|interop]...      (default: all of them)
#
# Each test is a process of its own with a time limit; what it printed is shown only if it
# failed. The last line is "N passed, N failed", and the exit status is 1 if any failed.
#
# OUT        where the programs are (build)
# JOBS       how many run at once (the cores there are)
# PLACEMENT  pack or spread; empty: integration tests and suites run with each
# SANITIZE   what the programs were built with; gives them more time
# ONLY       run only tests whose name contains this
set -u
cd "$(dirname "$0")/.." || exit 1

export OUT=${OUT:-build} SANITIZE=${SANITIZE:-}
jobs=${JOBS:-$(nproc)}
kinds=("$@")
[ $# -gt 0 ] || kinds=(unit sim fuzz integration suites interop)
patience=1
[ -z "$SANITIZE" ] || patience=4

# What a sanitizer finds ends the program, with a stack.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:detect_stack_use_after_return=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:second_deadlock_stack=1}

# Check gives each test 4 s; a machine that does other things besides may need more.
export CK_DEFAULT_TIMEOUT=${CK_DEFAULT_TIMEOUT:-$((30 * patience))}

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

# Print one line "SECONDS NAME COMMAND..." for each test of a kind.
list() {
    local t p limit
    case $1 in
    unit) for t in tests/unit/{,*/,*/*/}test_*.c; do
        [ ! -e "$t" ] || echo "60 ${t%.c} $OUT/${t%.c}"
    done ;;
    sim) for t in tests/sim/*.c; do
        [ ! -e "$t" ] || echo "120 ${t%.c} $OUT/${t%.c}"
    done ;;
    fuzz) for t in tests/fuzz/fuzz_*.c; do
        [ ! -e "$t" ] || echo "60 ${t%.c} $OUT/${t%.c} tests/fuzz/corpus/$(basename "$t" .c | cut -c6-)"
    done ;;
    integration) for p in ${PLACEMENT:-pack spread}; do
        for t in tests/integration/test_*.sh; do
            [ -e "$t" ] || continue
            limit=$(sed -n 's/^# limit: *\([0-9]*\) s.*/\1/p' "$t")
            echo "${limit:-60} ${t%.sh}:$p env PLACEMENT=$p bash $t"
        done
    done ;;
    suites) for p in ${PLACEMENT:-pack spread}; do
        for t in tests/suites/*/run.sh; do
            [ ! -e "$t" ] || echo "120 ${t%/run.sh}:$p env PLACEMENT=$p bash $t"
        done
    done ;;
    interop) for t in tests/interop/*/run.sh; do
        [ ! -e "$t" ] || echo "180 ${t%/run.sh} bash $t"
    done ;;
    *)
        echo "tests/run.sh: no such kind of test: $1" >&2
        exit 2
        ;;
    esac
}

# Run one test of list(); leave its verdict in $results, and its output if it failed.
run_one() {
    local limit=$1 name=$2 file rc started=$SECONDS
    shift 2
    file=$results/${name//\//_}
    timeout -k 5 $((limit * patience)) "$@" >"$file.out" 2>&1 </dev/null
    rc=$?
    if [ $rc -eq 0 ]; then
        echo "ok   $name ($((SECONDS - started)) s)"
        touch "$file.ok"
    else
        [ $rc -ne 124 ] || echo "(stopped after $((limit * patience)) s)" >>"$file.out"
        { echo "FAIL $name (exit $rc)"; sed 's/^/     | /' "$file.out" | tail -n 200; } >"$file.say"
        cat "$file.say"
        touch "$file.failed"
    fi
}
export -f run_one
export results patience

count() {
    find "$results" -name "*.$1" | wc -l
}

expected=0
for kind in "${kinds[@]}"; do
    tests=$(list "$kind") || exit 2
    [ -n "$tests" ] || continue
    tests=$(grep -F -- "${ONLY:-}" <<<"$tests") || continue
    expected=$((expected + $(wc -l <<<"$tests")))
    # shellcheck disable=SC2016 # the words are for the inner shell
    xargs -P "$jobs" -L 1 bash -c 'run_one "$@"' run_one <<<"$tests"
done

passed=$(count ok)
failed=$((expected - passed)) # one that left no verdict has failed too
if [ "$expected" -eq 0 ]; then
    echo "tests/run.sh: found no test" >&2
    exit 1
fi
if [ "$failed" -gt 0 ]; then
    echo "failed:"
    find "$results" -name '*.say' -exec head -qn 1 {} + | sed 's/^FAIL/ /' | sort
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

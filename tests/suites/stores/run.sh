#!/bin/bash
# One conformance suite, asked of every make of store: suite.c and what it includes. Once: where
# connections are placed is nothing to a store.
set -u
[ "${PLACEMENT:-pack}" = pack ] || exit 0
TMPDIR=$(mktemp -d)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
"${OUT:-build}/tests/suites/stores/stores" "$@"

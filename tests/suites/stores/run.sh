#!/bin/bash
# One conformance suite, asked of every make of store: suite.c and what it includes. Once: where
# connections are placed is nothing to a store.
[ "${PLACEMENT:-pack}" = pack ] || exit 0
exec "${OUT:-build}/tests/suites/stores/stores" "$@"

#!/bin/bash
# A Redis that is killed under load, and nodes that die: nothing confirmed is lost, nothing is left
# over. Once: where connections are placed is nothing to a store.
# limit: 300 s
[ "${PLACEMENT:-pack}" = pack ] || exit 0
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

mkdir "$TMP/redis"
"$OUT/tests/programs/redis_auditor" "$TMP/redis" 3 512 "$RANDOM"

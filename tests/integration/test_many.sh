#!/bin/bash
# Many publishers and many subscribers at once, on two workers: everything arrives, whole, once
# and in the order of its publisher.
. "$(dirname "$0")/lib.sh"

messages=4000
[ -z "$SANITIZE" ] || messages=400

brokerd_start
said=$("$OUT/tests/programs/swarm" 8 8 $messages)
assert_eq "$said" "$((8 * 8 * messages)) deliveries"

# One to many and many to one, the lopsided cases.
said=$("$OUT/tests/programs/swarm" 1 16 $messages)
assert_eq "$said" "$((16 * messages)) deliveries"
said=$("$OUT/tests/programs/swarm" 16 1 $messages)
assert_eq "$said" "$((16 * messages)) deliveries"
brokerd_stop

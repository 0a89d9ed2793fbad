#!/bin/bash
# brokerd and stomp.py (Debian's python3-stomp): a client that nobody here wrote, in each version.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/../../integration/lib.sh"

brokerd_start
SLOW=$SLOW /usr/bin/python3 tests/interop/stomp-py/talk.py "${BROKER_URL#tcp://}"
brokerd_stop

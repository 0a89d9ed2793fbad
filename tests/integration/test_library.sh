#!/bin/bash
# What `make install` puts down is enough to build programs with, and shows only broker_*.
# limit: 120 s
. "$(dirname "$0")/lib.sh"

exported=$(nm -D --defined-only "$OUT/libbroker.so" | awk '$2 ~ /[TDBRVW]/ { sub("@.*", "", $3); print $3 }')
assert_grep '^broker_strerror$' <(echo "$exported")
others=$(grep -vE '^broker_' <<<"$exported" || true)
assert_eq "$others" "" "symbols of libbroker.so besides broker_*"
others=$(nm --defined-only --extern-only "$OUT/libbroker.a" | awk 'NF == 3 && $3 !~ /^broker_/')
assert_eq "$others" "" "symbols of libbroker.a besides broker_*"

make --no-print-directory install DESTDIR="$TMP" PREFIX=/usr SANITIZE="$SANITIZE" >"$TMP/install.log"
export PKG_CONFIG_PATH=$TMP/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$TMP
cat >"$TMP/say.c" <<'END'
#include <broker.h>
#include <stdio.h>
int main(void)
{
    return puts(broker_strerror(0)) < 0;
}
END
cp "$TMP/say.c" "$TMP/say.cc"
flags=$(pkg-config --cflags libbroker)
shared=$(pkg-config --libs libbroker)
static=$(PKG_CONFIG_SYSROOT_DIR='' pkg-config --static --libs-only-l libbroker | sed 's/-lbroker//')
san=
case $SANITIZE in
address) san=-fsanitize=address,undefined ;;
thread) san=-fsanitize=thread ;;
esac

# shellcheck disable=SC2086 # flags are words
{
    cc -std=c11 -Wall -Wextra -pedantic -Werror $san $flags "$TMP/say.c" $shared -o "$TMP/say-c"
    c++ -std=c++11 -Wall -Wextra -pedantic -Werror $san $flags "$TMP/say.cc" $shared -o "$TMP/say-cc"
    cc -std=c11 $san $flags "$TMP/say.c" "$TMP/usr/lib/libbroker.a" $static -pthread -o "$TMP/say-a"
}
for program in say-c say-cc say-a; do
    said=$(LD_LIBRARY_PATH=$TMP/usr/lib "$TMP/$program")
    [ -n "$said" ] || fail "$program said nothing"
done
readelf -d "$TMP/say-c" | grep -q 'libbroker\.so\.0' || fail "say-c does not need libbroker.so.0"

for program in brokerd broker; do
    [ -x "$TMP/usr/bin/$program" ] || fail "$program was not installed"
done
make --no-print-directory uninstall DESTDIR="$TMP" PREFIX=/usr SANITIZE="$SANITIZE" >/dev/null
left=$(find "$TMP/usr" ! -type d)
assert_eq "$left" "" "what uninstall left"

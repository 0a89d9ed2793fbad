#!/bin/bash
# Which folder may include which; what is not listed is refused. The arrows are those of
# docs/CONTRIBUTING.md. Fails too if a folder has nothing to look at: a check that looks at
# nothing would always pass.
set -eu
cd "$(dirname "$0")/.."

# folder: the folders it may include besides itself, then |, then system headers it may not
# (regular expression over the name between < and >).
no_system='(event2/|pthread|stdatomic|threads|sys/(socket|epoll|eventfd|stat|un|time)|netinet/|arpa/|netdb|fcntl|unistd|poll|signal|time)'
rules="
libbroker/base   : | event2/|jansson|hiredis|confuse
libbroker/wire   : libbroker/base | event2/|hiredis|confuse|pthread|unistd|sys/socket
libbroker/client : libbroker/base libbroker/wire libbroker/include | hiredis|confuse
libbroker/cli    : libbroker/include libbroker/base/headers.h brokerd/store/journal/tool.h | event2/|hiredis|confuse
config           : libbroker/base brokerd/webhooks/spec.h brokerd/doors/inlet.h brokerd/store/redis/url.h brokerd/store/redis/tls.h | event2/|hiredis|jansson
brokerd/core     : libbroker/base | $no_system|jansson|hiredis|confuse
brokerd/worker   : brokerd/core libbroker/base | jansson|hiredis|confuse
brokerd/doors    : brokerd/core libbroker/wire libbroker/base | event2/|sys/socket|hiredis|confuse
brokerd/net      : brokerd/doors/door.h brokerd/doors/inlet.h brokerd/doors/table.h brokerd/worker libbroker/base | hiredis|confuse|jansson
brokerd/admin    : brokerd/core/core.h brokerd/core/call.h brokerd/core/inspect.h brokerd/core/manage.h brokerd/worker libbroker/base | event2/|hiredis|confuse
brokerd/store    : brokerd/core brokerd/worker libbroker/wire/mime.h libbroker/base | confuse
brokerd/nodes    : brokerd/core brokerd/worker brokerd/store/redis/link.h brokerd/store/redis/url.h libbroker/base | confuse
brokerd/webhooks : brokerd/core/core.h brokerd/worker libbroker/wire libbroker/base | hiredis|confuse
"
# Rooms that the design names and nobody has moved into yet.
empty_yet=""

wrong=0
looked=0

complain() {
    echo "layers: $*" >&2
    wrong=1
}

# The folder or file an include names is allowed if it is, or lies in, one of the others.
within() {
    local name=$1 place
    shift
    for place; do
        [ "$name" = "$place" ] || [[ $name = "$place"/* ]] && return 0
    done
    return 1
}

check_file() {
    local file=$1 folder=$2 allowed=$3 forbidden=$4 line number name
    while IFS=: read -r number line; do
        looked=$((looked + 1))
        name=${line#*[<\"]}
        name=${name%%[>\"]*}
        if [[ $line = *\<* ]]; then
            ! grep -qE "^($forbidden)(\.h)?" <<<"$name" ||
                complain "$file:$number: $folder must not include <$name>"
            continue
        fi
        # the public headers are included by their bare names, as users do
        [ ! -e "libbroker/include/$name" ] || name=libbroker/include/$name
        # shellcheck disable=SC2086 # a list of words
        within "$name" "$folder" $allowed ||
            complain "$file:$number: $folder must not include \"$name\""
    done < <(grep -nE '^ *# *include *[<"]' "$file")
}

while IFS=: read -r folder rest; do
    [ -n "$folder" ] || continue
    folder=${folder// /}
    mapfile -t files < <(find "$folder" -name '*.[ch]' 2>/dev/null | sort)
    if [ ${#files[@]} -eq 0 ]; then
        # shellcheck disable=SC2086 # a list of words
        within "$folder" $empty_yet || complain "$folder: no source file there"
        continue
    fi
    for file in "${files[@]}"; do
        check_file "$file" "$folder" "${rest%%|*}" "$(sed 's/^ *//; s/ *$//' <<<"${rest#*|}")"
    done
done <<<"$rules"

# A folder the rules do not know is a layer nobody has thought about.
while read -r folder; do
    grep -q "^$folder *:" <<<"$rules" || complain "$folder: not in the rules of tests/layers.sh"
done < <(find brokerd libbroker -mindepth 1 -maxdepth 1 -type d -not -path libbroker/include)

# Whatever else lies beside the folders of the project got in by mistake.
known=" brokerd libbroker config tests docs Makefile brokerd.conf.example README.md LICENSE CHANGELOG.md "
while read -r name; do
    [[ $name = .* || $known = *" $name "* ]] || complain "$name: does not belong at the top"
done < <(git ls-files 2>/dev/null | cut -d/ -f1 | sort -u)

[ $looked -gt 0 ] || complain "no include was looked at"
[ $wrong -eq 0 ] || exit 1
echo "layers: $looked includes follow the arrows"

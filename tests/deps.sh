#!/bin/bash
# Install with apt-get what is missing, and say so; do nothing, quickly, if all is there.
#
#   tests/deps.sh [build] [test] [lint] [fuzz] [guard] [peers] [stomp] [http]
#
# Runs before anything else on a bare Debian 12, so it needs bash and dpkg only.
set -eu

# package, or package=command where any source of the command will do
declare -A packages=(
    [build]="gcc=cc binutils=ld pkg-config=pkg-config libc6-dev libevent-dev libjansson-dev
             libhiredis-dev libconfuse-dev libssl-dev libcurl4-openssl-dev libhttp-parser-dev libwslay-dev
             libxxhash-dev"
    [test]="check g++=c++ nodejs=node npm=npm python3=python3 netcat-openbsd=nc chromium=chromium
            curl=curl slowhttptest=slowhttptest prometheus=promtool
            python3-websockets ca-certificates redis-server=redis-server redis-sentinel=redis-sentinel
            redis-tools=redis-cli
             python3-stomp"
    [lint]="clang-format-14 clang-tidy-14 shellcheck=shellcheck"
    [fuzz]="clang-14 libclang-rt-14-dev"
    [guard]="valgrind=valgrind"
    [peers]="nats-server=nats-server redis-server=redis-server mosquitto=mosquitto
             rabbitmq-server=rabbitmq-server beanstalkd=beanstalkd gnuplot-nox=gnuplot
             python3=python3"
    [stomp]="activemq"
    [http]="wrk=wrk webdis=webdis redis-server=redis-server rabbitmq-server=rabbitmq-server
            netcat-openbsd=nc curl=curl"
)
# The services that some of these are, as Debian names them, and that would start when installed.
services="prometheus nats-server redis-server mosquitto rabbitmq-server beanstalkd epmd activemq webdis"

# Some of them are servers, which an ordinary user's PATH leaves out.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# Is this entry of the table there?
have() {
    case $1 in
    *=*) command -v "${1#*=}" >/dev/null ;;
    *) [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ] ;;
    esac
}

wanted=()
for group in "${@:-build}"; do
    if [ -z "${packages[$group]:-}" ]; then
        echo "tests/deps.sh: unknown group '$group': one of ${!packages[*]}" >&2
        exit 2
    fi
    # shellcheck disable=SC2206 # words, on purpose
    wanted+=(${packages[$group]})
done

if ! command -v dpkg-query >/dev/null; then
    echo "tests/deps.sh: no dpkg here, so nothing is installed; on Debian it would be: ${wanted[*]%=*}" >&2
    exit 0
fi

missing=()
for entry in "${wanted[@]}"; do
    have "$entry" || missing+=("${entry%=*}")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "These Debian packages are missing: ${missing[*]}" >&2
        echo "There is no sudo to install them with; as root:" >&2
        echo "  apt-get update && apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi
echo "Installing what is missing, with apt-get: ${missing[*]}"

apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 "$@"
}

# Whoever wants programs to test or measure with does not want six servers that run from now on. So under systemd
# a service that was not there before is kept from starting, and is disabled afterwards; one that was
# is left as it is. (Elsewhere it is policy-rc.d that says what may start.)
new_units=()
hold_services() {
    local name unit
    [ -d /run/systemd/system ] || return 0
    for name in $services; do
        for unit in "$name.service" "$name.socket"; do
            systemctl cat "$unit" >/dev/null 2>&1 || new_units+=("$unit")
        done
    done
    [ ${#new_units[@]} -eq 0 ] || "${as_root[@]}" systemctl --quiet --runtime mask "${new_units[@]}"
}
release_services() {
    local unit
    for unit in "${new_units[@]}"; do
        "${as_root[@]}" systemctl --quiet --runtime unmask "$unit"
        ! systemctl cat "$unit" >/dev/null 2>&1 ||
            "${as_root[@]}" systemctl --quiet disable "$unit" 2>/dev/null || true
    done
}

log=$(mktemp)
trap 'release_services; rm -f "$log"' EXIT
case " $* " in *" test "* | *" peers "* | *" stomp "* | *" http "*) hold_services ;; esac
# The lists may be old or absent: fetch them only if the packages are not to be had without.
if ! apt install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1; then
    if ! { apt update && apt install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        echo "tests/deps.sh: could not install: ${missing[*]}" >&2
        echo "Why is said above. apt-get needs a network and a mirror, and sudo a password or leave." >&2
        exit 1
    fi
fi

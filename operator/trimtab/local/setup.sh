#!/usr/bin/env bash
# Makes a virtual environment from a lock file: setup.sh DIRECTORY LOCK [DEBIAN PACKAGE...]. Called by `make setup`.
set -euo pipefail

venv=$1
lock=$2
shift 2
python=${PYTHON:-python3}
log=build/setup-${venv#.}.log
mkdir -p build
: > "$log"

step() {
    local text=$1 started=$SECONDS
    shift
    if ! "$@" >> "$log" 2>&1 < /dev/null; then
        echo "setup: $text failed; the end of $log:" >&2
        tail -n 25 "$log" >&2
        exit 1
    fi
    echo "setup: $text ($((SECONDS - started)) s)"
}

install_debian_packages() {
    command -v apt-get || { echo "install these by hand: $*"; return 1; }
    [ "$(id -u)" = 0 ] || { echo "as root: apt-get install $*"; return 1; }
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=600 "$@"
}

command -v "$python" > /dev/null || step "Python from Debian" install_debian_packages python3
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "setup: trimtab needs Python 3.11 or newer; $python is $("$python" -V). Try: make PYTHON=python3.12 ..." >&2
    exit 1
fi
"$python" -c 'import ensurepip, venv' 2> /dev/null || step "python3-venv from Debian" install_debian_packages python3-venv
missing=()
for package in "$@"; do
    dpkg-query -W "$package" > /dev/null 2>&1 || missing+=("$package")
done
[ ${#missing[@]} = 0 ] || step "${missing[*]} from Debian" install_debian_packages "${missing[@]}"
[ -x "$venv/bin/python" ] || step "virtual environment" "$python" -m venv "$venv"
step "packages as locked in $lock" \
    "$venv/bin/python" -m pip install --disable-pip-version-check --require-hashes -r "$lock"
step "trimtab itself" \
    "$venv/bin/python" -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
touch "$venv/.installed"

#!/usr/bin/env bash
# Builds the source archive and, from that, the wheel; installs the wheel into an empty
# environment and tries it as a user would who never saw this checkout.
#
#   tools/check-wheel.sh PYTHON      PYTHON has the "build" package (make wheel)
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: tools/check-wheel.sh PYTHON" >&2; exit 2; }
python=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/home" "$tmp/cwd"

step() { echo "check-wheel: $*"; }
fail() { echo "check-wheel: $*" >&2; exit 1; }

step "building"
"$python" -m build --outdir "$tmp/dist" "$root" >"$tmp/build.log" 2>&1 ||
    { cat "$tmp/build.log" >&2; fail "the build failed"; }
wheel=$(echo "$tmp"/dist/*.whl)

step "comparing $(basename "$wheel") with the checkout"
"$python" "$root/tools/wheel_contents.py" "$wheel" "$root"

step "installing into an empty environment"
"$python" -m venv --without-pip "$tmp/venv"
"$python" -m pip --python "$tmp/venv/bin/python" --disable-pip-version-check \
    install -q "$wheel" || fail "the wheel does not install"

# An empty HOME and environment, and a directory that is not the checkout: neither a
# user's settings nor our files may be what makes it work.
clean() {
    (cd "$tmp/cwd" && env -i HOME="$tmp/home" PATH="$tmp/venv/bin:/usr/bin:/bin" \
        LC_ALL=C.UTF-8 "$@" </dev/null)
}

# What must be in the output is the last argument; the command is all before it.
expect() {
    local wanted=${*: -1} output
    set -- "${@:1:$#-1}"
    step "$*"
    output=$(clean "$@" 2>&1) || { echo "$output" >&2; fail "$* failed"; }
    grep -qe "$wanted" <<<"$output" ||
        { echo "$output" >&2; fail "the output of $* lacks $wanted"; }
}

expect twistd --help '^ *agentcom '
expect twistd agentcom --help '--listen'
expect agentcom --help 'push'
expect agentcom agent --help '--hub\|--token\|Usage'
expect twistd agentcom-agent --help '--config'
expect agentcom chaos --help '--kill-hub'
expect agentcom bench --help '--self-test'
leftover=$(find "$tmp/home" "$tmp/cwd" -type f)
[ -z "$leftover" ] || fail "asking for help wrote files: $leftover"
step "ok"

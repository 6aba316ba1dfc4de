#!/usr/bin/env bash
# Makes a virtual environment and installs this checkout into it.
#
#   tools/make-venv.sh DIR         what the hub needs to run
#   tools/make-venv.sh DIR dev     and what its tests and checks need
#
# It needs Python 3.11 or later and nothing else: on Debian and Ubuntu the system's
# Python refuses installs outside an environment and often comes without ensurepip, the
# part that puts pip into a new one. Then Debian's package is installed where that is
# allowed, else a pip or virtualenv that is already here does it.
#
# A second call does nothing unless setup.cfg, pyproject.toml, the interpreter or the
# place of the checkout has changed. PYTHON=/path/to/python chooses the interpreter.
set -euo pipefail

die() { printf 'make-venv: %s\n' "$*" >&2; exit 1; }
say() { printf 'make-venv: %s\n' "$*" >&2; }

[ $# -ge 1 ] && [ $# -le 2 ] || die "usage: tools/make-venv.sh DIR [dev]"
extra=${2:-}
case $extra in ''|dev) ;; *) die "no such set of packages: $extra (known: dev)" ;; esac
case $1 in /*) venv=$1 ;; *) venv=$PWD/$1 ;; esac
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
as_root=()

is_new_enough() {
    # By running it: a name on PATH may be a shim with no interpreter behind it.
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    local name
    if [ -n "${PYTHON:-}" ]; then
        is_new_enough "$PYTHON" || die "PYTHON=$PYTHON is not a Python 3.11 or later"
        printf '%s\n' "$PYTHON"
        return
    fi
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if is_new_enough "$name"; then
            command -v "$name"
            return
        fi
    done
    die "Python 3.11 or later is needed and none was found; on Debian and Ubuntu: apt-get install python3 python3-venv"
}

can_apt() {
    command -v apt-get >/dev/null || return 1
    if [ "$(id -u)" = 0 ]; then
        as_root=()
    elif sudo -n true >/dev/null 2>&1; then
        as_root=(sudo -n)
    else
        return 1
    fi
}

apt_install() {
    # The package lists of a fresh container are empty or old: fetch them when needed.
    local apt=(${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive apt-get -qq)
    "${apt[@]}" install -y --no-install-recommends "$@" </dev/null >/dev/null 2>&1 && return
    "${apt[@]}" update </dev/null >&2 || return 1
    "${apt[@]}" install -y --no-install-recommends "$@" </dev/null >&2
}

# Writes "3.11" and the like.
minor_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }

# Asking for the version makes sure that the pip it would install is there as well.
has_ensurepip() { "$1" -c 'import venv, ensurepip; ensurepip.version()' >/dev/null 2>&1; }

make_without_ensurepip() {
    local python=$1 pip
    if command -v virtualenv >/dev/null && virtualenv -q -p "$python" "$venv" >&2; then
        return
    fi
    rm -rf "$venv"
    "$python" -m venv --without-pip "$venv" >&2 || return 1
    for pip in "$python -m pip" pip3 pip; do
        # Split on purpose: the first of these is a command with arguments.
        # shellcheck disable=SC2086
        if $pip --python "$venv/bin/python" install -q pip >/dev/null 2>&1; then
            return
        fi
    done
    return 1
}

make_environment() {
    local python=$1 package
    package=python$(minor_of "$python")-venv
    if ! has_ensurepip "$python" && can_apt; then
        say "this Python has no ensurepip: installing $package"
        apt_install "$package" || say "$package could not be installed"
    fi
    if has_ensurepip "$python"; then
        "$python" -m venv "$venv" >&2 || die "$python could not make an environment in $venv"
    elif ! make_without_ensurepip "$python"; then
        rm -rf "$venv"
        die "this Python cannot make an environment with pip in it; run 'apt-get install $package' as root, then try again"
    fi
}

# What an installed environment was made from; when it differs, the work is done again.
fingerprint() {
    printf '%s\n%s\n' "$root" "$venv"
    "$venv/bin/python" -V
    cat "$root/setup.cfg" "$root/pyproject.toml" | cksum
}

is_usable() { "$venv/bin/python" -m pip --version >/dev/null 2>&1; }

stamp_run=$venv/.agentcom-run
stamp_dev=$venv/.agentcom-dev

is_installed() {
    [ -x "$venv/bin/python" ] || return 1
    local now
    now=$(fingerprint 2>/dev/null) || return 1
    # What "dev" installs contains what running needs.
    [ "$now" = "$(cat "$stamp_dev" 2>/dev/null)" ] && return
    [ -z "$extra" ] && [ "$now" = "$(cat "$stamp_run" 2>/dev/null)" ]
}

was_moved() {
    # Its scripts name the interpreter by its old absolute path.
    local stamp
    for stamp in "$stamp_run" "$stamp_dev"; do
        if [ -f "$stamp" ] && [ "$(sed -n 2p "$stamp")" != "$venv" ]; then return; fi
    done
    return 1
}

is_installed && exit 0

if [ -e "$venv" ] && { was_moved || ! is_usable; }; then
    [ -f "$venv/pyvenv.cfg" ] || [ -z "$(ls -A "$venv")" ] ||
        die "$venv exists and is no virtual environment; move it away or name another with VENV=DIR"
    say "making $venv anew"
    rm -rf "$venv"
fi
if [ ! -e "$venv/bin/python" ]; then
    python=$(find_python)
    say "making $venv with $("$python" -V)"
    make_environment "$python"
fi

say "installing AgentCom${extra:+ with its development tools}; the first time this takes a minute"
rm -f "$stamp_run" "$stamp_dev"
# "compat": any other editable install hides the plugin file from twistd. pip's output is
# kept back because setuptools warns at length about that mode.
output=$("$venv/bin/python" -m pip --disable-pip-version-check install -q \
    --config-settings editable_mode=compat -e "$root${extra:+[$extra]}" 2>&1) || {
    printf '%s\n' "$output" >&2
    die "the installation failed; what pip said is above"
}

# From elsewhere, because twistd also finds a plugin in the current directory.
commands=$(cd / && "$venv/bin/twistd" --help) || die "installed, but twistd does not run"
grep -q '^ *agentcom ' <<<"$commands" ||
    die "installed, but twistd does not list the agentcom command"

if [ -n "$extra" ]; then fingerprint >"$stamp_dev"; else fingerprint >"$stamp_run"; fi

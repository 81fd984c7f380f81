# shellcheck shell=bash
# Shared by the scripts of this folder; sourced, never run. Sourcing it makes the machine ready to build.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    printf 'error: %s\n' "$1" >&2
    shift
    for line in "$@"; do printf '    %s\n' "$line" >&2; done
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# The linker and the C code of the TLS and compression crates need a C compiler.
ensure_c_compiler() {
    if have cc; then return; fi
    if have apt-get && [[ $(id -u) == 0 ]]; then
        echo "installing a C compiler (gcc, libc6-dev)" >&2
        if ! apt-get -qq update >&2 ||
            ! DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends gcc libc6-dev </dev/null >&2; then
            fail "couldn't install a C compiler" "run: apt-get install gcc libc6-dev"
        fi
    else
        fail "no C compiler (cc) on PATH" "on Debian: sudo apt-get install gcc libc6-dev" "then run this again"
    fi
}

ensure_rust() {
    local wanted found
    have cargo || fail "no Rust (cargo) on PATH" "install it with rustup, or run the target with make where Docker is"
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    found=$(rustc --version | cut -d ' ' -f 2)
    [[ $(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n 1) == "$wanted" ]] ||
        fail "Rust $found is too old: $wanted or newer is needed" "run: rustup update stable"
}

ensure_component() {
    cargo "$1" --version >/dev/null 2>&1 || fail "cargo $1 is missing" "run: rustup component add $2"
}

# Whether tests on such a server are to be left out.
is_unwanted() { [[ ",${MILLSTREAM_SKIP_SERVERS:-}," == *",$1,"* ]]; }

# Gets the servers before the tests ask for them: with the download's progress in sight, not in a test's output.
ensure_servers() {
    local flavor
    for flavor in "$@"; do
        is_unwanted "$flavor" || tests/testkit/servers/"get-$flavor" >/dev/null
    done
}

ensure_rust
ensure_c_compiler

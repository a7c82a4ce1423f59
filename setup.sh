#!/usr/bin/env bash
# Installs what the machine lacks for `make demo` or `make test`; does nothing when nothing lacks.
# Debian and Ubuntu: through apt, with sudo when not root. Elsewhere it names what is missing.
set -euo pipefail

purpose=${1:?usage: ./setup.sh demo|test}
packages=()

need() { # need COMMAND PACKAGE
    command -v "$1" >/dev/null || packages+=("$2")
}

need cc gcc
need softhsm2-util softhsm2
need unshare util-linux
if [ "$purpose" = test ]; then
    need g++ g++
    need openssl openssl
    need pkcs11-tool opensc
    need curl curl
    need jq jq
    need strip binutils
    need p11-kit p11-kit
    need faketime faketime
    # 10 MB; only its checks of units are used, and a test says when it is not there.
    ! command -v apt-get >/dev/null || need systemd-analyze systemd
    # Kryoptic, the second PKCS#11 module, is built here on the system's libraries.
    need pkg-config pkg-config
    lacks() { ! pkg-config --exists "$1" 2>/dev/null; }
    lacks openssl && packages+=(libssl-dev)
    lacks sqlite3 && packages+=(libsqlite3-dev)
    compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null || packages+=(libclang-dev)
    compgen -G '/usr/lib/*/pkcs11/p11-kit-client.so' >/dev/null || packages+=(p11-kit-modules)
    python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3 python3-venv)
fi

if [ ${#packages[@]} -gt 0 ]; then
    if ! command -v apt-get >/dev/null; then
        echo "error: this machine lacks: ${packages[*]} (Debian's package names)" >&2
        echo "help: install them with the system's package manager, then run make $purpose again" >&2
        exit 2
    fi
    as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo)
    echo "installing ${packages[*]}" >&2
    "${as_root[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq "${packages[@]}" >&2
fi

if ! command -v cargo >/dev/null; then
    echo "error: there is no cargo on this machine" >&2
    echo "help: install Rust 1.95 or later from https://rustup.rs" >&2
    exit 2
fi

if [ "$purpose" = test ]; then
    for tool in cargo-nextest@0.9.143 cargo-deny@0.20.2; do
        command -v "${tool%@*}" >/dev/null || cargo install --locked --quiet "$tool"
    done
fi

#!/usr/bin/env bash
# Installs header, static and shared library and the pkg-config file:
# install.sh FOLDER_WITH_BUILT_LIBRARIES PREFIX [DESTDIR]
set -euo pipefail

built=${1:?usage: install.sh BUILT PREFIX [DESTDIR]}
prefix=${2:?usage: install.sh BUILT PREFIX [DESTDIR]}
root=${3:-}$prefix
here=$(dirname "$0")
abi=1
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$here/../../Cargo.toml" | head -n 1)

install -d "$root/include" "$root/lib/pkgconfig"
install -m 644 "$here/include/obol_pos.h" "$root/include/"
install -m 644 "$built/libobol_pos.a" "$root/lib/"
install -m 755 "$built/libobol_pos.so" "$root/lib/libobol_pos.so.$abi"
ln -sf "libobol_pos.so.$abi" "$root/lib/libobol_pos.so"
sed -e "s|@PREFIX@|$prefix|" -e "s|@VERSION@|$version|" "$here/obol-pos.pc.in" \
    > "$root/lib/pkgconfig/obol-pos.pc"
echo "installed into $root: obol_pos.h, libobol_pos (interface $abi), obol-pos.pc"

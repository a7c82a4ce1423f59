#!/usr/bin/env bash
# Installs header, static and shared library and the pkg-config file of a C library of ours:
# install-c-library.sh PACKAGE_FOLDER NAME FOLDER_WITH_BUILT_LIBRARIES PREFIX [DESTDIR]
set -euo pipefail

usage="usage: install-c-library.sh PACKAGE NAME BUILT PREFIX [DESTDIR]"
package=${1:?$usage}
name=${2:?$usage}
built=${3:?$usage}
prefix=${4:?$usage}
root=${5:-}$prefix
stem=${name//-/_}
abi=1
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$(dirname "$0")/../Cargo.toml" | head -n 1)

install -d "$root/include" "$root/lib/pkgconfig"
install -m 644 "$package/include/$stem.h" "$root/include/"
install -m 644 "$built/lib$stem.a" "$root/lib/"
install -m 755 "$built/lib$stem.so" "$root/lib/lib$stem.so.$abi"
ln -sf "lib$stem.so.$abi" "$root/lib/lib$stem.so"
sed -e "s|@PREFIX@|$prefix|" -e "s|@VERSION@|$version|" "$package/$name.pc.in" \
    > "$root/lib/pkgconfig/$name.pc"
echo "installed into $root: $stem.h, lib$stem (interface $abi), $name.pc"

#!/usr/bin/env bash
# Packs a release: deploy/dist.sh BINARIES OUT makes OUT/obol-VERSION-TARGET.tar.gz of the binaries in
# a folder and of this repository's files, and OUT/SHA256SUMS. The same binaries and files give the
# same bytes: sorted, of user 0, of the time in SOURCE_DATE_EPOCH (default: the commit's).
set -euo pipefail

binaries=${1:?usage: deploy/dist.sh BINARIES OUT}
out=${2:?usage: deploy/dist.sh BINARIES OUT}
shipped=(obol-issuer obol-kms obol-platform obol-pos)
repository=$(cd "$(dirname "$0")/.." && pwd)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$repository/Cargo.toml" | head -n 1)
target=${TARGET:-$(rustc -vV | sed -n 's/^host: //p')}
time=${SOURCE_DATE_EPOCH:-$(git -C "$repository" log -1 --format=%ct)}
name=obol-$version-$target

mkdir -p "$out"
out=$(cd "$out" && pwd)
binaries=$(cd "$binaries" && pwd)
work=$(mktemp -d "$out/.dist.XXXXXX")
trap 'rm -rf "$work"' EXIT
release=$work/$name
mkdir -p "$release/bin" "$release/deploy"

for binary in "${shipped[@]}"; do
    if ! [ -f "$binaries/$binary" ]; then
        echo "error: there is no $binary in $binaries" >&2
        echo "help: build it first: cargo build --locked --release --bins" >&2
        exit 2
    fi
    # What a debugger alone reads; the names in a backtrace stay.
    strip --strip-debug -o "$release/bin/$binary" "$binaries/$binary"
done
cd "$repository"
cp -r deploy/systemd deploy/obol.sysusers deploy/obol.tmpfiles deploy/kms.toml "$release/deploy/"
cp issuer/issuer.toml platform/platform.toml "$release/deploy/"
cp -r policies docs README.md CHANGELOG.md SECURITY.md LICENSE-APACHE LICENSE-MIT "$release/"

cd "$release"
find . -type f ! -name SHA256SUMS -printf '%P\n' | LC_ALL=C sort | xargs sha256sum > SHA256SUMS
cd "$work"
find "$name" -exec chmod u=rwX,go=rX {} +
chmod 755 "$name"/bin/*
tar --create --sort=name --format=gnu --owner=0 --group=0 --numeric-owner --mtime="@$time" "$name" |
    gzip --no-name "-${GZIP_LEVEL:-9}" > "$name.tar.gz"
sha256sum "$name.tar.gz" > SHA256SUMS
mv -f "$work/$name.tar.gz" "$work/SHA256SUMS" "$out/"
echo "$out/$name.tar.gz"

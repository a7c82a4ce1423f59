#!/usr/bin/env bash
# Runs the key management's suite on each PKCS#11 module and writes the matrix into README.md.
# Ends with 1 if a test failed on one of them.
set -euo pipefail
cd "$(dirname "$0")/.."

kryoptic=$PWD/target/kryoptic/release/libkryoptic_pkcs11.so
rows=()
failed=0

run() { # run NAME VERSION [VARIABLE=VALUE]
    local name=$1 version=$2 summary passed total
    shift 2
    summary=$(env "$@" cargo nextest run --locked --workspace --no-fail-fast \
        -E 'package(obol-kms) & binary(kms)' 2>&1 | tee /dev/stderr | grep 'Summary' || true)
    total=$(grep -oE '[0-9]+ tests? run' <<<"$summary" | grep -oE '^[0-9]+' || echo 0)
    passed=$(grep -oE '[0-9]+ passed' <<<"$summary" | grep -oE '^[0-9]+' || echo 0)
    [ "$total" -gt 0 ] && [ "$passed" = "$total" ] || failed=1
    rows+=("| $name | $version | $passed of $total |")
}

softhsm_version=$(softhsm2-util --version)
kryoptic_version=$(grep -A1 'name = "kryoptic-lib"' tests/kryoptic/Cargo.lock | grep -oE '[0-9.]{3,}')
run 'SoftHSM 2' "$softhsm_version"
run 'Kryoptic' "$kryoptic_version" "OBOL_TEST_MODULE=$kryoptic"

table=$(printf '%s\n' '| module | version | tests that pass |' '|---|---|---|' "${rows[@]}")
awk -v table="$table" '
    /^<!-- end of modules -->/ { skipping = 0 }
    !skipping { print }
    /^<!-- modules: / { print table; skipping = 1 }
' README.md >README.md.new
mv README.md.new README.md
printf '%s\n' "$table"
exit "$failed"

#!/usr/bin/env bash
# Runs libFuzzer on every target, or on the ones that are named: fuzz/run.sh SECONDS [TARGET...]
set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:?usage: fuzz/run.sh SECONDS [TARGET...]}
shift
[ $# -gt 0 ] || set -- $(ls corpus)

# LLVM's own counters, comparisons traced; flags that a stable compiler takes. A target triple keeps
# them away from build scripts.
triple=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="-Cpasses=sancov-module -Ccodegen-units=1 -Cdebug-assertions=on \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares"
out=$(cd .. && pwd)/target/fuzz
cargo build --manifest-path libfuzzer/Cargo.toml --target "$triple" --target-dir "$out"

for target in "$@"; do
    echo "== $target, $seconds s" >&2
    mkdir -p "$out/corpus/$target" "$out/artifacts/$target"
    # What is found goes into the first folder; the committed corpus is only read.
    OBOL_FUZZ_TARGET=$target "$out/$triple/debug/obol-libfuzzer" \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$out/artifacts/$target/" "$out/corpus/$target" "corpus/$target"
done

#!/usr/bin/env bash
# Fuzzes with coverage, on stable Rust: tools/fuzz.sh [MINUTES [TARGET...]]. docs/fuzzing.md lists the checked properties.
source "$(dirname "$0")/lib.sh"
need_rust; have c++ || install g++
minutes=${1:-10}; shift || true
targets=("$@"); [ ${#targets[@]} -gt 0 ] || targets=(records segments manifests patches cloudevents live)
# Targets that do not need the server's crate are built without it, in one minute instead of many.
features=(--no-default-features)
for target in "${targets[@]}"; do case $target in cloudevents|live) features=() ;; esac; done
# The instrumentation of `cargo fuzz run --sanitizer none`. All of it is stable.
flags=(--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module)
for flag in level=4 inline-8bit-counters pc-table trace-compares; do flags+=("-Cllvm-args=-sanitizer-coverage-$flag"); done
host=$(rustc -vV | sed -n 's/^host: //p')
bins=(); for target in "${targets[@]}"; do bins+=(--bin "$target"); done
say "building ${targets[*]}"
RUSTFLAGS="${flags[*]}" cargo build --release --locked --manifest-path fuzz/Cargo.toml --target-dir target/fuzz --target "$host" "${features[@]}" "${bins[@]}"
for target in "${targets[@]}"; do
  say "fuzzing $target for $minutes min"
  mkdir -p "target/fuzz/corpus/$target"
  "target/fuzz/$host/release/$target" "target/fuzz/corpus/$target" "tests/fuzz/seeds/$target" -max_total_time=$((minutes * 60)) \
    -max_len=65536 -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=64 -print_final_stats=1 -artifact_prefix="target/fuzz/$target-"
done
say "nothing was found"

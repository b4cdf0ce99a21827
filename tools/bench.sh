#!/usr/bin/env bash
# Runs the benchmarks: the orders workload and status push, on the real binary. With RESTATE_SERVER and RESTATE_DRIVER set,
# Restate alternates with it. docs/performance.md has the method. Arguments go to the orders runs: tools/bench.sh --repeats 1
source "$(dirname "$0")/lib.sh"
need_rust; need_wasm
build_server
say "building the driver and its handler"
cargo build --release --locked -p weirgate-bench
build_bench_handler
bench=target/release/weirgate-bench
peer=()
if [ -n "${RESTATE_SERVER:-}" ] && [ -n "${RESTATE_DRIVER:-}" ]; then
  peer=(--peer restate)
else
  # An empty value counts as unset.
  unset RESTATE_SERVER RESTATE_DRIVER
  say "without Restate: set RESTATE_SERVER and RESTATE_DRIVER to its server and a driver (docs/performance.md)"
fi
say "machine: $(nproc) processors, $(sed -nE 's/^model name\s*: //p' /proc/cpuinfo | head -n 1), Linux $(uname -r), load $(cut -d' ' -f1 /proc/loadavg)"
say "orders"; "$bench" orders "${peer[@]}" "$@"
say "status push, beside its floor"; "$bench" push

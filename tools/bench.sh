#!/usr/bin/env bash
# Measures everything that docs/performance.md has a goal for, in one run, and writes its table. EVENTS says how far the log grows
# (1000000; most goals are for 10000000), MINUTES how long that may take (30). PGO=1 measures what `make install PGO=1` builds.
# WEIRGATE_BASELINE is an earlier build of the server that alternates with this one; with RESTATE_SERVER and RESTATE_DRIVER set, Restate
# does too. Arguments go to `weirgate-bench table`.
source "$(dirname "$0")/lib.sh"
need_rust; need_wasm
export EVENTS=${EVENTS:-1000000} MINUTES=${MINUTES:-30}
SERVER=target/dist/weirgate
if [ "${PGO:-}" = 1 ]; then build_guided; else build_dist; fi
say "building the driver, which is the floor of status push too, and its handler"
cargo build --profile dist --locked -p weirgate-bench
build_bench_handler
bench=(target/dist/weirgate-bench --weirgate "$SERVER")
# An empty value counts as unset.
for name in RESTATE_SERVER RESTATE_DRIVER WEIRGATE_BASELINE; do [ -n "${!name:-}" ] || unset "$name"; done
[ -n "${RESTATE_SERVER:-}" ] && [ -n "${RESTATE_DRIVER:-}" ] ||
  say "without Restate: set RESTATE_SERVER and RESTATE_DRIVER to its server and a driver (docs/performance.md)"
[ -n "${WEIRGATE_BASELINE:-}" ] || say "without a baseline: set WEIRGATE_BASELINE to the server's binary of an earlier build"
mkdir -p target/bench
say "calls in fresh instances"
cargo bench --profile dist --locked -p weirgate-host --bench call_cost -- 20000 5 | tee target/bench/calls
say "orders, status push, a growing log: $EVENTS events"
"${bench[@]}" table --events "$EVENTS" --minutes "$MINUTES" --calls target/bench/calls --into docs/performance.md "$@"

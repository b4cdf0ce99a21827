#!/usr/bin/env bash
# Runs all tests, as `.ci/run` does.
source "$(dirname "$0")/lib.sh"
need_rust; need_component fmt rustfmt; need_component clippy clippy; need_wasm; need_node; need_chromium; need_python; need_promtool; need_proxies; need_valgrind
have curl || install curl ca-certificates # for the commands of the guides
started=$SECONDS
free_gb=$(df --output=avail -BG . | tail -n 1 | tr -dc 0-9)
[ "${free_gb:-99}" -ge 9 ] || [ -d target/release ] || say "only $free_gb GB are free here: build and tests take about 7 (4 with CARGO_INCREMENTAL=0)"
# In one command, so that server and tests share their dependencies: built one by one they would differ in features.
say "building Weirgate and the tests (the first time takes some minutes)"
cargo build --release --locked --workspace --bins --tests
export WEIRGATE_BIN=$PWD/target/release/weirgate
build_handlers; build_web
say "format"; cargo fmt --all --check
say "lints"; cargo clippy --release --locked --workspace --all-targets -- -D warnings
if cargo deny --version >/dev/null 2>&1; then
  say "licences, bans, sources (deny.toml)"
  for manifest in Cargo.toml fuzz/Cargo.toml; do
    cargo deny --manifest-path "$manifest" --config deny.toml --locked check licenses bans sources
  done
  if timeout 120 cargo deny --locked fetch db >/dev/null 2>&1; then
    say "advisories"; cargo deny --locked --offline check advisories
  else
    say "skipped: advisories, since the advisory database cannot be fetched"
  fi
else
  say "skipped: licences, bans, sources and advisories, since cargo-deny is not installed (cargo install --locked cargo-deny)"
fi
say "web: types and unit tests"; (cd web && npm run --silent check && npm test --silent)
say "tests, crash rounds and browser journeys among them"
export CHROMIUM=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome)}
cargo test --release --locked --workspace
say "simulator: 150,000 histories, or as many as fit into 6 minutes (docs/simulation.md)"
target/release/weirgate-sim --threads 2 --schedules 150000 --minutes 6
say "instructions an event, against tests/bench/budget.json (docs/performance.md)"; target/release/weirgate-bench budget
say "what-ifs: no calls, and one state however they are run (docs/performance.md)"
build_bench_handler; target/release/weirgate-bench replay --events 20000 --live 0
say "all tests passed in $(( (SECONDS - started) / 60 )) min $(( (SECONDS - started) % 60 )) s"

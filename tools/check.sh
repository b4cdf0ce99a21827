#!/usr/bin/env bash
# Format, lints and documentation with warnings denied, unit tests, and whether the mutations still apply.
source "$(dirname "$0")/lib.sh"
need_rust; need_component fmt rustfmt; need_component clippy clippy
say "format"; cargo fmt --all --check
say "lints"; cargo clippy --release --locked --workspace --all-targets -- -D warnings
say "unit tests"; cargo test --release --locked --workspace --lib --bins --test mutations
say "documentation"; RUSTDOCFLAGS="-D warnings" cargo doc --release --locked --workspace --no-deps --quiet

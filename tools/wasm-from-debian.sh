#!/usr/bin/env bash
# Builds components with Debian's own Rust: unpacks rustc-web and rust-web-src privately under DIR (nothing is installed),
# and builds the standard library for wasm32-unknown-unknown once. Prints the variables to set, for eval.
set -euo pipefail
target=wasm32-unknown-unknown; mkdir -p "$1"; dir=$(realpath "$1"); rustc=$dir/rustc
has_std() { ls "$("$1" --print target-libdir --target $target 2>/dev/null)"/libstd-*.rlib >/dev/null 2>&1; }
packages() {
  apt-cache depends --recurse --no-{recommends,suggests,conflicts,breaks,replaces,enhances} rustc-web 2>/dev/null |
    grep -E '^(rustc-web|libstd-rust-web|libllvm)'
}
if ! { [ -x "$rustc" ] && has_std "$rustc"; }; then
  mkdir -p "$dir/deb" "$dir/std/src"; cd "$dir"
  packages >/dev/null || apt-get update >&2
  (cd deb && apt-get download -o APT::Sandbox::User=root $(packages) rust-web-src >&2)
  for package in deb/*.deb; do dpkg -x "$package" .; done
  find usr/src -mindepth 2 -maxdepth 2 ! -name library -exec rm -rf {} +
  printf '#!/bin/sh\nLD_LIBRARY_PATH=%s/usr/lib/x86_64-linux-gnu exec %s/usr/bin/rustc "$@"\n' "$dir" "$dir" > rustc
  chmod +x rustc
  printf '[package]\nname="stdonce"\nedition="2021"\n[profile.release]\npanic="abort"\n[workspace]\n' > std/Cargo.toml
  : > std/src/lib.rs
  (cd std && RUSTC=$rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Cembed-bitcode=yes \
    cargo build -q -Z build-std=std,panic_abort --release --target $target --target-dir t >&2)
  mkdir -p usr/lib/rustlib/$target/lib; rm -f std/t/$target/release/deps/libstdonce*
  cp std/t/$target/release/deps/*.rlib usr/lib/rustlib/$target/lib/; rm -rf std deb
fi
bin=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin
echo "export WASM_RUSTC='$rustc' CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER='$bin/wasm-component-ld' PATH='$bin/gcc-ld':\"\$PATH\""

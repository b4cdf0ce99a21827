# Sourced by the scripts in this directory: installs what a machine needs, and prints each step.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$HOME/.cargo/bin:$PATH"
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}

say() { printf '== %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif have sudo; then sudo "$@"; else die "'$*' needs root: run it yourself, then this again"; fi
}

# install PACKAGE...: from the distribution, if it is based on Debian.
install() {
  have apt-get || die "please install: $* (this machine has no apt-get)"
  say "installing $* (apt-get)"
  local log; log=$(mktemp)
  { as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } >"$log" 2>&1 ||
    { tail -n 5 "$log" >&2; die "$* could not be installed with apt-get"; }
}

# The oldest Rust that builds: `rust-version` in Cargo.toml, the one place for it. There is no rust-toolchain.toml: rustup
# would want a toolchain of exactly the name in it, and a machine whose `stable` is that very version would download it once
# more or, without network or with RUSTUP_AUTO_INSTALL=0, build nothing.
RUST_MINOR_MIN=$(sed -nE 's/^rust-version = "1\.([0-9]+).*/\1/p' Cargo.toml)
[ -n "$RUST_MINOR_MIN" ] || die "Cargo.toml has no rust-version of the form 1.N"
rust_is_good() {
  have cargo && have rustc || return 1
  local minor; minor=$(rustc --version | sed -nE 's/^rustc 1\.([0-9]+)\..*/\1/p')
  [ "${minor:-0}" -ge "$RUST_MINOR_MIN" ]
}

need_rust() {
  have cc || install gcc libc6-dev
  rust_is_good && return
  if have rustup; then
    say "updating Rust (rustup update stable)"; rustup update stable >/dev/null 2>&1 || true
  else
    have curl || install curl ca-certificates
    say "installing Rust (rustup)"
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs 2>/dev/null | sh -s -- -y --profile minimal -c rustfmt -c clippy >/dev/null 2>&1 || true
  fi
  rust_is_good || die "Rust 1.$RUST_MINOR_MIN or newer is needed and could not be installed: see https://rustup.rs"
}

need_component() {
  cargo "$1" --version >/dev/null 2>&1 && return
  say "installing $1 (rustup component add)"
  rustup component add "$2" >/dev/null 2>&1 || die "'rustup component add $2' failed"
}

need_node() {
  have node && have npm && [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 18 ] && return
  install nodejs npm
}

# The Python programs that tests run, in an environment of their own: target/python.
need_python() {
  local wanted=tests/e2e/python/requirements.txt
  cmp -s "$wanted" target/python/requirements.txt && return
  have python3 || install python3
  say "installing the tests' Python packages (pip, into target/python)"
  rm -rf target/python
  if ! python3 -m venv target/python >/dev/null 2>&1; then
    install python3-venv; rm -rf target/python; python3 -m venv target/python
  fi
  target/python/bin/pip install --quiet --disable-pip-version-check -r "$wanted" || die "the packages in $wanted could not be installed with pip"
  cp "$wanted" target/python/
}

# unpack PACKAGE PROGRAM: a program of a Debian package whose installation would start a service. In target/unpacked.
export PATH="$PATH:$PWD/target/unpacked/usr/bin:$PWD/target/unpacked/usr/sbin"
unpack() {
  have "$2" && return
  have apt-get || die "please install $2 (this machine has no apt-get)"
  say "unpacking $2 from the package $1 (apt-get download)"
  local dir=target/unpacked; mkdir -p "$dir"
  as_root apt-get update -qq && (cd "$dir" && apt-get download -qq "$1" && dpkg-deb -x "$1"_*.deb .) >/dev/null 2>&1
  have "$2" || die "$2 could not be unpacked from Debian's package $1"
}

# The proxies of docs/guides/proxies.md. Where Debian's packages cannot be had, their tests are skipped, and say so.
need_proxies() {
  local program
  for program in nginx caddy; do
    if ! (unpack "$program" "$program"); then
      say "skipped: the tests with $program"; export WITHOUT_PROXIES="${WITHOUT_PROXIES:-} $program"
    fi
  done
  have openssl || install openssl
}

# It checks metrics and alert rules.
need_promtool() { unpack prometheus promtool; }

# Counts the instructions of an event.
need_valgrind() { have valgrind || install valgrind; }

need_chromium() { have chromium || have chromium-browser || have google-chrome || install chromium; }

# How components are built: rustup's wasm32-wasip2, or else Debian's own Rust for wasm32-unknown-unknown, so that no single
# download server is required.
WASM_TARGET=wasm32-wasip2
has_std() { ls "$("$1" --print target-libdir --target "$2" 2>/dev/null)"/libstd-*.rlib >/dev/null 2>&1; }
need_wasm() {
  has_std rustc wasm32-wasip2 && return
  if have rustup; then
    say "adding the target wasm32-wasip2 (rustup)"
    timeout 300 rustup target add wasm32-wasip2 >/dev/null 2>&1 || true
    has_std rustc wasm32-wasip2 && return
  fi
  say "rustup cannot add wasm32-wasip2; using Debian's Rust for WebAssembly"
  WASM_TARGET=wasm32-unknown-unknown
  eval "$(tools/wasm-from-debian.sh target/wasm-toolchain)" || die "no WebAssembly target could be installed: 'rustup target add wasm32-wasip2' would do"
}

HANDLERS=(order inventory payment invoice notification delivery report support escrow)
MODULES=target/wasm32-wasip2/handler

build_server() {
  say "building Weirgate (the first time takes some minutes)"
  cargo build --release --locked -p weirgate
}

# What is installed and measured. It optimises across crates, on one processor.
build_dist() {
  say "building Weirgate as it is deployed (this takes about ten minutes)"
  cargo build --profile dist --locked -p weirgate
}

# The same, guided by a profile: built with counters, put under the bench's loads, and built once more. Its path is in SERVER, in a
# folder that is removed at the end.
#
# The file of counters is mapped, since the bench kills its servers and the compiling child opens no file. That excludes counts of values.
# The build with counters is not optimised when it is linked, which takes minutes less; so the binary's own crate, which is little but the
# command line, is counted otherwise than it is built.
build_guided() {
  need_wasm
  local folder=$PWD/target/guided host profdata
  host=$(rustc -vV | sed -n 's/^host: //p')
  profdata=$(rustc --print target-libdir)/../bin/llvm-profdata
  if ! [ -x "$profdata" ]; then
    say "installing llvm-profdata (rustup component add llvm-tools)"
    { have rustup && rustup component add llvm-tools >/dev/null 2>&1 && [ -x "$profdata" ]; } ||
      die "PGO=1 needs llvm-profdata, and 'rustup component add llvm-tools' failed"
  fi
  # Counters of another name would not be found, and the loads run what is in target.
  unset LLVM_PROFILE_FILE CARGO_BUILD_TARGET CARGO_TARGET_DIR CARGO_ENCODED_RUSTFLAGS
  SERVER=$folder/$host/dist/weirgate
  rm -rf "$folder"; mkdir -p "$folder"
  trap 'rm -rf target/guided' EXIT
  say "building Weirgate with counters (this takes some minutes)"
  build_with "$host" "-Cprofile-generate=$folder/counters/%c"$'\x1f'-Cllvm-args=-runtime-counter-relocation -Copt-level=0
  say "running the bench's loads on it"
  build_bench_handler; cargo build --release --locked -p weirgate-bench
  run_loads "$SERVER" >"$folder/loads" 2>&1 || { tail -n 5 "$folder/loads" >&2; die "the loads failed"; }
  compgen -G "$folder/counters/*.profraw" >/dev/null || die "the build with counters has counted nothing"
  "$profdata" merge -o "$folder/profile" "$folder"/counters/*.profraw
  say "building Weirgate guided by the profile (this takes about ten minutes)"
  build_with "$host" "-Cprofile-use=$folder/profile"$'\x1f'-Cllvm-args=-no-pgo-warn-mismatch
}

# build_with HOST FLAGS FLAG...: `dist` with these flags, the last ones for linking alone, which takes two processors (thin LTO). With
# --target, what runs during the build does not get them. FLAGS are separated by the character 0x1f, since a path may have spaces.
build_with() {
  CARGO_ENCODED_RUSTFLAGS="$2"$'\x1f'-Cllvm-args=-disable-vp cargo rustc --profile dist --locked -p weirgate --bin weirgate --target "$1" \
    --target-dir target/guided -- -Clto=thin "${@:3}"
}

run_loads() {
  local bench=(target/release/weirgate-bench --weirgate "$1")
  "${bench[@]}" orders --load closed-64,batch-256,open-200 --events 20000 --repeats 1 &&
    "${bench[@]}" push --rounds 200 --keyed 5000 --idle 100 --repeats 1 &&
    "${bench[@]}" replay --events 3000 --live 0
}

build_handlers() {
  say "building the order handlers"
  local args=(); for name in "${HANDLERS[@]}"; do args+=(-p "$name-handler"); done
  RUSTC=${WASM_RUSTC:-rustc} cargo build --profile handler --locked --target "$WASM_TARGET" "${args[@]}"
  if [ "$WASM_TARGET" != wasm32-wasip2 ]; then
    mkdir -p "$MODULES"; cp target/"$WASM_TARGET"/handler/*_handler.wasm "$MODULES"/
  fi
}

# The handler that `weirgate-bench` measures with.
build_bench_handler() {
  RUSTC=${WASM_RUSTC:-rustc} cargo build --profile handler --locked --target "$WASM_TARGET" -p bench-handler
  if [ "$WASM_TARGET" != wasm32-wasip2 ]; then
    mkdir -p "$MODULES"; cp target/"$WASM_TARGET"/handler/bench_handler.wasm "$MODULES"/
  fi
}

build_web() {
  say "building the shop"
  (cd web && npm ci --no-audit --no-fund --loglevel=error && npm run --silent build)
}

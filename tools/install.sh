#!/usr/bin/env bash
# Builds the server and installs it as DESTDIR/PREFIX/bin/weirgate; with PGO=1 it is built twice, the second time by a profile of the
# first. WEIRGATE_BIN names a built one to install instead.
source "$(dirname "$0")/lib.sh"
prefix=${PREFIX:-/usr/local}; to=${DESTDIR:-}$prefix/bin
command install -d "$to" 2>/dev/null || die "$to cannot be written: try 'sudo make install', or PREFIX=\$HOME/.local"
SERVER=${WEIRGATE_BIN:-target/dist/weirgate}
if [ -z "${WEIRGATE_BIN:-}" ]; then
  need_rust
  if [ "${PGO:-}" = 1 ]; then build_guided; else build_dist; fi
fi
command install -m 755 "$SERVER" "$to/weirgate" ||
  die "$to cannot be written: try 'sudo make install', or PREFIX=\$HOME/.local"
say "installed $to/weirgate"
if [ -z "${DESTDIR:-}" ] && [ "$(command -v weirgate || true)" != "$to/weirgate" ]; then
  say "it is not what 'weirgate' runs yet: add $to to PATH"
fi

#!/usr/bin/env bash
# Whether the simulator finds each seeded bug of tests/sim/mutations: `tools/mutants.sh [NAME...]`, all of them without
# names. They are built in a copy of the tree, so that no mutated build is ever taken for the real one.
source "$(dirname "$0")/lib.sh"
need_rust
HISTORIES_MAX=${HISTORIES_MAX:-60000}
mutants=$PWD/target/mutants tree=$PWD/target/mutants/tree
export CARGO_TARGET_DIR=$mutants/target

# What other people's crates were compiled to is taken over. So is the time of each file, for cargo; but a file that a patch
# names may differ from what was compiled last.
copy_tree() {
  rm -rf "$tree"; mkdir -p "$tree" "$CARGO_TARGET_DIR"
  if [ ! -d "$CARGO_TARGET_DIR/release" ] && [ -d target/release/deps ]; then
    mkdir "$CARGO_TARGET_DIR/release"
    for part in .fingerprint build deps incremental; do
      [ ! -d "target/release/$part" ] || cp -a "target/release/$part" "$CARGO_TARGET_DIR/release/"
    done
  fi
  git ls-files -z --cached --others --exclude-standard | tar -c --null --ignore-failed-read -T - 2>/dev/null | tar -x -C "$tree"
  sed -n 's|^+++ b/||p' tests/sim/mutations/*.patch | sort -u | (cd "$tree" && xargs touch)
}

# The copy is no repository, and git is to see none around it.
apply() { GIT_CEILING_DIRECTORIES=$mutants git -C "$tree" apply "$@"; }

# try NAME: says which rule the mutant breaks first, and after how many histories.
try() {
  local patch=$PWD/tests/sim/mutations/$1.patch log=$mutants/$1.log found
  apply "$patch" || die "$1 does not apply"
  (cd "$tree" && cargo build --release --locked --workspace --bin weirgate-sim) >"$log" 2>&1 || die "$1 does not compile: see $log"
  found=$("$CARGO_TARGET_DIR/release/weirgate-sim" --threads 2 --schedules "$HISTORIES_MAX" 2>>"$log" |
    sed -nE 's/^seed ([0-9]+) breaks ([A-Za-z]+): .*/\2 \1/p') || true
  apply -R "$patch"
  if [ -z "$found" ]; then printf '%-24s %-18s > %s\n' "$1" "not found" "$HISTORIES_MAX"; return 1; fi
  read -r rule seed _ <<<"$found"
  printf '%-24s %-18s %s\n' "$1" "$rule" "$((seed + 1))"
}

names=("$@")
[ $# -gt 0 ] || for patch in tests/sim/mutations/*.patch; do names+=("$(basename "$patch" .patch)"); done
say "copying the tree to target/mutants"; copy_tree
say "${#names[@]} seeded bugs, each in at most $HISTORIES_MAX histories"
missed=0
for name in "${names[@]}"; do try "$name" || missed=$((missed + 1)); done
[ "$missed" = 0 ] || die "$missed of ${#names[@]} are not found"

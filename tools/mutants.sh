#!/usr/bin/env bash
# Whether the simulator finds each seeded bug of tests/sim/mutations: `tools/mutants.sh [NAME...]`, all of them without
# names. Prints the rule that each breaks first, with the seed, and the number of histories until then; fails if one is not
# found. They are built one after the other in a copy of the tree, so that each build is an incremental one and no mutated
# build is ever taken for the real one. HISTORIES_MAX and CARGO can be set.
source "$(dirname "$0")/lib.sh"
need_rust
HISTORIES_MAX=${HISTORIES_MAX:-60000}
CARGO=${CARGO:-cargo}
mutants=$PWD/target/mutants tree=$PWD/target/mutants/tree
export CARGO_TARGET_DIR=$mutants/target
built=$CARGO_TARGET_DIR/release
# What is compiled anew for each of them is optimised little, since compiling takes longer than running.
fast=()
for crate in core engine sim; do fast+=(--config "profile.release.package.weirgate-$crate.opt-level=1"); done

# The artifacts of dependencies are taken over, as links: nothing writes into them. The directory has to be called `release`
# as well, which their fingerprints name.
take_dependencies() {
  [ ! -d "$built" ] && [ -d target/release/deps ] || return 0
  mkdir -p "$built/deps"
  cp -a target/release/.fingerprint target/release/build "$built/"
  find target/release/deps -maxdepth 1 -name '*.r*' ! -name '*weirgate*' -exec cp -al -t "$built/deps" {} +
  find target/release/deps -maxdepth 1 \( -name '*.so' -o -name '*.d' \) ! -name '*weirgate*' -exec cp -al -t "$built/deps" {} +
}

# The time of each file is taken over, for cargo; but a file that a patch names may differ from what was compiled last.
copy_tree() {
  rm -rf "$tree"; mkdir -p "$tree" "$CARGO_TARGET_DIR"
  git ls-files -z --cached --others --exclude-standard | tar -c --null --ignore-failed-read -T - 2>/dev/null | tar -x -C "$tree"
  sed -n 's|^+++ b/||p' tests/sim/mutations/*.patch | sort -u | (cd "$tree" && xargs touch)
}

# The copy is no repository, and git is to see none around it.
apply() { GIT_CEILING_DIRECTORIES=$mutants git -C "$tree" apply "$@"; }

# try NAME: builds one and runs its histories.
try() {
  local patch=$PWD/tests/sim/mutations/$1.patch log=$mutants/$1.log found rule seed
  apply "$patch" || die "$1 does not apply"
  # shellcheck disable=SC2086
  (cd "$tree" && $CARGO build --release "${fast[@]}" --locked --workspace --bin weirgate-sim) >"$log" 2>&1 ||
    die "$1 does not compile: see $log"
  found=$("$built/weirgate-sim" --threads 2 --schedules "$HISTORIES_MAX" 2>>"$log" | tee -a "$log" |
    sed -nE 's/^seed ([0-9]+) breaks ([A-Za-z]+): .*/\2 \1/p' | head -n 1) || true
  apply -R "$patch"
  if [ -z "$found" ]; then printf 'not found  %-24s in %s histories\n' "$1" "$HISTORIES_MAX"; return 1; fi
  read -r rule seed <<<"$found"
  printf 'found      %-24s %-18s seed %6s, in %6s histories\n' "$1" "$rule" "$seed" "$((seed + 1))"
}

names=("$@")
[ $# -gt 0 ] || for patch in tests/sim/mutations/*.patch; do names+=("$(basename "$patch" .patch)"); done
say "copying the tree to target/mutants"; take_dependencies; copy_tree
say "${#names[@]} seeded bugs, each in at most $HISTORIES_MAX histories"
missed=0
for name in "${names[@]}"; do try "$name" || missed=$((missed + 1)); done
[ "$missed" = 0 ] || die "$missed of ${#names[@]} are not found"
say "all ${#names[@]} are found"

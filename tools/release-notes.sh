#!/usr/bin/env bash
# Print a version's part of CHANGELOG.md, without its heading: tools/release-notes.sh VERSION. "Unreleased" is one, too.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# = 1 ] && [ -n "$1" ] || { echo "usage: tools/release-notes.sh VERSION" >&2; exit 2; }
version=${1#v}
versions() { sed -nE 's/^## \[?([^] (]+).*/\1/p' CHANGELOG.md; }
if ! versions | grep -qxF -- "$version"; then
  echo "error: CHANGELOG.md has no version $version; it has: $(versions | paste -sd ' ')" >&2
  exit 1
fi
# From the version's heading to the next one, without empty lines at the ends.
notes=$(awk -v version="$version" '
  /^## / { heading = $2; gsub(/[][]/, "", heading); inside = heading == version; next }
  /^\[[^]]+\]: / { next }
  inside { print }
' CHANGELOG.md | sed '/./,$!d')
[ -n "$notes" ] || { echo "error: CHANGELOG.md says nothing about $version" >&2; exit 1; }
printf '%s\n' "$notes"

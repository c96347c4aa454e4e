#!/usr/bin/env bash
# Line coverage of the workspace by the tests, with LLVM's own tools of the compiler's version (Debian: llvm-22).
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
profdata=$(command -v "llvm-profdata-$version" || command -v llvm-profdata || true)
cov=$(command -v "llvm-cov-$version" || command -v llvm-cov || true)
if [ -z "$profdata" ] || [ -z "$cov" ]; then
  echo "coverage: needs llvm-profdata and llvm-cov of LLVM $version; on Debian: apt-get install llvm-$version" >&2
  exit 1
fi
. tests/need.sh
need_postgres || { echo "coverage: needs a PostgreSQL server, see tests/need.sh" >&2; exit 1; }
ulimit -n "$(ulimit -Hn)"
profiles=$PWD/target/coverage
rm -rf "$profiles" && mkdir -p "$profiles"
export RUSTC_WORKSPACE_WRAPPER=$PWD/deploy/instrument.sh LLVM_PROFILE_FILE="$profiles/%p-%m.profraw"
cargo test --workspace --quiet
objects=$(cargo test --workspace --no-run --message-format=json 2>/dev/null |
  sed -n 's/.*"executable":"\([^"]*\)".*/-object \1/p' | sort -u)
"$profdata" merge -sparse "$profiles"/*.profraw -o "$profiles/all.profdata"
# shellcheck disable=SC2086
"$cov" report $objects -instr-profile="$profiles/all.profdata" -show-region-summary=false -show-branch-summary=false \
  -ignore-filename-regex='(/registry/|/rustc/|/tests/|/tests\.rs|/benches/|/examples/)'

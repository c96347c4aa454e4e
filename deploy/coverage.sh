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
export CARGO_TARGET_DIR=target/coverage RUSTFLAGS="-C instrument-coverage" LLVM_PROFILE_FILE="$PWD/target/coverage/profiles/%p-%m.profraw"
rm -rf target/coverage/profiles
cargo test --workspace --quiet
objects=$(cargo test --workspace --no-run --message-format=json 2>/dev/null |
  sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | sort -u | sed 's/^/-object /')
"$profdata" merge -sparse target/coverage/profiles/*.profraw -o target/coverage/all.profdata
# shellcheck disable=SC2086
"$cov" report $objects -instr-profile=target/coverage/all.profdata -ignore-filename-regex='(/registry/|/rustc/|/tests/|/benches/|/examples/)' --show-region-summary=false --show-branch-summary=false

#!/usr/bin/env bash
# The deployed whole on this machine, broken at every place for MINUTES while hosts deliver; ends with 1 where anything was lost, done
# twice or shown wrong. With SEED the same breaks in the same order.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/need.sh
need_programs || { echo "torture: install what is named above" >&2; exit 1; }
ulimit -n "$(ulimit -Hn)"
cargo build --release --package pipecast --package pipecast-prove --bins
echo "== torture for ${MINUTES:-3} minutes"
target/release/prove torture --minutes "${MINUTES:-3}" ${SEED:+--seed "$SEED"}

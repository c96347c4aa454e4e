#!/usr/bin/env bash
# The long proof, at the size that the promise is made for.
set -euo pipefail
cd "$(dirname "$0")/.."
ulimit -n "$(ulimit -Hn)"
echo "== fifty kills while hosts deliver"
cargo build --release --bin pipecast --example crash
target/release/examples/crash --kills 50 --deliveries 20000

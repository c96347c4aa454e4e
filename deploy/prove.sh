#!/usr/bin/env bash
# The long proof, at the size that the promise is made for, five times over with other lives and other moments.
set -euo pipefail
cd "$(dirname "$0")/.."
ulimit -n "$(ulimit -Hn)"
cargo build --release --package pipecast --package pipecast-prove --bins
for seed in 1 2 3 4 5; do
  echo "== fifty kills while hosts deliver, run $seed of 5"
  target/release/prove crash --kills 50 --deliveries 20000 --seed "$seed"
done
echo "== what the caches are worth, and how old their values get"
target/release/prove caches

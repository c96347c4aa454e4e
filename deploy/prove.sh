#!/usr/bin/env bash
# The long proofs, at the size that the promises are made for: one process that is killed, five times over with other lives and other
# moments, and the deployed whole in which everything is broken.
set -euo pipefail
cd "$(dirname "$0")/.."
ulimit -n "$(ulimit -Hn)"
cargo build --release --package pipecast --package pipecast-prove --bins
for seed in 1 2 3 4 5; do
  echo "== fifty kills while hosts deliver, run $seed of 5"
  target/release/prove crash --kills 50 --deliveries 20000 --seed "$seed"
done
MINUTES=30 deploy/torture.sh

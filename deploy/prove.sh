#!/usr/bin/env bash
# The long proofs, at the size that the promises are made for: twenty thousand requests made of the API's document, one process that is killed, five times over with other lives and other
# moments, the scenes of a deployed whole in which one thing happens, and the same whole with everything broken.
set -euo pipefail
cd "$(dirname "$0")/.."
ulimit -n "$(ulimit -Hn)"
cargo build --release --package pipecast --package pipecast-prove --bins
PIPECAST_BIN=target/release/pipecast tests/schemathesis.sh
for seed in 1 2 3 4 5; do
  echo "== fifty kills while hosts deliver, run $seed of 5"
  target/release/prove crash --kills 50 --deliveries 20000 --seed "$seed"
done
for scene in broker-down redis-empty rolling across caches perf; do
  deploy/scene.sh "$scene"
done
MINUTES=30 deploy/torture.sh

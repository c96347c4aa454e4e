#!/usr/bin/env bash
# The measurements behind docs/performance.md. Needs nginx and cc; takes about 15 minutes on two quiet cores.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v nginx >/dev/null || { echo "bench: needs nginx; on Debian: apt-get install nginx-light" >&2; exit 1; }
ulimit -n "$(ulimit -Hn)"
cargo build --release --bin pipecast
for bench in fan_out status stalled flow; do
  echo "== $bench"
  cargo bench --quiet --bench "$bench"
done

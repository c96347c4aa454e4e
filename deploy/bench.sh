#!/usr/bin/env bash
# The measurements behind docs/performance.md. Needs nginx, cc and the servers; takes about 25 minutes on two quiet cores.
set -euo pipefail
cd "$(dirname "$0")/.."
# What tests and benches share: a RabbitMQ and a PostgreSQL that are named or there, else ones for the time of the run.
. tests/need.sh
need_programs && need_postgres || { echo "bench: needs Redis, RabbitMQ, PostgreSQL and Python's venv; install what is named above" >&2; exit 1; }
command -v nginx >/dev/null || { echo "bench: needs nginx; on Debian: apt-get install nginx-light" >&2; exit 1; }
ulimit -n "$(ulimit -Hn)"
cargo build --release --bin pipecast
for bench in fan_out status stalled flow intake lists; do
  echo "== $bench"
  cargo bench --quiet --bench "$bench"
done

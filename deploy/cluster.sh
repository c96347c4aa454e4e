#!/usr/bin/env bash
# The topology of docker-compose.yml as processes of this machine, fed with a simulation: nginx, two edges, two workers, an admin, and
# PostgreSQL, Redis and RabbitMQ of their own on free ports. Ctrl-C ends all of it. Data stays in ./data/cluster.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/need.sh
need_programs || { echo "cluster: install what is named above" >&2; exit 1; }
ulimit -n "$(ulimit -Hn)"
deploy/page.sh
cargo build --release --package pipecast --package pipecast-prove --bins
exec target/release/prove cluster --data data/cluster "$@"

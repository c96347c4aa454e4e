#!/usr/bin/env bash
# One scene in the deployed whole on this machine, as processes: its figures, and 1 where one of them is not as promised. The first
# argument names it (`prove --help` lists them); further ones change its size, as in `deploy/scene.sh rolling --sockets 200`.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/need.sh
need_programs || { echo "scene: install what is named above" >&2; exit 1; }
ulimit -n "$(ulimit -Hn)"
cargo build --release --package pipecast --package pipecast-prove --bins
echo "== prove $*"
target/release/prove "$@"

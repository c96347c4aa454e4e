#!/usr/bin/env bash
# The main job on this machine: builds what is to be built, serves on loopback with embedded backends, and feeds it.
# Data and the two webhook secrets stay in ./data between runs. Ctrl-C ends both processes.
set -euo pipefail
cd "$(dirname "$0")/.."
deploy/page.sh
cargo build --release --bin pipecast

mkdir -p data
if [ ! -f data/secrets.env ]; then
  secret() { head -c 24 /dev/urandom | base64 | tr -d '+/='; }
  (umask 077 && printf 'PIPECAST_WEBHOOKS__GITHUB__SECRET=%s\nPIPECAST_WEBHOOKS__GITLAB__SECRET=%s\n' "$(secret)" "$(secret)" >data/secrets.env)
fi
set -a && . data/secrets.env && set +a
export PIPECAST_DATA_DIR=data PIPECAST_SERVER__LISTEN="127.0.0.1:$PORT"

target/release/pipecast serve &
service=$!
simulation=
trap 'kill -TERM $simulation $service 2>/dev/null; wait $service 2>/dev/null || true' EXIT
trap 'exit 0' INT TERM
if [ "$SIMULATE" != 0 ]; then
  target/release/pipecast simulate --url "http://127.0.0.1:$PORT" &
  simulation=$!
fi
echo "pipecast: open http://127.0.0.1:$PORT  (webhook secrets: data/secrets.env; Ctrl-C ends it)"
wait $service

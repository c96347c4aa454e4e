#!/usr/bin/env bash
# `make test`: everything that must pass before a change lands. Installs or starts what it needs where it can, and says in one
# line what is missing where it cannot. Nothing is skipped in silence.
set -euo pipefail
cd "$(dirname "$0")/.."
begun=$SECONDS
# A test holds a thousand sockets at both ends.
ulimit -n "$(ulimit -Hn)"
step() { printf '\n== %s (%d s)\n' "$*" $((SECONDS - begun)); }
missing() { echo "make test: $*" >&2; exit 1; }

step "what is needed"
command -v cargo >/dev/null || missing "needs Rust 1.95 (rustup)"
command -v npm >/dev/null && node -e "process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)" || missing "needs Node 20 or newer with npm"
. tests/need.sh
need_chromium || missing "needs Chromium; install the package chromium, or set CHROMIUM to its path"
need_programs || missing "needs Redis, RabbitMQ, nginx, PostgreSQL with its server programs, openssl and Python's venv; install what is named above"
need_rabbitmq || missing "needs a RabbitMQ broker; start one, or set PIPECAST_TEST_RABBITMQ to its URL"
need_postgres || missing "needs a PostgreSQL server; start one, or set PIPECAST_TEST_POSTGRES to a URL whose user may create databases"

# Logs, what operators are shown, and the secrets that were planted, for the last step. Kept until the next run.
export PIPECAST_TEST_TRACES="$PWD/target/test-traces"
rm -rf "$PIPECAST_TEST_TRACES"

if [ ! -d "${PIPECAST_PAYLOADS:-../shared/payloads}" ]; then
  echo "LEFT OUT: the tests on real payloads; set PIPECAST_PAYLOADS to a folder SOURCE/HOST/EVENT/FILE.json with signature_vectors.json"
fi

step "format"
cargo fmt --check

step "page: types, format, build, budget"
(cd web && { [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-audit --no-fund --loglevel=error; } && npm run --silent build && npm run --silent check)

step "deployment files"
deploy/check.sh

step "build"
# The whole workspace each time: a part of it asks less of some dependencies, which would all be compiled again.
cargo build --workspace --bins
# The browser leaves a core idle most of the time.
beside="$PWD/target/beside.log"
nice -n 19 bash -ec '
  cargo clippy --workspace --all-targets -- -D warnings
  RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
  cargo test --workspace --no-run
' >"$beside" 2>&1 &
lints=$!
trap 'pkill -P "$lints" || true; kill "$lints" 2>/dev/null || true' EXIT

step "the page in a browser; beside it lints, documentation, and the build of the tests"
(cd web && PIPECAST_BIN="$PWD/../target/debug/pipecast" npm test)
wait "$lints" || { cat "$beside" >&2; missing "the lints, the documentation or the build of the tests have failed, see above"; }
trap - EXIT

step "tests"
cargo test --workspace

step "two minutes of torture"
cargo build --workspace --bins
target/debug/prove torture --minutes 2 --rate 40 --seed 1

step "no planted secret in anything that was left behind"
target/debug/prove leaks "$PIPECAST_TEST_TRACES"

step "done"

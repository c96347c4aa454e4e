#!/usr/bin/env bash
# Builds web/dist. Without Node it says so in one line and leaves the binary to its API.
set -euo pipefail
cd "$(dirname "$0")/../web"
if ! command -v npm >/dev/null || ! node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null; then
  echo "page: Node 20 or newer is not here, so the page is not built; the API runs without it" >&2
  exit 0
fi
if [ dist/index.html -nt package-lock.json ] && [ -z "$(find src public index.html package.json vite.config.ts -newer dist/index.html -print -quit)" ]; then
  exit 0
fi
[ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-audit --no-fund --loglevel=error
npm run --silent build

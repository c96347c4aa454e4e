# What the tests need besides Rust and Node, found, installed or started. Sourced by run.sh.

# Chromium for the browser tests: an existing one, or Debian's package where we may install it.
need_chromium() {
  for candidate in "${CHROMIUM:-}" /usr/bin/chromium /usr/bin/chromium-browser /usr/bin/google-chrome; do
    if [ -x "$candidate" ]; then export CHROMIUM=$candidate; return 0; fi
  done
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
  echo "installing chromium"
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium fonts-noto-cjk; } >/dev/null 2>&1 || return 1
  export CHROMIUM=/usr/bin/chromium
  [ -x "$CHROMIUM" ]
}

# A PostgreSQL server: the one that is named, the one on the standard port, or one of our own for the time of the run.
need_postgres() {
  for url in "${PIPECAST_TEST_POSTGRES:-}" postgres://postgres@127.0.0.1:5432/postgres; do
    if [ -n "$url" ] && command -v psql >/dev/null && psql -XAtqc 'SELECT 1' "$url" >/dev/null 2>&1; then
      export PIPECAST_TEST_POSTGRES=$url
      return 0
    fi
  done
  local bin
  bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -1) || return 1
  [ -n "$bin" ] || return 1
  local dir port
  dir=$(mktemp -d)
  port=$(node -e 'const s=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})')
  local as=()
  if [ "$(id -u)" = 0 ]; then chown postgres "$dir" && as=(runuser -u postgres --); fi
  "${as[@]}" "$bin/initdb" --no-sync -A trust -U postgres -D "$dir/db" >/dev/null || return 1
  "${as[@]}" "$bin/pg_ctl" -w -D "$dir/db" -l "$dir/log" -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$dir -c fsync=off" start >/dev/null || return 1
  trap "${as[*]} '$bin/pg_ctl' -m immediate -D '$dir/db' stop >/dev/null; rm -rf '$dir'" EXIT
  export PIPECAST_TEST_POSTGRES=postgres://postgres@127.0.0.1:$port/postgres
}

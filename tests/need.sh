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

# What is to be done at the end of the run, one command a line.
at_the_end=''
at_the_end() {
  at_the_end+="$1"$'\n'
  trap 'eval "$at_the_end"' EXIT
}

# A port that nobody has.
free_port() { node -e 'const s=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})'; }

# Programs of servers that tests start by themselves, and of the certificates that they make for them.
need_programs() {
  local wanted=()
  command -v redis-server >/dev/null || wanted+=(redis-server)
  command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || wanted+=(nginx-light)
  command -v openssl >/dev/null || wanted+=(openssl)
  compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null || wanted+=(faketime)
  [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || wanted+=(rabbitmq-server)
  compgen -G '/usr/lib/postgresql/*/bin/pg_basebackup' >/dev/null || wanted+=(postgresql)
  python3 -c 'import venv, ensurepip' 2>/dev/null || wanted+=(python3-venv)
  [ ${#wanted[@]} -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo "missing: ${wanted[*]}" >&2; return 1; }
  echo "installing ${wanted[*]}"
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${wanted[@]}"; } >/dev/null 2>&1
}

# A RabbitMQ broker: the one that is named, the one on the standard port, or one of our own for the time of the run.
need_rabbitmq() {
  [ -z "${PIPECAST_TEST_RABBITMQ:-}" ] || return 0
  if (exec 3<>/dev/tcp/127.0.0.1/5672) 2>/dev/null; then
    export PIPECAST_TEST_RABBITMQ=amqp://guest:guest@127.0.0.1:5672
    return 0
  fi
  local server=/usr/lib/rabbitmq/bin/rabbitmq-server dir port
  [ -x "$server" ] || return 1
  dir=$(mktemp -d) port=$(free_port)
  env HOME="$dir" RABBITMQ_NODENAME="pipecast-test-$$@localhost" RABBITMQ_NODE_PORT="$port" RABBITMQ_DIST_PORT="$(free_port)" \
    RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_MNESIA_BASE="$dir/mnesia" RABBITMQ_LOG_BASE="$dir/log" RABBITMQ_PID_FILE="$dir/pid" \
    RABBITMQ_ENABLED_PLUGINS_FILE="$dir/plugins" RABBITMQ_CONF_ENV_FILE=/dev/null RABBITMQ_CONFIG_FILE="$dir/none" \
    "$server" >/dev/null 2>&1 &
  at_the_end "kill $! 2>/dev/null; wait $! 2>/dev/null; rm -rf '$dir'"
  for _ in $(seq 240); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      export PIPECAST_TEST_RABBITMQ=amqp://guest:guest@127.0.0.1:$port
      return 0
    fi
    sleep 0.5
  done
  return 1
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
  port=$(free_port)
  local as=()
  if [ "$(id -u)" = 0 ]; then chown postgres "$dir" && as=(runuser -u postgres --); fi
  "${as[@]}" "$bin/initdb" --no-sync -A trust -U postgres -D "$dir/db" >/dev/null || return 1
  "${as[@]}" "$bin/pg_ctl" -w -D "$dir/db" -l "$dir/log" -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$dir -c fsync=off" start >/dev/null || return 1
  at_the_end "${as[*]} '$bin/pg_ctl' -m immediate -D '$dir/db' stop >/dev/null; rm -rf '$dir'"
  export PIPECAST_TEST_POSTGRES=postgres://postgres@127.0.0.1:$port/postgres
}

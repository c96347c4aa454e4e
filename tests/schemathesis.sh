#!/usr/bin/env bash
# schemathesis against the running service: at least CASES requests made of the OpenAPI document, good ones and bad ones, as an admin and as
# nobody. No answer is 5xx, none has a status, a type or a shape that the document does not tell, and nothing that takes an account is open.
# In the environment: CASES (20000), EXAMPLES for each operation, SEED, PIPECAST_BIN (target/debug/pipecast, which is built), POSTGRES: the URL of
# a database in which the run has a schema of its own, in place of SQLite.
set -euo pipefail
cd "$(dirname "$0")/.."
VERSION=4.32.5
CASES=${CASES:-20000} EXAMPLES=${EXAMPLES:-150} SEED=${SEED:-1}
# Longest time of one of the three runs, in seconds.
LONGEST=${LONGEST:-2400}

tools=$PWD/target/schemathesis-$VERSION
if [ ! -x "$tools/bin/schemathesis" ]; then
  rm -rf "$tools" && python3 -m venv "$tools"
  "$tools/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$VERSION"
fi
if [ -z "${PIPECAST_BIN:-}" ]; then
  cargo build --quiet --bin pipecast
fi
binary=$(realpath "${PIPECAST_BIN:-target/debug/pipecast}")

room=$(mktemp -d)
service= schema=
trap '[ -z "$service" ] || { kill "$service"; wait "$service"; } 2>/dev/null || true
  [ -z "$schema" ] || psql -qc "DROP SCHEMA $schema CASCADE" "$POSTGRES" 2>/dev/null || true; rm -rf "$room"' EXIT
if [ -n "${POSTGRES:-}" ]; then
  psql -qc "CREATE SCHEMA schemathesis_$$" "$POSTGRES"
  schema=schemathesis_$$
  export PIPECAST_STORE__URL="$POSTGRES?options[search_path]=$schema"
fi
# Nothing that would keep a request from its handler: no waiting after failed logins, no limit of a rate, no question who it is within the hour;
# passwords as cheap as can be.
export PIPECAST_DATA_DIR=$room/data PIPECAST_SERVER__LISTEN=127.0.0.1:0 PIPECAST_LOG__FORMAT=json \
  PIPECAST_WEBHOOKS__GITHUB__SECRET=fuzzing PIPECAST_WEBHOOKS__GITLAB__SECRET=fuzzing \
  PIPECAST_AUTH__LOGIN_THROTTLE=false PIPECAST_AUTH__PASSWORD_MEMORY=8KiB PIPECAST_AUTH__PASSWORD_PASSES=1 \
  PIPECAST_AUTH__ACCESS_LIFETIME=1d PIPECAST_AUTH__CONFIRMED_FOR=1h
password='a password of the run'
"$binary" create-admin fuzzer <<<"$password" >/dev/null
"$binary" serve >"$room/log" 2>&1 &
service=$!
for _ in $(seq 300); do
  url=$(grep -om1 'serves http://[0-9.:]*' "$room/log" | cut -d' ' -f2) && break
  kill -0 "$service" 2>/dev/null || { cat "$room/log" >&2; exit 1; }
  sleep 0.1
done

# Something to find: pipelines of some repositories, and another account.
"$binary" simulate --url "$url" --seed 1 --count 200 --rate 100 --quiet >/dev/null
call() { curl -fsS -H 'Content-Type: application/json' "$@"; }
log_in() { call -d "{\"name\":\"fuzzer\",\"password\":\"$password\"}" "$url/admin/v1/sessions" | python3 -c 'import json,sys; print(json.load(sys.stdin)["access_token"])'; }
token=$(log_in)
call -H "Authorization: Bearer $token" -d '{"name":"other"}' "$url/admin/v1/users" >/dev/null

export SCHEMATHESIS_HOOKS=hooks PYTHONPATH=$PWD/tests/schemathesis
CHECKS=not_a_server_error,status_code_conformance,content_type_conformance,fits_its_schema,ignored_auth,stays_locked
begun=$SECONDS
total=0
# run NAME ARGUMENT…: one run; its end is shown, and all of it where it fails.
run() {
  local name=$1 log="$room/$1.log" cases
  shift
  if ! (cd "$room" && timeout "$LONGEST" "$tools/bin/schemathesis" run "$url/api/openapi.json" --checks "$CHECKS" --seed "$SEED" --workers 2 \
    --generation-database none --request-timeout 20 --continue-on-failure --no-color "$@") >"$log" 2>&1; then
    cat "$log" >&2
    echo "schemathesis: the run $name has failed" >&2
    exit 1
  fi
  cases=$(grep -oE '[0-9]+ generated' "$log" | head -1 | cut -d' ' -f1)
  total=$((total + cases))
  echo "$name: $cases cases"
}

# Streams have no end. What ends the session of the run comes last.
ends_it=(log_out end_session end_user_sessions set_password change_password)
excluded=() included=()
for id in "${ends_it[@]}"; do excluded+=(--exclude-operation-id "$id") included+=(--include-operation-id "$id"); done
run admin --max-examples "$EXAMPLES" --header "Authorization: Bearer $token" --exclude-path-regex '^/sse' "${excluded[@]}"
# Under a foreign name nothing is open because it comes from this machine.
PIPECAST_STRANGER=1 run stranger --max-examples 25 --header 'Host: ci.example.org'
run farewell --max-examples 25 --header "Authorization: Bearer $(log_in)" "${included[@]}"

kill -0 "$service" || { echo "schemathesis: the service has ended" >&2; exit 1; }
echo "schemathesis $VERSION: $total cases in $((SECONDS - begun)) s, seed $SEED: no 5xx, no status that the document does not tell, nothing open to strangers"
[ "$total" -ge "$CASES" ] || { echo "schemathesis: fewer than $CASES cases; raise EXAMPLES" >&2; exit 1; }

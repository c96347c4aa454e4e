#!/usr/bin/env bash
# From a fresh Pipecast to a delivery that was seen live, found in the ledger and replayed, over the API alone.
#
#   docs/first-steps.sh SETUP_TOKEN [URL]
#
# SETUP_TOKEN is what the first start prints; URL is where it listens, http://127.0.0.1:8080 where none is given.
# ADMIN_NAME and ADMIN_PASSWORD say who the first admin is to be (ada, and a random password that is printed), PIPECAST where the binary is.
# Needs bash and curl. No secret is an argument of a program, where everybody on the machine could see it.
set -euo pipefail

token=${1:?the setup token that the first start has printed}
url=${2:-http://127.0.0.1:8080}
pipecast=${PIPECAST:-pipecast}
name=${ADMIN_NAME:-ada}
password=${ADMIN_PASSWORD:-$(head -c 18 /dev/urandom | base64)}
access=
work=$(mktemp -d)
live=
trap 'if [ -n "$live" ]; then kill "$live" 2>/dev/null || true; fi; rm -rf "$work"' EXIT

# ask METHOD PATH [BODY]: prints the answer, or says why there is none.
ask() {
  local arguments=(-sS --fail-with-body -X "$1" -H "Accept: application/json")
  if [ $# -gt 2 ]; then arguments+=(-H "Content-Type: application/json" --data-binary @-); fi
  printf '%s' "${3-}" | curl "${arguments[@]}" -H @<(printf 'Authorization: Bearer %s\n' "$access") "$url$2" ||
    { echo "first-steps: $1 $2 was refused" >&2; return 1; }
}
# member NAME: the first text or number of that name in the JSON on standard input.
member() { tr ',{}' '\n\n\n' | awk -v name="\"$1\":" 'index($0, name) == 1 && !found { $0 = substr($0, length(name) + 1); gsub(/"/, ""); print; found = 1 }'; }
# until_there NAME PATH: asks until the answer has a member of that name which is not null, and prints it.
until_there() {
  local value
  for _ in $(seq 100); do
    value=$(ask GET "$2" | member "$1")
    if [ -n "$value" ] && [ "$value" != null ]; then printf '%s' "$value"; return; fi
    sleep 0.2
  done
  echo "first-steps: $2 never had $1" >&2
  return 1
}

echo "1. the first admin, with the setup token"
curl -sS --fail-with-body -o /dev/null -H "Content-Type: application/json" --data-binary @- "$url/admin/v1/setup" \
  <<<"{\"token\":\"$token\",\"name\":\"$name\",\"password\":\"$password\"}"
if [ -z "${ADMIN_PASSWORD:-}" ]; then echo "   $name has the password $password"; fi

echo "2. logging in"
access=$(curl -sS --fail-with-body -H "Content-Type: application/json" --data-binary @- "$url/admin/v1/sessions" \
  <<<"{\"name\":\"$name\",\"password\":\"$password\"}" | member access_token)

echo "3. a source: its address and its secret are what one pastes at GitHub"
source=$(ask POST /admin/v1/sources '{"host":"github","name":"acme on GitHub"}')
id=$(member id <<<"$source") path=$(member path <<<"$source") secret=$(member secret <<<"$source")
key=${path##*/}
echo "   $url$path"

echo "4. watching live, and deliveries that GitHub would send, signed with that secret"
curl -sSN --max-time 60 -H @<(printf 'Authorization: Bearer %s\n' "$access") "$url/sse/monitor" >"$work/live" &
live=$!
for _ in $(seq 50); do if grep -q '^event: snapshot' "$work/live"; then break; fi; sleep 0.2; done
PIPECAST_WEBHOOKS__GITHUB__SECRET=$secret "$pipecast" simulate --url "$url" --source "$path" --rate 20 --count 60 --quiet

echo "5. seen live"
for _ in $(seq 50); do if grep -q '^event: status_change' "$work/live"; then break; fi; sleep 0.2; done
grep -m1 '^data: .*"status_change"' "$work/live" | sed 's/^data: /   /'
kill "$live" 2>/dev/null || true
live=
echo "   the source has heard from GitHub at $(until_there last_delivery_at "/admin/v1/sources/$id")"

echo "6. found in the ledger"
delivery=$(until_there id "/admin/v1/deliveries?host=github&source=$key&outcome=applied&limit=1")
echo "   $delivery, $(ask GET "/admin/v1/deliveries/$delivery" | member event)"

echo "7. replayed"
replay=$(ask POST "/admin/v1/deliveries/$delivery/replay" | member replay_id)
until_there id "/admin/v1/deliveries?replay_of=$delivery&limit=1" >/dev/null
echo "   $replay, $(ask GET "/admin/v1/deliveries/$replay" | member outcome)"

echo "8. who did what"
ask GET "/admin/v1/audit?limit=3" | tr '{' '\n' | awk -F'"action":"' 'NF > 1 { sub(/".*/, "", $2); print "   " $2 }'

echo "9. logging out"
ask DELETE /admin/v1/sessions/current
echo "done: open $url/manage in a browser and sign in as $name"

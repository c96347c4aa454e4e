#!/usr/bin/env bash
# Exchanges or ends what Pipecast lets anybody in with, over the API alone. What else there is to exchange, and in which order, stands in
# operations.md, "Rotating everything".
#
#   docs/rotate-everything.sh sources [HOURS]   another secret for every source; prints them. The one before is believed for HOURS, 0 unless said
#   docs/rotate-everything.sh target ID         another address for a target, read from standard input; without ID it prints which there are
#   docs/rotate-everything.sh tokens            ends every token of every program
#   docs/rotate-everything.sh factors           takes every second factor away; their owners set up another one
#   docs/rotate-everything.sh sessions          ends every session, the one of this command last
#
# ADMIN_NAME and ADMIN_PASSWORD say who does it, an admin, and ADMIN_CODE is a code of their second factor where they have one. URL says where it
# listens, http://127.0.0.1:8080 unless set. Needs bash and curl. No secret is an argument of a program, where everybody on the machine could see it.
set -euo pipefail

what=${1:?sources, target, tokens, factors or sessions}
url=${URL:-http://127.0.0.1:8080}
access=
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# ask METHOD PATH [BODY]: prints the answer, or says why there is none. Waits where that is asked for.
ask() {
  local status arguments=(-sS -X "$1" -o "$work/answer" -w '%{http_code}' -H "Accept: application/json" -H "If-Match: *")
  if [ $# -gt 2 ]; then arguments+=(-H "Content-Type: application/json" --data-binary @-); fi
  while :; do
    : >"$work/answer"
    status=$(printf '%s' "${3-}" | curl "${arguments[@]}" -H @<(printf 'Authorization: Bearer %s\n' "$access") "$url/admin/v1$2") || return 1
    case $status in
    2??) cat "$work/answer"; return ;;
    429) sleep 2 ;;
    *) echo "rotate-everything: $1 $2 was refused: $(cat "$work/answer")" >&2; return 1 ;;
    esac
  done
}
# quoted TEXT: as JSON has it.
quoted() { local text=${1//\\/\\\\}; printf '"%s"' "${text//\"/\\\"}"; }
# member NAME: the first text or number of that name in the JSON on standard input.
member() { tr ',{}' '\n\n\n' | awk -v name="\"$1\":" 'index($0, name) == 1 && !found { $0 = substr($0, length(name) + 1); gsub(/"/, ""); print; found = 1 }'; }
# ids PATH: the ids of everything in a list, one a line.
ids() {
  local page cursor='' more='?'
  if [[ $1 == *\?* ]]; then more='&'; fi
  while :; do
    page=$(ask GET "$1${more}fields=id&limit=200${cursor:+&cursor=$cursor}") || return 1
    tr ',{}' '\n\n\n' <<<"$page" | awk 'index($0, "\"id\":") == 1 { gsub(/"id":|"/, ""); print }'
    cursor=$(member next_cursor <<<"$page")
    if [ -z "$cursor" ] || [ "$cursor" = null ]; then return; fi
  done
}
# everybody: the ids of all users, whoever does this last: it ends their session.
everybody() {
  local own
  own=$(ask GET /me | member user_id) || return 1
  ids /users | awk -v own="$own" '$0 != own' && echo "$own"
}

login="{\"name\":$(quoted "${ADMIN_NAME:?the name of an admin}"),\"password\":$(quoted "${ADMIN_PASSWORD:?their password}")"
login+="${ADMIN_CODE:+,\"code\":$(quoted "$ADMIN_CODE")}}"
access=$(curl -sS --fail-with-body -H "Content-Type: application/json" --data-binary @- "$url/admin/v1/sessions" <<<"$login" | member access_token)

case $what in
sources)
  all=$(ids '/sources?managed=true')
  for id in $all; do
    made=$(ask POST "/sources/$id/secrets" "{\"overlap_hours\":${2:-0}}")
    echo "$url$(member path <<<"$made") $(member secret <<<"$made")"
  done
  ;;
target)
  if [ $# -lt 2 ]; then
    ask GET '/notification-targets?fields=id,name,kind,url_host&limit=200'
    echo
  else
    read -r address
    ask PATCH "/notification-targets/$2" "{\"url\":$(quoted "$address")}" | member url_host
  fi
  ;;
tokens)
  all=$(ids '/tokens?of=all')
  for id in $all; do ask DELETE "/tokens/$id"; done
  echo "ended: $(wc -w <<<"$all")"
  ;;
factors)
  all=$(everybody)
  for id in $all; do
    if [ "$(ask GET "/users/$id" | member has_second_factor)" = true ]; then
      ask DELETE "/users/$id/second-factor"
      echo "user $id has none any more"
    fi
  done
  ;;
sessions)
  all=$(everybody)
  for id in $all; do ask DELETE "/users/$id/sessions"; done
  echo "ended: those of $(wc -w <<<"$all") users"
  ;;
*)
  echo "rotate-everything: there is no $what" >&2
  exit 2
  ;;
esac

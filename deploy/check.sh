#!/usr/bin/env bash
# What can be known of docker-compose.yml, frontend-proxy.conf, the unit and the Dockerfile without a container engine: that the compose
# specification, nginx and systemd understand them, and that they keep to what the operations page promises.
set -euo pipefail
cd "$(dirname "$0")/.."
missing() { echo "deploy/check.sh: $*" >&2; exit 1; }
command -v nginx >/dev/null || missing "needs nginx; on Debian: apt-get install nginx-light"
command -v openssl >/dev/null || missing "needs openssl"
command -v python3 >/dev/null || missing "needs Python 3 with venv; on Debian: apt-get install python3-venv"

tools=target/deploy-check
if [ ! -x "$tools/bin/python" ] || ! "$tools/bin/python" -c 'import compose_spec, yaml' 2>/dev/null; then
  python3 -m venv "$tools"
  "$tools/bin/pip" install --quiet --disable-pip-version-check compose-spec==0.2.1 pyyaml==6.0.3
fi
"$tools/bin/python" deploy/check-compose.py docker-compose.yml
"$tools/bin/python" deploy/check-compose.py docker-compose.yml deploy/proxy/tls/compose.yml

room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
mkdir -p "$room/here" "$room/run"
cp frontend-proxy.conf deploy/proxy/nginx.conf "$room/"
cp deploy/proxy/compose/listen.conf "$room/here/"
# No name of a container is known here, and looking names up again needs nginx 1.27.3 or newer.
sed -E 's/ resolve//; s/(realtime-[0-9]+|admin):/127.0.0.1:/' deploy/proxy/compose/upstreams.conf >"$room/here/upstreams.conf"
nginx -t -q -p "$room/run" -c "$room/nginx.conf"
# The same with TLS, for which a certificate has to be there.
cp deploy/proxy/tls/*.conf "$room/here/"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ci.example.org \
  -keyout "$room/here/key.pem" -out "$room/here/certificate.pem" 2>/dev/null
nginx -t -q -p "$room/run" -c "$room/nginx.conf"
# The unit, where systemd is at hand to read it; the program need not be installed.
if command -v systemd-analyze >/dev/null; then
  sed 's#/usr/local/bin/pipecast#/bin/true#' deploy/pipecast.service >"$room/pipecast.service"
  said=$(systemd-analyze verify "$room/pipecast.service" 2>&1 | grep -F pipecast.service || true)
  [ -z "$said" ] || missing "$said"
fi
echo "deployment files: understood by the compose specification and by nginx"

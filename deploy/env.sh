#!/usr/bin/env bash
# Makes .env for docker-compose.yml with passwords that nobody else has. One that exists is left as it is: the volumes know its passwords.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 077
# A key of pipecast: 32 random bytes.
sealing() { head -c 32 /dev/urandom | base64; }
if [ -e .env ]; then
  if ! grep -q '^SEALING_SECRET=' .env; then
    echo "SEALING_SECRET=$(sealing)" >>.env
    echo "deploy/env.sh: added SEALING_SECRET to .env"
  fi
  exit 0
fi
# Hexadecimal, because they stand in URLs.
secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
cat >.env.new <<END
# Passwords of the servers of docker-compose.yml. Keep a copy where you keep backups, and nothing of it in a repository.
POSTGRES_PASSWORD=$(secret)
REDIS_PASSWORD=$(secret)
RABBITMQ_PASSWORD=$(secret)
# What secrets in the database are sealed with. Keep its copy apart from that of the database.
SEALING_SECRET=$(sealing)
# What Git hosts sign their deliveries with: paste them into the hook's settings.
GITHUB_WEBHOOK_SECRET=$(secret)
GITLAB_WEBHOOK_SECRET=$(secret)
# Where the proxy listens on this machine.
PIPECAST_BIND=127.0.0.1
PIPECAST_PORT=8080
# Whoever reaches it may read everything. "loopback" instead: whoever signs in. Set that, or put access control in front, before you open it.
PIPECAST_ANONYMOUS_READING=everyone
# What browsers show for it, exactly: nobody signs in under another name. false once that begins with https://, and only then.
PIPECAST_PUBLIC_URL=http://127.0.0.1:8080
PIPECAST_PLAIN_HTTP=true
END
mv .env.new .env
echo "deploy/env.sh: wrote .env with fresh passwords"

#!/usr/bin/env bash
# Makes .env for docker-compose.yml with passwords that nobody else has. One that exists is left as it is: the volumes know its passwords.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -e .env ]; then
  exit 0
fi
# Hexadecimal, because they stand in URLs.
secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
umask 077
cat >.env.new <<END
# Passwords of the servers of docker-compose.yml. Keep a copy where you keep backups, and nothing of it in a repository.
POSTGRES_PASSWORD=$(secret)
REDIS_PASSWORD=$(secret)
RABBITMQ_PASSWORD=$(secret)
# What Git hosts sign their deliveries with: paste them into the hook's settings.
GITHUB_WEBHOOK_SECRET=$(secret)
GITLAB_WEBHOOK_SECRET=$(secret)
# Where the proxy listens on this machine. Whoever reaches it may read everything: put access control in front before you open it.
PIPECAST_BIND=127.0.0.1
PIPECAST_PORT=8080
END
mv .env.new .env
echo "deploy/env.sh: wrote .env with fresh passwords"

# Every target is one line of `make help`. The recipes are short; what is longer lies in deploy/ and tests/.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PORT ?= 8080
SIMULATE ?= 1
MINUTES ?= 3
export PORT SIMULATE MINUTES SEED

.PHONY: help run up cluster test check page bench perf across broker redis rolling torture prove coverage
help: ## Print this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

run: ## Build the page and the release binary, serve on http://127.0.0.1:8080 with a simulated forge (SIMULATE=0 without)
	@deploy/run.sh

up: ## Start docker-compose.yml: two edges, two workers and an admin on PostgreSQL, Redis and RabbitMQ behind nginx (makes .env first)
	@deploy/env.sh && docker compose up --build --detach --wait

cluster: ## Start the same topology as processes here, on servers of their own, fed with a simulation; no containers needed
	@deploy/cluster.sh

test: ## Everything that must pass: format, lints, docs, tests on every backend, the page in a real browser, torture for two minutes
	@tests/run.sh

check: ## The quick part of `make test`: format and lints
	@cargo fmt --check && cargo clippy --workspace --all-targets -- -D warnings

page: ## Build web/dist, the page that the binary carries
	@deploy/page.sh

bench: ## Measure against floors in the same run and print ratios (about 20 minutes)
	@deploy/bench.sh

perf: ## Ask every endpoint through nginx and the topology; p50, p95 and p99 beside what the earlier services promised
	@deploy/scene.sh perf

across: ## From a POST at one edge to the frame at another, and what fan-out costs from 1 to 4 edges and 100 to 10,000 sockets
	@deploy/scene.sh across

broker: ## RabbitMQ away for five minutes at 100 deliveries a second: all are answered in time, none is lost
	@deploy/scene.sh broker-down

redis: ## Redis killed under 1,000 sockets, back empty and back with old data: nobody sees anything stale
	@deploy/scene.sh redis-empty

rolling: ## All edges restarted in turn under 2,000 sockets and load: no request fails, no event is lost
	@deploy/scene.sh rolling

torture: ## Break every process and server of that topology while hosts deliver, and lose nothing; MINUTES=30, SEED=… for the same again
	@deploy/torture.sh

prove: ## The long proofs: the API under schemathesis, fifty kills of one process five times over, the scenes above, half an hour of torture (about 70 minutes)
	@deploy/prove.sh

coverage: ## Line coverage of the workspace, printed
	@deploy/coverage.sh

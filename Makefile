# Everything that a person does with this project. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
CARGO ?= cargo

.PHONY: help build test check bench dist soak kafka

help: ## What can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## The release build
	$(CARGO) build --release

test: ## Install what the tests need, then run every test
	@scripts/install-test-needs
	$(CARGO) test --workspace --no-fail-fast

check: ## Format, lints and the tests that need nothing but Rust; downloads nothing
	$(CARGO) fmt --all --check
	$(CARGO) clippy --offline --workspace --all-targets -- -D warnings
	$(CARGO) test --offline --workspace --exclude tidemill --exclude tidemill-kafka-rig --exclude tidemill-store-postgres --exclude tidemill-store-conformance --exclude tidemill-wasm
	$(CARGO) test --offline -p tidemill-store-conformance --test memory --test sqlite
	$(CARGO) test --offline -p tidemill --bins --test run_once --test serve --test logs --test examples --test flow --test limits --test schedules --test next --test backfills --test import --test retention --test tidy --test kills

soak: ## The long form of the kill -9 tests: 200 of a server on each database, 100 between two commits, 100 of workers and of PostgreSQL; and a snapshot held open for ten minutes
	TIDEMILL_ONCE_ROUNDS=$${TIDEMILL_ONCE_ROUNDS:-100} $(CARGO) test --release -p tidemill --test sql exactly_once -- --nocapture
	TIDEMILL_KILL_ROUNDS=$${TIDEMILL_KILL_ROUNDS:-200} $(CARGO) test --release -p tidemill --test kills --test kills_postgres --test stream_kills --test stream_kills_postgres -- --nocapture --test-threads 1
	$(CARGO) build --release
	target/release/tidemill-bench held

kafka: ## A Kafka broker to play with, on 127.0.0.1:9092, until Ctrl-C
	@scripts/kafka/broker

bench: ## Compare with make, ninja and Graphile Worker (npm), in one run
	$(CARGO) build --release
	target/release/tidemill-bench $(BENCH)

dist: ## The one binary, as small and fast as it gets, in target/dist
	$(CARGO) build --profile dist --bin tidemill
	@ls -l target/dist/tidemill

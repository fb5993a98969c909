# Everything that a person does with this project. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
CARGO ?= cargo

.PHONY: help build test check bench dist soak kafka simulate mutants answers

help: ## What can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## The release build
	$(CARGO) build --release

test: ## Install what the tests need, then run every test
	@scripts/install-test-needs
	$(CARGO) test --workspace --features s3 --all-targets --no-fail-fast

check: ## Format, lints and the tests that need nothing but Rust; downloads nothing
	$(CARGO) fmt --all --check
	$(CARGO) clippy --offline --workspace --features s3 --all-targets -- -D warnings
	$(CARGO) test --offline --workspace --exclude tidemill --exclude tidemill-kafka-rig --exclude tidemill-archive --exclude tidemill-store-postgres --exclude tidemill-store-conformance --exclude tidemill-wasm
	$(CARGO) test --offline -p tidemill-store-conformance --test memory --test sqlite
	$(CARGO) test --offline -p tidemill --bins --test run_once --test serve --test logs --test examples --test flow --test limits --test schedules --test next --test backfills --test import --test retention --test tidy --test triggers --test kills

simulate: ## More of the simulation: make simulate [SEED=1] [STEPS=100000000]
	TIDEMILL_SEED=$${SEED:-1} TIDEMILL_STEPS=$${STEPS:-100000000} $(CARGO) test -p tidemill-scheduler --test simulation -- --nocapture

answers: ## Ask Apache Airflow again how the generated DAGs end (pip, some ten minutes): make answers [SEED=2026]
	python3 -m venv target/airflow
	target/airflow/bin/pip install --quiet apache-airflow==3.3.2
	target/airflow/bin/python -B tests/airflow/record.py $${SEED:-2026}

mutants: ## Does a test see each small change of the scheduler? make mutants [SHARD=0/1] [FILE=scheduler/src/rule.rs] (cargo install cargo-mutants)
	TIDEMILL_STEPS=20000 $(CARGO) mutants --package tidemill-scheduler --jobs 1 --shard $${SHARD:-0/1} $${FILE:+--file $$FILE} --timeout 120 --output target

soak: ## The long form of the kill -9 tests: 200 of a server on each database, 100 between two commits, 100 of workers and of PostgreSQL; a burst of 1,000,000 records; a task that prints 10 GB; and a snapshot held open for ten minutes
	TIDEMILL_ENDLESS_BYTES=$${TIDEMILL_ENDLESS_BYTES:-10000000000} $(CARGO) test --release -p tidemill-executor --test logs endless -- --nocapture
	TIDEMILL_ONCE_ROUNDS=$${TIDEMILL_ONCE_ROUNDS:-100} $(CARGO) test --release -p tidemill --test sql exactly_once -- --nocapture
	TIDEMILL_KILL_ROUNDS=$${TIDEMILL_KILL_ROUNDS:-200} $(CARGO) test --workspace --features s3 --test kills --test kills_postgres --test stream_kills --test stream_kills_postgres -- --nocapture --test-threads 1 # a release build has no places at which it ends itself
	TIDEMILL_AWAY_SECONDS=$${TIDEMILL_AWAY_SECONDS:-60} $(CARGO) test --release -p tidemill --test streams a_broker_that_dies
	TIDEMILL_BURST=$${TIDEMILL_BURST:-1000000} $(CARGO) test --release -p tidemill --test streams --test streams_postgres -- --nocapture --test-threads 1 a_burst
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

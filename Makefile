# What a newcomer types. Each first makes the machine ready (scripts/setup, quick when it is) and leaves everything it
# builds in a cache folder, ${DOVETAIL_CACHE:-$HOME/.cache/dovetail}.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
READY = scripts/setup; source "$${DOVETAIL_CACHE:-$$HOME/.cache/dovetail}/env"
READY_FOR_TESTS = scripts/setup tests; source "$${DOVETAIL_CACHE:-$$HOME/.cache/dovetail}/env"
READY_FOR_LINT = scripts/setup lint; source "$${DOVETAIL_CACHE:-$$HOME/.cache/dovetail}/env"
# A network of this many shards for `make devnet`.
SHARDS ?= 4
# How long `make fuzz` stays with each target.
SECONDS ?= 60

.PHONY: help demo demo-bridge devnet test lint manifests operator conformance world reliability bench bench-quick bench-sweep soak fuzz setup

help:
	@sed -n 's/^## //p' Makefile

## make demo     build, start an embedded network, show what it can do, check it against one EVM
demo:
	@$(READY)
	cargo build -p dovetail
	exec "$$CARGO_TARGET_DIR/debug/dovetail" demo

## make demo-bridge   build, start a network, an anvil and a bridge, take a token over and back, compare both ledgers
demo-bridge:
	@$(READY_FOR_TESTS)
	cargo build -p dovetail
	exec "$$CARGO_TARGET_DIR/debug/dovetail" demo-bridge

## make devnet   build, start a network of SHARDS=4 shards and leave it up; ctrl-C ends it
devnet:
	@$(READY)
	cargo build -p dovetail
	exec "$$CARGO_TARGET_DIR/debug/dovetail" devnet --shards $(SHARDS)

## make test     all tests: crates, scenarios, then end to end with real clients
test:
	@$(READY_FOR_TESTS)
	scripts/test

## make manifests  render k8s/ with a new network, hold it against schemas and rules, read its settings as pods do
manifests:
	@$(READY_FOR_LINT)
	cargo build -p dovetail
	scripts/manifests

## make operator   what docs/operator.md has an operator do and needs no cluster, done on loopback; half a minute
operator:
	@$(READY)
	cargo build -p dovetail
	scripts/operator

## make lint     formatting, clippy, licences and advisories, protobuf
lint:
	@$(READY_FOR_LINT)
	scripts/lint

## make conformance   state tests and real blocks over many shards at every placement, compared with one EVM; hours; writes docs/conformance.md
conformance:
	@$(READY)
	cargo build -p dovetail
	scripts/state-tests
	scripts/blocks
	scripts/mutations

## make world    networks under seeds: faults, a crash at every write, broken rules that must be seen, the model; an hour
world:
	@$(READY)
	scripts/world

## make fuzz     every fuzz target for SECONDS=60 seconds; says what to install where nightly or cargo-fuzz is missing
fuzz:
	@$(READY)
	scripts/fuzz $(SECONDS)

## make reliability   kill, stop and cut off real processes under load; prints how long they take to recover (docs/reliability.md)
reliability:
	@$(READY)
	cargo build -p dovetail
	cargo run -q -p dovetail-tests --bin reliability

## make bench    every bench with its baselines in the same run, a minute for each row and reads over a million transactions (release build)
bench:
	@$(READY)
	cargo build --release -p dovetail -p dovetail-benches
	exec "$$CARGO_TARGET_DIR/release/dovetail-benches"

## make bench-quick   the main rows for 10 s each, with their baselines: three minutes
bench-quick:
	@$(READY)
	cargo build --release -p dovetail -p dovetail-benches
	DOVETAIL_BENCH_SECONDS=10 DOVETAIL_BENCH_WARM_SECONDS=4 exec "$$CARGO_TARGET_DIR/release/dovetail-benches" quick

## make bench-sweep   rate and latency over users, cross-shard share, participants and skew: tables and plots into docs/performance; ten minutes
bench-sweep:
	@$(READY)
	cargo build --release -p dovetail -p dovetail-benches
	DOVETAIL_BENCH_SECONDS=15 DOVETAIL_BENCH_WARM_SECONDS=5 DOVETAIL_BENCH_USERS=64 exec "$$CARGO_TARGET_DIR/release/dovetail-benches" sweep docs/performance

## make soak     a million transactions over two shards that keep ten seconds of what they did, and what is on their disks; a quarter of an hour
soak:
	@$(READY)
	cargo build --release -p dovetail -p dovetail-benches
	exec "$$CARGO_TARGET_DIR/release/dovetail-benches" soak

## make setup    only make the machine ready
setup:
	@$(READY)

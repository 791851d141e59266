# Voxgate: run it, test it, lint it, measure it, look for input that breaks it. Each target installs what it needs.

SHELL := /bin/bash
BUILD_PACKAGES := build-essential cmake pkg-config
TEST_PACKAGES := $(BUILD_PACKAGES) postgresql python3 python3-venv espeak-ng ffmpeg sox
BENCH_PACKAGES := $(BUILD_PACKAGES) python3 nginx libnginx-mod-http-js haproxy wrk

.PHONY: run test lint bench fuzz fmt

run:
	@scripts/packages $(BUILD_PACKAGES)
	cargo run --locked --bin voxgate -- serve

test:
	@scripts/packages $(TEST_PACKAGES)
	@tests/setup
	cargo test --locked --workspace

lint:
	@scripts/packages $(BUILD_PACKAGES) python3
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	scripts/arrows

bench:
	@scripts/packages $(BENCH_PACKAGES)
	cargo bench --locked -p policies --bench policies
	cargo bench --locked -p audio --bench audio
	cargo build --locked --release --bin voxgate
	benches/run

fuzz:
	@scripts/packages $(BUILD_PACKAGES)
	fuzz/run

fmt:
	cargo fmt --all

# Cargo, npm and the scripts in .ci know what is out of date; these targets only name what to do.
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)

.PHONY: help demo test soak pkg bench lint clean
.DEFAULT_GOAL := help

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-6s %s\n", $$1, $$2}' Makefile

demo: ## publish five plans, evaluate natively and in WebAssembly, serve dashboard and playground, run a rollout (DEMO_EXIT=1: then stop)
	@.ci/install rust npm-package prometheus
	cargo build --features control
	.ci/pkg --any-size
	node www/demo.mjs

test: ## every check: lint, Rust, browser, JavaScript, parity of 100,000 users, fuzzing for seconds
	@.ci/install rust nightly wasm-bindgen wasm-pack cargo-fuzz chromium prometheus npm strace moto jq valgrind
	@.ci/steps test

soak: ## what takes long: parity of 1,000,000 users, flat memory, fuzzing for 10 minutes each
	@.ci/install rust nightly cargo-fuzz chromium prometheus npm strace moto
	@.ci/steps soak

pkg: ## build the npm package into pkg/, print its sizes and check them
	@.ci/install rust npm-package
	@.ci/pkg

# What each part of `make bench` takes.
PART ?= size javascript native server
BENCH_size = rust npm-package benches
BENCH_javascript = $(BENCH_size) chromium
BENCH_native = rust node
BENCH_server = rust node wrk

bench: ## measure sizes, JavaScript and Rust beside other systems, the server under load (PART=native: that alone)
	@.ci/install $(or $(foreach part,$(PART),$(BENCH_$(part))),node)
	@PART="$(PART)" .ci/steps bench

lint: ## formatting, clippy, rustdoc and TypeScript checks
	@.ci/install rust npm
	@.ci/steps lint

clean: ## remove everything built
	rm -rf target pkg demo pkg-templates/node_modules pkg-templates/dist tests/js/node_modules www/node_modules

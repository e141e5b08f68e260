# One target for every chore; CI runs the same.

.PHONY: run simulate test test-unit test-functional test-emulation test-real test-servers faults soak bench scale instructions pgo lint package lint-packaging format docs config-docs

run: ## serve on 127.0.0.1:8080 with the embedded store
	cargo run -- --config config/default.toml

test: ## all tests; installs redis-server, memcached, tarantool, promtool, nginx, haproxy, curl, chromium and its driver if they are missing
	scripts/need
	cargo test --locked

test-unit: ## tests beside the code: pure parts, and actors with test doubles
	cargo test --locked --lib

test-functional: ## the method handler through the actors, over HTTP and in a browser, and the command line
	scripts/need redis-server tarantool chromium chromedriver promtool nginx haproxy curl
	cargo test --locked --test it -- functional:: cli::

test-emulation: ## a misbehaving store and network inside the test process
	cargo test --locked --test it -- emulation::
	cargo test --locked -p scoring-api-testkit -- door proxy resp

test-real: ## real redis-server, memcached and tarantool processes, killed and stopped
	scripts/need redis-server memcached tarantool
	cargo test --locked --test it -- real::
	cargo test --locked -p scoring-api-testkit -- redis memcached tarantool

test-servers: ## the tests of real servers on Redis 6.2 and Valkey 9.1, whose binaries come from PyPI, so CI does not run it
	scripts/need redis-server
	scripts/test-servers

simulate: ## run the actors among faults that are drawn from new seeds, in simulated time; SECONDS=60, or SEED=… for one run
	cargo run --locked --profile simulation -p scoring-api-simulation -- $(if $(SEED),--seed $(SEED),--seconds $(or $(SECONDS),60))

faults: ## inject the faults around the release binary row by row, measure it, and write docs/faults.md; 4 minutes
	bench/install service
	cargo bench --locked --bench faults

soak: ## random faults for 10 minutes; SOAK_SECONDS=60 for less, SOAK_SEED=… to repeat
	bench/install service
	cargo bench --locked --bench faults -- soak

bench: ## compare the service with its peers, and write docs/benchmarks.md; BENCH_ROUNDS=1 BENCH_SECONDS=1 for a trial run
	bench/install
	cargo bench --locked --bench peers

scale: ## measure how the cost grows, and calculate the capacity for a million calls a second: docs/scale.md, docs/capacity.md; SCALE_SECONDS=1 for a trial run
	bench/install service
	cargo bench --locked --bench peers -- scale

instructions: ## count the instructions of each part of a call, and report which grew; installs valgrind if it is missing
	scripts/need valgrind
	cargo bench --locked --bench micro -- instructions

pgo: ## build the profile-guided release binary: target/pgo/scoring-api; 9 minutes
	scripts/pgo

lint: ## format, clippy, documentation, the direction of imports, and plain words
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --locked --no-deps --document-private-items
	scripts/layers
	scripts/prose

package: ## package the crates of crates/ as crates.io gets them, and build the packages
	cargo package --locked --allow-dirty --package actix-supervise --package scoring-client

lint-packaging: ## hadolint, and the schemas of Kubernetes, compose files, workflows and systemd; needs PyPI, so CI does not run it
	scripts/lint-packaging

format: ## format the sources
	cargo fmt --all

docs: ## open the library's documentation
	cargo doc --no-deps --document-private-items --open

config-docs: ## write docs/configuration.md from config/default.toml
	UPDATE_DOCS=1 cargo test --locked --test it -- packaging::configuration

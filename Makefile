# Development tasks; `make help` lists them.

# Adds rustup's folder for shells without it.
export PATH := $(PATH):$(HOME)/.cargo/bin

# A first build keeps nothing for the next one: it is 3 % shorter.
ifeq ($(wildcard target/debug),)
export CARGO_INCREMENTAL = 0
endif

# Settings of the allocator of release builds.
include deploy/allocator.env
export JEMALLOC_SYS_WITH_MALLOC_CONF

CARGO = @command -v cargo >/dev/null || { echo "cargo not found; install Rust (rustup, or your system's package)"; exit 1; }; cargo

.DEFAULT_GOAL := help
.PHONY: help demo demo-stop run release test fmt lint bench-build bench bench-profile fairness fleet flood hostile scale dead-letters simulate-seeds crash cluster compat soak long-waits crowds fuzz fuzz-api dist clean

help: ## lists these targets
	@sed -n 's/^\([a-z-]*\): .*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: ## runs the worker with a broker and a simulated Dynamics 365; KEEP=1 leaves everything running; WORKERS=3 runs three on PostgreSQL and kills one
	@echo "demo: building (takes some minutes the first time)"
	$(CARGO) --version >/dev/null
	@bash deploy/broker.sh ensure & cargo build --bins --example demo; built=$$?; wait; exit $$built
	$(CARGO) run --quiet --example demo -- $(if $(WORKERS),--workers $(WORKERS),$(if $(KEEP),--keep))

demo-stop: ## stops what `make demo KEEP=1` left running
	$(CARGO) run --quiet --example demo -- stop

run: ## runs the worker with config/handoffd.toml
	$(CARGO) run --bin handoffd -- --config config/handoffd.toml run

release: ## builds the worker and the simulator into target/release as they are meant to run
	$(CARGO) build --release --workspace --bins --features handoffd/jemalloc

test: ## runs all checks: format, lints, tests, deployment files, the demo
	@bash tests/run.sh

fmt: ## formats the sources
	$(CARGO) fmt

lint: ## checks format and lints
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings

bench-build:
	$(CARGO) build --release --bin dynamics-simulator
	$(CARGO) bench --features jemalloc --no-run --bench throughput
	@bash deploy/broker.sh ensure

bench: bench-build ## measures events per second, compared with a bare loop (release build); EVENTS=10000 RUNS=3 LATENCIES=0,100 KEYS=1000000 STORE=postgres PROGRAMS="minimum handoffd"
	@$(if $(filter postgres,$(STORE)),bash deploy/postgres.sh ensure)
	@HANDOFFD_BROKER_LIFE=7200 bash deploy/broker.sh run -- $(if $(filter postgres,$(STORE)),bash deploy/postgres.sh run --) cargo bench --features jemalloc --bench throughput

bench-profile: bench-build ## counts the worker's instructions per event and their shares by callgrind (release build); EVENTS=2000
	@command -v valgrind >/dev/null || apt-get install -y -q --no-install-recommends valgrind
	@HANDOFFD_BROKER_LIFE=7200 bash deploy/broker.sh run -- cargo bench --features jemalloc --bench throughput -- profile

fairness: bench-build ## measures how 2,000 events of a troubled organization delay 200 of another (release build); RUNS=3 LATENCY=75
	@HANDOFFD_BROKER_LIFE=7200 bash deploy/broker.sh run -- cargo bench --features jemalloc --bench throughput -- fairness

fleet: bench-build ## compares three workers on PostgreSQL with one (release build); EVENTS=3000 RUNS=3 LATENCY=100
	@bash deploy/postgres.sh ensure
	@HANDOFFD_BROKER_LIFE=7200 bash deploy/broker.sh run -- bash deploy/postgres.sh run -- cargo bench --features jemalloc --bench throughput -- fleet

flood: bench-build ## measures how hostile HTTP clients slow the events of two organizations (release build); EVENTS=2500 RUNS=3 LATENCY=100
	@HANDOFFD_BROKER_LIFE=7200 bash deploy/broker.sh run -- cargo bench --features jemalloc --bench throughput -- flood

hostile: bench-build ## measures what an environment's refusal of 1 MiB with 50,000 distinct words costs (release build); EVENTS=50
	@HANDOFFD_BROKER_LIFE=7200 bash deploy/broker.sh run -- cargo bench --features jemalloc --bench throughput -- hostile

scale: bench-build ## measures pages, calls and commands at 1,000 organizations, 100,000 waiting events and 100,000 dead letters (release build); RUNS=3
	@HANDOFFD_BROKER_LIFE=7200 bash deploy/broker.sh run -- cargo bench --features jemalloc --bench throughput -- scale

dead-letters: ## scans COUNT=100000 dead letters and reports time and memory
	$(CARGO) test --test it --no-run
	@bash deploy/broker.sh ensure
	@COUNT=$(or $(COUNT),100000) bash deploy/broker.sh run -- cargo test --quiet --test it dead_letter_commands::bench -- --ignored --nocapture

simulate-seeds: ## simulates N=20000 seeded runs of the whole worker with broker, store and CRM in memory
	@SIMULATION_SEEDS=$(or $(N),20000) cargo test --quiet -p handoffd-engine --test simulation every_seed -- --nocapture

crash: ## kills the worker at every point between two effects, and proves that the disk comes before the ack
	@bash tests/crash.sh

cluster: ## kills, cuts off and restarts nodes of a RabbitMQ cluster of three under load, and checks each event; FILTER=partition
	@bash deploy/broker.sh ensure
	@bash deploy/postgres.sh ensure
	$(CARGO) test --test it --no-run
	@cargo test --quiet --test it cluster::$(FILTER) -- --ignored --nocapture --test-threads 1

compat: ## runs the broker tests on RabbitMQ 3.10, 4.0 and 4.3 (root); VERSIONS="4.0 4.3" FILTER="rabbit story"
	@VERSIONS="$(VERSIONS)" FILTER="$(FILTER)" MIRROR="$(MIRROR)" bash tests/compat.sh

crowds: ## tests 60,000 events of a blocked organization, and 200 hanging organizations with 500 events of 20 KB each (release build)
	@bash deploy/broker.sh ensure
	$(CARGO) test --release --features jemalloc --test it --no-run
	@HANDOFFD_BROKER_LIFE=0 cargo test --release --features jemalloc --quiet --test it crowds:: -- --ignored --nocapture --test-threads 1

long-waits: ## tests that 40 minutes of throttling and 15 of a pause give nothing up and disturb nothing
	@bash deploy/broker.sh ensure
	@HANDOFFD_BROKER_LIFE=0 $(CARGO) test --quiet --test it long_waits -- --ignored

soak: ## injects failures for MINUTES=10 (RATE=25 events per second, SEED=…, WORKERS=3), then checks each event
	@bash deploy/broker.sh ensure
	@[ "$(or $(WORKERS),1)" = 1 ] || bash deploy/postgres.sh ensure
	$(CARGO) test --test soak --no-run
	@HANDOFFD_BROKER_LIFE=0 MINUTES=$(or $(MINUTES),10) RATE=$(or $(RATE),25) SEED=$(SEED) WORKERS=$(or $(WORKERS),1) \
		ORGANIZATIONS=$(or $(ORGANIZATIONS),$(if $(filter-out 1,$(WORKERS)),30,3)) cargo test --quiet --test soak

fuzz: ## fuzzes the decoders; SECONDS=60 for each
	@bash tests/fuzz/run.sh $(or $(SECONDS),60)

fuzz-api: ## fuzzes the HTTP interface with schemathesis, from its OpenAPI document; EXAMPLES=50 SEED=…
	@bash tests/api-fuzz.sh

dist: ## builds target/dist: executables, tarball, .deb, container context, bill of materials, checksums (release build)
	@bash deploy/dist.sh

clean: ## removes build output
	$(CARGO) clean

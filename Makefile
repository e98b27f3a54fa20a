# Needs python3.11 or newer (with venv) and make, nothing else: no Docker, no Java, no Postgres.
SHELL := /bin/sh
.DEFAULT_GOAL := help
VENV := .venv
PYTHON := $(VENV)/bin/python
PIP_INSTALL := $(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps
PACKAGES := app agents tables web load

.PHONY: help
help: ## Show the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: $(VENV)/local.stamp ## Start a venue on this machine (ARGS="--workers matching=2 --port 8081")
	@exec $(PYTHON) -m app up $(ARGS)

.PHONY: down
down: $(VENV)/local.stamp ## Stop the venue that `make run` started
	@$(PYTHON) -m app down $(ARGS)

.PHONY: clean
clean: $(VENV)/local.stamp ## Remove the venue's data (.matchstream)
	@$(PYTHON) -m app clean $(ARGS)

.PHONY: demo
demo: $(VENV)/local.stamp ## A venue, 5,000 orders, what became of them, and down again
	@exec $(PYTHON) -m app demo $(ARGS)

# Two processes of tests; what shares a venue stays in one of them (tests/conftest.py).
TOGETHER := -n 2 --dist loadgroup --no-loadscope-reorder

.PHONY: test
test: lint ## Lint and run all tests; they start the servers themselves: 8 minutes
	@$(PYTHON) -m pytest -n 2 $(TOGETHER) $(ARGS)

.PHONY: mutants
mutants: $(VENV)/dev.stamp ## Test the tests: the matching core with mistakes in it, each of which they must notice
	@$(PYTHON) -m tests.matching.mutants $(ARGS)

.PHONY: bench
bench: $(VENV)/dev.stamp ## A short run of each benchmark: core, matching, recovery, stages, pipeline (about 8 minutes)
	@$(PYTHON) -m benchmarks.core --runs 3
	@$(PYTHON) -m benchmarks.matching --orders 200000
	@$(PYTHON) -m benchmarks.recovery --small
	@$(PYTHON) -m benchmarks.sizes --rate 200 --seconds 30
	@$(PYTHON) -m benchmarks.stages --rates 500 1000 2000 --seconds 15
	@$(PYTHON) -m benchmarks.pipeline --seconds 15

# In `make faults` these would do again what they do in `make test`.
CALM := assignment_cases cli one_trade poison verified_fields verify
LONG_FORMS := tests/integration $(CALM:%=--ignore=tests/integration/test_%.py) \
    tests/local/test_servers.py tests/matching/test_flash1.py tests/tables/test_schedules.py
.PHONY: faults
faults: $(VENV)/dev.stamp ## Kill, pause and cut off everything, at length: 16 minutes (`python -m load chaos`: a soak)
	@MATCHSTREAM_LONG=1 $(PYTHON) -m pytest $(TOGETHER) $(LONG_FORMS) $(ARGS)

.PHONY: schedules
schedules: $(VENV)/dev.stamp ## 200,000 random schedules of the recovery protocol (ARGS="--seed 7 --schedules 1000000")
	@$(PYTHON) -m tests.tables.schedules $(ARGS)

.PHONY: lint
lint: $(VENV)/dev.stamp ## Style, types and layers
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy $(PACKAGES)
	@$(VENV)/bin/lint-imports

.PHONY: format
format: $(VENV)/dev.stamp ## Put the code into the one style
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

.PHONY: schemas
schemas: $(VENV)/local.stamp ## Write the JSON Schemas of all messages, and the API's document
	@$(PYTHON) -m app.schemas
	@$(PYTHON) -m web.schemas

# UPGRADE=--upgrade takes newer versions; without it only what pyproject.toml needs changes.
LOCK = $(VENV)/lock/bin/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header --no-annotate
.PHONY: lock
lock: $(VENV)/local.stamp ## Pin all dependencies anew with hashes (UPGRADE=--upgrade: newer versions)
	@test -x $(VENV)/lock/bin/uv || { $(PYTHON) -m venv $(VENV)/lock && $(VENV)/lock/bin/python -m pip install -q uv; }
	@$(LOCK) $(UPGRADE) pyproject.toml --group local --group test --group load --group lint -o requirements/dev.txt
	@$(LOCK) pyproject.toml --group local -c requirements/dev.txt -o requirements/local.txt
	@$(LOCK) pyproject.toml -c requirements/dev.txt -o requirements/app.txt
	@echo jgo | $(LOCK) - -c requirements/dev.txt -o requirements/jars.txt
	@$(PYTHON) app/local/jars.py lock

# The environment, made again only where a requirements file has changed.
$(VENV)/made.stamp:
	@for python in python3.11 python3; do \
	    "$$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	    echo "making $(VENV) with $$("$$python" --version)"; \
	    "$$python" -m venv $(VENV) && touch $@ && exit 0; \
	    echo "$$python cannot make an environment: install its venv package (Debian: python3.11-venv)." >&2; exit 1; \
	done; \
	echo "Matchstream needs Python 3.11 or newer, as python3.11 or python3." >&2; exit 1

# Kafka's jars come beside everything else; the launcher waits for them, and says so.
$(VENV)/jars.stamp: requirements/jars.txt requirements/kafka.txt $(VENV)/made.stamp
	@$(PIP_INSTALL) -r requirements/jars.txt
	@touch $@
	@$(PYTHON) app/local/jars.py >/dev/null 2>&1 &

# And then what makes Kafka's next starts shorter, with what this one leaves of the machine.
$(VENV)/local.stamp: requirements/local.txt $(VENV)/jars.stamp
	@echo "installing the Python packages (the first time about half a minute)"
	@$(PIP_INSTALL) -r requirements/local.txt
	@touch $@
	@$(PYTHON) -m app.local.class_cache >/dev/null 2>&1 &

$(VENV)/dev.stamp: requirements/dev.txt $(VENV)/jars.stamp
	@echo "installing the Python packages for development (the first time about a minute)"
	@$(PIP_INSTALL) -r requirements/dev.txt
	@touch $@
	@$(PYTHON) -m app.local.class_cache >/dev/null 2>&1 &

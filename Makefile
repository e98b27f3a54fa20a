# Needs only python3.11 or newer (with venv) and make: no Docker, no Java, no Postgres.
SHELL := /bin/sh
.DEFAULT_GOAL := help
VENV := .venv
PYTHON := $(VENV)/bin/python
PIP_INSTALL := $(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps
PACKAGES := app agents tables web load
# Otherwise each of the hundreds of processes that the tests start would compile all modules.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## Show the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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
demo: $(VENV)/local.stamp ## Start a venue, send 5,000 orders, show a summary, remove everything
	@exec $(PYTHON) -m app demo $(ARGS)

.PHONY: demo-ui
demo-ui: $(VENV)/local.stamp ## Start a venue with makers and takers for whoever opens its page, until Ctrl-C
	@exec $(PYTHON) -m app demo --ui $(ARGS)

.PHONY: screenshots
screenshots: $(VENV)/dev.stamp ## Write pictures of the page into screenshots/ (needs chromium and chromedriver)
	@$(PYTHON) -m tests.page.screenshots $(ARGS)

# Two processes of tests; the files that use one venue stay in one of them (tests/conftest.py).
TOGETHER := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: test
test: lint ## Lint and run all tests, which start the servers they need: 13 minutes
	@$(PYTHON) -m pytest $(TOGETHER) $(ARGS)

.PHONY: mutants
mutants: $(VENV)/dev.stamp ## Put mistakes into the matching core, one at a time; the tests must notice each
	@$(PYTHON) -m tests.matching.mutants $(ARGS)

.PHONY: bench
bench: $(VENV)/dev.stamp ## Run each benchmark briefly and compare with the targets (quarter of an hour; needs wrk)
	@$(PYTHON) -m benchmarks.report $(ARGS)

.PHONY: bench-full
bench-full: $(VENV)/dev.stamp ## The same with long runs, and a page of results in benchmarks/ (50 minutes; needs wrk)
	@$(PYTHON) -m benchmarks.report --full --write $(ARGS)

# `make faults` skips these: they would only repeat what `make test` does.
CALM := assignment_cases cli one_trade poison verified_fields verify
LONG_FORMS := tests/integration $(CALM:%=--ignore=tests/integration/test_%.py) \
    tests/local/test_servers.py tests/matching/test_flash1.py tests/tables/test_schedules.py
.PHONY: faults
faults: $(VENV)/dev.stamp ## Kill, pause and cut off every part under load: 20 minutes (a soak: `python -m load chaos`)
	@MATCHSTREAM_LONG=1 $(PYTHON) -m pytest $(TOGETHER) $(LONG_FORMS) $(ARGS)

.PHONY: schedules
schedules: $(VENV)/dev.stamp ## Run 200,000 random schedules of the recovery protocol (ARGS="--schedules 1000000")
	@$(PYTHON) -m tests.tables.schedules $(ARGS)

.PHONY: lint
lint: $(VENV)/dev.stamp ## Check style, types and import rules
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy $(PACKAGES)
	@$(VENV)/bin/lint-imports

.PHONY: format
format: $(VENV)/dev.stamp ## Format the code
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

.PHONY: schemas
schemas: $(VENV)/local.stamp ## Write the JSON Schemas of all messages and the API's OpenAPI document
	@$(PYTHON) -m app.schemas
	@$(PYTHON) -m web.schemas

# UPGRADE=--upgrade takes newer versions; without it a pin changes only if pyproject.toml requires it.
LOCK = $(VENV)/lock/bin/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header --no-annotate
.PHONY: lock
lock: $(VENV)/local.stamp ## Pin all dependencies with hashes (UPGRADE=--upgrade: newer versions)
	@test -x $(VENV)/lock/bin/uv || { $(PYTHON) -m venv $(VENV)/lock && $(VENV)/lock/bin/python -m pip install -q uv; }
	@$(LOCK) $(UPGRADE) pyproject.toml --group local --group test --group load --group lint -o requirements/dev.txt
	@$(LOCK) pyproject.toml --group local -c requirements/dev.txt -o requirements/local.txt
	@$(LOCK) pyproject.toml -c requirements/dev.txt -o requirements/app.txt
	@echo jgo | $(LOCK) - -c requirements/dev.txt -o requirements/jars.txt
	@$(PYTHON) app/local/jars.py lock

# The virtual environment; the stamps below update it when their requirements file changes.
$(VENV)/made.stamp:
	@for python in python3.11 python3; do \
	    "$$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	    echo "making $(VENV) with $$("$$python" --version)"; \
	    "$$python" -m venv $(VENV) && touch $@ && exit 0; \
	    echo "$$python cannot make an environment: install its venv package (Debian: python3.11-venv)." >&2; exit 1; \
	done; \
	echo "Matchstream needs Python 3.11 or newer, as python3.11 or python3." >&2; exit 1

# Kafka's jars download in the background; the launcher waits for them, and says so.
$(VENV)/jars.stamp: requirements/jars.txt requirements/kafka.txt $(VENV)/made.stamp
	@$(PIP_INSTALL) -r requirements/jars.txt
	@touch $@
	@$(PYTHON) app/local/jars.py >/dev/null 2>&1 &

# Kafka's class cache, which shortens its next starts, is made in the background at low priority.
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

# What people, the README and CI call. `make setup` happens by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
PACKAGES := services/bridge services/invoker services/edge services/cli
PYTEST_FLAGS ?=
# Examples whose dependencies have to be installed first: the platform does not wait for them.
LATER := $(patsubst %/requirements.txt,%,$(wildcard examples/*/requirements.txt))
EXAMPLES := $(filter-out $(LATER),$(patsubst %/README.md,%,$(wildcard examples/*/README.md)))

.DEFAULT_GOAL := help
.PHONY: help setup run up down test lint bench lock screenshots clean

help: ## what can be asked for
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv with everything in it

$(STAMP): requirements/uv.txt requirements/dev.txt $(PACKAGES:%=%/pyproject.toml)
	@echo "Dialback: setting up $(VENV) (the first time takes about a minute)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Dialback needs Python 3.11 or later; $(PYTHON) is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "Could not make a virtual environment: on Debian, apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --system-certs --quiet --require-hashes -r requirements/dev.txt
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --system-certs --quiet --no-deps --no-build-isolation $(PACKAGES:%=-e %)
	@touch $@

run: $(STAMP) ## start the platform with the examples, print the page's URL
	@./dialback up $(EXAMPLES) $(LATER:%=--later %) $(ARGS)

up: ## the platform in containers, by docker compose; make down ends it
	@deploy/compose up --build $(ARGS)

down: ## end the platform in containers; its data stays, ARGS=--volumes removes it
	@deploy/compose down $(ARGS)
	@deploy/compose down --remove-orphans $(ARGS) 2>/dev/null # what a killed invoker left

test: $(STAMP) ## the whole test suite, with coverage
	@$(BIN)/python tests/run.py $(PYTEST_FLAGS)

lint: $(STAMP) ## formatting, types, import rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(STAMP) ## measure against nginx, workerd and others (QUICK=1: two minutes; RUN=cold: bench/README.md)
	@$(BIN)/python -m bench $(if $(QUICK),--quick) $(if $(RUN),--run $(RUN))

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

lock: $(STAMP) ## compile requirements/*.in to hashed locks
	@for f in uv build run dev peers; do $(LOCK) requirements/$$f.in -o requirements/$$f.txt; done
	@for f in edge invoker worker; do $(LOCK) -c requirements/run.txt requirements/$$f.in -o requirements/$$f.txt; done

screenshots: $(STAMP) ## take the docs' pictures of the page again (needs Chromium)
	@$(BIN)/python docs/make_screenshots.py

clean: ## remove what setup and the tools made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* build dist

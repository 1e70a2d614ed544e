# SPDX-License-Identifier: Apache-2.0
# Two main doors: `make demo` and `make test`. Both set up what they need.
# ARGS is passed on: make demo ARGS="--races 50", make test ARGS="-k guard".

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
ARGS ?=

.PHONY: help demo demo-nova test unit functional conformance torture bench map \
    docs lint types clean
.DEFAULT_GOAL := help

help: ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

demo: $(VENV)/run.stamp ## Play the race with and without guards; needs no server
	$(BIN)/nova-db-states demo $(ARGS)

demo-nova: $(VENV)/run.stamp ## Play it through real Nova, the plugin off and on
	$(BIN)/python tools/nova_venvs.py 34.0.0
	.nova/34.0.0/bin/python -W ignore tools/nova_demo.py $(ARGS)

test: unit functional ## Run all tests

unit: $(VENV)/dev.stamp ## Run the unit tests: seconds, no server
	$(BIN)/python -m pytest tests/unit --cov --cov-branch $(ARGS)

functional: $(VENV)/dev.stamp ## Run the tests on SQLite, MariaDB and real Nova releases
	tools/system_packages.sh mariadbd galera dot
	$(BIN)/python tools/nova_venvs.py
	$(BIN)/python -m pytest tests/functional -n 2 --dist loadfile $(ARGS)

conformance: $(VENV)/dev.stamp ## Run Nova's own tests with and without the plugin: hours
	tools/system_packages.sh mariadbd
	$(BIN)/python -m tests.conformance $(ARGS)

torture: $(VENV)/dev.stamp ## Let nodes of a cluster die under 100,000 claims, and check each
	tools/system_packages.sh mariadbd galera
	$(BIN)/python -m tests.torture $(ARGS)

bench: $(VENV)/dev.stamp ## Measure against raw PyMySQL and Nova on MariaDB
	tools/system_packages.sh mariadbd galera
	$(BIN)/python tools/nova_venvs.py 34.0.0
	$(BIN)/python -m benchmarks $(ARGS)

map: $(VENV)/run.stamp ## Renew the pages of the state map
	$(BIN)/python tools/state_map_docs.py

docs: $(VENV)/dev.stamp ## Build the documentation, warnings are errors
	tools/system_packages.sh dot
	$(BIN)/python -m sphinx -W --keep-going -b html doc/source doc/build/html

lint: $(VENV)/dev.stamp ## Check style, spelling and release notes
	PATH="$(CURDIR)/$(BIN):$$PATH" tools/lint.sh

types: $(VENV)/dev.stamp ## Check types
	$(BIN)/python -m mypy

clean: ## Remove everything that the other targets made
	rm -rf .venv .nova .tox .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	    .coverage build doc/build *.egg-info

# The stamps come last, so that a killed set-up is done again.
$(VENV)/run.stamp: setup.cfg setup.py requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "$(PYTHON) is older than 3.11: make PYTHON=python3.12 ..." >&2; \
	    exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	    rm -rf $(VENV) && $(PYTHON) -m venv $(VENV); }
	$(PIP_INSTALL) --editable .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp test-requirements.txt doc/requirements.txt
	$(PIP_INSTALL) -r test-requirements.txt -r doc/requirements.txt
	@touch $@

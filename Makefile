# What a developer runs. `make help` prints each target with the words behind its ##.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Each test runs on one thread; neighbours run in one process, so that most fixtures of a file are made once.
PYTEST := -m pytest --numprocesses=auto --maxprocesses=4 --dist=worksteal
# Processes that tests start run on one thread as well: more would wait for each other.
quick test lowest newest: export OMP_NUM_THREADS := 1
# Tests start processes of their own, which are to find what the first has compiled.
unexport PYTHONDONTWRITEBYTECODE
# torch pins these itself, for the machine it is installed on.
PINNED_BY_TORCH := nvidia-|cuda-|triton=

.DEFAULT_GOAL := setup
# `check` ends with the tests, whose last line is pytest's own.
.NOTPARALLEL:
.PHONY: help setup quick test lint types site pages check fuzz trust lowest newest vulnerable audit constraints demo format clean

help: ## What there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## An environment in .venv with netspace and all that developing it needs

$(INSTALLED): pyproject.toml constraints.txt
	@command -v $(PYTHON) > /dev/null || \
	    { echo "error: no $(PYTHON) here. Name a Python of 3.11 or newer: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("error: $(PYTHON) is Python %d.%d; netspace needs 3.11 or newer. Name one: make PYTHON=python3.12" % sys.version_info[:2])'
	@echo "Installing netspace and what it needs into $(VENV); the first time takes some minutes."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	@touch $@

quick: setup ## The tests that are not marked slow
	$(BIN)/python $(PYTEST) -m "not slow"

test: setup ## All tests
	$(BIN)/python $(PYTEST)

lint: setup ## Style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: setup ## Types
	$(BIN)/mypy

site: setup ## The documentation as a site, in build/site; a warning or a broken link is an error
	@$(BIN)/python -m sphinx -q -W --keep-going -b html docs build/site

check: lint types site test ## All that a change has to pass

SECONDS ?= 60
SEED ?= 0
PROCESSES ?= 2
fuzz: setup ## Mutated files for every reader: make fuzz SECONDS=60 SEED=0 PROCESSES=2; crashes go to build/fuzz
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.trust.fuzz --seconds $(SECONDS) --seed $(SEED) --processes $(PROCESSES)

trust: setup ## A million mutated files and 500 kills: one table; crashes go to build/fuzz
	@MAKE_TRUST=1 $(BIN)/python -m pytest -q -m trust tests/trust tests/commands tests/core/zoos
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.trust.report

lowest: ## All tests with the lowest versions that pyproject.toml allows, in build/lowest
	$(PYTHON) -m venv build/lowest
	build/lowest/bin/python tools/lowest.py > build/lowest/constraints.txt
	build/lowest/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c build/lowest/constraints.txt
	build/lowest/bin/python $(PYTEST) -W default  # of newer packages that they need, old versions may warn

newest: ## All tests with the newest versions that pyproject.toml allows, in build/newest
	$(PYTHON) -m venv build/newest
	build/newest/bin/python -m pip install --quiet --disable-pip-version-check --upgrade -e '.[dev]'
	build/newest/bin/python $(PYTEST)

vulnerable: ## Known vulnerabilities in what constraints.txt pins; needs the network
	$(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit || \
	    { echo "error: pip-audit could not be installed, so nothing was audited. Is there a network?" >&2; exit 1; }
	build/audit/bin/pip-audit --strict --no-deps --disable-pip --progress-spinner off -r constraints.txt || \
	    { echo "error: a package is vulnerable, or was not found in the database of vulnerabilities; see above." >&2; exit 1; }

audit: vulnerable lowest newest ## What CI runs once a week: vulnerabilities, and all tests with the lowest and newest versions

constraints: setup ## constraints.txt anew, from the newest versions that pyproject.toml allows
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy eager -e '.[dev]'
	@{ sed -n '/^#/p' constraints.txt; $(BIN)/python -m pip list --format=freeze --exclude-editable \
	    | grep -Evi '^(pip|setuptools|wheel)=|^($(PINNED_BY_TORCH))' | sed 's/+.*//'; } > constraints.new
	@mv constraints.new constraints.txt
	@touch $(INSTALLED)

pages: setup ## Every command of the documentation's pages, as it is written; pictures in build/pages
	@mkdir -p build/pages
	$(BIN)/python tools/pages.py --keep build/pages

demo: setup ## The examples, end to end
	$(BIN)/python examples/demo.py

format: setup ## What of the style can be mended by itself
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## Away with what was built or cached; .venv stays
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find netspace_cli models tests examples -name __pycache__ -type d -prune -exec rm -rf {} +

# make setup   an environment in .venv with netspace and all that developing it needs
# make test    the test suite
# make check   everything a change has to pass
# make demo    the examples, end to end

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Each test runs on one thread; the fixtures of a file are made once.
WORKERS := --numprocesses=auto --maxprocesses=4 --dist=loadfile

.PHONY: setup test check demo format clean

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml
	@command -v $(PYTHON) > /dev/null || \
	    { echo "error: no $(PYTHON) here. Name a Python of 3.11 or newer: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("error: $(PYTHON) is Python %d.%d; netspace needs 3.11 or newer. Name one: make PYTHON=python3.12" % sys.version_info[:2])'
	@echo "Installing netspace and what it needs into $(VENV); the first time takes some minutes."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

test: setup
	$(BIN)/python -m pytest $(WORKERS)

check: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m pytest $(WORKERS)

demo: setup
	$(BIN)/python examples/demo.py

format: setup
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find netspace_cli models tests examples -name __pycache__ -type d -prune -exec rm -rf {} +

# What a developer types. `make` alone lists it. Needs Python 3.11 or newer, git and make;
# everything else goes into .venv. Another interpreter: make PYTHON=python3.13 test

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MYPY := $(BIN)/mypy --strict --cache-dir .mypy_cache

.DEFAULT_GOAL := help
.PHONY: help try test test-keepassxc lint types bench build clean

help:  ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile

try: $(VENV)/.package  ## Store, read and migrate a credential in a throwaway folder
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh scripts/try

test: lint types  ## Run the linters, the type checker and all tests
	$(BIN)/pytest -n auto

test-keepassxc: $(VENV)/.dev  ## Run the tests of the keychain on a real KeePassXC, which it installs
	@command -v keepassxc >/dev/null && command -v dbus-send >/dev/null && \
		command -v secret-tool >/dev/null || \
		sh scripts/apt-install keepassxc dbus libsecret-tools
	CODEMESH_TEST_KEYCHAIN=keepassxc $(BIN)/pytest -n auto -k 'keychain or keepassxc' \
		tests/test_backend_contract*.py tests/test_migration*.py tests/test_keepassxc.py

lint: $(VENV)/.dev  ## Check style, formatting and which module may import which
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo

types: $(VENV)/.dev  ## Check the types: all as Linux sees them, the package as Windows does
	$(MYPY)/linux --platform linux
	$(MYPY)/win32 --platform win32 src

bench: $(VENV)/.dev  ## Measure what reading one credential costs, and what others take
	@$(BIN)/python -m pip install --quiet --group bench
	@sh scripts/with-keyring $(BIN)/python benchmarks/read_one.py

build: $(VENV)/.dev  ## Build the source archive and the wheel into dist
	rm -rf dist
	$(BIN)/python -m build

clean:  ## Remove .venv, dist, and every cache
	rm -rf $(VENV) dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Two stamps, so that a second call installs nothing: one for those who only try codemesh,
# one for those who work on it.

$(VENV)/.package: pyproject.toml scripts/venv
	@PYTHON='$(PYTHON)' sh scripts/venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml scripts/venv
	@PYTHON='$(PYTHON)' sh scripts/venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $(VENV)/.package $@

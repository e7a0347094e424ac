# Everything sets itself up: a fresh machine needs Python >= 3.11, make and its package client.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TARGET ?= targets/embedded.yaml
# Containers often forbid it; then each of some hundred starts of Python here compiles anew what it imports.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run test lint matrix bench docs lock clean help

run: $(VENV)/locked  ## run every feature on the embedded lab, and stop it
	@$(BIN)/virtlab run --target $(TARGET)

test: $(VENV)/locked  ## the project's own tests, those on a real lab included
	@$(BIN)/python -m pytest tests -n auto

lint: $(VENV)/locked  ## style, types, import directions
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

matrix: $(VENV)/locked  ## every fault against the scenario that must notice it (nightly, within the hour); writes docs/faults.md
	@$(BIN)/python -m tests.matrix --write

bench: $(VENV)/locked  ## print the figures, as ratios
	@$(BIN)/python -m pytest tests/bench -s -q --override-ini=python_files='bench_*.py'

docs: $(VENV)/locked  ## write the command reference anew
	@$(BIN)/python -m tests.reference > docs/commands.md

lock: $(VENV)/locked  ## choose newer versions of what virtlab stands on
	@$(BIN)/python -m piptools compile --quiet --upgrade --generate-hashes --extra dev --allow-unsafe \
	    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --strip-extras -o .ci/requirements.lock pyproject.toml
	@$(BIN)/python -m piptools compile --quiet --upgrade --generate-hashes --allow-unsafe --no-emit-index-url \
	    --no-emit-find-links --no-emit-trusted-host --strip-extras -o .ci/s3server.lock .ci/s3server.in

clean:  ## forget the environment and what runs left
	rm -rf $(VENV) out build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

help:
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(VENV)/locked: .ci/requirements.lock .ci/venv pyproject.toml
	@.ci/venv $(VENV)
	@touch $@

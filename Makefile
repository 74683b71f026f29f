# Everything runs from here: hooks and CI call the same targets.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/installed-from-lock

.PHONY: setup demo test lint fmt types lock bench clean

setup: $(STAMP)

# The lock holds one resolution of all extras; --no-deps takes it as it is.
$(STAMP): requirements.lock pyproject.toml
	command -v $(PYTHON) >/dev/null || { echo "Sortline needs Python 3.11: apt install python3.11 python3.11-venv, or make PYTHON=python3"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip check
	touch $@

demo: setup
	$(BIN)/sortline demo

test: setup
	$(BIN)/pytest

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

fmt: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# A new resolution: into a fresh environment, checked, then written down.
lock:
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --disable-pip-version-check --quiet --upgrade setuptools wheel
	.venv-lock/bin/python -m pip install --disable-pip-version-check --quiet '.[demo,dev]'
	.venv-lock/bin/python -m pip check
	( echo "# Made by make lock on Python 3.11, x86_64: one resolution of all extras that passes pip check."; \
	  .venv-lock/bin/python -m pip freeze --all --exclude sortline --exclude pip ) > requirements.lock
	rm -rf .venv-lock

bench: setup
	$(BIN)/python -m benchmarks.demo_times
	$(BIN)/python -m benchmarks.session
	$(BIN)/python -m benchmarks.heads
	$(BIN)/python -m benchmarks.tables

clean:
	rm -rf .venv .venv-lock build dist *.egg-info workspace

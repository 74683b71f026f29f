# Everything runs from here: hooks and CI call the same targets.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/installed-from-lock

.PHONY: setup demo test packaging faults gpu browser server lint fmt types lock corpus bench-data bench-learning bench-bundle bench-judging bench-scoring bench-beyond bench-adapting bench clean

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

# One process a core; the tests of one file stay together, for what they share is made once.
test: setup
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not packaging and not faults and not gpu and not browser and not server"

# Real processes that are stopped, killed and started again; SHORT=1 leaves out those that train two at once.
faults: setup
	$(BIN)/pytest -m faults $(if $(SHORT),-k "told_to_stop or leaves_no_server or (same_weights and not 2) or promot or short")

# Training on the GPU of this machine; skipped where there is none.
gpu: setup
	$(BIN)/pytest -m gpu tests/gpu

# `sortline up` as somebody has it: server, worker, runs, events, kills; ten minutes.
server: setup
	$(BIN)/pytest -m server tests/server

# The report in Chromium, on a phone and on a desk; skipped where there is none.
browser: setup
	$(BIN)/pytest -m browser tests/browser

# Sortline as a user installs it: from its wheel, into an environment of its own.
packaging: setup
	$(BIN)/pytest -m packaging

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

# Scan and scoring over any folder of hostile files: one row a file, no crash, bounded time and memory, same twice.
corpus: setup
	@test -n "$(DIR)" || { echo "make corpus DIR=a folder of files to throw at it"; exit 2; }
	$(BIN)/python -m benchmarks.corpus $(DIR)

# cleanvision is what the scan is compared with; it has an environment of its own.
.venv-cleanvision/installed:
	$(PYTHON) -m venv .venv-cleanvision
	.venv-cleanvision/bin/python -m pip install --quiet --disable-pip-version-check cleanvision==0.3.7
	touch $@

bench-data: setup .venv-cleanvision/installed
	$(BIN)/python -m benchmarks.scan
	$(BIN)/python -m benchmarks.data_quality
	$(BIN)/python -m benchmarks.tables

# What learning reaches on real pictures; two to three hours on two cores.
bench-learning: setup
	$(BIN)/python -m benchmarks.learning
	$(BIN)/python -m benchmarks.tables

# How often the gates are wrong, and what sets of classes and calibration hold on pictures never seen.
bench-judging: setup
	$(BIN)/python -m benchmarks.gates
	$(BIN)/python -m benchmarks.certainty
	$(BIN)/python -m benchmarks.robustness
	$(BIN)/python -m benchmarks.tables

# Ultralytics is what scoring is compared with; its licence (AGPL) and its packages keep it in an environment of its own.
.venv-ultralytics/installed:
	$(PYTHON) -m venv .venv-ultralytics
	.venv-ultralytics/bin/python -m pip install --quiet --disable-pip-version-check ultralytics torch==2.14.1 torchvision==0.29.1
	touch $@

# Scoring end to end, at its ends, and under 300 kills; 40 minutes on two cores.
bench-scoring: demo .venv-ultralytics/installed
	$(BIN)/python -m benchmarks.scoring --ultralytics .venv-ultralytics/bin/python --demo workspace
	$(BIN)/python -m benchmarks.scoring_scale workspace
	$(BIN)/python -m benchmarks.scoring_kills
	$(BIN)/python -m benchmarks.jpeg_scale
	$(BIN)/python -m benchmarks.tables

# Drift on real pictures, Dask against threads, and what many pictures would take; 25 minutes on two cores.
bench-beyond: demo
	$(BIN)/python -m benchmarks.drift workspace
	$(BIN)/python -m benchmarks.spread workspace
	$(BIN)/python -m benchmarks.task_overhead workspace
	$(BIN)/python -m benchmarks.capacity
	$(BIN)/python -m benchmarks.tables

# Sites, the review queue, few labels.
bench-adapting: setup
	$(BIN)/python -m benchmarks.site_shift
	$(BIN)/python -m benchmarks.active_learning
	$(BIN)/python -m benchmarks.few_labels
	$(BIN)/python -m benchmarks.tables

# What smaller models gain and cost, and the start of a new process on the demo's bundle.
bench-bundle: demo
	$(BIN)/python -m benchmarks.compression
	$(BIN)/python -m benchmarks.integer_limit
	$(BIN)/python -m benchmarks.cold_start workspace
	$(BIN)/python -m benchmarks.tables

bench: setup bench-data bench-learning bench-bundle bench-scoring bench-beyond bench-adapting
	$(BIN)/python -m benchmarks.demo_times
	$(BIN)/python -m benchmarks.session
	$(BIN)/python -m benchmarks.heads
	$(BIN)/python -m benchmarks.tables

clean:
	rm -rf .venv .venv-lock .venv-cleanvision .venv-ultralytics build dist *.egg-info workspace

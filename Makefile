# Two commands do all the set-up on a fresh machine: `make rebuild` and `make test`.
# Needs Python 3.11 with venv, and git. Everything else is installed into .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: rebuild test test-browser test-slow test-all check env docs bench clean

rebuild: env  ## environment, then `dvc repro`: the main job
	lifecycle rebuild

test: check  ## environment, static checks, then the tests (these under 10 minutes on 2 cores)
	OMP_NUM_THREADS=1 pytest -n 2 --dist worksteal -m "not slow and not browser"

test-browser: env  ## the pages in headless Chromium, and MLflow on PostgreSQL (some minutes)
	OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile -m browser

test-slow: env  ## the long ones, every command of the docs among them (a quarter of an hour)
	OMP_NUM_THREADS=1 pytest -n 2 --dist worksteal -m "slow and not browser"

test-all: check  ## all tests, also the long ones
	OMP_NUM_THREADS=1 pytest -n 2 --dist worksteal

check: env  ## ruff, mypy --strict, import-linter
	ruff check .
	ruff format --check .
	mypy
	lint-imports --no-cache

docs: env  ## the documentation site in site/
	mkdocs build --strict

bench: env  ## benchmarks; each prints a ratio or a table (`--smallest` only tries one out)
	for file in benchmarks/*.py; do python $$file || exit 1; done

env: .venv/.ready

.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	  || { echo "lifecycle needs Python 3.11; name one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

clean:  ## what can be made again; dossier/ and weights/ stay
	rm -rf work .pytest_cache .mypy_cache .ruff_cache site

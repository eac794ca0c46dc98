# make demo   a discrete VAE on real digits, on both hosts
# make test   lint, types, tests
# make docs   the documentation, in out/docs/index.html
# make bench  the benchmarks, a table each
# make wheel  build the wheel, install it somewhere clean, run the tests there
# They create .venv in this checkout when it is missing or older than the files it is built from.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test lint docs bench wheel install clean

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.relaxppl-installed
BASE_PYTHON ?= $(shell command -v python3.11 >/dev/null 2>&1 && python3.11 -c '' 2>/dev/null && \
	echo python3.11 || echo python3)
PYTEST_WORKERS ?= 2
DEMO_OUT ?= out/demo
DOCS_STAMP := $(VENV)/.relaxppl-docs-installed
BENCHMARKS = $(patsubst tests/benchmarks/%.py,%,$(wildcard tests/benchmarks/bench_*.py))
WHEEL_FILES := tests models docs README.md CHANGELOG.md CITATION.cff LICENSE Makefile pyproject.toml \
	constraints.txt
EXTRAS := pyro,numpyro,arviz,models,test

help:
	@sed -n '1,6s/^# //p' Makefile

install: $(STAMP)

# torch goes in first and alone: asked for together with the rest, pip may pick a build with
# gigabytes of GPU libraries that nothing here needs.
$(STAMP): pyproject.toml constraints.txt
	@$(BASE_PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "make: Python 3.11 or newer is needed; '$(BASE_PYTHON)' is not (set BASE_PYTHON=...)" >&2; \
		  exit 1; }
	@$(PY) -m pip --version >/dev/null 2>&1 || $(BASE_PYTHON) -m venv --clear $(VENV)
	$(PY) -m pip install --disable-pip-version-check -q "$$(grep '^torch==' constraints.txt)"
	$(PY) -m pip install --disable-pip-version-check -q -c constraints.txt -e ".[$(EXTRAS)]"
	@touch $@

demo: $(STAMP)
	$(PY) -m models.discrete_vae.demo --out $(DEMO_OUT)

lint: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

test: lint
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(PYTEST_WORKERS)

$(DOCS_STAMP): $(STAMP)
	$(PY) -m pip install --disable-pip-version-check -q -c constraints.txt -e ".[docs]"
	@touch $@

docs: $(DOCS_STAMP)
	$(PY) -m sphinx -b html -W --keep-going -q docs out/docs
	@echo "out/docs/index.html"

bench: $(STAMP)
	for name in $(BENCHMARKS); do OMP_NUM_THREADS=1 $(PY) -m tests.benchmarks.$$name; done

# The tests run in a folder without relaxppl/, so that it is the wheel that they import.
wheel: $(STAMP)
	rm -rf dist out/wheel $(VENV)-wheel
	$(PY) -m build --outdir dist . >/dev/null
	$(BASE_PYTHON) -m venv $(VENV)-wheel
	$(VENV)-wheel/bin/pip install --disable-pip-version-check -q "$$(grep '^torch==' constraints.txt)"
	$(VENV)-wheel/bin/pip install --disable-pip-version-check -q -c constraints.txt \
		"$$(ls dist/*.whl)[$(EXTRAS)]"
	mkdir -p out/wheel && cp -r $(WHEEL_FILES) out/wheel
	cd out/wheel && OMP_NUM_THREADS=1 ../../$(VENV)-wheel/bin/python -m pytest -n $(PYTEST_WORKERS)

clean:
	rm -rf $(VENV) out build dist *.egg-info

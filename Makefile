# make demo   a discrete VAE on real digits, on both hosts
# make test   lint, types, tests
# Both create .venv in this checkout when it is missing or older than the files it is built from.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test lint install clean

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.relaxppl-installed
BASE_PYTHON ?= $(shell command -v python3.11 >/dev/null 2>&1 && python3.11 -c '' 2>/dev/null && \
	echo python3.11 || echo python3)
PYTEST_WORKERS ?= 2
DEMO_OUT ?= out/demo
EXTRAS := pyro,numpyro,arviz,models,test

help:
	@sed -n '1,3s/^# //p' Makefile

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

clean:
	rm -rf $(VENV) out build dist *.egg-info

# make demo   a discrete VAE on real digits, on both hosts
# make test   lint, types, tests
# make test-all  the tests with the long ones
# make test-py313  what newer versions can change: Python 3.13, the newest JAX, ArviZ 1.x
# make coverage  the tests again, with the share of lines and branches that they run
# make docs   the documentation, in out/docs/index.html, and the examples of its pages
# make gallery  the full runs behind the pages in docs/gallery
# make bench  the benchmarks, a table each
# make wheel  build the wheel, install it somewhere clean, run a few tests there
# They create .venv in this checkout when it is missing or older than the files it is built from.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-py313 coverage lint docs gallery bench wheel install clean

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.relaxppl-installed
BASE_PYTHON ?= $(shell command -v python3.11 >/dev/null 2>&1 && python3.11 -c '' 2>/dev/null && \
	echo python3.11 || echo python3)
PYTEST_WORKERS ?= 2
DEMO_OUT ?= out/demo
DOCS_STAMP := $(VENV)/.relaxppl-docs-installed
BENCHMARKS = $(patsubst tests/benchmarks/%.py,%,$(wildcard tests/benchmarks/bench_*.py))
RELAXIT := .venv-relaxit
STORCHASTIC := .venv-storchastic
RELAXIT_PYTHON ?= $(RELAXIT)/bin/python
STORCHASTIC_PYTHON ?= $(STORCHASTIC)/bin/python
WHEEL_FILES := tests models docs README.md CHANGELOG.md CITATION.cff LICENSE Makefile pyproject.toml \
	constraints.txt constraints-py313.txt
PY313_VENV := .venv-py313
# A shim of pyenv answers only where its version is chosen: each candidate is tried.
PYTHON313 ?= $(shell for p in python3.13 $${PYENV_ROOT:-$$HOME/.pyenv}/versions/3.13.*/bin/python; do \
	"$$p" -c '' >/dev/null 2>&1 && echo "$$p" && break; done)
EXTRAS := pyro,numpyro,arviz,models,test

help:
	@sed -n '1,10s/^# //p' Makefile

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
	$(PY) -m models.demo --out $(DEMO_OUT)

# Says first how long it takes; cut off, it goes on where it was. GALLERY="mixture ..." runs some.
GALLERY ?= all

gallery: $(STAMP)
	$(PY) -m models.studies.gallery --only $(GALLERY)

lint: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

test: lint
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(PYTEST_WORKERS) --dist worksteal

# With the long training runs and every set of parameters of every class.
test-all: lint
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(PYTEST_WORKERS) --dist worksteal --all

# Beside the report it leaves what test runs what line, and how long each takes, for tests.mutate.
coverage: $(STAMP)
	mkdir -p out/coverage
	COVERAGE_FILE=out/coverage/data OMP_NUM_THREADS=1 $(PY) -m pytest -n $(PYTEST_WORKERS) --all \
		--cov --cov-context=test --junitxml=out/coverage/durations.xml

# ArviZ 1.x needs a newer Python than the rest is tested with.
$(PY313_VENV)/.relaxppl-installed: pyproject.toml constraints-py313.txt
	@[ -n "$(PYTHON313)" ] || \
		{ echo "make: test-py313 needs Python 3.13, found neither on PATH nor in pyenv (set PYTHON313=...)" >&2; \
		  exit 1; }
	$(PYTHON313) -m venv --clear $(PY313_VENV)
	$(PY313_VENV)/bin/pip install --disable-pip-version-check -q "$$(grep '^torch==' constraints-py313.txt)"
	$(PY313_VENV)/bin/pip install --disable-pip-version-check -q -c constraints-py313.txt -e ".[$(EXTRAS)]"
	@touch $@

# What a newer Python, JAX, NumPyro or ArviZ can change is how they are called; the mathematics has
# been tested by then. PY313_TESTS=tests runs all.
PY313_TESTS ?= $(addprefix tests/hosts/,conformance/test_jax.py conformance/test_torch.py \
		conformance/test_copies.py conformance/test_bijections.py elbo/test_numpyro_mutations.py \
		elbo/test_numpyro_exact_kl.py elbo/test_numpyro_scan.py test_shells.py test_internals.py) \
	$(addprefix tests/common/relax/,test_composition.py test_config.py test_hard.py) \
	tests/common/arviz tests/common/auto/test_auto.py tests/common/test_fit.py tests/ops \
	tests/common/test_calibrate.py::test_the_exact_posterior_passes_and_a_broken_one_is_flagged \
	tests/test_packaging.py

test-py313: $(PY313_VENV)/.relaxppl-installed
	OMP_NUM_THREADS=1 $(PY313_VENV)/bin/python -m pytest -n $(PYTEST_WORKERS) $(PY313_TESTS)

$(DOCS_STAMP): $(STAMP)
	$(PY) -m pip install --disable-pip-version-check -q -c constraints.txt -e ".[docs]"
	@touch $@

# With the pages whose examples `make test` leaves out.
docs: $(DOCS_STAMP)
	OMP_NUM_THREADS=1 $(PY) -m pytest -q -n $(PYTEST_WORKERS) --all -m long tests/test_docs.py
	$(PY) -m sphinx -b html -W --keep-going -q docs out/docs
	@echo "out/docs/index.html"

# What is only compared with has an environment of its own: storchastic patches torch.
define peer-env
	$(BASE_PYTHON) -m venv --clear $(1)
	$(1)/bin/pip install --disable-pip-version-check -q "$$(grep '^torch==' constraints.txt)"
	$(1)/bin/pip install --disable-pip-version-check -q -c constraints.txt $(2)
	@touch $@
endef

$(RELAXIT)/.relaxppl-installed: constraints.txt
	$(call peer-env,$(RELAXIT),relaxit==1.2)

$(STORCHASTIC)/.relaxppl-installed: constraints.txt
	$(call peer-env,$(STORCHASTIC),storchastic==0.3.7)

relaxit-env: $(RELAXIT)/.relaxppl-installed
storchastic-env: $(STORCHASTIC)/.relaxppl-installed

BENCH_bench_distributions = --relaxit-python $(RELAXIT_PYTHON)
BENCH_bench_storchastic = --python $(STORCHASTIC_PYTHON)
BENCH_bench_kl := --wide

# RELAXIT_PYTHON=... and STORCHASTIC_PYTHON=... take an environment that there is already.
bench: $(STAMP) $(if $(filter $(RELAXIT)/%,$(RELAXIT_PYTHON)),relaxit-env) \
		$(if $(filter $(STORCHASTIC)/%,$(STORCHASTIC_PYTHON)),storchastic-env)
	$(foreach name,$(BENCHMARKS),\
		OMP_NUM_THREADS=1 $(PY) -m tests.benchmarks.$(name) $(BENCH_$(name)) --write;)

# The tests run in a folder without relaxppl/, so that it is the wheel that they import: its modules,
# its data files and one folder that goes through both hosts. WHEEL_TESTS=tests runs all again.
WHEEL_TESTS ?= tests/test_packaging.py tests/common/relax

wheel: $(STAMP)
	rm -rf dist out/wheel $(VENV)-wheel
	$(PY) -m build --outdir dist . >/dev/null
	$(BASE_PYTHON) -m venv $(VENV)-wheel
	$(VENV)-wheel/bin/pip install --disable-pip-version-check -q "$$(grep '^torch==' constraints.txt)"
	$(VENV)-wheel/bin/pip install --disable-pip-version-check -q -c constraints.txt \
		"$$(ls dist/*.whl)[$(EXTRAS)]"
	mkdir -p out/wheel && cp -r $(WHEEL_FILES) out/wheel
	cd out/wheel && OMP_NUM_THREADS=1 ../../$(VENV)-wheel/bin/python -m pytest -q \
		-n $(PYTEST_WORKERS) $(WHEEL_TESTS)

clean:
	rm -rf $(VENV) $(VENV)-wheel $(PY313_VENV) $(RELAXIT) $(STORCHASTIC) out build dist *.egg-info
